/* SPDX-License-Identifier: MIT */
/*
 * main.c: redis-manager, the program: a workload of many clients that share a few connections through the manager.
 *
 *    options ---> mini-redis in this process (unless --server) <--- redis_open ... workload ... redis_close ---> table
 *
 * Without --server it needs nothing: it starts mini-redis in the same runtime, on a free port.
 */
#include "mini-redis/server.h"
#include "redis_wire.h"
#include "report.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define MOST_VALUE ((size_t)256 << 20)
#define CONNECT_TIME (10 * TR_SECOND)
/* Together less than the five seconds that a signal leaves us. */
#define END_TIME (2 * TR_SECOND) /* for the requests under way, and deleting the keys */
#define CLOSE_TIME TR_SECOND     /* for replies that nobody waits for any more; for the server in this process */

struct arguments {
    const char *server; /* NULL: our own */
    unsigned workers, connections, in_flight;
    struct plan plan;
    bool began; /* the runtime is there */
};

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/*
 * Waits for the clients. On SIGINT or SIGTERM this task is cancelled: the clients end early, those whose request nobody answers
 * without an answer, and the table still comes.
 */
static void await_clients(struct workload *load)
{
    tr_time patience = TR_FOREVER;
    int rc;
    while ((rc = workload_join(load, patience)) < 0) {
        if (rc == -ECANCELED) {
            tr_cancel_taken();
            workload_stop(load);
            patience = tr_after(END_TIME);
        } else if (rc == -ETIMEDOUT) {
            workload_cancel(load);
            patience = TR_FOREVER;
        } else { /* no memory to wait with */
            tr_yield();
        }
    }
}

/* Returns 0 if all went well, -EIO if not (the table says what), or why it could not begin. */
static int run_workload(struct redis *redis, const struct arguments *arguments)
{
    struct summary summary = { .plan = &arguments->plan, .connections = arguments->connections };
    struct workload *load;
    double cpu = cpu_seconds();
    tr_time start = tr_clock();
    int rc = workload_start(&load, redis, &arguments->plan);
    if (rc < 0) {
        fprintf(stderr, "redis-manager: cannot start %u clients: %s\n", arguments->plan.clients, strerror(-rc));
        return rc;
    }
    struct progress progress = { .load = load, .redis = redis, .start = start };
    progress_start(&progress);
    await_clients(load);
    progress_stop(&progress);
    summary.seconds = (double)(tr_clock() - start) / 1e9;
    summary.cpu_seconds = cpu_seconds() - cpu;
    workload_finish(load, &summary.tally);
    redis_stats(redis, &summary.stats);
    return report_summary(&summary) ? 0 : -EIO;
}

static int run_against(const char *url, const struct arguments *arguments)
{
    char error[320] = "";
    struct redis_options options = {
        .max_reply_bytes = MOST_VALUE + 64, /* and what is around it */
        .connections = arguments->connections,
        .in_flight = arguments->in_flight,
        .error = error,
        .error_bytes = sizeof error,
    };
    struct redis *redis;
    int rc = redis_open(&redis, url, &options, tr_after(CONNECT_TIME));
    if (rc < 0) {
        fprintf(stderr, "redis-manager: --server: %s\n", error);
        return rc;
    }
    rc = run_workload(redis, arguments);
    redis_close(redis, tr_after(CLOSE_TIME));
    return rc;
}

static int run(void *argument)
{
    struct arguments *arguments = argument;
    struct mini_redis *server;
    char url[64];
    arguments->began = true;
    if (arguments->server)
        return run_against(arguments->server, arguments);
    int rc = mini_redis_start(&server, &(struct mini_redis_options){ .host = "127.0.0.1" });
    if (rc < 0) {
        fprintf(stderr, "redis-manager: cannot start mini-redis: %s\n", strerror(-rc));
        return rc;
    }
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", mini_redis_port(server));
    rc = run_against(url, arguments);
    mini_redis_stop(server, tr_after(CLOSE_TIME));
    return rc;
}

/* After the run nothing may live any more. */
static bool leaked(void)
{
    struct tr_census census;
    tr_census(&census);
    if (!census.tasks && !census.stacks && !census.slots && !census.storages && !census.streams && !census.timers)
        return false;
    fprintf(stderr,
            "redis-manager: leaked: %" PRIu64 " tasks, %" PRIu64 " stacks, %" PRIu64 " slots, %" PRIu64
            " mailboxes, %" PRIu64 " streams, %" PRIu64 " timers\n",
            census.tasks, census.stacks, census.slots, census.storages, census.streams, census.timers);
    return true;
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

static void print_help(void)
{
    puts("usage: redis-manager [OPTION...]\n"
         "Runs many clients that share pipelined connections to one Redis, and checks every value that they read.\n"
         "\n"
         "  --server URL        redis://[user:password@]host[:port][/db]; default: mini-redis in this process\n"
         "  --clients N         client actors (64)\n"
         "  --connections N     connections that they share (1)\n"
         "  --in-flight N       most requests in flight on a connection (1024)\n"
         "  --requests N        of all clients together (200000, or no limit with --duration)\n"
         "  --duration SECONDS  ends the run after so long (no limit)\n"
         "  --keys N            keys of each client (16)\n"
         "  --value-bytes N     at least 8 (64)\n"
         "  --read-ratio X      the part of GETs, 0 to 1 (0.5)\n"
         "  --deadline MS       of each request (5000)\n"
         "  --tolerate-errors   count failed and refused requests and go on; a wrong value fails the run\n"
         "  --workers N         threads of the runtime, at most 64 (one for each CPU)\n"
         "  --help\n"
         "\n"
         "Exit status: 0 if every request was answered and every value right, 1 if not, 2 for a wrong argument.");
}

static void wrong_argument(const char *name, const char *text, const char *expected)
{
    fprintf(stderr, "redis-manager: --%s %s: expected %s\n", name, text, expected);
    exit(2);
}

static uint64_t whole_argument(const char *name, const char *text, uint64_t least, uint64_t most)
{
    char *end, expected[64];
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    snprintf(expected, sizeof expected, "a number from %" PRIu64 " to %" PRIu64, least, most);
    if (errno || end == text || *end || *text == '-' || number < least || number > most)
        wrong_argument(name, text, expected);
    return number;
}

static double real_argument(const char *name, const char *text, double most)
{
    char *end, expected[64];
    double number = strtod(text, &end);
    snprintf(expected, sizeof expected, "a number from 0 to %g", most);
    if (end == text || *end || !(number >= 0 && number <= most))
        wrong_argument(name, text, expected);
    return number;
}

/* What is wrong with it is said without showing it: it may hold a password. */
static const char *url_argument(const char *name, const char *text)
{
    struct redis_url url;
    char why[256];
    if (redis_url_parse(&url, text, why, sizeof why) < 0) {
        fprintf(stderr, "redis-manager: --%s: %s\n", name, why);
        exit(2);
    }
    return text;
}

static void take_argument(struct arguments *a, int option, const char *name, const char *text)
{
    switch (option) {
    case 's':
        a->server = url_argument(name, text);
        break;
    case 'c':
        a->plan.clients = (unsigned)whole_argument(name, text, 1, 100000);
        break;
    case 'p':
        a->connections = (unsigned)whole_argument(name, text, 1, 64);
        break;
    case 'f':
        a->in_flight = (unsigned)whole_argument(name, text, 1, 65536);
        break;
    case 'n':
        a->plan.requests = whole_argument(name, text, 1, UINT64_C(1) << 48);
        break;
    case 'd':
        a->plan.duration_ns = (int64_t)(real_argument(name, text, 1e6) * 1e9);
        break;
    case 'k':
        a->plan.keys = (unsigned)whole_argument(name, text, 1, 100000);
        break;
    case 'b':
        a->plan.value_bytes = whole_argument(name, text, 8, MOST_VALUE);
        break;
    case 'r':
        a->plan.read_ratio = real_argument(name, text, 1);
        break;
    case 't':
        a->plan.deadline_ns = (int64_t)whole_argument(name, text, 1, 1000000000) * TR_MILLISECOND;
        break;
    case 'e':
        a->plan.tolerate_errors = true;
        break;
    case 'w':
        a->workers = (unsigned)whole_argument(name, text, 1, 64);
        break;
    case 'h':
        print_help();
        exit(0);
    default:
        fprintf(stderr, "Try redis-manager --help.\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "server", 1, NULL, 's' },
        { "clients", 1, NULL, 'c' },
        { "connections", 1, NULL, 'p' },
        { "in-flight", 1, NULL, 'f' },
        { "requests", 1, NULL, 'n' },
        { "duration", 1, NULL, 'd' },
        { "keys", 1, NULL, 'k' },
        { "value-bytes", 1, NULL, 'b' },
        { "read-ratio", 1, NULL, 'r' },
        { "deadline", 1, NULL, 't' },
        { "tolerate-errors", 0, NULL, 'e' },
        { "workers", 1, NULL, 'w' },
        { "help", 0, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct arguments arguments = {
        .connections = 1,
        .in_flight = 1024,
        .plan = { .clients = 64, .keys = 16, .value_bytes = 64, .read_ratio = 0.5, .deadline_ns = 5 * TR_SECOND },
    };
    int option, index = 0;
    while ((option = getopt_long(argc, argv, "", options, &index)) != -1)
        take_argument(&arguments, option, options[index].name, optarg);
    if (optind < argc) {
        fprintf(stderr, "redis-manager: what is \"%s\"? Try --help.\n", argv[optind]);
        return 2;
    }
    if (arguments.plan.requests == 0 && arguments.plan.duration_ns == 0)
        arguments.plan.requests = 200000;
    int rc = tr_run(&(struct tr_options){ .workers = arguments.workers }, run, &arguments);
    if (rc < 0 && !arguments.began)
        fprintf(stderr, "redis-manager: the runtime cannot start: %s\n", strerror(-rc));
    return rc != 0 || leaked();
}
