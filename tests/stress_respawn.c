/* SPDX-License-Identifier: MIT */
/*
 * stress_respawn.c: actors that come and go in the same few records, while clients use addresses old and new.
 *
 * Each tenant has a number, and each message says for which tenant it is. Oracles: nobody ever gets a message that was
 * meant for another; sent = received + dropped; each request that was received ends in an answer or in -EPIPE, and
 * one that was not received in -ESRCH.
 */
#include "tests/support.h"

#include <pthread.h>

enum { PLACES = 8, CLIENTS = 12, BREEDERS = 4, ROUNDS = 4000, OLD = 64 };
enum { SEND, CALL };

struct tenant {
    int64_t number;
    int kind, lifetime, seen;
};

struct home {
    struct number_address address;
    int64_t number;
};

static pthread_mutex_t homes_lock = PTHREAD_MUTEX_INITIALIZER; /* never held over a suspension */
static struct home homes[PLACES], old_homes[OLD];
static unsigned old_next;
static atomic_llong numbers, sent, received, dropped, taken, answered, calls_answered, calls_broken, calls_untaken,
    stale;
static atomic_int running;

static void count_drop(void *message)
{
    if (((struct number *)message)->kind == SEND)
        atomic_fetch_add(&dropped, 1);
}

/* One message of a tenant. Returns false when its life is over. */
static bool live(struct tenant *tenant, struct number *number)
{
    expect_int(number->value, tenant->number);
    if (number->kind == SEND) {
        atomic_fetch_add(&received, 1);
    } else {
        atomic_fetch_add(&taken, 1);
        if (tenant->seen % 3 && tr_reply(number->reply, &number->value) == 0)
            atomic_fetch_add(&answered, 1);
        else if (tenant->seen % 2)
            tr_defer(number->reply);
    }
    if (tenant->seen % 4 == 0)
        tr_yield();
    return ++tenant->seen < tenant->lifetime;
}

static int tenant_message(void *state, void *message)
{
    return live(state, message) ? 0 : TR_END;
}

static int tenant_loop(void *argument)
{
    struct number message;
    while (tr_receive(&message, TR_FOREVER) == 0)
        if (!live(argument, &message))
            break;
    return 0;
}

static struct home settle(uint64_t *seed)
{
    struct tenant tenant = { .number = atomic_fetch_add(&numbers, 1) };
    struct home home = { .number = tenant.number };
    tenant.lifetime = 1 + (int)(test_random(seed) % 20);
    struct tr_actor_options options = { .capacity = 1u + (unsigned)(test_random(seed) % 4),
                                        .drop = count_drop,
                                        .argument_bytes = sizeof tenant };
    expect_int(test_random(seed) >> 50 & 1 ? tr_spawn_handler(&home.address, tenant_message, &tenant, &options)
                                           : tr_spawn(&home.address, tenant_loop, &tenant, &options),
               0);
    return home;
}

/* Returns who lived there before: the caller's to end. */
static struct home move_in(int place, struct home home)
{
    pthread_mutex_lock(&homes_lock);
    struct home before = homes[place];
    old_homes[old_next++ % OLD] = before;
    homes[place] = home;
    pthread_mutex_unlock(&homes_lock);
    return before;
}

static struct home look_up(uint64_t *seed)
{
    uint64_t random = test_random(seed) >> 20;
    pthread_mutex_lock(&homes_lock);
    struct home home = random % 4 ? homes[random / 4 % PLACES] : old_homes[random / 4 % OLD];
    pthread_mutex_unlock(&homes_lock);
    return home;
}

static int breed(void *argument)
{
    uint64_t seed = 1234567 * (uint64_t)(intptr_t)argument + 1;
    while (atomic_load(&running) > 0) {
        uint64_t random = test_random(&seed) >> 20;
        struct home before = move_in((int)(random % PLACES), settle(&seed));
        int rc = random / 64 % 2 ? tr_actor_stop(before.address) : tr_actor_cancel(before.address);
        expect(rc == 0 || rc == -ESRCH);
        expect_int(random / 8 % 16 ? tr_yield() : tr_sleep((int64_t)(random / 128 % 50) * TR_MICROSECOND), 0);
    }
    return 0;
}

static int send_one(struct home home)
{
    int rc = tr_send(home.address, TR_FOREVER, &(struct number){ .kind = SEND, .value = home.number });
    expect(rc == 0 || rc == -ESRCH);
    atomic_fetch_add(rc == 0 ? &sent : &stale, 1);
    return rc;
}

static int call_one(struct home home)
{
    int64_t answer = -7;
    int rc =
        tr_call(home.address, &answer, tr_after(LONG_TIME), &(struct number){ .kind = CALL, .value = home.number });
    expect_int(answer, rc == 0 ? home.number : -7);
    expect(rc == 0 || rc == -EPIPE || rc == -ESRCH);
    atomic_fetch_add(rc == 0 ? &calls_answered : rc == -EPIPE ? &calls_broken : &calls_untaken, 1);
    return rc;
}

static int be_client(void *argument)
{
    uint64_t seed = 987654321 * (uint64_t)(intptr_t)argument + 17;
    for (unsigned i = 0; i < ROUNDS * test_stress(); i++) {
        struct home home = look_up(&seed);
        int rc = test_random(&seed) >> 40 & 1 ? send_one(home) : call_one(home);
        if (rc == -ESRCH)
            expect_int(tr_yield(), 0); /* the breeders must keep up */
    }
    atomic_fetch_sub(&running, 1);
    return 0;
}

static void run(void)
{
    struct tr_task clients[CLIENTS], breeders[BREEDERS];
    uint64_t seed = 5;
    atomic_store(&running, CLIENTS);
    for (int i = 0; i < PLACES; i++)
        move_in(i, settle(&seed));
    for (int i = 0; i < BREEDERS; i++)
        breeders[i] = test_task(breed, (void *)(intptr_t)i);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = test_task(be_client, (void *)(intptr_t)i);
    for (int i = 0; i < CLIENTS; i++)
        expect_int(tr_task_join(clients[i], NULL, TR_FOREVER), 0);
    for (int i = 0; i < BREEDERS; i++)
        expect_int(tr_task_join(breeders[i], NULL, TR_FOREVER), 0);
}

int main(void)
{
    struct tr_options options = test_options(0);
    if (!test_backend_here("respawn"))
        return EXIT_SKIPPED;
    test_census_begin();
    test_run_with(&options, run);
    test_census_end();
    expect_int(atomic_load(&received) + atomic_load(&dropped), atomic_load(&sent));
    expect_int(atomic_load(&answered), atomic_load(&calls_answered));
    expect_int(atomic_load(&calls_answered) + atomic_load(&calls_broken), atomic_load(&taken));
    printf("respawn: %lld tenants, %lld sent, %lld dropped, %lld stale, calls %lld answered %lld broken %lld untaken\n",
           (long long)atomic_load(&numbers), (long long)atomic_load(&sent), (long long)atomic_load(&dropped),
           (long long)atomic_load(&stale), (long long)atomic_load(&calls_answered),
           (long long)atomic_load(&calls_broken), (long long)atomic_load(&calls_untaken));
    return 0;
}
