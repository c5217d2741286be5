/* SPDX-License-Identifier: MIT */
/*
 * main.c: mini-redis, a redis-style server in memory. This file reads the options; server.c does the rest.
 *
 *     mini-redis --port 6379
 *     redis-cli set greeting hello
 */
#include "server.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: mini-redis [OPTION]...\n"
    "A redis-style server in memory, for redis-cli, redis-benchmark and any RESP2 client.\n"
    "\n"
    "  --host ADDRESS                 listen there (default 127.0.0.1)\n"
    "  --port PORT                    listen there; 0: a free port, see the line on stdout (default 6379)\n"
    "  --workers N                    threads, at most 64 (default: one per CPU, or TR_WORKERS)\n"
    "  --shards N                     actors that share the keys (default 1); with more than one, a command of several\n"
    "                                 keys (MSET, MGET, DEL, EXISTS) is atomic in each of them, not as a whole, and others may\n"
    "                                 see pipelined commands on different keys take effect in another order\n"
    "  --maxclients N                 connections at a time (default 10000)\n"
    "  --timeout SECONDS              close clients that are idle for so long (default 0: never); subscribers are not,\n"
    "                                 nor is who still takes replies\n"
    "  --requirepass PASSWORD         clients must AUTH\n"
    "  --query-buffer-limit SIZE      what a client may send of an unfinished request (default 1gb)\n"
    "  --proto-max-bulk-len SIZE      largest argument, at most 1gb (default 512mb)\n"
    "  --client-output-buffer-limit 'CLASS HARD SOFT SECONDS'\n"
    "                                 close a client that has left more than HARD of its replies untaken, or more than\n"
    "                                 SOFT for SECONDS on end; 0: no such limit. CLASS is normal (default '0 0 0') or\n"
    "                                 pubsub (default '32mb 8mb 60'); may be given twice\n"
    "  --ready-fd FD                  write the port and a newline there when ready, and close it\n"
    "  --help                         this page\n"
    "  --version\n"
    "\n"
    "SIZE is in bytes, or with one of k m g (thousands) or kb mb gb (1024s). Prints \"Ready to accept connections on HOST:PORT\".\n"
    "SIGINT and SIGTERM end it.\n";

struct settings {
    struct mini_redis_options server;
    struct tr_options runtime;
    int ready_fd;
    bool began; /* the runtime is there */
};

/* ---- options ------------------------------------------------------------------------------------------- */

static bool take_digits(const char *text, char **end, unsigned long long *value)
{
    errno = 0;
    *value = strtoull(text, end, 10); /* which would also take blanks and signs */
    return errno == 0 && *text >= '0' && *text <= '9';
}

static bool parse_number(const char *text, unsigned long long most, unsigned long long *value)
{
    char *end;
    return take_digits(text, &end, value) && *end == '\0' && *value <= most;
}

/* "512mb": as in Redis, k is 1000 and kb is 1024. Returns false if it is no such thing. */
static bool parse_size(const char *text, size_t *value)
{
    static const struct {
        const char *unit;
        unsigned long long bytes;
    } units[] = {
        { "", 1 },        { "b", 1 },           { "k", 1000 },          { "kb", 1ULL << 10 },
        { "m", 1000000 }, { "mb", 1ULL << 20 }, { "g", 1000000000ULL }, { "gb", 1ULL << 30 },
    };
    char *end;
    unsigned long long number;
    if (!take_digits(text, &end, &number))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        unsigned long long bytes;
        if (strcasecmp(end, units[i].unit) == 0 && !__builtin_mul_overflow(number, units[i].bytes, &bytes)) {
            *value = bytes;
            return true;
        }
    }
    return false;
}

static void set_pubsub_limit(struct mini_redis_options *options, struct mini_redis_output_limit limit)
{
    options->pubsub_limit = limit;
    options->pubsub_limit_given = true;
}

/* "pubsub 32mb 8mb 60", and any number of these behind each other. */
static bool parse_limits(struct mini_redis_options *options, const char *text)
{
    char class[16], hard[32], soft[32], time[32], rest;
    unsigned long long seconds;
    int length;
    do {
        struct mini_redis_output_limit limit = { 0 };
        if (sscanf(text, "%15s %31s %31s %31s%n", class, hard, soft, time, &length) != 4 ||
            !parse_size(hard, &limit.hard_bytes) || !parse_size(soft, &limit.soft_bytes) ||
            !parse_number(time, 1000000000, &seconds))
            return false;
        limit.soft_seconds = (unsigned)seconds;
        if (strcasecmp(class, "normal") == 0)
            options->normal_limit = limit;
        else if (strcasecmp(class, "pubsub") == 0)
            set_pubsub_limit(options, limit);
        else
            return false;
        text += length;
    } while (sscanf(text, " %c", &rest) == 1);
    return true;
}

static bool parse_option(struct settings *settings, int option, const char *value)
{
    struct mini_redis_options *server = &settings->server;
    unsigned long long number = 0;
    bool valid = true;
    switch (option) {
    case 'h':
        server->host = value;
        break;
    case 'p':
        valid = parse_number(value, 65535, &number);
        server->port = (uint16_t)number;
        break;
    case 'w':
        valid = parse_number(value, 64, &number);
        settings->runtime.workers = (unsigned)number;
        break;
    case 's':
        valid = parse_number(value, 1024, &number);
        server->shards = (unsigned)number;
        break;
    case 'c':
        valid = parse_number(value, 10000000, &number) && number > 0;
        server->max_clients = (unsigned)number;
        break;
    case 't':
        valid = parse_number(value, 1000000000, &number);
        server->timeout_seconds = (unsigned)number;
        break;
    case 'a':
        server->password = value;
        break;
    case 'q':
        valid = parse_size(value, &server->query_buffer_bytes) && server->query_buffer_bytes > 0;
        break;
    case 'b':
        valid = parse_size(value, &server->max_bulk_bytes) && server->max_bulk_bytes > 0 &&
                server->max_bulk_bytes <= (size_t)1 << 30;
        break;
    case 'o':
        valid = parse_limits(server, value);
        break;
    case 'r':
        valid = parse_number(value, 1 << 20, &number);
        settings->ready_fd = (int)number;
        break;
    }
    return valid;
}

static const struct option options[] = {
    { "host", required_argument, NULL, 'h' },
    { "port", required_argument, NULL, 'p' },
    { "workers", required_argument, NULL, 'w' },
    { "shards", required_argument, NULL, 's' },
    { "maxclients", required_argument, NULL, 'c' },
    { "timeout", required_argument, NULL, 't' },
    { "requirepass", required_argument, NULL, 'a' },
    { "query-buffer-limit", required_argument, NULL, 'q' },
    { "proto-max-bulk-len", required_argument, NULL, 'b' },
    { "client-output-buffer-limit", required_argument, NULL, 'o' },
    { "ready-fd", required_argument, NULL, 'r' },
    { "help", no_argument, NULL, 'H' },
    { "version", no_argument, NULL, 'v' },
    { 0 },
};

/* Returns -1 to go on, or the exit status. */
static int parse_options(struct settings *settings, int argc, char **argv)
{
    int option, index = 0;
    while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
        if (option == 'H') {
            fputs(help, stdout);
            return 0;
        }
        if (option == 'v') {
            printf("mini-redis, troupe %s\n", tr_version());
            return 0;
        }
        if (option == '?' || !parse_option(settings, option, optarg)) {
            if (option != '?')
                fprintf(stderr, "mini-redis: --%s cannot be '%s'\n", options[index].name, optarg);
            fputs("Try mini-redis --help\n", stderr);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "mini-redis: what is '%s'? Try mini-redis --help\n", argv[optind]);
        return 2;
    }
    return -1;
}

/* ---- running ------------------------------------------------------------------------------------------- */

static void say_ready(const struct settings *settings, uint16_t port)
{
    printf("Ready to accept connections on %s:%u\n", settings->server.host, port);
    fflush(stdout);
    if (settings->ready_fd >= 0) {
        dprintf(settings->ready_fd, "%u\n", port);
        close(settings->ready_fd);
    }
}

/* The first task: it waits to be cancelled, which SIGINT and SIGTERM do. */
static int run_server(void *argument)
{
    struct settings *settings = argument;
    struct mini_redis *server;
    settings->began = true;
    int rc = mini_redis_start(&server, &settings->server);
    if (rc < 0) {
        fprintf(stderr, "mini-redis: cannot listen on %s:%u: %s\n", settings->server.host, settings->server.port,
                strerror(-rc));
        return rc;
    }
    say_ready(settings, mini_redis_port(server));
    tr_sleep_until(TR_FOREVER);
    return mini_redis_stop(server, tr_after(4 * TR_SECOND));
}

int main(int argc, char **argv)
{
    struct settings settings = { .server = { .host = "127.0.0.1", .port = 6379 }, .ready_fd = -1 };
    int status = parse_options(&settings, argc, argv);
    if (status >= 0)
        return status;
    int rc = tr_run(&settings.runtime, run_server, &settings);
    if (rc < 0 && !settings.began)
        fprintf(stderr, "mini-redis: the runtime cannot start: %s\n", strerror(-rc));
    return rc == 0 ? 0 : 1;
}
