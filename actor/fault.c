/* SPDX-License-Identifier: MIT */
/* fault.c: see fault.h. Everything in the handler is async-signal-safe. */
#include "actor/fault.h"
#include "actor/scheduler.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALTERNATE_BYTES (64u * 1024)

/* A thread that runs a runtime in turns is the program's, and may have a stack of its own for signals: it gets it back. */
struct alternate {
    char stack[ALTERNATE_BYTES - sizeof(stack_t)];
    stack_t before;
};

static struct sigaction before_segv, before_bus;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static size_t append(char *line, size_t at, size_t room, const char *text)
{
    while (*text && at + 1 < room)
        line[at++] = *text++;
    return at;
}

static size_t append_number(char *line, size_t at, size_t room, uint64_t number)
{
    char digits[24];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
    } while ((number /= 10) > 0);
    while (count > 0 && at + 1 < room)
        line[at++] = digits[--count];
    return at;
}

static void say_overflow(struct tri_worker *worker)
{
    char line[256];
    struct tri_task *task = worker ? worker->current : NULL;
    size_t at = append(line, 0, sizeof line, "troupe: error: stack overflow in ");
    at = append(line, at, sizeof line, task && tri_task_is(task, TRI_TASK_ACTOR) ? "actor '" : "task '");
    at = append(line, at, sizeof line, task ? tri_task_label(task) : "?");
    at = append(line, at, sizeof line, "' (stack of ");
    at = append_number(line, at, sizeof line, worker && worker->stack ? worker->stack->bytes / 1024 + 4 : 0);
    at = append(line, at, sizeof line, " KiB): give it a larger stack_bytes\n");
    if (write(STDERR_FILENO, line, at) < 0)
        return; /* nobody left to tell */
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    struct sigaction *before = signal == SIGBUS ? &before_bus : &before_segv;
    bool sent = info->si_code <= 0; /* by kill or raise, say: there is no address, and nothing faults again */
    if (!sent && tri_stack_is_guard(info->si_addr))
        say_overflow(tri_worker_here());
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(signal, info, context);
    } else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(signal);
    } else if (!sent || before->sa_handler == SIG_DFL) {
        /* Back to the default: the instruction faults again, or we send it again, and the core shows the right place. */
        struct sigaction fallback = { .sa_handler = SIG_DFL };
        sigaction(signal, &fallback, NULL);
        if (sent)
            raise(signal);
    }
}

static void install(void)
{
    struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    action.sa_sigaction = on_fault;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGBUS, &action, &before_bus);
}

void tri_fault_install(void)
{
    pthread_once(&once, install);
}

void *tri_fault_enter(void)
{
    struct alternate *alternate =
        mmap(NULL, sizeof *alternate, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (alternate == MAP_FAILED)
        return NULL;
    stack_t own = { .ss_sp = alternate->stack, .ss_size = sizeof alternate->stack };
    sigaltstack(&own, &alternate->before);
    return alternate;
}

void tri_fault_leave(void *memory)
{
    struct alternate *alternate = memory;
    stack_t now;
    if (!alternate)
        return;
    if (sigaltstack(NULL, &now) == 0 && now.ss_sp == alternate->stack)
        sigaltstack(&alternate->before, NULL);
    munmap(alternate, sizeof *alternate);
}
