/* SPDX-License-Identifier: MIT */
/*
 * test_runtime.c: starting and ending by the promises of troupe/runtime.h: tr_run, tr_start beside foreign code, several
 * runtimes at once, logs and counters. Shutdowns are in test_shutdown.c.
 */
#include "tests/descriptors.h"
#include "tests/support.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int threads_to_be_had = INT_MAX;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *argument),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *argument),
                          void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *argument),
                          void *argument)
{
    if (atomic_fetch_sub(&threads_to_be_had, 1) <= 0)
        return EAGAIN;
    return __real_pthread_create(thread, attributes, body, argument);
}

static int return_argument(void *argument)
{
    return (int)(intptr_t)argument;
}

static int echo_loop(void *argument)
{
    struct number message;
    (void)argument;
    while (tr_receive(&message, TR_FOREVER) == 0)
        tr_reply(message.reply, &message.value);
    return 0;
}

static int sleep_for_ever(void *argument)
{
    (void)argument;
    int rc = tr_sleep(TR_FOREVER);
    return rc == -ECANCELED ? 0 : rc;
}

/* ---- tr_run --------------------------------------------------------------------------------------------------- */

START_TEST(run_returns_mains_result)
{
    struct tr_options options = test_options(0);
    static const int results[] = { 0, 1, -1, -EINVAL, INT32_MAX };
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        expect_int(tr_run(&options, return_argument, (void *)(intptr_t)results[i]), results[i]);
    expect_int(tr_run(NULL, return_argument, (void *)3), 3);
}
END_TEST

START_TEST(run_many_times_leaves_nothing)
{
    struct tr_options options = test_options(0);
    for (int i = 0; i < 100; i++)
        expect_int(tr_run(&options, return_argument, (void *)(intptr_t)i), i);
}
END_TEST

static void run_inside(void)
{
    struct tr_runtime *runtime;
    expect_int(tr_run(NULL, return_argument, NULL), -EDEADLK);
    expect_int(tr_start(&runtime, NULL), -EDEADLK);
}

START_TEST(run_in_a_task_edeadlk)
{
    test_run(0, run_inside);
}
END_TEST

START_TEST(options_impossible_einval)
{
    struct tr_runtime *runtime;
    static const struct tr_options bad[] = {
        { .workers = 1000000 }, { .workers = UINT32_MAX }, { .backend = (enum tr_backend)77 },
        { .stop_ns = -1 },      { .shutdown_ns = -1 },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_int(tr_run(&bad[i], return_argument, NULL), -EINVAL);
        expect_int(tr_start(&runtime, &bad[i]), -EINVAL);
    }
    struct tr_options huge = { .stack_bytes = SIZE_MAX / 2 };
    int rc = tr_run(&huge, return_argument, NULL);
    expect(rc == -EINVAL || rc == -ENOMEM);
}
END_TEST

static unsigned workers_wanted;

static int report_worker(void *argument)
{
    expect_int(tr_worker_index(), (int)(intptr_t)argument);
    return 0;
}

static void check_workers(void)
{
    expect_int(tr_worker_count(), workers_wanted);
    expect(tr_worker_index() >= 0 && tr_worker_index() < (int)workers_wanted);
    expect(tr_backend_kind() == TR_BACKEND_URING || tr_backend_kind() == TR_BACKEND_EPOLL);
    for (unsigned i = 0; i < workers_wanted; i++) {
        struct tr_task task;
        struct tr_task_options options = { .pin = TR_PIN((int)i) };
        expect_int(tr_task_spawn(&task, report_worker, (void *)(intptr_t)i, &options), 0);
        expect_int(test_join(task), 0);
    }
}

START_TEST(options_workers_1_to_4_all_run_tasks)
{
    for (workers_wanted = 1; workers_wanted <= 4; workers_wanted++)
        test_run(workers_wanted, check_workers);
}
END_TEST

static void check_some_workers(void)
{
    expect(tr_worker_count() >= 1);
}

static void check_backend(void)
{
    expect_int(tr_backend_kind(), TR_BACKEND_EPOLL);
}

START_TEST(options_from_the_environment)
{
    test_log_capture(TR_LOG_WARNING);
    setenv("TR_WORKERS", "-18446744073709551615", 1);
    test_run(0, check_some_workers);
    expect_int(test_log_count("is not a number from 1 to 64"), 1);
    tr_log(TR_LOG_WARNING, "a name%s", "\ntroupe: error: forged");
    expect(test_log_has("a name?troupe: error: forged"));
    test_log_release();
    setenv("TR_WORKERS", "3", 1);
    setenv("TR_BACKEND", "epoll", 1);
    workers_wanted = 3;
    test_run(0, check_workers);
    test_run(0, check_backend);
    workers_wanted = 2;
    test_run(2, check_workers); /* an option wins over the environment */
    struct tr_options options = test_options(1);
    options.backend = TR_BACKEND_EPOLL;
    unsetenv("TR_BACKEND");
    test_run_with(&options, check_backend);
}
END_TEST

/* ---- tr_start, several runtimes ------------------------------------------------------------------------------- */

START_TEST(start_without_a_thread_to_be_had_says_so)
{
    struct tr_options options = test_options(3);
    struct tr_runtime *runtime;
    test_log_capture(TR_LOG_ERROR);
    atomic_store(&threads_to_be_had, 2);
    expect_int(tr_start(&runtime, &options), -EAGAIN);
    atomic_store(&threads_to_be_had, INT_MAX);
    expect(test_log_has("cannot start thread 3 of 3: Resource temporarily unavailable"));
    test_log_release();
}
END_TEST

START_TEST(start_and_stop_many_times_leave_nothing)
{
    struct tr_options options = test_options(0);
    for (int i = 0; i < 50; i++) {
        struct tr_runtime *runtime;
        expect_int(tr_start(&runtime, &options), 0);
        if (i % 2) {
            struct number_address actor;
            struct tr_actor_options actor_options = { .runtime = runtime };
            expect_int(tr_spawn(&actor, echo_loop, NULL, &actor_options), 0);
            expect_int(test_ask(actor, 0, i), i);
        }
        expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    }
}
END_TEST

/* The child has the runtimes' memory, and none of their threads or rings. */
START_TEST(fork_leaves_the_child_runtimes_it_cannot_use)
{
    struct tr_runtime *started, *opened, *another;
    struct tr_options options = test_options(0);
    expect_int(tr_start(&started, &options), 0);
    expect_int(tr_open(&opened, NULL), 0);
    expect(tr_turn(opened, TR_NOW) >= 0);
    pid_t child = fork();
    expect(child >= 0);
    if (child == 0) {
        bool refused = tr_turn(opened, TR_NOW) == -ENOTSUP && tr_stop(opened, TR_NOW) == -ENOTSUP &&
                       tr_stop(started, TR_NOW) == -ENOTSUP && tr_start(&another, &options) == -ENOTSUP &&
                       tr_open(&another, NULL) == -ENOTSUP;
        _exit(refused ? 0 : 1);
    }
    int status;
    expect_int(waitpid(child, &status, 0), child);
    expect_int(status, 0);
    expect(tr_turn(opened, TR_NOW) >= 0);
    expect_int(tr_stop(opened, TR_FOREVER), 0);
    expect_int(tr_stop(started, TR_FOREVER), 0);
}
END_TEST

START_TEST(address_after_runtime_gone_esrch)
{
    struct tr_options options = test_options(0);
    struct tr_runtime *runtime;
    struct number_address actor;
    struct tr_task task, sleeper;
    struct tr_actor_info info;
    int64_t answer;
    for (int round = 0; round < 10; round++) {
        expect_int(tr_start(&runtime, &options), 0);
        struct tr_actor_options actor_options = { .task = &task, .runtime = runtime };
        struct tr_task_options task_options = { .runtime = runtime };
        expect_int(tr_spawn(&actor, echo_loop, NULL, &actor_options), 0);
        expect_int(tr_task_spawn(&sleeper, sleep_for_ever, NULL, &task_options), 0);
        expect_int(test_ask(actor, 0, 5), 5);
        expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 1 }), -ESRCH);
        expect_int(tr_try_send(actor, &(struct number){ .value = 1 }), -ESRCH);
        expect_int(tr_call(actor, &answer, TR_FOREVER, &(struct number){ .value = 1 }), -ESRCH);
        expect_int(tr_actor_stop(actor), -ESRCH);
        expect_int(tr_actor_info(actor, &info), -ESRCH);
        expect_int(tr_task_cancel(task), -ESRCH);
        expect_int(tr_task_cancel(sleeper), -ESRCH);
        expect_int(tr_task_join(task, NULL, TR_FOREVER), -ESRCH);
        expect_int(tr_task_join(sleeper, NULL, TR_FOREVER), -ESRCH);
    }
}
END_TEST

static struct number_address far_echo;

static void ask_far(void)
{
    for (int i = 0; i < 200; i++)
        expect_int(test_ask(far_echo, 0, i), i);
}

static void *run_ask_far(void *argument)
{
    (void)argument;
    test_run(0, ask_far);
    return NULL;
}

START_TEST(runtimes_several_at_once_call_each_other)
{
    struct tr_options options = test_options(1);
    struct tr_runtime *runtime;
    pthread_t threads[3];
    expect_int(tr_start(&runtime, &options), 0);
    struct tr_actor_options actor_options = { .capacity = 2, .runtime = runtime };
    expect_int(tr_spawn(&far_echo, echo_loop, NULL, &actor_options), 0);
    for (int i = 0; i < 3; i++)
        expect_int(pthread_create(&threads[i], NULL, run_ask_far, NULL), 0);
    for (int i = 0; i < 3; i++)
        expect_int(pthread_join(threads[i], NULL), 0);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

static int keep_for_ever(void *argument)
{
    struct number message;
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    atomic_store((atomic_int *)argument, 1);
    while (tr_receive(&message, TR_FOREVER) == 0)
        continue;
    return 0;
}

static void *call_far(void *argument)
{
    int64_t answer;
    *(int *)argument = tr_call(far_echo, &answer, TR_FOREVER, &(struct number){ .value = 1 });
    return NULL;
}

START_TEST(runtime_that_ends_resolves_calls_from_outside)
{
    struct tr_options options = test_options(0);
    struct tr_runtime *runtime;
    static atomic_int taken;
    pthread_t thread;
    int rc = 1;
    expect_int(tr_start(&runtime, &options), 0);
    struct tr_actor_options actor_options = { .capacity = 2, .runtime = runtime };
    expect_int(tr_spawn(&far_echo, keep_for_ever, &taken, &actor_options), 0);
    expect_int(pthread_create(&thread, NULL, call_far, &rc), 0);
    wait_until(atomic_load(&taken));
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    expect_int(pthread_join(thread, NULL), 0);
    expect_int(rc, -EPIPE);
}
END_TEST

/* ---- census, counters, logs ----------------------------------------------------------------------------------- */

TASK_TEST(census_counts_tasks_and_their_stacks)
{
    struct tr_census before, now;
    struct tr_task tasks[50];
    tr_census(&before);
    for (int i = 0; i < 50; i++)
        tasks[i] = test_task(sleep_for_ever, NULL);
    wait_until((tr_census(&now), now.stacks >= before.stacks + 50));
    expect_int((int64_t)(now.tasks - before.tasks), 50);
    for (int i = 0; i < 50; i++)
        expect_int(tr_task_cancel(tasks[i]), 0);
    for (int i = 0; i < 50; i++)
        expect_int(test_join(tasks[i]), 0);
    unsigned loops = tr_worker_count(); /* a worker that sleeps sits on a stack too */
    wait_until((tr_census(&now), now.tasks == before.tasks && now.stacks <= before.stacks + loops));
}

TASK_TEST(counters_grow)
{
    struct tr_counters before, after;
    expect_int(tr_counters(&before), 0);
    for (int i = 0; i < 20; i++)
        expect_int(test_join(test_task(return_argument, NULL)), 0);
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    expect_int(tr_counters(&after), 0);
    expect(after.spawns - before.spawns >= 20);
    expect(after.switches > before.switches);
    expect(after.polls + after.sleeps > before.polls + before.sleeps);
}

/* Each slice is longer than the mean that a pass of one turn is for. */
static void yield_alone(void)
{
    struct tr_counters before, after;
    enum { YIELDS = 200 };
    for (int warm = 0; warm < 2; warm++) {
        expect_int(tr_counters(&before), 0);
        for (int i = 0; i < YIELDS; i++) {
            tr_time end = tr_clock() + 200 * TR_MICROSECOND;
            while (tr_clock() < end)
                continue;
            expect_int(tr_yield(), 0);
        }
    }
    expect_int(tr_counters(&after), 0);
    expect(after.polls - before.polls >= YIELDS / 2);
    expect(after.polls - before.polls <= YIELDS + YIELDS / 4);
}

START_TEST(yield_alone_makes_one_pass)
{
    struct tr_options options = test_options(1);
    options.migrate_always = false; /* it would go round by the inbox, which another pass looks into */
    test_run_with(&options, yield_alone);
}
END_TEST

START_TEST(log_goes_to_the_sink_down_to_its_level)
{
    test_log_capture(TR_LOG_WARNING);
    tr_log(TR_LOG_ERROR, "loud %d", 1);
    tr_log(TR_LOG_WARNING, "plain %d", 2);
    tr_log(TR_LOG_INFO, "quiet %d", 3);
    expect(test_log_has("loud 1"));
    expect(test_log_has("plain 2"));
    expect(!test_log_has("quiet 3"));
    test_log_release();
    expect(strlen(tr_version()) > 0);
}
END_TEST

static int set_flag(void *flag)
{
    atomic_store((atomic_int *)flag, 1);
    return 0;
}

/* Computes until it has been named, which is after a fifth of a second. What it spawns has the other worker up and on watch. */
static void hog_until_named(void)
{
    atomic_int beside[2] = { 0, 0 };
    tr_time start = tr_clock();
    for (int i = 0; i < 2; i++)
        expect_int(tr_task_spawn(NULL, set_flag, &beside[i], NULL), 0);
    while (!atomic_load(&beside[0]) && tr_clock() < start + LONG_TIME)
        ;
    while (!test_log_has("'main' has kept worker") && tr_clock() < start + LONG_TIME)
        ;
    while (!atomic_load(&beside[0]) || !atomic_load(&beside[1]))
        expect_int(tr_yield(), 0);
}

/* Whoever names it has nothing from a thread that knows its record: for the thread sanitizer. It may not be on watch, either. */
static void hog_for_a_while(void)
{
    tr_time start = tr_clock();
    while (!test_log_has("'main' has kept worker") && tr_clock() < start + 300 * TR_MILLISECOND)
        ;
}

START_TEST(log_names_a_task_that_hogs_its_worker)
{
    struct tr_options options = test_options(2);
    test_log_capture(TR_LOG_WARNING);
    test_run_with(&options, hog_for_a_while);
    test_log_capture(TR_LOG_WARNING);
    test_run_with(&options, hog_until_named);
    expect(test_log_has("task 'main' has kept worker"));
    test_log_release();
}
END_TEST

/* With `spare` descriptors to be had: what tr_run says; 1 if any is left open. */
static int run_with_descriptors(rlim_t spare)
{
    struct tr_options options = test_options(0);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    int free_fd = dup(0), left;
    close(free_fd);
    struct rlimit low = { (rlim_t)free_fd + spare, limit.rlim_max };
    setrlimit(RLIMIT_NOFILE, &low);
    int rc = tr_run(&options, return_argument, NULL);
    left = dup(0);
    if (left >= 0)
        close(left);
    setrlimit(RLIMIT_NOFILE, &limit);
    return DESCRIPTORS_COUNT && left >= 0 && left != free_fd ? 1 : rc;
}

/* Each number of them, until they suffice: so each thing that takes one fails once, with all before it to be undone. */
static int run_with_ever_more_descriptors(void)
{
    int before = descriptors_open(), rc;
    rlim_t spare = 0;
    test_log_capture(TR_LOG_ERROR);
    while ((rc = run_with_descriptors(spare)) == -EMFILE && spare < 100)
        spare++;
    bool all_closed = !DESCRIPTORS_COUNT || descriptors_open() == before;
    return rc == 0 && spare > 0 && run_with_descriptors(spare + 1) == 0 && all_closed ? 0 : 1;
}

START_TEST(run_with_too_few_descriptors_emfile)
{
    expect_int(test_in_child(run_with_ever_more_descriptors), 0);
}
END_TEST

static int start_with_an_unknown_backend(void)
{
    struct tr_options options = test_options(4);
    struct tr_runtime *runtime;
    options.backend = TR_BACKEND_DEFAULT;
    setenv("TR_BACKEND", "telepathy", 1);
    test_log_capture(TR_LOG_DEBUG);
    int rc = tr_start(&runtime, &options);
    return rc == -EINVAL && test_log_count("TR_BACKEND=telepathy is unknown") == 1 ? 0 : 1;
}

START_TEST(start_with_an_unknown_backend_says_so_once)
{
    expect_int(test_in_child(start_with_an_unknown_backend), 0);
}
END_TEST

static void do_nothing(void)
{
}

START_TEST(log_names_the_backend_at_start)
{
    struct tr_options options = test_options(1);
    options.backend = TR_BACKEND_EPOLL;
    test_log_capture(TR_LOG_INFO);
    test_run_with(&options, do_nothing);
    expect(test_log_has("epoll"));
    test_log_release();
}
END_TEST

int main(void)
{
    return test_main("runtime",
                     TESTS(run_returns_mains_result, run_many_times_leaves_nothing, run_in_a_task_edeadlk,
                           options_impossible_einval, run_with_too_few_descriptors_emfile,
                           options_workers_1_to_4_all_run_tasks, options_from_the_environment,
                           start_without_a_thread_to_be_had_says_so, start_and_stop_many_times_leave_nothing,
                           fork_leaves_the_child_runtimes_it_cannot_use, address_after_runtime_gone_esrch,
                           runtimes_several_at_once_call_each_other, runtime_that_ends_resolves_calls_from_outside,
                           census_counts_tasks_and_their_stacks, counters_grow, yield_alone_makes_one_pass,
                           log_goes_to_the_sink_down_to_its_level, log_names_a_task_that_hogs_its_worker,
                           start_with_an_unknown_backend_says_so_once, log_names_the_backend_at_start));
}
