/* SPDX-License-Identifier: MIT */
/*
 * stress_groups.c: groups in groups, under tokens and deadlines, opened, filled, cancelled, closed, detached and left open at
 * random, from tasks and from a foreign thread that cancels tokens.
 *
 * Oracles: a spawn that succeeds has run its body once, one that fails not at all; each member's outcome is taken at most once,
 * and exactly once if the group was emptied; the number and the code of an outcome are those of the member; never more at once than
 * the limit; nobody of a closed group is alive; every task-local value that was set or inherited is destroyed; and at the end no
 * member, link, token, group, value or reason is left.
 */
#include "tests/support.h"

#include "actor/group.h"
#include "actor/scheduler.h"
#include "actor/token.h"

#include <pthread.h>

enum { OWNERS = 8, ROUNDS = 60, MEMBERS = 40, TOKENS = 8 };

static atomic_llong spawned, run, taken, values_made, values_destroyed, detached, failed_seen;
static pthread_mutex_t tokens_lock = PTHREAD_MUTEX_INITIALIZER; /* for a few instructions: nobody suspends with it */
static struct tr_cancel_token *tokens[TOKENS];
static atomic_int running;

/* What members of one group share; lives until the last of them is gone. */
struct crew {
    atomic_int alive, most, references;
    atomic_int seen[MEMBERS];
};

struct orders {
    struct crew *crew;
    int number, depth;
    uint64_t seed;
};

static void destroy_value(void *value)
{
    free(value);
    atomic_fetch_add(&values_destroyed, 1);
}

static void *copy_value(void *value)
{
    int *copy = malloc(sizeof *copy);
    *copy = *(int *)value + 1;
    atomic_fetch_add(&values_made, 1);
    return copy;
}

static const struct tr_local depth_of = { .destroy = destroy_value, .inherit = copy_value };

static void release_crew(struct crew *crew)
{
    if (atomic_fetch_sub(&crew->references, 1) == 1)
        free(crew);
}

static struct tr_cancel_token *some_token(uint64_t *seed)
{
    unsigned at = test_random(seed) >> 30 & (TOKENS - 1);
    pthread_mutex_lock(&tokens_lock);
    struct tr_cancel_token *token = tokens[at] ? tr_cancel_token_ref(tokens[at]) : NULL;
    pthread_mutex_unlock(&tokens_lock);
    return token;
}

static void play_group(uint64_t *seed, int depth);

/* What a member returns is known by its number. */
static int result_of(int number)
{
    return number % 5 == 4 ? -1000 - number : number;
}

static int be_member(void *argument)
{
    struct orders orders = *(struct orders *)argument;
    struct crew *crew = orders.crew;
    int now = atomic_fetch_add(&crew->alive, 1) + 1, most = atomic_load(&crew->most);
    while (now > most && !atomic_compare_exchange_weak(&crew->most, &most, now))
        ;
    expect_int(atomic_fetch_add(&crew->seen[orders.number], 1), 0);
    atomic_fetch_add(&run, 1);
    int what = (int)(test_random(&orders.seed) >> 33) % 8;
    if (what < 3)
        tr_yield();
    else if (what < 5)
        tr_sleep((int64_t)(test_random(&orders.seed) >> 40) % (100 * TR_MICROSECOND));
    else if (what == 5 && orders.depth > 0)
        play_group(&orders.seed, orders.depth - 1);
    int result = result_of(orders.number);
    if (result < 0)
        tr_task_fail(result, "member %d", orders.number);
    atomic_fetch_sub(&crew->alive, 1);
    release_crew(crew);
    return result;
}

static void check_outcome(const struct tr_finished *done, const int *number_of)
{
    int number = number_of[done->member.index];
    char text[32];
    snprintf(text, sizeof text, "member %d", number);
    expect_int(done->outcome.code, result_of(number));
    expect(done->outcome.kind == (done->outcome.code < 0 ? TR_FAILED : TR_RETURNED));
    expect(strcmp(done->outcome.text, done->outcome.code < 0 ? text : "") == 0);
    atomic_fetch_add(&taken, 1);
    atomic_fetch_add(&failed_seen, done->outcome.code < 0);
}

/* Takes outcomes: up to `most`, or until none is left. Returns how many. */
static int take_some(struct tr_group *group, int most, const int *number_of)
{
    struct tr_finished done;
    int count = 0;
    for (; count < most; count++) {
        struct tr_scope scope; /* the waits of clean-ups are not bounded by the group around us */
        tri_scope_deafen(&scope);
        int rc = tr_group_next(group, &done, TR_FOREVER);
        tr_scope_close(&scope);
        if (rc == -ESRCH)
            break;
        expect_int(rc, 0);
        check_outcome(&done, number_of);
    }
    return count;
}

/* Spawns until something refuses. Returns how many there are. */
static int fill(struct tr_group *group, struct crew *crew, uint64_t *seed, int depth, int *number_of)
{
    int count = 0;
    for (int i = 0; i < MEMBERS; i++) {
        struct orders orders = { crew, i, depth, test_random(seed) | 1 };
        struct tr_task_options options = { .argument_bytes = sizeof orders,
                                           .inherit_locals = test_random(seed) >> 40 & 1,
                                           .name = i % 3 ? "member" : NULL };
        atomic_fetch_add(&crew->references, 1);
        number_of[count] = i; /* of one spawner, the members are numbered in turn */
        struct tr_member member;
        int rc = tr_group_spawn(group, &member, be_member, &orders, &options,
                                tr_after((int64_t)(test_random(seed) >> 40) % TR_MILLISECOND));
        if (rc == 0) {
            expect_int((int64_t)member.index, count);
            count++;
            atomic_fetch_add(&spawned, 1);
            if ((test_random(seed) >> 40) % 16 == 0)
                tr_task_cancel(member.task);
            continue;
        }
        atomic_fetch_sub(&crew->references, 1);
        expect(rc == -ETIMEDOUT || rc == -ECANCELED);
        if (rc == -ECANCELED)
            break;
    }
    return count;
}

static void finish(struct tr_group *group, struct crew *crew, uint64_t *seed, int count, int taken_here,
                   const int *number_of, uint32_t limit)
{
    int way = (int)(test_random(seed) >> 35) % 4;
    if (way == 0) { /* emptied: each outcome once */
        expect_int(taken_here + take_some(group, INT32_MAX, number_of), count);
    } else if (way == 1) {
        tr_group_cancel(group);
        expect_int(tr_group_try_spawn(group, NULL, be_member, NULL, NULL), -ECANCELED);
    }
    if (way == 2) {
        atomic_fetch_add(&detached, 1);
        expect_int(tr_group_detach(group), 0);
        return;
    }
    expect_int(tr_group_close(group, tr_after(LONG_TIME)), 0);
    expect_int(atomic_load(&crew->alive), 0);
    expect_int(atomic_load(&crew->references), 1);
    expect(limit == 0 || atomic_load(&crew->most) <= (int)limit);
}

static void play_group(uint64_t *seed, int depth)
{
    struct tr_cancel_token *token = test_random(seed) >> 40 & 1 ? some_token(seed) : NULL;
    uint32_t limit = (uint32_t)(test_random(seed) >> 40) % 4 * 3;
    int64_t span = (int64_t)(test_random(seed) >> 40) % (2 * TR_MILLISECOND);
    struct tr_group_options options = { .limit = limit,
                                        .token = token,
                                        .first_error = test_random(seed) >> 40 & 1,
                                        .deadline = test_random(seed) >> 40 & 1 ? tr_clock() + span : 0 };
    struct tr_group *group;
    int number_of[MEMBERS];
    int rc = tr_group_open(&group, &options);
    tr_cancel_token_unref(token);
    if (rc < 0) {
        expect_int(rc, -ECANCELED);
        return;
    }
    struct crew *crew = calloc(1, sizeof *crew);
    expect(crew);
    atomic_store(&crew->references, 1);
    int count = fill(group, crew, seed, depth, number_of);
    int taken_here = take_some(group, (int)(test_random(seed) >> 40) % 8, number_of);
    if ((test_random(seed) >> 40) % 8 != 0)
        finish(group, crew, seed, count, taken_here, number_of, limit);
    release_crew(crew); /* else it is left open, and closed at our end */
}

static int be_owner(void *argument)
{
    uint64_t seed = (uintptr_t)argument * 2654435761u + 17;
    for (unsigned i = 0; i < ROUNDS / 10; i++) {
        int *value = malloc(sizeof *value);
        *value = (int)i;
        atomic_fetch_add(&values_made, 1);
        expect_int(tr_local_set(&depth_of, value), 0);
        play_group(&seed, 1);
        tr_cancel_taken();
    }
    return 0;
}

static void *cancel_tokens(void *argument)
{
    uint64_t seed = 99;
    while (atomic_load(&running) > 0) {
        unsigned at = test_random(&seed) >> 30 & (TOKENS - 1), from = test_random(&seed) >> 30 & (TOKENS - 1);
        struct tr_cancel_token *parent = some_token(&seed), *token;
        expect_int(tr_cancel_token_create(&token, from % 2 ? parent : NULL), 0);
        tr_cancel_token_unref(parent);
        pthread_mutex_lock(&tokens_lock);
        struct tr_cancel_token *old = tokens[at];
        tokens[at] = token;
        pthread_mutex_unlock(&tokens_lock);
        if (old && from % 4)
            tr_cancel_token_cancel(old);
        tr_cancel_token_unref(old);
        usleep(200);
    }
    return argument;
}

static void play(void)
{
    pthread_t thread;
    atomic_store(&running, 1);
    expect_int(pthread_create(&thread, NULL, cancel_tokens, NULL), 0);
    for (unsigned round = 0; round < 10 * test_stress(); round++) {
        struct tr_task owners[OWNERS];
        for (uintptr_t i = 0; i < OWNERS; i++)
            owners[i] = test_task(be_owner, (void *)(i + OWNERS * round));
        for (int i = 0; i < OWNERS; i++)
            expect_int(test_join(owners[i]), 0);
    }
    wait_until(atomic_load(&run) == atomic_load(&spawned)); /* those of detached groups */
    atomic_store(&running, 0);
    expect_int(pthread_join(thread, NULL), 0);
    for (int i = 0; i < TOKENS; i++)
        tr_cancel_token_unref(tokens[i]);
}

static int64_t in_use(struct tri_pool *pool)
{
    tri_lock(&pool->lock);
    int64_t count = (int64_t)(pool->total - pool->free_count);
    tri_unlock(&pool->lock);
    return count;
}

int main(void)
{
    if (!test_backend_here("stress_groups"))
        return EXIT_SKIPPED;
    test_census_begin();
    tr_log_set(NULL, NULL, TR_LOG_ERROR); /* failures that nobody takes are as they should be */
    struct tr_options options = test_options(0);
    test_run_with(&options, play);
    test_census_end();
    expect_int(atomic_load(&run), atomic_load(&spawned));
    expect_int(atomic_load(&values_destroyed), atomic_load(&values_made));
    expect_int(in_use(&tri_token_pool), 0);
    expect_int(in_use(&tri_group_pool), 0);
    expect_int(in_use(&tri_node_pool), 0);
    expect_int(in_use(&tri_cold_pool), 0);
    printf("stress_groups: %lld members, %lld outcomes taken, %lld failures seen, %lld values, %lld groups detached\n",
           atomic_load(&spawned), atomic_load(&taken), atomic_load(&failed_seen), atomic_load(&values_made),
           atomic_load(&detached));
    return EXIT_SUCCESS;
}
