/* SPDX-License-Identifier: MIT */
/*
 * resp.h: the parser of what clients send: RESP2 arrays of bulk strings, and inline commands.
 *
 * The one idea: nothing is copied. The arguments of a request are slices of the read buffer. A call of
 * resp_parse takes every complete request that is there, so that all of them are executed, and answered,
 * together. A request that is not complete yet is remembered by offsets from its first byte: the buffer may
 * move or grow between two calls, and no byte is looked at again by a later one.
 *
 *       used (complete requests)        unfinished
 *     |--------|-----------|------|------------------|          free
 *     ^ data                      ^ the next call's data
 */
#ifndef MINI_REDIS_RESP_H
#define MINI_REDIS_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct command;

/* Bytes that belong to somebody else. */
struct slice {
    union {
        const char *data;
        size_t offset; /* inside the parser only: of an unfinished request, counted from its first byte */
    };
    size_t size;
};

/* Of a few bytes the ends are copied, which meet or overlap: a call of memcpy would cost more. */
static inline void slice_copy(char *to, struct slice from)
{
    size_t size = from.size;
    if (size > 16) {
        memcpy(to, from.data, size);
    } else if (size >= 8) {
        uint64_t head, tail;
        memcpy(&head, from.data, 8);
        memcpy(&tail, from.data + size - 8, 8);
        memcpy(to, &head, 8);
        memcpy(to + size - 8, &tail, 8);
    } else if (size >= 4) {
        uint32_t head, tail;
        memcpy(&head, from.data, 4);
        memcpy(&tail, from.data + size - 4, 4);
        memcpy(to, &head, 4);
        memcpy(to + size - 4, &tail, 4);
    } else if (size > 0) {
        char head = from.data[0], middle = from.data[size / 2], tail = from.data[size - 1];
        to[0] = head;
        to[size / 2] = middle;
        to[size - 1] = tail;
    }
}

/* Its arguments are arguments[first] to arguments[first + argc - 1] of the parser; argc >= 1. */
struct resp_request {
    uint32_t first, argc;
    const struct command *command; /* left NULL by the parser; for whoever executes it */
};

enum resp_status {
    RESP_NEED_MORE, /* all that was complete has been taken */
    RESP_FULL,      /* as many requests as one batch may have: execute them, then call again */
    RESP_BROKEN,    /* behind the requests taken it is no RESP: `error` says how. The connection must end */
    RESP_NO_MEMORY, /* likewise */
};

struct resp_parser {
    struct slice *arguments;
    size_t argument_count, argument_capacity;
    struct resp_request *requests;
    size_t request_count, request_capacity;

    size_t max_bulk_bytes;
    bool trusted; /* false before AUTH: small requests only, and one at a time */

    size_t at;       /* the unfinished request: the next byte to look at */
    size_t first;    /* its first argument */
    int64_t missing; /* arguments still to come; 0: its first line comes next */
    int64_t bulk;    /* bytes of the argument being read; -1: its length comes next */

    char error[64]; /* as Redis words it, without "-ERR Protocol error: " */
};

void resp_init(struct resp_parser *parser, size_t max_bulk_bytes, bool trusted);
void resp_deinit(struct resp_parser *parser);

/*
 * Parses data[0..size), whose first byte is that of the unfinished request, or of the next one. Appends the
 * complete requests; *used counts their bytes. Inline requests with quotes are unescaped in place.
 */
enum resp_status resp_parse(struct resp_parser *parser, char *data, size_t size, size_t *used);

/* Forgets the complete requests (they have been executed), keeps what is known of the unfinished one. */
void resp_clear(struct resp_parser *parser);

/* A decimal number as Redis takes it: no plus sign, no leading zeros, no blanks, within int64_t. */
bool resp_parse_integer(struct slice text, int64_t *value);

#endif
