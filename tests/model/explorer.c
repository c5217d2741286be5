/* SPDX-License-Identifier: MIT */
/*
 * explorer.c: the command line. Runs the cases of the models named, each to the end of the search or to a cap that is
 * said loudly, and then, if asked, once more for every memory order weakened by one step.
 *
 * A mutant is an order of one site, one step weaker. It is caught if some case of some model given fails under it. One
 * that survives says that the models are too weak, or the order too strong: the exit status is 1 until one is mended.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <dirent.h>
#include <dlfcn.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MUTANTS_LIMIT = 1024, CASES_LIMIT = 64, JOBS_LIMIT = 64 };

struct mutant {
    char name[200];
    const char *kept; /* why it stays although nothing here catches it */
    bool reached, caught, capped;
};

/* A mutant as one model has it: the same line of a header can be a site of several. */
struct trial {
    struct mutant *mutant;
    uint16_t site;
    uint8_t order;
    bool failure, removed;
};

/* Orders that C11 asks for, where the explorer cannot see why. */
static const struct {
    const char *file, *function, *text, *why;
} kept_orders[] = {
    { "queue.h", "tri_queue_push", "&queue->head",
      "without it a thief's copy, made before its CAS, may be of the store that follows: load buffering" },
    { "queue.h", "tri_queue_steal", "&own->head",
      "without it an entry could be written before another thief's copy of it, made before its CAS: load buffering" },
    { "wait.c", "tri_wait", "&waiter.state",
      "who leaves orders it again: by the thing's lock, or by a look of its own" },
    { "clock.c", "tri_clock_read", "fence", "it orders a look at the real clock, which is no memory" },
    { "clock.c", "tri_clock_renew", "fence", "it orders a look at the real clock, which is no memory" },
    { "clock.c", "tr_clock_pause", "fence", "it orders a look at the real clock, which is no memory" },
};

/* What the processes that try the mutants of a model share. */
static struct shared {
    struct mutant mutants[MUTANTS_LIMIT];
    atomic_uint next;           /* the trial that nobody has taken yet */
    unsigned taken[JOBS_LIMIT]; /* by each of them, last */
} * shared;
static unsigned mutant_count, jobs;
static char directory[4000];
static struct options options = { .bound = 2, .stale = UNBOUNDED, .most_executions = UINT64_MAX, .most_seconds = 1e18 };
static unsigned wrong, capped;

static void set_orders(const struct model *model)
{
    unsigned count = (unsigned)(model->sites_end - model->sites);
    if (count > SITE_LIMIT) {
        fprintf(stderr, "explorer: %u sites, more than %d\n", count, SITE_LIMIT);
        exit(2);
    }
    for (unsigned i = 0; i < count; i++) {
        engine.order[i] = model->sites[i].order;
        engine.failure[i] = model->sites[i].failure;
        engine.removed[i] = false;
    }
}

static void print_count(uint64_t count)
{
    if (count >= 1000000)
        printf("%llu,%03llu,%03llu", (unsigned long long)count / 1000000, (unsigned long long)count / 1000 % 1000,
               (unsigned long long)count % 1000);
    else if (count >= 1000)
        printf("%llu,%03llu", (unsigned long long)count / 1000, (unsigned long long)count % 1000);
    else
        printf("%llu", (unsigned long long)count);
}

static const char *say_bounds(const struct outcome *outcome)
{
    static char text[120];
    int used = 0;
    if (!outcome->exhausted)
        used = snprintf(text, sizeof text, "*** NOT EXHAUSTED: stopped by a cap *** at bound %u", outcome->bound);
    else if (options.bound == UNBOUNDED)
        used = snprintf(text, sizeof text, "exhausted without bound");
    else
        used = snprintf(text, sizeof text, "exhausted at bound %u", outcome->bound);
    if (engine.options.stale != UNBOUNDED)
        snprintf(text + used, sizeof text - (size_t)used, ", %u stale reads", engine.options.stale);
    return text;
}

/* One line per case. */
static void report_case(const struct model_case *test)
{
    const struct outcome *outcome = &engine.outcome;
    bool failed = outcome->failures > 0;
    printf("  %-44s %u threads, up to %u operations, ", test->name, outcome->threads, outcome->most_operations);
    print_count(outcome->executions);
    printf(" executions (");
    print_count(outcome->distinct);
    printf(" distinct, ");
    print_count(outcome->pruned);
    printf(" cut), %.2f s, ", outcome->seconds);
    if (failed)
        printf("%s with %u preemptions: %s\n", test->fails ? "outcome found, as it should be," : "FAILS",
               outcome->preemptions, outcome->reason);
    else
        printf("%s%s\n", say_bounds(outcome), test->fails ? ": FAILS, the outcome was not found" : "");
    if (!failed && !outcome->exhausted)
        capped++;
    else if (failed != test->fails)
        wrong++;
    fflush(stdout);
}

/* ---- mutants ------------------------------------------------------------------------------------------------ */

/*
 * The orders one step weaker than `order` for an operation of this kind. Returns how many. `least`: of a compare-and-swap
 * that acquires when it fails, the order of success cannot be relaxed: C11 has no such operation.
 */
static unsigned weaken(unsigned kind, bool failure, unsigned order, unsigned least, unsigned weaker[2])
{
    switch (order) {
    case TRI_SEQ_CST:
        weaker[0] = kind == MODEL_LOAD || failure ? TRI_ACQUIRE : kind == MODEL_STORE ? TRI_RELEASE : TRI_ACQ_REL;
        return 1;
    case TRI_ACQ_REL:
        weaker[0] = TRI_ACQUIRE;
        weaker[1] = TRI_RELEASE;
        return least > TRI_RELAXED ? 1 : 2;
    case TRI_ACQUIRE:
    case TRI_RELEASE:
        weaker[0] = TRI_RELAXED;
        return least > TRI_RELAXED ? 0 : 1;
    default:
        return 0;
    }
}

static struct mutant *find_mutant(const char *name)
{
    for (unsigned i = 0; i < mutant_count; i++)
        if (strcmp(shared->mutants[i].name, name) == 0)
            return &shared->mutants[i];
    if (mutant_count == MUTANTS_LIMIT)
        abort();
    struct mutant *mutant = &shared->mutants[mutant_count++];
    snprintf(mutant->name, sizeof mutant->name, "%s", name);
    return mutant;
}

static const char *find_kept(const struct model_site *site)
{
    for (size_t i = 0; i < sizeof kept_orders / sizeof *kept_orders; i++)
        if (strcmp(kept_orders[i].file, tri_report_file(site->file)) == 0 &&
            strcmp(kept_orders[i].function, site->function) == 0 && strcmp(kept_orders[i].text, site->text) == 0)
            return kept_orders[i].why;
    return NULL;
}

static bool is_own(const struct model_site *site)
{
    const char *file = tri_report_file(site->file);
    return strncmp(file, "model_", 6) == 0 || strncmp(file, "fake_", 5) == 0;
}

/* Several sites can stand on one line. */
static unsigned place_on_line(const struct model *model, const struct model_site *site)
{
    unsigned place = 1;
    for (const struct model_site *other = model->sites; other < model->sites_end; other++)
        place += other < site && other->line == site->line && strcmp(other->file, site->file) == 0;
    return place;
}

static void run_mutant(const struct model *model, struct mutant *mutant, unsigned site, const bool *reached,
                       const char *only)
{
    for (unsigned c = 0; model->cases[c].name && !mutant->caught; c++) {
        const struct model_case *test = &model->cases[c];
        if (!reached[c * SITE_LIMIT + site] || test->fails || test->skip_mutants)
            continue;
        if (only && strcmp(only, test->name) != 0)
            continue;
        struct options quiet = options;
        quiet.quiet = true;
        mutant->reached = true;
        tri_explore(model, test, &quiet);
        mutant->capped |= !engine.outcome.exhausted && !engine.outcome.failures;
        if (!engine.outcome.failures)
            continue;
        mutant->caught = true;
        if (options.verbose)
            printf("    caught    %s by %s: %s\n", mutant->name, test->name, engine.outcome.reason);
        fflush(stdout);
    }
}

/* Reached only where failing is right. */
static bool is_aside(const struct model *model, const bool *reached, unsigned site)
{
    bool any = false;
    for (unsigned c = 0; model->cases[c].name; c++)
        if (reached[c * SITE_LIMIT + site]) {
            any = true;
            if (!model->cases[c].fails && !model->cases[c].skip_mutants)
                return false;
        }
    return any;
}

/* The trials of a model: every site, weakened by one step, unless another model has caught that. Returns how many. */
static unsigned list_trials(const struct model *model, const bool *reached, struct trial *trials)
{
    unsigned listed = 0;
    bool own = false;
    for (unsigned c = 0; model->cases[c].name; c++)
        own |= model->cases[c].mutate_own;
    for (const struct model_site *site = model->sites; site < model->sites_end; site++) {
        unsigned index = (unsigned)(site - model->sites);
        if ((is_own(site) && !own) || is_aside(model, reached, index))
            continue;
        for (unsigned failure = 0; failure <= (site->kind == MODEL_CAS); failure++) {
            unsigned weaker[2], order = failure ? site->failure : site->order;
            unsigned least = failure ? TRI_RELAXED : site->failure;
            unsigned count = weaken(site->kind, failure, order, least, weaker);
            for (unsigned i = 0; i < count; i++) {
                char name[sizeof shared->mutants[0].name];
                bool removed = site->kind == MODEL_FENCE && weaker[i] == TRI_RELAXED;
                snprintf(name, sizeof name, "%s:%u %s #%u %s%s -> %s", tri_report_file(site->file), site->line,
                         site->text, place_on_line(model, site), failure ? "on failure " : "", tri_report_order(order),
                         removed ? "removed" : tri_report_order(weaker[i]));
                struct mutant *mutant = find_mutant(name);
                mutant->kept = find_kept(site);
                if (!mutant->caught)
                    trials[listed++] = (struct trial){ .mutant = mutant,
                                                       .site = (uint16_t)index,
                                                       .order = (uint8_t)weaker[i],
                                                       .failure = failure,
                                                       .removed = removed };
            }
        }
    }
    return listed;
}

/* Each job is a process that takes one trial after the other. */
static void run_trials(const struct model *model, const struct trial *trials, unsigned count, const bool *reached,
                       const char *only)
{
    pid_t children[JOBS_LIMIT];
    atomic_store(&shared->next, 0);
    fflush(stdout);
    for (unsigned job = 0; job < jobs; job++) {
        children[job] = fork();
        if (children[job] < 0) {
            perror("explorer: fork");
            exit(2);
        }
        if (children[job] > 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody searches for an explorer that has gone */
        while ((shared->taken[job] = atomic_fetch_add(&shared->next, 1)) < count) {
            const struct trial *trial = &trials[shared->taken[job]];
            set_orders(model);
            *(trial->failure ? &engine.failure[trial->site] : &engine.order[trial->site]) = trial->order;
            engine.removed[trial->site] = trial->removed;
            run_mutant(model, trial->mutant, trial->site, reached, only);
        }
        _exit(0);
    }
    bool broken = false;
    for (unsigned job = 0; job < jobs; job++) {
        int status;
        if (waitpid(children[job], &status, 0) == children[job] && status == 0)
            continue;
        fprintf(stderr, "explorer: the search for %s ended with wait status %#x\n",
                shared->taken[job] < count ? trials[shared->taken[job]].mutant->name : "nothing", (unsigned)status);
        broken = true;
    }
    if (broken)
        exit(2);
}

static void run_mutants(const struct model *model, const bool *reached, const char *only)
{
    static struct trial trials[SITE_LIMIT * 4];
    run_trials(model, trials, list_trials(model, reached, trials), reached, only);
}

static void report_mutants(void)
{
    unsigned caught = 0, survived = 0, unreached = 0, kept = 0;
    for (unsigned i = 0; i < mutant_count; i++) {
        const struct mutant *mutant = &shared->mutants[i];
        caught += mutant->caught;
        unreached += !mutant->reached;
        if (mutant->caught)
            continue;
        bool keep = mutant->reached && mutant->kept;
        kept += keep;
        survived += mutant->reached && !keep;
        printf("  %s  %s%s%s%s\n",
               keep              ? "kept       "
               : mutant->reached ? "SURVIVED   "
                                 : "not reached",
               mutant->name, mutant->capped ? " (NOT EXHAUSTED)" : "", keep ? ": " : "", keep ? mutant->kept : "");
    }
    printf("mutants: %u caught, %u SURVIVED, %u kept for a reason, %u at sites that no case reaches\n", caught,
           survived, kept, unreached);
    wrong += survived;
}

/* ---- models ------------------------------------------------------------------------------------------------- */

static void run_model(const char *argument)
{
    char path[4400], name[200];
    snprintf(name, sizeof name, "%s", argument);
    char *only = strchr(name, ':');
    if (only)
        *only++ = 0;
    snprintf(path, sizeof path, "%s/model_%s.so", directory, name);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct model *model = handle ? dlsym(handle, "tri_model") : NULL;
    if (!model) {
        fprintf(stderr, "explorer: %s\n", dlerror());
        exit(2);
    }
    printf("%s\n", name);
    tri_shadow_open((const void *)(uintptr_t)model->cases);
    set_orders(model);
    bool *reached = calloc((size_t)CASES_LIMIT * SITE_LIMIT, sizeof *reached);
    bool ran = false;
    struct options whole = options;
    if (options.mutants) /* the time is for each of them */
        whole.most_seconds = 1e18;
    for (unsigned c = 0; model->cases[c].name && c < CASES_LIMIT; c++) {
        if (only && strcmp(only, model->cases[c].name) != 0)
            continue;
        ran = true;
        memset(engine.reached, 0, sizeof engine.reached);
        tri_explore(model, &model->cases[c], &whole);
        report_case(&model->cases[c]);
        memcpy(reached + (size_t)c * SITE_LIMIT, engine.reached, sizeof engine.reached);
    }
    if (!ran) {
        fprintf(stderr, "explorer: %s has no case \"%s\"\n", name, only);
        exit(2);
    }
    if (options.mutants && wrong == 0)
        run_mutants(model, reached, only);
    else if (options.mutants)
        printf("  no mutants are run: the model itself must pass first\n");
    free(reached);
    tri_shadow_close();
    dlclose(handle);
}

static void list_models(void)
{
    DIR *entries = opendir(directory);
    struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        size_t length = strlen(entry->d_name);
        if (strncmp(entry->d_name, "model_", 6) == 0 && length > 9 && strcmp(entry->d_name + length - 3, ".so") == 0)
            printf("%.*s\n", (int)length - 9, entry->d_name + 6);
    }
    if (entries)
        closedir(entries);
}

static void print_help(void)
{
    puts(
        "usage: explorer [OPTION...] MODEL[:CASE]...\n"
        "Runs every execution of each case on the C11 memory model.\n"
        "  --bound N            preemptions per execution, 0 to 6, or \"none\" for no bound; default 2\n"
        "  --stale N            reads of a store that is not the newest per execution, likewise; default: the model's\n"
        "  --mutants            then again for every memory order weakened by one step\n"
        "  --jobs N             so many of them side by side, 1 to 64; default: as there are processors\n"
        "  --max-executions N   stop a search after so many (then it is NOT exhausted)\n"
        "  --max-seconds S      stop a search after so much processor time (likewise); with --mutants: a search for a mutant\n"
        "  --no-states          do not cut executions at states seen before (to check the explorer itself)\n"
        "  --no-reduction       let other threads run before every step, also before private ones (likewise)\n"
        "  --verbose            print also expected failures, and which case catches each mutant\n"
        "  --list               print the models there are\n"
        "Exit status: 0 all is as it should be, 1 a failure or a surviving mutant, 2 wrong use, 3 not exhausted.");
}

static unsigned parse_bound(const char *text)
{
    char *end;
    if (strcmp(text, "none") == 0)
        return UNBOUNDED;
    unsigned long bound = strtoul(text, &end, 10);
    if (*end || end == text || bound >= UNBOUNDED) {
        fprintf(stderr, "explorer: a bound is 0 to %d, or none\n", UNBOUNDED - 1);
        exit(2);
    }
    return (unsigned)bound;
}

static unsigned parse_jobs(const char *text)
{
    char *end;
    unsigned long count = strtoul(text, &end, 10);
    if (*end || end == text || count < 1 || count > JOBS_LIMIT) {
        fprintf(stderr, "explorer: jobs are 1 to %d\n", JOBS_LIMIT);
        exit(2);
    }
    return (unsigned)count;
}

static void parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        { "bound", required_argument, NULL, 'b' },
        { "mutants", no_argument, NULL, 'm' },
        { "jobs", required_argument, NULL, 'j' },
        { "max-executions", required_argument, NULL, 'e' },
        { "max-seconds", required_argument, NULL, 's' },
        { "no-states", no_argument, NULL, 'n' },
        { "no-reduction", no_argument, NULL, 'r' },
        { "verbose", no_argument, NULL, 'v' },
        { "stale", required_argument, NULL, 'o' },
        { "list", no_argument, NULL, 'l' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'b':
            options.bound = parse_bound(optarg);
            break;
        case 'o':
            options.stale = parse_bound(optarg);
            options.stale_given = true;
            break;
        case 'm':
            options.mutants = true;
            break;
        case 'j':
            jobs = parse_jobs(optarg);
            break;
        case 'e':
            options.most_executions = strtoull(optarg, NULL, 10);
            break;
        case 's':
            options.most_seconds = strtod(optarg, NULL);
            break;
        case 'n':
            options.no_cache = true;
            break;
        case 'r':
            options.no_reduction = true;
            break;
        case 'v':
            options.verbose = true;
            break;
        case 'l':
            list_models();
            exit(0);
        case 'h':
            print_help();
            exit(0);
        default:
            print_help();
            exit(2);
        }
    }
    if (optind == argc) {
        print_help();
        exit(2);
    }
}

int main(int argc, char **argv)
{
    ssize_t length = readlink("/proc/self/exe", directory, sizeof directory - 1);
    directory[length > 0 ? length : 0] = 0;
    *strrchr(directory, '/') = 0;
    parse_options(argc, argv);
    if (jobs == 0)
        jobs = get_nprocs() < JOBS_LIMIT ? (unsigned)get_nprocs() : JOBS_LIMIT;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("explorer: mmap");
        return 2;
    }
    for (int i = optind; i < argc; i++)
        run_model(argv[i]);
    if (options.mutants)
        report_mutants();
    return wrong ? 1 : capped ? 3 : 0;
}
