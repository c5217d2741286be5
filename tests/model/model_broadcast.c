/* SPDX-License-Identifier: MIT */
/*
 * model_broadcast.c: a broadcast of values of two words, with capacity 1 or 2. In every case each receiver gets the values in
 * order and of one piece, and is told exactly how many it has missed.
 *
 *   data        what was written before a send is seen after the receive
 *   overwrite   a receiver that copies x a sender that overwrites what it copies, capacity 1
 *   lag         capacity 2: who has been overtaken goes on at the oldest kept, and always finds it
 *   far         the same, overtaken by more than one value
 *   lapped      a receiver that takes the lock at the second try
 *   wait        a receiver waits x two senders
 *   pieces      two receivers wait, and are woken one at a time x two senders
 *   close       a send and a close x a receiver that receives until the end, and leaves: who goes last frees
 *   give up     a receiver with a deadline x a send
 *   either      a select of two broadcasts x a send to each: one is received, the other stays
 *   ends        a select of two x the close of one and a send to the other x its deadline
 *   subscribe   a subscribe x a send: what is sent to a receiver is received by it
 *   desertion   a sender waits until there is no receiver x two that leave
 *   counted     counted values: clone x overwrite
 *   shared      a send x two receivers, of whom one then closes the sender's handle, and the last to leave frees: the sender may
 *               have been overtaken by the close in telling them
 *   upgrade     a weak handle becomes a sender x the last close x a receiver that waits
 */
#define TRI_BROADCAST_TRIES 2
#include "fake_bias.h"
#include "fake_waiter.h"

#include "mailbox/wait.h"
#undef TRI_WAKES
#define TRI_WAKES 1u

#include "mailbox/audience.c"
#include "mailbox/broadcast.c"
#include "mailbox/pool.c"
#include "mailbox/wait.c"

struct value {
    uint64_t number, again;
};

static struct tr_broadcast feed, second;
static struct tr_broadcast_weak weak;
static struct tr_broadcast_receiver receivers[3];
static int data;
static unsigned received[3], missed[3], sent;
static int results[MODEL_THREADS];
static TRI_ATOMIC(uint32_t) counts[8];

static void make(uint32_t capacity, unsigned subscribers, const struct tr_broadcast_options *options)
{
    model_assert(tr_broadcast_create_raw(&feed, sizeof(struct value), capacity, options) == 0);
    for (unsigned i = 0; i < subscribers; i++)
        model_assert(tr_broadcast_subscribe_raw(feed, &receivers[i]) == 0);
}

static void setup_one(void)
{
    make(1, 1, NULL);
}

static void setup_two(void)
{
    make(2, 1, NULL);
}

static void setup_two_receivers(void)
{
    make(2, 2, NULL);
}

static void setup_weak(void)
{
    make(2, 1, NULL);
    tr_broadcast_downgrade_raw(feed, &weak);
}

static void setup_select(void)
{
    make(2, 1, NULL);
    model_assert(tr_broadcast_create_raw(&second, sizeof(struct value), 2, NULL) == 0);
    tr_broadcast_subscribe_raw(second, &receivers[1]);
}

static int send_value(struct tr_broadcast to, uint64_t number)
{
    return tr_broadcast_send_raw(to, sizeof(struct value), &(struct value){ number, number });
}

/* What the only sender sends is numbered. */
static void send_next(void)
{
    model_assert(send_value(feed, sent) > 0);
    sent++;
}

static void send_two(void)
{
    send_next();
    send_next();
}

static void send_three(void)
{
    send_two();
    send_next();
}

static void send_four(void)
{
    send_two();
    send_two();
}

static void send_zero(void)
{
    model_assert(send_value(feed, 0) > 0);
}

static void send_with_data(void)
{
    data = 1;
    send_zero();
}

static void send_second(void)
{
    model_assert(send_value(second, 7) == 1);
}

static void close_feed(void)
{
    tr_broadcast_close_raw(feed);
}

static void send_and_close(void)
{
    send_next();
    close_feed();
}

static int receive(unsigned self, struct value *value, tr_time deadline)
{
    int rc = tri_broadcast_take(&receivers[self], value);
    return rc == -EAGAIN ? tri_broadcast_await(&receivers[self], value, deadline, tri_self(), tri_park) : rc;
}

/* The oracle of one that was received, or tried to be, where one sender numbers what it sends. */
static int note(unsigned self, int rc, struct value value)
{
    if (rc < 0)
        return rc;
    model_assert(value.number == value.again);
    model_assert(value.number == received[self] + missed[self] + (unsigned)rc);
    missed[self] += (unsigned)rc;
    received[self]++;
    return rc;
}

static int receive_next(unsigned self, tr_time deadline)
{
    struct value value;
    int rc = receive(self, &value, deadline);
    return note(self, rc, value);
}

static int try_next(unsigned self)
{
    struct value value;
    int rc = tr_broadcast_try_receive_raw(&receivers[self], sizeof value, &value);
    return note(self, rc, value);
}

static void receive_data(void)
{
    model_assert(receive_next(0, TR_FOREVER) == 0 && data == 1);
}

static void try_two(void)
{
    for (int i = 0; i < 2; i++) {
        int rc = try_next(0);
        model_assert(rc >= 0 || (rc == -EAGAIN && receivers[0].tri_missed == 0));
    }
}

/* One that has been overtaken finds a value. */
static void try_lagging(void)
{
    for (int i = 0; i < 2; i++) {
        int rc = try_next(0);
        model_assert(rc >= 0 || (rc == -EAGAIN && receivers[0].tri_missed == 0));
    }
}

static void try_far(void)
{
    int rc = try_next(0);
    model_assert(rc >= 0 || (rc == -EAGAIN && receivers[0].tri_missed == 0));
}

static void wait_one(void)
{
    model_assert(receive_next(0, TR_FOREVER) >= 0);
}

static void wait_two(void)
{
    struct value value;
    for (int i = 0; i < 2; i++)
        model_assert(receive(0, &value, TR_FOREVER) == 0 && value.number == value.again);
}

static void wait_other(void)
{
    struct value value;
    model_assert(receive(1, &value, TR_FOREVER) == 0);
}

static void wait_first(void)
{
    struct value value;
    model_assert(receive(0, &value, TR_FOREVER) == 0);
}

static void wait_first_and_close(void)
{
    wait_first();
    tr_broadcast_unsubscribe_raw(&receivers[0]);
    tr_broadcast_close_raw(feed);
}

static void wait_other_and_leave(void)
{
    wait_other();
    tr_broadcast_unsubscribe_raw(&receivers[1]);
}

static void drain(void)
{
    int rc;
    while ((rc = receive_next(0, TR_FOREVER)) >= 0)
        ;
    model_assert(rc == -EPIPE && try_next(0) == -EPIPE);
    tr_broadcast_unsubscribe_raw(&receivers[0]);
}

static void wait_bounded(void)
{
    results[model_self()] = receive_next(0, 1);
}

static void select_until(tr_time deadline)
{
    struct value value[2];
    struct tr_case cases[] = { tr_case_broadcast_raw(&receivers[0], sizeof *value, &value[0]),
                               tr_case_broadcast_raw(&receivers[1], sizeof *value, &value[1]) };
    int which = tr_select(cases, 2, deadline, TR_SELECT_ORDERED);
    results[model_self()] = which;
    model_assert(which < 0 || cases[which].result == 0 || cases[which].result == -EPIPE);
    model_assert(which < 0 || cases[which].result < 0 || value[which].number == (which == 0 ? 0 : 7));
}

static void select_either(void)
{
    select_until(TR_FOREVER);
}

static void select_bounded(void)
{
    select_until(1);
}

static void subscribe_and_try(void)
{
    struct value value;
    tr_broadcast_subscribe_raw(feed, &receivers[1]);
    int rc = tr_broadcast_try_receive_raw(&receivers[1], sizeof value, &value);
    model_assert(rc == 0 || rc == -EAGAIN);
    results[model_self()] = rc == 0;
}

static void send_to_any(void)
{
    results[model_self()] = send_value(feed, 0);
}

static void await_desertion(void)
{
    model_assert(tri_audience_await_desertion(&channel_of(feed.tri_channel)->audience, TR_FOREVER) == 0);
    model_assert(send_value(feed, 0) == -ESRCH);
}

static void leave_first(void)
{
    tr_broadcast_unsubscribe_raw(&receivers[0]);
}

static void leave_second(void)
{
    tr_broadcast_unsubscribe_raw(&receivers[1]);
}

static void upgrade(void)
{
    struct tr_broadcast strong;
    int rc = tr_broadcast_upgrade_raw(weak, &strong);
    model_assert(rc == 0 || rc == -EPIPE);
    if (rc == 0) {
        model_assert(send_value(strong, 0) == 1);
        tr_broadcast_close_raw(strong);
    }
    tr_broadcast_forget_raw(weak);
    results[model_self()] = rc;
}

static void wait_for_end(void)
{
    int rc = receive_next(0, TR_FOREVER);
    model_assert(rc == 0 || rc == -EPIPE);
    results[model_self()] = rc;
    model_assert(rc < 0 || receive_next(0, TR_FOREVER) == -EPIPE);
}

/* ---- counted values: each is a number whose references are counted --------------------------------------------- */

static void clone_value(void *value)
{
    tri_fetch_add(&counts[((struct value *)value)->number], 1u, TRI_RELAXED);
}

static void drop_value(void *value)
{
    uint32_t before = tri_fetch_sub(&counts[((struct value *)value)->number], 1u, TRI_RELAXED);
    model_assert(before > 0);
}

static void setup_counted(void)
{
    make(1, 1, &(struct tr_broadcast_options){ clone_value, drop_value });
    for (int i = 0; i < 3; i++)
        tri_store(&counts[i], 1u, TRI_RELAXED);
}

static void receive_counted(void)
{
    struct value value;
    int rc = tr_broadcast_try_receive_raw(&receivers[0], sizeof value, &value);
    if (note(0, rc, value) >= 0) {
        model_assert(tri_load(&counts[value.number], TRI_RELAXED) >= 1);
        drop_value(&value);
    }
}

static void check_counted(void)
{
    tr_broadcast_unsubscribe_raw(&receivers[0]);
    close_feed();
    for (unsigned i = 0; i < 3; i++)
        model_assert(tri_load(&counts[i], TRI_RELAXED) == (i < sent ? 0 : 1));
}

/* ---- checks ---------------------------------------------------------------------------------------------------- */

/* What was not received is there, or is told to be missed. */
static void check_rest(void)
{
    while (try_next(0) >= 0)
        ;
    model_assert(received[0] + missed[0] == sent);
    model_assert(!channel_of(feed.tri_channel)->audience.waiting.last);
}

static void check_all_sent(void)
{
    sent = 1;
    check_rest();
}

static void check_closed(void)
{
    model_assert(received[0] + missed[0] == sent);
}

static void check_either(void)
{
    struct value value;
    bool has_first = tr_broadcast_try_receive_raw(&receivers[0], sizeof value, &value) == 0;
    bool has_second = tr_broadcast_try_receive_raw(&receivers[1], sizeof value, &value) == 0;
    model_assert(has_first == (results[0] != 0) && has_second == (results[0] != 1));
    model_assert(!channel_of(feed.tri_channel)->audience.waiting.last);
}

static void check_subscribe(void)
{
    struct value value;
    int reached = results[1] > 0 ? results[1] : 0; /* of the first receiver there is none */
    int got = results[0] + (tr_broadcast_try_receive_raw(&receivers[1], sizeof value, &value) == 0);
    model_assert(got == reached);
}

static void setup_nobody(void)
{
    make(2, 0, NULL);
}

static void check_upgrade(void)
{
    model_assert(results[1] == results[2]); /* received what was sent, or the end */
}

static const struct model_case cases[] = {
    { .name = "data",
      .setup = setup_one,
      .threads = { { "receives", receive_data, 0 }, { "sends", send_with_data, 0 } } },
    { .name = "overwrite",
      .setup = setup_one,
      .check = check_rest,
      .threads = { { "receives", try_two, 0 }, { "sends", send_two, 0 } } },
    { .name = "lag",
      .setup = setup_two,
      .check = check_rest,
      .threads = { { "receives", try_lagging, 0 }, { "sends", send_three, 0 } } },
    { .name = "far",
      .setup = setup_two,
      .check = check_rest,
      .threads = { { "receives", try_far, 0 }, { "sends", send_four, 0 } } },
    { .name = "lapped",
      .setup = setup_one,
      .check = check_rest,
      .threads = { { "receives", wait_one, 0 }, { "sends", send_three, 0 } } },
    { .name = "wait",
      .setup = setup_two,
      .threads = { { "receives", wait_two, 0 }, { "sends", send_zero, 0 }, { "sends too", send_zero, 0 } } },
    { .name = "pieces",
      .setup = setup_two_receivers,
      .threads = { { "first", wait_first, 0 },
                   { "other", wait_other, 0 },
                   { "sends", send_zero, 0 },
                   { "sends too", send_zero, 0 } } },
    { .name = "close",
      .setup = setup_two,
      .check = check_closed,
      .threads = { { "receives", drain, 0 }, { "sends", send_and_close, 0 } } },
    { .name = "give up",
      .setup = setup_two,
      .check = check_all_sent,
      .threads = { { "receives", wait_bounded, 0 }, { "sends", send_zero, 0 } } },
    { .name = "either",
      .setup = setup_select,
      .check = check_either,
      .threads = { { "selects", select_either, 0 }, { "one", send_zero, 0 }, { "two", send_second, 0 } } },
    { .name = "ends",
      .setup = setup_select,
      .threads = { { "selects", select_bounded, 0 }, { "closes", close_feed, 0 }, { "sends", send_second, 0 } } },
    { .name = "subscribe",
      .setup = setup_nobody,
      .check = check_subscribe,
      .threads = { { "subscribes", subscribe_and_try, 0 }, { "sends", send_to_any, 0 } } },
    { .name = "desertion",
      .setup = setup_two_receivers,
      .threads = { { "waits", await_desertion, 0 }, { "leaves", leave_first, 0 }, { "leaves too", leave_second, 0 } } },
    { .name = "counted",
      .setup = setup_counted,
      .check = check_counted,
      .threads = { { "receives", receive_counted, 0 }, { "sends", send_two, 0 } } },
    { .name = "shared",
      .setup = setup_two_receivers,
      .threads = { { "first", wait_first_and_close, 0 },
                   { "other", wait_other_and_leave, 0 },
                   { "sends", send_zero, 0 } } },
    { .name = "upgrade",
      .setup = setup_weak,
      .check = check_upgrade,
      .threads = { { "closes", close_feed, 0 }, { "upgrades", upgrade, 0 }, { "receives", wait_for_end, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 2);
