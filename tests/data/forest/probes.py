"""Rows to try a model on, and how its answers are written down; for the make_*.py beside it.

NAME.rows has one line per row: the features as C99 hex floats of float32 values (or nan),
"|", the probabilities, "|", the raw scores, "|", the label's position among the classes.
"""
import numpy as np

ODD = [0.0, -0.0, 1e-36, -1e-36, 1e-45, -1e-45, 3e38, -3e38, np.inf, -np.inf, np.nan]


def rows(seed, missing=False, count=300, features=4):
    """Random rows; the second feature has few values, some values are missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (count, features)).astype(np.float32)
    x[:, 1] = np.round(x[:, 1], 1)
    if missing:
        x[rng.random(x.shape) < 0.15] = np.nan
    return x


def labels(x, classes):
    score = np.nan_to_num(x[:, 0]) + 0.7 * np.nan_to_num(x[:, 1]) ** 2 - np.isnan(x[:, 2]) - (x[:, 3] > 0.3)
    return np.searchsorted(np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]), score)


def probes(x, splits, seed=5, near=16, odd=ODD):
    """Rows of the data, rows on thresholds (feature, value) and one step beside them, odd values."""
    rng = np.random.default_rng(seed)
    made = [x[:8]]

    def put(feature, value):
        row = x[rng.integers(len(x))].copy()
        row[feature] = value
        made.append(row[None])

    for i in rng.integers(0, len(splits), near):
        feature, value = splits[i]
        at = np.float32(value)
        for v in (at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))):
            put(feature, v)
    for value in odd:
        for feature in (0, 3):
            put(feature, value)
    return np.concatenate(made).astype(np.float32)


def category_probes(x, feature, count, seed=6):
    """Rows on categories, between them, at the ends of words of bits, outside, and no categories at all."""
    rng = np.random.default_rng(seed)
    tiny = np.float32(1e-45)
    values = [-1, -0.5, np.nextafter(np.float32(-1), np.float32(0)), -0.0, 0, tiny, -tiny, 0.5, 1.7, 31, 31.5, 32, 33,
              np.nextafter(np.float32(32), np.float32(0)), count - 1, count - 0.5, count, count + 40, 1e9, 3e9, -3e9,
              2**24 - 1, 2**24, 2**31, 2**33, np.nan, np.inf, -np.inf, *rng.integers(0, count, 8)]
    made = x[rng.integers(0, len(x), len(values))].copy()
    made[:, feature] = values
    return made


def hexes(values):
    return " ".join("nan" if v != v else float(v).hex() for v in np.ravel(values))


def write(path, x, p, raw, label):
    lines = [f"{hexes(r)} | {hexes(pr)} | {hexes(s)} | {int(c)}" for r, pr, s, c in zip(x, p, raw, label)]
    path.write_text("\n".join(lines) + "\n")
