/* SPDX-License-Identifier: MIT */
/*
 * net_support.h: what test_net.c and test_stream.c share.
 *
 * Each test ends with as many open descriptors and streams as it began with. Both suites are built twice: over the fake
 * waiter and on the real runtime (see tasks.h).
 */
#ifndef TEST_NET_SUPPORT_H
#define TEST_NET_SUPPORT_H

#include "io_support.h"
#include "tasks.h"

#include <troupe/net.h>

/* A deadline that only a hang can reach. */
#define LONG_TIME tr_after(60 * TR_SECOND)

/* Runs body as a task on the backend of that index, and looks for leaks afterwards. */
void net_run(int which, int (*body)(void *argument));

#define NET_TEST(name)                                                                                                 \
    static int name##_body(void *unused);                                                                              \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        net_run(_i, name##_body);                                                                                      \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    static int name##_body(void *unused __attribute__((unused)))

/* A connected pair, without anybody's help: the listener's queue holds the connection until it is accepted. */
void make_pair(struct tr_stream *pair[2]);
void close_pair(struct tr_stream *pair[2]);

void read_exactly(struct tr_stream *stream, void *buffer, size_t bytes);

/* Byte number `at` of the stream that the tests send. */
static inline char pattern(size_t at)
{
    return (char)(at * 31 + (at >> 9));
}

/* Its close will be a reset. */
void reset_on_close(struct tr_stream *stream);

/* The least that the kernel grants, some 4 KiB: every write of more is partial. */
void shrink_buffer(struct tr_stream *writer);

#endif
