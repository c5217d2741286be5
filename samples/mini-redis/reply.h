/* SPDX-License-Identifier: MIT */
/*
 * reply.h: a growing buffer of bytes, and the functions that write RESP2 replies into it.
 *
 * Running out of memory is remembered in `failed` instead of being returned by every function: what follows
 * is dropped, and the owner of the buffer looks once, before it sends.
 */
#ifndef MINI_REDIS_REPLY_H
#define MINI_REDIS_REPLY_H

#include "resp.h"
#include <string.h>

struct buffer {
    char *data;
    size_t size, capacity;
    bool failed;
};

#define LITERAL(text) ((struct slice){ { "" text }, sizeof(text) - 1 })

void buffer_deinit(struct buffer *buffer);

/* Room for `bytes` more behind data[size). False, and `failed`, when out of memory. */
bool buffer_grow(struct buffer *buffer, size_t bytes);

static inline bool buffer_reserve(struct buffer *buffer, size_t bytes)
{
    return buffer->capacity - buffer->size >= bytes || buffer_grow(buffer, bytes);
}

static inline void buffer_append(struct buffer *buffer, const char *data, size_t bytes)
{
    if (bytes > 0 && buffer_reserve(buffer, bytes)) {
        memcpy(buffer->data + buffer->size, data, bytes);
        buffer->size += bytes;
    }
}

static inline void buffer_append_slice(struct buffer *buffer, struct slice text)
{
    buffer_append(buffer, text.data, text.size);
}

void buffer_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Empties the buffer; a large one gives its memory back. */
void buffer_clear(struct buffer *buffer);

#define DIGITS_ROOM 24 /* for the digits of any int64_t and its sign */

/* Decimal digits of `value`; returns how many. `digits` has room for DIGITS_ROOM. */
size_t format_integer(char *digits, int64_t value);

/* A whole reply that is known as text: REPLY(out, "+OK\r\n"). */
#define REPLY(out, text) buffer_append_slice((out), LITERAL(text))

void reply_integer(struct buffer *out, int64_t value); /* :1 */
/* The same, of a number that has been formatted: the first `count` bytes of DIGITS_ROOM. */
void reply_digits(struct buffer *out, const char *digits, size_t count);
void reply_bulk(struct buffer *out, struct slice text); /* $3 abc */
void reply_array(struct buffer *out, size_t count);     /* *2, the elements follow */

/* "-<text>"; line breaks within the text become blanks. */
void reply_error(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

void reply_wrong_arity(struct buffer *out, const char *name);

/* Is it this word? Upper and lower case are the same; `word` is in lower case. */
bool slice_is(struct slice text, const char *word);

#endif
