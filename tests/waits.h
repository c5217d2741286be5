/* SPDX-License-Identifier: MIT */
/*
 * waits.h: every call that can suspend, in one table, so that what holds for all of them is tested of all of them: deadlines,
 * scopes, cancellation, the budget, the end of a runtime.
 *
 * A row makes its own little world, in which its call has to wait (begin), changes it so that `count` calls need not (ready), and
 * takes it down (end), where it looks whether all that was sent and taken is accounted for. Between them the call is made as
 * often as a test likes. Each row has one world: two tests in a process use it one after the other.
 */
#ifndef TEST_WAITS_H
#define TEST_WAITS_H

#include "tests/support.h"

enum { WAIT_DEPTH = 160 }; /* the largest `count`; more than the budget of a task has units */

enum wait_flags {
    WAIT_ALONE = 1, /* one caller at a time */
    WAIT_OWN =
        2, /* needs the mailbox of the caller, and makes it ready itself: begin, ready and call in one loop actor */
    WAIT_LEVEL = 4,   /* once ready it stays so; else `count` calls go through and the next waits */
    WAIT_TURN = 8,    /* `again` makes it ready for one more, after one that went through */
    WAIT_SPAN = 16,   /* has no deadline of its own */
    WAIT_ANSWER = 32, /* waits for somebody's answer also when it is ready */
    WAIT_NEVER = 64,  /* never waits long: there is only `ready` */
    WAIT_DEAF = 128,  /* heeds no cancellation: it is an end */
    WAIT_TIMID = 256, /* never goes through at once */
};

struct wait_row {
    const char *name;
    void (*begin)(void);
    void (*ready)(int count);      /* NULL: WAIT_TIMID */
    int (*call)(tr_time deadline); /* 0 or more if it went through, else an error */
    void (*again)(void);
    void (*end)(void);
    unsigned flags;
};

/* The rows, from 0; NULL behind the last. */
const struct wait_row *wait_row(int index);

/* The tables that they come from, each ends with a row without a name. */
extern const struct wait_row waits_of_channels[], waits_of_sync[], waits_of_tasks[], waits_of_pool[], waits_of_io[];

/* Options of a runtime in which all rows work, and the runtime whose pool they use (NULL: the caller's). */
struct tr_options waits_options(unsigned workers);
extern struct tr_runtime *waits_pool;

/* As expect_int, and names the row. */
#define wait_expect(row, actual, expected) wait_expect_at(__FILE__, __LINE__, (row), (actual), (expected))
static inline void wait_expect_at(const char *file, int line, const struct wait_row *row, int actual, int expected)
{
    if (actual != expected)
        test_fail(file, line, "%s: %d (%s), expected %d", row->name, actual, actual < 0 ? strerrorname_np(-actual) : "",
                  expected);
}

/*
 * A task that takes something when it begins (kept is true then) and gives it back when it is let go, for rows whose call waits for
 * what another task has.
 */
struct keeper {
    struct tr_task task;
    struct tr_semaphore leave;
    struct tr_latch kept;
    void (*take)(void), (*give)(void);
};
void keeper_begin(struct keeper *keeper, void (*take)(void), void (*give)(void));
void keeper_end(struct keeper *keeper); /* harmless the second time */

#endif
