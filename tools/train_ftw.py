#!/usr/bin/env python3
"""Real Sentinel-2 over farmland on two dates (Fields of the World): a COG, a model, a layer.

    /usr/bin/python3 tools/train_ftw.py cog OUT.tif [--data DIR]        needs python3-gdal
    python3 tools/train_ftw.py train [--out models/ftw-two-dates.tilth] needs scikit-learn 1.9, gdal-bin
    python3 tools/train_ftw.py layer OUT.json --href HREF [--endpoint URL --region R]

What the labels are: a stated rule, no ground truth. NDVI of both dates and the green reflectance of the first,
each the mean of 5 x 5 pixels, cut by fixed thresholds into six kinds of cover. The forest sees single pixels, so
it learns to say from one pixel what the rule says of its surroundings. The printed score is agreement with
the rule on the eastern half, trained on the western half; it says nothing about crops on the ground.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python"))

SOURCE = "sentinel2/ftw_two_date_8band.tif"
BANDS = [f"{band}_{date}" for date in "ab" for band in ("red", "green", "blue", "nir")]
FEATURES = {**{b: f"s2.{b} / 10000" for b in BANDS}, "NDVI_a": "nd(s2.nir_a, s2.red_a)",
            "NDVI_b": "nd(s2.nir_b, s2.red_b)"}
CLASSES = [{"value": 1, "name": "water", "color": "419BDF"}, {"value": 2, "name": "woodland", "color": "397D49"},
           {"value": 3, "name": "green-both", "color": "88B053"}, {"value": 4, "name": "green-first", "color": "E49635"},
           {"value": 5, "name": "green-second", "color": "FFD300"}, {"value": 6, "name": "bare-both", "color": "A59B8F"}]
PARAMETERS = dict(n_estimators=60, min_samples_leaf=8, max_leaf_nodes=128)
SEED = 1
ATTRIBUTION = "Fields of the World, fieldsoftheworld/ftw-baselines (MIT); contains modified Copernicus Sentinel data"


def write_cog(source, out):
    from osgeo import gdal
    gdal.UseExceptions()
    options = gdal.TranslateOptions(format="COG", creationOptions=[
        "BLOCKSIZE=256", "COMPRESS=DEFLATE", "PREDICTOR=2", "OVERVIEW_RESAMPLING=AVERAGE"])
    dataset = gdal.Translate("", str(source), format="VRT")
    for i, name in enumerate(BANDS, 1):
        dataset.GetRasterBand(i).SetDescription(name)
    part = str(out) + ".part.tif"
    gdal.Translate(part, dataset, options=options)
    os.replace(part, out)
    print(f"{out}: {os.path.getsize(out)} bytes")


def read_raw(source):
    """[8, h, w] float32 without the GDAL bindings, which a scikit-learn environment seldom has."""
    with tempfile.TemporaryDirectory() as folder:
        raw = pathlib.Path(folder) / "x.raw"
        convert = ["gdal_translate", "-q", "-of", "ENVI", "-co", "INTERLEAVE=BSQ", str(source), str(raw)]
        subprocess.run(convert, check=True)
        header = dict(line.split("=", 1) for line in raw.with_suffix(".hdr").read_text().replace(" ", "").splitlines()
                      if "=" in line)
        shape = int(header["bands"]), int(header["lines"]), int(header["samples"])
        return np.fromfile(raw, "<u2").reshape(shape).astype(np.float32)


def mean5(plane):
    """Mean of the 5 x 5 surroundings, the edge repeated."""
    total = np.pad(np.pad(plane.astype(np.float64), 2, mode="edge").cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return (total[5:, 5:] - total[:-5, 5:] - total[5:, :-5] + total[:-5, :-5]) / 25


def features_of(bands):
    """float32 [10, h, w], computed as the layer's expressions compute them."""
    b = dict(zip(BANDS, bands))
    nd = [(b[f"nir_{d}"] - b[f"red_{d}"]) / (b[f"nir_{d}"] + b[f"red_{d}"]) for d in "ab"]
    return np.stack([plane / np.float32(10000) for plane in bands] + nd)


def rule(features):
    """The proxy labels, class values [h, w]."""
    at = {name: mean5(plane) for name, plane in zip(FEATURES, features)}
    first, second = at["NDVI_a"] > 0.6, at["NDVI_b"] > 0.6
    label = np.full(first.shape, 6, np.uint8)
    label[first & second] = 3
    label[first & second & (at["NDVI_a"] > 0.75) & (at["green_a"] < 0.075)] = 2
    label[first & ~second] = 4
    label[~first & second] = 5
    label[(at["NDVI_a"] < 0.1) & (at["NDVI_b"] < 0.1)] = 1
    return label


def train(source, out):
    import sklearn
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import balanced_accuracy_score
    import tilth
    features = features_of(read_raw(source))
    label, half = rule(features), features.shape[2] // 2
    rows = lambda cut: np.ascontiguousarray(features[:, :, cut].reshape(len(FEATURES), -1).T)  # noqa: E731
    west, east, x, y = rows(slice(0, half)), rows(slice(half, None)), rows(slice(None)), label.ravel()
    forest = RandomForestClassifier(**PARAMETERS, random_state=SEED, n_jobs=-1).fit(west, label[:, :half].ravel())
    score = balanced_accuracy_score(label[:, half:].ravel(), forest.predict(east))
    print(f"agreement with the rule, trained west, tested east: balanced {score:.3f}")
    forest = RandomForestClassifier(**PARAMETERS, random_state=SEED, n_jobs=-1).fit(x, y)
    model = tilth.export(forest, out, features=list(FEATURES), classes=CLASSES, golden=x, seed=SEED,
                         name="cover on two dates", provenance={
        "data": "fieldsoftheworld/ftw-baselines, " + SOURCE.split("/")[1],
        "licence": "MIT; contains modified Copernicus Sentinel data", "rows": len(x), "script": "tools/train_ftw.py", "seed": SEED, "parameters": PARAMETERS,
        "labels": "a rule on 5 x 5 means of NDVI and green reflectance; no ground truth",
        "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
        "scores": {"balanced_agreement_with_the_rule": round(score, 4)}})
    forest.n_jobs = 1
    sample = x[::7]
    same = (model.probabilities(sample) == forest.predict_proba(sample)).all()
    print(f"{model.tree_count} trees, {model.node_count} nodes, {os.path.getsize(out)} bytes; probabilities of "
          f"{len(sample)} rows {'equal' if same else 'DIFFER'}")
    return same


def layer(href, model, s3):
    source = {"href": href, "bands": {b: i for i, b in enumerate(BANDS, 1)}}
    if s3:
        source["s3"] = s3
    return {"id": "ftw-two-dates", "title": "Cover on two dates", "kind": "prediction", "role": "prediction",
            "description": "A random forest on real Sentinel-2 pixels of two dates. Its labels are a rule on NDVI, "
                           "not ground truth.",
            "attribution": ATTRIBUTION, "license": "MIT", "grid": {"like": "s2"}, "sources": {"s2": source},
            "model": {"href": model}, "features": FEATURES, "post": [{"op": "majority", "size": 3}],
            "below_native": {"policy": "approx", "budget_blocks": 4}, "styles": ["two-date-cover"],
            "zoom": {"min": 8, "max": 18}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared" / "data")
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("cog").add_argument("out")
    steps.add_parser("train").add_argument("--out", default=str(ROOT / "models" / "ftw-two-dates.tilth"))
    one = steps.add_parser("layer")
    one.add_argument("out", type=pathlib.Path)
    one.add_argument("--href", required=True, help="of the COG: a path, http(s):// or s3://bucket/key")
    one.add_argument("--model", default=str(ROOT / "models" / "ftw-two-dates.tilth"))
    one.add_argument("--endpoint", help="of the S3 server; its keys come from TILTH_FTW_KEY and TILTH_FTW_SECRET")
    one.add_argument("--region", default="us-east-1")
    args = parser.parse_args()
    source = args.data / SOURCE
    if args.step != "layer" and not source.exists():
        print(f"skipped: {source} is absent", file=sys.stderr)
        sys.exit(77)
    if args.step == "cog":
        write_cog(source, args.out)
    elif args.step == "train":
        sys.exit(not train(source, args.out))
    else:
        s3 = args.endpoint and {"endpoint": args.endpoint, "region": args.region, "path_style": True,
                                "access_key": {"env": "TILTH_FTW_KEY"}, "secret_key": {"env": "TILTH_FTW_SECRET"}}
        args.out.write_text(json.dumps(layer(args.href, args.model, s3), indent=2) + "\n")


if __name__ == "__main__":
    main()
