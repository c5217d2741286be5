/* SPDX-License-Identifier: MIT */
/* refused: tri_answer|not a structure|no member */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    int answer;
    return tr_call_at(apples, weight, &answer, TR_FOREVER, &(struct apple){ .weight = 1 });
#else
    int answer;
    return tr_call_at(apples, reply, &answer, TR_FOREVER, &(struct apple){ .weight = 1 });
#endif
}
