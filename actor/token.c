/* SPDX-License-Identifier: MIT */
/*
 * token.c: the tree of cancellation tokens.
 *
 *            server                 children: a list; each child knows its parent
 *           /      \                links:    tasks and groups that the token cancels
 *     session      session          line:     cases of those who wait for it
 *     /  |  \         |
 *   task task group  task
 *
 * All tokens of a tree share one lock (of a few for the whole process), held for a handful of steps at a time. A cancel takes the
 * tree apart: it pops whatever hangs on a token, one after another, and lets the lock go between batches to wake and cancel. A
 * token that is cancelled leaves its parent's list first, so that its own links of that list are free for the list of what is
 * still to be done: no recursion, no memory, one step for each thing.
 *
 *   [K1] cancelled release (cancel) -> acquire (is_cancelled, attempt): what the canceller did before.
 *   All else is under the lock. The count of references orders nothing: who uses a token takes its lock, or makes an acquiring look,
 *   before giving a reference back; and the last goes under the lock, so after all of them. Nor can anybody find a count at zero
 *   through the tree: there, too, it only becomes zero under the lock.
 */
#include "actor/token.h"
#include "actor/scheduler.h"
#include "mailbox/wait.h"

#include <assert.h>
#include <errno.h>

#define LOCKS 64u
#ifndef BATCH
#define BATCH 16u
#endif

struct tr_cancel_token {
    TRI_ATOMIC(uint32_t) refs;
    TRI_ATOMIC(uint32_t) cancelled;
    struct tri_lock *lock;
    struct tr_cancel_token *parent; /* NULL: a root, or cancelled */
    struct tr_cancel_token *next,
        *previous; /* in the parent's children; `next`: of those that a cancel has still to do, and free */
    struct tr_cancel_token *children;
    struct tri_link *links;
    struct tri_line line;
};
_Static_assert(sizeof(struct tr_cancel_token) == 64, "as troupe/token.h says");
_Static_assert(sizeof(struct tri_link) <= 64, "tri_node_pool");

struct tri_pool tri_token_pool = {
    .name = "token",
    .object_bytes = sizeof(struct tr_cancel_token),
    .link_offset = offsetof(struct tr_cancel_token, next),
    .slab_objects = 512,
};

static struct {
    _Alignas(64) struct tri_lock lock;
} locks[LOCKS];

/* ---- the tree; all under its lock ----------------------------------------------------------------------------- */

static void attach(struct tr_cancel_token *token, struct tr_cancel_token *parent)
{
    token->parent = parent;
    token->previous = NULL;
    token->next = parent ? parent->children : NULL;
    if (token->next)
        token->next->previous = token;
    if (parent)
        parent->children = token;
}

static void detach(struct tr_cancel_token *token)
{
    if (!token->parent)
        return;
    if (token->previous)
        token->previous->next = token->next;
    else
        token->parent->children = token->next;
    if (token->next)
        token->next->previous = token->previous;
    token->parent = NULL;
}

static void link_in(struct tri_link *link, struct tri_link **head)
{
    link->next = *head;
    link->place = head;
    if (link->next)
        link->next->place = &link->next;
    *head = link;
}

/* Also of one that has been taken out. */
static void link_out(struct tri_link *link)
{
    if (!link->place)
        return;
    *link->place = link->next;
    if (link->next)
        link->next->place = link->place;
    link->place = NULL;
}

/* ---- counting ------------------------------------------------------------------------------------------------- */

static void take_ref(struct tr_cancel_token *token)
{
    tri_fetch_add(&token->refs, 1u, TRI_RELAXED);
}

/* Under the lock. True: that was the last, and the token, out of the tree, is the caller's to free. */
static bool drop_ref(struct tr_cancel_token *token)
{
    if (tri_fetch_sub(&token->refs, 1u, TRI_RELAXED) != 1)
        return false;
    assert(!token->children && !token->links && tri_line_is_empty(&token->line));
    detach(token);
    return true;
}

static void free_token(struct tr_cancel_token *token)
{
    tri_pool_give_shared(&tri_token_pool, token);
}

/* Leaves up to BATCH children to the grandparent. Returns true when none is left. */
static bool give_children_up(struct tr_cancel_token *token)
{
    struct tr_cancel_token *child;
    for (unsigned i = 0; (child = token->children); i++) {
        if (i == BATCH)
            return false;
        detach(child);
        attach(child, token->parent);
    }
    return true;
}

/* Perhaps the last reference: which we keep while the children are being moved, for a cancel may come by meanwhile. */
static __attribute__((noinline)) void unref_slow(struct tr_cancel_token *token)
{
    struct tri_lock *lock = token->lock;
    bool last = false;
    for (bool moved = false; !moved;) {
        tri_lock(lock);
        moved = tri_load(&token->refs, TRI_RELAXED) > 1 || give_children_up(token);
        if (moved)
            last = drop_ref(token);
        tri_unlock(lock);
    }
    if (last)
        free_token(token);
}

struct tr_cancel_token *tr_cancel_token_ref(struct tr_cancel_token *token)
{
    take_ref(token);
    return token;
}

void tr_cancel_token_unref(struct tr_cancel_token *token)
{
    if (!token)
        return;
    uint32_t refs = tri_load(&token->refs, TRI_RELAXED);
    while (refs > 1)
        if (tri_cas(&token->refs, &refs, refs - 1, TRI_RELAXED, TRI_RELAXED))
            return;
    unref_slow(token);
}

int tr_cancel_token_create(struct tr_cancel_token **out, struct tr_cancel_token *parent)
{
    static TRI_ATOMIC(uint32_t) roots;
    struct tr_cancel_token *token = tri_pool_take_shared(&tri_token_pool);
    if (!token)
        return -ENOMEM;
    tri_store(&token->refs, 1u, TRI_RELAXED);
    tri_store(&token->cancelled, 0u, TRI_RELAXED);
    token->lock = parent ? parent->lock : &locks[tri_fetch_add(&roots, 1u, TRI_RELAXED) % LOCKS].lock;
    token->children = NULL;
    token->links = NULL;
    token->line = (struct tri_line){ NULL };
    token->parent = NULL;
    if (parent) {
        tri_lock(token->lock);
        if (tri_load(&parent->cancelled, TRI_RELAXED))
            tri_store(&token->cancelled, 1u, TRI_RELAXED); /* ours alone: the lock has passed [K1] on to us */
        else
            attach(token, parent);
        tri_unlock(token->lock);
    }
    *out = token;
    return 0;
}

/* ---- cancelling ----------------------------------------------------------------------------------------------- */

/* What is to be done outside the lock, a batch at a time. */
struct batch {
    unsigned count, freed_count;
    struct tri_link links[BATCH]; /* copies */
    struct tr_cancel_token *freed[BATCH];
    struct tri_wakes wakes;
};

static void carry_out(struct batch *batch)
{
    tri_wakes_make(&batch->wakes);
    for (unsigned i = 0; i < batch->count; i++) {
        struct tri_link *link = &batch->links[i];
        if (link->group)
            tri_group_cancel_raw(link->target, link->generation);
        else
            tri_task_cancel_raw(link->target, link->generation);
    }
    for (unsigned i = 0; i < batch->freed_count; i++)
        free_token(batch->freed[i]);
    batch->count = batch->freed_count = 0;
}

/* The token becomes cancelled, and the next whose belongings are to be dealt with. */
static struct tr_cancel_token *mark(struct tr_cancel_token *token, struct tr_cancel_token *rest)
{
    detach(token);
    tri_store(&token->cancelled, 1u, TRI_RELEASE); /* [K1] */
    take_ref(token);
    token->next = rest;
    return token;
}

/* One step of the work: a child, a link, a waiter, or the end of a token. Returns what is left to be done. */
static struct tr_cancel_token *step(struct tr_cancel_token *work, struct batch *batch)
{
    struct tr_cancel_token *token = work;
    struct tr_case *waiter;
    if (token->children)
        return mark(token->children, work);
    if (token->links) {
        batch->links[batch->count++] = *token->links;
        link_out(token->links);
    } else if ((waiter = tri_line_claim(&token->line))) {
        tri_wakes_add(&batch->wakes, tri_finish(waiter, 0));
    } else {
        work = token->next;
        if (drop_ref(token))
            batch->freed[batch->freed_count++] = token;
    }
    return work;
}

void tr_cancel_token_cancel(struct tr_cancel_token *token)
{
    struct batch batch;
    struct tri_lock *lock = token->lock;
    batch.count = batch.freed_count = batch.wakes.count = 0;
    tri_lock(lock);
    struct tr_cancel_token *work = tri_load(&token->cancelled, TRI_RELAXED) ? NULL : mark(token, NULL);
    for (unsigned steps = 1; work; steps++) {
        work = step(work, &batch);
        if (steps % BATCH == 0) {
            tri_unlock(lock);
            carry_out(&batch);
            tri_lock(lock);
        }
    }
    tri_unlock(lock);
    carry_out(&batch);
}

bool tr_cancel_token_is_cancelled(const struct tr_cancel_token *token)
{
    return tri_load(&((struct tr_cancel_token *)(uintptr_t)token)->cancelled, TRI_ACQUIRE); /* [K1] */
}

void tr_cancel_token_guard(struct tr_cancel_token **token)
{
    if (*token)
        tr_cancel_token_cancel(*token);
    tr_cancel_token_unref(*token);
    *token = NULL;
}

/* ---- links ---------------------------------------------------------------------------------------------------- */

int tri_link_make(struct tri_link **out, struct tr_cancel_token *token, void *target, uint64_t generation, bool group)
{
    struct tri_link *link = tri_pool_take(&tri_node_pool, tri_node_cache(tri_worker_here()));
    if (!link)
        return -ENOMEM;
    *link = (struct tri_link){ .token = token, .target = target, .generation = generation, .group = group };
    tri_lock(token->lock);
    bool cancelled = tri_load(&token->cancelled, TRI_RELAXED);
    if (!cancelled) {
        take_ref(token);
        link_in(link, &token->links);
    }
    tri_unlock(token->lock);
    if (cancelled)
        tri_pool_give(&tri_node_pool, tri_node_cache(tri_worker_here()), link);
    else
        *out = link;
    return cancelled ? -ECANCELED : 0;
}

void tri_link_drop(struct tri_link *link)
{
    struct tr_cancel_token *token = link->token;
    tri_lock(token->lock);
    link_out(link);
    tri_unlock(token->lock);
    tri_pool_give(&tri_node_pool, tri_node_cache(tri_worker_here()), link);
    tr_cancel_token_unref(token);
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

static int attempt(struct tr_case *c)
{
    return tr_cancel_token_is_cancelled(c->tri_object) ? 0 : -EAGAIN;
}

static int enter(struct tr_case *c)
{
    struct tr_cancel_token *token = c->tri_object;
    int rc = -EAGAIN;
    tri_lock(token->lock);
    if (!tri_load(&token->cancelled, TRI_RELAXED))
        tri_line_push(&token->line, c);
    else if (tri_claim(c))
        rc = 0;
    tri_unlock(token->lock);
    return rc;
}

static bool leave(struct tr_case *c)
{
    struct tr_cancel_token *token = c->tri_object;
    tri_lock(token->lock);
    bool waited = tri_line_remove(&token->line, c);
    tri_unlock(token->lock);
    return waited;
}

static const struct tri_kind cancelled_kind = { attempt, enter, leave, NULL, TRI_WAIT_SIGNAL };

struct tr_case tr_case_cancelled(struct tr_cancel_token *token)
{
    return (struct tr_case){ .tri_kind = &cancelled_kind, .tri_object = token };
}

int tr_cancel_token_wait(struct tr_cancel_token *token, tr_time deadline)
{
    int rc = tri_checkpoint();
    if (rc < 0)
        return rc;
    struct tr_case c = tr_case_cancelled(token);
    rc = attempt(&c);
    if (rc != -EAGAIN)
        return rc;
    return deadline == TR_NOW ? -ETIMEDOUT : tri_wait(&c, deadline);
}
