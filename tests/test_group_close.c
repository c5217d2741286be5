/* SPDX-License-Identifier: MIT */
/*
 * test_group_close.c: the ends of task groups by the promises of troupe/group.h: closing, detaching, and the owner's end leave
 * nobody behind, and nothing that failed unsaid.
 */
#include "tests/support.h"

#include "actor/group.h"

static uint64_t in_use(struct tri_pool *pool)
{
    tri_lock(&pool->lock);
    uint64_t count = pool->total - pool->free_count;
    tri_unlock(&pool->lock);
    return count;
}

static struct tr_group *open_with(struct tr_group_options options)
{
    struct tr_group *group;
    expect_int(tr_group_open(&group, &options), 0);
    return group;
}

static void spawn_into(struct tr_group *group, int (*body)(void *argument), void *argument)
{
    expect_int(tr_group_spawn(group, NULL, body, argument, NULL, tr_after(LONG_TIME)), 0);
}

static void close_group(struct tr_group *group)
{
    expect_int(tr_group_close(group, tr_after(LONG_TIME)), 0);
}

static int return_argument(void *argument)
{
    return (int)(intptr_t)argument;
}

static int sleep_long(void *argument)
{
    (void)argument;
    return tr_sleep(LONG_TIME);
}

static int wait_for_flag(void *argument)
{
    wait_until(atomic_load((atomic_int *)argument));
    return 7;
}

static int fail_with_text(void *argument)
{
    return tr_task_fail((int)(intptr_t)argument, "reason %d", (int)(intptr_t)argument);
}

static int sleep_turns(void *argument)
{
    for (intptr_t i = 0; i < (intptr_t)argument; i++)
        expect_int(tr_yield(), 0);
    return (int)(intptr_t)argument;
}

/* ---- closing -------------------------------------------------------------------------------------------------- */

static atomic_int living;

/* Ends when it is cancelled, after a clean-up that takes its time. */
static int clean_up(void *argument)
{
    struct tr_shield shield;
    atomic_fetch_add(&living, 1);
    int rc = tr_sleep(LONG_TIME);
    tr_shield_open(&shield, tr_after(LONG_TIME));
    expect_int(tr_sleep((int64_t)(intptr_t)argument), 0);
    tr_shield_close(&shield);
    atomic_fetch_sub(&living, 1);
    return rc;
}

TASK_TEST(group_close_leaves_nobody_behind)
{
    struct tr_census census;
    for (int round = 0; round < 20; round++) {
        struct tr_group *group = open_with((struct tr_group_options){ 0 });
        for (int i = 0; i < 30; i++)
            spawn_into(group, clean_up, (void *)(intptr_t)(i * TR_MICROSECOND));
        if (round % 2)
            expect_int(tr_sleep(100 * TR_MICROSECOND), 0);
        close_group(group);
        expect_int(atomic_load(&living), 0);
        tr_census(&census);
        expect_int((int64_t)census.tasks, 1);
    }
}

static int close_while_cancelled(void *argument)
{
    struct tr_scope scope;
    struct tr_group *group = open_with((struct tr_group_options){ 0 });
    for (int i = 0; i < 5; i++)
        spawn_into(group, clean_up, (void *)(intptr_t)TR_MILLISECOND);
    atomic_store((atomic_int *)argument, 1);
    expect_int(tr_sleep(LONG_TIME), -ECANCELED);
    tr_scope_open(&scope, TR_NOW);
    close_group(group);
    tr_scope_close(&scope);
    expect_int(atomic_load(&living), 0);
    return tr_sleep(0);
}

TASK_TEST(group_close_heeds_neither_cancellation_nor_deadline)
{
    static atomic_int ready;
    struct tr_task task = test_task(close_while_cancelled, &ready);
    wait_until(atomic_load(&ready));
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), -ECANCELED);
}

static struct tr_cancel_token *released;

static int ignore_cancel(void *argument)
{
    struct tr_shield shield;
    tr_shield_open(&shield, TR_FOREVER);
    expect_int(tr_cancel_token_wait(released, TR_FOREVER), 0);
    tr_shield_close(&shield);
    return argument != NULL;
}

static int release_once_reported(void *argument)
{
    wait_until(
        test_log_has("closing group 'stubborn': task 'mule' still ")); /* waits for a signal, if it has come so far */
    tr_cancel_token_cancel(released);
    return argument != NULL;
}

TASK_TEST(group_close_names_who_still_runs)
{
    struct tr_group *group = open_with((struct tr_group_options){ .name = "stubborn" });
    expect_int(tr_cancel_token_create(&released, NULL), 0);
    test_log_capture(TR_LOG_WARNING);
    expect_int(tr_group_spawn(group, NULL, ignore_cancel, NULL, &(struct tr_task_options){ .name = "mule" }, TR_NOW),
               0);
    expect_int(tr_group_spawn(group, NULL, sleep_long, NULL, &(struct tr_task_options){ .name = "lamb" }, TR_NOW), 0);
    struct tr_task helper = test_task(release_once_reported, NULL);
    expect_int(tr_group_close(group, tr_after(5 * TR_MILLISECOND)), 0);
    expect(tr_cancel_token_is_cancelled(released));
    expect_int(test_join(helper), 0);
    tr_cancel_token_unref(released);
    test_log_release();
}

TASK_TEST(group_close_logs_failures_that_nobody_took)
{
    struct tr_group *group = open_with((struct tr_group_options){ .name = "lost" });
    struct tr_finished done;
    test_log_capture(TR_LOG_WARNING);
    spawn_into(group, fail_with_text, (void *)(intptr_t)-EIO);
    expect_int(tr_group_next(group, &done, tr_after(LONG_TIME)), 0);
    spawn_into(group, fail_with_text, (void *)(intptr_t)-EPIPE);
    expect_int(tr_group_wait(group, tr_after(LONG_TIME)), 0);
    close_group(group);
    expect(test_log_has("member 1 of group 'lost' failed with -32 (Broken pipe): reason -32, and nobody took"));
    expect(!test_log_has("member 0"));
    test_log_release();
}

static struct tr_group *mine;

static int close_anothers_group(void *argument)
{
    (void)argument;
    expect_int(tr_group_detach(mine), -EINVAL);
    return tr_group_close(mine, TR_FOREVER);
}

static int close_own_group(void *argument)
{
    (void)argument;
    expect_int(tr_group_wait(mine, TR_FOREVER), -EDEADLK);
    return tr_group_close(mine, TR_FOREVER);
}

TASK_TEST(group_closed_by_a_member_or_a_stranger_is_refused)
{
    struct tr_finished done;
    mine = open_with((struct tr_group_options){ .unowned = true });
    spawn_into(mine, close_own_group, NULL);
    expect_int(tr_group_next(mine, &done, tr_after(LONG_TIME)), 0);
    expect_int(done.outcome.code, -EDEADLK);
    close_group(mine);
    mine = open_with((struct tr_group_options){ 0 });
    expect_int(test_join(test_task(close_anothers_group, NULL)), -EINVAL);
    close_group(mine);
}

/* ---- detaching ------------------------------------------------------------------------------------------------ */

TASK_TEST(group_detached_members_go_on)
{
    static atomic_int flag;
    struct tr_cancel_token *token;
    uint64_t before = in_use(&tri_group_pool);
    expect_int(tr_cancel_token_create(&token, NULL), 0);
    struct tr_group *group = open_with((struct tr_group_options){ .name = "freed", .token = token });
    struct tr_member members[3];
    test_log_capture(TR_LOG_WARNING);
    atomic_store(&flag, 0);
    for (int i = 0; i < 3; i++)
        expect_int(tr_group_spawn(group, &members[i], wait_for_flag, &flag, NULL, TR_NOW), 0);
    expect_int(tr_group_detach(group), 0);
    expect_int((int64_t)in_use(&tri_group_pool), (int64_t)before + 1);
    tr_cancel_token_cancel(token); /* is not theirs any more */
    tr_cancel_token_unref(token);
    atomic_store(&flag, 1);
    wait_until(in_use(&tri_group_pool) == before);
    for (int i = 0; i < 3; i++)
        expect_int(tr_task_cancel(members[i].task), -ESRCH);
    test_log_release();
}

static int fail_after_flag(void *argument)
{
    wait_for_flag(argument);
    return tr_task_fail(-EIO, "too late");
}

static int fail_otherwise_after_flag(void *argument)
{
    fail_after_flag(argument);
    return -EBADF;
}

TASK_TEST(group_detached_failures_are_logged)
{
    static atomic_int flag;
    struct tr_group *group = open_with((struct tr_group_options){ .name = "freed" });
    atomic_store(&flag, 0);
    test_log_capture(TR_LOG_WARNING);
    spawn_into(group, fail_after_flag, &flag);
    spawn_into(group, fail_otherwise_after_flag, &flag); /* the words are those of another code */
    expect_int(tr_group_detach(group), 0);
    atomic_store(&flag, 1);
    wait_until(test_log_has("member 0 of group 'freed', detached, failed with -5 (Input/output error): too late"));
    wait_until(test_log_has("member 1 of group 'freed', detached, failed with -9 (Bad file descriptor), and nobody"));
    test_log_release();
}

/* What the sink found and left in the task in which it was called: none, for the member has gone by then. */
static const struct tr_local mark;
static atomic_int told;

static void mark_the_task(enum tr_log_level level, const char *line, void *context)
{
    (void)level;
    (void)context;
    if (!strstr(line, "of group 'marked'"))
        return;
    expect(tr_local_set(&mark, mark_the_task) < 0);
    atomic_fetch_add(&told, 1);
}

static int is_marked(void *argument)
{
    (void)argument;
    return tr_local_get(&mark) != NULL;
}

TASK_TEST(group_detached_failure_is_told_outside_the_task)
{
    static atomic_int flag;
    struct tr_group *group = open_with((struct tr_group_options){ .name = "marked" });
    atomic_store(&flag, 0);
    atomic_store(&told, 0);
    tr_log_set(mark_the_task, NULL, TR_LOG_WARNING);
    spawn_into(group, fail_after_flag, &flag);
    expect_int(tr_group_detach(group), 0);
    atomic_store(&flag, 1);
    wait_until(atomic_load(&told) == 1);
    for (int i = 0; i < 200; i++) /* the record of the member among theirs */
        expect_int(test_join(test_task(is_marked, NULL)), 0);
    tr_log_set(NULL, NULL, TR_LOG_INFO);
}

/* ---- the owner's end ------------------------------------------------------------------------------------------ */

static int leave_groups_open(void *argument)
{
    for (int i = 0; i < 3; i++) {
        struct tr_group *group = open_with((struct tr_group_options){ .name = "left" });
        for (int j = 0; j < 4; j++)
            spawn_into(group, clean_up, (void *)(intptr_t)(j * 100 * TR_MICROSECOND));
    }
    return (int)(intptr_t)argument;
}

TASK_TEST(group_left_open_is_closed_at_the_owners_end)
{
    struct tr_task task;
    test_log_capture(TR_LOG_WARNING);
    expect_int(tr_task_spawn(&task, leave_groups_open, (void *)5, &(struct tr_task_options){ .name = "careless" }), 0);
    expect_int(test_join(task), 5);
    expect_int(atomic_load(&living), 0);
    expect(test_log_has("task 'careless' has ended with its group 'left' open: it is closed now"));
    test_log_release();
}

static int own_two(void *argument)
{
    struct tr_task *joinable = argument;
    struct tr_task_options options = { .owned = true, .name = "owned" };
    expect_int(tr_task_spawn(joinable, clean_up, (void *)(intptr_t)TR_MILLISECOND, &options), 0);
    expect_int(tr_task_spawn(NULL, clean_up, (void *)(intptr_t)TR_MILLISECOND, &options), 0);
    struct tr_task quick;
    expect_int(tr_task_spawn(&quick, return_argument, (void *)9, &options), 0);
    expect_int(test_join(quick), 9); /* joined as any */
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    return 3;
}

TASK_TEST(owned_tasks_end_with_their_owner)
{
    struct tr_task child;
    test_log_capture(TR_LOG_WARNING);
    expect_int(test_join(test_task(own_two, &child)), 3);
    expect_int(atomic_load(&living), 0);
    expect_int(test_join(child), -ECANCELED); /* ended, and its result is there */
    expect(!test_log_has("owned"));
    test_log_release();
}

static int message_count;

static int own_in_handler(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    message_count++;
    if (number->kind == 1)
        return TR_END;
    return tr_task_spawn(NULL, clean_up, NULL, &(struct tr_task_options){ .owned = true });
}

TASK_TEST(owned_tasks_of_a_handler_actor_live_as_long_as_it)
{
    struct tr_task task;
    struct number_address actor = test_handler(own_in_handler, NULL, 0, &task);
    for (int i = 0; i < 3; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .kind = 0 }), 0);
    wait_until(atomic_load(&living) == 3);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .kind = 1 }), 0);
    expect_int(test_join(task), 0);
    expect_int(atomic_load(&living), 0);
}

static void *open_on_thread(void *argument)
{
    struct tr_group *group;
    struct tr_finished done;
    expect_int(tr_task_spawn(NULL, return_argument, NULL, &(struct tr_task_options){ .owned = true }), -EINVAL);
    expect_int(tr_group_open(&group, &(struct tr_group_options){ .runtime = argument, .limit = 2 }), 0);
    for (intptr_t i = 0; i < 20; i++)
        spawn_into(group, sleep_turns, (void *)i);
    for (int i = 0; i < 20; i++)
        expect_int(tr_group_next(group, &done, tr_after(LONG_TIME)), 0);
    spawn_into(group, clean_up, (void *)(intptr_t)TR_MILLISECOND);
    close_group(group);
    expect_int(atomic_load(&living), 0);
    return NULL;
}

START_TEST(group_of_a_foreign_thread)
{
    struct tr_runtime *runtime;
    struct tr_options options = test_options(0);
    expect_int(tr_start(&runtime, &options), 0);
    open_on_thread(runtime);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

int main(void)
{
    return test_main("group_close",
                     TESTS(group_close_leaves_nobody_behind, group_close_heeds_neither_cancellation_nor_deadline,
                           group_close_names_who_still_runs, group_close_logs_failures_that_nobody_took,
                           group_closed_by_a_member_or_a_stranger_is_refused, group_detached_members_go_on,
                           group_detached_failures_are_logged, group_detached_failure_is_told_outside_the_task,
                           group_left_open_is_closed_at_the_owners_end, owned_tasks_end_with_their_owner,
                           owned_tasks_of_a_handler_actor_live_as_long_as_it, group_of_a_foreign_thread));
}
