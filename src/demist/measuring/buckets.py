"""Buckets: files of samples, made by one process or by many, with the same bytes.

A bucket is a pure function of what it says, so nobody's result depends on who made which. Workers
share nothing but the folder, in which a later call finds what an earlier one finished.
`demist evaluate` and `demist bulk` are written on them.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from demist.errors import DataError, DemistError, UsageError
from demist.interop import Reading
from demist.io import arrays, files
from demist.machine.processes import die_with_parent
from demist.measuring import on_ray
from demist.measuring.companions import Companions
from demist.model.folder import weights_hash
from demist.model.open import gpus_of, open_model
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Source:
    """How another process opens the same model.

    Attributes:
        place: Folder of a run or a model.
        sha256: Of the weights; see `demist.model.folder.weights_hash`.
        at_step: Checkpoint; None: the newest.
        device: Where the network runs.
        precision: Of the network: fp32 or bf16.
        reading: How it is read and run.
        beside: What is put beside it.
    """

    place: str
    sha256: str
    at_step: int | None = None
    device: str = "auto"
    precision: str = "fp32"
    reading: Reading | None = None
    beside: Companions = Companions()  # noqa: RUF009 (a frozen value)

    def open(self) -> tuple[Pipeline, dict[str, Any]]:
        """The model, and conditions that all its samples are given; the next call finds it open.

        Raises:
            DataError: It is not the model that was meant.
        """
        return _opened(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Source":
        """What `dataclasses.asdict` said, perhaps by way of a file."""
        parts: dict[str, Any] = {}
        for name, kind in (("reading", Reading), ("beside", Companions)):
            if told := value.get(name):
                plain: dict[str, Any] = {
                    k: tuple(v) if isinstance(v, list) else v for k, v in told.items()
                }
                parts[name] = kind(**plain)
        return cls(**{**value, **parts})


@lru_cache(maxsize=1)
def _opened(source: Source) -> tuple[Pipeline, dict[str, Any]]:
    pipeline = open_model(
        source.place, at_step=source.at_step, device=source.device, reading=source.reading
    )
    pipeline, given = source.beside.join(pipeline, source.reading)
    if weights_hash(pipeline) != source.sha256:
        raise DataError(
            f"{source.place} has other weights now than when sampling began; say which with "
            f"--at-step"
        )
    return pipeline, given


@dataclass(frozen=True)
class Bucket:
    """A file of samples, and all that decides them; behind the samples stands their hash.

    Attributes:
        file: Where they are or go.
        n: How many samples the set has that these are part of.
        rows: Which of the set these are.
        sampling: How they are made.
        cond: Conditions of the whole set, by name.
    """

    file: Path
    n: int
    rows: range
    sampling: Sampling
    cond: Mapping[str, Any]

    def made(self) -> bool:
        """Whether the file is there, and holds what was written, to the last bit."""
        return arrays.sealed_length(self.file) == len(self.rows)

    def sample(
        self, pipeline: Pipeline, precision: str = "fp32", given: Mapping[str, Any] = NOTHING
    ) -> np.ndarray:
        """The samples; `given` are conditions of all of them that are no JSON, such as images."""
        device, cond = pipeline.device.type, {**self.cond, **given}
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            return pipeline.sample(self.n, sampling=self.sampling, rows=self.rows, **cond)

    def make(
        self, pipeline: Pipeline, precision: str = "fp32", given: Mapping[str, Any] = NOTHING
    ) -> None:
        """Write the file."""
        arrays.write_array(self.sample(pipeline, precision, given), self.file, seal=True)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        rows = [self.rows.start, self.rows.stop]
        return asdict(self) | {"file": str(self.file.absolute()), "rows": rows}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Bucket":
        """What `to_json` said."""
        file, rows, sampling = Path(value["file"]), range(*value["rows"]), value["sampling"]
        return cls(file, value["n"], rows, Sampling(**sampling), value["cond"])


def parts(n: int, size: int) -> list[range]:
    """`range(n)` in parts of `size`, the last one perhaps shorter."""
    return [range(i, min(i + size, n)) for i in range(0, n, size)]


def missing(buckets: Iterable[Bucket]) -> list[Bucket]:
    """Those that are not there, or not whole."""
    return [bucket for bucket in buckets if not bucket.made()]


def fill(
    buckets: Sequence[Bucket],
    source: Source,
    pipeline: Pipeline,
    *,
    share: tuple[int, int] = (1, 1),
    processes: int = 1,
    ray: bool = False,
    title: str = "",
    given: Mapping[str, Any] = NOTHING,
) -> list[Bucket]:
    """Make those buckets of a share that are not there yet, with a bar.

    Args:
        buckets: All of them, by all shares.
        source: What opens the model in another process.
        pipeline: The same model, used if there is one process.
        share: Which buckets: (2, 3) is the second third of them.
        processes: How many to divide the work among.
        ray: Let Ray do it.
        title: Of the bar.
        given: What `source.beside` gives all samples, used if there is one process.

    Returns:
        Those that are still missing of all.

    Raises:
        UsageError: Machines of Ray need not have the files that are put beside the model.
    """
    if ray and source.beside:
        raise UsageError("--ray has no --control and no --refiner; leave one of them out")
    which, shares = share
    todo = missing(buckets[which - 1 :: shares])
    if ray:
        orders = [_order(source, [bucket]) for bucket in todo]
        done: Iterator[int] = on_ray.run(work, orders, gpus_of(pipeline))
    elif processes > 1 and len(todo) > 1:
        done = _by_processes(source, todo, min(processes, len(todo)))
    else:
        done = _here(source, todo, pipeline, given)
    total, hidden = sum(len(bucket.rows) for bucket in todo), not sys.stderr.isatty()
    with tqdm(total=total, desc=title, unit="sample", leave=False, disable=hidden) as bar:
        for i in done:
            bar.update(len(todo[i].rows))
    return missing(buckets)


def join(buckets: Sequence[Bucket], target: Path) -> Path:
    """All buckets as one array in a file, with one at a time in memory."""
    first = np.load(buckets[0].file, "r", allow_pickle=False)
    shape = (sum(len(bucket.rows) for bucket in buckets), *first.shape[1:])
    with files.atomic(target) as temporary:
        whole = np.lib.format.open_memmap(temporary, "w+", dtype=first.dtype, shape=shape)
        for bucket in buckets:
            whole[bucket.rows.start : bucket.rows.stop] = read(bucket)
        whole.flush()
    return target


def read(bucket: Bucket) -> np.ndarray:
    """The samples in a bucket's file."""
    x: np.ndarray = np.load(bucket.file, allow_pickle=False)
    return x


def work(order: Mapping[str, Any]) -> None:
    """Make some buckets; what a worker does.

    Raises:
        DataError: The model is another one now.
    """
    source = Source.from_json(order["source"])
    pipeline, given = source.open()
    for value in order["buckets"]:
        Bucket.from_json(value).make(pipeline, source.precision, given)


def _order(source: Source, buckets: Iterable[Bucket]) -> dict[str, Any]:
    return {"source": asdict(source), "buckets": [bucket.to_json() for bucket in buckets]}


def _here(
    source: Source, todo: Sequence[Bucket], pipeline: Pipeline, given: Mapping[str, Any]
) -> Iterator[int]:
    for i, bucket in enumerate(todo):
        bucket.make(pipeline, source.precision, given)
        yield i


def _by_processes(source: Source, todo: Sequence[Bucket], processes: int) -> Iterator[int]:
    """Numbers of buckets in the order in which workers finish them.

    Raises:
        DemistError: A worker failed; the end of what it said is in the message.
    """
    threads = str(max(1, torch.get_num_threads() // processes))
    left = set(range(len(todo)))
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
            # A worker may have ended already; what it wrote is read below.
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.write(json.dumps(_order(source, todo[i::processes])))
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.close()
        while left:
            ended = [worker.poll() for worker in workers]
            there = [i for i in sorted(left) if todo[i].made()]
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
    output = [
        line for w in workers if w.stderr is not None for line in w.stderr.read().splitlines()
    ]
    return output[-1] if output else "it said nothing"


if __name__ == "__main__":
    die_with_parent()
    work(json.load(sys.stdin))
