#!/usr/bin/env python3
"""Writes the XGBoost fixtures of test_model_libraries.c: small real models in JSON and UBJSON and
what the library itself predicts. Run by hand, once with xgboost 3.2.0 and once with 1.7.6; the
files are committed. NAME.json (or .ubj) is Booster.save_model(); probes.py says what NAME.rows is.
"""
import json
import pathlib
import sys

import numpy as np
import xgboost

from probes import labels, probes, rows, write

HERE = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
MAJOR = xgboost.__version__.split(".")[0]


def splits(path):
    trees = json.loads(path.read_text())["learner"]["gradient_booster"]
    trees = trees.get("gbtree", trees)["model"]["trees"]
    return [(f, c) for t in trees
            for f, c, l in zip(t["split_indices"], t["split_conditions"], t["left_children"]) if l >= 0]


def answers(booster, x, classes, used, dart):
    """Probabilities of every class, margins, labels as the scikit-learn wrapper gives them."""
    if dart:  # 1.x adds up otherwise in inplace_predict()
        data = xgboost.DMatrix(x)
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


def train(kind, classes, rounds=4, stop=False, **parameters):
    x = rows(7, kind != "plain")
    y = labels(x, classes)
    base = {"max_depth": 3, "eta": 0.6, "seed": 3, "nthread": 1, "tree_method": "hist"}
    if classes > 2:
        base |= {"objective": "multi:softprob", "num_class": classes}
    else:
        base |= {"objective": "binary:logistic"}
    names = ["B02", "B03", "nd\"vi\"", "µ"]
    data = xgboost.DMatrix(x, y, feature_names=names)
    more = {}
    if stop:
        noise = xgboost.DMatrix(rows(8), np.random.default_rng(1).integers(0, classes, 300), feature_names=names)
        more = {"evals": [(noise, "noise")], "early_stopping_rounds": 2, "verbose_eval": False}
    return x, xgboost.train(base | parameters, data, rounds, **more)


def make(name, kind, classes, forms=("json",), **parameters):
    name = f"xgboost{MAJOR}_{name}"
    x, booster = train(kind, classes, **parameters)
    for form in forms:
        booster.save_model(HERE / f"{name}.{form}")
    text = HERE / f"{name}.json"
    if "json" not in forms:
        text = pathlib.Path("/tmp") / f"{name}.json"
        booster.save_model(text)
    p = probes(x, splits(text))
    best = booster.attr("best_iteration")
    booster.feature_names = None
    dart = parameters.get("booster") == "dart"
    if dart:
        p = p[~np.isinf(p).any(1)]
    write(HERE / f"{name}.rows", p, *answers(booster, p, classes, (0, int(best) + 1 if best else 0), dart))


make("binary", "nan", 2, ("json", "ubj"))
make("base", "plain", 2, base_score=0.3)
make("softprob", "nan", 3, ("json", "ubj"), rounds=2, num_parallel_tree=2, subsample=0.7)
make("softmax", "nan", 3, ("ubj",), objective="multi:softmax", rounds=3)
make("dart", "nan", 2, booster="dart", rate_drop=0.5, rounds=6)
make("dart_multi", "nan", 3, ("ubj",), booster="dart", rate_drop=0.5, rounds=3)
make("best", "plain", 2, ("ubj",), stop=True, rounds=9)
