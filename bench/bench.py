#!/usr/bin/env python3
"""Every figure of docs/bench.md: tilth and a named peer on the same work in one run.

usage: bench/run.sh [--list] [FIGURE ...]
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
import traceback

import load
import servers
import tiles as tile_lists

ROOT = servers.ROOT
WORLDCOVER = ROOT.parent / "shared/data/worldcover/ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"
FIGURES = {}


def figure(function):
    FIGURES[function.__name__] = function
    return function


def class_layer(folder, layer_id, href, style, s3=None):
    folder.mkdir(parents=True, exist_ok=True)
    source = {"href": str(href)}
    if s3:
        source["s3"] = s3
    (folder / f"{layer_id}.json").write_text(json.dumps(
        {"id": layer_id, "title": layer_id, "kind": "raster", "classes": True, "source": source,
         "styles": [style], "zoom": {"min": 0, "max": 18}}))


def tilth_path(layer, tile):
    z, x, y = tile
    return f"/layers/{layer}/tiles/WebMercatorQuad/{z}/{x}/{y}.png"


def titiler_path(href, tile):
    z, x, y = tile
    return f"/cog/tiles/WebMercatorQuad/{z}/{x}/{y}.png?url={href}"


def median(rounds, key):
    return statistics.median(r[key] for r in rounds)


def row(name, ours, peer, unit, goal, better="higher", **more):
    """One line of the table; `ratio` is how many times better the peer's number is beaten."""
    ratio = ours / peer if better == "higher" else (ours / peer if better == "share" else peer / ours)
    return {"figure": name, "tilth": ours, "peer": peer, "unit": unit, "ratio": ratio, "goal": goal,
            **more}


@figure
def cached(options):
    """A cached tile over HTTP: CPU per request against nginx serving the same bytes."""
    with servers.work_folder() as work:
        class_layer(work / "layers", "worldcover", options.worldcover, "esa-worldcover")
        tiles = tile_lists.over_land(options.worldcover, [13], 256)
        paths = [tilth_path("worldcover", t) for t in tiles]
        static = work / "static"
        with servers.tilth(options.tilth, work / "layers", work, cpus="0") as ours:
            for path in paths:
                file = static / path[1:]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(ours.get(path))
            with servers.nginx(static, work, cpus="0") as peer:
                a, b = [], []
                for _ in range(options.rounds):
                    b.append(load.run(peer, paths, 3, 64, cpus="1"))
                    a.append(load.run(ours, paths, 3, 64, cpus="1"))
    return [row("cached tile, CPU per request", median(a, "cpu_us"), median(b, "cpu_us"), "us",
                "<= 0.9x, then 0.8x", "share", rate=median(a, "rate"), peer_rate=median(b, "rate"),
                peer_name="nginx", failed=sum(r["failed"] for r in a))]


def uncached_rounds(options, work, ours, peer, href, tiles):
    our_paths = [tilth_path("worldcover", t) for t in tiles]
    peer_paths = [titiler_path(href, t) for t in tiles]
    load.run(ours, our_paths, 2, 4)
    load.run(peer, peer_paths, 4, 4)
    a, b = [], []
    for _ in range(options.rounds):
        b.append(load.run(peer, peer_paths, 5, 4))
        a.append(load.run(ours, our_paths, 3, 4))
    return a, b


def rates(name, a, b, goal):
    return row(name, median(a, "rate"), median(b, "rate"), "requests/s", goal,
               p50_ms=median(a, "p50_ms"), peer_p50_ms=median(b, "p50_ms"), peer_name="TiTiler 2.4.0",
               cpu_us=median(a, "cpu_us"), peer_cpu_us=median(b, "cpu_us"),
               failed=sum(r["failed"] for r in a), peer_failed=sum(r["failed"] for r in b))


@figure
def uncached(options):
    """Uncached class tiles of a COG on disk, blocks warm, tile cache off, against TiTiler."""
    with servers.work_folder() as work:
        class_layer(work / "layers", "worldcover", options.worldcover, "esa-worldcover")
        tiles = tile_lists.over_land(options.worldcover, [11, 12, 13, 14, 15], 400)
        with servers.tilth(options.tilth, work / "layers", work, cache_tiles="false",
                           block_pool="512 MiB") as ours, servers.titiler(work) as peer:
            a, b = uncached_rounds(options, work, ours, peer, options.worldcover, tiles)
            sizes = [sum(len(s.get(p)) for p in paths) / 100 for s, paths in (
                (ours, [tilth_path("worldcover", t) for t in tiles[:100]]),
                (peer, [titiler_path(options.worldcover, t) for t in tiles[:100]]))]
    return [rates("uncached class tile, COG on disk", a, b, ">= 100x"),
            row("bytes per class tile", sizes[0], sizes[1], "bytes", "<= 0.6x", "share",
                peer_name="TiTiler 2.4.0")]


@figure
def minio(options):
    """The same through MinIO; client, server and store on the same cores."""
    import s3
    with servers.work_folder() as work, s3.minio() as store:
        store.create_bucket("baselines")
        store.put("baselines", "worldcover.tif", pathlib.Path(options.worldcover).read_bytes())
        class_layer(work / "layers", "worldcover", "s3://baselines/worldcover.tif", "esa-worldcover")
        tiles = tile_lists.over_land(options.worldcover, [11, 12, 13, 14, 15], 400)
        settings = {"s3_endpoint": store.endpoint, "s3_access_key": store.access_key,
                    "s3_secret_key": store.secret_key}
        env = {"AWS_S3_ENDPOINT": store.endpoint.split("//")[1], "AWS_HTTPS": "NO",
               "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_ACCESS_KEY_ID": store.access_key,
               "AWS_SECRET_ACCESS_KEY": store.secret_key, "AWS_REGION": "us-east-1"}
        with servers.tilth(options.tilth, work / "layers", work, cache_tiles="false",
                           block_pool="512 MiB", **settings) as ours, \
                servers.titiler(work, env=env) as peer:
            a, b = uncached_rounds(options, work, ours, peer, "s3://baselines/worldcover.tif", tiles)
        cold_row = cold(options, store, work, settings, env, tiles)
    return [rates("uncached class tile through MinIO", a, b, ">= 60x"), cold_row]


def once(server, paths, workers=4):
    """Seconds to get every path once, `workers` at a time."""
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(server.get, paths))
    return time.monotonic() - start


def metric(server, name):
    for line in server.get("/metrics").decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return 0.0


def cold(options, store, work, settings, env, tiles):
    """Every block cold: fresh processes, each tile once."""
    tiles = tiles[:60]
    ours_s, peer_s, gets, fetched = [], [], 0, 0
    for i in range(3):
        folder = work / f"cold{i}"
        folder.mkdir()
        with servers.tilth(options.tilth, work / "layers", folder, **settings) as ours:
            ours_s.append(once(ours, [tilth_path("worldcover", t) for t in tiles]))
            gets = metric(ours, "tilth_source_requests_total")
            fetched = metric(ours, "tilth_source_bytes_total")
        with servers.titiler(folder, env=env) as peer:
            peer_s.append(once(peer, [titiler_path("s3://baselines/worldcover.tif", t) for t in tiles]))
    return row("uncached class tile through MinIO, every block cold",
               len(tiles) / statistics.median(ours_s), len(tiles) / statistics.median(peer_s),
               "requests/s", ">= 10x, 1 header GET", requests=gets, fetched_bytes=fetched,
               tiles=len(tiles), peer_name="TiTiler 2.4.0, fresh process")


RIO_TILER = """
import sys, time
from rio_tiler.io import Reader
from rio_tiler.profiles import img_profiles
path, tiles = sys.argv[1], [tuple(map(int, t.split('/'))) for t in sys.argv[2].split(',')]
for round in range(3):
    start = time.thread_time()
    for z, x, y in tiles:
        with Reader(path) as src:
            image = src.tile(x, y, z)
            image.render(img_format='PNG', colormap=src.colormap, **img_profiles.get('png'))
    print((time.thread_time() - start) / len(tiles) * 1e6)
"""


@figure
def in_process(options):
    """One render without HTTP: CPU per tile against a rio-tiler loop and GDAL's C warper."""
    rows = []
    tiles = tile_lists.over_land(options.worldcover, [11, 12, 13, 14, 15], 100)
    text = ",".join(f"{z}/{x}/{y}" for z, x, y in tiles)
    env = {**os.environ, **servers.TITILER_ENV}
    out = subprocess.run([sys.executable, "-c", RIO_TILER, str(options.worldcover), text], env=env,
                         capture_output=True, text=True, check=True).stdout
    peer = min(map(float, out.split()))
    with servers.work_folder() as work:
        class_layer(work / "layers", "worldcover", options.worldcover, "esa-worldcover")
        listing = work / "tiles.txt"
        listing.write_text(text.replace(",", "\n") + "\n")
        out = subprocess.run([str(options.build / "bench_render"), str(work / "layers"),
                              str(ROOT / "styles"), "worldcover", str(listing)],
                             capture_output=True, text=True, check=True).stdout
    result = json.loads(out)
    rows.append(row("in-process render, CPU per tile", result["tilth_us"], peer, "us", ">= 60x",
                    "lower", peer_name="rio-tiler 9.4 loop"))
    rows.append(gdal_in_c(options, result["tilth_us"]))
    return rows


def json_lines(argv):
    out = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def gdal_in_c(options, tilth_us):
    """GDAL's C warper with everything kept between tiles, then libpng at its fastest setting.

    Two programs of bench/micro, each with its own oracle side: the warp of EPSG:4326 tiles of
    z11-z15, and the encoders on a window of the same land cover.
    """
    warps = [r for r in json_lines([options.build / "bench_warp"])
             if r["crs"] == "EPSG:4326" and 11 <= r["z"] <= 15]
    with servers.work_folder() as work:
        raw = work / "window.raw"
        tile_lists.dump_window(options.worldcover, raw, 2048)
        encoders = {r["encoder"]: r["median_us"]
                    for r in json_lines([options.build / "bench_png", raw, 2048])}
    warp_us = statistics.mean(r["gdal_us"] for r in warps)
    png_us = encoders["libpng indexed 4 bits, Z_RLE, no filter"]
    return row("in-process render, CPU per tile", tilth_us, warp_us + png_us, "us", ">= 6x", "lower",
               peer_name="GDAL's C warp + libpng", gdal_warp_us=warp_us, libpng_us=png_us,
               tilth_warp_us=statistics.mean(r["tilth_us"] for r in warps),
               tilth_png_us=encoders["indexed_png_encode"])


@figure
def viewport(options):
    """A cold viewport of the golden model at native zoom against rasterio + scikit-learn + PNG."""
    tiles = json.loads(subprocess.run(
        [sys.executable, str(ROOT / "bench/viewport_peer.py"), "--tiles"], capture_output=True,
        text=True, check=True).stdout)
    first, total, peers = [], [], []
    for _ in range(options.rounds):
        with servers.work_folder() as work, servers.tilth(
                options.tilth, ROOT / "demo/layers", work) as ours:
            ours.get("/layers/demo-crops/tilejson.json")
            paths = [tilth_path("demo-crops", t) for t in tiles]
            start = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                done = list(pool.map(lambda p: (ours.get(p), time.monotonic() - start), paths))
            first.append(min(t for _, t in done))
            total.append(max(t for _, t in done))
        out = subprocess.run([sys.executable, str(ROOT / "bench/viewport_peer.py")], capture_output=True,
                             text=True, check=True).stdout
        peers.append(json.loads(out))
    return [row("cold viewport of 5 x 4 tiles, golden model", statistics.median(total),
                median(peers, "total_s"), "s", ">= 14x", "lower",
                peer_name="rasterio + scikit-learn 1.9 + PNG", megapixels=peers[0]["megapixels"]),
            row("first tile of that viewport", statistics.median(first), median(peers, "first_s"), "s",
                "waits for no pixel that nobody asked for", "lower",
                peer_name="rasterio + scikit-learn 1.9 + PNG")]


@figure
def memory(options):
    """Resident memory after 100,000 mixed tiles."""
    with servers.work_folder() as work:
        class_layer(work / "layers", "worldcover", options.worldcover, "esa-worldcover")
        tiles = tile_lists.over_land(options.worldcover, list(range(6, 17)), 3000, share=0.05)
        paths = [tilth_path("worldcover", t) for t in tiles]
        budget = (64 + 128 + 64) << 20
        with servers.tilth(options.tilth, work / "layers", work, cache_ram="64 MiB",
                           block_pool="128 MiB", range_cache="64 MiB", cache_tiles="false") as ours:
            seen, resident = 0, []
            while seen < 100_000:
                seen += load.run(ours, paths, 5, 8)["requests"]
                resident.append(ours.resident_bytes())
        with servers.titiler(work) as peer:
            peer_seen, peer_paths = 0, [titiler_path(options.worldcover, t) for t in tiles]
            before = peer.resident_bytes()
            while peer_seen < 1500:
                peer_seen += load.run(peer, peer_paths, 10, 4)["requests"]
            peer_resident = peer.resident_bytes()
    return [row("resident memory after mixed tiles", resident[-1] / 2**20, peer_resident / 2**20,
                "MiB", "flat, <= budget + 100 MB", "share", requests=seen,
                first_mib=resident[0] / 2**20, budget_mib=budget / 2**20,
                peer_requests=peer_seen, peer_start_mib=before / 2**20, peer_name="TiTiler 2.4.0")]


def print_table(rows):
    width = max(len(r["figure"]) for r in rows)
    for r in rows:
        print(f"{r['figure']:{width}}  tilth {r['tilth']:10.2f}  {r.get('peer_name', '?')} "
              f"{r['peer']:10.2f} {r['unit']:10}  {r['ratio']:8.2f}x  goal {r['goal']}")


def write_results(rows):
    """Into bench/results/latest.json; figures that were not measured this time stay as they are."""
    path = ROOT / "bench/results/latest.json"
    path.parent.mkdir(exist_ok=True)
    known = json.loads(path.read_text())["rows"] if path.exists() else []
    key = lambda r: (r["figure"], r.get("peer_name"))  # noqa: E731
    new = {key(r): r for r in rows}
    merged = [new.pop(key(r), r) for r in known] + list(new.values())
    path.write_text(json.dumps({"machine": platform.processor() or platform.machine(),
                                "cores": os.cpu_count(), "rows": merged}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/bench")
    parser.add_argument("--worldcover", type=pathlib.Path, default=WORLDCOVER)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("figures", nargs="*", metavar="FIGURE")
    options = parser.parse_args()
    options.tilth = options.build / "tilth"
    if options.list:
        for name, function in FIGURES.items():
            print(f"{name:12} {function.__doc__.splitlines()[0]}")
        return
    rows, failed = [], []
    for name in options.figures or FIGURES:
        if name != "viewport" and not options.worldcover.exists():
            print(f"{name}: skipped, {options.worldcover} is not here (--worldcover FILE)")
            continue
        print(f"== {name}", flush=True)
        try:
            found = FIGURES[name](options)
        except Exception:  # the other figures are measured all the same
            traceback.print_exc()
            failed.append(name)
            continue
        print_table(found)
        rows += found
        write_results(found)
    print()
    if rows:
        print_table(rows)
    if failed:
        sys.exit("bench: not measured, see above: " + ", ".join(failed))


if __name__ == "__main__":
    main()
