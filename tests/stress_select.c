/* SPDX-License-Identifier: MIT */
/*
 * stress_select.c: selects over everything that can be waited for, while all of it comes at once, from tasks and from a thread, with
 * deadlines and cancellations in between.
 *
 * Each round a task waits for one thing of each kind, in any mix of those that have not come yet: a oneshot, a task's end, a notification,
 * a byte at a socket, a token's cancellation, a permit, a message. Oracle: each comes once, whoever else was ready when another case
 * won; nothing comes that was not sent; no select waits for what is there; in the end nothing is left over.
 */
#include "tests/support.h"

#include <pthread.h>
#include <sys/socket.h>

TR_ONESHOT_TYPE(number_oneshot, int64_t);
TR_QUEUE_TYPE(number_queue, int64_t);

enum { SELECTORS = 8, ROUNDS = 3000 };
enum kind { ONESHOT, END, NOTICE, BYTE, TOKEN, PERMIT, MESSAGE, KINDS };

static struct tr_semaphore permits; /* of all rounds together: who comes gets one */
static struct number_queue messages;
static atomic_llong come[KINDS], message_sum, late, cancelled, rounds_over;
static struct tr_task selectors[SELECTORS];

static struct round {
    int64_t number;
    uint64_t seed;
    struct number_oneshot oneshot;
    struct tr_notify notify;
    struct tr_stream *stream;
    int peer;
    struct tr_cancel_token *token;
    struct tr_task child;
    atomic_uint sent; /* a bit for each kind, before it is sent */
    atomic_bool over; /* the thread that sends has sent all */
} all_rounds[SELECTORS];

/* ---- what comes ------------------------------------------------------------------------------------------------ */

static void send_kind(struct round *round, enum kind kind)
{
    atomic_fetch_or(&round->sent, 1u << kind);
    switch (kind) {
    case ONESHOT:
        expect_int(tr_oneshot_send(&round->oneshot, &round->number), 0);
        break;
    case NOTICE:
        if (round->number % 2)
            tr_notify_one(&round->notify);
        else
            tr_notify_last(&round->notify);
        break;
    case BYTE:
        expect_int(write(round->peer, &(char){ (char)round->number }, 1), 1);
        break;
    case TOKEN:
        tr_cancel_token_cancel(round->token);
        break;
    case PERMIT:
        expect_int(tr_semaphore_release(&permits, 1), 0);
        break;
    case MESSAGE:
        expect_int(tr_queue_send(messages, TR_FOREVER, &round->number), 0);
        break;
    case END:
    case KINDS:
        break;
    }
}

static void linger(uint64_t random)
{
    if (random % 4 == 0)
        expect_int(tr_sleep((int64_t)(random / 4 % 60) * TR_MICROSECOND), 0);
    else if (random % 4 == 1 && tr_yield() < 0)
        sched_yield(); /* a thread */
}

static int be_child(void *argument)
{
    struct round *round = argument;
    uint64_t seed = round->seed + 1;
    linger(test_random(&seed) >> 20);
    atomic_fetch_or(&round->sent, 1u << END);
    return (int)(round->number & INT32_MAX);
}

static int send_all(void *argument)
{
    struct round *round = argument;
    uint64_t seed = round->seed + 2;
    unsigned first = (unsigned)(test_random(&seed) >> 20) % KINDS,
             step = 1 + (unsigned)(test_random(&seed) >> 20) % (KINDS - 1);
    for (unsigned i = 0; i < KINDS; i++) { /* KINDS is a prime number */
        linger(test_random(&seed) >> 20);
        send_kind(round, (enum kind)((first + i * step) % KINDS));
    }
    return 0;
}

static void *send_all_on_thread(void *argument)
{
    struct round *round = argument;
    send_all(round);
    atomic_store(&round->over, true);
    return NULL;
}

/* ---- who waits for it ------------------------------------------------------------------------------------------ */

struct taken {
    int64_t value, message;
    int result;
};

static struct tr_case make_case(struct round *round, struct taken *taken, enum kind kind)
{
    switch (kind) {
    case ONESHOT:
        return tr_case_oneshot(&round->oneshot, &taken->value);
    case END:
        return tr_case_join(round->child, &taken->result);
    case NOTICE:
        return tr_case_notified(&round->notify);
    case BYTE:
        return tr_case_readable(round->stream);
    case TOKEN:
        return tr_case_cancelled(round->token);
    case PERMIT:
        return tr_case_acquire(&permits, 1);
    case MESSAGE:
        return tr_case_queue_receive(messages, &taken->message);
    case KINDS:
        break;
    }
    return tr_case_never();
}

static void check_kind(struct round *round, const struct taken *taken, enum kind kind)
{
    char byte = 0;
    ssize_t rc;
    atomic_fetch_add(&come[kind], 1);
    if (kind == PERMIT || kind == MESSAGE)
        atomic_fetch_add(&message_sum, kind == MESSAGE ? taken->message : 0);
    else /* its own */
        expect(atomic_load(&round->sent) >> kind & 1);
    if (kind == ONESHOT)
        expect_int(taken->value, round->number);
    if (kind == END)
        expect_int(taken->result, round->number & INT32_MAX);
    if (kind == TOKEN)
        expect(tr_cancel_token_is_cancelled(round->token));
    if (kind != BYTE)
        return;
    while ((rc = tr_read(round->stream, &byte, 1, tr_after(LONG_TIME))) == -ECANCELED)
        tr_cancel_taken();
    expect_int(rc, 1);
    expect_int(byte, (char)round->number);
}

/* One select of all that have not come yet. Returns what is left. */
static unsigned select_one(struct round *round, unsigned pending, uint64_t random)
{
    struct tr_case cases[KINDS + 1];
    enum kind kinds[KINDS + 1];
    struct taken taken = { -1, -1, -1 };
    uint32_t count = 0;
    bool briefly = random % 4 < 2;
    for (unsigned i = 0; i < KINDS; i++) {
        enum kind kind = (enum kind)((random / 4 + i) % KINDS);
        if (!(pending >> kind & 1))
            continue;
        kinds[count] = kind;
        cases[count++] = make_case(round, &taken, kind);
    }
    int which =
        tr_select(cases, count, briefly ? tr_after((int64_t)(random / 64 % 20) * TR_MICROSECOND) : tr_after(LONG_TIME),
                  random / 32 % 2 ? TR_SELECT_FAIR : TR_SELECT_ORDERED);
    if (which < 0) {
        expect(which == -ECANCELED || (which == -ETIMEDOUT && briefly));
        atomic_fetch_add(which == -ECANCELED ? &cancelled : &late, 1);
        if (which == -ECANCELED)
            tr_cancel_taken();
        return pending;
    }
    expect_int(cases[which].result, 0);
    check_kind(round, &taken, kinds[which]);
    return pending & ~(1u << kinds[which]);
}

static void make_round(struct round *round, int64_t number)
{
    int ends[2];
    *round = (struct round){ .number = number, .seed = (uint64_t)number * UINT64_C(0x9e3779b97f4a7c15) + 1 };
    tr_oneshot_init(&round->oneshot);
    tr_notify_init(&round->notify);
    expect_int(tr_cancel_token_create(&round->token, NULL), 0);
    expect_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    expect_int(tr_stream_open(&round->stream, ends[0]), 0);
    round->peer = ends[1];
    expect_int(tr_task_spawn(&round->child, be_child, round, NULL), 0);
}

static void end_round(struct round *round)
{
    int64_t value;
    expect_int(tr_notify_try_wait(&round->notify), -EAGAIN);
    expect_int(tr_oneshot_try_receive(&round->oneshot, &value), -EPIPE);
    expect_int(tr_task_join(round->child, NULL, TR_NOW), -ESRCH);
    tr_oneshot_leave(&round->oneshot);
    tr_cancel_token_unref(round->token);
    tr_stream_close(round->stream);
    close(round->peer);
    atomic_fetch_add(&rounds_over, 1);
}

/* A join that goes on after a cancellation. */
static void join(struct tr_task task)
{
    int rc;
    while ((rc = tr_task_join(task, NULL, tr_after(LONG_TIME))) == -ECANCELED)
        tr_cancel_taken();
    expect_int(rc, 0);
}

/* In pthread_join it would keep its worker from I/O of others, and the thread may wait for room that they will make. */
static void join_thread(struct round *round, pthread_t thread)
{
    while (!atomic_load(&round->over))
        if (tr_sleep(20 * TR_MICROSECOND) == -ECANCELED)
            tr_cancel_taken();
    expect_int(pthread_join(thread, NULL), 0);
}

static int be_selector(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    uint64_t seed = 31 * (self + 1);
    struct round *round = &all_rounds[self];
    for (unsigned i = 0; i < ROUNDS * test_stress(); i++) {
        bool by_thread = i % 16 == 0;
        pthread_t thread;
        struct tr_task sender;
        make_round(round, (int64_t)i * SELECTORS + self);
        if (by_thread)
            expect_int(pthread_create(&thread, NULL, send_all_on_thread, round), 0);
        else
            expect_int(tr_task_spawn(&sender, send_all, round, NULL), 0);
        for (unsigned pending = (1u << KINDS) - 1; pending != 0;)
            pending = select_one(round, pending, test_random(&seed) >> 16);
        if (by_thread)
            join_thread(round, thread);
        else
            join(sender);
        end_round(round);
    }
    return 0;
}

static void run(void)
{
    int64_t rounds = (int64_t)SELECTORS * ROUNDS * test_stress();
    uint64_t seed = 7;
    tr_semaphore_init(&permits, 0);
    expect_int(tr_queue_create(&messages, 2, NULL), 0);
    for (uintptr_t i = 0; i < SELECTORS; i++)
        selectors[i] = test_task(be_selector, (void *)i);
    while (atomic_load(&rounds_over) < rounds) {
        tr_task_cancel(selectors[(test_random(&seed) >> 20) % SELECTORS]);
        expect_int(tr_sleep((int64_t)((test_random(&seed) >> 20) % 100) * TR_MICROSECOND), 0);
    }
    for (int i = 0; i < SELECTORS; i++)
        expect_int(test_join(selectors[i]), 0);
    for (int i = 0; i < KINDS; i++)
        expect_int(atomic_load(&come[i]), rounds);
    expect_int(atomic_load(&message_sum), rounds * (rounds - 1) / 2);
    expect_int((int64_t)tr_semaphore_available(&permits), 0);
    expect_int(tr_queue_length(messages), 0);
    tr_queue_unref(messages);
}

int main(void)
{
    if (!test_backend_here("select"))
        return EXIT_SKIPPED;
    test_census_begin();
    struct tr_options options = test_options(0);
    test_run_with(&options, run);
    test_census_end();
    printf("select: %lld rounds of %d kinds, %lld out of time, %lld cancelled, no error\n",
           (long long)atomic_load(&rounds_over), KINDS, (long long)atomic_load(&late),
           (long long)atomic_load(&cancelled));
    return 0;
}
