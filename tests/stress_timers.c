/* SPDX-License-Identifier: MIT */
/*
 * stress_timers.c: messages sent later to actors with small mailboxes that come and go, while tasks on every worker and
 * foreign threads cancel each other's timers, and the runtime ends in the midst.
 *
 * Each timer has a number and each actor too. Oracles: a message is never received, dropped and cancelled together, nor
 * one of them twice; what is none of them is counted as lost; nobody gets what was meant for another; nothing comes early.
 */
#include "tests/support.h"

#include <pthread.h>

enum { PLACES = 6, MAKERS = 6, THREADS = 2, ROUNDS = 6, PER_MAKER = 4000, SHELF = 64, INTERVALS = 8 };

struct fate {
    atomic_uchar created, received, dropped, cancelled;
    tr_time when;
};

struct home {
    struct number_address address;
    int64_t number;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* never held over a suspension */
static struct home homes[PLACES];
static struct shelved {
    struct tr_timer timer;
    long id; /* -1: an interval */
} shelf[SHELF];
static struct fate *fates;
static size_t fate_count;
static atomic_long next_id, ticks, refused;
static atomic_int running;
static atomic_llong tenants;

static void drop_one(void *message)
{
    struct number *number = message;
    if (number->kind >= 0)
        atomic_fetch_add(&fates[number->kind].dropped, 1);
}

static void receive_one(int64_t tenant, struct number *number)
{
    expect_int(number->value, tenant);
    if (number->kind < 0) {
        atomic_fetch_add(&ticks, 1);
        return;
    }
    expect(tr_clock() >= fates[number->kind].when);
    expect_int(atomic_fetch_add(&fates[number->kind].received, 1), 0);
}

static int live_in_loop(void *argument)
{
    int64_t tenant = *(int64_t *)argument;
    struct number message;
    for (int seen = 0; tr_receive(&message, TR_FOREVER) == 0; seen++) {
        receive_one(tenant, &message);
        if (seen % 16 == 7 && tr_sleep(200 * TR_MICROSECOND) < 0)
            break; /* so that the mailbox fills */
    }
    return 0;
}

static int live_by_handler(void *state, void *message)
{
    receive_one(*(int64_t *)state, message);
    return 0;
}

static void settle(struct tr_runtime *runtime, uint64_t random)
{
    int64_t number = atomic_fetch_add(&tenants, 1);
    struct home home = { .number = number };
    struct tr_actor_options options = {
        .capacity = 1u + (unsigned)(random % 4), .drop = drop_one, .argument_bytes = sizeof number, .runtime = runtime
    };
    int rc = random / 4 % 2 ? tr_spawn(&home.address, live_in_loop, &number, &options)
                            : tr_spawn_handler(&home.address, live_by_handler, &number, &options);
    if (rc == -ECANCELED)
        return; /* the runtime ends */
    expect_int(rc, 0);
    pthread_mutex_lock(&lock);
    struct home before = homes[random / 8 % PLACES];
    homes[random / 8 % PLACES] = home;
    pthread_mutex_unlock(&lock);
    rc = random / 64 % 2 ? tr_actor_stop(before.address) : tr_actor_cancel(before.address);
    expect(rc == 0 || rc == -ESRCH);
}

/* Puts the timer on the shelf, where anybody finds it, and cancels what lay there. */
static void shelve(struct tr_timer timer, long id, uint64_t random)
{
    pthread_mutex_lock(&lock);
    struct shelved before = shelf[random % SHELF];
    shelf[random % SHELF] = (struct shelved){ timer, id };
    pthread_mutex_unlock(&lock);
    if (!before.timer.tri_record || random / SHELF % 4 == 0)
        return;
    int rc = tr_timer_cancel(before.timer);
    expect(rc == 0 || rc == -ESRCH);
    if (rc == 0 && before.id >= 0)
        expect_int(atomic_fetch_add(&fates[before.id].cancelled, 1), 0);
}

static void make_one(uint64_t random)
{
    struct tr_timer timer;
    pthread_mutex_lock(&lock);
    struct home home = homes[random % PLACES];
    pthread_mutex_unlock(&lock);
    random /= PLACES;
    if (random % 200 == 0) { /* an interval, until it is met on the shelf or its target ends */
        if (tr_send_interval(&timer, home.address, 300 * TR_MICROSECOND,
                             &(struct number){ .kind = -1, .value = home.number }) == 0)
            shelve(timer, -1, random / 200);
        return;
    }
    long id = atomic_fetch_add(&next_id, 1);
    expect((size_t)id < fate_count);
    fates[id].when = tr_after((int64_t)(random / 200 % (2 * TR_MILLISECOND)));
    int rc = tr_send_at(&timer, home.address, fates[id].when, &(struct number){ .kind = id, .value = home.number });
    expect(rc == 0 || rc == -ESRCH);
    atomic_store(&fates[id].created, rc == 0);
    atomic_fetch_add(&refused, rc != 0);
    if (rc == 0 && random / 100000 % 2)
        shelve(timer, id, random >> 30);
}

static int make_many(void *argument)
{
    uint64_t seed = 31 + 77777 * (uint64_t)(intptr_t)argument + (uint64_t)atomic_load(&next_id);
    for (unsigned i = 0; i < PER_MAKER; i++) {
        make_one(test_random(&seed) >> 3);
        if (i % 64 == 0)
            settle(NULL, test_random(&seed) >> 20);
        if (i % 8 == 0 && tr_sleep((int64_t)(test_random(&seed) >> 20) % 100000) < 0)
            break;
    }
    atomic_fetch_sub(&running, 1);
    return 0;
}

static void *make_outside(void *argument)
{
    uint64_t seed = 5 + 99 * (uint64_t)(intptr_t)argument + (uint64_t)atomic_load(&next_id);
    for (unsigned i = 0; i < PER_MAKER && atomic_load(&running) > 0; i++) {
        make_one(test_random(&seed) >> 3);
        if (i % 16 == 0)
            usleep(50);
    }
    return NULL;
}

static void run_round(unsigned round)
{
    struct tr_runtime *runtime;
    struct tr_options options = test_options(0);
    pthread_t threads[THREADS];
    memset(shelf, 0, sizeof shelf);
    expect_int(tr_start(&runtime, &options), 0);
    for (uint64_t i = 0; i < PLACES; i++)
        settle(runtime, i * 8 + i % 8);
    atomic_store(&running, MAKERS);
    for (int i = 0; i < MAKERS; i++)
        expect_int(tr_task_spawn(NULL, make_many, (void *)(intptr_t)i, &(struct tr_task_options){ .runtime = runtime }),
                   0);
    for (int i = 0; i < THREADS; i++)
        expect_int(pthread_create(&threads[i], NULL, make_outside, (void *)(intptr_t)i), 0);
    if (round % 2) /* end with everything under way */
        wait_until(atomic_load(&next_id) > (long)(round + 1) * PER_MAKER / 2 || atomic_load(&running) == 0);
    else
        wait_until(atomic_load(&running) == 0);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    atomic_store(&running, 0);
    for (int i = 0; i < THREADS; i++)
        expect_int(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
    struct tr_timer_counts before, after;
    long long received = 0, dropped = 0, cancelled = 0, none = 0, created = 0;
    unsigned rounds = ROUNDS * test_stress();
    if (!test_backend_here("timers"))
        return EXIT_SKIPPED;
    fate_count = (size_t)rounds * (MAKERS + THREADS) * PER_MAKER;
    fates = calloc(fate_count, sizeof *fates);
    expect(fates);
    test_census_begin();
    tr_timer_counts(&before);
    for (unsigned round = 0; round < rounds; round++)
        run_round(round);
    test_census_end();
    tr_timer_counts(&after);
    for (long id = 0; id < atomic_load(&next_id); id++) {
        struct fate *fate = &fates[id];
        int ends = atomic_load(&fate->received) + atomic_load(&fate->dropped) + atomic_load(&fate->cancelled);
        expect(ends <= atomic_load(&fate->created));
        created += atomic_load(&fate->created);
        received += atomic_load(&fate->received);
        dropped += atomic_load(&fate->dropped);
        cancelled += atomic_load(&fate->cancelled);
        none += atomic_load(&fate->created) - ends;
    }
    expect(none <= (long long)(after.lost - before.lost)); /* ticks of intervals are lost, too */
    printf(
        "timers: %lld made, %lld received, %lld dropped, %lld cancelled, %lld let fall, %ld refused; %llu waited for "
        "room, %ld ticks, %llu left out\n",
        created, received, dropped, cancelled, none, (long)atomic_load(&refused),
        (unsigned long long)(after.delayed - before.delayed), (long)atomic_load(&ticks),
        (unsigned long long)(after.skipped - before.skipped));
    free(fates);
    return 0;
}
