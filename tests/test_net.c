/* SPDX-License-Identifier: MIT */
/*
 * test_net.c: TCP streams through the public interface, each test on both backends. Built twice: over the fake waiter
 * and on the real runtime (see tasks.h).
 *
 * Each test ends with as many open descriptors and streams as it began with. Names are looked up in a table of this
 * file (getaddrinfo below), so that no test depends on the network.
 */
#include "tasks.h"

#include "io/stream.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <troupe/net.h>
#include <unistd.h>

#define must(condition) ((condition) ? (void)0 : give_up(__LINE__, #condition, 0, 0))
#define must_be(actual, expected) is(__LINE__, #actual, (long)(actual), (long)(expected))

/* A deadline that only a hang can reach. */
#define LONG_TIME tr_after(60 * TR_SECOND)

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(SANITIZED)
#define ROUNDS(n) ((n) / 5)
#else
#define ROUNDS(n) (n)
#endif

static _Noreturn void give_up(int line, const char *text, long actual, long expected)
{
    fprintf(stderr, "test_net.c:%d: not so: %s (%ld, expected %ld)\n", line, text, actual, expected);
    _exit(99);
}

static void is(int line, const char *text, long actual, long expected)
{
    if (actual != expected)
        give_up(line, text, actual, expected);
}

/* ---- Names ---- */

static atomic_int look_ups;

static struct addrinfo *make_answer(const char *numeric, const char *service, struct addrinfo *next)
{
    struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in));
    struct sockaddr_in *address = (struct sockaddr_in *)(info + 1);
    address->sin_family = AF_INET;
    address->sin_port = htons((uint16_t)atoi(service));
    sscanf(numeric, "%hhu.%hhu.%hhu.%hhu", (unsigned char *)&address->sin_addr, (unsigned char *)&address->sin_addr + 1,
           (unsigned char *)&address->sin_addr + 2, (unsigned char *)&address->sin_addr + 3);
    info->ai_family = AF_INET;
    info->ai_socktype = SOCK_STREAM;
    info->ai_addr = (struct sockaddr *)address;
    info->ai_addrlen = sizeof *address;
    info->ai_next = next;
    return info;
}

/* In the place of the C library's. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    (void)hints;
    if (!strncmp(node, "slow", 4))
        usleep(150000);
    if (!strcmp(node, "one.test") || !strcmp(node, "slow.test"))
        *out = make_answer("127.0.0.1", service, NULL);
    else if (!strcmp(node, "two.test")) /* nobody listens on the first */
        *out = make_answer("127.0.0.9", service, make_answer("127.0.0.1", service, NULL));
    else
        return EAI_NONAME;
    atomic_fetch_add(&look_ups, 1);
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

/* ---- What the tests share ---- */

static int descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static const enum tr_backend backends[] = { TR_BACKEND_URING, TR_BACKEND_EPOLL };

static void run(int which, int (*body)(void *argument))
{
    int before = descriptors();
    must_be(tasks_run(backends[which], body, NULL), 0);
    must_be(tri_stream_count(), 0);
    must_be(descriptors(), before);
}

#define NET_TEST(name)                                                                                                 \
    static int name##_body(void *unused);                                                                              \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        run(_i, name##_body);                                                                                          \
    }                                                                                                                  \
    END_TEST                                                                                                           \
    static int name##_body(void *unused __attribute__((unused)))

/* A connected pair, without anybody's help: the listener's queue holds the connection until it is accepted. */
static void make_pair(struct tr_stream *pair[2])
{
    struct tr_listener *listener;
    must_be(tr_tcp_listen(&listener, "127.0.0.1", 0, NULL), 0);
    must_be(tr_tcp_connect(&pair[0], "127.0.0.1", tr_listener_port(listener), LONG_TIME), 0);
    must_be(tr_tcp_accept(listener, &pair[1], LONG_TIME), 0);
    tr_listener_close(listener);
}

static void close_pair(struct tr_stream *pair[2])
{
    tr_stream_close(pair[0]);
    tr_stream_close(pair[1]);
}

static void read_exactly(struct tr_stream *stream, void *buffer, size_t bytes)
{
    for (size_t got = 0; got < bytes;) {
        ssize_t n = tr_read(stream, (char *)buffer + got, bytes - got, LONG_TIME);
        must(n > 0);
        got += (size_t)n;
    }
}

/* Byte number `at` of the stream that the tests send. */
static char pattern(size_t at)
{
    return (char)(at * 31 + (at >> 9));
}

static void reset_on_close(struct tr_stream *stream)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(tr_stream_fd(stream), SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* The least that the kernel grants, some 4 KiB: every write of more is partial. */
static void shrink_buffer(struct tr_stream *writer)
{
    int bytes = 1;
    setsockopt(tr_stream_fd(writer), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

/* ---- Listening, accepting, connecting ---- */

static int serve_echo(void *argument)
{
    struct tr_stream *stream;
    must_be(tr_tcp_accept(argument, &stream, LONG_TIME), 0);
    char buffer[100];
    ssize_t n;
    while ((n = tr_read(stream, buffer, sizeof buffer, LONG_TIME)) > 0)
        must_be(tr_write(stream, buffer, (size_t)n, LONG_TIME), 0);
    must_be(n, 0);
    tr_stream_close(stream);
    return 7;
}

NET_TEST(net_echo_goes_round)
{
    struct tr_listener *listener;
    must_be(tr_tcp_listen(&listener, "localhost", 0, &(struct tr_listen_options){ .backlog = 5 }), 0);
    must(tr_listener_port(listener) > 0);
    struct job server;
    job_start(&server, serve_echo, listener);
    struct tr_stream *stream;
    must_be(tr_tcp_connect(&stream, "localhost", tr_listener_port(listener), LONG_TIME), 0);
    char peer[64], expected[64];
    snprintf(expected, sizeof expected, "127.0.0.1:%u", tr_listener_port(listener));
    must_be(tr_stream_peer(stream, peer, sizeof peer), 0);
    must(!strcmp(peer, expected));
    must_be(tr_stream_peer(stream, peer, 6), -EINVAL);
    must(!strcmp(peer, "127.0"));
    for (size_t bytes = 1; bytes < 30000; bytes = bytes * 3 + 1) {
        static char out[100000], in[100000];
        for (size_t i = 0; i < bytes; i++)
            out[i] = pattern(i);
        must_be(tr_write(stream, out, bytes, LONG_TIME), 0);
        read_exactly(stream, in, bytes);
        must(!memcmp(in, out, bytes));
    }
    must_be(tr_write(stream, NULL, 0, LONG_TIME), 0);
    must_be(tr_read(stream, peer, 0, LONG_TIME), -EINVAL);
    tr_stream_close(stream);
    must_be(job_join(&server), 7);
    must_be(tr_listener_close(listener), 0);
    return 0;
}

NET_TEST(net_both_ends_have_nodelay_and_cloexec)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    for (int i = 0; i < 2; i++) {
        int on = 0;
        socklen_t bytes = sizeof on;
        must_be(getsockopt(tr_stream_fd(pair[i]), IPPROTO_TCP, TCP_NODELAY, &on, &bytes), 0);
        must(on);
        must(fcntl(tr_stream_fd(pair[i]), F_GETFD) & FD_CLOEXEC);
    }
    must_be(tri_stream_count(), 2);
    close_pair(pair);
    return 0;
}

NET_TEST(net_listen_errors)
{
    struct tr_listener *one, *other;
    must_be(tr_tcp_listen(&one, NULL, 0, NULL), 0);
    must_be(tr_tcp_listen(&other, NULL, tr_listener_port(one), NULL), -EADDRINUSE);
    must_be(tr_listener_close(one), 0);
    must_be(tr_tcp_listen(&other, "not.a.number", 0, NULL), -EINVAL);
    must_be(tr_tcp_listen(&other, "192.0.2.1", 0, NULL), -EINVAL); /* not of this machine */
    must_be(tr_tcp_listen(&one, NULL, 0, &(struct tr_listen_options){ .reuse_port = true }), 0);
    must_be(tr_tcp_listen(&other, NULL, tr_listener_port(one), &(struct tr_listen_options){ .reuse_port = true }), 0);
    tr_listener_close(one);
    tr_listener_close(other);
    return 0;
}

NET_TEST(net_version_six)
{
    struct tr_listener *listener;
    int rc = tr_tcp_listen(&listener, "::1", 0, NULL);
    if (rc == -EAFNOSUPPORT || rc == -EINVAL)
        return 0; /* this machine has none */
    must_be(rc, 0);
    struct tr_stream *pair[2];
    must_be(tr_tcp_connect(&pair[0], "::1", tr_listener_port(listener), LONG_TIME), 0);
    must_be(tr_tcp_accept(listener, &pair[1], LONG_TIME), 0);
    char peer[64];
    must_be(tr_stream_peer(pair[0], peer, sizeof peer), 0);
    must(!strncmp(peer, "[::1]:", 6));
    close_pair(pair);
    /* localhost tries the other family as well */
    must_be(tr_tcp_connect(&pair[0], "localhost", tr_listener_port(listener), LONG_TIME), 0);
    tr_stream_close(pair[0]);
    tr_listener_close(listener);
    return 0;
}

NET_TEST(net_accept_waits_no_longer_than_asked)
{
    struct tr_listener *listener;
    must_be(tr_tcp_listen(&listener, NULL, 0, NULL), 0);
    struct tr_stream *stream;
    tr_time deadline = tr_after(10 * TR_MILLISECOND);
    must_be(tr_tcp_accept(listener, &stream, deadline), -ETIMEDOUT);
    must(tr_clock() >= deadline);
    must_be(tr_tcp_accept(listener, &stream, TR_NOW), -ETIMEDOUT);
    must_be(tri_stream_count(), 0);
    tr_listener_close(listener);
    return 0;
}

static int accept_one(void *listener)
{
    struct tr_stream *stream;
    int rc = tr_tcp_accept(listener, &stream, LONG_TIME);
    if (rc == 0)
        tr_stream_close(stream);
    return rc;
}

NET_TEST(net_listener_closed_under_acceptors)
{
    for (int round = 0; round < 20; round++) {
        struct tr_listener *listener;
        struct job jobs[3];
        must_be(tr_tcp_listen(&listener, NULL, 0, NULL), 0);
        for (int i = 0; i < 3; i++)
            job_start(&jobs[i], accept_one, listener);
        tr_sleep(round % 3 * TR_MILLISECOND);
        /* Those that have not come that far would use a listener that is gone. */
        while (round % 3 == 0 && tri_stream_count() < 3)
            tr_sleep(TR_MILLISECOND);
        while (tri_stream_count() < 3)
            tr_sleep(TR_MILLISECOND);
        tr_listener_close(listener);
        for (int i = 0; i < 3; i++)
            must_be(job_join(&jobs[i]), -EPIPE);
    }
    return 0;
}

NET_TEST(net_connect_refused)
{
    struct tr_listener *listener;
    must_be(tr_tcp_listen(&listener, "127.0.0.1", 0, NULL), 0);
    uint16_t port = tr_listener_port(listener);
    tr_listener_close(listener);
    struct tr_stream *stream;
    must_be(tr_tcp_connect(&stream, "127.0.0.1", port, LONG_TIME), -ECONNREFUSED);
    must_be(tr_tcp_connect(&stream, "localhost", port, LONG_TIME), -ECONNREFUSED);
    return 0;
}

/* A listener whose queue is full answers no more: the place to wait in vain. */
struct full {
    int fd;
    uint16_t port;
    int clients[64];
    int count;
};

static void make_full(struct full *full)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t bytes = sizeof address;
    full->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must_be(bind(full->fd, (struct sockaddr *)&address, bytes), 0);
    must_be(listen(full->fd, 0), 0);
    must_be(getsockname(full->fd, (struct sockaddr *)&address, &bytes), 0);
    full->port = ntohs(address.sin_port);
    full->count = 0;
    for (;;) {
        must(full->count < 64);
        int fd = full->clients[full->count++] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, bytes) < 0) {
            usleep(20000);
            struct tcp_info info;
            bytes = sizeof info;
            getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes);
            if (info.tcpi_state == TCP_SYN_SENT)
                return;
            bytes = sizeof address;
        }
    }
}

static void free_full(struct full *full)
{
    for (int i = 0; i < full->count; i++)
        close(full->clients[i]);
    close(full->fd);
}

static int connect_in_vain(void *port)
{
    struct tr_stream *stream;
    return tr_tcp_connect(&stream, "127.0.0.1", *(uint16_t *)port, LONG_TIME);
}

NET_TEST(net_connect_gives_up)
{
    struct full full;
    make_full(&full);
    struct tr_stream *stream;
    tr_time deadline = tr_after(20 * TR_MILLISECOND);
    must_be(tr_tcp_connect(&stream, "127.0.0.1", full.port, deadline), -ETIMEDOUT);
    must(tr_clock() >= deadline);
    must_be(tr_tcp_connect(&stream, "127.0.0.1", full.port, TR_NOW), -ETIMEDOUT);
    struct job job;
    job_start(&job, connect_in_vain, &full.port);
    tr_sleep(5 * TR_MILLISECOND);
    job_cancel(&job);
    must_be(job_join(&job), -ECANCELED);
    free_full(&full);
    return 0;
}

NET_TEST(net_names)
{
    struct tr_listener *listener;
    must_be(tr_tcp_listen(&listener, "127.0.0.1", 0, NULL), 0);
    uint16_t port = tr_listener_port(listener);
    static const char *const good[] = { "one.test", "two.test", "slow.test" };
    struct tr_stream *pair[2];
    for (int i = 0; i < 3; i++) {
        must_be(tr_tcp_connect(&pair[0], good[i], port, LONG_TIME), 0);
        must_be(tr_tcp_accept(listener, &pair[1], LONG_TIME), 0);
        close_pair(pair);
    }
    must_be(tr_tcp_connect(&pair[0], "unknown.test", port, LONG_TIME), -EHOSTUNREACH);
    must_be(tr_tcp_connect(&pair[0], "", port, LONG_TIME), -EINVAL);
    must_be(tr_tcp_connect(&pair[0], NULL, port, LONG_TIME), -EINVAL);
    char name[5000];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = 0;
    must_be(tr_tcp_connect(&pair[0], name, port, LONG_TIME), -EINVAL);
    tr_listener_close(listener);
    return 0;
}

static int look_up_slowly(void *unused)
{
    (void)unused;
    struct tr_stream *stream;
    return tr_tcp_connect(&stream, "slow.unknown", 1, LONG_TIME);
}

/* The caller goes at its deadline; the look-up ends by itself, and nothing leaks (ASan, and the wait at the end). */
NET_TEST(net_slow_name_is_left_behind)
{
    struct tr_stream *stream;
    int before = atomic_load(&look_ups);
    for (int i = 0; i < 30; i++) { /* more than there are threads */
        tr_time start = tr_clock();
        must_be(tr_tcp_connect(&stream, "slow.test", 1, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
        must(tr_clock() - start < 100 * TR_MILLISECOND || i < 29);
    }
    struct job job;
    job_start(&job, look_up_slowly, NULL);
    tr_sleep(2 * TR_MILLISECOND);
    job_cancel(&job);
    must_be(job_join(&job), -ECANCELED);
    must_be(tr_tcp_connect(&stream, "unknown.test", 1, LONG_TIME), -EHOSTUNREACH);
    tr_sleep(400 * TR_MILLISECOND);
    must(atomic_load(&look_ups) > before);
    return 0;
}

/* ---- Many connections ---- */

struct churn {
    struct tr_listener *listener;
    int count;
};

static int accept_and_close(void *argument)
{
    struct churn *churn = argument;
    for (int i = 0; i < churn->count; i++) {
        struct tr_stream *stream;
        int rc = tr_tcp_accept(churn->listener, &stream, LONG_TIME);
        if (rc == -ECONNABORTED) {
            i--;
            continue;
        }
        must_be(rc, 0);
        if (i % 2)
            reset_on_close(stream);
        tr_stream_close(stream);
    }
    return 0;
}

NET_TEST(net_ten_thousand_connections_come_and_go)
{
    struct churn churn = { .count = ROUNDS(10000) };
    must_be(tr_tcp_listen(&churn.listener, "127.0.0.1", 0, NULL), 0);
    struct job job;
    job_start(&job, accept_and_close, &churn);
    for (int i = 0; i < churn.count; i++) {
        struct tr_stream *stream;
        int rc = tr_tcp_connect(&stream, "127.0.0.1", tr_listener_port(churn.listener), LONG_TIME);
        if (rc == -ECONNRESET) /* the other end was quicker */
            continue;
        must_be(rc, 0);
        if (i % 2 == 0)
            reset_on_close(stream);
        tr_stream_close(stream);
    }
    must_be(job_join(&job), 0);
    tr_listener_close(churn.listener);
    return 0;
}

NET_TEST(net_accept_without_descriptors_keeps_the_connection)
{
    struct tr_listener *listener;
    struct tr_stream *pair[2], *none;
    must_be(tr_tcp_listen(&listener, "127.0.0.1", 0, NULL), 0);
    must_be(tr_tcp_connect(&pair[0], "127.0.0.1", tr_listener_port(listener), LONG_TIME), 0);
    struct rlimit limit, low;
    getrlimit(RLIMIT_NOFILE, &limit);
    int free_fd = dup(0);
    close(free_fd);
    low = limit;
    low.rlim_cur = (rlim_t)free_fd;
    must_be(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (int i = 0; i < 5; i++) {
        must_be(tr_tcp_accept(listener, &none, tr_after(20 * TR_MILLISECOND)), -EMFILE);
        must_be(tr_tcp_connect(&none, "127.0.0.1", tr_listener_port(listener), LONG_TIME), -EMFILE);
    }
    must_be(setrlimit(RLIMIT_NOFILE, &limit), 0);
    must_be(tr_tcp_accept(listener, &pair[1], LONG_TIME), 0);
    must_be(tr_write(pair[0], "x", 1, LONG_TIME), 0);
    char byte;
    must_be(tr_read(pair[1], &byte, 1, LONG_TIME), 1);
    close_pair(pair);
    tr_listener_close(listener);
    return 0;
}

/* A connection and a deadline at the same time: none is lost. */
static int connect_many(void *argument)
{
    struct churn *churn = argument;
    for (int i = 0; i < churn->count; i++) {
        struct tr_stream *stream;
        must_be(tr_tcp_connect(&stream, "127.0.0.1", tr_listener_port(churn->listener), LONG_TIME), 0);
        char byte;
        must_be(tr_read(stream, &byte, 1, LONG_TIME), 1); /* the other end has accepted */
        tr_stream_close(stream);
    }
    return 0;
}

NET_TEST(net_accept_deadline_against_success)
{
    struct churn churn = { .count = ROUNDS(2000) };
    must_be(tr_tcp_listen(&churn.listener, "127.0.0.1", 0, NULL), 0);
    struct job job;
    job_start(&job, connect_many, &churn);
    for (int accepted = 0, turn = 0; accepted < churn.count; turn++) {
        struct tr_stream *stream;
        int rc = tr_tcp_accept(churn.listener, &stream, tr_after(turn % 50 * TR_MICROSECOND));
        if (rc == -ETIMEDOUT)
            continue;
        must_be(rc, 0);
        accepted++;
        must_be(tr_write(stream, "x", 1, LONG_TIME), 0);
        reset_on_close(stream);
        char byte;
        must_be(tr_read(stream, &byte, 1, LONG_TIME), 0);
        tr_stream_close(stream);
    }
    must_be(job_join(&job), 0);
    tr_listener_close(churn.listener);
    return 0;
}

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

NET_TEST(net_pieces_arrive_whole_through_small_buffers)
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
    must_be(tr_write_v(pair[0], pieces, -1, &written, LONG_TIME), -EINVAL);
    free(block);
    free(pieces);
    close_pair(pair);
    return 0;
}

NET_TEST(net_write_out_of_time_tells_how_much)
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
        size_t more;
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

NET_TEST(net_read_out_of_time)
{
    struct tr_stream *pair[2];
    make_pair(pair);
    char byte;
    tr_time deadline = tr_after(5 * TR_MILLISECOND);
    must_be(tr_read(pair[0], &byte, 1, deadline), -ETIMEDOUT);
    must(tr_clock() >= deadline);
    must_be(tr_read(pair[0], &byte, 1, TR_NOW), -ETIMEDOUT);
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

NET_TEST(net_second_reader_or_writer_is_refused)
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
NET_TEST(net_both_directions_at_once)
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

NET_TEST(net_half_closed_stream_still_reads)
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

NET_TEST(net_reset_by_the_peer)
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

NET_TEST(net_random_deadlines_lose_nothing)
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

NET_TEST(net_cancelled_reader_and_writer_end)
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

NET_TEST(net_abort_ends_reader_and_writer)
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

NET_TEST(net_close_waits_for_operations_in_flight)
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

NET_TEST(net_open_takes_stream_sockets_only)
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
    return 0;
}

int main(void)
{
    const TTest *const both[] = {
        net_echo_goes_round,
        net_both_ends_have_nodelay_and_cloexec,
        net_listen_errors,
        net_version_six,
        net_accept_waits_no_longer_than_asked,
        net_listener_closed_under_acceptors,
        net_connect_refused,
        net_connect_gives_up,
        net_names,
        net_slow_name_is_left_behind,
        net_ten_thousand_connections_come_and_go,
        net_accept_without_descriptors_keeps_the_connection,
        net_accept_deadline_against_success,
        net_pieces_arrive_whole_through_small_buffers,
        net_write_out_of_time_tells_how_much,
        net_read_out_of_time,
        net_second_reader_or_writer_is_refused,
        net_both_directions_at_once,
        net_random_deadlines_lose_nothing,
        net_half_closed_stream_still_reads,
        net_reset_by_the_peer,
        net_cancelled_reader_and_writer_end,
        net_abort_ends_reader_and_writer,
        net_close_waits_for_operations_in_flight,
        net_open_takes_stream_sockets_only,
    };
    Suite *suite = suite_create("net");
    TCase *tests = tcase_create("net");
    tcase_set_timeout(tests, 300);
    /* TR_BACKEND narrows it to one backend. */
    const char *only = getenv("TR_BACKEND");
    int first = only && !strcmp(only, "epoll"), end = only && !strcmp(only, "uring") ? 1 : 2;
    for (size_t i = 0; i < sizeof both / sizeof *both; i++)
        tcase_add_loop_test(tests, both[i], first, end);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
