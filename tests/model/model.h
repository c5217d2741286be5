/* SPDX-License-Identifier: MIT */
/*
 * model.h: what a model is, for those who write one.
 *
 * A model is a C file that includes the protocol's own .c files, after shrinking their constants by #define, and exports
 * a table of cases. It is built as a shared module: its globals are put back to their first values before every
 * execution, and malloc and friends come from memory that is wiped likewise, so a case needs no clean-up.
 *
 *     static void setup(void) { ... }
 *     static void sender(void) { ... }
 *     static void check(void) { model_assert(received == sent); }
 *     static const struct model_case cases[] = {
 *         { .name = "two senders", .setup = setup, .check = check, .threads = { { "sender", sender }, ... } },
 *         { 0 },
 *     };
 *     MODEL(cases);
 *
 * What threads share must be atomics (through mailbox/atomic.h) or be ordered by them: also the model's own variables
 * are checked for races. That is what lets the explorer know two interleavings for the same execution.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model_atomic.h"

enum { MODEL_THREADS = 7 };

struct model_thread {
    const char *name;
    void (*body)(void);
    bool daemon;                         /* may be left blocked at the end */
    bool (*ready)(const void *argument); /* begins as if it called model_block with these; NULL: at once */
    const void *argument;
};

struct model_case {
    const char *name;
    void (*setup)(void); /* runs alone, before */
    struct model_thread threads[MODEL_THREADS + 1];
    void (*check)(void); /* runs alone, after; may be NULL */
    bool fails;          /* a litmus test: some execution must fail, else the case is wrong */
    bool mutate_own;     /* weaken also the orders in files named model_* */
    bool skip_mutants;
    unsigned stale; /* stale reads: no fewer than so many are explored, whatever the model's own limit is */
};

struct model {
    const struct model_case *cases;
    const struct model_site *sites, *sites_end;
    unsigned stale;
};

#define MODEL_UNLIMITED 7u

/* `stale_`: how many stale reads an execution may have unless the command line says otherwise. */
#define MODEL(cases_) MODEL_LIMITED(cases_, MODEL_UNLIMITED)
#define MODEL_LIMITED(cases_, stale_)                                                                                  \
    extern const struct model_site __start_model_sites[] __attribute__((visibility("hidden")));                        \
    extern const struct model_site __stop_model_sites[] __attribute__((visibility("hidden")));                         \
    extern const struct model tri_model;                                                                               \
    __attribute__((visibility("default")))                                                                             \
    const struct model tri_model = { cases_, __start_model_sites, __stop_model_sites, stale_ }

/* Fails the execution: it is printed with its interleaving. */
void model_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#define model_assert(condition)                                                                                        \
    ((condition) ? (void)0 : model_fail("%s:%d: not true: %s", __FILE__, __LINE__, #condition))

/* One of 0 .. count-1; every one is tried. */
unsigned model_choose(unsigned count);

/* Blocks the calling thread until ready(argument) is true of the newest values in memory. Orders nothing. */
void model_block(bool (*ready)(const void *argument), const void *argument);

/*
 * Blocks until the newest value of a 32-bit atomic is 0. The caller's next operation, which must be a read-modify-write of
 * it, follows at once and reads that.
 */
void model_await_zero(const volatile void *word);
/* The same for the lowest bit of an atomic of any size. */
void model_await_even(const volatile void *word);

/*
 * Time passes: others may run first, and what they have stored until the return is seen from then on. For waits that end by
 * the clock, in loops that go on for ever.
 */
void model_pause(void);

/* Others may run first, for as long as they like. */
void model_yield(void);

/* The newest value of an atomic, for such a condition: no step of the model. */
uint64_t model_peek_at(const volatile void *object, unsigned bytes);
#define model_peek(object) model_peek_at((object), sizeof *(object))

/* A number that grows in the order of the interleaving: for oracles about real time. Orders nothing. */
unsigned model_stamp(void);

/* Index of the calling thread in the case's table, -1 in setup and check. */
int model_self(void);

/* A line for the printed interleaving. */
void model_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
