/* SPDX-License-Identifier: MIT */
/*
 * test_end.c: what an actor may still do at its end, in its callbacks and through the tasks that it owns; and that nobody waits
 * for that in vain.
 */
#include "tests/support.h"

struct caller {
    struct number_address to;
    int rc;
};

static int call_and_note(void *argument)
{
    struct caller *caller = argument;
    int64_t answer;
    caller->rc = tr_call(caller->to, &answer, tr_after(LONG_TIME), &(struct number){ .kind = 0 });
    return caller->rc;
}

static struct tr_task start_caller(struct caller *caller, struct number_address to)
{
    *caller = (struct caller){ .to = to };
    return test_task(call_and_note, caller);
}

/* The body of an actor that receives nothing. */
static int end_when_told(void *argument)
{
    wait_until(atomic_load((atomic_int *)argument));
    return 0;
}

struct owner {
    struct caller child;
    atomic_int go;
};

/* Calls to the last, however much it is cancelled. */
static int call_in_a_shield(void *argument)
{
    struct tr_shield shield;
    tr_sleep(TR_FOREVER);
    tr_shield_open(&shield, TR_FOREVER);
    int rc = call_and_note(argument);
    tr_shield_close(&shield);
    return rc;
}

static int own_and_end(void *argument)
{
    struct owner *owner = argument;
    wait_until(atomic_load(&owner->go));
    expect_int(tr_task_spawn(NULL, call_in_a_shield, &owner->child, &(struct tr_task_options){ .owned = true }), 0);
    return 0;
}

/* The debts are paid before what the actor owns is waited for: here that calls its owner. */
TASK_TEST(call_of_an_owned_task_when_its_actor_ends_esrch)
{
    struct owner owner = { .go = 0 };
    struct caller queued;
    struct tr_task actor_task;
    struct number_address actor = test_loop(own_and_end, &owner, 4, &actor_task);
    owner.child = (struct caller){ .to = actor };
    struct tr_task task = start_caller(&queued, actor);
    wait_until(test_queued(actor) == 1);
    atomic_store(&owner.go, 1);
    expect_int(test_join(task), -ESRCH);
    expect_int(test_join(actor_task), 0);
    expect_int(owner.child.rc, -ESRCH);
}

/* What a drop function takes from the mailbox that is being drained is owed as any other. */
static void drop_two(void *message)
{
    struct number another;
    (void)message;
    tr_try_receive(&another);
}

TASK_TEST(call_taken_by_a_drop_function_epipe)
{
    atomic_int go = 0;
    struct caller callers[2];
    struct tr_task actor_task, tasks[2];
    struct number_address actor;
    expect_int(tr_spawn(&actor, end_when_told, &go,
                        &(struct tr_actor_options){ .capacity = 4, .drop = drop_two, .task = &actor_task }),
               0);
    for (int i = 0; i < 2; i++)
        tasks[i] = start_caller(&callers[i], actor);
    wait_until(test_queued(actor) == 2);
    atomic_store(&go, 1);
    int first = test_join(tasks[0]), second = test_join(tasks[1]);
    expect_int(first + second, -ESRCH - EPIPE);
    expect_int(test_join(actor_task), 0);
}

/* The mailbox is gone when the last callback runs: what it asks for must not be found in another's. */
static struct tr_task heir_task;

static int receive_some(void *argument)
{
    struct number message;
    for (intptr_t left = (intptr_t)argument; left > 0; left--)
        expect_int(tr_receive(&message, TR_FOREVER), 0);
    return 0;
}

static void found_an_heir(void *state, int reason)
{
    struct number number = { .value = 0 };
    (void)state;
    expect_int(reason, 0);
    struct number_address heir = test_loop(receive_some, (void *)4, 4, &heir_task);
    for (int i = 0; i < 4; i++)
        expect_int(tr_try_send(heir, &number), 0);
    expect_int(tr_try_receive(&number), -EPIPE);
    expect_int(tr_receive(&number, TR_FOREVER), -EPIPE);
}

TASK_TEST_ON(1, receive_in_the_last_callback_epipe)
{
    struct tr_task task;
    struct number_address actor;
    struct tr_actor_options options = { .capacity = 4, .stopped = found_an_heir, .task = &task };
    expect_int(tr_spawn(&actor, receive_some, (void *)1, &options), 0);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 1 }), 0);
    expect_int(test_join(task), 0);
    expect_int(test_join(heir_task), 0);
}

static atomic_int adopted;

static int be_adopted(void *argument)
{
    int rc = tr_sleep(TR_FOREVER);
    tr_cancel_taken();
    tr_sleep(5 * TR_MILLISECOND);
    atomic_fetch_add(&adopted, 1);
    return rc == -ECANCELED && !argument ? 0 : -EIO;
}

static void adopt(const struct tr_dead_letter *letter)
{
    expect_int(letter->reason, TR_DEAD_UNDELIVERED);
    expect_int(tr_task_spawn(NULL, be_adopted, NULL, &(struct tr_task_options){ .owned = true }), 0);
}

/* An actor without options, which the hook makes an owner at its end. */
TASK_TEST(tasks_that_the_dead_letter_hook_spawns_are_waited_for)
{
    atomic_int go = 0;
    struct tr_task task;
    struct number_address actor;
    expect_int(tr_spawn(&actor, end_when_told, &go, &(struct tr_actor_options){ .task = &task }), 0);
    tr_dead_letter_hook(adopt);
    for (int i = 0; i < 3; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    atomic_store(&go, 1);
    expect_int(test_join(task), 0);
    tr_dead_letter_hook(NULL);
    expect_int(atomic_load(&adopted), 3);
}

int main(void)
{
    return test_main("end",
                     TESTS(call_of_an_owned_task_when_its_actor_ends_esrch, call_taken_by_a_drop_function_epipe,
                           receive_in_the_last_callback_epipe, tasks_that_the_dead_letter_hook_spawns_are_waited_for));
}
