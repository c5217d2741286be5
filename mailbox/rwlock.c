/* SPDX-License-Identifier: MIT */
/*
 * rwlock.c: the lock of many readers or one writer, a monitor with the writer's record beside it.
 *
 *    52                  28 27                    3      2
 *   +----------------------+-----------------------+-------+
 *   | limit, 0: the most   | readers               | WRITE |
 *   +----------------------+-----------------------+-------+
 *
 * The first of the queue is served as soon as the state allows it, and nobody before: readers together as far as they stand
 * in a row. While nobody waits, a reader comes and goes by compare-and-swap.
 *
 *   [Y1] ending (release) -> beginning (acquire): what was written; what was read before it is written. Readers' ends continue each
 *        other's release sequences. Who was served: [W1].
 */
#include "mailbox/monitor.h"
#include <troupe/rwlock.h>

#include <errno.h>

#define WRITE TRI_STATE_ONE
#define READER (2 * TRI_STATE_ONE)
#define LIMIT_SHIFT 28
#define MOST ((uint64_t)TR_RWLOCK_READERS)

struct rwlock {
    struct tri_monitor monitor;
    struct tri_task *writer; /* while WRITE is set; changed in turns */
};
_Static_assert(sizeof(struct rwlock) == 24 && sizeof(struct tr_rwlock) == 24, "the public face");
_Static_assert(_Alignof(struct rwlock) == _Alignof(struct tr_rwlock), "the public face");
_Static_assert(MOST *READER < UINT64_C(1) << LIMIT_SHIFT && MOST << LIMIT_SHIFT <= TRI_STATE_MASK, "they fit");

static inline struct rwlock *rwlock_of(const struct tr_rwlock *lock)
{
    return (struct rwlock *)(uintptr_t)lock;
}

int tr_rwlock_init(struct tr_rwlock *lock, uint32_t readers)
{
    if (readers > TR_RWLOCK_READERS)
        return -EINVAL;
    *lock = (struct tr_rwlock){ .tri_word = (uint64_t)readers << LIMIT_SHIFT };
    return 0;
}

static inline uint64_t readers_of(uint64_t word)
{
    return word / READER & MOST;
}

static inline bool may_read(uint64_t word)
{
    uint64_t limit = word >> LIMIT_SHIFT & MOST;
    return !(word & WRITE) && readers_of(word) < (limit ? limit : MOST);
}

/* Lets the case in if the state allows it. */
static bool admit(struct tri_turn *turn, const struct tr_case *c, struct tri_task *task)
{
    bool writes = c->tri_number;
    if (writes ? turn->state & WRITE || readers_of(turn->state) > 0 : !may_read(turn->state))
        return false;
    turn->state += writes ? WRITE : READER;
    if (writes)
        rwlock_of(c->tri_object)->writer = task;
    return true;
}

static bool is_mine(struct tri_turn *turn, struct tri_task *self)
{
    return self && turn->state & WRITE && ((struct rwlock *)turn->monitor)->writer == self;
}

static int take(struct tri_turn *turn, struct tr_case *c, struct tri_task *self)
{
    if (is_mine(turn, self))
        return -EDEADLK;
    return tri_line_is_empty(&turn->monitor->line) && admit(turn, c, self) ? 0 : -EAGAIN;
}

/* Serves those who wait, in order, as far as the state goes, and ends the turn. */
static void end_serving(struct tri_turn *turn)
{
    struct tri_line *line = &turn->monitor->line;
    struct tri_wakes wakes;
    struct tr_case *c;
    wakes.count = 0;
    while ((c = tri_line_first(line))) {
        uint64_t before = turn->state;
        if (!admit(turn, c, c->tri_waiter->task))
            break;
        tri_line_remove(line, c);
        if (tri_claim(c))
            tri_wakes_add(&wakes, tri_finish(c, 0));
        else
            turn->state = before;
    }
    tri_turn_end(turn);
    tri_wakes_make(&wakes);
}

static int attempt(struct tr_case *c)
{
    return tri_monitor_attempt(c, take);
}

static int enter(struct tr_case *c)
{
    return tri_monitor_enter(c, take);
}

/* Readers behind a writer that leaves need not wait for it any more. */
static bool leave(struct tr_case *c)
{
    struct tri_turn turn = tri_turn_begin(c->tri_object);
    bool waited = tri_line_remove(&turn.monitor->line, c);
    if (waited)
        end_serving(&turn);
    else
        tri_turn_end(&turn);
    return waited;
}

static const struct tri_kind rwlock_kind = { attempt, enter, leave, NULL, TRI_WAIT_LOCK };

static struct tr_case case_of(struct tr_rwlock *lock, bool writes)
{
    return (struct tr_case){ .tri_kind = &rwlock_kind, .tri_object = lock, .tri_number = writes };
}

struct tr_case tr_case_read_lock(struct tr_rwlock *lock)
{
    return case_of(lock, false);
}

struct tr_case tr_case_write_lock(struct tr_rwlock *lock)
{
    return case_of(lock, true);
}

static bool is_plain(uint64_t word)
{
    return (word & (TRI_HOME_MASK | TRI_GUARD | TRI_WAITED)) == TRI_SHARED;
}

/* A reader comes, and nobody waits. */
static bool come_shared(struct tri_monitor *monitor)
{
    uint64_t word = tri_load(&monitor->word, TRI_RELAXED);
    return is_plain(word) && may_read(word) &&
           tri_cas(&monitor->word, &word, word + READER, TRI_ACQUIRE, TRI_RELAXED); /* [Y1] */
}

int tr_rwlock_try_read(struct tr_rwlock *face)
{
    struct tr_case c = case_of(face, false);
    return come_shared(&rwlock_of(face)->monitor) ? 0 : attempt(&c);
}

int tr_rwlock_try_write(struct tr_rwlock *face)
{
    struct tr_case c = case_of(face, true);
    return attempt(&c);
}

int tr_rwlock_read(struct tr_rwlock *face, tr_time deadline)
{
    struct tr_case c = case_of(face, false);
    int rc = tri_checkpoint();
    if (rc == 0)
        rc = tr_rwlock_try_read(face);
    if (rc != -EAGAIN)
        return rc;
    return deadline == TR_NOW ? -ETIMEDOUT : tri_wait(&c, deadline);
}

int tr_rwlock_write(struct tr_rwlock *face, tr_time deadline)
{
    struct tr_case c = case_of(face, true);
    return tri_monitor_await(&c, deadline);
}

int tr_rwlock_end_read(struct tr_rwlock *face)
{
    struct tri_monitor *monitor = &rwlock_of(face)->monitor;
    uint64_t word = tri_load(&monitor->word, TRI_RELAXED);
    if (is_plain(word) && readers_of(word) > 0 &&
        tri_cas(&monitor->word, &word, word - READER, TRI_RELEASE, TRI_RELAXED)) /* [Y1] */
        return 0;
    struct tri_turn turn = tri_turn_begin(monitor);
    bool reads = readers_of(turn.state) > 0;
    if (reads)
        turn.state -= READER;
    end_serving(&turn);
    return reads ? 0 : -EINVAL;
}

/* Takes WRITE away from the caller and adds `instead`. */
static int end_write(struct tr_rwlock *face, uint64_t instead)
{
    struct tri_task *self = tri_self();
    struct tri_turn turn = tri_turn_begin(&rwlock_of(face)->monitor);
    bool mine = is_mine(&turn, self);
    if (mine)
        turn.state += instead - WRITE;
    end_serving(&turn);
    return mine ? 0 : -EINVAL;
}

int tr_rwlock_end_write(struct tr_rwlock *face)
{
    return end_write(face, 0);
}

int tr_rwlock_downgrade(struct tr_rwlock *face)
{
    return end_write(face, READER);
}

uint32_t tr_rwlock_readers(const struct tr_rwlock *face)
{
    return (uint32_t)readers_of(tri_load(&rwlock_of(face)->monitor.word, TRI_RELAXED));
}

bool tr_rwlock_is_written(const struct tr_rwlock *face)
{
    return tri_load(&rwlock_of(face)->monitor.word, TRI_RELAXED) & WRITE;
}
