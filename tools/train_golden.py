#!/usr/bin/env python3
"""Trains the golden model: the published crop mask of south-eastern Africa, from its published table.

    python3 tools/train_golden.py [--data DIR] [--out models/crop-mask-south-eastern.tilth]

Needs scikit-learn 1.9 (the committed file was made with it; the tests accept any version's file).
Prints the 5-fold stratified balanced accuracy; the publisher reports 0.77 for this zone.
"""
import argparse
import hashlib
import pathlib
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python"))
import tilth  # noqa: E402

TABLE = "crop-mask/training_south_eastern.txt"
SEED = 1
PARAMETERS = dict(n_estimators=250, criterion="entropy", max_features=None)
CLASSES = [{"value": 0, "name": "not-crop", "color": "BFBF7A"}, {"value": 1, "name": "crop", "color": "E49635"}]


def read_table(path):
    """-> (float32 rows [n, 33], labels [n], feature names); the first column is the class."""
    with open(path) as file:
        names = file.readline().lstrip("# ").split()[1:]
    table = np.loadtxt(path)
    return table[:, 1:].astype(np.float32), table[:, 0].astype(int), names


def cross_validate(x, y):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import balanced_accuracy_score, f1_score
    from sklearn.model_selection import StratifiedKFold
    accuracy, f1 = [], []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=SEED).split(x, y):
        forest = RandomForestClassifier(**PARAMETERS, random_state=SEED, n_jobs=-1).fit(x[train], y[train])
        guess = forest.predict(x[test])
        accuracy.append(balanced_accuracy_score(y[test], guess))
        f1.append(f1_score(y[test], guess))
    return float(np.mean(accuracy)), float(np.std(accuracy)), float(np.mean(f1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "models" / "crop-mask-south-eastern.tilth")
    args = parser.parse_args()
    try:
        import sklearn
        from sklearn.ensemble import RandomForestClassifier
    except ImportError:
        sys.exit("train_golden: scikit-learn is missing: python3 -m venv V && V/bin/pip install 'scikit-learn==1.9.*'")
    path = args.data / TABLE
    if not path.exists():
        sys.exit(f"train_golden: {path} is missing: it is digitalearthafrica/crop-mask's training table")
    x, y, names = read_table(path)
    start = time.perf_counter()
    mean, deviation, f1 = cross_validate(x, y)
    print(f"5-fold stratified balanced accuracy {mean:.4f} +- {deviation:.4f}, F1 {f1:.4f} (published 0.77), "
          f"{time.perf_counter() - start:.0f} s")
    forest = RandomForestClassifier(**PARAMETERS, random_state=SEED, n_jobs=-1).fit(x, y)
    model = tilth.export(forest, args.out, features=names, classes=CLASSES, golden=x, seed=SEED,
                         name="crop mask, south-eastern Africa", provenance={
        "data": "digitalearthafrica/crop-mask, " + TABLE.split("/")[1],
        "data_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": "training table Apache-2.0; Digital Earth Africa data CC-BY-4.0; contains modified Copernicus "
                   "Sentinel data",
        "rows": len(x), "script": "tools/train_golden.py", "seed": SEED,
        "parameters": {k: v for k, v in PARAMETERS.items()},
        "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
        "scores": {"balanced_accuracy_5fold": round(mean, 4), "f1_crop_5fold": round(f1, 4), "published": 0.77}})
    forest.n_jobs = 1
    theirs, ours = forest.predict_proba(x), model.probabilities(x)
    same = (model.values[ours.argmax(axis=1)] == model.values[theirs.argmax(axis=1)]).all()
    print(f"{len(x)} training rows: labels {'equal' if same else 'DIFFER'}, largest difference of a probability "
          f"{np.abs(theirs - ours).max():.3g}")
    print(f"{model.tree_count} trees, {model.node_count} nodes, {len(model.tensors['leaf_values'])} leaf rows, "
          f"{args.out.stat().st_size} bytes, sha256 {hashlib.sha256(args.out.read_bytes()).hexdigest()}")
    sys.exit(not same)


if __name__ == "__main__":
    main()
