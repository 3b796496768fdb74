"""Everything drawn in training, as pure functions of (seed, step, position in the global batch).

No generator has a state that must be saved, so resuming is exact by construction, for any number of
workers and processes. Each quantity has its own stream, keyed by hashing (seed, purpose, number)
into the 128-bit key of the counter-based generator Philox (Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3"), so that nearby seeds and steps share nothing.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demist.core import Seeded
from demist.data.images.buckets import Bucketed
from demist.errors import UsageError
from demist.objectives import stratified
from demist.training.parallel import World


def digest(seed: int, purpose: str, number: int) -> bytes:
    """16 bytes that depend on all three arguments."""
    return hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=16).digest()


def generator(seed: int, purpose: str, number: int) -> np.random.Generator:
    """The stream of random numbers belonging to (seed, purpose, number)."""
    key = np.frombuffer(digest(seed, purpose, number), dtype="<u8")
    return np.random.Generator(np.random.Philox(key=key))


@lru_cache(maxsize=64)
def permutation(seed: int, epoch: int, n: int, purpose: str = "order") -> np.ndarray:
    """Order in which an epoch visits `n` items: int64 `(n,)`, read-only."""
    order = generator(seed, purpose, epoch).permutation(n)
    order.setflags(write=False)
    return order


@dataclass(frozen=True, eq=False)
class Groups:
    """Items of which only those of one group may stand in one batch.

    Attributes:
        rows: The items of each group.
        names: What each group is called.
    """

    rows: tuple[np.ndarray, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, x: Any) -> "Groups | None":
        """Those of samples in buckets; None for samples of one shape."""
        if not isinstance(x, Bucketed):
            return None
        there = [k for k in range(len(x.parts)) if len(x.parts[k])]
        names = tuple(f"{x.shapes[k][1]}x{x.shapes[k][2]}" for k in there)
        return cls(tuple(x.rows(k) for k in there), names)

    def indices(self, seed: int, step: int, size: int) -> np.ndarray:
        """Items of a step's whole batch of `size`.

        An epoch takes the items of each group in an order of its own, batch by batch; the last
        batch of a group is filled up with the first items of that order. All groups' batches come
        in one random order.
        """
        batches = np.array([-(-len(rows) // size) for rows in self.rows])
        epoch, place = divmod(step, int(batches.sum()))
        number = int(permutation(seed, epoch, int(batches.sum()), "batches")[place])
        group = int(np.searchsorted(np.cumsum(batches), number, side="right"))
        first = (number - int(batches[:group].sum())) * size
        rows = self.rows[group]
        order = permutation(seed, epoch, len(rows), f"order/{group}")
        found: np.ndarray = rows[order[(first + np.arange(size)) % len(rows)]]
        return found


@dataclass(frozen=True)
class Streams:
    """The draws of a run for one process's share of the global batch.

    Attributes:
        seed: The run's seed.
        n: Items in the data set.
        batch_size: Items per step over all processes.
        rank: Which of `world` equal, contiguous shares of the global batch is meant.
        world: Number of shares; it must divide `batch_size`.
        groups: Of which each batch holds one; None: any items stand together.
    """

    seed: int
    n: int
    batch_size: int
    rank: int = 0
    world: int = 1
    groups: Groups | None = None

    @classmethod
    def of(
        cls, seed: int, n: int, batch_size: int, world: World, groups: Groups | None = None
    ) -> "Streams":
        """The share of one of the processes that train together.

        Raises:
            UsageError: The batch cannot be shared equally.
        """
        try:
            return cls(seed, n, batch_size, world.rank, world.size, groups)
        except ValueError as error:
            raise UsageError(f"batch_size = {batch_size}: {error}") from None

    def __post_init__(self) -> None:
        if self.batch_size % self.world:
            raise ValueError(
                f"a batch of {self.batch_size} cannot be shared equally by {self.world} processes; "
                f"choose a multiple of {self.world}"
            )

    @property
    def positions(self) -> range:
        """This share's positions in the global batch."""
        share = self.batch_size // self.world
        return range(self.rank * share, (self.rank + 1) * share)

    def indices(self, step: int) -> np.ndarray:
        """Which items step `step` sees: each epoch visits every item once, across step borders.

        Of groups see `Groups.indices`.
        """
        if self.groups is not None:
            return self.groups.indices(self.seed, step, self.batch_size)[self._share]
        visit = step * self.batch_size + np.array(self.positions)
        epochs, places = visit // self.n, visit % self.n
        out = np.empty_like(visit)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            out[here] = permutation(self.seed, int(epoch), self.n)[places[here]]
        return out

    def uniforms(self, purpose: str, step: int) -> Tensor:
        """Independent uniforms in (0, 1), float64 `(share,)`; one stream per purpose."""
        return self._uniforms(purpose, step)[self._share]

    def stratified(self, purpose: str, step: int) -> Tensor:
        """Uniforms in (0, 1), one in each of `batch_size` equal bins, float64 `(share,)`."""
        return stratified(self._uniforms(purpose, step))[self._share]

    def noise(self, step: int) -> Seeded:
        """Gaussian noise with one stream per position."""
        return Seeded(self._noise_seeds, step)

    def latent_noise(self, step: int) -> Seeded:
        """As `noise`, with which latents are drawn: numbers of their own."""
        return Seeded(self._noise_seeds, step, "latents")

    def torch_seed(self, step: int) -> int:
        """A seed for torch's own draws in this share, such as dropout masks."""
        purpose = f"torch/{self.rank}/{self.world}"
        return int.from_bytes(digest(self.seed, purpose, step)[:4], "little")

    def _uniforms(self, purpose: str, step: int) -> Tensor:
        # For the whole batch: it is 8 bytes each, and every share sees the same numbers.
        u = generator(self.seed, purpose, step).random(self.batch_size)
        return torch.from_numpy(u).clamp(min=1e-12)

    @property
    def _share(self) -> slice:
        return slice(self.positions.start, self.positions.stop)

    @cached_property
    def _noise_seeds(self) -> tuple[int, ...]:
        return tuple(
            int.from_bytes(digest(self.seed, "noise", i)[:8], "little") for i in self.positions
        )
