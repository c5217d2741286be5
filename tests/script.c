/* SPDX-License-Identifier: MIT */
/* script.c: carries out the tables of script.h. */
#include "tests/script.h"

static struct client {
    struct number_address actor;
    struct tr_task task;
    int result;
    bool done;
} clients[SCRIPT_TASKS];

static const struct script_suite *suite;

static tr_time deadline_of(int64_t operation)
{
    if (operation & AT_ONCE)
        return TR_NOW;
    return operation & BRIEF ? tr_after(2 * TR_MILLISECOND) : TR_FOREVER;
}

static int serve(void *argument)
{
    struct client *client = argument;
    struct number order;
    while (tr_receive(&order, TR_FOREVER) == 0) {
        client->result = suite->perform((int)(order.kind & (BRIEF - 1)), order.value, deadline_of(order.kind));
        client->done = true;
        if (tr_cancel_pending())
            tr_cancel_taken();
    }
    return 0;
}

static void complain(const struct script *script, const struct script_step *step, const char *text, int result)
{
    test_fail(__FILE__, __LINE__, "'%s', step %d by %c: %s %d, expected %d", script->name,
              (int)(step - script->steps) + 1, 'A' + step->who, text, result, step->expect);
}

static void begin_step(const struct script_step *step)
{
    struct client *client = &clients[step->who];
    switch (step->operation) {
    case CANCEL:
        expect_int(tr_task_cancel(client->task), 0);
        break;
    case RETURNS:
    case STILL:
        break;
    default:
        expect(client->done);
        client->done = false;
        expect_int(tr_send(client->actor, TR_FOREVER,
                           &(struct number){ .kind = step->operation, .value = step->argument }),
                   0);
    }
    test_settle();
}

static void take_step(const struct script *script, const struct script_step *step)
{
    struct client *client = &clients[step->who];
    begin_step(step);
    if (step->operation == RETURNS && step->expect == -ETIMEDOUT)
        wait_until(client->done);
    if (step->expect == MAYBE)
        return;
    if (step->expect == WAITS && client->done)
        complain(script, step, "does not wait, but returns", client->result);
    if (step->expect != WAITS && !client->done)
        complain(script, step, "waits, and has last returned", client->result);
    if (step->expect != WAITS && client->result != step->expect)
        complain(script, step, "returns", client->result);
}

static void play(const struct script *script, bool shared)
{
    uint64_t *word = suite->reset();
    if (shared)
        *word |= TRI_SHARED;
    for (int i = 0; i < script->count; i++)
        take_step(script, &script->steps[i]);
    for (int i = 0; i < SCRIPT_TASKS; i++) {
        if (!clients[i].done)
            test_fail(__FILE__, __LINE__, "'%s': %c waits at the end", script->name, 'A' + i);
    }
    if (*word & (TRI_GUARD | TRI_WAITED))
        test_fail(__FILE__, __LINE__, "'%s': not at rest at the end", script->name);
}

void script_run(const struct script *scripts, const struct script_suite *of)
{
    suite = of;
    for (int i = 0; i < SCRIPT_TASKS; i++) {
        clients[i].done = true;
        clients[i].actor = test_loop(serve, &clients[i], 4, &clients[i].task);
    }
    for (const struct script *script = scripts; script->name; script++) {
        play(script, false);
        play(script, true);
    }
    for (int i = 0; i < SCRIPT_TASKS; i++) {
        expect_int(tr_actor_stop(clients[i].actor), 0);
        expect_int(test_join(clients[i].task), 0);
    }
}
