/* SPDX-License-Identifier: MIT */
/*
 * alloc.c: counts every allocation of the process.
 *
 * The benchmark program defines the allocator's functions itself and hands each call on to glibc's own names for them,
 * so that calls from the library, linked statically or shared, and from glibc are seen alike. The count is one relaxed
 * atomic: it is there to show zero.
 */
/* Here mmap and mmap64 are two names, whatever the size of off_t is asked to be. */
#undef _FILE_OFFSET_BITS

#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static _Atomic uint64_t allocations;

static void count_one(void)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
}

uint64_t bench_allocations(void)
{
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

/* The C library's headers name the parameters with underscores, which are not ours to use. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

void *malloc(size_t bytes)
{
    count_one();
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    count_one();
    return __libc_calloc(count, bytes);
}

void *realloc(void *block, size_t bytes)
{
    count_one();
    return __libc_realloc(block, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    count_one();
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    count_one();
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}

void *mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    count_one();
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    count_one();
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
