"""Layers as people write them: styles that change, extents over the antimeridian, stores that hang."""
import json
import pathlib
import shutil
import signal
import tempfile
import threading
import time
import unittest

import numpy as np

import scene
import support

STYLE = {"id": "two", "title": "Two", "type": "classes", "nodata": 0, "classification:classes": [
    {"value": 10, "name": "ten", "color_hint": "FF0000"}, {"value": 20, "name": "twenty", "color_hint": "00FF00"}]}
RAMP = {"id": "ramp", "title": "Ramp", "type": "ramp", "stops": [[0, "000000"], [100, "6432C8"]]}


def colours(body):
    image = support.decode_image(body).convert("RGBA")
    return {c for _, c in image.getcolors(1 << 16)}


class Folder(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="tilth-layers-")
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.styles = self.folder / "styles"
        shutil.copytree(support.ROOT / "styles", self.styles)

    def classes(self, name, origin, pixel, shape=(512, 512), epsg=4326, options=("COMPRESS=DEFLATE",)):
        path = self.folder / f"{name}.tif"
        land = scene.class_noise(*shape, seed=1, values=np.array([10, 20], np.uint8))
        scene.write_cog(path, land, origin, pixel, epsg, 0, [*options, "OVERVIEW_RESAMPLING=NEAREST"])
        return {"id": name, "title": name, "kind": "raster", "classes": True, "source": {"href": str(path)},
                "styles": ["two"]}

    def write_style(self, document):
        (self.styles / f"{document['id']}.json").write_text(json.dumps(document))


class Styles(Folder):
    def test_a_style_that_was_edited_shows_on_tiles_that_were_cached_before(self):
        self.write_style(STYLE)
        layer = self.classes("land", (31, -17), 0.0001)
        path = scene.path_of("land", scene.tile_of(31.02, -17.02, 14))
        home = self.folder / "home"
        home.mkdir()
        tilth = support.Tilth([layer], folder=home, styles_dir=self.styles)
        with tilth:
            before = tilth.get(path)
            self.assertEqual(colours(before.body), {(255, 0, 0, 255), (0, 255, 0, 255)})
        edited = json.loads(json.dumps(STYLE))
        edited["classification:classes"][0]["color_hint"] = "123456"
        self.write_style(edited)
        again = support.Tilth([layer], folder=home, styles_dir=self.styles)
        with again:
            after = again.get(path)
            self.assertEqual(after.headers["x-cache"], "HIT")
            self.assertEqual(colours(after.body), {(0x12, 0x34, 0x56, 255), (0, 255, 0, 255)})
            self.assertNotEqual(after.headers["etag"], before.headers["etag"])

    def test_a_style_whose_classes_moved_shows_the_same_on_tiles_that_were_cached_before(self):
        """Cached tiles hold places in a list of classes, not values."""
        path = scene.path_of("land", scene.tile_of(31.02, -17.02, 14))
        layer = self.classes("land", (31, -17), 0.0001)
        home = self.folder / "home"
        home.mkdir()
        shown = []
        for first in ([], [{"value": 5, "name": "five", "color_hint": "0000FF"}]):
            moved = first + STYLE["classification:classes"][::-1 if first else 1]
            self.write_style({**STYLE, "classification:classes": moved})
            with support.Tilth([layer], folder=home, styles_dir=self.styles) as tilth:
                shown.append(tilth.get(path).image().convert("RGBA").tobytes())
        self.assertEqual(shown[0], shown[1])

    def test_rgb_stretches_the_bands_that_the_style_names_and_hides_nodata(self):
        self.write_style({"id": "three", "title": "Three", "type": "rgb", "bands": [3, 1, 2],
                          "range": [[0, 100], [0, 200], [-50, 50]]})
        values = np.empty((3, 256, 256), np.float32)
        values[:] = np.array([50, 0.7, 33])[:, None, None]
        values[1, :, :64] = -1  # nodata in one of the three is nodata
        scene.write_cog(self.folder / "rgb.tif", values, (31, -17), 0.0001, nodata=-1)
        layer = {"id": "rgb", "kind": "raster", "source": {"href": str(self.folder / "rgb.tif")}, "styles": ["three"]}
        path = scene.path_of("rgb", scene.tile_of(31.0064, -17.0064, 18))
        with support.Tilth([layer], styles_dir=self.styles) as tilth:
            for end in ("png", "webp"):
                shown = colours(tilth.get(path.replace("png", end)).body)
                if end == "png":  # 84.15, 63.75 and 129.3: fractions are cut off
                    self.assertEqual(shown, {(84, 63, 129, 255), (0, 0, 0, 0)})
                self.assertEqual({alpha for *_, alpha in shown}, {0, 255})

    def test_a_ramp_colours_numbers(self):
        self.write_style(RAMP)
        values = np.full((2, 256, 256), 50, np.float32)
        values[1] = 100
        scene.write_cog(self.folder / "numbers.tif", values, (31, -17), 0.0001, nodata=-1)
        layer = {"id": "numbers", "kind": "raster", "source": {"href": str(self.folder / "numbers.tif")},
                 "styles": ["ramp", "second"]}
        self.write_style({**RAMP, "id": "second", "band": 2})
        path = scene.path_of("numbers", scene.tile_of(31.0128, -17.0128, 18))
        with support.Tilth([layer], styles_dir=self.styles) as tilth:
            self.assertEqual(colours(tilth.get(path).body), {(50, 25, 100, 255)})
            self.assertEqual(colours(tilth.get(path + "?style=second").body), {(100, 50, 200, 255)})


class Extents(Folder):
    def full(self, tilth, layer, lon, lat, zoom):
        body = tilth.get(scene.path_of(layer, scene.tile_of(lon, lat, zoom))).body
        return bool(colours(body) - {(0, 0, 0, 0)})

    def test_a_raster_over_the_antimeridian_shows_on_both_sides(self):
        self.write_style(STYLE)
        layers = [self.classes("pacific", (170, 10), 0.04, (500, 500)),
                  self.classes("around", (0, 80), 0.5, (320, 720)),
                  self.classes("fiji", (300000, 8250000), 500, (512, 1400), 32760),
                  self.classes("south", (-3000000, 3000000), 12000, (500, 500), 3031)]
        with support.Tilth(layers, styles_dir=self.styles) as tilth:
            for layer, lon, lat in [("pacific", 172, 5), ("pacific", -172, 5), ("around", -10, 5), ("around", 10, 5),
                                    ("around", 179.9, 5), ("around", -179.9, 5), ("fiji", 178, -17),
                                    ("fiji", -179, -17), ("south", -170, -80), ("south", 10, -80)]:
                for zoom in (5, 9):
                    with self.subTest(layer=layer, lon=lon, zoom=zoom):
                        self.assertTrue(self.full(tilth, layer, lon, lat, zoom))
            self.assertTrue(tilth.get("/layers/pacific/point/-175,5").json()["inside"])
            self.assertFalse(tilth.get("/layers/pacific/point/160,5").json()["inside"])
            self.assertFalse(self.full(tilth, "pacific", 160, 5, 9))
            for layer in layers:
                document = tilth.get(f"/layers/{layer['id']}/tilejson.json").json()
                west, south, east, north = document["bounds"]
                self.assertTrue(-180 <= west < east <= 180 and -90 <= south < north <= 90, document["bounds"])
            self.assertEqual(tilth.get("/layers/fiji/tilejson.json").json()["tilth:native_zoom"], 8)


class Overviews(Folder):
    """Overviews that were averaged hold classes that are not there: a layer that knows of classes does not use them."""

    MIDDLE = scene.tile_of(31.1, -17.1, 12)  # a pixel of it is more than three of the raster

    def averaged(self, name):
        path = str(self.folder / f"{name}.tif")
        fields = scene.class_noise(2049, 2049, seed=1, values=np.array([10, 20], np.uint8))[1:, 1:]  # of odd edges
        scene.write_cog(path, fields, (31, -17), 0.0001, nodata=0, options=["COMPRESS=DEFLATE", "OVERVIEW_RESAMPLING=AVERAGE"])
        raster = scene.reference.gdal.Open(path)
        self.assertIn(15, raster.GetRasterBand(1).GetOverview(0).ReadAsArray())
        return {"id": name, "title": name, "kind": "raster", "classes": True, "source": {"href": path}, "styles": ["two"]}

    def test_a_class_raster_shows_classes_at_every_zoom(self):
        self.write_style(STYLE)
        with support.Tilth([self.averaged("averaged")], styles_dir=self.styles) as tilth:
            shown = colours(tilth.get(scene.path_of("averaged", self.MIDDLE)).body)
        self.assertEqual(shown, {(255, 0, 0, 255), (0, 255, 0, 255)})

    def test_a_mask_keeps_what_it_keeps_at_every_zoom(self):
        baseline = self.averaged("baseline")["source"]["href"]
        rng = np.random.default_rng(1)
        scene.write_cog(self.folder / "s.tif", rng.random((2, 2048, 2048), np.float32), (31, -17), 0.0001)
        scene.write_forest(self.folder / "m.tilth", ["a", "b"], [{"value": 4, "name": "four", "color": "112233"},
                                                                 {"value": 5, "name": "five", "color": "AABBCC"}],
                           rng.random((300, 2)).astype(np.float32), trees=3, depth=3)
        layer = {"id": "masked", "kind": "prediction", "grid": {"like": "s"},
                 "sources": {"s": {"href": str(self.folder / "s.tif"), "bands": {"a": 1, "b": 2}}, "base": {"href": baseline}},
                 "model": {"href": str(self.folder / "m.tilth")}, "features": {"a": "s.a", "b": "s.b"},
                 "mask": {"source": "base", "keep": [10, 20]}, "below_native": {"budget_blocks": 0}}
        with support.Tilth([layer], styles_dir=self.styles) as tilth:
            answer = tilth.get(scene.path_of("masked", self.MIDDLE))
        self.assertEqual(answer.headers["x-tilth-exact"], "0")
        self.assertEqual(colours(answer.body), {(0x11, 0x22, 0x33, 255), (0xAA, 0xBB, 0xCC, 255)})


class Starting(Folder):
    """What is not there is known when the server starts; the others do not care."""

    def test_layers_that_cannot_be_opened_are_told_at_start_and_listed(self):
        self.write_style(STYLE)
        good, late = self.classes("good", (31, -17), 0.0001), self.classes("late", (31, -17), 0.0001)
        path = pathlib.Path(late["source"]["href"])
        path.rename(self.folder / "away.tif")
        few = {**good, "id": "few", "source": {"href": good["source"]["href"], "bands": {"a": 9}}}
        with support.ObjectServer({}) as store:
            remote = {**good, "id": "remote", "source": {"href": f"{store.base}/absent.tif"}}
            wrong = {**good, "id": "wrong", "styles": ["absent"]}
            with support.Tilth([good, late, few, remote, wrong], styles_dir=self.styles) as tilth:
                ready = lambda: tilth.get("/readyz").json()
                support.wait_until(lambda: len(ready()["closed"]) == 2, "both are known")
                self.assertEqual(tilth.get("/readyz").status, 200)
                self.assertEqual(ready(), {"status": "ready", "layers": 4, "refused": 1, "closed": ["few", "late"]})
                self.assertEqual([tilth.metric(f"tilth_layers{end}") for end in ("", "_closed", "_refused")], [4, 2, 1])
                support.wait_until(lambda: len(tilth.troubles()) == 2, "both are told")
                self.assertRegex(json.dumps(tilth.troubles()), r"layer few: band 9 .*layer late: \S+late.tif: No such file")
                self.assertEqual(store.requests, [], "a store is asked by who looks")
                tile = scene.tile_of(31.02, -17.02, 14)
                self.assertEqual([tilth.get(scene.path_of(x, tile)).status for x in ("good", "late")], [200, 502])
                (self.folder / "away.tif").rename(path)
                support.wait_until(lambda: tilth.get(scene.path_of("late", tile)).status == 200, "it is there")
                self.assertEqual(ready()["closed"], ["few"])

    def test_one_that_refused_every_document_is_not_ready(self):
        with support.Tilth([{"id": "a"}, {"id": "b"}], styles_dir=self.styles) as tilth:
            answer = tilth.get("/readyz")
            self.assertEqual((answer.status, answer.json()["status"], answer.json()["refused"]), (503, "no layer", 2))
            self.assertEqual(tilth.get("/healthz").status, 200)
        with support.Tilth([], styles_dir=self.styles) as tilth:
            self.assertEqual(tilth.get("/readyz").status, 200)


WORKERS = 6  # either of two layers could hold them all
WEST, NORTH, PIXEL, BLOCK = 31, -17, 0.0001, 128


def tile_in_block(col, row):
    """A small tile in the middle of one block."""
    return scene.tile_of(WEST + (col + 0.5) * BLOCK * PIXEL, NORTH - (row + 0.5) * BLOCK * PIXEL, 17)


class Hanging(Folder):
    """A store that takes connections and says nothing: stopped, not ended."""

    def setUp(self):
        super().setUp()
        self.write_style(STYLE)
        self.store = scene.FakeS3()
        self.store.__enter__()
        self.addCleanup(self.store.__exit__)
        self.addCleanup(self.store.process.send_signal, signal.SIGCONT)
        # The first look brings the index and the first two blocks; every other block is a request of its own.
        far = {"shape": (8 * BLOCK, 8 * BLOCK), "options": ("COMPRESS=NONE", f"BLOCKSIZE={BLOCK}", "OVERVIEWS=NONE")}
        self.local = self.classes("local", (WEST, NORTH), PIXEL)
        self.remote = []
        for i in range(2):
            layer = self.classes(f"remote{i}", (WEST, NORTH), PIXEL, **far)
            self.store.put("bucket", f"{i}.tif", pathlib.Path(layer["source"]["href"]).read_bytes())
            self.remote.append({**layer, "source": {"href": f"s3://bucket/{i}.tif"}})

    def test_layers_that_hang_leave_workers_for_the_others_and_cached_tiles_to_everyone(self):
        with support.Tilth([self.local, *self.remote], styles_dir=self.styles, revalidate="1 s", workers=WORKERS,
                           render_deadline="8 s", fetch_timeout="8 s",
                           **scene.store_settings(self.store)) as tilth:
            for layer in self.remote:
                self.assertEqual(tilth.get(scene.path_of(layer["id"], tile_in_block(0, 1))).status, 200)
            self.store.process.send_signal(signal.SIGSTOP)
            time.sleep(1.2)  # the versions are due to be checked
            cached = tilth.get(scene.path_of("remote0", tile_in_block(0, 1)))
            self.assertEqual((cached.status, cached.headers["x-cache"]), (200, "HIT"))
            asked = [scene.path_of(layer["id"], tile_in_block(col, 4)) for layer in self.remote for col in range(WORKERS)]
            answered = []
            waiting = [threading.Thread(target=lambda p=path: answered.append(tilth.get(p).status)) for path in asked]
            for thread in waiting:
                thread.start()
            time.sleep(0.3)
            ours = threading.Thread(target=lambda: answered.append(tilth.get(scene.path_of("local", tile_in_block(0, 0)))))
            ours.start()
            ours.join(6)  # before the first of the others can give up
            self.assertEqual([a if isinstance(a, int) else (a.status, a.headers["x-cache"]) for a in answered], [(200, "MISS")])
            self.store.process.send_signal(signal.SIGCONT)
            for thread in waiting:
                thread.join()


if __name__ == "__main__":
    unittest.main()
