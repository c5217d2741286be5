/* SPDX-License-Identifier: MIT */
/*
 * socket.c: how streams come about: listening and accepting, and connecting.
 *
 * A listener is a gate like a stream, entered by any number of acceptors. TCP_NODELAY is set on the listening socket,
 * from which every accepted one inherits it.
 */
#include "io/address.h"
#include "io/op.h"
#include "io/stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <troupe/task.h>
#include <unistd.h>

#define BACKLOG_DEFAULT 511

struct tr_listener {
    struct tri_gate gate;
    uint16_t port;
};

static int open_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

static int set_option(int fd, int level, int option)
{
    int on = 1;
    return setsockopt(fd, level, option, &on, sizeof on) < 0 ? -errno : 0;
}

/* ---- Listening ---- */

static int bind_and_listen(int fd, const struct tri_address *address, const struct tr_listen_options *options)
{
    int rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    if (rc == 0 && options && options->reuse_port)
        rc = set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    if (rc == 0)
        rc = set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    if (rc < 0)
        return rc;
    if (bind(fd, &address->any, address->bytes) < 0)
        return errno == EADDRNOTAVAIL ? -EINVAL : -errno;
    return listen(fd, options && options->backlog > 0 ? options->backlog : BACKLOG_DEFAULT) < 0 ? -errno : 0;
}

static int port_of(int fd, uint16_t *port)
{
    struct tri_address address = { .bytes = sizeof address.v6 };
    if (getsockname(fd, &address.any, &address.bytes) < 0)
        return -errno;
    *port = ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
    return 0;
}

int tr_tcp_listen(struct tr_listener **out, const char *host, uint16_t port, const struct tr_listen_options *options)
{
    struct tri_addresses addresses;
    int rc = tri_address_parse(&addresses, host ? host : "0.0.0.0", port);
    if (rc < 0)
        return rc;
    int fd = open_socket(addresses.list[0].any.sa_family);
    if (fd < 0)
        return fd;
    struct tr_listener *listener = malloc(sizeof *listener);
    rc = listener ? bind_and_listen(fd, &addresses.list[0], options) : -ENOMEM;
    if (rc == 0)
        rc = port_of(fd, &listener->port);
    if (rc < 0) {
        free(listener);
        close(fd);
        return rc;
    }
    tri_gate_init(&listener->gate, fd);
    *out = listener;
    return 0;
}

uint16_t tr_listener_port(const struct tr_listener *listener)
{
    return listener->port;
}

int tr_tcp_accept(struct tr_listener *listener, struct tr_stream **out, tr_time deadline)
{
    int rc = tri_gate_enter(&listener->gate, TRI_GATE_USER);
    if (rc < 0)
        return rc;
    /* Memory first: a connection that was taken cannot be put back. */
    struct tr_stream *stream = tri_stream_alloc();
    struct tri_io_op op = { .kind = TRI_IO_ACCEPT, .fd = listener->gate.fd, .flags = SOCK_CLOEXEC | SOCK_NONBLOCK };
    rc = stream ? tri_io_run(&op, deadline) : -ENOMEM;
    if (rc == -EINVAL && tri_gate_is_shut(&listener->gate))
        rc = -EPIPE;
    tri_gate_leave(&listener->gate, TRI_GATE_USER);
    if (rc < 0) {
        if (stream)
            tri_stream_free(stream);
        return rc;
    }
    tri_stream_attach(stream, rc);
    *out = stream;
    return 0;
}

struct tr_case tr_case_acceptable(struct tr_listener *listener)
{
    return tri_case_ready(&listener->gate, TRI_GATE_USER);
}

void tr_listener_abort(struct tr_listener *listener)
{
    tri_gate_shut(&listener->gate);
}

int tr_listener_close(struct tr_listener *listener)
{
    if (!listener)
        return 0;
    tri_gate_close(&listener->gate);
    free(listener);
    return 0;
}

/* ---- Connecting ---- */

/*
 * A connection to a free port of this machine can meet itself: the kernel picks the very port as our own, and TCP's
 * simultaneous open does the rest. Whoever tries to reconnect to a dead server sees it sooner or later.
 */
static bool is_own_echo(int fd)
{
    struct tri_address own = { .bytes = sizeof own.v6 }, peer = { .bytes = sizeof peer.v6 };
    return getsockname(fd, &own.any, &own.bytes) == 0 && getpeername(fd, &peer.any, &peer.bytes) == 0 &&
           own.bytes == peer.bytes && memcmp(&own.any, &peer.any, own.bytes) == 0;
}

static int connect_one(struct tr_stream **out, const struct tri_address *address, tr_time deadline)
{
    int fd = open_socket(address->any.sa_family);
    if (fd < 0)
        return fd;
    struct tri_io_op op = {
        .kind = TRI_IO_CONNECT,
        .fd = fd,
        .address = { &address->any, address->bytes },
    };
    int rc = set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    if (rc == 0)
        rc = tri_io_run(&op, deadline);
    if (rc == -EPIPE) /* accepted, and reset after its end of stream: one word for both ways of it */
        rc = -ECONNRESET;
    if (rc == -EHOSTUNREACH) /* that is for a name that there is not */
        rc = -ENETUNREACH;
    if (rc == 0 && is_own_echo(fd))
        rc = -ECONNREFUSED;
    if (rc == 0)
        rc = tri_stream_make(out, fd);
    if (rc < 0)
        close(fd);
    return rc;
}

/* An address that does not answer must leave time for the others: each gets an even share of what is left. */
static tr_time share_of(tr_time deadline, unsigned tries)
{
    if (deadline == TR_FOREVER || deadline <= TR_NOW || tries <= 1)
        return deadline;
    tr_time now = tr_clock();
    return now < deadline ? now + (deadline - now) / tries : deadline;
}

/* What the first address answered is what is reported: it is the one that was meant. */
static int connect_any(struct tr_stream **out, const struct tri_addresses *addresses, tr_time deadline)
{
    int first = 0;
    for (unsigned i = 0; i < addresses->count; i++) {
        int rc = connect_one(out, &addresses->list[i], share_of(deadline, addresses->count - i));
        if (rc == 0 || rc == -ECANCELED || rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM)
            return rc;
        if (rc == -ETIMEDOUT && tr_clock() >= deadline)
            return rc;
        if (first == 0)
            first = rc;
    }
    return first;
}

int tr_tcp_connect(struct tr_stream **out, const char *host, uint16_t port, tr_time deadline)
{
    if (!host || !tri_reactor_here())
        return -EINVAL;
    struct tri_addresses addresses;
    int rc = tri_address_parse(&addresses, host, port);
    if (rc < 0)
        rc = tri_address_look_up(&addresses, host, port, deadline);
    tr_time bound = tr_scope_deadline(); /* it is the time that is to be shared, if it is tighter */
    return rc < 0 ? rc : connect_any(out, &addresses, bound < deadline ? bound : deadline);
}
