/* SPDX-License-Identifier: MIT */
/*
 * model_oneshot.c: the oneshot. In every case the value comes out once, or stays with its sender; nobody waits in vain; and as soon
 * as the receiver has left, the memory is its own: it scribbles over it, which is a race if anybody still touches it.
 *
 *   send        a send x a receive
 *   drop        a drop x a receive
 *   give up     a send x a receive with a deadline, a close, a try, and the end
 *   await       the sender waits for the close, then drops, or sends in vain x the receiver closes, tries and leaves
 *   heap        a send x the receiver gives up and leaves: the last frees it
 *   heap drop   a drop x the receiver leaves
 *   select      a select of two x a send into each: the other value stays
 */
#include "fake_lock.h"
#include "fake_waiter.h"

#include "mailbox/oneshot.c"
#include "mailbox/pool.c"
#include "mailbox/wait.c"

struct answer {
    struct tr_oneshot raw;
    uint64_t value;
};

static struct answer first, second, *heap;
static int payload; /* written before the send */
static uint64_t got;
static int results[MODEL_THREADS];

static void setup(void)
{
    tr_oneshot_init_raw(&first.raw);
    tr_oneshot_init_raw(&second.raw);
}

static void setup_heap(void)
{
    heap = (struct answer *)(void *)tr_oneshot_create_raw(sizeof *heap);
}

static int send_to(struct answer *answer, uint64_t value)
{
    int rc = tr_oneshot_send_raw(&answer->raw, sizeof value, &answer->value, &value);
    results[model_self()] = rc == 0 ? 1 : rc;
    return rc;
}

static void send(void)
{
    payload = 1;
    send_to(&first, 7);
}

static void send_second(void)
{
    send_to(&second, 8);
}

static void drop(void)
{
    tr_oneshot_drop_raw(&first.raw);
}

static int receive_until(struct answer *answer, tr_time deadline)
{
    return tr_oneshot_receive_raw(&answer->raw, sizeof got, &answer->value, &got, deadline);
}

static int try(struct answer *answer)
{
    return tr_oneshot_try_receive_raw(&answer->raw, sizeof got, &answer->value, &got);
}

static void scribble(void)
{
    memset(&first, 0x5a, sizeof first);
}

static void receive(void)
{
    model_assert(receive_until(&first, TR_FOREVER) == 0);
    model_assert(got == 7 && payload == 1);
    scribble();
}

static void receive_nothing(void)
{
    model_assert(receive_until(&first, TR_FOREVER) == -EPIPE);
    scribble();
}

static void give_up(void)
{
    int rc = receive_until(&first, 1);
    model_assert(rc == 0 || rc == -ETIMEDOUT);
    tr_oneshot_close_raw(&first.raw);
    if (rc < 0) {
        rc = try(&first);
        model_assert(rc == 0 || rc == -EPIPE);
    }
    results[model_self()] = rc;
    model_assert(rc < 0 || (got == 7 && payload == 1));
    tr_oneshot_leave_raw(&first.raw);
    scribble();
}

static void leave(void)
{
    tr_oneshot_leave_raw(&first.raw);
    scribble();
}

static void await_and_drop(void)
{
    model_assert(tr_oneshot_await_close_raw(&first.raw, TR_FOREVER) == 0);
    tr_oneshot_drop_raw(&first.raw);
}

static void await_bounded(void)
{
    int rc = tr_oneshot_await_close_raw(&first.raw, 1);
    model_assert(rc == 0 || rc == -ETIMEDOUT);
    model_assert(send_to(&first, 7) == 0 || tr_oneshot_send_raw(&second.raw, sizeof got, &second.value, &got) == 0);
}

static void close_and_try(void)
{
    tr_oneshot_close_raw(&first.raw);
    int rc = try(&first);
    model_assert(rc == 0 || rc == -EPIPE);
    results[model_self()] = rc;
    tr_oneshot_leave_raw(&first.raw);
    scribble();
}

static void send_heap(void)
{
    payload = 1;
    send_to(heap, 7);
}

static void drop_heap(void)
{
    tr_oneshot_drop_raw(&heap->raw);
}

static void leave_heap(void)
{
    int rc = receive_until(heap, 1);
    model_assert(rc != 0 || (got == 7 && payload == 1));
    results[model_self()] = rc;
    tr_oneshot_leave_raw(&heap->raw);
}

static void select_either(void)
{
    uint64_t a = 0, b = 0;
    struct tr_case cases[] = { tr_case_oneshot_raw(&first.raw, sizeof a, &first.value, &a),
                               tr_case_oneshot_raw(&second.raw, sizeof b, &second.value, &b) };
    int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED);
    model_assert(which >= 0 && cases[which].result == 0 && (which == 0 ? a == 7 : b == 8));
    model_assert(receive_until(which == 0 ? &second : &first, TR_FOREVER) == 0);
    model_assert(got == (which == 0 ? 8 : 7));
    scribble();
}

/* The value is at one place: with the receiver, or with its sender. */
static void check_once(void)
{
    model_assert((results[0] == 0) == (results[1] == 1));
}

static void check_heap(void)
{
    model_assert(results[0] != 0 || results[1] == 1);
}

static const struct model_case cases[] = {
    { .name = "send", .setup = setup, .threads = { { "receives", receive, 0 }, { "sends", send, 0 } } },
    { .name = "drop", .setup = setup, .threads = { { "receives", receive_nothing, 0 }, { "drops", drop, 0 } } },
    { .name = "give up",
      .setup = setup,
      .check = check_once,
      .threads = { { "gives up", give_up, 0 }, { "sends", send, 0 } } },
    { .name = "await", .setup = setup, .threads = { { "leaves", leave, 0 }, { "awaits", await_and_drop, 0 } } },
    { .name = "await and send",
      .setup = setup,
      .check = check_once,
      .threads = { { "closes", close_and_try, 0 }, { "awaits", await_bounded, 0 } } },
    { .name = "heap",
      .setup = setup_heap,
      .check = check_heap,
      .threads = { { "leaves", leave_heap, 0 }, { "sends", send_heap, 0 } } },
    { .name = "heap drop", .setup = setup_heap, .threads = { { "leaves", leave_heap, 0 }, { "drops", drop_heap, 0 } } },
    { .name = "select",
      .setup = setup,
      .threads = { { "selects", select_either, 0 }, { "sends", send, 0 }, { "sends too", send_second, 0 } } },
    { 0 },
};
MODEL(cases);
