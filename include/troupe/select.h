/* SPDX-License-Identifier: MIT */
/*
 * select.h: waiting for whichever of several things comes first.
 *
 * A case names one thing that can be waited for and what is to be done once it can: take a message, take permits, see a change.
 * Each primitive's header has the functions that make its cases (tr_case_...). The array of cases is the caller's; any number,
 * known only at run time, will do, and it can be used again for the next select.
 *
 *     struct tr_case cases[] = {
 *         tr_case_acquire(&slots, 1),
 *         tr_case_timer(tr_after(TR_SECOND)),
 *     };
 *     switch (tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR)) {
 *     case 0: ...cases[0].result says how it went...
 *     case 1: ...a second has passed...
 *     default: ...negative: none of them, see below...
 *     }
 *
 * Exactly one case is carried out. The others are as if they had never been waited for: no message is taken, no permit,
 * and no wake is lost; what is lost is the place in a queue.
 *
 * Several cases of one object stand in its queue one behind the other: in the order of the array with TR_SELECT_ORDERED, in the
 * order in which a fair select happened to go round with TR_SELECT_FAIR. One that wants more than there is (tr_case_acquire of
 * two permits) holds up those behind it, be they of the same select or of others, as any waiter does: nobody overtakes.
 */
#ifndef TROUPE_SELECT_H
#define TROUPE_SELECT_H

#include <troupe/time.h>

TRI_BEGIN_DECLS

struct tri_kind;
struct tri_waiter;

/* One case. Made by the tr_case_ functions; between selects it may be copied, while one is under way it must stay where it is. */
struct tr_case {
    int result; /* of the case that was carried out: what the call of its own would have returned, e.g. 0 or -EPIPE */
    uint32_t tri_number;
    struct tr_case *tri_next, *tri_previous;
    struct tri_waiter *tri_waiter;
    const struct tri_kind *tri_kind;
    void *tri_object;
    void *tri_value;
    uint64_t tri_amount;
};

enum tr_select_order {
    TR_SELECT_FAIR,    /* of several that are ready, a random one */
    TR_SELECT_ORDERED, /* the first in the array */
};

/*
 * Waits until one of the cases can be carried out, carries it out, and returns its index. A case whose call would fail at
 * once, for instance because its channel is closed, counts as ready: its `result` has the error.
 * Thread: any (a foreign thread blocks). Suspends: yes. Owns: the cases stay the caller's.
 * Returns the index, or, none of them carried out, -ETIMEDOUT, -ECANCELED, -ENOMEM, -EINVAL (no cases, more than 2^30 - 1 of
 * them, or one that was not made by a tr_case_ function).
 */
TR_PUBLIC int tr_select(struct tr_case *cases, uint32_t count, tr_time deadline, enum tr_select_order order);

/* Ready, with result 0, at `when` and from then on. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_case tr_case_timer(tr_time when);

/* Never ready: takes the place of a case that is switched off. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_case tr_case_never(void);

TRI_END_DECLS
#endif
