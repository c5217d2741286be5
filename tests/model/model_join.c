/* SPDX-License-Identifier: MIT */
/*
 * model_join.c: the life of a record in actor/task.c: its own spawn, end, join, detach and cancel, for tasks without a
 * mailbox. Every thread is a worker with a cache of one record, so that a record that is freed is soon another's.
 *
 *   join       the end x a joiner, before or after it; what the task wrote is seen, and the record is free once
 *   deadline   the same with a joiner that gives up, and may come again
 *   detach     the end x a detacher
 *   twice      two joiners, of whom one waits, x the end
 *   both       a joiner x a detacher x the end
 *   respawn    two late joiners of an ended task, of whom the first lets another in: the stranger can be joined by its own
 *   detach, respawn    a late detacher instead
 *   reap       the runtime's last walk x a late joiner, or x the end
 *   cancel     a canceller x the end and a new tenant, who is left alone
 *   case       a select with the end as its only case x the end
 *   case, deadline     the same with a select that gives up: the result is taken by it, or there for a joiner
 *   case, loses        a select of two ends x both: one is taken, the other is there for a joiner
 *   case, rival        a select x a joiner x the end: one of them has the result, or both were told why not
 *   all        both ends are awaited at once, to the last or to the first that succeeds
 *   held       a joiner who is held x another joiner, a detacher, the last walk, a respawn, a runtime that is being stopped,
 *              a thief who takes the task away first
 */
#include <stdatomic.h>
#include <string.h>

#include "fake_joiners.h"
#include "fake_clock.h"
#include "fake_cold.h"
#include "actor/join.c"
#include "actor/policy.c"
#include "actor/task.c"
#include "mailbox/dead_letter.c"
#include "mailbox/mailbox.c"
#include "mailbox/policy.c"
#include "mailbox/pool.c"
#include "mailbox/storage.c"
#define claim claim_slot
#include "mailbox/reply.c"
#define attempt_all attempt_cases
#include "mailbox/wait.c"

static struct tr_runtime runtime;
static struct tr_task handle, next_handle;
static int written[2]; /* by the tasks, before their ends */
static int results[MODEL_THREADS + 1], codes[MODEL_THREADS + 1];

/* ---- the parts ---- */

void tri_owe_hand(struct tri_task *task)
{
    (void)task;
}

static int body(void *argument)
{
    (void)argument;
    written[0] = 1;
    return 7;
}

static void spawn_into(struct tr_task *out)
{
    struct tri_spawn spawn = { .body = body, .runtime = &runtime, .handle = out };
    model_assert(tri_spawn(&spawn) == 0);
    for (int i = 0; i <= MODEL_THREADS; i++) /* it runs by another hand: the queues are not modelled */
        if (tri_load(&workers[i].lifo, TRI_RELAXED))
            tri_store(&workers[i].lifo, NULL, TRI_RELAXED);
}

static void setup(void)
{
    tri_task_pool.slab_objects = 1;
    for (int i = 0; i <= MODEL_THREADS; i++) {
        workers[i].runtime = &runtime;
        workers[i].alone = true;
    }
    spawn_into(&handle);
}

/* The task runs and ends on this worker. */
static void run_to_end(struct tr_task of, int result)
{
    written[result - 7] = 1;
    tri_task_end(of.tri_record, result);
}

static void ender(void)
{
    run_to_end(handle, 7);
}

static void ended_setup(void)
{
    setup();
    ender();
}

static int join(struct tr_task of, tr_time deadline)
{
    int me = model_self() + 1;
    codes[me] = tr_task_join(of, &results[me], deadline);
    if (codes[me] == 0)
        model_assert(results[me] >= 7 && written[results[me] - 7] == 1);
    return codes[me];
}

static void joiner(void)
{
    join(handle, TR_FOREVER);
}

static void impatient_joiner(void)
{
    join(handle, 1);
}

static void detacher(void)
{
    codes[model_self() + 1] = tr_task_detach(handle);
}

static void reaper(void)
{
    tri_task_reap(handle.tri_record, handle.tri_generation);
}

/* Joins, and lets the next tenant into the record, if it is free. */
static void joiner_and_next(void)
{
    if (join(handle, TR_FOREVER) != 0)
        return;
    spawn_into(&next_handle);
    run_to_end(next_handle, 8);
}

/* The same, and joins the next tenant, too. */
static void joiner_and_join(void)
{
    if (join(handle, TR_FOREVER) != 0)
        return;
    spawn_into(&next_handle);
    int result = 0;
    run_to_end(next_handle, 8);
    int rc = tr_task_join(next_handle, &result, TR_FOREVER);
    model_assert(rc == -EINVAL ||
                 (rc == 0 && result == 8)); /* -EINVAL: who joins twice may disturb others for a moment */
    if (rc == 0)
        next_handle.tri_record = NULL;
}

/* ---- what must be true at the end ---- */

static unsigned count_free(void)
{
    unsigned found = 0;
    for (int i = 0; i <= MODEL_THREADS; i++)
        found += tri_load(&workers[i].tasks.count, TRI_RELAXED);
    return found + tri_task_pool.free_count;
}

static unsigned count_code(int code)
{
    unsigned count = 0;
    for (int i = 2; i <= MODEL_THREADS; i++)
        count += codes[i] == code;
    return count;
}

static void free_check(void)
{
    model_assert(count_free() == tri_task_pool.total);
    model_assert(tr_task_join(handle, NULL, TR_NOW) == -ESRCH);
}

static void join_check(void)
{
    model_assert(codes[2] == 0 && results[2] == 7);
    free_check();
}

static void deadline_check(void)
{
    int result = 0;
    model_assert(codes[2] == 0 || codes[2] == -ETIMEDOUT);
    if (codes[2] != 0)
        model_assert(tr_task_join(handle, &result, TR_FOREVER) == 0 && result == 7);
    free_check();
}

static void detach_check(void)
{
    model_assert(codes[2] == 0);
    free_check();
}

static void twice_check(void)
{
    model_assert(codes[2] == 0 || codes[3] == 0);
    for (int i = 2; i <= 3; i++)
        model_assert(codes[i] == 0 || codes[i] == -ESRCH || codes[i] == -EINVAL);
    model_assert(codes[2] != codes[3]);
    free_check();
}

/* The first of threads 1 and 2 to join an ended task has it, the other has nothing. */
static void respawn_check(void)
{
    int result = 0;
    model_assert(codes[1] == 0 || codes[2] == 0);
    model_assert(codes[1] != codes[2] && (codes[1] == 0 || codes[1] == -ESRCH) &&
                 (codes[2] == 0 || codes[2] == -ESRCH));
    if (codes[1] == 0 && next_handle.tri_record)
        model_assert(tr_task_join(next_handle, &result, TR_FOREVER) == 0 && result == 8);
    free_check();
}

static void reap_check(void)
{
    model_assert(codes[2] == 0 || codes[2] == -ESRCH);
    free_check();
}

static void reap_end_check(void)
{
    if (count_free() < tri_task_pool.total)
        model_assert(tr_task_join(handle, NULL, TR_NOW) == 0);
    free_check();
}

/* ---- cancel ---- */

static void canceller(void)
{
    codes[model_self() + 1] = tr_task_cancel(handle);
}

static void end_and_next(void)
{
    run_to_end(handle, 7);
    int result = 0;
    model_assert(tr_task_join(handle, &result, TR_FOREVER) == 0 && result == 7);
    spawn_into(&next_handle);
    model_assert(next_handle.tri_record == handle.tri_record);
    model_assert(!tri_task_cancelled(next_handle.tri_record));
}

static void cancel_check(void)
{
    model_assert(codes[2] == 0 || codes[2] == -ESRCH);
    model_assert(!tri_task_cancelled(next_handle.tri_record));
}

/* ---- held ---- */

/* The task lies in the LIFO slot of the first thread's worker, where another is running. */
static void held_setup(void)
{
    setup();
    tri_store(&workers[1].lifo, handle.tri_record, TRI_RELAXED);
    begin_task(&workers[1], 0, &waiters[1]);
}

static void stopping_setup(void)
{
    held_setup();
    tri_store(&runtime.phase, (uint32_t)TRI_PHASE_STOP, TRI_RELAXED);
}

/* If somebody else waits already, the task is run when this one is through. */
static void held_joiner(void)
{
    struct tri_worker *worker = tri_worker_here();
    if (join(handle, TR_FOREVER) == 0)
        return;
    begin_task(worker, model_self(), tri_take_lifo(worker));
    model_assert(worker->current == handle.tri_record && !worker->held);
    ender();
}

static void held_joiner_and_next(void)
{
    held_joiner();
    if (codes[1] != 0)
        return;
    tri_worker_here()->current = NULL;
    spawn_into(&next_handle);
    run_to_end(next_handle, 8);
}

/* One has the result, or it is nobody's because of the detacher. */
static void held_check(void)
{
    int result = 0;
    model_assert((codes[1] == 0) != (codes[2] == 0));
    model_assert(codes[1] == 0 || codes[1] == -ESRCH || codes[1] == -EINVAL);
    model_assert(codes[2] == 0 || codes[2] == -ESRCH || codes[2] == -EINVAL);
    if (next_handle.tri_record)
        model_assert(tr_task_join(next_handle, &result, TR_FOREVER) == 0 && result == 8);
    free_check();
}

static void held_deadline_check(void)
{
    if (codes[2] == -ETIMEDOUT) {
        codes[2] = -EINVAL;
        if (codes[1] != 0) /* in the word for a moment was the one who gave up */
            codes[2] = tr_task_join(handle, NULL, TR_FOREVER);
    }
    held_check();
}

static void held_reap_check(void)
{
    model_assert(codes[1] == 0 && results[1] == 7);
    free_check();
}

static void raided_setup(void)
{
    held_setup();
    workers[1].alone = false;
}

/* A task that is new itself joins one that may be taken away between two of its looks. */
static void new_joiner(void)
{
    made[1] = 1;
    model_assert(join(handle, TR_FOREVER) == 0);
}

/* As raid of actor/idle.c, and runs what it has got. */
static void raider(void)
{
    struct tri_worker *victim = &workers[1];
    struct tri_task *task = NULL;
    tri_store(&victim->raid, 1u, TRI_RELAXED);
    tri_membarrier();
    if (tri_load(&victim->in_lifo, TRI_ACQUIRE) == 0) {
        task = tri_load(&victim->lifo, TRI_RELAXED);
        if (task)
            tri_store(&victim->lifo, NULL, TRI_RELAXED);
    }
    tri_store(&victim->raid, 0u, TRI_RELEASE);
    if (task)
        ender();
}

/* ---- as a case, and many at once ---- */

static int other_result;

static void two_setup(void)
{
    setup();
    spawn_into(&next_handle);
}

static void other_ender(void)
{
    run_to_end(next_handle, 8);
}

static void note_case(int index, const struct tr_case *c)
{
    int me = model_self() + 1;
    codes[me] = index < 0 ? index : c[index].result;
    model_assert(codes[me] != 0 || written[results[me] - 7] == 1);
}

static void select_end(void)
{
    struct tr_case c = tr_case_join(handle, &results[model_self() + 1]);
    note_case(tr_select(&c, 1, TR_FOREVER, TR_SELECT_ORDERED), &c);
}

static void select_briefly(void)
{
    struct tr_case c = tr_case_join(handle, &results[model_self() + 1]);
    note_case(tr_select(&c, 1, 1, TR_SELECT_ORDERED), &c);
}

static void select_either(void)
{
    int *result = &results[model_self() + 1];
    struct tr_case c[] = { tr_case_join(handle, result), tr_case_join(next_handle, result) };
    note_case(tr_select(c, 2, TR_FOREVER, TR_SELECT_ORDERED), c);
}

static void join_both(unsigned flags)
{
    struct tr_gather_task both[2] = { { .task = handle }, { .task = next_handle } };
    int me = model_self() + 1;
    codes[me] = tr_join_all(both, 2, TR_FOREVER, flags);
    for (int i = 0; i < 2; i++) {
        model_assert(both[i].error == 0 || (flags && both[i].error == -ECANCELED));
        if (both[i].error == 0)
            model_assert(both[i].outcome.code == 7 + i && written[i] == 1);
        else
            other_result = 7 + i;
    }
}

static void join_all(void)
{
    join_both(TR_GATHER_ALL);
}

static void join_first(void)
{
    join_both(TR_GATHER_FIRST_SUCCESS);
}

static void either_check(void)
{
    int me = 3, left = 0;
    model_assert(codes[me] == 0 && (results[me] == 7 || results[me] == 8));
    struct tr_task one = results[me] == 7 ? next_handle : handle, gone = results[me] == 7 ? handle : next_handle;
    model_assert(tr_task_join(one, &left, TR_FOREVER) == 0 && left == 15 - results[me]);
    model_assert(tr_task_join(gone, NULL, TR_NOW) == -ESRCH);
    free_check();
}

static void rival_check(void)
{
    for (int i = 2; i <= 3; i++)
        model_assert(codes[i] == 0 || codes[i] == -EINVAL || codes[i] == -ESRCH);
    model_assert(codes[2] != 0 || codes[3] != 0);
    if (codes[2] != 0 && codes[3] != 0)
        model_assert(tr_task_join(handle, NULL, TR_FOREVER) == 0);
    free_check();
}

static void all_check(void)
{
    int result = 0;
    model_assert(codes[3] == 2 - (other_result != 0));
    struct tr_task other = other_result == 7 ? handle : next_handle;
    if (other_result)
        model_assert(tr_task_join(other, &result, TR_FOREVER) == 0 && result == other_result);
    free_check();
}

static const struct model_case cases[] = {
    { .name = "join",
      .setup = setup,
      .check = join_check,
      .threads = { { "worker", ender, 0 }, { "joiner", joiner, 0 } } },
    { .name = "deadline",
      .setup = setup,
      .check = deadline_check,
      .threads = { { "worker", ender, 0 }, { "joiner", impatient_joiner, 0 } } },
    { .name = "detach",
      .setup = setup,
      .check = detach_check,
      .threads = { { "worker", ender, 0 }, { "detacher", detacher, 0 } } },
    { .name = "twice",
      .setup = setup,
      .check = twice_check,
      .threads = { { "worker", ender, 0 }, { "joiner 1", joiner, 0 }, { "joiner 2", joiner, 0 } } },
    { .name = "both",
      .setup = setup,
      .check = twice_check,
      .threads = { { "worker", ender, 0 }, { "joiner", joiner, 0 }, { "detacher", detacher, 0 } } },
    { .name = "respawn",
      .setup = ended_setup,
      .check = respawn_check,
      .threads = { { "joiner 1", joiner_and_next, 0 }, { "joiner 2", joiner, 0 } } },
    { .name = "respawn, joined",
      .setup = ended_setup,
      .check = respawn_check,
      .threads = { { "joiner 1", joiner_and_join, 0 }, { "joiner 2", joiner, 0 } } },
    { .name = "detach, respawn",
      .setup = ended_setup,
      .check = respawn_check,
      .threads = { { "joiner", joiner_and_next, 0 }, { "detacher", detacher, 0 } } },
    { .name = "reap",
      .setup = ended_setup,
      .check = reap_check,
      .threads = { { "reaper", reaper, 0 }, { "joiner", joiner, 0 } } },
    { .name = "reap, end",
      .setup = setup,
      .check = reap_end_check,
      .threads = { { "worker", ender, 0 }, { "reaper", reaper, 0 } } },
    { .name = "cancel",
      .setup = setup,
      .check = cancel_check,
      .threads = { { "worker", end_and_next, 0 }, { "canceller", canceller, 0 } } },
    { .name = "held",
      .setup = held_setup,
      .check = held_check,
      .threads = { { "worker", held_joiner, 0 }, { "joiner", joiner, 0 } } },
    { .name = "held, deadline",
      .setup = held_setup,
      .check = held_deadline_check,
      .threads = { { "worker", held_joiner, 0 }, { "joiner", impatient_joiner, 0 } } },
    { .name = "held, detach",
      .setup = held_setup,
      .check = held_check,
      .threads = { { "worker", held_joiner, 0 }, { "detacher", detacher, 0 } } },
    { .name = "held, reap",
      .setup = held_setup,
      .check = held_reap_check,
      .threads = { { "worker", held_joiner, 0 }, { "reaper", reaper, 0 } } },
    { .name = "held, respawn",
      .setup = held_setup,
      .check = held_check,
      .threads = { { "worker", held_joiner_and_next, 0 }, { "joiner", joiner, 0 } } },
    { .name = "held, raided",
      .setup = raided_setup,
      .check = free_check,
      .threads = { { "worker", new_joiner, 0 }, { "raider", raider, 0 } } },
    { .name = "held, stopping",
      .setup = stopping_setup,
      .check = held_check,
      .threads = { { "worker", held_joiner, 0 }, { "joiner", joiner, 0 } } },
    { .name = "case",
      .setup = setup,
      .check = join_check,
      .threads = { { "worker", ender, 0 }, { "selects", select_end, 0 } } },
    { .name = "case, deadline",
      .setup = setup,
      .check = deadline_check,
      .threads = { { "worker", ender, 0 }, { "selects", select_briefly, 0 } } },
    { .name = "case, loses",
      .setup = two_setup,
      .check = either_check,
      .threads = { { "worker", ender, 0 }, { "worker too", other_ender, 0 }, { "selects", select_either, 0 } } },
    { .name = "case, rival",
      .setup = setup,
      .check = rival_check,
      .threads = { { "worker", ender, 0 }, { "selects", select_end, 0 }, { "joins", joiner, 0 } } },
    { .name = "all",
      .setup = two_setup,
      .check = all_check,
      .threads = { { "worker", ender, 0 }, { "worker too", other_ender, 0 }, { "joins", join_all, 0 } } },
    { .name = "all, to the first",
      .setup = two_setup,
      .check = all_check,
      .threads = { { "worker", ender, 0 }, { "worker too", other_ender, 0 }, { "joins", join_first, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
