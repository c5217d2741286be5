/* SPDX-License-Identifier: MIT */
/*
 * monitor.h: what every synchronisation primitive is made of: one word and a queue of those who wait.
 *
 *    63       54 53                                    2      1       0
 *   +-----------+---------------------------------------+------+-------+
 *   | home      | state: the primitive's own            | WAIT | GUARD |
 *   +-----------+---------------------------------------+------+-------+
 *
 * Everything is done in turns. A turn is exclusive: it begins with the state, may change it and the queue, and its end, one
 * store of the word, is its last access to the object. So the memory of an object can be used anew as soon as
 * what its word says allows it: a latch on a stack, a lock inside what its last user frees. WAIT is set between turns while
 * somebody is queued; while neither it nor GUARD is set, a primitive can also change the state by compare-and-swap.
 *
 * Most objects are only used by the tasks of one runtime, and in a runtime of one worker no two tasks run at once: there a
 * turn needs no locked instruction. Such an object has that worker's seat (bias.h) for its home, and its turns there are plain
 * loads and stores. The first user from elsewhere takes the home away, for good:
 *
 *              first use, in a runtime of one worker           first use from elsewhere
 *     FRESH ----------------------------------------> home n ---------------------------> REVOKED ----> SHARED
 *       |                                                ^        with GUARD                 |  ^
 *       |                                                +-----------------------------------+  |
 *       |                                                  a turn at home had begun: again      |
 *       +---------------------------------------------------------------------------------------+
 *              first use by anybody else
 *
 *   [H1] a turn at home (inside := the object, load the word)   against   the revocation (mark the word, membarrier, load inside).
 *        Either the turn sees the mark, or who revokes sees `inside`. Then he waits for the turn to end ([H2]), and since its
 *        end may have overwritten his mark, he looks at the word once more.
 *   [H2] inside := 0 or anything later (release) -> the revocation (acquire): whatever was done at home.
 *   [H3] the end of a turn (release) -> the beginning of the next (acquire): queue, state, what was done under a lock. At
 *        home all turns are of one thread, and need no order.
 *   [H4] SHARED (release) -> who sees it (acquire by the GUARD or the compare-and-swap that follows).
 */
#ifndef TRI_MONITOR_H
#define TRI_MONITOR_H

#include "mailbox/bias.h"
#include "mailbox/wait.h"

#define TRI_GUARD UINT64_C(1)
#define TRI_WAITED UINT64_C(2)
#define TRI_STATE_ONE UINT64_C(4) /* the lowest bit of the state */
#define TRI_HOME_SHIFT 54
#define TRI_STATE_MASK ((UINT64_C(1) << TRI_HOME_SHIFT) - TRI_STATE_ONE)
#define TRI_HOME_MASK (~UINT64_C(0) << TRI_HOME_SHIFT)

/* Values of the field `home`; the number of a seat (bias.h) is added to the last. */
#define TRI_FRESH (UINT64_C(0) << TRI_HOME_SHIFT)
#define TRI_SHARED (UINT64_C(1) << TRI_HOME_SHIFT)
#define TRI_REVOKED (UINT64_C(2) << TRI_HOME_SHIFT)
#define TRI_FIRST_HOME 3u
_Static_assert(TRI_FIRST_HOME + TRI_SEATS <= 1024, "ten bits");

/* Overlays the public structs. */
struct tri_monitor {
    TRI_ATOMIC(uint64_t) word;
    struct tri_line line;
};
_Static_assert(sizeof(struct tri_monitor) == 16, "the public faces");

struct tri_turn {
    struct tri_monitor *monitor;
    struct tri_seat *home; /* NULL: we have the GUARD */
    uint64_t place, state; /* the field `home`; the state, without the other fields */
};

struct tri_turn tri_turn_begin(struct tri_monitor *monitor);

/* Takes the GUARD of a word that is SHARED. It was set in what is returned: somebody else has it. */
static inline uint64_t tri_guard(TRI_ATOMIC(uint64_t) *word)
{
    return tri_fetch_or(word, TRI_GUARD, TRI_ACQUIRE); /* [H3] [H4] */
}

/* The value of the field `home` for objects whose home is that seat. */
static inline uint64_t tri_place_of(const struct tri_seat *seat)
{
    return (uint64_t)(seat->claim - TRI_BIASED + TRI_FIRST_HOME) << TRI_HOME_SHIFT;
}

/* Enters a turn at home. Returns the word: if it has another home, or a GUARD, leave at once. */
static inline uint64_t tri_home_enter(struct tri_seat *home, struct tri_monitor *monitor)
{
    tri_store(&home->inside, (uintptr_t)monitor, TRI_RELEASE); /* [H1] [H2] */
    tri_fence_compiler();
    return tri_load(&monitor->word, TRI_RELAXED); /* [H1] */
}

static inline void tri_home_leave(struct tri_seat *home)
{
    tri_store(&home->inside, (uintptr_t)0, TRI_RELEASE); /* [H2] */
}

static inline void tri_turn_end(struct tri_turn *turn)
{
    uint64_t wait = tri_line_is_empty(&turn->monitor->line) ? 0 : TRI_WAITED;
    tri_store(&turn->monitor->word, turn->place | turn->state | wait, TRI_RELEASE); /* [H3] */
    if (turn->home)
        tri_home_leave(turn->home);
}

/*
 * A whole turn on nothing but the word, if it is at home, nobody waits, and the state is `from`. False: nothing was done.
 */
static inline __attribute__((always_inline)) bool tri_home_change(struct tri_seat *home, struct tri_monitor *monitor,
                                                                  uint64_t from, uint64_t to)
{
    uint64_t place = tri_place_of(home);
    bool same = tri_home_enter(home, monitor) == (place | from);
    if (same)
        tri_store(&monitor->word, place | to, TRI_RELAXED); /* [H2] */
    tri_home_leave(home);
    return same;
}

static inline bool tri_is_shared(struct tri_monitor *monitor)
{
    return (tri_load(&monitor->word, TRI_RELAXED) & TRI_HOME_MASK) == TRI_SHARED;
}

/*
 * The same for an object that all share, by compare-and-swap: taking what others have given, and giving. The state is a
 * guess, for a load first would have to wait for the locked instruction before it.
 */
static inline bool tri_shared_take(struct tri_monitor *monitor, uint64_t from, uint64_t to)
{
    uint64_t word = TRI_SHARED | from;
    return tri_cas(&monitor->word, &word, TRI_SHARED | to, TRI_ACQUIRE, TRI_RELAXED); /* [H3] [H4] */
}

static inline bool tri_shared_give(struct tri_monitor *monitor, uint64_t from, uint64_t to)
{
    uint64_t word = TRI_SHARED | from;
    return tri_cas(&monitor->word, &word, TRI_SHARED | to, TRI_RELEASE, TRI_RELAXED); /* [H3] */
}

/*
 * One step of a primitive for a case, in a turn: does what the case wants if it can be done now, or returns -EAGAIN. On any
 * other result it must have changed nothing but the state.
 */
typedef int tri_step(struct tri_turn *turn, struct tr_case *c, struct tri_task *self);

/* The functions of a tri_kind, for that step: its attempt, enter and leave. */
int tri_monitor_attempt(struct tr_case *c, tri_step *step);
int tri_monitor_enter(struct tr_case *c, tri_step *step);
bool tri_monitor_leave(struct tr_case *c);

/* The suspending call of a case: passes a checkpoint, attempts, waits. */
int tri_monitor_await(struct tr_case *c, tr_time deadline);

/* Serves all who wait, with `result`, and ends the turn. */
void tri_turn_end_serving_all(struct tri_turn *turn, int result);

#endif
