/* SPDX-License-Identifier: MIT */
/*
 * backend.h: what a reactor needs from the kernel: io_uring (uring.c) or epoll (epoll.c) behind the same six functions.
 *
 * Everything here is called on the owner's thread. A backend embeds struct tri_reactor as its first member. The
 * wake-up, the cancel requests of other threads and the life of an operation are reactor.c's.
 *
 * A simulated network would be a third one: without a wake_fd to look at, its poll ends operations as its seed says
 * (tri_choice), and tells the clock when the next will end; tri_reactor_busy is what keeps the clock until then.
 */
#ifndef TRI_BACKEND_H
#define TRI_BACKEND_H

#include "io/op.h"

#include <stdalign.h>

struct tri_backend {
    const char *name;
    enum tr_backend kind;
    /* Makes one; wake_fd is an eventfd whose readability must end a wait. `note` gets a few words for the log. */
    int (*create)(struct tri_reactor **out, int wake_fd, char *note, size_t note_bytes);
    void (*destroy)(struct tri_reactor *reactor);
    /* Takes the operation, or its next step. True: that has ended at once, with op->result. */
    bool (*submit)(struct tri_reactor *reactor, struct tri_io_op *op);
    /* Withdraws one that it has and that has not ended; it then ends soon, here or in a later poll. */
    void (*cancel)(struct tri_reactor *reactor, struct tri_io_op *op);
    /* Submits, and returns a descriptor that is readable while a poll would find something, but for wakes. NULL: none. */
    int (*watch)(struct tri_reactor *reactor);
    /* Submits and reaps; waits until an event or `until`, unless something is there already. */
    void (*poll)(struct tri_reactor *reactor, tr_time until);
};

struct tri_reactor {
    /* The owner's. */
    const struct tri_backend *backend;
    int wake_fd;
    unsigned in_flight;          /* operations taken and not ended */
    unsigned unattended;         /* of them, those that nobody need wait for: started writes */
    uint64_t completions;        /* operations ended, ever */
    unsigned batch;              /* by the last poll that ended any */
    bool watched;                /* since the last poll: what makes the descriptor readable must be taken off it */
    TRI_ATOMIC(uint64_t) enters; /* system calls, ever; written by the owner */

    /* Everybody's. */
    alignas(64) TRI_ATOMIC(unsigned) sleep; /* enum tri_sleep of reactor.c */
    TRI_ATOMIC(bool) hurry; /* an operation that had time has none any more: cleared by the next submission */
    TRI_ATOMIC(struct tri_io_op *) cancels; /* requests of other threads */
};

extern const struct tri_backend tri_backend_uring, tri_backend_epoll;

/* The operation has ended: the record is its task's from here on, and the task is woken. Or it goes on with its next step. */
void tri_io_complete(struct tri_reactor *reactor, struct tri_io_op *op, int result);

/* One more system call. */
static inline void tri_reactor_count_enter(struct tri_reactor *reactor)
{
    uint64_t enters = tri_load(&reactor->enters, TRI_RELAXED); /* one writer: no read-modify-write needed */
    tri_store(&reactor->enters, enters + 1, TRI_RELAXED);
}

#endif
