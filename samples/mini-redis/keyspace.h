/* SPDX-License-Identifier: MIT */
/*
 * keyspace.h: the keys of one shard, their string values and their times to live. Plain data, no task in
 * sight: an actor owns it (shard.h), and the unit tests call it directly.
 *
 * A key is one piece of memory:
 *
 *     | struct entry | key bytes | value bytes ... | spare |
 *
 * so that a GET touches a slot of the table and the entry, and a SET over a value of like size allocates
 * nothing. A key whose time has come is gone for every operation that looks it up; keyspace_expire sweeps up
 * those that nobody asks for.
 */
#ifndef MINI_REDIS_KEYSPACE_H
#define MINI_REDIS_KEYSPACE_H

#include "dict.h"

#define NEVER INT64_MAX /* expires_ms of a key without a time to live */

struct entry {
    struct dict_node node;
    int64_t expires_ms; /* Unix time, or NEVER */
    uint32_t value_size, value_capacity;
    char bytes[];
};

struct keyspace {
    struct dict keys;
    int64_t now_ms;  /* set by the caller before each batch of operations */
    size_t with_ttl; /* keys that have one */
    size_t sweep;    /* the next chain for keyspace_expire */
    uint64_t hits, misses, expired;
    size_t max_value_bytes;
};

void keyspace_init(struct keyspace *keyspace, struct siphash_key seed, size_t max_value_bytes);
void keyspace_deinit(struct keyspace *keyspace);

/* The key's entry; NULL if there is none or its time has come. Valid until the next change of this key. */
struct entry *keyspace_find(struct keyspace *keyspace, struct slice key);

/* As keyspace_find, counted as a hit or a miss. */
struct entry *keyspace_read(struct keyspace *keyspace, struct slice key);

/*
 * Sets the key's value to one of `size` bytes that the caller writes: the whole value is returned as memory,
 * its first min(old size, size) bytes unchanged. A new key has no time to live; an old one keeps its own.
 * NULL: no memory, nothing changed.
 */
char *keyspace_resize(struct keyspace *keyspace, struct slice key, size_t size, struct entry **out);

/* Sets key and value; expires_ms may be NEVER. False: no memory, nothing changed. */
bool keyspace_set(struct keyspace *keyspace, struct slice key, struct slice value, int64_t expires_ms);

void keyspace_set_expiry(struct keyspace *keyspace, struct entry *entry, int64_t expires_ms);

/* True if the key was there. */
bool keyspace_remove(struct keyspace *keyspace, struct slice key);

void keyspace_clear(struct keyspace *keyspace);

/* Looks at up to `chains` chains of the table and removes the keys whose time has come; returns how many
 * those were. */
size_t keyspace_expire(struct keyspace *keyspace, size_t chains);

/* Calls visit for every live key. */
void keyspace_each(struct keyspace *keyspace, void (*visit)(void *context, struct slice key), void *context);

static inline struct slice entry_key(const struct entry *entry)
{
    return (struct slice){ { entry->bytes }, entry->node.key_size };
}

static inline struct slice entry_value(const struct entry *entry)
{
    return (struct slice){ { entry->bytes + entry->node.key_size }, entry->value_size };
}

#endif
