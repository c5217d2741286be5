/* SPDX-License-Identifier: MIT */
/*
 * storage.h: the rings that mailboxes borrow while they hold messages.
 *
 * A storage is named by a small index, so that it fits beside the position in a mailbox's tail word and is installed by
 * the same compare-and-swap that claims the first place. Index 0 is no storage. Its slots carry a stamp each:
 *
 *   +--------+------------+-----------------+
 *   | stamp  | generation | message bytes   |   stamp 0: empty. 1: a message. slot | 1: a message with a reply token,
 *   +--------+------------+-----------------+          whose generation stands behind it.
 *
 * A storage in a pool has all its stamps at 0 for the shape (slot size, slots) that it was last used with.
 */
#ifndef TRI_STORAGE_H
#define TRI_STORAGE_H

#include "mailbox/pool.h"

#define TRI_STORAGE_BITS    22
#define TRI_STORAGE_CLASSES 14 /* 256 bytes << class: up to 2 MiB; larger ones come from malloc */
#define TRI_STORAGE_MINIMUM 256u

struct tri_place {
    TRI_ATOMIC(uintptr_t) stamp;
    uint64_t generation;
    char message[];
};

struct tri_storage {
    struct tri_storage *next; /* in a pool */
    uint32_t index;
    uint32_t place_bytes, places; /* the shape that its stamps are clean for */
    uint16_t size_class;
    uint16_t spare;
    uint32_t spare2;
    _Alignas(64) char bytes[];
};

struct tri_storage_cache {
    struct tri_storage *head[TRI_STORAGE_CLASSES];
    TRI_ATOMIC(uint32_t) count[TRI_STORAGE_CLASSES];
};

extern TRI_ATOMIC(struct tri_storage *) *tri_storage_table;

/* The storage of a non-zero index that the caller learned from a tail word it owns a place of. */
static inline struct tri_storage *tri_storage_at(uint32_t index)
{
    return tri_load(&tri_storage_table[index], TRI_RELAXED);
}

static inline struct tri_place *tri_storage_place(struct tri_storage *storage, uint32_t place_bytes, uint32_t slot)
{
    return (struct tri_place *)(storage->bytes + (size_t)place_bytes * slot);
}

/* A clean storage of `places` (a power of two) slots, or NULL. cache NULL: from the shared lists. */
struct tri_storage *tri_storage_take(struct tri_storage_cache *cache, uint32_t place_bytes, uint32_t places);
/* All stamps are 0. */
void tri_storage_give(struct tri_storage_cache *cache, struct tri_storage *storage);
/* Gives everything to the shared lists: a worker ends. */
void tri_storage_flush(struct tri_storage_cache *cache);
/* Storages in use, process-wide; cached ones are not counted. */
uint64_t tri_storage_live(void);

#endif
