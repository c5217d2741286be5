/* SPDX-License-Identifier: MIT */
/*
 * fake_posts.h: in the place of actor/after.c, for models whose workers have no messages to send later. To be included once,
 * after actor/scheduler.h.
 */
#ifndef FAKE_POSTS_H
#define FAKE_POSTS_H

#include "actor/after.h"
#include "model.h"

struct tri_pool tri_post_pool = { .object_bytes = sizeof(struct tri_post) };

void tri_post_fire(struct tri_worker *worker, struct tri_timer *timer)
{
    (void)worker, (void)timer;
    model_fail("no timer is a post");
}

void tri_post_collect(struct tri_worker *worker)
{
    (void)worker;
    model_fail("nobody posts");
}

void tri_post_flush(struct tri_worker *worker, struct tri_timer *timer)
{
    (void)worker, (void)timer;
    model_fail("no timer is a post");
}

#endif
