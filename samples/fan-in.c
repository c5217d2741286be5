/* SPDX-License-Identifier: MIT */
/*
 * fan-in.c: many look-ups at once, each made of three that run at once, and one task that collects them all. No lock anywhere.
 *
 *     look-up of user 1 --+--> names                  names, scores and friends are actors;
 *                         +--> scores                 a look-up asks all three and joins the answers
 *                         +--> friends
 *                    profile --> channel --> collector: the only one who touches the table
 *     look-up of user 2 ...
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe.h>

#define MOST_USERS 100000u

/* ---- what is known of users, by three actors ---- */

struct question;
TR_ADDRESS_TYPE(service, struct question);
TR_REPLY_TYPE(number_reply, uint64_t);
struct question {
    uint64_t user;
    struct number_reply reply;
};

/* Takes a little while now and then, as a real one does; other look-ups go on meanwhile. */
static int answer(void *state, void *message)
{
    uint64_t factor = *(uint64_t *)state;
    struct question *question = message;
    if (question->user % 97 == 0)
        tr_sleep(TR_MILLISECOND);
    uint64_t value = question->user * factor;
    tr_reply(question->reply, &value);
    return 0;
}

enum { NAMES, SCORES, FRIENDS, SERVICES };
static const char *const service_names[SERVICES] = { "names", "scores", "friends" };
static const uint64_t factors[SERVICES] = { 1, 7, 3 };
static struct service services[SERVICES];

/* ---- one look-up ---- */

struct profile {
    uint64_t user, fact[SERVICES];
};
TR_CHANNEL_TYPE(profile, struct profile);

struct look_up {
    uint64_t user;
    struct profile_sender out;
};

static int look_up(void *argument)
{
    const struct look_up *look_up = argument;
    struct profile profile = { .user = look_up->user };
    struct question question = { .user = look_up->user };
    struct tr_gather_call calls[SERVICES];
    for (int i = 0; i < SERVICES; i++)
        calls[i] = tr_gather_call(services[i], &profile.fact[i], &question);
    tr_gather(calls, SERVICES, tr_after(10 * TR_SECOND), TR_GATHER_FIRST_ERROR);
    for (int i = 0; i < SERVICES; i++) {
        if (calls[i].result != 0)
            return tr_task_fail(calls[i].result, "%s did not answer for user %llu", service_names[i],
                                (unsigned long long)look_up->user);
    }
    return tr_channel_send(look_up->out, TR_FOREVER, &profile); /* waits while the collector is behind */
}

/* ---- the collector ---- */

struct table {
    struct profile_receiver in;
    struct profile *profiles; /* by user */
    uint64_t count;
};

/* Until the last sender is closed. Returns 0 if every user came once, and whole. */
static int collect(void *argument)
{
    struct table *table = argument;
    struct profile profile;
    int rc;
    while ((rc = tr_channel_receive(table->in, &profile, TR_FOREVER)) == 0) {
        struct profile *place = &table->profiles[profile.user - 1];
        for (int i = 0; i < SERVICES; i++) {
            if (place->user != 0 || profile.fact[i] != profile.user * factors[i])
                return tr_task_fail(-EIO, "a wrong profile of user %llu", (unsigned long long)profile.user);
        }
        *place = profile;
        table->count++;
    }
    return rc == -EPIPE ? 0 : rc;
}

/* ---- together ---- */

static int look_all_up(uint64_t users, struct profile_sender out)
{
    struct tr_group *group;
    struct tr_group_options options = { .name = "look-ups", .limit = 64, .first_error = true, .forget = true };
    struct tr_finished failed;
    int rc = tr_group_open(&group, &options);
    if (rc < 0)
        return rc;
    for (uint64_t user = 1; user <= users && rc == 0; user++) {
        struct look_up next = { user, out };
        struct tr_task_options member = { .name = "look-up", .argument_bytes = sizeof next };
        rc = tr_group_spawn(group, NULL, look_up, &next, &member, TR_FOREVER); /* waits while 64 are under way */
    }
    if (rc == 0)
        rc = tr_group_wait(group, TR_FOREVER);
    if (tr_group_failure(group, &failed) == 0)
        rc = failed.outcome.code; /* the log says why */
    tr_group_close(group, tr_after(TR_SECOND));
    return rc;
}

static int run(void *argument)
{
    uint64_t users = *(uint64_t *)argument, first = tr_clock();
    struct profile_sender sender = { 0 };
    struct table table = { .profiles = calloc(users, sizeof *table.profiles) };
    struct tr_task collector = { 0 };
    int rc = table.profiles ? 0 : -ENOMEM, collected = 0;
    for (int i = 0; i < SERVICES && rc == 0; i++) {
        struct tr_actor_options options = { .name = service_names[i], .argument_bytes = sizeof factors[i] };
        rc = tr_spawn_handler(&services[i], answer, (void *)&factors[i], &options);
    }
    if (rc == 0)
        rc = tr_channel_create(&sender, &table.in, 128, NULL);
    if (rc < 0) {
        free(table.profiles);
        return rc;
    }
    rc = tr_task_spawn(&collector, collect, &table, &(struct tr_task_options){ .name = "collector" });
    if (rc == 0)
        rc = look_all_up(users, sender);
    tr_channel_sender_close(sender); /* the last: the collector takes what is left, and ends */
    struct tr_shield shield;         /* which we wait for also after SIGINT: it uses our table */
    tr_shield_open(&shield, TR_FOREVER);
    tr_task_join(collector, &collected, TR_FOREVER);
    tr_shield_close(&shield);
    if (rc == 0 && (collected < 0 || table.count != users))
        rc = -EIO;
    if (rc == 0)
        printf("%llu users, 3 look-ups each: %.1f ms\n", (unsigned long long)users,
               (double)(tr_clock() - (tr_time)first) / TR_MILLISECOND);
    tr_channel_receiver_destroy(table.in);
    free(table.profiles);
    return rc;
}

/* What is printed is the result: it counts once it is written. */
static bool written(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    fputs("fan-in: standard output cannot be written\n", stderr);
    return false;
}

static bool read_users(const char *text, uint64_t *users)
{
    char *end;
    *users = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *users > 0 && *users <= MOST_USERS;
}

int main(int argc, char **argv)
{
    uint64_t users = 10000;
    bool good = argc == 1 || (argc == 3 && strcmp(argv[1], "--users") == 0 && read_users(argv[2], &users));
    if (!good) {
        bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
        fprintf(help ? stdout : stderr,
                "usage: fan-in [--users N]\nLooks up N users (10000; at most %u) at three services, 64 at a time, and "
                "collects them.\n",
                MOST_USERS);
        return help ? 0 : 2;
    }
    return tr_run(NULL, run, &users) != 0 || !written();
}
