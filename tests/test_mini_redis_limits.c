/* SPDX-License-Identifier: MIT */
/*
 * test_mini_redis_limits.c: the server inside a program: what it does at each of its limits, to clients that deserve it or
 * not.
 */
#include "mini_redis_client.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>

/* libc's, counted. */
static atomic_uint heap_questions;

struct mallinfo2 mallinfo2(void)
{
    struct mallinfo2 (*real)(void) = (struct mallinfo2(*)(void))dlsym(RTLD_NEXT, "mallinfo2");
    atomic_fetch_add(&heap_questions, 1);
    return real();
}

enum { BYTES = 100000, REQUESTS = 400 }; /* 40 MB of replies, far more than the sockets hold */

/* A request that makes `a` a long value; to be freed. */
static char *long_set(void)
{
    char *request = calloc(1, BYTES + 64);
    int header = sprintf(request, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n", BYTES);
    memset(request + header, 'v', BYTES);
    strcpy(request + header + BYTES, "\r\n");
    return request;
}

static void set_long(struct client client)
{
    char *request = long_set();
    ask(client, request, "+OK\r\n");
    free(request);
}

static void ask_much_and_quit(struct client client)
{
    set_long(client);
    for (int i = 0; i < REQUESTS; i++)
        say(client, "GET a\r\n");
    say(client, "QUIT\r\n");
    tr_sleep(300 * TR_MILLISECOND);
}

/* It has said good-bye, and goes without its replies: nobody waits for them. */
TASK_TEST(client_that_goes_without_its_replies_is_gone)
{
    struct mini_redis *server = start(NULL);
    struct client client = join_server(server);
    ask_much_and_quit(client);
    leave(client);
    expect_int(mini_redis_stop(server, tr_after(8 * TR_SECOND)), 0); /* others would be waited for ten */
}

TASK_TEST(client_that_does_not_read_gets_all_replies_later)
{
    struct mini_redis *server = start(NULL);
    struct client client = join_server(server);
    ask_much_and_quit(client);
    expect_int((int64_t)hear_the_end(client), (int64_t)REQUESTS * (BYTES + 11) + 5);
    leave(client);
    stop(server);
}

/* To the time-out it is not idle while it takes something. */
TASK_TEST(client_that_takes_its_replies_slowly_is_not_idle)
{
    struct mini_redis *server = start(&(struct mini_redis_options){ .timeout_seconds = 2 });
    struct client client = join_server(server);
    set_long(client);
    for (int i = 0; i < REQUESTS; i++)
        say(client, "GET a\r\n");
    char *part = malloc(BYTES);
    size_t left = (size_t)REQUESTS * (BYTES + 11);
    while (left > 0) {
        ssize_t got = tr_read(client.stream, part, left < BYTES ? left : BYTES, tr_after(LONG_TIME));
        expect(got > 0);
        left -= (size_t)got;
        tr_sleep(10 * TR_MILLISECOND);
    }
    ask(client, "PING\r\n", "+PONG\r\n");
    free(part);
    leave(client);
    stop(server);
}

TASK_TEST(client_list_is_in_the_order_of_coming_or_of_asking)
{
    struct mini_redis *server = start(NULL);
    struct client clients[3];
    char text[2048], *lines[4];
    for (int i = 0; i < 3; i++) {
        clients[i] = join_server(server);
        ask(clients[i], "PING\r\n", "+PONG\r\n");
    }
    static const char *const asked[] = { "CLIENT LIST\r\n", "CLIENT LIST ID 3 99 1 3\r\n" };
    static const int order[][3] = { { 1, 2, 3 }, { 3, 1, 3 } };
    for (int i = 0; i < 2; i++) {
        say(clients[1], asked[i]);
        size_t have = 0;
        for (text[0] = '\0'; !strstr(text, "\n\r\n"); text[have] = '\0')
            have += (size_t)tr_read(clients[1].stream, text + have, sizeof text - 1 - have, tr_after(LONG_TIME));
        lines[0] = strstr(text, "id=");
        for (int j = 0; j < 3; j++) {
            expect(lines[j] && atoi(lines[j] + 3) == order[i][j]);
            lines[j + 1] = strstr(lines[j] + 1, "\nid=") ? strstr(lines[j] + 1, "\nid=") + 1 : NULL;
        }
        expect(!lines[3] && (strstr(text, "cmd=client|list ") != NULL) == (i == 0));
    }
    for (int i = 0; i < 3; i++)
        leave(clients[i]);
    stop(server);
}

/* The reply to INFO or CLIENT LIST, which ends with an empty line; `text` has room for 8 KiB. */
static void hear_page(struct client client, const char *request, char *text)
{
    size_t have = 0;
    say(client, request);
    for (text[0] = '\0'; !strstr(text, "\n\r\n"); text[have] = '\0') {
        ssize_t got = tr_read(client.stream, text + have, 8191 - have, tr_after(LONG_TIME));
        expect(got > 0);
        have += (size_t)got;
    }
}

TASK_TEST(client_list_names_the_last_command)
{
    static const char *const commands[][2] = {
        { "NOSUCH", "NULL" },
        { "GET", "get" },
        { "CLIENT GETNAME", "client|getname" },
        { "CONFIG GET", "config|get" },
        { "CLIENT", "client" },
        { "CLIENT NOSUCH", "NULL" },
        { "COMMAND COUNT", "command|count" },
        { "TTL a", "ttl" },
        { "SUBSCRIBE a", "subscribe" },
        { "SET a 1", "set" },
    };
    struct mini_redis *server = start(NULL);
    struct client client = join_server(server), other = join_server(server);
    char text[8192], request[64], wanted[64];
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        snprintf(request, sizeof request, "%s\r\n", commands[i][0]);
        say(client, request);
        snprintf(wanted, sizeof wanted, "cmd=%s ", commands[i][1]);
        do
            hear_page(other, "CLIENT LIST\r\n", text);
        while (strstr(text, wanted) == NULL);
    }
    leave(client);
    leave(other);
    stop(server);
}

/* A number of the section; each INFO is a command as well. */
static long long figure(struct client client, const char *section, const char *name)
{
    char text[8192], request[64], line[64], *found;
    snprintf(request, sizeof request, "INFO %s\r\nECHO \"\\n\"\r\n", section); /* a section ends with no empty line */
    snprintf(line, sizeof line, "\n%s:", name);
    hear_page(client, request, text);
    found = strstr(text, line);
    expect(found != NULL);
    return atoll(found + strlen(line));
}

TASK_TEST(info_counts_as_redis_does)
{
    struct mini_redis *server = start(&(struct mini_redis_options){ .max_clients = 1 });
    struct client client = join_server(server);
    ask(client, "PING\r\n", "+PONG\r\n");
    struct client refused = join_server(server);
    hear(refused, "-ERR max number of clients reached\r\n");
    leave(refused);
    expect_int(figure(client, "stats", "rejected_connections"), 1);
    expect_int(figure(client, "stats", "total_connections_received"), 1);
    long long commands = figure(client, "stats", "total_commands_processed");
    ask(client, "GET\r\nPING\r\nNOSUCH\r\n",
        "-ERR wrong number of arguments for 'get' command\r\n+PONG\r\n"
        "-ERR unknown command 'NOSUCH', with args beginning with: \r\n");
    commands = figure(client, "stats", "total_commands_processed") - commands;
    expect_int(commands, 3); /* PING, and INFO and ECHO before it */
    ask(client, "SET b 1 GET\r\nSET b 2 GET\r\n", "$-1\r\n$1\r\n1\r\n");
    expect_int(figure(client, "stats", "keyspace_misses"), 1);
    expect_int(figure(client, "stats", "keyspace_hits"), 1);
    long long used = figure(client, "memory", "used_memory");
    char *request = calloc(1, (1 << 20) + 64);
    int header = sprintf(request, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n", 1 << 20);
    memset(request + header, 'v', 1 << 20);
    strcpy(request + header + (1 << 20), "\r\n");
    ask(client, request, "+OK\r\n");
    free(request);
    long long more = figure(client, "memory", "used_memory") - used;
    expect(used == 0 || more > 1000000); /* nothing is known of a sanitizer's memory */
    leave(client);
    stop(server);
}

/* Two that ask it first, at once, would crash under another allocator than libc's. */
TASK_TEST(heap_has_been_asked_before_the_first_info)
{
    struct mini_redis *server = start(NULL);
    expect(atomic_load(&heap_questions) > 0);
    stop(server);
}

TASK_TEST(client_that_never_reads_is_closed_at_its_output_limit)
{
    struct mini_redis_options options = { .normal_limit = { .hard_bytes = 1 << 20 } };
    struct mini_redis *server = start(&options);
    struct client client = join_server(server);
    set_long(client);
    int rc = 0;
    for (int i = 0; i < 10000 && rc == 0; i++) {
        rc = tr_write(client.stream, "GET a\r\n", 7, tr_after(LONG_TIME));
        tr_sleep(TR_MILLISECOND);
    }
    expect(rc == -EPIPE || rc == -ECONNRESET);
    leave(client);
    stop(server);
}

TASK_TEST(client_beyond_the_maximum_is_told_so)
{
    struct mini_redis *server = start(&(struct mini_redis_options){ .max_clients = 2 });
    struct client first = join_server(server), second = join_server(server);
    ask(first, "PING\r\n", "+PONG\r\n");
    ask(second, "PING\r\n", "+PONG\r\n");
    struct client third = join_server(server);
    hear(third, "-ERR max number of clients reached\r\n");
    hear_the_end(third);
    leave(third);
    leave(first);
    for (bool served = false; !served;) { /* its place is free again, soon */
        struct client next = join_server(server);
        char byte = '-';
        say(next, "PING\r\n");
        served = tr_read(next.stream, &byte, 1, tr_after(LONG_TIME)) == 1 && byte == '+';
        leave(next);
    }
    leave(second);
    stop(server);
}

TASK_TEST(client_must_authenticate)
{
    struct mini_redis *server = start(&(struct mini_redis_options){ .password = "secret" });
    struct client client = join_server(server);
    ask(client, "PING\r\nGET a\r\nAUTH wrong\r\nAUTH secre\r\nAUTH \"\"\r\n",
        "-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n"
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    /* What would not be executed anyway says why. */
    ask(client, "CLIENT id\r\nCLIENT foo\r\nClient getname 1\r\nCONFIG get\r\nCONFIG\r\nGET\r\nFOO\r\n",
        "-NOAUTH Authentication required.\r\n-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n"
        "-ERR wrong number of arguments for 'client|getname' command\r\n"
        "-ERR wrong number of arguments for 'config|get' command\r\n"
        "-ERR wrong number of arguments for 'config' command\r\n-ERR wrong number of arguments for 'get' command\r\n"
        "-ERR unknown command 'FOO', with args beginning with: \r\n");
    ask(client, "AUTH secret\r\nPING\r\nRESET\r\nPING\r\nAUTH default secret\r\nPING\r\n",
        "+OK\r\n+PONG\r\n+RESET\r\n-NOAUTH Authentication required.\r\n+OK\r\n+PONG\r\n");
    leave(client);
    client = join_server(server);
    ask(client, "*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n");
    hear_the_end(client);
    leave(client);
    client = join_server(server);
    say(client, "POST / HTTP/1.1\r\nAUTH secret\r\nPING\r\n"); /* a web page's: nothing behind it is looked at */
    expect_int((int64_t)hear_the_end(client), 0);
    leave(client);
    stop(server);
}

TASK_TEST(client_idle_is_closed_and_subscriber_is_not)
{
    struct mini_redis *server = start(&(struct mini_redis_options){ .timeout_seconds = 1 });
    struct client idle = join_server(server), subscribed = join_server(server), writer;
    ask(subscribed, "SUBSCRIBE a\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    ask(idle, "PING\r\n", "+PONG\r\n");
    hear_the_end(idle);
    tr_sleep(500 * TR_MILLISECOND);
    writer = join_server(server);
    ask(writer, "PUBLISH a x\r\n", ":1\r\n");
    hear(subscribed, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
    leave(idle);
    leave(writer);
    leave(subscribed);
    stop(server);
}

TASK_TEST(request_larger_than_the_query_buffer_ends_the_connection)
{
    struct mini_redis *server = start(&(struct mini_redis_options){ .query_buffer_bytes = 1 << 20 });
    struct client client = join_server(server);
    static char part[100000];
    memset(part, 'x', sizeof part);
    say(client, "*2\r\n$4\r\nECHO\r\n$100000000\r\n");
    int rc = 0;
    for (int i = 0; i < 1000 && rc == 0; i++)
        rc = tr_write(client.stream, part, sizeof part, tr_after(LONG_TIME));
    expect(rc == -EPIPE || rc == -ECONNRESET);
    leave(client);
    stop(server);
}

/* Whole requests do not count, however many there are in the buffer. */
TASK_TEST(requests_that_are_complete_do_not_fill_the_query_buffer)
{
    struct mini_redis *server = start(&(struct mini_redis_options){ .query_buffer_bytes = 100 << 10 });
    struct client client = join_server(server);
    char *request = long_set();
    for (int i = 0; i < 20; i++)
        say(client, request);
    for (int i = 0; i < 20; i++)
        hear(client, "+OK\r\n");
    free(request);
    leave(client);
    stop(server);
}

/* Nor is it unfinished what a client has sent behind its last words. */
TASK_TEST(what_follows_the_end_does_not_fill_the_query_buffer)
{
    static const char *const last[][2] = { { "QUIT\r\n", "+OK\r\n" },
                                           { "*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n" } };
    struct mini_redis *server = start(&(struct mini_redis_options){ .query_buffer_bytes = 100 });
    for (int i = 0; i < 2; i++) {
        char text[400];
        snprintf(text, sizeof text, "%s%0300d", last[i][0], 0);
        struct client client = join_server(server);
        ask(client, text, last[i][1]);
        leave(client);
    }
    stop(server);
}

TASK_TEST(arguments_many_and_small_count_against_the_query_buffer)
{
    struct mini_redis *server = start(&(struct mini_redis_options){ .query_buffer_bytes = 1 << 20 });
    struct client client = join_server(server);
    int rc = tr_write(client.stream, "*2147483647\r\n", 13, tr_after(LONG_TIME));
    for (int i = 0; i < 1000000 && rc == 0; i++)
        rc = tr_write(client.stream, "$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n", 30, tr_after(LONG_TIME));
    expect(rc == -EPIPE || rc == -ECONNRESET);
    leave(client);
    stop(server);
}

TASK_TEST(argument_larger_than_the_limit_is_an_error)
{
    struct mini_redis *server = start(&(struct mini_redis_options){ .max_bulk_bytes = 1 << 20 });
    struct client client = join_server(server);
    ask(client, "*2\r\n$4\r\nECHO\r\n$1048577\r\n", "-ERR Protocol error: invalid bulk length\r\n");
    hear_the_end(client);
    leave(client);
    stop(server);
}

int main(void)
{
    return test_main(
        "mini_redis_limits",
        TESTS(client_that_goes_without_its_replies_is_gone, client_that_does_not_read_gets_all_replies_later,
              client_that_takes_its_replies_slowly_is_not_idle, client_list_is_in_the_order_of_coming_or_of_asking,
              client_list_names_the_last_command, info_counts_as_redis_does, heap_has_been_asked_before_the_first_info,
              client_that_never_reads_is_closed_at_its_output_limit, client_beyond_the_maximum_is_told_so,
              client_must_authenticate, client_idle_is_closed_and_subscriber_is_not,
              request_larger_than_the_query_buffer_ends_the_connection,
              requests_that_are_complete_do_not_fill_the_query_buffer,
              what_follows_the_end_does_not_fill_the_query_buffer,
              arguments_many_and_small_count_against_the_query_buffer, argument_larger_than_the_limit_is_an_error));
}
