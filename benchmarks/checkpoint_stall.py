"""How long training stands still for a checkpoint, in the background and in the foreground.

    python benchmarks/checkpoint_stall.py [--mebibytes 256] [--repeat 7]

Weights, average and the optimizer's two moments are equal parts of the size given. Prints a table;
a stall of at most 100 ms per 256 MiB is asked for.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from demist.runs import checkpoint
from demist.runs.checkpoint import Checkpoint
from demist.training.background_saver import BackgroundSaver


def state(mebibytes):
    """So much in 64 tensors, a quarter weights, a quarter average, half moments."""
    numbers = mebibytes * 2**20 // 4 // 64
    count = {"weights": 16, "ema": 16, "optimizer": 32}
    return {
        part: {f"layer-{i:02d}": torch.randn(numbers) for i in range(n)}
        for part, n in count.items()
    }


def seconds(action):
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mebibytes", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=7)
    args = parser.parse_args()
    parts = state(args.mebibytes)
    with tempfile.TemporaryDirectory() as folder:
        saver = BackgroundSaver(Path(folder), 2, print)
        prepare = seconds(lambda: saver.prepare(parts))
        stalls, writes, blocking = [], [], []
        for step in range(1, args.repeat + 1):
            live = Checkpoint(step, parts, {})
            stalls.append(seconds(lambda live=live: saver.save(live)))
            writes.append(seconds(saver.wait))
        for step in range(100, 103):
            live = Checkpoint(step, parts, {})
            blocking.append(seconds(lambda live=live: checkpoint.save(Path(folder), live)))
    print(f"{args.mebibytes} MiB, torch threads: {torch.get_num_threads()}")
    rows = {
        "stall of a save in the background": stalls,
        "the write itself, meanwhile": writes,
        "a save in the foreground": blocking,
        "buffers, once": [prepare],
    }
    for name, values in rows.items():
        middle, most = statistics.median(values), max(values)
        print(f"{name:36s} median {1e3 * middle:7.0f} ms   longest {1e3 * most:7.0f} ms")


if __name__ == "__main__":
    main()
