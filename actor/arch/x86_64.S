/* SPDX-License-Identifier: MIT */
/*
 * x86_64.S: the first code on a fresh stack: calls tri_loop_entry(argument), which never returns. An undefined return
 * address ends every unwind here. Without a GNU property note the linker leaves shadow stacks off, which switching by
 * hand would need more for.
 */
    .text
    .p2align 4
    .globl tri_stack_start
    .hidden tri_stack_start
    .type tri_stack_start, @function
tri_stack_start:
    .cfi_startproc
    .cfi_undefined %rip
    endbr64
    xorl %ebp, %ebp
    popq %rdi
    .cfi_adjust_cfa_offset -8
    andq $-16, %rsp
    call tri_loop_entry
    ud2
    .cfi_endproc
    .size tri_stack_start, . - tri_stack_start

    .section .note.GNU-stack, "", @progbits
