/* SPDX-License-Identifier: MIT */
/* refused: not of the channel's type */
#include "tests/negative/common.h"

TR_CHANNEL_TYPE(apple, struct apple);
TR_CHANNEL_TYPE(pear, struct pear);

struct tr_case refused_case(struct apple_sender apples)
{
#ifdef MISTAKE
    return tr_case_send(apples, &(struct pear){ .weight = 1 });
#else
    return tr_case_send(apples, &(struct apple){ .weight = 1 });
#endif
}
