/* SPDX-License-Identifier: MIT */
/*
 * resp.c: see resp.h. The limits and the words of the errors are those of Redis 7.0 (networking.c there): 64
 * KiB for a line, 2^31-1 arguments, proto-max-bulk-len for one argument, 10 arguments and 16 KiB before AUTH.
 * Memory grows with what has really arrived, never with what a length claims.
 *
 * One difference: Redis searches the end of a line with strchr and so waits for ever on one that holds a NUL
 * byte; here NUL is a byte like any other.
 */
#include "resp.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LINE_BYTES = 64 * 1024,
    MAX_BATCH = 1024,
    MAX_ARGUMENTS_UNTRUSTED = 10,
    MAX_BULK_UNTRUSTED = 16 * 1024,
    KEPT_ARGUMENTS = 8 * 1024, /* room for more is given back when it is not needed */
};

/* What became of one step: it was taken, its end has not arrived, or it is wrong (error is set). */
enum step { TAKEN, PARTIAL, WRONG, NO_MEMORY };

void resp_init(struct resp_parser *parser, size_t max_bulk_bytes, bool trusted)
{
    *parser = (struct resp_parser){ .max_bulk_bytes = max_bulk_bytes, .trusted = trusted, .bulk = -1 };
}

void resp_deinit(struct resp_parser *parser)
{
    free(parser->arguments);
    free(parser->requests);
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

bool resp_parse_integer(struct slice text, int64_t *value)
{
    const char *at = text.data, *end = at + text.size;
    bool negative = text.size > 0 && *at == '-';
    at += negative;
    if (at == end || end - at > 19 || (*at == '0' && text.size > 1))
        return false;
    uint64_t sum = 0; /* 19 digits fit; they are taken in pairs, for the steps wait for one another */
    for (; end - at >= 2; at += 2) {
        unsigned tens = (unsigned char)at[0] - '0', ones = (unsigned char)at[1] - '0';
        if (tens > 9 || ones > 9)
            return false;
        sum = sum * 100 + (tens * 10 + ones);
    }
    if (at < end) {
        unsigned ones = (unsigned char)*at - '0';
        if (ones > 9)
            return false;
        sum = sum * 10 + ones;
    }
    if (sum > (uint64_t)INT64_MAX + negative)
        return false;
    *value = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

static enum step set_error(struct resp_parser *parser, const char *error)
{
    snprintf(parser->error, sizeof parser->error, "%s", error);
    return WRONG;
}

/*
 * The usual line: a few digits and its end, all of it there. Returns what is behind it, NULL if it is not so
 * usual. A zero may only stand alone. As in Redis, the byte after the '\r' must be there but may be any.
 */
static inline const char *take_digits(const char *at, const char *end, int64_t *value)
{
    const char *digit = at;
    int64_t sum = 0;
    while (digit < end && (unsigned char)(*digit - '0') <= 9 && digit - at < 18)
        sum = sum * 10 + (*digit++ - '0');
    if (end - digit < 2 || *digit != '\r' || digit == at || (*at == '0' && digit - at > 1))
        return NULL;
    *value = sum;
    return digit + 2;
}

/* Any line: *at is the first byte of its number, and is moved behind the line. */
static enum step take_length(struct resp_parser *parser, const char **at, const char *end, int64_t *value,
                             const char *bad, const char *long_line)
{
    const char *behind = take_digits(*at, end, value);
    if (behind == NULL) {
        const char *line_end = memchr(*at, '\r', (size_t)(end - *at));
        if (line_end == NULL || line_end + 1 == end)
            return line_end == NULL && end - *at >= MAX_LINE_BYTES ? set_error(parser, long_line) : PARTIAL;
        if (!resp_parse_integer((struct slice){ { *at }, (size_t)(line_end - *at) }, value))
            return set_error(parser, bad);
        behind = line_end + 2;
    }
    *at = behind;
    return TAKEN;
}

/* ---- arguments ----------------------------------------------------------------------------------------- */

/* Room for twice as many items; NULL when out of memory, with the old ones left as they were. */
static void *grow(void *items, size_t *capacity, size_t item_bytes)
{
    size_t more = *capacity ? *capacity * 2 : 16;
    void *moved = realloc(items, more * item_bytes);
    if (moved != NULL)
        *capacity = more;
    return moved;
}

static inline bool add_argument(struct resp_parser *parser, size_t offset, size_t size)
{
    if (parser->argument_count == parser->argument_capacity) {
        void *moved = grow(parser->arguments, &parser->argument_capacity, sizeof *parser->arguments);
        if (moved == NULL)
            return false;
        parser->arguments = moved;
    }
    parser->arguments[parser->argument_count++] = (struct slice){ .offset = offset, .size = size };
    return true;
}

/* The request that begins at `data` is complete: its offsets become pointers. */
static bool finish_request(struct resp_parser *parser, const char *data)
{
    if (parser->request_count == parser->request_capacity) {
        void *moved = grow(parser->requests, &parser->request_capacity, sizeof *parser->requests);
        if (moved == NULL)
            return false;
        parser->requests = moved;
    }
    for (size_t i = parser->first; i < parser->argument_count; i++)
        parser->arguments[i].data = data + parser->arguments[i].offset;
    parser->requests[parser->request_count++] = (struct resp_request){
        .first = (uint32_t)parser->first,
        .argc = (uint32_t)(parser->argument_count - parser->first),
    };
    parser->first = parser->argument_count;
    return true;
}

/* ---- arrays of bulk strings ---------------------------------------------------------------------------- */

/* "*<count>\r\n". A count of zero or less is no request, only a line to skip. */
static enum step take_array_line(struct resp_parser *parser, const char *data, const char *end)
{
    const char *at = data + 1;
    int64_t count;
    enum step step = take_length(parser, &at, end, &count, "invalid multibulk length", "too big mbulk count string");
    if (step != TAKEN)
        return step;
    if (count > INT_MAX)
        return set_error(parser, "invalid multibulk length");
    if (!parser->trusted && count > MAX_ARGUMENTS_UNTRUSTED)
        return set_error(parser, "unauthenticated multibulk length");
    parser->missing = count > 0 ? count : 0;
    parser->at = (size_t)(at - data);
    return TAKEN;
}

/* "$<size>\r\n" */
static enum step take_bulk_line(struct resp_parser *parser, const char *data, const char *end)
{
    const char *at = data + parser->at;
    if (at == end)
        return PARTIAL;
    if (*at != '$') {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        if (line_end == NULL)
            return end - at > MAX_LINE_BYTES ? set_error(parser, "too big bulk count string") : PARTIAL;
        if (line_end + 1 == end) /* as Redis, which waits for the newline */
            return PARTIAL;
        snprintf(parser->error, sizeof parser->error, "expected '$', got '%c'", *at);
        return WRONG;
    }
    at++;
    int64_t size;
    enum step step = take_length(parser, &at, end, &size, "invalid bulk length", "too big bulk count string");
    if (step != TAKEN)
        return step;
    if (size < 0 || (uint64_t)size > parser->max_bulk_bytes)
        return set_error(parser, "invalid bulk length");
    if (!parser->trusted && size > MAX_BULK_UNTRUSTED)
        return set_error(parser, "unauthenticated bulk length");
    parser->bulk = size;
    parser->at = (size_t)(at - data);
    return TAKEN;
}

/*
 * The arguments whose lengths are usual and which are there as a whole: the work of nearly every request. The
 * state is kept in variables meanwhile, since memory that `arguments` is written to could be the parser's
 * own, for all the compiler knows.
 */
static bool take_plain_bulks(struct resp_parser *parser, const char *data, const char *end)
{
    int64_t most = (int64_t)parser->max_bulk_bytes;
    if (!parser->trusted && most > MAX_BULK_UNTRUSTED)
        most = MAX_BULK_UNTRUSTED;
    int64_t missing = parser->missing, size;
    const char *at = data + parser->at;
    while (missing > 0 && end - at >= 6 && *at == '$') {
        const char *bulk = take_digits(at + 1, end, &size);
        if (bulk == NULL || size > most || end - bulk < size + 2)
            break;
        if (!add_argument(parser, (size_t)(bulk - data), (size_t)size))
            return false;
        at = bulk + size + 2;
        missing--;
    }
    parser->missing = missing;
    parser->at = (size_t)(at - data);
    return true;
}

/* The arguments of an array, as far as they have arrived; TAKEN when none is missing. */
static enum step take_bulks(struct resp_parser *parser, const char *data, const char *end)
{
    for (;;) {
        if (parser->bulk < 0 && !take_plain_bulks(parser, data, end))
            return NO_MEMORY;
        if (parser->missing == 0)
            return TAKEN;
        if (parser->bulk < 0) {
            enum step step = take_bulk_line(parser, data, end);
            if (step != TAKEN)
                return step;
        }
        size_t bytes = (size_t)parser->bulk;
        if ((size_t)(end - data) - parser->at < bytes + 2) /* as in Redis, the two bytes behind it may be any */
            return PARTIAL;
        if (!add_argument(parser, parser->at, bytes))
            return NO_MEMORY;
        parser->at += bytes + 2;
        parser->bulk = -1;
        parser->missing--;
    }
}

/* ---- inline commands ----------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Vertical tabs and form feeds are skipped before a word, as in Redis, but end none. */
static bool ends_word(char c)
{
    return is_space(c) && c != '\v' && c != '\f';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The escape sequence behind a backslash at *from (inside double quotes); moves *from behind it. */
static char take_escape(char **from, const char *end)
{
    char *at = *from + 1;
    if (end - at >= 3 && *at == 'x' && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
        *from = at + 3;
        return (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
    }
    *from = at + 1;
    switch (*at) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return *at;
    }
}

/* A quoted part that begins at *from is written to *to. False: it does not close, or something sticks to it. */
static bool take_quoted(char **from, char **to, const char *end)
{
    char quote = *(*from)++;
    while (*from < end && **from != quote) {
        if (quote == '"' && **from == '\\' && end - *from > 1) {
            *(*to)++ = take_escape(from, end);
        } else {
            bool escaped = quote == '\'' && **from == '\\' && end - *from > 1 && (*from)[1] == '\'';
            *from += escaped;
            *(*to)++ = *(*from)++;
        }
    }
    if (*from == end)
        return false;
    (*from)++;
    return *from == end || is_space(**from);
}

/* Splits one line into words, in place: a word never grows by losing its quotes. */
static enum step split_words(struct resp_parser *parser, char *data, char *end)
{
    char *from = data;
    for (;;) {
        while (from < end && is_space(*from))
            from++;
        if (from == end)
            return TAKEN;
        char *word = from, *to = from;
        while (from < end && !ends_word(*from)) {
            if (*from != '"' && *from != '\'') {
                *to++ = *from++;
                continue;
            }
            if (!take_quoted(&from, &to, end))
                return set_error(parser, "unbalanced quotes in request");
            break; /* whatever space is behind it */
        }
        if (!add_argument(parser, (size_t)(word - data), (size_t)(to - word)))
            return NO_MEMORY;
    }
}

static enum step take_inline(struct resp_parser *parser, char *data, char *end)
{
    /* What was searched before is not searched again. */
    char *newline = memchr(data + parser->at, '\n', (size_t)(end - data) - parser->at);
    if (newline == NULL) {
        parser->at = (size_t)(end - data);
        return parser->at > MAX_LINE_BYTES ? set_error(parser, "too big inline request") : PARTIAL;
    }
    parser->at = (size_t)(newline + 1 - data);
    char *line_end = newline > data && newline[-1] == '\r' ? newline - 1 : newline;
    return split_words(parser, data, line_end);
}

/* ---- whole requests ------------------------------------------------------------------------------------ */

/* One to three digits and the line's end; at least five bytes are there. NULL: something else. */
static inline const char *take_short_number(const char *at, unsigned *value)
{
    unsigned first = (unsigned char)at[0] - '0', second = (unsigned char)at[1] - '0',
             third = (unsigned char)at[2] - '0';
    *value = first;
    if (first <= 9 && at[1] == '\r')
        return at + 3;
    *value = first * 10 + second;
    if (first == 0 || first > 9 || second > 9)
        return NULL;
    if (at[2] == '\r')
        return at + 4;
    *value = *value * 10 + third;
    return third <= 9 && at[3] == '\r' ? at + 5 : NULL;
}

/*
 * A request that is there as a whole, with short lengths: nearly every one. Returns what is behind it. NULL: it is not
 * like that, or there is no room in the arrays; then nothing has been taken, and the long way sees to it.
 */
static inline const char *take_plain_request(struct resp_parser *parser, const char *data, const char *end)
{
    unsigned count, size;
    if (end - data < 6)
        return NULL;
    const char *at = take_short_number(data + 1, &count);
    if (at == NULL || count == 0 || count > parser->argument_capacity - parser->argument_count ||
        parser->request_count == parser->request_capacity)
        return NULL;
    struct slice *argument = parser->arguments + parser->argument_count, *last = argument + count;
    for (; argument < last; argument++) {
        if (end - at < 6 || *at != '$')
            return NULL;
        const char *bulk = take_short_number(at + 1, &size);
        if (bulk == NULL || end - bulk < (ptrdiff_t)size + 2)
            return NULL;
        *argument = (struct slice){ { bulk }, size };
        at = bulk + size + 2;
    }
    parser->requests[parser->request_count++] =
        (struct resp_request){ .first = (uint32_t)parser->argument_count, .argc = count };
    parser->first = parser->argument_count += count;
    return at;
}

/* ---- batches ------------------------------------------------------------------------------------------- */

/* One request, or a line that is none. */
static enum step take_request(struct resp_parser *parser, char *data, char *end)
{
    if (*data != '*')
        return take_inline(parser, data, end);
    if (parser->at == 0) {
        enum step step = take_array_line(parser, data, end);
        if (step != TAKEN)
            return step;
    }
    return take_bulks(parser, data, end);
}

/* The plain requests in a row, from the beginning of one. */
static char *take_plain_requests(struct resp_parser *parser, char *begin, const char *end)
{
    while (begin < end && *begin == '*' && parser->request_count < MAX_BATCH) {
        const char *behind = take_plain_request(parser, begin, end);
        if (behind == NULL)
            break;
        begin += behind - begin;
    }
    return begin;
}

enum resp_status resp_parse(struct resp_parser *parser, char *data, size_t size, size_t *used)
{
    char *end = data + size;
    char *begin = data;
    enum step step = TAKEN;
    size_t most = parser->trusted ? MAX_BATCH : 1;
    bool plain = parser->trusted && parser->max_bulk_bytes > 999;
    while (begin < end && parser->request_count < most) {
        if (plain && parser->at == 0) {
            begin = take_plain_requests(parser, begin, end);
            if (begin == end || parser->request_count == most)
                break;
        }
        step = take_request(parser, begin, end);
        if (step == TAKEN && parser->argument_count > parser->first && !finish_request(parser, begin))
            step = NO_MEMORY;
        if (step != TAKEN)
            break;
        begin += parser->at;
        parser->at = 0;
    }
    *used = (size_t)(begin - data);
    assert(*used <= size);
    switch (step) {
    case WRONG:
        return RESP_BROKEN;
    case NO_MEMORY:
        return RESP_NO_MEMORY;
    case TAKEN:
    case PARTIAL:
        break;
    }
    return parser->request_count >= most ? RESP_FULL : RESP_NEED_MORE;
}

void resp_clear(struct resp_parser *parser)
{
    size_t unfinished = parser->argument_count - parser->first;
    if (unfinished > 0 && parser->first > 0)
        memmove(parser->arguments, parser->arguments + parser->first, unfinished * sizeof *parser->arguments);
    parser->argument_count = unfinished;
    parser->first = 0;
    parser->request_count = 0;
    if (unfinished == 0 && parser->argument_capacity > KEPT_ARGUMENTS) {
        free(parser->arguments);
        parser->arguments = NULL;
        parser->argument_capacity = 0;
    }
}
