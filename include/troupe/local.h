/* SPDX-License-Identifier: MIT */
/*
 * local.h: values that belong to a task, whatever function it is in and whatever thread it runs on.
 *
 * A key is a static object of the program; its address names it, so that there is nothing to register and no limit.
 *
 *     static const struct tr_local request_id = { .inherit = tr_local_share };
 *
 *     tr_local_set(&request_id, id);
 *     ...
 *     tr_log(TR_LOG_INFO, "request %s: done", (const char *)tr_local_get(&request_id));
 *
 * A task has no values when it begins, unless it was spawned with `inherit_locals`: then it gets, of each key that says how,
 * what the spawning task had. A task keeps its values in a list, the newest first: made for a few, each 64 bytes.
 */
#ifndef TROUPE_LOCAL_H
#define TROUPE_LOCAL_H

#include <troupe/task.h>

TRI_BEGIN_DECLS

struct tr_local {
    /*
     * Called for a value that is replaced, and for those that are left when the task ends, the newest first: in the task,
     * which may suspend in it (a pending cancellation is reported there as anywhere), and whose older values are still there.
     * NULL: nothing is to be done.
     */
    void (*destroy)(void *value);
    /* The value that a task gets which is spawned with inherit_locals; called in the spawning task. NULL result: none. NULL: never inherited. */
    void *(*inherit)(void *value);
};

/* An `inherit` that gives the same pointer, for values that nobody has to destroy. Thread: any. Suspends: no. */
TR_PUBLIC void *tr_local_share(void *value);

/* The calling task's value; NULL if it has none, or outside a task. Thread: any. Suspends: no. */
TR_PUBLIC void *tr_local_get(const struct tr_local *key);

/*
 * Sets the calling task's value, destroying the one it had; NULL removes it. The value belongs to the task from then on.
 * Thread: task. Suspends: no, but for what `destroy` does. Returns 0, -ENOMEM, -EPIPE (the task is ending), -EINVAL (no task).
 */
TR_PUBLIC int tr_local_set(const struct tr_local *key, void *value);

/* Takes the value out, undestroyed; it is the caller's. NULL if there is none. Thread: task. Suspends: no. */
TR_PUBLIC void *tr_local_take(const struct tr_local *key);

/*
 * A value for the time until tr_local_scope_close, which brings back the one that there was. It stays the caller's and is not
 * destroyed. (One that tr_local_set puts there meanwhile is the task's, and destroyed by the closing.) Scopes nest, the inner
 * is closed before the outer; one that is never closed ends with the task.
 * Thread: task. Suspends: no. Returns 0, -ENOMEM, -EPIPE, -EINVAL, as tr_local_set; then there is nothing to close.
 */
struct tr_local_scope {
    void *tri_value;
};
TR_PUBLIC int tr_local_scope_open(struct tr_local_scope *scope, const struct tr_local *key, void *value);
TR_PUBLIC void tr_local_scope_close(struct tr_local_scope *scope);

TRI_END_DECLS
#endif
