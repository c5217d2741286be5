/* SPDX-License-Identifier: MIT */
/*
 * net.h: TCP in plain sequential code. Each call suspends the task, not the thread.
 *
 * Buffers may lie on the task's stack: no call returns before the kernel is done with them. A deadline or a
 * cancellation withdraws the operation and waits for the kernel's last word; an operation that succeeded after all
 * returns its result.
 *
 * A stream has at most one reader and one writer at a time (-EBUSY otherwise). Any task of any runtime may use it.
 */
#ifndef TROUPE_NET_H
#define TROUPE_NET_H

#include <sys/uio.h>
#include <troupe/select.h>

TRI_BEGIN_DECLS

struct tr_listener;
struct tr_stream;

struct tr_listen_options {
    int backlog;     /* default 511 */
    bool reuse_port; /* SO_REUSEPORT */
};

/*
 * Listens on host:port; host is a numeric address or "localhost", which is 127.0.0.1 (NULL: every IPv4 address); port 0 picks a
 * free one.
 * Thread: any. Suspends: no. Owns: *out, to be closed.
 * Returns 0, -EADDRINUSE, -EACCES, -EINVAL (no such address), -EMFILE, -ENOMEM, or what else the kernel says of the socket.
 */
TR_PUBLIC int tr_tcp_listen(struct tr_listener **out, const char *host, uint16_t port,
                            const struct tr_listen_options *options);

/* The port that the listener got. Thread: any. Suspends: no. */
TR_PUBLIC uint16_t tr_listener_port(const struct tr_listener *listener);

/*
 * Takes the next connection. Thread: task. Suspends: yes. Owns: *out, to be closed.
 * Returns 0, -ETIMEDOUT, -ECANCELED, -EMFILE/-ENFILE (the connection stays queued: wait a little and try again),
 * -ECONNABORTED (that peer has gone: try again), -EPIPE (the listener was aborted), -ENOMEM.
 */
TR_PUBLIC int tr_tcp_accept(struct tr_listener *listener, struct tr_stream **out, tr_time deadline);

/*
 * Stops listening: a task waiting in accept gets -EPIPE, and so does every later accept. The listener stays, to be closed by
 * its owner once nobody uses it any more. Thread: any. Suspends: no.
 */
TR_PUBLIC void tr_listener_abort(struct tr_listener *listener);

/*
 * Stops listening, waits until those who are inside accept have left with -EPIPE, and frees the listener. It has no deadline and
 * cannot be cancelled, but is short. As with free, nobody may use the listener from then on: a task that may be about to
 * call accept, not only be inside, must be gone before. So: tr_listener_abort, join the tasks that accept, tr_listener_close. NULL is harmless. Thread: task. Suspends: yes. Returns 0.
 */
TR_PUBLIC int tr_listener_close(struct tr_listener *listener);

/*
 * Connects to host:port. A name that is neither numeric nor "localhost" is looked up on a thread (at most 16 of the
 * process do that; more names wait their turn, also behind look-ups that their callers have given up); its addresses, up
 * to eight, are tried in turn, each with an even share of the time that is left. If none answers the error is the first one's:
 * -ETIMEDOUT comes before the deadline if that one did not answer in its share, or the kernel gave it up. TCP_NODELAY is set. Thread: task. Suspends: yes. Owns: *out, to be closed.
 * Returns 0, -ETIMEDOUT, -ECANCELED, -ECONNREFUSED and its kind, -EINVAL (bad name or NULL), -EHOSTUNREACH (unknown name),
 * -ENETUNREACH (no way there now, or none to a name server), -EMFILE, -ENFILE, -ENOMEM.
 */
TR_PUBLIC int tr_tcp_connect(struct tr_stream **out, const char *host, uint16_t port, tr_time deadline);

/*
 * Wraps a connected stream socket (TCP or Unix) that the caller owns; it belongs to the stream from then on, unless there is an
 * error. Whether it is connected is not looked at (a peer may have reset it by now): one that never was fails when it is used.
 * Thread: any. Suspends: no. Returns 0, -EINVAL (no stream socket, or it listens), -ENOMEM.
 */
TR_PUBLIC int tr_stream_open(struct tr_stream **out, int fd);

/*
 * Reads what there is, at least a byte and at most `bytes`. Returns the count, 0 at the peer's end of stream and only there (once a
 * read or a write was told that the connection is lost, each read says -ECONNRESET), -EINVAL (`bytes` is 0, for which no count would be right), -ETIMEDOUT, -ECANCELED, -ECONNRESET and its kind, -EBUSY (another
 * task reads), -EPIPE (aborted by us), -ENOMEM (the kernel's or, with epoll, of a descriptor that was never waited for). Thread: task. Suspends: yes.
 */
TR_PUBLIC ssize_t tr_read(struct tr_stream *stream, void *buffer, size_t bytes, tr_time deadline);

/*
 * Writes all of it. Returns 0, -ETIMEDOUT, -ECANCELED, -ECONNRESET and its kind, -EPIPE (aborted by us, or the peer takes no
 * more), -EBUSY (another task writes), -ENOMEM (as tr_read), -EINVAL. After an error part of it may have gone out (*written of the _v form tells
 * how much). Thread: task. Suspends: yes.
 */
TR_PUBLIC int tr_write(struct tr_stream *stream, const void *buffer, size_t bytes, tr_time deadline);

/* As tr_write for `count` pieces, in one operation where possible; `pieces` is left unchanged, `written` may be NULL. */
TR_PUBLIC int tr_write_v(struct tr_stream *stream, const struct iovec *pieces, int count, size_t *written,
                         tr_time deadline);

/*
 * Starts to write all of it, and returns. The bytes go out when the worker next enters the kernel: with its next wait, in the same
 * system call, or within some 50 us if it has other things to do (a task that computes without a pause delays them); what the
 * peer is slow to take follows as it does. For one who goes on to wait for something else, an answer for example, and will see
 * then whether the write went well: an actor that serves a connection does with one system call instead of two.
 * The buffer is the stream's until tr_write_finish has returned anything but -EBUSY, or the stream is closed, and so is the
 * place of its writer: other writes get -EBUSY. One of the two must come before the runtime ends, and the first of them before
 * tr_stream_shutdown, which would cut the write short.
 * Thread: task. Suspends: no. Returns 0, -EPIPE (aborted by us), -EBUSY, -ECANCELED, -EINVAL (not in a task).
 */
TR_PUBLIC int tr_write_start(struct tr_stream *stream, const void *buffer, size_t bytes);

/*
 * Waits for the end of the started write, and says how it went: returns 0 also if none was started, and else as tr_write_v. A
 * deadline or a cancellation withdraws what is left; an error of the write itself goes before theirs. Any task may finish it, one at a time (-EBUSY).
 * Thread: task. Suspends: yes. Returns as tr_write_v.
 */
TR_PUBLIC int tr_write_finish(struct tr_stream *stream, size_t *written, tr_time deadline);

/*
 * For tr_select: ready with result 0 once a read (a write, an accept) need not wait, also because of an error or the end of
 * the stream, which that call then tells. Nothing is read, and meanwhile the select counts as the stream's reader (writer).
 * Other results: -EPIPE (aborted by us), -EBUSY, -EINVAL (a foreign thread that would have to wait), -ENOMEM.
 * Thread: any. Suspends: no.
 */
TR_PUBLIC struct tr_case tr_case_readable(struct tr_stream *stream);
TR_PUBLIC struct tr_case tr_case_writable(struct tr_stream *stream);
TR_PUBLIC struct tr_case tr_case_acceptable(struct tr_listener *listener);

/* Sends our end of stream; reading goes on. Returns 0 or -ENOTCONN. Thread: task. Suspends: no. */
TR_PUBLIC int tr_stream_shutdown(struct tr_stream *stream);

/*
 * Makes a reader or a writer in another task return (-EPIPE), leaving the stream to be closed by its owner.
 * Thread: any. Suspends: no.
 */
TR_PUBLIC void tr_stream_abort(struct tr_stream *stream);

/*
 * Closes: no new operation, shutdown(2), operations in flight (a started write too) withdrawn and waited for, then close(2).
 * Uncancellable and short. Frees the stream: a task that may be about to use it, not only be inside, must be gone before (tr_stream_abort,
 * join, close). NULL is harmless. Thread: task. Suspends: yes.
 */
TR_PUBLIC void tr_stream_close(struct tr_stream *stream);

/* Returns the file descriptor, for getsockopt and the like; it stays the stream's. Thread: any. Suspends: no. */
TR_PUBLIC int tr_stream_fd(const struct tr_stream *stream);

/*
 * "127.0.0.1:6379" into buffer, always terminated.
 * Thread: any. Suspends: no. Returns 0, -EINVAL (it does not fit), -ENOTCONN and its kind.
 */
TR_PUBLIC int tr_stream_peer(const struct tr_stream *stream, char *buffer, size_t bytes);

TRI_END_DECLS
#endif
