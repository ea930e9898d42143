"""Ensembles of trees as a part of a model file: thresholds moved to the features as they come in."""
import numpy as np

from .container import ModelError
from .floats import below_float32, floor_float32

# `missing` of a node in the file; docs/model-file.md
COMPARE, SIDED, ZERO, SET, DEFAULT_LEFT = 0, 1, 2, 3, 0x80


class Tree:
    """Nodes of one tree; node 0 is the root. left < 0: a leaf, whose numbers are values[node]."""

    def __init__(self, column, threshold, left, right, values):
        self.column, self.left, self.right = (np.asarray(a, np.int64) for a in (column, left, right))
        self.threshold, self.values = np.asarray(threshold, np.float64), np.asarray(values, np.float64)
        if self.values.ndim == 1:
            self.values = self.values[:, None]
        count = len(self.left)
        self.nan_left = np.zeros(count, bool)  # the side of a NaN ..
        self.sided = np.zeros(count, bool)     # .. where the library has a rule for it
        self.zero = np.zeros(count, bool)      # LightGBM: zero goes the NaN's way, too
        self.sets = {}                         # node -> (categories that go left, False) or (those that do not, True)

    def in_order(self):
        """The same with every child behind its parent, and only what the root reaches."""
        inner = self.left >= 0
        own = np.flatnonzero(inner)
        reached = np.zeros(len(inner), np.int64)
        np.add.at(reached, self.left[own], 1)
        np.add.at(reached, self.right[own], 1)
        if (self.left[own] > own).all() and (self.right[own] > own).all() and (reached[1:] == 1).all():
            return self
        order, stack = [], [0]
        while stack:
            node = stack.pop()
            if len(order) > len(inner):
                raise ModelError("a tree goes in circles")
            order.append(node)
            if self.left[node] >= 0:
                stack += [self.right[node], self.left[node]]
        number = np.full(len(inner), -1, np.int64)
        number[order] = np.arange(len(order))
        made = Tree(self.column[order], self.threshold[order], self.left[order], self.right[order], self.values[order])
        deeper = made.left >= 0
        made.left[deeper], made.right[deeper] = number[made.left[deeper]], number[made.right[deeper]]
        for name in ("nan_left", "sided", "zero"):
            setattr(made, name, getattr(self, name)[order])
        made.sets = {int(number[node]): rule for node, rule in self.sets.items() if number[node] >= 0}
        return made


class Ensemble:
    """Trees, how their library compares, and what it makes of their sums (`output`: keys of the part)."""

    def __init__(self, trees, output, strict=False, wide=False, near_zero=False, truncates=False, base=None,
                 narrow=False):
        self.trees = [tree.in_order() for tree in trees]
        self.output, self.base = output, base
        self.strict = strict        # left when x < threshold, else x <= threshold
        self.wide = wide            # x is compared as double, else cast to float32 first
        self.near_zero = near_zero  # LightGBM: |x| <= 1e-35 is 0
        self.truncates = truncates  # LightGBM: the category of 3.7 is 3
        self.narrow = narrow        # the probabilities are float32

    def raw(self):
        """The sums themselves, of two classes beside a 0 for the first."""
        for tree in self.trees if self.output["output"] == "binary" else ():
            tree.values = np.concatenate([0 * tree.values, tree.values], axis=1)
        self.output = {"output": "scores"}
        return self

    def goes_left(self, seen, thresholds):
        x = np.asarray(seen)
        with np.errstate(over="ignore", invalid="ignore"):
            x = x.astype(np.float64) if self.wide else x.astype(np.float32)
            if self.near_zero:
                x = np.where(np.abs(x) <= np.float64(np.float32(1e-35)), 0, x)
            return x < thresholds if self.strict else x <= thresholds

    def _plain_thresholds(self, t):
        low = below_float32(t) if self.strict else floor_float32(t)
        if self.near_zero:  # what counts as 0 goes with 0
            edge = np.float32(1e-35)
            inside = (low >= -edge) & (low < edge)
            low = np.where(inside & (t >= 0), edge, np.where(inside, np.nextafter(-edge, np.float32(-1)), low))
        return low.astype(np.float32)

    def tensors(self, view, columns):
        """Tensors of the part. `columns`: how many the estimator sees."""
        made = _Nodes(self, view, columns)
        values = np.concatenate([t.values for t in self.trees])
        leaf_rows, which = np.unique(values[~made.inner], axis=0, return_inverse=True)
        leaf = np.zeros(len(made.inner), np.uint32)
        leaf[~made.inner] = which.ravel()
        leaf[made.inner] = made.set_number[made.inner]
        tensors = {
            "tree_offsets": np.cumsum([0] + [len(t.left) for t in self.trees]).astype(np.uint32),
            "feature": np.where(made.inner, made.feature, -1).astype(np.int32), "threshold": made.threshold,
            "left": np.where(made.inner, made.left, -1).astype(np.int32),
            "right": np.where(made.inner, made.right, -1).astype(np.int32),
            "leaf": leaf, "leaf_values": leaf_rows}
        if made.missing.any():
            tensors["missing"] = made.missing
        if made.bounds:
            tensors["set_offsets"] = np.cumsum([0] + [len(b) for b in made.bounds]).astype(np.uint32)
            tensors["set_bounds"] = np.concatenate(made.bounds).astype(np.float32)
        if self.base is not None:
            tensors["base"] = np.asarray(self.base, np.float64)
        return tensors


class _Nodes:
    """All nodes of an ensemble behind a view, as the file has them."""

    def __init__(self, ensemble, view, columns):
        self.ensemble, self.view = ensemble, view
        join = lambda name: np.concatenate([getattr(t, name) for t in ensemble.trees])  # noqa: E731
        self.left, self.right, self.column, self.t = join("left"), join("right"), join("column"), join("threshold")
        self.inner = self.left >= 0
        starts = np.cumsum([0] + [len(t.left) for t in ensemble.trees])
        self.sets = {int(starts[i] + n): rule for i, t in enumerate(ensemble.trees) for n, rule in t.sets.items()}
        self.feature = np.array(view.origin, np.int64)[np.where(self.inner, self.column, 0)]
        self.set_number, self.bounds, self._known = np.zeros(len(self.left), np.uint32), [], {}
        self.threshold = np.zeros(len(self.left), np.float32)
        self.nan_left, self.sided = self._nan_sides(columns, join("nan_left"), join("sided"))
        self.zero = join("zero")
        self._compare()
        rule = np.where(self.zero, ZERO, np.where(self.sided, SIDED, COMPARE))
        for node in self.sets:
            rule[node] = SET
        self.missing = np.where(self.inner, rule | np.where(self.nan_left & (rule != COMPARE), DEFAULT_LEFT, 0),
                                0).astype(np.uint8)

    def _nan_sides(self, columns, nan_left, sided):
        """Where a step fills NaN, it goes where the filling goes."""
        filled = self.view.of_nan(columns)[np.where(self.inner, self.column, 0)]
        known = self.inner & ~np.isnan(filled)
        left = self.ensemble.goes_left(filled, self.t)
        for node, (categories, others) in self.sets.items():
            if known[node]:
                left[node] = bool(np.isin(np.trunc(filled[node]), categories)) != others
        return np.where(known, left, nan_left), sided | known

    def _compare(self):
        compared = self.inner.copy()
        compared[list(self.sets)] = False
        plain = np.flatnonzero(compared)
        own_sets, self.sets = self.sets, {}
        for node, (categories, others) in own_sets.items():
            self._take_set(node, *self._moved(node, categories, others))
        if self.view.plain:
            self.threshold[plain] = self.ensemble._plain_thresholds(self.t[plain])
            return
        if self.zero.any():
            raise ModelError("LightGBM's zero_as_missing behind a scaler: a scaled zero is no zero; train without "
                             "one of "
                             "them")
        by_column = {}
        for j in np.unique(self.column[plain]):
            nodes = plain[self.column[plain] == j]
            if j in self.view.encoders:
                self._encoded(int(j), nodes)
            else:
                by_column[int(j)] = (nodes, *np.unique(self.t[nodes], return_inverse=True))
        found = self.view.last_left({j: t for j, (_, t, _) in by_column.items()}, self.ensemble.goes_left)
        for j, (nodes, _, which) in by_column.items():
            self.threshold[nodes] = found[j][which.ravel()]

    def _moved(self, node, categories, others):
        """Categories of a split as values of the feature, and again whether it is they or all others that go left."""
        column = int(self.column[node])
        if column not in self.view.encoders:
            if not self.view.plain:
                raise ModelError("a categorical split behind a step that changes numbers: leave the categories out "
                                 "of it")
            return categories, others
        own, seen, stranger = self.view.encoded(column)
        left = np.isin(np.trunc(seen), categories) != others
        if stranger is None:
            strangers_left = others
        elif np.isnan(stranger):
            strangers_left = bool(self.nan_left[node])
        else:
            strangers_left = bool(np.isin(np.trunc(stranger), categories)) != others
        return own[~left] if strangers_left else own[left], strangers_left

    def _encoded(self, column, nodes):
        """Comparisons of a code: which categories go left."""
        own, seen, stranger = self.view.encoded(column)
        for node in nodes:
            left = self.ensemble.goes_left(seen, np.full(len(seen), self.t[node]))
            ordered = np.argsort(own)
            goes = left[ordered]
            if stranger is None and (np.diff(goes.astype(int)) <= 0).all():
                self.threshold[node] = np.float32(own[ordered][goes.sum() - 1]) if goes.any() else np.float32(-np.inf)
                continue
            others = False
            if stranger is not None and np.isnan(stranger):
                others = bool(self.nan_left[node])
            elif stranger is not None:
                others = bool(self.ensemble.goes_left(np.array([stranger]), np.array([self.t[node]]))[0])
            self._take_set(node, own[~left] if others else own[left], others)

    def _take_set(self, node, categories, others):
        """Left go `categories` when not `others`, else all but them; children change sides for that."""
        bounds, down = [], np.float32(-np.inf)
        cut = self.ensemble.truncates and int(self.column[node]) not in self.view.encoders
        for c in np.unique(np.asarray(categories, np.float64)):
            if np.float32(c) != c:
                continue
            low, high = np.nextafter(np.float32(c), down), np.float32(c)
            if cut:  # the fraction is cut off, so that -0.9 is 0
                low, high = np.float32(-1) if c == 0 else low, np.nextafter(np.float32(c + 1), down)
            if bounds and bounds[-1] == low:
                bounds[-1] = high
            else:
                bounds += [low, high]
        self._keep_bounds(node, bounds, others)

    def _keep_bounds(self, node, bounds, swap):
        if not bounds:  # nothing is in it: everything goes one way
            self.threshold[node] = np.float32(np.inf if swap else -np.inf)
            self.sided[node] = True
            return
        if swap:
            self.left[node], self.right[node] = self.right[node], self.left[node]
            self.nan_left[node] = not self.nan_left[node]
        key = np.asarray(bounds, np.float32).tobytes()
        if key not in self._known:
            self._known[key] = len(self.bounds)
            self.bounds.append(np.asarray(bounds, np.float32))
        self.set_number[node] = self._known[key]
        self.sets[node] = True
        self.threshold[node] = 0
