/* SPDX-License-Identifier: MIT */
/*
 * test_stream.c: reading, writing, giving up, and ending a stream under somebody's hands, each test on both backends.
 */
#include "net_support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

/* ---- Reading and writing ---- */

#define PIECES 3000
#define PIECES_BYTES ((size_t)3000 * 700)

struct transfer {
    struct tr_stream *stream;
    size_t bytes;
};

static int check_pattern(void *argument)
{
    struct transfer *transfer = argument;
    static const size_t sizes[] = { 1, 777, 16384, 3, 65536 };
    char *buffer = malloc(65536);
    size_t at = 0;
    for (int turn = 0; at < transfer->bytes; turn++) {
        ssize_t n = tr_read(transfer->stream, buffer, sizes[turn % 5], LONG_TIME);
        must(n > 0);
        for (ssize_t i = 0; i < n; i++, at++)
            must(buffer[i] == pattern(at));
    }
    must_be(at, transfer->bytes);
    free(buffer);
    return 0;
}

/* Pieces of 0 to 1399 bytes over one block: more than one system call takes, through a socket that takes little. */
static size_t cut(struct iovec *pieces, char *block)
{
    size_t at = 0;
    for (int i = 0; i < PIECES; i++) {
        size_t bytes = i % 7 == 3 ? 0 : (size_t)(i * 37 % 1400);
        pieces[i] = (struct iovec){ block + at, bytes };
        at += bytes;
    }
    must(at <= PIECES_BYTES);
    return at;
}

NET_TEST(stream_pieces_arrive_whole_through_small_buffers)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    shrink_buffer(pair[0]);
    char *block = malloc(PIECES_BYTES);
    struct iovec *pieces = malloc(2 * PIECES * sizeof *pieces), *copy = pieces + PIECES;
    for (size_t i = 0; i < PIECES_BYTES; i++)
        block[i] = pattern(i);
    struct transfer transfer = { .stream = pair[1], .bytes = cut(pieces, block) };
    memcpy(copy, pieces, PIECES * sizeof *pieces);
    struct job job;
    job_start(&job, check_pattern, &transfer);
    size_t written;
    must_be(tr_write_v(pair[0], pieces, PIECES, &written, LONG_TIME), 0);
    must_be(written, transfer.bytes);
    must(!memcmp(copy, pieces, PIECES * sizeof *pieces)); /* left unchanged */
    must_be(job_join(&job), 0);
    must_be(tr_write_v(pair[0], pieces, 0, &written, LONG_TIME), 0);
    must_be(tr_write_v(pair[0], NULL, 0, NULL, LONG_TIME), 0);
    must_be(tr_write_v(pair[0], pieces, -1, &written, LONG_TIME), -EINVAL);
    free(block);
    free(pieces);
    close_pair(pair);
    return 0;
}

NET_TEST(stream_write_out_of_time_tells_how_much)
{
    struct tr_stream *pair[2];
    char *block = malloc(PIECES_BYTES);
    struct iovec *pieces = malloc(PIECES * sizeof *pieces);
    for (size_t i = 0; i < PIECES_BYTES; i++)
        block[i] = pattern(i);
    for (int round = 0; round < 5; round++) {
        make_pair(pair);
        if (round % 2)
            shrink_buffer(pair[0]);
        else
            setsockopt(tr_stream_fd(pair[0]), SOL_SOCKET, SO_SNDBUF, &(int){ 50000 }, sizeof(int));
        setsockopt(tr_stream_fd(pair[1]), SOL_SOCKET, SO_RCVBUF, &(int){ 50000 }, sizeof(int));
        size_t written, total = cut(pieces, block);
        must_be(tr_write_v(pair[0], pieces, PIECES, &written, tr_after(10 * TR_MILLISECOND)), -ETIMEDOUT);
        must(written > 0 && written < total);
        /* Where time was over before the socket was full, there is room for more. */
        size_t more;
        struct iovec rest = { block + written, total - written };
        must_be(tr_write_v(pair[0], &rest, 1, &more, TR_NOW), -ETIMEDOUT);
        written += more;
        must_be(tr_write_v(pair[0], pieces, PIECES, &more, TR_NOW), -ETIMEDOUT);
        must_be(more, 0);
        tr_stream_shutdown(pair[0]);
        struct transfer transfer = { .stream = pair[1], .bytes = written };
        must_be(check_pattern(&transfer), 0);
        must_be(tr_read(pair[1], block, 1, LONG_TIME), 0); /* and not a byte more */
        block[0] = pattern(0);
        close_pair(pair);
    }
    free(block);
    free(pieces);
    return 0;
}

static void *drain(void *argument)
{
    struct pollfd event = { .fd = *(int *)argument, .events = POLLIN };
    char *block = malloc(1 << 20);
    ssize_t got;
    do {
        poll(&event, 1, -1);
        got = recv(event.fd, block, 1 << 20, MSG_DONTWAIT);
    } while (got > 0 || (got < 0 && errno == EAGAIN));
    free(block);
    return NULL;
}

/* More than can be written in its time, to a peer so quick that no part of it waits. */
NET_TEST(stream_write_out_of_time_however_well_it_goes)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    int fd = tr_stream_fd(pair[1]);
    pthread_t drainer;
    must_be(pthread_create(&drainer, NULL, drain, &fd), 0);
    size_t count = 8192, bytes = 1 << 20, written;
    char *block = calloc(1, bytes);
    struct iovec *pieces = malloc(count * sizeof *pieces);
    for (size_t i = 0; i < count; i++)
        pieces[i] = (struct iovec){ block, bytes };
    must_be(tr_write_v(pair[0], pieces, (int)count, &written, tr_after(20 * TR_MILLISECOND)), -ETIMEDOUT);
    must(written < count * bytes);
    tr_stream_shutdown(pair[0]);
    pthread_join(drainer, NULL);
    free(block);
    free(pieces);
    close_pair(pair);
    return 0;
}

NET_TEST(stream_read_out_of_time)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    char byte;
    tr_time deadline = tr_after(5 * TR_MILLISECOND);
    must_be(tr_read(pair[0], &byte, 1, deadline), -ETIMEDOUT);
    must(tr_clock() >= deadline);
    must_be(tr_read(pair[0], &byte, 1, TR_NOW), -ETIMEDOUT);
    char more[16];
    must_be(tr_write(pair[1], "ab", 2, TR_NOW), 0);
    must_be(tr_read(pair[0], more, sizeof more, LONG_TIME), 2); /* all there is: the next one has to wait, it seems */
    must_be(tr_write(pair[1], "abc", 3, TR_NOW), 0);
    must_be(tr_sleep(10 * TR_MILLISECOND), 0);
    must_be(tr_read(pair[0], more, sizeof more, 1), 3); /* long past, and there all the same */
    must_be(tr_write(pair[1], "ab", 2, TR_NOW), 0);
    must_be(tr_read(pair[0], &byte, 1, LONG_TIME), 1);
    must_be(tr_read(pair[0], &byte, 1, TR_NOW), 1);
    must(byte == 'b');
    close_pair(pair);
    return 0;
}

/* Busy: a test looks whether we are inside, and is so itself for a moment. */
static int read_one(void *stream)
{
    char byte;
    int rc;
    do
        rc = (int)tr_read(stream, &byte, 1, LONG_TIME);
    while (rc == -EBUSY);
    return rc;
}

static int write_forever(void *stream)
{
    static char block[100000];
    int rc;
    do
        rc = tr_write(stream, block, sizeof block, LONG_TIME);
    while (rc == 0 || rc == -EBUSY);
    return rc;
}

NET_TEST(stream_second_reader_or_writer_is_refused)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    struct job reader, writer;
    job_start(&reader, read_one, pair[0]);
    job_start(&writer, write_forever, pair[0]);
    tr_sleep(20 * TR_MILLISECOND);
    char byte;
    while (tr_read(pair[0], &byte, 1, TR_NOW) != -EBUSY)
        tr_sleep(TR_MILLISECOND);
    while (tr_write(pair[0], "x", 1, TR_NOW) != -EBUSY)
        tr_sleep(TR_MILLISECOND);
    must_be(tr_write(pair[1], "x", 1, LONG_TIME), 0);
    must_be(job_join(&reader), 1);
    reset_on_close(pair[1]);
    tr_stream_close(pair[1]);
    int rc = job_join(&writer);
    must(rc == -ECONNRESET || rc == -EPIPE);
    tr_stream_close(pair[0]);
    return 0;
}

static int write_pattern(void *argument)
{
    struct transfer *transfer = argument;
    char *buffer = malloc(10007);
    for (size_t at = 0; at < transfer->bytes;) {
        size_t bytes = transfer->bytes - at < 10007 ? transfer->bytes - at : 10007;
        for (size_t i = 0; i < bytes; i++)
            buffer[i] = pattern(at + i);
        must_be(tr_write(transfer->stream, buffer, bytes, LONG_TIME), 0);
        at += bytes;
    }
    free(buffer);
    return 0;
}

/* Four tasks, each stream used by a reader and a writer at once. */
NET_TEST(stream_both_directions_at_once)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    shrink_buffer(pair[0]);
    struct transfer transfers[2] = { { pair[0], ROUNDS(1000000) }, { pair[1], ROUNDS(1000000) } };
    struct job jobs[4];
    for (int i = 0; i < 2; i++) {
        job_start(&jobs[2 * i], write_pattern, &transfers[i]);
        job_start(&jobs[2 * i + 1], check_pattern, &transfers[i]);
    }
    for (int i = 0; i < 4; i++)
        must_be(job_join(&jobs[i]), 0);
    close_pair(pair);
    return 0;
}

NET_TEST(stream_half_closed_stream_still_reads)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    char buffer[8];
    must_be(tr_write(pair[0], "ask", 3, LONG_TIME), 0);
    must_be(tr_stream_shutdown(pair[0]), 0);
    read_exactly(pair[1], buffer, 3);
    must_be(tr_read(pair[1], buffer, 8, LONG_TIME), 0);
    must_be(tr_read(pair[1], buffer, 8, LONG_TIME), 0); /* it stays at the end */
    must_be(tr_write(pair[1], "reply", 5, LONG_TIME), 0);
    read_exactly(pair[0], buffer, 5);
    must_be(tr_write(pair[0], "x", 1, LONG_TIME), -EPIPE);
    tr_stream_close(pair[1]);
    must_be(tr_read(pair[0], buffer, 8, LONG_TIME), 0);
    tr_stream_close(pair[0]);
    return 0;
}

/* Threads that the kernel has made for io_uring in this process. */
static int threads_of_the_kernel(void)
{
    DIR *directory = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char path[320], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (read(fd, name, sizeof name - 1) > 0 && !strncmp(name, "iou-wrk", 7))
            count++;
        close(fd);
    }
    if (directory)
        closedir(directory);
    return count;
}

#define WRITERS 8

/* The kernel reports the end of stream to whoever waits for room, again and again. */
NET_TEST(stream_writers_beside_an_end_of_stream_wait_for_room)
{
    struct tr_stream *pair[WRITERS][2];
    struct transfer transfer[WRITERS][2];
    struct job writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        make_pair(pair[i]);
        shrink_buffer(pair[i][0]);
        must_be(tr_stream_shutdown(pair[i][1]), 0);
        for (int end = 0; end < 2; end++)
            transfer[i][end] = (struct transfer){ pair[i][end], 1 << 20 };
    }
    for (int i = 0; i < WRITERS; i++)
        job_start(&writers[i], write_pattern, &transfer[i][0]);
    tr_sleep(50 * TR_MILLISECOND);
    must_be(threads_of_the_kernel(), 0);
    for (int i = 0; i < WRITERS; i++) {
        must_be(check_pattern(&transfer[i][1]), 0);
        must_be(job_join(&writers[i]), 0);
        close_pair(pair[i]);
    }
    return 0;
}

NET_TEST(stream_reset_by_the_peer)
{
    for (int in_flight = 0; in_flight < 2; in_flight++) {
        struct tr_stream *pair[2];
        make_pair(pair);
        struct job reader;
        if (in_flight) {
            job_start(&reader, read_one, pair[0]);
            tr_sleep(5 * TR_MILLISECOND);
        }
        reset_on_close(pair[1]);
        tr_stream_close(pair[1]);
        must_be(in_flight ? job_join(&reader) : read_one(pair[0]), -ECONNRESET);
        must_be(tr_write(pair[0], "x", 1, LONG_TIME), -EPIPE); /* and no signal */
        must(tr_stream_shutdown(pair[0]) == -ENOTCONN);
        tr_stream_close(pair[0]);
    }
    return 0;
}

/*
 * Both sides give up and go on all the time, so that withdrawals meet completions, also from other workers than the one
 * that has the operation. What arrives is what was sent, to the byte.
 */
#define RANDOM_PAIRS 12
#define RANDOM_BYTES ((size_t)ROUNDS(200000))

struct random_end {
    struct tr_stream *stream;
    uint64_t random;
};

static uint64_t draw(struct random_end *end)
{
    end->random ^= end->random >> 12;
    end->random ^= end->random << 25;
    end->random ^= end->random >> 27;
    return end->random * UINT64_C(2685821657736338717);
}

static tr_time draw_deadline(struct random_end *end)
{
    switch (draw(end) % 8) {
    case 0:
        return TR_NOW;
    case 1:
        return LONG_TIME;
    default:
        return tr_clock() + (tr_time)(draw(end) % 100) * TR_MICROSECOND;
    }
}

static int write_randomly(void *argument)
{
    struct random_end *end = argument;
    char buffer[3000];
    struct iovec pieces[3];
    for (size_t at = 0; at < RANDOM_BYTES;) {
        size_t bytes = draw(end) % sizeof buffer + 1;
        if (bytes > RANDOM_BYTES - at)
            bytes = RANDOM_BYTES - at;
        for (size_t i = 0; i < bytes; i++)
            buffer[i] = pattern(at + i);
        size_t first = draw(end) % (bytes + 1), second = draw(end) % (bytes - first + 1);
        pieces[0] = (struct iovec){ buffer, first };
        pieces[1] = (struct iovec){ buffer + first, second };
        pieces[2] = (struct iovec){ buffer + first + second, bytes - first - second };
        size_t written;
        int rc = tr_write_v(end->stream, pieces, 3, &written, draw_deadline(end));
        must(rc == 0 ? written == bytes : rc == -ETIMEDOUT && written < bytes);
        at += written;
    }
    return 0;
}

static int read_randomly(void *argument)
{
    struct random_end *end = argument;
    char buffer[3000];
    for (size_t at = 0; at < RANDOM_BYTES;) {
        ssize_t n = tr_read(end->stream, buffer, draw(end) % sizeof buffer + 1, draw_deadline(end));
        if (n == -ETIMEDOUT)
            continue;
        must(n > 0);
        for (ssize_t i = 0; i < n; i++, at++)
            must(buffer[i] == pattern(at));
        if (draw(end) % 16 == 0)
            tr_sleep((int64_t)(draw(end) % 200) * TR_MICROSECOND);
    }
    return 0;
}

NET_TEST(stream_random_deadlines_lose_nothing)
{
    static struct random_end ends[2 * RANDOM_PAIRS];
    static struct job jobs[2 * RANDOM_PAIRS];
    for (unsigned i = 0; i < 2 * RANDOM_PAIRS; i += 2) {
        struct tr_stream *pair[2];
        make_pair(pair);
        shrink_buffer(pair[0]);
        for (unsigned j = 0; j < 2; j++)
            ends[i + j] = (struct random_end){ pair[j], i + j + 1 };
        job_start(&jobs[i], write_randomly, &ends[i]);
        job_start(&jobs[i + 1], read_randomly, &ends[i + 1]);
    }
    for (unsigned i = 0; i < 2 * RANDOM_PAIRS; i++) {
        must_be(job_join(&jobs[i]), 0);
        must_be(tr_read(ends[i].stream, &(char){ 0 }, 1, TR_NOW), -ETIMEDOUT); /* nothing is left */
    }
    for (unsigned i = 0; i < 2 * RANDOM_PAIRS; i++)
        tr_stream_close(ends[i].stream);
    return 0;
}

/* ---- Ending under somebody's hands ---- */

NET_TEST(stream_cancelled_reader_and_writer_end)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    struct job reader, writer;
    job_start(&reader, read_one, pair[0]);
    job_start(&writer, write_forever, pair[0]);
    tr_sleep(10 * TR_MILLISECOND);
    job_cancel(&reader);
    job_cancel(&writer);
    must_be(job_join(&reader), -ECANCELED);
    must_be(job_join(&writer), -ECANCELED);
    must_be(tr_write(pair[1], "x", 1, LONG_TIME), 0); /* the stream is as good as before */
    must_be(read_one(pair[0]), 1);
    close_pair(pair);
    return 0;
}

static void *abort_from_a_thread(void *stream)
{
    tr_stream_abort(stream);
    return NULL;
}

NET_TEST(stream_abort_ends_reader_and_writer)
{
    for (int round = 0; round < 100; round++) {
        struct tr_stream *pair[2];
        make_pair(pair);
        struct job reader, writer;
        job_start(&reader, read_one, pair[0]);
        job_start(&writer, write_forever, pair[0]);
        if (round % 2)
            tr_sleep(round * 50 * TR_MICROSECOND);
        pthread_t thread;
        must_be(pthread_create(&thread, NULL, abort_from_a_thread, pair[0]), 0);
        pthread_join(thread, NULL);
        must_be(job_join(&reader), -EPIPE);
        must_be(job_join(&writer), -EPIPE);
        must_be(read_one(pair[0]), -EPIPE);
        must_be(tr_write(pair[0], "x", 1, LONG_TIME), -EPIPE);
        tr_stream_abort(pair[0]); /* once more is harmless */
        close_pair(pair);
    }
    return 0;
}

/* Close waits for those inside; the stream is freed only then. */
struct inside {
    struct tr_stream *stream;
    atomic_int entered;
};

static int read_inside(void *argument)
{
    struct inside *inside = argument;
    atomic_fetch_add(&inside->entered, 1);
    return read_one(inside->stream);
}

/* One write that cannot end: afterwards the stream is not touched any more. */
static int write_inside(void *argument)
{
    struct inside *inside = argument;
    static char block[100000];
    struct iovec pieces[1000];
    for (int i = 0; i < 1000; i++)
        pieces[i] = (struct iovec){ block, sizeof block };
    atomic_fetch_add(&inside->entered, 1);
    int rc;
    do
        rc = tr_write_v(inside->stream, pieces, 1000, NULL, LONG_TIME);
    while (rc == -EBUSY);
    return rc;
}

NET_TEST(stream_close_waits_for_operations_in_flight)
{
    for (int round = 0; round < 50; round++) {
        struct tr_stream *pair[2];
        make_pair(pair);
        struct inside inside = { .stream = pair[0] };
        struct job reader, writer;
        job_start(&reader, read_inside, &inside);
        job_start(&writer, write_inside, &inside);
        while (atomic_load(&inside.entered) < 2)
            tr_sleep(TR_MILLISECOND);
        /* Inside for certain: both roles are taken. */
        char byte;
        while (tr_read(pair[0], &byte, 1, TR_NOW) != -EBUSY || tr_write(pair[0], "", 0, TR_NOW) != -EBUSY)
            tr_sleep(TR_MILLISECOND);
        tr_stream_close(pair[0]);
        must_be(job_join(&reader), -EPIPE);
        must_be(job_join(&writer), -EPIPE);
        tr_stream_close(pair[1]);
    }
    tr_stream_close(NULL);
    return 0;
}

/* ---- Other sockets ---- */

NET_TEST(stream_open_takes_stream_sockets_only)
{
    int fds[2];
    struct tr_stream *pair[2];
    must_be(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0); /* blocking ones do as well */
    must_be(tr_stream_open(&pair[0], fds[0]), 0);
    must_be(tr_stream_open(&pair[1], fds[1]), 0);
    char buffer[16];
    must_be(tr_read(pair[0], buffer, 1, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    must_be(tr_write(pair[1], "hello", 5, LONG_TIME), 0);
    read_exactly(pair[0], buffer, 5);
    must_be(tr_stream_peer(pair[0], buffer, sizeof buffer), 0);
    must(!strcmp(buffer, "unix"));
    struct job writer;
    job_start(&writer, write_forever, pair[0]);
    tr_sleep(5 * TR_MILLISECOND);
    tr_stream_abort(pair[0]);
    must_be(job_join(&writer), -EPIPE);
    close_pair(pair);
    struct tr_stream *none;
    must_be(tr_stream_open(&none, -1), -EINVAL);
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    must_be(tr_stream_open(&none, fd), -EINVAL);
    close(fd);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must_be(tr_stream_open(&none, fd), -EINVAL);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must_be(listen(fd, 1), 0);
    must_be(tr_stream_open(&none, fd), -EINVAL);
    close(fd);
    return 0;
}

int main(void)
{
    const TTest *const tests[] = {
        stream_pieces_arrive_whole_through_small_buffers,
        stream_write_out_of_time_tells_how_much,
        stream_write_out_of_time_however_well_it_goes,
        stream_read_out_of_time,
        stream_second_reader_or_writer_is_refused,
        stream_both_directions_at_once,
        stream_random_deadlines_lose_nothing,
        stream_half_closed_stream_still_reads,
        stream_writers_beside_an_end_of_stream_wait_for_room,
        stream_reset_by_the_peer,
        stream_cancelled_reader_and_writer_end,
        stream_abort_ends_reader_and_writer,
        stream_close_waits_for_operations_in_flight,
        stream_open_takes_stream_sockets_only,
    };
    return io_main("stream", tests, sizeof tests / sizeof *tests);
}
