/* SPDX-License-Identifier: MIT */
/*
 * model_room.c: the full mailbox: senders that wait for room.
 *
 *   room       two senders wait, one of them with a deadline, while the consumer takes and parks: no lost wake, each message
 *              arrives or its sender is told, and nobody is told both
 *   elsewhere  the consumer takes one message and suspends elsewhere: the waiting sender is served nevertheless, at the
 *              latest by the look that follows the consumer's park (park_commit in actor/scheduler.c)
 *   stale      the same, and the next tenant is full at once: a late sender does not wait in a stranger's queue
 *   stranger   the same, and then it has room again
 *   close      a sender waits while the mailbox is closed and drained, and the record gets its next tenant
 *   late close the closer finds somebody who waits, and is late: by then a sender of the next tenant waits there. It gets
 *              room, or gives up, as if nobody had come
 */
#include "fake_record.h"

/* As send_when_room and deliver in actor/call.c. */
static int send_waiting(uint64_t generation, uint64_t message, tr_time deadline)
{
    struct tri_mailbox_ref ref = ref_of(generation);
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    struct tri_sender sender = { .task = tri_self(), .letter = &letter };
    bool schedule;
    for (;;) {
        int rc = tri_mailbox_send(&ref, my_cache(), &letter, &schedule);
        if (rc == -EAGAIN)
            rc = tri_mailbox_wait_room(&ref, my_cache(), &sender, &schedule);
        else
            sender.result = rc, tri_store(&sender.done, 1u, TRI_RELAXED);
        if (rc == -EAGAIN) {
            tri_spin();
            continue;
        }
        if (schedule)
            tri_wake(&fake_tasks[1]);
        if (rc < 0)
            return rc;
        break;
    }
    while (!tri_load(&sender.done, TRI_ACQUIRE)) {
        int rc = tri_park(deadline, TRI_WAIT_ROOM);
        if (rc < 0 && tri_mailbox_leave_queue(&ref, &sender))
            return rc;
        if (rc < 0)
            break;
    }
    return sender.result;
}

static void sender(void)
{
    results[model_self() + 1] = send_waiting(1, 10u * (unsigned)model_self(), TR_FOREVER);
}

static void impatient_sender(void)
{
    results[model_self() + 1] = send_waiting(1, 10u * (unsigned)model_self(), 1);
}

/* Full from the start. */
static void setup(void)
{
    begin_record(1, sizeof(uint64_t), TR_OVERFLOW_WAIT, false);
    model_assert(send_waiting(1, 40, TR_FOREVER) == 0);
    tri_store(&fake_tasks[1].token, 0u, TRI_RELAXED);
}

static void consumer(void)
{
    for (;;) {
        enum tri_idle idle = run_consumer();
        if (idle == TRI_IDLE_DONE)
            tri_park_tail(TRI_WAIT_MESSAGE);
        else
            tri_spin();
    }
}

static void room_check(void)
{
    model_assert(results[2] == 0);
    model_assert(results[3] == 0 || results[3] == -ETIMEDOUT);
    check_order(2 + (results[3] == 0));
    model_assert(!record.mailbox.last && !(tri_load(&record.mailbox.tail, TRI_RELAXED) & TRI_TAIL_WAIT));
}

static void impatient_check(void)
{
    model_assert(results[2] == 0 || results[2] == -ETIMEDOUT);
    check_order(1 + (results[2] == 0));
    model_assert(!record.mailbox.last && !(tri_load(&record.mailbox.tail, TRI_RELAXED) & TRI_TAIL_WAIT));
}

/* ---- elsewhere ---- */

static TRI_ATOMIC(uint32_t) parked;

static void elsewhere_consumer(void)
{
    uint64_t message;
    struct tri_debt debt;
    model_assert(tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), &message, sizeof message, &debt) ==
                 TRI_TAKE_MESSAGE);
    tri_exchange(&parked, 1u, TRI_ACQ_REL);
    tri_fence_after_rmw();
    if (tri_load(&record.consumer.waiting, TRI_RELAXED))
        tri_mailbox_grant(&record.mailbox, &record.consumer, my_cache());
}

static void elsewhere_check(void)
{
    model_assert(results[2] == 0);
    model_assert(run_consumer() == TRI_IDLE_DONE);
    check_order(1);
}

/* ---- close ---- */

static void closer(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    bool schedule;
    model_assert(tri_mailbox_close(&ref, &schedule) == 0);
    if (schedule)
        tri_wake(&fake_tasks[1]);
}

static void close_consumer(void)
{
    for (;;) {
        enum tri_idle idle = run_consumer();
        if (idle == TRI_IDLE_DRAINED)
            break;
        if (idle == TRI_IDLE_DONE)
            tri_park_tail(TRI_WAIT_MESSAGE);
        else
            tri_spin();
    }
    tri_mailbox_finish(&record.mailbox, &record.consumer, my_cache());
    tri_store(&record.life, UINT64_C(2) << TRI_LIFE_SHIFT, TRI_RELAXED);
    tri_mailbox_init(&record.mailbox, &record.consumer, 2, sizeof(uint64_t), TR_OVERFLOW_WAIT, true);
}

/* The next tenant is full at once: a sender that is late must not wait in its queue. */
static void full_consumer(void)
{
    struct tri_mailbox_ref ref = ref_of(2);
    uint64_t message = 50;
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    bool schedule;
    close_consumer();
    model_assert(tri_mailbox_send(&ref, my_cache(), &letter, &schedule) == 0);
    model_assert(tri_mailbox_send(&ref, my_cache(), &letter, &schedule) == 0);
}

/* And then it has room: no stranger's wait may keep a sender of its own out. */
static void roomy_consumer(void)
{
    struct tri_mailbox_ref ref = ref_of(2);
    uint64_t message;
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    struct tri_debt debt;
    bool schedule;
    full_consumer();
    model_assert(tri_mailbox_take(&record.mailbox, &record.consumer, my_cache(), &message, sizeof message, &debt) ==
                 TRI_TAKE_MESSAGE);
    model_assert(tri_mailbox_send(&ref, my_cache(), &letter, &schedule) == 0);
}

/* ---- late close ---- */

static struct tri_sender early; /* waits from the start */
static TRI_ATOMIC(uint32_t) second;

static void late_setup(void)
{
    static uint64_t message = 60;
    static struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    struct tri_mailbox_ref ref = ref_of(1);
    bool schedule;
    setup();
    early = (struct tri_sender){ .task = &fake_tasks[0], .letter = &letter };
    model_assert(tri_mailbox_wait_room(&ref, my_cache(), &early, &schedule) == 0);
}

/* Drains the first tenant once it is closed; the second is full at once, and takes what it gets. */
static void two_tenants(void)
{
    uint64_t message = 50;
    struct tri_mailbox_ref ref = ref_of(2);
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    bool schedule;
    enum tri_idle idle;
    while ((idle = run_consumer()) != TRI_IDLE_DRAINED)
        if (idle == TRI_IDLE_DONE)
            tri_park_tail(TRI_WAIT_MESSAGE);
        else
            tri_spin();
    tri_mailbox_finish(&record.mailbox, &record.consumer, my_cache());
    tri_store(&record.life, UINT64_C(2) << TRI_LIFE_SHIFT, TRI_RELAXED);
    tri_mailbox_init(&record.mailbox, &record.consumer, 1, sizeof(uint64_t), TR_OVERFLOW_WAIT, false);
    model_assert(tri_mailbox_send(&ref, my_cache(), &letter, &schedule) == 0);
    tri_store(&second, 1u, TRI_RELEASE);
    consumer();
}

static void second_sender(void)
{
    while (!tri_load(&second, TRI_ACQUIRE))
        tri_spin();
    results[model_self() + 1] = send_waiting(2, 10u * (unsigned)model_self(), TR_FOREVER);
}

static void second_impatient_sender(void)
{
    while (!tri_load(&second, TRI_ACQUIRE))
        tri_spin();
    results[model_self() + 1] = send_waiting(2, 10u * (unsigned)model_self(), 1);
}

/* The early sender was served before the end, or told of it. */
static void late_check(void)
{
    model_assert(tri_load(&early.done, TRI_RELAXED) == 1);
    model_assert(early.result == 0 || early.result == -ESRCH);
    model_assert(results[2] == 0 || results[2] == -ETIMEDOUT);
    check_order(2 + (early.result == 0) + (results[2] == 0));
    model_assert(!record.mailbox.last && !(tri_load(&record.mailbox.tail, TRI_RELAXED) & TRI_TAIL_WAIT));
}

static void late_patient_check(void)
{
    late_check();
    model_assert(results[2] == 0);
}

static void stale_check(void)
{
    model_assert(results[2] == 0 || results[2] == -ESRCH);
    check_order(1 + (results[2] == 0));
    model_assert(!record.mailbox.last && !(tri_load(&record.mailbox.tail, TRI_RELAXED) & TRI_TAIL_WAIT));
}

static void close_check(void)
{
    model_assert(results[2] == 0 || results[2] == -ESRCH);
    check_order(1 + (results[2] == 0));
    model_assert(!record.mailbox.last);
    model_assert(
        tri_load(&record.mailbox.tail, TRI_RELAXED) ==
        ((tri_tail_position(tri_load(&record.mailbox.tail, TRI_RELAXED)) << TRI_TAIL_POSITION_SHIFT) | TRI_TAIL_IDLE));
    check_storages(0);
}

static const struct model_case cases[] = {
    { .name = "elsewhere",
      .stale = 2,
      .setup = setup,
      .check = elsewhere_check,
      .threads = { { "consumer", elsewhere_consumer, 0 }, { "sender", sender, 0 } } },
    { .name = "stale",
      .setup = setup,
      .check = stale_check,
      .threads = { { "consumer", full_consumer, 0 }, { "sender", sender, 0 }, { "closer", closer, 0 } } },
    { .name = "stranger",
      .stale = 2,
      .setup = setup,
      .check = stale_check,
      .threads = { { "consumer", roomy_consumer, 0 }, { "sender", sender, 0 }, { "closer", closer, 0 } } },
    { .name = "close",
      .setup = setup,
      .check = close_check,
      .threads = { { "consumer", close_consumer, 0 }, { "sender", sender, 0 }, { "closer", closer, 0 } } },
    { .name = "late close",
      .setup = late_setup,
      .check = late_patient_check,
      .threads = { { "consumer", two_tenants, true }, { "sender", second_sender, 0 }, { "closer", closer, 0 } } },
    { .name = "late close, impatient",
      .setup = late_setup,
      .check = late_check,
      .threads = { { "consumer", two_tenants, true },
                   { "impatient", second_impatient_sender, 0 },
                   { "closer", closer, 0 } } },
    { .name = "impatient",
      .setup = setup,
      .check = impatient_check,
      .threads = { { "consumer", consumer, true }, { "impatient", impatient_sender, 0 } } },
    { .name = "room",
      .setup = setup,
      .check = room_check,
      .threads = { { "consumer", consumer, true }, { "sender", sender, 0 }, { "impatient", impatient_sender, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
