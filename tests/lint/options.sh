#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# options.sh: the tree can be configured with every combination of its options that can be had with any compiler; without
# tests none are built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

for samples in true false; do
    for tests in enabled disabled; do
        for bench in true false; do
            rm -rf build/options
            meson setup build/options -Dsamples=$samples -Dtests=$tests -Dbench=$bench
            if [ $tests = disabled ] && grep -q 'model_mailbox' build/options/build.ninja; then
                echo "the models are built without tests"
                exit 1
            fi
        done
    done
done
rm -rf build/options
