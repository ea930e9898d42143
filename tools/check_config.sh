#!/bin/sh
# conf/tilth.conf and docs/config.md are what the table in src/base/config.def says.
# usage: tools/check_config.sh path/to/tilth
set -eu
cd "$(dirname "$0")/.."
env -i "$1" config | diff -u conf/tilth.conf - || {
    echo "write it anew: tilth config > conf/tilth.conf" >&2
    exit 1
}
env -i "$1" config --markdown | diff -u docs/config.md - || {
    echo "write it anew: tilth config --markdown > docs/config.md" >&2
    exit 1
}
