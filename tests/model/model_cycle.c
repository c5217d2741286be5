/* SPDX-License-Identifier: MIT */
/*
 * model_cycle.c: waits that would wait for themselves (actor/cycle.c), among actors that are threads of the model. Where they
 * close a cycle, one is told and nobody waits for ever; where they do not, nobody is told.
 *
 *   both      two call each other; three do in a ring
 *   let go    three do, and who is let go, because another was told, calls that one
 *   again     one answers, and calls the one it has answered, who calls again meanwhile, with the same slot
 *   answered  one answers, and calls the one it has answered: no cycle
 *   forward   a debt is sent on to one who calls its caller meanwhile
 *             the same, and it has to wait for room of that one
 *   helped    who has sent on a debt calls its caller: no cycle
 *   returned  a debt is sent on, and comes back before its sender says so; who has sent it back calls its caller: no cycle
 *   deferred  who has deferred a debt calls its caller, and a third answers: no cycle
 *   room      one waits for room of another who calls it without taking anything
 *   served    the other has taken something, and so makes room: no cycle
 *   recycled  a slot is another's by now: no cycle by way of whose it was
 *   held      who is held while another runs is found by it: the fence is the other's
 */
#include <stdatomic.h>
#include <string.h>

#define TRI_STORAGE_BITS 4
#include "fake_worker.h"

#include "actor/cycle.c"
#include "mailbox/mailbox.c"
#include "mailbox/pool.c"
#include "mailbox/storage.c"
#define claim claim_slot
#include "mailbox/reply.c"

enum { A, B, C, ACTORS };

static struct tri_task actors[ACTORS];
static struct tri_worker workers[MODEL_THREADS + 1];
static TRI_ATOMIC(const struct tri_debt *) inbox[ACTORS],
    second[ACTORS];                                     /* stand for a mailbox ([R1] of mailbox/reply.c) */
static struct tri_debt debts[ACTORS][2], moved[ACTORS]; /* of each one's requests; on their way */
static int asked[ACTORS];
static int answers[ACTORS];
static int told[ACTORS]; /* how often */
static TRI_ATOMIC(uint32_t) parks;

/* ---- what those leave to others ---- */

struct tri_worker *tri_worker_here(void)
{
    return &workers[model_self() + 1];
}

void tri_wake(struct tri_task *task)
{
    (void)task; /* who waits is blocked until there is something */
}

tr_time tri_bounded(struct tri_worker *worker, tr_time deadline)
{
    (void)worker;
    return deadline;
}

const char *tri_task_copy_label(struct tri_task *task, char *buffer)
{
    buffer[0] = (char)('A' + (task - actors));
    buffer[1] = 0;
    return buffer;
}

void tri_task_end(struct tri_task *task, int result)
{
    model_fail("task %p ends with %d", (void *)task, result);
}

/* ---- the parts ---- */

static void setup(void)
{
    tri_slot_pool.slab_objects = 1;
    for (int i = 0; i < ACTORS; i++) {
        begin_task(&workers[i + 1], i, &actors[i]);
        tri_pool_refill(&tri_slot_pool, &workers[i + 1].slots);
    }
}

static bool is_done(const void *of)
{
    const struct tri_slot *slot = of;
    return tri_slot_state_of(model_peek(&slot->word)) == TRI_SLOT_DONE;
}

/* As park_commit in actor/scheduler.c: whoever parks looks whether somebody waits for the room that it has made. */
static void look_at_room(struct tri_task *task)
{
    tri_fetch_add(&parks, 1u, TRI_RELAXED);
    tri_fence_after_rmw();
    if (tri_load(&task->consumer.waiting, TRI_RELAXED))
        tri_mailbox_grant(&task->mailbox, &task->consumer, &tri_worker_here()->storages);
}

/* As await_endless and await_reply in actor/call.c, but for tri_cycle_leave. */
static int await_answer(struct tri_slot *slot)
{
    struct tri_worker *worker = tri_worker_here();
    int rc = tri_reply_done(slot) ? 0 : tri_cycle_enter(slot);
    if (rc == 0 || !tri_reply_abandon(&worker->slots, slot)) {
        look_at_room(worker->current);
        model_block(is_done, slot);
        while (!tri_reply_done(slot))
            tri_spin();
        rc = slot->result;
        tri_reply_free(&worker->slots, slot);
    }
    model_assert(rc == 0 || rc == -EDEADLK);
    told[model_self()] += rc < 0;
    return rc;
}

static int await(struct tri_slot *slot)
{
    int rc = await_answer(slot);
    tri_cycle_leave(tri_worker_here()->current);
    return rc;
}

static struct tri_slot *ask_in(TRI_ATOMIC(const struct tri_debt *) *box, int to)
{
    int self = model_self();
    struct tri_worker *worker = tri_worker_here();
    struct tri_debt debt = tri_reply_open(&worker->slots, worker->current, &answers[self], sizeof(int));
    tri_cycle_aim(debt, &actors[to]);
    struct tri_debt *request = &debts[self][asked[self]++];
    *request = debt;
    tri_store(box, request, TRI_RELEASE);
    return debt.slot;
}

static struct tri_slot *ask(int to)
{
    return ask_in(&inbox[to], to);
}

static int call(int to)
{
    return await(ask(to));
}

static bool is_there(const void *of)
{
    const TRI_ATOMIC(const struct tri_debt *) *from = of;
    return model_peek(from) != 0;
}

static struct tri_debt receive_from(TRI_ATOMIC(const struct tri_debt *) *box)
{
    const struct tri_debt *debt;
    model_block(is_there, box);
    while (!(debt = tri_exchange(box, NULL, TRI_ACQUIRE)))
        tri_spin();
    return *debt;
}

static struct tri_debt receive(void)
{
    return receive_from(&inbox[model_self()]);
}

static void answer(struct tri_debt debt)
{
    int value = 1;
    int rc = tri_reply_send(&tri_worker_here()->slots, debt, sizeof value, &value, 0, NULL);
    model_assert(rc == 0 || rc == -ESRCH);
}

static void serve(void)
{
    answer(receive());
}

/* ---- cycles ---- */

static void caller_of_b(void)
{
    call(B);
    serve();
}

static void caller_of_a(void)
{
    call(A);
    serve();
}

static void caller_of_c(void)
{
    call(C);
    serve();
}

static void cycle_check(void)
{
    model_assert(told[A] || told[B] || told[C]);
}

static void once_check(void)
{
    model_assert(told[A] + told[B] + told[C] == 1);
}

/* Whoever of the others was told, and let this one go, is not in its way any more. */
static void call_on(void)
{
    call(C);
    serve();
    await(ask_in(&second[A], A));
}

static void call_and_serve_both(void)
{
    call(B);
    serve();
    answer(receive_from(&second[A]));
}

static void call_twice(void)
{
    model_assert(call(B) == 0);
    call(B);
    serve();
}

static void serve_and_call(void)
{
    serve();
    call(A);
    serve();
}

/* As forward_slow in actor/call.c. */
static void forward(struct tri_debt debt, int to)
{
    struct tri_task *self = tri_worker_here()->current;
    bool lifted = tri_cycle_lift(debt, self);
    moved[model_self()] = debt;
    tri_store(&inbox[to], &moved[model_self()], TRI_RELEASE);
    if (lifted)
        tri_cycle_arrive(debt, self, &actors[to]);
}

static void forwarder(void)
{
    forward(receive(), C);
}

/* ---- no cycles ---- */

static void nobody_told(void)
{
    model_assert(!told[A] && !told[B] && !told[C]);
}

static void serve_then_call(void)
{
    serve();
    call(A);
}

static void forward_then_call(void)
{
    forward(receive(), C);
    call(A);
}

static void forward_then_serve(void)
{
    forward(receive(), C);
    serve();
}

static void return_then_call(void)
{
    forward(receive(), B);
    call(A);
}

static void defer_then_call(void)
{
    struct tri_debt debt = receive();
    tri_cycle_forget(debt);
    moved[B] = debt;
    tri_store(&inbox[C], &moved[B], TRI_RELEASE);
    call(A);
}

/* ---- room: of a mailbox that is full from the start ---- */

static int full = B; /* whose */

static bool is_served(const void *of)
{
    const struct tri_sender *sender = of;
    return model_peek(&sender->done) != 0;
}

static struct tri_mailbox_ref full_mailbox(void)
{
    return (struct tri_mailbox_ref){ &actors[full].mailbox, &actors[full].consumer, &actors[full].life, 1 };
}

static void room_setup(void)
{
    uint64_t message = 1;
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    struct tri_mailbox_ref ref = full_mailbox();
    bool schedule;
    setup();
    struct tri_task *task = &actors[full];
    tri_mailbox_construct(&task->mailbox, &task->consumer);
    tri_store(&task->life, UINT64_C(1) << TRI_LIFE_SHIFT, TRI_RELAXED);
    tri_mailbox_init(&task->mailbox, &task->consumer, 1, sizeof message, TR_OVERFLOW_WAIT, false);
    model_assert(tri_mailbox_send(&ref, NULL, &letter, &schedule) == 0);
}

/* As send_when_room and deliver_slow in actor/call.c. */
static int send_waiting(void)
{
    uint64_t message = 2;
    struct tri_letter letter = { .message = &message, .bytes = sizeof message };
    struct tri_mailbox_ref ref = full_mailbox();
    struct tri_worker *worker = tri_worker_here();
    bool schedule;
    struct tri_debt wait = tri_reply_open(&worker->slots, worker->current, NULL, 0);
    tri_cycle_aim(wait, &actors[full]);
    struct tri_sender sender = { .task = worker->current, .letter = &letter, .owed_by = &wait.slot->owed_by };
    int rc = tri_mailbox_wait_room(&ref, &worker->storages, &sender, &schedule);
    if (rc == 0) {
        rc = tri_cycle_enter(wait.slot);
        if (rc == 0)
            model_block(is_served, &sender);
        while (rc == 0 && !tri_load(&sender.done, TRI_ACQUIRE))
            tri_spin();
        if (rc == 0 || !tri_mailbox_leave_queue(&ref, &sender))
            rc = sender.result;
    } else {
        rc = tri_mailbox_send(&ref, &worker->storages, &letter, &schedule);
    }
    tri_cycle_leave(worker->current);
    tri_reply_free(&worker->slots, wait.slot);
    model_assert(rc == 0 || rc == -EDEADLK);
    told[model_self()] += rc < 0;
    return rc;
}

static void sender(void)
{
    send_waiting();
    serve();
}

/* As tri_mailbox_take_message: the look afterwards is the cheap one. */
static void take(void)
{
    uint64_t message;
    struct tri_debt debt;
    struct tri_task *self = tri_worker_here()->current;
    model_assert(tri_mailbox_take(&self->mailbox, &self->consumer, &tri_worker_here()->storages, &message,
                                  sizeof message, &debt) == TRI_TAKE_MESSAGE);
}

static void call_then_take(void)
{
    call(A);
    take();
}

static void take_then_call(void)
{
    take();
    call(A);
}

/* B has a debt to A, and waits for room of C to send it on. */
static TRI_ATOMIC(uint32_t) kept; /* it was not sent on */

static void forward_into_full(void)
{
    struct tri_debt debt = receive();
    struct tri_task *self = tri_worker_here()->current;
    bool lifted = tri_cycle_lift(debt, self);
    if (send_waiting() < 0) {
        if (lifted)
            tri_cycle_return(debt, self);
        tri_store(&kept, 1u, TRI_RELAXED);
        answer(debt);
        return;
    }
    moved[B] = debt;
    tri_store(&inbox[C], &moved[B], TRI_RELEASE);
    if (lifted)
        tri_cycle_arrive(debt, self, &actors[C]);
}

static bool is_there_or_kept(const void *of)
{
    return is_there(of) || model_peek(&kept);
}

static void call_then_take_debt(void)
{
    call_then_take();
    model_block(is_there_or_kept, &inbox[C]);
    while (!tri_load(&kept, TRI_RELAXED)) {
        if (tri_load(&inbox[C], TRI_RELAXED)) {
            serve();
            break;
        }
        tri_spin();
    }
}

static void forward_room_setup(void)
{
    full = C;
    room_setup();
}

/* ---- held: A is, while C runs on the same thread; C calls B, which calls A ---- */

static void held_and_callee(void)
{
    struct tri_slot *slot = ask(C);
    struct tri_worker *worker = tri_worker_here();
    tri_cycle_note(worker, slot);
    worker->current = &actors[C]; /* its other half: */
    struct tri_debt held = *tri_exchange(&inbox[C], NULL, TRI_ACQUIRE);
    struct tri_debt debt = tri_reply_open(&worker->slots, &actors[C], &answers[C], sizeof(int));
    tri_cycle_aim(debt, &actors[B]);
    debts[C][0] = debt;
    tri_store(&inbox[B], &debts[C][0], TRI_RELEASE);
    await(debt.slot);
    answer(held);
    worker->current = &actors[A];
    model_assert(await(slot) == 0);
    serve();
}

/* ---- recycled: a slot is another's now, whose caller it was is still written down to wait for it ---- */

static void call_as_two(void)
{
    struct tri_worker *worker = tri_worker_here();
    struct tri_slot *slot = ask(B);
    model_assert(await_answer(slot) == 0);
    worker->current = &actors[C]; /* on another thread, were it not for the slot that must pass */
    model_assert(ask(B) == slot);
    tri_cycle_leave(&actors[A]);
    model_assert(await(slot) == 0);
}

/* Looks only: A does not serve. */
static void serve_and_look(void)
{
    serve();
    struct tri_slot *slot = ask(A);
    model_assert(tri_cycle_enter(slot) == 0);
    model_assert(tri_reply_abandon(&tri_worker_here()->slots, slot));
    tri_cycle_leave(tri_worker_here()->current);
    serve();
}

/* clang-format off */
#define TWO(one, other) { { #one, one, 0, 0, 0 }, { #other, other, 0, 0, 0 } }
#define THREE(one, other, last) { { #one, one, 0, 0, 0 }, { #other, other, 0, 0, 0 }, { #last, last, 0, 0, 0 } }
/* clang-format on */

static const struct model_case cases[] = {
    { .name = "both", .stale = 2, .setup = setup, .check = once_check, .threads = TWO(caller_of_b, caller_of_a) },
    { .name = "both, three",
      .setup = setup,
      .check = once_check,
      .threads = THREE(caller_of_b, caller_of_c, caller_of_a) },
    { .name = "let go",
      .setup = setup,
      .check = once_check,
      .threads = THREE(call_and_serve_both, call_on, caller_of_a) },
    { .name = "again", .stale = 2, .setup = setup, .check = cycle_check, .threads = TWO(call_twice, serve_and_call) },
    { .name = "answered",
      .stale = 2,
      .setup = setup,
      .check = nobody_told,
      .threads = TWO(caller_of_b, serve_then_call) },
    { .name = "forward",
      .stale = 2,
      .setup = setup,
      .check = cycle_check,
      .threads = THREE(caller_of_b, forwarder, caller_of_a) },
    { .name = "helped",
      .stale = 2,
      .setup = setup,
      .check = nobody_told,
      .threads = THREE(caller_of_b, forward_then_call, serve) },
    { .name = "returned",
      .stale = 2,
      .setup = setup,
      .check = nobody_told,
      .threads = THREE(caller_of_b, forward_then_serve, return_then_call) },
    { .name = "deferred",
      .stale = 2,
      .setup = setup,
      .check = nobody_told,
      .threads = THREE(caller_of_b, defer_then_call, serve) },
    { .name = "room", .stale = 2, .setup = room_setup, .check = cycle_check, .threads = TWO(sender, call_then_take) },
    { .name = "served", .stale = 2, .setup = room_setup, .check = nobody_told, .threads = TWO(sender, take_then_call) },
    { .name = "forward, room",
      .setup = forward_room_setup,
      .check = cycle_check,
      .threads = THREE(caller_of_b, forward_into_full, call_then_take_debt) },
    { .name = "recycled",
      .stale = 2,
      .setup = setup,
      .check = nobody_told,
      .threads = TWO(call_as_two, serve_and_look) },
    { .name = "held", .stale = 2, .setup = setup, .check = cycle_check, .threads = TWO(held_and_callee, caller_of_a) },
    { 0 },
};
MODEL_LIMITED(cases, 1);
