/* SPDX-License-Identifier: MIT */
/* test_pool.c: objects are made when they are first taken, and a walk finds those that were made. */
#include "mailbox/pool.h"
#include "tests/descriptors.h"

#include <check.h>
#include <stdlib.h>

enum { SLAB = 256 };

struct object {
    _Alignas(64) uint64_t mark;
    struct object *link;
};

static unsigned constructed;

static void construct(void *object)
{
    struct object *made = object;
    ck_assert_uint_eq(made->mark, 0);
    made->mark = ++constructed;
}

static struct tri_pool pool;

static void begin(void)
{
    constructed = 0;
    pool = (struct tri_pool){
        .name = "test",
        .object_bytes = sizeof(struct object),
        .link_offset = offsetof(struct object, link),
        .slab_objects = SLAB,
        .construct = construct,
    };
}

/* Every object that the walk finds has been made, in the order in which they lie. */
static unsigned walk(void)
{
    unsigned found = 0;
    uint32_t made;
    char *slab;
    for (uint32_t i = 0; (made = tri_pool_look(&pool, i, &slab)) > 0; i++)
        for (uint32_t j = 0; j < made; j++)
            ck_assert_uint_eq(((struct object *)(void *)slab)[j].mark, ++found);
    return found;
}

START_TEST(objects_are_made_one_by_one)
{
    struct object *objects[2 * SLAB + 1];
    ck_assert_uint_eq(walk(), 0);
    for (unsigned i = 0; i < 2 * SLAB + 1; i++) {
        objects[i] = tri_pool_take(&pool, NULL);
        ck_assert_ptr_nonnull(objects[i]);
        ck_assert_uint_eq(objects[i]->mark, i + 1);
        ck_assert_uint_eq(constructed, i + 1);
        ck_assert_uint_eq(walk(), i + 1);
        ck_assert_uint_eq(pool.total, i + 1);
    }
    ck_assert_uint_eq(pool.slab_count, 3);
    for (unsigned i = 0; i < 2 * SLAB + 1; i++)
        tri_pool_give(&pool, NULL, objects[i]);
    ck_assert_uint_eq(pool.free_count, 2 * SLAB + 1);
}
END_TEST

START_TEST(what_was_given_back_is_taken_before_another_is_made)
{
    static struct tri_cache cache;
    struct object *first = tri_pool_take(&pool, &cache);
    unsigned made = constructed;
    ck_assert_uint_eq(made, TRI_CACHE_CAP / 2);
    tri_pool_spill(&pool, &cache, 0);
    tri_pool_give(&pool, NULL, first);
    ck_assert_uint_eq(pool.free_count, pool.total);
    for (unsigned i = 0; i < made; i++)
        ck_assert_ptr_nonnull(tri_pool_take(&pool, NULL));
    ck_assert_uint_eq(constructed, made);
    ck_assert_ptr_nonnull(tri_pool_take(&pool, NULL));
    ck_assert_uint_eq(constructed, made + 1);
    ck_assert_uint_eq(walk(), made + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tests = tcase_create("pool");
    descriptors_watch(tests);
    tcase_add_checked_fixture(tests, begin, NULL);
    tcase_add_test(tests, objects_are_made_one_by_one);
    tcase_add_test(tests, what_was_given_back_is_taken_before_another_is_made);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
