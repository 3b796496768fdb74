"""Samples to be measured, made in buckets by one process or by several, with the same result.

A bucket is `BUCKET` samples, a pure function of (seed, its number). Nobody's result depends on who
made which bucket: they are put together in order. A bucket is a file, so workers share nothing but
a folder, in which a later call finds what an earlier one finished.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demist.commands.shared import write_array
from demist.errors import DemistError
from demist.machine.processes import die_with_parent
from demist.version import __version__

if TYPE_CHECKING:
    import numpy

    import demist.model.pipeline

BUCKET = 256
"""Samples in a bucket."""


@dataclass(frozen=True)
class Task:
    """What to sample.

    Attributes:
        run: Folder of the run.
        sha256: Of the weights; see `weights_hash`.
        at_step: Checkpoint; None: the newest.
        device: Where the network runs.
        precision: Of the network: fp32 or bf16.
        settings: Arguments for `Pipeline.sample`.
        asked: Condition -> values, asked for in turn: sample i gets value i mod K; empty: nothing.
        count: Samples per seed.
        seeds: One set of samples for each.
    """

    run: str
    sha256: str
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

    @property
    def key(self) -> str:
        """The same for the same samples, wherever they are made."""
        facts = asdict(self)
        for name in ("run", "at_step", "device"):  # `sha256` says which model
            del facts[name]
        facts["settings"] = {k: v for k, v in self.settings.items() if k != "batch_size"}
        text = json.dumps([facts, BUCKET, __version__], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def length(self, bucket: int) -> int:
        """Samples in a bucket."""
        return min((bucket + 1) * BUCKET, self.count) - bucket * BUCKET

    def make(
        self, pipeline: "demist.model.pipeline.Pipeline", seed: int, bucket: int
    ) -> "numpy.ndarray":
        """One bucket, the last one of a set perhaps shorter."""
        import torch

        rows = range(bucket * BUCKET, bucket * BUCKET + self.length(bucket))
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
    task: Task,
    pipeline: "demist.model.pipeline.Pipeline",
    folder: Path,
    *,
    processes: int = 1,
    share: tuple[int, int] = (1, 1),
    ray: bool = False,
    title: str = "",
) -> list[tuple[int, int]]:
    """Make those buckets of a share that are not there yet, with a bar.

    Args:
        task: What to sample.
        pipeline: The model that the task names; used if there is one process.
        folder: Where buckets are and go; made if it is not there.
        processes: How many to divide the buckets among.
        share: Which buckets: (2, 3) is the second third of them.
        ray: Let Ray make them.
        title: Of the bar.

    Returns:
        The buckets of the whole task that are still missing.
    """
    from tqdm import tqdm

    from demist.model.open import gpus_of

    folder.mkdir(parents=True, exist_ok=True)
    which, shares = share
    jobs = [job for job in task.jobs[which - 1 :: shares] if not made(task, folder, job)]
    bar = tqdm(total=sum(task.length(bucket) for _, bucket in jobs), desc=title, unit="sample",
               leave=False, disable=not sys.stderr.isatty())  # fmt: skip
    with bar:
        if ray:
            done = _by_ray(task, jobs, folder, gpus=gpus_of(pipeline))
        elif processes > 1 and len(jobs) > 1:
            done = _shared(task, jobs, folder, min(processes, len(jobs)))
        else:
            done = _alone(task, jobs, folder, pipeline)
        for _, bucket in done:
            bar.update(task.length(bucket))
    return [job for job in task.jobs if not made(task, folder, job)]


def collect(
    task: Task, pipeline: "demist.model.pipeline.Pipeline", folder: Path
) -> "dict[int, numpy.ndarray]":
    """The samples of every seed; what is not in the folder is made."""
    found = {}
    for job in task.jobs:
        there = made(task, folder, job)
        found[job] = _read(folder, *job) if there else task.make(pipeline, *job)
    return gather(found)


def made(task: Task, folder: Path, job: tuple[int, int]) -> bool:
    """Whether a bucket is there, whole."""
    import numpy as np

    try:
        there = np.load(_file(folder, *job), "r", allow_pickle=False)
    except (OSError, ValueError):
        return False
    return len(there) == task.length(job[1])


def gather(found: "dict[tuple[int, int], numpy.ndarray]") -> "dict[int, numpy.ndarray]":
    """Buckets, in whatever order they came, put together in the order of their numbers."""
    import numpy as np

    seeds = dict.fromkeys(seed for seed, _ in sorted(found))
    return {s: np.concatenate([found[job] for job in sorted(found) if job[0] == s]) for s in seeds}


Jobs = Sequence[tuple[int, int]]


def _alone(
    task: Task, jobs: Jobs, folder: Path, pipeline: "demist.model.pipeline.Pipeline"
) -> Iterator[tuple[int, int]]:
    for job in jobs:
        write_array(task.make(pipeline, *job), _file(folder, *job))
        yield job


def _by_ray(task: Task, jobs: Jobs, folder: Path, gpus: int) -> Iterator[tuple[int, int]]:
    from demist.measuring import on_ray

    wishes = [{"task": asdict(task), "jobs": [job], "folder": str(folder)} for job in jobs]
    for i in on_ray.run(work, wishes, gpus):
        yield jobs[i]


def _shared(task: Task, jobs: Jobs, folder: Path, processes: int) -> Iterator[tuple[int, int]]:
    """Buckets in the order in which workers finish them.

    Raises:
        DemistError: A worker failed; the end of what it said is in the message.
    """
    import torch

    threads = str(max(1, torch.get_num_threads() // processes))
    left = set(jobs)
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "demist.measuring.buckets"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, env=os.environ | {"OMP_NUM_THREADS": threads},
        )
        for _ in range(processes)
    ]  # fmt: skip
    try:
        for i, worker in enumerate(workers):
            assert worker.stdin is not None
            wish = {"task": asdict(task), "jobs": jobs[i::processes], "folder": str(folder)}
            with contextlib.suppress(BrokenPipeError):  # it has ended; below it is heard
                worker.stdin.write(json.dumps(wish))
                worker.stdin.close()
        while left:
            ended = [worker.poll() for worker in workers]
            there = [job for job in sorted(left) if made(task, folder, job)]
            yield from there
            left -= set(there)
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


def _file(folder: Path, seed: int, bucket: int) -> Path:
    return folder / f"{seed}-{bucket:05d}.npy"


def _read(folder: Path, seed: int, bucket: int) -> "numpy.ndarray":
    import numpy as np

    return np.load(_file(folder, seed, bucket), allow_pickle=False)


def work(wish: dict[str, Any]) -> None:
    """Make some buckets of a task and write each to a file; what a worker does."""
    from demist.model.open import open_again

    said, folder = wish["task"], Path(wish["folder"])
    task = Task(**{**said, "seeds": tuple(said["seeds"])})
    pipeline = open_again(task.run, task.sha256, task.at_step, task.device)
    for seed, bucket in wish["jobs"]:
        write_array(task.make(pipeline, seed, bucket), _file(folder, seed, bucket))


if __name__ == "__main__":
    die_with_parent()
    work(json.load(sys.stdin))
