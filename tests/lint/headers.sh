#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# headers.sh: every public header compiles alone, in any order, as C11 and as C++17, without a warning.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compilers=(gcc g++)
if command -v clang >/dev/null; then
    compilers+=(clang clang++)
fi

headers=(troupe.h)
for header in include/troupe/*.h; do
    headers+=("troupe/${header##*/}")
done
{
    printf '#include <%s>\n' "${headers[@]}"
    printf '%s\n' "${headers[@]}" | tac | sed 's/.*/#include <&>/'
} >"$work/all.c"
for header in "${headers[@]}"; do
    printf '#include <%s>\n' "$header" >"$work/$(tr / _ <<<"$header").c"
done
# From C++ the raw functions are used: this is what a binding would write.
cat >"$work/binding.c" <<'C'
#include <troupe.h>
static int body(void *argument)
{
    return argument ? 0 : -EINVAL;
}
int start(tr_address *address, void *argument);
int start(tr_address *address, void *argument)
{
    static const tr_type type = { "thing", sizeof(int), alignof(int) };
    tr_actor_options options = tr_actor_options();
    options.name = "thing";
    return tr_spawn_raw(address, &type, body, argument, &options);
}
C
sed -i '1i #include <cerrno>' "$work/binding.c"

for compiler in "${compilers[@]}"; do
    for source in "$work"/*.c; do
        case $compiler in
        *++) language=(-x c++ -std=c++17 -Wold-style-cast) ;;
        *)
            [ "${source##*/}" != binding.c ] || continue
            language=(-x c -std=c11 -Wstrict-prototypes)
            ;;
        esac
        echo "$compiler ${source##*/}"
        "$compiler" "${language[@]}" -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$source"
    done
done
echo "${#headers[@]} headers with ${compilers[*]}"
