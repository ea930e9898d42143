#!/bin/sh
# Measures tilth against its peers on this machine and writes bench/results/latest.json.
# usage: bench/run.sh [FIGURE ...]      (bench/bench.py --list names them)
#
# Peers are installed here, never by the product: nginx and wrk from Debian, the Python ones at
# pinned versions into the user's cache folder.
set -eu
cd "$(dirname "$0")/.."

tools/install_packages.sh build demo test bench
venv=${XDG_CACHE_HOME:-$HOME/.cache}/tilth/bench-venv
stamp=$venv/.peers-$(cksum <bench/peers.txt | cut -d' ' -f1)
if [ ! -e "$stamp" ]; then
    echo "tilth: installing the peers into $venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q -r bench/peers.txt
    touch "$stamp"
fi
cmake --preset bench >/dev/null
cmake --build build/bench
make -s demo-data SIZE=4096
exec "$venv/bin/python" bench/bench.py --build build/bench "$@"
