/* SPDX-License-Identifier: MIT */
/*
 * stream.h: what the sockets' files share: who is using a descriptor, and closing it under them.
 *
 * A gate guards a descriptor. Users enter and leave it; once it is shut nobody enters, and who shuts it for good waits
 * until the last user has left. Those inside are driven out by shutdown(2), which ends their operations on every reactor
 * and needs no message to any of them.
 */
#ifndef TRI_STREAM_H
#define TRI_STREAM_H

#include "mailbox/atomic.h"
#include "mailbox/waiter.h"
#include <troupe/net.h>

struct tri_gate {
    TRI_ATOMIC(unsigned) state;
    int fd;
    struct tri_task *closer; /* written before TRI_GATE_CLOSING is set */
};

enum {
    TRI_GATE_SHUT = 1,    /* nobody enters any more */
    TRI_GATE_CLOSING = 2, /* somebody waits for the last user to leave */
    TRI_GATE_READER = 4,  /* streams: at most one of each */
    TRI_GATE_WRITER = 8,
    TRI_GATE_USER = 16, /* listeners: a count of them, from this bit up */
};

void tri_gate_init(struct tri_gate *gate, int fd);
/* Enters as `role` (READER, WRITER: alone in it; USER: one more). Returns 0, -EPIPE (shut) or -EBUSY. */
int tri_gate_enter(struct tri_gate *gate, unsigned role);
/* The last touch of the gate by this user. */
void tri_gate_leave(struct tri_gate *gate, unsigned role);
bool tri_gate_is_shut(const struct tri_gate *gate);
/* Whether somebody is inside as `role`. If not, the caller sees what the last one wrote before it left. */
bool tri_gate_holds(const struct tri_gate *gate, unsigned role);
/* Lets nobody in, and ends the operations of those inside. */
void tri_gate_shut(struct tri_gate *gate);
/* Shuts it, waits until everybody has left, closes the descriptor. Uncancellable and short. */
void tri_gate_close(struct tri_gate *gate);

/* As tr_stream_open, but nothing is checked; on failure the descriptor stays the caller's. */
int tri_stream_make(struct tr_stream **out, int fd);
/* The two halves of it, for accept, which takes no connection that it has no memory for. */
struct tr_stream *tri_stream_alloc(void);
void tri_stream_attach(struct tr_stream *stream, int fd);
void tri_stream_free(struct tr_stream *stream);

/* A case of tr_select: the descriptor is ready for `role`: WRITER to take bytes, else to give some. */
struct tr_case tri_case_ready(struct tri_gate *gate, unsigned role);

/* Streams open in this process. Thread: any. */
uint64_t tri_stream_count(void);

#endif
