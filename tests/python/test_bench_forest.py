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

import curves  # noqa: E402
import engines  # noqa: E402
import families  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
import rounds  # noqa: E402
import scenes  # noqa: E402

# An engine that labels by the first byte of each row, but for the rows that it is told, in the round it is told. It ends
# in round sys.argv[3], and takes sys.argv[4] ns a round more each round.
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
    if turn == int(sys.argv[3]):
        sys.exit(3)
    given = bytearray(label)
    for i in wrong:
        if turn >= at and i < len(given):
            given[i] ^= 1
    open(path, "wb").write(given)
    print(json.dumps({"ns": int(sys.argv[4]) * turn}), flush=True)
"""


class Rounds(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "tile.rows").write_bytes(bytes(range(10)) * 10)

    def engine(self, name, wrong="", first_round=1, pixels=None, ends=0, ns=1000, required=False):
        argv = [sys.executable, "-c", FAKE, str(first_round), wrong, str(ends), str(ns)]
        worker = rounds.Worker(name, argv, "tile.rows", pixels, required=required or name.startswith("tilth"))
        self.addCleanup(worker.close)
        return worker

    def found(self, *workers):
        return rounds.alternate(list(workers), self.folder, 100, 3, "sklearn")

    def rows(self, *workers):
        found, failed = self.found(self.engine("tilth-label", ns=800), *workers)
        self.assertEqual(failed, {})
        family = types.SimpleNamespace(name="golden", title="", trees=10)
        return [report.row(family, "golden", "smooth", w.name, found) for w in workers[1:]]

    def verdict(self, rows):
        return report.verdict({"rows": rows, "measured": [{}]})

    def test_a_wrong_label_of_tilth_fails_the_run(self):
        rows = self.rows(self.engine("tilth", "17"), self.engine("sklearn"), self.engine("onnxruntime"))
        self.assertEqual([r["wrong"] for r in rows], [1, 1])
        self.assertEqual([r["peer_wrong"] for r in rows], [0, 0])
        self.assertIn("golden on smooth (1)", self.verdict(rows))
        self.assertIn("TILTH WRONG: 1 labels", report.line(rows[0]))

    def test_equal_labels_pass(self):
        rows = self.rows(self.engine("tilth"), self.engine("sklearn"))
        self.assertIsNone(self.verdict(rows))
        self.assertEqual(rows[0]["confidence_best"], 1.0)  # 1000 ns, 100 pixels, 10 trees; the other rounds took more
        self.assertEqual(rows[0]["confidence_median"], 2.0)
        self.assertEqual(rows[0]["label_best"], 0.8)
        self.assertNotIn("UNSTEADY", report.line(rows[0]))

    def test_probabilities_are_compared_with_confidence_and_raw_scores_with_labels_alone(self):
        found, _ = self.found(self.engine("tilth-label", ns=800), self.engine("tilth"), self.engine("sklearn", ns=8000))
        self.assertEqual(report.row(types.SimpleNamespace(name="golden", title="", trees=10), "golden", "smooth", "sklearn",
                                    found)["ratio"], 8)
        found["lightgbm"] = found.pop("sklearn")
        row = report.row(types.SimpleNamespace(name="lightgbm-31", title="", trees=10), "s", "smooth", "lightgbm", found)
        self.assertEqual((row["asked"], row["ratio"]), ("label", 10))

    def test_an_answer_that_was_remembered_is_told(self):
        rows = self.rows(self.engine("tilth"), self.engine("sklearn"))
        self.assertIn("UNSTEADY", report.line({**rows[0], "peer_best": rows[0]["peer_median"] / 100}))

    def test_wrong_labels_of_a_peer_are_counted_and_do_not_fail(self):
        rows = self.rows(self.engine("tilth"), self.engine("sklearn"), self.engine("onnxruntime", "1,2,99"))
        self.assertEqual([r["peer_wrong"] for r in rows], [0, 3])
        self.assertIn("3 of 100 labels wrong", report.line(rows[1]))
        self.assertIsNone(self.verdict(rows))

    def test_a_slow_peer_is_compared_on_the_pixels_it_was_given(self):
        rows = self.rows(self.engine("tilth"), self.engine("sklearn"), self.engine("ydf", "10,99", pixels=50))
        self.assertEqual((rows[1]["peer_pixels"], rows[1]["peer_wrong"]), (50, 1))

    def test_labels_that_change_between_rounds_are_refused(self):
        with self.assertRaisesRegex(rounds.Failed, "tilth, which gives other labels"):
            self.rows(self.engine("tilth", "5", first_round=2), self.engine("sklearn"))

    def test_a_peer_that_ends_between_rounds_is_told_and_the_others_go_on(self):
        found, failed = self.found(self.engine("tilth"), self.engine("sklearn"), self.engine("ydf", ends=2),
                                   self.engine("onnxruntime"))
        self.assertEqual(list(found), ["tilth", "sklearn", "onnxruntime"])
        self.assertEqual(failed, {"ydf": "ydf, which ended with 3"})

    def test_without_the_library_that_trained_there_is_no_comparison(self):
        with self.assertRaisesRegex(rounds.Failed, "sklearn, which ended with 3"):
            self.found(self.engine("tilth"), self.engine("sklearn", ends=2, required=True))

    def test_a_peer_that_never_answers_is_a_failure(self):
        worker = self.engine("ydf")
        self.addCleanup(setattr, rounds, "ANSWER_S", rounds.ANSWER_S)
        rounds.ANSWER_S = 0
        with self.assertRaisesRegex(rounds.Failed, "ydf, which gave no answer"):
            worker._reply()

    def test_an_engine_that_ends_is_a_failure(self):
        with self.assertRaisesRegex(rounds.Failed, "tilth, which ended with 3"):
            rounds.Worker("tilth", [sys.executable, "-c", "import sys; sys.exit(3)"], "tile.rows")

    def test_no_label_at_all_is_no_comparison(self):
        with self.assertRaises(rounds.Failed):
            rounds.count_wrong(np.array([], np.uint8), np.array([1], np.uint8))

    def test_nothing_measured_is_no_success(self):
        self.assertIn("nothing", report.verdict({"rows": [], "measured": []}))

    def test_a_fault_is_no_success(self):
        self.assertIn("golden golden: why", report.verdict({"rows": [], "measured": [{}]}, ["golden golden: why"]))


class Figures(unittest.TestCase):
    def test_the_exponent_of_a_power_is_the_power(self):
        xs = [8, 16, 64, 100]
        for power in (0, 0.5, 1, 2):
            costs = [3 * x ** power for x in xs]
            self.assertAlmostEqual(curves.slope(xs, costs), power)
            np.testing.assert_allclose(curves.steps(xs, costs), [power] * 3, atol=1e-12)

    def test_the_exponent_is_the_least_squares_of_numpy(self):
        xs, costs = [50, 100, 200, 500, 1000], [31.0, 54, 121, 280, 700]
        self.assertAlmostEqual(curves.slope(xs, costs), np.polyfit(np.log(xs), np.log(costs), 1)[0])

    def test_one_step_that_is_more_than_linear_is_told_whatever_the_whole_is(self):
        one = curves.told("trees", "LightGBM", [1, 2, 4, 8, 16], [10, 20, 30, 75, 80])
        self.assertLess(one["exponent"], 1)
        self.assertEqual((one["between"], one["linear"]), ([4, 8], False))
        self.assertAlmostEqual(one["steepest"], np.log2(2.5))
        self.assertIn("1.32, 4 to 8 ✗", report.curve_markdown([{**one, "when": "2026-01-02 03:04", "load": 1.0}])[2])
        self.assertTrue(curves.told("trees", "LightGBM", [1, 2, 4], [10, 20, 42])["linear"])  # 1.07: two measurements

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

    def test_the_page_has_a_place_for_the_tables(self):
        page = (ROOT / "docs" / "bench.md").read_text()
        self.assertIn("new", report.between(page, "new"))

    def test_every_comparison_has_a_goal(self):
        for family in families.FAMILIES:
            for peer in family.peers:
                self.assertIn((family.name, peer), report.GOALS)
                self.assertIn(peer, report.TITLES)


def rows_of(*pairs):
    """(family, peer, ratio) as rows of a results document."""
    return [{"family": f, "scene": "s", "tile": "t", "peer": p, "ratio": r} for f, p, r in pairs]


def document(measured=(), left_out=(), skip=()):
    """`measured`: {family: [(peer, ratio)]}."""
    made = results.empty(skip=skip)
    for family, pairs in dict(measured).items():
        results.add(made, "rows", (family, "s"), rows_of(*((family, *pair) for pair in pairs)), results.now(), 1)
    for family, who, why in left_out:
        results.leave_out(made, "rows", (family, "s"), who, why)
    return made


class Kept(unittest.TestCase):
    def ratios(self, merged):
        return [(r["family"], r["peer"], r["ratio"]) for r in merged["rows"]]

    def test_what_was_not_measured_again_stays(self):
        merged = results.merged(document({"a": [("p", 1)], "b": [("p", 2)]}), document({"b": [("p", 3)], "c": [("p", 4)]}))
        self.assertEqual(self.ratios(merged), [("a", "p", 1), ("b", "p", 3), ("c", "p", 4)])
        self.assertEqual([one["place"][0] for one in merged["measured"]], ["a", "b", "c"])

    def test_what_a_place_had_and_has_no_more_goes(self):
        merged = results.merged(document({"a": [("p", 1), ("q", 2)]}), document({"a": [("p", 3)]}, [("a", "q", "it is gone")]))
        self.assertEqual(self.ratios(merged), [("a", "p", 3)])
        self.assertEqual([one["why"] for one in merged["left_out"]], ["it is gone"])

    def test_a_peer_that_was_skipped_keeps_its_rows(self):
        merged = results.merged(document({"a": [("p", 1), ("q", 2)]}), document({"a": [("p", 3)]}, skip=["q"]))
        self.assertEqual(self.ratios(merged), [("a", "q", 2), ("a", "p", 3)])

    def test_what_is_measured_at_last_is_left_out_no_more(self):
        known = document({}, [("a", "q", "not installed"), ("b", "q", "not installed")])
        merged = results.merged(known, document({"a": [("q", 1)]}))
        self.assertEqual([one["place"][0] for one in merged["left_out"]], ["b"])

    def test_families_come_in_their_order_whenever_they_were_measured(self):
        merged = results.merged(document({"b": [("p", 1)]}), document({"a": [("p", 2)]}), ["a", "b"])
        self.assertEqual(self.ratios(merged), [("a", "p", 2), ("b", "p", 1)])

    def test_results_of_another_format_are_not_merged_with(self):
        self.assertEqual(results.merged({"format": 1, "rows": rows_of(("a", "p", 1))}, document())["rows"], [])
        self.assertEqual(results.merged({}, document())["rows"], [])

    def test_every_entry_says_when_it_was_measured(self):
        made = document({"a": [("p", 1)]})
        self.assertRegex(made["rows"][0]["when"], r"^\d{4}-\d\d-\d\d \d\d:\d\d$")
        self.assertIn("load", made["rows"][0])

    def test_results_are_kept_after_each_family_and_the_page_follows(self):
        with tempfile.TemporaryDirectory() as name:
            path, page = pathlib.Path(name) / "forest.json", pathlib.Path(name) / "bench.md"
            page.write_text(f"before\n{report.BEGIN}\nstale\n{report.END}\nafter\n")
            made = results.empty()
            results.leave_out(made, "rows", ("golden", "golden"), "ydf", "it is not installed")
            report.keep(made, path, page)
            text = page.read_text()
            self.assertIn("Left out: YDF 0.16 of golden, golden (rows): it is not installed.", text)
            self.assertIn("Not measured yet: lightgbm-31", text)
            self.assertNotIn("stale", text)
            self.assertEqual(results.keep(results.empty(), path, report.ORDER)["left_out"][0]["who"], "ydf")

    def test_all_that_is_loaded_has_its_place_in_the_table(self):
        def load(who, file, ms):
            return {"family": "golden", "title": "G", "who": who, "file": file, "ms": ms, "when": "2026-01-02 03:04",
                    "load": 0.5}
        loads = [load("tilth", "model.tilth", 10), load("tilth", "model.onnx", 20), load("sklearn", "model.joblib", 50),
                 load("onnxruntime", "model.onnx", 90), load("ydf", "model.ydf", 30)]
        self.assertEqual(report.load_markdown(loads)[2:],
                         ["| G | 10.0 |  | onnx 20.0 | joblib 50.0 (5.00x) | onnx 90.0 (9.00x) | YDF 0.16 ydf 30.0 (3.00x) "
                          "| 01-02 03:04, 0.5 |"])


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
