"""The rows of tests/data/forest against the libraries themselves, where they are installed.

The C tests hold tilth against NAME.rows. Here each library, of the release that is named or another, loads
the committed model again and predicts the committed rows: labels must be equal, and of the release that wrote
them every bit of the raw scores (CatBoost reads its own JSON an ulp or two off). Not installed, and so skipped by name: what pip does not find.
"""
import importlib
import pathlib
import unittest
import warnings

try:
    import numpy as np
except ImportError:
    raise unittest.SkipTest("numpy is not installed")

FOREST = pathlib.Path(__file__).resolve().parents[1] / "data" / "forest"


def read_rows(path):
    """Features, probabilities, raw scores and labels of NAME.rows."""
    fields = [[[float.fromhex(v) for v in part.split()] for part in line.split("|")]
              for line in path.read_text().splitlines()]
    x, p, raw, label = zip(*fields)
    return np.array(x, np.float32), np.array(p), np.array(raw), np.array(label).astype(int)[:, 0]


class Libraries(unittest.TestCase):
    def files(self, *patterns):
        found = sorted(path for pattern in patterns for path in FOREST.glob(pattern))
        self.assertTrue(found)
        return found

    def library(self, name, *releases):
        try:
            module = importlib.import_module(name)
        except ImportError:
            self.skipTest(f"{name} is not installed")
        return module, module.__version__ in releases

    def compare(self, path, got, exact, bits):
        """`got`: raw scores and labels of the rows, None where the library does not say."""
        _, _, raw, label = read_rows(path)
        scores, labels = got
        with self.subTest(path.name):
            if labels is not None:
                np.testing.assert_array_equal(labels, label)
            if exact and bits:
                np.testing.assert_array_equal(np.reshape(scores, raw.shape).astype(float), raw)
            else:
                np.testing.assert_allclose(np.reshape(scores, raw.shape), raw, rtol=1e-5, atol=1e-5)

    def test_lightgbm(self):
        lightgbm, exact = self.library("lightgbm", "4.7.0")
        for path in self.files("lightgbm_*.txt"):
            if path.stem == "lightgbm_pandas":
                continue  # its rows are pandas's values
            rows = path.with_suffix(".rows")
            booster, x = lightgbm.Booster(model_file=path), read_rows(rows)[0]
            p = booster.predict(x, num_threads=1)
            labels = p.argmax(1) if p.ndim == 2 else (p > 0.5).astype(int)
            self.compare(rows, (booster.predict(x, raw_score=True, num_threads=1), labels), exact, True)

    def test_xgboost(self):
        xgboost, exact = self.library("xgboost", "3.2.0")
        for path in self.files("xgboost3_*.json", "xgboost3_*.ubj"):
            if "values" in path.stem or "dart" in path.stem or "categories" in path.stem:
                continue  # a DMatrix of names and kinds is needed: make_xgboost.py
            rows = path.with_suffix(".rows")
            booster, x = xgboost.Booster(model_file=path), read_rows(rows)[0]
            booster.feature_names = None
            best = booster.attr("best_iteration")
            used = (0, int(best) + 1 if best else 0)
            raw = booster.inplace_predict(x, predict_type="margin", missing=np.nan, iteration_range=used)
            labels = raw.argmax(1) if raw.ndim == 2 and raw.shape[1] > 1 else None
            self.compare(rows, (raw, labels), exact, True)

    def test_catboost(self):
        catboost, exact = self.library("catboost", "1.2.10")
        for path in self.files("catboost_*.json"):
            rows = path.with_suffix(".rows")
            model = catboost.CatBoost()
            model.load_model(path, format="json")
            raw = model.predict(read_rows(rows)[0], prediction_type="RawFormulaVal", thread_count=1)
            self.compare(rows, (raw, None), exact, False)

    def test_onnxruntime(self):
        runtime, exact = self.library("onnxruntime", "1.32.0")
        kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64}
        for path in self.files("onnx_*.onnx"):
            rows = path.with_suffix(".rows")
            x, options = read_rows(rows)[0], runtime.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = 1, 4
            session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            inputs = session.get_inputs()
            fed = {i.name: (x if len(inputs) == 1 else x[:, [f]]).astype(kinds[i.type]) for f, i in enumerate(inputs)}
            answers = session.run(None, fed)
            if len(answers) == 1:
                continue  # a net without a label: make_onnx_nets.py says what is made of it
            label, share = answers
            if isinstance(share, list):
                classes = sorted(share[0])
                share = np.array([[row[c] for c in classes] for row in share])
            else:
                classes = sorted(set(np.ravel(label)) | set(range(share.shape[1]) if label.dtype != object else ()))
            label = np.array([classes.index(c) for c in np.ravel(label)])
            # The sums of a net are as exact as the machine that onnxruntime was built for.
            self.compare(rows, (share, label), exact, "_net_" not in path.stem)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    unittest.main()
