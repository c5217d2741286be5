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

#ifndef TRI_STORAGE_BITS
#define TRI_STORAGE_BITS 22
#endif
#define TRI_STORAGE_CLASSES 14 /* 256 bytes << class: up to 2 MiB; larger ones, of class 14, come from malloc */
#define TRI_STORAGE_MINIMUM 256u

struct tri_place {
    TRI_ATOMIC(uintptr_t) stamp;
    uint64_t generation;
    char message[];
};

/*
 * The shape of a ring in one word, read with few instructions: its places less one (a power of two less one) << 16 | bytes of
 * a place, a multiple of 16 | size class.
 */
#define TRI_PLACE_UNIT 16u

static inline uint32_t tri_shape_place_bytes(uint32_t shape)
{
    return shape & 0xfff0;
}
static inline uint32_t tri_shape_mask(uint32_t shape)
{
    return shape >> 16;
}
static inline uint32_t tri_shape_places(uint32_t shape)
{
    return tri_shape_mask(shape) + 1;
}
static inline uint32_t tri_shape_class(uint32_t shape)
{
    return shape & 0xf;
}
/* For messages of `bytes` and at least `capacity` of them. */
uint32_t tri_shape_make(uint32_t bytes, uint32_t capacity);

struct tri_storage {
    struct tri_storage *next; /* in a pool */
    uint32_t index;
    uint32_t shape; /* that its stamps are clean for */
    _Alignas(64) char bytes[];
};

#define TRI_STORAGE_CACHE_CAP 16u

struct tri_storage_cache {
    TRI_ATOMIC(uint32_t) count[TRI_STORAGE_CLASSES + 1]; /* of the large ones: none, always */
    struct tri_storage *kept[TRI_STORAGE_CLASSES][TRI_STORAGE_CACHE_CAP];
};

/* True for whole words, 32 of them at most, which most messages are: the hot paths copy those without a call. */
static inline bool tri_is_short(uint32_t bytes)
{
    return ((bytes - 8) & ~UINT32_C(0xf8)) == 0;
}

/*
 * Word by word: a wider load of what was just stored in two parts waits until both have left the store buffer. Beyond the
 * first eight words, where payload is, two at a time.
 */
static inline __attribute__((always_inline)) void tri_copy_short(void *target, const void *source, uint32_t bytes)
{
    size_t i = bytes;
    for (; __builtin_expect(i > 64, 0); i -= 16)
        memcpy((char *)target + i - 16, (const char *)source + i - 16, 16);
    do {
        i -= 8;
        memcpy((char *)target + i, (const char *)source + i, 8);
    } while (i > 0);
}

static inline __attribute__((always_inline)) void tri_copy(void *target, const void *source, uint32_t bytes)
{
    if (__builtin_expect(tri_is_short(bytes), 1))
        tri_copy_short(target, source, bytes);
    else if (bytes > 0)
        memcpy(target, source, bytes);
}

extern TRI_ATOMIC(struct tri_storage *) *tri_storage_table __attribute__((visibility("hidden")));

/* The storage of a non-zero index that the caller learned from a tail word it owns a place of. */
static inline struct tri_storage *tri_storage_at(uint32_t index)
{
    return tri_load(&tri_storage_table[index], TRI_RELAXED);
}

/* The place of a position in a ring of this shape. */
static inline struct tri_place *tri_storage_place(struct tri_storage *storage, uint32_t shape, uint64_t position)
{
    uint32_t slot = (uint32_t)position & tri_shape_mask(shape);
    return (struct tri_place *)(storage->bytes + (size_t)tri_shape_place_bytes(shape) * slot);
}

struct tri_storage *tri_storage_take_slow(struct tri_storage_cache *cache, uint32_t shape);
void tri_storage_give_slow(struct tri_storage *storage);

/* The storage of the cache that the next take of this shape would give without more ado, or NULL. It stays in the cache. */
static inline struct tri_storage *tri_storage_peek(const struct tri_storage_cache *cache, uint32_t shape)
{
    uint32_t size_class = tri_shape_class(shape);
    uint32_t count = cache ? tri_load(&cache->count[size_class], TRI_RELAXED) : 0;
    if (count == 0)
        return NULL;
    struct tri_storage *storage = cache->kept[size_class][count - 1];
    return storage->shape == shape ? storage : NULL;
}

/* Takes out what tri_storage_peek gave. */
static inline void tri_storage_take_peeked(struct tri_storage_cache *cache, uint32_t shape)
{
    uint32_t size_class = tri_shape_class(shape);
    tri_store(&cache->count[size_class], tri_load(&cache->count[size_class], TRI_RELAXED) - 1, TRI_RELAXED);
}

/* A clean storage of this shape, or NULL. cache NULL: from the shared lists. */
static inline struct tri_storage *tri_storage_take(struct tri_storage_cache *cache, uint32_t shape)
{
    struct tri_storage *storage = tri_storage_peek(cache, shape);
    if (!storage)
        return tri_storage_take_slow(cache, shape);
    tri_storage_take_peeked(cache, shape);
    return storage;
}

/* All stamps are 0. */
static inline void tri_storage_give(struct tri_storage_cache *cache, struct tri_storage *storage)
{
    uint32_t size_class = tri_shape_class(storage->shape);
    if (__builtin_expect(cache && size_class < TRI_STORAGE_CLASSES, 1)) {
        uint32_t count = tri_load(&cache->count[size_class], TRI_RELAXED);
        if (__builtin_expect(count < TRI_STORAGE_CACHE_CAP, 1)) {
            cache->kept[size_class][count] = storage;
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
