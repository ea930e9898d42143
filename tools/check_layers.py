#!/usr/bin/env python3
"""The include graph of src/ is a DAG of folders, and a third-party header has one home.

The two tables below are the rule; docs/architecture.md explains it.
"""
import pathlib
import re
import sys

MAY = {
    "base": set(),
    "geo": {"base"},
    "store": {"base"},
    "image": {"base"},
    "cache": {"base"},
    "raster": {"base", "geo", "store"},
    "model": {"base"},
    "feature": {"base"},
    "forest": {"base", "model"},
    "classify": {"base", "geo", "raster", "cache", "model", "feature", "forest"},
    "tiler": {"base", "geo", "image", "cache", "raster", "model", "feature", "forest", "classify"},
    "jobs": {"base", "geo", "store", "image", "cache", "raster", "forest", "classify", "tiler"},
    "http": {"base", "geo", "tiler", "jobs"},
    "cli": {"base", "geo", "store", "image", "cache", "raster", "model", "feature", "forest", "classify", "tiler", "jobs", "http"},
}
# Values without code of their own that callers further up need to fill in.
VALUES = {"image/encode.h", "image/palette.h", "store/s3_options.h"}

HOME = [
    (r"jansson\.h|xxhash\.h", {"base"}),
    (r"proj\.h", {"geo"}),
    (r"curl/", {"store"}),
    (r"openssl/", {"store", "http"}),
    (r"png\.h|webp/|turbojpeg\.h", {"image"}),
    (r"libdeflate\.h", {"raster", "image"}),
    (r"lmdb\.h", {"cache"}),
    (r"gdal|cpl_|ogr|zstd\.h|tiff", {"raster"}),
    (r"libpq", {"jobs"}),
    (r"h2o", {"http"}),
]


def includes(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line)
        if match:
            yield number, match[1] == '"', match[2]


def broken_rules(src):
    for path in sorted(src.rglob("*.[ch]")):
        here = path.relative_to(src).parts[0]
        for number, ours, name in includes(path):
            folder = name.split("/")[0]
            if ours and name not in VALUES and folder not in MAY.get(here, set()) | {here}:
                yield f"{path}:{number}: {here}/ may not include {name}"
            for pattern, homes in HOME:
                if not ours and re.match(pattern, name) and here not in homes:
                    yield f"{path}:{number}: {name} belongs to {' and '.join(sorted(homes))} alone"


def main():
    broken = list(broken_rules(pathlib.Path(sys.argv[1])))
    print("\n".join(broken) or "layers: ok")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
