/* SPDX-License-Identifier: MIT */
/*
 * barrier.c: the barrier, a monitor whose state is how many are wanted and how many have come.
 *
 *    53                    28 27                    2
 *   +------------------------+-----------------------+
 *   | wanted                 | come                  |
 *   +------------------------+-----------------------+
 *
 * Who has come is in the queue, so who leaves the queue has not come. The one who completes the number serves the queue, all
 * of it in one turn: the next meeting begins empty. It is no case of a select: then some of those counted on might have gone elsewhere.
 *
 *   [BA1] coming (release) -> the last one's turn (acquire), and from there by [W1] to all.
 */
#include "mailbox/monitor.h"
#include <troupe/barrier.h>

#include <errno.h>

#define WANTED_SHIFT 28
#define COME_MASK (((UINT64_C(1) << WANTED_SHIFT) - 1) & TRI_STATE_MASK)

_Static_assert(sizeof(struct tr_barrier) == 16 && sizeof(struct tri_monitor) == 16, "the public face");
_Static_assert(_Alignof(struct tri_monitor) == _Alignof(struct tr_barrier), "the public face");
_Static_assert(TR_BARRIER_LIMIT - 1 <= TRI_STATE_MASK >> WANTED_SHIFT, "it fits");

static inline struct tri_monitor *monitor_of(const struct tr_barrier *barrier)
{
    return (struct tri_monitor *)(uintptr_t)barrier;
}

int tr_barrier_init(struct tr_barrier *barrier, uint32_t count)
{
    if (count >= TR_BARRIER_LIMIT)
        return -EINVAL;
    *barrier = (struct tr_barrier)TR_BARRIER_INIT(count);
    return 0;
}

static uint64_t come(uint64_t state)
{
    return (state & COME_MASK) / TRI_STATE_ONE;
}

/* The last of a meeting; false: others are wanted first. */
static bool completes(uint64_t state)
{
    return come(state) + 1 >= state >> WANTED_SHIFT;
}

static int enter(struct tr_case *c)
{
    struct tri_turn turn = tri_turn_begin(c->tri_object);
    if (completes(turn.state)) {
        turn.state &= ~COME_MASK;
        tri_turn_end_serving_all(&turn, 0);
        return 1;
    }
    turn.state += TRI_STATE_ONE;
    tri_line_push(&turn.monitor->line, c);
    tri_turn_end(&turn);
    return -EAGAIN;
}

static bool leave(struct tr_case *c)
{
    struct tri_turn turn = tri_turn_begin(c->tri_object);
    bool waited = tri_line_remove(&turn.monitor->line, c);
    if (waited)
        turn.state -= TRI_STATE_ONE;
    tri_turn_end(&turn);
    return waited;
}

/* Without waiting: only the last can. */
static int attempt(struct tr_case *c)
{
    struct tri_turn turn = tri_turn_begin(c->tri_object);
    bool last = completes(turn.state);
    if (last) {
        turn.state &= ~COME_MASK;
        tri_turn_end_serving_all(&turn, 0);
    } else {
        tri_turn_end(&turn);
    }
    return last ? 1 : -EAGAIN;
}

static const struct tri_kind meeting_kind = { attempt, enter, leave, NULL, TRI_WAIT_GROUP };

int tr_barrier_wait(struct tr_barrier *barrier, tr_time deadline)
{
    struct tr_case c = { .tri_kind = &meeting_kind, .tri_object = barrier };
    return tri_monitor_await(&c, deadline);
}

uint32_t tr_barrier_waiting(const struct tr_barrier *barrier)
{
    return (uint32_t)come(tri_load(&monitor_of(barrier)->word, TRI_RELAXED) & TRI_STATE_MASK);
}
