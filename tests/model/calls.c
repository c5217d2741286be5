/* SPDX-License-Identifier: MIT */
/* calls.c: what a model asks of the explorer beside atomics: to wait, to choose, to look. See model.h. */
#include "engine.h"

#include <string.h>

/* The first pauses of a thread may end at once; later ones when something that it has read is no longer the newest. */
void model_pause(void)
{
    struct thread *thread = tri_engine_thread();
    thread->pauses++;
    memcpy(thread->last_reads, thread->reads, sizeof thread->reads);
    thread->last_read_count = thread->pauses <= FREE_PAUSES ? 0 : thread->read_count;
    thread->read_count = 0;
    thread->impure = false;
    tri_report_step(NULL, "pauses");
    tri_explore_wait_as(THREAD_SPINS);
    tri_memory_catch_up();
}

void model_yield(void)
{
    struct thread *thread = tri_engine_thread();
    thread->last_read_count = thread->read_count = 0;
    thread->impure = true;
    if (!engine.alone)
        tri_explore_wait_as(THREAD_SPINS);
}

/* As is_ready, by the thread itself: others may be about to change what it sees. */
static bool looks_ready(const struct thread *thread)
{
    engine.looks = true;
    bool ready = tri_explore_is_ready(thread);
    engine.looks = false;
    return ready;
}

void model_block(bool (*ready)(const void *argument), const void *argument)
{
    struct thread *thread = tri_engine_thread();
    thread->ready = ready;
    thread->argument = argument;
    thread->impure = true;
    if (looks_ready(thread)) {
        tri_explore_point(NULL, false);
        thread->fresh = true;
    }
    if (!looks_ready(thread)) {
        if (engine.alone)
            tri_report_fail("%s blocks although nobody else runs", engine.threads[0].name);
        tri_report_step(NULL, "blocks");
        tri_explore_wait_as(THREAD_BLOCKED);
        tri_report_step(NULL, "goes on");
        looks_ready(thread);
    }
}

static bool is_zero(const void *word)
{
    uint32_t value;
    memcpy(&value, word, sizeof value);
    return value == 0;
}

static bool is_even(const void *word)
{
    return (*(const unsigned char *)word & 1) == 0;
}

static void await_word(const volatile void *word, bool (*ready)(const void *word))
{
    struct thread *thread = tri_engine_thread();
    const void *argument = (const void *)(uintptr_t)word;
    tri_explore_point(word, true);
    if (!ready(argument)) {
        if (engine.alone)
            tri_report_fail("%s waits for a lock although nobody else runs", engine.threads[0].name);
        thread->ready = ready;
        thread->argument = argument;
        tri_explore_share(word);
        tri_explore_made(word, true);
        tri_report_step(NULL, "waits for the lock");
        tri_explore_wait_as(THREAD_BLOCKED);
    }
    thread->impure = thread->fresh = thread->newest = true;
}

void model_await_zero(const volatile void *word)
{
    await_word(word, is_zero);
}

void model_await_even(const volatile void *word)
{
    await_word(word, is_even);
}

/* A step that is no access: only its place among the thread's steps, and its value, count. */
static void count_step(uint64_t value)
{
    struct thread *thread = tri_engine_thread();
    thread->impure = true;
    thread->now.at[engine.current] += 2;
    uint64_t event = (uint64_t)engine.current << 32 | thread->now.at[engine.current];
    engine.hash += tri_engine_mix(tri_engine_mix(event, 3), value);
}

unsigned model_choose(unsigned count)
{
    unsigned taken = tri_explore_choose(count);
    count_step(taken);
    tri_report_step(NULL, "chooses %u of %u", taken, count);
    return taken;
}

unsigned model_stamp(void)
{
    tri_explore_point(NULL, true);
    tri_explore_made(NULL, true);
    count_step(++engine.stamps);
    return engine.stamps;
}

int model_self(void)
{
    return engine.alone ? -1 : (int)engine.current - 1;
}

uint64_t model_peek_at(const volatile void *object, unsigned bytes)
{
    uint64_t value = 0;
    bool step = !engine.peeking && !engine.alone;
    tri_explore_share(object);
    if (step)
        tri_explore_point(object, false);
    if (step || engine.looks)
        tri_explore_made(object, false);
    memcpy(&value, (const void *)(uintptr_t)object, bytes);
    if (step)
        count_step(value);
    return value;
}
