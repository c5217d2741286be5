/* SPDX-License-Identifier: MIT */
/*
 * model_policy.c: a mailbox of one message that is full and has a policy (mailbox/policy.c), on the real mailbox.
 *
 *   newest            one who sends nevertheless x the actor's end and the next tenant of the record, who has no policy
 *   next              the same, but it is the next tenant who has a policy: nothing is decided by that
 *   oldest            two who drop the oldest x a loop actor that looks once
 *   oldest, first     one who brings the storage x the same
 *   oldest, handler   the same x a handler, who goes idle and is scheduled again
 *   oldest, stop      one who drops the oldest x the end and the next tenant
 *
 * Each message is received or dropped, once, or its sender is told -ESRCH; and while a fate is told under the lock, the actor
 * has not ended.
 */
#include "fake_record.h"
#include "mailbox/policy.c"

/* One run of a handler actor: everything there is. Returns true when the mailbox is closed and drained. */
static bool run_handler(void)
{
    enum tri_idle idle;
    while ((idle = run_consumer()) == TRI_IDLE_RETRY)
        tri_spin();
    return idle == TRI_IDLE_DRAINED;
}

static uint64_t first;                      /* the message that is there from the start */
static enum tr_overflow next_policy;        /* of the next tenant */
static unsigned refused[MODEL_THREADS + 1]; /* by whom */
static TRI_ATOMIC(uint64_t) dropped_sum;

/* As tri_send_by_policy_slow in actor/policy.c. */
static int send_by_policy(uint64_t message)
{
    struct tri_mailbox_ref ref = ref_of(1);
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    for (;;) {
        uint64_t oldest;
        struct tri_debt debt;
        bool schedule = false;
        int rc;
        tri_lock(&record.mailbox.lock);
        enum tri_fate fate = tri_mailbox_send_by_policy(&ref, my_cache(), &letter, &oldest, &debt, &rc, &schedule);
        if (fate != TRI_FATE_DECIDED && fate != TRI_FATE_BUSY) /* what it has lost is told of the first tenant */
            model_assert(model_peek(&record.life) >> TRI_LIFE_SHIFT == 1);
        tri_unlock(&record.mailbox.lock);
        switch (fate) {
        case TRI_FATE_DECIDED:
            put_in_queue(schedule);
            return rc;
        case TRI_FATE_REJECTED:
            model_fail("not its policy");
        case TRI_FATE_NEWEST:
            refused[model_self() + 1]++;
            return 0;
        case TRI_FATE_OLDEST:
            tri_fetch_add(&dropped_sum, oldest, TRI_RELAXED);
            break;
        case TRI_FATE_BUSY:
            tri_spin();
        }
    }
}

static void policy_setup(enum tr_overflow policy, bool idle)
{
    begin_record(1, sizeof(uint64_t), policy, idle);
    model_assert(send_by_policy(1) == 0);
    first = 1;
}

static void newest_setup(void)
{
    policy_setup(TR_OVERFLOW_DROP_NEWEST, true);
}

static void next_setup(void)
{
    policy_setup(TR_OVERFLOW_WAIT, true);
    next_policy = TR_OVERFLOW_DROP_NEWEST;
}

static void oldest_setup(void)
{
    policy_setup(TR_OVERFLOW_DROP_OLDEST, true);
}

static void oldest_loop_setup(void)
{
    policy_setup(TR_OVERFLOW_DROP_OLDEST, false);
}

/* Looks once, and takes what there is. */
static void policy_looker(void)
{
    if (tri_mailbox_is_ready(&record.mailbox, &record.consumer))
        take_one();
}

static void policy_sender(void)
{
    int rc = send_by_policy(10);
    model_assert(rc == 0 || rc == -ESRCH);
    results[model_self() + 1] = rc;
}

static void late_sender(void)
{
    int rc = send_by_policy(10);
    model_assert(rc == 0 || rc == -ESRCH || rc == -EAGAIN);
    results[model_self() + 1] = rc;
}

static void policy_sender_2(void)
{
    int rc = send_by_policy(100);
    model_assert(rc == 0 || rc == -ESRCH);
    results[model_self() + 1] = rc;
}

static void policy_handler(void)
{
    for (;;) {
        take_from_queue();
        run_handler();
    }
}

/* Ends, and lets another in. */
static void policy_ender(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    bool schedule;
    take_from_queue();
    model_assert(tri_mailbox_close(&ref, &schedule) == 0);
    while (!run_handler())
        tri_spin();
    tri_mailbox_finish(&record.mailbox, &record.consumer, my_cache());
    tri_store(&record.life, UINT64_C(2) << TRI_LIFE_SHIFT, TRI_RELAXED);
    tri_mailbox_init(&record.mailbox, &record.consumer, 1, sizeof(uint64_t), next_policy, true);
}

/* Every message was received or dropped, once. Their sum tells: 1, 10, 100. */
static void policy_check(void)
{
    uint64_t sum = tri_load(&dropped_sum, TRI_RELAXED), sent = first;
    for (unsigned i = 0; i < got_count; i++)
        sum += got[i];
    for (int i = 0; i <= MODEL_THREADS; i++)
        if (refused[i] > 0)
            sum += i == 2 ? 10 : 100;
    sent += results[2] == 0 ? 10 : 0;
    sent += results[3] == 0 ? 100 : 0;
    if (sum != sent)
        model_fail("sent %u, received or dropped %u", (unsigned)sent, (unsigned)sum);
    check_storages(tri_tail_storage(tri_load(&record.mailbox.tail, TRI_RELAXED)) != 0);
}

static void policy_loop_check(void)
{
    model_assert(run_consumer() == TRI_IDLE_DONE);
    policy_check();
}

/* One who does not come to a full mailbox, and brings its storage. */
static void first_setup(void)
{
    begin_record(1, sizeof(uint64_t), TR_OVERFLOW_DROP_OLDEST, false);
}

static void first_sender(void)
{
    struct tri_mailbox_ref ref = ref_of(1);
    uint64_t message = 10;
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    bool schedule;
    use_storage();
    results[model_self() + 1] = tri_mailbox_send(&ref, my_cache(), &letter, &schedule);
}

static void first_taker(void)
{
    take_one();
}

static void first_check(void)
{
    results[3] = -ESRCH;
    policy_loop_check();
}

/* With one sender. */
static void policy_check_one(void)
{
    results[3] = -ESRCH;
    policy_check();
}

static const struct model_case cases[] = {
    { .name = "newest",
      .setup = newest_setup,
      .check = policy_check_one,
      .threads = { { "consumer", policy_ender, 0 }, { "sender", policy_sender, 0 } } },
    { .name = "next",
      .setup = next_setup,
      .check = policy_check_one,
      .threads = { { "consumer", policy_ender, 0 }, { "sender", late_sender, 0 } } },
    { .name = "oldest",
      .setup = oldest_loop_setup,
      .check = policy_loop_check,
      .threads = { { "consumer", policy_looker, 0 },
                   { "sender", policy_sender, 0 },
                   { "second sender", policy_sender_2, 0 } } },
    { .name = "oldest, first",
      .setup = first_setup,
      .check = first_check,
      .stale = 2,
      .threads = { { "consumer", first_taker, 0 }, { "sender", first_sender, 0 } } },
    { .name = "oldest, handler",
      .setup = oldest_setup,
      .check = policy_check,
      .threads = { { "consumer", policy_handler, true },
                   { "sender", policy_sender, 0 },
                   { "second sender", policy_sender_2, 0 } } },
    { .name = "oldest, stop",
      .setup = oldest_setup,
      .check = policy_check_one,
      .threads = { { "consumer", policy_ender, 0 }, { "sender", policy_sender, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
