/* SPDX-License-Identifier: MIT */
/* refused: not of the address's type */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    return tr_send_interval(NULL, apples, 1, &(struct pear){ .weight = 1 });
#else
    return tr_send_interval(NULL, apples, 1, &(struct apple){ .weight = 1 });
#endif
}
