/* SPDX-License-Identifier: MIT */
/*
 * clients.h: the seam of mailbox/waiter.h without tasks, for random operations on one thread (test_sync_random.c,
 * test_oneshot_random.c): six clients are records, and a wait is a case that is entered, served by somebody else's operation, or left.
 *
 * Some cases are as of a select that another case has won meanwhile: they are still queued, and must be passed over. Beside the
 * real queue there is the model's, and compare() holds the two against each other.
 */
#ifndef TEST_CLIENTS_H
#define TEST_CLIENTS_H

#include "mailbox/monitor.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 6 };

#define same(actual, expected)                                                                                         \
    do {                                                                                                               \
        int64_t actual_ = (actual), expected_ = (expected);                                                            \
        if (actual_ != expected_)                                                                                      \
            ck_abort_msg("operation %ld: %s is %lld, expected %lld", operation, #actual, (long long)actual_,           \
                         (long long)expected_);                                                                        \
    } while (0)

static long operation;

/* How many: so many, times TR_STRESS. */
static long operations(long count)
{
    const char *text = getenv("TR_STRESS");
    long times = text ? atol(text) : 1;
    return count * (times > 0 ? times : 1);
}

/* ---- the seam, without tasks ----------------------------------------------------------------------------------- */

struct tri_task {
    _Alignas(64) int wakes;
};

static struct tri_task tasks[CLIENTS];
static int self;
static struct tri_seat *home;

struct tri_task *tri_self(void)
{
    return &tasks[self];
}

struct tri_seat *tri_home(void)
{
    return home;
}

void tri_wake(struct tri_task *task)
{
    task->wakes++;
}

int tri_park(tr_time deadline, enum tri_wait on)
{
    (void)deadline;
    (void)on;
    abort();
}

void tri_park_tail(enum tri_wait on)
{
    (void)on;
    abort();
}

int tri_checkpoint(void)
{
    return 0;
}

int tri_budget(void)
{
    return 0;
}

uint32_t tri_choice(uint32_t count)
{
    return count - 1;
}

tr_time tr_after(int64_t nanoseconds)
{
    return nanoseconds;
}

/* ---- clients, and the model's queue ----------------------------------------------------------------------------- */

static struct client {
    struct tr_case c;
    struct tri_waiter waiter;
    int64_t amount; /* the model's notion of the case */
    int result;     /* that it was served with, by the model */
    bool waits, served, dead;
} clients[CLIENTS];

static int queue[CLIENTS], queued;

static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % below;
}

static void take_from_queue(int at)
{
    memmove(&queue[at], &queue[at + 1], (size_t)(--queued - at) * sizeof queue[0]);
}

/* The model serves the at-th of the queue. False: that has won elsewhere, and is only passed over. */
static bool serve(int at, int result)
{
    struct client *client = &clients[queue[at]];
    take_from_queue(at);
    client->served = !client->dead;
    client->result = result;
    return client->served;
}

static inline void serve_all(int result)
{
    while (queued > 0)
        serve(0, result);
}

/* Enters the case for client k, and compares: `expected` -EAGAIN, it is queued. */
static void enter_case(int k, struct tr_case c, int64_t amount, bool may_die, int expected)
{
    struct client *client = &clients[k];
    *client = (struct client){ .c = c, .amount = amount };
    client->waiter = (struct tri_waiter){ .task = &tasks[k], .several = may_die && draw(2) };
    client->c.tri_waiter = &client->waiter;
    self = k;
    tasks[k].wakes = 0;
    same(client->c.tri_kind->enter(&client->c), expected);
    if (expected == -EAGAIN) {
        client->waits = true;
        queue[queued++] = k;
    }
}

/* The client's wait ends otherwise, at once or in two steps. True: it has left the queue. */
static bool give_up(int k)
{
    struct client *client = &clients[k];
    if (client->waiter.several && !client->dead && draw(2)) {
        same(tri_claim(&client->c), true);
        client->dead = true;
        return false;
    }
    int at = 0;
    while (at < queued && queue[at] != k)
        at++;
    self = k;
    same(client->c.tri_kind->leave(&client->c), at < queued);
    client->waits = false;
    if (at == queued)
        return false;
    take_from_queue(at);
    return true;
}

/* Who has been served is what the model says; their waits end. */
static void compare_clients(void)
{
    for (int k = 0; k < CLIENTS; k++) {
        struct client *client = &clients[k];
        if (!client->waits)
            continue;
        same(tri_load(&client->waiter.state, TRI_RELAXED), client->served ? TRI_WAIT_DONE
                                                           : client->dead ? TRI_WAIT_CLAIMED
                                                                          : TRI_WAIT_OPEN);
        same(tasks[k].wakes, client->served);
        if (!client->served)
            continue;
        same(client->c.result, client->result);
        self = k;
        same(client->c.tri_kind->leave(&client->c), false);
        client->waits = false;
    }
}

/* The same, and the queue in its order, for what has a monitor. */
static inline void compare(const struct tri_monitor *monitor)
{
    struct tr_case *c = tri_line_first(&monitor->line);
    for (int i = 0; i < queued; i++, c = c->tri_next)
        same(c == &clients[queue[i]].c, true);
    same(queued == 0 ? monitor->line.last == NULL : monitor->line.last == &clients[queue[queued - 1]].c, true);
    same(tri_load(&monitor->word, TRI_RELAXED) & (TRI_WAITED | TRI_GUARD), queued ? TRI_WAITED : 0);
    compare_clients();
}

#endif
