"""Rasters, models and truths for the end-to-end tests: what GDAL and numpy say a tile has to be.

Scenes are made in a temporary folder, by tools/make_demo.py or here. Needs numpy and GDAL's Python.
"""
import contextlib
import io
import json
import pathlib
import subprocess
import sys
import urllib.request

import numpy as np
from osgeo import gdal

import support

sys.path.insert(0, str(support.ROOT / "tools"))
sys.path.insert(0, str(support.ROOT / "python"))
sys.path.insert(0, str(support.ROOT / "tests" / "support"))
import reference  # noqa: E402
import s3  # noqa: E402
from tilth import container, model as tilth_model  # noqa: E402

gdal.UseExceptions()
WORLD = reference.WORLD
NODATA, MASKED = 255, 254


# Tiles

def tile_of(lon, lat, z):
    """z, x, y of the tile that holds a place."""
    n = 2 ** z
    x = int((lon + 180) / 360 * n)
    y = int((1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * n)
    return z, min(x, n - 1), min(y, n - 1)


def tile_bounds(z, x, y):
    """xmin, ymin, xmax, ymax, metres of EPSG:3857."""
    side = 2 * WORLD / 2 ** z
    return -WORLD + x * side, WORLD - (y + 1) * side, -WORLD + (x + 1) * side, WORLD - y * side


def tile_lonlat(z, x, y, size=256):
    """Longitude of each column's centre and latitude of each row's, degrees."""
    at = (np.arange(size) + 0.5) / size
    lon = (x + at) / 2 ** z * 360 - 180
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * (y + at) / 2 ** z))))
    return lon, lat


def tiles_over(bounds, z):
    """All tiles of a zoom over west, south, east, north."""
    west, south, east, north = bounds
    _, x0, y0 = tile_of(west, north, z)
    _, x1, y1 = tile_of(east, south, z)
    return [(z, x, y) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1)]


def path_of(layer, tile, end=".png"):
    return "/tiles/%s/%d/%d/%d%s" % (layer, *tile, end)


class Legend:
    """Class values from colours, as the legend of a layer has them. What shows nothing is `nothing`."""

    def __init__(self, document, nothing):
        self.nothing, self.value_of = nothing, {}
        for item in document["classification:classes"]:
            rgb = int(item["color_hint"].lstrip("#"), 16)
            alpha = item.get("tilth:alpha", 255)
            if alpha:
                key = rgb << 8 | alpha
                assert key not in self.value_of, "two classes of one colour cannot be told apart"
                self.value_of[key] = item["value"]

    @classmethod
    def of(cls, tilth, layer, nothing, style=""):
        query = f"?style={style}" if style else ""
        return cls(tilth.get(f"/layers/{layer}/legend.json{query}").json(), nothing)

    def values(self, body):
        """uint8 [h, w] of an encoded tile; a colour that no class has fails the test."""
        rgba = np.asarray(support.decode_image(body).convert("RGBA")).astype(np.int64)
        key = rgba[..., 0] << 24 | rgba[..., 1] << 16 | rgba[..., 2] << 8 | rgba[..., 3]
        out = np.full(key.shape, self.nothing, np.uint8)
        for colour in np.unique(key):
            if colour & 255:
                assert int(colour) in self.value_of, f"invented colour #{colour:08x}"
                out[key == colour] = self.value_of[int(colour)]
        return out


# S3

class FakeS3:
    """tests/support/fake_s3.py as a process of its own. `root`: objects are files below it."""

    def __init__(self, root="", keys=("tilthkey", "tilthsecret"), latency_ms=0, port=0):
        self.root, self.keys, self.latency_ms, self.port = root, keys, latency_ms, port

    def __enter__(self):
        command = [sys.executable, str(support.ROOT / "tests" / "support" / "fake_s3.py"), "--until-eof",
                   "--port", str(self.port), "--root", str(self.root), "--latency-ms", str(self.latency_ms)]
        if self.keys:
            command += ["--access-key", self.keys[0], "--secret-key", self.keys[1]]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.access_key, self.secret_key = self.keys or ("", "")
        self.region = "us-east-1"
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(support.PATIENCE)
        self.process.stdout.close()

    def _control(self, what, body=b"", method="POST"):
        request = urllib.request.Request(f"{self.endpoint}/_fake/{what}", data=body, method=method)
        with urllib.request.urlopen(request, timeout=support.PATIENCE) as answer:
            return answer.read()

    def put(self, bucket, key, data):
        self._control(f"put/{bucket}/{key}", data, "PUT")

    def faults(self, bucket, key, *faults):
        self._control(f"faults/{bucket}/{key}", json.dumps(list(faults)).encode())

    def log(self):
        request = urllib.request.Request(f"{self.endpoint}/_fake/log")
        with urllib.request.urlopen(request, timeout=support.PATIENCE) as answer:
            return json.loads(answer.read())

    def reset(self):
        self._control("reset")


def store_settings(store):
    """What a Tilth needs to read from a store of s3.py or a FakeS3."""
    return {"s3_endpoint": store.endpoint, "s3_region": store.region, "s3_path_style": "true",
            "s3_access_key": store.access_key, "s3_secret_key": store.secret_key}


@contextlib.contextmanager
def any_s3():
    """(store, is_minio): a MinIO where there is one, else the scripted S3, which checks signatures too."""
    with s3.minio() as minio:
        if minio:
            yield minio, True
            return
    with FakeS3() as fake:
        yield fake, False


def put_object(store, bucket, key, data):
    if isinstance(store, s3.Store):
        with contextlib.suppress(s3.Failure):
            store.create_bucket(bucket)
    store.put(bucket, key, data)


# Rasters

def write_cog(path, bands, origin, pixel, epsg=4326, nodata=None, options=(), names=()):
    """[bands, h, w] (or [h, w]) as a COG; `origin` is the upper left corner."""
    bands = np.atleast_3d(bands.T).T if bands.ndim == 2 else bands
    kinds = {"uint8": gdal.GDT_Byte, "uint16": gdal.GDT_UInt16, "float32": gdal.GDT_Float32}
    memory = gdal.GetDriverByName("MEM").Create("", bands.shape[2], bands.shape[1], bands.shape[0],
                                                kinds[str(bands.dtype)])
    memory.SetGeoTransform((origin[0], pixel, 0, origin[1], 0, -pixel))
    system = reference.osr.SpatialReference()
    system.ImportFromEPSG(epsg)
    memory.SetProjection(system.ExportToWkt())
    for i, plane in enumerate(bands, 1):
        band = memory.GetRasterBand(i)
        band.WriteArray(plane)
        if nodata is not None:
            band.SetNoDataValue(nodata)
        if names:
            band.SetDescription(names[i - 1])
    gdal.GetDriverByName("COG").CreateCopy(str(path), memory, options=list(options))


CLASS_VALUES = np.array([10, 20, 30, 40, 50, 60, 80, 90, 95, 100], np.uint8)


def class_noise(height, width, seed, values=CLASS_VALUES):
    """Fields of 4 x 4 pixels of random classes: compresses little, repeats nowhere."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, len(values), (-(-height // 4), -(-width // 4)))
    return np.repeat(np.repeat(values[cells], 4, 0), 4, 1)[:height, :width].copy()


def make_scene(folder, size, seed=1):
    """tools/make_demo.py: COGs and layer documents in `folder`."""
    subprocess.run([sys.executable, str(support.ROOT / "tools" / "make_demo.py"), "--size", str(size), "--out",
                    str(folder), "--seed", str(seed), "--jobs", "2"], check=True, stdout=subprocess.DEVNULL)


# Models

def write_forest(path, features, classes, samples, trees=8, depth=5, seed=0):
    """A random forest that nobody trained: complete trees with thresholds from `samples` [n, features]
    and random leaves. As good as any for holding one evaluator against another, and quick to evaluate."""
    rng = np.random.default_rng(seed)
    inner, nodes = 2 ** depth - 1, 2 ** (depth + 1) - 1
    feature, threshold = np.full((trees, nodes), -1, np.int32), np.zeros((trees, nodes), np.float32)
    left, right = np.full((trees, nodes), -1, np.int32), np.full((trees, nodes), -1, np.int32)
    leaf = np.zeros((trees, nodes), np.uint32)
    feature[:, :inner] = rng.integers(0, len(features), (trees, inner))
    rows = rng.integers(0, len(samples), (trees, inner))
    threshold[:, :inner] = samples[rows, feature[:, :inner]]
    left[:, :inner], right[:, :inner] = np.arange(inner) * 2 + 1, np.arange(inner) * 2 + 2
    leaf[:, inner:] = rng.integers(0, 64, (trees, nodes - inner))
    values = rng.random((64, len(classes))) ** 4
    values /= values.sum(axis=1, keepdims=True)
    golden = np.ascontiguousarray(samples[:64], np.float32)
    tensors = {"tree_offsets": (np.arange(trees + 1) * nodes).astype(np.uint32), "feature": feature.ravel(),
               "threshold": threshold.ravel(), "left": left.ravel(), "right": right.ravel(),
               "leaf": leaf.ravel(), "leaf_values": values, "golden_x": golden,
               "golden_p": np.zeros((len(golden), len(classes))), "golden_label": np.zeros(len(golden), np.uint8)}
    manifest = {"format": 1, "name": "a forest that nobody trained", "kind": "random-forest",
                "features": list(features), "classes": classes, "library": {"name": "none", "version": "0"},
                "provenance": {}}
    model = tilth_model.Model(manifest, tensors, str(path))
    tensors["golden_p"] = model.probabilities(golden)
    tensors["golden_label"] = model.labels(golden)
    container.write(path, manifest, tensors)
    return model


# Truth

def mode_level(label):
    """The next level of class labels: the commonest of 2 x 2, ties to the earliest in row order, nodata has
    no vote (docs/class-blocks.md)."""
    height, width = (n + n % 2 for n in label.shape)
    padded = np.full((height, width), NODATA, np.uint8)
    padded[:label.shape[0], :label.shape[1]] = label
    four = np.stack([padded[0::2, 0::2], padded[0::2, 1::2], padded[1::2, 0::2], padded[1::2, 1::2]])
    votes = (four[:, None] == four[None]).sum(axis=1) * (four != NODATA)
    return np.take_along_axis(four, votes.argmax(axis=0)[None], 0)[0]


def nearest_tile(label, grid, tile, level=0, size=256):
    """A web tile of labels on a level of `grid` (reference.Grid): the pixel under each centre, 255 outside."""
    z, x, y = tile
    step = 2 * WORLD / (size << z)
    target = reference.Grid("EPSG:3857", -WORLD + x * size * step, WORLD - y * size * step, step, -step, size, size)
    col, row = (np.floor(a / 2 ** level + 1e-9).astype(np.int64) for a in target.positions(grid))
    inside = (col >= 0) & (col < label.shape[1]) & (row >= 0) & (row < label.shape[0])
    out = np.full((size, size), NODATA, np.uint8)
    out[inside] = label[row[inside], col[inside]]
    return out


def png_chunks(body):
    """[(name, data)] of a PNG."""
    stream, out = io.BytesIO(body[8:]), []
    while head := stream.read(8):
        size = int.from_bytes(head[:4], "big")
        out.append((head[4:].decode(), stream.read(size)))
        stream.read(4)
    return out


def temporary_folder(case):
    """A folder that goes with the test class."""
    import tempfile
    folder = tempfile.TemporaryDirectory(prefix="tilth-scene-")
    case.addClassCleanup(folder.cleanup)
    return pathlib.Path(folder.name)


def serve(case, *args, **settings):
    """A Tilth that ends with the test class."""
    tilth = support.Tilth(*args, **settings)
    case.addClassCleanup(tilth.__exit__, None, None, None)
    return tilth.start()


def is_problem(case, answer, status, *words):
    """An error as every error has to be: JSON that says what, not to be kept by anybody."""
    statuses = status if isinstance(status, tuple) else (status,)
    case.assertIn(answer.status, statuses, answer.body[:400] if answer.status != 200 else "an image")
    case.assertEqual(answer.headers["content-type"], "application/problem+json")
    case.assertEqual(answer.headers["cache-control"], "no-store")
    document = answer.json()
    case.assertEqual(document["status"], answer.status)
    case.assertGreater(len(document["detail"]), 15, document)
    for word in words:
        case.assertIn(word, document["detail"])
    return document
