"""The demo scene: what its maker promises of the files, the statistics and the layer documents."""
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tools")]
import tilth  # noqa: E402

HAVE_GDAL = importlib.util.find_spec("osgeo") is not None


@unittest.skipUnless(HAVE_GDAL, "python3-gdal is not installed")
class Demo(unittest.TestCase):
    SIZE = 768

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.out = pathlib.Path(cls.folder.name)
        cls.log = cls.make(cls.out)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def make(cls, out, *more):
        return subprocess.run([sys.executable, str(ROOT / "tools" / "make_demo.py"), "--size", str(cls.SIZE), "--out",
                               str(out), *more], check=True, capture_output=True, text=True).stdout

    def open(self, name):
        from osgeo import gdal
        gdal.UseExceptions()
        self.opened = getattr(self, "opened", []) + [gdal.Open(str(self.out / f"{name}.tif"))]
        return self.opened[-1]  # kept open: a band outlives no dataset

    def test_every_source_is_a_cog_with_overviews_nodata_and_names(self):
        for name, bands in (("s1", 9), ("s2", 9), ("d1", 3), ("d2", 3), ("slope", 1), ("baseline", 1)):
            d = self.open(name)
            self.assertEqual((d.RasterXSize, d.RasterYSize, d.RasterCount), (768, 768, bands), name)
            self.assertEqual(d.GetMetadata("IMAGE_STRUCTURE")["LAYOUT"], "COG", name)
            band = d.GetRasterBand(1)
            self.assertEqual(band.GetBlockSize(), [512, 512], name)
            self.assertGreaterEqual(band.GetOverviewCount(), 1, name)
            self.assertIsNotNone(band.GetNoDataValue(), name)
            self.assertEqual(d.GetSpatialRef().GetAuthorityCode(None), "6933", name)
        self.assertEqual(self.open("baseline").GetRasterBand(1).GetNoDataValue(), 255)

    def test_values_are_in_the_units_and_the_range_of_digital_earth_africa(self):
        s1, d1 = self.open("s1").ReadAsArray(), self.open("d1").ReadAsArray()
        self.assertGreater(s1.min(), 0)
        self.assertTrue(300 < np.median(s1[2]) < 2000, "median red DN")
        self.assertTrue(1000 < np.median(s1[3]) < 4500, "median nir DN")
        self.assertTrue(0.01 < np.median(d1[0]) < 0.3 and 100 < np.median(d1[1]) < 3000 and 0 < np.median(d1[2]) < 0.05)

    def test_baseline_overviews_hold_only_classes(self):
        overview = self.open("baseline").GetRasterBand(1).GetOverview(0).ReadAsArray()
        self.assertLessEqual(set(np.unique(overview)), set(range(9)) | {255})

    def test_the_land_has_water_trees_crops_and_a_town(self):
        share = np.bincount(self.open("baseline").ReadAsArray().ravel(), minlength=256) / 768 ** 2
        self.assertGreater(share[4], 0.05, "crops")
        self.assertGreater(share[6], 0.01, "built")
        self.assertGreater(share[[0, 1]].sum(), 0.01, "water and trees")

    def test_rain_covers_the_scene_with_room_for_interpolation(self):
        from osgeo import gdal
        d, rain = self.open("s1"), self.open("rain")
        edge = gdal.Warp("", d, format="MEM", dstSRS="EPSG:4326").GetGeoTransform()
        g = rain.GetGeoTransform()
        self.assertLess(g[0] + g[1], edge[0])
        self.assertGreater(g[3] + g[5], edge[3])
        self.assertTrue((rain.ReadAsArray() > 200).all())

    def test_the_same_seed_makes_the_same_pixels_with_any_number_of_workers(self):
        with tempfile.TemporaryDirectory() as again:
            self.make(again, "--jobs", "1")
            for name in ("s1", "d2", "baseline", "rain", "slope"):
                self.assertEqual((pathlib.Path(again) / f"{name}.tif").read_bytes(),
                                 (self.out / f"{name}.tif").read_bytes(), name)

    def test_the_layers_have_one_expression_for_every_feature_and_say_synthetic(self):
        model = tilth.load(ROOT / "models" / "crop-mask-south-eastern.tilth")
        documents = [json.loads(p.read_text()) for p in sorted((self.out / "layers").glob("*.json"))]
        self.assertEqual({d["role"] for d in documents}, {"baseline", "prediction", "imagery"})
        for document in documents:
            self.assertIs(document["synthetic"], True)
            self.assertIn("synthetic scene", document["title"])
            for style in document["styles"]:
                self.assertTrue((ROOT / "styles" / f"{style}.json").exists(), style)
        crops = next(d for d in documents if d["kind"] == "prediction")
        self.assertEqual(set(crops["features"]), set(model.features))
        self.assertTrue((self.out / "layers" / crops["model"]["href"]).resolve().exists())

    def test_nothing_is_left_behind(self):
        self.assertEqual([p.name for p in self.out.glob(".*")], [])


class Styles(unittest.TestCase):
    def test_every_style_is_complete_and_named_after_its_file(self):
        paths = sorted((ROOT / "styles").glob("*.json"))
        self.assertGreaterEqual(len(paths), 10)
        for path in paths:
            style = json.loads(path.read_text())
            self.assertEqual(style["id"], path.stem)
            self.assertIn(style["type"], ("classes", "ramp", "rgb"))
            for c in style.get("classification:classes", []):
                self.assertRegex(c["color_hint"], "^[0-9A-F]{6}$")
                self.assertTrue(c["name"] and c["title"] and 0 <= c["value"] <= 254)
            values = [c["value"] for c in style.get("classification:classes", [])]
            self.assertEqual(len(set(values)), len(values))
            stops = [s[0] for s in style.get("stops", [])]
            self.assertEqual(stops, sorted(stops))

    def test_dynamic_world_keeps_water_which_is_class_zero(self):
        style = json.loads((ROOT / "styles" / "dynamic-world.json").read_text())
        self.assertEqual((style["nodata"], style["classification:classes"][0]["name"]), (255, "water"))


if __name__ == "__main__":
    unittest.main()
