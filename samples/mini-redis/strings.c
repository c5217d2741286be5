/* SPDX-License-Identifier: MIT */
/* strings.c: the commands on values: GET, SET and their kin. Each is a function of its arguments and the
 * keyspace. */
#include "command.h"

#include <stdlib.h>

static void reply_no_memory(struct buffer *out)
{
    REPLY(out, "-ERR out of memory\r\n");
}

static void reply_value(struct buffer *out, const struct entry *entry)
{
    if (entry == NULL)
        REPLY(out, "$-1\r\n");
    else
        reply_bulk(out, entry_value(entry));
}

void command_get(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    reply_value(context->out, keyspace_read(context->keyspace, argv[1]));
}

void command_getdel(struct context *context, const struct slice *argv, uint32_t argc)
{
    command_get(context, argv, argc);
    keyspace_remove(context->keyspace, argv[1]);
}

void command_mget(struct context *context, const struct slice *argv, uint32_t argc)
{
    reply_array(context->out, argc - 1);
    for (uint32_t i = 1; i < argc; i++)
        reply_value(context->out, keyspace_read(context->keyspace, argv[i]));
}

void command_strlen(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    const struct entry *entry = keyspace_read(context->keyspace, argv[1]);
    reply_integer(context->out, entry ? entry->value_size : 0);
}

/* ---- SET ----------------------------------------------------------------------------------------------- */

struct set_options {
    bool if_missing, if_present, get, keep_ttl;
    enum { NO_TIME, EX, PX, EXAT, PXAT } kind;
    const struct slice *time;
};

/* EX, PX, EXAT, PXAT: they exclude each other, and KEEPTTL. Of one given twice the last counts. */
static bool parse_time_option(struct set_options *options, struct slice word, const struct slice *next)
{
    static const char *const words[] = { [EX] = "ex", [PX] = "px", [EXAT] = "exat", [PXAT] = "pxat" };
    for (unsigned kind = EX; kind <= PXAT; kind++) {
        if (!slice_is(word, words[kind]))
            continue;
        if (next == NULL || options->keep_ttl || (options->kind != NO_TIME && options->kind != kind))
            return false;
        options->kind = kind;
        options->time = next;
        return true;
    }
    return false;
}

static bool parse_set_options(struct set_options *options, const struct slice *argv, uint32_t argc)
{
    for (uint32_t i = 3; i < argc; i++) {
        if (slice_is(argv[i], "nx") && !options->if_present)
            options->if_missing = true;
        else if (slice_is(argv[i], "xx") && !options->if_missing)
            options->if_present = true;
        else if (slice_is(argv[i], "get"))
            options->get = true;
        else if (slice_is(argv[i], "keepttl") && options->kind == NO_TIME)
            options->keep_ttl = true;
        else if (parse_time_option(options, argv[i], i + 1 < argc ? &argv[i + 1] : NULL))
            i++;
        else
            return false;
    }
    return true;
}

/* The time to live that SET was given, as an absolute time. False: an error has been written. */
static bool read_expiry(struct context *context, const struct set_options *options, int64_t *expires_ms)
{
    int64_t time, now = context->keyspace->now_ms;
    int64_t unit_ms = options->kind == EX || options->kind == EXAT ? 1000 : 1;
    bool absolute = options->kind == EXAT || options->kind == PXAT;
    if (!resp_parse_integer(*options->time, &time)) {
        REPLY(context->out, "-ERR value is not an integer or out of range\r\n");
        return false;
    }
    if (time > 0 && time <= INT64_MAX / unit_ms) {
        time *= unit_ms;
        if (absolute || time <= INT64_MAX - now) {
            time += absolute ? 0 : now;
            *expires_ms = time < NEVER ? time : NEVER - 1;
            return true;
        }
    }
    REPLY(context->out, "-ERR invalid expire time in 'set' command\r\n");
    return false;
}

static void set_with_options(struct context *context, const struct slice *argv, uint32_t argc)
{
    struct set_options options = { 0 };
    int64_t expires_ms = NEVER;
    if (!parse_set_options(&options, argv, argc)) {
        REPLY(context->out, "-ERR syntax error\r\n");
        return;
    }
    if (options.kind != NO_TIME && !read_expiry(context, &options, &expires_ms))
        return;
    const struct entry *old =
        options.get ? keyspace_read(context->keyspace, argv[1]) : keyspace_find(context->keyspace, argv[1]);
    size_t before = context->out->size;
    if (options.get)
        reply_value(context->out, old);
    if (old != NULL ? options.if_missing : options.if_present) {
        if (!options.get)
            REPLY(context->out, "$-1\r\n");
        return;
    }
    if (options.keep_ttl && old != NULL)
        expires_ms = old->expires_ms;
    bool done = keyspace_set(context->keyspace, argv[1], argv[2], expires_ms);
    if (!done) {
        context->out->size = before; /* the old value is still there: it is no answer */
        reply_no_memory(context->out);
    } else if (!options.get) {
        REPLY(context->out, "+OK\r\n");
    }
}

void command_set(struct context *context, const struct slice *argv, uint32_t argc)
{
    if (argc > 3)
        set_with_options(context, argv, argc);
    else if (keyspace_set(context->keyspace, argv[1], argv[2], NEVER))
        REPLY(context->out, "+OK\r\n");
    else
        reply_no_memory(context->out);
}

void command_mset(struct context *context, const struct slice *argv, uint32_t argc)
{
    if (argc % 2 == 0) {
        reply_wrong_arity(context->out, "mset");
        return;
    }
    struct keyspace *keyspace = context->keyspace;
    for (const struct slice *key = argv + 1, *end = argv + argc; key < end; key += 2) {
        if (!keyspace_set(keyspace, key[0], key[1], NEVER)) {
            reply_no_memory(context->out);
            return;
        }
    }
    REPLY(context->out, "+OK\r\n");
}

void command_append(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    struct entry *entry = keyspace_find(context->keyspace, argv[1]);
    size_t before = entry ? entry->value_size : 0;
    size_t after = before + argv[2].size;
    if (after > context->keyspace->max_value_bytes) {
        REPLY(context->out, "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
        return;
    }
    entry = keyspace_resize(context->keyspace, argv[1], after);
    if (entry == NULL) {
        reply_no_memory(context->out);
        return;
    }
    slice_copy(entry->bytes + argv[1].size + before, argv[2]);
    reply_integer(context->out, (int64_t)after);
}

/* ---- INCR ---------------------------------------------------------------------------------------------- */

/*
 * Nine of ten INCRs change no more than the last digit: that needs no number, and the reply is the same text. False: a digit
 * carries, the text is no number, or it is not so simple for another reason; nothing was done.
 */
static bool add_to_last_digit(struct buffer *out, struct entry *entry, int64_t amount)
{
    char *text = entry->bytes + entry->node.key_size, digits[DIGITS_ROOM] = { 0 };
    size_t size = entry->value_size;
    if (size == 0 || size > 18 || (text[0] == '0' && size > 1))
        return false;
    uint64_t last = (uint64_t)text[size - 1] - '0' + (uint64_t)amount; /* below zero becomes a large number */
    if (last > 9)
        return false;
    for (size_t i = 0; i < size; i++) {
        digits[i] = text[i];
        if ((unsigned char)(text[i] - '0') > 9)
            return false;
    }
    digits[size - 1] = text[size - 1] = (char)('0' + last);
    reply_digits(out, digits, size);
    return true;
}

static void add(struct context *context, struct slice key, int64_t amount)
{
    struct entry *entry = keyspace_find(context->keyspace, key);
    int64_t value = 0;
    if (entry != NULL && add_to_last_digit(context->out, entry, amount))
        return;
    if (entry != NULL && !resp_parse_integer(entry_value(entry), &value)) {
        REPLY(context->out, "-ERR value is not an integer or out of range\r\n");
        return;
    }
    if (__builtin_add_overflow(value, amount, &value)) {
        REPLY(context->out, "-ERR increment or decrement would overflow\r\n");
        return;
    }
    char digits[DIGITS_ROOM] = { 0 };
    size_t size = format_integer(digits, value);
    /* The usual INCR finds room for its result in the old one's place. */
    if (entry == NULL || size > entry->value_capacity)
        entry = keyspace_resize(context->keyspace, key, size);
    if (entry == NULL) {
        reply_no_memory(context->out);
        return;
    }
    slice_copy(entry->bytes + key.size, (struct slice){ { digits }, size });
    entry->value_size = (uint32_t)size;
    reply_digits(context->out, digits, size);
}

void command_incr(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    add(context, argv[1], 1);
}

void command_decr(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    add(context, argv[1], -1);
}

void command_incrby(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    int64_t amount;
    if (resp_parse_integer(argv[2], &amount))
        add(context, argv[1], amount);
    else
        REPLY(context->out, "-ERR value is not an integer or out of range\r\n");
}
