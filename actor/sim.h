/* SPDX-License-Identifier: MIT */
/*
 * sim.h: seeded runtimes: everything on one thread, on a clock that stands, and whatever is left to chance decided by a seed.
 *
 * The worker is that of an embedded runtime (turn.h) which makes a pass at every switch (its quota is never more than 0). The
 * pass empties the LIFO slot, the ring, the pinned list and the inboxes into one array, and since the worker then finds nothing
 * in its own queues, it asks for shared work: there the seed picks from the array. So an ordinary runtime pays nothing for it.
 *
 *   LIFO slot, ring, pinned, overflow, inbox, injection --gather--> ready[] --take: one of them, by the seed--> runs
 *
 * With each task that is picked the seed also says how many operations it may do before it gives way, whether it may hold
 * callers (call.c), and whether what it wakes goes through the slot or the inbox.
 *
 * What must not decide: addresses, the real clock, the order of the slabs, who has run before in this process. So tasks
 * have serial numbers, in the order in which they are first seen; the table that finds them is only ever looked up. Walks over
 * all tasks go by the serials. What the kernel completes and what foreign threads do comes when it comes.
 */
#ifndef TRI_SIM_H
#define TRI_SIM_H

#include "actor/idle.h"

#define TRI_SIM_START (1000 * TR_SECOND) /* on the clock of every seeded runtime */

/* Whose number `serial` is. */
struct tri_sim_name {
    struct tri_task *task; /* NULL: free */
    uint64_t generation, serial;
};

struct tri_sim {
    struct tri_task **ready;
    uint32_t count, room;
    struct tri_sim_name *names; /* open addressing, at most half full */
    uint32_t name_room, name_count;
    uint64_t serial; /* the last one */
    int32_t hold;    /* what tri_can_hold looks at: quota_start */
    uint64_t digest;
};

/* For a new runtime with a seed. Returns 0 or -ENOMEM. */
int tri_sim_init(struct tr_runtime *runtime);
void tri_sim_deinit(struct tr_runtime *runtime);

/* A pass: what is ready goes into the array. */
void tri_sim_gather(struct tri_worker *worker);
/* The next task, or NULL. */
struct tri_task *tri_sim_take(struct tri_worker *worker);

/* A task that is not ready, and should have its number: a handler actor that was spawned. */
void tri_sim_meet(struct tri_worker *worker, struct tri_task *task);
/* Its number; UINT64_MAX if it has none. */
uint64_t tri_sim_serial(struct tri_sim *sim, struct tri_task *task, uint64_t generation);

/*
 * One turn of a shutdown. False: its time is over (that of tri_sim_bound or, for those who never let the clock move, the real
 * clock's `deadline`), or nothing can happen any more.
 */
bool tri_sim_step(struct tr_runtime *runtime, tr_time deadline);

/* tr_run for options with a seed. *digest: of all that was decided. */
int tri_sim_run(const struct tr_options *options, int (*main)(void *argument), void *argument, uint64_t *digest);

/*
 * The clock of a seeded runtime that ends goes no further than `span` from now (the second: nor than it was to go before). Nothing
 * else in a turn would stop it in time. Other runtimes are left alone.
 */
void tri_sim_bound(struct tr_runtime *runtime, int64_t span);
void tri_sim_bound_nearer(struct tr_runtime *runtime, int64_t span);

#endif
