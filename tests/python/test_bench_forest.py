"""What bench/forest says must be right: wrong labels are found, whoever gives them, and whatever the cost was."""
import importlib.util
import pathlib
import sys
import tempfile
import types
import unittest

try:
    import numpy as np
except ImportError:
    raise unittest.SkipTest("numpy is not installed")

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench" / "forest"), str(ROOT / "tools")]

import engines  # noqa: E402
import families  # noqa: E402
import report  # noqa: E402
import rounds  # noqa: E402
import scenes  # noqa: E402

# An engine that labels by the first byte of each row, but for the rows that it is told, in the round it is told.
FAKE = """
import json, sys
wrong, at, turn = [int(w) for w in sys.argv[2].split(",") if w], int(sys.argv[1]), 0
print(json.dumps({"load_ns": 1}), flush=True)
for line in sys.stdin:
    command, path, *more = line.split()
    if command == "tile":
        label = bytearray(open(path, "rb").read()[:int(more[0])])
        print("{}", flush=True)
        continue
    turn += 1
    given = bytearray(label)
    for i in wrong:
        if turn >= at and i < len(given):
            given[i] ^= 1
    open(path, "wb").write(given)
    print(json.dumps({"ns": 1000 * turn}), flush=True)
"""


class Rounds(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "tile.rows").write_bytes(bytes(range(10)) * 10)

    def engine(self, name, wrong="", first_round=1, pixels=None):
        worker = rounds.Worker(name, [sys.executable, "-c", FAKE, str(first_round), wrong], "tile.rows", pixels)
        self.addCleanup(worker.close)
        worker.tile(self.folder, 100)
        return worker

    def rows(self, *workers):
        found = rounds.alternate(list(workers), self.folder, 3)
        family = types.SimpleNamespace(name="golden", title="", trees=10)
        return [report.row(family, "golden", "smooth", w.name, found) for w in workers[1:]]

    def test_a_wrong_label_of_tilth_fails_the_run(self):
        rows = self.rows(self.engine("tilth", "17"), self.engine("sklearn"), self.engine("onnxruntime"))
        self.assertEqual([r["wrong"] for r in rows], [1, 1])
        self.assertEqual([r["peer_wrong"] for r in rows], [0, 0])
        self.assertIn("golden on smooth (1)", report.verdict(rows))
        self.assertIn("TILTH WRONG: 1 labels", report.line(rows[0]))

    def test_equal_labels_pass(self):
        rows = self.rows(self.engine("tilth"), self.engine("sklearn"))
        self.assertIsNone(report.verdict(rows))
        self.assertEqual(rows[0]["tilth_best"], 1.0)  # 1000 ns, 100 pixels, 10 trees; the other rounds took more
        self.assertEqual(rows[0]["tilth_median"], 2.0)
        self.assertNotIn("UNSTEADY", report.line(rows[0]))

    def test_an_answer_that_was_remembered_is_told(self):
        rows = self.rows(self.engine("tilth"), self.engine("sklearn"))
        self.assertIn("UNSTEADY", report.line({**rows[0], "peer_best": rows[0]["peer_median"] / 100}))

    def test_wrong_labels_of_a_peer_are_counted_and_do_not_fail(self):
        rows = self.rows(self.engine("tilth"), self.engine("sklearn"), self.engine("onnxruntime", "1,2,99"))
        self.assertEqual([r["peer_wrong"] for r in rows], [0, 3])
        self.assertIn("3 of 100 labels wrong", report.line(rows[1]))
        self.assertIsNone(report.verdict(rows))

    def test_a_slow_peer_is_compared_on_the_pixels_it_was_given(self):
        rows = self.rows(self.engine("tilth"), self.engine("sklearn"), self.engine("ydf", "10,99", pixels=50))
        self.assertEqual((rows[1]["peer_pixels"], rows[1]["peer_wrong"]), (50, 1))

    def test_labels_that_change_between_rounds_are_refused(self):
        with self.assertRaisesRegex(rounds.Failed, "tilth gives other labels"):
            self.rows(self.engine("tilth", "5", first_round=2), self.engine("sklearn"))

    def test_an_engine_that_ends_is_a_failure(self):
        with self.assertRaisesRegex(rounds.Failed, "tilth, which ended with 3"):
            rounds.Worker("tilth", [sys.executable, "-c", "import sys; sys.exit(3)"], "tile.rows")

    def test_no_label_at_all_is_no_comparison(self):
        with self.assertRaises(rounds.Failed):
            rounds.count_wrong(np.array([], np.uint8), np.array([1], np.uint8))

    def test_nothing_measured_is_no_success(self):
        self.assertIn("nothing", report.verdict([]))


class Figures(unittest.TestCase):
    def test_growth_is_told_per_doubling(self):
        np.testing.assert_allclose(rounds.per_doubling([1, 2, 8], [10, 20, 80]), [2, 2])
        np.testing.assert_allclose(rounds.per_doubling([1, 4], [1, 16]), [4])

    def test_the_first_of_equal_scores_is_the_label(self):
        self.assertEqual(engines.labels_of([[1, 3, 3], [5, 5, 0]]).tolist(), [1, 0])
        self.assertEqual(engines.labels_of([0.5, 0.6]).tolist(), [0, 1])


    def test_a_goal_is_met_only_where_every_tile_meets_it(self):
        group = [{"tile": t, "ratio": r, "goal": 10, "met": r >= 10} for t, r in (("smooth", 12.0), ("noisy", 8.0))]
        self.assertEqual(report.outcome(group[:1]), "met")
        self.assertEqual(report.outcome(group), "met, but for noisy")
        self.assertEqual(report.outcome(group[1:]), "missed, by 1.25x")
        self.assertEqual(report.ratio_of(group, "noisy"), "8.00 ✗")

    def test_tables_take_the_place_of_the_last_ones_and_nothing_else(self):
        page = f"# a\n{report.BEGIN}\nold\n{report.END}\n# b\n"
        self.assertEqual(report.between(page, "new"), page.replace("old", "new"))
        with self.assertRaises(ValueError):
            report.between("# a\n", "new")

    def test_what_was_not_measured_again_stays(self):
        def rows(*pairs):
            return [{"family": f, "scene": "s", "tile": "t", "peer": "p", "ratio": r} for f, r in pairs]
        empty = {"loads": [], "curves": [], "builds": []}
        both = report.merged({"rows": rows(("a", 1), ("b", 2)), **empty}, {"rows": rows(("b", 3), ("c", 4)), **empty})
        self.assertEqual([(r["family"], r["ratio"]) for r in both["rows"]], [("a", 1), ("b", 3), ("c", 4)])
        self.assertEqual(report.merged({}, {"rows": [], **empty})["rows"], [])

    def test_the_page_has_a_place_for_the_tables(self):
        page = (ROOT / "docs" / "bench.md").read_text()
        self.assertIn("new", report.between(page, "new"))

    def test_every_comparison_has_a_goal(self):
        for family in families.FAMILIES:
            for peer in family.peers:
                self.assertIn((family.name, peer), report.GOALS)
                self.assertIn(peer, report.TITLES)


class Scenes(unittest.TestCase):
    @unittest.skipIf(importlib.util.find_spec("osgeo") is None, "python3-gdal is not installed")
    def test_the_golden_features_are_those_of_the_demo(self):
        import make_demo
        import reference
        bands, features = scenes.golden_bands()
        rng = np.random.default_rng(1)
        planes = [rng.integers(1, 10000, 500).astype(np.uint16 if kind == "u16" else np.float32) for _, kind in bands]
        # rain.s1 is s1_rain here, d1.edev s1_edev, slope.slope slope
        known = {f"{name[0] if name[3:] not in ('bcdev', 'edev', 'sdev') else 'd'}{name[1]}.{name[3:]}":
                 plane.astype(np.float32) for (name, _), plane in zip(bands, planes)}
        known |= {"rain.s1": known.pop("s1.rain"), "rain.s2": known.pop("s2.rain"),
                  "slope.slope": planes[-1].astype(np.float32)}
        wanted = list(make_demo.features().values())
        got = scenes.evaluate(bands, features, planes)
        self.assertEqual(len(got), len(wanted))
        for text, plane in zip(wanted, got):
            np.testing.assert_array_equal(plane, reference.Expression(text)(known), text)
            self.assertEqual(plane.dtype, np.float32)


if __name__ == "__main__":
    unittest.main()
