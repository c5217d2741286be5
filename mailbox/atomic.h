/* SPDX-License-Identifier: MIT */
/*
 * atomic.h: every atomic operation of Troupe's protocols goes through this header.
 *
 * In the library they are C11 atomics with the order written at each use. The explorer (tests/model) compiles the same
 * protocol files with TRI_MODEL defined and puts its own memory model beneath the same names.
 */
#ifndef TRI_ATOMIC_H
#define TRI_ATOMIC_H

#ifdef TRI_MODEL
#include "model_atomic.h"
#else

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TRI_RELAXED memory_order_relaxed
#define TRI_ACQUIRE memory_order_acquire
#define TRI_RELEASE memory_order_release
#define TRI_ACQ_REL memory_order_acq_rel
#define TRI_SEQ_CST memory_order_seq_cst

/* TRI_ATOMIC(uint64_t) tail; declares an atomic object. */
#define TRI_ATOMIC(T) _Atomic(T)

#define tri_load(object, order) atomic_load_explicit(object, order)
#define tri_store(object, value, order) atomic_store_explicit(object, value, order)
#define tri_exchange(object, value, order) atomic_exchange_explicit(object, value, order)
#define tri_fetch_add(object, value, order) atomic_fetch_add_explicit(object, value, order)
#define tri_fetch_sub(object, value, order) atomic_fetch_sub_explicit(object, value, order)
#define tri_fetch_or(object, value, order) atomic_fetch_or_explicit(object, value, order)
#define tri_fetch_and(object, value, order) atomic_fetch_and_explicit(object, value, order)
/* Strong compare-and-swap; on failure *expected holds what was found. */
#define tri_cas(object, expected, desired, success, failure)                                                           \
    atomic_compare_exchange_strong_explicit(object, expected, desired, success, failure)
#define tri_fence(order) atomic_thread_fence(order)
/* For the compiler alone: one side of an order whose other side is membarrier(2). */
#define tri_fence_compiler() atomic_signal_fence(memory_order_seq_cst)

/*
 * A full fence right after a read-modify-write of the same thread. On x86 every locked instruction is one already;
 * elsewhere, and in the model, it is a sequentially consistent fence.
 */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define tri_fence_after_rmw() atomic_signal_fence(memory_order_seq_cst)
#else
#define tri_fence_after_rmw() atomic_thread_fence(memory_order_seq_cst)
#endif

/* One turn of a short spin. */
static inline void tri_spin(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif /* TRI_MODEL */
#endif
