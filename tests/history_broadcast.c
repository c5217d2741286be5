/* SPDX-License-Identifier: MIT */
/*
 * history_broadcast.c: the sequential models of broadcast and watch for stress_history.c. Each thread has a receiver and a
 * sender of its own; with its sender closed it sends no more.
 */
#include "history.h"
#include "support.h"

extern const struct history_spec history_broadcast, history_watch;

enum { CLOSED_BEFORE = 1000 }; /* the result of a send without a sender */

static tr_time some_deadline(int64_t argument)
{
    return argument % 3 == 0 ? tr_after(30 * TR_MICROSECOND) : argument % 3 == 1 ? tr_after(1) : TR_NOW;
}

/* ---- broadcast: values in a row, the last two of which are kept ------------------------------------------------- */

enum { SEND, TRY_RECEIVE, RECEIVE, LENGTH, CLOSE };
static const char *const broadcast_names[] = { "send", "try_receive", "receive", "length", "close" };

enum { KEPT = 2 };

struct broadcast_object {
    struct tr_broadcast feed;
    struct tr_broadcast_receiver receiver[HISTORY_THREADS];
    bool closed[HISTORY_THREADS];
};

struct broadcast_state {
    int64_t values[HISTORY_MOST], sent, next[HISTORY_THREADS];
    bool closed[HISTORY_THREADS];
};

static void *make_broadcast(void)
{
    static struct broadcast_object object;
    memset(&object, 0, sizeof object);
    expect_int(tr_broadcast_create_raw(&object.feed, sizeof(int64_t), KEPT, NULL), 0);
    for (int i = 0; i < HISTORY_THREADS; i++) {
        expect_int(tr_broadcast_subscribe_raw(object.feed, &object.receiver[i]), 0);
        if (i > 0)
            tr_broadcast_open_raw(object.feed);
    }
    return &object;
}

static void destroy_broadcast(void *of)
{
    struct broadcast_object *object = of;
    for (int i = 0; i < HISTORY_THREADS; i++) {
        tr_broadcast_unsubscribe_raw(&object->receiver[i]);
        if (!object->closed[i])
            tr_broadcast_close_raw(object->feed);
    }
}

static void choose_broadcast(struct history_op *op, uint64_t random)
{
    static const uint8_t kinds[] = { SEND, SEND, SEND, SEND, TRY_RECEIVE, TRY_RECEIVE, RECEIVE, LENGTH };
    op->kind = random % 16 == 0 ? CLOSE : kinds[random / 64 % 8];
    op->argument = (int64_t)(random / 512 % 10000);
}

static void perform_broadcast(void *of, struct history_op *op)
{
    struct broadcast_object *object = of;
    struct tr_broadcast_receiver *receiver = &object->receiver[op->thread];
    op->value = 0;
    op->result = CLOSED_BEFORE;
    switch (op->kind) {
    case SEND:
        if (!object->closed[op->thread])
            op->result = tr_broadcast_send_raw(object->feed, sizeof op->argument, &op->argument);
        break;
    case TRY_RECEIVE:
        op->result = tr_broadcast_try_receive_raw(receiver, sizeof op->value, &op->value);
        break;
    case RECEIVE:
        op->result = tr_broadcast_receive_raw(receiver, sizeof op->value, &op->value, some_deadline(op->argument));
        break;
    case LENGTH:
        op->result = (int64_t)tr_broadcast_length_raw(receiver);
        break;
    case CLOSE:
        if (!object->closed[op->thread])
            tr_broadcast_close_raw(object->feed);
        object->closed[op->thread] = true;
        break;
    }
}

static bool all_closed(const bool closed[HISTORY_THREADS])
{
    return closed[0] && closed[1] && closed[2];
}

static bool step_receive(struct broadcast_state *state, const struct history_op *op)
{
    int64_t *next = &state->next[op->thread], oldest = state->sent > KEPT ? state->sent - KEPT : 0;
    if (*next == state->sent) {
        int nothing = op->kind == RECEIVE ? -ETIMEDOUT : -EAGAIN;
        return op->result == (all_closed(state->closed) ? -EPIPE : nothing);
    }
    int64_t missed = *next < oldest ? oldest - *next : 0, at = *next + missed;
    *next = at + 1;
    return op->result == missed && op->value == state->values[at];
}

static bool step_broadcast(void *of, const struct history_op *op)
{
    struct broadcast_state *state = of;
    int64_t waits = state->sent - state->next[op->thread];
    switch (op->kind) {
    case SEND:
        if (state->closed[op->thread])
            return op->result == CLOSED_BEFORE;
        state->values[state->sent++] = op->argument;
        return op->result == HISTORY_THREADS;
    case TRY_RECEIVE:
    case RECEIVE:
        return step_receive(state, op);
    case LENGTH:
        return op->result == (waits < KEPT ? waits : KEPT);
    case CLOSE:
        state->closed[op->thread] = true;
        return true;
    }
    return false;
}

const struct history_spec history_broadcast = {
    .name = "broadcast",
    .make = make_broadcast,
    .destroy = destroy_broadcast,
    .choose = choose_broadcast,
    .perform = perform_broadcast,
    .state_bytes = sizeof(struct broadcast_state),
    .step = step_broadcast,
    .names = broadcast_names,
};

/* ---- watch: a value, and who has seen it ------------------------------------------------------------------------- */

enum { STORE, REPLACE, ADD, READ, PEEK, CHANGED, NEXT, HAS_CHANGED, MARK, CLOSE_WATCH };
static const char *const watch_names[] = { "send",    "replace", "modify",      "read",         "peek",
                                           "changed", "next",    "has_changed", "mark_changed", "close" };

struct watch_object {
    struct tr_watch watch;
    struct tr_watch_receiver receiver[HISTORY_THREADS];
    bool closed[HISTORY_THREADS];
};

struct watch_state {
    int64_t value;
    bool seen_not[HISTORY_THREADS], closed[HISTORY_THREADS];
};

static void *make_watch(void)
{
    static struct watch_object object;
    memset(&object, 0, sizeof object);
    expect_int(tr_watch_create_raw(&object.watch, sizeof(int64_t), &(int64_t){ 0 }, NULL), 0);
    for (int i = 0; i < HISTORY_THREADS; i++) {
        expect_int(tr_watch_subscribe_raw(object.watch, &object.receiver[i]), 0);
        if (i > 0)
            tr_watch_open_raw(object.watch);
    }
    return &object;
}

static void destroy_watch(void *of)
{
    struct watch_object *object = of;
    for (int i = 0; i < HISTORY_THREADS; i++) {
        tr_watch_unsubscribe_raw(&object->receiver[i]);
        if (!object->closed[i])
            tr_watch_close_raw(object->watch);
    }
}

static void choose_watch(struct history_op *op, uint64_t random)
{
    static const uint8_t kinds[] = { STORE, REPLACE, ADD, READ, PEEK, CHANGED, CHANGED, NEXT, NEXT, HAS_CHANGED };
    op->kind = random % 16 == 0 ? CLOSE_WATCH : random % 16 == 1 ? MARK : kinds[random / 64 % 10];
    op->argument = 1 + (int64_t)(random / 1024 % 10000);
}

static bool add(void *value, void *argument)
{
    struct history_op *op = argument;
    op->value = *(int64_t *)value += op->argument;
    return op->argument % 4 != 0;
}

static void change_watch(struct watch_object *object, struct history_op *op)
{
    if (object->closed[op->thread])
        op->result = CLOSED_BEFORE;
    else if (op->kind == STORE)
        op->result = tr_watch_send_raw(object->watch, sizeof op->argument, &op->argument);
    else if (op->kind == REPLACE)
        op->result = tr_watch_replace_raw(object->watch, sizeof op->argument, &op->argument, &op->value);
    else
        op->result = tr_watch_modify_raw(object->watch, add, op);
}

static void perform_watch(void *of, struct history_op *op)
{
    struct watch_object *object = of;
    struct tr_watch_receiver *receiver = &object->receiver[op->thread];
    op->value = 0;
    op->result = 0;
    switch (op->kind) {
    case STORE:
    case REPLACE:
    case ADD:
        change_watch(object, op);
        break;
    case READ:
        op->result = tr_watch_read_raw(receiver, sizeof op->value, &op->value);
        break;
    case PEEK:
        op->result = tr_watch_peek_raw(receiver, sizeof op->value, &op->value);
        break;
    case CHANGED:
        op->result = tr_watch_changed_raw(receiver, some_deadline(op->argument));
        break;
    case NEXT:
        op->result = tr_watch_next_raw(receiver, sizeof op->value, &op->value, some_deadline(op->argument));
        break;
    case HAS_CHANGED:
        op->result = tr_watch_has_changed_raw(receiver);
        break;
    case MARK:
        tr_watch_mark_changed_raw(receiver);
        break;
    case CLOSE_WATCH:
        if (!object->closed[op->thread])
            tr_watch_close_raw(object->watch);
        object->closed[op->thread] = true;
        break;
    }
}

static bool step_change(struct watch_state *state, const struct history_op *op)
{
    int64_t old = state->value;
    if (state->closed[op->thread])
        return op->result == CLOSED_BEFORE;
    bool stored = op->kind != ADD || op->argument % 4 != 0;
    if (stored) {
        state->value = op->kind == ADD ? old + op->argument : op->argument;
        memset(state->seen_not, true, sizeof state->seen_not);
    }
    if (op->kind == ADD)
        return op->result == stored && op->value == old + op->argument;
    return op->result == 0 && (op->kind != REPLACE || op->value == old);
}

static bool step_wait(struct watch_state *state, const struct history_op *op)
{
    bool *seen_not = &state->seen_not[op->thread];
    if (!*seen_not)
        return op->result == (all_closed(state->closed) ? -EPIPE : -ETIMEDOUT);
    *seen_not = false;
    return op->result == 0 && (op->kind != NEXT || op->value == state->value);
}

static bool step_watch(void *of, const struct history_op *op)
{
    struct watch_state *state = of;
    switch (op->kind) {
    case STORE:
    case REPLACE:
    case ADD:
        return step_change(state, op);
    case READ:
        state->seen_not[op->thread] = false;
        return op->result == 0 && op->value == state->value;
    case PEEK:
        return op->result == 0 && op->value == state->value;
    case CHANGED:
    case NEXT:
        return step_wait(state, op);
    case HAS_CHANGED:
        return op->result == (state->seen_not[op->thread] ? 1 : all_closed(state->closed) ? -EPIPE : 0);
    case MARK:
        state->seen_not[op->thread] = true;
        return true;
    case CLOSE_WATCH:
        state->closed[op->thread] = true;
        return true;
    }
    return false;
}

const struct history_spec history_watch = {
    .name = "watch",
    .make = make_watch,
    .destroy = destroy_watch,
    .choose = choose_watch,
    .perform = perform_watch,
    .state_bytes = sizeof(struct watch_state),
    .step = step_watch,
    .names = watch_names,
};
