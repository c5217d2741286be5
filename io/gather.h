/* SPDX-License-Identifier: MIT */
/*
 * gather.h: how many arrivals a wait is to wait for, so that a busy worker sleeps less often and works on more at a time.
 *
 * A server that is quicker than its clients goes to sleep after each request or two, is woken by the next, and pays for
 * that with every request. Network cards have the same trouble, and the same remedy: under load, a moment's patience. It
 * must not cost a client who waits for us, and we cannot see how many clients are about: a thousand connections may be
 * idle and one in use. So it is found out by trying.
 *
 * Each wait asks for `wanted` arrivals. Now and then, when arrivals come quickly enough, a wait probes: it asks for more than
 * twice as many. If they come, one more is wanted from then on: half of those who are active may be waited for, while the
 * others are being served. If they do not, half as many are wanted as did come, and the next probe is twice as far away.
 *
 *     wanted 1 (no patience) --probe of 4 succeeds--> 2 --probe of 6--> 3 ... 16
 *        ^                                            |                 |
 *        +---------- a wait or a probe brings fewer than asked ---------+
 *
 * If they do not come, a guard ends the wait. It is one timer for all the waits that begin within its time, for a timer that is
 * set for each wait and taken back with it costs more than anything else about the wait where the clock is a hypervisor's.
 * So each wait has what the guard has left. If that was little, and brought little, it says nothing about who is there.
 */
#ifndef TRI_GATHER_H
#define TRI_GATHER_H

#include <troupe/time.h>

#define TRI_GATHER_GUARD (300 * TR_MICROSECOND) /* from when it is set */

struct tri_gather {
    /* What the next wait is to ask for, set by tri_gather_begin. */
    unsigned count; /* arrivals; 1: as usual */

    bool guarded;      /* the guard is set, and its completion is not in: the backend says so */
    tr_time guard;     /* it ends then or a little later */
    unsigned arrivals; /* since the last begin: the backend counts them */
    unsigned wanted;
    unsigned countdown, interval; /* waits until the next probe, and between probes */
    bool probing;
    tr_time since;
};

void tri_gather_init(struct tri_gather *gather, tr_time now);

/*
 * Before a wait. `in_flight`: operations that could complete; `queued`: those that the kernel is to begin first. If count is
 * more than one and no guard is set, the backend sets one, or asks for one.
 */
void tri_gather_begin(struct tri_gather *gather, tr_time now, unsigned in_flight, unsigned queued);

/* After it, and once they have been taken: so many completions were there, and besides that of the guard if `guard_ended`. */
void tri_gather_end(struct tri_gather *gather, tr_time now, unsigned completions, bool guard_ended);

/* Another thread has woken us, which patience delays: none for a good while. Between begin and end, too. */
void tri_gather_woken(struct tri_gather *gather);

#endif
