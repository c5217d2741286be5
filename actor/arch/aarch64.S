/* SPDX-License-Identifier: MIT */
/* aarch64.S: the first code on a fresh stack; see x86_64.S. */
    .text
    .p2align 4
    .globl tri_stack_start
    .hidden tri_stack_start
    .type tri_stack_start, %function
tri_stack_start:
    .cfi_startproc
    .cfi_undefined x30
    hint #36 /* bti j */
    mov x29, #0
    mov x30, #0
    ldr x0, [sp], #16
    bl tri_loop_entry
    brk #1
    .cfi_endproc
    .size tri_stack_start, . - tri_stack_start

    .section .note.GNU-stack, "", %progbits
