/* SPDX-License-Identifier: MIT */
/*
 * model_queue.c: the run queue of actor/queue.h with two slots: the owner pushes and pops while a thief, or two, steal.
 * Every task that was pushed is run once, and what its pusher wrote is seen by whoever runs it.
 */
#define TRI_QUEUE_SLOTS 2u
#define TRI_QUEUE_PATIENCE 1u
#include "actor/queue.h"
#include "model.h"

enum { TASKS = 4 };
struct tri_task {
    int payload, runs;
};

static struct tri_task tasks[TASKS];
static struct tri_queue queue, thief_queue, other_queue;

static void run(struct tri_task *task)
{
    model_assert(task->payload == 1);
    model_assert(++task->runs == 1);
}

static void push(unsigned i)
{
    tasks[i].payload = 1;
    if (!tri_queue_push(&queue, &tasks[i]))
        run(&tasks[i]);
}

static void pop(struct tri_queue *from)
{
    struct tri_task *task = tri_queue_pop(from);
    if (task)
        run(task);
}

static void owner(void)
{
    push(0);
    push(1);
    pop(&queue);
    push(2);
    pop(&queue);
}

static void brief_owner(void)
{
    push(0);
    push(1);
    pop(&queue);
    pop(&queue);
}

static void reusing_owner(void)
{
    push(0);
    pop(&queue);
    push(1);
    push(2);
}

static void wrap_owner(void)
{
    push(0);
    push(1);
    push(2);
    push(3);
    pop(&queue);
}

/* A thief of one theft. */
static uint32_t steal(struct tri_queue *from, struct tri_queue *own)
{
    if (!tri_queue_enter(from))
        return 0;
    uint32_t count = tri_queue_steal(from, own, 2);
    tri_queue_leave(from);
    return count;
}

static void run_stolen(struct tri_queue *own, uint32_t count)
{
    model_assert(count <= 2);
    for (uint32_t i = 0; i < count; i++) {
        struct tri_task *task = tri_queue_pop(own);
        model_assert(task);
        run(task);
    }
}

static void steal_into(struct tri_queue *own)
{
    run_stolen(own, steal(&queue, own));
}

static void thief(void)
{
    steal_into(&thief_queue);
}

static void twice_thief(void)
{
    steal_into(&thief_queue);
    steal_into(&thief_queue);
}

/* It comes once, and steals twice. */
static void staying_thief(void)
{
    if (!tri_queue_enter(&queue))
        return;
    run_stolen(&thief_queue, tri_queue_steal(&queue, &thief_queue, 2));
    run_stolen(&thief_queue, tri_queue_steal(&queue, &thief_queue, 2));
    tri_queue_leave(&queue);
}

static void other_thief(void)
{
    steal_into(&other_queue);
}

/* A thief that is itself stolen from. */
static void rich_thief(void)
{
    steal(&queue, &thief_queue);
    pop(&thief_queue);
    steal(&queue, &thief_queue);
    pop(&thief_queue);
}

/* The same, without leaving in between: a thief of one ring while its own is robbed. */
static void rich_staying_thief(void)
{
    if (!tri_queue_enter(&queue))
        return;
    tri_queue_steal(&queue, &thief_queue, 2);
    pop(&thief_queue);
    tri_queue_steal(&queue, &thief_queue, 2);
    tri_queue_leave(&queue);
    pop(&thief_queue);
}

static void thief_of_thief(void)
{
    uint32_t count = steal(&thief_queue, &other_queue);
    for (uint32_t i = 0; i < count; i++)
        pop(&other_queue);
}

static void drain(struct tri_queue *from)
{
    for (struct tri_task *task; (task = tri_queue_pop(from));)
        run(task);
}

static void check(void)
{
    drain(&queue);
    drain(&thief_queue);
    drain(&other_queue);
    for (int i = 0; i < TASKS; i++)
        model_assert(tasks[i].runs == tasks[i].payload);
}

static void full_setup(void)
{
    push(0);
    push(1);
}

static void without_barrier(void)
{
    tri_store(&queue.thieves, TRI_QUEUE_NO_BARRIER, TRI_RELAXED);
}

static const struct model_case cases[] = {
    { .name = "owner and thief", .check = check, .threads = { { "owner", owner, 0 }, { "thief", thief, 0 } } },
    { .name = "wrap", .check = check, .threads = { { "owner", wrap_owner, 0 }, { "thief", twice_thief, 0 } } },
    { .name = "staying thief", .check = check, .threads = { { "owner", owner, 0 }, { "thief", staying_thief, 0 } } },
    { .name = "without a barrier",
      .setup = without_barrier,
      .check = check,
      .threads = { { "owner", owner, 0 }, { "thief", staying_thief, 0 } } },
    { .name = "staying thief and another",
      .check = check,
      .threads = { { "owner", brief_owner, 0 }, { "thief", staying_thief, 0 }, { "other thief", other_thief, 0 } } },
    { .name = "two thieves",
      .check = check,
      .threads = { { "owner", brief_owner, 0 }, { "thief", thief, 0 }, { "other thief", other_thief, 0 } } },
    { .name = "two thieves, reuse",
      .check = check,
      .threads = { { "owner", reusing_owner, 0 }, { "thief", thief, 0 }, { "other thief", other_thief, 0 } } },
    { .name = "thief of thief",
      .setup = full_setup,
      .check = check,
      .threads = { { "thief", rich_thief, 0 }, { "thief of thief", thief_of_thief, 0 } } },
    { .name = "thief of staying thief",
      .setup = full_setup,
      .check = check,
      .threads = { { "thief", rich_staying_thief, 0 }, { "thief of thief", thief_of_thief, 0 } } },
    { 0 },
};
MODEL(cases);
