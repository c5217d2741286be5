/* SPDX-License-Identifier: MIT */
/*
 * test_rwlock.c: the readers' and writer's lock by the promises of troupe/rwlock.h: in order, downgraded without a gap, bounded.
 */
#include "tests/script.h"

#include <pthread.h>

_Static_assert(sizeof(struct tr_rwlock) <= 24, "as promised");

enum { READ, WRITE, TRY_READ, TRY_WRITE, END_READ, END_WRITE, DOWNGRADE, READERS, WRITTEN };

static struct tr_rwlock lock = TR_RWLOCK_INIT;
static uint32_t most; /* readers of the next reset */

static int perform(int operation, int64_t argument, tr_time deadline)
{
    (void)argument;
    switch (operation) {
    case READ:
        return tr_rwlock_read(&lock, deadline);
    case WRITE:
        return tr_rwlock_write(&lock, deadline);
    case TRY_READ:
        return tr_rwlock_try_read(&lock);
    case TRY_WRITE:
        return tr_rwlock_try_write(&lock);
    case END_READ:
        return tr_rwlock_end_read(&lock);
    case END_WRITE:
        return tr_rwlock_end_write(&lock);
    case DOWNGRADE:
        return tr_rwlock_downgrade(&lock);
    case READERS:
        return (int)tr_rwlock_readers(&lock);
    default:
        return tr_rwlock_is_written(&lock);
    }
}

static uint64_t *reset(void)
{
    expect_int(tr_rwlock_init(&lock, most), 0);
    return &lock.tri_word;
}

static const struct script_suite suite = { perform, reset };

static const struct script scripts[] = {
    { "readers together, writers alone",
      STEPS({ A, READ, 0, 0 }, { B, READ, 0, 0 }, { C, READERS, 0, 2 }, { C, TRY_WRITE, 0, -EAGAIN },
            { A, END_READ, 0, 0 }, { B, END_READ, 0, 0 }, { C, TRY_WRITE, 0, 0 }, { A, TRY_READ, 0, -EAGAIN },
            { A, TRY_WRITE, 0, -EAGAIN }, { A, WRITTEN, 0, 1 }, { C, END_WRITE, 0, 0 }, { A, WRITTEN, 0, 0 }) },
    { "no deadline is no wait",
      STEPS({ A, READ + AT_ONCE, 0, 0 }, { B, WRITE + AT_ONCE, 0, -ETIMEDOUT }, { A, END_READ, 0, 0 },
            { A, WRITE + AT_ONCE, 0, 0 }, { B, READ + AT_ONCE, 0, -ETIMEDOUT }, { A, END_WRITE, 0, 0 }) },
    { "a waiting writer is not overtaken",
      STEPS({ A, READ, 0, 0 }, { B, WRITE, 0, WAITS }, { C, TRY_READ, 0, -EAGAIN }, { C, READ, 0, WAITS },
            { D, READ, 0, WAITS }, { A, END_READ, 0, 0 }, { B, RETURNS, 0, 0 }, { C, STILL, 0, WAITS },
            { B, END_WRITE, 0, 0 }, { C, RETURNS, 0, 0 }, { D, RETURNS, 0, 0 }, { A, READERS, 0, 2 },
            { C, END_READ, 0, 0 }, { D, END_READ, 0, 0 }) },
    { "in order: reader, writer, readers, writer",
      STEPS({ A, WRITE, 0, 0 }, { B, READ, 0, WAITS }, { C, WRITE, 0, WAITS }, { D, READ, 0, WAITS },
            { E, WRITE, 0, WAITS }, { A, END_WRITE, 0, 0 }, { B, RETURNS, 0, 0 }, { C, STILL, 0, WAITS },
            { D, STILL, 0, WAITS }, { B, END_READ, 0, 0 }, { C, RETURNS, 0, 0 }, { C, END_WRITE, 0, 0 },
            { D, RETURNS, 0, 0 }, { E, STILL, 0, WAITS }, { D, END_READ, 0, 0 }, { E, RETURNS, 0, 0 },
            { E, END_WRITE, 0, 0 }) },
    { "a writer that is cancelled lets the readers behind it go",
      STEPS({ A, READ, 0, 0 }, { B, WRITE, 0, WAITS }, { C, READ, 0, WAITS }, { D, READ, 0, WAITS },
            { B, CANCEL, 0, -ECANCELED }, { C, RETURNS, 0, 0 }, { D, RETURNS, 0, 0 }, { A, READERS, 0, 3 },
            { A, END_READ, 0, 0 }, { A, END_READ, 0, 0 }, { A, END_READ, 0, 0 }) },
    { "a writer that runs out of time does, too",
      STEPS({ A, READ, 0, 0 }, { B, WRITE + BRIEF, 0, MAYBE }, { C, READ, 0, MAYBE }, { B, RETURNS, 0, -ETIMEDOUT },
            { C, RETURNS, 0, 0 }, { A, END_READ, 0, 0 }, { C, END_READ, 0, 0 }) },
    { "downgrade", STEPS({ A, WRITE, 0, 0 }, { B, READ, 0, WAITS }, { C, WRITE, 0, WAITS }, { D, READ, 0, WAITS },
                         { A, DOWNGRADE, 0, 0 }, { B, RETURNS, 0, 0 }, { C, STILL, 0, WAITS }, { D, STILL, 0, WAITS },
                         { A, READERS, 0, 2 }, { A, DOWNGRADE, 0, -EINVAL }, { A, END_WRITE, 0, -EINVAL },
                         { A, END_READ, 0, 0 }, { B, END_READ, 0, 0 }, { C, RETURNS, 0, 0 }, { C, END_WRITE, 0, 0 },
                         { D, RETURNS, 0, 0 }, { D, END_READ, 0, 0 }) },
    { "downgrade lets no writer in between",
      STEPS({ A, WRITE, 0, 0 }, { C, WRITE, 0, WAITS }, { A, DOWNGRADE, 0, 0 }, { C, STILL, 0, WAITS },
            { B, READ, 0, WAITS }, { A, END_READ, 0, 0 }, { C, RETURNS, 0, 0 }, { C, END_WRITE, 0, 0 },
            { B, RETURNS, 0, 0 }, { B, END_READ, 0, 0 }) },
    { "one's own", STEPS({ A, WRITE, 0, 0 }, { A, WRITE, 0, -EDEADLK }, { A, READ, 0, -EDEADLK },
                         { A, TRY_READ, 0, -EDEADLK }, { A, TRY_WRITE, 0, -EDEADLK }, { A, END_WRITE, 0, 0 }) },
    { "not one's own",
      STEPS({ A, END_READ, 0, -EINVAL }, { A, END_WRITE, 0, -EINVAL }, { A, DOWNGRADE, 0, -EINVAL }, { A, WRITE, 0, 0 },
            { B, END_WRITE, 0, -EINVAL }, { B, DOWNGRADE, 0, -EINVAL }, { A, END_READ, 0, -EINVAL },
            { A, END_WRITE, 0, 0 }, { A, READ, 0, 0 }, { A, END_WRITE, 0, -EINVAL }, { B, END_READ, 0, 0 }) },
    { 0 },
};

static const struct script bounded_scripts[] = {
    { "two readers at most",
      STEPS({ A, READ, 0, 0 }, { B, READ, 0, 0 }, { C, TRY_READ, 0, -EAGAIN }, { C, READ, 0, WAITS },
            { D, READ, 0, WAITS }, { A, END_READ, 0, 0 }, { C, RETURNS, 0, 0 }, { D, STILL, 0, WAITS },
            { B, END_READ, 0, 0 }, { D, RETURNS, 0, 0 }, { C, END_READ, 0, 0 }, { D, END_READ, 0, 0 },
            { A, READERS, 0, 0 }, { A, WRITE, 0, 0 }, { A, END_WRITE, 0, 0 }) },
    { 0 },
};

TASK_TEST_ON(1, rwlock_scripts)
{
    script_run(scripts, &suite);
}

TASK_TEST_ON(1, rwlock_bounded_scripts)
{
    most = 2;
    script_run(bounded_scripts, &suite);
    expect_int(tr_rwlock_init(&lock, TR_RWLOCK_READERS), 0);
    expect_int(tr_rwlock_init(&lock, TR_RWLOCK_READERS + 1), -EINVAL);
}

TASK_TEST_ON(1, rwlock_in_a_select)
{
    struct tr_case cases[] = { tr_case_write_lock(&lock), tr_case_read_lock(&lock) };
    expect_int(tr_rwlock_read(&lock, TR_FOREVER), 0);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED), 1);
    expect_int(cases[1].result, 0);
    expect_int(tr_rwlock_end_read(&lock), 0);
    expect_int(tr_rwlock_end_read(&lock), 0);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED), 0);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED), 0);
    expect_int(cases[0].result, -EDEADLK);
    expect_int(tr_rwlock_end_write(&lock), 0);
}

/* ---- what is protected is consistent, on all kinds of threads ------------------------------------------------- */

static int64_t first, second;

static void use(int count)
{
    for (int i = 0; i < count; i++) {
        if (i % 8 == 0) {
            expect_int(tr_rwlock_write(&lock, tr_after(LONG_TIME)), 0);
            int64_t seen = ++first;
            if (i % 64 == 0) {
                expect_int(tr_rwlock_downgrade(&lock), 0);
                expect_int(first, seen);
                expect_int(tr_rwlock_end_read(&lock), 0);
                expect_int(tr_rwlock_write(&lock, tr_after(LONG_TIME)), 0);
            }
            second++;
            expect_int(tr_rwlock_end_write(&lock), 0);
        } else {
            expect_int(tr_rwlock_read(&lock, tr_after(LONG_TIME)), 0);
            int64_t ahead = first - second;
            expect(ahead >= 0 && ahead <= 4); /* one for each that is between its two writes */
            expect_int(tr_rwlock_end_read(&lock), 0);
        }
    }
}

static void *use_in_thread(void *argument)
{
    use(2000);
    return argument;
}

static int use_in_task(void *argument)
{
    (void)argument;
    use(2000);
    return 0;
}

TASK_TEST(rwlock_between_tasks_and_threads)
{
    pthread_t threads[2];
    struct tr_task tasks[2];
    for (int i = 0; i < 2; i++)
        tasks[i] = test_task(use_in_task, NULL);
    tr_yield();
    for (int i = 0; i < 2; i++)
        expect_int(pthread_create(&threads[i], NULL, use_in_thread, NULL), 0);
    for (int i = 0; i < 2; i++)
        expect_int(test_join(tasks[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    expect_int(first, 1000);
    expect_int(second, 1000);
}

int main(void)
{
    return test_main("rwlock", TESTS(rwlock_scripts, rwlock_bounded_scripts, rwlock_in_a_select,
                                     rwlock_between_tasks_and_threads));
}
