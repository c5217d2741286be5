/* SPDX-License-Identifier: MIT */
/*
 * stack.h: the pool of stacks that tasks borrow while they are suspended mid-body.
 *
 *   slot:  | guard page | ............ grows down <---- frames | struct tri_stack |
 *          low                                                                high
 *
 * Slots of one size class are cut from large slabs of address space; a page is touched when first used. The guard is
 * installed for a batch of slots at once (MADV_GUARD_INSTALL, Linux 6.13), which costs no mapping; on older kernels
 * mprotect guards the first 16k stacks (each costs two mappings, and a process has 65530), and beyond that a canary at
 * the low end is checked at each release and switch, said once in the log.
 */
#ifndef TRI_STACK_H
#define TRI_STACK_H

#include "actor/switch.h"
#include "mailbox/pool.h"
#include <stddef.h>
#include <stdint.h>

#define TRI_STACK_CLASSES 12 /* 16 KiB << class: 16 KiB to 32 MiB */
#define TRI_STACK_CLASS_MINIMUM (UINT64_C(16) << 10)
#define TRI_STACK_DEFAULT_CLASS 2 /* of those who ask for nothing: the slot of 64 KiB */
#define TRI_STACK_CACHE_CAP 128u

struct tr_scope;
struct tri_slot;

struct tri_stack {
    struct tri_context context; /* while nobody runs on it */
    struct tri_stack *next;     /* in a pool */
    char *low;                  /* lowest usable byte */
    uint64_t bytes;             /* usable */
    uint32_t size_class;
    bool canary;             /* unguarded: *low holds the canary */
    bool sent;               /* of the task that runs here: see tr_call_sent */
    void *fiber;             /* TSan's, else NULL */
    void *fake;              /* ASan's, while nobody runs on it */
    struct tr_scope *scope;  /* of the task that runs here: innermost deadline scope or shield */
    struct tri_slot *awaits; /* the answer that a held caller waits for; NULL: a join */
    int64_t since;           /* when the task that is suspended here began to wait */
};

struct tri_stack_cache {
    TRI_ATOMIC(uint32_t) count;
    struct tri_stack *stacks[TRI_STACK_CACHE_CAP];
};

/* The class that holds `bytes` of a task's stack, whatever the colour; or -1 when there is none so large. */
int tri_stack_class(size_t bytes);

struct tri_stack *tri_stack_take_slow(uint32_t size_class);
void tri_stack_give_slow(struct tri_stack_cache *cache, struct tri_stack *stack);

static inline struct tri_stack *tri_stack_take_cached(struct tri_stack_cache *cache, uint32_t cached,
                                                      uint32_t size_class)
{
    uint32_t count = tri_load(&cache->count, TRI_RELAXED);
    if (size_class != cached || count == 0)
        return NULL;
    tri_store(&cache->count, count - 1, TRI_RELAXED);
    return cache->stacks[count - 1];
}

/*
 * A stack whose saved context is a scheduler loop's, at its start or where it left the stack; NULL when memory is out.
 * `cached` is the class that the cache holds; cache NULL: from the shared lists.
 */
static inline struct tri_stack *tri_stack_take(struct tri_stack_cache *cache, uint32_t cached, uint32_t size_class)
{
    struct tri_stack *stack = cache ? tri_stack_take_cached(cache, cached, size_class) : NULL;
    return stack ? stack : tri_stack_take_slow(size_class);
}

/* Nobody runs on it any more; its loop goes on at the next take. */
static inline bool tri_stack_give_cached(struct tri_stack_cache *cache, uint32_t cached, struct tri_stack *stack)
{
    uint32_t count = tri_load(&cache->count, TRI_RELAXED);
    if (stack->size_class != cached || count >= TRI_STACK_CACHE_CAP)
        return false;
    cache->stacks[count] = stack;
    tri_store(&cache->count, count + 1, TRI_RELAXED);
    return true;
}

static inline void tri_stack_give(struct tri_stack_cache *cache, uint32_t cached, struct tri_stack *stack)
{
    if (!cache || !tri_stack_give_cached(cache, cached, stack))
        tri_stack_give_slow(cache && stack->size_class == cached ? cache : NULL, stack);
}

void tri_stack_flush(struct tri_stack_cache *cache);

/* True if `address` lies in the guard (or just below the low end) of a stack slot; for the fault handler: no locks. */
bool tri_stack_is_guard(const void *address);

/* Stacks outside the pools' lists, process-wide; cached ones count as taken. */
uint64_t tri_stack_live(void);

/* False when an unguarded stack has overflowed. */
#define TRI_STACK_CANARY UINT64_C(0x5ca1ab1e0ddba11)
static inline bool tri_stack_intact(const struct tri_stack *stack)
{
    return !stack->canary || *(const uint64_t *)(const void *)stack->low == TRI_STACK_CANARY;
}

#endif
