/* SPDX-License-Identifier: MIT */
/*
 * model_trial.c: small known data structures, to show that the explorer finds what it should: right, with every order
 * needed (its mutants are all caught), and with a bug put in ("found").
 *
 *   stack   Treiber's, with a version beside the head against ABA; and without it
 *   ring    one producer, one consumer; and with the index published before the value
 *   turn    Dekker's entry with fences of S
 */
#include "model.h"

/* ---- Treiber's stack: values 1..N, head = version << 8 | top ---- */

enum { NODES = 4 };
static struct {
    TRI_ATOMIC(uint32_t) next;
    int value;
} node[NODES];
static TRI_ATOMIC(uint32_t) head;
static uint32_t version_step;
static int popped[3], owned[NODES];

static void push(uint32_t n, int value)
{
    node[n].value = value;
    uint32_t old = tri_load(&head, TRI_RELAXED), new;
    do {
        tri_store(&node[n].next, old & 255, TRI_RELAXED);
        new = ((old & ~255u) + version_step) | n;
    } while (!tri_cas(&head, &old, new, TRI_RELEASE, TRI_RELAXED));
}

static uint32_t pop(void)
{
    uint32_t old = tri_load(&head, TRI_ACQUIRE), next;
    do {
        if ((old & 255) == 0)
            return 0;
        next = tri_load(&node[old & 255].next, TRI_RELAXED);
        /* The version says that this is the very store that `old` was acquired from. */
    } while (!tri_cas(&head, &old, ((old & ~255u) + version_step) | next, TRI_RELAXED, TRI_ACQUIRE));
    return old & 255;
}

static void stack_setup(void)
{
    version_step = 256;
    push(1, 1);
    push(2, 2);
}

static void bare_stack_setup(void)
{
    stack_setup();
    version_step = 0;
}

static void pop_one(void)
{
    uint32_t n = pop();
    popped[0] = n ? node[n].value++ : 0;
}

static void pop_two_push_one(void)
{
    uint32_t first = pop(), second = pop();
    popped[1] = first ? node[first].value++ : 0;
    popped[2] = second ? node[second].value++ : 0;
    owned[second] = second != 0;
    if (first)
        push(first, 3);
}

static void push_two(void)
{
    push(3, 4);
}

static void stack_check(void)
{
    for (uint32_t n; (n = pop());)
        model_assert(++owned[n] == 1);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < i; j++)
            model_assert(!popped[i] || popped[i] != popped[j]);
}

/* ---- ring: one producer, one consumer ---- */

enum { PLACES = 2, SENT = 3 };
static int place[PLACES], taken;
static TRI_ATOMIC(uint32_t) first, last;

static void produce(void)
{
    for (uint32_t i = 0; i < SENT; i++) {
        while (i - tri_load(&first, TRI_ACQUIRE) == PLACES)
            tri_spin();
        place[i % PLACES] = (int)i + 1;
        tri_store(&last, i + 1, TRI_RELEASE);
    }
}

static void produce_early(void)
{
    for (uint32_t i = 0; i < SENT; i++) {
        while (i - tri_load(&first, TRI_ACQUIRE) == PLACES)
            tri_spin();
        tri_store(&last, i + 1, TRI_RELEASE);
        place[i % PLACES] = (int)i + 1;
    }
}

static void consume(void)
{
    for (uint32_t i = 0; i < SENT; i++) {
        while (tri_load(&last, TRI_ACQUIRE) == i)
            tri_spin();
        model_assert(place[i % PLACES] == (int)i + 1);
        tri_store(&first, i + 1, TRI_RELEASE);
        taken++;
    }
}

static void ring_check(void)
{
    model_assert(taken == SENT);
}

/* ---- turn ---- */

static TRI_ATOMIC(int) wants[2];
static int inside;

static void enter(int me)
{
    tri_store(&wants[me], 1, TRI_RELAXED);
    tri_fence(TRI_SEQ_CST);
    if (tri_load(&wants[!me], TRI_RELAXED) == 0)
        inside++;
}

static void enter_0(void)
{
    enter(0);
}

static void enter_1(void)
{
    enter(1);
}

static const struct model_case cases[] = {
    { .name = "stack",
      .setup = stack_setup,
      .check = stack_check,
      .mutate_own = true,
      .threads = { { "popper", pop_one, 0 }, { "recycler", pop_two_push_one, 0 }, { "pusher", push_two, 0 } } },
    { .name = "stack without version, ABA found",
      .setup = bare_stack_setup,
      .check = stack_check,
      .fails = true,
      .threads = { { "popper", pop_one, 0 }, { "recycler", pop_two_push_one, 0 } } },
    { .name = "ring", .check = ring_check, .threads = { { "producer", produce, 0 }, { "consumer", consume, 0 } } },
    { .name = "ring published early, found",
      .fails = true,
      .threads = { { "producer", produce_early, 0 }, { "consumer", consume, 0 } } },
    { .name = "turn", .threads = { { "left", enter_0, 0 }, { "right", enter_1, 0 } } },
    { 0 },
};
MODEL(cases);
