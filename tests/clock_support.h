/* SPDX-License-Identifier: MIT */
/* clock_support.h: runtimes whose clock stands, for the suites of clocks. */
#ifndef TEST_CLOCK_SUPPORT_H
#define TEST_CLOCK_SUPPORT_H

#include "tests/support.h"

#define HOUR (3600 * TR_SECOND)

static inline struct tr_options paused(unsigned workers)
{
    struct tr_options options = test_options(workers);
    options.clock_paused = true;
    return options;
}

static inline int echo(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    if (number->kind && tr_sleep(number->kind) < 0)
        return 0;
    tr_reply(number->reply, &number->value);
    return 0;
}

static inline struct tr_runtime *start_paused(unsigned workers, struct number_address *actor)
{
    struct tr_options options = paused(workers);
    struct tr_runtime *runtime;
    expect_int(tr_start(&runtime, &options), 0);
    struct tr_actor_options how = { .runtime = runtime };
    expect_int(tr_spawn_handler(actor, echo, NULL, &how), 0);
    return runtime;
}

#endif
