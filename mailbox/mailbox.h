/* SPDX-License-Identifier: MIT */
/*
 * mailbox.h: the bounded multi-producer, single-consumer mailbox, as a state machine that never suspends.
 *
 * One word, the tail, is validation, reservation and scheduling decision in one:
 *
 *    63                25 24                3   2     1       0
 *   +--------------------+-------------------+----+--------+------+
 *   | position (39 bits) | storage (22 bits) |WAIT| CLOSED | IDLE |
 *   +--------------------+-------------------+----+--------+------+
 *
 *   position  the next place to be claimed; monotonic over all tenants of the record, and moved at each respawn
 *   storage   the ring in use, 0 for none: installed by the same compare-and-swap that claims the first place
 *   WAIT      senders wait for room: newcomers queue behind them
 *   CLOSED    nothing more is taken
 *   IDLE      the consumer has found the mailbox empty and must be scheduled by whoever clears the bit. (A loop actor that was
 *             not woken through its mailbox keeps it while it runs: to be scheduled then is to be notified)
 *
 *            claim (schedules)                     CLOSED set (schedules, if idle)
 *   IDLE ----------------------> busy -------------------------------------------> closed, drains, ends
 *        <----------------------      busy <-> busy + WAIT (full)
 *        consumer, at position == head
 *
 * A sender reads the tail, checks the record's generation, then claims by compare-and-swap on that same tail: since the
 * word of one tenant never comes back under another within 2^39 messages, validation and reservation are one atomic act.
 * (Under the same tenant it may: a claim of the mark alone and the next idle bring the word back, and with it all that was
 * computed from it.) Then the sender fills the place and publishes it by the place's stamp. The consumer takes places in order; a place that is claimed but not
 * yet published makes it come back later, never spin.
 *
 * The full test uses a copy of the consumer's head that lies in the tail's cache line (variant f of the measurements in
 * docs/decisions.md), and is confirmed against the head itself and a second look at the tail.
 *
 * Senders that wait for room are served by hand-over: whoever holds the lock and finds room claims it for the first
 * waiter, copies the message, and wakes the waiter with the work done. That is strictly FIFO and needs no second try.
 * Under another policy than to wait nobody does: see policy.c.
 *
 * Happens-before edges are listed in mailbox.c.
 */
#ifndef TRI_MAILBOX_H
#define TRI_MAILBOX_H

#include "mailbox/atomic.h"
#include "mailbox/storage.h"
#include "mailbox/waiter.h"
#include <troupe/overflow.h>

#define TRI_TAIL_IDLE UINT64_C(1)
#define TRI_TAIL_CLOSED UINT64_C(2)
#define TRI_TAIL_WAIT UINT64_C(4)

#define TRI_TAIL_STORAGE_SHIFT 3
#define TRI_TAIL_STORAGE_MASK (((UINT64_C(1) << TRI_STORAGE_BITS) - 1) << TRI_TAIL_STORAGE_SHIFT)
#define TRI_TAIL_POSITION_SHIFT (TRI_TAIL_STORAGE_SHIFT + TRI_STORAGE_BITS)
#define TRI_TAIL_PLACE (UINT64_C(1) << TRI_TAIL_POSITION_SHIFT)

struct tri_slot;

/* The reply token of a request, as it rides beside the message; slot NULL: none. */
struct tri_debt {
    struct tri_slot *slot;
    uint64_t generation;
};

/* What is sent. With a debt, the token is written into the mailbox's copy of the message, at its offset. */
struct tri_letter {
    const void *message;
    uint32_t bytes, token_offset;
    struct tri_debt debt;
};

/* Two stores, as whoever reads the token's parts soon after would wait for one wide store of two narrow values. */
static inline void tri_token_write(char *message, const struct tri_letter *letter)
{
    char *token = message + letter->token_offset;
    memcpy(token, &letter->debt.slot, sizeof letter->debt.slot);
    memcpy(token + sizeof letter->debt.slot, &letter->debt.generation, sizeof letter->debt.generation);
}

/*
 * A sender that waits for room; on its own stack. Fields but `done` are guarded by the mailbox's lock. One that is no task
 * has `served` instead, which is called under the lock, with the result set, and may free it.
 */
struct tri_sender {
    struct tri_sender *next;
    struct tri_task *task;
    void (*served)(struct tri_sender *sender);
    const struct tri_letter *letter;
    TRI_ATOMIC(uint64_t) *owed_by; /* zeroed when it is served; NULL: see actor/cycle.h */
    int result;
    TRI_ATOMIC(uint32_t) done;
};

/* Lies inside a task record; the two halves are one cache line each. */
struct tri_mailbox {
    /* producers */
    TRI_ATOMIC(uint64_t) tail;
    TRI_ATOMIC(uint64_t) head_copy; /* at most the head */
    TRI_ATOMIC(uint32_t) capacity;  /* these three: written at init only, read by senders before they own a place, */
    TRI_ATOMIC(uint32_t) bytes;     /* so a stale sender may read a stranger's: its claim then fails */
    TRI_ATOMIC(uint32_t) shape;     /* of the ring: see storage.h */
    struct tri_lock lock;
    struct tri_sender *last; /* circular list of waiting senders; last->next is the first */
};

struct tri_mailbox_consumer {
    TRI_ATOMIC(uint64_t) head;    /* as a tail word: the position and nothing else */
    struct tri_storage *storage;  /* the consumer's own note; NULL: ask the tail. Always, if senders drop the oldest */
    TRI_ATOMIC(uint32_t) waiting; /* senders wait: set and cleared under the lock, looked at after every take */
    bool keep;                    /* the storage stays through idle times (loop actors) */
    bool plain;                   /* a loop actor's whose messages are short. Of no meaning while no storage is noted */
    TRI_ATOMIC(uint8_t) policy;   /* enum tr_overflow; written at init only, as the producers' three */
};

/* The two halves of one mailbox and the generation that senders must match. */
struct tri_mailbox_ref {
    struct tri_mailbox *mailbox;
    struct tri_mailbox_consumer *consumer;
    TRI_ATOMIC(uint64_t) *life; /* generation << TRI_LIFE_SHIFT | flags */
    uint64_t generation;
};

#define TRI_LIFE_SHIFT 2

/* Results beside 0: mailbox.c never suspends, so these are all. */
enum tri_take {
    TRI_TAKE_MESSAGE,
    TRI_TAKE_EMPTY, /* nothing published at the head: go idle, or come back */
};

enum tri_idle {
    TRI_IDLE_DONE,    /* idle: for a handler actor the record may already run elsewhere, touch nothing */
    TRI_IDLE_RETRY,   /* something was claimed or waits: look again */
    TRI_IDLE_DRAINED, /* closed and empty */
};

/* A record's first use: closed, position 0. */
void tri_mailbox_construct(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer);

/*
 * A new tenant, after tri_mailbox_finish or construct, once life holds the new generation. `idle`: starts idle (handler),
 * else the consumer runs first. Sizes are checked by the caller.
 */
void tri_mailbox_init(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer, uint32_t capacity,
                      uint32_t bytes, enum tr_overflow policy, bool idle);

/* Parts of a tail word. */
static inline uint64_t tri_tail_position(uint64_t tail)
{
    return tail >> TRI_TAIL_POSITION_SHIFT;
}

static inline uint32_t tri_tail_storage(uint64_t tail)
{
    return (uint32_t)((tail & TRI_TAIL_STORAGE_MASK) >> TRI_TAIL_STORAGE_SHIFT);
}

/* The places that are claimed and not taken, as far as `head` knows. */
static inline uint64_t tri_tail_used(uint64_t tail, uint64_t head)
{
    return (tail - head) >> TRI_TAIL_POSITION_SHIFT;
}

/* Fills a claimed place and publishes it. */
static inline __attribute__((always_inline)) void tri_mailbox_publish(struct tri_place *place,
                                                                      const struct tri_letter *letter)
{
    tri_copy(place->message, letter->message, letter->bytes);
    if (letter->debt.slot) {
        tri_token_write(place->message, letter);
        place->generation = letter->debt.generation;
    }
    tri_store(&place->stamp, (uintptr_t)letter->debt.slot | 1, TRI_RELEASE); /* [M1] */
}

/*
 * The plain case of tri_mailbox_send, up to the claim: room, nobody waits, a storage is there or in the cache, the message is
 * short. `tail` was read with acquire [M3]. Returns the place that is to be published; NULL: nothing happened. All is computed
 * before the compare-and-swap, behind which a processor starts nothing for a while; it may be a stranger's, who makes the
 * compare-and-swap fail.
 */
static inline __attribute__((always_inline)) struct tri_place *tri_mailbox_claim_fast(const struct tri_mailbox_ref *ref,
                                                                                      uint64_t tail,
                                                                                      struct tri_storage_cache *cache,
                                                                                      const struct tri_letter *letter,
                                                                                      bool *schedule)
{
    struct tri_mailbox *mailbox = ref->mailbox;
    if (!cache && !(tail & TRI_TAIL_STORAGE_MASK))
        return NULL;
    if ((tail & (TRI_TAIL_CLOSED | TRI_TAIL_WAIT)) ||
        tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT != ref->generation ||
        tri_load(&mailbox->bytes, TRI_RELAXED) != letter->bytes || !tri_is_short(letter->bytes))
        return NULL;
    uint64_t head = tri_load(&mailbox->head_copy, TRI_ACQUIRE); /* [M2] */
    if (tri_tail_used(tail, head) >= tri_load(&mailbox->capacity, TRI_RELAXED))
        return NULL;
    uint32_t shape = tri_load(&mailbox->shape, TRI_RELAXED);
    uint64_t next = (tail + TRI_TAIL_PLACE) & ~TRI_TAIL_IDLE;
    struct tri_storage *fresh = NULL, *storage;
    if (tail & TRI_TAIL_STORAGE_MASK) {
        storage = tri_storage_at(tri_tail_storage(tail));
    } else {
        storage = fresh = tri_storage_peek(cache, shape);
        if (!fresh)
            return NULL;
        next |= (uint64_t)fresh->index << TRI_TAIL_STORAGE_SHIFT;
    }
    struct tri_place *place = tri_storage_place(storage, shape, tri_tail_position(tail));
    if (!tri_cas(&mailbox->tail, &tail, next, TRI_ACQ_REL, TRI_RELAXED)) /* [M3] [M4] */
        return NULL;
    if (fresh)
        tri_storage_take_peeked(cache, shape);
    *schedule = tail & TRI_TAIL_IDLE;
    return place;
}

/* A snapshot: full, and nobody waits for room yet. Thread: any. */
static inline bool tri_mailbox_looks_full(const struct tri_mailbox_ref *ref)
{
    uint64_t tail = tri_load(&ref->mailbox->tail, TRI_RELAXED);
    return !(tail & (TRI_TAIL_CLOSED | TRI_TAIL_WAIT)) &&
           tri_tail_used(tail, tri_load(&ref->consumer->head, TRI_RELAXED)) >=
               tri_load(&ref->mailbox->capacity, TRI_RELAXED);
}

int tri_mailbox_send_slow(const struct tri_mailbox_ref *ref, struct tri_storage_cache *cache,
                          const struct tri_letter *letter, bool *schedule);

/*
 * Sends a copy of the message. Returns 0, -ESRCH, -EAGAIN (full, or others wait), -ENOMEM, -EINVAL (size). *schedule: the
 * consumer was idle and the caller must make it run. Thread: any.
 */
static inline __attribute__((always_inline)) int tri_mailbox_send(const struct tri_mailbox_ref *ref,
                                                                  struct tri_storage_cache *cache,
                                                                  const struct tri_letter *letter, bool *schedule)
{
    uint64_t tail = tri_load(&ref->mailbox->tail, TRI_ACQUIRE); /* [M3] */
    struct tri_place *place = tri_mailbox_claim_fast(ref, tail, cache, letter, schedule);
    if (__builtin_expect(place != NULL, 1)) {
        tri_mailbox_publish(place, letter);
        return 0;
    }
    struct tri_mailbox_ref ref_copy = *ref; /* so that neither need be in memory on the short way */
    struct tri_letter letter_copy = *letter;
    return tri_mailbox_send_slow(&ref_copy, cache, &letter_copy, schedule);
}

/*
 * Takes the idle mark of a handler actor away and no place: it is idle, and the caller will hand it the message itself, or
 * make it run without one. False: not idle, stale, or of another size; nothing happened. Thread: any.
 */
static inline __attribute__((always_inline)) bool tri_mailbox_claim_idle(const struct tri_mailbox_ref *ref,
                                                                         uint32_t bytes)
{
    struct tri_mailbox *mailbox = ref->mailbox;
    uint64_t tail = tri_load(&mailbox->tail, TRI_ACQUIRE); /* [M3] */
    return (tail & TRI_TAIL_IDLE) && tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT == ref->generation &&
           tri_load(&mailbox->bytes, TRI_RELAXED) == bytes &&
           tri_cas(&mailbox->tail, &tail, tail & ~TRI_TAIL_IDLE, TRI_ACQUIRE, TRI_RELAXED); /* [M3] [M4] */
}

/*
 * After -EAGAIN: queues `sender` (task and letter set) for room. Returns 0 (queued, or already served: look at
 * sender->done), -EAGAIN (room and no queue: send again), -ESRCH. *schedule as above.
 */
int tri_mailbox_wait_room(const struct tri_mailbox_ref *ref, struct tri_storage_cache *cache, struct tri_sender *sender,
                          bool *schedule);
/* What is done when it is full. Sure if the address was good when it was got. Thread: any. */
static inline enum tr_overflow tri_mailbox_policy(const struct tri_mailbox_ref *ref)
{
    return (enum tr_overflow)tri_load(&ref->consumer->policy, TRI_RELAXED);
}

/* What became of a message, or is to be done yet: see tri_mailbox_send_by_policy. */
enum tri_fate {
    TRI_FATE_DECIDED,
    TRI_FATE_REJECTED,
    TRI_FATE_NEWEST, /* to be dropped */
    TRI_FATE_OLDEST, /* has been taken, to be dropped; then again */
    TRI_FATE_BUSY,   /* again, soon: the oldest is being written */
};

/*
 * With the mailbox's lock, after -EAGAIN of a mailbox with a policy: sends, or takes the oldest message into *oldest (of the
 * size of a message) and *debt. *result, if decided: as tri_mailbox_send, -EAGAIN if the policy is to wait. While the lock is
 * held the actor does not end, if a fate is told. Thread: any.
 */
enum tri_fate tri_mailbox_send_by_policy(const struct tri_mailbox_ref *ref, struct tri_storage_cache *cache,
                                         const struct tri_letter *letter, void *oldest, struct tri_debt *debt,
                                         int *result, bool *schedule);

/* Takes the sender out again. True if it was still waiting; false if it has been served: sender->result holds. */
bool tri_mailbox_leave_queue(const struct tri_mailbox_ref *ref, struct tri_sender *sender);

/*
 * Closes: nothing more is taken, waiting senders get -ESRCH. Returns 0 or -ESRCH (stale or already closed). *schedule as
 * above. Thread: any.
 */
int tri_mailbox_close(const struct tri_mailbox_ref *ref, bool *schedule);

/* Serves waiting senders as far as there is room. Called when consumer->waiting is seen. Thread: any. */
void tri_mailbox_grant(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer,
                       struct tri_storage_cache *cache);

/* The consumer's side. Thread: the consumer only. */

/* The message at the head, if it is published, and its stamp; else NULL. */
static inline __attribute__((always_inline)) struct tri_place *tri_mailbox_front(struct tri_mailbox *mailbox,
                                                                                 struct tri_mailbox_consumer *consumer,
                                                                                 struct tri_storage *storage,
                                                                                 uintptr_t *stamp)
{
    uint64_t head = tri_load(&consumer->head, TRI_RELAXED);
    uint32_t shape = tri_load(&mailbox->shape, TRI_RELAXED);
    struct tri_place *place = tri_storage_place(storage, shape, tri_tail_position(head));
    *stamp = tri_load(&place->stamp, TRI_ACQUIRE); /* [M1] */
    return *stamp == 0 ? NULL : place;
}

/* The debt of the message at the front. */
static inline struct tri_debt tri_place_debt(const struct tri_place *place, uintptr_t stamp)
{
    struct tri_debt debt = { (struct tri_slot *)(stamp & ~(uintptr_t)1), 0 };
    if (debt.slot)
        debt.generation = place->generation;
    return debt;
}

/* Gives the place at the front back, its message copied. True: senders wait for room, and are to be granted it. */
static inline __attribute__((always_inline)) bool tri_mailbox_pop(struct tri_mailbox_consumer *consumer,
                                                                  struct tri_place *place)
{
    tri_store(&place->stamp, (uintptr_t)0, TRI_RELAXED);
    uint64_t head = tri_load(&consumer->head, TRI_RELAXED);
    tri_store(&consumer->head, head + TRI_TAIL_PLACE, TRI_RELEASE);             /* [M2] wraps as the tail does */
    return __builtin_expect(tri_load(&consumer->waiting, TRI_RELAXED) != 0, 0); /* [M5], its cheap half */
}

/* With the lock, of a mailbox whose senders drop the oldest: takes that, on the consumer's behalf. Thread: any. */
enum tri_take tri_mailbox_take_locked(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer, void *message,
                                      uint32_t bytes, struct tri_debt *debt);

/* Senders drop the oldest: the consumer's side belongs to whoever has the lock. Of a living tenant. */
static inline bool tri_mailbox_is_shared(struct tri_mailbox_consumer *consumer)
{
    return tri_load(&consumer->policy, TRI_RELAXED) == TR_OVERFLOW_DROP_OLDEST;
}

/* The consumer notes the storage that a sender has installed. False: none, or the consumer's side is not its alone. */
static inline __attribute__((always_inline)) bool tri_mailbox_find_storage(struct tri_mailbox *mailbox,
                                                                           struct tri_mailbox_consumer *consumer)
{
    uint32_t index = tri_tail_storage(tri_load(&mailbox->tail, TRI_ACQUIRE)); /* [M3] */
    if (index == 0 || tri_mailbox_is_shared(consumer))
        return false;
    consumer->storage = tri_storage_at(index);
    return true;
}
/* What take cannot, where senders drop the oldest: takes under the lock. EMPTY of other mailboxes. */
enum tri_take tri_mailbox_take_shared(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer, void *message,
                                      uint32_t bytes, struct tri_debt *debt);

/* As tri_mailbox_take, which see. *waiting: senders wait for room, and are to be granted it. */
static inline __attribute__((always_inline)) enum tri_take tri_mailbox_take_only(struct tri_mailbox *mailbox,
                                                                                 struct tri_mailbox_consumer *consumer,
                                                                                 void *message, uint32_t bytes,
                                                                                 struct tri_debt *debt, bool *waiting)
{
    uintptr_t stamp;
    *waiting = false;
    if (!consumer->storage && !tri_mailbox_find_storage(mailbox, consumer))
        return TRI_TAKE_EMPTY;
    struct tri_place *place = tri_mailbox_front(mailbox, consumer, consumer->storage, &stamp);
    if (!place)
        return TRI_TAKE_EMPTY;
    *debt = tri_place_debt(place, stamp);
    tri_copy(message, place->message, bytes);
    *waiting = tri_mailbox_pop(consumer, place);
    return TRI_TAKE_MESSAGE;
}

/* Takes the next message. `bytes`: the mailbox's. */
static inline __attribute__((always_inline)) enum tri_take tri_mailbox_take(struct tri_mailbox *mailbox,
                                                                            struct tri_mailbox_consumer *consumer,
                                                                            struct tri_storage_cache *cache,
                                                                            void *message, uint32_t bytes,
                                                                            struct tri_debt *debt)
{
    bool waiting;
    enum tri_take taken = tri_mailbox_take_only(mailbox, consumer, message, bytes, debt, &waiting);
    if (waiting)
        tri_mailbox_grant(mailbox, consumer, cache);
    return taken;
}

enum tri_idle tri_mailbox_idle_slow(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer,
                                    struct tri_storage_cache *cache);

/* The plain case of tri_mailbox_idle: true if it is idle now, which it was not. False: nothing happened. */
static inline __attribute__((always_inline)) bool tri_mailbox_idle_plain(struct tri_mailbox *mailbox,
                                                                         struct tri_mailbox_consumer *consumer,
                                                                         struct tri_storage_cache *cache)
{
    uint64_t tail = tri_load(&mailbox->tail, TRI_RELAXED);
    uint64_t flags = TRI_TAIL_IDLE | TRI_TAIL_CLOSED | TRI_TAIL_WAIT;
    if (tri_tail_used(tail, tri_load(&consumer->head, TRI_RELAXED)) > 0 || (tail & flags))
        return false;
    struct tri_storage *storage = consumer->storage;
    bool keep = consumer->keep;
    uint64_t next = (keep ? tail : tail & ~TRI_TAIL_STORAGE_MASK) | TRI_TAIL_IDLE;
    if (!keep)
        consumer->storage = NULL; /* before the CAS: after it the record may run elsewhere */
    if (!tri_cas(&mailbox->tail, &tail, next, TRI_RELEASE, TRI_RELAXED)) { /* [M4] */
        consumer->storage = storage;
        return false;
    }
    if (!keep && storage)
        tri_storage_give(cache, storage);
    return true;
}

/* Goes idle if it is empty, as after TRI_TAKE_EMPTY; serves senders that wait. */
static inline __attribute__((always_inline)) enum tri_idle tri_mailbox_idle(struct tri_mailbox *mailbox,
                                                                            struct tri_mailbox_consumer *consumer,
                                                                            struct tri_storage_cache *cache)
{
    if (__builtin_expect(tri_mailbox_idle_plain(mailbox, consumer, cache), 1))
        return TRI_IDLE_DONE;
    /* A loop actor that was not woken through its mailbox: the mark is still there. */
    if (tri_load(&mailbox->tail, TRI_RELAXED) & TRI_TAIL_IDLE)
        return TRI_IDLE_DONE;
    return tri_mailbox_idle_slow(mailbox, consumer, cache);
}

/* A loop actor that was woken without a message: takes the idle mark back, if it is still there. */
void tri_mailbox_unidle(struct tri_mailbox *mailbox);
/* True if a message is there to be taken. */
bool tri_mailbox_is_ready(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer);
/* True when closed and empty. */
bool tri_mailbox_is_drained(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer);
/* As grant, if the tail says that senders wait. True if it did. Consumer. */
bool tri_mailbox_serve_waiting(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer,
                               struct tri_storage_cache *cache);
/* After closing, once take has returned EMPTY and idle DRAINED: gives the storage back. The record may be freed. */
void tri_mailbox_finish(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer,
                        struct tri_storage_cache *cache);
/* Messages claimed and not taken; a snapshot. Thread: any. */
uint32_t tri_mailbox_length(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer);

#endif
