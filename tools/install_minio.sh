#!/bin/sh
# Makes sure that a MinIO server is there for the S3 tests and prints its path: the one on PATH,
# or one built once per machine into the user's cache folder. Prints nothing (and succeeds) where
# neither is possible: the tests then report the S3 cases as skipped, by name.
set -eu

version=v0.0.0-20260212201848-7aac2a2c5b7c # the one version that the module proxy serves
bin=${XDG_CACHE_HOME:-$HOME/.cache}/tilth/bin

if command -v minio >/dev/null; then
    command -v minio
    exit 0
fi
if [ ! -x "$bin/minio" ] && command -v go >/dev/null; then
    echo "tilth: building MinIO for the S3 tests, once, about three minutes" >&2
    GOBIN=$bin GOFLAGS=-mod=mod go install "github.com/minio/minio@$version" >&2 ||
        echo "tilth: MinIO cannot be built here; the S3 tests will be skipped" >&2
fi
[ ! -x "$bin/minio" ] || echo "$bin/minio"
