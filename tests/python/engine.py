"""The C engine for tests in Python: predict_rows, on every instruction set that this machine has."""
import os
import pathlib
import subprocess
import tempfile

import numpy as np

PROGRAM = os.environ.get("TILTH_PREDICT_ROWS")
SETS = ("scalar", "sse2", "avx2", "avx512")
ODD = [0.0, -0.0, 1e-36, -1e-36, 1e-35, 2e-35, -2e-35, 1e-45, -1e-45, 3e38, -3e38]
NOT_FINITE = [np.inf, -np.inf]


def predict(model, x):
    """Class values, labels (positions among them) and probabilities of the rows; equal on every instruction set."""
    with tempfile.NamedTemporaryFile(suffix=".f32") as rows:
        rows.write(np.ascontiguousarray(x, np.float32).tobytes())
        rows.flush()
        found = {isa: _run(model, rows.name, isa) for isa in SETS}
    assert len(set(found.values())) == 1, "the instruction sets differ: " + " ".join(found)
    return _read(found["scalar"])


def _run(model, rows, isa):
    done = subprocess.run([PROGRAM, str(model), rows], capture_output=True, env={**os.environ, "TILTH_ISA": isa})
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return done.stdout


def _read(answer):
    count, classes = np.frombuffer(answer[:8], np.uint32)
    values = np.frombuffer(answer, np.uint8, classes, 8)
    label = np.frombuffer(answer, np.uint8, count, 8 + classes)
    p = np.frombuffer(answer[8 + classes + count:], np.float32).reshape(classes, count).T
    order = np.argsort(values)
    return values, order[np.searchsorted(values[order], label)], p


def rows_near(x, splits, seed, near=1500, odd=(*ODD, *NOT_FINITE)):
    """The rows, rows on thresholds - pairs (feature, value) - and one float beside them, rows with odd values."""
    rng = np.random.default_rng(seed)
    splits = np.array(splits if len(splits) else [(0, 0)], float)
    splits = splits[rng.integers(0, len(splits), near)]
    feature, at = splits[:, 0].astype(int), splits[:, 1].astype(np.float32)
    made = [x]
    for value in (at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))):
        rows = x[rng.integers(0, len(x), near)].copy()
        rows[np.arange(near), feature] = value
        made.append(rows)
    for value in odd:
        rows = x[rng.integers(0, len(x), x.shape[1])].copy()
        rows[np.arange(x.shape[1]), np.arange(x.shape[1])] = value
        made.append(rows)
    return np.concatenate(made).astype(np.float32)


def folder():
    """A temporary folder, and its path."""
    made = tempfile.TemporaryDirectory()
    return made, pathlib.Path(made.name)
