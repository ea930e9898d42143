"""Whatever is wrong with a request, a file, a model or a store: a clear error with the right status, no crash,
no failure that is kept, and above all no wrong pixel.
"""
import concurrent.futures
import json
import os
import random
import resource
import shutil
import signal
import time
import unittest

import numpy as np
from osgeo import gdal

import scene
import support

WEST, NORTH, PIXEL = 30.0, -17.0, 1 / 4096
SIZE = 1000  # 2 x 2 blocks of 512, the last ones cut, and two overviews
TILE = scene.tile_of(WEST + SIZE * PIXEL / 2, NORTH - SIZE * PIXEL / 2, 13)


def land_tiles(z=13):
    """Every tile of a zoom over the small raster."""
    return scene.tiles_over((WEST, NORTH - SIZE * PIXEL, WEST + SIZE * PIXEL, NORTH), z)


def write_land(path, seed=1, values=scene.CLASS_VALUES, options=("COMPRESS=DEFLATE", "BLOCKSIZE=512")):
    """A small class COG; `values` tells generations apart."""
    label = scene.class_noise(SIZE, SIZE, seed, values)
    label[:40, :40] = 0
    scene.write_cog(path, label, (WEST, NORTH), PIXEL, nodata=0,
                    options=[*options, "OVERVIEW_RESAMPLING=NEAREST"])
    return label


def layer(href, layer_id="land", **more):
    return support.land_layer(href, layer_id, **more)


class Grid:
    """The pixel of the small raster under every pixel of a tile, as an index into its label; -1 outside."""

    def __init__(self, tile):
        lon, lat = scene.tile_lonlat(*tile)
        col = np.floor((lon - WEST) / PIXEL).astype(int)
        row = np.floor((NORTH - lat) / PIXEL).astype(int)
        self.col, self.row = np.meshgrid(col, row)
        self.inside = (self.col >= 0) & (self.col < SIZE) & (self.row >= 0) & (self.row < SIZE)

    def pixels(self, label):
        out = np.zeros(self.col.shape, np.uint8)
        out[self.inside] = label[self.row[self.inside], self.col[self.inside]]
        return out


class Requests(unittest.TestCase):
    """Wrong wishes of a client."""

    @classmethod
    def setUpClass(cls):
        folder = scene.temporary_folder(cls)
        write_land(folder / "land.tif")
        seasons = {"2023-24": {"start": "2023-11-01", "end": "2024-05-01"},
                   "2024-25": {"start": "2024-11-01", "end": "2025-05-01", "href": str(folder / "land.tif")}}
        cls.tilth = scene.serve(cls, [layer(folder / "land.tif"),
                                      layer(folder / "land.tif", "seasons", seasons=seasons,
                                            zoom={"min": 5, "max": 14})])

    def problem(self, path, status, *words, **more):
        return scene.is_problem(self, self.tilth.get(path, **more), status, *words)

    def test_unknown_things_are_404_and_say_what_is_known(self):
        path = scene.path_of("land", TILE)
        self.problem(path.replace("land", "lnad"), 404, "lnad", "/layers")
        self.problem(path.replace(".png", ".tif"), 404, "tif", "png")
        self.problem(path + "?style=nope", 404, "nope", "esa-worldcover")
        self.problem("/layers/nope/tilejson.json", 404, "nope")
        self.problem("/layers/nope/legend.png", 404, "nope")
        self.problem("/layers/nope/point/30,-17", 404, "nope")
        self.problem("/layers/land/tiles/WorldCRS84Quad/1/0/0.png", 404, "WebMercatorQuad")
        self.problem("/styles/nope", 404, "nope")

    def test_zoom_and_place_have_limits(self):
        z, x, y = TILE
        self.problem(f"/tiles/land/{z}/{2 ** z}/{y}.png", 404, "column", str(2 ** z - 1))
        self.problem(f"/tiles/land/{z}/{x}/{2 ** z}.png", 404, "row")
        self.problem("/tiles/land/19/0/0.png", 404, "zoom", "18")
        self.problem("/tiles/land/99/0/0.png", 404, "99")
        self.problem("/tiles/seasons/4/0/0.png", 404, "5", "14")
        self.problem("/tiles/seasons/15/0/0.png", 404, "14")
        self.problem(f"/tiles/land/{z}/{x}/99999999999.png", 400, "y")
        self.problem(f"/tiles/land/{z}/-1/{y}.png", 400, "x")
        self.problem(f"/tiles/land/{z}/1.5/{y}.png", 400, "x")
        self.problem("/layers/land/point/200,0", 400, "longitude")
        self.problem("/layers/land/point/0", 400, "longitude")

    def test_seasons_and_queries_are_checked(self):
        z, x, y = TILE
        path = f"/tiles/seasons/{z}/{x}/{y}.png"
        self.assertEqual(self.tilth.get(path + "?season=2024-25").status, 200)
        self.problem(path + "?season=2019", 404, "2019", "/layers/seasons")
        self.problem(path + "?date=2019-01-01", 404, "2019-01-01")
        self.problem(path + "?season=2023-24&date=2024-01-01", 400, "not both")
        self.problem(path + "?sesaon=2024-25", 400, "season")
        self.problem(path + "?classes=unicorn", 400, "unicorn")
        self.problem(path + "?classes=999", 400, "999")
        self.problem(path + "?style=a&style=b", 400, "twice")
        self.problem(scene.path_of("land", TILE) + "?season=2024-25", 404, "2024-25")
        self.problem("/layers/seasons/point/30.1,-17.1?season=2019", 404, "2019")

    def test_five_hundred_mutated_addresses_are_refused_or_answered(self):
        rng = random.Random(7)
        good = [scene.path_of("land", TILE), "/layers/land/tiles/WebMercatorQuad/13/4779/4488@2x.webp?style=x",
                "/layers/land/point/30.1,-17.1", "/layers/seasons/tilejson.json?season=2024-25",
                "/layers/land/legend.json?classes=10", "/styles/esa-worldcover", "/layers", "/healthz"]
        seen = {}
        for _ in range(500):
            path = list(rng.choice(good))
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(1, len(path))
                how = rng.randrange(4)
                if how == 0:
                    path[at] = chr(rng.randrange(0x21, 0x7f))
                elif how == 1:
                    path.insert(at, rng.choice(["%00", "%ff", "..", "//", "%2f", "?", "&", "=", "-", "9" * 30, "#",
                                                "%", "a" * 9000, ";", "\\"]))
                elif how == 2:
                    del path[at:at + rng.randint(1, 5)]
                else:
                    path[at:at] = path[at - 1:at + 4]
                if len(path) < 2:
                    path = list("/x")
            path = "".join(path)
            answer = self.tilth.get(path)
            self.assertIn(answer.status, (200, 301, 400, 404, 405, 414), path[:200])
            if answer.status >= 400:
                self.assertEqual(answer.headers["cache-control"], "no-store", path[:200])
            seen[answer.status] = seen.get(answer.status, 0) + 1
        self.assertGreater(seen.get(400, 0), 20)
        self.assertGreater(seen.get(404, 0), 100)
        self.assertEqual(self.tilth.get("/healthz").status, 200)


class Files(unittest.TestCase):
    """Damaged rasters. Many in one server: each layer has a damage of its own."""

    def serve(self, layers, **settings):
        return self.enterContext(support.Tilth(layers, **settings))

    def check_mutants(self, folder, mutants, label, right=(502,)):
        """`mutants`: bytes of files. Every tile is the original's, or an error. -> statuses."""
        layers = []
        for i, data in enumerate(mutants):
            (folder / f"m{i}.tif").write_bytes(data)
            layers.append(layer(folder / f"m{i}.tif", f"m{i}"))
        statuses = {}
        with support.Tilth(layers, access_log="") as tilth:
            legend = scene.Legend.of(tilth, "m0", nothing=0)
            tiles = [TILE, scene.tile_of(WEST + 0.01, NORTH - 0.01, 14)]
            paths = [(i, tile) for i in range(len(mutants)) for tile in tiles]
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda p: tilth.get(scene.path_of(f"m{p[0]}", p[1])), paths))
            for (i, tile), answer in zip(paths, answers):
                statuses[answer.status] = statuses.get(answer.status, 0) + 1
                if answer.status == 200:
                    got = legend.values(answer.body)
                    wanted = Grid(tile).pixels(label)
                    self.assertTrue((got == wanted).all(), f"mutant {i}, tile {tile}: wrong pixels, "
                                                           f"{(got != wanted).sum()} of them")
                else:
                    scene.is_problem(self, answer, right)
            self.assertEqual(tilth.get("/healthz").status, 200)
            self.assertEqual(tilth.stop(), 0)
        return statuses

    def test_a_truncated_cog_is_the_original_or_an_error(self):
        folder = scene.temporary_folder(type(self))
        label = write_land(folder / "land.tif")
        data = (folder / "land.tif").read_bytes()
        rng = random.Random(3)
        ends = [0, 1, 4, 7, 8, 9, 15, 16, 100, 192, 200, 400, 800, len(data) - 1, len(data) - 4, len(data) - 5]
        ends += [rng.randrange(len(data)) for _ in range(64)]
        statuses = self.check_mutants(folder, [data[:end] for end in ends], label)
        self.assertGreater(statuses.get(502, 0), 30)

    def test_flipped_bits_in_blocks_are_the_original_or_an_error(self):
        """DEFLATE ends in a checksum of the block."""
        folder = scene.temporary_folder(type(self))
        label = write_land(folder / "land.tif")
        data = (folder / "land.tif").read_bytes()
        first = min(start for start, _ in self.blocks(folder / "land.tif"))
        rng = random.Random(4)
        mutants = []
        for _ in range(80):
            mutant = bytearray(data)
            mutant[rng.randrange(first, len(data))] ^= 1 << rng.randrange(8)
            mutants.append(bytes(mutant))
        statuses = self.check_mutants(folder, mutants, label)
        self.assertGreater(statuses.get(502, 0), 20)

    @staticmethod
    def blocks(path):
        """(offset, size) of every block of every level."""
        found = []
        dataset = gdal.Open(str(path))
        bands = [dataset.GetRasterBand(1)]
        bands += [bands[0].GetOverview(i) for i in range(bands[0].GetOverviewCount())]
        for level, band in enumerate(bands):
            across, down = band.GetBlockSize()
            for y in range(-(-band.YSize // down)):
                for x in range(-(-band.XSize // across)):
                    at = band.GetMetadataItem(f"BLOCK_OFFSET_{x}_{y}", "TIFF")
                    if at:
                        found.append((int(at), int(band.GetMetadataItem(f"BLOCK_SIZE_{x}_{y}", "TIFF"))))
        return found

    def test_flipped_bytes_in_the_index_are_read_as_gdal_reads_them(self):
        """What a header says cannot be wrong, only nonsense: an error, or what GDAL makes of the same nonsense."""
        folder = scene.temporary_folder(type(self))
        label = write_land(folder / "land.tif")
        data = (folder / "land.tif").read_bytes()
        first = min(start for start, _ in self.blocks(folder / "land.tif"))
        rng = random.Random(5)
        layers = []
        for i in range(200):
            mutant = bytearray(data)
            for _ in range(1 + i % 3):
                mutant[rng.randrange(first)] = rng.choice([0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)])
            (folder / f"m{i}.tif").write_bytes(mutant)
            layers.append(layer(folder / f"m{i}.tif", f"m{i}"))
        statuses = {}
        with support.Tilth(layers, access_log="") as tilth:
            legend = scene.Legend(tilth.get("/styles/esa-worldcover").json(), nothing=0)
            for i in range(len(layers)):
                answer = tilth.get(scene.path_of(f"m{i}", TILE))
                statuses[answer.status] = statuses.get(answer.status, 0) + 1
                if answer.status != 200:
                    scene.is_problem(self, answer, 502)
                    continue
                got = legend.values(answer.body)
                if (got != Grid(TILE).pixels(label)).any():
                    wanted = self.as_gdal_reads(folder / f"m{i}.tif")
                    self.assertTrue(wanted is None or (got == wanted).all(), f"mutant {i}: wrong pixels")
            self.assertEqual(tilth.stop(), 0)
        self.assertGreater(statuses.get(200, 0), 20)
        self.assertGreater(statuses.get(502, 0), 20)

    @staticmethod
    def as_gdal_reads(path):
        """The tile by GDAL, classes that no style knows as nothing; None where GDAL refuses the file."""
        try:
            tile = gdal.Warp("", str(path), format="MEM", dstSRS="EPSG:3857", outputBounds=scene.tile_bounds(*TILE),
                             width=256, height=256, resampleAlg="near", errorThreshold=0, overviewLevel="NONE",
                             dstNodata=0).ReadAsArray()
        except RuntimeError:
            return None
        plane = tile if tile.ndim == 2 else tile[0]
        return np.where(np.isin(plane, scene.CLASS_VALUES), plane, 0)

    def test_other_things_than_rasters_are_refused_and_the_others_served(self):
        folder = scene.temporary_folder(type(self))
        label = write_land(folder / "land.tif")
        (folder / "text.tif").write_text("this is no raster\n" * 100)
        (folder / "zeros.tif").write_bytes(bytes(100000))
        (folder / "empty.tif").write_bytes(b"")
        os.mkfifo(folder / "fifo.tif")
        (folder / "folder.tif").mkdir()
        names = ("text", "zeros", "empty", "fifo", "folder", "absent")
        tilth = self.serve([layer(folder / f"{n}.tif", n) for n in (*names, "land")])
        for name in names:
            document = scene.is_problem(self, tilth.get(scene.path_of(name, TILE)), (415, 502))
            self.assertIn(f"{name}.tif", document["detail"])
        legend = scene.Legend.of(tilth, "land", nothing=0)
        got = legend.values(tilth.get(scene.path_of("land", TILE)).body)
        np.testing.assert_array_equal(got, Grid(TILE).pixels(label))

    def test_a_layer_that_asks_too_much_of_its_file_says_so(self):
        """A band that is not there, classes that are no bytes, places nowhere: the file's owner has to act."""
        folder = scene.temporary_folder(type(self))
        write_land(folder / "land.tif")
        wide = np.arange(SIZE * SIZE, dtype=np.uint16).reshape(SIZE, SIZE)
        scene.write_cog(folder / "wide.tif", wide, (WEST, NORTH), PIXEL)
        band = layer(folder / "land.tif", "band")
        band["source"]["bands"] = {"map": 5}
        rgb = {**layer(folder / "land.tif", "rgb"), "classes": False, "styles": ["true-colour"]}
        tilth = self.serve([band, layer(folder / "wide.tif", "wide"), rgb])
        for name, words in (("band", ["band 5", "1"]), ("wide", ["uint8", "uint16"]), ("rgb", ["band", "1"])):
            answer = tilth.get(scene.path_of(name, TILE))
            scene.is_problem(self, answer, (415, 500, 502), *words)

    def test_the_band_that_is_named_is_the_one_that_is_shown(self):
        folder = scene.temporary_folder(type(self))
        planes = np.stack([scene.class_noise(SIZE, SIZE, seed) for seed in (1, 2, 3)])
        scene.write_cog(folder / "three.tif", planes, (WEST, NORTH), PIXEL, names=("a", "b", "c"))
        first = layer(folder / "three.tif", "first")
        third = layer(folder / "three.tif", "third")
        third["source"]["bands"] = {"map": 3, "other": 1}
        tilth = self.serve([first, third])
        for name, plane in (("first", planes[0]), ("third", planes[2])):
            legend = scene.Legend.of(tilth, name, nothing=0)
            got = legend.values(tilth.get(scene.path_of(name, TILE)).body)
            np.testing.assert_array_equal(got, Grid(TILE).pixels(plane))
        lon, lat = WEST + 100.5 * PIXEL, NORTH - 200.5 * PIXEL
        point = tilth.get(f"/layers/third/point/{lon:.9f},{lat:.9f}").json()
        self.assertEqual(point["value"], planes[2, 200, 100])
        self.assertEqual(point["bands"], {"map": planes[2, 200, 100], "other": planes[0, 200, 100]})

    def test_documents_that_are_refused_name_the_place(self):
        folder = scene.temporary_folder(type(self))
        write_land(folder / "land.tif")
        good = layer(folder / "land.tif", "good")
        documents = {"cut": json.dumps(good)[:60], "list": "[]", "empty": "", "key": json.dumps({**good, "id": "key", "colour": 1}),
                     "style": json.dumps({**good, "id": "style", "styles": ["nope"]}),
                     "kind": json.dumps({**good, "id": "kind", "kind": "magic"}),
                     "cubic": json.dumps({**good, "id": "cubic", "resampling": "cubic"}),
                     "zoom": json.dumps({**good, "id": "zoom", "zoom": {"min": 9, "max": 3}}),
                     "nul": json.dumps({**good, "id": "a/b"}), "deep": "[" * 100000}
        with support.Tilth([good]) as tilth:
            tilth.stop()
            for name, text in documents.items():
                (tilth.folder / "layers" / f"{name}.json").write_text(text)
            tilth.errors.clear()
            tilth.start()
            said = "".join(tilth.errors)
            for name in documents:
                self.assertIn(f"{name}.json", said)
            self.assertEqual([l["id"] for l in tilth.get("/layers").json()["layers"]], ["good"])
            self.assertEqual(tilth.get(scene.path_of("good", TILE)).status, 200)


class Models(unittest.TestCase):
    """Damaged models are refused at the start, with the place; the other layers are served."""

    FEATURES = ["a", "b", "c"]
    CLASSES = [{"value": 1, "name": "one", "color": "FF0000"}, {"value": 2, "name": "two", "color": "00FF00"}]

    def setUp(self):
        self.folder = scene.temporary_folder(type(self))
        rng = np.random.default_rng(1)
        planes = rng.random((3, SIZE, SIZE), np.float32)
        scene.write_cog(self.folder / "s.tif", planes, (WEST, NORTH), PIXEL, options=["COMPRESS=DEFLATE"])
        samples = rng.random((500, 3)).astype(np.float32)
        scene.write_forest(self.folder / "good.tilth", self.FEATURES, self.CLASSES, samples, trees=3, depth=3)
        self.good = (self.folder / "good.tilth").read_bytes()

    def layer(self, layer_id, model, **more):
        return {"id": layer_id, "title": layer_id, "kind": "prediction", "grid": {"like": "s"},
                "sources": {"s": {"href": str(self.folder / "s.tif"), "bands": {"x": 1, "y": 2, "z": 3}}},
                "model": {"href": str(model)}, "features": {"a": "s.x", "b": "s.y", "c": "s.z"}, **more}

    def refusals(self, layers):
        """What is said on standard error for each layer; the layer called "good" must be served."""
        with support.Tilth([self.layer("good", self.folder / "good.tilth"), *layers]) as tilth:
            lines = [line for line in tilth.errors if "refused" in line]
            self.assertIn("good", [l["id"] for l in tilth.get("/layers").json()["layers"]])
            self.assertEqual(tilth.get(scene.path_of("good", TILE)).status, 200)
            served = [l["id"] for l in tilth.get("/layers").json()["layers"]]
            self.assertEqual(tilth.stop(), 0)
        return lines, served

    def test_truncated_models_are_refused_with_their_name(self):
        ends = [0, 1, 7, 8, 9, 100, 500, len(self.good) // 2, len(self.good) - 8, len(self.good) - 1]
        lightgbm = (support.ROOT / "tests/data/forest/lightgbm_multiclass.txt").read_bytes()
        layers = []
        for i, data in enumerate([self.good[:end] for end in ends] + [lightgbm[:end] for end in (10, 500, 5000)]):
            (self.folder / f"cut{i}.tilth").write_bytes(data)
            layers.append(self.layer(f"cut{i}", self.folder / f"cut{i}.tilth"))
        lines, served = self.refusals(layers)
        self.assertEqual(served, ["good"])
        for i in range(len(layers)):
            said = [line for line in lines if f"cut{i}.tilth" in line]
            self.assertTrue(said, i)
            self.assertGreater(len(said[0]), 60)

    def test_flipped_bits_are_refused_or_change_nothing(self):
        """Of what changes a label or a probability the golden rows tell; the rest is names and spaces."""
        rng = random.Random(6)
        layers = []
        size = int.from_bytes(self.good[:8], "little")
        for i in range(120):
            data = bytearray(self.good)
            data[rng.randrange(8 + size, len(data)) if i % 4 else rng.randrange(8 + size)] ^= 1 << rng.randrange(8)
            (self.folder / f"bit{i}.tilth").write_bytes(data)
            layers.append(self.layer(f"bit{i}", self.folder / f"bit{i}.tilth"))
        lines, served = self.refusals(layers)
        self.assertGreater(len(lines), 40)
        self.assertEqual(len(lines) + len(served), len(layers) + 1)

    def test_a_model_that_does_not_fit_the_layer_says_why(self):
        good = self.folder / "good.tilth"
        one_more = {"a": "s.x", "b": "s.y", "c": "s.z", "d": "s.x"}
        cases = {"missing": ({"features": {"a": "s.x", "b": "s.y"}}, "c"), "more": ({"features": one_more}, "4"),
                 "band": ({"features": {"a": "s.nope", "b": "s.y", "c": "s.z"}}, "nope"),
                 "syntax": ({"features": {"a": "s.x +", "b": "s.y", "c": "s.z"}}, "s.x +"),
                 "mask": ({"mask": {"source": "nope", "keep": [1]}}, "nope")}
        layers = [self.layer(name, good, **change) for name, (change, _) in cases.items()]
        with support.Tilth([self.layer("good", good), *layers]) as tilth:
            said = {name: [line for line in tilth.errors if name in line] for name in cases}
            for name, (_, word) in cases.items():
                answer = tilth.get(scene.path_of(name, TILE))
                if said[name]:
                    self.assertEqual(answer.status, 404)
                    self.assertIn(word, said[name][0])
                else:
                    scene.is_problem(self, answer, (415, 500, 502), word)

    def test_a_document_that_does_not_fit_its_model_is_refused(self):
        for features, words in (({"a": "s.x", "b": "s.y"}, "the model wants the feature \"c\""),
                                ({"a": "s.x", "b": "s.y", "c": "s.z", "d": "s.z"}, "has 4 expressions")):
            lines, served = self.refusals([self.layer("odd", self.folder / "good.tilth", features=features)])
            self.assertEqual(served, ["good"])
            self.assertIn(words, lines[0])

    def test_a_model_is_waited_for_while_its_store_starts(self):
        with support.ObjectServer({"/m.tilth": self.good}) as store:
            failures = iter([503] * 7)  # more than one read tries again
            store.fault = lambda path, first, last: next(failures, None)
            layer = self.layer("late", store.base + "/m.tilth")
            with support.Tilth([layer], fetch_retries=1, start_wait="30 s") as tilth:
                self.assertEqual(tilth.get(scene.path_of("late", TILE)).status, 200)
                self.assertIn("layer late waits for its model", " ".join(tilth.errors))
            store.fault = lambda path, first, last: 503
            with support.Tilth([layer], fetch_retries=0, start_wait="0 s") as tilth:
                self.assertEqual(tilth.get("/layers").json()["layers"], [])
                self.assertIn("refused", "".join(tilth.errors))

    def test_a_style_of_other_classes_is_refused(self):
        lines, served = self.refusals([self.layer("one", self.folder / "good.tilth", styles=["crop-mask"]),
                                       self.layer("none", self.folder / "good.tilth", styles=["esa-worldcover"])])
        self.assertEqual(served, ["good", "one"])
        self.assertIn('esa-worldcover has none of the model\'s classes, the first of which is 1 "one"', lines[0])

    def test_class_counts_and_values_must_agree(self):
        from tilth import container
        manifest, tensors = container.read(self.folder / "good.tilth")
        changes = {"third": {"classes": self.CLASSES + [{"value": 3, "name": "three"}]},
                   "one": {"classes": self.CLASSES[:1]}, "none": {"classes": []},
                   "same": {"classes": [self.CLASSES[0], {**self.CLASSES[1], "value": 1}]},
                   "high": {"classes": [self.CLASSES[0], {**self.CLASSES[1], "value": 254}]},
                   "feature": {"features": ["a", "b"]}}
        layers = []
        for name, change in changes.items():
            container.write(self.folder / f"{name}.tilth", {**manifest, **change}, tensors)
            layers.append(self.layer(name, self.folder / f"{name}.tilth"))
        lines, served = self.refusals(layers)
        self.assertEqual(served, ["good"])
        for name in changes:
            self.assertTrue([line for line in lines if f"{name}.tilth" in line], name)


FIRST, SECOND = np.array([10, 20, 30], np.uint8), np.array([40, 50, 60], np.uint8)


class Replaced(unittest.TestCase):
    """The object is replaced by another generation while it is served. A tile shows one of them, never both."""

    def setUp(self):
        self.folder = scene.temporary_folder(type(self))
        self.labels = [write_land(self.folder / "first.tif", 1, FIRST), write_land(self.folder / "second.tif", 2, SECOND)]
        self.data = [(self.folder / f"{name}.tif").read_bytes() for name in ("first", "second")]

    def generations(self, legend, tile, body):
        """Of which generations a tile may be: both where there is nothing. Of none fails the test."""
        got = legend.values(body)
        found = {i for i, label in enumerate(self.labels) if (got == Grid(tile).pixels(label)).all()}
        self.assertTrue(found, f"{tile} is of no generation: it shows {sorted(set(np.unique(got)) - {0})}")
        return found

    def check(self, href, replace, **settings):
        with support.Tilth([layer(href)], revalidate="1 s", **settings) as tilth:
            legend = scene.Legend.of(tilth, "land", nothing=0)
            near = land_tiles(15)
            some = scene.tile_of(WEST + SIZE * PIXEL / 3, NORTH - SIZE * PIXEL / 3, 15)
            for tile in near[:len(near) // 3] + [some]:  # some blocks in memory, some tiles in the cache
                answer = tilth.get(scene.path_of("land", tile))
                self.assertIn(0, self.generations(legend, tile, answer.body))
            replace()
            # At once: a tile from the cache may be old for a second, a new one is of one generation.
            for tile in land_tiles(13) + land_tiles(14):
                answer = tilth.get(scene.path_of("land", tile))
                self.assertEqual(answer.status, 200, answer.body[:300])
                self.generations(legend, tile, answer.body)
            support.wait_until(lambda: self.generations(legend, some, tilth.get(scene.path_of("land", some)).body) == {1},
                               "the new pixels are there", 10)
            for tile in land_tiles(13) + near:
                answer = tilth.get(scene.path_of("land", tile))
                self.assertEqual(answer.status, 200, answer.body[:300])
                self.assertIn(1, self.generations(legend, tile, answer.body))
            self.assertEqual(tilth.stop(), 0)
        self.assertEqual([(told["level"], told["msg"]) for told in tilth.troubles()],
                         [("info", "layer land: its objects changed and were opened again")])

    def test_a_file_renamed_over(self):
        path = self.folder / "land.tif"
        shutil.copy(self.folder / "first.tif", path)
        self.check(path, lambda: os.replace(self.folder / "second.tif", path))

    def test_a_file_written_in_place(self):
        path = self.folder / "land.tif"
        shutil.copy(self.folder / "first.tif", path)
        self.check(path, lambda: path.write_bytes(self.data[1]))

    def test_an_object_in_s3(self):
        with scene.FakeS3() as store:
            store.put("lands", "land.tif", self.data[0])
            self.check("s3://lands/land.tif", lambda: store.put("lands", "land.tif", self.data[1]),
                       **scene.store_settings(store))

    def test_an_object_replaced_again_and_again_while_tiles_are_asked(self):
        with scene.FakeS3() as store:
            store.put("lands", "land.tif", self.data[0])
            with support.Tilth([layer("s3://lands/land.tif")], revalidate="1 s", block_pool="8 MiB", cache_tiles="false",
                               **scene.store_settings(store)) as tilth:
                legend = scene.Legend.of(tilth, "land", nothing=0)
                tiles = (land_tiles(13) + land_tiles(14)) * 8
                with concurrent.futures.ThreadPoolExecutor(4) as pool:
                    answers = [pool.submit(tilth.get, scene.path_of("land", tile)) for tile in tiles]
                    for i in range(30):
                        store.put("lands", "land.tif", self.data[i % 2])
                        time.sleep(0.05)
                    answers = [future.result() for future in answers]
                statuses = set()
                for tile, answer in zip(tiles, answers):
                    statuses.add(answer.status)
                    if answer.status == 200:
                        self.generations(legend, tile, answer.body)
                    else:
                        scene.is_problem(self, answer, 502, "replaced")
                self.assertIn(200, statuses)

    def test_a_point_is_of_the_new_object_at_once(self):
        """Far from the head of the file, so that the store has to be asked for it."""
        plain = [self.folder / f"plain{i}.tif" for i in range(2)]
        labels = [write_land(path, i, values, ("COMPRESS=NONE", "BLOCKSIZE=128"))
                  for i, (path, values) in enumerate(zip(plain, (FIRST, SECOND)))]
        with scene.FakeS3() as store:
            store.put("lands", "land.tif", plain[0].read_bytes())
            with support.Tilth([layer("s3://lands/land.tif")], revalidate="1 h", **scene.store_settings(store)) as tilth:
                for col, row, i in ((100, 700, 0), (600, 300, 1), (100, 700, 1)):
                    store.put("lands", "land.tif", plain[i].read_bytes())
                    answer = tilth.get(f"/layers/land/point/{WEST + (col + .5) * PIXEL:.8f},{NORTH - (row + .5) * PIXEL:.8f}")
                    self.assertEqual(answer.status, 200, answer.body)
                    self.assertEqual(answer.json()["value"], labels[i][row, col])

    def test_an_object_that_goes_away(self):
        path = self.folder / "land.tif"
        shutil.copy(self.folder / "first.tif", path)
        with support.Tilth([layer(path)], revalidate="1 s") as tilth:
            self.assertEqual(tilth.get(scene.path_of("land", TILE)).status, 200)
            path.unlink()
            support.wait_until(lambda: tilth.get(scene.path_of("land", TILE)).status != 200, "it is noticed", 10)
            scene.is_problem(self, tilth.get(scene.path_of("land", land_tiles(14)[0])), (404, 502), "land.tif")
            shutil.copy(self.folder / "first.tif", path)
            support.wait_until(lambda: tilth.get(scene.path_of("land", TILE)).status == 200, "it is back", 10)
            self.assertEqual(tilth.stop(), 0)
        gone, back, changed = tilth.troubles()
        self.assertIn("changed", changed["msg"])  # the copy has another date
        self.assertEqual((gone["level"], gone["at"], back["level"]), ("warn", "layer", "info"))
        self.assertIn("land.tif", gone["msg"])
        self.assertEqual(back["msg"], "layer land: opens again")


class Stores(unittest.TestCase):
    """An S3 that is down, slow or lying."""

    LIES = {"200 for a range": [{"kind": "ignore_range", "times": -1}],
            "a short body": [{"kind": "short", "bytes": 1000, "times": -1}],
            "a short body of no length": [{"kind": "chunked_short", "bytes": 1000, "times": -1}],
            "a long body": [{"kind": "extra", "bytes": 10, "times": -1}],
            "another ETag": [{"kind": "etag", "value": '"0123456789abcdef0123456789abcdef"', "times": -1}],
            "no ETag": [{"kind": "etag", "value": "", "times": -1}],
            "another range": [{"kind": "content_range", "value": "bytes 0-99/100", "times": -1}],
            "no Content-Range": [{"kind": "content_range", "value": "", "times": -1}],
            "HTML": [{"kind": "html", "times": -1}],
            "500": [{"kind": "status", "status": 500, "times": -1}],
            "503": [{"kind": "status", "status": 503, "times": -1}],
            "403": [{"kind": "status", "status": 403, "times": -1}],
            "404": [{"kind": "status", "status": 404, "times": -1}],
            "416": [{"kind": "status", "status": 416, "times": -1}],
            "204": [{"kind": "status", "status": 204, "times": -1}],
            "chunks for ever": [{"kind": "chunked_extra", "bytes": 50000000, "times": -1}],
            "resets": [{"kind": "reset", "times": -1}],
            "drops": [{"kind": "drop", "times": -1}],
            "a redirect": [{"kind": "redirect", "location": "http://127.0.0.1:1/", "times": -1}]}

    LIKE_ANOTHER_OBJECT = ("another ETag", "no ETag", "another range", "404")

    def setUp(self):
        self.folder = scene.temporary_folder(type(self))
        # Without overviews nothing is read at the first look but the head; it holds the first row of blocks.
        self.label = write_land(self.folder / "land.tif", options=("COMPRESS=NONE", "BLOCKSIZE=128", "OVERVIEWS=NONE"))
        self.store = self.enterContext(scene.FakeS3())
        self.store.put("lands", "land.tif", (self.folder / "land.tif").read_bytes())
        # Small tiles, each in the middle of a block of its own: none of them is there before it is asked for.
        self.fresh = iter([scene.tile_of(WEST + (col * 128 + 64) * PIXEL, NORTH - (row * 128 + 64) * PIXEL, 17)
                           for row in range(1, 7) for col in range(7)])

    def serve(self, **settings):
        tilth = support.Tilth([layer("s3://lands/land.tif")], **{"fetch_retries": 0, "fetch_timeout": "500 ms", "block_pool": "8 MiB",
                                                            **scene.store_settings(self.store), **settings})
        return self.enterContext(tilth)

    def check_pixels(self, tilth, tile, answer):
        self.assertEqual(answer.status, 200, answer.body[:300])
        got = scene.Legend.of(tilth, "land", nothing=0).values(answer.body)
        np.testing.assert_array_equal(got, Grid(tile).pixels(self.label), str(tile))

    def test_every_lie_is_an_error_that_heals_with_the_store(self):
        tilth = self.serve()
        self.assertEqual(tilth.get("/layers/land/tilejson.json").status, 200)
        for name, faults in self.LIES.items():
            with self.subTest(name):
                tile = next(self.fresh)
                self.store.faults("lands", "land.tif", *faults)
                document = scene.is_problem(self, tilth.get(scene.path_of("land", tile)), (502, 504))
                self.assertIn("land.tif", document["detail"])
                self.store.faults("lands", "land.tif")
                if name in self.LIKE_ANOTHER_OBJECT:
                    # It was opened again, in vain, and that is remembered for a second.
                    support.wait_until(lambda t=tile: tilth.get(scene.path_of("land", t)).status == 200, "it heals", 5)
                self.check_pixels(tilth, tile, tilth.get(scene.path_of("land", tile)))

    def test_every_lie_at_the_first_look_is_an_error_too(self):
        for name, faults in self.LIES.items():
            if name in ("another ETag", "no ETag"):
                continue  # nothing to compare with yet
            with self.subTest(name), support.Tilth([layer("s3://lands/land.tif")], fetch_retries=0, fetch_timeout="500 ms",
                                                   **scene.store_settings(self.store)) as tilth:
                self.store.faults("lands", "land.tif", *faults)
                answer = tilth.get(scene.path_of("land", TILE))
                if answer.status == 200:  # a server without ranges sent all of it: that is the object
                    self.assertEqual(name, "200 for a range")
                else:
                    scene.is_problem(self, answer, (502, 504))
                self.store.faults("lands", "land.tif")
                support.wait_until(lambda: tilth.get(scene.path_of("land", TILE)).status == 200, "it heals", 5)
                self.check_pixels(tilth, TILE, tilth.get(scene.path_of("land", TILE)))

    def test_a_silent_store_is_a_504_and_heals(self):
        tilth = self.serve(render_deadline="1 s", fetch_timeout="5 s")
        self.assertEqual(tilth.get("/layers/land/tilejson.json").status, 200)
        tile = next(self.fresh)
        self.store.faults("lands", "land.tif", {"kind": "stall", "seconds": 3, "times": -1})
        begin = time.monotonic()
        scene.is_problem(self, tilth.get(scene.path_of("land", tile)), 504, "deadline")
        self.assertLess(time.monotonic() - begin, 2.9, "the answer did not wait for the store")
        self.store.faults("lands", "land.tif")
        self.check_pixels(tilth, tile, tilth.get(scene.path_of("land", tile)))

    def test_a_trickle_is_an_error_and_heals(self):
        tilth = self.serve()
        self.assertEqual(tilth.get("/layers/land/tilejson.json").status, 200)
        tile = next(self.fresh)
        self.store.faults("lands", "land.tif", {"kind": "trickle", "rate": 50, "times": -1})
        scene.is_problem(self, tilth.get(scene.path_of("land", tile)), (502, 504), "land.tif")
        self.store.faults("lands", "land.tif")
        self.check_pixels(tilth, tile, tilth.get(scene.path_of("land", tile)))

    def test_what_passes_is_retried_and_nobody_notices(self):
        tilth = self.serve(fetch_retries=3)
        self.assertEqual(tilth.get("/layers/land/tilejson.json").status, 200)
        for faults in ({"kind": "status", "status": 503, "times": 2}, {"kind": "reset", "times": 1},
                       {"kind": "short", "bytes": 100, "times": 1}, {"kind": "drop", "times": 2}):
            tile = next(self.fresh)
            self.store.faults("lands", "land.tif", faults)
            self.check_pixels(tilth, tile, tilth.get(scene.path_of("land", tile)))
        self.assertGreater(tilth.metric("tilth_source_retries_total"), 3)

    def test_a_storm_of_503_is_answered_quickly_and_ends_with_it(self):
        tilth = self.serve(fetch_retries=2)
        self.assertEqual(tilth.get("/layers/land/tilejson.json").status, 200)
        self.store.faults("lands", "land.tif", {"kind": "status", "status": 503, "times": -1})
        tiles = list(self.fresh)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda t: tilth.get(scene.path_of("land", t)), tiles))
        for answer in answers:
            scene.is_problem(self, answer, (502, 503))
        asked = len([e for e in self.store.log() if e["status"] == 503])
        self.assertLess(asked, 2 * len(tiles), "a store that fails is left in peace")
        self.store.faults("lands", "land.tif")
        support.wait_until(lambda: tilth.get(scene.path_of("land", tiles[0])).status == 200, "it heals", 5)
        for tile in tiles[::7]:
            self.check_pixels(tilth, tile, tilth.get(scene.path_of("land", tile)))
        self.assertEqual(tilth.stop(), 0)
        down, up = [told for told in tilth.troubles() if told["at"] == "store"]
        self.assertEqual((down["level"], up["level"]), ("warn", "info"))
        self.assertIn(f"127.0.0.1:{self.store.port} does not answer", down["msg"])
        self.assertIn("answers again", up["msg"])

    def test_cached_tiles_are_served_while_the_store_is_down(self):
        tilth = self.serve(revalidate="1 s")
        tile, other = next(self.fresh), next(self.fresh)
        first = tilth.get(scene.path_of("land", tile))
        self.check_pixels(tilth, tile, first)
        port = self.store.port
        self.store.__exit__()
        time.sleep(1.2)  # the versions would have to be looked at again
        for _ in range(3):
            answer = tilth.get(scene.path_of("land", tile))
            self.assertEqual((answer.status, answer.headers["x-cache"]), (200, "HIT"))
            self.assertEqual(answer.body, first.body)
        scene.is_problem(self, tilth.get(scene.path_of("land", other)), (502, 504), "land.tif")
        self.assertEqual(tilth.get("/healthz").status, 200)
        with scene.FakeS3(port=port) as back:
            back.put("lands", "land.tif", (self.folder / "land.tif").read_bytes())
            support.wait_until(lambda: tilth.get(scene.path_of("land", other)).status == 200, "it heals", 10)
            self.check_pixels(tilth, other, tilth.get(scene.path_of("land", other)))
        self.store.__enter__()

    def test_wrong_keys_are_the_operators_fault_not_the_clients(self):
        tilth = self.serve(s3_secret_key="wrong")
        answer = tilth.get(scene.path_of("land", TILE))
        document = scene.is_problem(self, answer, (502,), "403")
        self.assertNotIn("wrong", document["detail"])
        self.assertNotIn("tilthsecret", document["detail"])

    def test_an_absent_object_and_a_port_where_nobody_listens(self):
        layers = [layer("s3://lands/nope.tif", "nope"), layer(f"http://127.0.0.1:{support.free_port()}/x.tif", "nobody"),
                  layer("s3://lands/land.tif")]
        with support.Tilth(layers, fetch_retries=0, **scene.store_settings(self.store)) as tilth:
            scene.is_problem(self, tilth.get(scene.path_of("nope", TILE)), (502,), "nope.tif")
            scene.is_problem(self, tilth.get(scene.path_of("nobody", TILE)), 502, "x.tif")
            self.assertEqual(tilth.get(scene.path_of("land", TILE)).status, 200)


class FullDisk(unittest.TestCase):
    """A cache that cannot be written is a cache that is smaller."""

    def setUp(self):
        self.folder = scene.temporary_folder(type(self))
        rgb = np.random.default_rng(1).integers(0, 3000, (3, SIZE, SIZE)).astype(np.uint16)
        scene.write_cog(self.folder / "rgb.tif", rgb, (WEST, NORTH), PIXEL, options=["COMPRESS=DEFLATE"])
        self.layer = {**layer(self.folder / "rgb.tif", "rgb"), "classes": False, "styles": ["true-colour"]}
        self.layer["source"]["bands"] = {"red": 1, "green": 2, "blue": 3}

    def test_a_disk_that_is_full_costs_no_tile(self):
        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        tiles = land_tiles(15)[:40]
        with support.Tilth([self.layer], before_start=small_files, access_log="", cache_ram="2 MiB") as tilth:
            bodies = [tilth.get(scene.path_of("rgb", tile)) for tile in tiles]
            self.assertEqual({a.status for a in bodies}, {200})
            support.wait_until(lambda: tilth.metric("tilth_cache_write_dropped_total") > 0, "writes are dropped")
            again = [tilth.get(scene.path_of("rgb", tile)) for tile in tiles]
            self.assertEqual([a.body for a in again], [a.body for a in bodies])
            support.wait_until(tilth.troubles, "the operator is told")
            self.assertEqual(tilth.stop(), 0)
        (told,) = tilth.troubles()  # one line, however many batches were dropped
        self.assertEqual((told["level"], told["at"]), ("warn", "cache"))
        self.assertIn("the disk is full", told["msg"])

    def test_a_full_map_evicts_and_goes_on(self):
        tiles = [t for z in (14, 15, 16) for t in land_tiles(z)][:150]
        with support.Tilth([self.layer], cache_size="8 MiB", cache_ram="1 MiB", access_log="") as tilth:
            first = {}
            for tile in tiles:
                answer = tilth.get(scene.path_of("rgb", tile))
                self.assertEqual(answer.status, 200)
                first[tile] = answer.body
            support.wait_until(lambda: tilth.metric("tilth_cache_evicted_total") > 0, "old values are evicted")
            self.assertLessEqual(sum(p.stat().st_blocks * 512 for p in (tilth.folder / "cache").rglob("*.mdb")), 9 << 20)
            for tile in tiles:
                self.assertEqual(tilth.get(scene.path_of("rgb", tile)).body, first[tile])
            self.assertEqual(tilth.stop(), 0)
            self.assertEqual(tilth.troubles(), [])  # a full map is how a cache is
            done = support.subprocess.run([support.program(), "cache", "verify", "--cache-dir",
                                           str(tilth.folder / "cache"), "--cache-size", "8 MiB"],
                                          capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
