"""Images of several shapes, each brought to the nearest of a few: aspect-ratio buckets.

References:
    Podell et al. 2023, "SDXL", arXiv:2307.01952, section 2.3 (multi-aspect training).
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int64

from demist.data.files.tree import Tree
from demist.data.images.rules import Rules
from demist.errors import DataError, UsageError
from demist.machine.memory import check_memory

LONGEST = 4
"""Longer side of a chosen bucket in units of the shorter one, at most."""


def choose_buckets(count: int, sides: tuple[int, int], multiple: int) -> tuple[Any, ...]:
    """`count` shapes of about the area of `sides`, the nearest to them in shape first.

    Args:
        count: How many, 1 or more.
        sides: Height and width, the first bucket.
        multiple: Of which all sides are multiples.

    Raises:
        UsageError: There are not so many.
    """
    area, found = sides[0] * sides[1], {sides}
    for short in range(multiple, math.isqrt(area) + 1, multiple):
        long = max(1, round(area / short / multiple)) * multiple
        if short < long <= LONGEST * short:
            found |= {(short, long), (long, short)}
    away = {s: abs(math.log(s[1] / s[0] * sides[0] / sides[1])) for s in found}
    order = sorted(found, key=lambda s: (round(away[s], 9), s))
    if not 1 <= count <= len(order):
        raise UsageError(
            f"buckets = {count}: sides that are multiples of {multiple} make {len(order)} shapes "
            f"of about {sides[0]}x{sides[1]} pixels; choose 1 to {len(order)}, or a larger --size"
        )
    return tuple(order[:count])


@dataclass(frozen=True, eq=False)
class Bucketed:
    """Images of a few shapes, used like an array where all rows that are asked for have one shape.

    Attributes:
        parts: The images of each bucket, `(n, C, h, w)`; those of the first are of the shape that
            all have where only one can be named. It may be empty.
        which: The bucket of each image, `(N,)`.
    """

    parts: tuple[Any, ...]
    which: Int64[np.ndarray, "n"]

    @property
    def dtype(self) -> Any:
        """Of the images."""
        return self.parts[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of images, and the shape of those of the first bucket."""
        return (len(self.which), *self.parts[0].shape[1:])

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of one image of each bucket."""
        return tuple(part.shape[1:] for part in self.parts)

    @cached_property
    def places(self) -> Int64[np.ndarray, "n"]:
        """Where each image lies among those of its bucket."""
        out = np.empty(len(self.which), np.int64)
        for k in range(len(self.parts)):
            here = self.which == k
            out[here] = np.arange(here.sum())
        return out

    @property
    def digest(self) -> Any:
        """SHA-256 of buckets and images, to be updated by what else there is."""
        found = hashlib.sha256(repr((str(self.dtype), self.shapes)).encode())
        found.update(self.which.astype("<i8").tobytes())
        for part in self.parts:
            found.update(np.ascontiguousarray(part).data)
        return found

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Rows of one bucket.

        Raises:
            DataError: They are of several.
        """
        rows = np.arange(len(self))[index]
        kinds = np.unique(self.which[rows])
        if len(kinds) != 1:
            raise DataError("images of several buckets have no one shape; ask bucket by bucket")
        found: np.ndarray = self.parts[int(kinds[0])][self.places[rows]]
        return found

    def take(self, rows: Int64[np.ndarray, "m"], axis: int = 0) -> "Bucketed":
        """Some of the images, in the order of `rows`; `axis` is 0, as for an array."""
        which = self.which[rows]
        parts = [part[self.places[rows[which == k]]] for k, part in enumerate(self.parts)]
        return Bucketed(tuple(parts), which)

    def rows(self, bucket: int) -> Int64[np.ndarray, "m"]:
        """The images of a bucket."""
        return np.flatnonzero(self.which == bucket)

    @property
    def fullest(self) -> int:
        """The bucket with most images."""
        return int(np.bincount(self.which, minlength=len(self.parts)).argmax())

    def words(self, before: Any) -> str:
        """The buckets, how many images each has, and of what sizes these were.

        Args:
            before: Height and width of the smallest and the largest; None: not known.
        """
        counts = np.bincount(self.which, minlength=len(self.parts))
        named = [f"{h}x{w} ({n:,})" for (_, h, w), n in zip(self.shapes, counts, strict=True) if n]
        text = f"They are in {len(named)} buckets of one shape each: {', '.join(named)}."
        if before is None:
            return text
        small, large = ("x".join(map(str, sides)) for sides in before)
        return f"{text} They were {small} to {large} (height x width)."


def one_shape(x: Any) -> Any:
    """Samples of one shape to measure on: all, or those of the fullest bucket."""
    return x.parts[x.fullest] if isinstance(x, Bucketed) else x


class BucketStore:
    """Takes in images one by one, as `demist.data.images.store.Store` does, into buckets."""

    def __init__(self, tree: Tree, count: int, rules: Rules) -> None:
        self._tree, self._count, self._buckets = tree, count, rules.buckets
        self._found: dict[int, np.ndarray] = {}

    def put(self, index: int, name: str, pixels: np.ndarray) -> None:
        """Take an image in.

        Raises:
            DataError: Memory would not hold all.
        """
        if not self._found:
            check_memory((2 * self._count, *pixels.shape), str(self._tree.path))
        self._found[index] = pixels

    def taken(self, names: list[str], rules: Rules) -> tuple[list[int], Bucketed]:
        """Positions of the images, and the images."""
        kept = sorted(self._found)
        channels = max((len(x) for x in self._found.values()), default=1)
        images: list[list[np.ndarray]] = [[] for _ in self._buckets]
        which = []
        for index in kept:
            x = self._found.pop(index)
            k = self._buckets.index((x.shape[1], x.shape[2]))
            images[k].append(x if len(x) == channels else np.repeat(x, channels, 0))
            which.append(k)
        parts = [
            np.stack(some) if some else np.empty((0, channels, *sides), np.uint8)
            for some, sides in zip(images, self._buckets, strict=True)
        ]
        return kept, Bucketed(tuple(parts), np.array(which, np.int64))
