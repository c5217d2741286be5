/* SPDX-License-Identifier: MIT */
/*
 * test_oneshot_random.c: random operations on oneshots, on one thread, against a few flags and a number.
 *
 * No task is there, only clients.h: one client at a time is the receiver, the others are on the sender's side. A oneshot lives
 * until both have done their part, and the next one takes its place: in the same memory if it is embedded, which is spoilt in between.
 * Nothing is done that the header forbids: nobody waits, or begins a call, where the other side may free it.
 *
 * TR_STRESS=10 makes it ten million operations for each.
 */
#include "tests/clients.h"
#include "tests/descriptors.h"

#include <troupe/oneshot.h>

#include <stdio.h>

enum { OPERATIONS = 1000000 };

TR_ONESHOT_TYPE(number_oneshot, int64_t);

static struct number_oneshot embedded, *oneshot;
static bool is_heap;

/* The model. `full`: with `number`, sent and not received. */
static bool full, sent, taken, closed, left;
static int64_t number, received[CLIENTS];
static long lives;

static void begin(void)
{
    memset(&embedded, 0x5a, sizeof embedded);
    oneshot = is_heap ? tr_oneshot_create(struct number_oneshot) : &embedded;
    if (!is_heap)
        tr_oneshot_init(oneshot);
    full = sent = taken = closed = left = false;
    lives++;
}

/* Whose turn it was has done the last part: nobody touches it any more. */
static void end_if_over(void)
{
    if (sent && left)
        begin();
}

/* ---- what is allowed ------------------------------------------------------------------------------------------- */

enum role { WATCHES, RECEIVES };

static bool waits_as(int64_t role)
{
    for (int k = 0; k < CLIENTS; k++) {
        if (clients[k].waits && clients[k].amount == role)
            return true;
    }
    return false;
}

/* The last call of the sender's side. */
static bool may_do_its_part(void)
{
    return !left || !waits_as(WATCHES);
}

/* An embedded one would wait for the sender. */
static bool may_leave(void)
{
    return !left && !waits_as(RECEIVES) && (sent ? !waits_as(WATCHES) : is_heap);
}

/* ---- one operation of both ------------------------------------------------------------------------------------- */

/* The model serves all who wait as this. */
static void serve_role(int64_t role, int result)
{
    for (int at = 0; at < queued;) {
        if (clients[queue[at]].amount == role)
            serve(at, result);
        else
            at++;
    }
}

static void look(void)
{
    same(tr_oneshot_is_closed(oneshot), closed);
}

static void send(void)
{
    int64_t value = (int64_t)draw(1000);
    int expected = sent ? -EINVAL : closed ? -EPIPE : 0;
    same(tr_oneshot_send(oneshot, &value), expected);
    sent = true;
    full |= expected == 0;
    number = expected == 0 ? value : number;
    for (int at = 0; at < queued && expected == 0 && full; at++) {
        int next = queue[at];
        if (clients[next].amount != RECEIVES)
            continue;
        full = !serve(at, 0);
        taken = !full;
        if (taken)
            same(received[next], number);
        break;
    }
}

static void drop(void)
{
    tr_oneshot_drop(oneshot);
    if (!sent)
        serve_role(RECEIVES, -EPIPE);
    sent = true;
}

static void close_it(bool leaves)
{
    if (leaves)
        tr_oneshot_leave(oneshot);
    else
        tr_oneshot_close(oneshot);
    serve_role(WATCHES, 0);
    serve_role(RECEIVES, -EPIPE);
    closed = true;
    left |= leaves;
}

static void receive(int k, uint64_t how)
{
    int expected = full ? 0 : sent || closed || taken ? -EPIPE : -EAGAIN;
    received[k] = -1;
    if (how == 0)
        same(tr_oneshot_try_receive(oneshot, &received[k]), expected);
    else if (how == 1)
        same(tr_oneshot_receive(oneshot, &received[k], TR_NOW), expected == -EAGAIN ? -ETIMEDOUT : expected);
    else
        enter_case(k, tr_case_oneshot(oneshot, &received[k]), RECEIVES, true, expected);
    same(received[k], expected == 0 ? number : -1);
    taken |= expected == 0;
    full &= expected != 0;
}

static void watch(int k, bool enters)
{
    if (enters)
        enter_case(k, tr_case_oneshot_close(oneshot), WATCHES, true, closed ? 0 : -EAGAIN);
    else
        same(tr_oneshot_await_close(oneshot, TR_NOW), closed ? 0 : -ETIMEDOUT);
}

static void step(int k)
{
    uint64_t what = draw(24);
    self = k;
    if (what < 3 && may_do_its_part())
        send();
    else if (what < 4 && may_do_its_part())
        drop();
    else if (what < 13 && !left && !waits_as(RECEIVES))
        receive(k, what % 3);
    else if (what < 18)
        watch(k, what % 2);
    else if (what < 19 && !left)
        close_it(false);
    else if (what < 21 && may_leave())
        close_it(true);
    else
        look();
}

static void run(bool heap)
{
    long count = operations(OPERATIONS);
    is_heap = heap;
    begin();
    for (operation = 0; operation < count;) {
        int k = (int)draw(CLIENTS);
        if (clients[k].waits && draw(3) > 0)
            continue; /* it waits on */
        if (!clients[k].waits)
            step(k);
        else
            give_up(k);
        operation++;
        compare_clients();
        end_if_over();
    }
    for (int k = 0; k < CLIENTS; k++) {
        while (clients[k].waits)
            give_up(k);
    }
    if (!sent)
        tr_oneshot_drop(oneshot);
    if (!left)
        tr_oneshot_leave(oneshot);
    same(lives > count / 100, true);
    printf("oneshot: %ld operations match the model, %s, %ld of them lived\n", operation,
           heap ? "on the heap" : "embedded", lives);
}

START_TEST(embedded_oneshots_match_the_model)
{
    run(false);
}
END_TEST

START_TEST(heap_oneshots_match_the_model)
{
    run(true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("oneshot_random");
    TCase *tests = tcase_create("oneshot_random");
    descriptors_watch(tests);
    tcase_set_timeout(tests, 900);
    tcase_add_test(tests, embedded_oneshots_match_the_model);
    tcase_add_test(tests, heap_oneshots_match_the_model);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
