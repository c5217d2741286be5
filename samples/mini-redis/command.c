/* SPDX-License-Identifier: MIT */
/*
 * command.c: the table of commands, finding one by its name, and executing a run of them. The words of the
 * errors are those of Redis 7.0, since clients look at them.
 */
#include "command.h"

#include <assert.h>
#include <ctype.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>
#include <troupe.h>

enum {
    HASH_SLOTS = 256,
    MAX_NAME_BYTES = 16,
    MANY_KEYS = 64,
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
    { "host:", -1, ROUTE_CONNECTION, command_abuse, "readonly loading stale", 0, 0, 0, true, false },
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
    { "post", -1, ROUTE_CONNECTION, command_abuse, "readonly loading stale", 0, 0, 0, true, false },
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

/* What commands with subcommands know; their arity counts both names. */
static const struct subcommand {
    void (*of)(struct context *context, const struct slice *argv, uint32_t argc);
    const char *name;
    int arity;
} subcommands[] = {
    { command_client, "client|getname", 2 }, { command_client, "client|id", 2 },
    { command_client, "client|list", -2 },   { command_client, "client|setname", 3 },
    { command_command, "command|count", 2 }, { command_command, "command|docs", -2 },
    { command_command, "command|info", -2 }, { command_command, "command|list", -2 },
    { command_config, "config|get", -3 },
};

/* ---- by name ------------------------------------------------------------------------------------------- */

/* A name in lower case, as numbers: what is behind it is zero. */
struct folded {
    uint64_t low, high;
};

/* Open addressing over twice as many slots as needed, and more; filled once. */
static struct slot {
    struct folded name;
    const struct command *command;
} by_hash[HASH_SLOTS];
static pthread_once_t prepared = PTHREAD_ONCE_INIT;

/* The first 0 to 8 bytes, as a number; every read stays within them. */
static inline uint64_t load_some(const char *at, size_t bytes)
{
    uint64_t word = 0;
    uint32_t low, high;
    if (bytes >= 8) {
        memcpy(&word, at, 8);
    } else if (bytes >= 4) {
        memcpy(&low, at, 4);
        memcpy(&high, at + bytes - 4, 4);
        word = low | (uint64_t)high << (8 * (bytes - 4));
    } else if (bytes > 0) {
        word = (uint64_t)(unsigned char)at[0] | (uint64_t)(unsigned char)at[bytes / 2] << (8 * (bytes / 2)) |
               (uint64_t)(unsigned char)at[bytes - 1] << (8 * (bytes - 1));
    }
    return word;
}

/* Eight bytes at once: those from A to Z get the bit that makes them lower case. */
static inline uint64_t fold_word(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101;
    uint64_t low = word & 0x7f * ones;
    uint64_t from_a = low + (0x80 - 'A') * ones, past_z = low + (0x7f - 'Z') * ones; /* in the top bits */
    uint64_t upper = (from_a & ~past_z & ~word) & 0x80 * ones;
    return word | upper >> 2;
}

static inline struct folded fold_name(struct slice name)
{
    size_t bytes = name.size < 8 ? name.size : 8;
    struct folded folded = { fold_word(load_some(name.data, bytes)), 0 };
    if (name.size > 8)
        folded.high = fold_word(load_some(name.data + 8, name.size - 8));
    return folded;
}

static inline unsigned hash_name(struct folded name)
{
    return (unsigned)((name.low * 0x9e3779b97f4a7c15 ^ name.high * 0xd1b54a32d192ed03) >> 32) % HASH_SLOTS;
}

static void fill_by_hash(void)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        struct slice name = { { commands[i].name }, strlen(commands[i].name) };
        assert(name.size <= MAX_NAME_BYTES);
        struct folded folded = fold_name(name);
        unsigned slot = hash_name(folded);
        while (by_hash[slot].command != NULL)
            slot = (slot + 1) % HASH_SLOTS;
        by_hash[slot] = (struct slot){ folded, &commands[i] };
    }
}

/*
 * libc's heap makes itself ready when it is first asked for something, and two threads at once break it. In a program with
 * another allocator (a preloaded one, a sanitizer's) that would be in INFO.
 */
static void prepare(void)
{
    fill_by_hash();
    (void)mallinfo2();
}

void command_init(void)
{
    pthread_once(&prepared, prepare);
}

/* A NUL byte behind a name would fold to the same numbers: it is no part of any. */
const struct command *command_find(struct slice name)
{
    if (name.size == 0 || name.size > MAX_NAME_BYTES || name.data[name.size - 1] == '\0')
        return NULL;
    struct folded folded = fold_name(name);
    unsigned slot = hash_name(folded);
    while (by_hash[slot].command != NULL &&
           (by_hash[slot].name.low != folded.low || by_hash[slot].name.high != folded.high))
        slot = (slot + 1) % HASH_SLOTS;
    return by_hash[slot].command;
}

const struct command *command_at(size_t index)
{
    assert(index < COMMANDS);
    return &commands[index];
}

static const struct subcommand no_such; /* the command has others */

/* NULL: none is meant. */
static const struct subcommand *find_subcommand(const struct command *command, const struct slice *argv, uint32_t argc)
{
    const struct subcommand *found = NULL;
    if (command->first_key > 0 || argc == 1) /* what works on keys has no subcommands */
        return NULL;
    for (size_t i = 0; i < sizeof subcommands / sizeof subcommands[0]; i++) {
        if (subcommands[i].of != command->execute)
            continue;
        if (slice_is(argv[1], strchr(subcommands[i].name, '|') + 1))
            return &subcommands[i];
        found = &no_such;
    }
    return found;
}

const char *command_full_name(const struct command *command, const struct slice *argv, uint32_t argc)
{
    const struct subcommand *subcommand = find_subcommand(command, argv, argc);
    return subcommand != NULL ? subcommand->name : command->name;
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

static void unknown_subcommand(struct context *context, const struct slice *argv, uint32_t argc)
{
    char name[MAX_NAME_BYTES + 1] = "";
    for (size_t i = 0; i < argv[0].size; i++)
        name[i] = (char)toupper((unsigned char)argv[0].data[i]);
    (void)argc;
    reply_error(context->out, "ERR unknown subcommand '%.*s'. Try %s HELP.", shown(argv[1], 128), argv[1].data, name);
}

static void wrong_arity(struct context *context, const struct slice *argv, uint32_t argc)
{
    reply_wrong_arity(context->out, command_full_name(command_find(argv[0]), argv, argc));
}

static const struct command unknown = {
    .name = "unknown", .execute = unknown_command, .before_auth = true, .in_subscription = true
};
static const struct command unknown_within = {
    .name = "unknown", .execute = unknown_subcommand, .before_auth = true, .in_subscription = true
};
static const struct command misused = {
    .name = "misused", .execute = wrong_arity, .before_auth = true, .in_subscription = true
};

static bool suits(int arity, uint32_t argc)
{
    int count = argc < INT32_MAX ? (int)argc : INT32_MAX;
    return arity > 0 ? count == arity : count >= -arity;
}

const struct command *command_check(const struct slice *argv, uint32_t argc)
{
    const struct command *command = command_find(argv[0]);
    if (command == NULL)
        return &unknown;
    const struct subcommand *subcommand = find_subcommand(command, argv, argc);
    if (subcommand == &no_such)
        return &unknown_within;
    return suits(subcommand != NULL ? subcommand->arity : command->arity, argc) ? command : &misused;
}

/* ---- executing ----------------------------------------------------------------------------------------- */

/* Its work grows with the keyspace, or with keys that are many. */
static bool may_take_long(const struct resp_request *request)
{
    return request->command->route == ROUTE_ALL_SHARDS &&
           (request->command->first_key == 0 || request->argc > MANY_KEYS);
}

void run_execute(struct run *run, struct context *context)
{
    context->out = run->out;
    while (run->next < run->end && run->out->size < RUN_REPLY_BYTES) {
        const struct resp_request *request = &run->requests[run->next];
        request->command->execute(context, run->arguments + request->first, request->argc);
        if (run->reply_ends != NULL)
            run->reply_ends[run->next] = run->out->size;
        run->next++;
        if (may_take_long(request) && tr_clock() - tr_after(0) > TR_MILLISECOND)
            break; /* others want their turn, and keys expire meanwhile */
    }
}
