#!/usr/bin/env python3
"""Writes the LightGBM fixtures of test_model_lightgbm.c: small real models and what the
library itself predicts. Run by hand with lightgbm installed; the files are committed.

NAME.txt is Booster.save_model(). NAME.rows has one line per row: the features as C99 hex
floats of float32 values (or nan), "|", then Booster.predict() and Booster.predict(raw_score)
as hex floats.
"""
import pathlib

import lightgbm
import numpy as np

HERE = pathlib.Path(__file__).parent
RNG = np.random.default_rng(7)


def rows(kind):
    """300 rows of 4 features; zeros, NaN and tiny values where `kind` wants them."""
    x = RNG.normal(0, 1, (300, 4)).astype(np.float32)
    x[:, 1] = np.round(x[:, 1], 1)
    if kind in ("nan", "zero"):
        x[RNG.random(x.shape) < 0.15] = np.nan
    if kind == "zero":
        x[RNG.random(x.shape) < 0.25] = 0
    return x


def labels(x, classes):
    score = np.nan_to_num(x[:, 0]) + 0.7 * np.nan_to_num(x[:, 1]) ** 2 - np.isnan(x[:, 2]) - (x[:, 3] == 0)
    return np.searchsorted(np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]), score)


def probes(x, booster):
    """Rows of the data, rows on the thresholds and one step beside them, and odd values."""
    table = booster.trees_to_dataframe()
    table = table[table.split_feature.notna()]
    made = [x[:8]]
    for _, node in table.sample(8, random_state=1, replace=True).iterrows():
        feature = int(node.split_feature.split("_")[1])
        near = np.float32(node.threshold)
        for value in (near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))):
            row = x[RNG.integers(len(x))].copy()
            row[feature] = value
            made.append(row[None])
    odd = [0.0, -0.0, 1e-36, -1e-36, 1e-35, 2e-35, -2e-35, 1e-44, np.inf, -np.inf, np.nan]
    for value in odd:
        for feature in (0, 3):
            row = x[RNG.integers(len(x))].copy()
            row[feature] = value
            made.append(row[None])
    return np.concatenate(made).astype(np.float32)


def hexes(values):
    return " ".join("nan" if v != v else float(v).hex() for v in np.ravel(values))


def make(name, kind, classes, **parameters):
    x = rows(kind)
    base = {"verbose": -1, "num_leaves": 7, "min_data_in_leaf": 5, "seed": 3, "num_threads": 1,
            "zero_as_missing": kind == "zero", "use_missing": kind != "plain"}
    data = lightgbm.Dataset(x, labels(x, classes), free_raw_data=False)
    booster = lightgbm.train({**base, **parameters}, data, num_boost_round=4)
    booster.save_model(HERE / f"{name}.txt")
    p = probes(x, booster)
    lines = [f"{hexes(row)} | {hexes(prob)} {hexes(raw)}"
             for row, prob, raw in zip(p, booster.predict(p), booster.predict(p, raw_score=True))]
    (HERE / f"{name}.rows").write_text("\n".join(lines) + "\n")


make("lightgbm_binary", "plain", 2, objective="binary")
make("lightgbm_binary_nan", "nan", 2, objective="binary", sigmoid=0.7)
make("lightgbm_multiclass", "nan", 3, objective="multiclass", num_class=3)
make("lightgbm_ova_zero", "zero", 3, objective="multiclassova", num_class=3)
make("lightgbm_rf", "plain", 3, objective="multiclass", num_class=3, boosting="rf",
     bagging_freq=1, bagging_fraction=0.7, feature_fraction=0.8)
make("lightgbm_cross_entropy", "zero", 2, objective="cross_entropy")
