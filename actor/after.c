/* SPDX-License-Identifier: MIT */
/* after.c: messages sent later. The picture and the edges are in after.h, the promises in troupe/timer.h. */
#include "actor/after.h"
#include "actor/deadline.h"
#include "actor/runtime.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct tri_pool tri_post_pool = {
    .name = "post",
    .object_bytes = sizeof(struct tri_post),
    .link_offset = offsetof(struct tri_post, next),
    .slab_objects = 2048,
};

/* A message that waits for room. */
struct tri_ticket {
    struct tri_sender sender;
    struct tri_letter letter;
    struct tri_post *post;
    struct tri_ticket *next; /* free */
};

static struct tri_pool ticket_pool = {
    .name = "ticket",
    .object_bytes = 128,
    .link_offset = offsetof(struct tri_ticket, next),
    .slab_objects = 256,
};
_Static_assert(sizeof(struct tri_ticket) <= 128, "ticket_pool");

static TRI_ATOMIC(uint64_t) delayed, skipped, lost;

void tr_timer_counts(struct tr_timer_counts *out)
{
    out->delayed = tri_load(&delayed, TRI_RELAXED);
    out->skipped = tri_load(&skipped, TRI_RELAXED);
    out->lost = tri_load(&lost, TRI_RELAXED);
}

/* ---- the word ------------------------------------------------------------------------------------------------- */

static uint64_t word_of(uint64_t generation, enum tri_post_state state)
{
    return generation << TRI_POST_SHIFT | (uint64_t)state;
}

static enum tri_post_state state_of(uint64_t word)
{
    return (enum tri_post_state)(word & ((1u << TRI_POST_SHIFT) - 1));
}

/* The generation, to one who knows that it stands. */
static uint64_t generation_of(struct tri_post *post)
{
    return tri_load(&post->word, TRI_RELAXED) >> TRI_POST_SHIFT;
}

/* Moves the word on from `from`. False: it was something else. */
static bool move(struct tri_post *post, uint64_t generation, enum tri_post_state from, enum tri_post_state to)
{
    uint64_t word = word_of(generation, from);
    return tri_cas(&post->word, &word, word_of(generation, to), TRI_ACQ_REL, TRI_ACQUIRE); /* [A1] [A2] [A3] */
}

/* Somebody is a few instructions away from the next state. */
static void await_turn(unsigned turn)
{
    if (turn < 100)
        tri_spin();
    else
        sched_yield(); /* it may have lost its processor */
}

static struct tri_cache *post_cache(struct tri_worker *worker)
{
    return worker && !worker->no_caches ? &worker->posts_free : NULL;
}

static void free_post(struct tri_worker *worker, struct tri_post *post)
{
    if (post->bytes > TRI_POST_INLINE)
        free(post->block);
    tri_store(&post->word, word_of(generation_of(post), TRI_POST_FREE), TRI_RELAXED); /* [A5] */
    tri_pool_give(&tri_post_pool, post_cache(worker), post);
}

static void free_ticket(struct tri_post *post)
{
    tri_pool_give_shared(&ticket_pool, post->ticket);
    post->ticket = NULL;
}

/* ---- what others leave for the owner -------------------------------------------------------------------------- */

static void leave_with(struct tri_worker *worker, struct tri_post *post)
{
    struct tri_post *first = tri_load(&worker->posts, TRI_RELAXED);
    do
        post->next = first;
    while (!tri_cas(&worker->posts, &first, post, TRI_RELEASE, TRI_RELAXED)); /* [A4] the owner's, from here on */
    if (!first)
        tri_reactor_wake(
            worker->reactor); /* it may sleep past the new timer, or for an hour on memory that could be free */
}

static struct tri_post *reversed(struct tri_post *post)
{
    struct tri_post *first = NULL;
    while (post) {
        struct tri_post *next = post->next;
        post->next = first;
        first = post;
        post = next;
    }
    return first;
}

void tri_post_collect(struct tri_worker *worker)
{
    struct tri_post *post = reversed(tri_exchange(&worker->posts, NULL, TRI_ACQUIRE)); /* [A4] */
    while (post) {
        struct tri_post *next = post->next;
        if (move(post, generation_of(post), TRI_POST_POSTED, TRI_POST_ARMED)) {
            tri_deadline_set(worker, &post->timer, post->timer.when);
        } else { /* recalled, or cancelled on its way */
            tri_wheel_remove(&worker->wheel, &post->timer);
            free_post(worker, post);
        }
        post = next;
    }
}

/* ---- firing --------------------------------------------------------------------------------------------------- */

/* An interval's next time on its grid. */
static void arm_again(struct tri_worker *worker, struct tri_post *post)
{
    tr_time when;
    int64_t late = worker->now - post->timer.when;
    if (late >= post->period)
        tri_fetch_add(&skipped, (uint64_t)(late / post->period), TRI_RELAXED);
    int64_t step = late < post->period ? post->period : late - late % post->period + post->period;
    if (__builtin_add_overflow(post->timer.when, step, &when))
        when = TR_FOREVER;
    tri_deadline_set(worker, &post->timer, when);
}

static void count_lost(int result)
{
    if (result < 0)
        tri_fetch_add(&lost, UINT64_C(1), TRI_RELAXED);
}

/* Under the lock of the target's mailbox: see serve_sender. */
static void served(struct tri_sender *sender)
{
    struct tri_ticket *ticket = (struct tri_ticket *)(void *)sender;
    struct tri_post *post = ticket->post;
    uint64_t generation = generation_of(post);
    bool again = post->period > 0;
    int result = sender->result;
    while (!move(post, generation, TRI_POST_SENDING, TRI_POST_SERVED)) { /* [A3] its owner looks at the result */
        if (move(post, generation, TRI_POST_LEAVING, TRI_POST_SERVED)) { /* [A3] its canceller goes on with it */
            count_lost(result);
            return;
        }
        if (!move(post, generation, TRI_POST_QUEUED, again ? TRI_POST_ARMED : TRI_POST_SERVED))
            continue; /* it is being queued, or cancelled, at this moment */
        tri_pool_give_shared(&ticket_pool, ticket);
        count_lost(result);
        if (!again)
            free_post(tri_worker_here(), post);
        return;
    }
}

/*
 * The mailbox is full: queues the post for room. Returns 0 (queued: the post is not ours any more), -EAGAIN (room after
 * all), -ENOMEM, or 1 and *result when it was served before we let go of it.
 */
static int queue_post(struct tri_worker *worker, const struct tri_mailbox_ref *ref, struct tri_post *post,
                      const struct tri_letter *letter, bool handler, int *result)
{
    struct tri_ticket *ticket = tri_pool_take_shared(&ticket_pool);
    bool schedule;
    if (!ticket)
        return -ENOMEM;
    *ticket = (struct tri_ticket){ .sender = { .served = served }, .letter = *letter, .post = post };
    ticket->sender.letter = &ticket->letter;
    post->ticket = ticket;
    uint64_t generation = generation_of(post);
    int rc = tri_mailbox_wait_room(ref, worker->no_caches ? NULL : &worker->storages, &ticket->sender, &schedule);
    if (rc < 0) {
        free_ticket(post);
        *result = rc;
        return rc == -EAGAIN ? rc : 1;
    }
    if (schedule)
        tri_activate(post->target.tri_record, handler);
    if (move(post, generation, TRI_POST_SENDING, TRI_POST_QUEUED)) { /* [A2] */
        tri_fetch_add(&delayed, UINT64_C(1), TRI_RELAXED);
        return 0;
    }
    *result = ticket->sender.result; /* [A3] */
    free_ticket(post);
    return 1;
}

/* Sends, or queues for room. Returns as queue_post; 1 and *result: it went or did not, and the post is ours. */
static int send_post(struct tri_worker *worker, struct tri_post *post, int *result)
{
    struct tri_task *target = post->target.tri_record;
    bool handler = tri_task_is(target, TRI_TASK_HANDLER);
    struct tri_mailbox_ref ref = tri_task_mailbox(target, post->target.tri_generation);
    struct tri_letter letter = { .bytes = post->bytes };
    letter.message = post->bytes > TRI_POST_INLINE ? post->block : post->message;
    for (;;) {
        bool schedule;
        *result = tri_mailbox_send(&ref, worker->no_caches ? NULL : &worker->storages, &letter, &schedule);
        if (*result == 0 && schedule)
            tri_activate(target, handler);
        if (*result == -ENOMEM)
            return -ENOMEM;
        if (*result != -EAGAIN)
            return 1;
        int rc = queue_post(worker, &ref, post, &letter, handler, result);
        if (rc != -EAGAIN)
            return rc;
    }
}

void tri_post_fire(struct tri_worker *worker, struct tri_timer *timer)
{
    struct tri_post *post = (struct tri_post *)(void *)timer;
    uint64_t generation = generation_of(post);
    bool again = post->period > 0;
    if (!move(post, generation, TRI_POST_ARMED, TRI_POST_SENDING)) {
        enum tri_post_state state = state_of(tri_load(&post->word, TRI_RELAXED));
        if (state == TRI_POST_ABANDONED) {
            free_post(worker, post);
        } else if (state != TRI_POST_RECALLED) { /* an interval whose last message still waits for room */
            tri_fetch_add(&skipped, UINT64_C(1), TRI_RELAXED);
            arm_again(worker, post);
        } /* else it is on its way here, and freed then */
        return;
    }
    int result;
    if (again)
        arm_again(worker, post); /* before it can be anybody's but ours */
    int rc = send_post(worker, post, &result);
    if (rc == 0)
        return;
    if (rc == -ENOMEM && !again)
        tri_deadline_set(worker, timer, worker->now + TR_TIMER_TICK); /* later, then */
    if (rc == -ENOMEM || (again && result == 0)) {
        tri_store(&post->word, word_of(generation, TRI_POST_ARMED),
                  TRI_RELEASE); /* [A1] only we move it from SENDING */
        return;
    }
    count_lost(result);
    tri_wheel_remove(&worker->wheel, timer);
    free_post(worker, post);
}

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
    struct tri_post *post = tri_pool_take(&tri_post_pool, post_cache(worker));
    if (!post)
        return NULL;
    void *block = type->size > TRI_POST_INLINE ? malloc(type->size) : NULL;
    if (type->size > TRI_POST_INLINE && !block) {
        tri_pool_give(&tri_post_pool, post_cache(worker), post);
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
    tri_store(&post->word, word_of(generation, state), TRI_RELEASE); /* [A1] */
}

/* From a foreign thread: to a worker of the target's runtime, to each in turn. */
static void post_in(struct tr_runtime *runtime, void *context)
{
    static TRI_ATOMIC(uint32_t) turn;
    struct tri_post *post = context;
    struct tri_worker *owner = &runtime->worker[tri_fetch_add(&turn, 1u, TRI_RELAXED) % runtime->workers];
    post->timer.when = tr_clock_translate(post->timer.when, NULL, runtime); /* it was a time of the thread's clock */
    publish(post, owner, generation_of(post) + 1, TRI_POST_POSTED);
    leave_with(owner, post);
}

static int send_later(struct tr_timer *out, struct tr_address address, const struct tr_type *type, const void *message,
                      tr_time when, int64_t period)
{
    struct tri_worker *worker = tri_worker_here();
    int rc = check_target(address, type);
    if (rc < 0)
        return rc;
    struct tri_post *post = make_post(worker, address, type, message, period);
    if (!post)
        return -ENOMEM;
    uint64_t generation = generation_of(post) + 1;
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
    free_post(NULL, post);
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
    recall->moved = move(post, recall->generation, recall->from, TRI_POST_RECALLED);
    if (!recall->moved)
        return;
    if (owner != tri_worker_here()) {
        leave_with(owner, post);
        return;
    }
    tri_wheel_remove(&owner->wheel, &post->timer);
    free_post(owner, post);
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
        recall.moved = move(post, generation, from, TRI_POST_ABANDONED);
    return recall.moved;
}

/* Takes a post that is LEAVING out of the mailbox's queue. False: it was served, and is SERVED. */
static bool leave_queue(struct tri_post *post)
{
    struct tri_mailbox_ref ref = tri_task_mailbox(post->target.tri_record, post->target.tri_generation);
    bool waited = tri_mailbox_leave_queue(&ref, &post->ticket->sender);
    free_ticket(post);
    return waited;
}

/* The post waits for room, and is ours: its state is LEAVING. */
static int cancel_queued(struct tri_post *post, uint64_t generation)
{
    bool waited = leave_queue(post);
    if (post->period > 0) {
        recall(post, generation, waited ? TRI_POST_LEAVING : TRI_POST_SERVED);
        return 0;
    }
    free_post(tri_worker_here(), post);
    return waited ? 0 : -ESRCH;
}

int tr_timer_cancel(struct tr_timer timer)
{
    struct tri_post *post = timer.tri_record;
    uint64_t generation = timer.tri_generation;
    if (!post)
        return -ESRCH;
    for (unsigned turn = 0;; turn++) {
        uint64_t word = tri_load(&post->word, TRI_ACQUIRE); /* [A1] */
        if (word >> TRI_POST_SHIFT != generation)
            return -ESRCH;
        switch (state_of(word)) {
        case TRI_POST_FREE:
        case TRI_POST_RECALLED:
        case TRI_POST_ABANDONED:
            return -ESRCH;
        case TRI_POST_POSTED:
            if (move(post, generation, TRI_POST_POSTED, TRI_POST_ABANDONED))
                return 0;
            break;
        case TRI_POST_ARMED:
            if (recall(post, generation, TRI_POST_ARMED))
                return 0;
            break;
        case TRI_POST_QUEUED:
            if (move(post, generation, TRI_POST_QUEUED, TRI_POST_LEAVING)) /* [A2] */
                return cancel_queued(post, generation);
            break;
        case TRI_POST_SENDING:
        case TRI_POST_LEAVING:
        case TRI_POST_SERVED:
            await_turn(turn);
            break;
        }
    }
}

/* ---- the end of a worker -------------------------------------------------------------------------------------- */

void tri_post_flush(struct tri_worker *worker, struct tri_timer *timer)
{
    struct tri_post *post = (struct tri_post *)(void *)timer;
    uint64_t generation = generation_of(post);
    for (unsigned turn = 0;; turn++) {
        enum tri_post_state state = state_of(tri_load(&post->word, TRI_ACQUIRE)); /* [A1] */
        if (state == TRI_POST_ABANDONED || move(post, generation, TRI_POST_ARMED, TRI_POST_ABANDONED)) {
            if (state != TRI_POST_ABANDONED)
                tri_fetch_add(&lost, UINT64_C(1), TRI_RELAXED);
            break;
        }
        if (move(post, generation, TRI_POST_QUEUED, TRI_POST_LEAVING)) { /* [A2] an interval; its mailbox may live on */
            if (leave_queue(post))
                tri_fetch_add(&lost, UINT64_C(1), TRI_RELAXED);
            break;
        }
        await_turn(turn); /* somebody cancels it at this moment */
    }
    free_post(worker, post);
}
