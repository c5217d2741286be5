/* SPDX-License-Identifier: MIT */
/*
 * kv-service.c: a minimal request/response service: keys and values over TCP.
 *
 *    client ---frame---> connection (a task each) ---tr_call---> store (one actor, owns all the data)
 *
 * The one idea: the store is the only one that touches the data, so there is no lock; connections only turn frames into
 * messages and back. A frame is a length (4 bytes, big-endian) and so many bytes:
 *
 *    request    'S' key 0 value     'G' key 0     'D' key 0
 *    response   '+' value           '-' (no such key)           '!' reason
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe.h>

#define KEY_BYTES 64 /* with the zero byte */
#define VALUE_BYTES 400
#define FRAME_BYTES (1 + KEY_BYTES + VALUE_BYTES)
#define PATIENCE (10 * TR_SECOND)

/* ---- the store --------------------------------------------------------------------------------------------------- */

struct value {
    uint32_t length;
    char bytes[VALUE_BYTES];
};

struct request;
TR_ADDRESS_TYPE(store_address, struct request);
TR_REPLY_TYPE(value_reply, struct value);
struct request {
    char kind; /* 'S', 'G', 'D' */
    char key[KEY_BYTES];
    struct value value;
    struct value_reply reply;
};

#define NO_SUCH_KEY 1 /* our own error, through tr_reply_error */
#define NO_MEMORY 2

struct entry {
    struct entry *next;
    struct request request;
};

struct store {
    struct entry *buckets[1024];
};

static struct entry **find(struct store *store, const char *key)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *p = key; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    struct entry **link = &store->buckets[hash % 1024];
    while (*link && strcmp((*link)->request.key, key) != 0)
        link = &(*link)->next;
    return link;
}

static int set(struct entry **link, const struct request *request)
{
    if (!*link && !(*link = calloc(1, sizeof **link)))
        return NO_MEMORY;
    (*link)->request = *request;
    return 0;
}

/* A handler actor: called for each request, one after the other. */
static int on_request(void *state, void *message)
{
    struct request *request = message;
    struct entry **link = find(state, request->key), *entry = *link;
    if (request->kind == 'S') {
        int error = set(link, request);
        if (error)
            tr_reply_error(request->reply, error);
        else
            tr_reply(request->reply, &(struct value){ 0 });
        return 0;
    }
    if (!entry) {
        tr_reply_error(request->reply, NO_SUCH_KEY);
        return 0;
    }
    tr_reply(request->reply, &entry->request.value);
    if (request->kind == 'D') {
        *link = entry->next;
        free(entry);
    }
    return 0;
}

/* The store has ended. */
static void on_stopped(void *state, int reason)
{
    struct store *store = state;
    (void)reason;
    for (unsigned i = 0; i < 1024; i++)
        for (struct entry *entry; (entry = store->buckets[i]);) {
            store->buckets[i] = entry->next;
            free(entry);
        }
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static int read_exactly(struct tr_stream *stream, void *buffer, size_t bytes, tr_time deadline)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = tr_read(stream, (char *)buffer + done, bytes - done, deadline);
        if (n <= 0)
            return n == 0 ? -ECONNRESET : (int)n;
        done += (size_t)n;
    }
    return 0;
}

/* Returns the length, 0 if it is out of bounds, or an error. */
static int read_frame(struct tr_stream *stream, char frame[FRAME_BYTES], tr_time deadline)
{
    uint32_t length = 0;
    int rc = read_exactly(stream, &length, sizeof length, deadline);
    length = ntohl(length);
    if (rc < 0 || length == 0 || length > FRAME_BYTES)
        return rc;
    rc = read_exactly(stream, frame, length, deadline);
    return rc < 0 ? rc : (int)length;
}

static int write_frame(struct tr_stream *stream, char kind, const void *bytes, size_t count)
{
    uint32_t length = htonl((uint32_t)count + 1);
    struct iovec pieces[] = { { &length, 4 }, { &kind, 1 }, { (void *)bytes, count } };
    return tr_write_v(stream, pieces, 3, NULL, tr_after(PATIENCE));
}

/* False if the frame is no request. */
static bool parse_request(const char *frame, size_t length, struct request *out)
{
    const char *end = memchr(frame + 1, '\0', length - 1);
    bool known = frame[0] == 'S' || frame[0] == 'G' || frame[0] == 'D';
    if (!known || !end || end - frame - 1 >= KEY_BYTES)
        return false;
    size_t value = (size_t)(frame + length - end - 1);
    if (value > VALUE_BYTES)
        return false;
    out->kind = frame[0];
    strcpy(out->key, frame + 1);
    out->value.length = (uint32_t)value;
    memcpy(out->value.bytes, end + 1, value);
    return true;
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

struct connection {
    struct tr_stream *stream;
    struct store_address store;
};

static int answer(struct connection *connection, const char *frame, int length)
{
    struct request request;
    struct value value;
    if (length == 0 || !parse_request(frame, (size_t)length, &request)) {
        write_frame(connection->stream, '!', "not a request", 13);
        return -EPROTO;
    }
    int rc = tr_call(connection->store, &value, tr_after(PATIENCE), &request);
    if (rc == NO_SUCH_KEY)
        return write_frame(connection->stream, '-', NULL, 0);
    if (rc != 0)
        return write_frame(connection->stream, '!', "the store cannot", 16);
    return write_frame(connection->stream, '+', value.bytes, value.length);
}

static int serve_connection(void *argument)
{
    struct connection *connection = argument;
    char frame[FRAME_BYTES] = { 0 };
    int rc;
    do {
        rc = read_frame(connection->stream, frame, TR_FOREVER); /* a client may be silent for as long as it likes */
        if (rc >= 0)
            rc = answer(connection, frame, rc);
    } while (rc >= 0);
    tr_stream_close(connection->stream);
    return 0;
}

static int accept_loop(void *argument)
{
    struct tr_listener *listener = argument;
    static struct store store;
    struct connection connection;
    struct tr_actor_options options = { .name = "store", .stopped = on_stopped };
    int rc = tr_spawn_handler(&connection.store, on_request, &store, &options);
    if (rc < 0) {
        tr_listener_close(listener);
        return rc;
    }
    while (rc != -ECANCELED) {
        rc = tr_tcp_accept(listener, &connection.stream, TR_FOREVER);
        if (rc < 0) {
            tr_sleep(10 * TR_MILLISECOND); /* cancelled: at once */
            continue;
        }
        struct tr_task_options own = { .name = "connection", .argument_bytes = sizeof connection };
        if (tr_task_spawn(NULL, serve_connection, &connection, &own) < 0)
            tr_stream_close(connection.stream);
    }
    tr_actor_stop(connection.store);
    tr_listener_close(listener);
    return 0;
}

/* ---- a client ---------------------------------------------------------------------------------------------------- */

/* One request; the response goes to frame. Returns its length or an error. */
static int ask(struct tr_stream *stream, char kind, const char *key, const char *value, char frame[FRAME_BYTES])
{
    char body[KEY_BYTES + VALUE_BYTES];
    size_t length = (size_t)snprintf(body, sizeof body, "%.63s%c%.399s", key, 0, value);
    int rc = write_frame(stream, kind, body, length);
    return rc < 0 ? rc : read_frame(stream, frame, tr_after(PATIENCE));
}

static bool is_answer(const char *frame, int length, const char *expected)
{
    return length == (int)strlen(expected) && memcmp(frame, expected, (size_t)length) == 0;
}

/* Sets, reads and deletes keys of its own; returns 0 if every answer is right. */
static int client(void *argument)
{
    struct tr_stream *stream;
    char frame[FRAME_BYTES], key[KEY_BYTES], expected[32];
    static _Atomic int next;
    int number = next++;
    int rc = tr_tcp_connect(&stream, "127.0.0.1", *(uint16_t *)argument, tr_after(PATIENCE));
    if (rc < 0)
        return rc;
    bool good = true;
    for (int i = 0; i < 100 && good; i++) {
        snprintf(key, sizeof key, "key %d of client %d", i % 10, number);
        snprintf(expected, sizeof expected, "+%d", i);
        good = is_answer(frame, ask(stream, 'S', key, expected + 1, frame), "+") &&
               is_answer(frame, ask(stream, 'G', key, "", frame), expected) &&
               is_answer(frame, ask(stream, 'D', key, "", frame), expected) &&
               is_answer(frame, ask(stream, 'G', key, "", frame), "-");
    }
    tr_stream_close(stream);
    return good ? 0 : -EIO;
}

static int selftest(struct tr_listener *listener)
{
    struct tr_task server, clients[20];
    uint16_t port = tr_listener_port(listener);
    int failed = 0, result;
    if (tr_task_spawn(&server, accept_loop, listener, NULL) < 0)
        return 1;
    for (int i = 0; i < 20; i++)
        if (tr_task_spawn(&clients[i], client, &port, NULL) < 0)
            return 1;
    for (int i = 0; i < 20; i++)
        failed += tr_task_join(clients[i], &result, TR_FOREVER) < 0 || result != 0;
    tr_task_cancel(server);
    tr_task_join(server, NULL, TR_FOREVER);
    printf("kv-service: 20 clients, 400 requests each: %s\n", failed ? "FAILED" : "ok");
    return failed;
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

struct arguments {
    bool selftest;
    uint16_t port;
};

static int run(void *argument)
{
    struct arguments *arguments = argument;
    struct tr_listener *listener;
    int rc = tr_tcp_listen(&listener, "127.0.0.1", arguments->port, NULL);
    if (rc < 0) {
        fprintf(stderr, "kv-service: port %u: %s\n", arguments->port, strerror(-rc));
        return rc;
    }
    if (arguments->selftest)
        return selftest(listener);
    printf("kv-service: listening on 127.0.0.1:%u\n", tr_listener_port(listener));
    fflush(stdout);
    return accept_loop(listener);
}

static bool read_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    *port = (uint16_t)number;
    return *text >= '0' && *text <= '9' && *end == '\0' && number <= UINT16_MAX;
}

/* What the selftest prints is its result: it counts once it is written. */
static bool written(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    fputs("kv-service: standard output cannot be written\n", stderr);
    return false;
}

int main(int argc, char **argv)
{
    struct arguments arguments = { .port = 7008 };
    if (argc == 2 && strcmp(argv[1], "--selftest") == 0) {
        arguments = (struct arguments){ .selftest = true };
    } else if (argc != 1 && (argc != 3 || strcmp(argv[1], "--port") != 0 || !read_port(argv[2], &arguments.port))) {
        bool help = strcmp(argv[1], "--help") == 0;
        fprintf(help ? stdout : stderr, "usage: kv-service [--port N | --selftest]\n"
                                        "Serves keys and values on 127.0.0.1:N (7008; 0: a free port) until SIGINT;\n"
                                        "--selftest serves 20 clients in the same process and ends.\n");
        return help ? 0 : 2;
    }
    return tr_run(NULL, run, &arguments) != 0 || (arguments.selftest && !written());
}
