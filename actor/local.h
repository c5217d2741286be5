/* SPDX-License-Identifier: MIT */
/* local.h: task-local values, for the spawn that passes them on and the end that destroys them. */
#ifndef TRI_LOCAL_H
#define TRI_LOCAL_H

#include "actor/task.h"
#include <troupe/local.h>

/* Into `to`, which has none, what the running task passes on. Returns 0, or -ENOMEM with what there is left in `to`. */
int tri_locals_inherit(struct tri_cold *to);

/* Destroys all, the newest first. May suspend. */
void tri_locals_destroy(struct tri_cold *cold);

#endif
