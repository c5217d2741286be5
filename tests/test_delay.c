/* SPDX-License-Identifier: MIT */
/*
 * test_delay.c: the delay queue, by tables and against a model that cannot be wrong: an array, scanned. Times near 0 have
 * passed and those near the end of time have not, so most of it needs no waiting.
 */
#include "tests/support.h"

#include <troupe/delay.h>
#define MS TR_MILLISECOND
#define FAR (TR_FOREVER - 1000000)

static struct tr_delay *new_delay(void)
{
    struct tr_delay *delay;
    expect_int(tr_delay_create(&delay, sizeof(int64_t)), 0);
    return delay;
}

static struct tr_delay_key insert(struct tr_delay *delay, tr_time when, int64_t value)
{
    struct tr_delay_key key;
    expect_int(tr_delay_insert(delay, &key, when, &value), 0);
    return key;
}

static int64_t take(struct tr_delay *delay)
{
    int64_t value = -1;
    expect_int(tr_delay_try_next(delay, &value), 0);
    return value;
}

START_TEST(create_refuses_impossible_values)
{
    struct tr_delay *delay;
    expect_int(tr_delay_create(&delay, 0), -EINVAL);
    expect_int(tr_delay_create(&delay, TR_DELAY_VALUE_LIMIT + 1), -EINVAL);
    expect_int(tr_delay_create(&delay, TR_DELAY_VALUE_LIMIT), 0);
    tr_delay_destroy(delay);
    tr_delay_destroy(NULL);
}
END_TEST

/* In the order of times, and of one time in the order of insertion. */
START_TEST(values_come_in_the_order_of_their_times)
{
    static const struct {
        tr_time when;
        int64_t value;
    } table[] = { { 50, 1 }, { 10, 2 }, { 50, 3 },        { -7, 4 }, { 0, 5 },
                  { 10, 6 }, { 51, 7 }, { INT64_MIN, 8 }, { 50, 9 } };
    static const int64_t order[] = { 8, 4, 5, 2, 6, 1, 3, 9, 7 };
    struct tr_delay *delay = new_delay();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        insert(delay, table[i].when, table[i].value);
    expect_int(tr_delay_length(delay), 9);
    for (int i = 0; i < 9; i++) {
        struct tr_delay_key key;
        int64_t *first = tr_delay_peek(delay, &key);
        expect_int(*first, order[i]);
        expect(tr_delay_find(delay, key, NULL) == first);
        expect_int(take(delay), order[i]);
        expect(!tr_delay_find(delay, key, NULL));
    }
    int64_t value;
    expect_int(tr_delay_insert(delay, NULL, TR_NOW, &value), 0);
    expect_int(tr_delay_next(delay, NULL, TR_NOW), 0); /* not wanted */
    expect_int(tr_delay_try_next(delay, &value), -ESRCH);
    tr_delay_destroy(delay);
}
END_TEST

START_TEST(empty_queue_says_so_and_revives)
{
    struct tr_delay *delay = new_delay();
    int64_t value = 5;
    for (int turn = 0; turn < 3; turn++) {
        expect_int(tr_delay_try_next(delay, &value), -ESRCH);
        expect_int(tr_delay_next(delay, &value, TR_FOREVER), -ESRCH);
        expect_int(tr_delay_when(delay), TR_FOREVER);
        expect(!tr_delay_peek(delay, NULL));
        expect_int(tr_delay_length(delay), 0);
        insert(delay, 1, turn);
        expect_int(tr_delay_when(delay), 1);
        expect_int(tr_delay_next(delay, &value, TR_NOW), 0);
        expect_int(value, turn);
    }
    tr_delay_destroy(delay);
}
END_TEST

START_TEST(what_is_not_due_stays)
{
    struct tr_delay *delay = new_delay();
    int64_t value = 77;
    struct tr_delay_key never = insert(delay, TR_FOREVER, 1), far = insert(delay, FAR, 2);
    expect_int(tr_delay_try_next(delay, &value), -EAGAIN);
    expect_int(tr_delay_next(delay, &value, TR_NOW), -ETIMEDOUT);
    expect_int(tr_delay_next(delay, &value, tr_after(MS)), -ETIMEDOUT);
    expect_int(value, 77);
    expect_int(tr_delay_remove(delay, far, &value), 0);
    expect_int(value, 2);
    expect_int(tr_delay_next(delay, &value, tr_after(MS)), -ETIMEDOUT);
    expect_int(tr_delay_length(delay), 1);
    expect_int(tr_delay_remove(delay, never, NULL), 0);
    tr_delay_destroy(delay);
}
END_TEST

START_TEST(keys_are_good_until_the_value_has_come_out)
{
    struct tr_delay *delay = new_delay();
    tr_time when;
    int64_t value;
    struct tr_delay_key zero = { 0 }, a = insert(delay, 10, 1), b = insert(delay, 20, 2), c = insert(delay, 30, 3);
    expect_int(tr_delay_reset(delay, zero, 5), -ESRCH);
    expect_int(tr_delay_remove(delay, zero, NULL), -ESRCH);
    expect(!tr_delay_find(delay, zero, NULL));
    expect_int(tr_delay_reset(delay, c, 5), 0); /* to the front */
    expect_int(*(int64_t *)tr_delay_find(delay, c, &when), 3);
    expect_int(when, 5);
    expect_int(tr_delay_reset(delay, a, 20), 0); /* behind b, who has had that time for longer */
    expect_int(take(delay), 3);
    expect_int(tr_delay_reset(delay, c, 1), -ESRCH);
    expect_int(tr_delay_remove(delay, c, &value), -ESRCH);
    insert(delay, 40, 4); /* in its place */
    expect_int(tr_delay_remove(delay, c, &value), -ESRCH);
    expect_int(take(delay), 2);
    expect_int(tr_delay_remove(delay, a, &value), 0);
    expect_int(value, 1);
    expect_int(tr_delay_remove(delay, a, &value), -ESRCH);
    expect_int(tr_delay_remove(delay, b, &value), -ESRCH);
    expect_int(take(delay), 4);
    tr_delay_destroy(delay);
}
END_TEST

static int64_t dropped[8];
static int drop_count;

static void note_drop(void *value)
{
    dropped[drop_count++] = *(int64_t *)value;
}

START_TEST(clear_drops_in_order)
{
    struct tr_delay *delay = new_delay();
    struct tr_delay_key key = insert(delay, 30, 3);
    insert(delay, 10, 1);
    insert(delay, FAR, 4);
    insert(delay, 20, 2);
    tr_delay_clear(delay, note_drop);
    for (int i = 0; i < 4; i++)
        expect_int(dropped[i], i + 1);
    expect_int(drop_count, 4);
    expect_int(tr_delay_length(delay), 0);
    expect_int(tr_delay_remove(delay, key, NULL), -ESRCH);
    insert(delay, 5, 9);
    tr_delay_clear(delay, NULL);
    expect_int(tr_delay_length(delay), 0);
    insert(delay, 6, 10);
    expect_int(take(delay), 10);
    tr_delay_destroy(delay);
}
END_TEST

START_TEST(compact_keeps_values_and_keys)
{
    struct tr_delay *delay = new_delay();
    struct tr_delay_key keys[1000];
    expect_int(tr_delay_reserve(delay, 500), 0);
    expect_int(tr_delay_reserve(delay, TR_DELAY_LIMIT + 1u), -ENOMEM);
    for (int i = 0; i < 1000; i++)
        keys[i] = insert(delay, 1000 - i, i);
    for (int i = 0; i < 1000; i++)
        if (i % 100 != 7)
            expect_int(tr_delay_remove(delay, keys[i], NULL), 0);
    tr_delay_compact(delay);
    for (int i = 0; i < 1000; i++)
        expect_int(tr_delay_find(delay, keys[i], NULL) != NULL, i % 100 == 7);
    for (int i = 0; i < 2000; i++) /* into the places in between, and anew at the end */
        insert(delay, 5000, 100000);
    for (int i = 0; i < 1000; i++)
        expect_int(tr_delay_find(delay, keys[i], NULL) != NULL, i % 100 == 7);
    for (int i = 907; i >= 7; i -= 100)
        expect_int(take(delay), i);
    tr_delay_clear(delay, NULL);
    tr_delay_compact(delay);
    expect_int(tr_delay_remove(delay, keys[7], NULL), -ESRCH);
    insert(delay, 3, 33);
    expect_int(take(delay), 33);
    tr_delay_destroy(delay);
}
END_TEST

/* ---- against the model ---------------------------------------------------------------------------------------- */

enum { MOST = 40 };

struct model {
    struct {
        struct tr_delay_key key;
        tr_time when;
        uint64_t order;
        int64_t value;
    } entries[MOST];
    int count;
    uint64_t turns;
};

static int earliest(const struct model *model)
{
    int best = 0;
    for (int i = 1; i < model->count; i++) {
        bool before = model->entries[i].when < model->entries[best].when ||
                      (model->entries[i].when == model->entries[best].when &&
                       model->entries[i].order < model->entries[best].order);
        best = before ? i : best;
    }
    return best;
}

static void forget(struct model *model, int index)
{
    model->entries[index] = model->entries[--model->count];
}

/* Times that have passed, with many alike; one in eight is far. */
static tr_time draw_time(uint64_t *seed)
{
    uint64_t random = test_random(seed) >> 20;
    return random % 8 == 0 ? FAR + (tr_time)(random / 8 % 50) : (tr_time)(random / 8 % 50);
}

static void step(struct tr_delay *delay, struct model *model, uint64_t *seed)
{
    uint64_t random = test_random(seed) >> 16;
    int what = (int)(random % 8), index = model->count > 0 ? (int)(random / 8 % (uint64_t)model->count) : 0;
    int64_t value = -1;
    if (what < 3 && model->count < MOST) {
        tr_time when = draw_time(seed);
        value = (int64_t)++model->turns;
        model->entries[model->count].key = insert(delay, when, value);
        model->entries[model->count].when = when;
        model->entries[model->count].order = model->turns;
        model->entries[model->count++].value = value;
    } else if (what < 4 && model->count > 0) {
        model->entries[index].when = draw_time(seed);
        model->entries[index].order = ++model->turns;
        expect_int(tr_delay_reset(delay, model->entries[index].key, model->entries[index].when), 0);
    } else if (what < 5 && model->count > 0) {
        expect_int(tr_delay_remove(delay, model->entries[index].key, &value), 0);
        expect_int(value, model->entries[index].value);
        expect_int(tr_delay_remove(delay, model->entries[index].key, &value), -ESRCH);
        forget(model, index);
    } else if (model->count == 0) {
        expect_int(tr_delay_try_next(delay, &value), -ESRCH);
    } else {
        int best = earliest(model);
        bool due = model->entries[best].when < FAR;
        expect_int(tr_delay_when(delay), model->entries[best].when);
        expect_int(tr_delay_try_next(delay, &value), due ? 0 : -EAGAIN);
        if (due) {
            expect_int(value, model->entries[best].value);
            forget(model, best);
        }
    }
    expect_int(tr_delay_length(delay), model->count);
    if (random >> 40 == 0)
        tr_delay_compact(delay);
}

START_TEST(ten_million_operations_match_the_model)
{
    int steps = TEST_SANITIZED ? 500000 : 2500000;
    for (uint64_t run = 1; run <= 4; run++) {
        struct tr_delay *delay = new_delay();
        struct model *model = calloc(1, sizeof *model);
        uint64_t seed = run * 7919;
        for (int i = 0; i < steps; i++)
            step(delay, model, &seed);
        free(model);
        tr_delay_destroy(delay);
    }
    printf("delay queue: %d operations match the model\n", 4 * steps);
}
END_TEST

/* ---- waiting -------------------------------------------------------------------------------------------------- */

TASK_TEST(next_waits_and_is_never_early)
{
    struct tr_delay *delay = new_delay();
    tr_time times[100], before = 0;
    uint64_t seed = 3;
    for (int64_t i = 0; i < 100; i++) {
        times[i] = tr_after((int64_t)(test_random(&seed) % (20 * MS)));
        insert(delay, times[i], i);
    }
    for (int i = 0; i < 100; i++) {
        int64_t value;
        expect_int(tr_delay_next(delay, &value, TR_FOREVER), 0);
        expect(tr_clock() >= times[value] && times[value] >= before);
        before = times[value];
    }
    tr_delay_destroy(delay);
}

static void fail_to_wait(void)
{
    struct tr_delay *delay = new_delay();
    struct tr_shield shield;
    int64_t value = 5;
    tr_time when = tr_after(10 * MS);
    insert(delay, when, 9);
    expect_int(tr_delay_next(delay, &value, when - 9 * MS), -ETIMEDOUT);
    expect(tr_clock() >= when - 9 * MS);
    tr_shield_open(&shield, when - 8 * MS);
    expect_int(tr_delay_next(delay, &value, TR_FOREVER), -ETIMEDOUT);
    tr_shield_close(&shield);
    expect_int(tr_task_cancel(tr_task_self()), 0);
    expect_int(tr_delay_next(delay, &value, TR_FOREVER), -ECANCELED);
    expect(tr_cancel_taken());
    expect_int(value, 5);
    expect_int(tr_delay_length(delay), 1);
    expect_int(tr_delay_next(delay, &value, TR_FOREVER), 0);
    expect(tr_clock() >= when);
    expect_int(value, 9);
    insert(delay, tr_after(0) - MS, 10); /* due, so taken, also by a deadline that has passed */
    expect_int(tr_delay_next(delay, &value, tr_after(0) - 2 * MS), 0);
    expect_int(value, 10);
    tr_delay_destroy(delay);
}

START_TEST(a_wait_that_fails_takes_nothing)
{
    struct tr_options options = test_options(0);
    options.clock_paused = true; /* a busy machine can take longer than all of this */
    test_run_with(&options, fail_to_wait);
}
END_TEST

static int wait_for_value(void *argument)
{
    int64_t value;
    return tr_delay_next(argument, &value, TR_FOREVER);
}

TASK_TEST(a_wait_ends_with_the_cancellation)
{
    struct tr_delay *delay = new_delay();
    insert(delay, tr_after(3600 * TR_SECOND), 1);
    struct tr_task task = test_task(wait_for_value, delay);
    expect_int(tr_sleep(MS), 0);
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), -ECANCELED);
    expect_int(tr_delay_length(delay), 1);
    tr_delay_destroy(delay);
}

static int receive_nothing(void *argument)
{
    struct tr_delay *delay = argument;
    struct number message;
    int64_t value;
    expect_int(tr_receive(&message, tr_delay_when(delay)), -ETIMEDOUT);
    expect_int(tr_delay_try_next(delay, &value), 0);
    return (int)value;
}

/* The common use: a deadline for another wait, and a look when that has passed. */
TASK_TEST(its_time_bounds_another_wait)
{
    struct tr_delay *delay = new_delay();
    struct tr_task task;
    insert(delay, tr_after(2 * MS), 44);
    insert(delay, tr_after(3600 * TR_SECOND), 45);
    test_loop(receive_nothing, delay, 4, &task);
    expect_int(test_join(task), 44);
    tr_delay_destroy(delay);
}

int main(void)
{
    return test_main("delay", TESTS(create_refuses_impossible_values, values_come_in_the_order_of_their_times,
                                    empty_queue_says_so_and_revives, what_is_not_due_stays,
                                    keys_are_good_until_the_value_has_come_out, clear_drops_in_order,
                                    compact_keeps_values_and_keys, ten_million_operations_match_the_model,
                                    next_waits_and_is_never_early, a_wait_that_fails_takes_nothing,
                                    a_wait_ends_with_the_cancellation, its_time_bounds_another_wait));
}
