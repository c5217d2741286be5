/* SPDX-License-Identifier: MIT */
/*
 * semaphore.c: permits in one word, and a queue for those who wait.
 *
 *    63                    2     1       0
 *   +-----------------------+--------+------+
 *   | permits               | CLOSED | WAIT |
 *   +-----------------------+--------+------+
 *
 * While WAIT is clear, permits are taken and given by compare-and-swap. While it is set they only move under the lock: what
 * is given goes to the queue first, in order, and WAIT is cleared with the last who leaves it.
 *
 *   [E1] release of permits (release) -> acquire of them (acquire): what was done under the permits. Permits are a count, so
 *        every giving continues the release sequence of those before it: all changes are read-modify-writes.
 *   [E2] under the lock: the queue; handing over passes what the giver did on by the lock and by [W1].
 */
#include "mailbox/wait.h"
#include <troupe/semaphore.h>

#include <errno.h>

#define WAIT UINT64_C(1)
#define CLOSED UINT64_C(2)
#define PERMIT UINT64_C(4)
#define PERMITS(word) ((word) / PERMIT)

struct semaphore {
    TRI_ATOMIC(uint64_t) word;
    struct tri_lock lock;
    uint32_t unused;
    struct tri_line line;
};
_Static_assert(sizeof(struct semaphore) == sizeof(struct tr_semaphore), "the public face");
_Static_assert(_Alignof(struct semaphore) == _Alignof(struct tr_semaphore), "the public face");

static inline struct semaphore *semaphore_of(const struct tr_semaphore *face)
{
    return (struct semaphore *)(void *)face;
}

int tr_semaphore_init(struct tr_semaphore *face, uint64_t permits)
{
    if (permits >= TR_SEMAPHORE_LIMIT)
        return -EINVAL;
    *face = (struct tr_semaphore){ .tri_word = permits * PERMIT };
    return 0;
}

/* Returns 0, -EAGAIN, -EPIPE. */
static inline int take(struct semaphore *semaphore, uint64_t permits)
{
    uint64_t word = tri_load(&semaphore->word, TRI_RELAXED);
    do {
        if (word & CLOSED)
            return -EPIPE;
        if (word & WAIT || PERMITS(word) < permits)
            return -EAGAIN;
    } while (!tri_cas(&semaphore->word, &word, word - permits * PERMIT, TRI_ACQUIRE, TRI_RELAXED)); /* [E1] */
    return 0;
}

/* Serves those who wait, in order, as far as the permits go. Called under the lock, and lets it go: the wakes come after. */
static void serve_and_unlock(struct semaphore *semaphore)
{
    struct tri_wakes wakes;
    struct tr_case *c;
    wakes.count = 0;
    while ((c = tri_line_first(&semaphore->line)) &&
           PERMITS(tri_load(&semaphore->word, TRI_RELAXED)) >= c->tri_amount) {
        tri_line_remove(&semaphore->line, c);
        if (!tri_claim(c))
            continue;
        tri_fetch_sub(&semaphore->word, c->tri_amount * PERMIT, TRI_ACQUIRE); /* [E1] */
        tri_wakes_add(&wakes, tri_finish(c, 0));
    }
    if (tri_line_is_empty(&semaphore->line))
        tri_fetch_and(&semaphore->word, ~WAIT, TRI_RELAXED);
    tri_unlock(&semaphore->lock);
    tri_wakes_make(&wakes);
}

static int attempt(struct tr_case *c)
{
    return take(c->tri_object, c->tri_amount);
}

/* With WAIT set the permits stand still while we look. */
static int enter(struct tr_case *c)
{
    struct semaphore *semaphore = c->tri_object;
    int rc = -EAGAIN;
    tri_lock(&semaphore->lock);
    uint64_t word = tri_fetch_or(&semaphore->word, WAIT, TRI_ACQUIRE); /* [E1] */
    if (word & CLOSED) {
        rc = tri_claim(c) ? -EPIPE : -EAGAIN;
    } else if (!tri_line_is_empty(&semaphore->line) || PERMITS(word) < c->tri_amount) {
        tri_line_push(&semaphore->line, c);
    } else if (tri_claim(c)) {
        tri_fetch_sub(&semaphore->word, c->tri_amount * PERMIT, TRI_RELAXED);
        rc = 0;
    }
    if (tri_line_is_empty(&semaphore->line))
        tri_fetch_and(&semaphore->word, ~WAIT, TRI_RELAXED);
    tri_unlock(&semaphore->lock);
    return rc;
}

/* Those behind who wants many may want fewer. */
static bool leave(struct tr_case *c)
{
    struct semaphore *semaphore = c->tri_object;
    tri_lock(&semaphore->lock);
    bool waited = tri_line_remove(&semaphore->line, c);
    if (waited)
        serve_and_unlock(semaphore);
    else
        tri_unlock(&semaphore->lock);
    return waited;
}

static const struct tri_kind acquire_kind = { attempt, enter, leave, NULL, TRI_WAIT_PERMIT };

struct tr_case tr_case_acquire(struct tr_semaphore *face, uint64_t permits)
{
    return (struct tr_case){ .tri_kind = &acquire_kind, .tri_object = face, .tri_amount = permits };
}

static __attribute__((noinline)) int acquire_waiting(struct tr_semaphore *face, uint64_t permits, tr_time deadline)
{
    if (permits >= TR_SEMAPHORE_LIMIT)
        return -EINVAL;
    if (deadline == TR_NOW)
        return tr_semaphore_is_closed(face) ? -EPIPE : -ETIMEDOUT;
    struct tr_case c = tr_case_acquire(face, permits);
    return tri_wait(&c, deadline);
}

int tr_semaphore_acquire(struct tr_semaphore *face, uint64_t permits, tr_time deadline)
{
    int rc = tri_checkpoint();
    if (rc < 0)
        return rc;
    rc = take(semaphore_of(face), permits);
    return __builtin_expect(rc == -EAGAIN, 0) ? acquire_waiting(face, permits, deadline) : rc;
}

int tr_semaphore_try_acquire(struct tr_semaphore *face, uint64_t permits)
{
    return permits >= TR_SEMAPHORE_LIMIT ? -EINVAL : take(semaphore_of(face), permits);
}

/* Somebody waits, or did a moment ago. */
static __attribute__((noinline)) int release_to_waiters(struct semaphore *semaphore, uint64_t permits)
{
    tri_lock(&semaphore->lock);
    uint64_t word = tri_load(&semaphore->word, TRI_RELAXED);
    do {
        if (permits >= TR_SEMAPHORE_LIMIT - PERMITS(word)) {
            tri_unlock(&semaphore->lock);
            return -EINVAL;
        }
    } while (!tri_cas(&semaphore->word, &word, word + permits * PERMIT, TRI_RELEASE, TRI_RELAXED)); /* [E1] */
    serve_and_unlock(semaphore);
    return 0;
}

int tr_semaphore_release(struct tr_semaphore *face, uint64_t permits)
{
    struct semaphore *semaphore = semaphore_of(face);
    uint64_t word = tri_load(&semaphore->word, TRI_RELAXED);
    do {
        if (__builtin_expect(word & WAIT, 0))
            return release_to_waiters(semaphore, permits);
        if (permits >= TR_SEMAPHORE_LIMIT - PERMITS(word))
            return -EINVAL;
    } while (!tri_cas(&semaphore->word, &word, word + permits * PERMIT, TRI_RELEASE, TRI_RELAXED)); /* [E1] */
    return 0;
}

uint64_t tr_semaphore_forget(struct tr_semaphore *face, uint64_t permits)
{
    struct semaphore *semaphore = semaphore_of(face);
    uint64_t word = tri_load(&semaphore->word, TRI_RELAXED), count;
    tri_lock(&semaphore->lock); /* so that nobody is being served meanwhile */
    do
        count = PERMITS(word) < permits ? PERMITS(word) : permits;
    while (!tri_cas(&semaphore->word, &word, word - count * PERMIT, TRI_RELAXED, TRI_RELAXED));
    tri_unlock(&semaphore->lock);
    return count;
}

void tr_semaphore_close(struct tr_semaphore *face)
{
    struct semaphore *semaphore = semaphore_of(face);
    struct tri_wakes wakes;
    struct tr_case *c;
    wakes.count = 0;
    tri_lock(&semaphore->lock);
    tri_fetch_or(&semaphore->word, CLOSED, TRI_RELAXED);
    while ((c = tri_line_claim(&semaphore->line))) {
        tri_wakes_add(&wakes, tri_finish(c, -EPIPE));
    }
    tri_fetch_and(&semaphore->word, ~WAIT, TRI_RELAXED);
    tri_unlock(&semaphore->lock);
    tri_wakes_make(&wakes);
}

bool tr_semaphore_is_closed(const struct tr_semaphore *face)
{
    return tri_load(&semaphore_of(face)->word, TRI_RELAXED) & CLOSED;
}

uint64_t tr_semaphore_available(const struct tr_semaphore *face)
{
    return PERMITS(tri_load(&semaphore_of(face)->word, TRI_RELAXED));
}
