/* SPDX-License-Identifier: MIT */
/* storage.c: size classes, per-worker caches with a cap, shared lists, and the table from index to storage. */
#include "mailbox/storage.h"

#include <stdlib.h>
#include <sys/mman.h>

#define STORAGE_LIMIT (1u << TRI_STORAGE_BITS)

TRI_ATOMIC(struct tri_storage *) *tri_storage_table;

static struct {
    struct tri_lock lock;
    struct tri_storage *head[TRI_STORAGE_CLASSES];
    uint32_t *free_indices; /* of storages that were freed: only the large ones ever are */
    uint32_t free_count, free_room;
    uint32_t next_index;
} shared = { .next_index = 1 };

static TRI_ATOMIC(int64_t) live; /* handed out by the shared side, to mailboxes or caches */

/* Under the lock. Address space only: a page of it is touched per 512 storages. Without memory the next one tries again. */
static bool map_table(void)
{
    if (tri_storage_table)
        return true;
    void *table = mmap(NULL, STORAGE_LIMIT * sizeof *tri_storage_table, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED)
        return false;
    tri_storage_table = table;
    return true;
}

static uint32_t class_of(size_t bytes)
{
    uint32_t size_class = 0;
    while (size_class < TRI_STORAGE_CLASSES && ((size_t)TRI_STORAGE_MINIMUM << size_class) < bytes)
        size_class++;
    return size_class;
}

uint32_t tri_shape_make(uint32_t bytes, uint32_t capacity)
{
    uint32_t place_bytes =
        (uint32_t)(sizeof(struct tri_place) + bytes + TRI_PLACE_UNIT - 1) / TRI_PLACE_UNIT * TRI_PLACE_UNIT;
    uint32_t log2 = capacity <= 1 ? 0 : 32 - (uint32_t)__builtin_clz(capacity - 1);
    return ((UINT32_C(1) << log2) - 1) << 16 | place_bytes | class_of((size_t)place_bytes << log2);
}

/* Under the lock. 0 when all indices are used, or there is no memory for the table. */
static uint32_t take_index(void)
{
    if (!map_table())
        return 0;
    if (shared.free_count > 0)
        return shared.free_indices[--shared.free_count];
    return shared.next_index < STORAGE_LIMIT ? shared.next_index++ : 0;
}

/* Under the lock. Losing an index for want of memory costs one of four million. */
static void give_index(uint32_t index)
{
    if (shared.free_count == shared.free_room) {
        uint32_t room = shared.free_room ? 2 * shared.free_room : 64;
        uint32_t *indices = realloc(shared.free_indices, room * sizeof *indices);
        if (!indices)
            return;
        shared.free_indices = indices;
        shared.free_room = room;
    }
    shared.free_indices[shared.free_count++] = index;
}

static size_t bytes_of(uint32_t shape)
{
    uint32_t size_class = tri_shape_class(shape);
    if (size_class < TRI_STORAGE_CLASSES)
        return (size_t)TRI_STORAGE_MINIMUM << size_class;
    return (size_t)tri_shape_place_bytes(shape) * tri_shape_places(shape);
}

static struct tri_storage *make(uint32_t shape)
{
    struct tri_storage *storage = aligned_alloc(64, (sizeof *storage + bytes_of(shape) + 63) / 64 * 64);
    if (!storage)
        return NULL;
    *storage = (struct tri_storage){ 0 };
    tri_lock(&shared.lock);
    storage->index = take_index();
    tri_unlock(&shared.lock);
    if (storage->index == 0) {
        free(storage);
        return NULL;
    }
    tri_store(&tri_storage_table[storage->index], storage, TRI_RELAXED);
    return storage;
}

static void clean(struct tri_storage *storage, uint32_t shape)
{
    if (storage->shape == shape)
        return;
    for (uint32_t i = 0; i < tri_shape_places(shape); i++)
        tri_store(&tri_storage_place(storage, shape, i)->stamp, (uintptr_t)0, TRI_RELAXED);
    storage->shape = shape;
}

static struct tri_storage *take_shared(uint32_t size_class)
{
    tri_lock(&shared.lock);
    struct tri_storage *storage = shared.head[size_class];
    if (storage)
        shared.head[size_class] = storage->next;
    tri_unlock(&shared.lock);
    return storage;
}

struct tri_storage *tri_storage_take_slow(struct tri_storage_cache *cache, uint32_t shape)
{
    uint32_t size_class = tri_shape_class(shape);
    struct tri_storage *storage = NULL;
    uint32_t count = cache ? tri_load(&cache->count[size_class], TRI_RELAXED) : 0;
    if (count > 0) { /* of another shape */
        storage = cache->kept[size_class][count - 1];
        tri_storage_take_peeked(cache, shape);
        clean(storage, shape);
        return storage;
    }
    if (size_class < TRI_STORAGE_CLASSES)
        storage = take_shared(size_class);
    if (!storage && !(storage = make(shape)))
        return NULL;
    tri_fetch_add(&live, 1, TRI_RELAXED);
    clean(storage, shape);
    return storage;
}

void tri_storage_give_slow(struct tri_storage *storage)
{
    uint32_t size_class = tri_shape_class(storage->shape);
    tri_fetch_sub(&live, 1, TRI_RELAXED);
    tri_lock(&shared.lock);
    if (size_class < TRI_STORAGE_CLASSES) {
        storage->next = shared.head[size_class];
        shared.head[size_class] = storage;
        storage = NULL;
    } else {
        give_index(storage->index);
    }
    tri_unlock(&shared.lock);
    free(storage);
}

void tri_storage_flush(struct tri_storage_cache *cache)
{
    for (uint32_t i = 0; i < TRI_STORAGE_CLASSES; i++) {
        uint32_t count = tri_load(&cache->count[i], TRI_RELAXED);
        while (count > 0)
            tri_storage_give_slow(cache->kept[i][--count]);
        tri_store(&cache->count[i], 0u, TRI_RELAXED);
    }
}

uint64_t tri_storage_live(void)
{
    int64_t count = tri_load(&live, TRI_RELAXED);
    return count > 0 ? (uint64_t)count : 0;
}
