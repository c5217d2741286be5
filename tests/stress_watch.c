/* SPDX-License-Identifier: MIT */
/*
 * stress_watch.c: the watch under load, and against a sequential model.
 *
 * random: one thread, random operations on a watch, its senders and receivers, each result compared with that of a few integers.
 * load: senders in two runtimes and on threads, who send, replace and add up in place; receivers who wait, give up, select, wait
 * for a value, or only look. Oracles: what is read is of one piece; a receiver never sees a step back; no step of those who
 * add up is lost; when all senders have gone, every receiver has seen the last value.
 */
#include "tests/support.h"

#include <pthread.h>

/* ---- against the model --------------------------------------------------------------------------------------------- */

enum { MOST = 6, OPERATIONS = 1000000 };

TR_WATCH_TYPE(number_watch, uint64_t);
TR_WATCH_RECEIVER_TYPE(number_observer, uint64_t);

struct model {
    struct number_watch watch;
    struct number_observer receiver[MOST];
    bool used[MOST];
    bool seen[MOST]; /* has seen the latest */
    uint64_t value;
    uint32_t senders, receivers;
};

static void begin_model(struct model *model, uint64_t value)
{
    *model = (struct model){ .senders = 1, .value = value };
    expect_int(tr_watch_create(&model->watch, NULL, &value), 0);
}

static void end_model(struct model *model)
{
    for (int i = 0; i < MOST; i++) {
        if (model->used[i])
            tr_watch_unsubscribe(&model->receiver[i]);
    }
    while (model->senders-- > 0)
        tr_watch_close(model->watch);
}

static void note_change(struct model *model, uint64_t value)
{
    model->value = value;
    memset(model->seen, 0, sizeof model->seen);
}

static bool add_if_even(void *value, void *argument)
{
    uint64_t *number = value;
    *number += *(uint64_t *)argument;
    return *number % 2 == 0;
}

static void change_model(struct model *model, uint64_t random)
{
    uint64_t value = random, old = 0;
    switch (random % 4) {
    case 0:
        expect_int(tr_watch_replace(model->watch, &old, &value), 0);
        expect(old == model->value);
        note_change(model, value);
        break;
    case 1:
        value = model->value + random;
        if (tr_watch_modify(model->watch, add_if_even, &random))
            note_change(model, value);
        expect((model->value == value) == (value % 2 == 0));
        break;
    default:
        expect_int(tr_watch_send(model->watch, &value), model->receivers > 0 ? 0 : -ESRCH);
        if (model->receivers > 0)
            note_change(model, value);
    }
    expect_int(tr_watch_current(model->watch, &value), 0);
    expect(value == model->value);
}

/* Never takes a value that is no number of the model's. */
static bool is_argument(const void *value, void *argument)
{
    return *(const uint64_t *)value == *(uint64_t *)argument;
}

static void look_model(struct model *model, int i, uint64_t random)
{
    struct number_observer *receiver = &model->receiver[i];
    uint64_t value = 0;
    int closed = model->senders == 0 ? -EPIPE : -ETIMEDOUT;
    switch (random % 8) {
    case 0:
        expect_int(tr_watch_changed(receiver, TR_NOW), model->seen[i] ? closed : 0);
        model->seen[i] = true;
        break;
    case 1:
        expect_int(tr_watch_has_changed(receiver), !model->seen[i] ? 1 : closed == -EPIPE ? -EPIPE : 0);
        break;
    case 2:
        expect_int(tr_watch_next(receiver, &value, TR_NOW), model->seen[i] ? closed : 0);
        expect(model->seen[i] || value == model->value);
        model->seen[i] = true;
        break;
    case 3:
        expect_int(tr_watch_read(receiver, &value), 0);
        expect(value == model->value);
        model->seen[i] = true;
        break;
    case 4:
        expect_int(tr_watch_peek(receiver, &value), 0);
        expect(value == model->value);
        break;
    case 5:
        tr_watch_mark_changed(receiver);
        model->seen[i] = false;
        break;
    case 6:
        tr_watch_mark_unchanged(receiver);
        model->seen[i] = true;
        break;
    default:
        random = random % 16 == 7 ? model->value : model->value + 1;
        expect_int(tr_watch_wait_for(receiver, is_argument, &random, &value, TR_NOW),
                   random == model->value ? 0 : closed);
        model->seen[i] = true;
    }
}

static bool join_or_leave(struct model *model, int i, uint64_t random)
{
    int other = (int)(random % MOST);
    if (model->used[i]) {
        tr_watch_unsubscribe(&model->receiver[i]);
        model->receivers--;
    } else if (model->used[other]) {
        expect_int(tr_watch_clone(&model->receiver[other], &model->receiver[i]), 0);
        model->seen[i] = model->seen[other];
        model->receivers++;
    } else if (model->senders > 0) {
        expect_int(tr_watch_subscribe(model->watch, &model->receiver[i]), 0);
        model->seen[i] = true;
        model->receivers++;
    } else {
        return false;
    }
    model->used[i] = !model->used[i];
    return true;
}

/* False: there was nothing to be done. */
static bool operate_model(struct model *model, uint64_t random)
{
    int i = (int)(random / 64 % MOST);
    uint64_t what = random % 64;
    if (what < 16 && model->senders > 0) {
        change_model(model, random / 4096);
    } else if (what < 54 && model->used[i]) {
        look_model(model, i, random / 4096);
    } else if (what < 60) {
        return join_or_leave(model, i, random / 4096);
    } else if (what < 62 && model->senders > 0 && model->senders < 4) {
        tr_watch_open(model->watch);
        model->senders++;
    } else if (what == 63 && model->senders > 0 && (model->senders > 1 || random / 4096 % 32 == 0)) {
        expect_int(tr_watch_receivers(model->watch), model->receivers);
        tr_watch_close(model->watch);
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

enum { SENDERS = 4, RECEIVERS = 10, STEPS = 2000 };

/* Each sender counts its own steps, and adds to the common sum: so every change grows in all its fields. */
struct state {
    uint64_t step[SENDERS], sum, check[8];
};

TR_WATCH_TYPE(state_watch, struct state);
TR_WATCH_RECEIVER_TYPE(state_observer, struct state);

static bool make_step(void *value, void *argument)
{
    struct state *state = value;
    state->step[(uintptr_t)argument]++;
    state->sum++;
    for (int i = 0; i < 8; i++)
        state->check[i] = state->sum * (uint64_t)(i + 1);
    return true;
}

static bool refuse_step(void *value, void *argument)
{
    make_step(value, argument);
    return false;
}

struct sender {
    struct state_watch watch;
    uintptr_t self;
};

static int make_steps(void *argument)
{
    struct sender *sender = argument;
    uint64_t state = sender->self + 5;
    for (int n = 0; n < STEPS; n++) {
        if (test_random(&state) % 16 == 0)
            expect(!tr_watch_modify(sender->watch, refuse_step, (void *)sender->self));
        expect(tr_watch_modify(sender->watch, make_step, (void *)sender->self));
        if (test_random(&state) % 32 == 0)
            tr_sleep((int64_t)(test_random(&state) % 100) * TR_MICROSECOND);
    }
    tr_watch_close(sender->watch);
    return 0;
}

static void *make_steps_on_thread(void *argument)
{
    make_steps(argument);
    return NULL;
}

struct observer {
    struct state_observer end;
    uint64_t seed, looks;
    struct state last;
};

static void check_state(struct observer *observer, const struct state *state)
{
    uint64_t sum = 0;
    for (int i = 0; i < SENDERS; i++) {
        expect(state->step[i] >= observer->last.step[i]);
        sum += state->step[i];
    }
    expect(state->sum == sum);
    for (int i = 0; i < 8; i++)
        expect(state->check[i] == sum * (uint64_t)(i + 1));
    observer->last = *state;
    observer->looks++;
}

static bool has_grown(const void *value, void *argument)
{
    const struct observer *observer = argument;
    return ((const struct state *)value)->sum > observer->last.sum + 3;
}

/* 0: *state is to be looked at. */
static int look_somehow(struct observer *observer, struct state *state, uint64_t random)
{
    int rc;
    tr_time soon = tr_after((int64_t)(random / 8 % 100) * TR_MICROSECOND);
    switch (random % 8) {
    case 0:
        return tr_watch_peek(&observer->end, state);
    case 1:
        return tr_watch_next(&observer->end, state, soon);
    case 2: {
        struct tr_case cases[] = { tr_case_watch(&observer->end), tr_case_timer(soon) };
        int which = tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR);
        expect(which == 0 || which == 1);
        rc = which == 0 ? cases[0].result : -EAGAIN;
        return rc == 0 ? tr_watch_read(&observer->end, state) : rc;
    }
    case 3:
        return tr_watch_wait_for(&observer->end, has_grown, observer, state, soon);
    case 4:
        rc = tr_watch_changed(&observer->end, TR_FOREVER);
        return rc == 0 ? tr_watch_read(&observer->end, state) : rc;
    default:
        return tr_watch_next(&observer->end, state, TR_FOREVER);
    }
}

static int observe(void *argument)
{
    struct observer *observer = argument;
    uint64_t random = observer->seed;
    struct state state;
    int rc;
    do {
        rc = look_somehow(observer, &state, test_random(&random) >> 8);
        if (rc == 0)
            check_state(observer, &state);
        else
            expect(rc == -EPIPE || rc == -ETIMEDOUT || rc == -EAGAIN);
    } while (rc != -EPIPE);
    expect_int(tr_watch_read(&observer->end, &state), 0);
    check_state(observer, &state);
    expect_int((int64_t)state.sum, SENDERS * STEPS);
    tr_watch_unsubscribe(&observer->end);
    return 0;
}

static void *observe_on_thread(void *argument)
{
    observe(argument);
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

static uint64_t run_load(struct tr_runtime *const runtimes[2], unsigned round)
{
    static struct sender senders[SENDERS];
    static struct observer observers[RECEIVERS];
    struct party sending[SENDERS], observing[RECEIVERS];
    struct state_watch watch;
    uint64_t looks = 0;
    expect_int(tr_watch_create(&watch, NULL, &(struct state){ 0 }), 0);
    for (int i = 0; i < RECEIVERS; i++) {
        observers[i] = (struct observer){ .seed = (uint64_t)i * 7919 + round + 1 };
        expect_int(tr_watch_subscribe(watch, &observers[i].end), 0);
        start_party(&observing[i], i % 4 == 3 ? NULL : runtimes[i % 2], observe, observe_on_thread, &observers[i]);
    }
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ watch, (uintptr_t)i };
        tr_watch_open(watch);
        start_party(&sending[i], i == 3 ? NULL : runtimes[i % 2], make_steps, make_steps_on_thread, &senders[i]);
    }
    tr_watch_close(watch);
    for (int i = 0; i < SENDERS; i++)
        end_party(&sending[i]);
    for (int i = 0; i < RECEIVERS; i++) {
        end_party(&observing[i]);
        looks += observers[i].looks;
    }
    return looks;
}

int main(void)
{
    uint64_t looks = 0;
    if (!test_backend_here("watch"))
        return EXIT_SKIPPED;
    test_census_begin();
    uint64_t operations = run_model((uint64_t)OPERATIONS * test_stress(), 20261121);
    for (unsigned round = 0; round < 4 * test_stress(); round++) {
        struct tr_options options[2] = { test_options(0), test_options(1) };
        struct tr_runtime *runtimes[2];
        for (int i = 0; i < 2; i++)
            expect_int(tr_start(&runtimes[i], &options[i]), 0);
        looks += run_load(runtimes, round);
        for (int i = 0; i < 2; i++)
            expect_int(tr_stop(runtimes[i], tr_after(LONG_TIME)), 0);
    }
    test_census_end();
    printf("watch: %llu operations match the model\nwatch: %llu values seen, no error\n",
           (unsigned long long)operations, (unsigned long long)looks);
    return 0;
}
