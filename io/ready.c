/* SPDX-License-Identifier: MIT */
/*
 * ready.c: the readiness of a descriptor as a case of a select.
 *
 * A look costs one poll(2). A select that has to wait starts a poll operation on its worker's reactor, and is inside the
 * descriptor's gate until it is over, so that nobody closes it: whoever does waits for us to leave, and frees the gate then. Only
 * the operation's end is waited for; whether the descriptor is ready is looked at again then, by the task itself. Unlike
 * elsewhere the operation does not lie in the frame of the waiting task, as the case is too small for it, but in a pool.
 */
#include "io/op.h"
#include "io/stream.h"
#include "mailbox/wait.h"

#include <errno.h>
#include <poll.h>

static struct tri_pool op_pool = {
    .name = "poll",
    .object_bytes = (sizeof(struct tri_io_op) + 63) / 64 * 64,
    .link_offset = offsetof(struct tri_io_op, next),
    .slab_objects = 64,
};

static unsigned events_of(const struct tr_case *c)
{
    return c->tri_number == TRI_GATE_WRITER ? POLLOUT : POLLIN;
}

/* Inside the gate. */
static int look_inside(const struct tr_case *c)
{
    const struct tri_gate *gate = c->tri_object;
    struct tri_io_op op = { .kind = TRI_IO_POLL, .fd = gate->fd, .events = events_of(c) };
    int rc = tri_io_attempt(&op);
    return rc < 0 ? rc : 0;
}

/* The same for a select that has waited, and has an operation. */
static int look_again(const struct tr_case *c, const struct tri_io_op *op)
{
    if (tri_io_ended(op) && op->result < 0 && op->result != -ECANCELED && op->result != -EINTR)
        return op->result;
    return tri_gate_is_shut(c->tri_object) ? -EPIPE : look_inside(c);
}

/* tri_value: the operation; NULL: we are not inside. */
static int look(struct tr_case *c)
{
    struct tri_gate *gate = c->tri_object;
    if (c->tri_value)
        return look_again(c, c->tri_value);
    int rc = tri_gate_enter(gate, c->tri_number);
    if (rc < 0)
        return rc;
    rc = look_inside(c);
    tri_gate_leave(gate, c->tri_number);
    return rc;
}

/* What the case comes to without waiting. */
static int settle(struct tr_case *c, int result)
{
    return tri_claim(c) ? result : -EAGAIN;
}

/* Goes inside, with an operation that has not been started. */
static int go_inside(struct tr_case *c)
{
    int rc = tri_gate_enter(c->tri_object, c->tri_number);
    if (rc < 0)
        return rc;
    c->tri_value = tri_pool_take(&op_pool, NULL);
    if (!c->tri_value)
        tri_gate_leave(c->tri_object, c->tri_number);
    return c->tri_value ? 0 : -ENOMEM;
}

static int start_poll(struct tr_case *c)
{
    const struct tri_gate *gate = c->tri_object;
    struct tri_reactor *reactor = tri_reactor_here();
    if (!reactor)
        return settle(c, -EINVAL);
    if (c->tri_value && !tri_io_ended(c->tri_value))
        return -EAGAIN; /* the select has begun anew */
    int rc = c->tri_value ? 0 : go_inside(c);
    if (rc < 0)
        return settle(c, rc);
    struct tri_io_op *op = c->tri_value;
    *op = (struct tri_io_op){ .kind = TRI_IO_POLL, .fd = gate->fd, .events = events_of(c) };
    tri_io_start(op, reactor, tri_self());
    return -EAGAIN;
}

static bool poll_has_ended(struct tr_case *c)
{
    return c->tri_value && tri_io_ended(c->tri_value);
}

static bool end_poll(struct tr_case *c)
{
    struct tri_io_op *op = c->tri_value;
    if (!op)
        return true;
    if (!tri_io_ended(op)) {
        tri_io_cancel(op);
        while (!tri_io_ended(op))
            tri_park_tail(TRI_WAIT_IO);
    }
    tri_pool_give(&op_pool, NULL, op);
    c->tri_value = NULL;
    tri_gate_leave(c->tri_object, c->tri_number);
    return true;
}

static const struct tri_kind ready_kind = { look, start_poll, end_poll, poll_has_ended, TRI_WAIT_IO };

struct tr_case tri_case_ready(struct tri_gate *gate, unsigned role)
{
    return (struct tr_case){ .tri_kind = &ready_kind, .tri_object = gate, .tri_number = role };
}
