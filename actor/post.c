/* SPDX-License-Identifier: MIT */
/*
 * post.c: the owner's side of messages sent later: what others leave for it, firing, full mailboxes, and the end of a worker. The
 * picture and the edges are in after.h.
 */
#include "actor/after.h"
#include "actor/deadline.h"
#include "actor/policy.h"
#include "actor/spawn.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

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

/* ---- memory --------------------------------------------------------------------------------------------------- */

void tri_post_await(unsigned turn)
{
    if (turn < 100)
        tri_spin();
    else
        sched_yield(); /* it may have lost its processor */
}

void tri_post_free(struct tri_worker *worker, struct tri_post *post)
{
    if (post->bytes > TRI_POST_INLINE)
        free(post->block);
    tri_store(&post->word, tri_post_word(tri_post_generation(post), TRI_POST_FREE), TRI_RELAXED); /* [AF5] */
    tri_pool_give(&tri_post_pool, tri_post_cache(worker), post);
}

static void free_ticket(struct tri_post *post)
{
    tri_pool_give_shared(&ticket_pool, post->ticket);
    post->ticket = NULL;
}

/* ---- what others leave for the owner -------------------------------------------------------------------------- */

void tri_post_leave_with(struct tri_worker *worker, struct tri_post *post)
{
    struct tri_post *first = tri_load(&worker->posts, TRI_RELAXED);
    do
        post->next = first;
    while (!tri_cas(&worker->posts, &first, post, TRI_RELEASE, TRI_RELAXED)); /* [AF4] the owner's, from here on */
    if (!first) /* it may sleep past the new timer, or for an hour on memory that could be free */
        tri_reactor_wake(worker->reactor);
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
    struct tri_post *post = reversed(tri_exchange(&worker->posts, NULL, TRI_ACQUIRE)); /* [AF4] */
    while (post) {
        struct tri_post *next = post->next;
        if (tri_post_move(post, tri_post_generation(post), TRI_POST_POSTED, TRI_POST_ARMED)) {
            tri_deadline_set(worker, &post->timer, post->timer.when);
        } else { /* recalled, or cancelled on its way */
            tri_wheel_remove(&worker->wheel, &post->timer);
            tri_post_free(worker, post);
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
    uint64_t generation = tri_post_generation(post);
    bool again = post->period > 0;
    int result = sender->result;
    while (
        !tri_post_move(post, generation, TRI_POST_SENDING, TRI_POST_SERVED)) { /* [AF3] its owner looks at the result */
        if (tri_post_move(post, generation, TRI_POST_LEAVING,
                          TRI_POST_SERVED)) { /* [AF3] its canceller goes on with it */
            count_lost(result);
            return;
        }
        if (!tri_post_move(post, generation, TRI_POST_QUEUED, again ? TRI_POST_ARMED : TRI_POST_SERVED))
            continue; /* it is being queued, or cancelled, at this moment */
        tri_pool_give_shared(&ticket_pool, ticket);
        count_lost(result);
        if (!again)
            tri_post_free(tri_worker_here(), post);
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
    uint64_t generation = tri_post_generation(post);
    int rc = tri_mailbox_wait_room(ref, worker->no_caches ? NULL : &worker->storages, &ticket->sender, &schedule);
    if (rc < 0) {
        free_ticket(post);
        *result = rc;
        return rc == -EAGAIN ? rc : 1;
    }
    if (schedule)
        tri_activate(post->target.tri_record, handler);
    if (tri_post_move(post, generation, TRI_POST_SENDING, TRI_POST_QUEUED)) { /* [AF2] */
        tri_fetch_add(&delayed, UINT64_C(1), TRI_RELAXED);
        return 0;
    }
    *result = ticket->sender.result; /* [AF3] */
    free_ticket(post);
    return 1;
}

/*
 * Sends, or queues for room. Returns as queue_post; 1 and *result: it went or did not, and the post is ours. *losses: what a
 * policy has lost for it.
 */
static int send_post(struct tri_worker *worker, struct tri_post *post, int *result, struct tri_loss **losses)
{
    struct tri_task *target = post->target.tri_record;
    bool handler = tri_task_is(target, TRI_TASK_HANDLER);
    struct tri_mailbox_ref ref = tri_task_mailbox(target, post->target.tri_generation);
    struct tri_letter letter = { .bytes = post->bytes };
    letter.message = post->bytes > TRI_POST_INLINE ? post->block : post->message;
    for (;;) {
        bool schedule;
        *result = tri_mailbox_send(&ref, worker->no_caches ? NULL : &worker->storages, &letter, &schedule);
        if (*result == -EAGAIN && tri_mailbox_policy(&ref) != TR_OVERFLOW_WAIT)
            *result = tri_send_by_policy_untold(target, &ref, &letter, &schedule, losses);
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

static void fire_post(struct tri_worker *worker, struct tri_post *post, struct tri_loss **losses)
{
    struct tri_timer *timer = &post->timer;
    uint64_t generation = tri_post_generation(post);
    bool again = post->period > 0;
    if (!tri_post_move(post, generation, TRI_POST_ARMED, TRI_POST_SENDING)) {
        enum tri_post_state state = tri_post_state(tri_load(&post->word, TRI_RELAXED));
        if (state == TRI_POST_ABANDONED) {
            tri_post_free(worker, post);
        } else if (state != TRI_POST_RECALLED) { /* an interval whose last message still waits for room */
            tri_fetch_add(&skipped, UINT64_C(1), TRI_RELAXED);
            arm_again(worker, post);
        } /* else it is on its way here, and freed then */
        return;
    }
    int result;
    if (again)
        arm_again(worker, post); /* before it can be anybody's but ours */
    int rc = send_post(worker, post, &result, losses);
    if (rc == 0)
        return;
    if (rc == 1)
        count_lost(result);
    else if (!again)
        tri_deadline_set(worker, timer, worker->now + TR_TIMER_TICK); /* later, then */
    /* A mailbox that rejects has room later. */
    if (rc == -ENOMEM || (again && (result == 0 || result == -ENOBUFS))) {
        /* [AF1] only we move it from SENDING */
        tri_store(&post->word, tri_post_word(generation, TRI_POST_ARMED), TRI_RELEASE);
        return;
    }
    tri_wheel_remove(&worker->wheel, timer);
    tri_post_free(worker, post);
}

static int tell_losses(void *losses)
{
    tri_losses_tell(losses);
    return 0;
}

/*
 * The hook and drop functions may need any stack and any time, and this is a pass, on the stack of whoever suspends, or of a loop
 * that a small task has left behind: they are called in a task. Where none can begin, for want of memory or because the runtime
 * ends, they are called here.
 */
static __attribute__((noinline, cold)) void tell_soon(struct tri_worker *worker, struct tri_loss *losses)
{
    struct tri_spawn spawn = {
        .body = tell_losses, .argument = losses, .runtime = worker->runtime, .pin = TR_PIN((int)worker->index)
    };
    if (tri_spawn(&spawn) < 0)
        tri_losses_tell(losses);
}

void tri_post_fire(struct tri_worker *worker, struct tri_timer *timer)
{
    struct tri_loss *losses = NULL;
    fire_post(worker, (struct tri_post *)(void *)timer, &losses);
    if (losses)
        tell_soon(worker, losses); /* the post is not SENDING any more: they may cancel it */
}

bool tri_post_leave_queue(struct tri_post *post)
{
    struct tri_mailbox_ref ref = tri_task_mailbox(post->target.tri_record, post->target.tri_generation);
    bool waited = tri_mailbox_leave_queue(&ref, &post->ticket->sender);
    free_ticket(post);
    return waited;
}

/* ---- the end of a worker -------------------------------------------------------------------------------------- */

void tri_post_flush(struct tri_worker *worker, struct tri_timer *timer)
{
    struct tri_post *post = (struct tri_post *)(void *)timer;
    uint64_t generation = tri_post_generation(post);
    for (unsigned turn = 0;; turn++) {
        enum tri_post_state state = tri_post_state(tri_load(&post->word, TRI_ACQUIRE)); /* [AF1] */
        if (state == TRI_POST_ABANDONED || tri_post_move(post, generation, TRI_POST_ARMED, TRI_POST_ABANDONED)) {
            if (state != TRI_POST_ABANDONED)
                tri_fetch_add(&lost, UINT64_C(1), TRI_RELAXED);
            break;
        }
        if (tri_post_move(post, generation, TRI_POST_QUEUED,
                          TRI_POST_LEAVING)) { /* [AF2] an interval; its mailbox may live on */
            if (tri_post_leave_queue(post))
                tri_fetch_add(&lost, UINT64_C(1), TRI_RELAXED);
            break;
        }
        tri_post_await(turn); /* somebody cancels it at this moment */
    }
    tri_post_free(worker, post);
}
