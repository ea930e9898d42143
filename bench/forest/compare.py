#!/usr/bin/env python3
"""tilth's forests against the libraries that people use, from bands to labels, one thread each.

usage: bench/forest/run.sh [--quick] [--only FAMILY] [--rounds N] ...     (or: make bench-forest)

Every family of models on every tile: all engines take turns in each round, best and median of the rounds, labels
compared with those of the library that trained the model. tilth starts from the bands as a layer does (integer codes,
feature programs) and has two turns: labels alone, and with their confidence, which every layer asks for. The libraries start
from the finished float matrix, which is made outside their time. A label of tilth's that differs fails the run; those of the
peers are counted. Then what it costs to load the models, and how tilth's cost grows (curves.py).

What comes out: bench/results/forest.json and the tables of docs/bench.md, written after every family. What was not measured
this time (--only, --skip, --parts) stays in them, with its date; a peer that is not there or fails is named. --quick writes
neither, --try beside the build.
"""
import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

import curves
import families
import report
import results
import rounds
import scenes

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that train do not spin on a shared machine
HERE = pathlib.Path(__file__).resolve().parent
ROOT = families.ROOT
TRIAL_TREES, TRIAL_PIXELS = 20, 4096  # of --try
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tilth"
VENVS = {"lleaves": "lleaves-venv", "xgboost1": "xgboost1-venv"}  # of those that do not get along with the others
# pixels of those that would take 3 to 13 seconds for a tile
SLOW = {("golden", "treelite"): 16384, ("golden", "tl2cgen"): 16384, ("golden", "ydf"): 16384,
        ("extra-trees", "onnxruntime"): 16384}
TARGETS = {"onnxruntime": "model.onnx", "ydf": "model.ydf", "treelite": "model.treelite", "tl2cgen": "model.so",
           "lleaves": "model.lleaves", "xgboost1": "model-1.7.json"}
MAKING_S = 1800  # what it may take to make one of these
NATIVE = ("model.txt", "model.json", "model.ubj", "model.onnx")  # what tilth reads besides its own
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Missing(RuntimeError):
    """A peer that is not installed here, or what the run can do without."""


def python_of(engine):
    name = VENVS.get(engine, "forest-venv")
    python = CACHE / name / "bin" / "python"
    if not python.exists():
        raise Missing(f"{name} is not installed here")
    return python


def file_of(engine, family, folder):
    """What the engine loads; made first where it is not what was trained, and kept."""
    if engine not in TARGETS:
        return folder / family.source
    target, note = folder / TARGETS[engine], folder / (TARGETS[engine] + ".seconds")
    if not note.exists():
        print(f"  {engine}: making {target.name}", flush=True)
        try:
            made = subprocess.run([python_of(engine), HERE / "engines.py", "--build", engine, folder / family.source,
                                   target], env=ONE_THREAD, stdout=subprocess.PIPE, text=True, timeout=MAKING_S)
        except subprocess.TimeoutExpired:
            raise Missing(f"{target.name} was not made within {MAKING_S} s") from None
        if made.returncode:
            raise Missing(f"{target.name} cannot be made from the model")
        note.write_text(made.stdout)
    return target


def start(engine, family, path, scene):
    argv = [python_of(engine), HERE / "engines.py", engine, path, str(len(scene.features))]
    return rounds.Worker(engine, argv, "tile.rows", SLOW.get((family.name, engine)), ONE_THREAD,
                         required=engine == family.peers[0])


def tilth(options, path, scene, work, asked="confidence"):
    """One of report.ASKED; the worker's name says which."""
    bands = rounds.write_bands(scene, work / f"bands-{asked}.txt")
    return rounds.Worker(report.ASKED[asked], [options.build / "bench_bands", path, bands, asked], "tile.bands",
                         required=True)


def leave_out(document, part, place, who, why):
    print(f"  left out: {who or 'all'}: {why}", flush=True)
    results.leave_out(document, part, place, who, str(why))


def start_all(options, document, place, family, folder, scene, work):
    """tilth twice, then the library that trained the model, then the others: each is there, or left out."""
    for asked in report.ASKED:
        yield tilth(options, folder / family.tilth, scene, work, asked)
    for engine in family.peers:
        if engine in options.skip:
            continue
        try:
            yield start(engine, family, file_of(engine, family, folder), scene)
        except (Missing, rounds.Failed) as missing:
            if engine == family.peers[0]:
                raise
            leave_out(document, "rows", place, engine, missing)


def compare(options, document, place, family, folder, scene, work):
    """All tiles of one family; one row of the results per tile and peer."""
    rows = []
    with contextlib.ExitStack() as open_ones:
        workers = [open_ones.enter_context(worker)
                   for worker in start_all(options, document, place, family, folder, scene, work)]
        for tile, planes in scene.tiles.items():
            pixels = rounds.write_tile(scene, [plane[:options.pixels] for plane in planes], work)
            found, failed = rounds.alternate(workers, work, pixels, options.rounds, family.peers[0])
            for engine, how in failed.items():
                leave_out(document, "rows", place, engine, f"{how}, {tile} tile")
            workers = [worker for worker in workers if worker.name not in failed]
            for worker in workers[len(report.ASKED):]:
                rows.append(report.row(family, place[1], tile, worker.name, found))
                print(report.line(rows[-1]), flush=True)
    return rows


def files_of(family, folder):
    """(who, file) of everything that is loaded somewhere: tilth reads the formats of the libraries, too."""
    found = [("tilth", folder / "model.tilth")] + [("tilth", folder / name) for name in NATIVE]
    for engine in family.peers:
        found.append((engine, folder / TARGETS.get(engine, family.source)))
        if engine == "xgboost":
            found.append((engine, folder / "model.ubj"))
    return [(who, path) for who, path in found if path.exists()]


def convert(options, family, folder):
    """A library's file as one of tilth's own, as this build writes it."""
    if family.tilth != "model.tilth":
        subprocess.run([options.build / "tilth", "model", "convert", folder / family.tilth, "-o", folder / "model.tilth"],
                       check=True, stdout=subprocess.DEVNULL)


def built(options, family, scene_name, folder):
    """What it took to make the files that are not the trained one."""
    return [{"family": family.name, "scene": scene_name, "title": family.title, "engine": engine,
             **json.loads((folder / (TARGETS[engine] + ".seconds")).read_text())} for engine in family.peers
            if engine in ("lleaves", "tl2cgen") and engine not in options.skip
            and (folder / (TARGETS[engine] + ".seconds")).exists()]


def size_of(path):
    return sum(f.stat().st_size for f in path.rglob("*")) if path.is_dir() else path.stat().st_size


def load_all(options, document, family, folder, scene, work):
    """Processes that load a model each and end: the best of two, after the file has been read."""
    rows = []
    convert(options, family, folder)
    for who, path in files_of(family, folder):
        if who in options.skip:
            continue
        found = []
        for _ in range(2):
            try:
                with (tilth(options, path, scene, work) if who == "tilth" else start(who, family, path, scene)) as worker:
                    found.append(worker.loaded)
            except (Missing, rounds.Failed) as missing:
                leave_out(document, "loads", (family.name,), who, f"{path.name}: {missing}")
                break
        if found:
            best = min(found, key=lambda loaded: loaded["load_ns"])
            rows.append({"family": family.name, "title": family.title, "who": who, "file": path.name,
                         "bytes": size_of(path), "ms": best["load_ns"] / 1e6, "resident": best["resident"]})
            print(report.load_line(rows[-1]), flush=True)
    return rows


def open_scenes(options):
    """name -> scene, name -> why it is not there."""
    found, missing = {"synthetic": scenes.synthetic()}, {}
    image = options.data / "sentinel2/ftw_two_date_8band.tif"
    if image.exists():
        found["sentinel2"] = scenes.sentinel2(image)
    else:
        missing["sentinel2"] = f"shared/data/sentinel2/{image.name} is not here"
    if (options.data / "crop-mask").exists():
        demo = options.demo if (options.demo / "s1.tif").exists() else None
        found["golden"] = scenes.golden(*families.golden_table(options.data), demo)
        if demo is None:
            missing["demo"] = "the demo's scene is not here (make demo-data)"
    else:
        missing["golden"] = "shared/data/crop-mask is not here"
    return found, missing


def prepared(options, family, scene_name, scene):
    """-> the family as it is on this scene, the folder of its files."""
    if scene_name == "golden":
        family = families.golden_family(family)
    if options.trial:
        family = families.fewer(family, TRIAL_TREES)
    return family, families.trained(family, scene_name, scene, options.cache)


def attempt(options, document, part, place, act):
    """What act() gives; None where the place cannot be measured, which is left out, and the run goes on."""
    try:
        return act()
    except (Missing, ImportError) as missing:
        leave_out(document, part, place, "", missing)
    except Exception as failed:  # the run does not end with the first fault, but ends as a failure
        traceback.print_exc()
        options.faults.append(f"{' '.join(place)}: {failed}")
        leave_out(document, part, place, "", failed)
    return None


def measure_part(options, document, part, place, act):
    began, start_s = results.now(), time.monotonic()
    entries = attempt(options, document, part, place, act)
    if entries is not None:
        results.add(document, part, place, entries, began, time.monotonic() - start_s)


def measure_family(options, document, family, scene_name, scene, work):
    place = (family.name, scene_name)
    print(f"== {family.title}, {scene_name}", flush=True)
    ready = attempt(options, document, "rows", place, lambda: prepared(options, family, scene_name, scene))
    if not ready:
        return
    made, folder = ready
    if "tiles" in options.parts:
        measure_part(options, document, "rows", place,
                     lambda: compare(options, document, place, made, folder, scene, work))
        measure_part(options, document, "builds", place, lambda: built(options, made, scene_name, folder))
    if "loads" in options.parts and scene_name == family.scenes[0]:
        measure_part(options, document, "loads", (family.name,),
                     lambda: load_all(options, document, made, folder, scene, work))


def measure(options, work, document, keep):
    """Fills the document of the results, family by family, and keeps it after each."""
    opened, missing = open_scenes(options)
    for family in options.families:
        for scene_name in family.scenes:
            if scene_name in opened:
                measure_family(options, document, family, scene_name, opened[scene_name], work)
                if scene_name == "golden" and "demo" in missing:
                    leave_out(document, "rows", (family.name, scene_name), "demo scene", missing["demo"])
            else:
                leave_out(document, "rows", (family.name, scene_name), "", missing[scene_name])
            keep()
    if "curves" in options.parts:
        for what in curves.GROWING:
            for kind in curves.KINDS:
                measure_part(options, document, "curves", (what, kind),
                             lambda: [curves.curve(options, tilth, what, kind, work)])
            keep()


def parse():
    names = [family.name for family in families.FAMILIES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/bench")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--demo", type=pathlib.Path, default=ROOT / "demo")
    parser.add_argument("--cache", type=pathlib.Path, default=CACHE / "bench-models")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", metavar="FAMILY", choices=names, help="this one, no curves; may be repeated: "
                        + ", ".join(names))
    parser.add_argument("--skip", action="append", default=[], metavar="PEER", choices=list(report.TITLES), help="not this peer")
    parser.add_argument("--parts", help="what of tiles,loads,curves is wanted (all)")
    parser.add_argument("--quick", action="store_true", help="two rounds, without the slow peers; no loads, no curves")
    parser.add_argument("--try", dest="trial", action="store_true",
                        help=f"models of {TRIAL_TREES} trees, {TRIAL_PIXELS} pixels: whether all of this works here")
    options = parser.parse_args()
    options.pixels = TRIAL_PIXELS if options.trial else scenes.SIDE ** 2
    options.faults = []
    options.parts = (options.parts or ("tiles,loads" if options.only else "tiles,loads,curves")).split(",")
    if options.quick:
        options.rounds, options.parts = 2, ["tiles"]
        options.skip += ["treelite", "tl2cgen", "ydf", "xgboost1", "lleaves"]
    options.families = [family for family in families.FAMILIES if not options.only or family.name in options.only]
    if not {"tiles", "loads"} & set(options.parts):
        options.families = []
    return options


def keeper(options, document):
    """-> what keeps the results: the report; of a trial, the same beside the build; of a quick run, nothing."""
    if options.quick:
        return lambda: None
    if options.trial:
        return lambda: report.keep(document, options.build / "forest-trial.json", options.build / "forest-trial.md")
    return lambda: report.keep(document, ROOT / "bench/results/forest.json", ROOT / "docs/bench.md")


def main():
    options = parse()
    begun = time.monotonic()
    document = results.empty(os.environ.get("TILTH_ISA", "best"), options.skip)
    with tempfile.TemporaryDirectory() as name:
        measure(options, pathlib.Path(name), document, keeper(options, document))
    print(report.table(document["rows"]))
    print(report.spent(document["measured"]))
    for one in document["left_out"]:
        print(f"left out: {report.left_out(one)}")
    print(f"{time.monotonic() - begun:.0f} s" + (", a trial: its figures mean nothing" if options.trial else ""))
    sys.exit(report.verdict(document, options.faults))


if __name__ == "__main__":
    main()
