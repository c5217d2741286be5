/* SPDX-License-Identifier: MIT */
/*
 * connections.c: idle_connections, resident memory of TCP connections that are accepted and idle, each with a task that
 * waits to read. The clients are in a process of their own (bench-clients): the program prints "port N", accepts
 * --count connections (100,000) and then prints the figure.
 */
#include "bench.h"

#include <sys/resource.h>

static int serve(void *argument)
{
    struct tr_stream *stream = argument;
    char buffer[1024];
    ssize_t bytes;
    while ((bytes = tr_read(stream, buffer, sizeof buffer, TR_FOREVER)) > 0) {
        if (tr_write(stream, buffer, (size_t)bytes, TR_FOREVER) < 0)
            break;
    }
    tr_stream_close(stream);
    return 0;
}

static void raise_limit(uint64_t connections)
{
    struct rlimit limit = { connections + 100, connections + 100 }, now;
    getrlimit(RLIMIT_NOFILE, &now);
    if (now.rlim_cur < limit.rlim_cur && setrlimit(RLIMIT_NOFILE, &limit) < 0)
        bench_skip("may not open so many file descriptors (run as root, or raise ulimit -n)");
}

static int measure(void *argument)
{
    (void)argument;
    uint64_t count = bench_count(100000);
    raise_limit(count);
    struct tr_listener *listener;
    CHECK(tr_tcp_listen(&listener, NULL, 0, NULL));
    printf("port %u\n", (unsigned)tr_listener_port(listener));
    fflush(stdout);
    double resident = bench_resident_bytes(), tables = bench_page_table_bytes();
    for (uint64_t i = 0; i < count; i++) {
        struct tr_stream *stream;
        CHECK(tr_tcp_accept(listener, &stream, tr_after(60 * TR_SECOND)));
        CHECK(tr_task_spawn(NULL, serve, stream, NULL));
    }
    CHECK(tr_sleep(500 * TR_MILLISECOND));
    char detail[64];
    snprintf(detail, sizeof detail, "page_tables=%.1f", (bench_page_table_bytes() - tables) / (double)count);
    bench_print((bench_resident_bytes() - resident) / (double)count, "bytes", detail);
    return tr_listener_close(listener);
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = { { .name = "idle_connections", .measure = measure } };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
