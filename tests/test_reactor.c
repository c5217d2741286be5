/* SPDX-License-Identifier: MIT */
/*
 * test_reactor.c: choosing a backend, polling and waking, over the fake waiter, each test on both backends.
 */
#include "fake_waiter.h"
#include "io/backend.h"
#include "io/ring.h"
#include "io_support.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

static void begin(int which)
{
    fake_begin(io_backends[which]);
}

/* ---- Choosing ---- */

START_TEST(reactor_kind_asked_for_is_made)
{
    enum tr_backend kind = io_backends[_i];
    struct tri_reactor *reactor;
    must(tri_reactor_create(&reactor, &kind) == 0);
    must(kind == io_backends[_i]);
    must(!tri_reactor_busy(reactor));
    tri_reactor_destroy(reactor);
}
END_TEST

START_TEST(reactor_environment_decides_when_nobody_asks)
{
    enum tr_backend kind = TR_BACKEND_DEFAULT;
    struct tri_reactor *reactor;
    setenv("TR_BACKEND", "epoll", 1);
    must(tri_reactor_create(&reactor, &kind) == 0 && kind == TR_BACKEND_EPOLL);
    tri_reactor_destroy(reactor);
    setenv("TR_BACKEND", "uring", 1);
    if (!ring_denied()) {
        kind = TR_BACKEND_DEFAULT;
        must(tri_reactor_create(&reactor, &kind) == 0 && kind == TR_BACKEND_URING);
        tri_reactor_destroy(reactor);
    }
    kind = TR_BACKEND_EPOLL; /* the program's word counts for more */
    must(tri_reactor_create(&reactor, &kind) == 0 && kind == TR_BACKEND_EPOLL);
    tri_reactor_destroy(reactor);
}
END_TEST

static char last_line[512];
static unsigned line_count[TR_LOG_DEBUG + 1];

static void keep_line(enum tr_log_level level, const char *line, void *context)
{
    (void)context;
    line_count[level]++;
    snprintf(last_line, sizeof last_line, "%s", line);
}

START_TEST(reactor_unknown_environment_is_refused_and_said)
{
    enum tr_backend kind = TR_BACKEND_DEFAULT;
    struct tri_reactor *reactor;
    tr_log_set(keep_line, NULL, TR_LOG_INFO);
    setenv("TR_BACKEND", "kqueue", 1);
    must(tri_reactor_create(&reactor, &kind) == -EINVAL);
    must(line_count[TR_LOG_ERROR] == 1 && strstr(last_line, "kqueue"));
}
END_TEST

START_TEST(reactor_choice_is_said_once)
{
    tr_log_set(keep_line, NULL, TR_LOG_DEBUG);
    for (int i = 0; i < 3; i++) {
        enum tr_backend kind = io_backends[_i];
        struct tri_reactor *reactor;
        must(tri_reactor_create(&reactor, &kind) == 0);
        tri_reactor_destroy(reactor);
    }
    must(line_count[TR_LOG_INFO] == 1 && line_count[TR_LOG_DEBUG] == 2 && line_count[TR_LOG_ERROR] == 0);
}
END_TEST

/* ---- Polling and waking ---- */

START_TEST(reactor_idle_poll_makes_no_system_call)
{
    begin(_i);
    struct tri_reactor *reactor = tri_reactor_here();
    tri_reactor_poll(reactor, TR_NOW);
    uint64_t before = tri_reactor_enters(reactor);
    for (int i = 0; i < 1000; i++)
        must(tri_reactor_poll(reactor, TR_NOW) == 0);
    must(tri_reactor_enters(reactor) == before);
    fake_end();
}
END_TEST

START_TEST(reactor_poll_waits_until_its_time)
{
    begin(_i);
    for (int i = 0; i < 20; i++) {
        tr_time until = tr_clock() + (i * 300) * TR_MICROSECOND;
        must(tri_reactor_poll(tri_reactor_here(), until) == 0);
        must(tr_clock() >= until);
    }
    must(tri_reactor_poll(tri_reactor_here(), tr_clock() - 5) == 0);
    fake_end();
}
END_TEST

/* A wake comes before the wait: the wait returns at once, and the waker has made no system call. */
START_TEST(reactor_wake_of_one_awake_is_kept)
{
    begin(_i);
    struct tri_reactor *reactor = tri_reactor_here();
    for (int i = 0; i < 100; i++) {
        tri_reactor_wake(reactor);
        tri_reactor_wake(reactor);
        uint64_t count;
        must(read(reactor->wake_fd, &count, sizeof count) < 0 && errno == EAGAIN);
        must(tri_reactor_poll(reactor, TR_FOREVER) == 0);
    }
    tri_reactor_wake(reactor);
    tri_reactor_poll(reactor, TR_NOW); /* does not use it up */
    must(tri_reactor_poll(reactor, TR_FOREVER) == 0);
    fake_end();
}
END_TEST

struct pingpong {
    struct tri_reactor *reactor;
    TRI_ATOMIC(unsigned) asked, answered;
    unsigned rounds;
};

static void *ask_and_wake(void *argument)
{
    struct pingpong *game = argument;
    uint64_t random = 12345;
    for (unsigned round = 1; round <= game->rounds; round++) {
        while (tri_load(&game->answered, TRI_ACQUIRE) != round - 1)
            sched_yield();
        for (uint64_t spin = io_draw(&random) % 400; spin > 0; spin--)
            tri_spin();
        tri_store(&game->asked, round, TRI_RELAXED); /* published by the wake alone */
        tri_reactor_wake(game->reactor);
    }
    return NULL;
}

/* The waker races with the owner's falling asleep; a lost wake shows as a wait that reaches its limit. */
START_TEST(reactor_no_wake_is_lost)
{
    begin(_i);
    struct pingpong game = { .reactor = tri_reactor_here(), .rounds = ROUNDS(100000) };
    pthread_t thread;
    must(pthread_create(&thread, NULL, ask_and_wake, &game) == 0);
    for (unsigned round = 1; round <= game.rounds; round++) {
        tr_time limit = tr_clock() + 30 * TR_SECOND;
        while (tri_load(&game.asked, TRI_RELAXED) != round) {
            tri_reactor_poll(game.reactor, limit);
            must(tr_clock() < limit);
        }
        tri_store(&game.answered, round, TRI_RELEASE);
    }
    pthread_join(thread, NULL);
    fake_end();
}
END_TEST

/* Milliseconds for which this processor has been idle while somebody who last ran on it waited for a disk; or -1. */
static long iowait_ms(void)
{
    char line[512], name[32];
    long iowait, ms = -1;
    snprintf(name, sizeof name, "cpu%d ", sched_getcpu());
    FILE *file = fopen("/proc/stat", "re");
    while (file && ms < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0 && sscanf(line, "%*s %*d %*d %*d %*d %ld", &iowait) == 1)
            ms = iowait * 1000 / sysconf(_SC_CLK_TCK);
    if (file)
        fclose(file);
    return ms;
}

/* Linux 6.15 can tell the two apart. */
static bool kernel_tells_waits_apart(void)
{
    struct io_uring ring;
    if (ring_denied() || io_uring_queue_init(1, &ring, 0) < 0)
        return false;
    bool tells = ring.features & 1U << 17;
    io_uring_queue_exit(&ring);
    return tells;
}

/* Or a server without work would show as a machine that waits for its disk. A real disk may be at work meanwhile, so a few tries. */
START_TEST(reactor_idle_worker_does_not_count_as_waiting_for_a_disk)
{
    cpu_set_t all, one;
    if (io_backends[_i] == TR_BACKEND_URING && !kernel_tells_waits_apart())
        return;
    must(sched_getaffinity(0, sizeof all, &all) == 0);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    must(sched_setaffinity(0, sizeof one, &one) == 0);
    begin(_i);
    bool idle = false;
    for (int i = 0; i < 100 && !idle; i++) {
        long before = iowait_ms();
        tri_reactor_poll(tri_reactor_here(), tr_clock() + 100 * TR_MILLISECOND);
        idle = iowait_ms() - before < 50;
    }
    must(idle);
    fake_end();
    must(sched_setaffinity(0, sizeof all, &all) == 0);
}
END_TEST

/* What the guard of io/gather.h rests on: a wait for more completions than come ends with a timeout's, long before its own time. */
START_TEST(kernel_ends_a_wait_for_several_with_a_timeout)
{
    struct io_uring ring;
    const char *names;
    if (ring_denied())
        return;
    must_be(tri_ring_make(&ring, &names), 0);
    struct __kernel_timespec guard = { .tv_nsec = 50 * TR_MILLISECOND }, most = { .tv_sec = 60 };
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    io_uring_prep_timeout(entry, &guard, 0, 0);
    struct io_uring_cqe *completion;
    must(io_uring_submit_and_wait_timeout(&ring, &completion, 8, &most, NULL) >= 0);
    must_be(io_uring_cq_ready(&ring), 1);
    must_be(completion->res, -ETIME);
    tri_ring_end(&ring);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        reactor_kind_asked_for_is_made,
        reactor_choice_is_said_once,
        reactor_idle_poll_makes_no_system_call,
        reactor_poll_waits_until_its_time,
        reactor_wake_of_one_awake_is_kept,
        reactor_no_wake_is_lost,
        reactor_idle_worker_does_not_count_as_waiting_for_a_disk,
        reactor_environment_decides_when_nobody_asks,
        kernel_ends_a_wait_for_several_with_a_timeout,
        reactor_unknown_environment_is_refused_and_said,
    };
    return io_main("reactor", tests, sizeof tests / sizeof *tests);
}
