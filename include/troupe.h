/* SPDX-License-Identifier: MIT */
/*
 * troupe.h: actors in C on io_uring. This header includes the whole public interface; each topic has its own.
 *
 *   base.h       conventions and error codes         runtime.h    starting and stopping, logs
 *   time.h       deadlines, sleep, intervals         net.h        TCP
 *   task.h       tasks, join, cancel, scopes         actor.h      addresses, mailboxes, calls and replies
 *   group.h      tasks that end together             token.h      cancellation in a tree
 *   gather.h     many calls, many joins              local.h      values of a task
 *   timer.h      messages sent later                 delay.h      values that come out when due
 *   blocking.h   work for threads that may block     select.h     the first of several
 *   channel.h    many senders, one receiver          queue.h      many senders, many receivers
 *   oneshot.h    one value, once                     watch.h      the latest value
 *   broadcast.h  every receiver sees every value     sim.h        tests that can be replayed
 *
 * and what tasks keep each other in order with:
 *   mutex.h    condition.h    rwlock.h    semaphore.h    notify.h    latch.h    barrier.h    once.h    cell.h
 */
#ifndef TROUPE_H
#define TROUPE_H

#include <troupe/actor.h>
#include <troupe/barrier.h>
#include <troupe/base.h>
#include <troupe/blocking.h>
#include <troupe/broadcast.h>
#include <troupe/cell.h>
#include <troupe/channel.h>
#include <troupe/condition.h>
#include <troupe/delay.h>
#include <troupe/gather.h>
#include <troupe/group.h>
#include <troupe/latch.h>
#include <troupe/local.h>
#include <troupe/mutex.h>
#include <troupe/net.h>
#include <troupe/notify.h>
#include <troupe/once.h>
#include <troupe/oneshot.h>
#include <troupe/overflow.h>
#include <troupe/queue.h>
#include <troupe/runtime.h>
#include <troupe/rwlock.h>
#include <troupe/select.h>
#include <troupe/semaphore.h>
#include <troupe/sim.h>
#include <troupe/task.h>
#include <troupe/time.h>
#include <troupe/timer.h>
#include <troupe/token.h>
#include <troupe/watch.h>

#endif
