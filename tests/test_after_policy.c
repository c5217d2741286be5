/* SPDX-License-Identifier: MIT */
/*
 * test_after_policy.c: messages that are lost by policy, and what the drop function may do when it is told: reply to the caller. And
 * what becomes of an interval whose message is lost.
 */
#include "tests/gate.h"

#define MS TR_MILLISECOND
#define MESSAGE(v) (&(struct number){ .value = (v) })

static const enum tr_overflow policies[] = { TR_OVERFLOW_REJECT, TR_OVERFLOW_DROP_NEWEST, TR_OVERFLOW_DROP_OLDEST };

/* An actor with room for one message, which is there; the gate is shut. */
static struct number_address start_full(struct gate *gate, enum tr_overflow overflow, void (*drop)(void *message),
                                        struct tr_task *task)
{
    struct number_address actor;
    struct tr_actor_options options = { .capacity = 1, .overflow = overflow, .drop = drop, .task = task };
    expect_int(tr_spawn(&actor, note_values, gate, &options), 0);
    expect_int(tr_try_send(actor, MESSAGE(1)), 0);
    return actor;
}

static void open_and_stop(struct gate *gate, struct number_address actor, struct tr_task task)
{
    atomic_store(&gate->open, 1);
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), -EPIPE);
}

/* ---- an interval whose message is lost ------------------------------------------------------------------------- */

static struct tr_timer timer;

static struct tr_actor_info info_of(struct number_address actor)
{
    struct tr_actor_info info;
    expect_int(tr_actor_info(actor, &info), 0);
    return info;
}

TASK_TEST(an_interval_goes_on_when_its_message_is_lost)
{
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        struct gate *gate = test_new(sizeof *gate);
        struct tr_actor_info info;
        struct tr_task task;
        struct number_address actor = start_full(gate, policies[i], NULL, &task);
        expect_int(tr_send_interval(&timer, actor, MS, MESSAGE(2)), 0);
        wait_until((info = info_of(actor), info.rejected + info.dropped_newest + info.dropped_oldest >= 3));
        atomic_store(&gate->open, 1);
        wait_until(atomic_load(&gate->received) >= 5);
        expect_int(tr_timer_cancel(timer), 0);
        open_and_stop(gate, actor, task);
    }
}

/* ---- a drop function that replies ------------------------------------------------------------------------------ */

static atomic_int replied;

static void drop_replies(void *message)
{
    struct number *number = message;
    int64_t answer = 77;
    if (number->value == 9)
        atomic_store(&replied, tr_reply(number->reply, &answer));
}

static int call_nine(void *argument)
{
    int64_t answer = 5;
    int rc = tr_call(*(struct number_address *)argument, &answer, TR_FOREVER, MESSAGE(9));
    expect_int(answer, 5);
    return rc;
}

TASK_TEST_ON(1, the_caller_of_a_message_that_is_dropped_is_told_so_before_the_drop_function)
{
    for (int i = 1; i < 3; i++) {
        struct gate *gate = test_new(sizeof *gate);
        struct tr_task task;
        atomic_store(&replied, 1);
        struct number_address actor = start_full(gate, policies[i], drop_replies, &task);
        struct tr_task caller = test_task(call_nine, &actor);
        test_settle();
        expect_int(tr_send(actor, TR_FOREVER, MESSAGE(2)), 0); /* pushes the request out, if that is the policy */
        expect_int(test_join(caller), -ENOBUFS);
        expect_int(atomic_load(&replied), -ESRCH);
        open_and_stop(gate, actor, task);
    }
}

int main(void)
{
    return test_main("after_policy",
                     TESTS(an_interval_goes_on_when_its_message_is_lost,
                           the_caller_of_a_message_that_is_dropped_is_told_so_before_the_drop_function));
}
