/* SPDX-License-Identifier: MIT */
/*
 * hiredis_libev.c: hiredis' asynchronous client on libev, OUTSTANDING requests always in flight: each reply sends the
 * next request of its slot, SET and GET in turn. Every value is checked.
 *
 *     hiredis-libev PORT REQUESTS VALUE_BYTES OUTSTANDING
 *
 * Prints requests per second.
 */
#include <ev.h>
#include <hiredis/hiredis.h>
#include <hiredis/async.h>
#include <hiredis/adapters/libev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    uint64_t turn;
    char key[32], *value;
};

static size_t left, answers_left, value_bytes;

static void send_next(redisAsyncContext *redis, struct slot *slot);

static void on_reply(redisAsyncContext *redis, void *data, void *context)
{
    redisReply *reply = data;
    struct slot *slot = context;
    if (!reply || reply->type == REDIS_REPLY_ERROR ||
        (slot->turn % 2 && ((size_t)reply->len != value_bytes || memcmp(reply->str, slot->value, value_bytes) != 0))) {
        fprintf(stderr, "hiredis-libev: wrong or no reply\n");
        exit(1);
    }
    slot->turn++;
    answers_left--;
    if (left > 0)
        send_next(redis, slot);
    else if (answers_left == 0)
        ev_break(EV_DEFAULT, EVBREAK_ALL);
}

static void send_next(redisAsyncContext *redis, struct slot *slot)
{
    left--;
    if (slot->turn % 2 == 0) {
        memcpy(slot->value, &slot->turn, sizeof slot->turn < value_bytes ? sizeof slot->turn : value_bytes);
        redisAsyncCommand(redis, on_reply, slot, "SET %s %b", slot->key, slot->value, value_bytes);
    } else {
        redisAsyncCommand(redis, on_reply, slot, "GET %s", slot->key);
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    size_t requests = strtoull(argv[2], NULL, 10), outstanding = strtoull(argv[4], NULL, 10);
    value_bytes = strtoull(argv[3], NULL, 10);
    left = answers_left = requests;
    redisAsyncContext *redis = redisAsyncConnect("127.0.0.1", atoi(argv[1]));
    if (!redis || redis->err) {
        fprintf(stderr, "hiredis-libev: cannot connect\n");
        return 1;
    }
    redisLibevAttach(EV_DEFAULT_ redis);
    struct slot *slots = calloc(outstanding, sizeof *slots);
    ev_tstamp started = ev_time();
    for (size_t i = 0; i < outstanding && left > 0; i++) {
        snprintf(slots[i].key, sizeof slots[i].key, "bench:%zu", i);
        slots[i].value = malloc(value_bytes);
        memset(slots[i].value, 'x', value_bytes);
        send_next(redis, &slots[i]);
    }
    ev_run(EV_DEFAULT, 0);
    printf("requests_per_second %.0f 1/s\n", (double)requests / (ev_time() - started));
    for (size_t i = 0; i < outstanding; i++)
        free(slots[i].value);
    free(slots);
    redisAsyncFree(redis);
    return 0;
}
