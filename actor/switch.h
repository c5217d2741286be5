/* SPDX-License-Identifier: MIT */
/* switch.h: the context switch of this architecture, and where a fresh stack begins. */
#ifndef TRI_SWITCH_H
#define TRI_SWITCH_H

#if defined(__x86_64__)
#include "actor/arch/x86_64.h"
#elif defined(__aarch64__)
#include "actor/arch/aarch64.h"
#else
#error "troupe runs on x86-64 and aarch64"
#endif

struct tri_stack;

/* Where a fresh stack begins (actor/arch); calls tri_loop_entry. Never called from C. */
void tri_stack_start(void) __attribute__((visibility("hidden")));

/* The scheduler loop of a fresh stack. Defined by scheduler.c. */
void tri_loop_entry(struct tri_stack *stack) __attribute__((noreturn, used, visibility("hidden")));

#endif
