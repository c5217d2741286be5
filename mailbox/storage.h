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
#include <string.h>

#define TRI_STORAGE_BITS 22
#define TRI_STORAGE_CLASSES 14 /* 256 bytes << class: up to 2 MiB; larger ones come from malloc */
#define TRI_STORAGE_MINIMUM 256u

struct tri_place {
    TRI_ATOMIC(uintptr_t) stamp;
    uint64_t generation;
    char message[];
};

/*
 * The shape of a ring in one word: size class << 24 | log2 of its places << 16 | bytes of a place in units of 16.
 */
#define TRI_PLACE_UNIT 16u

static inline uint32_t tri_shape_place_bytes(uint32_t shape)
{
    return (shape & 0xffff) * TRI_PLACE_UNIT;
}
static inline uint32_t tri_shape_places(uint32_t shape)
{
    return 1u << (shape >> 16 & 0xff);
}
static inline uint32_t tri_shape_class(uint32_t shape)
{
    return shape >> 24;
}
/* For messages of `bytes` and at least `capacity` of them. */
uint32_t tri_shape_make(uint32_t bytes, uint32_t capacity);

struct tri_storage {
    struct tri_storage *next; /* in a pool */
    uint32_t index;
    uint32_t shape; /* that its stamps are clean for */
    _Alignas(64) char bytes[];
};

struct tri_storage_cache {
    struct tri_storage *head[TRI_STORAGE_CLASSES];
    TRI_ATOMIC(uint32_t) count[TRI_STORAGE_CLASSES];
};

/* Most messages are a few words, for which a call of memcpy costs more than the copy. */
static inline void tri_copy(void *target, const void *source, uint32_t bytes)
{
    char *to = target;
    const char *from = source;
    if (bytes > 64) {
        memcpy(to, from, bytes);
        return;
    }
    for (; bytes >= 16; bytes -= 16, to += 16, from += 16)
        memcpy(to, from, 16);
    if (bytes & 8) {
        memcpy(to, from, 8);
        to += 8;
        from += 8;
    }
    for (bytes &= 7; bytes > 0; bytes--)
        *to++ = *from++;
}

extern TRI_ATOMIC(struct tri_storage *) *tri_storage_table;

/* The storage of a non-zero index that the caller learned from a tail word it owns a place of. */
static inline struct tri_storage *tri_storage_at(uint32_t index)
{
    return tri_load(&tri_storage_table[index], TRI_RELAXED);
}

/* The place of a position in a ring of this shape. */
static inline struct tri_place *tri_storage_place(struct tri_storage *storage, uint32_t shape, uint64_t position)
{
    uint32_t slot = (uint32_t)position & (tri_shape_places(shape) - 1);
    return (struct tri_place *)(storage->bytes + (size_t)tri_shape_place_bytes(shape) * slot);
}

#define TRI_STORAGE_CACHE_CAP 16u

struct tri_storage *tri_storage_take_slow(struct tri_storage_cache *cache, uint32_t shape);
void tri_storage_give_slow(struct tri_storage *storage);

/* A clean storage of this shape, or NULL. cache NULL: from the shared lists. */
static inline struct tri_storage *tri_storage_take(struct tri_storage_cache *cache, uint32_t shape)
{
    uint32_t size_class = tri_shape_class(shape);
    if (cache && size_class < TRI_STORAGE_CLASSES) {
        struct tri_storage *storage = cache->head[size_class];
        if (storage && storage->shape == shape) {
            uint32_t count = tri_load(&cache->count[size_class], TRI_RELAXED);
            cache->head[size_class] = storage->next;
            tri_store(&cache->count[size_class], count - 1, TRI_RELAXED);
            return storage;
        }
    }
    return tri_storage_take_slow(cache, shape);
}

/* All stamps are 0. */
static inline void tri_storage_give(struct tri_storage_cache *cache, struct tri_storage *storage)
{
    uint32_t size_class = tri_shape_class(storage->shape);
    if (cache && size_class < TRI_STORAGE_CLASSES) {
        uint32_t count = tri_load(&cache->count[size_class], TRI_RELAXED);
        if (count < TRI_STORAGE_CACHE_CAP) {
            storage->next = cache->head[size_class];
            cache->head[size_class] = storage;
            tri_store(&cache->count[size_class], count + 1, TRI_RELAXED);
            return;
        }
    }
    tri_storage_give_slow(storage);
}
/* Gives everything to the shared lists: a worker ends. */
void tri_storage_flush(struct tri_storage_cache *cache);
/* Storages in use, process-wide; cached ones are not counted. */
uint64_t tri_storage_live(void);

#endif
