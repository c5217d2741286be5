/* SPDX-License-Identifier: MIT */
/*
 * test_watch.c: the edges of the watch: what counts as seen, what a closed one still tells, sending to nobody, waiting for a
 * value. The tables are scripts: one letter, one operation on one watch with two receivers, checked against what must come out.
 */
#include "support.h"
#include <pthread.h>

TR_WATCH_TYPE(setting, int64_t);
TR_WATCH_RECEIVER_TYPE(setting_receiver, int64_t);

static struct setting create(int64_t first)
{
    struct setting setting;
    expect_int(tr_watch_create(&setting, NULL, &first), 0);
    return setting;
}

static struct setting_receiver subscribe(struct setting setting)
{
    struct setting_receiver receiver;
    expect_int(tr_watch_subscribe(setting, &receiver), 0);
    return receiver;
}

static int64_t current(struct setting setting)
{
    int64_t value;
    expect_int(tr_watch_current(setting, &value), 0);
    return value;
}

static int send_number(struct setting setting, int64_t number)
{
    return tr_watch_send(setting, &number);
}

/* ---- scripts --------------------------------------------------------------------------------------------------- */

/*
 * s sends the next number (from 1 on; 0 was there first)
 * c changed, h has_changed: expect the row's next result (changed with TR_NOW: -ETIMEDOUT for nothing)
 * r read, p peek, n next: expect the next result as value
 * + marks changed, - marks unchanged, x closes the sender
 */
struct script {
    const char *operations;
    int results[12];
};

static const struct script scripts[] = {
    { "hcp", { 0, -ETIMEDOUT, 0 } },            /* the first value counts as seen */
    { "shchc", { 1, 0, 0, -ETIMEDOUT } },       /* changed marks seen */
    { "sssccr", { 0, -ETIMEDOUT, 3 } },         /* only the latest */
    { "sphrh", { 1, 1, 1, 0 } },                /* peek does not mark, read does */
    { "sn", { 1 } },                            /* both at once */
    { "sxhcchr", { 1, 0, -EPIPE, -EPIPE, 1 } }, /* closed, unseen: first the value; can be read for ever */
    { "xch", { -EPIPE, -EPIPE } },              /* closed, seen */
    { "+hcc", { 1, 0, -ETIMEDOUT } },           /* as if unseen */
    { "s-hc", { 0, -ETIMEDOUT } },              /* as if seen */
    { "sr+crc", { 1, 0, 1, -ETIMEDOUT } },      /* the same value again */
    { "x+cc", { 0, -EPIPE } },                  /* closed and marked: once more */
    { "s+n-sxnc", { 1, 2, -EPIPE } },           /* a bit of everything */
};

static void play(const struct script *script)
{
    struct setting setting = create(0);
    struct setting_receiver receiver = subscribe(setting), other = subscribe(setting);
    const int *result = script->results;
    int64_t number = 0, value;
    bool open = true;
    for (const char *o = script->operations; *o; o++) {
        switch (*o) {
        case 's':
            expect_int(send_number(setting, ++number), 0);
            break;
        case 'c':
            expect_int(tr_watch_changed(&receiver, TR_NOW), *result++);
            break;
        case 'h':
            expect_int(tr_watch_has_changed(&receiver), *result++);
            break;
        case 'r':
            expect_int(tr_watch_read(&receiver, &value), 0);
            expect_int(value, *result++);
            break;
        case 'p':
            expect_int(tr_watch_peek(&receiver, &value), 0);
            expect_int(value, *result++);
            break;
        case 'n':
            expect_int(tr_watch_next(&receiver, &value, TR_NOW), 0);
            expect_int(value, *result++);
            break;
        case '+':
            tr_watch_mark_changed(&receiver);
            break;
        case '-':
            tr_watch_mark_unchanged(&receiver);
            break;
        default:
            tr_watch_close(setting);
            open = false;
        }
    }
    /* The other receiver is its own: it has seen nothing but the first value. */
    expect_int(tr_watch_has_changed(&other), number > 0 ? 1 : open ? 0 : -EPIPE);
    tr_watch_unsubscribe(&receiver);
    tr_watch_unsubscribe(&other);
    if (open)
        tr_watch_close(setting);
}

TASK_TEST(watch_scripts)
{
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        play(&scripts[i]);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static void ignore(void *value)
{
    (void)value;
}

TASK_TEST(watch_create_refuses_what_makes_no_sense)
{
    static char value[TR_MESSAGE_LIMIT + 1];
    struct tr_watch raw;
    struct tr_watch_options half = { .clone = ignore }, other = { .drop = ignore }, both = { ignore, ignore };
    expect_int(tr_watch_create_raw(&raw, sizeof value, value, NULL), -EINVAL);
    expect_int(tr_watch_create_raw(&raw, 8, value, &half), -EINVAL);
    expect_int(tr_watch_create_raw(&raw, 8, value, &other), -EINVAL);
    expect_int(tr_watch_create_raw(&raw, TR_COUNTED_LIMIT + 1, value, &both), -EINVAL);
    struct tr_watch_receiver receiver;
    expect_int(tr_watch_subscribe_raw((struct tr_watch){ 0 }, &receiver), -EINVAL);
}

static bool never(const void *value, void *argument)
{
    (void)value;
    (void)argument;
    return false;
}

TASK_TEST(watch_wrong_size_is_refused)
{
    struct setting setting = create(1);
    struct setting_receiver receiver = subscribe(setting);
    struct tr_watch raw = setting.tri_raw;
    int32_t small = 7;
    expect_int(tr_watch_send_raw(raw, sizeof small, &small), -EINVAL);
    expect_int(tr_watch_replace_raw(raw, sizeof small, &small, &small), -EINVAL);
    expect_int(tr_watch_current_raw(raw, sizeof small, &small), -EINVAL);
    expect_int(tr_watch_read_raw(&receiver.tri_raw, sizeof small, &small), -EINVAL);
    expect_int(tr_watch_peek_raw(&receiver.tri_raw, sizeof small, &small), -EINVAL);
    expect_int(tr_watch_next_raw(&receiver.tri_raw, sizeof small, &small, TR_FOREVER), -EINVAL);
    expect_int(tr_watch_wait_for_raw(&receiver.tri_raw, sizeof small, never, NULL, &small, TR_FOREVER), -EINVAL);
    expect_int(small, 7);
    expect_int(current(setting), 1);
    tr_watch_unsubscribe(&receiver);
    tr_watch_close(setting);
}

static bool add(void *value, void *argument)
{
    *(int64_t *)value += *(const int64_t *)argument;
    return true;
}

static bool spoil(void *value, void *argument)
{
    (void)argument;
    *(int64_t *)value = -1;
    return false;
}

TASK_TEST(watch_without_receivers_send_fails_and_the_others_store)
{
    struct setting setting = create(1);
    int64_t swapped = 3;
    expect_int(send_number(setting, 2), -ESRCH);
    expect_int(tr_watch_replace(setting, &swapped, &swapped), 0);
    expect_int(swapped, 1);
    expect_int(current(setting), 3);
    expect_int(tr_watch_replace(setting, NULL, &(int64_t){ 4 }), 0);
    expect(tr_watch_modify(setting, add, &(int64_t){ 10 }));
    expect_int(current(setting), 14);
    struct setting_receiver receiver = subscribe(setting); /* what is there counts as seen */
    expect_int(tr_watch_has_changed(&receiver), 0);
    expect_int(send_number(setting, 15), 0);
    expect_int(tr_watch_has_changed(&receiver), 1);
    tr_watch_unsubscribe(&receiver);
    tr_watch_close(setting);
}

TASK_TEST(watch_modify_that_says_no_has_changed_nothing)
{
    struct setting setting = create(5);
    struct setting_receiver receiver = subscribe(setting);
    expect(!tr_watch_modify(setting, spoil, NULL));
    expect_int(current(setting), 5);
    expect_int(tr_watch_has_changed(&receiver), 0);
    expect(tr_watch_modify(setting, add, &(int64_t){ 1 }));
    expect_int(tr_watch_changed(&receiver, TR_NOW), 0);
    expect_int(current(setting), 6);
    tr_watch_unsubscribe(&receiver);
    tr_watch_close(setting);
}

TASK_TEST(watch_large_value_is_of_one_piece)
{
    struct large {
        char bytes[TR_MESSAGE_LIMIT - 3];
    };
    TR_WATCH_TYPE(large_watch, struct large);
    static struct large value, got;
    struct large_watch watch;
    memset(&value, 'a', sizeof value);
    expect_int(tr_watch_create(&watch, NULL, &value), 0);
    memset(&value, 'b', sizeof value);
    expect_int(tr_watch_replace(watch, &got, &value), 0);
    expect(got.bytes[0] == 'a' && got.bytes[sizeof got - 1] == 'a');
    expect_int(tr_watch_current(watch, &got), 0);
    expect(memcmp(&got, &value, sizeof got) == 0);
    tr_watch_close(watch);
}

/* ---- coming and going -------------------------------------------------------------------------------------------- */

TASK_TEST(watch_clone_has_seen_what_its_model_has)
{
    struct setting setting = create(0);
    struct setting_receiver first = subscribe(setting), fresh, stale;
    expect_int(tr_watch_clone(&first, &fresh), 0);
    expect_int(send_number(setting, 1), 0);
    expect_int(tr_watch_clone(&first, &stale), 0);
    expect_int(tr_watch_changed(&first, TR_NOW), 0);
    expect_int(tr_watch_has_changed(&fresh), 1);
    expect_int(tr_watch_has_changed(&stale), 1);
    expect_int(tr_watch_receivers(setting), 3);
    tr_watch_unsubscribe(&first);
    tr_watch_unsubscribe(&fresh);
    expect_int(tr_watch_receivers(setting), 1);
    tr_watch_close(setting);
    expect_int(tr_watch_clone(&stale, &fresh), 0);
    expect_int(tr_watch_changed(&fresh, TR_NOW), 0);
    expect_int(tr_watch_changed(&fresh, TR_NOW), -EPIPE);
    tr_watch_unsubscribe(&fresh);
    tr_watch_unsubscribe(&stale);
}

TASK_TEST(watch_ends_with_the_last_of_its_senders)
{
    struct setting setting = create(0);
    struct setting_receiver receiver = subscribe(setting);
    tr_watch_open(setting);
    expect_int(tr_watch_senders(&receiver), 2);
    tr_watch_close(setting);
    expect_int(tr_watch_has_changed(&receiver), 0);
    expect_int(send_number(setting, 1), 0);
    tr_watch_close(setting);
    expect_int(tr_watch_senders(&receiver), 0);
    expect_int(tr_watch_changed(&receiver, TR_FOREVER), 0);
    expect_int(tr_watch_changed(&receiver, TR_FOREVER), -EPIPE);
    tr_watch_unsubscribe(&receiver);
}

static int await_desertion(void *argument)
{
    struct setting *setting = argument;
    return tr_watch_closed(*setting, TR_FOREVER);
}

TASK_TEST_ON(1, watch_sender_awaits_the_last_receivers_end)
{
    struct setting setting = create(0);
    expect_int(tr_watch_closed(setting, TR_NOW), 0);
    struct setting_receiver receiver = subscribe(setting);
    expect_int(tr_watch_closed(setting, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    struct tr_task task = test_task(await_desertion, &setting);
    test_settle();
    tr_watch_unsubscribe(&receiver);
    expect_int(test_join(task), 0);
    tr_watch_close(setting);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

struct observer {
    struct setting_receiver receiver;
    tr_time deadline;
    int64_t last;
    int changes;
};

static int observe(void *argument)
{
    struct observer *observer = argument;
    int64_t value;
    int rc;
    while ((rc = tr_watch_next(&observer->receiver, &value, observer->deadline)) == 0) {
        expect(value > observer->last);
        observer->last = value;
        observer->changes++;
    }
    tr_watch_unsubscribe(&observer->receiver);
    return rc;
}

TASK_TEST_ON(1, watch_wakes_all_who_wait)
{
    enum { OBSERVERS = 100 };
    struct observer *observers = test_new(OBSERVERS * sizeof *observers);
    struct tr_task tasks[OBSERVERS];
    struct setting setting = create(0);
    for (int i = 0; i < OBSERVERS; i++) {
        observers[i] = (struct observer){ .receiver = subscribe(setting), .deadline = TR_FOREVER };
        tasks[i] = test_task(observe, &observers[i]);
    }
    for (int turn = 1; turn <= 3; turn++) {
        test_settle();
        expect_int(send_number(setting, turn), 0);
    }
    test_settle();
    expect_int(send_number(setting, 4), 0);
    expect_int(send_number(setting, 5), 0); /* 4 is never seen */
    tr_watch_close(setting);
    for (int i = 0; i < OBSERVERS; i++) {
        expect_int(test_join(tasks[i]), -EPIPE);
        expect_int(observers[i].last, 5);
        expect_int(observers[i].changes, 4);
    }
}

TASK_TEST_ON(1, watch_wait_ends_by_deadline_or_cancel_and_marks_nothing)
{
    struct setting setting = create(0);
    struct setting_receiver mine = subscribe(setting);
    struct observer late = { .receiver = subscribe(setting), .deadline = tr_after(2 * TR_MILLISECOND) };
    struct observer cancelled = { .receiver = subscribe(setting), .deadline = TR_FOREVER };
    struct tr_task first = test_task(observe, &late), second = test_task(observe, &cancelled);
    test_settle();
    expect_int(tr_task_cancel(second), 0);
    expect_int(test_join(second), -ECANCELED);
    expect_int(test_join(first), -ETIMEDOUT);
    expect_int(late.changes + cancelled.changes, 0);
    expect_int(tr_watch_changed(&mine, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    expect_int(send_number(setting, 1), 0);
    expect_int(tr_watch_changed(&mine, TR_FOREVER), 0);
    tr_watch_unsubscribe(&mine);
    tr_watch_close(setting);
}

struct turns {
    struct setting_receiver receiver;
    struct tr_semaphore *seen, *gave_up;
    int64_t last, gave_up_at;
    int timeouts;
};

/* Tells the sender of each change; now and then it waits until it gives up, and tells of that, too, once. */
static int take_turns(void *argument)
{
    struct turns *turns = argument;
    int64_t value = 0;
    for (;;) {
        tr_time deadline = turns->last % 100 == 50 ? tr_after(TR_MILLISECOND) : TR_FOREVER;
        int rc = turns->last % 2 ? tr_watch_next(&turns->receiver, &value, deadline)
                                 : tr_watch_changed(&turns->receiver, deadline);
        if (rc == 0) {
            expect_int(tr_watch_read(&turns->receiver, &value), 0);
            expect_int(value, ++turns->last);
            expect_int(tr_semaphore_release(turns->seen, 1), 0);
        } else if (rc == -ETIMEDOUT) {
            turns->timeouts++;
            if (turns->gave_up_at != turns->last)
                expect_int(tr_semaphore_release(turns->gave_up, 1), 0);
            turns->gave_up_at = turns->last;
        } else {
            tr_watch_unsubscribe(&turns->receiver);
            return rc;
        }
    }
}

/* Receivers that have found out that yielding is enough (see actor/news.c), and then are let down. */
TASK_TEST_ON(1, watch_taking_turns_with_pauses)
{
    enum { RECEIVERS = 20, ROUNDS = 500 };
    struct turns *turns = test_new(RECEIVERS * sizeof *turns);
    struct tr_task tasks[RECEIVERS];
    struct tr_semaphore seen = TR_SEMAPHORE_INIT(0), gave_up = TR_SEMAPHORE_INIT(0);
    struct setting setting = create(0);
    for (int i = 0; i < RECEIVERS; i++) {
        turns[i] = (struct turns){ .receiver = subscribe(setting), .seen = &seen, .gave_up = &gave_up };
        tasks[i] = test_task(take_turns, &turns[i]);
    }
    for (int n = 1; n <= ROUNDS; n++) {
        if (n % 100 == 51)
            expect_int(tr_semaphore_acquire(&gave_up, RECEIVERS, TR_FOREVER), 0);
        expect_int(send_number(setting, n), 0);
        expect_int(tr_semaphore_acquire(&seen, RECEIVERS, TR_FOREVER), 0);
    }
    tr_watch_close(setting);
    for (int i = 0; i < RECEIVERS; i++) {
        expect_int(test_join(tasks[i]), -EPIPE);
        expect_int(turns[i].last, ROUNDS);
        expect(turns[i].timeouts >= 5);
    }
}

static bool at_least(const void *value, void *argument)
{
    return *(const int64_t *)value >= *(const int64_t *)argument;
}

static int count_up(void *argument)
{
    struct setting *setting = argument;
    for (int i = 1; i <= 10; i++) {
        test_settle();
        expect_int(send_number(*setting, i), 0);
    }
    return 0;
}

TASK_TEST_ON(1, watch_wait_for_looks_at_the_value_there_first)
{
    struct setting setting = create(0);
    struct setting_receiver receiver = subscribe(setting);
    int64_t value = -1;
    expect_int(tr_watch_wait_for(&receiver, at_least, &(int64_t){ 0 }, &value, TR_NOW), 0); /* though it was seen */
    expect_int(value, 0);
    expect_int(tr_watch_wait_for(&receiver, at_least, &(int64_t){ 1 }, &value, TR_NOW), -ETIMEDOUT);
    expect_int(tr_watch_wait_for(&receiver, at_least, &(int64_t){ 1 }, &value, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    struct tr_task task = test_task(count_up, &setting);
    expect_int(tr_watch_wait_for(&receiver, at_least, &(int64_t){ 7 }, &value, TR_FOREVER), 0);
    expect_int(value, 7);
    expect_int(test_join(task), 0);
    expect_int(tr_watch_has_changed(&receiver), 1);
    tr_watch_close(setting);
    expect_int(tr_watch_wait_for(&receiver, at_least, &(int64_t){ 10 }, &value, TR_FOREVER),
               0); /* closed, but it is it */
    expect_int(value, 10);
    expect_int(tr_watch_wait_for(&receiver, at_least, &(int64_t){ 11 }, &value, TR_FOREVER), -EPIPE);
    tr_watch_unsubscribe(&receiver);
}

static int send_later(void *argument)
{
    struct setting *setting = argument;
    test_settle();
    return send_number(*setting, 5);
}

TASK_TEST_ON(1, watch_in_a_select_wins_loses_and_ends)
{
    struct setting one = create(0), two = create(0);
    struct setting_receiver first = subscribe(one), second = subscribe(two);
    struct tr_case cases[] = { tr_case_watch(&first), tr_case_watch(&second) };
    expect_int(tr_select(cases, 2, tr_after(TR_MILLISECOND), TR_SELECT_FAIR), -ETIMEDOUT);
    expect_int(send_number(two, 1), 0);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(cases[1].result, 0);
    expect_int(tr_watch_has_changed(&second), 0);
    struct tr_task task = test_task(send_later, &one);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(cases[0].result, 0);
    expect_int(test_join(task), 0);
    tr_watch_close(two);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(cases[1].result, -EPIPE);
    tr_watch_unsubscribe(&first);
    tr_watch_unsubscribe(&second);
    tr_watch_close(one);
}

/* ---- counted values ------------------------------------------------------------------------------------------------ */

struct counted {
    atomic_int references;
};

TR_WATCH_TYPE(counted_watch, struct counted *);
TR_WATCH_RECEIVER_TYPE(counted_receiver, struct counted *);

static void ref_counted(void *value)
{
    expect(atomic_fetch_add(&(*(struct counted **)value)->references, 1) > 0);
}

static void unref_counted(void *value)
{
    expect(atomic_fetch_sub(&(*(struct counted **)value)->references, 1) > 0);
}

static bool is_it(const void *value, void *argument)
{
    return *(struct counted *const *)value == argument;
}

static bool swap_in(void *value, void *argument)
{
    unref_counted(value); /* it owns what it replaces */
    *(struct counted **)value = argument;
    return true;
}

TASK_TEST(watch_counted_values_are_dropped_once)
{
    static struct counted objects[5];
    const struct tr_watch_options options = { ref_counted, unref_counted };
    struct counted_watch watch;
    struct counted_receiver receiver;
    struct counted *got, *object[5];
    for (int i = 0; i < 5; i++) {
        atomic_store(&objects[i].references, 1);
        object[i] = &objects[i];
    }
    expect_int(tr_watch_create(&watch, &options, &object[0]), 0);
    expect_int(tr_watch_send(watch, &object[1]), -ESRCH);
    expect_int(atomic_load(&objects[1].references), 1); /* still the caller's */
    expect_int(tr_watch_subscribe(watch, &receiver), 0);
    expect_int(tr_watch_send(watch, &object[1]), 0);
    expect_int(atomic_load(&objects[0].references), 0);
    expect_int(tr_watch_next(&receiver, &got, TR_FOREVER), 0);
    expect(got == &objects[1]);
    expect_int(atomic_load(&objects[1].references), 2);
    unref_counted(&got);
    expect_int(tr_watch_replace(watch, &got, &object[2]), 0); /* gives the watch's own reference back */
    expect(got == &objects[1]);
    expect_int(atomic_load(&objects[1].references), 1);
    expect_int(tr_watch_replace(watch, NULL, &object[3]), 0);
    expect_int(atomic_load(&objects[2].references), 0);
    expect_int(tr_watch_wait_for(&receiver, is_it, object[4], &got, TR_NOW), -ETIMEDOUT);
    expect_int(atomic_load(&objects[3].references), 1); /* the clone that was not wanted has gone */
    expect(tr_watch_modify(watch, swap_in, object[4]));
    expect_int(atomic_load(&objects[3].references), 0);
    expect_int(tr_watch_wait_for(&receiver, is_it, object[4], &got, TR_NOW), 0);
    expect_int(atomic_load(&objects[4].references), 2);
    tr_watch_close(watch);
    tr_watch_unsubscribe(&receiver);
    expect_int(atomic_load(&objects[4].references), 1);
}

/* ---- plain threads ------------------------------------------------------------------------------------------------- */

static void *observe_on_thread(void *argument)
{
    expect_int(observe(argument), -EPIPE);
    return NULL;
}

START_TEST(watch_between_a_task_and_threads)
{
    enum { THREADS = 4, COUNT = 300 };
    struct observer observers[THREADS];
    pthread_t threads[THREADS];
    struct setting setting = create(0);
    for (int i = 0; i < THREADS; i++) {
        observers[i] = (struct observer){ .receiver = subscribe(setting), .deadline = TR_FOREVER };
        expect_int(pthread_create(&threads[i], NULL, observe_on_thread, &observers[i]), 0);
    }
    struct observer inside = { .receiver = subscribe(setting), .deadline = TR_FOREVER };
    struct tr_options options = test_options(0);
    struct tr_runtime *runtime;
    struct tr_task task;
    expect_int(tr_start(&runtime, &options), 0);
    expect_int(tr_task_spawn(&task, observe, &inside, &(struct tr_task_options){ .runtime = runtime }), 0);
    for (int i = 1; i <= COUNT; i++) {
        expect_int(send_number(setting, i), 0);
        if (i % 50 == 0)
            usleep(1000);
    }
    tr_watch_close(setting);
    for (int i = 0; i < THREADS; i++) {
        expect_int(pthread_join(threads[i], NULL), 0);
        expect_int(observers[i].last, COUNT);
    }
    expect_int(test_join(task), -EPIPE);
    expect_int(inside.last, COUNT);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
}
END_TEST

int main(void)
{
    return test_main("watch",
                     TESTS(watch_scripts, watch_create_refuses_what_makes_no_sense, watch_wrong_size_is_refused,
                           watch_without_receivers_send_fails_and_the_others_store,
                           watch_modify_that_says_no_has_changed_nothing, watch_large_value_is_of_one_piece,
                           watch_clone_has_seen_what_its_model_has, watch_ends_with_the_last_of_its_senders,
                           watch_sender_awaits_the_last_receivers_end, watch_wakes_all_who_wait,
                           watch_wait_ends_by_deadline_or_cancel_and_marks_nothing, watch_taking_turns_with_pauses,
                           watch_wait_for_looks_at_the_value_there_first, watch_in_a_select_wins_loses_and_ends,
                           watch_counted_values_are_dropped_once, watch_between_a_task_and_threads));
}
