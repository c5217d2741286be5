/* SPDX-License-Identifier: MIT */
/*
 * test_seed.c: seeded runtimes by the promises of troupe/sim.h: the same seed is the same run, whatever the process has done
 * before and wherever its memory lies; other seeds are other orders; and what only some orders show is found.
 *
 * The program runs itself for the first of these: TEST_SEED_CHILD=n in the environment makes it print the digest of seed n.
 */
#include "tests/support.h"

#include <pthread.h>

/* ---- a bit of everything -------------------------------------------------------------------------------------- */

enum { EVENTS = 4096 };
static uint32_t events[EVENTS];
static atomic_uint event_count;

static void note(uint32_t event)
{
    uint32_t at = atomic_fetch_add(&event_count, 1);
    if (at < EVENTS)
        events[at] = event;
}

static int answer_or_not(void *state, void *message)
{
    struct number *number = message;
    note((uint32_t)(intptr_t)state * 1000 + (uint32_t)number->value);
    if (number->kind % 3 == 1)
        (void)tr_sleep(number->kind * TR_MICROSECOND);
    if (number->kind % 5 != 4)
        tr_reply(number->reply, &number->value);
    return 0;
}

static void note_stop(void *state, int reason)
{
    note(900000 + (uint32_t)(intptr_t)state * 10 + (uint32_t)(reason < 0));
}

static struct number_address actors[8];

static int serve(void *argument)
{
    struct number number;
    int rc;
    while ((rc = tr_receive(&number, tr_after(TR_MILLISECOND))) == 0 || rc == -ETIMEDOUT) {
        note(rc ? 7 : (uint32_t)number.value);
        if (rc == 0)
            tr_reply(number.reply, &number.value);
    }
    (void)argument;
    return rc == -EPIPE ? 0 : rc;
}

static int client(void *argument)
{
    uint32_t self = (uint32_t)(intptr_t)argument;
    for (int i = 0; i < 12; i++) {
        int64_t answer = 0, kind = (int64_t)tr_random(9);
        struct number number = { .kind = kind, .value = self * 20 + i };
        int rc = tr_call(actors[tr_random(8)], &answer, tr_after((int64_t)tr_random(20) * TR_MICROSECOND), &number);
        note(500000 + (uint32_t)-rc * 100 + self);
        if (rc == -ECANCELED)
            return 0;
        if (kind == 0 && tr_yield() < 0)
            return 0;
        if (kind == 1)
            (void)tr_send(actors[self % 8], tr_after(TR_MICROSECOND), &number);
    }
    return 0;
}

static int everything(void *argument)
{
    struct tr_task clients[20];
    (void)argument;
    for (intptr_t i = 0; i < 8; i++) {
        struct tr_actor_options options = { .capacity = 2, .stopped = note_stop };
        if (i < 6)
            expect_int(tr_spawn_handler(&actors[i], answer_or_not, (void *)i, &options), 0);
        else
            expect_int(tr_spawn(&actors[i], serve, (void *)i, &options), 0);
        options.stopped = note_stop; /* one that nobody will ever send to */
        struct number_address quiet;
        expect_int(tr_spawn_handler(&quiet, answer_or_not, (void *)(i + 100), &options), 0);
    }
    for (intptr_t i = 0; i < 20; i++) {
        struct tr_task_options options = { .pin = i % 4 ? TR_PIN_NONE : TR_PIN_HERE };
        expect_int(tr_task_spawn(&clients[i], client, (void *)i, &options), 0);
    }
    for (int i = 0; i < 20; i++) {
        if (i % 7 == 3)
            (void)tr_task_cancel(clients[i]); /* it may have ended */
        int rc = tr_task_join(clients[i], NULL, i % 5 ? TR_FOREVER : tr_after(TR_MICROSECOND));
        if (rc == -ETIMEDOUT)
            expect_int(tr_task_detach(clients[i]), 0);
    }
    note((uint32_t)tr_clock());
    return 0;
}

/* The digest, with what could be seen from outside in it. */
static uint64_t run_everything(uint64_t seed)
{
    struct tr_options options = test_options(0);
    struct tr_sim sim = { .seed = seed, .options = &options };
    atomic_store(&event_count, 0);
    memset(events, 0, sizeof events);
    expect_int(tr_sim_run(&sim, everything, NULL), 0);
    expect_int((int64_t)sim.last_seed, (int64_t)seed);
    uint64_t sum = sim.digest;
    for (int i = 0; i < EVENTS; i++)
        sum = (sum ^ events[i]) * UINT64_C(1099511628211);
    return sum;
}

static int burn_records(void *argument)
{
    struct tr_task tasks[300];
    uint64_t seed = (uint64_t)(intptr_t)argument;
    for (int i = 0; i < 300; i++)
        tasks[i] = test_task(client, (void *)1);
    for (int i = 0; i < 300; i++)
        expect_int(tr_task_join(tasks[(i * 7 + (int)(seed % 300)) % 300], NULL, TR_FOREVER), 0);
    return 0;
}

/* ---- the same seed -------------------------------------------------------------------------------------------- */

START_TEST(same_seed_is_the_same_run_whatever_was_before)
{
    uint64_t first[20];
    for (uint64_t seed = 1; seed <= 20; seed++)
        first[seed - 1] = run_everything(seed);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct tr_options options = test_options(2);
        memset(actors, 0, sizeof actors);
        expect_int(tr_run(&options, burn_records, (void *)(intptr_t)(seed * 37)),
                   0); /* the pools are in disorder now */
        expect(run_everything(seed) == first[seed - 1]);
    }
}
END_TEST

static uint64_t digest_of_child(uint64_t seed)
{
    char command[400], path[200];
    const char *emulator = getenv("MESON_EXE_WRAPPER"); /* of another architecture's programs */
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    expect(length > 0);
    path[length] = 0;
    snprintf(command, sizeof command, "TEST_SEED_CHILD=%llu %s %s 2>/dev/null", (unsigned long long)seed,
             emulator ? emulator : "", path);
    FILE *pipe = popen(command, "r");
    unsigned long long digest = 0;
    expect(pipe && fscanf(pipe, "digest %llx %*p", &digest) == 1);
    expect_int(pclose(pipe), 0);
    return digest;
}

/* Each child has its memory somewhere else (but for TSan's, which fixes it). */
START_TEST(same_seed_is_the_same_run_in_every_process)
{
    for (uint64_t seed = 1000; seed < 1004; seed++) {
        uint64_t here = run_everything(seed);
        for (int i = 0; i < 3; i++)
            expect(digest_of_child(seed) == here);
    }
}
END_TEST

START_TEST(other_seeds_are_other_runs)
{
    enum { SEEDS = 60 };
    uint64_t digests[SEEDS];
    for (int i = 0; i < SEEDS; i++) {
        digests[i] = run_everything((uint64_t)i + 1);
        for (int j = 0; j < i; j++)
            expect(digests[i] != digests[j]);
    }
}
END_TEST

/* ---- what seeds decide ---------------------------------------------------------------------------------------- */

static char order[16];

static int write_letter(void *argument)
{
    size_t length = strlen(order);
    order[length] = (char)(intptr_t)argument;
    return 0;
}

static int write_letter_later(void *argument)
{
    expect_int(tr_sleep_until(2000 * TR_SECOND), 0); /* all at one time */
    return write_letter(argument);
}

static int three(int (*body)(void *argument))
{
    struct tr_task tasks[3];
    memset(order, 0, sizeof order);
    for (int i = 0; i < 3; i++)
        tasks[i] = test_task(body, (void *)(intptr_t)('a' + i));
    for (int i = 0; i < 3; i++)
        expect_int(tr_task_join(tasks[i], NULL, TR_FOREVER), 0);
    return 0;
}

static int three_ready(void *argument)
{
    (void)argument;
    return three(write_letter);
}

static int three_timers(void *argument)
{
    (void)argument;
    return three(write_letter_later);
}

/* How often each of the six orders comes in 600 seeds. */
static void expect_all_orders(int (*body)(void *argument))
{
    static const char *const orders[] = { "abc", "acb", "bac", "bca", "cab", "cba" };
    unsigned seen[6] = { 0 };
    for (unsigned i = 0; i < 600; i++) {
        struct tr_sim sim = { .seed = 77 + i };
        expect_int(tr_sim_run(&sim, body, NULL), 0);
        for (int j = 0; j < 6; j++)
            seen[j] += strcmp(order, orders[j]) == 0;
    }
    for (int j = 0; j < 6; j++)
        expect(seen[j] > 30);
}

START_TEST(ready_tasks_run_in_every_order)
{
    expect_all_orders(three_ready);
}
END_TEST

START_TEST(timers_of_one_time_fire_in_every_order)
{
    expect_all_orders(three_timers);
}
END_TEST

static int shared;

static int add_badly(void *argument)
{
    int read = shared;
    struct number_address *actor = argument;
    expect_int(tr_try_send(*actor, &(struct number){ 0 }), 0);
    (void)tr_send(*actor, TR_FOREVER, &(struct number){ 0 }); /* any operation may give way */
    shared = read + 1;
    return 0;
}

static int ignore(void *state, void *message)
{
    (void)state, (void)message;
    return 0;
}

static int race(void *argument)
{
    (void)argument;
    shared = 0;
    struct number_address actor = test_handler(ignore, NULL, 32, NULL);
    struct tr_task a = test_task(add_badly, &actor), b = test_task(add_badly, &actor);
    expect_int(tr_task_join(a, NULL, TR_FOREVER), 0);
    expect_int(tr_task_join(b, NULL, TR_FOREVER), 0);
    return shared == 2 ? 0 : -EIO;
}

/* An update is lost only if a task loses its worker in the middle, though it need not wait there. */
START_TEST(a_race_is_found_and_replayed)
{
    struct tr_sim sim = { .runs = 1000 };
    test_log_capture(TR_LOG_ERROR);
    expect_int(tr_sim_run(&sim, race, NULL), -EIO);
    char line[64];
    snprintf(line, sizeof line, "TR_SEED=%llu", (unsigned long long)sim.last_seed);
    expect(test_log_has(line));
    expect(sim.last_seed > 1); /* most runs go well */
    uint64_t digest = sim.digest;
    setenv("TR_SEED", line + strlen("TR_SEED="), 1);
    for (int i = 0; i < 10; i++) {
        struct tr_sim again = { .seed = 5, .runs = 100 };
        expect_int(tr_sim_run(&again, race, NULL), -EIO);
        expect(again.last_seed == sim.last_seed && again.digest == digest);
    }
    test_log_release();
}
END_TEST

/* ---- the rest of it ------------------------------------------------------------------------------------------- */

TR_CHANNEL_TYPE(letter, int);
TR_ONESHOT_TYPE(answer_oneshot, int);

static int wait_for_room(void *argument)
{
    struct letter_sender *sender = argument;
    int rc = tr_channel_send(*sender, TR_FOREVER, &(int){ 2 });
    tr_channel_sender_close(*sender);
    return rc;
}

static int wait_for_an_answer(void *argument)
{
    int answer;
    return tr_oneshot_receive((struct answer_oneshot *)argument, &answer, TR_FOREVER);
}

static int wait_for_the_other(void *argument)
{
    struct number number;
    (void)argument;
    return tr_receive(&number, TR_FOREVER);
}

static int deadlock(void *argument)
{
    struct tr_task task, sending, asking;
    struct number_address actor;
    struct letter_sender sender;
    struct letter_receiver receiver;
    struct answer_oneshot oneshot;
    (void)argument;
    struct tr_actor_options options = { .name = "patient", .task = &task };
    expect_int(tr_spawn(&actor, wait_for_the_other, NULL, &options), 0);
    expect_int(tr_channel_create(&sender, &receiver, 1, NULL), 0);
    expect_int(tr_channel_send(sender, TR_NOW, &(int){ 1 }), 0);
    expect_int(tr_task_spawn(&sending, wait_for_room, &sender, &(struct tr_task_options){ .name = "sending" }), 0);
    tr_oneshot_init(&oneshot);
    expect_int(tr_task_spawn(&asking, wait_for_an_answer, &oneshot, &(struct tr_task_options){ .name = "asking" }), 0);
    int rc = tr_task_join(task, NULL, TR_FOREVER);
    struct tr_shield shield;
    tr_shield_open(&shield, TR_FOREVER);
    tr_task_cancel(sending);
    tr_task_cancel(asking);
    expect_int(test_join(sending), -ECANCELED);
    expect_int(test_join(asking), -ECANCELED);
    tr_shield_close(&shield);
    tr_oneshot_drop(&oneshot);
    tr_channel_receiver_destroy(receiver);
    return rc;
}

START_TEST(tasks_that_wait_for_ever_are_named)
{
    struct tr_sim sim = { .runs = 3 };
    test_log_capture(TR_LOG_ERROR);
    expect_int(tr_sim_run(&sim, deadlock, NULL), -EDEADLK);
    expect(test_log_has("'patient' still waits for a message") && test_log_has("'main'"));
    expect(test_log_has("'sending' still waits for room in a channel"));
    expect(test_log_has("'asking' still waits for a oneshot"));
    test_log_release();
}
END_TEST

static int join_the_other(void *argument)
{
    int result = 5;
    (void)tr_task_join(*(struct tr_task *)argument, &result, TR_FOREVER); /* the shutdown may be quicker */
    expect_int(result, 5);
    return 0;
}

static int main_joined_by_a_task(void *argument)
{
    static struct tr_task self;
    (void)argument;
    self = tr_task_self();
    expect_int(tr_task_spawn(NULL, join_the_other, &self, NULL), 0);
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    return 5;
}

static int main_detached(void *argument)
{
    (void)argument;
    expect_int(tr_task_detach(tr_task_self()), 0);
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    return 6;
}

/* Also when it is not the runtime that joins it. */
START_TEST(result_of_main_is_returned_whoever_joins_it)
{
    struct tr_sim sim = { .seed = 1 };
    struct tr_options options = test_options(0);
    expect_int(tr_sim_run(&sim, main_joined_by_a_task, NULL), 5);
    expect_int(tr_sim_run(&sim, main_detached, NULL), 6);
    expect_int(tr_run(&options, main_joined_by_a_task, NULL), 5);
    expect_int(tr_run(&options, main_detached, NULL), 6);
}
END_TEST

static int look_at_the_world(void *argument)
{
    uint64_t *seen = argument;
    expect_int((int64_t)tr_sim_seed(), 4711);
    expect(tr_sim_digest() != 0);
    expect_int(tr_worker_count(), 1);
    expect_int(tr_clock_resume(NULL), -EINVAL);
    tr_time begin = tr_clock();
    expect_int(tr_sleep(1000 * 3600 * TR_SECOND), 0);
    expect_int(tr_clock() - begin, 1000 * 3600 * TR_SECOND);
    expect(tr_random(10) < 10);
    *seen = tr_random(0) ^ (uint64_t)begin;
    return 3;
}

START_TEST(run_with_a_seed_option)
{
    uint64_t seen[2];
    struct tr_options options = { .seed = 4711 };
    struct tr_runtime *runtime;
    for (int i = 0; i < 2; i++)
        expect_int(tr_run(&options, look_at_the_world, &seen[i]), 3);
    expect(seen[0] == seen[1]);
    expect_int(tr_start(&runtime, &options), -EINVAL);
    expect_int((int64_t)tr_sim_seed(), 0);
    expect_int((int64_t)tr_sim_digest(), 0);
    expect_int(tr_sim_run(NULL, look_at_the_world, NULL), -EINVAL);
    for (const char *const *bad = (const char *const[]){ "0", "many", "7x", "-1", "99999999999999999999", NULL }; *bad;
         bad++) {
        setenv("TR_SEED", *bad, 1);
        expect_int(tr_sim_run(&(struct tr_sim){ 0 }, look_at_the_world, seen), -EINVAL);
    }
    unsetenv("TR_SEED");
}
END_TEST

static int never_ends(void *argument)
{
    (void)argument;
    while (tr_sleep(TR_SECOND) == 0)
        note(1);
    return 0;
}

static int leave_one_behind(void *argument)
{
    (void)argument;
    test_loop(never_ends, NULL, 1, NULL); /* an actor that is deaf to its stop: it has stop_ns of its own time */
    return 0;
}

START_TEST(shutdown_is_bounded_on_the_seeds_clock)
{
    uint64_t digests[3];
    for (int i = 0; i < 3; i++) {
        struct tr_options options = { .stop_ns = 5000 * TR_SECOND };
        struct tr_sim sim = { .seed = 9, .options = &options };
        atomic_store(&event_count, 0);
        expect_int(tr_sim_run(&sim, leave_one_behind, NULL), 0);
        expect(atomic_load(&event_count) >= 5000);
        digests[i] = sim.digest;
    }
    expect(digests[0] == digests[1] && digests[1] == digests[2]);
}
END_TEST

/* Deaf to cancellation. */
static int stay_stuck(void *argument)
{
    while (tr_sleep(TR_MILLISECOND) != 1)
        tr_cancel_taken();
    return argument != NULL;
}

static int leave_a_stuck_one(void *argument)
{
    struct tr_task_options options = { .owned = argument != NULL };
    expect_int(tr_task_spawn(NULL, stay_stuck, NULL, &options), 0);
    return argument ? 7 : 0;
}

/* In a process that ends with the tasks that are left behind. */
static int run_with_stuck_ones(void)
{
    struct tr_options options = { .shutdown_ns = 30 * TR_MILLISECOND };
    struct tr_sim sim = { .options = &options, .runs = 3, .seed = 5, .digest = 1 };
    bool told = tr_sim_run(&sim, leave_a_stuck_one, NULL) == -ETIMEDOUT && sim.last_seed == 5 && sim.digest > 1;
    return told && tr_sim_run(&sim, leave_a_stuck_one, &sim) == 7 ? 0 : 1;
}

START_TEST(shutdown_that_does_not_end_fails_the_seed)
{
    expect_int(test_in_child(run_with_stuck_ones), 0);
}
END_TEST

static void *work_outside(void *argument)
{
    struct number_address *actor = argument;
    usleep(2000);
    expect_int(tr_send(*actor, TR_FOREVER, &(struct number){ .value = 1 }), 0);
    return NULL;
}

static int wait_for_outside(void *argument)
{
    pthread_t thread;
    struct tr_task task;
    (void)argument;
    struct number_address actor = test_loop(wait_for_the_other, NULL, 1, &task);
    tr_time before = tr_clock();
    expect_int(tr_clock_hold(NULL), 0);
    expect_int(pthread_create(&thread, NULL, work_outside, &actor), 0);
    expect_int(tr_task_join(task, NULL, tr_after(TR_SECOND)), 0);
    expect_int(tr_clock_release(NULL), 0);
    expect_int(tr_clock() - before, 0);
    pthread_join(thread, NULL);
    return 0;
}

START_TEST(hold_waits_for_a_thread_outside)
{
    struct tr_sim sim = { .runs = 5 };
    expect_int(tr_sim_run(&sim, wait_for_outside, NULL), 0);
}
END_TEST

SEED_TEST(seed_test_runs_its_body)
{
    static uint64_t last;
    expect(tr_sim_seed() != last);
    last = tr_sim_seed();
    expect_int(everything(NULL), 0);
}

static int never_runs(void *unused)
{
    (void)unused;
    return 1;
}

START_TEST(run_that_did_not_start_blames_no_seed)
{
    struct tr_sim sim = { .runs = 3 };
    setenv("TR_BACKEND", "URING", 1);
    test_log_capture(TR_LOG_ERROR);
    expect_int(tr_sim_run(&sim, never_runs, NULL), -EINVAL);
    expect(test_log_has("the runtime did not start") && !test_log_has("runs it alone"));
    test_log_release();
}
END_TEST

int main(void)
{
    const char *child = getenv("TEST_SEED_CHILD");
    if (child) {
        printf("digest %llx %p\n", (unsigned long long)run_everything(strtoull(child, NULL, 10)), (void *)events);
        return 0;
    }
    return test_main("seed",
                     TESTS(same_seed_is_the_same_run_whatever_was_before, same_seed_is_the_same_run_in_every_process,
                           other_seeds_are_other_runs, ready_tasks_run_in_every_order,
                           timers_of_one_time_fire_in_every_order, a_race_is_found_and_replayed,
                           tasks_that_wait_for_ever_are_named, result_of_main_is_returned_whoever_joins_it,
                           run_with_a_seed_option, shutdown_is_bounded_on_the_seeds_clock,
                           shutdown_that_does_not_end_fails_the_seed, hold_waits_for_a_thread_outside,
                           seed_test_runs_its_body, run_that_did_not_start_blames_no_seed));
}
