/* SPDX-License-Identifier: MIT */
/*
 * model_rwlock.c: the lock of readers and writers. A writer is alone, readers see what the last writer wrote, nobody is left waiting.
 *
 *   two writers     each writes
 *   reads, writes   two read x one writes
 *   downgrade       a writer goes on as a reader x another writes x one reads: none writes in between
 *   gives up        a writer that gives up x a reader behind it x a reader inside
 *   bounded         one reader at most: two read
 *   select          a select of a read and of the write of another lock x the ends of both writers
 */
#include "fake_monitor.h"
#include "fake_waiter.h"

#include "mailbox/bias.c"
#include "mailbox/monitor.c"
#include "mailbox/pool.c"
#include "mailbox/rwlock.c"
#include "mailbox/wait.c"

static struct tr_rwlock lock, other;
static int data, copy, results[MODEL_THREADS];
static TRI_ATOMIC(uint32_t) reading;

static void setup(void)
{
    model_share(&rwlock_of(&lock)->monitor);
    model_share(&rwlock_of(&other)->monitor);
}

static void setup_bounded(void)
{
    tr_rwlock_init(&lock, 1);
    setup();
}

/* Plain data: that nobody writes meanwhile is seen by the explorer. */
static void change(void)
{
    model_assert(data == copy);
    data++;
    copy++;
}

static void write_once(void)
{
    model_assert(tr_rwlock_write(&lock, TR_FOREVER) == 0);
    change();
    model_assert(tr_rwlock_end_write(&lock) == 0);
}

static void read_once(void)
{
    model_assert(tr_rwlock_read(&lock, TR_FOREVER) == 0);
    model_assert(data == copy);
    model_assert(tr_rwlock_end_read(&lock) == 0);
}

static void write_and_downgrade(void)
{
    model_assert(tr_rwlock_write(&lock, TR_FOREVER) == 0);
    change();
    int seen = data;
    model_assert(tr_rwlock_downgrade(&lock) == 0);
    model_assert(data == seen && copy == seen);
    model_assert(tr_rwlock_end_read(&lock) == 0);
}

static void write_bounded(void)
{
    int rc = tr_rwlock_write(&lock, 1);
    results[model_self()] = rc;
    if (rc == 0)
        change();
    model_assert(tr_rwlock_end_write(&lock) == (rc == 0 ? 0 : -EINVAL));
}

static void read_alone(void)
{
    model_assert(tr_rwlock_read(&lock, TR_FOREVER) == 0);
    model_assert(tri_fetch_add(&reading, 1u, TRI_RELAXED) == 0);
    tri_fetch_sub(&reading, 1u, TRI_RELAXED);
    model_assert(tr_rwlock_end_read(&lock) == 0);
}

static void try_both(void)
{
    if (tr_rwlock_try_read(&lock) == 0) {
        model_assert(data == copy);
        model_assert(tr_rwlock_end_read(&lock) == 0);
    }
    if (tr_rwlock_try_write(&lock) == 0) {
        change();
        model_assert(tr_rwlock_end_write(&lock) == 0);
        results[model_self()] = 1;
    }
}

static void setup_written(void)
{
    setup();
    lock.tri_word |= WRITE; /* by thread 1 */
    lock.tri_writer = &fake_tasks[2];
    other.tri_word |= WRITE; /* by thread 2 */
    other.tri_writer = &fake_tasks[3];
}

static void select_either(void)
{
    struct tr_case cases[] = { tr_case_read_lock(&lock), tr_case_write_lock(&other) };
    int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED);
    model_assert(which >= 0 && cases[which].result == 0);
    model_assert((which ? tr_rwlock_end_write(&other) : tr_rwlock_end_read(&lock)) == 0);
    model_assert((which ? tr_rwlock_end_read(&lock) : tr_rwlock_end_write(&other)) == -EINVAL);
}

static void end_write_lock(void)
{
    model_assert(tr_rwlock_end_write(&lock) == 0);
}

static void end_write_other(void)
{
    model_assert(tr_rwlock_end_write(&other) == 0);
}

static void check_rest(void)
{
    struct tri_monitor *monitor = &rwlock_of(&lock)->monitor, *second = &rwlock_of(&other)->monitor;
    model_assert(model_at_rest(monitor) && model_at_rest(second));
    model_assert(tr_rwlock_readers(&lock) == 0 && !tr_rwlock_is_written(&lock));
    model_assert(tr_rwlock_readers(&other) == 0 && !tr_rwlock_is_written(&other));
}

static void check_two_writes(void)
{
    check_rest();
    model_assert(data == 2 && copy == 2);
}

static const struct model_case cases[] = {
    { .name = "two writers",
      .setup = setup,
      .check = check_two_writes,
      .threads = { { "one", write_once, 0 }, { "two", write_once, 0 } } },
    { .name = "reads, writes",
      .setup = setup,
      .check = check_rest,
      .threads = { { "reads", read_once, 0 }, { "reads too", read_once, 0 }, { "writes", write_once, 0 } } },
    { .name = "downgrade",
      .setup = setup,
      .check = check_two_writes,
      .threads = { { "downgrades", write_and_downgrade, 0 }, { "writes", write_once, 0 }, { "reads", read_once, 0 } } },
    { .name = "gives up",
      .setup = setup,
      .check = check_rest,
      .threads = { { "reads", read_once, 0 }, { "gives up", write_bounded, 0 }, { "behind", read_once, 0 } } },
    { .name = "bounded",
      .setup = setup_bounded,
      .check = check_rest,
      .threads = { { "one", read_alone, 0 }, { "two", read_alone, 0 }, { "three", read_alone, 0 } } },
    { .name = "tries",
      .setup = setup,
      .check = check_rest,
      .threads = { { "tries", try_both, 0 }, { "reads", read_once, 0 }, { "writes", write_once, 0 } } },
    { .name = "select",
      .setup = setup_written,
      .check = check_rest,
      .threads = { { "selects", select_either, 0 }, { "one", end_write_lock, 0 }, { "two", end_write_other, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
