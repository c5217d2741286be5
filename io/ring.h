/* SPDX-License-Identifier: MIT */
/*
 * ring.h: making an io_uring with the best that the kernel has, and ending it.
 */
#ifndef TRI_RING_H
#define TRI_RING_H

#include <liburing.h>

/* Returns 0 and in *names what the ring is like, for the log; or why there is none: -EOPNOTSUPP if the kernel is too old. */
int tri_ring_make(struct io_uring *ring, const char **names);

void tri_ring_end(struct io_uring *ring);

/*
 * Makes an eventfd that the kernel writes to when there is something to reap, and that the caller closes. The ring's own
 * descriptor will not do: what is deferred to the owner's next enter wakes nobody who polls it. The eventfd is written to for
 * that as well, but late when the cause is another eventfd, so a ring that is watched must not poll one. Returns it or -errno.
 */
int tri_ring_event_fd(struct io_uring *ring);

#endif
