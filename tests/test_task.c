/* SPDX-License-Identifier: MIT */
/*
 * test_task.c: tasks by the promises of troupe/task.h: spawn, join, detach, names, pins, stacks and yield. Cancellation
 * and shields have test_cancel.c.
 */
#include "tests/support.h"

static int return_argument(void *argument)
{
    return (int)(intptr_t)argument;
}

static int wait_for_flag(void *argument)
{
    atomic_int *flag = argument;
    wait_until(atomic_load(flag));
    return 7;
}

static int yield_then_return(void *argument)
{
    for (int i = 0; i < 3; i++)
        expect_int(tr_yield(), 0);
    return (int)(intptr_t)argument;
}

/* ---- spawn ---------------------------------------------------------------------------------------------------- */

TASK_TEST(spawn_argument_is_passed_as_it_is)
{
    expect_int(test_join(test_task(return_argument, (void *)42)), 42);
}

struct block {
    size_t bytes;
    const void *original;
    unsigned char fill[];
};

static int check_block(void *argument)
{
    struct block *block = argument;
    expect(argument != block->original);
    expect((uintptr_t)argument % _Alignof(max_align_t) == 0);
    expect_int(tr_yield(), 0);
    for (size_t i = 0; i < block->bytes; i++)
        expect_int(block->fill[i], (unsigned char)(i * 7 + block->bytes));
    block->fill[0]++;
    return 0;
}

TASK_TEST(spawn_argument_bytes_copies_argument)
{
    static const size_t sizes[] = { 1, 15, 48, 200, 1000, 4096, 40000 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t bytes = sizeof(struct block) + sizes[s];
        struct block *block = malloc(bytes);
        *block = (struct block){ .bytes = sizes[s], .original = block };
        for (size_t i = 0; i < sizes[s]; i++)
            block->fill[i] = (unsigned char)(i * 7 + sizes[s]);
        struct tr_task task;
        expect_int(tr_task_spawn(&task, check_block, block, &(struct tr_task_options){ .argument_bytes = bytes }), 0);
        memset(block, 0xee, bytes);
        free(block);
        expect_int(test_join(task), 0);
    }
}

START_TEST(spawn_foreign_without_runtime_einval)
{
    struct tr_task task;
    expect_int(tr_task_spawn(&task, return_argument, NULL, NULL), -EINVAL);
    expect_int(tr_task_spawn(&task, return_argument, NULL, &(struct tr_task_options){ .name = "x" }), -EINVAL);
}
END_TEST

TASK_TEST(spawn_impossible_option_refused)
{
    struct tr_task task;
    expect_int(tr_task_spawn(&task, return_argument, NULL, &(struct tr_task_options){ .pin = TR_PIN(100000) }), -EINVAL);
    expect_int(tr_task_spawn(&task, return_argument, NULL, &(struct tr_task_options){ .pin = -2 }), -EINVAL);
    int rc = tr_task_spawn(&task, return_argument, NULL, &(struct tr_task_options){ .stack_bytes = SIZE_MAX / 2 });
    expect(rc == -EINVAL || rc == -ENOMEM);
}

TASK_TEST(spawn_detached_runs)
{
    static atomic_int flag;
    struct tr_task waiter = test_task(wait_for_flag, &flag);
    expect_int(tr_task_spawn(NULL, wait_for_flag, &flag, NULL), 0);
    atomic_store(&flag, 1);
    expect_int(test_join(waiter), 7);
}

static int fail_with_5(void *argument)
{
    (void)argument;
    return -5;
}

TASK_TEST(spawn_detached_negative_result_is_logged)
{
    test_log_capture(TR_LOG_INFO);
    expect_int(tr_task_spawn(NULL, fail_with_5, NULL, &(struct tr_task_options){ .name = "unlucky-detached" }), 0);
    wait_until(test_log_has("unlucky-detached"));
    test_log_release();
}

static int yield_many(void *argument)
{
    atomic_int *ends = argument;
    for (int i = 0; i < 10; i++)
        expect_int(tr_yield(), 0);
    atomic_fetch_add(ends, 1);
    return 0;
}

TASK_TEST(spawn_ten_thousand_all_end)
{
    static struct tr_task tasks[10000];
    static atomic_int ends;
    for (int i = 0; i < 10000; i++)
        tasks[i] = test_task(yield_many, &ends);
    for (int i = 0; i < 10000; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(atomic_load(&ends), 10000);
}

static int spawn_tree(void *argument)
{
    int depth = (int)(intptr_t)argument;
    if (depth == 0)
        return 1;
    struct tr_task left = test_task(spawn_tree, (void *)(intptr_t)(depth - 1));
    struct tr_task right = test_task(spawn_tree, (void *)(intptr_t)(depth - 1));
    return test_join(left) + test_join(right);
}

TASK_TEST(spawn_from_spawned_tasks_tree_is_summed)
{
    expect_int(test_join(test_task(spawn_tree, (void *)10)), 1024);
}

/* ---- join and detach ------------------------------------------------------------------------------------------ */

TASK_TEST(join_takes_any_result)
{
    static const int results[] = { 0, 1, -1, INT32_MAX, -EPIPE };
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        expect_int(test_join(test_task(return_argument, (void *)(intptr_t)results[i])), results[i]);
        expect_int(test_join(test_task(yield_then_return, (void *)(intptr_t)results[i])), results[i]);
    }
}

TASK_TEST(join_without_result_pointer_succeeds)
{
    expect_int(tr_task_join(test_task(return_argument, NULL), NULL, TR_FOREVER), 0);
}

static int join_self(void *argument)
{
    (void)argument;
    return tr_task_join(tr_task_self(), NULL, TR_FOREVER);
}

TASK_TEST(join_self_edeadlk)
{
    expect_int(test_join(test_task(join_self, NULL)), -EDEADLK);
}

TASK_TEST(join_twice_second_esrch)
{
    struct tr_task task = test_task(return_argument, NULL);
    expect_int(test_join(task), 0);
    expect_int(tr_task_join(task, NULL, TR_FOREVER), -ESRCH);
    expect_int(tr_task_detach(task), -ESRCH);
    expect_int(tr_task_cancel(task), -ESRCH);
}

static int wait_then_tell(void *argument)
{
    wait_for_flag(argument);
    atomic_store((atomic_int *)argument, 2);
    return 0;
}

TASK_TEST(join_detached_esrch)
{
    static atomic_int flag;
    struct tr_task task = test_task(wait_then_tell, &flag);
    expect_int(tr_task_detach(task), 0);
    expect_int(tr_task_detach(task), -ESRCH);
    expect_int(tr_task_join(task, NULL, TR_FOREVER), -ESRCH);
    expect_int(tr_task_join(task, NULL, TR_NOW), -ESRCH);
    atomic_store(&flag, 1);
    wait_until(atomic_load(&flag) == 2);
}

TASK_TEST(join_zero_handle_esrch)
{
    struct tr_task none = { 0 };
    expect_int(tr_task_join(none, NULL, TR_FOREVER), -ESRCH);
    expect_int(tr_task_detach(none), -ESRCH);
    expect_int(tr_task_cancel(none), -ESRCH);
}

TASK_TEST(join_ended_task_with_passed_deadline_takes_result)
{
    struct tr_task task = test_task(return_argument, (void *)3);
    int result = 0, rc;
    while ((rc = tr_task_join(task, &result, TR_NOW)) == -ETIMEDOUT)
        expect_int(tr_yield(), 0);
    expect_int(rc, 0);
    expect_int(result, 3);
}

TASK_TEST(join_deadline_etimedout_then_joins)
{
    static atomic_int flag;
    struct tr_task task = test_task(wait_for_flag, &flag);
    int result = 99;
    expect_int(tr_task_join(task, &result, TR_NOW), -ETIMEDOUT);
    expect_int(tr_task_join(task, &result, tr_after(3 * TR_MILLISECOND)), -ETIMEDOUT);
    expect_int(result, 99);
    atomic_store(&flag, 1);
    expect_int(test_join(task), 7);
}

static int join_other(void *argument)
{
    return tr_task_join(*(struct tr_task *)argument, NULL, tr_after(LONG_TIME));
}

TASK_TEST_ON(1, join_while_another_joins_einval)
{
    static atomic_int flag;
    struct tr_task task = test_task(wait_for_flag, &flag);
    struct tr_task joiner = test_task(join_other, &task);
    test_settle();
    expect_int(tr_task_join(task, NULL, TR_FOREVER), -EINVAL);
    atomic_store(&flag, 1);
    expect_int(test_join(joiner), 0);
}

TASK_TEST_ON(1, join_cancelled_joiner_leaves_task_joinable)
{
    static atomic_int flag;
    struct tr_task task = test_task(wait_for_flag, &flag);
    struct tr_task joiner = test_task(join_other, &task);
    test_settle();
    expect_int(tr_task_cancel(joiner), 0);
    expect_int(test_join(joiner), -ECANCELED);
    atomic_store(&flag, 1);
    expect_int(test_join(task), 7);
}

static int64_t plain_write;

static int write_plainly(void *argument)
{
    plain_write = (intptr_t)argument;
    return 0;
}

TASK_TEST(join_makes_what_the_body_did_visible)
{
    for (intptr_t i = 1; i <= 2000; i++) {
        expect_int(test_join(test_task(write_plainly, (void *)i)), 0);
        expect_int(plain_write, i);
    }
}

/* ---- two who want the same task ------------------------------------------------------------------------------- */

struct contest {
    struct tr_task task;
    atomic_int *start;
    bool detach;
};

/* Detached, it may still be here when the runtime shuts down. */
static int yield_at_least_once(void *argument)
{
    (void)argument;
    for (int i = 0; i < 3; i++)
        tr_yield();
    return 0;
}

static int contend(void *argument)
{
    struct contest *contest = argument;
    while (!atomic_load(contest->start))
        tr_yield();
    return contest->detach ? tr_task_detach(contest->task) : tr_task_join(contest->task, NULL, tr_after(LONG_TIME));
}

static void check_contest(bool detach)
{
    for (int i = 0; i < 3000; i++) {
        atomic_int start = 0;
        struct tr_task task = test_task(i % 2 ? return_argument : yield_at_least_once, NULL);
        struct contest contests[2] = { { task, &start, false }, { task, &start, detach } };
        struct tr_task rivals[2] = { test_task(contend, &contests[0]), test_task(contend, &contests[1]) };
        if (i % 3 == 0)
            expect_int(tr_yield(), 0);
        atomic_store(&start, 1);
        int first = test_join(rivals[0]), second = test_join(rivals[1]);
        expect_int((first == 0) + (second == 0), 1);
        int loser = first ? first : second;
        expect(loser == -ESRCH || loser == -EINVAL);
    }
}

TASK_TEST(join_by_two_at_once_one_gets_it)
{
    check_contest(false);
}

TASK_TEST(join_against_detach_one_gets_it)
{
    check_contest(true);
}

TASK_TEST(detach_running_task_ends_on_its_own)
{
    static atomic_int ends;
    for (int i = 0; i < 1000; i++) {
        struct tr_task task = test_task(yield_many, &ends);
        int rc = tr_task_detach(task);
        expect_int(rc, 0); /* also when it has ended: the handle was not yet spent */
    }
    wait_until(atomic_load(&ends) == 1000);
}

/* ---- names, self, pins, stacks -------------------------------------------------------------------------------- */

static int expect_name(void *argument)
{
    expect_int(tr_yield(), 0);
    expect_int(strcmp(tr_task_name(), argument), 0);
    return 0;
}

TASK_TEST(name_is_copied)
{
    char name[] = "scribe";
    struct tr_task task;
    static char expected[] = "scribe";
    expect_int(tr_task_spawn(&task, expect_name, expected, &(struct tr_task_options){ .name = name }), 0);
    memset(name, 'x', sizeof name - 1);
    expect_int(test_join(task), 0);
    static char fallback[] = "task";
    expect_int(test_join(test_task(expect_name, fallback)), 0);
}

static int expect_long_name(void *argument)
{
    size_t length = strlen(tr_task_name());
    expect(length > 0 && strncmp(tr_task_name(), argument, length) == 0);
    return 0;
}

TASK_TEST(name_too_long_is_a_prefix)
{
    static char name[300];
    memset(name, 'n', sizeof name - 1);
    struct tr_task task;
    expect_int(tr_task_spawn(&task, expect_long_name, name, &(struct tr_task_options){ .name = name }), 0);
    expect_int(test_join(task), 0);
}

START_TEST(self_outside_a_task_is_none)
{
    struct tr_task self = tr_task_self();
    expect(self.tri_record == NULL && self.tri_generation == 0);
    expect_int(strcmp(tr_task_name(), ""), 0);
    expect_int(tr_worker_index(), -1);
    expect_int(tr_worker_count(), 0);
    expect_int(tr_backend_kind(), TR_BACKEND_DEFAULT);
    expect_int(tr_yield(), -EINVAL);
    expect(!tr_cancel_pending());
    expect(!tr_cancel_taken());
}
END_TEST

struct self_slot {
    struct tr_task seen;
};

static int tell_self(void *argument)
{
    struct self_slot *slot = argument;
    slot->seen = tr_task_self();
    expect_int(tr_yield(), 0);
    struct tr_task again = tr_task_self();
    expect(again.tri_record == slot->seen.tri_record && again.tri_generation == slot->seen.tri_generation);
    return 0;
}

TASK_TEST(self_is_the_handle_that_spawn_gave)
{
    struct self_slot slot = { 0 };
    struct tr_task task = test_task(tell_self, &slot);
    expect_int(test_join(task), 0);
    expect(slot.seen.tri_record == task.tri_record && slot.seen.tri_generation == task.tri_generation);
}

struct pin_check {
    int expected; /* -1: whatever it starts on */
};

static int stay_on_worker(void *argument)
{
    struct pin_check *check = argument;
    int here = check->expected >= 0 ? check->expected : tr_worker_index();
    for (int i = 0; i < 200; i++) {
        expect_int(tr_worker_index(), here);
        expect_int(i % 10 ? tr_yield() : tr_sleep(10 * TR_MICROSECOND), 0);
    }
    return here;
}

TASK_TEST(pin_stays_on_its_worker)
{
    int workers = (int)tr_worker_count();
    struct tr_task tasks[16];
    struct pin_check checks[16];
    for (int i = 0; i < 16; i++) {
        checks[i].expected = i % workers;
        expect_int(tr_task_spawn(&tasks[i], stay_on_worker, &checks[i],
                                 &(struct tr_task_options){ .pin = TR_PIN(i % workers) }),
                   0);
    }
    for (int i = 0; i < 16; i++)
        expect_int(test_join(tasks[i]), i % workers);
}

static int spawn_here(void *argument)
{
    (void)argument;
    struct pin_check check = { -1 };
    int here = tr_worker_index();
    struct tr_task task;
    expect_int(tr_task_spawn(&task, stay_on_worker, &check, &(struct tr_task_options){ .pin = TR_PIN_HERE }), 0);
    expect_int(test_join(task), here);
    return 0;
}

TASK_TEST(pin_here_is_the_spawners_worker)
{
    for (int i = 0; i < 4; i++) {
        struct tr_task task;
        int pin = TR_PIN(i % (int)tr_worker_count());
        expect_int(tr_task_spawn(&task, spawn_here, NULL, &(struct tr_task_options){ .pin = pin }), 0);
        expect_int(test_join(task), 0);
    }
}

/* Recurses, suspending at times, until the stack has grown by `bytes`. */
static int use_stack(volatile const char *base, size_t bytes, int depth)
{
    volatile char frame[256];
    frame[0] = (char)depth;
    size_t used = (size_t)(base - frame);
    int rc = 0;
    if (used < bytes)
        rc = use_stack(base, bytes, depth + 1);
    else
        expect_int(tr_yield(), 0);
    expect_int(frame[0], (char)depth);
    return rc;
}

static int use_much_stack(void *argument)
{
    volatile char base = 0;
    return use_stack(&base, (size_t)argument, 0);
}

TASK_TEST(stack_bytes_deep_recursion_fits)
{
    static const size_t sizes[] = { 128 << 10, 1 << 20, 8 << 20 };
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct tr_task task;
            expect_int(tr_task_spawn(&task, use_much_stack, (void *)(sizes[i] - 16384),
                                     &(struct tr_task_options){ .stack_bytes = sizes[i] }),
                       0);
            expect_int(test_join(task), 0);
        }
    }
}

TASK_TEST(stack_default_holds_48_kib)
{
    expect_int(test_join(test_task(use_much_stack, (void *)(48 << 10))), 0);
}

START_TEST(stack_bytes_of_the_runtime_is_the_default)
{
    struct tr_options options = test_options(0);
    options.stack_bytes = 512 << 10;
    expect_int(tr_run(&options, use_much_stack, (void *)(480 << 10)), 0);
}
END_TEST

/* ---- yield and errno ------------------------------------------------------------------------------------------ */

static int count_run(void *argument)
{
    atomic_fetch_add((atomic_int *)argument, 1);
    return 0;
}

TASK_TEST_ON(1, yield_lets_ready_tasks_run_first)
{
    static atomic_int runs;
    for (int round = 1; round <= 20; round++) {
        for (int i = 0; i < 10; i++)
            expect_int(tr_task_spawn(NULL, count_run, &runs, NULL), 0);
        expect_int(tr_yield(), 0);
        expect_int(atomic_load(&runs), 10 * round);
    }
}

static int keep_errno(void *argument)
{
    int mine = 1 + (int)(intptr_t)argument;
    for (int i = 0; i < 100; i++) {
        test_errno_set(mine);
        expect_int(i % 20 ? tr_yield() : tr_sleep(20 * TR_MICROSECOND), 0);
        expect_int(test_errno(), mine);
    }
    return 0;
}

TASK_TEST(errno_survives_a_suspension)
{
    struct tr_task tasks[20];
    for (int i = 0; i < 20; i++)
        tasks[i] = test_task(keep_errno, (void *)(intptr_t)i);
    for (int i = 0; i < 20; i++)
        expect_int(test_join(tasks[i]), 0);
}

int main(void)
{
    return test_main(
        "task",
        TESTS(spawn_argument_is_passed_as_it_is, spawn_argument_bytes_copies_argument,
              spawn_foreign_without_runtime_einval, spawn_impossible_option_refused, spawn_detached_runs,
              spawn_detached_negative_result_is_logged, spawn_ten_thousand_all_end,
              spawn_from_spawned_tasks_tree_is_summed, join_takes_any_result, join_without_result_pointer_succeeds,
              join_self_edeadlk, join_twice_second_esrch, join_detached_esrch, join_zero_handle_esrch,
              join_ended_task_with_passed_deadline_takes_result, join_deadline_etimedout_then_joins,
              join_while_another_joins_einval, join_cancelled_joiner_leaves_task_joinable,
              join_makes_what_the_body_did_visible, join_by_two_at_once_one_gets_it,
              join_against_detach_one_gets_it, detach_running_task_ends_on_its_own, name_is_copied,
              name_too_long_is_a_prefix, self_outside_a_task_is_none, self_is_the_handle_that_spawn_gave,
              pin_stays_on_its_worker, pin_here_is_the_spawners_worker, stack_bytes_deep_recursion_fits,
              stack_default_holds_48_kib, stack_bytes_of_the_runtime_is_the_default,
              yield_lets_ready_tasks_run_first, errno_survives_a_suspension));
}
