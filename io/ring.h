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

#endif
