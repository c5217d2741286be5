/* SPDX-License-Identifier: MIT */
/* keyspace.c: see keyspace.h. */
#include "keyspace.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void keyspace_init(struct keyspace *keyspace, struct siphash_key seed, size_t max_value_bytes)
{
    *keyspace = (struct keyspace){ .max_value_bytes = max_value_bytes };
    dict_init(&keyspace->keys, offsetof(struct entry, bytes), seed);
}

void keyspace_clear(struct keyspace *keyspace)
{
    for (size_t i = 0; i < dict_chains(&keyspace->keys); i++) {
        struct dict_node *node = *dict_chain(&keyspace->keys, i);
        while (node != NULL) {
            struct dict_node *next = node->next;
            free(entry_of(node));
            node = next;
        }
    }
    dict_deinit(&keyspace->keys);
    keyspace->with_ttl = 0;
    keyspace->sweep = 0;
}

void keyspace_deinit(struct keyspace *keyspace)
{
    keyspace_clear(keyspace);
}

static void remove_entry(struct keyspace *keyspace, struct dict_node **link)
{
    struct entry *entry = entry_of(*link);
    keyspace->with_ttl -= entry->expires_ms != NEVER;
    dict_remove(&keyspace->keys, link);
    free(entry);
}

/* `link` is where the key is or belongs: the same, without a key whose time has come. */
static inline struct dict_node **live_link(struct keyspace *keyspace, struct slice key, struct dict_node **link,
                                           uint32_t *hash)
{
    if (*link == NULL || entry_of(*link)->expires_ms > keyspace->now_ms)
        return link;
    remove_entry(keyspace, link);
    keyspace->expired++;
    return dict_find(&keyspace->keys, key, hash);
}

/* The link of a live key, or the empty one where it belongs; NULL when out of memory. */
static inline struct dict_node **find_link(struct keyspace *keyspace, struct slice key)
{
    uint32_t hash;
    struct dict_node **link = dict_find(&keyspace->keys, key, &hash);
    return link == NULL ? NULL : live_link(keyspace, key, link, &hash);
}

struct entry *keyspace_find(struct keyspace *keyspace, struct slice key)
{
    struct dict_node **link = find_link(keyspace, key);
    return link == NULL || *link == NULL ? NULL : entry_of(*link);
}

struct entry *keyspace_read(struct keyspace *keyspace, struct slice key)
{
    struct entry *entry = keyspace_find(keyspace, key);
    keyspace->hits += entry != NULL;
    keyspace->misses += entry == NULL;
    return entry;
}

/* Memory for an entry whose value may grow to `capacity` bytes. */
static struct entry *allocate(struct entry *old, size_t key_size, size_t capacity)
{
    struct entry *entry = realloc(old, sizeof(struct entry) + key_size + capacity);
    if (entry != NULL)
        entry->value_capacity = (uint32_t)capacity;
    return entry;
}

static struct entry *insert(struct keyspace *keyspace, struct dict_node **link, struct slice key, uint32_t hash,
                            size_t size)
{
    struct entry *entry = allocate(NULL, key.size, size);
    if (entry == NULL)
        return NULL;
    slice_copy(entry->bytes, key);
    entry->node.key_size = (uint32_t)key.size;
    entry->expires_ms = NEVER;
    dict_insert(&keyspace->keys, link, &entry->node, hash);
    return entry;
}

struct entry *keyspace_place(struct keyspace *keyspace, struct slice key, size_t size, struct dict_node **link,
                             uint32_t hash)
{
    if (key.size > UINT32_MAX || size > UINT32_MAX / 2 || link == NULL)
        return NULL;
    link = live_link(keyspace, key, link, &hash);
    struct entry *entry = entry_of(*link);
    if (entry == NULL) {
        entry = insert(keyspace, link, key, hash, size);
        if (entry == NULL)
            return NULL;
    } else if (size > entry->value_capacity || size < entry->value_capacity / 4) {
        /* A value that grows again will grow further: room for half as much more. */
        size_t spare = size > entry->value_capacity ? size / 2 : 0;
        entry = allocate(entry, key.size, size + spare);
        if (entry == NULL)
            return NULL;
        *link = &entry->node;
    }
    entry->value_size = (uint32_t)size;
    return entry;
}

bool keyspace_remove(struct keyspace *keyspace, struct slice key)
{
    struct dict_node **link = find_link(keyspace, key);
    if (link == NULL || *link == NULL)
        return false;
    remove_entry(keyspace, link);
    return true;
}

size_t keyspace_expire(struct keyspace *keyspace, size_t chains)
{
    size_t removed = 0;
    for (; chains > 0 && keyspace->with_ttl > 0; chains--) {
        if (keyspace->sweep >= dict_chains(&keyspace->keys))
            keyspace->sweep = 0;
        struct dict_node **link = dict_chain(&keyspace->keys, keyspace->sweep++);
        while (*link != NULL) {
            if (entry_of(*link)->expires_ms > keyspace->now_ms) {
                link = &(*link)->next;
            } else {
                remove_entry(keyspace, link);
                removed++;
            }
        }
    }
    keyspace->expired += removed;
    return removed;
}

void keyspace_each(struct keyspace *keyspace, void (*visit)(void *context, struct slice key), void *context)
{
    for (size_t i = 0; i < dict_chains(&keyspace->keys); i++) {
        for (struct dict_node *node = *dict_chain(&keyspace->keys, i); node != NULL; node = node->next) {
            if (entry_of(node)->expires_ms > keyspace->now_ms)
                visit(context, entry_key(entry_of(node)));
        }
    }
}
