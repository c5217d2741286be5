/* SPDX-License-Identifier: MIT */
/* refused: not of the channel's type */
#include "tests/negative/common.h"

TR_BROADCAST_TYPE(apple_feed, struct apple);

int negative_case(struct apple_address apples, struct pear_address pears)
{
    struct apple_feed feed = { 0 };
    (void)apples;
    (void)pears;
#ifdef MISTAKE
    return tr_broadcast_send(feed, &(struct pear){ .weight = 1 });
#else
    return tr_broadcast_send(feed, &(struct apple){ .weight = 1 });
#endif
}
