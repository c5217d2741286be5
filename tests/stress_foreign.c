/* SPDX-License-Identifier: MIT */
/*
 * stress_foreign.c: threads of the program against runtimes that start, work and stop beneath them.
 *
 * In each round threads send to and call the actors of a fresh runtime, some with deadlines, while tasks inside do the
 * same; the runtime is stopped in mid-flight, and everybody must come back with an answer or -ESRCH, -EPIPE. Oracles:
 * order and no gap for each (thread, actor) pair, sent = received + dropped, calls answered = replies that said 0.
 */
#include "tests/support.h"

#include <pthread.h>

enum { THREADS = 6, ACTORS = 4, ROUNDS = 10 };

struct station {
    struct number_address address;
    int64_t next[THREADS];
};

static struct station stations[ACTORS];
static struct tr_runtime *runtime;
static atomic_llong sent, received, dropped, replied, answered, refused;
static atomic_int over;

static void count_drop(void *message)
{
    if (((struct number *)message)->kind < THREADS)
        atomic_fetch_add(&dropped, 1);
}

static void serve(struct station *station, struct number *number)
{
    if (number->kind >= THREADS) {
        if (tr_reply(number->reply, &number->value) == 0)
            atomic_fetch_add(&replied, 1);
        return;
    }
    expect_int(number->value, station->next[number->kind]++);
    atomic_fetch_add(&received, 1);
}

static int serve_message(void *state, void *message)
{
    if (((struct number *)message)->value % 11 == 0)
        tr_yield();
    serve(state, message);
    return 0;
}

static int serve_in_loop(void *argument)
{
    struct number message;
    while (tr_receive(&message, TR_FOREVER) == 0)
        serve(argument, &message);
    return 0;
}

/* One operation; false once the actor is gone. */
static bool operate(int self, int to, uint64_t random, int64_t next[ACTORS])
{
    int64_t answer = -7;
    int rc;
    tr_time deadline = random % 3 ? TR_FOREVER : tr_after((int64_t)(random / 64 % 300) * TR_MICROSECOND);
    if (random / 8 % 2) {
        rc = tr_send(stations[to].address, deadline, &(struct number){ .kind = self, .value = next[to] });
        if (rc == 0) {
            next[to]++;
            atomic_fetch_add(&sent, 1);
        }
    } else {
        int64_t value = (int64_t)(random / 8);
        rc = tr_call(stations[to].address, &answer, deadline, &(struct number){ .kind = THREADS, .value = value });
        expect_int(answer, rc == 0 ? value : -7);
        if (rc == 0)
            atomic_fetch_add(&answered, 1);
    }
    expect(rc == 0 || rc == -ETIMEDOUT || rc == -ESRCH || rc == -EPIPE);
    return rc != -ESRCH;
}

static void *be_thread(void *argument)
{
    int self = (int)(intptr_t)argument;
    int64_t next[ACTORS] = { 0 };
    uint64_t seed = 31 + (uint64_t)self;
    while (!atomic_load(&over)) {
        uint64_t random = test_random(&seed) >> 20;
        if (!operate(self, (int)(random % ACTORS), random / ACTORS, next))
            atomic_fetch_add(&refused, 1);
    }
    return NULL;
}

static int be_task(void *argument)
{
    uint64_t seed = 7 + (uint64_t)(intptr_t)argument;
    int rc;
    do {
        uint64_t random = test_random(&seed) >> 20;
        int64_t answer;
        rc = tr_call(stations[random % ACTORS].address, &answer, TR_FOREVER,
                     &(struct number){ .kind = THREADS, .value = (int64_t)random });
        if (rc == 0)
            atomic_fetch_add(&answered, 1);
    } while (rc == 0);
    expect(rc == -ESRCH || rc == -EPIPE || rc == -ECANCELED);
    return 0;
}

static void start_round(void)
{
    struct tr_options options = test_options(0);
    atomic_store(&over, 0);
    expect_int(tr_start(&runtime, &options), 0);
    for (int i = 0; i < ACTORS; i++) {
        struct station *station = &stations[i];
        memset(station->next, 0, sizeof station->next);
        struct tr_actor_options actor = { .capacity = 1u + (unsigned)i, .drop = count_drop, .runtime = runtime };
        expect_int(i % 2 ? tr_spawn(&station->address, serve_in_loop, station, &actor)
                         : tr_spawn_handler(&station->address, serve_message, station, &actor),
                   0);
    }
    for (int i = 0; i < 3; i++)
        expect_int(tr_task_spawn(NULL, be_task, (void *)(intptr_t)i, &(struct tr_task_options){ .runtime = runtime }),
                   0);
}

int main(void)
{
    pthread_t threads[THREADS];
    if (!test_backend_here("foreign"))
        return EXIT_SKIPPED;
    test_census_begin();
    for (unsigned round = 0; round < ROUNDS * test_stress(); round++) {
        long long before = atomic_load(&sent);
        start_round();
        for (int i = 0; i < THREADS; i++)
            expect_int(pthread_create(&threads[i], NULL, be_thread, (void *)(intptr_t)i), 0);
        while (atomic_load(&sent) < before + 1000)
            usleep(200);
        expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
        atomic_store(&over, 1);
        for (int i = 0; i < THREADS; i++)
            expect_int(pthread_join(threads[i], NULL), 0);
    }
    test_census_end();
    expect_int(atomic_load(&received) + atomic_load(&dropped), atomic_load(&sent));
    expect_int(atomic_load(&replied), atomic_load(&answered));
    printf("foreign: %lld sent, %lld dropped, %lld calls answered, %lld refused, no error\n",
           (long long)atomic_load(&sent), (long long)atomic_load(&dropped), (long long)atomic_load(&answered),
           (long long)atomic_load(&refused));
    return 0;
}
