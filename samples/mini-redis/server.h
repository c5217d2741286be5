/* SPDX-License-Identifier: MIT */
/*
 * server.h: mini-redis as a part of another program. main.c is the program around it.
 *
 *     struct mini_redis *server;
 *     int rc = mini_redis_start(&server, &(struct mini_redis_options){ .port = 0 });
 *     ... connect to 127.0.0.1:mini_redis_port(server) ...
 *     mini_redis_stop(server, tr_after(TR_SECOND));
 */
#ifndef MINI_REDIS_SERVER_H
#define MINI_REDIS_SERVER_H

#include <troupe.h>

struct mini_redis;

/* A client whose unsent replies exceed hard_bytes, or soft_bytes for soft_seconds on end, is closed. 0: no
 * limit. */
struct mini_redis_output_limit {
    size_t hard_bytes, soft_bytes;
    unsigned soft_seconds;
};

/* Zero means the default, which is Redis's. */
struct mini_redis_options {
    const char *host;          /* numeric or "localhost"; default 127.0.0.1 */
    uint16_t port;             /* 0: a free one */
    unsigned shards;           /* actors that share the keys; default 1 */
    unsigned max_clients;      /* default 10000, or what the limit of open files allows */
    size_t query_buffer_bytes; /* what one client may have sent of unfinished requests; default 1 GiB */
    size_t max_bulk_bytes;     /* one argument; default 512 MiB */
    unsigned timeout_seconds;  /* idle clients are closed; default: never */
    const char *password;      /* default: none needed */
    struct mini_redis_output_limit normal_limit; /* default: none */
    struct mini_redis_output_limit pubsub_limit; /* all zero: 32 MiB at once, or 8 MiB for 60 s */
    bool pubsub_limit_given;                     /* then all zero means none there, too */
};

/*
 * Starts to listen and to serve, in tasks of the caller's runtime. The options are copied.
 * Thread: task. Suspends: for half a second at most, while another has the address. Returns 0, -ECANCELED, or an error of
 * tr_tcp_listen or tr_spawn.
 */
int mini_redis_start(struct mini_redis **out, const struct mini_redis_options *options);

/* Thread: any. */
uint16_t mini_redis_port(const struct mini_redis *server);

/*
 * Closes every connection, ends the actors and frees the server. Works also when the calling task has been
 * cancelled. Thread: task. Suspends: yes. Returns 0, or -ETIMEDOUT: a connection did not end in time, and the
 * server stays where it is, to be stopped again.
 */
int mini_redis_stop(struct mini_redis *server, tr_time deadline);

#endif
