/* SPDX-License-Identifier: MIT */
/* overaligned.h: a type of which, with the mistake, no value can be aligned as it has to be. */
#ifndef NEGATIVE_OVERALIGNED_H
#define NEGATIVE_OVERALIGNED_H

#include "tests/negative/common.h"

#ifdef MISTAKE
#define ALIGNMENT 128
#else
#define ALIGNMENT 64
#endif

struct page {
    _Alignas(ALIGNMENT) char text[ALIGNMENT];
};

#endif
