/* SPDX-License-Identifier: MIT */
/* server_commands.c: the commands about the server: INFO, CONFIG GET, COMMAND, SELECT; and ECHO. */
#include "connection.h"
#include "glob.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

void command_echo(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    reply_bulk(context->out, argv[1]);
}

void command_select(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    int64_t index;
    if (!resp_parse_integer(argv[1], &index))
        REPLY(context->out, "-ERR value is not an integer or out of range\r\n");
    else if (index < INT32_MIN || index > INT32_MAX)
        reply_error(context->out, "ERR value is out of range, value must between %d and %d", INT32_MIN, INT32_MAX);
    else if (index != 0)
        REPLY(context->out, "-ERR DB index is out of range\r\n");
    else
        REPLY(context->out, "+OK\r\n");
}

/* ---- COMMAND ------------------------------------------------------------------------------------------- */

static struct slice text(const char *string)
{
    return (struct slice){ { string }, strlen(string) };
}

/* The words of `list`, as an array of simple strings. */
static void reply_words(struct buffer *out, const char *list)
{
    size_t count = 1;
    for (const char *at = list; *at != '\0'; at++)
        count += *at == ' ';
    reply_array(out, count);
    while (*list != '\0') {
        size_t size = strcspn(list, " ");
        buffer_format(out, "+%.*s\r\n", (int)size, list);
        list += size + (list[size] == ' ');
    }
}

/* The ten elements of Redis 7; those about access control, tips, key specifications and subcommands are
 * empty. */
static void reply_command(struct buffer *out, const struct command *command)
{
    reply_array(out, 10);
    reply_bulk(out, text(command->name));
    reply_integer(out, command->arity);
    reply_words(out, command->flags);
    reply_integer(out, command->first_key);
    reply_integer(out, command->last_key);
    reply_integer(out, command->key_step);
    REPLY(out, "*0\r\n*0\r\n*0\r\n*0\r\n");
}

static void command_info_of(struct buffer *out, const struct slice *names, uint32_t count)
{
    reply_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct command *command = command_find(names[i]);
        if (command != NULL)
            reply_command(out, command);
        else
            REPLY(out, "$-1\r\n");
    }
}

static void every_command(struct buffer *out, bool names_only)
{
    reply_array(out, command_count());
    for (size_t i = 0; i < command_count(); i++) {
        if (names_only)
            reply_bulk(out, text(command_at(i)->name));
        else
            reply_command(out, command_at(i));
    }
}

void command_command(struct context *context, const struct slice *argv, uint32_t argc)
{
    struct buffer *out = context->out;
    if (argc == 1 || (argc == 2 && slice_is(argv[1], "info")))
        every_command(out, false);
    else if (slice_is(argv[1], "info"))
        command_info_of(out, argv + 2, argc - 2);
    else if (slice_is(argv[1], "count"))
        reply_integer(out, (int64_t)command_count());
    else if (slice_is(argv[1], "list") && argc == 2)
        every_command(out, true);
    else if (slice_is(argv[1], "list"))
        REPLY(out, "-ERR syntax error\r\n");
    else /* docs */
        REPLY(out, "*0\r\n");
}

/* ---- CONFIG -------------------------------------------------------------------------------------------- */

enum { SETTINGS = 16, SETTING_BYTES = 160 };

struct setting {
    const char *name;
    char value[SETTING_BYTES];
};

static void format_limits(char *value, const struct mini_redis_options *options)
{
    const struct mini_redis_output_limit *n = &options->normal_limit, *p = &options->pubsub_limit;
    snprintf(value, SETTING_BYTES, "normal %zu %zu %u slave 268435456 67108864 60 pubsub %zu %zu %u", n->hard_bytes,
             n->soft_bytes, n->soft_seconds, p->hard_bytes, p->soft_bytes, p->soft_seconds);
}

/* What is set, under Redis's names; settings that clients ask for and that cannot be changed here have
 * Redis's "off". */
static size_t list_settings(const struct mini_redis *server, struct setting settings[SETTINGS])
{
    const struct mini_redis_options *options = &server->options;
    size_t count = 0;
    char *value;
#define SETTING(setting) (settings[count].name = (setting), value = settings[count++].value)
    snprintf(SETTING("port"), SETTING_BYTES, "%u", mini_redis_port(server));
    snprintf(SETTING("bind"), SETTING_BYTES, "%s", options->host);
    snprintf(SETTING("timeout"), SETTING_BYTES, "%u", options->timeout_seconds);
    snprintf(SETTING("maxclients"), SETTING_BYTES, "%u", options->max_clients);
    snprintf(SETTING("requirepass"), SETTING_BYTES, "%s", options->password ? options->password : "");
    snprintf(SETTING("proto-max-bulk-len"), SETTING_BYTES, "%zu", options->max_bulk_bytes);
    snprintf(SETTING("client-query-buffer-limit"), SETTING_BYTES, "%zu", options->query_buffer_bytes);
    format_limits(SETTING("client-output-buffer-limit"), options);
    snprintf(SETTING("databases"), SETTING_BYTES, "1");
    snprintf(SETTING("save"), SETTING_BYTES, "%s", "");
    snprintf(SETTING("appendonly"), SETTING_BYTES, "no");
    snprintf(SETTING("maxmemory"), SETTING_BYTES, "0");
    snprintf(SETTING("maxmemory-policy"), SETTING_BYTES, "noeviction");
#undef SETTING
    (void)value;
    return count;
}

/* The first that matches; NULL: none does. */
static const struct slice *find_match(const char *name, const struct slice *patterns, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (glob_match(patterns[i], text(name), true))
            return &patterns[i];
    }
    return NULL;
}

/* As it was asked for, if by its name: a client may look it up in the reply as it has written it. */
static struct slice shown_name(const char *name, const struct slice *match)
{
    return slice_is(*match, name) ? *match : text(name);
}

void command_config(struct context *context, const struct slice *argv, uint32_t argc)
{
    struct buffer *out = context->out;
    struct setting settings[SETTINGS];
    size_t count = list_settings(context->connection->server, settings), matching = 0;
    for (size_t i = 0; i < count; i++)
        matching += find_match(settings[i].name, argv + 2, argc - 2) != NULL;
    reply_array(out, matching * 2);
    for (size_t i = 0; i < count; i++) {
        const struct slice *match = find_match(settings[i].name, argv + 2, argc - 2);
        if (match != NULL) {
            reply_bulk(out, shown_name(settings[i].name, match));
            reply_bulk(out, text(settings[i].value));
        }
    }
}

/* ---- INFO ---------------------------------------------------------------------------------------------- */

static void info_server(struct mini_redis *server, struct buffer *out)
{
    struct utsname name;
    uname(&name);
    long long uptime = (long long)((tr_clock() - server->started) / TR_SECOND);
    buffer_format(out,
                  "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nserver_name:mini-redis\r\n"
                  "troupe_version:%s\r\nos:%s %s %s\r\narch_bits:%zu\r\nmultiplexing_api:%s\r\nworkers:%u\r\n"
                  "shards:%u\r\nprocess_id:%d\r\ntcp_port:%u\r\nuptime_in_seconds:%lld\r\nuptime_in_days:%lld\r\n",
                  tr_version(), name.sysname, name.release, name.machine, sizeof(void *) * 8,
                  tr_backend_kind() == TR_BACKEND_EPOLL ? "epoll" : "io_uring", tr_worker_count(), server->shards.count,
                  (int)getpid(), mini_redis_port(server), uptime, uptime / 86400);
}

static void info_clients(struct mini_redis *server, struct buffer *out)
{
    struct clients_statistics clients = { 0 };
    clients_read_statistics(server->clients, &clients);
    buffer_format(out,
                  "# Clients\r\nconnected_clients:%u\r\nmaxclients:%u\r\nblocked_clients:0\r\npubsub_clients:%u\r\n",
                  clients.connected, server->options.max_clients, clients.subscribed);
}

static long resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static void info_memory(struct mini_redis *server, struct buffer *out)
{
    (void)server;
    struct mallinfo2 heap = mallinfo2();
    size_t used = heap.uordblks + heap.hblkhd; /* large blocks are mapped, and counted apart */
    buffer_format(out,
                  "# Memory\r\nused_memory:%zu\r\nused_memory_human:%.2fM\r\nused_memory_rss:%ld\r\nmaxmemory:0\r\n",
                  used, (double)used / (1 << 20), resident_bytes());
}

static void info_stats(struct mini_redis *server, struct buffer *out)
{
    struct clients_statistics clients = { 0 };
    struct shard_statistics keys = { 0 };
    struct pubsub_statistics pubsub = { 0 };
    clients_read_statistics(server->clients, &clients);
    shards_statistics(&server->shards, &keys);
    pubsub_read_statistics(server->pubsub, &pubsub);
    buffer_format(out,
                  "# Stats\r\ntotal_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n"
                  "rejected_connections:%llu\r\nexpired_keys:%llu\r\nkeyspace_hits:%llu\r\nkeyspace_misses:%llu\r\n"
                  "pubsub_channels:%zu\r\npubsub_patterns:%zu\r\n",
                  (unsigned long long)clients.received, (unsigned long long)clients.commands,
                  (unsigned long long)clients.rejected, (unsigned long long)keys.expired, (unsigned long long)keys.hits,
                  (unsigned long long)keys.misses, pubsub.channels, pubsub.patterns);
}

static void info_replication(struct mini_redis *server, struct buffer *out)
{
    (void)server;
    buffer_format(out, "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n");
}

static void info_cpu(struct mini_redis *server, struct buffer *out)
{
    (void)server;
    struct rusage self;
    getrusage(RUSAGE_SELF, &self);
    buffer_format(out, "# CPU\r\nused_cpu_sys:%ld.%06ld\r\nused_cpu_user:%ld.%06ld\r\n", (long)self.ru_stime.tv_sec,
                  (long)self.ru_stime.tv_usec, (long)self.ru_utime.tv_sec, (long)self.ru_utime.tv_usec);
}

static void info_keyspace(struct mini_redis *server, struct buffer *out)
{
    struct shard_statistics keys = { 0 };
    shards_statistics(&server->shards, &keys);
    buffer_format(out, "# Keyspace\r\n");
    if (keys.keys > 0)
        buffer_format(out, "db0:keys=%llu,expires=%llu,avg_ttl=0\r\n", (unsigned long long)keys.keys,
                      (unsigned long long)keys.with_ttl);
}

static const struct section {
    const char *name;
    void (*write)(struct mini_redis *server, struct buffer *out);
} sections[] = {
    { "server", info_server },     { "clients", info_clients },         { "memory", info_memory },
    { "stats", info_stats },       { "replication", info_replication }, { "cpu", info_cpu },
    { "keyspace", info_keyspace },
};

static bool is_wanted(const char *name, const struct slice *argv, uint32_t argc)
{
    for (uint32_t i = 1; i < argc; i++) {
        if (slice_is(argv[i], name) || slice_is(argv[i], "all") || slice_is(argv[i], "default") ||
            slice_is(argv[i], "everything"))
            return true;
    }
    return argc == 1;
}

void command_info(struct context *context, const struct slice *argv, uint32_t argc)
{
    struct buffer page = { 0 };
    buffer_reserve(&page, 1);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (!is_wanted(sections[i].name, argv, argc))
            continue;
        if (page.size > 0)
            buffer_format(&page, "\r\n");
        sections[i].write(context->connection->server, &page);
    }
    if (page.failed)
        REPLY(context->out, "-ERR out of memory\r\n");
    else
        reply_bulk(context->out, (struct slice){ { page.data }, page.size });
    buffer_deinit(&page);
}
