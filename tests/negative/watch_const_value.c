/* SPDX-License-Identifier: MIT */
/* refused: not of the watch's type */
#include "tests/negative/common.h"

TR_WATCH_RECEIVER_TYPE(number_observer, int);

int negative_case(struct apple_address apples, struct pear_address pears)
{
    struct number_observer observer = { 0 };
    int value = 0;
    const int constant = 0;
    (void)apples;
    (void)pears;
    (void)constant;
#ifdef MISTAKE
    return tr_watch_read(&observer, &constant);
#else
    return tr_watch_read(&observer, &value);
#endif
}
