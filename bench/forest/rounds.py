"""Alternating rounds: every engine is a process, has its turn in each round, and its labels are compared."""
import json
import pathlib
import statistics
import subprocess

import numpy as np


class Failed(RuntimeError):
    pass


class Worker:
    """One process that holds one model: bench_bands or engines.py. `wanted`: the file of a tile that it reads."""

    def __init__(self, name, argv, wanted, pixels=None, env=None):
        self.name, self.wanted, self.limit, self.pixels = name, wanted, pixels, 0
        self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=env)
        self.loaded = self._reply()

    def _reply(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.name}, which ended with {self.process.wait()}")
        return json.loads(line)

    def _ask(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self._reply()

    def tile(self, folder, pixels):
        self.pixels = min(pixels, self.limit or pixels)
        self._ask(f"tile {folder / self.wanted} {self.pixels}")

    def run(self, folder):
        """-> ns of CPU per pixel, labels, the library's setting."""
        path = folder / f"{self.name}.labels"
        reply = self._ask(f"run {path}")
        return reply["ns"] / self.pixels, np.fromfile(path, np.uint8), reply.get("setting", "")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def write_tile(scene, planes, folder):
    """The bands for tilth, the matrix for the libraries."""
    with open(folder / "tile.bands", "wb") as file:
        for plane in planes:
            plane.tofile(file)
    scene.matrix(planes).tofile(folder / "tile.rows")
    return len(planes[0])


def write_bands(scene, path):
    lines = [f"band {name} {dtype}" for name, dtype in scene.bands] + [f"feature {text}" for text in scene.features]
    path.write_text("\n".join(lines) + "\n")
    return path


def count_wrong(labels, reference):
    """Of the pixels that both have classified. Fewer is for slow peers; none at all is not a comparison."""
    count = min(len(labels), len(reference))
    if count == 0:
        raise Failed("nothing was classified")
    return int((labels[:count] != reference[:count]).sum())


def alternate(workers, folder, rounds):
    """-> {name: {"best", "median" in ns per pixel, "wrong", "setting"}}; workers[1] is the reference."""
    ns, labels, setting = {w.name: [] for w in workers}, {}, {}
    for _ in range(rounds):
        for worker in workers:
            spent, found, setting[worker.name] = worker.run(folder)
            if worker.name in labels and count_wrong(found, labels[worker.name]):
                raise Failed(f"{worker.name} gives other labels in another round")
            ns[worker.name].append(spent)
            labels[worker.name] = found
    truth = labels[workers[1].name]
    return {w.name: {"best": min(ns[w.name]), "median": statistics.median(ns[w.name]), "pixels": w.pixels,
                     "wrong": count_wrong(labels[w.name], truth), "setting": setting[w.name]} for w in workers}


def per_doubling(xs, costs):
    """How much the cost grows where x doubles, between neighbouring points: 2 is linear."""
    pairs = zip(xs, xs[1:], costs, costs[1:])
    return [float((c2 / c1) ** (1 / np.log2(x2 / x1))) for x1, x2, c1, c2 in pairs]
