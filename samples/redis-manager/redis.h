/* SPDX-License-Identifier: MIT */
/*
 * redis.h: a client manager: any number of tasks share a few pipelined connections to one Redis server.
 *
 * To use it elsewhere take the six files redis*.[ch]; they need nothing but Troupe.
 *
 *     struct redis *redis;
 *     int rc = redis_open(&redis, "redis://localhost:6379", NULL, tr_after(5 * TR_SECOND));
 *
 *     struct redis_reply reply;
 *     rc = redis_get(redis, REDIS_BYTES("greeting"), &reply, tr_after(TR_SECOND));
 *     if (rc == 0 && reply.value.type == REDIS_STRING)
 *         puts(reply.value.text);
 *     redis_reply_clear(&reply);
 *
 *     redis_close(redis, tr_after(TR_SECOND));
 *
 * Errors. What counts for a caller whose request failed is whether it may have been carried out:
 *     not carried out        REDIS_NOT_SENT (safe to try again), -EINVAL, -ENOTSUP, -ENOMEM
 *     carried out, answered  0, REDIS_REFUSED, REDIS_TOO_LARGE
 *     nobody knows           REDIS_UNKNOWN (see below), -ETIMEDOUT, -ECANCELED
 * The manager never sends a request twice. It reconnects by itself; requests made meanwhile wait until their deadline.
 */
#ifndef REDIS_H
#define REDIS_H

#include "redis_wire.h"
#include <string.h>
#include <troupe.h>

struct redis;

enum redis_failure {
    REDIS_NOT_SENT = 1, /* the server cannot have seen all of the request, hence not carried it out */
    /*
     * Sent, but the connection was lost before the reply came; or, of redis_get and redis_set, a reply came that cannot be one to
     * this request: then replies do not match their requests any more, and the connection is given up.
     */
    REDIS_UNKNOWN = 2,
    REDIS_TOO_LARGE = 3, /* carried out, but the reply is longer than max_reply_bytes; the connection is lost with it */
    REDIS_REFUSED = 4,   /* redis_get and redis_set: the server answered with an error */
};

struct redis_options {
    unsigned connections;   /* the pool; each request goes to the least loaded that is up. Default 1, at most 64 */
    uint32_t in_flight;     /* most requests sent and not yet answered, for each connection; default 1024 */
    uint32_t queue;         /* most requests waiting to be sent, for each connection; default 256. Then callers wait */
    size_t max_reply_bytes; /* default 64 MiB; a status or an error has 64 KiB at most, whatever this says */
    int64_t connect_ns;     /* one attempt to connect, with AUTH and SELECT; default 2 s */
    /* Owing replies, and no byte came for so long, or up to twice that, nor went 64 KiB of a request out: lost; default 30 s. */
    int64_t stall_ns;
    int64_t backoff_ns;      /* before the second attempt to connect; doubled each time, with jitter; default 10 ms */
    int64_t most_backoff_ns; /* default 1 s */
    char *error;             /* redis_open writes a sentence here when it fails; may be NULL */
    size_t error_bytes;
};

/*
 * Connects to redis://[user:password@]host[:port][/db] and returns once the whole pool is connected. While the server
 * cannot be reached it tries again until the deadline.
 * Thread: task. Suspends: yes. Owns: *out, to be closed.
 * Returns 0, -EINVAL (the URL; or an option: in_flight and queue are at most 65536, max_reply_bytes less than 4 GiB), -EACCES
 * (AUTH or SELECT refused), -ETIMEDOUT, -ECANCELED, -EHOSTUNREACH (unknown name), -ENOMEM.
 */
int redis_open(struct redis **out, const char *url, const struct redis_options *options, tr_time deadline);

/*
 * Requests made so far are sent and answered until the deadline, the others get an error; then everything is freed.
 * No request may be made any more. Not cut short by a cancellation. Thread: task. Suspends: yes.
 */
void redis_close(struct redis *redis, tr_time deadline);

/*
 * Sends a command and waits for its reply, which can also be an error reply (0 is returned, its type is REDIS_ERROR).
 * The old content of *reply is forgotten; on 0 it is the caller's to clear, on any other result it is nil.
 * The arguments are copied before anything else happens and may lie on the caller's stack.
 * Commands that would change the shared connection for everyone (SUBSCRIBE, MULTI, SELECT, ...) or hold it up (BLPOP, WAIT,
 * XREAD with BLOCK, ...) are not supported.
 * Thread: any (a foreign thread blocks). Suspends: yes. Returns 0 or an error from the table above.
 */
int redis_command(struct redis *redis, size_t count, const struct redis_bytes *arguments, struct redis_reply *reply,
                  tr_time deadline);

/* GET: on 0 *value is a string or nil; after REDIS_REFUSED it holds the server's error, to be cleared as well. */
int redis_get(struct redis *redis, struct redis_bytes key, struct redis_reply *value, tr_time deadline);

/* SET: 0 means that it is done. After REDIS_REFUSED the server's words are gone: redis_command keeps them. */
int redis_set(struct redis *redis, struct redis_bytes key, struct redis_bytes value, tr_time deadline);

/* A sentence for any result of the functions above. */
const char *redis_failure_text(int result);

/* Sums over the pool, since redis_open. What is going out counts as written, and no more if its line is lost. Thread: any. */
struct redis_stats {
    uint64_t requests, writes, replies, reads; /* requests written, the writes they went out in, ... */
    uint64_t bytes_out, bytes_in;
    uint64_t losses, connects;        /* connections lost, and made again */
    uint64_t not_sent, unknown, late; /* requests failed so; replies that came after their caller had gone */
};
void redis_stats(const struct redis *redis, struct redis_stats *out);

/*
 * Connections lost so far, a part of the above and cheaper. When it has not changed since before a request, the server that
 * answers now is the one that answered then. Thread: any.
 */
uint64_t redis_losses(const struct redis *redis);

/* REDIS_BYTES("literal") and redis_text(string) */
#define REDIS_BYTES(literal) ((struct redis_bytes){ "" literal, sizeof(literal) - 1 })
static inline struct redis_bytes redis_text(const char *text)
{
    return (struct redis_bytes){ text, strlen(text) };
}

#endif
