/* SPDX-License-Identifier: MIT */
/* report.c: failures, and the lines of the printed interleaving. */
#define _GNU_SOURCE
#include "engine.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *tri_report_file(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *tri_report_order(unsigned order)
{
    static const char *const names[] = { "relaxed", "acquire", "release", "acq_rel", "seq_cst" };
    return names[order];
}

static const char *name_kind(unsigned kind)
{
    static const char *const names[] = { "load", "store", "rmw", "cas", "fence", "spin" };
    return names[kind];
}

/* One line of the interleaving; does nothing unless it is being printed. */
void tri_report_step(const struct model_site *site, const char *format, ...)
{
    va_list arguments;
    if (!engine.tracing)
        return;
    printf("      %-10s ", engine.threads[engine.current].name);
    if (site) {
        unsigned index = (unsigned)(site - engine.model->sites);
        printf("%-5s %-7s %s ", name_kind(site->kind), tri_report_order(engine.order[index]), site->text);
    }
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    if (site)
        printf("  [%s:%u %s]", tri_report_file(site->file), site->line, site->function);
    putchar('\n');
}

void tri_report_store(char *text, size_t bytes, const struct location *location, unsigned place)
{
    const struct store *store = &engine.stores[location->order[place]];
    unsigned newer = location->stores - 1 - place;
    int used = store->site ? snprintf(text, bytes, "from %s %s:%u", engine.threads[store->thread].name,
                                      tri_report_file(store->site->file), store->site->line)
                           : snprintf(text, bytes, "the first value");
    if (newer > 0)
        snprintf(text + used, bytes - (size_t)used, ", %u newer", newer);
}

/* Where a plain access stands, from the debugging information, by addr2line. Only for what is printed. */
void tri_report_place(char *text, size_t bytes, const void *pc)
{
    Dl_info info;
    snprintf(text, bytes, "?");
    if (!pc || !dladdr(pc, &info) || !info.dli_fname)
        return;
    unsigned long offset = (unsigned long)((const char *)pc - (const char *)info.dli_fbase) - 1;
    snprintf(text, bytes, "%s+%#lx", tri_report_file(info.dli_fname), offset);
    if (!engine.tracing)
        return;
    char command[1200], line[300] = "";
    snprintf(command, sizeof command, "addr2line -e '%s' %#lx 2>/dev/null", info.dli_fname, offset);
    FILE *pipe = popen(command, "r");
    if (!pipe)
        return;
    if (fgets(line, sizeof line, pipe) && line[0] != '?') {
        line[strcspn(line, " \n")] = 0;
        snprintf(text, bytes, "%s", tri_report_file(line));
    }
    pclose(pipe);
}

static _Noreturn void fail(const char *format, va_list arguments)
{
    vsnprintf(engine.outcome.reason, sizeof engine.outcome.reason, format, arguments);
    if (engine.tracing)
        printf("      ==> %s, in %s\n", engine.outcome.reason, engine.threads[engine.current].name);
    tri_explore_leave(LEAVE_FAILED);
}

void tri_report_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(format, arguments);
}

void model_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(format, arguments);
}

void model_note(const char *format, ...)
{
    va_list arguments;
    if (!engine.tracing)
        return;
    printf("      %-10s -- ", engine.threads[engine.current].name);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}
