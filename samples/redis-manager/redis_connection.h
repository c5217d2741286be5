/* SPDX-License-Identifier: MIT */
/*
 * redis_connection.h: what redis.c (the face: the pool, the callers) and redis_connection.c (the actors of one connection)
 * share. Not for users.
 */
#ifndef REDIS_CONNECTION_H
#define REDIS_CONNECTION_H

#include "redis.h"
#include <pthread.h>
#include <stdatomic.h>

#define REQUEST_INLINE 128

struct request;
struct pending;
TR_ADDRESS_TYPE(writer_address, struct request);
TR_ADDRESS_TYPE(reader_address, struct pending);
TR_REPLY_TYPE(reply_token, struct redis_reply);

/* To the writer. Its bytes ride along, because its caller may leave at its deadline while the request is queued. */
struct request {
    struct reply_token reply;
    /* WAKE: from the reader: look at `lost`. DOUBT: from a caller: replies do not match their requests any more. */
    enum { REQUEST_BYTES, REQUEST_LOAN, REQUEST_WAKE, REQUEST_DOUBT } kind;
    uint32_t length;
    union {
        char bytes[REQUEST_INLINE];
        struct loan_name {
            uint32_t index;
            uint64_t generation;
        } loan;
        tr_time doubted_at;
    };
};

static inline bool has_caller(const struct request *request)
{
    return request->kind == REQUEST_BYTES || request->kind == REQUEST_LOAN;
}

/* To the reader: a caller whose request is about to go out; they come in the order of the requests. */
struct pending {
    struct reply_token reply;
};

/* ---- loans: requests that are too long to ride along ------------------------------------------------------------- */

/* The bytes belong to the caller, who takes them back when its call ends; the writer keeps them while it writes. */
struct lent_bytes {
    unsigned references;
    size_t length;
    char bytes[];
};

/* Every change is made under the lock, which nobody holds over a suspension. */
struct loans {
    pthread_mutex_t lock;
    uint32_t count, free; /* free: index + 1 of the first free one */
    struct loan {
        uint64_t generation; /* moves when the loan is taken back: an old name then finds nothing */
        struct lent_bytes *lent;
        uint32_t next_free;
    } * loans;
};

/* The bytes behind the name, to be given back with redis_loan_unref; NULL if the loan was taken back. */
struct lent_bytes *redis_loan_borrow(struct loans *loans, const struct loan_name *name);
void redis_loan_unref(struct loans *loans, struct lent_bytes *lent);

/* ---- a connection ------------------------------------------------------------------------------------------------ */

/* Each counter is written by one actor of the connection and read from anywhere. */
struct counters {
    _Atomic uint64_t requests, writes, replies, reads, bytes_out, bytes_in, losses, connects, not_sent, unknown, late;
};

static inline void add(_Atomic uint64_t *counter, uint64_t more)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + more, memory_order_relaxed);
}

struct connection {
    struct redis *redis;
    struct writer_address writer;
    struct tr_task writer_task;

    /* The line, shared by writer and reader, who are pinned to one worker and take turns. */
    struct tr_stream *stream; /* NULL: not connected */
    struct reader_address reader;
    struct tr_task reader_task;
    int lost;           /* why the line is over; 0: it is not */
    bool draining;      /* the writer has let go: the reader is to end once nothing is in flight */
    uint64_t forwarded; /* requests handed to the reader on this line: numbers 0, 1, 2 ... */
    uint64_t written;   /* so many of them went out completely */
    uint64_t answered;

    /* The writer's. */
    bool stopped; /* no request will come any more */
    bool holding; /* `held` was received but not forwarded: it waits for the next line */
    bool writing; /* the batch is on its way: nothing is added to it */
    struct request held;
    char *out; /* a batch of requests */
    uint32_t out_length, out_count;
    uint32_t *ends; /* where each of them ends */
    tr_time since;  /* when the line began */
    int64_t pause;  /* before the next attempt to connect; 0: none */
    uint64_t jitter;

    /* The reader's. */
    char *in;
    size_t in_start, in_end, in_capacity;
    struct redis_parser parser;

    struct counters counters;
    _Alignas(64) atomic_uint load; /* the callers': calls under way */
    atomic_uint owed;              /* replies that are to come; some of their callers may have gone */
    atomic_bool is_up;             /* there is a line, as far as the writer knows */
};

struct redis {
    struct redis_options options; /* no zero left */
    struct redis_url url;
    struct loans loans;
    unsigned count; /* connections whose actor was started */
    struct connection connections[];
};

/* All else in it is zero. */
void redis_connection_init(struct connection *connection, struct redis *redis);

/*
 * One attempt to connect, with AUTH and SELECT. On failure `why` (of at least 256 bytes) says what went wrong. Returns 0,
 * -EAGAIN (worth another attempt), or an error that will not go away: -EACCES, -EHOSTUNREACH, -EINVAL, -ECANCELED, -ENOMEM.
 */
int redis_connection_dial(struct connection *connection, tr_time deadline, char why[static 256]);

/* When the pause before the next attempt is over, should it begin now; the one after it will be longer. */
tr_time redis_connection_pause(struct connection *connection);

/* Allocates the buffers, then starts the writer, pinned to a worker; the stream is connected or NULL. */
int redis_connection_start(struct connection *connection, int pin);

/* Waits until one of ours has ended, though all time for waiting may be over. */
void redis_connection_join(struct tr_task task);

/* After the writer has ended, or when it was never started. */
void redis_connection_deinit(struct connection *connection);

#endif
