/* SPDX-License-Identifier: MIT */
/* switch.h: the two entry points of actor/arch. A context is callee-saved registers on a stack, and its stack pointer. */
#ifndef TRI_SWITCH_H
#define TRI_SWITCH_H

struct tri_stack;

/* Saves the caller's context, its stack pointer to *save, and continues the context at `load`. */
void tri_switch(void **save, void *load);

/* Where a fresh stack begins; calls tri_loop_entry. Never called from C. */
void tri_stack_start(void);

/* The scheduler loop of a fresh stack. Defined by scheduler.c. */
void tri_loop_entry(struct tri_stack *stack) __attribute__((noreturn, used));

#endif
