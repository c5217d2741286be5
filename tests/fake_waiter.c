/* SPDX-License-Identifier: MIT */
/*
 * fake_waiter.c: tasks as threads (see fake_waiter.h), and the few public functions that io/ needs of actor/.
 *
 * Records are never given back, as in the real thing: a late wake finds memory.
 */
#include "fake_waiter.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <troupe/task.h>
#include <unistd.h>

#define RECORDS 4096

struct tri_task {
    TRI_ATOMIC(bool) token, cancelled;
    TRI_ATOMIC(struct tri_reactor *) reactor; /* NULL while no thread has it */
    TRI_ATOMIC(unsigned) wakers;              /* inside tri_wake */
    unsigned parks;
};

static struct tri_task records[RECORDS];
static TRI_ATOMIC(bool) taken[RECORDS];
static TRI_ATOMIC(unsigned) spurious;
static _Thread_local struct tri_task *self;
static _Thread_local struct tri_reactor *own, *moved;

void fake_begin(enum tr_backend kind)
{
    if (tri_reactor_create(&own, &kind) < 0)
        abort();
    for (unsigned i = 0; i < RECORDS && !self; i++) {
        if (!tri_exchange(&taken[i], true, TRI_ACQ_REL))
            self = &records[i];
    }
    if (!self)
        abort();
    tri_store(&self->token, false, TRI_RELAXED);
    tri_store(&self->cancelled, false, TRI_RELAXED);
    tri_store(&self->reactor, own, TRI_SEQ_CST);
}

void fake_end(void)
{
    tri_store(&self->reactor, NULL, TRI_SEQ_CST);
    while (tri_load(&self->wakers, TRI_SEQ_CST) > 0)
        usleep(10);
    tri_reactor_destroy(own);
    tri_store(&taken[self - records], false, TRI_RELEASE);
    own = NULL;
    self = NULL;
}

void fake_cancel(struct tri_task *task, bool cancelled)
{
    tri_store(&task->cancelled, cancelled, TRI_SEQ_CST);
    tri_wake(task);
}

void fake_spurious(unsigned every)
{
    tri_store(&spurious, every, TRI_RELAXED);
}

void fake_move(struct tri_reactor *reactor)
{
    moved = reactor;
}

struct tri_reactor *tri_reactor_here(void)
{
    return moved ? moved : own;
}

struct tri_task *tri_self(void)
{
    return self;
}

struct tri_seat *tri_home(void)
{
    return NULL;
}

bool tri_in_task(void)
{
    return self != NULL;
}

static int look(tr_time deadline)
{
    unsigned every = tri_load(&spurious, TRI_RELAXED);
    if (tri_exchange(&self->token, false, TRI_ACQ_REL) || (every && ++self->parks % every == 0))
        return 1;
    if (deadline != TR_FOREVER && tr_clock() >= deadline)
        return -ETIMEDOUT;
    tri_reactor_poll(own, deadline);
    return 0;
}

bool tri_is_late(tr_time deadline)
{
    return deadline <= tr_clock();
}

int tri_park(tr_time deadline, enum tri_wait on)
{
    (void)on;
    for (;;) {
        if (tri_load(&self->cancelled, TRI_SEQ_CST))
            return -ECANCELED;
        int rc = look(deadline);
        if (rc != 0)
            return rc > 0 ? 0 : rc;
    }
}

void tri_park_tail(enum tri_wait on)
{
    (void)on;
    while (look(TR_FOREVER) == 0)
        ;
}

void tri_wake(struct tri_task *task)
{
    tri_fetch_add(&task->wakers, 1, TRI_SEQ_CST);
    tri_store(&task->token, true, TRI_SEQ_CST);
    struct tri_reactor *reactor = task == self ? NULL : tri_load(&task->reactor, TRI_SEQ_CST);
    if (reactor)
        tri_reactor_wake(reactor);
    tri_fetch_sub(&task->wakers, 1, TRI_SEQ_CST);
}

void tri_wake_many(struct tri_task *const *tasks, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        tri_wake(tasks[i]);
}

int tri_budget(void)
{
    return 0;
}

void tri_outside_begin(void)
{
}

void tri_outside_end(void)
{
}

int tri_cancel_check(void)
{
    return self && tri_load(&self->cancelled, TRI_SEQ_CST) ? -ECANCELED : 0; /* NULL: in no task */
}

int tri_checkpoint(void)
{
    return tri_cancel_check();
}

uint32_t tri_choice(uint32_t count)
{
    return (uint32_t)rand() % count;
}

/* ---- What actor/ defines of the public interface ---- */

tr_time tr_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (tr_time)now.tv_sec * TR_SECOND + now.tv_nsec;
}

tr_time tr_after(int64_t nanoseconds)
{
    if (nanoseconds < 0)
        return TR_NOW;
    tr_time now = tr_clock();
    return nanoseconds > TR_FOREVER - now ? TR_FOREVER : now + nanoseconds;
}

tr_time tr_scope_deadline(void)
{
    return TR_FOREVER;
}

int tr_sleep(int64_t nanoseconds)
{
    tr_time until = tr_after(nanoseconds);
    int rc;
    do
        rc = tri_park(until, TRI_WAIT_SLEEP);
    while (rc == 0);
    return rc == -ETIMEDOUT ? 0 : rc;
}

static void (*log_sink)(enum tr_log_level level, const char *line, void *context);
static void *log_context;
static enum tr_log_level log_most = TR_LOG_WARNING;

void tr_log_set(void (*sink)(enum tr_log_level level, const char *line, void *context), void *context,
                enum tr_log_level most)
{
    log_sink = sink;
    log_context = context;
    log_most = most;
}

void tr_log(enum tr_log_level level, const char *format, ...)
{
    if (level > log_most)
        return;
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (log_sink)
        log_sink(level, line, log_context);
    else
        fprintf(stderr, "%s\n", line);
}
