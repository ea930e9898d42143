"""Golden rows: what the library itself says of them is replayed whenever the file is loaded."""
import contextlib

import numpy as np

from .columns import with_names
from .container import ModelError
from .evaluate import goes_left
from .scalings import NORMS
from .trees import DEFAULT_LEFT, SET


def threshold_rows(rows, tensors, count, seed):
    """`count` x 3 rows that sit exactly on a threshold they meet, and one ulp to either side of it."""
    rng, made = np.random.default_rng(seed), []
    starts = tensors["tree_offsets"].astype(np.int64)
    while len(made) < 3 * count:
        row, tree = rows[rng.integers(len(rows))].copy(), rng.integers(len(starts) - 1)
        path, node = [], starts[tree]
        while tensors["feature"][node] >= 0:
            path.append(node)
            left = goes_left(tensors, np.array([node]), row[tensors["feature"][node]][None])[0]
            node = starts[tree] + tensors["left" if left else "right"][node]
        if not path:  # a tree of one leaf has no threshold
            made += [row] * 3
            continue
        node = path[rng.integers(len(path))]
        at = _edge(tensors, node)
        if not np.isfinite(at):
            made += [row] * 3
            continue
        for value in (at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))):
            row[tensors["feature"][node]] = value
            made.append(row.copy())
    return np.array(made[:3 * count], np.float32)


def _edge(tensors, node):
    if "missing" in tensors and tensors["missing"][node] & (DEFAULT_LEFT - 1) == SET:
        return tensors["set_bounds"][tensors["set_offsets"][tensors["leaf"][node]] + 1]
    return tensors["threshold"][node]


def _feature_edges(parts, features):
    """All thresholds of each feature, of the parts that read features."""
    edges = [[] for _ in range(features)]
    for part in parts:
        if part.manifest["kind"] != "trees" or "inputs" in part.manifest:
            continue
        t = part.tensors
        for f in range(features):
            own = t["threshold"][t["feature"] == f]
            edges[f].append(own[np.isfinite(own)])
    return [np.unique(np.concatenate(e)) if e and sum(map(len, e)) else None for e in edges]


def _spread(parts, features):
    """Where a net's scaler thinks each feature is: its middle and its size."""
    middle, size = np.zeros(features), np.ones(features)
    for part in parts:
        for i, step in enumerate(part.manifest.get("scaling", ())):
            inputs = np.array(part.manifest["inputs"])
            own = inputs < features
            if step["op"] in ("subtract", "divide"):
                (middle if step["op"] == "subtract" else size)[inputs[own]] = part.tensors[f"scaling{i}"][own]
    return middle, size


def made_up(parts, features, count, seed):
    """Rows for a model that came without data: every value is a threshold of its feature, or near one."""
    rng = np.random.default_rng(seed)
    columns = []
    middle, size = _spread(parts, features)
    for f, edges in enumerate(_feature_edges(parts, features)):
        if edges is None:  # no tree reads it
            columns.append((middle[f] + size[f] * rng.normal(size=count)).astype(np.float32))
            continue
        picked = edges[rng.integers(len(edges), size=count)]
        step = rng.integers(3, size=count)
        nudged = np.nextafter(picked, np.where(step == 1, -np.inf, np.inf).astype(np.float32))
        columns.append(np.where(step == 0, picked, nudged).astype(np.float32))
    return np.stack(columns, axis=1)


def rows_of(golden, parts, features, count, seed):
    """Given rows, and rows on the thresholds that these meet."""
    if golden is None:
        return made_up(parts, features, 4 * count, seed)
    rows = np.ascontiguousarray(golden, np.float32)
    if rows.ndim != 2 or not len(rows) or rows.shape[1] != features or np.isinf(rows).any():
        raise ModelError(f"golden must be a table of rows with {features} finite numbers (for example the training "
                         "rows)")
    rng = np.random.default_rng(seed)
    picked = rows[np.sort(rng.permutation(len(rows))[:count])]
    reading = [p.tensors for p in parts if p.manifest["kind"] == "trees" and "inputs" not in p.manifest]
    share = -(-count // max(len(reading), 1))
    near = [threshold_rows(rows, tensors, share, seed + i) for i, tensors in enumerate(reading)]
    return np.concatenate([picked, *near])


def with_borders(estimator, rows, builder, count, seed):
    """Where a net is in it: `count` pairs of rows more, neighbours on both sides of a border between classes."""
    nets = [part for part in builder.parts if part.manifest["kind"] in ("net", "linear")]
    if not nets or len(rows) < 2:
        return rows
    narrow = any(part.narrow or _divides_in_float32(part) for part in nets)
    rng = np.random.default_rng(seed)
    a, b = rows[rng.integers(len(rows), size=count)], rows[rng.integers(len(rows), size=count)]
    mine, other = (predict(estimator, side, builder.dtype)[1] for side in (a, b))
    apart = (mine != other) & ~np.isnan(a + b).any(axis=1)
    a, b, mine = a[apart], b[apart], mine[apart]
    for _ in range(8 if narrow else 150 if len(a) else 0):  # in float32 labels are sure only some way off
        middle = (a + (b - a) / 2).astype(np.float32)
        if not len(a) or ((middle == a) | (middle == b)).all():
            break
        same = (predict(estimator, middle, builder.dtype)[1] == mine)[:, None]
        a, b = np.where(same, middle, a), np.where(same, b, middle)
    return _sure(estimator, np.concatenate([rows, a, b]), builder) if narrow else np.concatenate([rows, a, b])


def _divides_in_float32(part):
    """By a norm, that every library adds up in its own order."""
    return any(step["op"] in NORMS and step.get("float32") for step in part.manifest.get("scaling", ()))


def _sure(estimator, rows, builder):
    """Without those that another order of the same float32 sums may name otherwise."""
    compared = [predict(estimator, rows, builder.dtype)[0]]
    parts = builder.evaluator()
    for part, (p, _) in zip(parts.parts, parts.each(rows)):
        if part["kind"] in ("net", "linear") and part.get("gives") == "label":
            compared.append(p)
    sure = np.ones(len(rows), bool)
    for p in compared:
        first = np.sort(p, axis=1)
        sure &= (first[:, -1] - first[:, -2] > 1e-5 * np.maximum(1, abs(first[:, -1]))) | ~np.isfinite(first).all(axis=1)
    return rows[sure]


@contextlib.contextmanager
def one_thread():
    """With more, scikit-learn sums the trees of a forest in no fixed order."""
    try:
        import joblib
    except ImportError:
        yield
        return
    with joblib.parallel_backend("sequential"):
        yield


def _votes(estimator, x, winner):
    """Of what has no probabilities the share of votes for each class."""
    if hasattr(estimator, "best_estimator_"):
        return _votes(estimator.best_estimator_, x, winner)
    if type(estimator).__name__ == "Pipeline":
        return _votes(estimator.steps[-1][1], estimator[:-1].transform(x) if len(estimator.steps) > 1 else x, winner)
    votes, weights = winner[:, None], None
    if type(estimator).__name__ == "VotingClassifier":
        votes, weights = estimator.transform(x), estimator._weights_not_none
    count = len(estimator.classes_)
    return np.array([np.bincount(row, weights, count) for row in votes]) / (votes.shape[1] if weights is None
                                                                           else np.sum(weights))


def predict(estimator, rows, dtype):
    """-> (predict_proba as float64, index of the predicted class) of the library itself."""
    x = with_names(estimator, rows.astype(dtype))
    known = list(estimator.classes_)
    with one_thread():
        named = np.asarray(estimator.predict(x)).reshape(len(rows))
        winner = np.array([known.index(label) for label in named])
        if not hasattr(estimator, "predict_proba"):
            return _votes(estimator, x, winner), winner
        return np.asarray(estimator.predict_proba(x), np.float64), winner


def accepted(estimator, rows, dtype):
    """The rows that the library takes: encoders refuse what they have not seen."""
    try:
        predict(estimator, rows, dtype)
        return rows
    except ValueError:
        kept = []
    for row in rows:
        try:
            predict(estimator, row[None], dtype)
            kept.append(row)
        except ValueError as error:
            reason = error
    if not kept:
        raise ModelError(f"the estimator refuses every golden row: {reason}")
    return np.array(kept)
