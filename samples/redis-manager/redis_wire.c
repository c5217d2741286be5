/* SPDX-License-Identifier: MIT */
/*
 * redis_wire.c: URLs, commands and replies of Redis.
 *
 * A reply is read in two steps. scan() walks over the bytes as they arrive and only keeps count (which arrays are open,
 * how many values there are), so that it can stop anywhere and go on later. Once the reply is complete, the counts say
 * how much memory it needs, and it is built in one go: a single short value inside the reply, anything else in one block:
 *
 *     block:  [ value | value | value | ... ][ text 0 text 0 ... ]
 *               root    the items of an array lie next to one another
 */
#include "redis_wire.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- URL ------------------------------------------------------------------------------------------------------- */

/* Where a complaint about the URL goes. */
struct complaint {
    const char *start;
    char *text;
    size_t bytes;
};

__attribute__((format(printf, 3, 4))) static int refuse(const struct complaint *complaint, const char *at,
                                                        const char *format, ...)
{
    char what[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    snprintf(complaint->text, complaint->bytes, "byte %zu: %s", (size_t)(at - complaint->start) + 1, what);
    return -EINVAL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies [at, end) to out, turning each %XX into the byte it stands for. */
static int copy_decoded(char *out, size_t bytes, const char *at, const char *end, const char *what,
                        const struct complaint *complaint)
{
    size_t length = 0;
    for (const char *p = at; p < end; p++) {
        char byte = *p;
        if (byte == '%') {
            int high = end - p > 2 ? hex_digit(p[1]) : -1;
            int low = end - p > 2 ? hex_digit(p[2]) : -1;
            if (high < 0 || low < 0 || high + low == 0)
                return refuse(complaint, p, "%% in the %s must be followed by two hexadecimal digits, not 00", what);
            byte = (char)(high * 16 + low);
            p += 2;
        }
        if (length + 1 >= bytes)
            return refuse(complaint, at, "the %s is longer than %zu bytes", what, bytes - 1);
        out[length++] = byte;
    }
    out[length] = '\0';
    return 0;
}

/* A decimal number that fills [at, end) and is at most `most`. */
static bool whole_number(const char *at, const char *end, uint32_t most, uint32_t *out)
{
    uint64_t number = 0;
    if (at == end || end - at > 9)
        return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        number = number * 10 + (uint64_t)(*at - '0');
    }
    *out = (uint32_t)number;
    return number <= most;
}

/* "user:password" or ":password", up to the @ at `end`. */
static int parse_user(struct redis_url *out, const char *at, const char *end, const struct complaint *complaint)
{
    const char *colon = memchr(at, ':', (size_t)(end - at));
    if (!colon)
        return refuse(complaint, at, "a user without a password: write user:password@ or :password@");
    if (colon + 1 == end)
        return refuse(complaint, colon + 1, "the password is empty");
    int rc = copy_decoded(out->user, sizeof out->user, at, colon, "user", complaint);
    return rc < 0 ? rc : copy_decoded(out->password, sizeof out->password, colon + 1, end, "password", complaint);
}

/* "host", "host:port", "[address]" or "[address]:port". */
static int parse_host(struct redis_url *out, const char *at, const char *end, const struct complaint *complaint)
{
    const char *host = at, *host_end, *rest;
    if (at < end && *at == '[') {
        host = at + 1;
        host_end = memchr(at, ']', (size_t)(end - at));
        if (!host_end)
            return refuse(complaint, at, "the ] after the address is missing");
        rest = host_end + 1;
    } else {
        host_end = memchr(at, ':', (size_t)(end - at));
        if (!host_end)
            host_end = end;
        rest = host_end;
    }
    if (host == host_end)
        return refuse(complaint, host, "the host is missing");
    if ((size_t)(host_end - host) >= sizeof out->host)
        return refuse(complaint, host, "the host is longer than %zu bytes", sizeof out->host - 1);
    memcpy(out->host, host, (size_t)(host_end - host));
    out->host[host_end - host] = '\0';
    char *zone = *at == '[' ? strstr(out->host, "%25") : NULL; /* [fe80::1%25eth0], by RFC 6874; or a bare % */
    if (zone && zone[3])
        memmove(zone + 1, zone + 3, strlen(zone + 3) + 1);
    if (rest == end)
        return 0;
    if (*rest != ':')
        return refuse(complaint, rest, "after the address, expected :port, / or the end");
    uint32_t port;
    if (!whole_number(rest + 1, end, UINT16_MAX, &port) || port == 0)
        return refuse(complaint, rest + 1, "the port is not a number from 1 to 65535");
    out->port = (uint16_t)port;
    return 0;
}

int redis_url_parse(struct redis_url *out, const char *text, char *error, size_t error_bytes)
{
    static const char scheme[] = "redis://";
    struct complaint complaint = { text, error, error_bytes };
    *out = (struct redis_url){ .port = 6379 };
    if (strncmp(text, "rediss://", 9) == 0)
        return refuse(&complaint, text, "TLS (rediss://) is not supported");
    if (strncmp(text, scheme, sizeof scheme - 1) != 0)
        return refuse(&complaint, text, "expected redis://");
    const char *at = text + sizeof scheme - 1;
    const char *authority_end = at + strcspn(at, "/?#");
    const char *user_end = NULL;
    for (const char *p = at; p < authority_end; p++)
        if (*p == '@')
            user_end = p;
    int rc = user_end ? parse_user(out, at, user_end, &complaint) : 0;
    if (rc == 0)
        rc = parse_host(out, user_end ? user_end + 1 : at, authority_end, &complaint);
    if (rc < 0)
        return rc;
    if (*authority_end == '\0' || strcmp(authority_end, "/") == 0)
        return 0;
    if (*authority_end != '/')
        return refuse(&complaint, authority_end, "expected / or the end");
    if (!whole_number(authority_end + 1, text + strlen(text), INT32_MAX, &out->database))
        return refuse(&complaint, authority_end + 1, "the database is not a number");
    return 0;
}

/* ---- commands -------------------------------------------------------------------------------------------------- */

#define HEADER_BYTES 24 /* enough for '$', a sign, 19 digits and "\r\n" */

static char *put_number(char *at, size_t number)
{
    char digits[HEADER_BYTES], *first = digits + sizeof digits;
    for (; number > 0; number /= 10)
        *--first = (char)('0' + number % 10);
    size_t count = (size_t)(digits + sizeof digits - first);
    memcpy(at, first, count);
    return at + count;
}

/* "$12\r\n" and "*3\r\n"; nearly all numbers are short. */
static inline char *put_header(char *at, char kind, size_t number)
{
    *at++ = kind;
    if (number < 10) {
        *at++ = (char)('0' + number);
    } else if (number < 100) {
        *at++ = (char)('0' + number / 10);
        *at++ = (char)('0' + number % 10);
    } else {
        at = put_number(at, number);
    }
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

size_t redis_encoded_most(size_t count, const struct redis_bytes *arguments)
{
    size_t bytes = HEADER_BYTES;
    for (size_t i = 0; i < count; i++)
        bytes += arguments[i].length + (arguments[i].length < 1000 ? 8 : HEADER_BYTES + 2);
    return bytes;
}

/* Sixteen bytes at a time, the last of them overlapping: most of it is short, and a call costs more than that. */
static inline void copy_short(char *to, const char *from, size_t bytes)
{
    if (bytes < 16 || bytes > 128) {
        if (bytes > 0)
            memcpy(to, from, bytes);
        return;
    }
    for (size_t i = 0; i < bytes - 16; i += 16)
        memcpy(to + i, from + i, 16);
    memcpy(to + bytes - 16, from + bytes - 16, 16);
}

static inline char *put_argument(char *at, const struct redis_bytes *argument)
{
    at = put_header(at, '$', argument->length);
    copy_short(at, argument->data, argument->length);
    at += argument->length;
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

char *redis_encode(char *at, size_t count, const struct redis_bytes *arguments)
{
    at = put_header(at, '*', count);
    for (size_t i = 0; i < count; i++)
        at = put_argument(at, &arguments[i]);
    return at;
}

#define GET_HEAD "*2\r\n$3\r\nGET\r\n"
#define SET_HEAD "*3\r\n$3\r\nSET\r\n"

char *redis_encode_get(char *at, struct redis_bytes key)
{
    memcpy(at, GET_HEAD, sizeof GET_HEAD - 1);
    return put_argument(at + sizeof GET_HEAD - 1, &key);
}

char *redis_encode_set(char *at, struct redis_bytes key, struct redis_bytes value)
{
    memcpy(at, SET_HEAD, sizeof SET_HEAD - 1);
    return put_argument(put_argument(at + sizeof SET_HEAD - 1, &key), &value);
}

/* ---- the memory of replies -------------------------------------------------------------------------------------- */

/* In one test: which of them it is, is anybody's guess. */
static bool has_text(enum redis_type type)
{
    return (1u << type) & (1u << REDIS_STATUS | 1u << REDIS_ERROR | 1u << REDIS_STRING);
}

void redis_reply_clear(struct redis_reply *reply)
{
    if (reply->block)
        free(reply->block);
    reply->block = NULL;
    reply->value = (struct redis_value){ .type = REDIS_NIL };
}

void redis_reply_settle(struct redis_reply *reply)
{
    if (!reply->block && has_text(reply->value.type))
        reply->value.text = reply->small;
}

void redis_reply_move(struct redis_reply *to, struct redis_reply *from)
{
    *to = *from;
    redis_reply_settle(to);
    from->block = NULL;
    redis_reply_clear(from);
}

/* ---- reading replies -------------------------------------------------------------------------------------------- */

/* One value's header, or one whole value that has no items. */
struct element {
    enum redis_type type;
    int64_t number; /* the integer; the number of items */
    const char *text;
    size_t length; /* of the text */
    size_t bytes;  /* on the wire; of an array, only its header */
};

/* The digits after the type byte. Returns the header's length, 0 (incomplete) or -EPROTO. */
static int parse_number(const char *bytes, size_t count, int64_t *out)
{
    size_t at = 1;
    bool negative = false, digits = false;
    uint64_t number = 0, most = INT64_MAX;
    if (at < count && (bytes[at] == '-' || (bytes[at] == '+' && bytes[0] == ':'))) {
        negative = bytes[at++] == '-';
        most += negative;
    }
    for (; at < count && bytes[at] >= '0' && bytes[at] <= '9'; at++) {
        uint64_t digit = (uint64_t)(bytes[at] - '0');
        if (number > (most - digit) / 10 || at >= HEADER_BYTES)
            return -EPROTO;
        number = number * 10 + digit;
        digits = true;
    }
    if (at == count)
        return 0;
    if (!digits || bytes[at] != '\r' || (at + 1 < count && bytes[at + 1] != '\n'))
        return -EPROTO;
    *out = (int64_t)(negative ? -number : number);
    return at + 1 < count ? (int)at + 2 : 0;
}

/* "+text\r\n" and "-text\r\n". Returns as parse_element. */
static int parse_line(const char *bytes, size_t count, struct element *out)
{
    size_t seen = count < REDIS_LINE_BYTES ? count : REDIS_LINE_BYTES, end = 1;
    while (end < seen && bytes[end] != '\r' && bytes[end] != '\n')
        end++;
    if (end == seen)
        return seen == REDIS_LINE_BYTES ? -EMSGSIZE : 0;
    if (bytes[end] == '\n' || (end + 1 < count && bytes[end + 1] != '\n'))
        return -EPROTO;
    if (end + 1 == count)
        return 0;
    out->type = bytes[0] == '+' ? REDIS_STATUS : REDIS_ERROR;
    out->text = bytes + 1;
    out->length = end - 1;
    out->bytes = end + 2;
    return 1;
}

/* The text of a string whose header has been read. Returns as parse_element. */
static int parse_string(const struct redis_parser *parser, const char *bytes, size_t count, struct element *out)
{
    size_t length = (size_t)out->number, header = out->bytes;
    if (length > parser->most_bytes || parser->scanned + header + length + 2 > parser->most_bytes ||
        length > UINT32_MAX)
        return -EMSGSIZE;
    out->type = REDIS_STRING;
    out->text = bytes + header;
    out->length = length;
    out->bytes = header + length + 2;
    if (count < out->bytes)
        return 0;
    return out->text[length] == '\r' && out->text[length + 1] == '\n' ? 1 : -EPROTO;
}

/* The value at bytes[0..count), of an array only its header. Returns 1, 0 (incomplete), -EPROTO, -EMSGSIZE. */
static inline int parse_element(const struct redis_parser *parser, const char *bytes, size_t count, struct element *out)
{
    if (count == 0)
        return 0;
    char kind = bytes[0];
    if (kind == '+' || kind == '-')
        return parse_line(bytes, count, out);
    if (kind != '$' && kind != '*' && kind != ':')
        return -EPROTO;
    int header = parse_number(bytes, count, &out->number);
    if (header <= 0)
        return header;
    out->bytes = (size_t)header;
    if (kind == ':') {
        out->type = REDIS_INTEGER;
        return 1;
    }
    if (out->number < 0) {
        out->type = REDIS_NIL;
        return out->number == -1 ? 1 : -EPROTO;
    }
    if (kind == '$')
        return parse_string(parser, bytes, count, out);
    out->type = REDIS_ARRAY;
    /* An item is at least "+\r\n" long. */
    return (uint64_t)out->number > parser->most_bytes / 3 || out->number > INT32_MAX ? -EMSGSIZE : 1;
}

/* Takes note of one more value. Returns false if arrays are nested too deeply. */
static bool count_value(struct redis_parser *parser, const struct element *element)
{
    parser->scanned += element->bytes;
    parser->values++;
    if (parser->depth > 0)
        parser->left[parser->depth - 1]--;
    if (element->type == REDIS_ARRAY && element->number > 0) {
        if (parser->depth == REDIS_DEPTH)
            return false;
        parser->left[parser->depth++] = (uint32_t)element->number;
    }
    while (parser->depth > 0 && parser->left[parser->depth - 1] == 0)
        parser->depth--;
    return true;
}

/* Writes a value without items, its text to *text, which moves on. */
static void put_value(struct redis_value *value, const struct element *element, char **text)
{
    value->type = element->type;
    value->length = (uint32_t)element->length;
    if (!has_text(value->type)) {
        value->length = 0;
        value->integer = element->type == REDIS_INTEGER ? element->number : 0;
        return;
    }
    memcpy(*text, element->text, element->length);
    (*text)[element->length] = '\0';
    value->text = *text;
    *text += element->length + 1;
}

/* A reply that is one value. */
static int build_single(struct redis_reply *reply, const struct element *element)
{
    char *text = reply->small;
    reply->block = NULL;
    if (has_text(element->type) && element->length >= sizeof reply->small) {
        text = reply->block = malloc(element->length + 1);
        if (!text)
            return -ENOMEM;
    }
    put_value(&reply->value, element, &text);
    return 1;
}

/* A reply that is an array: the bytes are complete and known to be good. */
static int build_array(struct redis_parser *parser, const char *bytes, struct redis_reply *reply)
{
    struct redis_value *open[REDIS_DEPTH]; /* the next item of each open array */
    uint32_t left[REDIS_DEPTH], depth = 0;
    /* Each text is shorter in the block, where one byte ends it, than on the wire. */
    struct redis_value *values = malloc(parser->values * sizeof *values + parser->scanned);
    if (!values)
        return -ENOMEM;
    struct redis_value *value = values, *free_values = values + 1;
    char *text = (char *)(values + parser->values);
    struct redis_parser again = { .most_bytes = parser->most_bytes };
    for (uint32_t i = 0; i < parser->values; i++) {
        struct element element = { 0 };
        parse_element(&again, bytes + again.scanned, parser->scanned - again.scanned, &element);
        again.scanned += element.bytes;
        put_value(value, &element, &text);
        if (element.type == REDIS_ARRAY) {
            value->length = (uint32_t)element.number;
            value->items = free_values;
            if (element.number > 0) {
                open[depth] = free_values;
                left[depth++] = (uint32_t)element.number;
                free_values += element.number;
            }
        }
        while (depth > 0 && left[depth - 1] == 0)
            depth--;
        if (depth > 0) {
            left[depth - 1]--;
            value = open[depth - 1]++;
        }
    }
    reply->block = values;
    reply->value = values[0];
    return 1;
}

#define PLAIN_BYTES 106 /* the longest that parse_plain takes, on the wire */
static_assert(REDIS_REPLY_SMALL > 99, "two digits' worth of text fits into a reply");

/* What goes into the reply itself; the text is already there. */
static inline int finish_plain(struct redis_reply *reply, enum redis_type type, uint32_t length)
{
    reply->small[length] = '\0';
    reply->block = NULL;
    reply->value = (struct redis_value){ .type = type, .length = length, .text = reply->small };
    return 1;
}

/*
 * The replies that nearly all are: "+OK", and a string of ten bytes or more that fits into the reply. Returns 1, or 0:
 * it is another one, or not complete, and nothing has happened.
 */
static inline int parse_plain(const char *bytes, size_t count, struct redis_reply *reply, size_t *used)
{
    if (count < 6)
        return 0;
    if (memcmp(bytes, "+OK\r\n", 5) == 0) {
        memcpy(reply->small, "OK", 2);
        *used = 5;
        return finish_plain(reply, REDIS_STATUS, 2);
    }
    unsigned first = (unsigned char)bytes[1] - '0', second = (unsigned char)bytes[2] - '0';
    size_t length = first * 10 + second;
    if (bytes[0] != '$' || first == 0 || first > 9 || second > 9 || bytes[3] != '\r' || bytes[4] != '\n' ||
        length > sizeof reply->small || count < length + 7 || bytes[length + 5] != '\r' || bytes[length + 6] != '\n')
        return 0;
    copy_short(reply->small, bytes + 5, length);
    *used = length + 7;
    return finish_plain(reply, REDIS_STRING, (uint32_t)length);
}

int redis_parse(struct redis_parser *parser, const char *bytes, size_t count, struct redis_reply *reply, size_t *used)
{
    struct element element;
    if (parser->scanned == 0 && parser->most_bytes >= PLAIN_BYTES && parse_plain(bytes, count, reply, used))
        return 1;
    do {
        element = (struct element){ 0 };
        int rc = parse_element(parser, bytes + parser->scanned, count - parser->scanned, &element);
        if (rc == 0 && count >= parser->most_bytes)
            return -EMSGSIZE;
        if (rc <= 0)
            return rc;
        if (!count_value(parser, &element))
            return -EPROTO;
    } while (parser->depth > 0);
    if (parser->scanned > parser->most_bytes)
        return -EMSGSIZE;
    int rc = element.type != REDIS_ARRAY && parser->values == 1 ? build_single(reply, &element)
                                                                : build_array(parser, bytes, reply);
    *used = parser->scanned;
    parser->scanned = 0;
    parser->values = 0;
    return rc;
}
