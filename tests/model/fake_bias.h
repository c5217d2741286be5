/* SPDX-License-Identifier: MIT */
/*
 * fake_bias.h: mailbox/bias.h as an ordinary lock, which is what it promises to be; model_bias.c explores the real one. To be
 * included before anything of mailbox/, and after fake_lock.h.
 */
#ifndef FAKE_BIAS_H
#define FAKE_BIAS_H

#include "fake_lock.h"

#define TRI_BIAS_H

struct tri_bias {
    struct tri_lock word;
};

static inline void tri_bias_lock(struct tri_bias *lock)
{
    tri_lock(&lock->word);
}

static inline void tri_bias_unlock(struct tri_bias *lock)
{
    tri_unlock(&lock->word);
}

#endif
