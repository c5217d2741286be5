/* SPDX-License-Identifier: MIT */
/*
 * model_mailbox.c: the mailbox with room: claim, publish, take, idle; storage that comes with the first message and goes
 * when the mailbox is idle; and the lives of one record.
 *
 *   idle     two senders, and a handler consumer that goes idle and is scheduled again. Messages arrive once, in order
 *            per sender; exactly one sender schedules; no storage is lost or shared
 *   workers  the same with two workers that take turns to run the consumer, one sender
 *   stop     the same, and the sender closes the mailbox; what it wrote before that is seen by who finds it drained
 *   loop     a loop consumer, which keeps its storage and parks; there is room for one of two senders
 *   full     two find the mailbox full; one may learn from the other's copy of the head that there is room
 *   unidle   a loop consumer that takes its idle mark back
 *   is drained    a loop consumer that asks whether there will be anything more
 *   lives    send x close x the next tenant of the same record, of another shape: a message arrives at its own tenant
 *            or the sender is told -ESRCH
 *   closers  two close the first tenant while it makes way for the second
 *   hand     callers hand their messages to the idle handler and run it, as hand_over in actor/call.c: its state passes with
 *            the idle mark alone, and the tail looks as it did before
 *   hand, stop    one of them closes instead
 *   hand, send    one of them sends, a message that is not short
 *   hand, lives   the actor is stopped and the record gets its next tenant, of the same kind: nothing is handed to him
 */
#include "fake_record.h"

static int send_one(uint64_t generation, uint64_t message, bool *schedule)
{
    struct tri_mailbox_ref ref = ref_of(generation);
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    int rc;
    while ((rc = tri_mailbox_send(&ref, my_cache(), &letter, schedule)) == -EAGAIN)
        tri_spin();
    results[model_self() + 1] = rc;
    return rc;
}

static void send_to(uint64_t generation, uint64_t message)
{
    bool schedule;
    send_one(generation, message, &schedule);
    put_in_queue(schedule);
}

/* One run of a handler actor: everything there is. Returns true when the mailbox is closed and drained. */
static bool run_handler(void)
{
    enum tri_idle idle;
    while ((idle = run_consumer()) == TRI_IDLE_RETRY)
        tri_spin();
    return idle == TRI_IDLE_DRAINED;
}

/* ---- idle ---- */

static void idle_setup(void)
{
    begin_record(4, sizeof(uint64_t), TR_OVERFLOW_WAIT, true);
}

static void send_10_11(void)
{
    send_to(1, 10);
    send_to(1, 11);
}

static void send_20(void)
{
    send_to(1, 20);
}

static void idle_consumer(void)
{
    while (got_count < 3) {
        take_from_queue();
        run_handler();
    }
}

static void idle_check(void)
{
    check_order(3);
    model_assert(tri_load(&record.mailbox.tail, TRI_RELAXED) & TRI_TAIL_IDLE);
    model_assert(tri_tail_storage(tri_load(&record.mailbox.tail, TRI_RELAXED)) == 0);
    check_storages(0);
}

/* ---- workers: all the consumer's state must pass with the idle mark, the schedule and the queue ---- */

static TRI_ATOMIC(uint32_t) over;

static bool is_work(const void *unused)
{
    (void)unused;
    return model_peek(&scheduled) != 0 || model_peek(&over) != 0;
}

static void worker(void)
{
    for (;;) {
        model_block(is_work, NULL);
        if (tri_exchange(&scheduled, 0u, TRI_ACQ_REL) == 0)
            return;
        /* got_count is the actor's own state: it passes from run to run without any order of its own. */
        enum tri_idle idle;
        uint64_t message;
        struct tri_debt debt;
        bool last = false;
        do {
            while (tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), &message, sizeof message, &debt) ==
                   TRI_TAKE_MESSAGE) {
                got[got_count++] = message;
                last = got_count == 2;
            }
            idle = tri_mailbox_idle(&record.mailbox, &record.consumer, my_cache());
            if (idle == TRI_IDLE_RETRY)
                tri_spin();
        } while (idle == TRI_IDLE_RETRY);
        if (last)
            tri_store(&over, 1u, TRI_RELAXED);
    }
}

static void workers_check(void)
{
    check_order(2);
    check_storages(0);
}

/* ---- stop: the close schedules an idle consumer, which another worker may run ---- */

static int told; /* before the close */

static void send_and_stop(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    bool schedule;
    send_to(1, 10);
    told = 1;
    model_assert(tri_mailbox_close(&ref, &schedule) == 0);
    put_in_queue(schedule);
}

static void stop_worker(void)
{
    for (;;) {
        model_block(is_work, NULL);
        if (tri_exchange(&scheduled, 0u, TRI_ACQ_REL) == 0)
            return;
        if (!run_handler())
            continue;
        model_assert(told == 1);
        tri_mailbox_finish(&record.mailbox, &record.consumer, my_cache());
        tri_store(&over, 1u, TRI_RELAXED);
    }
}

static void stop_check(void)
{
    check_order(1);
    check_storages(0);
}

/* ---- is drained ---- */

static void poll_consumer(void)
{
    uint64_t message;
    struct tri_debt debt;
    for (;;) {
        while (tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), &message, sizeof message, &debt) ==
               TRI_TAKE_MESSAGE)
            got[got_count++] = message;
        if (tri_mailbox_is_drained(&record.mailbox, &record.consumer))
            break;
        tri_spin();
    }
    model_assert(told == 1);
    model_assert(tri_mailbox_idle(&record.mailbox, &record.consumer, my_cache()) == TRI_IDLE_DRAINED);
    tri_mailbox_finish(&record.mailbox, &record.consumer, my_cache());
}

static void stop_busy(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    bool schedule;
    send_to(1, 10);
    told = 1;
    model_assert(tri_mailbox_close(&ref, &schedule) == 0 && !schedule);
}

/* ---- loop ---- */

static void loop_setup(void)
{
    begin_record(2, sizeof(uint64_t), TR_OVERFLOW_WAIT, false);
}

static void loop_send(uint64_t message)
{
    bool schedule;
    model_assert(send_one(1, message, &schedule) == 0);
    if (schedule)
        tri_wake(&fake_tasks[3]);
}

static void loop_sender_1(void)
{
    loop_send(10);
}

static void loop_sender_2(void)
{
    loop_send(20);
}

static void loop_one_setup(void)
{
    loop_setup();
    loop_send(30);
}

static void loop_consumer(void)
{
    while (got_count < 3) {
        enum tri_idle idle = run_consumer();
        if (got_count == 3)
            break;
        if (idle == TRI_IDLE_DONE)
            tri_park_tail(TRI_WAIT_MESSAGE);
        else
            tri_spin();
    }
}

static void loop_check(void)
{
    check_order(3);
    check_storages(tri_tail_storage(tri_load(&record.mailbox.tail, TRI_RELAXED)) != 0);
}

/* ---- full ---- */

static void full_setup(void)
{
    loop_setup();
    loop_send(30);
    loop_send(31);
}

/* Makes room, no more. */
static void full_consumer(void)
{
    struct tri_debt debt;
    for (; got_count < 2; got_count++)
        model_assert(tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), &got[got_count], sizeof *got,
                                      &debt) == TRI_TAKE_MESSAGE);
}

static void full_check(void)
{
    model_assert(run_consumer() == TRI_IDLE_DONE);
    check_order(4);
    check_storages(1);
}

/* A loop consumer woken for something else takes its idle mark back, and leaves; then looks again. */
static void unidle_consumer(void)
{
    if (run_consumer() == TRI_IDLE_DONE)
        tri_mailbox_unidle(&record.mailbox);
    while (got_count < 2) {
        enum tri_idle idle = run_consumer();
        if (got_count == 2)
            break;
        if (idle == TRI_IDLE_DONE)
            tri_park_tail(TRI_WAIT_MESSAGE);
        else
            tri_spin();
    }
}

static void unidle_check(void)
{
    check_order(2);
    check_storages(tri_tail_storage(tri_load(&record.mailbox.tail, TRI_RELAXED)) != 0);
}

static void unidle_sender(void)
{
    bool schedule;
    use_storage();
    for (uint64_t message = 10; message < 12; message++) {
        model_assert(send_one(1, message, &schedule) == 0);
        if (schedule)
            tri_wake(&fake_tasks[2]);
    }
}

/* ---- lives ---- */

static void lives_setup(void)
{
    begin_record(2, sizeof(uint64_t), TR_OVERFLOW_WAIT, true);
}

static void lives_sender(void)
{
    send_to(1, 10);
}

static void lives_closer(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    bool schedule;
    model_assert(tri_mailbox_close(&ref, &schedule) == 0);
    put_in_queue(schedule);
}

/* Two close the first tenant: one is told that it did, and neither closes the second. */
static void late_closer(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    bool schedule;
    int rc = tri_mailbox_close(&ref, &schedule);
    model_assert(rc == 0 || rc == -ESRCH);
    put_in_queue(schedule);
    results[model_self() + 1] = rc;
}

static void close_check(void)
{
    model_assert((results[1] == 0) != (results[2] == 0));
    model_assert(!(tri_load(&record.mailbox.tail, TRI_RELAXED) & TRI_TAIL_CLOSED));
    check_storages(0);
}

/* Runs the first tenant to its end and lets the second in, with another message size and capacity. */
static void lives_consumer(void)
{
    do
        take_from_queue();
    while (!run_handler());
    tri_mailbox_finish(&record.mailbox, &record.consumer, my_cache());
    tri_store(&record.life, UINT64_C(2) << TRI_LIFE_SHIFT, TRI_RELAXED);
    tri_mailbox_init(&record.mailbox, &record.consumer, 1, 2 * sizeof(uint64_t), TR_OVERFLOW_WAIT, true);
}

/* The second tenant has got nothing of the first's, and works. */
static void lives_check(void)
{
    struct tri_mailbox_ref ref = ref_of(2);
    uint64_t sent[2] = { 50, 51 }, message[2];
    struct tri_letter letter = { .message = sent, .bytes = sizeof sent };
    struct tri_debt debt;
    bool schedule;
    model_assert(results[1] == 0 || results[1] == -ESRCH);
    check_order(results[1] == 0);
    model_assert(tri_mailbox_length(&record.mailbox, &record.consumer) == 0);
    model_assert(tri_mailbox_send(&ref, my_cache(), &letter, &schedule) == 0 && schedule);
    model_assert(tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), message, sizeof message, &debt) ==
                 TRI_TAKE_MESSAGE);
    model_assert(message[0] == 50 && message[1] == 51);
    model_assert(tri_mailbox_idle(&record.mailbox, &record.consumer, my_cache()) == TRI_IDLE_DONE);
    check_storages(0);
}

/* ---- hand ---- */

static void *own; /* the handler's, plain: each run frees what the run before has left */

static void run_owner(void)
{
    free(own);
    own = malloc(8);
}

static void hand_over(uint64_t message)
{
    struct tri_mailbox_ref ref = ref_of(1);
    if (!tri_mailbox_claim_idle(&ref, sizeof message)) {
        send_to(1, message);
        return;
    }
    got[got_count++] = message;
    run_owner();
    run_handler();
}

static void hand_10(void)
{
    hand_over(10);
}

static void hand_20(void)
{
    hand_over(20);
}

static void hand_30(void)
{
    hand_over(30);
}

static void hand_worker(void)
{
    for (;;) {
        take_from_queue();
        run_owner();
        run_handler();
    }
}

static void hand_check(void)
{
    check_order(3);
    check_storages(0);
}

static void hand_stop(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    bool schedule;
    model_assert(tri_mailbox_close(&ref, &schedule) == 0);
    if (!schedule)
        return;
    run_owner();
    run_handler();
}

static void hand_stop_10(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    if (!tri_mailbox_claim_idle(&ref, sizeof(uint64_t)))
        return;
    got[got_count++] = 10;
    run_owner();
    run_handler();
}

static void hand_stop_check(void)
{
    model_assert(got_count <= 1);
    check_storages(0);
}

/* ---- hand, lives ---- */

static int tenant = 1; /* plain: who runs knows who it is */

static void hand_to_first(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    if (!tri_mailbox_claim_idle(&ref, sizeof(uint64_t)))
        return;
    model_assert(tenant == 1);
    got[got_count++] = 10;
    if (!run_handler())
        return;
    tri_mailbox_finish(&record.mailbox, &record.consumer, my_cache());
}

static void replace_first(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    bool schedule;
    model_assert(tri_mailbox_close(&ref, &schedule) == 0);
    if (!schedule || !run_handler())
        return;
    tri_mailbox_finish(&record.mailbox, &record.consumer, my_cache());
    tenant = 2;
    tri_store(&record.life, UINT64_C(2) << TRI_LIFE_SHIFT, TRI_RELAXED);
    tri_mailbox_init(&record.mailbox, &record.consumer, 4, sizeof(uint64_t), TR_OVERFLOW_WAIT, true);
}

/* Four bytes: by the long way. */
static uint32_t words[8];
static unsigned word_count;

static bool run_words(void)
{
    uint32_t word;
    struct tri_debt debt;
    enum tri_idle idle;
    run_owner();
    for (;;) {
        while (tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), &word, sizeof word, &debt) ==
               TRI_TAKE_MESSAGE)
            words[word_count++] = word;
        idle = tri_mailbox_idle(&record.mailbox, &record.consumer, my_cache());
        if (idle != TRI_IDLE_RETRY)
            return idle == TRI_IDLE_DRAINED;
        tri_spin();
    }
}

static void words_setup(void)
{
    begin_record(2, sizeof(uint32_t), TR_OVERFLOW_WAIT, true);
}

static void hand_word(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    if (tri_mailbox_claim_idle(&ref, sizeof(uint32_t)))
        run_words();
}

static void send_word(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    uint32_t word = 7;
    struct tri_letter letter = { .message = &word, .bytes = sizeof word };
    bool schedule;
    model_assert(tri_mailbox_send(&ref, my_cache(), &letter, &schedule) == 0);
    if (schedule)
        run_words();
}

static void words_check(void)
{
    model_assert(word_count == 1 && words[0] == 7);
    check_storages(0);
}

static const struct model_case cases[] = {
    { .name = "lives",
      .setup = lives_setup,
      .check = lives_check,
      .threads = { { "sender", lives_sender, 0 }, { "closer", lives_closer, 0 }, { "consumer", lives_consumer, 0 } } },
    { .name = "closers",
      .setup = lives_setup,
      .check = close_check,
      .threads = { { "closer", late_closer, 0 },
                   { "late closer", late_closer, 0 },
                   { "consumer", lives_consumer, 0 } } },
    { .name = "stop",
      .setup = idle_setup,
      .check = stop_check,
      .threads = { { "sender", send_and_stop, 0 }, { "worker 1", stop_worker, 0 }, { "worker 2", stop_worker, 0 } } },
    { .name = "workers",
      .setup = idle_setup,
      .check = workers_check,
      .threads = { { "sender", send_10_11, 0 }, { "worker 1", worker, 0 }, { "worker 2", worker, 0 } } },
    { .name = "idle",
      .setup = idle_setup,
      .check = idle_check,
      .threads = { { "sender 1", send_10_11, 0 }, { "sender 2", send_20, 0 }, { "consumer", idle_consumer, 0 } } },
    { .name = "is drained",
      .setup = loop_setup,
      .check = stop_check,
      .threads = { { "sender", stop_busy, 0 }, { "consumer", poll_consumer, 0 } } },
    { .name = "unidle",
      .setup = loop_setup,
      .check = unidle_check,
      .threads = { { "sender", unidle_sender, 0 }, { "consumer", unidle_consumer, 0 } } },
    { .name = "hand",
      .setup = idle_setup,
      .check = hand_check,
      .threads = { { "caller 1", hand_10, 0 },
                   { "caller 2", hand_20, 0 },
                   { "caller 3", hand_30, 0 },
                   { "worker", hand_worker, true } } },
    { .name = "hand, stop",
      .setup = idle_setup,
      .check = hand_stop_check,
      .threads = { { "caller", hand_stop_10, 0 }, { "closer", hand_stop, 0 } } },
    { .name = "hand, lives",
      .setup = idle_setup,
      .check = hand_stop_check,
      .threads = { { "caller", hand_to_first, 0 }, { "closer", replace_first, 0 } } },
    { .name = "hand, send",
      .setup = words_setup,
      .check = words_check,
      .threads = { { "caller", hand_word, 0 }, { "sender", send_word, 0 } } },
    { .name = "loop",
      .setup = loop_one_setup,
      .check = loop_check,
      .threads = { { "sender 1", loop_sender_1, 0 },
                   { "sender 2", loop_sender_2, 0 },
                   { "consumer", loop_consumer, 0 } } },
    { .name = "full",
      .setup = full_setup,
      .check = full_check,
      .threads = { { "sender 1", loop_sender_1, 0 },
                   { "sender 2", loop_sender_2, 0 },
                   { "consumer", full_consumer, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
