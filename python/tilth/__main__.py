"""python -m tilth info|verify|export FILE"""
import argparse
import csv
import hashlib
import json
import pickle
import sys

import numpy as np

from . import ModelError, export, load


def info(args):
    with open(args.file, "rb") as file:
        data = file.read()
    model = load(args.file)
    m = model.manifest
    print(f"{m.get('name')}: {m['kind']}, {model.tree_count} trees, {model.node_count} nodes, depth {model.depth()}")
    print(f"file       {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    print(f"features   {len(model.features)}: {' '.join(model.features)}")
    for c in model.classes:
        print(f"class      {c['value']:3d} {c.get('name', '')} {c.get('color', '')}")
    for i, part in enumerate(m.get("parts", ())):
        print(f"part       {i:3d} {json.dumps(part)}")
    print(f"golden     {len(model.tensors['golden_x'])} rows")
    print(f"provenance {json.dumps(m.get('provenance', {}), indent=2)}")


def verify(args):
    rows, difference = load(args.file).verify()
    print(f"{args.file}: {rows} golden rows reproduced, largest difference {difference:.3g}")


# ---- export ----

def _unpickled(path):
    """Runs whatever the pickle says: only of files of one's own. The server never does this."""
    try:
        import joblib
    except ImportError:
        joblib = None
    try:
        if joblib:
            return joblib.load(path)
        with open(path, "rb") as file:
            return pickle.load(file)
    except (ImportError, OSError):
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise ModelError(f"{path}: no pickle that can be opened ({type(error).__name__}: {error}). Files that LightGBM, "
                         "XGBoost, CatBoost and ONNX exporters write are read by tilth as they are") from None


def _is_classifier(thing):
    return hasattr(thing, "predict") and not isinstance(thing, type) and (
        hasattr(thing, "classes_") or hasattr(thing, "predict_proba"))


def _found(thing, wanted):
    """What `wanted` holds for, in a pickle that is a dict or a list of things."""
    inside = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, (list, tuple)) else [thing]
    return [one for one in inside if wanted(one)]


def _pick(thing, path):
    models = _found(thing, _is_classifier)
    encoders = _found(thing, lambda one: type(one).__name__ == "LabelEncoder")
    if len(models) != 1:
        raise ModelError(f"{path}: {len(models)} classifiers in this pickle (a {type(thing).__name__}): save one of "
                         "them in a "
                         "file of its own")
    return models[0], encoders[0] if len(encoders) == 1 else None


def _table(path, features):
    """Rows of a .npy, .npz (its first array) or .csv; a csv's header may name the features among others."""
    if path.endswith((".npy", ".npz")):
        rows = np.load(path, allow_pickle=False)
        return rows[rows.files[0]] if path.endswith(".npz") else rows
    try:
        with open(path, newline="", encoding="utf-8") as file:
            lines = [line for line in csv.reader(file) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ModelError(f"{path}: no table in text: {error}") from None
    if not lines:
        raise ModelError(f"{path}: no rows")
    try:
        float(lines[0][0] or "nan")
    except ValueError:
        header = lines.pop(0)
        if features is not None and set(features) <= set(header):
            at = [header.index(f) for f in features]
            lines = [[line[i] for i in at] for line in lines]
    try:
        return np.array([[float(cell or "nan") for cell in line] for line in lines], np.float32)
    except ValueError as error:
        raise ModelError(f"{path}: {error}; numbers in columns, a header may name them") from None


def _json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except ValueError as error:
        raise ModelError(f"{path}: no JSON: {error}") from None


def export_file(args):
    model, encoder = _pick(_unpickled(args.file), args.file)
    if args.label_encoder:
        encoder = _unpickled(args.label_encoder)
    features = args.features.split(",") if args.features else None
    names = features if features is not None else getattr(model, "feature_names_in_", None)
    with open(args.file, "rb") as file:
        provenance = {"pickle_sha256": hashlib.sha256(file.read()).hexdigest()}
    provenance |= _json(args.provenance) if args.provenance else {}
    made = export(model, args.output, features=features, classes=_json(args.classes) if args.classes else None,
                  golden=_table(args.golden, names) if args.golden else None, provenance=provenance, name=args.name,
                  label_encoder=encoder, dtype=args.dtype)
    rows, difference = made.verify()
    print(f"{args.output}: {made.manifest['kind']}, {made.tree_count} trees, {len(made.features)} features, "
          f"{len(made.classes)} classes; {rows} golden rows reproduced, largest difference {difference:.3g}")
    for one in made.classes:
        print(f"  map value {one['value']:3d} is class {one['name']}")


def parser():
    top = argparse.ArgumentParser(prog="python -m tilth", description="Looks at tilth model files, and writes them.")
    verbs = top.add_subparsers(dest="verb", required=True)
    for name, run, text in (("info", info, "what the file says of itself"), ("verify", verify, "replays its golden "
                                                                                               "rows")):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("file")
        verb.set_defaults(run=run)
    verb = verbs.add_parser("export", help="a pickled classifier of your own to a model file. Opening a pickle runs "
                                           "what "
                                           "is in it: never one that you did not make")
    verb.add_argument("file", help="written by pickle or joblib: a classifier, or a dict or list with one in it")
    verb.add_argument("-o", "--output", required=True, metavar="X.tilth")
    verb.add_argument("--features", metavar="A,B,..", help="names of the columns; else those it was fitted with")
    verb.add_argument("--classes", metavar="FILE", help='JSON: ["name", ..] or [{"value": 1, "name": "maize", "color": '
                                                        '"FFD300"}, ..] in the order of classes_')
    verb.add_argument("--label-encoder", metavar="FILE", help="a pickled LabelEncoder that names the classes")
    verb.add_argument("--golden", metavar="FILE", help="rows (.npy, .npz, .csv) to prove the file with, best the "
                                                       "training "
                                                       "rows; else they are made of the model's thresholds")
    verb.add_argument("--provenance", metavar="FILE", help="JSON: data, licence, rows, script, scores")
    verb.add_argument("--name", help="of the model")
    verb.add_argument("--dtype", choices=("float32", "float64"), default="float32",
                      help="of the rows as the library saw them: scalers compute in it")
    verb.set_defaults(run=export_file)
    return top


def main(argv=None):
    args = parser().parse_args(argv)
    try:
        args.run(args)
    except (ModelError, OSError, pickle.UnpicklingError) as error:
        print(f"tilth: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"tilth: the pickle needs a library that is not here: {error}; export where the model was trained",
              file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
