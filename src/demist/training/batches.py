"""What one training step sees, as a pure function of the step's number."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demist.codecs import Codec
from demist.conditions import Conditioner, GivenPart, flat
from demist.core import Noise
from demist.objectives import Candidates
from demist.training.shown import shown_parts
from demist.training.stable import Pool
from demist.training.streams import Streams


@dataclass(frozen=True)
class Batch:
    """One step's input.

    Attributes:
        x0: Clean data, `(B, ...)`.
        cond: Encoded conditions with some dropped, each `(B, ...)`.
        u: One number in (0, 1) per sample, float64, stratified over the global batch: the
            quantiles of its times.
        noise: The noise to add.
        seed: For torch's own draws in this step, such as dropout masks.
        rows: Positions of these samples in the batch of all processes.
        of: Size of that batch.
        candidates: Other data that the noisy samples may be of; None: they are of x0.
    """

    x0: Tensor
    cond: Mapping[str, Tensor]
    u: Tensor
    noise: Noise
    seed: int
    rows: range = range(0)
    of: int = 0
    candidates: Candidates | None = None

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.x0.device

    def __len__(self) -> int:
        return len(self.x0)


@dataclass
class Stopwatch:
    """Adds up the time spent within it.

    Attributes:
        seconds: So far.
    """

    seconds: float = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Within the block, the watch runs."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - begun


@dataclass(frozen=True)
class Batches:
    """Batches of a data set.

    Attributes:
        x: Data in memory, `(N, ...)`, `LazyImages` on the disk, or `Clips`.
        streams: Where all randomness comes from.
        codec: Turns data into what the model sees.
        conditioner: Conditions of the model.
        values: Name of a condition -> its values, `(N, ...)`.
        flip: Mirror the last axis of half of the samples, and of images that condition them.
        mirrored: What to take for a mirrored sample, `(N, ...)`; None: the sample, mirrored.
        draws: Draw from what the codec gives in every step, instead of taking the mean.
        pool: Other examples, for stable targets.
        device: Where batches go.
        waiting: Runs while the network has nothing to do but wait for a batch.
    """

    x: Any  # an array, or used like one
    streams: Streams
    codec: Codec
    conditioner: Conditioner = field(default_factory=Conditioner)
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    flip: bool = False
    mirrored: Any = None
    draws: bool = False
    pool: Pool | None = None
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (a frozen value)
    waiting: Stopwatch = field(default_factory=Stopwatch)

    def __call__(self, step: int) -> Batch:
        """The batch of step `step`, 0, 1, ..."""
        with self.waiting.running():
            return self._make(step)

    def _make(self, step: int) -> Batch:
        draw, index = self.streams, self.streams.indices(step)
        if at := getattr(self.x, "at", None):  # a part of each, anew in every epoch
            x = at(index, draw.uniforms("place", step).numpy())
        else:
            x = self.x[index]
        if expect := getattr(self.x, "expect", None):  # the next ones, while the network works
            expect(draw.indices(step + 1))
        given = {name: values[index] for name, values in self.values.items()}
        if self.flip:
            these = np.flatnonzero(draw.uniforms("flip", step).numpy() < 0.5)
            kept = self.mirrored
            if len(these):  # rows of no bucket have no shape
                x[these] = x[these][..., ::-1] if kept is None else kept[index[these]]
            for name, values in given.items():
                values[these] = self.conditioner.conditions[name].mirrored(values[these])
        cond = self.conditioner.encode(len(x), self.conditioner.beside(given, x))
        cond = self.conditioner.augment(cond, draw.noise(-1 - step))  # draws of its own
        cond = self.conditioner.drop(cond, lambda name: draw.uniforms(f"drop/{name}", step))
        chance = draw.latent_noise(step) if self.draws else None
        x0 = self.codec.encode(torch.from_numpy(x).to(self.device), chance)
        for name, condition in self.conditioner.conditions.items():
            if isinstance(condition, GivenPart):  # of the very states that are learned
                cond |= flat(name, shown_parts(condition, x0, draw, step))
        return Batch(
            x0=x0,
            cond={name: value.to(self.device) for name, value in cond.items()},
            u=draw.stratified("time", step).to(self.device),
            noise=draw.noise(step),
            seed=draw.torch_seed(step),
            rows=draw.positions,
            of=draw.batch_size,
            candidates=None if self.pool is None else self.pool(step, cond, index),
        )
