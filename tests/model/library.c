/* SPDX-License-Identifier: MIT */
/*
 * library.c: the C library as a model sees it. The linker's --wrap brings the calls of a module here: memory comes from the
 * arena, copies are plain accesses, waiting is a turn of a spin, and the one system call is membarrier(2).
 */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>

#define PC __builtin_return_address(0)

/* Of errno in troupe/base.h. */
int *tr_errno_location(void);
int *tr_errno_location(void)
{
    return &errno;
}

void *__wrap_memcpy(void *to, const void *from, size_t bytes);
void *__wrap_memcpy(void *to, const void *from, size_t bytes)
{
    tri_shadow_access(from, bytes, false, PC);
    tri_shadow_access(to, bytes, true, PC);
    return memcpy(to, from, bytes);
}

void *__wrap_memmove(void *to, const void *from, size_t bytes);
void *__wrap_memmove(void *to, const void *from, size_t bytes)
{
    tri_shadow_access(from, bytes, false, PC);
    tri_shadow_access(to, bytes, true, PC);
    return memmove(to, from, bytes);
}

void *__wrap_memset(void *to, int byte, size_t bytes);
void *__wrap_memset(void *to, int byte, size_t bytes)
{
    tri_shadow_access(to, bytes, true, PC);
    return memset(to, byte, bytes);
}

void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes)
{
    return tri_shadow_take(bytes, 16, 0xa5);
}

void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes)
{
    return tri_shadow_take(count * bytes, 16, 0);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return tri_shadow_take(bytes, alignment, 0xa5);
}

void __wrap_free(void *block);
void __wrap_free(void *block)
{
    if (block)
        tri_shadow_give(block, PC);
}

void *__wrap_realloc(void *block, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes)
{
    size_t old = 0;
    void *fresh = tri_shadow_take(bytes, 16, 0xa5);
    if (block) {
        memcpy(&old, (char *)block - sizeof old, sizeof old);
        memcpy(fresh, block, old < bytes ? old : bytes);
        __wrap_free(block);
    }
    return fresh;
}

void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, long offset);
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, long offset)
{
    (void)address, (void)protection, (void)flags, (void)fd, (void)offset;
    return tri_shadow_take(bytes, 64, 0);
}

/* The name that mmap has with large files. */
void *__wrap_mmap64(void *address, size_t bytes, int protection, int flags, int fd, long offset);
void *__wrap_mmap64(void *address, size_t bytes, int protection, int flags, int fd, long offset)
{
    return __wrap_mmap(address, bytes, protection, flags, fd, offset);
}

int __wrap_munmap(void *address, size_t bytes);
int __wrap_munmap(void *address, size_t bytes)
{
    (void)bytes;
    __wrap_free(address);
    return 0;
}

int __wrap_madvise(void *address, size_t bytes, int advice);
int __wrap_madvise(void *address, size_t bytes, int advice)
{
    (void)address, (void)bytes, (void)advice;
    return 0;
}

/* To be run first in setup: it orders nothing. */
int __wrap_pthread_once(pthread_once_t *once, void (*first)(void));
int __wrap_pthread_once(pthread_once_t *once, void (*first)(void))
{
    if (*once == PTHREAD_ONCE_INIT) {
        if (!engine.alone)
            tri_report_fail("pthread_once runs first in a thread: call it in setup");
        *once = PTHREAD_ONCE_INIT + 1;
        first();
    }
    return 0;
}

int __wrap_sched_yield(void);
int __wrap_sched_yield(void)
{
    tri_explore_spin();
    return 0;
}

long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    if (number != SYS_membarrier)
        tri_report_fail("system call %ld in a model", number);
    tri_memory_barrier();
    return 0;
}

_Noreturn void __wrap___assert_fail(const char *condition, const char *file, unsigned line, const char *function);
_Noreturn void __wrap___assert_fail(const char *condition, const char *file, unsigned line, const char *function)
{
    tri_report_fail("%s:%u: %s: not true: %s", tri_report_file(file), line, function, condition);
}
