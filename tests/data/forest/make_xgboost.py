#!/usr/bin/env python3
"""Writes the XGBoost fixtures of test_xgboost.c: small real models in JSON and UBJSON and
what the library itself predicts. Run by hand, once each with xgboost 3.2.0, 2.1.4 and 1.7.6; the
files are committed. NAME.json (or .ubj) is Booster.save_model(); probes.py says what NAME.rows is.
"""
import json
import pathlib
import sys

import numpy as np
import xgboost

from probes import category_probes, labels, probes, rows, write

HERE = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
MAJOR = xgboost.__version__.split(".")[0]


def splits(path):
    trees = json.loads(path.read_text())["learner"]["gradient_booster"]
    trees = trees.get("gbtree", trees)["model"]["trees"]
    return [(f, c) for t in trees
            for i, (f, c, l) in enumerate(zip(t["split_indices"], t["split_conditions"], t["left_children"]))
            if l >= 0 and i not in t["categories_nodes"]]


def answers(booster, x, classes, used, data=None):
    """Probabilities of every class, margins, labels as the scikit-learn wrapper gives them."""
    if data is not None:
        raw = booster.predict(data, output_margin=True, iteration_range=used)
        p = booster.predict(data, iteration_range=used)
    else:  # a DMatrix refuses infinities
        raw = booster.inplace_predict(x, predict_type="margin", iteration_range=used, missing=np.nan)
        p = booster.inplace_predict(x, iteration_range=used, missing=np.nan)
    if classes == 2:
        return np.stack([np.float32(1) - p, p], 1), raw, p > 0.5
    if p.ndim == 1:  # multi:softmax answers with labels
        power = np.exp(raw.astype(float) - raw.max(1, keepdims=True))
        return power / power.sum(1, keepdims=True), raw, p
    return p, raw, p.argmax(1)


def train(kind, classes, rounds=4, stop=False, categories=(), values=None, **parameters):
    """`categories`: columns that hold them; `values`: of what a table had in column 1 instead of 0, 1, .."""
    x = rows(7, kind != "plain")
    y = labels(x, classes)
    rng = np.random.default_rng(5)
    for f in categories:
        x[:, f] = np.where(np.isnan(x[:, f]), np.nan, rng.integers(0, len(values) if values else 70, len(x)))
        y = (y + np.nan_to_num(x[:, f]).astype(int) % 3 // 2) % classes
    base = {"max_depth": 3, "eta": 0.6, "seed": 3, "nthread": 1, "tree_method": "hist"}
    if classes > 2:
        base |= {"objective": "multi:softprob", "num_class": classes}
    else:
        base |= {"objective": "binary:logistic"}
    more = {}
    if stop:
        noise = matrix(rows(8), label=np.random.default_rng(1).integers(0, classes, 300))
        more = {"evals": [(noise, "noise")], "early_stopping_rounds": 2, "verbose_eval": False}
    held = x.copy()
    if values:
        held[:, 1] = np.asarray(values)[x[:, 1].astype(int)]
    return x, xgboost.train(base | parameters, matrix(held, categories, values, y), rounds, **more)


def matrix(x, categories=(), values=None, label=None):
    names = ["B02", "B03", "nd\"vi\"", "µ"]
    types = ["c" if f in categories else "float" for f in range(4)]
    if not values:
        return xgboost.DMatrix(x, label, feature_names=names, feature_types=types if categories else None,
                               enable_categorical=bool(categories))
    import pandas
    frame = pandas.DataFrame(x, columns=names)
    frame["B03"] = pandas.Categorical(x[:, 1].astype(int), categories=values)
    return xgboost.DMatrix(frame, label, enable_categorical=True)


def make(name, kind, classes, forms=("json",), categories=(), values=None, **parameters):
    name = f"xgboost{MAJOR}_{name}"
    x, booster = train(kind, classes, categories=categories, values=values, **parameters)
    for form in forms:
        booster.save_model(HERE / f"{name}.{form}")
    text = HERE / f"{name}.json"
    if "json" not in forms:
        text = pathlib.Path("/tmp") / f"{name}.json"
        booster.save_model(text)
    p = probes(x, splits(text) or [(0, 0)])
    if values:  # an unknown one the library refuses to predict
        p = p[np.isin(p[:, 1], np.arange(len(values)))]
        p[:, 1] = np.asarray(values)[p[:, 1].astype(int)]
    else:
        p = np.concatenate([p, *(category_probes(x, f, 70) for f in categories)])
    best = booster.attr("best_iteration")
    used = (0, int(best) + 1 if best else 0)
    # inplace_predict() of 1.x adds the trees of dart up otherwise, and does not know categories.
    if parameters.get("booster") == "dart" or categories:
        p = p[~np.isinf(p).any(1)]
        write(HERE / f"{name}.rows", p, *answers(booster, p, classes, used, matrix(p, categories, values)))
    else:
        booster.feature_names = None
        write(HERE / f"{name}.rows", p, *answers(booster, p, classes, used))


if MAJOR == "2":  # leaves of several numbers as they were kept until 3.1
    make("vector", "nan", 3, ("ubj",), multi_strategy="multi_output_tree")
    sys.exit()
make("binary", "nan", 2, ("json", "ubj"))
make("base", "plain", 2, base_score=0.3)
make("softprob", "nan", 3, ("json", "ubj"), rounds=2, num_parallel_tree=2, subsample=0.7)
make("softmax", "nan", 3, ("ubj",), objective="multi:softmax", rounds=3)
make("dart", "nan", 2, booster="dart", rate_drop=0.5, rounds=6)
make("dart_multi", "nan", 3, ("ubj",), booster="dart", rate_drop=0.5, rounds=3)
make("best", "plain", 2, ("ubj",), stop=True, rounds=9)
make("categories", "nan", 3, ("json",), categories=(1, 2), rounds=3)
make("categories_onehot", "nan", 2, ("ubj",), categories=(1,), max_cat_to_onehot=100)
if MAJOR == "3":
    make("vector", "nan", 3, ("json", "ubj"), multi_strategy="multi_output_tree", num_parallel_tree=2, rounds=2)
    make("values", "plain", 2, ("json",), categories=(1,), values=[10, 3, 255, 0, -7, 20])
