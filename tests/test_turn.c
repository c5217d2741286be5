/* SPDX-License-Identifier: MIT */
/*
 * test_turn.c: runtimes without threads of their own, by the promises of troupe/runtime.h: tr_open, tr_turn, tr_turn_fd, and
 * tr_stop for them. The program's own loop is poll(2), as it would be in a program.
 */
#include "tests/support.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static struct tr_runtime *open_runtime(void)
{
    struct tr_options options = test_options(1);
    struct tr_runtime *runtime;
    expect_int(tr_open(&runtime, &options), 0);
    return runtime;
}

static void stop_runtime(struct tr_runtime *runtime)
{
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}

static bool readable(struct tr_runtime *runtime, int milliseconds)
{
    struct pollfd event = { .fd = tr_turn_fd(runtime), .events = POLLIN };
    expect(event.fd >= 0);
    int count = poll(&event, 1, milliseconds);
    expect(count >= 0);
    return count > 0;
}

/* The loop of a program: sleeps in poll until there is something to do. */
#define turn_until(runtime, condition)                                                                                 \
    while (!(condition)) {                                                                                             \
        expect(readable(runtime, LONG_TIME / TR_MILLISECOND));                                                         \
        expect(tr_turn(runtime, TR_NOW) >= 0);                                                                         \
    }

static struct tr_task spawn_in(struct tr_runtime *runtime, int (*body)(void *argument), void *argument)
{
    struct tr_task_options options = { .runtime = runtime };
    struct tr_task task;
    expect_int(tr_task_spawn(&task, body, argument, &options), 0);
    return task;
}

static int count_once(void *argument)
{
    atomic_fetch_add((atomic_int *)argument, 1);
    return 0;
}

static int echo(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    if (number->kind)
        expect_int(tr_sleep(number->kind), 0);
    tr_reply(number->reply, &number->value);
    return 0;
}

static struct number_address echo_in(struct tr_runtime *runtime)
{
    struct number_address actor;
    struct tr_actor_options options = { .runtime = runtime };
    expect_int(tr_spawn_handler(&actor, echo, NULL, &options), 0);
    return actor;
}

/* ---- what a turn does ----------------------------------------------------------------------------------------- */

START_TEST(turn_runs_what_is_ready_and_the_descriptor_tells)
{
    atomic_int count = 0;
    struct tr_runtime *runtime = open_runtime();
    expect(!readable(runtime, 0));
    for (int i = 1; i <= 10; i++) {
        struct tr_task task = spawn_in(runtime, count_once, &count);
        expect(readable(runtime, 0));
        expect_int(atomic_load(&count), i - 1); /* nobody else runs it */
        expect_int(tr_turn(runtime, TR_NOW), 0);
        expect_int(atomic_load(&count), i);
        expect(!readable(runtime, 0));
        expect_int(tr_turn(runtime, INT64_MIN), 0);
        expect_int(tr_task_join(task, NULL, TR_NOW), 0);
    }
    stop_runtime(runtime);
}
END_TEST

static int sleep_a_little(void *argument)
{
    tr_time until = tr_clock() + 3 * TR_MILLISECOND;
    expect_int(tr_sleep_until(until), 0);
    expect(tr_clock() >= until);
    atomic_fetch_add((atomic_int *)argument, 1);
    return 0;
}

START_TEST(turn_fires_timers_when_the_descriptor_tells)
{
    atomic_int count = 0;
    struct tr_runtime *runtime = open_runtime();
    for (int i = 1; i <= 5; i++) {
        expect_int(tr_task_detach(spawn_in(runtime, sleep_a_little, &count)), 0);
        expect_int(tr_turn(runtime, TR_NOW), 0);
        turn_until(runtime, atomic_load(&count) == i);
    }
    expect(!readable(runtime, 0)); /* nor by the time that has been */
    stop_runtime(runtime);
}
END_TEST

START_TEST(turn_with_a_deadline_waits)
{
    atomic_int count = 0;
    struct tr_runtime *runtime = open_runtime();
    tr_time before = tr_clock();
    expect_int(tr_turn(runtime, before + 2 * TR_MILLISECOND), 0);
    expect(tr_clock() >= before + 2 * TR_MILLISECOND);
    expect_int(tr_task_detach(spawn_in(runtime, sleep_a_little, &count)), 0);
    while (atomic_load(&count) == 0)
        expect(tr_turn(runtime, tr_after(LONG_TIME)) >= 0);
    expect(tr_clock() < before + LONG_TIME);
    stop_runtime(runtime);
}
END_TEST

static int yield_for_ever(void *argument)
{
    while (tr_yield() == 0)
        atomic_fetch_add((atomic_long *)argument, 1);
    return 0;
}

/* However busy the tasks are, the program gets its thread back; and they go on where they were. */
START_TEST(turn_is_bounded)
{
    for (int tasks = 1; tasks <= 3; tasks++) {
        struct tr_runtime *runtime = open_runtime();
        atomic_long yields = 0;
        for (int i = 0; i < tasks; i++)
            expect_int(tr_task_detach(spawn_in(runtime, yield_for_ever, &yields)), 0);
        for (int i = 0; i < 20; i++) {
            long before = atomic_load(&yields);
            expect_int(tr_turn(runtime, TR_NOW), 1);
            expect(atomic_load(&yields) > before);
            expect(readable(runtime, 0));
        }
        stop_runtime(runtime);
    }
}
END_TEST

static int call_for_ever(void *argument)
{
    struct number_address *actor = argument;
    int64_t answer;
    while (tr_call(*actor, &answer, TR_FOREVER, &(struct number){ .value = 1 }) == 0)
        ;
    return 0;
}

/* The same for those who are held while the handler runs, and for a mailbox that is always full. */
START_TEST(turn_is_bounded_among_calls)
{
    struct tr_runtime *runtime = open_runtime();
    struct number_address actor = echo_in(runtime);
    for (int i = 0; i < 5; i++)
        expect_int(tr_task_detach(spawn_in(runtime, call_for_ever, &actor)), 0);
    for (int i = 0; i < 20; i++)
        expect_int(tr_turn(runtime, TR_NOW), 1);
    stop_runtime(runtime);
}
END_TEST

/* ---- from outside --------------------------------------------------------------------------------------------- */

enum { CALLERS = 4, CALLS = TEST_SANITIZED ? 500 : 5000 };

struct callers {
    struct number_address actor;
    atomic_int left;
};

static void *call_from_outside(void *argument)
{
    struct callers *callers = argument;
    for (int i = 0; i < CALLS; i++)
        expect_int(test_ask(callers->actor, i % 100 == 0 ? TR_MICROSECOND : 0, i), i);
    atomic_fetch_sub(&callers->left, 1);
    return NULL;
}

static int nothing(void *argument)
{
    (void)argument;
    return 0;
}

/* A wake that does not make the descriptor readable hangs the loop. */
START_TEST(foreign_threads_make_it_readable)
{
    struct tr_runtime *runtime = open_runtime();
    struct callers callers = { .actor = echo_in(runtime), .left = CALLERS };
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++)
        expect_int(pthread_create(&threads[i], NULL, call_from_outside, &callers), 0);
    while (atomic_load(&callers.left) > 0) {
        if (readable(runtime, 10)) /* the last caller may leave without a wake */
            expect(tr_turn(runtime, TR_NOW) >= 0);
    }
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    stop_runtime(runtime);
}
END_TEST

struct ends {
    int fd;
    atomic_int over;
};

static int echo_bytes(void *argument)
{
    struct ends *ends = argument;
    struct tr_stream *stream;
    char buffer[512];
    ssize_t count;
    expect_int(tr_stream_open(&stream, ends->fd), 0);
    while ((count = tr_read(stream, buffer, sizeof buffer, TR_FOREVER)) > 0)
        expect_int(tr_write(stream, buffer, (size_t)count, TR_FOREVER), 0);
    tr_stream_close(stream);
    atomic_store(&ends->over, 1);
    return 0;
}

/* The program has descriptors of its own beside the runtime's: here the other end of a task's socket. */
START_TEST(io_of_tasks_and_of_the_program_in_one_poll)
{
    int pair[2];
    char sent[64], got[64];
    struct tr_runtime *runtime = open_runtime();
    expect_int(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct ends ends = { .fd = pair[0] };
    expect_int(tr_task_detach(spawn_in(runtime, echo_bytes, &ends)), 0);
    for (int round = 0; round < 1000; round++) {
        int length = snprintf(sent, sizeof sent, "round %d", round);
        expect_int(write(pair[1], sent, (size_t)length), length);
        for (bool answered = false; !answered;) {
            struct pollfd fds[] = { { .fd = tr_turn_fd(runtime), .events = POLLIN },
                                    { .fd = pair[1], .events = POLLIN } };
            expect(poll(fds, 2, LONG_TIME / TR_MILLISECOND) > 0);
            if (fds[0].revents)
                expect(tr_turn(runtime, TR_NOW) >= 0);
            if (!fds[1].revents)
                continue;
            expect_int(read(pair[1], got, sizeof got), length);
            expect(memcmp(got, sent, (size_t)length) == 0);
            answered = true;
        }
    }
    close(pair[1]);
    turn_until(runtime, atomic_load(&ends.over));
    stop_runtime(runtime);
}
END_TEST

enum { STALE = 100 };

static atomic_int bytes_read, readers_over;

static int read_one(void *argument)
{
    struct tr_stream *stream;
    char byte;
    expect_int(tr_stream_open(&stream, (int)(intptr_t)argument), 0);
    atomic_fetch_add(&bytes_read, (int)tr_read(stream, &byte, 1, TR_FOREVER));
    tr_stream_close(stream);
    atomic_fetch_add(&readers_over, 1);
    return 0;
}

/* Many are woken for a byte that somebody else has taken, and behind them one whose byte is there: that takes several turns. */
START_TEST(work_that_a_turn_leaves_makes_it_readable)
{
    struct tr_runtime *runtime = open_runtime();
    int many[2], one[2];
    char byte;
    expect_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, many), 0);
    expect_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, one), 0);
    for (int i = 0; i < STALE; i++)
        expect_int(tr_task_detach(spawn_in(runtime, read_one, (void *)(intptr_t)dup(many[0]))), 0);
    expect_int(tr_task_detach(spawn_in(runtime, read_one, (void *)(intptr_t)one[0])), 0);
    while (readable(runtime, 50))
        expect(tr_turn(runtime, TR_NOW) >= 0);
    expect_int(write(many[1], "x", 1), 1);
    expect_int(read(many[0], &byte, 1), 1);
    expect_int(write(one[1], "y", 1), 1);
    turn_until(runtime, atomic_load(&bytes_read) == 1);
    close(many[1]);
    turn_until(runtime, atomic_load(&readers_over) == STALE + 1);
    expect_int(atomic_load(&bytes_read), 1);
    close(many[0]);
    close(one[1]);
    stop_runtime(runtime);
}
END_TEST

static int call_over(void *argument)
{
    struct callers *callers = argument;
    for (int i = 0; i < 1000; i++)
        expect_int(test_ask(callers->actor, 0, i), i);
    atomic_fetch_sub(&callers->left, 1);
    return 0;
}

START_TEST(several_runtimes_on_one_thread_call_each_other)
{
    struct tr_options options = test_options(2);
    struct tr_runtime *first = open_runtime(), *second = open_runtime(), *third;
    expect_int(tr_start(&third, &options), 0);
    struct callers a = { .actor = echo_in(second), .left = 2 }, b = { .actor = echo_in(third), .left = 1 };
    struct callers c = { .actor = echo_in(first), .left = 1 };
    expect_int(tr_task_detach(spawn_in(first, call_over, &a)), 0);
    expect_int(tr_task_detach(spawn_in(third, call_over, &a)), 0);
    expect_int(tr_task_detach(spawn_in(second, call_over, &b)), 0);
    expect_int(tr_task_detach(spawn_in(second, call_over, &c)), 0);
    while (atomic_load(&a.left) + atomic_load(&b.left) + atomic_load(&c.left) > 0) {
        struct pollfd fds[] = { { .fd = tr_turn_fd(first), .events = POLLIN },
                                { .fd = tr_turn_fd(second), .events = POLLIN } };
        expect(poll(fds, 2, 10) >= 0);
        if (fds[0].revents)
            expect(tr_turn(first, TR_NOW) >= 0);
        if (fds[1].revents)
            expect(tr_turn(second, TR_NOW) >= 0);
    }
    stop_runtime(second);
    stop_runtime(third);
    stop_runtime(first);
}
END_TEST

static void *own_loop(void *argument)
{
    atomic_int count = 0;
    struct tr_runtime *runtime = open_runtime();
    (void)argument;
    for (int i = 0; i < 20; i++)
        expect_int(tr_task_detach(spawn_in(runtime, sleep_a_little, &count)), 0);
    turn_until(runtime, atomic_load(&count) == 20);
    stop_runtime(runtime);
    return NULL;
}

static int count_and_go_on(void *argument)
{
    tr_time end = tr_clock() + 20 * TR_MICROSECOND;
    while (tr_clock() < end)
        ;
    if (atomic_fetch_add((atomic_int *)argument, 1) + 1 < 1000)
        expect_int(tr_task_spawn(NULL, count_and_go_on, argument, NULL), 0);
    return 0;
}

/* A turn that is over between two tasks leaves its stack to whoever comes next, which may be another runtime. */
START_TEST(several_runtimes_share_their_stacks)
{
    atomic_int first_count = 0, second_count = 0;
    struct tr_options options = test_options(1);
    struct tr_runtime *first, *second;
    options.no_caches = true; /* each stack goes through the shared list */
    expect_int(tr_open(&first, &options), 0);
    expect_int(tr_open(&second, &options), 0);
    expect_int(tr_task_detach(spawn_in(first, count_and_go_on, &first_count)), 0);
    expect_int(tr_turn(first, TR_NOW), 1);
    int before = atomic_load(&first_count);
    expect(before > 0 && before < 1000);
    for (int i = 1; i <= 3; i++) {
        expect_int(tr_task_detach(spawn_in(second, count_once, &second_count)), 0);
        expect_int(tr_turn(second, TR_NOW), 0);
        expect_int(atomic_load(&second_count), i);
        expect_int(atomic_load(&first_count), before);
        expect_int(tr_turn(first, TR_NOW), 1);
        expect(atomic_load(&first_count) > before);
        before = atomic_load(&first_count);
    }
    turn_until(first, atomic_load(&first_count) == 1000);
    stop_runtime(first);
    stop_runtime(second);
}
END_TEST

START_TEST(several_threads_have_their_own)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        expect_int(pthread_create(&threads[i], NULL, own_loop, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

/* ---- its end -------------------------------------------------------------------------------------------------- */

START_TEST(open_and_stop_many_times_leaves_nothing)
{
    for (int i = 0; i < 50; i++) {
        struct tr_runtime *runtime = open_runtime();
        if (i % 2)
            expect_int(tr_task_detach(spawn_in(runtime, nothing, NULL)), 0);
        if (i % 3)
            expect(tr_turn(runtime, TR_NOW) >= 0);
        stop_runtime(runtime);
    }
}
END_TEST

static int drain(void *argument)
{
    struct number message;
    while (tr_receive(&message, TR_FOREVER) == 0)
        atomic_fetch_add((atomic_int *)argument, 1);
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    atomic_fetch_add((atomic_int *)argument, 100);
    return 0;
}

START_TEST(stop_runs_it_until_all_have_drained)
{
    atomic_int count = 0;
    struct tr_runtime *runtime = open_runtime();
    struct number_address actor;
    struct tr_actor_options options = { .runtime = runtime };
    expect_int(tr_spawn(&actor, drain, &count, &options), 0);
    for (int i = 0; i < 5; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    stop_runtime(runtime);
    expect_int(atomic_load(&count), 105);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 1 }), -ESRCH);
}
END_TEST

static int stay(void *argument)
{
    while (!atomic_load((atomic_int *)argument)) {
        struct tr_shield shield;
        tr_shield_open(&shield, TR_FOREVER);
        expect_int(tr_sleep(100 * TR_MICROSECOND), 0);
        tr_shield_close(&shield);
    }
    return 0;
}

START_TEST(stop_that_times_out_can_be_called_again)
{
    atomic_int leave = 0;
    struct tr_options options = test_options(1);
    options.stop_ns = TR_MILLISECOND;
    struct tr_runtime *runtime;
    expect_int(tr_open(&runtime, &options), 0);
    expect_int(tr_task_detach(spawn_in(runtime, stay, &leave)), 0);
    expect(tr_turn(runtime, TR_NOW) >= 0);
    test_log_capture(TR_LOG_ERROR);
    expect_int(tr_stop(runtime, tr_after(5 * TR_MILLISECOND)), -ETIMEDOUT);
    expect(test_log_has("task 'task'"));
    test_log_release();
    atomic_store(&leave, 1);
    stop_runtime(runtime);
}
END_TEST

static int ask_for_the_end(void *argument)
{
    (void)argument;
    return tr_shutdown(tr_after(LONG_TIME));
}

START_TEST(shutdown_by_a_task_is_told_by_the_turn)
{
    struct tr_runtime *runtime = open_runtime();
    expect_int(tr_task_detach(spawn_in(runtime, ask_for_the_end, NULL)), 0);
    expect_int(tr_turn(runtime, TR_NOW), -EPIPE);
    expect_int(tr_turn(runtime, TR_NOW), -EPIPE);
    stop_runtime(runtime);
}
END_TEST

/* ---- wrong use ------------------------------------------------------------------------------------------------ */

static int misuse(void *argument)
{
    struct tr_runtime *runtime = argument, *other;
    expect_int(tr_turn(runtime, TR_NOW), -EDEADLK);
    expect_int(tr_open(&other, NULL), -EDEADLK);
    expect_int(tr_stop(runtime, TR_FOREVER), -EDEADLK);
    return 0;
}

static void turn_in_the_log(enum tr_log_level level, const char *line, void *context)
{
    (void)level, (void)line;
    expect_int(tr_turn(context, TR_NOW), -EDEADLK); /* in the middle of a turn, but in no task */
}

static int end_badly(void *argument)
{
    (void)argument;
    return -EIO;
}

static void *misuse_elsewhere(void *argument)
{
    expect_int(tr_turn(argument, TR_NOW), -EINVAL);
    expect_int(tr_stop(argument, TR_FOREVER), -EINVAL);
    return NULL;
}

START_TEST(wrong_use_is_refused)
{
    struct tr_runtime *runtime, *threaded;
    pthread_t thread;
    expect_int(tr_open(&runtime, &(struct tr_options){ .workers = 2 }), -EINVAL);
    expect_int(tr_open(&runtime, &(struct tr_options){ .stop_ns = -1 }), -EINVAL);
    expect_int(tr_turn(NULL, TR_NOW), -EINVAL);
    expect_int(tr_turn_fd(NULL), -EINVAL);
    runtime = open_runtime();
    expect_int(tr_clock_advance(runtime, 1), -EDEADLK);
    expect_int(pthread_create(&thread, NULL, misuse_elsewhere, runtime), 0);
    pthread_join(thread, NULL);
    expect_int(tr_task_detach(spawn_in(runtime, misuse, runtime)), 0);
    tr_log_set(turn_in_the_log, runtime, TR_LOG_WARNING);
    struct tr_task_options options = { .runtime = runtime };
    expect_int(tr_task_spawn(NULL, end_badly, NULL, &options), 0);
    expect_int(tr_turn(runtime, TR_NOW), 0);
    tr_log_set(NULL, NULL, TR_LOG_INFO);
    stop_runtime(runtime);
    expect_int(tr_turn(runtime, TR_NOW), -EINVAL);
    expect_int(tr_turn_fd(runtime), -EINVAL);
    struct tr_options threads = test_options(1);
    expect_int(tr_start(&threaded, &threads), 0);
    expect_int(tr_turn(threaded, TR_NOW), -EINVAL);
    expect_int(tr_turn_fd(threaded), -EINVAL);
    expect_int(test_join(spawn_in(threaded, misuse, threaded)), 0);
    stop_runtime(threaded);
}
END_TEST

/* ---- with a clock that stands --------------------------------------------------------------------------------- */

static int sleep_for_hours(void *argument)
{
    for (int i = 0; i < 100; i++)
        expect_int(tr_sleep(3600 * TR_SECOND), 0);
    atomic_fetch_add((atomic_int *)argument, 1);
    return 0;
}

START_TEST(paused_clock_moves_in_turns)
{
    atomic_int count = 0;
    struct tr_options options = test_options(1);
    options.clock_paused = true;
    struct tr_runtime *runtime;
    expect_int(tr_open(&runtime, &options), 0);
    tr_time before = tr_clock_of(runtime);
    expect_int(tr_clock_hold(runtime), 0);
    expect_int(tr_task_detach(spawn_in(runtime, sleep_for_hours, &count)), 0);
    expect_int(tr_turn(runtime, TR_NOW), 0);
    expect_int(tr_turn(runtime, TR_NOW), 0);
    expect(!readable(runtime, 0));
    expect_int(tr_clock_of(runtime), before);
    expect_int(tr_clock_release(runtime), 0);
    turn_until(runtime, atomic_load(&count) == 1);
    expect_int(tr_clock_of(runtime), before + 360000 * TR_SECOND);
    expect_int(tr_turn(runtime, TR_NOW), 0); /* a wake that came in the last turn may have made it readable */
    expect(!readable(runtime, 0));
    stop_runtime(runtime);
}
END_TEST

int main(void)
{
    return test_main("turn",
                     TESTS(turn_runs_what_is_ready_and_the_descriptor_tells,
                           turn_fires_timers_when_the_descriptor_tells, turn_with_a_deadline_waits, turn_is_bounded,
                           turn_is_bounded_among_calls, foreign_threads_make_it_readable,
                           io_of_tasks_and_of_the_program_in_one_poll, work_that_a_turn_leaves_makes_it_readable,
                           several_runtimes_on_one_thread_call_each_other, several_runtimes_share_their_stacks,
                           several_threads_have_their_own, open_and_stop_many_times_leaves_nothing,
                           stop_runs_it_until_all_have_drained, stop_that_times_out_can_be_called_again,
                           shutdown_by_a_task_is_told_by_the_turn, wrong_use_is_refused, paused_clock_moves_in_turns));
}
