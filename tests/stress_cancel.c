/* SPDX-License-Identifier: MIT */
/*
 * stress_cancel.c: cancellations and deadlines that fire at any moment of a send, a receive, a call or a join.
 *
 * Clients send to and call actors with small mailboxes under random deadlines, while agents of chaos cancel clients and
 * actors; whoever is cancelled takes note and goes on. Oracles: a send that fails has not sent, one that succeeds has:
 * each (client, actor) pair counts without a gap, and sent = received. A call that returns 0 has its own answer, one that
 * failed has left its answer alone. No more calls succeed than requests were answered, and no fewer.
 */
#include "tests/support.h"

enum { CLIENTS = 24, ACTORS = 6, AGENTS = 2, ROUNDS = 4000 };
enum { SEND, CALL };

struct station {
    struct number_address address;
    struct tr_task task;
    int64_t received, next[CLIENTS];
};

static struct station stations[ACTORS];
static struct tr_task clients[CLIENTS];
static atomic_llong sent, received, answered, calls_done, cancels_seen, timeouts_seen;
static atomic_int running, finished;

static void serve(struct station *station, struct number *number)
{
    int client = (int)(number->kind >> 8);
    if ((number->kind & 0xff) == SEND) {
        expect_int(number->value, station->next[client]++);
        atomic_fetch_add(&received, 1);
    } else if (tr_reply(number->reply, &number->value) == 0) {
        atomic_fetch_add(&answered, 1);
    }
}

static int serve_message(void *state, void *message)
{
    struct number *number = message;
    if (number->value % 5 == 0)
        tr_sleep(number->value % 40 * TR_MICROSECOND);
    serve(state, number);
    return 0;
}

/* Receives with deadlines of its own, and is cancelled like the clients. */
static int serve_in_loop(void *argument)
{
    struct number batch[3];
    uint64_t seed = (uintptr_t)argument;
    for (;;) {
        int n = tr_receive_many(batch, 1 + (uint32_t)(test_random(&seed) % 3),
                                tr_after((int64_t)(test_random(&seed) % 400) * TR_MICROSECOND));
        if (n == -EPIPE)
            return 0;
        expect(n > 0 || n == -ETIMEDOUT || n == -ECANCELED);
        if (n == -ECANCELED)
            expect(tr_cancel_taken());
        for (int i = 0; i < n; i++)
            serve(argument, &batch[i]);
    }
}

static tr_time random_deadline(uint64_t *seed)
{
    uint64_t random = test_random(seed) >> 16;
    if (random % 8 == 0)
        return TR_NOW;
    if (random % 8 == 1)
        return TR_FOREVER;
    return tr_after((int64_t)(random / 8 % 500) * TR_MICROSECOND);
}

static void note_failure(int rc)
{
    expect(rc == -ETIMEDOUT || rc == -ECANCELED);
    if (rc == -ECANCELED) {
        tr_cancel_taken();
        atomic_fetch_add(&cancels_seen, 1);
    } else {
        atomic_fetch_add(&timeouts_seen, 1);
    }
}

static int be_client(void *argument)
{
    int self = (int)(intptr_t)argument;
    int64_t next[ACTORS] = { 0 };
    uint64_t seed = 0x2545f4914f6cdd1du * (uint64_t)(self + 3);
    for (unsigned i = 0; i < ROUNDS * test_stress(); i++) {
        int to = (int)((test_random(&seed) >> 20) % ACTORS);
        bool call = test_random(&seed) >> 40 & 1;
        struct number message = { .kind = self << 8 | (call ? CALL : SEND), .value = call ? i : next[to] };
        int64_t answer = -7;
        int rc = call ? tr_call(stations[to].address, &answer, random_deadline(&seed), &message)
                      : tr_send(stations[to].address, random_deadline(&seed), &message);
        if (rc < 0) {
            note_failure(rc);
            expect_int(answer, -7);
            continue;
        }
        if (call) {
            expect_int(answer, i);
            atomic_fetch_add(&calls_done, 1);
        } else {
            next[to]++;
            atomic_fetch_add(&sent, 1);
        }
    }
    atomic_fetch_sub(&running, 1);
    while (!atomic_load(&finished)) { /* so that late cancels find a task, not a stale handle */
        tr_sleep(TR_MILLISECOND);
        tr_cancel_taken();
    }
    return 0;
}

static int be_chaos(void *argument)
{
    uint64_t seed = 77 + (uint64_t)(intptr_t)argument;
    while (atomic_load(&running) > 0) {
        uint64_t random = test_random(&seed) >> 20;
        if (random % 4)
            tr_task_cancel(clients[random / 4 % CLIENTS]);
        else
            tr_task_cancel(stations[1 + 2 * (random / 4 % (ACTORS / 2))].task); /* the loop actors */
        expect_int(tr_sleep((int64_t)(random / 512 % 100) * TR_MICROSECOND), 0);
    }
    return 0;
}

static void run(void)
{
    struct tr_task agents[AGENTS];
    atomic_store(&running, CLIENTS);
    for (int i = 0; i < ACTORS; i++) {
        struct station *station = &stations[i];
        struct tr_actor_options options = { .capacity = 1u + (unsigned)i % 3, .task = &station->task };
        expect_int(i % 2 ? tr_spawn(&station->address, serve_in_loop, station, &options)
                         : tr_spawn_handler(&station->address, serve_message, station, &options),
                   0);
    }
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = test_task(be_client, (void *)(intptr_t)i);
    for (int i = 0; i < AGENTS; i++)
        agents[i] = test_task(be_chaos, (void *)(intptr_t)i);
    for (int i = 0; i < AGENTS; i++)
        expect_int(tr_task_join(agents[i], NULL, TR_FOREVER), 0);
    atomic_store(&finished, 1);
    for (int i = 0; i < CLIENTS; i++)
        expect_int(tr_task_join(clients[i], NULL, TR_FOREVER), 0);
    for (int i = 0; i < ACTORS; i++) {
        expect_int(tr_actor_stop(stations[i].address), 0);
        expect_int(test_join(stations[i].task), 0);
    }
}

int main(void)
{
    struct tr_options options = test_options(0);
    if (!test_backend_here("cancel"))
        return EXIT_SKIPPED;
    test_census_begin();
    test_run_with(&options, run);
    test_census_end();
    expect_int(atomic_load(&received), atomic_load(&sent));
    expect_int(atomic_load(&answered), atomic_load(&calls_done));
    printf("cancel: %lld sent, %lld calls, %lld cancelled, %lld timed out, no error\n", (long long)atomic_load(&sent),
           (long long)atomic_load(&calls_done), (long long)atomic_load(&cancels_seen),
           (long long)atomic_load(&timeouts_seen));
    return 0;
}
