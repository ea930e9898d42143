#!/usr/bin/env python3
"""Writes the fixtures of test_parts.c: small votes, stacks and pipelines as python/tilth exports them,
and what the libraries themselves predict. Run by hand with scikit-learn 1.9.1, LightGBM 4.7.0, XGBoost 3.2.0
and CatBoost 1.2.10; the files are committed. Of NAME.rows (probes.py) the raw scores are the probabilities again.
"""
import pathlib
import sys

import numpy as np
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import (AdaBoostClassifier, ExtraTreesClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier,
                              RandomForestClassifier, StackingClassifier, VotingClassifier)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from probes import labels, rows, write

HERE = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "python"))
import tilth  # noqa: E402
from tilth.golden import predict  # noqa: E402

FEATURES = ["blue", "green", "nir", "cover"]


def forest(**parameters):
    return RandomForestClassifier(4, random_state=1, **{"max_leaf_nodes": 8, **parameters})


def boosted(kind, **parameters):
    if kind is LGBMClassifier:
        return kind(n_estimators=3, num_leaves=5, verbose=-1, n_jobs=1, **parameters)
    if kind is CatBoostClassifier:
        return kind(iterations=3, depth=3, verbose=0, allow_writing_files=False, **parameters)
    return kind(n_estimators=3, max_depth=2, **parameters)


def encoded(model, **parameters):
    return make_pipeline(ColumnTransformer([("cover", OrdinalEncoder(**parameters), [3])], remainder="passthrough"),
                         StandardScaler(), model)


def perceptron(*hidden, **parameters):
    return MLPClassifier(hidden, max_iter=80, random_state=1, **parameters)


UNKNOWN = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
CASES = {  # name -> classes, whether NaN occurs, the estimator
    "vote": (3, False, VotingClassifier([("rf", forest()), ("gb", boosted(GradientBoostingClassifier)),
                                         ("xgb", boosted(XGBClassifier))], voting="soft")),
    "vote_weighted": (3, True, VotingClassifier(
        [("et", make_pipeline(SimpleImputer(), MinMaxScaler(), ExtraTreesClassifier(3, max_depth=3, random_state=1))),
         ("lgb", make_pipeline(StandardScaler(), boosted(LGBMClassifier))), ("cat", boosted(CatBoostClassifier))],
        voting="soft", weights=[0.3, 2, 1])),
    "vote_float32": (3, True, VotingClassifier([("a", boosted(XGBClassifier)), ("b", boosted(XGBClassifier, seed=2,
                                                                                             subsample=0.5)),
                                                ("c", boosted(XGBClassifier, learning_rate=0.1))], voting="soft")),
    "stack": (2, False, StackingClassifier([("rf", forest(min_samples_leaf=7)), ("cat", boosted(CatBoostClassifier))], cv=3)),
    "stack_forest": (3, False, StackingClassifier(
        [("vote", VotingClassifier([("rf", forest()), ("gb", boosted(GradientBoostingClassifier))], voting="soft")),
         ("lgb", boosted(LGBMClassifier))], final_estimator=forest(), cv=3, passthrough=True)),
    "histogram": (2, True, HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=6, categorical_features=[3])),
    "encoded": (3, False, encoded(forest(max_leaf_nodes=30), **UNKNOWN)),
    "mlp": (3, False, make_pipeline(StandardScaler(), perceptron(9, 6))),
    "mlp_binary": (2, False, make_pipeline(MinMaxScaler(clip=True), perceptron(7, activation="tanh"))),
    "mlp_float32": (3, False, make_pipeline(StandardScaler(), perceptron(8, activation="logistic"))),
    "logistic": (3, False, LogisticRegression()),
    "logistic_ovr": (3, False, make_pipeline(Normalizer("max"), SGDClassifier(loss="log_loss", random_state=1))),
    "vote_nets": (3, False, VotingClassifier([("rf", forest()), ("mlp", make_pipeline(StandardScaler(), perceptron(5))),
                                              ("lr", LogisticRegression())], voting="soft", weights=[1, 2, 0.5])),
    "adaptive": (3, False, AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=9, random_state=1)),
    "vote_hard": (3, False, VotingClassifier(
        [("rf", forest(min_samples_leaf=7)), ("gb", boosted(GradientBoostingClassifier)),
         ("vote", VotingClassifier([("xgb", boosted(XGBClassifier)), ("et", ExtraTreesClassifier(3, max_depth=3, random_state=1))],
                                   voting="soft")), ("svm", make_pipeline(StandardScaler(), LinearSVC(random_state=1))),
         ("hard", VotingClassifier([("rf", forest()), ("mlp", make_pipeline(StandardScaler(), perceptron(5)))]))],
        weights=[1, 0.7, 0.8, 0.5, 0.6])),
    "calibrated": (3, False, CalibratedClassifierCV(boosted(GradientBoostingClassifier), cv=2)),
    "calibrated_binary": (2, False, CalibratedClassifierCV(forest(), cv=2)),
    "isotonic": (3, False, CalibratedClassifierCV(forest(min_samples_leaf=7), cv=2, method="isotonic")),
    "isotonic_binary": (2, False, CalibratedClassifierCV(boosted(GradientBoostingClassifier), cv=2, method="isotonic")),
    "naive_bayes": (3, False, make_pipeline(StandardScaler(), GaussianNB())),
    "quadratic": (2, False, QuadraticDiscriminantAnalysis(reg_param=0.05)),
    "stack_net": (2, False, StackingClassifier([("rf", forest()), ("lr", LogisticRegression())],
                                               final_estimator=perceptron(4), cv=3)),
}
# fitted on double, and so computed in it; the others on float32
DOUBLE = ("mlp", "mlp_binary", "logistic", "logistic_ovr", "vote_nets", "vote_hard", "naive_bayes", "quadratic", "stack_net")


def main():
    """All of them, or those that are named behind the folder."""
    for name, (classes, missing, estimator) in CASES.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        x = rows(11, missing)
        y = labels(x, classes)
        x[:, 3] = np.random.default_rng(4).integers(0, 9, len(x)) * 3
        y = (y + (x[:, 3] % 2 == 1)).astype(int) % classes
        estimator.fit(x if name not in DOUBLE else x.astype(np.float64), y)
        path = HERE / f"tilth_{name}.tilth"
        model = tilth.export(estimator, path, features=FEATURES, classes=["bare", "maize", "forest"][:classes], golden=x,
                             golden_rows=8, provenance={"script": "tests/data/forest/make_tilth.py"})
        probe = np.concatenate([x[:70], model.tensors["golden_x"][8:]])[:150]
        if name in ("histogram", "encoded"):
            strange = x[:10].copy()
            strange[:, 3] = [-1, -0.5, 1, 2.5, 25, 30, 1000, 3.0000002, 2.9999998, 0.5]
            probe[-10:] = strange
        p, label = predict(estimator, probe, np.float32)
        write(HERE / f"tilth_{name}.rows", probe, p, p, label)
        print(f"{path.name}: {path.stat().st_size} bytes, {len(probe)} rows")


if __name__ == "__main__":
    main()
