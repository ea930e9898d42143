"""The command line: what each command says, that errors teach, and that exit statuses tell."""
import json
import os
import pathlib
import re
import subprocess
import unittest

import numpy as np

import scene
import support

WEST, NORTH, PIXEL, SIZE = 30.0, -17.0, 1 / 4096, 700
MIDDLE = (WEST + SIZE * PIXEL / 2, NORTH - SIZE * PIXEL / 2)
COMMANDS = ("serve", "check", "model", "render", "classify", "cache", "config")
OK, FAILED, USAGE = 0, 1, 2


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        support.program()
        cls.folder = scene.temporary_folder(cls)
        cls.label = scene.class_noise(SIZE, SIZE, 1)
        cls.cog(cls.folder / "land.tif", "NEAREST")

    @classmethod
    def cog(cls, path, resampling, **more):
        scene.write_cog(path, cls.label, (WEST, NORTH), PIXEL, nodata=0,
                        options=["COMPRESS=DEFLATE", "BLOCKSIZE=128", f"OVERVIEW_RESAMPLING={resampling}"], **more)

    def run_tilth(self, *arguments, status=OK, environment=None):
        """(standard output, standard error) of a command that has to end with `status`."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TILTH_")}
        done = subprocess.run([support.program(), *map(str, arguments)], capture_output=True, text=True,
                              env={**clean, **(environment or {})}, timeout=support.PATIENCE, cwd=self.folder)
        self.assertEqual(done.returncode, status, (arguments, done.stdout[-500:], done.stderr[-500:]))
        if status != OK:
            self.assertGreater(len(done.stderr), 20, "an error says something")
        return done.stdout, done.stderr


class Help(Cli):
    def test_help_lists_the_commands_and_each_one_teaches(self):
        out, _ = self.run_tilth("--help")
        for command in COMMANDS:
            self.assertRegex(out, rf"(?m)^ +{command} +\S+")
            teaching, _ = self.run_tilth(command, "--help")
            self.assertTrue(teaching.startswith(f"usage: tilth {command}"), teaching)
            self.assertGreater(len(teaching.splitlines()), 4, teaching)
            self.assertEqual(self.run_tilth(command, "-h")[0], teaching)
        for verb in ("info", "check", "convert", "compile", "bench"):
            teaching, _ = self.run_tilth("model", verb, "--help")
            self.assertTrue(teaching.startswith(f"usage: tilth model {verb} "), teaching)
            for option in set(re.findall(r"[\[ ](--?[a-z-]+)", teaching.split("\n\n")[0])) - {"--styles-dir"}:
                self.assertRegex(teaching, rf"(?m)^  {option} .*\w", "every option is explained")
        self.assertIn("--golden-rows", self.run_tilth("model", "compile", "--help")[0])
        self.assertRegex(self.run_tilth("--version")[0], r"^tilth \d+\.\d+\.\d+\n$")

    def test_a_wrong_line_is_status_2_and_says_what_is_right(self):
        for arguments, words in (((), ["usage", "serve"]), (("srve",), ["srve", "serve"]), (("check",), ["usage", "FILE"]),
                                 (("model", "info"), ["usage"]), (("model", "burn", "x"), ["info", "check"]),
                                 (("cache",), ["usage"]), (("render", "a"), ["usage", "-o"]),
                                 (("serve", "extra"), ["layers_dir"]), (("check", "a", "--no-such-key", "1"), ["no-such-key"]),
                                 (("config", "--workers", "lots"), ["workers", "lots"]),
                                 (("config", "--workers", "100000"), ["workers", "256"]),
                                 (("config", "--workers"), ["value"]), (("check",) + ("a",) * 70, ["too many"]),
                                 (("serve", "--wrokers"), ["no option --wrokers", "did you mean --workers?"]), (("config", "--config"), ["a file"]),
                                 (("cache", "burn", "--cache-dir", "/nowhere"), ["stat", "verify"]),
                                 (("check", "--clases", "a"), ["did you mean --classes?", "`tilth check --help`"]),
                                 (("serve", "--cach-size", "1"), ["did you mean --cache-size?"]),
                                 (("model", "convert", "m", "--golden", "rows.csv"), ["--golden-rows", "`tilth model convert --help`"]),
                                 (("model", "bench", "m", "--frobnicate"), ["-frobnicate;", "`tilth model bench --help`"]),
                                 (("model", "info"), ["usage: tilth model info", "a model is needed"]),
                                 (("check", "--", "a", "--classes"), ["one file"])):
            _, said = self.run_tilth(*arguments, status=USAGE)
            for word in words:
                self.assertIn(word, said, arguments)


class Check(Cli):
    def test_a_cog_takes_the_fast_path(self):
        out, _ = self.run_tilth("check", self.folder / "land.tif", "--classes")
        self.assertIn("reader       tilth (fast path)", out)
        self.assertIn("EPSG:4326", out)
        self.assertIn("700 x 700, blocks of 128 x 128", out)
        self.assertIn("1 band of uint8", out)
        self.assertIn("nodata 0", out)
        self.assertIn("deflate", out)
        self.assertNotIn("tainted", out)
        self.assertRegex(out, r"opened with +\d+ requests?, \d+ bytes")

    def test_tainted_overviews_are_named_with_a_way_out(self):
        self.cog(self.folder / "average.tif", "AVERAGE")
        out, _ = self.run_tilth("check", self.folder / "average.tif", "--classes")
        self.assertIn("not used", out)
        self.assertIn("tainted", out)
        self.assertIn("-r mode", out)
        plain, _ = self.run_tilth("check", self.folder / "average.tif")
        self.assertNotIn("tainted", plain)

    def test_what_is_no_cog_goes_to_gdal_and_the_reason_is_said(self):
        gdal = scene.reference.gdal
        land = gdal.Open(str(self.folder / "land.tif"))
        gdal.GetDriverByName("GTiff").CreateCopy(str(self.folder / "strips.tif"), land)
        gdal.GetDriverByName("HFA").CreateCopy(str(self.folder / "land.img"), land)
        for name, word in (("strips.tif", "strip"), ("land.img", "TIFF")):
            out, _ = self.run_tilth("check", self.folder / name)
            reason = [line for line in out.splitlines() if line.startswith("reader")][0]
            self.assertRegex(reason, r"reader +gdal: \w+")
            self.assertIn(word, reason)
        out, _ = self.run_tilth("check", self.folder / "land.tif", "--gdal")
        self.assertIn("gdal", out)

    def test_a_palette_becomes_a_style(self):
        gdal = scene.reference.gdal
        memory = gdal.GetDriverByName("MEM").CreateCopy("", gdal.Open(str(self.folder / "land.tif")))
        table = gdal.ColorTable()
        table.SetColorEntry(10, (1, 2, 3, 255))
        table.SetColorEntry(20, (250, 200, 0, 255))
        memory.GetRasterBand(1).SetColorTable(table)
        gdal.GetDriverByName("COG").CreateCopy(str(self.folder / "palette.tif"), memory)
        out, _ = self.run_tilth("check", self.folder / "palette.tif", "--style")
        style = json.loads(out)
        colors = {c["value"]: c["color_hint"].lstrip("#") for c in style["classification:classes"]}
        self.assertEqual((colors[10], colors[20]), ("010203", "FAC800"))
        self.assertNotIn(0, colors, "nodata is no class")
        self.assertEqual(set(colors), {10, 20}, "black stands for values without a colour")
        _, said = self.run_tilth("check", self.folder / "land.tif", "--style", status=FAILED)
        self.assertIn("palette", said)

    def test_a_file_that_was_cut_off_is_status_1_and_says_where(self):
        whole = (self.folder / "land.tif").read_bytes()
        (self.folder / "cut.tif").write_bytes(whole[:len(whole) * 7 // 10])
        out, said = self.run_tilth("check", self.folder / "cut.tif", status=FAILED)
        self.assertIn("reader       tilth", out)
        self.assertRegex(said, rf"truncated: block \d+,\d+ of level 0 ends at byte \d+ of {len(whole) * 7 // 10}")

    def test_a_file_whose_name_begins_with_a_dash_follows_two(self):
        name = self.folder / "--classes"
        name.write_bytes((self.folder / "land.tif").read_bytes())
        self.assertIn("fast path", self.run_tilth("check", "--", "--classes")[0])
        self.assertIn("usage", self.run_tilth("check", "--help", "--")[0])
        _, said = self.run_tilth("check", "--", "--help", status=FAILED)
        self.assertIn("--help: No such file", said)

    def test_what_cannot_be_opened_is_status_1_and_named(self):
        (self.folder / "text.tif").write_text("no raster")
        for href, word in ((self.folder / "absent.tif", "absent.tif"), (self.folder / "text.tif", "text.tif"),
                           (f"http://127.0.0.1:{support.free_port()}/x.tif", "x.tif")):
            _, said = self.run_tilth("check", href, "--fetch-retries", "0", status=FAILED)
            self.assertTrue(said.startswith("tilth check: "), said)
            self.assertEqual(said.count(f"{word}: "), 1, said)

    def test_an_object_in_s3_is_one_request(self):
        with scene.FakeS3() as store:
            store.put("lands", "land.tif", (self.folder / "land.tif").read_bytes())
            settings = scene.store_settings(store)
            options = [f"--{k.replace('_', '-')}={v}" for k, v in settings.items() if "secret" not in k]
            out, _ = self.run_tilth("check", "s3://lands/land.tif", *options,
                                    environment={"TILTH_S3_SECRET_KEY": store.secret_key})
            self.assertIn("opened with  1 request,", out)
            _, said = self.run_tilth("check", "s3://lands/land.tif", *options, status=FAILED,
                                     environment={"TILTH_S3_SECRET_KEY": "wrong"})
            self.assertIn("403", said)


class CheckLayer(Cli):
    """`tilth check` of a layer's document: what starting and looking would say."""

    def document(self, **more):
        path = self.folder / "a.json"
        path.write_text(json.dumps({**support.land_layer(self.folder / "land.tif"), **more}))
        return path, "--styles-dir", support.ROOT / "styles"

    def test_files_and_their_bands_are_opened_in_every_season(self):
        out, _ = self.run_tilth("check", *self.document())
        self.assertIn("layer land: a stored raster, the document is sound", out)
        self.assertIn("1 source opened, bands and grids fit", out)
        gone = self.document(source={"href": "gone.tif"})
        self.assertRegex(self.run_tilth("check", *gone, status=FAILED)[1], r"layer land: \S*/gone.tif: No such file")
        bands = self.document(source={"href": "land.tif", "bands": {"a": 1, "b": 7}})
        self.assertRegex(self.run_tilth("check", *bands, status=FAILED)[1], r'band 7 \("b"\) is wanted and \S*land.tif has 1')
        out, said = self.run_tilth("check", *self.document(seasons={
            "one": {}, "two": {"href": "gone.tif"}, "three": {"href": "lost.tif"}}), status=FAILED)
        self.assertIn("season one: 1 source opened", out)
        self.assertRegex(said, r"season two: .*gone.tif.*\n.*season three: .*lost.tif")
        self.assertIn('no style "absent"', self.run_tilth("check", *self.document(styles=["absent"]), status=FAILED)[1])

    def test_bands_that_only_expressions_name(self):
        samples = np.random.default_rng(1).random((30, 2)).astype(np.float32)
        scene.write_forest(self.folder / "m.tilth", ["a", "b"], [{"value": 4, "name": "four"}, {"value": 5, "name": "five"}],
                           samples, trees=2, depth=2)
        layer = {"id": "crops", "kind": "prediction", "grid": {"like": "s"}, "sources": {"s": {"href": "land.tif"}},
                 "model": {"href": "m.tilth"}, "features": {"a": "s.b1", "b": "s.b2"}}
        (self.folder / "crops.json").write_text(json.dumps(layer))
        _, said = self.run_tilth("check", self.folder / "crops.json", status=FAILED)
        self.assertIn("s.b2", said)
        (self.folder / "crops.json").write_text(json.dumps({**layer, "features": {"a": "s.b1", "b": "s.b1"}}))
        self.assertIn("2 features, each with an expression", self.run_tilth("check", self.folder / "crops.json")[0])
        called = {"grid": {"like": "model"}, "sources": {"model": {"href": "land.tif"}}, "features": {"a": "model.b1", "b": "model.b1"}}
        (self.folder / "crops.json").write_text(json.dumps({**layer, **called}))
        self.assertIn("\n1 source opened, bands and grids fit", self.run_tilth("check", self.folder / "crops.json")[0])

    def test_a_store_is_asked_when_it_is_said(self):
        with support.ObjectServer({"/land.tif": (self.folder / "land.tif").read_bytes()}) as store:
            for name, status in (("land.tif", OK), ("gone.tif", FAILED)):
                line = self.document(source={"href": f"{store.base}/{name}"})
                store.requests.clear()
                out, _ = self.run_tilth("check", *line)
                self.assertIn(f"not tried: {store.base}/{name} (--open asks the store)", out)
                self.assertEqual(store.requests, [])
                out, said = self.run_tilth("check", *line, "--open", status=status)
                self.assertIn("1 source opened" if status == OK else "gone.tif", out + said)
        for line in (["a.json", "--classes"], ["a.tif", "--open"]):
            self.run_tilth("check", *line, status=USAGE)


class Model(Cli):
    GOLDEN = support.ROOT / "models" / "crop-mask-south-eastern.tilth"
    LIGHTGBM = support.ROOT / "tests" / "data" / "forest" / "lightgbm_multiclass.txt"

    def test_info_says_what_a_model_is(self):
        out, _ = self.run_tilth("model", "info", self.GOLDEN)
        self.assertIn("trees        250", out)
        self.assertIn("features     33", out)
        self.assertRegex(out, r"  0 +#\w{6} +\S+")
        self.assertIn("NDVI_S1", out)
        self.assertIn("provenance", out)
        out, _ = self.run_tilth("model", "info", self.LIGHTGBM)
        self.assertIn("Column_3", out)

    def test_without_golden_rows_nothing_is_called_proven(self):
        out, _ = self.run_tilth("model", "check", self.LIGHTGBM)
        self.assertRegex(out, r"^valid: .*no golden rows")
        self.assertIn("golden rows  0\n", self.run_tilth("model", "info", self.LIGHTGBM)[0])

    def test_check_replays_the_golden_rows(self):
        out, _ = self.run_tilth("model", "check", self.GOLDEN)
        self.assertRegex(out, r"^ok: .*: \d+ golden rows")
        data = bytearray(self.GOLDEN.read_bytes())
        cut = self.folder / "cut.tilth"
        cut.write_bytes(data[:len(data) // 2])
        _, said = self.run_tilth("model", "check", cut, status=FAILED)
        self.assertIn("cut.tilth", said)
        from tilth import container
        manifest, tensors = container.read(self.GOLDEN)
        labels = tensors["golden_label"].copy()
        labels[3] = 1 - labels[3]
        container.write(self.folder / "liar.tilth", manifest, {**tensors, "golden_label": labels})
        _, said = self.run_tilth("model", "check", self.folder / "liar.tilth", status=FAILED)
        self.assertIn("golden row 3", said)

    def test_a_model_is_converted_named_and_proved_again(self):
        made = self.folder / "crops.tilth"
        (self.folder / "names.txt").write_text("red\nnir\nswir\ngreen\n")
        out, _ = self.run_tilth("model", "convert", self.LIGHTGBM, "-o", made, "--features",
                                self.folder / "names.txt", "--class", "0=maize:#ffcc00,2=other", "--golden-rows", "40")
        self.assertIn("crops.tilth", out)
        info, _ = self.run_tilth("model", "info", made)
        for text in ("name         lightgbm_multiclass\n", "  0  #FFCC00  maize\n", "  2  other\n", "  1  nir\n",
                     "golden rows  40, replayed, made by tilth\n", "lightgbm_multiclass.txt"):
            self.assertIn(text, info)
        self.assertIn("what the library gives they cannot say", self.run_tilth("model", "check", made)[0])
        _, said = self.run_tilth("model", "convert", self.LIGHTGBM, "-o", self.folder / "x", "--class", "9=maize",
                                 status=FAILED)
        self.assertIn('"9=maize" names no class', said)
        self.assertFalse((self.folder / "x").exists())
        _, said = self.run_tilth("model", "convert", self.LIGHTGBM, status=FAILED)
        self.assertIn("-o OUT.tilth", said)

    def test_a_compiled_model_says_so_and_is_the_model_to_any_tilth(self):
        from tilth import container
        made, spoilt = self.folder / "compiled.tilth", self.folder / "spoilt.tilth"
        self.assertIn("compiled     no\n", self.run_tilth("model", "info", self.GOLDEN)[0])
        self.run_tilth("model", "compile", self.GOLDEN, "-o", made)
        self.assertEqual(made.stat().st_mode & 0o777, 0o444)
        version = self.run_tilth("--version")[0].split()[1]
        info, _ = self.run_tilth("model", "info", made)
        self.assertRegex(info, rf"(?m)^compiled     \d+ bytes by tilth {version}, form \d+$")
        self.assertIn("some of them replayed", info)
        checked, _ = self.run_tilth("model", "check", made)
        self.assertIn("ok: its compiled form gives the same on all of them\n", checked)
        manifest, tensors = container.read(self.GOLDEN)
        whole = container.read(made)[1]
        for name, numbers in tensors.items():
            self.assertEqual(numbers.tobytes(), whole[name].tobytes(), name)
        # Its section in another model's file, which has a golden row less.
        rows = len(tensors["golden_label"]) - 1
        fewer = {name: numbers[:rows] if name.startswith("golden_") else numbers for name, numbers in tensors.items()}
        container.write(spoilt, manifest, {**fewer, "compiled": whole["compiled"]})
        info, _ = self.run_tilth("model", "info", spoilt)
        self.assertRegex(info, r"(?m)^compiled     (no|.*not used: it was made of another model)$")
        self.assertIn(f"golden rows  {rows}, replayed", info)
        self.run_tilth("model", "compile", made, "-o", made, status=FAILED)

    def test_bench_measures_what_it_is_asked_to_and_adds_up(self):
        out, _ = self.run_tilth("model", "bench", self.LIGHTGBM, "--pixels", 3000, "--rounds", 3, "--isa", "all",
                                "--threads", 2, "--json")
        said = json.loads(out)
        self.assertEqual((said["trees"], said["pixels"], said["threads"]), (12, 3000, 2))
        self.assertEqual({run["tile"] for run in said["runs"]}, {"smooth", "noisy", "structureless"})
        self.assertEqual(said["runs"][0]["isa"], "scalar")
        for run in said["runs"]:
            self.assertGreaterEqual(run["ns_px"], run["least_ns_px"])
            self.assertAlmostEqual(run["ns_px_tree"], run["ns_px"] / 12, places=3)
            self.assertGreater(min(run[f"{stage}_ns_px"] for stage in ("rank", "order", "sweep", "write")), 0)
        out, _ = self.run_tilth("model", "bench", self.LIGHTGBM, "--pixels", 300, "--rounds", 1, "--tile", "noisy")
        self.assertRegex(out, r"(?m)^noisy +\w+ +[\d.]+ ")
        self.assertNotRegex(out, r"(?m)^smooth ")
        for option, value, text in (("--isa", "sparc", '"sparc" is none of this machine'), ("--tile", "flat", "--tile:"),
                                    ("--pixels", "0", "--pixels: a number from 1")):
            _, said = self.run_tilth("model", "bench", self.LIGHTGBM, option, value, status=FAILED)
            self.assertIn(text, said)

    def test_check_holds_a_layers_features_against_the_models(self):
        names = ["Column_0", "Column_1", "Column_2", "Column_3"]
        layer, lines = self.folder / "layer.json", self.folder / "names.txt"
        document = self.crops(names)
        layer.write_text(json.dumps(document))
        out, _ = self.run_tilth("model", "check", self.LIGHTGBM, "--layer", layer)
        self.assertIn("gives all 4 features", out)
        self.assertIn("layer crops: a prediction, the document is sound", out)
        lines.write_text("Column_0\r\nCOLUMN_1\nColunm_2\nslope\n")
        out, said = self.run_tilth("model", "check", self.LIGHTGBM, "--features", lines, status=FAILED)
        self.assertIn('missing: feature 1 of the model, "Column_1"; it gives "COLUMN_1": is that it?', out)
        self.assertIn('missing: feature 2 of the model, "Column_2"; it gives "Colunm_2": is that it?', out)
        self.assertIn('not used: "slope"', out)
        self.assertIn("gives 1 of the model's 4 features", said)
        layer.write_text('{"id": "raster"}')
        _, said = self.run_tilth("model", "check", self.LIGHTGBM, "--layer", layer, status=FAILED)
        self.assertIn("features", said)

    def crops(self, names, **more):
        return {"id": "crops", "kind": "prediction", "grid": {"like": "s"}, "model": {"href": str(self.LIGHTGBM)},
                "sources": {"s": {"href": "nowhere.tif", "bands": {"a": 1}}}, "features": {name: "s.a" for name in names}, **more}

    def test_check_says_of_a_layer_what_serving_would_say(self):
        names = [f"Column_{i}" for i in range(4)]
        layer, other, styles = self.folder / "served.json", self.folder / "other.txt", self.folder / "my styles"
        other.write_bytes(self.LIGHTGBM.read_bytes() + b"\n")
        styles.mkdir(exist_ok=True)
        for name, classes in (("half", {0: "zero", 2: "2"}), ("none", {77: "x"})):
            (styles / f"{name}.json").write_text(json.dumps(
                {"id": name, "title": name, "type": "classes", "classification:classes":
                 [{"value": v, "name": n, "color_hint": "112233"} for v, n in classes.items()]}))
        same = self.folder / "same.txt"
        same.write_bytes(self.LIGHTGBM.read_bytes())
        wrong = [(self.crops([*names, "slope"]), "leave out what it does not know"),
                 (self.crops(names, features={**dict.fromkeys(names, "s.a"), "Column_2": "s.b + 1"}), "s.b"),
                 (self.crops(names, features={**dict.fromkeys(names, "s.a"), "Column_2": "s.a +"}), "features.Column_2"),
                 (self.crops(names, post=[{"op": "unsure", "below": 50, "value": 2}]), "unsure"),
                 (self.crops(names, outputs=["probability:maize"]), "maize"),
                 (self.crops(names, styles=["none"]), "none of the model's classes"),
                 (self.crops(names, styles=["absent"]), f'no style "absent" in the styles folder, {styles}'),
                 (self.crops(names, aoi="absent.geojson"), "absent.geojson"),
                 (self.crops(names, model={"href": str(other)}), "names another model"),
                 (self.crops(names, model={"href": "gone.tilth"}), "which cannot be read"),
                 ({"id": "crops", "features": dict.fromkeys(names, "s.a")}, "kind")]
        for document, word in wrong:
            layer.write_text(json.dumps(document))
            line = [self.LIGHTGBM, "--layer", layer, "--styles-dir", styles]
            self.assertIn(word, self.run_tilth("model", "check", *line, status=FAILED)[1])
        layer.write_text(json.dumps(self.crops(names, styles=["half"], model={"href": str(same)})))
        out, _ = self.run_tilth("model", "check", *line)
        self.assertRegex(out, r'note: class 1, ".*", is not in the style half and will not be painted')
        self.assertRegex(out, r'note: class 0 is ".*" in the model and "zero" in the style half')

    def test_what_is_no_model_is_called_what_it_is(self):
        cut = self.folder / "begun.tilth"
        cut.write_bytes(self.GOLDEN.read_bytes()[:600])
        for path, word in ((support.ROOT / "README.md", "this is no model"), (self.folder / "land.tif", "this is a TIFF"),
                           (cut, "cut short: its header alone has")):
            self.assertIn(word, self.run_tilth("model", "info", path, status=FAILED)[1])

    def test_a_pickle_is_never_opened(self):
        import pickle
        path = self.folder / "model.pkl"
        path.write_bytes(pickle.dumps({"a": [1, 2, 3]}))
        _, said = self.run_tilth("model", "check", path, status=FAILED)
        self.assertIn("model.pkl", said)
        self.assertIn("export", said)


class Install(Cli):
    def test_an_installed_tilth_has_its_styles_and_finds_its_viewer(self):
        build = pathlib.Path(support.program()).parent
        if not (build / "cmake_install.cmake").exists():
            self.skipTest("the program is not in a build folder")
        prefix = self.folder / "prefix"
        subprocess.run(["cmake", "--install", build, "--prefix", prefix], check=True, capture_output=True, timeout=120)
        installed = {p.name for p in (prefix / "share/tilth/styles").iterdir()}
        self.assertEqual(installed, {p.name for p in (support.ROOT / "styles").glob("*.json")})
        viewer = prefix / "share/tilth/viewer/index.html"
        self.assertEqual(viewer.exists(), (support.ROOT / "build/viewer/index.html").exists())
        viewer.parent.mkdir(parents=True, exist_ok=True)
        viewer.write_text("<html><title>installed</title></html>")
        with support.Tilth(styles_dir=prefix / "share/tilth/styles", program=prefix / "bin/tilth") as tilth:
            self.assertIn(b"installed", tilth.get("/viewer/").body)


class Render(Cli):
    def test_it_is_the_tile_that_the_server_gives(self):
        samples = np.random.default_rng(1).random((300, 2)).astype(np.float32)
        planes = np.random.default_rng(2).random((2, SIZE, SIZE), np.float32)
        scene.write_cog(self.folder / "s.tif", planes, (WEST, NORTH), PIXEL, options=["COMPRESS=DEFLATE"])
        scene.write_forest(self.folder / "m.tilth", ["a", "b"], [{"value": 4, "name": "four", "color": "112233"},
                                                                 {"value": 5, "name": "five", "color": "AABBCC"}],
                           samples, trees=4, depth=4)
        crops = {"id": "crops", "title": "Crops", "kind": "prediction", "grid": {"like": "s"},
                 "sources": {"s": {"href": str(self.folder / "s.tif"), "bands": {"a": 1, "b": 2}}},
                 "model": {"href": str(self.folder / "m.tilth")}, "features": {"a": "s.a", "b": "s.b"},
                 "post": [{"op": "majority", "size": 3}]}
        land = support.land_layer(self.folder / "land.tif")
        tile = "%d/%d/%d" % scene.tile_of(*MIDDLE, 14)
        with support.Tilth([land, crops]) as tilth:
            options = ["--config", tilth.folder / "tilth.conf"]
            for layer in ("land", "crops"):
                for end in (".png", "@2x.png", ".webp", ".jpg"):
                    served = tilth.get(f"/tiles/{layer}/{tile}{end}")
                    path = self.folder / f"out{end}"
                    out, _ = self.run_tilth("render", layer, tile + end, "-o", path, *options)
                    self.assertEqual(path.read_bytes(), served.body, (layer, end))
                    self.assertIn(f"{len(served.body)} bytes", out)
            path = self.folder / "out.png"
            self.run_tilth("render", "crops", tile, "--o", path, "--cache", *options)
            self.assertEqual(path.read_bytes(), tilth.get(f"/tiles/crops/{tile}.png").body)

    def test_errors_say_what_is_wrong(self):
        with support.Tilth([support.land_layer(self.folder / "land.tif")]) as tilth:
            options = ["-o", self.folder / "x.png", "--config", tilth.folder / "tilth.conf"]
            for layer, tile, status, word in (("nope", "1/0/0", FAILED, "nope"), ("land", "1/0", USAGE, "14/9650/8901"),
                                              ("land", "1/9/0", FAILED, "column"), ("land", "1/0/0.gif", FAILED, "png"),
                                              ("land", "1/0/0x", USAGE, "x"),
                                              ("land", "1/4294967296/0", USAGE, "4294967296"), ("land", "1/-1/0", USAGE, "-1")):
                _, said = self.run_tilth("render", layer, tile, *options, status=status)
                self.assertIn(word, said)
            _, said = self.run_tilth("render", "land", "1/0/0", *options, "--style", "nope", status=FAILED)
            self.assertIn("esa-worldcover", said)
            _, said = self.run_tilth("render", "land", "1/0/0", "-o", "/nowhere/x.png", *options[2:], status=FAILED)
            self.assertIn("/nowhere/x.png", said)
        self.assertFalse((self.folder / "x.png").exists())


class Cache(Cli):
    def test_stat_and_verify_beside_a_server_and_after_it(self):
        with support.Tilth([support.land_layer(self.folder / "land.tif")]) as tilth:
            tiles = scene.tiles_over((WEST, NORTH - SIZE * PIXEL, WEST + SIZE * PIXEL, NORTH), 14)
            for tile in tiles:
                tilth.get(scene.path_of("land", tile))
            support.wait_until(lambda: tilth.metric("tilth_cache_written_total") >= len(tiles), "all is written")
            folder = tilth.folder / "cache"
            for _ in range(2):
                out, _ = self.run_tilth("cache", "stat", "--cache-dir", folder)
                stat = json.loads(out)
                self.assertIn("land", json.dumps(stat))
                out, _ = self.run_tilth("cache", "verify", "--cache-dir", folder)
                self.assertRegex(out, r"^(\d+) values, .* 0 corrupt, 0 orphaned")
                self.assertGreaterEqual(int(out.split()[0]), len(tiles))
                tilth.stop()

    def test_no_cache_is_said(self):
        _, said = self.run_tilth("cache", "stat", "--cache-dir", self.folder / "absent", status=FAILED)
        self.assertIn("absent", said)
        self.assertFalse((self.folder / "absent").exists(), "looking makes nothing")
        self.run_tilth("cache", "verify", "--cache-dir", "", status=USAGE)


class Config(Cli):
    def test_it_prints_what_it_reads(self):
        out, _ = self.run_tilth("config")
        path = self.folder / "tilth.conf"
        path.write_text(out)
        self.assertEqual(self.run_tilth("config", "--config", path)[0], out)
        for key in ("listen", "cache_size", "s3_endpoint", "render_deadline"):
            self.assertRegex(out, rf"(?m)^#?{key} *=")

    def test_file_then_environment_then_line(self):
        path = self.folder / "one.conf"
        path.write_text("workers = 3\nlane_queue = 7\nloops = 2\n")
        out, _ = self.run_tilth("config", "--config", path, "--loops", "5",
                                environment={"TILTH_LANE_QUEUE": "9", "TILTH_LOOPS": "4"})
        for key, value in (("workers", 3), ("lane_queue", 9), ("loops", 5)):
            self.assertRegex(out, rf"(?m)^{key} *= *{value}$")

    def test_secrets_are_not_printed(self):
        out, _ = self.run_tilth("config", environment={"TILTH_S3_SECRET_KEY": "hushhush"})
        self.assertNotIn("hushhush", out)

    def test_a_mistake_in_a_file_has_a_place(self):
        path = self.folder / "bad.conf"
        path.write_text("# fine\nworkers = 3\nworkrs = 3\n")
        _, said = self.run_tilth("config", "--config", path, status=USAGE)
        self.assertIn("bad.conf", said)
        self.assertIn("3", said)
        self.assertIn("workrs", said)
        _, said = self.run_tilth("config", "--config", self.folder / "absent.conf", status=FAILED)
        self.assertIn("absent.conf", said)


class Serve(Cli):
    def test_what_cannot_start_says_why(self):
        _, said = self.run_tilth("serve", "--layers-dir", self.folder / "absent", "--cache-dir", "", "--styles-dir",
                                 support.ROOT / "styles", status=FAILED)
        self.assertRegex(said, r"layers_dir \S*absent: No such file")
        (self.folder / "layers").mkdir(exist_ok=True)
        good = ("serve", "--layers-dir", self.folder / "layers", "--styles-dir", support.ROOT / "styles", "--cache-dir", "")
        _, said = self.run_tilth(*good, "--viewer-dir", "/nowhere/viewer", status=USAGE)
        self.assertIn("viewer_dir /nowhere/viewer: No such file", said)
        (self.folder / "file").write_text("")
        _, said = self.run_tilth(*good[:-1], self.folder / "file", status=USAGE)
        self.assertRegex(said, r"cache \S+/file: Not a directory\n")
        for listen, word in (("nowhere", "nowhere"), ("127.0.0.1:99999", "99999"), ("256.1.1.1:80", "256.1.1.1")):
            clean = subprocess.run([support.program(), *map(str, good), "--listen", listen], capture_output=True, text=True,
                                   timeout=support.PATIENCE)
            self.assertIn(clean.returncode, (FAILED, USAGE))
            self.assertIn(word, clean.stderr)
        with support.socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            done = subprocess.run([support.program(), *map(str, good), "--listen", address], capture_output=True, text=True,
                                  timeout=support.PATIENCE)
            self.assertIn(done.returncode, (FAILED, USAGE))
            self.assertIn(address.rsplit(":", 1)[1], done.stderr)


if __name__ == "__main__":
    unittest.main()
