"""tilth.export against the real libraries: labels equal on every row, probabilities to the last bits of exp(), by
tilth's reader in Python and by the C engine.

Rows are the training rows, rows exactly on thresholds and one ulp beside them, NaN where the estimator takes it and
categories it has never seen. Each library that is not installed skips its tests by name.
"""
import json
import pathlib
import pickle
import subprocess
import sys
import tempfile
import unittest
import warnings

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))
import tilth  # noqa: E402
from tilth import floats  # noqa: E402
from tilth.golden import predict  # noqa: E402
import engine  # noqa: E402

try:
    import sklearn
    from sklearn.base import clone
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
    from sklearn.ensemble import (AdaBoostClassifier, BaggingClassifier, ExtraTreesClassifier, GradientBoostingClassifier,
                                  HistGradientBoostingClassifier, RandomForestClassifier, StackingClassifier,
                                  VotingClassifier)
    from sklearn.feature_selection import SelectKBest
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeClassifier, SGDClassifier
    from sklearn.model_selection import GridSearchCV
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import (LabelEncoder, MaxAbsScaler, MinMaxScaler, Normalizer, OrdinalEncoder,
                                       RobustScaler, StandardScaler)
    from sklearn.svm import SVC, LinearSVC
    from sklearn.tree import DecisionTreeClassifier
except ImportError:
    sklearn = None
try:
    import lightgbm
except ImportError:
    lightgbm = None
try:
    import xgboost
except ImportError:
    xgboost = None
try:
    import catboost
except ImportError:
    catboost = None

MISSING = sklearn is not None and tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 4)
EXP = 4e-16      # of double probabilities: the last bits of exp()
FLOAT = 2.5e-7   # of XGBoost's, which are float32


class Floats(unittest.TestCase):
    def test_keys_grow_with_the_floats_and_come_back(self):
        x = np.sort(np.concatenate(([-np.inf, -1e-45, 0, 1e-45, np.inf, floats.LOWEST, floats.HIGHEST],
                                    np.random.default_rng(1).normal(size=500))).astype(np.float32))
        self.assertTrue((np.diff(floats.key_of(x)) > 0).all())
        np.testing.assert_array_equal(floats.float_of(floats.key_of(x)), x)

    def test_the_last_value_that_goes_left_is_found_to_the_ulp(self):
        t = np.concatenate((np.random.default_rng(2).normal(size=300), [0.0, 1e-44, -1e-44, 1e300, -1e300]))
        found = floats.last_left(lambda x: x.astype(np.float64) <= t, t.shape)
        self.assertEqual(found[-1], -np.inf)  # nothing goes left
        self.assertEqual(found[-2], floats.HIGHEST)
        np.testing.assert_array_equal(found[:-2], floats.floor_float32(t)[:-2])
        below = floats.last_left(lambda x: x.astype(np.float64) < t, t.shape)
        np.testing.assert_array_equal(below[:-2], floats.below_float32(t)[:-2])


@unittest.skipIf(sklearn is None, "scikit-learn is not installed")
class Exported(unittest.TestCase):
    """Tables and the one comparison that all tests make."""

    @classmethod
    def setUpClass(cls):
        rng = np.random.default_rng(3)
        cls.x = rng.normal(size=(500, 5)).astype(np.float32) * np.float32(1000)
        cls.x[:, 3], cls.x[:, 4] = rng.integers(0, 7, 500) * 10, rng.integers(0, 6, 500)
        score = (cls.x[:, 0] + cls.x[:, 1] * (cls.x[:, 4] % 2) + 500 * (cls.x[:, 3] % 3) + rng.normal(size=500) * 300)
        cls.y = {2: (score > 0).astype(int), 3: np.digitize(score, [-400, 400])}
        cls.holes = cls.x.copy()
        cls.holes[rng.random(cls.x.shape) < 0.05] = np.nan
        cls.strange = cls.x[:200].copy()
        cls.strange[:, 3] = rng.choice([-1, -0.5, 5, 10.5, 35, 70, 1000], 200)
        cls.strange[:, 4] = rng.choice([-3, -0.9, 0.5, 2.7, 6, 99, 256, 300], 200)

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = str(pathlib.Path(self.folder.name) / "m.tilth")
        warnings.simplefilter("ignore")

    def check(self, estimator, x=None, within=EXP, classes=(2, 3), more=None, dtype="float32", fitted=None, **fit):
        x = self.x if x is None else x
        for count in classes:
            model = clone(estimator).fit(x if fitted is None else x.astype(fitted), self.y[count], **fit)
            tilth.export(model, self.path, features="abcde", golden=x, dtype=dtype, golden_rows=64)
            read = tilth.load(self.path)
            probe = np.concatenate((x, read.tensors["golden_x"], *(() if more is None else (more,))))
            p, winner = predict(model, probe, np.dtype(dtype))
            np.testing.assert_array_equal(read.labels(probe), read.values[winner], f"labels of {count} classes")
            self.assertLessEqual(np.abs(read.probabilities(probe) - p).max(), within, f"{count} classes")
            if engine.PROGRAM:
                _, label, share = engine.predict(self.path, probe)
                np.testing.assert_array_equal(label, winner, f"the engine's labels of {count} classes")
                np.testing.assert_allclose(share, p, rtol=0, atol=1e-6)
        return read

    def refused(self, words, estimator, **options):
        pathlib.Path(self.path).unlink(missing_ok=True)
        with self.assertRaisesRegex(tilth.ModelError, words):
            tilth.export(estimator, self.path, **{"features": "abcde", "golden": self.x, **options})
        self.assertFalse(pathlib.Path(self.path).exists())


def forest(**parameters):
    return RandomForestClassifier(6, random_state=1, **parameters)


class Names(Exported):
    def test_names_that_contradict_the_estimator_are_refused(self):
        words = np.array(["bare", "maize", "soya"])[self.y[3]]
        model = forest().fit(self.x, words)
        for classes, why in ((["maize", "bare", "soya"], "another order: bare, maize, soya"), (["a", "a", "b"], "one name"),
                             ([{"color": "red"}, {}, {}], "six hex digits"), ([{"colour": "FF0000"}, {}, {}], "colour is none")):
            self.refused(why, model, classes=classes)
        model.feature_names_in_ = np.array(list("abcde"))
        self.refused("another order: a,b,c,d,e", model, features="bacde")
        tilth.export(model, self.path, features="vwxyz", golden=self.x, classes=["Brache", "Mais", "Soja"])

    @unittest.skipIf(catboost is None, "catboost is not installed")
    def test_a_pickled_catboost_knows_no_number_of_columns(self):
        model = catboost.CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False).fit(self.x, self.y[2])
        tilth.export(pickle.loads(pickle.dumps(model)), self.path, features="abcde", golden=self.x)

    def test_what_is_no_pickle_is_told_so(self):
        for content in (b"", b"{\"a\": 1}", bytes(range(200, 256))):
            pathlib.Path(self.folder.name, "m.pkl").write_bytes(content)
            said = subprocess.run([sys.executable, "-m", "tilth", "export", "m.pkl", "-o", "m.tilth"], cwd=self.folder.name,
                                  env={"PYTHONPATH": str(ROOT / "python")}, capture_output=True, text=True)
            self.assertEqual(said.returncode, 1)
            self.assertRegex(said.stderr, "^tilth: m.pkl: no pickle that can be opened")


class Trees(Exported):
    def test_forests_of_scikit_learn(self):
        self.assertEqual(self.check(forest(), within=0).manifest["format"], 1)
        self.check(ExtraTreesClassifier(6, random_state=1, min_samples_leaf=5), within=0)
        self.check(DecisionTreeClassifier(random_state=1), within=0)
        self.check(BaggingClassifier(n_estimators=5, max_features=3, random_state=1), within=0)

    @unittest.skipUnless(MISSING, "forests take NaN since scikit-learn 1.4")
    def test_a_forest_decides_nan_where_the_golden_rows_have_it(self):
        model = self.check(forest(), self.holes, within=0)
        self.assertEqual(model.manifest["format"], 2)
        self.assertTrue(np.isnan(model.tensors["golden_x"]).any())

    def test_gradient_boosting(self):
        self.check(GradientBoostingClassifier(n_estimators=6, random_state=1))
        self.check(GradientBoostingClassifier(n_estimators=6, loss="exponential"), classes=(2,))
        self.check(GradientBoostingClassifier(n_estimators=6, init="zero"))

    def test_gradient_boosting_gives_a_tie_to_the_class_that_the_library_gives_it(self):
        x = np.array([[0, 0, 0, 0, 0], [1, 0, 0, 0, 0]] * 40, np.float32)
        tied = GradientBoostingClassifier(n_estimators=2, init="zero").fit(x, [0, 1, 1, 0] * 20)
        model = tilth.export(tied, self.path, features="abcde", golden=x, golden_rows=8)
        self.assertEqual(set(tied.decision_function(x)), {0.0})
        self.assertEqual(set(model.labels(x)), set(tied.predict(x)))

    def test_adaptive_boosting(self):
        boosted = self.check(AdaBoostClassifier(n_estimators=8))
        self.assertEqual((boosted.manifest["format"], boosted.manifest["parts"][0]["slope"]), (3, 0.5))
        deep = AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=8, learning_rate=0.3)
        self.check(make_pipeline(StandardScaler(), deep))
        four = np.digitize(self.x[:, 0], [-500, 0, 500])
        model = deep.fit(self.x, four)
        read = tilth.export(model, self.path, features="abcde", golden=self.x, golden_rows=64)
        np.testing.assert_array_equal(read.labels(self.x), model.predict(self.x))

    def test_histogram_boosting_with_nan_and_categories(self):
        boosting = HistGradientBoostingClassifier(max_iter=6)
        self.check(boosting)
        self.check(boosting, self.holes)
        if not MISSING:
            self.skipTest("categories are kept in another way before scikit-learn 1.4")
        boosting = HistGradientBoostingClassifier(max_iter=6, categorical_features=[3, 4])
        model = self.check(boosting, self.holes, more=self.strange)
        self.assertIn("p0.set_bounds", model.tensors)

    @unittest.skipIf(lightgbm is None, "LightGBM is not installed")
    def test_lightgbm(self):
        small = {"n_estimators": 8, "num_leaves": 12, "verbose": -1, "n_jobs": 1}
        self.check(lightgbm.LGBMClassifier(**small), self.holes)
        self.check(lightgbm.LGBMClassifier(zero_as_missing=True, **small), self.holes)
        self.check(lightgbm.LGBMClassifier(use_missing=False, **small), self.holes)
        self.check(lightgbm.LGBMClassifier(boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, **small))
        self.check(lightgbm.LGBMClassifier(objective="multiclassova", **small), classes=(3,))
        self.check(lightgbm.LGBMClassifier(**small), self.holes, more=self.strange, categorical_feature=[3, 4])
        linear = lightgbm.LGBMClassifier(linear_tree=True, **small).fit(self.x, self.y[2])
        self.refused("LGBMClassifier: LightGBM with linear_tree=True", linear)

    @unittest.skipIf(lightgbm is None, "LightGBM is not installed")
    def test_lightgbm_takes_what_is_near_zero_for_zero(self):
        x = self.x.copy()
        x[:, 0] = np.random.default_rng(1).choice([-1e-34, -1e-36, -0.0, 0, 1e-36, 1e-34], 500)
        y = (x[:, 0] > 5e-35).astype(int)
        model = lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=1, verbose=-1).fit(x, y)
        read = tilth.export(model, self.path, features="abcde", golden=x, golden_rows=32)
        edge = x[:6].copy()
        edge[:, 0] = [1e-35, -1e-35, np.nextafter(np.float32(1e-35), np.float32(1)), 1e-36, -1e-36, 0]
        np.testing.assert_array_equal(read.labels(edge), model.predict(edge))

    @unittest.skipIf(xgboost is None, "XGBoost is not installed")
    def test_xgboost(self):
        small = {"n_estimators": 8, "max_depth": 4, "n_jobs": 1}
        self.check(xgboost.XGBClassifier(**small), self.holes, FLOAT)
        self.check(xgboost.XGBClassifier(booster="dart", rate_drop=0.3, **small), self.holes, FLOAT)
        self.check(xgboost.XGBClassifier(num_parallel_tree=2, subsample=0.7, **small), self.holes, FLOAT)
        self.check(xgboost.XGBRFClassifier(**small), self.holes, FLOAT)
        linear = xgboost.XGBClassifier(booster="gblinear", n_estimators=2).fit(self.x, self.y[2])
        self.refused("booster gblinear has no trees", linear)
        marked = xgboost.XGBClassifier(missing=-9999.0, n_estimators=2).fit(self.x, self.y[2])
        self.refused("missing=-9999", marked)

    @unittest.skipIf(xgboost is None, "XGBoost is not installed")
    def test_xgboost_stops_at_its_best_iteration(self):
        model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, max_depth=5)
        model.fit(self.x[:300], self.y[3][:300], eval_set=[(self.x[300:], self.y[3][300:])], verbose=False)
        self.assertLess(model.best_iteration, 57)
        read = tilth.export(model, self.path, features="abcde", golden=self.x)
        self.assertEqual(read.tree_count, 3 * (model.best_iteration + 1))

    @unittest.skipIf(catboost is None, "CatBoost is not installed")
    def test_catboost(self):
        small = {"iterations": 8, "depth": 4, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
        for more in ({}, {"grow_policy": "Depthwise"}, {"grow_policy": "Lossguide"}, {"nan_mode": "Max"}):
            self.check(catboost.CatBoostClassifier(**small, **more), self.holes)
        self.check(catboost.CatBoostClassifier(loss_function="MultiClassOneVsAll", **small), classes=(3,))


class Pipelines(Exported):
    def test_scalers_in_front_of_trees(self):
        for scaler in (StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler(), MinMaxScaler((0, 1), clip=True)):
            for dtype in ("float32", "float64"):
                self.check(make_pipeline(scaler, forest()), within=0, dtype=dtype, classes=(3,))
        self.check(make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=4)))
        self.check(make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=4)), self.holes)

    def test_what_fills_a_nan_decides_where_it_goes(self):
        self.check(make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), forest()), self.holes, 0)
        self.check(make_pipeline(StandardScaler(), SimpleImputer(), GradientBoostingClassifier(n_estimators=4)),
                   self.holes)

    def test_encoders_and_columns(self):
        def encoder(**parameters):
            return ColumnTransformer([("code", OrdinalEncoder(**parameters), [4, 3])], remainder="passthrough")
        self.check(make_pipeline(encoder(), StandardScaler(), forest()), within=0)
        unknown = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
        self.check(make_pipeline(encoder(**unknown), forest()), within=0, more=self.strange)
        unknown["unknown_value"] = np.nan
        self.check(make_pipeline(encoder(**unknown), HistGradientBoostingClassifier(max_iter=4)), self.holes,
                   more=self.strange)
        twice = ColumnTransformer([("one", StandardScaler(), [0, 1]),
                                   ("two", make_pipeline(SimpleImputer(), MinMaxScaler()), [1, 2])])
        self.check(make_pipeline(twice, forest()), within=0)
        self.check(make_pipeline(SelectKBest(k=3), forest()), within=0)

    @unittest.skipIf(lightgbm is None or xgboost is None, "LightGBM or XGBoost is not installed")
    def test_boosters_behind_scalers(self):
        self.check(make_pipeline(RobustScaler(), lightgbm.LGBMClassifier(n_estimators=5, verbose=-1)), self.holes)
        self.check(make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=5)), self.holes, FLOAT)

    def test_steps_that_mix_features_are_refused_with_their_place(self):
        def fitted(*steps):
            return make_pipeline(*steps).fit(self.x, self.y[2])
        self.refused("Pipeline.pca: PCA mixes features", fitted(PCA(3), forest()))
        self.refused("Pipeline.simpleimputer: SimpleImputer.missing_values=0", fitted(SimpleImputer(missing_values=0), forest()))
        self.refused("add_indicator", fitted(SimpleImputer(add_indicator=True), forest()))
        self.refused("encode first", fitted(StandardScaler(), OrdinalEncoder(), forest()))


class Ensembles(Exported):
    def members(self):
        return [("rf", forest(min_samples_leaf=4)), ("gb", GradientBoostingClassifier(n_estimators=3)),
                ("scaled", make_pipeline(StandardScaler(), forest(max_depth=4)))]

    def test_votes_and_weighted_votes(self):
        self.check(VotingClassifier(self.members(), voting="soft"))
        self.check(VotingClassifier(self.members(), voting="soft", weights=[0.3, 1, 2]))
        nested = VotingClassifier([("inner", VotingClassifier(self.members(), voting="soft")), ("rf", forest())],
                                  voting="soft", weights=[2, 1])
        self.check(make_pipeline(StandardScaler(), nested))

    @staticmethod
    def hardened(members, x, y):
        """A soft vote with a member that was told to vote hard when it was fitted."""
        vote = VotingClassifier([(n, m.set_params(voting="soft") if n == "hard" else m) for n, m in members], voting="soft")
        vote.fit(x, y).named_estimators_["hard"].voting = "hard"
        return vote

    def test_hard_votes(self):
        members = self.members() + [("lr", make_pipeline(StandardScaler(), LogisticRegression()))]
        read = self.check(VotingClassifier(self.members()), within=0)
        self.assertEqual([p.get("gives") for p in read.manifest["parts"]], ["label"] * 3 + [None])
        self.assertEqual((read.manifest["format"], read.manifest["parts"][-1]["label"]), (3, "score"))
        read.manifest["parts"][-1]["gives"] = "label"
        with self.assertRaisesRegex(tilth.ModelError, "the last part gives no probabilities"):
            tilth.model.Model(read.manifest, read.tensors)
        self.check(VotingClassifier(members), fitted="float64", within=0)  # four votes: ties
        self.check(VotingClassifier(members, weights=[0.1, 0.2, 0.3, 0.25]), fitted="float64", within=1e-15)
        nested = VotingClassifier([("inner", VotingClassifier(self.members())), ("rf", forest()),
                                   ("soft", VotingClassifier(self.members(), voting="soft", weights=[3, 1, 1]))])
        self.check(make_pipeline(StandardScaler(), GridSearchCV(nested, {"weights": [None, [2, 1, 1.5]]}, cv=2)), within=0)

    def test_hard_votes_are_of_whatever_predicts(self):
        scaled = [(type(m).__name__, make_pipeline(StandardScaler(), m)) for m in (
            LinearSVC(), RidgeClassifier(), SGDClassifier(), LogisticRegression(), LinearDiscriminantAnalysis(),
            MLPClassifier((6,), max_iter=30, random_state=1))]
        others = [("hgb", HistGradientBoostingClassifier(max_iter=3)), ("ada", AdaBoostClassifier(n_estimators=4)),
                  ("cal", CalibratedClassifierCV(forest(), cv=2)), ("stack", StackingClassifier(self.members(), cv=2))]
        self.check(VotingClassifier(scaled + others), fitted="float64", within=0)
        self.check(VotingClassifier(scaled[2:5]), fitted="float32", within=0)

    @unittest.skipIf(lightgbm is None or xgboost is None or catboost is None, "a booster is not installed")
    def test_hard_votes_of_boosters(self):
        small = catboost.CatBoostClassifier(iterations=5, depth=3, verbose=0, allow_writing_files=False)
        vote = VotingClassifier([("lgb", lightgbm.LGBMClassifier(n_estimators=5, verbose=-1)), ("cat", small),
                                 ("xgb", xgboost.XGBClassifier(n_estimators=5)), ("rf", forest())])
        self.check(vote, self.holes if MISSING else None, within=0, classes=(2,))

    def test_sums_of_weights_decide_not_their_shares(self):
        """0.8 for one class, 0.1 + 0.7 for another: an ulp less, and the same share of 2.1."""
        y = self.y[3]
        vote = VotingClassifier([(str(i), DecisionTreeClassifier()) for i in range(4)], weights=[0.8, 0.1, 0.7, 0.5]).fit(self.x, y)
        for member, turn in zip(vote.estimators_, (2, 0, 0, 1)):
            member.fit(self.x, (y + turn) % 3)
        read = tilth.export(vote, self.path, features="abcde", golden=self.x)
        rows = self.x[y == 0]
        share = read.probabilities(rows)
        np.testing.assert_array_equal(share[:, 0], share[:, 2])
        np.testing.assert_array_equal(read.labels(self.x), vote.predict(self.x))
        self.assertEqual(set(read.labels(rows)), {2})
        if engine.PROGRAM:
            np.testing.assert_array_equal(engine.predict(self.path, self.x)[1], vote.predict(self.x))

    def test_what_only_names_a_class_is_a_vote_of_one(self):
        for model in (LinearSVC(), RidgeClassifier(), SGDClassifier()):
            read = self.check(make_pipeline(StandardScaler(), model), fitted="float64", within=0)
            self.assertEqual(set(np.unique(read.probabilities(self.x))), {0.0, 1.0})

    @unittest.skipIf(xgboost is None, "XGBoost is not installed")
    def test_a_vote_of_float32_members_is_in_float32(self):
        vote = VotingClassifier([(str(n), xgboost.XGBClassifier(n_estimators=n)) for n in (2, 3, 5)], voting="soft")
        model = self.check(vote, within=FLOAT)
        self.assertTrue(model.manifest["parts"][-1]["float32"])
        vote.set_params(weights=[1, 1, 1])
        self.assertNotIn("float32", self.check(vote, within=FLOAT).manifest["parts"][-1])

    def test_stacks(self):
        self.check(StackingClassifier(self.members(), cv=3))
        self.check(StackingClassifier(self.members(), final_estimator=forest(max_depth=4), cv=3, passthrough=True), within=EXP)
        self.check(StackingClassifier(self.members(), final_estimator=GradientBoostingClassifier(n_estimators=3), cv=3))

    def test_calibrated_models(self):
        scaled = make_pipeline(StandardScaler(), LogisticRegression())
        for model in (forest(), GradientBoostingClassifier(n_estimators=3), HistGradientBoostingClassifier(max_iter=3), scaled,
                      make_pipeline(StandardScaler(), LinearSVC()), RidgeClassifier()):
            self.check(CalibratedClassifierCV(model, cv=2), fitted="float64", within=1e-13)
        self.check(CalibratedClassifierCV(forest(), cv=2, ensemble=False))
        self.check(make_pipeline(StandardScaler(), CalibratedClassifierCV(SGDClassifier(), cv=3)), fitted="float64",
                   within=1e-13)
        self.check(VotingClassifier([("cal", CalibratedClassifierCV(forest(), cv=2)), ("rf", forest())], voting="soft"))

    def test_isotonic_calibration_follows_its_curves(self):
        """Labels, too, where plateaus make ties of classes."""
        scaled = make_pipeline(StandardScaler(), LogisticRegression())
        for model in (forest(min_samples_leaf=9), GradientBoostingClassifier(n_estimators=3)):
            self.check(CalibratedClassifierCV(model, cv=3, method="isotonic"), within=EXP)
        for model in (scaled, LinearSVC(), GaussianNB()):  # their sums' last bits, as steep as a curve is
            read = self.check(CalibratedClassifierCV(model, cv=3, method="isotonic"), fitted="float64", within=1e-10)
        self.assertEqual([step["op"] for step in read.manifest["parts"][1]["scaling"]], ["curve"])
        model = CalibratedClassifierCV(forest(), cv=2, method="isotonic", ensemble=False).fit(self.x, np.arange(500) % 10)
        read = tilth.export(model, self.path, features="abcde", golden=self.x, golden_rows=64)
        p, winner = predict(model, self.x, np.dtype("float32"))
        np.testing.assert_array_equal(read.probabilities(self.x), p)
        np.testing.assert_array_equal(read.labels(self.x), winner)
        self.assertGreater((np.sort(p, axis=1)[:, -1] == np.sort(p, axis=1)[:, -2]).sum(), 3)  # ties
        if engine.PROGRAM:
            np.testing.assert_array_equal(engine.predict(self.path, self.x)[1], winner)

    @unittest.skipIf(xgboost is None, "XGBoost is not installed")
    def test_isotonic_calibration_in_float32_is_refused(self):
        model = CalibratedClassifierCV(xgboost.XGBClassifier(n_estimators=2), cv=2, method="isotonic").fit(self.x, self.y[2])
        self.refused("whose scores are float32", model)

    def test_a_search_is_its_best_estimator(self):
        self.check(GridSearchCV(forest(), {"max_depth": [3, 5]}, cv=3), within=0)

    def test_what_cannot_be_said_is_refused_with_class_and_place(self):
        x, y = self.x, self.y[3]
        odd = VotingClassifier([("rf", forest()), ("svm", SVC(probability=True))], voting="soft").fit(x, y)
        self.refused(r"VotingClassifier.svm: sklearn.svm._classes.SVC cannot be exported", odd)
        self.refused("AdaBoostClassifier of LogisticRegression", AdaBoostClassifier(LogisticRegression(), n_estimators=2).fit(x, y))
        self.refused("SVC: sklearn.svm._classes.SVC cannot be exported", SVC().fit(x, y))
        self.refused("AdaBoostClassifier uses its decision_function",
                     CalibratedClassifierCV(AdaBoostClassifier(n_estimators=2), cv=2).fit(x, y))
        inner = VotingClassifier([("a", forest())])
        self.refused("VotingClassifier.hard: .* set voting='soft'", self.hardened([("hard", inner), ("b", forest())], x, y))
        inner = VotingClassifier([("a", forest()), ("b", forest())], weights=[-1, 2]).fit(x, y)
        self.refused(r"weights \[-1, 2\] of a hard vote", inner)
        top = StackingClassifier([("rf", forest())], final_estimator=HistGradientBoostingClassifier(max_iter=2), cv=3)
        self.refused("StackingClassifier.final_estimator: HistGradientBoostingClassifier compares", top.fit(x, y))
        by_score = StackingClassifier([("gb", GradientBoostingClassifier(n_estimators=2))], cv=3,
                                      stack_method="decision_function")
        self.refused("StackingClassifier.gb: the StackingClassifier uses its decision_function", by_score.fit(x, y))
        self.refused("VotingClassifier is not fitted, or no classifier", VotingClassifier(self.members(), voting="soft"))


@unittest.skipIf(sklearn is None, "scikit-learn is not installed")
class Nets(Exported):
    """Fitted on double, as most are, the sums are in double; fitted on float32 they are in float32."""

    def perceptron(self, *hidden, **parameters):
        return MLPClassifier(hidden, max_iter=40, random_state=1, **parameters)

    def test_linear_models_on_features(self):
        for model in (LogisticRegression(), LinearDiscriminantAnalysis(), LogisticRegressionCV(cv=2)):
            self.check(make_pipeline(StandardScaler(), model), fitted="float64", within=1e-14)
        self.check(make_pipeline(RobustScaler(), LogisticRegression(solver="liblinear")), fitted="float64", classes=(2,))
        self.check(make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss")), fitted="float64", within=1e-14)
        read = self.check(LogisticRegression(), fitted="float64", within=1e-14)
        self.assertEqual((read.manifest["format"], read.manifest["parts"][0]["kind"]), (2, "linear"))

    def test_normal_distributions(self):
        for model in (GaussianNB(), make_pipeline(StandardScaler(), GaussianNB(priors=None, var_smoothing=1e-6)),
                      QuadraticDiscriminantAnalysis(), make_pipeline(StandardScaler(), QuadraticDiscriminantAnalysis(reg_param=0.1))):
            for dtype in ("float32", "float64"):
                read = self.check(model, fitted="float64", within=1e-11, dtype=dtype)
        self.assertEqual([layer["activation"] for layer in read.manifest["parts"][0]["layers"]], ["square", "none"])
        self.check(CalibratedClassifierCV(GaussianNB(), cv=2), fitted="float64", within=1e-12)
        vote = [("nb", GaussianNB()), ("qda", QuadraticDiscriminantAnalysis()), ("rf", forest())]
        self.check(VotingClassifier(vote), fitted="float64", within=0)
        self.check(VotingClassifier(vote, voting="soft"), fitted="float64", within=1e-11)
        self.check(StackingClassifier(vote, cv=2), fitted="float64", within=1e-11)

    def test_normal_distributions_of_float32_or_without_width_are_refused(self):
        self.refused("GaussianNB fitted on float32", self.fitted_on_float32(GaussianNB()))
        self.refused("QuadraticDiscriminantAnalysis fitted on float32", self.fitted_on_float32(QuadraticDiscriminantAnalysis()))
        flat = GaussianNB(var_smoothing=0).fit(np.zeros((40, 5)) + np.arange(40)[:, None] % 2, np.arange(40) % 2)
        self.refused("variance or a prior of 0", flat)
        wide = GaussianNB().fit(np.tile(self.x.astype(np.float64), (1, 80)), self.y[3])
        self.refused("at most 8 layers of 1024", wide, features=[f"b{i}" for i in range(400)],
                     golden=np.tile(self.x, (1, 80)))

    def fitted_on_float32(self, model):
        model.fit(self.x, self.y[2])
        if getattr(model, "theta_", getattr(model, "means_", None)).dtype != np.float32:
            self.skipTest("this version of scikit-learn keeps double")
        return model

    def test_perceptrons(self):
        for activation in ("relu", "tanh", "logistic", "identity"):
            model = make_pipeline(StandardScaler(), self.perceptron(9, 6, activation=activation))
            read = self.check(model, fitted="float64", within=1e-14)
        self.assertEqual(read.manifest["format"], 3)
        self.assertEqual([t.shape for n, t in read.tensors.items() if "weights" in n], [(9, 5), (6, 9), (3, 6)])
        self.check(make_pipeline(StandardScaler(), self.perceptron(8)), fitted="float64", dtype="float64", within=1e-14)

    def test_nets_of_float32_are_near_in_float32(self):
        for model in (self.perceptron(9, 6), LogisticRegression(solver="newton-cg")):
            read = self.check(make_pipeline(StandardScaler(), model), fitted="float32", within=1e-6)
            self.assertTrue(read.manifest["parts"][0]["float32"])

    def test_golden_rows_lie_on_both_sides_of_borders(self):
        model = LogisticRegression().fit(self.x.astype(np.float64), self.y[2])
        read = tilth.export(model, self.path, features="abcde", golden=self.x, golden_rows=64)
        rows, labels = read.tensors["golden_x"][64:], read.tensors["golden_label"][64:]
        half = len(rows) // 2
        self.assertGreater(half, 10)
        self.assertTrue((labels[:half] != labels[half:]).all())
        steps = np.abs(floats.key_of(rows[:half]) - floats.key_of(rows[half:]))
        self.assertLessEqual(np.median(steps.max(axis=1)), 1)

    def test_without_rows_the_scaler_says_where_features_are(self):
        model = make_pipeline(StandardScaler(), self.perceptron(6)).fit(self.x.astype(np.float64), self.y[3])
        read = tilth.export(model, self.path, features="abcde", golden_rows=64)
        self.assertGreater(np.bincount(read.tensors["golden_label"], minlength=3).min(), 5)

    def test_every_step_that_may_stand_in_front(self):
        for step in (MinMaxScaler(clip=True), MaxAbsScaler(), RobustScaler(with_centering=False),
                     StandardScaler(with_std=False), make_pipeline(SimpleImputer(), StandardScaler())):
            for dtype in ("float32", "float64"):
                self.check(make_pipeline(step, LogisticRegression()), dtype=dtype, fitted="float64", within=1e-13,
                           classes=(3,))
        for norm in ("l1", "l2", "max"):
            self.check(make_pipeline(Normalizer(norm), LogisticRegression()), fitted="float64", within=1e-6)
        table = ColumnTransformer([("one", StandardScaler(), [0, 2]), ("two", "passthrough", [1]),
                                   ("three", make_pipeline(SimpleImputer(), MinMaxScaler()), [3])])
        self.check(make_pipeline(table, SelectKBest(k=3), self.perceptron(5)), fitted="float64", within=1e-12)

    def test_nets_in_votes_and_stacks(self):
        members = [("rf", forest()), ("lr", make_pipeline(StandardScaler(), LogisticRegression())),
                   ("mlp", make_pipeline(StandardScaler(), self.perceptron(6)))]
        self.check(VotingClassifier(members, voting="soft", weights=[1, 2, 0.5]), fitted="float64", within=1e-14)
        top = make_pipeline(StandardScaler(), self.perceptron(4))
        self.check(StackingClassifier(members, final_estimator=top, cv=3), fitted="float64", within=1e-13)
        self.check(StackingClassifier(members[:2], final_estimator=make_pipeline(StandardScaler(), LogisticRegression()),
                                      cv=3, passthrough=True), fitted="float64", within=1e-13)

    def test_what_a_net_cannot_stand_behind_is_refused(self):
        def fitted(*steps):
            return make_pipeline(*steps).fit(self.x, self.y[2])
        self.refused("Pipeline.ordinalencoder: OrdinalEncoder in front of a net",
                     make_pipeline(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
                                   LogisticRegression()).fit(np.round(self.x / 1000), self.y[2]))
        self.refused("Pipeline.normalizer: Normalizer mixes features", fitted(Normalizer(), forest()))
        self.refused("hinge", VotingClassifier([("sgd", SGDClassifier())], voting="soft").fit(self.x, self.y[2]))
        self.refused("at most 8 layers of 1024", fitted(self.perceptron(1025)))


class Files(Exported):
    def run_export(self, thing, *options):
        source = pathlib.Path(self.folder.name) / "m.pkl"
        source.write_bytes(pickle.dumps(thing))
        return subprocess.run([sys.executable, "-m", "tilth", "export", str(source), "-o", self.path, *options],
                              cwd=ROOT / "python", capture_output=True, text=True)

    def test_a_pickle_with_a_label_encoder_becomes_a_model_with_names_and_colours(self):
        encoder = LabelEncoder().fit(["maize", "forest", "bare"])
        y = encoder.transform(np.array(["bare", "forest", "maize"])[self.y[3]])
        vote = VotingClassifier([("rf", forest()), ("et", ExtraTreesClassifier(4))], voting="soft").fit(self.x, y)
        done = self.run_export({"model": vote, "encoder": encoder, "note": 1}, "--features", "a,b,c,d,e")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        model = tilth.load(self.path)
        model.verify()
        self.assertEqual([c["name"] for c in model.classes], ["bare", "forest", "maize"])
        self.assertTrue(all(len(c["color"]) == 6 for c in model.classes))
        self.assertEqual(model.manifest["provenance"]["estimator"],
                         "VotingClassifier(RandomForestClassifier, ExtraTreesClassifier)")
        self.assertEqual(model.manifest["provenance"]["libraries"], {"scikit-learn": sklearn.__version__})
        np.testing.assert_array_equal(model.labels(self.x), vote.predict(self.x))

    def test_golden_rows_classes_and_provenance_come_from_files(self):
        folder = pathlib.Path(self.folder.name)
        (folder / "rows.csv").write_text("id,e,d,c,b,a\n" + "\n".join(
            f"{i}," + ",".join(repr(float(v)) for v in row[::-1]) for i, row in enumerate(self.x)))
        (folder / "classes.json").write_text(json.dumps([{"value": 7, "name": "no", "color": "000000"}, {"value": 9, "name": "yes"}]))
        (folder / "provenance.json").write_text('{"licence": "CC-BY-4.0"}')
        done = self.run_export(forest().fit(self.x, self.y[2]), "--features", "a,b,c,d,e", "--golden", str(folder / "rows.csv"),
                               "--classes", str(folder / "classes.json"), "--provenance", str(folder / "provenance.json"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        model = tilth.load(self.path)
        self.assertTrue((model.tensors["golden_x"][:256][:, None] == self.x).all(axis=2).any(axis=1).all())
        self.assertEqual([c["value"] for c in model.classes], [7, 9])
        self.assertEqual(model.manifest["provenance"]["licence"], "CC-BY-4.0")
        self.assertRegex(model.manifest["provenance"]["pickle_sha256"], "^[0-9a-f]{64}$")

    def test_refusals_are_one_line_and_write_nothing(self):
        done = self.run_export(SVC().fit(self.x, self.y[2]), "--features", "a,b,c,d,e")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "^tilth: SVC: sklearn.svm._classes.SVC cannot be exported. What can: .*\n$")
        done = self.run_export(forest().fit(self.x, self.y[2]))
        self.assertIn("fitted without names: give the names of its 5 features", done.stderr)
        done = self.run_export([1, 2])
        self.assertIn("0 classifiers in this pickle (a list)", done.stderr)
        self.assertFalse(pathlib.Path(self.path).exists())

    def test_rows_made_of_thresholds_serve_where_there_are_no_others(self):
        model = tilth.export(forest().fit(self.x, self.y[3]), self.path, features="abcde")
        self.assertEqual(len(model.tensors["golden_x"]), 1024)
        self.assertGreater(np.isin(model.tensors["golden_x"], model.tensors["threshold"]).mean(), 0.3)


if __name__ == "__main__":
    unittest.main()
