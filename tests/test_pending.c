/* SPDX-License-Identifier: MIT */
/*
 * test_pending.c: the end of a runtime while tasks wait in every way there is, alone and in one select: each wait ends with
 * -ECANCELED, nothing is left, and what they waited for is as it was. In one test it ends with the runtime as they do, in the
 * other (tests/waits.h has the ways) it belongs to another runtime and lives on.
 */
#include "tests/waits.h"

TR_CHANNEL_TYPE(stream, int64_t);
TR_QUEUE_TYPE(line, int64_t);
TR_ONESHOT_TYPE(one, int64_t);
TR_BROADCAST_TYPE(feed, int64_t);
TR_BROADCAST_RECEIVER_TYPE(feed_receiver, int64_t);
TR_WATCH_TYPE(level, int64_t);
TR_WATCH_RECEIVER_TYPE(level_receiver, int64_t);

static struct {
    struct tr_semaphore semaphore;
    struct tr_mutex mutex, held;
    struct tr_rwlock written;
    struct tr_notify notify;
    struct tr_condition condition;
    struct tr_barrier barrier;
    struct tr_latch latch;
    struct tr_once once;
    struct tr_cell cell;
    struct feed feed;
    struct level level;
    struct line full, empty;
    struct tr_cancel_token *token;
    struct tr_tracker *tracker;
    struct tr_group *group;
    atomic_int waiting, cancelled;
} all;

static int wait_semaphore(void)
{
    return tr_semaphore_acquire(&all.semaphore, 2, TR_FOREVER);
}

static int wait_mutex(void)
{
    return tr_mutex_lock(&all.held, TR_FOREVER);
}

static int wait_read(void)
{
    return tr_rwlock_read(&all.written, TR_FOREVER);
}

static int wait_write(void)
{
    return tr_rwlock_write(&all.written, TR_FOREVER);
}

static int wait_notify(void)
{
    return tr_notify_wait(&all.notify, TR_FOREVER);
}

static int wait_condition(void)
{
    int rc = tr_mutex_lock(&all.mutex, TR_FOREVER);
    if (rc < 0)
        return rc;
    rc = tr_condition_wait(&all.condition, &all.mutex, TR_FOREVER);
    expect_int(tr_mutex_unlock(&all.mutex), 0);
    return rc;
}

static int wait_barrier(void)
{
    return tr_barrier_wait(&all.barrier, TR_FOREVER);
}

static int wait_latch(void)
{
    return tr_latch_wait(&all.latch, TR_FOREVER);
}

static int wait_once(void)
{
    return tr_once_begin(&all.once, TR_FOREVER);
}

static int wait_cell(void)
{
    return tr_cell_wait(&all.cell, NULL, TR_FOREVER);
}

static int wait_broadcast(void)
{
    struct feed_receiver receiver;
    int64_t value;
    expect_int(tr_broadcast_subscribe(all.feed, &receiver), 0);
    int rc = tr_broadcast_receive(&receiver, &value, TR_FOREVER);
    tr_broadcast_unsubscribe(&receiver);
    return rc;
}

static int wait_watch(void)
{
    struct level_receiver receiver;
    expect_int(tr_watch_subscribe(all.level, &receiver), 0);
    int rc = tr_watch_changed(&receiver, TR_FOREVER);
    tr_watch_unsubscribe(&receiver);
    return rc;
}

static int wait_token(void)
{
    return tr_cancel_token_wait(all.token, TR_FOREVER);
}

static int wait_tracker(void)
{
    return tr_tracker_wait(all.tracker, TR_FOREVER);
}

/* Its only member is cancelled, too: it may have ended before we are. */
static int wait_group(void)
{
    int rc = tr_group_wait(all.group, TR_FOREVER);
    return rc == 0 ? -ECANCELED : rc;
}

static int wait_next(void)
{
    struct tr_finished done;
    int rc = tr_group_next(all.group, &done, TR_FOREVER);
    return rc == 0 || rc == -ESRCH ? -ECANCELED : rc;
}

static int wait_delay(void)
{
    struct tr_delay *delay;
    int value = 1;
    expect_int(tr_delay_create(&delay, sizeof value), 0);
    expect_int(tr_delay_insert(delay, NULL, TR_FOREVER, &value), 0);
    int rc = tr_delay_next(delay, &value, TR_FOREVER);
    tr_delay_destroy(delay);
    return rc;
}

/* Both ends of a channel of its own, which is full or empty. */
static int wait_select_of_channels(void)
{
    struct stream_sender sender, idle_sender;
    struct stream_receiver receiver, idle;
    struct stream_permit permit;
    struct one answer, unwanted;
    int64_t value = 1;
    expect_int(tr_channel_create(&sender, &receiver, 1, NULL), 0);
    expect_int(tr_channel_create(&idle_sender, &idle, 1, NULL), 0);
    expect_int(tr_channel_try_send(sender, &value), 0);
    tr_oneshot_init(&answer);
    tr_oneshot_init(&unwanted);
    struct tr_case cases[] = {
        tr_case_send(sender, &value),         tr_case_reserve(sender, 1, &permit),
        tr_case_await_close(sender),          tr_case_receive(idle, &value),
        tr_case_queue_send(all.full, &value), tr_case_queue_receive(all.empty, &value),
        tr_case_oneshot(&answer, &value),     tr_case_oneshot_close(&unwanted),
    };
    int rc = tr_select(cases, sizeof cases / sizeof *cases, TR_FOREVER, TR_SELECT_FAIR);
    expect_int(tr_channel_length(receiver), 1);
    tr_channel_sender_close(sender);
    tr_channel_receiver_destroy(receiver);
    tr_channel_sender_close(idle_sender);
    tr_channel_receiver_destroy(idle);
    tr_oneshot_drop(&answer);
    tr_oneshot_drop(&unwanted);
    tr_oneshot_leave(&answer);
    tr_oneshot_leave(&unwanted);
    return rc;
}

static int wait_select(void)
{
    struct feed_receiver receiver;
    struct level_receiver changes;
    int64_t value;
    expect_int(tr_broadcast_subscribe(all.feed, &receiver), 0);
    expect_int(tr_watch_subscribe(all.level, &changes), 0);
    struct tr_case cases[] = {
        tr_case_acquire(&all.semaphore, 1),
        tr_case_lock(&all.held),
        tr_case_read_lock(&all.written),
        tr_case_write_lock(&all.written),
        tr_case_notified(&all.notify),
        tr_case_latch(&all.latch),
        tr_case_once(&all.once),
        tr_case_cell(&all.cell),
        tr_case_broadcast(&receiver, &value),
        tr_case_watch(&changes),
        tr_case_cancelled(all.token),
        tr_case_tracker(all.tracker),
        tr_case_timer(tr_after(LONG_TIME)),
        tr_case_never(),
    };
    int rc = tr_select(cases, sizeof cases / sizeof *cases, TR_FOREVER, TR_SELECT_FAIR);
    tr_broadcast_unsubscribe(&receiver);
    tr_watch_unsubscribe(&changes);
    return rc;
}

static int (*const waits[])(void) = {
    wait_semaphore,
    wait_mutex,
    wait_read,
    wait_write,
    wait_notify,
    wait_condition,
    wait_barrier,
    wait_latch,
    wait_once,
    wait_cell,
    wait_broadcast,
    wait_watch,
    wait_token,
    wait_tracker,
    wait_group,
    wait_next,
    wait_delay,
    wait_select,
    wait_select_of_channels,
};
#define WAITS (sizeof waits / sizeof *waits)

static int wait_for_it(void *argument)
{
    atomic_fetch_add(&all.waiting, 1);
    int rc = waits[(uintptr_t)argument % WAITS]();
    expect_int(rc, -ECANCELED);
    atomic_fetch_add(&all.cancelled, 1);
    return rc;
}

static int be_a_member(void *argument)
{
    (void)argument;
    return tr_sleep(LONG_TIME);
}

static void make_all(struct tr_runtime *runtime)
{
    int64_t value = 0;
    struct tr_group_options of_runtime = { .runtime = runtime };
    expect_int(tr_barrier_init(&all.barrier, 1000), 0);
    expect_int(tr_latch_init(&all.latch, 1), 0);
    expect_int(tr_mutex_lock(&all.held, TR_FOREVER), 0);
    expect_int(tr_rwlock_write(&all.written, TR_FOREVER), 0);
    expect_int(tr_once_begin(&all.once, TR_FOREVER), 1);
    expect_int(tr_broadcast_create(&all.feed, 4, NULL), 0);
    expect_int(tr_watch_create(&all.level, NULL, &value), 0);
    expect_int(tr_queue_create(&all.full, 1, NULL), 0);
    expect_int(tr_queue_try_send(all.full, &value), 0);
    expect_int(tr_queue_create(&all.empty, 1, NULL), 0);
    expect_int(tr_cancel_token_create(&all.token, NULL), 0);
    expect_int(tr_tracker_create(&all.tracker), 0);
    expect_int(tr_group_open(&all.group, &of_runtime), 0);
}

static void unmake_all(void)
{
    tr_group_close(all.group, TR_FOREVER);
    tr_tracker_destroy(all.tracker);
    tr_cancel_token_unref(all.token);
    tr_watch_close(all.level);
    tr_broadcast_close(all.feed);
    expect_int(tr_queue_length(all.full), 1);
    expect_int(tr_queue_length(all.empty), 0);
    tr_queue_unref(all.full);
    tr_queue_unref(all.empty);
    expect_int(tr_once_end(&all.once, false), 0);
    expect_int(tr_rwlock_end_write(&all.written), 0);
    expect_int(tr_mutex_unlock(&all.held), 0);
    expect(!tr_mutex_is_locked(&all.held) && !tr_mutex_is_locked(&all.mutex) && !tr_rwlock_is_written(&all.written));
    expect_int(tr_rwlock_readers(&all.written), 0);
    expect_int(tr_barrier_waiting(&all.barrier), 0);
    expect_int(tr_notify_try_wait(&all.notify), -EAGAIN);
}

START_TEST(stop_ends_every_wait)
{
    for (int round = 0; round < 5; round++) {
        struct tr_options options = test_options(0);
        struct tr_runtime *runtime;
        memset(&all, 0, sizeof all);
        expect_int(tr_start(&runtime, &options), 0);
        make_all(runtime);
        struct tr_task_options of_runtime = { .runtime = runtime };
        int count = (int)WAITS * 6;
        expect_int(tr_group_spawn(all.group, NULL, be_a_member, NULL, NULL, TR_FOREVER), 0);
        for (int i = 0; i < count; i++) {
            struct tr_task task;
            expect_int(tr_task_spawn(&task, wait_for_it, (void *)(uintptr_t)i, &of_runtime), 0);
            expect_int(tr_task_detach(task), 0);
        }
        if (round > 0) /* else some have not begun to wait */
            wait_until(atomic_load(&all.waiting) == count);
        expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
        expect(round == 0 || atomic_load(&all.cancelled) == count);
        unmake_all();
    }
}
END_TEST

/* ---- what they wait for belongs to another runtime ------------------------------------------------------------ */

static int for_each_row(void *end)
{
    const struct wait_row *row;
    for (int i = 0; (row = wait_row(i)); i++)
        if (!(row->flags & WAIT_NEVER))
            (end ? row->end : row->begin)();
    return 0;
}

static void run_in(struct tr_runtime *runtime, int (*body)(void *argument), void *argument)
{
    struct tr_task task;
    expect_int(tr_task_spawn(&task, body, argument, &(struct tr_task_options){ .runtime = runtime }), 0);
    expect_int(test_join(task), 0);
}

/* An actor that waits for a message is stopped before it is cancelled. */
static int wait_in_row(void *argument)
{
    const struct wait_row *row = argument;
    atomic_fetch_add(&all.waiting, 1);
    int rc = row->call(TR_FOREVER);
    if (!(row->flags & WAIT_OWN) || rc != -EPIPE)
        wait_expect(row, rc, -ECANCELED);
    atomic_fetch_add(&all.cancelled, 1);
    return 0;
}

/* How many wait then: where only one may, one. */
static int start_waiting(struct tr_runtime *runtime)
{
    const struct wait_row *row;
    int count = 0;
    for (int i = 0; (row = wait_row(i)); i++) {
        int callers = row->flags & WAIT_NEVER ? 0 : row->flags & WAIT_ALONE ? 1 : 4;
        for (; callers > 0; callers--, count++) {
            struct number_address actor;
            struct tr_actor_options options = { .name = row->name, .runtime = runtime };
            expect_int(tr_spawn(&actor, wait_in_row, (void *)(uintptr_t)row, &options), 0);
        }
    }
    return count;
}

START_TEST(stop_ends_every_wait_for_what_lives_on)
{
    for (int round = 0; round < 4; round++) {
        struct tr_options options = test_options(0), elsewhere = waits_options(1);
        struct tr_runtime *runtime;
        memset(&all, 0, sizeof all);
        expect_int(tr_start(&waits_pool, &elsewhere), 0);
        expect_int(tr_start(&runtime, &options), 0);
        run_in(waits_pool, for_each_row, NULL);
        int count = start_waiting(runtime);
        wait_until(atomic_load(&all.waiting) == count);
        if (round > 0) /* else some have not begun to wait */
            expect_int(tr_sleep(5 * TR_MILLISECOND), 0);
        expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
        expect_int(atomic_load(&all.cancelled), count);
        run_in(waits_pool, for_each_row, &all);
        expect_int(tr_stop(waits_pool, tr_after(LONG_TIME)), 0);
    }
}
END_TEST

int main(void)
{
    return test_main("pending", TESTS(stop_ends_every_wait, stop_ends_every_wait_for_what_lives_on));
}
