/* SPDX-License-Identifier: MIT */
/*
 * dict.h: a hash table keyed by bytes. The nodes belong to the user and begin with struct dict_node; the key
 * lies in the same piece of memory, at an offset that is the same for all nodes of a dict.
 *
 * The one idea is that of Redis's own dict: while the table grows or shrinks there are two, and every
 * operation moves a little from the old one to the new one, so that no single operation takes long. The hash
 * is keyed (siphash.h).
 */
#ifndef MINI_REDIS_DICT_H
#define MINI_REDIS_DICT_H

#include "resp.h"
#include "siphash.h"

#include <string.h>

struct dict_node {
    struct dict_node *next;
    uint32_t hash;
    uint32_t key_size;
};

struct dict_table {
    struct dict_node **slots; /* a power of two of them, or NULL */
    size_t count;             /* slots */
};

struct dict {
    struct dict_table now, old; /* old.slots is NULL unless nodes are being moved */
    size_t moved;               /* slots of `old` that are empty for good */
    size_t size;                /* nodes */
    size_t key_offset;
    struct siphash_key key;
};

void dict_init(struct dict *dict, size_t key_offset, struct siphash_key key);

/* Frees the tables, not the nodes. */
void dict_deinit(struct dict *dict);

static inline struct dict_node **dict_slot(struct dict_table *table, uint32_t hash)
{
    return &table->slots[hash & (table->count - 1)];
}

/* Keys are short: a call of memcmp would cost more than to compare them. */
static inline bool dict_same(const char *a, const char *b, size_t size)
{
    uint64_t x, y;
    if (size < sizeof x) {
        while (size > 0 && a[size - 1] == b[size - 1])
            size--;
        return size == 0;
    }
    size_t last = size - sizeof x;
    for (size_t at = 0; at < last; at += sizeof x) {
        memcpy(&x, a + at, sizeof x);
        memcpy(&y, b + at, sizeof y);
        if (x != y)
            return false;
    }
    memcpy(&x, a + last, sizeof x);
    memcpy(&y, b + last, sizeof y);
    return x == y;
}

static inline struct dict_node **dict_find_in(struct dict *dict, struct dict_table *table, struct slice key,
                                              uint32_t hash)
{
    struct dict_node **link = dict_slot(table, hash);
    for (; *link != NULL; link = &(*link)->next) {
        const struct dict_node *node = *link;
        if (node->hash == hash && node->key_size == key.size &&
            dict_same((const char *)node + dict->key_offset, key.data, key.size))
            break;
    }
    return link;
}

/* dict_find with two tables, or none yet. */
struct dict_node **dict_find_moving(struct dict *dict, struct slice key, uint32_t hash);

/*
 * Where the node with this key hangs: *link is the node. Without such a node *link is NULL, and the link is
 * where dict_insert puts it. Valid until the next operation on the dict. NULL when out of memory (only for
 * the first node).
 */
static inline struct dict_node **dict_find(struct dict *dict, struct slice key, uint32_t *hash)
{
    *hash = (uint32_t)siphash(&dict->key, key.data, key.size);
    if (dict->old.slots == NULL && dict->now.slots != NULL)
        return dict_find_in(dict, &dict->now, key, *hash);
    return dict_find_moving(dict, key, *hash);
}

/* `link` and `hash` come from dict_find for the same key. The node's key has been written, key_size too. */
void dict_insert(struct dict *dict, struct dict_node **link, struct dict_node *node, uint32_t hash);

/* Unhooks *link; the node is the caller's. */
void dict_remove(struct dict *dict, struct dict_node **link);

/* For walking: the chains, old table first. Within a chain, nodes may be removed through their links. */
static inline size_t dict_chains(const struct dict *dict)
{
    return dict->old.count + dict->now.count;
}

static inline struct dict_node **dict_chain(struct dict *dict, size_t index)
{
    return index < dict->old.count ? &dict->old.slots[index] : &dict->now.slots[index - dict->old.count];
}

static inline struct slice dict_key(const struct dict *dict, const struct dict_node *node)
{
    return (struct slice){ { (const char *)node + dict->key_offset }, node->key_size };
}

#endif
