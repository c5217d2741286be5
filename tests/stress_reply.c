/* SPDX-License-Identifier: MIT */
/*
 * stress_reply.c: answers, timeouts, deaths, deferrals and forwarding, all at once on the same requests.
 *
 * Callers ask with short deadlines; a server answers, answers twice from two tasks, defers, forwards, forgets, or ends.
 * The oracle is one equality: as many replies said 0 as calls returned 0, each with the caller's own value. So every
 * call ended exactly once, and no answer went astray. Slots and stacks are counted at the end.
 */
#include "tests/support.h"

#include <pthread.h>

enum { CALLERS = 32, SERVERS = 5, ROUNDS = 3000 };
enum { ANSWER, TWICE, HELPER, DEFER, FORWARD, FORGET, LATE, END, WAYS };

static pthread_mutex_t servers_lock = PTHREAD_MUTEX_INITIALIZER; /* never held over a suspension */
static struct number_address servers[SERVERS];
static atomic_llong replied, calls[4], servers_made, values;

struct server {
    int place;
    uint64_t seed;
    struct number_reply kept[8];
    int64_t kept_value[8];
    unsigned keeps;
};

static int spawn_server(int place);

static void answer(struct number_reply reply, int64_t value)
{
    int rc = tr_reply(reply, &value);
    expect(rc == 0 || rc == -ESRCH);
    if (rc == 0)
        atomic_fetch_add(&replied, 1);
}

static int help(void *argument)
{
    struct number *number = argument;
    if (number->value % 3 == 0)
        tr_yield();
    answer(number->reply, number->value);
    return 0;
}

static void start_helper(struct number *number)
{
    int rc = tr_task_spawn(NULL, help, number, &(struct tr_task_options){ .argument_bytes = sizeof *number });
    expect(rc == 0 || rc == -ECANCELED);
}

/* Keeps the request, and answers the one that it kept eight requests ago. */
static void keep(struct server *server, struct number *number)
{
    unsigned at = server->keeps++ % 8;
    if (server->keeps > 8)
        answer(server->kept[at], server->kept_value[at]);
    tr_defer(number->reply);
    server->kept[at] = number->reply;
    server->kept_value[at] = number->value;
}

static struct number_address some_server(uint64_t *seed)
{
    pthread_mutex_lock(&servers_lock);
    struct number_address address = servers[(test_random(seed) >> 20) % SERVERS];
    pthread_mutex_unlock(&servers_lock);
    return address;
}

static void pass_on(struct server *server, struct number *number)
{
    struct number passed = { .kind = number->kind + 1, .value = number->value };
    tr_time deadline = test_random(&server->seed) >> 40 & 1 ? TR_NOW : tr_after(50 * TR_MICROSECOND);
    int rc = tr_forward(number->reply, some_server(&server->seed), deadline, &passed);
    expect(rc == 0 || rc == -ESRCH || rc == -ETIMEDOUT || rc == -EDEADLK || rc == -ECANCELED);
    if (rc < 0 && number->value % 2)
        answer(number->reply, number->value);
}

/* Returns false when the server is to end. */
static bool serve(struct server *server, struct number *number)
{
    switch ((test_random(&server->seed) >> 24) % WAYS) {
    case TWICE:
        start_helper(number);
        start_helper(number);
        tr_yield();
        answer(number->reply, number->value);
        break;
    case HELPER:
        tr_defer(number->reply);
        start_helper(number);
        break;
    case DEFER:
        keep(server, number);
        break;
    case FORWARD:
        pass_on(server, number);
        break;
    case FORGET:
        break;
    case LATE:
        tr_sleep((int64_t)(test_random(&server->seed) >> 20) % 200 * TR_MICROSECOND);
        answer(number->reply, number->value);
        break;
    case END:
        if ((test_random(&server->seed) >> 30) % 8)
            break;
        return false;
    default:
        answer(number->reply, number->value);
    }
    return true;
}

static int serve_message(void *state, void *message)
{
    return serve(state, message) ? 0 : TR_END;
}

static int serve_in_loop(void *argument)
{
    struct server *server = argument;
    struct number message;
    int rc;
    while ((rc = tr_receive(&message, TR_FOREVER)) == 0)
        if (!serve(server, &message))
            return 0;
    return rc == -EPIPE || rc == -ECANCELED ? 0 : rc;
}

static int spawn_server(int place)
{
    struct number_address address;
    int64_t number = atomic_fetch_add(&servers_made, 1);
    struct server server = { .place = place, .seed = (uint64_t)number * 7919 + 1 };
    struct tr_actor_options options = { .capacity = 1u + (unsigned)number % 6,
                                        .keep_expired = number % 3 == 0,
                                        .argument_bytes = sizeof server };
    int rc = number % 2 ? tr_spawn(&address, serve_in_loop, &server, &options)
                        : tr_spawn_handler(&address, serve_message, &server, &options);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&servers_lock);
    servers[place] = address;
    pthread_mutex_unlock(&servers_lock);
    return 0;
}

static void count_result(int rc)
{
    expect(rc == 0 || rc == -ETIMEDOUT || rc == -EPIPE || rc == -ESRCH);
    atomic_fetch_add(&calls[rc == 0 ? 0 : rc == -ETIMEDOUT ? 1 : rc == -EPIPE ? 2 : 3], 1);
}

static int be_caller(void *argument)
{
    uint64_t seed = 48271 * (uint64_t)((intptr_t)argument + 1);
    for (unsigned i = 0; i < ROUNDS * test_stress(); i++) {
        int place = (int)((test_random(&seed) >> 20) % SERVERS);
        pthread_mutex_lock(&servers_lock);
        struct number_address server = servers[place];
        pthread_mutex_unlock(&servers_lock);
        int64_t value = atomic_fetch_add(&values, 1), got = -7;
        int64_t span = (int64_t)(test_random(&seed) >> 30) % 1000;
        int rc = tr_call(server, &got, tr_after(span * TR_MICROSECOND), &(struct number){ .value = value });
        expect_int(got, rc == 0 ? value : -7);
        count_result(rc);
        if (rc == -ESRCH)
            expect_int(spawn_server(place), 0);
    }
    return 0;
}

static void run(void)
{
    struct tr_task callers[CALLERS];
    for (int i = 0; i < SERVERS; i++)
        expect_int(spawn_server(i), 0);
    for (int i = 0; i < CALLERS; i++)
        callers[i] = test_task(be_caller, (void *)(intptr_t)i);
    for (int i = 0; i < CALLERS; i++)
        expect_int(tr_task_join(callers[i], NULL, TR_FOREVER), 0);
}

int main(void)
{
    struct tr_options options = test_options(0);
    if (!test_backend_here("reply"))
        return EXIT_SKIPPED;
    test_census_begin();
    test_run_with(&options, run);
    test_census_end();
    expect_int(atomic_load(&replied), atomic_load(&calls[0]));
    printf("reply: %lld servers; calls: %lld answered, %lld timed out, %lld broken, %lld untaken; no error\n",
           (long long)atomic_load(&servers_made), (long long)atomic_load(&calls[0]), (long long)atomic_load(&calls[1]),
           (long long)atomic_load(&calls[2]), (long long)atomic_load(&calls[3]));
    return 0;
}
