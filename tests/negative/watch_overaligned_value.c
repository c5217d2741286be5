/* SPDX-License-Identifier: MIT */
/* refused: alignment is beyond 64 */
#include "tests/negative/overaligned.h"

TR_WATCH_TYPE(page_watch, struct page);

int negative_case(struct apple_address apples, struct pear_address pears)
{
    struct page_watch watch = { 0 };
    struct page first = { "" };
    (void)apples;
    (void)pears;
    return tr_watch_create(&watch, NULL, &first);
}
