/* SPDX-License-Identifier: MIT */
/* spawn.h: the one way in which tasks and actors of every kind begin. */
#ifndef TRI_SPAWN_H
#define TRI_SPAWN_H

#include "actor/task.h"

struct tri_spawn {
    union {
        int (*body)(void *argument);
        int (*on_message)(void *state, void *message); /* TRI_TASK_HANDLER */
    };
    void *argument;
    size_t argument_bytes;
    const char *name;
    size_t stack_bytes;
    struct tr_runtime *runtime;
    void (*drop)(void *message);
    void (*stopped)(void *state, int reason);
    uint32_t capacity, message_bytes;
    int pin;
    uint16_t flags;
    bool inherit_locals;
    /* Written before the task can run, which may be on another worker before the spawn returns; NULL: not wanted. */
    struct tr_task *handle; /* with one, the task is joinable */
    struct tr_address *address;
};

/* Returns 0, -ENOMEM, -EINVAL, -ECANCELED. The task may have ended before it returns. */
int tri_spawn(const struct tri_spawn *spawn);

/* During a shutdown: a task of `runtime` has ended. Defined by runtime.c. */
void tri_runtime_task_ended(struct tr_runtime *runtime);

#endif
