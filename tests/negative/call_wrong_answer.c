/* SPDX-License-Identifier: MIT */
/* refused: not of the reply slot's type */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    long answer;
    return tr_call(apples, &answer, TR_FOREVER, &(struct apple){ .weight = 1 });
#else
    int answer;
    return tr_call(apples, &answer, TR_FOREVER, &(struct apple){ .weight = 1 });
#endif
}
