/* SPDX-License-Identifier: MIT */
/*
 * clients.h: the actor that knows every connection: how many there may be, what CLIENT LIST shows, and whom
 * to wake when the server stops.
 */
#ifndef MINI_REDIS_CLIENTS_H
#define MINI_REDIS_CLIENTS_H

#include "reply.h"
#include <troupe.h>

#include <stdatomic.h>

struct clients;

/* What the actor knows of a connection; part of struct connection, which is linked in from clients_enter to
 * clients_leave. */
struct client {
    struct client *next, *previous;
    uint64_t id;
    struct tr_stream *stream;
    tr_time since;
    char *name; /* written by the actor, in a call of the connection itself */

    /* Written by the connection, read by the actor at any time. */
    _Atomic(int64_t) active_at;
    _Atomic(const char *) last_command; /* its name; NULL: none yet, or one that is not known */
    atomic_uint channels, patterns;     /* subscriptions */
    _Atomic(uint64_t) commands;         /* executed, without those that were refused */
};

struct clients_statistics {
    unsigned connected, subscribed;
    uint64_t received, rejected, commands;
};

/* Which clients CLIENT LIST shows: all, those of a kind, or those with these ids. */
struct clients_filter {
    enum { CLIENTS_ALL, CLIENTS_NORMAL, CLIENTS_PUBSUB, CLIENTS_NONE, CLIENTS_IDS } kind;
    const int64_t *ids;
    size_t id_count;
};

/* Thread: task. Suspends: no. */
int clients_start(struct clients **out, unsigned max_clients);

/* Suspends: yes. */
void clients_stop(struct clients *clients);

/* All of these suspend, deaf to cancellation, and return 0 or -ESRCH or -EPIPE (the actor has ended), or as
 * said. */

/* Gives the client an id. Returns -ENOBUFS when there are too many. */
int clients_enter(struct clients *clients, struct client *client);
void clients_leave(struct clients *clients, struct client *client);
/* An empty name is none. Returns -ENOMEM. */
int clients_rename(struct clients *clients, struct client *client, struct slice name);
int clients_list(struct clients *clients, const struct clients_filter *filter, struct buffer *out);
int clients_read_statistics(struct clients *clients, struct clients_statistics *statistics);
/* Aborts the streams of all, so that each connection ends by itself; those that come later are refused. In a shield. */
void clients_abort(struct clients *clients);

#endif
