/* SPDX-License-Identifier: MIT */
/*
 * scatter.c: a run of requests over several shards.
 *
 * Requests with one key are dealt out: each shard gets those that are its own, in order, in one message, and
 * notes where each reply ends; then the replies are put together in the order of the requests.
 * So commands on keys of different shards may take effect in another order than they were sent in, as others see
 * it. A request with keys in several shards is taken alone: each shard gets the same command with its own keys,
 * and the replies are merged by what they look like: numbers are added, lists joined, values put back in the order
 * of the keys.
 */
#include "shard.h"

#include <errno.h>
#include <stdlib.h>

enum { DEAL = 64 }; /* requests dealt out at a time: bounds how many replies wait to be put together */

static unsigned shard_of(const struct shards *shards, struct slice key)
{
    return (unsigned)(siphash(&shards->seed, key.data, key.size) % shards->count);
}

/* ---- requests with one key ----------------------------------------------------------------------------- */

/* The part of a deal that belongs to one shard. */
struct hand {
    struct resp_request requests[DEAL];
    size_t ends[DEAL];
    size_t count, merged;
    struct buffer out;
};

static unsigned owner(const struct shards *shards, const struct run *run, const struct resp_request *request)
{
    int key = request->command->first_key;
    return key > 0 ? shard_of(shards, run->arguments[request->first + (unsigned)key]) : 0;
}

static int play_hand(struct shard *shard, const struct run *run, struct hand *hand, const atomic_bool *stopping)
{
    struct run part = {
        .arguments = run->arguments,
        .requests = hand->requests,
        .end = hand->count,
        .out = &hand->out,
        .reply_ends = hand->ends,
    };
    size_t before = SIZE_MAX;
    int rc = 0;
    while (rc == 0 && part.next < part.end && part.next != before) {
        if (atomic_load_explicit(stopping, memory_order_relaxed))
            return -ECANCELED;
        /* The shard stops when the buffer is full; here everything is wanted, so it gets a fresh one each
         * time. */
        struct buffer whole = hand->out;
        size_t first = before = part.next;
        hand->out = (struct buffer){ 0 };
        rc = shard_call(shard, &part);
        for (size_t i = first; i < part.next; i++)
            hand->ends[i] += whole.size;
        buffer_append(&whole, hand->out.data, hand->out.size);
        whole.failed |= hand->out.failed;
        buffer_deinit(&hand->out);
        hand->out = whole;
    }
    return rc;
}

/* Appends the next reply of the hand. */
static void merge_reply(struct hand *hand, struct buffer *out)
{
    size_t begin = hand->merged > 0 ? hand->ends[hand->merged - 1] : 0;
    size_t end = hand->ends[hand->merged++];
    buffer_append(out, hand->out.data + begin, end - begin);
    out->failed |= hand->out.failed;
}

static int deal(struct shards *shards, struct run *run, size_t end)
{
    struct hand *hands = calloc(shards->count, sizeof *hands);
    if (hands == NULL)
        return -ENOMEM;
    for (size_t i = run->next; i < end; i++) {
        struct hand *hand = &hands[owner(shards, run, &run->requests[i])];
        hand->requests[hand->count++] = run->requests[i];
    }
    int rc = 0;
    for (unsigned i = 0; i < shards->count && rc == 0; i++)
        rc = play_hand(&shards->shards[i], run, &hands[i], &shards->stopping);
    for (; run->next < end && rc == 0; run->next++)
        merge_reply(&hands[owner(shards, run, &run->requests[run->next])], run->out);
    for (unsigned i = 0; i < shards->count; i++)
        buffer_deinit(&hands[i].out);
    free(hands);
    return rc;
}

/* ---- one request with keys in several shards ----------------------------------------------------------- */

/* What a shard answered, and how much of it has been merged. */
struct part {
    struct buffer out;
    size_t at;
    bool asked;
};

/* Keys and values of the request that belong to the shard, behind the command's name. */
static uint32_t pick_arguments(const struct shards *shards, unsigned shard, const struct slice *argv,
                               const struct resp_request *request, struct slice *picked)
{
    const struct command *command = request->command;
    uint32_t count = 0;
    picked[count++] = argv[0];
    if (command->first_key == 0 || request->argc % (unsigned)command->key_step != 1 % (unsigned)command->key_step) {
        /* No keys, or an odd number of them, which the command itself will refuse. */
        for (uint32_t i = 1; i < request->argc; i++)
            picked[count++] = argv[i];
        return count;
    }
    unsigned step = (unsigned)command->key_step;
    for (uint32_t i = 1; i < request->argc; i += step) {
        if (shard_of(shards, argv[i]) == shard) {
            for (unsigned k = 0; k < step; k++)
                picked[count++] = argv[i + k];
        }
    }
    return count;
}

static int ask_part(struct shards *shards, unsigned shard, const struct run *run, struct slice *scratch,
                    struct part *part)
{
    const struct resp_request *request = &run->requests[run->next];
    uint32_t argc = pick_arguments(shards, shard, run->arguments + request->first, request, scratch);
    part->asked = argc > 1 || request->argc == 1;
    if (!part->asked)
        return 0;
    struct resp_request picked = { .first = 0, .argc = argc, .command = request->command };
    struct run one = { .arguments = scratch, .requests = &picked, .end = 1, .out = &part->out };
    return shard_call(&shards->shards[shard], &one);
}

/* The number of the line at `at`, behind its type byte; *at moves behind the line. */
static int64_t take_number(const struct buffer *out, size_t *at)
{
    int64_t value = 0;
    size_t begin = ++*at;
    while (out->data[*at] != '\r')
        ++*at;
    resp_parse_integer((struct slice){ { out->data + begin }, *at - begin }, &value);
    *at += 2;
    return value;
}

/* The next bulk string of the part, as bytes of a reply. */
static struct slice take_bulk(struct part *part)
{
    size_t begin = part->at;
    int64_t size = take_number(&part->out, &part->at);
    part->at += size >= 0 ? (size_t)size + 2 : 0;
    return (struct slice){ { part->out.data + begin }, part->at - begin };
}

static void merge_values(const struct shards *shards, struct part *parts, const struct slice *argv, uint32_t argc,
                         struct buffer *out)
{
    for (unsigned i = 0; i < shards->count; i++) {
        if (parts[i].asked)
            take_number(&parts[i].out, &parts[i].at);
    }
    reply_array(out, argc - 1);
    for (uint32_t i = 1; i < argc; i++)
        buffer_append_slice(out, take_bulk(&parts[shard_of(shards, argv[i])]));
}

static void merge_lists(const struct shards *shards, struct part *parts, struct buffer *out)
{
    int64_t count = 0;
    for (unsigned i = 0; i < shards->count; i++)
        count += take_number(&parts[i].out, &parts[i].at);
    reply_array(out, (size_t)count);
    for (unsigned i = 0; i < shards->count; i++)
        buffer_append(out, parts[i].out.data + parts[i].at, parts[i].out.size - parts[i].at);
}

static void merge_numbers(const struct shards *shards, struct part *parts, struct buffer *out)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < shards->count; i++) {
        if (parts[i].asked)
            sum += take_number(&parts[i].out, &parts[i].at);
    }
    reply_integer(out, sum);
}

static void merge_parts(const struct shards *shards, struct part *parts, const struct slice *argv,
                        const struct resp_request *request, struct buffer *out)
{
    const struct part *first = NULL;
    for (unsigned i = 0; i < shards->count; i++) {
        if (!parts[i].asked)
            continue;
        if (parts[i].out.failed || parts[i].out.size == 0) {
            out->failed = true;
            return;
        }
        if (first == NULL || parts[i].out.data[0] == '-')
            first = &parts[i];
    }
    if (first == NULL) { /* no shard was asked: a command with keys always asks one */
        out->failed = true;
        return;
    }
    switch (first->out.data[0]) {
    case ':':
        merge_numbers(shards, parts, out);
        break;
    case '*':
        if (request->command->first_key > 0)
            merge_values(shards, parts, argv, request->argc, out);
        else
            merge_lists(shards, parts, out);
        break;
    default: /* +OK of each, or an error of one */
        buffer_append(out, first->out.data, first->out.size);
        break;
    }
}

static int spread(struct shards *shards, struct run *run)
{
    const struct resp_request *request = &run->requests[run->next];
    struct part *parts = calloc(shards->count, sizeof *parts);
    struct slice *scratch = calloc(request->argc, sizeof *scratch);
    int rc = parts == NULL || scratch == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; i < shards->count && rc == 0; i++)
        rc = ask_part(shards, i, run, scratch, &parts[i]);
    if (rc == 0) {
        merge_parts(shards, parts, run->arguments + request->first, request, run->out);
        run->next++;
    }
    for (unsigned i = 0; parts != NULL && i < shards->count; i++)
        buffer_deinit(&parts[i].out);
    free(parts);
    free(scratch);
    return rc;
}

int scatter_run(struct shards *shards, struct run *run)
{
    size_t end = run->next;
    while (end < run->end && end - run->next < DEAL && run->requests[end].command->route != ROUTE_ALL_SHARDS)
        end++;
    return end > run->next ? deal(shards, run, end) : spread(shards, run);
}
