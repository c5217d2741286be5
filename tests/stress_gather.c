/* SPDX-License-Identifier: MIT */
/*
 * stress_gather.c: many calls at once, many joins at once, and trackers, with deadlines, first errors, first successes and
 * cancellations, while servers answer, refuse, forget, defer and end.
 *
 * Oracles. Calls: as many replies said 0 as calls have 0, each with its own value; what was given up has no answer; a call is only
 * given up if there was a reason. Joins: each task is joined once, by the gather or after it, with the outcome that it had. Trackers:
 * the wait is over when the tracker is closed and everybody has gone, not before, and it does end.
 */
#include "tests/support.h"

#include <pthread.h>

enum { OWNERS = 6, THREADS = 2, STEPS = 8000, SERVERS = 5, MOST = 12 };

static atomic_llong replied, refused, answers, refusals, given_up, joined, tracked, cancelled;
static atomic_int owners_left;

static void linger(uint64_t random)
{
    if (random % 8 == 0)
        tr_sleep((int64_t)(random / 8 % 60) * TR_MICROSECOND);
    else if (random % 4 == 1)
        tr_yield();
}

static bool take_cancel(void)
{
    bool taken = tr_cancel_taken();
    atomic_fetch_add(&cancelled, taken);
    return taken;
}

/* Never beyond the patience of this program, or a moment. */
static tr_time some_deadline(uint64_t random, bool *brief)
{
    *brief = *brief || random % 2;
    return !*brief               ? tr_after(LONG_TIME)
           : random / 2 % 8 == 0 ? TR_NOW
                                 : tr_after((int64_t)(random / 16 % 200) * TR_MICROSECOND);
}

/* ---- calls ----------------------------------------------------------------------------------------------------- */

enum { ECHO, REFUSE, FORGET, LATE, DEFER, END, WAYS };
enum { REFUSAL = 77 };

static pthread_mutex_t servers_lock = PTHREAD_MUTEX_INITIALIZER; /* never held over a suspension */
static struct number_address servers[SERVERS];
static atomic_uint servers_made;
static struct tr_runtime *runtime;

static void answer(struct number_reply reply, int64_t value)
{
    int rc = tr_reply(reply, &value);
    expect(rc == 0 || rc == -ESRCH);
    atomic_fetch_add(&replied, rc == 0);
}

static int answer_later(void *argument)
{
    struct number *number = argument;
    linger((uint64_t)number->value);
    answer(number->reply, number->value);
    return 0;
}

static int serve(void *state, void *message)
{
    struct number *number = message;
    int rc;
    (void)state;
    switch (number->kind) {
    case REFUSE:
        rc = tr_reply_error(number->reply, REFUSAL);
        expect(rc == 0 || rc == -ESRCH);
        atomic_fetch_add(&refused, rc == 0);
        return 0;
    case FORGET:
        return 0;
    case DEFER:
        tr_defer(number->reply);
        rc = tr_task_spawn(NULL, answer_later, number, &(struct tr_task_options){ .argument_bytes = sizeof *number });
        expect(rc == 0 || rc == -ECANCELED); /* the request of a call that was given up comes while the runtime stops */
        if (rc != 0)
            answer(number->reply, number->value);
        return 0;
    case END:
        return number->value % 8 ? 0 : TR_END;
    case LATE:
        linger((uint64_t)number->value);
        break;
    default:
        break;
    }
    answer(number->reply, number->value);
    return 0;
}

static void make_server(int place)
{
    struct number_address address;
    unsigned number = atomic_fetch_add(&servers_made, 1);
    struct tr_actor_options options = { .capacity = 1 + number % 5,
                                        .keep_expired = number % 3 == 0,
                                        .runtime = runtime };
    expect_int(tr_spawn_handler(&address, serve, NULL, &options), 0);
    pthread_mutex_lock(&servers_lock);
    servers[place] = address;
    pthread_mutex_unlock(&servers_lock);
}

static struct number_address server_at(int place)
{
    pthread_mutex_lock(&servers_lock);
    struct number_address address = servers[place];
    pthread_mutex_unlock(&servers_lock);
    return address;
}

struct counts {
    int succeeded, failed, given_up, late;
};

static void check_call(const struct tr_gather_call *call, int64_t value, int64_t got, struct counts *counts)
{
    int result = call->result;
    expect_int(got, result == 0 ? value : -7);
    expect(result != 0 || call->sent);
    counts->succeeded += result == 0;
    counts->given_up += result == -ECANCELED;
    counts->late += result == -ETIMEDOUT;
    counts->failed += result == REFUSAL || result == -EPIPE || result == -ESRCH;
    atomic_fetch_add(&refusals, result == REFUSAL);
}

static const unsigned some_flags[] = { TR_GATHER_ALL, TR_GATHER_FIRST_ERROR, TR_GATHER_FIRST_SUCCESS };

static void gather_calls(uint64_t *seed)
{
    struct tr_gather_call calls[MOST];
    struct number messages[MOST];
    int64_t got[MOST];
    int places[MOST];
    struct counts counts = { 0, 0, 0, 0 };
    uint64_t random = test_random(seed) >> 16;
    unsigned count = 1 + (unsigned)(random % MOST), flags = some_flags[random / 16 % 3];
    bool brief = false;
    for (unsigned i = 0; i < count; i++) {
        uint64_t dice = test_random(seed) >> 20;
        places[i] = (int)(dice / 8 % SERVERS);
        got[i] = -7;
        messages[i] =
            (struct number){ .kind = dice % 8 < WAYS ? (int64_t)(dice % 8) : ECHO, .value = (int64_t)(dice >> 8) };
        calls[i] = tr_gather_call(server_at(places[i]), &got[i], &messages[i]);
    }
    int rc = tr_gather(calls, count, some_deadline(random / 64, &brief), flags);
    bool was_cancelled = take_cancel();
    for (unsigned i = 0; i < count; i++) {
        check_call(&calls[i], messages[i].value, got[i], &counts);
        if (calls[i].result == -ESRCH)
            make_server(places[i]);
    }
    expect_int(rc, counts.succeeded);
    expect_int(counts.succeeded + counts.failed + counts.given_up + counts.late, count);
    expect(counts.late == 0 || brief);
    expect(counts.given_up == 0 || was_cancelled ||
           (flags == TR_GATHER_FIRST_ERROR && counts.failed + counts.late > 0) ||
           (flags == TR_GATHER_FIRST_SUCCESS && counts.succeeded > 0));
    atomic_fetch_add(&answers, counts.succeeded);
    atomic_fetch_add(&given_up, counts.given_up + counts.late);
}

/* ---- joins ----------------------------------------------------------------------------------------------------- */

enum { RETURNS, FAILS, SLOWLY, WAITS };

static int be_member(void *argument)
{
    uintptr_t how = (uintptr_t)argument;
    linger(how / 4);
    switch (how % 4) {
    case FAILS:
        return tr_task_fail(-EIO, "as told");
    case SLOWLY:
        tr_sleep((int64_t)(how / 64 % 100) * TR_MICROSECOND);
        break;
    case WAITS:
        return tr_sleep(LONG_TIME);
    default:
        break;
    }
    return (int)(how / 4 % 1000);
}

static void check_outcome(const struct tr_outcome *outcome, uintptr_t how)
{
    static const enum tr_outcome_kind kinds[] = { TR_RETURNED, TR_FAILED, TR_RETURNED, TR_CANCELLED };
    static const int codes[] = { 0, -EIO, 0, -ECANCELED };
    expect_int(outcome->kind, kinds[how % 4]);
    expect_int(outcome->code, outcome->kind == TR_RETURNED ? (int)(how / 4 % 1000) : codes[how % 4]);
    expect(outcome->kind != TR_FAILED || strcmp(outcome->text, "as told") == 0);
    atomic_fetch_add(&joined, 1);
}

/* What the gather has left is cancelled and joined; what it has joined cannot be any more. */
static void end_member(struct tr_gather_task *member, uintptr_t how)
{
    struct tr_outcome outcome;
    int rc;
    if (member->error == 0) {
        check_outcome(&member->outcome, how);
        expect_int(tr_task_join(member->task, NULL, TR_NOW), -ESRCH);
        return;
    }
    tr_task_cancel(member->task);
    while ((rc = tr_task_join_outcome(member->task, &outcome, tr_after(LONG_TIME))) == -ECANCELED)
        take_cancel();
    expect_int(rc, 0);
    check_outcome(&outcome, how);
}

static void join_members(uint64_t *seed)
{
    struct tr_gather_task members[MOST];
    uintptr_t hows[MOST];
    struct counts counts = { 0, 0, 0, 0 };
    uint64_t random = test_random(seed) >> 16;
    unsigned count = 1 + (unsigned)(random % MOST), flags = some_flags[random / 16 % 3];
    bool brief = false;
    for (unsigned i = 0; i < count; i++) {
        hows[i] = (uintptr_t)(test_random(seed) >> 20);
        brief |= hows[i] % 4 == WAITS;
        expect_int(tr_task_spawn(&members[i].task, be_member, (void *)hows[i], NULL), 0);
    }
    flags |= random / 64 % 2 ? TR_GATHER_CANCEL_REST : 0;
    int rc = tr_join_all(members, count, some_deadline(random / 128, &brief), flags);
    bool was_cancelled = take_cancel();
    for (unsigned i = 0; i < count; i++) {
        int error = members[i].error;
        expect(error == 0 || error == -ETIMEDOUT || error == -ECANCELED);
        counts.succeeded += error == 0 && members[i].outcome.code >= 0;
        counts.failed += error == 0 && members[i].outcome.code < 0;
        counts.given_up += error == -ECANCELED;
        counts.late += error == -ETIMEDOUT;
    }
    expect_int(rc, counts.succeeded);
    expect(counts.late == 0 || brief);
    expect(counts.given_up == 0 || was_cancelled || (flags & TR_GATHER_FIRST_ERROR && counts.failed > 0) ||
           (flags & TR_GATHER_FIRST_SUCCESS && counts.succeeded > 0));
    for (unsigned i = 0; i < count; i++)
        end_member(&members[i], hows[i]);
}

/* ---- trackers -------------------------------------------------------------------------------------------------- */

struct crew {
    struct tr_tracker *tracker;
    atomic_int alive;
    atomic_bool closed;
    uint64_t number;
};

struct tracked {
    struct crew *crew;
    uint64_t seed;
    int depth;
};

static void spawn_tracked(struct crew *crew, uint64_t seed, int depth);

static int be_tracked(void *argument)
{
    struct tracked *self = argument;
    linger(test_random(&self->seed) >> 20);
    if (self->depth < 3 && test_random(&self->seed) >> 63)
        spawn_tracked(self->crew, self->seed, self->depth + 1);
    linger(test_random(&self->seed) >> 20);
    atomic_fetch_sub(&self->crew->alive, 1);
    return 0;
}

static void spawn_tracked(struct crew *crew, uint64_t seed, int depth)
{
    struct tracked tracked_task = { crew, seed * 31 + 1, depth };
    struct tr_task_options options = { .argument_bytes = sizeof tracked_task };
    atomic_fetch_add(&crew->alive, 1);
    atomic_fetch_add(&tracked, 1);
    expect_int(tr_tracker_spawn(crew->tracker, NULL, be_tracked, &tracked_task, &options), 0);
}

static void close_crew(struct crew *crew)
{
    bool closed = atomic_exchange(&crew->closed, true);
    expect_int(tr_tracker_close(crew->tracker), !closed);
}

/* It is no task that is tracked, but the work of one. */
static int be_visitor(void *argument)
{
    struct crew *crew = argument;
    bool leaves_first = crew->number % 4 == 1;
    linger(crew->number);
    if (!leaves_first)
        close_crew(crew);
    atomic_fetch_sub(&crew->alive, 1);
    tr_tracker_leave(crew->tracker);
    linger(crew->number / 4);
    if (leaves_first)
        close_crew(crew);
    return 0;
}

static void await_crew(struct crew *crew, uint64_t *seed)
{
    for (;;) {
        uint64_t random = test_random(seed) >> 20;
        bool brief = false;
        tr_time deadline = some_deadline(random / 2, &brief);
        struct tr_case cases[] = { tr_case_never(), tr_case_tracker(crew->tracker) };
        int rc = random % 2 ? tr_tracker_wait(crew->tracker, deadline) : tr_select(cases, 2, deadline, TR_SELECT_FAIR);
        if (rc >= 0)
            break;
        expect(rc == -ECANCELED || (rc == -ETIMEDOUT && brief));
        if (rc == -ECANCELED)
            take_cancel();
    }
    expect(atomic_load(&crew->closed));
    expect_int(atomic_load(&crew->alive), 0);
}

static int be_second_waiter(void *argument)
{
    struct crew *crew = argument;
    uint64_t seed = (uintptr_t)argument;
    await_crew(crew, &seed);
    return 0;
}

/* A join that goes on after a cancellation. */
static void join(struct tr_task task)
{
    int rc;
    while ((rc = tr_task_join(task, NULL, tr_after(LONG_TIME))) == -ECANCELED)
        take_cancel();
    expect_int(rc, 0);
}

static void track_crew(uint64_t *seed)
{
    struct crew crew = { .alive = 1, .number = test_random(seed) >> 20 };
    struct tr_task visitor, second;
    unsigned count = (unsigned)(test_random(seed) >> 20) % 8;
    expect_int(tr_tracker_create(&crew.tracker), 0);
    tr_tracker_enter(crew.tracker);
    expect_int(tr_task_spawn(&second, be_second_waiter, &crew, NULL), 0);
    if (crew.number % 4 == 0)
        close_crew(&crew);
    for (unsigned i = 0; i < count; i++)
        spawn_tracked(&crew, test_random(seed), 0);
    expect_int(tr_task_spawn(&visitor, be_visitor, &crew, NULL), 0);
    await_crew(&crew, seed);
    expect(tr_tracker_is_closed(crew.tracker) && tr_tracker_count(crew.tracker) == 0);
    join(visitor);
    join(second);
    tr_tracker_destroy(crew.tracker);
}

/* ---- who does it ----------------------------------------------------------------------------------------------- */

static int be_owner(void *argument)
{
    static void (*const parts[])(uint64_t * seed) = { gather_calls, gather_calls, join_members, track_crew };
    uint64_t seed = 7919 * ((uintptr_t)argument + 1);
    for (unsigned i = 0; i < STEPS * test_stress(); i++)
        parts[test_random(&seed) >> 62](&seed);
    atomic_fetch_sub(&owners_left, 1);
    return 0;
}

static void *be_thread(void *argument)
{
    uint64_t seed = 104729 * ((uintptr_t)argument + 1);
    for (unsigned i = 0; i < STEPS * test_stress(); i++)
        gather_calls(&seed);
    return NULL;
}

int main(void)
{
    struct tr_task owners[OWNERS];
    pthread_t threads[THREADS];
    uint64_t seed = 7;
    if (!test_backend_here("gather"))
        return EXIT_SKIPPED;
    test_census_begin();
    struct tr_options options = test_options(0);
    expect_int(tr_start(&runtime, &options), 0);
    for (int i = 0; i < SERVERS; i++)
        make_server(i);
    atomic_store(&owners_left, OWNERS);
    for (uintptr_t i = 0; i < OWNERS; i++)
        expect_int(tr_task_spawn(&owners[i], be_owner, (void *)i, &(struct tr_task_options){ .runtime = runtime }), 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        expect_int(pthread_create(&threads[i], NULL, be_thread, (void *)i), 0);
    while (atomic_load(&owners_left) > 0) {
        tr_task_cancel(owners[(test_random(&seed) >> 20) % OWNERS]);
        usleep((useconds_t)((test_random(&seed) >> 20) % 200));
    }
    for (int i = 0; i < OWNERS; i++)
        expect_int(test_join(owners[i]), 0);
    for (int i = 0; i < THREADS; i++)
        expect_int(pthread_join(threads[i], NULL), 0);
    expect_int(tr_stop(runtime, tr_after(LONG_TIME)), 0);
    test_census_end();
    expect_int(atomic_load(&replied), atomic_load(&answers));
    expect_int(atomic_load(&refused), atomic_load(&refusals));
    printf(
        "gather: %lld answered, %lld refused, %lld given up or late, %lld joined, %lld tracked, %lld cancelled, no error\n",
        (long long)atomic_load(&answers), (long long)atomic_load(&refusals), (long long)atomic_load(&given_up),
        (long long)atomic_load(&joined), (long long)atomic_load(&tracked), (long long)atomic_load(&cancelled));
    return 0;
}
