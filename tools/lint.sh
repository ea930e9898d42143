#!/bin/sh
# Everything that holds the code to docs/style.md: layout, static checks, layers, sizes.
set -eu
cd "$(dirname "$0")/.."

files=$(git ls-files '*.c' '*.h')
# shellcheck disable=SC2086
clang-format-14 --dry-run --Werror $files
python3 tools/check_layers.py src
python3 tools/check_size.py src

cmake --preset clang >/dev/null
# One file per process: given several, clang-tidy 14 reports a va_list of the first in the second.
git ls-files 'src/*.c' | xargs -P "$(nproc)" -n 1 \
    clang-tidy-14 -p build/clang --quiet --warnings-as-errors='*' 2>/dev/null
echo "lint: ok"
