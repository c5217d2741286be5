/* SPDX-License-Identifier: MIT */
/* refused: alignment is beyond 64 */
#include "tests/negative/overaligned.h"

TR_ONESHOT_TYPE(page_oneshot, struct page);

int negative_case(struct apple_address apples, struct pear_address pears)
{
    (void)apples;
    (void)pears;
    return tr_oneshot_create(struct page_oneshot) ? 0 : -1;
}
