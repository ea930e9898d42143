#!/usr/bin/env python3
"""Writes feature_golden.h: expressions, inputs and what numpy makes of them, as bits.

Every operation is numpy's on float32 arrays; ln and exp are those of float64 rounded to float32
(docs/features.md says why). Run: make_feature_golden.py > feature_golden.h
"""
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


def bits(array):
    words = ["0x%08x" % w for w in np.asarray(array, F).view(np.uint32)]
    return ",\n     ".join(", ".join(words[i:i + 8]) for i in range(0, len(words), 8))


def main():
    np.seterr(all="ignore")
    print("/* Written by make_feature_golden.py. */")
    print("/* clang-format off */")
    print("#define GOLDEN_ROWS %d" % len(A))
    print("static const uint32_t golden_a[GOLDEN_ROWS] =\n    {%s};" % bits(A))
    print("static const uint32_t golden_b[GOLDEN_ROWS] =\n    {%s};" % bits(B))
    print("static const struct golden {\n    const char *text;\n    uint32_t expected[GOLDEN_ROWS];\n} golden[] = {")
    for text, function in CASES:
        result = function(A, B)
        assert result.dtype == F, text
        print('    {"%s",\n    {%s}},' % (text, bits(result)))
    print("};")


main()
