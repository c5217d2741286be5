/* SPDX-License-Identifier: MIT */
/*
 * explore.c: every execution of a case, one after the other.
 *
 * The threads of a model are coroutines on one thread of the system. Wherever more than one thing can happen (which
 * thread steps next, which store a load reads, where a store goes) the search makes a choice and writes it down; an
 * execution is the list of its choices. Depth first: the next execution repeats the list up to the last choice that
 * has an untried alternative, and takes that.
 *
 * Bound: going to another thread although the current one could go on is a preemption. All executions with 0, then 1,
 * ... up to the bound are run (iterative context bounding), so that the failure found first has the fewest.
 *
 * States: what can follow depends on the execution graph so far (each thread's steps, what they read, the modification
 * orders), not on the interleaving that made it. The hash of that graph, with the thread that is running, is looked up
 * before each choice of a thread: if it was searched before with as many preemptions left, the execution is dropped.
 * Only atomic accesses are points where another thread may run first; fences and plain accesses act through them.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

struct engine engine;

/* ---- choices ------------------------------------------------------------------------------------------------ */

unsigned tri_explore_choose(unsigned count)
{
    if (count <= 1)
        return 0;
    if (engine.depth == engine.choice_room) {
        engine.choice_room = engine.choice_room ? 2 * engine.choice_room : 1024;
        engine.choices = realloc(engine.choices, engine.choice_room * sizeof *engine.choices);
    }
    struct choice *choice = &engine.choices[engine.depth];
    if (engine.depth >= engine.prefix) {
        *choice = (struct choice){ 0, (uint8_t)count };
    } else if (choice->count != count) {
        fprintf(stderr, "explorer: %s does not repeat itself: it depends on more than its choices\n",
                engine.test->name);
        exit(2);
    }
    engine.depth++;
    return choice->taken;
}

/* The next list of choices; false when there is none. */
static bool backtrack(void)
{
    while (engine.depth > 0) {
        struct choice *choice = &engine.choices[engine.depth - 1];
        if (choice->taken + 1 < choice->count) {
            choice->taken++;
            engine.prefix = engine.depth;
            return true;
        }
        engine.depth--;
    }
    return false;
}

/* ---- threads ------------------------------------------------------------------------------------------------ */

static ucontext_t creator;

static void run_alone(void);
static void schedule(void);

/* The base of every coroutine: an execution begins by a jump to it, wherever the last one left the stack. */
static void run_thread(void)
{
    if (_setjmp(engine.threads[engine.current].base) == 0)
        setcontext(&creator);
    if (engine.current == 0)
        run_alone();
    struct thread *thread = tri_engine_thread();
    thread->state = THREAD_READY;
    thread->fresh = true;
    thread->body();
    thread->state = THREAD_DONE;
    schedule();
}

static void make_base(unsigned index)
{
    ucontext_t context;
    if (engine.threads[index].has_base)
        return;
    getcontext(&context);
    context.uc_stack.ss_sp = tri_shadow_stack(index);
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = NULL;
    makecontext(&context, run_thread, 0);
    engine.current = index;
    swapcontext(&creator, &context);
    engine.threads[index].has_base = true;
}

static void switch_to(unsigned next)
{
    struct thread *from = tri_engine_thread();
    engine.current = next;
    if (_setjmp(from->here) == 0)
        _longjmp(tri_engine_thread()->here, 1);
}

/* Something has been stored since what a turn read, and not only by the thread itself. */
static bool has_moved(const struct read *read)
{
    const struct location *location = &engine.locations[read->location];
    unsigned newest = location->order[location->stores - 1], self = engine.stores[read->store].thread;
    return newest != read->store && (engine.stores[newest].thread != self || read->foreign);
}

bool tri_explore_is_ready(const struct thread *thread)
{
    engine.peeking = true;
    bool ready = thread->ready(thread->argument);
    engine.peeking = false;
    return ready;
}

static bool is_enabled(const struct thread *thread)
{
    switch (thread->state) {
    case THREAD_READY:
        return true;
    case THREAD_BLOCKED:
        return tri_explore_is_ready(thread);
    case THREAD_SPINS:
        for (unsigned i = 0; i < thread->last_read_count; i++)
            if (has_moved(&thread->last_reads[i]))
                return true;
        return thread->last_read_count == 0;
    case THREAD_NONE:
    case THREAD_DONE:
        break;
    }
    return false;
}

/* Nobody can go on: either the end, or a deadlock. */
static void end_threads(void)
{
    char who[160] = "";
    for (unsigned i = 1; i < engine.thread_count; i++) {
        const struct thread *thread = &engine.threads[i];
        if (thread->state != THREAD_DONE && !thread->daemon)
            snprintf(who + strlen(who), sizeof who - strlen(who), " %s (%s)", thread->name,
                     thread->state == THREAD_SPINS ? "spins" : "blocked");
    }
    if (*who)
        tri_report_fail("deadlock:%s", who);
    if (engine.current != 0)
        switch_to(0);
}

#define SLEEP_FACTOR UINT64_C(0xa0761d6478bd642f)

/* The threads that sleep, as bits. */
static unsigned sleepers(void)
{
    unsigned set = 0;
    for (unsigned i = 1; i < engine.thread_count; i++)
        set |= (unsigned)engine.threads[i].asleep << i;
    return set;
}

/* This state, with no more threads asleep than now: what is left out there is left out here, too. */
static bool was_searched(bool can_stay)
{
    unsigned left = engine.bound == UNBOUNDED ? UNBOUNDED : engine.bound - engine.preemptions;
    unsigned asleep = sleepers();
    uint64_t state = tri_engine_mix(engine.hash, can_stay ? engine.current : 0);
    for (unsigned some = asleep; some > 0;) {
        some = (some - 1) & asleep;
        if (tri_states_holds(state + some * SLEEP_FACTOR, left, engine.stale_left))
            return true;
    }
    return tri_states_seen(state + asleep * SLEEP_FACTOR, left, engine.stale_left);
}

/* Which thread goes on. Returns when it is the caller again. */
static void schedule(void)
{
    unsigned self = engine.current, options[THREADS], count = 0;
    struct thread *thread = tri_engine_thread();
    bool can_stay = thread->state == THREAD_READY;
    if (can_stay)
        options[count++] = self;
    if (!can_stay || engine.bound == UNBOUNDED || engine.preemptions < engine.bound)
        for (unsigned i = 1; i < engine.thread_count; i++)
            if (i != self && !engine.threads[i].asleep && is_enabled(&engine.threads[i]))
                options[count++] = i;
    if (!can_stay && self != 0 && is_enabled(thread))
        options[count++] = self;
    if (count == 0) {
        if (sleepers() != 0)
            tri_explore_leave(LEAVE_PRUNED);
        end_threads();
        return;
    }
    if (!engine.options.no_cache && !engine.tracing && engine.depth >= engine.prefix && was_searched(can_stay))
        tri_explore_leave(LEAVE_PRUNED);
    unsigned next = options[tri_explore_choose(count)];
    if (next == self)
        return;
    if (can_stay)
        engine.preemptions++;
    thread->asleep = can_stay && thread->has_next && !engine.options.no_reduction;
    switch_to(next);
}

/* Thread 0 of every execution. */
static void run_alone(void)
{
    struct thread *thread = tri_engine_thread();
    const struct model_case *test = engine.test;
    engine.alone = true;
    bool tracing = engine.tracing;
    engine.tracing = tracing && engine.options.verbose;
    if (test->setup)
        test->setup();
    engine.tracing = tracing;
    thread->now.at[0]++;
    for (unsigned i = 0; i < MODEL_THREADS && test->threads[i].body; i++) {
        struct thread *other = &engine.threads[i + 1];
        other->name = test->threads[i].name;
        other->body = test->threads[i].body;
        other->daemon = test->threads[i].daemon;
        other->ready = test->threads[i].ready;
        other->argument = test->threads[i].argument;
        other->state = other->ready ? THREAD_BLOCKED : THREAD_READY;
        other->now = thread->now;
        other->now.at[i + 1] = 1;
        memcpy(&other->here, &other->base, sizeof other->here);
        engine.thread_count++;
    }
    thread->now.at[0]++;
    engine.alone = false;
    thread->state = THREAD_NONE;
    schedule();
    engine.alone = true;
    thread->state = THREAD_READY;
    for (unsigned i = 1; i < engine.thread_count; i++)
        tri_clock_join(&thread->now, &engine.threads[i].now);
    if (test->check)
        test->check();
    tri_explore_leave(LEAVE_DONE);
}

void tri_explore_point(const volatile void *object, bool writes)
{
    struct thread *thread = tri_engine_thread();
    if (engine.alone || (object && !tri_explore_is_shared(object)))
        return;
    if (!thread->fresh) {
        thread->has_next = object;
        thread->next = object;
        thread->next_writes = writes;
        schedule();
    }
    thread->fresh = false;
    thread->asleep = false;
}

void tri_explore_made(const volatile void *object, bool writes)
{
    for (unsigned i = 1; i < engine.thread_count; i++) {
        struct thread *thread = &engine.threads[i];
        thread->asleep &= object && (thread->next != object || (!writes && !thread->next_writes));
    }
}

/* What is shared counts from the next search on: within one, the choices must not change. */
enum { NOTE_SHARED = 1, NOTE_FOUND = 2 };
static uint8_t *found[1024];
static unsigned found_count;

bool tri_explore_is_shared(const volatile void *object)
{
    const uint8_t *note = tri_shadow_note(object);
    return engine.options.no_reduction || !note || (*note & NOTE_SHARED);
}

void tri_explore_share(const volatile void *object)
{
    uint8_t *note = tri_shadow_note(object);
    if (!note || *note)
        return;
    if (found_count == sizeof found / sizeof *found)
        tri_report_fail("threads share more than %u locations", found_count);
    *note = NOTE_FOUND;
    found[found_count++] = note;
    engine.found = true;
}

static void share_found(void)
{
    while (found_count > 0)
        *found[--found_count] = NOTE_SHARED;
}

void tri_explore_wait_as(enum thread_state state)
{
    struct thread *thread = tri_engine_thread();
    thread->state = state;
    schedule();
    thread->state = THREAD_READY;
    thread->fresh = true;
}

/*
 * A turn of a spin that read the very same stores as the turn before, and did nothing else, leads nowhere: the execution
 * in which the thread waited a while longer is searched anyway. A turn that also wrote is cut when it does the very same
 * for the third time: fairness, since a thread may read what is old again, but not for ever.
 */
void tri_explore_spin(void)
{
    struct thread *thread = tri_engine_thread();
    if (engine.alone)
        tri_report_fail("%s spins although nobody else runs", engine.threads[0].name);
    if (!thread->impure && thread->read_count > 0 && thread->read_count == thread->last_read_count &&
        memcmp(thread->reads, thread->last_reads, thread->read_count * sizeof *thread->reads) == 0)
        tri_explore_leave(LEAVE_PRUNED);
    thread->repeats = thread->turn == thread->last_turn ? thread->repeats + 1 : 0;
    if (thread->repeats > 1)
        tri_explore_leave(LEAVE_PRUNED);
    thread->last_turn = thread->turn;
    thread->turn = 0;
    memcpy(thread->last_reads, thread->reads, sizeof thread->reads);
    thread->last_read_count = thread->read_count;
    thread->read_count = 0;
    thread->impure = false;
    tri_explore_wait_as(THREAD_SPINS);
}

/* ---- the search --------------------------------------------------------------------------------------------- */

void tri_explore_leave(int why)
{
    _longjmp(engine.leave, why);
}

/* The model went where there is nothing: as a use of freed memory, a failure like any other. */
static void note_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    if (!engine.running) {
        signal(SIGSEGV, SIG_DFL);
        return;
    }
    tri_report_fail("a fault at %p", info->si_addr);
}

static void catch_faults(void)
{
    static char stack[32 << 10];
    stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction action = { .sa_sigaction = note_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
}

static int run_execution(void)
{
    engine.run++;
    engine.depth = 0;
    engine.preemptions = 0;
    engine.stale_left = engine.options.stale;
    engine.hash = 0;
    engine.steps = engine.operations = engine.stamps = 0;
    engine.thread_count = 1;
    engine.current = 0;
    engine.peeking = engine.looks = false;
    tri_memory_reset();
    tri_shadow_reset();
    for (unsigned i = 0; i < THREADS; i++) {
        struct thread *thread = &engine.threads[i];
        thread->now = thread->released = thread->acquirable = (struct clock){ 0 };
        thread->read_count = thread->last_read_count = thread->repeats = thread->pauses = 0;
        thread->turn = thread->last_turn = 0;
        thread->impure = thread->fresh = thread->asleep = thread->newest = false;
        thread->state = THREAD_NONE;
    }
    engine.threads[0].name = "main";
    engine.threads[0].now.at[0] = 1;
    engine.threads[0].state = THREAD_READY;
    int why = _setjmp(engine.leave);
    engine.running = why == 0;
    if (why == 0)
        _longjmp(engine.threads[0].base, 1);
    return why;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* All executions within engine.bound. Returns false to stop: a failure, or a cap. */
static bool search(double start)
{
    struct outcome *outcome = &engine.outcome;
    engine.prefix = 0;
    do {
        int why = run_execution();
        outcome->steps += engine.operations;
        if (engine.thread_count > outcome->threads + 1)
            outcome->threads = engine.thread_count - 1;
        if (engine.operations > outcome->most_operations)
            outcome->most_operations = engine.operations;
        if (why == LEAVE_FAILED) {
            outcome->failures++;
            outcome->preemptions = engine.preemptions;
            outcome->executions++;
            return false;
        }
        outcome->executions += why == LEAVE_DONE;
        outcome->distinct += why == LEAVE_DONE && tri_states_is_new_end(engine.hash);
        outcome->pruned += why == LEAVE_PRUNED;
        uint64_t runs = outcome->executions + outcome->pruned;
        if (runs >= engine.options.most_executions)
            return false;
        if (runs % 256 == 0 && seconds_now() - start > engine.options.most_seconds)
            return false;
        if (engine.found)
            return true;
    } while (backtrack());
    return true;
}

/* All executions with few preemptions, then with more. True if something shared was found, and the search is to begin anew. */
static bool search_bounds(double start)
{
    unsigned last = engine.options.bound;
    engine.outcome = (struct outcome){ .exhausted = true };
    engine.found = false;
    tri_states_forget();
    for (engine.bound = last == UNBOUNDED ? UNBOUNDED : 0; engine.bound <= last; engine.bound++) {
        engine.outcome.bound = engine.bound;
        engine.outcome.exhausted = search(start);
        if (!engine.outcome.exhausted)
            return false;
        if (engine.found)
            return true;
    }
    return false;
}

/* The failing execution once more, printed. */
static void show_failure(void)
{
    printf("    %s, the interleaving:\n", engine.test->name);
    engine.prefix = engine.depth;
    engine.tracing = true;
    run_execution();
    engine.tracing = false;
    fflush(stdout);
}

void tri_explore(const struct model *model, const struct model_case *test, const struct options *options)
{
    double start = seconds_now();
    engine.model = model;
    engine.test = test;
    engine.options = *options;
    if (!options->stale_given)
        engine.options.stale = test->stale > model->stale ? test->stale : model->stale;
    engine.outcome = (struct outcome){ 0 };
    for (unsigned i = 0; i < THREADS; i++)
        make_base(i);
    catch_faults();
    tri_shadow_forget();
    found_count = 0;
    while (search_bounds(start))
        share_found();
    engine.outcome.seconds = seconds_now() - start;
    if (engine.outcome.failures && !options->quiet && (!test->fails || options->verbose))
        show_failure();
}
