/* SPDX-License-Identifier: MIT */
/*
 * counter.c: fetch and increment, the smallest actor there is: it owns a number, hands it out, and adds one.
 *
 * Written twice, because there are two ways to write an actor. Both are called the same way:
 *   loop actor      a function with a loop of its own; it keeps a stack while it waits
 *   handler actor   a function that is called for each message; between messages it is a record of 192 bytes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe.h>

#define CALLERS 100
#define CALLS 1000

struct fetch;
TR_ADDRESS_TYPE(counter_address, struct fetch);
TR_REPLY_TYPE(count_reply, uint64_t);
struct fetch {
    uint64_t add;
    struct count_reply reply; /* where the old value goes */
};

/* ---- as a loop actor ---- */

static int counter_loop(void *argument)
{
    uint64_t count = *(uint64_t *)argument;
    struct fetch fetch;
    while (tr_receive(&fetch, TR_FOREVER) == 0) { /* -EPIPE once it has been stopped */
        tr_reply(fetch.reply, &count);
        count += fetch.add;
    }
    return 0;
}

/* ---- as a handler actor ---- */

static int counter_handler(void *state, void *message)
{
    uint64_t *count = state;
    struct fetch *fetch = message;
    tr_reply(fetch->reply, count);
    *count += fetch->add;
    return 0; /* on to the next message */
}

/* ---- its callers ---- */

static int caller(void *argument)
{
    struct counter_address counter = *(struct counter_address *)argument;
    uint64_t before, last = 0;
    for (int i = 0; i < CALLS; i++) {
        int rc = tr_call(counter, &before, tr_after(10 * TR_SECOND), &(struct fetch){ .add = 1 });
        if (rc < 0)
            return rc;
        if (i > 0 && before <= last)
            return -1; /* somebody else got our number */
        last = before;
    }
    return 0;
}

/* Many callers at once; returns 0 if no increment was lost. */
static int count_with(const char *name, struct counter_address counter)
{
    struct tr_task tasks[CALLERS];
    struct tr_task_options options = { .name = "caller", .argument_bytes = sizeof counter };
    int failed = 0, result, rc;
    for (int i = 0; i < CALLERS; i++) {
        rc = tr_task_spawn(&tasks[i], caller, &counter, &options);
        if (rc < 0)
            return rc;
    }
    for (int i = 0; i < CALLERS; i++)
        failed += tr_task_join(tasks[i], &result, TR_FOREVER) < 0 || result != 0;

    uint64_t count = 0;
    rc = tr_call(counter, &count, tr_after(TR_SECOND), &(struct fetch){ .add = 0 });
    tr_actor_stop(counter);
    if (rc < 0)
        return rc;
    printf("%s: %d callers, %d calls each, the counter says %llu\n", name, CALLERS, CALLS, (unsigned long long)count);
    return failed || count != (uint64_t)CALLERS * CALLS;
}

static int run(void *argument)
{
    (void)argument;
    struct counter_address loop, handler;
    uint64_t zero = 0;
    struct tr_actor_options options = { .name = "counter", .argument_bytes = sizeof zero }; /* each gets its own copy */
    int rc = tr_spawn(&loop, counter_loop, &zero, &options);
    if (rc < 0)
        return rc;
    rc = tr_spawn_handler(&handler, counter_handler, &zero, &options);
    if (rc < 0)
        return rc;
    rc = count_with("loop actor", loop);
    int second = count_with("handler actor", handler);
    return rc != 0 ? rc : second;
}

/* What is printed is the result: it counts once it is written. */
static bool written(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    fputs("counter: standard output cannot be written\n", stderr);
    return false;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        bool help = strcmp(argv[1], "--help") == 0;
        fprintf(help ? stdout : stderr, "usage: counter\nCounts with a loop actor and with a handler actor.\n");
        return help ? 0 : 2;
    }
    int rc = tr_run(NULL, run, NULL);
    if (rc != 0)
        fprintf(stderr, "counter: %s\n", rc < 0 ? strerror(-rc) : "a call has failed, or an increment was lost");
    return rc != 0 || !written();
}
