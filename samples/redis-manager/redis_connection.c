/* SPDX-License-Identifier: MIT */
/*
 * redis_connection.c: one connection: an actor, the writer, whose mailbox takes the requests, and a second actor, the
 * reader, that keeps the callers whose replies are on their way.
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
 * When the line breaks, whoever notices says so in `lost`. The reader collects the callers that are left, and answers
 * them once the writer has let go (it stops the reader): only then is it known how many requests were written. Those are
 * "unknown", the others "not sent". A request that was never forwarded stays with the writer for the next line.
 */
#include "redis_connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define OUT_BYTES      65536
#define OUT_REQUESTS   1024
#define IN_BYTES       65536             /* grows for a long reply */
#define IN_KEEP        (16 * IN_BYTES)   /* and shrinks again beyond this */
#define LAST_REPLIES   TR_SECOND         /* after a failed write: how long replies may still come */

static inline void count(_Atomic uint64_t *counter, uint64_t more)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + more, memory_order_relaxed);
}

/* The line is over; the first reason stays. */
static void lose(struct connection *c, int why)
{
    if (!c->lost) {
        c->lost = why;
        if (!c->draining && !c->stopped)
            count(&c->counters.losses, 1);
    }
}

static void fail(struct connection *c, struct reply_token caller, enum redis_failure failure)
{
    if (tr_reply_error(caller, failure) == 0)
        count(failure == REDIS_NOT_SENT ? &c->counters.not_sent : &c->counters.unknown, 1);
}

/* ---- reader ------------------------------------------------------------------------------------------------------ */

/* Makes room for what the parser wants, at least a quarter of the buffer. */
static int make_room(struct connection *c)
{
    size_t used = c->in_end - c->in_start, capacity = c->in_capacity;
    if (used == 0) {
        c->in_start = c->in_end = 0;
        if (capacity <= IN_KEEP)
            return 0;
        capacity = IN_BYTES;
    } else if (c->parser.wanted > capacity || used > capacity / 4 * 3) {
        capacity *= 2; /* step by step: memory follows what has arrived, not what was announced */
    }
    if (c->in_start > 0 && capacity - c->in_end < capacity / 4) {
        memmove(c->in, c->in + c->in_start, used);
        c->in_start = 0;
        c->in_end = used;
    }
    if (capacity == c->in_capacity)
        return 0;
    char *in = realloc(c->in, capacity);
    if (!in)
        return -ENOMEM;
    c->in = in;
    c->in_capacity = capacity;
    return 0;
}

/* Hands one reply to the caller who is first in line. */
static int answer(struct connection *c, struct redis_reply *reply)
{
    struct pending pending;
    if (tr_try_receive(&pending) < 0) {
        redis_reply_clear(reply);
        return -EPROTO; /* a reply that nobody asked for */
    }
    c->answered++;
    if (tr_reply(pending.reply, reply) < 0) {
        redis_reply_clear(reply);
        count(&c->counters.late, 1);
    }
    return 0;
}

/* The caller whose reply is too long is told so; the line cannot go on. */
static void refuse_reply(struct connection *c)
{
    struct pending pending;
    if (tr_try_receive(&pending) == 0) {
        c->answered++;
        tr_reply_error(pending.reply, REDIS_TOO_LARGE);
    }
}

/* Every complete reply in the buffer. Returns 0 when more must be read. */
static int answer_all(struct connection *c)
{
    struct redis_reply reply;
    uint64_t replies = c->answered;
    int rc = 1;
    while (rc > 0) {
        size_t used = 0;
        rc = redis_parse(&c->parser, c->in + c->in_start, c->in_end - c->in_start, &reply, &used);
        c->in_start += used;
        if (rc > 0 && answer(c, &reply) < 0)
            rc = -EPROTO;
    }
    count(&c->counters.replies, c->answered - replies);
    if (rc == -EMSGSIZE)
        refuse_reply(c);
    return rc;
}

/* Reads once. A stall is a time-out while requests were in flight all along. */
static int read_replies(struct connection *c)
{
    int rc = make_room(c);
    if (rc < 0)
        return rc;
    bool owing = c->forwarded > c->answered;
    ssize_t bytes = tr_read(c->stream, c->in + c->in_end, c->in_capacity - c->in_end,
                            tr_after(c->redis->options.stall_ns));
    if (bytes == -ETIMEDOUT && !owing)
        return 0;
    if (bytes <= 0)
        return bytes == 0 ? -ECONNRESET : (int)bytes;
    c->in_end += (size_t)bytes;
    count(&c->counters.reads, 1);
    count(&c->counters.bytes_in, (uint64_t)bytes);
    return answer_all(c);
}

/* The line is lost: answers everybody who is left, once the writer has let go. */
static void abandon(struct connection *c)
{
    size_t most = c->redis->options.in_flight + 2, left = 0; /* a mailbox full, and what the writer was forwarding */
    struct pending *callers = calloc(most, sizeof *callers), caller;
    tr_stream_abort(c->stream); /* a writer inside tr_write comes back */
    tr_try_send(c->writer, &(struct request){ .kind = REQUEST_WAKE }); /* if the mailbox is full, it is awake */
    while (tr_receive(&caller, TR_FOREVER) == 0) {
        if (callers && left < most)
            callers[left++] = caller;
        else
            fail(c, caller.reply, REDIS_UNKNOWN);
    }
    for (size_t i = 0; i < left; i++)
        fail(c, callers[i].reply, callers[i].number < c->written ? REDIS_UNKNOWN : REDIS_NOT_SENT);
    free(callers);
}

static int reader_body(void *argument)
{
    struct connection *c = argument;
    int rc = 0;
    while (rc == 0 && !(c->draining && c->forwarded == c->answered))
        rc = read_replies(c);
    if (rc < 0)
        lose(c, rc);
    abandon(c);
    return 0;
}

/* ---- writer: sending --------------------------------------------------------------------------------------------- */

/* Writes `bytes`, in which requests end at ends[0..count). */
static void write_requests(struct connection *c, const char *bytes, size_t length, const uint32_t *ends, uint32_t count_)
{
    size_t done = 0;
    uint32_t sent = 0;
    int rc = tr_write_v(c->stream, &(struct iovec){ (void *)bytes, length }, 1, &done,
                        tr_after(c->redis->options.stall_ns));
    while (sent < count_ && ends[sent] <= done)
        sent++;
    c->written += sent;
    count(&c->counters.requests, sent);
    count(&c->counters.writes, 1);
    count(&c->counters.bytes_out, done);
    if (rc < 0)
        lose(c, rc);
}
