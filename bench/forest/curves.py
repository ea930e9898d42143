"""How the cost grows with trees, leaves, classes, features and pixels: tilth alone, on the synthetic land.

Each curve changes one thing and leaves the rest, for boosted trees (LightGBM) and for a random forest. Cost is of label and
confidence, nanoseconds per pixel (for the curve of pixels: of the whole tile), the best of the rounds. How it grows is an
exponent: 1 is linear, 0 is not at all. The models are smaller than the families': they are many, and trained once.
"""
import contextlib
import functools
import math

import families
import rounds
import scenes

TREES, LEAVES, CLASSES, FEATURES = 100, 63, 10, 24  # of what does not change; boosted: twice the trees
GROWING = {"trees": [50, 100, 200, 500, 1000], "leaves": [15, 31, 63, 127, 255, 511, 1023, 2047, 4095],
           "classes": [2, 5, 10, 20, 50], "features": [8, 16, 32, 64, 128],
           "pixels": [1, 8, 64, 512, 4096, 32768, 65536, 131072, 262144]}
LINEAR = 1.1  # an exponent above this is said to be more than linear: the rest is what two measurements differ by


def forest_of(what, x):
    return families.Family(f"curve-forest-{what}-{x}", "", families.forest, "model.joblib", "model.tilth", (), (), {
        "kind": "RandomForestClassifier", "trees": x if what == "trees" else TREES,
        "max_leaf_nodes": x if what == "leaves" else LEAVES})


def boosted_of(what, x):
    trees, classes = x if what == "trees" else 2 * TREES, x if what == "classes" else CLASSES
    return families.Family(f"curve-lightgbm-{what}-{x}", "", families.lightgbm, "model.txt", "model.txt", (), (), {
        "trees": trees // classes * classes, "num_leaves": x if what == "leaves" else LEAVES, "min_data_in_leaf": 5})


KINDS = {"LightGBM": boosted_of, "random forest": forest_of}


@functools.lru_cache(maxsize=1)
def land(bands, classes):
    """Fewer rows than the families train on, and a tile of 512 x 512."""
    made = scenes.Land(bands, classes)
    planes = list(made.tile(scenes.NOISE["smooth"], 999, 512)[0].T.copy())
    return scenes.Scene(*scenes.plain(bands), *made.training(per_tile=5000), {"smooth": planes})


def crop(planes, pixels):
    """The first pixels of the tile's upper left 256 x 256, or the whole tile, or its upper half."""
    if pixels > scenes.SIDE ** 2:
        return [plane[:pixels] for plane in planes]
    return [plane.reshape(512, 512)[:256, :256].ravel()[:pixels] for plane in planes]


def point(options, start, what, kind, x, work):
    """One point of a curve: a worker with its model and its pixels; `start` makes it."""
    scene = land(x, CLASSES) if what == "features" else land(FEATURES, x if what == "classes" else CLASSES)
    made = KINDS[kind](what, x) if what != "pixels" else KINDS[kind]("trees", 200)
    pixels = x if what == "pixels" else scenes.SIDE ** 2
    worker = start(options, families.trained(made, "land", scene, options.cache) / made.tilth, scene, work)
    rounds.write_tile(scene, crop(scene.tiles["smooth"], pixels), work)
    worker.tile(work, pixels)
    return worker


def least(workers, turns, work):
    """The least ns per pixel of each, in turns; few pixels are asked for more often."""
    found = [math.inf] * len(workers)
    for _ in range(turns):
        for i, worker in enumerate(workers):
            again = 1 if worker.pixels >= 4096 else 20
            found[i] = min(found[i], *(worker.run(work)[0] for _ in range(again)))
    return found


def steps(xs, costs):
    """The exponent between neighbouring points."""
    return [math.log(c2 / c1) / math.log(x2 / x1) for x1, x2, c1, c2 in zip(xs, xs[1:], costs, costs[1:])]


def slope(xs, costs):
    """The exponent of all points: of the straight line that is nearest to them in log-log, by least squares."""
    across, up = [math.log(x) for x in xs], [math.log(c) for c in costs]
    middle, height = sum(across) / len(xs), sum(up) / len(xs)
    return (sum((a - middle) * (b - height) for a, b in zip(across, up))
            / sum((a - middle) ** 2 for a in across))


def told(what, kind, xs, costs):
    """A curve's entry: costs, exponents, and from where to where it grows the most."""
    each = steps(xs, costs)
    worst = max(range(len(each)), key=each.__getitem__)
    return {"what": what, "kind": kind, "x": list(xs), "ns": list(costs), "exponent": slope(xs, costs),
            "steepest": each[worst], "between": [xs[worst], xs[worst + 1]], "linear": each[worst] <= LINEAR}


def curve(options, start, what, kind, work):
    xs = GROWING[what][:2] if options.trial else GROWING[what]
    with contextlib.ExitStack() as opened:
        workers = [opened.enter_context(point(options, start, what, kind, x, work)) for x in xs]
        ns = least(workers, 3 * options.rounds, work)
    one = told(what, kind, xs, [spent * x for spent, x in zip(ns, xs)] if what == "pixels" else ns)
    print(line(one), flush=True)
    return one


def line(one):
    cost = ", ".join(f"{x}: {ns:.0f}" for x, ns in zip(one["x"], one["ns"]))
    verdict = "linear or better" if one["linear"] else "MORE THAN LINEAR"
    return (f"  {one['what']:8} {one['kind']:13} {verdict}: exponent {one['exponent']:.2f}, at most {one['steepest']:.2f} "
            f"from {one['between'][0]} to {one['between'][1]} "
            f"[{'ns per tile' if one['what'] == 'pixels' else 'ns per pixel'}: {cost}]")
