/* SPDX-License-Identifier: MIT */
/* glob.h: the patterns of KEYS, PSUBSCRIBE and CONFIG GET: '*', '?', '[a-z]', '[^x]' and '\' to quote. */
#ifndef MINI_REDIS_GLOB_H
#define MINI_REDIS_GLOB_H

#include "resp.h"

/* A star matches nothing as well, but not if that is all the text: only the empty pattern matches that, as in Redis 7.0. */
bool glob_match(struct slice pattern, struct slice text, bool ignore_case);

#endif
