/* SPDX-License-Identifier: MIT */
/*
 * fuzz_request.c: libFuzzer target for all that clients send to mini-redis (samples/mini-redis/resp.c).
 *
 * The one idea: however the bytes are cut into pieces, and wherever the buffer moves in between, the parser
 * must find the same requests and the same error. The first byte chooses what is tried, the second how the
 * rest is cut. Each piece lies in memory of its own that ends where the bytes end, so that a read beyond them
 * is seen. The source is included, not linked, so that its allocations can be made to fail.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t allocations_left = SIZE_MAX;

static void *fuzz_realloc(void *old, size_t bytes)
{
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    return realloc(old, bytes);
}

#define realloc fuzz_realloc
#include "resp.c"
#undef realloc

/* The first byte. */
enum { UNTRUSTED = 1, SHORT_MEMORY = 2, LONG_LINE = 4, SMALL_BULKS = 8 };

#define must(condition) ((condition) ? (void)0 : (fprintf(stderr, "not so: %s\n", #condition), abort()))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was found, written down: every argument with its size, every request with its end. */
struct findings {
    char *text;
    size_t size, capacity;
    size_t requests;
    enum resp_status status;
    char error[64];
};

static void note(struct findings *findings, const void *bytes, size_t size)
{
    if (findings->capacity - findings->size < size) {
        findings->capacity = (findings->capacity + size) * 2;
        findings->text = realloc(findings->text, findings->capacity);
    }
    if (size > 0)
        memcpy(findings->text + findings->size, bytes, size);
    findings->size += size;
}

static void note_requests(struct findings *findings, const struct resp_parser *parser)
{
    for (size_t i = 0; i < parser->request_count; i++) {
        const struct resp_request *request = &parser->requests[i];
        must(request->argc >= 1 && request->first + request->argc <= parser->argument_count);
        note(findings, &request->argc, sizeof request->argc);
        for (uint32_t k = 0; k < request->argc; k++) {
            struct slice argument = parser->arguments[request->first + k];
            note(findings, &argument.size, sizeof argument.size);
            note(findings, argument.data, argument.size);
        }
    }
    findings->requests += parser->request_count;
}

/* Takes what is complete in the `held` bytes, until the parser wants more; returns how many those were. */
static size_t take(struct resp_parser *parser, char *bytes, size_t held, struct findings *findings)
{
    size_t begin = 0;
    do {
        size_t used;
        findings->status = resp_parse(parser, bytes + begin, held - begin, &used);
        must(used <= held - begin);
        begin += used;
        note_requests(findings, parser);
        resp_clear(parser);
        must(parser->request_count == 0 && parser->first == 0);
    } while (findings->status == RESP_FULL);
    return begin;
}

static void parse_pieces(uint8_t flags, const uint8_t *data, size_t size, size_t piece, struct findings *findings)
{
    struct resp_parser parser;
    resp_init(&parser, flags & SMALL_BULKS ? 64 : 1 << 20, !(flags & UNTRUSTED));
    size_t done = 0, fed = 0, kept = 0; /* bytes taken; bytes fed; bytes of those that wait in `held` */
    char *held = malloc(1);
    *findings = (struct findings){ 0 };
    while (fed < size && findings->status != RESP_BROKEN && findings->status != RESP_NO_MEMORY) {
        size_t step = size - fed < piece ? size - fed : piece;
        char *moved = malloc(kept + step);
        memcpy(moved, held, kept);
        memcpy(moved + kept, data + fed, step);
        free(held);
        held = moved;
        fed += step;
        size_t taken = take(&parser, held, kept + step, findings);
        done += taken;
        kept = fed - done;
        memmove(held, held + taken, kept);
    }
    memcpy(findings->error, parser.error, sizeof findings->error);
    free(held);
    resp_deinit(&parser);
}

static bool same(const struct findings *a, const struct findings *b)
{
    return a->size == b->size && a->requests == b->requests && a->status == b->status &&
           strcmp(a->error, b->error) == 0 && (a->size == 0 || memcmp(a->text, b->text, a->size) == 0);
}

/* The bytes, and behind them a line that is longer than any line may be. */
static void try_long_line(uint8_t flags, const uint8_t *data, size_t size)
{
    struct findings findings;
    size_t long_size = size + 2 * MAX_LINE_BYTES;
    uint8_t *text = malloc(long_size);
    memcpy(text, data, size);
    memset(text + size, '1', long_size - size);
    parse_pieces(flags, text, long_size, MAX_LINE_BYTES / 2, &findings);
    free(findings.text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint8_t flags = data[0], cut = data[1];
    struct findings whole, pieces;
    data += 2;
    size -= 2;
    if (flags & LONG_LINE) {
        try_long_line(flags, data, size);
        return 0;
    }
    if (flags & SHORT_MEMORY) {
        allocations_left = cut % 8;
        parse_pieces(flags, data, size, cut & 128 ? 7 : size + 1, &whole);
        allocations_left = SIZE_MAX;
        free(whole.text);
        return 0;
    }
    parse_pieces(flags, data, size, size + 1, &whole);
    parse_pieces(flags, data, size, cut % 32 + 1, &pieces);
    must(same(&whole, &pieces));
    free(whole.text);
    free(pieces.text);
    return 0;
}
