/* SPDX-License-Identifier: MIT */
/*
 * redis.c: the face of the client manager: opening and closing the pool, and making requests.
 *
 * The one idea: what a caller gives us must not outlive its call, and what the actors work on must not depend on callers
 * staying. So a request is encoded by its caller, into the message if it is short. A longer one is lent: the bytes stay
 * the caller's, the message names the loan, and a caller that leaves takes the loan back. (The writer may be
 * about to read what a caller who leaves would free; so nothing that must be freed travels in the message.)
 *
 *    message [loan: index 3, generation 7] ---> loans[3]: generation 7, bytes      found: written out
 *                                               loans[3]: generation 8             taken back: skipped
 */
#include "redis_connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define MOST_CONNECTIONS 64u
#define IS_DOWN (1u << 31)                 /* more than any load */
#define MOST_REQUEST (UINT32_C(512) << 20) /* what Redis takes as one string */

/* ---- loans ------------------------------------------------------------------------------------------------------- */

static int open_loan(struct loans *loans, struct lent_bytes *lent, struct loan_name *out)
{
    int rc = 0;
    pthread_mutex_lock(&loans->lock);
    if (!loans->free) {
        struct loan *more = realloc(loans->loans, (loans->count + 1) * sizeof *more);
        if (more) {
            more[loans->count] = (struct loan){ 0 };
            loans->loans = more;
            loans->free = ++loans->count;
        }
    }
    if (loans->free) {
        struct loan *loan = &loans->loans[out->index = loans->free - 1];
        loans->free = loan->next_free;
        loan->lent = lent;
        out->generation = loan->generation;
    } else {
        rc = -ENOMEM;
    }
    pthread_mutex_unlock(&loans->lock);
    return rc;
}

/* The caller takes its bytes back; they are freed once the writer is done with them. */
static void close_loan(struct loans *loans, const struct loan_name *name, struct lent_bytes *lent)
{
    pthread_mutex_lock(&loans->lock);
    struct loan *loan = &loans->loans[name->index];
    loan->generation++;
    loan->lent = NULL;
    loan->next_free = loans->free;
    loans->free = name->index + 1;
    pthread_mutex_unlock(&loans->lock);
    redis_loan_unref(loans, lent);
}

struct lent_bytes *redis_loan_borrow(struct loans *loans, const struct loan_name *name)
{
    pthread_mutex_lock(&loans->lock);
    struct loan *loan = &loans->loans[name->index];
    struct lent_bytes *lent = loan->generation == name->generation ? loan->lent : NULL;
    if (lent)
        lent->references++;
    pthread_mutex_unlock(&loans->lock);
    return lent;
}

void redis_loan_unref(struct loans *loans, struct lent_bytes *lent)
{
    pthread_mutex_lock(&loans->lock);
    bool last = --lent->references == 0;
    pthread_mutex_unlock(&loans->lock);
    if (last)
        free(lent);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/*
 * The connection with the fewest calls under way, of those that are up if any is. Replies that are owed count as well: a line on
 * which nothing comes any more would look the best of all as soon as its callers have given up.
 */
static struct connection *choose(struct redis *redis)
{
    struct connection *best = &redis->connections[0];
    unsigned least = UINT32_MAX;
    for (unsigned i = 0; i < redis->count; i++) {
        struct connection *connection = &redis->connections[i];
        unsigned load = atomic_load_explicit(&connection->load, memory_order_relaxed);
        unsigned owed = atomic_load_explicit(&connection->owed, memory_order_relaxed);
        if (load < owed)
            load = owed;
        if (!atomic_load_explicit(&connection->is_up, memory_order_relaxed))
            load |= IS_DOWN;
        if (load < least) {
            least = load;
            best = connection;
        }
    }
    return best;
}

static int call(struct writer_address writer, const struct request *request, struct redis_reply *reply,
                tr_time deadline)
{
    int rc = tr_call(writer, reply, deadline, request);
    if (rc == 0)
        redis_reply_settle(reply);
    return rc == -ESRCH ? REDIS_NOT_SENT : rc == -EPIPE ? REDIS_UNKNOWN : rc;
}

static int call_lending(struct connection *connection, size_t count, const struct redis_bytes *arguments, size_t most,
                        struct redis_reply *reply, tr_time deadline)
{
    struct loans *loans = &connection->redis->loans;
    if (most > MOST_REQUEST)
        return -EINVAL;
    struct lent_bytes *lent = malloc(sizeof *lent + most); /* more than REQUEST_INLINE: put() relies on it */
    if (!lent)
        return -ENOMEM;
    lent->references = 1;
    size_t bytes = (size_t)(redis_encode(lent->bytes, count, arguments) - lent->bytes);
    struct request request = { .kind = REQUEST_LOAN, .length = (uint32_t)bytes };
    int rc = open_loan(loans, lent, &request.loan);
    if (rc < 0) {
        free(lent);
        return rc;
    }
    rc = call(connection->writer, &request, reply, deadline);
    close_loan(loans, &request.loan, lent);
    return rc;
}

static int call_inline(struct connection *connection, size_t count, const struct redis_bytes *arguments,
                       struct redis_reply *reply, tr_time deadline)
{
    struct request request; /* most of it need not be initialised */
    request.kind = REQUEST_BYTES;
    request.length = (uint32_t)(redis_encode(request.bytes, count, arguments) - request.bytes);
    return call(connection->writer, &request, reply, deadline);
}

/* With one connection there is nothing to choose, and after the call nothing that redis_close must wait for. */
static bool goes_inline(const struct redis *redis, size_t most)
{
    return redis->count == 1 && most <= REQUEST_INLINE;
}

/* Nothing is known of what it holds. */
static inline void clear_fresh(struct redis_reply *reply)
{
    reply->block = NULL;
    reply->value = (struct redis_value){ .type = REDIS_NIL };
}

/* *writer: of the connection that was chosen. */
static int request_reply(struct redis *redis, size_t count, const struct redis_bytes *arguments,
                         struct redis_reply *reply, struct writer_address *writer, tr_time deadline)
{
    clear_fresh(reply);
    size_t most = redis_encoded_most(count, arguments);
    bool simple = goes_inline(redis, most);
    struct connection *connection = simple ? &redis->connections[0] : choose(redis);
    *writer = connection->writer;
    if (simple)
        return call_inline(connection, count, arguments, reply, deadline);
    atomic_fetch_add_explicit(&connection->load, 1, memory_order_relaxed);
    int rc = most <= REQUEST_INLINE ? call_inline(connection, count, arguments, reply, deadline)
                                    : call_lending(connection, count, arguments, most, reply, deadline);
    /* From here on redis_close may free everything. */
    atomic_fetch_sub_explicit(&connection->load, 1, memory_order_release);
    return rc;
}

static bool is_word(const struct redis_bytes *argument, const char *word)
{
    return strlen(word) == argument->length && strncasecmp(word, argument->data, argument->length) == 0;
}

/* XREAD and XREADGROUP with BLOCK. */
static bool waits_for_news(size_t count, const struct redis_bytes *arguments)
{
    if (!is_word(arguments, "XREAD") && !is_word(arguments, "XREADGROUP"))
        return false;
    for (size_t i = 1; i < count && !is_word(arguments + i, "STREAMS"); i++) {
        if (is_word(arguments + i, "BLOCK"))
            return true;
        if (is_word(arguments + i, "GROUP"))
            i += 2; /* names, whatever they are */
    }
    return false;
}

/*
 * A command after which the connection would not answer each request with one reply, or would answer others differently;
 * or which may keep everybody else waiting for theirs.
 */
static bool concerns_others(size_t count, const struct redis_bytes *arguments)
{
    static const char *const names[] = {
        "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR",
        "SYNC",      "PSYNC",      "MULTI",      "EXEC",        "DISCARD",      "WATCH",        "UNWATCH",
        "SELECT",    "AUTH",       "HELLO",      "RESET",       "QUIT",         "READONLY",     "READWRITE",
        "ASKING",    "BLPOP",      "BRPOP",      "BLMOVE",      "BLMPOP",       "BRPOPLPUSH",   "BZPOPMIN",
        "BZPOPMAX",  "BZMPOP",     "WAIT",       "WAITAOF",     "REPLCONF",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_word(arguments, names[i]))
            return true;
    if (is_word(arguments, "SCRIPT"))
        return count > 1 && is_word(arguments + 1, "DEBUG");
    if (is_word(arguments, "CLIENT"))
        return count > 1 && (is_word(arguments + 1, "REPLY") || is_word(arguments + 1, "TRACKING"));
    return waits_for_news(count, arguments);
}

int redis_command(struct redis *redis, size_t count, const struct redis_bytes *arguments, struct redis_reply *reply,
                  tr_time deadline)
{
    clear_fresh(reply);
    if (count == 0 || count > INT32_MAX)
        return -EINVAL;
    if (concerns_others(count, arguments))
        return -ENOTSUP;
    struct writer_address writer;
    return request_reply(redis, count, arguments, reply, &writer, deadline);
}

/* Too long to ride along, or there is a connection to choose. */
static __attribute__((noinline)) int get_or_set_long(struct redis *redis, struct redis_bytes key,
                                                     const struct redis_bytes *value, struct redis_reply *reply,
                                                     struct writer_address *writer, tr_time deadline)
{
    if (!value)
        return request_reply(redis, 2, (struct redis_bytes[]){ REDIS_BYTES("GET"), key }, reply, writer, deadline);
    return request_reply(redis, 3, (struct redis_bytes[]){ REDIS_BYTES("SET"), key, *value }, reply, writer, deadline);
}

#define IS_GET SIZE_MAX

/*
 * Not the reply that says that all is well. One of another kind is an answer to something else: nothing is known, then, and
 * those who come behind us would get each other's replies, so the writer is told to give the line up. By address: redis_close
 * may have freed everything else.
 */
static __attribute__((noinline)) int take_other_reply(bool get, struct redis_reply *reply, struct writer_address writer,
                                                      tr_time deadline)
{
    if (reply->value.type == REDIS_ERROR)
        return REDIS_REFUSED;
    if (get && reply->value.type == REDIS_NIL)
        return 0;
    redis_reply_clear(reply);
    struct request doubt = { .kind = REQUEST_DOUBT, .doubted_at = tr_clock() };
    if (tr_try_send(writer, &doubt) == -EAGAIN) /* which works for the cancelled, too */
        tr_send(writer, deadline, &doubt);
    return REDIS_UNKNOWN;
}

/*
 * Both in one function and with one call in it: after a switch the processor expects the returns of the task that called
 * last, and would be wrong whenever that one made the other kind of request. `data`: a SET's value, of `length` bytes; or the
 * reply to a GET, with length IS_GET. So all arguments are passed in registers, redis_get and redis_set need no frame and end
 * with a jump, and there is no return of theirs either.
 */
static __attribute__((noinline)) int get_or_set(struct redis *redis, struct redis_bytes key, void *data, size_t length,
                                                tr_time deadline)
{
    bool get = length == IS_GET;
    struct redis_bytes value = { data, length };
    union {
        struct request request; /* most of it need not be initialised */
        struct redis_reply done;
    } here;
    struct redis_reply *reply = get ? data : &here.done;
    struct writer_address writer;
    int rc;
    if (goes_inline(redis, key.length + (get ? REDIS_GET_MOST : length + REDIS_SET_MOST))) {
        struct request *request = &here.request;
        char *end = get ? redis_encode_get(request->bytes, key) : redis_encode_set(request->bytes, key, value);
        request->kind = REQUEST_BYTES;
        request->length = (uint32_t)(end - request->bytes);
        writer = redis->connections[0].writer;
        rc = call(writer, request, reply, deadline);
        if (rc != 0)
            clear_fresh(reply);
    } else {
        rc = get_or_set_long(redis, key, get ? NULL : &value, reply, &writer, deadline);
    }
    if (rc == 0 && reply->value.type != (get ? REDIS_STRING : REDIS_STATUS))
        rc = take_other_reply(get, reply, writer, deadline);
    if (!get && reply->block)
        free(reply->block);
    return rc;
}

int redis_get(struct redis *redis, struct redis_bytes key, struct redis_reply *value, tr_time deadline)
{
    return get_or_set(redis, key, value, IS_GET, deadline);
}

int redis_set(struct redis *redis, struct redis_bytes key, struct redis_bytes value, tr_time deadline)
{
    if (value.length == IS_GET)
        return -EINVAL;
    return get_or_set(redis, key, (void *)value.data, value.length, deadline);
}

const char *redis_failure_text(int result)
{
    switch (result) {
    case 0:
        return "done";
    case REDIS_NOT_SENT:
        return "not sent";
    case REDIS_UNKNOWN:
        return "outcome unknown: the connection was lost, or its replies do not match";
    case REDIS_TOO_LARGE:
        return "the reply is too large";
    case REDIS_REFUSED:
        return "the server answered with an error";
    case -ETIMEDOUT:
        return "deadline passed";
    default:
        return strerror(result < 0 ? -result : EINVAL);
    }
}

/* ---- dialing ----------------------------------------------------------------------------------------------------- */

static bool will_pass(const char *error)
{
    static const char *const starts[] = { "LOADING ", "BUSY ", "ERR max number of clients" };
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(error, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* Reads the replies to AUTH and SELECT. */
static int read_greeting(struct connection *c, unsigned replies, tr_time deadline, char why[static 256])
{
    char in[1024];
    size_t have = 0, used;
    struct redis_parser parser = { .most_bytes = sizeof in };
    while (replies > 0) {
        struct redis_reply reply;
        int rc = redis_parse(&parser, in, have, &reply, &used);
        if (rc == 0) {
            ssize_t bytes = tr_read(c->stream, in + have, sizeof in - have, deadline);
            if (bytes <= 0)
                return bytes == 0 ? -ECONNRESET : (int)bytes;
            have += (size_t)bytes;
            continue;
        }
        if (rc < 0)
            return rc;
        bool refused = reply.value.type == REDIS_ERROR;
        if (refused)
            snprintf(why, 256, "%.*s", (int)reply.value.length, reply.value.text);
        redis_reply_clear(&reply);
        if (refused)
            return will_pass(why) ? -EAGAIN : -EACCES;
        have -= used;
        memmove(in, in + used, have);
        replies--;
    }
    return have > 0 ? -EPROTO : 0;
}

/* AUTH and SELECT, as far as the URL asks for them. */
static int greet(struct connection *c, tr_time deadline, char why[static 256])
{
    const struct redis_url *url = &c->redis->url;
    char out[1024], number[16], *end = out;
    unsigned replies = 0;
    if (url->password[0]) {
        struct redis_bytes auth[] = { REDIS_BYTES("AUTH"), redis_text(url->user), redis_text(url->password) };
        if (!url->user[0])
            auth[1] = auth[2];
        end = redis_encode(end, url->user[0] ? 3 : 2, auth);
        replies++;
    }
    if (url->database) {
        snprintf(number, sizeof number, "%u", url->database);
        end = redis_encode(end, 2, (struct redis_bytes[]){ REDIS_BYTES("SELECT"), redis_text(number) });
        replies++;
    }
    if (!replies)
        return 0;
    int rc = tr_write(c->stream, out, (size_t)(end - out), deadline);
    return rc < 0 ? rc : read_greeting(c, replies, deadline, why);
}

int redis_connection_dial(struct connection *c, tr_time deadline, char why[static 256])
{
    const struct redis_url *url = &c->redis->url;
    tr_time attempt = tr_after(c->redis->options.connect_ns);
    if (attempt > deadline)
        attempt = deadline;
    why[0] = '\0';
    int rc = tr_tcp_connect(&c->stream, url->host, url->port, attempt);
    if (rc < 0) {
        c->stream = NULL;
    } else {
        rc = greet(c, attempt, why);
        if (rc < 0) {
            tr_stream_close(c->stream);
            c->stream = NULL;
        }
    }
    if (rc < 0 && !why[0])
        snprintf(why, 256, "%s", rc == -EHOSTUNREACH ? "unknown name" : strerror(-rc));
    switch (rc) {
    case 0:
    case -ECANCELED:
    case -EACCES:
    case -EINVAL:
    case -EHOSTUNREACH:
    case -ENOMEM:
        return rc;
    default:
        return -EAGAIN;
    }
}

/* ---- the pool ---------------------------------------------------------------------------------------------------- */

#define DEFAULT(field, value) ((field) = (field) ? (field) : (value))

static int take_options(struct redis_options *options, const struct redis_options *given)
{
    *options = given ? *given : (struct redis_options){ 0 };
    DEFAULT(options->connections, 1);
    DEFAULT(options->in_flight, 1024);
    DEFAULT(options->queue, 256);
    DEFAULT(options->max_reply_bytes, (size_t)64 << 20);
    DEFAULT(options->connect_ns, 2 * TR_SECOND);
    DEFAULT(options->stall_ns, 30 * TR_SECOND);
    DEFAULT(options->backoff_ns, 10 * TR_MILLISECOND);
    DEFAULT(options->most_backoff_ns, TR_SECOND);
    bool good = options->connections <= MOST_CONNECTIONS && options->in_flight <= 65536 && options->queue <= 65536 &&
                options->max_reply_bytes <= UINT32_MAX && options->connect_ns > 0 && options->stall_ns > 0 &&
                options->backoff_ns > 0 && options->most_backoff_ns > 0;
    if (options->backoff_ns > options->most_backoff_ns)
        options->backoff_ns = options->most_backoff_ns;
    return good ? 0 : -EINVAL;
}

/* Dials until the deadline, so that a server that is just starting is waited for. */
static int dial_patiently(struct connection *connection, tr_time deadline, char why[static 256])
{
    for (;;) {
        int rc = redis_connection_dial(connection, deadline, why);
        if (rc != -EAGAIN)
            return rc;
        tr_time until = redis_connection_pause(connection);
        rc = tr_sleep_until(until < deadline ? until : deadline);
        if (rc < 0)
            return rc;
        if (until >= deadline)
            return -ETIMEDOUT;
    }
}

/* Connects the pool, spread over the workers. */
static int open_pool(struct redis *redis, tr_time deadline, char why[static 256])
{
    unsigned workers = tr_worker_count();
    while (redis->count < redis->options.connections) {
        struct connection *connection = &redis->connections[redis->count];
        redis_connection_init(connection, redis);
        int rc = dial_patiently(connection, deadline, why);
        if (rc == 0)
            rc = redis_connection_start(connection, TR_PIN((int)(redis->count % workers)));
        if (rc < 0) {
            if (!why[0])
                snprintf(why, 256, "%s", strerror(-rc));
            if (connection->stream)
                tr_stream_close(connection->stream);
            redis_connection_deinit(connection);
            return rc;
        }
        redis->count++;
    }
    return 0;
}

static struct redis *allocate_pool(const struct redis_options *options, const struct redis_url *url)
{
    size_t bytes = sizeof(struct redis) + options->connections * sizeof(struct connection);
    struct redis *redis = aligned_alloc(_Alignof(struct redis), bytes);
    if (!redis)
        return NULL;
    memset(redis, 0, bytes);
    redis->options = *options;
    redis->url = *url;
    pthread_mutex_init(&redis->loans.lock, NULL);
    return redis;
}

int redis_open(struct redis **out, const char *url, const struct redis_options *options, tr_time deadline)
{
    struct redis_options all;
    struct redis_url parsed = { 0 };
    char why[256] = "an option is out of range";
    int rc = take_options(&all, options);
    if (rc == 0)
        rc = redis_url_parse(&parsed, url, why, sizeof why);
    if (rc < 0) {
        snprintf(all.error, all.error ? all.error_bytes : 0, "%s", why);
        return rc;
    }
    struct redis *redis = allocate_pool(&all, &parsed);
    snprintf(why, sizeof why, "%s", strerror(ENOMEM)); /* until somebody is dialed */
    rc = redis ? open_pool(redis, deadline, why) : -ENOMEM;
    if (rc == 0) {
        *out = redis;
        return 0;
    }
    if (redis)
        redis_close(redis, TR_NOW);
    snprintf(all.error, all.error ? all.error_bytes : 0, "%s:%u: %s", parsed.host, parsed.port, why);
    return rc;
}

/* A shield around ours can have run out of time, and then bounds every wait; but what ends must not be freed before. */
static void end_connection(struct connection *connection, tr_time deadline)
{
    if (tr_task_join(connection->writer_task, NULL, deadline) < 0) {
        tr_actor_cancel(connection->writer);
        redis_connection_join(connection->writer_task);
    }
    /* The callers have their answers; they are on their way out. */
    while (atomic_load_explicit(&connection->load, memory_order_acquire) > 0)
        if (tr_sleep(TR_MILLISECOND) < 0)
            tr_yield();
    redis_connection_deinit(connection);
}

void redis_close(struct redis *redis, tr_time deadline)
{
    struct tr_shield shield;
    tr_shield_open(&shield, TR_FOREVER);
    for (unsigned i = 0; i < redis->count; i++)
        tr_actor_stop(redis->connections[i].writer);
    for (unsigned i = 0; i < redis->count; i++)
        end_connection(&redis->connections[i], deadline);
    tr_shield_close(&shield);
    pthread_mutex_destroy(&redis->loans.lock);
    free(redis->loans.loans);
    free(redis);
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

uint64_t redis_losses(const struct redis *redis)
{
    uint64_t losses = 0;
    for (unsigned i = 0; i < redis->count; i++)
        losses += read_counter(&redis->connections[i].counters.losses);
    return losses;
}

void redis_stats(const struct redis *redis, struct redis_stats *out)
{
    *out = (struct redis_stats){ 0 };
    for (unsigned i = 0; i < redis->count; i++) {
        const struct counters *counters = &redis->connections[i].counters;
        out->requests += read_counter(&counters->requests);
        out->writes += read_counter(&counters->writes);
        out->replies += read_counter(&counters->replies);
        out->reads += read_counter(&counters->reads);
        out->bytes_out += read_counter(&counters->bytes_out);
        out->bytes_in += read_counter(&counters->bytes_in);
        out->losses += read_counter(&counters->losses);
        out->connects += read_counter(&counters->connects);
        out->not_sent += read_counter(&counters->not_sent);
        out->unknown += read_counter(&counters->unknown);
        out->late += read_counter(&counters->late);
    }
}
