/* SPDX-License-Identifier: MIT */
/*
 * cell.c: the cell, a monitor whose state is SET or not, and beside it the pointer. That is written in the turn that sets SET, and
 * never again.
 *
 *   [CE1] SET (release) -> who sees it (acquire), also without a turn: the pointer, and what it points to. Who was served: [W1].
 */
#include "mailbox/monitor.h"
#include <troupe/cell.h>

#include <errno.h>

#define SET TRI_STATE_ONE

struct cell {
    struct tri_monitor monitor;
    void *value;
};
_Static_assert(sizeof(struct cell) == 24 && sizeof(struct tr_cell) == 24, "the public face");
_Static_assert(_Alignof(struct cell) == _Alignof(struct tr_cell), "the public face");

static inline struct cell *cell_of(const struct tr_cell *cell)
{
    return (struct cell *)(uintptr_t)cell;
}

void tr_cell_init(struct tr_cell *cell)
{
    *cell = (struct tr_cell)TR_CELL_INIT;
}

bool tr_cell_set(struct tr_cell *face, void *value)
{
    struct cell *cell = cell_of(face);
    struct tri_turn turn = tri_turn_begin(&cell->monitor);
    if (turn.state == SET) {
        tri_turn_end(&turn);
        return false;
    }
    cell->value = value;
    turn.state = SET;
    tri_turn_end_serving_all(&turn, 0);
    return true;
}

bool tr_cell_is_set(const struct tr_cell *face)
{
    return tri_load(&cell_of(face)->monitor.word, TRI_ACQUIRE) & SET; /* [CE1] */
}

void *tr_cell_get(const struct tr_cell *face)
{
    return tr_cell_is_set(face) ? cell_of(face)->value : NULL;
}

static int attempt(struct tr_case *c)
{
    return tr_cell_is_set(c->tri_object) ? 0 : -EAGAIN;
}

static int look(struct tri_turn *turn, struct tr_case *c, struct tri_task *self)
{
    (void)c;
    (void)self;
    return turn->state == SET ? 0 : -EAGAIN;
}

static int enter(struct tr_case *c)
{
    return tri_monitor_enter(c, look);
}

static const struct tri_kind cell_kind = { attempt, enter, tri_monitor_leave, NULL, TRI_WAIT_SIGNAL };

struct tr_case tr_case_cell(struct tr_cell *cell)
{
    return (struct tr_case){ .tri_kind = &cell_kind, .tri_object = cell };
}

int tr_cell_wait(struct tr_cell *face, void **value, tr_time deadline)
{
    struct tr_case c = tr_case_cell(face);
    int rc = tri_monitor_await(&c, deadline);
    if (rc == 0 && value)
        *value = cell_of(face)->value;
    return rc;
}
