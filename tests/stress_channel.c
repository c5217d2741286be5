/* SPDX-License-Identifier: MIT */
/*
 * stress_channel.c: channels and queues under everything at once: senders in tasks and in plain threads that send, try, reserve
 * and select, with deadlines and cancellations at any moment, one receiver or several, and a receiver that closes midway.
 *
 * Oracles. Conservation: what was sent, a failed send counting for nothing, is received or dropped, once. Order: what one
 * sender sent, one receiver gets in that order. The end: every round ends by itself; whoever waits in vain is told.
 */
#include "tests/support.h"

#include <pthread.h>

TR_CHANNEL_TYPE(letter, struct letter);
TR_QUEUE_TYPE(letter_queue, struct letter);
struct letter {
    uint32_t sender, number;
    uint64_t check;
};

enum { SENDERS = 6, THREADS = 2, ALL = SENDERS + THREADS, RECEIVERS = 3, LETTERS = 400, ROUNDS = 24 };

static struct round {
    struct letter_sender sender;
    struct letter_receiver receiver;
    struct letter_queue queue;
    bool is_queue, closes;
    uint32_t capacity;
    uint64_t seed;
    atomic_uint sent, received, dropped, running;
    uint32_t next[RECEIVERS + 1][ALL]; /* of each receiver: the least number it may still get; the last: of `drop` */
    struct tr_task tasks[SENDERS];
} the_round;

static struct round *const round_now = &the_round;
static uint64_t sent_in_all, received_in_all, dropped_in_all, cancelled;

static void check_letter(const struct letter *letter, unsigned receiver)
{
    expect_int(letter->check, (uint64_t)letter->sender << 32 | letter->number);
    expect(letter->sender < ALL && letter->number >= round_now->next[receiver][letter->sender]);
    round_now->next[receiver][letter->sender] = letter->number + 1;
}

static void note_drop(void *message)
{
    check_letter(message, RECEIVERS);
    atomic_fetch_add(&round_now->dropped, 1);
}

/* ---- senders -------------------------------------------------------------------------------------------------- */

static tr_time random_deadline(uint64_t *seed)
{
    uint64_t random = test_random(seed) >> 20;
    if (random % 4 == 0)
        return TR_NOW;
    return random % 4 == 1 ? tr_after((int64_t)(random / 4 % 200) * TR_MICROSECOND) : tr_after(LONG_TIME);
}

static int send_by_permit(const struct letter *letter, tr_time deadline, uint64_t random)
{
    struct letter_permit permit;
    uint32_t count = 1 + (uint32_t)(random % round_now->capacity);
    int rc = tr_channel_reserve(round_now->sender, count, &permit, deadline);
    if (rc < 0)
        return rc;
    if (random / 16 % 3 == 0)
        tr_yield();
    rc = tr_channel_permit_send(&permit, letter);
    tr_channel_permit_return(&permit);
    return rc;
}

static int send_by_select(const struct letter *letter, tr_time deadline)
{
    struct tr_case cases[] = { round_now->is_queue ? tr_case_queue_send(round_now->queue, letter)
                                                   : tr_case_send(round_now->sender, letter),
                               tr_case_never() };
    int which = tr_select(cases, 2, deadline, TR_SELECT_FAIR);
    return which == 0 ? cases[0].result : which;
}

static int send_somehow(const struct letter *letter, uint64_t *seed)
{
    uint64_t random = test_random(seed) >> 24;
    tr_time deadline = random_deadline(seed);
    bool is_queue = round_now->is_queue;
    switch (random % 8) {
    case 0:
        return is_queue ? tr_queue_try_send(round_now->queue, letter) : tr_channel_try_send(round_now->sender, letter);
    case 1:
        return is_queue ? tr_queue_send(round_now->queue, deadline, letter)
                        : send_by_permit(letter, deadline, random / 8);
    case 2:
        return send_by_select(letter, deadline);
    default:
        return is_queue ? tr_queue_send(round_now->queue, deadline, letter)
                        : tr_channel_send(round_now->sender, deadline, letter);
    }
}

static void send_all(uint32_t self)
{
    uint64_t seed = round_now->seed + 0x2545f4914f6cdd1du * (self + 1);
    for (uint32_t i = 0; i < LETTERS;) {
        struct letter letter = { self, i, (uint64_t)self << 32 | i };
        int rc = send_somehow(&letter, &seed);
        expect(rc == 0 || rc == -ETIMEDOUT || rc == -ECANCELED || rc == -EAGAIN || rc == -EPIPE);
        if (rc == -EPIPE)
            break;
        if (rc == 0)
            atomic_fetch_add(&round_now->sent, 1);
        if (rc == -ECANCELED)
            tr_cancel_taken();
        i += rc == 0 || test_random(&seed) >> 40 & 1;
        if (rc == -EAGAIN && tr_yield() < 0)
            tr_cancel_taken();
    }
    if (!round_now->is_queue)
        tr_channel_sender_close(round_now->sender);
    else if (atomic_fetch_sub(&round_now->running, 1) == 1)
        tr_queue_close(round_now->queue);
}

static int be_sender(void *argument)
{
    send_all((uint32_t)(uintptr_t)argument);
    return 0;
}

static void *be_thread(void *argument)
{
    send_all((uint32_t)(uintptr_t)argument);
    return NULL;
}

/* ---- receivers ------------------------------------------------------------------------------------------------ */

static int receive_by_select(struct letter *letter, tr_time deadline)
{
    struct tr_case cases[] = { tr_case_never(), round_now->is_queue ? tr_case_queue_receive(round_now->queue, letter)
                                                                    : tr_case_receive(round_now->receiver, letter) };
    int which = tr_select(cases, 2, deadline, TR_SELECT_FAIR);
    return which == 1 ? (cases[1].result == 0 ? 1 : cases[1].result) : which;
}

/* How many, or the error. */
static int receive_somehow(struct letter *letters, uint64_t *seed)
{
    uint64_t random = test_random(seed) >> 24;
    tr_time deadline = random_deadline(seed);
    bool is_queue = round_now->is_queue;
    int rc;
    switch (random % 4) {
    case 0:
        rc = is_queue ? tr_queue_try_receive(round_now->queue, letters)
                      : tr_channel_try_receive(round_now->receiver, letters);
        break;
    case 1:
        return is_queue ? tr_queue_receive_many(round_now->queue, letters, 4, deadline)
                        : tr_channel_receive_many(round_now->receiver, letters, 4, deadline);
    case 2:
        return receive_by_select(letters, deadline);
    default:
        rc = is_queue ? tr_queue_receive(round_now->queue, letters, deadline)
                      : tr_channel_receive(round_now->receiver, letters, deadline);
        break;
    }
    return rc == 0 ? 1 : rc;
}

static int be_receiver(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    uint64_t seed = round_now->seed + 77 + self;
    struct letter letters[4];
    unsigned turns = 0, close_at = round_now->closes ? 20 + (unsigned)(test_random(&seed) >> 30) % 300 : UINT32_MAX;
    int rc;
    while ((rc = receive_somehow(letters, &seed)) != -EPIPE) {
        expect(rc > 0 || rc == -ETIMEDOUT || rc == -EAGAIN);
        for (int i = 0; i < rc; i++)
            check_letter(&letters[i], self);
        atomic_fetch_add(&round_now->received, rc > 0 ? (unsigned)rc : 0);
        if (++turns == close_at && self == 0 && (round_now->seed >> 20) % 2)
            break; /* goes as it is: what is left is dropped */
        if (turns == close_at && self == 0 && round_now->is_queue)
            tr_queue_close(round_now->queue);
        else if (turns == close_at && self == 0)
            tr_channel_receiver_close(round_now->receiver);
        if (rc == -EAGAIN)
            expect_int(tr_yield(), 0);
    }
    if (!round_now->is_queue)
        tr_channel_receiver_destroy(round_now->receiver);
    return 0;
}

/* ---- rounds --------------------------------------------------------------------------------------------------- */

static int be_chaos(void *argument)
{
    uint64_t seed = (uintptr_t)argument | 1;
    for (int i = 0; i < 300; i++) {
        cancelled += tr_task_cancel(round_now->tasks[(test_random(&seed) >> 20) % SENDERS]) == 0;
        expect_int(tr_sleep((int64_t)((test_random(&seed) >> 20) % 60) * TR_MICROSECOND), 0);
    }
    return 0;
}

static void make_round(unsigned number)
{
    struct tr_channel_options options = { .drop = note_drop };
    memset(round_now, 0, sizeof *round_now);
    round_now->seed = 0x9e3779b97f4a7c15 * (number + 1);
    round_now->is_queue = number % 3 == 2;
    round_now->closes = number % 4 >= 2;
    round_now->capacity = (uint32_t[]){ 1, 3, 16, 100 }[number / 2 % 4];
    atomic_store(&round_now->running, ALL);
    if (round_now->is_queue)
        expect_int(tr_queue_create(&round_now->queue, round_now->capacity, &options), 0);
    else
        expect_int(tr_channel_create(&round_now->sender, &round_now->receiver, round_now->capacity, &options), 0);
    for (unsigned i = 1; i < ALL && !round_now->is_queue; i++)
        tr_channel_sender_open(round_now->sender);
}

static void play_round(unsigned number)
{
    struct tr_task receivers[RECEIVERS];
    pthread_t threads[THREADS];
    make_round(number);
    unsigned receiver_count = round_now->is_queue ? RECEIVERS : 1;
    for (uintptr_t i = 0; i < receiver_count; i++)
        receivers[i] = test_task(be_receiver, (void *)i);
    for (uintptr_t i = 0; i < SENDERS; i++)
        round_now->tasks[i] = test_task(be_sender, (void *)i);
    for (uintptr_t i = 0; i < THREADS; i++)
        expect_int(pthread_create(&threads[i], NULL, be_thread, (void *)(SENDERS + i)), 0);
    struct tr_task chaos = test_task(be_chaos, (void *)(uintptr_t)round_now->seed);
    expect_int(test_join(chaos), 0);
    for (unsigned i = 0; i < SENDERS; i++)
        expect_int(test_join(round_now->tasks[i]), 0);
    for (unsigned i = 0; i < receiver_count; i++)
        expect_int(test_join(receivers[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (round_now->is_queue)
        tr_queue_unref(round_now->queue);
    expect_int(atomic_load(&round_now->received) + atomic_load(&round_now->dropped), atomic_load(&round_now->sent));
    sent_in_all += atomic_load(&round_now->sent);
    received_in_all += atomic_load(&round_now->received);
    dropped_in_all += atomic_load(&round_now->dropped);
}

static void run(void)
{
    for (unsigned i = 0; i < ROUNDS * test_stress(); i++)
        play_round(i);
}

int main(void)
{
    struct tr_options options = test_options(0);
    if (!test_backend_here("channel"))
        return EXIT_SKIPPED;
    test_census_begin();
    test_run_with(&options, run);
    test_census_end();
    printf("channel: %llu sent, %llu received, %llu dropped, %llu cancels, no error\n", (unsigned long long)sent_in_all,
           (unsigned long long)received_in_all, (unsigned long long)dropped_in_all, (unsigned long long)cancelled);
    return 0;
}
