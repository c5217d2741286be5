/* SPDX-License-Identifier: MIT */
/*
 * test_actor.c: the life of actors by the promises of troupe/actor.h: how loop and handler actors start, take messages
 * and end, what stop and cancel do. What a stale address gives has test_address.c.
 */
#include "tests/support.h"

/* ---- loop and handler actors ---------------------------------------------------------------------------------- */

static int sum_loop(void *argument)
{
    (void)argument;
    struct number message;
    int64_t sum = 0;
    while (tr_receive(&message, TR_FOREVER) == 0) {
        sum += message.value;
        tr_reply(message.reply, &sum);
    }
    return (int)sum;
}

TASK_TEST(loop_receives_until_stopped_and_its_result_is_joined)
{
    struct tr_task task;
    struct number_address actor = test_loop(sum_loop, NULL, 4, &task);
    for (int i = 1; i <= 100; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    expect_int(test_ask(actor, 0, 0), 5050);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), 5050);
}

struct tally {
    atomic_int running, calls, stopped, reason;
    int64_t last;
    int result; /* what the handler returns at the message of value 0 */
};

static int tally_message(void *state, void *message)
{
    struct tally *tally = state;
    struct number *number = message;
    expect_int(atomic_fetch_add(&tally->running, 1), 0);
    expect_int(number->value == 0 || number->value == tally->last + 1, 1);
    if (number->value)
        tally->last = number->value;
    int64_t calls = atomic_fetch_add(&tally->calls, 1) + 1;
    if (number->kind == 1)
        expect_int(tr_sleep(200 * TR_MICROSECOND), 0);
    if (number->kind == 2)
        expect_int(tr_yield(), 0);
    tr_reply(number->reply, &calls);
    expect_int(atomic_fetch_sub(&tally->running, 1), 1);
    return number->value ? 0 : tally->result;
}

static void tally_stopped(void *state, int reason)
{
    struct tally *tally = state;
    expect_int(atomic_fetch_add(&tally->running, 1), 0);
    atomic_store(&tally->reason, reason);
    expect_int(atomic_fetch_add(&tally->stopped, 1), 0);
    atomic_fetch_sub(&tally->running, 1);
}

static struct number_address start_tally(struct tally *tally, struct tr_task *task)
{
    struct number_address address;
    struct tr_actor_options options = { .name = "tally", .capacity = 4, .stopped = tally_stopped, .task = task };
    expect_int(tr_spawn_handler(&address, tally_message, tally, &options), 0);
    return address;
}

TASK_TEST(handler_is_called_once_per_message_in_order)
{
    struct tally tally = { 0 };
    struct tr_task task;
    struct number_address actor = start_tally(&tally, &task);
    for (int i = 1; i <= 1000; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), 0);
    expect_int(atomic_load(&tally.calls), 1000);
    expect_int(atomic_load(&tally.stopped), 1);
    expect_int(atomic_load(&tally.reason), 0);
}

TASK_TEST(handler_that_suspends_gets_the_next_message_after_its_return)
{
    struct tally tally = { 0 };
    struct tr_task task;
    struct number_address actor = start_tally(&tally, &task);
    for (int i = 1; i <= 300; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .kind = i % 3, .value = i }), 0);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), 0);
    expect_int(atomic_load(&tally.calls), 300);
}

TASK_TEST(handler_tr_end_ends_with_result_0)
{
    struct tally tally = { .result = TR_END };
    struct tr_task task;
    struct number_address actor = start_tally(&tally, &task);
    expect_int(test_ask(actor, 0, 1), 1);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 0 }), 0);
    expect_int(test_join(task), 0);
    expect_int(atomic_load(&tally.stopped), 1);
    expect_int(atomic_load(&tally.reason), 0);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 2 }), -ESRCH);
    expect_int(atomic_load(&tally.calls), 2);
}

TASK_TEST(handler_negative_ends_with_the_reason)
{
    struct tally tally = { .result = -EIO };
    struct tr_task task;
    struct number_address actor = start_tally(&tally, &task);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 0 }), 0);
    expect_int(test_join(task), -EIO);
    expect_int(atomic_load(&tally.reason), -EIO);
}

TASK_TEST(handler_stopped_before_any_message_still_says_goodbye)
{
    struct tally tally = { 0 };
    struct tr_task task;
    struct number_address actor = start_tally(&tally, &task);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), 0);
    expect_int(atomic_load(&tally.calls), 0);
    expect_int(atomic_load(&tally.stopped), 1);
}

TASK_TEST(handler_idle_cancelled_ends_ecanceled)
{
    struct tally tally = { 0 };
    struct tr_task task;
    struct number_address actor = start_tally(&tally, &task);
    expect_int(test_ask(actor, 0, 1), 1);
    expect_int(tr_actor_cancel(actor), 0);
    expect_int(test_join(task), -ECANCELED);
    expect_int(atomic_load(&tally.reason), -ECANCELED);
    expect_int(tr_actor_cancel(actor), -ESRCH);
}

struct slow {
    atomic_int entered, release, handled, dropped;
};

static struct slow slow_state; /* drop functions have no context */

static int handle_slowly(void *state, void *message)
{
    struct slow *slow = state;
    (void)message;
    atomic_store(&slow->entered, 1);
    struct tr_shield shield;
    tr_shield_open(&shield, TR_FOREVER);
    wait_until(atomic_load(&slow->release));
    tr_shield_close(&shield);
    atomic_fetch_add(&slow->handled, 1);
    return 0;
}

static void count_slow_drop(void *message)
{
    (void)message;
    atomic_fetch_add(&slow_state.dropped, 1);
}

TASK_TEST(handler_cancelled_ends_after_the_message_in_hand)
{
    struct number_address actor;
    struct tr_task task;
    struct tr_actor_options options = { .drop = count_slow_drop, .task = &task };
    expect_int(tr_spawn_handler(&actor, handle_slowly, &slow_state, &options), 0);
    for (int i = 0; i < 3; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    wait_until(atomic_load(&slow_state.entered));
    expect_int(tr_task_cancel(task), 0);
    atomic_store(&slow_state.release, 1);
    expect_int(test_join(task), -ECANCELED);
    expect_int(atomic_load(&slow_state.handled), 1);
    expect_int(atomic_load(&slow_state.dropped), 2);
}

static void suspend_in_stopped(void *state, int reason)
{
    (void)reason;
    expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
    atomic_store((atomic_int *)state, 1);
}

static int ignore_message(void *state, void *message)
{
    (void)state;
    (void)message;
    return 0;
}

TASK_TEST(stopped_callback_may_suspend)
{
    static atomic_int done;
    struct number_address actor;
    struct tr_task task;
    struct tr_actor_options options = { .stopped = suspend_in_stopped, .task = &task };
    expect_int(tr_spawn_handler(&actor, ignore_message, &done, &options), 0);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), 0);
    expect_int(atomic_load(&done), 1);
}

static int check_copied_state(void *state, void *message)
{
    int64_t *value = state;
    *value += ((struct number *)message)->value;
    tr_reply(((struct number *)message)->reply, value);
    return 0;
}

TASK_TEST(handler_state_of_argument_bytes_is_copied)
{
    int64_t state = 40;
    struct number_address actor;
    expect_int(tr_spawn_handler(&actor, check_copied_state, &state,
                                (&(struct tr_actor_options){ .argument_bytes = sizeof state })),
               0);
    state = -1;
    expect_int(test_ask(actor, 0, 1), 41);
    expect_int(test_ask(actor, 0, 1), 42);
    expect_int(state, -1);
    struct number_address shared = test_handler(check_copied_state, &state, 4, NULL);
    expect_int(test_ask(shared, 0, 2), 1);
    expect_int(state, 1);
}

static int call_and_send_inside(void *state, void *message)
{
    struct number_address *next = state;
    struct number *number = message;
    int64_t answer = 0;
    expect_int(tr_call(*next, &answer, tr_after(LONG_TIME), &(struct number){ .value = number->value }), 0);
    expect_int(tr_send(*next, TR_FOREVER, &(struct number){ .value = 1 }), 0);
    expect_int(tr_sleep(10 * TR_MICROSECOND), 0);
    tr_reply(number->reply, &answer);
    return 0;
}

TASK_TEST(handler_may_call_send_and_sleep)
{
    struct number_address sum = test_loop(sum_loop, NULL, 2, NULL);
    struct number_address middle = test_handler(call_and_send_inside, &sum, 2, NULL);
    struct number_address outer = test_handler(call_and_send_inside, &middle, 2, NULL);
    /* Each call of the middle adds its value and then 1; the outer one calls and sends to the middle. */
    expect_int(test_ask(outer, 0, 10), 10);
    for (int i = 0; i < 50; i++)
        test_ask(outer, 0, 0);
    wait_until(test_ask(sum, 0, 0) == 10 + 51 * 3);
}

TASK_TEST(handler_idle_holds_neither_stack_nor_storage)
{
    struct tr_census before, now;
    tr_census(&before);
    static struct tally tallies[500];
    static struct number_address actors[500];
    for (int i = 0; i < 500; i++) {
        actors[i] = start_tally(&tallies[i], NULL);
        expect_int(test_ask(actors[i], i % 3, 1), 1);
    }
    /* A worker that sleeps sits on a stack too, and may have taken it after the first census. */
    unsigned loops = tr_worker_count();
    wait_until((tr_census(&now), now.storages == before.storages && now.stacks <= before.stacks + loops));
    expect_int((int64_t)now.tasks, (int64_t)before.tasks + 500);
}

/* ---- self, info, options -------------------------------------------------------------------------------------- */

TR_ADDRESS_TYPE(byte_address, char);

static int tell_address(void *argument)
{
    struct number_address *out = argument;
    struct byte_address wrong;
    struct number message;
    expect_int(tr_self(out), 0);
    expect_int(tr_self(&wrong), -EINVAL);
    expect_int(strcmp(tr_task_name(), "teller"), 0);
    while (tr_receive(&message, TR_FOREVER) == 0)
        tr_reply(message.reply, &message.value);
    return 0;
}

TASK_TEST(self_is_the_address_that_spawn_gave)
{
    static struct number_address seen;
    struct number_address actor;
    expect_int(tr_self(&actor), -EINVAL); /* a task, but no actor */
    expect_int(tr_spawn(&actor, tell_address, &seen, (&(struct tr_actor_options){ .name = "teller" })), 0);
    expect_int(test_ask(actor, 0, 9), 9);
    expect(seen.tri_raw.tri_record == actor.tri_raw.tri_record);
    expect(seen.tri_raw.tri_generation == actor.tri_raw.tri_generation);
    expect_int(test_ask(seen, 0, 8), 8);
}

static int keep_requests(void *argument)
{
    atomic_int *go = argument;
    struct number kept[8];
    unsigned count = 0;
    wait_until(atomic_load(go));
    while (count < 8 && tr_receive(&kept[count], TR_FOREVER) == 0)
        if (kept[count].kind == 1)
            count++;
        else
            break;
    for (unsigned i = 0; i < count; i++)
        expect_int(tr_reply(kept[i].reply, &kept[i].value), 0);
    struct number message;
    while (tr_receive(&message, TR_FOREVER) == 0)
        continue;
    return 0;
}

static int ask_kept(void *argument)
{
    return (int)test_ask(*(struct number_address *)argument, 1, 3);
}

TASK_TEST(info_counts_capacity_queued_and_owed)
{
    static atomic_int go;
    struct number_address actor = test_loop(keep_requests, &go, 9, NULL);
    struct tr_task callers[5];
    for (int i = 0; i < 5; i++)
        callers[i] = test_task(ask_kept, &actor);
    wait_until(test_queued(actor) == 5);
    expect_int(test_owed(actor), 0);
    struct tr_actor_info info;
    expect_int(tr_actor_info(actor, &info), 0);
    expect_int(info.capacity, 9);
    atomic_store(&go, 1);
    wait_until(test_owed(actor) == 5);
    expect_int(test_queued(actor), 0);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .kind = 0 }), 0);
    for (int i = 0; i < 5; i++)
        expect_int(test_join(callers[i]), 3);
    wait_until(test_owed(actor) == 0);
}

TASK_TEST(options_impossible_einval)
{
    struct number_address actor;
    expect_int(tr_spawn(&actor, sum_loop, NULL, (&(struct tr_actor_options){ .capacity = 65537 })), -EINVAL);
    expect_int(tr_spawn_handler(&actor, ignore_message, NULL, (&(struct tr_actor_options){ .capacity = UINT32_MAX })),
               -EINVAL);
    expect_int(tr_spawn(&actor, sum_loop, NULL, (&(struct tr_actor_options){ .pin = TR_PIN(9999) })), -EINVAL);
}

TASK_TEST(options_default_capacity_is_64)
{
    static atomic_int go;
    struct number_address actor;
    expect_int(tr_spawn(&actor, keep_requests, &go, NULL), 0);
    for (int i = 0; i < 64; i++)
        expect_int(tr_try_send(actor, &(struct number){ .value = i }), 0);
    expect_int(tr_try_send(actor, &(struct number){ .value = 64 }), -EAGAIN);
    atomic_store(&go, 1);
}

static int default_name(void *argument)
{
    (void)argument;
    return strcmp(tr_task_name(), "actor");
}

TASK_TEST(options_default_name_is_actor)
{
    struct number_address actor;
    struct tr_task task;
    expect_int(tr_spawn(&actor, default_name, NULL, (&(struct tr_actor_options){ .task = &task })), 0);
    expect_int(test_join(task), 0);
}

static int pinned_handler(void *state, void *message)
{
    int expected = (int)(intptr_t)state;
    expect_int(tr_worker_index(), expected);
    expect_int(tr_sleep(10 * TR_MICROSECOND), 0);
    expect_int(tr_worker_index(), expected);
    tr_reply(((struct number *)message)->reply, &((struct number *)message)->value);
    return 0;
}

TASK_TEST(options_pin_holds_for_every_message)
{
    for (int w = 0; w < (int)tr_worker_count(); w++) {
        struct number_address actor;
        expect_int(tr_spawn_handler(&actor, pinned_handler, (void *)(intptr_t)w,
                                    (&(struct tr_actor_options){ .pin = TR_PIN(w) })),
                   0);
        for (int i = 0; i < 50; i++)
            expect_int(test_ask(actor, 0, i), i);
    }
}

static int deep_handler(void *state, void *message)
{
    volatile char big[300 << 10];
    (void)state;
    for (size_t i = 0; i < sizeof big; i += 1024)
        big[i] = 1;
    expect_int(tr_yield(), 0);
    tr_reply(((struct number *)message)->reply, &((struct number *)message)->value);
    return big[1024] - 1;
}

TASK_TEST(options_stack_bytes_of_a_handler_fits)
{
    struct number_address actor;
    expect_int(tr_spawn_handler(&actor, deep_handler, NULL, (&(struct tr_actor_options){ .stack_bytes = 400 << 10 })),
               0);
    for (int i = 0; i < 20; i++)
        expect_int(test_ask(actor, 0, i), i);
}

int main(void)
{
    return test_main("actor",
                     TESTS(loop_receives_until_stopped_and_its_result_is_joined,
                           handler_is_called_once_per_message_in_order,
                           handler_that_suspends_gets_the_next_message_after_its_return,
                           handler_tr_end_ends_with_result_0, handler_negative_ends_with_the_reason,
                           handler_stopped_before_any_message_still_says_goodbye, handler_idle_cancelled_ends_ecanceled,
                           handler_cancelled_ends_after_the_message_in_hand, stopped_callback_may_suspend,
                           handler_state_of_argument_bytes_is_copied, handler_may_call_send_and_sleep,
                           handler_idle_holds_neither_stack_nor_storage, self_is_the_address_that_spawn_gave,
                           info_counts_capacity_queued_and_owed, options_impossible_einval,
                           options_default_capacity_is_64, options_default_name_is_actor,
                           options_pin_holds_for_every_message, options_stack_bytes_of_a_handler_fits));
}
