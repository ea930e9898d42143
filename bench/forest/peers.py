#!/usr/bin/env python3
"""tilth against scikit-learn, LightGBM and onnxruntime on the same rows, one thread each.

    peers.py BENCH_FOREST TRAINING.txt [--rounds 5] [--pixels 65536]

Trains the golden model's family on the training table (space separated, class first, header
line "# Class name name .."), writes the models with python/tilth, lets bench_forest make its
tiles of the real rows, and times everybody in alternating rounds on exactly those pixels. CPU
time of the process, not wall time, so that a shared machine disturbs less. Labels must be
equal, pixel by pixel, or the program fails.

The peers live in a virtual environment of their own (bench/forest/.venv by default, made on
first use); tilth itself needs none of them.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = ["numpy", "scikit-learn", "lightgbm", "skl2onnx", "onnxruntime"]
TILES = ["smooth", "noisy", "rows", "structureless"]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def inside_environment(path):
    """Starts again in the virtual environment that has the peers."""
    python = path / "bin" / "python"
    if not python.exists():
        venv.create(path, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    if pathlib.Path(sys.prefix) != path:
        os.execve(python, [str(python), *sys.argv], {**os.environ, **ONE_THREAD})


def cpu_ns(function):
    start = time.process_time_ns()
    result = function()
    return time.process_time_ns() - start, result


def train(table, folder):
    """The family: what tilth serves, in both of its formats, shallow and deep."""
    import lightgbm
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    sys.path.insert(0, str(HERE.parents[1] / "python"))
    import tilth

    names = open(table).readline().lstrip("# ").split()[1:]
    data = np.loadtxt(table)
    x, y = np.nan_to_num(data[:, 1:]).astype(np.float32), data[:, 0].astype(int)
    ten = np.searchsorted(np.quantile(x[:, 13], np.arange(1, 10) / 10), x[:, 13])
    x.tofile(folder / "rows.f32")
    models = {}
    for name, labels, model in (
            ("golden", y, RandomForestClassifier(250, criterion="entropy", max_features=None, random_state=1)),
            ("ten classes", ten, RandomForestClassifier(200, random_state=1)),
            ("255 leaves", ten, RandomForestClassifier(200, max_leaf_nodes=255, random_state=1))):
        model.fit(x, labels)
        path = folder / f"{name}.tilth"
        tilth.export(model, path, names, golden=x)
        models[name] = (path, {"scikit-learn": lambda rows, m=model: m.predict_proba(rows),
                               "onnxruntime": onnx(model, x.shape[1])})
    for name, labels, rounds, leaves in (("lightgbm 31", ten, 100, 31), ("lightgbm 255", ten, 50, 255)):
        booster = lightgbm.LGBMClassifier(n_estimators=rounds, num_leaves=leaves, min_child_samples=5,
                                          verbose=-1, n_jobs=1).fit(x, labels).booster_
        path = folder / f"{name}.txt"
        booster.save_model(path)
        models[name] = (path, {"lightgbm": lambda rows, b=booster: b.predict(rows, num_threads=1)})
    return models


def onnx(model, features):
    import onnxruntime
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    made = to_onnx(model, initial_types=[("x", FloatTensorType([None, features]))], options={"zipmap": False})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(["probabilities"], {"x": rows})[0]


def run_tilth(program, model, folder, pixels):
    """bench_forest once: its report per tile, and the tiles with the labels it gave."""
    import numpy as np

    out = folder / "tile"
    report = subprocess.run([program, model, folder / "rows.f32", str(pixels), "3", out], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    lines = [json.loads(line) for line in report.splitlines()]
    features = lines[0]["features"]
    ns = {line["tile"]: line["ns_px"] for line in lines[1:] if line["pixels"] == pixels}
    tiles = {}
    for tile in TILES:
        raw = pathlib.Path(f"{out}.{tile}").read_bytes()
        planes = np.frombuffer(raw, np.float32, features * pixels).reshape(features, pixels)
        tiles[tile] = (np.ascontiguousarray(planes.T), np.frombuffer(raw, np.uint8, pixels, 4 * features * pixels))
    return ns, tiles


def compare(program, name, path, peers, folder, options):
    best, differ = {}, 0
    for _ in range(options.rounds):
        ns, tiles = run_tilth(program, path, folder, options.pixels)
        for tile in TILES:
            rows, labels = tiles[tile]
            best[tile, "tilth"] = min(best.get((tile, "tilth"), 1e18), ns[tile])
            for peer, predict in peers.items():
                spent, p = cpu_ns(lambda: predict(rows))
                best[tile, peer] = min(best.get((tile, peer), 1e18), spent / options.pixels)
                wrong = int((p.argmax(1) != labels).sum())
                # onnxruntime adds in float32: its own ties may fall the other way.
                differ += wrong if peer != "onnxruntime" else 0
                if wrong:
                    print(f"{name}, {tile}: {wrong} labels differ from {peer}", file=sys.stderr)
    for (tile, who), value in best.items():
        print(json.dumps({"model": name, "tile": tile, "who": who, "ns_px": round(value, 1),
                          "times_tilth": round(value / best[tile, "tilth"], 2)}), flush=True)
    return differ


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("table")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pixels", type=int, default=65536)
    parser.add_argument("--venv", type=pathlib.Path, default=HERE / ".venv")
    options = parser.parse_args()
    inside_environment(options.venv.absolute())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        wrong = sum(compare(options.program, model, path, peers, folder, options)
                    for model, (path, peers) in train(options.table, folder).items())
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
