"""Indices, statistics of series, fills and scales of a layer against numpy: a forest of thresholds taken from numpy's
features, so that one bit of difference shows in the labels."""
import json
import subprocess
import unittest

import numpy as np
from osgeo import gdal

import scene
import support

reference = scene.reference
F = np.float32
WIDTH, HEIGHT = 700, 300
CLASSES = [{"value": v, "name": f"c{v}", "color": "808080"} for v in (1, 2, 3, 5, 8, 13)]
OPTICAL = ["blue", "green", "red", "red_edge_1", "nir", "swir_1", "swir_2"]
SCALE, OFFSET = 0.0000275, -0.2  # Landsat's


def nd(a, b):
    return (a - b) / (a + b)


def percentile(x, q):
    """numpy.percentile of numpy 2; before it was float64."""
    s, v = np.sort(x, axis=0), (len(x) - 1) * (q / 100)
    i = min(int(v), len(x) - 2)
    g = v - i
    return s[i + 1] - (s[i + 1] - s[i]) * F(1 - g) if g >= 0.5 else s[i] + (s[i + 1] - s[i]) * F(g)


def nanpercentile(x, q):
    """percentile() of what is not NaN."""
    result, count = np.full(x.shape[1:], np.nan, F), (~np.isnan(x)).sum(axis=0)
    for n in range(1, len(x) + 1):
        at = count == n
        some = np.sort(x[:, at], axis=0)[:n]
        result[at] = percentile(some, q) if n > 1 else some[0]
    return result


def slope(x):
    n = len(x)
    return ((np.arange(n) - (n - 1) / 2).astype(F)[:, None, None] * x).sum(axis=0) / F(n * (n * n - 1) / 12)


def filled(x, fill):
    return np.where(np.isfinite(x), x, F(fill))


class Land:
    """Twelve dates of red and nir, of which the last six have gaps of their own; seven bands of one date, plain and with
    GDAL's scale; a small integer with gaps."""

    def __init__(self, folder):
        draw = np.random.default_rng(3)
        self.red = draw.integers(1, 4000, (12, HEIGHT, WIDTH)).astype(np.uint16)
        self.nir = draw.integers(1, 6000, (12, HEIGHT, WIDTH)).astype(np.uint16)
        self.red[6:][draw.random((6, HEIGHT, WIDTH)) < 0.4] = 0
        self.nir[6:][draw.random((6, HEIGHT, WIDTH)) < 0.2] = 0
        self.nir[6:, :40, :50] = 0
        self.red[2, 200:220] = 0
        self.optical = draw.integers(1, 10000, (7, HEIGHT, WIDTH)).astype(np.uint16)
        self.small = draw.integers(0, 9, (HEIGHT, WIDTH)).astype(np.uint8)
        write = lambda name, bands, nodata, names: scene.write_cog(
            folder / name, bands, (500000, 8000000), 10, 32736, nodata, names=names)
        for t in range(12):
            write(f"t{t + 1}.tif", np.stack([self.red[t], self.nir[t]]), 0, ["red", "nir"])
        write("optical.tif", self.optical, None, OPTICAL)
        write("small.tif", self.small, 3, ["x"])
        gdal.Translate(str(folder / "tagged.tif"), str(folder / "optical.tif"),
                       options=f"-of COG -a_scale {SCALE} -a_offset {OFFSET}")
        self.sources = {
            **{f"t{t + 1}": {"href": str(folder / f"t{t + 1}.tif"), "bands": {"red": 1, "nir": 2}} for t in range(12)},
            "optical": {"href": str(folder / "optical.tif"), "bands": {n: i + 1 for i, n in enumerate(OPTICAL)}},
            "half": {"href": str(folder / "optical.tif"), "scale": 0.5, "offset": -3},
            "tagged": {"href": str(folder / "tagged.tif"), "scale": "file",
                       "bands": {n: i + 1 for i, n in enumerate(OPTICAL)}},
            "small": {"href": str(folder / "small.tif"), "bands": {"x": 1}}}

    def features(self):
        """Documents of features, and their numpy."""
        red, nir = (np.where(x == 0, F(np.nan), x.astype(F)) for x in (self.red, self.nir))
        ndvi = nd(nir, red)
        early, late = ndvi[:6], ndvi[6:]
        plain = self.optical.astype(F)
        r = plain / F(10000)
        tagged = plain * F(SCALE) + F(OFFSET)
        small = np.where(self.small == 3, F(np.nan), self.small.astype(F))
        lai = lambda b: 3.618 * ((2.5 * (b[4] - b[2])) / (b[4] + (6 * b[2]) - (7.5 * b[0]) + 1)) - 0.118
        msavi = lambda b: (2 * b[4] + 1 - ((2 * b[4] + 1) ** 2 - 8 * (b[4] - b[2])) ** 0.5) / 2
        return {
            "mean": ("mean(ndvi(t{1..6}))", early.mean(axis=0)),
            "median": ("median(ndvi(t{1..6}))", np.median(early, axis=0)),
            "p90": ("p90(ndvi(t{1..6}))", percentile(early, 90)),
            "iqr": ("iqr(ndvi(t{1..6}))", percentile(early, 75) - percentile(early, 25)),
            "slope": ("slope(ndvi(t{1..6}))", slope(early)),
            "std": ("std(t{1..6}.red)", red[:6].std(axis=0)),
            "clear": ({"expr": "count(t{7..12}.red)", "fill": 0}, (~np.isnan(red[6:])).sum(axis=0).astype(F)),
            "late": ({"expr": "nanp10(ndvi(t{7..12}))", "fill": -2}, filled(nanpercentile(late, 10), -2)),
            "strict": ({"expr": "max(ndvi(t{7..12}))", "fill": 0}, filled(late.max(axis=0), 0)),
            "lai": ("LAI(optical, 10000)", lai(r)),
            "msavi": ({"expr": "msavi(tagged, 1)", "fill": 9}, filled(msavi(tagged), 9)),
            "bsi": ("bsi(optical)", ((plain[5] + plain[2]) - (plain[4] + plain[0])) /
                    ((plain[5] + plain[2]) + (plain[4] + plain[0]))),
            "half": ("half.b3", plain[2] * F(0.5) + F(-3)),
            "small": ({"expr": "small.x * 2", "fill": 7}, filled(small * F(2), 7))}


class Features(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        np.seterr(all="ignore")

    def setUp(self):
        self.folder = scene.temporary_folder(self)
        self.land = Land(self.folder)
        self.features = self.land.features()
        self.planes = np.stack([numbers for _, numbers in self.features.values()])
        self.assertEqual(self.planes.dtype, F)
        self.model = self.folder / "model.tilth"
        rows = self.planes.reshape(len(self.planes), -1).T
        rows = rows[np.isfinite(rows).all(axis=1)][::17]
        scene.write_forest(self.model, list(self.features), CLASSES, np.ascontiguousarray(rows), trees=24, depth=8)

    def classify(self, status=0, **features):
        document = {"id": "x", "title": "x", "kind": "prediction", "grid": {"like": "t1"}, "sources": self.land.sources,
                    "model": {"href": str(self.model)},
                    "features": {**{name: text for name, (text, _) in self.features.items()}, **features}}
        (self.folder / "layers").mkdir(exist_ok=True)
        (self.folder / "layers" / "x.json").write_text(json.dumps(document))
        done = subprocess.run([support.program(), "classify", "x", "-o", str(self.folder / "out.tif"), "--layers-dir",
                               str(self.folder / "layers"), "--styles-dir", str(support.ROOT / "styles")],
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr

    def wanted(self, planes):
        wanted, finite = np.full((HEIGHT, WIDTH), scene.NODATA, np.uint8), np.isfinite(planes).all(axis=0)
        p = reference.tilth.load(str(self.model)).probabilities(np.ascontiguousarray(planes[:, finite].T))
        wanted[finite] = np.array([c["value"] for c in CLASSES], np.uint8)[p.argmax(axis=1)]
        return wanted

    def test_a_layer_of_them_is_numpys(self):
        wanted = self.wanted(self.planes)
        self.assertGreater(len(np.unique(wanted)), 4)
        self.assertEqual((wanted == scene.NODATA).sum(), 20 * WIDTH)  # one date of those without a fill
        self.classify()
        np.testing.assert_array_equal(gdal.Open(str(self.folder / "out.tif")).ReadAsArray(), wanted)
        moved = self.planes.copy()
        moved[3] = np.nextafter(moved[3], F(9))
        self.assertTrue((self.wanted(moved) != wanted).any(), "the labels would not notice a bit")

    def test_what_is_written_wrongly_is_said_at_start(self):
        def refused(name, feature, *words):
            says = self.classify(status=1, **{name: feature})
            for word in words:
                self.assertIn(word, says)

        refused("late", {"expr": "nanp10(ndvi(t{7..13}))", "fill": 0}, "features.late", "column 13",
                "source \"t13\" has no band for near infrared", "nir, nir_1, B08, nir08")
        refused("lai", "lai(optical)", "features.lai", "lai(optical, 10000)")
        refused("mean", "ndvi(t{1..6})", "features.mean", "a series of 6 values")
        refused("clear", {"expr": "small.x", "fill": "none"}, "features.clear.fill", "nor \"nan\"")
        refused("clear", {"expr": "small.x", "file": 1}, "features.clear")
        refused("clear", {"expr": "small.x", "fill": "nan"}, "feature \"clear\"", "no rule for what is missing")

    def test_a_scale_is_a_number_or_the_files(self):
        for scale, offset, word in (("tags", None, "neither a number nor"), ("file", 1, "says the offset"), (0, None, "0")):
            self.land.sources["half"].update({"scale": scale, "offset": offset})
            if offset is None:
                del self.land.sources["half"]["offset"]
            self.assertIn(word, self.classify(status=1))


class Missing(unittest.TestCase):
    """Filled with NaN: what LightGBM itself predicted for rows with missing values."""

    def test_a_model_with_a_rule_for_what_is_missing_gets_nan(self):
        folder = scene.temporary_folder(self)
        name = support.ROOT / "tests" / "data" / "forest" / "lightgbm_multiclass"
        lines = [line.split("|")[:2] for line in name.with_suffix(".rows").read_text().splitlines()]
        x = np.array([[float(v) if v == "nan" else float.fromhex(v) for v in left.split()] for left, _ in lines], F)
        label = np.array([[float.fromhex(v) for v in right.split()] for _, right in lines]).argmax(axis=1)
        plane = np.full((4, 16, 16), np.nan, F)
        plane.reshape(4, -1)[:, :len(x)] = x.T
        scene.write_cog(folder / "rows.tif", plane, (30.0, -17.0), 0.001, nodata=float("nan"))
        (folder / "features.json").write_text(json.dumps(
            {f"Column_{i}": {"expr": f"s1.b{i + 1}", "fill": "nan"} for i in range(4)}))
        subprocess.run([support.program(), "classify", str(folder / "rows.tif"), "-m", str(name.with_suffix(".txt")),
                        "--features", str(folder / "features.json"), "-o", str(folder / "out.tif")],
                       check=True, capture_output=True, timeout=60)
        out = gdal.Open(str(folder / "out.tif")).ReadAsArray().ravel()
        known = ~np.isinf(x).any(axis=1)  # infinity is filled, too
        self.assertGreater((known & np.isnan(x).any(axis=1)).sum(), 10)
        np.testing.assert_array_equal(out[:len(x)][known], label[known])
        self.assertTrue((out != scene.NODATA).all())


if __name__ == "__main__":
    unittest.main()
