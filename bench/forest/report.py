"""Rows of the comparison as text, JSON and the Markdown tables of docs/bench.md."""
import json
import os
import pathlib
import platform

# times tilth's cost that the peer's is to be, by family and peer; "met" is said of every tile
GOALS = {
    ("lightgbm-31", "lightgbm"): 50, ("lightgbm-31", "lleaves"): 3.5, ("lightgbm-31", "onnxruntime"): 28,
    ("lightgbm-255", "lightgbm"): 65, ("lightgbm-255", "onnxruntime"): 28,
    ("xgboost-6", "xgboost"): 16, ("xgboost-6", "xgboost1"): 30, ("xgboost-6", "onnxruntime"): 28,
    ("catboost-6", "catboost"): 3, ("catboost-6", "onnxruntime"): 28,
    ("forest-255", "sklearn"): 25, ("forest-255", "onnxruntime"): 26,
    ("forest-255-200", "sklearn"): 25, ("forest-255-200", "onnxruntime"): 26,
    ("forest-deep", "sklearn"): 14, ("forest-deep", "onnxruntime"): 20, ("extra-trees", "sklearn"): 8,
    ("golden", "sklearn"): 14, ("golden", "onnxruntime"): 20, ("golden", "ydf"): 30, ("golden", "tl2cgen"): 50,
    ("golden", "treelite"): 100,
}
TITLES = {"lightgbm": "LightGBM 4.7", "lleaves": "lleaves 1.3", "onnxruntime": "onnxruntime 1.32",
          "xgboost": "XGBoost 3.2", "xgboost1": "XGBoost 1.7", "catboost": "CatBoost 1.2.10",
          "sklearn": "scikit-learn 1.9", "ydf": "YDF 0.16", "tl2cgen": "tl2cgen 1.0", "treelite": "treelite 4.8 GTIL"}
BEGIN, END = "<!-- made by make bench-forest: begin -->", "<!-- made by make bench-forest: end -->"


def row(family, scene, tile, peer, found):
    """One tile and one peer: nanoseconds per pixel and tree of both, and who was wrong how often."""
    theirs, ours, goal = found[peer], found["tilth"], GOALS[family.name, peer]
    ratio = theirs["best"] / ours["best"]
    return {"family": family.name, "title": family.title, "scene": scene, "tile": tile, "peer": peer,
            "setting": theirs["setting"], "trees": family.trees, "pixels": ours["pixels"],
            "peer_pixels": theirs["pixels"],
            **{f"{who}_{what}": one[what] / family.trees for who, one in (("peer", theirs), ("tilth", ours))
               for what in ("best", "median")},
            "ratio": ratio, "ratio_median": theirs["median"] / ours["median"], "goal": goal, "met": ratio >= goal,
            "wrong": ours["wrong"], "peer_wrong": theirs["wrong"]}


def line(one):
    text = (f"  {one['tile']:13} {one['peer']:12} {one['peer_best']:8.2f}  tilth {one['tilth_best']:6.3f} ns/px/tree"
            f"  {one['ratio']:6.1f}x  goal {one['goal']}x {'met' if one['met'] else 'MISSED'}")
    if one["wrong"]:
        text += f"  TILTH WRONG: {one['wrong']} labels"
    if one["peer_wrong"]:
        text += f"  {one['peer_wrong']} of {one['peer_pixels']} labels wrong"
    if max(one["peer_median"] / one["peer_best"], one["tilth_median"] / one["tilth_best"]) > 2:
        text += "  UNSTEADY: the rounds differ"  # a busy machine, or an answer that was remembered
    return text + (f"  [{one['setting']}]" if one["setting"] else "")


def load_line(one):
    return (f"  load {one['who']:12} {one['file']:15} {one['bytes'] / 2**20:7.1f} MiB  {one['ms']:9.1f} ms"
            f"  resident {one['resident'] / 2**20:7.1f} MiB")


def table(rows):
    return "\n".join(f"{one['family']:15}" + line(one) for one in rows)


def verdict(rows):
    """What the run ends with: None, or the labels of tilth's that are not the library's."""
    wrong = [one for one in rows if one["wrong"]]
    if not rows:
        return "compare: nothing was measured"
    if wrong:
        places = sorted({f"{one['family']} on {one['tile']} ({one['wrong']})" for one in wrong})
        return "compare: labels of tilth that the library does not give: " + ", ".join(places)
    return None


def machine():
    known = {}
    for text in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = text.partition(":")
        known.setdefault(name.strip(), value.strip())
    flags = known.get("flags", known.get("Features", "")).split()
    return {"processor": known.get("model name", platform.machine()), "cores": os.cpu_count(),
            "vectors": next((f for f in ("avx512bw", "avx2", "asimd") if f in flags), "none"),
            "load_before": round(os.getloadavg()[0], 2)}


def few(value):
    """Three digits, no more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def span(values):
    low, high = few(min(values)), few(max(values))
    return low if low == high else f"{low}-{high}"


def by_peer(rows):
    """Rows of one family and peer together, in the order of the goals."""
    return [group for key in GOALS if (group := [one for one in rows if (one["family"], one["peer"]) == key])]


def in_order(loads):
    """Families as the goals name them."""
    families = list(dict.fromkeys(family for family, _ in GOALS))
    return sorted(loads, key=lambda one: families.index(one["family"]))


def ratio_of(group, tile):
    for one in group:
        if one["tile"] == tile:
            return few(one["ratio"]) + ("" if one["met"] else " ✗")
    return ""


def outcome(group):
    missed = [one for one in group if not one["met"]]
    if not missed:
        return "met"
    if len(missed) < len(group):
        return "met, but for " + ", ".join(one["tile"] for one in missed)
    return f"missed, by {span([one['goal'] / one['ratio'] for one in missed])}x"


def wrong_of(group):
    share = [100 * one["peer_wrong"] / one["peer_pixels"] for one in group]
    return span(share) + " %" if any(share) else "0"


def comparison_markdown(rows):
    out = ["| model | library | its ns | tilth's ns | smooth | noisy | structureless | real, demo | goal | | its wrong labels |",
           "|---|---|---|---|---|---|---|---|---|---|---|"]
    for group in by_peer(rows):
        one = group[0]
        real = ratio_of(group, "Sentinel-2") or ratio_of(group, "demo scene")
        out.append(f"| {one['title']} | {TITLES[one['peer']]} | {span([g['peer_best'] for g in group])} | "
                   f"{span([g['tilth_best'] for g in group])} | {ratio_of(group, 'smooth')} | {ratio_of(group, 'noisy')} | "
                   f"{ratio_of(group, 'structureless')} | {real} | {one['goal']}x | {outcome(group)} | "
                   f"{wrong_of(group)} |")
    return out


def load_markdown(loads):
    out = ["| model | file | MiB | loaded by | ms | resident MiB |", "|---|---|---|---|---|---|"]
    for one in in_order(loads):
        out.append(f"| {one['title']} | {one['file']} | {few(one['bytes'] / 2**20)} | {TITLES.get(one['who'], one['who'])} | "
                   f"{few(one['ms'])} | {few(one['resident'] / 2**20)} |")
    return out


def curve_markdown(curves):
    out = ["| what grows | model | cost: ns per pixel (pixels: us in all) | most per doubling | linear |",
           "|---|---|---|---|---|"]
    for one in curves:
        scale = 1000 if one["what"] == "pixels" else 1
        cost = ", ".join(f"{x:,}: {few(ns / scale)}" for x, ns in zip(one["x"], one["ns"]))
        out.append(f"| {one['what']} | {one['kind']} | {cost} | {max(one['per_doubling']):.2f}x | "
                   f"{'or better' if one['linear'] else 'no'} |")
    return out


def builds_markdown(builds):
    return ["Made from the trained model before it could be loaded, seconds of CPU (tilth needs no such step): "
            + ", ".join(f"{TITLES[one['engine']]} {one['title']} {one['seconds']:.0f}" for one in builds) + "."]


def markdown(document):
    where = document["machine"]
    out = [f"Nanoseconds per pixel and tree, best of {document['rounds']} rounds; ratios tile by tile, ✗ where the goal is "
           f"missed. {where['processor']}, {where['vectors']}, load average {where['load_before']} when the last run began. "
           "Labels of tilth that differ from the training library's: "
           f"{sum(one['wrong'] for one in document['rows'])}.", ""]
    out += comparison_markdown(document["rows"])
    if document["builds"]:
        out += [""] + builds_markdown(document["builds"])
    if document["loads"]:
        out += ["", "CPU time of loading, after the file has been read once:", ""] + load_markdown(document["loads"])
    if document["curves"]:
        out += ["", "How tilth's cost grows, on smooth tiles:", ""] + curve_markdown(document["curves"])
    seen = {one["family"] for one in document["rows"]}
    unseen = list(dict.fromkeys(family for family, _ in GOALS if family not in seen))
    if unseen or not document["curves"]:
        out += ["", "Not measured yet: " + ", ".join(unseen + ["how the cost grows"] * (not document["curves"])) + "."]
    out += [f"\nLeft out: {text}." for text in document["skipped"]]
    return "\n".join(out)


def between(text, block):
    """`text` with `block` in place of what is between the marks."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"docs/bench.md has no place for the tables: {BEGIN} .. {END}")
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


KEYS = {"rows": ("family", "scene", "tile", "peer"), "loads": ("family", "who", "file"), "curves": ("what", "kind"),
        "builds": ("family", "scene", "engine")}


def merged(known, document):
    """What was not measured this time stays as it was, in its place."""
    result = dict(document)
    for part, names in KEYS.items():
        def key(one):
            return tuple(one[name] for name in names)
        new = {key(one): one for one in document[part]}
        result[part] = [new.pop(key(one), one) for one in known.get(part, [])] + list(new.values())
    return result


def write(document, root):
    path, page = root / "bench/results/forest.json", root / "docs/bench.md"
    document = merged(json.loads(path.read_text()) if path.exists() else {}, document)
    path.write_text(json.dumps(document, indent=1) + "\n")
    page.write_text(between(page.read_text(), markdown(document)))
