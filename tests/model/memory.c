/* SPDX-License-Identifier: MIT */
/*
 * memory.c: the C11 memory model as a machine that hands out values.
 *
 * Each location keeps its stores in modification order. Happens-before is a vector clock per thread; a store carries the
 * clock that an acquire of it learns. From these:
 *
 *   floor    a thread may not read, nor write before, what is older in modification order than any store or read value
 *            of the location that it knows of (read and write coherence)
 *   load     any store from the newest down to the floor
 *   store    any place from the end down to the floor, but never between a read-modify-write and what it read
 *   rmw      reads a store that no other read-modify-write has read, and lands right behind it; where all writers are
 *            read-modify-writes that is the newest one
 *   message  of a release store its thread's clock, of a relaxed one the clock of the last release fence; a
 *            read-modify-write adds that of the store it read (release sequences of C++20: no relaxed stores in them)
 *
 * Each candidate is dropped if the order S of order.c forbids it. Not modelled: load buffering (a value cannot be read
 * before the store that makes it has run), and so nothing out of thin air.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#define CANDIDATES_LIMIT 64

static bool acquires(unsigned order)
{
    return order == TRI_ACQUIRE || order >= TRI_ACQ_REL;
}

static bool releases(unsigned order)
{
    return order >= TRI_RELEASE;
}

static unsigned site_index(const struct model_site *site)
{
    return (unsigned)(site - engine.model->sites);
}

void tri_memory_reset(void)
{
    engine.store_count = 0;
    engine.location_count = 0;
    tri_order_reset();
}

static uint64_t read_memory(const volatile void *address, unsigned bytes)
{
    uint64_t value = 0;
    memcpy(&value, (const void *)(uintptr_t)address, bytes);
    return value;
}

/* Memory holds the newest value: the final state, and what block conditions look at. */
static void write_memory(const struct location *location)
{
    uint64_t value = engine.stores[location->order[location->stores - 1]].value;
    memcpy((void *)(uintptr_t)location->address, &value, location->bytes);
}

static struct access *new_access(struct location *location, unsigned thread, unsigned epoch, unsigned store,
                                 bool writes)
{
    if (location->access_count == location->access_room) {
        location->access_room = location->access_room ? 2 * location->access_room : 16;
        location->accesses = realloc(location->accesses, location->access_room * sizeof *location->accesses);
    }
    struct access *access = &location->accesses[location->access_count++];
    *access = (struct access){
        .thread = (uint16_t)thread, .epoch = (uint16_t)epoch, .store = (uint16_t)store, .writes = writes
    };
    return access;
}

/* Puts a new store at `place` of the modification order; the hash knows each store by the one before it. */
static unsigned insert_store(struct location *location, unsigned place, struct store store)
{
    if (engine.store_count == sizeof engine.stores / sizeof *engine.stores)
        tri_report_fail("too many stores in one execution");
    if (location->stores == location->store_room) {
        location->store_room = location->store_room ? 2 * location->store_room : 16;
        location->order = realloc(location->order, location->store_room * sizeof *location->order);
    }
    unsigned index = engine.store_count++;
    uint64_t left = place ? engine.stores[location->order[place - 1]].key : (uintptr_t)location->address;
    store.key = tri_engine_mix(tri_engine_mix(store.thread, store.epoch), (uintptr_t)location->address);
    if (place < location->stores) {
        uint64_t right = engine.stores[location->order[place]].key;
        engine.hash -= tri_engine_mix(right, left);
        engine.hash += tri_engine_mix(right, store.key);
    }
    engine.hash += tri_engine_mix(store.key, left);
    memmove(location->order + place + 1, location->order + place, (location->stores - place) * sizeof *location->order);
    location->order[place] = (uint16_t)index;
    location->stores++;
    if (!store.rmw)
        store.from = (uint16_t)index;
    engine.stores[index] = store;
    return index;
}

/* Takes a plain write, or the first value, into the history. */
static void absorb_plain(struct location *location)
{
    if (!location->plain_write)
        return;
    location->plain_write = false;
    struct store store = { .value = read_memory(location->address, location->bytes),
                           .thread = location->plain_thread,
                           .epoch = location->plain_epoch };
    unsigned index = insert_store(location, location->stores, store);
    new_access(location, store.thread, store.epoch, index, true);
}

/* The lowest place in modification order that the current thread may still read from. */
static unsigned coherence_floor(const struct location *location)
{
    const struct clock *now = &tri_engine_thread()->now;
    unsigned place = location->stores - 1;
    for (; place > 0; place--) {
        unsigned store = location->order[place];
        for (uint32_t i = location->access_count; i-- > 0;) {
            const struct access *access = &location->accesses[i];
            if (access->store == store && tri_clock_knows(now, access->thread, access->epoch))
                return place;
        }
    }
    return 0;
}

static bool is_followed_by_rmw(const struct location *location, unsigned place)
{
    return place + 1 < location->stores && engine.stores[location->order[place + 1]].rmw;
}

/*
 * Fairness: a read-modify-write that is tried once more in the next turn of a spin reads the newest store. Without it an
 * exchange could take its place in front of the awaited store for ever.
 */
static bool must_read_newest(unsigned index)
{
    struct thread *thread = tri_engine_thread();
    if (thread->newest) {
        thread->newest = false;
        return true;
    }
    for (unsigned i = 0; i < thread->last_read_count; i++) {
        const struct store *store = &engine.stores[thread->last_reads[i].store];
        if (thread->last_reads[i].location == index && store->rmw && store->thread == engine.current)
            return true;
    }
    return false;
}

/*
 * One of the places found, the newest first. To read what is not the newest, or to write in front of it, takes one from
 * the execution's allowance for it, if the search is bounded so.
 */
static unsigned choose_place(const unsigned *places, unsigned count)
{
    unsigned taken = tri_explore_choose(engine.stale_left == 0 ? 1 : count);
    if (taken > 0 && engine.stale_left != UNBOUNDED)
        engine.stale_left--;
    return places[taken];
}

/* A step begins: the site is noted, another thread may run first, the clock ticks. Returns the order in force. */
static unsigned begin(const struct model_site *site, const volatile void *object, bool writes)
{
    unsigned index = site_index(site);
    if (index >= SITE_LIMIT)
        tri_report_fail("an atomic operation of no known site");
    engine.reached[index] = true;
    tri_explore_point(object, writes);
    tri_engine_thread()->now.at[engine.current]++;
    if (++engine.steps > STEP_LIMIT)
        tri_report_fail("no end after %d steps: a loop that waits without tri_spin?", STEP_LIMIT);
    engine.operations++;
    return engine.order[index];
}

/* Who uses the location, and how: what only one thread uses, or nobody writes, needs no choice of threads. */
static void note_use(struct location *location, bool writes)
{
    if (engine.alone)
        return;
    if (location->user == 0)
        location->user = (uint8_t)engine.current;
    location->many |= location->user != engine.current;
    location->written |= writes;
    if (location->many && location->written)
        tri_explore_share(location->address);
    tri_explore_made(location->address, writes);
}

/* Steps of plain memory that follow are later than this one. */
static void end(const struct model_site *site, uint64_t what, uint64_t value)
{
    struct thread *thread = tri_engine_thread();
    thread->turn = tri_engine_mix(thread->turn, tri_engine_mix(site_index(site), value));
    uint64_t event = tri_engine_mix((uint64_t)engine.current << 32 | thread->now.at[engine.current], site_index(site));
    engine.hash += tri_engine_mix(tri_engine_mix(event, what), value);
    thread->now.at[engine.current]++;
}

static void note_read(unsigned location, unsigned store)
{
    struct thread *thread = tri_engine_thread();
    if (thread->read_count == READS_LIMIT) {
        thread->impure = true;
        memmove(thread->reads, thread->reads + 1, (READS_LIMIT - 1) * sizeof *thread->reads);
        thread->read_count--;
    }
    thread->reads[thread->read_count++] =
        (struct read){ (uint16_t)location, (uint16_t)store, engine.stores[store].thread != engine.current };
}

static void learn(const struct store *store, unsigned order)
{
    struct thread *thread = tri_engine_thread();
    if (acquires(order))
        tri_clock_join(&thread->now, &store->message);
    else
        tri_clock_join(&thread->acquirable, &store->message);
}

static struct clock message_of(unsigned order)
{
    struct thread *thread = tri_engine_thread();
    return releases(order) ? thread->now : thread->released;
}

uint64_t model_load(const struct model_site *site, const volatile void *object, unsigned bytes)
{
    unsigned order = begin(site, object, false);
    unsigned index = tri_shadow_location(object, bytes, false);
    struct location *location = &engine.locations[index];
    note_use(location, false);
    unsigned candidates[CANDIDATES_LIMIT], count = 0;
    struct clock before = tri_engine_thread()->now;
    absorb_plain(location);
    unsigned floor = coherence_floor(location);
    for (unsigned place = location->stores; place-- > floor && count < CANDIDATES_LIMIT;)
        if (tri_order_allows(location, 2 * place + 1, false, order == TRI_SEQ_CST, &before))
            candidates[count++] = place;
    unsigned place = choose_place(candidates, count);
    unsigned from = location->order[place];
    const struct store *store = &engine.stores[from];
    learn(store, order);
    struct access *access =
        new_access(location, engine.current, tri_engine_thread()->now.at[engine.current], from, false);
    tri_order_add(location, access, 2 * place + 1, order == TRI_SEQ_CST, &before);
    note_read(index, from);
    if (engine.tracing) {
        char text[160];
        tri_report_store(text, sizeof text, location, place);
        tri_report_step(site, "= %#llx (%s)", (unsigned long long)store->value, text);
    }
    end(site, store->key, store->value);
    return store->value;
}

/* Puts the store at its place, with all that follows from it. */
static void commit_store(unsigned index, unsigned place, const struct store *store, unsigned order,
                         const struct clock *before)
{
    struct location *location = &engine.locations[index];
    struct thread *thread = tri_engine_thread();
    unsigned made = insert_store(location, place, *store);
    struct access *access = new_access(location, engine.current, thread->now.at[engine.current], made, true);
    tri_order_add(location, access, 2 * place, order == TRI_SEQ_CST, before);
    write_memory(location);
    thread->impure = true;
    note_read(index, made);
}

void model_store(const struct model_site *site, volatile void *object, unsigned bytes, uint64_t value)
{
    unsigned order = begin(site, object, true);
    unsigned index = tri_shadow_location(object, bytes, true);
    struct location *location = &engine.locations[index];
    note_use(location, true);
    unsigned candidates[CANDIDATES_LIMIT], count = 0;
    struct clock before = tri_engine_thread()->now;
    absorb_plain(location);
    unsigned floor = coherence_floor(location);
    for (unsigned place = location->stores; place > floor && count < CANDIDATES_LIMIT; place--)
        if (!is_followed_by_rmw(location, place - 1) &&
            tri_order_allows(location, 2 * place - 1, true, order == TRI_SEQ_CST, &before))
            candidates[count++] = place;
    unsigned place = choose_place(candidates, count);
    struct store store = { .value = value,
                           .site = site,
                           .message = message_of(order),
                           .thread = (uint16_t)engine.current,
                           .epoch = before.at[engine.current] };
    if (engine.tracing) {
        char text[64] = "";
        if (place < location->stores)
            snprintf(text, sizeof text, " (%u in front of it)", location->stores - place);
        tri_report_step(site, ":= %#llx%s", (unsigned long long)value, text);
    }
    commit_store(index, place, &store, order, &before);
    end(site, 1, value);
}

/* Reads the store at `place` and puts `value` right behind it. */
static uint64_t modify(const struct model_site *site, unsigned index, unsigned place, uint64_t value, unsigned order,
                       const struct clock *before)
{
    struct location *location = &engine.locations[index];
    const struct store read = engine.stores[location->order[place]];
    struct store store = { .value = value,
                           .site = site,
                           .thread = (uint16_t)engine.current,
                           .epoch = before->at[engine.current],
                           .rmw = true,
                           .from = location->order[place] };
    if (engine.tracing) {
        char text[160];
        tri_report_store(text, sizeof text, location, place);
        tri_report_step(site, "%#llx -> %#llx (%s)", (unsigned long long)read.value, (unsigned long long)value, text);
    }
    learn(&read, order);
    store.message = message_of(order);
    tri_clock_join(&store.message, &read.message);
    commit_store(index, place + 1, &store, order, before);
    end(site, read.key, value);
    return read.value;
}

static uint64_t apply(enum model_rmw what, uint64_t old, uint64_t operand, unsigned bytes)
{
    uint64_t mask = bytes == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * bytes) - 1;
    switch (what) {
    case MODEL_EXCHANGE:
        return operand & mask;
    case MODEL_ADD:
        return (old + operand) & mask;
    case MODEL_SUB:
        return (old - operand) & mask;
    case MODEL_OR:
        return (old | operand) & mask;
    case MODEL_AND:
        return old & operand & mask;
    }
    return 0;
}

uint64_t model_rmw(const struct model_site *site, volatile void *object, unsigned bytes, enum model_rmw what,
                   uint64_t operand)
{
    unsigned order = begin(site, object, true);
    unsigned index = tri_shadow_location(object, bytes, true);
    struct location *location = &engine.locations[index];
    note_use(location, true);
    unsigned candidates[CANDIDATES_LIMIT], count = 0;
    struct clock before = tri_engine_thread()->now;
    absorb_plain(location);
    unsigned floor = must_read_newest(index) ? location->stores - 1 : coherence_floor(location);
    for (unsigned place = location->stores; place-- > floor && count < CANDIDATES_LIMIT;)
        if (!is_followed_by_rmw(location, place) &&
            tri_order_allows(location, 2 * place + 1, true, order == TRI_SEQ_CST, &before))
            candidates[count++] = place;
    unsigned place = choose_place(candidates, count);
    uint64_t old = engine.stores[location->order[place]].value;
    return modify(site, index, place, apply(what, old, operand, bytes), order, &before);
}

bool model_cas(const struct model_site *site, volatile void *object, unsigned bytes, uint64_t *expected,
               uint64_t desired)
{
    unsigned order = begin(site, object, true), failure = engine.failure[site_index(site)];
    unsigned index = tri_shadow_location(object, bytes, true);
    struct location *location = &engine.locations[index];
    unsigned candidates[CANDIDATES_LIMIT], count = 0;
    struct clock before = tri_engine_thread()->now;
    absorb_plain(location);
    unsigned floor = coherence_floor(location);
    for (unsigned place = location->stores; place-- > floor && count < CANDIDATES_LIMIT;) {
        bool equal = engine.stores[location->order[place]].value == *expected;
        if (!(equal && is_followed_by_rmw(location, place)) &&
            tri_order_allows(location, 2 * place + 1, equal, (equal ? order : failure) == TRI_SEQ_CST, &before))
            candidates[count++] = place;
    }
    unsigned place = choose_place(candidates, count);
    unsigned from = location->order[place];
    const struct store *store = &engine.stores[from];
    note_use(location, store->value == *expected);
    if (store->value == *expected) {
        modify(site, index, place, desired, order, &before);
        return true;
    }
    learn(store, failure);
    struct access *access =
        new_access(location, engine.current, tri_engine_thread()->now.at[engine.current], from, false);
    tri_order_add(location, access, 2 * place + 1, failure == TRI_SEQ_CST, &before);
    note_read(index, from);
    if (engine.tracing) {
        char text[160];
        tri_report_store(text, sizeof text, location, place);
        tri_report_step(site, "wants %#llx, finds %#llx (%s)", (unsigned long long)*expected,
                        (unsigned long long)store->value, text);
    }
    end(site, store->key, store->value);
    *expected = store->value;
    return false;
}

/* A fence touches no location: what it does shows only through accesses, so no other thread need run before it. */
void model_fence(const struct model_site *site)
{
    unsigned index = site_index(site);
    struct thread *thread = tri_engine_thread();
    engine.reached[index] = true;
    if (engine.removed[index])
        return;
    unsigned order = engine.order[index];
    thread->now.at[engine.current]++;
    struct clock before = thread->now;
    engine.operations++;
    if (acquires(order))
        tri_clock_join(&thread->now, &thread->acquirable);
    if (order == TRI_SEQ_CST) {
        tri_order_fence(&before);
        thread->impure = true;
    }
    if (releases(order))
        thread->released = thread->now;
    if (engine.tracing)
        tri_report_step(site, " ");
    end(site, 2, 0);
}

/* A fence of S in the name of thread `index`, wherever that stands. */
static unsigned fence_as(unsigned index)
{
    unsigned caller = engine.current;
    struct thread *thread = &engine.threads[index];
    engine.current = index;
    thread->now.at[index]++;
    struct clock before = thread->now;
    tri_clock_join(&thread->now, &thread->acquirable);
    unsigned fence = tri_order_fence(&before);
    thread->released = thread->now;
    engine.hash += tri_engine_mix(tri_engine_mix((uint64_t)index << 32 | thread->now.at[index], 4), 0);
    thread->now.at[index]++;
    engine.current = caller;
    return fence;
}

void tri_memory_barrier(void)
{
    unsigned others[THREADS];
    tri_explore_point(NULL, true);
    tri_explore_made(NULL, true);
    tri_report_step(NULL, "membarrier");
    tri_engine_thread()->impure = true;
    unsigned first = fence_as(engine.current);
    for (unsigned i = 1; i < engine.thread_count; i++)
        if (i != engine.current) {
            others[i] = fence_as(i);
            tri_order_put(first, others[i]);
        }
    unsigned last = fence_as(engine.current);
    for (unsigned i = 1; i < engine.thread_count; i++)
        if (i != engine.current)
            tri_order_put(others[i], last);
}

void tri_memory_catch_up(void)
{
    unsigned me = engine.current;
    struct thread *thread = tri_engine_thread();
    thread->now.at[me] += 2;
    for (unsigned i = 0; i < engine.location_count; i++) {
        struct location *location = &engine.locations[i];
        if (location->stores == 0 || !tri_explore_is_shared(location->address))
            continue; /* what no other thread uses says nothing */
        unsigned newest = location->order[location->stores - 1];
        if (coherence_floor(location) == location->stores - 1)
            continue;
        new_access(location, me, thread->now.at[me] - 1, newest, false);
        engine.hash += tri_engine_mix((uint64_t)me << 32 | thread->now.at[me], engine.stores[newest].key);
    }
}

void model_spin(const struct model_site *site)
{
    if (engine.tracing)
        tri_report_step(site, " ");
    tri_explore_spin();
}

/* All atomic accesses of a location that a plain access must have happened after. */
void tri_memory_check_plain(unsigned index, bool writes, const void *pc, const volatile void *address)
{
    struct location *location = &engine.locations[index];
    struct thread *thread = tri_engine_thread();
    for (uint32_t i = 0; i < location->access_count; i++) {
        const struct access *access = &location->accesses[i];
        if ((!writes && !access->writes) || tri_clock_knows(&thread->now, access->thread, access->epoch))
            continue;
        char place[300];
        tri_report_place(place, sizeof place, pc);
        tri_report_fail("data race at %p: plain %s by %s (%s) and an atomic %s by %s", (void *)(uintptr_t)address,
                        writes ? "write" : "read", thread->name, place, access->writes ? "write" : "read",
                        engine.threads[access->thread].name);
    }
    if (writes) {
        absorb_plain(location);
        location->plain_write = true;
        location->plain_thread = (uint16_t)engine.current;
        location->plain_epoch = thread->now.at[engine.current];
    }
}
