/* SPDX-License-Identifier: MIT */
/*
 * script.h: tables of what tasks do with one object, one after another, and what must come of it.
 *
 * Five tasks A to E carry out steps on one worker. After each step everybody who can go on has gone on:
 *
 *     { "an unlock hands over in order",
 *       STEPS({ A, LOCK, 0, 0 }, { B, LOCK, 0, WAITS }, { C, LOCK, 0, WAITS }, { A, UNLOCK, 0, 0 },
 *             { B, RETURNS, 0, 0 }, { C, STILL, 0, WAITS }, ...) },
 *
 * Every table is gone through twice: with the object at home on that worker (mailbox/monitor.h), and shared.
 */
#ifndef TEST_SCRIPT_H
#define TEST_SCRIPT_H

#include "tests/support.h"

#include "mailbox/monitor.h"

enum { A, B, C, D, E, SCRIPT_TASKS };

/* Beside the suite's own operations, which are 0 to 99. */
enum {
    RETURNS = -1, /* the operation under way returns */
    STILL = -2,   /* it still waits */
    CANCEL = -3,  /* the task is cancelled; it takes note when the operation has returned */
    BRIEF = 128,  /* added to an operation: its deadline is near, */
    AT_ONCE = 256 /* or TR_NOW */
};

/* Expected: the operation has not returned; or it may have, if somebody's deadline has passed already. */
enum { WAITS = 1 << 20, MAYBE };

enum { SCRIPT_STEPS = 28 };

struct script {
    const char *name;
    struct script_step {
        int who, operation;
        int64_t argument;
        int expect;
    } steps[SCRIPT_STEPS];
    int count;
};

/* The last two members of a script. */
#define STEPS(...) { __VA_ARGS__ }, sizeof((struct script_step[]){ __VA_ARGS__ }) / sizeof(struct script_step)

struct script_suite {
    int (*perform)(int operation, int64_t argument, tr_time deadline);
    uint64_t *(*reset)(void); /* makes the object anew; returns its word */
};

/* In a task, on one worker. The table ends at a script without a name. */
void script_run(const struct script *scripts, const struct script_suite *suite);

#endif
