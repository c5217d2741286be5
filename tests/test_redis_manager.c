/* SPDX-License-Identifier: MIT */
/*
 * test_redis_manager.c: the Redis client manager (samples/redis-manager) against a server that behaves badly.
 *
 * The one idea: whatever the server does, each request ends within its deadline with an answer, or with an error that
 * says whether it may have been carried out; and the next request, on a new connection, works.
 */
#include "redis.h"
#include "redis_fake.h"
#include "support.h"

#include <pthread.h>

static struct redis *open_manager(const struct fake *fake, struct redis_options *options)
{
    struct redis *redis;
    expect_int(redis_open(&redis, fake_url(fake), options, tr_after(LONG_TIME)), 0);
    return redis;
}

static void close_manager(struct redis *redis)
{
    redis_close(redis, tr_after(LONG_TIME));
}

/* Asks for an echo and expects it. */
static void expect_echo(struct redis *redis, const char *text)
{
    struct redis_reply reply;
    struct redis_bytes echo[] = { REDIS_BYTES("ECHO"), redis_text(text) };
    expect_int(redis_command(redis, 2, echo, &reply, tr_after(LONG_TIME)), 0);
    expect_int(reply.value.type, REDIS_STRING);
    expect(strcmp(reply.value.text, text) == 0);
    redis_reply_clear(&reply);
}

/* A reconnected manager may meet its server's grave once more; only errors that say so are forgiven. */
static int try_echo(struct redis *redis, const char *text, int64_t patience)
{
    struct redis_reply reply;
    struct redis_bytes echo[] = { REDIS_BYTES("ECHO"), redis_text(text) };
    int rc = redis_command(redis, 2, echo, &reply, tr_after(patience));
    if (rc == 0)
        expect(reply.value.type == REDIS_STRING && strcmp(reply.value.text, text) == 0);
    redis_reply_clear(&reply);
    return rc;
}

/* Many callers at once; each asks for its own echo. */
struct caller {
    struct redis *redis;
    unsigned index, requests;
    int64_t patience;
    struct tr_task task;
    unsigned outcomes[8]; /* 0, REDIS_NOT_SENT ... REDIS_REFUSED; 7: -ETIMEDOUT */
};

static int caller_body(void *argument)
{
    struct caller *caller = argument;
    char text[32];
    for (unsigned i = 0; i < caller->requests; i++) {
        snprintf(text, sizeof text, "caller %u request %u", caller->index, i);
        int rc = try_echo(caller->redis, text, caller->patience);
        expect(rc == -ETIMEDOUT || (rc >= 0 && rc <= REDIS_REFUSED));
        caller->outcomes[rc == -ETIMEDOUT ? 7 : rc]++;
    }
    return 0;
}

#define MOST_CALLERS 64

/* Runs them and sums up the outcomes. */
static void start_callers(struct caller *callers, unsigned count, struct redis *redis, unsigned requests, int64_t patience)
{
    for (unsigned i = 0; i < count; i++) {
        callers[i] = (struct caller){ .redis = redis, .index = i, .requests = requests, .patience = patience };
        callers[i].task = test_task(caller_body, &callers[i]);
    }
}

static void join_callers(struct caller *callers, unsigned count, unsigned outcomes[8])
{
    memset(outcomes, 0, 8 * sizeof *outcomes);
    for (unsigned i = 0; i < count; i++) {
        expect_int(test_join(callers[i].task), 0);
        for (unsigned j = 0; j < 8; j++)
            outcomes[j] += callers[i].outcomes[j];
    }
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

TASK_TEST(open_bad_url_is_refused_with_a_reason)
{
    char error[128];
    struct redis_options options = { .error = error, .error_bytes = sizeof error };
    struct redis *redis;
    expect_int(redis_open(&redis, "redis://host:port", &options, TR_FOREVER), -EINVAL);
    expect(strstr(error, "byte 14: the port"));
    options.connections = 1000;
    expect_int(redis_open(&redis, "redis://host", &options, TR_FOREVER), -EINVAL);
    expect(strstr(error, "option"));
    expect_int(redis_open(&redis, "nonsense", NULL, TR_FOREVER), -EINVAL);
}

TASK_TEST(open_without_server_tries_until_the_deadline)
{
    char error[128];
    struct redis_options options = { .error = error, .error_bytes = sizeof error };
    struct fake fake;
    fake_start(&fake, fake_serve_well, NULL, 0);
    fake_stop(&fake);
    struct redis *redis;
    expect_int(redis_open(&redis, fake_url(&fake), &options, tr_after(50 * TR_MILLISECOND)), -ETIMEDOUT);
    expect(strstr(error, "refused"));
}

static void serve_greeting(struct fake_client *client)
{
    expect(fake_read(client));
    expect_int(client->count, 3);
    expect(strcmp(client->arguments[0], "AUTH") == 0 && strcmp(client->arguments[1], "ann") == 0);
    if (strcmp(client->arguments[2], "p@ss") != 0) {
        fake_write(client, "-WRONGPASS invalid username-password pair\r\n");
        return;
    }
    expect(fake_read(client));
    expect(strcmp(client->arguments[0], "SELECT") == 0 && strcmp(client->arguments[1], "12") == 0);
    if (client->index == 0) { /* the first time it is not ready yet */
        fake_write(client, "+OK\r\n-LOADING Redis is loading the dataset in memory\r\n");
        return;
    }
    fake_write(client, "+O");
    tr_sleep(TR_MILLISECOND);
    fake_write(client, "K\r\n+OK\r\n");
    fake_serve_well(client);
}

TASK_TEST(open_sends_password_and_database)
{
    struct fake fake;
    char url[96], error[128];
    struct redis *redis;
    fake_start(&fake, serve_greeting, NULL, 0);
    snprintf(url, sizeof url, "redis://ann:p%%40ss@localhost:%u/12", fake.port);
    expect_int(redis_open(&redis, url, NULL, tr_after(LONG_TIME)), 0);
    expect_echo(redis, "hello");
    expect_int(atomic_load(&fake.connections), 2);
    close_manager(redis);
    snprintf(url, sizeof url, "redis://ann:wrong@localhost:%u/12", fake.port);
    struct redis_options options = { .error = error, .error_bytes = sizeof error };
    expect_int(redis_open(&redis, url, &options, tr_after(LONG_TIME)), -EACCES);
    expect(strstr(error, "WRONGPASS"));
    fake_stop(&fake);
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

TASK_TEST(requests_of_every_kind_are_answered)
{
    struct fake fake;
    struct redis_reply reply;
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    tr_time deadline = tr_after(LONG_TIME);
    expect_int(redis_get(redis, REDIS_BYTES("key"), &reply, deadline), 0);
    expect_int(reply.value.type, REDIS_NIL);
    expect_int(redis_set(redis, REDIS_BYTES("key"), (struct redis_bytes){ "a\0\r\n", 4 }, deadline), 0);
    expect_int(redis_get(redis, REDIS_BYTES("key"), &reply, deadline), 0);
    expect(reply.value.length == 4 && memcmp(reply.value.text, "a\0\r\n", 5) == 0);
    redis_reply_clear(&reply);
    expect_int(redis_command(redis, 1, (struct redis_bytes[]){ REDIS_BYTES("FROB") }, &reply, deadline), 0);
    expect_int(reply.value.type, REDIS_ERROR);
    expect(strcmp(reply.value.text, "ERR unknown command 'FROB'") == 0);
    redis_reply_clear(&reply);
    expect_int(redis_command(redis, 2, (struct redis_bytes[]){ REDIS_BYTES("DEL"), REDIS_BYTES("x") }, &reply, deadline),
               0);
    expect_int(reply.value.integer, 1);
    struct redis_stats stats;
    redis_stats(redis, &stats);
    expect_int((int64_t)stats.requests, 5);
    expect_int((int64_t)stats.replies, 5);
    expect_int((int64_t)stats.losses, 0);
    close_manager(redis);
    fake_stop(&fake);
}

TASK_TEST(requests_that_change_the_connection_are_not_supported)
{
    struct fake fake;
    struct redis_reply reply;
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    static const char *const names[] = { "SUBSCRIBE", "multi", "Select", "MONITOR", "quit" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        struct redis_bytes command[] = { redis_text(names[i]), REDIS_BYTES("x") };
        expect_int(redis_command(redis, 2, command, &reply, TR_FOREVER), -ENOTSUP);
    }
    struct redis_bytes client[] = { REDIS_BYTES("client"), REDIS_BYTES("reply"), REDIS_BYTES("off") };
    expect_int(redis_command(redis, 3, client, &reply, TR_FOREVER), -ENOTSUP);
    expect_int(redis_command(redis, 0, client, &reply, TR_FOREVER), -EINVAL);
    expect_int(atomic_load(&fake.requests), 0);
    expect(strcmp(redis_failure_text(REDIS_NOT_SENT), "not sent") == 0);
    close_manager(redis);
    fake_stop(&fake);
}

/* Long requests are lent, long replies lie in a block; both go through. */
TASK_TEST(requests_and_replies_of_every_length_are_whole)
{
    struct fake fake;
    struct redis_reply reply;
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    char *value = malloc(1u << 20);
    for (size_t length = 1; length <= 1u << 20; length = length < 300 ? length + 1 : length * 3) {
        for (size_t i = 0; i < length; i++)
            value[i] = (char)(i * 31 + length);
        struct redis_bytes bytes = { value, length };
        expect_int(redis_set(redis, REDIS_BYTES("k"), bytes, tr_after(LONG_TIME)), 0);
        expect_int(redis_get(redis, REDIS_BYTES("k"), &reply, tr_after(LONG_TIME)), 0);
        expect(reply.value.length == length && memcmp(reply.value.text, value, length) == 0);
        redis_reply_clear(&reply);
    }
    free(value);
    close_manager(redis);
    fake_stop(&fake);
}

static void *foreign_thread(void *redis)
{
    return (void *)(intptr_t)try_echo(redis, "from a thread", LONG_TIME);
}

TASK_TEST(requests_of_a_foreign_thread_are_answered)
{
    struct fake fake;
    pthread_t thread;
    void *result;
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    expect_int(pthread_create(&thread, NULL, foreign_thread, redis), 0);
    while (pthread_tryjoin_np(thread, &result) == EBUSY)
        tr_sleep(TR_MILLISECOND);
    expect_int((intptr_t)result, 0);
    close_manager(redis);
    fake_stop(&fake);
}

/* ---- pipelining ----------------------------------------------------------------------------------------------- */

/* Answers only once as many requests as `context` says have come; then a byte at a time. */
static void serve_in_bursts(struct fake_client *client)
{
    unsigned burst = *(unsigned *)client->fake->context;
    char *replies = malloc(64 * burst);
    for (bool alive = true; alive;) {
        size_t length = 0;
        for (unsigned i = 0; i < burst && alive; i++) {
            alive = fake_read(client);
            if (alive)
                length += (size_t)sprintf(replies + length, "$%zu\r\n%s\r\n", client->lengths[1], client->arguments[1]);
        }
        for (size_t i = 0; i < length && alive; i++)
            alive = fake_write_bytes(client, replies + i, 1);
    }
    free(replies);
}

TASK_TEST(pipeline_replies_find_their_callers)
{
    struct fake fake;
    struct caller callers[MOST_CALLERS];
    unsigned outcomes[8], burst = MOST_CALLERS;
    fake_start(&fake, serve_in_bursts, &burst, 0);
    struct redis *redis = open_manager(&fake, NULL);
    start_callers(callers, MOST_CALLERS, redis, 20, LONG_TIME);
    join_callers(callers, MOST_CALLERS, outcomes);
    expect_int(outcomes[0], MOST_CALLERS * 20);
    close_manager(redis);
    fake_stop(&fake);
}

/* Reads what has come, a moment after the first request; there must be no more than `context` says. */
static void serve_counting(struct fake_client *client)
{
    unsigned most = *(unsigned *)client->fake->context;
    while (fake_read(client)) {
        char text[64];
        strcpy(text, client->arguments[1]);
        tr_sleep(TR_MILLISECOND);
        unsigned ahead = 0;
        for (size_t i = client->start; i < client->end; i++)
            ahead += client->bytes[i] == '*';
        expect(ahead < most);
        fake_printf(client, "$%zu\r\n%s\r\n", strlen(text), text);
    }
}

TASK_TEST(pipeline_holds_no_more_in_flight_than_allowed)
{
    struct fake fake;
    struct caller callers[16];
    unsigned outcomes[8], most = 4;
    fake_start(&fake, serve_counting, &most, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .in_flight = most, .queue = 2 });
    start_callers(callers, 16, redis, 4, LONG_TIME);
    join_callers(callers, 16, outcomes);
    expect_int(outcomes[0], 64);
    close_manager(redis);
    fake_stop(&fake);
}

/* Answers after the caller has lost patience with the request "slow". */
static void serve_slowly(struct fake_client *client)
{
    while (fake_read(client)) {
        if (strcmp(client->arguments[1], "slow") == 0)
            tr_sleep(60 * TR_MILLISECOND);
        if (!fake_answer(client))
            break;
    }
}

TASK_TEST(deadline_passed_in_flight_late_reply_is_nobodys)
{
    struct fake fake;
    struct redis_stats stats;
    fake_start(&fake, serve_slowly, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    for (int i = 0; i < 3; i++) {
        expect_int(try_echo(redis, "slow", 10 * TR_MILLISECOND), -ETIMEDOUT);
        expect_echo(redis, "quick");
    }
    redis_stats(redis, &stats);
    expect_int((int64_t)stats.late, 3);
    expect_int((int64_t)stats.losses, 0);
    close_manager(redis);
    fake_stop(&fake);
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

/* Reads nothing for a while: the callers' requests fill the socket; then the end. */
static void serve_deaf(struct fake_client *client)
{
    if (client->index > 0) {
        fake_serve_well(client);
        return;
    }
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
    unsigned outcomes[8];
    atomic_bool over = false;
    fake_start(&fake, serve_deaf, &over, 0);
    struct redis *redis = open_manager(&fake, NULL);
    for (unsigned i = 0; i < MOST_CALLERS; i++) {
        callers[i] = (struct caller){ .redis = redis };
        callers[i].task = test_task(long_caller_body, &callers[i]);
    }
    struct redis_stats stats;
    for (uint64_t before = UINT64_MAX; redis_stats(redis, &stats), stats.requests != before; before = stats.requests)
        tr_sleep(100 * TR_MILLISECOND);
    atomic_store(&over, true);
    join_callers(callers, MOST_CALLERS, outcomes);
    /* What was written is unknown; the one that was being written is not sent; the others went to the next connection. */
    expect_int(outcomes[REDIS_UNKNOWN], (int64_t)stats.requests);
    expect_int(outcomes[REDIS_NOT_SENT], 1);
    expect_int(outcomes[0], MOST_CALLERS - 1 - (int64_t)stats.requests);
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
    struct redis_options options = { .stall_ns = 50 * TR_MILLISECOND };
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

/* ---- waiting for the server ------------------------------------------------------------------------------------ */

TASK_TEST(requests_wait_for_the_server_until_their_deadline)
{
    struct fake fake;
    struct caller callers[MOST_CALLERS];
    unsigned outcomes[8];
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .queue = 8, .most_backoff_ns = 20 * TR_MILLISECOND });
    uint16_t port = fake.port;
    fake_kill(&fake);
    wait_until(redis_losses(redis) == 1);
    start_callers(callers, MOST_CALLERS, redis, 1, 30 * TR_MILLISECOND);
    join_callers(callers, MOST_CALLERS, outcomes);
    expect_int(outcomes[7], MOST_CALLERS);
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

/* ---- closing --------------------------------------------------------------------------------------------------- */

TASK_TEST(close_lets_requests_in_flight_be_answered)
{
    struct fake fake;
    struct caller callers[8];
    unsigned outcomes[8];
    fake_start(&fake, serve_slowly, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    start_callers(callers, 8, redis, 1, LONG_TIME);
    wait_until(atomic_load(&fake.requests) > 0);
    close_manager(redis);
    join_callers(callers, 8, outcomes);
    expect_int(outcomes[0], 8);
    fake_stop(&fake);
}

static void serve_never(struct fake_client *client)
{
    while (fake_read(client))
        ;
}

TASK_TEST(close_at_its_deadline_fails_what_is_left)
{
    struct fake fake;
    struct caller callers[MOST_CALLERS];
    unsigned outcomes[8];
    fake_start(&fake, serve_never, NULL, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .in_flight = 8, .queue = 4 });
    start_callers(callers, MOST_CALLERS, redis, 1, LONG_TIME);
    wait_until(atomic_load(&fake.requests) >= 8);
    redis_close(redis, tr_after(20 * TR_MILLISECOND));
    join_callers(callers, MOST_CALLERS, outcomes);
    expect(outcomes[REDIS_UNKNOWN] >= 8);
    expect_int(outcomes[REDIS_UNKNOWN] + outcomes[REDIS_NOT_SENT], MOST_CALLERS);
    fake_stop(&fake);
}

TASK_TEST(close_without_server_is_quick)
{
    struct fake fake;
    struct caller callers[16];
    unsigned outcomes[8];
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .backoff_ns = 30 * TR_SECOND, .most_backoff_ns = TR_SECOND * 60 });
    fake_kill(&fake);
    wait_until(redis_losses(redis) == 1);
    start_callers(callers, 16, redis, 1, LONG_TIME);
    tr_sleep(20 * TR_MILLISECOND);
    redis_close(redis, TR_NOW);
    join_callers(callers, 16, outcomes);
    expect_int(outcomes[REDIS_NOT_SENT], 16);
    /* With nothing to do it ends at once. */
    fake_start(&fake, fake_serve_well, NULL, 0);
    redis = open_manager(&fake, &(struct redis_options){ .backoff_ns = 30 * TR_SECOND, .most_backoff_ns = TR_SECOND * 60 });
    fake_kill(&fake);
    wait_until(redis_losses(redis) == 1);
    close_manager(redis);
}

static int closer_body(void *redis)
{
    expect_int(tr_sleep(TR_FOREVER / 2), -ECANCELED);
    close_manager(redis);
    return 0;
}

TASK_TEST(close_in_a_cancelled_task_is_complete)
{
    struct fake fake;
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    struct tr_task closer = test_task(closer_body, redis);
    expect_echo(redis, "x");
    expect_int(tr_task_cancel(closer), 0);
    expect_int(test_join(closer), 0);
    fake_stop(&fake);
}

/* ---- the pool -------------------------------------------------------------------------------------------------- */

/* The first connection never answers. */
static void serve_first_never(struct fake_client *client)
{
    if (client->index == 0)
        serve_never(client);
    else
        fake_serve_well(client);
}

TASK_TEST(pool_avoids_the_connection_that_is_loaded)
{
    struct fake fake;
    struct caller stuck, callers[16];
    unsigned outcomes[8];
    fake_start(&fake, serve_first_never, NULL, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .connections = 4 });
    wait_until(atomic_load(&fake.connections) == 4);
    start_callers(&stuck, 1, redis, 1, LONG_TIME);
    wait_until(atomic_load(&fake.requests) == 1);
    for (int i = 0; i < 100; i++)
        expect_echo(redis, "one at a time");
    start_callers(callers, 3, redis, 1, LONG_TIME);
    join_callers(callers, 3, outcomes);
    expect_int(outcomes[0], 3);
    redis_close(redis, tr_after(20 * TR_MILLISECOND));
    join_callers(&stuck, 1, outcomes);
    expect_int(outcomes[REDIS_UNKNOWN], 1);
    fake_stop(&fake);
}

/* ---- bad bytes -------------------------------------------------------------------------------------------------- */

/* A reply with a few bytes changed, cut off, or made up; now and then a good one. */
static bool write_nonsense(struct fake_client *client, uint64_t *random)
{
    static const char *const samples[] = {
        "$5\r\nhello\r\n", "+OK\r\n", "-ERR no\r\n", ":123456\r\n", "*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "$-1\r\n",
        "*-1\r\n", "$100\r\nshort\r\n", "*1000000\r\n", "$999999999999\r\n", "*3\r\n*3\r\n*3\r\n:1\r\n", "\r\n\r\n",
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

/* Any answer will do. */
static int nonsense_caller(void *argument)
{
    struct caller *caller = argument;
    struct redis_reply reply;
    for (unsigned i = 0; i < caller->requests; i++) {
        int rc = redis_get(caller->redis, REDIS_BYTES("key"), &reply, tr_after(caller->patience));
        expect(rc == 0 || rc == -ETIMEDOUT || (rc > 0 && rc <= REDIS_REFUSED));
        redis_reply_clear(&reply);
    }
    return 0;
}

TASK_TEST(replies_of_nonsense_100000_times_all_end)
{
    struct fake fake;
    struct caller callers[16];
    fake_start(&fake, serve_nonsense, NULL, 0);
    struct redis_options options = { .connections = 4, .max_reply_bytes = 4096, .stall_ns = 5 * TR_MILLISECOND,
                                     .backoff_ns = TR_MICROSECOND, .most_backoff_ns = 100 * TR_MICROSECOND };
    tr_log_set(NULL, NULL, TR_LOG_ERROR);
    struct redis *redis = open_manager(&fake, &options);
    for (unsigned i = 0; i < 16; i++) {
        callers[i] = (struct caller){ .redis = redis, .requests = 100000 / 16, .patience = LONG_TIME };
        callers[i].task = test_task(nonsense_caller, &callers[i]);
    }
    for (unsigned i = 0; i < 16; i++)
        expect_int(test_join(callers[i].task), 0);
    expect(atomic_load(&fake.requests) > 50000);
    expect(redis_losses(redis) > 10000);
    close_manager(redis);
    fake_stop(&fake);
    tr_log_set(NULL, NULL, TR_LOG_INFO);
}

int main(void)
{
    return test_main("redis_manager", TESTS(
        open_bad_url_is_refused_with_a_reason,
        open_without_server_tries_until_the_deadline,
        open_sends_password_and_database,
        requests_of_every_kind_are_answered,
        requests_that_change_the_connection_are_not_supported,
        requests_and_replies_of_every_length_are_whole,
        requests_of_a_foreign_thread_are_answered,
        pipeline_replies_find_their_callers,
        pipeline_holds_no_more_in_flight_than_allowed,
        deadline_passed_in_flight_late_reply_is_nobodys,
        loss_in_flight_is_unknown_and_the_next_request_works,
        loss_with_requests_unwritten_tells_them_apart,
        loss_while_idle_is_noticed_before_the_next_request,
        reply_malformed_loses_the_connection,
        reply_unasked_loses_the_connection,
        reply_too_large_is_refused,
        reply_that_never_comes_loses_the_connection,
        server_that_closes_at_once_is_not_hammered,
        requests_wait_for_the_server_until_their_deadline,
        close_lets_requests_in_flight_be_answered,
        close_at_its_deadline_fails_what_is_left,
        close_without_server_is_quick,
        close_in_a_cancelled_task_is_complete,
        pool_avoids_the_connection_that_is_loaded,
        replies_of_nonsense_100000_times_all_end));
}
