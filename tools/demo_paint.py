"""Pixel values for a land: what two half years of Sentinel-2 and their variability would show of it.

A parcel is drawn from the statistics of its kind (tools/scene_statistics.json: a multivariate normal of
log reflectances and of -ln of the deviations), then gets texture along the kind's own main axes, a point
spread of one pixel and a little noise.
"""
import json
import pathlib

import numpy as np

from demo_land import KINDS, LATENT

STATISTICS = pathlib.Path(__file__).with_name("scene_statistics.json")
NOISE = 1 << 22      # prepared normals that all pixels draw from, at random offsets
AXES = 3             # main axes of a kind that texture moves along
MARGIN = 2           # px around a window that the point spread needs
# Kinds of land that the table has no rule for: mixtures of those that it has.
LIKE = {"garden": (("built", 0.45), ("forest", 0.55)), "road": (("built", 1.0),),
        "track": (("bare", 0.7), ("grass", 0.3)), "fallow": (("grass", 0.65), ("bare", 0.35))}
NATURAL = {"water", "forest", "woodland", "shrub", "grass", "wetland", "bare", "road", "track"}
PARCEL = {"parcel": 0.6, "built": 0.4, "garden": 0.35}  # standard deviations that parcels of a kind differ by
TEXTURE = {"natural": 0.75, "parcel": 0.2, "water": 0.06, "road": 0.2, "track": 0.3}  # and pixels within one
RELIEF = 0.16        # log reflectance between a slope in the light and one in the shade
# What a land-cover product from single dates calls each kind (Dynamic World values), and how often it errs.
BASELINE = {"water": 0, "forest": 1, "woodland": 1, "shrub": 5, "grass": 2, "wetland": 3, "bare": 7, "built": 6,
            "garden": 6, "road": 6, "track": 5, "crop_summer": 4, "crop_irrigated": 4, "crop_small": 4, "fallow": 2}
MISTAKES = {"crop_small": (0.3, 5), "crop_summer": (0.05, 2), "fallow": (0.3, 4), "garden": (0.35, 1),
            "grass": (0.1, 5)}


class Painter:
    def __init__(self, seed):
        document = json.loads(STATISTICS.read_text())
        self.variables, self.seed = document["variables"], seed
        self.mean, self.factor, self.low, self.high = self._kinds(document["kinds"])
        u, s, _ = np.linalg.svd(self.factor)
        self.axes = (u[:, :, :AXES] * s[:, None, :AXES]).transpose(0, 2, 1).astype(np.float32)
        self.texture = np.array([TEXTURE.get(k, TEXTURE["natural" if k in NATURAL else "parcel"]) for k in KINDS], np.float32)
        self.normals = np.random.default_rng([seed, 5]).standard_normal(NOISE, np.float32)

    @staticmethod
    def _kinds(kinds):
        n, parts = LATENT, ([], [], [], [])
        for name in KINDS:
            mix = LIKE.get(name, ((name, 1.0),))
            factor = np.zeros((n, n))
            for i, row in enumerate(kinds[mix[0][0]]["cholesky"]):
                factor[i, :len(row)] = row
            parts[1].append(factor)
            for part, key in ((0, "mean"), (2, "low"), (3, "high")):
                parts[part].append(sum(share * np.array(kinds[k][key]) for k, share in mix))
        return [np.array(p, np.float32) for p in parts]

    def parcels(self, cover):
        """[palette, variables] before texture, kept inside what is usual for the kind."""
        k = cover.kind
        drawn = np.zeros_like(cover.latent)
        for kind in np.unique(k):
            share = PARCEL.get(KINDS[kind], PARCEL["parcel"])
            drawn[k == kind] = share * cover.latent[k == kind] @ self.factor[kind].T
        return np.clip(self.mean[k] + drawn, self.low[k], self.high[k]).astype(np.float32)

    def _speckle(self, rng, shape, count):
        for _ in range(count):
            at = int(rng.integers(NOISE - shape[0] * shape[1]))
            yield self.normals[at:at + shape[0] * shape[1]].reshape(shape)

    def window(self, land, r0, c0, h, w):
        """-> (cover, {variable: float32 [h, w] in the table's units}, slope)."""
        m = MARGIN
        cover = land.window(r0 - m, c0 - m, h + 2 * m, w + 2 * m)
        rows, cols = np.arange(r0 - m, r0 + h + m), np.arange(c0 - m, c0 + w + m)
        base, kind = self.parcels(cover), cover.kind[cover.index]
        strength = self.texture[kind]
        moves = [strength * land.noise.fractal(f"texture {a}", (60, 20, 7, 3), rows, cols, 0.85) for a in range(AXES)]
        rng, planes = np.random.default_rng([self.seed, 17, r0, c0]), {}
        speckle = self._speckle(rng, (h, w), len(self.variables))
        for v, name in enumerate(self.variables):
            plane = base[:, v][cover.index]
            for axis, move in enumerate(moves):
                plane += self.axes[:, axis, v][kind] * move
            grain = 0.02 if v % 12 < 9 else 0.04
            if v % 12 < 9:
                plane += RELIEF * cover.shade
            planes[name] = spread(plane)[m:-m, m:-m] + np.float32(grain) * next(speckle)
        inner = slice(m, -m)
        cover.index = cover.index[inner, inner]
        slope = 1.2 + 0.55 * cover.slope[inner, inner] + 0.25 * np.abs(self._one(rng, (h, w)))
        return cover, planes, slope.astype(np.float32)

    def _one(self, rng, shape):
        return next(self._speckle(rng, shape, 1))

    def baseline(self, cover):
        """uint8 Dynamic World values, with the mistakes that such products make, parcel by parcel."""
        value = np.array([BASELINE[k] for k in KINDS], np.uint8)[cover.kind]
        luck = 0.5 * (1 + np.tanh(0.8 * cover.latent[:, -1]))
        for name, (share, wrong) in MISTAKES.items():
            value[(cover.kind == KINDS.index(name)) & (luck < share) & (cover.latent[:, -1] != 0)] = wrong
        return value[cover.index]


def spread(plane):
    """A point spread of about a pixel: 1-2-1 both ways. The outermost pixels are left as they are."""
    out = plane.copy()
    out[1:-1] = 0.25 * (plane[:-2] + plane[2:]) + 0.5 * plane[1:-1]
    out[:, 1:-1] = 0.25 * (out[:, :-2] + out[:, 2:]) + 0.5 * out[:, 1:-1]
    return out
