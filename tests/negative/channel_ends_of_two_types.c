/* SPDX-License-Identifier: MIT */
/* refused: not of one channel type */
#include "tests/negative/common.h"

TR_CHANNEL_TYPE(apple, struct apple);
TR_CHANNEL_TYPE(pear, struct pear);

int refused_case(struct apple_sender *sender, struct pear_receiver *pears, struct apple_receiver *apples)
{
#ifdef MISTAKE
    (void)apples;
    return tr_channel_create(sender, pears, 1, NULL);
#else
    (void)pears;
    return tr_channel_create(sender, apples, 1, NULL);
#endif
}
