/* SPDX-License-Identifier: MIT */
/*
 * test_select.c: waiting for the first of several: on semaphores, timers, the own mailbox and sockets. What every row comes
 * back to: one case is carried out, the others are as if nobody had waited.
 */
#include "support.h"
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

/* ---- without waiting ------------------------------------------------------------------------------------------ */

TASK_TEST(select_ready_takes_one_and_leaves_the_rest)
{
    struct tr_semaphore a = TR_SEMAPHORE_INIT(0), b = TR_SEMAPHORE_INIT(3), c = TR_SEMAPHORE_INIT(0);
    struct tr_case cases[] = { tr_case_acquire(&a, 1), tr_case_acquire(&b, 2), tr_case_acquire(&c, 1) };
    expect_int(tr_select(cases, 3, TR_NOW, TR_SELECT_FAIR), 1);
    expect_int(cases[1].result, 0);
    expect_int(tr_semaphore_available(&b), 1);
    expect_int(tr_select(cases, 3, TR_NOW, TR_SELECT_FAIR), -ETIMEDOUT);
    expect_int(tr_semaphore_available(&b), 1);
}

TASK_TEST(select_ordered_takes_the_first_that_is_ready)
{
    struct tr_semaphore a = TR_SEMAPHORE_INIT(0), b = TR_SEMAPHORE_INIT(50), c = TR_SEMAPHORE_INIT(50);
    struct tr_case cases[] = { tr_case_acquire(&a, 1), tr_case_acquire(&b, 1), tr_case_acquire(&c, 1) };
    for (int i = 0; i < 50; i++)
        expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_ORDERED), 1);
    expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_ORDERED), 2);
}

/* 64 cases, two neighbours of them ready: each gets its share. */
TASK_TEST(select_fair_lets_no_case_starve)
{
    struct tr_semaphore idle = TR_SEMAPHORE_INIT(0), a = TR_SEMAPHORE_INIT(4000), b = TR_SEMAPHORE_INIT(4000);
    struct tr_case cases[64];
    for (int i = 0; i < 64; i++)
        cases[i] = tr_case_acquire(i == 20 ? &a : i == 21 ? &b : &idle, 1);
    for (int i = 0; i < 4000; i++) {
        int which = tr_select(cases, 64, TR_FOREVER, TR_SELECT_FAIR);
        expect(which == 20 || which == 21);
    }
    expect(tr_semaphore_available(&a) > 1500 && tr_semaphore_available(&b) > 1500);
}

TASK_TEST(select_closed_counts_as_ready)
{
    struct tr_semaphore a = TR_SEMAPHORE_INIT(0), b = TR_SEMAPHORE_INIT(0);
    tr_semaphore_close(&b);
    struct tr_case cases[] = { tr_case_acquire(&a, 1), tr_case_acquire(&b, 1) };
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(cases[1].result, -EPIPE);
}

TASK_TEST(select_of_nothing_is_refused)
{
    struct tr_case cases[2] = { tr_case_never() };
    expect_int(tr_select(cases, 0, TR_FOREVER, TR_SELECT_FAIR), -EINVAL);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), -EINVAL);
    expect_int(tr_select(cases, 1, TR_NOW, TR_SELECT_FAIR), -ETIMEDOUT);
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

TASK_TEST(select_timer_wins_when_nothing_else_does)
{
    struct tr_semaphore a = TR_SEMAPHORE_INIT(0);
    tr_time when = tr_clock() + 3 * TR_MILLISECOND;
    struct tr_case cases[] = { tr_case_acquire(&a, 1), tr_case_timer(when), tr_case_timer(when + TR_SECOND) };
    expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(cases[1].result, 0);
    expect(tr_clock() >= when);
    expect_int(tr_select(cases, 3, TR_NOW, TR_SELECT_FAIR), 1);
}

/* As with any case that is ready when the deadline comes. */
TASK_TEST(select_timer_at_the_deadline_wins)
{
    tr_time when = tr_after(TR_MILLISECOND);
    struct tr_case timer = tr_case_timer(when);
    expect_int(tr_select(&timer, 1, when, TR_SELECT_FAIR), 0);
    expect_int(timer.result, 0);
}

TASK_TEST(select_deadline_before_the_timer)
{
    struct tr_semaphore a = TR_SEMAPHORE_INIT(0);
    struct tr_case cases[] = { tr_case_acquire(&a, 1), tr_case_timer(tr_after(LONG_TIME)), tr_case_never() };
    expect_int(tr_select(cases, 3, tr_after(TR_MILLISECOND), TR_SELECT_FAIR), -ETIMEDOUT);
    expect_int(tr_semaphore_release(&a, 1), 0);
    expect_int(tr_semaphore_available(&a), 1);
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

struct selecting {
    struct tr_semaphore a, b;
    struct tr_case cases[2];
    atomic_int which;
};

static int select_two(void *argument)
{
    struct selecting *s = argument;
    s->cases[0] = tr_case_acquire(&s->a, 1);
    s->cases[1] = tr_case_acquire(&s->b, 1);
    int which = tr_select(s->cases, 2, TR_FOREVER, TR_SELECT_FAIR);
    s->which = which;
    return which;
}

static int acquire_a(void *argument)
{
    struct selecting *s = argument;
    return tr_semaphore_acquire(&s->a, 1, TR_FOREVER);
}

TASK_TEST_ON(1, select_waits_for_either)
{
    for (int turn = 0; turn < 2; turn++) {
        struct selecting *s = test_new(sizeof *s);
        struct tr_task task = test_task(select_two, s);
        test_settle();
        expect_int(tr_semaphore_release(turn ? &s->b : &s->a, 1), 0);
        expect_int(test_join(task), turn);
        expect_int(tr_semaphore_release(turn ? &s->a : &s->b, 1), 0);
        expect_int(tr_semaphore_available(turn ? &s->a : &s->b), 1); /* nobody queues there any more */
    }
}

/* Behind a select that has lost its interest nobody waits longer. */
TASK_TEST_ON(1, select_loser_holds_nobody_up)
{
    struct selecting *s = test_new(sizeof *s);
    struct tr_task task = test_task(select_two, s);
    test_settle();
    struct tr_task behind = test_task(acquire_a, s);
    test_settle();
    expect_int(tr_semaphore_release(&s->b, 1), 0); /* the select is claimed, but has not run yet */
    expect_int(tr_semaphore_release(&s->a, 1), 0);
    expect_int(test_join(behind), 0);
    expect_int(test_join(task), 1);
}

TASK_TEST_ON(1, select_same_thing_twice)
{
    struct selecting *s = test_new(sizeof *s);
    struct tr_case cases[] = { tr_case_acquire(&s->a, 2), tr_case_acquire(&s->a, 1),
                               tr_case_timer(tr_after(TR_MILLISECOND)) };
    expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_FAIR), 2);
    expect_int(tr_semaphore_release(&s->a, 1), 0);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(tr_semaphore_available(&s->a), 0);
}

TASK_TEST_ON(1, select_cancelled_has_taken_nothing)
{
    struct selecting *s = test_new(sizeof *s);
    struct tr_task task = test_task(select_two, s);
    test_settle();
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), -ECANCELED);
    expect_int(tr_semaphore_release(&s->a, 1), 0);
    expect_int(tr_semaphore_available(&s->a), 1);
}

/* What has been carried out counts, the cancellation is told by the next call. */
TASK_TEST_ON(1, select_cancelled_too_late)
{
    struct selecting *s = test_new(sizeof *s);
    struct tr_task task = test_task(select_two, s);
    test_settle();
    expect_int(tr_semaphore_release(&s->a, 1), 0);
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), 0);
    expect_int(tr_semaphore_available(&s->a), 0);
}

static void *select_on_thread(void *argument)
{
    select_two(argument);
    return NULL;
}

TASK_TEST(select_on_a_foreign_thread)
{
    struct selecting *s = test_new(sizeof *s);
    pthread_t thread;
    s->which = -1;
    expect_int(pthread_create(&thread, NULL, select_on_thread, s), 0);
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    expect_int(tr_semaphore_release(&s->b, 1), 0);
    wait_until(s->which == 1);
    pthread_join(thread, NULL);
}

/* As many as one likes, known at run time. */
TASK_TEST(select_thousand_cases)
{
    enum { COUNT = 1000 };
    struct tr_semaphore *things = test_new(COUNT * sizeof *things);
    struct tr_case *cases = test_new(COUNT * sizeof *cases);
    for (int i = 0; i < COUNT; i++)
        cases[i] = tr_case_acquire(&things[i], 1);
    for (int i = 0; i < COUNT; i += 37) {
        expect_int(tr_semaphore_release(&things[i], 1), 0);
        expect_int(tr_select(cases, COUNT, TR_FOREVER, TR_SELECT_FAIR), i);
    }
    expect_int(tr_select(cases, COUNT, tr_after(TR_MILLISECOND), TR_SELECT_FAIR), -ETIMEDOUT);
    for (int i = 0; i < COUNT; i++)
        expect(things[i].tri_line == NULL);
}

/* ---- the own mailbox ------------------------------------------------------------------------------------------ */

struct listening {
    struct tr_semaphore quit;
    int64_t sum;
    unsigned timers;
};

static int receive_or_quit(void *argument)
{
    struct listening *l = argument;
    struct number message;
    for (;;) {
        struct tr_case cases[] = { tr_case_message(&message), tr_case_acquire(&l->quit, 1),
                                   tr_case_timer(tr_after(LONG_TIME)) };
        int which = tr_select(cases, 3, TR_FOREVER, TR_SELECT_ORDERED);
        if (which != 0)
            return which;
        if (cases[0].result < 0)
            return cases[0].result;
        l->sum += message.value;
        if (tr_reply_wanted(message.reply))
            tr_reply(message.reply, &l->sum);
    }
}

TASK_TEST(select_message_by_send_and_call)
{
    struct listening *l = test_new(sizeof *l);
    struct tr_task task;
    struct number_address address = test_loop(receive_or_quit, l, 4, &task);
    for (int i = 0; i < 100; i++)
        expect_int(tr_send(address, TR_FOREVER, &(struct number){ .value = 1 }), 0);
    expect_int(test_ask(address, 0, 1), 101);
    for (int i = 0; i < 50; i++) {
        expect_int(test_ask(address, 0, 1), 102 + i);
        expect_int(tr_yield(), 0);
    }
    expect_int(tr_semaphore_release(&l->quit, 1), 0);
    expect_int(test_join(task), 1);
}

TASK_TEST(select_message_of_a_stopped_actor)
{
    struct listening *l = test_new(sizeof *l);
    struct tr_task task;
    struct number_address address = test_loop(receive_or_quit, l, 4, &task);
    expect_int(tr_send(address, TR_FOREVER, &(struct number){ .value = 7 }), 0);
    expect_int(tr_actor_stop(address), 0);
    expect_int(test_join(task), -EPIPE);
    expect_int(l->sum, 7);
}

TASK_TEST(select_message_outside_an_actor)
{
    struct number message;
    struct tr_case cases[] = { tr_case_message(&message) };
    expect_int(tr_select(cases, 1, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(cases[0].result, -EINVAL);
}

/* After a select has gone another way the mailbox is received from as ever. */
static int select_then_receive(void *argument)
{
    struct listening *l = argument;
    struct number message;
    for (int i = 0; i < 20; i++) {
        struct tr_case cases[] = { tr_case_acquire(&l->quit, 1), tr_case_message(&message) };
        int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR);
        expect_int(which, 0);
        expect_int(tr_receive(&message, TR_FOREVER), 0);
        expect_int(message.value, i);
        int64_t answer = i;
        if (tr_reply_wanted(message.reply))
            tr_reply(message.reply, &answer);
    }
    return 0;
}

TASK_TEST_ON(1, select_then_receive_and_call)
{
    struct listening *l = test_new(sizeof *l);
    struct tr_task task;
    struct number_address address = test_loop(select_then_receive, l, 4, &task);
    for (int i = 0; i < 20; i++) {
        test_settle();
        expect_int(tr_semaphore_release(&l->quit, 1), 0);
        test_settle();
        expect_int(test_ask(address, 0, i), i);
    }
    expect_int(test_join(task), 0);
}

/* ---- sockets -------------------------------------------------------------------------------------------------- */

struct pair {
    struct tr_stream *near, *far;
};

static struct pair open_pair(void)
{
    int fds[2];
    struct pair pair;
    expect_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    expect_int(tr_stream_open(&pair.near, fds[0]), 0);
    expect_int(tr_stream_open(&pair.far, fds[1]), 0);
    return pair;
}

static void close_pair(struct pair pair)
{
    tr_stream_close(pair.near);
    tr_stream_close(pair.far);
}

static int write_later(void *argument)
{
    expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
    expect_int(tr_write(argument, "x", 1, TR_FOREVER), 0);
    return 0;
}

TASK_TEST(select_socket_becomes_readable)
{
    struct pair pair = open_pair();
    struct tr_semaphore never = TR_SEMAPHORE_INIT(0);
    struct tr_case cases[] = { tr_case_acquire(&never, 1), tr_case_readable(pair.near) };
    char byte;
    expect_int(tr_select(cases, 2, TR_NOW, TR_SELECT_FAIR), -ETIMEDOUT);
    struct tr_task writer = test_task(write_later, pair.far);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(cases[1].result, 0);
    expect_int(tr_read(pair.near, &byte, 1, TR_NOW), 1);
    expect_int(test_join(writer), 0);
    close_pair(pair);
}

TASK_TEST(select_socket_loses_and_can_be_read)
{
    struct pair pair = open_pair();
    char byte;
    for (int i = 0; i < 20; i++) {
        struct tr_case cases[] = { tr_case_timer(tr_after(TR_MILLISECOND / 2)), tr_case_readable(pair.near) };
        expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 0);
    }
    expect_int(tr_write(pair.far, "x", 1, TR_FOREVER), 0);
    expect_int(tr_read(pair.near, &byte, 1, tr_after(LONG_TIME)), 1);
    struct tr_case cases[] = { tr_case_writable(pair.near) };
    expect_int(tr_select(cases, 1, tr_after(LONG_TIME), TR_SELECT_FAIR), 0);
    close_pair(pair);
}

static int read_to_the_end(void *stream)
{
    static char block[1 << 16];
    ssize_t n;
    while ((n = tr_read(stream, block, sizeof block, tr_after(LONG_TIME))) > 0)
        ;
    return (int)n;
}

/* The kernel reports the end of stream to a poll for room as well, and goes on doing so. */
TASK_TEST_ON(1, select_socket_becomes_writable_beside_an_end_of_stream)
{
    static char block[1 << 16];
    struct pair pair = open_pair();
    struct tr_counters before, after;
    expect_int(tr_stream_shutdown(pair.far), 0);
    while (tr_write(pair.near, block, sizeof block, TR_NOW) == 0)
        ;
    struct tr_case cases[] = { tr_case_writable(pair.near) };
    tr_counters(&before);
    expect_int(tr_select(cases, 1, tr_after(300 * TR_MILLISECOND), TR_SELECT_FAIR), -ETIMEDOUT);
    tr_counters(&after);
    expect(after.enters - before.enters < 100);
    struct tr_task reader = test_task(read_to_the_end, pair.far);
    expect_int(tr_select(cases, 1, tr_after(LONG_TIME), TR_SELECT_FAIR), 0);
    expect_int(cases[0].result, 0);
    tr_stream_close(pair.near);
    expect_int(test_join(reader), 0);
    tr_stream_close(pair.far);
}

static void ignore_signal(int number)
{
    (void)number;
}

/* A signal that is pending ends even a poll that does not wait. */
TASK_TEST(select_socket_is_not_ready_for_a_signal)
{
    struct pair pair = open_pair();
    struct sigaction action = { .sa_handler = ignore_signal, .sa_flags = SA_RESTART };
    struct itimerval often = { { 0, 100 }, { 0, 100 } }, never = { { 0, 0 }, { 0, 0 } };
    struct tr_case cases[] = { tr_case_readable(pair.near) };
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < 300000; i++)
        expect_int(tr_select(cases, 1, TR_NOW, TR_SELECT_FAIR), -ETIMEDOUT);
    setitimer(ITIMER_REAL, &never, NULL);
    close_pair(pair);
}

static int abort_later(void *argument)
{
    expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
    tr_stream_abort(argument);
    return 0;
}

TASK_TEST(select_socket_aborted)
{
    struct pair pair = open_pair();
    struct tr_case cases[] = { tr_case_readable(pair.near), tr_case_never() };
    struct tr_task task = test_task(abort_later, pair.near);
    expect_int(tr_select(cases, 2, tr_after(LONG_TIME), TR_SELECT_FAIR), 0);
    expect_int(cases[0].result, -EPIPE);
    expect_int(test_join(task), 0);
    close_pair(pair);
}

static int close_later(void *argument)
{
    expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
    tr_stream_close(argument);
    return 0;
}

/*
 * Who is inside a select need not be gone before another closes the stream, as with a read. The select that leaves the second
 * stream is where the first is freed.
 */
TASK_TEST_ON(1, select_socket_closed_by_another)
{
    struct pair pair = open_pair(), second = open_pair();
    struct tr_case cases[] = { tr_case_readable(pair.near), tr_case_readable(second.near) };
    struct tr_task task = test_task(close_later, pair.near);
    expect_int(tr_select(cases, 2, tr_after(LONG_TIME), TR_SELECT_ORDERED), 0);
    expect_int(cases[0].result, -EPIPE);
    expect_int(test_join(task), 0);
    tr_stream_close(pair.far);
    close_pair(second);
}

struct beginning_anew {
    struct pair pair, second;
    int which, result;
};

static int select_readable_or_message(void *argument)
{
    struct beginning_anew *b = argument;
    struct number message;
    struct tr_case cases[] = { tr_case_readable(b->pair.near), tr_case_readable(b->second.near),
                               tr_case_message(&message) };
    b->which = tr_select(cases, 3, tr_after(LONG_TIME), TR_SELECT_ORDERED);
    b->result = cases[0].result;
    return 0;
}

static void *call_in_vain(void *argument)
{
    struct number_address *address = argument;
    int64_t answer;
    struct number request = { .value = 1 };
    expect_int(tr_call(*address, &answer, tr_after(TR_MILLISECOND), &request), -ETIMEDOUT);
    return NULL;
}

/* The message that wakes it is a request that nobody waits for any more: it begins anew, and is inside all the while. */
TASK_TEST_ON(1, select_socket_closed_by_another_as_it_begins_anew)
{
    struct beginning_anew *b = test_new(sizeof *b);
    struct tr_task task;
    pthread_t thread;
    b->pair = open_pair();
    b->second = open_pair();
    struct number_address address = test_loop(select_readable_or_message, b, 4, &task);
    test_settle();
    expect_int(pthread_create(&thread, NULL, call_in_vain, &address), 0);
    pthread_join(thread, NULL); /* no task runs meanwhile */
    expect_int(tr_yield(), 0);
    tr_stream_close(b->pair.near);
    expect_int(test_join(task), 0);
    expect_int(b->which, 0);
    expect_int(b->result, -EPIPE);
    tr_stream_close(b->pair.far);
    close_pair(b->second);
}

TASK_TEST(select_listener_acceptable)
{
    struct tr_listener *listener;
    struct tr_stream *near, *far;
    expect_int(tr_tcp_listen(&listener, "127.0.0.1", 0, NULL), 0);
    struct tr_case cases[] = { tr_case_acceptable(listener), tr_case_timer(tr_after(TR_MILLISECOND)) };
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    cases[1] = tr_case_timer(tr_after(LONG_TIME));
    expect_int(tr_tcp_connect(&near, "127.0.0.1", tr_listener_port(listener), tr_after(LONG_TIME)), 0);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(tr_tcp_accept(listener, &far, TR_NOW), 0);
    tr_stream_close(near);
    tr_stream_close(far);
    expect_int(tr_listener_close(listener), 0);
}

int main(void)
{
    return test_main("select",
                     TESTS(select_ready_takes_one_and_leaves_the_rest, select_ordered_takes_the_first_that_is_ready,
                           select_fair_lets_no_case_starve, select_closed_counts_as_ready, select_of_nothing_is_refused,
                           select_timer_wins_when_nothing_else_does, select_timer_at_the_deadline_wins,
                           select_deadline_before_the_timer, select_waits_for_either, select_loser_holds_nobody_up,
                           select_same_thing_twice, select_cancelled_has_taken_nothing, select_cancelled_too_late,
                           select_on_a_foreign_thread, select_thousand_cases, select_message_by_send_and_call,
                           select_message_of_a_stopped_actor, select_message_outside_an_actor,
                           select_then_receive_and_call, select_socket_becomes_readable,
                           select_socket_loses_and_can_be_read, select_socket_becomes_writable_beside_an_end_of_stream,
                           select_socket_is_not_ready_for_a_signal, select_socket_aborted,
                           select_socket_closed_by_another, select_socket_closed_by_another_as_it_begins_anew,
                           select_listener_acceptable));
}
