#!/usr/bin/env python3
"""Writes the ONNX fixtures of nets of test_onnx_net.c: as skl2onnx 1.20 exports MLPClassifier and linear models, and as
PyTorch's exporter lays out dense layers (made up with onnx 1.23), with what onnxruntime 1.32 predicts. Run by hand; the
files are committed. probes.py says what NAME.rows is; there the raw scores are the probabilities again. Rows come near the
borders between classes, but not so near that another order of float32 sums may name them otherwise.
"""
import pathlib
import sys
import warnings

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

from probes import labels, rows, write

HERE = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
warnings.simplefilter("ignore")
RNG = np.random.default_rng(8)
WEIGHTS = [RNG.normal(size=shape).astype(np.float32) for shape in ((6, 4), (6,), (5, 6), (5,), (3, 5))]
_hidden = np.tanh(np.maximum(rows(21) @ WEIGHTS[0].T + WEIGHTS[1], 0) @ WEIGHTS[2].T + WEIGHTS[3])
WEIGHTS.append(-(_hidden @ WEIGHTS[4].T).mean(axis=0).astype(np.float32))  # so that every class has its rows


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class Session:
    """What onnxruntime says of rows: probabilities and the position of the label."""

    def __init__(self, path, logits):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input, self.logits = self.session.get_inputs()[0], logits

    def __call__(self, x):
        kind = np.float64 if self.input.type == "tensor(double)" else np.float32
        out = self.session.run(None, {self.input.name: x.astype(kind)})
        if len(out) == 1:
            p = out[0].astype(np.float64)
            if self.logits:
                p = softmax(p)
            if p.shape[1] == 1:
                p = np.concatenate([1 - p, p], axis=1)
            return p, out[0].argmax(axis=1) if out[0].shape[1] > 1 else p.argmax(axis=1)
        label, share = out
        classes = sorted(share[0]) if isinstance(share[0], dict) else sorted(set(np.ravel(label)))
        if isinstance(share[0], dict):
            share = np.array([[row[c] for c in classes] for row in share], np.float32)
        return share.astype(np.float64), np.array([classes.index(c) for c in np.ravel(label)])


def borders(ask, x, count=30, halvings=9):
    a, b = x[RNG.integers(len(x), size=count)], x[RNG.integers(len(x), size=count)]
    mine = ask(a)[1]
    a, b, mine = (side[mine != ask(b)[1]] for side in (a, b, mine))
    for _ in range(halvings):
        middle = ((a + b) / 2).astype(np.float32)
        same = (ask(middle)[1] == mine)[:, None]
        a, b = np.where(same, middle, a), np.where(same, b, middle)
    return np.concatenate([a, b])


def make(name, model, x, logits=False):
    path = HERE / f"onnx_net_{name}.onnx"
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    ask = Session(path, logits)
    probe = np.concatenate([x[:60], x[:10] * np.float32(50), x[:6] * np.float32(1e-4), np.zeros((1, 4), np.float32),
                            borders(ask, x)]).astype(np.float32)
    p, label = ask(probe)
    first = np.sort(p, axis=1)
    sure = first[:, -1] - first[:, -2] > 1e-5
    probe, p, label = probe[sure][:150], p[sure][:150], label[sure][:150]
    write(HERE / f"onnx_net_{name}.rows", probe, p, p, label)
    print(path.name, path.stat().st_size, len(probe), np.bincount(label))


def learned(name, estimator, y, x, double=False, zipmap=False):
    estimator.fit(x, y)
    kind = DoubleTensorType if double else FloatTensorType
    make(name, to_onnx(estimator, initial_types=[("x", kind([None, 4]))], options={"zipmap": zipmap}), x)


def perceptron(*hidden, **more):
    return MLPClassifier(hidden, max_iter=80, random_state=1, **more)


def graph(nodes, constants, inputs, outputs, ml=False):
    made = helper.make_graph(
        nodes, "main_graph", [helper.make_tensor_value_info(inputs, TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()])
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid("ai.onnx.ml", 1)] if ml else [])
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


def dense(end, last=3):
    """Gemm and Relu as torch.onnx.export names them; `end`: what is behind the last layer."""
    names = ["net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias", "net.4.weight", "net.4.bias"]
    constants = dict(zip(names, [*WEIGHTS[:4], WEIGHTS[4][:last], WEIGHTS[5][:last]]))
    gemm = {"alpha": 1.0, "beta": 1.0, "transB": 1}
    nodes = [helper.make_node("Gemm", ["onnx::Gemm_0", *names[:2]], ["/net/net.0/Gemm_output_0"], "/net/net.0/Gemm", **gemm),
             helper.make_node("Relu", ["/net/net.0/Gemm_output_0"], ["/net/net.1/Relu_output_0"], "/net/net.1/Relu"),
             helper.make_node("Gemm", ["/net/net.1/Relu_output_0", *names[2:4]], ["/net/net.2/Gemm_output_0"], "g2", **gemm),
             helper.make_node("Tanh", ["/net/net.2/Gemm_output_0"], ["/net/net.3/Tanh_output_0"], "/net/net.3/Tanh"),
             helper.make_node("Gemm", ["/net/net.3/Tanh_output_0", *names[4:]], ["out" if not end else "logits"], "g4", **gemm)]
    if end:
        nodes.append(helper.make_node(end, ["logits"], ["out"], "/net/end", **({"axis": 1} if end == "Softmax" else {})))
    return graph(nodes, constants, "onnx::Gemm_0", [("out", TensorProto.FLOAT)])


def linear(transform, targets, norm=None):
    node = helper.make_node("LinearClassifier", ["x"], ["label", "share"], "linear", domain="ai.onnx.ml",
                            coefficients=WEIGHTS[0][:targets].ravel().tolist(), intercepts=WEIGHTS[1][:targets].tolist(),
                            classlabels_ints=list(range(max(targets, 2))), post_transform=transform)
    nodes = [node]
    if norm:
        nodes.append(helper.make_node("Normalizer", ["share"], ["shares"], "shares", domain="ai.onnx.ml", norm=norm))
    return graph(nodes, {}, "x", [("label", TensorProto.INT64), ("shares" if norm else "share", TensorProto.FLOAT)], True)


def main():
    x = rows(21)
    y = {2: labels(x, 2), 3: labels(x, 3)}
    words = np.array(["béton", "blé", "eau"])[y[3]]
    learned("relu", perceptron(9, 6), y[3], x)
    learned("tanh", make_pipeline(StandardScaler(), perceptron(7, activation="tanh")), y[2], x, zipmap=True)
    learned("logistic", make_pipeline(StandardScaler(), perceptron(8, activation="logistic")), words, x)
    learned("identity", make_pipeline(MinMaxScaler(), perceptron(5, activation="identity")), y[3], x)
    learned("double", perceptron(6), y[3], x.astype(np.float64), double=True)
    learned("regression", LogisticRegression(), words, x)
    learned("normalized", make_pipeline(Normalizer("l2"), LogisticRegression()), y[2], x)
    learned("normalized_max", make_pipeline(StandardScaler(), Normalizer("max"), perceptron(6)), y[3], x)
    learned("vote", VotingClassifier([("rf", RandomForestClassifier(3, max_depth=3, random_state=1)), ("mlp", perceptron(5)),
                                      ("lr", LogisticRegression())], voting="soft", flatten_transform=False, weights=np.array([1, 2, 0.5])), y[3], x)
    make("torch", dense(None), x, logits=True)
    make("torch_softmax", dense("Softmax"), x)
    make("torch_sigmoid", dense("Sigmoid", 1), x)
    make("torch_labels", dense("Sigmoid"), x)
    make("one_target", linear("LOGISTIC", 1), x)
    make("shares", linear("LOGISTIC", 3, "L1"), x)


if __name__ == "__main__":
    main()
