#!/usr/bin/env python3
"""Every row of the golden model's training table with what must come out, as a raw file for the C tests.

    python3 tools/golden_rows.py OUT [--model FILE] [--data DIR]

Layout, little-endian: u32 rows, u32 features, u32 classes, u32 0; float32 x[rows][features];
float64 p[rows][classes]; uint8 label[rows]. With scikit-learn of the model's version at hand use
tools/train_golden.py to compare against the library; the numpy evaluator equals it bit for bit.
Exits with 77 (a skipped test) where the table is absent.
"""
import argparse
import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tools")]
import tilth  # noqa: E402
from train_golden import TABLE, read_table  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models" / "crop-mask-south-eastern.tilth")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared" / "data")
    args = parser.parse_args()
    if not (args.data / TABLE).exists():
        print(f"skipped: {args.data / TABLE} is absent", file=sys.stderr)
        sys.exit(77)
    x, _, _ = read_table(args.data / TABLE)
    model = tilth.load(args.model)
    p = model.probabilities(x)
    with open(args.out, "wb") as out:
        out.write(struct.pack("<4I", len(x), x.shape[1], p.shape[1], 0))
        out.write(x.astype("<f4").tobytes() + p.astype("<f8").tobytes())
        out.write(model.values[p.argmax(axis=1)].tobytes())
    print(f"{args.out}: {len(x)} rows, {x.shape[1]} features, {p.shape[1]} classes")


if __name__ == "__main__":
    main()
