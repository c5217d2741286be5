/* SPDX-License-Identifier: MIT */
/*
 * model_mailbox.c: the mailbox with room: claim, publish, take, idle; storage that comes with the first message and goes
 * when the mailbox is idle; and the lives of one record.
 *
 *   idle     two senders, and a handler consumer that goes idle and is scheduled again. Messages arrive once, in order
 *            per sender; exactly one sender schedules; no storage is lost or shared
 *   loop     the same with a loop consumer, which keeps its storage and parks
 *   lives    send x close x the next tenant of the same record, of another shape: a message arrives at its own tenant
 *            or the sender is told -ESRCH
 */
#include "mailbox_parts.h"

enum { SENDERS = 2 };

static uint64_t got[8], results[MODEL_THREADS + 1];
static unsigned got_count, wanted;

static void send_to(uint64_t generation, uint64_t message)
{
    struct tri_mailbox_ref ref = ref_of(generation);
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    bool schedule;
    int rc;
    while ((rc = tri_mailbox_send(&ref, my_cache(), &letter, &schedule)) == -EAGAIN)
        tri_spin();
    put_in_queue(schedule);
    results[model_self() + 1] = (uint64_t)-rc;
}

/* One run of a handler actor: everything there is. Returns true when the mailbox is closed and drained. */
static bool run_handler(void)
{
    uint64_t message;
    struct tri_debt debt;
    for (;;) {
        if (tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), &message, &debt) == TRI_TAKE_MESSAGE) {
            got[got_count++] = message;
            continue;
        }
        switch (tri_mailbox_idle(&record.mailbox, &record.consumer, my_cache())) {
        case TRI_IDLE_DONE:
            return false;
        case TRI_IDLE_DRAINED:
            return true;
        case TRI_IDLE_RETRY:
            tri_spin();
        }
    }
}

static void check_order(void)
{
    model_assert(got_count == wanted);
    for (unsigned i = 0; i < got_count; i++)
        for (unsigned j = 0; j < i; j++)
            model_assert(got[i] != got[j] && (got[i] / 10 != got[j] / 10 || got[j] < got[i]));
}

/* ---- idle ---- */

static void idle_setup(void)
{
    wanted = 3;
    begin_record(4, sizeof(uint64_t), true);
}

static void idle_sender_1(void)
{
    send_to(1, 10);
    send_to(1, 11);
}

static void idle_sender_2(void)
{
    send_to(1, 20);
}

/* The consumer's state passes through its frame: a run begins only after the one before has let go. */
static void idle_consumer(void)
{
    while (got_count < wanted) {
        take_from_queue();
        run_handler();
    }
}

static void idle_check(void)
{
    check_order();
    model_assert(tri_load(&record.mailbox.tail, TRI_RELAXED) & TRI_TAIL_IDLE);
    model_assert(storage_of(tri_load(&record.mailbox.tail, TRI_RELAXED)) == 0);
    check_storages(0);
}

/* Two workers may run the consumer in turns: all its state must pass with the idle mark and the schedule. */
static TRI_ATOMIC(uint32_t) runs;
static bool running;

static bool is_over(const void *unused)
{
    (void)unused;
    return model_peek(&scheduled) != 0 || model_peek(&runs) == 3;
}

static void idle_worker(void)
{
    for (;;) {
        model_block(is_over, NULL);
        if (tri_exchange(&scheduled, 0u, TRI_ACQ_REL) == 0)
            return;
        model_assert(!running);
        running = true;
        unsigned before = got_count;
        uint64_t message;
        struct tri_debt debt;
        for (enum tri_idle idle = TRI_IDLE_RETRY; idle == TRI_IDLE_RETRY;) {
            while (tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), &message, &debt) ==
                   TRI_TAKE_MESSAGE)
                got[got_count++] = message;
            unsigned taken = got_count - before;
            before = got_count;
            if (taken)
                tri_fetch_add(&runs, taken, TRI_RELAXED);
            running = false;
            idle = tri_mailbox_idle(&record.mailbox, &record.consumer, my_cache());
            if (idle == TRI_IDLE_RETRY) {
                running = true;
                tri_spin();
            }
        }
    }
}

/* ---- loop ---- */

static void loop_setup(void)
{
    wanted = 3;
    begin_record(2, sizeof(uint64_t), false);
}

static void loop_send(uint64_t message)
{
    struct tri_mailbox_ref ref = ref_of(1);
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    bool schedule;
    int rc;
    while ((rc = tri_mailbox_send(&ref, my_cache(), &letter, &schedule)) == -EAGAIN)
        tri_spin();
    model_assert(rc == 0);
    if (schedule)
        tri_wake(&fake_tasks[3]);
}

static void loop_sender_1(void)
{
    loop_send(10);
    loop_send(11);
}

static void loop_sender_2(void)
{
    loop_send(20);
}

static void loop_consumer(void)
{
    uint64_t message;
    struct tri_debt debt;
    while (got_count < wanted) {
        if (tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), &message, &debt) == TRI_TAKE_MESSAGE) {
            got[got_count++] = message;
            continue;
        }
        enum tri_idle idle = tri_mailbox_idle(&record.mailbox, &record.consumer, my_cache());
        if (idle == TRI_IDLE_DONE)
            tri_park_tail(TRI_WAIT_MESSAGE);
        else
            tri_spin();
    }
}

static void loop_check(void)
{
    check_order();
    check_storages(storage_of(tri_load(&record.mailbox.tail, TRI_RELAXED)) != 0);
}

/* ---- lives ---- */

static void lives_setup(void)
{
    begin_record(2, sizeof(uint64_t), true);
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

/* Runs the first tenant to its end and lets the second in, with another message size and capacity. */
static void lives_consumer(void)
{
    do
        take_from_queue();
    while (!run_handler());
    tri_mailbox_finish(&record.mailbox, &record.consumer, my_cache());
    tri_store(&record.life, UINT64_C(2) << TRI_LIFE_SHIFT, TRI_RELAXED);
    tri_mailbox_init(&record.mailbox, &record.consumer, 1, 2 * sizeof(uint64_t), true);
}

/* The second tenant has got nothing of the first's, and works. */
static void lives_check(void)
{
    struct tri_mailbox_ref ref = ref_of(2);
    uint64_t sent[2] = { 50, 51 }, message[2];
    struct tri_letter letter = { .message = sent, .bytes = sizeof sent };
    struct tri_debt debt;
    bool schedule;
    model_assert(results[1] == 0 || results[1] == ESRCH);
    wanted = results[1] == 0;
    check_order();
    model_assert(tri_mailbox_length(&record.mailbox, &record.consumer) == 0);
    model_assert(tri_mailbox_send(&ref, my_cache(), &letter, &schedule) == 0 && schedule);
    model_assert(tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), message, &debt) == TRI_TAKE_MESSAGE);
    model_assert(message[0] == 50 && message[1] == 51);
    model_assert(tri_mailbox_idle(&record.mailbox, &record.consumer, my_cache()) == TRI_IDLE_DONE);
    check_storages(0);
}

static const struct model_case cases[] = {
    { .name = "idle", .setup = idle_setup, .check = idle_check,
      .threads = { { "sender 1", idle_sender_1, 0 }, { "sender 2", idle_sender_2, 0 },
                   { "consumer", idle_consumer, 0 } } },
    { .name = "idle, two workers", .setup = idle_setup, .check = idle_check,
      .threads = { { "sender 1", idle_sender_1, 0 }, { "sender 2", idle_sender_2, 0 }, { "worker 1", idle_worker, 0 },
                   { "worker 2", idle_worker, 0 } } },
    { .name = "loop", .setup = loop_setup, .check = loop_check,
      .threads = { { "sender 1", loop_sender_1, 0 }, { "sender 2", loop_sender_2, 0 },
                   { "consumer", loop_consumer, 0 } } },
    { .name = "lives", .setup = lives_setup, .check = lives_check,
      .threads = { { "sender", lives_sender, 0 }, { "closer", lives_closer, 0 }, { "consumer", lives_consumer, 0 } } },
    { 0 },
};
MODEL(cases);
