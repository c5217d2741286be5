/* SPDX-License-Identifier: MIT */
/*
 * hiredis_sync.c: one blocking hiredis client, SET and GET in turn, one request at a time. Every value is checked.
 *
 *     hiredis-sync PORT REQUESTS VALUE_BYTES
 *
 * Prints the median time of a request in microseconds.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void request(redisContext *redis, size_t i, char *value, size_t bytes)
{
    redisReply *reply;
    if (i % 2 == 0) {
        memcpy(value, &i, sizeof i < bytes ? sizeof i : bytes);
        reply = redisCommand(redis, "SET bench:sync %b", value, bytes);
    } else {
        reply = redisCommand(redis, "GET bench:sync");
    }
    if (!reply || reply->type == REDIS_REPLY_ERROR ||
        (i % 2 && ((size_t)reply->len != bytes || memcmp(reply->str, value, bytes) != 0))) {
        fprintf(stderr, "hiredis-sync: wrong or no reply\n");
        exit(1);
    }
    freeReplyObject(reply);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    size_t requests = strtoull(argv[2], NULL, 10), bytes = strtoull(argv[3], NULL, 10);
    redisContext *redis = redisConnect("127.0.0.1", atoi(argv[1]));
    if (!redis || redis->err) {
        fprintf(stderr, "hiredis-sync: cannot connect\n");
        return 1;
    }
    char *value = malloc(bytes);
    int64_t *times = malloc(requests * sizeof *times);
    memset(value, 'x', bytes);
    for (size_t i = 0; i < requests; i++) {
        int64_t started = now_ns();
        request(redis, i, value, bytes);
        times[i] = now_ns() - started;
    }
    qsort(times, requests, sizeof *times, compare);
    int64_t median = times[requests / 2];
    printf("p50 %.3f us\n", (double)median / 1000);
    free(times);
    free(value);
    redisFree(redis);
    return 0;
}
