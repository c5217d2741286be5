/* SPDX-License-Identifier: MIT */
/*
 * model_token.c: actor/token.c, with a lock that is let go after each step of a cancel: a root, a token in the middle, and a leaf.
 *
 *   wait      a cancel of the root x one who waits for the leaf, and sees what the canceller did before
 *   deadline  the same with one who gives up
 *   look      a cancel x one who only looks: who sees it sees what the canceller did
 *   create    a cancel of the middle x a new token below it
 *   unref     a cancel of the root x the last reference of the middle goes: the leaf is cancelled all the same
 *   all go    a cancel of the root x everybody gives his reference back
 *   again     two references go, after a look; the memory is another's at once
 *   crossed   a cancel of the root x one of the middle
 *   link      a cancel x a task that is just being spawned below the leaf: it is told, or not started
 *   ends      a cancel x the end of a task below the leaf
 */
#include <stdatomic.h>
#include <string.h>

#define BATCH 1u
#include "fake_waits.h"

#include "actor/token.c"
#include "mailbox/pool.c"
#include "mailbox/wait.c"

struct tri_pool tri_node_pool = { .name = "node", .object_bytes = 64, .slab_objects = 4 };
struct tri_pool tri_task_pool, tri_cold_pool;

static struct tr_cancel_token *root, *middle, *leaf, *late;
static struct tri_link *linked;
static TRI_ATOMIC(uint32_t) told;
static int data, codes[MODEL_THREADS + 1];

int tri_task_cancel_raw(struct tri_task *task, uint64_t generation)
{
    model_assert(task == &waiters[0] && generation == 7);
    tri_fetch_add(&told, 1u, TRI_RELAXED);
    return 0;
}

void tri_group_cancel_raw(struct tr_group *group, uint64_t generation)
{
    (void)group, (void)generation;
}

/* ---- the parts ---- */

static void setup(void)
{
    tri_token_pool.slab_objects = 4;
    model_assert(tr_cancel_token_create(&root, NULL) == 0);
    model_assert(tr_cancel_token_create(&middle, root) == 0);
    model_assert(tr_cancel_token_create(&leaf, middle) == 0);
}

static void link_setup(void)
{
    setup();
    model_assert(tri_link_make(&linked, leaf, &waiters[0], 7, false) == 0);
}

static void cancel_root(void)
{
    data = 1;
    tr_cancel_token_cancel(root);
    model_assert(tr_cancel_token_is_cancelled(root));
}

static void cancel_middle(void)
{
    tr_cancel_token_cancel(middle);
    model_assert(tr_cancel_token_is_cancelled(middle));
}

static void wait_leaf(void)
{
    model_assert(tr_cancel_token_wait(leaf, TR_FOREVER) == 0 && data == 1);
}

static void wait_briefly(void)
{
    int rc = tr_cancel_token_wait(leaf, 1);
    model_assert(rc == -ETIMEDOUT || (rc == 0 && data == 1));
}

static void look(void)
{
    if (tr_cancel_token_is_cancelled(leaf))
        model_assert(data == 1);
}

static void create_late(void)
{
    model_assert(tr_cancel_token_create(&late, middle) == 0);
    if (tr_cancel_token_is_cancelled(late))
        model_assert(data == 1);
}

static void drop_middle(void)
{
    tr_cancel_token_unref(middle);
    middle = NULL;
}

static void drop_leaf(void)
{
    tr_cancel_token_unref(leaf);
    leaf = NULL;
}

static void link_late(void)
{
    codes[0] = tri_link_make(&linked, leaf, &waiters[0], 7, false);
    model_assert(codes[0] == 0 || codes[0] == -ECANCELED);
}

static void end_task(void)
{
    tri_link_drop(linked);
    linked = NULL;
}

/* The last of two: the next token lies in the same place. */
static void look_and_drop(void)
{
    struct tr_cancel_token *next;
    if (model_self() == 0)
        model_assert(!tr_cancel_token_is_cancelled(leaf));
    else
        model_assert(tr_cancel_token_wait(leaf, TR_NOW) == -ETIMEDOUT);
    tr_cancel_token_unref(leaf);
    model_assert(tr_cancel_token_create(&next, NULL) == 0);
    tr_cancel_token_unref(next);
}

static void again_setup(void)
{
    setup();
    tr_cancel_token_ref(leaf);
}

/* ---- what must be true at the end ---- */

static void again_check(void)
{
    tr_cancel_token_unref(middle);
    tr_cancel_token_unref(root);
    model_assert(in_use(&tri_token_pool) == 0);
}

static void check(void)
{
    model_assert(tr_cancel_token_is_cancelled(root));
    model_assert(!middle || tr_cancel_token_is_cancelled(middle));
    model_assert(!leaf || tr_cancel_token_is_cancelled(leaf));
    model_assert(!late || tr_cancel_token_is_cancelled(late));
    if (linked)
        tri_link_drop(linked);
    tr_cancel_token_unref(late);
    tr_cancel_token_unref(leaf);
    tr_cancel_token_unref(middle);
    tr_cancel_token_unref(root);
    model_assert(in_use(&tri_token_pool) == 0 && in_use(&tri_node_pool) == 0);
}

static void link_check(void)
{
    model_assert(tri_load(&told, TRI_RELAXED) == (codes[0] == 0));
    check();
}

static void ends_check(void)
{
    model_assert(tri_load(&told, TRI_RELAXED) <= 1);
    check();
}

static const struct model_case cases[] = {
    { .name = "wait",
      .setup = setup,
      .check = check,
      .threads = { { "cancels", cancel_root, 0 }, { "waits", wait_leaf, 0 } } },
    { .name = "deadline",
      .setup = setup,
      .check = check,
      .threads = { { "cancels", cancel_root, 0 }, { "waits", wait_briefly, 0 } } },
    { .name = "look",
      .setup = setup,
      .check = check,
      .threads = { { "cancels", cancel_root, 0 }, { "looks", look, 0 } } },
    { .name = "create",
      .setup = setup,
      .check = check,
      .threads = { { "cancels", cancel_root, 0 }, { "creates", create_late, 0 } } },
    { .name = "unref",
      .setup = setup,
      .check = check,
      .threads = { { "cancels", cancel_root, 0 }, { "drops", drop_middle, 0 } } },
    { .name = "all go",
      .setup = setup,
      .check = check,
      .threads = { { "cancels", cancel_root, 0 }, { "drops", drop_middle, 0 }, { "drops too", drop_leaf, 0 } } },
    { .name = "again",
      .setup = again_setup,
      .check = again_check,
      .threads = { { "drops", look_and_drop, 0 }, { "drops too", look_and_drop, 0 } } },
    { .name = "crossed",
      .setup = setup,
      .check = check,
      .threads = { { "cancels", cancel_root, 0 }, { "cancels too", cancel_middle, 0 } } },
    { .name = "link",
      .setup = setup,
      .check = link_check,
      .threads = { { "cancels", cancel_root, 0 }, { "spawns", link_late, 0 } } },
    { .name = "ends",
      .setup = link_setup,
      .check = ends_check,
      .threads = { { "cancels", cancel_root, 0 }, { "ends", end_task, 0 }, { "drops", drop_middle, 0 } } },
    { 0 },
};
MODEL_LIMITED(cases, 1);
