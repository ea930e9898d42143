"""LightGBM, XGBoost and CatBoost behind their scikit-learn wrappers, as parts."""
import json
import os
import tempfile

import numpy as np

from .container import ModelError
from .trees import Ensemble, Tree


def _refuse(place, what):
    raise ModelError(f"{place}: {what}")


# ---- LightGBM ----

def _lightgbm_tree(info, place):
    root, rows = info["tree_structure"], []

    def add(node):
        here = len(rows)
        rows.append([0, 0.0, -1, -1, 0.0, None])
        if "split_index" in node:
            rows[here][:2] = node["split_feature"], node["threshold"]
            rows[here][5] = node
        elif "leaf_value" in node:
            rows[here][4] = node["leaf_value"]
        return here

    stack = [(root, add(root))]
    while stack:
        node, here = stack.pop()
        if "leaf_const" in node:
            _refuse(place, "LightGBM with linear_tree=True inside an ensemble: save the Booster as text and serve "
                           "that, "
                           "or train without")
        if "split_index" not in node:
            continue
        rows[here][2], rows[here][3] = add(node["left_child"]), add(node["right_child"])
        stack += [(node["left_child"], rows[here][2]), (node["right_child"], rows[here][3])]
    numeric = [r[1] if not isinstance(r[1], str) else 0.0 for r in rows]
    tree = Tree([r[0] for r in rows], numeric, [r[2] for r in rows], [r[3] for r in rows], [r[4] for r in rows])
    for at, row in enumerate(rows):
        node = row[5]
        if node is None:
            continue
        tree.sided[at] = True
        if node["decision_type"] == "==":
            tree.sets[at] = (np.array([float(c) for c in node["threshold"].split("||")]), False)
        elif node["missing_type"] == "None":
            tree.nan_left[at] = 0 <= node["threshold"]
        else:
            tree.nan_left[at] = node["default_left"]
            tree.zero[at] = node["missing_type"] == "Zero"
    return tree


def lightgbm(estimator, place, _nan):
    model = estimator.booster_.dump_model()
    words = model["objective"].split() if "objective" in model else ["(none)"]
    slope = [float(w.split(":")[1]) for w in words if w.startswith("sigmoid:")] or [1.0]
    outputs = {"binary": {"output": "binary", "slope": slope[0]}, "cross_entropy": {"output": "binary"},
               "multiclass": {"output": "softmax"}, "multiclassova": {"output": "sigmoids", "slope": slope[0]}}
    if words[0] not in outputs:
        _refuse(place, f"LightGBM's objective {words[0]} gives no class probabilities: train with one of "
                       f"{', '.join(outputs)}")
    trees = [_lightgbm_tree(info, place) for info in model["tree_info"]]
    output = dict(outputs[words[0]])
    if model.get("average_output"):
        output["divisor"] = len(trees) // model["num_tree_per_iteration"]
    return Ensemble(trees, output, wide=True, near_zero=True, truncates=True)


# ---- XGBoost ----

def _xgboost_tree(tree, weight, place):
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    if any(tree.get("split_type", ())):
        _refuse(place, "XGBoost with categorical splits inside an ensemble: save the model as JSON and serve that, or "
                       "encode the categories first")
    if int(tree["tree_param"].get("size_leaf_vector", "1")) > 1:
        _refuse(place, "XGBoost with multi_strategy='multi_output_tree': train with one tree per class")
    conditions = np.array(tree["split_conditions"], np.float32)
    made = Tree(tree["split_indices"], conditions.astype(np.float64), left, right,
                np.where(left < 0, conditions * np.float32(weight), 0))
    made.nan_left[:] = np.array(tree["default_left"]) != 0
    made.sided[:] = True
    return made


def _xgboost_used(estimator, model, document):
    """Trees that the wrapper uses: up to the best iteration, where there is one."""
    count = len(model["trees"])
    best = document["learner"].get("attributes", {}).get("best_iteration")
    if best is None:
        return count
    each = max(1, int(model["gbtree_model_param"].get("num_parallel_tree", "1")))
    groups = max(1, int(document["learner"]["learner_model_param"]["num_class"]))
    return min(count, (int(best) + 1) * each * groups)


def xgboost(estimator, place, _nan):
    document = json.loads(bytes(estimator.get_booster().save_raw("json")))
    learner = document["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] not in ("gbtree", "dart"):
        _refuse(place, f"XGBoost's booster {booster['name']} has no trees: train with gbtree or dart")
    if objective not in ("binary:logistic", "multi:softprob", "multi:softmax"):
        _refuse(place, f"XGBoost's objective {objective} gives no class probabilities: train with binary:logistic or "
                       "multi:softprob")
    if np.isfinite(getattr(estimator, "missing", np.nan)):
        _refuse(place, f"XGBoost with missing={estimator.missing}: declare that number as the band's nodata value and "
                       "train with missing=nan")
    inner = booster.get("gbtree", booster)
    model = inner["model"]
    drop = booster.get("weight_drop") or model.get("weight_drop") or [1.0] * len(model["trees"])
    used = _xgboost_used(estimator, model, document)
    groups = max(1, int(learner["learner_model_param"]["num_class"]))
    of_group = [[] for _ in range(groups)]
    for tree, group, weight in zip(model["trees"][:used], model["tree_info"], drop):
        of_group[group].append(_xgboost_tree(tree, weight, place))
    trees = [tree for side_by_side in zip(*of_group) for tree in side_by_side]
    score = learner["learner_model_param"]["base_score"].strip("[]").split(",")
    base = np.array([float(s) for s in score], np.float32)
    if objective == "binary:logistic":
        base = -np.log(np.float32(1) / base - np.float32(1))
    base = np.resize(base, groups).astype(np.float32) + np.float32(0)
    output = {"output": "binary" if objective == "binary:logistic" else "softmax", "arithmetic": "xgboost"}
    return Ensemble(trees, output, strict=True, base=base, narrow=True)


# ---- CatBoost ----

def _catboost_document(estimator):
    handle, path = tempfile.mkstemp(suffix=".json")
    os.close(handle)
    try:
        estimator.save_model(path, format="json")
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    finally:
        os.unlink(path)


class _CatBoostFeatures:
    def __init__(self, document, place):
        self.place = place
        self.info = {f["feature_index"]: f for f in document["features_info"].get("float_features", [])}

    def split(self, split):
        """-> (column, border, side of a NaN)"""
        if split.get("split_type", "FloatFeature") != "FloatFeature":
            _refuse(self.place, f"CatBoost with a split of type {split['split_type']}: train on numbers alone")
        info = self.info[split["float_feature_index"]]
        return info["flat_feature_index"], np.float32(split["border"]), info["nan_value_treatment"] != "AsTrue"


def _catboost_oblivious(tree, features, width):
    splits = [features.split(s) for s in tree.get("splits") or []][::-1]  # the last one decides the highest bit
    depth = len(splits)
    inner = (1 << depth) - 1
    level = [(node + 1).bit_length() - 1 for node in range(2 * inner + 1)]
    pick = lambda part, none: [splits[level[n]][part] if n < inner else none for n in range(2 * inner + 1)]  # noqa: E731
    leaf_values = np.zeros((2 * inner + 1, width))
    leaf_values[inner:] = np.array(tree["leaf_values"]).reshape(-1, width)
    made = Tree(pick(0, 0), pick(1, 0.0), [2 * n + 1 if n < inner else -1 for n in range(2 * inner + 1)],
                [2 * n + 2 if n < inner else -1 for n in range(2 * inner + 1)], leaf_values)
    made.nan_left[:] = pick(2, False)
    made.sided[:] = True
    return made


def _catboost_free(root, features, width):
    rows, stack = [], [(root, None, None)]
    while stack:
        node, parent, side = stack.pop()
        if parent is not None:
            rows[parent][side] = len(rows)
        if "split" in node:
            column, border, nan_left = features.split(node["split"])
            stack += [(node["right"], len(rows), 3), (node["left"], len(rows), 2)]
            rows.append([column, border, -1, -1, [0.0] * width, nan_left])
        else:
            value = node["value"]
            rows.append([0, 0.0, -1, -1, value if isinstance(value, list) else [value], False])
    made = Tree(*([r[i] for r in rows] for i in range(5)))
    made.nan_left[:] = [r[5] for r in rows]
    made.sided[:] = True
    return made


def catboost(estimator, place, _nan):
    document = _catboost_document(estimator)
    loss = document["model_info"]["params"]["loss_function"]["type"]
    outputs = {"Logloss": "binary", "CrossEntropy": "binary", "MultiClass": "softmax", "MultiClassOneVsAll": "sigmoids"}
    if loss not in outputs:
        _refuse(place, f"CatBoost's loss {loss} does not classify: train with one of {', '.join(outputs)}")
    scale, bias = document["scale_and_bias"]
    features = _CatBoostFeatures(document, place)
    if "oblivious_trees" in document:
        trees = [_catboost_oblivious(t, features, len(bias)) for t in document["oblivious_trees"]]
    else:
        trees = [_catboost_free(t, features, len(bias)) for t in document["trees"]]
    return Ensemble(trees, {"output": outputs[loss], "label": "score", "scale": scale}, base=bias)


ENSEMBLES = {"LGBMClassifier": lightgbm, "XGBClassifier": xgboost, "XGBRFClassifier": xgboost,
             "CatBoostClassifier": catboost}
