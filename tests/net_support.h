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

#include "io/stream.h"

#include <sys/socket.h>
#include <troupe/net.h>

/* A deadline that only a hang can reach. */
#define LONG_TIME tr_after(60 * TR_SECOND)

/* What the test at hand runs on. */
static enum tr_backend net_backend;

/* Runs body as a task on the backend of that index, and looks for leaks afterwards. */
static inline void net_run(int which, int (*body)(void *argument))
{
    net_backend = io_backends[which];
    int before = descriptors_open();
    must_be(tasks_run(net_backend, body, NULL), 0);
    must_be(tri_stream_count(), 0);
    must_be(descriptors_open(), before);
}

#define NET_TEST(name)                                                                                                 \
    static int name##_body(void *unused);                                                                              \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        net_run(_i, name##_body);                                                                                      \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    static int name##_body(void *unused __attribute__((unused)))

/* A connected pair, without anybody's help: the listener's queue holds the connection until it is accepted. */
static inline void make_pair(struct tr_stream *pair[2])
{
    struct tr_listener *listener;
    must_be(tr_tcp_listen(&listener, "127.0.0.1", 0, NULL), 0);
    must_be(tr_tcp_connect(&pair[0], "127.0.0.1", tr_listener_port(listener), LONG_TIME), 0);
    must_be(tr_tcp_accept(listener, &pair[1], LONG_TIME), 0);
    tr_listener_close(listener);
}

static inline void close_pair(struct tr_stream *pair[2])
{
    tr_stream_close(pair[0]);
    tr_stream_close(pair[1]);
}

static inline void read_exactly(struct tr_stream *stream, void *buffer, size_t bytes)
{
    for (size_t got = 0; got < bytes;) {
        ssize_t n = tr_read(stream, (char *)buffer + got, bytes - got, LONG_TIME);
        must(n > 0);
        got += (size_t)n;
    }
}

/* Byte number `at` of the stream that the tests send. */
static inline char pattern(size_t at)
{
    return (char)(at * 31 + (at >> 9));
}

/* Its close will be a reset. */
static inline void reset_on_close(struct tr_stream *stream)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(tr_stream_fd(stream), SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* The least that the kernel grants, some 4 KiB: every write of more is partial. */
static inline void shrink_buffer(struct tr_stream *writer)
{
    int bytes = 1;
    setsockopt(tr_stream_fd(writer), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

#endif
