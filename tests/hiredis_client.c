/* SPDX-License-Identifier: MIT */
/*
 * hiredis_client.c: a Redis server as programs written with hiredis meet it: one request at a time, pipelined, and from an
 * event loop, with a second connection that subscribes. Every reply is checked, and the first wrong one ends the program
 * with status 1. The server's keys are deleted. e2e_mini_redis.sh runs it.
 *
 *     hiredis_client PORT
 */
#include <hiredis/hiredis.h>
#include <hiredis/async.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define PATIENCE_SECONDS 60
#define ROUNDS 50 /* of all the steps below, without waiting in between */
#define NEWS 200
#define LARGE_BYTES (3 * 1024 * 1024)

#define must(condition, ...)                                                                                           \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "hiredis_client: " __VA_ARGS__);                                                           \
            fputc('\n', stderr);                                                                                       \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Requests and their replies as render() writes them. They begin and end with no key at all. */
static const struct step {
    const char *request, *reply;
} steps[] = {
    { "FLUSHALL", "+OK" },
    { "PING", "+PONG" },
    { "PING hello", "$hello" },
    { "ECHO hello", "$hello" },
    { "SELECT 0", "+OK" },
    { "SET greeting hello", "+OK" },
    { "GET greeting", "$hello" },
    { "GET nosuch", "nil" },
    { "SET greeting again NX", "nil" },
    { "SET greeting again XX GET", "$hello" },
    { "APPEND greeting !", ":6" },
    { "STRLEN greeting", ":6" },
    { "TYPE greeting", "+string" },
    { "INCR greeting", "-ERR value is not an integer or out of range" },
    { "SET counter 10", "+OK" },
    { "INCR counter", ":11" },
    { "DECR counter", ":10" },
    { "INCRBY counter 32", ":42" },
    { "GETDEL counter", "$42" },
    { "MSET a 1 b 2", "+OK" },
    { "MGET a nosuch b", "[$1 nil $2]" },
    { "EXISTS a b nosuch", ":2" },
    { "EXPIRE a 100", ":1" },
    { "PERSIST a", ":1" },
    { "TTL a", ":-1" },
    { "DEL a b nosuch", ":2" },
    { "DBSIZE", ":1" },
    { "KEYS *", "[$greeting]" },
    { "GET", "-ERR wrong number of arguments for 'get' command" },
    { "NOSUCH it", "-ERR unknown command 'NOSUCH', with args beginning with: 'it' " },
    { "FLUSHALL", "+OK" },
    { "KEYS *", "[]" },
};
#define STEPS (sizeof steps / sizeof *steps)

/* ---- replies ---------------------------------------------------------------------------------------------------- */

static void render(FILE *out, const redisReply *reply)
{
    switch (reply->type) {
    case REDIS_REPLY_NIL:
        fputs("nil", out);
        break;
    case REDIS_REPLY_INTEGER:
        fprintf(out, ":%lld", reply->integer);
        break;
    case REDIS_REPLY_ARRAY:
        fputc('[', out);
        for (size_t i = 0; i < reply->elements; i++) {
            fputs(i ? " " : "", out);
            render(out, reply->element[i]);
        }
        fputc(']', out);
        break;
    default:
        fputc(reply->type == REDIS_REPLY_STATUS ? '+' : reply->type == REDIS_REPLY_ERROR ? '-' : '$', out);
        fwrite(reply->str, 1, (size_t)reply->len, out);
    }
}

static void check(const char *request, const redisReply *reply, const char *expected)
{
    char *text = NULL;
    size_t size;
    must(reply, "%s: no reply", request);
    FILE *out = open_memstream(&text, &size);
    render(out, reply);
    fclose(out);
    must(strcmp(text, expected) == 0, "%s: the reply is '%s', not '%s'", request, text, expected);
    free(text);
}

/* ---- one at a time, and pipelined ------------------------------------------------------------------------------- */

static redisContext *open_blocking(int port)
{
    redisContext *redis = redisConnectWithTimeout("127.0.0.1", port, (struct timeval){ .tv_sec = PATIENCE_SECONDS });
    must(redis && !redis->err, "cannot connect: %s", redis ? redis->errstr : "no memory");
    must(redisSetTimeout(redis, (struct timeval){ .tv_sec = PATIENCE_SECONDS }) == REDIS_OK, "no timeout");
    return redis;
}

/* Any bytes in key and value, and more of them than any buffer has. */
static void check_large(redisContext *redis)
{
    static const char key[] = "key\r\n\0*1";
    char *value = malloc(LARGE_BYTES);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        value[i] = (char)(i * 7 + i / 256);
    redisReply *reply = redisCommand(redis, "SET %b %b", key, sizeof key, value, (size_t)LARGE_BYTES);
    check("SET of a large value", reply, "+OK");
    freeReplyObject(reply);
    reply = redisCommand(redis, "GET %b", key, sizeof key);
    must(reply && reply->type == REDIS_REPLY_STRING && reply->len == LARGE_BYTES &&
             memcmp(reply->str, value, LARGE_BYTES) == 0,
         "the large value has changed");
    freeReplyObject(reply);
    free(value);
}

static void one_at_a_time(int port)
{
    redisContext *redis = open_blocking(port);
    for (size_t i = 0; i < STEPS; i++) {
        redisReply *reply = redisCommand(redis, steps[i].request);
        check(steps[i].request, reply, steps[i].reply);
        freeReplyObject(reply);
    }
    check_large(redis);
    redisFree(redis);
    printf("one at a time: %zu replies\n", STEPS + 2);
}

static void pipelined(int port)
{
    redisContext *redis = open_blocking(port);
    for (size_t i = 0; i < ROUNDS * STEPS; i++)
        must(redisAppendCommand(redis, steps[i % STEPS].request) == REDIS_OK, "cannot append: %s", redis->errstr);
    for (size_t i = 0; i < ROUNDS * STEPS; i++) {
        void *reply = NULL;
        must(redisGetReply(redis, &reply) == REDIS_OK, "%s: %s", steps[i % STEPS].request, redis->errstr);
        check(steps[i % STEPS].request, reply, steps[i % STEPS].reply);
        freeReplyObject(reply);
    }
    redisFree(redis);
    printf("pipelined: %zu replies\n", ROUNDS * STEPS);
}

/* ---- from an event loop: poll(2) ------------------------------------------------------------------------------- */

struct loop_entry {
    redisAsyncContext *redis; /* NULL: closed */
    short events;
};

static struct loop_entry publisher, subscriber;
static size_t answers, news;

static void add_read(void *entry)
{
    ((struct loop_entry *)entry)->events |= POLLIN;
}

static void del_read(void *entry)
{
    ((struct loop_entry *)entry)->events &= (short)~POLLIN;
}

static void add_write(void *entry)
{
    ((struct loop_entry *)entry)->events |= POLLOUT;
}

static void del_write(void *entry)
{
    ((struct loop_entry *)entry)->events &= (short)~POLLOUT;
}

static void forget(void *entry)
{
    *(struct loop_entry *)entry = (struct loop_entry){ 0 };
}

static void on_disconnect(const redisAsyncContext *redis, int status)
{
    must(status == REDIS_OK, "disconnected: %s", redis->errstr);
}

static void open_entry(struct loop_entry *entry, int port)
{
    redisAsyncContext *redis = redisAsyncConnect("127.0.0.1", port);
    must(redis && !redis->err, "cannot connect: %s", redis ? redis->errstr : "no memory");
    entry->redis = redis;
    redis->ev.data = entry;
    redis->ev.addRead = add_read;
    redis->ev.delRead = del_read;
    redis->ev.addWrite = add_write;
    redis->ev.delWrite = del_write;
    redis->ev.cleanup = forget;
    must(redisAsyncSetDisconnectCallback(redis, on_disconnect) == REDIS_OK, "no callback");
}

static void run_loop(void)
{
    struct loop_entry *entries[] = { &publisher, &subscriber };
    while (publisher.redis || subscriber.redis) {
        struct pollfd fds[2];
        for (int i = 0; i < 2; i++)
            fds[i] = (struct pollfd){ entries[i]->redis ? entries[i]->redis->c.fd : -1, entries[i]->events, 0 };
        must(poll(fds, 2, PATIENCE_SECONDS * 1000) > 0, "nothing happens: %zu answers, %zu news", answers, news);
        for (int i = 0; i < 2; i++) {
            if (entries[i]->redis && fds[i].revents & (POLLIN | POLLERR | POLLHUP))
                redisAsyncHandleRead(entries[i]->redis);
            if (entries[i]->redis && fds[i].revents & POLLOUT)
                redisAsyncHandleWrite(entries[i]->redis);
        }
    }
}

static void on_answer(redisAsyncContext *redis, void *reply, void *context)
{
    const struct step *step = context;
    (void)redis;
    check(step->request, reply, step->reply);
    must(step == &steps[answers++ % STEPS], "%s: out of order", step->request);
}

static void on_published(redisAsyncContext *redis, void *reply, void *context)
{
    (void)redis;
    (void)context;
    check("PUBLISH", reply, ":1");
}

/* The confirmation of the subscription, the news in their order, and the confirmation of the end. */
static void on_news(redisAsyncContext *redis, void *reply, void *context)
{
    char expected[64];
    (void)context;
    if (news == 0) {
        check("SUBSCRIBE", reply, "[$subscribe $news :1]");
        for (int i = 1; i <= NEWS; i++)
            redisAsyncCommand(publisher.redis, on_published, NULL, "PUBLISH news %d", i);
        redisAsyncDisconnect(publisher.redis); /* once all is answered */
    } else if (news <= NEWS) {
        snprintf(expected, sizeof expected, "[$message $news $%zu]", news);
        check("a message", reply, expected);
        if (news == NEWS)
            redisAsyncCommand(redis, NULL, NULL, "UNSUBSCRIBE news");
    } else {
        check("UNSUBSCRIBE", reply, "[$unsubscribe $news :0]");
        redisAsyncDisconnect(redis);
    }
    news++;
}

static void from_a_loop(int port)
{
    open_entry(&publisher, port);
    open_entry(&subscriber, port);
    for (size_t i = 0; i < ROUNDS * STEPS; i++)
        redisAsyncCommand(publisher.redis, on_answer, (void *)&steps[i % STEPS], steps[i % STEPS].request);
    redisAsyncCommand(subscriber.redis, on_news, NULL, "SUBSCRIBE news");
    run_loop();
    must(answers == ROUNDS * STEPS, "%zu answers of %zu", answers, ROUNDS * STEPS);
    must(news == NEWS + 2, "%zu news of %d", news, NEWS + 2);
    printf("from a loop: %zu replies, %zu news\n", answers + NEWS, news);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    one_at_a_time(atoi(argv[1]));
    pipelined(atoi(argv[1]));
    from_a_loop(atoi(argv[1]));
    return 0;
}
