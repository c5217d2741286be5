/* SPDX-License-Identifier: MIT */
/*
 * ring.h: whether this process may make an io_uring, for the tests that need one.
 *
 * qemu-user knows no io_uring, and most container profiles deny it. The kernel is asked, not the library, so that a
 * mistake of ours cannot pass for a denial; and only a denial counts, no lack of memory or descriptors. What is skipped is
 * said on stdout, in a line that tests/lib/count_checks.py finds. TR_TEST_RING=required, which ./run sets where its own
 * probe got a ring, makes it a failure.
 */
#ifndef TEST_RING_H
#define TEST_RING_H

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What meson takes for "skipped". */
#define EXIT_SKIPPED 77

/* EPERM or ENOSYS where no ring can be had at all, else 0. */
static inline int ring_denied(void)
{
    struct io_uring_params params = { 0 };
    long fd = syscall(__NR_io_uring_setup, 4, &params);
    if (fd < 0)
        return errno == EPERM || errno == ENOSYS ? errno : 0;
    close((int)fd);
    return 0;
}

/* Whether the tests of `suite` that need a ring can run; says so if not. */
static inline bool ring_here(const char *suite)
{
    int error = ring_denied();
    if (!error)
        return true;
    printf("skipped: %s on io_uring: io_uring_setup: %s\n", suite, strerror(error));
    fflush(stdout); /* before the first fork */
    const char *rule = getenv("TR_TEST_RING");
    if (rule && !strcmp(rule, "required")) {
        printf("%s: TR_TEST_RING=required\n", suite);
        exit(EXIT_FAILURE);
    }
    return false;
}

#endif
