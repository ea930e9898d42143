#!/usr/bin/python3
"""Makes the demo: a synthetic scene around Harare, drawn from real feature statistics, as COGs and layers.

    /usr/bin/python3 tools/make_demo.py [--size 4096] [--out demo] [--seed 1] [--jobs 2]

Writes into OUT: s1.tif and s2.tif (nine Sentinel-2 bands of two half years, uint16), d1.tif and d2.tif (their
median absolute deviations, float32), slope.tif, rain.tif (EPSG:4326, 0.05 degrees), baseline.tif (Dynamic World
legend), and layers/*.json. EPSG:6933, 10 m; any size, in strips; the same bytes for the same seed, size and GDAL.
Needs python3-numpy and python3-gdal. No place on this map exists.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import shutil
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one process per core instead, and the same sums everywhere
import numpy as np
from osgeo import gdal, osr

from demo_land import Land
from demo_paint import Painter

gdal.UseExceptions()
ROOT = pathlib.Path(__file__).resolve().parent.parent
HARARE = (31.05, -17.83)
METRES = 10
TILE = 512  # the scene is painted in windows of this size, and stored in such blocks
BANDS = ["blue", "green", "red", "nir", "swir_1", "swir_2", "red_edge_1", "red_edge_2", "red_edge_3"]
MADS = ["bcdev", "edev", "sdev"]
# file -> bands, dtype, nodata, overview resampling
FILES = {"s1": (BANDS, "uint16", 0, "AVERAGE"), "s2": (BANDS, "uint16", 0, "AVERAGE"),
         "baseline": (["label"], "uint8", 255, "MODE"), "slope": (["slope"], "float32", -9999, "AVERAGE"),
         "d1": (MADS, "float32", "nan", "AVERAGE"), "d2": (MADS, "float32", "nan", "AVERAGE")}
GDAL_TYPES = {"uint8": "Byte", "uint16": "UInt16", "float32": "Float32"}
DYNAMIC_WORLD = ["419BDF", "397D49", "88B053", "7A87C6", "E49635", "DFC35A", "C4281B", "A59B8F", "B39FE1"]
RAIN = {"s1": (518.0, 9.0), "s2": (330.0, 7.0)}  # mm: mean and spread over the scene, Jan-Jun and Jul-Dec
ATTRIBUTION = ("Synthetic scene drawn from statistics of digitalearthafrica/crop-mask (Apache-2.0) and Digital Earth "
               "Africa data (CC-BY-4.0); contains modified Copernicus Sentinel data 2019")


def short(values, bits=14):
    """float32 without its last `bits` bits of mantissa: exact to 0.1 %, and half the bytes after compression."""
    keep = np.uint32(0xFFFFFFFF << bits & 0xFFFFFFFF)
    return (np.ascontiguousarray(values, np.float32).view(np.uint32) & keep).view(np.float32)


def raw_values(planes, half):
    """The table's units -> what a composite holds: DN, and deviations as Digital Earth Africa scales them."""
    for i, band in enumerate(BANDS):
        dn = np.rint(10000 * np.exp(planes[f"{band}_{half}"]))
        yield f"s{half[1]}", i, np.clip(dn, 1, 16000).astype(np.uint16)
    for i, mad in enumerate(MADS):
        yield f"d{half[1]}", i, short(np.exp(-planes[f"{mad}_{half}"]) * (10000 if mad == "edev" else 1))


class Strips:
    """Workers that paint strips of the scene straight into raw files."""

    def __init__(self, size, seed, folder):
        self.size, self.folder = size, folder
        self.land, self.painter = Land(size, seed), Painter(seed)

    def _files(self):
        return {name: np.memmap(self.folder / f"{name}.raw", dtype, "r+", shape=(len(bands), self.size, self.size))
                for name, (bands, dtype, _, _) in FILES.items()}

    def paint(self, top):
        files, h = self._files(), min(TILE, self.size - top)
        for left in range(0, self.size, TILE):
            w = min(TILE, self.size - left)
            where = (slice(top, top + h), slice(left, left + w))
            cover, planes, slope = self.painter.window(self.land, top, left, h, w)
            for half in ("S1", "S2"):
                for name, band, values in raw_values(planes, half):
                    files[name][(band, *where)] = values
            files["slope"][(0, *where)] = short(slope)
            files["baseline"][(0, *where)] = self.painter.baseline(cover)
        return top


STRIPS = None  # of this process's children: a pool can pass a function, not an object as large as this


def paint_strip(top):
    return STRIPS.paint(top)


def scene_origin(size):
    """Upper left corner (EPSG:6933, multiples of 10 m) of a scene with Harare in its middle."""
    lonlat, equal_area = osr.SpatialReference(), osr.SpatialReference()
    lonlat.ImportFromEPSG(4326)
    equal_area.ImportFromEPSG(6933)
    lonlat.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    x, y, _ = osr.CoordinateTransformation(lonlat, equal_area).TransformPoint(*HARARE)
    half = size * METRES / 2
    return round((x - half) / METRES) * METRES, round((y + half) / METRES) * METRES


def vrt_of(name, size, origin, folder):
    """A raw file described to GDAL."""
    bands, dtype, nodata, _ = FILES[name]
    bytes_per = np.dtype(dtype).itemsize
    colours = "".join(f'<Entry c1="{int(c[:2], 16)}" c2="{int(c[2:4], 16)}" c3="{int(c[4:], 16)}" c4="255"/>'
                      for c in DYNAMIC_WORLD)
    palette = f"<ColorInterp>Palette</ColorInterp><ColorTable>{colours}</ColorTable>" if name == "baseline" else ""
    text = f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><SRS>EPSG:6933</SRS>' \
           f"<GeoTransform>{origin[0]}, {METRES}, 0, {origin[1]}, 0, -{METRES}</GeoTransform>"
    for i, band in enumerate(bands):
        text += f'<VRTRasterBand dataType="{GDAL_TYPES[dtype]}" band="{i + 1}" subClass="VRTRawRasterBand">' \
                f"<Description>{band}</Description><NoDataValue>{nodata}</NoDataValue>{palette}" \
                f'<SourceFilename relativeToVRT="1">{name}.raw</SourceFilename>' \
                f"<ImageOffset>{i * size * size * bytes_per}</ImageOffset><PixelOffset>{bytes_per}</PixelOffset>" \
                f"<LineOffset>{size * bytes_per}</LineOffset><ByteOrder>LSB</ByteOrder></VRTRasterBand>"
    path = folder / f"{name}.vrt"
    path.write_text(text + "</VRTDataset>")
    return str(path)


def write_cog(job):
    """Raw -> COG. Blocks of 512; ZSTD decodes several times faster than DEFLATE."""
    name, size, origin, folder, out = job
    codec = ["COMPRESS=DEFLATE", "LEVEL=9"] if name == "baseline" else ["COMPRESS=ZSTD", "LEVEL=3", "PREDICTOR=YES"]
    options = codec + [f"BLOCKSIZE={TILE}", f"OVERVIEW_RESAMPLING={FILES[name][3]}", "OVERVIEWS=IGNORE_EXISTING",
                       "BIGTIFF=IF_SAFER", "NUM_THREADS=1"]
    source = gdal.Open(vrt_of(name, size, origin, folder))
    part = str(out / f".{name}.part.tif")
    gdal.GetDriverByName("COG").CreateCopy(part, source, options=options)
    os.replace(part, out / f"{name}.tif")
    (folder / f"{name}.raw").unlink()
    return name


def write_rain(land, size, origin, out):
    """Two bands on a coarse grid in degrees, wide enough for bilinear interpolation at the scene's edge."""
    step, corners = 0.05, []
    source, target = osr.SpatialReference(), osr.SpatialReference()
    source.ImportFromEPSG(6933)
    target.ImportFromEPSG(4326)
    target.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    move = osr.CoordinateTransformation(source, target)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        corners.append(move.TransformPoint(origin[0] + dx * size * METRES, origin[1] - dy * size * METRES)[:2])
    lon, lat = np.array(corners).T
    west, north = np.floor(lon.min() / step - 2) * step, np.ceil(lat.max() / step + 2) * step
    width, height = int(np.ceil((lon.max() - west) / step)) + 2, int(np.ceil((north - lat.min()) / step)) + 2
    memory = gdal.GetDriverByName("MEM").Create("", width, height, 2, gdal.GDT_Float32)
    memory.SetGeoTransform((west, step, 0, north, 0, -step))
    memory.SetProjection(target.ExportToWkt())
    for band, (name, (mean, spread)) in enumerate(RAIN.items(), 1):
        values = mean + spread * land.noise.fractal("rain " + name, (6, 3), np.arange(height), np.arange(width))
        memory.GetRasterBand(band).WriteArray(np.round(values, 2).astype(np.float32))
        memory.GetRasterBand(band).SetNoDataValue(-9999)
        memory.GetRasterBand(band).SetDescription(name)
    options = ["COMPRESS=DEFLATE", "BLOCKSIZE=128"]
    gdal.GetDriverByName("COG").CreateCopy(str(out / "rain.tif"), memory, options=options)


def features():
    """The golden model's 33 inputs in the units of its training table."""
    found = {}
    for half in ("1", "2"):
        s, d, to = f"s{half}", f"d{half}", f"_S{half}"
        found.update({band + to: f"{s}.{band} / 10000" for band in BANDS})
        found.update({"bcdev" + to: f"-ln({d}.bcdev)", "edev" + to: f"-ln({d}.edev / 10000)",
                      "sdev" + to: f"-ln({d}.sdev)", "NDVI" + to: f"nd({s}.nir, {s}.red)",
                      "LAI" + to: f"3.618 * (2.5 * ({s}.nir - {s}.red) / ({s}.nir + 6 * {s}.red - 7.5 * {s}.blue"
                                  " + 10000)) - 0.118",
                      "MNDWI" + to: f"nd({s}.green, {s}.swir_1)", "rain" + to: f"rain.s{half}"})
    found["slope"] = "slope.slope"
    return found


def bands_of(names):
    return {name: i for i, name in enumerate(names, 1)}


def layer_documents(model):
    """`model`: the model's path as seen from a layer document."""
    common = {"synthetic": True, "attribution": ATTRIBUTION, "license": "CC-BY-4.0"}
    sources = {name: {"href": f"../{name}.tif", "bands": bands_of(FILES[name][0])}
               for name in ("s1", "s2", "d1", "d2", "slope")}
    sources["rain"] = {"href": "../rain.tif", "bands": {"s1": 1, "s2": 2}, "resampling": "bilinear"}
    return [
        {"id": "demo-baseline", "title": "Baseline land cover (synthetic scene)", "kind": "raster", "role": "baseline",
         "description": "Land cover of an invented land around Harare, with the mistakes such products make, in the "
                        "legend of Dynamic World.",
         **common, "classes": True, "source": {"href": "../baseline.tif", "bands": {"label": 1}},
         "styles": ["dynamic-world"], "resampling": "nearest", "zoom": {"min": 6, "max": 18}},
        {"id": "demo-crops", "title": "Crop mask, classified while you look (synthetic scene)", "kind": "prediction",
         "role": "prediction",
         "description": "A random forest of 250 trees over 33 features, trained on real polygons of south-eastern Africa "
                        "(digitalearthafrica/crop-mask), applied to invented composites of two half years.",
         **common, "grid": {"like": "s1"}, "sources": sources, "model": {"href": model}, "features": features(),
         "post": [{"op": "majority", "size": 3}], "below_native": {"policy": "approx", "budget_blocks": 4},
         "styles": ["crop-mask"], "zoom": {"min": 6, "max": 18}},
        {"id": "demo-imagery", "title": "True colour, July to December (synthetic scene)", "kind": "raster",
         "role": "imagery", "description": "Red, green and blue of the dry half year's composite of an invented land.",
         **common, "classes": False, "source": {"href": "../s2.tif", "bands": bands_of(BANDS)},
         "styles": ["true-colour"], "resampling": "bilinear", "zoom": {"min": 6, "max": 18}}]


def write_layers(out, model):
    folder = out / "layers"
    folder.mkdir(parents=True, exist_ok=True)
    for document in layer_documents(os.path.relpath(model, folder)):
        (folder / f"{document['id']}.json").write_text(json.dumps(document, indent=2) + "\n")


def main():
    global STRIPS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096, help="pixels of 10 m on a side (default 4096: 41 km)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "demo")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if not 256 <= args.size <= 131072:
        sys.exit("make_demo: --size must be 256 to 131072")
    args.out.mkdir(parents=True, exist_ok=True)
    need, free = 66 * args.size ** 2 * 3 // 2, shutil.disk_usage(args.out).free
    if need > free:
        sys.exit(f"make_demo: {args.out} has {free >> 20} MB left, a scene of {args.size} needs {need >> 20} MB "
                 "while it is made: free some, or give a smaller --size")
    folder = args.out / ".raw"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    start, origin = time.perf_counter(), scene_origin(args.size)
    for name, (bands, dtype, _, _) in FILES.items():
        with open(folder / f"{name}.raw", "wb") as raw:
            raw.truncate(len(bands) * args.size ** 2 * np.dtype(dtype).itemsize)
    STRIPS = Strips(args.size, args.seed, folder)
    write_rain(STRIPS.land, args.size, origin, args.out)
    with multiprocessing.get_context("fork").Pool(args.jobs) as pool:
        tops = range(0, args.size, TILE)
        for done, _ in enumerate(pool.imap_unordered(paint_strip, tops), 1):
            print(f"make_demo: painted {done}/{len(tops)} strips, {time.perf_counter() - start:.0f} s", flush=True)
        for name in pool.imap_unordered(write_cog, [(n, args.size, origin, folder, args.out) for n in FILES]):
            print(f"make_demo: {name}.tif {(args.out / f'{name}.tif').stat().st_size / 1e6:.1f} MB, "
                  f"{time.perf_counter() - start:.0f} s", flush=True)
    write_layers(args.out, ROOT / "models" / "crop-mask-south-eastern.tilth")
    shutil.rmtree(folder)
    print(f"make_demo: {args.size} x {args.size} px of synthetic land in {args.out}")


if __name__ == "__main__":
    main()
