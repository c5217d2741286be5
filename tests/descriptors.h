/* SPDX-License-Identifier: MIT */
/*
 * descriptors.h: the census of open file descriptors around each test, for suites that are not of support.h, which counts more.
 */
#ifndef TEST_DESCRIPTORS_H
#define TEST_DESCRIPTORS_H

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* TSan opens a pipe for its first report, also for one that is suppressed. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DESCRIPTORS_VARY
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define DESCRIPTORS_VARY
#endif
#ifdef DESCRIPTORS_VARY
enum { DESCRIPTORS_COUNT = 0 };
#else
enum { DESCRIPTORS_COUNT = 1 };
#endif

/* How many are open, by the same count each time. -1: no /proc. */
static inline int descriptors_open(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    if (!directory)
        return -1;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static int descriptors_before;

static inline void descriptors_begin(void)
{
    descriptors_before = descriptors_open();
}

static inline void descriptors_end(void)
{
    int now = descriptors_open();
    if (DESCRIPTORS_COUNT && now != descriptors_before) {
        fprintf(stderr, "%d file descriptors are open, %d were before the test\n", now, descriptors_before);
        _exit(99);
    }
}

/* Every test of the case begins and ends with one. */
static inline void descriptors_watch(TCase *tests)
{
    tcase_add_checked_fixture(tests, descriptors_begin, descriptors_end);
}

#endif
