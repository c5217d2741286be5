/* SPDX-License-Identifier: MIT */
/* keys.c: the commands on keys whatever their values: DEL, EXISTS, their times to live, KEYS. */
#include "command.h"
#include "glob.h"

#include <string.h>

void command_del(struct context *context, const struct slice *argv, uint32_t argc)
{
    int64_t removed = 0;
    for (uint32_t i = 1; i < argc; i++)
        removed += keyspace_remove(context->keyspace, argv[i]);
    reply_integer(context->out, removed);
}

void command_exists(struct context *context, const struct slice *argv, uint32_t argc)
{
    int64_t found = 0;
    for (uint32_t i = 1; i < argc; i++)
        found += keyspace_read(context->keyspace, argv[i]) != NULL;
    reply_integer(context->out, found);
}

void command_type(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    if (keyspace_read(context->keyspace, argv[1]) != NULL)
        REPLY(context->out, "+string\r\n");
    else
        REPLY(context->out, "+none\r\n");
}

void command_dbsize(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    reply_integer(context->out, (int64_t)context->keyspace->keys.size);
}

void command_flushall(struct context *context, const struct slice *argv, uint32_t argc)
{
    if (argc > 2 || (argc == 2 && !slice_is(argv[1], "async") && !slice_is(argv[1], "sync"))) {
        REPLY(context->out, "-ERR syntax error\r\n");
        return;
    }
    keyspace_clear(context->keyspace);
    REPLY(context->out, "+OK\r\n");
}

/* ---- KEYS ---------------------------------------------------------------------------------------------- */

struct search {
    struct slice pattern;
    bool all; /* the pattern is "*": the empty key, too */
    struct buffer *out;
    size_t found;
};

static void list_if_match(void *context, struct slice key)
{
    struct search *search = context;
    if (search->all || glob_match(search->pattern, key, false)) {
        reply_bulk(search->out, key);
        search->found++;
    }
}

void command_keys(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    struct buffer *out = context->out;
    struct search search = { argv[1], argv[1].size == 1 && argv[1].data[0] == '*', out, 0 };
    size_t begin = out->size;
    keyspace_each(context->keyspace, list_if_match, &search);
    /* How many there are is known only now, and stands in front. */
    size_t elements = out->size - begin;
    reply_array(out, search.found);
    if (out->failed)
        return;
    char header[24];
    size_t header_size = out->size - begin - elements;
    memcpy(header, out->data + begin + elements, header_size);
    memmove(out->data + begin + header_size, out->data + begin, elements);
    memcpy(out->data + begin, header, header_size);
}

/* ---- times to live ------------------------------------------------------------------------------------- */

struct expire_options {
    bool if_none, if_any, if_later, if_sooner;
};

static bool parse_expire_options(struct buffer *out, struct expire_options *options, const struct slice *argv,
                                 uint32_t argc)
{
    for (uint32_t i = 3; i < argc; i++) {
        if (slice_is(argv[i], "nx")) {
            options->if_none = true;
        } else if (slice_is(argv[i], "xx")) {
            options->if_any = true;
        } else if (slice_is(argv[i], "gt")) {
            options->if_later = true;
        } else if (slice_is(argv[i], "lt")) {
            options->if_sooner = true;
        } else {
            reply_error(out, "ERR Unsupported option %.*s", (int)argv[i].size, argv[i].data);
            return false;
        }
    }
    if (options->if_none && (options->if_any || options->if_later || options->if_sooner)) {
        REPLY(out, "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n");
        return false;
    }
    if (options->if_later && options->if_sooner) {
        REPLY(out, "-ERR GT and LT options at the same time are not compatible\r\n");
        return false;
    }
    return true;
}

/* The argument, in units of `unit_ms` from now, as an absolute time. */
static bool read_time(struct context *context, struct slice text, int64_t unit_ms, int64_t *when_ms)
{
    int64_t time;
    if (!resp_parse_integer(text, &time)) {
        REPLY(context->out, "-ERR value is not an integer or out of range\r\n");
        return false;
    }
    if (__builtin_mul_overflow(time, unit_ms, &time) ||
        __builtin_add_overflow(time, context->keyspace->now_ms, &time)) {
        reply_error(context->out, "ERR invalid expire time in '%s' command", unit_ms == 1 ? "pexpire" : "expire");
        return false;
    }
    *when_ms = time < NEVER ? time : NEVER - 1;
    return true;
}

static bool may_expire(const struct expire_options *options, int64_t old_ms, int64_t new_ms)
{
    return !(options->if_none && old_ms != NEVER) && !(options->if_any && old_ms == NEVER) &&
           !(options->if_later && (old_ms == NEVER || new_ms <= old_ms)) && !(options->if_sooner && new_ms >= old_ms);
}

static void expire(struct context *context, const struct slice *argv, uint32_t argc, int64_t unit_ms)
{
    struct expire_options options = { 0 };
    int64_t when_ms;
    if (!parse_expire_options(context->out, &options, argv, argc) || !read_time(context, argv[2], unit_ms, &when_ms))
        return;
    struct entry *entry = keyspace_find(context->keyspace, argv[1]);
    if (entry == NULL || !may_expire(&options, entry->expires_ms, when_ms)) {
        REPLY(context->out, ":0\r\n");
        return;
    }
    if (when_ms <= context->keyspace->now_ms)
        keyspace_remove(context->keyspace, argv[1]);
    else
        keyspace_set_expiry(context->keyspace, entry, when_ms);
    REPLY(context->out, ":1\r\n");
}

void command_expire(struct context *context, const struct slice *argv, uint32_t argc)
{
    expire(context, argv, argc, 1000);
}

void command_pexpire(struct context *context, const struct slice *argv, uint32_t argc)
{
    expire(context, argv, argc, 1);
}

/* What is left in milliseconds; -1: no time to live; -2: no key. */
static int64_t time_left(struct context *context, struct slice key)
{
    const struct entry *entry = keyspace_read(context->keyspace, key);
    if (entry == NULL)
        return -2;
    return entry->expires_ms == NEVER ? -1 : entry->expires_ms - context->keyspace->now_ms;
}

void command_ttl(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    int64_t left = time_left(context, argv[1]);
    reply_integer(context->out, left < 0 ? left : left / 1000 + (left % 1000 >= 500));
}

void command_pttl(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    reply_integer(context->out, time_left(context, argv[1]));
}

void command_persist(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    struct entry *entry = keyspace_find(context->keyspace, argv[1]);
    bool had_ttl = entry != NULL && entry->expires_ms != NEVER;
    if (had_ttl)
        keyspace_set_expiry(context->keyspace, entry, NEVER);
    reply_integer(context->out, had_ttl);
}
