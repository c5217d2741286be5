/* SPDX-License-Identifier: MIT */
/*
 * policy.h: an actor's mailbox that is full and has a policy: what is lost, how it is counted, and who is told. What makes
 * it safe to lose is in mailbox/policy.c.
 */
#ifndef TRI_POLICY_H
#define TRI_POLICY_H

#include "actor/task.h"

#include <errno.h>

/* The cold part of an actor with a policy has this instead of its drop function. Changes under the mailbox's lock. */
struct tri_policy {
    struct tri_policy *next; /* in the pool */
    void (*drop)(void *message);
    uint64_t rejected, dropped_newest, dropped_oldest;
};
_Static_assert(sizeof(struct tri_policy) <= 64, "tri_node_pool");

/* A message that was lost, for those who are to be told: its caller, the hook, the drop function. */
struct tri_loss {
    _Alignas(64) struct tri_loss *next;
    void (*drop)(void *message);
    struct tri_debt debt;
    enum tr_dead_reason reason;
    uint32_t bytes;
    void *message;
    char name[TRI_NAME_BYTES]; /* of the actor, which may be gone */
};

/* Gives `cold` its own, with the drop function that it has. False: no memory. */
bool tri_policy_make(struct tri_cold *cold);

static inline void (*tri_drop_of(const struct tri_cold *cold))(void *message)
{
    return cold->has_policy ? cold->policy->drop : cold->drop;
}

int tri_send_by_policy_slow(struct tri_task *target, const struct tri_mailbox_ref *ref, const struct tri_letter *letter,
                            bool *schedule);

/*
 * After a send that returned -EAGAIN. Returns -EAGAIN if the mailbox's policy is to wait; else 0 (sent, or dropped and the
 * request resolved), -ENOBUFS, -ESRCH, -ENOMEM; *schedule as of the send. Thread: any. Suspends: no.
 */
static inline int tri_send_by_policy(struct tri_task *target, const struct tri_mailbox_ref *ref,
                                     const struct tri_letter *letter, bool *schedule)
{
    if (__builtin_expect(tri_mailbox_policy(ref) == TR_OVERFLOW_WAIT, 1))
        return -EAGAIN;
    return tri_send_by_policy_slow(target, ref, letter, schedule);
}

/*
 * The same where neither the hook nor a drop function may be called: what was lost is put at the end of the list *losses, also
 * if the send has failed, and to be told with tri_losses_tell when they may.
 */
int tri_send_by_policy_untold(struct tri_task *target, const struct tri_mailbox_ref *ref,
                              const struct tri_letter *letter, bool *schedule, struct tri_loss **losses);
/* Tells of them all, and frees them. */
void tri_losses_tell(struct tri_loss *losses);

/* What it has lost; nothing if it has no policy, or the address is stale. Thread: any. */
void tri_policy_info(struct tri_task *task, uint64_t generation, struct tr_actor_info *out);

/* Shows a message that is never received to the hook. Thread: the actor's own, or one that holds it alive. */
void tri_task_bury(struct tri_task *task, const void *message, enum tr_dead_reason reason);

#endif
