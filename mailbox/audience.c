/* SPDX-License-Identifier: MIT */
/* audience.c: counting senders and receivers, and telling all who wait. The picture and the edges are in audience.h. */
#include "mailbox/audience.h"

/* ---- telling -------------------------------------------------------------------------------------------------- */

/* All of `from` to the end of `to`. */
static void append(struct tri_line *to, struct tri_line *from)
{
    struct tr_case *last = from->last;
    if (!last)
        return;
    if (to->last) {
        struct tr_case *first = to->last->tri_next, *middle = last->tri_next;
        to->last->tri_next = middle;
        middle->tri_previous = to->last;
        last->tri_next = first;
        first->tri_previous = last;
    }
    to->last = last;
    from->last = NULL;
}

/* Takes up to a handful out of those who are being told, from the first on. What comes next is read before a frame may go. */
static void take_handful(struct tri_line *telling, struct tri_wakes *wakes)
{
    struct tr_case *last = telling->last, *next = last ? last->tri_next : NULL;
    unsigned count = 0;
    while (next && count < TRI_WAKES) {
        struct tr_case *c = next;
        struct tri_waiter *waiter = c->tri_waiter;
        next = c == last ? NULL : c->tri_next;
        wakes->task[count++] = waiter->task;
        c->tri_next = NULL;
        if (!waiter->several)
            tri_store(&waiter->state, (uint32_t)TRI_WAIT_DONE, TRI_RELEASE); /* [A2] */
    }
    wakes->count = count;
    if (next) {
        last->tri_next = next;
        next->tri_previous = last;
    } else {
        telling->last = NULL;
    }
}

/*
 * Tells those in `line` and all who are being told already. Under the lock, and lets it go. Between the turns of the lock it has
 * a hold of its own, for those who have been told may give up all the others. True: that was the last.
 */
static bool tell(struct tri_audience *audience, struct tri_line *line)
{
    struct tri_wakes wakes;
    bool holds = false, last = false;
    append(&audience->telling, line);
    for (;;) {
        take_handful(&audience->telling, &wakes);
        bool more = !tri_line_is_empty(&audience->telling);
        if (more && !holds)
            audience->holders++;
        else if (!more && holds)
            last = --audience->holders == 0;
        holds = more;
        tri_bias_unlock(&audience->lock);
        tri_wake_many(wakes.task, wakes.count);
        if (!more)
            return last;
        tri_bias_lock(&audience->lock);
    }
}

bool tri_audience_tell_waiting(struct tri_audience *audience)
{
    return tell(audience, &audience->waiting);
}

/* Of a line of which it is not the last, a case needs to know only its neighbours. */
bool tri_audience_leave(struct tri_audience *audience, struct tri_line *line, struct tr_case *c)
{
    tri_bias_lock(&audience->lock);
    bool waited = tri_line_remove(audience->telling.last == c ? &audience->telling : line, c);
    tri_bias_unlock(&audience->lock);
    return waited;
}

/* ---- counting ------------------------------------------------------------------------------------------------- */

void tri_audience_open(struct tri_audience *audience)
{
    tri_bias_lock(&audience->lock);
    audience->senders++;
    audience->holders++;
    tri_bias_unlock(&audience->lock);
}

void tri_audience_hold(struct tri_audience *audience)
{
    tri_bias_lock(&audience->lock);
    audience->holders++;
    tri_bias_unlock(&audience->lock);
}

bool tri_audience_let_go(struct tri_audience *audience)
{
    tri_bias_lock(&audience->lock);
    bool last = --audience->holders == 0;
    tri_bias_unlock(&audience->lock);
    return last;
}

bool tri_audience_reopen(struct tri_audience *audience)
{
    tri_bias_lock(&audience->lock);
    bool open = audience->senders > 0;
    audience->senders += open;
    audience->holders += open;
    tri_bias_unlock(&audience->lock);
    return open;
}

bool tri_audience_close(struct tri_audience *audience)
{
    tri_bias_lock(&audience->lock);
    bool last = --audience->senders == 0;
    if (last)
        tri_store(&audience->closed, 1u, TRI_RELEASE); /* [A3] */
    if (last)
        tell(audience, &audience->waiting);
    else
        tri_bias_unlock(&audience->lock);
    return tri_audience_let_go(audience);
}

bool tri_audience_quit(struct tri_audience *audience)
{
    tri_bias_lock(&audience->lock);
    if (--audience->receivers == 0)
        tell(audience, &audience->deserted);
    else
        tri_bias_unlock(&audience->lock);
    return tri_audience_let_go(audience);
}

uint32_t tri_audience_count(struct tri_audience *audience, const uint32_t *of)
{
    tri_bias_lock(&audience->lock);
    uint32_t count = *of;
    tri_bias_unlock(&audience->lock);
    return count;
}

static int enter_deserted(struct tr_case *c)
{
    struct tri_audience *audience = c->tri_object;
    tri_bias_lock(&audience->lock);
    bool waits = audience->receivers > 0;
    if (waits)
        tri_line_push(&audience->deserted, c);
    tri_bias_unlock(&audience->lock);
    return waits ? -EAGAIN : 0;
}

int tri_audience_await_desertion(struct tri_audience *audience, tr_time deadline)
{
    if (deadline == TR_NOW)
        return tri_audience_count(audience, &audience->receivers) == 0 ? 0 : -ETIMEDOUT;
    return tri_audience_wait(audience, &audience->deserted, audience, deadline, enter_deserted, tri_self(), tri_park);
}
