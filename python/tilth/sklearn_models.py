"""scikit-learn's estimators as parts: what each one sums, and what it makes of the sums."""
import numpy as np

from .container import ModelError
from .trees import Ensemble, Tree

NEVER = -5e-324  # above it is everything that is >= 0


def version():
    import sklearn
    return tuple(int(part) for part in sklearn.__version__.split(".")[:2])


def leaf_probabilities(tree):
    """[nodes, classes], as predict_proba has them: fractions since scikit-learn 1.4, weighted counts before."""
    value = np.array(tree.value[:, 0, :], np.float64)
    if version() < (1, 4):
        total = value.sum(axis=1)
        total[total == 0] = 1
        value /= total[:, None]
    return value


def _tree(tree, values, nan=False, columns=None):
    """A fitted sklearn.tree's tree_; `nan`: with its sides of a NaN; `columns`: the ensemble's, of the tree's own."""
    column = np.maximum(tree.feature, 0)
    made = Tree(column if columns is None else np.asarray(columns)[column], tree.threshold, tree.children_left,
                tree.children_right, values)
    made.nan_left[:] = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count, np.uint8)) != 0
    made.sided[:] = nan
    endless = (made.left >= 0) & ~np.isfinite(made.threshold)
    made.sided |= endless  # "is it missing?": all numbers go right of -infinity, left of infinity
    return made


def _one_output(estimator, place):
    if getattr(estimator, "n_outputs_", 1) != 1:
        raise ModelError(f"{place}: the estimator has {estimator.n_outputs_} outputs: fit one per class map")


def forest(estimator, place, nan):
    _one_output(estimator, place)
    parts = [part.tree_ for part in getattr(estimator, "estimators_", [estimator])]
    trees = [_tree(t, leaf_probabilities(t), nan) for t in parts]
    return Ensemble(trees, {"output": "mean", "divisor": len(trees)})


def bagging(estimator, place, nan):
    kinds = {type(part).__name__ for part in estimator.estimators_}
    if kinds != {"DecisionTreeClassifier"}:
        raise ModelError(f"{place}: BaggingClassifier of {', '.join(sorted(kinds))}: only of DecisionTreeClassifier; "
                         "use a VotingClassifier of up to 30 members for others")
    if any(len(part.classes_) != len(estimator.classes_) for part in estimator.estimators_):
        raise ModelError(f"{place}: a tree of the BaggingClassifier has not seen every class: fit with more "
                         "max_samples")
    trees = [_tree(part.tree_, leaf_probabilities(part.tree_), nan, columns)
             for part, columns in zip(estimator.estimators_, estimator.estimators_features_)]
    return Ensemble(trees, {"output": "mean", "divisor": len(trees)})


def _starts(values):
    """What the sums start from: a first tree of one leaf for each score."""
    return [Tree([0], [0], [-1], [-1], [value]) for value in values]


def gradient_boosting(estimator, place, _nan):
    if not (estimator.init_ == "zero" or type(estimator.init_).__name__ == "DummyClassifier"):
        raise ModelError(f"{place}: GradientBoostingClassifier(init={type(estimator.init_).__name__}): fit it with "
                         "init=None or init='zero'")
    row = np.zeros((1, estimator.n_features_in_), np.float32)
    initial = (estimator._raw_predict_init(row)[0] if hasattr(estimator, "_raw_predict_init") else None)
    if initial is None:
        raise ModelError(f"{place}: this version of scikit-learn keeps its first scores elsewhere: export with 1.0 "
                         "or later")
    trees = [_tree(t.tree_, estimator.learning_rate * t.tree_.value[:, 0, 0])
             for stage in estimator.estimators_ for t in stage]
    if hasattr(estimator._loss, "_raw_prediction_to_decision") and estimator.loss != "exponential":
        # before scikit-learn 1.4: the greatest probability, so that a tie is the first class's
        output = {"output": "softmax" if len(initial) > 1 else "binary"}
    elif len(initial) > 1:
        output = {"output": "softmax", "label": "score"}
    else:
        output = {"output": "binary", "label": "score", "above": NEVER,
                  "slope": 2 if estimator.loss == "exponential" else 1}
    return Ensemble(_starts(initial) + trees, output)


def _histogram_tree(predictor):
    nodes = predictor.nodes
    leaf = nodes["is_leaf"] != 0
    made = Tree(np.maximum(nodes["feature_idx"], 0), nodes["num_threshold"],
                np.where(leaf, -1, nodes["left"].astype(np.int64)), np.where(leaf, -1, nodes["right"].astype(np.int64)),
                nodes["value"])
    made.nan_left[:] = nodes["missing_go_to_left"] != 0
    made.sided[:] = True
    for node in np.flatnonzero(~leaf & (nodes["is_categorical"] != 0)):
        words = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        made.sets[int(node)] = (np.array([c for c in range(256) if words[c // 32] >> (c % 32) & 1], np.float64), False)
    return made


def histogram_boosting(estimator, place, _nan):
    if getattr(estimator, "is_categorical_", None) is not None and getattr(estimator, "_preprocessor", None) is None:
        raise ModelError(f"{place}: categories of this version of scikit-learn are kept in another way: export with "
                         "1.4 "
                         "or later")
    baseline = np.asarray(estimator._baseline_prediction, np.float64).ravel()
    trees = [_histogram_tree(p) for stage in estimator._predictors for p in stage]
    output = ({"output": "softmax"} if len(baseline) > 1 else {"output": "binary"}) | {"label": "score"}
    return Ensemble(_starts(baseline) + trees, output, wide=True)


def adaptive_boosting(estimator, place, nan):
    """AdaBoostClassifier: each tree votes with its weight for a class and with a share of it against the others."""
    kinds = {type(part).__name__ for part in estimator.estimators_}
    if kinds != {"DecisionTreeClassifier"} or getattr(estimator, "algorithm", "SAMME") == "SAMME.R":
        raise ModelError(f"{place}: AdaBoostClassifier of {', '.join(sorted(kinds))}, algorithm="
                         f"{getattr(estimator, 'algorithm', 'SAMME')}: only of DecisionTreeClassifier by SAMME")
    count, trees = len(estimator.classes_), []
    for part, weight in zip(estimator.estimators_, estimator.estimator_weights_):
        if len(part.classes_) != count:
            raise ModelError(f"{place}: a tree of the AdaBoostClassifier has not seen every class")
        first = np.argmax(part.tree_.value[:, 0, :], axis=1)[:, None]
        trees.append(_tree(part.tree_, np.where(first == np.arange(count), weight, -1 / (count - 1) * weight), nan))
    return Ensemble(trees, {"output": "softmax", "label": "score", "divisor": float(estimator.estimator_weights_.sum()),
                            "slope": 1 / (count - 1)})


ENSEMBLES = {"RandomForestClassifier": forest, "ExtraTreesClassifier": forest, "DecisionTreeClassifier": forest,
             "ExtraTreeClassifier": forest, "BaggingClassifier": bagging, "AdaBoostClassifier": adaptive_boosting,
             "GradientBoostingClassifier": gradient_boosting, "HistGradientBoostingClassifier": histogram_boosting}
