/* SPDX-License-Identifier: MIT */
/*
 * fake_waiter.h: the seam of mailbox/waiter.h without a scheduler: a task is a thread.
 *
 * Each thread that begins has a reactor, and polls it when it parks. A wake sets the thread's token and wakes that reactor.
 */
#ifndef TEST_FAKE_WAITER_H
#define TEST_FAKE_WAITER_H

#include "io/reactor.h"
#include "mailbox/waiter.h"

/* Gives the calling thread a reactor; the test fails if there is none. */
void fake_begin(enum tr_backend kind);
void fake_end(void);

/* Makes the calling thread pass for the owner of another reactor (NULL: for itself again), as a task that was moved. */
void fake_move(struct tri_reactor *reactor);

/* Cancels a task, or takes the cancellation back. */
void fake_cancel(struct tri_task *task, bool cancelled);

/* How many parks have returned 0 without a wake: set it to n to make every n-th park do so. */
void fake_spurious(unsigned every);

#endif
