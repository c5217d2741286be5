/* SPDX-License-Identifier: MIT */
/* refused: not of the queue's type */
#include "tests/negative/common.h"

TR_QUEUE_TYPE(apple_queue, struct apple);

int refused_case(struct apple_queue apples)
{
#ifdef MISTAKE
    return tr_queue_send(apples, TR_FOREVER, &(struct pear){ .weight = 1 });
#else
    return tr_queue_send(apples, TR_FOREVER, &(struct apple){ .weight = 1 });
#endif
}
