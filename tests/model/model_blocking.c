/* SPDX-License-Identifier: MIT */
/*
 * model_blocking.c: the pool for blocking work: actor/blocking.c and job.c on threads of the model. In every case: a job runs
 * once or never, as its caller is told; its result is taken or dropped, once; and who must be woken is.
 *
 *   call        a caller x a thread: the result is seen
 *   deadline    a caller with a deadline x a thread: an orphan, or nothing, or a result after all
 *   two         two callers, one of them with a deadline x one thread, a queue of one: room goes from hand to hand
 *   room        a full queue of one: two callers wait for room, one of them with a deadline x one thread
 *   idle        threads that may end for lack of work x a caller: nobody waits for a thread that has gone
 *   threads     two callers x two threads
 *   cancel      a joiner x a canceller x a thread
 *   cancel two  two cancellers x a thread
 *   stale       two cancellers, of whom one goes on to start a job, in the same record, in another pool
 *   stale join, stale detach   the same with a late joiner or detacher
 *   detach      a detacher x a thread
 *   detach, cancel
 *   join twice  two joiners x a thread
 *   give up     a joiner that gives up and comes again x a thread
 *   no thread   two callers x no thread to be had
 *   close       the end of the pool x a caller x a thread; the pool's memory has a new tenant at once
 *   close, room  the end of the pool x a caller with a deadline who waits for room x a thread
 *   close job   the end of the pool x a joiner by handle x a thread
 *   close, cancel  the end of the pool x a canceller, who may be the last to say that nothing is under way
 */
#include "fake_lock.h"
#include "fake_waiter.h"

#include "actor/blocking.c"
#include "actor/job.c"
#include "mailbox/pool.c"
#include "mailbox/wait.c"

enum { JOBS = 4 };

static struct tri_blocking *pool, *tenant;

/* Those to whom a pool says that it is busy: its runtime, and the next one. */
struct owner {
    TRI_ATOMIC(uint32_t) holds, gone;
};
static struct owner owner, successor;

static struct tr_job handle;
static TRI_ATOMIC(uint32_t) made, over;
static uint32_t available;
static bool impatient, elsewhere;
static int runs[JOBS], drops[JOBS], drops_unstarted[JOBS];
static int codes[MODEL_THREADS], answers[MODEL_THREADS];
static bool started[MODEL_THREADS];

/* ---- what the pool needs of the system ---- */

static bool is_made(const void *index)
{
    return model_peek(&made) > *(const uint32_t *)index;
}

int tri_blocking_thread(struct tri_blocking *of)
{
    (void)of;
    if (model_peek(&made) == available)
        return -ENOMEM;
    tri_fetch_add(&made, 1u, TRI_RELEASE);
    return 0;
}

/* As hold_clock of actor/runtime.c: of a runtime that has not gone. */
static void note_busy(void *context, bool busy)
{
    struct owner *of = context;
    model_assert(model_peek(&of->gone) == 0);
    tri_fetch_add(&of->holds, busy ? 1u : UINT32_MAX, TRI_RELAXED);
}

static void serve(uint32_t index)
{
    model_block(is_made, &index);
    model_assert(tri_fetch_add(&made, 0u, TRI_ACQUIRE) > index);
    tri_blocking_serve(pool);
}

static void serve_first(void)
{
    serve(0);
}

static void serve_second(void)
{
    serve(1);
}

struct bell {
    struct tri_blocking *of;
    uint32_t seen;
};

static bool is_rung(const void *argument)
{
    const struct bell *bell = argument;
    return model_peek(&bell->of->bell) != bell->seen;
}

/* The kernel looks at the newest value. */
bool tri_blocking_sleep(struct tri_blocking *of, uint32_t seen, int64_t nanoseconds)
{
    struct bell bell = { of, seen };
    (void)nanoseconds;
    if (impatient && model_choose(2)) {
        model_yield();
        return false;
    }
    model_block(is_rung, &bell);
    return true;
}

void tri_foreign_scope_drop(void)
{
}

void tri_blocking_wake(struct tri_blocking *of, uint32_t count)
{
    (void)of, (void)count;
}

int tri_blocking_of(struct tr_runtime *runtime, struct tri_blocking **out)
{
    (void)runtime;
    *out = elsewhere ? tenant : pool;
    return 0;
}

tr_time tr_clock(void)
{
    return 0;
}

void tr_log(enum tr_log_level level, const char *format, ...)
{
    (void)level, (void)format;
}

/* ---- jobs ---- */

static int run(void *argument, void *result)
{
    int number = *(int *)argument;
    runs[number]++;
    *(int *)result = 10 + number;
    return 0;
}

static void drop(void *argument, void *result)
{
    int number = *(int *)argument;
    if (result) {
        model_assert(*(int *)result == 10 + number);
        drops[number]++;
    } else {
        drops_unstarted[number]++;
    }
}

static struct tr_work work_of(int *number)
{
    return (struct tr_work){
        .run = run, .argument = number, .argument_bytes = sizeof *number, .result_bytes = sizeof(int), .drop = drop
    };
}

static void call_until(int number, tr_time deadline)
{
    int self = model_self();
    struct tr_work work = work_of(&number);
    codes[self] = tr_blocking_raw(&work, &answers[self], &started[self], deadline);
    if (codes[self] == 0)
        model_assert(answers[self] == 10 + number && started[self] && runs[number] == 1);
}

static void call_first(void)
{
    call_until(0, TR_FOREVER);
}

static void call_second(void)
{
    call_until(1, TR_FOREVER);
}

static void call_third_bounded(void)
{
    call_until(2, 1);
}

static void call_first_bounded(void)
{
    call_until(0, 1);
}

static void call_second_bounded(void)
{
    call_until(1, 1);
}

static void start_one(void)
{
    int number = 0;
    struct tr_work work = work_of(&number);
    model_assert(tr_job_start(&handle, &work, TR_FOREVER) == 0);
}

static void join(void)
{
    int self = model_self();
    codes[self] = tr_job_join(handle, &answers[self], TR_FOREVER);
    model_assert(codes[self] < 0 || answers[self] == 10);
}

static void join_again(void)
{
    int self = model_self();
    codes[self] = tr_job_join(handle, &answers[self], 1);
    if (codes[self] == -ETIMEDOUT)
        join();
    model_assert(codes[self] == 0 && answers[self] == 10);
}

static void cancel(void)
{
    codes[model_self()] = tr_job_cancel(handle);
}

/* The record is free, and soon another's. */
static void cancel_and_start(void)
{
    cancel();
    elsewhere = true;
    struct tr_job first = handle, next;
    int number = 1;
    struct tr_work work = work_of(&number);
    model_assert(tr_job_start(&next, &work, TR_FOREVER) == 0);
    model_assert(next.tri_record != first.tri_record || next.tri_generation != first.tri_generation);
    model_assert(tr_job_cancel(next) == 0);
}

static void join_bounded(void)
{
    codes[model_self()] = tr_job_join(handle, NULL, 1);
}

static void detach(void)
{
    codes[model_self()] = tr_job_detach(handle);
}

/* As end_blocking of actor/runtime.c, and the next runtime. */
static void note_end(void *context)
{
    (void)context;
    tri_store(&over, tri_load(&over, TRI_RELAXED) + 1, TRI_RELAXED); /* an eventfd passes nothing */
}

struct event {
    uint32_t seen;
};

static bool has_ended(const void *argument)
{
    return model_peek(&over) != ((const struct event *)argument)->seen;
}

static void close_pool(void)
{
    static const struct tr_options options = { .blocking_threads = 1, .blocking_queue = 1 };
    struct event event = { 0 };
    tri_blocking_close(pool);
    while (!tri_blocking_is_over(pool)) {
        model_block(has_ended, &event);
        event.seen = tri_load(&over, TRI_RELAXED);
    }
    tri_store(&owner.gone, 1u, TRI_RELAXED);
    tri_blocking_destroy(pool);
    tenant = tri_blocking_create(&options, note_end, note_busy, &successor);
    model_assert(tenant == pool);
}

/* ---- setups and oracles ---- */

static void make_pool(uint32_t threads, uint32_t queue)
{
    struct tr_options options = { .blocking_threads = threads, .blocking_queue = queue };
    available = threads;
    pool = tri_blocking_create(&options, note_end, note_busy, &owner);
}

static void setup(void)
{
    make_pool(1, 1);
}

/* Its first thread may have gone when the caller comes. */
static void setup_impatient(void)
{
    make_pool(2, 1);
    impatient = true;
    start_one();
}

static void setup_two(void)
{
    make_pool(2, 1);
}

static void setup_none(void)
{
    make_pool(1, 1);
    available = 0;
}

static void setup_elsewhere(void)
{
    make_pool(2, 1);
    tenant = pool;
    make_pool(2, 1);
    start_one();
}

/* One is queued, and nobody serves it yet. */
static void setup_queued(void)
{
    make_pool(1, 1);
    start_one();
}

static void check_pool_empty(struct tri_blocking *of)
{
    model_assert(of->queued == 0 && of->running == 0 && of->waiting == 0 && of->calls == 0);
    model_assert(!of->queue.first && !of->run.first && !of->done.first && !of->room.last);
    model_assert(record_pool.total == record_pool.free_count);
    model_assert(model_peek(&((struct owner *)of->context)->holds) == 0);
}

/* The job of the caller in thread `thread`: what became of it is what the caller was told. */
static void check_call(int thread, int number)
{
    int code = codes[thread];
    model_assert(runs[number] == started[thread]);
    model_assert(drops[number] == (started[thread] && code != 0) && drops_unstarted[number] == 0);
    model_assert(code == 0 || code == -ETIMEDOUT || code == -ECANCELED || code == -ESRCH || code == -ENOMEM);
}

static void check_one(void)
{
    check_call(0, 0);
    check_pool_empty(pool);
}

static void check_call_done(void)
{
    model_assert(codes[0] == 0);
    check_one();
}

static void check_two(void)
{
    model_assert(codes[0] == 0);
    check_call(1, 1);
    check_one();
}

static void check_both_done(void)
{
    model_assert(codes[0] == 0 && codes[1] == 0);
    check_two();
}

/* The job of the setup is nobody's: its result waits. */
static void take_first(void)
{
    model_assert(runs[0] == 1 && tr_job_detach(handle) == 0 && drops[0] == 1);
}

static void check_room(void)
{
    take_first();
    model_assert(codes[0] == 0);
    check_call(0, 1);
    check_call(1, 2);
    check_pool_empty(pool);
}

static void check_idle(void)
{
    take_first();
    model_assert(codes[0] == 0);
    check_call(0, 1);
    check_pool_empty(pool);
}

static void check_none(void)
{
    model_assert(codes[0] == -ENOMEM && codes[1] == -ENOMEM);
    check_call(1, 1);
    check_one();
}

/* A joiner in thread 0, a canceller in thread 1. */
static void check_cancel(void)
{
    bool cancelled = codes[1] == 0;
    model_assert(codes[0] == (cancelled ? -ESRCH : 0));
    model_assert(cancelled || codes[1] == 1 || codes[1] == -ESRCH);
    model_assert(runs[0] == !cancelled && drops[0] + drops_unstarted[0] == 0);
    check_pool_empty(pool);
}

static void check_cancel_two(void)
{
    bool cancelled = codes[0] == 0 || codes[1] == 0;
    model_assert(!(codes[0] == 0 && codes[1] == 0));
    model_assert(runs[0] == !cancelled);
    if (!cancelled) /* it waits for its joiner, as a handle that was never joined */
        model_assert(codes[0] == 1 && codes[1] == 1 && tr_job_detach(handle) == 0 && drops[0] == 1);
    check_pool_empty(pool);
}

static void check_stale(void)
{
    model_assert((codes[0] == 0) + (codes[1] == 0) == 1 && (codes[0] == -ESRCH) + (codes[1] == -ESRCH) == 1);
    model_assert(runs[0] + runs[1] + drops_unstarted[0] + drops_unstarted[1] == 0);
    check_pool_empty(pool);
    check_pool_empty(tenant);
}

static void check_stale_join(void)
{
    model_assert(codes[0] == 0 && (codes[1] == -ESRCH || codes[1] == -ETIMEDOUT));
    codes[1] = -ESRCH;
    check_stale();
}

/* If the detacher was not late, the job waits in its queue. */
static void check_stale_detach(void)
{
    model_assert((codes[0] == 0) + (codes[1] == 0) == 1);
    model_assert(pool->queued == (codes[1] == 0) && tenant->queued == 0);
    model_assert(runs[0] + runs[1] + drops_unstarted[0] + drops_unstarted[1] == 0);
}

static void check_detach(void)
{
    model_assert(codes[0] == 0 && runs[0] == 1 && drops[0] == 1);
    check_pool_empty(pool);
}

static void check_detach_cancel(void)
{
    bool cancelled = codes[1] == 0;
    model_assert(codes[0] == (cancelled ? -ESRCH : 0));
    model_assert(runs[0] == !cancelled && drops[0] == !cancelled && drops_unstarted[0] == 0);
    check_pool_empty(pool);
}

static void check_join_twice(void)
{
    model_assert((codes[0] == 0) + (codes[1] == 0) == 1);
    int other = codes[0] == 0 ? codes[1] : codes[0];
    model_assert(other == -EINVAL || other == -ESRCH);
    model_assert(runs[0] == 1 && drops[0] == 0);
    check_pool_empty(pool);
}

static void check_give_up(void)
{
    model_assert(runs[0] == 1 && drops[0] == 0);
    check_pool_empty(pool);
}

static void check_close(void)
{
    check_call(0, 0);
    check_pool_empty(tenant);
    model_assert(!tenant->closing); /* the caller may have come to the new tenant */
}

static void check_close_room(void)
{
    model_assert(runs[0] == drops[0] && drops[0] + drops_unstarted[0] == 1);
    check_call(0, 1);
    check_pool_empty(tenant);
}

static void check_close_job(void)
{
    bool joined = codes[0] == 0;
    model_assert(joined || codes[0] == -ESRCH);
    model_assert(runs[0] == drops[0] + joined);
    model_assert(runs[0] + drops_unstarted[0] == 1); /* dropped also when somebody joins it */
    check_pool_empty(tenant);
}

static void check_close_cancel(void)
{
    model_assert(codes[0] == 0 || codes[0] == 1 || codes[0] == -ESRCH);
    model_assert(runs[0] == drops[0] && runs[0] + drops_unstarted[0] == (codes[0] != 0));
    check_pool_empty(tenant);
    model_assert(model_peek(&owner.holds) == 0);
}

static const struct model_case cases[] = {
    { .name = "call",
      .setup = setup,
      .check = check_call_done,
      .threads = { { "caller", call_first, 0 }, { "serves", serve_first, 1 } } },
    { .name = "deadline",
      .setup = setup,
      .check = check_one,
      .threads = { { "caller", call_first_bounded, 0 }, { "serves", serve_first, 1 } } },
    { .name = "two",
      .setup = setup,
      .check = check_two,
      .threads = { { "caller", call_first, 0 }, { "other", call_second_bounded, 0 }, { "serves", serve_first, 1 } } },
    { .name = "room",
      .setup = setup_queued,
      .check = check_room,
      .threads = { { "caller", call_second, 0 }, { "other", call_third_bounded, 0 }, { "serves", serve_first, 1 } } },
    { .name = "idle",
      .setup = setup_impatient,
      .check = check_idle,
      .threads = { { "caller", call_second, 0 }, { "serves", serve_first, 1 }, { "serves too", serve_second, 1 } } },
    { .name = "threads",
      .setup = setup_two,
      .check = check_both_done,
      .threads = { { "caller", call_first, 0 },
                   { "other", call_second, 0 },
                   { "serves", serve_first, 1 },
                   { "serves too", serve_second, 1 } } },
    { .name = "cancel",
      .setup = setup_queued,
      .check = check_cancel,
      .threads = { { "joins", join, 0 }, { "cancels", cancel, 0 }, { "serves", serve_first, 1 } } },
    { .name = "cancel two",
      .setup = setup_queued,
      .check = check_cancel_two,
      .threads = { { "cancels", cancel, 0 }, { "cancels too", cancel, 0 }, { "serves", serve_first, 1 } } },
    { .name = "stale",
      .setup = setup_elsewhere,
      .check = check_stale,
      .threads = { { "goes on", cancel_and_start, 0 }, { "late", cancel, 0 } } },
    { .name = "stale join",
      .setup = setup_elsewhere,
      .check = check_stale_join,
      .threads = { { "goes on", cancel_and_start, 0 }, { "late", join_bounded, 0 } } },
    { .name = "stale detach",
      .setup = setup_elsewhere,
      .check = check_stale_detach,
      .threads = { { "goes on", cancel_and_start, 0 }, { "late", detach, 0 } } },
    { .name = "detach",
      .setup = setup_queued,
      .check = check_detach,
      .threads = { { "detaches", detach, 0 }, { "serves", serve_first, 1 } } },
    { .name = "detach, cancel",
      .setup = setup_queued,
      .check = check_detach_cancel,
      .threads = { { "detaches", detach, 0 }, { "cancels", cancel, 0 }, { "serves", serve_first, 1 } } },
    { .name = "join twice",
      .setup = setup_queued,
      .check = check_join_twice,
      .threads = { { "joins", join, 0 }, { "joins too", join, 0 }, { "serves", serve_first, 1 } } },
    { .name = "give up",
      .setup = setup_queued,
      .check = check_give_up,
      .threads = { { "joins", join_again, 0 }, { "serves", serve_first, 1 } } },
    { .name = "no thread",
      .setup = setup_none,
      .check = check_none,
      .threads = { { "caller", call_first, 0 }, { "other", call_second, 0 } } },
    { .name = "close",
      .setup = setup,
      .check = check_close,
      .threads = { { "caller", call_first, 0 }, { "closes", close_pool, 0 }, { "serves", serve_first, 1 } } },
    { .name = "close, room",
      .setup = setup_queued,
      .check = check_close_room,
      .threads = { { "caller", call_second_bounded, 0 }, { "closes", close_pool, 0 }, { "serves", serve_first, 1 } } },
    { .name = "close job",
      .setup = setup_queued,
      .check = check_close_job,
      .threads = { { "joins", join, 0 }, { "closes", close_pool, 0 }, { "serves", serve_first, 1 } } },
    { .name = "close, cancel",
      .setup = setup_queued,
      .check = check_close_cancel,
      .threads = { { "cancels", cancel, 0 }, { "closes", close_pool, 0 }, { "serves", serve_first, 1 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
