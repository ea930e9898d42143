"""scikit-learn forest -> .tilth file."""
import numpy as np

from . import container
from .container import ModelError
from .model import Model

KINDS = {"RandomForestClassifier": "random-forest", "ExtraTreesClassifier": "extra-trees",
         "DecisionTreeClassifier": "random-forest"}


def floor_float32(values):
    """The largest float32 that is not above each double: decides every float32 x as the double does."""
    with np.errstate(over="ignore"):
        low = values.astype(np.float32)
    above = low.astype(np.float64) > values
    low[above] = np.nextafter(low[above], np.float32(-np.inf))
    return low


def _version():
    import sklearn
    return tuple(int(part) for part in sklearn.__version__.split(".")[:2])


def _leaf_probabilities(tree):
    """[nodes, classes], as predict_proba has them: fractions since scikit-learn 1.3, weighted counts before."""
    value = np.array(tree.value[:, 0, :], np.float64)
    if _version() < (1, 3):
        total = value.sum(axis=1)
        total[total == 0] = 1
        value /= total[:, None]
    return value


def _trees(estimator):
    kind = KINDS.get(type(estimator).__name__)
    if kind is None or not type(estimator).__module__.startswith("sklearn."):
        raise ModelError(f"{type(estimator).__module__}.{type(estimator).__name__} cannot be exported: "
                         f"give one of {', '.join(KINDS)} (of a pipeline, its last step on the features it sees)")
    if not (hasattr(estimator, "estimators_") or hasattr(estimator, "tree_")):
        raise ModelError(f"{type(estimator).__name__} is not fitted: call fit() first")
    if getattr(estimator, "n_outputs_", 1) != 1:
        raise ModelError(f"the estimator has {estimator.n_outputs_} outputs: fit one per class map")
    parts = getattr(estimator, "estimators_", [estimator])
    return kind, [part.tree_ for part in parts]


def _check_tree(number, tree):
    inner = tree.children_left != -1
    if not np.isfinite(tree.threshold[inner]).all():
        raise ModelError(f"tree {number} splits on missing values: train without NaN; "
                         "a pixel with NaN is nodata in tilth")
    own = np.flatnonzero(inner)
    if (tree.children_left[own] <= own).any() or (tree.children_right[own] <= own).any():
        raise ModelError(f"tree {number} has a child before its parent: an unknown version of scikit-learn")


def _tensors(trees):
    for number, tree in enumerate(trees):
        _check_tree(number, tree)
    inner = np.concatenate([t.children_left != -1 for t in trees])
    thresholds = floor_float32(np.concatenate([t.threshold for t in trees]))
    values = np.concatenate([_leaf_probabilities(t) for t in trees])
    rows, which = np.unique(values[~inner], axis=0, return_inverse=True)
    leaf = np.zeros(len(inner), np.uint32)
    leaf[~inner] = which.ravel()
    return {
        "tree_offsets": np.cumsum([0] + [t.node_count for t in trees]).astype(np.uint32),
        "feature": np.where(inner, np.concatenate([t.feature for t in trees]), -1).astype(np.int32),
        "threshold": np.where(inner, thresholds, np.float32(0)).astype(np.float32),
        "left": np.concatenate([t.children_left for t in trees]).astype(np.int32),
        "right": np.concatenate([t.children_right for t in trees]).astype(np.int32),
        "leaf": leaf, "leaf_values": rows}


def _classes(estimator, classes):
    known = list(estimator.classes_)
    if classes is None:
        classes = [{"value": int(c), "name": str(c)} for c in known]
    if len(classes) != len(known):
        raise ModelError(f"{len(classes)} classes given, the estimator knows {len(known)}: {known} (in this order)")
    return [{k: (int(v) if k == "value" else v) for k, v in c.items()} for c in classes]


def threshold_rows(rows, tensors, count, seed):
    """`count` x 3 rows that sit exactly on a threshold they meet, and one ulp to either side of it."""
    rng, made = np.random.default_rng(seed), []
    starts = tensors["tree_offsets"].astype(np.int64)
    while len(made) < 3 * count:
        row, tree = rows[rng.integers(len(rows))].copy(), rng.integers(len(starts) - 1)
        path, node = [], starts[tree]
        while tensors["feature"][node] >= 0:
            path.append(node)
            left = row[tensors["feature"][node]] <= tensors["threshold"][node]
            node = starts[tree] + tensors["left" if left else "right"][node]
        if not path:  # a tree of one leaf has no threshold
            made += [row] * 3
            continue
        node = path[rng.integers(len(path))]
        at = tensors["threshold"][node]
        for value in (at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))):
            row[tensors["feature"][node]] = value
            made.append(row.copy())
    return np.array(made[:3 * count], np.float32)


def _golden(rows, tensors, count, seed):
    rows = np.ascontiguousarray(rows, np.float32)
    if rows.ndim != 2 or not len(rows) or not np.isfinite(rows).all():
        raise ModelError("golden must be a table of finite rows (for example the training rows)")
    rng = np.random.default_rng(seed)
    picked = rows[np.sort(rng.permutation(len(rows))[:count])]
    return np.concatenate((picked, threshold_rows(rows, tensors, count, seed)))


def _predict(estimator, x):
    """predict_proba on one thread: with more, scikit-learn sums the trees in no fixed order."""
    jobs = getattr(estimator, "n_jobs", None)
    if jobs is None:
        return estimator.predict_proba(x)
    try:
        estimator.n_jobs = 1
        return estimator.predict_proba(x)
    finally:
        estimator.n_jobs = jobs


def export(estimator, path, features, classes=None, golden=None, provenance=None, name=None,
           golden_rows=256, seed=0):
    """Writes a fitted forest and proves the file against the estimator. -> the loaded Model.

    features    names of the columns, in the order of fit()
    classes     [{"value": 0..253, "name": "maize", "color": "FFD300"}, ...] in the order of classes_
    golden      rows to choose golden rows from: `golden_rows` of them, and three times as many made of
                them that sit on a threshold, one ulp below and one ulp above
    provenance  anything JSON: data, licence, rows, script, scores
    """
    import sklearn
    kind, trees = _trees(estimator)
    if len(features) != estimator.n_features_in_:
        raise ModelError(f"{len(features)} feature names, the estimator has {estimator.n_features_in_} columns")
    if golden is None:
        raise ModelError("golden is missing: give rows to prove the file with (for example the training rows)")
    classes, tensors = _classes(estimator, classes), _tensors(trees)
    x = _golden(golden, tensors, golden_rows, seed)
    p = np.asarray(_predict(estimator, x), np.float64)
    values = np.array([c["value"] for c in classes], np.uint8)
    tensors.update(golden_x=x, golden_p=p, golden_label=values[p.argmax(axis=1)])
    manifest = {"format": 1, "name": name or type(estimator).__name__, "kind": kind,
                "features": [str(f) for f in features], "classes": classes,
                "library": {"name": "scikit-learn", "version": sklearn.__version__},
                "provenance": provenance or {}}
    model = Model(manifest, tensors, str(path))
    model.verify()
    container.write(path, manifest, tensors)
    return model
