/* SPDX-License-Identifier: MIT */
/* refused: not of one channel type */
#include "tests/negative/common.h"

TR_CHANNEL_TYPE(apple, struct apple);
TR_CHANNEL_TYPE(pear, struct pear);

int refused_case(struct apple_sender sender, struct pear_permit *pears, struct apple_permit *apples)
{
#ifdef MISTAKE
    (void)apples;
    return tr_channel_reserve(sender, 1, pears, TR_FOREVER);
#else
    (void)pears;
    return tr_channel_reserve(sender, 1, apples, TR_FOREVER);
#endif
}
