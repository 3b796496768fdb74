"""Classes for data that has none, so that a judge can be trained on it: clusters of pixels.

Telling apart what looks different is enough of a task to learn features from ([1] alternates it
with clustering anew; once is enough here). The clusters are k-means [2] on the leading principal
components of the pixels.

References:
    [1] Caron et al. Deep Clustering for Unsupervised Learning of Visual Features, 2018.
        https://arxiv.org/abs/1807.05520
    [2] Arthur, Vassilvitskii. k-means++: The Advantages of Careful Seeding, 2007.
"""

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from demist.evaluation.extractors.features import pixels
from demist.evaluation.metrics.distances import nearest

COMPONENTS, MOST, ROUNDS, BLOCK = 32, 10_000, 30, 1024
HELD = 2**25
"""Numbers of images that are held in float64 at once, to find the axes."""


def clusters(
    images: UInt8[np.ndarray, "n c h w"],
    others: UInt8[np.ndarray, "m c h w"],
    k: int = 16,
    seed: int = 0,
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " m"]]:
    """Cluster `images`, and name the nearest cluster of each of `others`.

    Arguments:
        images: at least two.
        others: of the same shape.
        k: how many clusters, at most one for every two images.
        seed: of the starting centres.
    """
    rng = np.random.default_rng(seed)
    x = pixels(images)
    most = max(COMPONENTS, min(MOST, HELD // x.shape[1]))
    some = x[rng.permutation(len(x))[:most]].astype(np.float64)
    mean = some.mean(0)
    some -= mean
    axes = _axes(some)
    centres = _k_means(some @ axes, max(2, min(k, len(images) // 2)), rng)

    def named(y: UInt8[np.ndarray, "n d"]) -> Int64[np.ndarray, " n"]:
        blocks = (y[i : i + BLOCK] for i in range(0, len(y), BLOCK))
        return np.concatenate([nearest((b - mean) @ axes, centres)[1][:, 0] for b in blocks])

    return named(x), named(pixels(others))


def _axes(x: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "d c"]:
    """The leading principal axes of centred vectors, from whichever of X Xᵀ, Xᵀ X is smaller."""
    if len(x) >= x.shape[1]:
        return np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :COMPONENTS]
    values, vectors = np.linalg.eigh(x @ x.T)
    there = np.flatnonzero(values > 1e-9 * max(values[-1], 1e-300))[::-1][:COMPONENTS]
    axes: np.ndarray = x.T @ (vectors[:, there] / np.sqrt(values[there]))
    return axes


def _k_means(
    x: Float64[np.ndarray, "n d"], k: int, rng: np.random.Generator
) -> Float64[np.ndarray, "k d"]:
    centres: np.ndarray = x[rng.integers(len(x))][None]
    while len(centres) < k:  # the next where points are far from all so far
        weight = nearest(x, centres)[0][:, 0] ** 2 + 1e-300
        centres = np.concatenate([centres, x[rng.choice(len(x), p=weight / weight.sum())][None]])
    for _ in range(ROUNDS):
        labels = nearest(x, centres)[1][:, 0]
        there = np.unique(labels)
        centres[there] = [x[labels == j].mean(0) for j in there]
    return centres
