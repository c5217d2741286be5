/* SPDX-License-Identifier: MIT */
/*
 * task.h: the task record: what a task is while nobody runs it. Three cache lines, type-stable.
 *
 *   line 0  the runner: body, stack, scheduling state, life
 *   line 1  others: the producers of its mailbox, and who answers what it owes
 *   line 2  the task itself: the mailbox's consumer, the request in hand, the deadline of its wait
 *
 * `life` holds the generation, a cancel bit and an alive bit. Handles and addresses carry the generation; it moves when
 * the record is freed, so that a stale one finds a stranger and says -ESRCH.
 */
#ifndef TRI_TASK_H
#define TRI_TASK_H

#include "actor/park.h"
#include "actor/stack.h"
#include "mailbox/mailbox.h"
#include "mailbox/reply.h"
#include <troupe/actor.h>

#define TRI_LIFE_CANCEL UINT64_C(1)
#define TRI_LIFE_ALIVE UINT64_C(2)
#define TRI_LIFE_FLAGS UINT64_C(3)
#define TRI_LIFE_ENDED UINT64_C(1) /* not alive: the task has ended, and its result waits for a joiner */

enum tri_task_flags {
    TRI_TASK_ACTOR = 1,        /* has a mailbox */
    TRI_TASK_HANDLER = 2,      /* on_message, run per message */
    TRI_TASK_FOREIGN = 4,      /* stands for a thread that is no worker */
    TRI_TASK_KEEP_EXPIRED = 8, /* delivers requests whose caller has given up */
    TRI_TASK_SLOW = 16,        /* has kept a held caller waiting for long: is not run in its caller's turn any more */
};

/*
 * The join word. Any other value is the record of the task that waits: those are aligned, so that the low bits tell. NOBODY
 * has the generation in it: a stale handle, late, cannot get into a stranger's word.
 */
#define TRI_JOIN_TAG ((uintptr_t)63)
static inline uintptr_t tri_join_nobody(uint64_t generation)
{
    return (uintptr_t)generation << 6 | 4;
}
#define TRI_JOIN_DONE ((uintptr_t)1)
#define TRI_JOIN_DETACHED ((uintptr_t)2)
#define TRI_JOIN_TAKEN ((uintptr_t)3) /* ended, and the result is the one's who waited for it */

#define TRI_NAME_BYTES 48

/*
 * Deadlines beyond this are none: TR_FOREVER, or TR_FOREVER less the address of the slot that the task waits for (cycle.h).
 * (Four of the 292 years before it.)
 */
#define TRI_ENDLESS (TR_FOREVER - (INT64_C(1) << 57))

struct tri_policy;

/* What most tasks do without. Made at the spawn, or by the task itself when it first needs it. */
struct tri_cold {
    struct tri_cold *next; /* in the pool */
    union {
        void (*drop)(void *message);
        struct tri_policy *policy; /* has_policy: it has the drop function */
    };
    void (*stopped)(void *state, int reason);
    void *copy;                /* of the argument */
    struct tri_local *locals;  /* its values, the newest first */
    struct tri_reason *reason; /* why it fails, if it has said so */
    struct tri_member *member; /* of the group it is in */
    struct tri_link *link;     /* to the token that cancels it */
    struct tr_group *owned;    /* groups that end with it, the newest first */
    bool ending;               /* the body has returned */
    bool has_policy;           /* its mailbox: see policy.h */
    char name[TRI_NAME_BYTES];
};

/* Why a task fails: the words of tr_task_fail. As large as a cold part, and from the same pool. */
struct tri_reason {
    struct tri_reason *next; /* in the pool */
    int32_t code;
    char text[TR_REASON_BYTES];
};

struct tri_alarm;
struct tri_spawn;
struct tri_worker;
struct tri_local;
struct tri_member;
struct tri_link;
struct tr_group;

struct tri_task {
    _Alignas(64) union {
        int (*body)(void *argument);
        int (*on_message)(void *state, void *message);
    };
    void *argument;
    struct tri_stack *stack; /* NULL: not started, or between messages */
    struct tri_task *next;   /* in the one queue that it is in; free records */
    TRI_ATOMIC(uint64_t) life;
    TRI_ATOMIC(uintptr_t) join;
    struct tri_park_word park;
    union {
        int32_t result;       /* once it has ended */
        uint32_t queue_place; /* a pinned task that is ready: the ring's tail when it was queued */
    };
    TRI_ATOMIC(uint16_t) flags; /* set at spawn, but for SLOW; a stale canceller may look */
    uint8_t stack_class;
    TRI_ATOMIC(uint8_t) wait;     /* enum tri_wait, for reports */
    TRI_ATOMIC(uint16_t) pin;     /* 0: none, else worker + 1 */
    TRI_ATOMIC(uint16_t) runtime; /* index in the table of runtimes */

    struct tri_mailbox mailbox;
    TRI_ATOMIC(uint64_t) senders; /* counted senders: low half of the generation << 32 | count */
    struct tri_debts debts;

    struct tri_mailbox_consumer consumer;
    TRI_ATOMIC(struct tri_slot *) hand; /* the request being handled; NULL: none, or answered */
    uint64_t hand_generation;
    TRI_ATOMIC(tr_time) deadline;         /* of the wait under way; see TRI_ENDLESS */
    TRI_ATOMIC(struct tri_alarm *) alarm; /* the timer that watches the deadline; see deadline.h */
    TRI_ATOMIC(struct tri_cold *) cold;   /* a report may look while the task ends */
};

_Static_assert(sizeof(struct tri_task) == 192, "three cache lines");
_Static_assert(sizeof(struct tri_mailbox) + 24 == 64 && sizeof(struct tri_mailbox_consumer) + 40 == 64, "a line each");

extern struct tri_pool tri_task_pool;
/* Makes a record of zeroed memory. */
void tri_task_construct(void *object);
extern struct tri_pool tri_cold_pool;
extern struct tri_pool tri_node_pool; /* 64 bytes: task-local values, members of groups, links to tokens */

static inline uint64_t tri_task_generation(struct tri_task *task)
{
    return tri_load(&task->life, TRI_RELAXED) >> TRI_LIFE_SHIFT;
}

/* Always inlined, as tri_task_label: TRI_NO_TSAN does not hold for what is called. */
static inline __attribute__((always_inline)) bool tri_task_is(struct tri_task *task, enum tri_task_flags flag)
{
    return tri_load(&task->flags, TRI_RELAXED) & flag;
}

static inline uint16_t tri_pin(struct tri_task *task)
{
    return tri_load(&task->pin, TRI_RELAXED);
}

static inline bool tri_task_cancelled(struct tri_task *task)
{
    return tri_load(&task->life, TRI_RELAXED) & TRI_LIFE_CANCEL;
}

/* The request in hand. Only the task itself changes it. */
static inline void tri_hand_take(struct tri_task *task, struct tri_debt debt)
{
    tri_store(&task->hand, debt.slot, TRI_RELAXED);
    task->hand_generation = debt.generation;
}

static inline struct tri_debt tri_hand(struct tri_task *task)
{
    return (struct tri_debt){ tri_load(&task->hand, TRI_RELAXED), task->hand_generation };
}

static inline void tri_hand_clear(struct tri_task *task)
{
    tri_store(&task->hand, NULL, TRI_RELAXED);
}

/* The mailbox of `record` as senders see it. */
static inline struct tri_mailbox_ref tri_task_mailbox(struct tri_task *record, uint64_t generation)
{
    return (struct tri_mailbox_ref){ &record->mailbox, &record->consumer, &record->life, generation };
}

static inline __attribute__((always_inline)) const char *tri_task_label(struct tri_task *task)
{
    struct tri_cold *cold = tri_load(&task->cold, TRI_RELAXED);
    if (cold && cold->name[0])
        return cold->name;
    return tri_task_is(task, TRI_TASK_ACTOR) ? "actor" : "task";
}

/* The label of a task that may be running, or ending: at worst torn, always terminated. buffer: TRI_NAME_BYTES. */
const char *tri_task_copy_label(struct tri_task *task, char *buffer);

/* Logs what a task that is expected to end does instead. Defined by census.c. */
void tri_report_task(const char *why, struct tri_task *task);

/* Sets the cancel bit of the living task with this generation and wakes it. Returns 0 or -ESRCH. Thread: any. */
int tri_task_cancel_raw(struct tri_task *task, uint64_t generation);

/*
 * Ends the running task: resolves what it owes, drops what it never received, and lets a joiner have the result. The
 * record is the joiner's, or free, afterwards. May yield while a sender is between claim and publication.
 */
void tri_task_end(struct tri_task *task, int result);

/* If it has failed: a failure that nobody will ask for. Thread: whose the record is. */
void tri_task_report(struct tri_task *task);

/* Frees the record of an ended task that nobody has joined; its handle is stale. A failure is reported. Thread: any. */
void tri_task_reap(struct tri_task *task, uint64_t generation);

/* A message that is never delivered: shown to the hook, drop function once, request resolved with -ESRCH. */
void tri_task_discard(struct tri_task *task, void *message, struct tri_debt debt, enum tr_dead_reason reason);

/* ---- the cold part; defined by outcome.c ---- */

/* The cold part of the running task, made if need be; NULL outside a task, or without memory. */
struct tri_cold *tri_cold_here(void);

/* Takes on the values of the running task, for one that it spawns. Returns 0, or -ENOMEM with nothing taken on. */
int tri_cold_inherit(struct tri_cold *cold);

/* The task's end, in this order; the first two may suspend. What it owns; its values and its link; what was taken for it. */
void tri_cold_end_owned(struct tri_cold *cold);
void tri_cold_end(struct tri_cold *cold);
void tri_cold_free(struct tri_worker *worker, struct tri_cold *cold);

/* The same for its group, defined by member.c: notes the result; true if the outcome is the group's. Then, the task gone, leaves. */
bool tri_member_end(struct tri_member *member, struct tri_cold *cold, int result);
void tri_member_leave(struct tri_member *member);

/* A spawn with `owned`, by the running task. Defined by group.c. */
int tri_group_spawn_owned(struct tri_spawn *spawn);

/* The outcome of a task that has ended with `result`. */
void tri_outcome_fill(struct tr_outcome *out, int result, const struct tri_reason *reason);

/* A failure that nobody joins. */
void tri_outcome_report(struct tri_task *task, int result, const struct tri_reason *reason);

/* Runs a handler actor's batch of messages. Defined by handler.c. */
void tri_handler_run(struct tri_task *task);

#endif
