/* SPDX-License-Identifier: MIT */
/*
 * test_redis_line.c: the Redis client manager (samples/redis-manager) and lines that are not lost, but dumb, idle, slow or out
 * of step: which it chooses, waits for, comes back to and believes.
 */
#include "redis_connection.h"
#include "redis_fake.h"
#include "support.h"

#include <errno.h>
#include <sys/socket.h>

/* ---- dumb --------------------------------------------------------------------------------------------------------- */

/* The first connection never answers. */
static void serve_first_never(struct fake_client *client)
{
    if (client->index > 0) {
        fake_serve_well(client);
        return;
    }
    while (fake_read(client))
        ;
}

TASK_TEST(pool_avoids_the_connection_that_is_loaded)
{
    struct fake fake;
    struct caller stuck, callers[16];
    unsigned outcomes[OUTCOMES];
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

/* Its callers give up, and do not make it look as if it had nothing to do. */
TASK_TEST(pool_avoids_the_connection_that_owes_replies)
{
    struct fake fake;
    fake_start(&fake, serve_first_never, NULL, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .connections = 4 });
    wait_until(atomic_load(&fake.connections) == 4);
    expect_int(try_echo(redis, "in vain", 50 * TR_MILLISECOND), -ETIMEDOUT);
    for (int i = 0; i < 100; i++)
        expect_echo(redis, "one at a time");
    redis_close(redis, tr_after(20 * TR_MILLISECOND));
    fake_stop(&fake);
}

/* ---- idle --------------------------------------------------------------------------------------------------------- */

/* Ends each connection when the count changes. */
static void serve_until_told(struct fake_client *client)
{
    atomic_uint *told = client->fake->context;
    unsigned before = atomic_load(told);
    while (atomic_load(told) == before)
        tr_sleep(TR_MILLISECOND);
}

TASK_TEST_ON(1, line_that_was_idle_for_long_is_made_again_at_once)
{
    struct fake fake;
    struct redis_stats stats;
    atomic_uint told = 0;
    fake_start(&fake, serve_until_told, &told, 0);
    struct redis_options options = { .backoff_ns = TR_MILLISECOND, .most_backoff_ns = 10 * TR_MILLISECOND };
    struct redis *redis = open_manager(&fake, &options);
    for (uint64_t i = 1; i <= 6; i++) {
        expect_int(tr_sleep(30 * TR_MILLISECOND), 0);
        atomic_fetch_add(&told, 1);
        do {
            expect_int(tr_sleep(TR_MILLISECOND), 0);
            redis_stats(redis, &stats);
        } while (stats.connects < i);
        expect_int(redis->connections[0].pause, options.backoff_ns);
    }
    atomic_fetch_add(&told, 1);
    redis_close(redis, tr_after(LONG_TIME));
    atomic_fetch_add(&told, 1);
    fake_stop(&fake);
}

/* ---- out of step -------------------------------------------------------------------------------------------------- */

/* On each connection one of these, then as it should be: no two connections are out of step in the same way. */
static void serve_other_kind_first(struct fake_client *client)
{
    static const char *const replies[] = { "*1\r\n$4\r\nwhat\r\n", ":1\r\n", "$2\r\nOK\r\n" };
    if (client->index < sizeof replies / sizeof *replies && fake_read(client))
        fake_write(client, replies[client->index]);
    fake_serve_well(client);
}

/*
 * A debugger that somebody started on the server, or a proxy, answers so: nothing was got, and nothing set. What would come next on
 * such a line may be anybody's: it is given up, once.
 */
TASK_TEST(reply_of_another_kind_is_not_believed)
{
    struct fake fake;
    struct redis_stats stats;
    fake_start(&fake, serve_other_kind_first, NULL, 0);
    struct redis *redis = open_manager(&fake, NULL);
    for (uint64_t i = 0; i < 3; i++) { /* an array, a number; a string for a SET */
        struct redis_reply reply;
        if (i < 2) {
            expect_int(redis_get(redis, REDIS_BYTES("key"), &reply, tr_after(LONG_TIME)), REDIS_UNKNOWN);
            expect_int(reply.value.type, REDIS_NIL);
        } else {
            expect_int(redis_set(redis, REDIS_BYTES("key"), REDIS_BYTES("value"), tr_after(LONG_TIME)), REDIS_UNKNOWN);
        }
        do {
            expect_int(tr_sleep(TR_MILLISECOND), 0);
            redis_stats(redis, &stats);
        } while (stats.connects <= i);
        expect_int((int64_t)stats.losses, (int64_t)i + 1);
    }
    for (int i = 0; i < 10; i++) { /* nil is as good as a value */
        struct redis_reply reply;
        expect_int(redis_get(redis, REDIS_BYTES("key"), &reply, tr_after(LONG_TIME)), 0);
        redis_reply_clear(&reply);
        expect_int(redis_set(redis, REDIS_BYTES("key"), REDIS_BYTES("value"), tr_after(LONG_TIME)), 0);
    }
    redis_stats(redis, &stats);
    expect_int((int64_t)stats.losses, 3);
    close_manager(redis);
    fake_stop(&fake);
}

TASK_TEST(reply_of_another_kind_costs_one_connection_of_the_pool)
{
    struct fake fake;
    struct redis_stats stats;
    struct redis_reply reply;
    fake_start(&fake, serve_other_kind_first, NULL, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .connections = 2 });
    expect_int(redis_get(redis, REDIS_BYTES("key"), &reply, tr_after(LONG_TIME)), REDIS_UNKNOWN);
    do {
        expect_int(tr_sleep(TR_MILLISECOND), 0);
        redis_stats(redis, &stats);
    } while (stats.connects == 0);
    expect_int((int64_t)stats.losses, 1);
    close_manager(redis);
    fake_stop(&fake);
}

/* ---- slow --------------------------------------------------------------------------------------------------------- */

#define VALUE_BYTES (2u << 20)
#define SOCKET_BYTES 32768

/* Takes a long request in small bites: some two seconds for it, a twentieth for each piece. */
static void serve_slowly(struct fake_client *client)
{
    static char bite[16384];
    size_t taken = 0;
    ssize_t bytes = 0;
    setsockopt(tr_stream_fd(client->stream), SOL_SOCKET, SO_RCVBUF, &(int){ SOCKET_BYTES }, sizeof(int));
    while (taken < VALUE_BYTES || memcmp(bite + bytes - 2, "\r\n", 2) != 0) {
        bytes = tr_read(client->stream, bite, sizeof bite, tr_after(LONG_TIME));
        if (bytes < 2)
            return;
        taken += (size_t)bytes;
        tr_sleep(15 * TR_MILLISECOND);
    }
    fake_write(client, "+OK\r\n");
    fake_read(client);
}

TASK_TEST_ON(1, request_that_makes_progress_is_no_stall)
{
    struct fake fake;
    char *value = calloc(1, VALUE_BYTES);
    fake_start(&fake, serve_slowly, NULL, 0);
    struct redis *redis = open_manager(&fake, &(struct redis_options){ .stall_ns = TR_SECOND });
    setsockopt(tr_stream_fd(redis->connections[0].stream), SOL_SOCKET, SO_SNDBUF, &(int){ SOCKET_BYTES }, sizeof(int));
    struct redis_bytes bytes = { value, VALUE_BYTES };
    expect_int(redis_set(redis, REDIS_BYTES("key"), bytes, tr_after(LONG_TIME)), 0);
    expect_int((int)redis_losses(redis), 0);
    close_manager(redis);
    fake_stop(&fake);
    free(value);
}

int main(void)
{
    return test_main("redis_line",
                     TESTS(pool_avoids_the_connection_that_is_loaded, pool_avoids_the_connection_that_owes_replies,
                           line_that_was_idle_for_long_is_made_again_at_once, reply_of_another_kind_is_not_believed,
                           reply_of_another_kind_costs_one_connection_of_the_pool,
                           request_that_makes_progress_is_no_stall));
}
