/* SPDX-License-Identifier: MIT */
/*
 * dict.c: see dict.h. The table doubles when it holds a node per slot and halves, or more, when an eighth is
 * used. A move is over long before the next one is due: it needs an operation per old slot, and to fill the
 * new table takes at least as many.
 */
#include "dict.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_SLOTS = 16,
    SLOTS_PER_MOVE = 16, /* empty slots that one operation may skip */
};

void dict_init(struct dict *dict, size_t key_offset, struct siphash_key key)
{
    *dict = (struct dict){ .key_offset = key_offset, .key = key };
}

void dict_deinit(struct dict *dict)
{
    free(dict->now.slots);
    free(dict->old.slots);
    *dict = (struct dict){ .key_offset = dict->key_offset, .key = dict->key };
}

static struct dict_node **slot_of(struct dict_table *table, uint32_t hash)
{
    return &table->slots[hash & (table->count - 1)];
}

/* Moves one chain of the old table; gives the old table back when it was the last. */
static void move_some(struct dict *dict)
{
    size_t end = dict->moved + SLOTS_PER_MOVE;
    if (end > dict->old.count)
        end = dict->old.count;
    while (dict->moved < end) {
        struct dict_node *node = dict->old.slots[dict->moved];
        dict->old.slots[dict->moved++] = NULL;
        bool any = node != NULL;
        while (node != NULL) {
            struct dict_node *next = node->next;
            struct dict_node **slot = slot_of(&dict->now, node->hash);
            node->next = *slot;
            *slot = node;
            node = next;
        }
        if (any)
            break;
    }
    if (dict->moved == dict->old.count) {
        free(dict->old.slots);
        dict->old = (struct dict_table){ 0 };
    }
}

/* Begins to move to a table of `count` slots. Without memory everything stays as it is, only slower. */
static void resize(struct dict *dict, size_t count)
{
    assert(dict->old.slots == NULL);
    struct dict_node **slots = calloc(count, sizeof(struct dict_node *));
    if (slots == NULL)
        return;
    dict->old = dict->now;
    dict->now = (struct dict_table){ slots, count };
    dict->moved = 0;
}

static struct dict_node **find_in(struct dict *dict, struct dict_table *table, struct slice key, uint32_t hash)
{
    struct dict_node **link = slot_of(table, hash);
    for (; *link != NULL; link = &(*link)->next) {
        const struct dict_node *node = *link;
        if (node->hash == hash && node->key_size == key.size &&
            memcmp((const char *)node + dict->key_offset, key.data, key.size) == 0)
            break;
    }
    return link;
}

struct dict_node **dict_find(struct dict *dict, struct slice key, uint32_t *hash)
{
    *hash = (uint32_t)siphash(&dict->key, key.data, key.size);
    if (dict->now.slots == NULL) {
        resize(dict, FIRST_SLOTS);
        if (dict->now.slots == NULL)
            return NULL;
    }
    if (dict->old.slots != NULL) {
        move_some(dict);
        if (dict->old.slots != NULL) {
            struct dict_node **link = find_in(dict, &dict->old, key, *hash);
            if (*link != NULL)
                return link;
        }
    }
    return find_in(dict, &dict->now, key, *hash);
}

void dict_insert(struct dict *dict, struct dict_node **link, struct dict_node *node, uint32_t hash)
{
    assert(*link == NULL);
    node->next = NULL;
    node->hash = hash;
    *link = node;
    dict->size++;
    if (dict->size > dict->now.count && dict->old.slots == NULL)
        resize(dict, dict->now.count * 2);
}

void dict_remove(struct dict *dict, struct dict_node **link)
{
    *link = (*link)->next;
    dict->size--;
    if (dict->old.slots == NULL && dict->now.count > FIRST_SLOTS && dict->size < dict->now.count / 8)
        resize(dict, dict->now.count / 4);
}
