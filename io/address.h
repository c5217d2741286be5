/* SPDX-License-Identifier: MIT */
/*
 * address.h: from a host's name and a port to socket addresses.
 */
#ifndef TRI_ADDRESS_H
#define TRI_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <troupe/time.h>

#define TRI_ADDRESS_MAX 8 /* of one name; more are not tried */

struct tri_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t bytes;
};

struct tri_addresses {
    unsigned count;
    struct tri_address list[TRI_ADDRESS_MAX];
};

/* Without asking anybody: a numeric address or "localhost". Returns 0, or -EINVAL for any other name. */
int tri_address_parse(struct tri_addresses *out, const char *host, uint16_t port);

/*
 * Looks the name up on a thread of its own, so that a slow server stops this task only. The thread works on a copy: at the
 * deadline the caller returns, and what is left frees itself.
 * Returns 0, -EINVAL (not a name), -EHOSTUNREACH (unknown), -ENETUNREACH (nobody to ask, for now), -ENOMEM, -EMFILE, -ENFILE,
 * -ETIMEDOUT, -ECANCELED. Suspends: yes.
 */
int tri_address_look_up(struct tri_addresses *out, const char *host, uint16_t port, tr_time deadline);

#endif
