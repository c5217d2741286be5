/* SPDX-License-Identifier: MIT */
/*
 * test_census.c: how many workers a runtime has when nobody says: as many as there are CPUs that this process may use, by
 * its affinity and by the quota of its cgroup. A cgroup takes rights to make, so its files are ours here.
 */
#include "actor/runtime.h"
#include "tests/support.h"

#include <sched.h>
#include <sys/stat.h>

static char root[] = "/tmp/troupe-cgroup.XXXXXX";

static const char *under_root(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s%s", root, name);
    return path;
}

/* NULL: there is no such file. */
static void put(const char *name, const char *text)
{
    FILE *file = text ? fopen(under_root(name), "w") : NULL;
    expect(!text || (file && fputs(text, file) >= 0 && fclose(file) == 0));
}

/* What tri_cpu_count says in the cgroup /a/b, with quota files of these texts, if the process is said to be there by `membership`. */
static unsigned count_among(const char *above, const char *a, const char *b, const char *membership)
{
    static const char *const names[] = { "/a/b/cpu.max", "/a/b", "/a/cpu.max", "/a", "/cpu.max", "/membership", "" };
    char path[256];
    expect(mkdtemp(root));
    expect_int(mkdir(under_root("/a"), 0700), 0);
    expect_int(mkdir(under_root("/a/b"), 0700), 0);
    put("/cpu.max", above);
    put("/a/cpu.max", a);
    put("/a/b/cpu.max", b);
    put("/membership", membership);
    snprintf(path, sizeof path, "%s/membership", root);
    unsigned count = tri_cpu_count(root, path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove(under_root(names[i]));
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    return count;
}

/* The same in a cgroup of its own, which looks like the root, with a quota of this text. */
static unsigned count_beside(const char *quota)
{
    return count_among(quota, NULL, NULL, "0::/\n");
}

/* Leaves this thread the first `most` of its CPUs; returns how many those are. */
static unsigned allow(unsigned most)
{
    cpu_set_t have, few;
    unsigned allowed = 0;
    CPU_ZERO(&few);
    expect_int(sched_getaffinity(0, sizeof have, &have), 0);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && allowed < most; cpu++) {
        if (CPU_ISSET(cpu, &have)) {
            CPU_SET(cpu, &few);
            allowed++;
        }
    }
    expect_int(sched_setaffinity(0, sizeof few, &few), 0);
    return allowed;
}

START_TEST(cpus_without_a_quota_are_those_of_the_affinity)
{
    for (unsigned most = TRI_WORKER_LIMIT; most > 0; most--) {
        unsigned allowed = allow(most);
        expect_int(tri_cpu_count("/no/such/directory", "/no/such/file"), allowed);
        expect_int(count_beside("max 100000\n"), allowed);
    }
}
END_TEST

START_TEST(cpus_with_a_quota_are_its_number_rounded_up)
{
    unsigned allowed = allow(TRI_WORKER_LIMIT);
    static const struct {
        const char *text;
        unsigned cpus;
    } quotas[] = {
        { "1000 100000\n", 1 },   { "100000 100000\n", 1 }, { "100001 100000\n", 2 }, { "150000 100000\n", 2 },
        { "200000 100000\n", 2 }, { "250000 100000\n", 3 }, { "25000 50000", 1 },     { "6300000 100000\n", 63 },
    };
    for (size_t i = 0; i < sizeof quotas / sizeof *quotas; i++)
        expect_int(count_beside(quotas[i].text), quotas[i].cpus < allowed ? quotas[i].cpus : allowed);
}
END_TEST

START_TEST(cpus_with_a_quota_that_makes_no_sense_are_those_of_the_affinity)
{
    unsigned allowed = allow(TRI_WORKER_LIMIT);
    static const char *const texts[] = { "", "\n", "100000", "100000 0\n", "0 100000\n", "max\n", "few 100000\n" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_int(count_beside(texts[i]), allowed);
}
END_TEST

#define ONE "100000 100000\n"
#define MANY "6300000 100000\n"

/* A service of a host is in a cgroup of a slice: any of them may have the quota. */
START_TEST(cpus_of_a_cgroup_are_the_least_of_it_and_those_above)
{
    unsigned allowed = allow(TRI_WORKER_LIMIT);
    expect_int(count_among(NULL, NULL, ONE, "0::/a/b\n"), 1);
    expect_int(count_among(NULL, ONE, "max 100000\n", "0::/a/b\n"), 1);
    expect_int(count_among(ONE, MANY, MANY, "0::/a/b\n"), 1);
    expect_int(count_among(NULL, NULL, ONE, "0::/a\n"), allowed);
    expect_int(count_among(NULL, ONE, NULL, "12:cpu,cpuacct:/x\n1:name=systemd:/a\n0::/a\n"), 1);
    expect_int(count_among(NULL, ONE, ONE, "1:cpu:/a/b\n"), allowed); /* version 1 */
    expect_int(count_among(ONE, NULL, NULL, "0::/elsewhere/than/here\n"), 1);
    expect_int(count_among(ONE, NULL, NULL, NULL), 1);
    expect_int(count_among(MANY, NULL, NULL, "0::/../other\n"), allowed);
}
END_TEST

static unsigned workers_wanted;

static void check_workers(void)
{
    expect_int(tr_worker_count(), workers_wanted);
}

START_TEST(workers_by_default_are_the_cpus)
{
    unsetenv("TR_WORKERS");
    workers_wanted = tri_cpu_count(TRI_CGROUP_ROOT, TRI_CGROUP_MEMBERSHIP);
    test_run(0, check_workers);
    workers_wanted = allow(1);
    test_run(0, check_workers);
}
END_TEST

int main(void)
{
    return test_main("census",
                     TESTS(cpus_without_a_quota_are_those_of_the_affinity, cpus_with_a_quota_are_its_number_rounded_up,
                           cpus_with_a_quota_that_makes_no_sense_are_those_of_the_affinity,
                           cpus_of_a_cgroup_are_the_least_of_it_and_those_above, workers_by_default_are_the_cpus));
}
