/* SPDX-License-Identifier: MIT */
/*
 * test_redis_manager.c: the Redis client manager (samples/redis-manager) with a server that answers, at times slowly:
 * opening, requests, pipelining, the pool, closing.
 *
 * The one idea: each caller asks for something of its own, so that a reply that goes to the wrong one is seen.
 */
#include "redis.h"
#include "redis_fake.h"
#include "report.h"
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

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
    expect(strstr(error, "refused") || strstr(error, "timed out")); /* the last attempt may be cut short */
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
    if (client->index == 1) {
        fake_write(client, "-ERR max number of clients reached\r\n");
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
    expect_int(atomic_load(&fake.connections), 3);
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
    expect_int(redis_set(redis, REDIS_BYTES("key"), (struct redis_bytes){ "a", SIZE_MAX }, deadline), -EINVAL);
    expect_int(redis_get(redis, REDIS_BYTES("key"), &reply, deadline), 0);
    expect(reply.value.length == 4 && memcmp(reply.value.text, "a\0\r\n", 5) == 0);
    redis_reply_clear(&reply);
    expect_int(redis_command(redis, 1, (struct redis_bytes[]){ REDIS_BYTES("FROB") }, &reply, deadline), 0);
    expect_int(reply.value.type, REDIS_ERROR);
    expect(strcmp(reply.value.text, "ERR unknown command 'FROB'") == 0);
    redis_reply_clear(&reply);
    expect_int(redis_command(redis, 2, (struct redis_bytes[]){ REDIS_BYTES("DEL"), REDIS_BYTES("x") }, &reply,
                             deadline),
               0);
    expect_int(reply.value.integer, 1);
    struct redis_stats stats;
    /* They are counted once the caller may have its answer already. */
    wait_until((redis_stats(redis, &stats), stats.requests >= 5 && stats.replies >= 5));
    expect_int((int64_t)stats.requests, 5);
    expect_int((int64_t)stats.replies, 5);
    expect_int((int64_t)stats.losses, 0);
    close_manager(redis);
    fake_stop(&fake);
}

TASK_TEST(requests_that_concern_others_are_not_supported)
{
    struct fake fake;
    struct redis_reply reply;
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    static const char *const names[] = { "SUBSCRIBE", "multi", "Select", "MONITOR", "quit", "BLPOP", "wait" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        struct redis_bytes command[] = { redis_text(names[i]), REDIS_BYTES("x") };
        expect_int(redis_command(redis, 2, command, &reply, TR_FOREVER), -ENOTSUP);
    }
    struct redis_bytes client[] = { REDIS_BYTES("client"), REDIS_BYTES("reply"), REDIS_BYTES("off") };
    expect_int(redis_command(redis, 3, client, &reply, TR_FOREVER), -ENOTSUP);
    struct redis_bytes debug[] = { REDIS_BYTES("Script"), REDIS_BYTES("debug"), REDIS_BYTES("yes") };
    expect_int(redis_command(redis, 3, debug, &reply, TR_FOREVER), -ENOTSUP);
    struct redis_bytes read[] = { REDIS_BYTES("xread"),   REDIS_BYTES("block"), REDIS_BYTES("0"),
                                  REDIS_BYTES("STREAMS"), REDIS_BYTES("s"),     REDIS_BYTES("$") };
    expect_int(redis_command(redis, 6, read, &reply, TR_FOREVER), -ENOTSUP);
    struct redis_bytes group[] = { REDIS_BYTES("XREADGROUP"), REDIS_BYTES("GROUP"), REDIS_BYTES("streams"),
                                   REDIS_BYTES("me"),         REDIS_BYTES("BLOCK"), REDIS_BYTES("0"),
                                   REDIS_BYTES("STREAMS"),    REDIS_BYTES("s"),     REDIS_BYTES(">") };
    expect_int(redis_command(redis, 9, group, &reply, TR_FOREVER), -ENOTSUP);
    expect_int(redis_command(redis, 0, client, &reply, TR_FOREVER), -EINVAL);
    expect_int(atomic_load(&fake.requests), 0);
    group[2] = REDIS_BYTES("block");
    group[4] = group[6]; /* no BLOCK in it but the group's name */
    expect_int(redis_command(redis, 5, group, &reply, tr_after(LONG_TIME)), 0);
    expect_int(reply.value.type, REDIS_ERROR);
    redis_reply_clear(&reply);
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
    unsigned outcomes[OUTCOMES], burst = MOST_CALLERS;
    fake_start(&fake, serve_in_bursts, &burst, 0);
    struct redis *redis = open_manager(&fake, NULL);
    start_callers(callers, MOST_CALLERS, redis, 20, LONG_TIME);
    join_callers(callers, MOST_CALLERS, outcomes);
    expect_int(outcomes[0], MOST_CALLERS * 20);
    close_manager(redis);
    fake_stop(&fake);
}

enum { CROWD = 1000, CROWD_ROUNDS = 3 };
static const char crowd_value[] = "75 bytes make it 104 on the wire: 630 of those fill 64 KiB up to 16 bytes..";

/* All callers of the crowd are answered at once, and so come back at once: with more than the manager's batch holds. */
static void serve_the_crowd(struct fake_client *client)
{
    char *replies = malloc(5 * CROWD);
    for (bool alive = true; alive;) {
        for (unsigned i = 0; i < CROWD && alive; i++) {
            alive = fake_read(client);
            expect(!alive || (client->count == 3 && strcmp(client->arguments[2], crowd_value) == 0));
            memcpy(replies + 5 * i, "+OK\r\n", 5);
        }
        alive = alive && fake_write_bytes(client, replies, 5 * CROWD);
    }
    free(replies);
}

static int set_for_the_crowd(void *redis)
{
    for (unsigned i = 0; i < CROWD_ROUNDS; i++)
        expect_int(redis_set(redis, REDIS_BYTES("key"), redis_text(crowd_value), tr_after(LONG_TIME)), 0);
    return 0;
}

TASK_TEST_ON(1, pipeline_batch_that_is_full_goes_out_whole)
{
    struct fake fake;
    struct redis_stats stats;
    struct tr_task *crowd = calloc(CROWD, sizeof *crowd);
    fake_start(&fake, serve_the_crowd, NULL, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .queue = CROWD });
    for (unsigned i = 0; i < CROWD; i++)
        expect_int(tr_task_spawn(&crowd[i], set_for_the_crowd, redis, NULL), 0);
    for (unsigned i = 0; i < CROWD; i++)
        expect_int(tr_task_join(crowd[i], NULL, tr_after(LONG_TIME)), 0);
    redis_stats(redis, &stats);
    expect_int((int64_t)stats.replies, CROWD * CROWD_ROUNDS);
    expect(stats.bytes_out > UINT64_C(65536) * CROWD_ROUNDS); /* a batch holds 64 KiB */
    free(crowd);
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
    unsigned outcomes[OUTCOMES], most = 4;
    fake_start(&fake, serve_counting, &most, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .in_flight = most, .queue = 2 });
    start_callers(callers, 16, redis, 4, LONG_TIME);
    join_callers(callers, 16, outcomes);
    expect_int(outcomes[0], 64);
    close_manager(redis);
    fake_stop(&fake);
}

struct slowly {
    atomic_uint seen; /* requests "slow" */
    atomic_bool gone;
};

/* Answers the request "slow" only when the test says that its caller has lost patience. */
static void serve_slowly(struct fake_client *client)
{
    struct slowly *slowly = client->fake->context;
    while (fake_read(client)) {
        if (strcmp(client->arguments[1], "slow") == 0) {
            atomic_fetch_add(&slowly->seen, 1);
            wait_until(atomic_load(&slowly->gone));
        }
        if (!fake_answer(client))
            break;
    }
}

TASK_TEST(deadline_passed_in_flight_late_reply_is_nobodys)
{
    struct fake fake;
    struct redis_stats stats;
    struct slowly slowly = { 0 };
    fake_start(&fake, serve_slowly, &slowly, 0);
    struct redis *redis = open_manager(&fake, NULL);
    /* One that expires before it is sent is not seen. */
    while (atomic_load(&slowly.seen) < 3) {
        atomic_store(&slowly.gone, false);
        expect_int(try_echo(redis, "slow", 10 * TR_MILLISECOND), -ETIMEDOUT);
        atomic_store(&slowly.gone, true);
        expect_echo(redis, "quick");
    }
    redis_stats(redis, &stats);
    expect_int((int64_t)stats.late, atomic_load(&slowly.seen));
    expect_int((int64_t)stats.losses, 0);
    close_manager(redis);
    fake_stop(&fake);
}

/* ---- closing --------------------------------------------------------------------------------------------------- */

/*
 * No request may be made once redis_close has been called. So each test makes sure first that its callers are in their
 * calls: the server has seen them all, or they run on the worker of the test and have had their turns.
 */

/* Reads eight requests, and answers them when the manager is about to be closed. */
static void serve_at_the_close(struct fake_client *client)
{
    char texts[8][64];
    for (int i = 0; i < 8; i++) {
        expect(fake_read(client));
        strcpy(texts[i], client->arguments[1]);
    }
    wait_until(atomic_load((atomic_bool *)client->fake->context));
    tr_sleep(20 * TR_MILLISECOND);
    for (int i = 0; i < 8; i++)
        fake_printf(client, "$%zu\r\n%s\r\n", strlen(texts[i]), texts[i]);
    expect(!fake_read(client));
}

TASK_TEST(close_lets_requests_in_flight_be_answered)
{
    struct fake fake;
    struct caller callers[8];
    unsigned outcomes[OUTCOMES];
    atomic_bool closing = false;
    fake_start(&fake, serve_at_the_close, &closing, 0);
    struct redis *redis = open_manager(&fake, NULL);
    start_callers(callers, 8, redis, 1, LONG_TIME);
    wait_until(atomic_load(&fake.requests) == 8);
    atomic_store(&closing, true);
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

TASK_TEST_ON(1, close_at_its_deadline_fails_what_is_left)
{
    struct fake fake;
    struct caller callers[MOST_CALLERS];
    unsigned outcomes[OUTCOMES];
    fake_start(&fake, serve_never, NULL, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .in_flight = 8, .queue = 4 });
    start_callers(callers, MOST_CALLERS, redis, 1, LONG_TIME);
    test_settle();
    wait_until(atomic_load(&fake.requests) >= 8);
    redis_close(redis, tr_after(20 * TR_MILLISECOND));
    join_callers(callers, MOST_CALLERS, outcomes);
    expect(outcomes[REDIS_UNKNOWN] >= 8);
    expect_int(outcomes[REDIS_UNKNOWN] + outcomes[REDIS_NOT_SENT], MOST_CALLERS);
    fake_stop(&fake);
}

TASK_TEST_ON(1, close_without_server_is_quick)
{
    struct fake fake;
    struct caller callers[16];
    unsigned outcomes[OUTCOMES];
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis =
        open_manager(&fake, &(struct redis_options){ .backoff_ns = 30 * TR_SECOND, .most_backoff_ns = TR_SECOND * 60 });
    fake_kill(&fake);
    wait_until(redis_losses(redis) == 1);
    start_callers(callers, 16, redis, 1, LONG_TIME);
    test_settle();
    redis_close(redis, TR_NOW);
    join_callers(callers, 16, outcomes);
    expect_int(outcomes[REDIS_NOT_SENT], 16);
    /* With nothing to do it ends at once. */
    fake_start(&fake, fake_serve_well, NULL, 0);
    redis =
        open_manager(&fake, &(struct redis_options){ .backoff_ns = 30 * TR_SECOND, .most_backoff_ns = TR_SECOND * 60 });
    fake_kill(&fake);
    wait_until(redis_losses(redis) == 1);
    close_manager(redis);
}

/* The request that waits for the reconnect is nobody's any more: there is nothing left to send. */
TASK_TEST(close_without_server_does_not_wait_for_a_caller_who_has_gone)
{
    struct fake fake;
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis =
        open_manager(&fake, &(struct redis_options){ .backoff_ns = TR_MILLISECOND, .most_backoff_ns = TR_MILLISECOND });
    fake_kill(&fake);
    wait_until(redis_losses(redis) == 1);
    expect_int(try_echo(redis, "x", 20 * TR_MILLISECOND), -ETIMEDOUT);
    tr_time limit = tr_after(5 * TR_SECOND);
    redis_close(redis, limit);
    expect(tr_clock() < limit);
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

/* The clean-up's own time is over before the server has answered: what still works on the connections must not lose them. */
TASK_TEST_ON(1, close_in_a_shield_that_runs_out_is_complete)
{
    struct fake fake;
    struct caller callers[8];
    unsigned outcomes[OUTCOMES];
    struct tr_shield shield;
    fake_start(&fake, serve_never, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    start_callers(callers, 8, redis, 1, LONG_TIME);
    wait_until(atomic_load(&fake.requests) == 8);
    tr_shield_open(&shield, tr_after(5 * TR_MILLISECOND));
    redis_close(redis, TR_FOREVER);
    tr_shield_close(&shield);
    join_callers(callers, 8, outcomes);
    expect_int(outcomes[REDIS_UNKNOWN], 8);
    fake_stop(&fake);
}

/* ---- the program ---------------------------------------------------------------------------------------------- */

static uint64_t tasks(void)
{
    struct tr_census census;
    tr_census(&census);
    return census.tasks;
}

/* A signal has come in the moment in which the run ends: what the line shows must not go before the line. */
TASK_TEST_ON(1, progress_stopped_in_a_cancelled_task_is_over)
{
    struct fake fake;
    struct workload *load;
    fake_start(&fake, fake_serve_well, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    struct plan plan = { .clients = 1, .keys = 1, .requests = 2, .value_bytes = 8, .deadline_ns = LONG_TIME };
    expect_int(workload_start(&load, redis, &plan), 0);
    expect_int(workload_join(load, TR_FOREVER), 0);
    int before = dup(STDERR_FILENO), terminal = posix_openpt(O_RDWR | O_NOCTTY);
    expect(before >= 0 && terminal >= 0 && dup2(terminal, STDERR_FILENO) >= 0);
    uint64_t alive = tasks();
    struct progress progress = { .load = load, .redis = redis, .start = tr_clock() };
    progress_start(&progress);
    expect(progress.running);
    tr_task_cancel(tr_task_self());
    progress_stop(&progress);
    expect(dup2(before, STDERR_FILENO) >= 0);
    close(before);
    close(terminal);
    expect_int((int64_t)tasks(), (int64_t)alive);
    expect(!progress.running && tr_cancel_taken());
    workload_finish(load, NULL);
    close_manager(redis);
    fake_stop(&fake);
}

int main(void)
{
    return test_main("redis_manager",
                     TESTS(open_bad_url_is_refused_with_a_reason, open_without_server_tries_until_the_deadline,
                           open_sends_password_and_database, requests_of_every_kind_are_answered,
                           requests_that_concern_others_are_not_supported,
                           requests_and_replies_of_every_length_are_whole, requests_of_a_foreign_thread_are_answered,
                           pipeline_replies_find_their_callers, pipeline_batch_that_is_full_goes_out_whole,
                           pipeline_holds_no_more_in_flight_than_allowed,
                           deadline_passed_in_flight_late_reply_is_nobodys, close_lets_requests_in_flight_be_answered,
                           close_at_its_deadline_fails_what_is_left, close_without_server_is_quick,
                           close_without_server_does_not_wait_for_a_caller_who_has_gone,
                           close_in_a_cancelled_task_is_complete, close_in_a_shield_that_runs_out_is_complete,
                           progress_stopped_in_a_cancelled_task_is_over));
}
