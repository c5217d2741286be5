/* SPDX-License-Identifier: MIT */
/* refused: the receiver is not of the channel's type */
#include "tests/negative/common.h"

TR_BROADCAST_TYPE(apple_feed, struct apple);
TR_BROADCAST_RECEIVER_TYPE(apple_receiver, struct apple);
TR_BROADCAST_RECEIVER_TYPE(pear_receiver, struct pear);

int negative_case(struct apple_address apples, struct pear_address pears)
{
    struct apple_feed feed = { 0 };
    struct apple_receiver apple_ones;
    struct pear_receiver pear_ones;
    (void)apples;
    (void)pears;
    (void)pear_ones;
#ifdef MISTAKE
    return tr_broadcast_subscribe(feed, &pear_ones);
#else
    return tr_broadcast_subscribe(feed, &apple_ones);
#endif
}
