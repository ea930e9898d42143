"""What is classified: bands of a scene, the features a model sees of them, rows to train on, and tiles.

    synthetic   24 bands of uint16 as of four dates of six bands, 10 classes in fields of 12 pixels: a mean spectrum per
                class, three latent factors per field and texture within it, mixed pixels at the borders, and noise
    sentinel2   shared/data/sentinel2: real DN of two dates x four bands, their 3 x 3 means and ranges; 10 classes by
                k-means, because nobody labelled this scene
    golden      shared/data/crop-mask: the bands behind the 33 features of its table (uint16 and float32)

Tiles are 256 x 256. "smooth" and "noisy" have 2 and 8 % noise, "structureless" draws every band of every pixel on its
own. Everything is seeded: the same bytes each time.
"""
import dataclasses
import functools
import pathlib

import numpy as np

SIDE, FIELD = 256, 12
NOISE = {"smooth": 0.02, "noisy": 0.08}
TRAINING_NOISE, WRONG_LABELS, CLASSES = 0.05, 0.12, 10


@dataclasses.dataclass
class Scene:
    """Bands are (name, "u16" or "f32"), features expressions over "name.v" (src/feature/feature.h)."""
    bands: list
    features: list
    names: list  # of the features
    rows: np.ndarray  # float32 features to train on
    labels: np.ndarray
    tiles: dict  # name -> planes, one array per band

    def matrix(self, planes):
        """The features of all pixels, float32 and row-major: what a library is given."""
        return np.ascontiguousarray(np.stack(evaluate(self.bands, self.features, planes), 1))


def evaluate(bands, features, planes):
    """As numpy computes in float32, with logarithms in double, rounded (docs/features.md)."""
    known = {name: _Band(plane.astype(np.float32)) for (name, _), plane in zip(bands, planes)}
    known["ln"] = lambda x: np.log(x.astype(np.float64)).astype(np.float32)
    known["nd"] = lambda a, b: (a - b) / (a + b)
    return [eval(text, {"__builtins__": {}}, known) for text in features]  # texts of this file alone


@dataclasses.dataclass
class _Band:
    v: np.ndarray


def plain(count):
    """`count` bands of uint16, each a feature as it is."""
    names = [f"b{i}" for i in range(count)]
    return [(name, "u16") for name in names], [f"{name}.v" for name in names], names


def field_map(side, rng):
    """A field's number for every pixel: nearest of random points."""
    from scipy.spatial import cKDTree
    count = (side // FIELD) ** 2
    at = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
    return cKDTree(rng.uniform(0, side, (count, 2))).query(at)[1], count


def texture(side, layers, rng):
    """Smooth variation within fields, some 0.1 about 0, for `layers` things at once: [pixels, layers]."""
    from scipy.ndimage import gaussian_filter
    planes = [gaussian_filter(rng.normal(0, 1, (side, side)), 4) for _ in range(layers)]
    return np.stack(planes, -1).reshape(-1, layers) * 1.6


def structureless(planes, rng):
    return [rng.permutation(plane) for plane in planes]


class Land:
    """The synthetic country: what its classes look like in `bands` bands."""

    def __init__(self, bands, classes, seed=7):
        rng = np.random.default_rng(seed)
        self.bands, self.classes = bands, classes
        self.mean = rng.uniform(300, 3500, (classes, bands))
        self.loading = rng.normal(0, 250, (classes, 3, bands))

    def tile(self, noise, seed, side=SIDE):
        """-> DN [pixels, bands], the class of every pixel."""
        from scipy.ndimage import gaussian_filter
        rng = np.random.default_rng(seed)
        field, count = field_map(side, rng)
        of_class, latent = rng.integers(0, self.classes, count), rng.normal(0, 1, (count, 3))
        label = of_class[field]
        dn = self.mean[label] + np.einsum("pk,pkb->pb", latent[field] + texture(side, 3, rng), self.loading[label])
        dn = dn * (1 + rng.normal(0, noise, dn.shape)) + rng.normal(0, 15, dn.shape)
        dn = gaussian_filter(dn.reshape(side, side, -1), (0.6, 0.6, 0)).reshape(side * side, -1)
        return np.clip(np.rint(dn), 1, 10000).astype(np.uint16), label

    def training(self, tiles=6, per_tile=25000):
        rows, labels, rng = [], [], np.random.default_rng(11)
        for seed in range(tiles):
            dn, label = self.tile(TRAINING_NOISE, 100 + seed)
            some = rng.permutation(len(dn))[:per_tile]
            rows.append(dn[some])
            labels.append(label[some])
        return np.concatenate(rows).astype(np.float32), spoil(np.concatenate(labels), self.classes)


def spoil(labels, classes):
    """Training labels are never all right."""
    rng = np.random.default_rng(13)
    wrong = rng.random(len(labels)) < WRONG_LABELS
    return np.where(wrong, rng.integers(0, classes, len(labels)), labels).astype(np.int64)


def synthetic(bands=24, classes=CLASSES):
    land = Land(bands, classes)
    tiles = {name: list(land.tile(noise, 999)[0].T.copy()) for name, noise in NOISE.items()}
    tiles["structureless"] = structureless(tiles["noisy"], np.random.default_rng(17))
    return Scene(*plain(bands), *land.training(), tiles)


def sentinel2(path):
    """The tile is the scene's middle, and what is around it was trained on."""
    import rasterio
    from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter
    with rasterio.open(path) as file:
        dn = file.read()
    planes = [plane for plane in dn]
    planes += [np.rint(uniform_filter(plane.astype(np.float64), 3)).astype(np.uint16) for plane in dn]
    planes += [maximum_filter(plane, 3) - minimum_filter(plane, 3) for plane in dn]
    label = cluster(np.stack(planes[len(dn):2 * len(dn)], -1))
    top, left = ((size - SIDE) // 2 for size in dn.shape[1:])
    inside = np.zeros(dn.shape[1:], bool)
    inside[top:top + SIDE, left:left + SIDE] = True
    rows = np.stack([plane[~inside] for plane in planes], 1).astype(np.float32)
    return Scene(*plain(len(planes)), rows, spoil(label[~inside], CLASSES),
                 {"Sentinel-2": [plane[inside] for plane in planes]})


def cluster(stack):
    from sklearn.cluster import KMeans
    rows = stack.reshape(-1, stack.shape[-1]).astype(np.float64)
    rows = (rows - rows.mean(0)) / rows.std(0)
    return KMeans(CLASSES, n_init=1, random_state=3).fit_predict(rows).reshape(stack.shape[:2])


SPECTRUM = ["blue", "green", "red", "nir", "swir_1", "swir_2", "red_edge_1", "red_edge_2", "red_edge_3"]
LAI = "3.618 * (2.5 * ({n}.v - {r}.v) / ({n}.v + 6 * {r}.v - 7.5 * {b}.v + 10000)) - 0.118"


def golden_bands():
    """Bands and features as the demo's layer has them (tools/make_demo.py), in the table's order."""
    bands, features = [], []
    for s in ("s1", "s2"):
        bands += [(f"{s}_{name}", "u16") for name in SPECTRUM]
        bands += [(f"{s}_{name}", "f32") for name in ("bcdev", "edev", "sdev", "rain")]
        features += [f"{s}_{name}.v / 10000" for name in SPECTRUM]
        features += [f"-ln({s}_bcdev.v)", f"-ln({s}_edev.v / 10000)", f"-ln({s}_sdev.v)", f"nd({s}_nir.v, {s}_red.v)",
                     LAI.format(n=f"{s}_nir", r=f"{s}_red", b=f"{s}_blue"), f"nd({s}_green.v, {s}_swir_1.v)",
                     f"{s}_rain.v"]
    return bands + [("slope", "f32")], features + ["slope.v"]


def bands_of_rows(bands, rows, names):
    """What the table's features were made of, double [rows, bands]."""
    column = {name: rows[:, i].astype(np.float64) for i, name in enumerate(names)}
    planes = []
    for name, dtype in bands:
        season, _, what = name.partition("_")
        value = column[name if name == "slope" else f"{what}_{season.upper()}"]
        if what in ("bcdev", "edev", "sdev"):
            value = np.exp(-value) * (10000 if what == "edev" else 1)
        planes.append(value * 10000 if dtype == "u16" else value)
    return np.stack(planes, 1)


def golden_plane(values, dtype):
    return np.clip(np.rint(values), 1, 65535).astype(np.uint16) if dtype == "u16" else values.astype(np.float32)


def golden(rows, labels, names, demo=None):
    """A field is a real row of the table; `demo` is the folder of the demo's rasters."""
    bands, features = golden_bands()
    known, tiles = bands_of_rows(bands, rows, names), {}
    for name, noise in NOISE.items():
        rng = np.random.default_rng(23)
        field, count = field_map(SIDE, rng)
        row = rng.integers(0, len(rows), count)[field]
        factor = 1 + 0.2 * texture(SIDE, len(bands), rng) + rng.normal(0, noise, (SIDE * SIDE, len(bands)))
        values = known[row] * np.maximum(factor, 0.1)
        tiles[name] = [golden_plane(values[:, b], dtype) for b, (_, dtype) in enumerate(bands)]
    tiles["structureless"] = structureless(tiles["noisy"], np.random.default_rng(17))
    if demo is not None:
        tiles["demo scene"] = demo_tile(bands, pathlib.Path(demo))
    return Scene(bands, features, names, rows, labels, tiles)


def demo_tile(bands, folder):
    import rasterio
    from rasterio.warp import Resampling, reproject
    from rasterio.windows import Window
    with rasterio.open(folder / "s1.tif") as grid:
        window = Window((grid.width - SIDE) // 2, (grid.height - SIDE) // 2, SIDE, SIDE)
        crs, transform = grid.crs, grid.window_transform(window)
    orders = {"s": SPECTRUM, "d": ["bcdev", "edev", "sdev"]}

    @functools.cache
    def read(name):
        with rasterio.open(folder / f"{name}.tif") as file:
            if name != "rain":
                return file.read(window=window)
            out = np.empty((2, SIDE, SIDE), np.float32)
            reproject(rasterio.band(file, [1, 2]), out, dst_crs=crs, dst_transform=transform,
                      resampling=Resampling.bilinear)
            return out

    planes = []
    for name, dtype in bands:
        season, _, what = name.partition("_")
        if name == "slope":
            plane = read("slope")[0]
        elif what == "rain":
            plane = read("rain")[int(season[1]) - 1]
        else:
            kind = "d" if what in orders["d"] else "s"
            plane = read(kind + season[1])[orders[kind].index(what)]
        planes.append(golden_plane(plane.ravel(), dtype))
    return planes
