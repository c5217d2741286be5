/* SPDX-License-Identifier: MIT */
/*
 * test_resp.c: what a server reads and writes: requests (samples/mini-redis/resp.c) and replies (reply.c).
 *
 * The one idea: every request is parsed whole and then again in pieces of every small size, in a buffer that
 * moves between the pieces and ends exactly where the bytes end.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "descriptors.h"
#include "reply.h"

enum { MOST_BULK = 100 };

/* What was found, as text: each request is "[a|b|c]", an error is "!text". */
struct found {
    char text[32768];
    size_t size;
};

static void note(struct found *found, const char *bytes, size_t size)
{
    ck_assert_uint_le(found->size + size, sizeof found->text - 1);
    memcpy(found->text + found->size, bytes, size);
    found->size += size;
    found->text[found->size] = '\0';
}

static void note_requests(struct found *found, const struct resp_parser *parser)
{
    for (size_t i = 0; i < parser->request_count; i++) {
        const struct resp_request *request = &parser->requests[i];
        ck_assert_ptr_null(request->command);
        for (uint32_t k = 0; k < request->argc; k++) {
            struct slice argument = parser->arguments[request->first + k];
            note(found, k == 0 ? "[" : "|", 1);
            note(found, argument.data, argument.size);
        }
        note(found, "]", 1);
    }
}

/* Parses text[0..count) in pieces of `step` bytes. */
static enum resp_status parse_steps(const char *text, size_t count, size_t step, bool trusted, struct found *found)
{
    struct resp_parser parser;
    enum resp_status status = RESP_NEED_MORE;
    size_t begin = 0; /* of what has not been taken */
    found->size = 0;
    found->text[0] = '\0';
    resp_init(&parser, MOST_BULK, trusted);
    for (size_t have = 0; have < count && (status == RESP_NEED_MORE || status == RESP_FULL);) {
        have = count - have > step ? have + step : count;
        do {
            char *exact = malloc(have - begin + 1);
            size_t used;
            memcpy(exact, text + begin, have - begin);
            exact = realloc(exact, have - begin + (have == begin));
            status = resp_parse(&parser, exact, have - begin, &used);
            note_requests(found, &parser);
            resp_clear(&parser);
            begin += used;
            free(exact);
        } while (status == RESP_FULL);
    }
    if (status == RESP_BROKEN) {
        note(found, "!", 1);
        note(found, parser.error, strlen(parser.error));
    }
    resp_deinit(&parser);
    return status;
}

static void parses_as(const char *text, size_t count, bool trusted, const char *expected)
{
    static struct found found;
    for (size_t step = 1; step <= count; step += step < 20 ? 1 : count) {
        parse_steps(text, count, step, trusted, &found);
        ck_assert_str_eq(found.text, expected);
    }
    parse_steps(text, count, count, trusted, &found);
    ck_assert_str_eq(found.text, expected);
}

#define PARSES(text, expected) parses_as(text, sizeof(text) - 1, true, expected)
#define PARSES_UNTRUSTED(text, expected) parses_as(text, sizeof(text) - 1, false, expected)

START_TEST(array_of_bulks_is_one_request)
{
    PARSES("*1\r\n$4\r\nPING\r\n", "[PING]");
    PARSES("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n", "[SET|k|hello]");
    PARSES("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "[ECHO|]");
    PARSES("*2\r\n$4\r\nECHO\r\n$7\r\na\r\nb\r\nc\r\n", "[ECHO|a\r\nb\r\nc]");
}
END_TEST

START_TEST(requests_in_a_row_are_all_taken)
{
    PARSES("*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\nc d\r\n*1\r\n$1\r\ne\r\n", "[a][b][c|d][e]");
}
END_TEST

START_TEST(array_without_elements_is_no_request)
{
    PARSES("*0\r\n*-1\r\n*-9223372036854775808\r\n*1\r\n$1\r\na\r\n", "[a]");
}
END_TEST

START_TEST(array_line_ends_are_not_looked_at_as_in_redis)
{
    PARSES("*1\rX$4\rXpingXXping\r\n", "[ping][ping]");
}
END_TEST

START_TEST(array_unfinished_is_no_request)
{
    static const char whole[] = "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
    for (size_t count = 1; count < sizeof whole - 1; count++)
        parses_as(whole, count, true, "");
}
END_TEST

START_TEST(inline_words_are_split)
{
    PARSES("PING\r\n", "[PING]");
    PARSES("PING\n", "[PING]");
    PARSES("  set\tkey   value \r\n", "[set|key|value]");
    PARSES("\r\n   \r\n\nPING\r\n", "[PING]");
}
END_TEST

START_TEST(inline_quotes_are_taken_off)
{
    PARSES("set \"a b\" 'c d'\r\n", "[set|a b|c d]");
    PARSES("set \"\" ''\r\n", "[set||]");
    PARSES("echo \"\\x41\\n\\r\\t\\b\\a\\\\\\\"\\q\"\r\n", "[echo|A\n\r\t\b\a\\\"q]");
    PARSES("echo \"\\x4\\xg1\\xFf\"\r\n", "[echo|x4xg1\xff]");
    PARSES("echo 'it\\'s \\n'\r\n", "[echo|it's \\n]");
    PARSES("a\"b\"\r\n", "[ab]");
    PARSES("a\"b\"\vc 'd'\fe f\vg\r\n", "[ab|c|d|e|f\vg]"); /* only behind quotes do they end a word */
}
END_TEST

START_TEST(inline_quotes_unbalanced_are_refused)
{
    PARSES("get \"a\r\n", "!unbalanced quotes in request");
    PARSES("get 'a\r\n", "!unbalanced quotes in request");
    PARSES("get \"a\"b\r\n", "!unbalanced quotes in request");
    PARSES("get 'a\\'\r\n", "!unbalanced quotes in request");
    PARSES("get \"a\\\r\n", "!unbalanced quotes in request");
}
END_TEST

START_TEST(error_comes_after_the_requests_before_it)
{
    PARSES("PING\r\n*1\r\n$1\r\na\r\n*x\r\nPING\r\n", "[PING][a]!invalid multibulk length");
}
END_TEST

START_TEST(lengths_must_be_plain_numbers)
{
    PARSES("*a\r\n", "!invalid multibulk length");
    PARSES("*\r\n", "!invalid multibulk length");
    PARSES("*+1\r\n", "!invalid multibulk length");
    PARSES("*01\r\n", "!invalid multibulk length");
    PARSES("*-0\r\n", "!invalid multibulk length");
    PARSES("*1 \r\n", "!invalid multibulk length");
    PARSES("*2147483648\r\n", "!invalid multibulk length");
    PARSES("*99999999999999999999\r\n", "!invalid multibulk length");
    PARSES("*1\r\n$x\r\n", "!invalid bulk length");
    PARSES("*1\r\n$\r\n", "!invalid bulk length");
    PARSES("*1\r\n$-1\r\n", "!invalid bulk length");
    PARSES("*1\r\n$00\r\n", "!invalid bulk length");
    PARSES("*1\r\n$101\r\n", "!invalid bulk length");
    PARSES("*1\r\n$9223372036854775808\r\n", "!invalid bulk length");
    PARSES("*1\r\n:1\r\n", "!expected '$', got ':'");
    PARSES("*1\r\n:1\r", ""); /* not yet */
}
END_TEST

START_TEST(lines_without_end_are_refused)
{
    static struct found found;
    static char text[200000];
    static const struct {
        const char *begin, *error;
    } cases[] = {
        { "*", "!too big mbulk count string" },
        { "*1\r\n$", "!too big bulk count string" },
        { "*1\r\n1", "!too big bulk count string" },
        { "get ", "!too big inline request" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memset(text, '1', sizeof text);
        memcpy(text, cases[i].begin, strlen(cases[i].begin));
        parse_steps(text, 60000, 1000, true, &found);
        ck_assert_str_eq(found.text, "");
        parse_steps(text, sizeof text, 16384, true, &found);
        ck_assert_str_eq(found.text, cases[i].error);
    }
}
END_TEST

START_TEST(before_auth_requests_are_small_and_one_at_a_time)
{
    PARSES_UNTRUSTED("*1\r\n$4\r\nPING\r\nPING\r\n", "[PING][PING]");
    PARSES_UNTRUSTED("*11\r\n", "!unauthenticated multibulk length");
    struct resp_parser parser;
    char text[] = "PING\r\nPING\r\n*1\r\n$16385\r\n";
    size_t used;
    resp_init(&parser, 1 << 20, false);
    ck_assert_int_eq(resp_parse(&parser, text, sizeof text - 1, &used), RESP_FULL);
    ck_assert_uint_eq(used, 6);
    ck_assert_uint_eq(parser.request_count, 1);
    resp_clear(&parser);
    ck_assert_int_eq(resp_parse(&parser, text + 12, sizeof text - 13, &used), RESP_BROKEN);
    ck_assert_str_eq(parser.error, "unauthenticated bulk length");
    resp_deinit(&parser);
}
END_TEST

START_TEST(arguments_many_are_taken_and_their_room_given_back)
{
    enum { COUNT = 100000 };
    struct buffer text = { 0 };
    struct resp_parser parser;
    size_t used;
    reply_array(&text, COUNT);
    for (int i = 0; i < COUNT; i++)
        REPLY(&text, "$1\r\nx\r\n");
    resp_init(&parser, MOST_BULK, true);
    ck_assert_int_eq(resp_parse(&parser, text.data, text.size, &used), RESP_NEED_MORE);
    ck_assert_uint_eq(used, text.size);
    ck_assert_uint_eq(parser.request_count, 1);
    ck_assert_uint_eq(parser.requests[0].argc, COUNT);
    resp_clear(&parser);
    ck_assert_uint_eq(parser.argument_capacity, 0);
    resp_deinit(&parser);
    buffer_deinit(&text);
}
END_TEST

START_TEST(requests_more_than_a_batch_come_in_batches)
{
    struct buffer text = { 0 };
    struct resp_parser parser;
    size_t used, requests = 0, batches = 0, begin = 0;
    for (int i = 0; i < 5000; i++)
        REPLY(&text, "PING\r\n");
    resp_init(&parser, MOST_BULK, true);
    enum resp_status status;
    do {
        status = resp_parse(&parser, text.data + begin, text.size - begin, &used);
        requests += parser.request_count;
        batches++;
        begin += used;
        resp_clear(&parser);
    } while (status == RESP_FULL);
    ck_assert_int_eq(status, RESP_NEED_MORE);
    ck_assert_uint_eq(requests, 5000);
    ck_assert_uint_ge(batches, 4);
    resp_deinit(&parser);
    buffer_deinit(&text);
}
END_TEST

START_TEST(integers_are_read_within_their_range)
{
    int64_t value;
    ck_assert(resp_parse_integer(LITERAL("0"), &value) && value == 0);
    ck_assert(resp_parse_integer(LITERAL("9223372036854775807"), &value) && value == INT64_MAX);
    ck_assert(resp_parse_integer(LITERAL("-9223372036854775808"), &value) && value == INT64_MIN);
    ck_assert(!resp_parse_integer(LITERAL("9223372036854775808"), &value));
    ck_assert(!resp_parse_integer(LITERAL("-9223372036854775809"), &value));
    ck_assert(!resp_parse_integer(LITERAL("99999999999999999999"), &value));
    ck_assert(!resp_parse_integer(LITERAL(""), &value));
    ck_assert(!resp_parse_integer(LITERAL("-"), &value));
    ck_assert(!resp_parse_integer(LITERAL(" 1"), &value));
    ck_assert(!resp_parse_integer(LITERAL("1 "), &value));
    ck_assert(!resp_parse_integer(LITERAL("1.0"), &value));
    char digits[] = "123456789012345678";
    for (size_t size = 1; size < sizeof digits; size++) {
        struct slice text = { { digits }, size };
        char whole[sizeof digits] = { 0 };
        memcpy(whole, digits, size);
        ck_assert(resp_parse_integer(text, &value) && value == strtoll(whole, NULL, 10));
        for (size_t i = 0; i < size; i++) { /* the neighbours of the digits, at any place */
            char digit = digits[i];
            digits[i] = '/';
            ck_assert(!resp_parse_integer(text, &value));
            digits[i] = ':';
            ck_assert(!resp_parse_integer(text, &value));
            digits[i] = digit;
        }
    }
}
END_TEST

START_TEST(replies_are_written_as_resp)
{
    struct buffer out = { 0 };
    REPLY(&out, "+OK\r\n");
    reply_integer(&out, 0);
    reply_integer(&out, -12);
    reply_integer(&out, INT64_MIN);
    reply_array(&out, 2);
    reply_bulk(&out, LITERAL("ab\r\n"));
    reply_bulk(&out, LITERAL(""));
    reply_error(&out, "ERR %s", "two\r\nlines");
    reply_wrong_arity(&out, "get");
    buffer_append(&out, "", 1);
    ck_assert_str_eq(out.data, "+OK\r\n:0\r\n:-12\r\n:-9223372036854775808\r\n*2\r\n$4\r\nab\r\n\r\n$0\r\n\r\n"
                               "-ERR two  lines\r\n-ERR wrong number of arguments for 'get' command\r\n");
    buffer_deinit(&out);
}
END_TEST

START_TEST(buffer_large_gives_its_memory_back_when_cleared)
{
    struct buffer buffer = { 0 };
    buffer_append(&buffer, "x", 1);
    size_t small = buffer.capacity;
    buffer_clear(&buffer);
    ck_assert_uint_eq(buffer.capacity, small);
    ck_assert(buffer_reserve(&buffer, 1 << 20));
    buffer_clear(&buffer);
    ck_assert_uint_eq(buffer.capacity, 0);
    ck_assert_uint_eq(buffer.size, 0);
    buffer_deinit(&buffer);
}
END_TEST

START_TEST(words_are_compared_without_case)
{
    ck_assert(slice_is(LITERAL("GeT"), "get"));
    ck_assert(!slice_is(LITERAL("ge"), "get"));
    ck_assert(!slice_is(LITERAL("gets"), "get"));
    ck_assert(!slice_is(LITERAL("get\0"), "get"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resp");
    TCase *all = tcase_create("all");
    descriptors_watch(all);
    tcase_set_timeout(all, 120);
    tcase_add_test(all, array_of_bulks_is_one_request);
    tcase_add_test(all, requests_in_a_row_are_all_taken);
    tcase_add_test(all, array_without_elements_is_no_request);
    tcase_add_test(all, array_line_ends_are_not_looked_at_as_in_redis);
    tcase_add_test(all, array_unfinished_is_no_request);
    tcase_add_test(all, inline_words_are_split);
    tcase_add_test(all, inline_quotes_are_taken_off);
    tcase_add_test(all, inline_quotes_unbalanced_are_refused);
    tcase_add_test(all, error_comes_after_the_requests_before_it);
    tcase_add_test(all, lengths_must_be_plain_numbers);
    tcase_add_test(all, lines_without_end_are_refused);
    tcase_add_test(all, before_auth_requests_are_small_and_one_at_a_time);
    tcase_add_test(all, arguments_many_are_taken_and_their_room_given_back);
    tcase_add_test(all, requests_more_than_a_batch_come_in_batches);
    tcase_add_test(all, integers_are_read_within_their_range);
    tcase_add_test(all, replies_are_written_as_resp);
    tcase_add_test(all, buffer_large_gives_its_memory_back_when_cleared);
    tcase_add_test(all, words_are_compared_without_case);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
