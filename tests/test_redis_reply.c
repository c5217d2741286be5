/* SPDX-License-Identifier: MIT */
/*
 * test_redis_reply.c: what a Redis client reads and writes: replies, commands, URLs (samples/redis-manager/redis_wire.c).
 *
 * The one idea: every reply is parsed whole and then again piece by piece, one byte more at a time, from memory that ends
 * exactly where the bytes end, so that the address sanitizer sees any look beyond them.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "descriptors.h"
#include "redis_wire.h"

#define MOST 4096

/* Parses text[0..count) in pieces of `step` more bytes. Returns the first answer that is not 0, or 0 at the end. */
static int parse_steps(const char *text, size_t count, size_t step, size_t most, struct redis_reply *reply,
                       size_t *used)
{
    struct redis_parser parser = { .most_bytes = most };
    for (size_t have = step < count ? step : count;; have = have + step < count ? have + step : count) {
        char *exact = malloc(have + !have);
        memcpy(exact, text, have);
        int rc = redis_parse(&parser, exact, have, reply, used);
        free(exact);
        if (rc != 0 || have == count)
            return rc;
    }
}

/* The reply that is the whole of `text`, however it arrives. */
static struct redis_reply *parse(const char *text, size_t count)
{
    static struct redis_reply reply;
    size_t used = 0;
    for (size_t step = 1; step <= count; step += step < 20 ? 1 : count) {
        redis_reply_clear(&reply);
        ck_assert_int_eq(parse_steps(text, count, step, MOST, &reply, &used), 1);
        ck_assert_uint_eq(used, count);
    }
    redis_reply_clear(&reply);
    ck_assert_int_eq(parse_steps(text, count, count, MOST, &reply, &used), 1);
    redis_reply_settle(&reply);
    return &reply;
}

#define PARSE(text) parse(text, sizeof(text) - 1)

/* Every way of cutting `text` into pieces gives this error. */
static void fails(const char *text, size_t count, size_t most, int error)
{
    struct redis_reply reply = { 0 };
    size_t used;
    for (size_t step = 1; step <= count; step += step < 20 ? 1 : count)
        ck_assert_int_eq(parse_steps(text, count, step, most, &reply, &used), error);
    ck_assert_int_eq(parse_steps(text, count, count, most, &reply, &used), error);
}

#define FAILS(text, error) fails(text, sizeof(text) - 1, MOST, error)

static void ck_text(const struct redis_value *value, enum redis_type type, const char *text, size_t length)
{
    ck_assert_int_eq(value->type, type);
    ck_assert_uint_eq(value->length, length);
    ck_assert_mem_eq(value->text, text, length + 1);
}

START_TEST(reply_single_values_are_read)
{
    ck_text(&PARSE("+OK\r\n")->value, REDIS_STATUS, "OK", 2);
    ck_text(&PARSE("+\r\n")->value, REDIS_STATUS, "", 0);
    ck_text(&PARSE("-ERR no such thing\r\n")->value, REDIS_ERROR, "ERR no such thing", 17);
    ck_text(&PARSE("$5\r\nhello\r\n")->value, REDIS_STRING, "hello", 5);
    ck_text(&PARSE("$0\r\n\r\n")->value, REDIS_STRING, "", 0);
    ck_text(&PARSE("$6\r\n\r\n\0$-1\r\n")->value, REDIS_STRING, "\r\n\0$-1", 6);
    ck_assert_int_eq(PARSE("$-1\r\n")->value.type, REDIS_NIL);
    ck_assert_int_eq(PARSE("*-1\r\n")->value.type, REDIS_NIL);
    ck_assert_int_eq(PARSE(":0\r\n")->value.type, REDIS_INTEGER);
    ck_assert_int_eq(PARSE(":42\r\n")->value.integer, 42);
    ck_assert_int_eq(PARSE(":+7\r\n")->value.integer, 7);
    ck_assert_int_eq(PARSE(":-1\r\n")->value.integer, -1);
    ck_assert_int_eq(PARSE(":9223372036854775807\r\n")->value.integer, INT64_MAX);
    ck_assert_int_eq(PARSE(":-9223372036854775808\r\n")->value.integer, INT64_MIN);
}
END_TEST

START_TEST(reply_long_string_lies_in_a_block)
{
    char text[REDIS_REPLY_SMALL + 64];
    for (size_t length = REDIS_REPLY_SMALL - 2; length <= REDIS_REPLY_SMALL + 2; length++) {
        int header = sprintf(text, "$%zu\r\n", length);
        memset(text + header, 'x', length);
        memcpy(text + header + length, "\r\n", 3);
        struct redis_reply *reply = parse(text, (size_t)header + length + 2);
        ck_assert_uint_eq(reply->value.length, length);
        ck_assert_int_eq(reply->block != NULL, length >= REDIS_REPLY_SMALL);
        ck_assert_uint_eq(strlen(reply->value.text), length);
        redis_reply_clear(reply);
        ck_assert_int_eq(reply->value.type, REDIS_NIL);
        redis_reply_clear(reply);
    }
}
END_TEST

START_TEST(reply_arrays_are_read_with_their_items)
{
    struct redis_reply *reply = PARSE("*6\r\n$1\r\na\r\n:5\r\n$-1\r\n*2\r\n+x\r\n*0\r\n-ERR e\r\n*-1\r\n");
    ck_assert_int_eq(reply->value.type, REDIS_ARRAY);
    ck_assert_uint_eq(reply->value.length, 6);
    const struct redis_value *items = reply->value.items;
    ck_text(&items[0], REDIS_STRING, "a", 1);
    ck_assert_int_eq(items[1].type, REDIS_INTEGER);
    ck_assert_int_eq(items[1].integer, 5);
    ck_assert_int_eq(items[2].type, REDIS_NIL);
    ck_assert_int_eq(items[3].type, REDIS_ARRAY);
    ck_assert_uint_eq(items[3].length, 2);
    ck_text(&items[3].items[0], REDIS_STATUS, "x", 1);
    ck_assert_int_eq(items[3].items[1].type, REDIS_ARRAY);
    ck_assert_uint_eq(items[3].items[1].length, 0);
    ck_text(&items[4], REDIS_ERROR, "ERR e", 5);
    ck_assert_int_eq(items[5].type, REDIS_NIL);
    struct redis_reply moved;
    redis_reply_move(&moved, reply);
    ck_assert_int_eq(reply->value.type, REDIS_NIL);
    ck_text(&moved.value.items[0], REDIS_STRING, "a", 1);
    redis_reply_clear(&moved);
    ck_assert_uint_eq(PARSE("*0\r\n")->value.length, 0);
    redis_reply_clear(PARSE("*0\r\n"));
}
END_TEST

START_TEST(reply_nested_to_the_limit_is_read_and_one_deeper_refused)
{
    char text[4 * REDIS_DEPTH + 16] = "";
    for (int i = 0; i < REDIS_DEPTH; i++)
        strcat(text, "*1\r\n");
    char deeper[sizeof text + 16];
    sprintf(deeper, "*1\r\n%s:1\r\n", text);
    strcat(text, ":1\r\n");
    struct redis_reply *reply = parse(text, strlen(text));
    const struct redis_value *value = &reply->value;
    for (int i = 0; i < REDIS_DEPTH; i++) {
        ck_assert_int_eq(value->type, REDIS_ARRAY);
        value = value->items;
    }
    ck_assert_int_eq(value->integer, 1);
    redis_reply_clear(reply);
    fails(deeper, strlen(deeper), MOST, -EPROTO);
    /* An empty array at the limit opens nothing. */
    memcpy(text + strlen(text) - 4, "*0\r\n", 4);
    redis_reply_clear(parse(text, strlen(text)));
}
END_TEST

START_TEST(reply_short_one_survives_being_copied)
{
    struct redis_reply copy, moved;
    memcpy(&copy, PARSE("$3\r\nabc\r\n"), sizeof copy);
    redis_reply_settle(&copy);
    ck_assert_ptr_eq(copy.value.text, copy.small);
    redis_reply_move(&moved, &copy);
    ck_text(&moved.value, REDIS_STRING, "abc", 3);
    ck_assert_int_eq(copy.value.type, REDIS_NIL);
}
END_TEST

START_TEST(reply_malformed_is_refused)
{
    FAILS("x\r\n", -EPROTO);
    FAILS("%1\r\n", -EPROTO);
    FAILS("\r\n", -EPROTO);
    FAILS(":\r\n", -EPROTO);
    FAILS(":-\r\n", -EPROTO);
    FAILS(":1x\r\n", -EPROTO);
    FAILS(":1\rx", -EPROTO);
    FAILS(":9223372036854775808\r\n", -EPROTO);
    FAILS(":-9223372036854775809\r\n", -EPROTO);
    FAILS(":0000000000000000000000000000001\r\n", -EPROTO);
    FAILS("$\r\n", -EPROTO);
    FAILS("$-2\r\n", -EPROTO);
    FAILS("$+3\r\nabc\r\n", -EPROTO);
    FAILS("$3\r\nabcd\r\n", -EPROTO);
    FAILS("$3\r\nabc\rx", -EPROTO);
    FAILS("*-2\r\n", -EPROTO);
    FAILS("*1\r\n?\r\n", -EPROTO);
    FAILS("+a\nb\r\n", -EPROTO);
    FAILS("+a\rb\r\n", -EPROTO);
    FAILS("*2\r\n:1\r\n:x\r\n", -EPROTO);
}
END_TEST

START_TEST(reply_truncated_is_incomplete)
{
    static const char text[] = "*3\r\n$4\r\nfour\r\n*2\r\n:12\r\n$-1\r\n+simple\r\n";
    struct redis_reply reply;
    size_t used;
    for (size_t count = 0; count < sizeof text - 1; count++)
        for (size_t step = 1; step < sizeof text; step++)
            ck_assert_int_eq(parse_steps(text, count, step, MOST, &reply, &used), 0);
}
END_TEST

START_TEST(reply_beyond_the_limit_is_refused_before_it_has_arrived)
{
    FAILS("$4096\r\n", -EMSGSIZE);
    FAILS("$9223372036854775807\r\n", -EMSGSIZE);
    FAILS("*2000\r\n", -EMSGSIZE);
    fails("$8\r\nabcdefgh\r\n", 14, 13, -EMSGSIZE);
    fails("*3\r\n:1\r\n:2\r\n:3\r\n", 16, 15, -EMSGSIZE);
    fails("*3\r\n$2\r\nab\r\n:2\r\n:3\r\n", 12, 12, -EMSGSIZE);
    fails("+0123456789\r\n", 13, 12, -EMSGSIZE);
    char *line = malloc(REDIS_LINE_BYTES + 8);
    memset(line, 'a', REDIS_LINE_BYTES + 8);
    line[0] = '+';
    struct redis_parser parser = { .most_bytes = 1 << 20 };
    struct redis_reply reply;
    size_t used;
    ck_assert_int_eq(redis_parse(&parser, line, REDIS_LINE_BYTES - 1, &reply, &used), 0);
    ck_assert_int_eq(redis_parse(&parser, line, REDIS_LINE_BYTES, &reply, &used), -EMSGSIZE);
    free(line);
}
END_TEST

START_TEST(replies_in_a_row_are_taken_one_by_one)
{
    static const char text[] = "+OK\r\n:1\r\n*1\r\n$1\r\nx\r\n$-1\r\n";
    static const size_t lengths[] = { 5, 4, 11, 5 };
    struct redis_parser parser = { .most_bytes = MOST };
    struct redis_reply reply;
    const char *at = text;
    for (int i = 0; i < 4; i++) {
        size_t used;
        ck_assert_int_eq(redis_parse(&parser, at, (size_t)(text + sizeof text - 1 - at), &reply, &used), 1);
        ck_assert_uint_eq(used, lengths[i]);
        redis_reply_clear(&reply);
        at += used;
    }
}
END_TEST

/* ---- commands -------------------------------------------------------------------------------------------------- */

START_TEST(command_is_encoded_as_it_was_counted)
{
    static const char expected[] = "*4\r\n$3\r\nSET\r\n$10\r\n0123456789\r\n$0\r\n\r\n$3\r\na\0b\r\n";
    struct redis_bytes arguments[] = { { "SET", 3 }, { "0123456789", 10 }, { NULL, 0 }, { "a\0b", 3 } };
    size_t most = redis_encoded_most(4, arguments), bytes = sizeof expected - 1;
    ck_assert_uint_ge(most, bytes);
    char *out = malloc(most);
    ck_assert_ptr_eq(redis_encode(out, 4, arguments), out + bytes);
    ck_assert_mem_eq(out, expected, bytes);
    free(out);
}
END_TEST

START_TEST(command_lengths_of_every_size_are_encoded)
{
    static char data[100001];
    for (size_t length = 1; length < sizeof data; length *= 10) {
        for (size_t n = length - 1; n <= length; n++) {
            struct redis_bytes argument = { data, n };
            size_t most = redis_encoded_most(1, &argument);
            char *out = malloc(most), expected[32];
            size_t header = (size_t)sprintf(expected, "*1\r\n$%zu\r\n", n);
            ck_assert_uint_ge(most, header + n + 2);
            ck_assert_ptr_eq(redis_encode(out, 1, &argument), out + header + n + 2);
            ck_assert_mem_eq(out, expected, strlen(expected));
            free(out);
        }
    }
}
END_TEST

/* ---- URLs ------------------------------------------------------------------------------------------------------ */

static void ck_url(const char *text, const char *user, const char *password, const char *host, unsigned port,
                   unsigned db)
{
    struct redis_url url;
    char error[160] = "";
    ck_assert_msg(redis_url_parse(&url, text, error, sizeof error) == 0, "%s: %s", text, error);
    ck_assert_str_eq(url.user, user);
    ck_assert_str_eq(url.password, password);
    ck_assert_str_eq(url.host, host);
    ck_assert_uint_eq(url.port, port);
    ck_assert_uint_eq(url.database, db);
}

static void ck_bad_url(const char *text, const char *expected)
{
    struct redis_url url;
    char error[160] = "";
    ck_assert_int_eq(redis_url_parse(&url, text, error, sizeof error), -EINVAL);
    ck_assert_msg(strstr(error, expected), "%s: got \"%s\", expected \"%s\"", text, error, expected);
}

START_TEST(url_parts_are_taken_apart)
{
    ck_url("redis://localhost", "", "", "localhost", 6379, 0);
    ck_url("redis://localhost/", "", "", "localhost", 6379, 0);
    ck_url("redis://10.0.0.1:7000/15", "", "", "10.0.0.1", 7000, 15);
    ck_url("redis://:secret@h", "", "secret", "h", 6379, 0);
    ck_url("redis://ann:b%40b%3A%2f@h:1/2", "ann", "b@b:/", "h", 1, 2);
    ck_url("redis://a:b@c@h:65535", "a", "b@c", "h", 65535, 0);
    ck_url("redis://[::1]", "", "", "::1", 6379, 0);
    ck_url("redis://u:p@[fe80::1]:6380/3", "u", "p", "fe80::1", 6380, 3);
    ck_url("redis://[fe80::1%25eth0]", "", "", "fe80::1%eth0", 6379, 0);
    ck_url("redis://[fe80::1%eth0]", "", "", "fe80::1%eth0", 6379, 0);
}
END_TEST

START_TEST(url_error_says_what_and_where)
{
    ck_bad_url("", "byte 1: expected redis://");
    ck_bad_url("http://h", "byte 1: expected redis://");
    ck_bad_url("rediss://h", "byte 1: TLS");
    ck_bad_url("redis://", "byte 9: the host is missing");
    ck_bad_url("redis://:6379", "byte 9: the host is missing");
    ck_bad_url("redis://ann@h", "byte 9: a user without a password");
    ck_bad_url("redis://ann:@h", "byte 13: the password is empty");
    ck_bad_url("redis://u:a%4@h", "byte 12: % in the password");
    ck_bad_url("redis://u:a%zz@h", "byte 12: % in the password");
    ck_bad_url("redis://u:a%00@h", "byte 12: % in the password");
    ck_bad_url("redis://u%g1:a@h", "byte 10: % in the user");
    ck_bad_url("redis://h:", "byte 11: the port");
    ck_bad_url("redis://h:0", "byte 11: the port");
    ck_bad_url("redis://h:65536", "byte 11: the port");
    ck_bad_url("redis://h:99999999999999999999", "byte 11: the port");
    ck_bad_url("redis://h:6a", "byte 11: the port");
    ck_bad_url("redis://[::1", "byte 9: the ]");
    ck_bad_url("redis://[]", "byte 10: the host is missing");
    ck_bad_url("redis://[::1]x", "byte 14: after the address");
    ck_bad_url("redis://h/x", "byte 11: the database");
    ck_bad_url("redis://h/1/2", "byte 11: the database");
    ck_bad_url("redis://h?db=1", "byte 10: expected /");
    ck_bad_url("redis://h#1", "byte 10: expected /");
    char text[1024] = "redis://";
    memset(text + 8, 'h', 300);
    ck_bad_url(text, "byte 9: the host is longer");
    memcpy(text + 308, ":p@h", 5);
    ck_bad_url(text, "byte 9: the user is longer");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis_reply");
    TCase *all = tcase_create("all");
    descriptors_watch(all);
    tcase_add_test(all, reply_single_values_are_read);
    tcase_add_test(all, reply_long_string_lies_in_a_block);
    tcase_add_test(all, reply_arrays_are_read_with_their_items);
    tcase_add_test(all, reply_nested_to_the_limit_is_read_and_one_deeper_refused);
    tcase_add_test(all, reply_short_one_survives_being_copied);
    tcase_add_test(all, reply_malformed_is_refused);
    tcase_add_test(all, reply_truncated_is_incomplete);
    tcase_add_test(all, reply_beyond_the_limit_is_refused_before_it_has_arrived);
    tcase_add_test(all, replies_in_a_row_are_taken_one_by_one);
    tcase_add_test(all, command_is_encoded_as_it_was_counted);
    tcase_add_test(all, command_lengths_of_every_size_are_encoded);
    tcase_add_test(all, url_parts_are_taken_apart);
    tcase_add_test(all, url_error_says_what_and_where);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
