"""The models: what they are, how they are trained, and where the files are kept.

A model is trained once, with a fixed seed, into CACHE/NAME-HASH; the hash is of what it was made from and how (its
parameters, the scene, this file's trainer, the library's release), so that nothing stale is ever measured. Every file
that a peer loads is made from the trained one (engines.py --build) and lies beside it.
"""
import dataclasses
import hashlib
import importlib.metadata
import inspect
import json
import pathlib
import sys
import time

import numpy as np

import scenes

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tools")]


@dataclasses.dataclass
class Family:
    name: str
    title: str
    train: object  # function(family, scene, folder) -> trees; writes `source`
    source: str  # the file the library itself loads
    tilth: str  # the file tilth loads
    scenes: tuple
    peers: tuple
    parameters: dict
    trees: int = 0  # once trained


def lightgbm(family, scene, folder):
    import lightgbm
    parameters = {"objective": "multiclass", "learning_rate": 0.1, "verbosity": -1, "num_threads": 2, "seed": 1,
                  "deterministic": True, "force_row_wise": True, "num_class": int(scene.labels.max()) + 1,
                  **family.parameters}
    rounds = parameters.pop("trees") // parameters["num_class"]
    booster = lightgbm.train(parameters, lightgbm.Dataset(scene.rows, scene.labels), rounds)
    booster.save_model(folder / "model.txt")
    return booster.num_trees()


def xgboost(family, scene, folder):
    import xgboost
    rounds = family.parameters["trees"] // (int(scene.labels.max()) + 1)
    model = xgboost.XGBClassifier(n_estimators=rounds, max_depth=family.parameters["depth"], tree_method="hist",
                                  learning_rate=0.1, base_score=0.5, n_jobs=2, random_state=1)
    model.fit(scene.rows, scene.labels)
    model.save_model(folder / "model.json")
    model.save_model(folder / "model.ubj")
    return family.parameters["trees"]


def catboost(family, scene, folder):
    import catboost
    model = catboost.CatBoostClassifier(iterations=family.parameters["trees"], depth=family.parameters["depth"],
                                        loss_function="MultiClass", random_seed=1, thread_count=2,
                                        allow_writing_files=False, verbose=False)
    model.fit(scene.rows, scene.labels)
    model.save_model(str(folder / "model.cbm"))
    model.save_model(str(folder / "model.json"), format="json")
    return model.tree_count_


def forest(family, scene, folder):
    import joblib
    import sklearn.ensemble
    parameters = dict(family.parameters)
    kind = getattr(sklearn.ensemble, parameters.pop("kind"))
    model = kind(parameters.pop("trees"), random_state=1, n_jobs=2, **parameters)
    model.fit(scene.rows, scene.labels).set_params(n_jobs=1)
    joblib.dump(model, folder / "model.joblib")
    return len(model.estimators_)


BOTH = ("synthetic", "sentinel2")
FOREST = ("sklearn", "onnxruntime")
FAMILIES = [
    Family("lightgbm-31", "LightGBM, 1,000 trees x 31 leaves", lightgbm, "model.txt", "model.txt", BOTH,
           ("lightgbm", "lleaves", "onnxruntime"), {"trees": 1000, "num_leaves": 31}),
    Family("lightgbm-255", "LightGBM, 500 trees x 255 leaves", lightgbm, "model.txt", "model.txt", BOTH,
           ("lightgbm", "onnxruntime"), {"trees": 500, "num_leaves": 255}),
    Family("xgboost-6", "XGBoost, 1,000 trees, depth 6", xgboost, "model.json", "model.json", BOTH,
           ("xgboost", "xgboost1", "onnxruntime"), {"trees": 1000, "depth": 6}),
    Family("catboost-6", "CatBoost, 200 oblivious trees, depth 6", catboost, "model.cbm", "model.json", BOTH,
           ("catboost", "onnxruntime"), {"trees": 200, "depth": 6}),
    Family("forest-255", "random forest, 500 trees x 255 leaves", forest, "model.joblib", "model.tilth", BOTH, FOREST,
           {"kind": "RandomForestClassifier", "trees": 500, "max_leaf_nodes": 255}),
    Family("forest-255-200", "random forest, 200 trees x 255 leaves", forest, "model.joblib", "model.tilth",
           ("synthetic",), FOREST, {"kind": "RandomForestClassifier", "trees": 200, "max_leaf_nodes": 255}),
    Family("forest-deep", "random forest, 200 trees, depth 18", forest, "model.joblib", "model.tilth", BOTH, FOREST,
           {"kind": "RandomForestClassifier", "trees": 200, "max_depth": 18}),
    Family("extra-trees", "extra trees, 200 trees, depth 20", forest, "model.joblib", "model.tilth", ("synthetic",),
           FOREST, {"kind": "ExtraTreesClassifier", "trees": 200, "max_depth": 20}),
    Family("golden", "golden model, 250 deep trees, 33 features", forest, "model.joblib", "model.tilth", ("golden",),
           ("sklearn", "onnxruntime", "ydf", "tl2cgen", "treelite"), {"kind": "RandomForestClassifier"}),
]
LIBRARIES = {lightgbm: "lightgbm", xgboost: "xgboost", catboost: "catboost", forest: "scikit-learn"}


def key(family, scene):
    """Of all that decides the model's bytes."""
    text = [family.name, json.dumps(family.parameters, sort_keys=True), inspect.getsource(family.train),
            importlib.metadata.version(LIBRARIES[family.train])]
    digest = hashlib.sha256("\n".join(text).encode())
    digest.update(np.ascontiguousarray(scene.rows))
    digest.update(np.ascontiguousarray(scene.labels))
    return digest.hexdigest()[:12]


def trained(family, name, scene, cache):
    """-> the folder of the family's files for the scene called `name`; trains when they are not there."""
    folder = cache / f"{family.name}-{name}-{key(family, scene)}"
    about = folder / "about.json"
    if not about.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"training {family.title or family.name} ({name})", flush=True)
        start = time.monotonic()
        trees = family.train(family, scene, folder)
        about.write_text(json.dumps({"trees": trees, "seconds": round(time.monotonic() - start, 1),
                                     "parameters": family.parameters}) + "\n")
    family.trees = json.loads(about.read_text())["trees"]
    if family.train is forest:
        export(scene, folder)
    return folder


def export(scene, folder):
    """scikit-learn's model as python/tilth writes it today."""
    stamp, digest = folder / "model.tilth.by", hashlib.sha256()
    for source in sorted((ROOT / "python/tilth").glob("*.py")):
        digest.update(source.read_bytes())
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    import joblib
    import tilth
    tilth.export(joblib.load(folder / "model.joblib"), folder / "model.tilth", scene.names, golden=scene.rows[:20000])
    stamp.write_text(digest.hexdigest())


def golden_family(family):
    """The parameters of tools/train_golden.py, which made models/crop-mask-south-eastern.tilth."""
    import train_golden
    parameters = dict(train_golden.PARAMETERS)
    return dataclasses.replace(family, parameters={**family.parameters, "trees": parameters.pop("n_estimators"),
                                                   **parameters})


def fewer(family, trees):
    return dataclasses.replace(family, parameters={**family.parameters, "trees": trees})


def golden_table(data):
    import train_golden
    return train_golden.read_table(data / train_golden.TABLE)
