/* SPDX-License-Identifier: MIT */
/* worker.c: the thread of a worker: its reactor, its caches, and how it takes them down again. */
#include "actor/after.h"
#include "actor/deadline.h"
#include "actor/fault.h"
#include "actor/idle.h"
#include "actor/runtime.h"
#include "mailbox/bias.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

__thread struct tri_worker *tri_worker_tls;

#ifndef __x86_64__
__attribute__((noinline)) struct tri_worker *tri_worker_here(void)
{
    __asm__ volatile("" ::: "memory");
    return tri_worker_tls;
}
#endif

struct tri_reactor *tri_reactor_here(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker ? worker->reactor : NULL;
}

/* Tells the thread in tr_start that it may look at how it went. */
static void answer_start(struct tr_runtime *runtime)
{
    uint64_t one = 1;
    tri_fetch_add(&runtime->started, 1u, TRI_RELEASE);
    if (write(runtime->wake_fd, &one, sizeof one) < 0)
        return; /* the counter is full: it is readable anyway */
}

/* Those that could not be started are counted by the starter, after `failed`. */
static void await_all(struct tr_runtime *runtime)
{
    while (tri_load(&runtime->started, TRI_ACQUIRE) < runtime->workers)
        usleep(100);
}

void tri_worker_flush(struct tri_worker *worker)
{
    tri_stack_flush(&worker->stacks);
    tri_deadline_flush(worker);
    tri_pool_spill(&tri_task_pool, &worker->tasks, 0);
    tri_pool_spill(&tri_cold_pool, &worker->colds, 0);
    tri_pool_spill(&tri_node_pool, &worker->nodes, 0);
    tri_pool_spill(&tri_slot_pool, &worker->slots, 0);
    tri_pool_spill(&tri_alarm_pool, &worker->alarms, 0);
    tri_pool_spill(&tri_post_pool, &worker->posts_free, 0);
    tri_storage_flush(&worker->storages);
}

int tri_worker_open(struct tri_worker *worker)
{
    struct tr_runtime *runtime = worker->runtime;
    worker->errno_at = &errno;
    tri_worker_own_stack(&worker->os_stack);
    tri_clock_renew(worker);
    worker->random = (uint64_t)worker->real ^ (uint64_t)worker->index << 48;
    worker->next_alarm = TR_FOREVER;
    tri_wheel_init(&worker->wheel, worker->now);
    enum tr_backend backend = runtime->backend;
    int rc = tri_reactor_create(&worker->reactor, &backend);
    if (rc == 0 && worker->index == 0)
        runtime->backend_used = backend;
    return rc;
}

void tri_worker_close(struct tri_worker *worker)
{
    while (tri_load(&worker->runtime->visitors, TRI_ACQUIRE) >
           0) /* [S5] of idle.h: somebody is in a wake of our reactor */
        usleep(50);
    tri_reactor_destroy(worker->reactor);
}

/* The loop's first stack, while the start can still fail for want of it: tasks would wait for a worker that never comes. */
static int reserve_stack(struct tri_worker *worker)
{
    struct tri_stack *stack = tri_stack_take_slow(worker->stack_class);
    if (stack)
        tri_stack_give(worker->no_caches ? NULL : &worker->stacks, worker->stack_class, stack);
    else
        tr_log(TR_LOG_ERROR, "worker %u: no memory for its first stack", worker->index);
    return stack ? 0 : -ENOMEM;
}

/*
 * One worker after the other, so that what fails for all of them is said once. Under a lock of ours, which models know. *opened: it
 * has a reactor.
 */
static int open_in_turn(struct tri_worker *worker, bool *opened)
{
    static struct tri_lock turn;
    struct tr_runtime *runtime = worker->runtime;
    tri_lock(&turn);
    int rc = -(int)tri_load(&runtime->failed, TRI_RELAXED);
    *opened = rc == 0 && (rc = tri_worker_open(worker)) == 0;
    if (*opened)
        rc = reserve_stack(worker);
    if (rc < 0)
        tri_store(&runtime->failed, (uint32_t)-rc, TRI_RELAXED);
    tri_unlock(&turn);
    return rc;
}

void *tri_worker_main(void *argument)
{
    struct tri_worker *worker = argument;
    struct tr_runtime *runtime = worker->runtime;
    char name[16];
    snprintf(name, sizeof name, "troupe-%u", worker->index);
    prctl(PR_SET_NAME, name);
    void *alternate = tri_fault_enter();
    struct tri_seat *seat = tri_seat_enter();
    worker->home = worker->alone ? seat : NULL;
    bool opened;
    int rc = open_in_turn(worker, &opened);
    answer_start(runtime);
    await_all(runtime); /* nobody runs a task that could wake a worker without a reactor */
    if (rc == 0 && tri_load(&runtime->failed, TRI_RELAXED) == 0)
        tri_worker_loop(worker);
    tri_worker_flush(worker);
    worker->home = NULL;
    tri_seat_leave();
    /* Others may still be in a wake of our reactor: it goes when all have left their loops. */
    tri_fetch_add(&runtime->left, 1u, TRI_RELEASE);
    while (tri_load(&runtime->left, TRI_ACQUIRE) < runtime->workers)
        usleep(50);
    if (opened)
        tri_worker_close(worker);
    tri_fault_leave(alternate);
    return NULL;
}
