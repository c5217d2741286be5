/* SPDX-License-Identifier: MIT */
/* siphash.c: see siphash.h. Reads words in the machine's byte order, which is little-endian wherever this
 * runs. */
#include "siphash.h"

#include <string.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(struct state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 = rotate(s->v2, 32);
}

static inline void take_word(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

/* The 0 to 7 bytes before `end` that are left, as a number; every read stays within the data. */
static inline uint64_t tail_word(const unsigned char *end, size_t left, size_t bytes)
{
    uint64_t word = 0;
    if (left > 0 && bytes >= 8) { /* the last eight, without those that have been taken */
        memcpy(&word, end - 8, 8);
        return word >> (64 - 8 * left);
    }
    for (size_t i = 1; i <= left; i++)
        word = word << 8 | end[-(ptrdiff_t)i];
    return word;
}

uint64_t siphash(const struct siphash_key *key, const void *data, size_t bytes)
{
    struct state s = {
        /* The paper's constants: "somepseudorandomlygeneratedbytes". */
        key->low ^ 0x736f6d6570736575,
        key->high ^ 0x646f72616e646f6d,
        key->low ^ 0x6c7967656e657261,
        key->high ^ 0x7465646279746573,
    };
    const unsigned char *at = data;
    for (size_t left = bytes; left >= 8; left -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        take_word(&s, word);
    }
    take_word(&s, tail_word(at + (bytes & 7), bytes & 7, bytes) | (uint64_t)bytes << 56);
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
