/* SPDX-License-Identifier: MIT */
/*
 * echo.c: a TCP server that sends back what it gets: a task for each connection, and plain sequential code in it.
 *
 *     accept loop ---spawn---> connection: read, write, read, write ... end of stream
 *
 * SIGINT cancels the accept loop; the runtime then ends the connections.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe.h>

static int connection(void *argument)
{
    struct tr_stream *stream = *(struct tr_stream **)argument;
    char buffer[4096]; /* on the task's stack: no call returns before the kernel is done with it */
    ssize_t bytes;
    while ((bytes = tr_read(stream, buffer, sizeof buffer, tr_after(300 * TR_SECOND))) > 0)
        if (tr_write(stream, buffer, (size_t)bytes, tr_after(10 * TR_SECOND)) < 0)
            break;
    tr_stream_close(stream);
    return 0;
}

static int serve(void *argument)
{
    uint16_t port = *(uint16_t *)argument;
    struct tr_listener *listener;
    int rc = tr_tcp_listen(&listener, "127.0.0.1", port, NULL);
    if (rc < 0) {
        fprintf(stderr, "echo: port %u: %s\n", port, strerror(-rc));
        return rc;
    }
    printf("echo: listening on 127.0.0.1:%u\n", tr_listener_port(listener));
    fflush(stdout);
    for (;;) {
        struct tr_stream *stream;
        rc = tr_tcp_accept(listener, &stream, TR_FOREVER);
        if (rc == -ECANCELED)
            break;
        if (rc < 0) { /* no descriptor or memory left: somebody may hang up soon */
            tr_sleep(10 * TR_MILLISECOND);
            continue;
        }
        struct tr_task_options options = { .name = "connection", .argument_bytes = sizeof stream };
        if (tr_task_spawn(NULL, connection, &stream, &options) < 0)
            tr_stream_close(stream);
    }
    tr_listener_close(listener);
    return 0;
}

static bool read_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    *port = (uint16_t)number;
    return *text >= '0' && *text <= '9' && *end == '\0' && number <= UINT16_MAX;
}

int main(int argc, char **argv)
{
    uint16_t port = 7007;
    bool good = argc == 1 || (argc == 3 && strcmp(argv[1], "--port") == 0 && read_port(argv[2], &port));
    if (!good) {
        bool help = strcmp(argv[1], "--help") == 0;
        fprintf(help ? stdout : stderr,
                "usage: echo [--port N]\nSends back what it gets on 127.0.0.1:N (7007; 0: a free port), until SIGINT.\n"
                "Try it: nc 127.0.0.1 7007\n");
        return help ? 0 : 2;
    }
    return tr_run(NULL, serve, &port) != 0;
}
