"""The lie of a made-up land: smooth noise, height, and the streams that the height makes.

Everything is a function of the seed and of pixel coordinates, so that a scene of any size is painted
window by window. Units: pixels of 10 m; heights in metres.
"""
import heapq

import numpy as np

LATTICE = 1024  # nodes of one period of a noise; beyond it the noise repeats


def spline_weights(coords, cell, nodes):
    """Dense [coords, used nodes] matrix of quadratic B-splines, and which nodes (modulo the period)."""
    u = (np.asarray(coords, np.float64) + 0.5) / cell
    base = np.floor(u).astype(np.int64)
    t, first = u - base, int(base.min()) - 1
    weights = np.zeros((len(u), int(base.max()) - first + 2), np.float32)
    rows = np.arange(len(u))
    weights[rows, base - 1 - first] = (1 - t) ** 2 / 2
    weights[rows, base - first] = 0.5 + t * (1 - t)
    weights[rows, base + 1 - first] = t ** 2 / 2
    return weights, (first + np.arange(weights.shape[1])) % nodes


def upsample(grid, rows, cols, cell):
    """A coarse grid (node (0, 0) covers pixels 0..cell) at pixel coordinates; smooth, clamped at its edge."""
    up, at = [], []
    for coords, nodes in ((rows, grid.shape[0]), (cols, grid.shape[1])):
        weights, which = spline_weights(np.asarray(coords), cell, 1 << 40)
        which = np.where(which > 1 << 39, 0, np.minimum(which, nodes - 1))
        up.append(weights)
        at.append(which)
    return up[0] @ grid[np.ix_(*at)].astype(np.float32) @ up[1].T


class Noise:
    """Smooth fields of mean 0 and variance 1; `name` tells fields of one cell size apart."""

    def __init__(self, seed):
        self.seed, self.lattices = seed, {}

    def field(self, name, cell, rows, cols):
        """float32 [rows, cols] at pixel coordinates `rows` x `cols`; features are about `cell` pixels wide."""
        key = (name, cell)
        if key not in self.lattices:
            rng = np.random.default_rng([self.seed, cell, *name.encode()])
            self.lattices[key] = rng.standard_normal((LATTICE, LATTICE), np.float32)
        (wr, r), (wc, c) = (spline_weights(x, cell, LATTICE) for x in (rows, cols))
        return wr @ self.lattices[key][np.ix_(r, c)] @ wc.T / np.float32(0.55)

    def fractal(self, name, cells, rows, cols, falloff=0.5):
        """Octaves of halving weight, still about variance 1."""
        weights = falloff ** np.arange(len(cells))
        total = sum(w * self.field(name, c, rows, cols) for w, c in zip(weights, cells))
        return total / np.float32(np.sqrt((weights ** 2).sum()))


def height(noise, rows, cols):
    """A plateau with ranges of hills where a slow field is high."""
    plain = sum(a * noise.field("plain", c, rows, cols)
                for c, a in ((1800, 70), (900, 45), (450, 24), (220, 11), (110, 5), (56, 2)))
    where = np.clip(noise.field("range", 1300, rows, cols) - 0.75, 0, 1.2)
    ridges = sum(a * (1 - np.abs(noise.field("ridge", c, rows, cols))) for c, a in ((240, 90), (120, 45), (56, 18)))
    return 1450 + plain + where * np.maximum(ridges, 0)


def flood(z):
    """(Receiver of every cell, cells from the outlets up): lowest ground first, so that a way out of a hollow
    follows its floor and is carved through its lowest rim. Outlets at the edge receive themselves."""
    n, m = z.shape
    receiver, seen, order = np.arange(n * m), np.zeros(n * m, bool), []
    edge = [r * m + c for r in range(n) for c in range(m) if r in (0, n - 1) or c in (0, m - 1)]
    level = z.ravel().tolist()
    heap = [(level[i], i) for i in edge]
    heapq.heapify(heap)
    seen[edge] = True
    while heap:
        _, i = heapq.heappop(heap)
        order.append(i)
        r, c = divmod(i, m)
        for rr, cc in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1),
                       (r - 1, c - 1), (r - 1, c + 1), (r + 1, c - 1), (r + 1, c + 1)):
            j = rr * m + cc
            if 0 <= rr < n and 0 <= cc < m and not seen[j]:
                seen[j], receiver[j] = True, i
                heapq.heappush(heap, (level[j], j))
    return receiver, np.array(order)


class Drainage:
    """Streams as segments [x0, y0, x1, y1] with the area they drain (km2), and reservoirs as depth."""

    def __init__(self, noise, size, seed):
        self.cell = 16 * -(-size // 8192)
        n = -(-size // self.cell)
        centre = (np.arange(n) + 0.5) * self.cell
        self.z = height(noise, centre, centre)
        rng = np.random.default_rng([seed, 7])
        receiver, order = flood(self.z + rng.normal(0, 0.8, self.z.shape))
        area = np.full(n * n, (self.cell * 0.01) ** 2)
        for i in order[::-1]:
            if receiver[i] != i:
                area[receiver[i]] += area[i]
        self.receiver, self.area, self.order = receiver, area, order
        self.points = self._points(rng, centre)
        self.segments, self.drained = self._segments()
        self.depth = self._reservoirs(rng)

    def _points(self, rng, centre):
        n = len(centre)
        x, y = np.meshgrid(centre, centre)
        p = np.stack((x.ravel(), y.ravel()), 1) + rng.uniform(-0.35, 0.35, (n * n, 2)) * self.cell
        main = np.arange(n * n)  # the donor that brings most water
        for i in self.order[::-1]:
            j = self.receiver[i]
            if j != i and (main[j] == j or self.area[i] > self.area[main[j]]):
                main[j] = i
        for _ in range(3):
            p = 0.5 * p + 0.25 * p[self.receiver] + 0.25 * p[main]
        return p

    def _segments(self, least=0.5):
        own = np.flatnonzero((self.area > least) & (self.receiver != np.arange(len(self.receiver))))
        ends = np.concatenate((self.points[own], self.points[self.receiver[own]]), 1)
        return ends.astype(np.float32), self.area[own]

    def _reservoirs(self, rng, most=260):
        """Depth of water on the coarse grid, negative where there is none: dams of up to `most` cells."""
        n, z = len(self.z), self.z.ravel()
        depth = np.full(n * n, -12.0)
        donors = {}
        for i, j in enumerate(self.receiver):
            donors.setdefault(int(j), []).append(i)
        at = np.flatnonzero((self.area > 8) & (self.area < 300))
        for dam in rng.permutation(at)[:max(1, n * n // 3500)]:
            rise = rng.uniform(4, 11)
            lake = self._lake(donors, int(dam), z[dam] + rise, most)
            while len(lake) >= most:
                rise *= 0.7
                lake = self._lake(donors, int(dam), z[dam] + rise, most)
            for i in lake:
                r, c = divmod(i, n)
                for j in (rr * n + cc for rr in range(max(r - 1, 0), min(r + 2, n))
                          for cc in range(max(c - 1, 0), min(c + 2, n))):
                    here = z[dam] + rise - z[j]
                    depth[j] = max(depth[j], here if j in lake else min(here, -1.5))
        return depth.reshape(n, n)

    def _lake(self, donors, dam, level, most):
        """The cells above a dam that lie below its level."""
        z, lake, edge = self.z.ravel(), {dam}, [dam]
        while edge and len(lake) < most:
            for j in donors.get(edge.pop(), []):
                if j not in lake and z[j] < level:
                    lake.add(j)
                    edge.append(j)
        return lake


def line_distance(x, y, segments, widths, outs, reach):
    """outs[k] = min(outs[k], distance / widths[k][segment]) over a window; pixels further than `reach` are left.

    `x`, `y`: coordinates of the window's pixels (they may be bent); a segment touches its own box only.
    """
    for s, (x0, y0, x1, y1) in enumerate(segments):
        box = _box(x, y, (x0, y0, x1, y1), reach)
        if box is None:
            continue
        px, py = x[box] - x0, y[box] - y0
        dx, dy = x1 - x0, y1 - y0
        t = np.clip((px * dx + py * dy) / max(dx * dx + dy * dy, 1e-6), 0, 1)
        d = np.hypot(px - t * dx, py - t * dy)
        for width, out in zip(widths, outs):
            if width[s] > 0:
                np.minimum(out[box], d / width[s], out=out[box])


def _box(x, y, ends, reach):
    """The window's slice around a segment. Rows and columns follow y and x but for a bend below `reach`."""
    left, top = x[0, 0], y[0, 0]
    c0, c1 = (int(f(ends[0], ends[2]) - left) for f in (min, max))
    r0, r1 = (int(f(ends[1], ends[3]) - top) for f in (min, max))
    rows = slice(max(r0 - reach, 0), min(r1 + reach, len(x)))
    cols = slice(max(c0 - reach, 0), min(c1 + reach, x.shape[1]))
    return (rows, cols) if rows.start < rows.stop and cols.start < cols.stop else None
