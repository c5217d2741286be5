/* SPDX-License-Identifier: MIT */
/*
 * dict.c: see dict.h. The table doubles when it holds a node per slot and halves, or more, when an eighth is
 * used. A move is over long before the next one is due: it needs an operation per old slot, and to fill the
 * new table takes at least as many.
 */
#include "dict.h"

#include <assert.h>
#include <stdlib.h>

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
            struct dict_node **slot = dict_slot(&dict->now, node->hash);
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

struct dict_node **dict_find_moving(struct dict *dict, struct slice key, uint32_t hash)
{
    if (dict->now.slots == NULL) {
        resize(dict, FIRST_SLOTS);
        if (dict->now.slots == NULL)
            return NULL;
    }
    if (dict->old.slots != NULL) {
        move_some(dict);
        if (dict->old.slots != NULL) {
            struct dict_node **link = dict_find_in(dict, &dict->old, key, hash);
            if (*link != NULL)
                return link;
        }
    }
    return dict_find_in(dict, &dict->now, key, hash);
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
