/* SPDX-License-Identifier: MIT */
/*
 * fake_record.h: the real mailbox with its constants shrunken, one record and its consumer, for the models of it.
 * To be included once by a model.
 */
#ifndef FAKE_RECORD_H
#define FAKE_RECORD_H

#include <string.h>

#include "fake_lock.h"
#include "fake_waiter.h"

#define TRI_STORAGE_BITS 4
#include "mailbox/mailbox.h"

#include "mailbox/pool.c"
#include "mailbox/storage.c"
#include "mailbox/mailbox.c"

enum { WARM = 3 }; /* threads whose cache holds a storage from the start */

static struct {
    struct tri_mailbox mailbox;
    struct tri_mailbox_consumer consumer;
    TRI_ATOMIC(uint64_t) life;
} record;

static struct tri_storage_cache caches[MODEL_THREADS + 1];
static TRI_ATOMIC(uint32_t) scheduled; /* the run queue: one actor, in it or not */

static struct tri_storage_cache *my_cache(void)
{
    return &caches[model_self() + 1];
}

/* What a sender holds. */
static struct tri_mailbox_ref ref_of(uint64_t generation)
{
    return (struct tri_mailbox_ref){ &record.mailbox, &record.consumer, &record.life, generation };
}

/* The storage that a sender brings has a past: what is left of that must not be taken for a message. */
static void use_storage(void)
{
    struct tri_storage *storage = my_cache()->kept[0][tri_load(&my_cache()->count[0], TRI_RELAXED) - 1];
    struct tri_place *place = tri_storage_place(storage, storage->shape, 1);
    tri_store(&place->stamp, (uintptr_t)1, TRI_RELAXED);
    tri_store(&place->stamp, (uintptr_t)0, TRI_RELAXED);
}

static inline void put_in_queue(bool schedule)
{
    if (schedule)
        model_assert(tri_exchange(&scheduled, 1u, TRI_ACQ_REL) == 0);
}

static inline bool is_scheduled(const void *unused)
{
    (void)unused;
    return model_peek(&scheduled) != 0;
}

static inline void take_from_queue(void)
{
    model_block(is_scheduled, NULL);
    tri_exchange(&scheduled, 0u, TRI_ACQ_REL);
}

/* ---- what a test looks at ---- */

static uint64_t got[8];
static unsigned got_count;
static int results[MODEL_THREADS + 1]; /* of each thread's send, by model_self() + 1 */

/* As tri_take_message of actor/receive.h. */
static bool take_one(void)
{
    uint64_t message;
    struct tri_debt debt;
    if (tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), &message, sizeof message, &debt) !=
            TRI_TAKE_MESSAGE &&
        tri_mailbox_take_shared(&record.mailbox, &record.consumer, &message, sizeof message, &debt) != TRI_TAKE_MESSAGE)
        return false;
    got[got_count++] = message;
    return true;
}

/* Takes all there is; returns what the consumer must do next. */
static enum tri_idle run_consumer(void)
{
    while (take_one())
        ;
    return tri_mailbox_idle(&record.mailbox, &record.consumer, my_cache());
}

/* Each message once, and in the order of its sender: 10, 11, ... are of one sender. */
static void check_order(unsigned wanted)
{
    model_assert(got_count == wanted);
    for (unsigned i = 0; i < got_count; i++)
        for (unsigned j = 0; j < i; j++)
            model_assert(got[i] != got[j] && (got[i] / 10 != got[j] / 10 || got[j] < got[i]));
}

/* A clean storage of the right shape in the cache of each thread. */
static void warm(uint32_t bytes, uint32_t capacity)
{
    struct tri_storage *made[WARM];
    for (int i = 0; i < WARM; i++)
        made[i] = tri_storage_take(NULL, tri_shape_make(bytes, capacity));
    for (int i = 0; i < WARM; i++)
        tri_storage_give(&caches[i + 1], made[i]);
}

static void begin_record(uint32_t capacity, uint32_t bytes, enum tr_overflow policy, bool idle)
{
    warm(bytes, capacity);
    tri_mailbox_construct(&record.mailbox, &record.consumer);
    tri_store(&record.life, UINT64_C(1) << TRI_LIFE_SHIFT, TRI_RELAXED);
    tri_mailbox_init(&record.mailbox, &record.consumer, capacity, bytes, policy, idle);
}

/* None lost, none doubled: all storages are in caches or in the shared list. */
static void check_storages(unsigned in_use)
{
    unsigned found = 0, made = shared.next_index - 1;
    for (unsigned t = 0; t <= MODEL_THREADS; t++)
        found += tri_load(&caches[t].count[0], TRI_RELAXED);
    for (struct tri_storage *storage = shared.head[0]; storage; storage = storage->next)
        model_assert(++found <= made);
    model_assert(found + in_use == made);
}

#endif
