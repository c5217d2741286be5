/* SPDX-License-Identifier: MIT */
/*
 * pubsub.h: the actor that owns the subscriptions: who listens to which channel and which pattern.
 *
 * It sends to the outboxes of the subscribers, confirmations as well as messages, so that a subscriber sees
 * them in the order in which they became true.
 */
#ifndef MINI_REDIS_PUBSUB_H
#define MINI_REDIS_PUBSUB_H

#include "command.h"
#include "outbox.h"

/* A client that listens. Its memory is the connection's; the actor works on it only during the connection's
 * own calls, and forgets it at pubsub_leave. */
struct subscriber {
    struct outbox_address outbox;
    struct dict channels, patterns; /* of subscriptions, by name */
};

enum pubsub_change { SUBSCRIBE, PSUBSCRIBE, UNSUBSCRIBE, PUNSUBSCRIBE };

struct pubsub_request {
    enum pubsub_change change;
    struct subscriber *subscriber;
    const struct slice *names; /* none of them, when unsubscribing, means all */
    uint32_t count;
};

struct pubsub_statistics {
    size_t channels, patterns;
};

TR_REPLY_TYPE(pubsub_reply, int);

struct pubsub_message {
    enum { PUBSUB_RUN, PUBSUB_CHANGE, PUBSUB_LEAVE, PUBSUB_STATISTICS } kind;
    union {
        struct run *run;
        const struct pubsub_request *request;
        struct subscriber *subscriber;
        struct pubsub_statistics *statistics;
    };
    struct pubsub_reply reply; /* CHANGE: how many subscriptions the client has now */
};
TR_ADDRESS_TYPE(pubsub_address, struct pubsub_message);

/* Thread: task. Suspends: no. */
int pubsub_start(struct pubsub **out);

/* Suspends: yes. */
void pubsub_stop(struct pubsub *pubsub);

/* The memory of the subscriber struct, before its first change. */
void pubsub_init_subscriber(const struct pubsub *pubsub, struct subscriber *subscriber, struct outbox_address outbox);

/* These suspend, deaf to cancellation. They return (where they return something) 0, or -ESRCH or -EPIPE when
 * the actor has ended. */
int pubsub_run(struct pubsub *pubsub, struct run *run);
int pubsub_change(struct pubsub *pubsub, const struct pubsub_request *request, int *subscriptions);
void pubsub_leave(struct pubsub *pubsub, struct subscriber *subscriber);
int pubsub_read_statistics(struct pubsub *pubsub, struct pubsub_statistics *statistics);

/* The confirmation of one change, as the client gets it; name NULL: there was nothing to unsubscribe from. */
void pubsub_confirm(struct buffer *out, enum pubsub_change change, const struct slice *name, size_t subscriptions);

#endif
