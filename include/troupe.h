/* SPDX-License-Identifier: MIT */
/*
 * troupe.h: actors in C on io_uring. This header includes the whole public interface; each topic has its own.
 *
 *   base.h     conventions and error codes        task.h     tasks, join, cancel, yield
 *   time.h     deadlines and sleep                actor.h    addresses, mailboxes, calls and replies
 *   runtime.h  starting and stopping, logs        net.h      TCP
 *   select.h   the first of several               semaphore.h
 *   channel.h  many senders, one receiver         queue.h    many senders, many receivers
 *   oneshot.h  one value, once
 */
#ifndef TROUPE_H
#define TROUPE_H

#include <troupe/actor.h>
#include <troupe/base.h>
#include <troupe/channel.h>
#include <troupe/net.h>
#include <troupe/oneshot.h>
#include <troupe/queue.h>
#include <troupe/runtime.h>
#include <troupe/select.h>
#include <troupe/semaphore.h>
#include <troupe/task.h>
#include <troupe/time.h>

#endif
