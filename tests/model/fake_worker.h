/* SPDX-License-Identifier: MIT */
/*
 * fake_worker.h: actor/scheduler.h for models whose threads are workers, one each, or foreign: a worker is asked for by a
 * call, instead of looked up in thread-local storage, which all threads of a model share.
 */
#ifndef FAKE_WORKER_H
#define FAKE_WORKER_H

#include "fake_lock.h"

#include "actor/queue.h"
#include "actor/sanitizer.h"
#include "actor/stack.h"
#include "actor/switch.h"
#include "actor/task.h"
#include "io/reactor.h"
#include "io/timer.h"
#include <errno.h>
#include <pthread.h>
#include <troupe/runtime.h>

#pragma push_macro("__x86_64__")
#undef __x86_64__
#include "actor/scheduler.h"
#pragma pop_macro("__x86_64__")

#endif
