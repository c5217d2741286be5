/* SPDX-License-Identifier: MIT */
/* refused: not of the channel's type */
#include "tests/negative/common.h"

TR_CHANNEL_TYPE(apple, struct apple);
TR_CHANNEL_TYPE(pear, struct pear);

int refused_case(struct apple_receiver apples, struct pear *pear, struct apple *apple)
{
#ifdef MISTAKE
    (void)apple;
    return tr_channel_receive(apples, pear, TR_FOREVER);
#else
    (void)pear;
    return tr_channel_receive(apples, apple, TR_FOREVER);
#endif
}
