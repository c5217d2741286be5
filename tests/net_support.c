/* SPDX-License-Identifier: MIT */
/*
 * net_support.c: pairs of streams, and the leak check around each test.
 */
#include "net_support.h"

#include "io/stream.h"

#include <dirent.h>
#include <sys/socket.h>

static int descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

void net_run(int which, int (*body)(void *argument))
{
    int before = descriptors();
    must_be(tasks_run(io_backends[which], body, NULL), 0);
    must_be(tri_stream_count(), 0);
    must_be(descriptors(), before);
}

void make_pair(struct tr_stream *pair[2])
{
    struct tr_listener *listener;
    must_be(tr_tcp_listen(&listener, "127.0.0.1", 0, NULL), 0);
    must_be(tr_tcp_connect(&pair[0], "127.0.0.1", tr_listener_port(listener), LONG_TIME), 0);
    must_be(tr_tcp_accept(listener, &pair[1], LONG_TIME), 0);
    tr_listener_close(listener);
}

void close_pair(struct tr_stream *pair[2])
{
    tr_stream_close(pair[0]);
    tr_stream_close(pair[1]);
}

void read_exactly(struct tr_stream *stream, void *buffer, size_t bytes)
{
    for (size_t got = 0; got < bytes;) {
        ssize_t n = tr_read(stream, (char *)buffer + got, bytes - got, LONG_TIME);
        must(n > 0);
        got += (size_t)n;
    }
}

void reset_on_close(struct tr_stream *stream)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(tr_stream_fd(stream), SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void shrink_buffer(struct tr_stream *writer)
{
    int bytes = 1;
    setsockopt(tr_stream_fd(writer), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}
