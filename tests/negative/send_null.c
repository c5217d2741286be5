/* SPDX-License-Identifier: MIT */
/* refused: not of the address's type|void */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    return tr_send(apples, TR_FOREVER, NULL);
#else
    return tr_send(apples, TR_FOREVER, &(struct apple){ 0 });
#endif
}
