/* SPDX-License-Identifier: MIT */
/*
 * redis.c: the client manager. Each connection belongs to an actor, the writer, whose mailbox takes the requests; a
 * second actor, the reader, keeps the callers whose replies are on their way.
 *
 *    callers            writer                                reader
 *      | tr_call           |                                    |
 *      +--[request]------->| takes all that wait                |
 *      :  mailbox          |--tr_forward: [caller, number]----->| mailbox = callers in flight, in order; its capacity
 *      :                   |                                    |           bounds them
 *      :                   |--one tr_write----> server -------->| tr_read
 *      |<----------------------------tr_reply-------------------| one caller for each reply
 *
 * The one idea: forwarding moves the debt. A caller is owed its answer by the writer until its request goes out, then by
 * the reader, so that whichever of them ends, the runtime still answers for it.
 *
 * Writer and reader are pinned to one worker and take turns, so they share `struct connection` without a lock. When the
 * line breaks, whoever notices sets `lost`. The reader then collects the callers that are left, and answers them once
 * the writer has let go (it stops the reader): only then is it known how many requests were written. Those are
 * "unknown", the others "not sent".
 *
 * A request carries its bytes with it, since its caller may leave at its deadline while the request is still queued. One
 * too long for that is lent: the message names a loan, and the writer skips a loan that has been taken back.
 */
#include "redis.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define REQUEST_INLINE  160
#define OUT_BYTES       65536 /* a batch of requests, one write */
#define IN_BYTES        65536 /* replies; grows up to max_reply_bytes for a long one */
#define MOST_CONNECTIONS 64

/* ---- messages --------------------------------------------------------------------------------------------------- */

struct request;
struct pending;
TR_ADDRESS_TYPE(writer_address, struct request);
TR_ADDRESS_TYPE(reader_address, struct pending);
TR_REPLY_TYPE(reply_token, struct redis_reply);

/* To the writer. */
struct request {
    struct reply_token reply;
    enum { REQUEST_BYTES, REQUEST_LOAN, REQUEST_WAKE } kind; /* WAKE: from the reader, have a look at `lost` */
    uint32_t length;
    union {
        char bytes[REQUEST_INLINE];
        struct loan_name {
            uint32_t index;
            uint64_t generation;
        } loan;
    };
};

/* To the reader: a caller whose request is about to go out as number `number` on this line. */
struct pending {
    struct reply_token reply;
    uint64_t number;
};

/* ---- loans ------------------------------------------------------------------------------------------------------ */

/* The bytes of a long request. Its caller holds one reference; the writer another while it writes them. */
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
    } *loans;
};

static int loan_open(struct loans *loans, struct lent_bytes *lent, struct loan_name *out)
{
    int rc = 0;
    pthread_mutex_lock(&loans->lock);
    if (!loans->free) {
        struct loan *more = realloc(loans->loans, (loans->count + 1) * sizeof *more);
        if (more) {
            more[loans->count] = (struct loan){ 0 };
            loans->loans = more;
            loans->free = ++loans->count;
        }
    }
    if (loans->free) {
        struct loan *loan = &loans->loans[out->index = loans->free - 1];
        loans->free = loan->next_free;
        loan->lent = lent;
        out->generation = loan->generation;
    } else {
        rc = -ENOMEM;
    }
    pthread_mutex_unlock(&loans->lock);
    return rc;
}

/* The bytes behind the name, with a reference for the borrower; NULL if the loan was taken back. */
static struct lent_bytes *loan_borrow(struct loans *loans, const struct loan_name *name)
{
    pthread_mutex_lock(&loans->lock);
    struct loan *loan = &loans->loans[name->index];
    struct lent_bytes *lent = loan->generation == name->generation ? loan->lent : NULL;
    if (lent)
        lent->references++;
    pthread_mutex_unlock(&loans->lock);
    return lent;
}

static void loan_unref(struct loans *loans, struct lent_bytes *lent)
{
    pthread_mutex_lock(&loans->lock);
    bool last = --lent->references == 0;
    pthread_mutex_unlock(&loans->lock);
    if (last)
        free(lent);
}

static void loan_close(struct loans *loans, const struct loan_name *name, struct lent_bytes *lent)
{
    pthread_mutex_lock(&loans->lock);
    struct loan *loan = &loans->loans[name->index];
    loan->generation++;
    loan->lent = NULL;
    loan->next_free = loans->free;
    loans->free = name->index + 1;
    pthread_mutex_unlock(&loans->lock);
    loan_unref(loans, lent);
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

/* Counters have one writer each, an actor of the connection; redis_stats reads them from anywhere. */
struct counters {
    _Atomic uint64_t requests, writes, replies, reads, bytes_out, bytes_in, losses, connects, not_sent, unknown, late;
};

static inline void count(_Atomic uint64_t *counter, uint64_t more)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + more, memory_order_relaxed);
}

struct connection {
    struct redis *redis;
    struct writer_address writer;
    struct tr_task writer_task;

    /* The line, shared by writer and reader. */
    struct tr_stream *stream; /* NULL: not connected */
    struct reader_address reader;
    struct tr_task reader_task;
    int lost;                 /* why the line is over; 0: it is not */
    bool draining;            /* the reader is to end when nothing is in flight */
    uint64_t forwarded;       /* requests handed to the reader: number 0, 1, 2 ... */
    uint64_t written;         /* so many of them went out completely */
    uint64_t answered;

    /* The writer's. */
    bool stopped;             /* no request will come any more */
    bool holding;             /* `held` was received but not forwarded: it waits for the next line */
    struct request held;
    uint32_t out_length, out_count;
    char *out;
    uint32_t *ends;           /* where each request in `out` ends */

    /* The reader's. */
    char *in;
    size_t in_start, in_end, in_capacity;
    struct redis_parser parser;

    _Alignas(64) atomic_uint load; /* calls under way: for choosing the least loaded, and for redis_close */
    struct counters counters;
};

struct redis {
    struct redis_options options;
    struct redis_url url;
    unsigned count; /* connections that were opened */
    struct loans loans;
    struct connection connections[];
};
