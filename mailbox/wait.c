/* SPDX-License-Identifier: MIT */
/* wait.c: the wait of one case, and select, the wait of several. The picture and the edges are in wait.h. */
#include "mailbox/wait.h"

#include <errno.h>

int tri_wait(struct tr_case *c, tr_time deadline)
{
    const struct tri_kind *kind = c->tri_kind;
    struct tri_waiter waiter = { .task = tri_self() };
    if (!waiter.task)
        return -ENOMEM;
    c->tri_waiter = &waiter;
    c->tri_next = NULL;
    int rc = kind->enter(c);
    if (rc != -EAGAIN)
        return rc;
    while (tri_load(&waiter.state, TRI_ACQUIRE) != TRI_WAIT_DONE) { /* [W1] */
        if (kind->ready && kind->ready(c)) {
            kind->leave(c);
            return kind->attempt(c);
        }
        rc = tri_park(deadline, kind->on);
        if (rc < 0 && (kind->leave(c) || kind->ready))
            return rc;
        if (rc < 0) /* served after all, and we have had the lock */
            return c->result;
    }
    kind->leave(c); /* [W3] */
    return c->result;
}

/* ---- cases of no thing ---------------------------------------------------------------------------------------- */

static int await_timer(struct tr_case *c)
{
    return (tr_time)c->tri_amount <= tr_after(0) ? 0 : -EAGAIN;
}

static int enter_timer(struct tr_case *c)
{
    return await_timer(c) == 0 && tri_claim(c) ? 0 : -EAGAIN;
}

static bool leave_nothing(struct tr_case *c)
{
    (void)c;
    return true;
}

/* Its time is part of the deadline of the select it is in. */
static const struct tri_kind timer_kind = { await_timer, enter_timer, leave_nothing, NULL, TRI_WAIT_SLEEP };

struct tr_case tr_case_timer(tr_time when)
{
    return (struct tr_case){ .tri_kind = &timer_kind, .tri_amount = (uint64_t)when };
}

static int await_nothing(struct tr_case *c)
{
    (void)c;
    return -EAGAIN;
}

static const struct tri_kind never_kind = { await_nothing, await_nothing, leave_nothing, NULL, TRI_WAIT_SLEEP };

struct tr_case tr_case_never(void)
{
    return (struct tr_case){ .tri_kind = &never_kind };
}

/* ---- select --------------------------------------------------------------------------------------------------- */

/* Walks over all cases once: from `at`, forwards or backwards, so that of two that are ready each has its chance. */
struct walk {
    struct tr_case *cases;
    uint32_t count, at;
    bool back;
    bool looks, times; /* some case has a kind->ready; is a timer */
};

static void begin_walk(struct walk *walk, enum tr_select_order order)
{
    if (order == TR_SELECT_FAIR && walk->count > 1) {
        uint32_t choice = tri_choice(2 * walk->count);
        walk->at = choice >> 1;
        walk->back = choice & 1;
    }
}

static struct tr_case *next_case(struct walk *walk)
{
    struct tr_case *c = &walk->cases[walk->at];
    if (walk->back)
        walk->at = walk->at == 0 ? walk->count - 1 : walk->at - 1;
    else
        walk->at = walk->at + 1 == walk->count ? 0 : walk->at + 1;
    return c;
}

/* Carries out the first case that can be. Returns it, or NULL. */
static struct tr_case *attempt_all(struct walk walk)
{
    for (uint32_t i = 0; i < walk.count; i++) {
        struct tr_case *c = next_case(&walk);
        int rc = c->tri_kind->attempt(c);
        if (rc != -EAGAIN) {
            c->result = rc;
            return c;
        }
    }
    return NULL;
}

/* Takes the first `count` cases of the walk out of their queues; those on I/O, or the others. */
static void leave_all(struct walk walk, uint32_t count, bool on_io)
{
    for (uint32_t i = 0; i < count; i++) {
        struct tr_case *c = next_case(&walk);
        if ((c->tri_kind->on == TRI_WAIT_IO) == on_io)
            c->tri_kind->leave(c);
    }
}

/* The earliest of the deadline and the timers. */
static tr_time first_time(struct walk walk, tr_time deadline)
{
    for (uint32_t i = 0; walk.times && i < walk.count; i++) {
        const struct tr_case *c = &walk.cases[i];
        if (c->tri_kind == &timer_kind && (tr_time)c->tri_amount < deadline)
            deadline = (tr_time)c->tri_amount;
    }
    return deadline;
}

/* Claims the wait for a case that waits to be looked at and is ready, or for a timer that is due. NULL: none, or too late. */
static struct tr_case *claim_ready(struct walk walk, bool timers)
{
    for (uint32_t i = 0; (walk.looks || timers) && i < walk.count; i++) {
        struct tr_case *c = next_case(&walk);
        const struct tri_kind *kind = c->tri_kind;
        if (kind == &timer_kind ? timers && await_timer(c) == 0 : kind->ready && kind->ready(c))
            return tri_claim(c) ? c : NULL;
    }
    return NULL;
}

/* Some other has claimed the wait: its result is about to come, whatever our deadline says. */
static struct tr_case *await_winner(struct tri_waiter *waiter, enum tri_wait on)
{
    while (tri_load(&waiter->state, TRI_ACQUIRE) != TRI_WAIT_DONE) /* [W1] */
        tri_park_tail(on);
    return waiter->winner;
}

/* All cases are queued: parks until one of them has won, or none can. Returns it, claimed, or NULL and the error. */
static struct tr_case *await_case(struct walk walk, struct tri_waiter *waiter, tr_time first, int *error)
{
    for (;;) {
        if (tri_load(&waiter->state, TRI_ACQUIRE) == TRI_WAIT_DONE) /* [W1] */
            return waiter->winner;
        struct tr_case *c = claim_ready(walk, false);
        if (c)
            return c;
        int rc = tri_park(first, TRI_WAIT_SELECT);
        if (rc == 0)
            continue;
        c = rc == -ETIMEDOUT && walk.times ? claim_ready(walk, true) : NULL;
        if (c)
            return c;
        if (!tri_claim(walk.cases)) /* each of them stands for the wait */
            return await_winner(waiter, TRI_WAIT_SELECT);
        *error = rc;
        return NULL;
    }
}

/* Registers every case. Returns the one that was carried out at once or has won meanwhile; *entered: how many to leave. */
static struct tr_case *enter_all(struct walk walk, struct tri_waiter *waiter, uint32_t *entered)
{
    for (*entered = 0; *entered < walk.count;) {
        struct tr_case *c = next_case(&walk);
        int rc = c->tri_kind->enter(c);
        ++*entered;
        if (rc != -EAGAIN) {
            c->result = rc;
            return c;
        }
        if (tri_load(&waiter->state, TRI_RELAXED) != TRI_WAIT_OPEN)
            return await_winner(waiter, TRI_WAIT_SELECT);
    }
    return NULL;
}

/* None was ready. Returns the case that was carried out; NULL: *error, or 0 to begin anew. Those on I/O are still in. */
static struct tr_case *select_waiting(struct walk walk, tr_time deadline, int *error)
{
    struct tri_waiter waiter = { .task = tri_self(), .several = true };
    uint32_t entered;
    *error = waiter.task ? 0 : -ENOMEM;
    if (!waiter.task)
        return NULL;
    for (uint32_t i = 0; i < walk.count; i++) {
        walk.cases[i].tri_waiter = &waiter;
        walk.cases[i].tri_next = NULL;
    }
    struct tr_case *c = enter_all(walk, &waiter, &entered);
    bool carried_out = c != NULL;
    if (!c) {
        c = await_case(walk, &waiter, first_time(walk, deadline), error);
        carried_out = c && tri_load(&waiter.state, TRI_RELAXED) == TRI_WAIT_DONE;
    }
    leave_all(walk, entered, false); /* [W3] the winner too */
    if (!c || carried_out)
        return c;
    c->result = c->tri_kind->attempt(c); /* claimed by us, and ready */
    return c->result == -EAGAIN ? NULL : c;
}

/* Until one has been carried out. Returns it, or NULL and the error. */
static struct tr_case *select_one(struct walk *walk, tr_time deadline, enum tr_select_order order, int *error)
{
    struct tr_case *c;
    do {
        begin_walk(walk, order);
        c = attempt_all(*walk);
        if (!c && deadline == TR_NOW)
            *error = -ETIMEDOUT;
        else if (!c)
            c = select_waiting(*walk, deadline, error);
    } while (!c && *error == 0);
    return c;
}

int tr_select(struct tr_case *cases, uint32_t count, tr_time deadline, enum tr_select_order order)
{
    struct walk walk = { .cases = cases, .count = count };
    if (count == 0 || count > INT32_MAX / 2)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++) {
        const struct tri_kind *kind = cases[i].tri_kind;
        if (!kind)
            return -EINVAL;
        walk.looks |= kind->ready != NULL;
        walk.times |= kind == &timer_kind;
    }
    int rc = tri_checkpoint();
    if (rc < 0)
        return rc;
    struct tr_case *c = select_one(&walk, deadline, order, &rc);
    if (walk.looks)
        leave_all(walk, count, true);
    return c ? (int)(c - cases) : rc;
}
