/* SPDX-License-Identifier: MIT */
/*
 * workload.c: the clients. Each is a task that makes one request after the other on keys of its own.
 *
 * The one idea: a value is computed from its key and a version that grows with each SET, so a client knows which values a
 * GET may return: nothing but the newest version as long as all goes well. It knows less after trouble, and no more
 * than this is forgiven:
 *   - a SET whose outcome is unknown may take effect, even late: from then on any version since the last sure one is right;
 *   - a connection was lost since the last SET: the server may have been restarted, empty or from an older snapshot.
 * A value of another key, a damaged one, or one that nobody has written is wrong at any time.
 */
#include "ticks.h"
#include "workload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct key { /* a cache line */
    _Alignas(64) char name[32];
    uint32_t name_length;
    uint32_t id;
    uint32_t newest; /* the last version that a SET was tried with */
    uint32_t oldest; /* the oldest version that may be there; 0: perhaps none at all */
    bool uncertain;  /* a SET without an outcome: `oldest` rises no more */
    uint64_t losses; /* connections lost before the last SET */
};

struct client {
    _Alignas(64) struct workload *load;
    uint64_t random;
    uint64_t quota;
    struct key *keys;
    uint64_t *value; /* what was or should be read or written, in words */
    struct tr_task task;
    bool running;
};

/*
 * What the clients count: one for each worker, because a client that counts does not suspend, so that no other of its
 * worker counts meanwhile. Shared by many clients it stays in the cache, where one for each client would not.
 */
struct score {
    _Alignas(64) _Atomic uint64_t done, troubles; /* read by whoever looks on */
    uint64_t retries, trouble_kinds[TROUBLE_KINDS];
    struct histogram latency;
};

struct workload {
    struct redis *redis;
    struct plan plan;
    atomic_bool stop;
    uint64_t reads_below; /* a random number below it means GET */
    tr_time start, end;
    uint64_t start_ticks;
    unsigned workers;
    struct score *scores;
    struct client clients[];
};

static struct score *score_here(const struct workload *load)
{
    return &load->scores[tr_worker_index()];
}

/* Counts in a counter that only we write. */
static inline void add_one(_Atomic uint64_t *counter)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* The value of a version: the first word says which it is, the others follow from it. */
static void make_value(uint64_t *words, size_t bytes, const struct key *key, uint32_t version)
{
    uint64_t first = (uint64_t)key->id << 32 | version;
    uint64_t word = first * UINT64_C(0x9e3779b97f4a7c15);
    words[0] = first;
    for (size_t i = 1; i < (bytes + 7) / 8; i++)
        words[i] = word + i * UINT64_C(0xd1b54a32d192ed03);
}

static bool may_be_older(const struct client *client, const struct key *key)
{
    return redis_losses(client->load->redis) != key->losses;
}

/* May this be the answer to a GET of the key? */
static bool is_right(struct client *client, const struct key *key, const struct redis_value *found)
{
    size_t bytes = client->load->plan.value_bytes;
    if (found->type == REDIS_NIL)
        return key->oldest == 0 || may_be_older(client, key);
    uint64_t first;
    if (found->type != REDIS_STRING || found->length != bytes)
        return false;
    memcpy(&first, found->text, sizeof first);
    uint32_t version = (uint32_t)first;
    if (version > key->newest || version == 0 || (version < key->oldest && !may_be_older(client, key)))
        return false;
    make_value(client->value, bytes, key, version);
    return memcmp(client->value, found->text, bytes) == 0;
}

static int get(struct client *client, struct key *key, tr_time deadline)
{
    struct redis_reply reply;
    int rc = redis_get(client->load->redis, (struct redis_bytes){ key->name, key->name_length }, &reply, deadline);
    if (rc == 0 && !is_right(client, key, &reply.value)) {
        struct score *score = score_here(client->load);
        score->trouble_kinds[TROUBLE_WRONG]++;
        add_one(&score->troubles);
        fprintf(stderr, "wrong value of %s: type %d, %u bytes; versions %u to %u could be\n", key->name,
                (int)reply.value.type, reply.value.length, key->oldest, key->newest);
    }
    redis_reply_clear(&reply);
    return rc;
}

static int set(struct client *client, struct key *key, tr_time deadline)
{
    size_t bytes = client->load->plan.value_bytes;
    key->losses = redis_losses(client->load->redis);
    make_value(client->value, bytes, key, ++key->newest);
    int rc = redis_set(client->load->redis, (struct redis_bytes){ key->name, key->name_length },
                       (struct redis_bytes){ client->value, bytes }, deadline);
    if (rc != 0 && rc != REDIS_NOT_SENT && rc != REDIS_REFUSED)
        key->uncertain = true;
    if (rc == 0 && !key->uncertain)
        key->oldest = key->newest;
    return rc;
}

static enum trouble classify(int rc)
{
    switch (rc) {
    case REDIS_NOT_SENT:
        return TROUBLE_NOT_SENT;
    case REDIS_UNKNOWN:
        return TROUBLE_UNKNOWN;
    case REDIS_REFUSED:
        return TROUBLE_REFUSED;
    case -ETIMEDOUT:
        return TROUBLE_TIMED_OUT;
    default:
        return TROUBLE_OTHER;
    }
}

/* Counts a request that failed. True if the same is to be tried again: it is certain that it was not carried out. */
static bool note_trouble(struct workload *load, int rc)
{
    struct score *score = score_here(load);
    score->trouble_kinds[classify(rc)]++;
    add_one(&score->troubles);
    if (!load->plan.tolerate_errors && !atomic_exchange(&load->stop, true))
        fprintf(stderr, "a request failed: %s\n", redis_failure_text(rc));
    bool again = rc == REDIS_NOT_SENT && !atomic_load_explicit(&load->stop, memory_order_relaxed);
    score->retries += again;
    return again;
}

/* One request, tried again as long as it is not sent. True if it was answered. */
static bool make_request(struct client *client, tr_time deadline)
{
    struct workload *load = client->load;
    uint64_t random = next_random(&client->random);
    struct key *key = &client->keys[(random >> 32) * load->plan.keys >> 32];
    bool read = (uint32_t)random < load->reads_below;
    for (;;) {
        int rc = read ? get(client, key, deadline) : set(client, key, deadline);
        if (rc == 0)
            return true;
        if (!note_trouble(load, rc))
            return false;
        deadline = tr_after(load->plan.deadline_ns);
    }
}

static void delete_keys(struct client *client)
{
    struct workload *load = client->load;
    struct redis_reply reply;
    for (unsigned i = 0; i < load->plan.keys; i++) {
        struct redis_bytes del[] = { REDIS_BYTES("DEL"), { client->keys[i].name, client->keys[i].name_length } };
        int rc = redis_command(load->redis, 2, del, &reply, tr_after(TR_SECOND));
        redis_reply_clear(&reply);
        if (rc != 0)
            return; /* no server, no keys */
    }
}

static int client_body(void *argument)
{
    struct client *client = argument;
    struct workload *load = client->load;
    uint64_t last = ticks_now();
    for (uint64_t quota = client->quota; quota > 0; quota--) {
        tr_time deadline = tr_after(load->plan.deadline_ns);
        if (deadline - load->plan.deadline_ns >= load->end || atomic_load_explicit(&load->stop, memory_order_relaxed))
            break;
        bool answered = make_request(client, deadline);
        struct score *score = score_here(load);
        uint64_t now = ticks_now();
        histogram_add(&score->latency, now > last ? now - last : 0); /* two processors' counters can differ a little */
        last = now;
        if (answered)
            add_one(&score->done);
    }
    delete_keys(client);
    return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void *allocate_zeroed(size_t alignment, size_t bytes)
{
    bytes = (bytes + alignment - 1) / alignment * alignment;
    void *memory = aligned_alloc(alignment, bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

static int prepare(struct client *client, struct workload *load, unsigned index, unsigned run)
{
    const struct plan *plan = &load->plan;
    client->load = load;
    client->random = ((uint64_t)run << 32 | index) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    client->quota = plan->requests / plan->clients + (index < plan->requests % plan->clients);
    if (plan->requests == 0)
        client->quota = UINT64_MAX;
    client->keys = allocate_zeroed(_Alignof(struct key), plan->keys * sizeof *client->keys);
    client->value = allocate_zeroed(64, plan->value_bytes);
    if (!client->keys || !client->value)
        return -ENOMEM;
    for (unsigned i = 0; i < plan->keys; i++) {
        struct key *key = &client->keys[i];
        key->id = index * plan->keys + i;
        key->name_length = (uint32_t)snprintf(key->name, sizeof key->name, "manager:%08x:%u:%u", run, index, i);
    }
    return 0;
}

int workload_start(struct workload **out, struct redis *redis, const struct plan *plan)
{
    unsigned workers = tr_worker_count();
    struct workload *load =
        allocate_zeroed(_Alignof(struct workload), sizeof *load + plan->clients * sizeof(struct client));
    struct score *scores = allocate_zeroed(_Alignof(struct score), workers * sizeof(struct score));
    if (!load || !scores) {
        free(load);
        free(scores);
        return -ENOMEM;
    }
    load->workers = workers;
    load->scores = scores;
    load->redis = redis;
    load->plan = *plan;
    load->reads_below = (uint64_t)(plan->read_ratio * 4294967296.0);
    load->start = tr_clock();
    load->start_ticks = ticks_now();
    load->end = plan->duration_ns ? load->start + plan->duration_ns : TR_FOREVER;
    unsigned run = (unsigned)((uint64_t)load->start * UINT64_C(0x9e3779b97f4a7c15) >> 32);
    int rc = 0;
    for (unsigned i = 0; i < plan->clients && rc == 0; i++)
        rc = prepare(&load->clients[i], load, i, run);
    for (unsigned i = 0; i < plan->clients && rc == 0; i++) {
        rc = tr_task_spawn(&load->clients[i].task, client_body, &load->clients[i],
                           &(struct tr_task_options){ .name = "client" });
        load->clients[i].running = rc == 0;
    }
    *out = load;
    if (rc < 0) {
        workload_stop(load);
        while (workload_join(load, TR_FOREVER) < 0)
            tr_cancel_taken();
        workload_finish(load, NULL);
    }
    return rc;
}

void workload_stop(struct workload *load)
{
    atomic_store(&load->stop, true);
}

void workload_cancel(struct workload *load)
{
    workload_stop(load);
    for (unsigned i = 0; i < load->plan.clients; i++)
        if (load->clients[i].running)
            tr_task_cancel(load->clients[i].task);
}

int workload_join(struct workload *load, tr_time deadline)
{
    for (unsigned i = 0; i < load->plan.clients; i++) {
        struct client *client = &load->clients[i];
        int rc = client->running ? tr_task_join(client->task, NULL, deadline) : 0;
        if (rc < 0)
            return rc;
        client->running = false;
    }
    return 0;
}

void workload_glance(const struct workload *load, uint64_t *done, uint64_t *troubles)
{
    *done = *troubles = 0;
    for (unsigned i = 0; i < load->workers; i++) {
        *done += atomic_load_explicit(&load->scores[i].done, memory_order_relaxed);
        *troubles += atomic_load_explicit(&load->scores[i].troubles, memory_order_relaxed);
    }
}

static void add_score(struct tally *tally, const struct score *score)
{
    tally->done += atomic_load_explicit(&score->done, memory_order_relaxed);
    tally->retries += score->retries;
    for (unsigned kind = 0; kind < TROUBLE_KINDS; kind++)
        tally->troubles[kind] += score->trouble_kinds[kind];
    histogram_merge(&tally->latency, &score->latency);
}

void workload_finish(struct workload *load, struct tally *out)
{
    uint64_t ticks = ticks_now() - load->start_ticks;
    if (out)
        out->tick_ns = ticks > 0 ? (double)(tr_clock() - load->start) / (double)ticks : 0;
    for (unsigned i = 0; out && i < load->workers; i++)
        add_score(out, &load->scores[i]);
    for (unsigned i = 0; i < load->plan.clients; i++) {
        free(load->clients[i].keys);
        free(load->clients[i].value);
    }
    free(load->scores);
    free(load);
}
