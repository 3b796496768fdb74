"""Euclidean distances between two sets of vectors, a block of rows at a time.

    |x - y|² = |x|² + |y|² - 2 <x, y>

turns the work into matrix products. In float64 the cancellation is harmless: for 8-bit pixels the
result is exact, and for float32 features the error is far below their own precision. Vectors nearer
than 1e-6 of their length are called identical (distance 0), as float32 cannot tell them apart.

The block is fixed, so memory stays at `BLOCK * len(y)` numbers and no result depends on batching.
`closest` takes a block of `y` at a time as well, and converts no more than that, so that bytes of
images stay bytes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64, Num

from demist.errors import UsageError

_Sliced = Any
"""An array, or what gives blocks of rows as an array does: images that stay on the disk."""

BLOCK = 512
HELD = 2**20
"""Numbers of a block of vectors that are held in float64 at once."""
SAME = 1e-12  # squared distance, relative to |x|² + |y|²


def squared_distances(
    x: Num[np.ndarray, "n d"], y: Num[np.ndarray, "m d"]
) -> Iterator[tuple[int, Float64[np.ndarray, "b m"]]]:
    """Yield `(start, block)`; the block holds rows start, start + 1, ... of the (n, m) matrix."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    yy = np.einsum("md,md->m", y, y)
    for start in range(0, len(x), BLOCK):
        part = x[start : start + BLOCK]
        scale = np.einsum("bd,bd->b", part, part)[:, None] + yy
        block = part @ y.T
        block *= -2
        block += scale
        scale *= SAME
        block[block < scale] = 0
        yield start, block


def nearest(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], k: int = 1
) -> tuple[Float64[np.ndarray, "n {k}"], Int64[np.ndarray, "n {k}"]]:
    """Distances to, and indices of, the `k` nearest rows of `y` for every row of `x`, in order."""
    distances = np.empty((len(x), k))
    indices = np.empty((len(x), k), np.int64)
    for start, block in squared_distances(x, y):
        rows = slice(start, start + len(block))
        found = block.argpartition(k - 1, axis=1)[:, :k] if k > 1 else block.argmin(1)[:, None]
        values = np.take_along_axis(block, found, axis=1)
        order = values.argsort(axis=1, kind="stable")
        distances[rows] = np.sqrt(np.take_along_axis(values, order, axis=1))
        indices[rows] = np.take_along_axis(found, order, axis=1)
    return distances, indices


def nearest_of_many(
    x: np.ndarray, y: _Sliced, k: int, heard: Callable[[int], None] = lambda rows: None
) -> tuple[Float64[np.ndarray, "n {k}"], Int64[np.ndarray, "n {k}"]]:
    """As `nearest`, where `y` may stay on the disk: a block of its rows at a time is read.

    Args:
        x: Items `(n, ...)`.
        y: Items `(m, ...)` of the same shape, at least `k`.
        k: How many neighbours.
        heard: Told how many rows of `y` were compared so far, after each block.

    Raises:
        UsageError: There are fewer than `k` items, or `k` is below 1.
    """
    require_neighbour(k)
    if len(y) < k:
        raise UsageError(f"{len(y)} items have no {k} nearest ones; give {k} or more")
    x = np.asarray(x, np.float64).reshape(len(x), -1)
    best, which = np.full((len(x), k), np.inf), np.zeros((len(x), k), np.int64)
    rows = max(16, HELD // max(x.shape))
    for start in range(0, len(y), rows):
        part = np.asarray(y[start : start + rows], np.float64)
        part = part.reshape(len(part), -1)
        index = np.broadcast_to(start + np.arange(len(part)), (len(x), len(part)))
        squares = np.concatenate([best, _squares_of_all(x, part)], axis=1)
        index = np.concatenate([which, index], axis=1)
        order = squares.argpartition(k - 1, axis=1)[:, :k]
        best = np.take_along_axis(squares, order, axis=1)
        which = np.take_along_axis(index, order, axis=1)
        heard(start + len(part))
    order = best.argsort(axis=1, kind="stable")
    return np.sqrt(np.take_along_axis(best, order, 1)), np.take_along_axis(which, order, 1)


def _squares_of_all(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.concatenate([block for _, block in squared_distances(x, y)])


def neighbour_radius(x: Float[np.ndarray, "n d"], k: int) -> Float64[np.ndarray, " n"]:
    """Distance of every row of `x` to its k-th nearest neighbour in `x`, itself not counted.

    Raises:
        UsageError: k is below 1.
    """
    require_neighbour(k)
    radius = np.empty(len(x))
    for start, block in squared_distances(x, x):
        rows = np.arange(len(block))
        block[rows, start + rows] = np.inf
        radius[start : start + len(block)] = np.sqrt(np.partition(block, k - 1, axis=1)[:, k - 1])
    return radius


@dataclass(frozen=True)
class Closest:
    """For every vector x the nearest of others, y, and what is distinct from that.

    Attributes:
        first: Distance to the nearest y.
        second: Distance to the nearest y that is distinct from it; infinite if there is none.
        spacing: Distance of the nearest y to the y nearest to it among those distinct from it.
    """

    first: Float64[np.ndarray, " n"]
    second: Float64[np.ndarray, " n"]
    spacing: Float64[np.ndarray, " n"]


def closest(x: np.ndarray, y: np.ndarray, twin: float) -> Closest:
    """The nearest vectors; see `Closest`.

    Args:
        x: Vectors `(n, d)` of any type.
        y: Vectors `(m, d)`.
        twin: Two of `y` that are no farther apart are not distinct.
    """
    rows = max(16, min(BLOCK, HELD // x.shape[1]))
    found = [_closest(x[i : i + rows], y, twin**2) for i in range(0, len(x), rows)]
    return Closest(*(np.sqrt(np.concatenate(part)) for part in zip(*found, strict=True)))


def _closest(x: np.ndarray, y: np.ndarray, twin: float) -> tuple[np.ndarray, ...]:
    """The squares of the three distances."""
    x = np.asarray(x, np.float64)
    first, which = np.full(len(x), np.inf), np.zeros(len(x), np.int64)
    for start, part in _blocks(y):
        distance = _squares(x, part)
        best = distance.argmin(1)
        least = np.take_along_axis(distance, best[:, None], 1)[:, 0]
        nearer = least < first
        first[nearer], which[nearer] = least[nearer], start + best[nearer]
    nearest_y = np.asarray(y[which], np.float64)
    second, spacing = np.full(len(x), np.inf), np.full(len(x), np.inf)
    for _, part in _blocks(y):
        apart = _squares(nearest_y, part)
        distinct = apart > twin
        spacing = np.minimum(spacing, np.where(distinct, apart, np.inf).min(1))
        second = np.minimum(second, np.where(distinct, _squares(x, part), np.inf).min(1))
    return first, second, spacing


def _blocks(y: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Parts of `y` in float64, with the number of the first row."""
    rows = max(16, HELD // y.shape[1])
    for start in range(0, len(y), rows):
        yield start, np.asarray(y[start : start + rows], np.float64)


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances of all pairs; see `squared_distances`."""
    return next(squared_distances(x, y))[1] if len(x) else np.empty((0, len(y)))


def require_neighbour(k: int) -> None:
    """Raise UsageError unless there is a k-th neighbour."""
    if k < 1:
        raise UsageError(f"k = {k}: the nearest neighbour is number 1; give 1 or more")
