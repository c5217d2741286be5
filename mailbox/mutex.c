/* SPDX-License-Identifier: MIT */
/*
 * mutex.c: the mutex, a monitor whose state is its owner: the record of the task that has locked it, or 0.
 *
 * While nobody waits it changes by compare-and-swap. An unlock while somebody waits makes the first of them the owner, in one
 * turn: the mutex is never free in between, so nobody overtakes.
 *
 *   [X1] unlock (release) -> lock (acquire): what was done under the mutex. Handing over: [W1].
 */
#include "mailbox/mutex.h"

#include <errno.h>

_Static_assert(sizeof(struct tr_mutex) == 16 && sizeof(struct tri_monitor) == 16, "the public face");
_Static_assert(_Alignof(struct tri_monitor) == _Alignof(struct tr_mutex), "the public face");

void tr_mutex_init(struct tr_mutex *mutex)
{
    *mutex = (struct tr_mutex)TR_MUTEX_INIT;
}

static int take(struct tri_turn *turn, struct tr_case *c, struct tri_task *self)
{
    (void)c;
    if (turn->state == (uintptr_t)self)
        return -EDEADLK;
    if (turn->state)
        return -EAGAIN;
    turn->state = (uintptr_t)self;
    return 0;
}

/* Most often a look will do: whether it is the caller's cannot change meanwhile. */
static int attempt(struct tr_case *c)
{
    struct tri_monitor *monitor = c->tri_object;
    struct tri_task *self = tri_self();
    if (!self)
        return -ENOMEM;
    uint64_t owner = tri_load(&monitor->word, TRI_RELAXED) & TRI_STATE_MASK;
    if (owner)
        return owner == (uintptr_t)self ? -EDEADLK : -EAGAIN;
    return tri_mutex_take(tri_home(), monitor, self) ? 0 : tri_monitor_attempt(c, take);
}

static int enter(struct tr_case *c)
{
    return tri_monitor_enter(c, take);
}

static const struct tri_kind lock_kind = { attempt, enter, tri_monitor_leave, NULL, TRI_WAIT_LOCK };

struct tr_case tr_case_lock(struct tr_mutex *mutex)
{
    return (struct tr_case){ .tri_kind = &lock_kind, .tri_object = mutex };
}

int tri_mutex_lock_slow(struct tr_mutex *mutex, tr_time deadline)
{
    struct tr_case c = tr_case_lock(mutex);
    return tri_monitor_await(&c, deadline);
}

void tri_mutex_lock_tail(struct tr_mutex *mutex)
{
    struct tri_waiter waiter = { .task = tri_self() };
    struct tr_case c = tr_case_lock(mutex);
    c.tri_waiter = &waiter;
    if (enter(&c) != -EAGAIN)
        return;
    while (tri_load(&waiter.state, TRI_RELAXED) != TRI_WAIT_DONE) /* ordered by the turn below */
        tri_park_tail(TRI_WAIT_LOCK);
    tri_monitor_leave(&c); /* [W3] */
}

int tr_mutex_try_lock(struct tr_mutex *mutex)
{
    struct tr_case c = tr_case_lock(mutex);
    return attempt(&c);
}

int tri_mutex_unlock_slow(struct tr_mutex *mutex)
{
    struct tri_task *self = tri_self(), *next = NULL;
    struct tri_turn turn = tri_turn_begin(tri_mutex_monitor(mutex));
    bool mine = self && turn.state == (uintptr_t)self;
    if (mine) {
        struct tr_case *c = tri_line_claim(&turn.monitor->line);
        next = c ? tri_finish(c, 0) : NULL;
        turn.state = (uintptr_t)next;
    }
    tri_turn_end(&turn);
    if (next)
        tri_wake(next);
    return mine ? 0 : -EINVAL;
}

static uint64_t owner_of(const struct tr_mutex *mutex)
{
    return tri_load(&tri_mutex_monitor(mutex)->word, TRI_RELAXED) & TRI_STATE_MASK;
}

bool tr_mutex_is_locked(const struct tr_mutex *mutex)
{
    return owner_of(mutex) != 0;
}

bool tr_mutex_is_mine(const struct tr_mutex *mutex)
{
    uint64_t owner = owner_of(mutex);
    return owner != 0 && owner == (uintptr_t)tri_self();
}
