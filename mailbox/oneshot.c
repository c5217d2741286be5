/* SPDX-License-Identifier: MIT */
/*
 * oneshot.c: a lock, a few bits, and two queues of those who wait.
 *
 *   FULL     the value is in its place
 *   SENT     the sender has done its part: it sent, tried to, or dropped
 *   CLOSED   the receiver wants nothing more
 *   TAKEN    the receiver has had the value
 *   HEAP     made by tr_oneshot_create
 *   LEFT     the receiver has gone, of one on the heap: the sender frees it
 *
 *   receivers  the receiver, for the value or, having left, for the sender's part
 *   senders    the sender, for the close
 *
 *   [O1] under the lock: all of it, the value too. Who lets go of the lock after it has done its part touches nothing any more;
 *        and who was served takes the lock once more (kind->leave, [W3] of wait.h). So whoever knows by the lock that
 *        the other has done its part has the memory for himself.
 */
#include "mailbox/storage.h"
#include "mailbox/wait.h"
#include <troupe/oneshot.h>

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

enum oneshot_state { FULL = 1, SENT = 2, CLOSED = 4, TAKEN = 8, HEAP = 16, LEFT = 32 };

struct oneshot {
    struct tri_lock lock;
    uint32_t state;
    struct tri_line receivers, senders;
};
_Static_assert(sizeof(struct oneshot) == sizeof(struct tr_oneshot), "the public face");
_Static_assert(_Alignof(struct oneshot) == _Alignof(struct tr_oneshot), "the public face");

static inline struct oneshot *oneshot_of(struct tr_oneshot *face)
{
    return (struct oneshot *)(void *)face;
}

void tr_oneshot_init_raw(struct tr_oneshot *face)
{
    *face = (struct tr_oneshot){ 0 };
}

struct tr_oneshot *tr_oneshot_create_raw(size_t bytes)
{
    struct tr_oneshot *face = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (face)
        *face = (struct tr_oneshot){ .tri_state = HEAP };
    return face;
}

/* Lets go of the lock, and wakes. True: both sides have done their part, and it is on the heap, so the caller's to free. */
static bool unlock(struct oneshot *oneshot, struct tri_wakes *wakes)
{
    bool last = (oneshot->state & (LEFT | SENT)) == (LEFT | SENT);
    tri_unlock(&oneshot->lock); /* [O1] */
    tri_wakes_make(wakes);
    return last;
}

/* Ends the waits of all in the queue. */
static void serve(struct tri_line *line, int result, struct tri_wakes *wakes)
{
    struct tr_case *c;
    while ((c = tri_line_claim(line)))
        tri_wakes_add(wakes, tri_finish(c, result));
}

/* ---- the sender ----------------------------------------------------------------------------------------------- */

int tr_oneshot_send_raw(struct tr_oneshot *face, uint32_t bytes, void *place, const void *value)
{
    struct oneshot *oneshot = oneshot_of(face);
    struct tri_wakes wakes;
    int rc = 0;
    wakes.count = 0;
    tri_lock(&oneshot->lock); /* [O1] */
    if (oneshot->state & SENT) {
        rc = -EINVAL;
    } else if (oneshot->state & CLOSED) {
        rc = -EPIPE;
        serve(&oneshot->receivers, 0, &wakes); /* it has left, and waits for us */
    } else {
        struct tr_case *receiver = tri_line_claim(&oneshot->receivers);
        tri_copy(receiver ? receiver->tri_value : place, value, bytes);
        oneshot->state |= receiver ? TAKEN : FULL;
        if (receiver)
            tri_wakes_add(&wakes, tri_finish(receiver, 0));
    }
    if (rc != -EINVAL)
        oneshot->state |= SENT;
    if (unlock(oneshot, &wakes))
        free(oneshot);
    return rc;
}

void tr_oneshot_drop_raw(struct tr_oneshot *face)
{
    struct oneshot *oneshot = oneshot_of(face);
    struct tri_wakes wakes;
    wakes.count = 0;
    tri_lock(&oneshot->lock); /* [O1] */
    if (!(oneshot->state & SENT)) {
        oneshot->state |= SENT;
        serve(&oneshot->receivers, -EPIPE, &wakes); /* or it has left, and waits for us */
    }
    if (unlock(oneshot, &wakes))
        free(oneshot);
}

static int attempt_watch(struct tr_case *c)
{
    return tr_oneshot_is_closed_raw(c->tri_object) ? 0 : -EAGAIN;
}

static int enter_watcher(struct tr_case *c)
{
    struct oneshot *oneshot = c->tri_object;
    int rc = -EAGAIN;
    tri_lock(&oneshot->lock); /* [O1] */
    if (!(oneshot->state & CLOSED))
        tri_line_push(&oneshot->senders, c);
    else if (tri_claim(c))
        rc = 0;
    tri_unlock(&oneshot->lock);
    return rc;
}

static bool leave_watcher(struct tr_case *c)
{
    struct oneshot *oneshot = c->tri_object;
    tri_lock(&oneshot->lock); /* [O1] */
    bool waited = tri_line_remove(&oneshot->senders, c);
    tri_unlock(&oneshot->lock);
    return waited;
}

static const struct tri_kind watch_kind = { attempt_watch, enter_watcher, leave_watcher, NULL, TRI_WAIT_ONESHOT };

struct tr_case tr_case_oneshot_close_raw(struct tr_oneshot *face)
{
    return (struct tr_case){ .tri_kind = &watch_kind, .tri_object = face };
}

/* A checkpoint, a try, a wait. */
static int await(struct tr_case *c, tr_time deadline)
{
    int rc = tri_checkpoint();
    if (rc < 0 || (rc = c->tri_kind->attempt(c)) != -EAGAIN)
        return rc;
    return deadline == TR_NOW ? -ETIMEDOUT : tri_wait(c, deadline);
}

int tr_oneshot_await_close_raw(struct tr_oneshot *face, tr_time deadline)
{
    struct tr_case c = tr_case_oneshot_close_raw(face);
    return await(&c, deadline);
}

bool tr_oneshot_is_closed_raw(struct tr_oneshot *face)
{
    struct oneshot *oneshot = oneshot_of(face);
    tri_lock(&oneshot->lock); /* [O1] */
    bool closed = oneshot->state & CLOSED;
    tri_unlock(&oneshot->lock);
    return closed;
}

/* ---- the receiver --------------------------------------------------------------------------------------------- */

/* Under the lock; of the case, amount is the place, and number the bytes. Returns 0, -EAGAIN, -EPIPE. */
static int take(struct oneshot *oneshot, struct tr_case *c)
{
    if (oneshot->state & FULL) {
        tri_copy(c->tri_value, (void *)(uintptr_t)c->tri_amount, c->tri_number);
        oneshot->state = (oneshot->state & ~(uint32_t)FULL) | TAKEN;
        return 0;
    }
    return oneshot->state & (SENT | CLOSED | TAKEN) ? -EPIPE : -EAGAIN;
}

static int attempt_receive(struct tr_case *c)
{
    struct oneshot *oneshot = c->tri_object;
    tri_lock(&oneshot->lock); /* [O1] */
    int rc = take(oneshot, c);
    tri_unlock(&oneshot->lock);
    return rc;
}

static int enter_receiver(struct tr_case *c)
{
    struct oneshot *oneshot = c->tri_object;
    int rc = -EAGAIN;
    tri_lock(&oneshot->lock); /* [O1] */
    if (!(oneshot->state & (FULL | SENT | CLOSED | TAKEN)))
        tri_line_push(&oneshot->receivers, c);
    else if (tri_claim(c))
        rc = take(oneshot, c);
    tri_unlock(&oneshot->lock);
    return rc;
}

static bool leave_receiver(struct tr_case *c)
{
    struct oneshot *oneshot = c->tri_object;
    tri_lock(&oneshot->lock); /* [O1] */
    bool waited = tri_line_remove(&oneshot->receivers, c);
    tri_unlock(&oneshot->lock);
    return waited;
}

static const struct tri_kind receive_kind = { attempt_receive, enter_receiver, leave_receiver, NULL, TRI_WAIT_ONESHOT };

static struct tr_case make_receive(struct tr_oneshot *face, uint32_t bytes, void *place, void *value)
{
    return (struct tr_case){ .tri_kind = &receive_kind,
                             .tri_object = face,
                             .tri_value = value,
                             .tri_number = bytes,
                             .tri_amount = (uintptr_t)place };
}

struct tr_case tr_case_oneshot_raw(struct tr_oneshot *face, uint32_t bytes, void *place, void *value)
{
    return make_receive(face, bytes, place, value);
}

int tr_oneshot_receive_raw(struct tr_oneshot *face, uint32_t bytes, void *place, void *value, tr_time deadline)
{
    struct tr_case c = make_receive(face, bytes, place, value);
    return await(&c, deadline);
}

int tr_oneshot_try_receive_raw(struct tr_oneshot *face, uint32_t bytes, void *place, void *value)
{
    struct tr_case c = make_receive(face, bytes, place, value);
    return attempt_receive(&c);
}

bool tr_oneshot_is_empty_raw(struct tr_oneshot *face)
{
    struct oneshot *oneshot = oneshot_of(face);
    tri_lock(&oneshot->lock); /* [O1] */
    bool full = oneshot->state & FULL;
    tri_unlock(&oneshot->lock);
    return !full;
}

/* ---- the receiver's end --------------------------------------------------------------------------------------- */

/* From now on nothing can be sent: who waits for that, and for a value, is told. Returns as unlock. */
static bool close_with(struct oneshot *oneshot, uint32_t state)
{
    struct tri_wakes wakes;
    wakes.count = 0;
    tri_lock(&oneshot->lock); /* [O1] */
    oneshot->state |= state;
    serve(&oneshot->senders, 0, &wakes);
    serve(&oneshot->receivers, -EPIPE, &wakes);
    return unlock(oneshot, &wakes);
}

void tr_oneshot_close_raw(struct tr_oneshot *face)
{
    close_with(oneshot_of(face), CLOSED);
}

static bool is_sent(struct oneshot *oneshot)
{
    tri_lock(&oneshot->lock); /* [O1] */
    bool sent = oneshot->state & SENT;
    tri_unlock(&oneshot->lock);
    return sent;
}

/* Waits for the sender's part: as a receiver that wants no value. */
static void await_sender(struct oneshot *oneshot)
{
    struct tri_waiter waiter = { .task = tri_self() };
    struct tr_case c = { .tri_object = oneshot, .tri_waiter = &waiter };
    while (!waiter.task && !is_sent(oneshot)) /* a foreign thread, and no memory for its record */
        sched_yield();
    tri_lock(&oneshot->lock); /* [O1] */
    bool waits = !(oneshot->state & SENT);
    if (waits)
        tri_line_push(&oneshot->receivers, &c);
    tri_unlock(&oneshot->lock);
    while (waits && tri_load(&waiter.state, TRI_RELAXED) != TRI_WAIT_DONE) /* the lock, below, orders it */
        tri_park_tail(TRI_WAIT_ONESHOT);
    leave_receiver(&c);
}

void tr_oneshot_leave_raw(struct tr_oneshot *face)
{
    struct oneshot *oneshot = oneshot_of(face);
    tri_lock(&oneshot->lock); /* [O1] */
    bool heap = oneshot->state & HEAP;
    tri_unlock(&oneshot->lock);
    if (heap) {
        if (close_with(oneshot, CLOSED | LEFT))
            free(oneshot);
        return;
    }
    close_with(oneshot, CLOSED);
    await_sender(oneshot);
    tri_budget(); /* it may be somebody else's memory by now */
}
