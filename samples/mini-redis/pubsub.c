/* SPDX-License-Identifier: MIT */
/*
 * pubsub.c: see pubsub.h. A subscription is one node in its subscriber's dict, and is listed by its topic (a
 * channel, or a pattern), which is a node of the actor's dict:
 *
 *     pubsub.channels --> topic "news" --> members[] --> subscription --> subscriber.outbox
 *                                                            ^
 *     subscriber.channels -----------------------------------/
 */
#include "pubsub.h"
#include "ending.h"
#include "glob.h"
#include "turn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

enum { MAILBOX_CAPACITY = 1024 };

struct subscription {
    struct dict_node node;
    struct subscriber *subscriber;
    struct topic *topic;
    size_t position; /* members[position] of the topic is this one */
    char name[];
};

struct topic {
    struct dict_node node;
    struct subscription **members;
    size_t count, capacity;
    char name[];
};

struct pubsub {
    struct pubsub_address address;
    struct tr_task actor;
    struct siphash_key seed;
    struct dict channels, patterns; /* of topics */
};

/* ---- topics -------------------------------------------------------------------------------------------- */

static struct topic *find_or_create_topic(struct dict *topics, struct slice name)
{
    uint32_t hash;
    struct dict_node **link = dict_find(topics, name, &hash);
    if (link == NULL || *link != NULL)
        return link == NULL ? NULL : (struct topic *)*link;
    struct topic *topic = calloc(1, sizeof *topic + name.size);
    if (topic == NULL)
        return NULL;
    memcpy(topic->name, name.data, name.size);
    topic->node.key_size = (uint32_t)name.size;
    dict_insert(topics, link, &topic->node, hash);
    return topic;
}

static void remove_if_empty(struct dict *topics, struct topic *topic)
{
    if (topic->count > 0)
        return;
    uint32_t hash;
    struct slice name = { { topic->name }, topic->node.key_size };
    dict_remove(topics, dict_find(topics, name, &hash));
    free(topic->members);
    free(topic);
}

static bool add_member(struct topic *topic, struct subscription *subscription)
{
    if (topic->count == topic->capacity) {
        size_t capacity = topic->capacity ? topic->capacity * 2 : 4;
        struct subscription **members = realloc(topic->members, capacity * sizeof(struct subscription *));
        if (members == NULL)
            return false;
        topic->members = members;
        topic->capacity = capacity;
    }
    subscription->topic = topic;
    subscription->position = topic->count;
    topic->members[topic->count++] = subscription;
    return true;
}

/* ---- subscriptions ------------------------------------------------------------------------------------- */

static bool of_patterns(enum pubsub_change change)
{
    return change == PSUBSCRIBE || change == PUNSUBSCRIBE;
}

/* False when out of memory. One that exists already is no error. */
static bool subscribe(struct pubsub *pubsub, struct subscriber *subscriber, bool pattern, struct slice name)
{
    struct dict *topics = pattern ? &pubsub->patterns : &pubsub->channels;
    struct dict *own = pattern ? &subscriber->patterns : &subscriber->channels;
    uint32_t hash;
    struct dict_node **link = dict_find(own, name, &hash);
    if (link == NULL || *link != NULL)
        return link != NULL;
    struct topic *topic = find_or_create_topic(topics, name);
    struct subscription *subscription = malloc(sizeof *subscription + name.size);
    if (topic == NULL || subscription == NULL || !add_member(topic, subscription)) {
        free(subscription);
        if (topic != NULL)
            remove_if_empty(topics, topic);
        return false;
    }
    subscription->subscriber = subscriber;
    memcpy(subscription->name, name.data, name.size);
    subscription->node.key_size = (uint32_t)name.size;
    dict_insert(own, link, &subscription->node, hash);
    return true;
}

/* Ends the subscription that hangs at `link` in its subscriber's dict. */
static void end_subscription(struct dict *topics, struct dict *own, struct dict_node **link)
{
    struct subscription *subscription = (struct subscription *)*link;
    struct topic *topic = subscription->topic;
    struct subscription *last = topic->members[--topic->count];
    topic->members[subscription->position] = last;
    last->position = subscription->position;
    remove_if_empty(topics, topic);
    dict_remove(own, link);
    free(subscription);
}

static size_t subscription_count(const struct subscriber *subscriber)
{
    return subscriber->channels.size + subscriber->patterns.size;
}

/* ---- changes ------------------------------------------------------------------------------------------- */

void pubsub_confirm(struct buffer *out, enum pubsub_change change, const struct slice *name, size_t subscriptions)
{
    static const struct slice words[] = {
        [SUBSCRIBE] = { { "subscribe" }, 9 },
        [PSUBSCRIBE] = { { "psubscribe" }, 10 },
        [UNSUBSCRIBE] = { { "unsubscribe" }, 11 },
        [PUNSUBSCRIBE] = { { "punsubscribe" }, 12 },
    };
    reply_array(out, 3);
    reply_bulk(out, words[change]);
    if (name != NULL)
        reply_bulk(out, *name);
    else
        REPLY(out, "$-1\r\n");
    reply_integer(out, (int64_t)subscriptions);
}

static void subscribe_all(struct pubsub *pubsub, const struct pubsub_request *request, struct buffer *out)
{
    for (uint32_t i = 0; i < request->count; i++) {
        if (!subscribe(pubsub, request->subscriber, of_patterns(request->change), request->names[i]))
            out->failed = true;
        pubsub_confirm(out, request->change, &request->names[i], subscription_count(request->subscriber));
    }
}

static void unsubscribe_named(struct pubsub *pubsub, const struct pubsub_request *request, struct buffer *out)
{
    struct subscriber *subscriber = request->subscriber;
    bool pattern = of_patterns(request->change);
    struct dict *own = pattern ? &subscriber->patterns : &subscriber->channels;
    for (uint32_t i = 0; i < request->count; i++) {
        uint32_t hash;
        struct dict_node **link = dict_find(own, request->names[i], &hash);
        if (link != NULL && *link != NULL)
            end_subscription(pattern ? &pubsub->patterns : &pubsub->channels, own, link);
        pubsub_confirm(out, request->change, &request->names[i], subscription_count(subscriber));
    }
}

static void unsubscribe_all(struct pubsub *pubsub, struct subscriber *subscriber, enum pubsub_change change,
                            struct buffer *out)
{
    bool pattern = of_patterns(change);
    struct dict *own = pattern ? &subscriber->patterns : &subscriber->channels;
    if (own->size == 0)
        pubsub_confirm(out, change, NULL, subscription_count(subscriber));
    for (size_t i = 0; i < dict_chains(own) && own->size > 0; i++) {
        struct dict_node **link = dict_chain(own, i);
        while (*link != NULL) {
            struct slice name = dict_key(own, *link);
            /* The name dies with the subscription, so it is confirmed first, with the count as it will be. */
            pubsub_confirm(out, change, &name, subscription_count(subscriber) - 1);
            end_subscription(pattern ? &pubsub->patterns : &pubsub->channels, own, link);
        }
    }
}

static int apply_change(struct pubsub *pubsub, const struct pubsub_request *request)
{
    struct subscriber *subscriber = request->subscriber;
    struct buffer out = { 0 };
    if (request->change == SUBSCRIBE || request->change == PSUBSCRIBE)
        subscribe_all(pubsub, request, &out);
    else if (request->count > 0)
        unsubscribe_named(pubsub, request, &out);
    else
        unsubscribe_all(pubsub, subscriber, request->change, &out);
    struct payload *payload = out.failed ? NULL : payload_create(out.data, out.size);
    buffer_deinit(&out);
    if (payload == NULL)
        return -1;
    outbox_push(subscriber->outbox, payload);
    payload_unref(payload);
    return (int)subscription_count(subscriber);
}

static void leave(struct pubsub *pubsub, struct subscriber *subscriber)
{
    struct buffer nobody_reads_it = { 0 };
    unsubscribe_all(pubsub, subscriber, UNSUBSCRIBE, &nobody_reads_it);
    unsubscribe_all(pubsub, subscriber, PUNSUBSCRIBE, &nobody_reads_it);
    buffer_deinit(&nobody_reads_it);
    dict_deinit(&subscriber->channels);
    dict_deinit(&subscriber->patterns);
}

/* ---- PUBLISH ------------------------------------------------------------------------------------------- */

/* Sends one reply to every member; returns how many there are. */
static int64_t deliver(const struct topic *topic, const struct slice *words, uint32_t count)
{
    struct buffer message = { 0 };
    reply_array(&message, count);
    for (uint32_t i = 0; i < count; i++)
        reply_bulk(&message, words[i]);
    struct payload *payload = message.failed ? NULL : payload_create(message.data, message.size);
    buffer_deinit(&message);
    if (payload == NULL)
        return 0;
    for (size_t i = 0; i < topic->count; i++)
        outbox_push(topic->members[i]->subscriber->outbox, payload);
    payload_unref(payload);
    return (int64_t)topic->count;
}

void command_publish(struct context *context, const struct slice *argv, uint32_t argc)
{
    (void)argc;
    struct pubsub *pubsub = context->pubsub;
    int64_t receivers = 0;
    uint32_t hash;
    struct dict_node **link = dict_find(&pubsub->channels, argv[1], &hash);
    if (link != NULL && *link != NULL)
        receivers += deliver((struct topic *)*link, (struct slice[]){ LITERAL("message"), argv[1], argv[2] }, 3);
    for (size_t i = 0; i < dict_chains(&pubsub->patterns); i++) {
        for (struct dict_node *node = *dict_chain(&pubsub->patterns, i); node != NULL; node = node->next) {
            struct slice pattern = dict_key(&pubsub->patterns, node);
            if (glob_match(pattern, argv[1], false))
                receivers += deliver((struct topic *)node,
                                     (struct slice[]){ LITERAL("pmessage"), pattern, argv[1], argv[2] }, 4);
        }
    }
    reply_integer(context->out, receivers);
}

/* ---- the actor ----------------------------------------------------------------------------------------- */

static int on_message(void *state, void *message)
{
    struct pubsub *pubsub = state;
    struct pubsub_message *m = message;
    int answer = 0;
    take_turn();
    switch (m->kind) {
    case PUBSUB_RUN:
        run_execute(m->run, &(struct context){ .pubsub = pubsub });
        break;
    case PUBSUB_CHANGE:
        answer = apply_change(pubsub, m->request);
        break;
    case PUBSUB_LEAVE:
        leave(pubsub, m->subscriber);
        break;
    case PUBSUB_STATISTICS:
        *m->statistics = (struct pubsub_statistics){ pubsub->channels.size, pubsub->patterns.size };
        break;
    }
    tr_reply(m->reply, &answer);
    return 0;
}

int pubsub_start(struct pubsub **out)
{
    struct pubsub *pubsub = calloc(1, sizeof *pubsub);
    if (pubsub == NULL)
        return -ENOMEM;
    int rc = getrandom(&pubsub->seed, sizeof pubsub->seed, 0) == sizeof pubsub->seed ? 0 : -EIO;
    dict_init(&pubsub->channels, offsetof(struct topic, name), pubsub->seed);
    dict_init(&pubsub->patterns, offsetof(struct topic, name), pubsub->seed);
    struct tr_actor_options options = { .name = "pubsub", .capacity = MAILBOX_CAPACITY, .task = &pubsub->actor };
    if (rc == 0)
        rc = tr_spawn_handler(&pubsub->address, on_message, pubsub, &options);
    if (rc < 0) {
        free(pubsub);
        return rc;
    }
    *out = pubsub;
    return 0;
}

/* What subscribers left behind that could not take their leave, because the runtime ended the actor first. */
static void free_topics(struct dict *topics)
{
    for (size_t i = 0; i < dict_chains(topics); i++) {
        struct dict_node *node = *dict_chain(topics, i);
        while (node != NULL) {
            struct topic *topic = (struct topic *)node;
            node = node->next;
            for (size_t k = 0; k < topic->count; k++)
                free(topic->members[k]);
            free(topic->members);
            free(topic);
        }
    }
    dict_deinit(topics);
}

void pubsub_stop(struct pubsub *pubsub)
{
    struct tr_shield shield;
    tr_shield_open(&shield, TR_FOREVER);
    tr_actor_stop(pubsub->address);
    await_end(pubsub->actor);
    tr_shield_close(&shield);
    free_topics(&pubsub->channels);
    free_topics(&pubsub->patterns);
    free(pubsub);
}

void pubsub_init_subscriber(const struct pubsub *pubsub, struct subscriber *subscriber, struct outbox_address outbox)
{
    subscriber->outbox = outbox;
    dict_init(&subscriber->channels, offsetof(struct subscription, name), pubsub->seed);
    dict_init(&subscriber->patterns, offsetof(struct subscription, name), pubsub->seed);
}

static int call(struct pubsub *pubsub, const struct pubsub_message *message, int *answer)
{
    struct tr_shield shield;
    tr_shield_open(&shield, TR_FOREVER);
    int rc = tr_call(pubsub->address, answer, TR_FOREVER, message);
    tr_shield_close(&shield);
    return rc;
}

int pubsub_run(struct pubsub *pubsub, struct run *run)
{
    int answer;
    return call(pubsub, &(struct pubsub_message){ .kind = PUBSUB_RUN, .run = run }, &answer);
}

int pubsub_change(struct pubsub *pubsub, const struct pubsub_request *request, int *subscriptions)
{
    int rc = call(pubsub, &(struct pubsub_message){ .kind = PUBSUB_CHANGE, .request = request }, subscriptions);
    return rc == 0 && *subscriptions < 0 ? -ENOMEM : rc;
}

void pubsub_leave(struct pubsub *pubsub, struct subscriber *subscriber)
{
    int answer, rc;
    /* Without memory for its mailbox the actor has not been told, and would go on with what is about to be freed. */
    while ((rc = call(pubsub, &(struct pubsub_message){ .kind = PUBSUB_LEAVE, .subscriber = subscriber }, &answer)) ==
           -ENOMEM)
        tr_yield();
    if (rc < 0) {
        /* The actor has ended; pubsub_stop frees the subscriptions. */
        dict_deinit(&subscriber->channels);
        dict_deinit(&subscriber->patterns);
    }
}

int pubsub_read_statistics(struct pubsub *pubsub, struct pubsub_statistics *statistics)
{
    int answer;
    return call(pubsub, &(struct pubsub_message){ .kind = PUBSUB_STATISTICS, .statistics = statistics }, &answer);
}
