#!/usr/bin/env python3
"""Writes the ONNX fixtures of test_onnx.c: small models as skl2onnx 1.20, onnxmltools 1.16 and
CatBoost 1.2.10 export them, and some that onnx 1.23 made up, with what onnxruntime 1.32 predicts. Run
by hand; the files are committed. probes.py says what NAME.rows is; there the raw scores are the probabilities again.
"""
import pathlib
import sys

import catboost
import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import skl2onnx
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import (ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier,
                              VotingClassifier)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from probes import category_probes, labels, probes, rows, write

HERE = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
INPUT = [("x", FloatTensorType([None, 4]))]


def splits(model):
    found = []
    for node in model.graph.node:
        if node.op_type == "TreeEnsembleClassifier":
            a = {x.name: x for x in node.attribute}
            lists = zip(a["nodes_featureids"].ints, a["nodes_values"].floats, a["nodes_modes"].strings)
            found += [(f, v) for f, v, m in lists if m != b"LEAF"]
    return found


def feed(session, p):
    """One input of all columns, or one input for each."""
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64}
    inputs = session.get_inputs()
    if len(inputs) == 1:
        return {inputs[0].name: p.astype(kinds[inputs[0].type])}
    return {i.name: p[:, [f]].astype(kinds[i.type]) for f, i in enumerate(inputs)}


def make(name, model, x, more=(), thresholds=None, unscale=lambda x: x, whole=False):
    """`thresholds`: (feature, value) of the splits; `unscale` takes a row of columns to one of features; `whole`:
    no fractions, which onnxruntime cuts off in large sets of members, and in small ones not."""
    path = HERE / f"onnx_{name}.onnx"
    path.write_bytes(model.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    at = []
    for f, v in thresholds or splits(model):
        row = np.zeros((1, 4))
        row[0, f] = v
        at.append((f, unscale(row)[0, f]))
    p = np.concatenate([probes(x, at), *more])
    if whole:
        p = np.round(p)
    label, share = session.run(None, feed(session, p))
    classes = sorted(share[0]) if isinstance(share[0], dict) else list(range(share.shape[1]))
    if isinstance(share[0], dict):
        share = np.array([[row[c] for c in classes] for row in share], np.float32)
    write(HERE / f"onnx_{name}.rows", p, share, share, [classes.index(c) for c in np.ravel(label)])


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

def vote(members, y, **more):
    """skl2onnx writes only votes that do not flatten."""
    found = VotingClassifier([(str(i), m) for i, m in enumerate(members)], voting="soft", flatten_transform=False, **more)
    return without(to_onnx(found.fit(x, y), x[:1]))


forest, extra, boost = (c(**small) for c in (RandomForestClassifier, ExtraTreesClassifier, GradientBoostingClassifier))
make("vote", vote([forest, extra, boost], three, weights=np.array([1.0, 2.0, 0.3])), x)
make("vote_binary", vote([forest, boost], two), x)
make("vote_words", vote([make_pipeline(StandardScaler(), forest), extra], words), x)
scaled = make_pipeline(StandardScaler(), forest).fit(x, three)
make("scaled", without(to_onnx(scaled, x[:1])), x, unscale=scaled[0].inverse_transform)
falling = make_pipeline(MinMaxScaler(), forest).fit(x, three)
falling[0].scale_ *= [1, -1, 1, -1]
make("falling", without(to_onnx(falling, x[:1])), x, unscale=falling[0].inverse_transform)
filled = make_pipeline(SimpleImputer(), StandardScaler(), forest).fit(holes, holed)
make("filled", without(to_onnx(filled, holes[:1])), holes, unscale=filled[1].inverse_transform)
one_each = [(n, skl2onnx.common.data_types.FloatTensorType([None, 1])) for n in ("blue", "green", "red", "nir")]
make("inputs", without(to_onnx(make_pipeline(StandardScaler(), forest).fit(x, three), initial_types=one_each)), x,
     unscale=scaled[0].inverse_transform)
sets = holes.copy()
sets[:, 1] = np.random.default_rng(5).integers(0, 40, len(sets))
model = lightgbm.LGBMClassifier(n_estimators=3, num_leaves=6, verbose=-1, random_state=1, min_data_per_group=5,
                                cat_smooth=1, min_child_samples=5)
model.fit(sets, (holed + sets[:, 1].astype(int) % 3 // 2) % 3, categorical_feature=[1])
make("lightgbm_categories", without(onnxmltools.convert_lightgbm(model, initial_types=INPUT)), sets,
     [category_probes(sets, 1, 40)])


# ---- made up: every mode, NaN to either side, float32 and double ----

RNG = np.random.default_rng(9)
DEPTH, TREES, CLASSES = 4, 6, 3
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"]
INNER, LEAVES = 2 ** DEPTH - 1, 2 ** DEPTH


def numbers(count, wide):
    """Whole numbers, for equality, and others; as doubles also what no float32 is."""
    made = RNG.integers(-2, 5, count) + np.where(RNG.random(count) < 0.4, RNG.normal(size=count), 0)
    return made if wide else made.astype(np.float32)


def real(name, values, wide):
    kind = np.float64 if wide else np.float32
    return numpy_helper.from_array(np.asarray(values, kind), name)


def graph(node, wide, extra=(), constants=(), outputs=("label", "share")):
    kind = TensorProto.DOUBLE if wide else TensorProto.FLOAT
    out = [helper.make_tensor_value_info(outputs[0], TensorProto.INT64, [None]),
           helper.make_tensor_value_info(outputs[1], TensorProto.FLOAT if node.op_type != "TreeEnsemble" else kind,
                                         [None, CLASSES])]
    made = helper.make_graph([node, *extra], "g", [helper.make_tensor_value_info("x", kind, [None, 4])], out, constants)
    return helper.make_model(made, ir_version=9, opset_imports=[
        helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 5 if node.op_type == "TreeEnsemble" else 3)])


def classifier(wide, transform):
    """Complete trees, a leaf has a weight for each class."""
    inner, each = INNER, INNER + LEAVES
    modes = [MODES[i] for i in RNG.integers(0, 6, TREES * inner)]
    values, features = numbers(TREES * inner, wide), RNG.integers(0, 4, TREES * inner)
    columns = {k: [] for k in ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids", "modes", "values",
                               "missing_value_tracks_true")}
    for t in range(TREES):
        for n in range(each):
            at = t * inner + n
            leaf = n >= inner
            for key, value in (("treeids", t), ("nodeids", n), ("featureids", 0 if leaf else features[at]),
                               ("truenodeids", 0 if leaf else 2 * n + 1), ("falsenodeids", 0 if leaf else 2 * n + 2),
                               ("modes", "LEAF" if leaf else modes[at]), ("values", 0.0 if leaf else values[at]),
                               ("missing_value_tracks_true", int(RNG.random() < 0.5))):
                columns[key].append(value)
    weights = RNG.normal(size=TREES * LEAVES * CLASSES)
    a = {f"nodes_{k}": [int(i) for i in v] for k, v in columns.items() if k not in ("modes", "values")}
    a |= {"nodes_modes": columns["modes"], "post_transform": transform, "classlabels_int64s": [0, 1, 2],
          "class_treeids": [t for t in range(TREES) for _ in range(LEAVES * CLASSES)],
          "class_nodeids": [inner + n for _ in range(TREES) for n in range(LEAVES) for _ in range(CLASSES)],
          "class_ids": list(range(CLASSES)) * (TREES * LEAVES)}
    if wide:
        a |= {"nodes_values_as_tensor": real("v", columns["values"], True),
              "class_weights_as_tensor": real("w", weights, True)}
    else:
        a |= {"nodes_values": [float(v) for v in columns["values"]], "class_weights": [float(w) for w in weights]}
    made = graph(helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "share"], domain="ai.onnx.ml", **a), wide)
    return made, list(zip(features.tolist(), values.tolist()))


def ensemble(wide, aggregate=1):
    """TreeEnsemble of version 5: complete trees, each for one class; sets of members, whole numbers for the runtime."""
    modes = RNG.integers(0, 7, TREES * INNER)
    values, features = numbers(TREES * INNER, wide), RNG.integers(0, 4, TREES * INNER)
    members = []
    for _ in range((modes == 6).sum()):
        members += [*RNG.choice(np.arange(-2, 36), RNG.integers(1, 9), False), np.nan]
    yes, no, yes_leaf, no_leaf = [], [], [], []
    for t in range(TREES):
        for n in range(INNER):
            leaf = 2 * n + 1 >= INNER
            base = t * LEAVES - INNER if leaf else t * INNER
            yes.append(base + 2 * n + 1), no.append(base + 2 * n + 2)
            yes_leaf.append(int(leaf)), no_leaf.append(int(leaf))
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["share"], domain="ai.onnx.ml", n_targets=CLASSES, aggregate_function=aggregate,
        tree_roots=[t * INNER for t in range(TREES)], nodes_featureids=features.tolist(),
        nodes_modes=numpy_helper.from_array(modes.astype(np.uint8), "m"), nodes_splits=real("s", values, wide),
        nodes_truenodeids=yes, nodes_falsenodeids=no, nodes_trueleafs=yes_leaf, nodes_falseleafs=no_leaf,
        nodes_missing_value_tracks_true=RNG.integers(0, 2, TREES * INNER).tolist(),
        leaf_targetids=[t % CLASSES for t in range(TREES) for _ in range(LEAVES)],
        leaf_weights=real("w", RNG.normal(size=TREES * LEAVES), wide), membership_values=real("b", members, wide))
    extra = [helper.make_node("ArgMax", ["share"], ["best"], axis=1, keepdims=0),
             helper.make_node("ArrayFeatureExtractor", ["classes", "best"], ["taken"], domain="ai.onnx.ml"),
             helper.make_node("Reshape", ["taken", "flat"], ["label"])]
    constants = [numpy_helper.from_array(np.array([0, 1, 2], np.int64), "classes"),
                 numpy_helper.from_array(np.array([-1], np.int64), "flat")]
    return graph(node, wide, extra, constants), list(zip(features.tolist(), values.tolist()))


whole = np.round(rows(11) * 2).astype(np.float32)
for name, made in (("modes", classifier(False, "NONE")), ("modes_double", classifier(True, "SOFTMAX")),
                   ("ensemble", ensemble(False)), ("ensemble_mean", ensemble(False, 0)),
                   ("ensemble_double", ensemble(True))):
    model, thresholds = made
    onnx.checker.check_model(model)
    make(name, model, whole, thresholds=thresholds, whole="ensemble" in name)
