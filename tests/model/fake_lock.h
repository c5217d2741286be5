/* SPDX-License-Identifier: MIT */
/*
 * fake_lock.h: mailbox/pool.h with a lock that blocks instead of spinning. Every failed try of the real one is an execution
 * of its own, and there are many locks; model_lock.c explores the real one. To be included before anything of mailbox/.
 */
#ifndef FAKE_LOCK_H
#define FAKE_LOCK_H

#include "model.h"

#define tri_lock(lock) tri_real_lock(lock)
#include "mailbox/pool.h"
#undef tri_lock

static inline void tri_lock(struct tri_lock *lock)
{
    model_await_zero(&lock->word);
    model_assert(tri_exchange(&lock->word, 1u, TRI_ACQUIRE) == 0);
}

#endif
