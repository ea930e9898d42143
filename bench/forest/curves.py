"""How the cost grows with trees, leaves, classes, features and pixels: tilth alone, on the synthetic land.

Each curve changes one thing and leaves the rest, for boosted trees (LightGBM) and for a random forest. Cost is of the
whole tile, nanoseconds per pixel (for the curve of pixels: per tile), the best of the rounds; told per doubling, where 2
is linear. The models are smaller than the families': they are many, and trained once.
"""
import families
import rounds
import scenes

TREES, LEAVES, CLASSES, FEATURES = 100, 63, 10, 24  # of what does not change; boosted: twice the trees
GROWING = {"trees": [50, 100, 200, 500, 1000], "leaves": [15, 31, 63, 127, 255, 511, 1023, 2047, 4095],
           "classes": [2, 5, 10, 20, 50], "features": [8, 16, 32, 64, 128],
           "pixels": [1, 8, 64, 512, 4096, 32768, 65536, 131072, 262144]}
TOLERANCE = 1.1  # of a ratio of two measurements; a cost per doubling above 2 x this is said to be more than linear


def forest_of(what, x):
    return families.Family(f"curve-forest-{what}-{x}", "", families.forest, "model.joblib", "model.tilth", (), (), {
        "kind": "RandomForestClassifier", "trees": x if what == "trees" else TREES,
        "max_leaf_nodes": x if what == "leaves" else LEAVES})


def boosted_of(what, x):
    trees, classes = x if what == "trees" else 2 * TREES, x if what == "classes" else CLASSES
    return families.Family(f"curve-lightgbm-{what}-{x}", "", families.lightgbm, "model.txt", "model.txt", (), (), {
        "trees": trees // classes * classes, "num_leaves": x if what == "leaves" else LEAVES, "min_data_in_leaf": 5})


KINDS = {"LightGBM": boosted_of, "random forest": forest_of}


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


def point(options, start, made, scene, pixels, work):
    """ns per pixel of one model on the first pixels of the scene's tile; `start` makes the worker."""
    folder = families.trained(made, "land", scene, options.cache)
    with start(options, folder / made.tilth, scene, work) as worker:
        rounds.write_tile(scene, crop(scene.tiles["smooth"], pixels), work)
        worker.tile(work, pixels)
        again = 3 * options.rounds if pixels >= 4096 else 100
        return min(worker.run(work)[0] for _ in range(again))


def curve(options, start, what, kind, work):
    plain, ns = land(FEATURES, CLASSES), []
    xs = GROWING[what][:2] if options.trial else GROWING[what]
    for x in xs:
        scene = land(x, CLASSES) if what == "features" else land(FEATURES, x) if what == "classes" else plain
        made = KINDS[kind](what, x) if what != "pixels" else KINDS[kind]("trees", 200)
        spent = point(options, start, made, scene, x if what == "pixels" else 65536, work)
        ns.append(spent * x if what == "pixels" else spent)
    growth = rounds.per_doubling(xs, ns)
    return {"what": what, "kind": kind, "x": xs, "ns": ns, "per_doubling": growth,
            "linear": max(growth) <= 2 * TOLERANCE}


def all_curves(options, start, work):
    found = []
    for what in GROWING:
        for kind in KINDS:
            found.append(curve(options, start, what, kind, work))
            print(line(found[-1]), flush=True)
    return found


def line(one):
    cost = ", ".join(f"{x}: {ns:.0f}" for x, ns in zip(one["x"], one["ns"]))
    verdict = "linear or better" if one["linear"] else "MORE THAN LINEAR"
    return (f"  {one['what']:8} {one['kind']:13} {verdict}, x{max(one['per_doubling']):.2f} at most where it doubles "
            f"[{'ns per tile' if one['what'] == 'pixels' else 'ns per pixel'}: {cost}]")
