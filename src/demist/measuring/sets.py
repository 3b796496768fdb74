"""The samples that an evaluation measures: one set for each seed, in buckets."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from demist.errors import CannotCreateError, UsageError
from demist.evaluation.ruler import Asked, Ruler
from demist.io.folders import sweep
from demist.machine.precision import resolve_precision
from demist.measuring.buckets import NOTHING, Bucket, Source, fill, parts, read
from demist.measuring.candidate import Candidate
from demist.measuring.prompts import ask
from demist.model.folder import weights_hash
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling
from demist.version import __version__

SIZE = 256
"""Samples in a bucket of a set."""

Job = tuple[int, int]
"""Seed of a set, and number of a bucket in it."""


@dataclass(frozen=True)
class Protocol:
    """How models are sampled in order to be measured.

    Attributes:
        n: Samples of each model in all, shared by the sets.
        seeds: How many sets, for mean and spread: seeds `sampling.seed`, and those after it.
        sampling: How they are made.
        precision: fp32 or bf16; auto: as the model was trained.
    """

    n: int = 10_000
    seeds: int = 3
    sampling: Sampling = Sampling()  # noqa: RUF009 (a frozen value)
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"n = {self.n}: measure 1 sample or more")
        if self.seeds < 1:
            raise UsageError(f"seeds = {self.seeds}: give 1, or for a spread 2 or more")

    @property
    def per_seed(self) -> int:
        """Samples of one seed: n / seeds, rounded up."""
        return -(-self.n // self.seeds)


@dataclass(frozen=True)
class Task:
    """What to sample.

    Attributes:
        source: The model.
        sampling: The complete recipe; its seed does not count.
        asked: Condition -> values, asked for in turn: sample i gets value i mod K; empty: nothing.
        count: Samples per seed.
        seeds: One set of samples for each.
    """

    source: Source
    sampling: Sampling
    asked: dict[str, list[Any]]
    count: int
    seeds: tuple[int, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """How the samples are made, as JSON values, without seed and batch size."""
        recipe = self.sampling.recipe()
        del recipe["seed"]
        return recipe

    @property
    def key(self) -> str:
        """The same for the same samples, wherever they are made."""
        facts = {
            "sha256": self.source.sha256,
            "precision": self.source.precision,
            "settings": self.settings,
            "asked": self.asked,
            "count": self.count,
            "seeds": self.seeds,
            **self.source.beside.facts,
        }
        text = json.dumps([facts, SIZE, __version__], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def buckets(self, folder: Path) -> dict[Job, Bucket]:
        """All buckets, in order."""
        each = parts(self.count, SIZE)
        return {
            (seed, number): Bucket(
                folder / f"{seed}-{number:05d}.npy",
                len(rows),
                range(len(rows)),
                replace(self.sampling, seed=bucket_seed(seed, number)),
                {name: [v[i % len(v)] for i in rows] for name, v in self.asked.items()},
            )
            for seed in self.seeds
            for number, rows in enumerate(each)
        }

    def collect(
        self, pipeline: Pipeline, folder: Path, given: Mapping[str, Any] = NOTHING
    ) -> dict[int, np.ndarray]:
        """The samples of every seed; what is not in the folder is made."""
        found = dict[int, list[np.ndarray]]()
        for (seed, _), bucket in self.buckets(folder).items():
            there = bucket.made()
            x = read(bucket) if there else bucket.sample(pipeline, self.source.precision, given)
            found.setdefault(seed, []).append(x)
        return {seed: np.concatenate(some) for seed, some in found.items()}


def bucket_seed(seed: int, bucket: int) -> int:
    """The seed of a bucket: hashed, so that neighbours share nothing."""
    digest = hashlib.blake2b(f"{seed}/evaluate/{bucket}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True)
class Sets:
    """The samples of one model, kept beside it until they have been measured."""

    model: Candidate
    asked: Asked
    task: Task

    @classmethod
    def of(cls, model: Candidate, ruler: Ruler, protocol: Protocol) -> "Sets":
        """What is asked of a model; nothing is made yet."""
        pipeline, precision = model.pipeline, protocol.precision
        if precision == "auto":
            precision = resolve_precision(model.precision, pipeline.denoiser.net)
        first = protocol.sampling.seed or 0
        if not isinstance(first, int):
            raise UsageError("an evaluation counts up from one seed; give one, not several")
        count = protocol.per_seed
        asked = ask(pipeline, ruler.test, count, ruler.train)
        source = Source(
            str(model.place.absolute()), weights_hash(pipeline), model.at_step, model.device,
            precision, model.reading, model.beside,
        )  # fmt: skip
        sampling = pipeline.plan(1, protocol.sampling, **model.given).sampling
        seeds = tuple(range(first, first + protocol.seeds))
        return cls(model, asked, Task(source, sampling, asked.values, count, seeds))

    @property
    def folder(self) -> Path:
        """Another one for other samples, so that a later call finds its own."""
        return self.model.folder / f"evaluation-{self.task.key}"

    def make(
        self, share: tuple[int, int] = (1, 1), processes: int = 1, ray: bool = False
    ) -> tuple[int, int]:
        """Make what is missing of a share; see `demist.measuring.buckets.fill`.

        Returns:
            How many buckets are still missing, and how many there are.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotCreateError(
                f"cannot keep samples in {self.folder.parent}: {error.strerror}; say another place "
                "with --out"
            ) from None
        sweep(self.folder)
        buckets = list(self.task.buckets(self.folder).values())
        left = fill(
            buckets, self.task.source, self.model.pipeline, share=share, processes=processes,
            ray=ray, title=f"sampling {self.model.name}", given=self.model.given,
        )  # fmt: skip
        return len(left), len(buckets)

    def collect(self) -> dict[int, np.ndarray]:
        """The samples of every seed; what is not there is made."""
        return self.task.collect(self.model.pipeline, self.folder, self.model.given)

    def remove(self) -> None:
        """Remove the samples."""
        shutil.rmtree(self.folder, ignore_errors=True)
