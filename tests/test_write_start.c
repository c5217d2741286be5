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
    size_t bytes;
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
            must(buffer[i] == pattern(got));
    }
    free(buffer);
    return end(0);
}

/* A pair whose first stream holds as little as can be, and a block of `bytes` to write to it. */
struct scene {
    struct tr_stream *pair[2];
    char *block;
    size_t filled; /* so much of the block is written */
};

static void begin(struct scene *scene, size_t bytes)
{
    *scene = (struct scene){ .block = patterned(bytes) };
    make_pair(scene->pair);
    shrink_buffer(scene->pair[0]);
}

/* The same, and a write of one more byte would have to wait. */
static void begin_full(struct scene *scene, size_t bytes)
{
    begin(scene, bytes);
    size_t written;
    int rc;
    do {
        struct iovec piece = { scene->block + scene->filled, MOST - scene->filled };
        rc = tr_write_v(scene->pair[0], &piece, 1, &written, tr_after(20 * TR_MILLISECOND));
        scene->filled += written;
    } while (rc == 0 || written > 0);
    must_be(rc, -ETIMEDOUT);
    must(scene->filled < MOST);
}

static int start(const struct scene *scene, size_t bytes)
{
    return tr_write_start(scene->pair[0], scene->block + scene->filled, bytes);
}

/* The other end reads what was written, all of it. */
static void read_all(const struct scene *scene, size_t bytes)
{
    struct reading reading = { .stream = scene->pair[1], .bytes = bytes };
    struct job job;
    job_start(&job, read_pattern, &reading);
    must_be(join(&job), 0);
}

static void finish_scene(struct scene *scene)
{
    free(scene->block);
    close_pair(scene->pair);
}

NET_TEST(write_start_and_finish_in_turns)
{
    struct scene scene;
    begin(&scene, MOST);
    struct reading reading = { .stream = scene.pair[1], .bytes = MOST };
    struct job job;
    job_start(&job, read_pattern, &reading);
    size_t written, step = 1;
    for (; scene.filled < MOST; scene.filled += step) {
        step = step * 3 % 200003 + 1;
        if (step > MOST - scene.filled)
            step = MOST - scene.filled;
        must_be(start(&scene, step), 0);
        must_be(tr_write_finish(scene.pair[0], &written, LONG_TIME), 0);
        must_be(written, step);
    }
    must_be(join(&job), 0);
    finish_scene(&scene);
    return 0;
}

/* Nobody waits for the write, and all of it arrives, however little the socket takes at a time. */
NET_TEST(write_start_goes_on_by_itself)
{
    static const size_t sizes[] = { 1, 100, 16384, 16385, MOST };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct scene scene;
        size_t written;
        begin(&scene, sizes[i]);
        must_be(start(&scene, sizes[i]), 0);
        read_all(&scene, sizes[i]);
        must_be(tr_write_finish(scene.pair[0], &written, LONG_TIME), 0);
        must_be(written, sizes[i]);
        finish_scene(&scene);
    }
    return 0;
}

/* A short one into a socket that is full: what counts on its end must not wait for ever. */
NET_TEST(write_start_short_into_a_full_socket)
{
    struct scene scene;
    begin_full(&scene, MOST + 10000);
    must_be(start(&scene, 10000), 0);
    must_be(tr_sleep(TR_MILLISECOND), 0);
    read_all(&scene, scene.filled + 10000);
    must_be(tr_write_finish(scene.pair[0], NULL, LONG_TIME), 0);
    finish_scene(&scene);
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
    struct scene scene;
    size_t written;
    begin_full(&scene, 5 * MOST);
    for (int round = 0; round < 3; round++) {
        must_be(start(&scene, MOST), 0);
        must_be(tr_write_finish(scene.pair[0], &written, round ? tr_after(5 * TR_MILLISECOND) : TR_NOW), -ETIMEDOUT);
        must(written < MOST);
        scene.filled += written;
    }
    must_be(start(&scene, 1000), 0);
    read_all(&scene, scene.filled + 1000);
    must_be(tr_write_finish(scene.pair[0], &written, LONG_TIME), 0);
    must_be(written, 1000);
    finish_scene(&scene);
    return 0;
}

static atomic_int entered;

static int start_and_finish(void *argument)
{
    const struct scene *scene = argument;
    must_be(start(scene, MOST), 0);
    atomic_store(&entered, 1);
    int rc = tr_write_finish(scene->pair[0], NULL, LONG_TIME);
    if (rc == -ECANCELED)
        must_be(start(scene, 1), -ECANCELED);
    return end(rc);
}

static int finish(void *argument)
{
    return end(tr_write_finish(((const struct scene *)argument)->pair[0], NULL, LONG_TIME));
}

NET_TEST(write_finish_cancelled)
{
    struct scene scene;
    begin_full(&scene, 2 * MOST);
    struct job job;
    job_start(&job, start_and_finish, &scene);
    tr_sleep(20 * TR_MILLISECOND);
    job_cancel(&job);
    must_be(join(&job), -ECANCELED);
    must_be(start(&scene, 1), 0); /* the place is free again */
    finish_scene(&scene);         /* without a finish */
    return 0;
}

NET_TEST(write_start_aborted)
{
    struct scene scene;
    size_t written = MOST;
    begin_full(&scene, 2 * MOST);
    must_be(start(&scene, MOST), 0);
    tr_stream_abort(scene.pair[0]);
    must_be(tr_write_finish(scene.pair[0], &written, LONG_TIME), -EPIPE);
    must(written < MOST);
    must_be(start(&scene, 1), -EPIPE);
    must_be(tr_write_finish(scene.pair[0], &written, LONG_TIME), 0);
    finish_scene(&scene);
    return 0;
}

/* Under whoever finishes, before anybody has, and when it is over but nobody has looked. */
NET_TEST(write_start_closed)
{
    for (int round = 0; round < 40; round++) {
        struct scene scene;
        struct job job;
        bool finisher = round % 4 == 3;
        if (round % 4)
            begin_full(&scene, 2 * MOST);
        else
            begin(&scene, 1);
        must_be(start(&scene, round % 4 ? MOST : 1), 0);
        if (round % 4 == 2)
            tr_sleep(2 * TR_MILLISECOND);
        if (finisher) {
            job_start(&job, finish, &scene);
            tr_sleep(20 * TR_MILLISECOND);
        }
        tr_stream_close(scene.pair[0]);
        if (finisher)
            must_be(join(&job), -EPIPE);
        tr_stream_close(scene.pair[1]);
        free(scene.block);
    }
    return 0;
}

NET_TEST(write_start_reset_by_the_peer)
{
    struct scene scene;
    begin_full(&scene, 2 * MOST);
    must_be(start(&scene, MOST), 0);
    reset_on_close(scene.pair[1]);
    tr_stream_close(scene.pair[1]);
    int rc = tr_write_finish(scene.pair[0], NULL, LONG_TIME);
    must(rc == -ECONNRESET || rc == -EPIPE);
    tr_stream_close(scene.pair[0]);
    free(scene.block);
    return 0;
}

NET_TEST(write_finish_by_another_task)
{
    for (int round = 0; round < ROUNDS(500); round++) {
        struct scene scene = { .block = patterned((size_t)round * 100 + 1) };
        struct job job;
        make_pair(scene.pair);
        must_be(start(&scene, (size_t)round * 100 + 1), 0);
        job_start(&job, finish, &scene);
        if (round % 3 == 0)
            tr_sleep(round % 7 * 20 * TR_MICROSECOND);
        int rc = tr_write_finish(scene.pair[0], NULL, LONG_TIME), other = join(&job);
        must((rc == 0 || rc == -EBUSY) && (other == 0 || other == -EBUSY) && rc + other >= -EBUSY);
        read_all(&scene, (size_t)round * 100 + 1);
        finish_scene(&scene);
    }
    return 0;
}

/* Both wait for the same write, which has to wait itself: one of the two is told that the other does. */
static bool is_told(void)
{
    struct scene scene;
    struct job job;
    begin_full(&scene, 2 * MOST);
    atomic_store(&entered, 0);
    job_start(&job, start_and_finish, &scene);
    while (!atomic_load(&entered))
        tr_sleep(TR_MILLISECOND);
    int rc = tr_write_finish(scene.pair[0], NULL, tr_after(20 * TR_MILLISECOND));
    must(rc == -EBUSY || rc == -ETIMEDOUT); /* or we were first */
    tr_stream_abort(scene.pair[0]);
    int other = join(&job);
    must(rc == -EBUSY ? other == -EPIPE : other == 0 || other == -EBUSY);
    finish_scene(&scene);
    return rc == -EBUSY;
}

NET_TEST(write_finish_is_for_one)
{
    int rounds = 100;
    while (!is_told())
        must(--rounds > 0);
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

/* Asks a thread and waits for its answer. Returns the system calls of the reactor for each time that the task stayed there. */
static double enters_for_each(struct tr_stream *stream)
{
    uint64_t enters = 0;
    int stayed = 0;
    for (int i = 0; i < 500; i++) {
        struct tri_reactor *reactor = tri_reactor_here();
        uint64_t before = tri_reactor_enters(reactor);
        char byte;
        must_be(tr_write_start(stream, "x", 1), 0);
        must_be(tr_read(stream, &byte, 1, LONG_TIME), 1);
        must_be(tr_write_finish(stream, NULL, LONG_TIME), 0);
        if (tri_reactor_here() == reactor) {
            enters += tri_reactor_enters(reactor) - before;
            stayed++;
        }
    }
    const char *migrate = getenv("TR_TEST_MIGRATE");
    must(stayed >= 100 || (migrate && !strcmp(migrate, "1")));
    return stayed > 0 ? (double)enters / stayed : 1;
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
