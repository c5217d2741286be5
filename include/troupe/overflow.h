/* SPDX-License-Identifier: MIT */
/*
 * overflow.h: what becomes of a message for which there is no room, or no receiver: for channels, queues and the
 * mailboxes of actors.
 *
 * Bounded means that somebody has to give way when it is full. By default that is the sender, who waits. Where a late
 * message is worth less than a waiting sender (samples of a sensor, states of a game), a policy says which one is lost
 * instead. Nothing is lost in silence: it is counted, shown to a hook, and given to `drop`, once.
 */
#ifndef TROUPE_OVERFLOW_H
#define TROUPE_OVERFLOW_H

#include <troupe/base.h>

TRI_BEGIN_DECLS

/* What is done with a message that there is no room for. */
enum tr_overflow {
    TR_OVERFLOW_WAIT,        /* the sender waits, in order */
    TR_OVERFLOW_REJECT,      /* the send fails with -ENOBUFS; the message is still the sender's */
    TR_OVERFLOW_DROP_NEWEST, /* it is taken and dropped */
    TR_OVERFLOW_DROP_OLDEST, /* the oldest is dropped for it; permits of a channel are not messages, and stay */
};

/* Why a message is never received. */
enum tr_dead_reason {
    TR_DEAD_REJECTED,       /* -ENOBUFS: the message is still its sender's */
    TR_DEAD_DROPPED_NEWEST, /* by policy */
    TR_DEAD_DROPPED_OLDEST, /* by policy */
    TR_DEAD_UNDELIVERED,    /* the receiver has gone */
    TR_DEAD_EXPIRED,        /* a request whose caller has given up before the actor came to it */
};

/* A message that is never received, as a hook sees it, before `drop` does. */
struct tr_dead_letter {
    const char *name; /* of the channel or actor */
    enum tr_dead_reason reason;
    uint32_t bytes;
    const void *message;
};

/*
 * The process's hook: of actors, and of channels that have none of their own; NULL: none. It is called by whoever finds
 * the letter dead, on whatever thread and on its stack, with no lock held; it must not suspend. Of what is lost when a timer
 * sends (timer.h) it is told soon, in a task with a stack of the runtime's size; if none can begin, as the runtime ends or
 * memory is out, on the stack of a task that suspends. Thread: any. Suspends: no.
 */
TR_PUBLIC void tr_dead_letter_hook(void (*hook)(const struct tr_dead_letter *letter));

TRI_END_DECLS

#endif
