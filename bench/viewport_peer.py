#!/usr/bin/env python3
"""The peer of the figure "cold viewport": rasterio + scikit-learn + PNG, tile by tile, on all cores.

A script as a data scientist would write it, with nothing slow in it on purpose: each worker opens
the rasters once and reads a window per tile, features are computed on whole planes, one
predict_proba() per tile, PNG by Pillow. Prints one JSON object.

usage: viewport_peer.py [--tiles]       (--tiles: only the list of tiles, for the other side)
"""
import concurrent.futures
import io
import json
import multiprocessing
import os
import pathlib
import sys
import time

import numpy
import rasterio
import rasterio.warp
from PIL import Image
from rasterio.windows import Window

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAYER = ROOT / "demo/layers/demo-crops.json"
TABLE = ROOT.parent / "shared/data/crop-mask/training_south_eastern.txt"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tilth"
ZOOM, LON, LAT = 14, 31.05, -17.83
HALF = 20037508.342789244

state = {}


def viewport():
    n = 2 ** ZOOM
    x = int((LON + 180) / 360 * n)
    y = int((1 - numpy.arcsinh(numpy.tan(numpy.radians(LAT))) / numpy.pi) / 2 * n)
    return [(ZOOM, x + i - 2, y + j - 2) for j in range(4) for i in range(5)]


def golden_model():
    """The forest of tools/train_golden.py, kept for the next run."""
    import joblib
    from sklearn.ensemble import RandomForestClassifier
    path = CACHE / "bench-golden.joblib"
    if path.exists():
        return joblib.load(path)
    rows = numpy.loadtxt(TABLE)
    names = TABLE.read_text().splitlines()[0].lstrip("# ").split()
    label = names.index("Class") if "Class" in names else 0
    model = RandomForestClassifier(250, criterion="entropy", max_features=None, random_state=0, n_jobs=1)
    model.fit(numpy.delete(rows, label, 1).astype(numpy.float32), rows[:, label].astype(int))
    CACHE.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, path)
    return model


def start_worker():
    document = json.loads(LAYER.read_text())
    state["features"] = [compile(translate(t), n, "eval") for n, t in document["features"].items()]
    state["sources"] = {}
    for name, source in document["sources"].items():
        state["sources"][name] = (rasterio.open(LAYER.parent / source["href"]), source["bands"],
                                  source.get("resampling", "nearest"))
    state["grid"] = state["sources"][document["grid"]["like"]][0]
    state["model"] = golden_model()


def translate(text):
    """A feature expression as Python: s1.red becomes s1['red']."""
    import re
    return re.sub(r"\b([a-z]\w*)\.([A-Za-z]\w*)", r"\1['\2']", text)


def read(name, window, shape):
    raster, bands, resampling = state["sources"][name]
    grid = state["grid"]
    if raster.crs == grid.crs and raster.transform == grid.transform:
        planes = raster.read(list(bands.values()), window=window)
    else:
        planes = numpy.empty((len(bands), *shape), numpy.float32)
        rasterio.warp.reproject(
            rasterio.band(raster, list(bands.values())), planes, dst_crs=grid.crs,
            dst_transform=grid.window_transform(window),
            resampling=rasterio.warp.Resampling[resampling])
    return dict(zip(bands, planes.astype(numpy.float32)))


def classify(tile):
    z, x, y = tile
    grid, size = state["grid"], 2 * HALF / 256 / 2 ** z
    xs = -HALF + (x * 256 + numpy.arange(256) + 0.5) * size
    ys = HALF - (y * 256 + numpy.arange(256) + 0.5) * size
    gx, _ = rasterio.warp.transform("EPSG:3857", grid.crs, xs, numpy.full(256, ys[0]))
    _, gy = rasterio.warp.transform("EPSG:3857", grid.crs, numpy.full(256, xs[0]), ys)
    cols = numpy.floor((numpy.array(gx) - grid.transform.c) / grid.transform.a).astype(int)
    rows = numpy.floor((numpy.array(gy) - grid.transform.f) / grid.transform.e).astype(int)
    window = Window(cols[0], rows[0], cols[-1] - cols[0] + 1, rows[-1] - rows[0] + 1)
    shape = (window.height, window.width)
    planes = {name: read(name, window, shape) for name in state["sources"]}
    names = {**planes, "ln": numpy.log, "nd": lambda a, b: (a - b) / (a + b), "sqrt": numpy.sqrt}
    with numpy.errstate(all="ignore"):
        stack = numpy.stack([numpy.broadcast_to(eval(f, names), shape).ravel()
                             for f in state["features"]], 1)
    label = state["model"].predict_proba(stack).argmax(1).reshape(shape).astype(numpy.uint8)
    picked = label[(rows - rows[0])[:, None], (cols - cols[0])[None, :]]
    image = Image.fromarray(picked, "P")
    image.putpalette([191, 191, 122, 228, 150, 53])
    out = io.BytesIO()
    image.save(out, "PNG")
    return label.size, len(out.getvalue())


def main():
    if "--tiles" in sys.argv:
        print(json.dumps([[int(v) for v in t] for t in viewport()]))
        return
    golden_model()
    cores = multiprocessing.cpu_count()
    with concurrent.futures.ProcessPoolExecutor(cores, initializer=start_worker) as pool:
        list(pool.map(abs, range(cores * 4)))  # the workers are up, the model is loaded
        time.sleep(2)
        start, first, pixels = time.monotonic(), None, 0
        for done in concurrent.futures.as_completed([pool.submit(classify, t) for t in viewport()]):
            first = first or time.monotonic() - start
            pixels += done.result()[0]
        total = time.monotonic() - start
    print(json.dumps({"total_s": total, "first_s": first, "megapixels": pixels / 1e6, "cores": cores}))


if __name__ == "__main__":
    main()
