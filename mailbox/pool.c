/* SPDX-License-Identifier: MIT */
/* pool.c: the slow half of pool.h: the shared list, the slabs, and the contended lock. */
#include "mailbox/pool.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#define LOCK_SPINS 100

void tri_lock_slow(struct tri_lock *lock)
{
    do {
        for (int i = 0; tri_load(&lock->word, TRI_RELAXED) != 0; i++) {
            if (i < LOCK_SPINS)
                tri_spin();
            else
                sched_yield(); /* the holder may have lost its processor */
        }
    } while (tri_exchange(&lock->word, 1u, TRI_ACQUIRE) != 0);
}

/* Remembers the slab, so that a walk over all objects finds it. Under the lock. */
static bool note_slab(struct tri_pool *pool, void *slab)
{
    if (pool->slab_count == pool->slab_room) {
        uint32_t room = pool->slab_room ? 2 * pool->slab_room : 16;
        void **slabs = realloc(pool->slabs, room * sizeof *slabs);
        if (!slabs)
            return false;
        pool->slabs = slabs;
        pool->slab_room = room;
    }
    pool->slabs[pool->slab_count++] = slab;
    return true;
}

/* Under the lock. */
static bool grow(struct tri_pool *pool)
{
    size_t bytes = (size_t)pool->object_bytes * pool->slab_objects;
    char *slab = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slab == MAP_FAILED)
        return false;
    if (!note_slab(pool, slab)) {
        munmap(slab, bytes);
        return false;
    }
    madvise(slab, bytes, MADV_NOHUGEPAGE); /* a huge page would make memory follow the slab, not what lives */
    return true;
}

/* The next one of the newest slab. Under the lock. */
static void *make_object(struct tri_pool *pool)
{
    uint64_t slab = pool->total / pool->slab_objects, place = pool->total % pool->slab_objects;
    if (slab == pool->slab_count && !grow(pool))
        return NULL;
    void *object = (char *)pool->slabs[slab] + place * pool->object_bytes;
    if (pool->construct)
        pool->construct(object);
    pool->total++;
    return object;
}

static void *take_locked(struct tri_pool *pool)
{
    void *object = pool->free_list;
    if (!object)
        return make_object(pool);
    pool->free_list = *tri_pool_link(pool, object);
    pool->free_count--;
    return object;
}

uint32_t tri_pool_look(struct tri_pool *pool, uint32_t index, char **slab)
{
    uint64_t made = 0, before = (uint64_t)index * pool->slab_objects;
    tri_lock(&pool->lock); /* the array of slabs may move */
    if (before < pool->total) {
        *slab = pool->slabs[index];
        made = pool->total - before;
    }
    tri_unlock(&pool->lock);
    return made < pool->slab_objects ? (uint32_t)made : pool->slab_objects;
}

static void give_locked(struct tri_pool *pool, void *object)
{
    *tri_pool_link(pool, object) = pool->free_list;
    pool->free_list = object;
    pool->free_count++;
}

void *tri_pool_take_shared(struct tri_pool *pool)
{
    tri_lock(&pool->lock);
    void *object = take_locked(pool);
    tri_unlock(&pool->lock);
    return object;
}

void tri_pool_give_shared(struct tri_pool *pool, void *object)
{
    tri_lock(&pool->lock);
    give_locked(pool, object);
    tri_unlock(&pool->lock);
}

bool tri_pool_refill(struct tri_pool *pool, struct tri_cache *cache)
{
    uint32_t count = 0;
    tri_lock(&pool->lock);
    while (count < TRI_CACHE_CAP / 2 && (cache->objects[count] = take_locked(pool)))
        count++;
    tri_unlock(&pool->lock);
    tri_store(&cache->count, count, TRI_RELAXED);
    return count > 0;
}

void tri_pool_spill(struct tri_pool *pool, struct tri_cache *cache, uint32_t keep)
{
    uint32_t count = tri_load(&cache->count, TRI_RELAXED);
    tri_lock(&pool->lock);
    while (count > keep)
        give_locked(pool, cache->objects[--count]);
    tri_unlock(&pool->lock);
    tri_store(&cache->count, count, TRI_RELAXED);
}
