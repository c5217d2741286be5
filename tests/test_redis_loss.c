/* SPDX-License-Identifier: MIT */
/*
 * test_redis_loss.c: the Redis client manager (samples/redis-manager) with a server that goes away, comes back, or talks
 * nonsense.
 *
 * The one idea: whatever the server does, each request ends within its deadline with an answer, or with an error that
 * says whether it may have been carried out; and the next request, on a new connection, works.
 */
#include "redis.h"
#include "redis_fake.h"
#include "support.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the machine -------------------------------------------------------------------------------------------------- */

static atomic_uint readers_refused; /* so many more readers find no memory */

int __real_tr_spawn_raw(struct tr_address *out, const struct tr_type *type, int (*body)(void *argument), void *argument,
                        const struct tr_actor_options *options);
int __wrap_tr_spawn_raw(struct tr_address *out, const struct tr_type *type, int (*body)(void *argument), void *argument,
                        const struct tr_actor_options *options);

int __wrap_tr_spawn_raw(struct tr_address *out, const struct tr_type *type, int (*body)(void *argument), void *argument,
                        const struct tr_actor_options *options)
{
    if (options && options->name && strcmp(options->name, "redis reader") == 0 && atomic_load(&readers_refused) > 0) {
        atomic_fetch_sub(&readers_refused, 1);
        return -ENOMEM;
    }
    return __real_tr_spawn_raw(out, type, body, argument, options);
}

/* ---- lost connections ----------------------------------------------------------------------------------------- */

/* The first connection answers one request and ends with the next one unanswered. */
static void serve_one(struct fake_client *client)
{
    if (client->index > 0) {
        fake_serve_well(client);
        return;
    }
    if (fake_read(client) && fake_answer(client))
        fake_read(client);
}

TASK_TEST(loss_in_flight_is_unknown_and_the_next_request_works)
{
    struct fake fake;
    fake_start(&fake, serve_one, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    expect_int((int64_t)redis_losses(redis), 0);
    expect_echo(redis, "one");
    expect_int(try_echo(redis, "two", LONG_TIME), REDIS_UNKNOWN);
    expect_echo(redis, "three");
    expect_int((int64_t)redis_losses(redis), 1);
    expect_int(atomic_load(&fake.connections), 2);
    close_manager(redis);
    fake_stop(&fake);
}

/* After one answer reads nothing for a while: the callers' requests fill the socket; then the end. */
static void serve_deaf(struct fake_client *client)
{
    if (client->index > 0) {
        fake_serve_well(client);
        return;
    }
    if (fake_read(client) && fake_answer(client))
        wait_until(atomic_load((atomic_bool *)client->fake->context));
}

static int long_caller_body(void *argument)
{
    struct caller *caller = argument;
    struct redis_bytes value = { calloc(1, 300000), 300000 };
    int rc = redis_set(caller->redis, REDIS_BYTES("key"), value, tr_after(LONG_TIME));
    expect(rc == REDIS_NOT_SENT || rc == REDIS_UNKNOWN || rc == 0);
    caller->outcomes[rc]++;
    free((void *)value.data);
    return 0;
}

TASK_TEST(loss_with_requests_unwritten_tells_them_apart)
{
    struct fake fake;
    struct caller callers[MOST_CALLERS];
    unsigned outcomes[OUTCOMES];
    atomic_bool over = false;
    fake_start(&fake, serve_deaf, &over, 0);
    struct redis *redis = open_manager(&fake, NULL);
    expect_echo(redis, "one");
    for (unsigned i = 0; i < MOST_CALLERS; i++) {
        callers[i] = (struct caller){ .redis = redis };
        callers[i].task = test_task(long_caller_body, &callers[i]);
    }
    /* Until the socket is full and the writer stands still. */
    struct redis_stats stats = { 0 };
    for (uint64_t before = 0; stats.requests <= 1 || stats.requests != before; redis_stats(redis, &stats)) {
        before = stats.requests;
        tr_sleep(200 * TR_MILLISECOND);
    }
    atomic_store(&over, true);
    join_callers(callers, MOST_CALLERS, outcomes);
    /* What was written to the deaf is unknown, what was being written is not sent, the rest went to the next connection. */
    wait_until((redis_stats(redis, &stats), stats.requests > outcomes[REDIS_UNKNOWN] + outcomes[0]));
    expect(outcomes[REDIS_UNKNOWN] >= 1 && outcomes[REDIS_NOT_SENT] <= 1);
    expect_int(outcomes[REDIS_UNKNOWN] + outcomes[0] + 1, (int64_t)stats.requests); /* and "one" */
    expect_int(outcomes[REDIS_UNKNOWN] + outcomes[REDIS_NOT_SENT] + outcomes[0], MOST_CALLERS);
    close_manager(redis);
    fake_stop(&fake);
}

/* The first connection ends after one answer. */
static void serve_once(struct fake_client *client)
{
    if (client->index > 0)
        fake_serve_well(client);
    else if (fake_read(client))
        fake_answer(client);
}

TASK_TEST(loss_while_idle_is_noticed_before_the_next_request)
{
    struct fake fake;
    fake_start(&fake, serve_once, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    expect_echo(redis, "one");
    wait_until(redis_losses(redis) == 1);
    expect_echo(redis, "two");
    close_manager(redis);
    fake_stop(&fake);
}

TASK_TEST(no_memory_for_a_reader_is_waited_out)
{
    struct fake fake;
    fake_start(&fake, fake_serve_well, NULL, 0);
    atomic_store(&readers_refused, 3);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .backoff_ns = TR_MILLISECOND });
    expect_echo(redis, "one");
    expect_int(atomic_load(&readers_refused), 0);
    expect_int(atomic_load(&fake.connections), 4);
    close_manager(redis);
    fake_stop(&fake);
}

static atomic_bool may_end;

static void serve_once_until_told(struct fake_client *client)
{
    serve_once(client);
    while (client->index == 0 && !atomic_load(&may_end) && tr_sleep(TR_MILLISECOND) == 0)
        continue;
}

/* It keeps a request, and the line is lost: the next one has no reader. Then the manager closes. */
TASK_TEST(no_memory_for_a_reader_does_not_keep_from_closing)
{
    struct fake fake;
    fake_start(&fake, serve_once_until_told, NULL, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .backoff_ns = TR_MILLISECOND });
    expect_echo(redis, "one");
    atomic_store(&readers_refused, UINT_MAX);
    atomic_store(&may_end, true);
    wait_until(redis_losses(redis) == 1 && atomic_load(&fake.connections) > 2);
    expect_int(try_echo(redis, "two", 20 * TR_MILLISECOND), -ETIMEDOUT);
    close_manager(redis);
    atomic_store(&readers_refused, 0);
    fake_stop(&fake);
}

/* The first connection answers with what the test says. */
static void serve_text(struct fake_client *client)
{
    if (client->index > 0) {
        fake_serve_well(client);
        return;
    }
    if (fake_read(client))
        fake_write(client, client->fake->context);
    fake_read(client);
}

static void expect_lost_after(const char *text, int result, struct redis_options *options)
{
    struct fake fake;
    fake_start(&fake, serve_text, (void *)text, 0);
    struct redis *redis = open_manager(&fake, options);
    expect_int(try_echo(redis, "x", LONG_TIME), result);
    wait_until(redis_losses(redis) == 1);
    expect_echo(redis, "again");
    close_manager(redis);
    fake_stop(&fake);
}

TASK_TEST(reply_malformed_loses_the_connection)
{
    expect_lost_after("*1\r\n$3\r\nabcd\r\n", REDIS_UNKNOWN, NULL);
    expect_lost_after("HTTP/1.1 400 Bad Request\r\n", REDIS_UNKNOWN, NULL);
}

TASK_TEST(reply_unasked_loses_the_connection)
{
    expect_lost_after("$1\r\nx\r\n+what\r\n", 0, NULL);
}

TASK_TEST(reply_too_large_is_refused)
{
    struct redis_options options = { .max_reply_bytes = 1000 };
    expect_lost_after("$1000\r\n", REDIS_TOO_LARGE, &options);
}

TASK_TEST(reply_that_never_comes_loses_the_connection)
{
    /* So long that the echo afterwards comes in time on a busy machine, too. */
    struct redis_options options = { .stall_ns = TR_SECOND };
    expect_lost_after("$10\r\nabc", REDIS_UNKNOWN, &options);
}

/* Takes no request; while it is told to, it closes each connection at once. */
static void serve_shutting(struct fake_client *client)
{
    if (client->index == 0 || !atomic_load((atomic_bool *)client->fake->context))
        fake_serve_well(client);
}

TASK_TEST(server_that_closes_at_once_is_not_hammered)
{
    struct fake fake;
    atomic_bool shutting = true;
    fake_start(&fake, serve_shutting, &shutting, 0);
    struct redis_options options = { .connections = 2, .backoff_ns = 5 * TR_MILLISECOND };
    tr_time start = tr_clock();
    struct redis *redis = open_manager(&fake, &options);
    wait_until(atomic_load(&fake.connections) >= 7);
    /* The second attempt came at once, the others after pauses of at least 2.5, 5, 10 and 20 ms. */
    expect(tr_clock() - start > 37 * TR_MILLISECOND);
    atomic_store(&shutting, false);
    expect_echo(redis, "x");
    close_manager(redis);
    fake_stop(&fake);
}

/* Says why it throws out whoever comes: to the manager that is the answer to a request. */
static void serve_full(struct fake_client *client)
{
    fake_write(client, "-ERR max number of clients reached\r\n");
}

TASK_TEST(server_that_throws_out_with_a_word_is_not_hammered)
{
    struct fake fake;
    fake_start(&fake, serve_full, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    tr_time start = tr_clock(), end = start + 300 * TR_MILLISECOND;
    while (tr_clock() < end) {
        struct redis_reply reply;
        int rc = redis_get(redis, REDIS_BYTES("x"), &reply, tr_after(20 * TR_MILLISECOND));
        expect(rc == REDIS_REFUSED || rc == REDIS_UNKNOWN || rc == REDIS_NOT_SENT || rc == -ETIMEDOUT);
    }
    /* Pauses of at least 5, 10, 20 ... 320 ms, then of half a second. */
    expect(atomic_load(&fake.connections) <= 10 + (tr_clock() - start) / (500 * TR_MILLISECOND));
    close_manager(redis);
    fake_stop(&fake);
}

/* Two connections, of which the second is lost in the end, and no other comes about. */
static void serve_only_two(struct fake_client *client)
{
    if (client->index >= 2 || !fake_read(client) || !fake_write(client, "+OK\r\n")) /* AUTH */
        return;
    if (client->index == 0)
        fake_serve_well(client);
    else
        while (!atomic_load((atomic_bool *)client->fake->context))
            tr_sleep(TR_MILLISECOND);
}

TASK_TEST(pool_leaves_the_connection_that_is_down_alone)
{
    struct fake fake;
    struct redis *redis;
    struct caller callers[16];
    unsigned outcomes[OUTCOMES];
    atomic_bool cut = false;
    char url[96];
    fake_start(&fake, serve_only_two, &cut, 0);
    snprintf(url, sizeof url, "redis://:secret@127.0.0.1:%u", fake.port);
    expect_int(redis_open(&redis, url, &(struct redis_options){ .connections = 2 }, tr_after(LONG_TIME)), 0);
    atomic_store(&cut, true);
    wait_until(redis_losses(redis) == 1 && atomic_load(&fake.connections) > 2);
    start_callers(callers, 16, redis, 50, LONG_TIME);
    join_callers(callers, 16, outcomes);
    expect_int(outcomes[0], 16 * 50);
    redis_close(redis, tr_after(LONG_TIME));
    fake_stop(&fake);
}

/* ---- waiting for the server ------------------------------------------------------------------------------------ */

TASK_TEST(requests_wait_for_the_server_until_their_deadline)
{
    struct fake fake;
    struct caller callers[MOST_CALLERS];
    unsigned outcomes[OUTCOMES];
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis =
        open_manager(&fake, &(struct redis_options){ .queue = 8, .most_backoff_ns = 20 * TR_MILLISECOND });
    uint16_t port = fake.port;
    fake_kill(&fake);
    wait_until(redis_losses(redis) == 1);
    start_callers(callers, MOST_CALLERS, redis, 1, 30 * TR_MILLISECOND);
    join_callers(callers, MOST_CALLERS, outcomes);
    expect_int(outcomes[TIMED_OUT], MOST_CALLERS);
    /* Long ones too: what is lent must not be looked at any more. */
    struct redis_bytes value = { calloc(1, 100000), 100000 };
    expect_int(redis_set(redis, REDIS_BYTES("key"), value, tr_after(10 * TR_MILLISECOND)), -ETIMEDOUT);
    free((void *)value.data);
    start_callers(callers, MOST_CALLERS, redis, 2, LONG_TIME);
    tr_sleep(30 * TR_MILLISECOND);
    fake_start(&fake, fake_serve_well, NULL, port);
    join_callers(callers, MOST_CALLERS, outcomes);
    expect_int(outcomes[0], 2 * MOST_CALLERS);
    /* The server saw only those that somebody still waited for. */
    expect_int(atomic_load(&fake.requests), 2 * MOST_CALLERS);
    close_manager(redis);
    fake_stop(&fake);
}

/* ---- bad bytes -------------------------------------------------------------------------------------------------- */

/* A reply with a few bytes changed, cut off, or made up; now and then a good one. */
static bool write_nonsense(struct fake_client *client, uint64_t *random)
{
    static const char *const samples[] = {
        "$5\r\nhello\r\n",
        "+OK\r\n",
        "-ERR no\r\n",
        ":123456\r\n",
        "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "$100\r\nshort\r\n",
        "*1000000\r\n",
        "$999999999999\r\n",
        "*3\r\n*3\r\n*3\r\n:1\r\n",
        "\r\n\r\n",
    };
    char text[64];
    strcpy(text, samples[test_random(random) % (sizeof samples / sizeof *samples)]);
    size_t length = strlen(text);
    for (uint64_t changes = test_random(random) % 3; changes > 0; changes--)
        text[test_random(random) % length] = (char)test_random(random);
    if (test_random(random) % 4 == 0)
        length = test_random(random) % length + 1;
    return fake_write_bytes(client, text, length) && test_random(random) % 8 != 0;
}

static void serve_nonsense(struct fake_client *client)
{
    uint64_t random = (client->index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    while (fake_read(client) && write_nonsense(client, &random))
        ;
}

/* On a machine that is slow or busy, fewer requests must do. */
static tr_time nonsense_end;

/* Any answer will do. */
static int nonsense_caller(void *argument)
{
    struct caller *caller = argument;
    struct redis_reply reply;
    for (unsigned i = 0; i < caller->requests && tr_clock() < nonsense_end; i++) {
        int rc = redis_get(caller->redis, REDIS_BYTES("key"), &reply, tr_after(caller->patience));
        expect(rc == 0 || rc == -ETIMEDOUT || (rc > 0 && rc <= REDIS_REFUSED));
        redis_reply_clear(&reply);
    }
    return 0;
}

/* The thread sanitizer needs a fiber for each of the many short tasks; there a tenth must do. */
#if defined(__SANITIZE_THREAD__)
#define NONSENSE 10000u
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NONSENSE 10000u
#endif
#endif
#ifndef NONSENSE
#define NONSENSE 100000u
#endif

TASK_TEST(replies_of_nonsense_all_end)
{
    struct fake fake;
    struct caller callers[16];
    fake_start(&fake, serve_nonsense, NULL, 0);
    struct redis_options options = { .connections = 4,
                                     .max_reply_bytes = 4096,
                                     .stall_ns = 5 * TR_MILLISECOND,
                                     .backoff_ns = TR_MICROSECOND,
                                     .most_backoff_ns = 100 * TR_MICROSECOND };
    tr_log_set(NULL, NULL, TR_LOG_ERROR);
    struct redis *redis = open_manager(&fake, &options);
    nonsense_end = tr_after(LONG_TIME / 3);
    for (unsigned i = 0; i < 16; i++) {
        callers[i] = (struct caller){ .redis = redis, .requests = NONSENSE / 16, .patience = LONG_TIME };
        callers[i].task = test_task(nonsense_caller, &callers[i]);
    }
    for (unsigned i = 0; i < 16; i++)
        expect_int(test_join(callers[i].task), 0);
    unsigned requests = atomic_load(&fake.requests);
    /* A line that is lost takes with it what is in flight: the requests of all 16, when the other lines were down. */
    expect(requests > NONSENSE / 32 || tr_clock() >= nonsense_end);
    expect(redis_losses(redis) > requests / 5);
    close_manager(redis);
    fake_stop(&fake);
    tr_log_set(NULL, NULL, TR_LOG_INFO);
}

/* ---- a full mailbox of the departed ---------------------------------------------------------------------------- */

enum { CROWD = 4 };

struct crowd {
    struct redis *redis;
    struct tr_stream *start;
    atomic_bool here;
    atomic_int gone;
};

static void *give_up_soon(void *argument)
{
    struct crowd *crowd = argument;
    while (!atomic_load(&crowd->here))
        usleep(100);
    expect_int(try_echo(crowd->redis, "too late", TR_MILLISECOND), -ETIMEDOUT);
    atomic_fetch_add(&crowd->gone, 1);
    return NULL;
}

/* Keeps the worker for itself until all have come and gone. */
static int let_them_come(void *argument)
{
    struct crowd *crowd = argument;
    char byte;
    expect_int(tr_read(crowd->start, &byte, 1, tr_after(LONG_TIME)), 1);
    atomic_store(&crowd->here, true);
    while (atomic_load(&crowd->gone) < CROWD)
        usleep(100);
    return 0;
}

static void serve_silently(struct fake_client *client)
{
    while (fake_read(client))
        ;
}

/*
 * The end of the stream wakes the reader; before it runs, the writer's mailbox is filled by callers who then leave. The
 * reader cannot tell the writer that the line is lost, and the writer finds nobody's requests: it must be told all the same.
 */
TASK_TEST_ON(1, loss_is_told_past_the_requests_of_callers_who_have_gone)
{
    struct fake fake;
    struct caller caller;
    unsigned outcomes[OUTCOMES];
    pthread_t threads[CROWD];
    int pair[2];
    fake_start(&fake, serve_silently, NULL, 0);
    struct crowd crowd = { .redis = open_manager(&fake, &(struct redis_options){ .queue = CROWD }) };
    start_callers(&caller, 1, crowd.redis, 1, 5 * TR_SECOND);
    wait_until(atomic_load(&fake.requests) == 1);
    expect_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    expect_int(tr_stream_open(&crowd.start, pair[0]), 0);
    struct tr_task host = test_task(let_them_come, &crowd);
    test_settle();
    for (int i = 0; i < CROWD; i++)
        expect_int(pthread_create(&threads[i], NULL, give_up_soon, &crowd), 0);
    tr_stream_abort(fake.clients->stream);
    usleep(1000);
    expect_int(write(pair[1], "x", 1), 1);
    expect_int(test_join(host), 0);
    for (int i = 0; i < CROWD; i++)
        expect_int(pthread_join(threads[i], NULL), 0);
    join_callers(&caller, 1, outcomes);
    expect_int(outcomes[REDIS_UNKNOWN], 1);
    tr_stream_close(crowd.start);
    close(pair[1]);
    close_manager(crowd.redis);
    fake_stop(&fake);
}

/* ---- the end of the runtime ------------------------------------------------------------------------------------- */

enum { OUTSIDERS = 4 };

/* A server outside, which reads and never answers; and who asks from outside. */
static struct {
    int listener;
    char url[64];
    atomic_size_t seen;
    struct redis *redis; /* never closed */
    pthread_t server, outsiders[OUTSIDERS];
    int results[OUTSIDERS];
} outside;

static void *read_only(void *argument)
{
    char bytes[1024];
    ssize_t got;
    int fd = accept(outside.listener, NULL, NULL);
    expect(fd >= 0);
    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        atomic_fetch_add(&outside.seen, (size_t)got);
    close(fd);
    return argument;
}

static void *ask_for_ever(void *argument)
{
    int *result = argument;
    struct redis_reply reply;
    struct redis_bytes incr[] = { REDIS_BYTES("INCR"), REDIS_BYTES("k") };
    *result = redis_command(outside.redis, 2, incr, &reply, TR_FOREVER);
    return NULL;
}

static int end_with_requests_in_flight(void *argument)
{
    size_t request = strlen("*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n");
    (void)argument;
    expect_int(redis_open(&outside.redis, outside.url, NULL, tr_after(LONG_TIME)), 0);
    for (int i = 0; i < OUTSIDERS; i++)
        expect_int(pthread_create(&outside.outsiders[i], NULL, ask_for_ever, &outside.results[i]), 0);
    wait_until(atomic_load(&outside.seen) == OUTSIDERS * request);
    return 0;
}

START_TEST(requests_in_flight_when_the_runtime_ends_are_unknown)
{
    struct tr_options options = test_options(0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof address;
    outside.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(outside.listener >= 0 && bind(outside.listener, (struct sockaddr *)&address, bytes) == 0);
    expect(listen(outside.listener, 1) == 0 && getsockname(outside.listener, (struct sockaddr *)&address, &bytes) == 0);
    snprintf(outside.url, sizeof outside.url, "redis://127.0.0.1:%u", ntohs(address.sin_port));
    expect_int(pthread_create(&outside.server, NULL, read_only, NULL), 0);
    expect_int(tr_run(&options, end_with_requests_in_flight, NULL), 0);
    for (int i = 0; i < OUTSIDERS; i++) {
        pthread_join(outside.outsiders[i], NULL);
        expect_int(outside.results[i], REDIS_UNKNOWN);
    }
    pthread_join(outside.server, NULL);
    close(outside.listener);
}
END_TEST

int main(void)
{
    return test_main("redis_loss",
                     TESTS(loss_in_flight_is_unknown_and_the_next_request_works,
                           loss_with_requests_unwritten_tells_them_apart,
                           loss_while_idle_is_noticed_before_the_next_request, no_memory_for_a_reader_is_waited_out,
                           no_memory_for_a_reader_does_not_keep_from_closing, reply_malformed_loses_the_connection,
                           reply_unasked_loses_the_connection, reply_too_large_is_refused,
                           reply_that_never_comes_loses_the_connection, server_that_closes_at_once_is_not_hammered,
                           server_that_throws_out_with_a_word_is_not_hammered,
                           pool_leaves_the_connection_that_is_down_alone,
                           requests_wait_for_the_server_until_their_deadline, replies_of_nonsense_all_end,
                           loss_is_told_past_the_requests_of_callers_who_have_gone,
                           requests_in_flight_when_the_runtime_ends_are_unknown));
}
