/* SPDX-License-Identifier: MIT */
/* gate.h: a receiver that can be held back and senders that wait for it, for the suites of mailboxes. */
#ifndef TEST_GATE_H
#define TEST_GATE_H

#include "tests/support.h"

/* A loop actor that does nothing until `open`, then notes what it receives, until it is stopped. */
struct gate {
    atomic_int open, received, end;
    int64_t values[256];
};

static inline int note_values(void *argument)
{
    struct gate *gate = argument;
    struct number message;
    int rc;
    wait_until(atomic_load(&gate->open));
    while ((rc = tr_receive(&message, TR_FOREVER)) == 0) {
        int n = atomic_load(&gate->received);
        gate->values[n % 256] = message.value;
        atomic_store(&gate->received, n + 1);
        tr_reply(message.reply, &message.value);
    }
    return rc;
}

static inline void fill(struct number_address actor, int count)
{
    for (int i = 0; i < count; i++)
        expect_int(tr_try_send(actor, &(struct number){ .value = i }), 0);
    expect_int(tr_try_send(actor, &(struct number){ .value = count }), -EAGAIN);
}

struct sender {
    struct number_address to;
    int64_t value, span; /* span: how long it is ready to wait, 0 for ever */
};

static inline int send_one(void *argument)
{
    struct sender *sender = argument;
    tr_time deadline = sender->span ? tr_after(sender->span) : TR_FOREVER;
    return tr_send(sender->to, deadline, &(struct number){ .value = sender->value });
}

static inline struct tr_task start_sender(struct number_address to, int64_t value, int64_t span)
{
    struct tr_task task;
    struct sender sender = { to, value, span };
    expect_int(tr_task_spawn(&task, send_one, &sender,
                             &(struct tr_task_options){ .name = "sender", .argument_bytes = sizeof sender }),
               0);
    return task;
}

#endif
