/* SPDX-License-Identifier: MIT */
/*
 * model_after.c: messages sent later (actor/after.c and post.c, with the real mailbox, deadline.c and wheel). A post lies in the first
 * worker's wheel, where it is due. In every case a message is received, cancelled or lost, and only one of them, as its
 * canceller was told; and the post is freed once.
 *
 *   fire           its worker x a canceller on the second worker
 *   two            its worker x a canceller on the second worker x a foreign one
 *   posted         made by a foreign thread, which then cancels it x its worker
 *   stale          somebody sends later x the actor's end and the next tenant, of another size: he is told -ESRCH, or nothing
 *   refused        made by a foreign thread x the runtime ends: where it came too late, its handle is that of no later message
 *   full           the mailbox is full: its worker x the consumer x a canceller
 *   full, close    the mailbox is full: its worker x the end of the actor x a canceller
 *   waiting        it waits for room: the consumer x two cancellers
 *   waiting, close it waits for room: the end of the actor x a canceller
 *   interval       an interval, the mailbox full: its worker, twice x the consumer x a canceller
 *   told           a policy has dropped it: its worker, and the hook there that cancels it x a canceller
 *   told, interval the same of an interval: one of the two has ended it
 *   told, lock     an interval: its worker, twice, and the hook there that takes a lock x a canceller who has it
 *   rejected       an interval: its worker, twice x a canceller: a rejection does not end it
 *   flush          the runtime ends x a foreign canceller
 *   flush, interval  the runtime ends with an interval whose message waits in another's mailbox: its consumer x a canceller
 */
#include <string.h>

#include "fake_lock.h"

#define TRI_STORAGE_BITS 4

#include "actor/queue.h"
#include "actor/sanitizer.h"
#include "actor/stack.h"
#include "actor/switch.h"
#pragma push_macro("__x86_64__")
#undef __x86_64__
#include "actor/deadline.h"
#include "actor/scheduler.h"
#pragma pop_macro("__x86_64__")

#include "actor/after.c"
#include "fake_clock.h"
#include "actor/deadline.c"
#include "actor/post.c"
#include "io/timer.c"
#include "mailbox/mailbox.c"
#include "mailbox/policy.c"
#include "mailbox/pool.c"
#include "mailbox/storage.c"

enum { FOREIGN = 2 }; /* threads from here on are no workers */

static struct tr_runtime runtime;
static struct tri_worker workers[2];
static struct tri_task target;
static struct tri_lock table;
static struct tr_timer timer;
static int first_worker[MODEL_THREADS + 1]; /* which worker the thread is; -1: foreign */
static int codes[MODEL_THREADS + 1];
static unsigned got, filler;
static unsigned told, told_cancelled; /* by the hook, and cancelled by it */
static void (*hook)(void);
static struct tri_lock users;

enum { FILLER = 5, MESSAGE = 7 };
static const struct tr_type type = { "message", sizeof(uint64_t), 8 };

/* ---- what after.c leaves to others ---- */

struct tri_worker *tri_worker_here(void)
{
    int worker = first_worker[model_self() + 1];
    return worker < 0 ? NULL : &workers[worker];
}

bool tri_runtime_visit(uint32_t index, void (*visit)(struct tr_runtime *of, void *context), void *context)
{
    model_assert(index == 0);
    tri_lock(&table);
    bool runs = tri_load(&runtime.phase, TRI_RELAXED) != TRI_PHASE_EXIT;
    if (runs)
        visit(&runtime, context);
    tri_unlock(&table);
    return runs;
}

void tri_reactor_wake(struct tri_reactor *reactor)
{
    (void)reactor;
}

/* As that of actor/policy.c. */
int tri_send_by_policy_untold(struct tri_task *to, const struct tri_mailbox_ref *ref, const struct tri_letter *letter,
                              bool *schedule, struct tri_loss **losses)
{
    uint64_t oldest;
    struct tri_debt debt;
    int result;
    model_assert(to == &target);
    tri_lock(&ref->mailbox->lock);
    enum tri_fate fate = tri_mailbox_send_by_policy(ref, NULL, letter, &oldest, &debt, &result, schedule);
    tri_unlock(&ref->mailbox->lock);
    if (fate == TRI_FATE_DECIDED)
        return result;
    model_assert(fate == TRI_FATE_NEWEST || fate == TRI_FATE_REJECTED);
    *losses = malloc(sizeof **losses);
    (*losses)->next = NULL;
    *schedule = false;
    return fate == TRI_FATE_REJECTED ? -ENOBUFS : 0;
}

void tri_losses_tell(struct tri_loss *losses)
{
    model_assert(!losses->next);
    free(losses);
    told++;
    if (hook)
        hook();
}

/* The task is the next thing that the worker does. */
int tri_spawn(const struct tri_spawn *spawn)
{
    if (model_choose(2))
        return -ECANCELED;
    return spawn->body(spawn->argument);
}

tr_time tr_after(int64_t nanoseconds)
{
    return nanoseconds;
}

void tri_wake(struct tri_task *task)
{
    (void)task;
    model_fail("nobody waits");
}

void tri_ready(struct tri_task *task)
{
    model_assert(task == &target);
}

/* ---- the parts ---- */

static struct tri_mailbox_ref ref_of_target(void)
{
    return tri_task_mailbox(&target, 1);
}

static void pass(tr_time ticks)
{
    workers[0].now = ticks * TR_TIMER_TICK;
    tri_deadline_pass(&workers[0]);
}

static void owner(void)
{
    pass(10);
}

static void owner_twice(void)
{
    pass(10);
    pass(20);
}

static void cancel(void)
{
    codes[model_self()] = tr_timer_cancel(timer);
}

static void take_all(void)
{
    uint64_t message;
    struct tri_debt debt;
    while (tri_mailbox_take(&target.mailbox, &target.consumer, NULL, &message, sizeof message, &debt) ==
           TRI_TAKE_MESSAGE) {
        got += message == MESSAGE;
        filler += message == FILLER;
    }
}

/* Takes what is there, and suspends, as park_commit in actor/scheduler.c. */
static void consume(void)
{
    static TRI_ATOMIC(uint32_t) parked;
    take_all();
    tri_exchange(&parked, 1u, TRI_ACQ_REL);
    tri_fence_after_rmw();
    if (tri_load(&target.consumer.waiting, TRI_RELAXED))
        tri_mailbox_grant(&target.mailbox, &target.consumer, NULL);
}

/* The actor ends: as drain in actor/task.c, whoever is counted as received there. */
static void end_actor(void)
{
    struct tri_mailbox_ref ref = ref_of_target();
    bool schedule;
    tri_mailbox_close(&ref, &schedule);
    do {
        take_all();
        tri_spin();
    } while (tri_mailbox_idle(&target.mailbox, &target.consumer, NULL) != TRI_IDLE_DRAINED);
    tri_mailbox_finish(&target.mailbox, &target.consumer, NULL);
    tri_store(&target.life, UINT64_C(2) << TRI_LIFE_SHIFT, TRI_RELAXED);
}

static void post_and_cancel(void)
{
    uint64_t message = MESSAGE;
    struct tr_address address = { &target, 1 };
    model_assert(tr_send_at_raw(&timer, address, &type, &message, 10 * TR_TIMER_TICK) == 0);
    codes[model_self()] = tr_timer_cancel(timer);
}

static void post_outside(void)
{
    uint64_t message = MESSAGE;
    struct tr_address address = { &target, 1 };
    codes[model_self()] = tr_send_at_raw(&timer, address, &type, &message, 10 * TR_TIMER_TICK);
}

/* As tr_stop and tri_worker_main: EXIT under the lock of the table, seen with acquire. */
static void end_runtime(void)
{
    tri_lock(&table);
    tri_store(&runtime.phase, (uint32_t)TRI_PHASE_EXIT, TRI_RELEASE);
    tri_unlock(&table);
    tri_deadline_flush(&workers[0]);
}

/* ---- setups and oracles ---- */

static void begin_with(uint32_t capacity, enum tr_overflow policy)
{
    tri_post_pool.slab_objects = 2;
    ticket_pool.slab_objects = 2;
    runtime.workers = 2;
    runtime.worker = workers;
    for (unsigned i = 0; i < 2; i++) {
        workers[i].runtime = &runtime;
        workers[i].index = i;
        workers[i].no_caches = true; /* a post that is free is soon another's */
        workers[i].next_alarm = TR_FOREVER;
        tri_wheel_init(&workers[i].wheel, 0);
    }
    for (int i = 0; i < MODEL_THREADS; i++)
        codes[i] = -ESRCH; /* of those who cancel nothing */
    /* In setup and check, and in the first thread: the owner; then the other worker. */
    for (int i = 0; i <= MODEL_THREADS; i++)
        first_worker[i] = i <= 1 ? 0 : i == 2 ? 1 : -1;
    tri_mailbox_construct(&target.mailbox, &target.consumer);
    tri_store(&target.life, UINT64_C(1) << TRI_LIFE_SHIFT | TRI_LIFE_ALIVE, TRI_RELAXED);
    tri_mailbox_init(&target.mailbox, &target.consumer, capacity, sizeof(uint64_t), policy, false);
    tri_storage_give(NULL, tri_storage_take(NULL, tri_shape_make(sizeof(uint64_t), capacity))); /* maps the table */
}

static void begin(uint32_t capacity)
{
    begin_with(capacity, TR_OVERFLOW_WAIT);
}

static void fill(void)
{
    uint64_t message = FILLER;
    struct tri_mailbox_ref ref = ref_of_target();
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    bool schedule;
    model_assert(tri_mailbox_send(&ref, NULL, &letter, &schedule) == 0);
}

static void post(int64_t period)
{
    uint64_t message = MESSAGE;
    struct tr_address address = { &target, 1 };
    int rc = period > 0 ? tr_send_interval_raw(&timer, address, &type, &message, period)
                        : tr_send_at_raw(&timer, address, &type, &message, 10 * TR_TIMER_TICK);
    model_assert(rc == 0);
}

static void setup(void)
{
    begin(2);
    post(0);
}

static void setup_empty(void)
{
    begin(2);
}

static void setup_full(void)
{
    begin(1);
    fill();
    post(0);
}

static void setup_waiting(void)
{
    setup_full();
    pass(10);
}

static void setup_interval(void)
{
    begin(1);
    fill();
    post(10 * TR_TIMER_TICK);
}

static void setup_interval_waiting(void)
{
    setup_interval();
    pass(10);
}

static void hook_cancels(void)
{
    told_cancelled += tr_timer_cancel(timer) == 0;
}

static void hook_locks(void)
{
    tri_lock(&users);
    tri_unlock(&users);
}

static void cancel_locked(void)
{
    tri_lock(&users);
    codes[model_self()] = tr_timer_cancel(timer);
    tri_unlock(&users);
}

static void setup_told(void)
{
    begin_with(1, TR_OVERFLOW_DROP_NEWEST);
    fill();
    post(0);
    hook = hook_cancels;
}

static void setup_told_interval(void)
{
    begin_with(1, TR_OVERFLOW_DROP_NEWEST);
    fill();
    post(10 * TR_TIMER_TICK);
    hook = hook_cancels;
}

static void setup_told_lock(void)
{
    setup_told_interval();
    hook = hook_locks;
}

static void setup_rejected(void)
{
    begin_with(1, TR_OVERFLOW_REJECT);
    fill();
    post(10 * TR_TIMER_TICK);
}

static unsigned cancelled(void)
{
    unsigned count = 0;
    for (int i = 0; i < MODEL_THREADS; i++)
        count += codes[i] == 1; /* see oracle() */
    return count;
}

/* The next tenant's messages are of another size. */
static void respawn(void)
{
    struct tri_mailbox_ref ref = ref_of_target();
    bool schedule;
    model_assert(tri_mailbox_close(&ref, &schedule) == 0);
    model_assert(tri_mailbox_idle(&target.mailbox, &target.consumer, NULL) == TRI_IDLE_DRAINED);
    tri_mailbox_finish(&target.mailbox, &target.consumer, NULL);
    tri_store(&target.life, UINT64_C(2) << TRI_LIFE_SHIFT | TRI_LIFE_ALIVE, TRI_RELAXED);
    tri_mailbox_init(&target.mailbox, &target.consumer, 2, 2 * sizeof(uint64_t), TR_OVERFLOW_WAIT, false);
}

static void send_stale(void)
{
    uint64_t message = MESSAGE;
    struct tr_address address = { &target, 1 };
    int rc = tr_send_at_raw(&timer, address, &type, &message, 10 * TR_TIMER_TICK);
    model_assert(rc == 0 || rc == -ESRCH);
}

static void check_stale(void)
{
    for (unsigned i = 0; i < 2; i++) {
        workers[i].now = 10 * TR_TIMER_TICK;
        tri_deadline_pass(&workers[i]);
        model_assert(workers[i].wheel.count == 0);
    }
    model_assert(tri_post_pool.total == tri_post_pool.free_count);
    model_assert(tri_mailbox_length(&target.mailbox, &target.consumer) == 0);
}

/* In check, alone. A code of 0 was a cancellation, if the thread has cancelled at all. */
static void settle(unsigned cancellers)
{
    for (unsigned i = 1; i <= cancellers; i++) {
        model_assert(codes[i] == 0 || codes[i] == -ESRCH);
        codes[i] = codes[i] == 0;
    }
    if (tri_load(&runtime.phase, TRI_RELAXED) != TRI_PHASE_EXIT)
        pass(10); /* what came home */
}

static void check_all_free(void)
{
    model_assert(tri_post_pool.total == tri_post_pool.free_count);
    model_assert(ticket_pool.total == ticket_pool.free_count);
    model_assert(workers[0].wheel.count == 0 && !tri_load(&workers[0].posts, TRI_RELAXED));
    model_assert(!target.mailbox.last && !(tri_load(&target.mailbox.tail, TRI_RELAXED) & TRI_TAIL_WAIT));
}

static void oracle(unsigned cancellers)
{
    settle(cancellers);
    if (tri_load(&target.life, TRI_RELAXED) >> TRI_LIFE_SHIFT == 1) {
        consume();
        consume(); /* of the one that had waited */
        take_all();
    }
    unsigned lost_now = (unsigned)tri_load(&lost, TRI_RELAXED);
    if (got + cancelled() + lost_now != 1)
        model_fail("%u received, %u cancelled, %u lost", got, cancelled(), lost_now);
    check_all_free();
}

static void check_one(void)
{
    oracle(1);
}

static void check_two(void)
{
    oracle(2);
}

/* An interval is over once it is cancelled: nothing of it is left, and at most two ticks have come. */
static void check_interval(void)
{
    settle(1);
    model_assert(cancelled() == 1);
    consume();
    take_all();
    model_assert(filler == 1 && got <= 2);
    check_all_free();
}

/* Dropped or cancelled, and not by the hook, to which the timer is over. */
static void check_told(void)
{
    settle(1);
    model_assert(told + cancelled() == 1 && told_cancelled == 0);
    take_all();
    model_assert(filler == 1 && got == 0);
    check_all_free();
}

static void check_told_interval(void)
{
    settle(1);
    model_assert(told_cancelled + cancelled() == 1);
    model_assert(told <= 1);
    check_all_free();
}

/* Nothing but the cancellation has ended it. */
static void check_policy_interval(void)
{
    settle(1);
    model_assert(cancelled() == 1 && told <= 2);
    take_all();
    model_assert(filler == 1 && got == 0);
    check_all_free();
}

/* The owner's own runtime is another's here: it sends as long as its worker lives. */
static void check_refused(void)
{
    uint64_t message = MESSAGE;
    struct tr_address address = { &target, 1 };
    struct tr_timer next[2];
    model_assert(codes[2] == 0 || codes[2] == -ESRCH);
    tri_deadline_flush(&workers[0]);
    tri_deadline_flush(&workers[1]);
    for (int i = 0; i < 2; i++)
        model_assert(tr_send_at_raw(&next[i], address, &type, &message, 10 * TR_TIMER_TICK) == 0);
    model_assert(tr_timer_cancel(timer) == -ESRCH);
    for (int i = 0; i < 2; i++)
        model_assert(tr_timer_cancel(next[i]) == 0);
    check_all_free();
}

static void check_flush_interval(void)
{
    bool told = codes[2] == 0;
    settle(2);
    consume();
    take_all();
    unsigned lost_now = (unsigned)tri_load(&lost, TRI_RELAXED);
    model_assert(filler == 1 && got <= 1);
    model_assert(told || got + lost_now >= 1);
    check_all_free();
}

static const struct model_case cases[] = {
    { .name = "fire",
      .setup = setup,
      .check = check_one,
      .threads = { { "owner", owner, 0 }, { "cancels", cancel, 0 } } },
    { .name = "two",
      .setup = setup,
      .check = check_two,
      .threads = { { "owner", owner, 0 }, { "cancels", cancel, 0 }, { "cancels outside", cancel, 0 } } },
    { .name = "stale",
      .setup = setup_empty,
      .check = check_stale,
      .threads = { { "actor", respawn, 0 }, { "sender", send_stale, 0 } } },
    { .name = "posted",
      .setup = setup_empty,
      .check = check_two,
      .threads = { { "owner", owner, 0 }, { "idles", consume, 0 }, { "posts outside", post_and_cancel, 0 } } },
    { .name = "refused",
      .setup = setup_empty,
      .check = check_refused,
      .threads = { { "ends", end_runtime, 0 }, { "idles", consume, 0 }, { "posts outside", post_outside, 0 } } },
    { .name = "full",
      .setup = setup_full,
      .check = check_one,
      .threads = { { "owner", owner, 0 }, { "cancels", cancel, 0 }, { "consumer", consume, 0 } } },
    { .name = "full, close",
      .setup = setup_full,
      .check = check_one,
      .threads = { { "owner", owner, 0 }, { "cancels", cancel, 0 }, { "ends", end_actor, 0 } } },
    { .name = "waiting",
      .setup = setup_waiting,
      .check = check_two,
      .threads = { { "consumer", consume, 0 }, { "cancels", cancel, 0 }, { "cancels outside", cancel, 0 } } },
    { .name = "waiting, close",
      .setup = setup_waiting,
      .check = check_one,
      .threads = { { "ends", end_actor, 0 }, { "cancels", cancel, 0 } } },
    { .name = "interval",
      .setup = setup_interval,
      .check = check_interval,
      .threads = { { "owner", owner_twice, 0 }, { "cancels", cancel, 0 }, { "consumer", consume, 0 } } },
    { .name = "told",
      .setup = setup_told,
      .check = check_told,
      .threads = { { "owner", owner, 0 }, { "cancels", cancel, 0 } } },
    { .name = "told, interval",
      .setup = setup_told_interval,
      .check = check_told_interval,
      .threads = { { "owner", owner_twice, 0 }, { "cancels", cancel, 0 } } },
    { .name = "told, lock",
      .setup = setup_told_lock,
      .check = check_policy_interval,
      .threads = { { "owner", owner_twice, 0 }, { "cancels", cancel_locked, 0 } } },
    { .name = "rejected",
      .setup = setup_rejected,
      .check = check_policy_interval,
      .threads = { { "owner", owner_twice, 0 }, { "cancels", cancel, 0 } } },
    { .name = "flush",
      .setup = setup,
      .check = check_two,
      .threads = { { "ends", end_runtime, 0 }, { "idles", consume, 0 }, { "cancels outside", cancel, 0 } } },
    { .name = "flush, interval",
      .setup = setup_interval_waiting,
      .check = check_flush_interval,
      .threads = { { "ends", end_runtime, 0 }, { "consumer", consume, 0 }, { "cancels outside", cancel, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
