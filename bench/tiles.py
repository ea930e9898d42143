"""Which tiles to ask for: tiles of a raster that have something in them."""
import math
import random

import numpy
import rasterio
import rasterio.windows
from rasterio.enums import Resampling

HALF = 20037508.342789244


def bounds_lonlat(z, x, y):
    n = 2 ** z

    def lat(row):
        return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row / n))))

    return x / n * 360 - 180, lat(y + 1), (x + 1) / n * 360 - 180, lat(y)


def tile_at(lon, lat, z):
    n = 2 ** z
    x = int((lon + 180) / 360 * n)
    y = int((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * n)
    return x, y


def over_land(path, zooms, count, seed=1, share=0.5):
    """`count` tiles of the zooms, of which at least `share` is not nodata; EPSG:4326 rasters."""
    with rasterio.open(path) as raster:
        step = 30
        shape = (raster.height // step, raster.width // step)
        small = raster.read(1, out_shape=shape, resampling=Resampling.nearest)
        valid = small != raster.nodata
        west, north = raster.bounds.left, raster.bounds.top
        res = raster.res[0] * step
    rows, cols = numpy.nonzero(valid)
    pick, found = random.Random(seed), set()
    for _ in range(count * 200):
        if len(found) == count:
            break
        i, z = pick.randrange(len(rows)), pick.choice(zooms)
        x, y = tile_at(west + (cols[i] + 0.5) * res, north - (rows[i] + 0.5) * res, z)
        w, s, e, n = bounds_lonlat(z, x, y)
        c0, c1 = int((w - west) / res), int(math.ceil((e - west) / res))
        r0, r1 = int((north - n) / res), int(math.ceil((north - s) / res))
        window = valid[max(r0, 0):r1, max(c0, 0):c1]
        if window.size and window.mean() >= share:
            found.add((z, x, y))
    tiles = sorted(found)
    pick.shuffle(tiles)
    return tiles


def dump_window(path, to, side):
    """The raw bytes of the `side` x `side` window around the raster's richest spot."""
    with rasterio.open(path) as raster:
        step = 30
        small = raster.read(1, out_shape=(raster.height // step, raster.width // step))
        valid = (small != raster.nodata).astype(numpy.int64).cumsum(0).cumsum(1)
        reach = side // step
        sums = valid[reach:, reach:] - valid[:-reach, reach:] - valid[reach:, :-reach] + valid[:-reach, :-reach]
        row, col = (int(v) * step for v in numpy.unravel_index(sums.argmax(), sums.shape))
        window = rasterio.windows.Window(col, row, side, side)
        with open(to, "wb") as out:
            out.write(raster.read(1, window=window).tobytes())
