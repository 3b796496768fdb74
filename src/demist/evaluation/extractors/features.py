"""From 8-bit images to feature vectors.

Every metric of this package works on feature matrices of shape (N, D), and anything that turns
uint8 images into such a matrix will do: the penultimate layer of a classifier, a downloaded
extractor, or the pixels themselves. Images are uint8 on purpose: generated images are rounded to
8 bits before they are measured, as they would be when written to a file, because some extractors
see the difference [1].

References:
    [1] Parmar, Zhang, Zhu. On Aliased Resizing and Surprising Subtleties in GAN Evaluation, 2022.
        https://arxiv.org/abs/2104.11222
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor

from demist.errors import DataError

Features = Callable[[np.ndarray], np.ndarray]
"""`features(images) -> vectors`: uint8 (N, C, H, W) in, floating point (N, D) out."""


@runtime_checkable
class Extractor(Protocol):
    """What turns images into features.

    Attributes:
        recipe: Where it comes from, with a hash; printed beside every number made with it.
        dimension: Length D of the features.
    """

    @property
    def recipe(self) -> str: ...
    @property
    def dimension(self) -> int: ...

    def see(self, images: UInt8[np.ndarray, "n c h w"]) -> Float32[np.ndarray, "n ds"]:
        """D features per image, and behind them spatial ones, in any number, for sFID."""
        ...


def pixels(images: UInt8[np.ndarray, "n c h w"]) -> Float64[np.ndarray, "n chw"]:
    """The images themselves as vectors of 0..255; distances between them are exact in float64."""
    return images.reshape(len(images), -1).astype(np.float64)


def in_blocks(
    network: Callable[[Tensor], Tensor], images: UInt8[np.ndarray, "n c h w"], block: int = 256
) -> Float32[np.ndarray, "n d"]:
    """Apply `network` to blocks of exactly `block` images, the last one padded with black.

    The network always sees the same shape, so the caller's own batching leaves no trace.

    Arguments:
        network: maps a uint8 tensor (block, C, H, W) to a float32 tensor (block, D).
        images: any number of images, at least one.
        block: images per call.

    Raises:
        DataError: there is no image.
    """
    if len(images) == 0:
        raise DataError("There are 0 images to measure; pass at least one.")
    vectors = []
    with torch.inference_mode():
        for start in range(0, len(images), block):
            part = images[start : start + block]
            padded = np.zeros((block, *images.shape[1:]), np.uint8)
            padded[: len(part)] = part
            vectors.append(network(torch.from_numpy(padded))[: len(part)].numpy())
    return np.concatenate(vectors)


def as_matrix(
    features: Float[np.ndarray, "n d"], least: int = 1, name: str = "features"
) -> Float64[np.ndarray, "n d"]:
    """The features in float64, after checking that there are enough and that all are finite.

    Raises:
        DataError: fewer than `least` rows, or a NaN or an infinity among the numbers.
    """
    if len(features) < least:
        raise DataError(
            f"{len(features)} {name} are too few for this metric; it needs at least {least}."
        )
    matrix = np.asarray(features, np.float64)
    bad = int((~np.isfinite(matrix)).any(axis=1).sum())
    if bad:
        raise DataError(
            f"{bad} of {len(matrix)} {name} contain NaN or infinity, so every number made from "
            "them would too; look for the images (or the extractor) that made them."
        )
    return matrix


def take(array: Any, count: int, rng: np.random.Generator) -> Any:
    """`count` rows of `array` in random order, without repetition."""
    return array[rng.permutation(len(array))[:count]]
