/* SPDX-License-Identifier: MIT */
/*
 * siphash.h: SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012; one compression and
 * three finalization rounds instead of the paper's two and four). With a secret key, clients cannot choose
 * keys that collide.
 */
#ifndef MINI_REDIS_SIPHASH_H
#define MINI_REDIS_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
    uint64_t low, high;
};

uint64_t siphash(const struct siphash_key *key, const void *data, size_t bytes);

#endif
