/* SPDX-License-Identifier: MIT */
/*
 * test_group.c: task groups by the promises of troupe/group.h: outcomes in order of the ends, a limit that is fair, the first
 * error cancels the rest, deadlines. Their ends are in test_group_close.c.
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

/* ---- outcomes ------------------------------------------------------------------------------------------------- */

static int sleep_turns(void *argument)
{
    for (intptr_t i = 0; i < (intptr_t)argument; i++)
        expect_int(tr_yield(), 0);
    return (int)(intptr_t)argument;
}

TASK_TEST_ON(1, group_next_in_order_of_the_ends)
{
    static const intptr_t turns[] = { 5, 1, 9, 3, 7 }, order[] = { 1, 3, 0, 4, 2 };
    struct tr_group *group = open_with((struct tr_group_options){ .name = "race" });
    struct tr_finished done;
    struct tr_member members[5];
    expect_int(tr_group_try_next(group, &done), -ESRCH);
    for (int i = 0; i < 5; i++)
        expect_int(tr_group_spawn(group, &members[i], sleep_turns, (void *)turns[i], NULL, TR_NOW), 0);
    expect_int(tr_group_try_next(group, &done), -EAGAIN);
    expect_int(tr_group_next(group, &done, TR_NOW), -ETIMEDOUT);
    for (int i = 0; i < 5; i++) {
        expect_int(tr_group_next(group, &done, TR_FOREVER), 0);
        expect_int((int64_t)done.member.index, order[i]);
        expect(done.member.task.tri_record == members[order[i]].task.tri_record &&
               done.member.task.tri_generation == members[order[i]].task.tri_generation);
        expect_int(done.outcome.code, turns[order[i]]);
        expect_int(tr_task_cancel(done.member.task), -ESRCH);
    }
    expect_int(tr_group_next(group, &done, TR_FOREVER), -ESRCH);
    close_group(group);
}

TASK_TEST(group_outcomes_have_kind_code_and_text)
{
    struct tr_group *group = open_with((struct tr_group_options){ 0 });
    struct tr_finished done[3], first;
    struct tr_member member;
    spawn_into(group, return_argument, (void *)5);
    spawn_into(group, fail_with_text, (void *)(intptr_t)-EIO);
    expect_int(tr_group_spawn(group, &member, sleep_long, NULL, NULL, TR_NOW), 0);
    expect_int((int64_t)member.index, 2);
    expect_int(tr_task_join(member.task, NULL, TR_NOW), -ESRCH);
    expect_int(tr_task_cancel(member.task), 0);
    expect_int(tr_group_wait(group, tr_after(LONG_TIME)), 0);
    for (int i = 0; i < 3; i++) {
        struct tr_finished taken;
        expect_int(tr_group_next(group, &taken, TR_NOW), 0);
        done[taken.member.index] = taken;
    }
    expect(done[0].outcome.kind == TR_RETURNED && done[0].outcome.code == 5 && !done[0].outcome.text[0]);
    expect(done[1].outcome.kind == TR_FAILED && strcmp(done[1].outcome.text, "reason -5") == 0);
    expect(done[2].outcome.kind == TR_CANCELLED);
    expect_int(tr_group_failure(group, &first), 0);
    expect(first.member.index == 1 && strcmp(first.outcome.text, "reason -5") == 0);
    struct tr_group_info info;
    tr_group_info(group, &info);
    expect(info.spawned == 3 && info.failed == 1 && info.running == 0 && info.finished == 0 && !info.cancelled);
    close_group(group);
}

static int take_one(void *argument)
{
    struct tr_finished done;
    int rc = tr_group_next(argument, &done, TR_FOREVER);
    return rc < 0 ? rc : done.outcome.code;
}

TASK_TEST(group_each_outcome_goes_to_one_taker)
{
    struct tr_group *group = open_with((struct tr_group_options){ 0 });
    struct tr_task takers[22];
    static atomic_int flag;
    int sum = 0, none = 0;
    atomic_store(&flag, 0);
    spawn_into(group, wait_for_flag, &flag);
    for (int i = 0; i < 22; i++)
        takers[i] = test_task(take_one, group);
    for (intptr_t i = 1; i < 20; i++)
        spawn_into(group, return_argument, (void *)(i + 100));
    atomic_store(&flag, 1);
    for (int i = 0; i < 22; i++) {
        int result = test_join(takers[i]);
        sum += result > 0 ? result : 0;
        none += result == -ESRCH;
    }
    expect_int(sum, 19 * 100 + 190 + 7);
    expect_int(none, 2);
    close_group(group);
}

TASK_TEST(group_next_in_a_select)
{
    static atomic_int flag;
    struct tr_group *one = open_with((struct tr_group_options){ 0 }),
                    *other = open_with((struct tr_group_options){ 0 });
    struct tr_finished done;
    atomic_store(&flag, 0);
    spawn_into(one, sleep_long, NULL);
    spawn_into(other, wait_for_flag, &flag);
    struct tr_case cases[] = { tr_case_next(one, &done), tr_case_next(other, &done), tr_case_group(one),
                               tr_case_timer(tr_after(2 * TR_MILLISECOND)) };
    expect_int(tr_select(cases, 4, TR_FOREVER, TR_SELECT_FAIR), 3);
    atomic_store(&flag, 1);
    expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect(cases[1].result == 0 && done.outcome.code == 7);
    expect_int(tr_select(&cases[1], 1, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(cases[1].result, -ESRCH);
    tr_group_cancel(one);
    expect_int(tr_select(&cases[2], 1, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(cases[2].result, 0);
    close_group(one);
    close_group(other);
}

TASK_TEST(group_capacity_bounds_what_is_kept)
{
    struct tr_group *group = open_with((struct tr_group_options){ .capacity = 3 });
    struct tr_finished done;
    for (intptr_t i = 0; i < 3; i++)
        spawn_into(group, return_argument, (void *)i);
    expect_int(tr_group_wait(group, tr_after(LONG_TIME)), 0);
    expect_int(tr_group_spawn(group, NULL, return_argument, NULL, NULL, TR_FOREVER), -ENOBUFS);
    expect_int(tr_group_next(group, &done, TR_NOW), 0);
    int sum = done.outcome.code;
    spawn_into(group, return_argument, (void *)3);
    expect_int(tr_group_wait(group, tr_after(LONG_TIME)), 0);
    for (int i = 1; i < 4; i++) {
        expect_int(tr_group_next(group, &done, TR_NOW), 0);
        sum += done.outcome.code;
    }
    expect_int(sum, 0 + 1 + 2 + 3);
    close_group(group);
}

TASK_TEST(group_that_forgets_keeps_nothing)
{
    struct tr_group *group = open_with((struct tr_group_options){ .forget = true, .name = "forgetful" });
    struct tr_finished done;
    uint64_t before = in_use(&tri_node_pool);
    test_log_capture(TR_LOG_WARNING);
    for (intptr_t i = 0; i < 1000; i++)
        spawn_into(group, i == 500 ? fail_with_text : return_argument, (void *)(intptr_t)(i == 500 ? -EIO : i));
    expect_int(tr_group_wait(group, tr_after(LONG_TIME)), 0);
    expect(in_use(&tri_node_pool) <= before + 256); /* the caches' */
    expect_int(tr_group_next(group, &done, TR_FOREVER), -ESRCH);
    expect_int(tr_group_failure(group, &done), 0);
    expect_int(done.outcome.code, -EIO);
    expect(strcmp(done.outcome.text, "reason -5") == 0);
    wait_until(test_log_has("failed with -5 (Input/output error): reason -5, and nobody joins it"));
    test_log_release();
    close_group(group);
}

/* ---- limit ---------------------------------------------------------------------------------------------------- */

static atomic_int at_work, most_at_work;

static int work(void *argument)
{
    int now = atomic_fetch_add(&at_work, 1) + 1, most = atomic_load(&most_at_work);
    while (now > most && !atomic_compare_exchange_weak(&most_at_work, &most, now))
        ;
    if ((uintptr_t)argument % 2)
        expect_int(tr_sleep(20 * TR_MICROSECOND), 0);
    else
        expect_int(tr_yield(), 0);
    atomic_fetch_sub(&at_work, 1);
    return 0;
}

TASK_TEST(group_limit_is_never_exceeded)
{
    for (uint32_t limit = 1; limit <= 8; limit *= 2) {
        struct tr_group *group = open_with((struct tr_group_options){ .limit = limit, .forget = true });
        atomic_store(&most_at_work, 0);
        for (uintptr_t i = 0; i < 100; i++)
            spawn_into(group, work, (void *)i);
        expect_int(tr_group_wait(group, tr_after(LONG_TIME)), 0);
        expect(atomic_load(&most_at_work) >= 1 && atomic_load(&most_at_work) <= (int)limit);
        close_group(group);
    }
}

static struct tr_group *narrow;
static int order[32], ordered;

static int note_order(void *argument)
{
    order[ordered++] = (int)(intptr_t)argument;
    return 0;
}

static int spawn_noted(void *argument)
{
    return tr_group_spawn(narrow, NULL, note_order, argument, NULL, TR_FOREVER);
}

TASK_TEST_ON(1, group_spawners_are_served_in_order)
{
    static atomic_int flag;
    struct tr_task spawners[8];
    struct tr_finished done;
    narrow = open_with((struct tr_group_options){ .limit = 1 });
    atomic_store(&flag, 0);
    spawn_into(narrow, wait_for_flag, &flag);
    for (intptr_t i = 0; i < 8; i++) {
        spawners[i] = test_task(spawn_noted, (void *)i);
        test_settle();
    }
    expect_int(tr_group_try_spawn(narrow, NULL, note_order, NULL, NULL), -EAGAIN);
    expect_int(tr_group_spawn(narrow, NULL, note_order, NULL, NULL, TR_NOW), -ETIMEDOUT);
    expect_int(tr_group_spawn(narrow, NULL, note_order, NULL, NULL, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    expect_int(tr_task_cancel(spawners[3]), 0);
    expect_int(test_join(spawners[3]), -ECANCELED);
    atomic_store(&flag, 1);
    for (int i = 0; i < 8; i++)
        if (i != 3)
            expect_int(test_join(spawners[i]), 0);
    for (int i = 0; i < 8; i++)
        expect_int(tr_group_next(narrow, &done, tr_after(LONG_TIME)), 0);
    static const int expected[] = { 0, 1, 2, 4, 5, 6, 7 };
    expect_int(ordered, 7);
    expect(memcmp(order, expected, sizeof expected) == 0);
    close_group(narrow);
}

TASK_TEST_ON(1, group_cancel_ends_the_wait_for_a_place)
{
    struct tr_task spawner;
    narrow = open_with((struct tr_group_options){ .limit = 1 });
    spawn_into(narrow, sleep_long, NULL);
    spawner = test_task(spawn_noted, NULL);
    test_settle();
    tr_group_cancel(narrow);
    expect_int(test_join(spawner), -ECANCELED);
    expect_int(tr_group_spawn(narrow, NULL, note_order, NULL, NULL, TR_FOREVER), -ECANCELED);
    close_group(narrow);
}

/* A spawn that fails gives its place back. */
TASK_TEST(group_failed_spawn_leaves_the_place)
{
    struct tr_group *group = open_with((struct tr_group_options){ .limit = 1, .capacity = 1 });
    struct tr_cancel_token *token;
    struct tr_finished done;
    expect_int(tr_cancel_token_create(&token, NULL), 0);
    tr_cancel_token_cancel(token);
    struct tr_task_options wrong = { .stack_bytes = SIZE_MAX / 2 }, late = { .token = token },
                           owned = { .owned = true };
    for (int i = 0; i < 3; i++) {
        expect_int(tr_group_spawn(group, NULL, return_argument, NULL, &wrong, TR_NOW), -EINVAL);
        expect_int(tr_group_spawn(group, NULL, return_argument, NULL, &late, TR_NOW), -ECANCELED);
        expect_int(tr_group_spawn(group, NULL, return_argument, NULL, &owned, TR_NOW), -EINVAL);
        expect_int(tr_group_spawn(group, NULL, NULL, NULL, NULL, TR_NOW), -EINVAL);
    }
    spawn_into(group, return_argument, (void *)3);
    expect_int(tr_group_next(group, &done, tr_after(LONG_TIME)), 0);
    expect(done.outcome.code == 3 && done.member.index == 0);
    tr_cancel_token_unref(token);
    close_group(group);
}

/* ---- errors, deadlines ---------------------------------------------------------------------------------------- */

TASK_TEST(group_first_error_cancels_the_rest)
{
    for (int asked = 0; asked < 2; asked++) {
        static atomic_int flag;
        struct tr_group *group = open_with((struct tr_group_options){ .first_error = asked });
        struct tr_finished done;
        int cancelled = 0, failed = 0, returned = 0;
        atomic_store(&flag, 0);
        for (int i = 0; i < 20; i++)
            spawn_into(group, asked ? sleep_long : wait_for_flag, &flag);
        spawn_into(group, return_argument, (void *)(intptr_t)-ECANCELED); /* no failure */
        spawn_into(group, fail_with_text, (void *)(intptr_t)-EIO);
        if (!asked) {
            expect_int(tr_group_wait(group, tr_after(3 * TR_MILLISECOND)), -ETIMEDOUT);
            atomic_store(&flag, 1);
        }
        while (tr_group_next(group, &done, tr_after(LONG_TIME)) == 0) {
            cancelled += done.outcome.kind == TR_CANCELLED;
            failed += done.outcome.kind == TR_FAILED;
            returned += done.outcome.kind == TR_RETURNED;
        }
        expect_int(failed, 1);
        expect_int(cancelled, asked ? 21 : 1);
        expect_int(returned, asked ? 0 : 20);
        expect_int(tr_group_failure(group, &done), 0);
        expect_int((int64_t)done.member.index, 21);
        expect_int(tr_group_try_spawn(group, NULL, return_argument, NULL, NULL), asked ? -ECANCELED : 0);
        close_group(group);
    }
}

static int tell_bound(void *argument)
{
    *(tr_time *)argument = tr_scope_deadline();
    return 0;
}

TASK_TEST(group_deadline_bounds_every_member)
{
    tr_time begin = tr_clock(), bound = 0;
    struct tr_group *group = open_with((struct tr_group_options){ .deadline = begin + 5 * TR_MILLISECOND });
    struct tr_finished done;
    for (int i = 0; i < 10; i++)
        spawn_into(group, sleep_long, NULL);
    for (int i = 0; i < 10; i++) {
        expect_int(tr_group_next(group, &done, tr_after(LONG_TIME)), 0);
        expect_int(done.outcome.code, -ETIMEDOUT);
    }
    expect(tr_clock() - begin >= 5 * TR_MILLISECOND);
    spawn_into(group, tell_bound, &bound);
    expect_int(tr_group_wait(group, tr_after(LONG_TIME)), 0);
    expect_int(bound, begin + 5 * TR_MILLISECOND);
    close_group(group);
}

TASK_TEST(group_opened_in_a_scope_takes_its_bound_on)
{
    struct tr_scope scope;
    tr_time until = tr_clock() + LONG_TIME, bound = 0;
    tr_scope_open(&scope, until);
    struct tr_group *looser = open_with((struct tr_group_options){ .deadline = until + 5 }),
                    *tighter = open_with((struct tr_group_options){ .deadline = until - 5 });
    tr_scope_close(&scope);
    spawn_into(looser, tell_bound, &bound);
    expect_int(tr_group_wait(looser, TR_FOREVER), 0);
    expect_int(bound, until);
    spawn_into(tighter, tell_bound, &bound);
    expect_int(tr_group_wait(tighter, TR_FOREVER), 0);
    expect_int(bound, until - 5);
    close_group(looser);
    close_group(tighter);
}

static int read_number(void *argument)
{
    struct number *number = argument;
    expect_int(tr_yield(), 0);
    expect(strcmp(tr_task_name(), "copied") == 0);
    return (int)number->value;
}

TASK_TEST(group_member_gets_a_copied_argument_and_a_name)
{
    for (int bounded = 0; bounded < 2; bounded++) {
        struct tr_group *group = open_with((struct tr_group_options){ .deadline = bounded ? tr_after(LONG_TIME) : 0 });
        struct tr_finished done;
        struct number number = { 0 };
        struct tr_task_options options = { .argument_bytes = sizeof number, .name = "copied" };
        int sum = 0;
        for (number.value = 1; number.value <= 3; number.value++)
            expect_int(tr_group_spawn(group, NULL, read_number, &number, &options, TR_NOW), 0);
        while (tr_group_next(group, &done, tr_after(LONG_TIME)) == 0)
            sum += done.outcome.code;
        expect_int(sum, 6);
        close_group(group);
    }
}

int main(void)
{
    return test_main("group",
                     TESTS(group_next_in_order_of_the_ends, group_outcomes_have_kind_code_and_text,
                           group_each_outcome_goes_to_one_taker, group_next_in_a_select,
                           group_capacity_bounds_what_is_kept, group_that_forgets_keeps_nothing,
                           group_limit_is_never_exceeded, group_spawners_are_served_in_order,
                           group_cancel_ends_the_wait_for_a_place, group_failed_spawn_leaves_the_place,
                           group_first_error_cancels_the_rest, group_deadline_bounds_every_member,
                           group_opened_in_a_scope_takes_its_bound_on, group_member_gets_a_copied_argument_and_a_name));
}
