#!/usr/bin/env python3
"""Writes the LightGBM fixtures of test_lightgbm.c: small real models and what the library
itself predicts. Run by hand with lightgbm 4.7.0 and pandas 3.0; the files are committed. NAME.txt is
Booster.save_model() without its parameters; probes.py says what NAME.rows is.
"""
import pathlib
import re
import sys

import lightgbm
import numpy as np
import pandas

from probes import category_probes, labels, probes, rows, write

HERE = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent


def answers(booster, x, classes):
    """Probabilities of every class, raw scores, labels as the scikit-learn wrapper gives them."""
    p, raw = booster.predict(x), booster.predict(x, raw_score=True)
    if classes == 2:
        p = np.stack([1 - p, p], 1)
    return p, raw, p.argmax(1)


def splits(booster):
    """Features and thresholds; of a set of categories "3||7||9" there is none."""
    table = booster.trees_to_dataframe()
    table = table[table.split_feature.notna() & (table.decision_type == "<=")]
    names = booster.feature_name()
    return [(names.index(f), float(t)) for f, t in zip(table.split_feature, table.threshold)]


def save(booster, path):
    text = booster.model_to_string()
    path.write_text(re.sub(r"\nfeature_importances:.*end of parameters\n", "", text, flags=re.S))


def make(name, kind, classes, rounds=4, categories=(), codes=None, **parameters):
    """`categories`: columns that hold them; `codes`: what pandas has there instead of 0, 1, .."""
    x = rows(7, kind in ("nan", "zero"))
    rng = np.random.default_rng(5)
    if kind == "zero":
        x[rng.random(x.shape) < 0.25] = 0
    y = labels(x, classes)
    for f in categories:
        x[:, f] = np.where(np.isnan(x[:, f]), np.nan, rng.integers(0, 70 if codes is None else len(codes), len(x)))
        y = (y + np.nan_to_num(x[:, f]).astype(int) % 3 // 2) % classes
    base = {"verbose": -1, "num_leaves": 7, "min_data_in_leaf": 5, "seed": 3, "num_threads": 1,
            "zero_as_missing": kind == "zero", "use_missing": kind != "plain", "min_data_per_group": 5, "cat_smooth": 1}
    frame = table(x, codes)
    data = lightgbm.Dataset(frame, y, categorical_feature=list(categories) if codes is None else "auto", free_raw_data=False)
    booster = lightgbm.train({**base, **parameters}, data, num_boost_round=rounds)
    save(booster, HERE / f"{name}.txt")
    p = probes(x, splits(booster) or [(0, 0)], odd=[1e-35, 2e-35, -2e-35, *(() if codes else ODDER)])
    for f in categories:
        p = np.concatenate([p, category_probes(x, f, 70 if codes is None else len(codes))])
    if codes is not None:  # the rows hold pandas's values, and some that are near them
        p = np.concatenate([p, x[:20]])
        held = p.copy()
        known = np.isin(p[:, 1], np.arange(len(codes)))
        held[known, 1] = np.asarray(codes, np.float32)[p[known, 1].astype(int)]
        write(HERE / f"{name}.rows", held, *answers(booster, framed(held, codes), classes))
    else:
        write(HERE / f"{name}.rows", p, *answers(booster, p, classes))


def table(x, codes):
    """The training table; with `codes` a frame whose second column is of pandas's categories."""
    if codes is None:
        return x
    held = x.copy()
    held[:, 1] = np.asarray(codes, np.float32)[x[:, 1].astype(int)]
    return framed(held, codes)


def framed(held, codes):
    frame = pandas.DataFrame(held, columns=list("abcd"))
    frame["b"] = pandas.Categorical(held[:, 1].astype(float), categories=codes)
    return frame


ODDER = [0.0, -0.0, 1e-36, -1e-36, 1e-44, 3e38, np.inf, -np.inf, np.nan]

make("lightgbm_binary", "plain", 2, objective="binary")
make("lightgbm_binary_nan", "nan", 2, objective="binary", sigmoid=0.7)
make("lightgbm_multiclass", "nan", 3, objective="multiclass", num_class=3)
make("lightgbm_ova_zero", "zero", 3, objective="multiclassova", num_class=3, sigmoid=1.3)
make("lightgbm_rf", "plain", 3, objective="multiclass", num_class=3, boosting="rf",
     bagging_freq=1, bagging_fraction=0.7, feature_fraction=0.8)
make("lightgbm_cross_entropy", "zero", 2, objective="cross_entropy")
make("lightgbm_categories", "nan", 3, categories=(1, 2), objective="multiclass", num_class=3, rounds=3)
make("lightgbm_categories_zero", "zero", 2, categories=(1,), objective="binary", max_cat_to_onehot=100)
make("lightgbm_pandas", "plain", 2, categories=(1,), codes=[10.0, -3.0, 20.5, 0.0, 7.0, 255.0, 0.1], objective="binary")
make("lightgbm_linear", "nan", 2, objective="binary", linear_tree=True, linear_lambda=0.1)
make("lightgbm_linear_multi", "nan", 3, categories=(1,), objective="multiclass", num_class=3, linear_tree=True, rounds=3)
