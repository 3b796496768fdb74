"""How long training waits for pictures that stay on the disk, in tar shards.

    python benchmarks/loading.py [--sizes 28 64] [--count 2000] [--steps 60]

Digits as JPEG files of each size are packed into shards, and the default network is trained on them
as if memory held none. Prints the share of the time that steps waited for their batch (at most 5 %
is asked for), and that of the same data decoded without looking ahead.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from demist import TrainConfig, load, update
from demist.data import files_at
from demist.data.images.pack import pack
from demist.machine import memory
from demist.training.build import build
from demist.training.fit import fit


class Timed:
    """An array whose rows are handed out with a stop-watch."""

    def __init__(self, x, ahead):
        self.x, self.shape, self.waited = x, x.shape, 0.0
        if ahead:
            self.expect = x.expect

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        begun = time.perf_counter()
        rows = self.x[index]
        self.waited += time.perf_counter() - begun
        return rows


def shards(folder, size, count):
    """Digits as JPEG files in colour, packed."""
    files = folder / "files"
    files.mkdir()
    for i, picture in enumerate(load("digits", limit=count).x):
        image = Image.fromarray(picture[0]).resize((size, size)).convert("RGB")
        image.save(files / f"{i:06d}.jpg", quality=90)
    pack(files_at(str(files)), folder / "shards", 500)
    return folder / "shards"


def share_of_waiting(path, steps, ahead):
    """(Waiting, all) in seconds per step, the first five left out."""
    config = update(TrainConfig(), {"path": str(path), "steps": steps})
    held, memory.SHARE = memory.SHARE, 0.0
    experiment = build(config, load(str(path)))
    memory.SHARE = held
    x = Timed(experiment.batches.x, ahead)
    loop = fit(
        experiment.pipeline.denoiser,
        replace(experiment.batches, x=x),
        objective=experiment.objective,
        options=experiment.config.optimization,
        limits=config.limits,
    )
    for state in loop:
        if state.step == 5:
            x.waited, begun = 0.0, time.perf_counter()
    return np.array([x.waited, time.perf_counter() - begun]) / (steps - 5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 64])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    print("| pictures | a step, ms | waiting | without looking ahead |\n|---|---|---|---|")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = shards(Path(folder), size, options.count)
            rows = [share_of_waiting(path, options.steps, ahead) for ahead in (True, False)]
        percent = " | ".join(f"{100 * waited / whole:.1f} %" for waited, whole in rows)
        print(f"| {size} x {size} | {1000 * rows[0][1]:.0f} | {percent} |", flush=True)


if __name__ == "__main__":
    main()
