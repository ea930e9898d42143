"""An estimator taken apart: pipelines, votes and stacks become parts of a model file (docs/model-file.md)."""
import numpy as np

from . import boosters, sklearn_models
from .columns import View, mixes
from .container import ModelError
from .evaluate import Parts
from .nets import NETS, SCORED, Layer, Net, net_of, scores_of
from .scalings import Scaling, scalings_of

SEARCHES = ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")
ENSEMBLES = sklearn_models.ENSEMBLES | boosters.ENSEMBLES
ROOTS = {"LGBMClassifier": "lightgbm.", "XGBClassifier": "xgboost.", "XGBRFClassifier": "xgboost.",
         "CatBoostClassifier": "catboost."}
MAX_PARTS = 32
PROBABILITIES, SCORES, LABEL = "probabilities", "scores", "label"  # what a part is asked for
RAW = ("GradientBoostingClassifier", "HistGradientBoostingClassifier")  # what decision_function can be had of


class Part:
    """One part: what the manifest says of it, and its tensors (without the prefix)."""

    def __init__(self, manifest, tensors, narrow=False):
        self.manifest, self.tensors, self.narrow = manifest, tensors, narrow


class Builder:
    """Takes an estimator apart. `columns` of parts are counted behind the features."""

    def __init__(self, features, classes, dtype, nan):
        self.features, self.classes, self.dtype, self.nan, self.parts = features, classes, dtype, nan, []

    def add(self, part, place):
        if len(self.parts) == MAX_PARTS:
            raise ModelError(f"{place}: more than {MAX_PARTS} models in one: vote with fewer members")
        self.parts.append(part)
        return len(self.parts) - 1

    def column(self, part):
        """The column of a part's first class."""
        return self.features + part * self.classes

    def tensors(self):
        """Of all parts, under the names that they have in a file."""
        return {f"p{i}.{name}": array for i, part in enumerate(self.parts) for name, array in part.tensors.items()}

    def evaluator(self):
        return Parts([part.manifest for part in self.parts], self.tensors(), self.features, self.classes)

    def view(self):
        return View(self.features, dtype=self.dtype)

    def whole(self, thing):
        """The estimator that answers. What has no probabilities is a vote of one."""
        place = type(thing).__name__
        asked = PROBABILITIES if hasattr(thing, "predict_proba") else LABEL
        part = self.estimator(thing, self.view(), place, asked)
        if asked == LABEL and self.parts[part].manifest["kind"] != "mean":
            self._count([part], None, place)

    def estimator(self, thing, view, place, ask=PROBABILITIES):
        """-> the number of the part that answers as `thing` does behind `view`. Scores: with its decision_function;
        a label: with no more than the class that predict() names."""
        name = type(thing).__name__
        if name in SEARCHES:
            if not hasattr(thing, "best_estimator_"):
                raise ModelError(f"{place}: {name} is not fitted with refit=True")
            return self.estimator(thing.best_estimator_, view, f"{place}.best_estimator_", ask)
        if name == "Pipeline":
            for step, part in thing.steps[:-1]:
                view = view.behind(part, f"{place}.{step}")
            return self.estimator(thing.steps[-1][1], view, f"{place}.{thing.steps[-1][0]}", ask)
        if name == "FrozenEstimator":
            return self.estimator(thing.estimator, view, f"{place}.estimator", ask)
        self._check(thing, place, ask)
        if ask == SCORES and name not in (*SCORED, *RAW):
            raise ModelError(f"{place}: CalibratedClassifierCV of {name} uses its decision_function, which tilth has only "
                             f"of {', '.join([*SCORED, *RAW])}: calibrate one of them, or a forest")
        if name == "CalibratedClassifierCV":
            return self._calibrated(thing, view, place)
        if name == "VotingClassifier":
            return self._vote(thing, view, place, ask)
        if name == "StackingClassifier":
            return self._stack(thing, view, place)
        if name in NETS or name in SCORED:
            return self._net(thing, view, place, ask)
        return self._trees(thing, view, place, ask == SCORES)

    def _check(self, thing, place, ask):
        name, module = type(thing).__name__, type(thing).__module__
        known = [*ENSEMBLES, *NETS, "VotingClassifier", "StackingClassifier", "CalibratedClassifierCV",
                 *(() if ask == PROBABILITIES else SCORED)]
        if name not in known or not (module.startswith(ROOTS.get(name, "sklearn.")) or module == "__main__"):
            raise ModelError(f"{place}: {module}.{name} cannot be exported. What can: {', '.join(known)}, in "
                             "Pipelines with "
                             "steps that treat each column by itself. Leave it out of the ensemble, or put one of "
                             "these in "
                             "its place")
        if not hasattr(thing, "classes_"):
            raise ModelError(f"{place}: {name} is not fitted: call fit() first")
        if name != "MLPClassifier" and getattr(thing, "n_outputs_", 1) != 1:
            raise ModelError(f"{place}: the estimator has {thing.n_outputs_} outputs: fit one per class map")
        if len(thing.classes_) != self.classes:
            raise ModelError(f"{place}: {name} knows {len(thing.classes_)} classes, the whole has {self.classes}: "
                             "fit every "
                             "member on rows of every class")

    def _trees(self, thing, view, place, raw):
        name = type(thing).__name__
        if view.normalized:
            raise ModelError(f"{view.normalized}: {mixes('Normalizer')}")
        ensemble = ENSEMBLES[name](thing, place, self.nan)
        if raw:
            ensemble = ensemble.raw()
        if name == "HistGradientBoostingClassifier" and getattr(thing, "_preprocessor", None) is not None:
            view = view.behind(thing._preprocessor, place)
        on_parts = [c for c in view.columns if c >= self.features]
        if on_parts and not view.plain:
            raise ModelError(f"{place}: a {name} behind a scaler behind other models: trees need no scaler, fit it "
                             "without")
        if on_parts and ensemble.wide and not all(self._part_of(c).narrow for c in on_parts):
            raise ModelError(f"{place}: {name} compares probabilities in double precision, tilth in single: use "
                             "LogisticRegression, RandomForestClassifier, ExtraTreesClassifier, "
                             "GradientBoostingClassifier or "
                             "XGBClassifier on top")
        try:
            tensors = ensemble.tensors(view, len(view.origin))
        except ModelError as error:
            raise ModelError(f"{place}: {error}") from None
        manifest = {"kind": "trees", **ensemble.output}
        if on_parts:
            manifest["inputs"] = [int(c) for c in view.columns]
        return self.add(Part(manifest, tensors, ensemble.narrow), place)

    def _part_of(self, column):
        return self.parts[(column - self.features) // self.classes]

    def _members(self, thing, view, place, names, ask=PROBABILITIES):
        return [self.estimator(member, view, f"{place}.{name}", ask)
                for name, member in zip(names, thing.estimators_)]

    def _count(self, members, weights, place):
        """A hard vote: each member's weight, or 1, for the class that it names."""
        for m in members:
            self.parts[m].manifest["gives"] = "label"
        wide = np.ones(len(members)) if weights is None else np.asarray(weights, np.float64)
        if not (np.isfinite(wide).all() and (wide >= 0).all() and wide.sum() > 0):
            raise ModelError(f"{place}: the weights {list(weights)} of a hard vote must not be below 0, and one must "
                             "be above")
        return self.add(Part({"kind": "mean", "inputs": [self.column(m) for m in members], "divisor": float(wide.sum()),
                              "label": "score"}, {} if weights is None else {"weights": wide}), place)

    def _vote(self, thing, view, place, ask):
        names = [name for name, member in thing.estimators if member not in ("drop", None)]
        weights = thing._weights_not_none
        if thing.voting != "soft":
            if ask != LABEL:
                raise ModelError(f"{place}: VotingClassifier(voting='hard') gives no probabilities, which are asked for "
                                 "here: set voting='soft' (it works on a fitted one; labels may differ from the hard vote)")
            return self._count(self._members(thing, view, place, names, LABEL), weights, place)
        members = self._members(thing, view, place, names)
        manifest = {"kind": "mean", "inputs": [self.column(m) for m in members], "divisor": len(members)}
        tensors, narrow = {}, weights is None and all(self.parts[m].narrow for m in members)
        if weights is not None:
            # np.average sums the weights like this, broadcast over rows and classes
            wide = np.swapaxes(np.broadcast_to(np.asarray(weights), (1, 1, len(members))), -1, 0)
            manifest["divisor"] = float(wide.sum(axis=0, dtype=np.float64)[0, 0])
            tensors["weights"] = np.asarray(weights, np.float64)
        if narrow:
            manifest["float32"] = True
        return self.add(Part(manifest, tensors, narrow), place)

    def _calibrated(self, thing, view, place):
        """Each member's scores through a sigmoid or a curve of its own for every class, shares of them, and the mean of
        members."""
        made = []
        for i, one in enumerate(thing.calibrated_classifiers_):
            here = f"{place}.{i}"
            part = self.estimator(one.estimator, view, here,
                                  SCORES if hasattr(one.estimator, "decision_function") else PROBABILITIES)
            own = [1] if self.classes == 2 else range(self.classes)
            net, curves = calibration(one.calibrators, place)
            manifest, tensors = net.manifest_and_tensors([self.column(part) + c for c in own], curves, False)
            made.append(self.add(Part(manifest, tensors), here))
        if len(made) == 1:
            return made[0]
        return self.add(Part({"kind": "mean", "inputs": [self.column(m) for m in made], "divisor": len(made)}, {}), place)

    def _stack(self, thing, view, place):
        names = [name for name, member in thing.estimators if member not in ("drop", None)]
        for name, method in zip(names, thing.stack_method_):
            if method != "predict_proba":
                raise ModelError(f"{place}.{name}: the StackingClassifier uses its {method}: fit with "
                                 "stack_method='predict_proba' and members that have it")
        members = self._members(thing, view, place, names)
        first = 1 if self.classes == 2 else 0  # of two classes the first column is dropped
        columns = [self.column(m) + c for m in members for c in range(first, self.classes)]
        if thing.passthrough:
            if not view.plain:
                raise ModelError(f"{place}: StackingClassifier(passthrough=True) behind a scaler: put the scaler "
                                 "into the "
                                 "members that need it")
            columns += list(range(self.features))
        narrow = all(self.parts[m].narrow for m in members) and (not thing.passthrough or self.dtype == np.float32)
        inner = View(len(columns), columns, np.float32 if narrow else np.float64)
        return self.estimator(thing.final_estimator_, inner, f"{place}.final_estimator")

    def _net(self, thing, view, place, ask):
        scored = ask != PROBABILITIES and type(thing).__name__ in SCORED  # labels are the greatest scores' then
        net = scores_of(thing, place) if scored else net_of(thing, place)
        columns, scalings, seen = scalings_of(view, place)
        narrow = np.result_type(seen, net.dtype()) == np.float32
        if net.centre is not None:
            scalings = [*scalings, Scaling("subtract", net.centre)]
        manifest, tensors = net.manifest_and_tensors(columns, scalings, narrow)
        return self.add(Part(manifest, tensors, narrow), place)


def calibration(calibrators, place):
    """-> (the net that calibrates a column each, what is done to the columns first)"""
    count = len(calibrators)
    kinds = {type(c).__name__ for c in calibrators}
    if kinds == {"_SigmoidCalibration"}:
        return Net([Layer(np.diag([-c.a_ for c in calibrators]), [-c.b_ for c in calibrators])],
                   {"output": "binary" if count == 1 else "normalized"}), []
    if kinds != {"IsotonicRegression"}:
        raise ModelError(f"{place}: CalibratedClassifierCV by {', '.join(sorted(kinds))}: fit it with method='sigmoid' or "
                         "'isotonic'")
    curves = [(c.X_thresholds_, c.y_thresholds_) for c in calibrators]
    if any(x.dtype != np.float64 or (np.diff(x) <= 0).any() for x, _ in curves):
        raise ModelError(f"{place}: CalibratedClassifierCV(method='isotonic') of a model whose scores are float32 "
                         "(XGBoost, or fitted on float32): fit it with method='sigmoid', or the model on float64")
    return (Net([Layer(np.eye(count), np.zeros(count))], {"output": "share" if count == 1 else "shared"}),
            [Scaling("curve", curves)])


def is_plain_forest(parts):
    """What format 1 can say: one forest that sees the features as they are."""
    only = parts[0] if len(parts) == 1 else None
    return (only is not None and only.manifest["kind"] == "trees" and only.manifest["output"] == "mean"
            and "missing" not in only.tensors and "inputs" not in only.manifest
            and np.isfinite(only.tensors["threshold"]).all())


def is_new(part):
    """What format 2 cannot say."""
    manifest = part.manifest
    return (manifest["kind"] == "net" or "gives" in manifest or (manifest["kind"] == "mean" and "label" in manifest)
            or (manifest.get("output") == "softmax" and manifest.get("slope", 1) != 1))


def outline(thing):
    """The classes of an estimator and its members, for the provenance."""
    name = type(thing).__name__
    if name == "Pipeline":
        return f"Pipeline({', '.join(outline(part) for _, part in thing.steps)})"
    if name in SEARCHES:
        return f"{name}({outline(thing.best_estimator_)})"
    if name == "CalibratedClassifierCV":
        return f"{name}({outline(thing.calibrated_classifiers_[0].estimator)})"
    if name in ("VotingClassifier", "StackingClassifier"):
        members = [outline(member) for member in thing.estimators_]
        if name == "StackingClassifier":
            members.append(f"final={outline(thing.final_estimator_)}")
        elif thing.weights is not None:
            members.append(f"weights={[float(w) for w in thing.weights]}")
        if getattr(thing, "voting", "soft") != "soft":
            members.append(f"voting={thing.voting}")
        return f"{name}({', '.join(members)})"
    return thing if isinstance(thing, str) else name
