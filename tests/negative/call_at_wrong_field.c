/* SPDX-License-Identifier: MIT */
/* refused: not of the reply slot's type */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    int answer;
    return tr_call_at(apples, other, &answer, TR_FOREVER, &(struct apple){ .weight = 1 });
#else
    long answer;
    return tr_call_at(apples, other, &answer, TR_FOREVER, &(struct apple){ .weight = 1 });
#endif
}
