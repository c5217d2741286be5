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

/* dict links point at the node, which is the first member of an entry. */
static inline struct entry *entry_of(struct dict_node *node)
{
    return (struct entry *)node;
}

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

static inline void keyspace_set_expiry(struct keyspace *keyspace, struct entry *entry, int64_t expires_ms)
{
    keyspace->with_ttl -= entry->expires_ms != NEVER;
    keyspace->with_ttl += expires_ms != NEVER;
    entry->expires_ms = expires_ms;
}

/* keyspace_resize of a key that is new or whose time has come, or of a value that does not fit into its place. */
struct entry *keyspace_place(struct keyspace *keyspace, struct slice key, size_t size, struct dict_node **link,
                             uint32_t hash);

/*
 * Makes the key's value one of `size` bytes that the caller writes, behind the key in the entry; its first
 * min(old size, size) bytes are unchanged. A new key has no time to live; an old one keeps its own.
 * NULL: no memory, nothing changed.
 */
static inline __attribute__((always_inline)) struct entry *keyspace_resize(struct keyspace *keyspace, struct slice key,
                                                                           size_t size)
{
    uint32_t hash;
    struct dict_node **link = dict_find(&keyspace->keys, key, &hash);
    struct entry *entry = link != NULL ? entry_of(*link) : NULL;
    if (entry == NULL || entry->expires_ms <= keyspace->now_ms || size > entry->value_capacity ||
        size < entry->value_capacity / 4)
        return keyspace_place(keyspace, key, size, link, hash);
    entry->value_size = (uint32_t)size;
    return entry;
}

/* Sets key and value; expires_ms may be NEVER. False: no memory, nothing changed. */
static inline bool keyspace_set(struct keyspace *keyspace, struct slice key, struct slice value, int64_t expires_ms)
{
    struct entry *entry = keyspace_resize(keyspace, key, value.size);
    if (entry == NULL)
        return false;
    slice_copy(entry->bytes + key.size, value);
    keyspace_set_expiry(keyspace, entry, expires_ms);
    return true;
}

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
