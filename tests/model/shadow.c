/* SPDX-License-Identifier: MIT */
/*
 * shadow.c: plain memory of a model. The model is compiled with -fsanitize=thread but linked with no runtime of that
 * name: the calls that the compiler put before every plain access end here.
 *
 * Each byte of model memory (the module's globals, an arena for malloc and mmap, the stacks of the model threads) has a
 * cell: who wrote it last, when each thread read it last, and the atomic location it belongs to. An access that does not
 * know of a conflicting one is a race. A cell of an earlier execution counts as blank, so nothing is wiped.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct cell {
    uint32_t run;
    uint16_t write_epoch, location; /* location: index + 1 */
    uint8_t writer;
    bool freed;
    struct clock reads;
};

/* Who made the accesses of a cell, for what is printed. */
struct origin {
    const void *write, *read;
};

struct region {
    char *base;
    size_t bytes;
    struct cell *cells;
    struct origin *origins;
    uint8_t *notes;
};

static struct region module, space; /* space: the arena, then the stacks */
static char *first_values;          /* of the module's globals */
static size_t arena_used;
static const void *module_within;

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("explorer: mmap");
        exit(2);
    }
    return memory;
}

/* The writable segment of the module that holds its code at module_within. */
static int find_segment(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    const struct region none = { 0 };
    struct region found = none;
    bool ours = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        char *base = (char *)(info->dlpi_addr + segment->p_vaddr);
        if (segment->p_type != PT_LOAD)
            continue;
        if ((const char *)module_within >= base && (const char *)module_within < base + segment->p_memsz)
            ours = true;
        if (segment->p_flags & PF_W)
            found = (struct region){ .base = base, .bytes = segment->p_memsz };
    }
    /* The relocated part in front is read-only by now. */
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        char *base = (char *)(info->dlpi_addr + segment->p_vaddr);
        if (segment->p_type != PT_GNU_RELRO || base != found.base)
            continue;
        size_t skip = ((uintptr_t)base + segment->p_memsz + 4095) / 4096 * 4096 - (uintptr_t)base;
        skip = skip < found.bytes ? skip : found.bytes;
        found.base += skip;
        found.bytes -= skip;
    }
    if (ours)
        module = found;
    return ours;
}

void tri_shadow_open(const void *module_address)
{
    if (!space.base) {
        space.bytes = ARENA_BYTES + THREADS * STACK_BYTES;
        space.base = map(space.bytes);
        space.cells = map(space.bytes * sizeof *space.cells);
        space.origins = map(space.bytes * sizeof *space.origins);
        space.notes = map(space.bytes);
    }
    module_within = module_address;
    dl_iterate_phdr(find_segment, NULL);
    module.cells = map(module.bytes * sizeof *module.cells + 1);
    module.origins = map(module.bytes * sizeof *module.origins + 1);
    module.notes = map(module.bytes + 1);
    first_values = map(module.bytes + 1);
    memcpy(first_values, module.base, module.bytes);
}

void tri_shadow_close(void)
{
    memcpy(module.base, first_values, module.bytes);
    munmap(module.cells, module.bytes * sizeof *module.cells + 1);
    munmap(module.origins, module.bytes * sizeof *module.origins + 1);
    munmap(module.notes, module.bytes + 1);
    munmap(first_values, module.bytes + 1);
    module = (struct region){ 0 };
}

void tri_shadow_reset(void)
{
    memcpy(module.base, first_values, module.bytes);
    memset(space.base, 0, arena_used);
    arena_used = 0;
}

void *tri_shadow_stack(unsigned thread)
{
    return space.base + ARENA_BYTES + (size_t)thread * STACK_BYTES;
}

void tri_shadow_forget(void)
{
    memset(space.notes, 0, space.bytes);
    memset(module.notes, 0, module.bytes);
}

uint8_t *tri_shadow_note(const volatile void *address)
{
    size_t offset = (size_t)((const volatile char *)address - space.base);
    if (offset < space.bytes)
        return space.notes + offset;
    offset = (size_t)((const volatile char *)address - module.base);
    return offset < module.bytes ? module.notes + offset : NULL;
}

static inline struct cell *blank(struct cell *cell)
{
    if (cell->run != engine.run)
        *cell = (struct cell){ .run = engine.run };
    return cell;
}

/* The cells of an access, or NULL if the memory is none of the model's. */
static struct cell *cells_of(const volatile void *address, size_t bytes)
{
    size_t offset = (size_t)((const volatile char *)address - space.base);
    if (offset < space.bytes && bytes <= space.bytes - offset)
        return space.cells + offset;
    offset = (size_t)((const volatile char *)address - module.base);
    if (offset < module.bytes && bytes <= module.bytes - offset)
        return module.cells + offset;
    return NULL;
}

static struct origin *origin_of(const struct cell *cell)
{
    if (cell >= space.cells && cell < space.cells + space.bytes)
        return space.origins + (cell - space.cells);
    return module.origins + (cell - module.cells);
}

static _Noreturn void report_race(const struct cell *cell, bool writes, bool other_writes, unsigned other,
                                  const void *pc, const volatile void *address)
{
    char here[300], there[300];
    tri_report_place(here, sizeof here, pc);
    tri_report_place(there, sizeof there, other_writes ? origin_of(cell)->write : origin_of(cell)->read);
    tri_report_fail("data race at %p: %s by %s (%s) and %s by %s (%s)", (void *)(uintptr_t)address,
                    writes ? "write" : "read", engine.threads[engine.current].name, here,
                    other_writes ? "write" : "read", engine.threads[other].name, there);
}

static _Noreturn void report_cell(const struct cell *cell, bool writes, const void *pc, const volatile void *address)
{
    const struct clock *now = &engine.threads[engine.current].now;
    unsigned other = 0;
    if (cell->freed) {
        char here[300];
        tri_report_place(here, sizeof here, pc);
        tri_report_fail("use after free at %p by %s (%s)", (void *)(uintptr_t)address,
                        engine.threads[engine.current].name, here);
    }
    if (!tri_clock_knows(now, cell->writer, cell->write_epoch))
        report_race(cell, writes, true, cell->writer, pc, address);
    while (tri_clock_knows(now, other, cell->reads.at[other]))
        other++;
    report_race(cell, writes, false, other, pc, address);
}

static inline bool is_any(epochs set)
{
    unsigned __int128 all;
    memcpy(&all, &set, sizeof all);
    return all != 0;
}

static inline void check_cell(const struct cell *cell, bool writes, const void *pc, const volatile void *address)
{
    const struct clock *now = &engine.threads[engine.current].now;
    if (cell->freed || now->at[cell->writer] < cell->write_epoch ||
        (writes && is_any((epochs)(cell->reads.all > now->all))))
        report_cell(cell, writes, pc, address);
}

void tri_shadow_access(const volatile void *address, size_t bytes, bool writes, const void *pc)
{
    struct cell *cells = cells_of(address, bytes);
    if (!cells || engine.peeking)
        return;
    const struct clock *now = &engine.threads[engine.current].now;
    unsigned seen = 0;
    for (size_t i = 0; i < bytes; i++) {
        struct cell *cell = blank(&cells[i]);
        check_cell(cell, writes, pc, (const volatile char *)address + i);
        if (cell->location && cell->location != seen) {
            seen = cell->location;
            engine.locations[seen - 1].uniform = false;
            tri_memory_check_plain(seen - 1, writes, pc, address);
        }
        if (writes) {
            cell->writer = (uint8_t)engine.current;
            cell->write_epoch = now->at[engine.current];
        } else {
            cell->reads.at[engine.current] = now->at[engine.current];
        }
        if (engine.tracing)
            *(writes ? &origin_of(cell)->write : &origin_of(cell)->read) = pc;
    }
}

static unsigned new_location(const volatile void *address, unsigned bytes, struct cell *cells)
{
    if (engine.location_count == engine.location_room) {
        unsigned room = engine.location_room ? 2 * engine.location_room : 64;
        engine.locations = realloc(engine.locations, room * sizeof *engine.locations);
        memset(engine.locations + engine.location_room, 0, (room - engine.location_room) * sizeof *engine.locations);
        engine.location_room = room;
    }
    unsigned index = engine.location_count++;
    struct location *location = &engine.locations[index];
    location->address = address;
    location->bytes = bytes;
    location->stores = location->access_count = 0;
    location->user = 0;
    location->many = location->written = false;
    location->uniform = true;
    for (unsigned i = 1; i < bytes; i++)
        location->uniform &= cells[i].writer == cells->writer && cells[i].write_epoch == cells->write_epoch &&
                             memcmp(&cells[i].reads, &cells->reads, sizeof cells->reads) == 0;
    location->plain_write = true;
    location->plain_thread = cells->writer;
    location->plain_epoch = cells->write_epoch;
    for (unsigned i = 0; i < bytes; i++)
        cells[i].location = (uint16_t)(index + 1);
    return index;
}

static bool is_same(const struct location *location, const volatile void *address, unsigned bytes)
{
    return location->address == address && location->bytes == bytes;
}

/* Memory used anew, as a stack is: allowed when all accesses to what was there have happened before. */
static void retire_location(unsigned index)
{
    const struct location *location = &engine.locations[index];
    for (uint32_t i = 0; i < location->access_count; i++)
        if (!tri_clock_knows(&engine.threads[engine.current].now, location->accesses[i].thread,
                             location->accesses[i].epoch))
            tri_report_fail("atomic accesses of different shape overlap at %p", (void *)(uintptr_t)location->address);
    struct cell *cells = cells_of(location->address, location->bytes);
    for (unsigned i = 0; i < location->bytes; i++)
        cells[i].location = 0;
}

unsigned tri_shadow_location(const volatile void *address, unsigned bytes, bool writes)
{
    struct cell *cells = cells_of(address, bytes);
    if (!cells)
        tri_report_fail("atomic access at %p, outside of the model's memory", (void *)(uintptr_t)address);
    struct location *known = blank(cells)->location ? &engine.locations[cells->location - 1u] : NULL;
    if (known && known->uniform && is_same(known, address, bytes)) {
        check_cell(cells, writes, NULL, address);
        return cells->location - 1u;
    }
    for (unsigned i = 0; i < bytes; i++)
        check_cell(blank(&cells[i]), writes, NULL, address);
    for (unsigned i = 0; i < bytes; i++)
        if (cells[i].location && !is_same(&engine.locations[cells[i].location - 1u], address, bytes))
            retire_location(cells[i].location - 1u);
    return cells->location ? cells->location - 1u : new_location(address, bytes, cells);
}

/* A block begins with its size; the arena is never used twice within an execution. */
void *tri_shadow_take(size_t bytes, size_t alignment, int fill)
{
    size_t start = (arena_used + 16 + alignment - 1) / alignment * alignment;
    if (start + bytes > ARENA_BYTES)
        tri_report_fail("the model's arena is used up: %zu bytes wanted", bytes);
    arena_used = start + bytes;
    memcpy(space.base + start - sizeof bytes, &bytes, sizeof bytes);
    if (fill)
        memset(space.base + start, fill, bytes);
    return space.base + start;
}

void tri_shadow_give(void *block, const void *pc)
{
    size_t bytes;
    memcpy(&bytes, (char *)block - sizeof bytes, sizeof bytes);
    tri_shadow_access(block, bytes, true, pc);
    struct cell *cells = cells_of(block, bytes);
    for (size_t i = 0; cells && i < bytes; i++)
        cells[i].freed = true;
}

/* ---- what the compiler calls -------------------------------------------------------------------------------- */

#define PC __builtin_return_address(0)

#define ACCESS(name, size, writes)                                                                                     \
    void name(void *address);                                                                                          \
    void name(void *address)                                                                                           \
    {                                                                                                                  \
        tri_shadow_access(address, size, writes, PC);                                                                  \
    }
#define ACCESSES(size)                                                                                                 \
    ACCESS(__tsan_read##size, size, false)                                                                             \
    ACCESS(__tsan_write##size, size, true)                                                                             \
    ACCESS(__tsan_unaligned_read##size, size, false)                                                                   \
    ACCESS(__tsan_unaligned_write##size, size, true)                                                                   \
    ACCESS(__tsan_volatile_read##size, size, false)                                                                    \
    ACCESS(__tsan_volatile_write##size, size, true)                                                                    \
    ACCESS(__tsan_read_write##size, size, true)                                                                        \
    ACCESS(__tsan_unaligned_read_write##size, size, true)
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

#define QUIET(name)                                                                                                    \
    void name(void *argument);                                                                                         \
    void name(void *argument)                                                                                          \
    {                                                                                                                  \
        (void)argument;                                                                                                \
    }
QUIET(__tsan_func_entry)
QUIET(__tsan_func_exit)
QUIET(__tsan_init)

#define RANGE(name, writes)                                                                                            \
    void name(void *address, unsigned long bytes);                                                                     \
    void name(void *address, unsigned long bytes)                                                                      \
    {                                                                                                                  \
        tri_shadow_access(address, bytes, writes, PC);                                                                 \
    }
RANGE(__tsan_read_range, false)
RANGE(__tsan_write_range, true)

/* The compiler's own atomics: the protocol went around mailbox/atomic.h. */
#define AROUND(name)                                                                                                   \
    long name(void);                                                                                                   \
    long name(void)                                                                                                    \
    {                                                                                                                  \
        char place[300];                                                                                               \
        tri_report_place(place, sizeof place, PC);                                                                     \
        tri_report_fail("an atomic operation that does not go through mailbox/atomic.h (%s)", place);                  \
    }
#define AROUNDS(bits)                                                                                                  \
    AROUND(__tsan_atomic##bits##_load)                                                                                 \
    AROUND(__tsan_atomic##bits##_store)                                                                                \
    AROUND(__tsan_atomic##bits##_exchange)                                                                             \
    AROUND(__tsan_atomic##bits##_fetch_add)                                                                            \
    AROUND(__tsan_atomic##bits##_fetch_sub)                                                                            \
    AROUND(__tsan_atomic##bits##_fetch_and)                                                                            \
    AROUND(__tsan_atomic##bits##_fetch_or)                                                                             \
    AROUND(__tsan_atomic##bits##_fetch_xor)                                                                            \
    AROUND(__tsan_atomic##bits##_compare_exchange_strong)                                                              \
    AROUND(__tsan_atomic##bits##_compare_exchange_weak)                                                                \
    AROUND(__tsan_atomic##bits##_compare_exchange_val)
AROUNDS(8)
AROUNDS(16)
AROUNDS(32)
AROUNDS(64)
AROUND(__tsan_atomic_thread_fence)
QUIET(__tsan_atomic_signal_fence) /* orders the compiler only */
