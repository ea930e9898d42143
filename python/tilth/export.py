"""A fitted estimator -> .tilth file."""
import re

import numpy as np

from . import container, golden as golden_rows_of
from .container import ModelError
from .model import Model
from .parts import Builder, is_new, is_plain_forest, outline

# of classes that come without a colour: as far apart as twelve can be, then again
PALETTE = ("4E79A7", "F28E2B", "59A14F", "E15759", "76B7B2", "EDC948", "B07AA1", "9C755F", "FF9DA7", "86BCB6", "D37295",
           "8CD17D")
KINDS = {"RandomForestClassifier": "random-forest", "ExtraTreesClassifier": "extra-trees",
         "DecisionTreeClassifier": "random-forest", "ExtraTreeClassifier": "random-forest",
         "BaggingClassifier": "random-forest", "GradientBoostingClassifier": "gradient-boosting",
         "HistGradientBoostingClassifier": "gradient-boosting", "LGBMClassifier": "lightgbm", "XGBClassifier": "xgboost",
         "XGBRFClassifier": "xgboost", "CatBoostClassifier": "catboost", "VotingClassifier": "voting",
         "StackingClassifier": "stacking", "LogisticRegression": "logistic-regression",
         "LogisticRegressionCV": "logistic-regression", "LinearDiscriminantAnalysis": "linear-discriminant",
         "GaussianNB": "naive-bayes", "QuadraticDiscriminantAnalysis": "quadratic-discriminant",
         "SGDClassifier": "linear", "MLPClassifier": "mlp", "AdaBoostClassifier": "adaptive-boosting",
         "CalibratedClassifierCV": "calibrated"}


def _last(estimator):
    """What is behind the steps of a pipeline."""
    name = type(estimator).__name__
    if name == "Pipeline":
        return _last(estimator.steps[-1][1])
    return _last(estimator.best_estimator_) if hasattr(estimator, "best_estimator_") else estimator


def _known_classes(estimator):
    try:
        return list(estimator.classes_)
    except AttributeError:
        pass
    name, module = type(estimator).__name__, type(estimator).__module__
    raise ModelError(f"{module}.{name} is not fitted, or no classifier: give a fitted classifier")


def _classes(known, classes, encoder):
    """What the file says of each class: value, name, colour."""
    names = [str(n) for n in (known if encoder is None else encoder.inverse_transform(np.asarray(known)))]
    whole = all(isinstance(c, (int, np.integer)) and 0 <= c <= 253 for c in known)
    made = [{"value": int(c) if whole else i, "name": names[i]} for i, c in enumerate(known)]
    if classes is not None and len(classes) != len(known):
        raise ModelError(f"{len(classes)} classes given, the estimator knows {len(known)}: {known} (in this order)")
    for i, given in enumerate(classes or ()):
        made[i] |= {"name": given} if isinstance(given, str) else given
        made[i]["value"] = int(made[i]["value"])
    for i, one in enumerate(made):
        one.setdefault("color", PALETTE[i % len(PALETTE)])
        _check_class(one)
    given = [one["name"] for one in made]
    if any(np.ndim(c) for c in known):
        return made  # several outputs, which the estimator's reader refuses
    if len(set(given)) < len(given):
        raise ModelError(f"two classes have one name: {', '.join(given)}")
    if not whole and given != names and sorted(given) == sorted(names):
        raise ModelError(f"the estimator has these classes in another order: {', '.join(names)}")
    return made


def _check_class(one):
    unknown = set(one) - {"value", "name", "color"}
    if unknown:
        raise ModelError(f"a class has a value, a name and a color; {', '.join(sorted(unknown))} is none of them: {one}")
    if not re.fullmatch("#?[0-9A-Fa-f]{6}", str(one["color"])):
        raise ModelError(f"the color of {one['name']} is six hex digits, FFD300, not {one['color']!r}")
    one["color"] = one["color"].lstrip("#")


def _features(estimator, features):
    count = getattr(estimator, "n_features_in_", None) or getattr(_last(estimator), "n_features_in_", None)
    count = count or None  # CatBoost's own is 0 once it was pickled
    known = getattr(estimator, "feature_names_in_", getattr(estimator, "feature_names_", None))  # CatBoost's
    if features is None:
        features = known
    elif known is not None and list(features) != list(known) and sorted(map(str, features)) == sorted(map(str, known)):
        raise ModelError(f"the estimator has these features in another order: {','.join(map(str, known))}")
    if features is None:
        raise ModelError(f"the estimator was fitted without names: give the names of its {count} features, in the "
                         "order of "
                         "the columns")
    if count is not None and len(features) != count:
        raise ModelError(f"{len(features)} feature names, the estimator has {count} columns")
    return [str(f) for f in features]


def _libraries(text):
    """Name and version of the libraries whose estimators are in it."""
    used = {"scikit-learn": "sklearn"}
    for word, name in (("LGBM", "lightgbm"), ("XGB", "xgboost"), ("CatBoost", "catboost")):
        if word in text:
            used[name] = name
    found = {}
    for name, module in used.items():
        try:
            found[name] = __import__(module).__version__
        except ImportError:
            pass
    return found


def _library(kind, libraries):
    name = kind if kind in libraries else "scikit-learn"
    return {"name": name, "version": libraries.get(name, "unknown")}


def export(estimator, path, features=None, classes=None, golden=None, provenance=None, name=None,
           golden_rows=256, seed=0, label_encoder=None, dtype="float32"):
    """Writes a fitted classifier and proves the file against it. -> the loaded Model.

    features    names of the columns, in the order of fit(); None: those that it was fitted with
    classes     [{"value": 0..253, "name": "maize", "color": "FFD300"}, ...] or names, in the order of classes_
    golden      rows to choose golden rows from: `golden_rows` of them, and three times as many made of
                them that sit on a threshold, one ulp below and one ulp above. With NaN in them the
                model keeps its library's rules for NaN. None: rows made of thresholds alone
    provenance  anything JSON: data, licence, rows, script, scores
    label_encoder  the LabelEncoder of the labels, where it is not part of the estimator: names the classes
    dtype       of the rows as the library is to see them: scalers compute in it
    """
    features = _features(estimator, features)
    known = _known_classes(estimator)
    classes = _classes(known, classes, label_encoder)
    if golden is not None:
        golden = np.asarray(golden, np.float32)
    builder = Builder(len(features), len(known), np.dtype(dtype), golden is not None and bool(np.isnan(golden).any()))
    builder.whole(estimator)
    plain = is_plain_forest(builder.parts)
    tensors = dict(builder.parts[0].tensors) if plain else builder.tensors()
    x = golden_rows_of.rows_of(golden, builder.parts, len(features), golden_rows, seed)
    x = golden_rows_of.accepted(estimator, x, builder.dtype)
    x = golden_rows_of.with_borders(estimator, x, builder, golden_rows, seed)
    p, winner = golden_rows_of.predict(estimator, x, builder.dtype)
    values = np.array([c["value"] for c in classes], np.uint8)
    tensors.update(golden_x=x, golden_p=p, golden_label=values[winner])
    last = _last(estimator)
    kind, text = KINDS.get(type(last).__name__, "random-forest"), outline(estimator)
    libraries = _libraries(text)
    manifest = {"format": 1 if plain else 3 if any(map(is_new, builder.parts)) else 2, "name": name or type(last).__name__, "kind": kind,
                "features": features, "classes": classes, "library": _library(kind, libraries),
                "provenance": dict(provenance or {})}
    if last is not estimator or not plain:
        manifest["provenance"].setdefault("estimator", text)
        manifest["provenance"].setdefault("libraries", libraries)
    if not plain:
        manifest["parts"] = [part.manifest for part in builder.parts]
    model = Model(manifest, tensors, str(path))
    model.verify()
    container.write(path, manifest, tensors)
    return model
