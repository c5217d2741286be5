/* SPDX-License-Identifier: MIT */
/*
 * once.c: something made once, a monitor whose state says how far that is.
 *
 *             begin                end, made
 *     0  ---------------> maker ---------------> MADE
 *        <---------------   |
 *          end, not made,   +---> the next maker, if somebody waits to begin
 *          nobody waits
 *
 * A maker is the record of its task. In the queue stand those who would make it and those who only wait for it.
 *
 *   [ON1] made (release) -> who sees it (acquire), also without a turn: what was made. Who was served: [W1].
 */
#include "mailbox/monitor.h"
#include <troupe/once.h>

#include <errno.h>

#define MADE TRI_STATE_ONE /* no record lies there */

enum { WAITS, BEGINS }; /* the number of a case */

_Static_assert(sizeof(struct tr_once) == 16 && sizeof(struct tri_monitor) == 16, "the public face");
_Static_assert(_Alignof(struct tri_monitor) == _Alignof(struct tr_once), "the public face");

static inline struct tri_monitor *monitor_of(const struct tr_once *once)
{
    return (struct tri_monitor *)(uintptr_t)once;
}

void tr_once_init(struct tr_once *once)
{
    *once = (struct tr_once)TR_ONCE_INIT;
}

static int advance(struct tri_turn *turn, struct tr_case *c, struct tri_task *self)
{
    if (turn->state == MADE)
        return 0;
    if (turn->state == (uintptr_t)self)
        return -EDEADLK;
    if (turn->state || c->tri_number == WAITS)
        return -EAGAIN;
    turn->state = (uintptr_t)self;
    return 1;
}

bool tr_once_is_made(const struct tr_once *once)
{
    return (tri_load(&monitor_of(once)->word, TRI_ACQUIRE) & TRI_STATE_MASK) == MADE; /* [ON1] */
}

static int attempt(struct tr_case *c)
{
    return tr_once_is_made(c->tri_object) ? 0 : tri_monitor_attempt(c, advance);
}

static int enter(struct tr_case *c)
{
    return tri_monitor_enter(c, advance);
}

static const struct tri_kind once_kind = { attempt, enter, tri_monitor_leave, NULL, TRI_WAIT_SIGNAL };

struct tr_case tr_case_once(struct tr_once *once)
{
    return (struct tr_case){ .tri_kind = &once_kind, .tri_object = once, .tri_number = WAITS };
}

static struct tr_case case_begin(struct tr_once *once)
{
    return (struct tr_case){ .tri_kind = &once_kind, .tri_object = once, .tri_number = BEGINS };
}

int tr_once_wait(struct tr_once *once, tr_time deadline)
{
    struct tr_case c = tr_case_once(once);
    return tri_monitor_await(&c, deadline);
}

int tr_once_begin(struct tr_once *once, tr_time deadline)
{
    struct tr_case c = case_begin(once);
    return tri_monitor_await(&c, deadline);
}

int tr_once_try_begin(struct tr_once *once)
{
    struct tr_case c = case_begin(once);
    return attempt(&c);
}

int tr_once_run(struct tr_once *once, int (*make)(void *argument), void *argument, tr_time deadline)
{
    int rc = tr_once_begin(once, deadline);
    if (rc != 1)
        return rc;
    rc = make(argument);
    tr_once_end(once, rc >= 0);
    return rc < 0 ? rc : 0;
}

/* Takes the first who would make it out of the queue. Such a case is never of a select: its wait need not be claimed. */
static struct tr_case *next_maker(struct tri_line *line)
{
    struct tr_case *c = tri_line_first(line);
    while (c && c->tri_number != BEGINS)
        c = c == line->last ? NULL : c->tri_next;
    if (c)
        tri_line_remove(line, c);
    return c;
}

int tr_once_end(struct tr_once *once, bool made)
{
    struct tri_task *self = tri_self(), *next = NULL;
    struct tri_turn turn = tri_turn_begin(monitor_of(once));
    bool at_it = self && turn.state == (uintptr_t)self;
    if (at_it && made) {
        turn.state = MADE;
        tri_turn_end_serving_all(&turn, 0);
        return 0;
    }
    if (at_it) {
        struct tr_case *c = next_maker(&turn.monitor->line);
        next = c ? tri_finish(c, 1) : NULL;
        turn.state = (uintptr_t)next;
    }
    tri_turn_end(&turn);
    if (next)
        tri_wake(next);
    return at_it ? 0 : -EINVAL;
}
