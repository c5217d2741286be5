#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# full.sh: ./run test full. Everything, in parts that can be started alone and are not run again once they have passed.
#
# The one idea: a part that has passed leaves a marker in build/full/ with the fingerprint of the tree it ran on (every
# file but build/). Interrupt it at will; the next run goes on with what is left.
#
#   ./run test full              all parts
#   ./run test full list         names them
#   ./run test full PART...      these parts, whether they have passed before or not
#   FUZZ_SECONDS=600             how long each fuzzer runs
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export ROOT LC_ALL=C.UTF-8
cd "$ROOT"
# shellcheck source=tests/lib/packages.sh
. tests/lib/packages.sh
# shellcheck source=tests/lib/build.sh
. tests/lib/build.sh
# shellcheck source=tests/lib/tally.sh
. tests/lib/tally.sh
# shellcheck source=tests/lint.sh
. tests/lint.sh

PARTS='quick            ./run test: gcc, address and undefined sanitizers, both backends, models at bound 2, end to end
lint             ./run lint
gcc-release      gcc, optimised, without assertions, -Werror
gcc-debug        gcc, not optimised, with assertions, -Werror
clang-release    clang, optimised, without assertions, -Werror
clang-debug      clang, not optimised, with assertions, -Werror
clang-asan       clang, address and undefined sanitizers
gcc-tsan         gcc, thread sanitizer
clang-tsan       clang, thread sanitizer
migrate          every wake moves its task to another worker (address sanitizer)
no-caches        every stack, record and slot through the shared lists (address sanitizer)
workers          one worker; four workers, migrating, without caches (address sanitizer)
no-ring          io_uring denied, as in a container and as in an emulator (address sanitizer)
stress           the stress programs at twenty times their size; a hundred million switches under forced migration
random           ten million random operations, a million concurrent histories for each way to communicate; optimised
models           every model at bound 3
mutants          every memory order weakened by one step, and seeded mistakes: each must be caught
fuzz             each fuzzer for FUZZ_SECONDS; what they have found reaches every line of both parsers
bench            each benchmark of ours, very small: it runs, and allocates nothing once warm
aarch64          cross build, and what needs no ring under qemu-user
debian12         ./run demo and ./run test in a fresh Debian 12 root
debian13         ./run demo and ./run test in a fresh Debian 13 root'

CHECKED_OPTIONS=(-Dtests=enabled -Dwerror=true)
RELEASE_OPTIONS=(-Dtests=enabled -Dwerror=true -Dbuildtype=release -Db_ndebug=true)

part_names()
{
    awk '{print $1}' <<<"$PARTS"
}

# variant NAME OPTIONS...: builds build/NAME and runs the suites there
variant()
{
    local name=$1
    shift
    build_checked "$name" "build/$name" "$@" || return 0
    LOG_BASE=$name test_suites "$name: " "build/$name" ${WRAPPER:+"$WRAPPER"}
    test_e2e "$name: " "build/$name"
}

# The end-to-end tests are long here and in gcc-release; the other variants are after what the suites do not reach.
part_quick()
{
    export FULL=1
    test_quick
}

part_lint()
{
    packages_need lint
    lint_all
}

part_gcc-release()
{
    export FULL=1
    CC=gcc variant gcc-release "${RELEASE_OPTIONS[@]}"
}

part_gcc-debug()
{
    CC=gcc variant gcc-debug "${CHECKED_OPTIONS[@]}" -Dbuildtype=debug
}

part_clang-release()
{
    packages_need clang
    CC=clang variant clang-release "${RELEASE_OPTIONS[@]}"
}

part_clang-debug()
{
    packages_need clang
    CC=clang variant clang-debug "${CHECKED_OPTIONS[@]}" -Dbuildtype=debug
}

part_clang-asan()
{
    packages_need clang
    CC=clang variant clang-asan "${CHECKED_OPTIONS[@]}" -Db_sanitize=address,undefined
}

# The thread sanitizer of these compilers cannot live with the widest randomisation of addresses.
part_gcc-tsan()
{
    WRAPPER="setarch $(uname -m) -R" CC=gcc variant gcc-tsan "${CHECKED_OPTIONS[@]}" -Db_sanitize=thread
}

part_clang-tsan()
{
    packages_need clang
    WRAPPER="setarch $(uname -m) -R" CC=clang variant clang-tsan "${CHECKED_OPTIONS[@]}" -Db_sanitize=thread
}

part_migrate()
{
    build_checked asan build/asan "${ASAN_BUILD_OPTIONS[@]}" || return 0
    TR_TEST_MIGRATE=1 LOG_BASE=migrate test_suites "migrate: " build/asan
}

part_no-caches()
{
    build_checked asan build/asan "${ASAN_BUILD_OPTIONS[@]}" || return 0
    TR_TEST_NO_CACHES=1 LOG_BASE=no-caches test_suites "no caches: " build/asan
}

part_workers()
{
    build_checked asan build/asan "${ASAN_BUILD_OPTIONS[@]}" || return 0
    TR_WORKERS=1 LOG_BASE=workers-1 test_suites "one worker: " build/asan
    TR_WORKERS=4 TR_TEST_NO_CACHES=1 TR_TEST_MIGRATE=1 LOG_BASE=workers-4 \
        test_suites "four workers, migrating, no caches: " build/asan
}

part_no-ring()
{
    local error
    build_checked asan build/asan "${ASAN_BUILD_OPTIONS[@]}" || return 0
    for error in EPERM ENOSYS; do
        LOG_BASE=no-ring-$error tally_meson "io_uring_setup answers $error" build/asan --suite alone \
            --wrapper "python3 $ROOT/tests/lib/deny_uring.py $error"
    done
}

part_stress()
{
    build_checked asan build/asan "${ASAN_BUILD_OPTIONS[@]}" || return 0
    TR_STRESS=20 LOG_BASE=stress tally_meson "stress, twenty times" build/asan --suite stress -t 10
    CC=gcc build_checked gcc-release build/gcc-release "${RELEASE_OPTIONS[@]}" || return 0
    TR_STRESS=500 tally "a hundred million switches, migrating" build/gcc-release/tests/stress_migration
}

# What is promised for each of them, and looked for in what the programs say they have done.
RANDOM_OPERATIONS=10000000
RANDOM_PRIMITIVES=(channel queue oneshot mutex rwlock semaphore notify once cell latch barrier condition broadcast watch
    'delay queue')
RANDOM_HISTORIES=1000000
RANDOM_RECORDED=(channel queue oneshot mutex rwlock semaphore notify once cell latch broadcast watch)

# random_program TIMES PROGRAM: its figures go to the terminal, and to the file of all
random_program()
{
    TR_STRESS=$1 tally "random: $2" "build/gcc-release/tests/$2"
    grep -aE '(operations match|concurrent histories)' "$LOG" | tee -a build/log/random-figures.log | sed 's/^/        /'
}

# random_enough LEAST WHAT NAME...: each of these has a figure of `what` that is large enough
random_enough()
{
    local least=$1 what=$2 name figures missing=0
    shift 2
    for name in "$@"; do
        figures=$(sed -n "s/^$name: \([0-9]*\) $what.*/\1/p" build/log/random-figures.log)
        if [ -z "$figures" ] || [ "$(sort -n <<<"$figures" | head -n 1)" -lt "$least" ]; then
            echo "$name: ${figures:-no} $what, not $least"
            missing=1
        fi
    done
    return "$missing"
}

# No assert is among the checks of these programs: what makes the library fast leaves them as they are.
part_random()
{
    local program
    CC=gcc build_checked gcc-release build/gcc-release "${RELEASE_OPTIONS[@]}" || return 0
    export TR_BACKEND=epoll TR_TEST_TIMEOUT=1800 # the backend makes no difference to them
    rm -f build/log/random-figures.log
    for program in test_channel_random test_oneshot_random test_sync_random test_delay stress_broadcast stress_watch; do
        random_program $((RANDOM_OPERATIONS / 1000000)) "$program"
    done
    tally "random: ten million operations each" random_enough "$RANDOM_OPERATIONS" operations "${RANDOM_PRIMITIVES[@]}"
    for program in stress_history stress_history_channel stress_history_sync; do
        random_program $((RANDOM_HISTORIES / 20000)) "$program"
    done
    tally "random: a million concurrent histories each" random_enough "$RANDOM_HISTORIES" "concurrent histories" "${RANDOM_RECORDED[@]}"
}

part_models()
{
    build_checked asan build/asan "${ASAN_BUILD_OPTIONS[@]}" || return 0
    test_models 3
}

part_mutants()
{
    build_checked asan build/asan "${ASAN_BUILD_OPTIONS[@]}" || return 0
    test_models mutants
    tally "seeded mistakes are caught" sh tests/mutants.sh
}

part_fuzz()
{
    local target name
    packages_need clang fuzz
    CC=clang build_checked fuzz build/fuzz -Dtests=disabled -Dfuzz=true -Dsamples=false \
        -Db_sanitize=address,undefined || return 0
    for target in build/fuzz/tests/fuzz/fuzz_*; do
        if [ ! -x "$target" ] || [ -d "$target" ]; then
            continue # objects beside the programs
        fi
        name=${target##*/fuzz_}
        mkdir -p "build/fuzz/corpus_$name"
        tally "fuzz: $name for ${FUZZ_SECONDS:-600} s" "$target" -max_total_time="${FUZZ_SECONDS:-600}" -timeout=20 \
            -artifact_prefix="build/fuzz/$name-" "build/fuzz/corpus_$name" "tests/fuzz/corpus_$name"
    done
    CC=clang build_checked "fuzz: coverage" build/fuzz-coverage -Dtests=disabled -Dfuzz=true -Dsamples=false \
        "-Dc_args=['-fprofile-instr-generate', '-fcoverage-mapping']" -Dc_link_args=-fprofile-instr-generate || return 0
    for name in reply request; do
        tally "fuzz: every line of the $name parser" python3 tests/fuzz/coverage.py \
            "build/fuzz-coverage/tests/fuzz/fuzz_$name" "build/fuzz/corpus_$name" "tests/fuzz/corpus_$name"
    done
}

part_bench()
{
    test_bench
}

part_aarch64()
{
    packages_need arm64
    tally "aarch64: foreign packages" bash tests/lib/aarch64.sh sysroot
    tally "aarch64: build" bash tests/lib/aarch64.sh build
    LOG_BASE=aarch64 tally_meson "aarch64: suites on epoll" build/aarch64 -t 10 --suite alone --suite epoll
}

part_debian12()
{
    part_root bookworm
}

part_debian13()
{
    part_root trixie
}

part_root()
{
    if [ "$(id -u)" -ne 0 ]; then
        tally_skip "fresh $1" "making a root needs root"
        return
    fi
    packages_need roots
    tally "fresh $1: demo" bash tests/lib/fresh_root.sh "$1" "$ROOT/build/roots/$1" './run demo'
    tally "fresh $1: test" bash tests/lib/fresh_root.sh "$1" "$ROOT/build/roots/$1" './run test'
}

fingerprint()
{
    find . \( -path ./build -o -path ./.git -o -path './build-*' \) -prune -o -type f -print0 | LC_ALL=C sort -z |
        xargs -0 sha256sum | sha256sum | cut -c1-40
}

# run_part NAME: in a shell of its own, so that no part leaves anything in the next one's environment
run_part()
{
    local name=$1 before=$FAILED_TOTAL counts
    echo "== $name: $(sed -n "s/^$name  *//p" <<<"$PARTS")"
    (
        sanitizer_environment
        "part_$name"
        printf '%s %s\n' "$PASSED" "$FAILED" >build/full/.counts
        printf 'failed:  %s\n' ${FAILED_NAMES[@]+"${FAILED_NAMES[@]}"} >build/full/.failed
    ) || echo "0 1" >build/full/.counts
    read -r counts before <build/full/.counts
    PASSED_TOTAL=$((PASSED_TOTAL + counts)) FAILED_TOTAL=$((FAILED_TOTAL + before))
    if [ "$before" -eq 0 ]; then
        echo "$FINGERPRINT $counts" >"build/full/$name"
    else
        rm -f "build/full/$name"
        FAILED_PARTS+=("$name")
    fi
}

main()
{
    local name known passed parts=()
    PASSED_TOTAL=0 FAILED_TOTAL=0 FAILED_PARTS=()
    if [ "${1:-}" = list ]; then
        echo "$PARTS"
        return
    fi
    mkdir -p build/full
    FINGERPRINT=$(fingerprint)
    for name in "$@"; do
        part_names | grep -qx -e "$name" || {
            echo "run: there is no part '$name' (./run test full list)" >&2
            exit 2
        }
        parts+=("$name")
    done
    packages_need build test
    redis_find
    [ $# -gt 0 ] || read -r -d '' -a parts < <(part_names && printf '\0')
    for name in "${parts[@]}"; do
        known='' passed=0
        if [ $# -eq 0 ] && [ -f "build/full/$name" ]; then
            read -r known passed <"build/full/$name"
        fi
        if [ "$known" = "$FINGERPRINT" ]; then
            echo "== $name: has passed for this tree"
            PASSED_TOTAL=$((PASSED_TOTAL + passed))
        else
            run_part "$name"
        fi
    done
    echo
    [ "${#FAILED_PARTS[@]}" -eq 0 ] || echo "failed parts: ${FAILED_PARTS[*]}"
    printf '%d passed, %d failed\n' "$PASSED_TOTAL" "$FAILED_TOTAL"
    [ "$FAILED_TOTAL" -eq 0 ]
}

main "$@"
