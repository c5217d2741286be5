/* SPDX-License-Identifier: MIT */
/*
 * stress_broadcast.c: the broadcast under load, and against a sequential model.
 *
 * random: one thread, random operations on a channel, its senders and receivers, each result compared with that of a plain array.
 * load: senders in two runtimes and on threads, receivers that come and go, sleep, give up, select, or only look. Oracles: every
 * receiver gets the values of each sender in order; from its first to its last value, what it got and what it was told it had missed
 * are together exactly what was sent; values are of one piece; counted values are all dropped in the end.
 */
#include "tests/support.h"

#include <pthread.h>

/* ---- against the model --------------------------------------------------------------------------------------------- */

enum { MOST = 6, CAPACITY = 8, OPERATIONS = 1000000 };

TR_BROADCAST_TYPE(number_feed, uint64_t);
TR_BROADCAST_RECEIVER_TYPE(number_receiver, uint64_t);

struct model {
    struct number_feed feed;
    struct number_receiver receiver[MOST];
    bool used[MOST];
    uint64_t next[MOST]; /* of the model: position of each receiver */
    uint64_t sent, salt;
    uint32_t senders, receivers;
};

/* The value with this number: the model need not store any. */
static uint64_t value_at(const struct model *model, uint64_t number)
{
    return number * UINT64_C(0x9e3779b97f4a7c15) + model->salt;
}

static void begin_model(struct model *model, uint64_t salt)
{
    *model = (struct model){ .senders = 1, .salt = salt };
    expect_int(tr_broadcast_create(&model->feed, CAPACITY, NULL), 0);
}

static void end_model(struct model *model)
{
    for (int i = 0; i < MOST; i++) {
        if (model->used[i])
            tr_broadcast_unsubscribe(&model->receiver[i]);
    }
    while (model->senders-- > 0)
        tr_broadcast_close(model->feed);
}

static void check_receive(struct model *model, int i)
{
    uint64_t value, oldest = model->sent > CAPACITY ? model->sent - CAPACITY : 0;
    int rc = tr_broadcast_try_receive(&model->receiver[i], &value);
    if (model->next[i] == model->sent) {
        expect_int(rc, model->senders > 0 ? -EAGAIN : -EPIPE);
        return;
    }
    uint64_t missed = model->next[i] < oldest ? oldest - model->next[i] : 0;
    expect_int(rc, (int64_t)missed);
    expect(value == value_at(model, model->next[i] + missed));
    model->next[i] += missed + 1;
}

static bool subscribe_or_leave(struct model *model, int i, uint64_t random)
{
    int other = (int)(random % MOST);
    if (model->used[i]) {
        tr_broadcast_unsubscribe(&model->receiver[i]);
        model->receivers--;
    } else {
        if (model->used[other])
            expect_int(tr_broadcast_resubscribe(&model->receiver[other], &model->receiver[i]), 0);
        else if (model->senders > 0)
            expect_int(tr_broadcast_subscribe(model->feed, &model->receiver[i]), 0);
        else
            return false;
        model->next[i] = model->sent;
        model->receivers++;
    }
    model->used[i] = !model->used[i];
    return true;
}

/* False: there was nothing to be done. */
static bool operate_model(struct model *model, uint64_t random)
{
    int i = (int)(random / 64 % MOST);
    uint64_t value = value_at(model, model->sent), what = random % 64;
    if (what < 24 && model->senders > 0) {
        expect_int(tr_broadcast_send(model->feed, &value), model->receivers > 0 ? (int)model->receivers : -ESRCH);
        model->sent += model->receivers > 0;
    } else if (what < 50 && model->used[i]) {
        check_receive(model, i);
    } else if (what < 54 && model->used[i]) {
        uint64_t waits = model->sent - model->next[i];
        expect_int((int64_t)tr_broadcast_length(&model->receiver[i]), (int64_t)(waits < CAPACITY ? waits : CAPACITY));
        expect_int(tr_broadcast_senders(&model->receiver[i]), model->senders);
    } else if (what < 60) {
        return subscribe_or_leave(model, i, random / 4096);
    } else if (what < 62 && model->senders > 0 && model->senders < 4) {
        tr_broadcast_open(model->feed);
        model->senders++;
    } else if (what == 63 && model->senders > 0 && (model->senders > 1 || random / 4096 % 32 == 0)) {
        expect_int(tr_broadcast_receivers(model->feed), model->receivers);
        tr_broadcast_close(model->feed);
        model->senders--;
    } else {
        return false;
    }
    return true;
}

static uint64_t run_model(uint64_t operations, uint64_t seed)
{
    struct model model;
    uint64_t state = seed;
    begin_model(&model, seed);
    for (uint64_t n = 0; n < operations;) {
        n += operate_model(&model, test_random(&state) >> 8);
        if (model.senders == 0 && model.receivers == 0) {
            end_model(&model);
            begin_model(&model, test_random(&state));
        }
    }
    end_model(&model);
    return operations;
}

/* ---- under load ------------------------------------------------------------------------------------------------------ */

enum { SENDERS = 4, RECEIVERS = 12, VALUES = 4000 };

struct letter {
    uint64_t sender, number, check[3]; /* check: of one piece */
    struct object {
        atomic_int references;
    } * object;
};

TR_BROADCAST_TYPE(letter_feed, struct letter);
TR_BROADCAST_RECEIVER_TYPE(letter_receiver, struct letter);

static struct object *objects; /* one for each letter of a counted round */
static bool counted;

static void clone_letter(void *value)
{
    struct letter *letter = value;
    expect(atomic_fetch_add(&letter->object->references, 1) > 0);
}

static void drop_letter(void *value)
{
    struct letter *letter = value;
    expect(atomic_fetch_sub(&letter->object->references, 1) > 0);
}

struct sender {
    struct letter_feed feed;
    uint64_t self;
};

static int send_letters(void *argument)
{
    struct sender *sender = argument;
    uint64_t state = sender->self + 77;
    for (uint64_t n = 0; n < VALUES; n++) {
        struct letter letter = { sender->self, n, { n ^ sender->self, ~n, n }, NULL };
        if (counted) {
            letter.object = &objects[sender->self * VALUES + n];
            atomic_store(&letter.object->references, 1);
        }
        expect(tr_broadcast_send(sender->feed, &letter) > 0);
        if (test_random(&state) % 64 == 0)
            tr_sleep((int64_t)(test_random(&state) % 100) * TR_MICROSECOND);
    }
    tr_broadcast_close(sender->feed);
    return 0;
}

static void *send_on_thread(void *argument)
{
    send_letters(argument);
    return NULL;
}

struct receiver {
    struct letter_receiver end;
    struct letter_feed feed; /* not counted as a sender: only looked at while it receives */
    uint64_t seed, received, missed, next[SENDERS];
    bool whole; /* from the first to the last value */
};

static void check_letter(struct receiver *receiver, const struct letter *letter, int rc)
{
    expect(letter->sender < SENDERS && letter->number < VALUES);
    expect(letter->check[0] == (letter->number ^ letter->sender) && letter->check[1] == ~letter->number &&
           letter->check[2] == letter->number);
    expect(letter->number >= receiver->next[letter->sender]);
    expect(rc > 0 || receiver->missed > 0 || !receiver->whole || letter->number == receiver->next[letter->sender]);
    receiver->next[letter->sender] = letter->number + 1;
    receiver->received++;
    receiver->missed += (uint64_t)rc;
    if (counted)
        drop_letter((void *)(uintptr_t)letter);
}

/* One attempt in one of several ways. */
static int receive_somehow(struct receiver *receiver, struct letter *letter, uint64_t random)
{
    switch (random % 8) {
    case 0:
        return tr_broadcast_try_receive(&receiver->end, letter);
    case 1:
        return tr_broadcast_receive(&receiver->end, letter, tr_after((int64_t)(random / 8 % 50) * TR_MICROSECOND));
    case 2: {
        struct tr_case cases[] = { tr_case_broadcast(&receiver->end, letter),
                                   tr_case_timer(tr_after((int64_t)(random / 8 % 200) * TR_MICROSECOND)) };
        int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR);
        return which == 0 ? cases[0].result : which == 1 ? -EAGAIN : which;
    }
    case 3:
        if (random / 8 % 32 == 0)
            tr_sleep((int64_t)(random / 256 % 300) * TR_MICROSECOND);
        return -EAGAIN;
    default:
        return tr_broadcast_receive(&receiver->end, letter, TR_FOREVER);
    }
}

static int receive_letters(void *argument)
{
    struct receiver *receiver = argument;
    uint64_t state = receiver->seed;
    struct letter letter;
    for (;;) {
        uint64_t random = test_random(&state) >> 8;
        int rc = receive_somehow(receiver, &letter, random);
        if (rc == -EPIPE)
            break;
        expect(rc >= 0 || rc == -EAGAIN || rc == -ETIMEDOUT);
        if (rc >= 0)
            check_letter(receiver, &letter, rc);
        if (!receiver->whole && random / 1024 % 64 == 0) { /* leaves, and comes in at another place */
            struct letter_receiver again;
            expect_int(tr_broadcast_resubscribe(&receiver->end, &again), 0);
            tr_broadcast_unsubscribe(&receiver->end);
            receiver->end = again;
        }
    }
    if (receiver->whole)
        expect_int((int64_t)(receiver->received + receiver->missed), SENDERS * VALUES);
    tr_broadcast_unsubscribe(&receiver->end);
    return 0;
}

static void *receive_on_thread(void *argument)
{
    receive_letters(argument);
    return NULL;
}

struct party {
    struct tr_task task;
    pthread_t thread;
    bool inside;
};

static void start_party(struct party *party, struct tr_runtime *runtime, int (*body)(void *), void *(*thread)(void *),
                        void *argument)
{
    party->inside = runtime;
    if (runtime)
        expect_int(tr_task_spawn(&party->task, body, argument, &(struct tr_task_options){ .runtime = runtime }), 0);
    else
        expect_int(pthread_create(&party->thread, NULL, thread, argument), 0);
}

static void end_party(struct party *party)
{
    if (party->inside)
        expect_int(test_join(party->task), 0);
    else
        expect_int(pthread_join(party->thread, NULL), 0);
}

static void run_load(struct tr_runtime *const runtimes[2], uint32_t capacity, uint64_t *received, uint64_t *missed)
{
    static struct sender senders[SENDERS];
    static struct receiver receivers[RECEIVERS];
    struct party sending[SENDERS], receiving[RECEIVERS];
    const struct tr_broadcast_options options = { clone_letter, drop_letter };
    struct letter_feed feed;
    expect_int(tr_broadcast_create(&feed, capacity, counted ? &options : NULL), 0);
    for (int i = 0; i < RECEIVERS; i++) {
        receivers[i] = (struct receiver){ .feed = feed, .seed = (uint64_t)i * 7919 + capacity, .whole = i % 3 != 2 };
        expect_int(tr_broadcast_subscribe(feed, &receivers[i].end), 0);
    }
    for (int i = 0; i < RECEIVERS; i++)
        start_party(&receiving[i], i % 4 == 3 ? NULL : runtimes[i % 2], receive_letters, receive_on_thread,
                    &receivers[i]);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ feed, (uint64_t)i };
        tr_broadcast_open(feed);
        start_party(&sending[i], i == 3 ? NULL : runtimes[i % 2], send_letters, send_on_thread, &senders[i]);
    }
    tr_broadcast_close(feed);
    for (int i = 0; i < SENDERS; i++)
        end_party(&sending[i]);
    for (int i = 0; i < RECEIVERS; i++) {
        end_party(&receiving[i]);
        *received += receivers[i].received;
        *missed += receivers[i].missed;
    }
    for (uint64_t i = 0; counted && i < SENDERS * VALUES; i++)
        expect_int(atomic_load(&objects[i].references), 0);
}

int main(void)
{
    uint64_t received = 0, missed = 0;
    if (!test_backend_here("broadcast"))
        return EXIT_SKIPPED;
    test_census_begin();
    uint64_t operations = run_model((uint64_t)OPERATIONS * test_stress(), 20261121);
    objects = calloc(SENDERS * VALUES, sizeof *objects);
    expect(objects);
    for (unsigned round = 0; round < 4 * test_stress(); round++) {
        struct tr_options options[2] = { test_options(0), test_options(1) };
        struct tr_runtime *runtimes[2];
        for (int i = 0; i < 2; i++)
            expect_int(tr_start(&runtimes[i], &options[i]), 0);
        counted = round % 2;
        run_load(runtimes, round % 4 < 2 ? 256 : 2, &received, &missed);
        for (int i = 0; i < 2; i++)
            expect_int(tr_stop(runtimes[i], tr_after(LONG_TIME)), 0);
    }
    free(objects);
    test_census_end();
    printf(
        "broadcast: %llu operations match the model\nbroadcast: %llu values received, %llu missed and told, no error\n",
        (unsigned long long)operations, (unsigned long long)received, (unsigned long long)missed);
    return 0;
}
