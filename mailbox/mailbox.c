/* SPDX-License-Identifier: MIT */
/*
 * mailbox.c: see mailbox.h for the picture. Here are the edges that make it sound.
 *
 *   [M1] stamp release (publish)  -> stamp acquire (take):      the message and the token's generation are there.
 *   [M2] head release (take)      -> head acquire (full test):  the consumer has read the place and zeroed its stamp,
 *                                    before a producer may write it again. The copy of the head in the producers'
 *                                    line passes the edge on: it is stored with release after an acquire of the head.
 *   [M3] tail:                       every change of it is a read-modify-write, but for init, whose release store
 *                                    publishes the new tenant's shape and generation to whoever reads the tail with
 *                                    acquire. A sender that read an older tail fails its CAS. Claims release: the
 *                                    storage that they install; so does clearing WAIT: the list is empty.
 *   [M4] idle CAS release -> claim CAS acquire: what the consumer did before it went idle is seen by the one who
 *                                    schedules it, and through the run queue by whoever runs it next. (What a loop actor
 *                                    did that kept its mark is passed by its park word.) The CAS itself
 *                                    acquires: since the load another may have run it, and left the same tail behind.
 *   [M5] waiting := 1; fence; head   against   head := h+1; waiting (take) or fence-after-rmw; waiting (park):
 *                                    either the registering sender sees the room, or the consumer sees the sender at
 *                                    the latest when it suspends. An idle CAS fails while WAIT is set. Who finds WAIT
 *                                    set has the fence of who set it, by the lock.
 *   [M6] lock:                       the list of waiting senders, and their fields.
 *   [M7] sender.done release -> acquire: the result.
 *   [M8] bytes release (init) -> acquire (send): who reads a new tenant's message size sees its generation, and so says
 *        -ESRCH for a stale address, not -EINVAL.
 *   [M9] close CAS release -> acquire by the consumer that finds the mailbox drained: what the closer did before.
 *   [M10] policy release (init) -> acquire (overflow): as [M8]: who reads a new tenant's policy sees its generation.
 *   [M11] lock, again:               what a mailbox with a policy has lost; and of one that drops the oldest, the whole
 *                                    consumer's side, which is whose the lock is. An actor with a policy takes the lock
 *                                    once more at its end.
 */
#include "mailbox/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void tri_mailbox_construct(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer)
{
    tri_store(&mailbox->tail, TRI_TAIL_CLOSED, TRI_RELAXED);
    tri_store(&consumer->head, UINT64_C(0), TRI_RELAXED);
}

void tri_mailbox_init(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer, uint32_t capacity,
                      uint32_t bytes, enum tr_overflow policy, bool idle)
{
    uint64_t tail = tri_load(&mailbox->tail, TRI_RELAXED);
    assert(tail & TRI_TAIL_CLOSED && !(tail & TRI_TAIL_WAIT) && !mailbox->last);
    tri_store(&mailbox->capacity, capacity, TRI_RELAXED);
    tri_store(&mailbox->bytes, bytes, TRI_RELEASE); /* [M8] */
    tri_store(&mailbox->shape, tri_shape_make(bytes, capacity), TRI_RELAXED);
    /* Moved past every position of earlier tenants, so that no sender of theirs can claim here. */
    uint64_t head = (tail & ~(TRI_TAIL_PLACE - 1)) + TRI_TAIL_PLACE;
    tri_store(&consumer->head, head, TRI_RELAXED);
    tri_store(&mailbox->head_copy, head, TRI_RELAXED); /* or the first send would find it full at first sight */
    tri_store(&consumer->waiting, 0u, TRI_RELAXED);
    consumer->storage = NULL;
    consumer->keep = !idle || policy == TR_OVERFLOW_DROP_OLDEST; /* it is given back from that note only */
    consumer->plain = !idle && tri_is_short(bytes);
    tri_store(&consumer->policy, (uint8_t)policy, TRI_RELEASE);                /* [M10] */
    tri_store(&mailbox->tail, head | (idle ? TRI_TAIL_IDLE : 0), TRI_RELEASE); /* [M3] */
}

/* False full tests of a stale tail are sorted out by the caller. */
static bool is_full(struct tri_mailbox *mailbox, TRI_ATOMIC(uint64_t) *head, uint64_t tail, uint32_t capacity)
{
    if (tri_tail_used(tail, tri_load(&mailbox->head_copy, TRI_ACQUIRE)) < capacity) /* [M2] */
        return false;
    uint64_t fresh = tri_load(head, TRI_ACQUIRE);       /* [M2] */
    tri_store(&mailbox->head_copy, fresh, TRI_RELEASE); /* [M2], passed on */
    return tri_tail_used(tail, fresh) >= capacity;
}

/*
 * Claims the next place by the CAS on the tail, which clears the flags in `clears` as well. `granting`: on behalf of the
 * first waiting sender, under the lock. Returns 0 and *claimed, the tail before the claim with the storage that is now installed; or -EAGAIN, -ESRCH, -ENOMEM.
 */
static inline __attribute__((always_inline)) int claim(const struct tri_mailbox_ref *ref,
                                                       struct tri_storage_cache *cache, bool granting, uint64_t clears,
                                                       uint64_t *claimed)
{
    struct tri_mailbox *mailbox = ref->mailbox;
    struct tri_storage *fresh = NULL;
    int result;
    uint64_t tail = tri_load(&mailbox->tail, TRI_ACQUIRE); /* [M3] */
    for (;;) {
        if (tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT != ref->generation || (tail & TRI_TAIL_CLOSED)) {
            result = -ESRCH;
            break;
        }
        uint32_t capacity = tri_load(&mailbox->capacity, TRI_RELAXED);
        bool wait = (tail & TRI_TAIL_WAIT) && !granting;
        if (wait || is_full(mailbox, &ref->consumer->head, tail, capacity)) {
            uint64_t again = tri_load(&mailbox->tail, TRI_ACQUIRE); /* [M3] a stale tail looks full: confirm it */
            if (again == tail) {
                result = -EAGAIN;
                break;
            }
            tail = again;
            continue;
        }
        uint64_t next = (tail + TRI_TAIL_PLACE) & ~clears;
        if (tri_tail_storage(tail) == 0) {
            uint32_t shape = tri_load(&mailbox->shape, TRI_RELAXED);
            if (fresh && fresh->shape != shape) { /* of an earlier tenant */
                tri_storage_give(cache, fresh);
                fresh = NULL;
            }
            if (!fresh && !(fresh = tri_storage_take(cache, shape))) {
                result = -ENOMEM;
                break;
            }
            next |= (uint64_t)fresh->index << TRI_TAIL_STORAGE_SHIFT;
        }
        if (tri_cas(&mailbox->tail, &tail, next, TRI_ACQ_REL, TRI_ACQUIRE)) { /* [M3] [M4] */
            *claimed = (tail & ~TRI_TAIL_STORAGE_MASK) | (next & TRI_TAIL_STORAGE_MASK);
            if (tri_tail_storage(tail) == 0)
                fresh = NULL;
            result = 0;
            break;
        }
    }
    if (fresh)
        tri_storage_give(cache, fresh);
    return result;
}

/* The place that was claimed from the tail `claimed`. The shape is stable: no tenant ends while a place is claimed. */
static struct tri_place *claimed_place(struct tri_mailbox *mailbox, uint64_t claimed)
{
    uint32_t shape = tri_load(&mailbox->shape, TRI_RELAXED);
    return tri_storage_place(tri_storage_at(tri_tail_storage(claimed)), shape, tri_tail_position(claimed));
}

int tri_mailbox_send_slow(const struct tri_mailbox_ref *ref, struct tri_storage_cache *cache,
                          const struct tri_letter *letter, bool *schedule)
{
    uint64_t claimed = 0;
    *schedule = false;
    if (tri_load(&ref->mailbox->bytes, TRI_ACQUIRE) != letter->bytes) { /* [M8] */
        bool stale = tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT != ref->generation ||
                     (tri_load(&ref->mailbox->tail, TRI_RELAXED) & TRI_TAIL_CLOSED);
        return stale ? -ESRCH : -EINVAL;
    }
    int rc = claim(ref, cache, false, TRI_TAIL_IDLE, &claimed);
    if (rc < 0)
        return rc;
    tri_mailbox_publish(claimed_place(ref->mailbox, claimed), letter);
    *schedule = claimed & TRI_TAIL_IDLE;
    return 0;
}

/* ---- senders that wait for room: all under the lock [M6] ---------------------------------------------------- */

static struct tri_sender *pop_sender(struct tri_mailbox *mailbox)
{
    struct tri_sender *last = mailbox->last;
    if (!last)
        return NULL;
    struct tri_sender *first = last->next;
    if (first == last)
        mailbox->last = NULL;
    else
        last->next = first->next;
    return first;
}

static void push_sender(struct tri_mailbox *mailbox, struct tri_sender *sender)
{
    struct tri_sender *last = mailbox->last;
    sender->next = last ? last->next : sender;
    if (last)
        last->next = sender;
    mailbox->last = sender;
}

static bool remove_sender(struct tri_mailbox *mailbox, struct tri_sender *sender)
{
    struct tri_sender *last = mailbox->last;
    if (!last)
        return false;
    struct tri_sender *before = last;
    while (before->next != sender) {
        before = before->next;
        if (before == last)
            return false;
    }
    before->next = sender->next;
    if (before == sender)
        mailbox->last = NULL;
    else if (last == sender)
        mailbox->last = before;
    return true;
}

/* The sender may leave its frame as soon as done is set: read the task first. */
static void serve_sender(struct tri_sender *sender, int result)
{
    struct tri_task *task = sender->task;
    sender->result = result;
    if (sender->owed_by)
        tri_store(sender->owed_by, UINT64_C(0), TRI_RELAXED); /* [M6] read after another grant, or as a hint */
    if (sender->served) {
        sender->served(sender);
        return;
    }
    tri_store(&sender->done, 1u, TRI_RELEASE); /* [M7] */
    tri_wake(task);
}

static void clear_wait(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer)
{
    tri_store(&consumer->waiting, 0u, TRI_RELAXED);
    tri_fetch_and(&mailbox->tail, ~TRI_TAIL_WAIT, TRI_RELEASE); /* [M3] the list is empty */
}

/*
 * Hands room to waiting senders in order; the claim for the last one also clears WAIT. Returns whether the consumer must
 * be scheduled.
 */
static bool grant_locked(const struct tri_mailbox_ref *ref, struct tri_storage_cache *cache)
{
    struct tri_mailbox *mailbox = ref->mailbox;
    bool schedule = false;
    while (mailbox->last) {
        bool alone = mailbox->last->next == mailbox->last;
        uint64_t claimed = 0;
        int rc = claim(ref, cache, true, TRI_TAIL_IDLE | (alone ? TRI_TAIL_WAIT : 0), &claimed);
        if (rc == -EAGAIN)
            return schedule;
        struct tri_sender *sender = pop_sender(mailbox);
        if (rc == 0) {
            tri_mailbox_publish(claimed_place(mailbox, claimed), sender->letter);
            schedule |= (claimed & TRI_TAIL_IDLE) != 0;
        }
        if (alone && rc == 0)
            tri_store(&ref->consumer->waiting, 0u, TRI_RELAXED);
        else if (alone)
            clear_wait(mailbox, ref->consumer);
        serve_sender(sender, rc);
    }
    return schedule;
}

/*
 * Sets WAIT, provided that the mailbox is full and lives. Returns 0, a full fence after what came before; -EAGAIN (room
 * after all); -ESRCH.
 */
static int set_wait(const struct tri_mailbox_ref *ref)
{
    struct tri_mailbox *mailbox = ref->mailbox;
    uint64_t tail = tri_load(&mailbox->tail, TRI_ACQUIRE); /* [M3] */
    for (;;) {
        if (tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT != ref->generation || (tail & TRI_TAIL_CLOSED))
            return -ESRCH;
        if (tail & TRI_TAIL_WAIT) /* [M5] the lock passes on the fence of who has set it */
            return 0;
        if (!is_full(mailbox, &ref->consumer->head, tail, tri_load(&mailbox->capacity, TRI_RELAXED)))
            return -EAGAIN;
        if (tri_cas(&mailbox->tail, &tail, tail | TRI_TAIL_WAIT, TRI_ACQUIRE, TRI_ACQUIRE)) { /* [M3] */
            tri_fence_after_rmw();                                                            /* [M5] */
            return 0;
        }
    }
}

int tri_mailbox_wait_room(const struct tri_mailbox_ref *ref, struct tri_storage_cache *cache, struct tri_sender *sender,
                          bool *schedule)
{
    *schedule = false;
    tri_store(&sender->done, 0u, TRI_RELAXED);
    tri_lock(&ref->mailbox->lock);
    tri_store(&ref->consumer->waiting, 1u, TRI_RELAXED);
    int rc = set_wait(ref); /* [M5] between the store and the full test inside the grant */
    if (rc == 0) {
        push_sender(ref->mailbox, sender);
        *schedule = grant_locked(ref, cache);
    } else if (!ref->mailbox->last) {
        tri_store(&ref->consumer->waiting, 0u, TRI_RELAXED);
    }
    tri_unlock(&ref->mailbox->lock);
    return rc;
}

bool tri_mailbox_leave_queue(const struct tri_mailbox_ref *ref, struct tri_sender *sender)
{
    struct tri_mailbox *mailbox = ref->mailbox;
    tri_lock(&mailbox->lock);
    bool waited = remove_sender(mailbox, sender);
    if (waited && !mailbox->last)
        clear_wait(mailbox, ref->consumer);
    tri_unlock(&mailbox->lock);
    return waited;
}

void tri_mailbox_grant(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer,
                       struct tri_storage_cache *cache)
{
    /* Not the consumer's generation but whichever lives: those who wait here were validated when they queued. */
    TRI_ATOMIC(uint64_t) life;
    tri_store(&life, UINT64_C(0), TRI_RELAXED);
    struct tri_mailbox_ref ref = { mailbox, consumer, &life, 0 };
    tri_lock(&mailbox->lock);
    grant_locked(&ref, cache); /* nothing to schedule: the mailbox cannot be idle while WAIT is set */
    tri_unlock(&mailbox->lock);
}

bool tri_mailbox_serve_waiting(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer,
                               struct tri_storage_cache *cache)
{
    if (!(tri_load(&mailbox->tail, TRI_RELAXED) & TRI_TAIL_WAIT))
        return false;
    tri_mailbox_grant(mailbox, consumer, cache);
    return true;
}

int tri_mailbox_close(const struct tri_mailbox_ref *ref, bool *schedule)
{
    struct tri_mailbox *mailbox = ref->mailbox;
    uint64_t tail = tri_load(&mailbox->tail, TRI_ACQUIRE); /* [M3] */
    uint64_t next;
    *schedule = false;
    do {
        if (tri_load(ref->life, TRI_RELAXED) >> TRI_LIFE_SHIFT != ref->generation || (tail & TRI_TAIL_CLOSED))
            return -ESRCH;
        next = (tail | TRI_TAIL_CLOSED) & ~TRI_TAIL_IDLE;
    } while (!tri_cas(&mailbox->tail, &tail, next, TRI_ACQ_REL, TRI_ACQUIRE)); /* [M3] [M4] */
    *schedule = tail & TRI_TAIL_IDLE;
    /* Each gets -ESRCH. By now the record may be another's: those who wait for room there are not to be told of our end. */
    if (tail & TRI_TAIL_WAIT)
        tri_mailbox_grant(mailbox, ref->consumer, NULL);
    return 0;
}

/* ---- the consumer ------------------------------------------------------------------------------------------- */

/* The storage that a sender has installed, or NULL. */
static struct tri_storage *installed(struct tri_mailbox *mailbox)
{
    uint32_t index = tri_tail_storage(tri_load(&mailbox->tail, TRI_ACQUIRE)); /* [M3] */
    return index == 0 ? NULL : tri_storage_at(index);
}

enum tri_take tri_mailbox_take_locked(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer, void *message,
                                      uint32_t bytes, struct tri_debt *debt)
{
    uintptr_t stamp;
    struct tri_storage *storage = installed(mailbox); /* not noted: the note is not under the lock */
    struct tri_place *place = storage ? tri_mailbox_front(mailbox, consumer, storage, &stamp) : NULL;
    if (!place)
        return TRI_TAKE_EMPTY;
    *debt = tri_place_debt(place, stamp);
    tri_copy(message, place->message, bytes);
    bool waiting = tri_mailbox_pop(consumer, place);
    assert(!waiting);
    (void)waiting;
    return TRI_TAKE_MESSAGE;
}

enum tri_take tri_mailbox_take_shared(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer, void *message,
                                      uint32_t bytes, struct tri_debt *debt)
{
    if (!tri_mailbox_is_shared(consumer))
        return TRI_TAKE_EMPTY;
    tri_lock(&mailbox->lock); /* [M11] */
    enum tri_take taken = tri_mailbox_take_locked(mailbox, consumer, message, bytes, debt);
    tri_unlock(&mailbox->lock);
    return taken;
}

bool tri_mailbox_is_ready(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer)
{
    uintptr_t stamp;
    bool shared = tri_mailbox_is_shared(consumer);
    if (shared)
        tri_lock(&mailbox->lock); /* [M11] */
    struct tri_storage *storage = consumer->storage ? consumer->storage : installed(mailbox);
    bool ready = storage && tri_mailbox_front(mailbox, consumer, storage, &stamp);
    if (shared)
        tri_unlock(&mailbox->lock);
    return ready;
}

enum tri_idle tri_mailbox_idle_slow(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer,
                                    struct tri_storage_cache *cache)
{
    uint64_t tail = tri_load(&mailbox->tail, TRI_ACQUIRE); /* [M3] [M9] */
    if (tail & TRI_TAIL_WAIT)
        tri_mailbox_grant(mailbox, consumer, cache);
    else if ((tail & TRI_TAIL_CLOSED) && tri_tail_used(tail, tri_load(&consumer->head, TRI_RELAXED)) == 0)
        return TRI_IDLE_DRAINED;
    return TRI_IDLE_RETRY;
}

void tri_mailbox_unidle(struct tri_mailbox *mailbox)
{
    tri_fetch_and(&mailbox->tail, ~TRI_TAIL_IDLE, TRI_RELAXED); /* [M3] goes on; nothing is passed by it */
}

bool tri_mailbox_is_drained(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer)
{
    uint64_t tail = tri_load(&mailbox->tail, TRI_ACQUIRE); /* [M9] */
    return (tail & TRI_TAIL_CLOSED) && tri_tail_used(tail, tri_load(&consumer->head, TRI_RELAXED)) == 0;
}

void tri_mailbox_finish(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer,
                        struct tri_storage_cache *cache)
{
    if (tri_load(&consumer->policy, TRI_RELAXED) != TR_OVERFLOW_WAIT) { /* [M11] who decides a fate has done so */
        tri_lock(&mailbox->lock);
        tri_unlock(&mailbox->lock);
    }
    uint64_t tail = tri_load(&mailbox->tail, TRI_RELAXED); /* as the consumer found it drained: it moves no more */
    assert(tail & TRI_TAIL_CLOSED && !(tail & TRI_TAIL_WAIT));
    assert(tri_tail_used(tail, tri_load(&consumer->head, TRI_RELAXED)) == 0);
    if (tri_tail_storage(tail) != 0) {
        /*
         * Nor is it found again: the actor may still try to receive, in the callbacks of its end. Nothing is passed by this: who
         * sends finds CLOSED, which was set before.
         */
        tri_fetch_and(&mailbox->tail, ~TRI_TAIL_STORAGE_MASK, TRI_RELAXED);
        tri_storage_give(cache, tri_storage_at(tri_tail_storage(tail)));
    }
    consumer->storage = NULL;
}

uint32_t tri_mailbox_length(struct tri_mailbox *mailbox, struct tri_mailbox_consumer *consumer)
{
    uint64_t head = tri_load(&consumer->head, TRI_RELAXED);
    uint64_t length = tri_tail_used(tri_load(&mailbox->tail, TRI_RELAXED), head);
    uint32_t capacity = tri_load(&mailbox->capacity, TRI_RELAXED);
    return length < capacity ? (uint32_t)length : capacity;
}
