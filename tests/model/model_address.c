/* SPDX-License-Identifier: MIT */
/*
 * model_address.c: a request for a name (io/address.c), from the task to the thread that asks and back. The thread is one of
 * the model's, which begins when it is created; getaddrinfo is plain memory.
 *
 *   answer          a task that waits x the thread
 *   answer, stray   the same, and a wake that is meant for somebody else
 *   give up         a task that waits no longer than it must
 *   give up, two    the same beside one that waits; each has a thread
 *   two             two that wait; each has a thread
 *   refused         one that gives up and one that waits; there is one thread to be had, once
 *
 * In each: a task has the whole answer or nothing, a request is freed once, by whoever lets go of it last, and the thread that
 * finds nothing more to do ends.
 */
#include "fake_waiter.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fake_lock(pthread_mutex_t *mutex);
static int fake_unlock(pthread_mutex_t *mutex);
static int fake_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument);
static int fake_ask(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out);
static void fake_free_answer(struct addrinfo *list);
static struct request *fake_take(size_t count, size_t bytes);
static void fake_give(struct request *request);
#define pthread_mutex_lock fake_lock
#define pthread_mutex_unlock fake_unlock
#define pthread_create fake_create
#define getaddrinfo fake_ask
#define freeaddrinfo fake_free_answer
#define calloc fake_take
#define free fake_give
#include "io/address.c"
#undef calloc
#undef free

enum { TASKS = 2, PORT = 7000 };

static TRI_ATOMIC(uint32_t) locked, created;
static uint32_t most_threads;
static TRI_ATOMIC(uint32_t) live, asked; /* requests; orders nothing */
static struct tri_addresses answers[TASKS];
static int results[TASKS];

/* ---- what the machine does ---- */

static int fake_lock(pthread_mutex_t *mutex)
{
    (void)mutex;
    model_await_zero(&locked);
    model_assert(tri_exchange(&locked, 1u, TRI_ACQUIRE) == 0);
    return 0;
}

static int fake_unlock(pthread_mutex_t *mutex)
{
    (void)mutex;
    tri_store(&locked, 0u, TRI_RELEASE);
    return 0;
}

static int fake_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument)
{
    (void)attributes, (void)argument;
    model_assert(body == serve_all);
    if (tri_load(&created, TRI_RELAXED) == most_threads)
        return EAGAIN;
    *thread = 0;
    tri_fetch_add(&created, 1u, TRI_RELEASE);
    return 0;
}

/* The answer is the name's first letter. */
static int fake_ask(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    struct answer {
        struct addrinfo info;
        struct sockaddr_in address;
    } *answer = malloc(sizeof *answer);
    model_assert(hints->ai_socktype == SOCK_STREAM && strcmp(service, "7000") == 0);
    tri_fetch_add(&asked, 1u, TRI_RELAXED);
    answer->address =
        (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = { (uint8_t)*host } };
    answer->info = (struct addrinfo){ .ai_addrlen = sizeof answer->address,
                                      .ai_addr = (struct sockaddr *)(void *)&answer->address };
    *out = &answer->info;
    return 0;
}

static void fake_free_answer(struct addrinfo *list)
{
    free(list);
}

static struct request *fake_take(size_t count, size_t bytes)
{
    tri_fetch_add(&live, 1u, TRI_RELAXED);
    return calloc(count, bytes);
}

static void fake_give(struct request *request)
{
    tri_fetch_sub(&live, 1u, TRI_RELAXED);
    free(request);
}

void tri_outside_begin(void)
{
}

void tri_outside_end(void)
{
}

/* ---- the parts ---- */

static void setup(void)
{
    most_threads = 1;
}

static void setup_two_threads(void)
{
    most_threads = 2;
}

static bool first_is_created(const void *unused)
{
    (void)unused;
    return model_peek(&created) > 0;
}

static bool second_is_created(const void *unused)
{
    (void)unused;
    return model_peek(&created) > 1;
}

static void serve_as_thread(bool (*is_created)(const void *unused))
{
    model_block(is_created, NULL);
    tri_fetch_add(&created, 0u, TRI_ACQUIRE); /* as pthread_create orders it */
    serve_all(NULL);
}

static void first_thread(void)
{
    serve_as_thread(first_is_created);
}

static void second_thread(void)
{
    serve_as_thread(second_is_created);
}

static void look_up(unsigned task, const char *host, tr_time deadline)
{
    results[task] = tri_address_look_up(&answers[task], host, PORT, deadline);
}

static void patient(void)
{
    look_up(0, "a", TR_FOREVER);
}

static void impatient(void)
{
    look_up(0, "a", 1);
}

static void second_patient(void)
{
    look_up(1, "b", TR_FOREVER);
}

static void stray(void)
{
    tri_wake(&fake_tasks[1]);
}

static void check_answer(unsigned task, const char *host)
{
    const struct tri_addresses *answer = &answers[task];
    model_assert(results[task] == 0 && answer->count == 1 && answer->list[0].bytes == sizeof(struct sockaddr_in));
    model_assert(answer->list[0].v4.sin_addr.s_addr == (uint8_t)*host);
}

static void check_given_up(void)
{
    model_assert(tri_load(&live, TRI_RELAXED) == 0 && thread_count == 0 && !waiting && waiting_end == &waiting);
    if (results[0] == -ETIMEDOUT || results[0] == -ENOMEM)
        model_assert(answers[0].count == 0);
    else
        check_answer(0, "a");
}

static void check_one(void)
{
    check_given_up();
    check_answer(0, "a");
}

static void check_second(void)
{
    check_given_up();
    check_answer(1, "b");
}

static void check_two(void)
{
    check_one();
    check_second();
    model_assert(tri_load(&asked, TRI_RELAXED) == 2);
}

/* -ENOMEM only where the thread has ended before, having served the other. */
static void check_refused(void)
{
    check_given_up();
    model_assert(results[1] == 0 || results[1] == -ENOMEM);
    model_assert(results[0] != -ENOMEM || results[1] == 0);
    if (results[1] == 0)
        check_answer(1, "b");
}

static const struct model_case cases[] = {
    { .name = "answer",
      .setup = setup,
      .check = check_one,
      .threads = { { "task", patient, 0 }, { "thread", first_thread, true } } },
    { .name = "answer, stray",
      .setup = setup,
      .check = check_one,
      .threads = { { "task", patient, 0 }, { "thread", first_thread, true }, { "stray", stray, 0 } } },
    { .name = "give up",
      .setup = setup,
      .check = check_given_up,
      .threads = { { "task", impatient, 0 }, { "thread", first_thread, true } } },
    { .name = "give up, two",
      .setup = setup_two_threads,
      .check = check_second,
      .threads = { { "task", impatient, 0 },
                   { "second task", second_patient, 0 },
                   { "thread", first_thread, true },
                   { "second thread", second_thread, true } } },
    { .name = "two",
      .setup = setup_two_threads,
      .check = check_two,
      .threads = { { "task", patient, 0 },
                   { "second task", second_patient, 0 },
                   { "thread", first_thread, true },
                   { "second thread", second_thread, true } } },
    { .name = "refused",
      .setup = setup,
      .check = check_refused,
      .threads = { { "task", impatient, 0 }, { "second task", second_patient, 0 }, { "thread", first_thread, true } } },
    { 0 },
};
MODEL(cases);
