/* SPDX-License-Identifier: MIT */
/* test_call_sent.c: requests that own memory: after a call that failed, tr_call_sent tells who is to free it. */
#include "tests/support.h"

enum { ECHO, FAIL, SILENT };

/* A request that owns memory. Whoever has it last frees it: the receiver, the mailbox's drop, or the caller. */
struct load;
TR_ADDRESS_TYPE(load_address, struct load);
TR_REPLY_TYPE(load_reply, int);
struct load {
    char *bytes; /* NULL: none */
    struct load_reply reply;
    int kind;
};

static atomic_int loads;

static char *make_load(void)
{
    atomic_fetch_add(&loads, 1);
    return malloc(16);
}

static void free_load(void *message)
{
    struct load *load = message;
    atomic_fetch_sub(&loads, 1);
    free(load->bytes);
}

static int call_with_load(struct load_address actor, int kind, tr_time deadline)
{
    struct load load = { .bytes = make_load(), .kind = kind };
    int answer;
    int rc = tr_call(actor, &answer, deadline, &load);
    if (rc != 0 && !tr_call_sent())
        free_load(&load);
    return rc;
}

static int carry_load(struct load *load, tr_time pause)
{
    int kind = load->kind;
    free_load(load);
    if (pause > 0)
        tr_sleep(pause); /* may be cancelled */
    if (kind == FAIL)
        tr_reply_error(load->reply, 4);
    else if (kind != SILENT)
        tr_reply(load->reply, &kind);
    return 0;
}

static int carry_loads_handler(void *state, void *message)
{
    (void)state;
    return carry_load(message, 200 * TR_MICROSECOND);
}

static int carry_loads_loop(void *argument)
{
    struct load load;
    while (tr_receive(&load, TR_FOREVER) == 0)
        carry_load(&load, argument ? 200 * TR_MICROSECOND : 0);
    return 0;
}

struct carrier {
    struct load_address actor;
    uint64_t seed;
};

static int call_at_random(void *argument)
{
    struct carrier *carrier = argument;
    for (int i = 0; i < 60; i++) {
        uint64_t dice = test_random(&carrier->seed);
        tr_time deadline = dice % 5 == 0 ? TR_NOW : tr_after((int64_t)(dice % 1000) * TR_MICROSECOND);
        call_with_load(carrier->actor, dice % 3 == 0 ? SILENT : dice % 3 == 1 ? FAIL : ECHO, deadline);
    }
    return 0;
}

TASK_TEST(call_that_failed_tells_who_has_the_message)
{
    struct tr_task task;
    struct tr_actor_options options = { .capacity = 1, .drop = free_load, .task = &task };
    struct load_address actor;
    struct load_address nobody = { 0 };
    expect_int(call_with_load(nobody, ECHO, TR_FOREVER), -ESRCH);
    expect(!tr_call_sent());
    expect_int(tr_spawn_handler(&actor, carry_loads_handler, NULL, &options), 0);
    expect_int(call_with_load(actor, FAIL, TR_FOREVER), 4);
    expect(tr_call_sent());
    expect_int(call_with_load(actor, SILENT, TR_FOREVER), -EPIPE);
    expect(tr_call_sent());
    expect_int(call_with_load(actor, ECHO, TR_NOW), -ETIMEDOUT);
    expect(tr_call_sent());
    expect_int(tr_actor_stop(actor), 0);
    expect_int(test_join(task), 0);
    expect_int(call_with_load(actor, ECHO, TR_FOREVER), -ESRCH);
    expect(!tr_call_sent());
    expect_int(atomic_load(&loads), 0);
}

/* Callers with short deadlines, some of them cancelled, on mailboxes of one place: nothing leaks, nothing is freed twice. */
TASK_TEST(call_messages_that_own_memory_are_freed_once)
{
    for (int round = 0; round < 6; round++) {
        struct tr_task task, callers[8];
        struct tr_actor_options options = { .capacity = 1 + (uint32_t)round % 2, .drop = free_load, .task = &task };
        struct carrier carriers[8];
        struct load_address actor;
        if (round % 3 == 0)
            expect_int(tr_spawn_handler(&actor, carry_loads_handler, NULL, &options), 0);
        else
            expect_int(tr_spawn(&actor, carry_loads_loop, round % 3 == 1 ? NULL : &options, &options), 0);
        for (int i = 0; i < 8; i++) {
            carriers[i] = (struct carrier){ actor, (uint64_t)(round * 8 + i + 1) };
            callers[i] = test_task(call_at_random, &carriers[i]);
        }
        expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
        tr_task_cancel(callers[3]);
        if (round >= 3) {
            expect_int(tr_sleep(2 * TR_MILLISECOND), 0);
            expect_int(tr_actor_cancel(actor), 0);
        }
        for (int i = 0; i < 8; i++)
            test_join(callers[i]);
        tr_actor_stop(actor);
        expect_int(tr_task_join(task, NULL, TR_FOREVER), 0);
        expect_int(atomic_load(&loads), 0);
    }
}

int main(void)
{
    return test_main("call_sent",
                     TESTS(call_that_failed_tells_who_has_the_message, call_messages_that_own_memory_are_freed_once));
}
