#!/usr/bin/env python3
"""Writes the CatBoost fixtures of test_catboost.c: small real models in JSON and what the
library itself predicts. Run by hand with catboost 1.2.10; the files are committed. NAME.json is
save_model(format="json"); probes.py says what NAME.rows is.
"""
import json
import pathlib
import sys

import catboost
import numpy as np

from probes import labels, probes, rows, write

HERE = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent


def splits(path):
    found = []

    def walk(value):
        if isinstance(value, dict):
            if "border" in value:
                found.append((value["float_feature_index"], value["border"]))
            for v in value.values():
                walk(v)
        elif isinstance(value, list):
            for v in value:
                walk(v)

    model = json.loads(path.read_text())
    walk(model.get("oblivious_trees", model.get("trees")))
    return found


def make(name, kind, classes, names=None, scale=None, **parameters):
    x = rows(7, kind != "plain")
    y = labels(x, classes)
    if names:
        y = np.array(names)[y]
    base = {"iterations": 4, "depth": 3, "learning_rate": 0.5, "random_seed": 3, "thread_count": 1, "verbose": 0,
            "allow_writing_files": False, "loss_function": "Logloss" if classes == 2 else "MultiClass"}
    model = catboost.CatBoostClassifier(**(base | parameters))
    model.fit(catboost.Pool(x, y, feature_names=["B02", "B03", "ndvi", "µ"] if names else None))
    if scale:
        model.set_scale_and_bias(*scale)
    path = HERE / f"catboost_{name}.json"
    model.save_model(path, format="json")
    text = json.loads(path.read_text())
    text["model_info"] = {k: text["model_info"][k] for k in ("class_params", "params")}  # the rest is long
    path.write_text(json.dumps(text, indent=None))
    # The trained model answers: the library's own JSON reader rounds leaves by an ulp or two.
    p = probes(x, splits(path))
    raw = model.predict(p, prediction_type="RawFormulaVal")
    label = model.predict(p, prediction_type="Class").ravel()
    position = [list(map(str, model.classes_)).index(str(c)) for c in label]
    write(HERE / f"catboost_{name}.rows", p, model.predict(p, prediction_type="Probability"), raw, position)


make("binary", "nan", 2)
make("plain", "plain", 2, scale=(0.5, 0.25))
make("multi", "nan", 3, names=["maize", "so\"y", "béton"])
make("nan_max", "nan", 3, nan_mode="Max")
make("ova", "nan", 3, loss_function="MultiClassOneVsAll")
make("lossguide", "nan", 3, grow_policy="Lossguide", max_leaves=6)
make("depthwise", "nan", 2, grow_policy="Depthwise")
