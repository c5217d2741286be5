/* SPDX-License-Identifier: MIT */
/*
 * semaphore.c: permits in the word of a monitor, and a queue for those who wait.
 *
 *    53                    3       2
 *   +-----------------------+--------+
 *   | permits               | CLOSED |
 *   +-----------------------+--------+
 *
 * While nobody waits, permits are taken and given by compare-and-swap. What is given while somebody waits goes to the queue
 * first, in order, in the same turn: nobody sees the permits in between.
 *
 *   [E1] release of permits (release) -> acquire of them (acquire): what was done under the permits. A giving continues the
 *        release sequence of those before it, being a read-modify-write, or has acquired them, being a turn.
 *   Handing over passes what the giver did on by [W1].
 */
#include "mailbox/semaphore.h"

#include <errno.h>

_Static_assert(sizeof(struct tr_semaphore) == 16 && sizeof(struct tri_monitor) == 16, "the public face");
_Static_assert(_Alignof(struct tri_monitor) == _Alignof(struct tr_semaphore), "the public face");
_Static_assert(TR_SEMAPHORE_LIMIT - 1 <= TRI_STATE_MASK / TRI_PERMIT, "they fit");

int tr_semaphore_init(struct tr_semaphore *semaphore, uint64_t permits)
{
    if (permits >= TR_SEMAPHORE_LIMIT)
        return -EINVAL;
    *semaphore = (struct tr_semaphore){ .tri_word = permits * TRI_PERMIT };
    return 0;
}

/* Serves those who wait, in order, as far as the permits go, and ends the turn: the wakes come after. */
static void end_serving(struct tri_turn *turn)
{
    struct tri_line *line = &turn->monitor->line;
    struct tri_wakes wakes;
    struct tr_case *c;
    wakes.count = 0;
    while ((c = tri_line_first(line)) && tri_permits(turn->state) >= c->tri_amount) {
        tri_line_remove(line, c);
        if (!tri_claim(c))
            continue;
        turn->state -= c->tri_amount * TRI_PERMIT;
        tri_wakes_add(&wakes, tri_finish(c, 0));
    }
    tri_turn_end(turn);
    tri_wakes_make(&wakes);
}

static int take(struct tri_turn *turn, struct tr_case *c, struct tri_task *self)
{
    (void)self;
    if (turn->state & TRI_CLOSED)
        return -EPIPE;
    if (!tri_line_is_empty(&turn->monitor->line) || tri_permits(turn->state) < c->tri_amount)
        return -EAGAIN;
    turn->state -= c->tri_amount * TRI_PERMIT;
    return 0;
}

/* Most often a look will do. */
static int attempt(struct tr_case *c)
{
    struct tri_monitor *monitor = c->tri_object;
    if (c->tri_amount >= TR_SEMAPHORE_LIMIT)
        return -EINVAL;
    uint64_t word = tri_load(&monitor->word, TRI_RELAXED);
    if (word & TRI_CLOSED)
        return -EPIPE;
    if (word & TRI_WAITED || tri_permits(word) < c->tri_amount)
        return -EAGAIN;
    return tri_semaphore_take(tri_home(), monitor, c->tri_amount) ? 0 : tri_monitor_attempt(c, take);
}

static int enter(struct tr_case *c)
{
    return tri_monitor_enter(c, take);
}

/* Those behind who wants many may want fewer. */
static bool leave(struct tr_case *c)
{
    struct tri_turn turn = tri_turn_begin(c->tri_object);
    bool waited = tri_line_remove(&turn.monitor->line, c);
    if (waited)
        end_serving(&turn);
    else
        tri_turn_end(&turn);
    return waited;
}

static const struct tri_kind acquire_kind = { attempt, enter, leave, NULL, TRI_WAIT_PERMIT };

struct tr_case tr_case_acquire(struct tr_semaphore *semaphore, uint64_t permits)
{
    return (struct tr_case){ .tri_kind = &acquire_kind, .tri_object = semaphore, .tri_amount = permits };
}

int tri_semaphore_acquire_slow(struct tr_semaphore *semaphore, uint64_t permits, tr_time deadline)
{
    struct tr_case c = tr_case_acquire(semaphore, permits);
    return permits >= TR_SEMAPHORE_LIMIT ? -EINVAL : tri_monitor_await(&c, deadline);
}

int tr_semaphore_try_acquire(struct tr_semaphore *semaphore, uint64_t permits)
{
    struct tr_case c = tr_case_acquire(semaphore, permits);
    return attempt(&c);
}

int tri_semaphore_release_slow(struct tr_semaphore *semaphore, uint64_t permits)
{
    struct tri_turn turn = tri_turn_begin(tri_semaphore_monitor(semaphore));
    bool fits = permits < TR_SEMAPHORE_LIMIT - tri_permits(turn.state);
    if (fits)
        turn.state += permits * TRI_PERMIT;
    end_serving(&turn);
    return fits ? 0 : -EINVAL;
}

uint64_t tr_semaphore_forget(struct tr_semaphore *semaphore, uint64_t permits)
{
    struct tri_turn turn = tri_turn_begin(tri_semaphore_monitor(semaphore));
    uint64_t count = tri_permits(turn.state) < permits ? tri_permits(turn.state) : permits;
    turn.state -= count * TRI_PERMIT;
    tri_turn_end(&turn);
    return count;
}

void tr_semaphore_close(struct tr_semaphore *semaphore)
{
    struct tri_turn turn = tri_turn_begin(tri_semaphore_monitor(semaphore));
    turn.state |= TRI_CLOSED;
    tri_turn_end_serving_all(&turn, -EPIPE);
}

bool tr_semaphore_is_closed(const struct tr_semaphore *semaphore)
{
    return tri_load(&tri_semaphore_monitor(semaphore)->word, TRI_RELAXED) & TRI_CLOSED;
}

uint64_t tr_semaphore_available(const struct tr_semaphore *semaphore)
{
    return tri_permits(tri_load(&tri_semaphore_monitor(semaphore)->word, TRI_RELAXED));
}
