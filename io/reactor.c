/* SPDX-License-Identifier: MIT */
/*
 * reactor.c: what is the same for every backend: choosing one, waking a worker that waits, taking cancel requests from
 * other threads, and ending an operation.
 *
 * Happens-before edges:
 *   [I1] the end of an operation: its result, and the owner's last look at the record -> release of op->state by the
 *        owner (ENDED set, or POSTED cleared) -> acquire load of op->state by the task -> the task reads the result and
 *        leaves the frame.
 *   [I2] a cancel request: the task's fields of the record -> release push on reactor->cancels -> acquire exchange by
 *        the owner. POSTED is set before the push, so an owner that completes the operation leaves the record alone.
 *   [I3] waking: what the waker published -> read-modify-write of reactor->sleep (WAKE) -> read-modify-write of
 *        reactor->sleep by the owner, before it waits or after it has waited -> the owner looks at its queues.
 *        Both sides use a read-modify-write of one word, so one of them comes first, whatever their orders: either the
 *        owner finds WAKE and does not wait, or the waker finds ASLEEP and writes to the eventfd. Only a waker that found
 *        ASLEEP makes a system call. Release and acquire pass on what the owner was woken for.
 *   [I4] a task comes to wait for an operation that was started without one: its record's `task` -> AWAITED set by a
 *        read-modify-write of op->state (release) -> acquire load by the owner, whose compare-and-swap of the same word then sets
 *        ENDED. One of the two comes first: either the owner finds AWAITED and wakes the task, or the task finds ENDED.
 *   [I5] hurry: AWAITED -> release of reactor->hurry -> acquire by the owner, which takes it back as it enters the kernel and
 *        then sees AWAITED of whatever it submits later. An owner that has missed it as it went to wait finds WAKE, or its wait
 *        is ended: [I3].
 *
 *              owner: poll that waits
 *        AWAKE ----------------------> ASLEEP
 *        ^ |                             |
 *        | | wake: no system call        | wake: writes the eventfd
 *        | v                             |
 *        WAKE <--------------------------+
 *          owner: consumed before or after a wait -> AWAKE
 */
#include "io/backend.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum tri_sleep { AWAKE, ASLEEP, WAKE };

#define CALM_BATCH 2u /* completions at a time, up to which a system call for each is no dearer than a batch */

/* ---- Choosing a backend ---- */

/* What has been logged already: each choice is said once in a process, later workers say it at debug level. */
enum { SAID_URING = 1, SAID_EPOLL = 2, SAID_FALLBACK = 4 };
static TRI_ATOMIC(unsigned) said;

static enum tr_log_level once(unsigned what, enum tr_log_level level)
{
    return tri_fetch_or(&said, what, TRI_RELAXED) & what ? TR_LOG_DEBUG : level;
}

/* What keeps io_uring from working, and what to do about it. */
static const char *explain(int error)
{
    switch (-error) {
    case EPERM:
    case EACCES:
        return "it is denied: allow the io_uring_setup, io_uring_enter and io_uring_register system calls in the "
               "container's seccomp profile, and see sysctl kernel.io_uring_disabled";
    case ENOSYS:
        return "this kernel has none, or a seccomp profile hides it: Linux 6.1 or newer is wanted";
    case EINVAL:
    case EOPNOTSUPP:
        return "this kernel's is too old: Linux 6.1 or newer is wanted";
    case ENOMEM:
        return "there is no memory for a ring: see RLIMIT_MEMLOCK and the memory limit of the cgroup";
    default:
        return "a ring could not be made";
    }
}

static int make(const struct tri_backend *backend, struct tri_reactor **out, char *note, size_t note_bytes)
{
    int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0)
        return -errno;
    int rc = backend->create(out, wake_fd, note, note_bytes);
    if (rc < 0) {
        close(wake_fd);
        return rc;
    }
    struct tri_reactor *reactor = *out;
    reactor->backend = backend;
    reactor->wake_fd = wake_fd;
    return 0;
}

/* The backend that was asked for, and in *by who asked; NULL: nobody did. */
static int asked(enum tr_backend kind, const struct tri_backend **backend, const char **by)
{
    *by = "asked for by the program";
    *backend = NULL;
    switch (kind) {
    case TR_BACKEND_URING:
        *backend = &tri_backend_uring;
        return 0;
    case TR_BACKEND_EPOLL:
        *backend = &tri_backend_epoll;
        return 0;
    case TR_BACKEND_DEFAULT:
        break;
    }
    const char *name = getenv("TR_BACKEND");
    if (!name || !*name)
        return 0;
    *by = "asked for by TR_BACKEND";
    if (!strcmp(name, tri_backend_uring.name) || !strcmp(name, "io_uring"))
        *backend = &tri_backend_uring;
    else if (!strcmp(name, tri_backend_epoll.name))
        *backend = &tri_backend_epoll;
    if (*backend)
        return 0;
    tr_log(TR_LOG_ERROR, "I/O backend: TR_BACKEND=%s is unknown; it can be uring or epoll", name);
    return -EINVAL;
}

static int create_asked(struct tri_reactor **out, const struct tri_backend *backend, const char *by)
{
    char note[128] = "";
    int rc = make(backend, out, note, sizeof note);
    bool uring = backend == &tri_backend_uring;
    if (rc == 0)
        tr_log(once(uring ? SAID_URING : SAID_EPOLL, TR_LOG_INFO), "I/O backend: %s (%s%s)", backend->name, by, note);
    else
        tr_log(TR_LOG_ERROR, "I/O backend: %s, %s, cannot be had: %s%s%s", backend->name, by, strerror(-rc),
               uring ? "; " : "", uring ? explain(rc) : "");
    return rc;
}

static int create_best(struct tri_reactor **out)
{
    char note[128] = "";
    int rc = make(&tri_backend_uring, out, note, sizeof note);
    if (rc == 0) {
        tr_log(once(SAID_URING, TR_LOG_INFO), "I/O backend: uring%s", *note ? note + 1 : note);
        return 0;
    }
    int error = rc;
    rc = make(&tri_backend_epoll, out, note, sizeof note);
    if (rc == 0)
        tr_log(once(SAID_FALLBACK, TR_LOG_WARNING),
               "I/O backend: epoll takes over, for io_uring cannot be used (%s): %s. TR_BACKEND=epoll makes this "
               "the choice and silences the warning",
               strerror(-error), explain(error));
    else
        tr_log(TR_LOG_ERROR, "I/O backend: neither io_uring (%s: %s) nor epoll (%s) can be used", strerror(-error),
               explain(error), strerror(-rc));
    return rc;
}

int tri_reactor_create(struct tri_reactor **out, enum tr_backend *kind)
{
    const struct tri_backend *backend;
    const char *by;
    int rc = asked(*kind, &backend, &by);
    if (rc == 0)
        rc = backend ? create_asked(out, backend, by) : create_best(out);
    if (rc == 0)
        *kind = (*out)->backend->kind;
    return rc;
}

void tri_reactor_destroy(struct tri_reactor *reactor)
{
    assert(reactor->in_flight == reactor->unattended);
    if (reactor->unattended > 0)
        tr_log(TR_LOG_ERROR,
               "%u started writes were neither finished nor their streams closed before the runtime's end",
               reactor->unattended);
    assert(!tri_load(&reactor->cancels, TRI_RELAXED));
    int wake_fd = reactor->wake_fd;
    reactor->backend->destroy(reactor);
    close(wake_fd);
}

/* ---- Waking ---- */

void tri_reactor_wake(struct tri_reactor *reactor)
{
    if (tri_exchange(&reactor->sleep, WAKE, TRI_RELEASE) != ASLEEP) /* [I3] publishes what the caller did before */
        return;
    uint64_t one = 1;
    ssize_t written;
    do
        written = write(reactor->wake_fd, &one, sizeof one);
    while (written < 0 && errno == EINTR);
    assert(written == sizeof one);
}

/* True if the owner may wait: nobody has woken it since its last wait. */
static bool fall_asleep(struct tri_reactor *reactor)
{
    unsigned found = AWAKE;
    if (tri_cas(&reactor->sleep, &found, ASLEEP, TRI_RELAXED, TRI_RELAXED)) /* [I3] */
        return true;
    assert(found == WAKE);
    tri_exchange(&reactor->sleep, AWAKE, TRI_ACQUIRE); /* [I3] takes the wake, and what came before it */
    return false;
}

static void wake_up(struct tri_reactor *reactor)
{
    tri_exchange(&reactor->sleep, AWAKE, TRI_ACQUIRE); /* [I3] takes a wake, if that is what ended the wait */
}

/* ---- The life of an operation ---- */

/* Hands its next step to the backend, and those after it that end at once. True: it has ended. */
static bool submit(struct tri_reactor *reactor, struct tri_io_op *op)
{
    do {
        op->phase = 0;
        op->pending = 0;
        if (!reactor->backend->submit(reactor, op))
            return false;
    } while (op->goes_on && op->goes_on(op));
    return true;
}

static void end(struct tri_reactor *reactor, const struct tri_io_op *op)
{
    assert(reactor->in_flight > 0);
    reactor->in_flight--;
    reactor->unattended -= op->goes_on != NULL;
    reactor->completions++;
}

void tri_io_start(struct tri_io_op *op, struct tri_reactor *reactor, struct tri_task *task)
{
    op->task = task;
    op->reactor = reactor;
    op->withdrawn = false;
    unsigned state = task ? TRI_IO_AWAITED : TRI_IO_STARTED;
    tri_store(&op->state, state, TRI_RELAXED); /* the task's own until it is submitted */
    reactor->in_flight++;
    reactor->unattended += op->goes_on != NULL;
    if (submit(reactor, op)) {
        end(reactor, op);
        tri_store(&op->state, state | TRI_IO_ENDED, TRI_RELAXED); /* the task is the caller, and needs no wake */
    }
}

void tri_io_await(struct tri_io_op *op, struct tri_task *task)
{
    op->task = task;
    if (tri_fetch_or(&op->state, TRI_IO_AWAITED, TRI_RELEASE) & TRI_IO_ENDED) /* [I4] publishes task */
        return;
    struct tri_reactor *reactor = op->reactor;
    tri_reactor_hurry(reactor);
    if (reactor != tri_reactor_here())
        tri_reactor_wake(reactor); /* it may have been submitted, and its end not have been looked at */
}

bool tri_io_ended(const struct tri_io_op *op)
{
    return (tri_load(&op->state, TRI_ACQUIRE) & (TRI_IO_ENDED | TRI_IO_POSTED)) == TRI_IO_ENDED; /* [I1] */
}

void tri_io_complete(struct tri_reactor *reactor, struct tri_io_op *op, int result)
{
    op->result = result;
    if (op->goes_on && op->goes_on(op) && !submit(reactor, op))
        return;
    end(reactor, op);
    unsigned state = tri_load(&op->state, TRI_ACQUIRE); /* [I4] */
    struct tri_task *task; /* the record is the task's, and may be gone, once the state says so */
    do
        task = state & TRI_IO_AWAITED ? op->task : NULL;
    while (!tri_cas(&op->state, &state, state | TRI_IO_ENDED, TRI_RELEASE, TRI_ACQUIRE)); /* [I1] publishes result */
    if (task && !(state & TRI_IO_POSTED))
        tri_wake(task);
}

/* By the owner. */
static void withdraw(struct tri_reactor *reactor, struct tri_io_op *op)
{
    op->withdrawn = true;
    reactor->backend->cancel(reactor, op);
}

void tri_io_cancel(struct tri_io_op *op)
{
    struct tri_reactor *reactor = op->reactor;
    if (reactor == tri_reactor_here()) {
        if (!tri_io_ended(op))
            withdraw(reactor, op);
        return;
    }
    unsigned state = TRI_IO_AWAITED;
    if (!tri_cas(&op->state, &state, TRI_IO_AWAITED | TRI_IO_POSTED, TRI_RELAXED, TRI_RELAXED))
        return; /* it has ended, as the caller will see */
    struct tri_io_op *head = tri_load(&reactor->cancels, TRI_RELAXED);
    do
        op->cancel_next = head;
    while (!tri_cas(&reactor->cancels, &head, op, TRI_RELEASE, TRI_RELAXED)); /* [I2] publishes cancel_next */
    tri_reactor_wake(reactor);
}

/* Carries out what other threads asked for. */
static void take_cancels(struct tri_reactor *reactor)
{
    if (!tri_load(&reactor->cancels, TRI_RELAXED))
        return;
    struct tri_io_op *op = tri_exchange(&reactor->cancels, NULL, TRI_ACQUIRE); /* [I2] */
    while (op) {
        struct tri_io_op *next = op->cancel_next;
        struct tri_task *task = op->task;
        /* [I1] We are done with the record if it has ended; then it may be gone. */
        unsigned state = tri_fetch_and(&op->state, ~(unsigned)TRI_IO_POSTED, TRI_RELEASE);
        if (state & TRI_IO_ENDED)
            tri_wake(task);
        else
            withdraw(reactor, op);
        op = next;
    }
}

/* ---- Polling ---- */

/* Before anything is looked at: what is written from here on is for the next watch. */
static void take_wake(struct tri_reactor *reactor)
{
    uint64_t count;
    ssize_t ignored = read(reactor->wake_fd, &count, sizeof count); /* -EAGAIN: nobody has woken us */
    (void)ignored;
}

unsigned tri_reactor_poll(struct tri_reactor *reactor, tr_time until)
{
    uint64_t before = reactor->completions;
    if (reactor->watched)
        take_wake(reactor);
    take_cancels(reactor);
    if (reactor->completions != before)
        until = TR_NOW;
    bool asleep = until > TR_NOW && fall_asleep(reactor);
    reactor->backend->poll(reactor, asleep ? until : TR_NOW);
    reactor->watched = false;
    if (asleep)
        wake_up(reactor);
    unsigned count = (unsigned)(reactor->completions - before);
    if (count > 0)
        reactor->batch = count;
    return count;
}

int tri_reactor_watch(struct tri_reactor *reactor)
{
    if (!reactor->backend->watch)
        return -ENOTSUP;
    int fd = reactor->backend->watch(reactor);
    reactor->watched = fd >= 0;
    return fd;
}

int tri_reactor_wake_fd(struct tri_reactor *reactor)
{
    return reactor->wake_fd;
}

bool tri_reactor_doze(struct tri_reactor *reactor)
{
    return fall_asleep(reactor);
}

void tri_reactor_rouse(struct tri_reactor *reactor)
{
    wake_up(reactor);
}

void tri_reactor_hurry(struct tri_reactor *reactor)
{
    tri_store(&reactor->hurry, true, TRI_RELEASE); /* [I5] */
}

bool tri_reactor_calm(const struct tri_reactor *reactor)
{
    return reactor->batch <= CALM_BATCH;
}

bool tri_reactor_busy(const struct tri_reactor *reactor)
{
    return reactor->in_flight > 0 || tri_load(&reactor->cancels, TRI_RELAXED) != NULL;
}

uint64_t tri_reactor_enters(const struct tri_reactor *reactor)
{
    return tri_load(&reactor->enters, TRI_RELAXED);
}
