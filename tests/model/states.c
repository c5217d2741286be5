/* SPDX-License-Identifier: MIT */
/*
 * states.c: the table of states searched before. Open addressing; the low six bits of an entry hold what was left of the two
 * bounds (preemptions, stale reads), the others are the state's hash.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

static struct {
    uint64_t *entries;
    uint64_t room, used;
} seen;

void tri_states_forget(void)
{
    if (seen.room != 1 << 12) {
        free(seen.entries);
        seen.room = 1 << 12;
        seen.entries = malloc(seen.room * sizeof *seen.entries);
    }
    memset(seen.entries, 0, seen.room * sizeof *seen.entries);
    seen.used = 0;
}

static uint64_t *find_state(uint64_t key)
{
    uint64_t at = (key >> 6) & (seen.room - 1);
    while (seen.entries[at] && (seen.entries[at] ^ key) > 63)
        at = (at + 1) & (seen.room - 1);
    return &seen.entries[at];
}

static void grow_states(void)
{
    uint64_t *old = seen.entries, room = seen.room;
    seen.room *= 2;
    seen.entries = calloc(seen.room, sizeof *seen.entries);
    if (!seen.entries) {
        fprintf(stderr, "explorer: out of memory for %llu states\n", (unsigned long long)seen.used);
        exit(2);
    }
    for (uint64_t i = 0; i < room; i++)
        if (old[i])
            *find_state(old[i]) = old[i];
    free(old);
}

bool tri_states_holds(uint64_t state, unsigned left, unsigned stale)
{
    const uint64_t *entry = find_state((state | UINT64_C(1) << 63) & ~UINT64_C(63));
    return *entry && (*entry & 7) >= left && (*entry >> 3 & 7) >= stale;
}

bool tri_states_seen(uint64_t state, unsigned left, unsigned stale)
{
    uint64_t key = (state | UINT64_C(1) << 63) & ~UINT64_C(63);
    uint64_t *entry = find_state(key);
    if (*entry && (*entry & 7) >= left && (*entry >> 3 & 7) >= stale)
        return true;
    seen.used += !*entry;
    *entry = key | stale << 3 | left;
    if (seen.used * 2 > seen.room)
        grow_states();
    return false;
}

bool tri_states_is_new_end(uint64_t state)
{
    return !tri_states_seen(tri_engine_mix(state, 0x656e64), UNBOUNDED, UNBOUNDED);
}
