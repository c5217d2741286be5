/* SPDX-License-Identifier: MIT */
/* refused: incompatible */
#include "tests/negative/common.h"

TR_CHANNEL_TYPE(apple, struct apple);
TR_CHANNEL_TYPE(pear, struct pear);

int refused_case(struct apple_sender sender, struct apple_receiver receiver, struct apple *apple)
{
#ifdef MISTAKE
    (void)receiver;
    return tr_channel_receive(sender, apple, TR_FOREVER);
#else
    (void)sender;
    return tr_channel_receive(receiver, apple, TR_FOREVER);
#endif
}
