/* SPDX-License-Identifier: MIT */
/*
 * test_stream_loss.c: a connection that is lost is no end of stream, whoever was told of it first: the kernel says so once.
 */
#include "net_support.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

static ssize_t read_byte(struct tr_stream *stream)
{
    char byte;
    return tr_read(stream, &byte, 1, LONG_TIME);
}

/* Until the kernel has hung up on the stream, which it says as often as it is asked. */
static void await_hang_up(const struct tr_stream *stream)
{
    struct pollfd event = { .fd = tr_stream_fd(stream) };
    must_be(poll(&event, 1, 60000), 1);
    must(event.revents & POLLHUP);
}

/* A stream that the peer has reset, and that nobody has looked at since. */
static struct tr_stream *lost_stream(void)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    reset_on_close(pair[1]);
    tr_stream_close(pair[1]);
    await_hang_up(pair[0]);
    return pair[0];
}

NET_TEST(loss_told_to_the_reader_is_told_again)
{
    struct tr_stream *stream = lost_stream();
    for (int i = 0; i < 3; i++)
        must_be(read_byte(stream), -ECONNRESET);
    must_be(tr_write(stream, "x", 1, LONG_TIME), -EPIPE);
    must_be(read_byte(stream), -ECONNRESET);
    tr_stream_close(stream);
    return 0;
}

NET_TEST(loss_told_to_the_writer_is_told_to_the_reader)
{
    struct tr_stream *stream = lost_stream();
    must_be(tr_write(stream, "x", 1, LONG_TIME), -ECONNRESET);
    for (int i = 0; i < 3; i++)
        must_be(read_byte(stream), -ECONNRESET);
    tr_stream_close(stream);
    return 0;
}

/* What net.h advises: the question goes out with the wait for its answer. */
NET_TEST(loss_told_to_a_started_write_is_told_to_the_reader)
{
    for (int round = 0; round < 100; round++) {
        struct tr_stream *stream = lost_stream();
        must_be(tr_write_start(stream, "x", 1), 0);
        ssize_t got = read_byte(stream);
        int rc = tr_write_finish(stream, NULL, LONG_TIME);
        must_be(got, -ECONNRESET);
        must(rc == -ECONNRESET || rc == -EPIPE);
        must_be(read_byte(stream), -ECONNRESET);
        tr_stream_close(stream);
    }
    return 0;
}

/* Its own error goes before that of a deadline or of an abort that withdraws it. */
NET_TEST(loss_of_a_started_write_that_is_withdrawn)
{
    for (int round = 0; round < 100; round++) {
        struct tr_stream *stream = lost_stream();
        must_be(tr_write_start(stream, "x", 1), 0);
        must_be(tr_write_finish(stream, NULL, round % 2 ? TR_NOW : tr_after(1)), -ECONNRESET);
        must_be(read_byte(stream), -ECONNRESET);
        tr_stream_close(stream);
        stream = lost_stream();
        must_be(tr_write_start(stream, "x", 1), 0);
        tr_stream_abort(stream);
        must_be(tr_write_finish(stream, NULL, TR_NOW), -EPIPE);
        must_be(read_byte(stream), -EPIPE);
        tr_stream_close(stream);
    }
    return 0;
}

static int read_to_the_end(void *stream)
{
    char bytes[64];
    ssize_t got;
    do
        got = tr_read(stream, bytes, sizeof bytes, LONG_TIME);
    while (got > 0);
    return (int)got;
}

static int write_to_the_end(void *stream)
{
    int rc;
    do
        rc = tr_write(stream, "0123456789", 10, LONG_TIME);
    while (rc == 0);
    return rc;
}

static void take_some_and_reset(struct tr_stream *stream, int reads)
{
    static char bytes[65536];
    for (; reads > 0; reads--)
        must(tr_read(stream, bytes, sizeof bytes, LONG_TIME) > 0);
    reset_on_close(stream);
    tr_stream_close(stream);
}

/* Reader and writer at once: whichever is told, and whenever, neither takes it for the end. */
NET_TEST(loss_while_both_are_inside)
{
    for (int round = 0; round < ROUNDS(500); round++) {
        struct tr_stream *pair[2];
        struct job reader, writer;
        make_pair(pair);
        job_start(&reader, read_to_the_end, pair[0]);
        job_start(&writer, write_to_the_end, pair[0]);
        take_some_and_reset(pair[1], round % 8);
        must_be(job_join(&reader), -ECONNRESET);
        int rc = job_join(&writer);
        must(rc == -ECONNRESET || rc == -EPIPE);
        tr_stream_close(pair[0]);
    }
    return 0;
}

/* The stream had ended before it: whatever is read was whole. */
NET_TEST(loss_after_the_end_of_the_stream_is_none)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    must_be(tr_write(pair[1], "q", 1, LONG_TIME), 0);
    must_be(tr_stream_shutdown(pair[1]), 0);
    must_be(read_byte(pair[0]), 1);
    must_be(read_byte(pair[0]), 0);
    reset_on_close(pair[1]);
    tr_stream_close(pair[1]);
    await_hang_up(pair[0]);
    must_be(read_byte(pair[0]), 0);
    must_be(tr_write(pair[0], "x", 1, LONG_TIME), -EPIPE);
    must_be(read_byte(pair[0]), 0);
    tr_stream_close(pair[0]);
    return 0;
}

/* A started write that has ended well, or for which nothing is left to hear, keeps no reader from its 0. */
NET_TEST(loss_is_not_what_an_end_looks_like)
{
    for (int round = 0; round < 50; round++) {
        struct tr_stream *pair[2];
        make_pair(pair);
        must_be(tr_write_start(pair[0], "x", 1), 0);
        must_be(read_byte(pair[1]), 1);
        must_be(tr_stream_shutdown(pair[1]), 0);
        must_be(tr_stream_shutdown(pair[0]), 0);
        must_be(read_byte(pair[1]), 0);
        tr_stream_close(pair[1]);
        await_hang_up(pair[0]);
        must_be(read_byte(pair[0]), 0);
        must_be(tr_write_finish(pair[0], NULL, LONG_TIME), 0);
        must_be(read_byte(pair[0]), 0);
        tr_stream_close(pair[0]);
    }
    return 0;
}

/* A Unix peer that closes with bytes that it has not read has lost them, and says so; else it has ended the stream. */
NET_TEST(loss_of_a_unix_socket)
{
    for (int unread = 0; unread < 2; unread++) {
        int fds[2];
        struct tr_stream *stream;
        must_be(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        must_be(tr_stream_open(&stream, fds[0]), 0);
        if (unread)
            must_be(tr_write(stream, "x", 1, LONG_TIME), 0);
        close(fds[1]);
        for (int i = 0; i < 2; i++)
            must_be(read_byte(stream), unread ? -ECONNRESET : 0);
        tr_stream_close(stream);
    }
    return 0;
}

int main(void)
{
    const TTest *const tests[] = {
        loss_told_to_the_reader_is_told_again,
        loss_told_to_the_writer_is_told_to_the_reader,
        loss_told_to_a_started_write_is_told_to_the_reader,
        loss_of_a_started_write_that_is_withdrawn,
        loss_while_both_are_inside,
        loss_after_the_end_of_the_stream_is_none,
        loss_is_not_what_an_end_looks_like,
        loss_of_a_unix_socket,
    };
    return io_main("stream_loss", tests, sizeof tests / sizeof *tests);
}
