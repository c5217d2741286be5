/* SPDX-License-Identifier: MIT */
/*
 * redis_wire.h: what travels between a Redis client and its server, and the URL that says where the server is. Plain C:
 * it knows nothing of Troupe, of sockets, or of who waits for a reply.
 *
 *   redis_url_parse     "redis://user:password@host:port/db", with an error that says what is wrong and where
 *   redis_encode        a command as RESP2 bytes
 *   redis_parse         the next reply out of bytes that arrive piece by piece; each byte is looked at about once
 */
#ifndef REDIS_WIRE_H
#define REDIS_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* ---- where the server is --------------------------------------------------------------------------------------- */

struct redis_url {
    char host[256];
    char user[128];     /* "": AUTH with the password alone */
    char password[512]; /* "": no AUTH */
    uint16_t port;
    uint32_t database;
};

/*
 * Takes apart redis://[user:password@]host[:port][/db]. The user may be missing (":password@"); user and password may hold
 * %XX; the host may be an IPv6 address in brackets. Defaults: port 6379, db 0.
 * Returns 0, or -EINVAL with a sentence such as "byte 17: the port is not a number" in error (always terminated).
 */
int redis_url_parse(struct redis_url *out, const char *text, char *error, size_t error_bytes);

/* ---- commands -------------------------------------------------------------------------------------------------- */

/* Bytes that need not be text: a key, a value, an argument. */
struct redis_bytes {
    const void *data;
    size_t length;
};

/* At most so many bytes are written by redis_encode; a few more than needed, so that it is quickly said. */
size_t redis_encoded_most(size_t count, const struct redis_bytes *arguments);

/* Writes the command's bytes to `at` and returns the end of them. */
char *redis_encode(char *at, size_t count, const struct redis_bytes *arguments);

/*
 * The two commands that are used most, for keys and values of less than 1000 bytes; REDIS_GET_MOST and REDIS_SET_MOST are
 * what they add to key and value, at most.
 */
#define REDIS_GET_MOST 24
#define REDIS_SET_MOST 32
char *redis_encode_get(char *at, struct redis_bytes key);
char *redis_encode_set(char *at, struct redis_bytes key, struct redis_bytes value);

/* ---- replies --------------------------------------------------------------------------------------------------- */

enum redis_type {
    REDIS_NIL,
    REDIS_STATUS,  /* "+OK": text */
    REDIS_ERROR,   /* "-ERR ...": text, without the dash */
    REDIS_INTEGER, /* integer */
    REDIS_STRING,  /* text: any bytes, `length` of them, and a zero byte after them */
    REDIS_ARRAY,   /* `length` items */
};

struct redis_value {
    enum redis_type type;
    uint32_t length;
    union {
        const char *text;
        const struct redis_value *items;
        int64_t integer;
    };
};

/*
 * A reply owns its memory: a short text lies inside it, anything longer in one block of the heap that redis_reply_clear
 * frees. Because `value` can point into the reply itself, do not copy one; use it where it is, or redis_reply_move.
 */
#define REDIS_REPLY_SMALL 104 /* makes it 128 bytes: it is copied with each answer */
struct redis_reply {
    struct redis_value value;
    void *block;
    char small[REDIS_REPLY_SMALL];
};

/* Frees what the reply owns and leaves it nil. Harmless on a nil reply (all zero) and when called twice. */
void redis_reply_clear(struct redis_reply *reply);

/* Moves the reply to *to, whose old content is forgotten; *from is nil afterwards. */
void redis_reply_move(struct redis_reply *to, struct redis_reply *from);

/* After the bytes of a reply were copied to where they are now: points `value` at them again. */
void redis_reply_settle(struct redis_reply *reply);

#define REDIS_DEPTH 32         /* arrays within arrays */
#define REDIS_LINE_BYTES 65536 /* the longest status or error line */

/* Where the parser stands inside a reply that has not arrived completely. Zero-initialised but for most_bytes. */
struct redis_parser {
    size_t most_bytes;          /* the longest reply accepted, in bytes on the wire */
    size_t scanned;             /* so much of the reply has been understood */
    uint32_t values, depth;     /* seen so far, and arrays that are open */
    uint32_t left[REDIS_DEPTH]; /* items still missing in each of them */
};

/*
 * Looks for one complete reply at the start of bytes[0..count). While it is incomplete, call again with the same bytes and
 * more behind them; on 1, *used bytes have been consumed and *reply (whose old content is forgotten) is the caller's to clear.
 * Returns 1, 0 (incomplete), -EPROTO (no RESP2), -EMSGSIZE (longer than most_bytes or REDIS_LINE_BYTES), -ENOMEM.
 * After an error the connection is of no more use.
 */
int redis_parse(struct redis_parser *parser, const char *bytes, size_t count, struct redis_reply *reply, size_t *used);

#endif
