/* SPDX-License-Identifier: MIT */
/*
 * test_task.c: tasks by the promises of troupe/task.h: spawn, names, pins, stacks, yield and errno. How tasks end has
 * test_join.c, cancellation and shields test_cancel.c.
 */
#include "actor/scheduler.h"
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
    expect_int(tr_task_spawn(&task, return_argument, NULL, &(struct tr_task_options){ .pin = TR_PIN(100000) }),
               -EINVAL);
    expect_int(tr_task_spawn(&task, return_argument, NULL, &(struct tr_task_options){ .pin = -2 }), -EINVAL);
    int rc = tr_task_spawn(&task, return_argument, NULL, &(struct tr_task_options){ .stack_bytes = SIZE_MAX / 2 });
    expect(rc == -EINVAL || rc == -ENOMEM);
    rc = tr_task_spawn(&task, return_argument, NULL, &(struct tr_task_options){ .stack_bytes = SIZE_MAX - 4096 });
    expect_int(rc, -EINVAL);
}

static int set_flag(void *argument)
{
    atomic_int *flag = argument;
    atomic_store(flag, 1);
    return 0;
}

TASK_TEST(spawn_detached_runs)
{
    static atomic_int flag;
    struct tr_task waiter = test_task(wait_for_flag, &flag);
    expect_int(tr_task_spawn(NULL, set_flag, &flag, NULL), 0);
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

struct own_handle {
    struct tr_task task;
    struct number_address address;
};

static int find_own_handle(void *argument)
{
    struct own_handle *own = argument;
    struct tr_task self = tr_task_self();
    return own->task.tri_record == self.tri_record && own->task.tri_generation == self.tri_generation;
}

static int find_own_address(void *argument)
{
    struct own_handle *own = argument;
    struct number_address self;
    expect_int(tr_self(&self), 0);
    return find_own_handle(argument) && own->address.tri_raw.tri_record == self.tri_raw.tri_record &&
           own->address.tri_raw.tri_generation == self.tri_raw.tri_generation;
}

/* On another worker the body may begin before the spawn has returned. (The thread sanitizer sees any write too late.) */
TASK_TEST_ON(2, spawn_handle_and_address_are_there_when_the_body_begins)
{
    int there = tr_worker_index() == 0 ? TR_PIN(1) : TR_PIN(0);
    for (int i = 0; i < 2000; i++) {
        struct own_handle own = { 0 };
        expect_int(tr_task_spawn(&own.task, find_own_handle, &own, &(struct tr_task_options){ .pin = there }), 0);
        expect_int(test_join(own.task), 1);
        struct tr_actor_options options = { .task = &own.task, .pin = there };
        expect_int(tr_spawn(&own.address, find_own_address, &own, &options), 0);
        expect_int(test_join(own.task), 1);
    }
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

/* So many that their tops have every colour. */
TASK_TEST(stack_bytes_are_there_on_every_stack)
{
    enum { TASKS = 40 };
    /* The first three fit into a slot but for the colour. */
    static const size_t sizes[] = { 11600, 28000, 60700, 61440, 65535, 65536 };
    size_t other_frames = TEST_SANITIZED ? 8000 : 1500;
    struct tr_task tasks[TASKS];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int j = 0; j < TASKS; j++)
            expect_int(tr_task_spawn(&tasks[j], use_much_stack, (void *)(sizes[i] - other_frames),
                                     &(struct tr_task_options){ .stack_bytes = sizes[i] }),
                       0);
        for (int j = 0; j < TASKS; j++)
            expect_int(test_join(tasks[j]), 0);
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

static int sleep_until_cancelled(void *unused)
{
    (void)unused;
    return tr_sleep(TR_FOREVER);
}

static int keep_errno(void *argument)
{
    int mine = 1 + (int)(intptr_t)argument;
    for (int i = 0; i < 100; i++) {
        errno = mine;
        expect_int(i % 20 ? tr_yield() : tr_sleep(20 * TR_MICROSECOND), 0);
        expect_int(errno, mine);
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

/* The C library sets the errno of the thread that the task is on by now. */
static int convert_and_move(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20000; i++) {
        errno = 0;
        expect(strtol(i % 2 ? "1" : "99999999999999999999999", NULL, 10) > 0);
        expect_int(errno, i % 2 ? 0 : ERANGE);
        expect_int(tr_yield(), 0);
    }
    return 0;
}

TASK_TEST_ON(2, errno_is_of_the_thread_that_the_task_has_come_to)
{
    struct tr_task tasks[4];
    for (int i = 0; i < 4; i++)
        tasks[i] = test_task(convert_and_move, NULL);
    for (int i = 0; i < 4; i++)
        expect_int(test_join(tasks[i]), 0);
}

/* An actor that takes nothing, whose messages are dropped. */
static struct number_address deaf_actor(void (*drop)(void *message), struct tr_task *task)
{
    struct number_address address;
    struct tr_actor_options options = {
        .capacity = 1, .overflow = TR_OVERFLOW_DROP_NEWEST, .drop = drop, .task = task
    };
    expect_int(tr_spawn(&address, sleep_until_cancelled, NULL, &options), 0);
    expect_int(tr_try_send(address, &(struct number){ 0 }), 0);
    return address;
}

static void spoil_errno(void *message)
{
    (void)message;
    errno = ENOTTY;
}

/* What fires as a task yields leaves its errno alone. */
TASK_TEST_ON(1, errno_is_not_that_of_others_timers)
{
    struct tr_timer timer;
    struct tr_task task;
    struct number_address deaf = deaf_actor(spoil_errno, &task);
    expect_int(tr_send_interval(&timer, deaf, TR_TIMER_TICK, &(struct number){ 0 }), 0);
    for (int i = 0; i < 300000; i++) {
        errno = ERANGE;
        expect_int(tr_yield(), 0);
        expect_int(errno, ERANGE);
    }
    expect_int(tr_timer_cancel(timer), 0);
    expect_int(tr_actor_cancel(deaf), 0);
    expect_int(test_join(task), -ECANCELED);
}

/* ---- who spawns ------------------------------------------------------------------------------------------------- */

static atomic_int dropped;

static void count_drop(void *message)
{
    (void)message;
    atomic_fetch_add(&dropped, 1);
}

/* By a timer in a worker's loop, for its drop function: no task that lives makes a shutdown wait for this one to be counted. */
TASK_TEST_ON(1, spawn_by_nobody_is_counted_as_from_outside)
{
    struct tr_timer timer;
    struct tr_task task;
    struct tr_runtime *runtime = tri_worker_here()->runtime;
    struct number_address deaf = deaf_actor(count_drop, &task);
    uint64_t before = tri_load(&runtime->foreign_spawned, TRI_RELAXED);
    expect_int(tr_send_interval(&timer, deaf, TR_MILLISECOND, &(struct number){ 0 }), 0);
    while (atomic_load(&dropped) < 5)
        expect_int(tr_sleep(10 * TR_MILLISECOND), 0);
    expect(tri_load(&runtime->foreign_spawned, TRI_RELAXED) > before);
    expect_int(tr_timer_cancel(timer), 0);
    expect_int(tr_actor_cancel(deaf), 0);
    expect_int(test_join(task), -ECANCELED);
}

int main(void)
{
    return test_main("task",
                     TESTS(spawn_argument_is_passed_as_it_is, spawn_argument_bytes_copies_argument,
                           spawn_foreign_without_runtime_einval, spawn_impossible_option_refused, spawn_detached_runs,
                           spawn_detached_negative_result_is_logged, spawn_ten_thousand_all_end,
                           spawn_from_spawned_tasks_tree_is_summed, name_is_copied, name_too_long_is_a_prefix,
                           self_outside_a_task_is_none, self_is_the_handle_that_spawn_gave,
                           spawn_handle_and_address_are_there_when_the_body_begins, pin_stays_on_its_worker,
                           pin_here_is_the_spawners_worker, stack_bytes_deep_recursion_fits,
                           stack_bytes_are_there_on_every_stack, stack_default_holds_48_kib,
                           stack_bytes_of_the_runtime_is_the_default, yield_lets_ready_tasks_run_first,
                           errno_survives_a_suspension, errno_is_of_the_thread_that_the_task_has_come_to,
                           errno_is_not_that_of_others_timers, spawn_by_nobody_is_counted_as_from_outside));
}
