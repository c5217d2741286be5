/* SPDX-License-Identifier: MIT */
/* stack.c: slabs, guards, caches and the first frame of a stack. See stack.h. */
#include "actor/stack.h"
#include "actor/sanitizer.h"

#include <errno.h>
#include <sys/mman.h>
#include <troupe/runtime.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define PAGE 4096u
#define LOOP_BYTES 512u                 /* the scheduler's frames, below which a task begins */
#define COLOURS 32u                     /* the header moves down by less than 2 KiB, in the top page */
#define SLAB_BYTES (UINT64_C(16) << 20) /* per batch of small stacks */
#define MPROTECT_LIMIT 16384u
#define SLAB_LIMIT 65536u
#define KEEP_DIRTY 4096u /* free stacks of a class whose pages are kept; beyond it they are given back */

/* Read by the fault handler without a lock: entries are written before `slab_count` is raised, and never change. */
static struct {
    char *low;
    uint64_t slot_bytes, slots;
} slabs[SLAB_LIMIT];
static TRI_ATOMIC(uint32_t) slab_count;

static struct {
    struct tri_lock lock;
    struct tri_stack *head;
    TRI_ATOMIC(uint32_t) count; /* changed under the lock, looked at without */
} shared[TRI_STACK_CLASSES];

static struct tri_lock grow_lock;
static uint32_t mprotected;
static bool no_guard_install, said_canary;
static TRI_ATOMIC(int64_t) live;

static uint64_t slot_bytes_of(uint32_t size_class)
{
    return TRI_STACK_CLASS_MINIMUM << size_class;
}

int tri_stack_class(size_t bytes)
{
    if (bytes > slot_bytes_of(TRI_STACK_CLASSES - 1))
        return -1;
    bytes += PAGE + COLOURS * 64 + sizeof(struct tri_stack) + LOOP_BYTES; /* all this comes out of the slot */
    for (uint32_t i = 0; i < TRI_STACK_CLASSES; i++)
        if (bytes <= slot_bytes_of(i))
            return (int)i;
    return -1;
}

/* Under grow_lock. Returns false when the slot stays without a guard page. */
static bool install_guard(char *slot)
{
    if (!no_guard_install) {
        if (madvise(slot, PAGE, MADV_GUARD_INSTALL) == 0)
            return true;
        no_guard_install = errno == EINVAL; /* before Linux 6.13; else short of memory, and perhaps not for ever */
    }
    if (mprotected < MPROTECT_LIMIT && mprotect(slot, PAGE, PROT_NONE) == 0) {
        mprotected++;
        return true;
    }
    if (!said_canary) {
        said_canary = true;
        tr_log(TR_LOG_WARNING, "stacks beyond %u have no guard page (%s): a canary is checked instead", mprotected,
               no_guard_install ? "this kernel, before 6.13, has few to give" : "no memory for it");
    }
    return false;
}

/* Writes the header at the top of a slot, which touches its top page. */
static struct tri_stack *make_stack(char *slot, uint32_t size_class)
{
    /* Coloured: tops at one offset in every slot would fight for the same few sets of the caches. */
    uint64_t colour = (uintptr_t)slot / slot_bytes_of(size_class) % COLOURS * 64;
    char *top = slot + slot_bytes_of(size_class) - colour;
    struct tri_stack *stack = (struct tri_stack *)(void *)(top - (sizeof *stack + 63) / 64 * 64);
    bool guarded = install_guard(slot);
    *stack = (struct tri_stack){
        .low = slot + PAGE,
        .bytes = (uint64_t)((char *)stack - slot) - PAGE,
        .size_class = size_class,
        .canary = !guarded,
        .fiber = tri_fiber_create(),
    };
    if (stack->canary)
        *(uint64_t *)(void *)stack->low = TRI_STACK_CANARY;
    tri_fiber_register_stack(stack->low, stack->bytes);
    tri_context_make(&stack->context, stack, stack, tri_stack_start);
    return stack;
}

/* What is left of the newest slab of each class; under grow_lock. */
static struct {
    char *next;
    uint64_t slots;
} fresh[TRI_STACK_CLASSES];

static bool map_slab(uint32_t size_class)
{
    uint32_t index = tri_load(&slab_count, TRI_RELAXED);
    uint64_t slot = slot_bytes_of(size_class);
    uint64_t bytes = slot > SLAB_BYTES ? slot : SLAB_BYTES;
    if (index == SLAB_LIMIT)
        return false;
    char *low =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (low == MAP_FAILED)
        return false;
    madvise(low, bytes, MADV_NOHUGEPAGE); /* a huge page under a slab would make each stack cost its slot */
    slabs[index].low = low;
    slabs[index].slot_bytes = slot;
    slabs[index].slots = bytes / slot;
    tri_store(&slab_count, index + 1, TRI_RELEASE);
    fresh[size_class].next = low;
    fresh[size_class].slots = bytes / slot;
    return true;
}

static struct tri_stack *take_fresh(uint32_t size_class)
{
    struct tri_stack *stack = NULL;
    tri_lock(&grow_lock);
    if (fresh[size_class].slots > 0 || map_slab(size_class)) {
        stack = make_stack(fresh[size_class].next, size_class);
        fresh[size_class].next += slot_bytes_of(size_class);
        fresh[size_class].slots--;
    }
    tri_unlock(&grow_lock);
    return stack;
}

static struct tri_stack *take_shared(uint32_t size_class)
{
    tri_lock(&shared[size_class].lock);
    struct tri_stack *stack = shared[size_class].head;
    if (stack) {
        shared[size_class].head = stack->next;
        tri_fetch_sub(&shared[size_class].count, 1u, TRI_RELAXED);
    }
    tri_unlock(&shared[size_class].lock);
    return stack ? stack : take_fresh(size_class);
}

/* Its pages below the top one go back to the kernel when many stacks lie free. */
static void trim(struct tri_stack *stack)
{
    char *top_page = (char *)((uintptr_t)stack & ~(uintptr_t)(PAGE - 1));
    char *low = stack->low + (stack->canary ? PAGE : 0);
    if (top_page > low)
        madvise(low, (size_t)(top_page - low), MADV_DONTNEED);
}

static void give_shared(struct tri_stack *stack)
{
    uint32_t size_class = stack->size_class;
    if (tri_load(&shared[size_class].count, TRI_RELAXED) >= KEEP_DIRTY >> size_class / 2)
        trim(stack);
    tri_lock(&shared[size_class].lock);
    stack->next = shared[size_class].head;
    shared[size_class].head = stack;
    tri_fetch_add(&shared[size_class].count, 1u, TRI_RELAXED);
    tri_unlock(&shared[size_class].lock);
}

struct tri_stack *tri_stack_take_slow(uint32_t size_class)
{
    struct tri_stack *stack = take_shared(size_class);
    if (stack)
        tri_fetch_add(&live, 1, TRI_RELAXED);
    return stack;
}

/* The cache is full, and gives back half of itself; or the stack is of a class that is not cached. */
void tri_stack_give_slow(struct tri_stack_cache *cache, struct tri_stack *stack)
{
    tri_fetch_sub(&live, 1, TRI_RELAXED);
    give_shared(stack);
    if (!cache)
        return;
    uint32_t count = tri_load(&cache->count, TRI_RELAXED);
    while (count > TRI_STACK_CACHE_CAP / 2) {
        tri_fetch_sub(&live, 1, TRI_RELAXED);
        give_shared(cache->stacks[--count]);
    }
    tri_store(&cache->count, count, TRI_RELAXED);
}

void tri_stack_flush(struct tri_stack_cache *cache)
{
    uint32_t count = tri_load(&cache->count, TRI_RELAXED);
    while (count > 0)
        tri_stack_give_slow(NULL, cache->stacks[--count]);
    tri_store(&cache->count, 0u, TRI_RELAXED);
}

bool tri_stack_is_guard(const void *address)
{
    uintptr_t at = (uintptr_t)address;
    uint32_t count = tri_load(&slab_count, TRI_ACQUIRE);
    for (uint32_t i = 0; i < count; i++) {
        uintptr_t low = (uintptr_t)slabs[i].low;
        if (at >= low && at < low + slabs[i].slot_bytes * slabs[i].slots)
            return (at - low) % slabs[i].slot_bytes < PAGE;
    }
    return false;
}

uint64_t tri_stack_live(void)
{
    int64_t count = tri_load(&live, TRI_RELAXED);
    return count > 0 ? (uint64_t)count : 0;
}
