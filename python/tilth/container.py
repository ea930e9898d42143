"""The container of a .tilth file: a JSON header and raw tensors, in the layout of safetensors.

Reading trusts nothing: sizes, offsets, dtypes and counts are checked before a byte is used.
"""
import json
import os
import struct
import tempfile
import zlib

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "I32": "<i4", "U32": "<u4", "U8": "|u1"}
NAMES = {np.dtype(v): k for k, v in DTYPES.items()}
PICKLES = (b"PK\3\4", b"\x1f\x8b\x08", b"x\x01", b"x\x5e", b"x\x9c", b"x\xda", b"BZh", b"\xfd7zXZ\0", b"\x5d\0\0")
MAX_HEADER = 16 << 20  # bytes; a manifest of 4096 features is far below


class ModelError(ValueError):
    """A file or an estimator that is refused; the message says what, where and what to do."""


def encode(manifest, tensors):
    """The bytes of a file, with their checksum. `tensors`: name -> array of one of DTYPES, written in this order."""
    header, chunks, at = {"__metadata__": None}, [], 0
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        data = array.tobytes()
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape),
                        "data_offsets": [at, at + len(data)]}
        pad = -len(data) % 8
        chunks.append(data + b"\0" * pad)
        at += len(data) + pad
    body = b"".join(chunks)
    header["__metadata__"] = {"tilth": json.dumps({**manifest, "crc32": f"{zlib.crc32(body):08x}"})}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


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


def _is_pickle(data):
    return (data[:1] == b"\x80" and data[1:2] in (b"\2", b"\3", b"\4", b"\5")) or data.startswith(PICKLES)


def read(path):
    """-> (manifest, {name: read-only array}). Raises ModelError."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 8:
        raise ModelError(f"{path}: {len(data)} bytes are no tilth model")
    size, = struct.unpack_from("<Q", data)
    if size % 8 or size > MAX_HEADER or 8 + size > len(data):
        if _is_pickle(data):
            raise ModelError(f"{path}: this is a pickle or a compressed one (joblib). tilth never opens one, it "
                             "could run anything: export the model where it was trained, with tilth.export(...)")
        raise ModelError(f"{path}: a header of {size} bytes in a file of {len(data)}: "
                         "no tilth model, or a damaged one")
    header = _json(data[8:8 + size].decode("utf-8", "replace"), path, "the header")
    meta = header.pop("__metadata__", None)
    if not isinstance(meta, dict) or not isinstance(meta.get("tilth"), str):
        raise ModelError(f"{path}: the header has no tilth manifest")
    body = memoryview(data)[8 + size:]
    manifest = _json(meta["tilth"], path, "the manifest")
    tensors = {name: _tensor(path, name, entry, body) for name, entry in header.items()}
    expected, found = manifest.get("crc32"), f"{zlib.crc32(body):08x}"
    if expected is not None and expected != found:  # absent in files of before there was one
        raise ModelError(f"{path}: the tensors do not have the checksum of the manifest (crc32 {expected}, they "
                         f"have {found}): the file is damaged; export it again")
    return manifest, tensors
