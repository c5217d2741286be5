#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# install.sh: installs into a directory of its own and looks at it as a user would: headers, both libraries, the
# pkg-config file with the flags that a user's code needs, and no symbol in sight that is not public.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=$PWD/build
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
complain()
{
    echo "install: $*"
    exit 1
}

DESTDIR=$stage meson install -C "$build" --no-rebuild --quiet
pc=$(find "$stage" -name troupe.pc)
[ -n "$pc" ] || complain "no troupe.pc"
prefix=$(sed -n 's/^prefix=//p' "$pc")
libdir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=

shared=$(find "$libdir" -name 'libtroupe.so.*' -type f)
archive=$(find "$libdir" -name libtroupe.a)
[ -n "$shared" ] || complain "no shared library"
[ -n "$archive" ] || complain "no static library"
for header in include/troupe.h include/troupe/*.h; do
    cmp "$header" "$stage$prefix/$header" || complain "$header is not installed"
done

# What the shared library exports is exactly what the headers declare.
grep -hoE '^TR_PUBLIC .*' include/troupe/*.h -A1 | tr '\n' ' ' | grep -oE '\btr_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$stage/declared"
nm -D --defined-only "$shared" | awk '{print $3}' | sort -u >"$stage/exported"
grep -vE '^tr_' "$stage/exported" && complain "exported without the prefix tr_"
comm -13 "$stage/declared" "$stage/exported" >"$stage/undeclared"
[ ! -s "$stage/undeclared" ] || complain "exported, not declared: $(tr '\n' ' ' <"$stage/undeclared")"
grep -hoE '^TR_PUBLIC [^(]*\btr_[a-z0-9_]+\(' include/troupe/*.h | grep -oE 'tr_[a-z0-9_]+\($' | tr -d '(' | sort -u >"$stage/must"
comm -23 "$stage/must" "$stage/exported" >"$stage/absent"
[ ! -s "$stage/absent" ] || complain "declared, not exported: $(tr '\n' ' ' <"$stage/absent")"
# A program that links the archive meets only our two prefixes.
nm -g --defined-only "$archive" | awk 'NF == 3 {print $3}' | grep -vE '^(tr|tri)_' &&
    complain "global in the archive, without a prefix of ours"

for flag in -fstack-clash-protection -Werror=incompatible-pointer-types; do
    pkg-config --define-variable=prefix="$stage$prefix" --cflags troupe | grep -qe "$flag" || complain "troupe.pc lacks $flag"
done

cat >"$stage/program.c" <<'C'
#include <stdio.h>
#include <troupe.h>
static int hello(void *argument)
{
    return printf("hello from %s\n", (const char *)argument) > 0 ? 0 : -1;
}
int main(void)
{
    return tr_run(NULL, hello, "an installed troupe") == 0 ? 0 : 1;
}
C
user=(pkg-config --define-variable=prefix="$stage$prefix")
# shellcheck disable=SC2046 # flags are words
gcc -std=gnu17 "$stage/program.c" -o "$stage/shared-program" $("${user[@]}" --cflags --libs troupe)
LD_LIBRARY_PATH=$libdir timeout 60 "$stage/shared-program"
mkdir "$stage/static"
cp "$archive" "$stage/static"
# shellcheck disable=SC2046
gcc -std=gnu17 "$stage/program.c" -o "$stage/static-program" $("${user[@]}" --cflags troupe) -L"$stage/static" -ltroupe \
    $(pkg-config --libs liburing) -pthread
timeout 60 "$stage/static-program"
echo "$(wc -l <"$stage/exported") functions exported"
