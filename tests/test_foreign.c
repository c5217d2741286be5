/* SPDX-License-Identifier: MIT */
/*
 * test_foreign.c: threads that belong to no runtime use addresses and handles like tasks do: they block where a task
 * suspends. What only a task may do gives -EINVAL there.
 */
#include "tests/support.h"

#include <pthread.h>

static struct tr_runtime *runtime;

static void start(void)
{
    struct tr_options options = test_options(0);
    expect_int(tr_start(&runtime, &options), 0);
}

static void stop(void)
{
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    runtime = NULL;
}

static struct number_address spawn_loop(int (*body)(void *), void *argument, uint32_t capacity, struct tr_task *task)
{
    struct number_address actor;
    struct tr_actor_options options = { .capacity = capacity, .task = task, .runtime = runtime };
    expect_int(tr_spawn(&actor, body, argument, &options), 0);
    return actor;
}

static int add_up(void *argument)
{
    int64_t *sum = argument;
    struct number message;
    while (tr_receive(&message, TR_FOREVER) == 0) {
        *sum += message.value;
        tr_reply(message.reply, sum);
    }
    return 0;
}

static int64_t next_of[16];

/* Checks the order of each sender. */
static int check_order(void *argument)
{
    (void)argument;
    struct number message;
    int count = 0;
    while (tr_receive(&message, TR_FOREVER) == 0) {
        expect_int(message.value, next_of[message.kind]++);
        count++;
        tr_reply(message.reply, &message.value);
    }
    return count;
}

struct worker {
    pthread_t thread;
    struct number_address actor;
    int64_t number, count;
};

static void *send_in_order(void *argument)
{
    struct worker *worker = argument;
    for (int64_t i = 0; i < worker->count; i++) {
        struct number message = { .kind = worker->number, .value = i };
        int64_t answer = -1;
        if (i % 4 == 3) {
            expect_int(tr_call(worker->actor, &answer, tr_after(LONG_TIME), &message), 0);
            expect_int(answer, i);
        } else if (i % 4 == 2) {
            int rc;
            while ((rc = tr_try_send(worker->actor, &message)) == -EAGAIN)
                expect_int(tr_sleep(50 * TR_MICROSECOND), 0);
            expect_int(rc, 0);
        } else {
            expect_int(tr_send(worker->actor, TR_FOREVER, &message), 0);
        }
    }
    return NULL;
}

START_TEST(foreign_threads_send_and_call_concurrently_in_order)
{
    enum { THREADS = 8, COUNT = 1000 };
    struct worker workers[THREADS];
    struct tr_task task;
    start();
    struct number_address actor = spawn_loop(check_order, NULL, 2, &task);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ .actor = actor, .number = i, .count = COUNT };
        expect_int(pthread_create(&workers[i].thread, NULL, send_in_order, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        expect_int(pthread_join(workers[i].thread, NULL), 0);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), THREADS * COUNT);
    stop();
}
END_TEST

static int return_argument(void *argument)
{
    return (int)(intptr_t)argument;
}

static int sleep_then_return(void *argument)
{
    tr_sleep(TR_MILLISECOND);
    return (int)(intptr_t)argument;
}

START_TEST(foreign_spawn_and_join_with_the_runtime_named)
{
    start();
    struct tr_task_options options = { .runtime = runtime };
    for (int i = 0; i < 200; i++) {
        struct tr_task task;
        int result = 0;
        expect_int(tr_task_spawn(&task, i % 2 ? return_argument : sleep_then_return, (void *)(intptr_t)i, &options), 0);
        expect_int(tr_task_join(task, &result, TR_FOREVER), 0);
        expect_int(result, i);
        expect_int(tr_task_join(task, &result, TR_FOREVER), -ESRCH);
    }
    stop();
}
END_TEST

static int wait_open(void *argument)
{
    wait_until(atomic_load((atomic_int *)argument));
    return 0;
}

START_TEST(foreign_deadlines_etimedout)
{
    static atomic_int open;
    struct tr_task task;
    int64_t answer = 4;
    start();
    struct number_address actor = spawn_loop(wait_open, &open, 1, &task);
    tr_time begin = tr_clock();
    expect_int(tr_call(actor, &answer, tr_after(5 * TR_MILLISECOND), &(struct number){ .value = 1 }), -ETIMEDOUT);
    expect(tr_clock() - begin >= 5 * TR_MILLISECOND);
    expect_int(tr_send(actor, tr_after(5 * TR_MILLISECOND), &(struct number){ .value = 1 }), -ETIMEDOUT);
    expect_int(tr_send(actor, TR_NOW, &(struct number){ .value = 1 }), -ETIMEDOUT);
    expect_int(tr_try_send(actor, &(struct number){ .value = 1 }), -EAGAIN);
    expect_int(tr_task_join(task, NULL, tr_after(5 * TR_MILLISECOND)), -ETIMEDOUT);
    expect_int(answer, 4);
    atomic_store(&open, 1);
    expect_int(test_join(task), 0);
    stop();
}
END_TEST

static int take_one_and_end(void *argument)
{
    struct number message;
    (void)argument;
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
    return 0;
}

static void *call_once(void *argument)
{
    struct worker *worker = argument;
    int64_t answer;
    worker->count = tr_call(worker->actor, &answer, TR_FOREVER, &(struct number){ .value = 1 });
    return NULL;
}

START_TEST(foreign_callers_of_an_actor_that_ends_all_return)
{
    struct worker workers[4];
    start();
    for (int round = 0; round < 20; round++) {
        struct tr_task task;
        struct number_address actor = spawn_loop(take_one_and_end, NULL, 1, &task);
        for (int i = 0; i < 4; i++) {
            workers[i] = (struct worker){ .actor = actor };
            expect_int(pthread_create(&workers[i].thread, NULL, call_once, &workers[i]), 0);
        }
        int broken = 0;
        for (int i = 0; i < 4; i++) {
            expect_int(pthread_join(workers[i].thread, NULL), 0);
            expect(workers[i].count == -EPIPE || workers[i].count == -ESRCH);
            broken += workers[i].count == -EPIPE;
        }
        expect_int(broken, 1);
        expect_int(test_join(task), 0);
    }
    stop();
}
END_TEST

START_TEST(foreign_thread_may_not_do_what_only_tasks_do)
{
    struct number message;
    struct number_address self;
    struct tr_token none = { 0 };
    struct tr_counters counters;
    expect_int(tr_receive(&message, TR_NOW), -EINVAL);
    expect_int(tr_try_receive(&message), -EINVAL);
    expect_int(tr_receive_many(&message, 1, TR_FOREVER), -EINVAL);
    expect_int(tr_self(&self), -EINVAL);
    expect_int(tr_yield(), -EINVAL);
    expect_int(tr_shutdown(TR_NOW), -EINVAL);
    expect_int(tr_counters(&counters), -EINVAL);
    int rc = tr_defer_raw(none);
    expect(rc == -EINVAL || rc == -ESRCH);
    struct number_address actor;
    expect_int(tr_spawn(&actor, return_argument, NULL, NULL), -EINVAL);
}
END_TEST

START_TEST(foreign_sleep_blocks_at_least_that_long)
{
    tr_time begin = tr_clock();
    expect_int(tr_sleep(3 * TR_MILLISECOND), 0);
    expect(tr_clock() - begin >= 3 * TR_MILLISECOND);
    expect_int(tr_sleep_until(TR_NOW), 0);
    expect_int(tr_sleep(-5), 0);
}
END_TEST

/* Records of threads come 64 at a time, and the test's own thread has the first. */
enum { OTHER_THREADS = 63 };

static void *hold_record(void *argument)
{
    expect_int(tr_sleep(1), 0);
    pthread_barrier_wait(argument);
    pthread_barrier_wait(argument);
    return NULL;
}

/* Long: a sleep that is over before it begins, for the thread has lost its processor, needs no record. */
static void *sleep_without_memory(void *argument)
{
    struct rlimit before;
    (void)argument;
    test_limit_memory(&before);
    int rc = tr_sleep(600 * TR_SECOND);
    expect_int(setrlimit(RLIMIT_AS, &before), 0);
    expect_int(rc, -ENOMEM);
    expect_int(tr_sleep(1), 0);
    return NULL;
}

START_TEST(foreign_sleep_without_memory_for_a_record_enomem)
{
    pthread_t threads[OTHER_THREADS], sleeper;
    pthread_barrier_t barrier;
    if (!test_can_limit_memory())
        return;
    expect_int(tr_sleep(1), 0);
    expect_int(pthread_barrier_init(&barrier, NULL, OTHER_THREADS + 1), 0);
    for (int i = 0; i < OTHER_THREADS; i++)
        expect_int(pthread_create(&threads[i], NULL, hold_record, &barrier), 0);
    pthread_barrier_wait(&barrier);
    expect_int(pthread_create(&sleeper, NULL, sleep_without_memory, NULL), 0);
    expect_int(pthread_join(sleeper, NULL), 0);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < OTHER_THREADS; i++)
        expect_int(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&barrier);
}
END_TEST

static void *ask_twice(void *argument)
{
    struct worker *worker = argument;
    test_ask(worker->actor, 0, 1);
    test_ask(worker->actor, 0, 1);
    return NULL;
}

START_TEST(foreign_threads_that_come_and_go_leave_nothing)
{
    static int64_t sum;
    struct tr_census before, now;
    start();
    struct number_address actor = spawn_loop(add_up, &sum, 4, NULL);
    struct worker worker = { .actor = actor };
    expect_int(test_ask(actor, 0, 0), 0);
    tr_census(&before);
    for (int i = 0; i < 500; i++) {
        expect_int(pthread_create(&worker.thread, NULL, ask_twice, &worker), 0);
        expect_int(pthread_join(worker.thread, NULL), 0);
    }
    expect_int(test_ask(actor, 0, 0), 1000);
    wait_until((tr_census(&now), now.tasks == before.tasks && now.slots == before.slots));
    stop();
}
END_TEST

static struct number_reply mailed_token;
static atomic_int mailed;

static int mail_token(void *argument)
{
    struct number message;
    (void)argument;
    for (int i = 0; i < 100; i++) {
        expect_int(tr_receive(&message, TR_FOREVER), 0);
        mailed_token = message.reply;
        atomic_store(&mailed, 1);
    }
    while (tr_receive(&message, TR_FOREVER) == 0)
        continue;
    return 0;
}

static void *reply_from_thread(void *argument)
{
    (void)argument;
    for (int64_t i = 0; i < 100; i++) {
        while (!atomic_load(&mailed))
            usleep(20);
        struct number_reply token = mailed_token;
        atomic_store(&mailed, 0);
        expect_int(tr_reply(token, &i), 0);
    }
    return NULL;
}

START_TEST(foreign_thread_replies_for_an_actor)
{
    pthread_t thread;
    start();
    struct number_address actor = spawn_loop(mail_token, NULL, 4, NULL);
    expect_int(pthread_create(&thread, NULL, reply_from_thread, NULL), 0);
    for (int i = 0; i < 100; i++)
        expect_int(test_ask(actor, 0, 0), i);
    expect_int(pthread_join(thread, NULL), 0);
    stop();
}
END_TEST

static void *stop_from_thread(void *argument)
{
    usleep(1000);
    expect_int(tr_actor_stop(*(struct number_address *)argument), 0);
    return NULL;
}

START_TEST(foreign_stop_wakes_an_idle_actor)
{
    static int64_t sum;
    start();
    for (int i = 0; i < 30; i++) {
        struct tr_task task;
        pthread_t thread;
        struct number_address actor = spawn_loop(add_up, &sum, 4, &task);
        expect_int(pthread_create(&thread, NULL, stop_from_thread, &actor), 0);
        expect_int(test_join(task), 0);
        expect_int(pthread_join(thread, NULL), 0);
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 1 }), -ESRCH);
    }
    stop();
}
END_TEST

/* The word of a locked mutex tells whose it is; see mailbox/mutex.c and monitor.h. */
static uintptr_t owner_of(const struct tr_mutex *mutex)
{
    return (uintptr_t)(mutex->tri_word & ((UINT64_C(1) << 54) - 4));
}

static void *tell_record(void *argument)
{
    struct tr_mutex mutex = TR_MUTEX_INIT;
    expect_int(tr_mutex_lock(&mutex, TR_FOREVER), 0);
    *(uintptr_t *)argument = owner_of(&mutex);
    expect_int(tr_mutex_unlock(&mutex), 0);
    return NULL;
}

static int is_record(void *argument)
{
    return (uintptr_t)tr_task_self().tri_record == *(uintptr_t *)argument;
}

/* A waker that is late may still ask whether it is a thread that the record stands for: then it must not be a task's by now. */
START_TEST(foreign_records_never_become_tasks)
{
    static uintptr_t record;
    pthread_t thread;
    struct tr_options options = test_options(1);
    options.no_caches = true; /* the record that was given back last is the next to be taken */
    expect_int(tr_start(&runtime, &options), 0);
    expect_int(pthread_create(&thread, NULL, tell_record, &record), 0);
    expect_int(pthread_join(thread, NULL), 0);
    expect(record != 0);
    for (int i = 0; i < 10; i++) {
        struct tr_task task;
        struct tr_task_options of_runtime = { .runtime = runtime };
        expect_int(tr_task_spawn(&task, is_record, &record, &of_runtime), 0);
        expect_int(test_join(task), 0);
    }
    stop();
}
END_TEST

/* Others have them all: their values are not to be taken for ours. Of a process that has not waited before. */
static int lock_without_a_key(void)
{
    static struct tr_mutex lock = TR_MUTEX_INIT;
    static char theirs[64];
    pthread_key_t key;
    while (pthread_key_create(&key, NULL) == 0)
        expect_int(pthread_setspecific(key, theirs), 0);
    int rc = tr_mutex_lock(&lock, TR_NOW);
    for (size_t i = 0; i < sizeof theirs; i++)
        expect_int(theirs[i], 0);
    return rc == -ENOMEM && !tr_mutex_is_locked(&lock) ? 0 : 1;
}

static int begin_again(void)
{
    setenv("TEST_FOREIGN_CHILD", "", 1);
    return execl("/proc/self/exe", "test_foreign", NULL);
}

START_TEST(foreign_thread_without_a_key_for_its_record_enomem)
{
    expect_int(test_in_child(begin_again), 0);
}
END_TEST

int main(void)
{
    if (getenv("TEST_FOREIGN_CHILD"))
        return lock_without_a_key();
    return test_main("foreign",
                     TESTS(foreign_threads_send_and_call_concurrently_in_order,
                           foreign_spawn_and_join_with_the_runtime_named, foreign_deadlines_etimedout,
                           foreign_callers_of_an_actor_that_ends_all_return,
                           foreign_thread_may_not_do_what_only_tasks_do, foreign_sleep_blocks_at_least_that_long,
                           foreign_sleep_without_memory_for_a_record_enomem,
                           foreign_thread_without_a_key_for_its_record_enomem,
                           foreign_threads_that_come_and_go_leave_nothing, foreign_thread_replies_for_an_actor,
                           foreign_stop_wakes_an_idle_actor, foreign_records_never_become_tasks));
}
