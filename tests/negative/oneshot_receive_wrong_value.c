/* SPDX-License-Identifier: MIT */
/* refused: not of the oneshot's type */
#include "tests/negative/common.h"

TR_ONESHOT_TYPE(apple_oneshot, struct apple);

int refused_case(struct apple_oneshot *oneshot, struct pear *pear, struct apple *apple)
{
#ifdef MISTAKE
    (void)apple;
    return tr_oneshot_receive(oneshot, pear, TR_FOREVER);
#else
    (void)pear;
    return tr_oneshot_receive(oneshot, apple, TR_FOREVER);
#endif
}
