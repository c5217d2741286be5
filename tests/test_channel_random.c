/* SPDX-License-Identifier: MIT */
/*
 * test_channel_random.c: random operations on channels, each compared with a sequential model that is as simple as can be: an
 * array, and a few counts. Every kind of channel and queue, with every policy, by a plain thread and by a task, whose worker owns the lock.
 *
 * The generator's state is printed with a failure: TR_SEED repeats it. TR_STRESS=10 makes it ten million operations for channels, and
 * as many for queues.
 */
#include "support.h"

#include <troupe/channel.h>
#include <troupe/queue.h>

enum { OPERATIONS = 1000000, LIFE = 300, PERMITS = 4, MODEL_ROOM = 4 * LIFE };

/* What is under test, and next to it what it ought to be. */
struct pair {
    uint64_t seed, origin;
    struct tr_channel_sender sender;
    struct tr_channel_receiver receiver;
    struct tr_channel_weak_sender weak;
    struct tr_channel_permit permits[PERMITS];
    bool queue, bounded;
    uint32_t capacity;
    struct tr_channel_options options;

    int64_t numbers[MODEL_ROOM];
    unsigned head, tail;
    unsigned reserved, granted[PERMITS];
    unsigned senders, weak_senders;
    uint64_t bytes;
    bool closed, gone;
    uint64_t rejected, dropped_newest, dropped_oldest, undelivered;
    uint64_t drops;
    int64_t drop_sum, model_drop_sum;
    uint64_t letters;
};

static struct pair *pair;
static unsigned long done[2]; /* operations: on channels, on queues */

static uint64_t chance(uint64_t count)
{
    return (test_random(&pair->seed) >> 20) % count;
}

#define same(actual, expected)                                                                                         \
    do {                                                                                                               \
        int64_t same_a = (actual), same_b = (expected);                                                                \
        if (same_a != same_b)                                                                                          \
            test_fail(__FILE__, __LINE__, "TR_SEED=%llu: %s is %lld, the model says %lld",                             \
                      (unsigned long long)pair->origin, #actual, (long long)same_a, (long long)same_b);                \
    } while (0)

static void note_drop(void *message)
{
    pair->drops++;
    pair->drop_sum += *(int64_t *)message;
}

static void note_letter(const struct tr_dead_letter *letter, void *context)
{
    (void)context, (void)letter;
    pair->letters++;
}

static uint64_t weigh(const void *message)
{
    return (uint64_t) * (const int64_t *)message % 50;
}

static uint64_t weight_of(int64_t number)
{
    return pair->options.byte_limit ? weigh(&number) : 0;
}

static const struct tr_type type = { "number", sizeof(int64_t), sizeof(int64_t) };

static void begin(void)
{
    uint64_t seed = pair->seed;
    *pair = (struct pair){ .seed = seed, .origin = seed };
    pair->queue = done[1] < done[0];
    pair->bounded = pair->queue || chance(4) != 0;
    pair->capacity = pair->bounded ? (uint32_t)(1 + chance(6)) : UINT32_MAX;
    pair->options.overflow = (enum tr_overflow)(chance(2) ? 0 : chance(4));
    pair->options.byte_limit = chance(4) == 0 ? 60 + chance(60) : 0;
    pair->options.weigh = weigh;
    pair->options.drop = note_drop;
    pair->options.dead_letter = note_letter;
    pair->senders = 1;
    struct tr_queue queue = { 0 };
    int rc = pair->queue ? tr_queue_create_raw(&queue, &type, pair->capacity, &pair->options)
             : pair->bounded
                 ? tr_channel_create_raw(&pair->sender, &pair->receiver, &type, pair->capacity, &pair->options)
                 : tr_channel_create_unbounded_raw(&pair->sender, &pair->receiver, &type, &pair->options);
    same(rc, 0);
    if (pair->queue)
        pair->sender.tri_channel = pair->receiver.tri_channel = queue.tri_channel;
}

/* ---- the model ------------------------------------------------------------------------------------------------ */

static unsigned length(void)
{
    return pair->tail - pair->head;
}

static bool has_room(unsigned count, uint64_t weight)
{
    return (!pair->bounded || length() + pair->reserved + count <= pair->capacity) &&
           (weight == 0 || pair->bytes + weight <= pair->options.byte_limit);
}

static void model_bury(int64_t number)
{
    pair->model_drop_sum += number;
}

static void model_put(int64_t number)
{
    pair->numbers[pair->tail++] = number;
    pair->bytes += weight_of(number);
}

static int64_t model_get(void)
{
    int64_t number = pair->numbers[pair->head++];
    pair->bytes -= weight_of(number);
    return number;
}

static bool model_drop_oldest(void)
{
    if (length() == 0)
        return false;
    model_bury(model_get());
    pair->dropped_oldest++;
    return true;
}

static int model_send(int64_t number)
{
    uint64_t weight = weight_of(number);
    if (pair->options.byte_limit && weight > pair->options.byte_limit)
        return -EINVAL;
    if (pair->closed)
        return -EPIPE;
    while (!has_room(1, weight)) {
        if (pair->options.overflow == TR_OVERFLOW_WAIT)
            return -EAGAIN;
        if (pair->options.overflow == TR_OVERFLOW_DROP_NEWEST) {
            pair->dropped_newest++;
            model_bury(number);
            return 0;
        }
        if (pair->options.overflow == TR_OVERFLOW_DROP_OLDEST && model_drop_oldest())
            continue;
        pair->rejected++;
        return -ENOBUFS;
    }
    model_put(number);
    return 0;
}

static int64_t model_receive(void)
{
    if (length() > 0)
        return model_get();
    return (pair->closed || pair->senders == 0) && pair->reserved == 0 ? -EPIPE : -EAGAIN;
}

static int model_reserve(unsigned count)
{
    if (count == 0)
        return -EINVAL;
    if (!pair->bounded || pair->options.byte_limit)
        return -ENOTSUP;
    if (count > pair->capacity)
        return -EINVAL;
    if (pair->closed)
        return -EPIPE;
    while (!has_room(count, 0)) {
        if (pair->options.overflow == TR_OVERFLOW_WAIT)
            return -EAGAIN;
        if (pair->options.overflow != TR_OVERFLOW_DROP_OLDEST || pair->reserved + count > pair->capacity)
            return -ENOBUFS;
        model_drop_oldest();
    }
    pair->reserved += count;
    return 0;
}

/* ---- one operation of both ------------------------------------------------------------------------------------ */

/* Also what is done where nothing else can be: so that each turn is an operation. */
static void op_look(void)
{
    struct tr_channel_info info;
    tr_channel_info_raw(pair->sender.tri_channel, &info);
    same(tr_channel_length_raw(pair->sender.tri_channel), length());
    same(info.length, length());
    same(info.reserved, pair->reserved);
    same(info.free, pair->bounded ? pair->capacity - length() - pair->reserved : UINT32_MAX);
    same((int64_t)info.bytes, (int64_t)pair->bytes);
    same((int64_t)info.senders, pair->senders);
    same((int64_t)info.weak_senders, pair->weak_senders);
    same(info.closed, pair->closed);
    same(tr_channel_is_closed_raw(pair->sender), pair->closed);
    same((int64_t)info.rejected, (int64_t)pair->rejected);
    same((int64_t)info.dropped_newest, (int64_t)pair->dropped_newest);
    same((int64_t)info.dropped_oldest, (int64_t)pair->dropped_oldest);
    same((int64_t)pair->drops, (int64_t)(pair->dropped_newest + pair->dropped_oldest));
    same((int64_t)pair->letters, (int64_t)(pair->drops + pair->rejected));
    same(pair->drop_sum, pair->model_drop_sum);
}

static void op_send(void)
{
    int64_t number = (int64_t)chance(1000);
    same(tr_channel_try_send_raw(pair->sender, &type, &number), model_send(number));
}

/* The suspending form, which must not wait: there is room, or its time has come. */
static void op_send_now(void)
{
    int64_t number = (int64_t)chance(1000);
    int expected = model_send(number);
    same(tr_channel_send_raw(pair->sender, &type, &number, TR_NOW), expected == -EAGAIN ? -ETIMEDOUT : expected);
}

static void op_receive(void)
{
    int64_t number = -1;
    bool waits = chance(2);
    int rc = waits && pair->queue
                 ? tr_queue_receive_raw((struct tr_queue){ pair->sender.tri_channel }, 8, &number, TR_NOW)
             : waits ? tr_channel_receive_raw(pair->receiver, 8, &number, TR_NOW)
                     : tr_channel_try_receive_raw(pair->receiver, 8, &number);
    int64_t expected = model_receive();
    same(rc == 0 ? number : rc, expected == -EAGAIN && waits ? -ETIMEDOUT : expected);
}

static void op_receive_many(void)
{
    int64_t numbers[4];
    unsigned count = (unsigned)(1 + chance(4)), taken = 0;
    int rc = tr_channel_receive_many_raw(pair->receiver, 8, numbers, count, TR_NOW);
    int64_t expected = 0;
    for (; taken < count && (expected = model_receive()) >= 0; taken++)
        same((int)taken < rc ? numbers[taken] : -7, expected);
    same(rc, taken > 0 ? taken : expected == -EAGAIN ? -ETIMEDOUT : expected);
}

static void op_reserve(void)
{
    unsigned i = (unsigned)chance(PERMITS), count = (unsigned)chance(8);
    if (pair->queue || pair->granted[i] > 0) {
        op_look();
        return;
    }
    int expected = model_reserve(count);
    same(tr_channel_try_reserve_raw(pair->sender, count, &pair->permits[i]), expected);
    pair->granted[i] = expected == 0 ? count : 0;
    same(pair->permits[i].tri_count, pair->granted[i]);
}

static void op_permit(void)
{
    unsigned i = (unsigned)chance(PERMITS);
    int64_t number = (int64_t)chance(1000);
    if (chance(3) == 0) {
        tr_channel_permit_return_raw(&pair->permits[i]);
        pair->reserved -= pair->granted[i];
        pair->granted[i] = 0;
        return;
    }
    int rc = tr_channel_permit_send_raw(&pair->permits[i], &type, &number);
    if (pair->granted[i] == 0) {
        same(rc, -EINVAL);
        return;
    }
    pair->granted[i]--;
    pair->reserved--;
    same(rc, pair->gone ? -EPIPE : 0);
    if (!pair->gone)
        model_put(number);
}

static void op_ends(void)
{
    struct tr_channel_sender again;
    uint64_t what = chance(5);
    if ((what == 1 && pair->senders == 1) || (what > 2 && pair->weak_senders == 0)) {
        op_look();
        return;
    }
    switch (what) {
    case 0:
        tr_channel_sender_open_raw(pair->sender);
        pair->senders++;
        break;
    case 1:
        tr_channel_sender_close_raw(pair->sender);
        pair->senders--;
        break;
    case 2:
        pair->weak = tr_channel_sender_weaken_raw(pair->sender);
        pair->weak_senders++;
        break;
    case 3:
        same(tr_channel_weak_sender_open_raw(pair->weak, &again), 0);
        pair->senders++;
        break;
    default:
        tr_channel_weak_sender_close_raw(pair->weak);
        pair->weak_senders--;
    }
}

static void op_close(void)
{
    if (pair->queue)
        tr_queue_close_raw((struct tr_queue){ pair->sender.tri_channel });
    else
        tr_channel_receiver_close_raw(pair->receiver);
    pair->closed = true;
}

/* ---- the end of a channel: in any order of its parts ---------------------------------------------------------- */

static void end_receiver(void)
{
    while (!pair->gone && length() > 0) {
        model_bury(model_get());
        pair->undelivered++;
    }
    if (!pair->queue && !pair->gone)
        tr_channel_receiver_destroy_raw(pair->receiver);
    pair->closed = pair->gone = true;
}

static void drain(void)
{
    int64_t number;
    for (;;) {
        int rc = tr_channel_try_receive_raw(pair->receiver, 8, &number);
        int64_t expected = model_receive();
        same(rc == 0 ? number : rc, expected);
        if (expected < 0)
            break;
    }
}

static void end_senders(void)
{
    while (pair->senders > 0) {
        pair->senders--;
        if (pair->queue && pair->senders == 0)
            end_receiver();
        tr_channel_sender_close_raw(pair->sender);
    }
}

static void end_queue(void)
{
    while (pair->weak_senders-- > 0)
        tr_channel_weak_sender_close_raw(pair->weak);
    if (chance(2))
        drain();
    while (pair->senders-- > 0) {
        if (pair->senders == 0)
            end_receiver();
        tr_queue_unref_raw((struct tr_queue){ pair->sender.tri_channel });
    }
}

static void end_channel(void)
{
    struct tr_channel_sender again;
    if (chance(2))
        op_close();
    if (chance(2))
        end_senders();
    if (chance(2))
        drain();
    if (chance(2))
        end_receiver();
    for (int i = 0; i < 20; i++)
        op_permit();
    if (!pair->gone && chance(2))
        drain();
    for (unsigned i = 0; i < PERMITS; i++) {
        tr_channel_permit_return_raw(&pair->permits[i]);
        pair->reserved -= pair->granted[i];
    }
    if (pair->weak_senders > 0)
        same(tr_channel_weak_sender_open_raw(pair->weak, &again), pair->senders > 0 ? 0 : -EPIPE);
    if (pair->weak_senders > 0 && pair->senders > 0)
        pair->senders++;
    end_senders();
    if (!pair->gone)
        drain();
    while (pair->weak_senders-- > 0)
        tr_channel_weak_sender_close_raw(pair->weak);
    end_receiver();
}

static void live(void)
{
    static void (*const operations[])(void) = { op_send,    op_send,    op_send_now,     op_receive,
                                                op_receive, op_receive, op_receive_many, op_reserve,
                                                op_permit,  op_permit,  op_ends,         op_look };
    begin();
    for (unsigned i = 0; i < LIFE; i++) {
        operations[chance(sizeof operations / sizeof *operations)]();
        if (i > LIFE - 20 && chance(20) == 0)
            op_close();
    }
    done[pair->queue] += LIFE;
    if (pair->queue)
        end_queue();
    else
        end_channel();
    same(pair->drop_sum, pair->model_drop_sum);
    same((int64_t)pair->drops, (int64_t)(pair->dropped_newest + pair->dropped_oldest + pair->undelivered));
}

static void run(uint64_t seed)
{
    const char *given = getenv("TR_SEED");
    pair = test_new(sizeof *pair);
    pair->seed = given ? strtoull(given, NULL, 10) : seed;
    while (done[0] < OPERATIONS * (unsigned long)test_stress() || done[1] < done[0])
        live();
    printf("channel: %lu operations match the model\nqueue: %lu operations match the model\n", done[0], done[1]);
}

START_TEST(plain_thread)
{
    run(0x9e3779b97f4a7c15);
}
END_TEST

TASK_TEST_ON(1, task_whose_worker_owns_the_lock)
{
    run(0xbf58476d1ce4e5b9);
}

int main(void)
{
    return test_main("channel_random", TESTS(plain_thread, task_whose_worker_owns_the_lock));
}
