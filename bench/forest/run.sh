#!/bin/sh
# Measures tilth's forests against the libraries that people use: bench/results/forest.json, docs/bench.md.
# usage: bench/forest/run.sh [--quick] [--only FAMILY] ...      (bench/forest/compare.py --help)
#
# The libraries are installed here, at pinned versions, into the user's cache folder; two of them do not
# get along with the others' releases and have an environment of their own. Models are trained once.
set -eu
cd "$(dirname "$0")/../.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tilth
tools/install_packages.sh build bench

# environment NAME: what bench/forest/peers-NAME.txt says, in $cache/NAME-venv; what cannot be had is left out, and
# tried again by the next run
environment() {
    venv=$cache/$1-venv
    list=bench/forest/peers-$1.txt
    stamp=$venv/.peers-$(cksum <"$list" | cut -d' ' -f1)
    [ -e "$stamp" ] && return
    echo "tilth: installing the libraries of $list into $venv"
    python3 -m venv "$venv"
    if "$venv/bin/pip" install -q -r "$list"; then
        touch "$stamp"
        return
    fi
    grep -v '^#' "$list" | while read -r peer; do
        "$venv/bin/pip" install -q "$peer" </dev/null ||
            echo "tilth: $peer cannot be installed here and will be left out"
    done
}

for peers in forest lleaves xgboost1; do
    environment "$peers"
done
cmake --preset bench >/dev/null
cmake --build build/bench --target bench_bands tilth
exec "$cache/forest-venv/bin/python" bench/forest/compare.py "$@"
