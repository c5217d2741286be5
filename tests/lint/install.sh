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

user=(pkg-config --define-variable=prefix="$stage$prefix")
"${user[@]}" --cflags troupe | grep -qe -fstack-clash-protection || complain "troupe.pc lacks -fstack-clash-protection"
# The flags do in C and in C++, and with them alone a function of the wrong type is refused.
echo '#include <troupe.h>' >"$stage/any.cc"
mistake=tests/negative/spawn_handler_with_a_loop_body.c
for compiler in gcc clang; do
    command -v "$compiler" >/dev/null || continue
    read -ra flags < <("${user[@]}" --cflags troupe)
    "$compiler" -x c++ -std=c++17 -Wall -Wextra -Werror "${flags[@]}" -c "$stage/any.cc" -o "$stage/any.o"
    "$compiler" -std=gnu11 -Wall -Wextra -Werror "${flags[@]}" -I. -c "$mistake" -o "$stage/any.o"
    "$compiler" -std=gnu11 "${flags[@]}" -I. -DMISTAKE -c "$mistake" -o "$stage/any.o" 2>"$stage/refusal" &&
        complain "$compiler accepts $mistake"
    grep -q "incompatible.*pointer" "$stage/refusal" || complain "$compiler: $(cat "$stage/refusal")"
done

cat >"$stage/program.c" <<'C'
#include <stdio.h>
#include <troupe.h>
static int hello(void *argument)
{
    return printf("hello from %s\n", (const char *)argument) > 0 ? 0 : -1;
}
int main(int argc, char **argv)
{
    struct tr_sim sim = { .runs = 2 };
    (void)argv;
    return argc > 1 ? tr_sim_run(&sim, hello, "a seed") != 0 : tr_run(NULL, hello, "an installed troupe") != 0;
}
C
# shellcheck disable=SC2046 # flags are words
gcc -std=gnu17 "$stage/program.c" -o "$stage/shared-program" $("${user[@]}" --cflags --libs troupe)
LD_LIBRARY_PATH=$libdir timeout 60 "$stage/shared-program"
mkdir "$stage/static"
cp "$archive" "$stage/static"
# shellcheck disable=SC2046
gcc -std=gnu17 "$stage/program.c" -o "$stage/static-program" $("${user[@]}" --cflags troupe) -L"$stage/static" -ltroupe \
    $(pkg-config --libs liburing) -pthread
timeout 60 "$stage/static-program"


# What keeps it from starting is said; what the environment asks for and cannot have as well.
# says WORD STATUS PROGRAM [OPTION...]: ends so, and says why in a line with the word.
says()
{
    local word=$1 wanted=$2 status=0
    shift 2
    timeout 60 "$@" >"$stage/said" 2>&1 || status=$?
    [ "$status" -eq "$wanted" ] || complain "$*: status $status: $(cat "$stage/said")"
    grep -q "troupe: $word:" "$stage/said" || complain "$*: no $word: $(cat "$stage/said")"
}
for descriptors in 4 5 6; do # not enough for the runtime's eventfd, that of the first worker, its ring
    says error 1 bash -c "ulimit -n $descriptors; exec $stage/static-program"
done
says error 1 env TR_BACKEND=no_such "$stage/static-program"
says error 1 env TR_SEED=12x "$stage/static-program" seeded
says warning 0 env TR_LOG=loud TR_BACKEND=epoll "$stage/static-program"

# A program that loads the library by itself may close it as well: its handlers and its threads' ends are still there.
cat >"$stage/loader.c" <<'C'
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
static int nothing(void *argument)
{
    (void)argument;
    return 0;
}
static void *use(void *path)
{
    void *library = dlopen(path, RTLD_NOW);
    int (*run)(const void *, int (*)(void *), void *);
    if (!library || !(*(void **)&run = dlsym(library, "tr_run")) || run(NULL, nothing, NULL) != 0 || dlclose(library) != 0)
        exit(1);
    return NULL;
}
static void on_fault(int signal)
{
    _Exit(signal == SIGSEGV ? 0 : 1);
}
int main(int argc, char **argv)
{
    pthread_t thread;
    signal(SIGSEGV, on_fault); /* the library's handler hands on to it */
    if (argc != 2 || pthread_create(&thread, NULL, use, argv[1]) != 0 || pthread_join(thread, NULL) != 0)
        return 1;
    puts("closed");
    fflush(stdout);
    raise(SIGSEGV);
    return 1;
}
C
gcc -std=gnu17 "$stage/loader.c" -o "$stage/loader" -pthread
timeout 60 "$stage/loader" "$shared" || complain "a library that was closed is still needed"
# As a subproject of somebody else's, whose code then gets the flag and the refusals as well.
project=$stage/project
mkdir -p "$project/subprojects/troupe"
tar -c --exclude ./build --exclude './build-*' --exclude ./.git . | tar -x -C "$project/subprojects/troupe"
cat >"$project/meson.build" <<MESON
project('user', 'c', default_options: ['c_std=gnu17', 'buildtype=plain'])
troupe_dep = dependency('troupe', fallback: 'troupe')
executable('user', '../program.c', dependencies: troupe_dep)
executable('mistaken', 'mistaken.c', c_args: ['-DMISTAKE', '-I$PWD'], dependencies: troupe_dep, build_by_default: false)
MESON
cp "$mistake" "$project/mistaken.c"
meson setup "$project/build" "$project" --wrap-mode=forcefallback >"$stage/log" || complain "$(cat "$stage/log")"
grep -qE 'subprojects/troupe/(tests|samples)/' "$project/build/build.ninja" && complain "a subproject builds tests and samples as well"
ninja -C "$project/build" >"$stage/log" || complain "$(cat "$stage/log")"
timeout 60 "$project/build/user"
ninja -C "$project/build" -t commands user | grep 'program\.c\.o' | grep -qe -fstack-clash-protection ||
    complain "the dependency lacks -fstack-clash-protection"
ninja -C "$project/build" mistaken >"$stage/log" && complain "the dependency accepts $mistake"
grep -q "incompatible.*pointer" "$stage/log" || complain "$(cat "$stage/log")"
# In a tree that cannot be written (a file is in the way) ./run says so.
touch "$project/subprojects/troupe/build"
refusal=$("$project/subprojects/troupe/run" demo 2>&1) && complain "./run demo without a build folder: $refusal"
[[ $refusal = "run: cannot write to build/: "* ]] || complain "./run demo without a build folder: $refusal"
# What it does not know it does not do.
for words in "test bogus" "help demo" "demo 3" "no_such"; do
    # shellcheck disable=SC2086 # words
    refusal=$(./run $words 2>&1) && complain "./run $words is taken"
    [[ $refusal = *"'${words##* }'" ]] || complain "./run $words: $refusal"
done
echo "$(wc -l <"$stage/exported") functions exported"
