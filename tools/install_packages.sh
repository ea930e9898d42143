#!/bin/sh
# Installs the packages of the given sections of packages.txt that are not there yet.
# usage: tools/install_packages.sh build demo
set -eu
cd "$(dirname "$0")/.."

missing=
for section in "$@"; do
    for package in $(awk -v s="$section" '$1 == s { print $2 }' packages.txt); do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || missing="$missing $package"
    done
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "tilth: these packages are missing and only root can install them:$missing" >&2
        exit 1
    }
    sudo=sudo
fi
echo "tilth: installing$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
