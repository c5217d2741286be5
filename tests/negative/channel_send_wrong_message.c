/* SPDX-License-Identifier: MIT */
/* refused: not of the channel's type */
#include "tests/negative/common.h"

TR_CHANNEL_TYPE(apple, struct apple);
TR_CHANNEL_TYPE(pear, struct pear);

int refused_case(struct apple_sender apples)
{
#ifdef MISTAKE
    return tr_channel_send(apples, TR_FOREVER, &(struct pear){ .weight = 1 });
#else
    return tr_channel_send(apples, TR_FOREVER, &(struct apple){ .weight = 1 });
#endif
}
