#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# fresh_root.sh SUITE ROOT COMMAND...: runs commands of this tree in a fresh Debian.
#
# Makes a minimal Debian SUITE (bookworm, trixie) in ROOT with nothing but git, ca-certificates and sudo, copies this
# tree into it, and runs each COMMAND there, one after the other. Where packages come from is taken from this machine's
# own apt. The mounts and the processes live in name spaces of their own, which end with the script. Needs root and
# debootstrap.
set -euo pipefail

suite=$1 target=$2
shift 2
source_tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# The mirror that this machine's own apt uses for Debian.
# shellcheck disable=SC2016 # a name of apt's own
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep -m 1 -E '/debian/?$' || true)

if [ ! -e "$target/.complete" ]; then
    rm -rf "$target"
    mkdir -p "$target"
    debootstrap --variant=minbase --include=git,ca-certificates,sudo "$suite" "$target" ${mirror:+"$mirror"}
    touch "$target/.complete"
fi
# Proxies and credentials of this machine's apt hold in there, too.
for part in apt.conf.d auth.conf.d; do
    [ ! -d "/etc/apt/$part" ] || cp -a "/etc/apt/$part/." "$target/etc/apt/$part/"
done
[ ! -e /etc/resolv.conf ] || cp -L /etc/resolv.conf "$target/etc/resolv.conf"

rm -rf "$target/src"
mkdir -p "$target/src"
tar -C "$source_tree" --exclude=./build --exclude='./build-*' -cf - . | tar -C "$target/src" -xf -

for command in "$@"; do
    echo "== $suite: $command"
    # shellcheck disable=SC2016 # expanded in there
    TARGET=$target COMMAND=$command unshare --mount --pid --fork --kill-child bash -euc '
        mount --make-rprivate /
        mount --rbind /dev "$TARGET/dev"
        mount --rbind /sys "$TARGET/sys"
        mount -t proc proc "$TARGET/proc"
        exec env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$TARGET" bash -c "cd /src && $COMMAND"
    ' </dev/null
done
