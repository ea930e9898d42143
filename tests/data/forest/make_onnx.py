#!/usr/bin/env python3
"""Writes the ONNX fixtures of test_model_onnx.c: small models as skl2onnx 1.20, onnxmltools 1.16 and
CatBoost 1.2.10 export them, and what onnxruntime 1.32 predicts. Run by hand; the files are
committed. probes.py says what NAME.rows is; there the raw scores are the probabilities again.
"""
import pathlib
import sys

import catboost
import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from probes import labels, probes, rows, write

HERE = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
INPUT = [("x", FloatTensorType([None, 4]))]


def splits(model):
    node = next(n for n in model.graph.node if n.op_type == "TreeEnsembleClassifier")
    a = {x.name: x for x in node.attribute}
    return [(f, v) for f, v, m in zip(a["nodes_featureids"].ints, a["nodes_values"].floats, a["nodes_modes"].strings)
            if m != b"LEAF"]


def make(name, model, x):
    path = HERE / f"onnx_{name}.onnx"
    path.write_bytes(model.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    p = probes(x, splits(model))
    label, share = session.run(None, {session.get_inputs()[0].name: p})
    classes = sorted(share[0]) if isinstance(share[0], dict) else list(range(share.shape[1]))
    if isinstance(share[0], dict):
        share = np.array([[row[c] for c in classes] for row in share], np.float32)
    write(HERE / f"onnx_{name}.rows", p, share, share, [classes.index(c) for c in label])


def catboost_model(x, y):
    model = catboost.CatBoostClassifier(iterations=3, depth=3, random_seed=3, thread_count=1, verbose=0,
                                        allow_writing_files=False)
    model.fit(x, y)
    model.save_model("/tmp/catboost.onnx", format="onnx")
    made = onnx.load("/tmp/catboost.onnx")
    del made.metadata_props[:]  # long, and not read
    return made


def without(model, *attributes):
    """The hit rates are not read either, and make a third of the file."""
    for node in model.graph.node:
        for a in [a for a in node.attribute if a.name in ("nodes_hitrates", *attributes)]:
            node.attribute.remove(a)
    return model


def positive(model):
    """Every weight above zero: onnxruntime then looks for a sum above one half, LOGISTIC or not."""
    for node in model.graph.node:
        for a in node.attribute:
            if a.name == "class_weights":
                weights = [abs(w) for w in a.floats]
                del a.floats[:]
                a.floats.extend(weights)
    return model


x, holes = rows(7), rows(7, True)
two, three, holed = labels(x, 2), labels(x, 3), labels(holes, 3)
words = np.array(["béton", "maize", "soy"])[three]
small = {"n_estimators": 3, "max_depth": 3, "random_state": 1}
make("forest", without(to_onnx(RandomForestClassifier(**small).fit(x, words), x[:1])), x)
make("forest_binary", without(to_onnx(RandomForestClassifier(**small).fit(x, two), x[:1])), x)
make("boosted", without(to_onnx(GradientBoostingClassifier(**small).fit(x, three * 10), x[:1])), x)
make("boosted_binary", without(to_onnx(GradientBoostingClassifier(**small).fit(x, two), x[:1])), x)
boosted = GradientBoostingClassifier(**small).fit(x, two)
make("boosted_positive", positive(without(to_onnx(boosted, x[:1]))), x)
make("catboost", without(catboost_model(x, three)), x)
make("catboost_binary", without(catboost_model(x, two)), x)
model = lightgbm.LGBMClassifier(n_estimators=3, num_leaves=6, verbose=-1, random_state=1).fit(holes, holed)
make("lightgbm", without(onnxmltools.convert_lightgbm(model, initial_types=INPUT)), holes)
model = xgboost.XGBClassifier(n_estimators=3, max_depth=3, random_state=1).fit(holes, holed)
make("xgboost", without(onnxmltools.convert_xgboost(model, initial_types=INPUT)), holes)
