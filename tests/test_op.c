/* SPDX-License-Identifier: MIT */
/*
 * test_op.c: single operations and their ends: success, deadline, cancellation, from here and from elsewhere, over the
 * fake waiter, each test on both backends.
 */
#include "fake_waiter.h"
#include "io/backend.h"
#include "io_support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>

static enum tr_backend backend;

static void begin(int which)
{
    backend = io_backends[which];
    fake_begin(backend);
}

static void make_pair(int pair[2])
{
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
}

static void close_pair(int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

static struct tri_io_op receive_op(int fd, void *buffer, size_t bytes)
{
    return (struct tri_io_op){ .kind = TRI_IO_RECEIVE, .fd = fd, .buffer = { buffer, bytes } };
}

/* ---- Operations ---- */

START_TEST(op_receive_takes_what_is_there_and_what_comes)
{
    begin(_i);
    int pair[2];
    make_pair(pair);
    for (int hint = 0; hint < 2; hint++) {
        char buffer[16];
        must(write(pair[1], "hello", 5) == 5);
        struct tri_io_op op = receive_op(pair[0], buffer, sizeof buffer);
        op.wait_first = hint;
        must(tri_io_run(&op, tr_after(10 * TR_SECOND)) == 5 && memcmp(buffer, "hello", 5) == 0);
        op = receive_op(pair[0], buffer, sizeof buffer);
        op.wait_first = hint;
        tri_io_start(&op, tri_reactor_here(), tri_self());
        must(!tri_io_ended(&op) && tri_reactor_busy(tri_reactor_here()));
        tri_reactor_poll(tri_reactor_here(), TR_NOW);
        must(!tri_io_ended(&op));
        must(write(pair[1], "world", 5) == 5);
        must(tri_io_finish(&op, tr_after(10 * TR_SECOND)) == 5 && memcmp(buffer, "world", 5) == 0);
        must(!tri_reactor_busy(tri_reactor_here()));
    }
    close(pair[1]);
    char buffer[4];
    struct tri_io_op op = receive_op(pair[0], buffer, sizeof buffer);
    must(tri_io_run(&op, TR_FOREVER) == 0); /* end of stream */
    close(pair[0]);
    fake_end();
}
END_TEST

START_TEST(op_timeout_loses_no_byte)
{
    begin(_i);
    int pair[2];
    make_pair(pair);
    char byte = 0;
    for (int i = 0; i < 20; i++) {
        tr_time deadline = tr_after(2 * TR_MILLISECOND);
        struct tri_io_op op = receive_op(pair[0], &byte, 1);
        must(tri_io_run(&op, deadline) == -ETIMEDOUT);
        must(tr_clock() >= deadline);
        must(!tri_reactor_busy(tri_reactor_here()));
    }
    must(write(pair[1], "x", 1) == 1);
    struct tri_io_op op = receive_op(pair[0], &byte, 1);
    must(tri_io_run(&op, tr_after(TR_SECOND)) == 1 && byte == 'x');
    close_pair(pair);
    fake_end();
}
END_TEST

START_TEST(op_deadline_now_does_it_at_once_or_not)
{
    begin(_i);
    int pair[2];
    make_pair(pair);
    char byte = 0;
    struct tri_io_op op = receive_op(pair[0], &byte, 1);
    must(tri_io_run(&op, TR_NOW) == -ETIMEDOUT);
    must(write(pair[1], "x", 1) == 1);
    must(tri_io_run(&op, TR_NOW) == 1 && byte == 'x');
    close_pair(pair);
    fake_end();
}
END_TEST

START_TEST(op_cancelled_before_has_no_effect)
{
    begin(_i);
    int pair[2];
    make_pair(pair);
    char byte = 0;
    must(write(pair[1], "x", 1) == 1);
    fake_cancel(tri_self(), true);
    struct tri_io_op op = receive_op(pair[0], &byte, 1);
    must(tri_io_run(&op, TR_FOREVER) == -ECANCELED);
    must(tri_io_run(&op, TR_NOW) == -ECANCELED);
    fake_cancel(tri_self(), false);
    must(tri_io_run(&op, TR_FOREVER) == 1 && byte == 'x');
    close_pair(pair);
    fake_end();
}
END_TEST

static void *cancel_soon(void *task)
{
    usleep(2000);
    fake_cancel(task, true);
    return NULL;
}

START_TEST(op_cancelled_in_flight_ends)
{
    begin(_i);
    int pair[2];
    make_pair(pair);
    char byte;
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, cancel_soon, tri_self()) == 0);
        struct tri_io_op op = receive_op(pair[0], &byte, 1);
        must(tri_io_run(&op, TR_FOREVER) == -ECANCELED);
        pthread_join(thread, NULL);
        fake_cancel(tri_self(), false);
    }
    close_pair(pair);
    fake_end();
}
END_TEST

/* The operation that the kernel refuses to wait for is waited for by hand. */
START_TEST(op_would_block_is_waited_for)
{
    begin(_i);
    int pair[2];
    make_pair(pair);
    char byte;
    struct tri_io_op op = receive_op(pair[0], &byte, 1);
    op.flags = MSG_DONTWAIT;
    must(tri_io_run(&op, tr_after(5 * TR_MILLISECOND)) == -ETIMEDOUT);
    must(write(pair[1], "x", 1) == 1);
    op = receive_op(pair[0], &byte, 1);
    op.flags = MSG_DONTWAIT;
    must(tri_io_run(&op, tr_after(TR_SECOND)) == 1);
    close_pair(pair);
    fake_end();
}
END_TEST

START_TEST(op_poll_reports_events)
{
    begin(_i);
    int pair[2];
    make_pair(pair);
    struct tri_io_op op = { .kind = TRI_IO_POLL, .fd = pair[0], .events = POLLOUT };
    must(tri_io_run(&op, tr_after(TR_SECOND)) & POLLOUT);
    op = (struct tri_io_op){ .kind = TRI_IO_POLL, .fd = pair[0], .events = POLLIN };
    must(tri_io_run(&op, tr_after(2 * TR_MILLISECOND)) == -ETIMEDOUT);
    must(write(pair[1], "x", 1) == 1);
    op = (struct tri_io_op){ .kind = TRI_IO_POLL, .fd = pair[0], .events = POLLIN };
    must(tri_io_run(&op, tr_after(TR_SECOND)) & POLLIN);
    close_pair(pair);
    fake_end();
}
END_TEST

START_TEST(op_bad_descriptor_is_an_error)
{
    begin(_i);
    char byte;
    struct tri_io_op op = receive_op(1000000, &byte, 1);
    must(tri_io_run(&op, TR_FOREVER) == -EBADF);
    op = receive_op(open("/dev/null", O_RDONLY | O_CLOEXEC), &byte, 1);
    must(tri_io_run(&op, TR_FOREVER) == -ENOTSOCK);
    close(op.fd);
    fake_end();
}
END_TEST

/* Operation and withdrawal reach the kernel together, and the operation succeeds: both must be over before it has ended. */
START_TEST(op_succeeds_before_its_withdrawal)
{
    begin(_i);
    int pair[2];
    make_pair(pair);
    for (int i = 0; i < 100; i++) {
        char byte;
        must(write(pair[1], "x", 1) == 1);
        struct tri_io_op op = receive_op(pair[0], &byte, 1);
        tri_io_start(&op, tri_reactor_here(), tri_self());
        tri_io_cancel(&op);
        must(tri_io_finish(&op, TR_FOREVER) == 1);
        memset(&op, 0xa5, sizeof op);
        tri_reactor_poll(tri_reactor_here(), TR_NOW);
        must(!tri_reactor_busy(tri_reactor_here()));
    }
    close_pair(pair);
    fake_end();
}
END_TEST

/* A withdrawal from elsewhere, step by step: the operation completes while the request is still on the owner's list. */
START_TEST(op_completed_under_a_posted_request_has_not_ended)
{
    begin(_i);
    struct tri_reactor *owner = tri_reactor_here(), *other;
    enum tr_backend kind = TR_BACKEND_EPOLL;
    must(tri_reactor_create(&other, &kind) == 0);
    int pair[2];
    make_pair(pair);
    for (int completes = 0; completes < 2; completes++) {
        char byte;
        struct tri_io_op op = receive_op(pair[0], &byte, 1);
        tri_io_start(&op, owner, tri_self());
        tri_reactor_poll(owner, TR_NOW);
        fake_move(other);
        tri_io_cancel(&op);
        fake_move(NULL);
        must(!tri_io_ended(&op) && tri_reactor_busy(owner));
        if (completes) {
            must(write(pair[1], "x", 1) == 1);
            while (owner->in_flight > 0)
                owner->backend->poll(owner, TR_NOW); /* what the kernel has, but not the list */
            must(!tri_io_ended(&op) && tri_reactor_busy(owner));
        }
        must(tri_io_finish(&op, TR_FOREVER) == (completes ? 1 : -ECANCELED));
        must(!tri_reactor_busy(owner));
    }
    close_pair(pair);
    tri_reactor_destroy(other);
    fake_end();
}
END_TEST

/* More at once than the queues hold, all of them made ready by one event, and then all withdrawn. */
START_TEST(op_thousands_at_once_all_end)
{
    begin(_i);
    enum { COUNT = 12000 };
    struct tri_io_op *ops = calloc(COUNT, sizeof *ops);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            ops[i] = (struct tri_io_op){ .kind = TRI_IO_POLL, .fd = fd, .events = POLLIN };
            tri_io_start(&ops[i], tri_reactor_here(), tri_self());
            if (round == 1 && i % 3 == 0)
                tri_io_cancel(&ops[i]); /* those that still wait for room among them */
        }
        tri_reactor_poll(tri_reactor_here(), TR_NOW);
        if (round == 0)
            must(eventfd_write(fd, 1) == 0);
        for (int i = 0; i < COUNT; i++) {
            if (round == 1 && i % 3 != 0)
                tri_io_cancel(&ops[i]);
        }
        for (int i = 0; i < COUNT; i++) {
            int rc = tri_io_finish(&ops[i], TR_FOREVER);
            must(round == 0 ? rc & POLLIN : rc == -ECANCELED);
        }
        must(!tri_reactor_busy(tri_reactor_here()));
        eventfd_t value;
        eventfd_read(fd, &value);
    }
    close(fd);
    free(ops);
    fake_end();
}
END_TEST

/* Who reads one socket and who waits for room in it, on one reactor, the buffer full at first. */
START_TEST(op_both_directions_of_a_socket_at_once)
{
    begin(_i);
    int pair[2];
    make_pair(pair);
    static char chunk[65536];
    while (write(pair[0], chunk, sizeof chunk) > 0)
        ;
    char byte;
    struct tri_io_op in = receive_op(pair[0], &byte, 1);
    struct tri_io_op out = { .kind = TRI_IO_POLL, .fd = pair[0], .events = POLLOUT };
    tri_io_start(&in, tri_reactor_here(), tri_self());
    tri_io_start(&out, tri_reactor_here(), tri_self());
    for (int i = 0; i < 3; i++)
        tri_reactor_poll(tri_reactor_here(), TR_NOW);
    must(!tri_io_ended(&in) && !tri_io_ended(&out));
    must(write(pair[1], "x", 1) == 1);
    must(tri_io_finish(&in, tr_after(10 * TR_SECOND)) == 1);
    must(!tri_io_ended(&out));
    while (read(pair[1], chunk, sizeof chunk) > 0)
        ;
    must(tri_io_finish(&out, tr_after(10 * TR_SECOND)) == POLLOUT);
    close_pair(pair);
    fake_end();
}
END_TEST

/* The same number, another file, in turn on two reactors: nothing remembered may be believed. */
static void *reuse_descriptors(void *argument)
{
    if (argument)
        fake_begin(backend);
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&turn);
        int pair[2];
        make_pair(pair);
        char byte;
        struct tri_io_op op = receive_op(pair[i % 2], &byte, 1);
        if (i % 3 == 0)
            must(tri_io_run(&op, tr_after(50 * TR_MICROSECOND)) == -ETIMEDOUT);
        op = receive_op(pair[i % 2], &byte, 1);
        tri_io_start(&op, tri_reactor_here(), tri_self());
        tri_reactor_poll(tri_reactor_here(), TR_NOW);
        must(write(pair[!(i % 2)], "x", 1) == 1);
        must(tri_io_finish(&op, tr_after(30 * TR_SECOND)) == 1);
        close_pair(pair);
        pthread_mutex_unlock(&turn);
    }
    if (argument)
        fake_end();
    return NULL;
}

START_TEST(op_reused_descriptor_works_on_every_reactor)
{
    begin(_i);
    pthread_t thread;
    must(pthread_create(&thread, NULL, reuse_descriptors, "own") == 0);
    reuse_descriptors(NULL);
    pthread_join(thread, NULL);
    fake_end();
}
END_TEST

static void nothing(int signal)
{
    (void)signal;
}

START_TEST(op_signals_do_not_end_a_wait)
{
    begin(_i);
    struct sigaction action = { .sa_handler = nothing };
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = { .it_interval = { 0, 1000 }, .it_value = { 0, 1000 } };
    setitimer(ITIMER_REAL, &often, NULL);
    tr_time until = tr_clock() + 50 * TR_MILLISECOND;
    must(tri_reactor_poll(tri_reactor_here(), until) == 0);
    must(tr_clock() >= until);
    int pair[2];
    make_pair(pair);
    char byte;
    struct tri_io_op op = receive_op(pair[0], &byte, 1);
    must(tri_io_run(&op, tr_after(20 * TR_MILLISECOND)) == -ETIMEDOUT);
    struct itimerval never = { 0 };
    setitimer(ITIMER_REAL, &never, NULL);
    close_pair(pair);
    fake_end();
}
END_TEST

/* ---- Races ---- */

struct writer {
    int fd;
    unsigned rounds;
    TRI_ATOMIC(unsigned) go;
    TRI_ATOMIC(unsigned) sent;
};

/* In some rounds nothing is written before the first deadline has passed: however slow the machine, some pass. */
static void begin_round(struct writer *writer, unsigned round)
{
    if (round % 16 != 1)
        tri_store(&writer->go, round, TRI_RELEASE);
}

/* True if the byte has come. Whatever has, from now on it may be written. */
static bool has_come(struct writer *writer, unsigned round, int rc)
{
    bool nothing_yet = tri_load(&writer->go, TRI_RELAXED) < round;
    must(rc == -ETIMEDOUT || (rc == 1 && !nothing_yet));
    tri_store(&writer->go, round, TRI_RELEASE);
    return rc == 1;
}

static void *write_now_and_then(void *argument)
{
    struct writer *writer = argument;
    uint64_t random = 4711;
    for (unsigned round = 1; round <= writer->rounds; round++) {
        while (tri_load(&writer->go, TRI_ACQUIRE) < round)
            sched_yield();
        for (uint64_t spin = io_draw(&random) % 3000; spin > 0; spin--)
            tri_spin();
        must(write(writer->fd, "x", 1) == 1);
        tri_fetch_add(&writer->sent, 1, TRI_RELEASE);
    }
    return NULL;
}

/* Data and deadline at the same time: each read ends in one of the two, and no byte is lost or doubled. */
START_TEST(op_deadline_against_success_keeps_the_data)
{
    begin(_i);
    fake_spurious(7);
    int pair[2];
    make_pair(pair);
    struct writer writer = { .fd = pair[1], .rounds = ROUNDS(20000) };
    pthread_t thread;
    must(pthread_create(&thread, NULL, write_now_and_then, &writer) == 0);
    unsigned received = 0, timeouts = 0;
    uint64_t random = 42;
    for (unsigned round = 1; round <= writer.rounds; round++) {
        begin_round(&writer, round);
        while (received < round) {
            char byte;
            struct tri_io_op op = receive_op(pair[0], &byte, 1);
            int rc = tri_io_run(&op, tr_after((int64_t)(io_draw(&random) % 30) * TR_MICROSECOND));
            bool come = has_come(&writer, round, rc);
            received += come;
            timeouts += !come;
        }
    }
    pthread_join(thread, NULL);
    must(received == writer.rounds);
    must(timeouts > 0);
    close_pair(pair);
    fake_spurious(0);
    fake_end();
}
END_TEST

/*
 * The task is on another worker by the time its deadline comes: the owner starts the operation and polls, the task waits
 * for its end and withdraws it by a posted request, and a third thread writes.
 */
struct migrated {
    struct tri_io_op op;
    char byte;
    int fd;
    unsigned rounds;
    struct tri_reactor *reactor;
    struct tri_task *task;
    TRI_ATOMIC(unsigned) wanted, started, finished;
};

static void *own_and_poll(void *argument)
{
    struct migrated *migrated = argument;
    fake_begin(backend);
    migrated->reactor = tri_reactor_here();
    tri_store(&migrated->started, 1, TRI_RELEASE);
    unsigned round = 1;
    for (;;) {
        unsigned wanted = tri_load(&migrated->wanted, TRI_ACQUIRE);
        if (wanted == UINT32_MAX)
            break;
        if (wanted > round) {
            round = wanted;
            migrated->op = receive_op(migrated->fd, &migrated->byte, 1);
            tri_io_start(&migrated->op, migrated->reactor, migrated->task);
            tri_store(&migrated->started, round, TRI_RELEASE);
        }
        tri_reactor_poll(migrated->reactor, TR_FOREVER);
    }
    while (!tri_load(&migrated->finished, TRI_ACQUIRE)) /* a reactor outlives whoever may still wake it */
        sched_yield();
    fake_end();
    return NULL;
}

START_TEST(op_withdrawn_from_elsewhere_ends_once)
{
    begin(_i);
    int pair[2];
    make_pair(pair);
    struct writer writer = { .fd = pair[1], .rounds = ROUNDS(10000) };
    static struct migrated migrated;
    migrated = (struct migrated){ .fd = pair[0], .task = tri_self(), .wanted = 1 };
    pthread_t threads[2];
    must(pthread_create(&threads[0], NULL, own_and_poll, &migrated) == 0);
    must(pthread_create(&threads[1], NULL, write_now_and_then, &writer) == 0);
    while (tri_load(&migrated.started, TRI_ACQUIRE) < 1)
        sched_yield();
    unsigned received = 0, timeouts = 0, next = 1;
    uint64_t random = 99;
    for (unsigned round = 1; round <= writer.rounds; round++) {
        begin_round(&writer, round);
        while (received < round) {
            tri_store(&migrated.wanted, ++next, TRI_RELEASE);
            tri_reactor_wake(migrated.reactor);
            while (tri_load(&migrated.started, TRI_ACQUIRE) != next)
                sched_yield();
            int rc = tri_io_finish(&migrated.op, tr_after((int64_t)(io_draw(&random) % 60) * TR_MICROSECOND));
            bool come = has_come(&writer, round, rc);
            /* The record is ours: spoil it. Whoever still has it will stumble. */
            memset(&migrated.op, 0xa5, sizeof migrated.op);
            received += come;
            timeouts += !come;
        }
    }
    tri_store(&migrated.wanted, UINT32_MAX, TRI_RELEASE);
    tri_reactor_wake(migrated.reactor);
    tri_store(&migrated.finished, 1, TRI_RELEASE);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    must(received == writer.rounds && timeouts > 0);
    close_pair(pair);
    fake_end();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        op_signals_do_not_end_a_wait,
        op_receive_takes_what_is_there_and_what_comes,
        op_timeout_loses_no_byte,
        op_deadline_now_does_it_at_once_or_not,
        op_cancelled_before_has_no_effect,
        op_cancelled_in_flight_ends,
        op_would_block_is_waited_for,
        op_poll_reports_events,
        op_succeeds_before_its_withdrawal,
        op_completed_under_a_posted_request_has_not_ended,
        op_bad_descriptor_is_an_error,
        op_thousands_at_once_all_end,
        op_both_directions_of_a_socket_at_once,
        op_reused_descriptor_works_on_every_reactor,
        op_deadline_against_success_keeps_the_data,
        op_withdrawn_from_elsewhere_ends_once,
    };
    return io_main("op", tests, sizeof tests / sizeof *tests);
}
