/* SPDX-License-Identifier: MIT */
/* refused: incompatible */
#include "tests/negative/common.h"

static int right(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

int wrong(struct apple *argument, long *result);

int negative_case(struct apple_address apples, struct pear_address pears)
{
    long result;
    (void)apples;
    (void)pears;
    (void)right;
#ifdef MISTAKE
    return tr_blocking(wrong, &(struct apple){ .weight = 1 }, &result, TR_FOREVER);
#else
    return tr_blocking(right, &(struct apple){ .weight = 1 }, &result, TR_FOREVER);
#endif
}
