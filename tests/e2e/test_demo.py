"""What `make demo` shows, small: the scene of tools/make_demo.py, the viewer, both layers on the map."""
import pathlib
import re
import subprocess
import sys
import unittest

import numpy as np

import scene
import support

SIZE = 512
LEAFLET = pathlib.Path("/usr/share/javascript/leaflet/leaflet.min.js")


class Demo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        support.program()
        cls.folder = scene.temporary_folder(cls)
        scene.make_scene(cls.folder, SIZE)
        settings = {"layers_dir": cls.folder / "layers"}
        if LEAFLET.exists():
            subprocess.run([sys.executable, str(support.ROOT / "tools" / "bundle_viewer.py"), "--out",
                            str(cls.folder / "viewer")], check=True, stdout=subprocess.DEVNULL)
            settings["viewer_dir"] = cls.folder / "viewer"
        cls.tilth = scene.serve(cls, **settings)

    def layers(self):
        return {layer["id"]: layer for layer in self.tilth.get("/layers").json()["layers"]}

    def test_it_is_ready_and_lists_a_baseline_and_a_prediction(self):
        self.assertEqual(self.tilth.get("/readyz").status, 200)
        self.assertEqual(self.tilth.get("/healthz").status, 200)
        kinds = {name: layer["kind"] for name, layer in self.layers().items()}
        self.assertEqual(kinds["demo-baseline"], "baseline")
        self.assertEqual(kinds["demo-crops"], "prediction")
        self.assertTrue(all(layer["synthetic"] for layer in self.layers().values()))
        self.assertEqual([line for line in self.tilth.errors if "refused" in line], [])

    def test_the_viewer_is_one_page_that_asks_nobody_else(self):
        if not LEAFLET.exists():
            self.skipTest("libjs-leaflet is not installed: no viewer to bundle")
        answer = self.tilth.get("/viewer")
        if answer.status == 301:
            self.assertEqual(answer.headers["location"], "viewer/")
            answer = self.tilth.get("/viewer/")
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.headers["content-type"].startswith("text/html"))
        page = answer.body.decode()
        self.assertIn("L.map", page)
        self.assertEqual(re.findall(r"<(?:script|link|img|iframe)[^>]*\b(?:src|href)=[\"'](?!data:)[^\"']*", page), [])
        self.assertEqual(re.findall(r"url\(\s*[\"']?(?:https?:)?//[^)]*", page), [])
        self.assertEqual(re.findall(r"(?:fetch|import|open)\(\s*[\"'](?:https?:)?//[^\"']*", page), [])
        self.assertEqual(re.findall(r"@import", page), [])
        self.assertEqual([p.name for p in (self.folder / "viewer").iterdir()], ["index.html"])

    def test_every_zoom_of_every_layer_over_the_scene_is_200(self):
        for name in self.layers():
            document = self.tilth.get(f"/layers/{name}/tilejson.json").json()
            west, south, east, north = document["bounds"]
            url = document["tiles"][0]
            self.assertTrue(url.startswith(self.tilth.base))
            shown = 0
            for z in range(document["minzoom"], document["maxzoom"] + 1):
                z, x, y = scene.tile_of((west + east) / 2, (south + north) / 2, z)
                answer = self.tilth.get(url[len(self.tilth.base):].format(z=z, x=x, y=y))
                self.assertEqual((answer.status, answer.headers["content-type"]), (200, "image/png"), (name, z))
                alpha = np.asarray(answer.image().convert("RGBA"))[..., 3]
                shown += alpha.max() > 0
            self.assertGreater(shown, 6, f"{name} shows something")

    def test_both_layers_cover_the_same_land(self):
        """Native zoom, whole scene: the prediction has a label wherever the baseline has one."""
        bounds = self.tilth.get("/layers/demo-crops/tilejson.json").json()["bounds"]
        crops = baseline = 0
        for tile in scene.tiles_over(bounds, 14):
            alphas = [np.asarray(self.tilth.get(scene.path_of(name, tile)).image().convert("RGBA"))[..., 3] > 0
                      for name in ("demo-crops", "demo-baseline")]
            crops += alphas[0].sum()
            baseline += alphas[1].sum()
        self.assertGreater(crops, 0)
        self.assertLess(abs(int(crops) - int(baseline)) / baseline, 0.02)

    def test_legends_and_a_point_tell_what_is_seen(self):
        for name in ("demo-baseline", "demo-crops"):
            self.assertGreaterEqual(len(self.tilth.get(f"/layers/{name}/legend.json").json()["classification:classes"]), 2)
            self.assertEqual(self.tilth.get(f"/layers/{name}/legend.png").image().format, "PNG")
        point = self.tilth.get("/layers/demo-crops/point/31.05,-17.83").json()
        self.assertTrue(point["inside"] and point["valid"])
        self.assertIn(point["class"]["name"], ("crop", "not-crop"))
        self.assertAlmostEqual(sum(point["probabilities"].values()), 1, places=5)
        self.assertEqual(len(point["features"]), 33)


if __name__ == "__main__":
    unittest.main()
