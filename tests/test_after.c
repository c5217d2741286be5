/* SPDX-License-Identifier: MIT */
/*
 * test_after.c: messages sent later, by the promises of troupe/timer.h: never early, sent once or cancelled, and never
 * both; a full mailbox makes them wait in turn, a target that has ended lets them fall, and neither stops anybody.
 */
#include "tests/support.h"

#include <pthread.h>

#define MS TR_MILLISECOND

/* A loop actor that takes one message for each credit, and notes it. */
struct taker {
    atomic_int credit, taken;
    int64_t values[256];
    tr_time times[256];
};

static int take_by_credit(void *argument)
{
    struct taker *taker = argument;
    struct number message;
    for (;;) {
        while (atomic_load(&taker->credit) == 0) {
            int rc = tr_sleep(MS / 2);
            if (rc < 0)
                return 0;
        }
        if (tr_receive(&message, TR_FOREVER) < 0)
            return 0;
        int index = atomic_load(&taker->taken);
        taker->values[index] = message.value;
        taker->times[index] = tr_clock();
        atomic_fetch_sub(&taker->credit, 1);
        atomic_fetch_add(&taker->taken, 1);
    }
}

static struct taker *new_taker(struct number_address *address, uint32_t capacity, int credit, struct tr_task *task)
{
    struct taker *taker = test_new(sizeof *taker);
    atomic_store(&taker->credit, credit);
    *address = test_loop(take_by_credit, taker, capacity, task);
    return taker;
}

static void await_taken(struct taker *taker, int count)
{
    wait_until(atomic_load(&taker->taken) == count);
}

static void await_timers(uint64_t count)
{
    struct tr_census now;
    wait_until((tr_census(&now), now.timers <= count));
}

#define MESSAGE(v) (&(struct number){ .value = (v) })

/* ---- sending -------------------------------------------------------------------------------------------------- */

TASK_TEST(messages_come_never_early_and_once)
{
    struct number_address address;
    struct taker *taker = new_taker(&address, 64, 1000, NULL);
    static const int64_t spans[] = { -TR_SECOND, 0, 1, TR_TIMER_TICK, MS, 3 * MS, 9 * MS, 17 * MS };
    enum { SPANS = sizeof spans / sizeof *spans };
    tr_time due[2 * SPANS];
    for (int i = 0; i < SPANS; i++) {
        struct number message = { .value = i };
        due[i] = tr_after(spans[i]);
        expect_int(tr_send_after(NULL, address, spans[i], &message), 0);
        message.value = SPANS + i;
        due[SPANS + i] = tr_after(0) + spans[i];
        expect_int(tr_send_at(NULL, address, due[SPANS + i], &message), 0);
        message.value = -1; /* it was copied */
    }
    await_taken(taker, 2 * SPANS);
    uint64_t seen = 0;
    for (int i = 0; i < 2 * SPANS; i++) {
        expect(taker->values[i] >= 0 && taker->values[i] < 2 * SPANS);
        expect(taker->times[i] >= due[taker->values[i]]);
        seen |= UINT64_C(1) << taker->values[i];
    }
    expect_int((int64_t)seen, (INT64_C(1) << (2 * SPANS)) - 1);
}

TASK_TEST(those_of_one_tick_come_in_order)
{
    struct number_address address;
    struct taker *taker = new_taker(&address, 256, 1000, NULL);
    tr_time when = tr_after(5 * MS) / TR_TIMER_TICK * TR_TIMER_TICK;
    for (int i = 0; i < 200; i++)
        expect_int(tr_send_at(NULL, address, when - i * 100, MESSAGE(i)), 0);
    await_taken(taker, 200);
    for (int i = 0; i < 200; i++)
        expect_int(taker->values[i], i);
}

struct blob;
TR_ADDRESS_TYPE(blob_address, struct blob);
struct blob {
    unsigned char bytes[TR_MESSAGE_LIMIT];
};
struct odd48;
TR_ADDRESS_TYPE(odd48_address, struct odd48);
struct odd48 {
    unsigned char bytes[48];
};
struct odd49;
TR_ADDRESS_TYPE(odd49_address, struct odd49);
struct odd49 {
    unsigned char bytes[49];
};

#define SIZED_ACTOR(type)                                                                                              \
    static int receive_##type(void *argument)                                                                          \
    {                                                                                                                  \
        struct type *message = malloc(sizeof *message);                                                                \
        for (int turn = 0; turn < 3; turn++) {                                                                         \
            expect_int(tr_receive(message, TR_FOREVER), 0);                                                            \
            for (size_t i = 0; i < sizeof message->bytes; i++)                                                         \
                expect_int(message->bytes[i], (unsigned char)(i * 7 + (size_t)turn));                                  \
        }                                                                                                              \
        free(message);                                                                                                 \
        (void)argument;                                                                                                \
        return 0;                                                                                                      \
    }                                                                                                                  \
    static void send_##type(void)                                                                                      \
    {                                                                                                                  \
        struct type##_address address;                                                                                 \
        struct tr_task task;                                                                                           \
        struct type *message = malloc(sizeof *message);                                                                \
        const struct tr_actor_options options = { .stack_bytes = 128 * 1024, .task = &task };                          \
        expect_int(tr_spawn(&address, receive_##type, NULL, &options), 0);                                             \
        for (int turn = 0; turn < 3; turn++) {                                                                         \
            for (size_t i = 0; i < sizeof message->bytes; i++)                                                         \
                message->bytes[i] = (unsigned char)(i * 7 + (size_t)turn);                                             \
            expect_int(tr_send_after(NULL, address, MS *(turn + 1), message), 0);                                      \
        }                                                                                                              \
        struct tr_timer timer; /* a long one that is cancelled frees its block */                                      \
        expect_int(tr_send_after(&timer, address, TR_SECOND, message), 0);                                             \
        expect_int(tr_timer_cancel(timer), 0);                                                                         \
        free(message);                                                                                                 \
        expect_int(test_join(task), 0);                                                                                \
    }
SIZED_ACTOR(blob)
SIZED_ACTOR(odd48)
SIZED_ACTOR(odd49)

TASK_TEST(messages_of_any_size_arrive_whole)
{
    send_odd48();
    send_odd49();
    send_blob();
}

TASK_TEST(wrong_arguments_are_refused)
{
    struct number_address address;
    struct tr_timer timer;
    new_taker(&address, 4, 0, NULL);
    const struct tr_type small = { "message", 8, 8 }, huge = { "message", TR_MESSAGE_LIMIT + 1, 8 };
    char bytes[8] = { 0 };
    expect_int(tr_send_after_raw(&timer, address.tri_raw, &small, bytes, 0), -EINVAL);
    expect_int(tr_send_at_raw(&timer, address.tri_raw, &huge, bytes, 0), -EINVAL);
    expect_int(tr_send_interval_raw(&timer, address.tri_raw, &small, bytes, MS), -EINVAL);
    expect_int(tr_send_interval(&timer, address, 0, MESSAGE(1)), -EINVAL);
    expect_int(tr_send_interval(&timer, address, -MS, MESSAGE(1)), -EINVAL);
    struct number_address nobody = { { { 0 } } };
    expect_int(tr_send_after(&timer, nobody, 0, MESSAGE(1)), -ESRCH);
    expect_int(tr_timer_cancel((struct tr_timer){ 0 }), -ESRCH);
}

/* ---- cancelling ----------------------------------------------------------------------------------------------- */

TASK_TEST(cancelled_in_time_is_not_sent)
{
    struct number_address address;
    struct taker *taker = new_taker(&address, 64, 1000, NULL);
    struct tr_timer timers[100], copy;
    for (int i = 0; i < 100; i++)
        expect_int(tr_send_after(&timers[i], address, 4 * MS, MESSAGE(i)), 0);
    for (int i = 0; i < 100; i += 2) {
        copy = timers[i];
        expect_int(tr_timer_cancel(copy), 0);
        expect_int(tr_timer_cancel(timers[i]), -ESRCH);
    }
    await_taken(taker, 50);
    for (int i = 0; i < 50; i++)
        expect_int(taker->values[i], 2 * i + 1);
    expect_int(tr_sleep(2 * MS), 0);
    expect_int(atomic_load(&taker->taken), 50);
    for (int i = 0; i < 100; i++)
        expect_int(tr_timer_cancel(timers[i]), -ESRCH);
}

TASK_TEST(a_handle_that_is_over_never_hits_a_stranger)
{
    struct number_address address;
    struct tr_timer old, fresh[300];
    new_taker(&address, 64, 1000, NULL);
    expect_int(tr_send_after(&old, address, TR_SECOND, MESSAGE(0)), 0);
    expect_int(tr_timer_cancel(old), 0);
    for (int i = 0; i < 300; i++)
        expect_int(tr_send_after(&fresh[i], address, 3600 * TR_SECOND, MESSAGE(i)), 0);
    expect_int(tr_timer_cancel(old), -ESRCH);
    for (int i = 0; i < 300; i++)
        expect_int(tr_timer_cancel(fresh[i]), 0);
}

TASK_TEST(one_that_never_comes_is_freed_by_its_cancellation)
{
    struct number_address address;
    struct tr_timer timers[3];
    struct tr_census before, now;
    new_taker(&address, 4, 1000, NULL);
    tr_census(&before);
    expect_int(tr_send_at(&timers[0], address, TR_FOREVER, MESSAGE(1)), 0);
    expect_int(tr_send_after(&timers[1], address, INT64_MAX, MESSAGE(1)), 0);
    expect_int(tr_send_interval(&timers[2], address, INT64_MAX, MESSAGE(1)), 0);
    expect((tr_census(&now), now.timers >= 3));
    for (int i = 0; i < 3; i++)
        expect_int(tr_timer_cancel(timers[i]), 0);
    await_timers(before.timers);
}

/* From the other worker: the timer goes home to be freed, also when its worker sleeps for an hour. */
static int cancel_other(void *argument)
{
    struct tr_timer *timers = argument;
    for (int i = 0; i < 50; i++)
        expect_int(tr_timer_cancel(timers[i]), 0);
    return 0;
}

static struct number_address shared_address;
static struct tr_timer shared_timers[50];

static int make_timers(void *argument)
{
    (void)argument;
    for (int i = 0; i < 50; i++)
        expect_int(tr_send_after(&shared_timers[i], shared_address, 3600 * TR_SECOND, MESSAGE(i)), 0);
    return 0;
}

TASK_TEST_ON(2, cancelled_on_another_worker_goes_home)
{
    struct tr_task task;
    struct taker *taker = new_taker(&shared_address, 64, 1000, NULL);
    struct tr_task_options on0 = { .pin = TR_PIN(0) }, on1 = { .pin = TR_PIN(1) };
    for (int turn = 0; turn < 10; turn++) {
        expect_int(tr_task_spawn(&task, make_timers, NULL, turn % 2 ? &on0 : &on1), 0);
        expect_int(test_join(task), 0);
        expect_int(tr_task_spawn(&task, cancel_other, shared_timers, turn % 2 ? &on1 : &on0), 0);
        expect_int(test_join(task), 0);
        await_timers(2);
    }
    expect_int(atomic_load(&taker->taken), 0);
}

/* ---- a full mailbox, a target that ends ----------------------------------------------------------------------- */

static int send_one(void *argument)
{
    struct number message = { .value = (intptr_t)argument };
    return tr_send(shared_address, TR_FOREVER, &message);
}

static struct tr_timer_counts counts(void)
{
    struct tr_timer_counts now;
    tr_timer_counts(&now);
    return now;
}

TASK_TEST(a_full_mailbox_makes_it_wait_in_turn)
{
    struct taker *taker = new_taker(&shared_address, 2, 0, NULL);
    expect_int(tr_send(shared_address, TR_NOW, MESSAGE(1)), 0);
    expect_int(tr_send(shared_address, TR_NOW, MESSAGE(2)), 0);
    struct tr_task first = test_task(send_one, (void *)3);
    expect_int(tr_sleep(2 * MS), 0);
    expect_int(tr_send_after(NULL, shared_address, 0, MESSAGE(4)), 0);
    wait_until(counts().delayed == 1);
    struct tr_task second = test_task(send_one, (void *)5);
    expect_int(tr_sleep(2 * MS), 0);
    expect_int(tr_send_after(NULL, shared_address, 0, MESSAGE(6)), 0);
    wait_until(counts().delayed == 2);
    expect_int(test_queued(shared_address), 2); /* no side door past the bound */
    atomic_store(&taker->credit, 6);
    await_taken(taker, 6);
    for (int i = 0; i < 6; i++)
        expect_int(taker->values[i], i + 1);
    expect_int(test_join(first), 0);
    expect_int(test_join(second), 0);
    expect_int((int64_t)counts().lost, 0);
}

TASK_TEST(one_that_waits_for_room_can_be_cancelled)
{
    struct tr_timer timers[3];
    struct taker *taker = new_taker(&shared_address, 1, 0, NULL);
    expect_int(tr_send(shared_address, TR_NOW, MESSAGE(0)), 0);
    for (int i = 0; i < 3; i++) {
        expect_int(tr_send_after(&timers[i], shared_address, 0, MESSAGE(i + 1)), 0);
        wait_until(counts().delayed == (uint64_t)i + 1);
    }
    expect_int(tr_timer_cancel(timers[1]), 0);
    expect_int(tr_timer_cancel(timers[1]), -ESRCH);
    expect_int(tr_timer_cancel(timers[0]), 0);
    atomic_store(&taker->credit, 2);
    await_taken(taker, 2);
    expect_int(taker->values[1], 3);
    expect_int(tr_timer_cancel(timers[2]), -ESRCH);
    atomic_store(&taker->credit, 1); /* the mailbox is as good as new */
    expect_int(tr_send(shared_address, TR_FOREVER, MESSAGE(9)), 0);
    await_taken(taker, 3);
    expect_int(taker->values[2], 9);
}

TASK_TEST(a_target_that_ends_lets_it_fall)
{
    struct tr_task task;
    struct tr_timer timers[4];
    new_taker(&shared_address, 1, 0, &task);
    expect_int(tr_send(shared_address, TR_NOW, MESSAGE(0)), 0);
    expect_int(tr_send_after(&timers[0], shared_address, 0, MESSAGE(1)), 0); /* waits for room when the end comes */
    wait_until(counts().delayed == 1);
    expect_int(tr_send_after(&timers[1], shared_address, 50 * MS, MESSAGE(2)), 0);
    expect_int(tr_send_interval(&timers[2], shared_address, 2 * MS, MESSAGE(3)), 0);
    wait_until(counts().delayed >= 2); /* the interval's */
    expect_int(tr_send_after(&timers[3], shared_address, 50 * MS, MESSAGE(2)), 0);
    expect_int(tr_task_cancel(task), 0);
    test_join(task);
    /* Who follows in the same record gets nothing of it. */
    struct number_address next[64];
    struct taker *takers[64];
    for (int i = 0; i < 64; i++)
        takers[i] = new_taker(&next[i], 4, 10, NULL);
    wait_until(counts().lost == 5); /* the two that waited, the two later, and the tick by which the interval ended */
    expect_int(tr_send_after(&timers[0], shared_address, 0, MESSAGE(1)), -ESRCH);
    for (int i = 0; i < 4; i++)
        expect_int(tr_timer_cancel(timers[i]), -ESRCH);
    await_timers(4); /* of sleepers */
    for (int i = 0; i < 64; i++)
        expect_int(atomic_load(&takers[i]->taken), 0);
}

/* ---- intervals ------------------------------------------------------------------------------------------------ */

TASK_TEST(an_interval_sends_until_it_is_cancelled)
{
    struct number_address address;
    struct tr_timer timer;
    struct taker *taker = new_taker(&address, 64, 1000, NULL);
    tr_time begin = tr_after(0);
    expect_int(tr_send_interval(&timer, address, 2 * MS, MESSAGE(7)), 0);
    wait_until(atomic_load(&taker->taken) >= 10);
    expect_int(tr_timer_cancel(timer), 0);
    expect_int(tr_timer_cancel(timer), -ESRCH);
    await_timers(2);
    int taken = atomic_load(&taker->taken);
    expect_int(tr_sleep(10 * MS), 0);
    expect(atomic_load(&taker->taken) <= taken + 1); /* one may have been in the mailbox */
    for (int i = 0; i < taken; i++) {
        expect_int(taker->values[i], 7);
        expect(taker->times[i] >= begin + 2 * MS * (i + 1)); /* never more ticks than periods */
    }
}

TASK_TEST(an_interval_has_one_message_waiting_at_most)
{
    struct number_address address;
    struct tr_timer timer;
    struct taker *taker = new_taker(&address, 1, 0, NULL);
    expect_int(tr_send(address, TR_NOW, MESSAGE(0)), 0);
    expect_int(tr_send_interval(&timer, address, MS, MESSAGE(1)), 0);
    wait_until(counts().skipped >= 5);
    expect_int((int64_t)counts().delayed, 1);
    atomic_store(&taker->credit, 1); /* now the one that waits takes the place */
    await_taken(taker, 1);
    wait_until(counts().delayed == 2);     /* and the next one waits */
    expect_int(tr_timer_cancel(timer), 0); /* and is withdrawn */
    atomic_store(&taker->credit, 10);
    await_taken(taker, 2);
    expect_int(taker->values[1], 1);
    expect_int(tr_sleep(5 * MS), 0);
    expect_int(atomic_load(&taker->taken), 2);
    await_timers(2);
}

/* ---- threads and runtimes ------------------------------------------------------------------------------------- */

static struct tr_runtime *start(unsigned workers)
{
    struct tr_runtime *runtime;
    struct tr_options options = test_options(workers);
    expect_int(tr_start(&runtime, &options), 0);
    return runtime;
}

static struct taker *taker_in(struct tr_runtime *runtime, struct number_address *address, uint32_t capacity, int credit)
{
    struct taker *taker = test_new(sizeof *taker);
    atomic_store(&taker->credit, credit);
    const struct tr_actor_options options = { .capacity = capacity, .runtime = runtime };
    expect_int(tr_spawn(address, take_by_credit, taker, &options), 0);
    return taker;
}

START_TEST(a_foreign_thread_sends_and_cancels)
{
    struct number_address address;
    struct tr_timer timers[40], interval;
    struct tr_runtime *runtime = start(2);
    struct taker *taker = taker_in(runtime, &address, 64, 1000);
    tr_time begin = tr_clock();
    for (int i = 0; i < 40; i++)
        expect_int(tr_send_after(&timers[i], address, i % 2 ? 3600 * TR_SECOND : 2 * MS, MESSAGE(i)), 0);
    await_taken(taker, 20);
    for (int i = 0; i < 20; i++)
        expect(taker->times[i] >= begin + 2 * MS && taker->values[i] % 2 == 0);
    for (int i = 0; i < 40; i++)
        expect_int(tr_timer_cancel(timers[i]), i % 2 ? 0 : -ESRCH);
    expect_int(tr_send_interval(&interval, address, MS, MESSAGE(1)), 0);
    wait_until(atomic_load(&taker->taken) >= 25);
    expect_int(tr_timer_cancel(interval), 0);
    await_timers(2);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    expect_int(tr_send_after(&timers[0], address, 0, MESSAGE(0)), -ESRCH);
    expect_int(tr_timer_cancel(interval), -ESRCH);
}
END_TEST

static void turn_until_taken(struct tr_runtime *runtime, struct taker *taker, int count)
{
    while (atomic_load(&taker->taken) < count)
        expect(tr_turn(runtime, tr_after(LONG_TIME)) >= 0);
}

/* The thread that drives a runtime in turns is foreign to it between them. */
START_TEST(a_runtime_in_turns_is_sent_to_from_outside)
{
    struct number_address address;
    struct tr_timer timer, interval;
    struct tr_options options = test_options(1);
    struct tr_runtime *runtime;
    expect_int(tr_open(&runtime, &options), 0);
    struct taker *taker = taker_in(runtime, &address, 64, 1000);
    tr_time begin = tr_clock();
    expect_int(tr_send_after(&timer, address, 2 * MS, MESSAGE(7)), 0);
    turn_until_taken(runtime, taker, 1);
    expect(taker->times[0] >= begin + 2 * MS && taker->values[0] == 7);
    expect_int(tr_timer_cancel(timer), -ESRCH);
    expect_int(tr_send_after(&timer, address, 3600 * TR_SECOND, MESSAGE(8)), 0);
    expect_int(tr_send_interval(&interval, address, MS, MESSAGE(9)), 0);
    turn_until_taken(runtime, taker, 4);
    expect_int(tr_timer_cancel(interval), 0);
    expect_int(tr_timer_cancel(timer), 0);
    expect(tr_turn(runtime, tr_after(LONG_TIME)) >= 0); /* the two that were recalled go */
    await_timers(0);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    expect_int(tr_send_after(&timer, address, 0, MESSAGE(0)), -ESRCH);
}
END_TEST

START_TEST(pending_ones_end_with_their_runtime)
{
    struct number_address address;
    struct tr_timer timers[60];
    struct tr_runtime *runtime = start(2);
    struct taker *taker = taker_in(runtime, &address, 64, 0);
    for (int i = 0; i < 60; i++)
        expect_int(i % 2 ? tr_send_after(&timers[i], address, 3600 * TR_SECOND, MESSAGE(i))
                         : tr_send_interval(&timers[i], address, 3600 * TR_SECOND, MESSAGE(i)),
                   0);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    expect_int((int64_t)counts().lost, 60);
    for (int i = 0; i < 60; i++)
        expect_int(tr_timer_cancel(timers[i]), -ESRCH);
    expect_int(atomic_load(&taker->taken), 0);
}
END_TEST

/* From one runtime to an actor of another: the timers are the first one's. */
static int send_across(void *argument)
{
    struct tr_timer *timers = argument;
    for (int i = 0; i < 4; i++)
        expect_int(tr_send_after(&timers[i], shared_address, MS, MESSAGE(i + 1)), 0);
    expect_int(tr_send_after(&timers[4], shared_address, 3600 * TR_SECOND, MESSAGE(5)), 0);
    for (int i = 5; i < 8; i++)
        expect_int(tr_send_interval(&timers[i], shared_address, MS, MESSAGE(i + 1)), 0);
    return 0;
}

START_TEST(messages_cross_runtimes_and_outlive_the_timer)
{
    struct tr_timer timers[8];
    struct tr_runtime *there = start(1), *here = start(1);
    struct taker *taker = taker_in(there, &shared_address, 1, 0);
    expect_int(tr_send(shared_address, TR_FOREVER, MESSAGE(0)), 0);
    struct tr_task task;
    struct tr_task_options options = { .runtime = here };
    expect_int(tr_task_spawn(&task, send_across, timers, &options), 0);
    expect_int(test_join(task), 0);
    wait_until(counts().delayed == 7); /* all but one wait for room over there */
    expect_int(tr_timer_cancel(timers[1]), 0);
    expect_int(tr_timer_cancel(timers[6]), 0);
    expect_int(tr_stop(here, tr_after(LONG_TIME)), 0);
    expect_int((int64_t)counts().lost, 3);     /* the one to come, and the intervals with the messages that waited */
    expect_int(tr_timer_cancel(timers[2]), 0); /* what was due waits on, and is still to be had */
    expect_int(tr_timer_cancel(timers[4]), -ESRCH);
    expect_int(tr_timer_cancel(timers[5]), -ESRCH);
    atomic_store(&taker->credit, 10);
    await_taken(taker, 3);
    expect_int(taker->values[1], 1);
    expect_int(taker->values[2], 4);
    expect_int(tr_timer_cancel(timers[0]), -ESRCH);
    expect_int(tr_stop(there, tr_after(LONG_TIME)), 0);
    expect_int(atomic_load(&taker->taken), 3);
}
END_TEST

/* ---- by its own actor ----------------------------------------------------------------------------------------- */

static int count_down(void *state, void *message)
{
    struct number_address self;
    int64_t left = ((struct number *)message)->value;
    expect_int(tr_self(&self), 0);
    atomic_fetch_add((atomic_int *)state, 1);
    return left == 0 ? TR_END : tr_send_after(NULL, self, 100, MESSAGE(left - 1));
}

TASK_TEST(an_actor_wakes_itself)
{
    static atomic_int turns;
    struct tr_task task;
    struct number_address actor = test_handler(count_down, &turns, 1, &task);
    expect_int(tr_send_after(NULL, actor, 0, MESSAGE(20)), 0);
    expect_int(test_join(task), 0);
    expect_int(atomic_load(&turns), 21);
}

int main(void)
{
    return test_main("after",
                     TESTS(messages_come_never_early_and_once, those_of_one_tick_come_in_order,
                           messages_of_any_size_arrive_whole, wrong_arguments_are_refused,
                           cancelled_in_time_is_not_sent, a_handle_that_is_over_never_hits_a_stranger,
                           one_that_never_comes_is_freed_by_its_cancellation, cancelled_on_another_worker_goes_home,
                           a_full_mailbox_makes_it_wait_in_turn, one_that_waits_for_room_can_be_cancelled,
                           a_target_that_ends_lets_it_fall, an_interval_sends_until_it_is_cancelled,
                           an_interval_has_one_message_waiting_at_most, a_foreign_thread_sends_and_cancels,
                           a_runtime_in_turns_is_sent_to_from_outside, pending_ones_end_with_their_runtime,
                           messages_cross_runtimes_and_outlive_the_timer, an_actor_wakes_itself));
}
