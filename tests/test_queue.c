/* SPDX-License-Identifier: MIT */
/*
 * test_queue.c: queues by the promises of troupe/queue.h: each message to one receiver, in order, fair to those who wait, and the
 * end. What a queue has of the channel (policies, bytes) is tested there.
 */
#include "support.h"

#include <pthread.h>

TR_QUEUE_TYPE(number_queue, int64_t);

static struct number_queue make(uint32_t capacity)
{
    struct number_queue queue;
    expect_int(tr_queue_create(&queue, capacity, NULL), 0);
    return queue;
}

static int64_t receive_now(struct number_queue queue)
{
    int64_t number;
    int rc = tr_queue_try_receive(queue, &number);
    return rc == 0 ? number : rc;
}

static int drops;

static void count_drop(void *message)
{
    drops++;
    expect_int(*(int64_t *)message, 10 + drops);
}

START_TEST(edges)
{
    struct number_queue queue = make(2);
    expect_int(receive_now(queue), -EAGAIN);
    for (int64_t i = 0; i < 2; i++)
        expect_int(tr_queue_try_send(queue, &i), 0);
    expect_int(tr_queue_try_send(queue, &(int64_t){ 2 }), -EAGAIN);
    expect_int(tr_queue_length(queue), 2);
    expect_int(receive_now(queue), 0);
    expect_int(tr_queue_try_send(queue, &(int64_t){ 2 }), 0);
    expect(!tr_queue_is_closed(queue));
    tr_queue_close(queue);
    expect(tr_queue_is_closed(queue));
    expect_int(tr_queue_try_send(queue, &(int64_t){ 3 }), -EPIPE);
    expect_int(receive_now(queue), 1);
    expect_int(receive_now(queue), 2);
    expect_int(receive_now(queue), -EPIPE);
    tr_queue_close(queue);
    tr_queue_unref(queue);
    expect_int(tr_queue_try_send_raw((struct tr_queue){ 0 }, &(struct tr_type){ "n", 8, 8 }, "12345678"), -EINVAL);
    expect_int(tr_queue_create(&queue, 0, NULL), -EINVAL);
}
END_TEST

START_TEST(the_last_reference_drops_what_is_left)
{
    struct number_queue queue;
    expect_int(tr_queue_create(&queue, 4, &(struct tr_channel_options){ .drop = count_drop }), 0);
    tr_queue_ref(queue);
    for (int64_t i = 10; i < 13; i++)
        expect_int(tr_queue_try_send(queue, &i), 0);
    tr_queue_unref(queue);
    expect_int(receive_now(queue), 10);
    expect_int(drops, 0);
    tr_queue_unref(queue);
    expect_int(drops, 2);
}
END_TEST

/* ---- waiting -------------------------------------------------------------------------------------------------- */

struct job {
    struct number_queue queue;
    int64_t number, span;
};

static int receive(void *argument)
{
    struct job *job = argument;
    int64_t number;
    int rc = tr_queue_receive(job->queue, &number, job->span ? tr_after(job->span) : TR_FOREVER);
    return rc == 0 ? (int)number : rc;
}

static int send_number(void *argument)
{
    struct job *job = argument;
    return tr_queue_send(job->queue, job->span ? tr_after(job->span) : TR_FOREVER, &job->number);
}

static struct tr_task start(int (*body)(void *argument), struct number_queue queue, int64_t number)
{
    struct job job = { queue, number, 0 };
    struct tr_task task;
    expect_int(tr_task_spawn(&task, body, &job, &(struct tr_task_options){ .argument_bytes = sizeof job }), 0);
    test_settle();
    return task;
}

TASK_TEST_ON(1, receivers_are_served_in_order)
{
    struct number_queue queue = make(2);
    struct tr_task tasks[10];
    for (int i = 0; i < 10; i++)
        tasks[i] = start(receive, queue, 0);
    for (int64_t i = 0; i < 10; i++)
        expect_int(tr_queue_try_send(queue, &i), 0);
    expect_int(tr_queue_length(queue), 0);
    for (int i = 0; i < 10; i++)
        expect_int(test_join(tasks[i]), i);
    tr_queue_unref(queue);
}

TASK_TEST_ON(1, senders_are_served_in_order)
{
    struct number_queue queue = make(1);
    struct tr_task tasks[10];
    for (int i = 0; i < 10; i++)
        tasks[i] = start(send_number, queue, i);
    for (int i = 0; i < 10; i++)
        expect_int(receive_now(queue), i);
    for (int i = 0; i < 10; i++)
        expect_int(test_join(tasks[i]), 0);
    tr_queue_unref(queue);
}

TASK_TEST_ON(1, who_gives_up_loses_nothing_but_its_place)
{
    struct number_queue queue = make(1);
    struct tr_task first = start(receive, queue, 0), second = start(receive, queue, 0);
    expect_int(tr_task_cancel(first), 0);
    expect_int(test_join(first), -ECANCELED);
    expect_int(tr_queue_try_send(queue, &(int64_t){ 3 }), 0);
    expect_int(test_join(second), 3);
    struct job late = { queue, 4, TR_MILLISECOND };
    expect_int(receive(&late), -ETIMEDOUT);
    expect_int(send_number(&late), 0);
    expect_int(send_number(&late), -ETIMEDOUT);
    expect_int(receive(&late), 4);
    expect_int(receive_now(queue), -EAGAIN);
    tr_queue_unref(queue);
}

TASK_TEST_ON(1, close_ends_all_who_wait)
{
    struct number_queue empty = make(1), full = make(1);
    struct tr_task tasks[10];
    expect_int(tr_queue_try_send(full, &(int64_t){ 1 }), 0);
    for (int i = 0; i < 10; i++)
        tasks[i] = start(i % 2 ? send_number : receive, i % 2 ? full : empty, i);
    tr_queue_close(empty);
    tr_queue_close(full);
    for (int i = 0; i < 10; i++)
        expect_int(test_join(tasks[i]), -EPIPE);
    expect_int(receive_now(full), 1);
    expect_int(receive_now(full), -EPIPE);
    tr_queue_unref(empty);
    tr_queue_unref(full);
}

TASK_TEST_ON(1, select_takes_one_and_leaves_the_other)
{
    struct number_queue a = make(1), b = make(1);
    int64_t x = 0, y = 0, three = 3;
    struct tr_case cases[] = { tr_case_queue_receive(a, &x), tr_case_queue_receive(b, &y) };
    expect_int(tr_select(cases, 2, tr_after(TR_MILLISECOND), TR_SELECT_FAIR), -ETIMEDOUT);
    struct tr_task task = start(send_number, b, 9);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(y, 9);
    expect_int(test_join(task), 0);
    struct tr_case sends[] = { tr_case_queue_send(a, &three), tr_case_queue_send(a, &(int64_t){ 4 }) };
    expect_int(tr_select(sends, 2, TR_FOREVER, TR_SELECT_ORDERED), 0);
    expect_int(tr_select(sends, 2, tr_after(TR_MILLISECOND), TR_SELECT_ORDERED), -ETIMEDOUT);
    expect_int(receive_now(a), 3);
    expect_int(tr_select(sends + 1, 1, TR_FOREVER, TR_SELECT_ORDERED), 0);
    expect_int(receive_now(a), 4);
    expect_int(receive_now(a), -EAGAIN);
    tr_queue_unref(a);
    tr_queue_unref(b);
}

/* ---- a pool of workers: tasks, and plain threads -------------------------------------------------------------- */

enum { JOBS = 4000, POOL = 4 };

struct pool {
    struct number_queue queue;
    atomic_int seen[JOBS];
    atomic_int done;
};

static int work(void *argument)
{
    struct pool *pool = argument;
    int64_t numbers[5], last = -1;
    int rc;
    while ((rc = tr_queue_receive_many(pool->queue, numbers, 5, tr_after(LONG_TIME))) > 0) {
        for (int i = 0; i < rc; i++) {
            expect(numbers[i] > last); /* one sender: what one receiver gets is in order */
            last = numbers[i];
            atomic_fetch_add(&pool->seen[numbers[i]], 1);
            atomic_fetch_add(&pool->done, 1);
        }
    }
    expect_int(rc, -EPIPE);
    tr_queue_unref(pool->queue);
    return 0;
}

static void *work_in_thread(void *argument)
{
    work(argument);
    return NULL;
}

TASK_TEST(a_pool_does_every_job_once)
{
    struct pool *pool = test_new(sizeof *pool);
    struct tr_task tasks[POOL];
    pthread_t threads[2];
    pool->queue = make(7);
    for (int i = 0; i < POOL; i++) {
        tr_queue_ref(pool->queue);
        tasks[i] = test_task(work, pool);
    }
    for (int i = 0; i < 2; i++) {
        tr_queue_ref(pool->queue);
        expect_int(pthread_create(&threads[i], NULL, work_in_thread, pool), 0);
    }
    for (int64_t i = 0; i < JOBS; i++)
        expect_int(tr_queue_send(pool->queue, tr_after(LONG_TIME), &i), 0);
    tr_queue_close(pool->queue);
    for (int i = 0; i < POOL; i++)
        expect_int(test_join(tasks[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < JOBS; i++)
        expect_int(atomic_load(&pool->seen[i]), 1);
    tr_queue_unref(pool->queue);
}

int main(void)
{
    return test_main("queue",
                     TESTS(edges, the_last_reference_drops_what_is_left, receivers_are_served_in_order,
                           senders_are_served_in_order, who_gives_up_loses_nothing_but_its_place,
                           close_ends_all_who_wait, select_takes_one_and_leaves_the_other, a_pool_does_every_job_once));
}
