/* SPDX-License-Identifier: MIT */
/*
 * stress_migration.c: every wake moves its task to another worker, while 48 producers talk to 12 actors of every kind.
 *
 * Oracles: each (producer, actor) pair is FIFO without a gap; sent = received; each call gets its own answer; no two
 * turns of one actor overlap, also when a turn suspends. One unit of TR_STRESS is about 200,000 switches (500 units are
 * a hundred million). TR_TEST_NO_CACHES=1 sends each stack, record and slot through the shared lists as well.
 */
#include "tests/support.h"

enum { PRODUCERS = 48, ACTORS = 12, OPERATIONS = 2000 };

enum { SEND, CALL, CALL_SLOW };

struct station {
    struct number_address address;
    struct tr_task task;
    atomic_int inside;
    int64_t received, next[PRODUCERS];
};

static struct station stations[ACTORS];
static struct number_address leaf;
static atomic_llong sent;
static uint64_t switches;

static int64_t pack(int producer, int operation)
{
    return (int64_t)producer << 8 | operation;
}

/* One turn of an actor, which must be alone in it. */
static void serve(struct station *station, struct number *number)
{
    int producer = (int)(number->kind >> 8), operation = (int)(number->kind & 0xff);
    expect_int(atomic_fetch_add(&station->inside, 1), 0);
    expect_int(number->value, station->next[producer]++);
    station->received++;
    if (operation == CALL_SLOW) {
        int64_t answer = 0;
        expect_int(tr_call(leaf, &answer, TR_FOREVER, &(struct number){ .value = number->value }), 0);
        expect_int(answer, number->value ^ 5);
    } else if (number->value % 7 == 0) {
        expect_int(tr_yield(), 0);
    }
    if (operation != SEND)
        expect_int(tr_reply(number->reply, &number->value), 0);
    expect_int(atomic_fetch_sub(&station->inside, 1), 1);
}

static int serve_message(void *state, void *message)
{
    serve(state, message);
    return 0;
}

static int serve_one_by_one(void *argument)
{
    struct number message;
    int rc;
    while ((rc = tr_receive(&message, TR_FOREVER)) == 0)
        serve(argument, &message);
    return rc == -EPIPE ? 0 : rc;
}

static int serve_in_batches(void *argument)
{
    struct number batch[5];
    int n;
    while ((n = tr_receive_many(batch, 5, TR_FOREVER)) > 0)
        for (int i = 0; i < n; i++)
            serve(argument, &batch[i]);
    return n == -EPIPE ? 0 : n;
}

static int serve_leaf(void *state, void *message)
{
    struct number *number = message;
    int64_t answer = number->value ^ 5;
    (void)state;
    if (number->value % 3 == 0)
        expect_int(tr_yield(), 0);
    expect_int(tr_reply(number->reply, &answer), 0);
    return 0;
}

static int produce(void *argument)
{
    int self = (int)(intptr_t)argument;
    int64_t next[ACTORS] = { 0 }, count = 0;
    uint64_t seed = 0x9e3779b97f4a7c15u * (uint64_t)(self + 1);
    for (unsigned i = 0; i < OPERATIONS * test_stress(); i++) {
        uint64_t random = test_random(&seed) >> 20;
        int to = (int)(random % ACTORS), operation = (int)(random / ACTORS % 3);
        struct number message = { .kind = pack(self, operation), .value = next[to]++ };
        if (operation == SEND) {
            expect_int(tr_send(stations[to].address, TR_FOREVER, &message), 0);
        } else {
            int64_t answer = -1;
            expect_int(tr_call(stations[to].address, &answer, tr_after(LONG_TIME), &message), 0);
            expect_int(answer, message.value);
        }
        count++;
    }
    atomic_fetch_add(&sent, count);
    return 0;
}

static void start_stations(void)
{
    for (int i = 0; i < ACTORS; i++) {
        struct station *station = &stations[i];
        struct tr_actor_options options = { .capacity = 1u + (unsigned)i % 5, .task = &station->task };
        int rc = i % 3 == 0   ? tr_spawn_handler(&station->address, serve_message, station, &options)
                 : i % 3 == 1 ? tr_spawn(&station->address, serve_one_by_one, station, &options)
                              : tr_spawn(&station->address, serve_in_batches, station, &options);
        expect_int(rc, 0);
    }
    expect_int(tr_spawn_handler(&leaf, serve_leaf, NULL, (&(struct tr_actor_options){ .capacity = 3 })), 0);
}

static void run(void)
{
    struct tr_task producers[PRODUCERS];
    struct tr_counters counters;
    start_stations();
    for (int i = 0; i < PRODUCERS; i++)
        producers[i] = test_task(produce, (void *)(intptr_t)i);
    for (int i = 0; i < PRODUCERS; i++)
        expect_int(tr_task_join(producers[i], NULL, TR_FOREVER), 0);
    int64_t received = 0;
    for (int i = 0; i < ACTORS; i++) {
        expect_int(tr_actor_stop(stations[i].address), 0);
        expect_int(test_join(stations[i].task), 0);
        received += stations[i].received;
    }
    expect_int(received, atomic_load(&sent));
    expect_int(tr_counters(&counters), 0);
    switches = counters.switches;
}

int main(void)
{
    struct tr_options options = test_options(0);
    options.migrate_always = true;
    if (!test_backend_here("migration"))
        return EXIT_SKIPPED;
    test_census_begin();
    test_run_with(&options, run);
    test_census_end();
    printf("migration: %lld messages, %llu switches, no error\n", (long long)atomic_load(&sent),
           (unsigned long long)switches);
    return 0;
}
