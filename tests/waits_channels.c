/* SPDX-License-Identifier: MIT */
/*
 * waits_channels.c: the rows of channels, queues, oneshots, broadcasts and watches (see waits.h).
 *
 * Messages are numbers, counted from 0 as they are sent, and looked at as they are taken: one that a failed call has sent or
 * taken nevertheless is seen by the next, or at the end.
 */
#include "tests/waits.h"

TR_CHANNEL_TYPE(stream, int64_t);
TR_QUEUE_TYPE(line, int64_t);
TR_ONESHOT_TYPE(one, int64_t);
TR_BROADCAST_TYPE(feed, int64_t);
TR_BROADCAST_RECEIVER_TYPE(feed_receiver, int64_t);
TR_WATCH_TYPE(level, int64_t);
TR_WATCH_RECEIVER_TYPE(level_receiver, int64_t);

/* What a row has sent and taken. */
struct count {
    int64_t sent, taken;
};

static int take(struct count *count, int rc, int64_t value)
{
    if (rc >= 0)
        expect_int(value, count->taken++);
    return rc;
}

/* ---- channels ------------------------------------------------------------------------------------------------- */

struct channel {
    struct stream_sender sender;
    struct stream_receiver receiver;
    struct count count;
};
static struct channel sending, receiving, many, reserving, ending;
static struct stream_permit permits[WAIT_DEPTH];
static int permit_count;

static void open_channel(struct channel *channel)
{
    channel->count = (struct count){ 0 };
    expect_int(tr_channel_create(&channel->sender, &channel->receiver, WAIT_DEPTH, NULL), 0);
}

static void put(struct channel *channel, int count)
{
    for (; count > 0; count--, channel->count.sent++)
        expect_int(tr_channel_try_send(channel->sender, &channel->count.sent), 0);
}

static void get(struct channel *channel, int count)
{
    for (int64_t value = -1; count > 0; count--) {
        int rc = tr_channel_try_receive(channel->receiver, &value);
        expect_int(take(&channel->count, rc, value), 0);
    }
}

/* All that was sent and not taken is there, and no more. */
static void close_channel(struct channel *channel)
{
    int64_t value;
    get(channel, (int)(channel->count.sent - channel->count.taken));
    expect_int(tr_channel_try_receive(channel->receiver, &value), -EAGAIN);
    tr_channel_sender_close(channel->sender);
    tr_channel_receiver_destroy(channel->receiver);
}

static void begin_send(void)
{
    open_channel(&sending);
    put(&sending, WAIT_DEPTH);
}

static void ready_send(int count)
{
    get(&sending, count);
}

static int call_send(tr_time deadline)
{
    int rc = tr_channel_send(sending.sender, deadline, &sending.count.sent);
    if (rc == 0)
        sending.count.sent++;
    return rc;
}

static void end_send(void)
{
    close_channel(&sending);
}

static void begin_receive(void)
{
    open_channel(&receiving);
}

static void ready_receive(int count)
{
    put(&receiving, count);
}

static int call_receive(tr_time deadline)
{
    int64_t value = -1;
    int rc = tr_channel_receive(receiving.receiver, &value, deadline);
    return take(&receiving.count, rc, value);
}

static void end_receive(void)
{
    close_channel(&receiving);
}

static void begin_receive_many(void)
{
    open_channel(&many);
}

static void ready_receive_many(int count)
{
    put(&many, count);
}

static int call_receive_many(tr_time deadline)
{
    int64_t value = -1;
    int rc = tr_channel_receive_many(many.receiver, &value, 1, deadline);
    return take(&many.count, rc, value);
}

static void end_receive_many(void)
{
    close_channel(&many);
}

static void begin_reserve(void)
{
    open_channel(&reserving);
    put(&reserving, WAIT_DEPTH);
    permit_count = 0;
}

static void ready_reserve(int count)
{
    get(&reserving, count);
}

static int call_reserve(tr_time deadline)
{
    struct stream_permit permit;
    int rc = tr_channel_reserve(reserving.sender, 1, &permit, deadline);
    if (rc == 0)
        permits[permit_count++] = permit;
    else
        expect_int(tr_channel_permit_count(&permit), 0);
    return rc;
}

static void end_reserve(void)
{
    struct tr_channel_info info;
    tr_channel_info(reserving.sender, &info);
    expect_int(info.reserved, permit_count);
    while (permit_count > 0)
        tr_channel_permit_return(&permits[--permit_count]);
    close_channel(&reserving);
}

static void begin_await_close(void)
{
    open_channel(&ending);
}

static void ready_await_close(int count)
{
    (void)count;
    tr_channel_receiver_close(ending.receiver);
}

static int call_await_close(tr_time deadline)
{
    return tr_channel_await_close(ending.sender, deadline);
}

static void end_await_close(void)
{
    tr_channel_sender_close(ending.sender);
    tr_channel_receiver_destroy(ending.receiver);
}

/* ---- queues --------------------------------------------------------------------------------------------------- */

struct queue {
    struct line line;
    struct count count;
};
static struct queue full, empty, empty_many;

static void open_queue(struct queue *queue)
{
    queue->count = (struct count){ 0 };
    expect_int(tr_queue_create(&queue->line, WAIT_DEPTH, NULL), 0);
}

static void put_in(struct queue *queue, int count)
{
    for (; count > 0; count--, queue->count.sent++)
        expect_int(tr_queue_try_send(queue->line, &queue->count.sent), 0);
}

static void get_out(struct queue *queue, int count)
{
    for (int64_t value = -1; count > 0; count--) {
        int rc = tr_queue_try_receive(queue->line, &value);
        expect_int(take(&queue->count, rc, value), 0);
    }
}

static void close_queue(struct queue *queue)
{
    int64_t value;
    get_out(queue, (int)(queue->count.sent - queue->count.taken));
    expect_int(tr_queue_try_receive(queue->line, &value), -EAGAIN);
    tr_queue_close(queue->line);
    tr_queue_unref(queue->line);
}

static void begin_queue_send(void)
{
    open_queue(&full);
    put_in(&full, WAIT_DEPTH);
}

static void ready_queue_send(int count)
{
    get_out(&full, count);
}

static int call_queue_send(tr_time deadline)
{
    int rc = tr_queue_send(full.line, deadline, &full.count.sent);
    if (rc == 0)
        full.count.sent++;
    return rc;
}

static void end_queue_send(void)
{
    close_queue(&full);
}

static void begin_queue_receive(void)
{
    open_queue(&empty);
}

static void ready_queue_receive(int count)
{
    put_in(&empty, count);
}

static int call_queue_receive(tr_time deadline)
{
    int64_t value = -1;
    int rc = tr_queue_receive(empty.line, &value, deadline);
    return take(&empty.count, rc, value);
}

static void end_queue_receive(void)
{
    close_queue(&empty);
}

static void begin_queue_receive_many(void)
{
    open_queue(&empty_many);
}

static void ready_queue_receive_many(int count)
{
    put_in(&empty_many, count);
}

static int call_queue_receive_many(tr_time deadline)
{
    int64_t value = -1;
    int rc = tr_queue_receive_many(empty_many.line, &value, 1, deadline);
    return take(&empty_many.count, rc, value);
}

static void end_queue_receive_many(void)
{
    close_queue(&empty_many);
}

/* ---- oneshots ------------------------------------------------------------------------------------------------- */

static struct one ones[WAIT_DEPTH + 1], closing;
static struct count of_ones;

static void begin_oneshot(void)
{
    of_ones = (struct count){ 0 };
    for (int i = 0; i <= WAIT_DEPTH; i++)
        tr_oneshot_init(&ones[i]);
}

static void ready_oneshot(int count)
{
    for (; count > 0; count--, of_ones.sent++)
        expect_int(tr_oneshot_send(&ones[of_ones.sent], &of_ones.sent), 0);
}

static int call_oneshot(tr_time deadline)
{
    int64_t value = -1;
    int rc = tr_oneshot_receive(&ones[of_ones.taken], &value, deadline);
    return take(&of_ones, rc, value);
}

static void end_oneshot(void)
{
    for (; of_ones.sent <= WAIT_DEPTH; of_ones.sent++)
        tr_oneshot_drop(&ones[of_ones.sent]);
    for (int i = 0; i <= WAIT_DEPTH; i++)
        tr_oneshot_leave(&ones[i]);
}

static void begin_oneshot_close(void)
{
    tr_oneshot_init(&closing);
}

static void ready_oneshot_close(int count)
{
    (void)count;
    tr_oneshot_close(&closing);
}

static int call_oneshot_close(tr_time deadline)
{
    return tr_oneshot_await_close(&closing, deadline);
}

static void end_oneshot_close(void)
{
    tr_oneshot_drop(&closing);
    tr_oneshot_leave(&closing);
}

static void begin_leave(void)
{
}

static void ready_leave(int count)
{
    (void)count;
}

static int call_leave(tr_time deadline)
{
    struct one one;
    (void)deadline;
    tr_oneshot_init(&one);
    tr_oneshot_drop(&one);
    tr_oneshot_leave(&one);
    return 0;
}

static void end_leave(void)
{
}

/* ---- broadcasts ----------------------------------------------------------------------------------------------- */

static struct feed heard, unheard;
static struct feed_receiver listener, other_listener;
static struct count of_feed;
static bool listened;

static void begin_broadcast(void)
{
    of_feed = (struct count){ 0 };
    expect_int(tr_broadcast_create(&heard, WAIT_DEPTH, NULL), 0);
    expect_int(tr_broadcast_subscribe(heard, &listener), 0);
}

static void ready_broadcast(int count)
{
    for (; count > 0; count--, of_feed.sent++)
        expect_int(tr_broadcast_send(heard, &of_feed.sent), 1);
}

static int call_broadcast(tr_time deadline)
{
    int64_t value = -1;
    int rc = tr_broadcast_receive(&listener, &value, deadline);
    return take(&of_feed, rc, value);
}

static void end_broadcast(void)
{
    expect_int((int64_t)tr_broadcast_length(&listener), of_feed.sent - of_feed.taken);
    tr_broadcast_unsubscribe(&listener);
    tr_broadcast_close(heard);
}

static void begin_broadcast_closed(void)
{
    expect_int(tr_broadcast_create(&unheard, 1, NULL), 0);
    expect_int(tr_broadcast_subscribe(unheard, &other_listener), 0);
    listened = true;
}

static void ready_broadcast_closed(int count)
{
    (void)count;
    tr_broadcast_unsubscribe(&other_listener);
    listened = false;
}

static int call_broadcast_closed(tr_time deadline)
{
    return tr_broadcast_closed(unheard, deadline);
}

static void end_broadcast_closed(void)
{
    if (listened)
        ready_broadcast_closed(1);
    tr_broadcast_close(unheard);
}

/* ---- watches -------------------------------------------------------------------------------------------------- */

struct watch {
    struct level level;
    struct level_receiver receiver;
    bool subscribed;
};
static struct watch changing, coming, awaited, unwatched;

static void open_watch(struct watch *watch)
{
    expect_int(tr_watch_create(&watch->level, NULL, &(int64_t){ 0 }), 0);
    expect_int(tr_watch_subscribe(watch->level, &watch->receiver), 0);
    watch->subscribed = true;
}

static void close_watch(struct watch *watch)
{
    if (watch->subscribed)
        tr_watch_unsubscribe(&watch->receiver);
    tr_watch_close(watch->level);
}

static void begin_changed(void)
{
    open_watch(&changing);
}

static void ready_changed(int count)
{
    (void)count;
    expect_int(tr_watch_send(changing.level, &(int64_t){ 1 }), 0);
}

static int call_changed(tr_time deadline)
{
    return tr_watch_changed(&changing.receiver, deadline);
}

static void again_changed(void)
{
    tr_watch_mark_changed(&changing.receiver);
}

static void end_changed(void)
{
    close_watch(&changing);
}

static void begin_next(void)
{
    open_watch(&coming);
}

static void ready_next(int count)
{
    (void)count;
    expect_int(tr_watch_send(coming.level, &(int64_t){ 1 }), 0);
}

static int call_next(tr_time deadline)
{
    int64_t value = 1;
    int rc = tr_watch_next(&coming.receiver, &value, deadline);
    expect(rc < 0 || value == 1);
    return rc;
}

static void again_next(void)
{
    tr_watch_mark_changed(&coming.receiver);
}

static void end_next(void)
{
    close_watch(&coming);
}

static bool is_one(const void *value, void *argument)
{
    (void)argument;
    return *(const int64_t *)value == 1;
}

static void begin_wait_for(void)
{
    open_watch(&awaited);
}

static void ready_wait_for(int count)
{
    (void)count;
    expect_int(tr_watch_send(awaited.level, &(int64_t){ 1 }), 0);
}

static int call_wait_for(tr_time deadline)
{
    int64_t value = 0;
    int rc = tr_watch_wait_for(&awaited.receiver, is_one, NULL, &value, deadline);
    expect(rc < 0 || value == 1);
    return rc;
}

static void end_wait_for(void)
{
    close_watch(&awaited);
}

static void begin_watch_closed(void)
{
    open_watch(&unwatched);
}

static void ready_watch_closed(int count)
{
    (void)count;
    tr_watch_unsubscribe(&unwatched.receiver);
    unwatched.subscribed = false;
}

static int call_watch_closed(tr_time deadline)
{
    return tr_watch_closed(unwatched.level, deadline);
}

static void end_watch_closed(void)
{
    close_watch(&unwatched);
}

const struct wait_row waits_of_channels[] = {
    { "channel send", begin_send, ready_send, call_send, NULL, end_send, 0 },
    { "channel receive", begin_receive, ready_receive, call_receive, NULL, end_receive, WAIT_ALONE },
    { "channel receive_many", begin_receive_many, ready_receive_many, call_receive_many, NULL, end_receive_many,
      WAIT_ALONE },
    { "channel reserve", begin_reserve, ready_reserve, call_reserve, NULL, end_reserve, 0 },
    { "channel await_close", begin_await_close, ready_await_close, call_await_close, NULL, end_await_close,
      WAIT_LEVEL },
    { "queue send", begin_queue_send, ready_queue_send, call_queue_send, NULL, end_queue_send, 0 },
    { "queue receive", begin_queue_receive, ready_queue_receive, call_queue_receive, NULL, end_queue_receive, 0 },
    { "queue receive_many", begin_queue_receive_many, ready_queue_receive_many, call_queue_receive_many, NULL,
      end_queue_receive_many, 0 },
    { "oneshot receive", begin_oneshot, ready_oneshot, call_oneshot, NULL, end_oneshot, WAIT_ALONE },
    { "oneshot await_close", begin_oneshot_close, ready_oneshot_close, call_oneshot_close, NULL, end_oneshot_close,
      WAIT_ALONE | WAIT_LEVEL },
    { "oneshot leave", begin_leave, ready_leave, call_leave, NULL, end_leave, WAIT_LEVEL | WAIT_NEVER | WAIT_DEAF },
    { "broadcast receive", begin_broadcast, ready_broadcast, call_broadcast, NULL, end_broadcast, WAIT_ALONE },
    { "broadcast closed", begin_broadcast_closed, ready_broadcast_closed, call_broadcast_closed, NULL,
      end_broadcast_closed, WAIT_LEVEL },
    { "watch changed", begin_changed, ready_changed, call_changed, again_changed, end_changed, WAIT_ALONE | WAIT_TURN },
    { "watch next", begin_next, ready_next, call_next, again_next, end_next, WAIT_ALONE | WAIT_TURN },
    { "watch wait_for", begin_wait_for, ready_wait_for, call_wait_for, NULL, end_wait_for, WAIT_ALONE | WAIT_LEVEL },
    { "watch closed", begin_watch_closed, ready_watch_closed, call_watch_closed, NULL, end_watch_closed, WAIT_LEVEL },
    { 0 },
};
