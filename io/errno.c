/* SPDX-License-Identifier: MIT */
/*
 * errno.c: where the errno of the calling thread lies, asked anew at each use. See errno in troupe/base.h.
 */
#include <errno.h>

static inline int *of_the_library(void)
{
    return &errno;
}

/* From here on errno is ours. */
#include <troupe/base.h>

/* Not seen through, or callers would again remember what it says. */
__attribute__((noinline)) int *tr_errno_location(void)
{
    int *location = of_the_library();
    __asm__ volatile("" : "+r"(location) : : "memory");
    return location;
}
