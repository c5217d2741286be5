/* SPDX-License-Identifier: MIT */
/*
 * model_group.c: actor/member.c and actor/group.c: members that end x those who wait for them, spawn, cancel, close. A spawn
 * leaves the member to a thread that ends it. Who takes an outcome, or finds the group idle, sees what the member did.
 *
 *   next       an end x one who takes the outcome
 *   deadline   the same with one who gives up: the outcome is there for the next
 *   takers     two ends x two who take: each has one
 *   wait       two ends x one who waits for all
 *   place      an end x one who waits for the only place
 *   places     the same with two who give up: the place is one's, or still there
 *   cancel     a cancel x a spawn: the member is told, or not started
 *   error      a failure that cancels the group x an end x a spawn
 *   close      an end x the close: the group goes when all have gone, and one who comes late with a token does no harm
 *   detach     two ends x the detach: the last to leave frees the group
 */
#include <stdatomic.h>
#include <string.h>

#define BATCH 1u
#include "fake_waits.h"

#include "actor/group.c"
#undef BATCH
#define BATCH 1u
#include "actor/member.c"
#include "mailbox/pool.c"
#include "mailbox/wait.c"

struct tri_pool tri_node_pool = { .name = "node", .object_bytes = 64, .slab_objects = 4 };
struct tri_pool tri_task_pool, tri_cold_pool;

enum { MEMBERS = 3 };
static struct tri_task tasks[MEMBERS];
static struct tri_member *members[MEMBERS];
static TRI_ATOMIC(uint32_t) told[MEMBERS], started;
static struct tr_group *group, *first_group;
static int data[MEMBERS]; /* written by the members */
static int codes[MODEL_THREADS + 1];
static struct tr_finished taken[MODEL_THREADS + 1];

/* ---- what those leave to others ---- */

int tri_task_cancel_raw(struct tri_task *task, uint64_t generation)
{
    model_assert(task >= tasks && task < tasks + MEMBERS && generation == 7);
    tri_fetch_add(&told[task - tasks], 1u, TRI_RELAXED);
    return 0;
}

/* The member is in the group from here on; a thread of the model ends it. */
int tri_spawn(const struct tri_spawn *spawn)
{
    uint32_t i = tri_fetch_add(&started, 1u, TRI_ACQ_REL);
    members[i] = spawn->member;
    tri_member_start(spawn->member, (struct tr_task){ &tasks[i], 7 }, spawn->member_out);
    return 0;
}

void tri_outcome_fill(struct tr_outcome *out, int result, const struct tri_reason *reason)
{
    (void)reason;
    out->code = result;
    out->kind = result < 0 ? TR_FAILED : TR_RETURNED;
    out->text[0] = '\0';
}

struct tri_cold *tri_cold_here(void)
{
    return NULL;
}

void tri_report_task(const char *why, struct tri_task *task)
{
    (void)why, (void)task;
}

const char *tr_task_name(void)
{
    return "";
}

int tri_link_make(struct tri_link **out, struct tr_cancel_token *token, void *target, uint64_t generation,
                  bool of_group)
{
    (void)out, (void)token, (void)target, (void)generation, (void)of_group;
    return -ENOMEM;
}

void tri_link_drop(struct tri_link *link)
{
    (void)link;
}

void tr_scope_open(struct tr_scope *scope, tr_time deadline)
{
    (void)scope, (void)deadline;
}

bool tr_scope_close(struct tr_scope *scope)
{
    (void)scope;
    return false;
}

tr_time tr_scope_deadline(void)
{
    return TR_FOREVER;
}

void tri_scope_deafen(struct tr_scope *scope)
{
    (void)scope;
}

/* ---- the parts ---- */

static int body(void *argument)
{
    (void)argument;
    return 0;
}

static int spawn_one(tr_time deadline)
{
    return tr_group_spawn(group, NULL, body, NULL, NULL, deadline);
}

static void begin(struct tr_group_options options, int count)
{
    tri_group_pool.slab_objects = 1;
    model_assert(tr_group_open(&group, &options) == 0);
    if (!first_group)
        first_group = group;
    for (int i = 0; i < count; i++)
        model_assert(spawn_one(TR_NOW) == 0);
}

static void setup_one(void)
{
    begin((struct tr_group_options){ 0 }, 1);
}

static void setup_two(void)
{
    begin((struct tr_group_options){ 0 }, 2);
}

static void setup_narrow(void)
{
    begin((struct tr_group_options){ .limit = 1 }, 1);
}

static void setup_strict(void)
{
    begin((struct tr_group_options){ .first_error = true }, 2);
}

static void end_member(int i, int result)
{
    struct tri_cold cold = { 0 };
    data[i] = 1;
    model_assert(tri_member_end(members[i], &cold, result));
    tri_member_leave(members[i]);
}

static void end_first(void)
{
    end_member(0, 3);
}

static void end_second(void)
{
    end_member(1, 4);
}

static void fail_first(void)
{
    end_member(0, -EIO);
}

static void note_taken(int rc)
{
    int me = model_self() + 1;
    codes[me] = rc;
    if (rc == 0)
        model_assert(data[taken[me].outcome.code - 3] == 1);
}

static void take(void)
{
    note_taken(tr_group_next(group, &taken[model_self() + 1], TR_FOREVER));
}

static void take_briefly(void)
{
    note_taken(tr_group_next(group, &taken[model_self() + 1], 1));
}

static void wait_all(void)
{
    model_assert(tr_group_wait(group, TR_FOREVER) == 0);
    model_assert(data[0] == 1 && data[1] == 1);
}

static void spawn_waiting(void)
{
    codes[model_self() + 1] = spawn_one(TR_FOREVER);
}

static void spawn_briefly(void)
{
    codes[model_self() + 1] = spawn_one(1);
}

static void cancel(void)
{
    tr_group_cancel(group);
}

static void close_it(void)
{
    model_assert(tr_group_close(group, TR_FOREVER) == 0);
    model_assert(data[0] == 1);
}

/* And the next group lies in the same place. */
static void close_and_open(void)
{
    close_it();
    begin((struct tr_group_options){ 0 }, 0);
    struct tr_group_info info;
    tr_group_info(group, &info);
    model_assert(!info.cancelled && info.running == 0 && info.finished == 0);
}

static void cancel_late(void)
{
    tri_group_cancel_raw(first_group, 0);
}

static void detach(void)
{
    model_assert(tr_group_detach(group) == 0);
}

/* ---- what must be true at the end ---- */

static void close_check(void)
{
    struct tr_group_info info;
    tr_group_info(group, &info);
    model_assert(info.running == 0);
    model_assert(tr_group_close(group, TR_FOREVER) == 0);
    model_assert(in_use(&tri_group_pool) == 0 && in_use(&tri_node_pool) == 0);
}

static void next_check(void)
{
    model_assert(codes[2] == 0 && taken[2].outcome.code == 3);
    close_check();
}

static void deadline_check(void)
{
    struct tr_finished left;
    model_assert(codes[2] == 0 || codes[2] == -ETIMEDOUT);
    model_assert(tr_group_try_next(group, &left) == (codes[2] == 0 ? -ESRCH : 0));
    close_check();
}

static void takers_check(void)
{
    model_assert(codes[3] == 0 && codes[4] == 0);
    model_assert(taken[3].outcome.code + taken[4].outcome.code == 7);
    close_check();
}

static void place_check(void)
{
    model_assert(codes[2] == 0 && tri_load(&started, TRI_RELAXED) == 2);
    end_member(1, 4);
    close_check();
}

static void places_check(void)
{
    model_assert((codes[2] == 0 || codes[2] == -ETIMEDOUT) && (codes[3] == 0 || codes[3] == -ETIMEDOUT));
    unsigned spawned = (codes[2] == 0) + (codes[3] == 0);
    model_assert(spawned <= 1 && tri_load(&started, TRI_RELAXED) == 1 + spawned);
    if (spawned == 0)
        model_assert(spawn_one(TR_NOW) == 0);
    model_assert(spawn_one(TR_NOW) == -ETIMEDOUT);
    end_member(1, 4);
    close_check();
}

static void cancel_check(void)
{
    uint32_t count = tri_load(&started, TRI_RELAXED);
    model_assert(codes[2] == 0 || codes[2] == -ECANCELED);
    model_assert(count == 1u + (codes[2] == 0));
    for (uint32_t i = 0; i < count; i++) {
        model_assert(tri_load(&told[i], TRI_RELAXED) == 1);
        end_member((int)i, 3 + (int)i);
    }
    close_check();
}

static void error_check(void)
{
    uint32_t count = tri_load(&started, TRI_RELAXED);
    model_assert(codes[3] == 0 || codes[3] == -ECANCELED);
    model_assert(count == 2u + (codes[3] == 0));
    if (count == 3) {
        model_assert(tri_load(&told[2], TRI_RELAXED) == 1);
        end_member(2, 5);
    }
    struct tr_finished first;
    model_assert(tr_group_failure(group, &first) == 0 && first.outcome.code == -EIO);
    close_check();
}

static void gone_check(void)
{
    model_assert(in_use(&tri_group_pool) == 0 && in_use(&tri_node_pool) == 0);
}

static const struct model_case cases[] = {
    { .name = "next",
      .setup = setup_one,
      .check = next_check,
      .threads = { { "ends", end_first, 0 }, { "takes", take, 0 } } },
    { .name = "deadline",
      .setup = setup_one,
      .check = deadline_check,
      .threads = { { "ends", end_first, 0 }, { "takes", take_briefly, 0 } } },
    { .name = "takers",
      .setup = setup_two,
      .check = takers_check,
      .threads = { { "ends", end_first, 0 },
                   { "ends too", end_second, 0 },
                   { "takes", take, 0 },
                   { "takes too", take, 0 } } },
    { .name = "wait",
      .setup = setup_two,
      .check = close_check,
      .threads = { { "ends", end_first, 0 }, { "ends too", end_second, 0 }, { "waits", wait_all, 0 } } },
    { .name = "place",
      .setup = setup_narrow,
      .check = place_check,
      .threads = { { "ends", end_first, 0 }, { "spawns", spawn_waiting, 0 } } },
    { .name = "places",
      .setup = setup_narrow,
      .check = places_check,
      .threads = { { "ends", end_first, 0 }, { "spawns", spawn_briefly, 0 }, { "spawns too", spawn_briefly, 0 } } },
    { .name = "cancel",
      .setup = setup_one,
      .check = cancel_check,
      .threads = { { "cancels", cancel, 0 }, { "spawns", spawn_waiting, 0 } } },
    { .name = "error",
      .setup = setup_strict,
      .check = error_check,
      .threads = { { "fails", fail_first, 0 }, { "ends", end_second, 0 }, { "spawns", spawn_waiting, 0 } } },
    { .name = "close",
      .setup = setup_one,
      .check = close_check,
      .threads = { { "ends", end_first, 0 }, { "closes", close_and_open, 0 }, { "late", cancel_late, 0 } } },
    { .name = "detach",
      .setup = setup_two,
      .check = gone_check,
      .threads = { { "ends", end_first, 0 }, { "ends too", end_second, 0 }, { "detaches", detach, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
