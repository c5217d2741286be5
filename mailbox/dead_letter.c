/* SPDX-License-Identifier: MIT */
/* dead_letter.c: see dead_letter.h. The hook is one word, which passes nothing: who sets it does so before messages die. */
#include "mailbox/dead_letter.h"
#include "mailbox/atomic.h"

static TRI_ATOMIC(uintptr_t) process_hook;

void tr_dead_letter_hook(void (*hook)(const struct tr_dead_letter *letter))
{
    tri_store(&process_hook, (uintptr_t)hook, TRI_RELAXED);
}

void tri_dead_letter(const struct tr_dead_letter *letter)
{
    void (*hook)(const struct tr_dead_letter *) =
        (void (*)(const struct tr_dead_letter *))tri_load(&process_hook, TRI_RELAXED);
    if (hook)
        hook(letter);
}
