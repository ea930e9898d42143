#!/bin/sh
# Builds for arm64 and runs the tests in qemu. Exits with 77 where that cannot be, and says why.
set -eu
cd "$(dirname "$0")/.."

skip() {
    echo "skipped: arm64: $1"
    exit 77
}

[ "$(uname -m)" = x86_64 ] || skip "this machine is not an x86-64"
tools/install_packages.sh arm64 || skip "no cross compiler or no qemu"
mkdir -p build
tools/arm64_root.sh >build/arm64-root.log 2>&1 || skip "no libraries: $(tail -n 1 build/arm64-root.log)"
cmake --preset arm64 >/dev/null
cmake --build --preset arm64
ctest --preset arm64
