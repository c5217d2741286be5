/* SPDX-License-Identifier: MIT */
/*
 * stress_history.c: linearizability of everything that tasks communicate through, by recorded histories (history.h). Each
 * primitive has a sequential model of a few lines. Waits that end by their deadline may do so at any time: the models allow it.
 *
 *     stress_history [NAME...]      TR_STRESS=50 makes it a million concurrent histories each
 */
#include "history.h"
#include "support.h"

enum { ROUNDS = 20000 };

/* A deadline for three kinds of waits: none, a short one, and a little longer one. */
static tr_time some_deadline(int64_t argument)
{
    return argument % 4 == 0 ? tr_after(50 * TR_MICROSECOND) : argument % 4 == 1 ? tr_after(1) : TR_NOW;
}

/* ---- semaphore: a count ---- */

enum { ACQUIRE, TRY_ACQUIRE, RELEASE, FORGET, CLOSE };
static const char *const semaphore_names[] = { "acquire", "try_acquire", "release", "forget", "close" };

struct semaphore_state {
    int64_t permits;
    bool closed;
};

static void *make_semaphore(void)
{
    static struct tr_semaphore semaphore;
    expect_int(tr_semaphore_init(&semaphore, 0), 0);
    return &semaphore;
}

static void destroy_nothing(void *object)
{
    (void)object;
}

static void choose_semaphore(struct history_op *op, uint64_t random)
{
    static const uint8_t kinds[] = { ACQUIRE, ACQUIRE, ACQUIRE, TRY_ACQUIRE, RELEASE, RELEASE, RELEASE, FORGET };
    op->kind = random % 61 == 0 ? CLOSE : kinds[random / 64 % 8];
    op->argument = 1 + (int64_t)(random / 512 % 8);
}

static void perform_semaphore(void *object, struct history_op *op)
{
    uint64_t permits = 1 + (uint64_t)op->argument / 4;
    switch (op->kind) {
    case ACQUIRE:
        op->result = tr_semaphore_acquire(object, permits, some_deadline(op->argument));
        break;
    case TRY_ACQUIRE:
        op->result = tr_semaphore_try_acquire(object, permits);
        break;
    case RELEASE:
        op->result = tr_semaphore_release(object, permits);
        break;
    case FORGET:
        op->result = (int64_t)tr_semaphore_forget(object, permits);
        break;
    case CLOSE:
        tr_semaphore_close(object);
        break;
    }
}

/*
 * Fairness is not linearizable: -EAGAIN is right when others wait, whatever the count is. So it is always allowed here, and
 * test_semaphore.c looks at it where nobody waits.
 */
static bool step_semaphore(void *of, const struct history_op *op)
{
    struct semaphore_state *state = of;
    int64_t permits = 1 + op->argument / 4;
    switch (op->kind) {
    case ACQUIRE:
    case TRY_ACQUIRE:
        if (op->result == -EPIPE)
            return state->closed;
        if (op->result == -ETIMEDOUT)
            return op->kind == ACQUIRE;
        if (op->result == -EAGAIN)
            return op->kind == TRY_ACQUIRE;
        state->permits -= permits;
        return op->result == 0 && !state->closed && state->permits >= 0;
    case RELEASE:
        state->permits += permits;
        return op->result == 0;
    case FORGET:
        permits = permits < state->permits ? permits : state->permits;
        state->permits -= permits;
        return op->result == permits;
    case CLOSE:
        state->closed = true;
        return true;
    }
    return false;
}

/* ---- the rows ---- */

extern const struct history_spec history_broadcast, history_watch;

static const struct history_spec history_semaphore = {
    "semaphore",      make_semaphore,    destroy_nothing,
    choose_semaphore, perform_semaphore, sizeof(struct semaphore_state),
    step_semaphore,   semaphore_names,
};

static const struct history_spec *const specs[] = { &history_semaphore, &history_broadcast, &history_watch };

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return argc < 2;
}

/* The search itself must be able to say no: one permit cannot be acquired twice, nor before it was released. */
static void check_the_search(void)
{
    struct history_op ops[] = { { .kind = RELEASE, .argument = 1, .begin = 0, .end = 3 },
                                { .kind = ACQUIRE, .argument = 1, .begin = 1, .end = 2 },
                                { .kind = ACQUIRE, .argument = 1, .begin = 4, .end = 5 } };
    expect(history_explained(specs[0], ops, 2));
    expect(!history_explained(specs[0], ops, 3));
    ops[0].begin = 3;
    expect(!history_explained(specs[0], ops, 2));
}

int main(int argc, char **argv)
{
    if (!test_backend_here("stress_history"))
        return EXIT_SKIPPED;
    check_the_search();
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        if (!is_wanted(specs[i]->name, argc, argv))
            continue;
        test_census_begin();
        history_run(specs[i], ROUNDS * test_stress());
        test_census_end();
    }
    return EXIT_SUCCESS;
}
