/* SPDX-License-Identifier: MIT */
/*
 * job-pool.c: many jobs, a few at a time, and what became of each.
 *
 *     group of tasks, one per job ---- semaphore: so many of them compute at once ----> the pool of threads
 *
 * Each job counts the primes below a bound, on a thread that may block, so that the tasks stay free. The semaphore says how many
 * compute at once; the group knows who has ended and how, and cancels the rest at the first failure (--fail N) or at SIGINT. It never
 * leaves a job behind.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe.h>
#include <unistd.h>

struct job {
    unsigned number, bound;
    bool bad; /* to be seen failing */
};

struct plan {
    unsigned jobs, at_once, bound, fail;
    struct tr_semaphore slots;
    uint64_t primes; /* in all; added to by the collector alone */
    uint64_t *found; /* by each job */
    bool terminal;   /* somebody looks */
};
static struct plan plan = { .jobs = 100, .at_once = 2, .bound = 300000 };

/* ---- one job ---- */

/* On a thread of the pool: the sieve of Eratosthenes. */
static int count_primes(void *argument, void *result)
{
    const struct job *job = argument;
    uint64_t *count = result;
    if (job->bad)
        return EDOM;
    char *composite = calloc(job->bound, 1);
    if (!composite)
        return ENOMEM;
    for (size_t i = 2; i < job->bound; i++) {
        *count += !composite[i];
        for (size_t k = i * i; !composite[i] && k < job->bound; k += i)
            composite[k] = 1;
    }
    free(composite);
    return 0;
}

static int run_job(void *argument)
{
    const struct job *job = argument;
    int rc = tr_semaphore_acquire(&plan.slots, 1, TR_FOREVER);
    if (rc < 0)
        return rc;
    rc = tr_blocking(count_primes, job, &plan.found[job->number], TR_FOREVER);
    tr_semaphore_release(&plan.slots, 1);
    return rc > 0 ? tr_task_fail(-rc, "job %u cannot be done", job->number + 1) : rc;
}

/* ---- all of them ---- */

/* One line that is written over. */
static void show_progress(unsigned done)
{
    if (!plan.terminal)
        return;
    unsigned width = 40 * done / plan.jobs;
    fprintf(stderr, "\r[%.*s%.*s] %u of %u jobs, %u at once", (int)width, "########################################",
            (int)(40 - width), "........................................", done, plan.jobs, plan.at_once);
    if (done == plan.jobs)
        fputc('\n', stderr);
}

/* Takes the outcomes as they come. Returns 0, or the first failure. */
static int collect(struct tr_group *group)
{
    struct tr_finished finished;
    unsigned done = 0, cancelled = 0;
    int failure = 0, rc;
    while ((rc = tr_group_next(group, &finished, TR_FOREVER)) == 0) {
        switch (finished.outcome.kind) {
        case TR_RETURNED:
            plan.primes += plan.found[finished.member.index];
            break;
        case TR_CANCELLED:
            cancelled++;
            break;
        case TR_FAILED:
            fprintf(stderr, "%sjob-pool: %s (%s)\n", plan.terminal ? "\n" : "", finished.outcome.text,
                    strerror(-finished.outcome.code));
            failure = failure ? failure : finished.outcome.code;
        }
        show_progress(++done);
    }
    if (cancelled > 0)
        fprintf(stderr, "job-pool: %u jobs were cancelled\n", cancelled);
    return failure ? failure : rc == -ESRCH ? 0 : rc; /* -ESRCH: no member is left; -ECANCELED: SIGINT */
}

static int run(void *argument)
{
    struct tr_group *group = NULL;
    struct tr_group_options options = { .name = "jobs", .capacity = plan.jobs, .first_error = true };
    (void)argument;
    int rc = tr_semaphore_init(&plan.slots, plan.at_once);
    if (rc == 0)
        rc = tr_group_open(&group, &options);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < plan.jobs && rc == 0; i++) {
        struct job job = { .number = i, .bound = plan.bound, .bad = i + 1 == plan.fail };
        struct tr_task_options member = { .name = "job", .argument_bytes = sizeof job };
        rc = tr_group_spawn(group, NULL, run_job, &job, &member, TR_FOREVER);
    }
    if (rc == 0)
        rc = collect(group);
    tr_group_close(group, tr_after(TR_SECOND)); /* whoever still runs is cancelled, and waited for */
    if (rc == 0)
        printf("%u jobs, %u at once: %llu primes\n", plan.jobs, plan.at_once, (unsigned long long)plan.primes);
    return rc;
}

/* ---- options ---- */

static int usage(bool asked)
{
    fprintf(asked ? stdout : stderr,
            "usage: job-pool [--jobs N] [--at-once N] [--bound N] [--fail N]\n"
            "Counts the primes below a bound (300000), in each of N jobs (100), so many at once (2).\n"
            "--fail N: the Nth job fails, and with it all that have not ended.\n");
    return asked ? 0 : 2;
}

static bool parse(const char *text, unsigned least, unsigned most, unsigned *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *out = (unsigned)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value >= least && value <= most;
}

/* What is printed is the result: it counts once it is written. */
static bool written(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    fputs("job-pool: standard output cannot be written\n", stderr);
    return false;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        bool ok = strcmp(name, "--jobs") == 0      ? parse(value, 1, 10000, &plan.jobs)
                  : strcmp(name, "--at-once") == 0 ? parse(value, 1, 1000, &plan.at_once)
                  : strcmp(name, "--bound") == 0   ? parse(value, 2, 100000000, &plan.bound)
                  : strcmp(name, "--fail") == 0    ? parse(value, 1, 10000, &plan.fail)
                                                   : false;
        if (!ok)
            return usage(strcmp(name, "--help") == 0);
    }
    plan.found = calloc(plan.jobs, sizeof *plan.found);
    if (!plan.found)
        return 1;
    plan.terminal = isatty(STDERR_FILENO);
    int rc = tr_run(NULL, run, NULL);
    free(plan.found);
    return rc != 0 || !written();
}
