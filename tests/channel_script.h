/* SPDX-License-Identifier: MIT */
/*
 * channel_script.h: edge semantics of channels as tables: rows of steps on a fresh channel, each with what it must give.
 *
 * No step waits. A channel of a script carries numbers, has a drop function that counts, and a dead-letter hook of its own.
 */
#ifndef CHANNEL_SCRIPT_H
#define CHANNEL_SCRIPT_H

#include "support.h"

TR_CHANNEL_TYPE(number, int64_t);

enum channel_op {
    END_OF_SCRIPT,
    SEND,          /* try_send of the argument -> its result */
    RECEIVE,       /* try_receive -> the number, or the error */
    RESERVE,       /* try_reserve of so many, as the next permit (0, 1, ...) -> its result */
    PERMIT_SEND,   /* 100 * permit + number -> its result */
    PERMIT_RETURN, /* of this permit -> 0 */
    PERMIT_COUNT,  /* of this permit -> places left */
    OPEN,          /* one more sender -> 0 */
    CLOSE_SENDER,  /* -> 0 */
    WEAKEN,        /* -> 0 */
    WEAK_OPEN,     /* a sender from the weak one -> its result */
    WEAK_CLOSE,    /* -> 0 */
    CLOSE,         /* by the receiver -> 0 */
    DESTROY,       /* the receiver -> 0 */
    IS_CLOSED,     /* as a sender sees it -> 0, 1 */
    LENGTH,        /* from here on: -> what the channel says of itself */
    FREE,
    RESERVED,
    BYTES,
    SENDERS,
    WEAK_SENDERS,
    REJECTED,
    DROPPED_NEWEST,
    DROPPED_OLDEST,
    UNDELIVERED,
    DROPS,       /* calls of drop so far */
    LAST_DROP,   /* the number it had last */
    LETTERS,     /* calls of the dead-letter hook so far */
    LAST_LETTER, /* its reason */
};

struct channel_step {
    enum channel_op op;
    int64_t argument, result;
};

#define CHANNEL_STEPS 40

struct channel_script {
    const char *name;
    uint32_t capacity; /* 0: unbounded */
    enum tr_overflow overflow;
    uint64_t byte_limit;
    struct channel_step steps[CHANNEL_STEPS];
};

/* Plays them all, NULL name last; what a script leaves open is closed after it. A step that differs ends the test. */
void channel_scripts_play(const struct channel_script *scripts);

#endif
