/* SPDX-License-Identifier: MIT */
/*
 * stress_history_sync.c: linearizability of the synchronisation primitives, by recorded histories (history.h), each against a
 * sequential model of a few lines. The semaphore is in stress_history.c; what a barrier and a condition do is no operation
 * that stands at one point.
 *
 * Strict where nobody is overtaken by rule: a lock that was refused was another's at that moment. Where others may wait in front
 * (readers and writers) a refusal is always allowed.
 *
 *     stress_history_sync [NAME...]      TR_STRESS=50 makes it a million concurrent histories each
 */
#include "history.h"
#include "support.h"

enum { ROUNDS = 20000 };

static tr_time some_deadline(int64_t argument)
{
    return argument % 4 == 0 ? tr_after(50 * TR_MICROSECOND) : argument % 4 == 1 ? tr_after(1) : TR_NOW;
}

static void destroy_nothing(void *object)
{
    (void)object;
}

/* ---- mutex: an owner ---- */

enum { LOCK, TRY_LOCK, UNLOCK, IS_MINE };
static const char *const mutex_names[] = { "lock", "try_lock", "unlock", "is_mine" };

static void *make_mutex(void)
{
    static struct tr_mutex mutex;
    tr_mutex_init(&mutex);
    return &mutex;
}

static void choose_mutex(struct history_op *op, uint64_t random)
{
    static const uint8_t kinds[] = { LOCK, LOCK, LOCK, TRY_LOCK, UNLOCK, UNLOCK, UNLOCK, IS_MINE };
    op->kind = kinds[random / 64 % 8];
    op->argument = (int64_t)(random / 512 % 8);
}

static void perform_mutex(void *object, struct history_op *op)
{
    switch (op->kind) {
    case LOCK:
        op->result = tr_mutex_lock(object, some_deadline(op->argument));
        break;
    case TRY_LOCK:
        op->result = tr_mutex_try_lock(object);
        break;
    case UNLOCK:
        op->result = tr_mutex_unlock(object);
        break;
    default:
        op->result = tr_mutex_is_mine(object);
    }
}

static bool step_mutex(void *of, const struct history_op *op)
{
    int *owner = of, self = op->thread + 1, before = *owner;
    if (op->kind == IS_MINE)
        return op->result == (before == self);
    if (op->kind == UNLOCK) {
        *owner = before == self ? 0 : before;
        return op->result == (before == self ? 0 : -EINVAL);
    }
    if (before == 0)
        *owner = self;
    int refused = op->kind == LOCK ? -ETIMEDOUT : -EAGAIN;
    return op->result == (before == 0 ? 0 : before == self ? -EDEADLK : refused);
}

/* ---- readers and writers: a writer and a count ---- */

enum { READ, WRITE, TRY_READ, TRY_WRITE, END_READ, END_WRITE, DOWNGRADE };
static const char *const rwlock_names[] = { "read",     "write",     "try_read", "try_write",
                                            "end_read", "end_write", "downgrade" };

struct rwlock_state {
    int writer, readers;
};

static void *make_rwlock(void)
{
    static struct tr_rwlock lock;
    expect_int(tr_rwlock_init(&lock, 0), 0);
    return &lock;
}

static void choose_rwlock(struct history_op *op, uint64_t random)
{
    static const uint8_t kinds[] = { READ,     READ,     WRITE,     WRITE,     TRY_READ, TRY_WRITE,
                                     END_READ, END_READ, END_WRITE, END_WRITE, DOWNGRADE };
    op->kind = kinds[random / 64 % sizeof kinds];
    op->argument = (int64_t)(random / 4096 % 8);
}

static void perform_rwlock(void *object, struct history_op *op)
{
    switch (op->kind) {
    case READ:
        op->result = tr_rwlock_read(object, some_deadline(op->argument));
        break;
    case WRITE:
        op->result = tr_rwlock_write(object, some_deadline(op->argument));
        break;
    case TRY_READ:
        op->result = tr_rwlock_try_read(object);
        break;
    case TRY_WRITE:
        op->result = tr_rwlock_try_write(object);
        break;
    case END_READ:
        op->result = tr_rwlock_end_read(object);
        break;
    case END_WRITE:
        op->result = tr_rwlock_end_write(object);
        break;
    default:
        op->result = tr_rwlock_downgrade(object);
    }
}

static bool begin_rwlock(struct rwlock_state *state, const struct history_op *op, int self)
{
    bool writes = op->kind == WRITE || op->kind == TRY_WRITE, tries = op->kind == TRY_READ || op->kind == TRY_WRITE;
    if (state->writer == self || op->result == -EDEADLK)
        return state->writer == self && op->result == -EDEADLK;
    if (op->result < 0)
        return op->result == (tries ? -EAGAIN : -ETIMEDOUT);
    bool free = state->writer == 0 && (!writes || state->readers == 0);
    if (writes)
        state->writer = self;
    else
        state->readers++;
    return free;
}

static bool step_rwlock(void *of, const struct history_op *op)
{
    struct rwlock_state *state = of;
    int self = op->thread + 1;
    bool reads = state->readers > 0, mine = state->writer == self;
    switch (op->kind) {
    case END_READ:
        state->readers -= reads;
        return op->result == (reads ? 0 : -EINVAL);
    case END_WRITE:
    case DOWNGRADE:
        state->readers += mine && op->kind == DOWNGRADE;
        state->writer = mine ? 0 : state->writer;
        return op->result == (mine ? 0 : -EINVAL);
    default:
        return begin_rwlock(state, op, self);
    }
}

/* ---- notify: stored or not, and the number of rounds. The value of an operation is the round that it listens since ---- */

enum { ONE, LAST, ALL, TRY_WAIT, LISTEN, WAIT_SINCE };
static const char *const notify_names[] = { "one", "last", "all", "try_wait", "listen", "wait_since" };

struct notify_state {
    int stored;
    int64_t rounds;
};

static uint64_t since[HISTORY_THREADS];

static void *make_notify(void)
{
    static struct tr_notify notify;
    tr_notify_init(&notify);
    memset(since, 0, sizeof since);
    return &notify;
}

static void choose_notify(struct history_op *op, uint64_t random)
{
    static const uint8_t kinds[] = {
        ONE, ONE, LAST, ALL, TRY_WAIT, TRY_WAIT, LISTEN, WAIT_SINCE, WAIT_SINCE, WAIT_SINCE
    };
    op->kind = kinds[random / 64 % sizeof kinds];
    op->argument = (int64_t)(random / 4096 % 8);
}

static void perform_notify(void *object, struct history_op *op)
{
    op->value = (int64_t)since[op->thread];
    switch (op->kind) {
    case ONE:
        tr_notify_one(object);
        break;
    case LAST:
        tr_notify_last(object);
        break;
    case ALL:
        tr_notify_all(object);
        break;
    case TRY_WAIT:
        op->result = tr_notify_try_wait(object);
        break;
    case LISTEN:
        since[op->thread] = tr_notify_listen(object);
        op->value = (int64_t)since[op->thread];
        break;
    default:
        op->result = tr_notify_wait_since(object, (uint64_t)op->value, some_deadline(op->argument));
    }
}

static bool step_notify(void *of, const struct history_op *op)
{
    struct notify_state *state = of;
    int stored = state->stored;
    switch (op->kind) {
    case ONE:
    case LAST:
        state->stored = 1;
        return true;
    case ALL:
        state->rounds++;
        return true;
    case LISTEN:
        return op->value == state->rounds;
    case WAIT_SINCE:
        if (op->value != state->rounds)
            return op->result == 0;
        state->stored = 0;
        return op->result == (stored ? 0 : -ETIMEDOUT);
    default:
        state->stored = 0;
        return op->result == (stored ? 0 : -EAGAIN);
    }
}

/* ---- once: a maker, or made ---- */

enum { BEGIN, TRY_BEGIN, END, WAIT_MADE, IS_MADE };
static const char *const once_names[] = { "begin", "try_begin", "end", "wait", "is_made" };

struct once_state {
    int maker, made;
};

static void *make_once(void)
{
    static struct tr_once once;
    tr_once_init(&once);
    return &once;
}

static void choose_once(struct history_op *op, uint64_t random)
{
    static const uint8_t kinds[] = { BEGIN, BEGIN, BEGIN, TRY_BEGIN, END, END, END, WAIT_MADE, IS_MADE };
    op->kind = kinds[random / 64 % sizeof kinds];
    op->argument = (int64_t)(random / 4096 % 8);
}

static void perform_once(void *object, struct history_op *op)
{
    switch (op->kind) {
    case BEGIN:
        op->result = tr_once_begin(object, some_deadline(op->argument));
        break;
    case TRY_BEGIN:
        op->result = tr_once_try_begin(object);
        break;
    case END:
        op->result = tr_once_end(object, op->argument == 0);
        break;
    case WAIT_MADE:
        op->result = tr_once_wait(object, some_deadline(op->argument));
        break;
    default:
        op->result = tr_once_is_made(object);
    }
}

static bool step_once(void *of, const struct history_op *op)
{
    struct once_state *state = of;
    int self = op->thread + 1;
    bool mine = state->maker == self, begins = op->kind == BEGIN || op->kind == TRY_BEGIN;
    if (op->kind == IS_MADE)
        return op->result == state->made;
    if (op->kind == END) {
        state->maker = mine ? 0 : state->maker;
        state->made |= mine && op->argument == 0;
        return op->result == (mine ? 0 : -EINVAL);
    }
    if (state->made || mine)
        return op->result == (mine ? -EDEADLK : 0);
    if (begins && state->maker == 0) {
        state->maker = self;
        return op->result == 1;
    }
    return op->result == (op->kind == TRY_BEGIN ? -EAGAIN : -ETIMEDOUT);
}

/* ---- cell: its value, 0 for none. latch: how many have been counted ---- */

enum { SET, GET, WAIT_SET };
static const char *const cell_names[] = { "set", "get", "wait" };

static void *make_cell(void)
{
    static struct tr_cell cell;
    tr_cell_init(&cell);
    return &cell;
}

static void choose_cell(struct history_op *op, uint64_t random)
{
    op->kind = random / 64 % 8 == 0 ? SET : random / 64 % 8 < 4 ? GET : WAIT_SET;
    op->argument = 1 + (int64_t)(random / 512 % 8);
}

static void perform_cell(void *object, struct history_op *op)
{
    void *value = NULL;
    switch (op->kind) {
    case SET:
        op->result = tr_cell_set(object, (void *)(intptr_t)op->argument);
        return;
    case GET:
        value = tr_cell_get(object);
        break;
    default:
        op->result = tr_cell_wait(object, &value, some_deadline(op->argument));
    }
    op->value = (intptr_t)value;
}

static bool step_cell(void *of, const struct history_op *op)
{
    int64_t *value = of, before = *value;
    if (op->kind == SET) {
        *value = before ? before : op->argument;
        return op->result == (before == 0);
    }
    return op->value == before && (op->kind == GET || op->result == (before ? 0 : -ETIMEDOUT));
}

enum { DOWN, TRY_ZERO, WAIT_ZERO, COUNT };
static const char *const latch_names[] = { "count_down", "try_wait", "wait", "count" };

enum { FROM = 4 };

static void *make_latch(void)
{
    static struct tr_latch latch;
    expect_int(tr_latch_init(&latch, FROM), 0);
    return &latch;
}

static void choose_latch(struct history_op *op, uint64_t random)
{
    static const uint8_t kinds[] = { DOWN, DOWN, DOWN, TRY_ZERO, WAIT_ZERO, WAIT_ZERO, COUNT };
    op->kind = kinds[random / 64 % sizeof kinds];
    op->argument = (int64_t)(random / 4096 % 4);
}

static void perform_latch(void *object, struct history_op *op)
{
    switch (op->kind) {
    case DOWN:
        op->result = tr_latch_count_down(object, (uint64_t)op->argument);
        break;
    case TRY_ZERO:
        op->result = tr_latch_try_wait(object);
        break;
    case WAIT_ZERO:
        op->result = tr_latch_wait(object, some_deadline(op->argument));
        break;
    default:
        op->result = (int64_t)tr_latch_count(object);
    }
}

static bool step_latch(void *of, const struct history_op *op)
{
    int64_t *counted = of, left = FROM - *counted;
    switch (op->kind) {
    case DOWN:
        *counted += op->argument <= left ? op->argument : 0;
        return op->result == (op->argument <= left ? 0 : -EINVAL);
    case COUNT:
        return op->result == left;
    default:
        return op->result == (left == 0 ? 0 : op->kind == TRY_ZERO ? -EAGAIN : -ETIMEDOUT);
    }
}

/* ---- the rows ---- */

static const struct history_spec specs[] = {
    { "mutex", make_mutex, destroy_nothing, choose_mutex, perform_mutex, sizeof(int), step_mutex, mutex_names },
    { "rwlock", make_rwlock, destroy_nothing, choose_rwlock, perform_rwlock, sizeof(struct rwlock_state), step_rwlock,
      rwlock_names },
    { "notify", make_notify, destroy_nothing, choose_notify, perform_notify, sizeof(struct notify_state), step_notify,
      notify_names },
    { "once", make_once, destroy_nothing, choose_once, perform_once, sizeof(struct once_state), step_once, once_names },
    { "cell", make_cell, destroy_nothing, choose_cell, perform_cell, sizeof(int64_t), step_cell, cell_names },
    { "latch", make_latch, destroy_nothing, choose_latch, perform_latch, sizeof(int64_t), step_latch, latch_names },
};

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return argc < 2;
}

int main(int argc, char **argv)
{
    if (!test_backend_here("stress_history_sync"))
        return EXIT_SKIPPED;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        if (!is_wanted(specs[i].name, argc, argv))
            continue;
        test_census_begin();
        history_run(&specs[i], ROUNDS * test_stress());
        test_census_end();
    }
    return EXIT_SUCCESS;
}
