/* SPDX-License-Identifier: MIT */
/*
 * x86_64.S: the context switch (System V ABI): callee-saved registers and the stack pointer, nothing else. The
 * floating-point modes are not saved (35 ns against 2): tasks must not change them across a suspension.
 *
 * The return is `pop; jmp`, not `ret`: the return-stack predictor cannot know where another stack came from, and a
 * mispredicted `ret` costs four times the whole switch. Without a GNU property note the linker leaves shadow stacks off.
 */
    .text

/* void tri_switch(void **save, void *load): pushes the context here, stores the stack pointer in *save, continues at load. */
    .p2align 4
    .globl tri_switch
    .hidden tri_switch
    .type tri_switch, @function
tri_switch:
    .cfi_startproc
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    pushq %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    pushq %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r15
    popq %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r14
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r13
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    popq %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    popq %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    jmp *%rcx
    .cfi_endproc
    .size tri_switch, . - tri_switch

/*
 * The first code on a fresh stack: calls tri_loop_entry(stack), which never returns. The stack's address lies in the
 * slot that tri_stack_prepare loaded into rbx. An undefined return address ends every unwind here.
 */
    .p2align 4
    .globl tri_stack_start
    .hidden tri_stack_start
    .type tri_stack_start, @function
tri_stack_start:
    .cfi_startproc
    .cfi_undefined %rip
    xorl %ebp, %ebp
    movq %rbx, %rdi
    call tri_loop_entry
    ud2
    .cfi_endproc
    .size tri_stack_start, . - tri_stack_start

    .section .note.GNU-stack, "", @progbits
