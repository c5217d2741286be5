/* SPDX-License-Identifier: MIT */
/*
 * ticks.h: a clock that costs a few nanoseconds to read: the processor's own counter. What a tick is worth is found out
 * by reading it together with the real clock, at the beginning and at the end of a run.
 */
#ifndef TICKS_H
#define TICKS_H

#include <stdint.h>
#include <troupe.h>

#if defined(__x86_64__)
static inline uint64_t ticks_now(void)
{
    return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
static inline uint64_t ticks_now(void)
{
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}
#else
static inline uint64_t ticks_now(void)
{
    return (uint64_t)tr_clock();
}
#endif

#endif
