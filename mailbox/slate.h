/* SPDX-License-Identifier: MIT */
/*
 * slate.h: a place for a value that one writer overwrites whenever it likes, and that any number of readers copy meanwhile,
 * without a locked instruction on either side: a reader finds out afterwards whether its copy is of one piece.
 *
 *     stamp       2n + 1: value n is being written     2n + 2: value n is here     0: nothing yet
 *     words       the value, in words of 64 bits
 *
 * The writer marks the slate, writes and stamps it; the reader copies and looks whether the stamp is still the one it came
 * for. That is a sequence lock (Lameter 2005; on C11: Boehm, "Can seqlocks get along with programming language memory
 * models?", MSPC 2012), whose words are atomics, so that a copy which is thrown away is no data race either.
 *
 *   [SL1] stamp 2n + 2 release -> the reader's first look (acquire): the words of value n, and what the sender did before. In a
 *        watch the look is at its state, which is released after the stamp.
 *   [SL2] stamp 2n + 1, fence (release), words   ->   words, fence (acquire), stamp again: a reader that has got a word of value
 *        n sees that its stamp has gone.
 */
#ifndef TRI_SLATE_H
#define TRI_SLATE_H

#include "mailbox/atomic.h"
#include <stddef.h>
#include <string.h>

struct tri_slate {
    TRI_ATOMIC(uint64_t) stamp;
    TRI_ATOMIC(uint64_t) word[];
};

#define TRI_SLATE_STAMP(number) (2 * (number) + 2)
#define TRI_SLATE_NUMBER(stamp) ((stamp) / 2 - 1)
#define TRI_SLATE_IS_MARKED(stamp) ((stamp)&1)

static inline size_t tri_slate_bytes(uint32_t value_bytes)
{
    return sizeof(struct tri_slate) + (value_bytes + UINT64_C(7)) / 8 * 8;
}

/* One writer at a time. */
static inline void tri_slate_write(struct tri_slate *slate, uint64_t number, const void *value, uint32_t bytes)
{
    const char *from = value;
    uint64_t word;
    uint32_t i = 0;
    tri_store(&slate->stamp, TRI_SLATE_STAMP(number) - 1, TRI_RELAXED);
    tri_fence(TRI_RELEASE); /* [SL2] */
    for (; bytes >= 8; bytes -= 8, from += 8) {
        memcpy(&word, from, 8);
        tri_store(&slate->word[i++], word, TRI_RELAXED); /* [SL2] */
    }
    if (bytes > 0) {
        word = 0;
        memcpy(&word, from, bytes);
        tri_store(&slate->word[i], word, TRI_RELAXED); /* [SL2] */
    }
    tri_store(&slate->stamp, TRI_SLATE_STAMP(number), TRI_RELEASE); /* [SL1] */
}

/* Copies the words, whatever they are: for who keeps the writer out. */
static inline void tri_slate_copy(const struct tri_slate *slate, void *value, uint32_t bytes)
{
    char *to = value;
    uint64_t word;
    uint32_t i = 0;
    for (; bytes >= 8; bytes -= 8, to += 8) {
        word = tri_load(&slate->word[i++], TRI_RELAXED); /* [SL2] */
        memcpy(to, &word, 8);
    }
    if (bytes > 0) {
        word = tri_load(&slate->word[i], TRI_RELAXED); /* [SL2] */
        memcpy(to, &word, bytes);
    }
}

/* True: *value is value `number`, of which the caller knows by [SL1] that it was here. False: it has been overwritten. */
static inline bool tri_slate_read(const struct tri_slate *slate, uint64_t number, void *value, uint32_t bytes)
{
    tri_slate_copy(slate, value, bytes);
    tri_fence(TRI_ACQUIRE);                                                 /* [SL2] */
    return tri_load(&slate->stamp, TRI_RELAXED) == TRI_SLATE_STAMP(number); /* [SL2] */
}

#endif
