"""The best linear code of images: what an autoencoder of the same size has to beat.

Images are cut into patches, and each patch becomes its first principal components. No linear code
of as many numbers per patch has a smaller squared error on the images it was fitted to.

References:
    Eckart, Young: The approximation of one matrix by another of lower rank, 1936, Psychometrika 1.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from demist.errors import DataError
from demist.evaluation.metrics.psnr import psnr

BLOCK = 64
"""Images that are looked at together."""


@dataclass(frozen=True)
class LinearCode:
    """A linear code of patches.

    Attributes:
        factor: Side of the patches.
        mean: Of a patch, channel by channel and row by row, `(C f f,)`, float64.
        axes: Directions of the components, of length 1, the first one the most telling:
            `(k, C f f)`.
    """

    factor: int
    mean: Tensor
    axes: Tensor

    def encode(self, x: UInt8[np.ndarray, "n c h w"]) -> Float[Tensor, "n k h_small w_small"]:
        """The code of images, in units of a byte."""
        patches = _patches(x, self.factor) - self.mean[:, None, None]
        return torch.einsum("kp,nphw->nkhw", self.axes, patches)

    def decode(self, z: Float[Tensor, "n k h w"]) -> UInt8[np.ndarray, "n c h_big w_big"]:
        """Images of codes, rounded."""
        patches = torch.einsum("kp,nkhw->nphw", self.axes, z) + self.mean[:, None, None]
        images: np.ndarray = F.pixel_shuffle(patches, self.factor).round().clamp(0, 255).numpy()
        return images.astype(np.uint8)

    def psnr(self, x: UInt8[np.ndarray, "n c h w"]) -> float:
        """PSNR of the reconstructions of images, in decibels."""
        parts = [x[begin : begin + BLOCK] for begin in range(0, len(x), BLOCK)]
        return psnr(x, np.concatenate([self.decode(self.encode(part)) for part in parts]))


def linear_code(x: UInt8[np.ndarray, "n c h w"], factor: int, channels: int) -> LinearCode:
    """The best linear code of images.

    Args:
        x: The images, some hundreds or thousands.
        factor: How many times smaller the sides of the code are.
        channels: Numbers for each patch; no more than a patch has are used.

    Raises:
        DataError: There are no images, or their sides are no multiples of `factor`.
    """
    if not len(x) or x.shape[2] % factor or x.shape[3] % factor:
        raise DataError(
            f"a linear code with sides {factor} times smaller needs images with sides that are "
            f"multiples of {factor}, and these are of shape {x.shape}"
        )
    size = x.shape[1] * factor**2
    total, products = torch.zeros(size).double(), torch.zeros(size, size).double()
    count = 0
    for begin in range(0, len(x), BLOCK):
        rows = _patches(x[begin : begin + BLOCK], factor).transpose(0, 1).flatten(1)
        total, products = total + rows.sum(1), products + rows @ rows.T
        count += rows.shape[1]
    mean = total / count
    axes = torch.linalg.eigh(products / count - torch.outer(mean, mean))[1]
    return LinearCode(factor, mean, axes[:, -channels:].flip(1).T.contiguous())


def _patches(x: np.ndarray, factor: int) -> Tensor:
    return F.pixel_unshuffle(torch.from_numpy(np.ascontiguousarray(x)).double(), factor)
