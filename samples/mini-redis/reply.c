/* SPDX-License-Identifier: MIT */
/*
 * reply.c: see reply.h. Integers and lengths are formatted here, by hand: they are a good part of the work of
 * a small reply.
 */
#include "reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FIRST_CAPACITY = 1024,
    KEPT_CAPACITY = 64 * 1024, /* a buffer larger than this is not kept when it is empty */
};

void buffer_deinit(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){ 0 };
}

bool buffer_grow(struct buffer *buffer, size_t bytes)
{
    if (buffer->failed)
        return false;
    size_t capacity = buffer->capacity ? buffer->capacity : FIRST_CAPACITY;
    while (capacity - buffer->size < bytes)
        capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void buffer_clear(struct buffer *buffer)
{
    if (buffer->capacity > KEPT_CAPACITY)
        buffer_deinit(buffer);
    buffer->size = 0;
}

static void append_formatted(struct buffer *buffer, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int bytes = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (bytes > 0 && buffer_reserve(buffer, (size_t)bytes + 1)) {
        vsnprintf(buffer->data + buffer->size, (size_t)bytes + 1, format, arguments);
        buffer->size += (size_t)bytes;
    }
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    append_formatted(buffer, format, arguments);
    va_end(arguments);
}

/* How many decimal digits the number has: four at a time, since most are short. */
static inline unsigned count_digits(uint64_t number)
{
    unsigned count = 1;
    for (;; number /= 10000, count += 4) {
        if (number < 10)
            return count;
        if (number < 100)
            return count + 1;
        if (number < 1000)
            return count + 2;
        if (number < 10000)
            return count + 3;
    }
}

/* Two digits at a time: the divisions wait for one another, and half as many are left. */
size_t format_integer(char *digits, int64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    size_t sign = value < 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    size_t count = count_digits(rest);
    char *at = digits + sign + count;
    for (; rest >= 100; rest /= 100)
        memcpy(at -= 2, pairs + rest % 100 * 2, 2);
    if (rest >= 10)
        memcpy(at - 2, pairs + rest * 2, 2);
    else
        at[-1] = (char)('0' + rest);
    if (sign)
        digits[0] = '-';
    return sign + count;
}

/* ":12\r\n" and its like, without checking for room. */
static size_t put_line(char *at, char type, int64_t value)
{
    at[0] = type;
    size_t end = 1 + format_integer(at + 1, value);
    at[end] = '\r';
    at[end + 1] = '\n';
    return end + 2;
}

void reply_integer(struct buffer *out, int64_t value)
{
    if (buffer_reserve(out, 24))
        out->size += put_line(out->data + out->size, ':', value);
}

void reply_digits(struct buffer *out, const char *digits, size_t count)
{
    if (!buffer_reserve(out, DIGITS_ROOM + 4))
        return;
    char *at = out->data + out->size;
    at[0] = ':';
    memcpy(at + 1, digits, DIGITS_ROOM); /* all of it: a few moves, where a copy of `count` bytes would be a call */
    at[1 + count] = '\r';
    at[2 + count] = '\n';
    out->size += count + 3;
}

void reply_array(struct buffer *out, size_t count)
{
    if (buffer_reserve(out, 24))
        out->size += put_line(out->data + out->size, '*', (int64_t)count);
}

void reply_bulk(struct buffer *out, struct slice text)
{
    if (!buffer_reserve(out, text.size + 26))
        return;
    char *at = out->data + out->size;
    at += put_line(at, '$', (int64_t)text.size);
    slice_copy(at, text);
    at += text.size;
    *at++ = '\r';
    *at++ = '\n';
    out->size = (size_t)(at - out->data);
}

void reply_error(struct buffer *out, const char *format, ...)
{
    REPLY(out, "-");
    size_t begin = out->size;
    va_list arguments;
    va_start(arguments, format);
    append_formatted(out, format, arguments);
    va_end(arguments);
    while (out->size > begin && (out->data[out->size - 1] == '\r' || out->data[out->size - 1] == '\n'))
        out->size--;
    for (size_t i = begin; i < out->size; i++) {
        if (out->data[i] == '\r' || out->data[i] == '\n')
            out->data[i] = ' ';
    }
    REPLY(out, "\r\n");
}

void reply_wrong_arity(struct buffer *out, const char *name)
{
    reply_error(out, "ERR wrong number of arguments for '%s' command", name);
}

bool slice_is(struct slice text, const char *word)
{
    size_t i = 0;
    for (; i < text.size && word[i] != '\0'; i++) {
        char c = text.data[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != word[i])
            return false;
    }
    return i == text.size && word[i] == '\0';
}
