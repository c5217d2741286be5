/* SPDX-License-Identifier: MIT */
/*
 * test_call.c: requests and answers by the promises of troupe/actor.h: answers and errors, who may answer and how often,
 * deadlines, cancellation, expired requests. What a debtor's end does to its requests has test_debt.c.
 */
#include "tests/support.h"

enum { ECHO, FAIL, SILENT, TWICE, SLOW, WANTED, PERHAPS };

/* ---- answers -------------------------------------------------------------------------------------------------- */

static int serve_message(struct number *number)
{
    int64_t answer = number->value + 1;
    int rc;
    switch (number->kind) {
    case FAIL:
        expect_int(tr_reply_error(number->reply, 0), -EINVAL);
        expect_int(tr_reply_error(number->reply, -5), -EINVAL);
        expect_int(tr_reply_error(number->reply, 1000001), -EINVAL);
        expect_int(tr_reply_error(number->reply, (int)number->value), 0);
        expect_int(tr_reply_error(number->reply, (int)number->value), -ESRCH);
        break;
    case SILENT:
        break;
    case TWICE:
        expect(tr_reply_wanted(number->reply));
        expect_int(tr_reply(number->reply, &answer), 0);
        expect(!tr_reply_wanted(number->reply));
        answer = -1;
        expect_int(tr_reply(number->reply, &answer), -ESRCH);
        expect_int(tr_reply_error(number->reply, 5), -ESRCH);
        break;
    case SLOW:
        expect_int(tr_sleep(TR_MILLISECOND), 0);
        expect_int(tr_reply(number->reply, &answer), 0);
        break;
    case WANTED:
        expect(!tr_reply_wanted(number->reply));
        expect_int(tr_reply(number->reply, &answer), -ESRCH);
        break;
    case PERHAPS: /* its caller may leave while we are at it */
        rc = tr_reply(number->reply, &answer);
        expect(rc == 0 || rc == -ESRCH);
        break;
    default:
        expect_int(tr_reply(number->reply, &answer), 0);
    }
    return 0;
}

static int serve_handler(void *state, void *message)
{
    (void)state;
    return serve_message(message);
}

static int serve_loop(void *argument)
{
    (void)argument;
    struct number message;
    while (tr_receive(&message, TR_FOREVER) == 0)
        serve_message(&message);
    return 0;
}

static void check_answers(struct number_address actor)
{
    int64_t answer = 0;
    for (int i = 0; i < 500; i++)
        expect_int(test_ask(actor, i % 7 ? ECHO : TWICE, i), i + 1);
    for (int i = 0; i < 20; i++)
        expect_int(test_ask(actor, SLOW, i), i + 1);
    static const int errors[] = { 1, 2, ECANCELED, ESRCH, 1000000 };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        answer = 55;
        expect_int(tr_call(actor, &answer, TR_FOREVER, &(struct number){ .kind = FAIL, .value = errors[i] }),
                   errors[i]);
        expect_int(answer, 55);
    }
}

TASK_TEST(call_handler_returns_the_answer)
{
    check_answers(test_handler(serve_handler, NULL, 4, NULL));
}

TASK_TEST(call_loop_returns_the_answer)
{
    check_answers(test_loop(serve_loop, NULL, 4, NULL));
}

TASK_TEST(call_leaves_the_callers_message_alone)
{
    struct number_address actor = test_handler(serve_handler, NULL, 4, NULL);
    const struct number request = { .kind = ECHO, .value = 4 };
    struct number copy = request;
    int64_t answer = 0;
    expect_int(tr_call(actor, &answer, TR_FOREVER, &copy), 0);
    expect_int(memcmp(&copy, &request, sizeof copy), 0);
    expect_int(answer, 5);
}

static struct number_address middle_of_chain[3];

static int pass_on(void *state, void *message)
{
    struct number_address *next = state;
    struct number *number = message;
    int64_t answer = test_ask(*next, number->kind, number->value) + 100;
    tr_reply(number->reply, &answer);
    return 0;
}

TASK_TEST(call_through_a_chain_of_handlers_comes_back)
{
    middle_of_chain[0] = test_handler(serve_handler, NULL, 4, NULL);
    middle_of_chain[1] = test_handler(pass_on, &middle_of_chain[0], 4, NULL);
    middle_of_chain[2] = test_handler(pass_on, &middle_of_chain[1], 4, NULL);
    struct number_address first = test_handler(pass_on, &middle_of_chain[2], 4, NULL);
    for (int i = 0; i < 200; i++)
        expect_int(test_ask(first, i % 50 ? ECHO : SLOW, i), i + 301);
}

/* Answers of several types, also in a union, and large ones. */
struct page {
    _Alignas(64) unsigned char bytes[4096];
};
struct mixed;
TR_ADDRESS_TYPE(mixed_address, struct mixed);
TR_REPLY_TYPE(page_reply, struct page);
TR_REPLY_TYPE(char_reply, char);
TR_REPLY_TYPE(double_reply, double);
struct mixed {
    char kind;
    union {
        struct page_reply page;
        struct char_reply letter;
    };
    char pad[77];
    struct double_reply number;
};

static int serve_mixed(void *state, void *message)
{
    static struct page page;
    struct mixed *mixed = message;
    (void)state;
    memset(page.bytes, mixed->kind, sizeof page.bytes);
    if (mixed->kind == 'l') {
        expect_int(tr_reply_raw(mixed->letter.tri_raw, 8, "12345678"), -EINVAL); /* wrong size: still to be answered */
        expect_int(tr_reply_raw(mixed->letter.tri_raw, 0, ""), -EINVAL);
        expect_int(tr_reply(mixed->letter, &(char){ 'L' }), 0);
    } else if (mixed->kind == 'n') {
        expect_int(tr_reply(mixed->number, &(double){ 2.5 }), 0);
    } else {
        expect_int(tr_reply(mixed->page, &page), 0);
    }
    return 0;
}

TASK_TEST(call_at_any_field_gets_that_fields_type)
{
    struct mixed_address actor;
    static struct page page;
    expect_int(tr_spawn_handler(&actor, serve_mixed, NULL, NULL), 0);
    for (int i = 0; i < 20; i++) {
        char letters[3] = { 'a', 'a', 'a' };
        double number = 0;
        expect_int(tr_call_at(actor, letter, &letters[1], TR_FOREVER, &(struct mixed){ .kind = 'l' }), 0);
        expect(letters[0] == 'a' && letters[1] == 'L' && letters[2] == 'a');
        expect_int(tr_call_at(actor, number, &number, TR_FOREVER, &(struct mixed){ .kind = 'n' }), 0);
        expect(number == 2.5);
        expect_int(tr_call_at(actor, page, &page, TR_FOREVER, &(struct mixed){ .kind = (char)('A' + i) }), 0);
        expect(page.bytes[0] == 'A' + i && page.bytes[4095] == 'A' + i);
    }
}

/* ---- who may answer ------------------------------------------------------------------------------------------- */

TASK_TEST(reply_to_a_message_that_nobody_asks_esrch)
{
    struct number_address actor = test_handler(serve_handler, NULL, 4, NULL);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .kind = WANTED }), 0);
    expect_int(test_ask(actor, ECHO, 1), 2);
    struct tr_token none = { 0 };
    int64_t answer = 0;
    expect(!tr_reply_wanted_raw(none));
    expect_int(tr_reply_raw(none, sizeof answer, &answer), -ESRCH);
    expect_int(tr_reply_error_raw(none, 1), -ESRCH);
}

static int reply_for_another(void *argument)
{
    struct number *number = argument;
    int64_t answer = number->value * 2;
    expect_int(tr_yield(), 0);
    return tr_reply(number->reply, &answer);
}

static int defer_to_task(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    expect_int(tr_defer(number->reply), 0);
    expect_int(tr_defer(number->reply), 0);
    struct tr_task_options options = { .argument_bytes = sizeof *number };
    expect_int(tr_task_spawn(NULL, reply_for_another, number, &options), 0);
    return 0;
}

TASK_TEST(defer_then_reply_from_other_task)
{
    struct number_address actor = test_handler(defer_to_task, NULL, 4, NULL);
    for (int i = 0; i < 300; i++)
        expect_int(test_ask(actor, 0, i), i * 2);
    wait_until(test_owed(actor) == 0);
}

static int answer_in_reverse(void *argument)
{
    (void)argument;
    struct number kept[10];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 10; i++)
            expect_int(tr_receive(&kept[i], TR_FOREVER), 0);
        for (int i = 9; i >= 0; i--)
            expect_int(tr_reply(kept[i].reply, &kept[i].value), 0);
    }
    return 0;
}

struct asker {
    struct number_address actor;
    int64_t value;
};

static int ask_once(void *argument)
{
    struct asker *asker = argument;
    expect_int(test_ask(asker->actor, ECHO, asker->value), asker->value);
    return 0;
}

TASK_TEST(call_many_at_once_answered_in_reverse_each_gets_its_own)
{
    struct tr_task actor_task, tasks[50];
    struct number_address actor = test_loop(answer_in_reverse, NULL, 4, &actor_task);
    for (int i = 0; i < 50; i++) {
        struct asker asker = { actor, i };
        expect_int(tr_task_spawn(&tasks[i], ask_once, &asker,
                                 &(struct tr_task_options){ .argument_bytes = sizeof asker }),
                   0);
    }
    for (int i = 0; i < 50; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(test_join(actor_task), 0);
}

/* ---- calls that cannot be ------------------------------------------------------------------------------------- */

static int call_self_loop(void *argument)
{
    struct number_address self;
    int64_t answer;
    (void)argument;
    expect_int(tr_self(&self), 0);
    expect_int(tr_call(self, &answer, tr_after(LONG_TIME), &(struct number){ .value = 1 }), -EDEADLK);
    struct number message;
    expect_int(tr_try_receive(&message), -EAGAIN); /* refused from the start: nothing was sent */
    return 0;
}

static int call_self_handler(void *state, void *message)
{
    struct number_address self;
    struct number *number = message;
    int64_t answer;
    (void)state;
    expect_int(tr_self(&self), 0);
    int64_t rc = tr_call(self, &answer, TR_FOREVER, &(struct number){ .value = 1 });
    tr_reply(number->reply, &rc);
    return 0;
}

TASK_TEST(call_self_edeadlk)
{
    struct tr_task task;
    test_loop(call_self_loop, NULL, 4, &task);
    expect_int(test_join(task), 0);
    expect_int(test_ask(test_handler(call_self_handler, NULL, 4, NULL), 0, 0), -EDEADLK);
}

/* ---- deadlines and cancellation ------------------------------------------------------------------------------- */

struct late {
    atomic_int entered, release, late_replies, wanted;
};

/* Answers late: each request when the next one, or a plain message, comes. */
static int answer_late(void *argument)
{
    struct late *late = argument;
    struct number message;
    while (tr_receive(&message, TR_FOREVER) == 0) {
        if (message.kind != SLOW) {
            tr_reply(message.reply, &message.value);
            continue;
        }
        atomic_store(&late->entered, 1);
        wait_until(atomic_load(&late->release));
        atomic_fetch_add(&late->wanted, tr_reply_wanted(message.reply));
        message.value = -1;
        atomic_fetch_add(&late->late_replies, tr_reply(message.reply, &message.value) == -ESRCH);
    }
    return 0;
}

TASK_TEST(call_timeout_then_late_reply_discarded)
{
    struct late late = { 0 };
    struct tr_task task;
    struct number_address actor = test_loop(answer_late, &late, 4, &task);
    for (int i = 1; i <= 5; i++) {
        int64_t answer = 99;
        atomic_store(&late.release, 0);
        expect_int(tr_call(actor, &answer, tr_after(20 * TR_MILLISECOND), &(struct number){ .kind = SLOW }),
                   -ETIMEDOUT);
        expect_int(answer, 99);
        atomic_store(&late.release, 1);
        expect_int(test_ask(actor, ECHO, i), i); /* this slot's next answer is this call's, not the late one */
        expect_int(answer, 99);
    }
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), 0);
    expect_int(atomic_load(&late.wanted), 0);
    expect(atomic_load(&late.late_replies) > 0);
}

static int call_slow(void *argument)
{
    int64_t answer = 7;
    int rc = tr_call(*(struct number_address *)argument, &answer, TR_FOREVER, &(struct number){ .kind = SLOW });
    expect_int(answer, 7);
    expect_int(tr_sleep(TR_MILLISECOND), -ECANCELED);
    return rc;
}

TASK_TEST(call_cancelled_while_it_waits_ecanceled)
{
    struct late late = { 0 };
    struct number_address actor = test_loop(answer_late, &late, 4, NULL);
    struct tr_task caller = test_task(call_slow, &actor);
    wait_until(atomic_load(&late.entered));
    expect_int(tr_task_cancel(caller), 0);
    expect_int(test_join(caller), -ECANCELED);
    atomic_store(&late.release, 1);
    wait_until(atomic_load(&late.late_replies) == 1);
    expect_int(test_ask(actor, ECHO, 5), 5);
}

TASK_TEST(call_now_never_waits)
{
    struct number_address handler = test_handler(serve_handler, NULL, 4, NULL);
    for (int i = 0; i < 100; i++) {
        int64_t answer = -7;
        int rc = tr_call(handler, &answer, TR_NOW, &(struct number){ .kind = PERHAPS, .value = i });
        expect(rc == -ETIMEDOUT || (rc == 0 && answer == i + 1));
        expect(rc == 0 || answer == -7);
        expect_int(test_ask(handler, ECHO, i), i + 1);
    }
}

/* ---- expired requests ----------------------------------------------------------------------------------------- */

static atomic_int expired_drops;

static void count_expired_drop(void *message)
{
    expect_int(((struct number *)message)->value, 1000);
    atomic_fetch_add(&expired_drops, 1);
}

struct expiry {
    atomic_int open, received, unwanted;
};

static int count_requests(void *argument)
{
    struct expiry *expiry = argument;
    struct number message;
    wait_until(atomic_load(&expiry->open));
    while (tr_receive(&message, TR_FOREVER) == 0) {
        atomic_fetch_add(&expiry->received, 1);
        if (message.value == 1000 && !tr_reply_wanted(message.reply))
            atomic_fetch_add(&expiry->unwanted, 1);
        tr_reply(message.reply, &message.value);
    }
    return 0;
}

static void send_three_that_expire(struct number_address actor)
{
    int64_t answer;
    for (int i = 0; i < 3; i++) {
        expect_int(tr_call(actor, &answer, tr_after(2 * TR_MILLISECOND), &(struct number){ .value = 1000 }),
                   -ETIMEDOUT);
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = 5 }), 0);
    }
    expect_int(test_queued(actor), 6);
}

TASK_TEST(expired_request_is_skipped_counted_and_dropped)
{
    struct tr_counters before, after;
    struct expiry expiry = { 0 };
    struct number_address actor;
    struct tr_actor_options options = { .capacity = 8, .drop = count_expired_drop };
    expect_int(tr_spawn(&actor, count_requests, &expiry, &options), 0);
    expect_int(tr_counters(&before), 0);
    send_three_that_expire(actor);
    atomic_store(&expiry.open, 1);
    expect_int(test_ask(actor, ECHO, 6), 6);
    expect_int(atomic_load(&expiry.received), 4);
    expect_int(atomic_load(&expired_drops), 3);
    expect_int(tr_counters(&after), 0);
    expect_int((int64_t)(after.expired_requests - before.expired_requests), 3);
}

TASK_TEST(expired_request_is_kept_where_asked)
{
    struct expiry expiry = { 0 };
    struct number_address actor;
    struct tr_actor_options options = { .capacity = 8, .keep_expired = true };
    expect_int(tr_spawn(&actor, count_requests, &expiry, &options), 0);
    send_three_that_expire(actor);
    atomic_store(&expiry.open, 1);
    expect_int(test_ask(actor, ECHO, 6), 6);
    expect_int(atomic_load(&expiry.received), 7);
    expect_int(atomic_load(&expiry.unwanted), 3);
}

static int handle_after_release(void *state, void *message)
{
    struct expiry *expiry = state;
    struct number *number = message;
    if (number->kind == SLOW)
        wait_until(atomic_load(&expiry->open));
    atomic_fetch_add(&expiry->received, 1);
    tr_reply(number->reply, &number->value);
    return 0;
}

TASK_TEST(expired_request_is_skipped_by_a_handler_too)
{
    struct expiry expiry = { 0 };
    struct number_address actor = test_handler(handle_after_release, &expiry, 8, NULL);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .kind = SLOW }), 0);
    wait_until(test_queued(actor) == 0);
    send_three_that_expire(actor);
    atomic_store(&expiry.open, 1);
    expect_int(test_ask(actor, ECHO, 6), 6);
    expect_int(atomic_load(&expiry.received), 5);
}

static int answer_late_in_another_size(void *argument)
{
    struct number message;
    (void)argument;
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    wait_until(!tr_reply_wanted(message.reply));
    return tr_reply_raw(message.reply.tri_raw, 3, "abc");
}

/* Nobody is there to be told of the size; the slot goes back all the same, which the end of the test sees. */
TASK_TEST(reply_late_and_of_the_wrong_size_esrch)
{
    struct tr_task task;
    int64_t answer;
    struct number_address actor;
    struct tr_actor_options options = { .keep_expired = true, .task = &task };
    expect_int(tr_spawn(&actor, answer_late_in_another_size, NULL, &options), 0);
    expect_int(tr_call(actor, &answer, tr_after(TR_MILLISECOND), &(struct number){ .kind = ECHO }), -ETIMEDOUT);
    expect_int(test_join(task), -ESRCH);
}

static struct number_address to_cancel; /* drop functions have no context */

static void cancel_in_drop(void *message)
{
    (void)message;
    expect_int(tr_actor_cancel(to_cancel), 0);
}

/* The cancel comes when the actor has looked for it, and finds nothing more to do. */
TASK_TEST(handler_cancelled_as_it_skips_an_expired_request_ecanceled)
{
    struct expiry expiry = { 0 };
    struct tr_task task;
    int64_t answer;
    struct tr_actor_options options = { .drop = cancel_in_drop, .task = &task };
    expect_int(tr_spawn_handler(&to_cancel, handle_after_release, &expiry, &options), 0);
    expect_int(tr_send(to_cancel, TR_FOREVER, &(struct number){ .kind = SLOW }), 0);
    wait_until(test_queued(to_cancel) == 0);
    expect_int(tr_call(to_cancel, &answer, tr_after(TR_MILLISECOND), &(struct number){ .value = 1000 }), -ETIMEDOUT);
    atomic_store(&expiry.open, 1);
    expect_int(test_join(task), -ECANCELED);
    expect_int(atomic_load(&expiry.received), 1);
}

static int take_after_expiry(void *argument)
{
    struct expiry *expiry = argument;
    struct number message, batch[8];
    wait_until(atomic_load(&expiry->open) == 1);
    expect_int(tr_try_receive(&message), -EAGAIN);
    expect_int(tr_receive(&message, TR_NOW), -ETIMEDOUT);
    atomic_store(&expiry->open, 2);
    wait_until(atomic_load(&expiry->open) == 3);
    expect_int(tr_receive_many(batch, 8, TR_FOREVER), 3);
    for (int i = 0; i < 3; i++)
        expect_int(batch[i].value, 5);
    return 0;
}

TASK_TEST(expired_request_alone_is_as_an_empty_mailbox)
{
    struct expiry expiry = { 0 };
    struct tr_task task;
    int64_t answer;
    struct number_address actor = test_loop(take_after_expiry, &expiry, 8, &task);
    for (int i = 0; i < 4; i++)
        expect_int(tr_call(actor, &answer, tr_after(TR_MILLISECOND), &(struct number){ .value = 1000 }), -ETIMEDOUT);
    atomic_store(&expiry.open, 1);
    wait_until(atomic_load(&expiry.open) == 2);
    send_three_that_expire(actor);
    atomic_store(&expiry.open, 3);
    expect_int(test_join(task), 0);
}

int main(void)
{
    return test_main("call",
                     TESTS(call_handler_returns_the_answer, call_loop_returns_the_answer,
                           call_leaves_the_callers_message_alone, call_through_a_chain_of_handlers_comes_back,
                           call_at_any_field_gets_that_fields_type, reply_to_a_message_that_nobody_asks_esrch,
                           defer_then_reply_from_other_task, call_many_at_once_answered_in_reverse_each_gets_its_own,
                           call_self_edeadlk, call_timeout_then_late_reply_discarded,
                           call_cancelled_while_it_waits_ecanceled, call_now_never_waits,
                           expired_request_is_skipped_counted_and_dropped, expired_request_is_kept_where_asked,
                           expired_request_is_skipped_by_a_handler_too, reply_late_and_of_the_wrong_size_esrch,
                           handler_cancelled_as_it_skips_an_expired_request_ecanceled,
                           expired_request_alone_is_as_an_empty_mailbox));
}
