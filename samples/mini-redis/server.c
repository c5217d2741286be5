/* SPDX-License-Identifier: MIT */
/* server.c: starting, accepting, stopping. See server.h, and connection.h for what a server is made of. */
#include "connection.h"
#include "ending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
    DEFAULT_CLIENTS = 10000,
    SPARE_FILES = 64, /* what the process needs besides connections */
};

static const int64_t ACCEPT_PAUSE = 50 * TR_MILLISECOND;
static const int64_t ADDRESS_PATIENCE = 500 * TR_MILLISECOND, ADDRESS_PAUSE = 10 * TR_MILLISECOND;

/* ---- options ------------------------------------------------------------------------------------------- */

/* As many clients as are wanted and the limit of open files allows; the soft limit is raised if need be. */
static unsigned clients_that_fit(unsigned wanted)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return wanted;
    rlim_t needed = (rlim_t)wanted + SPARE_FILES;
    if (files.rlim_cur < needed) {
        files.rlim_cur = files.rlim_max < needed ? files.rlim_max : needed;
        setrlimit(RLIMIT_NOFILE, &files);
        getrlimit(RLIMIT_NOFILE, &files);
    }
    if (files.rlim_cur >= needed)
        return wanted;
    unsigned fit = files.rlim_cur > SPARE_FILES ? (unsigned)(files.rlim_cur - SPARE_FILES) : 1;
    tr_log(TR_LOG_WARNING, "the limit of open files is %llu: at most %u clients instead of %u",
           (unsigned long long)files.rlim_cur, fit, wanted);
    return fit;
}

static void free_options(struct mini_redis_options *options)
{
    free((char *)options->host);
    free((char *)options->password);
}

static int copy_options(struct mini_redis_options *to, const struct mini_redis_options *from)
{
    if (from != NULL)
        *to = *from;
    const char *password = to->password;
    to->host = strdup(to->host ? to->host : "127.0.0.1");
    to->password = password && *password ? strdup(password) : NULL;
    if (to->host == NULL || (password && *password && to->password == NULL)) {
        free_options(to);
        return -ENOMEM;
    }
    if (to->shards == 0)
        to->shards = 1;
    if (to->query_buffer_bytes == 0)
        to->query_buffer_bytes = (size_t)1 << 30;
    if (to->max_bulk_bytes == 0)
        to->max_bulk_bytes = (size_t)512 << 20;
    if (!to->pubsub_limit_given && to->pubsub_limit.hard_bytes == 0 && to->pubsub_limit.soft_bytes == 0 &&
        to->pubsub_limit.soft_seconds == 0)
        to->pubsub_limit = (struct mini_redis_output_limit){ (size_t)32 << 20, (size_t)8 << 20, 60 };
    to->max_clients = clients_that_fit(to->max_clients ? to->max_clients : DEFAULT_CLIENTS);
    return 0;
}

/* ---- accepting ----------------------------------------------------------------------------------------- */

/*
 * Without a free descriptor, say, the connection stays in the kernel's queue: wait for one, and tell of it now and then.
 * Whatever else it is, the network's errors among it (see accept(2)), a server that goes on is better than one that is deaf.
 */
static int wait_to_accept(int why, tr_time *said_at)
{
    if (*said_at == 0 || tr_clock() - *said_at > 10 * TR_SECOND) {
        tr_log(TR_LOG_WARNING, "cannot accept: %s; trying again", strerror(-why));
        *said_at = tr_clock();
    }
    return tr_sleep(ACCEPT_PAUSE);
}

static int accept_task(void *argument)
{
    struct mini_redis *server = argument;
    tr_time said_at = 0;
    int rc = 0;
    while (rc != -ECANCELED) {
        struct tr_stream *stream;
        rc = tr_tcp_accept(server->listener, &stream, TR_FOREVER);
        if (rc == 0 && connection_start(server, stream) < 0)
            tr_stream_close(stream);
        else if (rc < 0 && rc != -ECONNABORTED && rc != -ECANCELED)
            rc = wait_to_accept(rc, &said_at);
    }
    return 0; /* the server stops */
}

/* ---- starting and stopping ----------------------------------------------------------------------------- */

static void end_actors(struct mini_redis *server)
{
    if (server->pubsub != NULL)
        pubsub_stop(server->pubsub);
    if (server->shards.count > 0)
        shards_stop(&server->shards);
    if (server->clients != NULL)
        clients_stop(server->clients);
    free_options(&server->options);
    free(server);
}

static int start_actors(struct mini_redis *server)
{
    const struct mini_redis_options *options = &server->options;
    int rc = clients_start(&server->clients, options->max_clients);
    if (rc == 0)
        rc = shards_start(&server->shards, options->shards, options->max_bulk_bytes);
    if (rc == 0)
        rc = pubsub_start(&server->pubsub);
    return rc;
}

/*
 * The kernel closes what a killed process had in an io_uring some time after the process has gone, 10 to 40 ms on a quiet machine:
 * who is started in its place waits for the address.
 */
static int listen_in_time(struct mini_redis *server)
{
    tr_time until = tr_clock() + ADDRESS_PATIENCE;
    int rc, slept = 0;
    do {
        rc = tr_tcp_listen(&server->listener, server->options.host, server->options.port, NULL);
    } while (rc == -EADDRINUSE && tr_clock() < until && (slept = tr_sleep(ADDRESS_PAUSE)) == 0);
    return slept < 0 ? slept : rc;
}

int mini_redis_start(struct mini_redis **out, const struct mini_redis_options *options)
{
    struct mini_redis *server = calloc(1, sizeof *server);
    if (server == NULL)
        return -ENOMEM;
    command_init();
    int rc = copy_options(&server->options, options);
    if (rc < 0) {
        free(server);
        return rc;
    }
    server->started = tr_clock();
    rc = listen_in_time(server);
    if (rc == 0) {
        server->options.port = tr_listener_port(server->listener);
        rc = start_actors(server);
    }
    if (rc == 0)
        rc = tr_task_spawn(&server->acceptor, accept_task, server, &(struct tr_task_options){ .name = "acceptor" });
    if (rc < 0) {
        if (server->listener != NULL)
            tr_listener_close(server->listener);
        end_actors(server);
        return rc;
    }
    *out = server;
    return 0;
}

uint16_t mini_redis_port(const struct mini_redis *server)
{
    return server->options.port;
}

/* Until the last connection task has left. Each was woken by clients_abort, or cancelled by the runtime. */
static int wait_for_connections(struct mini_redis *server, tr_time deadline)
{
    while (atomic_load_explicit(&server->live, memory_order_acquire) > 0) {
        if (tr_clock() >= deadline)
            return -ETIMEDOUT;
        if (tr_sleep(TR_MILLISECOND) < 0)
            tr_yield(); /* a shield around ours has run out of time */
    }
    return 0;
}

int mini_redis_stop(struct mini_redis *server, tr_time deadline)
{
    struct tr_shield shield;
    tr_shield_open(&shield, TR_FOREVER); /* the waits have their own deadline */
    atomic_store_explicit(&server->shards.stopping, true, memory_order_relaxed);
    if (server->listener != NULL) {
        /* First the acceptor: it may be about to use the listener, not only in the middle of using it. */
        tr_task_cancel(server->acceptor);
        await_end(server->acceptor);
        tr_listener_close(server->listener);
        server->listener = NULL;
    }
    clients_abort(server->clients);
    int rc = wait_for_connections(server, deadline);
    if (rc == 0)
        end_actors(server);
    tr_shield_close(&shield);
    return rc;
}
