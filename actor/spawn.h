/* SPDX-License-Identifier: MIT */
/* spawn.h: the one way in which tasks and actors of every kind begin. */
#ifndef TRI_SPAWN_H
#define TRI_SPAWN_H

#include "actor/task.h"

struct tr_member;

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
    enum tr_overflow overflow;
    int pin;
    uint16_t flags;
    bool inherit_locals;
    struct tr_cancel_token *token;
    struct tri_member *member; /* of a group, which has a place for it; taken over only if the spawn succeeds */
    struct tr_member *member_out;
    /* Written before the task can run, which may be on another worker before the spawn returns; NULL: not wanted. */
    struct tr_task *handle; /* with one, the task is joinable */
    struct tr_address *address;
};

static inline struct tri_spawn tri_task_spawn_of(int (*body)(void *argument), void *argument,
                                                 const struct tr_task_options *options)
{
    return (struct tri_spawn){
        .body = body,
        .argument = argument,
        .argument_bytes = options->argument_bytes,
        .name = options->name,
        .stack_bytes = options->stack_bytes,
        .pin = options->pin,
        .runtime = options->runtime,
        .inherit_locals = options->inherit_locals,
        .token = options->token,
    };
}

/* For a task that is about to run, and that nobody knows yet: hangs it on its token, and puts it into its group. -ECANCELED, -ENOMEM. */
int tri_cold_start(struct tri_task *task, uint64_t generation, struct tri_cold *cold, const struct tri_spawn *spawn);

/* Returns 0, -ENOMEM, -EINVAL, -ECANCELED. The task may have ended before it returns. */
int tri_spawn(const struct tri_spawn *spawn);

/* During a shutdown: a task of `runtime` has ended. Defined by runtime.c. */
void tri_runtime_task_ended(struct tr_runtime *runtime);

#endif
