"""What an estimator sees of the features: the steps in front of it, literally as the library computes them.

Steps that work on each column by itself (scalers, imputers, encoders, choice of columns) never reach the
server: the thresholds behind them are moved, exactly, to where they lie on the feature as it comes in.
"""
import numpy as np

from .container import ModelError
from .floats import last_left

SCALERS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler")
ROWS = 1 << 16  # candidates transformed at a time: bounds the working memory


def is_sklearn(thing):
    return type(thing).__module__.startswith("sklearn.")


def with_names(step, rows):
    """Rows as a table, where the step was fitted on one."""
    names = getattr(step, "feature_names_in_", None)
    if names is None:
        return rows
    import pandas
    return pandas.DataFrame(rows, columns=names)


def as_array(rows):
    return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows)


def _refuse(place, what):
    raise ModelError(f"{place}: {what}")


def _imputer(step, place, width):
    if not (isinstance(step.missing_values, float) and np.isnan(step.missing_values)):
        _refuse(place, f"SimpleImputer(missing_values={step.missing_values!r}) fills a number: only NaN can be filled. "
                       "Declare that number as the nodata value of the band instead, and fit the imputer on NaN")
    if step.add_indicator:
        _refuse(place, "SimpleImputer(add_indicator=True) adds columns: fit it without")
    if step.statistics_.shape[0] != width or any(value != value for value in step.statistics_):
        _refuse(place, "SimpleImputer drops a column that was all NaN: leave that column out")
    return list(range(width))


def _column_numbers(columns, step, width):
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            names = list(step.feature_names_in_)
            first = None if columns.start is None else names.index(columns.start)
            last = None if columns.stop is None else names.index(columns.stop) + 1
            return list(range(width))[first:last]
        return list(range(width))[columns]
    listed = [columns] if isinstance(columns, (str, int, np.integer)) else list(columns)
    if listed and isinstance(listed[0], (bool, np.bool_)):
        return [i for i, taken in enumerate(listed) if taken]
    if listed and isinstance(listed[0], str):
        names = list(step.feature_names_in_)
        return [names.index(name) for name in listed]
    return [int(i) % width for i in listed]


def _table(step, place, width):
    """ColumnTransformer: its parts side by side."""
    made, encoders = {}, {}
    for name, part, columns in step.transformers_:
        at = step.output_indices_.get(name)
        if at is None or at.start == at.stop:
            continue
        numbers = _column_numbers(columns, step, width)
        origin, inner = list(range(len(numbers))), {}
        if part != "passthrough":
            origin, inner = step_map(part, f"{place}.{name}", len(numbers))
        for j, source in enumerate(origin):
            made[at.start + j] = numbers[source]
            if j in inner:
                encoders[at.start + j] = inner[j]
    return [made[j] for j in range(len(made))], encoders


def step_map(step, place, width):
    """-> (input column of each output column, {output column: (categories, unknown allowed)})."""
    name = type(step).__name__
    if step is None or step == "passthrough":
        return list(range(width)), {}
    if name == "Pipeline":
        view = View(width)
        for inner, part in step.steps:
            view = view.behind(part, f"{place}.{inner}")
        return view.origin, view.encoders
    if not is_sklearn(step):
        _refuse(place, f"{type(step).__module__}.{name} is not known to tilth: give the features as they are behind "
                       "it, computed by an expression of the layer")
    if name in SCALERS or name == "Normalizer":
        return list(range(width)), {}
    if name == "SimpleImputer":
        return _imputer(step, place, width), {}
    if name == "OrdinalEncoder":
        if getattr(step, "_infrequent_enabled", False):
            _refuse(place, "OrdinalEncoder with infrequent categories: fit it without min_frequency and max_categories")
        known = step.handle_unknown == "error"
        return list(range(width)), {j: (np.asarray(c), not known) for j, c in enumerate(step.categories_)}
    if name == "ColumnTransformer":
        return _table(step, place, width)
    if name == "FunctionTransformer" and _checks_only(step):
        return list(range(width)), {}
    if hasattr(step, "get_support") and type(step).__module__.startswith("sklearn.feature_selection"):
        return [int(i) for i in step.get_support(indices=True)], {}
    return _refuse(place, mixes(name))


def mixes(name):
    return (f"{name} mixes features, or is not known to tilth: only steps that treat each column by itself can be moved "
            f"into the trees ({', '.join(SCALERS)}, SimpleImputer, OrdinalEncoder, ColumnTransformer of these, feature "
            "selection)")


def _normalizes(step):
    inner = [part for _, part in step.steps] if type(step).__name__ == "Pipeline" else []
    return type(step).__name__ == "Normalizer" or any(_normalizes(part) for part in inner)


def _checks_only(step):
    """FunctionTransformer() as it is, or as HistGradientBoosting puts it in front of itself."""
    return step.func is None or getattr(getattr(step.func, "func", None), "__name__", "") == "check_array"


class View:
    """Columns as an estimator sees them. `origin[j]`: the column of the model that column j is made of."""

    def __init__(self, width, columns=None, dtype=np.float32):
        self.width, self.dtype, self.steps, self.places = width, dtype, [], []
        self.columns = list(range(width)) if columns is None else list(columns)  # the model's, of the first step
        self.origin, self.encoders = list(range(width)), {}
        self.normalized = None  # the place of a Normalizer, which only nets can stand behind

    @property
    def plain(self):
        return not self.steps

    def behind(self, step, place):
        """The view of what stands behind `step`."""
        if step is None or step == "passthrough":
            return self
        origin, encoders = step_map(step, place, len(self.origin))
        view = View(self.width, self.columns, self.dtype)
        view.steps, view.places = [*self.steps, step], [*self.places, place]
        view.normalized = place if _normalizes(step) else self.normalized
        view.origin = [self.origin[source] for source in origin]
        view.encoders = {j: self.encoders[s] for j, s in enumerate(origin) if s in self.encoders}
        for j, categories in encoders.items():
            if not all(_keeps_numbers(before) for before in self.steps):
                _refuse(place, "an OrdinalEncoder behind a step that changes numbers: encode first, then scale")
            view.encoders[j] = categories
        return view

    def apply(self, rows):
        """What the library makes of rows [n, width]."""
        rows = np.asarray(rows, self.dtype)
        for step in self.steps:
            rows = as_array(step.transform(with_names(step, rows)))
        return rows

    def _base_row(self):
        """A row that every step accepts."""
        row = np.zeros(self.width, np.float32)
        for j, (categories, _) in self.encoders.items():
            row[self.origin[j]] = _floats(categories)[0]
        return row

    def at(self, candidates, taken):
        """Column taken[i] of what the library makes of candidates[:, i], for all i. Any dtype comes out."""
        out, todo = [None] * len(taken), list(range(len(taken)))
        while todo:  # columns of one feature one after the other, all others at once
            batch, features = [], set()
            for i in todo:
                if self.origin[taken[i]] not in features:
                    features.add(self.origin[taken[i]])
                    batch.append(i)
            rows = np.tile(self._base_row(), (len(candidates), 1))
            for i in batch:
                rows[:, self.origin[taken[i]]] = candidates[:, i]
            made = np.concatenate([self.apply(rows[k:k + ROWS]) for k in range(0, len(rows), ROWS)])
            for i in batch:
                out[i] = made[:, taken[i]]
            todo = [i for i in todo if i not in batch]
        return np.stack(out, axis=1)

    def of_nan(self, count):
        """What NaN becomes in each of `count` columns: NaN where it stays, or is refused."""
        if self.plain:
            return np.full(count, np.nan)
        try:
            return self._nan_in(list(range(count)))
        except ValueError:  # somewhere: look at each
            return np.array([self._nan_alone(j) for j in range(count)])

    def _nan_in(self, taken):
        with np.errstate(all="ignore"):
            return self.at(np.full((1, len(taken)), np.nan, np.float32), taken)[0].astype(np.float64)

    def _nan_alone(self, column):
        try:
            return float(self._nan_in([column])[0])
        except ValueError:
            return np.nan

    def last_left(self, thresholds, goes_left):
        """{column: sorted thresholds} -> {column: float32 of each}: the last value of the feature that goes left of it.

        goes_left(seen, thresholds): the estimator's own comparison.
        """
        taken = [j for j in thresholds if j not in self.encoders]
        result = {}
        if taken:
            size = max(len(thresholds[j]) for j in taken)
            table = np.stack([np.resize(thresholds[j], size) for j in taken], axis=1)
            with np.errstate(over="ignore", invalid="ignore"):
                found = last_left(lambda x: goes_left(self.at(x, taken), table), table.shape)
            result = {j: found[:len(thresholds[j]), i] for i, j in enumerate(taken)}
        return result

    def encoded(self, column):
        """Of an encoded column: its categories, what is seen of each, and of any other value (None: refused)."""
        categories, unknown = self.encoders[column]
        own = _floats(categories)
        own = own[np.isfinite(own) & (own.astype(np.float32) == own)]  # no other meets a float32
        seen = self.at(own.astype(np.float32)[:, None], [column])[:, 0]
        if not unknown:
            return own, seen, None
        stranger = np.setdiff1d(np.arange(len(own) + 1), own)[:1].astype(np.float32)
        return own, seen, self.at(stranger[:, None], [column])[0, 0]


def _floats(categories):
    try:
        return np.asarray(categories, np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"OrdinalEncoder of {categories[0]!r} and others: a pixel is a number; encode the names "
                         "before "
                         "fitting and fit the encoder on numbers") from None


def _keeps_numbers(step):
    name = type(step).__name__
    if name == "Pipeline":
        return all(_keeps_numbers(part) for _, part in step.steps)
    if name == "ColumnTransformer":
        return all(part in ("passthrough", "drop") or _keeps_numbers(part) for _, part, _ in step.transformers_)
    return step in (None, "passthrough") or name in ("SimpleImputer", "FunctionTransformer") or hasattr(step, "get_support")
