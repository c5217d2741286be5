/* SPDX-License-Identifier: MIT */
/*
 * test_seed_channels.c: channels, queues, oneshots, broadcasts and watches in many orders: tasks that send and receive in every
 * way there is, with deadlines that pass and cancellations that come at any point. What was sent is received, once, in
 * order; what a failed call was to send is not. See troupe/sim.h: a failure prints the seed that repeats it.
 */
#include "tests/chance.h"

TR_CHANNEL_TYPE(stream, int64_t);
TR_QUEUE_TYPE(line, int64_t);
TR_ONESHOT_TYPE(one, int64_t);
TR_BROADCAST_TYPE(feed, int64_t);
TR_BROADCAST_RECEIVER_TYPE(feed_receiver, int64_t);
TR_WATCH_TYPE(level, int64_t);
TR_WATCH_RECEIVER_TYPE(level_receiver, int64_t);

/* ---- what becomes of messages --------------------------------------------------------------------------------- */

enum { PRODUCERS = 3, ITEMS = 8, CONSUMERS = 2 };

/* By producer and number. */
static struct ledger {
    bool sent[PRODUCERS][ITEMS];
    int received[PRODUCERS][ITEMS], dropped[PRODUCERS][ITEMS];
    int latest[CONSUMERS][PRODUCERS]; /* received by a consumer, from a producer */
} ledger;

static void ledger_begin(void)
{
    memset(&ledger, 0, sizeof ledger);
    memset(ledger.latest, -1, sizeof ledger.latest);
}

static int64_t message_of(int producer, int number)
{
    return producer * 100 + number;
}

static void note_received(int consumer, int64_t message)
{
    int producer = (int)(message / 100), number = (int)(message % 100);
    ledger.received[producer][number]++;
    expect(number > ledger.latest[consumer][producer]);
    ledger.latest[consumer][producer] = number;
}

static void note_dropped(void *message)
{
    int64_t value = *(int64_t *)message;
    ledger.dropped[value / 100][value % 100]++;
}

static void ledger_end(void)
{
    for (int i = 0; i < PRODUCERS; i++)
        for (int j = 0; j < ITEMS; j++)
            expect_int(ledger.received[i][j] + ledger.dropped[i][j], ledger.sent[i][j]);
}

/* ---- channels ------------------------------------------------------------------------------------------------- */

static struct stream_sender sender;
static struct stream_receiver receiver;
static uint32_t capacity;

static int send_by_permit(int64_t message)
{
    struct stream_permit permit;
    int rc = tr_channel_reserve(sender, capacity > 1 ? 2 : 1, &permit, chance_deadline());
    if (rc < 0)
        return rc;
    chance_pause();
    rc = tr_channel_permit_send(&permit, &message);
    tr_channel_permit_return(&permit);
    return rc;
}

static int send_by_select(int64_t message)
{
    struct tr_case cases[] = { tr_case_send(sender, &message), tr_case_timer(tr_after(chance_span(40))) };
    int chosen = tr_select(cases, 2, chance_deadline(), TR_SELECT_FAIR);
    return chosen == 0 ? cases[0].result : chosen == 1 ? -ETIMEDOUT : chosen;
}

static int send_somehow(int64_t message)
{
    switch (tr_random(4)) {
    case 0:
        return tr_channel_try_send(sender, &message);
    case 1:
        return send_by_permit(message);
    case 2:
        return send_by_select(message);
    default:
        return tr_channel_send(sender, chance_deadline(), &message);
    }
}

static int produce(void *argument)
{
    int self = (int)(intptr_t)argument, rc = 0;
    for (int i = 0; i < ITEMS && rc != -EPIPE; i++) {
        chance_pause();
        rc = send_somehow(message_of(self, i));
        ledger.sent[self][i] = rc == 0;
        expect(rc == 0 || rc == -EPIPE || chance_came_to_nothing(rc));
    }
    tr_channel_sender_close(sender);
    return 0;
}

/* Returns how many came, or an error. */
static int receive_somehow(int64_t *messages)
{
    struct tr_case cases[] = { tr_case_receive(receiver, messages), tr_case_timer(tr_after(chance_span(40))) };
    int rc;
    switch (tr_random(4)) {
    case 0:
        rc = tr_channel_try_receive(receiver, messages);
        return rc == 0 ? 1 : rc;
    case 1:
        return tr_channel_receive_many(receiver, messages, 3, chance_deadline());
    case 2:
        rc = tr_select(cases, 2, chance_deadline(), TR_SELECT_ORDERED);
        return rc == 1 ? -ETIMEDOUT : rc < 0 ? rc : cases[0].result < 0 ? cases[0].result : 1;
    default:
        rc = tr_channel_receive(receiver, messages, chance_deadline());
        return rc == 0 ? 1 : rc;
    }
}

/* To the end; or closes before, or goes. */
static int consume(void *argument)
{
    int64_t messages[3];
    int close_after = (int)tr_random(60), go_after = (int)tr_random(60);
    (void)argument;
    for (int turn = 0, rc = 0; rc != -EPIPE && turn != go_after; turn++) {
        chance_pause();
        if (turn == close_after)
            tr_channel_receiver_close(receiver);
        rc = receive_somehow(messages);
        for (int i = 0; i < rc; i++)
            note_received(0, messages[i]);
        expect(rc > 0 || rc == -EPIPE || chance_came_to_nothing(rc));
    }
    tr_channel_receiver_destroy(receiver);
    return 0;
}

SEED_TEST(seeded_channel_loses_and_doubles_nothing)
{
    struct crew crew = { 0 };
    struct tr_channel_options options = { .drop = note_dropped };
    ledger_begin();
    capacity = 1 + (uint32_t)tr_random(3);
    expect_int(tr_channel_create(&sender, &receiver, capacity, &options), 0);
    for (intptr_t i = 1; i < PRODUCERS; i++)
        tr_channel_sender_open(sender);
    for (intptr_t i = 0; i < PRODUCERS; i++)
        crew_add(&crew, produce, (void *)i);
    crew_add(&crew, consume, NULL);
    crew_end(&crew, 8);
    ledger_end();
}

/* ---- queues --------------------------------------------------------------------------------------------------- */

static struct line line;
static int producing;

static int put(void *argument)
{
    int self = (int)(intptr_t)argument;
    for (int i = 0; i < ITEMS; i++) {
        int64_t message = message_of(self, i);
        struct tr_case cases[] = { tr_case_queue_send(line, &message), tr_case_timer(tr_after(chance_span(40))) };
        uint64_t way = tr_random(3);
        chance_pause();
        int rc = way == 0   ? tr_queue_try_send(line, &message)
                 : way == 1 ? tr_queue_send(line, chance_deadline(), &message)
                            : tr_select(cases, 2, chance_deadline(), TR_SELECT_FAIR);
        if (way == 2 && rc >= 0)
            rc = rc == 1 ? -ETIMEDOUT : cases[0].result;
        ledger.sent[self][i] = rc == 0;
        expect(rc == 0 || chance_came_to_nothing(rc));
    }
    if (--producing == 0)
        tr_queue_close(line);
    return 0;
}

static int get(void *argument)
{
    int64_t messages[3];
    for (int rc = 0; rc != -EPIPE;) {
        struct tr_case cases[] = { tr_case_queue_receive(line, messages), tr_case_timer(tr_after(chance_span(40))) };
        uint64_t way = tr_random(4);
        chance_pause();
        rc = way == 0   ? tr_queue_try_receive(line, messages)
             : way == 1 ? tr_queue_receive(line, messages, chance_deadline())
             : way == 2 ? tr_queue_receive_many(line, messages, 3, chance_deadline())
                        : tr_select(cases, 2, chance_deadline(), TR_SELECT_FAIR);
        if (way == 3 && rc >= 0)
            rc = rc == 1 ? -ETIMEDOUT : cases[0].result;
        for (int i = 0; i < (way == 2 ? rc : rc == 0); i++)
            note_received((int)(intptr_t)argument, messages[i]);
        expect(rc >= 0 || rc == -EPIPE || chance_came_to_nothing(rc));
    }
    return 0;
}

SEED_TEST(seeded_queue_gives_each_message_to_one)
{
    struct crew crew = { 0 };
    ledger_begin();
    producing = PRODUCERS;
    expect_int(tr_queue_create(&line, 1 + (uint32_t)tr_random(3), NULL), 0);
    for (intptr_t i = 0; i < PRODUCERS; i++)
        crew_add(&crew, put, (void *)i);
    for (intptr_t i = 0; i < CONSUMERS; i++)
        crew_add(&crew, get, (void *)i);
    crew_end(&crew, 8);
    tr_queue_unref(line);
    ledger_end();
}

/* ---- oneshots ------------------------------------------------------------------------------------------------- */

enum { ONES = 5 };
static struct one ones[ONES];
static struct {
    int sent; /* the result of the send; 1: dropped instead */
    bool received, closed;
} fates[ONES];

static int send_one(void *argument)
{
    intptr_t self = (intptr_t)argument;
    struct one *one = &ones[self];
    chance_pause();
    if (tr_random(4) == 0) {
        tr_oneshot_drop(one);
        fates[self].sent = 1;
        return 0;
    }
    int rc = tr_random(3) == 0 ? tr_oneshot_await_close(one, tr_after(chance_span(40))) : -ETIMEDOUT;
    expect(rc == 0 || chance_came_to_nothing(rc));
    bool closed = tr_oneshot_is_closed(one);
    expect(rc < 0 || closed);
    fates[self].sent = tr_oneshot_send(one, &(int64_t){ self });
    expect_int(fates[self].sent, fates[self].closed || closed ? -EPIPE : 0);
    return 0;
}

/* Some give up after a while: they close, and what was sent before is still there. */
static int receive_one(void *argument)
{
    intptr_t self = (intptr_t)argument;
    struct one *one = &ones[self];
    int64_t value = -1;
    int rc = -ETIMEDOUT, patience = 1 + (int)tr_random(4);
    for (; patience > 0 && chance_came_to_nothing(rc); patience--) {
        chance_pause();
        struct tr_case cases[] = { tr_case_timer(tr_after(chance_span(40))), tr_case_oneshot(one, &value) };
        if (tr_random(3) > 0)
            rc = tr_oneshot_receive(one, &value, chance_deadline());
        else if ((rc = tr_select(cases, 2, chance_deadline(), TR_SELECT_FAIR)) >= 0)
            rc = rc == 0 ? -ETIMEDOUT : cases[1].result;
    }
    if (chance_came_to_nothing(rc)) {
        tr_oneshot_close(one);
        fates[self].closed = true;
        rc = tr_oneshot_try_receive(one, &value);
    }
    expect(rc == -EPIPE || (rc == 0 && value == self));
    fates[self].received = rc == 0;
    tr_oneshot_leave(one);
    return 0;
}

SEED_TEST(seeded_oneshot_is_received_if_its_send_succeeded)
{
    struct crew crew = { 0 };
    memset(fates, 0, sizeof fates);
    for (intptr_t i = 0; i < ONES; i++) {
        tr_oneshot_init(&ones[i]);
        crew_add(&crew, send_one, (void *)i);
        crew_add(&crew, receive_one, (void *)i);
    }
    crew_end(&crew, 6);
    for (int i = 0; i < ONES; i++)
        expect_int(fates[i].received, fates[i].sent == 0);
}

/* ---- broadcasts ----------------------------------------------------------------------------------------------- */

enum { VALUES = 20, LISTENERS = 3 };
static struct feed feed;
static int64_t last_sent;
static int listening;

static int speak(void *argument)
{
    (void)argument;
    for (last_sent = 0; last_sent < VALUES;) {
        int64_t next = last_sent + 1;
        chance_pause();
        int rc = tr_broadcast_send(feed, &next);
        expect_int(rc, listening == 0 ? -ESRCH : listening);
        last_sent = next;
    }
    int rc = tr_broadcast_closed(feed, tr_after(chance_span(200)));
    expect(rc == 0 ? listening == 0 : chance_came_to_nothing(rc));
    tr_broadcast_close(feed);
    return 0;
}

/* Every value since it subscribed has come or was told as missed, in order; some leave before the end. */
static int listen_to_it(void *argument)
{
    struct feed_receiver ear;
    int64_t value;
    int stay = (int)tr_random(80), rc = 0;
    (void)argument;
    chance_pause();
    if (last_sent >= VALUES) /* the handle may be gone */
        return 0;
    expect_int(tr_broadcast_subscribe(feed, &ear), 0);
    listening++;
    int64_t expected = last_sent + 1;
    for (; stay > 0 && rc != -EPIPE; stay--) {
        struct tr_case cases[] = { tr_case_broadcast(&ear, &value), tr_case_timer(tr_after(chance_span(40))) };
        chance_pause();
        if (tr_random(3) > 0)
            rc = tr_broadcast_receive(&ear, &value, chance_deadline());
        else if ((rc = tr_select(cases, 2, chance_deadline(), TR_SELECT_FAIR)) >= 0)
            rc = rc == 1 ? -ETIMEDOUT : cases[0].result;
        if (rc >= 0) {
            expect_int(value, expected + rc);
            expected = value + 1;
        } else {
            expect(rc == -EPIPE || chance_came_to_nothing(rc));
        }
    }
    expect(rc != -EPIPE || expected == VALUES + 1);
    tr_broadcast_unsubscribe(&ear);
    listening--;
    return 0;
}

SEED_TEST(seeded_broadcast_tells_of_every_value)
{
    struct crew crew = { 0 };
    listening = 0;
    last_sent = 0;
    expect_int(tr_broadcast_create(&feed, 4, NULL), 0);
    for (int i = 0; i < LISTENERS; i++)
        crew_add(&crew, listen_to_it, NULL);
    crew_add(&crew, speak, NULL);
    crew_end(&crew, 8);
}

/* ---- watches -------------------------------------------------------------------------------------------------- */

static struct level level;
static int64_t current;

static int change_it(void *argument)
{
    (void)argument;
    while (current < VALUES) {
        chance_pause();
        int64_t next = ++current, old = -1;
        expect_int(tr_watch_replace(level, &old, &next), 0);
        expect_int(old, next - 1);
    }
    tr_watch_close(level);
    return 0;
}

static bool is_late(const void *value, void *argument)
{
    return *(const int64_t *)value >= *(int64_t *)argument;
}

/* It sees values that grow, none from the past, and the last one for certain. */
static int look_at_it(void *argument)
{
    struct level_receiver *eye = argument;
    int64_t seen = -1, value = 0, wanted = (int64_t)tr_random(VALUES);
    for (int rc = 0; rc != -EPIPE;) {
        chance_pause();
        uint64_t way = tr_random(3);
        rc = way == 0   ? tr_watch_wait_for(eye, is_late, &wanted, &value, chance_deadline())
             : way == 1 ? tr_watch_next(eye, &value, chance_deadline())
                        : tr_watch_changed(eye, chance_deadline());
        if (rc == 0 && way == 2) /* it is marked as seen already */
            expect_int(tr_watch_peek(eye, &value), 0);
        if (rc == 0) {
            expect(way == 0 ? value >= seen && value >= wanted : value > seen);
            expect(value <= current);
            seen = value;
        }
        expect(rc == 0 || rc == -EPIPE || chance_came_to_nothing(rc));
    }
    expect_int(seen, VALUES);
    tr_watch_unsubscribe(eye);
    return 0;
}

SEED_TEST(seeded_watch_shows_the_last_value)
{
    struct level_receiver eyes[LISTENERS];
    struct crew crew = { 0 };
    current = 0;
    expect_int(tr_watch_create(&level, NULL, &(int64_t){ 0 }), 0);
    for (int i = 0; i < LISTENERS; i++) {
        expect_int(tr_watch_subscribe(level, &eyes[i]), 0);
        crew_add(&crew, look_at_it, &eyes[i]);
    }
    crew_add(&crew, change_it, NULL);
    crew_end(&crew, 8);
}

int main(void)
{
    return test_main("seed_channels",
                     TESTS(seeded_channel_loses_and_doubles_nothing, seeded_queue_gives_each_message_to_one,
                           seeded_oneshot_is_received_if_its_send_succeeded, seeded_broadcast_tells_of_every_value,
                           seeded_watch_shows_the_last_value));
}
