/* SPDX-License-Identifier: MIT */
/*
 * fault.h: a stack overflow names its actor before the process dies.
 *
 * The handler for SIGSEGV and SIGBUS runs on an alternate stack, one for each worker. If the address lies in the guard of
 * one of our stacks it says whose, and how large the stack was; then, and for any other fault, it hands over to the
 * handler that was there before.
 */
#ifndef TRI_FAULT_H
#define TRI_FAULT_H

/* Installs the handler, once in a process. */
void tri_fault_install(void);
/*
 * Gives the calling worker's thread an alternate stack, and returns its memory; NULL when there is none for it (faults then go
 * unnamed). Leaving, in the same thread, gives back the one that it had before.
 */
void *tri_fault_enter(void);
void tri_fault_leave(void *memory);

#endif
