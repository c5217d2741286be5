/* SPDX-License-Identifier: MIT */
/*
 * connection.c: see connection.h. The way of a request:
 *
 *     tr_read -> in -> resp_parse -> requests --run--> shard | pubsub | here -> out -> tr_write
 *
 * All requests of one read are one batch. The batch is cut into runs of neighbours with the same route; a run
 * is handed over in one call, and its replies are written straight into `out`, which then goes out in one
 * write. A batch of plain commands is one run.
 */
#include "connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    FIRST_READ_BYTES = 16 * 1024,
    MOST_IDLE_BYTES = 64 * 1024, /* of a read buffer that holds nothing */
    LEAST_READ_BYTES = 4 * 1024,
};

static const int64_t STALL = 100 * TR_MILLISECOND; /* a write that takes longer is the outbox's */
static const int64_t GOODBYE = 10 * TR_SECOND; /* a slow client that takes nothing of the last replies for so long */

/* ---- writing ------------------------------------------------------------------------------------------- */

static int open_outbox(struct connection *connection)
{
    int rc = outbox_open(&connection->outbox, connection->stream, connection->server->options.normal_limit);
    if (rc < 0)
        connection->outbox = NULL;
    return rc;
}

static int push(struct connection *connection, const char *data, size_t bytes)
{
    struct payload *payload = payload_create(data, bytes);
    if (payload == NULL)
        return -ENOMEM;
    int rc = outbox_push(outbox_address(connection->outbox), payload);
    payload_unref(payload);
    return rc;
}

/* Writes the replies. A client that does not read gets an outbox, so that this task can go on reading. */
static int write_replies(struct connection *connection)
{
    struct iovec piece = { .iov_base = connection->out.data, .iov_len = connection->out.size };
    size_t written;
    int rc = tr_write_v(connection->stream, &piece, 1, &written, tr_after(STALL));
    if (rc == -ETIMEDOUT && written < connection->out.size) {
        rc = open_outbox(connection);
        if (rc == 0)
            rc = push(connection, connection->out.data + written, connection->out.size - written);
    }
    return rc == -ETIMEDOUT ? 0 : rc;
}

static int flush(struct connection *connection)
{
    int rc = 0;
    if (atomic_load_explicit(&connection->server->shards.stopping, memory_order_relaxed))
        return -ECANCELED;
    if (connection->out.failed)
        return -ENOMEM;
    if (connection->out.size == 0)
        return 0;
    if (connection->outbox != NULL)
        rc = push(connection, connection->out.data, connection->out.size);
    else
        rc = write_replies(connection);
    buffer_clear(&connection->out);
    return rc;
}

int connection_use_outbox(struct connection *connection)
{
    int rc = connection->outbox != NULL ? 0 : open_outbox(connection);
    return rc < 0 ? rc : flush(connection);
}

void connection_leave_pubsub(struct connection *connection)
{
    if (connection->has_subscribed)
        pubsub_leave(connection->server->pubsub, &connection->subscriber);
    connection->has_subscribed = false;
}

/* ---- executing ----------------------------------------------------------------------------------------- */

static void not_authenticated(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    REPLY(context->out, "-NOAUTH Authentication required.\r\n");
}

static void not_in_subscription(struct context *context, const struct slice *argv, uint32_t argc)
{
    const char *name = command_find(argv[0])->name;
    bool has_subcommands =
        argc > 1 && (slice_is(argv[0], "client") || slice_is(argv[0], "config") || slice_is(argv[0], "command"));
    char full[64];
    int size = snprintf(full, sizeof full, "%s|%.*s", name, (int)argv[argc > 1].size, argv[argc > 1].data);
    for (int i = 0; i < size && i < (int)sizeof full; i++)
        full[i] |= full[i] >= 'A' && full[i] <= 'Z' ? 0x20 : 0;
    reply_error(context->out,
                "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
                "this context",
                has_subcommands ? full : name);
}

static void ping_in_subscription(struct context *context, const struct slice *argv, uint32_t argc)
{
    if (argc > 2) {
        reply_wrong_arity(context->out, "ping");
        return;
    }
    REPLY(context->out, "*2\r\n$4\r\npong\r\n");
    reply_bulk(context->out, argc == 2 ? argv[1] : LITERAL(""));
}

static const struct command noauth = { .name = "noauth", .route = ROUTE_ANY, .execute = not_authenticated };
static const struct command refused = { .name = "refused", .route = ROUTE_ANY, .execute = not_in_subscription };
static const struct command pong = { .name = "ping", .arity = -1, .route = ROUTE_ANY, .execute = ping_in_subscription };

/* The command of the request, or one that writes why it is not executed. */
static const struct command *choose_command(const struct connection *connection, const struct slice *argv,
                                            uint32_t argc)
{
    const struct command *command = command_check(argv, argc);
    if (!connection->authenticated && !command->before_auth)
        return &noauth;
    if (connection->subscriptions > 0) {
        if (!command->in_subscription)
            return &refused;
        if (command->execute == command_ping)
            return &pong;
    }
    return command;
}

/* Who executes the command: with these routes a run can go on, or must end. */
static enum route owner_of(const struct command *command)
{
    return command->route == ROUTE_ALL_SHARDS ? ROUTE_KEYS : command->route;
}

/*
 * Has the form of the one before it: then it has its command too, found without looking, if that was chosen in the same run:
 * nothing has been executed since, so the connection's state is the same. Not where a subcommand may decide.
 */
static bool is_another(const struct slice *arguments, const struct resp_request *request)
{
    const struct resp_request *before = request - 1;
    struct slice name = arguments[request->first], other = arguments[before->first];
    return (before->command->first_key > 0 || request->argc == 1) && request->argc == before->argc &&
           name.size == other.size && dict_same(name.data, other.data, name.size);
}

/*
 * Chooses the commands of the requests from run->next on, up to the first that needs another owner than those
 * before it. Returns the owner; run->end is set.
 */
static enum route choose_run(struct connection *connection, struct run *run, size_t count)
{
    enum route owner = ROUTE_ANY;
    struct resp_request *requests = connection->parser.requests;
    size_t i = run->next;
    for (; i < count; i++) {
        struct resp_request *request = &requests[i];
        request->command = i > run->next && is_another(run->arguments, request)
                               ? request[-1].command
                               : choose_command(connection, run->arguments + request->first, request->argc);
        enum route wanted = owner_of(request->command);
        if (wanted == ROUTE_ANY)
            continue;
        /* What a command does to the connection can change how the next one is to be taken: it is always
         * alone. */
        if (owner == ROUTE_ANY && wanted == ROUTE_CONNECTION && i > run->next)
            break;
        if (owner != ROUTE_ANY && wanted != owner)
            break;
        owner = wanted;
        if (owner == ROUTE_CONNECTION) {
            i++;
            break;
        }
    }
    run->end = i;
    return owner;
}

static bool was_refused(const struct resp_request *request)
{
    return request->command->arity == 0;
}

/* For CLIENT LIST: the request is the last one. */
static void note_command(struct connection *connection, const struct resp_request *request)
{
    const struct slice *argv = connection->parser.arguments + request->first;
    const struct command *command = was_refused(request) ? command_find(argv[0]) : request->command;
    const char *name = command != NULL ? command_full_name(command, argv, request->argc) : NULL;
    atomic_store_explicit(&connection->client.last_command, name, memory_order_relaxed);
}

static int execute_run(struct connection *connection, struct run *run, enum route owner)
{
    switch (owner) {
    case ROUTE_KEYS:
    case ROUTE_ALL_SHARDS:
        return shards_run(&connection->server->shards, run);
    case ROUTE_PUBSUB:
        return pubsub_run(connection->server->pubsub, run);
    case ROUTE_ANY:
    case ROUTE_CONNECTION:
        break;
    }
    /* Alone in its run; and it may be CLIENT LIST, which shows it. */
    if (owner == ROUTE_CONNECTION)
        note_command(connection, &run->requests[run->next]);
    run_execute(run, &(struct context){ .connection = connection });
    return connection->abandoned ? -ECONNABORTED : 0;
}

/* For CLIENT LIST and INFO: the first `count` requests have been executed, or refused. */
static void note_activity(struct connection *connection, size_t count)
{
    struct client *client = &connection->client;
    const struct resp_request *requests = connection->parser.requests;
    uint64_t commands = atomic_load_explicit(&client->commands, memory_order_relaxed);
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        commands += !was_refused(&requests[i]);
    note_command(connection, &requests[count - 1]);
    atomic_store_explicit(&client->active_at, tr_after(0), memory_order_relaxed);
    atomic_store_explicit(&client->commands, commands, memory_order_relaxed);
}

/* Executes the parser's requests. Replies that grow large are written on the way. */
static int execute_batch(struct connection *connection)
{
    size_t count = connection->parser.request_count;
    struct run run = {
        .arguments = connection->parser.arguments,
        .requests = connection->parser.requests,
        .out = &connection->out,
    };
    while (run.next < count && !connection->closing) {
        enum route owner = choose_run(connection, &run, count);
        int rc = execute_run(connection, &run, owner);
        if (rc < 0)
            return rc;
        if (run.next < run.end) {
            rc = flush(connection);
            if (rc < 0)
                return rc;
        }
    }
    note_activity(connection, run.next);
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* Moves the unfinished request to the front and makes room behind it. */
static bool make_room(struct connection *connection)
{
    struct buffer *in = &connection->in;
    bool was_full = in->size > 0 && in->size == in->capacity;
    size_t left = in->size - connection->in_begin;
    if (connection->in_begin > 0 && left > 0)
        memmove(in->data, in->data + connection->in_begin, left);
    connection->in_begin = 0;
    in->size = left;
    /* A client whose requests fill the buffer gets a larger one: fewer reads, larger batches. No memory for it, no harm. */
    if (was_full && in->capacity < MOST_IDLE_BYTES && !buffer_grow(in, MOST_IDLE_BYTES - left))
        in->failed = false;
    if (left == 0)
        buffer_clear(in);
    return in->capacity - in->size >= LEAST_READ_BYTES || buffer_reserve(in, left > 0 ? left : FIRST_READ_BYTES);
}

/* Reads as long as the client is not idle for too long: one that takes its replies is not, however slowly it does. */
static ssize_t read_some(struct connection *connection)
{
    struct buffer *in = &connection->in;
    int64_t patience = connection->server->options.timeout_seconds * TR_SECOND;
    tr_time end = patience == 0 || connection->subscriptions > 0 ? TR_FOREVER : tr_after(patience);
    for (;;) {
        ssize_t got = tr_read(connection->stream, in->data + in->size, in->capacity - in->size, end);
        if (got != -ETIMEDOUT || connection->outbox == NULL)
            return got;
        end = outbox_progress(connection->outbox) + patience + TR_SECOND; /* it is noted once a second */
        if (end <= tr_after(0))
            return got;
    }
}

/* Reads what there is. Returns a positive number, 0 when the client has sent all, or the reason to end. */
static ssize_t read_more(struct connection *connection)
{
    struct buffer *in = &connection->in;
    if (!make_room(connection))
        return -ENOMEM;
    ssize_t got = read_some(connection);
    if (got > 0)
        in->size += (size_t)got;
    return got;
}

static int check_unfinished(const struct connection *connection)
{
    if (connection->in.size - connection->in_begin <= connection->server->options.query_buffer_bytes)
        return 0;
    tr_log(TR_LOG_WARNING, "client %llu is closed: it reached the query buffer limit",
           (unsigned long long)connection->client.id);
    return -EMSGSIZE;
}

/* Takes and executes the complete requests in the buffer. */
static int serve_input(struct connection *connection)
{
    struct resp_parser *parser = &connection->parser;
    enum resp_status status;
    do {
        size_t used;
        parser->trusted = connection->authenticated;
        status = resp_parse(parser, connection->in.data + connection->in_begin,
                            connection->in.size - connection->in_begin, &used);
        int rc = execute_batch(connection);
        if (rc < 0)
            return rc;
        resp_clear(parser);
        connection->in_begin += used;
    } while (status == RESP_FULL && !connection->closing);
    if (status == RESP_BROKEN && !connection->closing) {
        reply_error(&connection->out, "ERR Protocol error: %s", parser->error);
        connection->closing = true;
    }
    if (connection->closing)
        connection_leave_pubsub(connection); /* before the last words go out: nothing is to come behind them */
    int rc = status == RESP_NO_MEMORY ? -ENOMEM : flush(connection);
    return rc < 0 || connection->closing ? rc : check_unfinished(connection);
}

/* ---- from beginning to end ----------------------------------------------------------------------------- */

static int serve(struct connection *connection)
{
    while (!connection->closing) {
        ssize_t got = read_more(connection);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        int rc = serve_input(connection);
        if (rc < 0)
            return rc;
    }
    connection_leave_pubsub(connection); /* else messages would be added for as long as it reads */
    if (connection->outbox != NULL)
        outbox_drain(connection->outbox, GOODBYE);
    return 0;
}

static void refuse(struct connection *connection)
{
    static const char text[] = "-ERR max number of clients reached\r\n";
    tr_write(connection->stream, text, sizeof text - 1, tr_after(TR_SECOND));
}

static void end_connection(struct connection *connection)
{
    connection_leave_pubsub(connection);
    if (connection->outbox != NULL)
        outbox_close(connection->outbox);
}

static int connection_task(void *argument)
{
    struct connection *connection = argument;
    struct mini_redis *server = connection->server;
    int rc = clients_enter(server->clients, &connection->client);
    if (rc == 0) {
        serve(connection);
        end_connection(connection);
        clients_leave(server->clients, &connection->client);
    } else if (rc == -ENOBUFS) {
        refuse(connection);
    }
    tr_stream_close(connection->stream);
    resp_deinit(&connection->parser);
    buffer_deinit(&connection->in);
    buffer_deinit(&connection->out);
    free(connection);
    atomic_fetch_sub_explicit(&server->live, 1, memory_order_release); /* from here on the server may be gone */
    return 0;
}

int connection_start(struct mini_redis *server, struct tr_stream *stream)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return -ENOMEM;
    connection->server = server;
    connection->stream = connection->client.stream = stream;
    connection->client.since = tr_clock();
    atomic_store_explicit(&connection->client.active_at, connection->client.since, memory_order_relaxed);
    connection->authenticated = server->options.password == NULL;
    resp_init(&connection->parser, server->options.max_bulk_bytes, connection->authenticated);
    int one = 1;
    setsockopt(tr_stream_fd(stream), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(tr_stream_fd(stream), SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    atomic_fetch_add_explicit(&server->live, 1, memory_order_relaxed);
    int rc = tr_task_spawn(NULL, connection_task, connection, &(struct tr_task_options){ .name = "connection" });
    if (rc < 0) {
        atomic_fetch_sub_explicit(&server->live, 1, memory_order_relaxed);
        free(connection);
    }
    return rc;
}
