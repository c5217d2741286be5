/* SPDX-License-Identifier: MIT */
/*
 * test_overflow.c: a task that runs over its stack ends the process, but first its name and the size of its stack are
 * said on standard error. Other bad accesses reach the handler that the program had installed.
 *
 * Each case runs in a child whose standard error is read through a pipe. The sanitizers put their own reports in
 * between and give frames another size, so there only the end of the process is asked for.
 */
#include "tests/support.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

struct outcome {
    int status;
    char said[16384];
};

static void run_child(void (*child)(void), struct outcome *outcome)
{
    int ends[2];
    expect_int(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        child();
        _exit(0);
    }
    expect(pid > 0);
    close(ends[1]);
    size_t length = 0;
    ssize_t n;
    char rest[1024];
    while ((n = read(ends[0], rest, sizeof rest)) > 0) {
        size_t room = sizeof outcome->said - 1 - length;
        size_t kept = (size_t)n < room ? (size_t)n : room;
        memcpy(outcome->said + length, rest, kept);
        length += kept;
    }
    outcome->said[length] = 0;
    close(ends[0]);
    expect_int(waitpid(pid, &outcome->status, 0), pid);
}

/* Not a tail call, and not a frame that steps over the guard. */
__attribute__((noinline)) static int64_t recurse(volatile int64_t depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    frame[511] = (char)depth;
    int64_t below = depth < INT64_MAX ? recurse(depth + 1) : 0;
    return below + frame[0];
}

static int overflow(void *argument)
{
    (void)argument;
    tr_yield();
    return (int)recurse(0);
}

static int overflow_in_handler(void *state, void *message)
{
    (void)message;
    return overflow(state);
}

static void overflow_task(void)
{
    struct tr_task task;
    struct tr_task_options options = { .name = "glutton-task", .stack_bytes = 128 << 10 };
    tr_task_spawn(&task, overflow, NULL, &options);
    tr_task_join(task, NULL, TR_FOREVER);
}

static void overflow_handler(void)
{
    struct number_address actor;
    tr_spawn_handler(&actor, overflow_in_handler, NULL, (&(struct tr_actor_options){ .name = "glutton-actor" }));
    tr_send(actor, TR_FOREVER, &(struct number){ .value = 1 });
    tr_sleep(TR_FOREVER);
}

static void child_task(void)
{
    test_run(0, overflow_task);
}

static void child_handler(void)
{
    test_run(0, overflow_handler);
}

static void expect_named(const struct outcome *outcome, const char *name)
{
    expect(!WIFEXITED(outcome->status) || WEXITSTATUS(outcome->status) != 0);
    if (TEST_SANITIZED)
        return;
    expect(WIFSIGNALED(outcome->status));
    if (!strstr(outcome->said, name) || !strstr(outcome->said, "KiB"))
        test_fail(__FILE__, __LINE__, "neither name nor size in: %s", outcome->said);
}

START_TEST(overflow_names_the_task_and_its_stack_size)
{
    struct outcome outcome;
    run_child(child_task, &outcome);
    expect_named(&outcome, "glutton-task");
}
END_TEST

START_TEST(overflow_names_the_actor_and_its_stack_size)
{
    struct outcome outcome;
    run_child(child_handler, &outcome);
    expect_named(&outcome, "glutton-actor");
}
END_TEST

static void say_and_leave(int number)
{
    static const char words[] = "the program's own handler\n";
    (void)number;
    ssize_t n = write(STDERR_FILENO, words, sizeof words - 1);
    _exit(n > 0 ? 7 : 8);
}

static int touch_nothing(void *argument)
{
    volatile char *address = argument;
    tr_yield();
    return *address;
}

static void bad_access(void)
{
    struct tr_task task = test_task(touch_nothing, (void *)16);
    tr_task_join(task, NULL, TR_FOREVER);
}

static void child_with_handler(void)
{
    struct sigaction mine = { .sa_handler = say_and_leave };
    sigaction(SIGSEGV, &mine, NULL);
    test_run(0, bad_access);
}

START_TEST(bad_access_reaches_the_programs_own_handler)
{
    struct outcome outcome;
    run_child(child_with_handler, &outcome);
    expect(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 7);
    expect(strstr(outcome.said, "the program's own handler"));
}
END_TEST

static void child_without_handler(void)
{
    signal(SIGSEGV, SIG_DFL);
    test_run(0, bad_access);
}

START_TEST(bad_access_without_a_handler_ends_the_process_by_sigsegv)
{
    struct outcome outcome;
    run_child(child_without_handler, &outcome);
    expect(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGSEGV);
}
END_TEST

static void nothing(void)
{
}

static int raise_after_a_run(void)
{
    test_run(1, nothing);
    raise(SIGSEGV);
    return 0;
}

static int raise_by_default(void)
{
    signal(SIGSEGV, SIG_DFL);
    return raise_after_a_run();
}

static int raise_ignored(void)
{
    signal(SIGSEGV, SIG_IGN);
    return raise_after_a_run();
}

START_TEST(signal_that_is_sent_does_what_it_did_before)
{
    int status = test_in_child(raise_by_default);
    expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    expect_int(test_in_child(raise_ignored), 0);
}
END_TEST

/* In any order: the first to be opened is closed first. */
START_TEST(turns_leave_the_thread_its_stack_for_signals)
{
    struct tr_runtime *runtimes[2];
    stack_t mine = { .ss_sp = malloc(64 << 10), .ss_size = 64 << 10 }, before, now;
    expect_int(sigaltstack(&mine, &before), 0);
    for (int i = 0; i < 2; i++)
        expect_int(tr_open(&runtimes[i], NULL), 0);
    for (int i = 0; i < 2; i++)
        expect_int(tr_stop(runtimes[i], TR_FOREVER), 0);
    expect_int(sigaltstack(&before, &now), 0);
    expect(now.ss_sp == mine.ss_sp && now.ss_size == mine.ss_size);
    free(mine.ss_sp);
}
END_TEST

int main(void)
{
    return test_main("overflow",
                     TESTS(overflow_names_the_task_and_its_stack_size, overflow_names_the_actor_and_its_stack_size,
                           bad_access_reaches_the_programs_own_handler,
                           bad_access_without_a_handler_ends_the_process_by_sigsegv,
                           signal_that_is_sent_does_what_it_did_before, turns_leave_the_thread_its_stack_for_signals));
}
