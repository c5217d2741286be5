/* SPDX-License-Identifier: MIT */
/*
 * scheduler.c: how a worker picks, starts, resumes and leaves tasks. Idling and stealing are in idle.c.
 *
 * The loop of a worker runs on a borrowed stack. To start a task it calls the body right there; a body that returns
 * without suspending has cost no switch. One that suspends takes the stack with it, the loop's frame at the base, and the
 * worker goes on elsewhere: straight on the stack of the next ready task that has one, else on a fresh loop. When the
 * suspended task's body returns at last, the loop frame beneath it carries on as the loop of whichever worker resumed it.
 *
 *   stack 1: [loop][body A ... suspend]   parked with A
 *   stack 2: [loop][body B ...        ]   running: B resumes A: stack 2 parks or is released, stack 1 runs
 *
 * Rules that make it sound:
 *   1. Nothing makes a task or a stack reachable before its context is saved: what must happen then (commit a park, queue
 *      again, release a stack) is left in the worker as a hook, and the first code on the other side runs it. Where there are
 *      no thieves, a task that yields may be queued before: nobody else looks there.
 *   2. No worker pointer and no thread-local address survives a suspension: tri_worker_here() is opaque to the compiler.
 *   3. Before a suspension the chain of held callers is queued: they are ordinary tasks from then on.
 */
#include "actor/scheduler.h"
#include "actor/deadline.h"
#include "actor/idle.h"
#include "actor/next.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ---- switching ------------------------------------------------------------------------------------------------ */

static void park_commit(struct tri_worker *worker, struct tri_task *task)
{
    if (!tri_park_commit(&task->park)) {
        tri_ready_last(worker, task);
        return;
    }
    /* From here the task may run elsewhere, or be another's; its mailbox is valid memory all the same. */
    tri_fence_after_rmw();
    if (tri_load(&task->consumer.waiting, TRI_RELAXED)) /* [M5] of mailbox.c, its sure half */
        tri_mailbox_grant(&task->mailbox, &task->consumer, tri_storage_cache(worker));
}

void tri_arrive_slow(struct tri_worker *worker, enum tri_hook hook)
{
    struct tri_task *task = worker->hook_task;
    worker->hook = TRI_HOOK_NONE;
    if (hook == TRI_HOOK_PARK)
        park_commit(worker, task);
    else if (hook == TRI_HOOK_RELEASE)
        tri_stack_give(worker->no_caches ? NULL : &worker->stacks, worker->stack_class, worker->hook_stack);
    else if (worker->migrate && tri_pin(task) == 0)
        tri_ready(task);
    else
        tri_ready_last(worker, task);
}

/* A stack ran over its end where no guard page could stop it. */
static __attribute__((noinline, noreturn, cold)) void die_of_overflow(struct tri_task *task, struct tri_stack *stack)
{
    tr_log(TR_LOG_ERROR,
           "stack overflow in %s '%s' (stack of %zu KiB): the canary at its end is gone; give it a larger "
           "stack_bytes",
           task && tri_task_is(task, TRI_TASK_ACTOR) ? "actor" : "task", task ? tri_task_label(task) : "?",
           (size_t)(stack->bytes / 1024));
    abort();
}

static inline struct tri_stack *take_stack(struct tri_worker *worker, uint32_t size_class)
{
    return tri_stack_take(worker->no_caches ? NULL : &worker->stacks, worker->stack_class, size_class);
}

/* The stack of a task that goes on. */
static inline struct tri_stack *own_stack(struct tri_worker *worker, struct tri_task *task)
{
    struct tri_stack *stack = task->stack;
    task->stack = NULL; /* it has none again, should it end or go idle */
    worker->current = task;
    return stack;
}

/* The stack on which `next` goes on (NULL: a loop looks further), or NULL when memory is out. */
static inline struct tri_stack *stack_for(struct tri_worker *worker, struct tri_task *next)
{
    if (next && next->stack)
        return own_stack(worker, next);
    struct tri_stack *stack = take_stack(worker, next ? next->stack_class : worker->stack_class);
    if (stack) {
        worker->hand = next;
        worker->current = NULL;
    }
    return stack;
}

/* As stack_for. A task of a size of its own that there is no memory for meets its end in a loop: see leave_without. */
static inline struct tri_stack *stack_or_loop(struct tri_worker *worker, struct tri_task *next)
{
    struct tri_stack *to = stack_for(worker, next);
    if (__builtin_expect(!to, 0) && next && next->stack_class != worker->stack_class &&
        (to = stack_for(worker, NULL)) != NULL)
        worker->hand = next;
    return to;
}

/* Rule 3: those who were held wait like anybody else from now on. */
static void release_held(struct tri_worker *worker)
{
    while (worker->held) {
        struct tri_task *task = worker->held;
        worker->held = task->next;
        tri_ready_last(worker, task);
    }
}

/* The turn of an embedded runtime is over (turn.h): back to the program, also from the middle of a task. */
static __attribute__((noinline, cold)) struct tri_stack *leave_turn(struct tri_worker *worker, enum tri_hook hook)
{
    worker->current->stack = worker->stack;
    worker->hook = hook;
    worker->hook_task = worker->current;
    worker->current = NULL;
    return &worker->os_stack;
}

static inline uint64_t size_bit(const struct tri_task *task)
{
    return UINT64_C(1) << task->stack_class;
}

/*
 * No memory for a stack of `unstarted` (NULL: for a loop's): the next one who can go on, of at most `tries`, or NULL. Then a task that
 * yields goes on itself: it may be the one who brings about that a stack is free. It has had a turn, so that a pass comes all
 * the same. `loop`: the stack of the loop that asks, where a task of that size can begin as well.
 */
static __attribute__((noinline, cold)) struct tri_stack *scrape_turn(struct tri_worker *worker, struct tri_stack *loop,
                                                                     struct tri_task *unstarted, uint32_t tries)
{
    struct tri_stack *stack = NULL;
    struct tri_task *put_off = NULL, **end = &put_off; /* not back before all have been tried: nobody is tried twice */
    uint64_t none = unstarted ? size_bit(unstarted) : 0; /* sizes without memory */
    for (; unstarted && !stack && tries > 0; tries--) {
        struct tri_task *next = next_task(worker);
        if (!next)
            break;
        if (loop && !next->stack && next->stack_class == loop->size_class) {
            worker->hand = next;
            stack = loop;
        } else if (next->stack || !(none & size_bit(next))) {
            stack = stack_for(worker, next);
        }
        if (!stack) {
            none |= size_bit(next);
            *end = next;
            end = &next->next;
        }
    }
    *end = NULL;
    while (put_off) {
        struct tri_task *next = put_off->next;
        tri_ready_last(worker, put_off);
        put_off = next;
    }
    if (unstarted) /* behind the others: one of them is tried first the next time */
        tri_ready_last(worker, unstarted);
    if (!stack)
        tri_count(&worker->switches);
    return stack;
}

/* Nobody who is ready has a stack. A while later one may have been given back. */
static void await_stack(struct tri_worker *worker)
{
    tri_clock_renew(worker);
    tri_reactor_poll(worker->reactor, worker->real + TR_MILLISECOND);
    tri_pass(worker);
}

/* No memory for a loop's stack: go on here, resuming tasks that have one, until a stack or our own wake turns up. */
static struct tri_stack *scrape_stack(struct tri_worker *worker, enum tri_hook hook, struct tri_task *unstarted)
{
    struct tri_task *self = worker->current;
    for (bool told = false;; told = true) {
        struct tri_stack *stack = scrape_turn(worker, NULL, unstarted, TRI_QUEUE_SLOTS);
        if (stack || hook == TRI_HOOK_REQUEUE)
            return stack;
        if (worker->turns) /* it may be for the program to do something about it: see first_stack */
            return leave_turn(worker, hook);
        if (!told)
            tr_log(TR_LOG_ERROR, "no memory for another stack: %u tasks wait for one",
                   tri_queue_length(&worker->queue));
        await_stack(worker);
        if (hook == TRI_HOOK_PARK && tri_park_consume(&self->park))
            return NULL;
        unstarted = next_task(worker);
        stack = stack_or_loop(worker, unstarted);
        if (stack)
            return stack;
    }
}

/* As stack_for; short of memory, as scrape_stack. */
static struct tri_stack *stack_or_scrape(struct tri_worker *worker, enum tri_hook hook, struct tri_task *next)
{
    struct tri_stack *to = stack_or_loop(worker, next);
    return to ? to : scrape_stack(worker, hook, next);
}

/* The caller on top of the held chain, if the task that leaves has answered it: it goes on without any queue. */
static inline struct tri_stack *answered_caller(struct tri_worker *worker)
{
    struct tri_task *task = worker->held;
    struct tri_stack *to = task->stack;
    if (!to->awaits || !tri_reply_done(to->awaits))
        return NULL;
    worker->held = task->next;
    return own_stack(worker, task);
}

/* A task yields, and nobody is ready. */
static __attribute__((noinline)) struct tri_stack *look_further(struct tri_worker *worker, enum tri_hook hook)
{
    bool over = tri_pass(worker);
    struct tri_task *next = next_task(worker);
    if (!next && over)
        return leave_turn(worker, hook);
    if (!next && !worker->migrate) /* a yield to nobody; the pass says that it does not hog the worker */
        return NULL;
    return stack_or_scrape(worker, hook, next);
}

/* Where the next ready task goes on. NULL: nowhere, the leaving task has been woken meanwhile, or nobody else is ready. */
static struct tri_stack *next_stack(struct tri_worker *worker, enum tri_hook hook)
{
    struct tri_task *self = worker->current;
    struct tri_task *next = next_task(worker);
    if (!next && hook == TRI_HOOK_REQUEUE)
        return look_further(worker, hook);
    /*
     * A park with nothing ready makes no pass: the loop that follows submits and waits with one system call. One that has
     * been woken meanwhile (by the pass, say) goes on only if nobody else is ready: with a new budget each time it would
     * starve them.
     */
    if (!next && hook == TRI_HOOK_PARK && tri_park_consume(&self->park))
        return NULL;
    return stack_or_scrape(worker, hook, next);
}

/* What is left to be done for `self`, whose stack it was, on the other side of the switch. */
static inline void leave_behind(struct tri_worker *worker, struct tri_task *self, struct tri_stack *from,
                                enum tri_hook hook)
{
    self->stack = from;
    worker->hook = hook;
    worker->hook_task = self;
}

static __attribute__((noinline)) struct tri_stack *leave_slow(struct tri_worker *worker, enum tri_hook hook)
{
    struct tri_task *self = worker->current;
    struct tri_stack *from = worker->stack;
    struct tri_stack *to = NULL;
    if (__builtin_expect(!tri_stack_intact(from), 0))
        die_of_overflow(self, from);
    if (worker->held && !(to = answered_caller(worker)))
        release_held(worker);
    if (tri_pass_due(worker) && tri_pass(worker) && !to)
        return leave_turn(worker, hook);
    if (!to && !(to = next_stack(worker, hook)))
        return NULL;
    leave_behind(worker, self, from, hook);
    return to;
}

/* To a task that has been taken out of the ring, and has no stack yet. */
static __attribute__((noinline)) struct tri_stack *leave_for_fresh(struct tri_worker *worker, enum tri_hook hook,
                                                                   struct tri_task *next)
{
    struct tri_task *self = worker->current;
    struct tri_stack *from = worker->stack;
    struct tri_stack *to = stack_or_scrape(worker, hook, next);
    if (to)
        leave_behind(worker, self, from, hook);
    return to;
}

/*
 * The next ready task, taken out, if there is one whose turn is plain. NULL: look properly. Without thieves it is left where
 * it is, if it has no stack.
 */
static inline __attribute__((always_inline)) struct tri_task *next_plain(struct tri_worker *worker)
{
    struct tri_queue *queue = &worker->queue;
    struct tri_task *next = tri_load(&worker->lifo, TRI_RELAXED);
    uint32_t head = tri_load(&queue->head, TRI_RELAXED), tail = tri_load(&queue->tail, TRI_RELAXED);
    if (next) {
        if (!worker->alone || !next->stack || worker->lifo_run + 1 >= LIFO_RUN_LIMIT)
            return NULL;
        tri_store(&worker->lifo, NULL, TRI_RELAXED); /* alone: there is no raid to look out for */
        worker->lifo_run++;
        return next;
    }
    if (head == tail || pinned_turn(worker, head))
        return NULL;
    if (worker->alone) {
        next = tri_load(&queue->slots[head % TRI_QUEUE_SLOTS], TRI_RELAXED);
        if (!next->stack)
            return NULL;
        tri_store(&queue->head, head + 1, TRI_RELAXED);
        fetch_ahead(queue, head + 1, tail);
    } else {
        next = tri_queue_pop(queue);
    }
    worker->lifo_run = 0;
    return next;
}

/* Without thieves nobody looks at the ring before the switch: who yields may be in it before its context is saved. */
static inline bool queued_at_once(struct tri_worker *worker, struct tri_task *self, enum tri_hook hook)
{
    return hook == TRI_HOOK_REQUEUE && worker->alone && !worker->migrate && tri_pin(self) == 0 &&
           tri_load(&worker->overflow.count, TRI_RELAXED) == 0 && tri_queue_push(&worker->queue, self);
}

/* The plain cases in a leaf: back to a held caller that has its answer, or on to the next ready task. */
struct tri_stack *tri_leave(struct tri_worker *worker, enum tri_hook hook)
{
    struct tri_task *self = worker->current, *next = NULL;
    struct tri_stack *from = worker->stack, *to = NULL;
    if (__builtin_expect(tri_pass_due(worker) || !tri_stack_intact(from), 0))
        return leave_slow(worker, hook);
    if (worker->held)
        to = answered_caller(worker);
    else
        next = next_plain(worker);
    if (next) {
        worker->budget = TRI_BUDGET;
        if (!next->stack)
            return leave_for_fresh(worker, hook, next);
        to = own_stack(worker, next);
    }
    if (!to)
        return leave_slow(worker, hook);
    if (queued_at_once(worker, self, hook))
        self->stack = from;
    else
        leave_behind(worker, self, from, hook);
    return to;
}

/* The caller's stack and record, on top of the held chain. */
static inline void hold_caller(struct tri_worker *worker, struct tri_task *self, struct tri_slot *awaits)
{
    struct tri_stack *from = worker->stack;
    if (__builtin_expect(!tri_stack_intact(from), 0))
        die_of_overflow(self, from);
    from->awaits = awaits;
    self->stack = from;
    self->next = worker->held;
    worker->held = self;
}

static __attribute__((noinline)) struct tri_stack *leave_held_slow(struct tri_worker *worker, struct tri_task *next,
                                                                   struct tri_slot *awaits)
{
    struct tri_task *self = worker->current;
    struct tri_stack *to = stack_for(worker, next);
    if (to)
        hold_caller(worker, self, awaits);
    return to;
}

struct tri_stack *tri_leave_held(struct tri_worker *worker, struct tri_task *next, struct tri_slot *awaits)
{
    struct tri_task *self = worker->current;
    struct tri_stack *to;
    if (next->stack) {
        hold_caller(worker, self, awaits);
        to = own_stack(worker, next);
    } else {
        to = worker->no_caches ? NULL : tri_stack_take_cached(&worker->stacks, worker->stack_class, next->stack_class);
        if (!to)
            return leave_held_slow(worker, next, awaits);
        hold_caller(worker, self, awaits);
        worker->hand = next; /* and soon the current one */
    }
    return to;
}

void tri_give_way(struct tri_worker *worker)
{
    tri_suspend(worker, TRI_HOOK_REQUEUE);
}

/* ---- the loop ------------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void start_task(struct tri_worker *worker, struct tri_task *task)
{
    worker->current = task;
    tri_forget_scopes(worker);
    if (tri_task_is(task, TRI_TASK_HANDLER)) {
        tri_handler_run(task);
        return;
    }
    int result = task->body(task->argument);
    tri_task_end(task, result);
}

/* The task to go on with after one has returned or gone idle: a held caller first. */
static struct tri_task *after_task(struct tri_worker *worker)
{
    struct tri_task *task = worker->held;
    if (task) {
        worker->held = task->next;
        tri_count(&worker->switches);
    } else {
        worker->current = NULL;
    }
    return task;
}

/*
 * The stack under us goes back to the pool, once we have left it. Into the worker's own cache it may go at once: nobody but
 * this thread takes from that, and not before it has made the switch.
 */
static inline void release_after_switch(struct tri_worker *worker, struct tri_stack *stack)
{
    if (__builtin_expect(!worker->no_caches && tri_stack_give_cached(&worker->stacks, worker->stack_class, stack), 1))
        return;
    worker->hook = TRI_HOOK_RELEASE;
    worker->hook_stack = stack;
}

/*
 * On the other side of a switch to a loop. Returns what it is to start; NULL: it is to look for itself. Whoever goes to a loop has
 * said which, so that nothing need be cleared.
 */
static inline __attribute__((always_inline)) struct tri_task *arrive_in_loop(void)
{
    struct tri_worker *worker = tri_worker_here();
    tri_arrive(worker);
    return worker->hand;
}

/* No memory for the stack of `task`. One of a size of its own ends; the usual ones come back, and it waits for that. */
static __attribute__((noinline, cold)) struct tri_stack *leave_without(struct tri_worker *worker, struct tri_task *task)
{
    if (task->stack_class == worker->stack_class) {
        struct tri_stack *to = scrape_turn(worker, worker->stack, task, TRI_QUEUE_SLOTS);
        if (!to && !worker->turns)
            await_stack(worker);
        return to;
    }
    worker->current = task;
    tr_log(TR_LOG_ERROR, "no memory for the stack of '%s': it ends with -ENOMEM", tri_task_label(task));
    tri_task_end(task, -ENOMEM);
    tri_worker_here()->current = NULL; /* the end may have suspended */
    return NULL;
}

/*
 * Leaves this loop's stack, which is released, for the task's own or a fresh one of its class. Returns as arrive_in_loop, also if
 * another task is to begin on this stack.
 */
static inline __attribute__((always_inline)) struct tri_task *leave_loop(struct tri_worker *worker,
                                                                         struct tri_task *task)
{
    struct tri_stack *from = worker->stack;
    struct tri_stack *to = stack_for(worker, task);
    if (__builtin_expect(!to, 0) && !(to = leave_without(worker, task)))
        return NULL;
    if (__builtin_expect(to != from, 1)) {
        release_after_switch(worker, from);
        tri_switch_stacks(worker, from, to);
    }
    return arrive_in_loop();
}

/* The end of the worker, or of the turn: back to the thread's own stack. Returns as arrive_in_loop. */
static struct tri_task *leave_worker(struct tri_worker *worker)
{
    release_after_switch(worker, worker->stack);
    tri_switch_stacks(worker, worker->stack, &worker->os_stack);
    return arrive_in_loop(); /* the stack has been taken again, perhaps in another runtime */
}

void tri_loop_entry(struct tri_stack *stack)
{
    tri_asan_arrive(NULL);
    struct tri_task *task = arrive_in_loop();
    for (;;) {
        struct tri_worker *worker = tri_worker_here();
        if (!task)
            task = after_task(worker);
        if (!task) {
            if (__builtin_expect(tri_pass_due(worker), 0) && tri_pass(worker)) {
                task = leave_worker(worker);
                continue;
            }
            task = next_task(worker);
            if (__builtin_expect(!task, 0)) {
                if (tri_idle(worker) == TRI_IDLE_EXIT)
                    task = leave_worker(worker);
                continue;
            }
            tri_count(&worker->switches);
            if (__builtin_expect(worker->on_watch, 0))
                tri_leave_watch(worker);
        }
        if (task->stack || task->stack_class != stack->size_class) {
            task = leave_loop(worker, task);
        } else {
            start_task(worker, task);
            task = NULL;
        }
    }
}

/* ---- the thread ----------------------------------------------------------------------------------------------- */

/* Where the worker begins: in a loop; in a turn without memory for one, with a task that has a stack. NULL: *result. */
static struct tri_stack *first_stack(struct tri_worker *worker, int *result)
{
    struct tri_stack *to = take_stack(worker, worker->stack_class);
    worker->hand = NULL;
    *result = 0;
    while (!to && worker->turns) {
        struct tri_task *task = next_task(worker);
        if (!task && tri_idle(worker) == TRI_IDLE_EXIT)
            return NULL;
        if (task && !(to = stack_for(worker, task)) && !(to = scrape_turn(worker, NULL, task, UINT32_MAX)))
            break;
    }
    if (!to && !worker->turns)
        tr_log(TR_LOG_ERROR, "worker %u: no memory for its first stack", worker->index);
    if (!to)
        *result = -ENOMEM;
    return to;
}

int tri_worker_loop(struct tri_worker *worker)
{
    int rc;
    tri_worker_tls = worker;
    worker->os_stack.fiber = tri_fiber_current();
    worker->stack = &worker->os_stack;
    struct tri_stack *to = first_stack(worker, &rc);
    if (to) {
        tri_switch_stacks(worker, &worker->os_stack, to);
        tri_arrive(tri_worker_here());
    }
    tri_worker_tls = NULL;
    return rc;
}
