/* SPDX-License-Identifier: MIT */
/*
 * latency.c: how late things happen beside tasks that never rest.
 *   timer_latency_p99   a sleeper, beside two ping-pongs per worker
 *   socket_latency_p99  a reader of a socket into which a thread writes the time, beside the same
 *   hog_start_p99       a task made ready by a hog, which then keeps its worker for 10 ms: by spawning it, by waking a
 *                       sleeping loop actor, by a message to an idle handler actor; bare_p99 is the floor of the machine
 *                       in the same seconds: a plain thread that dozes a quarter of a millisecond beside one that computes
 */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES 400
#define HOG_NS (10 * TR_MILLISECOND)
#define PATIENCE (60 * TR_SECOND) /* also where the machine is so busy that nothing here runs for a second */

struct ball;
TR_ADDRESS_TYPE(player_address, struct ball);
TR_REPLY_TYPE(ball_reply, uint64_t);
struct ball {
    uint64_t value;
    struct ball_reply reply;
};

static atomic_bool stopping;
static double samples[SAMPLES * 3], bare[SAMPLES * 3];

/* ---- ping-pong: one pair calls a handler actor, one calls a loop actor ---- */

static int on_ball(void *state, void *message)
{
    (void)state;
    struct ball *ball = message;
    tr_reply(ball->reply, &ball->value);
    return 0;
}

static int ball_loop(void *argument)
{
    (void)argument;
    struct ball ball;
    while (tr_receive(&ball, TR_FOREVER) == 0)
        tr_reply(ball.reply, &ball.value);
    return 0;
}

static int play(void *argument)
{
    struct player_address *player = argument;
    uint64_t value;
    while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
        int rc = tr_call(*player, &value, tr_after(PATIENCE), &(struct ball){ .value = 1 });
        CHECK(rc != 0 && !atomic_load(&stopping));
    }
    tr_actor_stop(*player);
    return 0;
}

static void start_ping_pong(void)
{
    atomic_store(&stopping, false);
    for (unsigned i = 0; i < 2 * bench_workers(); i++) {
        struct player_address player;
        CHECK(i % 2 ? tr_spawn(&player, ball_loop, NULL, NULL) : tr_spawn_handler(&player, on_ball, NULL, NULL));
        CHECK(tr_task_spawn(NULL, play, &player, &(struct tr_task_options){ .argument_bytes = sizeof player }));
    }
}

static void print_latency(size_t count)
{
    atomic_store(&stopping, true);
    char detail[64];
    double p99 = bench_percentile(samples, count, 99);
    snprintf(detail, sizeof detail, "p50=%.4f max=%.4f", samples[count / 2], samples[count - 1]);
    bench_print(p99, "ms", detail);
}

/* ---- timer ---- */

static int measure_timer(void *argument)
{
    (void)argument;
    size_t count = bench_scaled(SAMPLES, 20);
    start_ping_pong();
    for (size_t i = 0; i < count; i++) {
        tr_time due = tr_clock() + 3 * TR_MILLISECOND;
        CHECK(tr_sleep_until(due));
        samples[i % SAMPLES] = (double)(tr_clock() - due) / 1e6;
    }
    print_latency(count < SAMPLES ? count : SAMPLES);
    return 0;
}

/* ---- socket ---- */

/* A plain thread: every 3 ms it writes the time. */
static void *write_times(void *argument)
{
    struct tr_listener *listener = argument;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(tr_listener_port(listener)) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address));
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    for (uint64_t left = bench_scaled(SAMPLES, 20); left > 0; left--) {
        nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);
        tr_time now = tr_clock();
        CHECK(write(fd, &now, sizeof now) != sizeof now);
    }
    close(fd);
    return NULL;
}

static int measure_socket(void *argument)
{
    (void)argument;
    struct tr_listener *listener;
    struct tr_stream *stream;
    pthread_t writer;
    size_t count = 0;
    tr_time sent;
    start_ping_pong();
    CHECK(tr_tcp_listen(&listener, "127.0.0.1", 0, NULL));
    CHECK(pthread_create(&writer, NULL, write_times, listener));
    CHECK(tr_tcp_accept(listener, &stream, TR_FOREVER));
    while (tr_read(stream, &sent, sizeof sent, TR_FOREVER) == sizeof sent)
        samples[count++ % SAMPLES] = (double)(tr_clock() - sent) / 1e6;
    print_latency(count < SAMPLES ? count : SAMPLES);
    tr_stream_close(stream);
    pthread_join(writer, NULL);
    return tr_listener_close(listener);
}

/* ---- hog ---- */

TR_ADDRESS_TYPE(beside_address, tr_time);

/* When the task beside the hog started, and the count of those that have. */
static _Atomic tr_time began;

static int note_start(void *argument)
{
    (void)argument;
    atomic_store(&began, tr_clock());
    return 0;
}

static int on_ready(void *state, void *message)
{
    (void)message;
    return note_start(state);
}

static int ready_loop(void *argument)
{
    tr_time ready;
    while (tr_receive(&ready, TR_FOREVER) == 0)
        note_start(argument);
    return 0;
}

struct hog {
    struct beside_address beside; /* to be sent to, or none: spawn */
    bool spawn;
    tr_time ready;
};

static int hog_worker(void *argument)
{
    struct hog *hog = argument;
    hog->ready = tr_clock();
    if (hog->spawn)
        CHECK(tr_task_spawn(NULL, note_start, NULL, NULL));
    else
        CHECK(tr_send(hog->beside, TR_NOW, &hog->ready));
    while (tr_clock() < hog->ready + HOG_NS) {
    }
    return 0;
}

static double hog_once(struct hog *hog)
{
    struct tr_task task;
    atomic_store(&began, 0);
    CHECK(tr_task_spawn(&task, hog_worker, hog, NULL));
    CHECK(tr_task_join(task, NULL, TR_FOREVER));
    while (atomic_load(&began) == 0)
        CHECK(tr_sleep(TR_MILLISECOND));
    return (double)(atomic_load(&began) - hog->ready) / 1e6;
}

/* A plain thread that looks every now and then, as an idle worker does, whether something has begun. */
static void *doze(void *argument)
{
    atomic_bool *ready = argument;
    while (!atomic_load(ready))
        nanosleep(&(struct timespec){ .tv_nsec = 250000 }, NULL);
    atomic_store(&began, tr_clock());
    return NULL;
}

static double bare_once(void)
{
    pthread_t thread;
    atomic_bool ready = false;
    CHECK(pthread_create(&thread, NULL, doze, &ready));
    tr_time from = tr_clock() + TR_MILLISECOND; /* it has come to the other processor by then */
    while (tr_clock() < from) {
    }
    atomic_store(&ready, true);
    while (tr_clock() < from + HOG_NS) {
    }
    CHECK(pthread_join(thread, NULL));
    return (double)(atomic_load(&began) - from) / 1e6;
}

static int measure_hog(void *argument)
{
    (void)argument;
    struct hog hogs[3] = { { .spawn = true } };
    CHECK(tr_spawn(&hogs[1].beside, ready_loop, NULL, NULL));
    CHECK(tr_spawn_handler(&hogs[2].beside, on_ready, NULL, NULL));
    size_t rounds = bench_scaled(100, 10), count = 0;
    double worst[3] = { 0 };
    for (size_t round = 0; round < rounds && count + 3 <= sizeof samples / sizeof *samples; round++) {
        for (size_t kind = 0; kind < 3; kind++) {
            /* Every other time the idle worker has had the time to fall asleep. */
            if (round % 2)
                CHECK(tr_sleep(2 * TR_MILLISECOND));
            double late = hog_once(&hogs[kind]);
            worst[kind] = late > worst[kind] ? late : worst[kind];
            bare[count] = bare_once();
            samples[count++] = late;
        }
    }
    char detail[128];
    double p99 = bench_percentile(samples, count, 99);
    snprintf(detail, sizeof detail, "p50=%.4f max_spawn=%.4f max_loop=%.4f max_handler=%.4f bare_p99=%.4f",
             samples[count / 2], worst[0], worst[1], worst[2], bench_percentile(bare, count, 99));
    bench_print(p99, "ms", detail);
    CHECK(tr_actor_stop(hogs[1].beside));
    return tr_actor_stop(hogs[2].beside);
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        { .name = "timer_latency_p99", .measure = measure_timer },
        { .name = "socket_latency_p99", .measure = measure_socket },
        { .name = "hog_start_p99", .measure = measure_hog, .workers = 2 },
    };
    return bench_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
