"""Sounds of any length, used like an array of one: `(N, 1, L)`.

Shorter ones are followed by silence. Of longer ones a part is taken: the middle, or where the
caller says, which in training is anew in each epoch.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64

from demist.data.files.folder import Folder
from demist.data.sounds.decode import decode, part
from demist.errors import DataError


@dataclass(frozen=True, eq=False)
class InMemory:
    """A sound whose samples are at hand.

    Attributes:
        x: The samples.
    """

    x: Float32[np.ndarray, "t"]

    @property
    def samples(self) -> int:
        """How many."""
        return len(self.x)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all."""
        return digest_of(self.x)

    def part(self, begin: int, length: int) -> np.ndarray:
        """Some of the samples, fewer where they end early."""
        return self.x[begin : begin + length]


@dataclass(frozen=True, eq=False)
class OnDisk:
    """A sound whose file is opened for each part.

    Attributes:
        folder: Where the file is.
        name: Its name there.
        rate: Samples a second, to which it is brought.
        samples: How many there are then.
        digest: SHA-256 of all.
        peak: The largest of them.
    """

    folder: Folder
    name: str
    rate: int
    samples: int
    digest: bytes
    peak: float

    def part(self, begin: int, length: int) -> np.ndarray:
        """Some of the samples, fewer where they end early.

        Raises:
            DataError: The file has changed.
        """
        place = self.folder.path / self.name
        try:
            if self.samples <= 4 * length:  # nearly all of it: no margins
                return decode(place, self.rate)[0][begin : begin + length]
            return part(place, self.rate, begin, length, self.peak)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.name} in {self.folder.path} could be read when training began and cannot "
                f"any more ({error}): restore it, then run the same command again"
            ) from None


Sound = InMemory | OnDisk
"""A sound of which parts can be had."""


class Clips:
    """Sounds as float32 `(N, 1, L)` in [-1, 1], used like the array: its shape, and its rows.

    Attributes:
        sounds: In their order.
        rate: Samples a second.
        length: L.
    """

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(self, sounds: Sequence[Sound], rate: int, length: int) -> None:
        self.sounds, self.rate, self.length = tuple(sounds), rate, length

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, 1, L)."""
        return (len(self), 1, self.length)

    @property
    def lazy(self) -> bool:
        """Whether some stay on the disk."""
        return any(isinstance(sound, OnDisk) for sound in self.sounds)

    @property
    def digest(self) -> Any:
        """SHA-256 of the rate, the length and all sounds, to be updated by what else is known."""
        digest = hashlib.sha256(f"clips {self.rate} {self.shape}".encode())
        for sound in self.sounds:
            digest.update(sound.digest)
        return digest

    def __len__(self) -> int:
        return len(self.sounds)

    def __getitem__(self, index: Any) -> Float32[np.ndarray, "..."]:
        """Rows by a slice or by numbers; of longer sounds the middle."""
        rows = np.arange(len(self))[index]
        found = self.at(np.atleast_1d(rows))
        return found if isinstance(rows, np.ndarray) else found[0]

    def at(
        self, rows: Int64[np.ndarray, "b"], places: Float[np.ndarray, "b"] | None = None
    ) -> Float32[np.ndarray, "b 1 l"]:
        """Rows, of longer sounds the part at a place.

        Args:
            rows: Numbers of the sounds.
            places: Between 0, the beginning, and 1, the end; None: the middle.
        """
        x = np.zeros((len(rows), 1, self.length), np.float32)
        for target, row in enumerate(rows):
            sound = self.sounds[row]
            spare = max(0, sound.samples - self.length)
            place = 0.5 if places is None else float(places[target])
            begin = min(spare, int(place * (spare + 1)))
            found = sound.part(begin, self.length)
            x[target, 0, : len(found)] = found
        return x

    def take(self, rows: Int64[np.ndarray, "m"], axis: int = 0) -> "Clips":
        """Some of the sounds; `axis` is 0, as for an array."""
        return Clips([self.sounds[i] for i in rows], self.rate, self.length)


def digest_of(x: Float32[np.ndarray, "t"]) -> bytes:
    """SHA-256 of samples."""
    return hashlib.sha256(np.ascontiguousarray(x, "<f4").data).digest()
