#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Compiles each case of this folder twice with each compiler: without its mistake, which must succeed, and with it,
# which must be refused with the message that the case names. Usage: run.sh [COMPILER...] (default: gcc and clang).
set -u
folder=$(cd "$(dirname "$0")" && pwd)
root=$folder/../..
flags="-std=gnu17 -fsyntax-only -I$root -I$root/include -Wall -Wextra -Werror=incompatible-pointer-types"
failed=0
cases=0

check_case() {
    compiler=$1 file=$2
    expected=$(sed -n 's,^/\* refused: \(.*\) \*/$,\1,p' "$file")
    if [ -z "$expected" ]; then
        echo "$file: has no refused: line"
        return 1
    fi
    if ! said=$($compiler $flags -Werror "$file" 2>&1); then
        printf '%s: %s refuses it without its mistake:\n%s\n' "$file" "$compiler" "$said"
        return 1
    fi
    if said=$($compiler $flags -DMISTAKE "$file" 2>&1); then
        echo "$file: $compiler accepts the mistake"
        return 1
    fi
    if ! printf '%s' "$said" | grep -Eq "$expected"; then
        printf '%s: %s refuses it for another reason than "%s":\n%s\n' "$file" "$compiler" "$expected" "$said"
        return 1
    fi
}

[ $# -gt 0 ] || set -- gcc clang
for compiler; do
    if ! command -v "$compiler" >/dev/null 2>&1; then
        echo "skipped: no $compiler"
        continue
    fi
    for file in "$folder"/*.c; do
        check_case "$compiler" "$file" || failed=$((failed + 1))
        cases=$((cases + 1))
    done
done
echo "$cases cases, $failed failed"
[ "$failed" -eq 0 ] && [ "$cases" -gt 0 ]
