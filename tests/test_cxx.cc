/* SPDX-License-Identifier: MIT */
/*
 * test_cxx.cc: the public headers in C++. They must compile there, link by their C names, and the untyped functions
 * must serve a small actor: a counter that is asked a thousand times.
 */
#include <troupe.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>

namespace
{

struct request {
    int add;
    tr_token reply;
};

const tr_type request_type = { "request", sizeof(request), alignof(request) };

int on_request(void *state, void *message)
{
    int *count = static_cast<int *>(state);
    const request *r = static_cast<request *>(message);
    *count += r->add;
    return tr_reply_raw(r->reply, sizeof *count, count);
}

/* Channels: the values of a broadcast and of a watch, by the untyped functions. */
int use_channels()
{
    tr_broadcast broadcast;
    tr_broadcast_receiver receiver;
    tr_watch watch;
    tr_watch_receiver observer;
    long sent = 7, got = 0, seen = 0;
    if (tr_broadcast_create_raw(&broadcast, sizeof sent, 4, nullptr) != 0 ||
        tr_watch_create_raw(&watch, sizeof sent, &got, nullptr) != 0)
        return -ENOMEM;
    tr_broadcast_subscribe_raw(broadcast, &receiver);
    tr_watch_subscribe_raw(watch, &observer);
    bool right = tr_broadcast_send_raw(broadcast, sizeof sent, &sent) == 1 &&
                 tr_broadcast_receive_raw(&receiver, sizeof got, &got, TR_FOREVER) == 0 && got == sent &&
                 tr_watch_send_raw(watch, sizeof sent, &sent) == 0 &&
                 tr_watch_next_raw(&observer, sizeof seen, &seen, TR_FOREVER) == 0 && seen == sent;
    tr_broadcast_unsubscribe_raw(&receiver);
    tr_broadcast_close_raw(broadcast);
    tr_watch_unsubscribe_raw(&observer);
    tr_watch_close_raw(watch);
    return right ? 0 : -EINVAL;
}

int body(void *argument)
{
    tr_address counter;
    tr_task task;
    tr_actor_options options = {};
    int count = 0, answer = 0;
    options.name = "counter";
    options.task = &task;
    int rc = tr_spawn_handler_raw(&counter, &request_type, on_request, &count, &options);
    for (int i = 1; rc == 0 && i <= 1000; i++) {
        request r = { i, {} };
        tr_ask ask = { offsetof(request, reply), sizeof answer, &answer };
        rc = tr_call_raw(counter, &request_type, &r, ask, tr_after(10 * TR_SECOND));
    }
    if (rc == 0)
        rc = tr_actor_stop_raw(counter);
    if (rc == 0)
        rc = tr_task_join(task, nullptr, TR_FOREVER);
    *static_cast<int *>(argument) = answer;
    return rc == 0 ? use_channels() : rc;
}

} // namespace

int main()
{
    int answer = 0;
    int rc = tr_run(nullptr, body, &answer);
    if (rc != 0 || answer != 500500) {
        std::fprintf(stderr, "rc %d, answer %d\n", rc, answer);
        return 1;
    }
    return 0;
}
