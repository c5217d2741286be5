/* SPDX-License-Identifier: MIT */
/*
 * stress_channel.c: channels and queues under everything at once: senders in tasks of two runtimes and in plain threads that send,
 * try, reserve and select, with deadlines and cancellations at any moment, whose handles come and go through weak ones; one receiver
 * or several, and a receiver that closes midway. With each overflow policy, with a limit of bytes, and without a capacity.
 *
 * Oracles. Conservation: each message that was sent, a failed send counting for nothing, is received or dropped, once; no other
 * is. The channel's counters and its dead letters say the same. Order: what one sender sent, one receiver gets in that order.
 * Bounds: never more messages or bytes than allowed. The end: every round ends by itself; whoever waits in vain is told.
 * Turns: on one worker those who wait to send, to receive, and for room are served in the order in which they called.
 */
#include "tests/support.h"

#include <pthread.h>

TR_CHANNEL_TYPE(letter, struct letter);
TR_QUEUE_TYPE(letter_queue, struct letter);
struct letter {
    uint32_t sender, number;
    uint64_t check;
};

enum { SENDERS = 6, THREADS = 2, ALL = SENDERS + THREADS, RECEIVERS = 3, LETTERS = 400, ROUNDS = 80, BYTE_LIMIT = 90 };

/* What became of a letter, beside being sent: each once at most. */
enum fate { UNSENT, WAS_RECEIVED, WAS_DROPPED };

static struct round {
    struct letter_sender sender;
    struct letter_receiver receiver;
    struct letter_weak_sender weak; /* until the round is over: for its last look */
    struct letter_queue queue;
    struct tr_channel_options options;
    bool is_queue, is_unbounded, closes;
    uint32_t capacity;
    uint64_t seed;
    atomic_uint received, refused, dead[4], running;
    atomic_int inside, weight;       /* messages whose send has returned, less those that have come to an end */
    atomic_bool ended, first_leaves; /* no sender was left; the first sender, which plays no tricks, goes */
    uint32_t next[RECEIVERS][ALL];   /* of each receiver: the least number it may still get */
    bool sent[ALL][LETTERS];         /* by the sender's own account */
    atomic_uchar fates[ALL][LETTERS];
    struct tr_task tasks[SENDERS];
} the_round;

static struct round *const round_now = &the_round;
static struct tr_runtime *abroad; /* the second runtime */
static uint64_t sent_in_all, received_in_all, dropped_in_all, refused_in_all, cancelled, turns_in_all;

/* 1 to 40: of several that are in it at once. */
static uint64_t weigh(const void *message)
{
    return 1 + ((const struct letter *)message)->number * 7 % 40;
}

static void account(const struct letter *letter, int sign)
{
    atomic_fetch_add(&round_now->inside, sign);
    atomic_fetch_add(&round_now->weight, sign * (int)weigh(letter));
}

static void end_letter(const struct letter *letter, enum fate fate)
{
    expect_int(letter->check, (uint64_t)letter->sender << 32 | letter->number);
    expect(letter->sender < ALL && letter->number < LETTERS);
    expect_int(atomic_exchange(&round_now->fates[letter->sender][letter->number], (unsigned char)fate), UNSENT);
    account(letter, -1);
}

static void check_letter(const struct letter *letter, unsigned receiver)
{
    end_letter(letter, WAS_RECEIVED);
    expect(letter->number >= round_now->next[receiver][letter->sender]);
    round_now->next[receiver][letter->sender] = letter->number + 1;
}

static void note_drop(void *message)
{
    end_letter(message, WAS_DROPPED);
}

static void note_dead(const struct tr_dead_letter *letter, void *context)
{
    struct round *round = context;
    atomic_fetch_add(&round->dead[letter->reason], 1);
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
    bool reserves = !is_queue && !round_now->is_unbounded && !round_now->options.byte_limit;
    switch (random % 8) {
    case 0:
        return is_queue ? tr_queue_try_send(round_now->queue, letter) : tr_channel_try_send(round_now->sender, letter);
    case 1:
        if (reserves)
            return send_by_permit(letter, deadline, random / 8);
        return send_by_select(letter, deadline);
    case 2:
        return send_by_select(letter, deadline);
    default:
        return is_queue ? tr_queue_send(round_now->queue, deadline, letter)
                        : tr_channel_send(round_now->sender, deadline, letter);
    }
}

/* Gives its sender up and makes one anew from a weak one. False: nobody had one any more. */
static bool change_handles(uint32_t self)
{
    struct letter_weak_sender weak;
    struct letter_sender again;
    expect(!atomic_load(&round_now->ended));
    tr_channel_sender_weaken(round_now->sender, &weak);
    tr_channel_sender_close(round_now->sender);
    if (self % 2 && tr_yield() < 0)
        tr_cancel_taken();
    int rc = tr_channel_weak_sender_open(weak, &again);
    tr_channel_weak_sender_close(weak);
    expect(rc == 0 || (rc == -EPIPE && atomic_load(&round_now->first_leaves)));
    expect(rc < 0 || tr_channel_same(again, round_now->sender));
    if (rc < 0)
        atomic_store(&round_now->ended, true);
    return rc == 0;
}

static void end_sender(uint32_t self)
{
    if (self == 0)
        atomic_store(&round_now->first_leaves, true);
    if (!round_now->is_queue)
        tr_channel_sender_close(round_now->sender);
    else if (atomic_fetch_sub(&round_now->running, 1) == 1)
        tr_queue_close(round_now->queue);
}

static void send_all(uint32_t self)
{
    uint64_t seed = round_now->seed + 0x2545f4914f6cdd1du * (self + 1);
    for (uint32_t i = 0; i < LETTERS;) {
        struct letter letter = { self, i, (uint64_t)self << 32 | i };
        int rc = send_somehow(&letter, &seed);
        expect(rc == 0 || rc == -ETIMEDOUT || rc == -ECANCELED || rc == -EAGAIN || rc == -EPIPE || rc == -ENOBUFS);
        expect(rc != -ENOBUFS || round_now->options.overflow != TR_OVERFLOW_WAIT);
        if (rc == -EPIPE)
            break;
        round_now->sent[self][i] = rc == 0;
        if (rc == 0)
            account(&letter, 1);
        else if (rc == -ENOBUFS)
            atomic_fetch_add(&round_now->refused, 1);
        if (rc == -ECANCELED)
            tr_cancel_taken();
        i += rc == 0 || test_random(&seed) >> 40 & 1;
        if ((rc == -EAGAIN || rc == -ENOBUFS) && tr_yield() < 0)
            tr_cancel_taken();
        if (!round_now->is_queue && self > 0 && test_random(&seed) >> 58 == 0 && !change_handles(self))
            return;
    }
    end_sender(self);
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

/* By a receiver between two calls. What the oldest are dropped for is there before they have come to their end. */
static void look_at_bounds(void)
{
    struct tr_channel_info info;
    bool exact = !round_now->is_queue && round_now->options.overflow != TR_OVERFLOW_DROP_OLDEST;
    if (round_now->is_queue)
        tr_queue_info(round_now->queue, &info);
    else
        tr_channel_info(round_now->receiver, &info);
    expect(round_now->is_unbounded || info.length + info.reserved <= round_now->capacity);
    expect(info.bytes <= round_now->options.byte_limit);
    if (exact && !round_now->is_unbounded)
        expect(atomic_load(&round_now->inside) <= (int)round_now->capacity);
    if (exact && round_now->options.byte_limit)
        expect(atomic_load(&round_now->weight) <= BYTE_LIMIT);
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
        look_at_bounds();
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
        expect_int(i % 8 ? tr_yield() : tr_sleep((int64_t)((test_random(&seed) >> 20) % 60) * TR_MICROSECOND), 0);
    }
    return 0;
}

static void make_channel(void)
{
    struct tr_channel_options *options = &round_now->options;
    if (round_now->is_queue)
        expect_int(tr_queue_create(&round_now->queue, round_now->capacity, options), 0);
    else if (round_now->is_unbounded)
        expect_int(tr_channel_create_unbounded(&round_now->sender, &round_now->receiver, options), 0);
    else
        expect_int(tr_channel_create(&round_now->sender, &round_now->receiver, round_now->capacity, options), 0);
    if (round_now->is_queue)
        return;
    tr_channel_sender_weaken(round_now->sender, &round_now->weak);
    for (unsigned i = 1; i < ALL; i++)
        tr_channel_sender_open(round_now->sender);
}

static void make_round(unsigned number)
{
    uint64_t seed = 0x9e3779b97f4a7c15 * (number + 1), random = test_random(&seed) >> 20;
    memset(round_now, 0, sizeof *round_now);
    round_now->seed = seed;
    round_now->is_queue = number % 3 == 2;
    round_now->is_unbounded = !round_now->is_queue && random % 4 == 0;
    round_now->closes = random / 4 % 2;
    round_now->capacity = (uint32_t[]){ 1, 3, 16, 100 }[random / 8 % 4];
    round_now->options = (struct tr_channel_options){
        .overflow = number % 2 ? (enum tr_overflow)(random / 32 % 4) : TR_OVERFLOW_WAIT,
        .byte_limit = random / 128 % 3 == 0 ? BYTE_LIMIT : 0,
        .weigh = weigh,
        .drop = note_drop,
        .dead_letter = note_dead,
        .context = round_now,
    };
    atomic_store(&round_now->running, ALL);
    make_channel();
}

/* Each letter has come to one end if it was sent, and to none if not. */
static void check_fates(void)
{
    unsigned counts[3] = { 0, 0, 0 };
    for (unsigned s = 0; s < ALL; s++) {
        for (unsigned i = 0; i < LETTERS; i++) {
            unsigned fate = atomic_load(&round_now->fates[s][i]);
            expect_int(fate != UNSENT, round_now->sent[s][i]);
            counts[fate]++;
        }
    }
    expect_int(counts[WAS_RECEIVED], atomic_load(&round_now->received));
    expect_int(counts[WAS_DROPPED], atomic_load(&round_now->dead[TR_DEAD_DROPPED_NEWEST]) +
                                        atomic_load(&round_now->dead[TR_DEAD_DROPPED_OLDEST]) +
                                        atomic_load(&round_now->dead[TR_DEAD_UNDELIVERED]));
    sent_in_all += counts[WAS_RECEIVED] + counts[WAS_DROPPED];
    received_in_all += counts[WAS_RECEIVED];
    dropped_in_all += counts[WAS_DROPPED];
    refused_in_all += atomic_load(&round_now->refused);
}

/* The channel's own account, while its memory is still there. */
static void check_counters(struct tr_channel *channel)
{
    struct tr_channel_info info;
    tr_channel_info_raw(channel, &info);
    expect_int(info.reserved, 0);
    expect_int((int64_t)info.rejected, atomic_load(&round_now->dead[TR_DEAD_REJECTED]));
    expect_int((int64_t)info.dropped_newest, atomic_load(&round_now->dead[TR_DEAD_DROPPED_NEWEST]));
    expect_int((int64_t)info.dropped_oldest, atomic_load(&round_now->dead[TR_DEAD_DROPPED_OLDEST]));
    expect_int((int64_t)info.undelivered, atomic_load(&round_now->dead[TR_DEAD_UNDELIVERED]));
    expect(atomic_load(&round_now->dead[TR_DEAD_REJECTED]) <= atomic_load(&round_now->refused));
}

static void start_receivers(struct tr_task receivers[RECEIVERS], unsigned count, unsigned number)
{
    for (uintptr_t i = 0; i < count; i++) {
        struct tr_task_options options = { .runtime = (number + i) % 4 == 0 ? abroad : NULL };
        expect_int(tr_task_spawn(&receivers[i], be_receiver, (void *)i, &options), 0);
    }
}

static void start_senders(pthread_t threads[THREADS])
{
    for (uintptr_t i = 0; i < SENDERS; i++) {
        struct tr_task_options options = { .runtime = i % 3 == 0 ? abroad : NULL };
        expect_int(tr_task_spawn(&round_now->tasks[i], be_sender, (void *)i, &options), 0);
    }
    for (uintptr_t i = 0; i < THREADS; i++)
        expect_int(pthread_create(&threads[i], NULL, be_thread, (void *)(SENDERS + i)), 0);
}

static void play_round(unsigned number)
{
    struct tr_task receivers[RECEIVERS];
    pthread_t threads[THREADS];
    make_round(number);
    unsigned receiver_count = round_now->is_queue ? RECEIVERS : 1;
    start_receivers(receivers, receiver_count, number);
    start_senders(threads);
    struct tr_task chaos = test_task(be_chaos, (void *)(uintptr_t)round_now->seed);
    expect_int(test_join(chaos), 0);
    for (unsigned i = 0; i < SENDERS; i++)
        expect_int(test_join(round_now->tasks[i]), 0);
    for (unsigned i = 0; i < receiver_count; i++)
        expect_int(test_join(receivers[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (round_now->is_queue) {
        check_counters(round_now->queue.tri_raw.tri_channel);
        tr_queue_unref(round_now->queue);
    } else {
        check_counters(round_now->weak.tri_raw.tri_channel);
        tr_channel_weak_sender_close(round_now->weak);
    }
    check_fates();
}

static void run(void)
{
    for (unsigned i = 0; i < ROUNDS * test_stress(); i++)
        play_round(i);
}

/* ---- turns ---------------------------------------------------------------------------------------------------- */

enum { TURN_SENDERS = 6, TURN_RECEIVERS = 3, TURNS = 2000, TURN_CAPACITY = 6 };

static struct line {
    struct letter_sender sender;
    struct letter_receiver receiver;
    struct letter_queue queue;
    bool is_queue;
    struct tr_channel_options options;
    uint64_t sends, receives, reserves, granted; /* calls begun, in order; and of reserves those that returned */
} line;

static void linger(uint64_t random)
{
    if (random % 16 == 0)
        expect_int(tr_sleep((int64_t)(random / 16 % 40) * TR_MICROSECOND), 0);
    else if (random % 4 == 1)
        expect_int(tr_yield(), 0);
}

/* On one worker, who calls first is queued first. The yield is for a fresh budget: a call that yields comes later. */
static int send_in_turn(void *argument)
{
    uint64_t seed = 5 + (uint64_t)(uintptr_t)argument;
    for (unsigned i = 0; i < TURNS * test_stress(); i++) {
        linger(test_random(&seed) >> 20);
        expect_int(tr_yield(), 0);
        struct letter letter = { 0, (uint32_t)line.sends++, 0 };
        expect_int(line.is_queue ? tr_queue_send(line.queue, TR_FOREVER, &letter)
                                 : tr_channel_send(line.sender, TR_FOREVER, &letter),
                   0);
    }
    return 0;
}

static int receive_in_turn(void *argument)
{
    unsigned count = TURN_SENDERS * TURNS * test_stress() / (line.is_queue ? TURN_RECEIVERS : 1);
    uint64_t seed = 99 + (uint64_t)(uintptr_t)argument;
    for (unsigned i = 0; i < count; i++) {
        struct letter letter;
        linger(test_random(&seed) >> 20);
        expect_int(tr_yield(), 0);
        uint64_t number = line.receives++;
        expect_int(line.is_queue ? tr_queue_receive(line.queue, &letter, TR_FOREVER)
                                 : tr_channel_receive(line.receiver, &letter, TR_FOREVER),
                   0);
        expect_int(letter.number, (int64_t)number);
    }
    return 0;
}

/*
 * All the room there is, or one place. Of several that have a place, it is not seen who got it first; but who has all comes after each
 * that called before, and before the others.
 */
static int reserve_in_turn(void *argument)
{
    uint64_t seed = 7 + (uint64_t)(uintptr_t)argument;
    for (unsigned i = 0; i < TURNS * test_stress(); i++) {
        struct letter_permit permit;
        bool all = test_random(&seed) >> 40 & 1;
        expect_int(tr_yield(), 0);
        uint64_t number = line.reserves++;
        expect_int(tr_channel_reserve(line.sender, all ? TURN_CAPACITY : 1, &permit, TR_FOREVER), 0);
        expect(!all || number == line.granted);
        line.granted++;
        linger(test_random(&seed) >> 20);
        tr_channel_permit_return(&permit);
    }
    return 0;
}

static void run_turns(int (*bodies[])(void *), unsigned count)
{
    struct tr_task tasks[TURN_SENDERS + TURN_RECEIVERS];
    for (uintptr_t i = 0; i < count; i++)
        tasks[i] = test_task(bodies[i], (void *)i);
    for (unsigned i = 0; i < count; i++)
        expect_int(test_join(tasks[i]), 0);
}

/* After this the lock is no worker's own. */
static void *send_and_receive(void *unused)
{
    struct letter letter = { 0, 0, 0 };
    expect_int(line.is_queue ? tr_queue_send(line.queue, TR_FOREVER, &letter)
                             : tr_channel_send(line.sender, TR_FOREVER, &letter),
               0);
    expect_int(line.is_queue ? tr_queue_receive(line.queue, &letter, TR_FOREVER)
                             : tr_channel_receive(line.receiver, &letter, TR_FOREVER),
               0);
    return unused;
}

static void keep_order(bool is_queue, bool weighs, bool shared)
{
    int (*bodies[TURN_SENDERS + TURN_RECEIVERS])(void *);
    unsigned receivers = is_queue ? TURN_RECEIVERS : 1;
    pthread_t thread;
    line = (struct line){ .is_queue = is_queue, .options = { .byte_limit = weighs ? BYTE_LIMIT : 0, .weigh = weigh } };
    if (is_queue)
        expect_int(tr_queue_create(&line.queue, TURN_CAPACITY, &line.options), 0);
    else
        expect_int(tr_channel_create(&line.sender, &line.receiver, TURN_CAPACITY, &line.options), 0);
    if (shared) {
        expect_int(pthread_create(&thread, NULL, send_and_receive, NULL), 0);
        expect_int(pthread_join(thread, NULL), 0);
    }
    for (unsigned i = 0; i < TURN_SENDERS + receivers; i++)
        bodies[i] = i < TURN_SENDERS ? send_in_turn : receive_in_turn;
    run_turns(bodies, TURN_SENDERS + receivers);
    for (unsigned i = 0; i < TURN_SENDERS; i++)
        bodies[i] = reserve_in_turn;
    if (!is_queue && !weighs)
        run_turns(bodies, TURN_SENDERS);
    expect_int((int64_t)line.sends, (int64_t)line.receives);
    turns_in_all += line.sends + line.receives + line.granted;
    if (is_queue)
        tr_queue_unref(line.queue);
    else
        tr_channel_sender_close(line.sender);
    if (!is_queue)
        tr_channel_receiver_destroy(line.receiver);
}

static void take_turns(void)
{
    for (int i = 0; i < 8; i++)
        keep_order(i % 2, i / 2 % 2, i / 4);
}

int main(void)
{
    struct tr_options options = test_options(0), second = test_options(1);
    if (!test_backend_here("channel"))
        return EXIT_SKIPPED;
    test_census_begin();
    test_run(1, take_turns);
    expect_int(tr_start(&abroad, &second), 0);
    test_run_with(&options, run);
    expect_int(tr_stop(abroad, tr_after(LONG_TIME)), 0);
    test_census_end();
    printf("channel: %llu sent, %llu received, %llu dropped, %llu refused, %llu cancels, %llu in turn, no error\n",
           (unsigned long long)sent_in_all, (unsigned long long)received_in_all, (unsigned long long)dropped_in_all,
           (unsigned long long)refused_in_all, (unsigned long long)cancelled, (unsigned long long)turns_in_all);
    return 0;
}
