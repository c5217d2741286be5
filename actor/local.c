/* SPDX-License-Identifier: MIT */
/*
 * local.c: task-local values: a list in the cold part of the record, of nodes from a pool.
 *
 *   cold --> [key A, of a scope] --> [key B] --> [key A, the task's]
 *
 * A scope pushes a node that hides the older one of the same key, and takes it out again. Nodes never lie in a frame, so a task
 * that ends with a scope open leaves nothing dangling.
 */
#include "actor/local.h"
#include "actor/scheduler.h"

#include <errno.h>

struct tri_local {
    struct tri_local *next;
    const struct tr_local *key;
    void *value;
    bool owned;  /* by the task: to be destroyed */
    bool scoped; /* goes with its scope */
};
_Static_assert(sizeof(struct tri_local) <= 64, "tri_node_pool");

static struct tri_cold *cold_part(void)
{
    struct tri_worker *worker = tri_worker_here();
    return worker && worker->current ? tri_load(&worker->current->cold, TRI_RELAXED) : NULL;
}

/* The place in the list where the newest node of the key is linked, or NULL. */
static struct tri_local **find(struct tri_cold *cold, const struct tr_local *key)
{
    if (!cold)
        return NULL;
    for (struct tri_local **place = &cold->locals; *place; place = &(*place)->next)
        if ((*place)->key == key)
            return place;
    return NULL;
}

static struct tri_local *unlink_node(struct tri_local **place)
{
    struct tri_local *node = *place;
    *place = node->next;
    return node;
}

static void free_node(struct tri_local *node)
{
    tri_pool_give(&tri_node_pool, tri_node_cache(tri_worker_here()), node);
}

static void destroy_value(const struct tr_local *key, void *value)
{
    if (key->destroy && value)
        key->destroy(value);
}

/* Frees a node that is in no list any more, then destroys what it held: which may suspend, and look at the list. */
static void destroy_node(struct tri_local *node)
{
    struct tri_local copy = *node;
    free_node(node);
    if (copy.owned)
        destroy_value(copy.key, copy.value);
}

/* Links a new node in at `place`, before what is there. */
static int link_node(struct tri_local **place, struct tri_local node)
{
    struct tri_local *made = tri_pool_take(&tri_node_pool, tri_node_cache(tri_worker_here()));
    if (!made)
        return -ENOMEM;
    node.next = *place;
    *made = node;
    *place = made;
    return 0;
}

/* Why the running task cannot have a new value, or 0 and its cold part. */
static int begin(struct tri_cold **cold)
{
    if (!tri_in_task())
        return -EINVAL;
    *cold = tri_cold_here();
    if (!*cold)
        return -ENOMEM;
    return (*cold)->ending ? -EPIPE : 0;
}

void *tr_local_share(void *value)
{
    return value;
}

void *tr_local_get(const struct tr_local *key)
{
    struct tri_local **place = find(cold_part(), key);
    return place ? (*place)->value : NULL;
}

int tr_local_set(const struct tr_local *key, void *value)
{
    struct tri_cold *cold;
    struct tri_local **place = find(cold_part(), key);
    if (!place && !value)
        return tri_in_task() ? 0 : -EINVAL;
    int rc = begin(&cold);
    if (rc < 0)
        return rc;
    if (!place)
        return link_node(&cold->locals, (struct tri_local){ .key = key, .value = value, .owned = true });
    struct tri_local *node = *place;
    struct tri_local before = *node;
    if (!value && !node->scoped) {
        free_node(unlink_node(place));
    } else {
        node->value = value;
        node->owned = true;
    }
    if (before.owned && before.value != value)
        destroy_value(key, before.value);
    return 0;
}

void *tr_local_take(const struct tr_local *key)
{
    struct tri_local **place = find(cold_part(), key);
    if (!place)
        return NULL;
    void *value = (*place)->value;
    (*place)->value = NULL;
    if (!(*place)->scoped)
        free_node(unlink_node(place));
    return value;
}

int tr_local_scope_open(struct tr_local_scope *scope, const struct tr_local *key, void *value)
{
    struct tri_cold *cold;
    scope->tri_value = NULL;
    int rc = begin(&cold);
    if (rc == 0)
        rc = link_node(&cold->locals, (struct tri_local){ .key = key, .value = value, .scoped = true });
    if (rc == 0)
        scope->tri_value = cold->locals;
    return rc;
}

void tr_local_scope_close(struct tr_local_scope *scope)
{
    struct tri_cold *cold = cold_part();
    for (struct tri_local **place = cold ? &cold->locals : NULL; place && *place; place = &(*place)->next)
        if (*place == scope->tri_value) {
            scope->tri_value = NULL;
            destroy_node(unlink_node(place));
            return;
        }
}

int tri_locals_inherit(struct tri_cold *to)
{
    struct tri_cold *from = cold_part();
    struct tri_local **end = &to->locals;
    for (struct tri_local *node = from ? from->locals : NULL; node; node = node->next) {
        if (!node->key->inherit || *find(from, node->key) != node) /* hidden by a newer one */
            continue;
        void *value = node->value ? node->key->inherit(node->value) : NULL;
        if (!value)
            continue;
        if (link_node(end, (struct tri_local){ .key = node->key, .value = value, .owned = true }) < 0) {
            destroy_value(node->key, value);
            return -ENOMEM;
        }
        end = &(*end)->next;
    }
    return 0;
}

void tri_locals_destroy(struct tri_cold *cold)
{
    while (cold->locals)
        destroy_node(unlink_node(&cold->locals));
}
