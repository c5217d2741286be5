/* SPDX-License-Identifier: MIT */
/*
 * test_keyspace.c: the keys of mini-redis without its server: hash, table, patterns, times to live, and the
 * commands (samples/mini-redis/keyspace.c, dict.c, siphash.c, glob.c, strings.c, keys.c).
 *
 * The one idea: a command line is parsed by the real parser, executed by the command's function, and its
 * reply compared as text. The clock is a number that the test sets.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "descriptors.h"
#include "glob.h"

static struct keyspace keyspace;
static struct buffer replies;

static const struct {
    const char *name;
    void (*execute)(struct context *, const struct slice *, uint32_t);
} table[] = {
    { "append", command_append },   { "dbsize", command_dbsize },     { "decr", command_decr },
    { "del", command_del },         { "exists", command_exists },     { "expire", command_expire },
    { "get", command_get },         { "getdel", command_getdel },     { "incr", command_incr },
    { "incrby", command_incrby },   { "flushall", command_flushall }, { "keys", command_keys },
    { "mget", command_mget },       { "mset", command_mset },         { "persist", command_persist },
    { "pexpire", command_pexpire }, { "pttl", command_pttl },         { "set", command_set },
    { "strlen", command_strlen },   { "ttl", command_ttl },           { "type", command_type },
};

static void set_up(void)
{
    keyspace_init(&keyspace, (struct siphash_key){ 1, 2 }, 1 << 20);
    keyspace.now_ms = 1000000;
}

static void tear_down(void)
{
    keyspace_deinit(&keyspace);
    buffer_deinit(&replies);
    replies = (struct buffer){ 0 };
}

static void execute(const struct slice *argv, uint32_t argc)
{
    struct context context = { .out = &replies, .keyspace = &keyspace };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (slice_is(argv[0], table[i].name)) {
            table[i].execute(&context, argv, argc);
            return;
        }
    }
    ck_abort_msg("no such command");
}

/* The replies to a line of commands that are separated by ';'. */
static const char *run(const char *line)
{
    char text[512];
    struct resp_parser parser;
    size_t used, size = (size_t)snprintf(text, sizeof text, "%s\n", line);
    for (size_t i = 0; i < size; i++)
        text[i] = text[i] == ';' ? '\n' : text[i];
    resp_init(&parser, 1 << 20, true);
    ck_assert_int_eq(resp_parse(&parser, text, size, &used), RESP_NEED_MORE);
    replies.size = 0;
    for (size_t i = 0; i < parser.request_count; i++)
        execute(parser.arguments + parser.requests[i].first, parser.requests[i].argc);
    resp_deinit(&parser);
    buffer_append(&replies, "", 1);
    return replies.data;
}

#define RUNS(line, expected) ck_assert_str_eq(run(line), expected)

/* ---- hash and table ------------------------------------------------------------------------------------ */

START_TEST(siphash_has_the_values_of_the_reference)
{
    /* SipHash-1-3 of the bytes 00 01 02 ... under the key 00 01 ... 0f: the values of the reference, which
     * CPython's hash of bytes gives as well. */
    static const uint64_t expected[][2] = {
        { 0, 0xabac0158050fc4dc }, { 1, 0xc9f49bf37d57ca93 }, { 2, 0x82cb9b024dc7d44d },  { 7, 0xd3927d989bb11140 },
        { 8, 0x369095118d299a8e }, { 9, 0x25a48eb36c063de4 }, { 12, 0x78a384b157b4d9a2 }, { 15, 0xd320d86d2a519956 },
    };
    unsigned char data[16];
    struct siphash_key key = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        ck_assert_uint_eq(siphash(&key, data, expected[i][0]), expected[i][1]);
}
END_TEST

START_TEST(siphash_depends_on_every_byte_and_on_the_key)
{
    unsigned char data[40] = { 0 };
    struct siphash_key key = { 1, 2 };
    for (size_t size = 0; size <= sizeof data; size++) {
        uint64_t hash = siphash(&key, data, size);
        ck_assert_uint_ne(hash, siphash(&(struct siphash_key){ 1, 3 }, data, size));
        for (size_t i = 0; i < size; i++) {
            data[i] = 1;
            ck_assert_uint_ne(hash, siphash(&key, data, size));
            data[i] = 0;
        }
    }
}
END_TEST

START_TEST(keys_of_any_length_differ_by_any_byte)
{
    char a[48], b[48];
    for (size_t size = 0; size <= 40; size++) {
        memset(a, 'k', sizeof a);
        memset(b, 'k', sizeof b);
        a[size] = 'x'; /* behind the key: no part of it */
        ck_assert(dict_same(a, b, size));
        for (size_t i = 0; i < size; i++) {
            b[i] ^= (char)0x80;
            ck_assert(!dict_same(a, b, size));
            b[i] ^= (char)0x80;
        }
    }
}
END_TEST

static struct slice key_of(char *text, int number)
{
    int size = sprintf(text, "key:%d", number);
    return (struct slice){ { text }, (size_t)size };
}

START_TEST(slices_of_any_length_are_copied_and_nothing_else)
{
    char from[40], to[42], expected[42];
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (char)('A' + i);
    for (size_t size = 0; size <= sizeof from; size++) {
        memset(to, '.', sizeof to);
        memset(expected, '.', sizeof expected);
        memcpy(expected + 1, from, size);
        slice_copy(to + 1, (struct slice){ { from }, size });
        ck_assert_mem_eq(to, expected, sizeof to);
    }
}
END_TEST

START_TEST(table_growing_and_shrinking_keeps_every_key)
{
    enum { KEYS = 20000 };
    char text[32];
    for (int i = 0; i < KEYS; i++) {
        struct slice key = key_of(text, i);
        ck_assert(keyspace_set(&keyspace, key, key, NEVER));
        /* One of those that came before, at any moment of a move between the tables. */
        struct slice other = key_of(text, i / 2);
        struct entry *entry = keyspace_find(&keyspace, other);
        ck_assert_ptr_nonnull(entry);
        ck_assert_uint_eq(entry->value_size, other.size);
        ck_assert_int_eq(memcmp(entry_value(entry).data, text, other.size), 0);
    }
    ck_assert_uint_eq(keyspace.keys.size, KEYS);
    for (int i = 0; i < KEYS - 10; i++) {
        ck_assert(keyspace_remove(&keyspace, key_of(text, i)));
        ck_assert(!keyspace_remove(&keyspace, key_of(text, i)));
    }
    for (int i = KEYS - 10; i < KEYS; i++)
        ck_assert_ptr_nonnull(keyspace_find(&keyspace, key_of(text, i)));
    for (int i = 0; i < 100000 && keyspace.keys.old.slots != NULL; i++)
        keyspace_find(&keyspace, key_of(text, i));
    ck_assert_uint_le(keyspace.keys.now.count, KEYS / 4);
}
END_TEST

static void count_key(void *context, struct slice key)
{
    (void)key;
    ++*(size_t *)context;
}

START_TEST(table_walk_meets_every_key_once_also_during_a_move)
{
    char text[32];
    for (int i = 0; i < 1500; i++) {
        keyspace_set(&keyspace, key_of(text, i), LITERAL("v"), NEVER);
        size_t met = 0;
        keyspace_each(&keyspace, count_key, &met);
        ck_assert_uint_eq(met, (size_t)i + 1);
    }
}
END_TEST

START_TEST(expiry_sweep_removes_what_nobody_asks_for)
{
    char text[32];
    for (int i = 0; i < 3000; i++)
        keyspace_set(&keyspace, key_of(text, i), LITERAL("v"), i % 3 ? keyspace.now_ms + 100 : NEVER);
    ck_assert_uint_eq(keyspace.with_ttl, 2000);
    ck_assert_uint_eq(keyspace_expire(&keyspace, 100000), 0);
    keyspace.now_ms += 100;
    size_t removed = 0;
    for (int i = 0; i < 1000 && keyspace.with_ttl > 0; i++)
        removed += keyspace_expire(&keyspace, 64);
    ck_assert_uint_eq(removed, 2000);
    ck_assert_uint_eq(keyspace.keys.size, 1000);
    ck_assert_uint_eq(keyspace.expired, 2000);
}
END_TEST

/* ---- patterns ------------------------------------------------------------------------------------------ */

static bool matches(const char *pattern, const char *text)
{
    return glob_match((struct slice){ { pattern }, strlen(pattern) }, (struct slice){ { text }, strlen(text) }, false);
}

START_TEST(glob_matches_as_redis_does)
{
    ck_assert(!matches("*", "") && !matches("**", "") && matches("", "") && !matches("", "a"));
    ck_assert(matches("*", "a") && matches("a*", "a") && matches("**a**", "a"));
    ck_assert(matches("h?llo", "hello") && !matches("h?llo", "hllo"));
    ck_assert(matches("h*llo", "heeeello") && matches("h*llo", "hllo") && !matches("h*llo", "hell"));
    ck_assert(matches("h[ae]llo", "hallo") && !matches("h[ae]llo", "hillo"));
    ck_assert(matches("h[^e]llo", "hallo") && !matches("h[^e]llo", "hello"));
    ck_assert(matches("h[a-c]llo", "hbllo") && matches("h[c-a]llo", "hbllo") && !matches("h[a-c]llo", "hdllo"));
    ck_assert(matches("a\\*b", "a*b") && !matches("a\\*b", "axb"));
    ck_assert(matches("a[\\]]b", "a]b") && matches("[a", "a") && !matches("[]", "a") && matches("a\\", "a\\"));
    ck_assert(matches("*a*b*c", "xxaxxbxxc") && !matches("*a*b*c", "xxaxxbxx"));
    ck_assert(glob_match(LITERAL("MAX[A-C]*"), LITERAL("maxclients"), true));
}
END_TEST

START_TEST(glob_hostile_pattern_takes_no_exponential_time)
{
    char pattern[201], text[2001];
    for (size_t i = 0; i < 200; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[199] = 'b';
    pattern[200] = '\0';
    memset(text, 'a', 2000);
    text[2000] = '\0';
    ck_assert(!matches(pattern, text));
}
END_TEST

/* ---- commands ------------------------------------------------------------------------------------------ */

START_TEST(get_and_set)
{
    RUNS("get a", "$-1\r\n");
    RUNS("set a 1; get a; set a longer_than_before; get a; set a x; get a",
         "+OK\r\n$1\r\n1\r\n+OK\r\n"
         "$18\r\nlonger_than_before\r\n+OK\r\n$1\r\nx\r\n");
    RUNS("mset a 1 b 2 a 3; mget a b c; mset a 1 b", "+OK\r\n*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n"
                                                     "-ERR wrong number of arguments for 'mset' command\r\n");
    RUNS("getdel a; getdel a", "$1\r\n3\r\n$-1\r\n");
    RUNS("strlen b; strlen a; type b; type a", ":1\r\n:0\r\n+string\r\n+none\r\n");
}
END_TEST

START_TEST(set_with_options)
{
    RUNS("set a 1 xx; set a 1 nx; set a 2 nx; get a; set a 3 xx get; set b 1 nx get; get b",
         "$-1\r\n+OK\r\n$-1\r\n$1\r\n1\r\n$1\r\n1\r\n$-1\r\n$1\r\n1\r\n");
    RUNS("set a 1 ex 10; ttl a; set a 2 keepttl; ttl a; set a 3; ttl a", "+OK\r\n:10\r\n+OK\r\n:10\r\n+OK\r\n:-1\r\n");
    RUNS("set a 1 pxat 1000500; pttl a; set a 1 exat 1001; pttl a; set a 1 exat 1; get a",
         "+OK\r\n:500\r\n+OK\r\n:1000\r\n+OK\r\n$-1\r\n");
    RUNS("set a 1 nx xx; set a 1 ex; set a 1 ex 1 px 1; set a 1 keepttl ex 1; set a 1 ex 1 keepttl; set a 1 what",
         "-ERR syntax error\r\n-ERR syntax error\r\n-ERR syntax error\r\n-ERR syntax error\r\n-ERR syntax error\r\n"
         "-ERR syntax error\r\n");
    RUNS("set a 1 ex 0; set a 1 ex x; set a 1 ex 9223372036854775807; set a 1 px 9223372036854775807",
         "-ERR invalid expire time in 'set' command\r\n-ERR value is not an integer or out of range\r\n"
         "-ERR invalid expire time in 'set' command\r\n-ERR invalid expire time in 'set' command\r\n");
}
END_TEST

START_TEST(numbers_are_counted)
{
    RUNS("incr n; incr n; decr n; incrby n 10; incrby n -20; get n", ":1\r\n:2\r\n:1\r\n:11\r\n:-9\r\n$2\r\n-9\r\n");
    RUNS("set n 9223372036854775807; incr n; set n -9223372036854775808; decr n",
         "+OK\r\n-ERR increment or decrement would overflow\r\n+OK\r\n-ERR increment or decrement would overflow\r\n");
    RUNS("set n abc; incr n; incrby n x; set n 01; incr n",
         "+OK\r\n-ERR value is not an integer or out of range\r\n-ERR value is not an integer or out of range\r\n"
         "+OK\r\n-ERR value is not an integer or out of range\r\n");
    RUNS("set n 9 px 500; incr n; pttl n; incr n; pttl n", "+OK\r\n:10\r\n:500\r\n:11\r\n:500\r\n");
}
END_TEST

/* Where only the last digit changes, and right beside that. */
START_TEST(last_digits_are_counted)
{
    RUNS("set n 0; incrby n 9; incr n; decr n; decr n; incrby n 0; get n",
         "+OK\r\n:9\r\n:10\r\n:9\r\n:8\r\n:8\r\n$1\r\n8\r\n");
    RUNS("set n 1; decr n; decr n; decr n; incr n", "+OK\r\n:0\r\n:-1\r\n:-2\r\n:-1\r\n");
    RUNS("set n 123456789012345678; incr n; incr n; get n; set n 1234567890123456788; incr n; incr n",
         "+OK\r\n:123456789012345679\r\n:123456789012345680\r\n$18\r\n123456789012345680\r\n"
         "+OK\r\n:1234567890123456789\r\n:1234567890123456790\r\n");
#define NO_INTEGER "+OK\r\n-ERR value is not an integer or out of range\r\n"
    RUNS("set n 1x3; incr n; set n x; incr n; set n 3x; incr n; set n 00; incr n; set n +1; incr n",
         NO_INTEGER NO_INTEGER NO_INTEGER NO_INTEGER NO_INTEGER);
#undef NO_INTEGER
    RUNS("set n 41; append n x; incr n; get n",
         "+OK\r\n:3\r\n-ERR value is not an integer or out of range\r\n$3\r\n41x\r\n");
}
END_TEST

START_TEST(append_grows_a_value)
{
    RUNS("append a xy; append a z; get a; strlen a", ":2\r\n:3\r\n$3\r\nxyz\r\n:3\r\n");
    char text[64];
    struct slice argv[] = { LITERAL("append"), LITERAL("big"), { { text }, sizeof text } };
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 1 << 14; i++)
        execute(argv, 3);
    RUNS("strlen big; append big y", ":1048576\r\n-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
}
END_TEST

START_TEST(keys_are_removed_and_listed)
{
    RUNS("mset a 1 b 2 c 3; exists a a x; del a x b; dbsize; keys *; keys x", "+OK\r\n:2\r\n:2\r\n:1\r\n"
                                                                              "*1\r\n$1\r\nc\r\n*0\r\n");
    RUNS("flushall what; flushall async; dbsize", "-ERR syntax error\r\n+OK\r\n:0\r\n");
}
END_TEST

START_TEST(time_to_live_is_set_shown_and_over)
{
    RUNS("ttl a; pttl a; set a 1; ttl a; expire a 10; ttl a; pttl a; persist a; persist a; ttl a",
         ":-2\r\n:-2\r\n+OK\r\n:-1\r\n:1\r\n:10\r\n:10000\r\n:1\r\n:0\r\n:-1\r\n");
    RUNS("pexpire a 1499; ttl a; pexpire a 1500; ttl a; expire x 10", ":1\r\n:1\r\n:1\r\n:2\r\n:0\r\n");
    keyspace.now_ms += 1499;
    RUNS("exists a; dbsize", ":1\r\n:1\r\n");
    keyspace.now_ms += 1;
    RUNS("exists a; get a; ttl a; keys *; append a x; ttl a", ":0\r\n$-1\r\n:-2\r\n*0\r\n:1\r\n:-1\r\n");
    RUNS("expire a -1; exists a; set a 1; pexpire a 0; exists a", ":1\r\n:0\r\n+OK\r\n:1\r\n:0\r\n");
}
END_TEST

START_TEST(expire_with_options)
{
    RUNS(
        "set a 1; expire a 10 xx; expire a 10 gt; expire a 10 lt; expire a 20 nx; expire a 20 lt; expire a 20 gt; ttl a",
        "+OK\r\n:0\r\n:0\r\n:1\r\n:0\r\n:0\r\n:1\r\n:20\r\n");
    RUNS("expire a 10 nx gt; expire a 10 gt lt; expire a x what; expire a x",
         "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"
         "-ERR GT and LT options at the same time are not compatible\r\n-ERR Unsupported option what\r\n"
         "-ERR value is not an integer or out of range\r\n");
    RUNS("expire a 9223372036854775807; pexpire a 9223372036854775807",
         "-ERR invalid expire time in 'expire' command\r\n-ERR invalid expire time in 'pexpire' command\r\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keyspace");
    TCase *all = tcase_create("all");
    descriptors_watch(all);
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_set_timeout(all, 120);
    tcase_add_test(all, siphash_has_the_values_of_the_reference);
    tcase_add_test(all, siphash_depends_on_every_byte_and_on_the_key);
    tcase_add_test(all, slices_of_any_length_are_copied_and_nothing_else);
    tcase_add_test(all, keys_of_any_length_differ_by_any_byte);
    tcase_add_test(all, table_growing_and_shrinking_keeps_every_key);
    tcase_add_test(all, table_walk_meets_every_key_once_also_during_a_move);
    tcase_add_test(all, expiry_sweep_removes_what_nobody_asks_for);
    tcase_add_test(all, glob_matches_as_redis_does);
    tcase_add_test(all, glob_hostile_pattern_takes_no_exponential_time);
    tcase_add_test(all, get_and_set);
    tcase_add_test(all, set_with_options);
    tcase_add_test(all, numbers_are_counted);
    tcase_add_test(all, last_digits_are_counted);
    tcase_add_test(all, append_grows_a_value);
    tcase_add_test(all, keys_are_removed_and_listed);
    tcase_add_test(all, time_to_live_is_set_shown_and_over);
    tcase_add_test(all, expire_with_options);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
