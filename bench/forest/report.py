"""Rows of the comparison as text, and the Markdown tables of docs/bench.md."""
import results

# times tilth's cost that the peer's is to be, by family and peer; "met" is said of every tile
GOALS = {
    ("lightgbm-31", "lightgbm"): 50, ("lightgbm-31", "lleaves"): 3.5, ("lightgbm-31", "onnxruntime"): 28,
    ("lightgbm-255", "lightgbm"): 65, ("lightgbm-255", "onnxruntime"): 28,
    ("xgboost-6", "xgboost"): 16, ("xgboost-6", "xgboost1"): 30, ("xgboost-6", "onnxruntime"): 28,
    ("catboost-6", "catboost"): 3, ("catboost-6", "onnxruntime"): 28,
    ("forest-255", "sklearn"): 25, ("forest-255", "onnxruntime"): 26,
    ("forest-255-200", "sklearn"): 25, ("forest-255-200", "onnxruntime"): 26,
    ("forest-deep", "sklearn"): 14, ("forest-deep", "onnxruntime"): 20, ("extra-trees", "sklearn"): 8,
    ("extra-trees", "onnxruntime"): 20,
    ("golden", "sklearn"): 14, ("golden", "onnxruntime"): 20, ("golden", "ydf"): 30, ("golden", "tl2cgen"): 50,
    ("golden", "treelite"): 100,
}
TITLES = {"lightgbm": "LightGBM 4.7", "lleaves": "lleaves 1.3", "onnxruntime": "onnxruntime 1.32",
          "xgboost": "XGBoost 3.2", "xgboost1": "XGBoost 1.7", "catboost": "CatBoost 1.2.10",
          "sklearn": "scikit-learn 1.9", "ydf": "YDF 0.16", "tl2cgen": "tl2cgen 1.0", "treelite": "treelite 4.8 GTIL"}
SCORES = {"lightgbm", "lleaves", "xgboost", "xgboost1", "catboost"}  # stop at raw scores; the others give probabilities
TRAINERS = {"lightgbm", "xgboost", "catboost", "sklearn"}
ASKED = {"label": "tilth-label", "confidence": "tilth"}  # labels alone, with their confidence; who that is in a round
TILES = ("smooth", "noisy", "structureless")
BEGIN, END = "<!-- made by make bench-forest: begin -->", "<!-- made by make bench-forest: end -->"


def row(family, scene, tile, peer, found):
    """One tile and one peer: nanoseconds per pixel and tree of both, and who was wrong how often.

    The ratio is of what tilth is asked for that is like what the peer gives: labels alone where it stops at raw scores,
    which their greatest tells; labels with confidence where it gives probabilities.
    """
    asked = "label" if peer in SCORES else "confidence"
    theirs, ours, goal = found[peer], found[ASKED[asked]], GOALS[family.name, peer]
    ratio = theirs["best"] / ours["best"]
    each = {"peer": theirs, **{what: found[name] for what, name in ASKED.items()}}
    return {"family": family.name, "title": family.title, "scene": scene, "tile": tile, "peer": peer,
            "setting": theirs["setting"], "trees": family.trees, "pixels": ours["pixels"],
            "peer_pixels": theirs["pixels"], "asked": asked,
            **{f"{who}_{what}": one[what] / family.trees for who, one in each.items() for what in ("best", "median")},
            "ratio": ratio, "ratio_median": theirs["median"] / ours["median"], "goal": goal, "met": ratio >= goal,
            "wrong": sum(found[name]["wrong"] for name in ASKED.values()), "peer_wrong": theirs["wrong"]}


def line(one):
    text = (f"  {one['tile']:13} {one['peer']:12} {one['peer_best']:8.2f}  tilth {one['label_best']:6.3f}, with confidence"
            f" {one['confidence_best']:6.3f} ns/px/tree  {one['ratio']:6.1f}x of {one['asked']}  goal {one['goal']}x"
            f" {'met' if one['met'] else 'MISSED'}")
    if one["wrong"]:
        text += f"  TILTH WRONG: {one['wrong']} labels"
    if one["peer_wrong"]:
        text += f"  {one['peer_wrong']} of {one['peer_pixels']} labels wrong"
    if max(one[f"{who}_median"] / one[f"{who}_best"] for who in ("peer", *ASKED)) > 2:
        text += "  UNSTEADY: the rounds differ"  # a busy machine, or an answer that was remembered
    return text + (f"  [{one['setting']}]" if one["setting"] else "")


def load_line(one):
    return (f"  load {one['who']:12} {one['file']:15} {one['bytes'] / 2**20:7.1f} MiB  {one['ms']:9.1f} ms"
            f"  resident {one['resident'] / 2**20:7.1f} MiB")


def table(rows):
    return "\n".join(f"{one['family']:15}" + line(one) for one in rows)


def spent(measured):
    """Where the run's time went."""
    return "\n".join(f"{one['seconds']:7.1f} s  {one['part']:8} {' '.join(one['place'])}" for one in measured
                     if one["seconds"] >= 0.1)


def verdict(document, faults=()):
    """What the run ends with: None, or the labels of tilth's that are not the library's, and what went wrong."""
    told = [f"fault: {text}" for text in faults]
    wrong = [one for one in document["rows"] if one["wrong"]]
    if wrong:
        places = sorted({f"{one['family']} on {one['tile']} ({one['wrong']})" for one in wrong})
        told.append("labels of tilth that the library does not give: " + ", ".join(places))
    if not document["measured"]:
        told.append("nothing was measured")
    return "compare: " + "; ".join(told) if told else None


def few(value):
    """Three digits, no more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def span(values):
    low, high = few(min(values)), few(max(values))
    return low if low == high else f"{low}-{high}"


def by_peer(rows):
    """Rows of one family and peer together, in the order of the goals."""
    return [group for key in GOALS if (group := [one for one in rows if (one["family"], one["peer"]) == key])]


ORDER = list(dict.fromkeys(family for family, _ in GOALS))


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


def when(entries):
    """The hour of the last, and the load then."""
    last = max(entries, key=lambda one: one["when"])
    return f"{last['when'][5:]}, {last['load']:.1f}"


def comparison_markdown(rows):
    out = ["| model | library | its ns | tilth's: label | with confidence | smooth | noisy | structureless | real, demo | goal | "
           "| its wrong labels | when, load |", "|" + "---|" * 13]
    for group in by_peer(rows):
        one = group[0]
        real = ratio_of(group, "Sentinel-2") or ratio_of(group, "demo scene")
        columns = [one["title"], TITLES[one["peer"]] + ("" if one["asked"] == "label" else ", p"),
                   *(span([g[f"{who}_best"] for g in group]) for who in ("peer", "label", "confidence")),
                   *(ratio_of(group, tile) for tile in TILES), real, f"{one['goal']}x", outcome(group), wrong_of(group),
                   when(group)]
        out.append("| " + " | ".join(columns) + " |")
    return out


def confidence_markdown(rows):
    """What confidence costs: over all tiles, each once."""
    tiles = {(one["family"], one["scene"], one["tile"]): one["confidence_best"] / one["label_best"] for one in rows}
    if not tiles:
        return []
    return ["", f"Labels with confidence take {span(tiles.values())} times what labels alone do (median "
            f"{few(sorted(tiles.values())[len(tiles) // 2])})."]


def load_cell(loads, beside=None):
    """`beside`: what tilth's own file takes."""
    return "; ".join(f"{one['file'].removeprefix('model.')} {few(one['ms'])}"
                     + (f" ({few(one['ms'] / beside)}x)" if beside else "") for one in loads)


def load_markdown(loads):
    out = ["| model | tilth: its own file, ms | the library's file | ONNX | the library | onnxruntime | others | when, load |",
           "|" + "---|" * 8]
    for family in ORDER:
        group = [one for one in loads if one["family"] == family]
        own = [one for one in group if one["who"] == "tilth" and one["file"] == "model.tilth"]
        if not own:
            continue
        beside, ours = own[0]["ms"], [one for one in group if one["who"] == "tilth" and one not in own]
        others = {one["who"] for one in group} - TRAINERS - {"tilth", "onnxruntime"}
        columns = [own[0]["title"], few(beside), load_cell([one for one in ours if one["file"] != "model.onnx"]),
                   load_cell([one for one in ours if one["file"] == "model.onnx"]),
                   load_cell([one for one in group if one["who"] in TRAINERS], beside),
                   load_cell([one for one in group if one["who"] == "onnxruntime"], beside),
                   "; ".join(TITLES[who] + " " + load_cell([one for one in group if one["who"] == who], beside)
                             for who in sorted(others)), when(group)]
        out.append("| " + " | ".join(columns) + " |")
    return out


def curve_markdown(curves):
    out = ["| what grows | model | cost: ns per pixel (pixels: us in all) | exponent | steepest | when, load |",
           "|" + "---|" * 6]
    for one in curves:
        scale = 1000 if one["what"] == "pixels" else 1
        cost = ", ".join(f"{x:,}: {few(ns / scale)}" for x, ns in zip(one["x"], one["ns"]))
        first, last = one["between"]
        out.append(f"| {one['what']} | {one['kind']} | {cost} | {one['exponent']:.2f} | {one['steepest']:.2f}, {first:,} to "
                   f"{last:,}{'' if one['linear'] else ' ✗'} | {when([one])} |")
    return out


def builds_markdown(builds):
    return ["Made from the trained model before it could be loaded, seconds of CPU (tilth needs no such step): "
            + ", ".join(f"{TITLES[one['engine']]} {one['title']} ({one['scene']}) {one['seconds']:.0f}" for one in builds)
            + "."]


def left_out(one):
    return f"{TITLES.get(one['who'], one['who']) or 'all'} of {', '.join(one['place'])} ({one['part']}): {one['why']}"


def unseen(document):
    """Families without rows, kinds of figures without any."""
    seen = {one["family"] for one in document["rows"]}
    return ([family for family in ORDER if family not in seen] + ["loading"] * (not document["loads"])
            + ["how the cost grows"] * (not document["curves"]))


def markdown(document):
    where = document["machine"]
    out = ["Nanoseconds per pixel and tree, best of the rounds; ratios tile by tile, ✗ where the goal is missed. Libraries that stop "
           "at raw scores are compared with tilth's labels alone, those that give probabilities (p) with label and confidence. "
           f"{where['processor']}, {where['vectors']}; hours are UTC, load is the machine's average when it began. Labels of "
           f"tilth that differ from the training library's: {sum(one['wrong'] for one in document['rows'])}.", ""]
    out += comparison_markdown(document["rows"]) + confidence_markdown(document["rows"])
    if document["builds"]:
        out += [""] + builds_markdown(document["builds"])
    if document["loads"]:
        out += ["", "CPU time of loading, ms, after the file has been read once; in brackets how many times that of tilth's own file:",
                ""] + load_markdown(document["loads"])
    if document["curves"]:
        out += ["", "How tilth's cost grows, label and confidence, smooth tiles, one thing at a time (exponent: 1 is linear; ✗ where "
                "two neighbours are more than linear apart):", ""] + curve_markdown(document["curves"])
    if unseen(document):
        out += ["", "Not measured yet: " + ", ".join(unseen(document)) + "."]
    out += [f"\nLeft out: {left_out(one)}." for one in document["left_out"]]
    return "\n".join(out)


def between(text, block):
    """`text` with `block` in place of what is between the marks."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"docs/bench.md has no place for the tables: {BEGIN} .. {END}")
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def keep(document, path, page):
    """Into the results and the tables of the page; a page that is not there is made of the tables alone."""
    document = results.keep(document, path, ORDER)
    text = page.read_text() if page.exists() else f"{BEGIN}\n{END}\n"
    results.replace(page, between(text, markdown(document)))
