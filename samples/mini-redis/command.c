/* SPDX-License-Identifier: MIT */
/*
 * command.c: the table of commands, finding one by its name, and executing a run of them. The words of the
 * errors are those of Redis 7.0, since clients look at them.
 */
#include "command.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

enum {
    HASH_SLOTS = 256,
    MAX_NAME_BYTES = 16,
    RUN_REPLY_BYTES = 256 * 1024, /* replies beyond this are sent before the run goes on */
};

static const struct command commands[] = {
    { "append", 3, ROUTE_KEYS, command_append, "write denyoom fast", 1, 1, 1, false, false },
    { "auth", -2, ROUTE_CONNECTION, command_auth, "noscript loading stale fast no_auth", 0, 0, 0, true, false },
    { "client", -2, ROUTE_CONNECTION, command_client, "noscript loading stale", 0, 0, 0, false, false },
    { "command", -1, ROUTE_ANY, command_command, "loading stale", 0, 0, 0, false, false },
    { "config", -2, ROUTE_CONNECTION, command_config, "admin noscript loading stale", 0, 0, 0, false, false },
    { "dbsize", 1, ROUTE_ALL_SHARDS, command_dbsize, "readonly fast", 0, 0, 0, false, false },
    { "decr", 2, ROUTE_KEYS, command_decr, "write denyoom fast", 1, 1, 1, false, false },
    { "del", -2, ROUTE_ALL_SHARDS, command_del, "write", 1, -1, 1, false, false },
    { "echo", 2, ROUTE_ANY, command_echo, "fast", 0, 0, 0, false, false },
    { "exists", -2, ROUTE_ALL_SHARDS, command_exists, "readonly fast", 1, -1, 1, false, false },
    { "expire", -3, ROUTE_KEYS, command_expire, "write fast", 1, 1, 1, false, false },
    { "flushall", -1, ROUTE_ALL_SHARDS, command_flushall, "write", 0, 0, 0, false, false },
    { "get", 2, ROUTE_KEYS, command_get, "readonly fast", 1, 1, 1, false, false },
    { "getdel", 2, ROUTE_KEYS, command_getdel, "write fast", 1, 1, 1, false, false },
    { "host:", -1, ROUTE_CONNECTION, command_abuse, "readonly loading stale", 0, 0, 0, false, false },
    { "hello", -1, ROUTE_CONNECTION, command_hello, "noscript loading stale fast no_auth", 0, 0, 0, true, false },
    { "incr", 2, ROUTE_KEYS, command_incr, "write denyoom fast", 1, 1, 1, false, false },
    { "incrby", 3, ROUTE_KEYS, command_incrby, "write denyoom fast", 1, 1, 1, false, false },
    { "info", -1, ROUTE_CONNECTION, command_info, "loading stale", 0, 0, 0, false, false },
    { "keys", 2, ROUTE_ALL_SHARDS, command_keys, "readonly", 0, 0, 0, false, false },
    { "mget", -2, ROUTE_ALL_SHARDS, command_mget, "readonly fast", 1, -1, 1, false, false },
    { "mset", -3, ROUTE_ALL_SHARDS, command_mset, "write denyoom", 1, -1, 2, false, false },
    { "persist", 2, ROUTE_KEYS, command_persist, "write fast", 1, 1, 1, false, false },
    { "pexpire", -3, ROUTE_KEYS, command_pexpire, "write fast", 1, 1, 1, false, false },
    { "ping", -1, ROUTE_ANY, command_ping, "fast", 0, 0, 0, false, true },
    { "post", -1, ROUTE_CONNECTION, command_abuse, "readonly loading stale", 0, 0, 0, false, false },
    { "psubscribe", -2, ROUTE_CONNECTION, command_psubscribe, "pubsub noscript loading stale", 0, 0, 0, false, true },
    { "pttl", 2, ROUTE_KEYS, command_pttl, "readonly fast", 1, 1, 1, false, false },
    { "publish", 3, ROUTE_PUBSUB, command_publish, "pubsub loading stale fast", 0, 0, 0, false, false },
    { "punsubscribe", -1, ROUTE_CONNECTION, command_punsubscribe, "pubsub noscript loading stale", 0, 0, 0, false,
      true },
    { "quit", -1, ROUTE_CONNECTION, command_quit, "noscript loading stale fast no_auth", 0, 0, 0, true, true },
    { "reset", 1, ROUTE_CONNECTION, command_reset, "noscript loading stale fast no_auth", 0, 0, 0, true, true },
    { "select", 2, ROUTE_ANY, command_select, "loading stale fast", 0, 0, 0, false, false },
    { "set", -3, ROUTE_KEYS, command_set, "write denyoom", 1, 1, 1, false, false },
    { "strlen", 2, ROUTE_KEYS, command_strlen, "readonly fast", 1, 1, 1, false, false },
    { "subscribe", -2, ROUTE_CONNECTION, command_subscribe, "pubsub noscript loading stale", 0, 0, 0, false, true },
    { "ttl", 2, ROUTE_KEYS, command_ttl, "readonly fast", 1, 1, 1, false, false },
    { "type", 2, ROUTE_KEYS, command_type, "readonly fast", 1, 1, 1, false, false },
    { "unsubscribe", -1, ROUTE_CONNECTION, command_unsubscribe, "pubsub noscript loading stale", 0, 0, 0, false, true },
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

/* ---- by name ------------------------------------------------------------------------------------------- */

/* Open addressing over twice as many slots as needed, and more; filled once. */
static struct slot {
    const struct command *command;
    size_t name_size;
} by_hash[HASH_SLOTS];
static pthread_once_t by_hash_once = PTHREAD_ONCE_INIT;

/* Writes the name in lower case; returns its hash. */
static unsigned fold_name(char *folded, struct slice name)
{
    unsigned hash = 0;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        folded[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        hash = hash * 31 + (unsigned char)folded[i];
    }
    return hash % HASH_SLOTS;
}

static void fill_by_hash(void)
{
    char folded[MAX_NAME_BYTES];
    for (size_t i = 0; i < COMMANDS; i++) {
        struct slice name = { { commands[i].name }, strlen(commands[i].name) };
        assert(name.size <= MAX_NAME_BYTES);
        unsigned slot = fold_name(folded, name);
        while (by_hash[slot].command != NULL)
            slot = (slot + 1) % HASH_SLOTS;
        by_hash[slot] = (struct slot){ &commands[i], name.size };
    }
}

void command_table_init(void)
{
    pthread_once(&by_hash_once, fill_by_hash);
}

const struct command *command_find(struct slice name)
{
    char folded[MAX_NAME_BYTES];
    if (name.size > MAX_NAME_BYTES)
        return NULL;
    unsigned slot = fold_name(folded, name);
    while (by_hash[slot].command != NULL &&
           (by_hash[slot].name_size != name.size || memcmp(by_hash[slot].command->name, folded, name.size) != 0))
        slot = (slot + 1) % HASH_SLOTS;
    return by_hash[slot].command;
}

const struct command *command_at(size_t index)
{
    assert(index < COMMANDS);
    return &commands[index];
}

size_t command_count(void)
{
    return COMMANDS;
}

/* ---- errors, which are commands too, so that they keep their place among the replies ------------------- */

/* Redis shows arguments as C strings: up to a NUL byte. */
static int shown(struct slice text, size_t most)
{
    return (int)strnlen(text.data, text.size < most ? text.size : most);
}

static void unknown_command(struct context *context, const struct slice *argv, uint32_t argc)
{
    char shown_args[160] = "";
    size_t size = 0;
    for (uint32_t i = 1; i < argc && size < 128; i++) {
        int bytes = shown(argv[i], 128 - size);
        shown_args[size++] = '\'';
        memcpy(shown_args + size, argv[i].data, (size_t)bytes);
        size += (size_t)bytes;
        memcpy(shown_args + size, "' ", 2);
        size += 2;
    }
    reply_error(context->out, "ERR unknown command '%.*s', with args beginning with: %.*s", shown(argv[0], 128),
                argv[0].data, (int)size, shown_args);
}

void reply_unknown_subcommand(struct buffer *out, struct slice subcommand, const char *command)
{
    reply_error(out, "ERR unknown subcommand '%.*s'. Try %s HELP.", shown(subcommand, 128), subcommand.data, command);
}

static void wrong_arity(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    reply_wrong_arity(context->out, command_find(argv[0])->name);
}

static const struct command unknown = {
    .name = "unknown", .execute = unknown_command, .before_auth = true, .in_subscription = true
};
static const struct command misused = {
    .name = "misused", .execute = wrong_arity, .before_auth = true, .in_subscription = true
};

const struct command *command_check(const struct slice *argv, uint32_t argc)
{
    const struct command *command = command_find(argv[0]);
    if (command == NULL)
        return &unknown;
    int count = argc < INT32_MAX ? (int)argc : INT32_MAX;
    if (command->arity > 0 ? count != command->arity : count < -command->arity)
        return &misused;
    return command;
}

/* ---- executing ----------------------------------------------------------------------------------------- */

void run_execute(struct run *run, struct context *context)
{
    context->out = run->out;
    while (run->next < run->end && run->out->size < RUN_REPLY_BYTES) {
        const struct resp_request *request = &run->requests[run->next];
        request->command->execute(context, run->arguments + request->first, request->argc);
        if (run->reply_ends != NULL)
            run->reply_ends[run->next] = run->out->size;
        run->next++;
    }
}
