/* SPDX-License-Identifier: MIT */
/*
 * connection.h: one client, served by one task: read, take all complete requests, execute them, write all
 * replies.
 *
 * struct server is what the connections share. It lives until the last of them has ended.
 */
#ifndef MINI_REDIS_CONNECTION_H
#define MINI_REDIS_CONNECTION_H

#include "clients.h"
#include "pubsub.h"
#include "shard.h"

struct mini_redis {
    struct mini_redis_options options; /* defaults filled in; host and password are its own copies */
    struct tr_listener *listener;
    struct tr_task acceptor;
    struct clients *clients;
    struct shards shards;
    struct pubsub *pubsub;
    tr_time started;
    atomic_uint live; /* connection tasks */
};

struct connection {
    struct client client; /* first: what the clients actor sees */
    struct mini_redis *server;
    struct tr_stream *stream;

    struct buffer in;
    size_t in_begin; /* the first byte of the unfinished request */
    struct resp_parser parser;
    struct buffer out;

    struct outbox *outbox;        /* NULL: this task writes the replies itself */
    struct subscriber subscriber; /* of use when there is an outbox */
    bool has_subscribed;          /* the pubsub actor knows the subscriber */
    unsigned subscriptions;

    bool authenticated;
    bool closing;   /* after the replies have been written */
    bool abandoned; /* without writing them */
};

/* Serves the stream in a task of its own, and closes it. Thread: task. Suspends: no. On an error the stream
 * is still the caller's. */
int connection_start(struct mini_redis *server, struct tr_stream *stream);

/* The client gets no messages any more: its last words are the last. Without effect if it never subscribed. */
void connection_leave_pubsub(struct connection *connection);

/* For commands: what was written to `out` so far goes to the outbox, which is opened if need be. */
int connection_use_outbox(struct connection *connection);

#endif
