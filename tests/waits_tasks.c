/* SPDX-License-Identifier: MIT */
/*
 * waits_tasks.c: the rows of tasks, groups, trackers, tokens and time (see waits.h), and the keeper.
 */
#include "tests/waits.h"

const struct wait_row *wait_row(int index)
{
    static const struct wait_row *const tables[] = { waits_of_channels, waits_of_sync, waits_of_tasks, waits_of_pool,
                                                     waits_of_io };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct wait_row *row = tables[i]; row->name; row++)
            if (index-- == 0)
                return row;
    return NULL;
}

/* ---- the keeper ----------------------------------------------------------------------------------------------- */

static int keep(void *argument)
{
    struct keeper *keeper = argument;
    keeper->take();
    expect_int(tr_latch_count_down(&keeper->kept, 1), 0);
    expect_int(tr_semaphore_acquire(&keeper->leave, 1, TR_FOREVER), 0);
    keeper->give();
    return 0;
}

void keeper_begin(struct keeper *keeper, void (*take)(void), void (*give)(void))
{
    keeper->take = take;
    keeper->give = give;
    expect_int(tr_semaphore_init(&keeper->leave, 0), 0);
    expect_int(tr_latch_init(&keeper->kept, 1), 0);
    keeper->task = test_task(keep, keeper);
    expect_int(tr_latch_wait(&keeper->kept, tr_after(LONG_TIME)), 0);
}

void keeper_end(struct keeper *keeper)
{
    if (!keeper->task.tri_record)
        return;
    expect_int(tr_semaphore_release(&keeper->leave, 1), 0);
    expect_int(test_join(keeper->task), 0);
    keeper->task = (struct tr_task){ 0 };
}

/* ---- the ends of tasks ---------------------------------------------------------------------------------------- */

/* Tasks to be joined one after the other: those that are ready have ended, the last has not. */
struct ends {
    struct tr_task tasks[WAIT_DEPTH], stuck;
    struct tr_semaphore leave;
    int ready, joined;
};
static struct ends plain, detailed, gathered;

static int stay(void *argument)
{
    return tr_semaphore_acquire(argument, 1, TR_FOREVER);
}

static int return_its_argument(void *argument)
{
    return (int)(intptr_t)argument;
}

static void begin_ends(struct ends *ends)
{
    ends->ready = ends->joined = 0;
    expect_int(tr_semaphore_init(&ends->leave, 0), 0);
    ends->stuck = test_task(stay, &ends->leave);
}

static void make_ends(struct ends *ends, int count)
{
    for (; count > 0; count--, ends->ready++)
        ends->tasks[ends->ready] = test_task(return_its_argument, (void *)(intptr_t)ends->ready);
    test_settle();
}

static struct tr_task next_end(const struct ends *ends)
{
    return ends->joined < ends->ready ? ends->tasks[ends->joined] : ends->stuck;
}

static int note_end(struct ends *ends, int rc, int result)
{
    if (rc == 0)
        expect_int(result, ends->joined++);
    return rc;
}

/* Those that nobody has joined can be joined. */
static void end_ends(struct ends *ends)
{
    for (; ends->joined < ends->ready; ends->joined++)
        expect_int(test_join(ends->tasks[ends->joined]), ends->joined);
    expect_int(tr_semaphore_release(&ends->leave, 1), 0);
    expect_int(test_join(ends->stuck), 0);
}

static void begin_join(void)
{
    begin_ends(&plain);
}

static void ready_join(int count)
{
    make_ends(&plain, count);
}

static int call_join(tr_time deadline)
{
    int result = -1;
    int rc = tr_task_join(next_end(&plain), &result, deadline);
    return note_end(&plain, rc, result);
}

static void end_join(void)
{
    end_ends(&plain);
}

static void begin_outcome(void)
{
    begin_ends(&detailed);
}

static void ready_outcome(int count)
{
    make_ends(&detailed, count);
}

static int call_outcome(tr_time deadline)
{
    struct tr_outcome outcome = { .code = -1 };
    int rc = tr_task_join_outcome(next_end(&detailed), &outcome, deadline);
    return note_end(&detailed, rc, outcome.code);
}

static void end_outcome(void)
{
    end_ends(&detailed);
}

static void begin_join_all(void)
{
    begin_ends(&gathered);
}

static void ready_join_all(int count)
{
    make_ends(&gathered, count);
}

static int call_join_all(tr_time deadline)
{
    struct tr_gather_task task = { .task = next_end(&gathered) };
    int succeeded = tr_join_all(&task, 1, deadline, TR_GATHER_ALL);
    expect_int(succeeded, task.error == 0);
    return note_end(&gathered, task.error, task.outcome.code);
}

static void end_join_all(void)
{
    end_ends(&gathered);
}

/* ---- groups --------------------------------------------------------------------------------------------------- */

static struct tr_group *limited, *finishing, *running;
static struct tr_semaphore of_limited, of_finishing, of_running;
static uint64_t spawned;
static int ended, taken;

static struct tr_group *open_group(struct tr_semaphore *leave, uint32_t limit)
{
    struct tr_group *group;
    struct tr_group_options options = { .name = "row", .limit = limit, .unowned = true };
    expect_int(tr_semaphore_init(leave, 0), 0);
    expect_int(tr_group_open(&group, &options), 0);
    return group;
}

static void put_in(struct tr_group *group, struct tr_semaphore *leave, int count)
{
    for (; count > 0; count--)
        expect_int(tr_group_try_spawn(group, NULL, stay, leave, NULL), 0);
}

static uint32_t running_in(struct tr_group *group)
{
    struct tr_group_info info;
    tr_group_info(group, &info);
    return info.running;
}

static void begin_spawn(void)
{
    limited = open_group(&of_limited, WAIT_DEPTH);
    put_in(limited, &of_limited, WAIT_DEPTH);
    spawned = WAIT_DEPTH;
}

static void ready_spawn(int count)
{
    expect_int(tr_semaphore_release(&of_limited, (uint64_t)count), 0);
    wait_until(running_in(limited) == (uint32_t)(WAIT_DEPTH - count));
}

static int call_spawn(tr_time deadline)
{
    int rc = tr_group_spawn(limited, NULL, stay, &of_limited, NULL, deadline);
    if (rc == 0)
        spawned++;
    return rc;
}

static void end_spawn(void)
{
    struct tr_group_info info;
    tr_group_info(limited, &info);
    expect_int((int64_t)info.spawned, (int64_t)spawned);
    expect_int(tr_group_close(limited, TR_FOREVER), 0);
}

static void begin_next(void)
{
    finishing = open_group(&of_finishing, 0);
    ended = taken = 0;
    put_in(finishing, &of_finishing, 1); /* one who stays, or it would not wait */
}

static int count_ends(void *argument)
{
    (void)argument;
    return ended++;
}

static void ready_next(int count)
{
    struct tr_group_info info;
    for (int i = 0; i < count; i++)
        expect_int(tr_group_try_spawn(finishing, NULL, count_ends, NULL, NULL), 0);
    do {
        expect_int(tr_yield(), 0);
        tr_group_info(finishing, &info);
    } while (info.finished < (uint32_t)count);
}

static int call_next(tr_time deadline)
{
    struct tr_finished done;
    int rc = tr_group_next(finishing, &done, deadline);
    if (rc == 0)
        expect_int(done.outcome.code, taken++);
    return rc;
}

static void end_next(void)
{
    expect_int(tr_group_close(finishing, TR_FOREVER), 0);
}

static void begin_group(void)
{
    running = open_group(&of_running, 0);
    put_in(running, &of_running, 1);
}

static void ready_group(int count)
{
    (void)count;
    expect_int(tr_semaphore_release(&of_running, 1), 0);
    wait_until(running_in(running) == 0);
}

static int call_group(tr_time deadline)
{
    return tr_group_wait(running, deadline);
}

static void end_group(void)
{
    expect_int(tr_group_close(running, TR_FOREVER), 0);
}

static void begin_nothing(void)
{
}

static void ready_nothing(int count)
{
    (void)count;
}

static int call_close(tr_time deadline)
{
    struct tr_group *group;
    (void)deadline;
    expect_int(tr_group_open(&group, NULL), 0);
    return tr_group_close(group, TR_FOREVER);
}

static void end_nothing(void)
{
}

/* ---- trackers and tokens -------------------------------------------------------------------------------------- */

static struct tr_tracker *tracker;
static struct tr_cancel_token *token;

static void begin_tracker(void)
{
    expect_int(tr_tracker_create(&tracker), 0);
    tr_tracker_close(tracker);
    tr_tracker_enter(tracker);
}

static void ready_tracker(int count)
{
    (void)count;
    tr_tracker_leave(tracker);
}

static int call_tracker(tr_time deadline)
{
    return tr_tracker_wait(tracker, deadline);
}

static void end_tracker(void)
{
    if (tr_tracker_count(tracker) > 0)
        tr_tracker_leave(tracker);
    tr_tracker_destroy(tracker);
}

static void begin_token(void)
{
    expect_int(tr_cancel_token_create(&token, NULL), 0);
}

static void ready_token(int count)
{
    (void)count;
    tr_cancel_token_cancel(token);
}

static int call_token(tr_time deadline)
{
    return tr_cancel_token_wait(token, deadline);
}

static void end_token(void)
{
    tr_cancel_token_unref(token);
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

static int64_t span;
static tr_time when;
static struct tr_interval interval;
static struct tr_delay *delay;
static int delayed, came_out;

static void begin_sleep(void)
{
    span = LONG_TIME;
}

static void ready_sleep(int count)
{
    (void)count;
    span = 0;
}

static int call_sleep(tr_time deadline)
{
    (void)deadline;
    return tr_sleep(span);
}

static void begin_sleep_until(void)
{
    when = TR_FOREVER - 1;
}

static void ready_sleep_until(int count)
{
    (void)count;
    when = TR_NOW;
}

static int call_sleep_until(tr_time deadline)
{
    (void)deadline;
    return tr_sleep_until(when);
}

static void begin_interval(void)
{
    expect_int(tr_interval_init_at(&interval, TR_FOREVER - 1, 3600 * TR_SECOND, TR_MISSED_DELAY), 0);
}

static void again_interval(void)
{
    tr_interval_reset_at(&interval, TR_NOW + 1);
}

static void ready_interval(int count)
{
    (void)count;
    again_interval();
}

static int call_interval(tr_time deadline)
{
    return tr_interval_tick(&interval, NULL, deadline);
}

static void begin_delay(void)
{
    delayed = came_out = 0;
    expect_int(tr_delay_create(&delay, sizeof delayed), 0);
    expect_int(tr_delay_insert(delay, NULL, TR_FOREVER, &(int){ -1 }), 0);
}

static void ready_delay(int count)
{
    for (; count > 0; count--, delayed++)
        expect_int(tr_delay_insert(delay, NULL, TR_NOW + 1, &delayed), 0);
}

static int call_delay(tr_time deadline)
{
    int value = -2;
    int rc = tr_delay_next(delay, &value, deadline);
    if (rc == 0)
        expect_int(value, came_out++);
    return rc;
}

static void end_delay(void)
{
    expect_int(tr_delay_length(delay), 1 + delayed - came_out);
    tr_delay_destroy(delay);
}

static int call_yield(tr_time deadline)
{
    (void)deadline;
    return tr_yield();
}

const struct wait_row waits_of_tasks[] = {
    { "task join", begin_join, ready_join, call_join, NULL, end_join, WAIT_ALONE },
    { "task join_outcome", begin_outcome, ready_outcome, call_outcome, NULL, end_outcome, WAIT_ALONE },
    { "join_all", begin_join_all, ready_join_all, call_join_all, NULL, end_join_all, WAIT_ALONE },
    { "group spawn", begin_spawn, ready_spawn, call_spawn, NULL, end_spawn, 0 },
    { "group next", begin_next, ready_next, call_next, NULL, end_next, 0 },
    { "group wait", begin_group, ready_group, call_group, NULL, end_group, WAIT_LEVEL },
    { "group close", begin_nothing, ready_nothing, call_close, NULL, end_nothing, WAIT_LEVEL | WAIT_NEVER | WAIT_DEAF },
    { "tracker wait", begin_tracker, ready_tracker, call_tracker, NULL, end_tracker, WAIT_LEVEL },
    { "token wait", begin_token, ready_token, call_token, NULL, end_token, WAIT_LEVEL },
    { "sleep", begin_sleep, ready_sleep, call_sleep, NULL, end_nothing, WAIT_LEVEL | WAIT_SPAN },
    { "sleep_until", begin_sleep_until, ready_sleep_until, call_sleep_until, NULL, end_nothing,
      WAIT_LEVEL | WAIT_SPAN },
    { "interval tick", begin_interval, ready_interval, call_interval, again_interval, end_nothing,
      WAIT_ALONE | WAIT_TURN },
    { "delay next", begin_delay, ready_delay, call_delay, NULL, end_delay, WAIT_ALONE },
    { "yield", begin_nothing, ready_nothing, call_yield, NULL, end_nothing, WAIT_LEVEL | WAIT_NEVER | WAIT_SPAN },
    { 0 },
};
