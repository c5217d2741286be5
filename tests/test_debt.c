/* SPDX-License-Identifier: MIT */
/*
 * test_debt.c: a caller never hangs on the dead. However a debtor ends, every request that it still owes returns at
 * once: -ESRCH if it was never received, -EPIPE if it was. Deferring keeps a debt, forwarding moves it.
 */
#include "tests/support.h"

struct caller {
    struct number_address to;
    int64_t kind, value;
    int rc;
    int64_t answer;
    atomic_int done;
};

static int call_and_note(void *argument)
{
    struct caller *caller = argument;
    struct number request = { .kind = caller->kind, .value = caller->value };
    caller->answer = INT64_MIN;
    caller->rc = tr_call(caller->to, &caller->answer, tr_after(LONG_TIME), &request);
    atomic_store(&caller->done, 1);
    return caller->rc;
}

static struct tr_task start_caller(struct caller *caller, struct number_address to, int64_t kind, int64_t value)
{
    *caller = (struct caller){ .to = to, .kind = kind, .value = value };
    return test_task(call_and_note, caller);
}

/* ---- in the middle of a receive ---------------------------------------------------------------------------------- */

static atomic_int received_within;

static void receive_within(void *message)
{
    struct number another;
    (void)message;
    expect_int(tr_try_receive(&another), 0);
    atomic_fetch_add(&received_within, 1);
}

static int receive_once(void *go)
{
    struct number message;
    wait_until(atomic_load((atomic_int *)go));
    return tr_receive(&message, TR_FOREVER);
}

/* The drop function of an expired request takes the next; the receive goes on with the one after, and both are owed. */
TASK_TEST(loop_actor_whose_drop_receives_owes_both)
{
    struct caller callers[2];
    struct tr_task actor, tasks[2];
    struct number_address address;
    atomic_int go = 0;
    int64_t answer;
    atomic_store(&received_within, 0);
    struct tr_actor_options options = { .capacity = 4, .drop = receive_within, .task = &actor };
    expect_int(tr_spawn(&address, receive_once, &go, &options), 0);
    expect_int(tr_call(address, &answer, tr_after(TR_MILLISECOND), &(struct number){ 0 }), -ETIMEDOUT);
    for (int i = 0; i < 2; i++)
        tasks[i] = start_caller(&callers[i], address, 0, i);
    tr_sleep(10 * TR_MILLISECOND);
    atomic_store(&go, 1);
    for (int i = 0; i < 2; i++)
        expect_int(test_join(tasks[i]), -EPIPE);
    expect_int(test_join(actor), 0);
    expect_int(atomic_load(&received_within), 1);
}

/* ---- the end of a loop actor ---------------------------------------------------------------------------------- */

struct end {
    atomic_int taken, go;
    int take, result;
};

/* Receives some requests, answers none, and returns. */
static int take_and_end(void *argument)
{
    struct end *end = argument;
    struct number message;
    while (atomic_load(&end->taken) < end->take) {
        expect_int(tr_receive(&message, TR_FOREVER), 0);
        atomic_fetch_add(&end->taken, 1);
    }
    wait_until(atomic_load(&end->go));
    return end->result;
}

static void check_end(int take, int count, uint32_t capacity, int result)
{
    struct end end = { .take = take, .result = result };
    struct caller callers[12];
    struct tr_task actor_task, tasks[12];
    struct number_address actor = test_loop(take_and_end, &end, capacity, &actor_task);
    for (int i = 0; i < count; i++)
        tasks[i] = start_caller(&callers[i], actor, 0, i);
    wait_until(atomic_load(&end.taken) == take);
    if (count - take <= (int)capacity)
        wait_until(test_queued(actor) == (unsigned)(count - take));
    else
        wait_until(test_queued(actor) == capacity);
    expect_int(test_owed(actor), take);
    atomic_store(&end.go, 1);
    int broken = 0, untaken = 0;
    for (int i = 0; i < count; i++) {
        int rc = test_join(tasks[i]);
        broken += rc == -EPIPE;
        untaken += rc == -ESRCH;
    }
    expect_int(broken, take);
    expect_int(untaken, count - take);
    expect_int(test_join(actor_task), result);
}

TASK_TEST(call_debtor_returns_epipe)
{
    check_end(1, 1, 4, 0);
    check_end(5, 5, 4, -EIO);
}

TASK_TEST(call_queued_when_actor_ends_esrch)
{
    check_end(0, 1, 4, 0);
    check_end(0, 4, 4, -EIO);
}

TASK_TEST(call_in_hand_queued_and_waiting_for_room_when_actor_ends)
{
    check_end(3, 6, 4, 0);
    check_end(2, 12, 4, 0);
    check_end(0, 12, 1, 0);
    check_end(12, 12, 1, 0);
}

TASK_TEST(call_queued_and_owed_when_a_stopped_actor_returns)
{
    struct caller callers[3];
    struct tr_task actor_task, tasks[3];
    struct end end = { .take = 1, .go = 0 };
    struct number_address actor = test_loop(take_and_end, &end, 4, &actor_task);
    for (int i = 0; i < 3; i++)
        tasks[i] = start_caller(&callers[i], actor, 0, i);
    wait_until(test_owed(actor) == 1 && test_queued(actor) == 2);
    atomic_store(&end.go, 1);
    tr_actor_stop(actor);
    int sum = 0;
    for (int i = 0; i < 3; i++)
        sum += test_join(tasks[i]);
    expect_int(sum, -EPIPE - 2 * ESRCH);
    expect_int(test_join(actor_task), 0);
}

/* ---- the end of a handler, and its silence -------------------------------------------------------------------- */

enum { REPLY, FORGET, DEFER, END_SILENT, FAIL_SILENT, DEFER_AND_END, SLEEP_AND_FORGET, ANSWER_KEPT };

struct keeper {
    struct number_reply kept[16];
    int count;
    atomic_int deferred;
};

static int keep_or_forget(void *state, void *message)
{
    struct keeper *keeper = state;
    struct number *number = message;
    switch (number->kind) {
    case REPLY:
        expect_int(tr_reply(number->reply, &number->value), 0);
        return 0;
    case DEFER_AND_END:
    case DEFER:
        expect_int(tr_defer(number->reply), 0);
        keeper->kept[keeper->count++] = number->reply;
        atomic_fetch_add(&keeper->deferred, 1);
        return number->kind == DEFER ? 0 : TR_END;
    case END_SILENT:
        return TR_END;
    case FAIL_SILENT:
        return -EIO;
    case SLEEP_AND_FORGET:
        expect_int(tr_sleep(TR_MILLISECOND), 0);
        return 0;
    case ANSWER_KEPT:
        /* After the last answer the test may be over, and its keeper gone. */
        for (int left = keeper->count; left > 0; left--)
            expect_int(tr_reply(keeper->kept[left - 1], &number->value), 0);
        return 0;
    default:
        return 0;
    }
}

TASK_TEST(handler_that_lets_a_request_fall_epipe)
{
    struct keeper keeper = { 0 };
    struct number_address actor = test_handler(keep_or_forget, &keeper, 4, NULL);
    int64_t answer = 3;
    for (int i = 0; i < 50; i++) {
        int kind = i % 2 ? FORGET : SLEEP_AND_FORGET;
        expect_int(tr_call(actor, &answer, TR_FOREVER, &(struct number){ .kind = kind }), -EPIPE);
        expect_int(answer, 3);
        expect_int(test_ask(actor, REPLY, i), i);
        wait_until(test_owed(actor) == 0);
    }
}

TASK_TEST(handler_that_ends_in_mid_request_epipe)
{
    for (int kind = END_SILENT; kind <= DEFER_AND_END; kind++) {
        struct keeper keeper = { 0 };
        struct tr_task task;
        int64_t answer = 3;
        struct number_address actor = test_handler(keep_or_forget, &keeper, 4, &task);
        expect_int(tr_call(actor, &answer, TR_FOREVER, &(struct number){ .kind = kind }), -EPIPE);
        expect_int(test_join(task), kind == FAIL_SILENT ? -EIO : 0);
        expect_int(tr_call(actor, &answer, TR_FOREVER, &(struct number){ .kind = REPLY }), -ESRCH);
    }
}

TASK_TEST(defer_keeps_the_debt_until_a_later_message)
{
    struct keeper keeper = { 0 };
    struct caller callers[10];
    struct tr_task tasks[10];
    struct number_address actor = test_handler(keep_or_forget, &keeper, 4, NULL);
    for (int i = 0; i < 10; i++)
        tasks[i] = start_caller(&callers[i], actor, DEFER, i);
    wait_until(test_owed(actor) == 10);
    expect_int(test_ask(actor, REPLY, 4), 4);
    wait_until(test_owed(actor) == 10); /* the one just answered may be counted a moment longer */
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .kind = ANSWER_KEPT, .value = 71 }), 0);
    for (int i = 0; i < 10; i++) {
        expect_int(test_join(tasks[i]), 0);
        expect_int(callers[i].answer, 71);
    }
    wait_until(test_owed(actor) == 0);
}

TASK_TEST(defer_then_the_actor_ends_epipe)
{
    for (int how = 0; how < 3; how++) {
        struct keeper keeper = { 0 };
        struct caller callers[5];
        struct tr_task actor_task, tasks[5];
        struct number_address actor = test_handler(keep_or_forget, &keeper, 8, &actor_task);
        for (int i = 0; i < 5; i++)
            tasks[i] = start_caller(&callers[i], actor, DEFER, i);
        wait_until(atomic_load(&keeper.deferred) == 5);
        if (how == 0)
            expect_int(tr_actor_stop(actor), 0);
        else if (how == 1)
            expect_int(tr_actor_cancel(actor), 0);
        else
            expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .kind = END_SILENT }), 0);
        for (int i = 0; i < 5; i++)
            expect_int(test_join(tasks[i]), -EPIPE);
        expect_int(test_join(actor_task), how == 1 ? -ECANCELED : 0);
        expect_int(tr_reply(keeper.kept[0], &(int64_t){ 1 }), -ESRCH); /* after the end: nobody waits */
        expect(!tr_reply_wanted(keeper.kept[0]));
    }
}

static int defer_given_up(void *state, void *message)
{
    struct number *number = message;
    atomic_int *steps = state;
    if (number->kind == REPLY)
        return tr_reply(number->reply, &number->value);
    atomic_store(steps, 1);
    wait_until(!tr_reply_wanted(number->reply));
    expect_int(tr_defer(number->reply), -ESRCH);
    atomic_store(steps, 2);
    return 0;
}

TASK_TEST(defer_of_a_request_given_up_esrch)
{
    static atomic_int steps;
    int64_t answer;
    struct number_address actor = test_handler(defer_given_up, &steps, 4, NULL);
    expect_int(tr_call(actor, &answer, tr_after(30 * TR_MILLISECOND), &(struct number){ .kind = DEFER }), -ETIMEDOUT);
    expect_int(test_ask(actor, REPLY, 1), 1);
    expect_int(atomic_load(&steps) != 1, 1);
    wait_until(test_owed(actor) == 0);
}

static int defer_for_another(void *reply)
{
    return tr_defer(*(struct number_reply *)reply);
}

static int have_another_defer(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    expect_int(test_join(test_task(defer_for_another, &number->reply)), -ESRCH); /* it does not owe the answer */
    if (number->kind != DEFER)
        return 0;
    expect_int(tr_defer(number->reply), 0);
    expect_int(test_join(test_task(defer_for_another, &number->reply)), -ESRCH);
    return tr_reply(number->reply, &number->value);
}

TASK_TEST(defer_by_who_does_not_owe_it_esrch)
{
    struct number_address actor = test_handler(have_another_defer, NULL, 4, NULL);
    expect_int(tr_call(actor, &(int64_t){ 0 }, TR_FOREVER, &(struct number){ .kind = FORGET }), -EPIPE);
    expect_int(test_ask(actor, DEFER, 5), 5);
}

/* ---- forwarding ----------------------------------------------------------------------------------------------- */

struct front {
    struct number_address back;
    atomic_int forwarded, go;
    int then;    /* what the front does after forwarding: return 0 or TR_END */
    bool forget; /* after a failed forward it says nothing */
    int rc;
};

/* Forwarders may still be at their last line when the caller has its answer, so they outlive the test's frame. */
static struct front *new_front(struct number_address back, int then)
{
    struct front *front = test_new(sizeof *front);
    front->back = back;
    front->then = then;
    return front;
}

static int forward_request(void *state, void *message)
{
    struct front *front = state;
    struct number *number = message;
    struct number passed = { .kind = number->kind, .value = number->value + 1 };
    front->rc = tr_forward(number->reply, front->back, tr_after(LONG_TIME), &passed);
    if (front->rc < 0) /* the debt has not moved */
        return front->forget ? 0 : tr_reply(number->reply, &number->value);
    atomic_fetch_add(&front->forwarded, 1);
    return front->then;
}

TASK_TEST(forward_moves_the_debt_and_the_new_debtor_answers)
{
    struct keeper keeper = { 0 };
    struct front *front = new_front(test_handler(keep_or_forget, &keeper, 4, NULL), 0);
    struct number_address actor = test_handler(forward_request, front, 4, NULL);
    for (int i = 0; i < 200; i++)
        expect_int(test_ask(actor, REPLY, i), i + 1);
    wait_until(atomic_load(&front->forwarded) == 200);
    wait_until(test_owed(actor) == 0);
}

TASK_TEST(forward_then_the_forwarder_ends_the_caller_still_gets_its_answer)
{
    struct keeper keeper = { 0 };
    struct caller caller;
    struct tr_task front_task;
    struct number_address back = test_handler(keep_or_forget, &keeper, 4, NULL);
    struct front *front = new_front(back, TR_END);
    struct number_address actor = test_handler(forward_request, front, 4, &front_task);
    struct tr_task task = start_caller(&caller, actor, DEFER, 1);
    expect_int(test_join(front_task), 0);
    wait_until(test_owed(back) == 1);
    expect_int(atomic_load(&caller.done), 0);
    expect_int(tr_send(back, TR_FOREVER, &(struct number){ .kind = ANSWER_KEPT, .value = 8 }), 0);
    expect_int(test_join(task), 0);
    expect_int(caller.answer, 8);
}

TASK_TEST(forward_moves_debt_and_new_debtor_death_resolves)
{
    static const int kinds[] = { FORGET, END_SILENT, FAIL_SILENT, DEFER_AND_END };
    for (int i = 0; i < 4; i++) {
        struct keeper keeper = { 0 };
        struct front *front = new_front(test_handler(keep_or_forget, &keeper, 4, NULL), 0);
        struct number_address actor = test_handler(forward_request, front, 4, NULL);
        int64_t answer = 5;
        expect_int(tr_call(actor, &answer, TR_FOREVER, &(struct number){ .kind = kinds[i] }), -EPIPE);
        expect_int(answer, 5);
    }
}

TASK_TEST(forwarded_and_queued_when_the_new_debtor_ends_is_resolved)
{
    struct end end = { .take = 0 };
    struct tr_task back_task;
    struct caller caller;
    struct front *front = new_front(test_loop(take_and_end, &end, 4, &back_task), 0);
    struct number_address actor = test_handler(forward_request, front, 4, NULL);
    struct tr_task task = start_caller(&caller, actor, REPLY, 1);
    wait_until(atomic_load(&front->forwarded) == 1);
    expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
    expect_int(atomic_load(&caller.done), 0);
    atomic_store(&end.go, 1);
    int rc = test_join(task);
    expect(rc == -EPIPE || rc == -ESRCH); /* taken once, by the forwarder, and not taken by the one it went to */
    expect_int(test_join(back_task), 0);
}

TASK_TEST(forward_to_a_stale_address_leaves_the_debt)
{
    struct tr_task task;
    struct end end = { .go = 1 };
    struct front *front = new_front(test_loop(take_and_end, &end, 4, &task), 0);
    expect_int(test_join(task), 0);
    struct number_address actor = test_handler(forward_request, front, 4, NULL);
    expect_int(test_ask(actor, REPLY, 17), 17);
    expect_int(front->rc, -ESRCH);
}

TASK_TEST(forward_failed_and_then_let_fall_epipe)
{
    struct tr_task task;
    struct end end = { .go = 1 };
    int64_t answer;
    struct front *front = new_front(test_loop(take_and_end, &end, 4, &task), 0);
    front->forget = true;
    expect_int(test_join(task), 0);
    struct number_address actor = test_handler(forward_request, front, 4, NULL);
    expect_int(tr_call(actor, &answer, tr_after(LONG_TIME), &(struct number){ .kind = REPLY }), -EPIPE);
}

static int forward_now(void *argument)
{
    struct front *front = argument;
    struct number message;
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    struct number passed = { .kind = REPLY, .value = -1 };
    expect_int(tr_forward(message.reply, front->back, TR_NOW, &passed), -ETIMEDOUT);
    expect_int(tr_forward(message.reply, front->back, tr_after(TR_MILLISECOND), &passed), -ETIMEDOUT);
    expect_int(tr_reply(message.reply, &message.value), 0);
    return 0;
}

TASK_TEST(forward_to_a_full_mailbox_times_out_and_leaves_the_debt)
{
    struct end end = { .take = 0 };
    struct tr_task back_task, front_task;
    struct front *front = new_front(test_loop(take_and_end, &end, 1, &back_task), 0);
    expect_int(tr_send(front->back, TR_FOREVER, &(struct number){ .value = 1 }), 0);
    struct number_address actor = test_loop(forward_now, front, 4, &front_task);
    expect_int(test_ask(actor, REPLY, 23), 23);
    expect_int(test_join(front_task), 0);
    expect_int(test_queued(front->back), 1);
    atomic_store(&end.go, 1);
    expect_int(test_join(back_task), 0);
}

static int forward_given_up(void *argument)
{
    struct front *front = argument;
    struct number message;
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    wait_until(!tr_reply_wanted(message.reply));
    struct number passed = { .kind = REPLY };
    expect_int(tr_forward(message.reply, front->back, TR_FOREVER, &passed), -ESRCH);
    return 0;
}

/* To a mailbox that has had no message yet, and to one that has: the short way. */
TASK_TEST(forward_of_a_request_given_up_sends_nothing)
{
    for (uint32_t queued = 0; queued < 2; queued++) {
        struct end end = { .take = 0 };
        struct tr_task back_task, front_task;
        int64_t answer;
        struct front *front = new_front(test_loop(take_and_end, &end, 4, &back_task), 0);
        struct number_address actor;
        struct tr_actor_options options = { .keep_expired = true, .task = &front_task };
        if (queued)
            expect_int(tr_send(front->back, TR_FOREVER, &(struct number){ .kind = FORGET }), 0);
        expect_int(tr_spawn(&actor, forward_given_up, front, &options), 0);
        int rc = tr_call(actor, &answer, tr_after(5 * TR_MILLISECOND), &(struct number){ .kind = REPLY });
        expect_int(rc, -ETIMEDOUT);
        expect_int(test_join(front_task), 0);
        expect_int(test_queued(front->back), queued);
        atomic_store(&end.go, 1);
        expect_int(test_join(back_task), 0);
    }
}

enum { CROWD = 200 };

static int note_turn(void *argument)
{
    atomic_store((atomic_int *)argument, 1);
    return 0;
}

/* Everything is there for all that it does. */
static int forward_a_crowd(void *argument)
{
    struct front *front = argument;
    struct number_address self;
    struct number message, passed = { .kind = REPLY };
    static atomic_int turn;
    int forwarded = 0;
    expect_int(tr_self(&self), 0);
    wait_until(test_queued(self) == CROWD);
    atomic_store(&turn, 0);
    struct tr_task task = test_task(note_turn, &turn);
    for (; !atomic_load(&turn) && tr_try_receive(&message) == 0; forwarded++)
        expect_int(tr_forward(message.reply, front->back, TR_FOREVER, &passed), 0);
    expect(forwarded > 0 && forwarded <= 128);
    for (; tr_try_receive(&message) == 0; forwarded++)
        expect_int(tr_forward(message.reply, front->back, TR_FOREVER, &passed), 0);
    expect_int(forwarded, CROWD);
    return test_join(task);
}

/* Another task gets its turn although no forward has to wait. */
TASK_TEST_ON(1, forward_uses_up_the_budget)
{
    struct keeper keeper = { 0 };
    struct tr_task front_task, tasks[CROWD];
    struct caller callers[CROWD];
    struct front *front = new_front(test_handler(keep_or_forget, &keeper, CROWD, NULL), 0);
    struct number_address actor = test_loop(forward_a_crowd, front, CROWD, &front_task);
    for (int i = 0; i < CROWD; i++)
        tasks[i] = start_caller(&callers[i], actor, REPLY, i);
    for (int i = 0; i < CROWD; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(test_join(front_task), 0);
}

static int forward_onward(void *state, void *message)
{
    struct number_address *ring = state;
    struct number *number = message;
    if (number->value == 0)
        return tr_reply(number->reply, &number->kind);
    struct number passed = { .kind = number->kind + 1, .value = number->value - 1 };
    int rc = tr_forward(number->reply, ring[(number->kind + 1) % 3], tr_after(LONG_TIME), &passed);
    expect_int(rc, 0);
    return 0;
}

TASK_TEST(forward_along_a_ring_many_times_the_last_one_answers)
{
    static struct number_address ring[3];
    for (int i = 0; i < 3; i++)
        ring[i] = test_handler(forward_onward, ring, 4, NULL);
    for (int hops = 0; hops < 100; hops++)
        expect_int(test_ask(ring[0], 0, hops), hops);
    for (int i = 0; i < 3; i++)
        wait_until(test_owed(ring[i]) == 0);
}

/* ---- requests given up while they are owed -------------------------------------------------------------------- */

/* Looks at whether an answer is wanted, and keeps nothing of those that are not. */
static int forget_unwanted(void *argument)
{
    struct number message;
    (void)argument;
    while (tr_receive(&message, TR_FOREVER) == 0)
        if (message.kind == REPLY)
            tr_reply(message.reply, &message.value);
    return 0;
}

TASK_TEST(owed_and_given_up_leaves_neither_debt_nor_slot)
{
    struct tr_census before, now;
    struct number_address actor = test_loop(forget_unwanted, NULL, 4, NULL);
    int64_t answer;
    expect_int(test_ask(actor, REPLY, 1), 1);
    tr_census(&before);
    for (int i = 0; i < 50; i++) {
        int rc = tr_call(actor, &answer, tr_after(TR_MILLISECOND), &(struct number){ .kind = FORGET });
        expect_int(rc, -ETIMEDOUT);
    }
    expect_int(test_ask(actor, REPLY, 2), 2);
    wait_until(test_owed(actor) <= 1);
    wait_until((tr_census(&now), now.slots <= before.slots + 1));
}

int main(void)
{
    return test_main("debt",
                     TESTS(loop_actor_whose_drop_receives_owes_both, call_debtor_returns_epipe,
                           call_queued_when_actor_ends_esrch, call_in_hand_queued_and_waiting_for_room_when_actor_ends,
                           call_queued_and_owed_when_a_stopped_actor_returns, handler_that_lets_a_request_fall_epipe,
                           handler_that_ends_in_mid_request_epipe, defer_keeps_the_debt_until_a_later_message,
                           defer_then_the_actor_ends_epipe, defer_of_a_request_given_up_esrch,
                           defer_by_who_does_not_owe_it_esrch, forward_moves_the_debt_and_the_new_debtor_answers,
                           forward_then_the_forwarder_ends_the_caller_still_gets_its_answer,
                           forward_moves_debt_and_new_debtor_death_resolves,
                           forwarded_and_queued_when_the_new_debtor_ends_is_resolved,
                           forward_to_a_stale_address_leaves_the_debt, forward_failed_and_then_let_fall_epipe,
                           forward_to_a_full_mailbox_times_out_and_leaves_the_debt,
                           forward_of_a_request_given_up_sends_nothing, forward_uses_up_the_budget,
                           forward_along_a_ring_many_times_the_last_one_answers,
                           owed_and_given_up_leaves_neither_debt_nor_slot));
}
