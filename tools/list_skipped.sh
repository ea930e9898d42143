#!/bin/sh
# Names the tests that the last ctest run of a build folder skipped, with the reason where one was
# given; ctest itself shows the output of failures only.
# usage: tools/list_skipped.sh build/ci
set -eu

log=$1/Testing/Temporary/LastTest.log
[ -f "$log" ] || exit 0
# unittest: "name (where) ... skipped 'reason'"; cmocka: "[  SKIPPED ] name", twice.
sed -n -e "s/^\(.*\) \.\.\. skipped ['\"]\(.*\)['\"]\$/skipped: \1: \2/p" \
    -e '/listed below/d' -e 's/^\[  SKIPPED \] /skipped: /p' "$log" | sort -u
