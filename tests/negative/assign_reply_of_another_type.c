/* SPDX-License-Identifier: MIT */
/* refused: incompatible|invalid initializer */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    struct apple apple = { 0 };
    struct int_reply copy = apple.other;
    return tr_reply_error(copy, 1);
#else
    struct apple apple = { 0 };
    struct int_reply copy = apple.reply;
    return tr_reply_error(copy, 1);
#endif
}
