"""The Python package: a written model reads back, decides as its source did, and damage is refused."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))
import tilth  # noqa: E402
from tilth import container  # noqa: E402
from tilth.floats import floor_float32  # noqa: E402

try:
    import sklearn
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier
except ImportError:
    sklearn = None

GOLDEN = ROOT / "models" / "crop-mask-south-eastern.tilth"


def small_model():
    """One tree: x0 <= 0.5 -> class 7; else x1 <= 2 -> 9, or both alike (the first wins)."""
    tensors = {
        "tree_offsets": np.array([0, 5], np.uint32), "feature": np.array([0, -1, 1, -1, -1], np.int32),
        "threshold": np.array([0.5, 0, 2, 0, 0], np.float32), "left": np.array([1, -1, 3, -1, -1], np.int32),
        "right": np.array([2, -1, 4, -1, -1], np.int32), "leaf": np.array([0, 0, 0, 1, 2], np.uint32),
        "leaf_values": np.array([[1, 0], [0, 1], [0.5, 0.5]]),
        "golden_x": np.array([[0.5, 0], [1, 2], [1, 3]], np.float32),
        "golden_p": np.array([[1, 0], [0, 1], [0.5, 0.5]]), "golden_label": np.array([7, 9, 7], np.uint8)}
    manifest = {"format": 1, "name": "small", "kind": "random-forest", "features": ["a", "b"],
                "classes": [{"value": 7, "name": "seven"}, {"value": 9, "name": "nine"}]}
    return manifest, tensors


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = str(pathlib.Path(self.folder.name) / "m.tilth")

    def tearDown(self):
        self.folder.cleanup()

    def write(self, **changes):
        manifest, tensors = small_model()
        for key, value in changes.items():
            (tensors if key in tensors else manifest)[key] = value
        container.write(self.path, manifest, tensors)
        return self.path

    def refused(self, words, **changes):
        with self.assertRaisesRegex(tilth.ModelError, words):
            tilth.load(self.write(**changes)).verify()

    def test_a_written_model_reads_back_and_verifies(self):
        model = tilth.load(self.write())
        self.assertEqual(model.verify(), (3, 0.0))
        self.assertEqual(model.features, ["a", "b"])
        self.assertEqual(model.depth(), 2)

    def test_equal_probabilities_go_to_the_first_class(self):
        self.assertEqual(list(tilth.load(self.write()).labels([[1, 3]])), [7])

    def test_a_value_on_the_threshold_goes_left(self):
        model = tilth.load(self.write())
        above = np.nextafter(np.float32(0.5), np.float32(1))
        self.assertEqual(list(model.labels(np.array([[0.5, 0], [above, 0]], np.float32))), [7, 9])

    def test_tensors_start_on_multiples_of_eight(self):
        data = pathlib.Path(self.write()).read_bytes()
        size = int.from_bytes(data[:8], "little")
        self.assertEqual(size % 8, 0)
        for entry in container.json.loads(data[8:8 + size]).values():
            self.assertEqual(entry.get("data_offsets", [0])[0] % 8, 0)

    def test_damage_is_refused_in_words(self):
        self.refused("golden row 0: expected class 9", golden_label=np.array([9, 9, 7], np.uint8))
        self.refused("probabilities differ", golden_p=np.array([[0.999, 0.001], [0, 1], [0.5, 0.5]]))
        self.refused("below its parent", left=np.array([0, -1, 3, -1, -1], np.int32))
        self.refused("below its parent", right=np.array([2, -1, 5, -1, -1], np.int32))
        self.refused("asks for feature 2", feature=np.array([0, -1, 2, -1, -1], np.int32))
        self.refused("past leaf_values", leaf=np.array([0, 0, 0, 1, 3], np.uint32))
        self.refused("tree_offsets", tree_offsets=np.array([0, 4], np.uint32))
        self.refused("not finite", threshold=np.array([np.nan, 0, 2, 0, 0], np.float32))
        self.refused("has shape", leaf_values=np.eye(3))
        self.refused("different integers", classes=[{"value": 7}, {"value": 255}])
        self.refused("format 4", format=4)
        self.refused("parts must be a list", format=2)
        self.refused("kind 'lightgbm'", kind="lightgbm")

    def test_every_truncation_is_refused(self):
        data = pathlib.Path(self.write()).read_bytes()
        cut = pathlib.Path(self.path)
        for size in range(0, len(data) - 8, 3):
            cut.write_bytes(data[:size])
            with self.assertRaises(tilth.ModelError):
                tilth.load(cut).verify()

    def test_every_changed_byte_of_the_tensors_is_refused(self):
        data = bytearray(pathlib.Path(self.write()).read_bytes())
        changed = pathlib.Path(self.path)
        for at in range(8 + int.from_bytes(data[:8], "little"), len(data)):
            data[at] ^= 1
            changed.write_bytes(data)
            with self.assertRaisesRegex(tilth.ModelError, "do not have the checksum"):
                tilth.load(changed)
            data[at] ^= 1
        without = bytes(data).replace(b'crc32', b'CRC32')  # a file of before there was one
        changed.write_bytes(without)
        tilth.load(changed).verify()

    def test_the_models_here_have_a_checksum(self):
        for path in GOLDEN.parent.glob("*.tilth"):
            self.assertRegex(tilth.load(path).manifest["crc32"], "^[0-9a-f]{8}$")

    def test_a_pickle_is_named_and_not_opened(self):
        import gzip
        import pickle
        import zlib
        path = pathlib.Path(self.path)
        for protocol in (2, 3, 4, 5):
            plain = pickle.dumps({"a": list(range(1000))}, protocol)
            for data in (plain, zlib.compress(plain), gzip.compress(plain)):
                path.write_bytes(data)
                with self.assertRaisesRegex(tilth.ModelError, "this is a pickle"):
                    tilth.load(path)

    def test_rows_that_do_not_fit_are_refused(self):
        model = tilth.load(self.write())
        with self.assertRaisesRegex(tilth.ModelError, "2 features"):
            model.labels([[1, 2, 3]])
        with self.assertRaisesRegex(tilth.ModelError, "nodata"):
            model.labels([[np.nan, 2]])

    def test_the_command_line_says_what_is_in_a_file(self):
        run = lambda *a: subprocess.run([sys.executable, "-m", "tilth", *a], cwd=ROOT / "python",  # noqa: E731
                                        capture_output=True, text=True)
        path = self.write()
        self.assertIn("1 trees, 5 nodes", run("info", path).stdout)
        self.assertIn("3 golden rows reproduced", run("verify", path).stdout)
        pathlib.Path(path).write_bytes(b"nothing of the kind")
        bad = run("verify", path)
        self.assertEqual(bad.returncode, 1)
        self.assertIn("no tilth model", bad.stderr)


class Thresholds(unittest.TestCase):
    def test_a_floored_threshold_decides_every_float32_as_the_double_does(self):
        rng = np.random.default_rng(1)
        t = np.concatenate((rng.normal(size=4000), rng.normal(size=4000).astype(np.float32).astype(np.float64)))
        low = floor_float32(t)
        for x in (low, np.nextafter(low, np.float32(9)), np.nextafter(low, np.float32(-9)), t.astype(np.float32)):
            np.testing.assert_array_equal(x <= low, x.astype(np.float64) <= t)


class Golden(unittest.TestCase):
    def test_the_committed_model_reproduces_its_golden_rows(self):
        rows, difference = tilth.load(GOLDEN).verify()
        self.assertEqual((rows, difference), (1024, 0.0))

    def test_the_committed_model_has_golden_rows_on_thresholds(self):
        model = tilth.load(GOLDEN)
        x, t = model.tensors["golden_x"][256:], model.tensors
        on = sum(bool(np.isin(row, t["threshold"]).any()) for row in x[::3])
        self.assertEqual(on, 256)


@unittest.skipIf(sklearn is None, "scikit-learn is not installed")
class Export(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = str(pathlib.Path(self.folder.name) / "m.tilth")
        rng = np.random.default_rng(5)
        self.x = rng.normal(size=(600, 5)).astype(np.float32)
        self.y = np.array([3, 5, 40])[np.digitize(self.x[:, 0] * self.x[:, 1] + rng.normal(size=600) / 3, [-0.3, 0.3])]

    def tearDown(self):
        self.folder.cleanup()

    def equal(self, estimator):
        estimator.fit(self.x, self.y)
        tilth.export(estimator, self.path, features="abcde", golden=self.x)
        model = tilth.load(self.path)
        np.testing.assert_array_equal(model.probabilities(self.x), estimator.predict_proba(self.x))
        np.testing.assert_array_equal(model.labels(self.x), estimator.predict(self.x))
        self.assertEqual(model.verify()[1], 0.0)
        return model

    def test_forests_and_trees_are_reproduced_bit_for_bit(self):
        self.assertEqual(self.equal(RandomForestClassifier(20, random_state=1, n_jobs=1)).manifest["kind"],
                         "random-forest")
        self.assertEqual(self.equal(ExtraTreesClassifier(20, random_state=1)).manifest["kind"], "extra-trees")
        self.assertEqual(self.equal(DecisionTreeClassifier(random_state=1)).tree_count, 1)
        self.equal(RandomForestClassifier(10, random_state=1, max_leaf_nodes=30, class_weight="balanced"))
        self.equal(RandomForestClassifier(10, random_state=1, min_samples_leaf=9, criterion="entropy"))

    def test_what_cannot_be_exported_is_refused_in_words(self):
        forest = RandomForestClassifier(3, random_state=1)
        refuse = lambda words: self.assertRaisesRegex(tilth.ModelError, words)  # noqa: E731
        with refuse("not fitted"):
            tilth.export(forest, self.path, features="abcde", golden=self.x)
        forest.fit(self.x, self.y)
        with refuse("4 feature names"):
            tilth.export(forest, self.path, features="abcd", golden=self.x)
        with refuse("1 classes given"):
            tilth.export(forest, self.path, features="abcde", golden=self.x, classes=[{"value": 1}])
        two = RandomForestClassifier(3).fit(self.x, np.stack((self.y, self.y), axis=1))
        with refuse("2 outputs"):
            tilth.export(two, self.path, features="abcde", golden=self.x)
        self.assertFalse(pathlib.Path(self.path).exists())


if __name__ == "__main__":
    unittest.main()
