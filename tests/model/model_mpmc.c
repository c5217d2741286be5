/* SPDX-License-Identifier: MIT */
/*
 * model_mpmc.c: the queue: a channel whose receivers lock. In every case each message goes to one receiver, and nobody waits in
 * vain.
 *
 *   two and two    two senders x two receivers; the lock owned by a receiver's worker, or by nobody
 *   room           capacity 1: two sends by one x two receivers
 *   close          two receivers wait x a send x a close: one message, one end, or two ends and a send refused
 *   give up        a receiver with a deadline x one without x a send
 *   oldest         a queue that drops the oldest: two sends into one place x a receiver: dropped or received, once each
 *   last           the last two references go: the message that is left is dropped, once
 *   try            a receiver that does not wait x a send and a receive, after which a message is left as before: it gets one
 *   length         looks at the length, without the lock, x a send and a receive: never beyond what there was
 *   select         a select of two queues x a plain receiver x a send into each
 */
#define TRI_BIAS_AFTER 2u
#include "fake_lock.h"
#include "fake_waiter.h"
#include "fake_workers.h"

#include "mailbox/bias.c"
#include "mailbox/channel.c"
#include "mailbox/dead_letter.c"
#include "mailbox/channel_ends.c"
#include "mailbox/channel_overflow.c"
#include "mailbox/channel_permit.c"
#include "mailbox/channel_wait.c"
#include "mailbox/pool.c"
#include "mailbox/queue.c"
#include "mailbox/wait.c"

enum { MOST = 4 };
#define OWNER (TRI_BIASED | 1)

static const struct tr_type type = { "number", sizeof(uint64_t), sizeof(uint64_t) };
static struct tr_queue queue, other;
static int written[MOST];
static TRI_ATOMIC(uint32_t) got[MOST], dropped[MOST], sent[MOST];
static int results[MODEL_THREADS];

static void count_drop(void *message)
{
    tri_fetch_add(&dropped[*(uint64_t *)message], 1u, TRI_RELAXED);
}

static void make(uint32_t capacity, uint32_t owner, const struct tr_channel_options *options)
{
    fake_workers(1);
    model_assert(tr_queue_create_raw(&queue, &type, capacity, options) == 0);
    tri_store(&queue.tri_channel->lock.owner, owner, TRI_RELAXED);
}

static void make_owned(void)
{
    make(2, OWNER, NULL);
}

static void make_shared(void)
{
    make(2, TRI_BIAS_REVOKED, NULL);
}

static void make_1(void)
{
    make(1, TRI_BIAS_REVOKED, NULL);
}

static void make_oldest(void)
{
    make(1, TRI_BIAS_REVOKED, &(struct tr_channel_options){ .overflow = TR_OVERFLOW_DROP_OLDEST, .drop = count_drop });
}

static void make_last(void)
{
    make(1, TRI_BIAS_REVOKED, &(struct tr_channel_options){ .drop = count_drop });
    tr_queue_ref_raw(queue);
}

static void make_other(void)
{
    make_shared();
    model_assert(tr_queue_create_raw(&other, &type, 1, NULL) == 0);
    tri_store(&other.tri_channel->lock.owner, TRI_BIAS_REVOKED, TRI_RELAXED);
}

static int send_to(struct tr_queue to, uint64_t number, tr_time deadline)
{
    written[number] = 1;
    int rc = tri_channel_send_now(to.tri_channel, &number, 0);
    if (rc == -EAGAIN)
        rc = tri_channel_send_waiting(to.tri_channel, &number, 0, deadline);
    if (rc == 0)
        tri_fetch_add(&sent[number], 1u, TRI_RELAXED);
    results[model_self()] = rc;
    return rc;
}

static void note(uint64_t number)
{
    model_assert(number < MOST && written[number] == 1);
    tri_fetch_add(&got[number], 1u, TRI_RELAXED);
}

static int receive_until(tr_time deadline)
{
    uint64_t number = 77;
    struct tri_seat *self = tri_seat_here();
    int rc = tri_channel_receive_fast(queue.tri_channel, self, &number, sizeof number)
                 ? 0
                 : tri_channel_receive_now(queue.tri_channel, &number);
    if (rc == -EAGAIN)
        rc = tri_channel_receive_waiting(queue.tri_channel, &number, deadline);
    if (rc == 0)
        note(number);
    results[model_self()] = rc;
    return rc;
}

static void receive(void)
{
    model_assert(receive_until(TR_FOREVER) == 0);
}

static void receive_twice(void)
{
    receive();
    receive();
}

static void receive_or_end(void)
{
    int rc = receive_until(TR_FOREVER);
    model_assert(rc == 0 || rc == -EPIPE);
}

static void receive_bounded(void)
{
    receive_until(1);
}

static void send_0(void)
{
    send_to(queue, 0, TR_FOREVER);
}

static void send_1(void)
{
    send_to(queue, 1, TR_FOREVER);
}

static void send_0_1(void)
{
    send_0();
    send_1();
}

static void send_and_receive(void)
{
    send_0();
    receive();
}

static void send_other(void)
{
    send_to(other, 1, TR_FOREVER);
}

static void close_queue(void)
{
    tr_queue_close_raw(queue);
}

static void send_and_unref(void)
{
    send_0();
    tr_queue_unref_raw(queue);
}

static void unref(void)
{
    tr_queue_unref_raw(queue);
}

static void look(void)
{
    for (int i = 0; i < 2; i++)
        model_assert(tr_channel_length_raw(queue.tri_channel) <= 1);
}

static void select_either(void)
{
    uint64_t a = 77, b = 77;
    struct tr_case cases[] = { tr_case_queue_receive_raw(queue, sizeof a, &a),
                               tr_case_queue_receive_raw(other, sizeof b, &b) };
    int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED);
    model_assert(which >= 0 && cases[which].result == 0);
    note(which == 0 ? a : b);
    results[model_self()] = 10 + which;
}

static unsigned left_in(struct tr_queue in)
{
    struct tr_channel *channel = in.tri_channel;
    model_assert(!channel->senders.last && !channel->receivers.last && tri_load(&channel->waiting, TRI_RELAXED) == 0);
    return (unsigned)(tri_load(&channel->tail, TRI_RELAXED) - tri_load(&channel->head, TRI_RELAXED));
}

static unsigned sum(TRI_ATOMIC(uint32_t) *counts)
{
    unsigned total = 0;
    for (unsigned i = 0; i < MOST; i++) {
        model_assert(tri_load(&counts[i], TRI_RELAXED) <= 1);
        total += tri_load(&counts[i], TRI_RELAXED);
    }
    return total;
}

static void check(void)
{
    model_assert(sum(got) + sum(dropped) + left_in(queue) == sum(sent));
}

static void check_all_out(void)
{
    check();
    model_assert(left_in(queue) == 0);
}

/* What was sent is received, for both wait until the close. */
static void check_close(void)
{
    check_all_out();
    model_assert(sum(got) == (results[2] == 0 ? 1 : 0));
}

static void check_last(void)
{
    model_assert(sum(dropped) == 1);
}

static void receive_after_other(void)
{
    receive_until(TR_FOREVER);
}

static void send_both(void)
{
    send_0();
    send_other();
}

/* The plain receiver takes from the first; the select gets the second, or leaves it: then it is received here. */
static void select_then_rest(void)
{
    select_either();
    if (results[0] == 10) {
        send_to(queue, 2, TR_FOREVER);
        results[0] = 10;
    }
}

static void check_rivals(void)
{
    model_assert(left_in(queue) == 0 && left_in(other) == (results[0] == 10 ? 1 : 0));
    model_assert(sum(got) + left_in(other) == sum(sent));
}

static void make_one_in(void)
{
    make_shared();
    model_assert(send_to(queue, 0, TR_NOW) == 0);
}

static void try_receive(void)
{
    uint64_t number = 77;
    model_assert(tri_channel_receive_now(queue.tri_channel, &number) == 0);
    note(number);
}

static void send_1_and_receive(void)
{
    model_assert(send_to(queue, 1, TR_NOW) == 0);
    receive();
}

static const struct model_case cases[] = {
    { .name = "two and two, owned",
      .setup = make_owned,
      .check = check_all_out,
      .threads = { { "one", receive, 0 }, { "two", receive, 0 }, { "sends", send_0, 0 }, { "sends too", send_1, 0 } } },
    { .name = "two and two, shared",
      .setup = make_shared,
      .check = check_all_out,
      .threads = { { "one", receive, 0 }, { "two", receive, 0 }, { "sends", send_0_1, 0 } } },
    { .name = "room",
      .setup = make_1,
      .check = check_all_out,
      .threads = { { "one", receive, 0 }, { "two", receive, 0 }, { "sends", send_0_1, 0 } } },
    { .name = "room, owned",
      .setup = make_owned,
      .check = check_all_out,
      .threads = { { "one", receive_twice, 0 }, { "sends", send_0_1, 0 } } },
    { .name = "close",
      .setup = make_shared,
      .check = check_close,
      .threads = { { "one", receive_or_end, 0 },
                   { "two", receive_or_end, 0 },
                   { "sends", send_0, 0 },
                   { "closes", close_queue, 0 } } },
    { .name = "give up",
      .setup = make_shared,
      .check = check,
      .threads = { { "bounded", receive_bounded, 0 }, { "waits", receive, 0 }, { "sends", send_0_1, 0 } } },
    { .name = "oldest",
      .setup = make_oldest,
      .check = check,
      .threads = { { "receives", receive, 0 }, { "sends", send_0, 0 }, { "sends too", send_1, 0 } } },
    { .name = "last",
      .setup = make_last,
      .check = check_last,
      .threads = { { "a", send_and_unref, 0 }, { "b", unref, 0 } } },
    { .name = "try",
      .setup = make_one_in,
      .check = check_all_out,
      .threads = { { "tries", try_receive, 0 }, { "sends and receives", send_1_and_receive, 0 } } },
    { .name = "length, shared",
      .setup = make_shared,
      .check = check_all_out,
      .threads = { { "receives", receive, 0 }, { "sends", send_0, 0 }, { "looks", look, 0 } } },
    { .name = "length, owned",
      .setup = make_owned,
      .check = check_all_out,
      .threads = { { "sends and receives", send_and_receive, 0 }, { "looks", look, 0 } } },
    { .name = "select",
      .setup = make_other,
      .check = check_rivals,
      .threads = { { "selects", select_then_rest, 0 },
                   { "waits", receive_after_other, 0 },
                   { "sends", send_both, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
