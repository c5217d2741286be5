/* SPDX-License-Identifier: MIT */
/*
 * redis_connection.c: one connection: an actor, the writer, whose mailbox takes the requests, and a second actor, the
 * reader, that keeps the callers whose replies are on their way.
 *
 *    callers            writer                                reader
 *      | tr_call           |                                    |
 *      +--[request]------->| takes all that wait                |
 *      :  mailbox          |--tr_forward: [caller]------------->| mailbox = callers in flight, in order; its capacity
 *      :                   |                                    |           bounds them
 *      :                   |--one write-------> server -------->| tr_read
 *      |<----------------------------tr_reply-------------------| one caller for each reply
 *
 * The one idea: forwarding moves the debt. A caller is owed its answer by the writer until its request goes out, then by
 * the reader, so that whichever of them ends, the runtime still answers for it.
 *
 * When the line breaks, whoever notices says so in `lost`. The reader collects the callers that are left, and answers
 * them once the writer has let go (it stops the reader): only then is it known how many requests were written. Those are
 * "unknown", the others "not sent". A request that was never forwarded stays with the writer for the next line.
 */
#include "redis_connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define OUT_BYTES 65536
#define OUT_REQUESTS 1024
#define FEW_REQUESTS 4          /* in a batch that does not wait for company */
#define IN_BYTES 65536          /* grows for a long reply */
#define IN_KEEP (16 * IN_BYTES) /* and shrinks again beyond this */
#define GOOD_PAUSES 10          /* a line that has lived for so many of the first pauses was a good one */
#define LAST_REPLIES TR_SECOND  /* after a failed write: how long replies may still come */

/* The line is over; the first reason stays. */
static void lose(struct connection *c, int why)
{
    if (!c->lost) {
        c->lost = why;
        if (!c->draining && !c->stopped)
            add(&c->counters.losses, 1);
    }
}

static void fail(struct connection *c, struct reply_token caller, enum redis_failure failure)
{
    if (tr_reply_error(caller, failure) == 0)
        add(failure == REDIS_NOT_SENT ? &c->counters.not_sent : &c->counters.unknown, 1);
}

/* For whoever is to choose a connection. */
static void note_owed(struct connection *c)
{
    atomic_store_explicit(&c->owed, (unsigned)(c->forwarded - c->answered), memory_order_relaxed);
}

void redis_connection_join(struct tr_task task)
{
    int rc;
    while ((rc = tr_task_join(task, NULL, TR_FOREVER)) == -ETIMEDOUT || rc == -ENOMEM)
        tr_yield();
}

/* ---- reader ------------------------------------------------------------------------------------------------------ */

/* At least a quarter of the buffer is free afterwards. */
static int make_room(struct connection *c)
{
    size_t used = c->in_end - c->in_start, capacity = c->in_capacity;
    if (used == 0) {
        c->in_start = c->in_end = 0;
        if (capacity <= IN_KEEP)
            return 0;
        capacity = IN_BYTES;
    } else if (used > capacity / 4 * 3) {
        capacity *= 2; /* memory follows what has arrived, not what was announced */
    }
    if (c->in_start > 0 && capacity - c->in_end < capacity / 4) {
        memmove(c->in, c->in + c->in_start, used);
        c->in_start = 0;
        c->in_end = used;
    }
    if (capacity == c->in_capacity)
        return 0;
    char *in = realloc(c->in, capacity);
    if (!in)
        return -ENOMEM;
    c->in = in;
    c->in_capacity = capacity;
    return 0;
}

/* Hands one reply to the caller who is first in line. */
static int answer(struct connection *c, struct redis_reply *reply)
{
    struct pending pending;
    if (tr_try_receive(&pending) < 0) {
        redis_reply_clear(reply);
        return -EPROTO; /* a reply that nobody asked for */
    }
    c->answered++;
    if (tr_reply(pending.reply, reply) < 0) {
        redis_reply_clear(reply);
        add(&c->counters.late, 1);
    }
    return 0;
}

/* The caller whose reply is too long is told so; the line cannot go on. */
static void refuse_reply(struct connection *c)
{
    struct pending pending;
    if (tr_try_receive(&pending) == 0) {
        c->answered++;
        tr_reply_error(pending.reply, REDIS_TOO_LARGE);
    }
}

/* Every complete reply in the buffer. Returns 0 when more must be read. */
static int answer_all(struct connection *c)
{
    struct redis_reply reply;
    uint64_t replies = c->answered;
    int rc = 1;
    while (rc > 0) {
        size_t used = 0;
        rc = redis_parse(&c->parser, c->in + c->in_start, c->in_end - c->in_start, &reply, &used);
        c->in_start += used;
        if (rc > 0 && answer(c, &reply) < 0)
            rc = -EPROTO;
    }
    add(&c->counters.replies, c->answered - replies);
    if (rc == -EMSGSIZE)
        refuse_reply(c);
    note_owed(c);
    return rc;
}

/* Reads once. A stall is a time-out while requests were in flight all along, and none of them was still going out. */
static int read_replies(struct connection *c)
{
    int rc = make_room(c);
    if (rc < 0)
        return rc;
    bool owing = c->forwarded > c->answered;
    uint64_t written = atomic_load_explicit(&c->counters.bytes_out, memory_order_relaxed);
    ssize_t bytes =
        tr_read(c->stream, c->in + c->in_end, c->in_capacity - c->in_end, tr_after(c->redis->options.stall_ns));
    bool sending = atomic_load_explicit(&c->counters.bytes_out, memory_order_relaxed) != written;
    if (bytes == -ETIMEDOUT && (!owing || sending))
        return 0;
    if (bytes <= 0)
        return bytes == 0 ? -ECONNRESET : (int)bytes;
    c->in_end += (size_t)bytes;
    add(&c->counters.reads, 1);
    add(&c->counters.bytes_in, (uint64_t)bytes);
    return answer_all(c);
}

/*
 * Has the writer look at `lost`. False: its mailbox is full. Then it is awake; but if all that it finds are requests whose
 * callers have gone, it skips them and sleeps again, so it must be told again.
 */
static bool tell_writer(struct connection *c)
{
    return tr_try_send(c->writer, &(struct request){ .kind = REQUEST_WAKE }) != -EAGAIN;
}

/* The line is lost: answers everybody who is left, once the writer has let go. */
static void abandon(struct connection *c)
{
    size_t most = c->redis->options.in_flight + 2, left = 0; /* a mailbox full, and what the writer was forwarding */
    uint64_t first = c->answered;                            /* the number of the request of the first of them */
    struct pending *callers = calloc(most, sizeof *callers), caller;
    tr_stream_abort(c->stream); /* a writer that waits for its write comes back */
    bool told = tell_writer(c);
    /* -EPIPE before the writer has let go is the runtime's end: it may still be in a write. */
    for (;;) {
        int rc = tr_receive(&caller, told ? TR_FOREVER : tr_after(TR_MILLISECOND));
        if (rc == -ETIMEDOUT)
            told = tell_writer(c);
        else if (rc == -EPIPE && !c->draining)
            tr_sleep(TR_MILLISECOND);
        else if (rc < 0)
            break;
        else if (callers && left < most)
            callers[left++] = caller;
        else
            fail(c, caller.reply, REDIS_UNKNOWN);
    }
    for (size_t i = 0; i < left; i++)
        fail(c, callers[i].reply, first + i < c->written ? REDIS_UNKNOWN : REDIS_NOT_SENT);
    free(callers);
}

static int reader_body(void *argument)
{
    struct connection *c = argument;
    int rc = 0;
    while (rc == 0 && !(c->draining && c->forwarded == c->answered))
        rc = read_replies(c);
    if (rc < 0)
        lose(c, rc);
    struct tr_shield shield;
    tr_shield_open(&shield, TR_FOREVER); /* nor does a cancellation tell how much was written */
    abandon(c);
    tr_shield_close(&shield);
    return 0;
}

/* ---- writer: sending --------------------------------------------------------------------------------------------- */

/* In pieces, each of which has the time: a long request over a slow line is no stall. Returns 0, or why it ends at *done. */
static int write_pieces(struct connection *c, const char *bytes, size_t length, size_t *done)
{
    int rc = 0;
    for (*done = 0; rc == 0 && *done < length;) {
        size_t more, piece = length - *done < OUT_BYTES ? length - *done : OUT_BYTES;
        struct iovec part = { (void *)(bytes + *done), piece };
        rc = tr_write_v(c->stream, &part, 1, &more, tr_after(c->redis->options.stall_ns));
        *done += more;
        add(&c->counters.bytes_out, more);
    }
    return rc;
}

/* So many of the requests that end at ends[] are whole in the first `done` bytes. */
static uint32_t requests_within(const uint32_t *ends, uint32_t requests, size_t done)
{
    uint32_t sent = 0;
    while (sent < requests && ends[sent] <= done)
        sent++;
    return sent;
}

/* Writes `bytes`, in which the next `requests` requests end at ends[]. */
static void write_requests(struct connection *c, const char *bytes, size_t length, const uint32_t *ends,
                           uint32_t requests)
{
    size_t done;
    note_owed(c);
    int rc = write_pieces(c, bytes, length, &done);
    uint32_t sent = requests_within(ends, requests, done);
    c->written += sent;
    add(&c->counters.requests, sent);
    add(&c->counters.writes, 1);
    if (rc < 0)
        lose(c, rc);
}

static void drop_batch(struct connection *c)
{
    c->writing = false;
    c->out_length = c->out_count = 0;
}

/* Starts to write the batch, which is counted as written until we know better. */
static void start_batch(struct connection *c)
{
    note_owed(c);
    int rc = tr_write_start(c->stream, c->out, c->out_length);
    if (rc < 0) {
        lose(c, rc);
        drop_batch(c);
        return;
    }
    c->writing = true;
    c->written += c->out_count;
    add(&c->counters.requests, c->out_count);
    add(&c->counters.writes, 1);
    add(&c->counters.bytes_out, c->out_length);
}

/* Waits until the batch has gone out that was started: the buffer is free again, or the line lost. */
static void settle(struct connection *c)
{
    size_t done;
    if (!c->writing)
        return;
    int rc = tr_write_finish(c->stream, &done, tr_after(c->redis->options.stall_ns));
    if (rc < 0) {
        uint64_t unsent = c->out_count - requests_within(c->ends, c->out_count, done);
        c->written -= unsent;
        add(&c->counters.requests, -unsent);
        add(&c->counters.bytes_out, done - c->out_length);
        lose(c, rc);
    }
    drop_batch(c);
}

/*
 * Sends the batch, if there is one. Many requests go out with the worker's wait for their answers, in one system call, which is
 * cheaper; a few at once, which is sooner.
 */
static void flush(struct connection *c)
{
    if (c->writing || c->out_count == 0)
        return;
    if (!c->lost && c->out_count > FEW_REQUESTS) {
        start_batch(c);
        return;
    }
    if (!c->lost)
        write_requests(c, c->out, c->out_length, c->ends, c->out_count);
    drop_batch(c);
}

/* Adds a forwarded request to the batch, which goes out first if there is no room. */
static void put(struct connection *c, const char *bytes, uint32_t length)
{
    if (c->out_count == OUT_REQUESTS || length > OUT_BYTES - c->out_length)
        flush(c);
    settle(c);
    if (c->lost)
        return;
    if (length > OUT_BYTES) {
        write_requests(c, bytes, length, &length, 1);
        return;
    }
    if (length <= REQUEST_INLINE)
        memcpy(c->out + c->out_length, bytes, REQUEST_INLINE); /* so much is there: see call_lending */
    else
        memcpy(c->out + c->out_length, bytes, length);
    c->ends[c->out_count++] = c->out_length += length;
}

/* Moves the caller to the reader. Returns 0, -ESRCH (nobody waits for the answer), or an error that ends the line. */
static int forward(struct connection *c, struct request *request)
{
    struct pending pending = { 0 };
    int rc = tr_forward(request->reply, c->reader, TR_NOW, &pending);
    if (rc == -ETIMEDOUT) { /* as many in flight as may be: what we have must go out, or no reply makes room */
        flush(c);
        rc = c->lost ? -EPIPE : tr_forward(request->reply, c->reader, TR_FOREVER, &pending);
    }
    if (rc == 0)
        c->forwarded++;
    return rc == -ESRCH && tr_reply_wanted(request->reply) ? -EPIPE : rc; /* -EPIPE: it is the reader who has gone */
}

/* For the next line, for it was not forwarded. */
static void hold(struct connection *c, const struct request *request)
{
    c->holding = true;
    if (request != &c->held)
        c->held = *request;
}

/* Sends the request, or holds it when the line is lost before that. */
static void submit(struct connection *c, struct request *request)
{
    struct lent_bytes *lent = NULL;
    c->holding = false;
    if (request->kind == REQUEST_DOUBT && request->doubted_at >= c->since) /* else it is about another line */
        lose(c, -EPROTO);
    if (!has_caller(request))
        return;
    if (c->lost) {
        hold(c, request);
        return;
    }
    if (request->kind == REQUEST_LOAN && !(lent = redis_loan_borrow(&c->redis->loans, &request->loan)))
        return; /* taken back: its caller has gone */
    int rc = forward(c, request);
    if (rc == 0)
        put(c, lent ? lent->bytes : request->bytes, request->length);
    if (lent)
        redis_loan_unref(&c->redis->loans, lent);
    if (rc < 0 && rc != -ESRCH) {
        lose(c, rc);
        hold(c, request);
    }
}

/* Takes what is in the mailbox now. One at a time costs less than a batch: a request in hand is in no list of debts. */
static void submit_waiting(struct connection *c)
{
    struct request request;
    while (!c->lost && tr_try_receive(&request) == 0)
        submit(c, &request);
}

/* Sends requests until the line is lost (0), or no more will come (-EPIPE), or we are cancelled. */
static int serve(struct connection *c)
{
    struct request request;
    if (c->holding)
        submit(c, &c->held);
    for (;;) {
        flush(c);
        if (c->lost)
            return 0;
        uint64_t forwarded = c->forwarded, answered = c->answered;
        int rc = tr_receive(&request, TR_FOREVER);
        if (rc < 0)
            return rc;
        submit(c, &request);
        submit_waiting(c);
        /* Callers who were answered since the last batch are likely to be back in a moment: let them join this one. */
        if (c->forwarded - forwarded < c->answered - answered) {
            tr_yield();
            submit_waiting(c);
        }
    }
}

/* ---- writer: connecting ------------------------------------------------------------------------------------------- */

tr_time redis_connection_pause(struct connection *c)
{
    int64_t pause = c->pause, most = c->redis->options.most_backoff_ns;
    c->pause = pause < most / 2 ? pause * 2 : most;
    /* From half to one and a half of the pause (xorshift), so that a crowd of clients does not come back at once. */
    c->jitter ^= c->jitter << 13;
    c->jitter ^= c->jitter >> 7;
    c->jitter ^= c->jitter << 17;
    return tr_after(pause / 2 + (int64_t)(c->jitter % (uint64_t)pause));
}

/* Waits before the next attempt; takes one request meanwhile, if there is none in hand, so that a stop is noticed. */
static int pause_dialing(struct connection *c)
{
    tr_time until = redis_connection_pause(c);
    if (c->holding && !tr_reply_wanted(c->held.reply))
        c->holding = false; /* its caller has gone, and must not keep us from noticing a stop */
    while (!c->holding) {
        int rc = tr_receive(&c->held, until);
        if (rc < 0)
            return rc == -ETIMEDOUT ? 0 : rc;
        c->holding = has_caller(&c->held); /* all else is about the line before */
    }
    return tr_sleep_until(until);
}

/* Connects, however long it takes. Returns 0, -EPIPE (no request will come any more), -ECANCELED. */
static int reconnect(struct connection *c)
{
    const struct redis_url *url = &c->redis->url;
    char why[256], said[256] = "";
    for (;;) {
        int rc = 0;
        if (c->pause > 0)
            rc = pause_dialing(c);
        else
            c->pause = c->redis->options.backoff_ns;
        if (rc < 0)
            return rc;
        rc = redis_connection_dial(c, TR_FOREVER, why);
        if (rc == 0)
            break;
        if (rc == -ECANCELED)
            return rc;
        if (strcmp(why, said) != 0)
            tr_log(TR_LOG_WARNING, "redis %s:%u: %s; trying again", url->host, url->port, why);
        memcpy(said, why, sizeof said);
    }
    add(&c->counters.connects, 1);
    tr_log(TR_LOG_INFO, "redis %s:%u: connected again", url->host, url->port);
    return 0;
}

/* ---- writer: a line's life ---------------------------------------------------------------------------------------- */

/* A new line: the reader starts. */
static int attach(struct connection *c)
{
    c->lost = 0;
    c->since = tr_clock();
    c->draining = false;
    c->forwarded = c->written = c->answered = 0;
    note_owed(c);
    c->in_start = c->in_end = 0;
    c->parser = (struct redis_parser){ .most_bytes = c->redis->options.max_reply_bytes };
    /* keep_expired: a caller who has gone keeps its place in the order of replies. */
    struct tr_actor_options options = {
        .name = "redis reader",
        .capacity = c->redis->options.in_flight,
        .pin = TR_PIN_HERE,
        .keep_expired = true,
        .task = &c->reader_task,
    };
    return tr_spawn(&c->reader, reader_body, c, &options);
}

/*
 * The line is over, or the writer is: ends the reader and closes the stream. Replies still come in for as long as the
 * server sends them: to the end when we were stopped, for a moment when a write failed; but not where they make no sense.
 */
static void detach(struct connection *c, bool cancelled)
{
    struct tr_shield shield;
    if (c->lost == -EPROTO)
        tr_stream_abort(c->stream);
    settle(c);
    c->draining = true;
    tr_actor_stop(c->reader);
    if (cancelled || (!c->lost && c->forwarded == c->answered))
        tr_stream_abort(c->stream);
    if (tr_task_join(c->reader_task, NULL, c->lost ? tr_after(LAST_REPLIES) : TR_FOREVER) < 0) {
        tr_stream_abort(c->stream);
        tr_shield_open(&shield, TR_FOREVER);
        redis_connection_join(c->reader_task);
        tr_shield_close(&shield);
    }
    tr_stream_close(c->stream);
    c->stream = NULL;
}

/* There was no memory for a reader, which passes: gives the line up that nothing was asked on, and waits before the next. */
static void give_up_line(struct connection *c)
{
    const struct redis_url *url = &c->redis->url;
    tr_log(TR_LOG_WARNING, "redis %s:%u: no memory for a reader; trying again", url->host, url->port);
    tr_stream_close(c->stream);
    c->stream = NULL;
    atomic_store_explicit(&c->is_up, false, memory_order_relaxed);
    if (c->pause == 0)
        c->pause = c->redis->options.backoff_ns;
}

/*
 * After a good line another is tried for at once; a server that throws us out keeps us away. It may say why, and that looks
 * like an answer, so a good line has also lived for a while, and longer if nothing was asked on it.
 */
static bool was_good(const struct connection *c)
{
    const struct redis_options *options = &c->redis->options;
    int64_t lived = tr_after(0) - c->since;
    bool of_use = c->forwarded > 0 ? c->answered > 0 : lived >= options->most_backoff_ns;
    return of_use && lived / GOOD_PAUSES >= options->backoff_ns;
}

static int writer_body(void *argument)
{
    struct connection *c = argument;
    const struct redis_url *url = &c->redis->url;
    int rc = 0;
    while (rc == 0) {
        if (!c->stream && (rc = reconnect(c)) < 0)
            break;
        rc = attach(c);
        if (rc == -ENOMEM) {
            give_up_line(c);
            rc = 0;
            continue;
        }
        if (rc < 0)
            break;
        atomic_store_explicit(&c->is_up, true, memory_order_relaxed);
        rc = serve(c);
        atomic_store_explicit(&c->is_up, false, memory_order_relaxed);
        c->stopped = rc == -EPIPE;
        if (rc == 0 && c->lost != -ECANCELED)
            tr_log(TR_LOG_WARNING, "redis %s:%u: connection lost (%s)", url->host, url->port, strerror(-c->lost));
        detach(c, rc == -ECANCELED);
        if (was_good(c))
            c->pause = 0;
    }
    if (c->stream)
        tr_stream_close(c->stream);
    c->stream = NULL;
    if (c->holding)
        fail(c, c->held.reply, REDIS_NOT_SENT);
    return rc == -EPIPE ? 0 : rc;
}

void redis_connection_init(struct connection *c, struct redis *redis)
{
    c->redis = redis;
    c->jitter = ((uint64_t)tr_clock() ^ (uintptr_t)c) | 1;
    c->pause = redis->options.backoff_ns;
}

int redis_connection_start(struct connection *c, int pin)
{
    c->pause = 0;
    c->in_capacity = IN_BYTES;
    c->in = malloc(IN_BYTES);
    c->out = malloc(OUT_BYTES + REQUEST_INLINE); /* see put */
    c->ends = malloc(OUT_REQUESTS * sizeof *c->ends);
    if (!c->in || !c->out || !c->ends)
        return -ENOMEM;
    atomic_init(&c->is_up, true); /* before the writer runs: whoever comes first finds the whole pool */
    struct tr_actor_options options = {
        .name = "redis writer",
        .capacity = c->redis->options.queue,
        .pin = pin,
        .task = &c->writer_task,
    };
    return tr_spawn(&c->writer, writer_body, c, &options);
}

void redis_connection_deinit(struct connection *c)
{
    free(c->in);
    free(c->out);
    free(c->ends);
}
