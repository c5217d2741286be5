/* SPDX-License-Identifier: MIT */
/* refused: incompatible */
#include "tests/negative/common.h"

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    struct apple_address out;
    int (*body)(void *) = NULL;
    return tr_spawn_handler(&out, body, NULL, NULL);
#else
    struct apple_address out;
    int (*on_message)(void *, void *) = NULL;
    return tr_spawn_handler(&out, on_message, NULL, NULL);
#endif
}
