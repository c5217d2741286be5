/* SPDX-License-Identifier: MIT */
/*
 * aarch64.S: the context switch (AAPCS64): x19 to x30, d8 to d15 and the stack pointer. The return goes through x16
 * with `br`, not `ret`, for the same reason as on x86-64: the return predictor belongs to another stack.
 */
    .text

/* void tri_switch(void **save, void *load) */
    .p2align 4
    .globl tri_switch
    .hidden tri_switch
    .type tri_switch, %function
tri_switch:
    .cfi_startproc
    hint #34 /* bti c */
    sub sp, sp, #160
    .cfi_adjust_cfa_offset 160
    stp x29, x30, [sp, #0]
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    stp x19, x20, [sp, #16]
    .cfi_rel_offset x19, 16
    .cfi_rel_offset x20, 24
    stp x21, x22, [sp, #32]
    .cfi_rel_offset x21, 32
    .cfi_rel_offset x22, 40
    stp x23, x24, [sp, #48]
    .cfi_rel_offset x23, 48
    .cfi_rel_offset x24, 56
    stp x25, x26, [sp, #64]
    .cfi_rel_offset x25, 64
    .cfi_rel_offset x26, 72
    stp x27, x28, [sp, #80]
    .cfi_rel_offset x27, 80
    .cfi_rel_offset x28, 88
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp d14, d15, [sp, #144]
    ldp d12, d13, [sp, #128]
    ldp d10, d11, [sp, #112]
    ldp d8, d9, [sp, #96]
    ldp x27, x28, [sp, #80]
    ldp x25, x26, [sp, #64]
    ldp x23, x24, [sp, #48]
    ldp x21, x22, [sp, #32]
    ldp x19, x20, [sp, #16]
    ldp x29, x16, [sp, #0]
    add sp, sp, #160
    .cfi_adjust_cfa_offset -160
    .cfi_restore x29
    .cfi_register x30, x16
    br x16
    .cfi_endproc
    .size tri_switch, . - tri_switch

/* The first code on a fresh stack: x19 holds the stack. An undefined return address ends every unwind here. */
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
    mov x0, x19
    bl tri_loop_entry
    brk #1
    .cfi_endproc
    .size tri_stack_start, . - tri_stack_start

    .section .note.GNU-stack, "", %progbits
