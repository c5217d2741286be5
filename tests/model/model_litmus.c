/* SPDX-License-Identifier: MIT */
/*
 * model_litmus.c: the explorer itself under test. Each litmus test of the literature stands here twice or more: with
 * orders too weak, where the surprising outcome must be found ("found" in the name: some execution fails the check), and
 * with orders just strong enough, where it must not.
 *
 * Names as in the literature: SB store buffering, MP message passing, IRIW independent reads of independent writes,
 * 2+2W, WRC, ISA2, R, S, Co.. coherence. LB, load buffering, is not explored: the last case says so.
 */
#include "model.h"

static TRI_ATOMIC(int) x, y, z;
static int data;
static int a, b, c, d;

#define BODY(name, ...)                                                                                                \
    static void name(void)                                                                                             \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
    }
#define NEVER(name, ...)                                                                                               \
    static void name(void)                                                                                             \
    {                                                                                                                  \
        model_assert(!(__VA_ARGS__));                                                                                  \
    }

/* ---- SB ---- */
#define SB(name, store, load, between)                                                                                 \
    BODY(name##_1, tri_store(&x, 1, store); between; a = tri_load(&y, load))                                           \
    BODY(name##_2, tri_store(&y, 1, store); between; b = tri_load(&x, load))
SB(sb_relaxed, TRI_RELAXED, TRI_RELAXED, (void)0)
SB(sb_acquire, TRI_RELEASE, TRI_ACQUIRE, (void)0)
SB(sb_half, TRI_SEQ_CST, TRI_ACQUIRE, (void)0)
SB(sb_seq, TRI_SEQ_CST, TRI_SEQ_CST, (void)0)
SB(sb_fence, TRI_RELAXED, TRI_RELAXED, tri_fence(TRI_SEQ_CST))
SB(sb_weak_fence, TRI_RELAXED, TRI_RELAXED, tri_fence(TRI_ACQ_REL))
BODY(sb_rmw_1, tri_exchange(&x, 1, TRI_ACQ_REL); a = tri_fetch_add(&y, 0, TRI_ACQ_REL))
BODY(sb_rmw_2, tri_exchange(&y, 1, TRI_ACQ_REL); b = tri_fetch_add(&x, 0, TRI_ACQ_REL))
BODY(sb_mixed_1, tri_exchange(&x, 1, TRI_ACQ_REL); tri_fence_after_rmw(); a = tri_load(&y, TRI_RELAXED))
BODY(sb_mixed_2, tri_store(&y, 1, TRI_SEQ_CST); b = tri_load(&x, TRI_SEQ_CST))
NEVER(sb_check, a == 0 && b == 0)

/* ---- MP, with plain data: too weak an order is a race ---- */
#define MP(name, store, load)                                                                                          \
    BODY(name##_1, data = 1; tri_store(&x, 1, store))                                                                  \
    BODY(name##_2, if (tri_load(&x, load)) a = data)
MP(mp_relaxed, TRI_RELAXED, TRI_RELAXED)
MP(mp_no_acquire, TRI_RELEASE, TRI_RELAXED)
MP(mp_no_release, TRI_RELAXED, TRI_ACQUIRE)
MP(mp_right, TRI_RELEASE, TRI_ACQUIRE)
BODY(mp_fence_1, data = 1; tri_fence(TRI_RELEASE); tri_store(&x, 1, TRI_RELAXED))
BODY(
    mp_fence_2, if (tri_load(&x, TRI_RELAXED)) {
        tri_fence(TRI_ACQUIRE);
        a = data;
    })
BODY(mp_late_fence_1, tri_fence(TRI_RELEASE); data = 1; tri_store(&x, 1, TRI_RELAXED))
BODY(mp_early_fence_2, tri_fence(TRI_ACQUIRE); if (tri_load(&x, TRI_RELAXED)) a = data)
BODY(mp_atomic_1, tri_store(&y, 1, TRI_RELAXED); tri_store(&x, 1, TRI_RELAXED))
BODY(mp_atomic_2, a = tri_load(&x, TRI_RELAXED); b = tri_load(&y, TRI_RELAXED))
BODY(mp_atomic_release_1, tri_store(&y, 1, TRI_RELAXED); tri_store(&x, 1, TRI_RELEASE))
BODY(mp_atomic_acquire_2, a = tri_load(&x, TRI_ACQUIRE); b = tri_load(&y, TRI_RELAXED))
NEVER(mp_check, a == 1 && b == 0)
BODY(mp_cas_fail_2, int e = 0; if (!tri_cas(&x, &e, 2, TRI_ACQ_REL, TRI_ACQUIRE)) a = data)
BODY(mp_cas_weak_2, int e = 0; if (!tri_cas(&x, &e, 2, TRI_ACQ_REL, TRI_RELAXED)) a = data)
BODY(mp_spin_2, while (!tri_load(&x, TRI_ACQUIRE)) tri_spin(); a = data)
BODY(mp_spin_relaxed_2, while (!tri_load(&x, TRI_RELAXED)) tri_spin(); tri_fence(TRI_ACQUIRE); a = data)
NEVER(mp_spin_check, data != 1)

/* ---- release sequences: through read-modify-writes of any order, not through stores ---- */
BODY(rs_rmw_2, tri_fetch_add(&x, 1, TRI_RELAXED))
BODY(rs_store_2, if (tri_load(&x, TRI_RELAXED) == 1) tri_store(&x, 2, TRI_RELAXED))
BODY(rs_3, if (tri_load(&x, TRI_ACQUIRE) == 2) a = data)
BODY(rs_own_store_1, data = 1; tri_store(&x, 1, TRI_RELEASE); tri_store(&x, 2, TRI_RELAXED))

/* ---- IRIW ---- */
#define IRIW(name, load, between)                                                                                      \
    BODY(name##_3, a = tri_load(&x, load); between; b = tri_load(&y, load))                                            \
    BODY(name##_4, c = tri_load(&y, load); between; d = tri_load(&x, load))
IRIW(iriw_acquire, TRI_ACQUIRE, (void)0)
IRIW(iriw_seq, TRI_SEQ_CST, (void)0)
IRIW(iriw_fence, TRI_RELAXED, tri_fence(TRI_SEQ_CST))
BODY(store_x, tri_store(&x, 1, TRI_RELEASE))
BODY(store_y, tri_store(&y, 1, TRI_RELEASE))
BODY(store_x_seq, tri_store(&x, 1, TRI_SEQ_CST))
BODY(store_y_seq, tri_store(&y, 1, TRI_SEQ_CST))
NEVER(iriw_check, a == 1 && b == 0 && c == 1 && d == 0)

/* ---- coherence, also for relaxed ---- */
BODY(two_stores, tri_store(&x, 1, TRI_RELAXED); tri_store(&x, 2, TRI_RELAXED))
BODY(two_loads, a = tri_load(&x, TRI_RELAXED); b = tri_load(&x, TRI_RELAXED))
BODY(two_other_loads, c = tri_load(&x, TRI_RELAXED); d = tri_load(&x, TRI_RELAXED))
NEVER(corr_check, a > b)
NEVER(corr_old_found, a == 0 && b == 0)
BODY(store_1, tri_store(&x, 1, TRI_RELAXED))
BODY(store_2, tri_store(&x, 2, TRI_RELAXED))
NEVER(corr2_check, a == 1 && b == 2 && c == 2 && d == 1)
BODY(cowr_1, tri_store(&x, 1, TRI_RELAXED); a = tri_load(&x, TRI_RELAXED))
NEVER(cowr_check, a == 0)
NEVER(cowr_other_found, a == 2)
BODY(corw_1, a = tri_load(&x, TRI_RELAXED); tri_store(&x, 1, TRI_RELAXED))
NEVER(corw_check, a == 2 && tri_load(&x, TRI_RELAXED) == 2)

/* ---- 2+2W: stores that land in front of ones made before ---- */
#define WW(name, second)                                                                                               \
    BODY(name##_1, tri_store(&x, 1, TRI_RELAXED); tri_store(&y, 2, second))                                            \
    BODY(name##_2, tri_store(&y, 1, TRI_RELAXED); tri_store(&x, 2, second))
WW(ww_release, TRI_RELEASE)
BODY(ww_seq_1, tri_store(&x, 1, TRI_SEQ_CST); tri_store(&y, 2, TRI_SEQ_CST))
BODY(ww_seq_2, tri_store(&y, 1, TRI_SEQ_CST); tri_store(&x, 2, TRI_SEQ_CST))
NEVER(ww_check, tri_load(&x, TRI_RELAXED) == 1 && tri_load(&y, TRI_RELAXED) == 1)

/* ---- WRC, ISA2: happens-before is transitive ---- */
BODY(wrc_1, data = 1; tri_store(&x, 1, TRI_RELEASE))
BODY(wrc_2, if (tri_load(&x, TRI_ACQUIRE)) tri_store(&y, 1, TRI_RELEASE))
BODY(wrc_weak_2, if (tri_load(&x, TRI_RELAXED)) tri_store(&y, 1, TRI_RELEASE))
BODY(wrc_3, if (tri_load(&y, TRI_ACQUIRE)) a = data)

/* ---- R and S with fences of S, and the corner where S is not the interleaving ---- */
BODY(r_1, tri_store(&x, 1, TRI_RELAXED); tri_fence(TRI_SEQ_CST); tri_store(&y, 1, TRI_RELAXED))
BODY(r_2, tri_store(&y, 2, TRI_RELAXED); tri_fence(TRI_SEQ_CST); a = tri_load(&x, TRI_RELAXED))
BODY(r_weak_2, tri_store(&y, 2, TRI_RELAXED); tri_fence(TRI_ACQ_REL); a = tri_load(&x, TRI_RELAXED))
NEVER(r_check, tri_load(&y, TRI_RELAXED) == 2 && a == 0)
BODY(late_1, tri_store(&x, 1, TRI_SEQ_CST); tri_store(&y, 1, TRI_SEQ_CST))
BODY(late_2, a = tri_load(&y, TRI_SEQ_CST); tri_store(&z, 1, TRI_RELAXED))
BODY(late_3, b = tri_load(&z, TRI_RELAXED); c = tri_load(&x, TRI_SEQ_CST))
NEVER(late_check, a == 1 && b == 1 && c == 0)

/* ---- read-modify-writes ---- */
BODY(add_1, a = tri_fetch_add(&x, 1, TRI_RELAXED))
BODY(add_2, b = tri_fetch_add(&x, 1, TRI_RELAXED))
NEVER(add_check, a == b || tri_load(&x, TRI_RELAXED) != 2)
BODY(lost_1, tri_store(&x, tri_load(&x, TRI_RELAXED) + 1, TRI_RELAXED))
NEVER(lost_found, tri_load(&x, TRI_RELAXED) != 2)
BODY(cas_1, int e = 0; a = tri_cas(&x, &e, 1, TRI_RELAXED, TRI_RELAXED))
BODY(cas_2, int e = 0; b = tri_cas(&x, &e, 2, TRI_RELAXED, TRI_RELAXED))
NEVER(cas_check, a == b)

/* ---- locks, deadlock, lost wake ---- */
BODY(lock_1, while (tri_exchange(&x, 1, TRI_ACQUIRE)) tri_spin(); data++; tri_store(&x, 0, TRI_RELEASE))
BODY(lock_weak_1, while (tri_exchange(&x, 1, TRI_ACQUIRE)) tri_spin(); data++; tri_store(&x, 0, TRI_RELAXED))
NEVER(lock_check, data != 2)
BODY(hold_1, while (tri_exchange(&x, 1, TRI_ACQUIRE)) tri_spin(); while (tri_exchange(&y, 1, TRI_ACQUIRE)) tri_spin();
     tri_store(&y, 0, TRI_RELEASE); tri_store(&x, 0, TRI_RELEASE))
BODY(hold_2, while (tri_exchange(&y, 1, TRI_ACQUIRE)) tri_spin(); while (tri_exchange(&x, 1, TRI_ACQUIRE)) tri_spin();
     tri_store(&x, 0, TRI_RELEASE); tri_store(&y, 0, TRI_RELEASE))
static bool is_woken(const void *unused)
{
    (void)unused;
    return model_peek(&z) != 0;
}
#define SLEEP(name, sleeper, waker)                                                                                    \
    BODY(name##_1, tri_store(&x, 1, TRI_RELAXED); sleeper;                                                             \
         if (!tri_load(&y, TRI_RELAXED)) model_block(is_woken, NULL))                                                  \
    BODY(name##_2, tri_store(&y, 1, TRI_RELAXED); waker; if (tri_load(&x, TRI_RELAXED)) tri_store(&z, 1, TRI_RELAXED))
SLEEP(sleep_right, tri_fence(TRI_SEQ_CST), tri_fence(TRI_SEQ_CST))
SLEEP(sleep_weak, tri_fence(TRI_SEQ_CST), tri_fence(TRI_ACQ_REL))

BODY(lb_1, a = tri_load(&x, TRI_RELAXED); tri_store(&y, 1, TRI_RELAXED))
BODY(lb_2, b = tri_load(&y, TRI_RELAXED); tri_store(&x, 1, TRI_RELAXED))
NEVER(lb_check, a == 1 && b == 1)

#define TWO(title, t, check_, fails_)                                                                                  \
    {                                                                                                                  \
        .name = title, .threads = { { "T1", t##_1, 0 }, { "T2", t##_2, 0 } }, .check = check_, .fails = fails_         \
    }
#define OF(title, check_, fails_, ...)                                                                                 \
    {                                                                                                                  \
        .name = title, .threads = { __VA_ARGS__ }, .check = check_, .fails = fails_                                    \
    }
#define T(name_)                                                                                                       \
    {                                                                                                                  \
#name_, name_, 0                                                                                               \
    }

static const struct model_case cases[] = {
    TWO("SB relaxed, found", sb_relaxed, sb_check, true),
    TWO("SB release/acquire, found", sb_acquire, sb_check, true),
    TWO("SB seq_cst stores, acquire loads, found", sb_half, sb_check, true),
    TWO("SB seq_cst", sb_seq, sb_check, false),
    TWO("SB seq_cst fences", sb_fence, sb_check, false),
    TWO("SB acq_rel fences, found", sb_weak_fence, sb_check, true),
    TWO("SB acq_rel rmw only", sb_rmw, sb_check, false),
    TWO("SB fence after rmw against seq_cst", sb_mixed, sb_check, false),
    TWO("MP relaxed, race found", mp_relaxed, NULL, true),
    TWO("MP no acquire, race found", mp_no_acquire, NULL, true),
    TWO("MP no release, race found", mp_no_release, NULL, true),
    TWO("MP release/acquire", mp_right, NULL, false),
    TWO("MP fences", mp_fence, NULL, false),
    OF("MP release fence too early, race found", NULL, true, T(mp_late_fence_1), T(mp_fence_2)),
    OF("MP acquire fence too early, race found", NULL, true, T(mp_fence_1), T(mp_early_fence_2)),
    TWO("MP atomics relaxed, found", mp_atomic, mp_check, true),
    OF("MP atomics, release only, found", mp_check, true, T(mp_atomic_release_1), T(mp_atomic_2)),
    OF("MP atomics, acquire only, found", mp_check, true, T(mp_atomic_1), T(mp_atomic_acquire_2)),
    OF("MP atomics, release/acquire", mp_check, false, T(mp_atomic_release_1), T(mp_atomic_acquire_2)),
    OF("MP failed cas acquires", NULL, false, T(mp_right_1), T(mp_cas_fail_2)),
    OF("MP failed cas relaxed, race found", NULL, true, T(mp_right_1), T(mp_cas_weak_2)),
    OF("MP spin", mp_spin_check, false, T(mp_right_1), T(mp_spin_2)),
    OF("MP spin relaxed, then fence", mp_spin_check, false, T(mp_right_1), T(mp_spin_relaxed_2)),
    OF("MP spin on relaxed store, race found", NULL, true, T(mp_relaxed_1), T(mp_spin_2)),
    OF("release sequence through rmw", NULL, false, T(mp_right_1), T(rs_rmw_2), T(rs_3)),
    OF("no release sequence through a store, race found", NULL, true, T(mp_right_1), T(rs_store_2), T(rs_3)),
    OF("nor through one's own (C++20), race found", NULL, true, T(rs_own_store_1), T(rs_3)),
    OF("IRIW acquire, found", iriw_check, true, T(store_x), T(store_y), T(iriw_acquire_3), T(iriw_acquire_4)),
    OF("IRIW seq_cst loads, release stores (C++20)", iriw_check, false, T(store_x), T(store_y), T(iriw_seq_3),
       T(iriw_seq_4)),
    OF("IRIW seq_cst", iriw_check, false, T(store_x_seq), T(store_y_seq), T(iriw_seq_3), T(iriw_seq_4)),
    OF("IRIW seq_cst fences", iriw_check, false, T(store_x), T(store_y), T(iriw_fence_3), T(iriw_fence_4)),
    OF("CoRR", corr_check, false, T(two_stores), T(two_loads)),
    OF("CoRR may lag, found", corr_old_found, true, T(two_stores), T(two_loads)),
    OF("CoRR two readers agree", corr2_check, false, T(store_1), T(store_2), T(two_loads), T(two_other_loads)),
    OF("CoWR own store", cowr_check, false, T(cowr_1), T(store_2)),
    OF("CoWR other's store, found", cowr_other_found, true, T(cowr_1), T(store_2)),
    OF("CoRW", corw_check, false, T(corw_1), T(store_2)),
    TWO("2+2W release, found", ww_release, ww_check, true),
    TWO("2+2W seq_cst", ww_seq, ww_check, false),
    OF("WRC", NULL, false, T(wrc_1), T(wrc_2), T(wrc_3)),
    OF("WRC relaxed in the middle, race found", NULL, true, T(wrc_1), T(wrc_weak_2), T(wrc_3)),
    TWO("R seq_cst fences", r, r_check, false),
    OF("R acq_rel fence, found", r_check, true, T(r_1), T(r_weak_2)),
    OF("S against the interleaving, found", late_check, true, T(late_1), T(late_2), T(late_3)),
    TWO("rmw atomic", add, add_check, false),
    OF("load and store are not, found", lost_found, true, T(lost_1), { "lost_2", lost_1, 0 }),
    TWO("cas one winner", cas, cas_check, false),
    OF("lock", lock_check, false, T(lock_1), { "lock_2", lock_1, 0 }),
    OF("lock relaxed unlock, race found", NULL, true, T(lock_weak_1), { "lock_2", lock_weak_1, 0 }),
    TWO("locks crossed, deadlock found", hold, NULL, true),
    TWO("sleep with fences", sleep_right, NULL, false),
    TWO("sleep with a weak fence, lost wake found", sleep_weak, NULL, true),
    TWO("LB is not explored", lb, lb_check, false),
    { 0 },
};
MODEL(cases);
