/* SPDX-License-Identifier: MIT */
/*
 * delay.c: the delay queue: a heap of times over a table of values.
 *
 *   heap      { when, order, index }   four children each, the earliest on top; order: of those of one time
 *   entries   { identity, position }   at `index`: where in the heap the entry is; free ones form a list by `position`
 *   values    at the same index
 *
 * Values never move while they are in the queue, so a key is an index and an identity that no other value of the queue ever
 * has. Waiting is a sleep until the time on top, as nobody but the owner can change it.
 */
#include <troupe/delay.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN 4u
#define NONE UINT32_MAX
#define FIRST_ROOM 16u

struct item {
    tr_time when;
    uint64_t order;
    uint32_t index;
};

struct entry {
    uint64_t identity; /* 0: free */
    uint32_t position; /* in the heap; free: the next free entry */
};

struct tr_delay {
    struct item *heap;
    struct entry *entries;
    char *values;
    size_t value_bytes;
    uint64_t turns; /* identities and orders given out */
    uint32_t length, room, free;
};

int tr_delay_create(struct tr_delay **out, size_t value_bytes)
{
    if (value_bytes == 0 || value_bytes > TR_DELAY_VALUE_LIMIT)
        return -EINVAL;
    struct tr_delay *delay = calloc(1, sizeof *delay);
    if (!delay)
        return -ENOMEM;
    delay->value_bytes = value_bytes;
    delay->free = NONE;
    *out = delay;
    return 0;
}

void tr_delay_destroy(struct tr_delay *delay)
{
    if (!delay)
        return;
    free(delay->heap);
    free(delay->entries);
    free(delay->values);
    free(delay);
}

static void *value_at(const struct tr_delay *delay, uint32_t index)
{
    return delay->values + (size_t)index * delay->value_bytes;
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

/* Each array by itself, so that one that could be had while another could not is just larger than need be. */
static bool resize(struct tr_delay *delay, uint32_t room)
{
    void *heap = realloc(delay->heap, room * sizeof *delay->heap);
    if (heap)
        delay->heap = heap;
    void *entries = realloc(delay->entries, room * sizeof *delay->entries);
    if (entries)
        delay->entries = entries;
    void *values = realloc(delay->values, room * delay->value_bytes);
    if (values)
        delay->values = values;
    return heap && entries && values;
}

static int grow(struct tr_delay *delay, uint32_t room)
{
    if (!resize(delay, room))
        return -ENOMEM;
    for (uint32_t i = room; i-- > delay->room;) {
        delay->entries[i] = (struct entry){ 0, delay->free };
        delay->free = i;
    }
    delay->room = room;
    return 0;
}

int tr_delay_reserve(struct tr_delay *delay, uint32_t length)
{
    if (length > TR_DELAY_LIMIT)
        return -ENOMEM;
    return length <= delay->room ? 0 : grow(delay, length);
}

/* Free entries at the end go; the list of the others is made anew. */
void tr_delay_compact(struct tr_delay *delay)
{
    uint32_t room = delay->room;
    while (room > 0 && delay->entries[room - 1].identity == 0)
        room--;
    delay->free = NONE;
    for (uint32_t i = room; i-- > 0;) {
        if (delay->entries[i].identity != 0)
            continue;
        delay->entries[i].position = delay->free;
        delay->free = i;
    }
    delay->room = room;
    if (room > 0) {
        resize(delay, room); /* what cannot be made smaller stays as it is */
        return;
    }
    free(delay->heap);
    free(delay->entries);
    free(delay->values);
    delay->heap = NULL;
    delay->entries = NULL;
    delay->values = NULL;
}

/* ---- the heap ------------------------------------------------------------------------------------------------- */

static bool comes_before(const struct item *a, const struct item *b)
{
    return a->when < b->when || (a->when == b->when && a->order < b->order);
}

static void put(struct tr_delay *delay, uint32_t position, struct item item)
{
    delay->heap[position] = item;
    delay->entries[item.index].position = position;
}

/* The item belongs at `position` or above. Returns where it went. */
static uint32_t sift_up(struct tr_delay *delay, uint32_t position, struct item item)
{
    while (position > 0) {
        uint32_t parent = (position - 1) / CHILDREN;
        if (!comes_before(&item, &delay->heap[parent]))
            break;
        put(delay, position, delay->heap[parent]);
        position = parent;
    }
    put(delay, position, item);
    return position;
}

/* The item belongs at `position` or below. */
static void sift_down(struct tr_delay *delay, uint32_t position, struct item item)
{
    for (;;) {
        uint64_t first = (uint64_t)position * CHILDREN + 1;
        if (first >= delay->length)
            break;
        uint32_t least = (uint32_t)first;
        uint64_t end = first + CHILDREN < delay->length ? first + CHILDREN : delay->length;
        for (uint32_t child = least + 1; child < end; child++) {
            if (comes_before(&delay->heap[child], &delay->heap[least]))
                least = child;
        }
        if (!comes_before(&delay->heap[least], &item))
            break;
        put(delay, position, delay->heap[least]);
        position = least;
    }
    put(delay, position, item);
}

static void settle(struct tr_delay *delay, uint32_t position, struct item item)
{
    if (sift_up(delay, position, item) == position)
        sift_down(delay, position, item);
}

/* Takes the entry out; its value stays readable until the next insertion. */
static void remove_entry(struct tr_delay *delay, uint32_t index)
{
    uint32_t position = delay->entries[index].position;
    struct item last = delay->heap[--delay->length];
    if (last.index != index)
        settle(delay, position, last);
    delay->entries[index] = (struct entry){ 0, delay->free };
    delay->free = index;
}

/* ---- values --------------------------------------------------------------------------------------------------- */

static bool is_there(const struct tr_delay *delay, struct tr_delay_key key)
{
    return key.tri_identity != 0 && key.tri_index < delay->room &&
           delay->entries[key.tri_index].identity == key.tri_identity;
}

int tr_delay_insert(struct tr_delay *delay, struct tr_delay_key *key, tr_time when, const void *value)
{
    if (delay->free == NONE) {
        uint32_t room = delay->room < FIRST_ROOM ? FIRST_ROOM : 2 * delay->room;
        if (delay->room >= TR_DELAY_LIMIT || grow(delay, room) < 0)
            return -ENOMEM;
    }
    uint32_t index = delay->free;
    uint64_t turn = ++delay->turns;
    delay->free = delay->entries[index].position;
    delay->entries[index].identity = turn;
    memcpy(value_at(delay, index), value, delay->value_bytes);
    sift_up(delay, delay->length++, (struct item){ when, turn, index });
    if (key)
        *key = (struct tr_delay_key){ turn, index };
    return 0;
}

int tr_delay_reset(struct tr_delay *delay, struct tr_delay_key key, tr_time when)
{
    if (!is_there(delay, key))
        return -ESRCH;
    settle(delay, delay->entries[key.tri_index].position, (struct item){ when, ++delay->turns, key.tri_index });
    return 0;
}

int tr_delay_remove(struct tr_delay *delay, struct tr_delay_key key, void *value)
{
    if (!is_there(delay, key))
        return -ESRCH;
    if (value)
        memcpy(value, value_at(delay, key.tri_index), delay->value_bytes);
    remove_entry(delay, key.tri_index);
    return 0;
}

static void take_first(struct tr_delay *delay, void *value)
{
    uint32_t index = delay->heap[0].index;
    if (value)
        memcpy(value, value_at(delay, index), delay->value_bytes);
    remove_entry(delay, index);
}

/* TR_FOREVER is never. */
static bool is_due(const struct tr_delay *delay)
{
    return delay->heap[0].when != TR_FOREVER && delay->heap[0].when <= tr_after(0);
}

int tr_delay_next(struct tr_delay *delay, void *value, tr_time deadline)
{
    if (delay->length == 0)
        return -ESRCH;
    tr_time when = delay->heap[0].when;
    int rc = tr_sleep_until(when < deadline ? when : deadline);
    if (rc < 0)
        return rc;
    if (!is_due(delay))
        return -ETIMEDOUT;
    take_first(delay, value);
    return 0;
}

int tr_delay_try_next(struct tr_delay *delay, void *value)
{
    if (delay->length == 0)
        return -ESRCH;
    if (!is_due(delay))
        return -EAGAIN;
    take_first(delay, value);
    return 0;
}

tr_time tr_delay_when(const struct tr_delay *delay)
{
    return delay->length > 0 ? delay->heap[0].when : TR_FOREVER;
}

void *tr_delay_peek(const struct tr_delay *delay, struct tr_delay_key *key)
{
    if (delay->length == 0)
        return NULL;
    uint32_t index = delay->heap[0].index;
    if (key)
        *key = (struct tr_delay_key){ delay->entries[index].identity, index };
    return value_at(delay, index);
}

void *tr_delay_find(const struct tr_delay *delay, struct tr_delay_key key, tr_time *when)
{
    if (!is_there(delay, key))
        return NULL;
    if (when)
        *when = delay->heap[delay->entries[key.tri_index].position].when;
    return value_at(delay, key.tri_index);
}

uint32_t tr_delay_length(const struct tr_delay *delay)
{
    return delay->length;
}

void tr_delay_clear(struct tr_delay *delay, void (*drop)(void *value))
{
    while (delay->length > 0) {
        uint32_t index = delay->heap[0].index;
        remove_entry(delay, index);
        if (drop)
            drop(value_at(delay, index));
    }
}
