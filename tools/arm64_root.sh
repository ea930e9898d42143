#!/bin/sh
# Fetches Debian's arm64 builds of the libraries that tests are linked with, the section arm64-root
# of packages.txt, and unpacks them in build/arm64-root. The lists and the state of apt are its own:
# no root, and the machine stays what it is - a foreign architecture of dpkg's would be for good,
# and needs a libc of the same version.
set -eu
cd "$(dirname "$0")/.."

root=$PWD/build/arm64-root
packages=$(awk '$1 == "arm64-root" { print $2 }' packages.txt)
[ "$(cat "$root/packages" 2>/dev/null)" != "$packages" ] || exit 0
rm -rf "$root"
mkdir -p "$root/apt/lists/partial" "$root/apt/archives/partial"

private_apt() {
    apt-get -qq -o Dir::State::lists="$root/apt/lists" -o Dir::Cache="$root/apt" \
        -o Dir::State::status=/dev/null -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o APT::Sandbox::User= "$@"
}

private_apt update
(
    cd "$root/apt"
    # shellcheck disable=SC2086
    private_apt download $packages
)
for file in "$root"/apt/*.deb; do
    dpkg-deb --extract "$file" "$root"
done
rm -rf "$root/apt"
printf '%s\n' "$packages" >"$root/packages"
