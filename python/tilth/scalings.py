"""Steps in front of a net: what trees have moved into their thresholds, a net does to the columns it reads."""
import numpy as np

from .columns import SCALERS, _checks_only, _column_numbers, _imputer, _refuse, as_array, is_sklearn, with_names

NEUTRAL = {"add": 0, "subtract": 0, "multiply": 1, "divide": 1, "impute": np.nan, "at_least": -np.inf,
           "at_most": np.inf}
NORMS = ("l1", "l2", "max", "greatest")
MAX_STEPS = 32
PROBES = 512


class Scaling:
    """One step: `numbers` for each column, or None for a norm; `narrow`: the result is rounded to float32. Of a curve
    the `numbers` are pairs (x, y) of its points."""

    def __init__(self, op, numbers, narrow=False):
        self.op, self.narrow, self.curves = op, narrow, None
        if op == "curve":
            self.curves, numbers = [tuple(np.asarray(side, np.float64) for side in curve) for curve in numbers], None
        self.numbers = None if numbers is None else np.asarray(numbers, np.float64)

    def of(self, columns):
        return Scaling(self.op, None if self.numbers is None else self.numbers[columns], self.narrow)

    def tensors(self, name):
        if self.curves:
            return {f"{name}_offsets": np.cumsum([0] + [len(x) for x, _ in self.curves]).astype(np.uint32),
                    f"{name}_x": np.concatenate([x for x, _ in self.curves]),
                    f"{name}_y": np.concatenate([y for _, y in self.curves])}
        return {} if self.numbers is None else {name: self.numbers}

    def apply(self, x):
        if self.curves:
            return np.stack([np.interp(x[:, j], *curve) for j, curve in enumerate(self.curves)], axis=1)
        x = norms(self.op, x) if self.numbers is None else step(self.op, x, self.numbers)
        return x.astype(np.float32).astype(np.float64) if self.narrow else x


def scaling_in(step, name, tensors):
    """The step of a manifest."""
    if step["op"] == "curve":
        cuts = tensors[f"{name}_offsets"][1:-1].astype(np.int64)
        return Scaling("curve", zip(np.split(tensors[f"{name}_x"], cuts), np.split(tensors[f"{name}_y"], cuts)))
    return Scaling(step["op"], tensors.get(name), step.get("float32", False))


def step(op, x, by):
    with np.errstate(all="ignore"):
        if op in ("add", "subtract"):
            return x + by if op == "add" else x - by
        if op in ("multiply", "divide"):
            return x * by if op == "multiply" else x / by
        if op == "impute":
            return np.where(np.isnan(x), by, x)
        return np.where(x < by, by, x) if op == "at_least" else np.where(x > by, by, x)


def norms(op, x):
    """Every row divided by its norm, added up column by column."""
    if op == "greatest":
        total = x.max(axis=1)
        return x / np.where(total == 0, 1, total)[:, None]
    size, total = np.abs(x), np.zeros(len(x))
    for column in range(x.shape[1]):
        one = size[:, column]
        total = np.maximum(total, one) if op == "max" else total + (one if op == "l1" else one * one)
    total = np.sqrt(total) if op == "l2" else total
    return x / np.where(total == 0, 1, total)[:, None]


def _scaler(part):
    """What scikit-learn's scaler does, in its order."""
    name, ops = type(part).__name__, []
    if name == "StandardScaler":
        ops = [("subtract", part.mean_ if part.with_mean else None), ("divide", part.scale_ if part.with_std else None)]
    elif name == "RobustScaler":
        ops = [("subtract", part.center_ if part.with_centering else None),
               ("divide", part.scale_ if part.with_scaling else None)]
    elif name == "MaxAbsScaler":
        ops = [("divide", part.scale_)]
    elif name == "MinMaxScaler":
        ops = [("multiply", part.scale_), ("add", part.min_)]
        if part.clip:
            ends = np.asarray(part.feature_range, np.float64)
            ops += [("at_least", np.full(len(part.min_), ends[0])), ("at_most", np.full(len(part.min_), ends[1]))]
    return [(op, np.asarray(numbers, np.float64)) for op, numbers in ops if numbers is not None]


def _probes(width, dtype):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(PROBES, width)) * 10.0 ** rng.integers(-3, 5, (PROBES, 1))).astype(dtype)


def _apply(scalings, x):
    x = x.astype(np.float64)
    for scaling in scalings:
        x = scaling.apply(x)
    return x


def _refuse_order(place, name):
    _refuse(place, f"this version of scikit-learn computes {name} in an order that tilth does not know: export with "
                   "another, or give rows of float64 (dtype='float64')")


def _as_computed(part, ops, place, width, dtype):
    """-> (the scalings, rounded as the library rounds, dtype of what it gives)."""
    rows = _probes(width, dtype)
    with np.errstate(all="ignore"):
        wanted = as_array(part.transform(with_names(part, rows)))
    single = rows.dtype == np.float32 and wanted.dtype == np.float32
    for cast in (True, False) if single else (False,):
        made = [Scaling(op, by.astype(np.float32) if cast and by is not None else by, single) for op, by in ops]
        if _equal(made, rows, wanted):
            return made, wanted.dtype
    return _refuse_order(place, type(part).__name__)


def _equal(scalings, rows, wanted):
    """Bit for bit, but for the order in which a norm is added up."""
    got = _apply(scalings, rows)
    if not any(s.op in NORMS for s in scalings):
        return np.array_equal(got, wanted.astype(np.float64), equal_nan=True)
    within = 1e-6 if wanted.dtype == np.float32 else 1e-14
    return np.allclose(got, wanted, rtol=within, atol=within, equal_nan=True)


def _table(table, place, width, dtype):
    """ColumnTransformer: its parts side by side, each with what does nothing to the others."""
    made, found, types = {}, [], []
    for name, part, columns in table.transformers_:
        at = table.output_indices_.get(name)
        if at is None or at.start == at.stop:
            continue
        numbers = _column_numbers(columns, table, width)
        origin, scalings, seen = literal(part, f"{place}.{name}", len(numbers), dtype)
        for j, source in enumerate(origin):
            made[at.start + j] = numbers[source]
        found += [(scaling, at.start, len(origin)) for scaling in scalings]
        types.append(seen)
    wide = []
    for scaling, start, count in found:
        if scaling.numbers is None:
            _refuse(place, "a Normalizer of some columns inside a ColumnTransformer: normalise all of them, or none")
        numbers = np.full(len(made), NEUTRAL[scaling.op], np.float64)
        numbers[start:start + count] = scaling.numbers
        wide.append(Scaling(scaling.op, numbers, scaling.narrow))
    return [made[j] for j in range(len(made))], wide, np.result_type(*types)


def _chain(steps, width, dtype):
    """Steps one behind the other; `steps`: (place, step)."""
    columns, made = list(range(width)), []
    for place, part in steps:
        origin, more, dtype = literal(part, place, len(columns), dtype)
        if origin != list(range(len(columns))) and any(s.numbers is None for s in made):
            _refuse(place, "columns are chosen behind a Normalizer: choose them in front of it")
        made = [s.of(origin) for s in made] + more
        columns = [columns[j] for j in origin]
    return columns, made, dtype


def literal(part, place, width, dtype):
    """-> (input column of each output column, [Scaling], dtype of what comes out)."""
    name, ops = type(part).__name__, None
    if part in (None, "passthrough") or (name == "FunctionTransformer" and _checks_only(part)):
        return list(range(width)), [], dtype
    if name == "Pipeline":
        return _chain([(f"{place}.{inner}", one) for inner, one in part.steps], width, dtype)
    if name == "ColumnTransformer":
        return _table(part, place, width, dtype)
    if hasattr(part, "get_support"):
        return [int(i) for i in part.get_support(indices=True)], [], dtype
    if name in SCALERS and is_sklearn(part):
        ops = _scaler(part)
    elif name == "Normalizer" and is_sklearn(part):
        ops = [(part.norm, None)]
    elif name == "SimpleImputer":
        _imputer(part, place, width)
        ops = [("impute", np.asarray(part.statistics_, np.float64))]
    if ops is None:
        _refuse(place, f"{name} in front of a net or a linear model: scalers, Normalizer, SimpleImputer, "
                       "ColumnTransformer of these and feature selection can be")
    return list(range(width)), *_as_computed(part, ops, place, width, dtype)


def scalings_of(view, place):
    """-> (columns of the model, [Scaling], dtype of what the estimator sees)."""
    columns, made, seen = _chain(list(zip(view.places, view.steps)), view.width, view.dtype)
    rows = _probes(view.width, view.dtype)
    with np.errstate(all="ignore"):
        if not _equal(made, rows[:, columns], view.apply(rows)):
            _refuse_order(place, "what stands in front")
    if len(made) > MAX_STEPS:
        _refuse(place, f"{len(made)} steps in front of a net: at most {MAX_STEPS} are served")
    return [int(view.columns[j]) for j in columns], made, seen
