/* SPDX-License-Identifier: MIT */
/*
 * outbox.c: see outbox.h. There are two buffers. `filling` is the actor's; `writing` is the writer's from the
 * reply to its TAKE until its next TAKE. They change places at a TAKE, so bytes are copied once, into
 * `filling`.
 */
#include "outbox.h"
#include "ending.h"
#include "turn.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    MAILBOX_CAPACITY = 256,
    PIECE_BYTES = 128 * 1024, /* what is written at a time, so that the limit is on what the client has really left */
    LONG_PAYLOAD = 4096,      /* copying one costs more than to look at the clock */
};

struct payload {
    atomic_uint refs;
    size_t bytes;
    char data[];
};

struct outbox {
    struct outbox_address address;
    struct tr_task actor, writer;
    struct tr_stream *stream;
    struct mini_redis_output_limit limit;
    struct buffer filling, writing;
    /*
     * Of `writing`: the actor's while the writer waits, then the writer's, who tells after each piece; the actor looks at any time.
     * Relaxed: it is a number for the limit, and the bytes themselves change hands with TAKE and its reply.
     */
    _Atomic(size_t) unsent_bytes;
    tr_time soft_since;          /* since when the soft limit has been exceeded; 0: it is not */
    struct outbox_reply taker;   /* the writer waits for something to write */
    struct outbox_reply drainer; /* the connection waits for everything to be written */
    bool taker_waits, drainer_waits;
    _Atomic(tr_time) progress_at; /* the writer's: when it last sent something, to the second */
    bool overrun;                 /* the client is being closed: nothing more for it */
};

/* ---- payloads ------------------------------------------------------------------------------------------ */

struct payload *payload_create(const char *data, size_t bytes)
{
    struct payload *payload = malloc(sizeof *payload + bytes);
    if (payload == NULL)
        return NULL;
    atomic_init(&payload->refs, 1);
    payload->bytes = bytes;
    memcpy(payload->data, data, bytes);
    return payload;
}

void payload_unref(struct payload *payload)
{
    if (atomic_fetch_sub_explicit(&payload->refs, 1, memory_order_acq_rel) == 1)
        free(payload);
}

/* ---- the actor ----------------------------------------------------------------------------------------- */

static void close_client(struct outbox *outbox)
{
    tr_log(TR_LOG_WARNING, "a client is closed for overcoming of output buffer limits");
    outbox->overrun = true;
    buffer_deinit(&outbox->filling);
    tr_stream_abort(outbox->stream);
}

static void check_limit(struct outbox *outbox)
{
    const struct mini_redis_output_limit *limit = &outbox->limit;
    size_t bytes = outbox->filling.size + atomic_load_explicit(&outbox->unsent_bytes, memory_order_relaxed);
    bool hard = limit->hard_bytes > 0 && bytes > limit->hard_bytes;
    bool soft = false;
    if (limit->soft_bytes == 0 || bytes <= limit->soft_bytes)
        outbox->soft_since = 0;
    else if (outbox->soft_since == 0)
        outbox->soft_since = tr_clock();
    else
        soft = tr_clock() - outbox->soft_since > limit->soft_seconds * TR_SECOND;
    if (hard || soft || outbox->filling.failed)
        close_client(outbox);
}

/* The writer waits: `filling` becomes `writing`. */
static void hand_over(struct outbox *outbox)
{
    struct buffer empty = outbox->writing;
    outbox->writing = outbox->filling;
    outbox->filling = empty;
    atomic_store_explicit(&outbox->unsent_bytes, outbox->writing.size, memory_order_relaxed);
    outbox->taker_waits = false;
    int ready = 1;
    tr_reply(outbox->taker, &ready);
}

static void take_payload(struct outbox *outbox, struct payload *payload)
{
    if (!outbox->overrun) {
        buffer_append(&outbox->filling, payload->data, payload->bytes);
        if (outbox->taker_waits && outbox->filling.size > 0)
            hand_over(outbox);
        check_limit(outbox);
    }
    payload_unref(payload);
}

static void answer_drainer(struct outbox *outbox)
{
    if (outbox->drainer_waits && outbox->taker_waits && outbox->filling.size == 0) {
        int empty = 1;
        outbox->drainer_waits = false;
        tr_reply(outbox->drainer, &empty);
    }
}

static int on_message(void *state, void *message)
{
    struct outbox *outbox = state;
    struct outbox_message *m = message;
    switch (m->kind) {
    case OUTBOX_PUSH:
        if (m->payload->bytes > LONG_PAYLOAD)
            take_turn();
        take_payload(outbox, m->payload);
        break;
    case OUTBOX_TAKE:
        atomic_store_explicit(&outbox->unsent_bytes, 0, memory_order_relaxed);
        buffer_clear(&outbox->writing);
        outbox->taker = m->reply;
        outbox->taker_waits = true;
        if (outbox->filling.size > 0)
            hand_over(outbox);
        else
            tr_defer(m->reply);
        break;
    case OUTBOX_STALLED:
        if (!outbox->overrun)
            check_limit(outbox);
        break;
    case OUTBOX_DRAIN:
        if (outbox->drainer_waits)
            tr_reply_error(outbox->drainer, 1); /* has given up, or it would not ask again */
        outbox->drainer = m->reply;
        outbox->drainer_waits = true;
        tr_defer(m->reply);
        break;
    case OUTBOX_LIMIT:
        outbox->limit = m->limit;
        break;
    }
    answer_drainer(outbox);
    return 0;
}

static void drop_message(void *message)
{
    struct outbox_message *m = message;
    if (m->kind == OUTBOX_PUSH)
        payload_unref(m->payload);
}

/* ---- the writer ---------------------------------------------------------------------------------------- */

/* Writes all of it, making the outbox look at its limit once a second. Returns 0 or an error of tr_write. */
static int write_slowly(struct outbox *outbox, const char *data, size_t bytes)
{
    int rc = 0;
    tr_time next = tr_after(TR_SECOND);
    while (bytes > 0 && (rc == 0 || rc == -ETIMEDOUT)) {
        struct iovec piece = { .iov_base = (char *)data, .iov_len = bytes < PIECE_BYTES ? bytes : PIECE_BYTES };
        size_t written = 0;
        rc = tr_write_v(outbox->stream, &piece, 1, &written, next);
        if (written > 0)
            atomic_store_explicit(&outbox->progress_at, tr_after(0), memory_order_relaxed);
        data += written;
        bytes -= written;
        atomic_store_explicit(&outbox->unsent_bytes, bytes, memory_order_relaxed);
        if (rc == -ETIMEDOUT || next <= tr_after(0)) {
            tr_send(outbox->address, TR_FOREVER, &(struct outbox_message){ .kind = OUTBOX_STALLED });
            next = tr_after(TR_SECOND);
        }
    }
    return rc == -ETIMEDOUT ? 0 : rc;
}

static int writer(void *argument)
{
    struct outbox *outbox = argument;
    int ready;
    while (tr_call(outbox->address, &ready, TR_FOREVER, &(struct outbox_message){ .kind = OUTBOX_TAKE }) == 0) {
        if (write_slowly(outbox, outbox->writing.data, outbox->writing.size) < 0) {
            tr_stream_abort(outbox->stream); /* so that the connection, which may be reading, learns of it, */
            tr_actor_stop(outbox->address);  /* or waits until all has been sent */
            break;
        }
    }
    return 0;
}

/* ---- for others ---------------------------------------------------------------------------------------- */

int outbox_open(struct outbox **out, struct tr_stream *stream, struct mini_redis_output_limit limit)
{
    struct outbox *outbox = calloc(1, sizeof *outbox);
    if (outbox == NULL)
        return -ENOMEM;
    outbox->stream = stream;
    outbox->limit = limit;
    struct tr_actor_options options = {
        .name = "outbox", .capacity = MAILBOX_CAPACITY, .drop = drop_message, .task = &outbox->actor
    };
    int rc = tr_spawn_handler(&outbox->address, on_message, outbox, &options);
    if (rc < 0) {
        free(outbox);
        return rc;
    }
    rc = tr_task_spawn(&outbox->writer, writer, outbox, &(struct tr_task_options){ .name = "writer" });
    if (rc < 0) {
        outbox_close(outbox);
        return rc;
    }
    *out = outbox;
    return 0;
}

void outbox_close(struct outbox *outbox)
{
    tr_stream_abort(outbox->stream);
    tr_actor_stop(outbox->address);
    struct tr_shield shield; /* short: a write withdrawn, a mailbox drained */
    tr_shield_open(&shield, TR_FOREVER);
    await_end(outbox->writer);
    await_end(outbox->actor);
    tr_shield_close(&shield);
    buffer_deinit(&outbox->filling);
    buffer_deinit(&outbox->writing);
    free(outbox);
}

struct outbox_address outbox_address(const struct outbox *outbox)
{
    return outbox->address;
}

int outbox_push(struct outbox_address address, struct payload *payload)
{
    atomic_fetch_add_explicit(&payload->refs, 1, memory_order_relaxed);
    int rc = tr_send(address, TR_FOREVER, &(struct outbox_message){ .kind = OUTBOX_PUSH, .payload = payload });
    if (rc < 0)
        payload_unref(payload);
    return rc;
}

void outbox_set_limit(struct outbox_address address, struct mini_redis_output_limit limit)
{
    tr_send(address, TR_FOREVER, &(struct outbox_message){ .kind = OUTBOX_LIMIT, .limit = limit });
}

tr_time outbox_progress(const struct outbox *outbox)
{
    return atomic_load_explicit(&outbox->progress_at, memory_order_relaxed);
}

int outbox_drain(struct outbox *outbox, int64_t patience_ns)
{
    int rc, empty;
    tr_time end = tr_after(patience_ns);
    do {
        rc = tr_call(outbox->address, &empty, end, &(struct outbox_message){ .kind = OUTBOX_DRAIN });
        end = outbox_progress(outbox) + patience_ns;
    } while (rc == -ETIMEDOUT && end > tr_after(0));
    return rc;
}
