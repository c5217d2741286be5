/* SPDX-License-Identifier: MIT */
/* refused: not of the reply slot's type */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    struct apple apple = { 0 };
    return tr_reply(apple.reply, &(long){ 1 });
#else
    struct apple apple = { 0 };
    return tr_reply(apple.reply, &(int){ 1 });
#endif
}
