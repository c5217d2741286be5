/* SPDX-License-Identifier: MIT */
/*
 * test_actor_policy.c: actors whose mailbox is full and has a policy: what a send says then, which message is lost, who is
 * told of it, and what becomes of the caller of a request that is lost.
 */
#include "tests/gate.h"

#include <pthread.h>
#include <stdlib.h>

enum { CAPACITY = 2 };

/* ---- who is told ---------------------------------------------------------------------------------------------- */

static atomic_int drops, letters[TR_DEAD_EXPIRED + 1];
static _Atomic int64_t last_drop, last_letter;

static void note_drop(void *message)
{
    atomic_store(&last_drop, ((struct number *)message)->value);
    atomic_fetch_add(&drops, 1);
}

static void note_letter(const struct tr_dead_letter *letter)
{
    expect(strcmp(letter->name, "picky") == 0);
    expect_int(letter->bytes, sizeof(struct number));
    atomic_store(&last_letter, ((const struct number *)letter->message)->value);
    atomic_fetch_add(&letters[letter->reason], 1);
}

static void reset(void)
{
    atomic_store(&drops, 0);
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        atomic_store(&letters[i], 0);
    atomic_store(&last_drop, -1);
    atomic_store(&last_letter, -1);
    tr_dead_letter_hook(note_letter);
}

/* ---- the actors ----------------------------------------------------------------------------------------------- */

/* As note_values, in a handler: the first message is in hand while the gate is shut. */
static int note_value(void *state, void *message)
{
    struct gate *gate = *(struct gate **)state;
    struct number *number = message;
    wait_until(atomic_load(&gate->open));
    int n = atomic_fetch_add(&gate->received, 1);
    gate->values[n] = number->value;
    tr_reply(number->reply, &number->value);
    return 0;
}

static struct tr_actor_options picky(enum tr_overflow overflow, struct tr_task *task)
{
    return (struct tr_actor_options){
        .name = "picky", .capacity = CAPACITY, .overflow = overflow, .drop = note_drop, .task = task
    };
}

/* With `CAPACITY` messages in its mailbox, 1 to CAPACITY, and 0 in the hand of a handler. */
static struct number_address start_full(struct gate *gate, enum tr_overflow overflow, bool handler,
                                        struct tr_task *task)
{
    struct tr_actor_options options = picky(overflow, task);
    struct number_address actor;
    if (handler) {
        options.argument_bytes = sizeof gate;
        expect_int(tr_spawn_handler(&actor, note_value, &gate, &options), 0);
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 0 }), 0);
        test_settle();
    } else {
        expect_int(tr_spawn(&actor, note_values, gate, &options), 0);
    }
    for (int i = 1; i <= CAPACITY; i++)
        expect_int(tr_try_send(actor, &(struct number){ .value = i }), 0);
    expect_int(test_queued(actor), CAPACITY);
    return actor;
}

static struct tr_actor_info info_of(struct number_address actor)
{
    struct tr_actor_info info;
    expect_int(tr_actor_info(actor, &info), 0);
    return info;
}

static void open_and_stop(struct gate *gate, struct number_address actor, struct tr_task task, bool handler)
{
    atomic_store(&gate->open, 1);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), handler ? 0 : -EPIPE);
}

/* ---- a send to a full mailbox --------------------------------------------------------------------------------- */

static const struct row {
    enum tr_overflow overflow;
    int result;        /* of the send of 9 */
    int first, second; /* what is received of 1, 2, 9 */
    int drops;         /* calls of the drop function */
    int64_t lost;      /* the message that the hook sees */
    enum tr_dead_reason reason;
} rows[] = {
    { TR_OVERFLOW_REJECT, -ENOBUFS, 1, 2, 0, 9, TR_DEAD_REJECTED },
    { TR_OVERFLOW_DROP_NEWEST, 0, 1, 2, 1, 9, TR_DEAD_DROPPED_NEWEST },
    { TR_OVERFLOW_DROP_OLDEST, 0, 2, 9, 1, 1, TR_DEAD_DROPPED_OLDEST },
};

static int send_nine(struct number_address actor, int form)
{
    struct number nine = { .value = 9 };
    switch (form) {
    case 0:
        return tr_send(actor, TR_FOREVER, &nine); /* does not wait */
    case 1:
        return tr_send(actor, TR_NOW, &nine);
    default:
        return tr_try_send(actor, &nine);
    }
}

static void check_row(const struct row *row, bool handler, int form)
{
    struct gate *gate = test_new(sizeof *gate);
    struct tr_task task;
    reset();
    struct number_address actor = start_full(gate, row->overflow, handler, &task);
    expect_int(send_nine(actor, form), row->result);
    struct tr_actor_info info = info_of(actor);
    expect_int(info.queued, CAPACITY);
    expect_int(info.rejected, row->reason == TR_DEAD_REJECTED);
    expect_int(info.dropped_newest, row->reason == TR_DEAD_DROPPED_NEWEST);
    expect_int(info.dropped_oldest, row->reason == TR_DEAD_DROPPED_OLDEST);
    expect_int(atomic_load(&letters[row->reason]), 1);
    expect_int(atomic_load(&last_letter), row->lost);
    expect_int(atomic_load(&drops), row->drops);
    if (row->drops)
        expect_int(atomic_load(&last_drop), row->lost);
    open_and_stop(gate, actor, task, handler);
    expect_int(atomic_load(&gate->received), CAPACITY + handler);
    expect_int(gate->values[handler], row->first);
    expect_int(gate->values[handler + 1], row->second);
    expect_int(tr_actor_info(actor, &info), -ESRCH);
}

TASK_TEST_ON(1, full_table)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int handler = 0; handler < 2; handler++)
            for (int form = 0; form < 3; form++)
                check_row(&rows[i], handler, form);
}

TASK_TEST_ON(1, with_room_nothing_is_lost)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gate *gate = test_new(sizeof *gate);
        struct tr_task task;
        struct tr_actor_options options = picky(rows[i].overflow, &task);
        struct number_address actor;
        reset();
        atomic_store(&gate->open, 1);
        expect_int(tr_spawn(&actor, note_values, gate, &options), 0);
        for (int n = 0; n < 20; n++) {
            int64_t answer = 0;
            expect_int(tr_call(actor, &answer, TR_FOREVER, &(struct number){ .value = n }), 0);
            expect_int(answer, n);
            expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = n }), 0);
            test_settle();
        }
        open_and_stop(gate, actor, task, false);
        expect_int(atomic_load(&gate->received), 40);
        expect_int(atomic_load(&drops), 0);
    }
}

TASK_TEST_ON(1, spawn_with_a_policy_that_is_none_einval)
{
    struct number_address actor;
    struct tr_actor_options options = { .overflow = (enum tr_overflow)4 };
    expect_int(tr_spawn(&actor, note_values, NULL, &options), -EINVAL);
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

struct caller {
    struct number_address to;
    int64_t value, answer;
    int result;
    bool sent;
};

static int call_one(void *argument)
{
    struct caller *caller = argument;
    caller->result = tr_call(caller->to, &caller->answer, TR_FOREVER, &(struct number){ .value = caller->value });
    caller->sent = caller->result < 0 && tr_call_sent();
    return 0;
}

TASK_TEST_ON(1, call_rejected_enobufs_and_the_message_is_the_callers)
{
    struct gate *gate = test_new(sizeof *gate);
    struct tr_task task;
    reset();
    struct caller caller = { .to = start_full(gate, TR_OVERFLOW_REJECT, false, &task), .value = 9 };
    call_one(&caller);
    expect_int(caller.result, -ENOBUFS);
    expect(!caller.sent);
    expect_int(atomic_load(&drops), 0);
    open_and_stop(gate, caller.to, task, false);
}

TASK_TEST_ON(1, call_dropped_as_the_newest_enobufs_and_the_message_is_gone)
{
    struct gate *gate = test_new(sizeof *gate);
    struct tr_task task;
    reset();
    struct caller caller = { .to = start_full(gate, TR_OVERFLOW_DROP_NEWEST, false, &task), .value = 9 };
    call_one(&caller);
    expect_int(caller.result, -ENOBUFS);
    expect(caller.sent);
    expect_int(atomic_load(&last_drop), 9);
    open_and_stop(gate, caller.to, task, false);
}

/* The first call waits for its answer as the oldest message, when the third pushes it out. */
TASK_TEST_ON(1, call_dropped_as_the_oldest_returns_enobufs)
{
    for (int handler = 0; handler < 2; handler++) {
        struct gate *gate = test_new(sizeof *gate);
        struct tr_task task, tasks[3];
        reset();
        struct caller *callers = test_new(3 * sizeof *callers);
        struct number_address actor = start_full(gate, TR_OVERFLOW_DROP_OLDEST, handler, &task);
        for (int i = 0; i < 3; i++) {
            callers[i] = (struct caller){ .to = actor, .value = 10 + i };
            tasks[i] = test_task(call_one, &callers[i]);
            test_settle();
        }
        expect_int(test_join(tasks[0]), 0);
        expect_int(callers[0].result, -ENOBUFS);
        expect(callers[0].sent);
        expect_int(info_of(actor).dropped_oldest, 3);
        atomic_store(&gate->open, 1);
        for (int i = 1; i < 3; i++) {
            expect_int(test_join(tasks[i]), 0);
            expect_int(callers[i].result, 0);
            expect_int(callers[i].answer, 10 + i);
        }
        open_and_stop(gate, actor, task, handler);
        expect_int(atomic_load(&drops), 3);
    }
}

/* ---- the other ways to send ----------------------------------------------------------------------------------- */

static int forward_to_the_full_one(void *state, void *message)
{
    struct number_address *full = state;
    struct number *number = message;
    expect_int(tr_forward(number->reply, *full, TR_FOREVER, &(struct number){ .value = number->value }), -ENOBUFS);
    return tr_reply(number->reply, &(int64_t){ 77 }); /* the debt is still ours */
}

TASK_TEST_ON(1, forward_rejected_leaves_the_debt)
{
    struct gate *gate = test_new(sizeof *gate);
    struct tr_task task, other_task;
    reset();
    struct number_address full = start_full(gate, TR_OVERFLOW_REJECT, false, &task);
    struct number_address other = test_handler(forward_to_the_full_one, &full, 4, &other_task);
    expect_int(test_ask(other, 0, 9), 77);
    expect_int(tr_actor_stop(other), 0);
    expect_int(test_join(other_task), 0);
    open_and_stop(gate, full, task, false);
}

TASK_TEST_ON(1, sent_later_is_subject_to_the_policy)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gate *gate = test_new(sizeof *gate);
        struct tr_task task;
        struct tr_timer timer;
        reset();
        struct number_address actor = start_full(gate, rows[i].overflow, false, &task);
        expect_int(tr_send_after(&timer, actor, TR_MILLISECOND, &(struct number){ .value = 9 }), 0);
        wait_until(atomic_load(&letters[rows[i].reason]) == 1);
        expect_int(atomic_load(&last_letter), rows[i].lost);
        expect_int(tr_timer_cancel(timer), -ESRCH);
        open_and_stop(gate, actor, task, false);
        expect_int(gate->values[0], rows[i].first);
        expect_int(gate->values[1], rows[i].second);
    }
}

TASK_TEST_ON(1, gather_counts_the_rejected_call_as_failed)
{
    struct gate *gate = test_new(sizeof *gate), *open = test_new(sizeof *open);
    struct tr_task task, other_task;
    int64_t answers[2] = { 0, 0 };
    reset();
    atomic_store(&open->open, 1);
    struct number_address full = start_full(gate, TR_OVERFLOW_REJECT, false, &task);
    struct number_address other = test_loop(note_values, open, 4, &other_task);
    struct number messages[] = { { .value = 1 }, { .value = 2 } };
    struct tr_gather_call calls[] = { tr_gather_call(full, &answers[0], &messages[0]),
                                      tr_gather_call(other, &answers[1], &messages[1]) };
    expect_int(tr_gather(calls, 2, TR_FOREVER, TR_GATHER_ALL), 1);
    expect_int(calls[0].result, -ENOBUFS);
    expect(!calls[0].sent);
    expect_int(calls[1].result, 0);
    expect_int(answers[1], 2);
    expect_int(tr_actor_stop(other), 0);
    expect_int(test_join(other_task), -EPIPE);
    open_and_stop(gate, full, task, false);
}

/* ---- receiving where senders drop the oldest ------------------------------------------------------------------- */

static int receive_in_every_way(void *argument)
{
    struct gate *gate = argument;
    struct number one, many[4];
    wait_until(atomic_load(&gate->open));
    expect_int(tr_try_receive(&one), 0);
    expect_int(one.value, 2);
    struct tr_case cases[] = { tr_case_message(&one), tr_case_timer(TR_FOREVER) };
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(one.value, 9);
    expect_int(tr_try_receive(&one), -EAGAIN);
    expect_int(tr_receive(&one, TR_NOW), -ETIMEDOUT);
    atomic_store(&gate->received, 1);
    expect_int(tr_receive_many(many, 4, tr_after(LONG_TIME)), 1); /* waits */
    expect_int(many[0].value, 20);
    atomic_store(&gate->received, 2);
    expect_int(tr_select(cases, 2, tr_after(LONG_TIME), TR_SELECT_FAIR), 0); /* waits */
    expect_int(one.value, 21);
    return 0;
}

TASK_TEST_ON(1, drop_oldest_every_way_to_receive)
{
    struct gate *gate = test_new(sizeof *gate);
    struct tr_task task;
    struct tr_actor_options options = picky(TR_OVERFLOW_DROP_OLDEST, &task);
    struct number_address actor;
    reset();
    expect_int(tr_spawn(&actor, receive_in_every_way, gate, &options), 0);
    for (int i = 1; i <= CAPACITY; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 9 }), 0);
    atomic_store(&gate->open, 1);
    for (int i = 0; i < 2; i++) {
        wait_until(atomic_load(&gate->received) == i + 1);
        test_settle();
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 20 + i }), 0);
    }
    expect_int(test_join(task), 0);
}

/* ---- from many sides ------------------------------------------------------------------------------------------ */

enum { SENDERS = 4, FOREIGN = 2 };

struct crowd {
    struct number_address to;
    int count;
    atomic_int from;
};

static int send_many(void *argument)
{
    struct crowd *crowd = argument;
    int from = atomic_fetch_add(&crowd->from, 1);
    for (int i = 0; i < crowd->count; i++)
        expect_int(tr_send(crowd->to, TR_FOREVER, &(struct number){ .kind = from, .value = i }), 0);
    return 0;
}

static void *send_many_outside(void *argument)
{
    send_many(argument);
    return NULL;
}

/* What is received of each sender is in its order. */
static int receive_in_order(void *argument)
{
    int *received = argument;
    int64_t last[SENDERS + FOREIGN];
    struct number message;
    memset(last, -1, sizeof last);
    int rc;
    while ((rc = tr_receive(&message, TR_FOREVER)) == 0) {
        expect(message.value > last[message.kind]);
        last[message.kind] = message.value;
        ++*received;
    }
    return rc;
}

struct order {
    int64_t last[SENDERS + FOREIGN];
    int received;
};

static int check_order(void *state, void *message)
{
    struct order *order = *(struct order **)state;
    struct number *number = message;
    expect(number->value > order->last[number->kind]);
    order->last[number->kind] = number->value;
    order->received++;
    return 0;
}

/* Sent = received + dropped; and the order of each sender. */
static void check_crowd(enum tr_overflow overflow, bool handler)
{
    struct tr_task task, tasks[SENDERS];
    pthread_t threads[FOREIGN];
    struct crowd *crowd = test_new(sizeof *crowd);
    struct order *order = test_new(sizeof *order);
    struct tr_actor_options options = picky(overflow, &task);
    reset();
    memset(order->last, -1, sizeof order->last);
    crowd->count = (TEST_SANITIZED ? 2000 : 20000) * (int)test_stress();
    if (handler) {
        options.argument_bytes = sizeof order;
        expect_int(tr_spawn_handler(&crowd->to, check_order, &order, &options), 0);
    } else {
        expect_int(tr_spawn(&crowd->to, receive_in_order, &order->received, &options), 0);
    }
    for (int i = 0; i < SENDERS; i++)
        tasks[i] = test_task(send_many, crowd);
    for (int i = 0; i < FOREIGN; i++)
        expect_int(pthread_create(&threads[i], NULL, send_many_outside, crowd), 0);
    for (int i = 0; i < SENDERS; i++)
        expect_int(test_join(tasks[i]), 0);
    for (int i = 0; i < FOREIGN; i++)
        pthread_join(threads[i], NULL);
    struct tr_actor_info info = info_of(crowd->to);
    expect_int(tr_actor_stop(crowd->to), 0);
    expect_int(test_join(task), handler ? 0 : -EPIPE);
    expect_int(info.dropped_newest + info.dropped_oldest, atomic_load(&drops));
    expect_int(order->received + atomic_load(&drops), (int64_t)crowd->count * (SENDERS + FOREIGN));
}

TASK_TEST(crowd_sent_is_received_or_dropped)
{
    for (int handler = 0; handler < 2; handler++) {
        check_crowd(TR_OVERFLOW_DROP_NEWEST, handler);
        check_crowd(TR_OVERFLOW_DROP_OLDEST, handler);
    }
}

/* The actor ends in the middle: each message is received, dropped, or refused with -ESRCH. */
static int send_until_it_is_gone(void *argument)
{
    struct number_address *to = argument;
    int sent = 0, rc;
    while ((rc = tr_send(*to, TR_FOREVER, &(struct number){ .value = sent })) == 0)
        sent++;
    expect_int(rc, -ESRCH);
    return sent;
}

static int take_fifty(void *argument)
{
    struct number message;
    for (int i = 0; i < 50; i++)
        expect_int(tr_receive(&message, TR_FOREVER), 0);
    *(int *)argument = 50;
    return 0;
}

TASK_TEST(the_end_in_the_middle_loses_nothing)
{
    for (int round = 0; round < (TEST_SANITIZED ? 100 : 1000); round++) {
        struct tr_task task, tasks[SENDERS];
        struct tr_actor_options options = picky(round % 2 ? TR_OVERFLOW_DROP_OLDEST : TR_OVERFLOW_DROP_NEWEST, &task);
        struct number_address *actor = test_new(sizeof *actor);
        int received = 0, sent = 0;
        reset();
        expect_int(tr_spawn(actor, take_fifty, &received, &options), 0);
        for (int i = 0; i < SENDERS; i++)
            tasks[i] = test_task(send_until_it_is_gone, actor);
        for (int i = 0; i < SENDERS; i++)
            sent += test_join(tasks[i]);
        expect_int(test_join(task), 0);
        expect_int(received + atomic_load(&drops), sent);
    }
}

/* ---- dead letters of any actor -------------------------------------------------------------------------------- */

static int leave_unread(void *argument)
{
    struct gate *gate = argument;
    wait_until(atomic_load(&gate->open));
    return 0;
}

TASK_TEST_ON(1, undelivered_and_expired_are_shown_to_the_hook)
{
    struct gate *gate = test_new(sizeof *gate);
    struct tr_task task;
    struct tr_actor_options options = picky(TR_OVERFLOW_WAIT, &task);
    struct number_address actor;
    int64_t answer;
    reset();
    expect_int(tr_spawn(&actor, leave_unread, gate, &options), 0);
    fill(actor, CAPACITY);
    atomic_store(&gate->open, 1);
    expect_int(test_join(task), 0);
    expect_int(atomic_load(&letters[TR_DEAD_UNDELIVERED]), CAPACITY);
    expect_int(atomic_load(&drops), CAPACITY);

    reset();
    atomic_store(&gate->open, 0);
    atomic_store(&gate->received, 0);
    expect_int(tr_spawn(&actor, note_values, gate, &options), 0);
    expect_int(tr_call(actor, &answer, tr_after(TR_MILLISECOND), &(struct number){ .value = 5 }), -ETIMEDOUT);
    open_and_stop(gate, actor, task, false);
    expect_int(atomic_load(&gate->received), 0);
    expect_int(atomic_load(&letters[TR_DEAD_EXPIRED]), 1);
    expect_int(atomic_load(&last_letter), 5);
}

int main(void)
{
    return test_main("actor_policy",
                     TESTS(full_table, with_room_nothing_is_lost, spawn_with_a_policy_that_is_none_einval,
                           call_rejected_enobufs_and_the_message_is_the_callers,
                           call_dropped_as_the_newest_enobufs_and_the_message_is_gone,
                           call_dropped_as_the_oldest_returns_enobufs, forward_rejected_leaves_the_debt,
                           sent_later_is_subject_to_the_policy, gather_counts_the_rejected_call_as_failed,
                           drop_oldest_every_way_to_receive, crowd_sent_is_received_or_dropped,
                           the_end_in_the_middle_loses_nothing, undelivered_and_expired_are_shown_to_the_hook));
}
