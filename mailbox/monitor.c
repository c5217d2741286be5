/* SPDX-License-Identifier: MIT */
/* monitor.c: turns, and how an object loses its home. The picture and the edges are in monitor.h. */
#include "mailbox/monitor.h"
#include "mailbox/membarrier.h"

#include <errno.h>
#include <sched.h>

#define SPINS 100

static struct tri_lock revocation; /* one at a time: then the mark in the word is known to be one's own */

/* ---- losing the home ------------------------------------------------------------------------------------------ */

/* The turn that is under way at home, if any, is a matter of nanoseconds, unless its thread has lost its processor. */
static void await_leaving(struct tri_seat *home, struct tri_monitor *monitor)
{
    for (int i = 0; tri_load(&home->inside, TRI_ACQUIRE) == (uintptr_t)monitor; i++) { /* [H2] */
        if (i < SPINS)
            tri_spin();
        else
            sched_yield();
    }
}

/* Whatever home the object has, it is SHARED afterwards. */
static void share(struct tri_monitor *monitor)
{
    tri_lock(&revocation);
    uint64_t word = tri_load(&monitor->word, TRI_RELAXED), place;
    while ((place = word & TRI_HOME_MASK) > TRI_REVOKED) {
        uint64_t mark = (word & ~TRI_HOME_MASK) | TRI_REVOKED | TRI_GUARD;
        if (!tri_cas(&monitor->word, &word, mark, TRI_RELAXED, TRI_RELAXED)) /* [H1] */
            continue;
        tri_membarrier(); /* [H1] */
        await_leaving(&tri_seats[(place >> TRI_HOME_SHIFT) - TRI_FIRST_HOME], monitor);
        word = tri_load(&monitor->word, TRI_RELAXED);
        if (word == mark)
            tri_store(&monitor->word, (word & ~(TRI_HOME_MASK | TRI_GUARD)) | TRI_SHARED, TRI_RELEASE); /* [H4] */
    }
    tri_unlock(&revocation);
}

/* ---- turns ---------------------------------------------------------------------------------------------------- */

static uint64_t take_guard(struct tri_monitor *monitor)
{
    uint64_t word;
    while ((word = tri_guard(&monitor->word)) & TRI_GUARD) {
        for (int i = 0; tri_load(&monitor->word, TRI_RELAXED) & TRI_GUARD; i++) {
            if (i < SPINS)
                tri_spin();
            else
                sched_yield(); /* the holder may have lost its processor */
        }
    }
    return word;
}

/* At a home that is not ours the GUARD is no lock, only a first mark, which a turn there may overwrite. */
struct tri_turn tri_turn_begin(struct tri_monitor *monitor)
{
    struct tri_seat *home = tri_home();
    uint64_t own = home ? tri_place_of(home) : 0;
    for (;;) {
        if (home) {
            uint64_t word = tri_home_enter(home, monitor);
            if ((word & (TRI_HOME_MASK | TRI_GUARD)) == own)
                return (struct tri_turn){ monitor, home, own, word & TRI_STATE_MASK };
            tri_home_leave(home);
        }
        uint64_t word = take_guard(monitor), place = word & TRI_HOME_MASK;
        if (place == TRI_FRESH)
            place = home ? own : TRI_SHARED; /* from the end of this turn on */
        else if (place != TRI_SHARED) {
            share(monitor);
            continue;
        }
        return (struct tri_turn){ monitor, NULL, place, word & TRI_STATE_MASK };
    }
}

void tri_turn_end_serving_all(struct tri_turn *turn, int result)
{
    struct tri_wakes wakes;
    struct tr_case *c;
    wakes.count = 0;
    while ((c = tri_line_claim(&turn->monitor->line)))
        tri_wakes_add(&wakes, tri_finish(c, result));
    tri_turn_end(turn);
    tri_wakes_make(&wakes);
}

/* ---- the functions of a kind ---------------------------------------------------------------------------------- */

int tri_monitor_attempt(struct tr_case *c, tri_step *step)
{
    struct tri_task *self = tri_self();
    if (!self)
        return -ENOMEM;
    struct tri_turn turn = tri_turn_begin(c->tri_object);
    int rc = step(&turn, c, self);
    tri_turn_end(&turn);
    return rc;
}

int tri_monitor_enter(struct tr_case *c, tri_step *step)
{
    struct tri_turn turn = tri_turn_begin(c->tri_object);
    uint64_t before = turn.state;
    int rc = step(&turn, c, c->tri_waiter->task);
    if (rc == -EAGAIN) {
        tri_line_push(&turn.monitor->line, c);
    } else if (!tri_claim(c)) {
        turn.state = before;
        rc = -EAGAIN;
    }
    tri_turn_end(&turn);
    return rc;
}

bool tri_monitor_leave(struct tr_case *c)
{
    struct tri_turn turn = tri_turn_begin(c->tri_object);
    bool waited = tri_line_remove(&turn.monitor->line, c);
    tri_turn_end(&turn);
    return waited;
}

int tri_monitor_await(struct tr_case *c, tr_time deadline)
{
    int rc = tri_checkpoint();
    if (rc == 0)
        rc = c->tri_kind->attempt(c);
    if (rc != -EAGAIN)
        return rc;
    return deadline == TR_NOW ? -ETIMEDOUT : tri_wait(c, deadline);
}
