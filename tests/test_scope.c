/* SPDX-License-Identifier: MIT */
/*
 * test_scope.c: deadline scopes by the promises of troupe/task.h: whatever suspends inside one ends by its deadline, the
 * tighter of several wins, cancellation is not withheld, and a shield sets aside what lies outside it.
 */
#include "tests/waits.h"

#include <pthread.h>

/* ---- every suspending call honours it ------------------------------------------------------------------------- */

/* What the rows below wait for: a full mailbox, and a peer that does not read. */
static struct {
    struct number_address full;
    struct tr_listener *listener;
    struct tr_stream *stream, *peer;
} scene;

static atomic_int let_go;

static int wait_to_be_let_go(void *argument)
{
    (void)argument;
    wait_until(atomic_load(&let_go));
    return 0;
}

static int receive_nothing(void *argument)
{
    struct number message;
    wait_to_be_let_go(argument);
    while (tr_receive(&message, TR_FOREVER) == 0)
        ;
    return 0;
}

static void open_scene(void)
{
    atomic_store(&let_go, 0);
    scene.full = test_loop(receive_nothing, NULL, 2, NULL);
    for (int i = 0; i < 2; i++)
        expect_int(tr_try_send(scene.full, &(struct number){ .value = i }), 0);
    expect_int(tr_tcp_listen(&scene.listener, "127.0.0.1", 0, NULL), 0);
    uint16_t port = tr_listener_port(scene.listener);
    expect_int(tr_tcp_connect(&scene.stream, "127.0.0.1", port, tr_after(LONG_TIME)), 0);
    expect_int(tr_tcp_accept(scene.listener, &scene.peer, tr_after(LONG_TIME)), 0);
}

static void close_scene(void)
{
    atomic_store(&let_go, 1);
    tr_actor_stop(scene.full);
    tr_stream_close(scene.peer);
    tr_stream_close(scene.stream);
    expect_int(tr_listener_close(scene.listener), 0);
}

static int send_with_its_own_deadline(tr_time deadline)
{
    (void)deadline;
    return tr_send(scene.full, tr_clock() + LONG_TIME, &(struct number){ .value = 1 });
}

static int call_full_mailbox(tr_time deadline)
{
    int64_t answer;
    return tr_call(scene.full, &answer, deadline, &(struct number){ .value = 1 });
}

static int write_much(tr_time deadline)
{
    static char block[1 << 20];
    int rc = 0;
    for (int i = 0; i < 100 && rc == 0; i++)
        rc = tr_write(scene.stream, block, sizeof block, deadline);
    return rc;
}

/* Beside those of tests/waits.h. */
static const struct wait_row more[] = {
    { "send with a later deadline", open_scene, NULL, send_with_its_own_deadline, NULL, close_scene, 0 },
    { "call of a full mailbox", open_scene, NULL, call_full_mailbox, NULL, close_scene, 0 },
    { "write of much", open_scene, NULL, write_much, NULL, close_scene, 0 },
};
enum { MORE = sizeof more / sizeof *more };

struct trial {
    const struct wait_row *row;
    int64_t span;
};

/* A loop actor, so that it can receive as well. */
static int wait_in_scope(void *argument)
{
    struct trial *trial = argument;
    struct tr_scope scope;
    trial->row->begin();
    tr_time bound = tr_clock() + trial->span;
    tr_scope_open(&scope, bound);
    int rc = trial->row->call(TR_FOREVER);
    tr_time after = tr_clock();
    bool passed = tr_scope_close(&scope);
    if (rc != -ETIMEDOUT || !passed || after < bound)
        test_fail(__FILE__, __LINE__, "%s: %d, passed %d, %lld ns before its time", trial->row->name, rc, passed,
                  (long long)(bound - after));
    expect_int(tr_scope_deadline(), TR_FOREVER);
    trial->row->end();
    return 0;
}

static void try_all(int64_t span)
{
    const struct wait_row *row;
    for (int i = 0; (row = i < MORE ? &more[i] : wait_row(i - MORE)); i++) {
        struct trial trial = { row, span };
        struct tr_task task;
        if (row->flags & WAIT_NEVER)
            continue;
        test_loop(wait_in_scope, &trial, 0, &task);
        expect_int(test_join(task), 0);
    }
}

static void try_all_later(void)
{
    try_all(3 * TR_MILLISECOND);
}

static void try_all_too_late(void)
{
    try_all(-TR_MILLISECOND);
}

START_TEST(scope_bounds_every_suspending_call)
{
    struct tr_options options = waits_options(0);
    test_run_with(&options, try_all_later);
}
END_TEST

START_TEST(scope_that_has_passed_lets_no_call_suspend)
{
    struct tr_options options = waits_options(0);
    test_run_with(&options, try_all_too_late);
}
END_TEST

static void sleep_until_its_end(void)
{
    struct tr_scope scope;
    tr_time begin = tr_clock();
    int sleeps = 0;
    tr_scope_open(&scope, begin + 20 * TR_MILLISECOND);
    while (tr_sleep(3 * TR_MILLISECOND) == 0)
        sleeps++;
    expect(tr_scope_close(&scope));
    expect_int(sleeps, 6);
    expect_int(tr_clock() - begin, 20 * TR_MILLISECOND);
}

START_TEST(scope_bounds_the_whole_and_not_each_call)
{
    struct tr_options options = test_options(0);
    options.clock_paused = true; /* by it the count is exact */
    test_run_with(&options, sleep_until_its_end);
}
END_TEST

TASK_TEST(scope_lets_through_what_is_ready)
{
    struct tr_scope scope;
    struct tr_task task = test_task(wait_to_be_let_go, NULL);
    atomic_store(&let_go, 1);
    tr_scope_open(&scope, tr_after(LONG_TIME));
    expect_int(tr_task_join(task, NULL, TR_FOREVER), 0);
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    expect(!tr_scope_close(&scope));
}

/* A call's own deadline is not lengthened. */
TASK_TEST(scope_looser_than_the_call_leaves_its_deadline)
{
    struct tr_scope scope;
    atomic_store(&let_go, 0);
    struct tr_task task = test_task(wait_to_be_let_go, NULL);
    tr_scope_open(&scope, tr_after(LONG_TIME));
    expect_int(tr_task_join(task, NULL, tr_after(2 * TR_MILLISECOND)), -ETIMEDOUT);
    expect(!tr_scope_close(&scope));
    atomic_store(&let_go, 1);
    expect_int(test_join(task), 0);
}

/* ---- nesting -------------------------------------------------------------------------------------------------- */

enum { NONE = 0, SCOPE = 1, SHIELD = 2 };

/* Spans in milliseconds from one moment; `bound` is what must hold inside all of them, -1: none. */
static const struct nest_row {
    const char *name;
    struct {
        int kind, span;
    } level[3];
    int bound;
    bool shielded;
} nests[] = {
    { "one scope", { { SCOPE, 5 } }, 5, false },
    { "for ever", { { SCOPE, -1 } }, -1, false },
    { "tighter inside", { { SCOPE, 9 }, { SCOPE, 5 } }, 5, false },
    { "tighter outside", { { SCOPE, 5 }, { SCOPE, 9 } }, 5, false },
    { "looser between", { { SCOPE, 5 }, { SCOPE, -1 }, { SCOPE, 7 } }, 5, false },
    { "scope in a shield", { { SHIELD, 9 }, { SCOPE, 5 } }, 5, true },
    { "looser scope in a shield", { { SHIELD, 5 }, { SCOPE, 9 } }, 5, true },
    { "shield sets a scope aside", { { SCOPE, 5 }, { SHIELD, 9 } }, 9, true },
    { "shield for ever in a scope", { { SCOPE, 5 }, { SHIELD, -1 } }, -1, true },
    { "scope, shield, scope", { { SCOPE, 3 }, { SHIELD, 9 }, { SCOPE, 5 } }, 5, true },
    { "shield, scope, shield: the outer shield holds", { { SHIELD, 7 }, { SCOPE, 3 }, { SHIELD, 9 } }, 7, true },
    { "shield, scope, shield: the inner shield holds", { { SHIELD, 9 }, { SCOPE, 3 }, { SHIELD, 7 } }, 7, true },
};

static tr_time at(tr_time base, int span)
{
    return span < 0 ? TR_FOREVER : base + span * TR_MILLISECOND;
}

static int nest(void *argument)
{
    const struct nest_row *row = argument;
    struct tr_scope scopes[3];
    struct tr_shield shields[3];
    tr_time base = tr_clock();
    int depth = 0;
    for (; depth < 3 && row->level[depth].kind != NONE; depth++)
        if (row->level[depth].kind == SCOPE)
            tr_scope_open(&scopes[depth], at(base, row->level[depth].span));
        else
            tr_shield_open(&shields[depth], at(base, row->level[depth].span));
    bool right = tr_scope_deadline() == at(base, row->bound);
    if (row->bound >= 0) /* and calls keep to it */
        right = right && tr_sleep(LONG_TIME) == -ETIMEDOUT && tr_clock() >= at(base, row->bound);
    tr_task_cancel(tr_task_self());
    int rc = tr_sleep(0);
    right = right && (row->shielded ? rc != -ECANCELED : rc == -ECANCELED);
    while (depth-- > 0)
        if (row->level[depth].kind == SCOPE)
            tr_scope_close(&scopes[depth]);
        else
            tr_shield_close(&shields[depth]);
    right = right && tr_scope_deadline() == TR_FOREVER && tr_sleep(0) == -ECANCELED;
    if (!right)
        test_fail(__FILE__, __LINE__, "%s", row->name);
    return 0;
}

TASK_TEST(scope_nesting_table)
{
    for (size_t i = 0; i < sizeof nests / sizeof *nests; i++)
        expect_int(test_join(test_task(nest, (void *)(uintptr_t)&nests[i])), 0);
}

/* ---- what it is not ------------------------------------------------------------------------------------------- */

static int sleep_in_scope(void *argument)
{
    struct tr_scope scope;
    atomic_int *asleep = argument;
    tr_scope_open(&scope, tr_after(LONG_TIME));
    atomic_store(asleep, 1);
    int rc = tr_sleep(LONG_TIME);
    expect(!tr_scope_close(&scope));
    return rc;
}

TASK_TEST(scope_does_not_shield_from_cancellation)
{
    static atomic_int asleep;
    struct tr_task task = test_task(sleep_in_scope, &asleep);
    wait_until(atomic_load(&asleep));
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), -ECANCELED);
}

static int tell_bound(void *argument)
{
    *(tr_time *)argument = tr_scope_deadline();
    return 0;
}

TASK_TEST(scope_is_not_inherited_by_a_spawn)
{
    struct tr_scope scope;
    tr_time bound = 0;
    tr_scope_open(&scope, tr_after(LONG_TIME));
    expect_int(test_join(test_task(tell_bound, &bound)), 0);
    tr_scope_close(&scope);
    expect_int(bound, TR_FOREVER);
}

/* The same stack serves many tasks: none sees a scope that another left open. */
static int leave_open(void *argument)
{
    struct tr_scope scope;
    (void)argument;
    tr_scope_open(&scope, TR_NOW);
    return 0;
}

TASK_TEST_ON(1, scope_left_open_ends_with_its_task)
{
    for (int i = 0; i < 100; i++) {
        tr_time bound = 0;
        expect_int(test_join(test_task(leave_open, NULL)), 0);
        expect_int(test_join(test_task(tell_bound, &bound)), 0);
        expect_int(bound, TR_FOREVER);
    }
}

/* Nor does the next message of an actor, which has the same task and stack. */
static int leave_open_and_tell(void *bounds, void *message)
{
    struct tr_scope scope;
    const struct number *number = message;
    ((tr_time *)bounds)[number->value] = tr_scope_deadline();
    tr_scope_open(&scope, TR_NOW);
    return number->value == 2; /* the last */
}

TASK_TEST_ON(1, scope_left_open_ends_with_its_message)
{
    tr_time bounds[3] = { 0 };
    struct tr_task task;
    struct number_address actor = test_handler(leave_open_and_tell, bounds, 8, &task);
    for (int i = 0; i < 3; i++)
        expect_int(tr_try_send(actor, &(struct number){ .value = i }), 0);
    expect_int(test_join(task), 0);
    for (int i = 0; i < 3; i++)
        expect_int(bounds[i], TR_FOREVER);
}

/* Scopes go with their task from worker to worker. */
static int yield_in_scope(void *argument)
{
    struct tr_scope scope;
    tr_time bound = tr_clock() + LONG_TIME + (intptr_t)argument;
    tr_scope_open(&scope, bound);
    for (int i = 0; i < 200; i++) {
        expect_int(tr_yield(), 0);
        expect_int(tr_scope_deadline(), bound);
    }
    tr_scope_close(&scope);
    return 0;
}

TASK_TEST(scope_belongs_to_its_task)
{
    struct tr_task tasks[20];
    for (intptr_t i = 0; i < 20; i++)
        tasks[i] = test_task(yield_in_scope, (void *)i);
    for (int i = 0; i < 20; i++)
        expect_int(test_join(tasks[i]), 0);
}

/* ---- workers whose clocks do not agree: one that has no time to look at it lags behind ---- */

struct lag {
    struct tr_semaphore done;
    atomic_int hogs;
};

/* Many quick switches make its worker look seldom. */
static int hog(void *argument)
{
    struct lag *lag = argument;
    for (int i = 0; i < 2000; i++)
        expect_int(tr_yield(), 0);
    tr_time end = tr_clock() + 20 * TR_MILLISECOND;
    atomic_store(&lag->hogs, 1);
    while (tr_clock() < end)
        ;
    return tr_semaphore_release(&lag->done, 1);
}

/* Goes on on the hog's worker, once the time of its scopes is over. */
static int end_scopes_late(void *argument)
{
    struct lag *lag = argument;
    struct tr_scope outer, inner;
    struct tr_shield shield;
    while (!atomic_load(&lag->hogs))
        expect_int(tr_yield(), 0);
    tr_scope_open(&outer, tr_after(5 * TR_MILLISECOND));
    tr_scope_open(&inner, tr_after(TR_SECOND));
    expect_int(tr_sleep(LONG_TIME), -ETIMEDOUT);
    tr_shield_open(&shield, TR_FOREVER);
    expect_int(tr_semaphore_acquire(&lag->done, 1, TR_FOREVER), 0);
    tr_shield_close(&shield);
    expect(tr_scope_close(&inner));
    expect(tr_scope_close(&outer));
    return 0;
}

TASK_TEST_ON(2, scope_that_has_ended_a_call_says_so_on_any_worker)
{
    struct lag *lag = test_new(sizeof *lag);
    for (int i = 0; i < 5; i++) {
        struct tr_task first, second;
        tr_semaphore_init(&lag->done, 0);
        atomic_store(&lag->hogs, 0);
        expect_int(tr_task_spawn(&first, hog, lag, &(struct tr_task_options){ .pin = TR_PIN(1) }), 0);
        expect_int(tr_task_spawn(&second, end_scopes_late, lag, NULL), 0);
        expect_int(test_join(first), 0);
        expect_int(test_join(second), 0);
    }
}

/* A task that others keep awake, by messages, still ends by the scope. */
static int drink(void *argument)
{
    struct tr_scope scope;
    struct number message;
    int rc, received = 0;
    (void)argument;
    tr_scope_open(&scope, tr_after(5 * TR_MILLISECOND));
    for (; (rc = tr_receive(&message, TR_FOREVER)) == 0; received++)
        if (tr_clock() > tr_scope_deadline() + 20 * TR_SECOND)
            return -EIO;
    expect(tr_scope_close(&scope));
    return rc == -ETIMEDOUT ? 0 : rc;
}

TASK_TEST(scope_ends_a_loop_once_nothing_is_ready)
{
    struct tr_task task;
    struct number_address address = test_loop(drink, NULL, 4, &task);
    int rc = 0;
    for (int i = 0; i < 100 && rc == 0; i++)
        rc = tr_send(address, TR_FOREVER, &(struct number){ .value = i });
    expect(rc == 0 || rc == -ESRCH); /* it may end before it has had them all */
    expect_int(test_join(task), 0);
}

/* ---- foreign threads ------------------------------------------------------------------------------------------ */

static void *wait_on_thread(void *argument)
{
    struct number_address *full = argument;
    struct tr_scope scope;
    struct tr_shield shield;
    tr_scope_open(&scope, tr_clock() + 3 * TR_MILLISECOND);
    expect_int(tr_send(*full, TR_FOREVER, &(struct number){ .value = 1 }), -ETIMEDOUT);
    tr_shield_open(&shield, tr_clock() + 2 * TR_MILLISECOND);
    expect_int(tr_sleep(LONG_TIME), -ETIMEDOUT);
    tr_shield_close(&shield);
    expect_int(tr_sleep(LONG_TIME), -ETIMEDOUT);
    expect(tr_scope_close(&scope));
    expect_int(tr_sleep(0), 0);
    atomic_store(&let_go, 2);
    return NULL;
}

TASK_TEST(scope_on_a_foreign_thread_bounds)
{
    pthread_t thread;
    atomic_store(&let_go, 0);
    struct number_address full = test_loop(receive_nothing, NULL, 1, NULL);
    expect_int(tr_try_send(full, &(struct number){ .value = 0 }), 0);
    expect_int(pthread_create(&thread, NULL, wait_on_thread, &full), 0);
    wait_until(atomic_load(&let_go) == 2);
    expect_int(pthread_join(thread, NULL), 0);
    atomic_store(&let_go, 1);
    tr_actor_stop(full);
}

int main(void)
{
    return test_main("scope", TESTS(scope_bounds_every_suspending_call, scope_that_has_passed_lets_no_call_suspend,
                                    scope_bounds_the_whole_and_not_each_call, scope_lets_through_what_is_ready,
                                    scope_looser_than_the_call_leaves_its_deadline, scope_nesting_table,
                                    scope_does_not_shield_from_cancellation, scope_is_not_inherited_by_a_spawn,
                                    scope_left_open_ends_with_its_task, scope_left_open_ends_with_its_message,
                                    scope_belongs_to_its_task, scope_that_has_ended_a_call_says_so_on_any_worker,
                                    scope_ends_a_loop_once_nothing_is_ready, scope_on_a_foreign_thread_bounds));
}
