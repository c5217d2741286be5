/* SPDX-License-Identifier: MIT */
/*
 * history.h: recorded concurrent histories, and whether some order of their operations explains them.
 *
 * A round makes a fresh object, lets two tasks on two workers and a plain thread do a few random operations each on it at once, and notes
 * for each when it began, when it ended and what it returned. The history is linearizable if its operations can be put in one order,
 * none before another that had ended when it began, in which a simple sequential model gives the same results (Herlihy and
 * Wing, 1990; the search is Wing and Gong's, 1993). A failure prints the history.
 */
#ifndef TEST_HISTORY_H
#define TEST_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_THREADS = 3, HISTORY_OPS = 4, HISTORY_MOST = HISTORY_THREADS * HISTORY_OPS };

struct history_op {
    uint8_t thread, kind;
    int64_t argument, result, value; /* value: what came out, beside the result */
    uint32_t begin, end;
};

struct history_spec {
    const char *name;
    void *(*make)(void);
    void (*destroy)(void *object);
    /* What op->thread does next: sets kind and argument. */
    void (*choose)(struct history_op *op, uint64_t random);
    /* Does it: sets result and value. In a task or on a thread. */
    void (*perform)(void *object, struct history_op *op);
    /* The sequential model: a state of so many bytes, zero at first, and whether the operation may have gone as it did. */
    size_t state_bytes;
    bool (*step)(void *state, const struct history_op *op);
    const char *const *names; /* of the kinds */
};

/* True if some order explains the operations. */
bool history_explained(const struct history_spec *spec, const struct history_op *ops, unsigned count);

/*
 * Runs until so many rounds had operations that went on at once, or four times as many have been run (on a machine with one
 * processor), as part of a program of its own; prints what it did. A history that nothing explains ends the program.
 */
void history_run(const struct history_spec *spec, unsigned rounds);

#endif
