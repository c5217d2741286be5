/* SPDX-License-Identifier: MIT */
/*
 * waits_io.c: the rows of actors and their mailboxes, and of sockets (see waits.h).
 */
#include "tests/waits.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* ---- sending to an actor -------------------------------------------------------------------------------------- */

/* It takes as many messages as it is allowed to, and expects them in order. */
static struct number_address taker;
static struct tr_task taker_task;
static struct tr_semaphore allowed;
static int64_t sent;

static int take_as_allowed(void *argument)
{
    struct number message;
    int64_t taken = 0;
    int rc;
    (void)argument;
    while ((rc = tr_semaphore_acquire(&allowed, 1, TR_FOREVER)) == 0 && (rc = tr_receive(&message, TR_FOREVER)) == 0)
        expect_int(message.value, taken++);
    expect_int(taken, sent);
    return rc == -EPIPE ? 0 : rc;
}

static void begin_send(void)
{
    expect_int(tr_semaphore_init(&allowed, 0), 0);
    taker = test_loop(take_as_allowed, NULL, WAIT_DEPTH, &taker_task);
    for (sent = 0; sent < WAIT_DEPTH; sent++)
        expect_int(tr_try_send(taker, &(struct number){ .value = sent }), 0);
}

static void ready_send(int count)
{
    expect_int(tr_semaphore_release(&allowed, (uint64_t)count), 0);
    wait_until(test_queued(taker) == (unsigned)(WAIT_DEPTH - count));
}

static int call_send(tr_time deadline)
{
    int rc = tr_send(taker, deadline, &(struct number){ .value = sent });
    if (rc == 0)
        sent++;
    return rc;
}

static void end_send(void)
{
    expect_int(tr_actor_stop(taker), 0);
    expect_int(tr_semaphore_release(&allowed, 1000000), 0);
    expect_int(test_join(taker_task), 0);
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

/* Keeps its callers waiting until it may answer. */
struct server {
    struct number_address address;
    struct tr_task task;
    struct tr_latch may_answer;
    bool ready;
    int served, answers; /* in that order, of one request */
};
static struct server called, gathered;

static int serve(void *argument)
{
    struct server *server = argument;
    struct number message;
    int rc;
    (void)tr_latch_wait(&server->may_answer, TR_FOREVER);
    while ((rc = tr_receive(&message, TR_FOREVER)) == 0) {
        server->served++;
        expect_int(tr_reply(message.reply, &message.value), 0);
    }
    return rc == -EPIPE ? 0 : rc;
}

static void begin_server(struct server *server)
{
    expect_int(tr_latch_init(&server->may_answer, 1), 0);
    server->ready = false;
    server->served = server->answers = 0;
    server->address = test_loop(serve, server, 1024, &server->task);
}

static void ready_server(struct server *server)
{
    server->ready = true;
    expect_int(tr_latch_count_down(&server->may_answer, 1), 0);
    test_settle();
    expect_int(server->served, 0); /* those before had given up, and were skipped */
}

static int answer(struct server *server, int rc, int64_t value)
{
    if (rc == 0)
        expect_int(value, server->answers++);
    return rc;
}

/* No request was served but those that have an answer. */
static void end_server(struct server *server)
{
    if (!server->ready)
        ready_server(server);
    expect_int(tr_actor_stop(server->address), 0);
    expect_int(test_join(server->task), 0);
    expect_int(server->served, server->answers);
}

static void begin_call(void)
{
    begin_server(&called);
}

static void ready_call(int count)
{
    (void)count;
    ready_server(&called);
}

static int call_call(tr_time deadline)
{
    int64_t value = -1;
    int rc = tr_call(called.address, &value, deadline, &(struct number){ .value = called.answers });
    return answer(&called, rc, value);
}

static void end_call(void)
{
    end_server(&called);
}

static void begin_gather(void)
{
    begin_server(&gathered);
}

static void ready_gather(int count)
{
    (void)count;
    ready_server(&gathered);
}

static int call_gather(tr_time deadline)
{
    int64_t value = -1;
    struct number message = { .value = gathered.answers };
    struct tr_gather_call call = tr_gather_call(gathered.address, &value, &message);
    int succeeded = tr_gather(&call, 1, deadline, TR_GATHER_ALL);
    expect_int(succeeded, call.result == 0);
    return answer(&gathered, call.result, value);
}

static void end_gather(void)
{
    end_server(&gathered);
}

/* ---- receiving ------------------------------------------------------------------------------------------------ */

static int64_t put, got;

static void begin_receive(void)
{
    put = got = 0;
}

static void ready_receive(int count)
{
    struct number_address self;
    expect_int(tr_self(&self), 0);
    for (; count > 0; count--, put++)
        expect_int(tr_try_send(self, &(struct number){ .value = put }), 0);
}

static int call_receive(tr_time deadline)
{
    struct number message;
    int rc = tr_receive(&message, deadline);
    if (rc == 0)
        expect_int(message.value, got++);
    return rc;
}

static int call_receive_many(tr_time deadline)
{
    struct number message;
    int rc = tr_receive_many(&message, 1, deadline);
    if (rc > 0)
        expect_int(message.value, got++);
    return rc;
}

static void end_nothing(void)
{
}

/* ---- sockets -------------------------------------------------------------------------------------------------- */

static struct tr_listener *accepting, *reached;
static struct tr_stream *streams[WAIT_DEPTH], *connected[2 * WAIT_DEPTH], *reader, *writer;
static int clients[WAIT_DEPTH], client_count, accepted, connects, reader_peer, writer_peer;
static int64_t written;

static void begin_accept(void)
{
    client_count = accepted = 0;
    expect_int(tr_tcp_listen(&accepting, "127.0.0.1", 0, NULL), 0);
}

static void ready_accept(int count)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(tr_listener_port(accepting)) };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (; count > 0; count--, client_count++) {
        clients[client_count] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        expect_int(connect(clients[client_count], (struct sockaddr *)&to, sizeof to), 0);
    }
}

static int call_accept(tr_time deadline)
{
    int rc = tr_tcp_accept(accepting, &streams[accepted], deadline);
    if (rc == 0)
        accepted++;
    return rc;
}

static void end_accept(void)
{
    for (; accepted > 0; accepted--)
        tr_stream_close(streams[accepted - 1]);
    for (; client_count > 0; client_count--)
        close(clients[client_count - 1]);
    expect_int(tr_listener_close(accepting), 0);
}

static void begin_connect(void)
{
    connects = 0;
    expect_int(tr_tcp_listen(&reached, "127.0.0.1", 0, NULL), 0);
}

static void ready_connect(int count)
{
    (void)count;
}

static int call_connect(tr_time deadline)
{
    expect(connects < 2 * WAIT_DEPTH);
    int rc = tr_tcp_connect(&connected[connects], "127.0.0.1", tr_listener_port(reached), deadline);
    if (rc == 0)
        connects++;
    return rc;
}

/* The listener has seen no connection but those. */
static void end_connect(void)
{
    struct tr_stream *stream;
    for (; connects > 0; connects--) {
        expect_int(tr_tcp_accept(reached, &stream, tr_after(LONG_TIME)), 0);
        tr_stream_close(stream);
        tr_stream_close(connected[connects - 1]);
    }
    expect_int(tr_tcp_accept(reached, &stream, TR_NOW), -ETIMEDOUT);
    expect_int(tr_listener_close(reached), 0);
}

static int make_pair(struct tr_stream **stream)
{
    int pair[2];
    expect_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    expect_int(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    expect_int(tr_stream_open(stream, pair[0]), 0);
    return pair[1];
}

static void begin_read(void)
{
    put = got = 0;
    reader_peer = make_pair(&reader);
}

static void ready_read(int count)
{
    for (; count > 0; count--, put++)
        expect_int(write(reader_peer, &(char){ (char)put }, 1), 1);
}

static int call_read(tr_time deadline)
{
    char byte;
    int rc = (int)tr_read(reader, &byte, 1, deadline);
    if (rc > 0)
        expect_int(byte, (char)got++);
    return rc;
}

static void end_read(void)
{
    tr_stream_close(reader);
    close(reader_peer);
}

static void begin_write(void)
{
    char bytes[4096] = { 0 };
    written = 0;
    writer_peer = make_pair(&writer);
    int fd = tr_stream_fd(writer);
    for (size_t step = sizeof bytes; step > 0; step = step > 1 ? 1 : 0)
        for (ssize_t n; (n = send(fd, bytes, step, MSG_DONTWAIT)) > 0;)
            written += n;
}

static void drain(void)
{
    char bytes[4096];
    for (ssize_t n; (n = read(writer_peer, bytes, sizeof bytes)) > 0;)
        written -= n;
    expect_int(written, 0);
}

static void ready_write(int count)
{
    (void)count;
    drain();
}

static int call_write(tr_time deadline)
{
    int rc = tr_write(writer, "x", 1, deadline);
    if (rc == 0)
        written++;
    return rc;
}

static void end_write(void)
{
    drain();
    tr_stream_close(writer);
    close(writer_peer);
}

static void begin_nothing(void)
{
}

static void ready_nothing(int count)
{
    (void)count;
}

static int call_stream_close(tr_time deadline)
{
    struct tr_stream *stream;
    (void)deadline;
    close(make_pair(&stream));
    tr_stream_close(stream);
    return 0;
}

static int call_listener_close(tr_time deadline)
{
    struct tr_listener *listener;
    (void)deadline;
    expect_int(tr_tcp_listen(&listener, "127.0.0.1", 0, NULL), 0);
    return tr_listener_close(listener);
}

const struct wait_row waits_of_io[] = {
    { "send", begin_send, ready_send, call_send, NULL, end_send, 0 },
    { "call", begin_call, ready_call, call_call, NULL, end_call, WAIT_LEVEL | WAIT_ANSWER },
    { "gather", begin_gather, ready_gather, call_gather, NULL, end_gather, WAIT_LEVEL | WAIT_ANSWER },
    { "receive", begin_receive, ready_receive, call_receive, NULL, end_nothing, WAIT_ALONE | WAIT_OWN },
    { "receive_many", begin_receive, ready_receive, call_receive_many, NULL, end_nothing, WAIT_ALONE | WAIT_OWN },
    { "accept", begin_accept, ready_accept, call_accept, NULL, end_accept, WAIT_ALONE },
    { "connect", begin_connect, ready_connect, call_connect, NULL, end_connect,
      WAIT_ALONE | WAIT_LEVEL | WAIT_ANSWER | WAIT_NEVER },
    { "read", begin_read, ready_read, call_read, NULL, end_read, WAIT_ALONE },
    { "write", begin_write, ready_write, call_write, NULL, end_write, WAIT_ALONE | WAIT_LEVEL },
    { "stream close", begin_nothing, ready_nothing, call_stream_close, NULL, end_nothing,
      WAIT_LEVEL | WAIT_NEVER | WAIT_DEAF },
    { "listener close", begin_nothing, ready_nothing, call_listener_close, NULL, end_nothing,
      WAIT_LEVEL | WAIT_NEVER | WAIT_DEAF },
    { 0 },
};
