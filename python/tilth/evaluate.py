"""Parts of a model file in numpy: the arithmetic of docs/model-file.md, slow on purpose of clarity."""
import numpy as np

from .container import ModelError
from .scalings import scaling_in
from .trees import DEFAULT_LEFT, SET, SIDED, ZERO

ONE_SCORE = ("binary", "share")  # outputs that are made of one
NEAR_ZERO = np.float64(np.float32(1e-35))


def goes_left(tensors, nodes, x):
    """bool of nodes [n] and the values [n] that they ask for."""
    left = x <= tensors["threshold"][nodes]
    missing = tensors.get("missing")
    if missing is None:
        return left
    rule, default = missing[nodes] & (DEFAULT_LEFT - 1), missing[nodes] >= DEFAULT_LEFT
    near = np.abs(x) <= NEAR_ZERO
    zeroed = np.where(near, np.float32(0), x) <= tensors["threshold"][nodes]
    left = np.where((rule == SIDED) & np.isnan(x), default, left)
    left = np.where(rule == ZERO, np.where(np.isnan(x) | near, default, zeroed), left)
    for at in np.flatnonzero(rule == SET):
        number = tensors["leaf"][nodes[at]]
        first, last = tensors["set_offsets"][number:number + 2].astype(np.int64)
        below = (tensors["set_bounds"][first:last] < x[at]).sum()
        left[at] = default[at] if np.isnan(x[at]) else below % 2 == 1
    return left


def leaves(tensors, x):
    """Row of leaf_values of every tree, one array [n] after the other."""
    starts, rows = tensors["tree_offsets"].astype(np.int64), np.arange(len(x))
    for first in starts[:-1]:
        node, moving = np.full(len(x), first), rows
        while len(moving):
            moving = moving[tensors["feature"][node[moving]] >= 0]
            at = node[moving]
            left = goes_left(tensors, at, x[moving, tensors["feature"][at]])
            node[moving] = first + np.where(left, tensors["left"][at], tensors["right"][at])
        yield tensors["leaf"][node]


def _sums(part, tensors, x, scores):
    narrow = part.get("arithmetic") == "xgboost"
    total = np.zeros((len(x), scores), np.float32 if narrow else np.float64)
    values = tensors["leaf_values"].astype(total.dtype)
    if narrow and "base" in tensors:
        total += tensors["base"].astype(np.float32)
    for number, rows in enumerate(leaves(tensors, x)):
        if values.shape[1] == scores:
            total += values[rows]
        else:
            total[:, number % scores] += values[rows, 0]
    if narrow:
        return total
    total = total / part.get("divisor", 1)
    if part.get("scale"):
        total = total * part["scale"]
    return total + tensors["base"] if "base" in tensors else total


def _sigmoid(x, slope):
    one = x.dtype.type(1)
    with np.errstate(over="ignore"):
        return one / (one + np.exp(-x.dtype.type(slope) * x))


def _divided(p):
    """By their sum, even shares where that is 0; numpy has its own order for those that lie side by side."""
    total = np.ascontiguousarray(p).sum(axis=1, keepdims=True)
    return np.where(total == 0, 1 / p.shape[1], p / np.where(total == 0, 1, total))


def _probabilities(part, score):
    if part["output"] == "binary":
        p = _sigmoid(score[:, 0], part.get("slope", 1))
        return np.stack((1 - p, p), axis=1)
    if part["output"] == "softmax":
        score = score * score.dtype.type(part.get("slope", 1))
        power = np.exp(score - score.max(axis=1, keepdims=True))
        return power / power.sum(axis=1, keepdims=True)
    if part["output"] == "sigmoids":
        return _sigmoid(score, part.get("slope", 1))
    if part["output"] == "share":
        return np.stack((1 - score[:, 0], score[:, 0]), axis=1)
    if part["output"] == "normalized":
        return _divided(_sigmoid(score, part.get("slope", 1)))
    if part["output"] == "shared":
        return _divided(score)
    return score


def _layer(weights, bias, x):
    """Sums in the order of the inputs, the bias last."""
    total = np.zeros((len(x), len(bias)))
    for column in range(x.shape[1]):
        total = total + weights[:, column] * x[:, column, None]
    return total + bias


ACTIVATIONS = {"none": lambda x: x, "relu": lambda x: np.where(x < 0, 0, x), "tanh": np.tanh,
               "logistic": lambda x: _sigmoid(x, 1), "square": lambda x: x * x}


def net_scores(part, tensors, x):
    """The numbers of the last layer of columns `x` [n, inputs], in double."""
    if part["kind"] == "linear":
        return _layer(tensors["weights"], tensors["base"], x)
    for i, step in enumerate(part.get("scaling", ())):
        x = scaling_in(step, f"scaling{i}", tensors).apply(x)
    narrow = (lambda a: a.astype(np.float32).astype(np.float64)) if part.get("float32") else lambda a: a
    with np.errstate(over="ignore", invalid="ignore"):
        for i, layer in enumerate(part["layers"]):
            x = narrow(_layer(tensors[f"weights{i}"], tensors[f"bias{i}"], x))
            x = narrow(ACTIVATIONS[layer.get("activation", "none")](x))
    return x


def _mean(part, tensors, members):
    """-> (quotients, the sums before)"""
    kind = np.float32 if part.get("float32") else np.float64
    weights = tensors.get("weights", np.ones(len(members))).astype(kind)
    total = np.zeros(members[0].shape, kind)
    for weight, member in zip(weights, members):
        total = total + weight * member.astype(kind)
    return total / kind(part["divisor"]), total


class Parts:
    """`parts`: their manifests; `tensors`: of the whole file."""

    def __init__(self, parts, tensors, features, classes):
        self.parts, self.features, self.classes = parts, features, classes
        self.tensors = [{name[len(f"p{i}."):]: array for name, array in tensors.items() if name.startswith(f"p{i}.")}
                        for i in range(len(parts))]

    def run(self, x):
        """-> (probabilities [n, classes], index of the class that is named [n])"""
        return self.each(x)[-1]

    def each(self, x):
        """The same of every part."""
        columns, made = [x[:, f].astype(np.float64) for f in range(self.features)], []
        for part, tensors in zip(self.parts, self.tensors):
            p, winner = self._part(part, tensors, x, columns)
            given = np.arange(self.classes) == winner[:, None] if part.get("gives") == "label" else p
            columns += list(given.astype(np.float64).T)
            made.append((p.astype(np.float64), winner))
        return made

    def _part(self, part, tensors, x, columns):
        if part["kind"] == "mean":
            members = [np.stack(columns[c:c + self.classes], axis=1) for c in part["inputs"]]
            p, total = _mean(part, tensors, members)
            return p, (total if part.get("label") == "score" else p).argmax(axis=1)
        scores = 1 if part["output"] in ONE_SCORE else self.classes
        if part["kind"] in ("linear", "net"):
            score = net_scores(part, tensors, np.stack([columns[c] for c in part["inputs"]], axis=1))
        elif part["kind"] == "trees":
            if "inputs" in part:
                x = np.stack([columns[c] for c in part["inputs"]], axis=1).astype(np.float32)
            score = _sums(part, tensors, x, scores)
        else:
            raise ModelError(f"a part of kind {part['kind']!r} is not known to this version of tilth")
        p = _probabilities(part, score)
        if part.get("label") != "score":
            return p, p.argmax(axis=1)
        return p, (score[:, 0] > part.get("above", 0)).astype(int) if scores == 1 else score.argmax(axis=1)
