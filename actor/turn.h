/* SPDX-License-Identifier: MIT */
/*
 * turn.h: a runtime without threads of its own, which runs in turns on the thread that opened it.
 *
 * Its one worker is an ordinary one, but its loop is entered by tr_turn and left when nothing is ready, or when the turn has
 * lasted long enough: from the loop, or straight from a task that suspends, back to the thread's own stack. What was ready
 * stays in the queues.
 *
 *     tr_turn:  rouse -> pass -> loop ... -> leave -> doze      (program's own loop polls the descriptor)
 *
 * Between turns the worker sleeps, as far as others can tell: its idle bit is set and its reactor dozes, so that a wake writes
 * to the eventfd. The descriptor is an epoll instance over three others: the reactor's two, and a timerfd, which is set to the
 * next alarm, or to the past when there is more to do at once.
 */
#ifndef TRI_TURN_H
#define TRI_TURN_H

#include "actor/idle.h"

struct tri_turns {
    pthread_t owner;
    int fd, timer_fd;
    tr_time armed; /* the timerfd, on the real clock; TR_FOREVER: not at all */
    int32_t left;  /* passes in this turn */
};

/* A pass has been made. True: that was the last one of the turn. */
bool tri_turn_pass(struct tri_worker *worker);

/* Nothing is ready. LOOK: a clock that stands has been moved. EXIT: the turn is over. */
enum tri_idle_result tri_turn_idle(struct tri_worker *worker);

/* Runs what is ready, or waits until something is, until `deadline` at most. Returns as tr_turn. */
int tri_turn_run(struct tr_runtime *runtime, tr_time deadline);

/* Nothing lives any more: takes down what tr_open has set up, but for the entry in the table. */
void tri_turn_finish(struct tr_runtime *runtime);

/* 0, or why the calling thread cannot drive the runtime now: -EDEADLK, -EINVAL. */
int tri_turn_check(struct tr_runtime *runtime);

#endif
