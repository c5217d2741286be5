/* SPDX-License-Identifier: MIT */
/* shard.c: see shard.h. The sweeper is a task that sleeps, and now and then asks the shard to remove what has
 * expired. */
#include "shard.h"
#include "ending.h"
#include "turn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum {
    MAILBOX_CAPACITY = 1024,
    CHAINS_PER_SWEEP = 512,
};

static const int64_t SWEEP_PAUSE = 100 * TR_MILLISECOND;

/* How far the calendar's clock is ahead of Troupe's. */
static int64_t read_calendar(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * TR_SECOND + now.tv_nsec - tr_clock();
}

static int on_message(void *state, void *message)
{
    struct shard *shard = state;
    struct keyspace *keyspace = &shard->keyspace;
    struct shard_message *m = message;
    int answer = 0;
    tr_time now = take_turn();
    if (m->kind == SHARD_EXPIRE)
        shard->calendar_ns = read_calendar();
    keyspace->now_ms = (now + shard->calendar_ns) / TR_MILLISECOND;
    switch (m->kind) {
    case SHARD_RUN:
        run_execute(m->run, &(struct context){ .keyspace = keyspace });
        break;
    case SHARD_EXPIRE:
        answer = (int)keyspace_expire(keyspace, CHAINS_PER_SWEEP);
        break;
    case SHARD_STATISTICS:
        *m->statistics = (struct shard_statistics){ keyspace->keys.size, keyspace->with_ttl, keyspace->hits,
                                                    keyspace->misses, keyspace->expired };
        break;
    }
    tr_reply(m->reply, &answer);
    return 0;
}

/* One after the other as long as many keys were found to have expired, but never without letting requests in
 * between. */
static int sweep(void *argument)
{
    struct shard *shard = argument;
    while (tr_sleep(SWEEP_PAUSE) == 0) {
        int removed = CHAINS_PER_SWEEP, rc = 0;
        while (rc == 0 && removed > CHAINS_PER_SWEEP / 4) {
            rc = tr_call(shard->address, &removed, TR_FOREVER, &(struct shard_message){ .kind = SHARD_EXPIRE });
            if (rc == 0)
                rc = tr_yield();
        }
        if (rc < 0)
            break;
    }
    return 0;
}

static int start_shard(struct shard *shard, size_t max_value_bytes)
{
    struct siphash_key seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return -EIO;
    keyspace_init(&shard->keyspace, seed, max_value_bytes);
    shard->calendar_ns = read_calendar();
    struct tr_actor_options options = { .name = "keyspace", .capacity = MAILBOX_CAPACITY, .task = &shard->actor };
    int rc = tr_spawn_handler(&shard->address, on_message, shard, &options);
    if (rc < 0)
        return rc;
    return tr_task_spawn(&shard->sweeper, sweep, shard, &(struct tr_task_options){ .name = "sweeper" });
}

int shards_start(struct shards *shards, unsigned count, size_t max_value_bytes)
{
    *shards = (struct shards){ .shards = calloc(count, sizeof(struct shard)) };
    if (shards->shards == NULL)
        return -ENOMEM;
    int rc = getrandom(&shards->seed, sizeof shards->seed, 0) == sizeof shards->seed ? 0 : -EIO;
    for (unsigned i = 0; i < count && rc == 0; i++) {
        rc = start_shard(&shards->shards[i], max_value_bytes);
        shards->count++;
    }
    if (rc < 0)
        shards_stop(shards);
    return rc;
}

void shards_stop(struct shards *shards)
{
    struct tr_shield shield;
    tr_shield_open(&shield, TR_FOREVER);
    for (unsigned i = 0; i < shards->count; i++) {
        struct shard *shard = &shards->shards[i];
        tr_task_cancel(shard->sweeper);
        await_end(shard->sweeper);
        tr_actor_stop(shard->address);
        await_end(shard->actor);
        keyspace_deinit(&shard->keyspace);
    }
    tr_shield_close(&shield);
    free(shards->shards);
    *shards = (struct shards){ 0 };
}

int shard_call(struct shard *shard, struct run *run)
{
    struct tr_shield shield;
    int answer;
    tr_shield_open(&shield, TR_FOREVER);
    int rc = tr_call(shard->address, &answer, TR_FOREVER, &(struct shard_message){ .kind = SHARD_RUN, .run = run });
    tr_shield_close(&shield);
    return rc;
}

int shards_run(struct shards *shards, struct run *run)
{
    return shards->count == 1 ? shard_call(&shards->shards[0], run) : scatter_run(shards, run);
}

int shards_statistics(struct shards *shards, struct shard_statistics *sum)
{
    *sum = (struct shard_statistics){ 0 };
    struct tr_shield shield;
    int rc = 0;
    tr_shield_open(&shield, TR_FOREVER);
    for (unsigned i = 0; i < shards->count && rc == 0; i++) {
        struct shard_statistics one = { 0 };
        int answer;
        rc = tr_call(shards->shards[i].address, &answer, TR_FOREVER,
                     &(struct shard_message){ .kind = SHARD_STATISTICS, .statistics = &one });
        sum->keys += one.keys;
        sum->with_ttl += one.with_ttl;
        sum->hits += one.hits;
        sum->misses += one.misses;
        sum->expired += one.expired;
    }
    tr_shield_close(&shield);
    return rc;
}
