/* SPDX-License-Identifier: MIT */
/*
 * stress_history_channel.c: linearizability of channels, queues and oneshots, by recorded histories (history.h).
 *
 * That nobody overtakes is not linearizable: a send may fail for others who wait, whatever room there is. So it always may here;
 * test_channel.c looks at it where nobody waits. A receive that finds nothing must have found nothing.
 *
 *     stress_history_channel [NAME...]      TR_STRESS=50 makes it a million concurrent histories each
 */
#include "history.h"
#include "support.h"

enum { ROUNDS = 20000, CAPACITY = 2, MOST_NUMBERS = HISTORY_MOST + 1 };

static const struct tr_type type = { "number", sizeof(int64_t), sizeof(int64_t) };

static tr_time some_deadline(int64_t argument)
{
    return argument % 4 == 0 ? tr_after(50 * TR_MICROSECOND) : argument % 4 == 1 ? tr_after(1) : TR_NOW;
}

/* ---- channel and queue: a list, and the permits of each thread ---- */

enum { SEND, TRY_SEND, RESERVE, PERMIT_SEND, PERMIT_RETURN, RECEIVE, TRY_RECEIVE, CLOSE };
static const char *const names[] = { "send",          "try_send", "try_reserve", "permit_send",
                                     "permit_return", "receive",  "try_receive", "close" };

struct list_state {
    int64_t numbers[MOST_NUMBERS];
    uint32_t head, count, granted[HISTORY_THREADS];
    bool closed;
};

struct lane {
    struct tr_channel_sender sender;
    struct tr_channel_receiver receiver;
    struct tr_queue queue;
    struct tr_channel_permit permits[HISTORY_THREADS];
};

static void *make_channel(void)
{
    static struct lane lane;
    lane = (struct lane){ 0 };
    expect_int(tr_channel_create_raw(&lane.sender, &lane.receiver, &type, CAPACITY, NULL), 0);
    return &lane;
}

static void destroy_channel(void *object)
{
    struct lane *lane = object;
    for (unsigned i = 0; i < HISTORY_THREADS; i++)
        tr_channel_permit_return_raw(&lane->permits[i]);
    tr_channel_sender_close_raw(lane->sender);
    tr_channel_receiver_destroy_raw(lane->receiver);
}

/* The first thread receives, the others send. */
static void choose_channel(struct history_op *op, uint64_t random)
{
    static const uint8_t sends[] = { SEND, SEND, TRY_SEND, RESERVE, PERMIT_SEND, PERMIT_SEND, PERMIT_RETURN, SEND };
    static const uint8_t receives[] = { RECEIVE, RECEIVE, TRY_RECEIVE, RECEIVE };
    op->kind = op->thread > 0 ? sends[random % 8] : random % 23 == 0 ? CLOSE : receives[random / 32 % 4];
    op->argument = (int64_t)(random / 512 % 1000);
}

static void perform_channel(void *object, struct history_op *op)
{
    struct lane *lane = object;
    struct tr_channel_permit *permit = &lane->permits[op->thread];
    switch (op->kind) {
    case SEND:
        op->result = tr_channel_send_raw(lane->sender, &type, &op->argument, some_deadline(op->argument));
        break;
    case TRY_SEND:
        op->result = tr_channel_try_send_raw(lane->sender, &type, &op->argument);
        break;
    case RESERVE:
        op->result = permit->tri_count > 0 ? -EINVAL : tr_channel_try_reserve_raw(lane->sender, 1, permit);
        break;
    case PERMIT_SEND:
        op->result = tr_channel_permit_send_raw(permit, &type, &op->argument);
        break;
    case PERMIT_RETURN:
        tr_channel_permit_return_raw(permit);
        break;
    case RECEIVE:
        op->result = tr_channel_receive_raw(lane->receiver, sizeof op->value, &op->value, some_deadline(op->argument));
        break;
    case TRY_RECEIVE:
        op->result = tr_channel_try_receive_raw(lane->receiver, sizeof op->value, &op->value);
        break;
    case CLOSE:
        tr_channel_receiver_close_raw(lane->receiver);
        break;
    }
}

static uint32_t reserved_in(const struct list_state *state)
{
    uint32_t reserved = 0;
    for (unsigned i = 0; i < HISTORY_THREADS; i++)
        reserved += state->granted[i];
    return reserved;
}

static bool put(struct list_state *state, int64_t number)
{
    state->numbers[state->head + state->count++] = number;
    return state->count + reserved_in(state) <= CAPACITY;
}

static bool step_send(struct list_state *state, const struct history_op *op)
{
    if (op->result == -EPIPE)
        return state->closed;
    if (op->result == (op->kind == SEND ? -ETIMEDOUT : -EAGAIN))
        return !state->closed;
    if (op->result != 0 || state->closed)
        return false;
    if (op->kind != RESERVE)
        return put(state, op->argument);
    state->granted[op->thread] = 1;
    return state->count + reserved_in(state) <= CAPACITY;
}

static bool step_receive(struct list_state *state, const struct history_op *op)
{
    bool ended = state->closed && state->count == 0 && reserved_in(state) == 0;
    if (op->result == -EPIPE)
        return ended;
    if (op->result == (op->kind == RECEIVE ? -ETIMEDOUT : -EAGAIN))
        return state->count == 0 && !ended;
    if (op->result != 0 || state->count == 0)
        return false;
    state->count--;
    return state->numbers[state->head++] == op->value;
}

static bool step_list(void *of, const struct history_op *op)
{
    struct list_state *state = of;
    uint32_t *granted = &state->granted[op->thread];
    switch (op->kind) {
    case RESERVE:
        if (*granted > 0)
            return op->result == -EINVAL;
        return step_send(state, op);
    case SEND:
    case TRY_SEND:
        return step_send(state, op);
    case PERMIT_SEND:
        if (*granted == 0)
            return op->result == -EINVAL;
        *granted = 0;
        return op->result == 0 && put(state, op->argument);
    case PERMIT_RETURN:
        *granted = 0;
        return true;
    case RECEIVE:
    case TRY_RECEIVE:
        return step_receive(state, op);
    case CLOSE:
        state->closed = true;
        return true;
    }
    return false;
}

static void *make_queue(void)
{
    static struct lane lane;
    lane = (struct lane){ 0 };
    expect_int(tr_queue_create_raw(&lane.queue, &type, CAPACITY, NULL), 0);
    return &lane;
}

static void destroy_queue(void *object)
{
    struct lane *lane = object;
    tr_queue_unref_raw(lane->queue);
}

/* Everybody sends and receives. */
static void choose_queue(struct history_op *op, uint64_t random)
{
    static const uint8_t kinds[] = { SEND, SEND, TRY_SEND, SEND, RECEIVE, RECEIVE, TRY_RECEIVE, RECEIVE };
    op->kind = random % 41 == 0 ? CLOSE : kinds[random / 64 % 8];
    op->argument = (int64_t)(random / 512 % 1000);
}

static void perform_queue(void *object, struct history_op *op)
{
    struct lane *lane = object;
    switch (op->kind) {
    case SEND:
        op->result = tr_queue_send_raw(lane->queue, &type, &op->argument, some_deadline(op->argument));
        break;
    case TRY_SEND:
        op->result = tr_queue_try_send_raw(lane->queue, &type, &op->argument);
        break;
    case RECEIVE:
        op->result = tr_queue_receive_raw(lane->queue, sizeof op->value, &op->value, some_deadline(op->argument));
        break;
    case TRY_RECEIVE:
        op->result = tr_queue_try_receive_raw(lane->queue, sizeof op->value, &op->value);
        break;
    case CLOSE:
        tr_queue_close_raw(lane->queue);
        break;
    }
}

/* ---- oneshot: one value ---- */

enum { ONE_SEND, ONE_DROP, ONE_RECEIVE, ONE_TRY, ONE_CLOSE, ONE_IS_CLOSED, ONE_AWAIT };
static const char *const oneshot_names[] = { "send",  "drop",      "receive",    "try_receive",
                                             "close", "is_closed", "await_close" };

TR_ONESHOT_TYPE(number_oneshot, int64_t);

struct oneshot_state {
    int64_t value;
    bool full, sent, taken, closed;
};

static void *make_oneshot(void)
{
    static struct number_oneshot oneshot;
    tr_oneshot_init(&oneshot);
    return &oneshot;
}

static void destroy_oneshot(void *object)
{
    struct number_oneshot *oneshot = object;
    tr_oneshot_drop(oneshot);
    tr_oneshot_leave(oneshot);
}

/* The first thread receives, the second sends, the third may do either's lesser parts. */
static void choose_oneshot(struct history_op *op, uint64_t random)
{
    static const uint8_t kinds[HISTORY_THREADS][4] = { { ONE_RECEIVE, ONE_RECEIVE, ONE_RECEIVE, ONE_TRY },
                                                       { ONE_SEND, ONE_AWAIT, ONE_AWAIT, ONE_IS_CLOSED },
                                                       { ONE_CLOSE, ONE_AWAIT, ONE_DROP, ONE_IS_CLOSED } };
    op->kind = kinds[op->thread][random / 64 % 4];
    op->argument = (int64_t)(random / 512 % 1000);
}

static void perform_oneshot(void *object, struct history_op *op)
{
    struct number_oneshot *oneshot = object;
    switch (op->kind) {
    case ONE_SEND:
        op->result = tr_oneshot_send(oneshot, &op->argument);
        break;
    case ONE_DROP:
        tr_oneshot_drop(oneshot);
        break;
    case ONE_RECEIVE:
        op->result = tr_oneshot_receive(oneshot, &op->value, some_deadline(op->argument));
        break;
    case ONE_TRY:
        op->result = tr_oneshot_try_receive(oneshot, &op->value);
        break;
    case ONE_CLOSE:
        tr_oneshot_close(oneshot);
        break;
    case ONE_IS_CLOSED:
        op->result = tr_oneshot_is_closed(oneshot);
        break;
    case ONE_AWAIT:
        op->result = tr_oneshot_await_close(oneshot, some_deadline(op->argument));
        break;
    }
}

static bool step_one_receive(struct oneshot_state *state, const struct history_op *op)
{
    if (op->result == (op->kind == ONE_TRY ? -EAGAIN : -ETIMEDOUT))
        return !state->full && !state->sent && !state->closed;
    if (op->result == -EPIPE)
        return !state->full && (state->sent || state->closed || state->taken);
    bool right = op->result == 0 && state->full && state->value == op->value;
    state->full = false;
    state->taken = true;
    return right;
}

static bool step_oneshot(void *of, const struct history_op *op)
{
    struct oneshot_state *state = of;
    bool sent = state->sent;
    switch (op->kind) {
    case ONE_SEND:
        state->sent = true;
        if (sent || state->closed)
            return op->result == (sent ? -EINVAL : -EPIPE);
        state->full = true;
        state->value = op->argument;
        return op->result == 0;
    case ONE_DROP:
        state->sent = true;
        return true;
    case ONE_RECEIVE:
    case ONE_TRY:
        return step_one_receive(state, op);
    case ONE_CLOSE:
        state->closed = true;
        return true;
    case ONE_IS_CLOSED:
        return op->result == state->closed;
    case ONE_AWAIT:
        return op->result == (state->closed ? 0 : -ETIMEDOUT);
    }
    return false;
}

/* ---- the rows ---- */

static const struct history_spec specs[] = {
    { "channel", make_channel, destroy_channel, choose_channel, perform_channel, sizeof(struct list_state), step_list,
      names },
    { "queue", make_queue, destroy_queue, choose_queue, perform_queue, sizeof(struct list_state), step_list, names },
    { "oneshot", make_oneshot, destroy_oneshot, choose_oneshot, perform_oneshot, sizeof(struct oneshot_state),
      step_oneshot, oneshot_names },
};

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return argc < 2;
}

/* The models must be able to say no: out of order, out of nothing, beyond the end. */
static void check_the_models(void)
{
    struct history_op ops[] = { { .kind = SEND, .argument = 1, .begin = 0, .end = 1 },
                                { .kind = SEND, .argument = 2, .begin = 2, .end = 3 },
                                { .kind = RECEIVE, .value = 1, .begin = 4, .end = 5 },
                                { .kind = TRY_RECEIVE, .result = -EAGAIN, .begin = 6, .end = 7 } };
    expect(history_explained(&specs[0], ops, 3));
    expect(!history_explained(&specs[0], ops, 4));
    ops[2].value = 2;
    expect(!history_explained(&specs[0], ops, 3));
    ops[1].begin = 0;
    expect(history_explained(&specs[0], ops, 3));
}

int main(int argc, char **argv)
{
    if (!test_backend_here("stress_history_channel"))
        return EXIT_SKIPPED;
    check_the_models();
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        if (!is_wanted(specs[i].name, argc, argv))
            continue;
        test_census_begin();
        history_run(&specs[i], ROUNDS * test_stress());
        test_census_end();
    }
    return EXIT_SUCCESS;
}
