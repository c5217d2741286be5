/* SPDX-License-Identifier: MIT */
/* refused: not of the address's type|void */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    struct apple apple = { 0 };
    void *message = &apple;
    return tr_send(apples, TR_FOREVER, message);
#else
    struct apple apple = { 0 };
    struct apple *message = &apple;
    return tr_send(apples, TR_FOREVER, message);
#endif
}
