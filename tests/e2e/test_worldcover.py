"""ESA WorldCover, 36000 x 36000 pixels over Sao Tome and Principe, served from S3 at every zoom and held
against GDAL's exact warp. The object lies in a MinIO, or in the scripted S3 where there is no MinIO.
"""
import concurrent.futures
import json
import re
import shutil
import subprocess
import unittest

import numpy as np
from osgeo import gdal

import scene
import support

COG = support.SHARED / "worldcover" / "ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"
KEY = "worldcover/n00e006.tif"
HREF = "s3://baselines/" + KEY
WEST, NORTH, DEGREES = 6.0, 3.0, 3.0
# Names say what is there: the two islands inside and at their coasts, the sea, the corners of the file.
PLACES = {"sao tome": (6.62, 0.25), "its north": (6.66, 0.405), "its airport": (6.712, 0.378),
          "rolas": (6.521, -0.001), "principe": (7.40, 1.60), "its south": (7.37, 1.53), "sea": (8.0, 2.2),
          "north west": (6.0, 3.0), "north east": (9.0, 3.0), "south west": (6.0, 0.0), "south east": (9.0, 0.0)}
ZOOMS = range(17)


def layer(layer_id="worldcover", href=HREF, **more):
    return {"id": layer_id, "title": "ESA WorldCover 2021", "kind": "raster", "role": "baseline",
            "classes": True, "source": {"href": href, "bands": {"map": 1}},
            "styles": ["esa-worldcover", "greys"], "resampling": "nearest", "zoom": {"min": 0, "max": 18}, **more}


def greys():
    """A second look at the same classes."""
    classes = [{"value": v, "name": f"class-{v}", "title": str(v), "color_hint": "%02X%02X%02X" % (v, v, v + 1)}
               for v in (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100)]
    return {"id": "greys", "title": "Greys", "type": "classes", "nodata": 0, "classification:classes": classes}


def styles_folder(case):
    folder = scene.temporary_folder(case)
    for path in (support.ROOT / "styles").glob("*.json"):
        shutil.copy(path, folder)
    (folder / "greys.json").write_text(json.dumps(greys()))
    return folder


def tiles():
    """Every zoom, the tile over every place; from z9 on also the neighbours of the busiest coast."""
    found = []
    for z in ZOOMS:
        found += [scene.tile_of(lon + 1e-7, lat - 1e-7, z) for lon, lat in PLACES.values()]
        if z >= 9:
            _, x, y = scene.tile_of(*PLACES["its airport"], z)
            found += [(z, x + 1, y), (z, x, y + 1)]
    return list(dict.fromkeys(found))


class Oracle:
    """The file as GDAL sees it: levels, and the exact warp of one of them."""

    def __init__(self):
        self.datasets = [gdal.Open(str(COG))]
        band = self.datasets[0].GetRasterBand(1)
        for i in range(band.GetOverviewCount()):
            self.datasets.append(gdal.OpenEx(str(COG), open_options=[f"OVERVIEW_LEVEL={i}"]))
        self.widths = [dataset.RasterXSize for dataset in self.datasets]
        self.values = set(np.unique(band.GetOverview(0).ReadAsArray())) | {0}

    def level(self, z, x, y, size):
        """The coarsest level whose pixels are not larger than the tile's, within 1 %."""
        across = 360 / (size << z)
        _, lat = scene.tile_lonlat(z, x, y, 1)
        tile_pixel = across * np.sqrt(np.cos(np.radians(lat[0])))
        fitting = [i for i, width in enumerate(self.widths) if DEGREES / width <= tile_pixel * 1.01]
        return max(fitting, default=0)

    def warp(self, tile, size):
        """(level, classes of the tile) by GDAL, errorThreshold 0."""
        level = self.level(*tile, size)
        warped = gdal.Warp("", self.datasets[level], format="MEM", dstSRS="EPSG:3857",
                           outputBounds=scene.tile_bounds(*tile), width=size, height=size, resampleAlg="near",
                           errorThreshold=0, overviewLevel="NONE", srcNodata=0, dstNodata=0)
        return level, warped.ReadAsArray()

    def positions(self, tile, level, size):
        """Column and row of each pixel's centre, in pixels of the level."""
        lon, lat = scene.tile_lonlat(*tile, size)
        width = self.widths[level]
        return (lon - WEST) / DEGREES * width, (NORTH - lat) / DEGREES * width

    def pick(self, level, col, row):
        """The class of the pixel that holds a position; 0 outside."""
        dataset, col, row = self.datasets[level], int(np.floor(col)), int(np.floor(row))
        if not (0 <= col < dataset.RasterXSize and 0 <= row < dataset.RasterYSize):
            return 0
        return int(dataset.GetRasterBand(1).ReadAsArray(col, row, 1, 1)[0, 0])


class FromS3(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not COG.exists():
            raise unittest.SkipTest(f"{COG.name} is absent: ../shared/data is not there")
        cls.store, cls.is_minio = cls.enterClassContext(scene.any_s3())
        scene.put_object(cls.store, "baselines", KEY, COG.read_bytes())
        cls.settings = {**scene.store_settings(cls.store), "styles_dir": styles_folder(cls)}
        cls.folder = scene.temporary_folder(cls)
        cls.tilth = scene.serve(cls, [layer()], folder=cls.folder, **cls.settings)
        cls.legend = scene.Legend.of(cls.tilth, "worldcover", nothing=0)
        cls.oracle = Oracle()

    def tile(self, tile, end=".png", query=""):
        answer = self.tilth.get(scene.path_of("worldcover", tile, end) + query)
        self.assertEqual(answer.status, 200, (tile, answer.body[:300]))
        return answer

    def wrong_picks(self, tile, got, size):
        """How many nearest picks are not GDAL's. Each of them must be what GDAL would pick at most 0.125 pixels
        of the source away."""
        level, wanted = self.oracle.warp(tile, size)
        col, row = self.oracle.positions(tile, level, size)
        differ = np.argwhere(got != wanted)
        for y, x in differ:
            near = {self.oracle.pick(level, col[x] + dx, row[y] + dy)
                    for dx in (-0.125, 0, 0.125) for dy in (-0.125, 0, 0.125)}
            self.assertIn(got[y, x], near, f"{tile}: pixel {x},{y} is not GDAL's {wanted[y, x]}, at "
                                           f"{col[x]:.4f},{row[y]:.4f} of level {level}")
        return len(differ)

    def test_the_store_is_a_real_minio(self):
        if not self.is_minio:
            self.skipTest("no MinIO: the scripted S3 stands in")

    def test_every_zoom_is_gdals_exact_warp(self):
        wrong = total = busy = 0
        for tile in tiles():
            got = self.legend.values(self.tile(tile).body)
            self.assertEqual(got.shape, (256, 256))
            self.assertLessEqual(set(np.unique(got)), self.oracle.values, f"{tile} invents a class")
            wrong += self.wrong_picks(tile, got, 256)
            total += got.size
            busy += len(np.unique(got)) > 2
        self.assertGreater(busy, 40, "the tiles show too little to say anything")
        self.assertLessEqual(wrong / total, 0.0002, f"{wrong} of {total} nearest picks differ")
        print(f"\n{len(tiles())} tiles, {busy} of them busy: {wrong} of {total} nearest picks differ from GDAL's")

    def test_double_size_is_gdals_exact_warp_too(self):
        wrong = total = 0
        for tile in [t for t in tiles() if t[0] in (5, 8, 10, 12, 13, 14)]:
            got = self.legend.values(self.tile(tile, "@2x.png").body)
            self.assertEqual(got.shape, (512, 512))
            wrong += self.wrong_picks(tile, got, 512)
            total += got.size
        self.assertLessEqual(wrong / total, 0.0002, f"{wrong} of {total} nearest picks differ")

    def test_webp_is_the_png_and_jpg_is_close(self):
        for tile in (scene.tile_of(*PLACES["its airport"], z) for z in (0, 9, 12, 15)):
            rgba = np.asarray(self.tile(tile).image().convert("RGBA")).copy()
            webp = np.asarray(self.tile(tile, ".webp").image().convert("RGBA")).copy()
            for image in (rgba, webp):
                image[image[..., 3] == 0] = 0
            np.testing.assert_array_equal(webp, rgba)
            jpg = np.asarray(self.tile(tile, ".jpg").image().convert("RGB")).astype(int)
            seen = rgba[..., 3] == 255
            self.assertEqual(jpg.shape, (256, 256, 3))
            if seen.any():
                self.assertLess(np.abs(jpg - rgba[..., :3])[seen].mean(), 40)

    def test_nothing_is_one_constant(self):
        """Outside of the file, and inside of it where there is no data."""
        far = [self.tile(t) for t in ((9, 0, 0), (14, 3, 16000), (16, 65535, 65535), (1, 0, 1))]
        self.assertEqual(len({answer.body for answer in far}), 1)
        self.assertLess(len(far[0].body), 200)
        self.assertEqual(self.legend.values(far[0].body).max(), 0)
        inside = self.tile(scene.tile_of(*PLACES["sea"], 13))
        self.assertEqual(inside.body, far[0].body)
        double = self.tile((9, 0, 0), "@2x.png")
        self.assertEqual((double.image().size, self.legend.values(double.body).max()), ((512, 512), 0))

    def test_a_uniform_tile_is_a_constant_of_its_class(self):
        found = {}
        for tile in scene.tiles_over((6.58, 0.18, 6.64, 0.26), 16):
            answer = self.tile(tile)
            values = np.unique(self.legend.values(answer.body))
            if len(values) == 1:
                found.setdefault(int(values[0]), set()).add(answer.body)
                self.assertEqual(set(np.unique(self.oracle.warp(tile, 256)[1])), set(values))
        self.assertTrue(found, "no uniform tile in the forest of Sao Tome")
        for value, bodies in found.items():
            self.assertEqual(len(bodies), 1, value)
            self.assertLess(len(bodies.pop()), 300)

    def test_style_and_filter_change_colours_and_nothing_else(self):
        tile = scene.tile_of(*PLACES["its airport"], 13)
        plain, grey = self.tile(tile).body, self.tile(tile, query="?style=greys").body
        only = self.tile(tile, query="?classes=10,built").body
        both = self.tile(tile, query="?style=greys&classes=50").body
        pixels = [[data for name, data in scene.png_chunks(body) if name not in ("PLTE", "tRNS")]
                  for body in (plain, grey, only, both)]
        self.assertEqual(pixels[1:], pixels[:1] * 3)
        wanted = self.legend.values(plain)
        greys = scene.Legend.of(self.tilth, "worldcover", 0, "greys")
        np.testing.assert_array_equal(greys.values(grey), wanted)
        np.testing.assert_array_equal(self.legend.values(only), np.where(np.isin(wanted, (10, 50)), wanted, 0))
        np.testing.assert_array_equal(greys.values(both), np.where(wanted == 50, wanted, 0))

    def test_an_etag_holds_across_a_restart(self):
        paths = [scene.path_of("worldcover", scene.tile_of(*PLACES["its airport"], z), end)
                 for z in (3, 10, 14) for end in (".png", ".png?style=greys", ".webp", "@2x.png")]
        with support.Tilth([layer()], **self.settings) as tilth:
            before = {path: tilth.get(path) for path in paths}
            self.assertEqual({a.status for a in before.values()}, {200})
            self.assertEqual(len({a.headers["etag"] for a in before.values()}), len(paths))
            self.assertEqual(tilth.stop(), 0)
            tilth.start()
            for path, first in before.items():
                again = tilth.get(path, headers={"If-None-Match": first.headers["etag"]})
                self.assertEqual((again.status, again.body), (304, b""), path)
                self.assertEqual(again.headers["etag"], first.headers["etag"])
                self.assertEqual(again.headers["x-cache"], "HIT")
                self.assertEqual(tilth.get(path).body, first.body)
            self.assertEqual(tilth.metric("tilth_render_seconds_count"), 0)

    def test_a_point_is_the_class_under_it(self):
        for lon, lat in ((6.62, 0.25), (6.7312, 0.3361), (7.4, 1.6), (8.0, 2.2)):
            document = self.tilth.get(f"/layers/worldcover/point/{lon},{lat}").json()
            wanted = self.oracle.pick(0, (lon - WEST) / DEGREES * 36000, (NORTH - lat) / DEGREES * 36000)
            self.assertEqual(document.get("value", 0), wanted, document)
            self.assertTrue(document["inside"])
        self.assertFalse(self.tilth.get("/layers/worldcover/point/5.9,1").json()["inside"])


class Cold(unittest.TestCase):
    """What is asked of the store, counted by the scripted S3."""

    def setUp(self):
        if not COG.exists():
            self.skipTest(f"{COG.name} is absent: ../shared/data is not there")
        self.store = self.enterContext(scene.FakeS3())
        self.store.put("baselines", KEY, COG.read_bytes())

    def ranges(self):
        """(first, last) of every GET so far, in order; whatever was not 206 fails the test."""
        found = []
        for entry in self.store.log():
            self.assertEqual(entry["status"], 206, entry)
            first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", entry["range"]).groups()
            self.assertEqual(entry["bytes"], min(int(last), COG.stat().st_size - 1) - int(first) + 1)
            found.append((int(first), int(last)))
        return found

    def settings(self):
        return {"styles_dir": styles_folder(type(self)), "block_pool": "256 MiB",
                **scene.store_settings(self.store)}

    def check_no_byte_twice(self):
        fetched = sorted(self.ranges())
        self.assertEqual(sum(first == 0 for first, _ in fetched), 1, "the header is read once")
        for (first, last), (after, _) in zip(fetched, fetched[1:]):
            self.assertLess(last, after, f"bytes {after} to {last} were fetched twice")
        return fetched

    def test_a_cold_open_is_one_get(self):
        options = [f"--{key.replace('_', '-')}={value}" for key, value in scene.store_settings(self.store).items()]
        done = subprocess.run([support.program(), "check", HREF, *options], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("opened with  1 request,", done.stdout)
        self.assertEqual(len(self.ranges()), 1)

    def test_no_byte_is_fetched_twice(self):
        with support.Tilth([layer()], **self.settings()) as tilth:
            self.assertEqual(self.ranges(), [], "a layer that nobody looks at costs no request")
            for tile in tiles():
                self.assertEqual(tilth.get(scene.path_of("worldcover", tile)).status, 200)
            self.assertGreater(len(self.check_no_byte_twice()), 5)
            before = len(self.ranges())
            for tile in tiles():
                tilth.get(scene.path_of("worldcover", tile, ".webp"))
            self.assertEqual(len(self.ranges()), before, "blocks in memory are not fetched again")

    def test_neighbours_asked_together_share_their_bytes(self):
        """A cold viewport of 24 tiles at once: still no byte twice."""
        view = scene.tiles_over((6.60, 0.20, 6.72, 0.30), 13)
        with support.Tilth([layer()], **self.settings()) as tilth, \
                concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda t: tilth.get(scene.path_of("worldcover", t)), view))
            self.assertEqual({a.status for a in answers}, {200})
            self.check_no_byte_twice()


if __name__ == "__main__":
    unittest.main()
