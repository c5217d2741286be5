/* SPDX-License-Identifier: MIT */
/* refused: must be writable */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    const int answer = 0;
    return tr_call(apples, &answer, TR_FOREVER, &(struct apple){ .weight = 1 });
#else
    int answer = 0;
    return tr_call(apples, &answer, TR_FOREVER, &(struct apple){ .weight = 1 });
#endif
}
