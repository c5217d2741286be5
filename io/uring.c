/* SPDX-License-Identifier: MIT */
/*
 * uring.c: the io_uring backend.
 *
 * Operations are put into the submission queue as they come and reach the kernel together, at the next poll: one
 * system call submits all and runs what has completed (the ring is made with DEFER_TASKRUN, so nothing completes, and
 * nothing interrupts the worker, at any other time). A poll that need not wait looks at shared memory first and enters the
 * kernel only if there is something to submit, or the kernel says that it has work to run.
 *
 * Each operation ends with its completion. A cancel request is an entry of its own with a completion of its own, which
 * may come before or after that of its target; the operation is over when both are in. So no completion can name a
 * record that is gone, and a cancel cannot hit a later operation at the same address.
 *
 * When the submission queue is full even after a submission, operations wait in a backlog.
 *
 * The kernel adds the peer's end of stream to whatever a poll waits for, its own polls included. A send would therefore never
 * wait for room beside a peer that has shut down its side, but go to a thread of the kernel for as long as it takes; so sends
 * do not wait in the kernel, but op.c has them polled for. A poll that ends with nothing but that goes on as a multishot one,
 * which tells it once and then waits for news.
 *
 * Kept to what liburing 2.3 has. Entering the kernel is done here and not by liburing, whose waits of that age know neither
 * absolute times nor the patience of gather.h.
 */
#include "io/backend.h"
#include "io/clock.h"
#include "io/gather.h"
#include "io/ring.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of Linux 6.12 and, the second line, 6.15: liburing's header may not have them. */
enum { FEAT_MIN_TIMEOUT = 1 << 15, ENTER_ABS_TIMER = 1 << 5 };
enum { FEAT_NO_IOWAIT = 1 << 17, ENTER_NO_IOWAIT = 1 << 7 };

#define PAUSE_NS (50 * TR_MICROSECOND)
#define SHORT_SEND 16384u  /* hardly ever taken in part */
#define CAUTIOUS 64u       /* sends after one that was */
#define PATIENCE_US 20000u /* of a wait for several; more than a tick, for less takes a hardware timer */

/* What a completion belongs to: in the low bits of user_data, above the operation's address. */
enum tag { TAG_OPERATION = 0, TAG_CANCEL = 1, TAG_WAKE = 2, TAG_GUARD = 3, TAG_MASK = 3 };

/* op->phase */
enum {
    SUBMITTED = 1,     /* has been put into the submission queue */
    CANCEL_WANTED = 2, /* to be withdrawn */
    BACKLOG = 4,       /* waits for room in the submission queue */
    RETURNED = 8,      /* its own completion is in, op->result holds it */
    MULTISHOT = 16,    /* a poll beside an end of stream */
    MET = 32,          /* a multishot poll has what it waits for, in op->result, and is being withdrawn */
};

struct uring {
    struct tri_reactor reactor;
    struct io_uring ring;
    unsigned enter_flags; /* of every io_uring_enter */
    bool wake_armed;
    bool urgent; /* an entry is queued that must not wait: any but one that has time, or a receive that has to wait */
    unsigned unhurried;  /* short sends that are queued and have time */
    unsigned cautious;   /* so many to come do not count as such: one was taken in part */
    bool has_poll_first; /* Linux 5.19 */
    bool has_patience; /* Linux 6.12: a wait takes an absolute time, and can ask for several completions for a while */
    tr_time entered;   /* the kernel, last */
    int event_fd;      /* written to by the kernel when there is something to reap; -1: nobody watches */
    struct tri_gather gather;
    struct tri_io_op *backlog, **backlog_end;
};

static struct uring *uring_of(struct tri_reactor *reactor)
{
    return (struct uring *)reactor;
}

/* ---- Entering the kernel ---- */

/* By itself, by the next poll or once completions are reaped. */
static bool passes(int rc)
{
    return rc >= 0 || rc == -EINTR || rc == -ETIME || rc == -EAGAIN || rc == -EBUSY || rc == -ENOMEM;
}

/*
 * What an enter may fail with passes. Anything else means that completions are lost (-EBADR: the kernel had no memory to keep
 * them) or that we use the ring wrongly: tasks would wait for ever.
 */
static void check_enter(int rc)
{
    if (passes(rc))
        return;
    tr_log(TR_LOG_ERROR, "io_uring_enter failed: %s; completions are lost, the program cannot go on", strerror(-rc));
    abort();
}

/* Shows the kernel the entries that were filled. Returns how many it has not taken yet. */
static unsigned publish_entries(struct io_uring_sq *queue)
{
    if (queue->sqe_head != queue->sqe_tail) {
        queue->sqe_head = queue->sqe_tail;
        io_uring_smp_store_release(queue->ktail, queue->sqe_tail);
    }
    return queue->sqe_tail - io_uring_smp_load_acquire(queue->khead);
}

static int enter_kernel(struct uring *uring, unsigned wanted, unsigned flags, void *argument, size_t bytes)
{
    tri_reactor_count_enter(&uring->reactor);
    uring->urgent = false;
    uring->unhurried = 0;
    if (tri_load(&uring->reactor.hurry, TRI_ACQUIRE))         /* [I5] */
        tri_store(&uring->reactor.hurry, false, TRI_RELAXED); /* all that was asked for before goes out now */
    return io_uring_enter2((unsigned)uring->ring.enter_ring_fd, publish_entries(&uring->ring.sq), wanted,
                           flags | uring->enter_flags, argument, bytes);
}

static void enter(struct uring *uring, tr_time now)
{
    uring->entered = now;
    check_enter(enter_kernel(uring, 0, IORING_ENTER_GETEVENTS, NULL, _NSIG / 8));
}

/* struct io_uring_getevents_arg, with the field that Linux 6.12 has added. */
struct wait_argument {
    uint64_t mask;
    uint32_t mask_bytes, patience_us;
    uint64_t until;
};

/* Before Linux 6.12 a wait takes a span, and so needs the clock. Returns the flags. */
static unsigned fill_limit(const struct uring *uring, tr_time until, struct __kernel_timespec *limit)
{
    tr_time time = until;
    if (!uring->has_patience)
        time = until > tri_clock_real() ? until - tri_clock_real() : 0;
    limit->tv_sec = time / TR_SECOND;
    limit->tv_nsec = time % TR_SECOND;
    return uring->has_patience ? ENTER_ABS_TIMER : 0;
}

/*
 * Sends that go out with this enter, and that nobody waits for: they complete at once (MSG_DONTWAIT), so that the wait is for so
 * many completions more; with patience, for one that was taken in part must go on.
 */
static unsigned at_once(const struct uring *uring)
{
    return uring->has_patience && !tri_load(&uring->reactor.hurry, TRI_RELAXED) ? uring->unhurried : 0;
}

/*
 * For so long, us, a wait is for all that was asked for; then one will do. It is for what should not happen: a send that was
 * taken in part, a guard that ended before the kernel began to wait. The kernel would keep to it even beyond `until`.
 */
static unsigned patience(unsigned wanted, tr_time left)
{
    if (wanted <= 1 || left >= PATIENCE_US * TR_MICROSECOND)
        return wanted > 1 ? PATIENCE_US : 0;
    return left > TR_MICROSECOND ? (unsigned)(left / TR_MICROSECOND) : 1;
}

/* The kernel ends any wait with a timeout, whatever its count. This one's time begins behind all that is queued. */
static void set_guard(struct uring *uring)
{
    static struct __kernel_timespec span = { .tv_nsec = TRI_GATHER_GUARD };
    struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring);
    if (entry) {
        io_uring_prep_timeout(entry, &span, 0, 0);
        io_uring_sqe_set_data64(entry, TAG_GUARD);
        uring->gather.guarded = true;
    } else {
        uring->gather.count = 1;
    }
}

/* A signal ends the wait with -EINTR or the count of entries submitted. Returns how many completions are those of sends. */
static unsigned enter_and_wait(struct uring *uring, tr_time until)
{
    struct __kernel_timespec limit;
    struct wait_argument argument = { .mask_bytes = _NSIG / 8 };
    struct tri_gather *gather = &uring->gather;
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, sends = 0;
    tr_time now = 0;
    if (uring->has_patience) {
        now = tri_clock_real();
        tri_gather_begin(gather, now, uring->reactor.in_flight - uring->unhurried, io_uring_sq_ready(&uring->ring));
        if (gather->count > 1 && !gather->guarded)
            set_guard(uring);
    }
    int rc;
    for (;;) {
        unsigned more = at_once(uring);
        sends += more;
        argument.patience_us = patience(gather->count + more, until - now);
        if (until != TR_FOREVER) {
            flags |= fill_limit(uring, until, &limit);
            argument.until = (uintptr_t)&limit;
        }
        rc = enter_kernel(uring, gather->count + more, flags, &argument, sizeof argument);
        if (rc != -EINTR && (rc < 0 || io_uring_cq_ready(&uring->ring)))
            break;
        gather->count = 1; /* the guard may have ended meanwhile */
    }
    check_enter(rc);
    uring->entered = tri_clock_real();
    return sends;
}

/* ---- The submission queue ---- */

/* An entry to fill, or NULL if the queue is full and the kernel takes nothing more at present. */
static struct io_uring_sqe *next_entry(struct uring *uring)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring);
    if (entry)
        return entry;
    /* An error leaves the queue full: the backlog's case, and the next poll's. */
    enter_kernel(uring, 0, 0, NULL, _NSIG / 8);
    return io_uring_get_sqe(&uring->ring);
}

/* A send that has time: it will complete at once, for sure if it is short and there is room. */
static void count_unhurried(struct uring *uring, const struct tri_io_op *op)
{
    if (op->kind != TRI_IO_SEND || op->buffer.bytes > SHORT_SEND)
        return;
    if (uring->cautious > 0)
        uring->cautious--;
    else
        uring->unhurried++;
}

static void fill(struct uring *uring, struct io_uring_sqe *entry, struct tri_io_op *op)
{
    bool poll_first = op->kind == TRI_IO_RECEIVE && op->wait_first && uring->has_poll_first;
    bool has_time = tri_io_has_time(op);
    uring->urgent |= !poll_first && !has_time;
    if (has_time)
        count_unhurried(uring, op);
    switch (op->kind) {
    case TRI_IO_ACCEPT:
        io_uring_prep_accept(entry, op->fd, NULL, NULL, op->flags);
        break;
    case TRI_IO_CONNECT:
        io_uring_prep_connect(entry, op->fd, op->address.name, op->address.bytes);
        break;
    case TRI_IO_RECEIVE:
        io_uring_prep_recv(entry, op->fd, op->buffer.start, op->buffer.bytes, op->flags);
        if (poll_first)
            entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
        break;
    case TRI_IO_SEND:
        io_uring_prep_send(entry, op->fd, op->buffer.start, op->buffer.bytes, op->flags | MSG_DONTWAIT);
        break;
    case TRI_IO_SEND_MSG:
        io_uring_prep_sendmsg(entry, op->fd, op->message, (unsigned)op->flags | MSG_DONTWAIT);
        break;
    case TRI_IO_POLL:
        io_uring_prep_poll_add(entry, op->fd, op->events);
        if (op->phase & MULTISHOT)
            entry->len = IORING_POLL_ADD_MULTI;
        break;
    }
    io_uring_sqe_set_data64(entry, (uintptr_t)op | TAG_OPERATION);
    op->phase |= SUBMITTED;
    op->pending++;
}

static void fill_cancel(struct uring *uring, struct io_uring_sqe *entry, struct tri_io_op *op)
{
    uring->urgent = true;
    io_uring_prep_cancel64(entry, (uintptr_t)op | TAG_OPERATION, 0);
    io_uring_sqe_set_data64(entry, (uintptr_t)op | TAG_CANCEL);
    op->pending++;
}

static void join_backlog(struct uring *uring, struct tri_io_op *op)
{
    assert(!(op->phase & BACKLOG));
    op->phase |= BACKLOG;
    op->next = NULL;
    *uring->backlog_end = op;
    uring->backlog_end = &op->next;
}

static bool submit(struct tri_reactor *reactor, struct tri_io_op *op)
{
    struct uring *uring = uring_of(reactor);
    struct io_uring_sqe *entry = uring->backlog ? NULL : next_entry(uring);
    if (entry)
        fill(uring, entry, op);
    else
        join_backlog(uring, op);
    return false;
}

static void cancel(struct tri_reactor *reactor, struct tri_io_op *op)
{
    struct uring *uring = uring_of(reactor);
    op->phase |= CANCEL_WANTED;
    if (op->phase & (BACKLOG | RETURNED | MET))
        return; /* the backlog sees to it, there is nothing left to withdraw, or it is being withdrawn */
    struct io_uring_sqe *entry = uring->backlog ? NULL : next_entry(uring);
    if (entry)
        fill_cancel(uring, entry, op);
    else
        join_backlog(uring, op);
}

/* The operation has ended once nothing in the kernel or in the backlog speaks of it any more. */
static void complete_if_over(struct uring *uring, struct tri_io_op *op)
{
    if (op->pending == 0 && op->phase & RETURNED && !(op->phase & BACKLOG))
        tri_io_complete(&uring->reactor, op, op->result);
}

static void drain_backlog(struct uring *uring)
{
    while (uring->backlog) {
        struct io_uring_sqe *entry = next_entry(uring);
        if (!entry)
            return;
        struct tri_io_op *op = uring->backlog;
        uring->backlog = op->next;
        if (!uring->backlog)
            uring->backlog_end = &uring->backlog;
        op->phase &= (uint8_t)~BACKLOG;
        io_uring_prep_nop(entry); /* an entry that was taken goes out: harmless if nothing below needs it */
        io_uring_sqe_set_data64(entry, TAG_CANCEL);
        if (op->phase & RETURNED) {
            complete_if_over(uring, op);
        } else if (op->phase & SUBMITTED) {
            fill_cancel(uring, entry, op);
        } else if (op->phase & CANCEL_WANTED) {
            tri_io_complete(&uring->reactor, op, -ECANCELED);
        } else {
            fill(uring, entry, op);
        }
    }
}

/* ---- The wake-up ---- */

/* A poll on the eventfd that stays armed. The kernel can end it (completion queue full), then it is armed again. */
static void arm_wake(struct uring *uring)
{
    if (uring->wake_armed || uring->event_fd >= 0) /* who watches looks at the wake_fd itself */
        return;
    struct io_uring_sqe *entry = next_entry(uring);
    if (!entry)
        return; /* tried again at the next poll */
    io_uring_prep_poll_multishot(entry, uring->reactor.wake_fd, POLLIN);
    io_uring_sqe_set_data64(entry, TAG_WAKE);
    uring->wake_armed = uring->urgent = true;
}

static void take_wake(struct uring *uring, const struct io_uring_cqe *completion)
{
    uint64_t count;
    ssize_t ignored = read(uring->reactor.wake_fd, &count, sizeof count); /* -EAGAIN: an earlier one took it */
    (void)ignored;
    tri_gather_woken(&uring->gather);
    if (!(completion->flags & IORING_CQE_F_MORE))
        uring->wake_armed = false;
}

/* ---- The completion queue ---- */

/*
 * A poll has a completion: false if it is the last one and ends it. One that tells no more than the peer's end of stream
 * does not. `more`: others will follow.
 */
static bool poll_goes_on(struct uring *uring, struct tri_io_op *op, int result, bool more)
{
    bool met = result < 0 || (unsigned)result & (op->events | POLLERR | POLLHUP | POLLNVAL);
    if (op->phase & MET)
        return more;
    if (!more && (met || op->phase & CANCEL_WANTED))
        return false;
    if (!more) {
        op->pending--;
        op->phase = (uint8_t)((op->phase & ~SUBMITTED) | MULTISHOT);
        join_backlog(uring, op);
    } else if (met) {
        op->result = result;
        op->phase |= MET;
        if (!(op->phase & (CANCEL_WANTED | BACKLOG)))
            join_backlog(uring, op); /* to be withdrawn */
    }
    return true;
}

static void take_operation(struct uring *uring, struct tri_io_op *op, int result, bool more)
{
    if (op->kind == TRI_IO_POLL && poll_goes_on(uring, op, result, more))
        return;
    /* With nothing but the end of stream it was withdrawn, or it would have gone on. */
    if (op->phase & MET)
        result = op->result;
    else if (op->kind == TRI_IO_POLL && result == POLLRDHUP)
        result = -ECANCELED;
    uring->gather.arrivals += op->kind == TRI_IO_RECEIVE; /* a send has not waited for anybody */
    if (op->goes_on && op->kind == TRI_IO_SEND && result < (int)op->buffer.bytes && (result >= 0 || result == -EAGAIN))
        uring->cautious = CAUTIOUS;
    op->result = result;
    op->phase |= RETURNED;
    op->pending--;
    complete_if_over(uring, op);
}

static void take_cancel(struct uring *uring, struct tri_io_op *op, int result)
{
    if (!op)
        return;
    op->pending--;
    /* Not found, yet not completed: it was on its way through the kernel, and may wait there again. Ask again. */
    if (result == -ENOENT && !(op->phase & RETURNED))
        join_backlog(uring, op);
    complete_if_over(uring, op);
}

static void take(struct uring *uring, const struct io_uring_cqe *completion)
{
    uint64_t data = completion->user_data;
    struct tri_io_op *op = (struct tri_io_op *)(uintptr_t)(data & ~(uint64_t)TAG_MASK);
    switch ((enum tag)(data & TAG_MASK)) {
    case TAG_OPERATION:
        take_operation(uring, op, completion->res, completion->flags & IORING_CQE_F_MORE);
        break;
    case TAG_CANCEL:
        take_cancel(uring, op, completion->res);
        break;
    case TAG_WAKE:
        take_wake(uring, completion);
        break;
    case TAG_GUARD:
        uring->gather.guarded = false;
        break;
    }
}

static unsigned flags_of(const struct uring *uring)
{
    return IO_URING_READ_ONCE(*uring->ring.sq.kflags);
}

static unsigned reap(struct uring *uring)
{
    unsigned head, count = 0;
    struct io_uring_cqe *completion;
    io_uring_for_each_cqe(&uring->ring, head, completion)
    {
        take(uring, completion);
        count++;
    }
    io_uring_cq_advance(&uring->ring, count);
    return count;
}

static void wait_and_reap(struct uring *uring, tr_time until)
{
    unsigned others = enter_and_wait(uring, until);
    bool guarded = uring->gather.guarded;
    unsigned count = reap(uring);
    bool ended = guarded && !uring->gather.guarded;
    others += ended;
    tri_gather_end(&uring->gather, uring->entered, count > others ? count - others : 0, ended);
}

/* ---- Polling ---- */

/*
 * A poll that does not wait comes between tasks that are ready, often a few microseconds after the wait that made them so.
 * Under load what they have for the kernel, and it for them, is left to gather a while; and so are, at any time, receives
 * for which there will be nothing yet, if there is nothing else.
 */
static void enter_if_due(struct uring *uring, bool full)
{
    tr_time now = 0; /* nobody asks when it was, then */
    bool urgent = uring->urgent || tri_load(&uring->reactor.hurry, TRI_RELAXED) ||
                  flags_of(uring) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
    if ((uring->gather.wanted > 1 || !urgent) && !full) {
        now = tri_clock_real();
        if (now - uring->entered < PAUSE_NS)
            return;
    }
    enter(uring, now);
}

/* What is written from here on is for the next watch. */
static void take_events(struct uring *uring)
{
    uint64_t count;
    ssize_t ignored = read(uring->event_fd, &count, sizeof count); /* -EAGAIN: nothing has happened */
    (void)ignored;
}

static void poll_ring(struct tri_reactor *reactor, tr_time until)
{
    struct uring *uring = uring_of(reactor);
    uint64_t before = reactor->completions;
    if (reactor->watched)
        take_events(uring);
    drain_backlog(uring);
    arm_wake(uring);
    bool full = uring->backlog || !(uring->wake_armed || uring->event_fd >= 0);
    if (reactor->completions != before || full || io_uring_cq_ready(&uring->ring))
        until = TR_NOW; /* there is something to report, or the kernel takes no more, perhaps not even the wake-up */
    if (until > TR_NOW) {
        wait_and_reap(uring, until);
    } else {
        if (io_uring_sq_ready(&uring->ring) || flags_of(uring) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
            enter_if_due(uring, full);
        reap(uring);
    }
    /* Completions that the kernel kept aside for want of room come now that there is some. */
    for (int i = 0; i < 8 && flags_of(uring) & IORING_SQ_CQ_OVERFLOW; i++) {
        enter(uring, uring->entered);
        reap(uring);
    }
}

static int watch_ring(struct tri_reactor *reactor)
{
    struct uring *uring = uring_of(reactor);
    if (uring->event_fd < 0) {
        int fd = tri_ring_event_fd(&uring->ring);
        if (fd < 0)
            return fd;
        uring->event_fd = fd;
    }
    drain_backlog(uring);
    if (io_uring_sq_ready(&uring->ring))
        enter(uring, uring->entered);
    /* An enter does so much of what is due and no more, and does not signal again what is left. */
    bool left = io_uring_cq_ready(&uring->ring) || flags_of(uring) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
    return uring->backlog || left ? -EAGAIN : uring->event_fd;
}

/* ---- From beginning to end ---- */

static void destroy(struct tri_reactor *reactor)
{
    struct uring *uring = uring_of(reactor);
    tri_ring_end(&uring->ring);
    if (uring->event_fd >= 0)
        close(uring->event_fd);
    free(uring);
}

static int create(struct tri_reactor **out, int wake_fd, char *note, size_t note_bytes)
{
    struct uring *uring = aligned_alloc(alignof(struct uring), sizeof *uring);
    if (!uring)
        return -ENOMEM;
    memset(uring, 0, sizeof *uring);
    const char *names;
    int rc = tri_ring_make(&uring->ring, &names);
    if (rc < 0) {
        free(uring);
        return rc;
    }
    /* All three save or guard something, and none is needed. A worker without work is idle, and not waiting for a disk. */
    if (io_uring_register_ring_fd(&uring->ring) == 1)
        uring->enter_flags = IORING_ENTER_REGISTERED_RING;
    if (uring->ring.features & FEAT_NO_IOWAIT)
        uring->enter_flags |= ENTER_NO_IOWAIT;
    io_uring_ring_dontfork(&uring->ring);
    uring->has_poll_first = uring->ring.flags & IORING_SETUP_COOP_TASKRUN; /* came with the same kernel */
    uring->backlog_end = &uring->backlog;
    uring->event_fd = -1;
    uring->reactor.wake_fd = wake_fd;
    uring->has_patience = uring->ring.features & FEAT_MIN_TIMEOUT;
    tri_gather_init(&uring->gather, tri_clock_real());
    /* A filter of system calls may let us make a ring and not use it. */
    rc = enter_kernel(uring, 0, IORING_ENTER_GETEVENTS, NULL, _NSIG / 8);
    if (!passes(rc)) {
        destroy(&uring->reactor);
        return rc;
    }
    snprintf(note, note_bytes, "; %s", names);
    *out = &uring->reactor;
    return 0;
}

const struct tri_backend tri_backend_uring = {
    .name = "uring",
    .kind = TR_BACKEND_URING,
    .create = create,
    .destroy = destroy,
    .submit = submit,
    .cancel = cancel,
    .watch = watch_ring,
    .poll = poll_ring,
};
