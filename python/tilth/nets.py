"""Linear models and multi-layer perceptrons of scikit-learn as nets: layers of sums (docs/dense.md)."""
import numpy as np

from .columns import _refuse
from .sklearn_models import version

OLD_OUTPUTS = ("binary", "softmax", "sigmoids", "scores")  # those of format 2
MAX_LAYERS, MAX_WIDTH, MAX_WEIGHTS = 8, 1024, 1 << 22


class Layer:
    """`weights` [outputs, inputs], `bias` [outputs]."""

    def __init__(self, weights, bias, activation="none"):
        self.weights, self.bias, self.activation = np.asarray(weights), np.asarray(bias), activation


class Net:
    """Layers, what is made of the last one's numbers (`output`: keys of the part), and what the columns are moved by
    first, in double (`centre`)."""

    def __init__(self, layers, output, centre=None):
        self.layers, self.output, self.centre = layers, output, centre

    def dtype(self):
        return np.result_type(*(layer.weights.dtype for layer in self.layers))

    def manifest_and_tensors(self, columns, scalings, narrow):
        """Of a part of kind linear where that says it all, else net."""
        manifest = {"kind": "net", **self.output, "inputs": columns}
        if len(self.layers) == 1 and not scalings and not narrow and self.output["output"] in OLD_OUTPUTS:
            layer = self.layers[0]
            return manifest | {"kind": "linear"}, {"weights": _double(layer.weights), "base": _double(layer.bias)}
        manifest["layers"] = [{"activation": layer.activation} for layer in self.layers]
        tensors = {}
        for i, layer in enumerate(self.layers):
            tensors[f"weights{i}"], tensors[f"bias{i}"] = _double(layer.weights), _double(layer.bias)
        if scalings:
            manifest["scaling"] = [{"op": s.op} | ({"float32": True} if s.narrow else {}) for s in scalings]
        for i, scaling in enumerate(scalings):
            tensors |= scaling.tensors(f"scaling{i}")
        if narrow:
            manifest["float32"] = True
        return manifest, tensors


def _double(numbers):
    return np.ascontiguousarray(numbers, np.float64)


def _check(net, place):
    widths = [len(layer.bias) for layer in net.layers]
    weights = sum(layer.weights.size for layer in net.layers)
    if len(widths) > MAX_LAYERS or max(widths) > MAX_WIDTH or weights > MAX_WEIGHTS:
        _refuse(place, f"a net of {len(widths)} layers of {widths} numbers and {weights} weights: at most {MAX_LAYERS} "
                       f"layers of {MAX_WIDTH} and {MAX_WEIGHTS} weights are served; train a smaller one")
    if not all(np.isfinite(layer.weights).all() and np.isfinite(layer.bias).all() for layer in net.layers):
        _refuse(place, "a weight is not a finite number: the training has diverged")
    return net


def _linear(estimator, output):
    coefficients = np.asarray(estimator.coef_)
    bias = np.broadcast_to(np.asarray(estimator.intercept_, coefficients.dtype), len(coefficients))
    return Net([Layer(coefficients, bias)], output | {"label": "score"})


def logistic(estimator, place):
    """LogisticRegression: the label is the greatest score's."""
    many = len(estimator.classes_) > 2
    kind = getattr(estimator, "multi_class", "auto")
    apart = kind == "ovr" or getattr(estimator, "solver", "") == "liblinear" or version() < (0, 22)
    if many:
        return _linear(estimator, {"output": "normalized" if apart else "softmax"})
    # of two classes softmax is the sigmoid of twice the score, one-versus-rest of the score
    twice = kind == "multinomial" and version() < (1, 8)
    return _linear(estimator, {"output": "binary", "slope": 2 if twice else 1})


def discriminant(estimator, place):
    return _linear(estimator, {"output": "binary" if len(estimator.classes_) == 2 else "softmax"})


def stochastic(estimator, place):
    if estimator.loss not in ("log_loss", "log"):
        _refuse(place, f"SGDClassifier(loss={estimator.loss!r}) gives no probabilities that tilth knows: fit it with "
                       "loss='log_loss'")
    return _linear(estimator, {"output": "binary" if len(estimator.classes_) == 2 else "normalized"})


def _double_alone(estimator, numbers, place):
    if any(np.asarray(n).dtype == np.float32 for n in numbers):
        _refuse(place, f"{type(estimator).__name__} fitted on float32 adds up in float32, whose roundings its probabilities "
                       "keep: fit it on float64")


def naive_bayes(estimator, place):
    """GaussianNB: of each class the squares of how far the columns are from its means, weighted by its variances."""
    theta, var = estimator.theta_, estimator.var_ if hasattr(estimator, "var_") else estimator.sigma_
    _double_alone(estimator, (theta, var), place)
    count, width = theta.shape
    if not ((var > 0).all() and (estimator.class_prior_ > 0).all()):
        _refuse(place, "GaussianNB with a variance or a prior of 0: fit it with var_smoothing, and on rows of every class")
    start = np.log(estimator.class_prior_) - 0.5 * np.sum(np.log(2.0 * np.pi * var), axis=1)
    return Net([Layer(np.tile(np.eye(width), (count, 1)), -theta.ravel(), "square"),
                Layer(np.repeat(np.eye(count), width, axis=1) * (-0.5 / var).ravel(), start)],
               {"output": "softmax", "label": "score"})


def quadratic(estimator, place):
    """QuadraticDiscriminantAnalysis: the same along each class's own axes."""
    means, scalings = np.asarray(estimator.means_), estimator.scalings_
    _double_alone(estimator, (means, *scalings), place)
    if not (np.asarray(estimator.priors_) > 0).all() or not all((np.asarray(s) > 0).all() for s in scalings):
        _refuse(place, "QuadraticDiscriminantAnalysis with an axis or a prior of 0: fit it with reg_param")
    axes = [(r * s ** -0.5).T for r, s in zip(estimator.rotations_, scalings)]
    centre = means.mean(axis=0)
    apart = np.concatenate([a @ (centre - mean) for a, mean in zip(axes, means)])
    halves = np.repeat(np.eye(len(means)), [len(a) for a in axes], axis=1) * -0.5
    start = -0.5 * np.array([np.sum(np.log(s)) for s in scalings]) + np.log(estimator.priors_)
    return Net([Layer(np.concatenate(axes), apart, "square"), Layer(halves, start)],
               {"output": "softmax", "label": "score"}, centre)


ACTIVATIONS = {"identity": "none", "relu": "relu", "tanh": "tanh", "logistic": "logistic"}


def perceptron(estimator, place):
    if estimator.out_activation_ not in ("softmax", "logistic") or estimator._label_binarizer.y_type_ not in (
            "binary", "multiclass"):
        _refuse(place, "MLPClassifier of several labels at once: fit one that gives a class per row")
    last = len(estimator.coefs_) - 1
    layers = [Layer(w.T, b, "none" if i == last else ACTIVATIONS[estimator.activation])
              for i, (w, b) in enumerate(zip(estimator.coefs_, estimator.intercepts_))]
    return Net(layers, {"output": "softmax" if estimator.out_activation_ == "softmax" else "binary"})


def scores_of(estimator, place):
    """The decision_function of a linear model, of two classes beside a 0 for the first."""
    weights, bias = np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_)
    if len(estimator.classes_) == 2:
        weights, bias = np.concatenate([0 * weights, weights]), np.concatenate([0 * bias, bias])
    return _check(Net([Layer(weights, np.broadcast_to(bias, len(weights)))], {"output": "scores"}), place)


SCORED = ("LogisticRegression", "LogisticRegressionCV", "LinearDiscriminantAnalysis", "SGDClassifier", "LinearSVC",
          "RidgeClassifier", "RidgeClassifierCV", "Perceptron", "PassiveAggressiveClassifier")
NETS = {"LogisticRegression": logistic, "LogisticRegressionCV": logistic, "LinearDiscriminantAnalysis": discriminant,
        "SGDClassifier": stochastic, "MLPClassifier": perceptron, "GaussianNB": naive_bayes,
        "QuadraticDiscriminantAnalysis": quadratic}


def net_of(estimator, place):
    return _check(NETS[type(estimator).__name__](estimator, place), place)
