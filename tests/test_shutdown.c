/* SPDX-License-Identifier: MIT */
/*
 * test_shutdown.c: the phases of a shutdown, asked for by a task, by the end of main, or by a signal; and who will not end.
 */
#include "tests/support.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static int sleep_for_ever(void *argument)
{
    int rc = tr_sleep(TR_FOREVER);
    if (argument)
        atomic_store((atomic_int *)argument, rc);
    return rc == -ECANCELED ? 0 : rc;
}

static int receive_until_stopped(void *argument)
{
    struct number message;
    (void)argument;
    while (tr_receive(&message, TR_FOREVER) == 0)
        continue;
    return 0;
}

/* ---- phases --------------------------------------------------------------------------------------------------- */

static atomic_int handled, cancelled_rc;

static int count_message(void *state, void *message)
{
    (void)state;
    (void)message;
    expect_int(tr_yield(), 0);
    atomic_fetch_add(&handled, 1);
    return 0;
}

static void leave_work(void)
{
    struct number_address actor = test_handler(count_message, NULL, 32, NULL);
    for (int i = 0; i < 20; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    expect_int(tr_task_spawn(NULL, sleep_for_ever, &cancelled_rc, NULL), 0);
    test_loop(receive_until_stopped, NULL, 4, NULL);
}

START_TEST(shutdown_actors_drain_and_tasks_are_cancelled)
{
    struct tr_options options = test_options(0);
    options.stop_ns = 200 * TR_MILLISECOND;
    test_run_with(&options, leave_work);
    expect_int(atomic_load(&handled), 20);
    expect_int(atomic_load(&cancelled_rc), -ECANCELED);
}
END_TEST

static atomic_int slept_rc, drained;

static int sleep_a_little(void *argument)
{
    (void)argument;
    atomic_store(&slept_rc, 1 + tr_sleep(30 * TR_MILLISECOND));
    return 0;
}

static int drain_slowly(void *state, void *message)
{
    (void)state;
    (void)message;
    expect_int(tr_sleep(10 * TR_MILLISECOND), 0);
    atomic_fetch_add(&drained, 1);
    return 0;
}

static void leave_slow_work(void)
{
    struct number_address actor = test_handler(drain_slowly, NULL, 32, NULL);
    for (int i = 0; i < 12; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    expect_int(tr_task_spawn(NULL, sleep_a_little, NULL, NULL), 0);
}

START_TEST(shutdown_cancels_tasks_only_when_the_actors_have_drained)
{
    struct tr_options options = test_options(0);
    options.stop_ns = LONG_TIME;
    test_run_with(&options, leave_slow_work);
    expect_int(atomic_load(&drained), 12);
    expect_int(atomic_load(&slept_rc), 1);
}
END_TEST

static int spawn_while_shutting_down(void *argument)
{
    struct number_address actor;
    expect_int(tr_sleep(TR_FOREVER), -ECANCELED);
    atomic_store((atomic_int *)argument, tr_task_spawn(NULL, sleep_for_ever, NULL, NULL));
    expect_int(tr_spawn(&actor, receive_until_stopped, NULL, NULL), -ECANCELED);
    return 0;
}

static void leave_spawner(void)
{
    expect_int(tr_task_spawn(NULL, spawn_while_shutting_down, &cancelled_rc, NULL), 0);
}

START_TEST(shutdown_refuses_new_tasks_ecanceled)
{
    test_run(0, leave_spawner);
    expect_int(atomic_load(&cancelled_rc), -ECANCELED);
}
END_TEST

static int shut_down_from_inside(void *argument)
{
    test_loop(receive_until_stopped, NULL, 4, NULL);
    expect_int(tr_shutdown(argument ? TR_FOREVER : tr_after(LONG_TIME)), 0);
    return tr_sleep(argument ? LONG_TIME : TR_FOREVER);
}

START_TEST(shutdown_from_inside_cancels_main)
{
    struct tr_options options = test_options(0);
    expect_int(tr_run(&options, shut_down_from_inside, NULL), -ECANCELED);
    expect_int(tr_run(&options, shut_down_from_inside, &options), -ECANCELED); /* with all the time in the world */
}
END_TEST

/* ---- signals -------------------------------------------------------------------------------------------------- */

static int raise_signal(void *argument)
{
    expect_int(kill(getpid(), (int)(intptr_t)argument), 0);
    return tr_sleep(LONG_TIME);
}

static void note_signal(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
}

static int raise_again(void *argument)
{
    struct tr_shield shield;
    (void)argument;
    tr_sleep(TR_FOREVER);
    tr_shield_open(&shield, TR_FOREVER);
    expect_int(kill(getpid(), SIGTERM), 0);
    tr_sleep(20 * TR_MILLISECOND);
    tr_shield_close(&shield);
    return 0;
}

static int raise_two_signals(void *argument)
{
    expect_int(tr_task_spawn(NULL, raise_again, NULL, NULL), 0);
    return raise_signal(argument);
}

/* The second comes when main has returned. */
START_TEST(signal_during_the_shutdown_means_the_same_shutdown)
{
    struct tr_options options = test_options(0);
    struct sigaction before = { .sa_handler = note_signal };
    sigaction(SIGTERM, &before, NULL);
    expect_int(tr_run(&options, raise_two_signals, (void *)SIGTERM), -ECANCELED);
    expect_int(atomic_load(&handled), 0);
    kill(getpid(), SIGTERM); /* but it is the program's again */
    expect_int(atomic_load(&handled), 1);
}
END_TEST

static int clean_up_while_signalled(void *argument)
{
    (void)argument;
    expect_int(raise_signal((void *)SIGINT), -ECANCELED);
    tr_cancel_taken();
    for (int i = 0; i < 20; i++) {
        expect_int(kill(getpid(), i % 2 ? SIGINT : SIGTERM), 0);
        expect_int(tr_sleep(TR_MILLISECOND), 0); /* clean-up goes on undisturbed */
    }
    return 7;
}

START_TEST(signal_during_the_clean_up_of_main_does_not_cancel_it_again)
{
    struct tr_options options = test_options(0);
    options.shutdown_ns = LONG_TIME;
    expect_int(tr_run(&options, clean_up_while_signalled, NULL), 7);
}
END_TEST

START_TEST(signal_begins_the_shutdown_with_main_cancelled)
{
    struct tr_options options = test_options(0);
    struct sigaction before = { .sa_handler = note_signal }, after;
    sigaction(SIGTERM, &before, NULL);
    sigaction(SIGINT, &before, NULL);
    expect_int(tr_run(&options, raise_signal, (void *)SIGTERM), -ECANCELED);
    options.shutdown_ns = TR_FOREVER;
    expect_int(tr_run(&options, raise_signal, (void *)SIGINT), -ECANCELED);
    expect_int(atomic_load(&handled), 0);
    sigaction(SIGTERM, NULL, &after);
    expect(after.sa_handler == note_signal); /* given back */
    sigaction(SIGINT, NULL, &after);
    expect(after.sa_handler == note_signal);
}
END_TEST

static void raise_and_go_on(void)
{
    expect_int(kill(getpid(), SIGTERM), 0);
    wait_until(atomic_load(&handled) == 1);
    expect_int(tr_sleep(5 * TR_MILLISECOND), 0);
}

START_TEST(signal_left_alone_with_keep_signals)
{
    struct tr_options options = test_options(0);
    struct sigaction mine = { .sa_handler = note_signal };
    sigaction(SIGTERM, &mine, NULL);
    options.keep_signals = true;
    test_run_with(&options, raise_and_go_on);
    expect_int(atomic_load(&handled), 1);
}
END_TEST

/* ---- who will not end ----------------------------------------------------------------------------------------- */

static atomic_int release_stuck;

/* Deaf to cancellation until it is released. */
static int stay_stuck(void *argument)
{
    (void)argument;
    while (!atomic_load(&release_stuck)) {
        tr_cancel_taken();
        tr_sleep(TR_MILLISECOND);
    }
    return 0;
}

static int stay_stuck_in_a_receive(void *argument)
{
    struct tr_shield shield;
    struct number message;
    (void)argument;
    tr_shield_open(&shield, TR_FOREVER);
    while (!atomic_load(&release_stuck))
        if (tr_receive(&message, tr_after(10 * TR_MILLISECOND)) == -EPIPE)
            tr_sleep(TR_MILLISECOND);
    tr_shield_close(&shield);
    return 0;
}

START_TEST(shutdown_with_stuck_tasks_names_them_and_etimedout)
{
    struct tr_runtime *runtime;
    struct tr_options options = test_options(0);
    expect_int(tr_start(&runtime, &options), 0);
    struct tr_task_options task = { .name = "stuck-in-the-mud", .runtime = runtime };
    expect_int(tr_task_spawn(NULL, stay_stuck, NULL, &task), 0);
    struct number_address actor;
    struct tr_actor_options stuck = { .name = "deaf-actor", .runtime = runtime };
    expect_int(tr_spawn(&actor, stay_stuck_in_a_receive, NULL, &stuck), 0);
    test_log_capture(TR_LOG_INFO);
    expect_int(tr_stop(runtime, tr_after(300 * TR_MILLISECOND)), -ETIMEDOUT);
    expect(test_log_has("stuck-in-the-mud"));
    expect(test_log_has("deaf-actor"));
    expect_int(tr_stop(runtime, tr_after(20 * TR_MILLISECOND)), -ETIMEDOUT);
    atomic_store(&release_stuck, 1);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    test_log_release();
}
END_TEST

static int own_a_stuck_one(void *argument)
{
    struct tr_task_options owned = { .name = "stuck-in-the-mud", .owned = true };
    expect_int(tr_task_spawn(NULL, stay_stuck, NULL, &owned), 0);
    return (int)(intptr_t)argument;
}

static int drain_for_a_while(void *argument)
{
    receive_until_stopped(NULL);
    tr_sleep(20 * TR_MILLISECOND);
    atomic_store((atomic_int *)argument, 1);
    return 0;
}

static int own_a_stuck_one_beside_an_actor(void *argument)
{
    test_loop(drain_for_a_while, &drained, 4, NULL);
    return own_a_stuck_one(argument);
}

/* The stuck one has not used up the time of the others. */
static int run_with_an_actor_beside(void)
{
    struct tr_options options = test_options(0);
    options.stop_ns = 500 * TR_MILLISECOND;
    options.shutdown_ns = 3 * TR_SECOND;
    return tr_run(&options, own_a_stuck_one_beside_an_actor, (void *)7) == 7 && atomic_load(&drained) ? 0 : 1;
}

/* In a process that ends with the tasks that are left behind. */
static int run_with_a_stuck_one(void)
{
    struct tr_options options = test_options(0);
    options.shutdown_ns = 100 * TR_MILLISECOND;
    test_log_capture(TR_LOG_INFO);
    int rc = tr_run(&options, own_a_stuck_one, (void *)7);
    return rc == 7 && test_log_has("stuck-in-the-mud") ? 0 : 1;
}

START_TEST(shutdown_with_main_waiting_for_a_stuck_task_that_it_owns_is_bounded)
{
    expect_int(test_in_child(run_with_a_stuck_one), 0);
    expect_int(test_in_child(run_with_an_actor_beside), 0);
}
END_TEST

int main(void)
{
    return test_main("shutdown",
                     TESTS(shutdown_actors_drain_and_tasks_are_cancelled,
                           shutdown_cancels_tasks_only_when_the_actors_have_drained,
                           shutdown_refuses_new_tasks_ecanceled, shutdown_from_inside_cancels_main,
                           signal_begins_the_shutdown_with_main_cancelled,
                           signal_during_the_shutdown_means_the_same_shutdown,
                           signal_during_the_clean_up_of_main_does_not_cancel_it_again,
                           signal_left_alone_with_keep_signals, shutdown_with_stuck_tasks_names_them_and_etimedout,
                           shutdown_with_main_waiting_for_a_stuck_task_that_it_owns_is_bounded));
}
