/* SPDX-License-Identifier: MIT */
/*
 * clock.h: the real clock, for what has to do with the machine: waits of the kernel, costs, patience. What tasks see is
 * tr_clock, which a runtime can stop (actor/clock.h).
 */
#ifndef TRI_IO_CLOCK_H
#define TRI_IO_CLOCK_H

#include <time.h>
#include <troupe/time.h>

static inline tr_time tri_clock_real(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * TR_SECOND + now.tv_nsec;
}

#endif
