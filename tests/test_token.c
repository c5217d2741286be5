/* SPDX-License-Identifier: MIT */
/*
 * test_token.c: cancellation tokens by the promises of troupe/token.h: cancellation goes down and never up, to tokens, tasks,
 * groups and waiters; tokens go in any order; any thread may do it.
 */
#include "tests/support.h"

#include "actor/task.h"
#include "actor/token.h"

#include <pthread.h>

static struct tr_cancel_token *child_of(struct tr_cancel_token *parent)
{
    struct tr_cancel_token *token;
    expect_int(tr_cancel_token_create(&token, parent), 0);
    return token;
}

static uint64_t in_use(struct tri_pool *pool)
{
    tri_lock(&pool->lock);
    uint64_t count = pool->total - pool->free_count;
    tri_unlock(&pool->lock);
    return count;
}

/* ---- the tree ------------------------------------------------------------------------------------------------- */

enum { NODES = 9 };

/* parent[i] of node i, -1: a root; who is cancelled, in order; who must be cancelled at the end, as bits. */
static const struct tree_row {
    const char *name;
    int parent[NODES], count, cancel[3], dropped[3]; /* dropped: unreferenced before the cancels; -1: none */
    unsigned cancelled;
} trees[] = {
    { "alone", { -1 }, 1, { 0, -1 }, { -1 }, 1 },
    { "nobody", { -1, 0 }, 2, { -1 }, { -1 }, 0 },
    { "down", { -1, 0, 0, 1 }, 4, { 0, -1 }, { -1 }, 15 },
    { "not up", { -1, 0, 0, 1 }, 4, { 1, -1 }, { -1 }, 10 },
    { "leaf", { -1, 0, 0, 1 }, 4, { 3, -1 }, { -1 }, 8 },
    { "another tree", { -1, 0, -1, 2 }, 4, { 0, -1 }, { -1 }, 3 },
    { "twice", { -1, 0, 1 }, 3, { 1, 1, -1 }, { -1 }, 6 },
    { "the lower first", { -1, 0, 1, 1 }, 4, { 1, 0, -1 }, { -1 }, 15 },
    { "through one that has gone", { -1, 0, 1 }, 3, { 0, -1 }, { 1, -1 }, 5 },
    { "through two that have gone", { -1, 0, 1, 2, 2 }, 5, { 0, -1 }, { 1, 2, -1 }, 25 },
    { "through two, the lower first", { -1, 0, 1, 2, 2 }, 5, { 0, -1 }, { 2, 1, -1 }, 25 },
    { "below a root that has gone", { -1, 0, 0, 1 }, 4, { 1, -1 }, { 0, -1 }, 10 },
    { "a sibling of one that has gone", { -1, 0, 0, 0 }, 4, { 0, -1 }, { 2, -1 }, 11 },
    { "wide and deep", { -1, 0, 0, 0, 1, 1, 4, 4, 2 }, 9, { 1, -1 }, { -1 }, 0xf2 },
};

static void try_tree(const struct tree_row *row)
{
    struct tr_cancel_token *token[NODES] = { 0 };
    for (int i = 0; i < row->count; i++)
        token[i] = child_of(row->parent[i] < 0 ? NULL : token[row->parent[i]]);
    for (int i = 0; i < 3 && row->dropped[i] >= 0; i++) {
        tr_cancel_token_unref(token[row->dropped[i]]);
        token[row->dropped[i]] = NULL;
    }
    for (int i = 0; i < 3 && row->cancel[i] >= 0; i++)
        tr_cancel_token_cancel(token[row->cancel[i]]);
    for (int i = 0; i < row->count; i++) {
        bool wanted = row->cancelled >> i & 1;
        if (token[i] && tr_cancel_token_is_cancelled(token[i]) != wanted)
            test_fail(__FILE__, __LINE__, "%s: node %d", row->name, i);
        if (!token[i])
            continue;
        struct tr_cancel_token *late = child_of(token[i]); /* born into the state of its parent */
        expect_int(tr_cancel_token_is_cancelled(late), wanted);
        tr_cancel_token_unref(late);
    }
    for (int i = 0; i < row->count; i++)
        tr_cancel_token_unref(token[i]);
}

START_TEST(token_tree_table)
{
    uint64_t before = in_use(&tri_token_pool);
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++)
        try_tree(&trees[i]);
    expect_int((int64_t)in_use(&tri_token_pool), (int64_t)before);
}
END_TEST

/* A chain of a million, of which nobody keeps more than the ends: neither cancelling nor freeing recurses. */
START_TEST(token_deep_chain_is_cancelled_and_freed)
{
    uint64_t before = in_use(&tri_token_pool);
    enum { DEPTH = 200000 };
    static struct tr_cancel_token *chain[DEPTH];
    chain[0] = child_of(NULL);
    for (int i = 1; i < DEPTH; i++)
        chain[i] = child_of(chain[i - 1]);
    tr_cancel_token_cancel(chain[0]);
    for (int i = 0; i < DEPTH; i++) {
        expect(tr_cancel_token_is_cancelled(chain[i]));
        tr_cancel_token_unref(chain[i]);
    }
    expect_int((int64_t)in_use(&tri_token_pool), (int64_t)before);
}
END_TEST

START_TEST(token_chain_that_moves_on_keeps_nothing)
{
    uint64_t before = in_use(&tri_token_pool);
    struct tr_cancel_token *root = child_of(NULL), *last = tr_cancel_token_ref(root);
    for (int i = 0; i < 100000; i++) {
        struct tr_cancel_token *next = child_of(last);
        tr_cancel_token_unref(last);
        last = next;
        expect(in_use(&tri_token_pool) <= before + 3);
    }
    tr_cancel_token_cancel(root);
    expect(tr_cancel_token_is_cancelled(last));
    tr_cancel_token_unref(last);
    tr_cancel_token_unref(root);
    expect_int((int64_t)in_use(&tri_token_pool), (int64_t)before);
}
END_TEST

START_TEST(token_wide_tree_outlives_its_root)
{
    uint64_t before = in_use(&tri_token_pool);
    enum { WIDTH = 1000 };
    static struct tr_cancel_token *children[WIDTH];
    struct tr_cancel_token *root = child_of(NULL), *middle = child_of(root);
    for (int i = 0; i < WIDTH; i++)
        children[i] = child_of(middle);
    tr_cancel_token_unref(middle);
    for (int i = 0; i < WIDTH; i += 2)
        tr_cancel_token_unref(children[i]);
    tr_cancel_token_cancel(root);
    tr_cancel_token_unref(root);
    for (int i = 1; i < WIDTH; i += 2) {
        expect(tr_cancel_token_is_cancelled(children[i]));
        tr_cancel_token_unref(children[i]);
    }
    expect_int((int64_t)in_use(&tri_token_pool), (int64_t)before);
}
END_TEST

static struct tr_cancel_token *guarded_copy;

static void guarded(void)
{
    __attribute__((cleanup(tr_cancel_token_guard))) struct tr_cancel_token *token = child_of(NULL);
    guarded_copy = tr_cancel_token_ref(token);
    expect(!tr_cancel_token_is_cancelled(token));
}

START_TEST(token_guard_cancels_when_the_block_is_left)
{
    guarded();
    expect(tr_cancel_token_is_cancelled(guarded_copy));
    tr_cancel_token_guard(&guarded_copy);
    expect(!guarded_copy);
    tr_cancel_token_guard(&guarded_copy);
}
END_TEST

/* ---- waiting -------------------------------------------------------------------------------------------------- */

static int wait_for_token(void *argument)
{
    return tr_cancel_token_wait(argument, TR_FOREVER);
}

TASK_TEST(token_wait_ends_with_the_cancel)
{
    struct tr_cancel_token *root = child_of(NULL), *leaf = child_of(root);
    struct tr_task tasks[40];
    for (int i = 0; i < 40; i++)
        tasks[i] = test_task(wait_for_token, i % 2 ? leaf : root);
    expect_int(tr_cancel_token_wait(root, TR_NOW), -ETIMEDOUT);
    expect_int(tr_cancel_token_wait(root, tr_after(2 * TR_MILLISECOND)), -ETIMEDOUT);
    expect_int(tr_task_cancel(tasks[7]), 0);
    expect_int(test_join(tasks[7]), -ECANCELED);
    tr_cancel_token_cancel(root);
    for (int i = 0; i < 40; i++)
        if (i != 7)
            expect_int(test_join(tasks[i]), 0);
    expect_int(tr_cancel_token_wait(leaf, TR_NOW), 0);
    expect_int(tr_cancel_token_wait(leaf, TR_FOREVER), 0);
    tr_cancel_token_unref(leaf);
    tr_cancel_token_unref(root);
}

TASK_TEST(token_in_a_select)
{
    struct tr_cancel_token *first = child_of(NULL), *second = child_of(NULL);
    struct tr_case cases[] = { tr_case_cancelled(first), tr_case_cancelled(second),
                               tr_case_timer(tr_after(2 * TR_MILLISECOND)) };
    expect_int(tr_select(cases, 3, TR_FOREVER, TR_SELECT_FAIR), 2);
    expect_int(tr_select(cases, 2, TR_NOW, TR_SELECT_FAIR), -ETIMEDOUT);
    tr_cancel_token_cancel(second);
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect_int(cases[1].result, 0);
    tr_cancel_token_unref(first);
    tr_cancel_token_unref(second);
}

static int select_either(void *argument)
{
    struct tr_cancel_token **tokens = argument;
    struct tr_case cases[] = { tr_case_cancelled(tokens[0]), tr_case_cancelled(tokens[1]) };
    return tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR);
}

TASK_TEST(token_wakes_a_select)
{
    struct tr_cancel_token *tokens[2] = { child_of(NULL), child_of(NULL) };
    struct tr_task tasks[8];
    for (int i = 0; i < 8; i++)
        tasks[i] = test_task(select_either, tokens);
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    tr_cancel_token_cancel(tokens[1]);
    for (int i = 0; i < 8; i++)
        expect_int(test_join(tasks[i]), 1);
    tr_cancel_token_unref(tokens[0]);
    tr_cancel_token_unref(tokens[1]);
}

static void *wait_on_thread(void *argument)
{
    expect_int(tr_cancel_token_wait(argument, tr_after(LONG_TIME)), 0);
    return NULL;
}

TASK_TEST(token_is_waited_for_and_cancelled_by_foreign_threads)
{
    struct tr_cancel_token *root = child_of(NULL), *leaf = child_of(root);
    pthread_t thread;
    expect_int(pthread_create(&thread, NULL, wait_on_thread, leaf), 0);
    expect_int(tr_sleep(TR_MILLISECOND), 0);
    tr_cancel_token_cancel(root);
    expect_int(pthread_join(thread, NULL), 0);
    tr_cancel_token_unref(leaf);
    tr_cancel_token_unref(root);
}

/* ---- tasks ---------------------------------------------------------------------------------------------------- */

static int sleep_long(void *argument)
{
    (void)argument;
    return tr_sleep(LONG_TIME);
}

static int end_at_once(void *argument)
{
    (void)argument;
    return 0;
}

static struct tr_task spawn_under(struct tr_cancel_token *token, int (*body)(void *argument))
{
    struct tr_task task;
    expect_int(tr_task_spawn(&task, body, NULL, &(struct tr_task_options){ .token = token, .name = "linked" }), 0);
    return task;
}

TASK_TEST(token_cancels_the_tasks_below_it)
{
    struct tr_cancel_token *root = child_of(NULL), *leaf = child_of(root), *other = child_of(root);
    struct tr_task tasks[60], kept = spawn_under(other, sleep_long);
    for (int i = 0; i < 60; i++)
        tasks[i] = spawn_under(i % 3 ? leaf : other, i % 5 ? sleep_long : end_at_once);
    tr_cancel_token_cancel(leaf);
    for (int i = 0; i < 60; i++)
        if (i % 3 || i % 5 == 0) {
            int result = test_join(tasks[i]);
            expect(result == (i % 5 ? -ECANCELED : 0) || (result == 0 && i % 5 == 0));
        }
    expect_int(tr_task_join(kept, NULL, TR_NOW), -ETIMEDOUT);
    tr_cancel_token_unref(leaf);
    tr_cancel_token_unref(other); /* its tasks keep it */
    tr_cancel_token_cancel(root);
    for (int i = 0; i < 60; i++)
        if (i % 3 == 0 && i % 5)
            expect_int(test_join(tasks[i]), -ECANCELED);
    expect_int(test_join(kept), -ECANCELED);
    tr_cancel_token_unref(root);
}

TASK_TEST(token_that_is_cancelled_starts_nothing)
{
    struct tr_cancel_token *token = child_of(NULL);
    struct tr_task task;
    tr_cancel_token_cancel(token);
    for (int i = 0; i < 3; i++)
        expect_int(tr_task_spawn(&task, sleep_long, NULL,
                                 &(struct tr_task_options){ .token = token, .name = "never", .argument_bytes = 0 }),
                   -ECANCELED);
    struct tr_group *group;
    expect_int(tr_group_open(&group, &(struct tr_group_options){ .token = token }), -ECANCELED);
    tr_cancel_token_unref(token);
}

TASK_TEST(token_cancels_the_groups_below_it)
{
    struct tr_cancel_token *root = child_of(NULL), *leaf = child_of(root);
    struct tr_group *group;
    struct tr_finished done;
    expect_int(tr_group_open(&group, &(struct tr_group_options){ .token = leaf }), 0);
    for (int i = 0; i < 40; i++)
        expect_int(tr_group_spawn(group, NULL, sleep_long, NULL, NULL, TR_NOW), 0);
    tr_cancel_token_cancel(root);
    for (int i = 0; i < 40; i++) {
        expect_int(tr_group_next(group, &done, tr_after(LONG_TIME)), 0);
        expect(done.outcome.kind == TR_CANCELLED);
    }
    expect_int(tr_group_next(group, &done, TR_FOREVER), -ESRCH);
    expect_int(tr_group_spawn(group, NULL, sleep_long, NULL, NULL, TR_NOW), -ECANCELED);
    expect_int(tr_group_close(group, tr_after(LONG_TIME)), 0);
    tr_cancel_token_unref(leaf);
    tr_cancel_token_unref(root);
}

/* ---- all at once ---------------------------------------------------------------------------------------------- */

static struct tr_cancel_token *storm_root;

static int grow_and_cancel(void *argument)
{
    uint64_t seed = (uintptr_t)argument * 977 + 5;
    struct tr_cancel_token *mine[8] = { 0 };
    for (int i = 0; i < 3000; i++) {
        unsigned at = test_random(&seed) % 8, from = test_random(&seed) % 8;
        unsigned what = test_random(&seed) >> 20 & 7;
        if (what < 4) {
            tr_cancel_token_unref(mine[at]);
            mine[at] = child_of(at != from && mine[from] ? mine[from] : storm_root);
        } else if (mine[at] && what == 4) {
            tr_cancel_token_cancel(mine[at]);
            expect(tr_cancel_token_is_cancelled(mine[at]));
        } else if (mine[at] && what == 5) {
            struct tr_task_options options = { .token = mine[at] };
            int rc = tr_task_spawn(NULL, sleep_long, NULL, &options);
            expect(rc == 0 || rc == -ECANCELED);
        } else if (mine[at]) {
            int rc = tr_cancel_token_wait(mine[at], tr_after(10 * TR_MICROSECOND));
            expect(rc == 0 || rc == -ETIMEDOUT);
        }
    }
    for (int i = 0; i < 8; i++)
        tr_cancel_token_unref(mine[i]);
    return 0;
}

static void *storm_on_thread(void *argument)
{
    for (int i = 0; i < 3000; i++) {
        struct tr_cancel_token *token = child_of(storm_root), *leaf = child_of(token);
        tr_cancel_token_cancel(i % 2 ? token : leaf);
        tr_cancel_token_unref(token);
        tr_cancel_token_unref(leaf);
    }
    return argument;
}

static void storm(void)
{
    struct tr_task tasks[6];
    pthread_t thread;
    storm_root = child_of(NULL);
    expect_int(pthread_create(&thread, NULL, storm_on_thread, NULL), 0);
    for (intptr_t i = 0; i < 6; i++)
        tasks[i] = test_task(grow_and_cancel, (void *)i);
    for (int i = 0; i < 6; i++)
        expect_int(test_join(tasks[i]), 0);
    expect_int(pthread_join(thread, NULL), 0);
    tr_cancel_token_cancel(storm_root); /* and all tasks that are left */
    tr_cancel_token_unref(storm_root);
}

START_TEST(token_storm_leaves_nothing)
{
    uint64_t before = in_use(&tri_token_pool);
    test_run(2, storm);
    expect_int((int64_t)in_use(&tri_token_pool), (int64_t)before);
    expect_int((int64_t)in_use(&tri_node_pool), 0);
    expect_int((int64_t)in_use(&tri_cold_pool), 0);
}
END_TEST

int main(void)
{
    return test_main("token", TESTS(token_tree_table, token_deep_chain_is_cancelled_and_freed,
                                    token_chain_that_moves_on_keeps_nothing, token_wide_tree_outlives_its_root,
                                    token_guard_cancels_when_the_block_is_left, token_wait_ends_with_the_cancel,
                                    token_in_a_select, token_wakes_a_select,
                                    token_is_waited_for_and_cancelled_by_foreign_threads,
                                    token_cancels_the_tasks_below_it, token_that_is_cancelled_starts_nothing,
                                    token_cancels_the_groups_below_it, token_storm_leaves_nothing));
}
