/* SPDX-License-Identifier: MIT */
/* ring.c: see ring.h. */
#include "io/ring.h"
#include "mailbox/atomic.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SUBMISSIONS 256u
#define COMPLETIONS 8192u /* more than fit are kept by the kernel, but slowly */

/*
 * A ring's memory can be mapped where that of an earlier one was, by another thread. The kernel orders the two, but
 * ThreadSanitizer does not see it: this word tells it.
 *
 *   [U1] tri_ring_end, before unmapping (release) -> tri_ring_make, after mapping (acquire).
 */
static TRI_ATOMIC(unsigned) rings;

/* Each step leaves out the newest flags of the step before. */
static const struct {
    unsigned flags;
    const char *names;
} steps[] = {
    { IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER |
          IORING_SETUP_DEFER_TASKRUN,
      "single issuer, deferred task work" },
    { IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER,
      "single issuer, cooperative task work; Linux 6.1 would defer it" },
    { IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      "cooperative task work; Linux 6.1 would defer it" },
    { IORING_SETUP_SUBMIT_ALL, "no cooperative task work; Linux 6.1 has it" },
    { 0, "plain ring; Linux 6.1 has better" },
};

/* Multishot poll has no feature bit of its own; resource tags came with the same kernel, 5.13. */
#define FEATURES_NEEDED                                                                                                \
    (IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG |                    \
     IORING_FEAT_RSRC_TAGS)

static int open_ring(struct io_uring *ring, const char **names)
{
    int rc = -EINVAL;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && rc == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = steps[i].flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = COMPLETIONS,
        };
        rc = io_uring_queue_init_params(SUBMISSIONS, ring, &params);
        *names = steps[i].names;
    }
    if (rc < 0)
        return rc;
    if ((ring->features & FEATURES_NEEDED) == FEATURES_NEEDED)
        return 0;
    io_uring_queue_exit(ring);
    return -EOPNOTSUPP;
}

int tri_ring_make(struct io_uring *ring, const char **names)
{
    int rc = open_ring(ring, names);
    if (rc == 0)
        tri_fetch_add(&rings, 1, TRI_ACQ_REL); /* [U1] */
    return rc;
}

void tri_ring_end(struct io_uring *ring)
{
    tri_fetch_sub(&rings, 1, TRI_ACQ_REL); /* [U1] */
    io_uring_queue_exit(ring);
}

int tri_ring_event_fd(struct io_uring *ring)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    int rc = io_uring_register_eventfd(ring, fd);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}
