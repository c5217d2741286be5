/* SPDX-License-Identifier: MIT */
/*
 * model_reactor.c: what is the same for every backend: io/reactor.c, and io/op.c, on a backend of the model. A thread "kernel"
 * ends operations when it likes; a wake-up descriptor is a counter; a poll that waits does so for one of the two.
 *
 *   end         a task that has moved to another worker waits for its operation x the owner x the kernel
 *   deadline    the same with a deadline: the operation is withdrawn, has ended, or both at once
 *   two         two tasks withdraw an operation each
 *   here        the task is still on the owner's thread when it withdraws
 *   late        a task comes to wait for an operation that was started without one x the owner x the kernel
 *   late, ...   the same with a deadline; with an operation of two steps; with both
 *   at once     the operation ends as it is submitted, with a wait of the owner that counts on that and on something else
 *   backlog     the same, and there was no room for it before the owner's first poll
 *   wake        a waker publishes something x an owner that waits
 *   wakes       two of them
 *   doze, ...   the same with an owner that looks at the descriptors itself (tri_reactor_watch)
 *
 * In each: a wait ends, once, with the result of its operation or its own; the frame is the task's again afterwards, which
 * puts it to another use at once; and what was published before a wake is seen after it.
 */
#include "fake_waiter.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static ssize_t fake_write(int fd, const void *bytes, size_t count);
static ssize_t fake_read(int fd, void *bytes, size_t count);
#define write fake_write
#define read fake_read
#include "io/op.c"
#include "io/reactor.c"
#undef write
#undef read

enum { OWNER = 0, OPS = 2, RESULT = 7 };

static struct tri_reactor reactor;
static struct tri_io_op frames[OPS];
static TRI_ATOMIC(uint32_t) finished[OPS]; /* by the kernel; orders nothing */
static TRI_ATOMIC(uint32_t) descriptor;    /* the eventfd's count; orders nothing */
static bool in_flight[OPS], withdrawn[OPS];
static int results[OPS];

/* ---- what the machine does ---- */

static ssize_t fake_write(int fd, const void *bytes, size_t count)
{
    (void)fd, (void)bytes;
    tri_fetch_add(&descriptor, 1u, TRI_RELAXED);
    return (ssize_t)count;
}

static ssize_t fake_read(int fd, void *bytes, size_t count)
{
    (void)fd, (void)bytes;
    tri_exchange(&descriptor, 0u, TRI_RELAXED);
    return (ssize_t)count;
}

struct tri_reactor *tri_reactor_here(void)
{
    return model_self() == OWNER ? &reactor : NULL;
}

void tr_log(enum tr_log_level level, const char *format, ...)
{
    (void)level, (void)format;
}

static bool fake_submit(struct tri_reactor *of, struct tri_io_op *op)
{
    (void)of;
    in_flight[op - frames] = true;
    return false;
}

static void complete(size_t i, int result)
{
    in_flight[i] = false;
    tri_io_complete(&reactor, &frames[i], result);
}

static void fake_cancel(struct tri_reactor *of, struct tri_io_op *op)
{
    size_t i = (size_t)(op - frames);
    model_assert(of == &reactor && in_flight[i]);
    if (model_choose(2) == 0)
        complete(i, -ECANCELED);
    else
        withdrawn[i] = true;
}

static bool has_event(const void *argument)
{
    (void)argument;
    bool any = model_peek(&descriptor) != 0;
    for (size_t i = 0; i < OPS; i++)
        any |= in_flight[i] && (withdrawn[i] || model_peek(&finished[i]) != 0);
    return any;
}

static bool is_woken(const void *argument)
{
    (void)argument;
    return model_peek(&descriptor) != 0;
}

static bool counts_on_more;    /* an operation that has time is submitted with the next wait */
static int polls_until_filled; /* it waits for room in the submission queue for so long */

static void fake_poll(struct tri_reactor *of, tr_time until)
{
    if (polls_until_filled > 0 && --polls_until_filled == 0)
        counts_on_more = tri_io_has_time(&frames[0]);
    bool hurry = tri_load(&of->hurry, TRI_ACQUIRE); /* [I5] */
    if (hurry)
        tri_store(&of->hurry, false, TRI_RELAXED);
    else if (counts_on_more && until <= TR_NOW)
        return; /* not submitted yet: it has time */
    bool more = counts_on_more && !hurry;
    counts_on_more = false;
    if (polls_until_filled > 0)
        return; /* it has entered for what filled the queue */
    if (until > TR_NOW) {
        model_block(more ? is_woken : has_event, of);
        tri_exchange(&descriptor, 0u, TRI_RELAXED);
    }
    for (size_t i = 0; i < OPS; i++) {
        if (!in_flight[i])
            continue;
        bool done = tri_fetch_add(&finished[i], 0u, TRI_RELAXED) != 0; /* the kernel looks at the newest value */
        if (done || withdrawn[i])
            complete(i, done ? RESULT : -ECANCELED);
    }
}

static int fake_watch(struct tri_reactor *of)
{
    (void)of;
    return 3;
}

static const struct tri_backend backend = {
    .submit = fake_submit, .cancel = fake_cancel, .poll = fake_poll, .watch = fake_watch
};
const struct tri_backend tri_backend_uring = { .name = "" }, tri_backend_epoll = { .name = "" }; /* not chosen here */

/* ---- the parts ---- */

static void setup(void)
{
    reactor.backend = &backend;
}

/* The task was on the owner's worker when it began the operation. */
static void begin(size_t i, int thread)
{
    frames[i] = (struct tri_io_op){ .kind = TRI_IO_RECEIVE };
    tri_io_start(&frames[i], &reactor, &fake_tasks[thread + 1]);
}

static void setup_one(void)
{
    setup();
    begin(0, 1);
}

static void setup_two(void)
{
    setup();
    begin(0, 1);
    begin(1, 2);
}

static int steps;

static bool has_two_steps(struct tri_io_op *op)
{
    if (op->result == RESULT && op->withdrawn)
        op->result = -ECANCELED;
    return op->result == RESULT && ++steps < 2;
}

static bool has_one_step(struct tri_io_op *op)
{
    (void)op;
    return false;
}

static void begin_late(bool (*goes_on)(struct tri_io_op *op))
{
    setup();
    frames[0] = (struct tri_io_op){ .kind = TRI_IO_SEND, .goes_on = goes_on };
    tri_io_start(&frames[0], &reactor, NULL);
}

static void setup_late(void)
{
    begin_late(has_one_step);
}

static void setup_steps(void)
{
    begin_late(has_two_steps);
}

static void setup_at_once(void)
{
    begin_late(has_one_step);
    tri_store(&finished[0], 1u, TRI_RELAXED);
    counts_on_more = true;
}

static void setup_backlog(void)
{
    setup_at_once();
    counts_on_more = false;
    polls_until_filled = 2;
}

static void owner(void)
{
    for (;;)
        tri_reactor_poll(&reactor, TR_FOREVER);
}

/* Has other tasks first. */
static void busy_owner(void)
{
    tri_reactor_poll(&reactor, TR_NOW);
    tri_reactor_poll(&reactor, TR_NOW);
    owner();
}

static void kernel(void)
{
    tri_fetch_or(&finished[0], 1u, TRI_RELAXED);
}

static void finish(size_t i, tr_time deadline)
{
    results[i] = tri_io_finish(&frames[i], deadline);
    memset(&frames[i], 0x5a, sizeof frames[i]); /* the frame is left, and another is there */
}

static void waiter(void)
{
    finish(0, TR_FOREVER);
}

/* As tr_write_finish does it. */
static void finish_late(tr_time deadline)
{
    if (!tri_io_ended(&frames[0]))
        tri_io_await(&frames[0], &fake_tasks[2]);
    finish(0, deadline);
}

static void late_waiter(void)
{
    finish_late(TR_FOREVER);
}

static void late_impatient(void)
{
    finish_late(1);
}

static void impatient(void)
{
    finish(0, 1);
}

static void impatient_too(void)
{
    finish(1, 1);
}

/* The owner's thread goes on with the task, then polls. */
static void impatient_owner(void)
{
    if (!tri_io_ended(&frames[0])) {
        tri_io_cancel(&frames[0]);
        while (!tri_io_ended(&frames[0]))
            tri_reactor_poll(&reactor, TR_FOREVER);
    }
    results[0] = frames[0].result;
}

static void check_result(void)
{
    model_assert(results[0] == RESULT && reactor.in_flight == 0);
}

static void check_one(void)
{
    model_assert(results[0] == RESULT || results[0] == -ETIMEDOUT);
    model_assert(reactor.in_flight == 0 && reactor.completions == 1 && !tri_load(&reactor.cancels, TRI_RELAXED));
}

static void check_here(void)
{
    model_assert(results[0] == RESULT || results[0] == -ECANCELED);
    model_assert(reactor.in_flight == 0 && reactor.completions == 1);
}

static void check_two(void)
{
    for (size_t i = 0; i < OPS; i++)
        model_assert(results[i] == -ETIMEDOUT);
    model_assert(reactor.in_flight == 0 && reactor.completions == 2 && !tri_load(&reactor.cancels, TRI_RELAXED));
}

/* ---- wakes ---- */

static TRI_ATOMIC(uint32_t) work; /* as the counts of the scheduler's queues: looked at without an order */

static void publish(uint32_t bit)
{
    tri_fetch_or(&work, bit, TRI_RELAXED);
    tri_reactor_wake(&reactor);
}

static void waker(void)
{
    publish(1);
}

static void second_waker(void)
{
    publish(2);
}

static void wait_here(void)
{
    tri_reactor_poll(&reactor, TR_FOREVER);
}

/* As actor/turn.c does it. */
static void wait_outside(void)
{
    if (tri_reactor_watch(&reactor) >= 0 && tri_reactor_doze(&reactor))
        model_block(has_event, &reactor);
    tri_reactor_rouse(&reactor);
    tri_reactor_poll(&reactor, TR_NOW);
}

/* A worker that misses what it was woken for sleeps for ever: a deadlock. */
static void work_all(uint32_t all, void (*wait)(void))
{
    while (tri_load(&work, TRI_RELAXED) != all)
        wait();
}

static void worker(void)
{
    work_all(1, wait_here);
}

static void worker_of_two(void)
{
    work_all(3, wait_here);
}

static void dozing_worker(void)
{
    work_all(1, wait_outside);
}

static void dozing_worker_of_two(void)
{
    work_all(3, wait_outside);
}

static void dozing_owner(void)
{
    for (;;)
        wait_outside();
}

static const struct model_case cases[] = {
    { .name = "end",
      .setup = setup_one,
      .check = check_result,
      .threads = { { "owner", owner, true }, { "task", waiter, 0 }, { "kernel", kernel, 0 } } },
    { .name = "deadline",
      .setup = setup_one,
      .check = check_one,
      .threads = { { "owner", owner, true }, { "task", impatient, 0 }, { "kernel", kernel, 0 } } },
    { .name = "two",
      .setup = setup_two,
      .check = check_two,
      .threads = { { "owner", owner, true }, { "task", impatient, 0 }, { "other task", impatient_too, 0 } } },
    { .name = "here",
      .setup = setup_one,
      .check = check_here,
      .threads = { { "owner and task", impatient_owner, 0 }, { "kernel", kernel, 0 } } },
    { .name = "late",
      .setup = setup_late,
      .check = check_result,
      .threads = { { "owner", owner, true }, { "task", late_waiter, 0 }, { "kernel", kernel, 0 } } },
    { .name = "late, deadline",
      .setup = setup_late,
      .check = check_one,
      .threads = { { "owner", owner, true }, { "task", late_impatient, 0 }, { "kernel", kernel, 0 } } },
    { .name = "late, steps",
      .setup = setup_steps,
      .check = check_result,
      .threads = { { "owner", owner, true }, { "task", late_waiter, 0 }, { "kernel", kernel, 0 } } },
    { .name = "late, steps, deadline",
      .setup = setup_steps,
      .check = check_one,
      .threads = { { "owner", owner, true }, { "task", late_impatient, 0 }, { "kernel", kernel, 0 } } },
    { .name = "at once",
      .setup = setup_at_once,
      .check = check_result,
      .threads = { { "owner", owner, true }, { "task", late_waiter, 0 } } },
    { .name = "backlog",
      .setup = setup_backlog,
      .check = check_result,
      .threads = { { "owner", busy_owner, true }, { "task", late_waiter, 0 } } },
    { .name = "wake", .setup = setup, .threads = { { "worker", worker, 0 }, { "waker", waker, 0 } } },
    { .name = "wakes",
      .setup = setup,
      .threads = { { "worker", worker_of_two, 0 }, { "waker", waker, 0 }, { "second", second_waker, 0 } } },
    { .name = "doze", .setup = setup, .threads = { { "worker", dozing_worker, 0 }, { "waker", waker, 0 } } },
    { .name = "doze, wakes",
      .setup = setup,
      .threads = { { "worker", dozing_worker_of_two, 0 }, { "waker", waker, 0 }, { "second", second_waker, 0 } } },
    { .name = "doze, two",
      .setup = setup_two,
      .check = check_two,
      .threads = { { "owner", dozing_owner, true }, { "task", impatient, 0 }, { "other task", impatient_too, 0 } } },
    { 0 },
};
MODEL(cases);
