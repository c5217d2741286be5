/* SPDX-License-Identifier: MIT */
/*
 * policy.c: mailboxes that are full and have a policy.
 *
 * Nobody waits there, so the lock of the waiting senders serves for this. To drop the oldest message is to receive it, which is
 * the consumer's alone: in a mailbox with that policy the consumer's side belongs to whoever has the lock, and the actor takes
 * its messages under it. The others pay nothing for that: they are told apart where a consumer does not know its storage.
 *
 * The edges are in mailbox.c.
 */
#include "mailbox/mailbox.h"

#include <errno.h>

/* Of a mailbox that was full a moment ago. False: its oldest place is claimed and not written yet. */
static bool take_oldest(const struct tri_mailbox_ref *ref, uint32_t bytes, void *oldest, struct tri_debt *debt)
{
    return tri_mailbox_take_locked(ref->mailbox, ref->consumer, oldest, bytes, debt) == TRI_TAKE_MESSAGE;
}

enum tri_fate tri_mailbox_send_by_policy(const struct tri_mailbox_ref *ref, struct tri_storage_cache *cache,
                                         const struct tri_letter *letter, void *oldest, struct tri_debt *debt,
                                         int *result, bool *schedule)
{
    *result = tri_mailbox_send(ref, cache, letter, schedule);
    if (*result != -EAGAIN)
        return TRI_FATE_DECIDED;
    enum tr_overflow policy = (enum tr_overflow)tri_load(&ref->consumer->policy, TRI_ACQUIRE); /* [M10] */
    if (tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT != ref->generation) {
        *result = -ESRCH;
        return TRI_FATE_DECIDED;
    }
    switch (policy) {
    case TR_OVERFLOW_WAIT:
        return TRI_FATE_DECIDED;
    case TR_OVERFLOW_REJECT:
        return TRI_FATE_REJECTED;
    case TR_OVERFLOW_DROP_NEWEST:
        return TRI_FATE_NEWEST;
    case TR_OVERFLOW_DROP_OLDEST:
        return take_oldest(ref, letter->bytes, oldest, debt) ? TRI_FATE_OLDEST : TRI_FATE_BUSY;
    }
    __builtin_unreachable();
}
