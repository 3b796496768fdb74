"""Samples to be measured, made in buckets by one process or by several, with the same result.

A bucket is `BUCKET` samples, a pure function of (seed, its number). Nobody's result depends on who
made which bucket: they are put together in order. A bucket is a file, so workers share nothing.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demist.errors import DemistError

if TYPE_CHECKING:
    import numpy

    import demist.pipeline

BUCKET = 256
"""Samples in a bucket."""


@dataclass(frozen=True)
class Task:
    """What to sample.

    Attributes:
        run: Folder of the run.
        at_step: Checkpoint; None: the newest.
        device: Where the network runs.
        precision: Of the network: fp32 or bf16.
        settings: Arguments for `Pipeline.sample`.
        asked: Condition -> values, asked for in turn: sample i gets value i mod K; empty: nothing.
        count: Samples per seed.
        seeds: One set of samples for each.
    """

    run: str
    at_step: int | None
    device: str
    precision: str
    settings: dict[str, Any]
    asked: dict[str, list[str]]
    count: int
    seeds: tuple[int, ...]

    @property
    def jobs(self) -> list[tuple[int, int]]:
        """(seed, bucket) in order."""
        buckets = -(-self.count // BUCKET)
        return [(seed, bucket) for seed in self.seeds for bucket in range(buckets)]

    def wishes(self, rows: range) -> dict[str, Any]:
        """What the samples `rows` are asked to show, by the name of the condition."""
        return {name: [v[i % len(v)] for i in rows] for name, v in self.asked.items()}

    def make(self, pipeline: "demist.pipeline.Pipeline", seed: int, bucket: int) -> "numpy.ndarray":
        """One bucket, the last one of a set perhaps shorter."""
        import torch

        rows = range(bucket * BUCKET, min((bucket + 1) * BUCKET, self.count))
        device = next(pipeline.denoiser.parameters()).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16"):
            return pipeline.sample(
                len(rows),
                **{**self.settings, "seed": bucket_seed(seed, bucket)},
                **self.wishes(rows),
            )


def bucket_seed(seed: int, bucket: int) -> int:
    """The seed of a bucket: hashed, so that neighbours share nothing."""
    digest = hashlib.blake2b(f"{seed}/evaluate/{bucket}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")


def generate(
    task: Task, pipeline: "demist.pipeline.Pipeline", processes: int, title: str
) -> "dict[int, numpy.ndarray]":
    """The samples of every seed, with a bar.

    Args:
        task: What to sample.
        pipeline: The model that the task names; used if there is one process.
        processes: How many to share the buckets among.
        title: Of the bar.
    """
    from tqdm import tqdm

    found: dict[tuple[int, int], numpy.ndarray] = {}
    bar = tqdm(total=task.count * len(task.seeds), desc=title, unit="sample", leave=False,
               disable=not sys.stderr.isatty())  # fmt: skip
    with bar:
        made = _shared(task, processes) if processes > 1 else _alone(task, pipeline)
        for job, x in made:
            found[job] = x
            bar.update(len(x))
    return gather(found)


def gather(found: "dict[tuple[int, int], numpy.ndarray]") -> "dict[int, numpy.ndarray]":
    """Buckets, in whatever order they came, put together in the order of their numbers."""
    import numpy as np

    seeds = dict.fromkeys(seed for seed, _ in sorted(found))
    return {s: np.concatenate([found[job] for job in sorted(found) if job[0] == s]) for s in seeds}


def _alone(
    task: Task, pipeline: "demist.pipeline.Pipeline"
) -> "Iterator[tuple[tuple[int, int], numpy.ndarray]]":
    for job in task.jobs:
        yield job, task.make(pipeline, *job)


def _shared(task: Task, processes: int) -> "Iterator[tuple[tuple[int, int], numpy.ndarray]]":
    """Buckets in the order in which workers finish them.

    Raises:
        DemistError: A worker failed; the end of what it said is in the message.
    """
    import numpy as np
    import torch

    threads = str(max(1, torch.get_num_threads() // processes))
    left = set(task.jobs)
    with tempfile.TemporaryDirectory(prefix="demist-") as folder:
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "demist.commands.generating"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                text=True, env=os.environ | {"OMP_NUM_THREADS": threads},
            )
            for _ in range(processes)
        ]  # fmt: skip
        try:
            for i, worker in enumerate(workers):
                assert worker.stdin is not None
                wish = {"task": asdict(task), "jobs": task.jobs[i::processes], "folder": folder}
                with contextlib.suppress(BrokenPipeError):  # it has ended; below it is heard
                    worker.stdin.write(json.dumps(wish))
                    worker.stdin.close()
            while left:
                ended = [worker.poll() for worker in workers]
                there = [job for job in sorted(left) if _file(folder, *job).exists()]
                for job in there:
                    yield job, np.load(_file(folder, *job), allow_pickle=False)
                    _file(folder, *job).unlink()
                    left.remove(job)
                if left and not there and None not in ended:
                    raise DemistError(f"a sampling process failed: {_words(workers)}")
                time.sleep(0.0 if there else 0.05)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
                if worker.stderr is not None:
                    worker.stderr.close()


def _words(workers: Sequence[subprocess.Popen[str]]) -> str:
    """The last line that any worker wrote."""
    said = [line for w in workers if w.stderr is not None for line in w.stderr.read().splitlines()]
    return said[-1] if said else "it said nothing"


def _file(folder: str, seed: int, bucket: int) -> Path:
    return Path(folder) / f"{seed}-{bucket}.npy"


def work(wish: dict[str, Any]) -> None:
    """Make some buckets of a task and write each to a file; what a worker does."""
    import numpy as np

    from demist import files
    from demist.commands.sampling import ModelOptions

    said = wish["task"]
    task = Task(**{**said, "seeds": tuple(said["seeds"])})
    pipeline = ModelOptions(at_step=task.at_step, device=task.device).open(task.run)
    for seed, bucket in wish["jobs"]:
        x = task.make(pipeline, seed, bucket)
        with files.atomic(_file(wish["folder"], seed, bucket)) as new, new.open("wb") as file:
            np.save(file, x, allow_pickle=False)


if __name__ == "__main__":
    work(json.load(sys.stdin))
