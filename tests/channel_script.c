/* SPDX-License-Identifier: MIT */
/* channel_script.c: plays the tables of channel_script.h. */
#include "channel_script.h"

#define PERMITS 8

struct play {
    struct number_sender sender;
    struct number_receiver receiver;
    struct number_weak_sender weak;
    struct number_permit permits[PERMITS];
    unsigned permit_count;
    int senders, weak_senders;
    bool destroyed;
    int64_t drops, last_drop, letters, last_letter;
};

static struct play *playing;

static void count_drop(void *message)
{
    playing->drops++;
    playing->last_drop = *(int64_t *)message;
}

/* Half of a message's number, in bytes, if it is large: so that scripts can say what a message weighs. */
static uint64_t weigh(const void *message)
{
    return (uint64_t) * (const int64_t *)message;
}

static void count_letter(const struct tr_dead_letter *letter, void *context)
{
    struct play *play = context;
    expect(strcmp(letter->name, "script") == 0);
    expect_int(letter->bytes, sizeof(int64_t));
    play->letters++;
    play->last_letter = letter->reason;
}

static int64_t look(struct play *play, enum channel_op op)
{
    struct tr_channel_info info;
    tr_channel_info(play->sender, &info);
    expect_int(info.length, tr_channel_length(play->sender));
    expect_int(info.length == 0, tr_channel_is_empty(play->receiver));
    switch ((int)op) {
    case LENGTH:
        return info.length;
    case FREE:
        return info.free;
    case RESERVED:
        return info.reserved;
    case BYTES:
        return (int64_t)info.bytes;
    case SENDERS:
        return (int64_t)info.senders;
    case WEAK_SENDERS:
        return (int64_t)info.weak_senders;
    case REJECTED:
        return (int64_t)info.rejected;
    case DROPPED_NEWEST:
        return (int64_t)info.dropped_newest;
    case DROPPED_OLDEST:
        return (int64_t)info.dropped_oldest;
    case UNDELIVERED:
        return (int64_t)info.undelivered;
    }
    test_fail(__FILE__, __LINE__, "op %d", op);
}

static int64_t play_permit(struct play *play, enum channel_op op, int64_t argument)
{
    if (op == RESERVE) {
        expect(play->permit_count < PERMITS);
        return tr_channel_try_reserve(play->sender, (uint32_t)argument, &play->permits[play->permit_count++]);
    }
    if (op == PERMIT_SEND)
        return tr_channel_permit_send(&play->permits[argument / 100], &(int64_t){ argument % 100 });
    if (op == PERMIT_COUNT)
        return tr_channel_permit_count(&play->permits[argument]);
    tr_channel_permit_return(&play->permits[argument]);
    return 0;
}

static int64_t play_end(struct play *play, enum channel_op op)
{
    struct number_sender again;
    int rc;
    switch ((int)op) {
    case OPEN:
        tr_channel_sender_open(play->sender);
        play->senders++;
        return 0;
    case CLOSE_SENDER:
        tr_channel_sender_close(play->sender);
        play->senders--;
        return 0;
    case WEAKEN:
        tr_channel_sender_weaken(play->sender, &play->weak);
        expect(tr_channel_same(play->weak, play->sender));
        play->weak_senders++;
        return 0;
    case WEAK_OPEN:
        rc = tr_channel_weak_sender_open(play->weak, &again);
        expect(rc == 0 ? tr_channel_same(again, play->receiver) : !again.tri_raw.tri_channel);
        play->senders += rc == 0;
        return rc;
    case WEAK_CLOSE:
        tr_channel_weak_sender_close(play->weak);
        play->weak_senders--;
        return 0;
    case CLOSE:
        tr_channel_receiver_close(play->receiver);
        return 0;
    case DESTROY:
        tr_channel_receiver_destroy(play->receiver);
        play->destroyed = true;
        return 0;
    }
    test_fail(__FILE__, __LINE__, "op %d", op);
}

static int64_t play_step(struct play *play, const struct channel_step *step)
{
    int64_t number;
    int rc;
    switch (step->op) {
    case END_OF_SCRIPT:
        break;
    case SEND:
        return tr_channel_try_send(play->sender, &step->argument);
    case RECEIVE:
        rc = tr_channel_try_receive(play->receiver, &number);
        return rc == 0 ? number : rc;
    case RESERVE:
    case PERMIT_SEND:
    case PERMIT_RETURN:
    case PERMIT_COUNT:
        return play_permit(play, step->op, step->argument);
    case OPEN:
    case CLOSE_SENDER:
    case WEAKEN:
    case WEAK_OPEN:
    case WEAK_CLOSE:
    case CLOSE:
    case DESTROY:
        return play_end(play, step->op);
    case IS_CLOSED:
        return tr_channel_is_closed(play->sender);
    case LENGTH:
    case FREE:
    case RESERVED:
    case BYTES:
    case SENDERS:
    case WEAK_SENDERS:
    case REJECTED:
    case DROPPED_NEWEST:
    case DROPPED_OLDEST:
    case UNDELIVERED:
        return look(play, step->op);
    case DROPS:
        return play->drops;
    case LAST_DROP:
        return play->last_drop;
    case LETTERS:
        return play->letters;
    case LAST_LETTER:
        return play->last_letter;
    }
    test_fail(__FILE__, __LINE__, "op %d", step->op);
}

static void close_all(struct play *play)
{
    for (unsigned i = 0; i < play->permit_count; i++)
        tr_channel_permit_return(&play->permits[i]);
    while (play->senders-- > 0)
        tr_channel_sender_close(play->sender);
    while (play->weak_senders-- > 0)
        tr_channel_weak_sender_close(play->weak);
    if (!play->destroyed)
        tr_channel_receiver_destroy(play->receiver);
}

static void play_script(const struct channel_script *script)
{
    struct play play = { .senders = 1 };
    struct tr_channel_options options = {
        .name = "script",
        .overflow = script->overflow,
        .byte_limit = script->byte_limit,
        .weigh = script->byte_limit ? weigh : NULL,
        .drop = count_drop,
        .dead_letter = count_letter,
        .context = &play,
    };
    int rc = script->capacity ? tr_channel_create(&play.sender, &play.receiver, script->capacity, &options)
                              : tr_channel_create_unbounded(&play.sender, &play.receiver, &options);
    expect_int(rc, 0);
    playing = &play;
    for (unsigned i = 0; i < CHANNEL_STEPS && script->steps[i].op != END_OF_SCRIPT; i++) {
        const struct channel_step *step = &script->steps[i];
        int64_t result = play_step(&play, step);
        if (result != step->result)
            test_fail(__FILE__, __LINE__, "%s: step %u (op %d) gives %lld, expected %lld", script->name, i + 1,
                      step->op, (long long)result, (long long)step->result);
    }
    close_all(&play);
    playing = NULL;
}

void channel_scripts_play(const struct channel_script *scripts)
{
    for (; scripts->name; scripts++)
        play_script(scripts);
}
