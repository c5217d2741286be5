/* SPDX-License-Identifier: MIT */
/*
 * test_broadcast.c: the edges of the broadcast: lag, subscribing late, senders and receivers that come and go, waiting, values
 * that are counted. The tables are scripts: one letter, one operation on one channel, checked against what must come out.
 */
#include "support.h"
#include <limits.h>
#include <pthread.h>

struct value {
    int64_t number;
    char text[13]; /* so that the last word is not whole */
};

TR_BROADCAST_TYPE(feed, struct value);
TR_BROADCAST_RECEIVER_TYPE(feed_receiver, struct value);
TR_BROADCAST_WEAK_TYPE(feed_weak, struct value);

static struct value value_of(int64_t number)
{
    struct value value = { .number = number };
    for (size_t i = 0; i < sizeof value.text; i++)
        value.text[i] = (char)(number + (int64_t)i);
    return value;
}

static struct feed create(uint32_t capacity)
{
    struct feed feed;
    expect_int(tr_broadcast_create(&feed, capacity, NULL), 0);
    return feed;
}

static int send_number(struct feed feed, int64_t number)
{
    struct value value = value_of(number);
    return tr_broadcast_send(feed, &value);
}

static struct feed_receiver subscribe(struct feed feed)
{
    struct feed_receiver receiver;
    expect_int(tr_broadcast_subscribe(feed, &receiver), 0);
    return receiver;
}

static void expect_received(struct value value, int64_t number)
{
    struct value expected = value_of(number);
    expect_int(value.number, number);
    expect(memcmp(value.text, expected.text, sizeof value.text) == 0);
}

static void expect_next(struct feed_receiver *receiver, int missed, int64_t number)
{
    struct value value;
    expect_int(tr_broadcast_try_receive(receiver, &value), missed);
    expect_received(value, number);
}

/* ---- scripts --------------------------------------------------------------------------------------------------- */

/*
 * s sends the next number (from 0 on)    r receives and expects the row's next result: missed, number
 * e expects -EAGAIN                       p expects -EPIPE
 * l expects a length of the next result   c closes the sender
 */
struct script {
    uint32_t capacity;
    const char *operations;
    int results[16];
};

static const struct script scripts[] = {
    { 4, "e", { 0 } },                                   /* nothing yet */
    { 4, "lsrle", { 0, 0, 0, 0 } },                      /* one */
    { 4, "sssslrrrre", { 4, 0, 0, 0, 1, 0, 2, 0, 3 } },  /* exactly full: nothing missed */
    { 4, "ssssslrrrre", { 4, 1, 1, 0, 2, 0, 3, 0, 4 } }, /* one overwritten: told once */
    { 4, "ssssssssssrr", { 6, 6, 0, 7 } },               /* more than a lap */
    { 4, "ssrssssr", { 0, 0, 1, 2 } },                   /* behind by a lap in mid-ring */
    { 4, "sssssrsssssr", { 1, 1, 4, 6 } },               /* overtaken twice, counted apart */
    { 1, "srsrssre", { 0, 0, 0, 1, 1, 3 } },             /* capacity 1 */
    { 3, "sssslr", { 4, 0, 0 } },                        /* 3 is rounded up to 4 */
    { 4, "sscrrpp", { 0, 0, 0, 1 } },                    /* drains, then is told, again and again */
    { 4, "sssssscrrrrp", { 2, 2, 0, 3, 0, 4, 0, 5 } },   /* closed and overtaken: first the rest of it */
    { 4, "cp", { 0 } },                                  /* closed at once */
    { 2, "sssssssssssssssscrrp", { 14, 14, 0, 15 } },    /* far behind and closed */
};

static void play(const struct script *script)
{
    struct feed feed = create(script->capacity);
    struct feed_receiver receiver = subscribe(feed);
    const int *result = script->results;
    int64_t number = 0;
    struct value value;
    bool open = true;
    for (const char *o = script->operations; *o; o++) {
        if (*o == 's') {
            expect_int(send_number(feed, number++), 1);
        } else if (*o == 'r') {
            expect_next(&receiver, result[0], result[1]);
            result += 2;
        } else if (*o == 'e' || *o == 'p') {
            expect_int(tr_broadcast_try_receive(&receiver, &value), *o == 'e' ? -EAGAIN : -EPIPE);
            expect_int(tr_broadcast_receive(&receiver, &value, TR_NOW), *o == 'e' ? -ETIMEDOUT : -EPIPE);
        } else if (*o == 'l') {
            expect_int((int64_t)tr_broadcast_length(&receiver), *result++);
        } else {
            tr_broadcast_close(feed);
            open = false;
        }
    }
    tr_broadcast_unsubscribe(&receiver);
    if (open)
        tr_broadcast_close(feed);
}

TASK_TEST(broadcast_scripts)
{
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        play(&scripts[i]);
}

/* ---- creating, counting, coming and going ----------------------------------------------------------------------- */

static void ignore(void *value)
{
    (void)value;
}

TASK_TEST(broadcast_create_refuses_what_makes_no_sense)
{
    struct tr_broadcast raw;
    struct tr_broadcast_options half = { .clone = ignore }, other = { .drop = ignore }, both = { ignore, ignore };
    expect_int(tr_broadcast_create_raw(&raw, 8, 0, NULL), -EINVAL);
    expect_int(tr_broadcast_create_raw(&raw, 8, TR_BROADCAST_LIMIT + 1, NULL), -EINVAL);
    expect_int(tr_broadcast_create_raw(&raw, TR_MESSAGE_LIMIT + 1, 8, NULL), -EINVAL);
    expect_int(tr_broadcast_create_raw(&raw, 8, 8, &half), -EINVAL);
    expect_int(tr_broadcast_create_raw(&raw, 8, 8, &other), -EINVAL);
    expect_int(tr_broadcast_create_raw(&raw, TR_COUNTED_LIMIT + 1, 8, &both), -EINVAL);
    struct tr_broadcast_receiver receiver;
    expect_int(tr_broadcast_subscribe_raw((struct tr_broadcast){ 0 }, &receiver), -EINVAL);
}

TASK_TEST(broadcast_wrong_size_is_refused)
{
    struct feed feed = create(2);
    struct feed_receiver receiver = subscribe(feed);
    int64_t small = 0;
    expect_int(tr_broadcast_send_raw(feed.tri_raw, sizeof small, &small), -EINVAL);
    expect_int(tr_broadcast_try_receive_raw(&receiver.tri_raw, sizeof small, &small), -EINVAL);
    expect_int(tr_broadcast_receive_raw(&receiver.tri_raw, sizeof small, &small, TR_FOREVER), -EINVAL);
    struct tr_case c = tr_case_broadcast_raw(&receiver.tri_raw, sizeof small, &small);
    expect_int(tr_select(&c, 1, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(c.result, -EINVAL);
    tr_broadcast_unsubscribe(&receiver);
    tr_broadcast_close(feed);
}

TASK_TEST(broadcast_send_to_nobody_says_so_and_a_later_subscribe_changes_that)
{
    struct feed feed = create(2);
    expect_int(send_number(feed, 1), -ESRCH);
    struct feed_receiver receiver = subscribe(feed);
    expect_int(send_number(feed, 2), 1);
    expect_next(&receiver, 0, 2);
    tr_broadcast_unsubscribe(&receiver);
    expect_int(send_number(feed, 3), -ESRCH);
    receiver = subscribe(feed);
    expect_int(send_number(feed, 4), 1);
    expect_next(&receiver, 0, 4);
    tr_broadcast_unsubscribe(&receiver);
    tr_broadcast_close(feed);
}

TASK_TEST(broadcast_subscribers_see_only_later_values)
{
    struct feed feed = create(4);
    struct feed_receiver first = subscribe(feed), second, third;
    struct value value;
    expect_int(send_number(feed, 1), 1);
    second = subscribe(feed);
    expect_int(send_number(feed, 2), 2);
    expect_int(tr_broadcast_resubscribe(&first, &third), 0);
    expect_int((int64_t)tr_broadcast_length(&first), 2);
    expect_int((int64_t)tr_broadcast_length(&third), 0);
    expect_int(send_number(feed, 3), 3);
    for (int i = 1; i <= 3; i++)
        expect_next(&first, 0, i);
    expect_next(&second, 0, 2);
    expect_next(&second, 0, 3);
    expect_next(&third, 0, 3);
    expect_int(tr_broadcast_try_receive(&third, &value), -EAGAIN);
    expect_int(tr_broadcast_receivers(feed), 3);
    tr_broadcast_close(feed);
    struct feed_receiver late;
    expect_int(tr_broadcast_resubscribe(&first, &late), 0); /* of a closed one: the end */
    expect_int(tr_broadcast_try_receive(&late, &value), -EPIPE);
    tr_broadcast_unsubscribe(&late);
    tr_broadcast_unsubscribe(&first);
    tr_broadcast_unsubscribe(&second);
    tr_broadcast_unsubscribe(&third);
}

TASK_TEST(broadcast_ends_with_the_last_of_its_senders)
{
    struct feed feed = create(4);
    struct feed_receiver receiver = subscribe(feed);
    struct value value;
    tr_broadcast_open(feed);
    expect_int(tr_broadcast_senders(&receiver), 2);
    tr_broadcast_close(feed);
    expect_int(tr_broadcast_try_receive(&receiver, &value), -EAGAIN);
    expect_int(send_number(feed, 1), 1);
    tr_broadcast_close(feed);
    expect_int(tr_broadcast_senders(&receiver), 0);
    expect_next(&receiver, 0, 1);
    expect_int(tr_broadcast_try_receive(&receiver, &value), -EPIPE);
    tr_broadcast_unsubscribe(&receiver);
}

TASK_TEST(broadcast_weak_handle_keeps_nothing_open)
{
    struct feed feed = create(4), again;
    struct feed_weak weak, other;
    struct feed_receiver receiver = subscribe(feed);
    struct value value;
    tr_broadcast_downgrade(feed, &weak);
    tr_broadcast_downgrade(feed, &other);
    expect_int(tr_broadcast_upgrade(weak, &again), 0);
    expect_int(tr_broadcast_senders(&receiver), 2);
    tr_broadcast_close(feed);
    expect_int(send_number(again, 1), 1);
    tr_broadcast_close(again);
    expect_int(tr_broadcast_upgrade(weak, &again), -EPIPE);
    expect_next(&receiver, 0, 1);
    expect_int(tr_broadcast_try_receive(&receiver, &value), -EPIPE);
    tr_broadcast_forget(weak);
    tr_broadcast_unsubscribe(&receiver);
    expect_int(tr_broadcast_upgrade(other, &again), -EPIPE);
    tr_broadcast_forget(other);
}

TASK_TEST(broadcast_missed_beyond_int_is_told_in_parts)
{
    struct feed feed = create(2);
    struct feed_receiver receiver = subscribe(feed);
    receiver.tri_raw.tri_missed = UINT64_C(5) + INT_MAX; /* as if it had slept for years */
    expect_int(send_number(feed, 1), 1);
    expect_int(send_number(feed, 2), 1);
    expect_next(&receiver, INT_MAX, 1);
    expect_next(&receiver, 5, 2);
    tr_broadcast_unsubscribe(&receiver);
    tr_broadcast_close(feed);
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

struct listener {
    struct feed_receiver receiver;
    tr_time deadline;
    int64_t from;
    int count, result;
};

/* Receives numbers in a row; leaves at the end. */
static int listen_in_order(void *argument)
{
    struct listener *listener = argument;
    struct value value;
    int rc;
    while ((rc = tr_broadcast_receive(&listener->receiver, &value, listener->deadline)) == 0)
        expect_received(value, listener->from + listener->count++);
    listener->result = rc;
    tr_broadcast_unsubscribe(&listener->receiver);
    return rc;
}

TASK_TEST_ON(1, broadcast_wakes_all_who_wait)
{
    enum { LISTENERS = 100 }; /* several handfuls */
    struct listener *listeners = test_new(LISTENERS * sizeof *listeners);
    struct tr_task tasks[LISTENERS];
    struct feed feed = create(8);
    for (int i = 0; i < LISTENERS; i++) {
        listeners[i] = (struct listener){ .receiver = subscribe(feed), .deadline = TR_FOREVER };
        tasks[i] = test_task(listen_in_order, &listeners[i]);
    }
    for (int turn = 0; turn < 3; turn++) {
        test_settle();
        expect_int(send_number(feed, turn), LISTENERS);
    }
    test_settle();
    tr_broadcast_close(feed);
    for (int i = 0; i < LISTENERS; i++) {
        expect_int(test_join(tasks[i]), -EPIPE);
        expect_int(listeners[i].count, 3);
    }
}

TASK_TEST_ON(1, broadcast_wait_ends_by_deadline_or_cancel_and_takes_nothing)
{
    struct feed feed = create(8);
    struct listener late = { .receiver = subscribe(feed), .deadline = tr_after(2 * TR_MILLISECOND) };
    struct listener cancelled = { .receiver = subscribe(feed), .deadline = TR_FOREVER };
    struct tr_task first = test_task(listen_in_order, &late), second = test_task(listen_in_order, &cancelled);
    test_settle();
    expect_int(tr_task_cancel(second), 0);
    expect_int(test_join(second), -ECANCELED);
    expect_int(test_join(first), -ETIMEDOUT);
    expect_int(late.count + cancelled.count, 0);
    expect_int(send_number(feed, 1), -ESRCH);
    tr_broadcast_close(feed);
}

static int receive_one(void *argument)
{
    struct listener *listener = argument;
    struct value value;
    int rc = tr_broadcast_receive(&listener->receiver, &value, listener->deadline);
    return rc < 0 ? rc : (int)value.number;
}

TASK_TEST_ON(1, broadcast_value_is_there_after_a_cancelled_wait)
{
    struct feed feed = create(8);
    struct listener *listener = test_new(sizeof *listener);
    *listener = (struct listener){ .receiver = subscribe(feed), .deadline = TR_FOREVER };
    struct tr_task task = test_task(receive_one, listener);
    test_settle();
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), -ECANCELED);
    expect_int(send_number(feed, 7), 1);
    expect_next(&listener->receiver, 0, 7);
    /* Served and cancelled at once: the value is either received, or still there. */
    task = test_task(receive_one, listener);
    test_settle();
    expect_int(send_number(feed, 8), 1);
    expect_int(tr_task_cancel(task), 0);
    int rc = test_join(task);
    expect(rc == 8 || rc == -ECANCELED);
    expect_int((int64_t)tr_broadcast_length(&listener->receiver), rc == 8 ? 0 : 1);
    tr_broadcast_unsubscribe(&listener->receiver);
    tr_broadcast_close(feed);
}

struct turns {
    struct feed_receiver receiver;
    struct tr_semaphore *taken, *gave_up;
    int count, timeouts, gave_up_at;
};

/* Tells the sender of each value; now and then it waits until it gives up, and tells of that, too, once. */
static int take_turns(void *argument)
{
    struct turns *turns = argument;
    struct value value;
    for (;;) {
        tr_time deadline = turns->count % 100 == 50 ? tr_after(TR_MILLISECOND) : TR_FOREVER;
        int rc = tr_broadcast_receive(&turns->receiver, &value, deadline);
        if (rc == 0) {
            expect_received(value, turns->count++);
            expect_int(tr_semaphore_release(turns->taken, 1), 0);
        } else if (rc == -ETIMEDOUT) {
            turns->timeouts++;
            if (turns->gave_up_at != turns->count)
                expect_int(tr_semaphore_release(turns->gave_up, 1), 0);
            turns->gave_up_at = turns->count;
        } else {
            tr_broadcast_unsubscribe(&turns->receiver);
            return rc;
        }
    }
}

/* Receivers that have found out that yielding is enough (see actor/news.c), and then are let down. */
TASK_TEST_ON(1, broadcast_taking_turns_with_pauses)
{
    enum { RECEIVERS = 20, ROUNDS = 500 };
    struct turns *turns = test_new(RECEIVERS * sizeof *turns);
    struct tr_task tasks[RECEIVERS];
    struct tr_semaphore taken = TR_SEMAPHORE_INIT(0), gave_up = TR_SEMAPHORE_INIT(0);
    struct feed feed = create(4);
    for (int i = 0; i < RECEIVERS; i++) {
        turns[i] = (struct turns){ .receiver = subscribe(feed), .taken = &taken, .gave_up = &gave_up };
        tasks[i] = test_task(take_turns, &turns[i]);
    }
    for (int n = 0; n < ROUNDS; n++) {
        if (n % 100 == 50)
            expect_int(tr_semaphore_acquire(&gave_up, RECEIVERS, TR_FOREVER), 0);
        expect_int(send_number(feed, n), RECEIVERS);
        expect_int(tr_semaphore_acquire(&taken, RECEIVERS, TR_FOREVER), 0);
    }
    tr_broadcast_close(feed);
    for (int i = 0; i < RECEIVERS; i++) {
        expect_int(test_join(tasks[i]), -EPIPE);
        expect_int(turns[i].count, ROUNDS);
        expect(turns[i].timeouts >= 5);
    }
}

TASK_TEST(broadcast_slow_receiver_holds_nobody_up)
{
    struct feed feed = create(16);
    struct feed_receiver slow = subscribe(feed), quick = subscribe(feed);
    for (int i = 0; i < 1000; i++) {
        expect_int(send_number(feed, i), 2);
        expect_next(&quick, 0, i);
    }
    expect_next(&slow, 1000 - 16, 1000 - 16);
    tr_broadcast_unsubscribe(&slow);
    tr_broadcast_unsubscribe(&quick);
    tr_broadcast_close(feed);
}

static int await_desertion(void *argument)
{
    struct feed *feed = argument;
    return tr_broadcast_closed(*feed, TR_FOREVER);
}

TASK_TEST_ON(1, broadcast_sender_awaits_the_last_receivers_end)
{
    struct feed feed = create(2);
    expect_int(tr_broadcast_closed(feed, TR_NOW), 0);
    struct feed_receiver first = subscribe(feed), second = subscribe(feed);
    expect_int(tr_broadcast_closed(feed, TR_NOW), -ETIMEDOUT);
    expect_int(tr_broadcast_closed(feed, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    struct tr_task one = test_task(await_desertion, &feed), two = test_task(await_desertion, &feed);
    struct tr_task cancelled = test_task(await_desertion, &feed);
    test_settle();
    expect_int(tr_task_cancel(cancelled), 0);
    expect_int(test_join(cancelled), -ECANCELED);
    tr_broadcast_unsubscribe(&first);
    test_settle();
    tr_broadcast_unsubscribe(&second);
    second = subscribe(feed); /* too late to keep them waiting */
    expect_int(test_join(one), 0);
    expect_int(test_join(two), 0);
    tr_broadcast_unsubscribe(&second);
    tr_broadcast_close(feed);
}

/* ---- select ------------------------------------------------------------------------------------------------------ */

static int send_later(void *argument)
{
    struct feed *feed = argument;
    test_settle();
    return send_number(*feed, 5);
}

TASK_TEST_ON(1, broadcast_in_a_select_wins_loses_and_ends)
{
    struct feed one = create(2), two = create(2);
    struct feed_receiver first = subscribe(one), second = subscribe(two);
    struct value values[2];
    struct tr_case cases[] = { tr_case_broadcast(&first, &values[0]), tr_case_broadcast(&second, &values[1]) };
    expect_int(tr_select(cases, 2, tr_after(TR_MILLISECOND), TR_SELECT_FAIR), -ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        expect_int(send_number(two, i), 1);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(cases[1].result, 1); /* overtaken by one */
    expect_received(values[1], 1);
    expect_next(&second, 0, 2);
    struct tr_task task = test_task(send_later, &one);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(cases[0].result, 0);
    expect_received(values[0], 5);
    expect_int(test_join(task), 1);
    expect_int(send_number(two, 9), 1); /* the one that has lost is as it was */
    expect_next(&second, 0, 9);
    tr_broadcast_close(two);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(cases[1].result, -EPIPE);
    tr_broadcast_unsubscribe(&first);
    tr_broadcast_unsubscribe(&second);
    tr_broadcast_close(one);
}

/* ---- counted values ---------------------------------------------------------------------------------------------- */

struct counted {
    atomic_int references;
};

TR_BROADCAST_TYPE(counted_feed, struct counted *);
TR_BROADCAST_RECEIVER_TYPE(counted_receiver, struct counted *);

static void ref_counted(void *value)
{
    expect(atomic_fetch_add(&(*(struct counted **)value)->references, 1) > 0);
}

static void unref_counted(void *value)
{
    expect(atomic_fetch_sub(&(*(struct counted **)value)->references, 1) > 0);
}

TASK_TEST(broadcast_counted_values_are_dropped_once)
{
    static struct counted objects[6];
    const struct tr_broadcast_options options = { ref_counted, unref_counted };
    struct counted_feed feed;
    struct counted_receiver receiver, other;
    struct counted *got, *object = &objects[0];
    for (int i = 0; i < 6; i++)
        atomic_store(&objects[i].references, 1);
    expect_int(tr_broadcast_create(&feed, 2, &options), 0);
    expect_int(tr_broadcast_send(feed, &object), -ESRCH);
    expect_int(atomic_load(&objects[0].references), 1); /* still the caller's */
    expect_int(tr_broadcast_subscribe(feed, &receiver), 0);
    expect_int(tr_broadcast_subscribe(feed, &other), 0);
    for (int i = 0; i < 5; i++) {
        object = &objects[i];
        expect_int(tr_broadcast_send(feed, &object), 2);
        expect_int(tr_broadcast_try_receive(&receiver, &got), 0);
        expect(got == object);
        expect_int(atomic_load(&objects[i].references), 2);
    }
    for (int i = 0; i < 5; i++) /* the channel holds the last two, the receiver has got each */
        expect_int(atomic_load(&objects[i].references), i < 3 ? 1 : 2);
    expect_int(tr_broadcast_try_receive(&other, &got), 3);
    expect(got == &objects[3]);
    expect_int(atomic_load(&objects[3].references), 3);
    tr_broadcast_unsubscribe(&receiver);
    tr_broadcast_close(feed);
    expect_int(tr_broadcast_try_receive(&other, &got), 0);
    expect_int(tr_broadcast_try_receive(&other, &got), -EPIPE);
    tr_broadcast_unsubscribe(&other);
    for (int i = 0; i < 6; i++) /* received by one, by one, by one, by both, by both, never sent */
        expect_int(atomic_load(&objects[i].references), i < 3 ? 1 : i < 5 ? 2 : 1);
}

/* ---- plain threads ------------------------------------------------------------------------------------------------ */

static void *listen_on_thread(void *argument)
{
    listen_in_order(argument);
    return NULL;
}

START_TEST(broadcast_between_a_task_and_threads)
{
    enum { THREADS = 4, COUNT = 200 };
    struct listener listeners[THREADS];
    pthread_t threads[THREADS];
    struct feed feed = create(256);
    for (int i = 0; i < THREADS; i++) {
        listeners[i] = (struct listener){ .receiver = subscribe(feed), .deadline = TR_FOREVER };
        expect_int(pthread_create(&threads[i], NULL, listen_on_thread, &listeners[i]), 0);
    }
    struct listener inside = { .receiver = subscribe(feed), .deadline = TR_FOREVER };
    struct tr_options options = test_options(0);
    struct tr_runtime *runtime;
    struct tr_task task;
    expect_int(tr_start(&runtime, &options), 0);
    expect_int(tr_task_spawn(&task, listen_in_order, &inside, &(struct tr_task_options){ .runtime = runtime }), 0);
    for (int i = 0; i < COUNT; i++) {
        expect_int(send_number(feed, i), THREADS + 1);
        if (i % 50 == 0)
            usleep(1000);
    }
    tr_broadcast_close(feed);
    for (int i = 0; i < THREADS; i++) {
        expect_int(pthread_join(threads[i], NULL), 0);
        expect_int(listeners[i].result, -EPIPE);
        expect_int(listeners[i].count, COUNT);
    }
    expect_int(test_join(task), -EPIPE);
    expect_int(inside.count, COUNT);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

int main(void)
{
    return test_main("broadcast",
                     TESTS(broadcast_scripts, broadcast_create_refuses_what_makes_no_sense,
                           broadcast_wrong_size_is_refused,
                           broadcast_send_to_nobody_says_so_and_a_later_subscribe_changes_that,
                           broadcast_subscribers_see_only_later_values, broadcast_ends_with_the_last_of_its_senders,
                           broadcast_weak_handle_keeps_nothing_open, broadcast_missed_beyond_int_is_told_in_parts,
                           broadcast_wakes_all_who_wait, broadcast_wait_ends_by_deadline_or_cancel_and_takes_nothing,
                           broadcast_value_is_there_after_a_cancelled_wait, broadcast_taking_turns_with_pauses,
                           broadcast_slow_receiver_holds_nobody_up, broadcast_sender_awaits_the_last_receivers_end,
                           broadcast_in_a_select_wins_loses_and_ends, broadcast_counted_values_are_dropped_once,
                           broadcast_between_a_task_and_threads));
}
