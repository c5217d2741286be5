/* SPDX-License-Identifier: MIT */
/*
 * test_denied.c: what happens where io_uring cannot be had: denied by a seccomp filter, absent, or too old.
 *
 * And when it is busy: the submission queue is full and takes no more.
 *
 * Denial is real: a filter of our own answers io_uring_setup with an error, as a container's profile does. Age is
 * played: the flags that an old kernel does not know are refused below by an io_uring_queue_init_params of ours.
 */
#include "descriptors.h"
#include "fake_waiter.h"
#include "io/op.h"
#include "ring.h"

#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static char lines[4][600];
static int line_count[4];

static void keep_line(enum tr_log_level level, const char *line, void *context)
{
    (void)context;
    line_count[level]++;
    snprintf(lines[level], sizeof lines[level], "%s", line);
}

/* From now on the system call fails with `error` in this process. */
static void deny(unsigned call, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof code / sizeof *code, .filter = code };
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* What an old kernel refuses. */
static unsigned unknown_flags, attempts;
static unsigned missing_features;

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
    static int (*real)(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
    if (!real) {
        void *symbol = dlsym(RTLD_NEXT, "io_uring_queue_init_params");
        memcpy(&real, &symbol, sizeof real);
    }
    attempts++;
    if (params->flags & unknown_flags)
        return -EINVAL;
    int rc = real(entries, ring, params);
    if (rc == 0)
        ring->features &= ~missing_features;
    return rc;
}

/* The kernel takes nothing for the moment: how the submission queue comes to be full. */
static bool refuse;
static unsigned refusals;

int io_uring_enter2(unsigned fd, unsigned count, unsigned wanted, unsigned flags, sigset_t *argument, size_t bytes)
{
    static int (*real)(unsigned fd, unsigned count, unsigned wanted, unsigned flags, sigset_t *argument, size_t bytes);
    if (!real) {
        void *symbol = dlsym(RTLD_NEXT, "io_uring_enter2");
        memcpy(&real, &symbol, sizeof real);
    }
    bool refused = refuse && !(flags & IORING_ENTER_GETEVENTS); /* polls get through, or nothing would ever end */
    refusals += refused;
    return refused ? -EAGAIN : real(fd, count, wanted, flags, argument, bytes);
}

static void check_that_it_works(void)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    char byte;
    struct tri_io_op op = { .kind = TRI_IO_RECEIVE, .fd = pair[0], .buffer = { &byte, 1 } };
    ck_assert_int_eq(tri_io_run(&op, tr_after(2 * TR_MILLISECOND)), -ETIMEDOUT);
    ck_assert_int_eq(write(pair[1], "x", 1), 1);
    op = (struct tri_io_op){ .kind = TRI_IO_RECEIVE, .fd = pair[0], .buffer = { &byte, 1 } };
    ck_assert_int_eq(tri_io_run(&op, tr_after(10 * TR_SECOND)), 1);
    tri_reactor_wake(tri_reactor_here());
    ck_assert_int_eq(tri_reactor_poll(tri_reactor_here(), TR_FOREVER), 0);
    close(pair[0]);
    close(pair[1]);
}

static const struct {
    int error;
    const char *advice;
} denials[] = { { EPERM, "seccomp" }, { ENOSYS, "seccomp" }, { EINVAL, "6.1" }, { ENOMEM, "memory" } };

static void expect_fallback(unsigned call, int i)
{
    deny(call, denials[i].error);
    tr_log_set(keep_line, NULL, TR_LOG_DEBUG);
    for (int worker = 0; worker < 3; worker++) {
        enum tr_backend kind = TR_BACKEND_DEFAULT;
        struct tri_reactor *reactor;
        ck_assert_int_eq(tri_reactor_create(&reactor, &kind), 0);
        ck_assert_int_eq(kind, TR_BACKEND_EPOLL);
        tri_reactor_destroy(reactor);
    }
    ck_assert_int_eq(line_count[TR_LOG_WARNING], 1);
    ck_assert_int_eq(line_count[TR_LOG_DEBUG], 2);
    ck_assert_int_eq(line_count[TR_LOG_ERROR] + line_count[TR_LOG_INFO], 0);
    ck_assert_ptr_nonnull(strstr(lines[TR_LOG_WARNING], "epoll"));
    ck_assert_ptr_nonnull(strstr(lines[TR_LOG_WARNING], strerror(denials[i].error)));
    ck_assert_ptr_nonnull(strstr(lines[TR_LOG_WARNING], denials[i].advice));
    fake_begin(TR_BACKEND_DEFAULT);
    check_that_it_works();
    fake_end();
}

START_TEST(denied_ring_falls_back_to_epoll_and_says_so_once)
{
    expect_fallback(__NR_io_uring_setup, _i);
}
END_TEST

/* It can be made, and not be entered. Want of memory is none of these: it passes. */
START_TEST(denied_use_of_the_ring_falls_back_to_epoll)
{
    expect_fallback(__NR_io_uring_enter, _i);
}
END_TEST

START_TEST(denied_ring_that_was_asked_for_is_an_error)
{
    deny(__NR_io_uring_setup, EPERM);
    tr_log_set(keep_line, NULL, TR_LOG_DEBUG);
    enum tr_backend kind = TR_BACKEND_URING;
    struct tri_reactor *reactor;
    ck_assert_int_eq(tri_reactor_create(&reactor, &kind), -EPERM);
    ck_assert_int_eq(line_count[TR_LOG_ERROR], 1);
    ck_assert_ptr_nonnull(strstr(lines[TR_LOG_ERROR], "seccomp"));
    setenv("TR_BACKEND", "uring", 1);
    kind = TR_BACKEND_DEFAULT;
    ck_assert_int_eq(tri_reactor_create(&reactor, &kind), -EPERM);
    ck_assert_ptr_nonnull(strstr(lines[TR_LOG_ERROR], "TR_BACKEND"));
    setenv("TR_BACKEND", "epoll", 1);
    ck_assert_int_eq(tri_reactor_create(&reactor, &kind), 0);
    ck_assert_int_eq(line_count[TR_LOG_WARNING], 0);
    tri_reactor_destroy(reactor);
}
END_TEST

/* What denies the ring may deny newer calls than it knows. */
START_TEST(denied_nanoseconds_fall_back_to_milliseconds)
{
    deny(__NR_epoll_pwait2, denials[_i].error);
    fake_begin(TR_BACKEND_EPOLL);
    check_that_it_works();
    fake_end();
}
END_TEST

/* Each kernel's newest flag is one step more. */
static const unsigned ages[] = {
    0,
    IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER,
    IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
        IORING_SETUP_SUBMIT_ALL,
};

START_TEST(old_kernel_gets_a_ring_without_the_newest_flags)
{
    unknown_flags = ages[_i];
    tr_log_set(keep_line, NULL, TR_LOG_DEBUG);
    fake_begin(TR_BACKEND_DEFAULT);
    ck_assert_uint_eq(attempts, (unsigned)_i + 1);
    ck_assert_int_eq(line_count[TR_LOG_INFO], 1);
    ck_assert_ptr_nonnull(strstr(lines[TR_LOG_INFO], "uring"));
    for (int i = 0; i < 20; i++)
        check_that_it_works();
    fake_end();
}
END_TEST

START_TEST(too_old_kernel_is_left_to_epoll)
{
    missing_features = IORING_FEAT_EXT_ARG;
    tr_log_set(keep_line, NULL, TR_LOG_DEBUG);
    enum tr_backend kind = TR_BACKEND_DEFAULT;
    struct tri_reactor *reactor;
    ck_assert_int_eq(tri_reactor_create(&reactor, &kind), 0);
    ck_assert_int_eq(kind, TR_BACKEND_EPOLL);
    ck_assert_ptr_nonnull(strstr(lines[TR_LOG_WARNING], "too old"));
    tri_reactor_destroy(reactor);
}
END_TEST

/* More operations than the queue holds, and withdrawals of some in the queue and some that wait for room. */
START_TEST(full_queue_is_worked_off)
{
    enum { COUNT = 1000 };
    static struct tri_io_op ops[COUNT];
    fake_begin(TR_BACKEND_URING);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int round = 0; round < 4; round++) {
        refuse = true;
        refusals = 0;
        for (int i = 0; i < COUNT; i++) {
            ops[i] = (struct tri_io_op){ .kind = TRI_IO_POLL, .fd = fd, .events = POLLIN };
            tri_io_start(&ops[i], tri_reactor_here(), tri_self());
        }
        for (int i = 0; i < COUNT; i += 2)
            tri_io_cancel(&ops[i]);
        ck_assert_uint_gt(refusals, 0);
        for (int poll = 0; poll < round; poll++)
            tri_reactor_poll(tri_reactor_here(),
                             TR_FOREVER); /* must not wait: there is work that it could not hand over */
        if (round % 2)
            refuse = false;
        ck_assert_int_eq(eventfd_write(fd, 1), 0);
        for (int i = 0; i < COUNT; i++) {
            int rc = tri_io_finish(&ops[i], tr_after(30 * TR_SECOND));
            ck_assert(rc == POLLIN || (rc == -ECANCELED && i % 2 == 0));
        }
        ck_assert(!tri_reactor_busy(tri_reactor_here()));
        eventfd_t value;
        ck_assert_int_eq(eventfd_read(fd, &value), 0);
        refuse = false;
        check_that_it_works();
    }
    close(fd);
    fake_end();
}
END_TEST

/* What waited for room goes out later; whoever looks at the descriptor meanwhile goes on with the same one. */
START_TEST(full_queue_leaves_the_watched_descriptor_alone)
{
    enum { COUNT = 300 };
    static struct tri_io_op ops[COUNT];
    fake_begin(TR_BACKEND_URING);
    struct tri_reactor *reactor = tri_reactor_here();
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), watched = tri_reactor_watch(reactor);
    ck_assert_int_ge(watched, 0);
    refuse = true;
    for (int i = 0; i < COUNT; i++) {
        ops[i] = (struct tri_io_op){ .kind = TRI_IO_POLL, .fd = fd, .events = POLLIN };
        tri_io_start(&ops[i], reactor, tri_self());
    }
    refuse = false;
    tri_reactor_poll(reactor, TR_NOW);
    tri_reactor_poll(reactor, TR_NOW);
    ck_assert_int_eq(tri_reactor_watch(reactor), watched);
    ck_assert_int_eq(eventfd_write(fd, 1), 0);
    struct pollfd event = { .fd = watched, .events = POLLIN };
    ck_assert_int_eq(poll(&event, 1, 10000), 1);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(tri_io_finish(&ops[i], tr_after(30 * TR_SECOND)), POLLIN);
    ck_assert_int_eq(tri_reactor_watch(reactor), watched);
    close(fd);
    fake_end();
}
END_TEST

int main(void)
{
    unsetenv("TR_BACKEND");
    Suite *suite = suite_create("denied");
    TCase *tests = tcase_create("denied");
    descriptors_watch(tests);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, denied_ring_falls_back_to_epoll_and_says_so_once, 0, 4);
    tcase_add_test(tests, denied_ring_that_was_asked_for_is_an_error);
    tcase_add_loop_test(tests, denied_nanoseconds_fall_back_to_milliseconds, 0, 4);
    if (ring_here("denied")) {
        tcase_add_loop_test(tests, denied_use_of_the_ring_falls_back_to_epoll, 0, 3);
        tcase_add_loop_test(tests, old_kernel_gets_a_ring_without_the_newest_flags, 0, 5);
        tcase_add_test(tests, full_queue_is_worked_off);
        tcase_add_test(tests, full_queue_leaves_the_watched_descriptor_alone);
        tcase_add_test(tests, too_old_kernel_is_left_to_epoll);
    }
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
