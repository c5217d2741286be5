/* SPDX-License-Identifier: MIT */
/*
 * op.h: one I/O operation: what is asked, of which reactor, and what came of it.
 *
 * The record lies on the stack of the task that waits for it, and so does what it points to. The task does not leave
 * that frame before the operation has ended, whatever happens to its deadline: that is the whole memory rule. (A started
 * write, which nobody need wait for, lies in its stream, which is not freed before: see stream.c.)
 *
 *                    the owner completes it
 *        STARTED ------------------------------> ENDED          the task's again
 *         |
 *         | a task comes to wait (most are started by one who does)
 *         v          the owner completes it, and wakes the task
 *        AWAITED ------------------------------> AWAITED | ENDED
 *         |   ^                                    ^
 *    post |   | the owner takes the request,       | the owner takes the request: nothing to withdraw
 *         v   | and withdraws the operation        |
 *        AWAITED | POSTED ---------------------> AWAITED | POSTED | ENDED
 *                    the owner completes it
 *
 * POSTED: the task, now on another worker, has put the operation on its owner's list of cancel requests. As long as it
 * is set the record is on that list, so the task waits for the end of both.
 */
#ifndef TRI_OP_H
#define TRI_OP_H

#include "io/reactor.h"

#include <errno.h>
#include <sys/socket.h>

enum tri_io_kind {
    TRI_IO_ACCEPT,   /* result: the new descriptor */
    TRI_IO_CONNECT,  /* result: 0 */
    TRI_IO_RECEIVE,  /* result: the count */
    TRI_IO_SEND,     /* result: the count, short at times */
    TRI_IO_SEND_MSG, /* the same, for several pieces */
    TRI_IO_POLL,     /* result: the POLL* events that are true */
};

enum tri_io_state {
    TRI_IO_STARTED = 0,
    TRI_IO_ENDED = 1,
    TRI_IO_POSTED = 2,
    TRI_IO_AWAITED = 4,
};

struct tri_io_op {
    /* What is asked: set by the caller, read by the backend. */
    enum tri_io_kind kind;
    int fd;
    int flags;       /* MSG_* or SOCK_* of the system call of that name */
    bool try_first;  /* a hint: probably it need not wait; a system call of its own will do when the reactor is calm */
    bool wait_first; /* a hint: the socket is probably not ready, do not try at once */
    union {
        struct {
            void *start;
            size_t bytes;
        } buffer;
        const struct msghdr *message;
        struct {
            const struct sockaddr *name;
            socklen_t bytes;
        } address;
        unsigned events;
    };

    /* Asked by the owner when a step has come to an end, with its result: true if another is to follow, as the record says now. */
    bool (*goes_on)(struct tri_io_op *op); /* NULL: there is one step */

    /* Set when it is started. */
    struct tri_task *task; /* of whoever waits; else when it is AWAITED */
    struct tri_reactor *reactor;

    /* The owner's, until it has ended. */
    int result;
    bool withdrawn;         /* by us, though it may have succeeded */
    uint8_t phase;          /* the backend's own */
    uint8_t pending;        /* the backend's own */
    struct tri_io_op *next; /* the backend's own list */

    TRI_ATOMIC(unsigned) state;    /* enum tri_io_state: owner and task */
    struct tri_io_op *cancel_next; /* while POSTED: the list of requests */
};

/*
 * Runs the operation to its end and returns its result: a count, a descriptor or -errno. Returns -ETIMEDOUT at the
 * deadline and -ECANCELED when the task is cancelled, if the operation had no effect; an operation that succeeded after all
 * returns its result. -EINVAL outside a worker. Thread: task. Suspends: yes.
 */
int tri_io_run(struct tri_io_op *op, tr_time deadline);

/*
 * The two halves of tri_io_run: hand it to `reactor` (on its own thread), and wait for its end (anywhere). `task`: who will wait,
 * or NULL: perhaps somebody, who says so by tri_io_await. Until then the operation has time: it is submitted when the worker
 * next enters the kernel for a better reason.
 */
void tri_io_start(struct tri_io_op *op, struct tri_reactor *reactor, struct tri_task *task);
int tri_io_finish(struct tri_io_op *op, tr_time deadline);

/* From now on `task` waits for an operation that was started without one. Once for each. Thread: any. */
void tri_io_await(struct tri_io_op *op, struct tri_task *task);

/* True if nobody waits for it, or not yet. Thread: the owner. */
static inline bool tri_io_has_time(const struct tri_io_op *op)
{
    return !(tri_load(&op->state, TRI_RELAXED) & TRI_IO_AWAITED);
}

/* True once the operation has ended and the record is the task's again; op->result can be read. */
bool tri_io_ended(const struct tri_io_op *op);

/* Asks the owner to withdraw it. At most once for each operation; it ends soon, with whatever result. Thread: task. */
void tri_io_cancel(struct tri_io_op *op);

/* -ETIMEDOUT is the caller's deadline. That the kernel has given a connection up is another thing. */
static inline int tri_io_from_kernel(const struct tri_io_op *op, int result)
{
    return result == -ETIMEDOUT && op->kind != TRI_IO_CONNECT ? -ECONNRESET : result;
}

/* The operation by its system call, without waiting: the result, or -EAGAIN when it would have to wait. Thread: any. */
int tri_io_attempt(struct tri_io_op *op);

#endif
