/* SPDX-License-Identifier: MIT */
/* refused: not of the address's type */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    long answer;
    struct tr_gather_call call = tr_gather_call(apples, &answer, &(struct pear){ .weight = 1 });
    return tr_gather(&call, 1, TR_FOREVER, TR_GATHER_ALL);
#else
    int answer;
    struct tr_gather_call call = tr_gather_call(apples, &answer, &(struct apple){ .weight = 1 });
    return tr_gather(&call, 1, TR_FOREVER, TR_GATHER_ALL);
#endif
}
