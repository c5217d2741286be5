# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# shellcheck disable=SC2153,SC2034 # variables of tally.sh, and for run and full.sh
#
# build.sh: building a directory, and running what it holds. Source it, after tally.sh for the test_ functions.
#
#   build_dir DIR [OPTIONS]    configures (again, if the options have changed) and builds; quiet unless it fails
#   build_checked NAME DIR     the same as a counted step; its status tells
#   backend_works NAME         whether this kernel lets us use uring (epoll always works)
#   sanitizer_environment      what the sanitizers' run-time libraries are told
#   test_suites PREFIX DIR     the check suites of DIR: on each backend, and those that need none
#   test_models BOUND [core]   the models (all, or the core ones) at that preemption bound
#   test_bench                 our benchmarks, very small: that they run, and allocate nothing once warm
#   test_quick                 ./run test
#   test_e2e PREFIX DIR        the end-to-end scripts on the programs of DIR, on each backend

# Runs quietly into build/log/NAME.log; on failure shows the end of it and returns non-zero.
build_quietly()
{
    local log=$ROOT/build/log/$1.log
    shift
    mkdir -p "${log%/*}"
    "$@" >"$log" 2>&1 </dev/null || {
        tail -n 60 "$log" >&2
        echo "run: failed: $* (the whole output is in ${log#"$ROOT"/})" >&2
        return 1
    }
}

build_dir()
{
    local dir=$1 name=${1//\//-} reconfigure=() stamp
    # The C++ compiler of the same make, for the test of the headers.
    local -x CC=${CC:-gcc}
    local -x CXX=${CXX:-${CC/%gcc/g++}}
    CXX=${CXX/#clang/clang++}
    CXX=${CXX/#clang++++/clang++}
    shift
    stamp="$ROOT $CC $*"
    echo "   building $dir"
    if [ ! -f "$dir/build.ninja" ] || [ "$(cat "$dir/.options" 2>/dev/null)" != "$stamp" ]; then
        [ ! -f "$dir/build.ninja" ] || reconfigure=(--wipe)
        if [ "$dir" = build ] && [ "${#reconfigure[@]}" -gt 0 ]; then
            # Other builds lie inside this one, so only what Meson itself keeps goes. It must: Meson never changes the compiler.
            rm -rf build/meson-private build/build.ninja
            reconfigure=()
        fi
        build_quietly "setup-$name" meson setup "${reconfigure[@]+"${reconfigure[@]}"}" "$dir" "$@" || return 1
        echo "$stamp" >"$dir/.options"
    fi
    build_quietly "build-$name" ninja -C "$dir" ${JOBS:+-j "$JOBS"}
}

# What build/, build/asan and build/lint are configured with, by whatever command.
BUILD_OPTIONS=(-Dtests=disabled -Db_ndebug=true)
ASAN_BUILD_OPTIONS=("-Db_sanitize=address,undefined" -Dtests=enabled -Dwerror=true)
LINT_BUILD_OPTIONS=(-Dtests=enabled -Dbench=true -Dwerror=true)

build_checked()
{
    local before=$FAILED
    tally "$1: build" build_dir "${@:2}"
    [ "$FAILED" -eq "$before" ]
}

backend_works()
{
    [ "$1" = epoll ] || python3 tests/lib/uring_probe.py
}

sanitizer_environment()
{
    export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=0:abort_on_error=0
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:history_size=4:atexit_sleep_ms=100
}

# test_suites PREFIX DIR [WRAPPER...]
test_suites()
{
    local prefix=$1 dir=$2 backend wrapper=()
    shift 2
    # Where a ring can be made no suite may skip its half of the tests.
    local -x TR_TEST_RING=
    if backend_works uring >/dev/null; then
        TR_TEST_RING=required
    fi
    [ $# -eq 0 ] || wrapper=(--wrapper "$*")
    tally_meson "${prefix}suites that need no runtime" "$dir" "${wrapper[@]+"${wrapper[@]}"}" --suite alone
    for backend in uring epoll; do
        if backend_works "$backend"; then
            tally_meson "${prefix}suites on $backend" "$dir" "${wrapper[@]+"${wrapper[@]}"}" --suite "$backend"
        else
            tally_skip "${prefix}suites on $backend" "this kernel or container denies io_uring"
        fi
    done
}

test_e2e()
{
    local prefix=$1 dir=$2 script name backend
    for script in tests/e2e_*.sh; do
        [ -e "$script" ] || continue
        name=${script#tests/e2e_}
        for backend in uring epoll; do
            if backend_works "$backend"; then
                tally "${prefix}e2e ${name%.sh} on $backend" env "BUILD=$ROOT/$dir" "TR_BACKEND=$backend" \
                    timeout -k 20 "$((${FULL:-0} ? 2400 : 900))" bash "$script"
            else
                tally_skip "${prefix}e2e ${name%.sh} on $backend" "this kernel or container denies io_uring"
            fi
        done
    done
}

# test_models BOUND|mutants [core]: the explorer lies in build/asan, without its sanitizers
test_models()
{
    local bound=$1 core=() name
    if [ "$bound" = mutants ]; then
        # Together: a weakened order is caught if any of the models notices it.
        tally "models: every order weakened by one step is caught" build/asan/tests/model/explorer --mutants --bound 3 --max-seconds 90 \
            "${MODELS_WITH_MUTANTS[@]}"
        return
    fi
    if [ "${2:-all}" = core ]; then
        for name in "${CORE_MODELS[@]}"; do
            core+=("model $name")
        done
    fi
    LOG_BASE=models-$bound tally_meson "models at bound $bound${2:+, the $2 ones}" build/asan --suite model -t 10 \
        "--test-args=--bound $bound" "${core[@]+"${core[@]}"}"
}
# The protocols that everything else rests on.
CORE_MODELS=(mailbox reply park queue join)
MODELS_WITH_MUTANTS=(cycle join lock mailbox room reply park queue sleep stop alarm bias monitor mutex notify once rwlock select
    channel mpmc oneshot broadcast watch token group after blocking reactor clock policy gate address)

# On the build of the lint, which has them all.
test_bench()
{
    if build_checked "benchmarks" build/lint "${LINT_BUILD_OPTIONS[@]}"; then
        tally "benchmarks run, and allocate nothing once warm" python3 bench/compare --build build/lint --check
        tally "benchmarks: arguments, and programs that fail" python3 tests/lib/bench_failures.py build/lint
    fi
}

# One compiler, sanitizers, both backends.
test_quick()
{
    echo "== test"
    sanitizer_environment
    if build_checked asan build/asan "${ASAN_BUILD_OPTIONS[@]}"; then
        test_suites "" build/asan
        test_models 2
        test_e2e "" build/asan
    fi
}
