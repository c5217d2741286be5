/* SPDX-License-Identifier: MIT */
/*
 * model_call.c: a call that is handed over to a loop actor (hand_over in actor/call.c) x the actor's park x its deadline,
 * with the real scheduler: call.c, actor.c, scheduler.c, wait.c and task.c. Every stack is a thread of the model, and a
 * switch passes the turn on to another; so what runs at once are two workers, and each goes from stack to stack.
 *
 *   park     the actor is about to park: it gets the message in its hand, or finds it in its mailbox
 *   again    its deadline makes it run on the other worker, and it receives again
 *   sleep    after the deadline it waits for something else: the hand-over wakes it there, and must not be taken for a message
 *   end      after the deadline it ends, and the record is another loop actor's: that gets nothing
 *   give up  as `again`, and the caller has a deadline, too
 *   sender   another sends while the actor parks, is handed the call, and parks again: it keeps its idle mark meanwhile
 *   second   two call, and the actor, its mark kept, waits for something else after the first: the second has looked before
 *            that, and takes the park word after
 *
 *   room     no call but a send that waits for room, and the actor takes one message and waits for something else: the sender
 *            is served by the look that follows the park (park_commit in actor/scheduler.c), at the latest
 *
 *   foreign  the caller is a thread that is no worker; it sends and activates where a clock that stands can see it
 *   foreign, room  such a thread sends, and waits for room
 *   gather   such a thread gathers the answer to a call that has to wait for room
 *   senders  two such threads close the last counted senders: what both did before is seen by the actor that is told
 *   cancel   such a thread cancels the actor, which takes note of it
 *
 * The caller gets the answer, or is told that the actor has gone, or gives up; it never hangs.
 */
#include "fake_stacks.h"

#define give_up give_up_gathered
#include "actor/gather.c"
#undef give_up

static int answer_value, second_value, call_rc, receive_rc, told[2];
static TRI_ATOMIC(uint32_t) sent, heard; /* messages that are no requests */
static uint32_t records_needed = 2;
static unsigned answered; /* requests, by the actor */
static tr_time call_deadline;
static void *end[5]; /* where the first thread ends, with the caller */

/* ---- the parts ---- */

static void answer_request(const struct request *request)
{
    int value = request->value + 1;
    answered++;
    int rc = tr_reply_raw(request->reply, sizeof value, &value);
    model_assert(rc == 0 || (call_deadline != TR_FOREVER && rc == -ESRCH));
}

/* Has a message before the request. */
static int answering_actor(void *argument)
{
    struct request request;
    (void)argument;
    model_assert(tr_receive_raw(sizeof request, &request, TR_FOREVER) == 0 && request.value == 30);
    for (;;) {
        model_assert(tr_receive_raw(sizeof request, &request, TR_FOREVER) == 0);
        answer_request(&request);
    }
}

/* Answers requests. Returns when the deadline has passed. */
static int serve(tr_time deadline)
{
    struct request request;
    int rc;
    while ((rc = tr_receive_raw(sizeof request, &request, deadline)) == 0)
        answer_request(&request);
    model_assert(rc == -ETIMEDOUT && deadline != TR_FOREVER);
    return rc;
}

static int patient_actor(void *argument)
{
    (void)argument;
    return serve(TR_FOREVER);
}

/* Gets a message as well. */
static int hearing_actor(void *argument)
{
    struct request request;
    (void)argument;
    for (;;) {
        model_assert(tr_receive_raw(sizeof request, &request, TR_FOREVER) == 0);
        if (request.value == 30)
            tri_store(&heard, 1u, TRI_RELAXED);
        else
            answer_request(&request);
    }
}

/* Answers one request, and waits for something else before the next. */
static int napping_actor(void *argument)
{
    struct request request;
    (void)argument;
    model_assert(tr_receive_raw(sizeof request, &request, TR_FOREVER) == 0);
    answer_request(&request);
    while (tri_park(2, TRI_WAIT_SLEEP) == 0)
        ;
    return serve(TR_FOREVER);
}

static int actor_again(void *argument)
{
    (void)argument;
    serve(1);
    return serve(TR_FOREVER);
}

static int sleepy_actor(void *argument)
{
    (void)argument;
    serve(1);
    while (tri_park(2, TRI_WAIT_SLEEP) == 0)
        ;
    return serve(TR_FOREVER);
}

static int brief_actor(void *argument)
{
    (void)argument;
    serve(1);
    return 0;
}

/* Takes one message, and comes back no more. */
static int busy_actor(void *argument)
{
    struct request request;
    (void)argument;
    model_assert(tr_receive_raw(sizeof request, &request, TR_FOREVER) == 0 && request.value == 30);
    for (;;)
        tri_park_tail(TRI_WAIT_CHANNEL);
}

static int told_actor(void *argument)
{
    struct request request;
    (void)argument;
    receive_rc = tr_receive_raw(sizeof request, &request, TR_FOREVER);
    if (receive_rc == -EPIPE)
        model_assert(told[0] == 1 && told[1] == 1);
    else
        model_assert(tr_cancel_taken() && !tr_cancel_taken());
    return 0;
}

static bool is_idle(const void *of)
{
    const struct tri_task *task = of;
    return model_peek(&task->mailbox.tail) & TRI_TAIL_IDLE ||
           model_peek(&task->life) >> TRI_LIFE_SHIFT != actor.tri_generation;
}

/* A call of the actor: the answer is one more than what was asked. */
static int ask(int value, int *answer)
{
    struct request request = { .value = value };
    struct tr_ask into = { offsetof(struct request, reply), sizeof *answer, answer };
    int rc = tr_call_raw(actor, &type, &request, into, call_deadline);
    model_assert(rc != 0 || *answer == value + 1);
    *answer = -1; /* the frame is used anew: whoever still writes there races with this */
    return rc;
}

static int caller(void *argument)
{
    (void)argument;
    model_block(is_idle, actor.tri_record);
    call_rc = ask(40, &answer_value);
    __builtin_longjmp(end, 1);
}

static int second_caller(void *argument)
{
    (void)argument;
    model_assert(ask(60, &second_value) == 0);
    return 0;
}

static int sender(void *argument)
{
    struct request request = { .value = 40 };
    (void)argument;
    call_rc = tr_send_raw(actor, &type, &request, TR_FOREVER);
    __builtin_longjmp(end, 1);
}

static int gatherer(void *argument)
{
    struct request request = { .value = 40 };
    struct tr_gather_call call = { .address = actor,
                                   .type = &type,
                                   .message = &request,
                                   .ask = { offsetof(struct request, reply), sizeof answer_value, &answer_value } };
    (void)argument;
    int rc = tr_gather(&call, 1, call_deadline, TR_GATHER_ALL);
    call_rc = call.result;
    model_assert(rc == (call_rc == 0) && (call_rc != 0 || answer_value == 41));
    model_assert(call.sent || call_rc != 0);
    answer_value = -1;
    __builtin_longjmp(end, 1);
}

static void start(int (*body)(void *argument), int (*other)(void *argument))
{
    struct tri_storage *made[2];
    tri_task_pool.slab_objects = records_needed;
    tri_slot_pool.slab_objects = 2;
    runtime.workers = 2;
    runtime.worker = workers;
    for (unsigned i = 0; i < 2; i++) {
        workers[i].runtime = &runtime;
        workers[i].index = i;
        workers[i].alone = true;
        tri_start_quota(&workers[i], TRI_PASS_SWITCHES);
        workers[i].errno_at = &errnos[i];
        workers[i].stack = &stacks[i];
        worker_on[i] = &workers[i];
        made[i] = tri_storage_take(NULL, tri_shape_make(sizeof(struct request), 1));
        tri_pool_refill(&tri_slot_pool, &workers[i].slots);
    }
    for (unsigned i = 0; i < 2; i++)
        tri_storage_give(&workers[i].storages, made[i]);
    for (unsigned i = 0; i < STACKS; i++)
        tri_store(&away[i], 1u, TRI_RELAXED);
    for (unsigned i = 2; i < STACKS; i++)
        tri_stack_give(&workers[i % 2].stacks, 0, &stacks[i]);
    call_deadline = TR_FOREVER;
    struct tr_actor_options options = { .capacity = 1, .runtime = &runtime };
    model_assert(tr_spawn_raw(&actor, &type, body, NULL, &options) == 0);
    struct tri_spawn spawn = { .body = other, .runtime = &runtime };
    model_assert(tri_spawn(&spawn) == 0);
}

static void setup(int (*body)(void *argument))
{
    start(body, caller);
}

/* Full from the start. */
static void full_start(int (*body)(void *argument))
{
    struct request request = { .value = 30 };
    start(body, sender);
    model_assert(tr_try_send_raw(actor, &type, &request) == 0);
}

static void room_setup(void)
{
    full_start(busy_actor);
}

static void foreign_room_setup(void)
{
    room_setup();
    worker_on[CALLERS] = NULL;
}

static void gather_setup(void)
{
    full_start(answering_actor);
    worker_on[CALLERS] = NULL;
}

static void gather_give_up_setup(void)
{
    gather_setup();
    call_deadline = 1;
}

static void park_setup(void)
{
    setup(patient_actor);
}

static void sender_setup(void)
{
    setup(hearing_actor);
}

/* The second caller is ready on the actor's worker, which needs a stack more. */
static void second_setup(void)
{
    struct tri_spawn spawn = { .body = second_caller, .runtime = &runtime };
    records_needed = 3;
    setup(napping_actor);
    struct tri_task *first = tri_load(&workers[CALLERS].lifo, TRI_RELAXED);
    model_assert(tri_spawn(&spawn) == 0);
    tri_ready_ring(&workers[ACTORS], tri_load(&workers[CALLERS].lifo, TRI_RELAXED));
    tri_store(&workers[CALLERS].lifo, first, TRI_RELAXED);
    tri_stack_give(&workers[ACTORS].stacks, 0, tri_stack_take_cached(&workers[CALLERS].stacks, 0, 0));
}

static void again_setup(void)
{
    setup(actor_again);
}

/* No caller among the tasks; the first thread is no worker. */
static void foreign_start(int (*body)(void *argument))
{
    start(body, caller);
    worker_on[CALLERS] = NULL;
}

static void foreign_setup(void)
{
    foreign_start(patient_actor);
}

static void foreign_give_up_setup(void)
{
    foreign_start(patient_actor);
    call_deadline = 1;
}

static void senders_setup(void)
{
    foreign_start(told_actor);
    model_assert(tr_sender_open_raw(actor) == 0 && tr_sender_open_raw(actor) == 0);
}

static void cancel_setup(void)
{
    foreign_start(told_actor);
}

static void give_up_setup(void)
{
    setup(actor_again);
    call_deadline = 1;
}

static void sleep_setup(void)
{
    setup(sleepy_actor);
}

static void end_setup(void)
{
    setup(brief_actor);
}

static void caller_loop(void)
{
    if (__builtin_setjmp(end) == 0)
        tri_loop_entry(&stacks[0]);
}

static void foreign_caller(void)
{
    if (__builtin_setjmp(end) == 0)
        caller(NULL);
}

static void foreign_sender(void)
{
    if (__builtin_setjmp(end) == 0)
        sender(NULL);
}

static void foreign_gatherer(void)
{
    if (__builtin_setjmp(end) == 0)
        gatherer(NULL);
}

static void other_sender(void)
{
    struct request request = { .value = 30 };
    int rc = tr_try_send_raw(actor, &type, &request);
    model_assert(rc == 0 || rc == -EAGAIN);
    tri_store(&sent, rc == 0, TRI_RELAXED);
}

static void nobody(void)
{
}

static void close_sender(unsigned which)
{
    told[which] = 1;
    model_assert(tr_sender_close_raw(actor) == 0);
}

static void closer_0(void)
{
    close_sender(0);
}

static void closer_1(void)
{
    close_sender(1);
}

static void canceller(void)
{
    model_assert(tr_actor_cancel_raw(actor) == 0);
}

static void actor_loop(void)
{
    tri_loop_entry(&stacks[1]);
}

static void spare_loop(void)
{
    await_turn((size_t)model_self());
    tri_loop_entry(&stacks[model_self()]);
}

static bool is_turn(const void *of)
{
    const TRI_ATOMIC(uint32_t) *word = of;
    return model_peek(word) == 0;
}

static void answer_check(void)
{
    model_assert(call_rc == 0 && answered == 1);
}

static void second_check(void)
{
    model_assert(call_rc == 0 && answered >= 1);
}

/* The message has been heard, unless the actor is yet to look: the first worker ends with the caller. */
static void sender_check(void)
{
    struct tri_task *task = actor.tri_record;
    answer_check();
    model_assert(tri_load(&sent, TRI_RELAXED) == tri_load(&heard, TRI_RELAXED) ||
                 tri_load(&task->park.state, TRI_RELAXED) != TRI_PARKED);
}

static void room_check(void)
{
    struct tri_task *task = actor.tri_record;
    model_assert(call_rc == 0 && tri_mailbox_length(&task->mailbox, &task->consumer) == 1);
}

static void give_up_check(void)
{
    model_assert((call_rc == 0 && answered == 1) || (call_rc == -ETIMEDOUT && answered <= 1));
}

static void senders_check(void)
{
    model_assert(receive_rc == -EPIPE);
}

static void cancel_check(void)
{
    model_assert(receive_rc == -ECANCELED);
}

static void end_check(void)
{
    model_assert(call_rc == 0 || call_rc == -ESRCH || call_rc == -EPIPE);
    model_assert(answered == (call_rc == 0));
}

/* clang-format off */
/* The other thread stands where one of the first worker's stacks would be. */
#define WITH_ACTORS(one, other) { { #one, one, 0, 0, 0 }, { "actor", actor_loop, true, 0, 0 }, { #other, other, 0, 0, 0 }, \
                                  { "stack 3", spare_loop, true, is_turn, &away[3] } }
#define STACK_THREADS { "caller", caller_loop, 0, 0, 0 }, { "actor", actor_loop, true, 0, 0 },                           \
                      { "stack 2", spare_loop, true, is_turn, &away[2] }, { "stack 3", spare_loop, true, is_turn, &away[3] }, \
                      { "stack 4", spare_loop, true, is_turn, &away[4] }
#define ON_STACKS { STACK_THREADS }
/* clang-format on */

static const struct model_case cases[] = {
    { .name = "park", .setup = park_setup, .check = answer_check, .threads = ON_STACKS },
    { .name = "sender",
      .setup = sender_setup,
      .check = sender_check,
      .threads = { STACK_THREADS, { "sender", other_sender, 0, 0, 0 } } },
    { .name = "second", .setup = second_setup, .check = second_check, .threads = ON_STACKS },
    { .name = "again", .setup = again_setup, .check = answer_check, .threads = ON_STACKS },
    { .name = "sleep", .setup = sleep_setup, .check = answer_check, .threads = ON_STACKS },
    { .name = "end", .setup = end_setup, .check = end_check, .threads = ON_STACKS },
    { .name = "room", .stale = 2, .setup = room_setup, .check = room_check, .threads = ON_STACKS },
    { .name = "foreign",
      .setup = foreign_setup,
      .check = answer_check,
      .threads = WITH_ACTORS(foreign_caller, nobody) },
    { .name = "foreign, room",
      .setup = foreign_room_setup,
      .check = room_check,
      .threads = WITH_ACTORS(foreign_sender, nobody) },
    { .name = "gather",
      .setup = gather_setup,
      .check = answer_check,
      .threads = WITH_ACTORS(foreign_gatherer, nobody) },
    { .name = "gather, give up",
      .setup = gather_give_up_setup,
      .check = give_up_check,
      .threads = WITH_ACTORS(foreign_gatherer, nobody) },
    { .name = "foreign, give up",
      .setup = foreign_give_up_setup,
      .check = give_up_check,
      .threads = WITH_ACTORS(foreign_caller, nobody) },
    { .name = "senders", .setup = senders_setup, .check = senders_check, .threads = WITH_ACTORS(closer_0, closer_1) },
    { .name = "cancel", .setup = cancel_setup, .check = cancel_check, .threads = WITH_ACTORS(canceller, nobody) },
    { .name = "give up", .setup = give_up_setup, .check = give_up_check, .threads = ON_STACKS },
    { 0 },
};
MODEL_LIMITED(cases, 1);
