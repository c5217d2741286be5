/* SPDX-License-Identifier: MIT */
/*
 * test_after_policy.c: messages that are lost by policy, and what the hook and drop functions may do when they are told: cancel
 * the timer that sent the message, wait for one who cancels it, reply to the caller, use a stack of the usual size. And what
 * becomes of an interval whose message is lost.
 */
#include "tests/gate.h"

#include <pthread.h>

#define MS TR_MILLISECOND
#define MESSAGE(v) (&(struct number){ .value = (v) })

/* An actor with room for one message, which is there; the gate is shut. */
static struct number_address start_full(struct gate *gate, enum tr_overflow overflow, void (*drop)(void *message),
                                        struct tr_task *task)
{
    struct number_address actor;
    struct tr_actor_options options = { .capacity = 1, .overflow = overflow, .drop = drop, .task = task };
    expect_int(tr_spawn(&actor, note_values, gate, &options), 0);
    expect_int(tr_try_send(actor, MESSAGE(1)), 0);
    return actor;
}

static void open_and_stop(struct gate *gate, struct number_address actor, struct tr_task task)
{
    atomic_store(&gate->open, 1);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), -EPIPE);
}

/* ---- cancelled by those who are told --------------------------------------------------------------------------- */

static struct tr_timer timer;
static atomic_int told, cancelled, gone; /* calls of drop or hook; what their cancellations returned */

static void cancel_it(void)
{
    int rc = tr_timer_cancel(timer);
    expect(rc == 0 || rc == -ESRCH);
    atomic_fetch_add(rc == 0 ? &cancelled : &gone, 1);
    atomic_fetch_add(&told, 1);
}

static void drop_cancels(void *message)
{
    (void)message;
    cancel_it();
}

static void hook_cancels(const struct tr_dead_letter *letter)
{
    (void)letter;
    cancel_it();
}

static const enum tr_overflow policies[] = { TR_OVERFLOW_REJECT, TR_OVERFLOW_DROP_NEWEST, TR_OVERFLOW_DROP_OLDEST };

static void cancel_when_told(enum tr_overflow overflow, bool hook, bool interval)
{
    struct gate *gate = test_new(sizeof *gate);
    struct tr_task task;
    atomic_store(&told, 0);
    atomic_store(&cancelled, 0);
    atomic_store(&gone, 0);
    tr_dead_letter_hook(hook ? hook_cancels : NULL);
    struct number_address actor = start_full(gate, overflow, hook ? NULL : drop_cancels, &task);
    if (interval)
        expect_int(tr_send_interval(&timer, actor, MS, MESSAGE(2)), 0);
    else
        expect_int(tr_send_after(&timer, actor, MS, MESSAGE(2)), 0);
    wait_until(atomic_load(&told) >= 1);
    if (interval)
        wait_until(atomic_load(&cancelled) == 1);
    expect_int(tr_sleep(5 * MS), 0);
    expect_int(atomic_load(&cancelled), interval); /* once; and to a message that was lost its timer is over */
    expect_int(atomic_load(&told), atomic_load(&gone) + interval);
    expect_int(tr_timer_cancel(timer), -ESRCH);
    tr_dead_letter_hook(NULL);
    atomic_store(&gate->open, 1);
    open_and_stop(gate, actor, task);
}

static void every_one_cancels(void)
{
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
        for (int interval = 0; interval < 2; interval++) {
            cancel_when_told(policies[i], true, interval);
            if (policies[i] != TR_OVERFLOW_REJECT) /* the message is still its sender's */
                cancel_when_told(policies[i], false, interval);
        }
}

TASK_TEST_ON(1, who_is_told_cancels_the_timer_on_one_worker)
{
    every_one_cancels();
}

TASK_TEST(who_is_told_cancels_the_timer)
{
    every_one_cancels();
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void hook_locks(const struct tr_dead_letter *letter)
{
    (void)letter;
    atomic_fetch_add(&told, 1);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
}

/* The canceller has what the hook waits for. */
START_TEST(a_canceller_waits_for_no_hook)
{
    struct tr_options options = test_options(1);
    struct tr_runtime *runtime;
    struct number_address actor;
    struct gate *gate = test_new(sizeof *gate);
    struct tr_task task;
    expect_int(tr_start(&runtime, &options), 0);
    tr_dead_letter_hook(hook_locks);
    struct tr_actor_options own = {
        .capacity = 1, .overflow = TR_OVERFLOW_DROP_NEWEST, .runtime = runtime, .task = &task
    };
    expect_int(tr_spawn(&actor, note_values, gate, &own), 0);
    expect_int(tr_try_send(actor, MESSAGE(1)), 0);
    pthread_mutex_lock(&mutex);
    expect_int(tr_send_interval(&timer, actor, MS, MESSAGE(2)), 0);
    wait_until(atomic_load(&told) == 1);
    expect_int(tr_timer_cancel(timer), 0);
    pthread_mutex_unlock(&mutex);
    tr_dead_letter_hook(NULL);
    open_and_stop(gate, actor, task);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

/* ---- the stack of a stranger ----------------------------------------------------------------------------------- */

struct large;
TR_ADDRESS_TYPE(large_address, struct large);
struct large {
    unsigned char bytes[TR_MESSAGE_LIMIT];
};

static __attribute__((noinline)) int use_stack(size_t bytes, int turns)
{
    volatile char *frame = __builtin_alloca(bytes);
    memset((char *)frame, 1, bytes);
    for (int i = 0; i < turns && atomic_load(&told) < 60; i++)
        tr_yield();
    return frame[bytes / 2];
}

static void drop_on_some_stack(void *message)
{
    expect_int(*(unsigned char *)message, 3);
    expect_int(use_stack(6000, 0), 1);
    atomic_fetch_add(&told, 1);
}

static void hook_on_some_stack(const struct tr_dead_letter *letter)
{
    (void)letter;
    expect_int(use_stack(6000, 0), 1);
    atomic_fetch_add(&told, 1);
}

static int innocent(void *argument)
{
    (void)argument;
    return use_stack(2000, INT32_MAX);
}

static int hold_back(void *argument)
{
    (void)argument;
    return tr_sleep(TR_FOREVER);
}

/* A task of two pages yields, and timers fire meanwhile whose messages are lost. */
static void fire_beside(enum tr_overflow overflow)
{
    struct number_address actor;
    struct large_address large_actor;
    struct large *large = test_new(sizeof *large);
    struct number number = { .kind = 0x0303030303030303, .value = 1 };
    struct tr_task task, large_task, beside;
    struct tr_timer timers[2];
    struct tr_actor_options options = {
        .capacity = 1, .overflow = overflow, .drop = drop_on_some_stack, .task = &task
    };
    memset(large->bytes, 3, sizeof large->bytes);
    atomic_store(&told, 0);
    expect_int(tr_spawn(&actor, hold_back, NULL, &options), 0);
    options.task = &large_task;
    options.stack_bytes = 64 * 1024;
    expect_int(tr_spawn(&large_actor, hold_back, NULL, &options), 0);
    expect_int(tr_try_send(actor, &number), 0);
    expect_int(tr_try_send(large_actor, large), 0);
    expect_int(tr_send_interval(&timers[0], actor, MS, &number), 0);
    expect_int(tr_send_interval(&timers[1], large_actor, MS, large), 0);
    tr_dead_letter_hook(hook_on_some_stack);
    struct tr_task_options small = { .name = "innocent", .stack_bytes = 8192 };
    expect_int(tr_task_spawn(&beside, innocent, NULL, &small), 0);
    expect_int(test_join(beside), 1);
    tr_dead_letter_hook(NULL);
    for (int i = 0; i < 2; i++)
        expect_int(tr_timer_cancel(timers[i]), 0);
    expect_int(tr_task_cancel(task), 0);
    expect_int(tr_task_cancel(large_task), 0);
    expect_int(test_join(task), -ECANCELED);
    expect_int(test_join(large_task), -ECANCELED);
}

TASK_TEST_ON(1, who_is_told_has_a_stack_of_the_usual_size)
{
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
        fire_beside(policies[i]);
}

/* The sender's own stack may be as small. */
static int send_in_vain(void *argument)
{
    struct number_address *actor = argument;
    size_t bytes = TEST_SANITIZED ? 2000 : 6000; /* their frames are larger */
    volatile char *frame = __builtin_alloca(bytes);
    memset((char *)frame, 1, bytes);
    for (int i = 0; i < 10; i++)
        expect_int(tr_send(*actor, TR_FOREVER, MESSAGE(2)), 0);
    return frame[bytes / 2];
}

TASK_TEST_ON(1, a_sender_with_a_small_stack_may_lose_messages)
{
    for (int i = 1; i < 3; i++) {
        struct gate *gate = test_new(sizeof *gate);
        struct tr_task task, sender;
        struct number_address actor = start_full(gate, policies[i], NULL, &task);
        struct tr_task_options small = { .stack_bytes = 8192 };
        expect_int(tr_task_spawn(&sender, send_in_vain, &actor, &small), 0);
        expect_int(test_join(sender), 1);
        open_and_stop(gate, actor, task);
    }
}

/* ---- the end of the runtime ------------------------------------------------------------------------------------ */

static void drop_counts(void *message)
{
    (void)message;
    atomic_fetch_add(&told, 1);
}

static atomic_int lingered;

/* No task can begin here any more once we are cancelled; the timer fires all the same. */
static int send_and_linger(void *argument)
{
    struct number_address *actor = argument;
    expect_int(tr_send_interval(&timer, *actor, MS, MESSAGE(2)), 0);
    while (!tr_cancel_taken())
        tr_yield();
    int before = atomic_load(&told);
    while (atomic_load(&told) < before + 3) {
        tr_cancel_taken(); /* it comes again, and who is cancelled does not yield */
        tr_yield();
    }
    atomic_store(&lingered, 1);
    return 0;
}

START_TEST(nothing_is_lost_in_silence_while_a_runtime_ends)
{
    struct tr_options options = test_options(1);
    struct tr_runtime *there, *here;
    struct number_address actor;
    struct tr_task task;
    struct gate *gate = test_new(sizeof *gate);
    expect_int(tr_start(&there, &options), 0);
    expect_int(tr_start(&here, &options), 0);
    struct tr_actor_options own = {
        .capacity = 1, .overflow = TR_OVERFLOW_DROP_NEWEST, .drop = drop_counts, .runtime = there, .task = &task
    };
    expect_int(tr_spawn(&actor, note_values, gate, &own), 0);
    expect_int(tr_try_send(actor, MESSAGE(1)), 0);
    expect_int(tr_task_spawn(NULL, send_and_linger, &actor, &(struct tr_task_options){ .runtime = here }), 0);
    wait_until(atomic_load(&told) >= 1);
    expect_int(tr_stop(here, tr_after(LONG_TIME)), 0);
    expect(atomic_load(&lingered));
    struct tr_actor_info info;
    expect_int(tr_actor_info(actor, &info), 0);
    expect_int(atomic_load(&told), (int64_t)info.dropped_newest);
    open_and_stop(gate, actor, task);
    expect_int(tr_stop(there, tr_after(LONG_TIME)), 0);
}
END_TEST

/* ---- an interval whose message is lost ------------------------------------------------------------------------- */

static struct tr_actor_info info_of(struct number_address actor)
{
    struct tr_actor_info info;
    expect_int(tr_actor_info(actor, &info), 0);
    return info;
}

TASK_TEST(an_interval_goes_on_when_its_message_is_lost)
{
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        struct gate *gate = test_new(sizeof *gate);
        struct tr_actor_info info;
        struct tr_task task;
        struct number_address actor = start_full(gate, policies[i], NULL, &task);
        expect_int(tr_send_interval(&timer, actor, MS, MESSAGE(2)), 0);
        wait_until((info = info_of(actor), info.rejected + info.dropped_newest + info.dropped_oldest >= 3));
        atomic_store(&gate->open, 1);
        wait_until(atomic_load(&gate->received) >= 5);
        expect_int(tr_timer_cancel(timer), 0);
        open_and_stop(gate, actor, task);
    }
}

/* ---- a drop function that replies ------------------------------------------------------------------------------ */

static atomic_int replied;

static void drop_replies(void *message)
{
    struct number *number = message;
    int64_t answer = 77;
    if (number->value == 9)
        atomic_store(&replied, tr_reply(number->reply, &answer));
}

static int call_nine(void *argument)
{
    int64_t answer = 5;
    int rc = tr_call(*(struct number_address *)argument, &answer, TR_FOREVER, MESSAGE(9));
    expect_int(answer, 5);
    return rc;
}

TASK_TEST_ON(1, the_caller_of_a_message_that_is_dropped_is_told_so_before_the_drop_function)
{
    for (int i = 1; i < 3; i++) {
        struct gate *gate = test_new(sizeof *gate);
        struct tr_task task;
        atomic_store(&replied, 1);
        struct number_address actor = start_full(gate, policies[i], drop_replies, &task);
        struct tr_task caller = test_task(call_nine, &actor);
        test_settle();
        expect_int(tr_send(actor, TR_FOREVER, MESSAGE(2)), 0); /* pushes the request out, if that is the policy */
        expect_int(test_join(caller), -ENOBUFS);
        expect_int(atomic_load(&replied), -ESRCH);
        open_and_stop(gate, actor, task);
    }
}

int main(void)
{
    return test_main("after_policy",
                     TESTS(who_is_told_cancels_the_timer_on_one_worker, who_is_told_cancels_the_timer,
                           a_canceller_waits_for_no_hook, who_is_told_has_a_stack_of_the_usual_size,
                           a_sender_with_a_small_stack_may_lose_messages,
                           nothing_is_lost_in_silence_while_a_runtime_ends,
                           an_interval_goes_on_when_its_message_is_lost,
                           the_caller_of_a_message_that_is_dropped_is_told_so_before_the_drop_function));
}
