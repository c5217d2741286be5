/* SPDX-License-Identifier: MIT */
/*
 * test_news.c: more of the broadcast and the watch: what the functions of the user are given, when a wait for a value ends,
 * and which handles are of one channel.
 */
#include "tests/support.h"

TR_WATCH_TYPE(setting, int64_t);
TR_WATCH_RECEIVER_TYPE(setting_receiver, int64_t);

TR_BROADCAST_TYPE(feed, int64_t);
TR_BROADCAST_RECEIVER_TYPE(feed_receiver, int64_t);
TR_BROADCAST_WEAK_TYPE(feed_weak, int64_t);

/* ---- functions of the user -------------------------------------------------------------------------------------- */

/* A value as strictly aligned as a message may be. */
struct line {
    _Alignas(64) int64_t number;
};

TR_WATCH_TYPE(line_watch, struct line);
TR_WATCH_RECEIVER_TYPE(line_watch_receiver, struct line);

static void see_line(void *value)
{
    expect((uintptr_t)value % _Alignof(struct line) == 0);
}

static bool count_line(void *value, void *argument)
{
    see_line(value);
    ((struct line *)value)->number += *(int64_t *)argument;
    return true;
}

TASK_TEST(watch_functions_of_the_user_get_aligned_values)
{
    const struct tr_watch_options options = { see_line, see_line };
    for (int counted = 0; counted < 2; counted++) {
        struct line_watch watch;
        struct line_watch_receiver receiver;
        struct line value = { 1 };
        expect_int(tr_watch_create(&watch, counted ? &options : NULL, &value), 0);
        expect(tr_watch_modify(watch, count_line, &(int64_t){ 1 }));
        expect_int(tr_watch_subscribe(watch, &receiver), 0);
        expect_int(tr_watch_send(watch, &(struct line){ 3 }), 0);
        expect_int(tr_watch_replace(watch, NULL, &(struct line){ 4 }), 0);
        expect(tr_watch_modify(watch, count_line, &(int64_t){ 1 }));
        expect_int(tr_watch_next(&receiver, &value, TR_NOW), 0);
        expect_int(value.number, 5);
        tr_watch_unsubscribe(&receiver);
        tr_watch_close(watch);
    }
}

TR_BROADCAST_TYPE(line_feed, struct line);
TR_BROADCAST_RECEIVER_TYPE(line_feed_receiver, struct line);

TASK_TEST(broadcast_functions_of_the_user_get_aligned_values)
{
    const struct tr_broadcast_options options = { see_line, see_line };
    struct line_feed feed;
    struct line_feed_receiver receiver;
    struct line value;
    expect_int(tr_broadcast_create(&feed, 2, &options), 0);
    expect_int(tr_broadcast_subscribe(feed, &receiver), 0);
    for (int i = 0; i < 4; i++)
        expect_int(tr_broadcast_send(feed, &(struct line){ i }), 1);
    expect_int(tr_broadcast_try_receive(&receiver, &value), 2);
    expect_int(value.number, 2);
    tr_broadcast_unsubscribe(&receiver);
    tr_broadcast_close(feed);
}

/* ---- a value that changes all the time -------------------------------------------------------------------------- */

struct restless {
    struct setting setting;
    int64_t next;
    tr_time patience;
};

/* As if it changed faster than it can be looked at. */
static bool never_this_one(const void *value, void *argument)
{
    struct restless *restless = argument;
    (void)value;
    expect_int(tr_watch_send(restless->setting, &restless->next), 0);
    restless->next++;
    expect(tr_clock() < restless->patience);
    return false;
}

TASK_TEST(watch_wait_for_ends_by_its_deadline_however_fast_the_value_changes)
{
    struct restless restless = { .next = 1, .patience = tr_clock() + 10 * TR_SECOND };
    struct setting_receiver receiver;
    struct tr_scope scope;
    int64_t value = 0;
    expect_int(tr_watch_create(&restless.setting, NULL, &value), 0);
    expect_int(tr_watch_subscribe(restless.setting, &receiver), 0);
    expect_int(tr_watch_wait_for(&receiver, never_this_one, &restless, &value, TR_NOW), -ETIMEDOUT);
    expect_int(restless.next, 2);
    tr_time deadline = tr_after(2 * TR_MILLISECOND);
    expect_int(tr_watch_wait_for(&receiver, never_this_one, &restless, &value, deadline), -ETIMEDOUT);
    expect(tr_clock() >= deadline);
    expect_int(tr_watch_has_changed(&receiver), 1); /* the last was not looked at */
    tr_scope_open(&scope, tr_after(2 * TR_MILLISECOND));
    expect_int(tr_watch_wait_for(&receiver, never_this_one, &restless, &value, TR_FOREVER), -ETIMEDOUT);
    expect(tr_scope_close(&scope));
    expect_int(tr_task_cancel(tr_task_self()), 0);
    expect_int(tr_watch_wait_for(&receiver, never_this_one, &restless, &value, TR_FOREVER), -ECANCELED);
    expect(tr_cancel_taken());
    tr_watch_unsubscribe(&receiver);
    tr_watch_close(restless.setting);
}

/* ---- whose a handle is ------------------------------------------------------------------------------------------ */

TASK_TEST(watch_handles_tell_whose_they_are)
{
    struct setting one, two;
    struct setting_receiver receiver;
    expect_int(tr_watch_create(&one, NULL, &(int64_t){ 0 }), 0);
    expect_int(tr_watch_create(&two, NULL, &(int64_t){ 0 }), 0);
    expect_int(tr_watch_subscribe(one, &receiver), 0);
    struct setting copy = one;
    expect(tr_watch_same(one, copy) && tr_watch_same(one, receiver));
    expect(!tr_watch_same(one, two) && !tr_watch_same(two, receiver));
    tr_watch_unsubscribe(&receiver);
    tr_watch_close(one);
    tr_watch_close(two);
}

TASK_TEST(broadcast_handles_tell_whose_they_are)
{
    struct feed one, two;
    struct feed_receiver receiver;
    struct feed_weak weak;
    expect_int(tr_broadcast_create(&one, 2, NULL), 0);
    expect_int(tr_broadcast_create(&two, 2, NULL), 0);
    expect_int(tr_broadcast_subscribe(one, &receiver), 0);
    struct feed copy = one;
    tr_broadcast_downgrade(one, &weak);
    expect(tr_broadcast_same(one, copy) && tr_broadcast_same(one, receiver) && tr_broadcast_same(weak, receiver));
    expect(!tr_broadcast_same(one, two) && !tr_broadcast_same(two, receiver));
    tr_broadcast_forget(weak);
    tr_broadcast_unsubscribe(&receiver);
    tr_broadcast_close(one);
    tr_broadcast_close(two);
}

int main(void)
{
    return test_main("news", TESTS(watch_functions_of_the_user_get_aligned_values,
                                   broadcast_functions_of_the_user_get_aligned_values,
                                   watch_wait_for_ends_by_its_deadline_however_fast_the_value_changes,
                                   watch_handles_tell_whose_they_are, broadcast_handles_tell_whose_they_are));
}
