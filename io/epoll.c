/* SPDX-License-Identifier: MIT */
/*
 * epoll.c: the backend for where io_uring is denied.
 *
 * An operation is tried at once by its system call. If it would have to wait, it hangs on the list of its descriptor, the
 * descriptor is armed for the events that its list waits for, and an event tries the operations of the list again. An
 * event is only ever a hint to try again, so a stale or foreign one does no harm.
 *
 * Descriptors are armed for one event at a time (EPOLLONESHOT, level-triggered) and armed anew by each wait, with the
 * kernel as the only one who knows what is registered. So nothing here can go stale when a descriptor is closed and its
 * number used again, by whichever thread, and a reader on one worker and a writer on another each have their own
 * registration. It costs one system call for each operation that has to wait.
 */
#include "io/backend.h"
#include "io/clock.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 256
#define WAKE_DATA UINT64_MAX

/* What waits on a descriptor. */
struct watch {
    struct tri_io_op *first;
    bool known; /* it has been registered before: it may still be */
};

struct epoll {
    struct tri_reactor reactor;
    int fd;
    bool no_pwait2; /* the kernel has only milliseconds */
    size_t watch_count;
    struct watch *watches; /* by descriptor */
    struct epoll_event events[EVENTS_AT_ONCE];
};

static struct epoll *epoll_of(struct tri_reactor *reactor)
{
    return (struct epoll *)reactor;
}

static uint32_t events_of(const struct tri_io_op *op)
{
    switch (op->kind) {
    case TRI_IO_ACCEPT:
    case TRI_IO_RECEIVE:
        return EPOLLIN;
    case TRI_IO_CONNECT:
    case TRI_IO_SEND:
    case TRI_IO_SEND_MSG:
        return EPOLLOUT;
    case TRI_IO_POLL:
        return op->events; /* POLL* and EPOLL* are the same bits */
    }
    return 0;
}

/* The descriptor's list, made if need be; NULL without memory. */
static struct watch *watch_of(struct epoll *epoll, int fd)
{
    size_t index = (size_t)fd;
    if (index >= epoll->watch_count) {
        size_t count = epoll->watch_count ? epoll->watch_count : 64;
        while (count <= index)
            count *= 2;
        struct watch *watches = realloc(epoll->watches, count * sizeof *watches);
        if (!watches)
            return NULL;
        memset(watches + epoll->watch_count, 0, (count - epoll->watch_count) * sizeof *watches);
        epoll->watches = watches;
        epoll->watch_count = count;
    }
    return &epoll->watches[index];
}

/* Arms the descriptor for what its list waits for. `known` only says which call to try first. */
static int arm(struct epoll *epoll, int fd, struct watch *watch)
{
    struct epoll_event event = { .events = EPOLLONESHOT, .data.u64 = (uint64_t)fd };
    for (const struct tri_io_op *op = watch->first; op; op = op->next)
        event.events |= events_of(op);
    int first = watch->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int second = watch->known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    watch->known = true;
    tri_reactor_count_enter(&epoll->reactor);
    if (epoll_ctl(epoll->fd, first, fd, &event) == 0)
        return 0;
    if (errno != ENOENT && errno != EEXIST)
        return -errno;
    tri_reactor_count_enter(&epoll->reactor);
    return epoll_ctl(epoll->fd, second, fd, &event) == 0 ? 0 : -errno;
}

static int hang(struct epoll *epoll, struct tri_io_op *op)
{
    struct watch *watch = watch_of(epoll, op->fd);
    if (!watch)
        return -ENOMEM;
    struct tri_io_op **link = &watch->first;
    while (*link)
        link = &(*link)->next;
    op->next = NULL;
    *link = op;
    int rc = arm(epoll, op->fd, watch);
    if (rc < 0)
        *link = NULL;
    return rc;
}

static bool submit(struct tri_reactor *reactor, struct tri_io_op *op)
{
    int rc = -EAGAIN;
    if (!op->wait_first) {
        tri_reactor_count_enter(reactor);
        rc = tri_io_attempt(op);
    }
    if (rc == -EAGAIN) {
        rc = hang(epoll_of(reactor), op);
        if (rc == 0)
            return false;
    }
    op->result = rc;
    return true;
}

static void cancel(struct tri_reactor *reactor, struct tri_io_op *op)
{
    struct epoll *epoll = epoll_of(reactor);
    struct tri_io_op **link = &epoll->watches[op->fd].first;
    while (*link != op)
        link = &(*link)->next;
    *link = op->next;
    int rc = -EAGAIN;
    if (op->wait_first) { /* whatever its deadline, it has looked once */
        tri_reactor_count_enter(reactor);
        rc = tri_io_attempt(op);
    }
    /* The descriptor stays armed: an event for nobody is dropped. */
    tri_io_complete(reactor, op, rc == -EAGAIN ? -ECANCELED : rc);
}

/*
 * Tries what hangs on the descriptor and matches the events. The list is taken off meanwhile: an operation that goes on is hung
 * there anew, and has been tried.
 */
static void dispatch(struct epoll *epoll, int fd, uint32_t events)
{
    struct watch *watch = &epoll->watches[fd];
    struct tri_io_op *first = watch->first, **link = &first;
    watch->first = NULL;
    while (*link) {
        struct tri_io_op *op = *link;
        uint32_t met = events & (events_of(op) | EPOLLERR | EPOLLHUP);
        int rc = -EAGAIN;
        if (met && op->kind == TRI_IO_POLL) {
            rc = (int)met;
        } else if (met) {
            tri_reactor_count_enter(&epoll->reactor);
            rc = tri_io_attempt(op);
        }
        if (rc == -EAGAIN) {
            link = &op->next;
        } else {
            *link = op->next;
            tri_io_complete(&epoll->reactor, op, rc);
        }
    }
    if (!first)
        return;
    *link = watch->first;
    watch->first = first;
    int rc = arm(epoll, fd, watch);
    while (rc < 0 && watch->first) {
        struct tri_io_op *op = watch->first;
        watch->first = op->next;
        tri_io_complete(&epoll->reactor, op, rc);
    }
}

static int wait_milliseconds(struct epoll *epoll, const struct timespec *limit)
{
    int64_t span = -1;
    if (limit) {
        span = (int64_t)limit->tv_sec * 1000 + (limit->tv_nsec + 999999) / 1000000; /* up: never early */
        if (span > INT32_MAX)
            span = INT32_MAX;
    }
    return epoll_wait(epoll->fd, epoll->events, EVENTS_AT_ONCE, (int)span);
}

static int wait_once(struct epoll *epoll, tr_time until)
{
    struct timespec span = { 0 }, *limit = &span;
    if (until == TR_FOREVER) {
        limit = NULL;
    } else if (until > TR_NOW) {
        tr_time left = until - tri_clock_real();
        if (left > 0)
            span = (struct timespec){ .tv_sec = left / TR_SECOND, .tv_nsec = left % TR_SECOND };
    }
    tri_reactor_count_enter(&epoll->reactor);
    if (!epoll->no_pwait2) {
        int count = epoll_pwait2(epoll->fd, epoll->events, EVENTS_AT_ONCE, limit, NULL);
        if (count >= 0 || errno == EINTR)
            return count; /* else it is not there, or not allowed */
        epoll->no_pwait2 = true;
    }
    return wait_milliseconds(epoll, limit);
}

static void poll_epoll(struct tri_reactor *reactor, tr_time until)
{
    struct epoll *epoll = epoll_of(reactor);
    if (until <= TR_NOW && reactor->in_flight == 0 && !reactor->watched)
        return;
    int count;
    do
        count = wait_once(epoll, until);
    while (count < 0 && errno == EINTR);
    assert(count >= 0);
    for (int i = 0; i < count; i++) {
        if (epoll->events[i].data.u64 != WAKE_DATA)
            dispatch(epoll, (int)epoll->events[i].data.u64, epoll->events[i].events);
    }
}

static int watch_epoll(struct tri_reactor *reactor)
{
    return epoll_of(reactor)->fd; /* everything is registered at once */
}

/* The eventfd is edge-triggered and never read: each write is an edge, and 2^64 of them will not come. */
static int watch_wake(int epoll_fd, int wake_fd)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = WAKE_DATA };
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) < 0 ? -errno : 0;
}

static int create(struct tri_reactor **out, int wake_fd, char *note, size_t note_bytes)
{
    struct epoll *epoll = aligned_alloc(alignof(struct epoll), sizeof *epoll);
    if (!epoll)
        return -ENOMEM;
    memset(epoll, 0, sizeof *epoll);
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    int rc = epoll->fd < 0 ? -errno : watch_wake(epoll->fd, wake_fd);
    if (rc < 0) {
        if (epoll->fd >= 0)
            close(epoll->fd);
        free(epoll);
        return rc;
    }
    if (note_bytes)
        *note = '\0';
    *out = &epoll->reactor;
    return 0;
}

static void destroy(struct tri_reactor *reactor)
{
    struct epoll *epoll = epoll_of(reactor);
    close(epoll->fd);
    free(epoll->watches);
    free(epoll);
}

const struct tri_backend tri_backend_epoll = {
    .name = "epoll",
    .kind = TR_BACKEND_EPOLL,
    .create = create,
    .destroy = destroy,
    .submit = submit,
    .cancel = cancel,
    .watch = watch_epoll,
    .poll = poll_epoll,
};
