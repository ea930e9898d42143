"""What people and nature made of the land: farms, fields, villages, a town, roads, woods, wet valleys.

land = Land(size, seed); land.window(r0, c0, h, w) -> Cover: a palette index for every pixel and, for
every palette entry, the kind of land and where within the kind it lies. Windows agree where they overlap.
"""
import functools
from dataclasses import dataclass

import numpy as np

from demo_terrain import Drainage, Noise, height, line_distance, upsample

KINDS = ["water", "forest", "woodland", "shrub", "grass", "wetland", "bare", "built", "garden", "road", "track",
         "crop_summer", "crop_irrigated", "crop_small", "fallow"]
K = {name: i for i, name in enumerate(KINDS)}
LATENT = 24        # numbers that tell two parcels of a kind apart
DISTRICT = 420     # px between the middles of districts
CANVAS = 1152      # px of the square on which a district's fields are laid out, before it is turned
BEND = 14          # px by which borders and streams are bent


@dataclass
class Cover:
    index: np.ndarray   # int32 [h, w] into the palette
    kind: np.ndarray    # uint8 [palette]
    latent: np.ndarray  # float32 [palette, LATENT], standard normal; 0 for natural land
    slope: np.ndarray   # float32 [h, w], per cent
    shade: np.ndarray   # float32 [h, w], -1..1: how much a slope turns to the morning sun in the north-east


def split(rng, box, least, most, ragged=0.25):
    """Cuts a rectangle (r0, c0, r1, c1) again and again until sides are below `most`."""
    done, todo = [], [box]
    while todo:
        r0, c0, r1, c1 = todo.pop()
        h, w = r1 - r0, c1 - c0
        across = h * rng.uniform(0.75, 1.33) > w
        side = h if across else w
        if side <= most or side < 2 * least:
            done.append((r0, c0, r1, c1))
            continue
        cut = int(np.clip(side * rng.uniform(0.5 - ragged, 0.5 + ragged), least, side - least))
        todo += [(r0, c0, r0 + cut, c1), (r0 + cut, c0, r1, c1)] if across else \
                [(r0, c0, r1, c0 + cut), (r0, c0 + cut, r1, c1)]
    return done


class Canvas:
    """Parcels of one district in its own turned frame. Parcel 0 is natural land."""

    def __init__(self, size=CANVAS):
        self.parcel, self.kinds = np.zeros((size, size), np.uint16), [K["grass"]]

    def add(self, kind):
        self.kinds.append(kind)
        return len(self.kinds) - 1

    def paint(self, box, kind, margin=0):
        r0, c0, r1, c1 = box
        self.parcel[r0 + margin:r1 - margin, c0 + margin:c1 - margin] = self.add(kind)

    def pivot(self, box, kind):
        """The circle that a sprinkler arm waters; its corners stay as they are."""
        r0, c0, r1, c1 = box
        radius = min(r1 - r0, c1 - c0) / 2 - 1
        y, x = np.ogrid[r0:r1, c0:c1]
        inside = (y - (r0 + r1 - 1) / 2) ** 2 + (x - (c0 + c1 - 1) / 2) ** 2 < radius ** 2
        self.parcel[r0:r1, c0:c1][inside] = self.add(kind)


def commercial(rng, canvas):
    """Big farms: blocks of arable land cut into fields of 5 to 40 ha, pivots among them, a farmstead each."""
    for farm in split(rng, (0, 0, CANVAS, CANVAS), 110, 230):
        if rng.random() > 0.62:
            continue
        for field in split(rng, farm, 26, rng.integers(44, 84)):
            draw, kind = rng.random(), K["crop_irrigated" if rng.random() < 0.16 else "crop_summer"]
            square = min(field[2] - field[0], field[3] - field[1]) / max(field[2] - field[0], field[3] - field[1])
            if draw < 0.22 and square > 0.72:
                canvas.pivot(field, K["crop_irrigated"])
            elif draw < 0.84:
                canvas.paint(field, kind, 1)
            elif draw < 0.93:
                canvas.paint(field, K["fallow"], 1)
        r, c = farm[0] + 3 + rng.integers(8), farm[1] + 3 + rng.integers(8)
        canvas.paint((r, c, r + 9, c + 12), K["garden"])
        canvas.paint((r + 2, c + 2, r + 4, c + 5), K["built"])
        canvas.paint((r + 5, c + 7, r + 8, c + 9), K["built"])


def smallholder(rng, canvas):
    """Communal land: arable patches of many narrow fields, grazing between, homesteads in a line."""
    for patch in split(rng, (0, 0, CANVAS, CANVAS), 50, 150, 0.3):
        if rng.random() > 0.66:
            continue
        for field in split(rng, patch, 5, rng.integers(11, 20), 0.3):
            if rng.random() < 0.74:
                canvas.paint(field, K["crop_small"])
            elif rng.random() < 0.5:
                canvas.paint(field, K["fallow"])
        row = patch[0] + rng.integers(2, 6)
        for col in range(patch[1] + 2, patch[3] - 3, 7):
            if rng.random() < 0.6:
                r = row + rng.integers(0, 3)
                canvas.paint((r, col, r + 3, col + 3), K["bare"])
                canvas.paint((r, col, r + 1 + rng.integers(2), col + 2), K["built"])


def ranch(rng, canvas):
    """Grazing and woodland: paddocks told apart by how much grass is left, a few fields."""
    for paddock in split(rng, (0, 0, CANVAS, CANVAS), 120, 320):
        draw = rng.random()
        if draw < 0.1:
            for field in split(rng, paddock, 30, 70)[:3]:
                canvas.paint(field, K["crop_summer"], 1)
        elif draw < 0.3:
            canvas.paint(paddock, K["grass"], 1)


def town(rng, canvas):
    """Streets and lots: a centre of big roofs, then dense suburbs, then gardens with a house in each."""
    middle = CANVAS / 2
    for block in split(rng, (0, 0, CANVAS, CANVAS), 9, 24, 0.2):
        r0, c0, r1, c1 = block
        far = np.hypot((r0 + r1) / 2 - middle, (c0 + c1) / 2 - middle) / 440
        canvas.parcel[r0:r1, c0:c1] = 1  # the street
        inner, draw = canvas.parcel[r0 + 1:r1, c0 + 1:c1], rng.random()
        if draw < 0.06:
            inner[:] = canvas.add(K["grass" if draw < 0.03 else "garden"])
        elif far < 0.16 or (draw < 0.2 and far < 0.6):
            inner[:] = canvas.add(K["built"])
        else:
            lots = np.add.outer(np.arange(inner.shape[0]) // 2 * 7, np.arange(inner.shape[1]) // 3)
            share = 0.72 - 0.45 * min(far, 1) * (0.4 + rng.random())
            choice = [canvas.add(K[kind]) for kind in ("built", "built", "garden", "garden")]
            odds = np.repeat([share / 2, (1 - share) / 2], 2)
            inner[:] = rng.choice(choice, lots.max() + 1, p=odds)[lots]


LAYOUTS = [commercial, smallholder, ranch, town]
COMMERCIAL, SMALLHOLDER, RANCH, TOWN = range(4)


class Land:
    def __init__(self, size, seed=1):
        self.size, self.seed = size, seed
        self.noise = Noise(seed)
        self.drainage = Drainage(self.noise, size, seed)
        rng = np.random.default_rng([seed, 3])
        self.radius = min(430.0, 0.2 * size)
        self.towns = self._towns(rng)
        self.roads, self.road_width = self._roads(rng)
        self.laid_out = functools.lru_cache(maxsize=48)(self._lay_out)

    def _towns(self, rng):
        """[x, y, radius]: one in the middle of the west, the others where main roads lead."""
        s = self.size
        places = [(0.42 * s, 0.46 * s, self.radius)]
        for i, angle in enumerate(np.array([0.35, 1.5, 2.9, 4.2, 5.3]) + rng.uniform(-0.2, 0.2, 5)):
            far = s * (0.3 + 0.07 * (i % 3))
            places.append((places[0][0] + far * np.cos(angle), places[0][1] + far * np.sin(angle),
                           self.radius * rng.uniform(0.12, 0.24)))
        return places

    def _bent_line(self, rng, a, b, sway):
        """Points from a to b, a midpoint displacement."""
        points = [np.array(a, float), np.array(b, float)]
        while np.hypot(*(points[1] - points[0])) > 40:
            next_points = [points[0]]
            for p, q in zip(points, points[1:]):
                along = q - p
                next_points += [(p + q) / 2 + rng.normal(0, sway) * np.array([-along[1], along[0]]), q]
            points, sway = next_points, sway * 0.62
        return points

    def _roads(self, rng):
        lines, widths = [], []

        def add(a, b, width, sway):
            points = self._bent_line(rng, a, b, sway)
            lines.extend(np.concatenate((p, q)) for p, q in zip(points, points[1:]))
            widths.extend([width] * (len(points) - 1))
        centre = self.towns[0][:2]
        for i, (x, y, _) in enumerate(self.towns[1:]):
            add(centre, (x, y), 1.3, 0.07)
            out = np.array([x - centre[0], y - centre[1]])
            add((x, y), (x, y) + out / np.hypot(*out) * 0.7 * self.size, 1.1, 0.07)
            add((x, y), self.towns[1 + (i + 1) % (len(self.towns) - 1)][:2], 0.8, 0.09)
        for _ in range(max(4, int((self.size / 700) ** 2))):
            a = rng.uniform(0, self.size, 2)
            add(a, a + rng.normal(0, 420, 2), 0.6, 0.1)
        return np.array(lines, np.float32), np.array(widths)

    def _seed_of(self, i, j):
        """Middle of district (i, j), and the generator of all that is in it."""
        rng = np.random.default_rng([self.seed, 11, i + (1 << 20), j + (1 << 20)])
        return (j + rng.uniform(0.1, 0.9)) * DISTRICT, (i + rng.uniform(0.1, 0.9)) * DISTRICT, rng

    def _lay_out(self, i, j):
        """-> (canvas, cos, sin, x, y, kinds, latent) of district (i, j); (-1, n) is town n."""
        if i == -99:
            x, y, _ = self.towns[j]
            rng, which = np.random.default_rng([self.seed, 13, j]), TOWN
        else:
            x, y, rng = self._seed_of(i, j)
            tenure = self.noise.field("tenure", 1500, [y], [x])[0, 0] + rng.normal(0, 0.25)
            wild = self.noise.field("range", 1300, [y], [x])[0, 0]
            which = RANCH if wild > 0.9 or rng.random() < 0.12 else COMMERCIAL if tenure > -0.25 else SMALLHOLDER
        canvas = Canvas()
        if which == TOWN:
            canvas.add(K["road"])
        angle = rng.uniform(0, np.pi / 2)
        LAYOUTS[which](rng, canvas)
        latent = rng.standard_normal((len(canvas.kinds), LATENT), np.float32)
        return canvas.parcel, np.cos(angle), np.sin(angle), x, y, np.array(canvas.kinds, np.uint8), latent

    def window(self, r0, c0, h, w):
        rows, cols = np.arange(r0, r0 + h), np.arange(c0, c0 + w)
        scene = Window(self, rows, cols)
        scene.natural()
        scene.farms()
        scene.valleys()
        scene.town()
        scene.roads()
        scene.reservoirs()
        return Cover(scene.index, np.array(scene.kinds, np.uint8), np.concatenate(scene.latents), scene.slope,
                     scene.shade)


class Window:
    """One window while it is put together, from what lies below to what lies on top."""

    def __init__(self, land, rows, cols):
        self.land, self.rows, self.cols = land, rows, cols
        n = land.noise
        self.x = cols[None, :] + BEND * n.fractal("bend x", (90, 40), rows, cols)
        self.y = rows[:, None] + BEND * n.fractal("bend y", (90, 40), rows, cols)
        self.fine = n.fractal("fine", (14, 7, 4), rows, cols, 0.7)
        self.kinds = list(range(len(KINDS)))  # the first entries: one of each kind, without a parcel
        self.latents = [np.zeros((len(KINDS), LATENT), np.float32)]
        z = height(n, np.append(rows, rows[-1] + 1), np.append(cols, cols[-1] + 1))
        south, east = np.diff(z, axis=0)[:, :-1], np.diff(z, axis=1)[:-1]
        self.slope, self.shade = 10 * np.hypot(south, east), np.tanh(0.5 * (south - east))

    def natural(self):
        """Miombo woodland, bush and grass, by a field that is thick on hills."""
        n = self.land.noise
        trees = n.fractal("trees", (400, 160, 60, 24, 10), self.rows, self.cols, 0.75) + 0.06 * (self.slope - 6)
        kind = np.full(trees.shape, K["grass"], np.int32)
        kind[trees > -0.35] = K["shrub"]
        kind[trees > 0.25] = K["woodland"]
        kind[(trees > 1.3) & (self.slope > 8)] = K["forest"]
        self.index, self.trees = kind, trees

    def _near(self):
        """Index pairs of districts that may reach into the window."""
        reach = DISTRICT * 1.6
        i = range(int((self.rows[0] - reach) // DISTRICT), int((self.rows[-1] + reach) // DISTRICT) + 1)
        j = range(int((self.cols[0] - reach) // DISTRICT), int((self.cols[-1] + reach) // DISTRICT) + 1)
        return [(a, b) for a in i for b in j]

    def _lay(self, key, where):
        """Puts a district's parcels on the pixels `where`, in its turned frame."""
        parcel, cos, sin, x, y, kinds, latent = self.land.laid_out(*key)
        r, c = np.nonzero(where)
        dx, dy = self.cols[c] - x, self.rows[r] - y
        u = np.floor(cos * dx + sin * dy + CANVAS / 2).astype(np.int32) % CANVAS
        v = np.floor(cos * dy - sin * dx + CANVAS / 2).astype(np.int32) % CANVAS
        local = parcel[v, u].astype(np.int32)
        on = local > 0
        self.index[r[on], c[on]] = local[on] + len(self.kinds)
        self.kinds.extend(kinds)
        self.latents.append(latent)

    def farms(self):
        """Voronoi districts, each with its own fields; a track runs along the borders."""
        keys = self._near()
        middles = np.array([self.land._seed_of(*k)[:2] for k in keys], np.float32)
        first, second = (np.full(self.index.shape, np.inf, np.float32) for _ in range(2))
        owner = np.zeros(self.index.shape, np.int32)
        for k, (x, y) in enumerate(middles):
            d = np.hypot(self.x - x, self.y - y)
            closer = d < first
            second = np.where(closer, first, np.minimum(second, d))
            owner[closer] = k
            np.minimum(first, d, out=first)
        for k in np.unique(owner):
            self._lay(keys[k], owner == k)
        steep = self.slope + 4 * self.fine > 16
        self.index[steep] = K["woodland"]
        self.index[(second - first < 1.6)] = K["track"]

    def valleys(self):
        """Dambos along the heads of streams; further down water between riparian trees."""
        d = self.land.drainage
        reach, s = 70, d.segments
        near = np.ones(len(s), bool)
        for axis, coords in ((0, self.cols), (1, self.rows)):
            a, b = s[:, axis], s[:, axis + 2]
            near &= (np.maximum(a, b) > coords[0] - reach) & (np.minimum(a, b) < coords[-1] + reach)
        s, km2 = s[near], d.drained[near]
        valley, trees, water = (np.full(self.index.shape, 9, np.float32) for _ in range(3))
        dambo = np.minimum(2.5 + 4.5 * np.sqrt(km2), 16)
        wood = np.where(km2 > 5, np.minimum(1.6 + 1.1 * np.sqrt(km2), 13), 0)
        river = np.where(km2 > 14, np.minimum(0.35 + 0.16 * np.sqrt(km2), 4.5), 0)
        line_distance(self.x, self.y, s, (dambo, wood, river), (valley, trees, water), 16 + 3 * BEND)
        wet = valley * (1 + 0.22 * self.fine)
        self.index[wet < 1] = K["grass"]
        self.index[wet < 0.55] = K["wetland"]
        self.index[trees * (1 + 0.35 * self.fine) < 1] = K["forest"]
        self.index[water < 1] = K["water"]

    def reservoirs(self):
        d = self.land.drainage
        depth = upsample(d.depth, self.rows, self.cols, d.cell) + 0.8 * self.fine
        self.index[(depth > -1.2) & (depth <= 0)] = K["wetland"]
        self.index[depth > 0] = K["water"]

    def town(self):
        rough = 0.4 * np.tanh(self.land.noise.fractal("town", (140, 60, 25), self.rows, self.cols))
        wet = self.index == K["water"]
        for number, (x, y, radius) in enumerate(self.land.towns):
            inside = np.hypot(self.cols[None, :] - x, self.rows[:, None] - y) / radius < 1 + rough
            if inside.any():
                self._lay((-99, number), inside & ~wet & (self.index != K["forest"]))

    def roads(self):
        width = self.land.road_width
        s = self.land.roads
        far = np.full(self.index.shape, 9, np.float32)
        dirt = far.copy()
        y, x = (a.astype(np.float32) for a in np.meshgrid(self.rows, self.cols, indexing="ij"))
        line_distance(x, y, s, (np.where(width > 0.7, width, 0), np.where(width <= 0.7, 0.7, 0)), (far, dirt), 4)
        self.index[dirt < 1] = K["track"]
        self.index[far < 1] = K["road"]
