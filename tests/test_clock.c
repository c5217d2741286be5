/* SPDX-License-Identifier: MIT */
/*
 * test_clock.c: clocks that stand, by the promises of troupe/time.h: time passes in steps, when nothing else happens, and
 * each timer fires at its own time; with one worker and with several, and with foreign threads beside them.
 */
#include "actor/scheduler.h"
#include "io/clock.h"
#include "tests/clock_support.h"

/* A test whose body is a task of a runtime whose clock stands. */
#define PAUSED_TEST(workers, name)                                                                                     \
    static void name##_body(void);                                                                                     \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        struct tr_options options = paused(workers);                                                                   \
        test_run_with(&options, name##_body);                                                                          \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    static void name##_body(void)

/* LONG_TIME is nothing here. */
static int join(struct tr_task task)
{
    int result = INT32_MIN;
    expect_int(tr_task_join(task, &result, TR_FOREVER), 0);
    return result;
}

/* Lets real time pass, without giving the worker back. */
static void burn(int64_t nanoseconds)
{
    tr_time until = tri_clock_real() + nanoseconds;
    while (tri_clock_real() < until)
        ;
}

/* ---- time that stands ----------------------------------------------------------------------------------------- */

PAUSED_TEST(0, paused_clock_stands_while_a_task_runs)
{
    tr_time now = tr_clock();
    burn(3 * TR_MILLISECOND);
    expect_int(tr_clock(), now);
    expect_int(tr_after(TR_SECOND), now + TR_SECOND);
    expect_int(tr_yield(), 0);
    expect_int(tr_clock(), now);
    expect_int(tr_after(0), now);
}

PAUSED_TEST(0, paused_sleep_is_exact_and_takes_no_time)
{
    tr_time real = tri_clock_real();
    static const int64_t spans[] = {
        1, 999, TR_TIMER_TICK, TR_TIMER_TICK + 1, TR_MILLISECOND, TR_SECOND, 365 * 24 * HOUR
    };
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        tr_time before = tr_clock();
        expect_int(tr_sleep(spans[i]), 0);
        expect_int(tr_clock() - before, spans[i]);
    }
    expect(tri_clock_real() - real < LONG_TIME);
}

enum { SLEEPERS = 500 };
static atomic_uint woken;
static tr_time woken_at[SLEEPERS * 2];

static int sleep_and_note(void *argument)
{
    tr_time until = tr_clock() + (intptr_t)argument;
    expect_int(tr_sleep_until(until), 0);
    expect_int(tr_clock(), until);
    expect_int(tr_after(0), until);
    woken_at[atomic_fetch_add(&woken, 1)] = until;
    return 0;
}

/* Spans of every size, many of them in one tick, some the same. */
static int64_t draw_span(uint64_t *seed)
{
    int64_t span = (int64_t)(test_random(seed) >> (1 + test_random(seed) % 20 + 20));
    return test_random(seed) % 4 ? span : span / TR_MILLISECOND * TR_MILLISECOND;
}

static void sleep_in_order(void)
{
    struct tr_task tasks[SLEEPERS];
    uint64_t seed = 11;
    for (int i = 0; i < SLEEPERS; i++) {
        struct tr_task_options options = { .pin = i % 3 ? TR_PIN_NONE : TR_PIN(i % (int)tr_worker_count()) };
        expect_int(tr_task_spawn(&tasks[i], sleep_and_note, (void *)(intptr_t)draw_span(&seed), &options), 0);
    }
    for (int i = 0; i < SLEEPERS; i++)
        expect_int(join(tasks[i]), 0);
    expect_int(atomic_load(&woken), SLEEPERS);
    for (int i = 1; i < SLEEPERS; i++)
        expect(woken_at[i - 1] <= woken_at[i]);
}

START_TEST(paused_timers_fire_in_order_each_at_its_time)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        struct tr_options options = paused(workers);
        atomic_store(&woken, 0);
        test_run_with(&options, sleep_in_order);
    }
}
END_TEST

static int never_answer(void *argument)
{
    struct number message;
    (void)argument;
    while (tr_receive(&message, TR_FOREVER) == 0)
        ;
    return 0;
}

PAUSED_TEST(0, paused_deadlines_of_every_wait_are_exact)
{
    struct number_address silent = test_loop(never_answer, NULL, 1, NULL);
    struct number_address slow = test_handler(echo, NULL, 4, NULL);
    tr_time before = tr_clock();
    int64_t answer;
    expect_int(tr_call(silent, &answer, tr_after(HOUR), &(struct number){ 0 }), -ETIMEDOUT);
    expect_int(tr_clock() - before, HOUR);
    expect_int(tr_call(slow, &answer, tr_after(HOUR), &(struct number){ .kind = HOUR + 1 }), -ETIMEDOUT);
    expect_int(tr_clock() - before, 2 * HOUR);
    expect_int(tr_call(slow, &answer, tr_after(2 * HOUR), &(struct number){ .kind = HOUR - 1, .value = 7 }), 0);
    expect_int(tr_clock() - before, 3 * HOUR); /* the one before had an instant left */
    struct tr_task task = test_task(sleep_and_note, (void *)(intptr_t)(2 * HOUR));
    expect_int(tr_task_join(task, NULL, tr_after(HOUR)), -ETIMEDOUT);
    expect_int(tr_clock() - before, 4 * HOUR);
    struct tr_shield shield;
    tr_shield_open(&shield, tr_after(HOUR / 2));
    expect_int(tr_sleep(HOUR), -ETIMEDOUT);
    tr_shield_close(&shield);
    expect_int(tr_clock() - before, 4 * HOUR + HOUR / 2);
    expect_int(join(task), 0);
    expect_int(tr_clock() - before, 5 * HOUR);
}

static int sleep_one_of_many(void *argument)
{
    expect_int(tr_sleep((intptr_t)argument), 0);
    return 0;
}

/* So many timers in one slot of the wheel that a scan for each would never end. */
PAUSED_TEST(0, paused_many_timers_at_one_time_and_in_one_tick)
{
    enum { COUNT = TEST_SANITIZED ? 2000 : 20000 };
    static struct tr_task tasks[COUNT];
    tr_time before = tr_clock();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++)
            tasks[i] = test_task(sleep_one_of_many, (void *)(intptr_t)(HOUR + (round ? i % 500 : 0)));
        for (int i = 0; i < COUNT; i++)
            expect_int(join(tasks[i]), 0);
    }
    expect_int(tr_clock() - before, 2 * HOUR + 499);
}

static int call_around(void *argument)
{
    struct number_address *actors = argument;
    for (int i = 0; i < (TEST_SANITIZED ? 500 : 5000); i++) {
        int64_t answer;
        expect_int(tr_call(actors[i % 8], &answer, tr_after(HOUR), &(struct number){ .value = i }), 0);
        expect_int(answer, i);
    }
    return 0;
}

/* Somebody is always about to answer, on another worker perhaps: nothing is idle, and no deadline comes. */
PAUSED_TEST(4, paused_clock_does_not_move_while_anybody_works)
{
    struct number_address actors[8];
    struct tr_task tasks[16];
    tr_time before = tr_clock();
    for (int i = 0; i < 8; i++)
        actors[i] = test_handler(echo, NULL, 2, NULL);
    for (int i = 0; i < 16; i++) {
        struct tr_task_options options = { .pin = TR_PIN(i % 4) };
        expect_int(tr_task_spawn(&tasks[i], call_around, actors, &options), 0);
    }
    for (int i = 0; i < 16; i++)
        expect_int(tr_task_join(tasks[i], NULL, tr_after(2 * HOUR)), 0);
    expect_int(tr_clock() - before, 0);
}

/* ---- moving it by hand ---------------------------------------------------------------------------------------- */

static int count_ticks(void *argument)
{
    for (;;) {
        int rc = tr_sleep(TR_SECOND);
        if (rc < 0)
            return rc == -ECANCELED ? 0 : rc;
        atomic_fetch_add((atomic_int *)argument, 1);
    }
}

PAUSED_TEST(0, advance_of_a_held_clock_runs_what_is_due_by_then)
{
    atomic_int ticks = 0;
    expect_int(tr_clock_hold(NULL), 0);
    struct tr_task task = test_task(count_ticks, &ticks);
    tr_time before = tr_clock();
    expect_int(tr_clock_advance(NULL, 0), 0); /* lets it begin its sleep */
    expect_int(tr_clock() - before, 0);
    expect_int(tr_clock_advance(NULL, TR_SECOND - 1), 0);
    expect_int(atomic_load(&ticks), 0);
    expect_int(tr_clock_advance(NULL, 1), 0);
    expect_int(atomic_load(&ticks), 1); /* and it has run */
    expect_int(tr_clock_advance(NULL, 10 * TR_SECOND), 0);
    expect_int(atomic_load(&ticks), 11); /* one after the other, not the last one alone */
    expect_int(tr_clock_advance(NULL, TR_SECOND / 2), 0);
    expect_int(atomic_load(&ticks), 11);
    expect_int(tr_clock() - before, 11 * TR_SECOND + TR_SECOND / 2);
    expect_int(tr_clock_release(NULL), 0);
    expect_int(tr_task_cancel(task), 0);
    expect_int(join(task), 0);
}

static int advance_by(void *argument)
{
    tr_time before = tr_clock();
    expect_int(tr_clock_advance(NULL, (intptr_t)argument), 0);
    expect_int(tr_clock() - before, (intptr_t)argument);
    return 0;
}

PAUSED_TEST(0, advance_by_several_at_once_goes_no_further)
{
    tr_time before = tr_clock();
    struct tr_task tasks[10];
    expect_int(tr_clock_hold(NULL), 0);
    for (int i = 0; i < 10; i++)
        tasks[i] = test_task(advance_by, (void *)(intptr_t)(i / 2 * TR_SECOND));
    for (int i = 0; i < 10; i++)
        expect_int(join(tasks[i]), 0);
    expect_int(tr_clock() - before, 4 * TR_SECOND);
    expect_int(tr_clock_release(NULL), 0);
}

static int advance_in_vain(void *argument)
{
    return tr_clock_advance(NULL, (intptr_t)argument);
}

PAUSED_TEST(0, advance_refuses_what_cannot_be)
{
    expect_int(tr_clock_advance(NULL, -1), -EINVAL);
    expect_int(tr_clock_advance(NULL, TR_FOREVER), -EINVAL);
    expect_int(tr_clock_release(NULL), -EINVAL);
    tr_time before = tr_clock();
    struct tr_task task = test_task(advance_in_vain, (void *)(intptr_t)HOUR);
    expect_int(tr_task_cancel(task), 0);
    expect_int(join(task), -ECANCELED);
    expect_int(tr_clock() - before, 0); /* an advance that was given up moves nothing */
    expect_int(tr_clock_resume(NULL), 0);
    expect_int(tr_clock_advance(NULL, 1), -EINVAL);
}

static int resume(void *runtime)
{
    return tr_clock_resume(runtime);
}

PAUSED_TEST(0, advance_of_a_clock_that_is_resumed_ends)
{
    struct tr_task task = test_task(resume, NULL);
    int rc = tr_clock_advance(NULL, 24 * HOUR);
    expect(rc == -EINVAL || rc == 0); /* with several workers the advance may have been the quicker one */
    expect_int(join(task), 0);
}

/* ---- stopping and going on ------------------------------------------------------------------------------------ */

TASK_TEST(pause_and_resume_lose_no_time)
{
    for (int i = 0; i < 20; i++) {
        tr_time before = tr_clock();
        expect_int(tr_clock_pause(NULL), 0);
        tr_time at = tr_clock();
        expect(at >= before);
        expect_int(tr_clock_pause(NULL), 0);
        burn(100 * TR_MICROSECOND);
        expect_int(tr_clock(), at);
        expect_int(tr_sleep(HOUR), 0);
        expect_int(tr_clock(), at + HOUR);
        expect_int(tr_clock_resume(NULL), 0);
        expect_int(tr_clock_resume(NULL), 0);
        tr_time resumed = tr_clock();
        expect(resumed >= at + HOUR && resumed < at + HOUR + LONG_TIME);
        expect_int(tr_sleep(200 * TR_MICROSECOND), 0);
        expect(tr_clock() >= resumed + 200 * TR_MICROSECOND);
    }
}

static int watch_the_clock(void *argument)
{
    tr_time last = 0;
    while (!atomic_load((atomic_int *)argument)) {
        tr_time now = tr_clock(), cached = tr_after(0);
        expect(now >= last && cached <= now);
        last = now;
        expect_int(tr_yield(), 0);
    }
    return 0;
}

static int pause_and_resume(void *argument)
{
    for (int i = 0; i < (TEST_SANITIZED ? 300 : 3000); i++) {
        expect_int(tr_clock_pause(NULL), 0);
        expect_int(tr_yield(), 0);
        expect_int(tr_clock_resume(NULL), 0);
        expect_int(tr_yield(), 0);
    }
    atomic_store((atomic_int *)argument, 1);
    return 0;
}

TASK_TEST_ON(2, clock_never_goes_back)
{
    atomic_int over = 0;
    struct tr_task a = test_task(watch_the_clock, &over), b = test_task(pause_and_resume, &over);
    expect_int(join(a), 0);
    expect_int(join(b), 0);
}

/* A worker that has gone to sleep for an hour of real time is told. */
TASK_TEST_ON(2, pause_reaches_those_who_sleep)
{
    struct tr_task_options other = { .pin = TR_PIN(1) };
    struct tr_task task;
    expect_int(tr_task_spawn(&task, sleep_one_of_many, (void *)(intptr_t)HOUR, &other), 0);
    expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
    expect_int(tr_clock_pause(NULL), 0);
    expect_int(join(task), 0);
}

/* ---- what keeps it from moving -------------------------------------------------------------------------------- */

/* Until every worker has gone to sleep and been woken again, so that it has had the chance to move the clock. */
static void make_idle(struct tr_runtime *runtime, struct number_address actor)
{
    uint64_t all = (UINT64_C(1) << runtime->workers) - 1;
    for (int i = 0; i < 3; i++) {
        while ((atomic_load(&runtime->idle) & all) != all)
            sched_yield();
        test_ask(actor, 0, i);
    }
}

static struct tr_task spawn_in(struct tr_runtime *runtime, int (*body)(void *argument), void *argument)
{
    struct tr_task task;
    struct tr_task_options options = { .runtime = runtime };
    expect_int(tr_task_spawn(&task, body, argument, &options), 0);
    return task;
}

static struct tr_task sleeper_in(struct tr_runtime *runtime, int64_t span)
{
    return spawn_in(runtime, sleep_one_of_many, (void *)(intptr_t)span);
}

START_TEST(hold_keeps_the_clock_release_lets_it_go)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct number_address actor;
        struct tr_runtime *runtime = start_paused(workers, &actor);
        tr_time before = tr_clock_of(runtime);
        expect_int(tr_clock_hold(runtime), 0);
        expect_int(tr_clock_hold(runtime), 0);
        struct tr_task task = sleeper_in(runtime, HOUR);
        make_idle(runtime, actor);
        expect_int(tr_clock_release(runtime), 0);
        make_idle(runtime, actor);
        expect_int(tr_clock_of(runtime), before);
        expect_int(tr_clock_advance(runtime, HOUR - 1), 0); /* by a foreign thread */
        expect_int(tr_clock_of(runtime), before + HOUR - 1);
        expect_int(tr_task_join(task, NULL, tr_clock() + TR_MILLISECOND), -ETIMEDOUT); /* real time, of ours */
        expect_int(tr_clock_release(runtime), 0);
        expect_int(join(task), 0);
        expect_int(tr_clock_of(runtime), before + HOUR);
        expect_int(tr_clock_release(runtime), -EINVAL);
        expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    }
}
END_TEST

static atomic_int called;

static int call_and_wait(void *argument)
{
    struct number_address *actor = argument;
    for (int i = 0; i < 10; i++) {
        int64_t answer;
        expect_int(tr_call(*actor, &answer, tr_after((i + 1) * HOUR), &(struct number){ .value = i }), 0);
    }
    atomic_store(&called, 1);
    return tr_sleep(TR_FOREVER) == -ECANCELED ? 0 : -1;
}

/* The alarms of waits that are over stay in the wheel. They are no reason for the clock to move. */
START_TEST(deadlines_of_waits_that_are_over_move_nothing)
{
    struct number_address actor;
    struct tr_runtime *runtime = start_paused(2, &actor);
    tr_time before = tr_clock_of(runtime);
    struct tr_task task = spawn_in(runtime, call_and_wait, &actor);
    expect_int(test_ask(actor, TR_SECOND, 1), 1); /* a handler that waits, and is idle again */
    while (!atomic_load(&called))                 /* some of the calls may have queued up behind that */
        sched_yield();
    make_idle(runtime, actor);
    expect_int(tr_clock_of(runtime), before + TR_SECOND);
    expect_int(tr_task_cancel(task), 0);
    expect_int(join(task), 0);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

static int listen_somewhere(void *argument)
{
    return tr_tcp_listen(argument, "127.0.0.1", 0, NULL);
}

static int connect_once(void *argument)
{
    struct tr_stream *stream;
    expect_int(tr_tcp_connect(&stream, "127.0.0.1", tr_listener_port(argument), TR_FOREVER), 0);
    tr_stream_close(stream);
    return 0;
}

static int close_listener(void *argument)
{
    return tr_listener_close(argument);
}

START_TEST(io_in_flight_keeps_the_clock_but_not_an_advance)
{
    struct number_address actor;
    struct tr_runtime *runtime = start_paused(2, &actor);
    struct tr_listener *listener;
    tr_time before = tr_clock_of(runtime);
    expect_int(join(spawn_in(runtime, listen_somewhere, &listener)), 0);
    struct tr_task acceptor = spawn_in(runtime, test_accept_one, listener);
    make_idle(runtime, actor);
    struct tr_task task = sleeper_in(runtime, HOUR), later = sleeper_in(runtime, 2 * HOUR);
    make_idle(runtime, actor);
    expect_int(tr_clock_of(runtime), before);
    expect_int(tr_clock_advance(runtime, HOUR), 0);
    expect_int(join(task), 0);
    make_idle(runtime, actor);
    expect_int(tr_clock_of(runtime), before + HOUR);
    expect_int(join(spawn_in(runtime, connect_once, listener)), 0);
    expect_int(join(acceptor), 0);
    expect_int(join(later), 0);
    expect_int(tr_clock_of(runtime), before + 2 * HOUR);
    expect_int(join(spawn_in(runtime, close_listener, listener)), 0);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

static int write_and_sleep(void *argument)
{
    struct tr_stream *pair[2];
    int fds[2];
    tr_time least = TR_SECOND;
    (void)argument;
    expect_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    expect_int(tr_stream_open(&pair[0], fds[0]), 0);
    expect_int(tr_stream_open(&pair[1], fds[1]), 0);
    for (int i = 0; i < 20; i++) {
        tr_time start = tri_clock_real();
        expect_int(tr_write_start(pair[0], "x", 1), 0);
        expect_int(tr_sleep(HOUR), 0);
        expect_int(tr_write_finish(pair[0], NULL, TR_NOW), 0);
        tr_time took = tri_clock_real() - start;
        least = took < least ? took : least;
    }
    expect(least < 10 * TR_MILLISECOND);
    tr_stream_close(pair[0]);
    tr_stream_close(pair[1]);
    return 0;
}

/* The clock stands while it goes out, which is at once. */
START_TEST(started_write_keeps_the_clock_for_a_moment)
{
    struct number_address actor;
    struct tr_runtime *runtime = start_paused(2, &actor);
    expect_int(join(spawn_in(runtime, write_and_sleep, NULL)), 0);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

START_TEST(paused_clock_does_not_go_where_no_deadline_is)
{
    struct number_address actor;
    struct tr_runtime *runtime = start_paused(2, &actor);
    tr_time before = tr_clock_of(runtime);
    expect_int(tr_send_at(NULL, actor, TR_FOREVER - TR_SECOND, &(struct number){ .value = 1 }), 0);
    usleep(20000);
    expect_int(tr_clock_of(runtime), before);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

int main(void)
{
    return test_main("clock",
                     TESTS(paused_clock_stands_while_a_task_runs, paused_sleep_is_exact_and_takes_no_time,
                           paused_timers_fire_in_order_each_at_its_time, paused_deadlines_of_every_wait_are_exact,
                           paused_clock_does_not_move_while_anybody_works,
                           paused_many_timers_at_one_time_and_in_one_tick,
                           advance_of_a_held_clock_runs_what_is_due_by_then, advance_by_several_at_once_goes_no_further,
                           advance_refuses_what_cannot_be, advance_of_a_clock_that_is_resumed_ends,
                           pause_and_resume_lose_no_time, clock_never_goes_back, pause_reaches_those_who_sleep,
                           hold_keeps_the_clock_release_lets_it_go, deadlines_of_waits_that_are_over_move_nothing,
                           io_in_flight_keeps_the_clock_but_not_an_advance, started_write_keeps_the_clock_for_a_moment,
                           paused_clock_does_not_go_where_no_deadline_is));
}
