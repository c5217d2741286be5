/* SPDX-License-Identifier: MIT */
/*
 * aarch64.h: the context switch (AAPCS64), inlined where a task suspends; see x86_64.h for the idea. x18 is no
 * platform register on Linux: the compiler uses it like any other, so it dies as well.
 */
#ifndef TRI_ARCH_H
#define TRI_ARCH_H

struct tri_context {
    void *sp, *fp, *pc;
};

static inline __attribute__((always_inline)) void tri_switch(struct tri_context *from, struct tri_context *to)
{
    register struct tri_context *x0 __asm__("x0") = from;
    register struct tri_context *x1 __asm__("x1") = to;
    __asm__ volatile("adr x9, 1f\n\t"
                     "mov x10, sp\n\t"
                     "stp x10, x29, [x0]\n\t"
                     "str x9, [x0, #16]\n\t"
                     "ldr x9, [x1, #16]\n\t"
                     "ldp x10, x29, [x1]\n\t"
                     "mov sp, x10\n\t"
                     "br x9\n"
                     "1:\n\t"
                     "hint #36" /* bti j */
                     : "+r"(x0), "+r"(x1)
                     :
                     : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",
                       "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30", "v0",
                       "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15",
                       "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29",
                       "v30", "v31", "memory", "cc");
}

static inline void tri_context_make(struct tri_context *context, void *top, void *argument, void (*start)(void))
{
    void **sp = top;
    *--sp = 0;
    *--sp = argument;
    context->sp = sp;
    context->fp = 0;
    context->pc = (void *)start;
}

#endif
