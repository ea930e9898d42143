"""Rows of the comparison as text, JSON and the Markdown tables of docs/bench.md."""

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
    return text + (f"  [{one['setting']}]" if one["setting"] else "")


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
