/* SPDX-License-Identifier: MIT */
/*
 * model_watch.c: a watch of values of two words. In every case what is read is of one piece, versions only grow, and the last
 * value is always seen.
 *
 *   data        what was written before a send is seen with the value
 *   overwrite   a reader copies x a sender who sends three: two while one is being copied
 *   changed     a receiver waits for a change x two senders, then reads
 *   pieces      two receivers wait, and are told one at a time
 *   close       a send and a close x a receiver who waits until the end, and leaves: who goes last frees
 *   give up     a wait with a deadline x a send: the change is still there
 *   modify      two who add one to the value: none is lost x a reader
 *   replace     two who replace: each value is given back once, or is there
 *   deserted    a send x the last receiver leaves: sent and there, or refused and not
 *   select      a select of two watches x a send to each: the other's change stays
 *   ends        a select of two x the close of one and a send to the other x its deadline
 *   counted     counted values: clone x replace
 */
#define TRI_WATCH_TRIES 2
#include "fake_bias.h"
#include "fake_waiter.h"

#include "mailbox/wait.h"
#undef TRI_WAKES
#define TRI_WAKES 1u

#include "mailbox/audience.c"
#include "mailbox/pool.c"
#include "mailbox/wait.c"
#include "mailbox/watch.c"

struct value {
    uint64_t number, again;
};

static struct tr_watch watch, second;
static struct tr_watch_receiver receivers[2];
static int data;
static uint64_t last[2]; /* numbers that were seen */
static int results[MODEL_THREADS];
static uint64_t olds[MODEL_THREADS];
static TRI_ATOMIC(uint32_t) counts[8];

int tr_watch_changed_raw(struct tr_watch_receiver *receiver, tr_time deadline)
{
    int rc = tri_watch_check(receiver);
    return rc == -EAGAIN ? tri_watch_await(receiver, deadline, tri_self(), tri_park) : rc;
}

static void make(struct tr_watch *out, const struct tr_watch_options *options)
{
    model_assert(tr_watch_create_raw(out, sizeof(struct value), &(struct value){ 0, 0 }, options) == 0);
}

static void setup(void)
{
    make(&watch, NULL);
    tr_watch_subscribe_raw(watch, &receivers[0]);
}

static void setup_two_receivers(void)
{
    setup();
    tr_watch_subscribe_raw(watch, &receivers[1]);
}

static void setup_select(void)
{
    setup();
    make(&second, NULL);
    tr_watch_subscribe_raw(second, &receivers[1]);
}

static int send_value(struct tr_watch to, uint64_t number)
{
    return tr_watch_send_raw(to, sizeof(struct value), &(struct value){ number, number });
}

static void send_one(void)
{
    model_assert(send_value(watch, 1) == 0);
}

static void send_two(void)
{
    send_one();
    model_assert(send_value(watch, 2) == 0);
}

static void send_three(void)
{
    send_two();
    model_assert(send_value(watch, 3) == 0);
}

static void send_with_data(void)
{
    data = 1;
    send_one();
}

static void send_second(void)
{
    model_assert(send_value(second, 1) == 0);
}

static void close_watch(void)
{
    tr_watch_close_raw(watch);
}

static void send_two_and_close(void)
{
    send_two();
    close_watch();
}

/* Values of one sender grow. */
static uint64_t read_value(unsigned self)
{
    struct value value;
    uint64_t seen = receivers[self].tri_seen;
    model_assert(tr_watch_read_raw(&receivers[self], sizeof value, &value) == 0);
    model_assert(value.number == value.again && value.number >= last[self] && receivers[self].tri_seen >= seen);
    last[self] = value.number;
    return value.number;
}

static void read_twice(void)
{
    read_value(0);
    read_value(0);
}

static void see_data(void)
{
    if (tr_watch_has_changed_raw(&receivers[0]) == 1)
        model_assert(data == 1 && read_value(0) == 1);
    if (read_value(0) == 1)
        model_assert(data == 1);
}

static void wait_for_change(void)
{
    model_assert(tr_watch_changed_raw(&receivers[0], TR_FOREVER) == 0);
    model_assert(read_value(0) >= 1);
}

static void wait_too(void)
{
    model_assert(tr_watch_changed_raw(&receivers[1], TR_FOREVER) == 0);
    model_assert(read_value(1) >= 1);
}

static void watch_until_end(void)
{
    int rc;
    while ((rc = tr_watch_changed_raw(&receivers[0], TR_FOREVER)) == 0)
        read_value(0);
    model_assert(rc == -EPIPE && last[0] == 2 && tr_watch_has_changed_raw(&receivers[0]) == -EPIPE);
    tr_watch_unsubscribe_raw(&receivers[0]);
}

static void wait_bounded(void)
{
    results[model_self()] = tr_watch_changed_raw(&receivers[0], 1);
}

static bool add_one(void *argument_value, void *argument)
{
    struct value *value = argument_value;
    (void)argument;
    model_assert(value->number == value->again);
    value->number++;
    value->again++;
    return true;
}

static void modify(void)
{
    model_assert(tr_watch_modify_raw(watch, add_one, NULL));
}

static void replace_with(uint64_t number)
{
    struct value old;
    model_assert(tr_watch_replace_raw(watch, sizeof old, &(struct value){ number, number }, &old) == 0);
    model_assert(old.number == old.again);
    olds[model_self()] = old.number;
}

static void replace_one(void)
{
    replace_with(1);
}

static void replace_two(void)
{
    replace_with(2);
}

static void try_send(void)
{
    results[model_self()] = send_value(watch, 1);
}

static void leave(void)
{
    tr_watch_unsubscribe_raw(&receivers[0]);
}

static void select_until(tr_time deadline)
{
    struct tr_case cases[] = { tr_case_watch_raw(&receivers[0]), tr_case_watch_raw(&receivers[1]) };
    int which = tr_select(cases, 2, deadline, TR_SELECT_ORDERED);
    results[model_self()] = which;
    model_assert(which < 0 || cases[which].result == 0 || cases[which].result == -EPIPE);
}

static void select_either(void)
{
    select_until(TR_FOREVER);
}

static void select_bounded(void)
{
    select_until(1);
}

/* ---- counted values --------------------------------------------------------------------------------------------- */

static void clone_value(void *value)
{
    uint32_t before = tri_fetch_add(&counts[((struct value *)value)->number], 1u, TRI_RELAXED);
    model_assert(before > 0);
}

static void drop_value(void *value)
{
    uint32_t before = tri_fetch_sub(&counts[((struct value *)value)->number], 1u, TRI_RELAXED);
    model_assert(before > 0);
}

static void setup_counted(void)
{
    for (int i = 0; i < 3; i++)
        tri_store(&counts[i], 1u, TRI_RELAXED);
    make(&watch, &(struct tr_watch_options){ clone_value, drop_value });
    tr_watch_subscribe_raw(watch, &receivers[0]);
}

static void read_counted(void)
{
    struct value value;
    tr_watch_read_raw(&receivers[0], sizeof value, &value);
    model_assert(value.number == value.again);
    drop_value(&value);
}

static void replace_and_drop(void)
{
    model_assert(tr_watch_replace_raw(watch, sizeof(struct value), &(struct value){ 1, 1 }, NULL) == 0);
}

static void send_other(void)
{
    model_assert(send_value(watch, 2) == 0);
}

static void check_counted(void)
{
    tr_watch_unsubscribe_raw(&receivers[0]);
    close_watch();
    for (unsigned i = 0; i < 3; i++)
        model_assert(tri_load(&counts[i], TRI_RELAXED) == 0);
}

/* ---- checks ----------------------------------------------------------------------------------------------------- */

static uint64_t latest(void)
{
    struct value value;
    tr_watch_current_raw(watch, sizeof value, &value);
    model_assert(value.number == value.again);
    return value.number;
}

static void check_three(void)
{
    model_assert(tr_watch_has_changed_raw(&receivers[0]) == (last[0] != 3));
    model_assert(read_value(0) == 3);
}

static void check_give_up(void)
{
    int seen = results[0] == 0;
    model_assert(results[0] == 0 || results[0] == -ETIMEDOUT);
    model_assert(tr_watch_has_changed_raw(&receivers[0]) == !seen);
    model_assert(!watch_of(watch.tri_channel)->audience.waiting.last);
}

static void check_modify(void)
{
    model_assert(latest() == 2);
}

static void check_replace(void)
{
    model_assert(olds[0] + olds[1] + latest() == 3 && (olds[0] == 0) != (olds[1] == 0));
}

static void check_deserted(void)
{
    model_assert(results[0] == 0 || results[0] == -ESRCH);
    model_assert(latest() == (results[0] == 0 ? 1 : 0));
}

static void check_select(void)
{
    model_assert(tr_watch_has_changed_raw(&receivers[0]) == (results[0] != 0));
    model_assert(tr_watch_has_changed_raw(&receivers[1]) == (results[0] != 1));
}

static const struct model_case cases[] = {
    { .name = "data", .setup = setup, .threads = { { "reads", see_data, 0 }, { "sends", send_with_data, 0 } } },
    { .name = "overwrite",
      .setup = setup,
      .check = check_three,
      .threads = { { "reads", read_twice, 0 }, { "sends", send_three, 0 } } },
    { .name = "changed",
      .setup = setup,
      .threads = { { "waits", wait_for_change, 0 }, { "sends", send_one, 0 }, { "sends too", send_one, 0 } } },
    { .name = "pieces",
      .setup = setup_two_receivers,
      .threads = { { "waits", wait_for_change, 0 }, { "waits too", wait_too, 0 }, { "sends", send_two, 0 } } },
    { .name = "close",
      .setup = setup,
      .threads = { { "watches", watch_until_end, 0 }, { "sends", send_two_and_close, 0 } } },
    { .name = "give up",
      .setup = setup,
      .check = check_give_up,
      .threads = { { "waits", wait_bounded, 0 }, { "sends", send_one, 0 } } },
    { .name = "modify",
      .setup = setup,
      .check = check_modify,
      .threads = { { "adds", modify, 0 }, { "adds too", modify, 0 }, { "reads", read_twice, 0 } } },
    { .name = "replace",
      .setup = setup,
      .check = check_replace,
      .threads = { { "replaces", replace_one, 0 }, { "replaces too", replace_two, 0 } } },
    { .name = "deserted",
      .setup = setup,
      .check = check_deserted,
      .threads = { { "sends", try_send, 0 }, { "leaves", leave, 0 } } },
    { .name = "select",
      .setup = setup_select,
      .check = check_select,
      .threads = { { "selects", select_either, 0 }, { "one", send_one, 0 }, { "two", send_second, 0 } } },
    { .name = "ends",
      .setup = setup_select,
      .threads = { { "selects", select_bounded, 0 }, { "closes", close_watch, 0 }, { "sends", send_second, 0 } } },
    { .name = "counted",
      .setup = setup_counted,
      .check = check_counted,
      .threads = { { "reads", read_counted, 0 }, { "replaces", replace_and_drop, 0 }, { "sends", send_other, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 2);
