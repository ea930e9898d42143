#!/usr/bin/python3
"""The reference: a window of a prediction layer, classified in one piece by plain numpy.

    /usr/bin/python3 tools/reference.py LAYER.json --window COL ROW WIDTH HEIGHT -o OUT.raw [--season 2024-25]
    /usr/bin/python3 tools/reference.py LAYER.json --tile Z X Y -o OUT.raw

OUT.raw: WIDTH x HEIGHT labels, then as many confidences (0..100), uint8; 255 nodata, 254 masked. A tile is
256 x 256, the pixel of the layer's grid under each centre, native zoom or above only.
What tests hold the server against: GDAL reads, numpy computes, python/tilth votes. Level 0 only; local files.
"""
import argparse
import json
import pathlib
import re
import sys

import numpy as np
from osgeo import gdal, osr

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python"))
import tilth  # noqa: E402

gdal.UseExceptions()
NODATA, MASKED = 255, 254
WORLD = 20037508.342789244  # half the side of Web Mercator's square, metres
TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*(?:\.\w+)*)|"
                   r"(<=|>=|==|!=|[-+*/(),<>]))")


def ln(x):
    """numpy's float32 log differs between processors: the double result, rounded."""
    return np.log(x.astype(np.float64)).astype(np.float32)


def exp(x):
    return np.exp(x.astype(np.float64)).astype(np.float32)


def truth(x):
    return np.asarray(x, np.float32)


BINARY = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide,
          "<": lambda a, b: truth(a < b), "<=": lambda a, b: truth(a <= b), ">": lambda a, b: truth(a > b),
          ">=": lambda a, b: truth(a >= b), "==": lambda a, b: truth(a == b), "!=": lambda a, b: truth(a != b)}
FUNCTIONS = {"abs": np.abs, "min": np.minimum, "max": np.maximum, "sqrt": np.sqrt, "ln": ln, "exp": exp,
             "clamp": lambda x, low, high: np.minimum(np.maximum(x, low), high),
             "nd": lambda a, b: (a - b) / (a + b), "where": lambda c, a, b: np.where(c != 0, a, b)}
LEVELS = [("<", "<=", ">", ">=", "==", "!="), ("+", "-"), ("*", "/")]


class Expression:
    """A feature expression (src/feature/feature.h) as a function of float32 planes by name."""

    def __init__(self, text):
        self.text, self.bands, at, self.tokens = text, set(), 0, []
        while at < len(text.rstrip()):
            match = TOKEN.match(text, at)
            if not match:
                raise ValueError(f"{text!r}: unexpected {text[at:].strip()[0]!r}")
            self.tokens.append(match.groups())
            at = match.end()
        self.at, self.run = 0, None
        self.run = self._level(0)
        if self.at < len(self.tokens):
            raise ValueError(f"{text!r}: something is left over")

    def _next(self, *symbols):
        if self.at < len(self.tokens) and self.tokens[self.at][2] in symbols:
            self.at += 1
            return self.tokens[self.at - 1][2]
        return None

    def _need(self, symbol):
        if not self._next(symbol):
            raise ValueError(f"{self.text!r}: expected {symbol!r}")

    def _level(self, level):
        if level == len(LEVELS):
            return self._unary()
        left, once = self._level(level + 1), level == 0
        while symbol := self._next(*LEVELS[level]):
            left = self._apply(BINARY[symbol], left, self._level(level + 1))
            if once:
                break
        return left

    @staticmethod
    def _apply(function, *arguments):
        return lambda planes: function(*(a(planes) for a in arguments))

    def _unary(self):
        if self._next("-"):
            return self._apply(np.negative, self._unary())
        if self._next("("):
            inner = self._level(0)
            self._need(")")
            return inner
        if self.at == len(self.tokens):
            raise ValueError(f"{self.text!r}: ends too early")
        number, name, _ = self.tokens[self.at]
        self.at += 1
        if number:
            value = np.float32(number)
            return lambda planes: value
        if not name:
            raise ValueError(f"{self.text!r}: expected a value")
        if self._next("("):
            arguments = [self._level(0)]
            while self._next(","):
                arguments.append(self._level(0))
            self._need(")")
            return self._apply(FUNCTIONS[name], *arguments)
        self.bands.add(name)
        return lambda planes: planes[name]

    def __call__(self, planes):
        with np.errstate(all="ignore"):
            return np.asarray(self.run(planes), np.float32)


def crs_move(source, target):
    systems = []
    for wkt in (source, target):
        system = osr.SpatialReference()
        system.SetFromUserInput(wkt)
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
        systems.append(system)
    return systems[0].IsSame(systems[1]), osr.CoordinateTransformation(*systems)


class Grid:
    """A north-up pixel grid: crs, upper left corner, pixel size, size."""

    def __init__(self, crs, x, y, dx, dy, width, height):
        self.crs, self.x, self.y, self.dx, self.dy, self.width, self.height = crs, x, y, dx, dy, width, height

    @classmethod
    def of(cls, dataset):
        g = dataset.GetGeoTransform()
        if g[2] or g[4]:
            raise ValueError("rotated rasters are not for the reference")
        return cls(dataset.GetProjection(), g[0], g[3], g[1], g[5], dataset.RasterXSize, dataset.RasterYSize)

    def part(self, col, row, width, height):
        return Grid(self.crs, self.x + col * self.dx, self.y + row * self.dy, self.dx, self.dy, width, height)

    def positions(self, other):
        """Columns and rows, in pixels of `other`, of this grid's pixel centres: [h, w] doubles each."""
        same, move = crs_move(self.crs, other.crs)
        x, y = self.x + (np.arange(self.width) + 0.5) * self.dx, self.y + (np.arange(self.height) + 0.5) * self.dy
        x, y = np.meshgrid(x, y)
        if not same:
            points = np.array(move.TransformPoints(np.stack((x.ravel(), y.ravel()), 1)))
            x, y = points[:, 0].reshape(x.shape), points[:, 1].reshape(x.shape)
        return (x - other.x) / other.dx, (y - other.y) / other.dy


def valid_samples(dataset, bands, samples):
    ok = np.ones(samples.shape[1:], bool)
    for band, plane in zip(bands, samples):
        nodata = dataset.GetRasterBand(band).GetNoDataValue()
        if nodata is not None and not np.isnan(nodata):
            ok &= plane != plane.dtype.type(nodata)
        if plane.dtype.kind == "f":
            ok &= ~np.isnan(plane)
    return ok


def read_clamped(dataset, bands, cols, rows):
    """All samples of the rectangle of columns and rows, nothing valid outside of the raster."""
    c0, c1, r0, r1 = int(cols.min()), int(cols.max()) + 1, int(rows.min()), int(rows.max()) + 1
    inside = max(c0, 0), min(c1, dataset.RasterXSize), max(r0, 0), min(r1, dataset.RasterYSize)
    if inside[0] >= inside[1] or inside[2] >= inside[3]:
        return np.zeros((len(bands), r1 - r0, c1 - c0), np.float32), np.zeros((r1 - r0, c1 - c0), bool), c0, r0
    read = np.stack([dataset.GetRasterBand(b).ReadAsArray(inside[0], inside[2], inside[1] - inside[0],
                                                          inside[3] - inside[2]) for b in bands])
    samples, ok = np.zeros((len(bands), r1 - r0, c1 - c0), read.dtype), np.zeros((r1 - r0, c1 - c0), bool)
    where = slice(inside[2] - r0, inside[3] - r0), slice(inside[0] - c0, inside[1] - c0)
    samples[(slice(None), *where)], ok[where] = read, valid_samples(dataset, bands, read)
    return samples, ok, c0, r0


def bilinear(dataset, bands, col, row, grid):
    """float32 [bands, h, w] and validity; weights in double, sums in float32, across and then down."""
    first_c, first_r = np.floor(col - 0.5).astype(np.int64), np.floor(row - 0.5).astype(np.int64)
    corners = np.stack((first_c, first_c + 1)), np.stack((first_r, first_r + 1))
    samples, ok, c0, r0 = read_clamped(dataset, bands, *corners)
    samples = np.where(ok, samples, 0).astype(np.float32)
    tx, ty = col - 0.5 - first_c, row - 0.5 - first_r
    wx, wy = [(1 - tx).astype(np.float32), tx.astype(np.float32)], [(1 - ty).astype(np.float32), ty.astype(np.float32)]

    def convolve(plane):
        total = np.float32(0)
        for j in range(2):
            across = np.float32(0)
            for i in range(2):
                across = across + wx[i] * plane[first_r + j - r0, first_c + i - c0]
            total = total + wy[j] * across
        return total
    weight, whole = convolve(ok.astype(np.float32)), convolve((~ok).astype(np.float32)) == 0
    weight = np.where(whole, np.float32(1), weight)
    inside = (col >= 0) & (col < grid.width) & (row >= 0) & (row < grid.height) & (weight >= np.float32(1e-5))
    return np.stack([convolve(s) / np.where(inside, weight, 1) for s in samples]), inside


def read_source(dataset, bands, resampling, target):
    """[bands, h, w] samples on the target grid and where all of them are valid."""
    grid = Grid.of(dataset)
    col, row = target.positions(grid)
    if resampling == "bilinear" and not (col == np.floor(col) + 0.5).all():
        return bilinear(dataset, bands, col, row, grid)
    if resampling not in ("nearest", "bilinear"):
        raise ValueError(f"resampling {resampling!r} is not for the reference")
    col, row = np.floor(col + 1e-9).astype(np.int64), np.floor(row + 1e-9).astype(np.int64)
    samples, ok, c0, r0 = read_clamped(dataset, bands, col, row)
    return samples[:, row - r0, col - c0], ok[row - r0, col - c0]


def majority(label, size):
    """Strictly more votes than any other label in size x size, else the own; 254, 255 and outside do not vote."""
    reach, votes = size // 2, []
    values = [v for v in np.unique(label) if v < MASKED]
    if not values:
        return label
    for value in values:
        counts = np.pad((label == value).astype(np.int32), reach).cumsum(0).cumsum(1)
        counts = np.pad(counts, ((1, 0), (1, 0)))
        votes.append(counts[size:, size:] - counts[:-size, size:] - counts[size:, :-size] + counts[:-size, :-size])
    votes = np.stack(votes)
    best = votes.max(axis=0)
    alone = (votes == best).sum(axis=0) == 1
    chosen = np.array(values, np.uint8)[votes.argmax(axis=0)]
    return np.where(alone & (label < MASKED), chosen, label)


def patches(label, connect):
    """The number of each pixel's connected component of one label: the least index in it."""
    index, parent = np.arange(label.size).reshape(label.shape), np.arange(label.size)
    pairs = [(np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])]
    if connect == 8:
        pairs += [(np.s_[:-1, :-1], np.s_[1:, 1:]), (np.s_[:-1, 1:], np.s_[1:, :-1])]
    left = np.concatenate([index[a][label[a] == label[b]] for a, b in pairs])
    right = np.concatenate([index[b][label[a] == label[b]] for a, b in pairs])
    while left.size:
        np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))
        while (parent != parent[parent]).any():
            parent = parent[parent]
        left, right = parent[left], parent[right]
        apart = left != right
        left, right = left[apart], right[apart]
    return parent.reshape(label.shape)


def sieve(label, min_pixels, connect):
    """Patches of fewer pixels take the commonest label around them, the lowest of equal ones; 254 and 255 do not vote."""
    id = patches(label, connect)
    small = (np.bincount(id.ravel(), minlength=label.size)[id] < min_pixels) & (label < MASKED)
    wide, wide_id = np.pad(label, 1, constant_values=NODATA), np.pad(id, 1, constant_values=-1)
    around = set()  # (patch, pixel on its border, its label)
    for dy, dx in [(-1, 0), (1, 0), (0, -1), (0, 1)] + ([(-1, -1), (-1, 1), (1, -1), (1, 1)] if connect == 8 else []):
        y, x = np.nonzero(small)
        value, other = wide[y + 1 + dy, x + 1 + dx], wide_id[y + 1 + dy, x + 1 + dx]
        votes = (other != id[y, x]) & (value < MASKED)
        at = (y + dy) * label.shape[1] + x + dx
        around.update(zip(id[y, x][votes].tolist(), at[votes].tolist(), value[votes].tolist()))
    counts = {}
    for patch, _, value in around:
        counts.setdefault(patch, {}).setdefault(value, 0)
        counts[patch][value] += 1
    out = label.copy()
    for y, x in zip(*np.nonzero(small)):
        votes = counts.get(int(id[y, x]))
        if votes:
            out[y, x] = min(votes, key=lambda value: (-votes[value], value))
    return out


def percent(share):
    """Whole percent, halves up."""
    return (100 * share + 0.5).astype(np.uint8)


def margin(p):
    """The greatest probability less the next, as the float32 that tilth makes of it."""
    greatest = np.sort(p, axis=0)
    return (greatest[-1] - greatest[-2]).astype(np.float32).astype(np.float64)


def entropy(p):
    """-sum p ln p / ln(classes), as the float32 that tilth makes of it."""
    total = np.zeros(p.shape[1:])
    for plane in p:
        total -= np.where((plane > 0) & (plane < 1), plane * np.log(np.where(plane > 0, plane, 1)), 0)
    return (total / np.log(len(p))).astype(np.float32).astype(np.float64)


def smooth(p, votes, times):
    """[class, height, width] probabilities, each the mean of the 3 x 3 around it where there are votes, `times` over;
    float32 in between, doubles at the end. What has no vote has no weight, and nor has what is outside."""
    height, width = votes.shape
    weights = np.array([[1, 2, 1], [2, 3, 2], [1, 2, 1]], np.float64)
    around = [(dy, dx) for dy in range(3) for dx in range(3)]
    padded = np.pad(votes, 1).astype(np.float64)
    total = sum(weights[at] * padded[at[0]:at[0] + height, at[1]:at[1] + width] for at in around)
    for _ in range(times):
        p = np.pad(np.where(votes, p, 0).astype(np.float32), ((0, 0), (1, 1), (1, 1))).astype(np.float64)
        p = sum(weights[at] * p[:, at[0]:at[0] + height, at[1]:at[1] + width] for at in around)
        p = p / np.where(votes, total, 1)
    return p


def reach_of(step):
    """How many pixels away a step of post-processing looks."""
    return {"majority": step.get("size", 0) // 2, "sieve": step.get("min_pixels", 1) - 1, "unsure": 0}[step["op"]]


def post_process(label, confidence, steps):
    """The steps of a layer document's "post" over a whole raster."""
    for step in steps:
        if step["op"] == "majority":
            label = majority(label, step["size"])
        elif step["op"] == "sieve":
            label = sieve(label, step["min_pixels"], step.get("connect", 4))
        else:
            label = np.where((label < MASKED) & (confidence < step["below"]), step.get("value", 253), label)
            label = label.astype(np.uint8)
    return label


class Prediction:
    """A prediction layer's document, ready to classify any window of its grid."""

    def __init__(self, path, season=None):
        self.folder = pathlib.Path(path).resolve().parent
        self.document = json.loads(pathlib.Path(path).read_text())
        if self.document["kind"] != "prediction":
            raise ValueError(f"{path}: only a prediction is classified")
        self.model = tilth.load(self._path(self.document["model"]["href"]))
        self.features = [Expression(self.document["features"][name]) for name in self.model.features]
        self.sources = {name: dict(source) for name, source in self.document["sources"].items()}
        if self.document.get("seasons"):
            season = season or next(iter(self.document["seasons"]))
            for name, change in self.document["seasons"][season].get("sources", {}).items():
                self.sources[name]["href"] = change["href"]
        self.datasets = {name: gdal.Open(self._path(s["href"])) for name, s in self.sources.items()}
        like = self.document["grid"].get("like")
        self.grid = Grid.of(self.datasets[like]) if like else self._own_grid(self.document["grid"])

    def _path(self, href):
        return href if "://" in href or href.startswith("/") else str(self.folder / href)

    @staticmethod
    def _own_grid(g):
        return Grid(g["crs"], *g["origin"], g["res"], -g["res"], *g["size"])

    def steps(self):
        """(how often probabilities are smoothed, the steps for labels)"""
        steps = self.document.get("post", [])
        first = steps[0] if steps else {"op": None}
        return (first.get("times", 1), steps[1:]) if first["op"] == "smooth" else (0, steps)

    def around(self, reach, col, row, width, height):
        """A window with what is within reach of it inside the grid, and the window's place in that."""
        c0, r0 = max(col - reach, 0), max(row - reach, 0)
        c1, r1 = min(col + width + reach, self.grid.width), min(row + height + reach, self.grid.height)
        return (c0, r0, c1 - c0, r1 - r0), (..., slice(row - r0, row - r0 + height), slice(col - c0, col - c0 + width))

    def votes(self, col, row, width, height):
        """(state, probabilities, feature planes) of a window inside the grid. The state is NODATA, MASKED or 0;
        probabilities are [class, height, width] doubles, smoothed where the layer is, 0 where nothing is classified."""
        times, _ = self.steps()
        if not times:
            return self.plain_votes(col, row, width, height)
        wide, cut = self.around(times, col, row, width, height)
        state, p, features = self.plain_votes(*wide)
        return state[cut], smooth(p, state == 0, times)[cut], features[cut]

    def plain_votes(self, col, row, width, height):
        """votes(), as the model has them."""
        target = self.grid.part(col, row, width, height)
        state, planes = np.zeros((height, width), np.uint8), {}
        used = set().union(*(f.bands for f in self.features))
        if "mask" in self.document:
            mask = self.document["mask"]
            source = self.sources[mask["source"]]
            value, ok = read_source(self.datasets[mask["source"]], [mask.get("band", 1)],
                                    source.get("resampling", "nearest"), target)
            state[:] = np.where(ok, np.where(np.isin(value[0], mask["keep"]), 0, MASKED), NODATA)
        for name, source in self.sources.items():
            names = [b for b in source["bands"] if f"{name}.{b}" in used]
            if not names:
                continue
            samples, ok = read_source(self.datasets[name], [source["bands"][b] for b in names],
                                      source.get("resampling", "nearest"), target)
            state[(state == 0) & ~ok] = NODATA
            planes.update({f"{name}.{b}": s.astype(np.float32) for b, s in zip(names, samples)})
        features = np.stack([np.broadcast_to(f(planes), state.shape) for f in self.features])
        state[(state == 0) & ~np.isfinite(features).all(axis=0)] = NODATA
        p = np.zeros((len(self.model.values), *state.shape))
        p[:, state == 0] = self.model.probabilities(features[:, state == 0].T).T
        return state, p, features

    def raw(self, col, row, width, height):
        """(label, confidence, feature planes) before the steps for labels; the window lies inside the grid."""
        state, p, features = self.votes(col, row, width, height)
        label = np.where(state == 0, self.model.values[p.argmax(axis=0)], state).astype(np.uint8)
        confidence = np.where(state == 0, percent(p.max(axis=0)), 0).astype(np.uint8)
        return label, confidence, features

    def bands(self, col, row, width, height):
        """What "outputs" adds: margin, entropy and probability:CLASS by name, 255 where nothing is classified."""
        state, p, _ = self.votes(col, row, width, height)
        names = [c["name"] for c in self.model.classes]
        out = {f"probability:{name}": percent(p[c]) for c, name in enumerate(names)}
        out["margin"], out["entropy"] = (percent(f(p)) for f in (margin, entropy))
        return {name: np.where(state == 0, plane, NODATA).astype(np.uint8) for name, plane in out.items()}

    def window(self, col, row, width, height):
        """(label, confidence) of a window inside the grid, with all post-processing."""
        _, steps = self.steps()
        wide, cut = self.around(sum(reach_of(step) for step in steps), col, row, width, height)
        label, confidence, _ = self.raw(*wide)
        label = post_process(label, confidence, steps)
        return label[cut], confidence[cut]

    def tile(self, z, x, y, size=256):
        """(label, confidence) of a web tile at native zoom or above; 255 outside of the grid."""
        step = 2 * WORLD / (size << z)
        tile = Grid("EPSG:3857", -WORLD + x * size * step, WORLD - y * size * step, step, -step, size, size)
        col, row = (np.floor(a + 1e-9).astype(np.int64) for a in tile.positions(self.grid))
        inside = (col >= 0) & (col < self.grid.width) & (row >= 0) & (row < self.grid.height)
        out = np.full((size, size), NODATA, np.uint8), np.zeros((size, size), np.uint8)
        if inside.any():
            c0, c1, r0, r1 = (f(a[inside]) for a in (col, row) for f in (np.min, np.max))
            parts = self.window(int(c0), int(r0), int(c1 - c0) + 1, int(r1 - r0) + 1)
            for to, part in zip(out, parts):
                to[inside] = part[row[inside] - r0, col[inside] - c0]
        return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layer")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--window", nargs=4, type=int, metavar=("COL", "ROW", "WIDTH", "HEIGHT"))
    what.add_argument("--tile", nargs=3, type=int, metavar=("Z", "X", "Y"))
    parser.add_argument("--season")
    parser.add_argument("-o", "--out", required=True)
    args = parser.parse_args()
    try:
        prediction = Prediction(args.layer, args.season)
        label, confidence = prediction.window(*args.window) if args.window else prediction.tile(*args.tile)
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        sys.exit(f"reference: {error}")
    pathlib.Path(args.out).write_bytes(label.tobytes() + confidence.tobytes())
    print(f"{args.out}: {label.shape[1]} x {label.shape[0]}, " +
          ", ".join(f"{v}: {n}" for v, n in zip(*np.unique(label, return_counts=True))))


if __name__ == "__main__":
    main()
