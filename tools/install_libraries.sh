#!/bin/sh
# Makes sure that the libraries of tests/libraries.txt are there, in a Python of their own in the
# user's cache folder, once per machine and list, and prints that Python's path. Prints nothing (and
# succeeds) where they cannot be had: the tests then report those comparisons as skipped, by name.
set -eu
cd "$(dirname "$0")/.."

list=tests/libraries.txt
home=${XDG_CACHE_HOME:-$HOME/.cache}/tilth/libraries-$(cksum <$list | cut -d' ' -f1)

if [ ! -e "$home/complete" ]; then
    echo "tilth: installing the libraries that models come from, for the tests, once, about a minute" >&2
    rm -rf "$home"
    if python3 -m venv "$home" >&2 &&
        "$home/bin/pip" install -q --disable-pip-version-check --no-deps -r $list >&2 &&
        "$home/bin/python" -c 'import catboost, lightgbm, onnxmltools, onnxruntime, skl2onnx, sklearn.ensemble, xgboost' >&2; then
        touch "$home/complete"
    else
        rm -rf "$home"
        echo "tilth: they cannot be installed here; what compares with them will be skipped" >&2
        exit 0
    fi
fi
echo "$home/bin/python"
