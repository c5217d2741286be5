/* SPDX-License-Identifier: MIT */
/*
 * shard.h: the actors that own the keys. Each has a keyspace; a key belongs to the shard that its hash names.
 * With one shard, a run of requests is handed to it as it is. With several, shards_run takes the run apart,
 * and puts the replies together again in order; a command on keys of several shards is then atomic within
 * each shard only. To others, what one connection asks for in one pipeline may take effect out of order, key by key.
 */
#ifndef MINI_REDIS_SHARD_H
#define MINI_REDIS_SHARD_H

#include "command.h"
#include <stdatomic.h>
#include <troupe.h>

struct shard_statistics {
    uint64_t keys, with_ttl, hits, misses, expired;
};

TR_REPLY_TYPE(shard_reply, int);

struct shard_message {
    enum { SHARD_RUN, SHARD_EXPIRE, SHARD_STATISTICS } kind;
    union {
        struct run *run; /* the shard's until it replies */
        struct shard_statistics *statistics;
    };
    struct shard_reply reply;
};
TR_ADDRESS_TYPE(shard_address, struct shard_message);

struct shard {
    struct shard_address address;
    struct tr_task actor, sweeper;
    struct keyspace keyspace;
    int64_t calendar_ns; /* what added to Troupe's clock gives Unix time; the sweeper keeps it right */
};

struct shards {
    unsigned count;
    struct siphash_key seed; /* chooses the shard of a key */
    struct shard *shards;
    atomic_bool stopping; /* the server's: whoever executes a run leaves it, for nobody gets the replies any more */
};

/* Thread: task. Suspends: no. */
int shards_start(struct shards *shards, unsigned count, size_t max_value_bytes);

/* Suspends: yes. */
void shards_stop(struct shards *shards);

/*
 * Executes requests of the run, and moves run->next: all of them, or as many as are worth one write.
 * Suspends: yes, deaf to cancellation, since the shard uses the caller's memory. Returns 0, -ESRCH or -EPIPE
 * (no shard any more).
 */
int shards_run(struct shards *shards, struct run *run);

int shards_statistics(struct shards *shards, struct shard_statistics *sum);

/* scatter.c: shards_run with several shards. */
int scatter_run(struct shards *shards, struct run *run);
int shard_call(struct shard *shard, struct run *run);

#endif
