/* SPDX-License-Identifier: MIT */
/*
 * stream.c: a connected socket: reading, writing, shutting down, aborting, closing.
 *
 * A stream is a gate (who is using the descriptor), a hint, and the operation of a started write. It holds no buffer and no
 * other operation: those lie on the stacks of the tasks inside.
 *
 * A write of one piece is tried at once, by a plain system call, when completions come alone or in twos (tri_reactor_calm):
 * it hardly ever has to wait, and then costs neither a place in the rings nor a switch of tasks. With one client that waits
 * for each answer this is a tenth of its CPU time and 4 % of its latency. Under load every write is an operation, which
 * with io_uring joins whatever else the worker submits in that pass: trying each at once cost 3 % there.
 *
 * A started write is one that nobody need wait for, so that the worker can submit it together with its own wait, in one system
 * call. It is inside the gate as the writer until it is finished. Which of several tasks finishes it is decided by `writing`:
 *
 *        NONE --start--> STARTED --tr_write_finish, tr_stream_close--> FINISHING --> NONE
 *
 *   [WS1] the start: the operation's record -> release of stream->writing (STARTED) -> acquire by whoever makes it FINISHING.
 *        (The next to start comes through the gate.)
 *
 * That a connection is lost is said by the kernel once, to the first who asks, a reader or a writer; to who reads after that it
 * says 0, as at the end of a stream. So both note what they are told: the reader in `lost`, the writer in `fate`, where a read that gets
 * 0 looks:
 *
 *        OPEN --a started write ends otherwise--> TOLD --it is finished--> OPEN
 *          any --an error that ends the connection--> LOST
 *
 *   [WS2] the writer's note -> release of the gate as it leaves -> acquire by the reader that sees it gone -> its look. (Of one
 *        who is still inside TOLD says that there is nothing to wait for.)
 */
#include "io/stream.h"
#include "io/clock.h"
#include "io/op.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum writing { NONE, STARTED, FINISHING };
enum fate { OPEN, TOLD, LOST };

struct tr_stream {
    struct tri_gate gate;
    bool drained;              /* the reader's: the last read left nothing behind, so the next has to wait */
    bool lost;                 /* the reader's: it was told that the connection is */
    TRI_ATOMIC(unsigned) fate; /* enum fate; changed by the writer, or what ends its started write */

    /* A started write: the owner's of the operation, until that has ended. */
    TRI_ATOMIC(unsigned) writing; /* enum writing */
    const char *bytes;
    size_t count, written;
    struct tri_io_op write;
};

/* More than the kernel moves in one system call, and than a submission entry can say. */
#define MOST_BYTES ((size_t)0x7ffff000)

/* A writer of a dead socket leaves at once, if its worker has time: so long a reader waits to hear what it was told. */
#define LAST_WORD_NS (10 * TR_MILLISECOND)

static TRI_ATOMIC(uint64_t) stream_count;

uint64_t tri_stream_count(void)
{
    return tri_load(&stream_count, TRI_RELAXED);
}

/* ---- Making and freeing ---- */

struct tr_stream *tri_stream_alloc(void)
{
    struct tr_stream *stream = malloc(sizeof *stream);
    if (stream)
        tri_fetch_add(&stream_count, 1, TRI_RELAXED);
    return stream;
}

void tri_stream_attach(struct tr_stream *stream, int fd)
{
    tri_gate_init(&stream->gate, fd);
    stream->drained = false;
    stream->lost = false;
    tri_store(&stream->fate, OPEN, TRI_RELAXED);
    tri_store(&stream->writing, NONE, TRI_RELAXED);
}

void tri_stream_free(struct tr_stream *stream)
{
    free(stream);
    tri_fetch_sub(&stream_count, 1, TRI_RELAXED);
}

int tri_stream_make(struct tr_stream **out, int fd)
{
    struct tr_stream *stream = tri_stream_alloc();
    if (!stream)
        return -ENOMEM;
    tri_stream_attach(stream, fd);
    *out = stream;
    return 0;
}

int tr_stream_open(struct tr_stream **out, int fd)
{
    int type, listens;
    socklen_t bytes = sizeof type;
    if (!out || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) < 0 || type != SOCK_STREAM)
        return -EINVAL;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &bytes) < 0 || listens)
        return -EINVAL;
    return tri_stream_make(out, fd);
}

/* ---- What has become of the connection ---- */

/* Whether an operation's result says that it is lost. (-EPIPE does not end what can be read, and is said again and again.) */
static bool is_loss(int result)
{
    switch (result) {
    case -ECONNRESET:
    case -ECONNABORTED:
    case -EHOSTUNREACH:
    case -EHOSTDOWN:
    case -ENETUNREACH:
    case -ENETDOWN:
        return true;
    default:
        return false;
    }
}

static void change_fate(struct tr_stream *stream, enum fate from, enum fate to)
{
    if (tri_load(&stream->fate, TRI_RELAXED) == from)
        tri_store(&stream->fate, to, TRI_RELAXED); /* [WS2] */
}

static void note_write(struct tr_stream *stream, int result)
{
    if (result < 0 && is_loss(result))
        tri_store(&stream->fate, LOST, TRI_RELAXED); /* [WS2] */
}

/* The kernel has hung up, in both directions. */
static bool is_dead(const struct tr_stream *stream)
{
    struct tri_io_op look = { .kind = TRI_IO_POLL, .fd = stream->gate.fd };
    int events = tri_io_attempt(&look);
    return events > 0 && events & POLLHUP;
}

/*
 * A read has got 0. A writer that is inside may have been told that the connection is lost, and not have noted it yet: then the
 * socket is dead, and it leaves soon. Should it not, whatever it was told, 0 would promise too much.
 */
static bool writer_was_told(const struct tr_stream *stream)
{
    if (tri_gate_holds(&stream->gate, TRI_GATE_WRITER) && is_dead(stream)) {
        tr_time limit = tri_clock_real() + LAST_WORD_NS;
        while (tri_gate_holds(&stream->gate, TRI_GATE_WRITER) &&
               tri_load(&stream->fate, TRI_RELAXED) == OPEN) { /* [WS2] */
            if (tri_clock_real() > limit)
                return true;
            tri_budget();
        }
    }
    return tri_load(&stream->fate, TRI_RELAXED) == LOST; /* [WS2] */
}

/* ---- Reading ---- */

ssize_t tr_read(struct tr_stream *stream, void *buffer, size_t bytes, tr_time deadline)
{
    if (bytes == 0) /* a count of 0 would read as the end of the stream */
        return -EINVAL;
    int rc = tri_gate_enter(&stream->gate, TRI_GATE_READER);
    if (rc < 0)
        return rc;
    struct tri_io_op op = {
        .kind = TRI_IO_RECEIVE,
        .fd = stream->gate.fd,
        .wait_first = stream->drained,
        .buffer = { buffer, bytes < MOST_BYTES ? bytes : MOST_BYTES },
    };
    rc = tri_io_run(&op, deadline);
    stream->drained = rc > 0 && (size_t)rc < bytes;
    if (rc <= 0)
        stream->lost |= rc < 0 ? is_loss(rc) : writer_was_told(stream);
    if (rc == 0 && stream->lost)
        rc = -ECONNRESET;
    if (rc <= 0 && rc != -ETIMEDOUT && rc != -ECANCELED && tri_gate_is_shut(&stream->gate))
        rc = -EPIPE;
    tri_gate_leave(&stream->gate, TRI_GATE_READER);
    return rc;
}

struct tr_case tr_case_readable(struct tr_stream *stream)
{
    return tri_case_ready(&stream->gate, TRI_GATE_READER);
}

struct tr_case tr_case_writable(struct tr_stream *stream)
{
    return tri_case_ready(&stream->gate, TRI_GATE_WRITER);
}

/* ---- Writing ---- */

/* Where a write of several pieces has got to. */
struct cursor {
    const struct iovec *piece, *end;
    size_t offset; /* into *piece */
};

static void skip_empty(struct cursor *cursor)
{
    while (cursor->piece < cursor->end && cursor->piece->iov_len == cursor->offset) {
        cursor->piece++;
        cursor->offset = 0;
    }
}

static void advance(struct cursor *cursor, size_t bytes)
{
    while (bytes > 0) {
        assert(cursor->piece < cursor->end);
        size_t left = cursor->piece->iov_len - cursor->offset;
        size_t step = bytes < left ? bytes : left;
        cursor->offset += step;
        bytes -= step;
        skip_empty(cursor);
    }
}

static int send_one(int fd, const struct cursor *cursor, tr_time deadline)
{
    size_t left = cursor->piece->iov_len - cursor->offset;
    struct tri_io_op op = {
        .kind = TRI_IO_SEND,
        .fd = fd,
        .try_first = true,
        .flags = MSG_NOSIGNAL,
        .buffer = { (char *)cursor->piece->iov_base + cursor->offset, left < MOST_BYTES ? left : MOST_BYTES },
    };
    return tri_io_run(&op, deadline);
}

static int send_many(int fd, const struct cursor *cursor, tr_time deadline)
{
    size_t count = (size_t)(cursor->end - cursor->piece);
    const struct msghdr message = {
        .msg_iov = (struct iovec *)cursor->piece, /* only read */
        .msg_iovlen = count < IOV_MAX ? count : IOV_MAX,
    };
    struct tri_io_op op = { .kind = TRI_IO_SEND_MSG, .fd = fd, .flags = MSG_NOSIGNAL, .message = &message };
    return tri_io_run(&op, deadline);
}

/*
 * One operation. The caller's pieces go out as they are, so nothing is copied; what is left of a piece that was sent in
 * part goes out alone first.
 */
static int send_some(int fd, const struct cursor *cursor, tr_time deadline)
{
    if (cursor->offset > 0 || cursor->end - cursor->piece == 1)
        return send_one(fd, cursor, deadline);
    return send_many(fd, cursor, deadline);
}

int tr_write_v(struct tr_stream *stream, const struct iovec *pieces, int count, size_t *written, tr_time deadline)
{
    static const struct iovec none;
    size_t total = 0;
    if (written)
        *written = 0;
    if (count < 0)
        return -EINVAL;
    if (count == 0)
        pieces = &none; /* NULL has no place behind it */
    int rc = tri_gate_enter(&stream->gate, TRI_GATE_WRITER);
    if (rc < 0)
        return rc;
    struct cursor cursor = { pieces, pieces + count, 0 };
    skip_empty(&cursor);
    while (cursor.piece < cursor.end) {
        rc = send_some(stream->gate.fd, &cursor, deadline);
        if (rc < 0)
            break;
        advance(&cursor, (size_t)rc);
        total += (size_t)rc;
        rc = 0;
        if (cursor.piece < cursor.end && deadline > TR_NOW && tri_is_late(deadline)) { /* however well it goes */
            rc = -ETIMEDOUT;
            break;
        }
    }
    note_write(stream, rc);
    if (rc < 0 && rc != -ETIMEDOUT && rc != -ECANCELED && tri_gate_is_shut(&stream->gate))
        rc = -EPIPE;
    tri_gate_leave(&stream->gate, TRI_GATE_WRITER);
    if (written)
        *written = total;
    return rc;
}

int tr_write(struct tr_stream *stream, const void *buffer, size_t bytes, tr_time deadline)
{
    struct iovec piece = { (void *)buffer, bytes }; /* only read */
    return tr_write_v(stream, &piece, 1, NULL, deadline);
}

/* ---- Started writes ---- */

/* Makes the next send the step that the operation is at. */
static void send_next(struct tr_stream *stream)
{
    size_t left = stream->count - stream->written;
    stream->write.kind = TRI_IO_SEND;
    stream->write.buffer.start = (char *)stream->bytes + stream->written; /* only read */
    stream->write.buffer.bytes = left < MOST_BYTES ? left : MOST_BYTES;
}

/* What a step has come to, if the write does not go on: its own error, also when it was withdrawn at the same time. */
static int last_word(const struct tri_io_op *op, bool full)
{
    bool failed = op->result < 0 && op->result != -EINTR && !full;
    return op->withdrawn && !failed ? -ECANCELED : tri_io_from_kernel(op, op->result);
}

/* Makes the next step of the operation. False: there is none, and op->result is what it has come to. */
static bool take_step(struct tr_stream *stream, struct tri_io_op *op)
{
    int result = op->result;
    if (op->kind == TRI_IO_SEND && result > 0)
        stream->written += (size_t)result;
    if (stream->written == stream->count) {
        op->result = 0;
        return false;
    }
    bool full = op->kind == TRI_IO_SEND && result == -EAGAIN;
    op->result = last_word(op, full);
    if (op->withdrawn || (result < 0 && result != -EINTR && !full))
        return false;
    if (full) {
        op->kind = TRI_IO_POLL;
        op->events = POLLOUT;
    } else {
        send_next(stream);
    }
    return true;
}

/* A step has ended. Sends what is left, and waits for room before that if the kernel says so. */
static bool write_goes_on(struct tri_io_op *op)
{
    struct tr_stream *stream = (struct tr_stream *)((char *)op - offsetof(struct tr_stream, write));
    if (take_step(stream, op))
        return true;
    note_write(stream, op->result);
    change_fate(stream, OPEN, TOLD);
    return false;
}

int tr_write_start(struct tr_stream *stream, const void *buffer, size_t bytes)
{
    int rc = tri_cancel_check();
    if (rc < 0)
        return rc;
    struct tri_reactor *reactor = tri_reactor_here();
    if (!reactor)
        return -EINVAL;
    rc = tri_gate_enter(&stream->gate, TRI_GATE_WRITER);
    if (rc < 0)
        return rc;
    if (bytes == 0) {
        tri_gate_leave(&stream->gate, TRI_GATE_WRITER);
        return 0;
    }
    stream->bytes = buffer;
    stream->count = bytes;
    stream->written = 0;
    stream->write = (struct tri_io_op){ .fd = stream->gate.fd, .flags = MSG_NOSIGNAL, .goes_on = write_goes_on };
    send_next(stream);
    tri_io_start(&stream->write, reactor, NULL);
    tri_store(&stream->writing, STARTED, TRI_RELEASE); /* [WS1] */
    return 0;
}

/* Returns what `writing` was; if it was STARTED, the write is the caller's to finish. */
static unsigned claim_started(struct tr_stream *stream)
{
    unsigned writing = STARTED;
    tri_cas(&stream->writing, &writing, FINISHING, TRI_ACQUIRE, TRI_RELAXED); /* [WS1] */
    return writing;
}

static void leave_started(struct tr_stream *stream)
{
    change_fate(stream, TOLD, OPEN);
    tri_store(&stream->writing, NONE, TRI_RELAXED);
    tri_gate_leave(&stream->gate, TRI_GATE_WRITER);
}

int tr_write_finish(struct tr_stream *stream, size_t *written, tr_time deadline)
{
    if (written)
        *written = 0;
    tri_budget();
    unsigned writing = claim_started(stream);
    if (writing != STARTED)
        return writing == FINISHING ? -EBUSY : 0;
    if (!tri_io_ended(&stream->write))
        tri_io_await(&stream->write, tri_self());
    int rc = tri_io_finish(&stream->write, deadline);
    if (rc < 0 && rc != -ETIMEDOUT && rc != -ECANCELED && tri_gate_is_shut(&stream->gate))
        rc = -EPIPE;
    if (written)
        *written = stream->written;
    leave_started(stream);
    return rc;
}

/* Nobody has finished it: drives it out, as whoever is inside the gate. */
static void end_started(struct tr_stream *stream)
{
    if (claim_started(stream) != STARTED)
        return; /* there is none, or whoever is at it is waited for by the gate */
    if (!tri_io_ended(&stream->write)) {
        tri_gate_shut(&stream->gate);
        tri_io_await(&stream->write, tri_self());
        while (!tri_io_ended(&stream->write))
            tri_park_tail(TRI_WAIT_IO);
    }
    leave_started(stream);
}

/* ---- Ending ---- */

int tr_stream_shutdown(struct tr_stream *stream)
{
    return shutdown(stream->gate.fd, SHUT_WR) < 0 ? -ENOTCONN : 0;
}

void tr_stream_abort(struct tr_stream *stream)
{
    tri_gate_shut(&stream->gate);
}

void tr_stream_close(struct tr_stream *stream)
{
    if (!stream)
        return;
    end_started(stream);
    tri_gate_close(&stream->gate);
    tri_stream_free(stream);
}

/* ---- Asking ---- */

int tr_stream_fd(const struct tr_stream *stream)
{
    return stream->gate.fd;
}

int tr_stream_peer(const struct tr_stream *stream, char *buffer, size_t bytes)
{
    if (bytes == 0)
        return -EINVAL;
    *buffer = '\0';
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage space;
    } peer;
    socklen_t length = sizeof peer;
    if (getpeername(stream->gate.fd, &peer.any, &length) < 0)
        return -errno;
    char host[INET6_ADDRSTRLEN];
    int used;
    switch (peer.any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &peer.v4.sin_addr, host, sizeof host);
        used = snprintf(buffer, bytes, "%s:%u", host, ntohs(peer.v4.sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &peer.v6.sin6_addr, host, sizeof host);
        used = snprintf(buffer, bytes, "[%s]:%u", host, ntohs(peer.v6.sin6_port));
        break;
    default:
        used = snprintf(buffer, bytes, "unix");
        break;
    }
    return used < 0 || (size_t)used >= bytes ? -EINVAL : 0;
}
