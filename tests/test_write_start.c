/* SPDX-License-Identifier: MIT */
/*
 * test_write_start.c: writes that are started, and finished later, by somebody else, or never.
 */
#include "net_support.h"

#include "io/reactor.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/utsname.h>

#define MOST ((size_t)4 << 20) /* more than the sockets of a pair hold when the writer's buffer is the least */

static char *patterned(size_t bytes)
{
    char *block = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        block[i] = pattern(i);
    return block;
}

/* Jobs that have come to their end: a started write goes on while its worker has something to wait for, unlike a join of a thread. */
static atomic_int ended;

static int join(struct job *job)
{
    while (!atomic_load(&ended))
        tr_sleep(100 * TR_MICROSECOND);
    atomic_store(&ended, 0);
    return job_join(job);
}

static int end(int result)
{
    atomic_store(&ended, 1);
    return result;
}

struct reading {
    struct tr_stream *stream;
    size_t from, bytes;
};

static int read_pattern(void *argument)
{
    const struct reading *reading = argument;
    char *buffer = malloc(65536);
    for (size_t got = 0; got < reading->bytes;) {
        size_t left = reading->bytes - got;
        ssize_t n = tr_read(reading->stream, buffer, left < 65536 ? left : 65536, LONG_TIME);
        must(n > 0);
        for (ssize_t i = 0; i < n; i++, got++)
            must(buffer[i] == pattern(reading->from + got));
    }
    free(buffer);
    return end(0);
}

/* So that a write of one more byte would have to wait. */
static size_t fill(struct tr_stream *stream, const char *block)
{
    size_t written, all = 0;
    int rc;
    do {
        struct iovec piece = { (char *)block + all, MOST - all };
        rc = tr_write_v(stream, &piece, 1, &written, tr_after(20 * TR_MILLISECOND));
        all += written;
    } while (rc == 0 || written > 0);
    must_be(rc, -ETIMEDOUT);
    must(all < MOST);
    return all;
}

NET_TEST(write_start_and_finish_in_turns)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    shrink_buffer(pair[0]);
    char *block = patterned(MOST);
    struct reading reading = { .stream = pair[1], .bytes = MOST };
    struct job job;
    job_start(&job, read_pattern, &reading);
    size_t written, step = 1;
    for (size_t at = 0; at < MOST; at += step) {
        step = step * 3 % 200003 + 1;
        if (step > MOST - at)
            step = MOST - at;
        must_be(tr_write_start(pair[0], block + at, step), 0);
        must_be(tr_write_finish(pair[0], &written, LONG_TIME), 0);
        must_be(written, step);
    }
    must_be(join(&job), 0);
    free(block);
    close_pair(pair);
    return 0;
}

/* Nobody waits for the write, and all of it arrives, however little the socket takes at a time. */
NET_TEST(write_start_goes_on_by_itself)
{
    static const size_t sizes[] = { 1, 100, 16384, 16385, MOST };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct tr_stream *pair[2];
        make_pair(pair);
        shrink_buffer(pair[0]);
        char *block = patterned(sizes[i]);
        struct reading reading = { .stream = pair[1], .bytes = sizes[i] };
        struct job job;
        must_be(tr_write_start(pair[0], block, sizes[i]), 0);
        job_start(&job, read_pattern, &reading);
        must_be(join(&job), 0);
        size_t written;
        must_be(tr_write_finish(pair[0], &written, LONG_TIME), 0);
        must_be(written, sizes[i]);
        free(block);
        close_pair(pair);
    }
    return 0;
}

/* A short one into a socket that is full: what counts on its end must not wait for ever. */
NET_TEST(write_start_short_into_a_full_socket)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    shrink_buffer(pair[0]);
    char *block = patterned(MOST + 10000);
    size_t filled = fill(pair[0], block);
    must_be(tr_write_start(pair[0], block + filled, 10000), 0);
    must_be(tr_sleep(TR_MILLISECOND), 0);
    struct reading reading = { .stream = pair[1], .bytes = filled + 10000 };
    struct job job;
    job_start(&job, read_pattern, &reading);
    must_be(join(&job), 0);
    must_be(tr_write_finish(pair[0], NULL, LONG_TIME), 0);
    free(block);
    close_pair(pair);
    return 0;
}

NET_TEST(write_start_takes_the_place_of_the_writer)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    size_t written = 7;
    must_be(tr_write_finish(pair[0], &written, TR_NOW), 0); /* none was started */
    must_be(written, 0);
    must_be(tr_write_start(pair[0], "", 0), 0); /* nothing: over at once */
    must_be(tr_write_start(pair[0], "abc", 3), 0);
    must_be(tr_write_start(pair[0], "d", 1), -EBUSY);
    must_be(tr_write(pair[0], "d", 1, LONG_TIME), -EBUSY);
    must_be(tr_write_finish(pair[0], &written, LONG_TIME), 0);
    must_be(written, 3);
    must_be(tr_write_finish(pair[0], &written, LONG_TIME), 0);
    must_be(written, 0);
    must_be(tr_write(pair[0], "d", 1, LONG_TIME), 0);
    char buffer[4];
    read_exactly(pair[1], buffer, 4);
    must(!memcmp(buffer, "abcd", 4));
    close_pair(pair);
    return 0;
}

/* What was written is what arrives, and the stream could be used on. */
NET_TEST(write_finish_out_of_time_tells_how_much)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    shrink_buffer(pair[0]);
    char *block = patterned(3 * MOST);
    size_t written, filled = fill(pair[0], block);
    for (int round = 0; round < 3; round++) {
        must_be(tr_write_start(pair[0], block + filled, MOST), 0);
        must_be(tr_write_finish(pair[0], &written, round ? tr_after(5 * TR_MILLISECOND) : TR_NOW), -ETIMEDOUT);
        must(written < MOST);
        filled += written;
    }
    struct reading reading = { .stream = pair[1], .bytes = filled + 1000 };
    struct job job;
    job_start(&job, read_pattern, &reading);
    must_be(tr_write_start(pair[0], block + filled, 1000), 0);
    must_be(tr_write_finish(pair[0], &written, LONG_TIME), 0);
    must_be(written, 1000);
    must_be(join(&job), 0);
    free(block);
    close_pair(pair);
    return 0;
}

struct writing {
    struct tr_stream *stream;
    const char *block;
    atomic_int entered;
};

static int start_and_finish(void *argument)
{
    struct writing *writing = argument;
    must_be(tr_write_start(writing->stream, writing->block, MOST), 0);
    atomic_store(&writing->entered, 1);
    int rc = tr_write_finish(writing->stream, NULL, LONG_TIME);
    if (rc == -ECANCELED)
        must_be(tr_write_start(writing->stream, writing->block, 1), -ECANCELED);
    return end(rc);
}

static int finish(void *argument)
{
    return end(tr_write_finish(((struct writing *)argument)->stream, NULL, LONG_TIME));
}

/* Waits until a task is inside tr_write_finish. */
static void await_busy(struct writing *writing)
{
    while (!atomic_load(&writing->entered))
        tr_sleep(TR_MILLISECOND);
    int rc;
    while ((rc = tr_write_finish(writing->stream, NULL, tr_after(TR_SECOND))) != -EBUSY)
        must_be(rc, 99); /* we have taken the write from it */
}

NET_TEST(write_finish_cancelled)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    shrink_buffer(pair[0]);
    char *block = patterned(MOST);
    fill(pair[0], block);
    struct writing writing = { .stream = pair[0], .block = block };
    struct job job;
    job_start(&job, start_and_finish, &writing);
    tr_sleep(20 * TR_MILLISECOND);
    job_cancel(&job);
    must_be(join(&job), -ECANCELED);
    must_be(tr_write_start(pair[0], block, 1), 0); /* the place is free again */
    free(block);
    close_pair(pair); /* the block is not looked at any more, but the write is: it ends without a finish */
    return 0;
}

NET_TEST(write_start_aborted)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    shrink_buffer(pair[0]);
    char *block = patterned(MOST);
    size_t filled = fill(pair[0], block);
    size_t written = MOST;
    must_be(tr_write_start(pair[0], block + filled, MOST - filled), 0);
    tr_stream_abort(pair[0]);
    must_be(tr_write_finish(pair[0], &written, LONG_TIME), -EPIPE);
    must(written < MOST - filled);
    must_be(tr_write_start(pair[0], block, 1), -EPIPE);
    must_be(tr_write_finish(pair[0], &written, LONG_TIME), 0);
    free(block);
    close_pair(pair);
    return 0;
}

/* Under whoever finishes, before anybody has, and when it is over but nobody has looked. */
NET_TEST(write_start_closed)
{
    char *block = patterned(MOST);
    for (int round = 0; round < 40; round++) {
        struct tr_stream *pair[2];
        make_pair(pair);
        shrink_buffer(pair[0]);
        size_t filled = round % 4 ? fill(pair[0], block) : 0;
        must_be(tr_write_start(pair[0], block + filled, filled ? MOST - filled : 1), 0);
        if (round % 4 == 2)
            tr_sleep(2 * TR_MILLISECOND);
        struct writing writing = { .stream = pair[0] };
        struct job job;
        if (round % 4 == 3) {
            job_start(&job, finish, &writing);
            tr_sleep(20 * TR_MILLISECOND);
        }
        tr_stream_close(pair[0]);
        if (round % 4 == 3)
            must_be(join(&job), -EPIPE);
        tr_stream_close(pair[1]);
    }
    free(block);
    return 0;
}

NET_TEST(write_start_reset_by_the_peer)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    shrink_buffer(pair[0]);
    char *block = patterned(MOST);
    size_t filled = fill(pair[0], block);
    must_be(tr_write_start(pair[0], block + filled, MOST - filled), 0);
    reset_on_close(pair[1]);
    tr_stream_close(pair[1]);
    int rc = tr_write_finish(pair[0], NULL, LONG_TIME);
    must(rc == -ECONNRESET || rc == -EPIPE);
    tr_stream_close(pair[0]);
    free(block);
    return 0;
}

NET_TEST(write_finish_by_another_task)
{
    char *block = patterned(MOST);
    for (int round = 0; round < ROUNDS(500); round++) {
        struct tr_stream *pair[2];
        make_pair(pair);
        struct writing writing = { .stream = pair[0] };
        struct job job;
        must_be(tr_write_start(pair[0], block, (size_t)round * 100 + 1), 0);
        job_start(&job, finish, &writing);
        if (round % 3 == 0)
            tr_sleep(round % 7 * 20 * TR_MICROSECOND);
        int rc = tr_write_finish(pair[0], NULL, LONG_TIME), other = join(&job);
        must((rc == 0 || rc == -EBUSY) && (other == 0 || other == -EBUSY) && rc + other >= -EBUSY);
        struct reading reading = { .stream = pair[1], .bytes = (size_t)round * 100 + 1 };
        must_be(read_pattern(&reading), 0);
        atomic_store(&ended, 0);
        close_pair(pair);
    }
    free(block);
    return 0;
}

/* Both wait for the same write, which has to wait itself: one of the two is told that the other does. */
NET_TEST(write_finish_is_for_one)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    shrink_buffer(pair[0]);
    char *block = patterned(MOST);
    fill(pair[0], block);
    struct writing writing = { .stream = pair[0], .block = block };
    struct job job;
    job_start(&job, start_and_finish, &writing);
    tr_sleep(20 * TR_MILLISECOND);
    await_busy(&writing);
    tr_stream_abort(pair[0]);
    must_be(join(&job), -EPIPE);
    free(block);
    close_pair(pair);
    return 0;
}

static void *start_outside(void *stream)
{
    return (void *)(intptr_t)tr_write_start(stream, "x", 1);
}

NET_TEST(write_start_in_no_task)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    pthread_t thread;
    void *rc;
    must_be(pthread_create(&thread, NULL, start_outside, pair[0]), 0);
    pthread_join(thread, &rc);
    must_be((intptr_t)rc, -EINVAL);
    must_be(tr_write(pair[0], "x", 1, LONG_TIME), 0); /* nothing was begun */
    close_pair(pair);
    return 0;
}

/* ---- What it is for ---- */

static void *answer_each(void *fd)
{
    char byte;
    while (read(*(int *)fd, &byte, 1) == 1)
        must_be(write(*(int *)fd, &byte, 1), 1);
    return NULL;
}

static bool kernel_is_least(int major, int minor)
{
    struct utsname name;
    int has_major, has_minor;
    must(uname(&name) == 0 && sscanf(name.release, "%d.%d", &has_major, &has_minor) == 2);
    return has_major > major || (has_major == major && has_minor >= minor);
}

/* Asks a thread and waits for its answer. Returns the system calls of the reactor for each, or 0 if the task has moved. */
static double enters_for_each(struct tr_stream *stream)
{
    enum { ASKED = 500 };
    struct tri_reactor *reactor = tri_reactor_here();
    uint64_t before = tri_reactor_enters(reactor);
    for (int i = 0; i < ASKED; i++) {
        char byte = 'x';
        must_be(tr_write_start(stream, "x", 1), 0);
        must_be(tr_read(stream, &byte, 1, LONG_TIME), 1);
        must_be(tr_write_finish(stream, NULL, LONG_TIME), 0);
        if (tri_reactor_here() != reactor)
            return 0;
    }
    return (double)(tri_reactor_enters(reactor) - before) / ASKED;
}

NET_TEST(write_start_goes_out_with_the_wait)
{
    int fds[2];
    struct tr_stream *stream;
    must_be(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    must_be(tr_stream_open(&stream, fds[0]), 0);
    pthread_t thread;
    must_be(pthread_create(&thread, NULL, answer_each, &fds[1]), 0);
    double enters = enters_for_each(stream);
    if (net_backend == TR_BACKEND_URING && kernel_is_least(6, 12))
        must(enters < 1.5); /* one, and at times the answer is quicker than the wait */
    tr_stream_close(stream);
    pthread_join(thread, NULL);
    close(fds[1]);
    return 0;
}

/* The wait that the write goes out with ends in time for a sleep. */
NET_TEST(write_start_makes_no_sleep_late)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    tr_time least = TR_SECOND;
    for (int round = 0; round < 20; round++) {
        must_be(tr_write_start(pair[0], "x", 1), 0);
        tr_time start = tr_clock();
        tr_sleep(TR_MILLISECOND);
        tr_time slept = tr_clock() - start;
        least = slept < least ? slept : least;
        must_be(tr_write_finish(pair[0], NULL, LONG_TIME), 0);
    }
    must(least < 10 * TR_MILLISECOND);
    close_pair(pair);
    return 0;
}

int main(void)
{
    const TTest *const tests[] = {
        write_start_and_finish_in_turns,
        write_start_goes_on_by_itself,
        write_start_short_into_a_full_socket,
        write_start_takes_the_place_of_the_writer,
        write_finish_out_of_time_tells_how_much,
        write_finish_cancelled,
        write_start_aborted,
        write_start_closed,
        write_start_reset_by_the_peer,
        write_finish_by_another_task,
        write_finish_is_for_one,
        write_start_in_no_task,
        write_start_goes_out_with_the_wait,
        write_start_makes_no_sleep_late,
    };
    return io_main("write_start", tests, sizeof tests / sizeof *tests);
}
