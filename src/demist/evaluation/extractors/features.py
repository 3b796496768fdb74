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

BLOCK = 4096
"""Rows that are looked at or converted at once."""

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


def pixels(images: UInt8[np.ndarray, "n c h w"]) -> UInt8[np.ndarray, "n chw"]:
    """The images themselves as vectors of 0..255: the same bytes, which no copy doubles.

    Distances convert them to float64, in which they are exact, a block at a time.
    """
    return images.reshape(len(images), -1)


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
    vectors = np.empty((0, 0), np.float32)
    with torch.inference_mode():
        for start in range(0, len(images), block):
            part = images[start : start + block]
            padded = np.zeros((block, *images.shape[1:]), np.uint8)
            padded[: len(part)] = part
            found = network(torch.from_numpy(padded))[: len(part)].numpy()
            if start == 0:
                vectors = np.empty((len(images), *found.shape[1:]), found.dtype)
            vectors[start : start + len(part)] = found
    return vectors


def as_matrix(
    features: Float[np.ndarray, "n d"], least: int = 1, name: str = "features"
) -> Float64[np.ndarray, "n d"]:
    """The features in float64, after checking that there are enough and that all are finite.

    Raises:
        DataError: fewer than `least` rows, or a NaN or an infinity among the numbers.
    """
    require_numbers(features, least, name)
    return np.asarray(features, np.float64)


def require_numbers(features: np.ndarray, least: int = 1, name: str = "features") -> None:
    """Raise as `as_matrix` does, without a copy in float64."""
    if len(features) < least:
        raise DataError(
            f"{len(features)} {name} are too few for this metric; it needs at least {least}."
        )
    if features.dtype.kind != "f":
        return
    blocks = (features[i : i + BLOCK] for i in range(0, len(features), BLOCK))
    bad = sum(int((~np.isfinite(block)).any(axis=1).sum()) for block in blocks)
    if bad:
        raise DataError(
            f"{bad} of {len(features)} {name} contain NaN or infinity, so every number made from "
            "them would too; look for the images (or the extractor) that made them."
        )


def require_alike(x: np.ndarray, y: np.ndarray) -> None:
    """Raise DataError if vectors have different lengths."""
    if x.shape[-1] != y.shape[-1]:
        raise DataError(
            f"Features of length {x.shape[-1]} and {y.shape[-1]} cannot be compared; "
            "use one extractor for both sets."
        )


def quotient(a: float, b: float) -> float:
    """Ratio a / b of two that are 0 or more; two zeros are alike, and 0 is infinitely far below."""
    return float(a / b) if b > 0 else (1.0 if a == 0 else float("inf"))


def take(array: Any, count: int, rng: np.random.Generator) -> Any:
    """`count` rows of `array` in random order, without repetition."""
    return array[rng.permutation(len(array))[:count]]
