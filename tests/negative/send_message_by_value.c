/* SPDX-License-Identifier: MIT */
/* refused: pointer|unary */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    struct apple apple = { 0 };
    return tr_send(apples, TR_FOREVER, apple);
#else
    struct apple apple = { 0 };
    return tr_send(apples, TR_FOREVER, &apple);
#endif
}
