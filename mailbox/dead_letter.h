/* SPDX-License-Identifier: MIT */
/* dead_letter.h: the process's hook for messages that are never received. */
#ifndef TRI_DEAD_LETTER_H
#define TRI_DEAD_LETTER_H

#include <troupe/overflow.h>

/* Shows the letter to the hook, if there is one. Thread: any, without a lock. */
void tri_dead_letter(const struct tr_dead_letter *letter);

#endif
