"""A loaded model and the reference evaluator: plain numpy, in the library's own arithmetic.

Slow on purpose of clarity (about 0.05 Mpx/s for 250 trees): it is the oracle of tests, not a server.
"""
import numpy as np

from . import container
from .container import ModelError
from .evaluate import ONE_SCORE, Parts
from .trees import DEFAULT_LEFT, SET

KINDS = ("random-forest", "extra-trees")  # of format 1
TREES = {  # tensors of an ensemble: name -> dtype, dimensions
    "tree_offsets": ("<u4", 1), "feature": ("<i4", 1), "threshold": ("<f4", 1), "left": ("<i4", 1),
    "right": ("<i4", 1), "leaf": ("<u4", 1), "leaf_values": ("<f8", 2)}
MORE = {"missing": ("|u1", 1), "set_offsets": ("<u4", 1), "set_bounds": ("<f4", 1), "base": ("<f8", 1)}
LINEAR = {"weights": ("<f8", 2), "base": ("<f8", 1)}
GOLDEN = {"golden_x": ("<f4", 2), "golden_p": ("<f8", 2), "golden_label": ("|u1", 1)}
TOLERANCE = 1e-6  # of golden probabilities; docs/model-file.md
BATCH = 1 << 16   # rows walked at a time: bounds the working memory


class Model:
    """A model. `features`: names in the order of columns. `classes`: dicts in the order of probabilities."""

    def __init__(self, manifest, tensors, path="model"):
        self.path, self.manifest, self.tensors = path, manifest, tensors
        self._check_manifest()
        self.features = list(manifest["features"])
        self.classes = list(manifest["classes"])
        self.values = np.array([c["value"] for c in self.classes], np.uint8)
        self.parts = self._make_parts()
        for part, own in zip(self.parts.parts, self.parts.tensors):
            self._check_part(part, own)
        if self.parts.parts[-1].get("gives", "probabilities") != "probabilities":
            self._refuse("the last part gives no probabilities")
        self._check_golden()
        trees = [own for part, own in zip(self.parts.parts, self.parts.tensors) if part["kind"] == "trees"]
        self.tree_count = sum(len(own["tree_offsets"]) - 1 for own in trees)
        self.node_count = sum(len(own["feature"]) for own in trees)

    def _refuse(self, message):
        raise ModelError(f"{self.path}: {message}")

    def _check_manifest(self):
        m = self.manifest
        if m.get("format") not in (1, 2, 3):
            self._refuse(f"format {m.get('format')!r}, this reader knows 1 to 3")
        if m["format"] == 1 and m.get("kind") not in KINDS:
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

    def _make_parts(self):
        if self.manifest["format"] > 1:
            parts, tensors = self.manifest.get("parts"), self.tensors
            if not isinstance(parts, list) or not parts or not all(isinstance(p, dict) for p in parts):
                self._refuse("parts must be a list of objects")
        else:
            offsets = self.tensors.get("tree_offsets")
            count = 0 if offsets is None else len(offsets) - 1
            parts, tensors = [{"kind": "trees", "output": "mean", "divisor": count}], {}
            for name, array in self.tensors.items():
                tensors[f"p0.{name}"] = array
        return Parts(parts, tensors, len(self.features), len(self.classes))

    def _check_shapes(self, tensors, needed, optional=()):
        for name, (dtype, dimensions) in needed.items():
            if name not in tensors and name not in optional:
                self._refuse(f"tensor {name!r} is missing")
            if name not in tensors:
                continue
            if tensors[name].dtype != np.dtype(dtype) or tensors[name].ndim != dimensions:
                self._refuse(f"tensor {name!r} is {tensors[name].dtype} with {tensors[name].ndim} dimensions, "
                             f"not {np.dtype(dtype)} with {dimensions}")

    def _need(self, tensors, shapes):
        for name, shape in shapes.items():
            if name in tensors and tensors[name].shape != shape:
                self._refuse(f"tensor {name!r} has shape {tensors[name].shape}, not {shape}")

    def _check_part(self, part, tensors):
        if (part.get("arithmetic", "double") not in ("double", "xgboost")
                or {"tree_scores", "line_offsets"} & set(tensors)):
            self._refuse("a part is of another library's arithmetic: `tilth model check` reads what `tilth model "
                         "convert` writes")
        scores = 1 if part.get("output") in ONE_SCORE else len(self.classes)
        columns = len(part["inputs"]) if "inputs" in part else len(self.features)
        if part["kind"] == "linear":
            self._check_shapes(tensors, LINEAR)
            self._need(tensors, {"weights": (scores, columns), "base": (scores,)})
        elif part["kind"] == "net":
            self._check_net(part, tensors, columns, scores)
        elif part["kind"] == "trees":
            self._check_shapes(tensors, TREES | MORE, MORE)
            nodes, width = len(tensors["feature"]), tensors["leaf_values"].shape[1]
            if part["output"] == "mean" or width != 1:
                width = scores
            self._need(tensors, {"threshold": (nodes,), "left": (nodes,), "right": (nodes,), "leaf": (nodes,),
                                 "missing": (nodes,), "base": (scores,),
                                 "leaf_values": (len(tensors["leaf_values"]), width)})
            self._check_nodes(tensors, columns, nodes)

    def _check_net(self, part, tensors, columns, scores):
        layers, width = part.get("layers"), columns
        if not isinstance(layers, list) or not layers:
            self._refuse("a net has no layers")
        for i in range(len(layers)):
            weights, bias = f"weights{i}", f"bias{i}"
            self._check_shapes(tensors, {weights: ("<f8", 2), bias: ("<f8", 1)})
            self._need(tensors, {weights: (len(tensors[bias]), width)})
            width = len(tensors[bias])
            if not (np.isfinite(tensors[weights]).all() and np.isfinite(tensors[bias]).all()):
                self._refuse(f"{weights} or {bias} holds NaN or infinity")
        if width != scores:
            self._refuse(f"a net gives {width} numbers, {scores} are needed")
        for i, step in enumerate(part.get("scaling", ())):
            self._need(tensors, {f"scaling{i}": (columns,)})
            if step["op"] == "curve":
                self._check_curves(tensors, f"scaling{i}", columns)

    def _check_curves(self, tensors, name, columns):
        self._check_shapes(tensors, {f"{name}_offsets": ("<u4", 1), f"{name}_x": ("<f8", 1), f"{name}_y": ("<f8", 1)})
        offsets, x, y = (tensors[f"{name}_{what}"] for what in ("offsets", "x", "y"))
        self._need(tensors, {f"{name}_offsets": (columns + 1,), f"{name}_y": (len(x),)})
        if offsets[0] != 0 or offsets[-1] != len(x) or (np.diff(offsets.astype(np.int64)) < 1).any():
            self._refuse(f"{name}_offsets must rise from 0 to the {len(x)} points")
        inside = np.delete(np.diff(x), offsets[1:-1].astype(np.int64) - 1)
        if not (np.isfinite(x).all() and np.isfinite(y).all() and (inside > 0).all()):
            self._refuse(f"{name}_x must rise within a curve, and every number be finite")

    def _check_golden(self):
        t, rows = self.tensors, len(self.tensors.get("golden_x", ()))
        self._check_shapes(t, GOLDEN)
        self._need(t, {"golden_x": (rows, len(self.features)), "golden_p": (rows, len(self.classes)),
                       "golden_label": (rows,)})

    def _check_nodes(self, t, columns, nodes):
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
        fine = np.isfinite if self.manifest["format"] == 1 else lambda thresholds: ~np.isnan(thresholds)
        if not fine(t["threshold"][~leaf]).all():
            self._refuse("a threshold is not finite")
        self._check_sets(t)
        if (t["leaf"][leaf] >= len(t["leaf_values"])).any():
            self._refuse("a leaf points past leaf_values")
        if not np.isfinite(t["leaf_values"]).all():
            self._refuse("leaf_values holds NaN or infinity")

    def _check_sets(self, t):
        rules = t.get("missing", np.zeros(0, np.uint8)) & (DEFAULT_LEFT - 1)
        if (rules > SET).any():
            self._refuse(f"a node has the rule {int(rules.max())} for missing values, this reader knows up to {SET}")
        asked = t["leaf"][:len(rules)][rules == SET]
        count = len(t.get("set_offsets", ())) - 1
        if len(asked) and (count < 1 or int(asked.max()) >= count):
            self._refuse("a node asks for a set of categories that is not there")
        if count >= 1 and (t["set_offsets"][0] != 0 or (np.diff(t["set_offsets"].astype(np.int64)) < 1).any()
                           or t["set_offsets"][-1] != len(t.get("set_bounds", ()))):
            self._refuse("set_offsets must rise from 0 to the number of set_bounds")

    def _run(self, rows):
        x = np.ascontiguousarray(rows, np.float32)
        if x.ndim != 2 or x.shape[1] != len(self.features):
            self._refuse(f"rows of shape {x.shape}, the model has {len(self.features)} features")
        if self.manifest["format"] == 1 and np.isnan(x).any():
            self._refuse("NaN in the rows: such pixels are nodata and must not reach the model")
        done = [self.parts.run(x[i:i + BATCH]) for i in range(0, len(x), BATCH)]
        if not done:
            return np.zeros((0, len(self.classes))), np.zeros(0, np.int64)
        return tuple(np.concatenate(side) for side in zip(*done))

    def probabilities(self, rows):
        """float64 [n, classes] of float32 rows [n, features]: a forest's predict_proba with n_jobs=1, bit for bit."""
        return self._run(rows)[0]

    def labels(self, rows):
        """uint8 class *values*; the first of equal probabilities wins."""
        return self.values[self._run(rows)[1]]

    def verify(self):
        """Replays the golden rows. -> (rows, largest difference of a probability). Raises ModelError."""
        x, p, label = (self.tensors[k] for k in ("golden_x", "golden_p", "golden_label"))
        got, winner = self._run(x)
        difference = float(np.abs(got - p).max()) if len(x) else 0.0
        wrong = np.flatnonzero(self.values[winner] != label)
        if len(wrong):
            self._refuse(f"golden row {wrong[0]}: expected class {label[wrong[0]]}, "
                         f"got {self.values[winner[wrong[0]]]}")
        if not difference <= TOLERANCE:
            self._refuse(f"golden probabilities differ by {difference:.3g}, at most {TOLERANCE} is allowed")
        return len(x), difference

    def depth(self):
        """Most decisions on a path of any tree."""
        return max((_depth(t) for t in self.parts.tensors if "tree_offsets" in t), default=0)


def _depth(t):
    deepest, starts = 0, t["tree_offsets"].astype(np.int64)
    for first in starts[:-1]:
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
