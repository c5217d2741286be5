/* SPDX-License-Identifier: MIT */
/*
 * engine.h: what the parts of the explorer share. One execution at a time, all of it in one struct.
 *
 *   explore.c   model threads as coroutines, and the depth-first search over choices
 *   calls.c     what a model asks for: to wait, to choose, to look
 *   states.c    the table of states seen
 *   memory.c    store histories, happens-before, what an operation may read, where a store may go
 *   order.c     the order S of the sequentially consistent operations, as constraints that must stay acyclic
 *   shadow.c    plain memory: races, use after free
 *   library.c   the library calls that the protocols make
 *   report.c    failures and the printed interleaving
 *   explorer.c  the command line and the mutants
 */
#ifndef MODEL_ENGINE_H
#define MODEL_ENGINE_H

#include <setjmp.h>
#include <stdio.h>

#include "model.h"

enum {
    THREADS = MODEL_THREADS + 1, /* 0 runs setup and check */
    STACK_BYTES = 64 << 10,
    ARENA_BYTES = 1 << 20,
    STEP_LIMIT = 2000,
    READS_LIMIT = 64,
    FREE_PAUSES = 2,
    SITE_LIMIT = 512,
    UNBOUNDED = MODEL_UNLIMITED,
};

/* clock.at[t]: the steps of thread t that happened before. */
typedef uint16_t epochs __attribute__((vector_size(2 * THREADS)));
struct clock {
    union {
        uint16_t at[THREADS];
        epochs all;
    };
};

/* A set of sequentially consistent events of one execution. */
#define SC_LIMIT 128
typedef unsigned __int128 sc_set;

struct store {
    uint64_t value;
    const struct model_site *site; /* NULL: a plain write or the first value */
    struct clock message;          /* what an acquire of it learns */
    uint64_t key;
    uint16_t thread, epoch;
    uint16_t from; /* index of the store that this read-modify-write read; itself otherwise */
    bool rmw;
};

/* One read or write of a location, for coherence and for S. */
struct access {
    sc_set before, after; /* SC events that S puts before what follows it in coherence, and after it */
    uint16_t thread, epoch, store;
    bool writes;
};

struct location {
    const volatile void *address;
    unsigned bytes;
    uint16_t *order; /* the modification order: indices of stores */
    struct access *accesses;
    uint32_t stores, store_room, access_count, access_room;
    uint8_t user;       /* the thread that used it first, 0: only setup has */
    bool many, written; /* threads: more than one has used it, some have written */
    bool uniform;       /* all its bytes have the same history of plain accesses */
    bool plain_write;   /* memory holds the plain write of this thread and epoch, not yet in the history */
    uint16_t plain_thread, plain_epoch;
};

enum thread_state { THREAD_NONE, THREAD_READY, THREAD_BLOCKED, THREAD_SPINS, THREAD_DONE };

/* What a thread has read since its last turn of a spin. */
struct read {
    uint16_t location, store;
    uint16_t foreign; /* the store is another thread's */
};

struct thread {
    const char *name;
    void (*body)(void);
    bool daemon;
    enum thread_state state;
    struct clock now, released, acquirable; /* released: at the last release fence; acquirable: for an acquire fence */
    bool (*ready)(const void *argument);
    const void *argument;
    struct read reads[READS_LIMIT], last_reads[READS_LIMIT];
    uint16_t read_count, last_read_count, repeats, pauses;
    uint64_t turn, last_turn;   /* hash of what the turn did, by values */
    bool impure;                /* has done more than read since the last turn */
    bool newest;                /* its next step reads the newest store */
    bool fresh;                 /* was just chosen: its next step needs no choice */
    bool asleep;                /* was preempted, and nothing since conflicts with its next step */
    bool has_next, next_writes; /* that step, while it is asleep */
    const volatile void *next;
    bool has_base;
    jmp_buf base, here;
};

struct choice {
    uint8_t taken, count;
};

struct options {
    unsigned bound, stale; /* UNBOUNDED, or how many preemptions, and how many reads of what is not the newest */
    bool stale_given;
    uint64_t most_executions;
    double most_seconds;
    bool no_cache, no_reduction, verbose, mutants, quiet;
};

/* What one search found. */
struct outcome {
    uint64_t executions, distinct, pruned, steps, failures;
    unsigned threads, most_operations, bound, preemptions;
    double seconds;
    bool exhausted;
    unsigned restarts;
    char reason[240];
};

struct engine {
    const struct model *model;
    const struct model_case *test;
    struct options options;
    struct outcome outcome;
    /* the search */
    struct choice *choices;
    uint32_t depth, prefix, choice_room;
    uint32_t run; /* number of the execution: stamps what is stale from earlier ones */
    bool found;   /* a location is shared that was taken for private: search again */
    unsigned bound;
    bool tracing;
    jmp_buf leave;
    /* the execution */
    struct thread threads[THREADS];
    unsigned current, thread_count, preemptions, stale_left;
    bool running; /* an execution is under way */
    bool alone;   /* setup or check: nobody else runs */
    bool peeking; /* outside of the model: plain accesses do not count */
    bool looks;   /* a condition is looked at by the thread that waited for it */
    uint64_t hash;
    uint32_t steps, operations, stamps;
    struct store stores[STEP_LIMIT * 2];
    uint32_t store_count;
    struct location *locations;
    uint32_t location_count, location_room;
    /* sites, by index */
    uint8_t order[SITE_LIMIT], failure[SITE_LIMIT];
    bool removed[SITE_LIMIT], reached[SITE_LIMIT];
};

extern struct engine engine;

/* Runs a case as far as the options say; engine.outcome holds what was found. */
void tri_explore(const struct model *model, const struct model_case *test, const struct options *options);

static inline struct thread *tri_engine_thread(void)
{
    return &engine.threads[engine.current];
}

static inline uint64_t tri_engine_mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * UINT64_C(0x9e3779b97f4a7c15) ^ (b + UINT64_C(0xd1b54a32d192ed03));
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ x >> 32;
}

/* A clock knows an event if the event happened before it. */
static inline bool tri_clock_knows(const struct clock *clock, unsigned thread, unsigned epoch)
{
    return clock->at[thread] >= epoch;
}

static inline void tri_clock_join(struct clock *into, const struct clock *from)
{
    epochs newer = (epochs)(from->all > into->all);
    into->all = (newer & from->all) | (~newer & into->all);
}

/* explore.c */
unsigned tri_explore_choose(unsigned count);
/* Before a step at a location (NULL: one that depends on everything): another thread may run first. */
void tri_explore_point(const volatile void *object, bool writes);
/* The step is made: whoever sleeps before one that conflicts with it wakes. */
void tri_explore_made(const volatile void *object, bool writes);
/* Threads share the location at this address. */
void tri_explore_share(const volatile void *object);
bool tri_explore_is_shared(const volatile void *object);
void tri_explore_spin(void);
/* Gives way until the thread, in this state, is chosen again. */
void tri_explore_wait_as(enum thread_state state);
/* Is what a blocked thread waits for true? */
bool tri_explore_is_ready(const struct thread *thread);
_Noreturn void tri_explore_leave(int why);
enum { LEAVE_DONE = 1, LEAVE_PRUNED, LEAVE_FAILED };

/* states.c */
void tri_states_forget(void);
/* True if the state was searched before with at least as much left of both bounds; remembers it otherwise. */
bool tri_states_seen(uint64_t state, unsigned left, unsigned stale);
/* The same, without remembering. */
bool tri_states_holds(uint64_t state, unsigned left, unsigned stale);
/* True if no complete execution before had this graph. */
bool tri_states_is_new_end(uint64_t state);

/* memory.c */
void tri_memory_reset(void);
/* membarrier(2): every thread passes a full fence between two of the caller's. */
void tri_memory_barrier(void);
/* The current thread reads nothing any more that is not the newest now. */
void tri_memory_catch_up(void);
void tri_memory_check_plain(unsigned location, bool writes, const void *pc, const volatile void *address);

/* order.c */
void tri_order_reset(void);
bool tri_order_any(void);
/* The new access of the current thread at `rank` of the location: may it be there? `sc`: it is itself in S. */
bool tri_order_allows(const struct location *location, unsigned rank, bool writes, bool sc, const struct clock *before);
void tri_order_add(struct location *location, struct access *access, unsigned rank, bool sc,
                   const struct clock *before);
/* A fence of S by the current thread; returns its number. */
unsigned tri_order_fence(const struct clock *before);
void tri_order_put(unsigned early, unsigned late);
unsigned tri_order_rank(const struct location *location, const struct access *access);

/* shadow.c */
void tri_shadow_open(const void *module_address);
void tri_shadow_close(void);
void tri_shadow_reset(void);
void *tri_shadow_stack(unsigned thread);
/* A byte of the search's own for the address, all 0 after tri_shadow_forget; NULL: not the model's memory. */
uint8_t *tri_shadow_note(const volatile void *address);
void tri_shadow_forget(void);
/* The location at an address, made on first use; checks races with plain accesses. */
unsigned tri_shadow_location(const volatile void *address, unsigned bytes, bool writes);

/* A plain access by code at `pc`: a race fails the execution. Memory that is not the model's does not count. */
void tri_shadow_access(const volatile void *address, size_t bytes, bool writes, const void *pc);
/* Memory of the arena, each byte `fill`, which is never used twice in an execution; give: later accesses fail. */
void *tri_shadow_take(size_t bytes, size_t alignment, int fill);
void tri_shadow_give(void *block, const void *pc);

/* report.c */
void tri_report_step(const struct model_site *site, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *tri_report_order(unsigned order);
void tri_report_place(char *text, size_t bytes, const void *pc);
const char *tri_report_file(const char *path);
/* Which store stands at a place of the modification order. */
void tri_report_store(char *text, size_t bytes, const struct location *location, unsigned place);
_Noreturn void tri_report_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
