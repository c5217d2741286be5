/* SPDX-License-Identifier: MIT */
/*
 * test_local.c: task-local values by the promises of troupe/local.h: they belong to a task and go with it, scopes bring back
 * what there was, only what says how is inherited, and each value that the task owns is destroyed once.
 */
#include "tests/support.h"

static atomic_int destroyed;
static char order[64];

static void note_destroyed(void *value)
{
    int n = atomic_fetch_add(&destroyed, 1);
    order[n] = *(const char *)value;
}

static const struct tr_local plain, counted = { .destroy = note_destroyed }, other = { .destroy = note_destroyed },
                                    shared = { .inherit = tr_local_share };

static void reset(void)
{
    atomic_store(&destroyed, 0);
    memset(order, 0, sizeof order);
}

TASK_TEST(local_unset_is_null)
{
    expect(!tr_local_get(&plain));
    expect(!tr_local_take(&plain));
    expect_int(tr_local_set(&plain, NULL), 0);
}

TASK_TEST(local_keys_do_not_meet)
{
    struct tr_local keys[40] = { { 0 } };
    int values[40];
    for (int i = 0; i < 40; i++)
        expect_int(tr_local_set(&keys[i], &values[i]), 0);
    for (int i = 0; i < 40; i += 2)
        expect_int(tr_local_set(&keys[i], NULL), 0);
    for (int i = 0; i < 40; i++)
        expect(tr_local_get(&keys[i]) == (i % 2 ? &values[i] : NULL));
    for (int i = 1; i < 40; i += 2)
        expect(tr_local_take(&keys[i]) == &values[i] && !tr_local_get(&keys[i]));
}

/* ---- whose they are ------------------------------------------------------------------------------------------- */

static int hold_own(void *argument)
{
    expect(!tr_local_get(&plain));
    expect_int(tr_local_set(&plain, argument), 0);
    for (int i = 0; i < 50; i++) {
        expect_int(tr_yield(), 0);
        expect(tr_local_get(&plain) == argument);
    }
    return 0;
}

TASK_TEST(local_value_goes_with_its_task)
{
    static char marks[20];
    struct tr_task tasks[20];
    for (int i = 0; i < 20; i++)
        tasks[i] = test_task(hold_own, &marks[i]);
    for (int i = 0; i < 20; i++)
        expect_int(test_join(tasks[i]), 0);
    expect(!tr_local_get(&plain));
}

/* A handler actor keeps its values from message to message. */
static int count_in_local(void *state, void *message)
{
    struct number *number = message;
    intptr_t count = (intptr_t)tr_local_get(&plain) + 1;
    (void)state;
    expect_int(tr_local_set(&plain, (void *)count), 0);
    int64_t answer = count;
    return tr_reply(number->reply, &answer);
}

TASK_TEST(local_of_a_handler_actor_lives_as_long_as_it)
{
    struct tr_task task;
    struct number_address actor = test_handler(count_in_local, NULL, 0, &task);
    for (int i = 1; i <= 5; i++)
        expect_int(test_ask(actor, 0, 0), i);
    tr_actor_stop(actor);
    expect_int(test_join(task), 0);
}

static void *try_without_task(void *argument)
{
    struct tr_local_scope scope;
    expect_int(tr_local_set(&plain, argument), -EINVAL);
    expect_int(tr_local_set(&plain, NULL), -EINVAL);
    expect_int(tr_local_scope_open(&scope, &plain, argument), -EINVAL);
    tr_local_scope_close(&scope);
    expect(!tr_local_get(&plain) && !tr_local_take(&plain));
    return NULL;
}

START_TEST(local_outside_a_task_einval)
{
    try_without_task(order);
}
END_TEST

/* ---- destruction ---------------------------------------------------------------------------------------------- */

TASK_TEST(local_replaced_is_destroyed_taken_is_not)
{
    reset();
    expect_int(tr_local_set(&counted, "a"), 0);
    expect_int(tr_local_set(&counted, "b"), 0);
    expect(strcmp(order, "a") == 0);
    char *b = tr_local_get(&counted);
    expect_int(tr_local_set(&counted, b), 0); /* the same again: nothing to destroy */
    expect(strcmp(order, "a") == 0);
    expect(tr_local_take(&counted) == (void *)b);
    expect_int(tr_local_set(&counted, "c"), 0);
    expect_int(tr_local_set(&counted, NULL), 0);
    expect(strcmp(order, "ac") == 0);
}

static int set_some(void *argument)
{
    (void)argument;
    expect_int(tr_local_set(&counted, "1"), 0);
    expect_int(tr_local_set(&plain, "-"), 0);
    expect_int(tr_local_set(&other, "2"), 0);
    return 5;
}

TASK_TEST(local_values_left_are_destroyed_at_the_end_newest_first)
{
    reset();
    expect_int(test_join(test_task(set_some, NULL)), 5);
    expect(strcmp(order, "21") == 0);
}

static atomic_int ended;

/* Destructors run in the task: they may wait, see older values, and may not leave new ones. */
static void suspend_and_look(void *value)
{
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    expect(strcmp(tr_local_get(&counted), "1") == 0);
    expect_int(tr_local_set(&plain, value), -EPIPE);
    atomic_fetch_add(&ended, 1);
}

static const struct tr_local slow = { .destroy = suspend_and_look };

static int set_slow(void *argument)
{
    expect_int(tr_local_set(&counted, "1"), 0);
    expect_int(tr_local_set(&slow, argument), 0);
    return 0;
}

TASK_TEST(local_destructor_may_suspend)
{
    static char values[8];
    struct tr_task tasks[8];
    reset();
    atomic_store(&ended, 0);
    for (int i = 0; i < 8; i++)
        tasks[i] = test_task(set_slow, &values[i]);
    for (int i = 0; i < 8; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(atomic_load(&ended), 8);
    expect_int(atomic_load(&destroyed), 8);
}

/* ---- scopes --------------------------------------------------------------------------------------------------- */

TASK_TEST(local_scope_brings_back_what_there_was)
{
    struct tr_local_scope outer, inner;
    reset();
    expect_int(tr_local_scope_open(&outer, &counted, "x"), 0);
    expect(strcmp(tr_local_get(&counted), "x") == 0);
    tr_local_scope_close(&outer);
    expect(!tr_local_get(&counted));
    expect_int(tr_local_set(&counted, "t"), 0);
    expect_int(tr_local_scope_open(&outer, &counted, "o"), 0);
    expect_int(tr_local_scope_open(&inner, &counted, NULL), 0);
    expect(!tr_local_get(&counted));
    tr_local_scope_close(&inner);
    tr_local_scope_close(&inner); /* closed already: nothing */
    expect(strcmp(tr_local_get(&counted), "o") == 0);
    tr_local_scope_close(&outer);
    expect(strcmp(tr_local_get(&counted), "t") == 0);
    expect_int(atomic_load(&destroyed), 0); /* what a scope held is the caller's */
    expect_int(tr_local_set(&counted, NULL), 0);
    expect(strcmp(order, "t") == 0);
}

TASK_TEST(local_set_inside_a_scope_ends_with_it)
{
    struct tr_local_scope scope;
    reset();
    expect_int(tr_local_set(&counted, "t"), 0);
    expect_int(tr_local_scope_open(&scope, &counted, "s"), 0);
    expect_int(tr_local_set(&counted, "n"), 0);
    expect(strcmp(tr_local_get(&counted), "n") == 0);
    expect_int(tr_local_set(&counted, NULL), 0); /* hides the task's still */
    expect(!tr_local_get(&counted));
    expect_int(tr_local_set(&counted, "m"), 0);
    tr_local_scope_close(&scope);
    expect(strcmp(tr_local_get(&counted), "t") == 0);
    expect(strcmp(order, "nm") == 0);
}

static int leave_scope_open(void *argument)
{
    struct tr_local_scope scope;
    char mark = 's'; /* gone when the task's end looks at its values */
    (void)argument;
    expect_int(tr_local_set(&counted, "t"), 0);
    expect_int(tr_local_scope_open(&scope, &counted, &mark), 0);
    return 0;
}

TASK_TEST(local_scope_left_open_ends_with_the_task)
{
    reset();
    expect_int(test_join(test_task(leave_scope_open, NULL)), 0);
    expect(strcmp(order, "t") == 0);
}

/* ---- inheritance ---------------------------------------------------------------------------------------------- */

static void *count_up(void *value)
{
    atomic_fetch_add((atomic_int *)value, 1);
    return value;
}

static void count_down(void *value)
{
    atomic_fetch_sub((atomic_int *)value, 1);
}

static void *decline(void *value)
{
    (void)value;
    return NULL;
}

static const struct tr_local reference = { .inherit = count_up, .destroy = count_down },
                             declined = { .inherit = decline };

static const struct inherit_row {
    const char *name;
    const struct tr_local *key;
    bool asked, inherited;
} inherits[] = {
    { "shared", &shared, true, true },
    { "shared, not asked", &shared, false, false },
    { "counted", &reference, true, true },
    { "counted, not asked", &reference, false, false },
    { "no way to inherit", &plain, true, false },
    { "destroyed only", &counted, true, false },
    { "declined", &declined, true, false },
};

static const struct tr_local *asked_key;

static int tell_value(void *argument)
{
    *(void **)argument = tr_local_get(asked_key);
    return tr_local_get(&counted) ? -EIO : 0;
}

TASK_TEST(local_inheritance_table)
{
    for (size_t i = 0; i < sizeof inherits / sizeof *inherits; i++) {
        const struct inherit_row *row = &inherits[i];
        atomic_int references = 1;
        void *seen = &seen;
        struct tr_task task;
        asked_key = row->key;
        reset();
        struct tr_local_scope scope; /* the scope's value is what is inherited, not the hidden one */
        expect_int(tr_local_scope_open(&scope, row->key, NULL), 0);
        struct tr_local_scope inner;
        expect_int(tr_local_scope_open(&inner, row->key, &references), 0);
        expect_int(tr_task_spawn(&task, tell_value, &seen,
                                 &(struct tr_task_options){ .inherit_locals = row->asked, .name = "heir" }),
                   0);
        expect_int(test_join(task), 0);
        if (seen != (row->inherited ? &references : NULL))
            test_fail(__FILE__, __LINE__, "%s", row->name);
        expect_int(atomic_load(&references), 1);
        tr_local_scope_close(&inner);
        tr_local_scope_close(&scope);
        expect_int(atomic_load(&destroyed), 0);
    }
}

static int grandchild(void *argument)
{
    return tr_local_get(&reference) == argument ? 3 : -EIO;
}

static int child(void *argument)
{
    struct tr_task task;
    expect_int(tr_task_spawn(&task, grandchild, argument, &(struct tr_task_options){ .inherit_locals = true }), 0);
    return test_join(task);
}

TASK_TEST(local_inherited_value_is_the_childs_own)
{
    atomic_int references = 1;
    struct tr_task task;
    expect_int(tr_local_set(&reference, &references), 0);
    expect_int(tr_task_spawn(&task, child, &references, &(struct tr_task_options){ .inherit_locals = true }), 0);
    expect_int(tr_local_set(&reference, NULL), 0); /* the parent's goes; the child has its own */
    expect_int(test_join(task), 3);
    expect_int(atomic_load(&references), 0);
}

static void *hand_over(void *value);
static const struct tr_local handed = { .inherit = hand_over, .destroy = count_down },
                             handed_too = { .inherit = hand_over, .destroy = count_down };

/* The value moves to the child. The other has gone by the time that it would be its turn. */
static void *hand_over(void *value)
{
    expect(tr_local_take(&handed) == value);
    expect_int(tr_local_set(&handed_too, NULL), 0);
    return value;
}

static int look_at_what_is_left(void *argument)
{
    expect(tr_local_get(&shared) == argument);
    expect(tr_local_get(&reference) == argument);
    expect(tr_local_get(&handed) == argument);
    expect(tr_local_get(&handed_too) == NULL);
    return 3;
}

/* `inherit` runs in the spawning task, and may do with its values what that may. */
TASK_TEST(local_taken_while_it_is_inherited)
{
    atomic_int references = 3;
    struct tr_task task;
    expect_int(tr_local_set(&shared, &references), 0);
    expect_int(tr_local_set(&handed_too, &references), 0);
    expect_int(tr_local_set(&reference, &references), 0);
    expect_int(tr_local_set(&handed, &references), 0);
    expect_int(tr_task_spawn(&task, look_at_what_is_left, &references,
                             &(struct tr_task_options){ .inherit_locals = true }),
               0);
    expect(tr_local_get(&handed) == NULL && tr_local_get(&handed_too) == NULL);
    expect_int(test_join(task), 3);
    expect_int(atomic_load(&references), 1); /* our own; the child's two and the one that was removed are gone */
    expect_int(tr_local_set(&reference, NULL), 0);
    expect_int(atomic_load(&references), 0);
}

static const struct tr_local elder = { .inherit = tr_local_share, .destroy = note_destroyed },
                             younger = { .inherit = tr_local_share, .destroy = note_destroyed };

static int add_own(void *argument)
{
    return tr_local_set(&counted, argument);
}

TASK_TEST(local_inherited_values_keep_their_age)
{
    struct tr_task task;
    struct tr_local_scope outer, inner;
    reset();
    expect_int(tr_local_scope_open(&outer, &elder, "e"), 0);
    expect_int(tr_local_scope_open(&inner, &younger, "y"), 0);
    expect_int(tr_task_spawn(&task, add_own, "o", &(struct tr_task_options){ .inherit_locals = true }), 0);
    expect_int(test_join(task), 0);
    expect(strcmp(order, "oye") == 0);
    tr_local_scope_close(&inner);
    tr_local_scope_close(&outer);
}

/* ---- a spawn that is refused after all ------------------------------------------------------------------------- */

static int do_nothing(void *argument)
{
    (void)argument;
    return 0;
}

/* Being woken moves a task to another worker, in the variant below. */
static void destroy_elsewhere(void *value)
{
    (void)value;
    expect_int(test_join(test_task(do_nothing, NULL)), 0);
}

static const struct tr_local wandering = { .inherit = tr_local_share, .destroy = destroy_elsewhere };
static struct tr_cancel_token *cancelled;

static int spawn_in_vain(void *argument)
{
    struct tr_task_options refused = { .inherit_locals = true, .token = cancelled };
    struct tr_task task;
    expect_int(tr_local_set(&wandering, argument), 0);
    for (int i = 0; i < 1000; i++) {
        expect_int(tr_task_spawn(&task, do_nothing, NULL, &refused), -ECANCELED);
        expect_int(test_join(test_task(do_nothing, NULL)), 0);
    }
    return 0;
}

static void spawn_in_vain_from_all(void)
{
    struct tr_task tasks[6];
    int value;
    expect_int(tr_cancel_token_create(&cancelled, NULL), 0);
    tr_cancel_token_cancel(cancelled);
    for (int i = 0; i < 6; i++)
        tasks[i] = test_task(spawn_in_vain, &value);
    for (int i = 0; i < 6; i++)
        expect_int(test_join(tasks[i]), 0);
    tr_cancel_token_unref(cancelled);
}

/* What was inherited is destroyed again in the spawner, which is on another worker afterwards. */
START_TEST(local_of_a_spawn_refused_is_destroyed_wherever)
{
    struct tr_options options = test_options(2);
    options.migrate_always = true;
    test_run_with(&options, spawn_in_vain_from_all);
}
END_TEST

int main(void)
{
    return test_main("local",
                     TESTS(local_unset_is_null, local_keys_do_not_meet, local_value_goes_with_its_task,
                           local_of_a_handler_actor_lives_as_long_as_it, local_outside_a_task_einval,
                           local_replaced_is_destroyed_taken_is_not,
                           local_values_left_are_destroyed_at_the_end_newest_first, local_destructor_may_suspend,
                           local_scope_brings_back_what_there_was, local_set_inside_a_scope_ends_with_it,
                           local_scope_left_open_ends_with_the_task, local_inheritance_table,
                           local_inherited_value_is_the_childs_own, local_taken_while_it_is_inherited,
                           local_inherited_values_keep_their_age, local_of_a_spawn_refused_is_destroyed_wherever));
}
