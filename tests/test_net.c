/* SPDX-License-Identifier: MIT */
/*
 * test_net.c: listening, accepting and connecting, each test on both backends.
 *
 * Names are looked up in a table of this file (getaddrinfo below), so that no test depends on the network.
 */
#include "net_support.h"

#include "io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>

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
        return strcmp(node, "later.test") ? EAI_NONAME : EAI_AGAIN;
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

NET_TEST(net_listener_aborted_before_and_under_acceptors)
{
    for (int round = 0; round < 20; round++) {
        struct tr_listener *listener;
        struct job jobs[3];
        must_be(tr_tcp_listen(&listener, NULL, 0, NULL), 0);
        for (int i = 0; i < 3; i++)
            job_start(&jobs[i], accept_one, listener);
        if (round % 2)
            tr_sleep(round % 3 * TR_MILLISECOND);
        /* Some are inside, others on their way: the listener is there for both. */
        tr_listener_abort(listener);
        tr_listener_abort(listener);
        for (int i = 0; i < 3; i++)
            must_be(job_join(&jobs[i]), -EPIPE);
        must_be(accept_one(listener), -EPIPE);
        must_be(tr_listener_close(listener), 0);
    }
    return tr_listener_close(NULL);
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

/* A peer that takes nothing for longer than the socket is willing to wait: that is not the caller's deadline. */
NET_TEST(net_connection_given_up_by_the_kernel_is_reset)
{
    struct tr_listener *listener;
    struct tr_stream *pair[2];
    unsigned patience = 50; /* ms */
    size_t bytes = (size_t)64 << 20;
    char *much = calloc(1, bytes);
    must_be(tr_tcp_listen(&listener, "127.0.0.1", 0, NULL), 0);
    must_be(tr_tcp_connect(&pair[0], "127.0.0.1", tr_listener_port(listener), LONG_TIME), 0);
    must_be(tr_tcp_accept(listener, &pair[1], LONG_TIME), 0);
    must_be(setsockopt(tr_stream_fd(pair[0]), IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience), 0);
    must_be(tr_write(pair[0], much, bytes, TR_FOREVER), -ECONNRESET);
    close_pair(pair);
    tr_listener_close(listener);
    free(much);
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
    int before = atomic_load(&look_ups), left_behind = 0;
    for (int i = 0; i < 30; i++) { /* more than there are threads */
        int ended = atomic_load(&look_ups);
        must_be(tr_tcp_connect(&stream, "slow.test", 1, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
        left_behind += atomic_load(&look_ups) == ended;
    }
    must(left_behind > 0);
    struct job job;
    job_start(&job, look_up_slowly, NULL);
    tr_sleep(2 * TR_MILLISECOND);
    job_cancel(&job);
    must_be(job_join(&job), -ECANCELED);
    must_be(tr_tcp_connect(&stream, "unknown.test", 1, LONG_TIME), -EHOSTUNREACH);
    must_be(tr_tcp_connect(&stream, "later.test", 1, LONG_TIME), -ENETUNREACH);
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

int main(void)
{
    const TTest *const tests[] = {
        net_echo_goes_round,
        net_both_ends_have_nodelay_and_cloexec,
        net_listen_errors,
        net_version_six,
        net_accept_waits_no_longer_than_asked,
        net_listener_closed_under_acceptors,
        net_listener_aborted_before_and_under_acceptors,
        net_connect_refused,
        net_connect_gives_up,
        net_connection_given_up_by_the_kernel_is_reset,
        net_names,
        net_slow_name_is_left_behind,
        net_ten_thousand_connections_come_and_go,
        net_accept_without_descriptors_keeps_the_connection,
        net_accept_deadline_against_success,
    };
    return io_main("net", tests, sizeof tests / sizeof *tests);
}
