/* SPDX-License-Identifier: MIT */
/* refused: alignment is beyond 64 */
#include "tests/negative/overaligned.h"

TR_BROADCAST_TYPE(page_feed, struct page);

int negative_case(struct apple_address apples, struct pear_address pears)
{
    struct page_feed feed = { 0 };
    (void)apples;
    (void)pears;
    return tr_broadcast_create(&feed, 16, NULL);
}
