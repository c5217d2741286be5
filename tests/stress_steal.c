/* SPDX-License-Identifier: MIT */
/*
 * stress_steal.c: many tasks become ready at one worker, round after round, and the others steal them while it pops.
 *
 * Oracles: no task runs in two places at once (a thief and the owner with the same entry); each ends, having made every
 * step (none was lost between them); others have stolen at all; and nobody stays a thief who has nothing to do, for that costs
 * the owner.
 */
#include "actor/scheduler.h"
#include "tests/support.h"

enum { TASKS = 240, STEPS = 200, ROUNDS = 25, WORKERS = 4, RARELY = 20000 };

struct walker {
    atomic_int inside;
    uint64_t seed;
    int steps;
};

static uint64_t rounds, steals;
static bool migrating; /* every wake goes through an inbox: there is little to steal */

static void compute(uint64_t *seed, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        test_random(seed);
}

static int walk(void *argument)
{
    struct walker *walker = argument;
    for (int i = 0; i < STEPS; i++) {
        expect_int(atomic_exchange(&walker->inside, 1), 0);
        walker->steps++;
        compute(&walker->seed, test_random(&walker->seed) % 100);
        if (test_random(&walker->seed) % RARELY == 0)
            compute(&walker->seed, 500000); /* a hog: all that waits behind it must get away */
        expect_int(atomic_exchange(&walker->inside, 0), 1);
        expect_int(tr_yield(), 0);
    }
    return 0;
}

static uint64_t count_steals(void)
{
    struct tr_counters counters;
    expect_int(tr_counters(&counters), 0);
    return counters.steals;
}

static bool any_thief(void)
{
    struct tr_runtime *runtime = tri_worker_here()->runtime;
    uint32_t thieves = 0;
    for (uint32_t i = 0; i < runtime->workers; i++)
        thieves |= tri_load(&runtime->worker[i].queue.thieves, TRI_RELAXED) & ~TRI_QUEUE_NO_BARRIER;
    return thieves != 0;
}

static void run(void)
{
    static struct walker walkers[TASKS];
    struct tr_task tasks[TASKS];
    /* How many rounds it takes until somebody else has looked is the kernel's affair. */
    for (rounds = 0; rounds < ROUNDS * test_stress() || (steals == 0 && !migrating && rounds < 1000); rounds++) {
        for (int i = 0; i < TASKS; i++) {
            walkers[i].seed = rounds * TASKS + (uint64_t)i + 1;
            walkers[i].steps = 0;
            tasks[i] = test_task(walk, &walkers[i]);
        }
        for (int i = 0; i < TASKS; i++) {
            expect_int(tr_task_join(tasks[i], NULL, tr_after(LONG_TIME)), 0);
            expect_int(walkers[i].steps, STEPS);
        }
        steals = count_steals();
    }
    expect_int(steals > 0 || migrating, 1);
    wait_until(!any_thief());
}

int main(void)
{
    struct tr_options options = test_options(WORKERS);
    if (!test_backend_here("steal"))
        return EXIT_SKIPPED;
    migrating = options.migrate_always;
    test_census_begin();
    test_run_with(&options, run);
    test_census_end();
    printf("steal: %llu tasks, %llu thefts, no error\n", (unsigned long long)rounds * TASKS,
           (unsigned long long)steals);
    return 0;
}
