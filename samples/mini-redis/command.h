/* SPDX-License-Identifier: MIT */
/*
 * command.h: the table of commands, and who executes which.
 *
 * A command is a function that reads its arguments and writes its reply. Its route says whose data it needs:
 * the keyspace's, the subscriptions', the connection's, or nobody's. Requests that follow each other on the
 * same route are handed over together, as one run.
 */
#ifndef MINI_REDIS_COMMAND_H
#define MINI_REDIS_COMMAND_H

#include "keyspace.h"
#include "reply.h"

struct pubsub;
struct connection;

enum route {
    ROUTE_ANY,        /* touches nothing but its arguments */
    ROUTE_KEYS,       /* the actor that owns the keyspace, or the shard of its key */
    ROUTE_ALL_SHARDS, /* as ROUTE_KEYS, but its keys may lie in several shards */
    ROUTE_PUBSUB,     /* the actor that owns the subscriptions */
    ROUTE_CONNECTION, /* the connection itself */
};

/* What a command works on; each owner fills in what is its own. */
struct context {
    struct buffer *out;
    struct keyspace *keyspace;
    struct pubsub *pubsub;
    struct connection *connection;
};

struct command {
    const char *name; /* lower case */
    int arity;        /* with the name itself; negative: at least so many */
    enum route route;
    void (*execute)(struct context *context, const struct slice *argv, uint32_t argc);
    const char *flags; /* as COMMAND shows them, separated by blanks */
    int first_key, last_key, key_step;
    bool before_auth;     /* allowed before AUTH */
    bool in_subscription; /* allowed to a client that has subscribed */
};

/*
 * The requests from `next` up to `end`, which the receiver executes in order. It stops early when `out` holds
 * more than it should at once, or when a request has taken long: the caller sends what there is, and comes back.
 */
struct run {
    const struct slice *arguments;
    const struct resp_request *requests;
    size_t next, end;
    struct buffer *out;
    size_t *reply_ends; /* NULL, or: out->size after each request */
};

void run_execute(struct run *run, struct context *context);

/* Once per process, before the first command is found or executed. Thread: any. */
void command_init(void);

/* NULL: no such command. Upper and lower case are the same. */
const struct command *command_find(struct slice name);

/* For COMMAND: every command, in the order of the table. */
const struct command *command_at(size_t index);
size_t command_count(void);

/*
 * As CLIENT LIST shows it, subcommand and all: "get", "client|list". NULL: no such subcommand. The text lives for ever.
 */
const char *command_full_name(const struct command *command, const struct slice *argv, uint32_t argc);

/*
 * What to execute for a request: its command, or one that writes the error why not (no such command or subcommand,
 * wrong number of arguments), whose arity is 0.
 */
const struct command *command_check(const struct slice *argv, uint32_t argc);

/* The commands' functions, by file. keys.c: */
void command_del(struct context *, const struct slice *, uint32_t);
void command_exists(struct context *, const struct slice *, uint32_t);
void command_expire(struct context *, const struct slice *, uint32_t);
void command_pexpire(struct context *, const struct slice *, uint32_t);
void command_ttl(struct context *, const struct slice *, uint32_t);
void command_pttl(struct context *, const struct slice *, uint32_t);
void command_persist(struct context *, const struct slice *, uint32_t);
void command_keys(struct context *, const struct slice *, uint32_t);
void command_dbsize(struct context *, const struct slice *, uint32_t);
void command_flushall(struct context *, const struct slice *, uint32_t);
void command_type(struct context *, const struct slice *, uint32_t);
/* strings.c: */
void command_get(struct context *, const struct slice *, uint32_t);
void command_set(struct context *, const struct slice *, uint32_t);
void command_getdel(struct context *, const struct slice *, uint32_t);
void command_incr(struct context *, const struct slice *, uint32_t);
void command_decr(struct context *, const struct slice *, uint32_t);
void command_incrby(struct context *, const struct slice *, uint32_t);
void command_append(struct context *, const struct slice *, uint32_t);
void command_strlen(struct context *, const struct slice *, uint32_t);
void command_mget(struct context *, const struct slice *, uint32_t);
void command_mset(struct context *, const struct slice *, uint32_t);
/* pubsub.c: */
void command_publish(struct context *, const struct slice *, uint32_t);
/* client_commands.c: */
void command_abuse(struct context *, const struct slice *, uint32_t); /* HTTP's POST and Host: */
void command_auth(struct context *, const struct slice *, uint32_t);
void command_client(struct context *, const struct slice *, uint32_t);
void command_hello(struct context *, const struct slice *, uint32_t);
void command_quit(struct context *, const struct slice *, uint32_t);
void command_reset(struct context *, const struct slice *, uint32_t);
void command_ping(struct context *, const struct slice *, uint32_t);
void command_subscribe(struct context *, const struct slice *, uint32_t);
void command_psubscribe(struct context *, const struct slice *, uint32_t);
void command_unsubscribe(struct context *, const struct slice *, uint32_t);
void command_punsubscribe(struct context *, const struct slice *, uint32_t);
/* server_commands.c: */
void command_command(struct context *, const struct slice *, uint32_t);
void command_config(struct context *, const struct slice *, uint32_t);
void command_echo(struct context *, const struct slice *, uint32_t);
void command_info(struct context *, const struct slice *, uint32_t);
void command_select(struct context *, const struct slice *, uint32_t);

#endif
