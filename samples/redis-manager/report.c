/* SPDX-License-Identifier: MIT */
/*
 * report.c: the progress line and the table.
 */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define INTERVAL (200 * TR_MILLISECOND)

/* ---- progress ---------------------------------------------------------------------------------------------------- */

static int progress_body(void *argument)
{
    struct progress *progress = argument;
    uint64_t before = 0, done, troubles;
    tr_time last = progress->start;
    while (tr_sleep(INTERVAL) == 0) {
        tr_time now = tr_clock();
        workload_glance(progress->load, &done, &troubles);
        fprintf(stderr, "\r%6.1f s  %12" PRIu64 " requests  %9.0f/s  %6" PRIu64 " failed  %4" PRIu64 " reconnects ",
                (double)(now - progress->start) / 1e9, done, (double)(done - before) * 1e9 / (double)(now - last),
                troubles, redis_losses(progress->redis));
        before = done;
        last = now;
    }
    fprintf(stderr, "\r%79s\r", "");
    return 0;
}

void progress_start(struct progress *progress)
{
    progress->running = isatty(STDERR_FILENO) && tr_task_spawn(&progress->task, progress_body, progress,
                                                               &(struct tr_task_options){ .name = "progress" }) == 0;
}

void progress_stop(struct progress *progress)
{
    if (!progress->running)
        return;
    struct tr_shield shield; /* short; and what it shows is about to go */
    tr_shield_open(&shield, TR_FOREVER);
    tr_task_cancel(progress->task);
    tr_task_join(progress->task, NULL, TR_FOREVER);
    tr_shield_close(&shield);
    progress->running = false;
}

/* ---- table ------------------------------------------------------------------------------------------------------- */

/* "123.4 us" or "12.3 ms" */
static const char *span(double value, char text[static 24])
{
    if (value < 1e6)
        snprintf(text, 24, "%.1f us", value / 1e3);
    else if (value < 1e9)
        snprintf(text, 24, "%.2f ms", value / 1e6);
    else
        snprintf(text, 24, "%.2f s", value / 1e9);
    return text;
}

static void print_latency(const struct tally *tally)
{
    static const struct {
        const char *name;
        double part;
    } rows[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 } };
    double tick_ns = tally->tick_ns;
    char text[24];
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        printf("  latency %-15s %14s\n", rows[i].name,
               span(tick_ns * (double)histogram_quantile(&tally->latency, rows[i].part), text));
    printf("  latency %-15s %14s\n", "max", span(tick_ns * (double)tally->latency.most, text));
}

static uint64_t print_troubles(const struct tally *tally)
{
    static const char *const names[TROUBLE_KINDS] = {
        [TROUBLE_NOT_SENT] = "not sent",   [TROUBLE_UNKNOWN] = "outcome unknown",
        [TROUBLE_TIMED_OUT] = "timed out", [TROUBLE_REFUSED] = "refused by the server",
        [TROUBLE_OTHER] = "other errors",  [TROUBLE_WRONG] = "wrong values",
    };
    uint64_t errors = 0;
    for (unsigned kind = 0; kind < TROUBLE_KINDS; kind++) {
        printf("  %-23s %14" PRIu64 "\n", names[kind], tally->troubles[kind]);
        errors += tally->troubles[kind];
    }
    return errors;
}

bool report_summary(const struct summary *s)
{
    const struct tally *tally = &s->tally;
    double done = (double)tally->done;
    printf("%u clients, %u connection%s, values of %zu bytes, %.0f %% reads\n", s->plan->clients, s->connections,
           s->connections == 1 ? "" : "s", s->plan->value_bytes, s->plan->read_ratio * 100);
    printf("  %-23s %14" PRIu64 "\n", "requests", tally->done);
    printf("  %-23s %14.3f\n", "seconds", s->seconds);
    printf("  %-23s %14.0f\n", "requests per second", s->seconds > 0 ? done / s->seconds : 0);
    print_latency(tally);
    printf("  %-23s %14.1f\n", "requests per write",
           s->stats.writes ? (double)s->stats.requests / (double)s->stats.writes : 0);
    printf("  %-23s %14.0f\n", "CPU ns per request", done > 0 ? s->cpu_seconds * 1e9 / done : 0);
    uint64_t errors = print_troubles(tally);
    printf("  %-23s %14" PRIu64 "\n", "retries", tally->retries);
    printf("  %-23s %14" PRIu64 "\n", "connections lost", s->stats.losses);
    bool lost = s->plan->requests > 0 && s->plan->duration_ns == 0 && tally->done < s->plan->requests;
    bool good =
        s->plan->tolerate_errors ? tally->troubles[TROUBLE_WRONG] == 0 && tally->done > 0 : errors == 0 && !lost;
    printf("%s\n",
           good ? errors ? "ok: no wrong value; the errors were tolerated" : "ok: every value that was read was right"
                : "FAILED");
    return good;
}
