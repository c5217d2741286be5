/* SPDX-License-Identifier: MIT */
/*
 * stress_oneshot.c: oneshots, embedded and on the heap, between tasks of two runtimes and plain threads. Receivers make them and hand
 * them to any sender; both sides have deadlines, are cancelled, give up, close and leave at any moment.
 *
 * Oracles. Conservation: each value is ended once, by the receiver that got it or by the sender that kept it; only a
 * receiver that leaves without a last look may lose one. Truth: who is told that the other has gone is told so after it began to go,
 * and who is told nothing was not deceived: the table of both sides' ends, at the end. Memory: an embedded oneshot is overwritten
 * the moment its receiver may do so, and one on the heap is freed (the sanitizers see to both).
 */
#include "tests/support.h"

#include <pthread.h>

struct parcel {
    uint64_t number, check;
};

TR_ONESHOT_TYPE(parcel_oneshot, struct parcel);

enum { PER_RUNTIME = 3, THREADS = 2, SIDE = 2 * PER_RUNTIME + THREADS, ORDERS = 400, ROUNDS = 30 };
enum sender_end { NONE, SENT, REFUSED, DROPPED };
enum receiver_end { NOTHING, GOT, DROP_SEEN, GAVE_UP, BLIND };

static struct order {
    atomic_bool goes; /* the receiver closes or leaves from now on */
    atomic_int ended; /* how often the parcel was */
    uint8_t sender;   /* how each side came out of it */
    uint8_t receiver;
} orders[SIDE * ORDERS];

struct ticket {
    struct parcel_oneshot *oneshot;
    uint64_t number;
    bool brief; /* its receiver does not wait for long: the sender may outwait it */
};

TR_QUEUE_TYPE(ticket_queue, struct ticket);

static struct ticket_queue counter; /* where senders get their oneshots */
static atomic_uint receivers_left;
static atomic_llong counts[5], cancelled;

/* Notes a cancellation; true if there was one. */
static bool was_cancelled(int rc)
{
    if (rc != -ECANCELED)
        return false;
    tr_cancel_taken();
    atomic_fetch_add(&cancelled, 1);
    return true;
}

static void linger(uint64_t random)
{
    if (random % 4 == 0)
        was_cancelled(tr_sleep((int64_t)(random / 4 % 60) * TR_MICROSECOND));
    else if (random % 4 == 1)
        was_cancelled(tr_yield());
}

static tr_time soon(uint64_t random)
{
    return random % 8 == 0 ? TR_NOW : tr_after((int64_t)(random / 8 % 80) * TR_MICROSECOND);
}

/* ---- the sender's side ---------------------------------------------------------------------------------------- */

/* Looks or waits for the receiver's end, in one way or another. True: it has closed or left. */
static bool sees_the_end(const struct ticket *ticket, uint64_t random)
{
    tr_time deadline = ticket->brief ? tr_after(LONG_TIME) : soon(random / 4);
    int rc;
    if (random % 3 == 0)
        return tr_oneshot_is_closed(ticket->oneshot);
    if (random % 3 == 1) {
        rc = tr_oneshot_await_close(ticket->oneshot, deadline);
    } else {
        struct tr_case cases[] = { tr_case_timer(deadline), tr_case_oneshot_close(ticket->oneshot) };
        int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR);
        rc = which == 1 ? cases[1].result : which == 0 ? -ETIMEDOUT : which;
    }
    expect(rc == 0 || (rc == -ETIMEDOUT && !ticket->brief) || was_cancelled(rc));
    return rc == 0;
}

static void serve(const struct ticket *ticket, uint64_t random)
{
    struct order *order = &orders[ticket->number];
    struct parcel parcel = { ticket->number, ~ticket->number };
    linger(random);
    if (random / 64 % 4 == 0 && sees_the_end(ticket, random / 256))
        expect(atomic_load(&order->goes));
    if (random >> 40 & 3) {
        int rc = tr_oneshot_send(ticket->oneshot, &parcel);
        expect(rc == 0 || (rc == -EPIPE && atomic_load(&order->goes)));
        order->sender = rc == 0 ? SENT : REFUSED;
    } else {
        tr_oneshot_drop(ticket->oneshot);
        order->sender = DROPPED;
    }
    if (order->sender != SENT)
        atomic_fetch_add(&order->ended, 1);
}

static int be_sender(void *argument)
{
    uint64_t seed = 7919 * ((uintptr_t)argument + 1);
    struct ticket ticket;
    int rc;
    while ((rc = tr_queue_receive(counter, &ticket, TR_FOREVER)) != -EPIPE) {
        if (!was_cancelled(rc))
            serve(&ticket, test_random(&seed) >> 16);
    }
    return 0;
}

/* ---- the receiver's side -------------------------------------------------------------------------------------- */

static int receive_somehow(const struct ticket *ticket, struct parcel *parcel, uint64_t random)
{
    struct parcel_oneshot *oneshot = ticket->oneshot;
    switch (random % (ticket->brief ? 3 : 5)) {
    case 0:
        return tr_oneshot_try_receive(oneshot, parcel);
    case 1:
        return tr_oneshot_receive(oneshot, parcel, soon(random / 8));
    case 2: {
        struct tr_case cases[] = { tr_case_oneshot(oneshot, parcel), tr_case_timer(soon(random / 8)) };
        int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR);
        return which == 0 ? cases[0].result : which == 1 ? -ETIMEDOUT : which;
    }
    default:
        return tr_oneshot_receive(oneshot, parcel, TR_FOREVER);
    }
}

/* One attempt or several; then, if it was all in vain, a last look or none. */
static enum receiver_end receive(const struct ticket *ticket, struct parcel *parcel, uint64_t random)
{
    int rc;
    do {
        rc = receive_somehow(ticket, parcel, random);
        expect(rc == 0 || rc == -EPIPE || rc == -ETIMEDOUT || rc == -EAGAIN || was_cancelled(rc));
        random >>= 5;
    } while (rc < 0 && rc != -EPIPE && random & 1);
    if (rc == 0 || rc == -EPIPE)
        return rc == 0 ? GOT : DROP_SEEN;
    atomic_store(&orders[ticket->number].goes, true);
    if (random & 2)
        return BLIND;
    tr_oneshot_close(ticket->oneshot);
    linger(random >> 8);
    rc = tr_oneshot_try_receive(ticket->oneshot, parcel);
    expect(rc == 0 || rc == -EPIPE);
    return rc == 0 ? GOT : GAVE_UP;
}

static void receive_one(uint64_t number, uint64_t random)
{
    struct parcel_oneshot embedded, *heap = random & 1 ? tr_oneshot_create(struct parcel_oneshot) : NULL;
    struct ticket ticket = { heap ? heap : &embedded, number, random & 2 };
    struct order *order = &orders[number];
    struct parcel parcel = { 0, 0 };
    if (!heap)
        tr_oneshot_init(&embedded);
    while (was_cancelled(tr_queue_send(counter, TR_FOREVER, &ticket)))
        ;
    linger(random >> 2);
    order->receiver = (uint8_t)receive(&ticket, &parcel, random >> 8);
    if (order->receiver == GOT) {
        expect(parcel.number == number && parcel.check == ~number);
        atomic_fetch_add(&order->ended, 1);
        expect_int(tr_oneshot_try_receive(ticket.oneshot, &parcel), -EPIPE);
    }
    atomic_store(&order->goes, true);
    tr_oneshot_leave(ticket.oneshot);
    memset(&embedded, 0x5a, sizeof embedded);
}

static int be_receiver(void *argument)
{
    uintptr_t self = (uintptr_t)argument;
    uint64_t seed = 104729 * (self + 1);
    for (uint64_t i = 0; i < ORDERS; i++)
        receive_one(self * ORDERS + i, test_random(&seed) >> 8);
    atomic_fetch_sub(&receivers_left, 1);
    return 0;
}

/* ---- who does it ---------------------------------------------------------------------------------------------- */

static void *be_sending_thread(void *argument)
{
    be_sender(argument);
    return NULL;
}

static void *be_receiving_thread(void *argument)
{
    be_receiver(argument);
    return NULL;
}

struct side {
    struct tr_task tasks[2 * PER_RUNTIME];
    pthread_t threads[THREADS];
};

static void start_side(struct side *side, struct tr_runtime *const runtimes[2], int (*body)(void *),
                       void *(*thread)(void *))
{
    for (uintptr_t i = 0; i < 2 * PER_RUNTIME; i++)
        expect_int(tr_task_spawn(&side->tasks[i], body, (void *)i,
                                 &(struct tr_task_options){ .runtime = runtimes[i % 2] }),
                   0);
    for (uintptr_t i = 0; i < THREADS; i++)
        expect_int(pthread_create(&side->threads[i], NULL, thread, (void *)(2 * PER_RUNTIME + i)), 0);
}

static void end_side(struct side *side)
{
    for (int i = 0; i < 2 * PER_RUNTIME; i++)
        expect_int(test_join(side->tasks[i]), 0);
    for (int i = 0; i < THREADS; i++)
        expect_int(pthread_join(side->threads[i], NULL), 0);
}

static void check_order(const struct order *order)
{
    bool lost = order->receiver == BLIND && order->sender == SENT;
    expect(order->sender != NONE && order->receiver != NOTHING);
    expect_int(atomic_load(&order->ended), !lost);
    if (order->receiver == GOT)
        expect_int(order->sender, SENT);
    if (order->receiver == DROP_SEEN)
        expect_int(order->sender, DROPPED);
    if (order->receiver == GAVE_UP)
        expect(order->sender == REFUSED || order->sender == DROPPED);
    atomic_fetch_add(&counts[lost ? 4 : order->sender], 1);
}

static void play_round(struct tr_runtime *const runtimes[2], unsigned round)
{
    static struct side senders, receivers;
    uint64_t seed = round + 1;
    memset(orders, 0, sizeof orders);
    atomic_store(&receivers_left, SIDE);
    expect_int(tr_queue_create(&counter, 1 + round % 3 * 4, NULL), 0);
    start_side(&senders, runtimes, be_sender, be_sending_thread);
    start_side(&receivers, runtimes, be_receiver, be_receiving_thread);
    while (atomic_load(&receivers_left) > 0) {
        struct side *side = test_random(&seed) >> 40 & 1 ? &senders : &receivers;
        tr_task_cancel(side->tasks[(test_random(&seed) >> 20) % (2 * PER_RUNTIME)]);
        usleep((useconds_t)((test_random(&seed) >> 20) % 50));
    }
    tr_queue_close(counter);
    end_side(&receivers);
    end_side(&senders);
    tr_queue_unref(counter);
    for (int i = 0; i < SIDE * ORDERS; i++)
        check_order(&orders[i]);
}

int main(void)
{
    if (!test_backend_here("oneshot"))
        return EXIT_SKIPPED;
    test_census_begin();
    struct tr_options options[2] = { test_options(0), test_options(1) };
    struct tr_runtime *runtimes[2];
    for (int i = 0; i < 2; i++)
        expect_int(tr_start(&runtimes[i], &options[i]), 0);
    for (unsigned round = 0; round < ROUNDS * test_stress(); round++)
        play_round(runtimes, round);
    for (int i = 0; i < 2; i++)
        expect_int(tr_stop(runtimes[i], tr_after(LONG_TIME)), 0);
    test_census_end();
    printf("oneshot: %lld sent, %lld refused, %lld dropped, %lld lost by who did not look, %lld cancels, no error\n",
           (long long)atomic_load(&counts[SENT]), (long long)atomic_load(&counts[REFUSED]),
           (long long)atomic_load(&counts[DROPPED]), (long long)atomic_load(&counts[4]),
           (long long)atomic_load(&cancelled));
    return 0;
}
