"""A loaded model and the reference evaluator: plain numpy, in scikit-learn's own arithmetic.

Slow on purpose of clarity (about 0.05 Mpx/s for 250 trees): it is the oracle of tests, not a server.
"""
import numpy as np

from . import container
from .container import ModelError

KINDS = ("random-forest", "extra-trees")
SHAPES = {  # name -> dtype, dimensions
    "tree_offsets": ("<u4", 1), "feature": ("<i4", 1), "threshold": ("<f4", 1), "left": ("<i4", 1),
    "right": ("<i4", 1), "leaf": ("<u4", 1), "leaf_values": ("<f8", 2), "golden_x": ("<f4", 2),
    "golden_p": ("<f8", 2), "golden_label": ("|u1", 1)}
TOLERANCE = 1e-6  # of golden probabilities; docs/model-file.md
BATCH = 1 << 16   # rows walked at a time: bounds the working memory


class Model:
    """A forest. `features`: names in the order of columns. `classes`: dicts in the order of probabilities."""

    def __init__(self, manifest, tensors, path="model"):
        self.path, self.manifest, self.tensors = path, manifest, tensors
        self._check_manifest()
        self._check_tensors()
        self.features = list(manifest["features"])
        self.classes = list(manifest["classes"])
        self.values = np.array([c["value"] for c in self.classes], np.uint8)
        self.tree_count = len(tensors["tree_offsets"]) - 1
        self.node_count = len(tensors["feature"])

    def _refuse(self, message):
        raise ModelError(f"{self.path}: {message}")

    def _check_manifest(self):
        m = self.manifest
        if m.get("format") != 1:
            self._refuse(f"format {m.get('format')!r}, this reader knows 1")
        if m.get("kind") not in KINDS:
            self._refuse(f"kind {m.get('kind')!r}, this reader knows {', '.join(KINDS)}")
        features, classes = m.get("features"), m.get("classes")
        if not isinstance(features, list) or not features or not all(isinstance(f, str) for f in features):
            self._refuse("features must be a list of names")
        if len(set(features)) != len(features):
            self._refuse("two features have the same name")
        if not isinstance(classes, list) or not classes or not all(isinstance(c, dict) for c in classes):
            self._refuse("classes must be a list of objects")
        values = [c.get("value") for c in classes]
        if not all(isinstance(v, int) and 0 <= v <= 253 for v in values) or len(set(values)) != len(values):
            self._refuse(f"class values {values}: need different integers 0..253")

    def _check_tensors(self):
        t = self.tensors
        for name, (dtype, dimensions) in SHAPES.items():
            if name not in t:
                self._refuse(f"tensor {name!r} is missing")
            if t[name].dtype != np.dtype(dtype) or t[name].ndim != dimensions:
                self._refuse(f"tensor {name!r} is {t[name].dtype} with {t[name].ndim} dimensions, "
                             f"not {np.dtype(dtype)} with {dimensions}")
        columns, classes, nodes = len(self.manifest["features"]), len(self.manifest["classes"]), len(t["feature"])
        rows = len(t["golden_x"])
        shapes = {"threshold": (nodes,), "left": (nodes,), "right": (nodes,), "leaf": (nodes,),
                  "leaf_values": (len(t["leaf_values"]), classes), "golden_x": (rows, columns),
                  "golden_p": (rows, classes), "golden_label": (rows,)}
        for name, shape in shapes.items():
            if t[name].shape != shape:
                self._refuse(f"tensor {name!r} has shape {t[name].shape}, not {shape}")
        self._check_nodes(columns, nodes)

    def _check_nodes(self, columns, nodes):
        t = self.tensors
        starts = t["tree_offsets"].astype(np.int64)
        if len(starts) < 2 or starts[0] != 0 or starts[-1] != nodes or (np.diff(starts) < 1).any():
            self._refuse(f"tree_offsets must rise from 0 to the {nodes} nodes")
        feature, leaf = t["feature"], t["feature"] == -1
        if ((feature < -1) | (feature >= columns)).any():
            self._refuse(f"a node asks for feature {int(feature.max())}, the model has {columns}")
        tree = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        own, size = np.arange(nodes) - starts[tree], np.diff(starts)[tree]
        for side in ("left", "right"):
            child = t[side].astype(np.int64)
            bad = np.where(leaf, child != -1, (child <= own) | (child >= size))
            if bad.any():
                at = int(np.argmax(bad))
                self._refuse(f"tree {tree[at]}, node {own[at]}: {side} child {child[at]} is not below its parent")
        if not np.isfinite(t["threshold"][~leaf]).all():
            self._refuse("a threshold is not finite")
        if (t["leaf"][leaf] >= len(t["leaf_values"])).any():
            self._refuse("a leaf points past leaf_values")
        if not np.isfinite(t["leaf_values"]).all():
            self._refuse("leaf_values holds NaN or infinity")

    def _walk(self, x):
        t, total = self.tensors, np.zeros((len(x), len(self.classes)))
        starts, rows = t["tree_offsets"].astype(np.int64), np.arange(len(x))
        for first in starts[:-1]:
            node, moving = np.full(len(x), first), rows
            while len(moving):
                at = node[moving]
                moving = moving[t["feature"][at] >= 0]
                at = node[moving]
                go_left = x[moving, t["feature"][at]] <= t["threshold"][at]
                node[moving] = first + np.where(go_left, t["left"][at], t["right"][at])
            total += t["leaf_values"][t["leaf"][node]]
        return total / (len(starts) - 1)

    def probabilities(self, rows):
        """float64 [n, classes] of float32 rows [n, features]: predict_proba with n_jobs=1, bit for bit."""
        x = np.ascontiguousarray(rows, np.float32)
        if x.ndim != 2 or x.shape[1] != len(self.features):
            self._refuse(f"rows of shape {x.shape}, the model has {len(self.features)} features")
        if np.isnan(x).any():
            self._refuse("NaN in the rows: such pixels are nodata and must not reach the model")
        parts = [self._walk(x[i:i + BATCH]) for i in range(0, len(x), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes)))

    def labels(self, rows):
        """uint8 class *values*; the first of equal probabilities wins."""
        return self.values[self.probabilities(rows).argmax(axis=1)]

    def verify(self):
        """Replays the golden rows. -> (rows, largest difference of a probability). Raises ModelError."""
        x, p, label = (self.tensors[k] for k in ("golden_x", "golden_p", "golden_label"))
        got = self.probabilities(x)
        difference = float(np.abs(got - p).max()) if len(x) else 0.0
        wrong = np.flatnonzero(self.values[got.argmax(axis=1)] != label)
        if len(wrong):
            self._refuse(f"golden row {wrong[0]}: expected class {label[wrong[0]]}, "
                         f"got {self.values[got[wrong[0]].argmax()]}")
        if not difference <= TOLERANCE:
            self._refuse(f"golden probabilities differ by {difference:.3g}, at most {TOLERANCE} is allowed")
        return len(x), difference

    def depth(self):
        """Most decisions on a path of any tree."""
        t, deepest = self.tensors, 0
        starts = t["tree_offsets"].astype(np.int64)
        for first, last in zip(starts[:-1], starts[1:]):
            level, depth = np.array([first]), -1
            while len(level):
                level, depth = level[t["feature"][level] >= 0], depth + 1
                level = first + np.concatenate((t["left"][level], t["right"][level])).astype(np.int64)
            deepest = max(deepest, depth)
        return deepest


def load(path):
    """Reads and checks the structure of a model; call verify() to replay its golden rows."""
    manifest, tensors = container.read(path)
    return Model(manifest, tensors, str(path))
