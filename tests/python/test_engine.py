"""Models trained here, by the libraries themselves, against the C engine: labels equal on every row.

Rows are those of the training table, rows on thresholds and one float beside them, zeros of both signs, denormals,
infinities, NaN and categories that no table had. Of scikit-learn's estimators test_export.py does the same. Each
library that is not installed skips its tests by name.
"""
import ctypes
import ctypes.util
import importlib
import json
import re
import unittest
import warnings

import numpy as np

import engine

WITHIN = 1e-6  # of probabilities, the engine's contract
FEATURES = 6


def table(seed, missing=False, count=1200):
    """Reflectances as integers, their ratio, few values, many near zero, categories 0..69."""
    rng = np.random.default_rng(seed)
    x = np.empty((count, FEATURES), np.float32)
    x[:, 0], x[:, 1] = rng.integers(1, 4000, count), rng.integers(1, 6000, count)
    x[:, 2] = (x[:, 1] - x[:, 0]) / (x[:, 1] + x[:, 0])
    x[:, 3] = rng.integers(0, 9, count)
    x[:, 4] = np.where(rng.random(count) < 0.4, 0, rng.normal(size=count))
    x[:, 5] = rng.integers(0, 70, count)
    if missing:
        x[rng.random(x.shape) < 0.1] = np.nan
    return x


def labels(x, classes, seed=1):
    x = np.nan_to_num(x)
    score = x[:, 2] * 4 + x[:, 4] + (x[:, 3] % 3) + (x[:, 5] % 5) * 0.7
    score += np.random.default_rng(seed).normal(size=len(x)) * 0.3
    return np.searchsorted(np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]), score)


def shares(p):
    """Probabilities of all classes, of those that a library gives."""
    return p if p.ndim == 2 and p.shape[1] > 1 else np.stack([1 - np.ravel(p), np.ravel(p)], 1)


@unittest.skipIf(engine.PROGRAM is None, "TILTH_PREDICT_ROWS is not set: run it by ctest")
class Engine(unittest.TestCase):
    library = None

    @classmethod
    def setUpClass(cls):
        try:
            cls.lib = importlib.import_module(cls.library) if cls.library else None
        except ImportError:
            raise unittest.SkipTest(f"{cls.library} is not installed")

    def setUp(self):
        warnings.simplefilter("ignore")
        made, self.folder = engine.folder()
        self.addCleanup(made.cleanup)

    def compare(self, path, x, label, p, within=WITHIN):
        _, ours, share = engine.predict(path, x)
        self.assertEqual(np.count_nonzero(ours != np.ravel(label)), 0, f"wrong labels of {len(x)} rows")
        np.testing.assert_allclose(share, p, rtol=0, atol=within)


class LightGBM(Engine):
    library = "lightgbm"

    def check(self, classes=10, missing="nan", rounds=12, categories=(), **parameters):
        x = table(1, missing != "none")
        base = {"objective": "multiclass", "num_class": classes} if classes > 2 else {"objective": "binary"}
        base |= {"verbose": -1, "num_threads": 1, "num_leaves": 31, "min_data_in_leaf": 3, "deterministic": True,
                 "use_missing": missing != "none", "zero_as_missing": missing == "zero", "min_data_per_group": 5}
        data = self.lib.Dataset(x, labels(x, classes), categorical_feature=list(categories), free_raw_data=False)
        booster = self.lib.train(base | parameters, data, rounds)
        path = self.folder / "m.txt"
        booster.save_model(path)
        probe = engine.rows_near(x, self.splits(path), 2)
        for f in categories:
            probe[::3, f] = np.random.default_rng(3).choice([-1, -0.5, 0.5, 69.9, 70, 99, 3e9, np.nan, 31, 32], len(probe[::3]))
        p = shares(booster.predict(probe, num_threads=1))
        self.compare(path, probe, p.argmax(1) if classes > 2 else p[:, 1] > 0.5, p)

    @staticmethod
    def splits(path):
        found = []
        for tree in path.read_text().split("\nTree=")[1:]:
            held = {k: v.split() for k, v in re.findall(r"^(split_feature|threshold|decision_type)=(.*)$", tree, re.M)}
            found += [(int(f), float(t)) for f, t, kind in zip(*(held.get(k, []) for k in ("split_feature", "threshold", "decision_type")))
                      if not int(kind) & 1]
        return found

    def test_missing_values_by_every_rule(self):
        for missing in ("none", "zero", "nan"):
            for classes in (2, 10):
                with self.subTest(missing=missing, classes=classes):
                    self.check(classes, missing)

    def test_categories(self):
        for missing in ("nan", "zero"):
            with self.subTest(missing=missing):
                self.check(3, missing, categories=(3, 5), cat_smooth=1)

    def test_other_objectives_and_boostings(self):
        for more in ({"objective": "multiclassova"}, {"boosting": "dart"}, {"linear_tree": True},
                     {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, {"extra_trees": True, "num_leaves": 255}):
            with self.subTest(**more):
                self.check(5, **more)


class XGBoost(Engine):
    library = "xgboost"

    def check(self, classes=10, rounds=8, form="json", categories=(), odd=(*engine.ODD, *engine.NOT_FINITE), **parameters):
        x = table(1, True)
        base = {"objective": "multi:softprob", "num_class": classes} if classes > 2 else {"objective": "binary:logistic"}
        kinds = ["c" if f in categories else "float" for f in range(FEATURES)]
        def matrix(rows, label=None):
            return self.lib.DMatrix(rows, label, feature_types=kinds if categories else None, enable_categorical=bool(categories))
        booster = self.lib.train(base | {"nthread": 1, "max_depth": 6} | parameters, matrix(x, labels(x, classes)), rounds)
        path = self.folder / f"m.{form}"
        booster.save_model(path)
        splits = self.splits(booster)
        dmatrix = categories or parameters.get("booster") == "dart"  # a DMatrix refuses infinities
        probe = engine.rows_near(x, splits, 2, odd=engine.ODD if dmatrix else odd)
        for f in categories:
            probe[:, f] = np.abs(np.nan_to_num(probe[:, f], nan=1)) % 70 // 1
        p = shares(booster.predict(matrix(probe)) if dmatrix else booster.inplace_predict(probe, missing=np.nan))
        self.compare(path, probe, p.argmax(1) if classes > 2 else p[:, 1] > 0.5, p)

    def splits(self, booster):
        trees = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
        trees = trees.get("gbtree", trees)["model"]["trees"]
        return [(f, c) for t in trees for f, c, l, k in zip(*(t[n] for n in ("split_indices", "split_conditions", "left_children", "split_type")))
                if l >= 0 and not k]

    def test_classes_and_both_file_forms(self):
        for classes in (2, 10):
            for form in ("json", "ubj"):
                with self.subTest(classes=classes, form=form):
                    self.check(classes, form=form)

    def test_other_boosters(self):
        for more in ({"booster": "dart", "rate_drop": 0.4}, {"num_parallel_tree": 3, "subsample": 0.7, "rounds": 3}, {"tree_method": "exact"},
                     {"multi_strategy": "multi_output_tree", "tree_method": "hist"}, {"base_score": 0.3, "classes": 2}):
            with self.subTest(**more):
                self.check(**{"classes": 4, **more})

    def test_categories(self):
        for onehot in (1, 100):
            with self.subTest(max_cat_to_onehot=onehot):
                self.check(3, categories=(3, 5), max_cat_to_onehot=onehot, tree_method="hist")


class XGBoostOfDebian(Engine):
    """Release 1.7 by its C interface, of the package libxgboost0."""

    @classmethod
    def setUpClass(cls):
        try:
            cls.lib = ctypes.CDLL("libxgboost.so.0")
        except OSError:
            raise unittest.SkipTest("libxgboost0 is not installed")
        cls.lib.XGBGetLastError.restype = ctypes.c_char_p

    def call(self, name, *arguments):
        self.assertEqual(getattr(self.lib, name)(*arguments), 0, self.lib.XGBGetLastError())

    def matrix(self, x):
        handle = ctypes.c_void_p()
        rows = np.ascontiguousarray(x, np.float32)
        self.call("XGDMatrixCreateFromMat", rows.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint64(len(x)), ctypes.c_uint64(x.shape[1]),
                  ctypes.c_float(np.nan), ctypes.byref(handle))
        self.addCleanup(self.lib.XGDMatrixFree, handle)
        return handle

    def train(self, x, y, rounds, parameters):
        data, booster = self.matrix(x), ctypes.c_void_p()
        label = np.ascontiguousarray(y, np.float32)
        self.call("XGDMatrixSetFloatInfo", data, b"label", label.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint64(len(y)))
        self.call("XGBoosterCreate", (ctypes.c_void_p * 1)(data), ctypes.c_uint64(1), ctypes.byref(booster))
        self.addCleanup(self.lib.XGBoosterFree, booster)
        for name, value in parameters.items():
            self.call("XGBoosterSetParam", booster, name.encode(), str(value).encode())
        for i in range(rounds):
            self.call("XGBoosterUpdateOneIter", booster, ctypes.c_int(i), data)
        return booster

    def predict(self, booster, x, classes):
        count, found = ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()
        self.call("XGBoosterPredict", booster, self.matrix(x), 0, ctypes.c_uint(0), 0, ctypes.byref(count), ctypes.byref(found))
        return np.ctypeslib.as_array(found, (count.value,)).reshape(len(x), -1 if classes > 2 else 1).copy()

    def test_its_files_in_both_forms(self):
        for classes, form, more in ((2, "json", {}), (10, "ubj", {}), (4, "json", {"booster": "dart", "rate_drop": 0.4}),
                                    (3, "json", {"num_parallel_tree": 2, "subsample": 0.7}), (2, "ubj", {"base_score": 0.2})):
            with self.subTest(classes=classes, form=form, **more):
                x = table(1, True)
                base = {"objective": "multi:softprob", "num_class": classes} if classes > 2 else {"objective": "binary:logistic"}
                booster = self.train(x, labels(x, classes), 8, base | {"nthread": 1, "max_depth": 6} | more)
                path = self.folder / f"m.{form}"
                self.call("XGBoosterSaveModel", booster, str(path).encode())
                text = self.folder / "again.json"
                self.call("XGBoosterSaveModel", booster, str(text).encode())
                trees = json.loads(text.read_text())["learner"]["gradient_booster"]
                trees = trees.get("gbtree", trees)["model"]["trees"]
                splits = [(f, c) for t in trees for f, c, l in zip(t["split_indices"], t["split_conditions"], t["left_children"]) if l >= 0]
                probe = engine.rows_near(x, splits, 2, odd=engine.ODD)
                p = shares(self.predict(booster, probe, classes))
                self.compare(path, probe, p.argmax(1) if classes > 2 else p[:, 1] > 0.5, p)


class CatBoost(Engine):
    library = "catboost"

    def check(self, classes=10, missing=True, **parameters):
        x = table(1, missing)
        base = {"iterations": 20, "depth": 6, "learning_rate": 0.3, "random_seed": 3, "thread_count": 1, "verbose": 0,
                "allow_writing_files": False, "loss_function": "MultiClass" if classes > 2 else "Logloss"}
        model = self.lib.CatBoostClassifier(**base | parameters).fit(x, labels(x, classes))
        path = self.folder / "m.json"
        model.save_model(path, format="json")
        borders = json.loads(path.read_text())["features_info"]["float_features"]
        splits = [(f["feature_index"], b) for f in borders for b in f["borders"] or ()]
        probe = engine.rows_near(x, splits, 2)
        self.compare(path, probe, model.predict(probe, thread_count=1), model.predict_proba(probe, thread_count=1))

    def test_depths_and_classes(self):
        for depth, classes in ((1, 2), (3, 10), (6, 2), (6, 10), (8, 3), (10, 4), (6, 20)):
            with self.subTest(depth=depth, classes=classes):
                self.check(classes, depth=depth)

    def test_the_deepest_trees(self):
        for depth in (12, 16):
            with self.subTest(depth=depth):
                self.check(2, depth=depth, iterations=3)

    def test_other_trees_losses_and_rules_for_nan(self):
        for more in ({"grow_policy": "Lossguide", "max_leaves": 40}, {"grow_policy": "Depthwise"}, {"nan_mode": "Max"},
                     {"loss_function": "MultiClassOneVsAll"}, {"border_count": 1000}):
            with self.subTest(**more):
                self.check(4, **more)


class Onnx(Engine):
    library = "onnxruntime"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.to = {name: importlib.import_module(name) for name in ("skl2onnx", "onnxmltools", "sklearn.ensemble", "sklearn.preprocessing",
                                                                       "sklearn.pipeline", "sklearn.tree", "lightgbm", "xgboost", "catboost")}
        except ImportError as missing:
            raise unittest.SkipTest(str(missing))

    def check(self, model, convert=None, missing=False, **options):
        x = table(1, missing)
        model.fit(x, labels(x, 5))
        path = self.folder / "m.onnx"
        if convert == "catboost":
            model.save_model(path, format="onnx")
        elif convert:
            kinds = [("x", importlib.import_module("onnxmltools.convert.common.data_types").FloatTensorType([None, FEATURES]))]
            path.write_bytes(getattr(self.to["onnxmltools"], convert)(model, initial_types=kinds, target_opset=15, **options).SerializeToString())
        else:
            path.write_bytes(self.to["skl2onnx"].to_onnx(model, x[:1], target_opset={"": 15, "ai.onnx.ml": 3},
                                                         options={"zipmap": False}).SerializeToString())
        probe = engine.rows_near(x, self.splits(path), 2)
        session = self.lib.InferenceSession(path, self.one_thread(), providers=["CPUExecutionProvider"])
        label, p = session.run(None, {session.get_inputs()[0].name: probe})[:2]
        if isinstance(p, list):  # of a ZipMap
            p = np.array([[row[c] for c in sorted(row)] for row in p])
        self.compare(path, probe, label, p)

    def one_thread(self):
        options = self.lib.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        return options

    @staticmethod
    def splits(path):
        graph = importlib.import_module("onnx").load(path).graph
        found = []
        for node in graph.node:
            held = {a.name: a for a in node.attribute}
            if "nodes_values" in held:
                found += zip(held["nodes_featureids"].ints, held["nodes_values"].floats)
        return found

    def test_skl2onnx(self):
        trees, scale = self.to["sklearn.ensemble"], self.to["sklearn.preprocessing"]
        pipe = self.to["sklearn.pipeline"].make_pipeline
        for model in (trees.RandomForestClassifier(20, random_state=1, max_leaf_nodes=60), trees.ExtraTreesClassifier(20, random_state=1),
                      self.to["sklearn.tree"].DecisionTreeClassifier(), trees.GradientBoostingClassifier(n_estimators=8),
                      pipe(scale.StandardScaler(), trees.RandomForestClassifier(8, random_state=1)),
                      pipe(scale.MinMaxScaler(), trees.GradientBoostingClassifier(n_estimators=4))):
            with self.subTest(str(model)[:60]):
                self.check(model)

    def test_onnxmltools_and_catboost(self):
        boosted = self.to["lightgbm"].LGBMClassifier(n_estimators=8, verbose=-1)
        for convert, model, options in (
                ("convert_lightgbm", boosted, {"zipmap": True}), ("convert_lightgbm", boosted, {"zipmap": False}),
                ("convert_xgboost", self.to["xgboost"].XGBClassifier(n_estimators=8), {}),
                ("catboost", self.to["catboost"].CatBoostClassifier(iterations=8, verbose=0, allow_writing_files=False), {})):
            with self.subTest(convert, **options):
                self.check(model, convert, missing=True, **options)


if __name__ == "__main__":
    unittest.main()
