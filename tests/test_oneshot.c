/* SPDX-License-Identifier: MIT */
/*
 * test_oneshot.c: oneshots by the promises of troupe/oneshot.h: as a table of what is done in which order, and with tasks and
 * threads that wait.
 */
#include "support.h"

#include <pthread.h>

TR_ONESHOT_TYPE(number_oneshot, int64_t);

_Static_assert(sizeof(struct tr_oneshot) == 24, "as the header says");

/* ---- edges ---------------------------------------------------------------------------------------------------- */

enum op { DONE, SEND, DROP, TRY, CLOSE, IS_CLOSED, IS_EMPTY, LEAVE };

static const struct script {
    const char *name;
    struct {
        enum op op;
        int64_t result; /* of TRY the value, 7, or the error */
    } steps[10];
} scripts[] = {
    { "sent, received, once", { { TRY, -EAGAIN }, { SEND, 0 }, { TRY, 7 }, { TRY, -EPIPE }, { SEND, -EINVAL } } },
    { "sent twice", { { SEND, 0 }, { SEND, -EINVAL }, { TRY, 7 } } },
    { "dropped", { { DROP, 0 }, { TRY, -EPIPE }, { TRY, -EPIPE } } },
    { "sent, then dropped", { { SEND, 0 }, { DROP, 0 }, { TRY, 7 } } },
    { "dropped, then sent", { { DROP, 0 }, { SEND, -EINVAL }, { TRY, -EPIPE } } },
    { "closed: the value stays with the sender",
      { { CLOSE, 0 }, { IS_CLOSED, 1 }, { SEND, -EPIPE }, { TRY, -EPIPE } } },
    { "sent, then closed: nothing is lost",
      { { SEND, 0 }, { IS_CLOSED, 0 }, { CLOSE, 0 }, { TRY, 7 }, { TRY, -EPIPE } } },
    { "closed twice", { { CLOSE, 0 }, { CLOSE, 0 }, { TRY, -EPIPE }, { DROP, 0 } } },
    { "empty but for a value that waits",
      { { IS_EMPTY, 1 }, { SEND, 0 }, { IS_EMPTY, 0 }, { CLOSE, 0 }, { IS_EMPTY, 0 }, { TRY, 7 }, { IS_EMPTY, 1 } } },
    { "empty: dropped, closed", { { DROP, 0 }, { IS_EMPTY, 1 }, { CLOSE, 0 }, { IS_EMPTY, 1 } } },
    { "left with a value in it", { { SEND, 0 }, { LEAVE, 0 } } },
};

static int64_t do_step(struct number_oneshot *oneshot, enum op op)
{
    int64_t number = 0;
    int rc;
    switch (op) {
    case DONE:
        break;
    case SEND:
        return tr_oneshot_send(oneshot, &(int64_t){ 7 });
    case DROP:
        tr_oneshot_drop(oneshot);
        return 0;
    case TRY:
        rc = tr_oneshot_try_receive(oneshot, &number);
        return rc == 0 ? number : rc;
    case CLOSE:
        tr_oneshot_close(oneshot);
        return 0;
    case IS_CLOSED:
        return tr_oneshot_is_closed(oneshot);
    case IS_EMPTY:
        return tr_oneshot_is_empty(oneshot);
    case LEAVE:
        tr_oneshot_leave(oneshot);
        return 0;
    }
    test_fail(__FILE__, __LINE__, "op %d", op);
}

/* Embedded, and on the heap, where the last to have done its part frees it (ASan sees whether). */
START_TEST(edges)
{
    for (unsigned i = 0; i < 2 * sizeof scripts / sizeof *scripts; i++) {
        const struct script *script = &scripts[i / 2];
        struct number_oneshot here, *oneshot = i % 2 ? tr_oneshot_create(struct number_oneshot) : &here;
        bool left = false;
        expect(oneshot);
        if (oneshot == &here)
            tr_oneshot_init(&here);
        for (unsigned s = 0; script->steps[s].op != DONE; s++) {
            int64_t result = do_step(oneshot, script->steps[s].op);
            left |= script->steps[s].op == LEAVE;
            if (result != script->steps[s].result)
                test_fail(__FILE__, __LINE__, "%s: step %u gives %lld", script->name, s + 1, (long long)result);
        }
        if (!left) {
            tr_oneshot_drop(oneshot); /* in vain if it has been sent */
            tr_oneshot_leave(oneshot);
        }
    }
}
END_TEST

/* On the heap the receiver leaves first: the sender frees it by a send in vain, or a drop. */
START_TEST(heap_receiver_leaves_first)
{
    struct number_oneshot *oneshot = tr_oneshot_create(struct number_oneshot);
    tr_oneshot_leave(oneshot);
    expect_int(tr_oneshot_send(oneshot, &(int64_t){ 1 }), -EPIPE);
    oneshot = tr_oneshot_create(struct number_oneshot);
    tr_oneshot_leave(oneshot);
    expect(tr_oneshot_is_closed(oneshot));
    tr_oneshot_drop(oneshot);
}
END_TEST

/* ---- waiting -------------------------------------------------------------------------------------------------- */

static int receive(void *argument)
{
    struct number_oneshot *oneshot = argument;
    int64_t number;
    int rc = tr_oneshot_receive(oneshot, &number, TR_FOREVER);
    return rc == 0 ? (int)number : rc;
}

static int send_five(void *argument)
{
    struct number_oneshot *oneshot = argument;
    return tr_oneshot_send(oneshot, &(int64_t){ 5 });
}

static int await_close(void *argument)
{
    struct number_oneshot *oneshot = argument;
    int rc = tr_oneshot_await_close(oneshot, TR_FOREVER);
    tr_oneshot_drop(oneshot);
    return rc;
}

TASK_TEST_ON(1, a_waiting_receiver_gets_the_value_or_the_end)
{
    struct number_oneshot oneshot;
    for (int way = 0; way < 3; way++) {
        tr_oneshot_init(&oneshot);
        struct tr_task task = test_task(receive, &oneshot);
        test_settle();
        if (way == 0)
            expect_int(send_five(&oneshot), 0);
        else if (way == 1)
            tr_oneshot_drop(&oneshot);
        else
            tr_oneshot_close(&oneshot);
        expect_int(test_join(task), way == 0 ? 5 : -EPIPE);
        tr_oneshot_drop(&oneshot);
        tr_oneshot_leave(&oneshot);
    }
}

TASK_TEST_ON(1, deadline_and_cancel_take_nothing)
{
    struct number_oneshot oneshot;
    int64_t number;
    tr_oneshot_init(&oneshot);
    expect_int(tr_oneshot_receive(&oneshot, &number, TR_NOW), -ETIMEDOUT);
    expect_int(tr_oneshot_receive(&oneshot, &number, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    struct tr_task task = test_task(receive, &oneshot);
    test_settle();
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), -ECANCELED);
    expect_int(send_five(&oneshot), 0);
    expect_int(receive(&oneshot), 5);
    tr_oneshot_leave(&oneshot);
}

TASK_TEST_ON(1, the_sender_sees_the_receiver_go_and_the_receiver_waits_for_it)
{
    struct number_oneshot oneshot;
    tr_oneshot_init(&oneshot);
    expect_int(tr_oneshot_await_close(&oneshot, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    struct tr_task task = test_task(await_close, &oneshot);
    test_settle();
    tr_oneshot_leave(&oneshot);
    memset(&oneshot, 0x5a, sizeof oneshot);
    expect_int(test_join(task), 0);
}

TASK_TEST_ON(1, select_takes_one_and_leaves_the_other)
{
    struct number_oneshot a, b;
    int64_t x = 0, y = 0;
    tr_oneshot_init(&a);
    tr_oneshot_init(&b);
    struct tr_case cases[] = { tr_case_oneshot(&a, &x), tr_case_oneshot(&b, &y), tr_case_oneshot_close(&a) };
    expect_int(tr_select(cases, 3, tr_after(TR_MILLISECOND), TR_SELECT_FAIR), -ETIMEDOUT);
    struct tr_task task = test_task(send_five, &b);
    expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(cases[1].result == 0 ? y : -1, 5);
    expect_int(test_join(task), 0);
    expect_int(send_five(&a), 0);
    expect_int(tr_select(cases, 1, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect_int(x, 5);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_ORDERED), 0);
    expect_int(cases[0].result, -EPIPE);
    tr_oneshot_leave(&a);
    tr_oneshot_leave(&b);
}

/* ---- threads, and memory that is used anew at once ------------------------------------------------------------ */

enum { ROUNDS = 3000 };

struct rounds {
    struct number_oneshot *next[ROUNDS]; /* handed to the thread through a channel of plain pointers */
    atomic_int ready;
    unsigned sent, refused;
};

static void *serve(void *argument)
{
    struct rounds *rounds = argument;
    for (int i = 0; i < ROUNDS; i++) {
        while (atomic_load(&rounds->ready) <= i)
            sched_yield();
        struct number_oneshot *oneshot = rounds->next[i];
        if (i % 5 == 0) {
            tr_oneshot_drop(oneshot);
            continue;
        }
        int rc = tr_oneshot_send(oneshot, &(int64_t){ i });
        expect(rc == 0 || rc == -EPIPE);
        if (rc == 0)
            rounds->sent++;
        else
            rounds->refused++;
    }
    return NULL;
}

static unsigned use_one(struct rounds *rounds, int i)
{
    struct number_oneshot oneshot;
    int64_t number = -1;
    tr_oneshot_init(&oneshot);
    rounds->next[i] = &oneshot;
    atomic_store(&rounds->ready, i + 1);
    int rc = tr_oneshot_receive(&oneshot, &number, i % 3 ? TR_FOREVER : tr_after(i % 7 * TR_MICROSECOND));
    if (rc == -ETIMEDOUT) {
        tr_oneshot_close(&oneshot);
        rc = tr_oneshot_try_receive(&oneshot, &number);
        tr_oneshot_leave(&oneshot);
    }
    memset(&oneshot, 0x5a, sizeof oneshot); /* ours again, whatever happened */
    expect(rc == 0 ? number == i : rc == -EPIPE);
    return rc == 0;
}

static void use_all(struct rounds *rounds)
{
    pthread_t thread;
    unsigned received = 0;
    expect_int(pthread_create(&thread, NULL, serve, rounds), 0);
    for (int i = 0; i < ROUNDS; i++)
        received += use_one(rounds, i);
    pthread_join(thread, NULL);
    expect_int(rounds->sent, received);
}

START_TEST(memory_is_the_receivers_again_thread)
{
    use_all(test_new(sizeof(struct rounds)));
}
END_TEST

TASK_TEST(memory_is_the_receivers_again_task)
{
    use_all(test_new(sizeof(struct rounds)));
}

int main(void)
{
    return test_main("oneshot", TESTS(edges, heap_receiver_leaves_first, a_waiting_receiver_gets_the_value_or_the_end,
                                      deadline_and_cancel_take_nothing,
                                      the_sender_sees_the_receiver_go_and_the_receiver_waits_for_it,
                                      select_takes_one_and_leaves_the_other, memory_is_the_receivers_again_thread,
                                      memory_is_the_receivers_again_task));
}
