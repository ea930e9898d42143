"""A prediction layer, tile by tile, against tools/reference.py: numpy that classifies the same land in one piece."""
import concurrent.futures
import json
import pathlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

import numpy as np
from osgeo import gdal, ogr, osr

import scene
import support
from scene import reference

SIZE = 1100  # pixels on a side: 3 x 3 class blocks, the last ones cut, and levels of 1100, 550 and 275
GOLDEN = support.ROOT / "models" / "crop-mask-south-eastern.tilth"
FEATURES = {"red": "s1.red / 10000", "ndvi": "nd(s1.nir, s1.red)", "later": "nd(s2.nir, s2.red)",
            "sdev": "-ln(d1.sdev)", "coarse": "coarse.value", "slope": "slope.slope"}
CLASSES = [{"value": 0, "name": "bare", "color": "A59B8F"}, {"value": 3, "name": "grass", "color": "88B053"},
           {"value": 7, "name": "maize", "color": "FFD300"}, {"value": 11, "name": "tobacco", "color": "C4281B"},
           {"value": 200, "name": "forest", "color": "006400"}]
KEEP = [2, 4, 5, 7]  # grass, crops, shrub, bare of the baseline


class Scene:
    """The demo's scene, small, with a forest of its own that numpy evaluates quickly."""

    def __init__(self, folder):
        self.folder = folder
        scene.make_scene(self.folder, SIZE)
        demo = json.loads((self.folder / "layers" / "demo-crops.json").read_text())
        self.sources = {name: {**source, "href": str(self.folder / pathlib.Path(source["href"]).name)}
                        for name, source in demo["sources"].items()}
        self.golden = {**demo, "sources": self.sources, "model": {"href": str(GOLDEN)}}
        self.sources["coarse"] = self.coarse_source()
        self.baseline = {"href": str(self.folder / "baseline.tif"), "bands": {"label": 1}}
        self.model = self.folder / "small.tilth"
        samples = self.samples()
        scene.write_forest(self.model, list(FEATURES), CLASSES, samples, trees=9, depth=6, seed=5)
        self.plain = self.truth(self.layer("plain", post=[]))
        self.raw, self.confidence, self.features = self.plain.raw(0, 0, SIZE, SIZE)
        self.grid = self.plain.grid
        self.label = reference.majority(self.raw, 3)
        self.bounds = bounds_of(self.grid)

    def coarse_source(self):
        """Slope in pixels of 20 m, to be interpolated. In the scene's own CRS: places and weights are then exact
        in binary, so that no feature differs from numpy's in its last bit. (The rain of the golden model comes
        from degrees, where the closed form and PROJ differ by 1e-7 pixels.)"""
        dataset = gdal.Open(self.sources["slope"]["href"])
        g = dataset.GetGeoTransform()
        plane = dataset.ReadAsArray().reshape(SIZE // 2, 2, SIZE // 2, 2).mean(axis=(1, 3), dtype=np.float32)
        scene.write_cog(self.folder / "coarse.tif", plane, (g[0], g[3]), 20, 6933, options=["COMPRESS=DEFLATE"])
        return {"href": str(self.folder / "coarse.tif"), "bands": {"value": 1}, "resampling": "bilinear"}

    def samples(self):
        """Features of some pixels, for thresholds that divide something."""
        document = self.layer("samples")
        path = self.folder / "samples.json"
        scene.write_forest(self.model, list(FEATURES), CLASSES, np.zeros((64, len(FEATURES)), np.float32), 1, 1)
        path.write_text(json.dumps(document))
        _, _, features = reference.Prediction(path).raw(400, 400, 300, 300)
        rows = features.reshape(len(FEATURES), -1).T[::7]
        return np.ascontiguousarray(rows[np.isfinite(rows).all(axis=1)], np.float32)

    def layer(self, layer_id, **more):
        """A layer document; `post`, `mask`, `below_native`, `seasons` by keyword, None leaves one out."""
        used = {name: self.sources[name] for name in ("s1", "s2", "d1", "coarse", "slope")}
        document = {"id": layer_id, "title": layer_id, "kind": "prediction", "role": "prediction",
                    "synthetic": True, "grid": {"like": "s1"}, "sources": used, "model": {"href": str(self.model)},
                    "features": FEATURES, "post": [{"op": "majority", "size": 3}],
                    "below_native": {"policy": "approx", "budget_blocks": 4}, "zoom": {"min": 0, "max": 18}, **more}
        return {key: value for key, value in document.items() if value is not None}

    def masked(self, layer_id, **more):
        document = self.layer(layer_id, **more)
        return {**document, "sources": {**document["sources"], "land": self.baseline},
                "mask": {"source": "land", "band": 1, "keep": KEEP}}

    def truth(self, document, season=None):
        path = self.folder / f"truth-{document['id']}.json"
        path.write_text(json.dumps(document))
        return reference.Prediction(path, season)


def bounds_of(grid):
    """West, south, east, north of a reference.Grid in degrees."""
    corners = reference.Grid("EPSG:4326", 0, 0, 1, 1, 1, 1)
    edge = reference.Grid(grid.crs, grid.x - grid.dx * grid.width / 2, grid.y - grid.dy * grid.height / 2,
                          grid.dx * grid.width, grid.dy * grid.height, 2, 2)
    lon, lat = edge.positions(corners)
    return lon.min(), lat.min(), lon.max(), lat.max()


SCENE = None


def setUpModule():
    global SCENE
    folder = tempfile.TemporaryDirectory(prefix="tilth-scene-")
    unittest.addModuleCleanup(folder.cleanup)
    SCENE = Scene(pathlib.Path(folder.name))


class OnScene(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scene = SCENE

    def serve(self, *layers, **settings):
        return self.enterContext(support.Tilth(layers, **settings))

    def check_tile(self, tilth, layer, tile, wanted, query="", scale=1):
        end = "@2x.png" if scale == 2 else ".png"
        answer = tilth.get(scene.path_of(layer, tile, end) + query)
        self.assertEqual(answer.status, 200, answer.body[:300])
        got = self.legend(tilth, layer).values(answer.body)
        shown = np.where(wanted == scene.MASKED, scene.NODATA, wanted)
        differ = np.argwhere(got != shown)
        self.assertEqual(len(differ), 0, f"{layer} {tile}{query}: {len(differ)} pixels differ, the first at "
                                         f"{differ[:1]}: {got[tuple(differ[0])] if len(differ) else ''} for "
                                         f"{shown[tuple(differ[0])] if len(differ) else ''}")
        return answer

    def legend(self, tilth, layer):
        return scene.Legend.of(tilth, layer, nothing=scene.NODATA)


class NativeZoom(OnScene):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.document = cls.scene.layer("small")
        cls.label, cls.grid, cls.bounds = cls.scene.label, cls.scene.grid, cls.scene.bounds

    def test_the_truth_is_worth_comparing_with(self):
        """Every class is there and the filter has something to do; the reference agrees with itself."""
        self.assertEqual(set(np.unique(self.label)), {c["value"] for c in CLASSES})
        self.assertGreater((self.scene.raw != self.label).mean(), 0.02)
        label, _ = self.scene.truth(self.document).window(450, 480, 150, 100)
        np.testing.assert_array_equal(label, self.label[480:580, 450:600])

    def test_every_tile_of_z14_is_the_reference_across_blocks_and_edges(self):
        tilth = self.serve(self.document)
        tiles = scene.tiles_over(self.bounds, 14)
        self.assertGreater(len(tiles), 25)
        for tile in tiles:
            answer = self.check_tile(tilth, "small", tile, scene.nearest_tile(self.label, self.scene.grid, tile))
            self.assertNotIn("x-tilth-exact", answer.headers)
            self.assertEqual(answer.headers["cache-control"], "public, max-age=300")

    def test_every_order_of_asking_gives_the_same_tiles(self):
        """Parts of blocks first, many at once, and with a pool too small to keep them."""
        tilth = self.serve(self.document, block_pool="8 MiB", workers=3)
        tiles = [t for z in (13, 14, 15, 16) for t in scene.tiles_over(self.bounds, z)[::z - 12]][:120]
        np.random.default_rng(3).shuffle(tiles)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda t: tilth.get(scene.path_of("small", t)), tiles))
        legend = self.legend(tilth, "small")
        for tile, answer in zip(tiles, answers):
            self.assertEqual(answer.status, 200, answer.body[:300])
            np.testing.assert_array_equal(legend.values(answer.body),
                                          scene.nearest_tile(self.label, self.scene.grid, tuple(tile)), str(tile))

    def test_deeper_zooms_repeat_the_pixels_of_the_grid(self):
        tilth = self.serve(self.document)
        grid = self.scene.grid
        corner = self.lonlat_of(grid, 512, 512)  # where four blocks meet
        for z in (15, 16, 17, 18):
            for place in (corner, self.lonlat_of(grid, 0, 0), self.lonlat_of(grid, SIZE, SIZE)):
                tile = scene.tile_of(*place, z)
                self.check_tile(tilth, "small", tile, scene.nearest_tile(self.label, grid, tile))
        tile = scene.tile_of(*corner, 14)
        self.check_tile(tilth, "small", tile, scene.nearest_tile(self.label, grid, tile, size=512), scale=2)

    @staticmethod
    def lonlat_of(grid, col, row):
        part = reference.Grid(grid.crs, grid.x + col * grid.dx - 0.5, grid.y + row * grid.dy + 0.5, 1, -1, 1, 1)
        lon, lat = part.positions(reference.Grid("EPSG:4326", 0, 0, 1, 1, 1, 1))
        return float(lon[0, 0]), float(lat[0, 0])

    def test_a_point_says_what_the_tile_shows_and_why(self):
        tilth = self.serve(self.document)
        confidence, features = self.scene.confidence, self.scene.features
        for col, row in ((0, 0), (511, 511), (512, 512), (300, 777), (SIZE - 1, SIZE - 1), (640, 33)):
            lon, lat = self.lonlat_of(self.scene.grid, col + 0.5, row + 0.5)
            document = tilth.get(f"/layers/small/point/{lon:.9f},{lat:.9f}").json()
            self.assertTrue(document["inside"] and document["valid"] and document["synthetic"])
            self.assertEqual(document["value"], self.label[row, col])
            self.assertEqual(document["class"]["value"], self.label[row, col])
            self.assertEqual(document["class"]["name"],
                             {c["value"]: c["name"] for c in CLASSES}[self.label[row, col]])
            self.assertEqual(document["confidence"], confidence[row, col])
            own = features[:, row, col]
            self.assertEqual(list(document["features"]), list(FEATURES))
            np.testing.assert_allclose(list(document["features"].values()), own, rtol=1e-6, atol=1e-6)
            wanted = self.scene.plain.model.probabilities(own[None])[0]
            self.assertEqual(list(document["probabilities"]), [c["name"] for c in CLASSES])
            np.testing.assert_allclose(list(document["probabilities"].values()), wanted, rtol=0, atol=1e-6)
            tile = scene.tile_of(lon, lat, 17)
            at = self.pixel_in(tile, lon, lat)
            shown = self.legend(tilth, "small").values(tilth.get(scene.path_of("small", tile)).body)
            self.assertEqual(shown[at], document["value"])

    @staticmethod
    def pixel_in(tile, lon, lat):
        lons, lats = scene.tile_lonlat(*tile)
        return int(np.abs(lats - lat).argmin()), int(np.abs(lons - lon).argmin())

    def test_a_point_outside_is_outside(self):
        tilth = self.serve(self.document)
        west, south, _, _ = self.bounds
        document = tilth.get(f"/layers/small/point/{west - 0.01:.6f},{south:.6f}").json()
        self.assertFalse(document["inside"])
        self.assertNotIn("class", document)

    def test_without_the_filter_the_labels_are_the_forests(self):
        tilth = self.serve(self.scene.layer("plain", post=[]))
        for tile in scene.tiles_over(self.bounds, 14)[8:14]:
            self.check_tile(tilth, "plain", tile, scene.nearest_tile(self.scene.raw, self.grid, tile))

    def test_a_wide_filter_reaches_across_blocks(self):
        label = reference.majority(self.scene.raw, 9)
        self.assertGreater((label != self.label).mean(), 0.05)
        tilth = self.serve(self.scene.layer("wide", post=[{"op": "majority", "size": 9}]))
        for tile in scene.tiles_over(self.bounds, 14)[::3]:
            self.check_tile(tilth, "wide", tile, scene.nearest_tile(label, self.grid, tile))

    def test_a_chain_of_steps_is_the_whole_rasters(self):
        """Doubt, small patches and a filter, in this order, and what is unsure has a name in the legend."""
        steps = [{"op": "unsure", "below": 29}, {"op": "sieve", "min_pixels": 4, "connect": 8},
                 {"op": "majority", "size": 3}, {"op": "sieve", "min_pixels": 60}]
        label = self.scene.raw
        for step in steps:
            before, label = label, reference.post_process(label, self.scene.confidence, [step])
            self.assertGreater((before != label).mean(), 0.001, step)
        self.assertTrue((label == 253).any())
        tilth = self.serve(self.scene.layer("chain", post=steps))
        for tile in scene.tiles_over(self.bounds, 14)[::2]:
            self.check_tile(tilth, "chain", tile, scene.nearest_tile(label, self.grid, tile))
        legend = tilth.get("/layers/chain/legend.json").json()
        self.assertIn("unsure", [item["name"] for item in legend["classification:classes"]])

    def test_the_confidence_is_a_band_that_can_be_looked_at(self):
        """A ramp over 0 to 100 percent: each percent has one colour, the stops are the legend's, no data shows nothing."""
        tilth = self.serve(self.scene.masked("sure", post=[]))
        truth = self.scene.truth(self.scene.masked("sure", post=[]))
        label, confidence, _ = truth.raw(0, 0, SIZE, SIZE)
        legend = tilth.get("/layers/sure/legend.json?band=confidence").json()
        stops = np.array([[v, *bytes.fromhex(color)[:3]] for v, color in legend["stops"]], float)
        percent = np.arange(101)
        ramp = np.stack([np.interp(percent, stops[:, 0], stops[:, i]) for i in (1, 2, 3)], axis=1)
        seen = set()
        for tile in scene.tiles_over(self.bounds, 14)[::3]:
            answer = tilth.get(scene.path_of("sure", tile) + "?band=confidence")
            self.assertEqual(answer.status, 200, answer.body[:200])
            self.assertEqual(answer.body, tilth.get(scene.path_of("sure", tile) + "?style=confidence").body)
            got = np.asarray(answer.image().convert("RGBA")).astype(float)
            wanted = scene.nearest_tile(np.where(label < scene.MASKED, confidence, scene.NODATA), self.grid, tile)
            here = wanted != scene.NODATA
            np.testing.assert_array_equal(got[..., 3] == 255, here)
            np.testing.assert_allclose(got[here][:, :3], ramp[wanted[here]], atol=0.51)
            seen |= set(np.unique(wanted[here]).tolist())
        self.assertGreater(len(seen), 10)
        path = scene.path_of("sure", tile)
        scene.is_problem(self, tilth.get(path + "?band=votes"), 404, "votes")
        scene.is_problem(self, tilth.get(path + "?band=confidence&style=model"), 400, "not both")
        scene.is_problem(self, tilth.get(path + "?band=confidence&classes=grass"), 400, "has no classes")
        self.assertEqual(tilth.get(path + "?band=label").body, tilth.get(path).body)

    def test_what_is_unsure_has_a_value_of_its_own(self):
        tilth = self.serve(self.scene.layer("taken", post=[{"op": "unsure", "below": 60, "value": CLASSES[0]["value"]}]))
        self.assertIn("give it a value of its own", " ".join(tilth.errors))
        self.assertEqual(tilth.get("/layers").json()["layers"], [])

    def test_pixels_are_classified_once(self):
        """All tiles of two zooms over the scene cost its pixels, and the strips of no halo twice."""
        tilth = self.serve(self.scene.layer("plain", post=[]))
        for z in (14, 15):
            for tile in scene.tiles_over(self.bounds, z):
                tilth.get(scene.path_of("plain", tile))
        self.assertEqual(tilth.metric("tilth_classify_pixels_total"), SIZE * SIZE)

    def test_the_golden_model_is_the_reference(self):
        """250 trees, 33 features, across the corner of four blocks."""
        document = {**self.scene.golden, "id": "golden"}
        truth = self.scene.truth(document)
        tilth = self.serve(document)
        lon, lat = self.lonlat_of(truth.grid, 512, 512)
        tile = scene.tile_of(lon, lat, 15)
        wanted, _ = truth.tile(*tile)
        self.assertEqual(len(np.unique(wanted)), 2, "the tile shows both classes")
        legend = scene.Legend.of(tilth, "golden", scene.NODATA)
        answer = tilth.get(scene.path_of("golden", tile))
        np.testing.assert_array_equal(legend.values(answer.body), wanted)
        col, row = 500, 520
        _, confidence, features = truth.raw(col, row, 1, 1)
        lon, lat = self.lonlat_of(truth.grid, col + 0.5, row + 0.5)
        document = tilth.get(f"/layers/golden/point/{lon:.9f},{lat:.9f}").json()
        np.testing.assert_allclose(list(document["features"].values()), features[:, 0, 0], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(list(document["probabilities"].values()),
                                   truth.model.probabilities(features[:, :, 0].T)[0], rtol=0, atol=1e-6)
        self.assertEqual(document["confidence"], confidence[0, 0])


class Bands(OnScene):
    """What "outputs" in a document adds to label and confidence: in tiles, points and files, as the reference has it."""
    POST = [{"op": "majority", "size": 3}]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.document = cls.scene.masked("bands", post=cls.POST, outputs=["margin", "entropy", "probability"])
        cls.truth = cls.scene.truth(cls.document)
        cls.label, cls.confidence = cls.truth.window(0, 0, SIZE, SIZE)
        cls.bands = cls.truth.bands(0, 0, SIZE, SIZE)

    def test_each_band_is_a_styled_tile(self):
        tilth = self.serve(self.document)
        described = tilth.get("/layers/bands").json()
        names = ["label", "confidence", "margin", "entropy"] + [f"probability:{c['name']}" for c in CLASSES]
        self.assertEqual(described["bands"], names)
        self.assertEqual(described["styles"], ["model", *names[1:]])
        for name, plane in self.bands.items():
            legend = tilth.get(f"/layers/bands/legend.json?band={name}").json()
            stops = np.array([[v, *bytes.fromhex(color)[:3]] for v, color in legend["stops"]], float)
            ramp = np.stack([np.interp(np.arange(101), stops[:, 0], stops[:, i]) for i in (1, 2, 3)], axis=1)
            for tile in scene.tiles_over(self.scene.bounds, 14)[5:20:4]:
                got = np.asarray(tilth.get(scene.path_of("bands", tile) + f"?band={name}").image().convert("RGBA"))
                wanted = scene.nearest_tile(plane, self.scene.grid, tile)
                here = wanted != scene.NODATA
                np.testing.assert_array_equal(got[..., 3] == 255, here)
                np.testing.assert_allclose(got[here][:, :3].astype(float), ramp[wanted[here]], atol=0.51, err_msg=name)
            self.assertGreater(len(np.unique(plane)), 8, name)
        self.check_tile(tilth, "bands", tile, scene.nearest_tile(self.label, self.scene.grid, tile))
        of_class = [tilth.get(scene.path_of("bands", tile) + f"?band={n}").body for n in ("maize", "probability:maize")]
        self.assertEqual(*of_class)

    def test_a_point_has_margin_and_entropy_whatever_the_layer_keeps(self):
        tilth = self.serve(self.scene.masked("few", post=self.POST))
        row, col = (int(i) for i in np.argwhere(self.label < scene.MASKED)[4321])
        lon, lat = NativeZoom.lonlat_of(self.scene.grid, col + 0.5, row + 0.5)
        point = tilth.get(f"/layers/few/point/{lon:.9f},{lat:.9f}").json()
        p = np.array(list(point["probabilities"].values()))[:, None]
        self.assertAlmostEqual(point["margin"], reference.margin(p)[0], places=6)
        self.assertAlmostEqual(point["entropy"], reference.entropy(p)[0], places=6)
        self.assertEqual(reference.percent(np.array(point["margin"])), self.bands["margin"][row, col])

    def test_a_band_that_is_not_kept_is_refused_with_the_way_to_it(self):
        tilth = self.serve(self.scene.masked("few", outputs=["margin"]))
        path = scene.path_of("few", scene.tiles_over(self.scene.bounds, 14)[8])
        scene.is_problem(self, tilth.get(path + "?band=entropy"), 404, "label, confidence, margin", '"outputs": ["entropy"]')
        scene.is_problem(self, tilth.get(path + "?band=maize"), 404, '"outputs": ["probability:maize"]')
        scene.is_problem(self, tilth.get(path + "?band=rice"), 404, 'no band "rice"', "label, confidence, margin")
        self.assertEqual(tilth.get(path + "?band=margin").status, 200)

    def test_what_cannot_be_kept_is_said_at_start(self):
        for outputs, said in (["votes"], "there is no band"), (["margin", "margin"], "margin is there twice"), \
                (["confidence"], "confidence is there always"), (["probability", "maize"], "probability:maize is there twice"):
            tilth = self.serve(self.scene.layer("wrong", outputs=outputs))
            self.assertIn(said, " ".join(tilth.errors))
            self.assertIn('outputs', " ".join(tilth.errors))

    def test_bands_are_written_as_they_are_shown_on_every_level(self):
        out = scene.temporary_folder(self)
        (out / "layers").mkdir()
        (out / "layers" / "bands.json").write_text(json.dumps(self.document))
        wanted = {"margin": self.bands["margin"], "entropy": self.bands["entropy"], "confidence": self.confidence,
                  "probability:tobacco": self.bands["probability:tobacco"]}
        files = {name: out / f"{name[-5:]}.tif" for name in wanted}
        line = [support.program(), "classify", "bands", "-o", out / "l.tif", "--layers-dir", out / "layers",
                "--styles-dir", support.ROOT / "styles",
                "--outputs", ",".join(f"{name}={path}" for name, path in files.items())]
        done = subprocess.run(list(map(str, line)), capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        for name, plane in wanted.items():
            label, plane = self.label, np.where(self.label >= scene.MASKED, 255, plane)
            file = gdal.Open(str(files[name]))  # a band does not keep its file
            band = file.GetRasterBand(1)
            self.assertEqual(band.GetDescription(), name)
            np.testing.assert_array_equal(band.ReadAsArray(), plane, name)
            self.assertGreater(band.GetOverviewCount(), 0)
            for i in range(band.GetOverviewCount()):
                label, plane = scene.mode_level(label), mean_level(label, plane)
                np.testing.assert_array_equal(band.GetOverview(i).ReadAsArray(), plane, f"{name}, overview {i}")
        line[-1] = f"entropy={out / 'l.tif'}"
        self.assertIn("need a file each", subprocess.run(list(map(str, line)), capture_output=True, text=True).stderr)
        line[-1] = "rice=r.tif"
        self.assertIn('no band "rice"', subprocess.run(list(map(str, line)), capture_output=True, text=True).stderr)

    def test_rasters_and_a_model_have_every_band_that_is_asked_for(self):
        out = scene.temporary_folder(self)
        planes, grid = self.scene.features.astype(np.float32), self.scene.grid
        scene.write_cog(out / "in.tif", planes, (grid.x - grid.dx / 2, grid.y - grid.dy / 2), 10, 6933, names=list(FEATURES))
        line = [support.program(), "classify", out / "in.tif", "-m", self.scene.model, "-o", out / "l.tif",
                "--outputs", f"margin={out / 'm.tif'},maize={out / 'p.tif'}"]
        done = subprocess.run(list(map(str, line)), capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        wanted = self.scene.plain.bands(0, 0, SIZE, SIZE)
        for name, file in ("margin", "m.tif"), ("probability:maize", "p.tif"):
            np.testing.assert_array_equal(gdal.Open(str(out / file)).ReadAsArray(), wanted[name], name)


class Smoothed(Bands):
    """Probabilities smoothed before there are labels: every band, in tiles, points and files, over blocks and behind a mask."""
    POST = [{"op": "smooth", "times": 2}, {"op": "unsure", "below": 40}, {"op": "majority", "size": 3}]
    test_a_band_that_is_not_kept_is_refused_with_the_way_to_it = None  # nothing that smoothing changes
    test_what_cannot_be_kept_is_said_at_start = None
    test_rasters_and_a_model_have_every_band_that_is_asked_for = None

    def test_the_truth_is_worth_comparing_with(self):
        """Smoothing changes labels, at the mask's edges too, and a window of the truth is the truth's window."""
        plain = self.scene.truth(self.scene.masked("rough", post=self.POST[1:])).window(0, 0, SIZE, SIZE)
        self.assertGreater((plain[0] != self.label).mean(), 0.02)
        self.assertTrue((self.label == scene.MASKED).any())
        for got, whole in zip(self.truth.window(450, 480, 150, 100), (self.label, self.confidence)):
            np.testing.assert_array_equal(got, whole[480:580, 450:600])

    def test_every_order_of_asking_gives_the_reference(self):
        tilth = self.serve(self.document, block_pool="8 MiB", workers=3)
        tiles = [t for z in (13, 14, 15, 16) for t in scene.tiles_over(self.scene.bounds, z)[::z - 12]][:120]
        np.random.default_rng(4).shuffle(tiles)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda t: self.check_tile(
                tilth, "bands", tuple(t), scene.nearest_tile(self.label, self.scene.grid, tuple(t))), tiles))

    def test_a_point_has_the_probabilities_that_its_label_is_of(self):
        tilth = self.serve(self.document)
        shown = np.argwhere(self.label < scene.MASKED)
        for row, col in ((0, 0), (511, 511), (512, 512), (SIZE - 1, SIZE - 1), *shown[::len(shown) // 9].tolist()):
            lon, lat = NativeZoom.lonlat_of(self.scene.grid, col + 0.5, row + 0.5)
            point = tilth.get(f"/layers/bands/point/{lon:.9f},{lat:.9f}").json()
            state, p, features = self.truth.votes(col, row, 1, 1)
            if state[0, 0]:
                self.assertEqual(point["probabilities"], {})
                continue
            self.assertEqual(point["value"], self.label[row, col])
            self.assertEqual(point["confidence"], self.confidence[row, col])
            np.testing.assert_allclose(list(point["probabilities"].values()), p[:, 0, 0], rtol=0, atol=1e-6)
            np.testing.assert_allclose(list(point["features"].values()), features[:, 0, 0], rtol=1e-6, atol=1e-6)

    def test_a_smoothing_that_is_not_first_is_refused(self):
        tilth = self.serve(self.scene.layer("late", post=self.POST[::-1]))
        self.assertIn("step 3 smooths probabilities", " ".join(tilth.errors))


def mean_level(label, plane):
    """A band of percents, halved: the mean over the pixels that have the winning label, rounded half up."""
    height, width = (n + n % 2 for n in label.shape)
    winner = np.repeat(np.repeat(scene.mode_level(label), 2, axis=0), 2, axis=1)
    pad = [(0, height - label.shape[0]), (0, width - label.shape[1])]
    label, plane = np.pad(label, pad, constant_values=scene.NODATA), np.pad(plane.astype(np.int64), pad)
    votes = (label == winner).astype(np.int64)
    count, total = (a.reshape(height // 2, 2, width // 2, 2).sum(axis=(1, 3)) for a in (votes, votes * plane))
    here = winner[::2, ::2] != scene.NODATA
    return np.where(here, (2 * total + count) // np.maximum(2 * count, 1), scene.NODATA).astype(np.uint8)


class BelowNative(OnScene):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.levels = [cls.scene.label, scene.mode_level(cls.scene.label)]
        cls.levels.append(scene.mode_level(cls.levels[1]))
        cls.bounds = cls.scene.bounds
        middle = ((cls.bounds[0] + cls.bounds[2]) / 2, (cls.bounds[1] + cls.bounds[3]) / 2)
        cls.z12, cls.z11, cls.z10 = (scene.tile_of(*middle, z) for z in (12, 11, 10))

    def wanted(self, level, tile):
        return scene.nearest_tile(self.levels[level], self.scene.grid, tile, level)

    def check_approximate(self, tilth, tile):
        path = scene.path_of("low", tile)
        for _ in range(2):  # never stored: a miss each time
            answer = tilth.get(path)
            self.assertEqual((answer.status, answer.headers["x-tilth-exact"]), (200, "0"))
            self.assertEqual(answer.headers["x-cache"], "MISS")
            age = int(re.search(r"max-age=(\d+)", answer.headers["cache-control"])[1])
            self.assertLessEqual(age, 60)
        return self.legend(tilth, "low").values(answer.body)

    def seed(self, tilth):
        for tile in scene.tiles_over(self.bounds, 14):
            self.assertEqual(tilth.get(scene.path_of("low", tile)).status, 200)

    def check_exact(self, tilth, tile, level):
        answer = self.check_tile(tilth, "low", tile, self.wanted(level, tile))
        self.assertNotIn("x-tilth-exact", answer.headers)
        self.assertEqual(answer.headers["cache-control"], "public, max-age=300")
        self.assertEqual(tilth.get(scene.path_of("low", tile)).headers["x-cache"], "HIT")

    def test_a_tile_of_level_0_below_native_is_exact_anyway(self):
        tilth = self.serve(self.scene.layer("low", below_native={"policy": "exact", "budget_blocks": 0}))
        for tile in scene.tiles_over(self.bounds, 13)[:6]:
            self.check_exact(tilth, tile, 0)

    def test_approximate_until_the_children_are_there_and_then_exact(self):
        tilth = self.serve(self.scene.layer("low", below_native={"policy": "approx", "budget_blocks": 1}))
        first = self.check_approximate(tilth, self.z12)
        self.check_approximate(tilth, self.z11)
        wanted = self.wanted(1, self.z12)
        self.assertEqual(((first == scene.NODATA) != (wanted == scene.NODATA)).sum(), 0, "the same land is there")
        self.assertGreater((first == wanted).mean(), 0.3)
        self.assertGreater((first != wanted).sum(), 0, "so exact is something else")
        self.seed(tilth)
        self.check_exact(tilth, self.z12, 1)
        self.check_exact(tilth, self.z11, 2)
        self.check_exact(tilth, self.z10, 2)  # coarser than the last level

    def test_what_is_exact_stays_exact_after_a_restart(self):
        tilth = self.serve(self.scene.layer("low", below_native={"policy": "exact", "budget_blocks": 0}),
                           cache_ram="1 MiB")
        self.seed(tilth)
        self.assertEqual(tilth.stop(), 0)
        tilth.start()
        self.check_exact(tilth, self.z11, 2)
        self.check_exact(tilth, self.z12, 1)
        self.assertEqual(tilth.metric("tilth_classify_pixels_total"), 0)

    def test_within_the_budget_missing_children_are_classified_now(self):
        tilth = self.serve(self.scene.layer("low", below_native={"policy": "exact", "budget_blocks": 9}))
        self.check_exact(tilth, self.z11, 2)
        self.check_exact(tilth, self.z12, 1)

    def test_policy_exact_is_a_404_that_says_what_can_be_done(self):
        tilth = self.serve(self.scene.layer("low", below_native={"policy": "exact", "budget_blocks": 1}))
        for tile in (self.z12, self.z11):
            answer = tilth.get(scene.path_of("low", tile))
            scene.is_problem(self, answer, 404, "class blocks", "native zoom", "low/tilejson.json", "approx")
        self.seed(tilth)
        self.check_exact(tilth, self.z12, 1)
        self.check_exact(tilth, self.z11, 2)

    def test_one_child_more_makes_one_parent_exact(self):
        """What is there of a level is used; the rest stays approximate."""
        tilth = self.serve(self.scene.layer("low", below_native={"policy": "approx", "budget_blocks": 0}))
        self.check_approximate(tilth, self.z12)
        west, north = NativeZoom.lonlat_of(self.scene.grid, 0, 0)
        east, south = NativeZoom.lonlat_of(self.scene.grid, 1024, 1024)
        for tile in scene.tiles_over((west, south, east, north), 14):
            tilth.get(scene.path_of("low", tile))
        inner = [t for t in scene.tiles_over(self.bounds, 12) if self.is_inside(t, 1024)]
        self.assertTrue(inner)
        for tile in inner:
            self.check_exact(tilth, tile, 1)

    def is_inside(self, tile, side):
        """Whether the tile's part of the scene lies in the first `side` pixels of both axes."""
        step = 2 * scene.WORLD / (256 << tile[0])
        target = reference.Grid("EPSG:3857", -scene.WORLD + tile[1] * 256 * step, scene.WORLD - tile[2] * 256 * step,
                                step, -step, 256, 256)
        col, row = target.positions(self.scene.grid)
        on = (col >= 0) & (row >= 0) & (col < SIZE) & (row < SIZE)
        return on.any() and col[on].max() < side and row[on].max() < side


class Masked(OnScene):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        truth = cls.scene.truth(cls.scene.masked("masked"))
        cls.raw, _, _ = truth.raw(0, 0, SIZE, SIZE)
        cls.label = reference.majority(cls.raw, 3)

    def test_the_baseline_decides_where_there_is_anything(self):
        share = (self.label == scene.MASKED).mean()
        self.assertTrue(0.05 < share < 0.95, share)
        tilth = self.serve(self.scene.masked("masked"))
        for tile in scene.tiles_over(self.scene.bounds, 14)[::4]:
            self.check_tile(tilth, "masked", tile, scene.nearest_tile(self.label, self.scene.grid, tile))
        for which in (self.label == scene.MASKED, self.label != scene.MASKED):
            row, col = np.argwhere(which)[1234]
            lon, lat = NativeZoom.lonlat_of(self.scene.grid, col + 0.5, row + 0.5)
            document = tilth.get(f"/layers/masked/point/{lon:.9f},{lat:.9f}").json()
            self.assertEqual(document["value"], self.label[row, col])
        self.assertLessEqual(tilth.metric("tilth_classify_pixels_total"), (self.raw != scene.MASKED).sum())

    def test_a_masked_pyramid_is_exact_too(self):
        tilth = self.serve(self.scene.masked("masked", below_native={"policy": "exact", "budget_blocks": 16}))
        west, south, east, north = self.scene.bounds
        tile = scene.tile_of((west + east) / 2, (south + north) / 2, 12)
        self.check_tile(tilth, "masked", tile,
                        scene.nearest_tile(scene.mode_level(self.label), self.scene.grid, tile, 1))


class AreaOfInterest(OnScene):
    """Nothing outside of "aoi" is classified, fetched or shown; tiles, points and files agree on where that is."""

    # In pixels of the scene: a polygon with a hole over four class blocks, and a small one. None is in the last column.
    POLYGONS = [[[(140.3, 90), (900.2, 310.7), (610, 870.1), (180, 640.4)], [(420, 380), (560, 420), (450, 510)]],
                [[(60, 900), (130, 911.5), (75, 960)]]]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        grid = cls.scene.grid
        closed = [[ring + ring[:1] for ring in polygon] for polygon in cls.POLYGONS]
        cls.aoi = {"type": "FeatureCollection", "features": [
            {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [
                [NativeZoom.lonlat_of(grid, *xy) for xy in ring] for ring in polygon]}} for polygon in closed]}
        cls.inside = cls.rasterized()

    @classmethod
    def rasterized(cls):
        """GDAL's opinion of which centres are inside."""
        grid, degrees, crs = cls.scene.grid, osr.SpatialReference(), osr.SpatialReference()
        degrees.SetFromUserInput("OGC:CRS84")
        crs.ImportFromEPSG(6933)
        raster = gdal.GetDriverByName("MEM").Create("", SIZE, SIZE, 1)
        raster.SetGeoTransform((grid.x, grid.dx, 0, grid.y, 0, grid.dy))
        raster.SetProjection(crs.ExportToWkt())
        vectors = ogr.GetDriverByName("Memory").CreateDataSource("")  # a layer does not keep it
        layer = vectors.CreateLayer("aoi", crs)
        edges = []
        for feature in cls.aoi["features"]:
            shape = ogr.CreateGeometryFromJson(json.dumps(feature["geometry"]))
            shape.Segmentize(1e-4)  # in degrees, where its edges are straight
            shape.AssignSpatialReference(degrees)
            shape.TransformTo(crs)
            row = ogr.Feature(layer.GetLayerDefn())
            row.SetGeometry(shape)
            layer.CreateFeature(row)
            for i in range(shape.GetGeometryCount()):
                ring = (np.array(shape.GetGeometryRef(i).GetPoints())[:, :2] - (grid.x, grid.y)) / (grid.dx, grid.dy)
                edges.append(np.concatenate([ring[:-1], ring[1:]], axis=1))
        cls.edges = np.concatenate(edges)  # as bent as GDAL has them, in pixels
        gdal.RasterizeLayer(raster, [1], layer, burn_values=[1])
        return raster.ReadAsArray() == 1

    def export(self, document):
        out = scene.temporary_folder(self)
        (out / "layers").mkdir()
        (out / "layers" / f"{document['id']}.json").write_text(json.dumps(document))
        done = subprocess.run([support.program(), "classify", document["id"], "-o", str(out / "l.tif"), "--layers-dir",
                               str(out / "layers"), "--styles-dir", str(support.ROOT / "styles")],
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return gdal.Open(str(out / "l.tif")).ReadAsArray()

    def distance(self, x, y):
        """Of a place to the nearest edge, in pixels."""
        a, d = self.edges[:, :2], self.edges[:, 2:] - self.edges[:, :2]
        t = np.clip((((x, y) - a) * d).sum(axis=1) / (d * d).sum(axis=1), 0, 1)
        return np.hypot(*(a + t[:, None] * d - (x, y)).T).min()

    def test_what_is_inside_is_what_gdal_says(self):
        label = self.export(self.scene.layer("farm", post=[], aoi=self.aoi))
        differ = np.argwhere((label != scene.MASKED) != self.inside)
        for row, col in differ:  # what is straight in degrees bends on the grid; 1/16 of a pixel is promised
            self.assertLess(self.distance(col + 0.5, row + 0.5), 1 / 16)
        here = label != scene.MASKED
        self.assertGreater(here.sum(), 100000)
        np.testing.assert_array_equal(label[here], self.scene.raw[here])

    def test_rasters_take_the_same_area(self):
        """Of bare rasters what a layer over the same rasters shows: its tiles and its file."""
        out, planes, grid = scene.temporary_folder(self), self.scene.features.astype(np.float32), self.scene.grid
        scene.write_cog(out / "in.tif", planes, (grid.x, grid.y), 10, 6933, names=list(FEATURES))
        (out / "farm.geojson").write_text(json.dumps(self.aoi))
        line = [support.program(), "classify", out / "in.tif", "-m", self.scene.model, "-o", out / "l.tif", "--confidence",
                out / "c.tif", "--aoi", out / "farm.geojson"]
        done = subprocess.run(list(map(str, line)), capture_output=True, text=True, timeout=120)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        document = {"id": "bare", "kind": "prediction", "grid": {"like": "s"}, "model": {"href": str(self.scene.model)},
                    "sources": {"s": {"href": str(out / "in.tif")}}, "aoi": str(out / "farm.geojson"),
                    "features": {name: f"s.b{i + 1}" for i, name in enumerate(FEATURES)}}
        label, sure = (gdal.Open(str(out / name)).ReadAsArray() for name in ("l.tif", "c.tif"))
        np.testing.assert_array_equal(label, self.export(document))
        np.testing.assert_array_equal(label == scene.MASKED, self.export(self.scene.layer("raw", post=[], aoi=self.aoi)) == scene.MASKED)
        np.testing.assert_array_equal(sure == 255, label >= scene.MASKED)
        tilth = self.serve(document)
        for tile in scene.tiles_over(self.scene.bounds, 14)[::4]:
            self.check_tile(tilth, "bare", tile, scene.nearest_tile(label, grid, tile))
        for text, said in (('{"type": "Point", "coordinates": [0, 0]}', "Point"), ("{", "farm.geojson"), (json.dumps(
                {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}), "farm.geojson: ")):
            (out / "farm.geojson").write_text(text)
            done = subprocess.run(list(map(str, line)), capture_output=True, text=True, timeout=120)
            self.assertIn(said, done.stderr)
            self.assertNotEqual(done.returncode, 0)

    def test_tiles_points_and_files_agree_whatever_the_steps(self):
        documents = [self.scene.layer("farm", aoi=self.aoi), self.scene.masked("both", aoi=self.aoi)]
        truth = self.scene.truth(self.scene.masked("behind"))
        behind, _, _ = truth.raw(0, 0, SIZE, SIZE)
        tilth = self.serve(*documents)
        outside = self.export(self.scene.layer("raw", post=[], aoi=self.aoi)) == scene.MASKED
        for document, raw in zip(documents, (self.scene.raw, behind)):
            wanted = reference.majority(np.where(outside, scene.MASKED, raw).astype(np.uint8), 3)
            np.testing.assert_array_equal(self.export(document), wanted)
            for tile in scene.tiles_over(self.scene.bounds, 14)[::3]:
                self.check_tile(tilth, document["id"], tile, scene.nearest_tile(wanted, self.scene.grid, tile))
        for col, row in ((20, 20), (470, 430), (1000, 1000), (500, 300)):
            lon, lat = NativeZoom.lonlat_of(self.scene.grid, col + 0.5, row + 0.5)
            point = tilth.get(f"/layers/farm/point/{lon:.9f},{lat:.9f}").json()
            self.assertEqual(point["features"] != {}, not outside[row, col], point)
            self.assertEqual(point["value"] == scene.MASKED, outside[row, col], point)

    def test_a_tile_outside_costs_no_request(self):
        document = self.scene.layer("far", aoi=self.aoi)
        files = {pathlib.Path(s["href"]).name: s for s in document["sources"].values()}
        objects = {f"/{name}": pathlib.Path(s["href"]).read_bytes() for name, s in files.items()}
        store = self.enterContext(support.ObjectServer(objects))
        document["sources"] = {key: {**s, "href": f"{store.base}/{pathlib.Path(s['href']).name}"}
                               for key, s in document["sources"].items()}
        tilth = self.serve(document)
        lon, lat = NativeZoom.lonlat_of(self.scene.grid, 100, 930)
        self.assertEqual(tilth.get(scene.path_of("far", scene.tile_of(lon, lat, 16))).status, 200)
        classified, asked = tilth.metric("tilth_classify_pixels_total"), len(store.requests)
        self.assertGreater(classified, 0)
        lon, lat = NativeZoom.lonlat_of(self.scene.grid, 1000, 600)
        answer = tilth.get(scene.path_of("far", scene.tile_of(lon, lat, 16)))
        self.assertEqual(answer.status, 200)
        self.assertTrue((self.legend(tilth, "far").values(answer.body) == scene.NODATA).all())
        self.assertEqual(tilth.metric("tilth_classify_pixels_total"), classified)
        self.assertEqual(len(store.requests), asked)

    def test_a_file_beside_the_document_is_the_same(self):
        folder = scene.temporary_folder(self)
        (folder / "layers").mkdir()
        (folder / "farm.geojson").write_text(json.dumps(self.aoi))
        inline, beside = self.scene.layer("inline", aoi=self.aoi), self.scene.layer("beside", aoi="../farm.geojson")
        tilth = self.enterContext(support.Tilth([inline, beside], folder=folder))
        for tile in scene.tiles_over(self.scene.bounds, 14)[::5]:
            bodies = [tilth.get(scene.path_of(name, tile)).body for name in ("inline", "beside")]
            self.assertEqual(*bodies)

    def test_what_is_no_area_is_said_at_start(self):
        folder = scene.temporary_folder(self)
        (folder / "layers").mkdir()
        (folder / "open.geojson").write_text('{"type": "Polygon", "coordinates": [[[31,-17],[32,-17],[32,-18],[31,-18]]]}')
        (folder / "cut.geojson").write_text('{"type": "Polygon", "coordi')
        wrong = {"open": ("../open.geojson", "open.geojson: coordinates[0]: a ring ends where it begins"),
                 "cut": ("../cut.geojson", "cut.geojson:1:"), "gone": ("../gone.geojson", "gone.geojson"),
                 "line": ({"type": "LineString", "coordinates": []}, "line.json: aoi.type: \"LineString\" has no area")}
        tilth = self.enterContext(support.Tilth([self.scene.layer(name, aoi=aoi) for name, (aoi, _) in wrong.items()],
                                                folder=folder))
        for name, (_, said) in wrong.items():
            self.assertIn(said, " ".join(tilth.errors))
            self.assertEqual(tilth.get(f"/layers/{name}").status, 404)

    def test_an_area_far_from_the_grid_is_said_when_it_is_looked_at(self):
        swapped = {"type": "Polygon", "coordinates": [[[-17, 31], [-18, 31], [-18, 32], [-17, 31]]]}
        tilth = self.serve(self.scene.layer("swapped", aoi=swapped))
        answer = tilth.get(scene.path_of("swapped", scene.tiles_over(self.scene.bounds, 14)[0]))
        scene.is_problem(self, answer, 502, "aoi", "longitude comes first")


class Seasons(OnScene):
    def test_label_and_date_choose_the_season(self):
        other = {**self.scene.sources["s1"], "href": self.scene.sources["s2"]["href"]}
        seasons = {"2023-24": {"start": "2023-11-01", "end": "2024-05-01"},
                   "2024-25": {"start": "2024-11-01", "end": "2025-05-01",
                               "sources": {"s1": {"href": other["href"]}}}}
        document = self.scene.layer("seasons", seasons=seasons)
        tilth = self.serve(document)
        truths = {name: self.scene.truth(document, name) for name in seasons}
        west, south, east, north = self.scene.bounds
        tile = scene.tile_of((west + east) / 2, (south + north) / 2, 15)
        wanted = {}
        for name, truth in truths.items():
            wanted[name], _ = truth.tile(*tile)
        self.assertGreater((wanted["2023-24"] != wanted["2024-25"]).mean(), 0.1)
        tags = {}
        for query, name in (("", "2023-24"), ("?season=2023-24", "2023-24"), ("?date=2023-11-01", "2023-24"),
                            ("?date=2024-02-29", "2023-24"), ("?season=2024-25", "2024-25"),
                            ("?date=2024-11-01", "2024-25"), ("?date=2025-01-15", "2024-25")):
            answer = self.check_tile(tilth, "seasons", tile, wanted[name], query)
            self.assertEqual(tags.setdefault(name, answer.headers["etag"]), answer.headers["etag"])
        self.assertNotEqual(tags["2023-24"], tags["2024-25"])
        for query in ("?season=1999", "?date=2024-08-01", "?date=2031-01-01"):
            scene.is_problem(self, tilth.get(scene.path_of("seasons", tile) + query), 404, query[-10:].split("=")[-1])
        lon, lat = (west + east) / 2, (south + north) / 2
        points = [tilth.get(f"/layers/seasons/point/{lon:.7f},{lat:.7f}?season={name}").json() for name in seasons]
        self.assertEqual([p["season"] for p in points], list(seasons))
        self.assertNotEqual(points[0]["features"]["red"], points[1]["features"]["red"])
        described = tilth.get("/layers/seasons").json()
        self.assertIn("2024-25", json.dumps(described))


class LightGbm(unittest.TestCase):
    """A model in LightGBM's own text, over a raster whose pixels are the rows that LightGBM itself predicted."""

    def rows(self, name):
        x, p = [], []
        text = (support.ROOT / "tests" / "data" / "forest" / f"{name}.rows").read_text()
        for line in text.splitlines():
            left, right = line.split("|")[:2]
            x.append([float("nan") if v == "nan" else float.fromhex(v) for v in left.split()])
            p.append([float.fromhex(v) for v in right.split()])
        return np.array(x, np.float32), np.array(p)

    def test_labels_and_probabilities_are_lightgbms(self):
        x, p = self.rows("lightgbm_multiclass")
        folder = scene.temporary_folder(type(self))
        plane = np.full((4, 16, 16), np.nan, np.float32)
        plane.reshape(4, -1)[:, :len(x)] = x.T
        scene.write_cog(folder / "rows.tif", plane, (30.0, -17.0), 0.001, nodata=float("nan"),
                        options=["COMPRESS=DEFLATE", "OVERVIEWS=NONE"])
        document = {"id": "gbm", "title": "LightGBM", "kind": "prediction", "grid": {"like": "s"},
                    "sources": {"s": {"href": str(folder / "rows.tif"), "bands": {f"b{i}": i + 1 for i in range(4)}}},
                    "model": {"href": str(support.ROOT / "tests/data/forest/lightgbm_multiclass.txt")},
                    "features": {f"Column_{i}": f"s.b{i}" for i in range(4)}}
        with support.Tilth([document]) as tilth:
            finite = np.isfinite(x).all(axis=1)
            self.assertGreater(finite.sum(), 15)
            for i in range(len(x)):
                lon, lat = 30.0 + (i % 16 + 0.5) * 0.001, -17.0 - (i // 16 + 0.5) * 0.001
                point = tilth.get(f"/layers/gbm/point/{lon:.6f},{lat:.6f}").json()
                self.assertEqual(point["valid"], bool(finite[i]), (i, x[i], point))
                if not finite[i]:
                    self.assertEqual(point["value"], scene.NODATA)
                    continue
                np.testing.assert_allclose(list(point["probabilities"].values()), p[i], rtol=0, atol=1e-6)
                self.assertEqual(point["value"], p[i].argmax())
            answer = tilth.get(scene.path_of("gbm", scene.tile_of(30.004, -17.004, 16)))
            self.assertEqual(answer.status, 200)
            self.assertGreater(len(np.unique(np.asarray(answer.image().convert("RGBA")).reshape(-1, 4), axis=0)), 2)


class FieldsOfTheWorld(unittest.TestCase):
    """Real Sentinel-2 of two dates, made a COG by tools/train_ftw.py, in S3."""

    def test_a_tile_is_the_reference(self):
        source = support.SHARED / "sentinel2" / "ftw_two_date_8band.tif"
        if not source.exists():
            self.skipTest(f"{source.name} is absent: ../shared/data is not there")
        folder = scene.temporary_folder(type(self))
        tool = [sys.executable, str(support.ROOT / "tools" / "train_ftw.py")]
        subprocess.run([*tool, "cog", str(folder / "ftw.tif")], check=True, stdout=subprocess.DEVNULL)
        store, is_minio = self.enterContext(scene.any_s3())
        scene.put_object(store, "imagery", "ftw/two dates.tif", (folder / "ftw.tif").read_bytes())
        (folder / "layers").mkdir()
        for name, more in (("layers/ftw-two-dates.json", ["--href", "s3://imagery/ftw/two dates.tif", "--endpoint",
                                                          store.endpoint]), ("truth.json", ["--href", str(folder / "ftw.tif")])):
            subprocess.run([*tool, "layer", str(folder / name), *more], check=True)
        keys = {"TILTH_FTW_KEY": store.access_key, "TILTH_FTW_SECRET": store.secret_key}
        truth = reference.Prediction(folder / "truth.json")
        west, south, east, north = bounds_of(truth.grid)
        with support.Tilth(folder=folder, environment=keys) as tilth:
            legend = scene.Legend.of(tilth, "ftw-two-dates", scene.NODATA)
            classes = set()
            for z, lon, lat in ((14, (west + east) / 2, (south + north) / 2), (15, west, north), (16, east, south)):
                tile = scene.tile_of(lon, lat, z)
                wanted, _ = truth.tile(*tile)
                answer = tilth.get(scene.path_of("ftw-two-dates", tile))
                self.assertEqual(answer.status, 200, answer.body[:300])
                np.testing.assert_array_equal(legend.values(answer.body), wanted, str(tile))
                classes |= set(np.unique(wanted))
            self.assertGreater(len(classes), 3)
        if not is_minio:
            self.skipTest("no MinIO: compared through the scripted S3")


class Export(OnScene):
    """`tilth classify`: the file is the tiles, and both are the reference."""

    def classify(self, *args, status=0):
        done = subprocess.run([support.program(), "classify", *map(str, args)], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def setUp(self):
        self.out = scene.temporary_folder(self)

    def layers(self, *documents):
        folder = self.out / "layers"
        folder.mkdir()
        for document in documents:
            (folder / f"{document['id']}.json").write_text(json.dumps(document))
        return ["--layers-dir", folder, "--styles-dir", support.ROOT / "styles"]

    def test_a_layer_is_written_as_it_is_shown(self):
        document = self.scene.masked("whole")
        label, confidence = self.scene.truth(document).window(0, 0, SIZE, SIZE)
        done = self.classify("whole", "-o", self.out / "whole.tif", "--confidence", self.out / "sure.tif",
                             *self.layers(document))
        for value in (c["value"] for c in CLASSES):
            self.assertRegex(done.stdout, rf" {value}  \w+ +{(label == value).sum()} px")
        classes, sure = (gdal.Open(str(self.out / name)) for name in ("whole.tif", "sure.tif"))
        np.testing.assert_array_equal(classes.ReadAsArray(), label)
        np.testing.assert_array_equal(sure.ReadAsArray(), np.where(label >= scene.MASKED, 255, confidence))
        self.assertTrue((label == scene.MASKED).any())
        self.assertEqual(sure.GetRasterBand(1).GetNoDataValue(), 255)
        self.assertEqual(classes.GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE"), "COG")
        self.assertEqual(classes.GetMetadataItem("class_3"), "grass")
        band = classes.GetRasterBand(1)
        self.assertEqual(band.GetNoDataValue(), scene.NODATA)
        self.assertEqual(band.GetColorTable().GetColorEntry(3)[:3], (0x88, 0xB0, 0x53))
        self.assertGreater(band.GetOverviewCount(), 0)
        for i in range(band.GetOverviewCount()):
            label = scene.mode_level(label)
            np.testing.assert_array_equal(band.GetOverview(i).ReadAsArray(), label)
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), ["layers", "sure.tif", "whole.tif"])

    def test_rasters_and_a_model_need_no_document(self):
        """Bands that are called as the features, the same bands in order, and by expressions from a file."""
        planes, model = self.scene.features, self.scene.model
        finite = np.isfinite(planes).all(axis=0)
        p = reference.tilth.load(str(model)).probabilities(np.ascontiguousarray(planes[:, finite].T, np.float32))
        wanted = np.full(finite.shape, scene.NODATA, np.uint8)
        wanted[finite] = np.array([c["value"] for c in CLASSES], np.uint8)[p.argmax(axis=1)]
        self.assertGreater(len(np.unique(wanted)), 3)
        grid = self.scene.grid
        origin = grid.x - grid.dx / 2, grid.y - grid.dy / 2
        backwards, names = planes[::-1].astype(np.float32), list(FEATURES)[::-1]
        scene.write_cog(self.out / "named.tif", backwards, origin, 10, 6933, names=names)
        scene.write_cog(self.out / "in order.tif", planes.astype(np.float32), origin, 10, 6933)
        (self.out / "x.json").write_text(json.dumps({name: f"s1.b{i + 1}" for i, name in enumerate(FEATURES)}))
        for stack, *more in (["named.tif"], ["in order.tif"], ["in order.tif", "--features", self.out / "x.json"]):
            self.classify(self.out / stack, "-m", model, "-o", self.out / "out.tif", *more)
            np.testing.assert_array_equal(gdal.Open(str(self.out / "out.tif")).ReadAsArray(), wanted, stack)

    def test_bands_are_taken_in_order_only_when_that_is_said_or_nothing_speaks_against_it(self):
        model, planes, grid = self.scene.model, self.scene.features.astype(np.float32), self.scene.grid
        origin, out = (grid.x - grid.dx / 2, grid.y - grid.dy / 2), self.out / "out.tif"
        count = len(FEATURES)
        names = {"none": (), "band": [f"Band {i + 1}" for i in range(count)], "speak": [f"B{i + 2}" for i in range(count)],
                 "same": ["x"] * count, "shifted": ["b2", *[""] * (count - 1)]}
        for name, descriptions in names.items():
            scene.write_cog(self.out / f"{name}.tif", planes, origin, 10, 6933, names=descriptions)
        wanted = None
        for name, more in (("none", []), ("band", []), ("speak", ["--in-order"]), ("same", ["--in-order"]),
                           ("shifted", ["--in-order"]), ("none", ["--in-order"])):
            file = self.out / f"{name}.tif"
            said = self.classify(file, "-m", model, "-o", out, *more).stderr
            self.assertIn("bands are taken in order:", said)
            for i, feature in enumerate(FEATURES):
                own = f' "{names[name][i]}"' if names[name] and names[name][i] else ""
                self.assertEqual(said.count(f"  {file}:{i + 1}{own} -> {feature}\n"), 1, said)
            label = gdal.Open(str(out)).ReadAsArray()
            wanted = label if wanted is None else wanted
            np.testing.assert_array_equal(label, wanted, name)
            self.assertEqual(self.classify(file, "-m", model, "-o", out, *more, "--quiet").stderr, "")
        out.unlink()
        for name in ("speak", "same", "shifted"):
            said = self.classify(self.out / f"{name}.tif", "-m", model, "-o", out, status=2).stderr
            self.assertIn("bands would be taken in order:", said)
            self.assertIn(f'{name}.tif:1 "{names[name][0]}" -> {list(FEATURES)[0]}', said)
            self.assertRegex(said, r"the bands have names.*--features FILE.*--in-order")
        self.assertFalse(out.exists())
        twice = [list(FEATURES)[0], *list(FEATURES)[:-1]]
        scene.write_cog(self.out / "twice.tif", planes, origin, 10, 6933, names=twice)
        self.assertIn("is the name of two bands, s1.", self.classify(self.out / "twice.tif", "-m", model, "-o", out, status=2).stderr)

    def test_rasters_that_are_elsewhere_are_told_apart(self):
        planes, grid = self.scene.features.astype(np.float32), self.scene.grid
        origin, half = (grid.x - grid.dx / 2, grid.y - grid.dy / 2), len(FEATURES) // 2
        here, there, out = (self.out / f"{name}.tif" for name in ("here", "there", "out"))
        scene.write_cog(here, planes[:half], origin, 10, 6933, names=list(FEATURES)[:half])
        scene.write_cog(there, planes[half:], (origin[0] + 1e6, origin[1]), 10, 6933, names=list(FEATURES)[half:])
        said = self.classify(here, there, "-m", self.scene.model, "-o", out, status=2).stderr
        self.assertRegex(said, r"there.tif covers \d+\.\d+,-?\d+\.\d+ to .* the grid, that of \S+here.tif, \d+.*nodata")
        bands = [f"s1.{n}" for n in list(FEATURES)[:half]] + [f"s2.{n}" for n in list(FEATURES)[half:]]
        filled = {name: {"expr": band, "fill": 0} for name, band in zip(FEATURES, bands)}
        (self.out / "x.json").write_text(json.dumps(filled))
        self.classify(here, there, "-m", self.scene.model, "-o", out, "--features", self.out / "x.json")
        self.assertTrue((gdal.Open(str(out)).ReadAsArray() < scene.MASKED).any(), "what is filled may be elsewhere")
        for line in (["--features", "x", "--in-order"], ["--season", "x"], ["--outputs", "probability=p.tif"]):
            said = self.classify(here, "-m", self.scene.model, "-o", out, *line, status=2).stderr
        self.assertIn("probability:CLASS=FILE", said)
        self.assertIn("a layer's", self.classify("plain", "--aoi", "x.geojson", "-o", out, status=2).stderr)

    def test_what_does_not_fit_together_is_said(self):
        slope, model = self.scene.sources["slope"]["href"], self.scene.model
        here = self.out / "no.tif"
        self.assertIn("no band is called \"red\"", self.classify(slope, "-m", model, "-o", here, status=2).stderr)
        self.assertIn("-o FILE is needed", self.classify(slope, "-m", model, status=2).stderr)
        self.assertIn("is needed", self.classify("-o", here, status=2).stderr.replace("are needed", "is needed"))
        document = self.layers()
        self.assertIn("no layer \"nowhere\" among the 0 of", self.classify("nowhere", "-o", here, *document, status=1).stderr)
        (self.out / "nowhere").mkdir()
        said = subprocess.run([support.program(), "classify", "nowhere", "-o", here, *document], cwd=self.out,
                              capture_output=True, text=True).stderr
        self.assertIn("takes -m MODEL", said)
        for line in ([slope], [slope, slope]):
            self.assertIn("-m MODEL is missing", self.classify(*line, "-o", here, status=2).stderr)
        for name in ("x.csv", "x", "tif"):
            self.assertIn("ends in .tif", self.classify(slope, "-m", model, "-o", self.out / name, status=2).stderr)
        self.assertIn("missing.tilth", self.classify(slope, "-m", "missing.tilth", "-o", here, status=1).stderr)
        (self.out / "features.json").write_text('{"x": "s1.b1"}')
        self.classify(slope, "-m", model, "-o", here, "--features", self.out / "features.json", status=2)
        self.assertFalse(here.exists())

    def test_what_is_unsure_is_a_class_of_the_file_too(self):
        document = self.scene.layer("doubt", post=[{"op": "unsure", "below": 29}])
        done = self.classify("doubt", "-o", self.out / "doubt.tif", *self.layers(document))
        self.assertRegex(done.stdout, r"253  unsure +[1-9]")
        file = gdal.Open(str(self.out / "doubt.tif"))
        self.assertEqual(file.GetMetadataItem("class_253"), "unsure")
        self.assertEqual(file.GetRasterBand(1).GetColorTable().GetColorEntry(253), (0x9E, 0x9E, 0x9E, 255))

    def test_nothing_is_lost_by_where_it_is_written(self):
        """Inputs, devices, links, scratch names, and the first of two files when the second fails."""
        slope = self.scene.sources["slope"]["href"]
        mine = self.out / "slope.tif"
        mine.write_bytes(pathlib.Path(slope).read_bytes())
        self.assertIn("is read here", self.classify(mine, "-m", self.scene.model, "-o", mine, status=2).stderr)
        plain = json.loads(json.dumps(self.scene.layer("plain", post=[])))  # the scene's sources stay as they are
        plain["sources"]["slope"]["href"] = str(mine)
        seasons = {"old": {}, "new": {"sources": {"slope": {"href": slope}}}}
        (self.out / "model.tif").write_bytes(pathlib.Path(plain["model"]["href"]).read_bytes())
        document = self.layers(plain, {**plain, "id": "seasons", "seasons": seasons,
                                       "model": {"href": str(self.out / "model.tif")}})
        before = mine.read_bytes()
        for name, more in (("plain", []), ("seasons", ["--season", "new"])):  # another season's, too
            for line in (["-o", mine], ["-o", self.out / "x.tif", "--confidence", mine]):
                self.assertIn("slope.tif is read here", self.classify(name, *line, *more, *document, status=2).stderr)
        self.assertIn("model.tif is read here", self.classify("seasons", "-o", self.out / "model.tif", *document, status=2).stderr)
        self.assertEqual(mine.read_bytes(), before)
        a, pipe, link, dot = (self.out / name for name in ("a.tif", "pipe.tif", "link.tif", "a.tif.tiled"))
        done = self.classify("plain", "-o", a, "--confidence", a, *document, status=2)
        self.assertIn("a file each", done.stderr)
        done = self.classify("plain", "-o", a, "--confidence", f"{self.out}/./a.tif", *document, status=2)
        self.assertIn("a file each", done.stderr)
        os.mkfifo(pipe)
        done = self.classify("plain", "-o", a, "--confidence", pipe, *document, status=2)
        self.assertIn("not a file", done.stderr)
        self.assertFalse(a.exists())
        dot.write_text("mine")
        a.write_text("old")
        link.symlink_to(a)
        self.classify("plain", "-o", link, *document)
        self.assertTrue(link.is_symlink())
        self.assertGreater(a.stat().st_size, 1000)
        self.assertEqual(dot.read_text(), "mine")
        tile = ["render", "plain", "14/9605/9016", "-o", pipe, *document]
        done = subprocess.run([support.program(), *map(str, tile)], capture_output=True, text=True)
        self.assertIn("not a file", done.stderr)
        self.assertTrue(pipe.is_fifo())

    def test_an_interrupted_export_leaves_nothing(self):
        document = self.layers(self.scene.layer("plain", post=[{"op": "majority", "size": 25}]))
        process = subprocess.Popen([support.program(), "classify", "plain", "-o", str(self.out / "x.tif"),
                                    *map(str, document)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        support.wait_until(lambda: list(self.out.glob("x.tif.*")) or process.poll() is not None, "the export has begun")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        self.assertEqual((process.returncode, [p.name for p in self.out.iterdir()]), (1, ["layers"]), said)

    def test_a_folder_that_cannot_be_written_is_said_before_anything_is_classified(self):
        document = self.scene.layer("plain", post=[])
        done = self.classify("plain", "-o", self.out / "no" / "such" / "folder.tif", *self.layers(document), status=2)
        self.assertIn("cannot be written", done.stderr)


if __name__ == "__main__":
    unittest.main()
