/* SPDX-License-Identifier: MIT */
/* refused: not of the field's type */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    struct apple apple = { 0 };
    return tr_forward(apple.reply, pears, TR_FOREVER, &(struct pear){ 0 });
#else
    struct apple apple = { 0 };
    return tr_forward(apple.other, pears, TR_FOREVER, &(struct pear){ 0 });
#endif
}
