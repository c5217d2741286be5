/* SPDX-License-Identifier: MIT */
/*
 * test_census.c: how many workers a runtime has when nobody says: as many as there are CPUs that this process may use, by
 * its affinity and by the quota of its cgroup. A cgroup takes rights to make, so its file is one of ours here.
 */
#include "actor/runtime.h"
#include "tests/support.h"

#include <sched.h>

/* What tri_cpu_count says beside a quota file of this text. */
static unsigned count_beside(const char *quota)
{
    char path[] = "/tmp/troupe-quota.XXXXXX";
    int fd = mkstemp(path);
    expect(fd >= 0);
    expect_int(write(fd, quota, strlen(quota)), (int64_t)strlen(quota));
    close(fd);
    unsigned count = tri_cpu_count(path);
    unlink(path);
    return count;
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
        expect_int(tri_cpu_count("/no/such/file"), allowed);
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

static unsigned workers_wanted;

static void check_workers(void)
{
    expect_int(tr_worker_count(), workers_wanted);
}

START_TEST(workers_by_default_are_the_cpus)
{
    unsetenv("TR_WORKERS");
    workers_wanted = tri_cpu_count(TRI_QUOTA_PATH);
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
                           workers_by_default_are_the_cpus));
}
