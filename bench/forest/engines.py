#!/usr/bin/env python3
"""A peer: a process that loads one model, is given tiles, and says what classifying one costs.

    engines.py ENGINE MODEL FEATURES            serves commands on standard input, as bench_bands.c does
    engines.py --build ENGINE SOURCE TARGET     makes the file that the engine loads from what was trained

    tile PATH PIXELS   float32 rows                                       -> {}
    run LABELS         labels, a byte a pixel, go to the file LABELS      -> {"ns": CPU time, "setting": ..}

Timed is the library's own call alone, from a row-major matrix that is made before (in float32 or float64, or the
library's own dataset), to its scores; choosing the greatest of them is not. An engine has several settings where it is
not known beforehand which is the fastest: all are tried on 8,192 rows of its first tile, and the best stays. CPU
time of the process, so that threads that nobody asked for would count.
"""
import ctypes
import gc
import json
import os
import pathlib
import shutil
import sys
import time

import numpy as np

TRIAL_ROWS = 8192


class LightGBM:
    def __init__(self, path):
        import lightgbm
        self.booster = lightgbm.Booster(model_file=path)
        self.library = lightgbm.basic._LIB
        self.scores = self.booster.num_model_per_iteration()

    def _predict(self, rows):
        return lambda: self.booster.predict(rows, raw_score=True, num_threads=1)

    def _for_mat(self, rows, double):
        out = np.empty(len(rows) * self.scores)
        length = ctypes.c_int64()
        arguments = (self.booster._handle, rows.ctypes.data_as(ctypes.c_void_p), ctypes.c_int(double),
                     ctypes.c_int32(rows.shape[0]), ctypes.c_int32(rows.shape[1]), ctypes.c_int(1), ctypes.c_int(1),
                     ctypes.c_int(0), ctypes.c_int(-1), b"num_threads=1", ctypes.byref(length),
                     out.ctypes.data_as(ctypes.c_void_p))

        def call():
            if self.library.LGBM_BoosterPredictForMat(*arguments):
                raise RuntimeError(self.library.LGBM_GetLastError())
            return out.reshape(len(rows), -1)
        return call

    def _single_row(self, rows):
        config, length = ctypes.c_void_p(), ctypes.c_int64()
        if self.library.LGBM_BoosterPredictForMatSingleRowFastInit(
                self.booster._handle, ctypes.c_int(1), ctypes.c_int(0), ctypes.c_int(-1), ctypes.c_int(1),
                ctypes.c_int32(rows.shape[1]), b"num_threads=1", ctypes.byref(config)):
            raise RuntimeError(self.library.LGBM_GetLastError())
        out = np.empty((len(rows), self.scores))
        one, row, to = self.library.LGBM_BoosterPredictForMatSingleRowFast, rows.ctypes.data, out.ctypes.data
        step, stride, pointer = rows.strides[0], out.strides[0], ctypes.c_void_p

        def call():
            for i in range(len(rows)):
                one(config, pointer(row + i * step), ctypes.byref(length), pointer(to + i * stride))
            return out
        return call

    def settings(self):
        return {"Booster.predict, float32": self._predict,
                "Booster.predict, float64": lambda rows: self._predict(rows.astype(np.float64)),
                "C PredictForMat, float32": lambda rows: self._for_mat(rows, False),
                "C PredictForMat, float64": lambda rows: self._for_mat(rows.astype(np.float64), True),
                "C SingleRowFast": lambda rows: self._single_row(rows.astype(np.float64))}


class XGBoost:
    def __init__(self, path):
        import xgboost
        self.booster = xgboost.Booster({"nthread": 1}, model_file=path)

    def settings(self):
        # Not predict() of a DMatrix: the booster remembers the answer and gives it again for nothing.
        return {"inplace_predict": lambda rows: lambda: self.booster.inplace_predict(
            rows, predict_type="margin", validate_features=False)}


class XGBoost1(XGBoost):
    """Release 1.7 on the same trees; it knows base_score as one number alone."""

    @staticmethod
    def build(source, target):
        document = json.loads(pathlib.Path(source).read_text())
        model = document["learner"]["learner_model_param"]
        bases = {float(v) for v in model["base_score"].strip("[]").split(",")}
        if len(bases) != 1:
            raise ValueError(f"{source}: classes of different base_score are beyond release 1.7")
        model["base_score"] = repr(bases.pop())
        pathlib.Path(target).write_text(json.dumps(document))


class ScikitLearn:
    def __init__(self, path):
        import joblib
        import sklearn
        sklearn.set_config(assume_finite=True)
        self.model = joblib.load(path).set_params(n_jobs=1)

    def settings(self):
        return {"predict_proba": lambda rows: lambda: self.model.predict_proba(rows)}


class OnnxRuntime:
    def __init__(self, path):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.output = next(o.name for o in self.session.get_outputs() if "prob" in o.name)

    def _batches(self, size):
        def prepare(rows):
            parts = [rows[at:at + size] for at in range(0, len(rows), size)]
            return lambda: np.concatenate([self.session.run([self.output], {self.input: p})[0] for p in parts])
        return prepare

    def settings(self):
        return {"all rows": self._batches(1 << 30), "batches of 1024": self._batches(1024)}

    @staticmethod
    def build(source, target):
        made = to_onnx(pathlib.Path(source))
        pathlib.Path(target).write_bytes(made.SerializeToString())


def to_onnx(source):
    """By the exporter of each library: skl2onnx, onnxmltools, CatBoost's own. Probabilities as a matrix."""
    if source.suffix == ".joblib":
        import joblib
        from skl2onnx import to_onnx as convert
        from skl2onnx.common.data_types import FloatTensorType
        model = joblib.load(source)
        return convert(model, initial_types=[("x", FloatTensorType([None, model.n_features_in_]))],
                       options={id(model): {"zipmap": False}})
    if source.suffix == ".cbm":
        return catboost_onnx(source)
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    if source.suffix == ".txt":
        import lightgbm
        booster = lightgbm.Booster(model_file=source)
        return convert_lightgbm(booster, zipmap=False,
                                initial_types=[("x", FloatTensorType([None, booster.num_feature()]))])
    import xgboost
    booster = xgboost.Booster(model_file=source)
    return convert_xgboost(booster, initial_types=[("x", FloatTensorType([None, booster.num_features()]))])


def catboost_onnx(source):
    """CatBoost ends its graph with a ZipMap, a dictionary per row: the matrix before it is what is asked for."""
    import catboost
    import onnx
    path = source.with_suffix(".catboost.onnx")
    catboost.CatBoost().load_model(str(source)).save_model(str(path), format="onnx")
    model = onnx.load(path)
    path.unlink()
    zipmap = next(node for node in model.graph.node if node.op_type == "ZipMap")
    model.graph.node.remove(zipmap)
    output = next(o for o in model.graph.output if o.name == zipmap.output[0])
    model.graph.output.remove(output)
    model.graph.output.append(onnx.helper.make_tensor_value_info(zipmap.input[0], onnx.TensorProto.FLOAT, None))
    return model


class CatBoost:
    def __init__(self, path):
        import catboost
        self.catboost = catboost
        self.model = catboost.CatBoost().load_model(path)

    def _predict(self, data):
        return lambda: self.model.predict(data, prediction_type="RawFormulaVal", thread_count=1)

    def settings(self):
        return {"rows": self._predict, "columns": lambda rows: self._predict(np.asfortranarray(rows)),
                "Pool": lambda rows: self._predict(self.catboost.Pool(rows))}


class YDF:
    def __init__(self, path):
        import ydf
        self.ydf = ydf
        ydf.verbose(0)
        self.model = ydf.load_model(path)

    def _engine(self, name):
        def prepare(rows):
            made = self.ydf.create_vertical_dataset({"features": rows}, data_spec=self.model.data_spec(),
                                                     required_columns=self.model.input_feature_names())

            def call():
                self.model.force_engine(name)
                return self.model.predict(made, num_threads=1)
            return call
        return prepare

    def settings(self):
        names = self.model.list_compatible_engines()
        return {name: self._engine(name) for name in names} or {"slow": self._engine(None)}

    @staticmethod
    def build(source, target):
        import joblib
        import ydf
        ydf.from_sklearn(joblib.load(source)).save(target)


class Treelite:
    """GTIL, treelite's own interpreter."""

    def __init__(self, path):
        import treelite
        self.treelite, self.model = treelite, treelite.Model.deserialize(path)

    def settings(self):
        def prepare(rows):
            rows = rows.astype(self.model.input_type)
            return lambda: self.treelite.gtil.predict(self.model, rows, nthread=1)
        return {"gtil.predict": prepare}

    @staticmethod
    def build(source, target):
        import_sklearn(source).serialize(target)


def import_sklearn(source):
    import joblib
    import treelite
    return treelite.sklearn.import_model(joblib.load(source))


class TL2cgen:
    """Trees as C, compiled by gcc -O3."""

    def __init__(self, path):
        import tl2cgen
        self.tl2cgen, self.predictor = tl2cgen, tl2cgen.Predictor(path, nthread=1)

    def settings(self):
        def prepare(rows):
            made = self.tl2cgen.DMatrix(rows.astype(self.predictor.threshold_type))
            return lambda: self.predictor.predict(made)
        return {"Predictor": prepare}

    @staticmethod
    def build(source, target):
        import tl2cgen
        tl2cgen.export_lib(import_sklearn(source), toolchain="gcc", libpath=target,
                           params={"parallel_comp": 32}, options=["-O3"], nthread=os.cpu_count())


class Lleaves:
    """LightGBM's trees through LLVM; the target is its compiled cache, with the model beside it."""

    def __init__(self, path):
        import lleaves
        self.model = lleaves.Model(model_file=path + ".txt")
        self.model.compile(cache=path, raw_score=True)

    def settings(self):
        return {"float64": lambda rows: self._predict(rows.astype(np.float64)), "float32": self._predict}

    def _predict(self, rows):
        return lambda: self.model.predict(rows, n_jobs=1)

    @staticmethod
    def build(source, target):
        text = pathlib.Path(source).read_text()
        if "pandas_categorical:" not in text:
            text += "\npandas_categorical:null\n"
        pathlib.Path(target + ".txt").write_text(text)
        Lleaves(target)


ENGINES = {"lightgbm": LightGBM, "xgboost": XGBoost, "xgboost1": XGBoost1, "sklearn": ScikitLearn,
           "onnxruntime": OnnxRuntime, "catboost": CatBoost, "ydf": YDF, "treelite": Treelite, "tl2cgen": TL2cgen,
           "lleaves": Lleaves}


def labels_of(scores):
    """The first of the greatest, a score per class; one score alone is the second class's share."""
    scores = np.asarray(scores)
    scores = scores.reshape(len(scores), -1)
    return (scores.argmax(1) if scores.shape[1] > 1 else scores[:, 0] > 0.5).astype(np.uint8)


def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def load(name, path):
    """Imports do not count: they are the interpreter's."""
    warm = {"lightgbm": "lightgbm", "sklearn": "sklearn.ensemble", "onnxruntime": "onnxruntime",
            "catboost": "catboost", "ydf": "ydf", "treelite": "treelite", "tl2cgen": "tl2cgen", "lleaves": "lleaves"}
    __import__(warm.get(name, "xgboost"))
    before, start, wall = resident(), time.process_time_ns(), time.monotonic_ns()
    engine = ENGINES[name](path)
    spent, waited = time.process_time_ns() - start, time.monotonic_ns() - wall
    return engine, {"load_ns": spent, "wall_ns": waited, "resident": resident() - before}


def timed(call):
    start = time.process_time_ns()
    scores = call()
    return time.process_time_ns() - start, scores


def choose(settings, rows):
    """The setting that takes the least, of two tries each."""
    if len(settings) == 1:
        return next(iter(settings))
    costs = {}
    for name, prepare in settings.items():
        call = prepare(rows[:TRIAL_ROWS])
        costs[name] = min(timed(call)[0] for _ in range(2))
    return min(costs, key=costs.get)


def serve(engine, features):
    settings, chosen, call = engine.settings(), None, None
    for line in sys.stdin:
        command, path, *more = line.split()
        if command == "tile":
            rows = np.fromfile(path, np.float32).reshape(-1, features)[:int(more[0])]
            chosen = chosen or choose(settings, rows)
            call = None
            call, reply = settings[chosen](rows), {}
        else:
            ns, scores = timed(call)
            labels_of(scores).tofile(path)
            reply = {"ns": ns, "setting": chosen}
        print(json.dumps(reply), file=replies, flush=True)


def build(name, source, target):
    """Beside the target first, so that what is there is whole."""
    target = pathlib.Path(target)
    folder = target.parent / (target.name + ".part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    start = time.process_time()
    ENGINES[name].build(source, str(folder / target.name))
    children = os.times()
    spent = time.process_time() - start + children.children_user + children.children_system
    for made in folder.iterdir():
        made.rename(target.parent / made.name)
    folder.rmdir()
    print(json.dumps({"seconds": spent}), file=replies)


if __name__ == "__main__":
    # What a library prints is not a reply.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if sys.argv[1] == "--build":
        build(*sys.argv[2:])
    else:
        loaded, report = load(sys.argv[1], sys.argv[2])
        print(json.dumps(report), file=replies, flush=True)
        serve(loaded, int(sys.argv[3]))
