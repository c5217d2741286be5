/* SPDX-License-Identifier: MIT */
/*
 * notify.c: a notification that may be stored, and a queue for those who wait for one.
 *
 *    53                         3       2
 *   +----------------------------+--------+
 *   | calls of tr_notify_all     | STORED |
 *   +----------------------------+--------+
 *
 * STORED is only set while nobody waits: a notification goes to the queue first, in the turn that makes it. Since it is given by
 * claiming a wait, and a wait that ends otherwise cannot be claimed, there are none that were given and not received.
 *
 *   [N1] notification (release) -> the wait that takes it (acquire): what was changed before. A notification that finds one
 *        stored is a read-modify-write like any, so the taker acquires it, too.
 *   [N2] tr_notify_all (release) -> listening (acquire): who does not count it any more sees what was changed before it.
 *        At home, where the word is changed by plain stores, each of them releases, for it may be the one that is read.
 */
#include "mailbox/notify.h"

#include <errno.h>

#define ROUND (2 * TRI_STATE_ONE)

_Static_assert(sizeof(struct tr_notify) == 16 && sizeof(struct tri_monitor) == 16, "the public face");
_Static_assert(_Alignof(struct tri_monitor) == _Alignof(struct tr_notify), "the public face");

void tr_notify_init(struct tr_notify *notify)
{
    *notify = (struct tr_notify)TR_NOTIFY_INIT;
}

static uint64_t round_of(uint64_t state)
{
    return (state & TRI_STATE_MASK & ~TRI_STORED) / ROUND;
}

/* The case's amount: 0, or 1 + the round since which it listens. */
static int take(struct tri_turn *turn, struct tr_case *c, struct tri_task *self)
{
    (void)self;
    if (c->tri_amount && c->tri_amount - 1 != round_of(turn->state))
        return 0;
    if (!(turn->state & TRI_STORED))
        return -EAGAIN;
    turn->state &= ~TRI_STORED;
    return 0;
}

/* Most often a look will do. */
static int attempt(struct tr_case *c)
{
    struct tri_monitor *monitor = c->tri_object;
    uint64_t word = tri_load(&monitor->word, TRI_RELAXED);
    if (!(word & TRI_STORED) && (!c->tri_amount || c->tri_amount - 1 == round_of(word)))
        return -EAGAIN;
    return tri_monitor_attempt(c, take);
}

static int enter(struct tr_case *c)
{
    return tri_monitor_enter(c, take);
}

static const struct tri_kind notified_kind = { attempt, enter, tri_monitor_leave, NULL, TRI_WAIT_SIGNAL };

struct tr_case tr_case_notified(struct tr_notify *notify)
{
    return (struct tr_case){ .tri_kind = &notified_kind, .tri_object = notify };
}

struct tr_case tr_case_notified_since(struct tr_notify *notify, uint64_t since)
{
    return (struct tr_case){ .tri_kind = &notified_kind, .tri_object = notify, .tri_amount = since + 1 };
}

int tri_notify_wait_slow(struct tr_notify *notify, tr_time deadline)
{
    struct tr_case c = tr_case_notified(notify);
    return tri_monitor_await(&c, deadline);
}

int tr_notify_wait_since(struct tr_notify *notify, uint64_t since, tr_time deadline)
{
    struct tr_case c = tr_case_notified_since(notify, since);
    return tri_monitor_await(&c, deadline);
}

int tr_notify_try_wait(struct tr_notify *notify)
{
    struct tr_case c = tr_case_notified(notify);
    return attempt(&c);
}

uint64_t tr_notify_listen(const struct tr_notify *notify)
{
    return round_of(tri_load(&tri_notify_monitor(notify)->word, TRI_ACQUIRE)); /* [N2] */
}

/* Takes the last case whose wait can be claimed out of the queue. */
static struct tr_case *claim_last(struct tri_line *line)
{
    struct tr_case *c;
    while ((c = line->last)) {
        tri_line_remove(line, c);
        if (tri_claim(c))
            return c;
    }
    return NULL;
}

static void give(struct tr_notify *notify, struct tr_case *(*claim)(struct tri_line *line))
{
    struct tri_turn turn = tri_turn_begin(tri_notify_monitor(notify));
    struct tr_case *c = claim(&turn.monitor->line);
    struct tri_task *task = c ? tri_finish(c, 0) : NULL;
    if (!c)
        turn.state |= TRI_STORED;
    tri_turn_end(&turn);
    if (task)
        tri_wake(task);
}

void tri_notify_one_slow(struct tr_notify *notify)
{
    give(notify, tri_line_claim);
}

void tr_notify_last(struct tr_notify *notify)
{
    give(notify, claim_last);
}

void tr_notify_all(struct tr_notify *notify)
{
    struct tri_turn turn = tri_turn_begin(tri_notify_monitor(notify));
    turn.state = (turn.state + ROUND) & TRI_STATE_MASK;
    tri_turn_end_serving_all(&turn, 0);
}
