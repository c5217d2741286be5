/* SPDX-License-Identifier: MIT */
/* blocking_thread.c: what the pool for blocking work needs of the system: threads, the futex they sleep on, and its runtime. */
#include "actor/blocking.h"
#include "actor/scheduler.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *thread_main(void *pool)
{
    prctl(PR_SET_NAME, "troupe-job");
    tri_blocking_serve(pool);
    return NULL;
}

/* Signals are for the program's own threads. It is detached: the count of threads tells when the last has gone. */
int tri_blocking_thread(struct tri_blocking *pool)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return -ENOMEM;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &attributes, thread_main, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error ? -ENOMEM : 0;
}

bool tri_blocking_sleep(struct tri_blocking *pool, uint32_t seen, int64_t nanoseconds)
{
    struct timespec span = { .tv_sec = nanoseconds / TR_SECOND, .tv_nsec = nanoseconds % TR_SECOND };
    long rc = syscall(SYS_futex, &pool->bell, FUTEX_WAIT_PRIVATE, seen, &span, NULL, 0);
    return rc == 0 || errno != ETIMEDOUT;
}

void tri_blocking_wake(struct tri_blocking *pool, uint32_t count)
{
    syscall(SYS_futex, &pool->bell, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

int tri_blocking_of(struct tr_runtime *runtime, struct tri_blocking **out)
{
    struct tri_worker *worker = tri_worker_here();
    struct tr_runtime *own = worker && worker->current ? worker->runtime : NULL;
    if (!runtime && !(runtime = own))
        return -EINVAL;
    if (runtime != own && tri_load(&runtime->phase, TRI_RELAXED) != TRI_PHASE_RUN)
        return -ECANCELED;
    *out = runtime->blocking;
    return 0;
}

int tr_blocking_info(struct tr_runtime *runtime, struct tr_blocking_info *out)
{
    struct tri_worker *worker = tri_worker_here();
    if (!runtime && worker)
        runtime = worker->runtime;
    if (!runtime)
        return -EINVAL;
    tri_blocking_look(runtime->blocking, out);
    return 0;
}
