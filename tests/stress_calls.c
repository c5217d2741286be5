/* SPDX-License-Identifier: MIT */
/*
 * stress_calls.c: calls of every kind at once: held and queued, nested, forwarded, deferred, to actors of both kinds that
 * are stopped, cancelled and replaced in their records by others with messages of another size, by plain tasks and by threads;
 * with deadlines and cancelled callers, on one, two and four workers.
 *
 * Each message has a serial number and belongs to one party at a time. Oracles: each message has exactly one end: received,
 * dropped, or still its sender's (a send that failed, a call that failed and tr_call_sent says no). As many replies said 0 as
 * calls returned the answer, each its own, and a call that failed has left its answer alone. A message is never given to
 * another tenant than it was meant for, nor two at once to one actor.
 */
#include "tests/support.h"

#include <pthread.h>

enum { PLACES = 10, OLD = 32, CLIENTS = 16, THREADS = 2, BREEDERS = 2, AGENTS = 1, ROUNDS = 4000, KEPT = 4 };
enum { MOST = (CLIENTS + THREADS) * ROUNDS * 4 }; /* messages of a run, for each unit of TR_STRESS */
enum { SEND, CALL };
enum { ANSWER, ANSWER_AND_SPIN, SPIN, YIELD, SLEEP, NEST, NEST_LAST, FORWARD, DEFER, FORGET, ERROR, LAST, WAYS };

/* What every message begins with; those of other sizes have a tail. */
struct head {
    int64_t serial, tenant;
    int64_t value; /* of the answer */
    struct tr_token reply;
    int32_t kind, depth;
};

static const struct tr_type types[] = { { "short", sizeof(struct head), 8 },
                                        { "odd", sizeof(struct head) + 13, 8 },
                                        { "larger", 300, 8 } };
enum { TYPES = 3, LARGEST = 300 };

struct home {
    struct tr_address address;
    int64_t tenant;
    const struct tr_type *type;
};

struct tenant {
    int64_t number;
    const struct tr_type *type;
    uint64_t seed;
    int style, lifetime, seen;
    bool inside;
    unsigned keeps;
    struct head kept[KEPT];
};

static pthread_mutex_t homes_lock = PTHREAD_MUTEX_INITIALIZER; /* never held over a suspension */
static struct home homes[PLACES], old_homes[OLD];
static unsigned old_next, workers;
static atomic_uchar *ended;
static atomic_llong serials, tenants, replied, errors, answered, refused, kept_back, received, dropped;
static atomic_int running;
static struct tr_task clients[CLIENTS];

static int64_t new_serial(void)
{
    int64_t serial = atomic_fetch_add(&serials, 1);
    expect(serial < (int64_t)MOST * test_stress());
    return serial;
}

/* The message's one end. */
static void end_message(int64_t serial)
{
    expect_int(atomic_fetch_add(&ended[serial], 1), 0);
}

static void drop_message(void *message)
{
    struct head head;
    memcpy(&head, message, sizeof head);
    end_message(head.serial);
    atomic_fetch_add(&dropped, 1);
}

static void spin(int64_t nanoseconds)
{
    tr_time until = tr_clock() + nanoseconds;
    while (tr_clock() < until)
        ;
}

static struct home some_home(uint64_t *seed)
{
    uint64_t random = test_random(seed) >> 20;
    pthread_mutex_lock(&homes_lock);
    struct home home = random % 16 ? homes[random / 16 % PLACES] : old_homes[random / 16 % OLD];
    pthread_mutex_unlock(&homes_lock);
    return home;
}

/* The tail is filled from the serial number, and looked at by the receiver. */
static void write_message(char *message, const struct home *home, const struct head *head)
{
    memcpy(message, head, sizeof *head);
    for (uint32_t i = sizeof *head; i < home->type->size; i++)
        message[i] = (char)(head->serial + i);
}

static void check_tail(const char *message, const struct head *head, uint32_t size)
{
    for (uint32_t i = sizeof *head; i < size; i++)
        expect_int(message[i], (char)(head->serial + i));
}

static void settle_somewhere(uint64_t *seed);

/* ---- clients -------------------------------------------------------------------------------------------------- */

static int call(struct home home, int depth, tr_time deadline)
{
    char message[LARGEST];
    int64_t got = -7;
    struct head head = { .serial = new_serial(), .tenant = home.tenant, .kind = CALL, .depth = depth };
    head.value = head.serial * 3;
    write_message(message, &home, &head);
    int rc = tr_call_raw(home.address, home.type, message,
                         (struct tr_ask){ offsetof(struct head, reply), sizeof got, &got }, deadline);
    if (rc != 0 && !tr_call_sent()) {
        end_message(head.serial);
        atomic_fetch_add(&kept_back, 1);
    }
    expect_int(got, rc == 0 ? head.value : -7);
    expect(rc == 0 || rc == 7 || rc == -ESRCH || rc == -EPIPE || rc == -ETIMEDOUT || rc == -ECANCELED ||
           rc == -EDEADLK);
    if (rc == 0 || rc == 7)
        atomic_fetch_add(rc == 0 ? &answered : &refused, 1);
    return rc;
}

static int send_one(struct home home, tr_time deadline)
{
    char message[LARGEST];
    struct head head = { .serial = new_serial(), .tenant = home.tenant, .kind = SEND };
    write_message(message, &home, &head);
    int rc = tr_send_raw(home.address, home.type, message, deadline);
    if (rc < 0)
        end_message(head.serial);
    expect(rc == 0 || rc == -ESRCH || rc == -ETIMEDOUT || rc == -ECANCELED || rc == -EDEADLK);
    return rc;
}

static tr_time some_deadline(uint64_t *seed)
{
    uint64_t random = test_random(seed) >> 20;
    return random % 16 == 0 ? TR_NOW : tr_after(random % 3 ? LONG_TIME : (int64_t)(random / 16 % 400) * TR_MICROSECOND);
}

static int pass_by(void *argument)
{
    if (argument)
        tr_sleep((int64_t)(intptr_t)argument * TR_MICROSECOND);
    return 5;
}

/* Plain tasks, which take the records of actors that have gone. */
static void spawn_and_join(uint64_t random)
{
    struct tr_task task;
    int result = 0;
    int rc = tr_task_spawn(&task, pass_by, (void *)(intptr_t)(random % 3 ? 0 : random / 3 % 50), NULL);
    expect_int(rc, 0);
    while ((rc = tr_task_join(task, &result, TR_FOREVER)) == -ECANCELED)
        tr_cancel_taken();
    expect_int(rc, 0);
    expect_int(result, 5);
}

static void operate(uint64_t *seed, bool task)
{
    uint64_t random = test_random(seed) >> 20;
    struct home home = some_home(seed);
    int rc = random % 8 < 2 ? send_one(home, some_deadline(seed)) : call(home, 0, some_deadline(seed));
    if (rc == -ECANCELED)
        tr_cancel_taken();
    if (task && random / 8 % 16 == 0)
        spawn_and_join(random / 128);
    if (task && rc == -ESRCH && random / 256 % 4 == 0)
        settle_somewhere(seed);
}

static int be_client(void *argument)
{
    uint64_t seed = 48271 * (uint64_t)((intptr_t)argument + 1) + workers;
    for (unsigned i = 0; i < ROUNDS * test_stress(); i++)
        operate(&seed, true);
    atomic_fetch_sub(&running, 1);
    while (atomic_load(&running) > 0) { /* so that late cancels find a task, not a stale handle */
        tr_sleep(TR_MILLISECOND);
        tr_cancel_taken();
    }
    return 0;
}

static void *be_thread(void *argument)
{
    uint64_t seed = 97 * (uint64_t)((intptr_t)argument + 1) + workers;
    for (unsigned i = 0; i < ROUNDS * test_stress() / 4; i++)
        operate(&seed, false);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

/* ---- actors --------------------------------------------------------------------------------------------------- */

static void answer(const struct head *head)
{
    int rc = tr_reply_raw(head->reply, sizeof head->value, &head->value);
    expect(rc == 0 || rc == -ESRCH);
    if (rc == 0)
        atomic_fetch_add(&replied, 1);
}

static void answer_error(const struct head *head)
{
    if (tr_reply_error_raw(head->reply, 7) == 0)
        atomic_fetch_add(&errors, 1);
}

static void nest(struct tenant *tenant, const struct head *head)
{
    if (head->depth < 6)
        call(some_home(&tenant->seed), head->depth + 1,
             tr_after((int64_t)(test_random(&tenant->seed) >> 30) % 300 * TR_MICROSECOND));
}

static void pass_on(struct tenant *tenant, const struct head *head)
{
    char message[LARGEST];
    struct home home = some_home(&tenant->seed);
    struct head passed = *head;
    passed.serial = new_serial();
    passed.tenant = home.tenant;
    passed.depth = 6;
    write_message(message, &home, &passed);
    int rc = tr_forward_raw(head->reply, home.address, home.type, message, offsetof(struct head, reply),
                            tr_after(50 * TR_MICROSECOND));
    expect(rc == 0 || rc == -ESRCH || rc == -ETIMEDOUT || rc == -ECANCELED || rc == -EDEADLK);
    if (rc == 0)
        return;
    end_message(passed.serial);
    answer(head);
}

static void keep(struct tenant *tenant, const struct head *head)
{
    unsigned at = tenant->keeps++ % KEPT;
    if (tenant->keeps > KEPT)
        answer(&tenant->kept[at]);
    tr_defer_raw(head->reply);
    tenant->kept[at] = *head;
}

static void serve_call(struct tenant *tenant, const struct head *head)
{
    uint64_t random = test_random(&tenant->seed) >> 20;
    switch (random % WAYS) {
    case ANSWER_AND_SPIN:
        answer(head);
        spin(random / WAYS % 64 ? 1000 : 400000); /* long enough to be marked slow, now and then */
        break;
    case SPIN:
        spin(2000);
        answer(head);
        break;
    case YIELD:
        tr_yield();
        answer(head);
        tr_yield();
        break;
    case SLEEP:
        tr_sleep((int64_t)(random / WAYS % 60) * TR_MICROSECOND);
        answer(head);
        break;
    case NEST:
        nest(tenant, head);
        answer(head);
        break;
    case NEST_LAST:
        answer(head);
        nest(tenant, head);
        break;
    case FORWARD:
        pass_on(tenant, head);
        break;
    case DEFER:
        keep(tenant, head);
        break;
    case FORGET:
        break;
    case ERROR:
        answer_error(head);
        break;
    case LAST:
        if (random / WAYS % 16 == 0)
            tenant->seen = tenant->lifetime;
        break;
    default:
        answer(head);
    }
}

/* One message of a tenant. Returns false when its life is over. */
static bool live(struct tenant *tenant, const char *message)
{
    struct head head;
    memcpy(&head, message, sizeof head);
    expect(!tenant->inside);
    tenant->inside = true;
    expect_int(head.tenant, tenant->number);
    check_tail(message, &head, tenant->type->size);
    end_message(head.serial);
    atomic_fetch_add(&received, 1);
    if (head.kind == CALL)
        serve_call(tenant, &head);
    tenant->inside = false;
    return ++tenant->seen < tenant->lifetime;
}

static int live_by_message(void *state, void *message)
{
    struct tenant *tenant = state;
    return live(tenant, message) ? 0 : TR_END;
}

/* As tr_receive_many, in the tenant's own way of waiting. */
static int receive(struct tenant *tenant, char *messages, uint32_t count)
{
    uint32_t bytes = tenant->type->size;
    int rc;
    switch (tenant->style) {
    case 0:
        rc = tr_receive_raw(bytes, messages, TR_FOREVER);
        return rc == 0 ? 1 : rc;
    case 1: /* comes and goes */
        rc = tr_receive_raw(bytes, messages,
                            tr_after((int64_t)(test_random(&tenant->seed) >> 30) % 40 * TR_MICROSECOND));
        if (rc == -ETIMEDOUT)
            tr_sleep((int64_t)(test_random(&tenant->seed) >> 30) % 40 * TR_MICROSECOND);
        return rc == 0 ? 1 : rc;
    case 2:
        return tr_receive_many_raw(bytes, messages, count, TR_FOREVER);
    default: /* looks first */
        rc = tr_try_receive_raw(bytes, messages);
        if (rc == -EAGAIN)
            rc = tr_receive_raw(bytes, messages, TR_FOREVER);
        return rc == 0 ? 1 : rc;
    }
}

static int live_in_loop(void *argument)
{
    struct tenant *tenant = argument;
    char messages[3 * LARGEST];
    for (;;) {
        int n = receive(tenant, messages, 3);
        if (n == -ECANCELED && tenant->number % 2 && tr_cancel_taken())
            continue;
        if (n == -ETIMEDOUT)
            continue;
        if (n < 0)
            return n == -EPIPE || n == -ECANCELED ? 0 : n;
        bool on = true;
        for (int i = 0; i < n; i++) /* all that were received are ours to end */
            on &= live(tenant, messages + (size_t)i * tenant->type->size);
        if (!on)
            return 0;
    }
}

/* ---- coming and going ----------------------------------------------------------------------------------------- */

static struct home settle(uint64_t *seed)
{
    uint64_t random = test_random(seed) >> 20;
    struct tenant tenant = { .number = atomic_fetch_add(&tenants, 1), .type = &types[random % TYPES] };
    struct home home = { .tenant = tenant.number, .type = tenant.type };
    tenant.seed = random | 1;
    tenant.style = (int)(random / 4 % 4);
    tenant.lifetime = random / 16 % 4 ? 1000 : 1 + (int)(random / 64 % 20);
    struct tr_actor_options options = { .capacity = 1u + (unsigned)(random / 64 % 4),
                                        .drop = drop_message,
                                        .keep_expired = random / 256 % 4 == 0,
                                        .pin = random / 1024 % 8 == 0 ? 1 + (int)(random / 8192 % workers) : 0,
                                        .stack_bytes = random / 65536 % 8 == 0 ? 128u << 10 : 0,
                                        .argument_bytes = sizeof tenant };
    int rc = random >> 30 & 1 ? tr_spawn_handler_raw(&home.address, tenant.type, live_by_message, &tenant, &options)
                              : tr_spawn_raw(&home.address, tenant.type, live_in_loop, &tenant, &options);
    expect_int(rc, 0);
    return home;
}

/* Returns who lived there before: the caller's to end. */
static struct home move_in(int place, struct home home)
{
    pthread_mutex_lock(&homes_lock);
    struct home before = homes[place];
    old_homes[old_next++ % OLD] = before;
    homes[place] = home;
    pthread_mutex_unlock(&homes_lock);
    return before;
}

static void settle_somewhere(uint64_t *seed)
{
    struct home before = move_in((int)((test_random(seed) >> 20) % PLACES), settle(seed));
    tr_actor_stop_raw(before.address);
}

static int breed(void *argument)
{
    uint64_t seed = 1234567 * (uint64_t)(intptr_t)argument + 1 + workers;
    while (atomic_load(&running) > 0) {
        uint64_t random = test_random(&seed) >> 20;
        struct home before = move_in((int)(random % PLACES), settle(&seed));
        int rc = random / 64 % 2 ? tr_actor_cancel_raw(before.address) : 0;
        expect(rc == 0 || rc == -ESRCH);
        rc = tr_actor_stop_raw(
            before.address); /* also after a cancellation, which some of them take note of and live on */
        expect(rc == 0 || rc == -ESRCH);
        expect_int(tr_sleep((int64_t)(random / 128 % 200) * TR_MICROSECOND), 0);
    }
    return 0;
}

static int be_chaos(void *argument)
{
    uint64_t seed = 77 + (uint64_t)(intptr_t)argument + workers;
    while (atomic_load(&running) > 0) {
        uint64_t random = test_random(&seed) >> 20;
        if (random % 4)
            tr_task_cancel(clients[random / 4 % CLIENTS]);
        else
            tr_actor_cancel_raw(some_home(&seed).address);
        expect_int(tr_sleep((int64_t)(random / 512 % 200) * TR_MICROSECOND), 0);
    }
    return 0;
}

static void run(void)
{
    struct tr_task others[BREEDERS + AGENTS];
    pthread_t threads[THREADS];
    uint64_t seed = 5 + workers;
    atomic_store(&running, CLIENTS + THREADS);
    for (int i = 0; i < PLACES; i++)
        move_in(i, settle(&seed));
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = test_task(be_client, (void *)(intptr_t)i);
    for (int i = 0; i < BREEDERS + AGENTS; i++)
        others[i] = test_task(i < BREEDERS ? breed : be_chaos, (void *)(intptr_t)i);
    for (int i = 0; i < THREADS; i++)
        expect_int(pthread_create(&threads[i], NULL, be_thread, (void *)(intptr_t)i), 0);
    for (int i = 0; i < CLIENTS; i++)
        expect_int(tr_task_join(clients[i], NULL, TR_FOREVER), 0);
    for (int i = 0; i < BREEDERS + AGENTS; i++)
        expect_int(tr_task_join(others[i], NULL, TR_FOREVER), 0);
    for (int i = 0; i < THREADS; i++)
        expect_int(pthread_join(threads[i], NULL), 0);
}

/* Those who still live there are stopped with the runtime, and drop what they have not received. */
static void run_on(unsigned count)
{
    struct tr_options options = test_options(count);
    workers = count;
    atomic_store(&serials, 0);
    for (int i = 0; i < OLD; i++)
        old_homes[i] = (struct home){ .type = &types[i % TYPES] };
    for (int i = 0; i < PLACES; i++)
        homes[i] = old_homes[i];
    ended = calloc((size_t)MOST * test_stress(), 1);
    expect(ended);
    test_run_with(&options, run);
    for (int64_t i = 0; i < atomic_load(&serials); i++)
        expect_int(atomic_load(&ended[i]), 1);
    free(ended);
    expect_int(atomic_load(&replied), atomic_load(&answered));
    expect_int(atomic_load(&errors), atomic_load(&refused));
}

int main(void)
{
    const char *text = getenv("TR_WORKERS");
    if (!test_backend_here("calls"))
        return EXIT_SKIPPED;
    test_census_begin();
    if (text && atoi(text) > 0) {
        run_on((unsigned)atoi(text));
    } else {
        run_on(1);
        run_on(2);
        run_on(4);
    }
    test_census_end();
    printf(
        "calls: %lld tenants, %lld received, %lld dropped, %lld kept back, calls %lld answered, %lld refused; no error\n",
        (long long)atomic_load(&tenants), (long long)atomic_load(&received), (long long)atomic_load(&dropped),
        (long long)atomic_load(&kept_back), (long long)atomic_load(&answered), (long long)atomic_load(&refused));
    return 0;
}
