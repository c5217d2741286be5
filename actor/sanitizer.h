/* SPDX-License-Identifier: MIT */
/*
 * sanitizer.h: what ASan, TSan and Valgrind must be told of stacks and switches. Without them it compiles to nothing.
 *
 * TSan's fiber belongs to the stack, not to the task: it is made with the stack and kept, for making one is slow. The
 * switch is announced by uninstrumented code right before it happens.
 */
#ifndef TRI_SANITIZER_H
#define TRI_SANITIZER_H

#include <stddef.h>
#include <stdint.h>

/* A model is compiled as for TSan, which from gcc 14 on shows here, and has neither. */
#if defined(__has_feature) && !defined(TRI_MODEL)
#if __has_feature(address_sanitizer)
#define TRI_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define TRI_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define TRI_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define TRI_TSAN 1
#endif

#ifdef TRI_ASAN
void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old, size_t *size_old);
void __asan_unpoison_memory_region(void const volatile *addr, size_t size);

/* About to leave the current stack for [bottom, bottom + bytes); *fake keeps ours. */
static inline void tri_asan_leave(void **fake, const void *bottom, size_t bytes)
{
    __sanitizer_start_switch_fiber(fake, bottom, bytes);
}
/* Arrived, with the fake stack that was kept when we left. */
static inline void tri_asan_arrive(void *fake)
{
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
}
/* A stack is reused from its top: frames that never returned leave poison behind. */
static inline void tri_asan_reset(void *low, size_t bytes)
{
    __asan_unpoison_memory_region(low, bytes);
}
#else
static inline void tri_asan_leave(void **fake, const void *bottom, size_t bytes)
{
    (void)fake, (void)bottom, (void)bytes;
}
static inline void tri_asan_arrive(void *fake)
{
    (void)fake;
}
static inline void tri_asan_reset(void *low, size_t bytes)
{
    (void)low, (void)bytes;
}
#endif

#ifdef TRI_TSAN
void *__tsan_create_fiber(unsigned flags);
void *__tsan_get_current_fiber(void);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);

static inline void *tri_fiber_create(void)
{
    return __tsan_create_fiber(0);
}
static inline void *tri_fiber_current(void)
{
    return __tsan_get_current_fiber();
}
static inline __attribute__((always_inline)) void tri_fiber_switch(void *fiber)
{
    __tsan_switch_to_fiber(fiber, 0);
}
/*
 * Neither inlined nor split into its callers, where what it reads would be instrumented after all. Clang's no_sanitize
 * leaves atomic operations instrumented: who only peeks would race with the mapping of the memory.
 */
#ifdef __clang__
#define TRI_NO_TSAN __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define TRI_NO_TSAN __attribute__((noipa, no_sanitize("thread")))
#endif
#else
static inline void *tri_fiber_create(void)
{
    return NULL;
}
static inline void *tri_fiber_current(void)
{
    return NULL;
}
static inline void tri_fiber_switch(void *fiber)
{
    (void)fiber;
}
#define TRI_NO_TSAN
#endif

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define TRI_VALGRIND 1
#endif
#endif

#ifdef TRI_VALGRIND
static inline void tri_fiber_register_stack(void *low, uint64_t bytes)
{
    VALGRIND_STACK_REGISTER(low, (char *)low + bytes);
}
#else
static inline void tri_fiber_register_stack(void *low, uint64_t bytes)
{
    (void)low, (void)bytes;
}
#endif

#endif
