/* SPDX-License-Identifier: MIT */
/* gather.c: see gather.h. */
#include "io/gather.h"

/*
 * A guard that ends before the kernel has begun to wait ends no wait. What is queued comes first, and takes the kernel so long
 * for each.
 */
#define MARGIN_NS (20 * TR_MICROSECOND)
#define QUEUED_NS (8 * TR_MICROSECOND)
#define FAIR_NS (100 * TR_MICROSECOND) /* a wait that had less and brought fewer than asked says nothing */
#define PROBE_NS (2 * FAIR_NS)
#define MOST_WANTED 16u
#define FIRST_INTERVAL 16u
#define LAST_INTERVAL 1024u

void tri_gather_init(struct tri_gather *gather, tr_time now)
{
    *gather = (struct tri_gather){ .count = 1, .wanted = 1, .countdown = FIRST_INTERVAL, .interval = FIRST_INTERVAL };
    gather->since = now;
}

static unsigned probe_size(const struct tri_gather *gather)
{
    return 2 * (gather->wanted < MOST_WANTED ? gather->wanted + 1 : gather->wanted);
}

void tri_gather_begin(struct tri_gather *gather, tr_time now, unsigned in_flight, unsigned queued)
{
    unsigned probe = probe_size(gather);
    int64_t span = now - gather->since;
    /* At the rate of late, as many would come in time; and there are more who could send. */
    bool busy = (int64_t)gather->arrivals * PROBE_NS >= (int64_t)probe * span && in_flight > 2 * probe;
    gather->since = now;
    gather->arrivals = 0;
    gather->probing = busy && gather->countdown == 0;
    if (gather->countdown > 0)
        gather->countdown--;
    gather->count = gather->probing ? probe : gather->wanted;
    if (!gather->guarded)
        gather->guard = now + TRI_GATHER_GUARD;
    else if (gather->guard - now < MARGIN_NS + queued * QUEUED_NS)
        gather->count = 1;
}

void tri_gather_end(struct tri_gather *gather, tr_time now, unsigned completions, bool guard_ended)
{
    if (gather->count == 1)
        return;
    bool fair = now - gather->since >= (gather->probing ? PROBE_NS : FAIR_NS);
    if (completions < gather->count) {
        if (guard_ended && !fair)
            return;
        gather->wanted = completions > 3 ? completions / 2 : 1;
        if (gather->probing && gather->interval < LAST_INTERVAL)
            gather->interval *= 2;
        gather->countdown = gather->interval;
    } else if (gather->probing) {
        gather->wanted = gather->count / 2;
        gather->interval = FIRST_INTERVAL;
        gather->countdown = gather->interval;
    }
}

void tri_gather_woken(struct tri_gather *gather)
{
    gather->count = gather->wanted = 1; /* the wait that it has ended is not judged */
    gather->countdown = LAST_INTERVAL;
}
