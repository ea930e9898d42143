#!/usr/bin/env python3
"""tilth's forests against the libraries that people use, from bands to labels, one thread each.

usage: bench/forest/run.sh [--quick] [--only FAMILY] [--rounds N] ...     (or: make bench-forest)

Every family of models on every tile: all engines take turns in each round, best and median of the rounds, labels
compared with those of the library that trained the model. tilth starts from the bands as a layer does (integer codes,
feature programs), the libraries from the finished float matrix, which is made outside their time. A label of tilth's that
differs fails the run; those of the peers are counted. Then what it costs to load the models, and how tilth's cost grows
(curves.py). What comes out: bench/results/forest.json and the tables of docs/bench.md, in which stays what was not measured
this time (--only, --skip, --parts); --quick and --try write neither.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import curves
import families
import report
import rounds
import scenes

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that train do not spin on a shared machine
HERE = pathlib.Path(__file__).resolve().parent
ROOT = families.ROOT
TRIAL_TREES, TRIAL_PIXELS = 20, 4096  # of --try
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tilth"
VENVS = {"lleaves": "lleaves-venv", "xgboost1": "xgboost1-venv"}  # of those that do not get along with the others
SLOW = {"treelite": 16384, "tl2cgen": 16384, "ydf": 16384}  # pixels: a tile would take them 3 to 13 seconds
TARGETS = {"onnxruntime": "model.onnx", "ydf": "model.ydf", "treelite": "model.treelite", "tl2cgen": "model.so",
           "lleaves": "model.lleaves", "xgboost1": "model-1.7.json"}
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Missing(RuntimeError):
    """A peer that is not installed here, or what the run can do without."""


def python_of(engine):
    python = CACHE / VENVS.get(engine, "forest-venv") / "bin" / "python"
    if not python.exists():
        raise Missing(f"{engine}: {python.parents[1]} is not there (bench/forest/run.sh makes it)")
    return python


def file_of(engine, family, folder):
    """What the engine loads; made first where it is not what was trained."""
    if engine not in TARGETS:
        return folder / family.source
    target, note = folder / TARGETS[engine], folder / (TARGETS[engine] + ".seconds")
    if not note.exists():
        print(f"  {engine}: making {target.name}", flush=True)
        made = subprocess.run([python_of(engine), HERE / "engines.py", "--build", engine, folder / family.source, target],
                              env=ONE_THREAD, stdout=subprocess.PIPE, text=True)
        if made.returncode:
            raise Missing(f"{engine}: cannot be made from {family.name}")
        note.write_text(made.stdout)
    return target


def start(engine, path, scene):
    argv = [python_of(engine), HERE / "engines.py", engine, path, str(len(scene.features))]
    return rounds.Worker(engine, argv, "tile.rows", SLOW.get(engine), ONE_THREAD)


def tilth(options, path, scene, work):
    bands = rounds.write_bands(scene, work / "bands.txt")
    return rounds.Worker("tilth", [options.build / "bench_bands", path, bands], "tile.bands")


def leave_out(options, what):
    print(f"  left out: {what}", flush=True)
    options.skipped.append(what)


def start_all(options, family, folder, scene, work):
    """tilth, then the library that trained the model, then the others."""
    workers = [tilth(options, folder / family.tilth, scene, work)]
    for engine in family.peers:
        if engine in options.skip:
            continue
        try:
            workers.append(start(engine, file_of(engine, family, folder), scene))
        except (Missing, rounds.Failed) as missing:
            if engine == family.peers[0]:
                raise
            leave_out(options, f"{family.title} by {missing}")
    return workers


def takes(options, worker, work, pixels, family):
    """Whether the engine can take the tile; tilth and the training library must."""
    try:
        worker.tile(work, pixels)
        return True
    except rounds.Failed as failed:
        if worker.name in ("tilth", family.peers[0]):
            raise
        leave_out(options, f"{family.title} by {failed}")
        return False


def compare(options, family, scene_name, scene, folder, work):
    """All tiles of one family; one row of the results per tile and peer."""
    workers, rows = start_all(options, family, folder, scene, work), []
    for tile, planes in scene.tiles.items():
        planes = [plane[:options.pixels] for plane in planes]
        pixels = rounds.write_tile(scene, planes, work)
        workers = [worker for worker in workers if takes(options, worker, work, pixels, family)]
        found = rounds.alternate(workers, work, options.rounds)
        for worker in workers[1:]:
            rows.append(report.row(family, scene_name, tile, worker.name, found))
            print(report.line(rows[-1]), flush=True)
    for worker in workers:
        worker.close()
    return rows


def files_of(family, folder):
    """(who, file) of everything that is loaded somewhere: tilth reads the formats of the libraries, too."""
    own = folder / "model.tilth"
    if not own.exists():
        raise Missing(f"{own} is not there")
    found = [("tilth", own)] + [("tilth", folder / name) for name in ("model.txt", "model.json", "model.ubj", "model.onnx")]
    for engine in family.peers:
        found.append((engine, folder / TARGETS.get(engine, family.source)))
        if engine == "xgboost":
            found.append((engine, folder / "model.ubj"))
    return [(who, path) for who, path in found if path.exists()]


def convert(options, family, folder):
    """A library's file as one of tilth's own."""
    if not (folder / "model.tilth").exists():
        subprocess.run([options.build / "tilth", "model", "convert", folder / family.tilth, "-o", folder / "model.tilth"],
                       check=True, stdout=subprocess.DEVNULL)


def built(family, scene_name, folder):
    """What it took to make the files that are not the trained one."""
    return [{"family": family.name, "scene": scene_name, "title": family.title, "engine": engine,
             **json.loads((folder / (TARGETS[engine] + ".seconds")).read_text())} for engine in family.peers
            if engine in ("lleaves", "tl2cgen") and (folder / (TARGETS[engine] + ".seconds")).exists()]


def size_of(path):
    return sum(f.stat().st_size for f in path.rglob("*")) if path.is_dir() else path.stat().st_size


def load_all(options, family, folder, scene, work):
    """Processes that load a model each and end: the best of two, after the file has been read."""
    rows = []
    convert(options, family, folder)
    for who, path in files_of(family, folder):
        if who in options.skip:
            continue
        found = []
        for _ in range(2):
            try:
                with (tilth(options, path, scene, work) if who == "tilth" else start(who, path, scene)) as worker:
                    found.append(worker.loaded)
            except (Missing, rounds.Failed) as missing:
                leave_out(options, f"load of {path.name} by {missing}")
                break
        if found:
            best = min(found, key=lambda loaded: loaded["load_ns"])
            rows.append({"family": family.name, "title": family.title, "who": who, "file": path.name,
                         "bytes": size_of(path), "ms": best["load_ns"] / 1e6, "resident": best["resident"]})
            print(report.load_line(rows[-1]), flush=True)
    return rows


def open_scenes(options):
    """name -> scene; what its data is missing for is left out, and said."""
    found = {"synthetic": scenes.synthetic()}
    image = options.data / "sentinel2/ftw_two_date_8band.tif"
    if image.exists():
        found["sentinel2"] = scenes.sentinel2(image)
    else:
        options.skipped.append(f"the real Sentinel-2 tile: {image} is not here")
    if (options.data / "crop-mask").exists():
        demo = options.demo if (options.demo / "s1.tif").exists() else None
        if demo is None:
            options.skipped.append(f"the golden model on the demo's scene: {options.demo} is not here (make demo-data)")
        found["golden"] = scenes.golden(*families.golden_table(options.data), demo)
    else:
        options.skipped.append(f"the golden model: {options.data / 'crop-mask'} is not here")
    return found


def measure(options, work, document):
    """Fills the document of the results, family by family."""
    opened = open_scenes(options)
    for family in families.FAMILIES:
        if options.only and family.name not in options.only or not {"tiles", "loads"} & set(options.parts):
            continue
        for scene_name in family.scenes:
            if scene_name not in opened:
                continue
            scene = opened[scene_name]
            chosen = families.golden_family(family) if scene_name == "golden" else family
            if options.trial:
                chosen = families.fewer(chosen, TRIAL_TREES)
            folder = families.trained(chosen, scene_name, scene, options.cache)
            print(f"== {chosen.title}, {scene_name}", flush=True)
            if "tiles" in options.parts:
                document["rows"] += compare(options, chosen, scene_name, scene, folder, work)
            document["builds"] += built(chosen, scene_name, folder)
            if "loads" in options.parts and scene_name == family.scenes[0]:
                document["loads"] += load_all(options, chosen, folder, scene, work)
    if "curves" in options.parts:
        document["curves"] += curves.all_curves(options, tilth, work)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/bench")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--demo", type=pathlib.Path, default=ROOT / "demo")
    parser.add_argument("--cache", type=pathlib.Path, default=CACHE / "bench-models")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", metavar="FAMILY", help="this family alone; may be repeated")
    parser.add_argument("--skip", action="append", default=[], metavar="PEER", help="not this peer")
    parser.add_argument("--parts", default="tiles,loads,curves", help="what of %(default)s is wanted")
    parser.add_argument("--quick", action="store_true", help="two rounds, without the slow peers; no loads, no curves")
    parser.add_argument("--try", dest="trial", action="store_true",
                        help=f"models of {TRIAL_TREES} trees, {TRIAL_PIXELS} pixels: whether all of this works here")
    options = parser.parse_args()
    options.pixels = TRIAL_PIXELS if options.trial else scenes.SIDE ** 2
    options.skipped = []
    if options.quick:
        options.rounds = 2
        options.skip += ["treelite", "tl2cgen", "ydf", "xgboost1", "lleaves"]
        options.parts = "tiles"
    options.parts = options.parts.split(",")
    return options


def main():
    options = parse()
    begun = time.monotonic()
    document = {"machine": report.machine(), "isa": os.environ.get("TILTH_ISA", "best"), "rounds": options.rounds,
                "rows": [], "loads": [], "curves": [], "builds": [], "skipped": options.skipped}
    try:
        with tempfile.TemporaryDirectory() as name:
            measure(options, pathlib.Path(name), document)
    finally:  # a run that is stopped keeps what it has
        if not (options.quick or options.trial):
            report.write(document, ROOT)
    print(report.table(document["rows"]))
    for text in options.skipped:
        print(f"skipped: {text}")
    print(f"{time.monotonic() - begun:.0f} s" + (", a trial: its figures mean nothing" if options.trial else ""))
    if "tiles" in options.parts:
        sys.exit(report.verdict(document["rows"]))


if __name__ == "__main__":
    main()
