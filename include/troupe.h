/* SPDX-License-Identifier: MIT */
/*
 * troupe.h: actors in C on io_uring. This header includes the whole public interface; each topic has its own.
 *
 *   base.h     conventions and error codes        task.h     tasks, join, cancel, yield
 *   time.h     deadlines and sleep                actor.h    addresses, mailboxes, calls and replies
 *   runtime.h  starting and stopping, logs        net.h      TCP
 *   sim.h      tests that can be replayed
 */
#ifndef TROUPE_H
#define TROUPE_H

#include <troupe/actor.h>
#include <troupe/base.h>
#include <troupe/net.h>
#include <troupe/runtime.h>
#include <troupe/sim.h>
#include <troupe/task.h>
#include <troupe/time.h>

#endif
