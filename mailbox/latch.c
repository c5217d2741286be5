/* SPDX-License-Identifier: MIT */
/*
 * latch.c: the countdown latch, a monitor whose state is the count. Those who wait are served in the turn that comes to
 * zero, and the zero is published by that turn's end: who sees it may put the memory to another use.
 *
 *   [L1] counting (release) -> seeing zero (acquire): what was done before. Every count continues the release sequence of those
 *        before it, or has acquired them. Who was served: [W1].
 */
#include "mailbox/monitor.h"
#include <troupe/latch.h>

#include <errno.h>

_Static_assert(sizeof(struct tr_latch) == 16 && sizeof(struct tri_monitor) == 16, "the public face");
_Static_assert(_Alignof(struct tri_monitor) == _Alignof(struct tr_latch), "the public face");
_Static_assert(TR_LATCH_LIMIT - 1 <= TRI_STATE_MASK / TRI_STATE_ONE, "it fits");

static inline struct tri_monitor *monitor_of(const struct tr_latch *latch)
{
    return (struct tri_monitor *)(uintptr_t)latch;
}

static inline uint64_t count_of(uint64_t word)
{
    return (word & TRI_STATE_MASK) / TRI_STATE_ONE;
}

int tr_latch_init(struct tr_latch *latch, uint64_t count)
{
    if (count >= TR_LATCH_LIMIT)
        return -EINVAL;
    *latch = (struct tr_latch){ .tri_word = count * TRI_STATE_ONE };
    return 0;
}

int tr_latch_count_down(struct tr_latch *latch, uint64_t count)
{
    struct tri_monitor *monitor = monitor_of(latch);
    uint64_t word = tri_load(&monitor->word, TRI_RELAXED);
    while ((word & (TRI_HOME_MASK | TRI_GUARD | TRI_WAITED)) == TRI_SHARED && count_of(word) >= count) {
        if (tri_cas(&monitor->word, &word, word - count * TRI_STATE_ONE, TRI_RELEASE, TRI_RELAXED)) /* [L1] */
            return 0;
    }
    struct tri_turn turn = tri_turn_begin(monitor);
    bool fits = count_of(turn.state) >= count;
    if (fits)
        turn.state -= count * TRI_STATE_ONE;
    if (turn.state == 0)
        tri_turn_end_serving_all(&turn, 0);
    else
        tri_turn_end(&turn);
    return fits ? 0 : -EINVAL;
}

/* Zero is for ever: it can be seen without a turn. */
static int attempt(struct tr_case *c)
{
    struct tri_monitor *monitor = c->tri_object;
    return count_of(tri_load(&monitor->word, TRI_ACQUIRE)) == 0 ? 0 : -EAGAIN; /* [L1] */
}

static int pass(struct tri_turn *turn, struct tr_case *c, struct tri_task *self)
{
    (void)c;
    (void)self;
    return turn->state == 0 ? 0 : -EAGAIN;
}

static int enter(struct tr_case *c)
{
    return tri_monitor_enter(c, pass);
}

static const struct tri_kind latch_kind = { attempt, enter, tri_monitor_leave, NULL, TRI_WAIT_SIGNAL };

struct tr_case tr_case_latch(struct tr_latch *latch)
{
    return (struct tr_case){ .tri_kind = &latch_kind, .tri_object = latch };
}

int tr_latch_wait(struct tr_latch *latch, tr_time deadline)
{
    struct tr_case c = tr_case_latch(latch);
    return tri_monitor_await(&c, deadline);
}

int tr_latch_try_wait(struct tr_latch *latch)
{
    struct tr_case c = tr_case_latch(latch);
    return attempt(&c);
}

uint64_t tr_latch_count(const struct tr_latch *latch)
{
    return count_of(tri_load(&monitor_of(latch)->word, TRI_RELAXED));
}
