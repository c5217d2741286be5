/* SPDX-License-Identifier: MIT */
/*
 * test_message.c: what a mailbox does with the bytes of messages: sizes from one byte to many pages, alignment up to
 * a cache line, the caller's copy left alone, and the `drop` function called once for each message that nobody received.
 */
#include "tests/support.h"

/* ---- sizes and alignment -------------------------------------------------------------------------------------- */

/* A message type of a given size and alignment, checked byte by byte. */
#define BLOCK_TYPE(tag, bytes, alignment)                                                                              \
    struct tag {                                                                                                       \
        _Alignas(alignment) unsigned char fill[bytes];                                                                 \
    };                                                                                                                 \
    TR_ADDRESS_TYPE(tag##_address, struct tag)

BLOCK_TYPE(block_1, 1, 1);
BLOCK_TYPE(block_3, 3, 1);
BLOCK_TYPE(block_24, 24, 8);
BLOCK_TYPE(block_65, 65, 1);
BLOCK_TYPE(block_96, 96, 32);
BLOCK_TYPE(block_64, 64, 64);
BLOCK_TYPE(block_192, 192, 64);
BLOCK_TYPE(block_4096, 4096, 64);
BLOCK_TYPE(block_5000, 5000, 8);
BLOCK_TYPE(block_8192, 8192, 16);

struct block_check {
    size_t bytes, alignment;
    atomic_int received;
};

static void fill_block(unsigned char *fill, size_t bytes, int number)
{
    for (size_t i = 0; i < bytes; i++)
        fill[i] = (unsigned char)(i * 3 + (size_t)number * 11 + bytes);
}

static void expect_block(const unsigned char *fill, size_t bytes, int number)
{
    for (size_t i = 0; i < bytes; i++)
        expect_int(fill[i], (unsigned char)(i * 3 + (size_t)number * 11 + bytes));
}

static int check_block(void *state, void *message)
{
    struct block_check *check = state;
    expect((uintptr_t)message % check->alignment == 0);
    expect_block(message, check->bytes, atomic_load(&check->received));
    if (atomic_load(&check->received) % 8 == 3) {
        expect_int(tr_yield(), 0);
        expect_block(message, check->bytes,
                     atomic_load(&check->received)); /* the message is the handler's while it runs */
    }
    atomic_fetch_add(&check->received, 1);
    return 0;
}

static void check_blocks(const struct tr_type *type, unsigned char *buffer)
{
    struct block_check check = { .bytes = type->size, .alignment = type->align };
    struct tr_address actor;
    struct tr_task task;
    struct tr_actor_options options = { .capacity = 5, .task = &task };
    expect_int(tr_spawn_handler_raw(&actor, type, check_block, &check, &options), 0);
    for (int i = 0; i < 40; i++) {
        fill_block(buffer, type->size, i);
        expect_int(tr_send_raw(actor, type, buffer, TR_FOREVER), 0);
        expect_block(buffer, type->size, i);
        memset(buffer, 0xdd, type->size); /* it was copied: this changes nothing */
    }
    expect_int(tr_actor_stop_raw(actor), 0);
    expect_int(test_join(task), 0);
    expect_int(atomic_load(&check.received), 40);
}

#define CHECK_BLOCKS(tag)                                                                                              \
    do {                                                                                                               \
        static struct tag buffer;                                                                                      \
        static const struct tr_type type = { #tag, sizeof(struct tag), _Alignof(struct tag) };                         \
        check_blocks(&type, buffer.fill);                                                                              \
    } while (0)

TASK_TEST(message_of_any_size_and_alignment_arrives_intact)
{
    CHECK_BLOCKS(block_1);
    CHECK_BLOCKS(block_3);
    CHECK_BLOCKS(block_24);
    CHECK_BLOCKS(block_65);
    CHECK_BLOCKS(block_96);
    CHECK_BLOCKS(block_64);
    CHECK_BLOCKS(block_192);
    CHECK_BLOCKS(block_4096);
    CHECK_BLOCKS(block_5000);
    CHECK_BLOCKS(block_8192);
}

/* Requests of odd and large sizes, to an actor that waits for them (the message goes from hand to hand) and to a busy one. */
#define REQUEST_TYPE(tag, bytes)                                                                                       \
    struct tag;                                                                                                        \
    TR_ADDRESS_TYPE(tag##_address, struct tag);                                                                        \
    TR_REPLY_TYPE(tag##_reply, int);                                                                                   \
    struct __attribute__((packed)) tag {                                                                               \
        unsigned char fill[bytes];                                                                                     \
        struct tag##_reply reply;                                                                                      \
    };                                                                                                                 \
    static int answer_##tag(struct tag *request)                                                                       \
    {                                                                                                                  \
        int number = request->fill[0];                                                                                 \
        for (size_t i = 0; i < (bytes); i++)                                                                           \
            expect_int(request->fill[i], (unsigned char)((size_t)number + i * 7));                                     \
        if (number % 16 == 5)                                                                                          \
            expect_int(tr_yield(), 0);                                                                                 \
        return tr_reply(request->reply, &number);                                                                      \
    }                                                                                                                  \
    static int handle_##tag(void *state, void *message)                                                                \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        return answer_##tag(message);                                                                                  \
    }                                                                                                                  \
    static int receive_##tag(void *argument)                                                                           \
    {                                                                                                                  \
        (void)argument;                                                                                                \
        struct tag request;                                                                                            \
        while (tr_receive(&request, TR_FOREVER) == 0)                                                                  \
            answer_##tag(&request);                                                                                    \
        return 0;                                                                                                      \
    }                                                                                                                  \
    static int call_##tag(void *argument)                                                                              \
    {                                                                                                                  \
        struct tag##_address *actor = argument;                                                                        \
        struct tag request;                                                                                            \
        for (int number = 0; number < 200; number++) {                                                                 \
            int answer = -1;                                                                                           \
            for (size_t i = 0; i < (bytes); i++)                                                                       \
                request.fill[i] = (unsigned char)((size_t)number + i * 7);                                             \
            expect_int(tr_call(*actor, &answer, TR_FOREVER, &request), 0);                                             \
            expect_int(answer, number);                                                                                \
        }                                                                                                              \
        return 0;                                                                                                      \
    }                                                                                                                  \
    static void check_##tag(void)                                                                                      \
    {                                                                                                                  \
        struct tag##_address actors[2];                                                                                \
        expect_int(tr_spawn_handler(&actors[0], handle_##tag, NULL, NULL), 0);                                         \
        expect_int(tr_spawn(&actors[1], receive_##tag, NULL, NULL), 0);                                                \
        for (int i = 0; i < 2; i++) {                                                                                  \
            expect_int(call_##tag(&actors[i]), 0);                                                                     \
            struct tr_task callers[3];                                                                                 \
            for (int j = 0; j < 3; j++)                                                                                \
                callers[j] = test_task(call_##tag, &actors[i]);                                                        \
            for (int j = 0; j < 3; j++)                                                                                \
                expect_int(test_join(callers[j]), 0);                                                                  \
            expect_int(tr_actor_stop(actors[i]), 0);                                                                   \
        }                                                                                                              \
    }

REQUEST_TYPE(request_1, 1)
REQUEST_TYPE(request_8, 8)
REQUEST_TYPE(request_44, 44)
REQUEST_TYPE(request_48, 48)
REQUEST_TYPE(request_250, 250)
REQUEST_TYPE(request_3000, 3000)
REQUEST_TYPE(request_8176, 8176)

TASK_TEST(request_of_any_size_arrives_intact)
{
    check_request_1();
    check_request_8();
    check_request_44();
    check_request_48();
    check_request_250();
    check_request_3000();
    check_request_8176();
}

static int receive_blocks(void *argument)
{
    static struct block_4096 one, batch[8];
    (void)argument;
    int next = 0;
    while (next < 50) {
        if (next % 2) {
            int n = tr_receive_many(batch, 8, TR_FOREVER);
            expect(n >= 1);
            for (int i = 0; i < n; i++)
                expect_block(batch[i].fill, sizeof one, next++);
        } else {
            expect_int(tr_receive(&one, TR_FOREVER), 0);
            expect_block(one.fill, sizeof one, next++);
        }
    }
    return 0;
}

TASK_TEST(message_of_a_page_by_typed_send_and_receive_many)
{
    static struct block_4096 block;
    struct block_4096_address actor;
    struct tr_task task;
    expect_int(tr_spawn(&actor, receive_blocks, NULL, (&(struct tr_actor_options){ .capacity = 7, .task = &task })), 0);
    for (int i = 0; i < 50; i++) {
        fill_block(block.fill, sizeof block, i);
        expect_int(tr_send(actor, TR_FOREVER, &block), 0);
    }
    expect_int(test_join(task), 0);
}

/* A message that is a pointer: ownership of what it points to moves. */
struct parcel {
    int64_t value;
};
TR_ADDRESS_TYPE(parcel_address, struct parcel *);

static atomic_int parcels_freed;

static void free_parcel(void *message)
{
    free(*(struct parcel **)message);
    atomic_fetch_add(&parcels_freed, 1);
}

static int receive_parcels(void *argument)
{
    struct parcel *parcel;
    int64_t sum = 0;
    for (int i = 0; i < (int)(intptr_t)argument; i++) {
        expect_int(tr_receive(&parcel, TR_FOREVER), 0);
        sum += parcel->value;
        free(parcel);
    }
    return (int)sum;
}

TASK_TEST(message_that_is_a_pointer_moves_ownership)
{
    struct parcel_address actor;
    struct tr_task task;
    struct tr_actor_options options = { .capacity = 32, .drop = free_parcel, .task = &task };
    expect_int(tr_spawn(&actor, receive_parcels, (void *)20, &options), 0);
    int sent = 0;
    for (int i = 1; i <= 30; i++) {
        struct parcel *parcel = malloc(sizeof *parcel);
        parcel->value = i;
        if (tr_send(actor, TR_FOREVER, &parcel) == 0)
            sent++;
        else
            free(parcel);
    }
    expect_int(test_join(task), 210);
    expect(sent >= 20);
    expect_int(atomic_load(&parcels_freed), sent - 20);
}

/* ---- undelivered messages ------------------------------------------------------------------------------------- */

static atomic_int drops[64];

static void note_drop(void *message)
{
    struct number *number = message;
    expect(number->value >= 0 && number->value < 64);
    atomic_fetch_add(&drops[number->value], 1);
}

static void expect_drops(int first, int count)
{
    for (int i = 0; i < 64; i++)
        expect_int(atomic_exchange(&drops[i], 0), i >= first && i < first + count);
}

struct taker {
    atomic_int open;
    int take, result;
};

static int take_some(void *argument)
{
    struct taker *taker = argument;
    struct number message;
    wait_until(atomic_load(&taker->open));
    for (int i = 0; i < taker->take; i++)
        expect_int(tr_receive(&message, TR_FOREVER), 0);
    return taker->result;
}

static struct number_address spawn_dropping(int (*body)(void *), void *argument, uint32_t capacity,
                                            struct tr_task *task)
{
    struct number_address actor;
    struct tr_actor_options options = { .capacity = capacity, .drop = note_drop, .task = task };
    expect_int(tr_spawn(&actor, body, argument, &options), 0);
    return actor;
}

TASK_TEST(drop_called_once_per_undelivered_message)
{
    for (int take = 0; take <= 10; take += 5) {
        struct taker taker = { .take = take };
        struct tr_task task;
        struct number_address actor = spawn_dropping(take_some, &taker, 16, &task);
        for (int i = 0; i < 10; i++)
            expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
        atomic_store(&taker.open, 1);
        expect_int(test_join(task), 0);
        expect_drops(take, 10 - take);
    }
}

TASK_TEST(drop_called_when_a_failed_actor_ends)
{
    struct taker taker = { .take = 1, .result = -EIO };
    struct tr_task task;
    struct number_address actor = spawn_dropping(take_some, &taker, 16, &task);
    for (int i = 0; i < 4; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
    expect_int(tr_actor_stop(actor), 0);
    atomic_store(&taker.open, 1);
    expect_int(test_join(task), -EIO);
    expect_drops(1, 3);
}

static int end_at_3(void *state, void *message)
{
    (void)state;
    return ((struct number *)message)->value == 3 ? TR_END : 0;
}

TASK_TEST_ON(1, drop_called_when_a_handler_ends_itself)
{
    struct number_address actor;
    struct tr_task task;
    struct tr_actor_options options = { .capacity = 16, .drop = note_drop, .task = &task };
    expect_int(tr_spawn_handler(&actor, end_at_3, NULL, &options), 0);
    for (int i = 0; i < 9; i++)
        expect_int(tr_try_send(actor, &(struct number){ .value = i }), 0);
    expect_int(test_join(task), 0);
    expect_drops(4, 5);
}

static int late_sender(void *argument)
{
    return tr_send(*(struct number_address *)argument, TR_FOREVER, &(struct number){ .value = 40 });
}

TASK_TEST_ON(1, drop_not_called_for_what_was_not_sent)
{
    struct taker taker = { 0 };
    struct tr_task task;
    struct number_address actor = spawn_dropping(take_some, &taker, 2, &task);
    expect_int(tr_try_send(actor, &(struct number){ .value = 0 }), 0);
    expect_int(tr_try_send(actor, &(struct number){ .value = 1 }), 0);
    expect_int(tr_try_send(actor, &(struct number){ .value = 2 }), -EAGAIN);
    struct tr_task sender = test_task(late_sender, &actor);
    test_settle();
    atomic_store(&taker.open, 1);
    expect_int(test_join(sender), -ESRCH);
    expect_int(test_join(task), 0);
    expect_drops(0, 2);
}

static int never_receive(void *argument)
{
    (void)argument;
    return tr_sleep(LONG_TIME) == -ECANCELED ? 0 : -EIO;
}

static void queue_for_nobody(void)
{
    struct number_address actor = spawn_dropping(never_receive, NULL, 32, NULL);
    for (int i = 0; i < 20; i++)
        expect_int(tr_send(actor, TR_FOREVER, &(struct number){ .value = i }), 0);
}

START_TEST(drop_called_at_shutdown)
{
    test_run(0, queue_for_nobody);
    expect_drops(0, 20);
}
END_TEST

int main(void)
{
    return test_main("message",
                     TESTS(message_of_any_size_and_alignment_arrives_intact, request_of_any_size_arrives_intact,
                           message_of_a_page_by_typed_send_and_receive_many, message_that_is_a_pointer_moves_ownership,
                           drop_called_once_per_undelivered_message, drop_called_when_a_failed_actor_ends,
                           drop_called_when_a_handler_ends_itself, drop_not_called_for_what_was_not_sent,
                           drop_called_at_shutdown));
}
