/* SPDX-License-Identifier: MIT */
/*
 * gate.c: entering, leaving and closing a descriptor that several tasks use.
 *
 * Happens-before edges:
 *   [G1] a user's last use of the descriptor -> release of gate->state as it leaves -> acquire load by the closer that
 *        finds nobody inside -> close and free. (Or by another user who looks whether it has gone.)
 *   [G2] gate->closer -> release of gate->state (CLOSING) -> acquire load by a leaving user -> the wake.
 *   [G3] gate->state (SHUT) is set before shutdown(2): a user whose operation that ended finds the gate shut. The
 *        system call itself orders the two.
 */
#include "io/stream.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Everything above the two flags: whoever is inside. */
#define INSIDE (~(unsigned)(TRI_GATE_SHUT | TRI_GATE_CLOSING))

void tri_gate_init(struct tri_gate *gate, int fd)
{
    tri_store(&gate->state, 0, TRI_RELAXED); /* not shared yet */
    gate->fd = fd;
    gate->closer = NULL;
}

int tri_gate_enter(struct tri_gate *gate, unsigned role)
{
    unsigned state = tri_load(&gate->state, TRI_RELAXED);
    do {
        if (state & TRI_GATE_SHUT)
            return -EPIPE;
        if (role != TRI_GATE_USER && state & role)
            return -EBUSY;
    } while (!tri_cas(&gate->state, &state, state + role, TRI_ACQUIRE, TRI_RELAXED)); /* after the last user [G1] */
    return 0;
}

void tri_gate_leave(struct tri_gate *gate, unsigned role)
{
    unsigned state = tri_load(&gate->state, TRI_ACQUIRE); /* [G2] */
    struct tri_task *closer;
    do {
        /* Read before the state is given up: after that the closer may free the gate. */
        closer = state & TRI_GATE_CLOSING ? gate->closer : NULL;
    } while (!tri_cas(&gate->state, &state, state - role, TRI_ACQ_REL, TRI_ACQUIRE)); /* [G1], [G2] */
    if (closer && !((state - role) & INSIDE))
        tri_wake(closer);
}

bool tri_gate_is_shut(const struct tri_gate *gate)
{
    return tri_load(&gate->state, TRI_RELAXED) & TRI_GATE_SHUT; /* [G3] */
}

void tri_gate_shut(struct tri_gate *gate)
{
    if (tri_fetch_or(&gate->state, TRI_GATE_SHUT, TRI_RELAXED) & TRI_GATE_SHUT)
        return;
    shutdown(gate->fd, SHUT_RDWR); /* -ENOTCONN: the peer was quicker, and the operations have ended by that */
}

bool tri_gate_holds(const struct tri_gate *gate, unsigned role)
{
    return tri_load(&gate->state, TRI_ACQUIRE) & role; /* [G1] */
}

/*
 * shutdown(2) is for those inside only: without them close(2) says goodbye as the socket's options want it, at once by a
 * reset if need be.
 */
void tri_gate_close(struct tri_gate *gate)
{
    gate->closer = tri_self();
    unsigned state = tri_fetch_or(&gate->state, TRI_GATE_SHUT | TRI_GATE_CLOSING, TRI_ACQ_REL); /* [G1], [G2] */
    assert(!(state & TRI_GATE_CLOSING));
    if (state & INSIDE && !(state & TRI_GATE_SHUT))
        shutdown(gate->fd, SHUT_RDWR);
    while (state & INSIDE) {
        tri_park_tail(TRI_WAIT_IO);
        state = tri_load(&gate->state, TRI_ACQUIRE); /* [G1] */
    }
    close(gate->fd);
    tri_budget();
}
