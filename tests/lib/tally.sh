# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# tally.sh: steps with one line each, their output in build/log/, and the closing line 'N passed, N failed'. Source it.
#
#   tally NAME CMD...          runs CMD; exit status 0 counts as passed, 77 as skipped, anything else as failed
#   tally_meson NAME DIR ARGS  runs `meson test -C DIR ARGS` and counts the single checks of each suite
#   tally_skip NAME WHY        says that something was not run
#   tally_end                  prints the closing line; its status is 0 if nothing failed
PASSED=0
FAILED=0
FAILED_NAMES=()
SKIPPED_NAMES=()

tally_start()
{
    STEP_SECONDS=$SECONDS
    LOG=$ROOT/build/log/${1//[^A-Za-z0-9._-]/-}.log
    mkdir -p "${LOG%/*}"
    printf '  ..    %s\n' "$1"
}

# tally_result NAME STATUS [PASSED FAILED]
tally_result()
{
    local name=$1 status=$2 passed=${3:-} failed=${4:-} word=ok
    if [ "$status" -eq 77 ]; then
        tally_skip "$name" "$(tail -n 1 "$LOG")"
        return 0
    fi
    if [ -z "$passed" ]; then
        passed=$((status == 0)) failed=$((status != 0))
    elif [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        failed=1
    fi
    PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed))
    [ "$failed" -eq 0 ] || word=FAIL
    printf '  %-4s  %s (%s passed, %s failed, %d s)\n' "$word" "$name" "$passed" "$failed" $((SECONDS - STEP_SECONDS))
    if [ "$failed" -ne 0 ]; then
        FAILED_NAMES+=("$name: ${LOG#"$ROOT"/}")
        printf '        the end of %s:\n' "${LOG#"$ROOT"/}"
        # What a library says of its start is in the log; here it would hide the rest.
        grep -av 'troupe: info:' "$LOG" | tail -n 40 | sed 's/^/        | /'
    fi
}

tally()
{
    local name=$1 status=0
    shift
    tally_start "$name"
    "$@" >"$LOG" 2>&1 </dev/null || status=$?
    tally_result "$name" "$status"
}

tally_meson()
{
    local name=$1 dir=$2 base=$LOG_BASE-${1//[^A-Za-z0-9._-]/-} status=0 counts line
    shift 2
    tally_start "$name"
    rm -f "$dir/meson-logs/$base"*
    meson test -C "$dir" --no-rebuild --print-errorlogs --logbase "$base" "$@" >"$LOG" 2>&1 </dev/null || status=$?
    # With a wrapper its name is part of the file's.
    counts=$(cat "$dir/meson-logs/$base"*.json | python3 "$ROOT/tests/lib/count_checks.py" 2>>"$LOG") || status=1
    while read -r line; do
        tally_skip "$name" "$line"
    done < <(sed 1d <<<"$counts")
    counts=${counts%%$'\n'*}
    # shellcheck disable=SC2086 # two numbers
    tally_result "$name" "$status" ${counts:-0 1}
}
LOG_BASE="test"

tally_skip()
{
    SKIPPED_NAMES+=("$1: $2")
    printf '  skip  %s: %s\n' "$1" "$2"
}

tally_end()
{
    local line
    echo
    for line in ${SKIPPED_NAMES[@]+"${SKIPPED_NAMES[@]}"}; do
        printf 'skipped: %s\n' "$line"
    done
    for line in ${FAILED_NAMES[@]+"${FAILED_NAMES[@]}"}; do
        printf 'failed:  %s\n' "$line"
    done
    printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
    [ "$FAILED" -eq 0 ]
}
