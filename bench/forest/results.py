"""What was measured, and when: kept after every family, so that a run that is stopped keeps those that are done.

A document has lists of entries. An entry belongs to a place - a family on a scene, a family's loads, a curve - and what is
measured of a place takes the place of all that was known of it, but for the peers that were skipped on purpose.
"""
import datetime
import json
import os
import pathlib
import platform

FORMAT = 2  # of forest.json; another one is not merged with
PLACES = {"rows": ("family", "scene"), "loads": ("family",), "builds": ("family", "scene"), "curves": ("what", "kind")}
WHO = {"rows": "peer", "loads": "who", "builds": "engine"}


def machine():
    known = {}
    for text in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = text.partition(":")
        known.setdefault(name.strip(), value.strip())
    flags = known.get("flags", known.get("Features", "")).split()
    return {"processor": known.get("model name", platform.machine()), "cores": os.cpu_count(),
            "vectors": next((f for f in ("avx512bw", "avx2", "asimd") if f in flags), "none")}


def now():
    """The hour in UTC and the machine's load: what every entry says of itself."""
    return {"when": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"),
            "load": round(os.getloadavg()[0], 2)}


def empty(isa="best", skip=()):
    """`skip`: peers that this run is not to measure."""
    return {"format": FORMAT, "machine": machine(), "isa": isa, "skip": list(skip), "measured": [], "left_out": [],
            **{part: [] for part in PLACES}}


def place_of(part, entry):
    return tuple(entry[name] for name in PLACES[part])


def add(document, part, place, entries, began, seconds):
    """Entries of one place, measured from `began` (a now()) on."""
    document[part] += [{**entry, **began} for entry in entries]
    document["measured"].append({"part": part, "place": list(place), "seconds": round(seconds, 1), **began})


def leave_out(document, part, place, who, why):
    """`who` is not in the report of this place: "" is all of it."""
    document["left_out"].append({"part": part, "place": list(place), "who": who, "why": why})


def merged(known, document, order=()):
    """What was not measured this time stays as it was; families as in `order`."""
    if known.get("format") != FORMAT:
        return document
    done = {(one["part"], tuple(one["place"])) for one in document["measured"]}
    told = {(one["part"], tuple(one["place"]), one["who"]) for one in document["left_out"]}

    def stays(part, place, who):
        return ((part, place) not in done or who in document["skip"]) and (part, place, who) not in told

    result = dict(document)
    for part in PLACES:
        result[part] = [one for one in known[part] if stays(part, place_of(part, one), one.get(WHO.get(part)))]
        result[part] = sorted(result[part] + document[part], key=lambda one: rank(one.get("family"), order))
    for part in ("measured", "left_out"):
        result[part] = [one for one in known[part] if stays(one["part"], tuple(one["place"]), one.get("who"))]
        result[part] += document[part]
    return result


def rank(family, order):
    return order.index(family) if family in order else len(order)


def replace(path, text):
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def keep(document, path, order):
    """-> all that is known now, which is in the file `path`."""
    document = merged(json.loads(path.read_text()) if path.exists() else {}, document, order)
    replace(path, json.dumps(document, indent=1) + "\n")
    return document
