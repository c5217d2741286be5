/* SPDX-License-Identifier: MIT */
/*
 * pool.h: type-stable memory. Objects of one size are cut from slabs that are never unmapped, so that a stale pointer
 * to one always points to an object of the same type, whose generation tells that it has changed hands.
 *
 *   worker cache  <-- refill, spill (half a cache at a time) -->  shared list
 *                 <-- refill, when that is empty ---------------  the newest slab: made there and then
 *
 * Each cache has a cap and gives back to the shared list: without that, a worker that only takes and one that only
 * gives make the first map fresh memory for ever.
 */
#ifndef TRI_POOL_H
#define TRI_POOL_H

#include "mailbox/atomic.h"
#include <stddef.h>

/* A lock for a few instructions. Contenders spin, then give up the processor. */
struct tri_lock {
    TRI_ATOMIC(uint32_t) word;
};

void tri_lock_slow(struct tri_lock *lock);

static inline void tri_lock(struct tri_lock *lock)
{
    if (tri_exchange(&lock->word, 1u, TRI_ACQUIRE) != 0)
        tri_lock_slow(lock);
}

static inline void tri_unlock(struct tri_lock *lock)
{
    tri_store(&lock->word, 0u, TRI_RELEASE);
}

struct tri_pool {
    const char *name;
    uint32_t object_bytes; /* a multiple of the alignment, 64 */
    uint32_t link_offset;  /* where a free object keeps its link: outside the words that stale pointers look at */
    uint32_t slab_objects;
    void (*construct)(void *object); /* once in an object's life; NULL: zeroed memory is right */
    struct tri_lock lock;
    uint32_t free_count; /* in the list */
    void *free_list;
    uint64_t total; /* objects ever made, slab by slab: the pages of the newest one's others have not been touched */
    void **slabs;   /* for walking over all objects */
    uint32_t slab_count, slab_room;
};

#define TRI_CACHE_CAP 128u

/* An array, and no list: that would be one store more each way, and a look at an object that may be in no cache yet. */
struct tri_cache {
    TRI_ATOMIC(uint32_t) count; /* written by the owner, read by the census */
    void *objects[TRI_CACHE_CAP];
};

static inline void **tri_pool_link(const struct tri_pool *pool, void *object)
{
    return (void **)((char *)object + pool->link_offset);
}

/* For a walk over all objects: how many of the slab `index` were made, and *slab, where they begin. 0: there is none. Thread: any. */
uint32_t tri_pool_look(struct tri_pool *pool, uint32_t index, char **slab);

/* Take an object, or NULL when memory is out. cache NULL: from the shared list (foreign threads). */
void *tri_pool_take_shared(struct tri_pool *pool);
void tri_pool_give_shared(struct tri_pool *pool, void *object);
bool tri_pool_refill(struct tri_pool *pool, struct tri_cache *cache);
void tri_pool_spill(struct tri_pool *pool, struct tri_cache *cache, uint32_t keep);

/* Of a cache that is not empty. */
static inline void *tri_pool_take_cached(struct tri_cache *cache)
{
    uint32_t left = tri_load(&cache->count, TRI_RELAXED) - 1;
    tri_store(&cache->count, left, TRI_RELAXED);
    return cache->objects[left];
}

static inline void *tri_pool_take(struct tri_pool *pool, struct tri_cache *cache)
{
    if (!cache)
        return tri_pool_take_shared(pool);
    if (tri_load(&cache->count, TRI_RELAXED) == 0 && !tri_pool_refill(pool, cache))
        return NULL;
    return tri_pool_take_cached(cache);
}

static inline void tri_pool_give(struct tri_pool *pool, struct tri_cache *cache, void *object)
{
    if (!cache) {
        tri_pool_give_shared(pool, object);
        return;
    }
    uint32_t count = tri_load(&cache->count, TRI_RELAXED);
    cache->objects[count++] = object; /* there is room for one, always */
    tri_store(&cache->count, count, TRI_RELAXED);
    if (__builtin_expect(count == TRI_CACHE_CAP, 0))
        tri_pool_spill(pool, cache, TRI_CACHE_CAP / 2);
}

#endif
