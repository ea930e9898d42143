#!/usr/bin/env python3
"""Distils the published training table into what tools/make_demo.py draws a synthetic scene from.

    python3 tools/scene_statistics.py [--data DIR] [--out tools/scene_statistics.json]

For every kind of land: the mean and the Cholesky factor of the covariance of 24 numbers per row, and
their 2 % and 98 % quantiles. The 24: natural logarithms of nine reflectances (DN / 10000) of each half
year, then -ln of the three median absolute deviations as the table has them. Kinds are picked by rules
on NDVI, MNDWI and variability, from rows with about as much rain as Harare; no row of the table is kept.

The scene shows land that can be told apart: only rows count that a forest which had not seen them labels
right by a clear margin (out of fold). Real land is harder, as the model's own score says.
Needs scikit-learn, as tools/train_golden.py does; the result is committed.
"""
import argparse
import json
import pathlib

import numpy as np

from train_golden import PARAMETERS, ROOT, SEED, TABLE, read_table

BANDS = ["blue", "green", "red", "nir", "swir_1", "swir_2", "red_edge_1", "red_edge_2", "red_edge_3"]
MADS = ["bcdev", "edev", "sdev"]
VARIABLES = [f"{b}_{s}" for s in ("S1", "S2") for b in BANDS + MADS]
SHRINK = 0.15  # towards the diagonal: some kinds have fewer rows than variables
MARGIN = 0.15  # of an out-of-fold probability from 1/2
RAIN = {"rain_S1": (300, 650), "rain_S2": (220, 450)}  # mm; Harare is in the middle


def clear_rows(x, y):
    """Rows that a forest trained without them labels right, and not by a hair."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    forest = RandomForestClassifier(**PARAMETERS, random_state=SEED, n_jobs=-1)
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
    p = cross_val_predict(forest, x, y, cv=folds, method="predict_proba")[:, 1]
    return np.where(y == 1, p > 0.5 + MARGIN, p < 0.5 - MARGIN)


def kinds(f, y, clear):
    """Name -> rows. NDVI of the wet half (w) and of the dry half (d), and how steady the land is."""
    w, d, water = f["NDVI_S1"], f["NDVI_S2"], np.minimum(f["MNDWI_S1"], f["MNDWI_S2"])
    steady = f["sdev_S1"] + f["sdev_S2"]
    near = np.ones(len(y), bool)
    for name, (low, high) in RAIN.items():
        near &= (f[name] > low) & (f[name] < high)
    other, crop = (y == 0) & (water < -0.1) & clear, (y == 1) & clear & near
    land = other & near
    return {
        "water": (y == 0) & (f["MNDWI_S1"] > 0) & (f["MNDWI_S2"] > -0.1),
        "forest": land & (w > 0.6) & (d > 0.42),
        "woodland": land & (w > 0.5) & (d > 0.25) & (d < 0.45),
        "shrub": land & (w > 0.35) & (w < 0.55) & (d > 0.15) & (d < 0.3),
        "grass": land & (w > 0.4) & (w < 0.75) & (d < 0.26),
        "wetland": other & (w > 0.45) & (f["MNDWI_S1"] > -0.48) & (d > 0.25) & (d < 0.5),
        "bare": other & (w < 0.3) & (d < 0.25) & (f["red_S1"] > 0.1),
        "built": other & (w < 0.42) & (d < 0.32) & (steady > 13.5) & (f["blue_S1"] > 0.06),
        "crop_summer": crop & (w > 0.5) & (d < 0.28),
        "crop_irrigated": (y == 1) & clear & (d > 0.42) & (w > 0.3),
        "crop_small": crop & (w > 0.25) & (w < 0.5) & (d < 0.28),
    }


def describe(rows):
    mean, covariance = rows.mean(axis=0), np.cov(rows.T)
    covariance = (1 - SHRINK) * covariance + SHRINK * np.diag(np.diag(covariance))
    low, high = np.percentile(rows, (2, 98), axis=0)
    rounded = lambda a: np.round(a, 4).tolist()  # noqa: E731
    return {"rows": len(rows), "mean": rounded(mean), "low": rounded(low), "high": rounded(high),
            "cholesky": [rounded(r[:i + 1]) for i, r in enumerate(np.linalg.cholesky(covariance))]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tools" / "scene_statistics.json")
    args = parser.parse_args()
    x, y, names = read_table(args.data / TABLE)
    f = dict(zip(names, x.astype(np.float64).T))
    table = np.stack([f[v] if v.rsplit("_", 1)[0] in MADS else np.log(np.maximum(f[v], 0.002)) for v in VARIABLES], 1)
    found = {name: describe(table[rows]) for name, rows in kinds(f, y, clear_rows(x, y)).items()}
    for name, kind in found.items():
        print(f"{name:15s} {kind['rows']:5d} rows")
    document = {
        "source": "digitalearthafrica/crop-mask, training_south_eastern.txt (Apache-2.0; Digital Earth Africa data "
                  "CC-BY-4.0; contains modified Copernicus Sentinel data 2019)",
        "variables": VARIABLES, "kinds": found}
    args.out.write_text(json.dumps(document).replace('}, "', '},\n"') + "\n")


if __name__ == "__main__":
    main()
