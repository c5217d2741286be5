/* SPDX-License-Identifier: MIT */
/*
 * scope.c: deadline scopes and shields: the latest deadline of every call inside them.
 *
 * A scope lies in the frame of the function that opened it. It holds the bound of everything around it, worked out once when
 * it is opened, so that a call looks at the innermost alone. The stack of a task points to it, and no call that does not wait looks
 * there. A shield is a scope that also sets aside the cancellation, and the scopes (not the shields) around it.
 *
 *   innermost --> scope 5 s   bound 2 s, shields 10 s
 *                   |
 *                 scope 2 s   bound 2 s, shields 10 s
 *                   |
 *                 shield 10 s bound 10 s, shields 10 s, shielded (as all above it)
 *                   |
 *                 scope 1 s   bound 1 s, shields for ever: set aside
 *
 * That the bound has passed for some call inside is noted in the scope: the task may go on where a worker, busy for long, has
 * not looked at the clock since before.
 *
 * A foreign thread has a scope pointer of its own: it stays on its stack and on its thread.
 */
#include "actor/blocking.h"
#include "actor/scheduler.h"

static __thread struct tr_scope *foreign_scope __attribute__((tls_model("initial-exec")));

static tr_time tighter(tr_time a, tr_time b)
{
    return a < b ? a : b;
}

/* Where the innermost scope of the caller is noted. */
static struct tr_scope **innermost(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker && worker->current ? &worker->stack->scope : &foreign_scope;
}

tr_time tri_bounded(struct tri_worker *worker, tr_time deadline)
{
    struct tr_scope *scope = worker->stack->scope;
    if (!scope)
        return deadline;
    if (scope->tri_bound <= worker->now)
        scope->tri_over = true;
    return tighter(scope->tri_bound, deadline);
}

tr_time tri_foreign_bounded(tr_time deadline)
{
    return foreign_scope ? tighter(foreign_scope->tri_bound, deadline) : deadline;
}

void tri_foreign_scope_drop(void)
{
    foreign_scope = NULL;
}

tr_time tr_scope_deadline(void)
{
    struct tr_scope *scope = *innermost();
    return scope ? scope->tri_bound : TR_FOREVER;
}

void tr_scope_open(struct tr_scope *scope, tr_time deadline)
{
    struct tr_scope **place = innermost();
    struct tr_scope *above = *place;
    scope->tri_above = above;
    scope->tri_bound = above ? tighter(above->tri_bound, deadline) : deadline;
    scope->tri_shield_bound = above ? above->tri_shield_bound : TR_FOREVER;
    scope->tri_shielded = above && above->tri_shielded;
    scope->tri_over = false;
    *place = scope;
}

bool tr_scope_close(struct tr_scope *scope)
{
    struct tri_worker *worker = tri_worker_here();
    struct tr_scope **place = innermost(), *above = scope->tri_above;
    bool over = scope->tri_over || scope->tri_bound <= (worker && worker->current ? worker->now : tr_clock());
    if (*place != scope)
        return over;
    *place = above;
    if (over && above && above->tri_bound <= scope->tri_bound)
        above->tri_over = true;
    return over;
}

void tr_shield_open(struct tr_shield *shield, tr_time deadline)
{
    struct tr_scope *scope = &shield->tri_scope;
    tr_scope_open(scope, deadline);
    scope->tri_bound = scope->tri_shield_bound = tighter(scope->tri_shield_bound, deadline);
    scope->tri_shielded = true;
}

void tri_scope_deafen(struct tr_scope *scope)
{
    tr_scope_open(scope, TR_FOREVER);
    scope->tri_bound = scope->tri_shield_bound = TR_FOREVER;
    scope->tri_shielded = true;
}

void tr_shield_close(struct tr_shield *shield)
{
    tr_scope_close(&shield->tri_scope);
}
