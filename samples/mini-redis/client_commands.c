/* SPDX-License-Identifier: MIT */
/* client_commands.c: the commands about the connection itself: AUTH, HELLO, CLIENT, QUIT, RESET, and
 * subscribing. */
#include "connection.h"

#include <errno.h>
#include <stdlib.h>

void command_ping(struct context *context, const struct slice *argv, uint32_t argc)
{
    if (argc > 2)
        reply_wrong_arity(context->out, "ping");
    else if (argc == 2)
        reply_bulk(context->out, argv[1]);
    else
        REPLY(context->out, "+PONG\r\n");
}

void command_quit(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    REPLY(context->out, "+OK\r\n");
    context->connection->closing = true;
}

void command_abuse(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    tr_log(TR_LOG_WARNING, "client %llu speaks HTTP, perhaps on behalf of an attacker: it is closed",
           (unsigned long long)context->connection->client.id);
    context->connection->abandoned = true;
}

/* ---- who it is ----------------------------------------------------------------------------------------- */

/* Compares without telling by its time how much was right. */
static bool is_password(const char *password, struct slice given)
{
    size_t size = strlen(password);
    unsigned char difference = size != given.size;
    for (size_t i = 0; i < given.size; i++)
        difference |= (unsigned char)(given.data[i] ^ password[size > 0 ? i % size : 0]);
    return difference == 0;
}

/* There is one user, "default"; without a password it may give any. */
static bool authenticate(struct connection *connection, struct slice user, struct slice password)
{
    const char *wanted = connection->server->options.password;
    bool right =
        user.size == 7 && memcmp(user.data, "default", 7) == 0 && (wanted == NULL || is_password(wanted, password));
    if (right)
        connection->authenticated = true;
    else
        REPLY(&connection->out, "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    return right;
}

void command_auth(struct context *context, const struct slice *argv, uint32_t argc)
{
    struct connection *connection = context->connection;
    if (argc > 3) {
        REPLY(context->out, "-ERR syntax error\r\n");
    } else if (argc == 2 && connection->server->options.password == NULL) {
        REPLY(context->out, "-ERR AUTH <password> called without any password configured for the default user. Are "
                            "you sure your configuration is correct?\r\n");
    } else if (authenticate(connection, argc == 2 ? LITERAL("default") : argv[1], argv[argc - 1])) {
        REPLY(context->out, "+OK\r\n");
    }
}

/* Names the client; without blanks and control characters, so that CLIENT LIST stays readable. */
static bool rename_client(struct connection *connection, struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] < '!' || name.data[i] > '~') {
            REPLY(&connection->out, "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
            return false;
        }
    }
    if (clients_rename(connection->server->clients, &connection->client, name) == 0)
        return true;
    REPLY(&connection->out, "-ERR out of memory\r\n");
    return false;
}

/* ---- HELLO --------------------------------------------------------------------------------------------- */

/* "HELLO [version [AUTH user password] [SETNAME name]]". False: an error has been written. */
static bool parse_hello(struct connection *connection, const struct slice *argv, uint32_t argc)
{
    struct buffer *out = &connection->out;
    int64_t version;
    if (argc > 1 && !resp_parse_integer(argv[1], &version)) {
        REPLY(out, "-ERR Protocol version is not an integer or out of range\r\n");
        return false;
    }
    if (argc > 1 && version != 2) { /* RESP3 is not spoken here */
        REPLY(out, "-NOPROTO unsupported protocol version\r\n");
        return false;
    }
    for (uint32_t i = 2; i < argc; i++) {
        uint32_t more = argc - i - 1;
        if (slice_is(argv[i], "auth") && more >= 2) {
            if (!authenticate(connection, argv[i + 1], argv[i + 2]))
                return false;
            i += 2;
        } else if (slice_is(argv[i], "setname") && more >= 1) {
            if (!rename_client(connection, argv[i + 1]))
                return false;
            i++;
        } else {
            reply_error(out, "ERR Syntax error in HELLO option '%.*s'", (int)argv[i].size, argv[i].data);
            return false;
        }
    }
    return true;
}

void command_hello(struct context *context, const struct slice *argv, uint32_t argc)
{
    struct connection *connection = context->connection;
    struct buffer *out = context->out;
    if (!parse_hello(connection, argv, argc))
        return;
    if (!connection->authenticated) {
        REPLY(out, "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH "
                   "<user> <pass> option can be used to authenticate the client and select the RESP protocol version "
                   "at the same time\r\n");
        return;
    }
    REPLY(out, "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:2\r\n"
               "$2\r\nid\r\n");
    reply_integer(out, (int64_t)connection->client.id);
    REPLY(out, "$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n");
}

/* ---- CLIENT -------------------------------------------------------------------------------------------- */

static void client_getname(struct connection *connection)
{
    const char *name = connection->client.name;
    if (name != NULL)
        reply_bulk(&connection->out, (struct slice){ { name }, strlen(name) });
    else
        REPLY(&connection->out, "$-1\r\n");
}

static void list_clients(struct connection *connection, const struct clients_filter *filter)
{
    struct buffer lines = { 0 };
    buffer_reserve(&lines, 1);
    if (clients_list(connection->server->clients, filter, &lines) < 0 || lines.failed)
        REPLY(&connection->out, "-ERR out of memory\r\n");
    else
        reply_bulk(&connection->out, (struct slice){ { lines.data }, lines.size });
    buffer_deinit(&lines);
}

static void list_by_type(struct connection *connection, struct slice type)
{
    struct clients_filter filter = { .kind = CLIENTS_NONE };
    if (slice_is(type, "normal")) {
        filter.kind = CLIENTS_NORMAL;
    } else if (slice_is(type, "pubsub")) {
        filter.kind = CLIENTS_PUBSUB;
    } else if (!slice_is(type, "master") && !slice_is(type, "replica") && !slice_is(type, "slave")) {
        reply_error(&connection->out, "ERR Unknown client type '%.*s'", (int)type.size, type.data);
        return;
    }
    list_clients(connection, &filter);
}

static void list_by_id(struct connection *connection, const struct slice *argv, uint32_t count)
{
    int64_t *ids = calloc(count, sizeof *ids);
    if (ids == NULL) {
        REPLY(&connection->out, "-ERR out of memory\r\n");
        return;
    }
    bool valid = true;
    for (uint32_t i = 0; i < count && valid; i++)
        valid = resp_parse_integer(argv[i], &ids[i]);
    if (valid)
        list_clients(connection, &(struct clients_filter){ CLIENTS_IDS, ids, count });
    else
        REPLY(&connection->out, "-ERR Invalid client ID\r\n");
    free(ids);
}

static void client_list(struct connection *connection, const struct slice *argv, uint32_t argc)
{
    if (argc == 2)
        list_clients(connection, &(struct clients_filter){ .kind = CLIENTS_ALL });
    else if (argc == 4 && slice_is(argv[2], "type"))
        list_by_type(connection, argv[3]);
    else if (argc > 3 && slice_is(argv[2], "id"))
        list_by_id(connection, argv + 3, argc - 3);
    else
        REPLY(&connection->out, "-ERR syntax error\r\n");
}

void command_client(struct context *context, const struct slice *argv, uint32_t argc)
{
    struct connection *connection = context->connection;
    if (slice_is(argv[1], "id"))
        reply_integer(context->out, (int64_t)connection->client.id);
    else if (slice_is(argv[1], "getname"))
        client_getname(connection);
    else if (slice_is(argv[1], "list"))
        client_list(connection, argv, argc);
    else if (rename_client(connection, argv[2])) /* setname */
        REPLY(context->out, "+OK\r\n");
}

/* ---- subscribing --------------------------------------------------------------------------------------- */

static void set_limit(struct connection *connection, bool subscribed)
{
    const struct mini_redis_options *options = &connection->server->options;
    outbox_set_limit(outbox_address(connection->outbox), subscribed ? options->pubsub_limit : options->normal_limit);
}

static void note_subscriptions(struct connection *connection, unsigned subscriptions)
{
    if ((subscriptions > 0) != (connection->subscriptions > 0))
        set_limit(connection, subscriptions > 0);
    connection->subscriptions = subscriptions;
    atomic_store_explicit(&connection->client.channels, (unsigned)connection->subscriber.channels.size,
                          memory_order_relaxed);
    atomic_store_explicit(&connection->client.patterns, (unsigned)connection->subscriber.patterns.size,
                          memory_order_relaxed);
}

/* The replies so far go to the outbox; the confirmations follow them there, sent by the pubsub actor. */
static void change_subscriptions(struct connection *connection, enum pubsub_change change, const struct slice *argv,
                                 uint32_t argc)
{
    int subscriptions = 0, rc = connection_use_outbox(connection);
    if (rc == 0 && !connection->has_subscribed) {
        pubsub_init_subscriber(connection->server->pubsub, &connection->subscriber, outbox_address(connection->outbox));
        connection->has_subscribed = true;
    }
    if (rc == 0) {
        struct pubsub_request request = { change, &connection->subscriber, argv + 1, argc - 1 };
        rc = pubsub_change(connection->server->pubsub, &request, &subscriptions);
    }
    if (rc < 0)
        connection->abandoned = true;
    else
        note_subscriptions(connection, (unsigned)subscriptions);
}

/* Nothing is known of a client that never subscribed, so nothing has to be asked. */
static void unsubscribe(struct connection *connection, enum pubsub_change change, const struct slice *argv,
                        uint32_t argc)
{
    if (connection->has_subscribed) {
        change_subscriptions(connection, change, argv, argc);
        return;
    }
    for (uint32_t i = 1; i < argc; i++)
        pubsub_confirm(&connection->out, change, &argv[i], 0);
    if (argc == 1)
        pubsub_confirm(&connection->out, change, NULL, 0);
}

void command_subscribe(struct context *context, const struct slice *argv, uint32_t argc)
{
    change_subscriptions(context->connection, SUBSCRIBE, argv, argc);
}

void command_psubscribe(struct context *context, const struct slice *argv, uint32_t argc)
{
    change_subscriptions(context->connection, PSUBSCRIBE, argv, argc);
}

void command_unsubscribe(struct context *context, const struct slice *argv, uint32_t argc)
{
    unsubscribe(context->connection, UNSUBSCRIBE, argv, argc);
}

void command_punsubscribe(struct context *context, const struct slice *argv, uint32_t argc)
{
    unsubscribe(context->connection, PUNSUBSCRIBE, argv, argc);
}

void command_reset(struct context *context, const struct slice *argv, uint32_t argc)
{
    struct connection *connection = context->connection;
    (void)argv;
    (void)argc;
    if (connection->has_subscribed) {
        connection_leave_pubsub(connection);
        note_subscriptions(connection, 0);
    }
    rename_client(connection, LITERAL(""));
    connection->authenticated = connection->server->options.password == NULL;
    REPLY(context->out, "+RESET\r\n");
}
