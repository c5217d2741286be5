/* SPDX-License-Identifier: MIT */
/*
 * fuzz_reply.c: libFuzzer target for all that a Redis client reads: replies and URLs (samples/redis-manager/redis_wire.c).
 *
 * The one idea: however the bytes are cut into pieces, the parser must say the same. The first byte chooses what is
 * tried, the second how the rest is cut; a reply that was read is written out again, and read back it must be equal.
 * The source is included, not linked, so that its allocations can be made to fail.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool memory_is_short;

static void *fuzz_malloc(size_t bytes)
{
    return memory_is_short ? NULL : malloc(bytes);
}

#define malloc fuzz_malloc
#include "redis_wire.c"
#undef malloc

#define MOST 2048

/* The first byte. */
enum { TRY_URL = 1, TRY_SHORT_MEMORY = 2, TRY_LONG_LINE = 4 };

#define must(condition) ((condition) ? (void)0 : (fprintf(stderr, "not so: %s\n", #condition), abort()))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t append(char *out, size_t at, const char *text, size_t length)
{
    memcpy(out + at, text, length);
    return at + length;
}

/* Writes a value as RESP2; touches every byte of it. */
static size_t write_value(const struct redis_value *value, char *out, size_t at)
{
    char line[32];
    switch (value->type) {
    case REDIS_NIL:
        return append(out, at, "$-1\r\n", 5);
    case REDIS_STATUS:
    case REDIS_ERROR:
        at = append(out, at, value->type == REDIS_STATUS ? "+" : "-", 1);
        at = append(out, at, value->text, value->length);
        must(value->text[value->length] == '\0');
        return append(out, at, "\r\n", 2);
    case REDIS_INTEGER:
        return append(out, at, line, (size_t)sprintf(line, ":%lld\r\n", (long long)value->integer));
    case REDIS_STRING:
        at = append(out, at, line, (size_t)sprintf(line, "$%u\r\n", value->length));
        at = append(out, at, value->text, value->length);
        must(value->text[value->length] == '\0');
        return append(out, at, "\r\n", 2);
    case REDIS_ARRAY:
        at = append(out, at, line, (size_t)sprintf(line, "*%u\r\n", value->length));
        for (uint32_t i = 0; i < value->length; i++)
            at = write_value(&value->items[i], out, at);
        return at;
    }
    abort();
}

/* Feeds the bytes in pieces, each in memory of its own that ends where they end. */
static int parse_pieces(const uint8_t *data, size_t size, size_t piece, struct redis_reply *reply, size_t *used)
{
    struct redis_parser parser = { .most_bytes = size > REDIS_LINE_BYTES ? SIZE_MAX : MOST };
    for (size_t have = piece < size ? piece : size;; have = size - have > piece ? have + piece : size) {
        char *exact = malloc(have + !have);
        memcpy(exact, data, have);
        int rc = redis_parse(&parser, exact, have, reply, used);
        free(exact);
        if (rc != 0 || have == size)
            return rc;
    }
}

/* The bytes, and behind them a line that is longer than any line may be. */
static void try_long_line(const uint8_t *data, size_t size)
{
    struct redis_reply reply = { 0 };
    size_t used, long_size = size + REDIS_LINE_BYTES + 1;
    uint8_t *text = malloc(long_size);
    memcpy(text, data, size);
    memset(text + size, 'a', long_size - size);
    if (parse_pieces(text, long_size, REDIS_LINE_BYTES / 2, &reply, &used) == 1)
        redis_reply_clear(&reply);
    free(text);
}

static void try_reply(const uint8_t *data, size_t size, size_t piece)
{
    struct redis_reply whole = { 0 }, pieces = { 0 }, again = { 0 };
    size_t whole_used = 0, pieces_used = 0, again_used = 0;
    int rc = parse_pieces(data, size, size + 1, &whole, &whole_used);
    int pieces_rc = parse_pieces(data, size, piece, &pieces, &pieces_used);
    /* Of bytes that are both malformed and too many, either may be said. */
    must(pieces_rc == rc || (rc < 0 && pieces_rc < 0));
    if (rc != 1)
        return;
    must(whole_used == pieces_used && whole_used <= size);
    redis_reply_settle(&whole);
    redis_reply_settle(&pieces);
    /* Written out a value can be longer than it came, by no more than its own length ("*-1" and "$-1" are alike). */
    static char first[4 * MOST], second[4 * MOST];
    size_t length = write_value(&whole.value, first, 0);
    must(write_value(&pieces.value, second, 0) == length && memcmp(first, second, length) == 0);
    if (length <= MOST) {
        must(parse_pieces((uint8_t *)first, length, piece, &again, &again_used) == 1 && again_used == length);
        redis_reply_settle(&again);
        must(write_value(&again.value, second, 0) == length && memcmp(first, second, length) == 0);
    }
    redis_reply_clear(&pieces);
    redis_reply_move(&pieces, &again);
    redis_reply_clear(&whole);
    redis_reply_clear(&pieces);
    redis_reply_clear(&again);
}

static char *encode(size_t count, const struct redis_bytes *arguments, size_t *length)
{
    char *out = malloc(redis_encoded_most(count, arguments));
    *length = (size_t)(redis_encode(out, count, arguments) - out);
    must(*length <= redis_encoded_most(count, arguments));
    return out;
}

/* The two commands that are written in a way of their own are the same bytes. */
static void try_short_forms(struct redis_bytes key, struct redis_bytes value)
{
    size_t length;
    char *get = malloc(key.length + REDIS_GET_MOST), *set = malloc(key.length + value.length + REDIS_SET_MOST);
    char *same = encode(2, (struct redis_bytes[]){ { "GET", 3 }, key }, &length);
    must(redis_encode_get(get, key) == get + length && memcmp(get, same, length) == 0);
    free(same);
    same = encode(3, (struct redis_bytes[]){ { "SET", 3 }, key, value }, &length);
    must(redis_encode_set(set, key, value) == set + length && memcmp(set, same, length) == 0);
    free(same);
    free(set);
    free(get);
}

/* A URL is understood or refused with a sentence; a command made of its parts is as long as was counted. */
static void try_url(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), error[128];
    memcpy(text, data, size);
    text[size] = '\0';
    struct redis_url url;
    if (redis_url_parse(&url, text, error, sizeof error) < 0) {
        must(strncmp(error, "byte ", 5) == 0);
    } else {
        must(url.host[0] != '\0' && url.port != 0);
        struct redis_bytes arguments[] = { { "AUTH", 4 }, { url.user, strlen(url.user) }, { text, size } };
        size_t length;
        free(encode(3, arguments, &length));
        arguments[2].length = size < 1000 ? size : 999; /* as long as they may be */
        try_short_forms(arguments[1], arguments[2]);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    memory_is_short = data[0] & TRY_SHORT_MEMORY;
    if (data[0] & TRY_URL)
        try_url(data + 2, size - 2);
    else if (data[0] & TRY_LONG_LINE)
        try_long_line(data + 2, size - 2);
    else
        try_reply(data + 2, size - 2, 1 + data[1] % 32);
    return 0;
}
