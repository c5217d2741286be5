/* SPDX-License-Identifier: MIT */
/*
 * io_support.h: what the suites of io/ share: expectations for loops and for threads, the two backends, the main function.
 */
#ifndef TEST_IO_SUPPORT_H
#define TEST_IO_SUPPORT_H

#include "descriptors.h"
#include "ring.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe/runtime.h>
#include <unistd.h>

/* As ck_assert, which writes to a pipe each time, but cheap enough for loops, and usable by any thread. */
#define must(condition) ((condition) ? (void)0 : io_give_up(__FILE__, __LINE__, #condition, 0, 0))
#define must_be(actual, expected) io_must_be(__FILE__, __LINE__, #actual, (long)(actual), (long)(expected))

static inline _Noreturn void io_give_up(const char *file, int line, const char *text, long actual, long expected)
{
    fprintf(stderr, "%s:%d: not so: %s (%ld, expected %ld)\n", file, line, text, actual, expected);
    _exit(99);
}

static inline void io_must_be(const char *file, int line, const char *text, long actual, long expected)
{
    if (actual != expected)
        io_give_up(file, line, text, actual, expected);
}

/* Under a sanitizer on a small machine, a fraction of the rounds. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define IO_SANITIZED
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define IO_SANITIZED
#endif
#ifdef IO_SANITIZED
#define ROUNDS(n) ((n) / 5)
#else
#define ROUNDS(n) (n)
#endif

/* The tests of a suite run on each, by their loop index; TR_BACKEND narrows it to one, and so does want of a ring. */
static const enum tr_backend io_backends[] = { TR_BACKEND_URING, TR_BACKEND_EPOLL };

static inline uint64_t io_draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static inline int io_main(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);
    tcase_set_timeout(cases, 300);
    descriptors_watch(cases);
    const char *only = getenv("TR_BACKEND");
    int first = only && !strcmp(only, "epoll"), end = only && !strcmp(only, "uring") ? 1 : 2;
    if (first == 0 && !ring_here(name))
        first = 1;
    if (first == end)
        return EXIT_SKIPPED;
    for (size_t i = 0; i < count; i++)
        tcase_add_loop_test(cases, tests[i], first, end);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
