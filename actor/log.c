/* SPDX-License-Identifier: MIT */
/* log.c: one line at a time, to a sink that the program chooses, or to standard error. */
#include "mailbox/atomic.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe/runtime.h>
#include <unistd.h>

#define LINE_BYTES 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void (*sink)(enum tr_log_level level, const char *line, void *context);
static void *sink_context;
static TRI_ATOMIC(int) most = -1; /* -1: not asked the environment yet */

static const char *const names[] = { "error", "warning", "info", "debug" };

static int level_limit(void)
{
    int limit = tri_load(&most, TRI_RELAXED);
    if (limit >= 0)
        return limit;
    const char *wanted = getenv("TR_LOG");
    bool known = !wanted || !*wanted;
    int chosen = TR_LOG_INFO;
    for (int i = 0; !known && i <= TR_LOG_DEBUG; i++) {
        known = strcmp(wanted, names[i]) == 0;
        chosen = known ? i : chosen;
    }
    if (!tri_cas(&most, &limit, chosen, TRI_RELAXED, TRI_RELAXED))
        return limit; /* somebody else was quicker */
    if (!known)
        tr_log(TR_LOG_WARNING, "TR_LOG='%s' is not error, warning, info or debug: ignored", wanted);
    return chosen;
}

void tr_log_set(void (*new_sink)(enum tr_log_level level, const char *line, void *context), void *context,
                enum tr_log_level new_most)
{
    pthread_mutex_lock(&lock);
    sink = new_sink;
    sink_context = context;
    pthread_mutex_unlock(&lock);
    tri_store(&most, (int)new_most, TRI_RELAXED);
}

static void write_stderr(enum tr_log_level level, const char *text)
{
    char line[LINE_BYTES + 32];
    int bytes = snprintf(line, sizeof line, "troupe: %s: %s\n", names[level], text);
    if (bytes > 0 && write(STDERR_FILENO, line, (size_t)bytes) < 0)
        return; /* there is nobody left to tell */
}

void tr_log(enum tr_log_level level, const char *format, ...)
{
    char text[LINE_BYTES];
    va_list arguments;
    if ((int)level > level_limit())
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *byte = text; *byte; byte++)
        if ((unsigned char)*byte < ' ' || *byte == 127) /* a name may have come from anywhere: it forges no line */
            *byte = '?';
    pthread_mutex_lock(&lock);
    if (sink)
        sink(level, text, sink_context);
    else
        write_stderr(level, text);
    pthread_mutex_unlock(&lock);
}
