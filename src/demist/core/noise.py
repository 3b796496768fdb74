"""Where randomness and geometry enter, and nowhere else.

A noise is asked for a draw like a state. While sampling, the loop takes `noise.at(index, t, s)` for
each step, so a noise may be a pure function of (seed, step): then a trajectory can be stopped,
resumed, rewound and branched without saving the state of any generator.
"""

import abc
import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from demist.core.state import State


class Noise(abc.ABC):
    """A source of standard normal states."""

    @abc.abstractmethod
    def __call__(self, like: State) -> State:
        """A draw of the shape, dtype and device of `like`."""

    @abc.abstractmethod
    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Noise":
        """The noise to use in step `index`, which goes from time `t` to time `s`."""

    @abc.abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of the draws `z` of shape `(B, ...)`, in nats per sample: shape `(B,)`."""


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """Log-density of N(0, I) summed over all axes but the first, in nats: shape `(B,)`."""
    return -0.5 * (z**2 + math.log(2 * math.pi)).flatten(1).sum(1)


def keyed_normal(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers, float64, that are a pure function of `key`.

    By the counter-based generator Philox, whose key is a 128-bit hash: the same everywhere.
    """
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    philox = np.random.Philox(key=np.frombuffer(digest, dtype="<u8"))
    return np.random.Generator(philox).standard_normal(shape)


class Gaussian(Noise):
    """Independent standard normal numbers from one torch generator (default: the global one)."""

    def __init__(self, generator: torch.Generator | None = None):
        self.generator = generator

    def __call__(self, like: Tensor) -> Tensor:
        return torch.empty_like(like).normal_(generator=self.generator)

    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Gaussian":
        return self

    def log_prob(self, z: Tensor) -> Tensor:
        return standard_normal_log_prob(z)


class Seeded(Noise):
    """One seed per sample: sample i's noise does not depend on the batch it sits in.

    Each draw is a pure function of (seed, step, how many draws the step made before), through
    the counter-based generator Philox with a 128-bit hashed key, computed on the CPU in float64 and
    then cast; the same on every device and for any batch size and number of processes.

    Args:
        seeds: One integer per sample, any size and sign.
        step: Set by `at`; step 0 is the initial noise, step i + 1 belongs to step i of the loop.
    """

    def __init__(self, seeds: Sequence[int], step: int = 0):
        self.seeds = tuple(int(seed) for seed in seeds)
        self.step = step
        self._draws = 0

    def __call__(self, like: Tensor) -> Tensor:
        if len(like) != len(self.seeds):
            raise ValueError(
                f"Seeded has {len(self.seeds)} seeds but was asked for noise for {len(like)} "
                f"samples; give one seed per sample"
            )
        shape = tuple(like.shape[1:])
        out = np.empty(tuple(like.shape))
        for i, seed in enumerate(self.seeds):
            out[i] = keyed_normal(f"{seed}/{self.step}/{self._draws}", shape)
        self._draws += 1
        return torch.from_numpy(out).to(like)

    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Seeded":
        return Seeded(self.seeds, index + 1)

    def log_prob(self, z: Tensor) -> Tensor:
        return standard_normal_log_prob(z)
