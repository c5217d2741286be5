/* SPDX-License-Identifier: MIT */
/*
 * support.h: what the check suites of the public interface share.
 *
 * The one idea: every test starts and ends with a census. Tasks, stacks, slots, storages, streams, timers and open file
 * descriptors must be back at their baseline when the test is over, so that each test is a leak test as well.
 *
 * A test's body runs as the first task of a runtime (TASK_TEST) or on the plain thread of the test (START_TEST). Its
 * environment chooses the variant; no test names a backend:
 *
 *     TR_BACKEND, TR_WORKERS    read by the library itself
 *     TR_TEST_MIGRATE=1         every wake moves the task to another worker
 *     TR_TEST_NO_CACHES=1       every stack, record and slot goes through the shared lists
 *     TR_TEST_TIMEOUT=seconds   for one test, default 120
 *     TR_STRESS=n               sizes of the stress programs, times n, and seeds of a SEED_TEST
 *     TR_SEED=n                 the only seed of a SEED_TEST
 *
 * expect() costs nothing when it holds and may be used by any thread; a failure ends the test's process.
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strerrorname_np */
#endif

#include "ring.h"

#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <troupe.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif
#define TEST_SANITIZED (TEST_ASAN || TEST_TSAN)

/* ---- expectations --------------------------------------------------------------------------------------------- */

#define expect(condition) ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, "not so: %s", #condition))
#define expect_int(actual, expected) test_expect_int(__FILE__, __LINE__, #actual, (actual), (expected))

void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn, cold));

static inline void test_expect_int(const char *file, int line, const char *text, int64_t actual, int64_t expected)
{
    if (actual != expected)
        test_fail(file, line, "%s is %lld (%s), expected %lld (%s)", text, (long long)actual,
                  actual < 0 ? strerrorname_np((int)-actual) : "", (long long)expected,
                  expected < 0 ? strerrorname_np((int)-expected) : "");
}

/* Sleeps in steps of a millisecond until the condition holds; gives up, loudly, after a minute. */
#define wait_until(condition)                                                                                          \
    for (int test_turn = 0; !(condition); test_turn++)                                                                 \
    test_wait_turn(__FILE__, __LINE__, #condition, test_turn)
void test_wait_turn(const char *file, int line, const char *text, int turn);

/* ---- running -------------------------------------------------------------------------------------------------- */

/* A deadline that only a hang can reach. */
#define LONG_TIME (60 * TR_SECOND)

/* The variant that the environment asks for, with `workers` workers (0: TR_WORKERS or the machine's). */
struct tr_options test_options(unsigned workers);

/* Runs body as the first task of a runtime of that kind, and expects tr_run to return 0. */
void test_run(unsigned workers, void (*body)(void));
void test_run_with(const struct tr_options *options, void (*body)(void));

/* A test whose body is a task; the second form has exactly that many workers. */
#define TASK_TEST(name) TASK_TEST_ON(0, name)
#define TASK_TEST_ON(workers, name)                                                                                    \
    static void name##_body(void);                                                                                     \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        test_run((workers), name##_body);                                                                              \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    static void name##_body(void)

/*
 * A test whose body is a task of a seeded runtime, run for 200 seeds, times TR_STRESS (see troupe/sim.h). Whatever way it fails,
 * also by a signal, the seed is printed.
 */
#define SEED_TEST(name)                                                                                                \
    static void name##_body(void);                                                                                     \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        test_seeds(name##_body);                                                                                       \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    static void name##_body(void)
void test_seeds(void (*body)(void));

/* What leaves something behind: runs in a process of its own, which ends with its result. Returns that process's status. */
int test_in_child(int (*body)(void));

/*
 * On one worker: lets every task that is ready, and those that they make ready, run until they end or wait. A task that
 * was about to wait waits when this returns.
 */
void test_settle(void);

/*
 * No more address space than there is, until RLIMIT_AS is put back to *before. Not everywhere: sanitizers need more than any
 * limit for their shadow, and under an emulator none holds.
 */
void test_limit_memory(struct rlimit *before);
bool test_can_limit_memory(void);

/* Whether the backend that the environment asks for can be had here; says so if not, and main returns EXIT_SKIPPED. */
bool test_backend_here(const char *program);

/* The main function of a suite: runs the tests, each in a process of its own, between two censuses. */
int test_main(const char *suite, const TTest *const *tests);
#define TESTS(...) ((const TTest *const[]){ __VA_ARGS__, NULL })

/* The same two censuses for programs that are no check suite. */
void test_census_begin(void);
void test_census_end(void);

/* Zeroed memory that lives until the test is over, for what actors may touch after a test's body has returned. */
void *test_new(size_t bytes);

/* TR_STRESS, at least 1. */
unsigned test_stress(void);

/* A small generator of pseudo-random numbers (xorshift64*), one state per user. */
static inline uint64_t test_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* ---- logs ----------------------------------------------------------------------------------------------------- */

/* From now on log lines go to memory; test_log_count tells how often they hold `text`. */
void test_log_capture(enum tr_log_level most);
unsigned test_log_count(const char *text);
bool test_log_has(const char *text);
void test_log_release(void);

/* ---- messages and actors that many suites use ----------------------------------------------------------------- */

struct number;
TR_ADDRESS_TYPE(number_address, struct number);
TR_REPLY_TYPE(number_reply, int64_t);
struct number {
    int64_t kind;
    int64_t value;
    struct number_reply reply;
};

/* One line for a request that must succeed. */
int64_t test_ask(struct number_address address, int64_t kind, int64_t value);

/* Spawns with options made of a name and capacity; expects success. */
struct number_address test_loop(int (*body)(void *argument), void *argument, uint32_t capacity, struct tr_task *task);
struct number_address test_handler(int (*on_message)(void *state, void *message), void *state, uint32_t capacity,
                                   struct tr_task *task);
struct tr_task test_task(int (*body)(void *argument), void *argument);

/* A task's body, of a listener: accepts one connection, closes it, and returns what the accept did. */
int test_accept_one(void *argument);

/* Joins and returns the result; expects the join to succeed. */
int test_join(struct tr_task task);

/* Queued messages of the actor's mailbox; owed requests. A stale address fails the test. */
unsigned test_queued(struct number_address address);
unsigned test_owed(struct number_address address);

#endif
