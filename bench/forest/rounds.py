"""Alternating rounds: every engine is a process, has its turn in each round, and its labels are compared."""
import json
import pathlib
import select
import statistics
import subprocess

import numpy as np

ANSWER_S = 300  # what an engine may take for one answer


class Failed(RuntimeError):
    pass


class Worker:
    """One process that holds one model: bench_bands or engines.py. `wanted`: the file of a tile that it reads; without
    one that is `required` there is nothing to compare."""

    def __init__(self, name, argv, wanted, pixels=None, env=None, required=False):
        self.name, self.wanted, self.limit, self.pixels, self.required = name, wanted, pixels, 0, required
        self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=env)
        try:
            self.loaded = self._reply()
        except Failed:
            self.close()
            raise

    def _reply(self):
        if not select.select([self.process.stdout], [], [], ANSWER_S)[0]:
            self.process.kill()
            raise Failed(f"{self.name}, which gave no answer within {ANSWER_S} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.name}, which ended with {self.process.wait()}")
        return json.loads(line)

    def _ask(self, text):
        try:
            self.process.stdin.write(text + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.name}, which ended with {self.process.wait()}") from None
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
        """Of one that has ended, too."""
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
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


class _Runs:
    """What one engine took and gave, round by round."""

    def __init__(self):
        self.ns, self.labels, self.setting = [], None, ""

    def add(self, worker, folder):
        spent, labels, self.setting = worker.run(folder)
        if self.labels is not None and (len(labels) != len(self.labels) or count_wrong(labels, self.labels)):
            raise Failed(f"{worker.name}, which gives other labels in another round")
        self.ns.append(spent)
        self.labels = labels

    def found(self, pixels, truth):
        return {"best": min(self.ns), "median": statistics.median(self.ns), "pixels": pixels,
                "wrong": count_wrong(self.labels, truth), "setting": self.setting}


def alternate(workers, folder, pixels, rounds, reference):
    """Gives all the tile, then each its turn in each round.

    -> {name: {"best", "median" in ns per pixel, "pixels", "wrong", "setting"}}, {name of a peer that failed: how}.
    Wrong is what the worker called `reference` does not say.
    """
    runs, failed = {worker.name: _Runs() for worker in workers}, {}

    def turn(act):
        for worker in workers:
            try:
                if worker.name not in failed:
                    act(worker)
            except Failed as how:
                if worker.required:
                    raise
                failed[worker.name] = str(how)

    turn(lambda worker: worker.tile(folder, pixels))
    for _ in range(rounds):
        turn(lambda worker: runs[worker.name].add(worker, folder))
    truth = runs[reference].labels
    return {w.name: runs[w.name].found(w.pixels, truth) for w in workers if w.name not in failed}, failed
