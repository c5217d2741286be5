/* SPDX-License-Identifier: MIT */
/*
 * cell.h: a place for one pointer, written once: an event with a value. 24 bytes, no memory of its own.
 *
 *     static struct tr_cell configuration = TR_CELL_INIT;
 *
 *     tr_cell_set(&configuration, loaded);                        once, by one
 *     rc = tr_cell_wait(&configuration, &value, TR_FOREVER);      by any number, before or after
 *
 * What the pointer points to was written before it was set, and is seen by all who get it.
 */
#ifndef TROUPE_CELL_H
#define TROUPE_CELL_H

#include <troupe/select.h>

TRI_BEGIN_DECLS

/* Lies wherever the program puts it; all zero is empty. Its memory can be used anew once every call on it has returned. */
struct tr_cell {
    uint64_t tri_word;
    void *tri_line;
    void *tri_value;
};

/* For static ones. */
#define TR_CELL_INIT                                                                                                   \
    {                                                                                                                  \
        0, NULL, NULL                                                                                                  \
    }

/* The same at run time, for memory that nobody uses yet. Nothing need be undone. Thread: init. Suspends: no. */
TR_PUBLIC void tr_cell_init(struct tr_cell *cell);

/* Sets it, if it is empty, to any pointer, also NULL. Returns true if this call did; false: it was set. Thread: any. Suspends: no. */
TR_PUBLIC bool tr_cell_set(struct tr_cell *cell, void *value);

/* Whether it is set; what it was set to, or NULL. Thread: any. Suspends: no. */
TR_PUBLIC bool tr_cell_is_set(const struct tr_cell *cell);
TR_PUBLIC void *tr_cell_get(const struct tr_cell *cell);

/*
 * Waits until it is set. `value`, which may be NULL, gets the pointer.
 * Thread: any (a foreign thread blocks). Suspends: yes.
 * Returns 0, or with *value as it was -ETIMEDOUT, -ECANCELED, -ENOMEM.
 */
TR_PUBLIC int tr_cell_wait(struct tr_cell *cell, void **value, tr_time deadline);

/* For tr_select: ready, with result 0, once it is set. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_case tr_case_cell(struct tr_cell *cell);

TRI_END_DECLS
#endif
