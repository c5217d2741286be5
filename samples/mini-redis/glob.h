/* SPDX-License-Identifier: MIT */
/* glob.h: the patterns of KEYS, PSUBSCRIBE and CONFIG GET: '*', '?', '[a-z]', '[^x]' and '\' to quote. */
#ifndef MINI_REDIS_GLOB_H
#define MINI_REDIS_GLOB_H

#include "resp.h"

/* A star matches the empty text as well. In Redis 7.0 it does not if that is all the text, save in KEYS *: callers see to it. */
bool glob_match(struct slice pattern, struct slice text, bool ignore_case);

#endif
