/* SPDX-License-Identifier: MIT */
/*
 * after.c: messages sent later: making and cancelling. The owner's side is in post.c, the picture and the edges in after.h, the
 * promises in troupe/timer.h.
 */
#include "actor/after.h"
#include "actor/clock.h"
#include "actor/deadline.h"
#include "actor/runtime.h"

#include <errno.h>
#include <stdlib.h>

/* ---- making --------------------------------------------------------------------------------------------------- */

/* An actor of another size has another type. 0, -ESRCH, -EINVAL. */
static int check_target(struct tr_address address, const struct tr_type *type)
{
    struct tri_task *target = address.tri_record;
    if (type->size > TR_MESSAGE_LIMIT)
        return -EINVAL;
    if (!target)
        return -ESRCH;
    uint32_t bytes = tri_load(&target->mailbox.bytes, TRI_ACQUIRE); /* [M8] of mailbox.c */
    if (tri_task_generation(target) != address.tri_generation ||
        (tri_load(&target->mailbox.tail, TRI_RELAXED) & TRI_TAIL_CLOSED))
        return -ESRCH;
    return bytes == type->size ? 0 : -EINVAL;
}

static struct tri_post *make_post(struct tri_worker *worker, struct tr_address address, const struct tr_type *type,
                                  const void *message, int64_t period)
{
    struct tri_post *post = tri_pool_take(&tri_post_pool, tri_post_cache(worker));
    if (!post)
        return NULL;
    void *block = type->size > TRI_POST_INLINE ? malloc(type->size) : NULL;
    if (type->size > TRI_POST_INLINE && !block) {
        tri_pool_give(&tri_post_pool, tri_post_cache(worker), post);
        return NULL;
    }
    post->timer = (struct tri_timer){ .kind = TRI_TIMER_POST };
    post->target = address;
    post->period = period;
    post->bytes = type->size;
    if (block)
        post->block = block;
    tri_copy(block ? block : post->message, message, type->size);
    return post;
}

static void publish(struct tri_post *post, struct tri_worker *owner, uint64_t generation, enum tri_post_state state)
{
    tri_store(&post->runtime, (uint16_t)owner->runtime->index, TRI_RELAXED);
    tri_store(&post->worker, (uint16_t)owner->index, TRI_RELAXED);
    tri_store(&post->word, tri_post_word(generation, state),
              TRI_RELAXED); /* the fields go with the handle, or by [AF4] */
}

/* From a foreign thread: to a worker of the target's runtime, to each in turn. */
static void post_in(struct tr_runtime *runtime, void *context)
{
    static TRI_ATOMIC(uint32_t) turn;
    struct tri_post *post = context;
    struct tri_worker *owner = &runtime->worker[tri_fetch_add(&turn, 1u, TRI_RELAXED) % runtime->workers];
    post->timer.when = tr_clock_translate(post->timer.when, NULL, runtime); /* it was a time of the thread's clock */
    publish(post, owner, tri_post_generation(post) + 1, TRI_POST_POSTED);
    tri_post_leave_with(owner, post);
}

static int send_later(struct tr_timer *out, struct tr_address address, const struct tr_type *type, const void *message,
                      tr_time when, int64_t period)
{
    struct tri_worker *worker = tri_worker_here();
    if (when > TRI_ENDLESS) /* no deadline: a clock that stands must not go there */
        when = TR_FOREVER;
    int rc = check_target(address, type);
    if (rc < 0)
        return rc;
    struct tri_post *post = make_post(worker, address, type, message, period);
    if (!post)
        return -ENOMEM;
    uint64_t generation = tri_post_generation(post) + 1;
    if (out)
        *out = (struct tr_timer){ post, generation };
    post->timer.when = when;
    if (worker) {
        publish(post, worker, generation, TRI_POST_ARMED);
        tri_deadline_set(worker, &post->timer, when);
        return 0;
    }
    struct tri_task *target = address.tri_record;
    if (tri_runtime_visit(tri_load(&target->runtime, TRI_RELAXED), post_in, post))
        return 0;
    tri_store(&post->word, tri_post_word(generation, TRI_POST_FREE), TRI_RELAXED); /* [AF5] the handle was given away */
    tri_post_free(NULL, post);
    return -ESRCH;
}

int tr_send_at_raw(struct tr_timer *out, struct tr_address address, const struct tr_type *type, const void *message,
                   tr_time when)
{
    return send_later(out, address, type, message, when, 0);
}

int tr_send_after_raw(struct tr_timer *out, struct tr_address address, const struct tr_type *type, const void *message,
                      int64_t nanoseconds)
{
    return send_later(out, address, type, message, tr_after(nanoseconds), 0);
}

int tr_send_interval_raw(struct tr_timer *out, struct tr_address address, const struct tr_type *type,
                         const void *message, int64_t period)
{
    return period <= 0 ? -EINVAL : send_later(out, address, type, message, tr_after(period), period);
}

/* ---- cancelling ----------------------------------------------------------------------------------------------- */

struct recall {
    struct tri_post *post;
    uint64_t generation;
    enum tri_post_state from;
    bool moved;
};

/* In the owner's runtime, or with its leave: takes the post from its wheel, or sends it there to be taken out. */
static void recall_in(struct tr_runtime *runtime, void *context)
{
    struct recall *recall = context;
    struct tri_post *post = recall->post;
    struct tri_worker *owner =
        &runtime->worker[tri_load(&post->worker, TRI_RELAXED)]; /* its own, if the move succeeds */
    recall->moved = tri_post_move(post, recall->generation, recall->from, TRI_POST_RECALLED);
    if (!recall->moved)
        return;
    if (owner != tri_worker_here()) {
        tri_post_leave_with(owner, post);
        return;
    }
    tri_wheel_remove(&owner->wheel, &post->timer);
    tri_post_free(owner, post);
}

/* False: the post has moved on meanwhile. */
static bool recall(struct tri_post *post, uint64_t generation, enum tri_post_state from)
{
    struct tri_worker *here = tri_worker_here();
    uint32_t index = tri_load(&post->runtime, TRI_RELAXED);
    struct recall recall = { post, generation, from, false };
    if (here && here->runtime->index == index)
        recall_in(here->runtime, &recall);
    else if (!tri_runtime_visit(index, recall_in, &recall)) /* its runtime ends: its worker will meet it */
        recall.moved = tri_post_move(post, generation, from, TRI_POST_ABANDONED);
    return recall.moved;
}

/* The post waits for room, and is ours: its state is LEAVING. */
static int cancel_queued(struct tri_post *post, uint64_t generation)
{
    bool waited = tri_post_leave_queue(post);
    if (post->period > 0) {
        recall(post, generation, waited ? TRI_POST_LEAVING : TRI_POST_SERVED);
        return 0;
    }
    tri_post_free(tri_worker_here(), post);
    return waited ? 0 : -ESRCH;
}

int tr_timer_cancel(struct tr_timer timer)
{
    struct tri_post *post = timer.tri_record;
    uint64_t generation = timer.tri_generation;
    if (!post)
        return -ESRCH;
    for (unsigned turn = 0;; turn++) {
        uint64_t word = tri_load(&post->word, TRI_RELAXED); /* the move acquires */
        if (word >> TRI_POST_SHIFT != generation)
            return -ESRCH;
        switch (tri_post_state(word)) {
        case TRI_POST_FREE:
        case TRI_POST_RECALLED:
        case TRI_POST_ABANDONED:
            return -ESRCH;
        case TRI_POST_POSTED:
            if (tri_post_move(post, generation, TRI_POST_POSTED, TRI_POST_ABANDONED))
                return 0;
            break;
        case TRI_POST_ARMED:
            if (recall(post, generation, TRI_POST_ARMED))
                return 0;
            break;
        case TRI_POST_QUEUED:
            if (tri_post_move(post, generation, TRI_POST_QUEUED, TRI_POST_LEAVING)) /* [AF2] */
                return cancel_queued(post, generation);
            break;
        case TRI_POST_SENDING:
        case TRI_POST_LEAVING:
        case TRI_POST_SERVED:
            tri_post_await(turn);
            break;
        }
    }
}
