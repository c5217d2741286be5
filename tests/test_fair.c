/* SPDX-License-Identifier: MIT */
/* test_fair.c: everybody who is ready gets a turn, and the clock is fresh, whatever the others do on the same worker. */
#include "tests/support.h"

#include "actor/scheduler.h"
#include "actor/task.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static atomic_int over;

static void compute(int64_t nanoseconds)
{
    tr_time until = tr_clock() + nanoseconds;
    while (tr_clock() < until)
        ;
}

/* ---- more tasks than the ring holds ----------------------------------------------------------------------------- */

enum { YIELDERS = 400, TURNS = 200 };

static int yield_often(void *argument)
{
    int *turns = argument;
    while (*turns < TURNS) {
        ++*turns;
        expect_int(tr_yield(), 0);
    }
    return 0;
}

TASK_TEST_ON(1, yielding_tasks_have_equal_turns)
{
    static int turns[YIELDERS];
    struct tr_task tasks[YIELDERS];
    for (int i = 0; i < YIELDERS; i++)
        tasks[i] = test_task(yield_often, &turns[i]);
    for (int round = 0; round < TURNS / 2; round++)
        expect_int(tr_yield(), 0);
    for (int i = 0; i < YIELDERS; i++)
        expect(turns[i] >= TURNS / 4 && turns[i] <= TURNS * 3 / 4);
    for (int i = 0; i < YIELDERS; i++)
        expect_int(test_join(tasks[i]), 0);
}

/* Two who wake each other through the slot that is looked at first, while others wait in the list beyond the ring. */
static int wait_for_turn(void *argument)
{
    atomic_fetch_add((atomic_int *)argument, 1);
    return 0;
}

/* Sends each number on to the other one, until it is too large. */
struct player {
    struct number_address other;
    int most;
};

static int play(void *argument)
{
    struct player *player = argument;
    struct number message;
    do {
        expect_int(tr_receive(&message, TR_FOREVER), 0);
        message.value++;
        int rc = tr_send(player->other, TR_FOREVER, &message);
        expect(rc == 0 || (rc == -ESRCH && message.value > player->most));
    } while (message.value < player->most);
    return 0;
}

TASK_TEST_ON(1, players_let_those_beyond_the_ring_run)
{
    static atomic_int ran;
    static struct player players[2];
    struct tr_task tasks[2];
    players[0].most = players[1].most = 200 * YIELDERS;
    players[1].other = test_loop(play, &players[0], 4, &tasks[0]);
    players[0].other = test_loop(play, &players[1], 4, &tasks[1]);
    test_settle();
    for (int i = 0; i < YIELDERS; i++)
        expect_int(tr_task_spawn(NULL, wait_for_turn, &ran, NULL), 0);
    expect_int(tr_send(players[0].other, TR_FOREVER, &(struct number){ .value = 0 }), 0);
    expect_int(test_join(tasks[1]), 0);
    expect_int(atomic_load(&ran), YIELDERS);
    expect_int(test_join(tasks[0]), 0);
}

/* ---- held calls to an actor that computes ----------------------------------------------------------------------- */

static int compute_and_answer(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    compute(90 * TR_MICROSECOND);
    expect_int(tr_reply(number->reply, &number->value), 0);
    return 0;
}

static int sleep_and_answer(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    expect_int(tr_sleep(100 * TR_MICROSECOND), 0);
    tr_reply(number->reply, &number->value);
    return 0;
}

static int count_sleeps(void *argument)
{
    int *sleeps = argument;
    while (!atomic_load(&over)) {
        expect_int(tr_sleep(TR_MILLISECOND), 0);
        ++*sleeps;
    }
    return 0;
}

/* A call with time left must not be told that it is over, and a sleeper must wake, though a caller never waits. */
TASK_TEST_ON(1, held_calls_leave_time_to_others)
{
    static int sleeps;
    struct number_address busy = test_handler(compute_and_answer, NULL, 4, NULL);
    struct number_address sleepy = test_handler(sleep_and_answer, NULL, 4, NULL);
    struct tr_task sleeper = test_task(count_sleeps, &sleeps);
    int early = 0;
    for (int i = 0; i < 2000; i++) {
        int64_t answer;
        expect_int(test_ask(busy, 0, i), i);
        if (i % 100 != 99)
            continue;
        tr_time before = tr_clock();
        int rc = tr_call(sleepy, &answer, tr_after(5 * TR_MILLISECOND), &(struct number){ .value = i });
        early += rc == -ETIMEDOUT && tr_clock() - before < 2 * TR_MILLISECOND;
    }
    atomic_store(&over, 1);
    expect_int(test_join(sleeper), 0);
    expect(sleeps >= 20);
    expect(early <= 2); /* a machine that takes the processor away at the wrong moment can do that */
    expect_int(tr_actor_stop(busy), 0);
    expect_int(tr_actor_stop(sleepy), 0);
}

/* ---- a closer that is held up ----------------------------------------------------------------------------------- */

static atomic_int stalled, go_on, gates[2], inside[2];
static struct tr_runtime *runtime;

static void stall(int signal)
{
    (void)signal;
    atomic_store(&stalled, 1);
    while (!atomic_load(&go_on))
        poll(NULL, 0, 1);
}

static int wait_at_gate(void *state, void *message)
{
    int gate = (int)(intptr_t)state;
    (void)message;
    atomic_store(&inside[gate], 1);
    while (!atomic_load(&gates[gate]))
        tr_sleep(TR_MILLISECOND);
    return 0;
}

static struct number_address gated_actor(int gate)
{
    struct number_address address;
    struct tr_actor_options options = { .capacity = 1, .runtime = runtime };
    expect_int(tr_spawn_handler(&address, wait_at_gate, (void *)(intptr_t)gate, &options), 0);
    return address;
}

static void *send_one_more(void *argument)
{
    struct number_address *address = argument;
    return (void *)(intptr_t)tr_send(*address, TR_FOREVER, &(struct number){ .value = 3 });
}

static void *close_actor(void *argument)
{
    struct number_address *address = argument;
    return (void *)(intptr_t)tr_actor_stop(*address);
}

/* One message is being handled, one is queued, and a thread waits for room. */
static pthread_t fill(struct number_address *address, int gate)
{
    struct tri_task *record = address->tri_raw.tri_record;
    pthread_t sender;
    expect_int(tr_send(*address, TR_FOREVER, &(struct number){ .value = 1 }), 0);
    while (!atomic_load(&inside[gate]))
        usleep(100);
    expect_int(tr_send(*address, TR_FOREVER, &(struct number){ .value = 2 }), 0);
    expect_int(pthread_create(&sender, NULL, send_one_more, address), 0);
    while (!(tri_load(&record->mailbox.tail, TRI_ACQUIRE) & TRI_TAIL_WAIT))
        usleep(100);
    return sender;
}

static intptr_t result_of(pthread_t thread)
{
    void *result;
    expect_int(pthread_join(thread, &result), 0);
    return (intptr_t)result;
}

/* It has closed the mailbox and is about to tell those who wait there, when actor and record have found their ends. */
START_TEST(late_closer_harms_no_next_tenant)
{
    struct tr_options options = test_options(1);
    options.no_caches = true;
    signal(SIGUSR1, stall);
    expect_int(tr_start(&runtime, &options), 0);
    pthread_t closer;
    struct number_address first = gated_actor(0), second;
    struct tri_task *record = first.tri_raw.tri_record;
    pthread_t sender = fill(&first, 0);
    tri_lock(&record->mailbox.lock);
    expect_int(pthread_create(&closer, NULL, close_actor, &first), 0);
    while (!(tri_load(&record->mailbox.tail, TRI_ACQUIRE) & TRI_TAIL_CLOSED))
        usleep(100);
    usleep(2000); /* it comes to the lock */
    pthread_kill(closer, SIGUSR1);
    while (!atomic_load(&stalled))
        usleep(100);
    tri_unlock(&record->mailbox.lock);
    atomic_store(&gates[0], 1);
    expect_int(result_of(sender), -ESRCH);
    while (tri_task_generation(record) == first.tri_raw.tri_generation)
        usleep(100);
    do
        second = gated_actor(1);
    while (second.tri_raw.tri_record != record);
    sender = fill(&second, 1);
    atomic_store(&go_on, 1);
    expect_int(result_of(closer), 0);
    atomic_store(&gates[1], 1);
    expect_int(result_of(sender), 0);
    expect_int(tr_stop(runtime, tr_clock() + LONG_TIME), 0);
}
END_TEST

/* ---- who yields to nobody is no hog ----------------------------------------------------------------------------- */

/* Unless the machine has kept the thread from running for so long that it seems to be one. */
TASK_TEST_ON(2, yielding_to_nobody_is_not_hogging)
{
    tr_time start = tr_clock(), before = start, longest = 0;
    test_log_capture(TR_LOG_WARNING);
    while (before < start + 600 * TR_MILLISECOND) {
        expect_int(tr_yield(), 0);
        tr_time now = tr_clock();
        longest = now - before > longest ? now - before : longest;
        before = now;
    }
    expect(!test_log_has("has kept worker") || longest > 100 * TR_MILLISECOND);
    test_log_release();
}

/* Handlers that send to each other never leave their loop's stack, and give way after each message all the same. */
struct talker {
    struct number_address other;
    struct tri_worker *worker; /* that the last message was taken by, */
    uint64_t progress;         /* and what the sentry could see there */
};

static int send_on(void *state, void *message)
{
    struct talker *talker = state;
    struct number *number = message;
    struct tri_worker *worker = tri_worker_here();
    expect(worker != talker->worker || tri_progress(worker) != talker->progress);
    talker->worker = worker;
    talker->progress = tri_progress(worker);
    if (--number->value > 0)
        expect_int(tr_send(talker->other, TR_FOREVER, number), 0);
    else
        atomic_store(&over, 1);
    return 0;
}

TASK_TEST_ON(1, handlers_that_converse_are_no_hogs)
{
    static struct talker talkers[2];
    struct tr_task tasks[2];
    for (int i = 0; i < 2; i++) {
        struct tr_actor_options options = { .task = &tasks[i] };
        expect_int(tr_spawn_handler(&talkers[!i].other, send_on, &talkers[i], &options), 0);
    }
    expect_int(tr_send(talkers[0].other, TR_FOREVER, &(struct number){ .value = 20000 }), 0);
    wait_until(atomic_load(&over));
    for (int i = 0; i < 2; i++)
        expect_int(tr_actor_stop(talkers[!i].other), 0);
    for (int i = 0; i < 2; i++)
        expect_int(test_join(tasks[i]), 0);
}

/* ---- beside tasks that keep their workers to themselves ----------------------------------------------------------- */

static int hog_until_run(void *argument)
{
    tr_time end = tr_clock() + LONG_TIME;
    while (!atomic_load((atomic_int *)argument) && tr_clock() < end)
        sched_yield();
    return 0;
}

/*
 * All sleep for good, and one gets work of its own that hogs it. Whoever is to look after ours must be another, also if the
 * first was still asleep when somebody was asked.
 */
static int make_ready_beside_hogs(void *argument)
{
    static atomic_int ran;
    (void)argument;
    for (int round = 0; round < 3; round++) {
        struct tr_task hog, beside[2]; /* one in the ring, one in the slot: not every system lets that be raided */
        expect_int(tr_sleep(100 * TR_MILLISECOND), 0);
        atomic_store(&ran, 0);
        expect_int(tr_task_spawn(&hog, hog_until_run, &ran, &(struct tr_task_options){ .pin = TR_PIN(1) }), 0);
        for (int i = 0; i < 2; i++)
            expect_int(tr_task_spawn(&beside[i], wait_for_turn, &ran, NULL), 0);
        hog_until_run(&ran);
        expect(atomic_load(&ran) > 0);
        expect_int(test_join(hog), 0);
        for (int i = 0; i < 2; i++)
            expect_int(test_join(beside[i]), 0);
    }
    return 0;
}

static int run_pinned(void *argument)
{
    struct tr_task task;
    expect_int(tr_task_spawn(&task, make_ready_beside_hogs, argument, &(struct tr_task_options){ .pin = TR_PIN(0) }),
               0);
    return test_join(task);
}

START_TEST(a_task_beside_two_hogs_comes_to_run_elsewhere)
{
    struct tr_options options = test_options(4);
    options.migrate_always = false; /* it would be sent to the other hog */
    expect_int(tr_run(&options, run_pinned, NULL), 0);
}
END_TEST

/* ---- those who come from outside -------------------------------------------------------------------------------- */

/* It may hear of the end by the cancel of the runtime's stop first. */
static int yield_until_over(void *argument)
{
    (void)argument;
    int rc = 0;
    while (!atomic_load(&over) && rc == 0)
        rc = tr_yield();
    expect(rc == 0 || (rc == -ECANCELED && atomic_load(&over)));
    return 0;
}

static int note_turn(void *argument)
{
    atomic_store((atomic_int *)argument, 1);
    return 0;
}

static bool comes_to_run(struct tr_runtime *there, int pin)
{
    static atomic_int ran;
    struct tr_task task;
    atomic_store(&ran, 0);
    expect_int(tr_task_spawn(&task, note_turn, &ran, &(struct tr_task_options){ .runtime = there, .pin = pin }), 0);
    for (int i = 0; i < 100000 && !atomic_load(&ran); i++)
        usleep(100);
    expect_int(tr_task_detach(task), 0);
    return atomic_load(&ran);
}

/* Also when the ring is full at each pass: its size and one more yield, and the one is running. */
static void come_beside(int workers, int yielders)
{
    struct tr_options options = test_options((uint32_t)workers);
    struct tr_runtime *there;
    atomic_store(&over, 0);
    expect_int(tr_start(&there, &options), 0);
    for (int i = 0; i < yielders; i++)
        expect_int(tr_task_spawn(NULL, yield_until_over, NULL, &(struct tr_task_options){ .runtime = there }), 0);
    for (int i = 0; i < 3; i++) {
        expect(comes_to_run(there, 0));
        expect(comes_to_run(there, TR_PIN(i % workers)));
    }
    atomic_store(&over, 1);
    expect_int(tr_stop(there, tr_clock() + LONG_TIME), 0);
}

START_TEST(a_full_ring_keeps_nobody_out)
{
    static const int yielders[] = { 256, 257, 300, 1200 };
    for (size_t i = 0; i < sizeof yielders / sizeof *yielders; i++) {
        come_beside(1, yielders[i]);
        come_beside(2, 2 * yielders[i]);
    }
}
END_TEST

/* ---- one worker, in turn --------------------------------------------------------------------------------------- */

enum { IN_TURN = 8, ROUNDS = 40 };

struct turns {
    int taken, order[IN_TURN * ROUNDS];
};

struct in_turn {
    struct turns *turns;
    int number;
};

static int take_turns(void *argument)
{
    struct in_turn *me = argument;
    for (int i = 0; i < ROUNDS; i++) {
        me->turns->order[me->turns->taken++] = me->number;
        expect_int(tr_yield(), 0);
    }
    return 0;
}

static int go_round(void *argument)
{
    (void)argument;
    struct turns turns = { 0 };
    struct in_turn each[IN_TURN];
    struct tr_task tasks[IN_TURN];
    for (int i = 0; i < IN_TURN; i++) {
        each[i] = (struct in_turn){ &turns, i };
        /* Two of three are pinned, so that each kind follows itself and the other. */
        struct tr_task_options options = { .pin = i % 3 ? TR_PIN(0) : 0 };
        expect_int(tr_task_spawn(&tasks[i], take_turns, &each[i], &options), 0);
    }
    for (int i = 0; i < IN_TURN; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(turns.taken, IN_TURN * ROUNDS);
    for (int i = IN_TURN; i < IN_TURN * ROUNDS; i++)
        expect_int(turns.order[i], turns.order[i - IN_TURN]);
    return 0;
}

/* Not with forced migration, where those that are not pinned go another way than those that are. */
START_TEST(pinned_tasks_and_others_yield_in_turn)
{
    struct tr_options options = test_options(1);
    options.migrate_always = false;
    expect_int(tr_run(&options, go_round, NULL), 0);
}
END_TEST

/* Each time less than the budget; what all have used between two turns of one is more. */
static int work_undisturbed(void *argument)
{
    int *runs = argument;
    for (int i = 0; i < ROUNDS; i++) {
        int before = ++*runs;
        for (int k = 0; k < 60; k++)
            expect_int(tr_sleep(0), 0);
        expect_int(*runs, before);
        expect_int(tr_yield(), 0);
    }
    return 0;
}

TASK_TEST_ON(1, a_task_that_is_resumed_has_a_budget_of_its_own)
{
    int runs = 0;
    struct tr_task tasks[IN_TURN];
    for (int i = 0; i < IN_TURN; i++)
        tasks[i] = test_task(work_undisturbed, &runs);
    for (int i = 0; i < IN_TURN; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(runs, IN_TURN * ROUNDS);
}

struct novices {
    int runs;
    atomic_int hogging, over;
};

static int hog_until_over(void *argument)
{
    struct novices *novices = argument;
    atomic_store(&novices->hogging, 1);
    while (!atomic_load(&novices->over))
        ;
    return 0;
}

static int use_up_most_and_yield(void *argument)
{
    struct novices *novices = argument;
    for (int k = 0; k < 100; k++)
        expect_int(tr_sleep(0), 0);
    expect_int(tr_yield(), 0);
    novices->runs++;
    return 0;
}

static int begin_undisturbed(void *argument)
{
    struct novices *novices = argument;
    int before = ++novices->runs;
    for (int k = 0; k < 60; k++)
        expect_int(tr_sleep(0), 0);
    expect_int(novices->runs, before);
    return 0;
}

/* On one of two workers, the other being busy: the novice stands in the ring when the one before it yields. */
static int send_novices(void *argument)
{
    struct novices *novices = argument;
    struct tr_task hog;
    expect_int(tr_task_spawn(&hog, hog_until_over, novices, &(struct tr_task_options){ .pin = TR_PIN(1) }), 0);
    wait_until(atomic_load(&novices->hogging));
    for (int i = 0; i < 50; i++) {
        struct tr_task novice = test_task(begin_undisturbed, novices);
        struct tr_task before = test_task(use_up_most_and_yield, novices);
        expect_int(tr_yield(), 0);
        novices->runs++;
        expect_int(test_join(novice), 0);
        expect_int(test_join(before), 0);
    }
    atomic_store(&novices->over, 1);
    return test_join(hog);
}

static int send_novices_on_the_first(void *argument)
{
    struct tr_task task;
    expect_int(tr_task_spawn(&task, send_novices, argument, &(struct tr_task_options){ .pin = TR_PIN(0) }), 0);
    return test_join(task);
}

START_TEST(a_task_that_begins_has_a_budget_of_its_own)
{
    struct novices novices = { 0 };
    struct tr_options options = test_options(2);
    options.migrate_always = false; /* it would not be in the ring */
    expect_int(tr_run(&options, send_novices_on_the_first, &novices), 0);
    expect_int(novices.runs, 150);
}
END_TEST

/* ---- calls that find what they want --------------------------------------------------------------------------- */

TR_CHANNEL_TYPE(plain, int64_t);

static int pass_to_oneself(struct plain_sender sender, struct plain_receiver receiver)
{
    int64_t number = 1;
    expect_int(tr_channel_send(sender, TR_FOREVER, &number), 0);
    return tr_channel_receive(receiver, &number, TR_FOREVER);
}

/* Another task gets its turn although none of the calls has to wait: after 128 of them at the latest. */
TASK_TEST_ON(1, calls_that_need_not_wait_use_up_the_budget)
{
    static atomic_int turn;
    struct plain_sender sender;
    struct plain_receiver receiver;
    expect_int(tr_channel_create(&sender, &receiver, 4, NULL), 0);
    for (int way = 0; way < 2; way++) {
        int calls = 0;
        atomic_store(&turn, 0);
        struct tr_task task = test_task(note_turn, &turn);
        for (; !atomic_load(&turn) && calls < 1000; calls++)
            expect_int(way == 0 ? tr_sleep(0) : pass_to_oneself(sender, receiver), 0);
        expect(calls > 0 && calls <= (way == 0 ? 128 : 64));
        expect_int(test_join(task), 0);
    }
    tr_channel_sender_close(sender);
    tr_channel_receiver_destroy(receiver);
}

int main(void)
{
    return test_main("fair",
                     TESTS(yielding_tasks_have_equal_turns, players_let_those_beyond_the_ring_run,
                           held_calls_leave_time_to_others, late_closer_harms_no_next_tenant,
                           yielding_to_nobody_is_not_hogging, handlers_that_converse_are_no_hogs,
                           a_task_beside_two_hogs_comes_to_run_elsewhere, a_full_ring_keeps_nobody_out,
                           pinned_tasks_and_others_yield_in_turn, a_task_that_is_resumed_has_a_budget_of_its_own,
                           a_task_that_begins_has_a_budget_of_its_own, calls_that_need_not_wait_use_up_the_budget));
}
