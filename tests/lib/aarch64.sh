#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# aarch64.sh sysroot|build: what the aarch64 part of ./run test full needs.
#
# The one idea: liburing and check for the other architecture are unpacked into build/arm64, with an apt state of their
# own. The machine's package database never hears of a foreign architecture, and no root is needed. Both libraries
# are static ones; qemu-user finds the C library where the cross compiler has it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

home=$PWD/build/arm64
sysroot=$home/root

# apt for the foreign architecture, with everything that it writes below build/arm64.
foreign_apt()
{
    apt-get -q -y -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State="$home/state" \
        -o Dir::State::status="$home/status" -o Dir::Cache="$home/cache" -o Debug::NoLocking=1 "$@"
}

case $1 in
sysroot)
    mkdir -p "$home/state/lists/partial" "$home/cache/archives/partial" "$home/packages" "$sysroot"
    : >>"$home/status"
    cd "$home/packages"
    if ! compgen -G 'liburing-dev_*_arm64.deb' >/dev/null; then
        foreign_apt update
        foreign_apt download liburing-dev check libsubunit-dev
    fi
    for package in *.deb; do
        dpkg-deb -x "$package" "$sysroot"
    done
    ;;
build)
    export PKG_CONFIG_LIBDIR=$sysroot/usr/lib/aarch64-linux-gnu/pkgconfig PKG_CONFIG_SYSROOT_DIR=$sysroot
    if [ ! -f build/aarch64/build.ninja ]; then
        meson setup build/aarch64 --cross-file tests/lib/aarch64.ini -Dtests=enabled -Dwerror=true -Dprefer_static=true
    fi
    ninja -C build/aarch64
    ;;
*)
    echo "aarch64.sh: sysroot or build" >&2
    exit 2
    ;;
esac
