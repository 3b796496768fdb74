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

from demist.core.fields import Fields
from demist.core.state import State


class Noise(abc.ABC):
    """A source of standard normal states, on all of their space or on a subspace of it."""

    @abc.abstractmethod
    def __call__(self, like: State) -> State:
        """A draw of the shape, dtype and device of `like`."""

    @abc.abstractmethod
    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Noise":
        """The noise to use in step `index`, which goes from time `t` to time `s`."""

    @abc.abstractmethod
    def log_prob(self, z: State) -> Tensor:
        """Log-density of the draws `z` of shape `(B, ...)`, in nats per sample: shape `(B,)`."""

    def project(self, x: State) -> State:
        """The part of `x` that lies in the subspace of the draws; by default all of it.

        Data and networks that stay in the subspace make states that do: steps are linear, so
        nothing is projected while sampling.
        """
        return x

    def dims(self, like: State) -> Tensor | None:
        """Dimensions of the subspace for each sample, `(B,)`; None: as many as `like` has numbers.

        Losses are means over them, likelihoods count them.
        """
        return None


def count_dims(noise: Noise, like: State) -> Tensor:
    """`noise.dims(like)` in numbers, float64 `(B,)`."""
    dims = noise.dims(like)
    if dims is not None:
        return dims.double()
    parts = [like] if isinstance(like, Tensor) else [like[name] for name in like]
    numbers = sum(part.shape[1:].numel() for part in parts)
    return torch.full((len(like),), float(numbers), dtype=torch.float64, device=like.device)


def standard_normal_log_prob(z: State) -> Tensor:
    """Log-density of N(0, I) summed over all axes but the first, in nats: shape `(B,)`."""
    if isinstance(z, Fields):
        return torch.stack([standard_normal_log_prob(z[name]) for name in z]).sum(0)
    density: Tensor = -0.5 * (z**2 + math.log(2 * math.pi)).flatten(1).sum(1)
    return density


def keyed_normal(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers, float64, that are a pure function of `key`.

    By the counter-based generator Philox, whose key is a 128-bit hash: the same everywhere.
    """
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    philox = np.random.Philox(key=np.frombuffer(digest, dtype="<u8"))
    return np.random.Generator(philox).standard_normal(shape)


class Gaussian(Noise):
    """Independent standard normal numbers from one torch generator (default: the global one).

    Fields are drawn one after another, in the order of their names.
    """

    def __init__(self, generator: torch.Generator | None = None):
        self.generator = generator

    def __call__(self, like: State) -> State:
        if isinstance(like, Fields):
            drawn = {name: self(like[name]) for name in sorted(like)}
            return Fields({name: drawn[name] for name in like})
        return torch.empty_like(like).normal_(generator=self.generator)

    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Gaussian":
        return self

    def log_prob(self, z: State) -> Tensor:
        return standard_normal_log_prob(z)


class Seeded(Noise):
    """One seed per sample: sample i's noise does not depend on the batch it sits in.

    Each draw is a pure function of (seed, step, how many draws the step made before), through
    the counter-based generator Philox with a 128-bit hashed key, computed on the CPU in float64 and
    then cast; the same on every device and for any batch size and number of processes. The key of
    a field has its name in it: what a field gets depends neither on its place nor on other fields.

    Args:
        seeds: One integer per sample, any size and sign.
        step: Set by `at`; step 0 is the initial noise, step i + 1 belongs to step i of the loop.
        field: Draw what the field of this name would get.
    """

    def __init__(self, seeds: Sequence[int], step: int = 0, field: str = ""):
        self.seeds = tuple(int(seed) for seed in seeds)
        self.step = step
        self.field = field
        self._draws = 0

    def __call__(self, like: State) -> State:
        draw, self._draws = self._draws, self._draws + 1
        if isinstance(like, Fields):
            return Fields({name: self._draw(like[name], draw, name) for name in like})
        return self._draw(like, draw, self.field)

    def _draw(self, like: Tensor, draw: int, field: str) -> Tensor:
        if len(like) != len(self.seeds):
            raise ValueError(
                f"Seeded has {len(self.seeds)} seeds but was asked for noise for {len(like)} "
                f"samples; give one seed per sample"
            )
        shape = tuple(like.shape[1:])
        out = np.empty(tuple(like.shape))
        for i, seed in enumerate(self.seeds):
            key = f"{seed}/{self.step}/{draw}"
            out[i] = keyed_normal(f"{key}/{field}" if field else key, shape)
        return torch.from_numpy(out).to(like)

    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Seeded":
        return Seeded(self.seeds, index + 1, self.field)

    def log_prob(self, z: State) -> Tensor:
        return standard_normal_log_prob(z)


class TorchSeeded(Noise):
    """The numbers that `torch.randn` gives on the CPU after `manual_seed`, as people know them.

    With one seed all samples come from one generator, drawn at once; with one seed per sample each
    has its own. Every draw goes on where the last one ended, so what a sample gets depends on how
    many there are, and on all draws before.

    Args:
        seed: One for all, or one per sample.
        n: How many samples there are.
        rows: Which of them are asked for.
        dtype: In which numbers are drawn: in another they are other numbers.

    Raises:
        ValueError: A seed has more than 64 bits.
    """

    def __init__(
        self,
        seed: int | Sequence[int],
        n: int,
        rows: Sequence[int],
        dtype: torch.dtype = torch.float32,
    ):
        seeds = (seed,) if isinstance(seed, int) else tuple(seed)
        for one in seeds:
            if not -(2**63) <= one < 2**64:
                raise ValueError(f"torch takes seeds of 64 bits, got {one}")
        self.generators = [torch.Generator().manual_seed(one) for one in seeds]
        self.each = n if isinstance(seed, int) else 1
        self.rows, self.dtype = list(rows), dtype

    def __call__(self, like: State) -> State:
        if isinstance(like, Fields):
            drawn = {name: self(like[name]) for name in sorted(like)}
            return Fields({name: drawn[name] for name in like})
        shape = (self.each, *like.shape[1:])
        each = [torch.randn(shape, generator=g, dtype=self.dtype) for g in self.generators]
        return torch.cat(each)[self.rows].to(like)

    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "TorchSeeded":
        return self

    def log_prob(self, z: State) -> Tensor:
        return standard_normal_log_prob(z)


class Centred(Noise):
    """Noise without a centre of mass: for molecules, whose place in space means nothing.

    The mean of the real atoms' positions is zero, and padding is zero everywhere. For `n` real
    atoms and K further columns that are `3 (n - 1) + K n` dimensions (Hoogeboom et al. 2022,
    "Equivariant Diffusion for Molecule Generation in 3D", arXiv:2203.17003, section 3).

    Args:
        base: Draws on the whole space. With `Seeded`, where real atoms come first, more padding
            leaves their numbers as they are.
        mask: `(B, N)`, 1 for real atoms and 0 for padding; at least one real atom each.
        positions: How many of the last axis's first columns are positions.
    """

    def __init__(self, base: Noise, mask: Tensor, positions: int = 3):
        if not (mask != 0).any(1).all():
            raise ValueError("every sample needs at least one real atom; a row of the mask is zero")
        self.base, self.mask, self.positions = base, mask, positions

    def __call__(self, like: Tensor) -> Tensor:
        return self.project(self.base(like))

    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Centred":
        return Centred(self.base.at(index, t, s), self.mask, self.positions)

    def project(self, x: Tensor) -> Tensor:
        """States `(B, N, C)` without the mean of the positions, and with zeros at padding."""
        real = self.mask.to(x)[..., None]
        x = x * real
        mean = x.sum(1, keepdim=True) / real.sum(1, keepdim=True)
        is_position = (torch.arange(x.shape[-1], device=x.device) < self.positions).to(x)
        return x - mean * is_position * real

    def dims(self, like: Tensor) -> Tensor:
        real, columns = self.mask.to(like.device).double().sum(1), like.shape[-1]
        return real * columns - min(self.positions, columns)

    def log_prob(self, z: Tensor) -> Tensor:
        squares = self.project(z).square().flatten(1).sum(1)
        return -0.5 * (squares + self.dims(z).to(z) * math.log(2 * math.pi))
