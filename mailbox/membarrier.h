/* SPDX-License-Identifier: MIT */
/*
 * membarrier.h: the dear half of orders whose other half is tri_fence_compiler: membarrier(2) puts a full fence into every
 * thread of the process. A few microseconds, and an interrupt for each processor that runs one of them.
 */
#ifndef TRI_MEMBARRIER_H
#define TRI_MEMBARRIER_H

#include <linux/membarrier.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Once in the process, before the first. False: this kernel has none, or it is denied. */
static inline bool tri_membarrier_register(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* False: there was no barrier. Not to be expected of a kernel that has registered us, but of a filter put in place later. */
static inline bool tri_membarrier(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

#endif
