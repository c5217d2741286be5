/* SPDX-License-Identifier: MIT */
/*
 * run.c: tr_run, a whole program's runtime: its main, the signals that end it, and the shutdown.
 *
 * The program's thread waits here for the end of main, for a signal, or for a task that asks for the shutdown; from the first
 * of them on its time is bounded. A main that will not end is left behind, with what it uses.
 */
#include "actor/runtime.h"
#include "actor/sim.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct program {
    int (*main)(void *argument);
    void *argument;
    struct tr_runtime *runtime;
    int result;                /* main's, published by `over`: whoever joins its task, or nobody for want of memory */
    TRI_ATOMIC(uint32_t) over; /* main has returned; its task touches the program no more */
};

static int run_main(void *argument)
{
    struct program *program = argument;
    struct tr_runtime *runtime = program->runtime;
    int result = program->main(program->argument);
    program->result = result;
    tri_store(&program->over, 1u, TRI_RELEASE); /* a tr_run whose time is over may free it from here on */
    tri_runtime_signal(runtime);
    return result;
}

/* The signal that has come; 0: none. */
static int take_signal(int signal_fd)
{
    struct signalfd_siginfo info;
    bool came = signal_fd >= 0 && read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info;
    return came ? (int)info.ssi_signo : 0;
}

/* Unless somebody has asked for a shutdown already, it is to take the time that the options give it. */
static void bound_shutdown(struct tr_runtime *runtime)
{
    if (tri_load(&runtime->shutdown_at, TRI_RELAXED) == TR_FOREVER)
        tri_runtime_shut_down_at(runtime, tr_after(runtime->shutdown_ns));
}

/* Waits for the end of main, a signal, or a shutdown asked for by a task; in the latter two main has a bounded time left. */
static void await_main(struct program *program, int signal_fd)
{
    struct tr_runtime *runtime = program->runtime;
    while (!tri_load(&program->over, TRI_RELAXED)) { /* run_program acquires it */
        tr_time deadline = tri_load(&runtime->shutdown_at, TRI_RELAXED);
        if (deadline <= tr_clock())
            return;
        tri_runtime_await(runtime, signal_fd, deadline);
        int signal = take_signal(signal_fd);
        if (signal && tri_load(&runtime->shutdown_at, TRI_RELAXED) == TR_FOREVER) {
            tr_log(TR_LOG_INFO, "%s: shutting down", signal == SIGINT ? "SIGINT" : "SIGTERM");
            bound_shutdown(runtime);
            tri_runtime_cancel_main(runtime); /* as tr_shutdown has done, if that came first */
        }
    }
}

/*
 * What main owns has been cancelled and ends with actors still there to turn to, if it is quick about it. Somebody else may have
 * joined or detached the task.
 */
static void join_main(struct tr_runtime *runtime)
{
    tr_time soon = tr_after(runtime->stop_ns), deadline = tri_load(&runtime->shutdown_at, TRI_RELAXED);
    if (tr_task_join(runtime->main, NULL, soon < deadline ? soon : deadline) == -ETIMEDOUT)
        tr_task_detach(runtime->main);
}

static int run_program(struct program *program, int signal_fd)
{
    struct tr_runtime *runtime = program->runtime;
    int result = 0;
    struct tr_task_options options = { .name = "main", .runtime = runtime };
    int rc = tr_task_spawn(&runtime->main, run_main, program, &options);
    if (rc == 0)
        await_main(program, signal_fd);
    else
        tri_store(&program->over, 1u, TRI_RELAXED); /* it never began */
    bound_shutdown(runtime);
    if (rc == 0 && tri_load(&program->over, TRI_ACQUIRE)) {
        result = program->result;
        join_main(runtime);
    } else if (rc == 0) {
        result = -ETIMEDOUT;
    }
    /* A task may have asked for a nearer end meanwhile. -ETIMEDOUT: the report has been made; what still runs is left alone. */
    tr_stop(runtime, tri_load(&runtime->shutdown_at, TRI_RELAXED));
    while (take_signal(signal_fd))
        continue; /* it meant this shutdown */
    return rc < 0 ? rc : result;
}

int tr_run(const struct tr_options *options, int (*main)(void *argument), void *argument)
{
    if (options && options->seed)
        return tri_sim_run(options, main, argument, NULL);
    struct program *program = malloc(sizeof *program);
    sigset_t signals, before;
    int signal_fd = -1;
    if (!program)
        return -ENOMEM;
    *program = (struct program){ .main = main, .argument = argument };
    sigemptyset(&signals);
    if (!options || !options->keep_signals) {
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGTERM);
        signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        if (signal_fd < 0) {
            int error = errno;
            tr_log(TR_LOG_ERROR, "cannot make a signalfd for SIGINT and SIGTERM: %s", strerror(error));
            free(program);
            return -error;
        }
    }
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    int result = tr_start(&program->runtime, options);
    if (result == 0)
        result = run_program(program, signal_fd);
    if (!program->runtime || tri_load(&program->over, TRI_ACQUIRE)) /* after run_main's last look at it */
        free(program);                                              /* else a main that would not end still uses it */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (signal_fd >= 0)
        close(signal_fd);
    return result;
}
