/* SPDX-License-Identifier: MIT */
/*
 * test_cancel.c: cancellation by the promises of troupe/task.h: a level until it is taken, withheld inside a shield,
 * and a shield's deadline bounds every call in it.
 */
#include "tests/support.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static int sleep_long(void *argument)
{
    (void)argument;
    return tr_sleep(LONG_TIME);
}

TASK_TEST_ON(1, cancel_wakes_a_sleeper)
{
    struct tr_task task = test_task(sleep_long, NULL);
    test_settle();
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), -ECANCELED);
}

TASK_TEST(cancel_before_the_first_run_is_seen)
{
    for (int i = 0; i < 200; i++) {
        struct tr_task task = test_task(sleep_long, NULL);
        expect_int(tr_task_cancel(task), 0);
        expect_int(test_join(task), -ECANCELED);
    }
}

static int return_0(void *argument)
{
    (void)argument;
    return 0;
}

TASK_TEST_ON(1, cancel_ended_task_esrch)
{
    struct tr_task task = test_task(return_0, NULL);
    test_settle();
    expect_int(tr_task_cancel(task), -ESRCH);
    expect_int(test_join(task), 0);
}

static int see_level(void *argument)
{
    atomic_int *ready = argument;
    int64_t message[3];
    atomic_store(ready, 1);
    while (!tr_cancel_pending())
        if (tr_yield() != 0)
            break;
    for (int i = 0; i < 10; i++) {
        expect(tr_cancel_pending());
        expect_int(tr_sleep(TR_MILLISECOND), -ECANCELED);
        expect_int(tr_sleep_until(tr_after(TR_MILLISECOND)), -ECANCELED);
        expect_int(tr_yield(), -ECANCELED);
        expect_int(tr_receive_raw(sizeof message, message, TR_FOREVER), -ECANCELED);
        expect_int(tr_receive_many_raw(sizeof message, message, 1, TR_FOREVER), -ECANCELED);
    }
    expect(tr_cancel_taken());
    expect(!tr_cancel_taken());
    expect(!tr_cancel_pending());
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    expect_int(tr_yield(), 0);
    expect_int(tr_receive_raw(sizeof message, message, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    atomic_store(ready, 2);
    return tr_sleep(LONG_TIME);
}

TASK_TEST(cancel_is_level_until_taken)
{
    static atomic_int ready;
    struct tr_address address;
    struct tr_task task;
    static const struct tr_type type = { "block", 24, 8 };
    expect_int(tr_spawn_raw(&address, &type, see_level, &ready, &(struct tr_actor_options){ .task = &task }), 0);
    wait_until(atomic_load(&ready) == 1);
    expect_int(tr_task_cancel(task), 0);
    wait_until(atomic_load(&ready) == 2);
    expect_int(tr_task_cancel(task), 0); /* a second cancellation is a new one */
    expect_int(test_join(task), -ECANCELED);
}

struct cancelled_caller {
    atomic_int step;
    struct number_address address;
    struct tr_task other;
};

static int try_all_with_cancel_pending(void *argument)
{
    struct cancelled_caller *caller = argument;
    int64_t answer;
    while (!tr_cancel_pending())
        tr_yield();
    expect_int(tr_send(caller->address, TR_FOREVER, &(struct number){ .value = 1 }), -ECANCELED);
    expect_int(tr_call(caller->address, &answer, TR_FOREVER, &(struct number){ .value = 2 }), -ECANCELED);
    expect_int(tr_task_join(caller->other, NULL, TR_FOREVER), -ECANCELED);
    /* Calls that never suspend know nothing of it. */
    expect_int(tr_try_send(caller->address, &(struct number){ .value = 3 }), 0);
    return 0;
}

static int sum_values(void *state, void *message)
{
    atomic_fetch_add((atomic_int *)state, (int)((struct number *)message)->value);
    return 0;
}

TASK_TEST(cancel_pending_calls_have_no_effect)
{
    static atomic_int sum;
    struct cancelled_caller caller = { .address = test_handler(sum_values, &sum, 8, NULL),
                                       .other = test_task(return_0, NULL) };
    struct tr_task task = test_task(try_all_with_cancel_pending, &caller);
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), 0);
    expect_int(test_join(caller.other), 0);
    wait_until(atomic_load(&sum) == 3);
    expect_int(tr_sleep(5 * TR_MILLISECOND), 0);
    expect_int(atomic_load(&sum), 3);
}

static int take_note(void *state, void *message)
{
    struct number *number = message;
    atomic_int *handled = state;
    atomic_fetch_add(handled, 1);
    if (number->kind == 1) {
        while (!tr_cancel_pending())
            tr_yield();
        expect_int(tr_yield(), -ECANCELED);
        expect(tr_cancel_taken());
        expect(!tr_cancel_taken());
    }
    expect_int(tr_yield(), 0);
    return 0;
}

TASK_TEST(cancel_taken_by_a_handler_actor_lets_it_handle_what_it_has)
{
    static atomic_int handled;
    struct tr_task task;
    struct number_address actor = test_handler(take_note, &handled, 8, &task);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .kind = 1 }), 0);
    for (int i = 0; i < 5; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ 0 }), 0);
    wait_until(atomic_load(&handled) == 1);
    expect_int(tr_actor_cancel(actor), 0);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ 0 }), -ESRCH);
    expect_int(test_join(task), 0);
    expect_int(atomic_load(&handled), 6);
}

/* ---- shields -------------------------------------------------------------------------------------------------- */

static int work_in_shield(void *argument)
{
    atomic_int *step = argument;
    struct tr_shield shield;
    tr_shield_open(&shield, tr_after(LONG_TIME));
    atomic_store(step, 1);
    wait_until(tr_cancel_pending());
    for (int i = 0; i < 5; i++) {
        expect(tr_cancel_pending());
        expect_int(tr_sleep(TR_MILLISECOND), 0);
        expect_int(tr_yield(), 0);
    }
    tr_shield_close(&shield);
    expect_int(tr_sleep(TR_MILLISECOND), -ECANCELED);
    expect(tr_cancel_taken());
    return 0;
}

TASK_TEST(cancel_inside_shield_is_ignored_until_it_closes)
{
    static atomic_int step;
    struct tr_task task = test_task(work_in_shield, &step);
    wait_until(atomic_load(&step) == 1);
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), 0);
}

struct shielded {
    struct tr_task other;
    atomic_bool let_go, done;
};

static int wait_to_be_let_go(void *argument)
{
    struct shielded *shielded = argument;
    wait_until(atomic_load(&shielded->let_go));
    return 7;
}

static int join_in_shield(void *argument)
{
    struct shielded *shielded = argument;
    struct tr_shield shield;
    tr_shield_open(&shield, TR_FOREVER);
    expect_int(test_join(shielded->other), 7);
    tr_shield_close(&shield);
    atomic_store(&shielded->done, true);
    return 0;
}

TASK_TEST_ON(1, cancel_of_a_task_suspended_in_a_shield_waits)
{
    static struct shielded shielded;
    shielded.other = test_task(wait_to_be_let_go, &shielded);
    struct tr_task task = test_task(join_in_shield, &shielded);
    test_settle();
    expect_int(tr_task_cancel(task), 0);
    test_settle();
    expect(!atomic_load(&shielded.done));
    atomic_store(&shielded.let_go, true);
    expect_int(test_join(task), 0);
    expect(atomic_load(&shielded.done));
}

static int open_shield_with_cancel_pending(void *argument)
{
    (void)argument;
    expect_int(tr_sleep(LONG_TIME), -ECANCELED);
    struct tr_shield shield;
    tr_shield_open(&shield, tr_after(LONG_TIME));
    expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
    tr_shield_close(&shield);
    return tr_sleep(LONG_TIME);
}

TASK_TEST(shield_opened_after_the_cancel_lets_clean_up_work)
{
    struct tr_task task = test_task(open_shield_with_cancel_pending, NULL);
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), -ECANCELED);
}

static atomic_int release_stuck;

static int wait_for_release(void *argument)
{
    (void)argument;
    wait_until(atomic_load(&release_stuck));
    return 0;
}

/* Joins a task that does not end, and tells after how many milliseconds the shield's deadline came. */
static int64_t join_until_shield_ends(struct tr_task stuck, tr_time deadline)
{
    tr_time begin = tr_clock();
    expect_int(tr_task_join(stuck, NULL, deadline), -ETIMEDOUT);
    return (tr_clock() - begin) / TR_MILLISECOND;
}

TASK_TEST(shield_deadline_bounds_every_call)
{
    struct tr_task stuck = test_task(wait_for_release, NULL);
    struct tr_shield shield;
    tr_shield_open(&shield, tr_clock() + 20 * TR_MILLISECOND);
    expect(join_until_shield_ends(stuck, TR_FOREVER) >= 19);
    join_until_shield_ends(stuck, TR_FOREVER); /* passed: returns at once */
    join_until_shield_ends(stuck, TR_NOW);
    tr_shield_close(&shield);
    atomic_store(&release_stuck, 1);
    expect_int(test_join(stuck), 0);
}

TASK_TEST(shield_nested_tighter_deadline_wins)
{
    atomic_store(&release_stuck, 0);
    struct tr_task stuck = test_task(wait_for_release, NULL);
    struct tr_shield outer, inner;
    tr_shield_open(&outer, tr_clock() + 60 * TR_MILLISECOND);
    tr_shield_open(&inner, tr_clock() + 10 * TR_MILLISECOND); /* tighter inside */
    expect(join_until_shield_ends(stuck, TR_FOREVER) >= 9);
    tr_shield_close(&inner);
    tr_shield_open(&inner, TR_FOREVER); /* looser inside: the outer one still holds */
    join_until_shield_ends(stuck, TR_FOREVER);
    tr_shield_close(&inner);
    tr_shield_close(&outer);
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    atomic_store(&release_stuck, 1);
    expect_int(test_join(stuck), 0);
}

TASK_TEST(shield_that_cuts_a_sleep_short_says_so)
{
    struct tr_shield shield;
    tr_shield_open(&shield, tr_clock() + 5 * TR_MILLISECOND);
    expect_int(tr_sleep(LONG_TIME), -ETIMEDOUT);
    expect_int(tr_sleep(LONG_TIME), -ETIMEDOUT);
    tr_shield_close(&shield);
    expect_int(tr_sleep(TR_MILLISECOND), 0);
}

TASK_TEST(shield_closed_restores_the_deadlines)
{
    struct tr_shield shield;
    tr_shield_open(&shield, TR_NOW);
    tr_shield_close(&shield);
    int result;
    expect_int(tr_task_join(test_task(return_0, NULL), &result, tr_after(LONG_TIME)), 0);
}

static int nested_shields(void *argument)
{
    atomic_store((atomic_int *)argument, 1);
    expect_int(tr_sleep(LONG_TIME), -ECANCELED);
    struct tr_shield outer, inner;
    tr_shield_open(&outer, TR_FOREVER);
    tr_shield_open(&inner, TR_FOREVER);
    expect_int(tr_yield(), 0);
    tr_shield_close(&inner);
    expect_int(tr_yield(), 0); /* the outer one still holds */
    tr_shield_close(&outer);
    return tr_yield();
}

TASK_TEST(shield_inner_closed_outer_still_holds)
{
    static atomic_int step;
    struct tr_task task = test_task(nested_shields, &step);
    wait_until(atomic_load(&step));
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), -ECANCELED);
}

/* ---- racing --------------------------------------------------------------------------------------------------- */

static int sleep_shortly(void *argument)
{
    return tr_sleep((intptr_t)argument);
}

TASK_TEST(cancel_racing_with_the_deadline_ends_every_wait)
{
    uint64_t seed = 88172645463325252u;
    int cancelled = 0;
    for (int i = 0; i < 2000; i++) {
        struct tr_task task = test_task(sleep_shortly, (void *)(intptr_t)(test_random(&seed) % 300000));
        if (i % 3)
            expect_int(tr_sleep((int64_t)(test_random(&seed) % 300000)), 0);
        tr_task_cancel(task);
        int result = test_join(task);
        expect(result == 0 || result == -ECANCELED);
        cancelled += result == -ECANCELED;
    }
    expect(cancelled > 0);
}

static void *cancel_from_thread(void *argument)
{
    struct tr_task *tasks = argument;
    for (int i = 0; i < 100; i++)
        tr_task_cancel(tasks[i]);
    return NULL;
}

TASK_TEST(cancel_from_a_foreign_thread_wakes)
{
    struct tr_task tasks[100];
    for (int i = 0; i < 100; i++)
        tasks[i] = test_task(sleep_long, NULL);
    pthread_t thread;
    expect_int(pthread_create(&thread, NULL, cancel_from_thread, tasks), 0);
    for (int i = 0; i < 100; i++)
        expect_int(test_join(tasks[i]), -ECANCELED);
    expect_int(pthread_join(thread, NULL), 0);
}

/* ---- acceptors ------------------------------------------------------------------------------------------------- */

/* For one connection the kernel wakes one of those who wait, and may have chosen the one that is being cancelled. */
TASK_TEST_ON(1, a_cancelled_acceptor_loses_no_connection)
{
    struct tr_listener *listener;
    struct tr_task tasks[2];
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    expect_int(tr_tcp_listen(&listener, "127.0.0.1", 0, NULL), 0);
    for (int i = 0; i < 2; i++) {
        tasks[i] = test_task(test_accept_one, listener);
        test_settle();
    }
    address.sin_port = htons(tr_listener_port(listener));
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect_int(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    expect_int(tr_task_cancel(tasks[0]), 0);
    int rc = test_join(tasks[0]);
    if (rc == 0)
        tr_listener_abort(listener);
    expect(rc == 0 || rc == -ECANCELED);
    expect_int(test_join(tasks[1]), rc == 0 ? -EPIPE : 0);
    close(client);
    expect_int(tr_listener_close(listener), 0);
}

int main(void)
{
    return test_main(
        "cancel", TESTS(a_cancelled_acceptor_loses_no_connection, cancel_wakes_a_sleeper,
                        cancel_before_the_first_run_is_seen, cancel_ended_task_esrch, cancel_is_level_until_taken,
                        cancel_pending_calls_have_no_effect, cancel_taken_by_a_handler_actor_lets_it_handle_what_it_has,
                        cancel_inside_shield_is_ignored_until_it_closes, cancel_of_a_task_suspended_in_a_shield_waits,
                        shield_opened_after_the_cancel_lets_clean_up_work, shield_deadline_bounds_every_call,
                        shield_nested_tighter_deadline_wins, shield_that_cuts_a_sleep_short_says_so,
                        shield_closed_restores_the_deadlines, shield_inner_closed_outer_still_holds,
                        cancel_racing_with_the_deadline_ends_every_wait, cancel_from_a_foreign_thread_wakes));
}
