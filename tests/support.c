/* SPDX-License-Identifier: MIT */
/*
 * support.c: expectations, the census at both ends of a test, and runtimes of the variant under test (see support.h).
 */
#include "support.h"
#include "descriptors.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- seeds ---------------------------------------------------------------------------------------------------- */

static char seed_line[96]; /* of the seed that is run: made beforehand, for the signal handler */

static void print_seed(void)
{
    ssize_t ignored = write(STDERR_FILENO, seed_line, strlen(seed_line));
    (void)ignored;
}

static void on_signal(int number)
{
    print_seed();
    signal(number, SIG_DFL);
    raise(number);
}

static int run_seed(void *body)
{
    uint64_t seed = tr_sim_seed();
    snprintf(seed_line, sizeof seed_line, "seed %llu: TR_SEED=%llu runs it alone\n", (unsigned long long)seed,
             (unsigned long long)seed);
    (*(void (**)(void))body)();
    return 0;
}

void test_seeds(void (*body)(void))
{
    struct tr_options options = test_options(1);
    struct tr_sim sim = { .runs = 200 * test_stress(), .options = &options };
    static const int deadly[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
        signal(deadly[i], on_signal);
    expect_int(tr_sim_run(&sim, run_seed, &body), 0);
    seed_line[0] = 0;
}

/* ---- expectations --------------------------------------------------------------------------------------------- */

void test_fail(const char *file, int line, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%d: %s\n", file, line, text);
    print_seed();
    const char *fork_mode = getenv("CK_FORK");
    if (fork_mode && strcmp(fork_mode, "no") == 0)
        abort(); /* under a debugger: a jump out of a worker's thread would hide the cause */
    _exit(99);
}

void test_wait_turn(const char *file, int line, const char *text, int turn)
{
    if (turn >= 60000)
        test_fail(file, line, "never came true: %s", text);
    int rc = tr_sleep(TR_MILLISECOND);
    if (rc != 0)
        test_fail(file, line, "sleep failed (%d) while waiting for: %s", rc, text);
}

/* ---- memory of a test ----------------------------------------------------------------------------------------- */

/* Memory of the running test, freed by the census at its end. */
struct test_block {
    struct test_block *next;
    _Alignas(max_align_t) unsigned char bytes[];
};

static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct test_block *blocks;

void *test_new(size_t bytes)
{
    struct test_block *block = calloc(1, sizeof *block + bytes);
    if (!block)
        abort();
    pthread_mutex_lock(&blocks_lock);
    block->next = blocks;
    blocks = block;
    pthread_mutex_unlock(&blocks_lock);
    return block->bytes;
}

static void free_blocks(void)
{
    while (blocks) {
        struct test_block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

/* ---- census --------------------------------------------------------------------------------------------------- */

static struct tr_census census_before;

static bool census_is_back(struct tr_census *now)
{
    tr_census(now);
    return memcmp(now, &census_before, sizeof *now) == 0;
}

void test_census_begin(void)
{
    tr_sleep(1); /* the record that stands for this thread is made at its first wait, and lives as long as it */
    tr_census(&census_before);
    descriptors_begin();
}

void test_census_end(void)
{
    struct tr_census now;
    free_blocks();
    /* Foreign threads give their records back as they end, which pthread_join may precede by a moment. */
    for (int turn = 0; !census_is_back(&now) && turn < 2000; turn++)
        usleep(1000);
    expect_int((int64_t)now.tasks, (int64_t)census_before.tasks);
    expect_int((int64_t)now.stacks, (int64_t)census_before.stacks);
    expect_int((int64_t)now.slots, (int64_t)census_before.slots);
    expect_int((int64_t)now.storages, (int64_t)census_before.storages);
    expect_int((int64_t)now.streams, (int64_t)census_before.streams);
    expect_int((int64_t)now.timers, (int64_t)census_before.timers);
    expect_int((int64_t)now.jobs, (int64_t)census_before.jobs);
    expect_int((int64_t)now.groups, (int64_t)census_before.groups);
    expect_int((int64_t)now.tokens, (int64_t)census_before.tokens);
    descriptors_end();
}

/* ---- running -------------------------------------------------------------------------------------------------- */

static bool environment_flag(const char *name)
{
    const char *value = getenv(name);
    return value && strcmp(value, "1") == 0;
}

struct tr_options test_options(unsigned workers)
{
    return (struct tr_options){
        .workers = workers,
        .shutdown_ns = LONG_TIME,
        .migrate_always = environment_flag("TR_TEST_MIGRATE"),
        .no_caches = environment_flag("TR_TEST_NO_CACHES"),
    };
}

struct run {
    void (*body)(void);
};

static int run_main(void *argument)
{
    struct run *run = argument;
    run->body();
    return 0;
}

void test_run_with(const struct tr_options *options, void (*body)(void))
{
    struct run run = { body };
    expect_int(tr_run(options, run_main, &run), 0);
}

void test_run(unsigned workers, void (*body)(void))
{
    struct tr_options options = test_options(workers);
    test_run_with(&options, body);
}

int test_in_child(int (*body)(void))
{
    int status;
    pid_t child = fork();
    expect(child >= 0);
    if (child == 0) {
        alarm(60);
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
        _exit(body());
    }
    expect_int(waitpid(child, &status, 0), child);
    return status;
}

void test_settle(void)
{
    for (int turn = 0; turn < 32; turn++)
        expect_int(tr_yield(), 0);
}

static double test_seconds(void)
{
    const char *value = getenv("TR_TEST_TIMEOUT");
    return value && atof(value) > 0 ? atof(value) : 120;
}

void test_limit_memory(struct rlimit *before)
{
    struct rlimit least;
    expect_int(getrlimit(RLIMIT_AS, before), 0);
    least = *before;
    least.rlim_cur = 1 << 20;
    expect_int(setrlimit(RLIMIT_AS, &least), 0);
}

bool test_can_limit_memory(void)
{
    struct rlimit before;
    if (TEST_SANITIZED)
        return false;
    test_limit_memory(&before);
    void *more = mmap(NULL, 4 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect_int(setrlimit(RLIMIT_AS, &before), 0);
    if (more != MAP_FAILED)
        munmap(more, 4 << 20);
    return more == MAP_FAILED;
}

bool test_backend_here(const char *program)
{
    const char *backend = getenv("TR_BACKEND");
    return !backend || strcmp(backend, "uring") != 0 || ring_here(program);
}

int test_main(const char *suite_name, const TTest *const *tests)
{
    if (!test_backend_here(suite_name))
        return EXIT_SKIPPED;
    Suite *suite = suite_create(suite_name);
    TCase *tests_of_suite = tcase_create(suite_name);
    tcase_set_timeout(tests_of_suite, test_seconds());
    tcase_add_checked_fixture(tests_of_suite, test_census_begin, test_census_end);
    for (; *tests; tests++)
        tcase_add_test(tests_of_suite, *tests);
    suite_add_tcase(suite, tests_of_suite);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

unsigned test_stress(void)
{
    const char *value = getenv("TR_STRESS");
    long times = value ? strtol(value, NULL, 10) : 1;
    return times < 1 ? 1 : (unsigned)times;
}

/* ---- logs ----------------------------------------------------------------------------------------------------- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[65536];
static size_t log_length;

static void log_to_memory(enum tr_log_level level, const char *line, void *context)
{
    (void)level;
    (void)context;
    pthread_mutex_lock(&log_lock);
    size_t room = sizeof log_text - log_length;
    int n = snprintf(log_text + log_length, room, "%s\n", line);
    if (n > 0)
        log_length += (size_t)n < room ? (size_t)n : room - 1;
    pthread_mutex_unlock(&log_lock);
}

void test_log_capture(enum tr_log_level most)
{
    pthread_mutex_lock(&log_lock);
    log_length = 0;
    log_text[0] = 0;
    pthread_mutex_unlock(&log_lock);
    tr_log_set(log_to_memory, NULL, most);
}

unsigned test_log_count(const char *text)
{
    unsigned count = 0;
    pthread_mutex_lock(&log_lock);
    for (const char *at = log_text; (at = strstr(at, text)); at++)
        count++;
    pthread_mutex_unlock(&log_lock);
    return count;
}

bool test_log_has(const char *text)
{
    return test_log_count(text) > 0;
}

void test_log_release(void)
{
    tr_log_set(NULL, NULL, TR_LOG_INFO);
}

/* ---- actors --------------------------------------------------------------------------------------------------- */

int64_t test_ask(struct number_address address, int64_t kind, int64_t value)
{
    int64_t answer = INT64_MIN;
    expect_int(tr_call(address, &answer, tr_after(LONG_TIME), &(struct number){ .kind = kind, .value = value }), 0);
    return answer;
}

struct number_address test_loop(int (*body)(void *argument), void *argument, uint32_t capacity, struct tr_task *task)
{
    struct number_address address;
    expect_int(tr_spawn(&address, body, argument,
                        (&(struct tr_actor_options){ .name = "loop", .capacity = capacity, .task = task })),
               0);
    return address;
}

struct number_address test_handler(int (*on_message)(void *state, void *message), void *state, uint32_t capacity,
                                   struct tr_task *task)
{
    struct number_address address;
    expect_int(tr_spawn_handler(&address, on_message, state,
                                (&(struct tr_actor_options){ .name = "handler", .capacity = capacity, .task = task })),
               0);
    return address;
}

struct tr_task test_task(int (*body)(void *argument), void *argument)
{
    struct tr_task task;
    expect_int(tr_task_spawn(&task, body, argument, NULL), 0);
    return task;
}

int test_accept_one(void *argument)
{
    struct tr_stream *stream;
    int rc = tr_tcp_accept(argument, &stream, TR_FOREVER);
    if (rc == 0)
        tr_stream_close(stream);
    return rc;
}

int test_join(struct tr_task task)
{
    int result = INT32_MIN;
    expect_int(tr_task_join(task, &result, tr_after(LONG_TIME)), 0);
    return result;
}

unsigned test_queued(struct number_address address)
{
    struct tr_actor_info info;
    expect_int(tr_actor_info(address, &info), 0);
    return info.queued;
}

unsigned test_owed(struct number_address address)
{
    struct tr_actor_info info;
    expect_int(tr_actor_info(address, &info), 0);
    return info.owed;
}
