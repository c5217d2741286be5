/* SPDX-License-Identifier: MIT */
/* refused: tri_answer */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    return tr_defer(apples);
#else
    struct apple apple = { 0 };
    return tr_defer(apple.reply);
#endif
}
