/* SPDX-License-Identifier: MIT */
/*
 * test_gather_calls.c: many calls and many joins at once, by the promises of troupe/gather.h: each has its own result, the
 * deadline is one for all, what has come holds, and the first error or success ends the wait if asked.
 */
#include "tests/support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

/* ---- the other side ------------------------------------------------------------------------------------------- */

enum { ECHO, REFUSE, DROP, LATE, KEEP };

static atomic_int let_go, served;

/* By kind: answers, answers with an error, lets fall, answers after others have run, or keeps it until let go. */
static int answer(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    atomic_fetch_add(&served, 1);
    if (number->kind == DROP)
        return 0;
    if (number->kind == REFUSE)
        return tr_reply_error(number->reply, (int)number->value);
    for (int i = 0; i < 5 && number->kind == LATE; i++)
        expect_int(tr_yield(), 0);
    if (number->kind == KEEP)
        wait_until(atomic_load(&let_go));
    tr_reply(number->reply, &number->value);
    return 0;
}

enum { SERVERS = 6 };

static struct number_address servers[SERVERS];

static void start_servers(uint32_t capacity)
{
    atomic_store(&let_go, 0);
    for (int i = 0; i < SERVERS; i++)
        servers[i] = test_handler(answer, NULL, capacity, NULL);
}

static void stop_servers(void)
{
    atomic_store(&let_go, 1);
    for (int i = 0; i < SERVERS; i++)
        tr_actor_stop(servers[i]);
}

/* ---- tables --------------------------------------------------------------------------------------------------- */

enum { EITHER = 99 };
enum { NOBODY = -1, ENDED = -2, SELF = -3 }; /* whom a call goes to, else a kind; each to a server of its own */

static const struct gather_row {
    const char *name;
    int to[SERVERS], count;
    int64_t span; /* 0: for ever, -1: TR_NOW */
    unsigned flags;
    int answered, result[SERVERS]; /* EITHER: 7, or -ECANCELED if it came too late */
} rows[] = {
    { "none", { 0 }, 0, 0, 0, 0, { 0 } },
    { "one", { ECHO }, 1, 0, 0, 1, { 0 } },
    { "all", { ECHO, LATE, ECHO, LATE, ECHO, ECHO }, 6, 0, 0, 6, { 0 } },
    { "errors are their own", { ECHO, REFUSE, DROP, LATE }, 4, 0, 0, 2, { 0, 7, -EPIPE, 0 } },
    { "nobody there", { NOBODY, ECHO, ENDED }, 3, 0, 0, 1, { -ESRCH, 0, -ESRCH } },
    { "some too late", { ECHO, KEEP, LATE, KEEP }, 4, 500 * TR_MILLISECOND, 0, 2, { 0, -ETIMEDOUT, 0, -ETIMEDOUT } },
    { "all too late", { KEEP, KEEP }, 2, 3 * TR_MILLISECOND, 0, 0, { -ETIMEDOUT, -ETIMEDOUT } },
    { "no time", { KEEP, KEEP, ENDED }, 3, -1, 0, 0, { -ETIMEDOUT, -ETIMEDOUT, -ESRCH } },
    { "first error", { KEEP, REFUSE, KEEP }, 3, 0, TR_GATHER_FIRST_ERROR, 0, { -ECANCELED, 7, -ECANCELED } },
    { "first error, let fall",
      { KEEP, KEEP, DROP },
      3,
      0,
      TR_GATHER_FIRST_ERROR,
      0,
      { -ECANCELED, -ECANCELED, -EPIPE } },
    { "first error at once",
      { KEEP, ENDED, KEEP },
      3,
      0,
      TR_GATHER_FIRST_ERROR,
      0,
      { -ECANCELED, -ESRCH, -ECANCELED } },
    { "no first error", { ECHO, LATE, ECHO }, 3, 0, TR_GATHER_FIRST_ERROR, 3, { 0 } },
    { "first error, too late",
      { KEEP, KEEP },
      2,
      3 * TR_MILLISECOND,
      TR_GATHER_FIRST_ERROR,
      0,
      { -ETIMEDOUT, -ETIMEDOUT } },
    { "first success",
      { KEEP, REFUSE, LATE, KEEP },
      4,
      0,
      TR_GATHER_FIRST_SUCCESS,
      1,
      { -ECANCELED, EITHER, 0, -ECANCELED } },
    { "no success", { REFUSE, DROP }, 2, 0, TR_GATHER_FIRST_SUCCESS, 0, { 7, -EPIPE } },
};

static void try_row(const struct gather_row *row, struct number_address ended)
{
    struct tr_gather_call calls[SERVERS] = { 0 };
    struct number messages[SERVERS];
    int64_t answers[SERVERS] = { 0 };
    for (int i = 0; i < row->count; i++) {
        struct number_address to = servers[i];
        if (row->to[i] == NOBODY)
            to = (struct number_address){ 0 };
        if (row->to[i] == ENDED)
            to = ended;
        messages[i] =
            (struct number){ .kind = row->to[i] < 0 ? 0 : row->to[i], .value = row->to[i] == REFUSE ? 7 : 40 + i };
        answers[i] = -1;
        calls[i] = tr_gather_call(to, &answers[i], &messages[i]);
    }
    tr_time deadline = row->span == 0 ? TR_FOREVER : row->span < 0 ? TR_NOW : tr_clock() + row->span;
    int answered = tr_gather(calls, (uint32_t)row->count, deadline, row->flags);
    if (answered != row->answered)
        test_fail(__FILE__, __LINE__, "%s: %d", row->name, answered);
    for (int i = 0; i < row->count; i++) {
        bool right = calls[i].result == row->result[i] ||
                     (row->result[i] == EITHER && (calls[i].result == 7 || calls[i].result == -ECANCELED));
        if (!right || answers[i] != (calls[i].result == 0 ? 40 + i : -1) || (calls[i].result == 0 && !calls[i].sent) ||
            (row->to[i] < 0 && calls[i].sent))
            test_fail(__FILE__, __LINE__, "%s: call %d: %d, answer %lld", row->name, i, calls[i].result,
                      (long long)answers[i]);
    }
}

TASK_TEST(gather_calls_table)
{
    struct tr_task task;
    struct number_address ended = test_handler(answer, NULL, 0, &task);
    tr_actor_stop(ended);
    expect_int(test_join(task), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        start_servers(0);
        try_row(&rows[i], ended);
        stop_servers();
    }
}

/* ---- many, and full mailboxes --------------------------------------------------------------------------------- */

enum { MANY = 1000 };

static void gather_many(struct number_address *to, unsigned width, unsigned flags)
{
    struct tr_gather_call *calls = test_new(MANY * sizeof *calls);
    struct number *messages = test_new(MANY * sizeof *messages);
    int64_t *answers = test_new(MANY * sizeof *answers);
    for (int i = 0; i < MANY; i++) {
        messages[i] = (struct number){ .kind = i % 7 == 0 ? LATE : ECHO, .value = i };
        calls[i] = tr_gather_call(to[(unsigned)i % width], &answers[i], &messages[i]);
    }
    expect_int(tr_gather(calls, MANY, tr_after(LONG_TIME), flags), MANY);
    for (int i = 0; i < MANY; i++)
        expect_int(answers[i], i);
}

TASK_TEST(gather_a_thousand_calls_over_small_mailboxes)
{
    for (uint32_t capacity = 1; capacity <= 64; capacity *= 8) {
        start_servers(capacity);
        gather_many(servers, SERVERS, TR_GATHER_ALL);
        gather_many(servers, 1, TR_GATHER_FIRST_ERROR);
        stop_servers();
    }
}

/* What is in the mailbox's queue for room is taken back, and was not sent. */
TASK_TEST_ON(1, gather_given_up_while_waiting_for_room_has_not_sent)
{
    struct tr_gather_call calls[8];
    struct number messages[8];
    int64_t answers[8];
    start_servers(2);
    int before = atomic_load(&served);
    for (int i = 0; i < 8; i++) {
        messages[i] = (struct number){ .kind = KEEP, .value = i };
        calls[i] = tr_gather_call(servers[0], &answers[i], &messages[i]);
    }
    expect_int(tr_gather(calls, 8, tr_after(2 * TR_MILLISECOND), TR_GATHER_ALL), 0);
    int sent = 0;
    for (int i = 0; i < 8; i++) {
        expect_int(calls[i].result, -ETIMEDOUT);
        sent += calls[i].sent;
    }
    expect_int(sent, 3); /* one in hand, two in the mailbox */
    stop_servers();
    wait_until(atomic_load(&served) == before + 1); /* the other two are expired, and skipped */
}

TASK_TEST(gather_inside_a_scope)
{
    struct tr_gather_call calls[2];
    struct number messages[2] = { { .kind = ECHO, .value = 1 }, { .kind = KEEP, .value = 2 } };
    int64_t answers[2];
    struct tr_scope scope;
    start_servers(0);
    for (int i = 0; i < 2; i++)
        calls[i] = tr_gather_call(servers[i], &answers[i], &messages[i]);
    tr_scope_open(&scope, tr_clock() + 500 * TR_MILLISECOND);
    expect_int(tr_gather(calls, 2, TR_FOREVER, TR_GATHER_ALL), 1);
    expect(tr_scope_close(&scope));
    expect(calls[0].result == 0 && calls[1].result == -ETIMEDOUT);
    stop_servers();
}

static int gather_until_cancelled(void *argument)
{
    struct tr_gather_call calls[2];
    struct number messages[2] = { { .kind = ECHO, .value = 1 }, { .kind = KEEP, .value = 2 } };
    int64_t answers[2];
    for (int i = 0; i < 2; i++)
        calls[i] = tr_gather_call(servers[i], &answers[i], &messages[i]);
    int answered = tr_gather(calls, 2, TR_FOREVER, TR_GATHER_ALL);
    expect(calls[0].result == 0 && calls[1].result == -ECANCELED);
    expect_int(tr_gather(calls, 2, TR_FOREVER, TR_GATHER_ALL), 0);
    expect(calls[0].result == -ECANCELED && calls[1].result == -ECANCELED && !calls[0].sent);
    return argument ? answered : -1;
}

TASK_TEST(gather_cancelled_keeps_what_has_come)
{
    start_servers(0);
    int before = atomic_load(&served);
    struct tr_task task = test_task(gather_until_cancelled, servers);
    wait_until(atomic_load(&served) == before + 2);
    expect_int(test_ask(servers[0], ECHO, 5), 5); /* behind the first, which has been answered then */
    expect_int(tr_task_cancel(task), 0);
    expect_int(test_join(task), 1);
    stop_servers();
}

static int call_oneself(void *state, void *message)
{
    struct number *number = message, again = *number;
    struct number_address self;
    int64_t answer = 0;
    (void)state;
    expect_int(tr_self(&self), 0);
    struct tr_gather_call call = tr_gather_call(self, &answer, &again);
    expect_int(tr_gather(&call, 1, TR_FOREVER, TR_GATHER_ALL), 0);
    int64_t result = call.result;
    tr_reply(number->reply, &result);
    return 0;
}

TASK_TEST(gather_call_to_oneself_edeadlk)
{
    struct number_address actor = test_handler(call_oneself, NULL, 0, NULL);
    expect_int(test_ask(actor, 0, 0), -EDEADLK);
    tr_actor_stop(actor);
}

static void *gather_on_thread(void *argument)
{
    gather_many(servers, SERVERS, TR_GATHER_ALL);
    atomic_store((atomic_int *)argument, 1);
    return NULL;
}

TASK_TEST(gather_from_a_foreign_thread)
{
    static atomic_int done; /* waiting for it in pthread_join would keep a worker from the servers */
    pthread_t thread;
    start_servers(4);
    expect_int(pthread_create(&thread, NULL, gather_on_thread, &done), 0);
    wait_until(atomic_load(&done));
    expect_int(pthread_join(thread, NULL), 0);
    stop_servers();
}

/* A message whose page cannot be read at first: whoever copies it stops for a while in the middle of its sending. */
static struct number *page;
static atomic_int touched;

static void stop_for_a_while(int signal)
{
    struct timespec span = { .tv_nsec = 50 * TR_MILLISECOND };
    (void)signal;
    atomic_store(&touched, 1);
    nanosleep(&span, NULL);
    if (mprotect(page, 4096, PROT_READ | PROT_WRITE) < 0)
        abort();
}

static int answer_number(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    return tr_reply(number->reply, &number->value);
}

static void *gather_outside(void *argument)
{
    int64_t answer = 0;
    struct tr_gather_call call =
        tr_gather_call(*(struct number_address *)argument, &answer, (const struct number *)page);
    expect_int(tr_gather(&call, 1, TR_FOREVER, TR_GATHER_ALL), 1);
    expect_int(answer, 3);
    return NULL;
}

static void gather_beside_a_call(void)
{
    struct sigaction action = { .sa_handler = stop_for_a_while }, before;
    struct number_address actor;
    pthread_t thread;
    expect_int(tr_spawn_handler(&actor, answer_number, NULL, NULL), 0);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(page != MAP_FAILED);
    page->value = 3;
    atomic_store(&touched, 0);
    expect_int(mprotect(page, 4096, PROT_NONE), 0);
    expect_int(sigaction(SIGSEGV, &action, &before), 0);
    expect_int(pthread_create(&thread, NULL, gather_outside, &actor), 0);
    while (!atomic_load(&touched))
        expect_int(tr_yield(), 0);
    expect_int(test_ask(actor, 0, 4), 4); /* stands behind the message that is on its way */
    expect_int(pthread_join(thread, NULL), 0);
    expect_int(sigaction(SIGSEGV, &before, NULL), 0);
    expect_int(munmap(page, 4096), 0);
}

START_TEST(gather_from_a_foreign_thread_holds_the_clock_while_it_sends)
{
    struct tr_options options = test_options(1);
    options.clock_paused = true;
    test_run_with(&options, gather_beside_a_call);
}
END_TEST

TASK_TEST(gather_unknown_flags_einval)
{
    expect_int(tr_gather(NULL, 0, TR_NOW, 64), -EINVAL);
    expect_int(tr_gather(NULL, 0, TR_NOW, TR_GATHER_CANCEL_REST), -EINVAL);
    expect_int(tr_join_all(NULL, 0, TR_NOW, 64), -EINVAL);
}

/* ---- waiting for oneself ---------------------------------------------------------------------------------------- */

static int answer_in_a_while(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    tr_sleep(10 * TR_MILLISECOND);
    expect_int(tr_reply(number->reply, &number->value), 0);
    return 0;
}

/* Of all that it asks at once only the one that asks it back is given up. */
static int gather_all(void *argument)
{
    struct number_address *others = argument;
    struct tr_gather_call calls[3];
    struct number requests[3], message;
    int64_t answers[3];
    for (int i = 0; i < 3; i++) {
        requests[i] = (struct number){ .value = i };
        calls[i] = tr_gather_call(others[i], &answers[i], &requests[i]);
    }
    expect_int(tr_gather(calls, 3, TR_FOREVER, TR_GATHER_ALL), 2);
    for (int i = 0; i < 3; i++)
        expect_int(calls[i].result, i == 1 ? -EDEADLK : 0);
    expect_int(tr_receive(&message, TR_FOREVER), 0);
    expect_int(tr_reply(message.reply, &message.value), 0);
    return 0;
}

/* Ready before the first answer is: the gatherer waits for that then. */
static int ask_back(void *state, void *message)
{
    struct number *number = message;
    int64_t answer = 0;
    int rc = tr_call(*(struct number_address *)state, &answer, TR_FOREVER, &(struct number){ .value = 6 });
    expect_int(rc, 0);
    expect_int(answer, 6);
    expect_int(tr_reply(number->reply, &answer), -ESRCH);
    return TR_END;
}

TASK_TEST_ON(1, gather_gives_up_the_call_that_waits_for_itself)
{
    struct number_address *others = test_new(3 * sizeof *others), *gatherer = test_new(sizeof *gatherer);
    struct tr_task task, back;
    others[0] = test_handler(answer_in_a_while, NULL, 4, NULL);
    others[1] = test_handler(ask_back, gatherer, 4, &back);
    others[2] = test_handler(answer_in_a_while, NULL, 4, NULL);
    *gatherer = test_loop(gather_all, others, 4, &task);
    expect_int(test_join(task), 0);
    expect_int(test_join(back), 0);
    expect_int(tr_actor_stop(others[0]), 0);
    expect_int(tr_actor_stop(others[2]), 0);
}

int main(void)
{
    return test_main("gather_calls",
                     TESTS(gather_gives_up_the_call_that_waits_for_itself, gather_calls_table,
                           gather_a_thousand_calls_over_small_mailboxes,
                           gather_given_up_while_waiting_for_room_has_not_sent, gather_inside_a_scope,
                           gather_cancelled_keeps_what_has_come, gather_call_to_oneself_edeadlk,
                           gather_from_a_foreign_thread, gather_from_a_foreign_thread_holds_the_clock_while_it_sends,
                           gather_unknown_flags_einval));
}
