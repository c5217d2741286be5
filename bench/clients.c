/* SPDX-License-Identifier: MIT */
/*
 * clients.c: bench-clients PORT COUNT opens COUNT idle TCP connections to this machine and holds them until its
 * standard input ends. One address has some 28,000 ports for outgoing connections, so that each 20,000 go to another
 * address of 127.0.0.0/8. Plain sockets; nothing of Troupe.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PER_ADDRESS 20000

static int open_one(uint32_t index, uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / PER_ADDRESS);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: bench-clients PORT COUNT\n");
        return 2;
    }
    uint32_t count = (uint32_t)strtoul(argv[2], NULL, 10);
    struct rlimit limit = { count + 100, count + 100 };
    setrlimit(RLIMIT_NOFILE, &limit);
    for (uint32_t i = 0; i < count; i++) {
        if (open_one(i, (uint16_t)strtoul(argv[1], NULL, 10)) < 0) {
            fprintf(stderr, "bench-clients: connection %u: %s\n", i, strerror(errno));
            return 1;
        }
    }
    printf("open %u\n", count);
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return 0;
}
