/* SPDX-License-Identifier: MIT */
/*
 * model_channel.c: the channel of one receiver. In every case each message that was taken comes out once, in order, with what was
 * written before it; nobody who must be served is left waiting; no permit is lost; and at the end the channel is freed.
 *
 *   wake          a send x a receive that waits; the worker of the receiver owns the lock, or that of the sender
 *   room          [C3] capacity 1: two sends, the second waits x two receives; owner as above, and none
 *   revoked       the same while a third thread makes the lock an ordinary one
 *   big           a wait for two places behind which a small one waits x the receiver makes room
 *   cancel        a send that gives up x the receiver makes room x another that waits behind it
 *   close         the receiver closes x a send that waits x a permit that is used
 *   drop          the receiver goes x a permit is used x a send: Tokio's 7714
 *   last sender   the last sender closes x a receive that waits; a weak sender tries to come back
 *   permit back   [8075] the receiver has closed and waits x the last permit is given back
 *   many back     [8260] the receiver closes and waits x a wait for two places fails, or gives up
 *   closed try    [8074] the receiver has closed, a permit is out: -EAGAIN until it is used, -EPIPE then
 *   two last senders  both close x a receive that waits for the end
 *   both go       the receiver goes x the sender closes x a permit is given back: the last of them frees the channel
 *   length        [8062] [6602] looks at the length x sends and receives: never beyond what there was
 *   select        a select of two channels x a send into each: one message is taken, the other stays
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
#include "mailbox/wait.c"

enum { MOST = 8 };

static const struct tr_type type = { "number", sizeof(uint64_t), sizeof(uint64_t) };
static struct tr_channel_sender sender, sender_b;
static struct tr_channel_receiver receiver, receiver_b;
static struct tr_channel_permit permit;
static struct tr_channel_weak_sender weak;
static int written[MOST]; /* plain: by whoever sends that number, before it does */
static int results[MODEL_THREADS];
static uint64_t got[MOST]; /* the receiver's */
static unsigned got_count;
static TRI_ATOMIC(uint32_t) sent, failed;

/* Threads 0 and 1 are on workers; all others are foreign. */
#define RECEIVER_MARK (TRI_BIASED | 1)
#define SENDER_MARK (TRI_BIASED | 2)

static void make(uint32_t capacity, uint32_t owner)
{
    fake_workers(2);
    model_assert(tr_channel_create_raw(&sender, &receiver, &type, capacity, NULL) == 0);
    tri_store(&sender.tri_channel->lock.owner, owner, TRI_RELAXED);
}

static void make_1(void)
{
    make(1, 0);
}

static void make_1_receiver(void)
{
    make(1, RECEIVER_MARK);
}

static void make_1_sender(void)
{
    make(1, SENDER_MARK);
}

static void make_1_shared(void)
{
    make(1, TRI_BIAS_REVOKED);
}

static void make_2(void)
{
    make(2, TRI_BIAS_REVOKED);
}

static void make_2_full(void)
{
    make_2();
    for (uint64_t i = 0; i < 2; i++) {
        written[i] = 1;
        model_assert(tr_channel_try_reserve_raw(sender, 1, &permit) == 0);
        model_assert(tr_channel_permit_send_raw(&permit, &type, &i) == 0);
    }
    tri_store(&sent, 2, TRI_RELAXED);
}

static void make_1_full(void)
{
    make(1, TRI_BIAS_REVOKED);
    written[0] = 1;
    model_assert(tri_channel_send_now(sender.tri_channel, &(uint64_t){ 0 }, 0) == 0);
    tri_store(&sent, 1, TRI_RELAXED);
}

static void make_1_permit(void)
{
    make(1, TRI_BIAS_REVOKED);
    model_assert(tr_channel_try_reserve_raw(sender, 1, &permit) == 0);
}

static void make_2_permit(void)
{
    make(2, TRI_BIAS_REVOKED);
    model_assert(tr_channel_try_reserve_raw(sender, 1, &permit) == 0);
}

static void make_2_permit_closed(void)
{
    make_2_permit();
    tr_channel_receiver_close_raw(receiver);
}

static void make_two_channels(void)
{
    make(1, RECEIVER_MARK);
    model_assert(tr_channel_create_raw(&sender_b, &receiver_b, &type, 1, NULL) == 0);
}

static void make_two_senders(void)
{
    make(1, TRI_BIAS_REVOKED);
    tr_channel_sender_open_raw(sender);
}

static void make_weak(void)
{
    make(1, TRI_BIAS_REVOKED);
    weak = tr_channel_sender_weaken_raw(sender);
}

/* As the public calls of actor/channel.c: a try, then a wait. */
static int send_until(uint64_t number, tr_time deadline)
{
    struct tr_channel *channel = sender.tri_channel;
    struct tri_seat *self = tri_seat_here();
    written[number] = 1;
    if (tri_channel_send_fast(channel, self, &number, sizeof number))
        return 0;
    int rc = tri_channel_send_now(channel, &number, 0);
    return rc == -EAGAIN ? tri_channel_send_waiting(channel, &number, 0, deadline) : rc;
}

static int receive_until(uint64_t *number, tr_time deadline)
{
    int rc = tri_channel_receive_now(receiver.tri_channel, number);
    return rc == -EAGAIN ? tri_channel_receive_waiting(receiver.tri_channel, number, deadline) : rc;
}

static void send(uint64_t number)
{
    int rc = send_until(number, TR_FOREVER);
    results[model_self()] = rc;
    tri_fetch_add(rc == 0 ? &sent : &failed, 1u, TRI_RELAXED);
}

static void note_got(uint64_t number)
{
    model_assert(number < MOST && written[number] == 1);
    for (unsigned i = 0; i < got_count; i++)
        model_assert(got[i] != number);
    got[got_count++] = number;
}

static int receive_one(void)
{
    uint64_t number = 77;
    int rc = receive_until(&number, TR_FOREVER);
    if (rc == 0)
        note_got(number);
    return rc;
}

static void receive(void)
{
    model_assert(receive_one() == 0);
}

static void receive_two(void)
{
    receive();
    receive();
}

static void receive_four(void)
{
    receive_two();
    receive_two();
}

static void receive_to_end(void)
{
    int rc;
    while ((rc = receive_one()) == 0)
        ;
    model_assert(rc == -EPIPE);
}

static void close_and_receive(void)
{
    tr_channel_receiver_close_raw(receiver);
    receive_to_end();
}

static void destroy(void)
{
    tr_channel_receiver_destroy_raw(receiver);
}

static void send_0(void)
{
    send(0);
}

static void send_1(void)
{
    send(1);
}

static void send_2(void)
{
    send(2);
}

static void send_0_1(void)
{
    send(0);
    send(1);
}

static void send_0_1_2(void)
{
    send_0_1();
    send(2);
}

static void send_4_bounded(void)
{
    int rc = send_until(4, 1);
    results[model_self()] = rc;
    tri_fetch_add(rc == 0 ? &sent : &failed, 1u, TRI_RELAXED);
}

static void use_permit(void)
{
    written[5] = 1;
    int rc = tr_channel_permit_send_raw(&permit, &type, &(uint64_t){ 5 });
    results[model_self()] = rc;
    tri_fetch_add(rc == 0 ? &sent : &failed, 1u, TRI_RELAXED);
}

static void return_permit(void)
{
    tr_channel_permit_return_raw(&permit);
}

static void reserve_two_until(tr_time deadline)
{
    struct tr_channel_permit two;
    int rc = tr_channel_reserve_raw(sender, 2, &two, deadline);
    results[model_self()] = rc;
    if (rc < 0)
        return;
    written[6] = 1;
    if (tr_channel_permit_send_raw(&two, &type, &(uint64_t){ 6 }) == 0)
        tri_fetch_add(&sent, 1u, TRI_RELAXED);
    tr_channel_permit_return_raw(&two);
}

static void reserve_two(void)
{
    reserve_two_until(TR_FOREVER);
}

static void reserve_two_bounded(void)
{
    reserve_two_until(1);
}

static void close_sender(void)
{
    tr_channel_sender_close_raw(sender);
}

static void write_and_close(void)
{
    written[model_self()] = 1;
    close_sender();
}

/* The end of the last sender shows what all of them did before theirs. */
static void receive_end(void)
{
    uint64_t number;
    model_assert(receive_until(&number, TR_FOREVER) == -EPIPE);
    model_assert(written[1] == 1 && written[2] == 1);
}

static void upgrade(void)
{
    struct tr_channel_sender again;
    int rc = tr_channel_weak_sender_open_raw(weak, &again);
    results[model_self()] = rc;
    if (rc < 0)
        return;
    written[3] = 1;
    if (tri_channel_send_now(again.tri_channel, &(uint64_t){ 3 }, 0) == 0)
        tri_fetch_add(&sent, 1u, TRI_RELAXED);
    tr_channel_sender_close_raw(again);
}

static void await_close(void)
{
    model_assert(tr_channel_await_close_raw(sender, TR_FOREVER) == 0);
    model_assert(tr_channel_is_closed_raw(sender));
}

static void try_to_end(void)
{
    uint64_t number;
    int rc = tri_channel_receive_now(receiver.tri_channel, &number);
    if (rc == -EAGAIN)
        rc = receive_until(&number, TR_FOREVER);
    if (rc == 0) {
        note_got(number);
        rc = tri_channel_receive_now(receiver.tri_channel, &number);
    }
    model_assert(rc == -EPIPE); /* never before the permit was used or given back */
}

static void look(void)
{
    for (int i = 0; i < 2; i++)
        model_assert(tr_channel_length_raw(sender.tri_channel) <= 1);
}

/* A third thread: from now on nobody owns the lock. */
static void look_inside(void)
{
    struct tr_channel_info info;
    tr_channel_info_raw(sender.tri_channel, &info);
    model_assert(info.length <= 1 && info.reserved == 0);
}

static void select_either(void)
{
    uint64_t a = 77, b = 77;
    struct tr_case cases[] = { tr_case_receive_raw(receiver, sizeof a, &a),
                               tr_case_receive_raw(receiver_b, sizeof b, &b) };
    int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED);
    model_assert(which >= 0 && cases[which].result == 0);
    note_got(which == 0 ? a : b);
    results[model_self()] = 10 + which;
}

static void send_other(void)
{
    written[1] = 1;
    model_assert(tri_channel_send_now(sender_b.tri_channel, &(uint64_t){ 1 }, 0) == 0);
    tri_fetch_add(&sent, 1u, TRI_RELAXED);
}

static void select_send(void)
{
    uint64_t a = 4, b = 3;
    written[3] = written[4] = 1;
    struct tr_case cases[] = { tr_case_send_raw(sender, &type, &a), tr_case_receive_raw(receiver_b, sizeof b, &b) };
    int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED);
    model_assert(which >= 0 && cases[which].result == 0);
    results[model_self()] = 10 + which;
    if (which == 0)
        tri_fetch_add(&sent, 1u, TRI_RELAXED);
}

/* ---- what must hold at the end ---- */

static void check_idle(struct tr_channel *channel)
{
    model_assert(!channel->senders.last && !channel->receivers.last && !channel->watchers.last);
    model_assert(tri_load(&channel->waiting, TRI_RELAXED) == 0 && tri_load(&channel->lock.word.word, TRI_RELAXED) == 0);
    model_assert(channel->reserved == permit.tri_count);
}

static unsigned left_in(struct tr_channel *channel)
{
    return (unsigned)(tri_load(&channel->tail, TRI_RELAXED) - tri_load(&channel->head, TRI_RELAXED));
}

/* All that was taken has come out, or is still there. */
static void check(void)
{
    check_idle(receiver.tri_channel);
    model_assert(got_count + left_in(receiver.tri_channel) == tri_load(&sent, TRI_RELAXED));
}

static void check_all_out(void)
{
    check();
    model_assert(left_in(receiver.tri_channel) == 0);
    for (unsigned i = 1; i < got_count; i++)
        model_assert(got[i - 1] < got[i]); /* one sender's messages in order; others' numbers are chosen so */
}

static void check_received(void)
{
    check();
    model_assert(left_in(receiver.tri_channel) == 0);
}

/* The channel has lost its receiver: nothing is in it, and the last end frees it. */
static void check_dropped(void)
{
    check_idle(sender.tri_channel);
    model_assert(left_in(sender.tri_channel) == 0);
    model_assert(tri_load(&sender.tri_channel->references, TRI_RELAXED) == 1);
    tr_channel_sender_close_raw(sender);
}

static void check_ended(void)
{
    check_idle(receiver.tri_channel);
    model_assert(got_count == tri_load(&sent, TRI_RELAXED));
    model_assert(tri_load(&receiver.tri_channel->references, TRI_RELAXED) == 2); /* and the weak one */
    tr_channel_weak_sender_close_raw(weak);
    tr_channel_receiver_destroy_raw(receiver);
}

static void check_select(void)
{
    check_idle(receiver.tri_channel);
    check_idle(receiver_b.tri_channel);
    model_assert(got_count == 1 && left_in(receiver.tri_channel) + left_in(receiver_b.tri_channel) == 1);
    model_assert(results[0] == (left_in(receiver.tri_channel) == 0 ? 10 : 11));
}

static void check_select_send(void)
{
    check_idle(receiver.tri_channel);
    check_idle(receiver_b.tri_channel);
    model_assert(got_count + left_in(receiver.tri_channel) + left_in(receiver_b.tri_channel) +
                     (results[2] == 11 ? 1 : 0) ==
                 tri_load(&sent, TRI_RELAXED));
}

static void setup_select_send(void)
{
    make(1, TRI_BIAS_REVOKED);
    written[0] = 1;
    model_assert(tri_channel_send_now(sender.tri_channel, &(uint64_t){ 0 }, 0) == 0);
    tri_store(&sent, 1, TRI_RELAXED);
    model_assert(tr_channel_create_raw(&sender_b, &receiver_b, &type, 1, NULL) == 0);
    tri_store(&sender_b.tri_channel->lock.owner, TRI_BIAS_REVOKED, TRI_RELAXED);
}

#define RECEIVES(body)                                                                                                 \
    {                                                                                                                  \
        "receives", body, 0                                                                                            \
    }
#define SENDS(body)                                                                                                    \
    {                                                                                                                  \
        "sends", body, 0                                                                                               \
    }

static const struct model_case cases[] = {
    { .name = "wake, the receiver's",
      .setup = make_1_receiver,
      .check = check_all_out,
      .threads = { RECEIVES(receive), SENDS(send_0) } },
    { .name = "wake, the sender's",
      .setup = make_1_sender,
      .check = check_all_out,
      .threads = { RECEIVES(receive), SENDS(send_0) } },
    { .name = "wake, nobody's",
      .setup = make_1,
      .check = check_all_out,
      .threads = { RECEIVES(receive), SENDS(send_0) } },
    { .name = "room, the receiver's",
      .setup = make_1_receiver,
      .check = check_all_out,
      .threads = { RECEIVES(receive_two), SENDS(send_0_1) } },
    { .name = "room, the sender's",
      .setup = make_1_sender,
      .check = check_all_out,
      .threads = { RECEIVES(receive_two), SENDS(send_0_1) } },
    { .name = "room, nobody's",
      .setup = make_1,
      .check = check_all_out,
      .threads = { RECEIVES(receive_two), SENDS(send_0_1) } },
    { .name = "room, shared",
      .setup = make_1_shared,
      .check = check,
      .threads = { RECEIVES(receive_two), SENDS(send_0_1_2) } },
    { .name = "room, the sender's, revoked",
      .setup = make_1_sender,
      .check = check_all_out,
      .threads = { RECEIVES(receive_two), SENDS(send_0_1), { "looks", look_inside, 0 } } },
    { .name = "room, the receiver's, revoked",
      .setup = make_1_receiver,
      .check = check_all_out,
      .threads = { RECEIVES(receive_two), SENDS(send_0_1), { "looks", look_inside, 0 } } },
    { .name = "two senders",
      .setup = make_1_receiver,
      .check = check_received,
      .threads = { RECEIVES(receive_two), SENDS(send_0), SENDS(send_1) } },
    { .name = "big",
      .setup = make_2_full,
      .check = check_received,
      .threads = { RECEIVES(receive_four), SENDS(reserve_two), SENDS(send_2) } },
    { .name = "cancel",
      .setup = make_1_full,
      .check = check,
      .threads = { RECEIVES(receive_two), SENDS(send_4_bounded), SENDS(send_2) } },
    { .name = "close",
      .setup = make_2_permit,
      .check = check_received,
      .threads = { RECEIVES(close_and_receive), SENDS(send_0), { "permit", use_permit, 0 } } },
    { .name = "close and room",
      .setup = make_1_full,
      .check = check_received,
      .threads = { RECEIVES(close_and_receive), SENDS(send_1), { "watches", await_close, 0 } } },
    { .name = "drop (7714)",
      .setup = make_2_permit,
      .check = check_dropped,
      .threads = { { "goes", destroy, 0 }, SENDS(send_0), { "permit", use_permit, 0 } } },
    { .name = "last sender",
      .setup = make_weak,
      .check = check_ended,
      .threads = { RECEIVES(receive_to_end), { "closes", close_sender, 0 }, { "upgrades", upgrade, 0 } } },
    { .name = "permit back (8075)",
      .setup = make_1_permit,
      .check = check_received,
      .threads = { RECEIVES(close_and_receive), { "returns", return_permit, 0 } } },
    { .name = "many back (8260)",
      .setup = make_2_permit,
      .check = check_received,
      .threads = { RECEIVES(close_and_receive),
                   { "reserves", reserve_two_bounded, 0 },
                   { "returns", return_permit, 0 } } },
    { .name = "many back, forever",
      .setup = make_2_permit,
      .check = check_received,
      .threads = { RECEIVES(close_and_receive), { "reserves", reserve_two, 0 }, { "returns", return_permit, 0 } } },
    { .name = "closed try (8074)",
      .setup = make_2_permit_closed,
      .check = check_received,
      .threads = { RECEIVES(try_to_end), { "permit", use_permit, 0 } } },
    { .name = "length (8062, 6602)",
      .setup = make_2,
      .check = check_received,
      .threads = { RECEIVES(receive), SENDS(send_0), { "looks", look, 0 } } },
    { .name = "two last senders",
      .setup = make_two_senders,
      .threads = { RECEIVES(receive_end), { "closes", write_and_close, 0 }, { "closes too", write_and_close, 0 } } },
    { .name = "both go",
      .setup = make_1_permit,
      .threads = { { "goes", destroy, 0 }, { "closes", close_sender, 0 }, { "returns", return_permit, 0 } } },
    { .name = "select",
      .setup = make_two_channels,
      .check = check_select,
      .threads = { { "selects", select_either, 0 }, SENDS(send_0), { "sends too", send_other, 0 } } },
    { .name = "select to send",
      .setup = setup_select_send,
      .check = check_select_send,
      .threads = { RECEIVES(receive), { "sends", send_other, 0 }, { "selects", select_send, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
