/* SPDX-License-Identifier: MIT */
/* refused: tri_value */
#include "tests/negative/common.h"

TR_WATCH_TYPE(apple_watch, struct apple);

int negative_case(struct apple_address apples, struct pear_address pears)
{
    struct apple_watch watch = { 0 };
    (void)apples;
    (void)pears;
    (void)watch;
#ifdef MISTAKE
    tr_watch_close(apples);
#else
    tr_watch_close(watch);
#endif
    return 0;
}
