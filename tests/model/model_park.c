/* SPDX-License-Identifier: MIT */
/*
 * model_park.c: the park word of actor/park.h, with the run queue reduced to "who holds the right to run the task".
 *
 *   events    a task that waits for two events from two wakers, and a late third: no wake is lost, the task is never run
 *             twice at once, and what the wakers wrote before is seen
 *   switch    the commit runs on the next stack: the waker may run the task at once on its own thread, with the frame
 *             that the task left; so what the parking side wrote last must be visible to whoever resumes it
 *   consume   a task that takes a wake without switching
 *   hand      a task that one waker resumes elsewhere, and that parks there again
 *   claim     one that takes only who is parked, with the frame, and notifies nobody, and a waker: the task is run by one of
 *             them, and the wake is not lost
 *   foreign   a thread that is no worker parks, as park_foreign in actor/wait.c: no queue passes anything to it
 */
#include "actor/park.h"
#include "model.h"

static struct tri_park_word word;
static TRI_ATOMIC(uint32_t) queued; /* the right to run, on its way */
static TRI_ATOMIC(uint32_t) ended;
static TRI_ATOMIC(uint32_t) event[3];
static int written[3]; /* by the wakers, before their event */
static int frame;      /* the task's own memory */
static bool running;

static bool is_queued(const void *unused)
{
    (void)unused;
    return model_peek(&queued) != 0 || model_peek(&ended) != 0;
}

/* The run queue passes what happened before; it holds the task once. */
static void queue_task(void)
{
    model_assert(tri_exchange(&queued, 1u, TRI_ACQ_REL) == 0);
}

static bool take_task(void)
{
    model_block(is_queued, NULL);
    return tri_exchange(&queued, 0u, TRI_ACQ_REL) == 1;
}

static void wake(unsigned i)
{
    written[i] = 1;
    tri_store(&event[i], 1u, TRI_RELAXED);
    if (tri_park_wake(&word))
        queue_task();
}

static void waker_0(void)
{
    wake(0);
}

static void waker_1(void)
{
    wake(1);
}

static void waker_2(void)
{
    wake(2);
}

static bool is_event(unsigned i)
{
    if (!tri_load(&event[i], TRI_RELAXED))
        return false;
    return true;
}

/* Parks as tri_park and park_commit of the scheduler do. Returns true when it may go on at once. */
static bool park(void)
{
    if (tri_park_consume(&word))
        return true;
    frame++;
    running = false;
    if (tri_park_commit(&word))
        return false;
    queue_task();
    return false;
}

/* Runs the task wherever it is queued, until `events` events are there. */
static void work(unsigned events)
{
    while (take_task()) {
        model_assert(!running);
        running = true;
        frame++;
        for (;;) {
            unsigned seen = 0;
            for (unsigned i = 0; i < events; i++)
                seen += is_event(i);
            if (seen == events) {
                tri_store(&ended, 1u, TRI_RELAXED);
                return;
            }
            if (!park())
                break;
        }
    }
}

static void work_2(void)
{
    work(2);
}

static void start(void)
{
    tri_store(&queued, 1u, TRI_RELAXED);
}

static void check(void)
{
    model_assert(tri_load(&ended, TRI_RELAXED) == 1);
    model_assert(running);
}

/* One event, whose payload the task reads once the wake has been seen: the order must come from the word. */
static void payload_task(void)
{
    bool first = true;
    while (take_task()) {
        for (;;) {
            if (!first) {
                model_assert(written[0] == 1);
                tri_store(&ended, 1u, TRI_RELAXED);
                return;
            }
            first = false;
            if (!park())
                break;
        }
    }
}

static void payload_waker(void)
{
    written[0] = 1;
    if (tri_park_wake(&word))
        queue_task();
}

/* Goes on by itself when a wake came before it was parked. */
static void claimed_task(void)
{
    frame++;
    if (!tri_park_commit(&word)) {
        model_assert(written[0] == 1);
        tri_store(&ended, 1u, TRI_RELAXED);
    }
}

static void run_claimed(void)
{
    model_assert(++frame == 2);
    tri_fetch_add(&queued, 1u, TRI_RELAXED);
}

static void claimant(void)
{
    if (!tri_park_claim(&word))
        return;
    run_claimed();
    tri_store(&event[0], 1u, TRI_RELAXED);
}

static void claimed_waker(void)
{
    written[0] = 1;
    if (tri_park_wake(&word))
        run_claimed();
}

static void claim_check(void)
{
    bool by_itself = tri_load(&ended, TRI_RELAXED);
    bool claimed = tri_load(&event[0], TRI_RELAXED);
    model_assert(tri_load(&queued, TRI_RELAXED) + by_itself == 1);
    model_assert(tri_load(&word.state, TRI_RELAXED) == (claimed ? TRI_NOTIFIED : TRI_RUNNING));
}

static void foreign_thread(void)
{
    if (tri_park_commit(&word))
        while (tri_load(&word.state, TRI_ACQUIRE) == TRI_PARKED)
            tri_spin(); /* a futex */
    model_assert(written[0] == 1);
}

static void foreign_waker(void)
{
    written[0] = 1;
    tri_park_wake(&word);
}

/* Two wakers, of which the first finds the task running: what both wrote is seen after one wake. */
static void both_task(void)
{
    while (tri_load(&event[2], TRI_RELAXED) == 0)
        tri_spin();
    if (!tri_park_consume(&word)) {
        if (tri_park_commit(&word))
            model_fail("the wakes are lost");
    }
    model_assert(written[0] == 1 && written[1] == 1);
}

static void both_waker_0(void)
{
    written[0] = 1;
    tri_park_wake(&word);
    tri_fetch_add(&event[1], 1u, TRI_RELAXED);
}

static void both_waker_1(void)
{
    while (tri_load(&event[1], TRI_RELAXED) == 0)
        tri_spin();
    written[1] = 1;
    tri_park_wake(&word);
    tri_store(&event[2], 1u, TRI_RELAXED);
}

static const struct model_case cases[] = {
    { .name = "payload",
      .setup = start,
      .check = NULL,
      .threads = { { "task", payload_task, 0 }, { "waker", payload_waker, 0 } } },
    { .name = "claim",
      .check = claim_check,
      .threads = { { "task", claimed_task, 0 }, { "claimant", claimant, 0 }, { "waker", claimed_waker, 0 } } },
    { .name = "foreign", .threads = { { "thread", foreign_thread, 0 }, { "waker", foreign_waker, 0 } } },
    { .name = "both",
      .threads = { { "task", both_task, 0 }, { "waker 0", both_waker_0, 0 }, { "waker 1", both_waker_1, 0 } } },
    { .name = "events",
      .setup = start,
      .check = check,
      .threads = { { "worker", work_2, 0 }, { "event", waker_0, 0 }, { "deadline", waker_1, 0 } } },
    { .name = "two workers",
      .setup = start,
      .check = check,
      .threads = { { "worker 1", work_2, 0 },
                   { "worker 2", work_2, 0 },
                   { "event", waker_0, 0 },
                   { "deadline", waker_1, 0 } } },
    { .name = "late wake",
      .setup = start,
      .check = NULL,
      .threads = { { "worker", work_2, 0 },
                   { "event", waker_0, 0 },
                   { "deadline", waker_1, 0 },
                   { "late", waker_2, 0 } } },
    { 0 },
};
MODEL(cases);
