#!/usr/bin/env python3
"""Writes feature_golden.h: expressions, inputs and what numpy makes of them, as bits.

Every operation is numpy's on float32 arrays; ln and exp are those of float64 rounded to float32
(docs/features.md says why). numpy 2 or later: before, percentiles of float32 were float64.
Run: make_feature_golden.py > feature_golden.h
"""
import warnings

import numpy as np

F = np.float32
TINY, BIG = F(1e-42), F(3e38)
A = np.array([0, 1, -1, 2.5, 10000, 1234.567, 0.1, np.nan, np.inf, -np.inf, -0.0, TINY, BIG, 3071, 7, 1e-7], F)
B = np.array([0, 3, 1, 2.5, 777, -1234.567, 0.3, 1, np.inf, 5, 0.0, TINY, BIG, 1899, np.nan, 1e7], F)


def ln(x):
    return np.log(x.astype(np.float64)).astype(F)


def exp(x):
    return np.exp(x.astype(np.float64)).astype(F)


def nd(a, b):
    return (a - b) / (a + b)


CASES = [
    ("a + b", lambda a, b: a + b),
    ("a - b - a", lambda a, b: (a - b) - a),
    ("a * b / 7", lambda a, b: a * b / F(7)),
    ("a / 10000", lambda a, b: a / F(10000)),
    ("0.1 * a + 1e-3", lambda a, b: F(0.1) * a + F(1e-3)),
    ("nd(a, b)", nd),
    ("-ln(a / 10000)", lambda a, b: -ln(a / F(10000))),
    ("exp(-a / 1000)", lambda a, b: exp(-a / F(1000))),
    ("sqrt(a * a + b * b)", lambda a, b: np.sqrt(a * a + b * b)),
    ("abs(a - b)", lambda a, b: np.abs(a - b)),
    ("min(a, b)", np.minimum),
    ("max(a, b)", np.maximum),
    ("clamp(a, -2, 1000)", lambda a, b: np.clip(a, F(-2), F(1000))),
    ("where(a > b, a, b / 2)", lambda a, b: np.where(a > b, a, b / F(2))),
    ("where(a, 1, 2)", lambda a, b: np.where(a != 0, F(1), F(2))),
    ("(a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (a != b)",
     lambda a, b: (a < b).astype(F) + F(2) * (a <= b).astype(F) + F(4) * (a == b).astype(F)
     + F(8) * (a != b).astype(F)),
    ("3.618 * 2.5 * (a - b) / (a + 6 * b - 7.5 * a + 1) - 0.118",
     lambda a, b: F(3.618) * F(2.5) * (a - b) / (a + F(6) * b - F(7.5) * a + F(1)) - F(0.118)),
]


# Statistics are of t{1..12}.v, the rows of X; indices of a source s with the bands below, which are rows, too.
STEPS, PIXELS = 12, 40
BANDS = ["blue", "green", "red", "red_edge_1", "nir", "swir_1", "swir_2"]


def series():
    draw = np.random.default_rng(7)
    x = draw.uniform(100, 6000, (STEPS, PIXELS)).astype(F)
    x[:, 8:12] = np.round(x[:, 8:12] / 2000)                    # many equal ones
    x[:, 12:16] = draw.normal(0, 1, (STEPS, 4)) * F(1e4)
    x[:, 16] = 0
    x[:, 17] = 4321.125
    x[3, 18:26] = np.nan
    x[:, 19] = np.nan
    x[5:9, 20] = np.nan
    x[0, 21] = x[11, 21] = np.nan
    x[1:, 22] = np.nan
    x[draw.random(STEPS) < 0.4, 23] = np.nan
    x[7, 26] = np.inf
    x[7, 27], x[2, 27] = np.inf, -np.inf
    x[:7, 28] = np.inf
    x[:, 29] = F(3e38)
    x[:, 30] *= F(1e-42)
    return x


X = series()


def slope(x):
    """numpy.polyfit(range(n), x, 1)[0], in float32 and in one order."""
    n = len(x)
    weights = (np.arange(n) - (n - 1) / 2).astype(F)
    return (weights[:, None] * x).sum(axis=0) / F(n * (n * n - 1) / 12)


def iqr(x):
    return np.percentile(x, 75, axis=0) - np.percentile(x, 25, axis=0)


def each(function):
    """numpy's nan functions look for float64 in some versions and sizes: pixel by pixel, what is not NaN."""
    return lambda x: np.array([function(c[~np.isnan(c)][:, None])[0] if (~np.isnan(c)).any() else F(np.nan)
                               for c in x.T], F)


def median(x):
    return np.median(x, axis=0)


def percentile(q):
    return lambda x: np.percentile(x, q, axis=0)


SERIES_CASES = [
    ("min(t{1..12}.v)", X, lambda x: x.min(axis=0)),
    ("max(t{1..12}.v)", X, lambda x: x.max(axis=0)),
    ("sum(t{1..12}.v)", X, lambda x: x.sum(axis=0)),
    ("mean(t{1..12}.v)", X, lambda x: x.mean(axis=0)),
    ("std(t{1..12}.v)", X, lambda x: x.std(axis=0)),
    ("amplitude(t{1..12}.v)", X, lambda x: np.ptp(x, axis=0)),
    ("slope(t{1..12}.v)", X, slope),
    ("count(t{1..12}.v)", X, lambda x: (~np.isnan(x)).sum(axis=0).astype(F)),
    ("median(t{1..12}.v)", X, median),
    ("median(t{2..12}.v)", X[1:], median),
    ("median(t1.v)", X[:1], median),
    ("median(t1.v, t2.v)", X[:2], median),
    ("iqr(t{1..12}.v)", X, iqr),
    *[("p%d(t{1..12}.v)" % q, X, percentile(q)) for q in (1, 5, 10, 25, 50, 75, 80, 90, 99)],
    ("percentile(0, t{1..12}.v)", X, percentile(0)),
    ("percentile(100, t{1..12}.v)", X, percentile(100)),
    ("percentile(33.3, t{1..12}.v)", X, percentile(33.3)),
    ("p90(t{1..11}.v)", X[:11], percentile(90)),
    ("p10(t{4..6}.v)", X[3:6], percentile(10)),
    ("p90(t1.v)", X[:1], percentile(90)),
    ("nanmin(t{1..12}.v)", X, lambda x: np.nanmin(x, axis=0)),
    ("nanmax(t{1..12}.v)", X, lambda x: np.nanmax(x, axis=0)),
    ("nanmean(t{1..12}.v)", X, lambda x: np.nanmean(x, axis=0)),
    ("nanmedian(t{1..12}.v)", X, each(median)),
    ("nanp10(t{1..12}.v)", X, each(percentile(10))),
    ("nanpercentile(66.6, t{1..12}.v)", X, each(percentile(66.6))),
    ("mean(abs(t{1..12}.v - t1.v) / 10000)", X, lambda x: (np.abs(x - x[0]) / F(10000)).mean(axis=0)),
    ("max(t{1..6}.v * t{7..12}.v, 7)", X,
     lambda x: np.maximum((x[:6] * x[6:]).max(axis=0), F(7))),
]

# As digitalearthafrica's calculate_indices() writes them, of reflectances of 0 to 1.
R = X[:7] / F(10000)
BLUE, GREEN, RED, EDGE, NIR, SWIR1, SWIR2 = R
INDEX_CASES = [
    ("ndvi(s)", X, lambda x: nd(x[4], x[2])),
    ("NDVI(s.nir, s.red)", X, lambda x: nd(x[4], x[2])),
    ("gndvi(s)", X, lambda x: nd(x[4], x[1])),
    ("ndre(s)", X, lambda x: nd(x[4], x[3])),
    ("ndwi(s)", X, lambda x: nd(x[1], x[4])),
    ("mndwi(s)", X, lambda x: nd(x[1], x[5])),
    ("lswi(s)", X, lambda x: nd(x[4], x[5])),
    ("ndmi(s)", X, lambda x: nd(x[4], x[5])),
    ("nbr(s)", X, lambda x: nd(x[4], x[6])),
    ("bsi(s)", X, lambda x: ((x[5] + x[2]) - (x[4] + x[0])) / ((x[5] + x[2]) + (x[4] + x[0]))),
    ("evi(s, 10000)", X, lambda x: 2.5 * ((NIR - RED) / (NIR + 6 * RED - 7.5 * BLUE + 1))),
    ("evi2(s, 10000)", X, lambda x: 2.5 * ((NIR - RED) / (NIR + 2.4 * RED + 1))),
    ("savi(s, 1e4)", X, lambda x: (1.5 * (NIR - RED)) / (NIR + RED + 0.5)),
    ("msavi(s, 10000)", X, lambda x: (2 * NIR + 1 - ((2 * NIR + 1) ** 2 - 8 * (NIR - RED)) ** 0.5) / 2),
    ("lai(s, 10000)", X,
     lambda x: 3.618 * ((2.5 * (NIR - RED)) / (NIR + (6 * RED) - (7.5 * BLUE) + 1)) - 0.118),
    ("lai(s.nir / 10000, s.red / 10000, s.blue / 10000)", X,
     lambda x: 3.618 * ((2.5 * (NIR - RED)) / (NIR + (6 * RED) - (7.5 * BLUE) + 1)) - 0.118),
    ("LAI(s.nir, s.red, s.blue)", X,
     lambda x: 3.618 * ((2.5 * (x[4] - x[2])) / (x[4] + (6 * x[2]) - (7.5 * x[0]) + 1)) - 0.118),
]


def bits(array):
    words = ["0x%08x" % w for w in np.asarray(array, F).view(np.uint32)]
    return ",\n     ".join(", ".join(words[i:i + 8]) for i in range(0, len(words), 8))


def write_cases(name, cases, pixels):
    print("static const struct {\n    const char *text;\n    uint32_t expected[%s];\n} %s[] = {" % (pixels, name))
    for text, result in cases:
        assert result.dtype == F, (text, result.dtype)
        print('    {"%s",\n    {%s}},' % (text, bits(result)))
    print("};")


def main():
    assert int(np.__version__.split(".")[0]) >= 2, np.__version__
    np.seterr(all="ignore")
    warnings.simplefilter("ignore")
    print("/* Written by make_feature_golden.py. */")
    print("/* clang-format off */")
    print("#define GOLDEN_ROWS %d" % len(A))
    print("#define GOLDEN_STEPS %d" % STEPS)
    print("#define GOLDEN_PIXELS %d" % PIXELS)
    print("static const uint32_t golden_a[GOLDEN_ROWS] =\n    {%s};" % bits(A))
    print("static const uint32_t golden_b[GOLDEN_ROWS] =\n    {%s};" % bits(B))
    print("static const char *const golden_bands[] = {%s};" % ", ".join('"%s"' % b for b in BANDS))
    print("static const uint32_t golden_x[GOLDEN_STEPS][GOLDEN_PIXELS] = {\n    {%s}};"
          % "},\n    {".join(bits(row) for row in X))
    write_cases("golden", [(text, function(A, B)) for text, function in CASES], "GOLDEN_ROWS")
    write_cases("golden_series", [(text, function(x)) for text, x, function in SERIES_CASES + INDEX_CASES],
                "GOLDEN_PIXELS")


main()
