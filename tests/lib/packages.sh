# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# packages.sh: what a command needs from the system, and how to get it. Source it.
#
# The one idea: needs are probed (a program, a pkg-config module, a file), not looked up in the package database, so that
# what came another way counts as well. Only for what is missing is a package installed, after saying which.
#
#   packages_need GROUP...  all of it, or the script ends with a list of what to install
#   packages_want GROUP...  as much of it as can be had; says what is left out
#   redis_find              sets and exports REDIS_SERVER: a redis-server binary, or nothing

# One line each: group, probe, Debian package.
packages_table()
{
    cat <<'TABLE'
build  cmd:gcc            gcc
build  hdr:stdio.h        libc6-dev
build  cmd:meson          meson
build  cmd:ninja          ninja-build
build  cmd:pkg-config     pkg-config
build  pc:liburing        liburing-dev
build  cmd:python3        python3
test   cmd:g++            g++
test   pc:check           check
test   pc:hiredis         libhiredis-dev
test   cmd:redis-cli      redis-tools
redis  cmd:redis-cli      redis-tools
lint   cmd:clang-format   clang-format
lint   cmd:clang-tidy     clang-tidy
lint   cmd:shellcheck     shellcheck
clang  cmd:clang          clang
clang  clangrt:           libclang-rt-dev
fuzz   cmd:llvm-cov       llvm
arm64  cmd:aarch64-linux-gnu-gcc  gcc-aarch64-linux-gnu
arm64  file:/usr/aarch64-linux-gnu/include/stdio.h  libc6-dev-arm64-cross
arm64  cmd:qemu-aarch64   qemu-user
roots  cmd:debootstrap    debootstrap
bench  cmd:cargo          cargo
bench  glob:/usr/share/cargo/registry/tokio-1*  librust-tokio-dev
bench  pc:hiredis         libhiredis-dev
bench  file:/usr/include/ev.h  libev-dev
TABLE
}

packages_probe()
{
    local kind=${1%%:*} what=${1#*:}
    case $kind in
    cmd) command -v "$what" >/dev/null ;;
    pc) pkg-config --exists "$what" 2>/dev/null ;;
    hdr) [ -e "/usr/include/$what" ] || echo "#include <$what>" | "${CC:-cc}" -E - >/dev/null 2>&1 ;;
    file) [ -e "$what" ] ;;
    glob) compgen -G "$what" >/dev/null ;;
    clangrt) compgen -G "$(clang -print-resource-dir 2>/dev/null)/lib/linux/libclang_rt.fuzzer-*" >/dev/null ;;
    esac
}

# The package of clang's run-time libraries has the version in its name.
packages_name()
{
    local version
    if [ "$1" = libclang-rt-dev ]; then
        version=$(apt-cache depends clang 2>/dev/null | sed -n 's/^ *Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
        echo "libclang-rt-${version:-14}-dev"
    else
        echo "$1"
    fi
}

# Prints the packages that the groups lack.
packages_missing()
{
    local group probe package wanted
    packages_table | while read -r group probe package; do
        for wanted in "$@"; do
            if [ "$group" = "$wanted" ] && ! packages_probe "$probe"; then
                packages_name "$package"
            fi
        done
    done | awk '!seen[$0]++'
}

# Sets PRIVILEGE to what must stand before apt-get; fails where there is no way.
packages_privilege()
{
    PRIVILEGE=()
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || return 1
    if sudo -n true 2>/dev/null; then
        PRIVILEGE=(sudo -n)
    elif [ -t 0 ]; then
        PRIVILEGE=(sudo)
    else
        return 1
    fi
}

apt_get()
{
    "${PRIVILEGE[@]+"${PRIVILEGE[@]}"}" env DEBIAN_FRONTEND=noninteractive apt-get \
        -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# Installs the packages; their lists are fetched first where they are missing or too old to be of use.
packages_install()
{
    local log=$ROOT/build/log/apt.log
    mkdir -p "${log%/*}"
    : >"$log"
    if apt_get install --no-install-recommends "$@" >>"$log" 2>&1; then
        return 0
    fi
    echo "   fetching the package lists first"
    apt_get update >>"$log" 2>&1 || true
    apt_get install --no-install-recommends "$@" >>"$log" 2>&1 || {
        tail -n 15 "$log"
        return 1
    }
}

packages_need()
{
    local missing
    missing=$(packages_missing "$@" | xargs)
    [ -n "$missing" ] || return 0
    echo "== missing packages: $missing"
    if ! packages_privilege; then
        echo "Cannot install them: that takes apt-get, and root or sudo." >&2
        echo "On Debian or Ubuntu:  apt-get install $missing" >&2
        echo "Elsewhere install what corresponds (the names are Debian's), then run this again." >&2
        exit 1
    fi
    echo "   installing them"
    # shellcheck disable=SC2086 # package names are words
    packages_install $missing || {
        echo "Could not install: $missing (the whole output is in build/log/apt.log)" >&2
        exit 1
    }
    missing=$(packages_missing "$@" | xargs)
    [ -z "$missing" ] || {
        echo "Installed, yet not found: $missing" >&2
        exit 1
    }
}

packages_want()
{
    local missing
    missing=$(packages_missing "$@" | xargs)
    [ -n "$missing" ] || return 0
    echo "== missing packages, not essential: $missing"
    # shellcheck disable=SC2086
    if packages_privilege && echo "   installing them" && packages_install $missing; then
        return 0
    fi
    echo "   going on without them"
}

# Debian's redis-tools holds the whole server under another name: it looks at the name that it is called by. That spares
# the machine the package redis-server, which would start a service.
redis_find()
{
    REDIS_SERVER=$(command -v redis-server || true)
    if [ -z "$REDIS_SERVER" ] && [ -x /usr/bin/redis-check-rdb ]; then
        mkdir -p "$ROOT/build/bin"
        ln -sf /usr/bin/redis-check-rdb "$ROOT/build/bin/redis-server"
        if "$ROOT/build/bin/redis-server" --version 2>/dev/null | grep -qi '^redis server'; then
            REDIS_SERVER=$ROOT/build/bin/redis-server
        fi
    fi
    export REDIS_SERVER
}
