/* SPDX-License-Identifier: MIT */
/*
 * chance.h: what the tasks of a seeded scenario do at random (see SEED_TEST of support.h): wait a little, have deadlines, and
 * are cancelled. All of it follows from the seed, and so do the orders in which they run.
 */
#ifndef TEST_CHANCE_H
#define TEST_CHANCE_H

#include "tests/support.h"

static inline int64_t chance_span(int64_t most)
{
    return (int64_t)tr_random((uint64_t)most) * TR_MICROSECOND;
}

static inline tr_time chance_deadline(void)
{
    switch (tr_random(6)) {
    case 0:
        return TR_NOW;
    case 1:
    case 2:
        return tr_after(chance_span(40));
    default:
        return TR_FOREVER;
    }
}

/* A result that leaves things as they were: a cancellation is noted, and the task goes on. False for any other. */
static inline bool chance_came_to_nothing(int rc)
{
    if (rc == -ECANCELED)
        expect(tr_cancel_taken());
    return rc == -ECANCELED || rc == -ETIMEDOUT || rc == -EAGAIN;
}

static inline void chance_pause(void)
{
    uint64_t way = tr_random(4);
    int rc = way == 0 ? tr_yield() : way == 1 ? 0 : tr_sleep(chance_span(30));
    expect(rc == 0 || chance_came_to_nothing(rc));
}

/* The tasks of a scenario. */
struct crew {
    struct tr_task tasks[16];
    int count;
};

static inline void crew_add(struct crew *crew, int (*body)(void *argument), void *argument)
{
    expect(crew->count < 16);
    crew->tasks[crew->count++] = test_task(body, argument);
}

/* Cancels one of them now and then, and joins them all. */
static inline void crew_end(struct crew *crew, int cancels)
{
    for (; cancels > 0; cancels--) {
        chance_pause();
        (void)tr_task_cancel(crew->tasks[tr_random((uint64_t)crew->count)]); /* it may have ended */
    }
    while (crew->count > 0) {
        int result = -1;
        expect_int(tr_task_join(crew->tasks[--crew->count], &result, TR_FOREVER), 0);
        expect_int(result, 0);
    }
}

#endif
