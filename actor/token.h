/* SPDX-License-Identifier: MIT */
/* token.h: what hangs on a cancellation token: links to tasks and groups. */
#ifndef TRI_TOKEN_H
#define TRI_TOKEN_H

#include "actor/task.h"
#include <troupe/token.h>

/* Whom a token cancels: by generation, for it may have ended. */
struct tri_link {
    struct tri_link *next, **place;
    struct tr_cancel_token *token; /* counted */
    void *target;                  /* a task's record, or a group */
    uint64_t generation;
    bool group;
};

extern struct tri_pool tri_token_pool;

/* Hangs the target on the token. Returns 0, -ENOMEM, -ECANCELED (it is cancelled already). Thread: any. */
int tri_link_make(struct tri_link **out, struct tr_cancel_token *token, void *target, uint64_t generation, bool group);

/* The target ends. Frees the link. Thread: any. */
void tri_link_drop(struct tri_link *link);

/* Cancels the group, if this is still its generation. Defined by member.c. Thread: any. */
void tri_group_cancel_raw(struct tr_group *group, uint64_t generation);

#endif
