"""python -m tilth info|verify FILE"""
import argparse
import hashlib
import json
import sys

from . import ModelError, load


def info(model, path):
    with open(path, "rb") as file:
        data = file.read()
    m = model.manifest
    print(f"{m.get('name')}: {m['kind']}, {model.tree_count} trees, {model.node_count} nodes, depth {model.depth()}")
    print(f"file       {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    print(f"features   {len(model.features)}: {' '.join(model.features)}")
    for c in model.classes:
        print(f"class      {c['value']:3d} {c.get('name', '')} {c.get('color', '')}")
    print(f"golden     {len(model.tensors['golden_x'])} rows")
    print(f"provenance {json.dumps(m.get('provenance', {}), indent=2)}")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tilth", description="Looks at tilth model files.")
    parser.add_argument("command", choices=("info", "verify"),
                        help="info: what the file says of itself; verify: replay its golden rows")
    parser.add_argument("file")
    args = parser.parse_args(argv)
    try:
        model = load(args.file)
        if args.command == "info":
            info(model, args.file)
        else:
            rows, difference = model.verify()
            print(f"{args.file}: {rows} golden rows reproduced, largest difference {difference:.3g}")
    except (ModelError, OSError) as error:
        print(f"tilth: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
