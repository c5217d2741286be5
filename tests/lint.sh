# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# lint.sh: what ./run lint checks. Sourced by run, after packages.sh, build.sh and tally.sh.

# The C and C++ files of the project, one a line.
lint_files()
{
    find include mailbox io actor samples tests bench \( -name '*.[ch]' -o -name '*.cc' \) -type f | LC_ALL=C sort
}

# The style file is written for version 14; others differ in details.
lint_format()
{
    local version
    version=$(clang-format --version | sed -n 's/.*version \([0-9]*\).*/\1/p')
    if [ "$version" != 14 ]; then
        echo "clang-format 14 is needed (Debian 12 has it), not $version"
        return 77
    fi
    lint_files | xargs clang-format --dry-run --Werror
}

# The compile commands are those of the build with every warning, which comes first.
lint_tidy()
{
    local version
    version=$(clang-tidy --version | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1)
    if [ "$version" != 14 ]; then
        echo "clang-tidy 14 is needed (Debian 12 has it), not $version"
        return 77
    fi
    # Each process has a pipe of its own: it writes "3 warnings generated." in pieces, which mix with another's in a shared one.
    python3 tests/lint/compiled.py build/lint/compile_commands.json |
        xargs -P "$(nproc)" -n 2 bash -o pipefail -c \
            'clang-tidy --quiet -p build/lint "$@" 2>&1 | { ! grep -v "warnings\? generated"; }' clang-tidy
}

lint_shell()
{
    {
        echo run
        echo .ci/run
        find tests bench -type f -name '*.sh'
    } | xargs shellcheck -x -S warning -e SC3045 # every sh of Debian knows ulimit -c
}

lint_python()
{
    {
        find tests bench -name '*.py' -type f
        echo bench/compare
    } | xargs python3 -c 'import sys
for name in sys.argv[1:]:
    compile(open(name, encoding="utf-8").read(), name, "exec")'
}

lint_all()
{
    echo "== lint"
    tally "lint: house rules" python3 tests/lint/house.py
    tally "lint: what headers promise to say" python3 tests/lint/promises.py
    tally "lint: labels of edges" python3 tests/lint/edges.py
    tally "lint: docs/tokio-map.md" python3 tests/lint/map.py
    tally "lint: formatting" lint_format
    tally "lint: shell scripts" lint_shell
    tally "lint: Python scripts" lint_python
    tally "lint: headers alone, in C and C++" bash tests/lint/headers.sh
    tally "lint: options of the build" bash tests/lint/options.sh
    tally "lint: seeded mistakes find their places" sh tests/mutants.sh places
    if build_checked plain build "${BUILD_OPTIONS[@]}"; then
        tally "lint: install, pkg-config, symbols" bash tests/lint/install.sh
        tally "lint: README" python3 tests/lint/readme.py
    fi
    if build_checked "lint: all warnings are errors" build/lint "${LINT_BUILD_OPTIONS[@]}"; then
        tally "lint: clang-tidy" lint_tidy
    fi
}
