/* SPDX-License-Identifier: MIT */
/*
 * op.c: an operation as a task sees it: started on the reactor of the worker that it is on, waited for until its end
 * or its deadline, and withdrawn if need be; and the same operation as a plain system call.
 */
#include "io/op.h"

#include <errno.h>
#include <poll.h>

static int attempt_connect(const struct tri_io_op *op)
{
    if (connect(op->fd, op->address.name, op->address.bytes) == 0)
        return 0;
    switch (errno) {
    case EISCONN: /* by an earlier attempt */
        return 0;
    case EINPROGRESS:
    case EALREADY:
    case EINTR: /* it goes on by itself */
        return -EAGAIN;
    default:
        return -errno;
    }
}

static int attempt_poll(const struct tri_io_op *op)
{
    struct pollfd event = { .fd = op->fd, .events = (short)op->events };
    int count;
    do
        count = poll(&event, 1, 0);
    while (count < 0 && errno == EINTR); /* a signal that is pending, though it need not wait */
    return count > 0 ? event.revents : count == 0 ? -EAGAIN : -errno;
}

static ssize_t attempt_once(struct tri_io_op *op)
{
    switch (op->kind) {
    case TRI_IO_ACCEPT:
        return accept4(op->fd, NULL, NULL, op->flags);
    case TRI_IO_RECEIVE:
        return recv(op->fd, op->buffer.start, op->buffer.bytes, op->flags | MSG_DONTWAIT);
    case TRI_IO_SEND:
        return send(op->fd, op->buffer.start, op->buffer.bytes, op->flags | MSG_DONTWAIT);
    case TRI_IO_SEND_MSG:
        return sendmsg(op->fd, op->message, op->flags | MSG_DONTWAIT);
    case TRI_IO_CONNECT:
    case TRI_IO_POLL:
        break;
    }
    errno = EINVAL;
    return -1;
}

int tri_io_attempt(struct tri_io_op *op)
{
    if (op->kind == TRI_IO_CONNECT)
        return attempt_connect(op);
    if (op->kind == TRI_IO_POLL)
        return attempt_poll(op);
    ssize_t result;
    do
        result = attempt_once(op);
    while (result < 0 && errno == EINTR);
    return result < 0 ? tri_io_from_kernel(op, -errno) : (int)result; /* the kernel moves less than 2 GiB at a time */
}

int tri_io_finish(struct tri_io_op *op, tr_time deadline)
{
    while (!tri_io_ended(op)) {
        int rc = tri_park(deadline, TRI_WAIT_IO);
        if (rc == 0 || tri_io_ended(op))
            continue;
        tri_io_cancel(op);
        while (!tri_io_ended(op))
            tri_park_tail(TRI_WAIT_IO);
        if (op->result != -ECANCELED)
            break;
        /* For one connection the kernel wakes one who waits: if it was us, nobody else would come for it. */
        int late = op->kind == TRI_IO_ACCEPT ? tri_io_attempt(op) : -EAGAIN;
        return late >= 0 ? late : rc;
    }
    return tri_io_from_kernel(op, op->result);
}

static int run_once(struct tri_io_op *op, tr_time deadline)
{
    tri_budget();
    int rc = tri_cancel_check();
    if (rc < 0)
        return rc;
    struct tri_reactor *reactor = tri_reactor_here(); /* asked after the last point that can change the worker */
    if (!reactor)
        return -EINVAL;
    if (deadline <= TR_NOW) {
        rc = tri_io_attempt(op);
        return rc == -EAGAIN ? -ETIMEDOUT : rc;
    }
    if (op->try_first && tri_reactor_calm(reactor))
        return tri_io_attempt(op); /* -EAGAIN: to be waited for, not to be tried by other means */
    tri_io_start(op, reactor, tri_self());
    return tri_io_finish(op, deadline);
}

static unsigned readiness_of(const struct tri_io_op *op)
{
    return op->kind == TRI_IO_ACCEPT || op->kind == TRI_IO_RECEIVE ? POLLIN : POLLOUT;
}

int tri_io_run(struct tri_io_op *op, tr_time deadline)
{
    for (;;) {
        int rc = run_once(op, deadline);
        if (rc == -EINTR)
            continue;
        if (rc != -EAGAIN)
            return rc;
        /* The kernel would not wait for this one: a send through a ring, or whatever when short of memory. So we do. */
        struct tri_io_op ready = { .kind = TRI_IO_POLL, .fd = op->fd, .events = readiness_of(op) };
        rc = run_once(&ready, deadline);
        if (rc < 0 && rc != -EINTR)
            return rc;
    }
}
