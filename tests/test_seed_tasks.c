/* SPDX-License-Identifier: MIT */
/*
 * test_seed_tasks.c: groups, tokens, timers and calls in many orders: nobody is left behind or counted twice, cancellation goes
 * down and never up, a timer fires once and not early unless it was cancelled, a request is served at most once and its caller
 * told the truth. See troupe/sim.h: a failure prints the seed that repeats it.
 */
#include "tests/chance.h"

/* ---- groups --------------------------------------------------------------------------------------------------- */

enum { MEMBERS = 8, LIMIT = 3 };
static int running, started, ended;

/* Its result: that of the sleep, or a failure. */
static int be_a_member(void *argument)
{
    (void)argument;
    started++;
    expect(++running <= LIMIT);
    int rc = tr_sleep(chance_span(60));
    if (tr_random(8) == 0 && rc == 0)
        rc = -EIO;
    running--;
    ended++;
    return rc;
}

static int cancel_group(void *group)
{
    expect_int(tr_sleep(chance_span(300)), 0);
    tr_group_cancel(group);
    return 0;
}

static int cancel_token(void *token)
{
    expect_int(tr_sleep(chance_span(300)), 0);
    tr_cancel_token_cancel(token);
    return 0;
}

/* Spawns as long as it is let; returns how many. */
static uint64_t spawn_members(struct tr_group *group)
{
    uint64_t spawned = 0;
    for (int i = 0; i < MEMBERS; i++) {
        struct tr_member member;
        int rc = tr_random(4) ? tr_group_spawn(group, &member, be_a_member, NULL, NULL, chance_deadline())
                              : tr_group_try_spawn(group, &member, be_a_member, NULL, NULL);
        if (rc == 0)
            expect_int((int64_t)member.index, (int64_t)spawned++);
        else if (rc == -ECANCELED)
            (void)tr_cancel_taken(); /* the group's, or ours */
        else
            expect(rc == -ETIMEDOUT || rc == -EAGAIN);
    }
    return spawned;
}

SEED_TEST(seeded_group_leaves_nobody_behind)
{
    struct tr_group *group;
    struct tr_cancel_token *token;
    struct tr_finished done;
    struct tr_group_info info;
    struct tr_task cancellers[2];
    uint64_t taken = 0, mask = 0;
    int rc = 0;
    running = started = ended = 0;
    test_log_capture(TR_LOG_ERROR); /* of failures that nobody takes */
    expect_int(tr_cancel_token_create(&token, NULL), 0);
    struct tr_group_options options = { .limit = LIMIT, .first_error = tr_random(2), .token = token };
    expect_int(tr_group_open(&group, &options), 0);
    cancellers[0] = test_task(cancel_group, group);
    cancellers[1] = test_task(cancel_token, token);
    uint64_t spawned = spawn_members(group);
    uint64_t wanted = tr_random(2) ? spawned : tr_random(MEMBERS);
    while (taken < wanted && rc != -ESRCH) {
        rc = tr_group_next(group, &done, chance_deadline());
        if (rc == 0) {
            expect(!(mask & UINT64_C(1) << done.member.index));
            mask |= UINT64_C(1) << done.member.index;
            taken++;
        }
        expect(rc == 0 || rc == -ESRCH || rc == -ETIMEDOUT);
    }
    expect(rc != -ESRCH || taken == spawned);
    for (int i = 0; i < 2; i++) /* they use it */
        expect_int(test_join(cancellers[i]), 0);
    tr_group_info(group, &info);
    expect_int((int64_t)info.spawned, (int64_t)spawned);
    expect(info.running + info.finished == spawned - taken);
    expect_int(tr_group_close(group, TR_FOREVER), 0);
    expect_int(running, 0);
    expect_int(started, ended);
    tr_cancel_token_unref(token);
    test_log_release();
}

/* ---- tokens --------------------------------------------------------------------------------------------------- */

/* A tree: 0 above 1 and 2, 1 above 3 and 4. */
enum { TOKENS = 5 };
static const int above[TOKENS] = { -1, 0, 0, 1, 1 };
static struct tr_cancel_token *tokens[TOKENS];
static bool called_off[TOKENS]; /* by us, it or one above it */

static bool is_below(int token, int top)
{
    for (; token >= 0; token = above[token])
        if (token == top)
            return true;
    return false;
}

/* With a token of its own: ends with it, and not before it was cancelled. */
static int work_under_token(void *argument)
{
    intptr_t self = (intptr_t)argument;
    int rc = tr_sleep(1000 * TR_SECOND);
    expect_int(rc, -ECANCELED);
    expect(called_off[self]);
    return 0;
}

static int wait_for_token(void *argument)
{
    intptr_t self = (intptr_t)argument;
    struct tr_case cases[] = { tr_case_timer(TR_FOREVER), tr_case_cancelled(tokens[self]) };
    for (int rc = -1; rc < 0;) {
        chance_pause();
        if (tr_random(2))
            rc = tr_cancel_token_wait(tokens[self], chance_deadline());
        else if ((rc = tr_select(cases, 2, chance_deadline(), TR_SELECT_FAIR)) >= 0)
            expect_int(rc, 1);
        expect(rc >= 0 ? called_off[self] : chance_came_to_nothing(rc));
    }
    return 0;
}

static void call_off(int top)
{
    for (int i = 0; i < TOKENS; i++)
        called_off[i] |= is_below(i, top);
    tr_cancel_token_cancel(tokens[top]);
    for (int i = 0; i < TOKENS; i++)
        expect_int(tr_cancel_token_is_cancelled(tokens[i]), called_off[i]);
}

SEED_TEST(seeded_token_cancels_down_and_never_up)
{
    struct crew waiting = { 0 }, working = { 0 };
    memset(called_off, 0, sizeof called_off);
    for (intptr_t i = 0; i < TOKENS; i++) {
        expect_int(tr_cancel_token_create(&tokens[i], above[i] < 0 ? NULL : tokens[above[i]]), 0);
        struct tr_task_options options = { .token = tokens[i] };
        expect_int(tr_task_spawn(&working.tasks[working.count++], work_under_token, (void *)i, &options), 0);
        crew_add(&waiting, wait_for_token, (void *)i);
    }
    for (int i = 0; i < 3; i++) {
        chance_pause();
        (void)tr_task_cancel(waiting.tasks[tr_random(TOKENS)]);
        chance_pause();
        call_off((int)tr_random(TOKENS));
    }
    call_off(0);
    crew_end(&waiting, 0);
    crew_end(&working, 0);
    for (int i = 0; i < TOKENS; i++)
        tr_cancel_token_unref(tokens[i]);
}

/* ---- timers --------------------------------------------------------------------------------------------------- */

enum { TIMERS = 12 };
static tr_time due[TIMERS];
static int fired[TIMERS];
static bool cancelled[TIMERS];
static tr_time latest;

/* A small mailbox, and now and then slow: those that are due wait for room. */
static int take_timers(void *argument)
{
    struct number message;
    int rc;
    (void)argument;
    while ((rc = tr_receive(&message, TR_FOREVER)) == 0) {
        int64_t self = message.value;
        fired[self]++;
        expect(tr_clock() >= due[self]);
        expect(due[self] + TR_TIMER_TICK > latest); /* those of a tick of the wheel come together */
        if (due[self] > latest)
            latest = due[self];
        if (tr_random(4) == 0)
            expect_int(tr_sleep(chance_span(400)), 0);
    }
    return rc == -EPIPE ? 0 : rc;
}

SEED_TEST(seeded_timer_fires_once_or_is_cancelled)
{
    struct tr_task task;
    struct tr_timer timers[TIMERS];
    memset(fired, 0, sizeof fired);
    memset(cancelled, 0, sizeof cancelled);
    latest = 0;
    struct number_address address = test_loop(take_timers, NULL, 1 + (uint32_t)tr_random(3), &task);
    for (int i = 0; i < TIMERS; i++) {
        due[i] = tr_clock() + chance_span(2000);
        expect_int(tr_send_at(&timers[i], address, due[i], &(struct number){ .value = i }), 0);
        if (tr_random(3) == 0)
            chance_pause();
    }
    for (int i = 0; i < TIMERS; i++) {
        if (tr_random(3) == 0)
            expect_int(tr_sleep(chance_span(300)), 0);
        if (tr_random(3))
            continue;
        int rc = tr_timer_cancel(timers[i]);
        expect(rc == 0 ? fired[i] == 0 : rc == -ESRCH);
        cancelled[i] = rc == 0;
    }
    expect_int(tr_sleep(100 * TR_MILLISECOND), 0);
    for (int i = 0; i < TIMERS; i++)
        expect_int(fired[i], !cancelled[i]);
    expect_int(tr_actor_stop(address), 0);
    expect_int(test_join(task), 0);
}

static int ticks;

static int count_ticks(void *argument)
{
    struct tr_interval interval;
    tr_time last = 0, scheduled, begin = tr_clock();
    (void)argument;
    expect_int(tr_interval_init(&interval, TR_MILLISECOND, TR_MISSED_BURST), 0);
    while (ticks < 10) {
        chance_pause();
        int rc = tr_interval_tick(&interval, &scheduled, chance_deadline());
        if (rc < 0) {
            expect(chance_came_to_nothing(rc));
            continue;
        }
        expect(scheduled >= begin && scheduled <= tr_clock());
        expect(ticks == 0 || scheduled == last + TR_MILLISECOND);
        last = scheduled;
        ticks++;
    }
    return 0;
}

SEED_TEST(seeded_interval_loses_no_tick)
{
    struct crew crew = { 0 };
    ticks = 0;
    crew_add(&crew, count_ticks, NULL);
    crew_end(&crew, 8);
    expect_int(ticks, 10);
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

enum { SERVERS = 3, CALLERS = 5, CALLS = 5 };
enum { ANSWER, REFUSE, LET_FALL, LATER, PASS_ON, WAYS };
static struct number_address servers[SERVERS];
static int served[CALLERS][CALLS];

static int answer_later(void *argument)
{
    struct number *request = argument;
    chance_pause();
    int64_t value = request->value * 2;
    (void)tr_reply(request->reply, &value); /* the caller may have given up */
    return 0;
}

/* Answers with twice the value, or not, as the request asks. What it has deferred it owes until it has answered. */
static int serve(void *state, void *message)
{
    struct number *request = message;
    int64_t twice = request->value * 2;
    if (tr_random(3) == 0)
        chance_pause();
    if (request->kind == PASS_ON && tr_random(2)) {
        uint64_t to = (uint64_t)(uintptr_t)state;
        int rc = tr_forward(request->reply, servers[(to + 1) % SERVERS], TR_NOW, request);
        if (rc == 0)
            return 0;
        expect(rc == -ESRCH || rc == -ETIMEDOUT || rc == -EDEADLK);
    }
    served[request->value / 100][request->value % 100]++;
    switch (request->kind) {
    case REFUSE:
        (void)tr_reply_error(request->reply, 7);
        break;
    case LET_FALL:
        break;
    case LATER:
        if (tr_defer(request->reply) == 0)
            expect_int(tr_task_spawn(NULL, answer_later, request,
                                     &(struct tr_task_options){ .argument_bytes = sizeof *request }),
                       0);
        break;
    default:
        (void)tr_reply(request->reply, &twice);
    }
    return 0;
}

static void check_result(const struct number *request, int rc, int64_t value, bool sent)
{
    int times = served[request->value / 100][request->value % 100];
    expect(times <= 1 && (sent || times == 0));
    if (rc == 0)
        expect(value == request->value * 2 && times == 1 && request->kind != REFUSE && request->kind != LET_FALL);
    else if (rc == 7)
        expect(request->kind == REFUSE && times == 1);
    else if (rc == -EPIPE)
        expect(request->kind == LET_FALL && times == 1);
    else
        expect(chance_came_to_nothing(rc));
}

static int ask(void *argument)
{
    for (int64_t i = 0; i < CALLS; i++) {
        struct number request = { .kind = (int64_t)tr_random(WAYS), .value = (intptr_t)argument * 100 + i };
        int64_t value = -1;
        chance_pause();
        if (tr_random(3)) {
            int rc = tr_call(servers[tr_random(SERVERS)], &value, chance_deadline(), &request);
            check_result(&request, rc, value, rc >= 0 || tr_call_sent());
        } else {
            struct tr_gather_call call = tr_gather_call(servers[tr_random(SERVERS)], &value, &request);
            int succeeded = tr_gather(&call, 1, chance_deadline(), TR_GATHER_ALL);
            expect_int(succeeded, call.result == 0);
            check_result(&request, call.result, value, call.sent);
        }
    }
    return 0;
}

SEED_TEST(seeded_call_tells_what_became_of_it)
{
    struct crew crew = { 0 };
    struct tr_task tasks[SERVERS];
    memset(served, 0, sizeof served);
    for (intptr_t i = 0; i < SERVERS; i++)
        servers[i] = test_handler(serve, (void *)i, 1 + (uint32_t)tr_random(3), &tasks[i]);
    for (intptr_t i = 0; i < CALLERS; i++)
        crew_add(&crew, ask, (void *)i);
    crew_end(&crew, 8);
    for (int i = 0; i < SERVERS; i++) {
        expect_int(tr_actor_stop(servers[i]), 0);
        expect_int(test_join(tasks[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++)
        for (int j = 0; j < CALLS; j++)
            expect(served[i][j] <= 1);
}

int main(void)
{
    return test_main("seed_tasks", TESTS(seeded_group_leaves_nobody_behind, seeded_token_cancels_down_and_never_up,
                                         seeded_timer_fires_once_or_is_cancelled, seeded_interval_loses_no_tick,
                                         seeded_call_tells_what_became_of_it));
}
