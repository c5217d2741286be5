/* SPDX-License-Identifier: MIT */
/*
 * fake_runtime.h: actor/runtime.c, worker.c, idle.c and task.c themselves on threads of a case, for models of a runtime's start
 * and end: faked are the scheduler between idle and end, the reactor and the kernel. To be included once, by the model.
 */
#ifndef FAKE_RUNTIME_H
#define FAKE_RUNTIME_H

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TRI_QUEUE_SLOTS 4u
#define TRI_QUEUE_PATIENCE 2u
#include "fake_worker.h"

#include "fake_cold.h"
#include "fake_jobs.h"
#include "fake_posts.h"

static int create_thread(struct tri_worker *worker);
static int join_thread(pthread_t thread);
static int await_fds(unsigned count);
static ssize_t read_fd(void *to, size_t bytes);

#define usleep(microseconds) tri_spin()
#define ppoll(fds, count, span, mask) ((void)(fds), (void)(span), await_fds(count))
#define read(fd, to, bytes) read_fd(to, bytes)
#define write(fd, from, bytes) ((void)(fd), (ssize_t)(bytes))
#define close(fd) ((void)(fd))
#define eventfd(count, flags) 5
#define signalfd(fd, signals, flags) 6
#define pthread_sigmask(how, signals, before) ((void)(signals), (void)(before))
#define prctl(what, name) ((void)(name))
#define pthread_once(once, first) ((void)(once), (void)(first))
#define pthread_join(thread, result) join_thread(thread)
#define pthread_create(thread, attributes, body, argument) ((void)(body), create_thread(argument))

#include "actor/idle.c"
#include "actor/runtime.c"
#include "actor/run.c"
#include "actor/join.c"
#include "actor/policy.c"
#include "actor/task.c"
#include "actor/worker.c"
#include "fake_clock.h"
#include "mailbox/dead_letter.c"
#include "mailbox/mailbox.c"
#include "mailbox/policy.c"
#include "mailbox/pool.c"
#include "mailbox/storage.c"
#define claim claim_slot
#include "mailbox/reply.c"

#include "fake_seats.h"

struct tri_reactor {
    TRI_ATOMIC(uint32_t) token;
};

static struct tr_runtime here, other;
static struct tri_worker own, *worker_of[MODEL_THREADS + 1]; /* own: of a worker of `other` */
static struct tri_task *task;
static struct tr_task handle;
static TRI_ATOMIC(struct tri_worker *) created[MODEL_THREADS];
static TRI_ATOMIC(uint32_t) begun, gone; /* the runtime is up; worker threads that have ended */
static void (*loop)(struct tri_worker *worker);
static int spawned_rc, run_rc, payload;
static unsigned ran, thread_count, thread_limit; /* of the kernel's; 0: none */
static struct tri_task foreign;                  /* stands for the thread that is no worker */
static struct tri_stack stack;                   /* of every worker */
static bool no_reactor;                          /* for the second worker */
static bool no_time;                             /* a deadline is over when it is set */
static unsigned signals;                         /* that are there */

struct tri_pool tri_alarm_pool = { .object_bytes = 64 };

/* ---- what those leave to others ---- */

struct tri_worker *tri_worker_here(void)
{
    return worker_of[model_self() + 1];
}

struct tri_task *tri_self(void)
{
    return model_self() < 0 ? NULL : &foreign;
}

/* As park_foreign of actor/wait.c. */
int tri_park(tr_time deadline, enum tri_wait on)
{
    (void)on;
    if (deadline < TR_FOREVER - 1) /* it is over */
        return -ETIMEDOUT;
    if (tri_park_commit(&foreign.park))
        while (tri_load(&foreign.park.state, TRI_ACQUIRE) == TRI_PARKED)
            tri_spin();
    return 0;
}

/* As in actor/ready.c. Before the model begins nobody runs. */
void tri_ready(struct tri_task *ready)
{
    struct tri_worker *worker = tri_worker_here();
    struct tr_runtime *of = tri_runtime_at(tri_load(&ready->runtime, TRI_RELAXED));
    if (model_self() < 0)
        return;
    if (worker && worker->runtime == of && tri_pin(ready) == 0)
        tri_ready_next(worker, ready);
    else
        tri_ready_foreign(of, ready);
}

void tri_ready_last(struct tri_worker *worker, struct tri_task *ready)
{
    tri_ready_ring(worker, ready);
}

void tri_ready_ring(struct tri_worker *worker, struct tri_task *ready)
{
    if (!tri_queue_push(&worker->queue, ready))
        tri_overflow(worker, ready);
}

void tri_wake(struct tri_task *whom)
{
    if (tri_park_wake(&whom->park) && whom != &foreign)
        tri_ready(whom);
}

int tri_deadline_arm(struct tri_worker *worker, struct tri_task *whose, tr_time deadline)
{
    (void)worker, (void)whose, (void)deadline;
    return 0;
}

void tri_owe_hand(struct tri_task *task)
{
    (void)task;
}

void tri_deadline_pass(struct tri_worker *worker)
{
    (void)worker;
}

void tri_deadline_flush(struct tri_worker *worker)
{
    (void)worker;
}

void tri_wheel_init(struct tri_wheel *wheel, tr_time now)
{
    (void)wheel, (void)now;
}

void tri_stack_flush(struct tri_stack_cache *cache)
{
    (void)cache;
}

struct tri_stack *tri_stack_take_slow(uint32_t size_class)
{
    static struct tri_stack spare[MODEL_THREADS];
    (void)size_class;
    return &spare[model_self()];
}

void tri_stack_give_slow(struct tri_stack_cache *cache, struct tri_stack *given)
{
    (void)cache, (void)given;
}

void *tri_fault_enter(void)
{
    return NULL;
}

void tri_fault_leave(void *alternate)
{
    (void)alternate;
}

void tri_runtime_report(struct tr_runtime *of)
{
    (void)of;
}

int tr_actor_stop_raw(struct tr_address address)
{
    (void)address;
    return 0;
}

tr_time tr_clock(void)
{
    return 1;
}

tr_time tr_after(int64_t nanoseconds)
{
    (void)nanoseconds;
    return no_time ? 1 : TR_FOREVER;
}

int tri_reactor_create(struct tri_reactor **out, enum tr_backend *backend)
{
    (void)backend;
    if (no_reactor && model_self() == 1)
        return -EMFILE;
    *out = calloc(1, sizeof **out);
    return 0;
}

void tri_reactor_destroy(struct tri_reactor *of)
{
    free(of);
}

void tri_reactor_wake(struct tri_reactor *of)
{
    tri_fetch_or(&of->token, 1u, TRI_ACQ_REL);
}

static bool has_token(const void *of)
{
    const struct tri_reactor *woken = of;
    return model_peek(&woken->token) != 0;
}

unsigned tri_reactor_poll(struct tri_reactor *of, tr_time until)
{
    model_assert(until == TR_FOREVER);
    model_block(has_token, of);
    tri_exchange(&of->token, 0u, TRI_ACQ_REL);
    return 0;
}

static int create_thread(struct tri_worker *worker)
{
    if (thread_limit > 0 && thread_count == thread_limit)
        return EAGAIN;
    tri_store(&created[thread_count++], worker, TRI_RELEASE);
    return 0;
}

/* All at once. */
static int join_thread(pthread_t thread)
{
    (void)thread;
    while (tri_load(&gone, TRI_ACQUIRE) < thread_count)
        tri_spin();
    return 0;
}

/* Two: a signal is one of them. */
static int await_fds(unsigned count)
{
    if (count == 2)
        model_yield();
    else
        tri_spin();
    return 0;
}

static ssize_t read_fd(void *to, size_t bytes)
{
    memset(to, 0, bytes);
    if (bytes == sizeof(struct signalfd_siginfo)) {
        if (signals == 0)
            return -1;
        signals--;
        ((struct signalfd_siginfo *)to)->ssi_signo = SIGTERM;
    }
    return (ssize_t)bytes;
}

/* Runs what there is, and sleeps, until the runtime is over. */
int tri_worker_loop(struct tri_worker *worker)
{
    if (loop) {
        loop(worker);
        return 0;
    }
    do
        for (struct tri_task *next;
             (next = worker->alone ? tri_queue_pop_alone(&worker->queue) : tri_queue_pop(&worker->queue)) ||
             (next = tri_take_shared_work(worker));) {
            int result = next->body(next->argument);
            tri_task_end(next, result);
        }
    while (tri_idle(worker) != TRI_IDLE_EXIT);
    return 0;
}

#endif
