/* SPDX-License-Identifier: MIT */
/*
 * model_reply.c: reply slots and owed lists. In every case: the caller gets one result or gives up, never hangs, and once
 * it has returned nobody writes into its frame; of all repliers exactly one is told that it answered; every slot is free
 * at the end and in one place.
 *
 *   timeout    a reply from the hand x the caller's deadline, then the slot's next call x a late reply to the first
 *   recycle    a late reply of a third party x the slot's next call, for an answer of another size
 *   third      a linked slot: a third party's reply x the debtor's end x the caller's deadline
 *   neighbour  two linked slots: each leaves the list by another hand
 *   forward    the debtor takes the debt out of its list and the next one puts it into its own x third party x deadline
 *   link       the debtor links what is in its hand x third party x deadline
 */
#include <string.h>

#include "fake_lock.h"
#include "fake_waiter.h"

#include "mailbox/pool.c"

/*
 * A free slot has its next tenant at once, who writes what is not atomic in it, as opening and linking do: whoever still is
 * at the slot then, in no order with its release, races with that. Giving back alone does not touch it: a cache is an array.
 */
#define tri_pool_give(pool, cache, slot)                                                                               \
    ((slot)->before = (slot)->after = NULL, (slot)->answer = NULL, (slot)->result = 0,                                 \
     (tri_pool_give)(pool, cache, slot))

#include "mailbox/mailbox.h"
#include "mailbox/reply.c"

enum { CALLER = 1, SECOND_CALLER = 2 }; /* model threads, as tasks */

static struct tri_cache caches[MODEL_THREADS + 1];
static struct tri_debts debts, other_debts; /* of the debtor, and of the one it forwards to */
static struct tri_debt debt, second_debt;
static int64_t answer, second_answer; /* short, so that the plain case answers */
static int results[MODEL_THREADS + 1], replies[MODEL_THREADS + 1];

static struct tri_cache *my_cache(void)
{
    return &caches[model_self() + 1];
}

static void setup(void)
{
    tri_slot_pool.slab_objects = 2;
    tri_pool_refill(&tri_slot_pool, &caches[CALLER]);
    debt = tri_reply_open(&caches[CALLER], &fake_tasks[CALLER], &answer, sizeof answer);
}

static void linked_setup(void)
{
    setup();
    model_assert(tri_debts_link(&debts, my_cache(), debt));
}

static void both_linked_setup(void)
{
    linked_setup();
    second_debt = tri_reply_open(&caches[CALLER], &fake_tasks[SECOND_CALLER], &second_answer, sizeof second_answer);
    model_assert(tri_debts_link(&debts, my_cache(), second_debt));
}

/* As await_reply in actor/call.c. */
static int await_reply(struct tri_slot *slot, tr_time deadline)
{
    while (!tri_reply_done(slot)) {
        int rc = tri_park(deadline, TRI_WAIT_REPLY);
        if (rc == 0)
            continue;
        if (tri_reply_abandon(my_cache(), slot))
            return rc;
        while (!tri_reply_done(slot))
            tri_park_tail(TRI_WAIT_REPLY);
    }
    int rc = slot->result;
    tri_reply_free(my_cache(), slot);
    return rc;
}

static void await_into(struct tri_slot *slot, int64_t *value, tr_time deadline)
{
    int rc = await_reply(slot, deadline);
    results[model_self() + 1] = rc;
    model_assert(rc != 0 || *value / 10 == 4);
    *value = -1; /* the frame is used anew: whoever still writes there races with this */
}

static void caller(void)
{
    await_into(debt.slot, &answer, 1);
}

static void second_caller(void)
{
    await_into(second_debt.slot, &second_answer, TR_FOREVER);
}

static int reply_to(struct tri_debt to, int64_t value)
{
    int rc = 0;
    if (tri_reply_claim(to, sizeof value))
        tri_wake(tri_reply_fill(to, sizeof value, &value, 0));
    else
        rc = tri_reply_send(my_cache(), to, sizeof value, &value, 0, NULL);
    replies[model_self() + 1] = rc == 0 ? 1 : rc;
    model_assert(rc == 0 || rc == -ESRCH);
    return rc;
}

static void replier(void)
{
    reply_to(debt, 40 + model_self());
}

static void second_replier(void)
{
    reply_to(second_debt, 40 + model_self());
}

/* The debtor's end. */
static void resolver(void)
{
    tri_debts_resolve(&debts, my_cache(), -EPIPE);
}

/* All slots are free, and in the caches or the pool's list once each. */
static void check_slots(void)
{
    unsigned found = 0;
    for (unsigned t = 0; t <= MODEL_THREADS; t++)
        for (uint32_t i = tri_load(&caches[t].count, TRI_RELAXED); i > 0; i--) {
            struct tri_slot *slot = caches[t].objects[i - 1];
            model_assert(tri_slot_state_of(tri_load(&slot->word, TRI_RELAXED)) == TRI_SLOT_FREE);
            model_assert(++found <= tri_slot_pool.total);
        }
    for (struct tri_slot *slot = tri_slot_pool.free_list; slot; slot = slot->after)
        model_assert(++found <= tri_slot_pool.total);
    model_assert(found == tri_slot_pool.total);
    model_assert(!debts.first && !other_debts.first);
    model_assert(tri_load(&debts.count, TRI_RELAXED) == 0 && tri_load(&other_debts.count, TRI_RELAXED) == 0);
}

static unsigned count_answered(void)
{
    unsigned count = 0;
    for (unsigned t = 0; t <= MODEL_THREADS; t++)
        count += replies[t] == 1;
    return count;
}

static void check(void)
{
    int rc = results[CALLER];
    model_assert(rc == 0 || rc == -ETIMEDOUT || rc == -EPIPE);
    model_assert(count_answered() == (rc == 0));
    check_slots();
}

/* ---- timeout ---- */

static TRI_ATOMIC(uint32_t) posted;
static uint64_t wide_answer[2];

/* Calls again, for an answer of another size. */
static void caller_twice(void)
{
    caller();
    second_debt = tri_reply_open(my_cache(), tri_self(), wide_answer, sizeof wide_answer);
    tri_store(&posted, 1u, TRI_RELEASE);
    while (!tri_reply_done(second_debt.slot))
        tri_park_tail(TRI_WAIT_REPLY);
    model_assert(wide_answer[0] == 70 && wide_answer[1] == 71);
    tri_reply_free(my_cache(), second_debt.slot);
}

static void late_replier(void)
{
    uint64_t value[2] = { 70, 71 };
    while (tri_load(&posted, TRI_ACQUIRE) == 0)
        tri_spin();
    model_assert(tri_reply_send(my_cache(), second_debt, sizeof value, value, 0, NULL) == 0);
}

static void timeout_check(void)
{
    model_assert(count_answered() == (results[CALLER] == 0));
    check_slots();
}

/* ---- forward ---- */

static TRI_ATOMIC(uint32_t) forwarded;

/* As tr_forward_raw. */
static void forwarder(void)
{
    if (!tri_debts_unlink(&debts, debt))
        return;
    if (!tri_reply_wanted(debt)) {
        tri_reply_send(my_cache(), debt, 0, NULL, -EPIPE, NULL);
        return;
    }
    tri_store(&forwarded, 1u, TRI_RELEASE);
}

/* The next debtor: receives it, keeps it, and ends; if nothing came, it ends all the same. */
static bool is_forwarded(const void *unused)
{
    (void)unused;
    return model_peek(&forwarded) != 0;
}

static void next_debtor(void)
{
    model_block(is_forwarded, NULL);
    while (tri_load(&forwarded, TRI_ACQUIRE) == 0)
        tri_spin();
    if (tri_debts_link(&other_debts, my_cache(), debt))
        tri_debts_resolve(&other_debts, my_cache(), -EPIPE);
}

/* ---- link: what is in the hand is linked, and the debtor ends ---- */

static void linker(void)
{
    tri_debts_link(&debts, my_cache(), debt);
    tri_debts_resolve(&debts, my_cache(), -EPIPE);
}

/* ---- neighbour ---- */

static void neighbour_check(void)
{
    model_assert(results[CALLER] == 0 || results[CALLER] == -ETIMEDOUT);
    model_assert(results[SECOND_CALLER] == 0);
    check_slots();
}

static const struct model_case cases[] = {
    { .name = "timeout",
      .setup = setup,
      .check = timeout_check,
      .threads = { { "caller", caller_twice, 0 }, { "replier", replier, 0 }, { "next replier", late_replier, 0 } } },
    { .name = "recycle",
      .setup = linked_setup,
      .check = timeout_check,
      .threads = { { "caller", caller_twice, 0 }, { "third", replier, 0 }, { "next replier", late_replier, 0 } } },
    { .name = "link",
      .setup = setup,
      .check = check,
      .threads = { { "caller", caller, 0 }, { "debtor", linker, 0 }, { "third", replier, 0 } } },
    { .name = "third",
      .setup = linked_setup,
      .check = check,
      .threads = { { "caller", caller, 0 }, { "debtor", resolver, 0 }, { "third", replier, 0 } } },
    { .name = "forward",
      .setup = linked_setup,
      .check = check,
      .threads = { { "caller", caller, 0 },
                   { "debtor", forwarder, 0 },
                   { "third", replier, 0 },
                   { "next debtor", next_debtor, true } } },
    { .name = "neighbour",
      .setup = both_linked_setup,
      .check = neighbour_check,
      .threads = { { "caller", caller, 0 },
                   { "second caller", second_caller, 0 },
                   { "replier", replier, 0 },
                   { "second replier", second_replier, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
