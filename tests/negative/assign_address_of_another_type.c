/* SPDX-License-Identifier: MIT */
/* refused: incompatible|invalid initializer */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    struct apple_address copy = pears;
    return tr_actor_stop(copy);
#else
    struct apple_address copy = apples;
    return tr_actor_stop(copy);
#endif
}
