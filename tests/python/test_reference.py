"""The reference evaluator against something simpler still: brute force, GDAL's warper, numpy by hand."""
import importlib.util
import json
import pathlib
import sys
import tempfile
import unittest

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tools"), str(pathlib.Path(__file__).parent)]

if importlib.util.find_spec("osgeo"):
    from osgeo import gdal
    import reference
    gdal.UseExceptions()
else:
    gdal = None
from tilth import container  # noqa: E402
from test_model import small_model  # noqa: E402


@unittest.skipIf(gdal is None, "python3-gdal is not installed")
class Expressions(unittest.TestCase):
    def setUp(self):
        rng = np.random.default_rng(3)
        self.planes = {k: rng.uniform(0.01, 3, 500).astype(np.float32) for k in ("s1.red", "s1.nir", "x")}

    def check(self, text, expected):
        got = reference.Expression(text)(self.planes)
        self.assertEqual(got.dtype, np.float32)
        np.testing.assert_array_equal(got, np.asarray(expected, np.float32), text)

    def test_operators_bind_as_in_arithmetic_and_compute_in_float32(self):
        red, nir, f = self.planes["s1.red"], self.planes["s1.nir"], np.float32
        self.check("s1.red / 10000", red / f(10000))
        self.check("s1.red - s1.nir - 2", (red - nir) - f(2))
        self.check("s1.red + s1.nir * 2.5", red + nir * f(2.5))
        self.check("-(s1.red + 1) / -s1.nir", -(red + f(1)) / -nir)
        self.check("nd(s1.nir, s1.red)", (nir - red) / (nir + red))
        self.check("where(s1.red >= 1, s1.red, 0.5)", np.where(red >= 1, red, f(0.5)))
        self.check("clamp(s1.red, 0.5, 1)", np.clip(red, f(0.5), f(1)))
        self.check("-ln(x / 1e4)", -np.log((self.planes["x"] / f(10000)).astype(float)).astype(f))

    def test_bands_are_collected(self):
        self.assertEqual(reference.Expression("max(a.b, c) + 2").bands, {"a.b", "c"})

    def test_what_is_no_expression_is_refused(self):
        for text in ("1 +", "(1", "a b", "#", "f(1", "1 < 2 < 3"):
            with self.assertRaises((ValueError, KeyError), msg=text):
                reference.Expression(text)


@unittest.skipIf(gdal is None, "python3-gdal is not installed")
class Majority(unittest.TestCase):
    def test_it_equals_a_count_by_hand(self):
        rng = np.random.default_rng(4)
        label = rng.choice(np.array([0, 3, 7, 254, 255], np.uint8), (17, 23), p=[0.3, 0.3, 0.2, 0.1, 0.1])
        for size in (3, 5):
            got, reach = reference.majority(label, size), size // 2
            for r in range(17):
                for c in range(23):
                    near = label[max(r - reach, 0):r + reach + 1, max(c - reach, 0):c + reach + 1].ravel()
                    votes = np.bincount(near[near < 254], minlength=256)
                    want = label[r, c]
                    if want < 254 and (votes == votes.max()).sum() == 1:
                        want = votes.argmax()
                    self.assertEqual(got[r, c], want, (size, r, c))


@unittest.skipIf(gdal is None, "python3-gdal is not installed")
class Windows(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        rng = np.random.default_rng(6)
        self.a = rng.choice(np.array([0, 1, 2], np.uint16), (60, 80))
        self.write("a.tif", "EPSG:6933", (2990780, 10, 0, -2233910, 0, -10), [self.a], gdal.GDT_UInt16, 0)
        self.b = rng.uniform(1, 3, (8, 9)).astype(np.float32)
        self.write("b.tif", "EPSG:4326", (30.98, 0.003, 0, -17.78, 0, -0.003), [self.b], gdal.GDT_Float32, -9999)
        container.write(self.path / "m.tilth", *small_model())

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, crs, transform, planes, dtype, nodata):
        d = gdal.GetDriverByName("GTiff").Create(str(self.path / name), planes[0].shape[1], planes[0].shape[0],
                                                 len(planes), dtype)
        system = reference.osr.SpatialReference()
        system.SetFromUserInput(crs)
        d.SetProjection(system.ExportToWkt())
        d.SetGeoTransform(transform)
        for i, plane in enumerate(planes, 1):
            d.GetRasterBand(i).WriteArray(plane)
            d.GetRasterBand(i).SetNoDataValue(nodata)

    def layer(self, **changes):
        document = {"id": "x", "kind": "prediction", "grid": {"like": "s"}, "model": {"href": "m.tilth"},
                    "sources": {"s": {"href": "a.tif", "bands": {"v": 1}},
                                "r": {"href": "b.tif", "bands": {"v": 1}, "resampling": "bilinear"}},
                    "features": {"a": "s.v - 1", "b": "r.v"}, **changes}
        path = self.path / "layer.json"
        path.write_text(json.dumps(document))
        return reference.Prediction(path)

    def test_labels_follow_the_trees_and_nodata_stays_nodata(self):
        prediction = self.layer()
        label, confidence, features = prediction.raw(0, 0, 80, 60)
        np.testing.assert_array_equal(label[self.a == 0], 255)
        inside = label != 255
        np.testing.assert_array_equal(label[(self.a == 1) & inside], 7)
        np.testing.assert_array_equal(label[(self.a == 2) & inside & (features[1] <= 2)], 9)
        self.assertEqual(set(np.unique(confidence[inside])), {50, 100})
        self.assertEqual(set(np.unique(confidence[~inside])), {0})

    def test_bilinear_equals_gdal(self):
        prediction = self.layer()
        _, _, features = prediction.raw(0, 0, 80, 60)
        warped = gdal.Warp("", str(self.path / "b.tif"), format="MEM", dstSRS="EPSG:6933", xRes=10, yRes=10,
                           outputBounds=(2990780, -2234510, 2991580, -2233910), resampleAlg="bilinear",
                           errorThreshold=0).ReadAsArray()
        np.testing.assert_allclose(features[1], warped, rtol=2e-6)

    def test_a_window_does_not_depend_on_where_it_is_cut(self):
        prediction = self.layer(post=[{"op": "majority", "size": 5}])
        whole = prediction.window(0, 0, 80, 60)
        for got, want in zip(prediction.window(13, 17, 30, 21), whole):
            np.testing.assert_array_equal(got, want[17:38, 13:43])

    def test_a_mask_keeps_its_classes_only(self):
        prediction = self.layer(mask={"source": "s", "band": 1, "keep": [2]})
        label, _, _ = prediction.raw(0, 0, 80, 60)
        np.testing.assert_array_equal(label[self.a == 1], 254)
        np.testing.assert_array_equal(label[self.a == 0], 255)

    def test_a_tile_shows_the_pixel_under_each_centre(self):
        prediction = self.layer()
        label, _, _ = prediction.raw(0, 0, 80, 60)
        _, move = reference.crs_move("EPSG:3857", "EPSG:6933")
        _, back = reference.crs_move("EPSG:6933", "EPSG:3857")
        x, y, _ = back.TransformPoint(2991180, -2234210)
        side = 2 * reference.WORLD / 2 ** 17
        at = int((x + reference.WORLD) / side), int((reference.WORLD - y) / side)
        tile, _ = prediction.tile(17, *at)
        for row, col in np.random.default_rng(1).integers(0, 256, (60, 2)):
            px, py, _ = move.TransformPoint((at[0] + (col + 0.5) / 256) * side - reference.WORLD,
                                            reference.WORLD - (at[1] + (row + 0.5) / 256) * side)
            c, r = int((px - 2990780) // 10), int((-2233910 - py) // 10)
            want = label[r, c] if 0 <= c < 80 and 0 <= r < 60 else 255
            self.assertEqual(tile[row, col], want, (row, col))
        self.assertGreater((tile != 255).sum(), 1000)


if __name__ == "__main__":
    unittest.main()
