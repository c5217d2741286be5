/* SPDX-License-Identifier: MIT */
/* watch.c: changing the value, the rarer ways of reading it, and the life of a watch. The picture and the edges are in watch.h. */
#include "mailbox/watch.h"

#include <stdlib.h>

static struct tri_watch *watch_of(void *channel)
{
    return channel;
}

/* ---- the life of a watch -------------------------------------------------------------------------------------- */

/* Where in `slates` a value is changed: aligned for any type. */
static size_t desk_offset(size_t slate_bytes)
{
    return (2 * slate_bytes + 63) / 64 * 64;
}

int tr_watch_create_raw(struct tr_watch *out, uint32_t bytes, const void *value, const struct tr_watch_options *options)
{
    struct tr_watch_options plain = { 0 };
    if (!options)
        options = &plain;
    if (bytes > TR_MESSAGE_LIMIT || !options->clone != !options->drop || (options->clone && bytes > TR_COUNTED_LIMIT))
        return -EINVAL;
    size_t slate_bytes = tri_slate_bytes(bytes);
    size_t all_bytes = (sizeof(struct tri_watch) + desk_offset(slate_bytes) + bytes + 63) / 64 * 64;
    struct tri_watch *watch = aligned_alloc(64, all_bytes);
    if (!watch)
        return -ENOMEM;
    memset(watch, 0, all_bytes);
    watch->bytes = bytes;
    watch->slate_bytes = (uint32_t)slate_bytes;
    watch->clone = options->clone;
    watch->drop = options->drop;
    watch->audience.senders = 1;
    watch->audience.holders = 1;
    tri_store(&watch->version, UINT64_C(1), TRI_RELAXED);
    tri_slate_write(tri_watch_slate(watch, 1), 1, value, bytes);
    out->tri_channel = watch;
    return 0;
}

/* Nobody has a handle any more. */
static void destroy(struct tri_watch *watch)
{
    _Alignas(64) char value[TR_COUNTED_LIMIT];
    if (watch->drop) {
        tri_slate_copy(tri_watch_slate(watch, tri_load(&watch->version, TRI_RELAXED)), value, watch->bytes);
        watch->drop(value);
    }
    free(watch);
}

void tr_watch_open_raw(struct tr_watch face)
{
    tri_audience_open(&watch_of(face.tri_channel)->audience);
}

void tr_watch_close_raw(struct tr_watch face)
{
    if (tri_audience_close(&watch_of(face.tri_channel)->audience))
        destroy(face.tri_channel);
}

int tr_watch_subscribe_raw(struct tr_watch face, struct tr_watch_receiver *out)
{
    struct tri_watch *watch = watch_of(face.tri_channel);
    if (!watch)
        return -EINVAL;
    tri_bias_lock(&watch->audience.lock);
    tri_audience_join(&watch->audience);
    uint64_t version = tri_load(&watch->version, TRI_RELAXED);
    tri_bias_unlock(&watch->audience.lock);
    *out = (struct tr_watch_receiver){ .tri_channel = watch, .tri_seen = version };
    return 0;
}

int tr_watch_clone_raw(const struct tr_watch_receiver *receiver, struct tr_watch_receiver *out)
{
    int rc = tr_watch_subscribe_raw((struct tr_watch){ receiver->tri_channel }, out);
    if (rc == 0)
        out->tri_seen = receiver->tri_seen;
    return rc;
}

void tr_watch_unsubscribe_raw(struct tr_watch_receiver *receiver)
{
    struct tri_watch *watch = watch_of(receiver->tri_channel);
    receiver->tri_channel = NULL;
    if (tri_audience_quit(&watch->audience))
        destroy(watch);
}

uint32_t tr_watch_receivers_raw(struct tr_watch face)
{
    struct tri_audience *audience = &watch_of(face.tri_channel)->audience;
    return tri_audience_count(audience, &audience->receivers);
}

uint32_t tr_watch_senders_raw(const struct tr_watch_receiver *receiver)
{
    struct tri_audience *audience = &watch_of(receiver->tri_channel)->audience;
    return tri_audience_count(audience, &audience->senders);
}

int tr_watch_closed_raw(struct tr_watch face, tr_time deadline)
{
    int rc = tri_checkpoint();
    return rc < 0 ? rc : tri_audience_await_desertion(&watch_of(face.tri_channel)->audience, deadline);
}

/* ---- changing ------------------------------------------------------------------------------------------------- */

/* Puts the next version in, under both locks. *old, if wanted: the value before. */
static void put(struct tri_watch *watch, const void *value, void *old)
{
    uint64_t version = tri_load(&watch->version, TRI_RELAXED);
    tri_slate_write(tri_watch_slate(watch, version + 1), version + 1, value, watch->bytes);
    if (old) /* after the write: it may lie where the value did */
        tri_slate_copy(tri_watch_slate(watch, version), old, watch->bytes);
    tri_store(&watch->version, version + 1, TRI_RELEASE); /* [V1] */
}

/* Lets the lock go. */
static void tell_all(struct tri_watch *watch)
{
    if (tri_audience_tell(&watch->audience))
        destroy(watch);
}

int tr_watch_send_raw(struct tr_watch face, uint32_t bytes, const void *value)
{
    struct tri_watch *watch = watch_of(face.tri_channel);
    _Alignas(64) char old[TR_COUNTED_LIMIT];
    if (bytes != watch->bytes)
        return -EINVAL;
    tri_lock(&watch->writer);
    tri_bias_lock(&watch->audience.lock);
    bool deserted = watch->audience.receivers == 0;
    void (*drop)(void *value) = watch->drop;
    if (!deserted)
        put(watch, value, drop ? old : NULL);
    tri_unlock(&watch->writer);
    tell_all(watch);
    if (deserted)
        return -ESRCH;
    if (drop)
        drop(old);
    return 0;
}

int tr_watch_replace_raw(struct tr_watch face, uint32_t bytes, const void *value, void *old)
{
    struct tri_watch *watch = watch_of(face.tri_channel);
    _Alignas(64) char dropped[TR_COUNTED_LIMIT];
    void (*drop)(void *value) = old ? NULL : watch->drop;
    if (bytes != watch->bytes)
        return -EINVAL;
    tri_lock(&watch->writer);
    tri_bias_lock(&watch->audience.lock);
    put(watch, value, drop ? dropped : old);
    tri_unlock(&watch->writer);
    tell_all(watch);
    if (drop)
        drop(dropped);
    return 0;
}

bool tr_watch_modify_raw(struct tr_watch face, bool (*modify)(void *value, void *argument), void *argument)
{
    struct tri_watch *watch = watch_of(face.tri_channel);
    void *value = watch->slates + desk_offset(watch->slate_bytes);
    tri_lock(&watch->writer);
    tri_slate_copy(tri_watch_slate(watch, tri_load(&watch->version, TRI_RELAXED)), value, watch->bytes);
    bool changed = modify(value, argument);
    if (!changed) {
        tri_unlock(&watch->writer);
        return false;
    }
    tri_bias_lock(&watch->audience.lock);
    put(watch, value, NULL);
    tri_unlock(&watch->writer);
    tell_all(watch);
    return true;
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

uint64_t tri_watch_read_locked(struct tri_watch *watch, void *value)
{
    tri_bias_lock(&watch->audience.lock);
    uint64_t version = tri_load(&watch->version, TRI_RELAXED);
    tri_slate_copy(tri_watch_slate(watch, version), value, watch->bytes);
    if (watch->clone)
        watch->clone(value);
    tri_bias_unlock(&watch->audience.lock);
    return version;
}

int tr_watch_current_raw(struct tr_watch face, uint32_t bytes, void *value)
{
    struct tri_watch *watch = watch_of(face.tri_channel);
    if (bytes != watch->bytes)
        return -EINVAL;
    tri_watch_read(watch, value);
    return 0;
}

int tr_watch_read_raw(struct tr_watch_receiver *receiver, uint32_t bytes, void *value)
{
    struct tri_watch *watch = watch_of(receiver->tri_channel);
    if (bytes != watch->bytes)
        return -EINVAL;
    receiver->tri_seen = tri_watch_read(watch, value);
    return 0;
}

int tr_watch_peek_raw(const struct tr_watch_receiver *receiver, uint32_t bytes, void *value)
{
    return tr_watch_current_raw((struct tr_watch){ receiver->tri_channel }, bytes, value);
}

/* ---- waiting for a change ------------------------------------------------------------------------------------- */

int tri_watch_check_closed(struct tr_watch_receiver *receiver)
{
    struct tri_watch *watch = watch_of(receiver->tri_channel);
    uint64_t version = tri_load(&watch->version, TRI_RELAXED); /* the last one: [A3] */
    if (version == receiver->tri_seen)
        return -EPIPE;
    receiver->tri_seen = version;
    return 0;
}

int tr_watch_has_changed_raw(const struct tr_watch_receiver *receiver)
{
    struct tr_watch_receiver copy = *receiver;
    int rc = tri_watch_check(&copy);
    return rc == 0 ? 1 : rc == -EAGAIN ? 0 : rc;
}

/* No version is a receiver's before the first: that is 1. */
void tr_watch_mark_changed_raw(struct tr_watch_receiver *receiver)
{
    receiver->tri_seen = 0;
}

void tr_watch_mark_unchanged_raw(struct tr_watch_receiver *receiver)
{
    receiver->tri_seen = tri_load(&watch_of(receiver->tri_channel)->version, TRI_RELAXED);
}

static bool has_news(const struct tri_watch *watch, const struct tr_watch_receiver *receiver)
{
    return tri_load(&watch->version, TRI_RELAXED) != receiver->tri_seen ||
           tri_load(&watch->audience.closed, TRI_RELAXED);
}

int tri_watch_enter(struct tr_case *c)
{
    const struct tr_watch_receiver *receiver = c->tri_object;
    struct tri_watch *watch = watch_of(receiver->tri_channel);
    tri_bias_lock(&watch->audience.lock);
    bool waits = !has_news(watch, receiver);
    if (waits)
        tri_line_push(&watch->audience.waiting, c);
    tri_bias_unlock(&watch->audience.lock);
    return waits ? -EAGAIN : 0;
}

/* Waits for another value. Those that come faster than they are looked at do not keep the caller beyond its deadline. */
static int await_another(struct tr_watch_receiver *receiver, tr_time deadline)
{
    if (tr_watch_has_changed_raw(receiver) == 1 && tri_cancel_check() == 0 && tri_is_late(deadline))
        return -ETIMEDOUT;
    return tr_watch_changed_raw(receiver, deadline);
}

int tr_watch_wait_for_raw(struct tr_watch_receiver *receiver, uint32_t bytes,
                          bool (*predicate)(const void *value, void *argument), void *argument, void *value,
                          tr_time deadline)
{
    struct tri_watch *watch = watch_of(receiver->tri_channel);
    if (bytes != watch->bytes)
        return -EINVAL;
    int rc = tri_checkpoint();
    while (rc == 0) {
        receiver->tri_seen = tri_watch_read(watch, value);
        if (predicate(value, argument))
            return 0;
        if (watch->drop)
            watch->drop(value);
        rc = await_another(receiver, deadline);
    }
    return rc;
}

/* ---- as a case of a select ------------------------------------------------------------------------------------ */

static int attempt_case(struct tr_case *c)
{
    return tri_watch_check(c->tri_object);
}

static int enter_case(struct tr_case *c)
{
    struct tr_watch_receiver *receiver = c->tri_object;
    struct tri_watch *watch = watch_of(receiver->tri_channel);
    int rc = -EAGAIN;
    tri_bias_lock(&watch->audience.lock);
    if (!has_news(watch, receiver))
        tri_line_push(&watch->audience.waiting, c);
    else if (tri_claim(c))
        rc = tri_watch_check(receiver);
    tri_bias_unlock(&watch->audience.lock);
    return rc;
}

static bool leave_case(struct tr_case *c)
{
    const struct tr_watch_receiver *receiver = c->tri_object;
    struct tri_watch *watch = watch_of(receiver->tri_channel);
    return tri_audience_leave(&watch->audience, &watch->audience.waiting, c);
}

static bool case_is_ready(struct tr_case *c)
{
    const struct tr_watch_receiver *receiver = c->tri_object;
    return has_news(watch_of(receiver->tri_channel), receiver);
}

static const struct tri_kind changed_kind = { attempt_case, enter_case, leave_case, case_is_ready, TRI_WAIT_CHANGE };

struct tr_case tr_case_watch_raw(struct tr_watch_receiver *receiver)
{
    return (struct tr_case){ .tri_kind = &changed_kind, .tri_object = receiver };
}
