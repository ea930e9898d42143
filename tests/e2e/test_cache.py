"""The tile cache: what survives a kill, what a damaged file costs, and how often anything is rendered."""
import concurrent.futures
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
import unittest

import numpy as np

import scene
import support

WEST, NORTH, PIXEL, SIZE = 30.0, -17.0, 1 / 4096, 1400
BOUNDS = (WEST, NORTH - SIZE * PIXEL, WEST + SIZE * PIXEL, NORTH)
MIDDLE = (WEST + SIZE * PIXEL / 2, NORTH - SIZE * PIXEL / 2)


class OnLand(unittest.TestCase):
    """A class layer and a colour layer over one small land, and a prediction over both."""

    @classmethod
    def setUpClass(cls):
        cls.folder = scene.temporary_folder(cls)
        rng = np.random.default_rng(2)
        scene.write_cog(cls.folder / "land.tif", scene.class_noise(SIZE, SIZE, 1), (WEST, NORTH), PIXEL, nodata=0,
                        options=["COMPRESS=DEFLATE", "OVERVIEW_RESAMPLING=NEAREST"])
        scene.write_cog(cls.folder / "plain.tif", scene.class_noise(SIZE, SIZE, 1), (WEST, NORTH), PIXEL, nodata=0,
                        options=["COMPRESS=NONE", "OVERVIEWS=NONE"])  # nothing but its head is read at the first look
        # Smooth, with noise: tiles of some tens of kilobytes.
        smooth = np.add.outer(np.sin(np.arange(SIZE) / 90), np.cos(np.arange(SIZE) / 70))
        planes = [(1200 + 500 * smooth + rng.normal(0, 60, smooth.shape)).astype(np.uint16) for _ in range(3)]
        scene.write_cog(cls.folder / "rgb.tif", np.stack(planes), (WEST, NORTH), PIXEL,
                        options=["COMPRESS=DEFLATE", "PREDICTOR=2"])
        samples = np.stack([p.reshape(-1)[::997] for p in planes], 1).astype(np.float32)
        scene.write_forest(cls.folder / "small.tilth", ["a", "b", "c"],
                           [{"value": v, "name": f"c{v}", "color": c} for v, c in
                            ((1, "FF0000"), (2, "00FF00"), (9, "0000FF"))], samples, trees=20, depth=6)
        cls.layers = [support.land_layer(cls.folder / "land.tif"),
                      {**support.land_layer(cls.folder / "rgb.tif", "rgb"), "classes": False, "styles": ["true-colour"],
                       "source": {"href": str(cls.folder / "rgb.tif"), "bands": {"r": 1, "g": 2, "b": 3}}},
                      {"id": "crops", "title": "Crops", "kind": "prediction", "grid": {"like": "s"},
                       "sources": {"s": {"href": str(cls.folder / "rgb.tif"), "bands": {"a": 1, "b": 2, "c": 3}}},
                       "model": {"href": str(cls.folder / "small.tilth")},
                       "features": {"a": "s.a", "b": "s.b", "c": "s.c"}, "post": [{"op": "majority", "size": 5}]}]

    def serve(self, **settings):
        return self.enterContext(support.Tilth(self.layers, **settings))

    def verify(self, tilth, *options):
        return subprocess.run([support.program(), "cache", "verify", "--cache-dir", str(tilth.folder / "cache"), *options],
                              capture_output=True, text=True)

    def paths(self, zooms=(13, 14, 15), layers=("land", "rgb", "crops")):
        return [scene.path_of(name, tile) for name in layers for z in zooms for tile in scene.tiles_over(BOUNDS, z)]


class Killed(OnLand):
    def test_kill_9_under_load_again_and_again(self):
        """After each: the file is whole, what was committed is there, and no tile is another one than before."""
        known = {}
        tilth = self.serve(cache_ram="8 MiB")
        rng = random.Random(1)
        for number, end in enumerate((".png", ".webp", "@2x.png", "@2x.webp")):
            paths = [path.replace(".png", end) for path in self.paths((13, 14, 15))]
            fresh = self.kill_under_load(tilth, paths, rng)
            known.update(fresh)
            done = self.verify(tilth)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn(" 0 corrupt, 0 orphaned", done.stdout)
            tilth.start()
            hits = 0
            for path, body in known.items():
                answer = tilth.get(path)
                self.assertEqual((answer.status, answer.body), (200, body), path)
                hits += path in fresh and answer.headers["x-cache"] == "HIT"
            self.assertGreater(hits, 0, f"round {number}: what was committed survived")
            self.assertEqual(tilth.metric("tilth_cache_checksum_failures_total"), 0)
            self.assertEqual(tilth.stop(), 0)
            tilth.start()

    def kill_under_load(self, tilth, paths, rng):
        """Four clients ask; after the first commit the kill comes, anywhere in the next ones. -> what they got."""
        known, killed = {}, threading.Event()

        def load(seed):
            mine = random.Random(seed)
            while not killed.is_set():
                path = mine.choice(paths)
                try:
                    answer = tilth.get(path)
                except (OSError, support.http.client.HTTPException):
                    if killed.is_set():
                        return
                    raise
                self.assertEqual(answer.status, 200)
                self.assertEqual(known.setdefault(path, answer.body), answer.body, path)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(load, rng.random()) for _ in range(4)]
            support.wait_until(lambda: tilth.metric("tilth_cache_written_total") > 0, "something is committed")
            time.sleep(rng.random() * 0.3)
            killed.set()
            self.assertEqual(tilth.stop(signal.SIGKILL), -signal.SIGKILL)
            for job in jobs:
                job.result()
        return known

    def test_after_a_restart_tiles_come_from_the_disk(self):
        tilth = self.serve()
        before = {path: tilth.get(path) for path in self.paths((13, 14))}
        self.assertEqual({a.headers["x-cache"] for a in before.values()} - {"MISS", "HIT"}, set())
        self.assertEqual(tilth.stop(), 0)
        tilth.start()
        for path, first in before.items():
            answer = tilth.get(path)
            self.assertEqual((answer.headers["x-cache"], answer.headers["etag"]), ("HIT", first.headers["etag"]))
            self.assertEqual(answer.body, first.body)
        self.assertEqual(tilth.metric("tilth_render_seconds_count"), 0)
        self.assertEqual(tilth.metric("tilth_classify_pixels_total"), 0)

    def test_another_model_is_another_tile(self):
        tilth = self.serve()
        path = scene.path_of("crops", scene.tile_of(*MIDDLE, 15))
        first = tilth.get(path)
        self.assertEqual(tilth.stop(), 0)
        samples = np.random.default_rng(5).integers(500, 2000, (400, 3)).astype(np.float32)
        scene.write_forest(tilth.folder / "other.tilth", ["a", "b", "c"],
                           [{"value": v, "name": f"c{v}", "color": "%06X" % (v * 70000)} for v in (1, 2, 9)], samples,
                           trees=7, depth=5, seed=3)
        document = json.loads((tilth.folder / "layers" / "crops.json").read_text())
        document["model"]["href"] = str(tilth.folder / "other.tilth")
        (tilth.folder / "layers" / "crops.json").write_text(json.dumps(document))
        tilth.start()
        second = tilth.get(path)
        self.assertEqual(second.headers["x-cache"], "MISS")
        self.assertNotEqual(second.headers["etag"], first.headers["etag"])
        self.assertNotEqual(second.body, first.body)


class Damaged(OnLand):
    def data_file(self, tilth):
        files = sorted((tilth.folder / "cache").rglob("data.mdb")) or sorted((tilth.folder / "cache").rglob("*.mdb"))
        self.assertTrue(files, list((tilth.folder / "cache").rglob("*")))
        return files[0]

    def test_a_corrupt_value_is_rendered_again_and_never_served(self):
        tilth = self.serve()
        paths = self.paths((14,), ("land", "rgb"))
        before = {path: tilth.get(path).body for path in paths}
        self.assertEqual(tilth.stop(), 0)
        file = self.data_file(tilth)
        data = bytearray(file.read_bytes())
        rng = random.Random(9)
        hurt = set()
        for path, body in before.items():
            # One bit somewhere in the tile's pixels, wherever the file keeps a piece of them: a page that
            # was written anew may still be there, unused, before the one that counts.
            piece, place, bit = body[60:60 + 200], rng.randrange(200), 1 << rng.randrange(8)
            at = data.find(piece) if len(body) > 300 else -1
            while at >= 0:
                data[at + place] ^= bit
                hurt.add(path)
                at = data.find(piece, at + 200)
        self.assertGreater(len(hurt), 20)
        file.write_bytes(data)
        done = self.verify(tilth)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertGreaterEqual(int(re.search(r"(\d+) corrupt", done.stdout)[1]), len(hurt))
        tilth.start()
        for path, body in before.items():
            answer = tilth.get(path)
            self.assertEqual((answer.status, answer.body), (200, body), path)
            self.assertEqual(answer.headers["x-cache"], "MISS" if path in hurt else "HIT", path)
        self.assertGreaterEqual(tilth.metric("tilth_cache_checksum_failures_total"), len(hurt))
        self.assertEqual(tilth.stop(), 0)
        (told,) = tilth.troubles()  # one line for all of them
        self.assertEqual((told["level"], told["at"]), ("warn", "cache"))
        self.assertIn("checksum", told["msg"])
        tilth.start()
        self.assertEqual({tilth.get(path).headers["x-cache"] for path in before}, {"HIT"})
        self.assertEqual(tilth.stop(), 0)
        self.assertEqual(self.verify(tilth).returncode, 0)

    def test_corrupt_class_blocks_are_classified_again(self):
        tilth = self.serve(cache_tiles="false")
        paths = self.paths((14,), ("crops",))
        before = {path: tilth.get(path).body for path in paths}
        self.assertEqual(tilth.metric("tilth_classify_pixels_total"), SIZE * SIZE)
        self.assertEqual(tilth.stop(), 0)
        file = self.data_file(tilth)
        data = bytearray(file.read_bytes())
        rng = random.Random(4)
        page = 4096
        for at in range(4 * page, len(data) - page, page):  # one bit of every page that is full of bits
            body = data[at + 64:at + page - 64]
            if len(set(body)) > 180:
                data[at + 64 + rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        tilth.start()
        for path, body in before.items():
            answer = tilth.get(path)
            self.assertEqual((answer.status, answer.body), (200, body), path)
        self.assertGreater(tilth.metric("tilth_classify_pixels_total"), 0)
        self.assertGreater(tilth.metric("tilth_cache_checksum_failures_total"), 0)

    def test_verify_repairs(self):
        tilth = self.serve()
        paths = self.paths((14,), ("rgb",))
        before = {path: tilth.get(path).body for path in paths}
        self.assertEqual(tilth.stop(), 0)
        file = self.data_file(tilth)
        data = bytearray(file.read_bytes())
        body = max(before.values(), key=len)
        at = data.find(body[100:300])
        data[at] ^= 1
        file.write_bytes(data)
        self.assertEqual(self.verify(tilth).returncode, 1)
        done = self.verify(tilth, "--repair")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("1 corrupt", done.stdout)
        done = self.verify(tilth)
        self.assertEqual(done.returncode, 0)
        self.assertIn(" 0 corrupt", done.stdout)

    def test_a_file_that_is_no_cache_is_put_aside(self):
        tilth = self.serve()
        path = scene.path_of("land", scene.tile_of(*MIDDLE, 14))
        body = tilth.get(path).body
        self.assertEqual(tilth.stop(), 0)
        file = self.data_file(tilth)
        for garbage in (b"this is no cache" * 4096, bytes(1 << 16), os.urandom(1 << 16)):
            file.write_bytes(garbage)
            tilth.start()
            self.assertEqual(tilth.get(path).body, body)
            self.assertEqual(tilth.stop(), 0)
            self.assertTrue(list((tilth.folder / "cache").rglob("*broken*")))
        self.assertEqual([told["level"] for told in tilth.troubles()], ["warn"] * 3)
        self.assertIn("data.mdb.broken", tilth.troubles()[0]["msg"])

    def test_a_truncated_file_costs_what_was_in_it(self):
        tilth = self.serve()
        before = {path: tilth.get(path).body for path in self.paths((14,), ("rgb",))}
        self.assertEqual(tilth.stop(), 0)
        file = self.data_file(tilth)
        whole = file.read_bytes()
        for share in (0.9, 0.5, 0.1):
            file.write_bytes(whole[:int(len(whole) * share)])
            tilth.start()
            for path, body in before.items():
                answer = tilth.get(path)
                self.assertEqual((answer.status, answer.body), (200, body), path)
            self.assertEqual(tilth.stop(), 0)


class Once(OnLand):
    def test_many_who_ask_at_once_cost_one_render(self):
        tilth = self.serve(workers=4)
        tile = scene.tile_of(*MIDDLE, 14)
        for name in ("land", "rgb", "crops"):
            rendered = tilth.metric("tilth_render_seconds_count")
            with concurrent.futures.ThreadPoolExecutor(40) as pool:
                answers = list(pool.map(lambda _, n=name: tilth.get(scene.path_of(n, tile)), range(40)))
            self.assertEqual({a.status for a in answers}, {200})
            self.assertEqual(len({a.body for a in answers}), 1)
            self.assertEqual([a.headers["x-cache"] for a in answers].count("MISS"), 1)
            self.assertEqual(tilth.metric("tilth_render_seconds_count"), rendered + 1)

    def test_tiles_of_one_block_asked_at_once_classify_no_pixel_twice(self):
        tilth = self.serve(workers=4)
        tiles = [t for z in (13, 14, 15, 16) for t in scene.tiles_over(BOUNDS, z)]
        random.Random(2).shuffle(tiles)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda t: tilth.get(scene.path_of("crops", t)), tiles[:200]))
        self.assertEqual({a.status for a in answers}, {200})
        for tile in scene.tiles_over(BOUNDS, 14):
            self.assertEqual(tilth.get(scene.path_of("crops", tile)).status, 200)
        self.assertEqual(tilth.metric("tilth_classify_pixels_total"), SIZE * SIZE)

    def test_renders_whose_clients_left_are_skipped(self):
        """A held store stops the one worker; what waits behind it and is given up is never rendered."""
        store = self.enterContext(support.ObjectServer())
        store.objects["/land.tif"] = (self.folder / "plain.tif").read_bytes()
        tilth = self.enterContext(support.Tilth([support.land_layer(store.base + "/land.tif")], workers=1))
        self.assertEqual(tilth.get("/layers/land/tilejson.json").status, 200)
        store.hold()
        tiles = scene.tiles_over(BOUNDS, 15)[300:340]
        wires = []
        for tile in tiles:
            wires.append(tilth.wire())
            wires[-1].send(f"GET {scene.path_of('land', tile)} HTTP/1.1\r\nHost: h\r\n\r\n")
        support.wait_until(lambda: tilth.metric("tilth_http_connections") == len(tiles) + 1, "all are there")
        support.wait_until(lambda: store.waiting > 0, "the first is at the store")
        for wire in wires:
            wire.sock.close()
        support.wait_until(lambda: tilth.metric("tilth_http_connections") == 1, "all have left")
        store.release()
        support.wait_until(lambda: tilth.metric("tilth_renders_skipped_total") == len(tiles) - 1, "the queue is empty")
        self.assertLessEqual(tilth.metric("tilth_render_seconds_count"), 1)
        for tile in tiles:
            self.assertEqual(tilth.get(scene.path_of("land", tile)).status, 200)


if __name__ == "__main__":
    unittest.main()
