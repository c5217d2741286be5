/* SPDX-License-Identifier: MIT */
/* turn.c: runtimes that are driven by a program's own loop. The picture is in turn.h. */
#include "actor/turn.h"
#include "actor/deadline.h"
#include "actor/fault.h"
#include "actor/runtime.h"
#include "actor/sim.h"
#include "io/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TURN_PASSES 10  /* of some 100 microseconds each */
#define SIM_PASSES 1000 /* of one switch each */

/* ---- the descriptor ------------------------------------------------------------------------------------------- */

/* Makes the timerfd readable at `when`, on the real clock. */
static void arm(struct tri_turns *turns, tr_time when)
{
    if (when == turns->armed && (when == TR_FOREVER || when > tri_clock_real()))
        return;
    struct itimerspec spec = { 0 };
    if (when != TR_FOREVER) {
        tr_time at = when > 0 ? when : 1; /* 0 would disarm it */
        spec.it_value = (struct timespec){ .tv_sec = at / TR_SECOND, .tv_nsec = at % TR_SECOND };
    }
    timerfd_settime(turns->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    turns->armed = when;
}

static int add(struct tri_turns *turns, int fd)
{
    struct epoll_event event = { .events = EPOLLIN };
    return epoll_ctl(turns->fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void close_descriptors(struct tri_turns *turns)
{
    if (turns->fd >= 0)
        close(turns->fd);
    if (turns->timer_fd >= 0)
        close(turns->timer_fd);
}

static int open_descriptors(struct tri_turns *turns, struct tri_reactor *reactor)
{
    turns->fd = epoll_create1(EPOLL_CLOEXEC);
    turns->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int rc = turns->fd < 0 || turns->timer_fd < 0 ? -errno : tri_reactor_watch(reactor);
    if (rc >= 0)
        rc = add(turns, rc);
    if (rc == 0)
        rc = add(turns, tri_reactor_wake_fd(reactor));
    if (rc == 0)
        rc = add(turns, turns->timer_fd);
    if (rc < 0)
        close_descriptors(turns);
    return rc;
}

/* ---- a turn --------------------------------------------------------------------------------------------------- */

bool tri_turn_pass(struct tri_worker *worker)
{
    if (worker->runtime->sim)
        tri_sim_gather(worker);
    return --worker->runtime->turns->left <= 0;
}

enum tri_idle_result tri_turn_idle(struct tri_worker *worker)
{
    if (worker->runtime->turns->left-- <= 0 || !tri_clock_idle(worker))
        return TRI_IDLE_EXIT;
    tri_clock_unidle(worker);
    tri_clock_renew(worker);
    tri_deadline_pass(worker);
    return TRI_IDLE_LOOK;
}

static bool anything_ready(struct tri_worker *worker)
{
    struct tri_sim *sim = worker->runtime->sim;
    return (sim && sim->count > 0) || tri_load(&worker->lifo, TRI_RELAXED) || worker->pinned_first ||
           tri_queue_length(&worker->queue) > 0 || tri_load(&worker->overflow.count, TRI_RELAXED) > 0 ||
           tri_load(&worker->inbox.count, TRI_RELAXED) > 0 ||
           tri_load(&worker->runtime->injection.count, TRI_RELAXED) > 0;
}

static void wake_up(struct tri_worker *worker)
{
    tri_reactor_rouse(worker->reactor);
    tri_clock_unidle(worker);
    tri_fetch_and(&worker->runtime->idle, ~UINT64_C(1), TRI_RELAXED);
}

/* True: it sleeps, and the descriptor will tell. False: there is more to do, and the descriptor tells that at once. */
static bool fall_asleep(struct tri_worker *worker)
{
    struct tri_turns *turns = worker->runtime->turns;
    tri_fetch_or(&worker->runtime->idle, UINT64_C(1), TRI_RELAXED); /* [S1] of idle.h */
    tri_fence(TRI_SEQ_CST);
    bool asleep = tri_reactor_watch(worker->reactor) >= 0 && turns->left > 0 && !anything_ready(worker) &&
                  tri_reactor_doze(worker->reactor);
    arm(turns, asleep ? tri_clock_limit(worker, TR_FOREVER) : TR_NOW);
    return asleep;
}

/* Waits on the descriptor, until `deadline` on the real clock. */
static void await(struct tri_turns *turns, tr_time deadline)
{
    struct pollfd event = { .fd = turns->fd, .events = POLLIN };
    tr_time now = tri_clock_real();
    if (deadline <= now)
        return;
    tr_time left = deadline - now;
    struct timespec span = { .tv_sec = left / TR_SECOND, .tv_nsec = left % TR_SECOND };
    ppoll(&event, 1, deadline == TR_FOREVER ? NULL : &span,
          NULL); /* a signal may end it: the program will want to look */
}

int tri_turn_run(struct tr_runtime *runtime, tr_time deadline)
{
    struct tri_worker *worker = &runtime->worker[0];
    struct tri_turns *turns = runtime->turns;
    await(turns, deadline);
    wake_up(worker);
    turns->left = runtime->sim ? SIM_PASSES : TURN_PASSES;
    tri_pass(worker);
    int rc = tri_worker_loop(worker);
    bool asleep = fall_asleep(worker);
    return rc < 0 ? rc : !asleep;
}

int tri_turn_check(struct tr_runtime *runtime)
{
    if (tri_forked)
        return -ENOTSUP;
    if (tri_worker_here())
        return -EDEADLK;
    return runtime && runtime->turns && pthread_equal(runtime->turns->owner, pthread_self()) ? 0 : -EINVAL;
}

int tr_turn(struct tr_runtime *runtime, tr_time deadline)
{
    int rc = tri_turn_check(runtime);
    if (rc == 0)
        rc = tri_turn_run(runtime, deadline);
    if (rc >= 0 && tri_load(&runtime->phase, TRI_RELAXED) != TRI_PHASE_RUN)
        return -EPIPE;
    return rc;
}

int tr_turn_fd(struct tr_runtime *runtime)
{
    return runtime && runtime->turns ? runtime->turns->fd : -EINVAL;
}

/* ---- opening and closing -------------------------------------------------------------------------------------- */

/* The alternate signal stack is the thread's, for all the runtimes that it has open. */
static __thread struct {
    void *memory;
    unsigned users;
} alternate;

static void enter_thread(void)
{
    if (alternate.users++ == 0)
        alternate.memory = tri_fault_enter();
}

static void leave_thread(void)
{
    if (--alternate.users == 0)
        tri_fault_leave(alternate.memory);
}

static int open_here(struct tr_runtime *runtime)
{
    struct tri_worker *worker = &runtime->worker[0];
    int rc = tri_worker_open(worker);
    if (rc < 0)
        return rc;
    struct tri_turns *turns = malloc(sizeof *turns);
    if (turns) {
        *turns = (struct tri_turns){ .owner = pthread_self(), .armed = TR_FOREVER, .left = TURN_PASSES };
        rc = open_descriptors(turns, worker->reactor);
    }
    if (!turns || rc < 0) {
        tri_reactor_destroy(worker->reactor);
        free(turns);
        return turns ? rc : -ENOMEM;
    }
    if (runtime->seed && (rc = tri_sim_init(runtime)) < 0) {
        close_descriptors(turns);
        tri_reactor_destroy(worker->reactor);
        free(turns);
        return rc;
    }
    worker->thread = turns->owner;
    worker->turns = true;
    runtime->turns = turns;
    tri_store(&runtime->started, 1u, TRI_RELEASE); /* who visits finds the reactor */
    enter_thread();
    fall_asleep(worker);
    return 0;
}

int tr_open(struct tr_runtime **out, const struct tr_options *options)
{
    struct tr_options own = { 0 };
    if (options)
        own = *options;
    if (own.workers > 1)
        return -EINVAL;
    own.workers = 1;
    if (tri_worker_here())
        return -EDEADLK;
    struct tr_runtime *runtime;
    int rc = tri_runtime_make(&runtime, &own);
    if (rc < 0)
        return rc;
    rc = open_here(runtime);
    if (rc < 0)
        tri_runtime_free(runtime);
    else
        *out = runtime;
    return rc;
}

void tri_turn_finish(struct tr_runtime *runtime)
{
    struct tri_worker *worker = &runtime->worker[0];
    wake_up(worker);
    tri_worker_flush(worker);
    tri_worker_close(worker);
    close_descriptors(runtime->turns);
    if (runtime->digest)
        *runtime->digest = runtime->sim->digest;
    tri_sim_deinit(runtime);
    leave_thread();
    free(runtime->turns);
    runtime->turns = NULL; /* the runtime's memory stays, for those who come late */
}
