/* SPDX-License-Identifier: MIT */
/*
 * stress_cycle.c: actors that call, fill, forward to and answer for one another, without deadlines, on all workers.
 *
 * Oracles. While each only turns to those above it there are no rings, and nobody is told of one. When each turns to anybody,
 * there are rings all the time, and still every request ends: whoever hangs is seen by the time limit of those who ask
 * from outside.
 */
#include "tests/support.h"

enum { ACTORS = 9, ASKERS = 12, REQUESTS = 20000, REFUSED = 70, OTHER = 71 };
enum { ASK, NEWS };

struct place {
    int index;
    uint64_t random;
};

static struct number_address actors[ACTORS];
static struct place places[ACTORS];
static atomic_llong rings, answered, refused, passed_on;
static bool any;

/* Whom to turn to; negative: to nobody, an answer is due. */
static int choose(struct place *place, int64_t hops)
{
    int above = ACTORS - 1 - place->index;
    if (hops <= 0 || (!any && above == 0) || test_random(&place->random) % 4 == 0)
        return -1;
    if (any)
        return (int)(test_random(&place->random) % ACTORS);
    return place->index + 1 + (int)(test_random(&place->random) % (unsigned)above);
}

static void count_ring(int rc)
{
    atomic_fetch_add(&rings, rc == -EDEADLK);
    expect(rc == 0 || rc == REFUSED || rc == OTHER || (any && rc == -EDEADLK));
}

static void answer(struct number_reply reply, int rc, int64_t value)
{
    rc = rc == 0 ? tr_reply(reply, &value) : tr_reply_error(reply, rc == -EDEADLK ? REFUSED : OTHER);
    expect(rc == 0 || (any && rc == -ESRCH)); /* the caller has been told of a ring */
}

static int answer_later(void *argument)
{
    struct number *number = argument;
    tr_yield();
    answer(number->reply, 0, number->value);
    return 0;
}

/* Asks that one, and another, if there is one. Returns the worse result. */
static int gather(struct place *place, int to, struct number next)
{
    struct tr_gather_call calls[2];
    struct number requests[2] = { next, next };
    int64_t answers[2];
    int other = choose(place, next.value);
    unsigned count = other < 0 ? 1 : 2;
    for (unsigned i = 0; i < count; i++)
        calls[i] = tr_gather_call(actors[i == 0 ? to : other], &answers[i], &requests[i]);
    tr_gather(calls, count, TR_FOREVER, TR_GATHER_ALL);
    if (count == 2)
        count_ring(calls[1].result);
    return calls[0].result;
}

static void take(struct place *place, struct number *number)
{
    int to = choose(place, number->value);
    struct number next = { .value = number->value - 1 };
    int64_t ignored;
    int rc = 0;
    if (number->kind == NEWS)
        return;
    if (to < 0) {
        answer(number->reply, 0, number->value);
        return;
    }
    if (test_random(&place->random) % 8 == 0)
        tr_yield();
    switch (test_random(&place->random) % 8) {
    case 0: /* somebody else answers, while it waits itself */
        if (tr_defer(number->reply) == 0)
            expect_int(tr_task_spawn(NULL, answer_later, number,
                                     &(struct tr_task_options){ .argument_bytes = sizeof *number }),
                       0);
        count_ring(tr_call(actors[to], &ignored, TR_FOREVER, &next));
        return;
    case 1:
    case 2:
        next.reply = number->reply;
        rc = tr_forward(number->reply, actors[to], TR_FOREVER, &next);
        if (rc == 0)
            atomic_fetch_add(&passed_on, 1);
        else if (rc != -ESRCH)
            answer(number->reply, rc, 0);
        expect(rc == 0 || (any && (rc == -EDEADLK || rc == -ESRCH)));
        return;
    case 3:
        for (int i = 0; i < 3 && rc == 0; i++)
            rc = tr_send(actors[to], TR_FOREVER, &(struct number){ .kind = NEWS });
        break;
    case 4:
    case 5:
        rc = gather(place, to, next);
        break;
    default:
        rc = tr_call(actors[to], &ignored, TR_FOREVER, &next);
        break;
    }
    count_ring(rc);
    answer(number->reply, rc, number->value);
}

static int handle(void *state, void *message)
{
    take(state, message);
    return 0;
}

static int loop(void *argument)
{
    struct number message;
    while (tr_receive(&message, TR_FOREVER) == 0)
        take(argument, &message);
    return 0;
}

static int ask(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    int64_t value;
    for (unsigned i = 0; i < REQUESTS * test_stress(); i++) {
        struct number number = { .value = (int64_t)(test_random(&random) % 6) };
        int rc = tr_call(actors[test_random(&random) % ACTORS], &value, tr_after(LONG_TIME), &number);
        expect(rc == 0 || rc == REFUSED || rc == OTHER);
        atomic_fetch_add(rc == 0 ? &answered : &refused, 1);
    }
    return 0;
}

static void run(bool rings_too)
{
    struct tr_task tasks[ASKERS], ends[ACTORS];
    any = rings_too;
    for (int i = 0; i < ACTORS; i++) {
        places[i] = (struct place){ i, (uint64_t)i + 11 };
        actors[i] = i % 2 ? test_handler(handle, &places[i], 1 + (unsigned)i % 3, &ends[i])
                          : test_loop(loop, &places[i], 1 + (unsigned)i % 3, &ends[i]);
    }
    for (intptr_t i = 0; i < ASKERS; i++)
        tasks[i] = test_task(ask, (void *)(i + 1)); /* NOLINT(performance-no-int-to-ptr) */
    for (int i = 0; i < ASKERS; i++)
        expect_int(test_join(tasks[i]), 0);
    for (int i = 0; i < ACTORS; i++) {
        tr_actor_stop(actors[i]);
        expect_int(test_join(ends[i]), 0);
    }
    printf("%s: %lld answered, %lld refused, %lld passed on, %lld rings\n", any ? "to anybody" : "upwards", answered,
           refused, passed_on, rings);
    expect((rings > 0) == any);
}

static void body(void)
{
    test_log_capture(TR_LOG_ERROR); /* too many rings to be read */
    run(false);
    run(true);
    test_log_release();
}

int main(void)
{
    if (!test_backend_here("stress_cycle"))
        return EXIT_SKIPPED;
    test_census_begin();
    test_run(0, body);
    test_census_end();
    return EXIT_SUCCESS;
}
