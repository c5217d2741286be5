/* SPDX-License-Identifier: MIT */
/*
 * redis_fake.h: what the suites of the Redis client manager share. First a server that does what a test tells it: a
 * function of the test serves each connection, and may be slow, silent, wrong, or gone in the middle of a reply. Then
 * callers, who ask and note what became of it.
 */
#ifndef REDIS_FAKE_H
#define REDIS_FAKE_H

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <troupe.h>

#define FAKE_ARGUMENTS 8

struct fake;

/* A connection, and the request that was read last. */
struct fake_client {
    struct fake *fake;
    struct tr_stream *stream;
    unsigned index;           /* of the connection, from 0 */
    struct fake_client *next; /* alive at the same time */
    char *bytes;
    size_t start, end, capacity;
    unsigned count; /* arguments; each ends with a zero byte */
    char *arguments[FAKE_ARGUMENTS];
    size_t lengths[FAKE_ARGUMENTS];
};

struct fake {
    void (*serve)(struct fake_client *client);
    void *context;
    uint16_t port;
    atomic_uint connections, living, requests;
    struct tr_listener *listener;
    struct tr_task acceptor;
    pthread_mutex_t lock; /* guards what follows */
    struct fake_client *clients;
    char *value;
    size_t value_bytes;
};

/* Serves on a free port, or on `port`. */
void fake_start(struct fake *fake, void (*serve)(struct fake_client *client), void *context, uint16_t port);

/* After every client has gone. */
void fake_stop(struct fake *fake);

/* As if killed: every connection ends at once. */
void fake_kill(struct fake *fake);

/* Reads the next request. False when the client has gone. */
bool fake_read(struct fake_client *client);

/* Writes; false when the client has gone. */
bool fake_write(struct fake_client *client, const char *text);
bool fake_write_bytes(struct fake_client *client, const void *bytes, size_t count);
bool fake_printf(struct fake_client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Answers as Redis does to GET, SET, ECHO, PING and DEL, with one value for all keys; -ERR to anything else. */
bool fake_answer(struct fake_client *client);
void fake_serve_well(struct fake_client *client);

/* "redis://127.0.0.1:port", in a buffer of its own for each call's thread of the test. */
const char *fake_url(const struct fake *fake);

/* ---- the manager's side --------------------------------------------------------------------------------------- */

struct redis;
struct redis_options;

struct redis *open_manager(const struct fake *fake, const struct redis_options *options);
void close_manager(struct redis *redis);

/* Asks for an echo and expects it. */
void expect_echo(struct redis *redis, const char *text);

/* Asks for an echo; returns what redis_command does. An echo that comes must be right. */
int try_echo(struct redis *redis, const char *text, int64_t patience);

/* Many callers at once; each asks for echoes of its own. */
#define MOST_CALLERS 64
#define TIMED_OUT 7 /* the outcome -ETIMEDOUT; the others are 0 and enum redis_failure */
#define OUTCOMES 8

struct caller {
    struct redis *redis;
    unsigned index, requests;
    int64_t patience;
    struct tr_task task;
    unsigned outcomes[OUTCOMES];
};

void start_callers(struct caller *callers, unsigned count, struct redis *redis, unsigned requests, int64_t patience);
/* Waits for them and sums up. */
void join_callers(struct caller *callers, unsigned count, unsigned outcomes[OUTCOMES]);

#endif
