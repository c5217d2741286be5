/* SPDX-License-Identifier: MIT */
/*
 * test_cycle.c: a call or a wait for room that would wait for itself returns -EDEADLK, and no other does: not one that a
 * deadline ends, nor one that somebody else can still bring to an end.
 */
#include "tests/support.h"

enum { REFUSED = 70, MOST = 4 };
enum { CALL, GO };

/* Asks the next one, unless that is NULL: then it just answers. */
struct member {
    struct number_address next;
    atomic_bool asks;
    tr_time (*deadline)(void);
    int rc;
    atomic_int told;
};

static tr_time never(void)
{
    return TR_FOREVER;
}

static tr_time next_to_never(void) /* no deadline either: time.h */
{
    return TR_FOREVER - TR_SECOND;
}

static tr_time soon(void)
{
    return tr_after(10 * TR_MILLISECOND);
}

static void ask_next(struct member *member, const struct number *message)
{
    int64_t answer = message->value;
    member->rc = member->asks ? tr_call(member->next, &answer, member->deadline(),
                                        &(struct number){ .value = message->value + 1 })
                              : 0;
    atomic_fetch_add(&member->told, member->rc == -EDEADLK);
    if (message->kind == GO)
        return;
    int rc = member->rc == 0 ? tr_reply(message->reply, &answer) : tr_reply_error(message->reply, REFUSED);
    expect(rc == 0 || rc == -ESRCH); /* the caller may have been told of the ring, too */
}

static int handle(void *state, void *message)
{
    ask_next(state, message);
    return 0;
}

static int loop(void *argument)
{
    struct number message;
    while (tr_receive(&message, TR_FOREVER) == 0)
        ask_next(argument, &message);
    return 0;
}

/* The members in `loops` are loop actors. */
static struct member *make_ring(struct number_address *addresses, struct tr_task *tasks, int count, unsigned loops)
{
    struct member *members = test_new((size_t)count * sizeof *members);
    for (int i = 0; i < count; i++) {
        members[i].asks = true;
        members[i].deadline = i % 2 ? never : next_to_never;
        struct tr_task *task = tasks ? &tasks[i] : NULL;
        addresses[i] =
            loops & 1u << i ? test_loop(loop, &members[i], 8, task) : test_handler(handle, &members[i], 8, task);
    }
    for (int i = 0; i < count; i++)
        members[i].next = addresses[(i + 1) % count];
    return members;
}

static void stop_all(struct number_address *addresses, int count)
{
    for (int i = 0; i < count; i++)
        tr_actor_stop(addresses[i]);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static int count_told(struct member *members, int count)
{
    int told = 0;
    for (int i = 0; i < count; i++)
        told += atomic_load(&members[i].told);
    return told;
}

static void ask_ring(int count, unsigned loops, bool in_order)
{
    struct number_address addresses[MOST];
    int64_t answer;
    struct member *members = make_ring(addresses, NULL, count, loops);
    expect_int(tr_call(addresses[0], &answer, tr_after(LONG_TIME), &(struct number){ .value = 1 }), REFUSED);
    for (int i = 0; i < count && in_order; i++)
        expect_int(members[i].rc, i == count - 1 ? -EDEADLK : REFUSED);
    wait_until(count_told(members, count) >= 1); /* who is told early gets what is queued, and may be told again */
    for (int i = 0; i < count; i++)
        members[i].asks = false;
    for (int i = 0; i < count; i++)
        expect_int(test_ask(addresses[i], CALL, 8), 8);
    stop_all(addresses, count);
}

static void ask_all_rings(bool in_order)
{
    test_log_capture(TR_LOG_ERROR); /* too many to be read */
    for (int count = 2; count <= MOST; count++)
        for (unsigned loops = 0; loops < 1u << count; loops++)
            ask_ring(count, loops, in_order);
    test_log_release();
}

TASK_TEST_ON(1, ring_of_calls_is_refused)
{
    ask_all_rings(true);
}

/* Whoever of them is the last to write down that it waits. */
TASK_TEST_ON(2, ring_of_calls_on_two_workers_is_refused)
{
    ask_all_rings(false);
}

TASK_TEST_ON(1, refusal_names_all)
{
    struct member members[2] = { { .asks = true, .deadline = never }, { .asks = true, .deadline = never } };
    struct tr_actor_options options = { .name = "the-hen" };
    int64_t answer;
    test_log_capture(TR_LOG_INFO);
    expect_int(tr_spawn_handler(&members[1].next, handle, &members[0], &options), 0);
    options.name = "the-egg";
    expect_int(tr_spawn_handler(&members[0].next, handle, &members[1], &options), 0);
    expect_int(tr_call(members[1].next, &answer, tr_after(LONG_TIME), &(struct number){ 0 }), REFUSED);
    expect(test_log_has("'the-egg' waits for 'the-hen', which waits for 'the-egg'"));
    test_log_release();
    expect_int(tr_actor_stop(members[0].next), 0);
    expect_int(tr_actor_stop(members[1].next), 0);
}

/* Of those who close a ring at once at least one is told, and nobody hangs. */
static void ask_at_once(int count, unsigned loops)
{
    struct number_address addresses[MOST];
    struct tr_task tasks[MOST];
    test_log_capture(TR_LOG_ERROR);
    struct member *members = make_ring(addresses, tasks, count, loops);
    for (int i = 0; i < count; i++)
        expect_int(tr_send(addresses[i], tr_after(LONG_TIME), &(struct number){ .kind = GO }), 0);
    wait_until(count_told(members, count) > 0);
    stop_all(addresses, count);
    for (int i = 0; i < count; i++)
        expect_int(test_join(tasks[i]), 0);
    test_log_release();
}

SEED_TEST(rings_closed_at_once_in_any_order_are_refused)
{
    ask_at_once(2 + (int)tr_random(MOST - 1), (unsigned)tr_random(1 << MOST));
}

TASK_TEST_ON(2, rings_closed_at_once_on_two_workers_are_refused)
{
    for (unsigned round = 0; round < 400 * test_stress(); round++)
        ask_at_once(2 + (int)(round % (MOST - 1)), round / 3 % (1u << MOST));
}

/* ---- waits that end ---------------------------------------------------------------------------------------------- */

TASK_TEST(call_with_a_deadline_is_not_refused)
{
    struct number_address addresses[2];
    int64_t answer;
    struct member *members = make_ring(addresses, NULL, 2, 0);
    members[1].deadline = soon;
    expect_int(tr_call(addresses[0], &answer, tr_after(LONG_TIME), &(struct number){ 0 }), REFUSED);
    expect_int(members[1].rc, -ETIMEDOUT);
    stop_all(addresses, 2);
}

static int ask_in_scope(void *state, void *message)
{
    struct tr_scope scope;
    tr_scope_open(&scope, soon());
    ask_next(state, message);
    expect(tr_scope_close(&scope));
    return 0;
}

TASK_TEST(call_in_a_scope_is_not_refused)
{
    struct member members[2] = { { .asks = true, .deadline = never }, { .asks = true, .deadline = never } };
    int64_t answer;
    members[1].next = test_handler(handle, &members[0], 4, NULL);
    members[0].next = test_handler(ask_in_scope, &members[1], 4, NULL);
    expect_int(tr_call(members[1].next, &answer, tr_after(LONG_TIME), &(struct number){ 0 }), REFUSED);
    expect_int(members[1].rc, -ETIMEDOUT);
    expect_int(tr_actor_stop(members[0].next), 0);
    expect_int(tr_actor_stop(members[1].next), 0);
}

/* It has waited without a bound before, and what that has left behind does not count. */
static int ask_twice(void *state, void *message)
{
    struct member *member = state;
    struct tr_scope scope;
    int64_t answer = 0;
    if (!member->asks)
        return tr_reply(((struct number *)message)->reply, &((struct number *)message)->value);
    member->asks = false;
    expect_int(tr_call(member->next, &answer, TR_FOREVER, &(struct number){ .kind = GO, .value = 2 }), 0);
    tr_scope_open(&scope, soon());
    member->rc = tr_call(member->next, &answer, TR_FOREVER, &(struct number){ .value = 3 });
    expect(tr_scope_close(&scope));
    return 0;
}

static int answer_then_ask(void *state, void *message)
{
    struct member *member = state;
    struct number *number = message;
    int64_t answer = 0;
    if (number->kind == GO)
        return tr_reply(number->reply, &number->value);
    member->rc = tr_call(member->next, &answer, TR_FOREVER, &(struct number){ .value = 4 });
    expect_int(answer, 4);
    return 0;
}

TASK_TEST_ON(1, call_of_one_in_a_scope_is_not_refused)
{
    struct member *members = test_new(2 * sizeof *members);
    members[0].asks = true;
    members[1].rc = 1;
    members[1].next = test_handler(ask_twice, &members[0], 4, NULL);
    members[0].next = test_handler(answer_then_ask, &members[1], 4, NULL);
    expect_int(tr_send(members[1].next, tr_after(LONG_TIME), &(struct number){ .kind = GO }), 0);
    wait_until(members[1].rc != 1);
    expect_int(members[1].rc, 0);
    expect_int(members[0].rc, -ETIMEDOUT);
    expect_int(tr_actor_stop(members[0].next), 0);
    expect_int(tr_actor_stop(members[1].next), 0);
}

/* Somebody else has the token, and answers while its debtor waits for the caller. */
static int answer_for(void *argument)
{
    struct number_reply *reply = argument;
    int64_t answer = 5;
    tr_sleep(10 * TR_MILLISECOND);
    expect_int(tr_reply(*reply, &answer), 0);
    return 0;
}

static void have_answered(struct member *member, struct number *message)
{
    int64_t answer;
    struct number_reply reply = message->reply;
    struct tr_task_options options = { .argument_bytes = sizeof reply };
    expect_int(tr_defer(reply), 0);
    expect_int(tr_task_spawn(NULL, answer_for, &reply, &options), 0);
    member->rc = tr_call(member->next, &answer, TR_FOREVER, &(struct number){ .value = 9 });
    expect_int(answer, 9);
}

static int handle_by_another(void *state, void *message)
{
    have_answered(state, message);
    return 0;
}

static int loop_by_another(void *argument)
{
    struct number message;
    while (tr_receive(&message, TR_FOREVER) == 0)
        have_answered(argument, &message);
    return 0;
}

static int ask_first(void *state, void *message)
{
    struct member *member = state;
    struct number *number = message;
    if (number->kind == CALL)
        member->asks = false;
    ask_next(member, number);
    return 0;
}

static void defer_to_another(bool by_loop)
{
    struct member *members = test_new(2 * sizeof *members);
    members[0] = (struct member){ .asks = true, .deadline = never };
    members[1].next = test_handler(ask_first, &members[0], 4, NULL);
    members[0].next = by_loop ? test_loop(loop_by_another, &members[1], 4, NULL)
                              : test_handler(handle_by_another, &members[1], 4, NULL);
    members[1].rc = 1;
    expect_int(tr_send(members[1].next, tr_after(LONG_TIME), &(struct number){ .kind = GO }), 0);
    wait_until(members[1].rc != 1);
    expect_int(members[1].rc, 0);
    expect_int(members[0].rc, 0);
    tr_actor_stop(members[0].next);
    tr_actor_stop(members[1].next);
}

TASK_TEST_ON(1, call_while_another_answers_is_not_refused)
{
    defer_to_another(false);
    defer_to_another(true);
}

/* What waits in the mailbox of one who calls its sender is dropped by a third, so that the sender goes on. */
static int call_when_queued(void *argument)
{
    struct member *member = argument;
    struct number message;
    struct number_address self;
    int64_t answer = 0;
    expect_int(tr_self(&self), 0);
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    wait_until(test_queued(self) == 1);
    member->rc = tr_call(member->next, &answer, TR_FOREVER, &(struct number){ .value = 4 });
    expect_int(answer, 4);
    return 0;
}

TASK_TEST_ON(1, call_that_others_may_drop_is_not_refused)
{
    struct member members[2] = { { .asks = true, .deadline = never }, { .rc = 1 } };
    struct tr_task task;
    struct tr_actor_options options = { .capacity = 1, .overflow = TR_OVERFLOW_DROP_OLDEST, .task = &task };
    members[1].next = test_handler(ask_first, &members[0], 4, NULL);
    expect_int(tr_spawn(&members[0].next, call_when_queued, &members[1], &options), 0);
    expect_int(tr_send(members[0].next, tr_after(LONG_TIME), &(struct number){ .kind = GO }), 0);
    test_settle();
    expect_int(tr_send(members[1].next, tr_after(LONG_TIME), &(struct number){ .kind = GO }), 0);
    tr_sleep(20 * TR_MILLISECOND);
    expect_int(tr_send(members[0].next, tr_after(LONG_TIME), &(struct number){ .kind = GO }), 0);
    expect_int(test_join(task), 0);
    expect_int(members[1].rc, 0);
    expect_int(tr_actor_stop(members[1].next), 0);
}

/* What was taken, or handed over, nobody can drop any more. */
static int loop_later(void *argument)
{
    tr_sleep(10 * TR_MILLISECOND);
    return loop(argument);
}

static void ask_through_a_dropper(bool queued)
{
    struct member members[2] = { { .asks = true, .deadline = never }, { .asks = true, .deadline = never } };
    struct tr_actor_options options = { .capacity = 4, .overflow = TR_OVERFLOW_DROP_OLDEST };
    int64_t answer;
    members[1].next = test_handler(handle, &members[0], 4, NULL);
    expect_int(queued ? tr_spawn(&members[0].next, loop_later, &members[1], &options)
                      : tr_spawn_handler(&members[0].next, handle, &members[1], &options),
               0);
    expect_int(tr_call(members[1].next, &answer, tr_after(LONG_TIME), &(struct number){ 0 }), REFUSED);
    expect_int(members[1].rc, -EDEADLK);
    expect_int(tr_actor_stop(members[0].next), 0);
    expect_int(tr_actor_stop(members[1].next), 0);
}

TASK_TEST_ON(1, ring_through_a_mailbox_that_drops_is_refused)
{
    ask_through_a_dropper(false);
    ask_through_a_dropper(true);
}

/* ---- debts that move --------------------------------------------------------------------------------------------- */

static int forward_on(void *state, void *message)
{
    struct number *number = message;
    expect_int(tr_forward(number->reply, *(struct number_address *)state, TR_FOREVER, number), 0);
    return 0;
}

/* Calls the forwarder once the last one waits for it. */
static int ask_when_asked(void *argument)
{
    struct member *member = argument;
    struct number message;
    struct number_address self;
    int64_t answer = 0;
    expect_int(tr_self(&self), 0);
    wait_until(test_queued(self) == 1);
    member->rc = tr_call(member->next, &answer, TR_FOREVER, &(struct number){ .value = 3 });
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    expect_int(tr_reply(message.reply, &message.value), 0);
    return 0;
}

/* The last one calls the first, which calls the forwarder: its debt goes to one who waits for it. */
static int ask_then_take(void *argument)
{
    struct member *member = argument;
    struct number message;
    int64_t answer = 0;
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    member->rc = tr_call(member->next, &answer, TR_FOREVER, &(struct number){ .value = 6 });
    expect_int(answer, 6);
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    expect_int(message.value, 3);
    expect_int(tr_reply(message.reply, &answer), -ESRCH);
    return 0;
}

TASK_TEST_ON(1, debt_forwarded_to_one_who_waits_is_told)
{
    struct member *members = test_new(2 * sizeof *members);
    struct number_address *last = test_new(sizeof *last);
    struct tr_task tasks[2];
    members[1].rc = 1;
    *last = test_loop(ask_then_take, &members[1], 4, &tasks[1]);
    members[0].next = test_handler(forward_on, last, 4, NULL);
    members[1].next = test_loop(ask_when_asked, &members[0], 4, &tasks[0]);
    expect_int(tr_send(*last, tr_after(LONG_TIME), &(struct number){ .kind = GO }), 0);
    for (int i = 0; i < 2; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(members[0].rc, -EDEADLK);
    expect_int(members[1].rc, 0);
    expect_int(tr_actor_stop(members[0].next), 0);
}

/* The forwarder owes it no more, and may call whom it has helped. */
static int forward_then_ask(void *argument)
{
    struct member *member = argument;
    struct number message;
    int64_t answer = 0;
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    expect_int(tr_forward(message.reply, *(struct number_address *)(void *)message.value, TR_FOREVER, &message), 0);
    member->rc = tr_call(member->next, &answer, TR_FOREVER, &(struct number){ .value = 2 });
    expect_int(answer, 2);
    return 0;
}

static int answer_late(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    tr_sleep(10 * TR_MILLISECOND);
    expect_int(tr_reply(number->reply, &number->value), 0);
    return 0;
}

static int ask_and_serve(void *argument)
{
    struct member *member = argument;
    struct number message;
    struct number_address last = test_handler(answer_late, NULL, 4, NULL);
    int64_t answer;
    member->rc = tr_call(member->next, &answer, TR_FOREVER, &(struct number){ .value = (intptr_t)&last });
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    expect_int(tr_reply(message.reply, &message.value), 0);
    return tr_actor_stop(last);
}

TASK_TEST(forwarder_may_call_whom_it_has_helped)
{
    struct member *members = test_new(2 * sizeof *members);
    struct tr_task tasks[2];
    members[0].next = test_loop(forward_then_ask, &members[1], 4, &tasks[1]);
    members[1].next = test_loop(ask_and_serve, &members[0], 4, &tasks[0]);
    for (int i = 0; i < 2; i++) {
        expect_int(test_join(tasks[i]), 0);
        expect_int(members[i].rc, 0);
    }
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

enum { ROOM = 2 };

/* Sends until it is refused. */
static int fill(void *state, void *message)
{
    struct member *member = state;
    struct number *number = message;
    int sent = 0;
    while ((member->rc = tr_send(member->next, TR_FOREVER, &(struct number){ .value = sent })) == 0)
        sent++;
    expect_int(tr_reply(number->reply, &(int64_t){ sent }), 0);
    return 0;
}

/* Calls the one who fills its mailbox meanwhile. */
static int ask_who_fills(void *argument)
{
    struct member *member = argument;
    struct number message;
    int64_t answer = 0;
    member->rc = tr_call(member->next, &answer, TR_FOREVER, &(struct number){ 0 });
    for (int i = 0; i < ROOM; i++) {
        expect_int(tr_receive(&message, TR_FOREVER), 0);
        expect_int(message.value, i);
    }
    expect_int(tr_try_receive(&message), -EAGAIN);
    return (int)answer;
}

TASK_TEST_ON(1, room_of_one_who_waits_for_the_sender_is_refused)
{
    struct member *members = test_new(2 * sizeof *members);
    struct tr_task task;
    members[1].next = test_handler(fill, &members[0], 1, NULL);
    members[0].next = test_loop(ask_who_fills, &members[1], ROOM, &task);
    expect_int(test_join(task), ROOM);
    expect_int(members[0].rc, -EDEADLK);
    expect_int(members[1].rc, 0);
    expect_int(tr_actor_stop(members[1].next), 0);
}

/* The sender waits first, and the one that could make room calls it: that is told. */
static int send_much(void *argument)
{
    struct member *member = argument;
    struct number message;
    for (int i = 0; i < ROOM + 1; i++)
        expect_int(tr_send(member->next, TR_FOREVER, &(struct number){ .value = i }), 0);
    while (tr_receive(&message, TR_FOREVER) == 0)
        expect_int(tr_reply(message.reply, &message.value), 0);
    return 0;
}

static int ask_who_waits(void *argument)
{
    struct member *member = argument;
    struct number_address self;
    struct number message;
    int64_t answer = 0;
    expect_int(tr_self(&self), 0);
    wait_until(test_queued(self) == ROOM);
    tr_sleep(10 * TR_MILLISECOND); /* it waits for more room */
    member->rc = tr_call(member->next, &answer, TR_FOREVER, &(struct number){ .value = 3 });
    expect(!tr_call_sent() || member->rc == -EDEADLK);
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    /* There is room for the sender now, and so it is not waited for in vain, whether or not it has run meanwhile. */
    expect_int(tr_call(member->next, &answer, TR_FOREVER, &(struct number){ .value = 7 }), 0);
    expect_int(answer, 7);
    return 0;
}

TASK_TEST_ON(1, call_of_one_who_waits_for_our_room_is_refused)
{
    struct member *members = test_new(2 * sizeof *members);
    struct tr_task tasks[2];
    members[0].next = test_loop(ask_who_waits, &members[1], ROOM, &tasks[1]);
    members[1].next = test_loop(send_much, &members[0], 1, &tasks[0]);
    expect_int(test_join(tasks[1]), 0);
    expect_int(members[1].rc, -EDEADLK);
    expect_int(tr_actor_stop(members[1].next), 0);
    expect_int(test_join(tasks[0]), 0);
}

int main(void)
{
    return test_main("cycle",
                     TESTS(ring_of_calls_is_refused, ring_of_calls_on_two_workers_is_refused, refusal_names_all,
                           rings_closed_at_once_in_any_order_are_refused,
                           rings_closed_at_once_on_two_workers_are_refused, call_with_a_deadline_is_not_refused,
                           call_in_a_scope_is_not_refused, call_of_one_in_a_scope_is_not_refused,
                           call_while_another_answers_is_not_refused, call_that_others_may_drop_is_not_refused,
                           ring_through_a_mailbox_that_drops_is_refused, debt_forwarded_to_one_who_waits_is_told,
                           forwarder_may_call_whom_it_has_helped, room_of_one_who_waits_for_the_sender_is_refused,
                           call_of_one_who_waits_for_our_room_is_refused));
}
