"""The container of a .tilth file: a JSON header and raw tensors, in the layout of safetensors.

Reading trusts nothing: sizes, offsets, dtypes and counts are checked before a byte is used.
"""
import json
import os
import struct
import tempfile

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "I32": "<i4", "U32": "<u4", "U8": "|u1"}
NAMES = {np.dtype(v): k for k, v in DTYPES.items()}
MAX_HEADER = 16 << 20  # bytes; a manifest of 4096 features is far below


class ModelError(ValueError):
    """A file or an estimator that is refused; the message says what, where and what to do."""


def encode(manifest, tensors):
    """The bytes of a file. `tensors`: name -> array of one of DTYPES, written in this order."""
    header, chunks, at = {"__metadata__": {"tilth": json.dumps(manifest)}}, [], 0
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        data = array.tobytes()
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape),
                        "data_offsets": [at, at + len(data)]}
        pad = -len(data) % 8
        chunks.append(data + b"\0" * pad)
        at += len(data) + pad
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(chunks)


def write(path, manifest, tensors):
    """Writes by rename, so that a reader never sees half a model. -> size in bytes."""
    data = encode(manifest, tensors)
    folder = os.path.dirname(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tilth.part")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return len(data)


def _json(text, path, what):
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ModelError(f"{path}: {what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path}: {what} is not a JSON object")
    return value


def _tensor(path, name, entry, body):
    try:
        dtype, shape = np.dtype(DTYPES[entry["dtype"]]), [int(n) for n in entry["shape"]]
        begin, end = (int(n) for n in entry["data_offsets"])
    except (KeyError, TypeError, ValueError):
        raise ModelError(f"{path}: tensor {name!r}: needs dtype (one of {', '.join(DTYPES)}), "
                         "shape and data_offsets") from None
    size = dtype.itemsize
    for n in shape:
        size *= n
    if min(shape, default=0) < 0 or begin < 0 or begin % 8 or end - begin != size:
        raise ModelError(f"{path}: tensor {name!r}: {begin}..{end} does not hold {entry['dtype']} {shape}")
    if end > len(body):
        raise ModelError(f"{path}: tensor {name!r} ends at {end}, the file has {len(body)} bytes of "
                         "tensors: it is truncated")
    return np.frombuffer(body, dtype, size // dtype.itemsize, begin).reshape(shape)


def read(path):
    """-> (manifest, {name: read-only array}). Raises ModelError."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 8:
        raise ModelError(f"{path}: {len(data)} bytes are no tilth model")
    size, = struct.unpack_from("<Q", data)
    if size % 8 or size > MAX_HEADER or 8 + size > len(data):
        raise ModelError(f"{path}: a header of {size} bytes in a file of {len(data)}: "
                         "no tilth model, or a damaged one")
    header = _json(data[8:8 + size].decode("utf-8", "replace"), path, "the header")
    meta = header.pop("__metadata__", None)
    if not isinstance(meta, dict) or not isinstance(meta.get("tilth"), str):
        raise ModelError(f"{path}: the header has no tilth manifest")
    body = memoryview(data)[8 + size:]
    tensors = {name: _tensor(path, name, entry, body) for name, entry in header.items()}
    return _json(meta["tilth"], path, "the manifest"), tensors
