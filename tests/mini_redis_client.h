/* SPDX-License-Identifier: MIT */
/*
 * mini_redis_client.h: for tests of mini-redis inside a program: the server started and stopped in a task, and clients that
 * are tasks of the same runtime.
 *
 * The one idea: a client sends bytes and expects bytes. What a server should do is seen from the client's side alone.
 */
#ifndef MINI_REDIS_CLIENT_H
#define MINI_REDIS_CLIENT_H

#include "server.h"
#include "support.h"

#include <errno.h>

struct client {
    struct tr_stream *stream;
};

static inline struct mini_redis *start(const struct mini_redis_options *options)
{
    struct mini_redis *server;
    expect_int(mini_redis_start(&server, options), 0);
    return server;
}

static inline void stop(struct mini_redis *server)
{
    expect_int(mini_redis_stop(server, tr_after(LONG_TIME)), 0);
}

static inline struct client join_server(const struct mini_redis *server)
{
    struct client client;
    expect_int(tr_tcp_connect(&client.stream, "127.0.0.1", mini_redis_port(server), tr_after(LONG_TIME)), 0);
    return client;
}

static inline void leave(struct client client)
{
    tr_stream_close(client.stream);
}

static inline void say(struct client client, const char *text)
{
    expect_int(tr_write(client.stream, text, strlen(text), tr_after(LONG_TIME)), 0);
}

/* The next bytes are these. */
static inline void hear(struct client client, const char *expected)
{
    char text[4096];
    size_t size = strlen(expected), have = 0;
    expect(size < sizeof text);
    while (have < size) {
        ssize_t got = tr_read(client.stream, text + have, size - have, tr_after(LONG_TIME));
        if (got <= 0)
            test_fail(__FILE__, __LINE__, "the connection ended (%zd) in front of: %s", got, expected + have);
        have += (size_t)got;
    }
    text[have] = '\0';
    if (strcmp(text, expected) != 0)
        test_fail(__FILE__, __LINE__, "heard: %s expected: %s", text, expected);
}

static inline void ask(struct client client, const char *request, const char *reply)
{
    say(client, request);
    hear(client, reply);
}

/* Whatever still comes, then the end. Returns how many bytes came. */
static inline size_t hear_the_end(struct client client)
{
    static char text[65536];
    size_t bytes = 0;
    ssize_t got;
    while ((got = tr_read(client.stream, text, sizeof text, tr_after(LONG_TIME))) > 0)
        bytes += (size_t)got;
    expect(got == 0 || got == -ECONNRESET);
    return bytes;
}

#endif
