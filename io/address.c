/* SPDX-License-Identifier: MIT */
/*
 * address.c: names to addresses. Numbers and "localhost" are done here and now; other names are asked of getaddrinfo,
 * which blocks, on a few threads that live as long as there is something to ask.
 *
 * A request is shared by the task that waits and the thread that asks; whichever lets go of it last frees it:
 *
 *        WAITED_FOR --- thread: DONE ------> DONE (the task takes the answer and frees it)
 *            |
 *            +--------- task: ABANDONED ---> ABANDONED (the thread frees it)
 *
 * Happens-before edge:
 *   [AD1] the answer -> release of request->state by the thread -> acquire by the task -> the task reads the answer. The
 *        same the other way round: the task's last use of the request -> ABANDONED -> the thread frees it.
 */
#include "io/address.h"
#include "mailbox/atomic.h"
#include "mailbox/waiter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 16

enum { WAITED_FOR, DONE, ABANDONED };

struct request {
    struct request *next;
    struct tri_task *task;
    TRI_ATOMIC(int) state;
    int result;
    struct tri_addresses answer;
    uint16_t port;
    char host[]; /* a copy */
};

/* ---- Without asking ---- */

static void add_v4(struct tri_addresses *out, struct in_addr address, uint16_t port)
{
    struct tri_address *entry = &out->list[out->count++];
    *entry = (struct tri_address){ .bytes = sizeof entry->v4 };
    entry->v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = address };
}

static void add_v6(struct tri_addresses *out, struct in6_addr address, uint16_t port)
{
    struct tri_address *entry = &out->list[out->count++];
    *entry = (struct tri_address){ .bytes = sizeof entry->v6 };
    entry->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = address };
}

int tri_address_parse(struct tri_addresses *out, const char *host, uint16_t port)
{
    struct in_addr v4;
    struct in6_addr v6;
    out->count = 0;
    if (!strcmp(host, "localhost")) {
        add_v4(out, (struct in_addr){ htonl(INADDR_LOOPBACK) }, port);
        add_v6(out, in6addr_loopback, port);
    } else if (inet_pton(AF_INET, host, &v4) == 1) {
        add_v4(out, v4, port);
    } else if (inet_pton(AF_INET6, host, &v6) == 1) {
        add_v6(out, v6, port);
    } else {
        return -EINVAL;
    }
    return 0;
}

/* ---- On the threads ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* never held over a suspension */
static struct request *waiting, **waiting_end = &waiting;
static unsigned thread_count;

static int error_of(int code)
{
    if (errno == ENOMEM || errno == EMFILE || errno == ENFILE) /* glibc then says of the name that there is none */
        return -errno;
    switch (code) {
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_AGAIN:
        return -ENETUNREACH;
    default:
        return -EHOSTUNREACH;
    }
}

static int ask(struct request *request)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *list;
    char service[8];
    snprintf(service, sizeof service, "%u", request->port);
    errno = 0;
    int code = getaddrinfo(request->host, service, &hints, &list);
    if (code != 0)
        return error_of(code);
    struct tri_addresses *answer = &request->answer;
    for (const struct addrinfo *one = list; one && answer->count < TRI_ADDRESS_MAX; one = one->ai_next) {
        struct tri_address *entry = &answer->list[answer->count];
        if (one->ai_addrlen > sizeof entry->v6)
            continue;
        memcpy(&entry->any, one->ai_addr, one->ai_addrlen);
        entry->bytes = one->ai_addrlen;
        answer->count++;
    }
    freeaddrinfo(list);
    return answer->count > 0 ? 0 : -EHOSTUNREACH;
}

static void serve(struct request *request)
{
    if (tri_load(&request->state, TRI_RELAXED) != ABANDONED)
        request->result = ask(request);
    struct tri_task *task = request->task;
    if (tri_exchange(&request->state, DONE, TRI_ACQ_REL) == ABANDONED) /* [AD1] */
        free(request);
    else
        tri_wake(task);
}

static void *serve_all(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    while (waiting) {
        struct request *request = waiting;
        waiting = request->next;
        if (!waiting)
            waiting_end = &waiting;
        pthread_mutex_unlock(&lock);
        serve(request);
        pthread_mutex_lock(&lock);
    }
    thread_count--;
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(void)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return -ENOMEM;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, serve_all, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error ? -ENOMEM : 0;
}

/* Hands it to a thread. */
static int post(struct request *request)
{
    int rc = 0;
    pthread_mutex_lock(&lock);
    if (thread_count < THREADS_MAX) {
        thread_count++;
        rc = start_thread();
        if (rc < 0 && --thread_count > 0)
            rc = 0; /* another one will come to it */
    }
    if (rc == 0) {
        *waiting_end = request;
        waiting_end = &request->next;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

/* ---- In the task ---- */

static struct request *make_request(const char *host, uint16_t port)
{
    size_t bytes = strlen(host) + 1;
    struct request *request = calloc(1, sizeof *request + bytes);
    if (!request)
        return NULL;
    memcpy(request->host, host, bytes);
    request->port = port;
    request->task = tri_self();
    return request;
}

/* Returns 0 once it is done, or why the request was abandoned. */
static int await(struct request *request, tr_time deadline)
{
    while (tri_load(&request->state, TRI_ACQUIRE) != DONE) { /* [AD1] */
        int rc = tri_park(deadline, TRI_WAIT_IO);
        int state = WAITED_FOR;
        if (rc < 0 && tri_cas(&request->state, &state, ABANDONED, TRI_RELEASE, TRI_RELAXED)) /* [AD1] */
            return rc; /* else it is done, and the look above acquires */
    }
    return 0;
}

int tri_address_look_up(struct tri_addresses *out, const char *host, uint16_t port, tr_time deadline)
{
    int rc = tri_cancel_check();
    if (rc < 0)
        return rc;
    if (!*host || strlen(host) >= NI_MAXHOST)
        return -EINVAL;
    struct request *request = make_request(host, port);
    if (!request)
        return -ENOMEM;
    rc = post(request);
    if (rc == 0) {
        tri_outside_begin();
        rc = await(request, deadline);
        tri_outside_end();
        if (rc < 0)
            return rc; /* abandoned: the thread's now */
        rc = request->result;
        if (rc == 0)
            *out = request->answer;
    }
    free(request);
    return rc;
}
