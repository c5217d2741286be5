/* SPDX-License-Identifier: MIT */
/*
 * redis_fake.c: the scripted server (an acceptor task, and a task for each connection), and the callers; see
 * redis_fake.h.
 */
#include "redis_fake.h"
#include "redis.h"
#include "support.h"

#define REQUEST_MOST (4u << 20)

/* ---- connections ---------------------------------------------------------------------------------------------- */

static void forget(struct fake_client *client)
{
    struct fake *fake = client->fake;
    pthread_mutex_lock(&fake->lock);
    struct fake_client **link = &fake->clients;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    pthread_mutex_unlock(&fake->lock);
}

static int client_body(void *argument)
{
    struct fake_client *client = argument;
    struct fake *fake = client->fake;
    client->capacity = 65536;
    client->bytes = malloc(client->capacity);
    pthread_mutex_lock(&fake->lock);
    client->next = fake->clients;
    fake->clients = client;
    pthread_mutex_unlock(&fake->lock);
    fake->serve(client);
    forget(client);
    tr_stream_close(client->stream);
    free(client->bytes);
    atomic_fetch_sub(&fake->living, 1);
    return 0;
}

static int acceptor_body(void *argument)
{
    struct fake *fake = argument;
    struct tr_stream *stream;
    int rc;
    while ((rc = tr_tcp_accept(fake->listener, &stream, TR_FOREVER)) == 0 || rc == -ECONNABORTED) {
        if (rc < 0)
            continue;
        struct fake_client client = { .fake = fake,
                                      .stream = stream,
                                      .index = atomic_fetch_add(&fake->connections, 1) };
        atomic_fetch_add(&fake->living, 1);
        expect_int(tr_task_spawn(NULL, client_body, &client,
                                 &(struct tr_task_options){ .name = "fake client", .argument_bytes = sizeof client }),
                   0);
    }
    expect_int(rc, -ECANCELED);
    tr_listener_close(fake->listener);
    return 0;
}

void fake_start(struct fake *fake, void (*serve)(struct fake_client *client), void *context, uint16_t port)
{
    *fake = (struct fake){ .serve = serve, .context = context };
    pthread_mutex_init(&fake->lock, NULL);
    expect_int(tr_tcp_listen(&fake->listener, "127.0.0.1", port, NULL), 0);
    fake->port = tr_listener_port(fake->listener);
    expect_int(tr_task_spawn(&fake->acceptor, acceptor_body, fake, NULL), 0);
}

static void stop_listening(struct fake *fake)
{
    expect_int(tr_task_cancel(fake->acceptor), 0);
    expect_int(test_join(fake->acceptor), 0);
}

static void deinit(struct fake *fake)
{
    pthread_mutex_destroy(&fake->lock);
    free(fake->value);
}

void fake_stop(struct fake *fake)
{
    stop_listening(fake);
    wait_until(atomic_load(&fake->living) == 0);
    deinit(fake);
}

void fake_kill(struct fake *fake)
{
    stop_listening(fake);
    while (atomic_load(&fake->living) > 0) {
        pthread_mutex_lock(&fake->lock);
        for (struct fake_client *client = fake->clients; client; client = client->next)
            tr_stream_abort(client->stream);
        pthread_mutex_unlock(&fake->lock);
        tr_sleep(TR_MILLISECOND);
    }
    deinit(fake);
}

const char *fake_url(const struct fake *fake)
{
    static char url[64];
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", fake->port);
    return url;
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

/* More bytes behind those that are there. */
static bool read_more(struct fake_client *client)
{
    if (client->end == client->capacity) {
        expect(client->capacity < REQUEST_MOST);
        client->capacity *= 2;
        client->bytes = realloc(client->bytes, client->capacity);
    }
    ssize_t count = tr_read(client->stream, client->bytes + client->end, client->capacity - client->end, TR_FOREVER);
    if (count <= 0)
        return false;
    client->end += (size_t)count;
    return true;
}

/* "*3\r\n" or "$12\r\n" at *at, which moves on. Offsets, because the buffer moves when it grows. */
static bool read_header(struct fake_client *client, size_t *at, char kind, size_t *number)
{
    size_t end = *at;
    for (;;) {
        while (end < client->end && client->bytes[end] != '\n')
            end++;
        if (end < client->end)
            break;
        size_t offset = *at - client->start;
        size_t seen = end - client->start;
        if (!read_more(client))
            return false;
        *at = client->start + offset;
        end = client->start + seen;
    }
    expect_int(client->bytes[*at], kind);
    *number = strtoul(client->bytes + *at + 1, NULL, 10);
    *at = end + 1;
    return true;
}

bool fake_read(struct fake_client *client)
{
    size_t count, offsets[FAKE_ARGUMENTS];
    if (client->start > client->capacity / 2) {
        memmove(client->bytes, client->bytes + client->start, client->end - client->start);
        client->end -= client->start;
        client->start = 0;
    }
    size_t at = client->start;
    if (!read_header(client, &at, '*', &count))
        return false;
    expect(count >= 1 && count <= FAKE_ARGUMENTS);
    for (size_t i = 0; i < count; i++) {
        if (!read_header(client, &at, '$', &client->lengths[i]))
            return false;
        while (client->end - at < client->lengths[i] + 2)
            if (!read_more(client))
                return false;
        offsets[i] = at;
        at += client->lengths[i] + 2;
    }
    for (size_t i = 0; i < count; i++) {
        client->arguments[i] = client->bytes + offsets[i];
        expect_int(client->arguments[i][client->lengths[i]], '\r');
        client->arguments[i][client->lengths[i]] = '\0';
    }
    client->count = (unsigned)count;
    client->start = at;
    atomic_fetch_add(&client->fake->requests, 1);
    return true;
}

/* ---- replies -------------------------------------------------------------------------------------------------- */

bool fake_write_bytes(struct fake_client *client, const void *bytes, size_t count)
{
    return tr_write(client->stream, bytes, count, TR_FOREVER) == 0;
}

bool fake_write(struct fake_client *client, const char *text)
{
    return fake_write_bytes(client, text, strlen(text));
}

bool fake_printf(struct fake_client *client, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    expect(length >= 0 && (size_t)length < sizeof text);
    return fake_write_bytes(client, text, (size_t)length);
}

static bool write_string(struct fake_client *client, const char *bytes, size_t count)
{
    return fake_printf(client, "$%zu\r\n", count) && fake_write_bytes(client, bytes, count) &&
           fake_write(client, "\r\n");
}

static bool answer_set(struct fake_client *client)
{
    struct fake *fake = client->fake;
    pthread_mutex_lock(&fake->lock);
    free(fake->value);
    fake->value_bytes = client->lengths[2];
    fake->value = malloc(fake->value_bytes + 1);
    memcpy(fake->value, client->arguments[2], fake->value_bytes);
    pthread_mutex_unlock(&fake->lock);
    return fake_write(client, "+OK\r\n");
}

static bool answer_get(struct fake_client *client)
{
    struct fake *fake = client->fake;
    pthread_mutex_lock(&fake->lock);
    size_t count = fake->value_bytes;
    char *copy = fake->value ? malloc(count + 1) : NULL;
    if (copy)
        memcpy(copy, fake->value, count);
    pthread_mutex_unlock(&fake->lock);
    bool alive = copy ? write_string(client, copy, count) : fake_write(client, "$-1\r\n");
    free(copy);
    return alive;
}

bool fake_answer(struct fake_client *client)
{
    const char *name = client->arguments[0];
    if (strcmp(name, "SET") == 0)
        return answer_set(client);
    if (strcmp(name, "GET") == 0)
        return answer_get(client);
    if (strcmp(name, "ECHO") == 0)
        return write_string(client, client->arguments[1], client->lengths[1]);
    if (strcmp(name, "PING") == 0)
        return fake_write(client, "+PONG\r\n");
    if (strcmp(name, "DEL") == 0)
        return fake_write(client, ":1\r\n");
    return fake_printf(client, "-ERR unknown command '%.32s'\r\n", name);
}

void fake_serve_well(struct fake_client *client)
{
    while (fake_read(client) && fake_answer(client))
        ;
}

/* ---- the manager's side --------------------------------------------------------------------------------------- */

struct redis *open_manager(const struct fake *fake, const struct redis_options *options)
{
    struct redis *redis;
    expect_int(redis_open(&redis, fake_url(fake), options, tr_after(LONG_TIME)), 0);
    return redis;
}

void close_manager(struct redis *redis)
{
    redis_close(redis, tr_after(LONG_TIME));
}

void expect_echo(struct redis *redis, const char *text)
{
    struct redis_reply reply;
    struct redis_bytes echo[] = { REDIS_BYTES("ECHO"), redis_text(text) };
    expect_int(redis_command(redis, 2, echo, &reply, tr_after(LONG_TIME)), 0);
    expect_int(reply.value.type, REDIS_STRING);
    expect(strcmp(reply.value.text, text) == 0);
    redis_reply_clear(&reply);
}

int try_echo(struct redis *redis, const char *text, int64_t patience)
{
    struct redis_reply reply;
    struct redis_bytes echo[] = { REDIS_BYTES("ECHO"), redis_text(text) };
    int rc = redis_command(redis, 2, echo, &reply, tr_after(patience));
    if (rc == 0)
        expect(reply.value.type == REDIS_STRING && strcmp(reply.value.text, text) == 0);
    redis_reply_clear(&reply);
    return rc;
}

static int caller_body(void *argument)
{
    struct caller *caller = argument;
    char text[32];
    for (unsigned i = 0; i < caller->requests; i++) {
        snprintf(text, sizeof text, "caller %u request %u", caller->index, i);
        int rc = try_echo(caller->redis, text, caller->patience);
        expect(rc == -ETIMEDOUT || (rc >= 0 && rc <= REDIS_REFUSED));
        caller->outcomes[rc == -ETIMEDOUT ? TIMED_OUT : rc]++;
    }
    return 0;
}

void start_callers(struct caller *callers, unsigned count, struct redis *redis, unsigned requests, int64_t patience)
{
    for (unsigned i = 0; i < count; i++) {
        callers[i] = (struct caller){ .redis = redis, .index = i, .requests = requests, .patience = patience };
        callers[i].task = test_task(caller_body, &callers[i]);
    }
}

void join_callers(struct caller *callers, unsigned count, unsigned outcomes[OUTCOMES])
{
    memset(outcomes, 0, OUTCOMES * sizeof *outcomes);
    for (unsigned i = 0; i < count; i++) {
        expect_int(test_join(callers[i].task), 0);
        for (unsigned j = 0; j < OUTCOMES; j++)
            outcomes[j] += callers[i].outcomes[j];
    }
}
