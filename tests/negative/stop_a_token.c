/* SPDX-License-Identifier: MIT */
/* refused: tri_message */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    struct apple apple = { 0 };
    return tr_actor_stop(apple.reply);
#else
    return tr_actor_stop(apples);
#endif
}
