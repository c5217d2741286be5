/* SPDX-License-Identifier: MIT */
/*
 * outbox.h: output to a client that does not wait to be asked (a subscriber) or does not read (a slow one).
 *
 * A plain connection writes its own replies. When it subscribes, or when a write stalls, it gets an outbox:
 * an actor that owns the bytes that are not sent yet, and a writer task that fetches them. Everything to this
 * client goes through the outbox from then on, so its order is that of the actor's mailbox. Limits are
 * Redis's client-output-buffer-limit.
 *
 *     connection --push--\
 *                          > outbox (actor: filling | writing) <--take-- writer task --> socket
 *     pubsub ------push--/
 */
#ifndef MINI_REDIS_OUTBOX_H
#define MINI_REDIS_OUTBOX_H

#include "reply.h"
#include "server.h"

/* Bytes that several outboxes may be sent, freed with the last reference. */
struct payload;

struct payload *payload_create(const char *data, size_t bytes);
void payload_unref(struct payload *payload);

TR_REPLY_TYPE(outbox_reply, int);

struct outbox_message {
    enum { OUTBOX_PUSH, OUTBOX_TAKE, OUTBOX_STALLED, OUTBOX_DRAIN, OUTBOX_LIMIT } kind;
    union {
        struct payload *payload;              /* PUSH: the message owns a reference */
        struct mini_redis_output_limit limit; /* LIMIT: from now on */
    };
    struct outbox_reply reply; /* TAKE: there is something in `writing`. DRAIN: everything has been sent */
};
TR_ADDRESS_TYPE(outbox_address, struct outbox_message);

struct outbox;

/* The stream must outlive the outbox. Thread: task. Suspends: no. */
int outbox_open(struct outbox **out, struct tr_stream *stream, struct mini_redis_output_limit limit);

/* Aborts the stream, ends actor and writer, frees the rest. Thread: task. Suspends: yes. */
void outbox_close(struct outbox *outbox);

struct outbox_address outbox_address(const struct outbox *outbox);

/* Adds a reference for the outbox. Suspends: when its mailbox is full. Returns 0 or an error of tr_send. */
int outbox_push(struct outbox_address address, struct payload *payload);

void outbox_set_limit(struct outbox_address address, struct mini_redis_output_limit limit);

/* When the client last took something, on the caller's clock and to the second; 0: never yet. Thread: task. Suspends: no. */
tr_time outbox_progress(const struct outbox *outbox);

/* Waits until everything has been sent, as long as the client takes something in each `patience_ns`. Returns 0 or an error of
 * tr_call. */
int outbox_drain(struct outbox *outbox, int64_t patience_ns);

#endif
