/* SPDX-License-Identifier: MIT */
/*
 * test_seed_sync.c: the synchronisation primitives and select in many orders, with deadlines that pass and cancellations that
 * come at any point: what is to exclude excludes, no permit is lost or made, and no wake is lost, or the run would not end. See
 * troupe/sim.h: a failure prints the seed that repeats it.
 */
#include "tests/chance.h"

TR_CHANNEL_TYPE(stream, int64_t);
TR_ONESHOT_TYPE(one, int64_t);

enum { WORKERS = 5, ROUNDS = 6 };

/* ---- locks ---------------------------------------------------------------------------------------------------- */

static struct tr_mutex mutex;
static int inside, entered, left;

static int lock_somehow(struct tr_mutex *lock)
{
    struct tr_case cases[] = { tr_case_lock(lock), tr_case_timer(tr_after(chance_span(40))) };
    switch (tr_random(3)) {
    case 0:
        return tr_mutex_try_lock(lock);
    case 1:
        break;
    default:
        return tr_mutex_lock(lock, chance_deadline());
    }
    int rc = tr_select(cases, 2, chance_deadline(), TR_SELECT_FAIR);
    return rc < 0 ? rc : rc == 1 ? -ETIMEDOUT : cases[0].result;
}

static int work_alone(void *argument)
{
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        chance_pause();
        int rc = lock_somehow(&mutex);
        if (rc < 0) {
            expect(chance_came_to_nothing(rc));
            continue;
        }
        expect_int(inside++, 0);
        int before = entered;
        chance_pause();
        entered = before + 1;
        left++;
        expect_int(--inside, 0);
        expect_int(tr_mutex_unlock(&mutex), 0);
    }
    return 0;
}

SEED_TEST(seeded_mutex_excludes)
{
    struct crew crew = { 0 };
    inside = entered = left = 0;
    tr_mutex_init(&mutex);
    for (int i = 0; i < WORKERS; i++)
        crew_add(&crew, work_alone, NULL);
    crew_end(&crew, 8);
    expect_int(entered, left);
    expect(!tr_mutex_is_locked(&mutex));
}

static struct tr_rwlock rwlock;
static int readers, writers;

static int read_or_write(void *argument)
{
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        chance_pause();
        bool writes = tr_random(3) == 0;
        int rc = writes ? tr_rwlock_write(&rwlock, chance_deadline()) : tr_rwlock_read(&rwlock, chance_deadline());
        if (rc < 0) {
            expect(chance_came_to_nothing(rc));
            continue;
        }
        readers += !writes;
        writers += writes;
        expect(writers == 0 || (writers == 1 && readers == 0));
        chance_pause();
        if (writes && tr_random(2)) {
            writes = false;
            writers--;
            readers++;
            expect_int(tr_rwlock_downgrade(&rwlock), 0);
            chance_pause();
        }
        readers -= !writes;
        writers -= writes;
        expect_int(writes ? tr_rwlock_end_write(&rwlock) : tr_rwlock_end_read(&rwlock), 0);
    }
    return 0;
}

SEED_TEST(seeded_rwlock_excludes_writers)
{
    struct crew crew = { 0 };
    readers = writers = 0;
    expect_int(tr_rwlock_init(&rwlock, 0), 0);
    for (int i = 0; i < WORKERS; i++)
        crew_add(&crew, read_or_write, NULL);
    crew_end(&crew, 8);
    expect_int(tr_rwlock_readers(&rwlock), 0);
    expect(!tr_rwlock_is_written(&rwlock));
}

/* ---- semaphore ------------------------------------------------------------------------------------------------ */

enum { PERMITS = 3 };
static struct tr_semaphore semaphore;
static uint64_t in_use;

static int use_permits(void *argument)
{
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t permits = 1 + tr_random(PERMITS);
        struct tr_case cases[] = { tr_case_timer(tr_after(chance_span(40))), tr_case_acquire(&semaphore, permits) };
        chance_pause();
        int rc = 0;
        if (tr_random(2))
            rc = tr_semaphore_acquire(&semaphore, permits, chance_deadline());
        else if ((rc = tr_select(cases, 2, chance_deadline(), TR_SELECT_FAIR)) >= 0)
            rc = rc == 0 ? -ETIMEDOUT : cases[1].result;
        if (rc < 0) {
            expect(chance_came_to_nothing(rc));
            continue;
        }
        in_use += permits;
        expect(in_use <= PERMITS);
        chance_pause();
        in_use -= permits;
        expect_int(tr_semaphore_release(&semaphore, permits), 0);
    }
    return 0;
}

SEED_TEST(seeded_semaphore_keeps_its_permits)
{
    struct crew crew = { 0 };
    in_use = 0;
    expect_int(tr_semaphore_init(&semaphore, PERMITS), 0);
    for (int i = 0; i < WORKERS; i++)
        crew_add(&crew, use_permits, NULL);
    crew_end(&crew, 8);
    expect_int((int64_t)tr_semaphore_available(&semaphore), PERMITS);
}

/* ---- notify --------------------------------------------------------------------------------------------------- */

static struct tr_notify added;
static int made, items;
static bool no_more;
static struct crew takers;

/* And cancels somebody at the same moment: perhaps the one that has been notified. */
static int add(void *argument)
{
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        chance_pause();
        items++;
        made++;
        if (tr_random(4))
            tr_notify_one(&added);
        else
            tr_notify_last(&added);
        if (tr_random(3) == 0)
            (void)tr_task_cancel(takers.tasks[tr_random(WORKERS)]);
    }
    return 0;
}

/*
 * Takes items as long as there are any, else waits for a notification. Who gets none, for whatever reason, goes without
 * another look: a notification that came at that moment must then be another's.
 */
static int take(void *stays)
{
    while (!no_more) {
        while (items > 0) {
            items--;
            if (tr_random(3) == 0)
                chance_pause();
        }
        struct tr_case cases[] = { tr_case_notified(&added), tr_case_timer(tr_after(chance_span(60))) };
        int rc = 0;
        if (stays) {
            rc = tr_notify_wait(&added, TR_FOREVER);
        } else if (tr_random(2)) {
            rc = tr_notify_wait(&added, chance_deadline());
        } else if ((rc = tr_select(cases, 2, chance_deadline(), TR_SELECT_FAIR)) >= 0) {
            rc = rc == 1 ? -ETIMEDOUT : cases[0].result;
        }
        expect(rc == 0 || chance_came_to_nothing(rc));
        if (rc < 0 && !stays)
            return 0;
    }
    return 0;
}

SEED_TEST(seeded_notification_is_never_lost)
{
    struct crew adders = { 0 };
    struct tr_task steady;
    items = made = 0;
    no_more = false;
    takers.count = 0;
    tr_notify_init(&added);
    for (int i = 0; i < WORKERS; i++)
        crew_add(&takers, take, NULL);
    for (int i = 0; i < 2; i++)
        crew_add(&adders, add, NULL);
    steady = test_task(take, &added);
    crew_end(&adders, 0);
    expect_int(tr_sleep(TR_MILLISECOND), 0); /* all others wait for ever by then */
    expect_int(items, 0);
    no_more = true;
    tr_notify_all(&added);
    crew_end(&takers, 0);
    expect_int(test_join(steady), 0);
    expect_int(made, 2 * ROUNDS);
}

/* ---- meetings ------------------------------------------------------------------------------------------------- */

static struct tr_barrier barrier;
static int came[WORKERS], leaders[ROUNDS];

/* Nobody is ahead of the others by more than a meeting; who fails has not come, and comes again. */
static int meet(void *argument)
{
    intptr_t self = (intptr_t)argument;
    for (int meeting = 0; meeting < ROUNDS;) {
        chance_pause();
        came[self] = meeting + 1;
        int rc = tr_barrier_wait(&barrier, chance_deadline());
        expect(rc >= 0 || chance_came_to_nothing(rc));
        if (rc < 0) {
            came[self] = meeting;
            continue;
        }
        for (int i = 0; i < WORKERS; i++)
            expect(came[i] > meeting);
        leaders[meeting++] += rc;
    }
    return 0;
}

SEED_TEST(seeded_barrier_lets_nobody_ahead)
{
    struct crew crew = { 0 };
    memset(came, 0, sizeof came);
    memset(leaders, 0, sizeof leaders);
    expect_int(tr_barrier_init(&barrier, WORKERS), 0);
    for (intptr_t i = 0; i < WORKERS; i++)
        crew_add(&crew, meet, (void *)i);
    crew_end(&crew, 8);
    for (int i = 0; i < ROUNDS; i++)
        expect_int(leaders[i], 1);
    expect_int(tr_barrier_waiting(&barrier), 0);
}

/* ---- select --------------------------------------------------------------------------------------------------- */

enum { SOURCES = 2, EACH = 10 };
static struct stream_sender senders[SOURCES];
static struct stream_receiver receivers[SOURCES];
static struct tr_semaphore tickets;
static struct one last_word;
static int64_t next_of[SOURCES];
static int tickets_given, tickets_taken;

static int feed_source(void *argument)
{
    intptr_t self = (intptr_t)argument;
    for (int64_t i = 0; i < EACH;) {
        chance_pause();
        int rc = tr_channel_send(senders[self], chance_deadline(), &i);
        expect(rc == 0 || chance_came_to_nothing(rc));
        i += rc == 0;
    }
    tr_channel_sender_close(senders[self]);
    return 0;
}

static int give_tickets(void *argument)
{
    (void)argument;
    for (; tickets_given < EACH; tickets_given++) {
        chance_pause();
        expect_int(tr_semaphore_release(&tickets, 1), 0);
    }
    expect_int(tr_oneshot_send(&last_word, &(int64_t){ 42 }), 0);
    return 0;
}

/* Whatever wins, the others are as if nobody had waited for them: each source comes in order, without a gap. */
static int choose(void *argument)
{
    int64_t values[SOURCES], word = 0;
    (void)argument;
    struct tr_case cases[] = {
        tr_case_receive(receivers[0], &values[0]),
        tr_case_receive(receivers[1], &values[1]),
        tr_case_acquire(&tickets, 1),
        tr_case_oneshot(&last_word, &word),
        tr_case_never(),
    };
    for (int open = SOURCES + 1; open > 0;) {
        cases[4] = tr_random(2) ? tr_case_never() : tr_case_timer(tr_after(chance_span(20)));
        chance_pause();
        int rc = tr_select(cases, 5, chance_deadline(), tr_random(2) ? TR_SELECT_FAIR : TR_SELECT_ORDERED);
        if (rc < 0) {
            expect(chance_came_to_nothing(rc));
        } else if (rc < SOURCES && cases[rc].result == 0) {
            expect_int(values[rc], next_of[rc]++);
        } else if (rc < SOURCES) {
            expect_int(cases[rc].result, -EPIPE);
            cases[rc] = tr_case_never();
            open--;
        } else if (rc == 2) {
            tickets_taken++;
        } else if (rc == 3) {
            expect_int(cases[3].result, 0);
            expect_int(word, 42);
            cases[3] = tr_case_never();
            open--;
        }
    }
    return 0;
}

SEED_TEST(seeded_select_leaves_the_losers_untouched)
{
    struct crew crew = { 0 };
    tickets_given = tickets_taken = 0;
    tr_oneshot_init(&last_word);
    expect_int(tr_semaphore_init(&tickets, 0), 0);
    for (intptr_t i = 0; i < SOURCES; i++) {
        next_of[i] = 0;
        expect_int(tr_channel_create(&senders[i], &receivers[i], 1 + (uint32_t)i, NULL), 0);
        crew_add(&crew, feed_source, (void *)i);
    }
    crew_add(&crew, give_tickets, NULL);
    crew_add(&crew, choose, NULL);
    crew_end(&crew, 8);
    for (int i = 0; i < SOURCES; i++) {
        expect_int(next_of[i], EACH);
        tr_channel_receiver_destroy(receivers[i]);
    }
    expect_int((int64_t)tr_semaphore_available(&tickets), EACH - tickets_taken);
    tr_oneshot_leave(&last_word);
}

int main(void)
{
    return test_main("seed_sync", TESTS(seeded_mutex_excludes, seeded_rwlock_excludes_writers,
                                        seeded_semaphore_keeps_its_permits, seeded_notification_is_never_lost,
                                        seeded_barrier_lets_nobody_ahead, seeded_select_leaves_the_losers_untouched));
}
