"""The demo's layers over S3, in a real MinIO where there is one: the same tiles as from files."""
import json
import pathlib
import tempfile
import unittest

import numpy as np

import scene
import support

SIZE = 600  # pixels on a side: four class blocks, three of them cut
BUCKET = "scene"


def over_s3(layer):
    """The layer's document with its rasters in the bucket; the model stays a file."""
    def href(source):
        return {**source, "href": f"s3://{BUCKET}/{pathlib.Path(source['href']).name}"}

    moved = dict(layer)
    if "source" in layer:
        moved["source"] = href(layer["source"])
    else:
        moved["sources"] = {name: href(source) for name, source in layer["sources"].items()}
    return moved


def absolute(layer, folder):
    """Paths that do not depend on where the document lies."""
    def fix(item):
        return {**item, "href": str((folder / "layers" / item["href"]).resolve())}

    fixed = dict(layer)
    for key in ("source", "model"):
        if key in layer:
            fixed[key] = fix(layer[key])
    if "sources" in layer:
        fixed["sources"] = {name: fix(source) for name, source in layer["sources"].items()}
    return fixed


class ObjectStore(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory(prefix="tilth-s3-")
        cls.addClassCleanup(holder.cleanup)
        cls.folder = pathlib.Path(holder.name)
        scene.make_scene(cls.folder, SIZE)
        documents = sorted((cls.folder / "layers").glob("*.json"))
        cls.layers = [absolute(json.loads(d.read_text()), cls.folder) for d in documents]
        cls.store, cls.is_minio = cls.enterClassContext(scene.any_s3())
        for raster in cls.folder.glob("*.tif"):
            scene.put_object(cls.store, BUCKET, raster.name, raster.read_bytes())
        settings = scene.store_settings(cls.store)
        cls.remote = cls.enterClassContext(support.Tilth([over_s3(l) for l in cls.layers], **settings))
        cls.local = cls.enterClassContext(support.Tilth(cls.layers))

    def test_every_layer_shows_the_same_over_s3_as_from_files(self):
        if not self.is_minio:
            print("no MinIO here: this ran against the scripted S3")
        for layer in self.layers:
            bounds = self.local.get(f"/layers/{layer['id']}/tilejson.json").json()["bounds"]
            for zoom in (10, 13, 14, 15):
                for tile in scene.tiles_over(bounds, zoom)[:6]:
                    path = scene.path_of(layer["id"], tile)
                    with self.subTest(path=path):
                        ours, theirs = self.remote.get(path), self.local.get(path)
                        self.assertEqual((ours.status, theirs.status), (200, 200))
                        self.assertEqual(ours.body, theirs.body)

    def test_a_point_is_the_same_over_s3(self):
        bounds = self.local.get("/layers/demo-crops/tilejson.json").json()["bounds"]
        lon, lat = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
        path = f"/layers/demo-crops/point/{lon:.6f},{lat:.6f}"
        self.assertEqual(self.remote.get(path).json(), self.local.get(path).json())


class Rounds(unittest.TestCase):
    """How often a cold tile waits for a distant store."""
    SOURCES = {"a": (10, 1), "b": (10, 2), "c": (20, 3)}  # pixel in metres (c is read in cells), seed

    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory(prefix="tilth-rounds-")
        cls.addClassCleanup(holder.cleanup)
        folder = pathlib.Path(holder.name)
        cls.fake = cls.enterClassContext(scene.FakeS3())
        for name, (pixel, seed) in cls.SOURCES.items():
            noise = np.random.default_rng(seed).integers(1, 255, (10240 // pixel, 10240 // pixel), np.uint8)
            scene.write_cog(folder / f"{name}.tif", noise, (3_000_000, -2_000_000), pixel, 6933,
                            options=["BLOCKSIZE=512", "COMPRESS=DEFLATE"])
            cls.fake.put(BUCKET, f"{name}.tif", (folder / f"{name}.tif").read_bytes())
        samples = np.random.default_rng(4).integers(1, 255, (200, 3)).astype(np.float32)
        classes = [{"value": i, "name": str(i), "color": f"{i * 80:06X}"} for i in range(3)]
        scene.write_forest(folder / "model.tilth", list(cls.SOURCES), classes, samples)
        layer = {"id": "noise", "title": "noise", "kind": "prediction", "grid": {"like": "a"},
                 "sources": {name: {"href": f"s3://{BUCKET}/{name}.tif", "bands": {"v": 1}, "resampling": "bilinear"}
                             for name in cls.SOURCES},
                 "model": {"href": str(folder / "model.tilth")},
                 "features": {name: f"{name}.v" for name in cls.SOURCES}, "zoom": {"min": 0, "max": 18}}
        cls.tilth = cls.enterClassContext(support.Tilth([layer], **scene.store_settings(cls.fake)))
        cls.bounds = cls.tilth.get("/layers/noise/tilejson.json").json()["bounds"]

    def test_all_sources_of_a_cold_tile_are_fetched_in_one_round(self):
        """Each GET waits until there is one of every source: read one after the other, they never come."""
        self.fake.reset()
        for name in self.SOURCES:
            self.fake.faults(BUCKET, f"{name}.tif", {"kind": "gather", "count": len(self.SOURCES), "times": -1})
        west, south, east, north = self.bounds
        tile = scene.tile_of((west + east) / 2, (south + north) / 2, 15)
        answer = self.tilth.get(scene.path_of("noise", tile))
        self.assertEqual(answer.status, 200)
        log = self.fake.log()
        self.assertEqual({entry["path"].split("/")[-1] for entry in log}, {f"{name}.tif" for name in self.SOURCES})
        self.assertTrue(all(entry["status"] == 206 for entry in log), log)
        self.assertEqual(len({(entry["path"], entry["range"]) for entry in log}), len(log), "a range came twice")


class Verdict(unittest.TestCase):
    """What is found out about the overviews of a class raster is found out once."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="tilth-verdict-")))
        self.fake = self.enterContext(scene.FakeS3())

    def put(self, seed):
        path = self.folder / "land.tif"
        scene.write_cog(path, scene.class_noise(2048, 2048, seed), (31, -17), 0.0001,
                        options=["BLOCKSIZE=512", "COMPRESS=DEFLATE", "OVERVIEW_RESAMPLING=MODE"])
        self.fake.put(BUCKET, "land.tif", path.read_bytes())

    def open_cold(self):
        """GETs that opening costs a fresh process, and a tile that needs an overview."""
        layer = support.land_layer(f"s3://{BUCKET}/land.tif")
        with support.Tilth([layer], folder=self.folder, cache_tiles="false", **scene.store_settings(self.fake)) as tilth:
            self.fake.reset()
            tilth.get(f"/layers/{layer['id']}/tilejson.json")
            opened = len(self.fake.log())
            tile = scene.tile_of(31.1, -17.1, 10)
            return opened, tilth.get(scene.path_of(layer["id"], tile)).body

    def test_a_restart_opens_with_one_get_and_a_new_version_is_judged_anew(self):
        self.put(seed=1)
        first, tile = self.open_cold()
        self.assertGreater(first, 1)
        self.assertEqual(self.open_cold(), (1, tile))
        self.put(seed=2)
        changed, other = self.open_cold()
        self.assertGreater(changed, 1)
        self.assertNotEqual(other, tile)


if __name__ == "__main__":
    unittest.main()
