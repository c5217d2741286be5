/* SPDX-License-Identifier: MIT */
/* clients.c: see clients.h. */
#include "clients.h"
#include "ending.h"
#include "turn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { MAILBOX_CAPACITY = 256 };

TR_REPLY_TYPE(clients_reply, int);

struct clients_message {
    enum { ENTER, LEAVE, RENAME, LIST, STATISTICS, ABORT } kind;
    struct client *client;               /* ENTER, LEAVE, RENAME */
    const struct slice *name;            /* RENAME */
    const struct clients_filter *filter; /* LIST */
    struct buffer *out;                  /* LIST */
    struct clients_statistics *statistics;
    struct clients_reply reply;
};
TR_ADDRESS_TYPE(clients_address, struct clients_message);

struct clients {
    struct clients_address address;
    struct tr_task actor;
    struct client *first, *last; /* as they came */
    unsigned count, max;
    uint64_t last_id, rejected;
    uint64_t commands; /* of clients that have left */
    bool stopping;
};

/* ---- the actor ----------------------------------------------------------------------------------------- */

static int enter(struct clients *clients, struct client *client)
{
    client->id = ++clients->last_id;
    if (clients->stopping || clients->count == clients->max) {
        clients->rejected++;
        return ENOBUFS;
    }
    clients->count++;
    client->next = NULL;
    client->previous = clients->last;
    if (clients->last != NULL)
        clients->last->next = client;
    else
        clients->first = client;
    clients->last = client;
    return 0;
}

static void leave(struct clients *clients, struct client *client)
{
    clients->count--;
    clients->commands += atomic_load_explicit(&client->commands, memory_order_relaxed);
    if (client->next != NULL)
        client->next->previous = client->previous;
    else
        clients->last = client->previous;
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        clients->first = client->next;
}

static int rename_client(struct client *client, struct slice name)
{
    char *copy = NULL;
    if (name.size > 0) {
        copy = malloc(name.size + 1);
        if (copy == NULL)
            return ENOMEM;
        memcpy(copy, name.data, name.size); /* a slice has no terminator, which strndup may look for under ASan */
        copy[name.size] = '\0';
    }
    free(client->name);
    client->name = copy;
    return 0;
}

static unsigned subscriptions(const struct client *client)
{
    return atomic_load_explicit(&client->channels, memory_order_relaxed) +
           atomic_load_explicit(&client->patterns, memory_order_relaxed);
}

static void read_statistics(const struct clients *clients, struct clients_statistics *out)
{
    *out = (struct clients_statistics){
        .connected = clients->count,
        .received = clients->last_id - clients->rejected,
        .rejected = clients->rejected,
        .commands = clients->commands,
    };
    for (const struct client *client = clients->first; client != NULL; client = client->next) {
        out->commands += atomic_load_explicit(&client->commands, memory_order_relaxed);
        out->subscribed += subscriptions(client) > 0;
    }
}

static bool is_shown(const struct clients_filter *filter, const struct client *client)
{
    switch (filter->kind) {
    case CLIENTS_ALL:
        return true;
    case CLIENTS_NORMAL:
        return subscriptions(client) == 0;
    case CLIENTS_PUBSUB:
        return subscriptions(client) > 0;
    case CLIENTS_NONE:
    case CLIENTS_IDS: /* list_by_ids */
        break;
    }
    return false;
}

/* "127.0.0.1:6379" of our end of the connection. */
static void local_address(int fd, char *text, size_t bytes)
{
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof address;
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (getsockname(fd, (struct sockaddr *)&address, &size) == 0 && address.ss_family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        port = ntohs(in->sin_port);
    } else if (address.ss_family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        port = ntohs(in6->sin6_port);
    }
    snprintf(text, bytes, "%s:%u", host, port);
}

static void list_client(const struct client *client, struct buffer *out)
{
    char peer[80] = "?", local[80];
    tr_stream_peer(client->stream, peer, sizeof peer);
    local_address(tr_stream_fd(client->stream), local, sizeof local);
    const char *last = atomic_load_explicit(&client->last_command, memory_order_relaxed);
    tr_time now = tr_clock();
    buffer_format(out,
                  "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld flags=%s db=0 sub=%u psub=%u "
                  "cmd=%s user=default resp=2\n",
                  (unsigned long long)client->id, peer, local, tr_stream_fd(client->stream),
                  client->name ? client->name : "", (long long)((now - client->since) / TR_SECOND),
                  (long long)((now - atomic_load_explicit(&client->active_at, memory_order_relaxed)) / TR_SECOND),
                  subscriptions(client) > 0 ? "P" : "N", atomic_load_explicit(&client->channels, memory_order_relaxed),
                  atomic_load_explicit(&client->patterns, memory_order_relaxed), last ? last : "NULL");
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t left = (*(const struct client *const *)a)->id, right = (*(const struct client *const *)b)->id;
    return (left > right) - (left < right);
}

/* In the order of the ids. Both they and the clients may be many, so each is looked up among the clients, whose ids grow. */
static void list_by_ids(const struct clients *clients, const struct clients_filter *filter, struct buffer *out)
{
    size_t count = 0;
    const struct client **by_id = calloc(clients->count, sizeof *by_id);
    if (by_id == NULL) {
        out->failed = true;
        return;
    }
    for (const struct client *client = clients->first; client != NULL; client = client->next)
        by_id[count++] = client;
    for (size_t i = 0; i < filter->id_count; i++) {
        const struct client *wanted = &(struct client){ .id = (uint64_t)filter->ids[i] };
        const struct client **found = bsearch(&wanted, by_id, count, sizeof *by_id, compare_ids);
        if (found != NULL)
            list_client(*found, out);
    }
    free(by_id);
}

static void list(const struct clients *clients, const struct clients_filter *filter, struct buffer *out)
{
    for (const struct client *client = clients->first; client != NULL; client = client->next) {
        if (is_shown(filter, client))
            list_client(client, out);
    }
    if (filter->kind == CLIENTS_IDS)
        list_by_ids(clients, filter, out);
}

static int on_message(void *state, void *message)
{
    struct clients *clients = state;
    struct clients_message *m = message;
    int answer = 0;
    take_turn();
    switch (m->kind) {
    case ENTER:
        answer = enter(clients, m->client);
        break;
    case LEAVE:
        leave(clients, m->client);
        break;
    case RENAME:
        answer = rename_client(m->client, *m->name);
        break;
    case LIST:
        list(clients, m->filter, m->out);
        break;
    case STATISTICS:
        read_statistics(clients, m->statistics);
        break;
    case ABORT:
        clients->stopping = true;
        for (struct client *client = clients->first; client != NULL; client = client->next)
            tr_stream_abort(client->stream);
        break;
    }
    tr_reply(m->reply, &answer);
    return 0;
}

/* ---- for others ---------------------------------------------------------------------------------------- */

int clients_start(struct clients **out, unsigned max_clients)
{
    struct clients *clients = calloc(1, sizeof *clients);
    if (clients == NULL)
        return -ENOMEM;
    clients->max = max_clients;
    struct tr_actor_options options = { .name = "clients", .capacity = MAILBOX_CAPACITY, .task = &clients->actor };
    int rc = tr_spawn_handler(&clients->address, on_message, clients, &options);
    if (rc < 0) {
        free(clients);
        return rc;
    }
    *out = clients;
    return 0;
}

void clients_stop(struct clients *clients)
{
    struct tr_shield shield;
    tr_shield_open(&shield, TR_FOREVER);
    tr_actor_stop(clients->address);
    await_end(clients->actor);
    tr_shield_close(&shield);
    free(clients);
}

/* The actor's answer is 0 or an errno; both kinds of failure come out negative. */
static int call(struct clients *clients, const struct clients_message *message)
{
    struct tr_shield shield;
    int answer = 0;
    tr_shield_open(&shield, TR_FOREVER);
    int rc = tr_call(clients->address, &answer, TR_FOREVER, message);
    tr_shield_close(&shield);
    return rc == 0 ? -answer : rc;
}

int clients_enter(struct clients *clients, struct client *client)
{
    return call(clients, &(struct clients_message){ .kind = ENTER, .client = client });
}

void clients_leave(struct clients *clients, struct client *client)
{
    /* Without memory for its mailbox the actor has not been told, and would go on with what is about to be freed. */
    while (call(clients, &(struct clients_message){ .kind = LEAVE, .client = client }) == -ENOMEM)
        tr_yield();
    free(client->name);
}

int clients_rename(struct clients *clients, struct client *client, struct slice name)
{
    return call(clients, &(struct clients_message){ .kind = RENAME, .client = client, .name = &name });
}

int clients_list(struct clients *clients, const struct clients_filter *filter, struct buffer *out)
{
    return call(clients, &(struct clients_message){ .kind = LIST, .filter = filter, .out = out });
}

int clients_read_statistics(struct clients *clients, struct clients_statistics *statistics)
{
    return call(clients, &(struct clients_message){ .kind = STATISTICS, .statistics = statistics });
}

void clients_abort(struct clients *clients)
{
    /* Not by a call: inside a shield that has run out its answer would not be waited for, and it would be skipped. */
    int rc;
    do {
        rc = tr_send(clients->address, TR_FOREVER, &(struct clients_message){ .kind = ABORT });
        if (rc < 0)
            tr_yield();
    } while (rc == -ETIMEDOUT || rc == -ENOMEM);
}
