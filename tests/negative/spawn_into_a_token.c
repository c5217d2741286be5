/* SPDX-License-Identifier: MIT */
/* refused: tri_message */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    struct int_reply out;
    return tr_spawn(&out, NULL, NULL, NULL);
#else
    struct apple_address out;
    return tr_spawn(&out, NULL, NULL, NULL);
#endif
}
