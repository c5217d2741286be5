/* SPDX-License-Identifier: MIT */
/* test_cell.c: the cell by the promises of troupe/cell.h: set once, seen by all who wait before or after. */
#include "tests/script.h"

#include <pthread.h>

_Static_assert(sizeof(struct tr_cell) <= 24, "as promised");

enum { SET, WAIT, IS_SET, GET };

static struct tr_cell cell = TR_CELL_INIT;

static int perform(int operation, int64_t argument, tr_time deadline)
{
    void *value = NULL;
    int rc;
    switch (operation) {
    case SET:
        return tr_cell_set(&cell, (void *)(intptr_t)argument);
    case WAIT:
        rc = tr_cell_wait(&cell, &value, deadline);
        return rc < 0 ? rc : (int)(intptr_t)value;
    case IS_SET:
        return tr_cell_is_set(&cell);
    default:
        return (int)(intptr_t)tr_cell_get(&cell);
    }
}

static uint64_t *reset(void)
{
    tr_cell_init(&cell);
    return &cell.tri_word;
}

static const struct script_suite suite = { perform, reset };

static const struct script scripts[] = {
    { "set once", STEPS({ A, IS_SET, 0, 0 }, { A, GET, 0, 0 }, { A, WAIT, 0, WAITS }, { B, WAIT, 0, WAITS },
                        { C, SET, 7, 1 }, { A, RETURNS, 0, 7 }, { B, RETURNS, 0, 7 }, { C, SET, 8, 0 },
                        { A, GET, 0, 7 }, { A, IS_SET, 0, 1 }, { A, WAIT + AT_ONCE, 0, 7 }) },
    { "to NULL",
      STEPS({ A, WAIT, 0, WAITS }, { C, SET, 0, 1 }, { A, RETURNS, 0, 0 }, { C, SET, 8, 0 }, { A, IS_SET, 0, 1 }) },
    { "waits that end otherwise",
      STEPS({ A, WAIT, 0, WAITS }, { B, WAIT + BRIEF, 0, MAYBE }, { A, CANCEL, 0, -ECANCELED },
            { B, RETURNS, 0, -ETIMEDOUT }, { B, WAIT + AT_ONCE, 0, -ETIMEDOUT }, { B, WAIT, 0, WAITS },
            { C, SET, 5, 1 }, { B, RETURNS, 0, 5 }) },
    { 0 },
};

TASK_TEST_ON(1, cell_scripts)
{
    script_run(scripts, &suite);
}

TASK_TEST_ON(1, cell_in_a_select)
{
    int value = 1;
    struct tr_case cases[] = { tr_case_cell(&cell), tr_case_timer(tr_after(TR_MILLISECOND)) };
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 1);
    expect(tr_cell_set(&cell, &value));
    cases[1] = tr_case_never();
    expect_int(tr_select(cases, 2, TR_FOREVER, TR_SELECT_FAIR), 0);
    expect(tr_cell_get(&cell) == &value);
}

static int wait_for_it(void *argument)
{
    void *value;
    (void)argument;
    expect_int(tr_cell_wait(&cell, &value, tr_after(LONG_TIME)), 0);
    return *(int *)value;
}

static void *set_in_thread(void *argument)
{
    int *value = argument;
    *value = 99;
    return tr_cell_set(&cell, value) ? argument : NULL;
}

TASK_TEST(cell_set_by_a_thread_seen_by_tasks)
{
    for (int round = 0; round < 50; round++) {
        int values[2] = { 0 }, set = 0;
        pthread_t threads[2];
        struct tr_task tasks[3];
        tr_cell_init(&cell);
        for (int i = 0; i < 3; i++)
            tasks[i] = test_task(wait_for_it, NULL);
        for (int i = 0; i < 2; i++)
            expect_int(pthread_create(&threads[i], NULL, set_in_thread, &values[i]), 0);
        for (int i = 0; i < 3; i++)
            expect_int(test_join(tasks[i]), 99);
        for (int i = 0; i < 2; i++) {
            void *winner;
            pthread_join(threads[i], &winner);
            set += winner != NULL;
            expect(!winner || tr_cell_get(&cell) == winner);
        }
        expect_int(set, 1);
    }
}

int main(void)
{
    return test_main("cell", TESTS(cell_scripts, cell_in_a_select, cell_set_by_a_thread_seen_by_tasks));
}
