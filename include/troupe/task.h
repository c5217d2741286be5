/* SPDX-License-Identifier: MIT */
/*
 * task.h: tasks, the light threads on which everything else runs.
 *
 * A task is a record {function, argument} until it first suspends; only then does it keep a stack. A body that returns
 * without suspending costs neither a stack nor a switch.
 *
 * Inside a task: errno survives a suspension (these headers define it for that), the thread does not. After any call that can
 * suspend, the task may be on another thread, so keep no pointer to thread-local storage, hold no pthread mutex, and do not
 * change the floating-point mode. In C++ suspend in no catch block (the exceptions that are being handled are kept by thread), and let
 * no exception leave a body.
 */
#ifndef TROUPE_TASK_H
#define TROUPE_TASK_H

#include <troupe/time.h>

TRI_BEGIN_DECLS

/* Names one task for ever: a stale handle gives -ESRCH, never a stranger. Copy it freely. All zero names no task. */
struct tr_task {
    void *tri_record;
    uint64_t tri_generation;
};

#define TR_PIN_NONE 0               /* the default: any worker may run it */
#define TR_PIN_HERE (-1)            /* stay on the worker that spawns it */
#define TR_PIN(index) ((index) + 1) /* stay on worker `index`, counted from 0 */

struct tr_cancel_token;

struct tr_task_options {
    const char *name;           /* copied, up to 47 bytes of it; shown in logs and reports. Default: "task" */
    size_t stack_bytes;         /* at least this much stack; default: the runtime's */
    int pin;                    /* TR_PIN_NONE, TR_PIN_HERE or TR_PIN(n) */
    size_t argument_bytes;      /* non-zero: *argument is copied, and the body gets the copy, freed after it returns */
    struct tr_runtime *runtime; /* where to run; default: the runtime of the calling task */
    bool inherit_locals;        /* take on the spawning task's values: see troupe/local.h */
    bool owned; /* cancelled and awaited when the spawning task's body has returned, before its end is seen */
    struct tr_cancel_token *token; /* cancelled with it: see troupe/token.h */
};

/*
 * Starts body(argument) as a task. With `out`, the task must later be joined or detached; with out == NULL it is
 * detached from the start, and a negative result is logged as a failure that nobody joined. *out is written before the
 * body begins.
 * Thread: any (a foreign thread must name options->runtime). Suspends: no.
 * Owns: the argument stays the caller's, or is copied (argument_bytes).
 * Returns 0, -ENOMEM, -EINVAL (no runtime; impossible option; owned outside a task), -ECANCELED (the runtime is shutting down, or the
 * token is cancelled), -EPIPE (owned, by a task that is ending).
 */
TR_PUBLIC int tr_task_spawn(struct tr_task *out, int (*body)(void *argument), void *argument,
                            const struct tr_task_options *options);

/*
 * Waits for the end of `task` and takes its result (NULL: not wanted). A task is joined once; on success the handle is
 * spent. The body has returned, and everything it did is visible.
 * Thread: any. Suspends: yes.
 * Returns 0, -ETIMEDOUT or -ECANCELED (the task goes on and can be joined again), -ESRCH (already joined or detached),
 * -EDEADLK (a task joining itself), -EINVAL (somebody else is joining it), -ENOMEM.
 */
TR_PUBLIC int tr_task_join(struct tr_task task, int *result, tr_time deadline);

/*
 * How a task has ended: it returned 0 or more, it returned -ECANCELED, or it returned another negative code, its failure.
 * The text is what tr_task_fail said of that code; empty if it said nothing.
 */
#define TR_REASON_BYTES 112
enum tr_outcome_kind { TR_RETURNED, TR_CANCELLED, TR_FAILED };
struct tr_outcome {
    enum tr_outcome_kind kind;
    int code; /* what the body returned */
    char text[TR_REASON_BYTES];
};

/*
 * As tr_task_join, with the whole outcome (NULL: not wanted). Thread: any. Suspends: yes. Returns as tr_task_join: 0 says that
 * the task was joined, and the outcome how it had ended.
 */
TR_PUBLIC int tr_task_join_outcome(struct tr_task task, struct tr_outcome *outcome, tr_time deadline);

/*
 * Says why the calling task is about to fail, and returns the code, for `return tr_task_fail(-EIO, "%s: no header", path)`.
 * Of several the last counts, and only if it is this code that the body, or the handler actor, ends with. Whoever joins gets
 * the text (tr_task_join_outcome, groups); if nobody joins, it is in the log line that says so. Up to TR_REASON_BYTES - 1
 * characters are kept, with the task, and freed with it. The first call takes memory; without any, the text is lost, not the code.
 * Thread: any (outside a task it returns the code alone). Suspends: no.
 * Returns the code; -EINVAL for one that is not negative.
 */
TR_PUBLIC int tr_task_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Lets the task end on its own; its result goes to nobody.
 * Thread: any. Suspends: no. Returns 0, -ESRCH (already joined or detached), -EINVAL (somebody is waiting to join it).
 */
TR_PUBLIC int tr_task_detach(struct tr_task task);

/*
 * Whether the task has ended: then a join returns at once. Also true of a handle that is spent or stale. It passes on nothing
 * of what the task did: that a join does. Thread: any. Suspends: no.
 */
TR_PUBLIC bool tr_task_is_over(struct tr_task task);

/*
 * Asks the task to end: from now on each of its suspending calls returns -ECANCELED, until it takes note
 * (tr_cancel_taken) or works inside a shield. Cooperative: nothing is torn down under live frames.
 * A handler actor that is cancelled ends after the message in hand, with result -ECANCELED.
 * Returns 0, or -ESRCH if it has ended. Thread: any. Suspends: no.
 */
TR_PUBLIC int tr_task_cancel(struct tr_task task);

/* The calling task; all zero outside a task. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_task tr_task_self(void);

/* The calling task's name, valid while it runs; "" outside a task. Thread: any. Suspends: no. */
TR_PUBLIC const char *tr_task_name(void);

/* True while a cancellation of the calling task is pending (also inside a shield). Thread: any. Suspends: no. */
TR_PUBLIC bool tr_cancel_pending(void);

/*
 * Takes note of a pending cancellation: suspending calls work again. True if there was one. A handler actor that takes note
 * handles what its mailbox, which the cancellation has closed, still holds, and ends with result 0. The end of the runtime repeats
 * its cancellation every now and then: what is to go on then goes into a shield.
 * Thread: any (outside a task there is none). Suspends: no.
 */
TR_PUBLIC bool tr_cancel_taken(void);

/*
 * A deadline scope: until tr_scope_close, every suspending call of this task (or thread) has `deadline` as its latest
 * deadline, whatever its own says. Scopes nest; the tighter deadline wins.
 *
 *     struct tr_scope scope;
 *     tr_scope_open(&scope, tr_after(2 * TR_SECOND));
 *     rc = look_up(name, &user);                           two seconds for the whole of it,
 *     for (int i = 0; rc == 0 && i < user.friends; i++)    however many calls that takes
 *         rc = notify(user.friend[i]);
 *     if (tr_scope_close(&scope))
 *         ... the time was over ...
 *
 * A scope is closed in the function that opened it, before that returns, the inner before the outer; it costs no alarm of
 * its own. A task that is spawned inside begins without scopes; a group (troupe/group.h) that is opened inside takes the bound on.
 * tr_scope_close returns true if the scope's bound (its own deadline, or a tighter one around it) had passed by then: the
 * task's clock decides, so that it is true whenever a call in the scope has returned -ETIMEDOUT because of it.
 * Thread: any. Suspends: no.
 */
struct tr_scope {
    tr_time tri_bound;        /* of the calls inside */
    tr_time tri_shield_bound; /* of the shields around it alone */
    struct tr_scope *tri_above;
    bool tri_shielded, tri_over;
};
TR_PUBLIC void tr_scope_open(struct tr_scope *scope, tr_time deadline);
TR_PUBLIC bool tr_scope_close(struct tr_scope *scope);

/* The deadline that scopes and shields give to every call at this point; TR_FOREVER: none. Thread: any. Suspends: no. */
TR_PUBLIC tr_time tr_scope_deadline(void);

/*
 * A bounded shield for clean-up: until tr_shield_close, suspending calls ignore a pending cancellation and the deadline
 * scopes that were opened outside the shield (a clean-up that a passed deadline has brought about must itself be able to
 * work), and every one of them has `deadline` as its latest deadline. Shields nest; the tighter deadline wins. Inside a
 * shield scopes can be opened as anywhere.
 *
 *     struct tr_shield shield;
 *     tr_shield_open(&shield, tr_after(TR_SECOND));
 *     ... say goodbye to the peer ...
 *     tr_shield_close(&shield);
 *
 * Thread: any (a foreign thread is never cancelled: there it only bounds). Suspends: no.
 */
struct tr_shield {
    struct tr_scope tri_scope;
};
TR_PUBLIC void tr_shield_open(struct tr_shield *shield, tr_time deadline);
TR_PUBLIC void tr_shield_close(struct tr_shield *shield);

/* Lets every task that is ready now run first. Thread: task. Suspends: yes. Returns 0, -ECANCELED, -EINVAL (no task). */
TR_PUBLIC int tr_yield(void);

TRI_END_DECLS
#endif
