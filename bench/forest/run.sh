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

# environment NAME: what bench/forest/peers-NAME.txt says, in $cache/NAME-venv
environment() {
    venv=$cache/$1-venv
    list=bench/forest/peers-$1.txt
    stamp=$venv/.peers-$(cksum <"$list" | cut -d' ' -f1)
    [ -e "$stamp" ] && return
    echo "tilth: installing the libraries of $list into $venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install -q -r "$list" && touch "$stamp"
}

environment forest
for other in lleaves xgboost1; do
    environment "$other" || echo "tilth: $other cannot be installed here and will be left out"
done
cmake --preset bench >/dev/null
cmake --build build/bench --target bench_bands tilth
exec "$cache/forest-venv/bin/python" bench/forest/compare.py "$@"
