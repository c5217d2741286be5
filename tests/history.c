/* SPDX-License-Identifier: MIT */
/* history.c: see history.h. */
#include "history.h"
#include "support.h"

#include <pthread.h>
#include <sched.h>

/* ---- the search ----------------------------------------------------------------------------------------------- */

enum { STATE_MOST = 256 };

struct search {
    const struct history_spec *spec;
    const struct history_op *ops;
    unsigned count;
};

/* True if no operation that is still to come had ended when this one began. */
static bool may_be_next(const struct search *search, unsigned done, unsigned which)
{
    for (unsigned i = 0; i < search->count; i++) {
        if (!(done >> i & 1) && search->ops[i].end < search->ops[which].begin)
            return false;
    }
    return true;
}

static bool explain(const struct search *search, unsigned done, const void *state)
{
    if (done == (1u << search->count) - 1)
        return true;
    for (unsigned i = 0; i < search->count; i++) {
        _Alignas(16) char next[STATE_MOST];
        if (done >> i & 1 || !may_be_next(search, done, i))
            continue;
        memcpy(next, state, search->spec->state_bytes);
        if (search->spec->step(next, &search->ops[i]) && explain(search, done | 1u << i, next))
            return true;
    }
    return false;
}

bool history_explained(const struct history_spec *spec, const struct history_op *ops, unsigned count)
{
    _Alignas(16) char state[STATE_MOST] = { 0 };
    struct search search = { spec, ops, count };
    expect(spec->state_bytes <= STATE_MOST && count <= HISTORY_MOST);
    return explain(&search, 0, state);
}

/* ---- the rounds ----------------------------------------------------------------------------------------------- */

static const struct history_spec *spec;
static void *object;
static struct history_op ops[HISTORY_MOST];
static cpu_set_t processors;
static atomic_uint started, present, finished, now; /* started: rounds; UINT_MAX: it is over */

/* Waits until *word has come to that: in its round, so that all begin at once and not each when it has noticed. */
static void spin_until(atomic_uint *word, unsigned value)
{
    for (unsigned turn = 1; atomic_load(word) < value; turn++) {
        if (turn % 1024 == 0)
            sched_yield();
    }
}

/* Spinning threads stay where they are, and may all be on one processor: each goes to another, as far as there are some. */
static void spread(unsigned thread)
{
    unsigned skip = thread % (unsigned)CPU_COUNT(&processors);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &processors) && skip-- == 0)
            CPU_SET(cpu, &one);
    }
    sched_setaffinity(0, sizeof one, &one); /* refused, it runs where it is */
}

static void perform_all(unsigned thread)
{
    atomic_fetch_add(&present, 1);
    spin_until(&present, HISTORY_THREADS);
    for (unsigned i = 0; i < HISTORY_OPS; i++) {
        struct history_op *op = &ops[thread * HISTORY_OPS + i];
        op->begin = atomic_fetch_add(&now, 1);
        spec->perform(object, op);
        op->end = atomic_fetch_add(&now, 1);
    }
}

/* A task of its own worker: it may keep the thread. */
static int participate(void *argument)
{
    unsigned thread = (unsigned)(uintptr_t)argument;
    spread(thread);
    for (unsigned round = 1;; round++) {
        spin_until(&started, round);
        if (atomic_load(&started) == UINT32_MAX)
            return 0;
        perform_all(thread);
        atomic_fetch_add(&finished, 1);
    }
}

static void print_history(void)
{
    for (unsigned i = 0; i < HISTORY_MOST; i++)
        fprintf(stderr, "  thread %u  %3u..%-3u  %-16s argument %lld  result %lld  value %lld\n", ops[i].thread,
                ops[i].begin, ops[i].end, spec->names[ops[i].kind], (long long)ops[i].argument,
                (long long)ops[i].result, (long long)ops[i].value);
}

/* True if two operations went on at once: else the history says little. */
static bool is_concurrent(void)
{
    for (unsigned i = 0; i < HISTORY_MOST; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (ops[i].begin < ops[k].end && ops[k].begin < ops[i].end)
                return true;
        }
    }
    return false;
}

static bool run_round(unsigned round, uint64_t *seed)
{
    object = spec->make();
    atomic_store(&now, 0);
    for (unsigned i = 0; i < HISTORY_MOST; i++) {
        ops[i] = (struct history_op){ .thread = (uint8_t)(i / HISTORY_OPS) };
        spec->choose(&ops[i], test_random(seed) >> 16);
    }
    atomic_store(&finished, 0);
    atomic_store(&present, 0);
    atomic_store(&started, round);
    perform_all(HISTORY_THREADS - 1);
    spin_until(&finished, HISTORY_THREADS - 1);
    if (!history_explained(spec, ops, HISTORY_MOST)) {
        print_history();
        test_fail(__FILE__, __LINE__, "%s: round %u: no order explains this", spec->name, round);
    }
    spec->destroy(object);
    return is_concurrent();
}

void history_run(const struct history_spec *of, unsigned rounds)
{
    struct tr_options options = test_options(HISTORY_THREADS - 1);
    struct tr_runtime *runtime;
    struct tr_task tasks[HISTORY_THREADS - 1];
    uint64_t seed = 88172645463325252u;
    unsigned concurrent = 0, round = 0;
    spec = of;
    atomic_store(&started, 0);
    CPU_ZERO(&processors);
    expect_int(sched_getaffinity(0, sizeof processors, &processors), 0);
    expect_int(tr_start(&runtime, &options), 0);
    for (unsigned t = 0; t < HISTORY_THREADS - 1; t++) {
        struct tr_task_options pinned = { .pin = TR_PIN((int)t), .runtime = runtime };
        expect_int(tr_task_spawn(&tasks[t], participate, (void *)(uintptr_t)t, &pinned), 0);
    }
    spread(HISTORY_THREADS - 1);
    while (concurrent < rounds && round < 4 * rounds)
        concurrent += run_round(++round, &seed);
    sched_setaffinity(0, sizeof processors, &processors);
    atomic_store(&started, UINT32_MAX);
    for (unsigned t = 0; t < HISTORY_THREADS - 1; t++)
        expect_int(tr_task_join(tasks[t], NULL, TR_FOREVER), 0);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    expect(concurrent > rounds / 100);
    printf("%s: %u concurrent histories of %d operations explained, of %u in all\n", spec->name, concurrent,
           HISTORY_MOST, round);
}
