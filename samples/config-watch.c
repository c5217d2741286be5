/* SPDX-License-Identifier: MIT */
/*
 * config-watch.c: a configuration that changes while the program runs, and workers that follow it.
 *
 *     keeper: looks at the file, every 100 ms ---- watch ----> worker, worker, worker: between two pieces of work
 *
 * A watch keeps the latest value only. A worker never waits for the keeper, and the keeper never for a worker; whoever is
 * late misses what came in between, and never the last.
 *
 * The file has lines of `name = value`, the names being pace_ms and greeting. Without a file the program writes one itself,
 * changes it a few times, and checks at the end that every worker has seen the last change.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe.h>
#include <unistd.h>

#define WORKERS 3
#define CHANGES 5

struct config {
    unsigned version; /* counted here, from 1 */
    unsigned pace_ms;
    char greeting[40];
};
TR_WATCH_TYPE(config_watch, struct config);
TR_WATCH_RECEIVER_TYPE(config_receiver, struct config);

struct path {
    char name[256];
};

/* On a thread that may block: files are no sockets. */
static int read_config(void *argument, void *result)
{
    const struct path *path = argument;
    struct config *config = result;
    char line[128];
    *config = (struct config){ .pace_ms = 100, .greeting = "hello" };
    FILE *file = fopen(path->name, "r");
    if (!file)
        return errno;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, " pace_ms = %u", &config->pace_ms) != 1)
            sscanf(line, " greeting = %39[^\n]", config->greeting);
    }
    fclose(file);
    return 0;
}

static bool same(const struct config *a, const struct config *b)
{
    return a->pace_ms == b->pace_ms && strcmp(a->greeting, b->greeting) == 0;
}

/* ---- the keeper ---- */

struct keeper {
    struct path path;
    struct config_watch watch;
};

/* Looks at the file until it is cancelled. One that cannot be read leaves the configuration as it was. */
static int keep(void *argument)
{
    struct keeper *keeper = argument;
    struct config config, now;
    struct tr_interval interval;
    tr_interval_init(&interval, 100 * TR_MILLISECOND, TR_MISSED_DELAY);
    int rc;
    while ((rc = tr_interval_tick(&interval, NULL, TR_FOREVER)) == 0) {
        rc = tr_blocking(read_config, &keeper->path, &config, tr_after(5 * TR_SECOND));
        tr_watch_current(keeper->watch, &now);
        if (rc != 0 || same(&config, &now))
            continue;
        config.version = now.version + 1;
        tr_watch_send(keeper->watch, &config);
    }
    return rc == -ECANCELED ? 0 : rc;
}

/* ---- the workers ---- */

struct worker {
    unsigned number;
    struct config_receiver receiver;
};

/* Works, and takes on a change as soon as there is one. Returns the version it saw last, once the watch is over. */
static int work(void *argument)
{
    struct worker *worker = argument;
    struct config config;
    unsigned pieces = 0;
    tr_watch_read(&worker->receiver, &config);
    for (;;) {
        int rc = tr_watch_changed(&worker->receiver, tr_after(config.pace_ms * TR_MILLISECOND));
        if (rc == -ETIMEDOUT) {
            pieces++; /* nothing has changed: a piece of work */
            continue;
        }
        if (rc < 0)
            break;
        tr_watch_read(&worker->receiver, &config);
        printf("worker %u: version %u, \"%s\" every %u ms; %u pieces done so far\n", worker->number, config.version,
               config.greeting, config.pace_ms, pieces);
    }
    tr_watch_unsubscribe(&worker->receiver);
    return (int)config.version;
}

/* ---- the demonstration ---- */

static int write_config(const char *name, unsigned change)
{
    static const char *const greetings[] = { "good morning", "good day", "good evening", "good night", "hello again" };
    char fresh[300];
    snprintf(fresh, sizeof fresh, "%s.new", name);
    FILE *file = fopen(fresh, "w"); /* and then renamed: a reader sees the old file or the new one, never a part */
    if (!file)
        return -errno;
    fprintf(file, "pace_ms = %u\ngreeting = %s\n", 10 + 10 * change, greetings[change % 5]);
    return fclose(file) == 0 && rename(fresh, name) == 0 ? 0 : -errno;
}

static bool is_last(const void *value, void *argument)
{
    (void)argument;
    return ((const struct config *)value)->pace_ms == 10 + 10 * CHANGES;
}

static int demonstrate(struct keeper *keeper)
{
    struct config_receiver receiver;
    struct config config;
    tr_watch_subscribe(keeper->watch, &receiver);
    int rc = 0;
    for (unsigned change = 1; change <= CHANGES && rc == 0; change++) {
        rc = write_config(keeper->path.name, change);
        if (rc == 0)
            rc = tr_watch_changed(&receiver, tr_after(30 * TR_SECOND));
    }
    if (rc == 0)
        rc = tr_watch_wait_for(&receiver, is_last, NULL, &config, tr_after(30 * TR_SECOND));
    tr_watch_unsubscribe(&receiver);
    return rc;
}

/* ---- together ---- */

static int run_workers(struct keeper *keeper, bool demonstration)
{
    struct worker workers[WORKERS];
    struct tr_task tasks[WORKERS] = { 0 }, keeping = { 0 };
    struct config last;
    int rc = 0, seen = 0, started = 0;
    for (; started < WORKERS && rc == 0; started++) {
        workers[started].number = (unsigned)started + 1;
        rc = tr_watch_subscribe(keeper->watch, &workers[started].receiver);
        if (rc == 0)
            rc = tr_task_spawn(&tasks[started], work, &workers[started], &(struct tr_task_options){ .name = "worker" });
    }
    if (rc == 0)
        rc = tr_task_spawn(&keeping, keep, keeper, &(struct tr_task_options){ .name = "keeper" });
    if (rc < 0)
        return rc;
    rc = demonstration ? demonstrate(keeper) : tr_sleep_until(TR_FOREVER);
    struct tr_shield shield;
    tr_shield_open(&shield, tr_after(10 * TR_SECOND)); /* after SIGINT, too, everybody is waited for */
    tr_task_cancel(keeping);
    tr_task_join(keeping, NULL, TR_FOREVER);
    tr_watch_current(keeper->watch, &last);
    tr_watch_close(keeper->watch); /* the workers see the last value, and that it was the last */
    for (int i = 0; i < started; i++) {
        tr_task_join(tasks[i], &seen, TR_FOREVER);
        if (seen != (int)last.version)
            rc = -EIO; /* cannot be */
    }
    tr_shield_close(&shield);
    if (demonstration && rc == 0)
        printf("%d workers have all seen version %u, the last\n", WORKERS, last.version);
    return rc;
}

static int run(void *argument)
{
    const char *name = argument;
    struct keeper keeper;
    struct config config;
    int rc = snprintf(keeper.path.name, sizeof keeper.path.name, "%s", name ? name : "/tmp/config-watch.XXXXXX");
    if (rc >= (int)sizeof keeper.path.name)
        return -EINVAL;
    int fd = name ? -1 : mkstemp(keeper.path.name);
    if (fd >= 0)
        close(fd);
    rc = name ? 0 : write_config(keeper.path.name, 0);
    if (rc == 0)
        rc = tr_blocking(read_config, &keeper.path, &config, tr_after(5 * TR_SECOND));
    if (rc == 0) {
        config.version = 1;
        rc = tr_watch_create(&keeper.watch, NULL, &config);
        if (rc == 0)
            rc = run_workers(&keeper, !name);
    } else if (rc != -ECANCELED) {
        fprintf(stderr, "config-watch: %s: %s\n", keeper.path.name, strerror(rc < 0 ? -rc : rc));
        rc = -EIO;
    }
    if (!name)
        unlink(keeper.path.name);
    return rc == -ECANCELED ? 0 : rc; /* SIGINT is how it is meant to end */
}

/* What is printed is the result: it counts once it is written. */
static bool written(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    fputs("config-watch: standard output cannot be written\n", stderr);
    return false;
}

int main(int argc, char **argv)
{
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
        fprintf(
            help ? stdout : stderr,
            "usage: config-watch [FILE]\nFollows the settings in FILE (pace_ms = N, greeting = TEXT) until SIGINT.\n"
            "Without one, shows it with a file of its own.\n");
        return help ? 0 : 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    return tr_run(NULL, run, argc == 2 ? argv[1] : NULL) != 0 || !written();
}
