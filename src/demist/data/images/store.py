"""What is gathered while many images are decoded: the images, and how far their numbers reach."""

import hashlib
import math
from dataclasses import replace

import numpy as np

from demist.data.dataset import Samples, samples_digest
from demist.data.files.tree import Tree
from demist.data.images.decode import Deep
from demist.data.images.lazy import LazyImages
from demist.data.images.levels import Levels, in_words, levels_of
from demist.data.images.rules import Rules
from demist.errors import DataError
from demist.machine.memory import check_memory, fits


class Store:
    """Takes in images one by one, into memory unless it would not hold them."""

    def __init__(self, tree: Tree, count: int, may_stay: bool) -> None:
        self._tree, self._count, self._may_stay = tree, count, may_stay
        self._x = np.empty((0, 1, 0, 0), np.uint8)
        self._stay, self._digest = False, hashlib.sha256()
        self._exact = True  # whether the digest is that of the images as they are in the end
        self._first, self._good = "", set[int]()

    def put(self, index: int, name: str, pixels: np.ndarray) -> None:
        """Take an image in.

        Raises:
            DataError: It has another size than those before, or memory would not hold all.
        """
        channels, sides = len(pixels), pixels.shape[1:]
        if not self._good:
            self._first = name
            self._begin(channels, sides)
        elif sides != self._x.shape[2:]:
            raise DataError(_mismatch(self._first, self._x.shape[2:], name, sides))
        elif channels > self._x.shape[1]:
            self._widen(channels)
        if not self._stay:
            self._x[index] = pixels  # grey is repeated
        elif channels == self._x.shape[1]:
            self._digest.update(np.ascontiguousarray(pixels).data)
        else:
            self._exact = False
        self._good.add(index)

    def _begin(self, channels: int, sides: tuple[int, ...]) -> None:
        shape = (self._count, channels, *sides)
        self._stay = self._may_stay and not fits(shape)
        if not self._stay:
            check_memory(shape, str(self._tree.path))
        self._x = np.empty((0 if self._stay else self._count, *shape[1:]), np.uint8)
        self._digest = samples_digest(self._x.dtype, shape)

    def _widen(self, channels: int) -> None:
        """The first image in colour after grey ones."""
        before = self._x
        self._begin(channels, before.shape[2:])
        if self._stay:
            self._exact = False
        else:
            self._x[: len(before)] = before

    def taken(self, names: list[str], rules: Rules) -> tuple[list[int], Samples]:
        """Positions of the images, and the images."""
        kept, x = sorted(self._good), self._x
        if self._stay:  # files that can be reached at random come in the order of `names`
            known = self._digest if self._exact and len(kept) == self._count else None
            now = replace(rules, channels=x.shape[1])
            return kept, LazyImages(self._tree, [names[i] for i in kept], now, x.shape[1:], known)
        if len(kept) < len(x):
            for target, index in enumerate(kept):  # close the gaps in place: x may be large
                x[target] = x[index]
        return kept, x[: len(kept)]


class Reach:
    """How far numbers that are not bytes reach, over many images."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self._whole = True

    def add(self, deep: Deep | None) -> None:
        """Take in an image's."""
        if deep is not None:
            self.extend(deep.low, deep.high, deep.whole)

    def extend(self, low: float, high: float, whole: bool) -> None:
        """Take in numbers from `low` to `high`; `whole`: they are integers."""
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._whole = self._whole and whole

    def in_words(self, levels: Levels | None) -> str:
        """What became of the numbers; "" if there are none."""
        return "" if levels is None or not self else in_words(levels, self.low, self.high)

    def levels(self, name: str) -> Levels:
        """What becomes black and white; see `levels_of`."""
        return levels_of(self.low, self.high, self._whole, name)

    def __bool__(self) -> bool:
        return self.low <= self.high


def _mismatch(one: str, sides: tuple[int, ...], other: str, other_sides: tuple[int, ...]) -> str:
    (h, w), (other_h, other_w) = sides, other_sides
    return (
        f"{one!r} is {w} x {h} pixels and {other!r} is {other_w} x {other_h}: "
        "pass --size to give all images one size"
    )
