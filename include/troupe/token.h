/* SPDX-License-Identifier: MIT */
/*
 * token.h: cancellation tokens: a tree of things that can be called off.
 *
 * Whoever holds a token can cancel it; with it are cancelled the tokens below it, the tasks that were spawned under them
 * (tr_task_options.token), and the groups that were opened under them; and whoever waits for one of them goes on.
 * Cancellation goes down, never up, and is for good.
 *
 *     struct tr_cancel_token *session;
 *     tr_cancel_token_create(&session, server);                  cancelled with the server, or alone
 *     tr_task_spawn(&task, serve, client, &(struct tr_task_options){ .token = session });
 *     ...
 *     tr_cancel_token_cancel(session);
 *     tr_cancel_token_unref(session);
 *
 * A token is counted: who got it from create or ref gives it back by unref; tasks and groups under it count by themselves. One
 * that goes leaves the tokens below it to the one above it. 64 bytes each, 64 more for each task or group under it.
 */
#ifndef TROUPE_TOKEN_H
#define TROUPE_TOKEN_H

#include <troupe/select.h>

TRI_BEGIN_DECLS

struct tr_cancel_token;

/*
 * A new token below `parent`; NULL: the root of a tree of its own. Below a cancelled one it is cancelled from the start.
 * Thread: any. Suspends: no. Owns: *out is a reference of the caller's; the parent's stays his. Returns 0 or -ENOMEM.
 */
TR_PUBLIC int tr_cancel_token_create(struct tr_cancel_token **out, struct tr_cancel_token *parent);

/* One reference more; returns the token. One less; NULL: nothing. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_cancel_token *tr_cancel_token_ref(struct tr_cancel_token *token);
TR_PUBLIC void tr_cancel_token_unref(struct tr_cancel_token *token);

/*
 * Cancels the token and all below it. They do not become cancelled in one instant, but when the call returns all are, save what
 * another call has begun to cancel meanwhile. The work is a step for each token, task, group and waiter below, whatever the depth.
 * Thread: any. Suspends: no.
 */
TR_PUBLIC void tr_cancel_token_cancel(struct tr_cancel_token *token);

/* What the canceller did before is visible to whoever sees true. Thread: any. Suspends: no. */
TR_PUBLIC bool tr_cancel_token_is_cancelled(const struct tr_cancel_token *token);

/*
 * Waits until the token is cancelled. The caller must hold a reference meanwhile.
 * Thread: any. Suspends: yes. Returns 0, -ETIMEDOUT, -ECANCELED (the waiting task was), -ENOMEM.
 */
TR_PUBLIC int tr_cancel_token_wait(struct tr_cancel_token *token, tr_time deadline);

/* The same as a case: ready, with result 0, once the token is cancelled. Thread: any. Suspends: no. */
TR_PUBLIC struct tr_case tr_case_cancelled(struct tr_cancel_token *token);

/*
 * Cancels and gives back what *token refers to, and clears it; NULL there: nothing. As a guard it does so however the block is
 * left:
 *
 *     __attribute__((cleanup(tr_cancel_token_guard))) struct tr_cancel_token *token = NULL;
 *
 * (with -fexceptions also when a C++ frame below throws). Thread: any. Suspends: no.
 */
TR_PUBLIC void tr_cancel_token_guard(struct tr_cancel_token **token);

TRI_END_DECLS
#endif
