/* SPDX-License-Identifier: MIT */
/*
 * x86_64.h: the context switch (System V ABI), inlined where a task suspends.
 *
 * The compiler is told that every register dies, so it saves what it needs in the frame it has anyway; only the stack
 * pointer, the frame pointer and the address to go on at are left to us. Nothing is pushed, called or returned: a `call`
 * or `ret` here would put the processor's return predictor out of step with the stacks, and every return above the switch
 * would then be mispredicted (measured: docs/decisions.md). The floating-point modes are not saved: tasks must not change
 * them across a suspension.
 *
 * The unwind information of the enclosing function holds at every instruction but the last two, where the stack pointer is
 * the new stack's already. A debugger walks a suspended task from the three words of its context.
 */
#ifndef TRI_ARCH_H
#define TRI_ARCH_H

struct tri_context {
    void *sp, *fp, *pc;
};

/* A library built for AVX-512 may keep values in the registers that only it has. */
#ifdef __AVX512F__
#define TRI_AVX512_CLOBBERS                                                                                            \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",      \
        "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define TRI_AVX512_CLOBBERS
#endif

static inline __attribute__((always_inline)) void tri_switch(struct tri_context *from, struct tri_context *to)
{
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rax, 16(%%rdi)\n\t"
                     "movq %%rbp, 8(%%rdi)\n\t"
                     "movq %%rsp, (%%rdi)\n\t"
                     "movq 16(%%rsi), %%rax\n\t"
                     "movq 8(%%rsi), %%rbp\n\t"
                     "movq (%%rsi), %%rsp\n\t"
                     "jmpq *%%rax\n"
                     "1:\n\t"
                     "endbr64"
                     : "+D"(from), "+S"(to)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1",
                       "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
                       "xmm13", "xmm14", "xmm15", "memory", "cc" TRI_AVX512_CLOBBERS);
}

/* A context that starts at tri_stack_start, which finds `argument` on top of the stack. */
static inline void tri_context_make(struct tri_context *context, void *top, void *argument, void (*start)(void))
{
    void **sp = top;
    *--sp = 0; /* keeps the stack aligned at the call in tri_stack_start */
    *--sp = argument;
    context->sp = sp;
    context->fp = 0;
    context->pc = (void *)start;
}

#endif
