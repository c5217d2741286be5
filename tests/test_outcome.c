/* SPDX-License-Identifier: MIT */
/*
 * test_outcome.c: how tasks end, by the promises of troupe/task.h: returned, cancelled, or failed with a code and a text; the
 * joiner has it, or else the log.
 */
#include "tests/support.h"

struct ending {
    const char *name;
    int said[2]; /* codes given to tr_task_fail, in turn; 0: none */
    int result;  /* of the body; 1: what tr_task_fail returned last */
    enum tr_outcome_kind kind;
    int code;
    const char *text;
};

static const struct ending endings[] = {
    { "returns 0", { 0 }, 0, TR_RETURNED, 0, "" },
    { "returns a count", { 0 }, 7, TR_RETURNED, 7, "" },
    { "returns an error", { 0 }, -EIO, TR_FAILED, -EIO, "" },
    { "returns an error of its own", { 0 }, -4711, TR_FAILED, -4711, "" },
    { "returns -ECANCELED", { 0 }, -ECANCELED, TR_CANCELLED, -ECANCELED, "" },
    { "fails with a text", { -EIO }, 1, TR_FAILED, -EIO, "reason 0 of -5" },
    { "fails with its own code", { -4711 }, 1, TR_FAILED, -4711, "reason 0 of -4711" },
    { "says why it is cancelled", { -ECANCELED }, 1, TR_CANCELLED, -ECANCELED, "reason 0 of -125" },
    { "the last reason counts", { -EIO, -EIO }, 1, TR_FAILED, -EIO, "reason 1 of -5" },
    { "another reason", { -EIO, -EPIPE }, 1, TR_FAILED, -EPIPE, "reason 1 of -32" },
    { "a reason that was got over", { -EIO }, 3, TR_RETURNED, 3, "" },
    { "a reason of another code", { -EIO }, -EPIPE, TR_FAILED, -EPIPE, "" },
    { "a code that is none", { 5 }, 1, TR_FAILED, -EINVAL, "reason 0 of 5" },
};
enum { ENDINGS = sizeof endings / sizeof *endings };

static int end_so(void *argument)
{
    const struct ending *ending = argument;
    int rc = 0;
    for (int i = 0; i < 2 && ending->said[i]; i++) {
        rc = tr_task_fail(ending->said[i], "reason %d of %d", i, ending->said[i]);
        expect_int(rc, ending->said[i] < 0 ? ending->said[i] : -EINVAL);
    }
    return ending->result == 1 ? rc : ending->result;
}

static int yield_and_end_so(void *argument)
{
    for (int i = 0; i < 3; i++)
        expect_int(tr_yield(), 0);
    return end_so(argument);
}

static void check_outcome(const struct ending *ending, const struct tr_outcome *outcome)
{
    if (outcome->kind != ending->kind || outcome->code != ending->code || strcmp(outcome->text, ending->text) != 0)
        test_fail(__FILE__, __LINE__, "%s: kind %d, code %d, '%s'", ending->name, (int)outcome->kind, outcome->code,
                  outcome->text);
}

static struct tr_task start(const struct ending *ending, int (*body)(void *argument))
{
    struct tr_task task;
    expect_int(tr_task_spawn(&task, body, (void *)(uintptr_t)ending, &(struct tr_task_options){ .name = "ending" }), 0);
    return task;
}

TASK_TEST(outcome_joined_table)
{
    static int (*const bodies[])(void *argument) = { end_so, yield_and_end_so };
    for (int i = 0; i < 2 * ENDINGS; i++) {
        struct tr_outcome outcome = { .code = 99 };
        expect_int(tr_task_join_outcome(start(&endings[i / 2], bodies[i % 2]), &outcome, tr_after(LONG_TIME)), 0);
        check_outcome(&endings[i / 2], &outcome);
    }
}

/* A plain join takes the code and drops the words; a task without any extra has an outcome as well. */
TASK_TEST(outcome_plain_join_and_plain_task)
{
    for (int i = 0; i < ENDINGS; i++) {
        struct tr_outcome outcome;
        expect_int(test_join(start(&endings[i], end_so)), endings[i].code);
        struct tr_task task = test_task(end_so, (void *)(uintptr_t)&endings[i]);
        expect_int(tr_task_join_outcome(task, &outcome, tr_after(LONG_TIME)), 0);
        check_outcome(&endings[i], &outcome);
        expect_int(tr_task_join_outcome(task, &outcome, TR_NOW), -ESRCH);
    }
}

static int fail_at_length(void *argument)
{
    (void)argument;
    return tr_task_fail(-EIO, "%0300d", 7);
}

TASK_TEST(outcome_long_text_is_cut)
{
    struct tr_outcome outcome;
    expect_int(tr_task_join_outcome(test_task(fail_at_length, NULL), &outcome, tr_after(LONG_TIME)), 0);
    expect_int((int64_t)strlen(outcome.text), TR_REASON_BYTES - 1);
    expect(outcome.text[0] == '0' && outcome.text[TR_REASON_BYTES - 2] == '0');
}

static int sleep_until_cancelled(void *argument)
{
    (void)argument;
    return tr_sleep(LONG_TIME);
}

TASK_TEST(outcome_of_a_cancelled_task)
{
    struct tr_outcome outcome;
    struct tr_task task = test_task(sleep_until_cancelled, NULL);
    expect_int(tr_task_join_outcome(task, &outcome, tr_after(TR_MILLISECOND)), -ETIMEDOUT);
    expect_int(tr_task_cancel(task), 0);
    expect_int(tr_task_join_outcome(task, &outcome, tr_after(LONG_TIME)), 0);
    expect(outcome.kind == TR_CANCELLED && outcome.code == -ECANCELED);
}

/* ---- actors --------------------------------------------------------------------------------------------------- */

static int fail_on_message(void *state, void *message)
{
    struct number *number = message;
    (void)state;
    if (number->kind == 0)
        return tr_task_fail(-EIO, "got over"), 0;
    return tr_task_fail(-EPROTO, "message %lld", (long long)number->value);
}

TASK_TEST(outcome_of_a_handler_actor)
{
    struct tr_task task;
    struct tr_outcome outcome;
    struct number_address actor = test_handler(fail_on_message, NULL, 0, &task);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .kind = 0 }), 0);
    expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .kind = 1, .value = 42 }), 0);
    expect_int(tr_task_join_outcome(task, &outcome, tr_after(LONG_TIME)), 0);
    expect(outcome.kind == TR_FAILED && outcome.code == -EPROTO && strcmp(outcome.text, "message 42") == 0);
}

/* ---- nobody joins --------------------------------------------------------------------------------------------- */

static int fail_unjoined(void *argument)
{
    return tr_task_fail(-EIO, "disk %d is full", *(int *)argument);
}

TASK_TEST(outcome_of_a_detached_task_is_logged_with_its_text)
{
    static int disk = 7;
    test_log_capture(TR_LOG_WARNING);
    expect_int(tr_task_spawn(NULL, fail_unjoined, &disk, &(struct tr_task_options){ .name = "writer" }), 0);
    wait_until(test_log_has("task 'writer' failed with -5 (Input/output error): disk 7 is full, and nobody joins it"));
    test_log_release();
}

TASK_TEST_ON(1, outcome_of_a_task_detached_after_its_end_is_logged)
{
    static int disk = 8;
    struct tr_task task;
    test_log_capture(TR_LOG_WARNING);
    expect_int(tr_task_spawn(&task, fail_unjoined, &disk, &(struct tr_task_options){ .name = "late" }), 0);
    test_settle();
    expect(!test_log_has("late"));
    expect_int(tr_task_detach(task), 0);
    expect(test_log_has("task 'late' failed with -5 (Input/output error): disk 8 is full, and nobody joins it"));
    test_log_release();
}

static void leave_unjoined(void)
{
    static int disk = 9;
    struct tr_task task;
    expect_int(tr_task_spawn(&task, fail_unjoined, &disk, &(struct tr_task_options){ .name = "forgotten" }), 0);
}

START_TEST(outcome_of_a_task_never_joined_is_logged_at_shutdown)
{
    test_log_capture(TR_LOG_WARNING);
    test_run(0, leave_unjoined);
    expect(test_log_has("task 'forgotten' failed with -5 (Input/output error): disk 9 is full, and nobody joins it"));
    test_log_release();
}
END_TEST

static int end_quietly(void *argument)
{
    return (int)(intptr_t)argument;
}

TASK_TEST_ON(1, outcome_without_failure_is_not_logged)
{
    test_log_capture(TR_LOG_WARNING);
    expect_int(tr_task_spawn(NULL, end_quietly, (void *)3, &(struct tr_task_options){ .name = "quiet" }), 0);
    expect_int(tr_task_spawn(NULL, end_quietly, (void *)(intptr_t)-ECANCELED,
                             &(struct tr_task_options){ .name = "quiet" }),
               0);
    test_settle();
    expect(!test_log_has("quiet"));
    test_log_release();
}

START_TEST(outcome_fail_outside_a_task_returns_the_code)
{
    expect_int(tr_task_fail(-EIO, "%d", 1), -EIO);
    expect_int(tr_task_fail(0, "%d", 1), -EINVAL);
}
END_TEST

int main(void)
{
    return test_main("outcome",
                     TESTS(outcome_joined_table, outcome_plain_join_and_plain_task, outcome_long_text_is_cut,
                           outcome_of_a_cancelled_task, outcome_of_a_handler_actor,
                           outcome_of_a_detached_task_is_logged_with_its_text,
                           outcome_of_a_task_detached_after_its_end_is_logged,
                           outcome_of_a_task_never_joined_is_logged_at_shutdown, outcome_without_failure_is_not_logged,
                           outcome_fail_outside_a_task_returns_the_code));
}
