"""Euclidean distances between two sets of vectors, a block of rows at a time.

    |x - y|² = |x|² + |y|² - 2 <x, y>

turns the work into matrix products. In float64 the cancellation is harmless: for 8-bit pixels the
result is exact, and for float32 features the error is far below their own precision. Vectors nearer
than 1e-6 of their length are called identical (distance 0), as float32 cannot tell them apart.

The block is fixed, so memory stays at `BLOCK * len(y)` numbers and no result depends on batching.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float64, Int64

BLOCK = 512
SAME = 1e-12  # squared distance, relative to |x|² + |y|²


def squared_distances(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]
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


def neighbour_radius(x: Float[np.ndarray, "n d"], k: int) -> Float64[np.ndarray, " n"]:
    """Distance of every row of `x` to its k-th nearest neighbour in `x`, itself not counted."""
    radius = np.empty(len(x))
    for start, block in squared_distances(x, x):
        rows = np.arange(len(block))
        block[rows, start + rows] = np.inf
        radius[start : start + len(block)] = np.sqrt(np.partition(block, k - 1, axis=1)[:, k - 1])
    return radius
