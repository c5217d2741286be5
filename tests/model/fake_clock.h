/* SPDX-License-Identifier: MIT */
/*
 * fake_clock.h: clock.h, turn.h, sim.h and random.c of actor/ for models: the clock is the real one, which stands still,
 * runtimes have their own threads, and nobody is seeded; with what the machine is asked for at the start. To be included
 * once by a model.
 */
#ifndef FAKE_CLOCK_H
#define FAKE_CLOCK_H

#include "actor/fault.h"
#include "actor/runtime.h"
#include "actor/sim.h"
#include "actor/turn.h"
#include "model.h"

tr_time tri_clock_read(struct tr_runtime *runtime)
{
    (void)runtime;
    return 1;
}

tr_time tr_clock_translate(tr_time when, struct tr_runtime *from, struct tr_runtime *to)
{
    (void)from, (void)to;
    return when;
}

static unsigned fake_visits[MODEL_THREADS + 1]; /* under way; by model_self() + 1 */

struct tr_runtime *tri_visit_begin(struct tri_task *record)
{
    (void)record;
    fake_visits[model_self() + 1]++;
    return NULL;
}

void tri_visit_end(struct tr_runtime *visited)
{
    (void)visited;
    fake_visits[model_self() + 1]--;
}

void tri_sim_meet(struct tri_worker *worker, struct tri_task *task)
{
    (void)worker, (void)task;
}

void tri_clock_renew(struct tri_worker *worker)
{
    worker->now = worker->real = 1;
}

bool tri_clock_idle(struct tri_worker *worker)
{
    (void)worker;
    return false;
}

void tri_clock_unidle(struct tri_worker *worker)
{
    (void)worker;
}

tr_time tri_clock_limit(struct tri_worker *worker, tr_time until)
{
    return until < worker->next_alarm ? until : worker->next_alarm;
}

tr_time tri_clock_to_real(struct tr_runtime *runtime, tr_time when)
{
    (void)runtime;
    return when;
}

void tri_clock_start_paused(struct tri_clock *clock, tr_time at)
{
    (void)clock, (void)at;
}

void tri_clock_finish(struct tr_runtime *runtime)
{
    (void)runtime;
}

void tri_clock_hold_end(struct tr_runtime *runtime)
{
    (void)runtime;
}

void tri_clock_release_end(struct tr_runtime *runtime)
{
    (void)runtime;
}

void tri_clock_hold(struct tr_runtime *runtime)
{
    (void)runtime;
}

void tri_clock_release(struct tr_runtime *runtime)
{
    (void)runtime;
}

bool tri_turn_pass(struct tri_worker *worker)
{
    (void)worker;
    return false;
}

enum tri_idle_result tri_turn_idle(struct tri_worker *worker)
{
    (void)worker;
    return TRI_IDLE_EXIT;
}

int tri_turn_check(struct tr_runtime *runtime)
{
    (void)runtime;
    return -EINVAL;
}

int tri_turn_run(struct tr_runtime *runtime, tr_time deadline)
{
    (void)runtime, (void)deadline;
    return 0;
}

void tri_turn_finish(struct tr_runtime *runtime)
{
    (void)runtime;
}

struct tri_task *tri_sim_take(struct tri_worker *worker)
{
    (void)worker;
    return NULL;
}

uint64_t tri_sim_serial(struct tri_sim *sim, struct tri_task *task, uint64_t generation)
{
    (void)sim, (void)task, (void)generation;
    return 0;
}

void tri_sim_bound(struct tr_runtime *runtime, int64_t span)
{
    (void)runtime, (void)span;
}

void tri_sim_bound_nearer(struct tr_runtime *runtime, int64_t span)
{
    (void)runtime, (void)span;
}

bool tri_sim_step(struct tr_runtime *runtime, tr_time deadline)
{
    (void)runtime, (void)deadline;
    return false;
}

int tri_sim_run(const struct tr_options *options, int (*main)(void *argument), void *argument, uint64_t *digest)
{
    (void)options, (void)main, (void)argument, (void)digest;
    return -EINVAL;
}

void tri_fault_install(void)
{
}

unsigned tri_cpu_count(const char *root, const char *membership)
{
    (void)root, (void)membership;
    return 1;
}

uint32_t tri_choice(uint32_t count)
{
    return model_choose(count);
}

#endif
