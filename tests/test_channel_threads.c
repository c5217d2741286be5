/* SPDX-License-Identifier: MIT */
/* test_channel_threads.c: channels between plain threads, and between runtimes. */
#include "tests/support.h"

#include <pthread.h>
#include <troupe/channel.h>

TR_CHANNEL_TYPE(number, int64_t);
struct ends {
    struct number_sender sender;
    struct number_receiver receiver;
};

static struct ends make(uint32_t capacity)
{
    struct ends ends = { 0 };
    expect_int(tr_channel_create(&ends.sender, &ends.receiver, capacity, NULL), 0);
    return ends;
}

enum { MANY = 2000 };

static void *send_many(void *argument)
{
    struct ends *ends = argument;
    for (int64_t i = 0; i < MANY; i++)
        expect_int(tr_channel_send(ends->sender, tr_after(LONG_TIME), &i), 0);
    tr_channel_sender_close(ends->sender);
    return NULL;
}

static int receive_all(void *argument)
{
    struct ends *ends = argument;
    int64_t number, next = 0;
    int rc;
    while ((rc = tr_channel_receive(ends->receiver, &number, tr_after(LONG_TIME))) == 0)
        expect_int(number, next++);
    expect_int(rc, -EPIPE);
    expect_int(next, MANY);
    return 0;
}

static void *receive_all_in_thread(void *argument)
{
    receive_all(argument);
    return NULL;
}

START_TEST(between_two_threads)
{
    struct ends ends = make(3);
    pthread_t threads[2];
    expect_int(pthread_create(&threads[0], NULL, send_many, &ends), 0);
    expect_int(pthread_create(&threads[1], NULL, receive_all_in_thread, &ends), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    tr_channel_receiver_destroy(ends.receiver);
}
END_TEST

static int send_many_in_task(void *argument)
{
    send_many(argument);
    return 0;
}

/* Two hops: a task of one runtime, a task of another, a plain thread. */
static int pass_on(void *argument)
{
    struct ends *ends = argument;
    int64_t number;
    int rc;
    while ((rc = tr_channel_receive(ends[0].receiver, &number, tr_after(LONG_TIME))) == 0)
        expect_int(tr_channel_send(ends[1].sender, tr_after(LONG_TIME), &number), 0);
    expect_int(rc, -EPIPE);
    tr_channel_sender_close(ends[1].sender);
    return 0;
}

START_TEST(between_two_runtimes_and_a_thread)
{
    struct ends ends[2] = { make(4), make(2) };
    struct tr_runtime *runtimes[2];
    struct tr_options options = test_options(0);
    for (int i = 0; i < 2; i++)
        expect_int(tr_start(&runtimes[i], &options), 0);
    struct tr_task tasks[2];
    expect_int(tr_task_spawn(&tasks[0], send_many_in_task, &ends[0],
                             &(struct tr_task_options){ .runtime = runtimes[0] }),
               0);
    expect_int(tr_task_spawn(&tasks[1], pass_on, ends, &(struct tr_task_options){ .runtime = runtimes[1] }), 0);
    receive_all(&ends[1]);
    for (int i = 0; i < 2; i++)
        expect_int(tr_task_join(tasks[i], NULL, tr_after(LONG_TIME)), 0);
    for (int i = 0; i < 2; i++)
        expect_int(tr_stop(runtimes[i], tr_after(LONG_TIME)), 0);
    for (int i = 0; i < 2; i++)
        tr_channel_receiver_destroy(ends[i].receiver);
}
END_TEST

int main(void)
{
    return test_main("channel_threads", TESTS(between_two_threads, between_two_runtimes_and_a_thread));
}
