"""Structural similarity: how well reconstructions keep local means, contrasts and patterns.

References:
    Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment: From Error Visibility to Structural
        Similarity, 2004, IEEE Transactions on Image Processing 13(4), eq. 13.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from demist.errors import DataError

BLOCK = 64
WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation of the Gaussian window, in pixels."""
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(images: UInt8[np.ndarray, "n c h w"], rebuilt: UInt8[np.ndarray, "n c h w"]) -> float:
    """The mean over all windows that lie within the image, all channels and all images.

    1 if all are equal. In images smaller than the window it is the largest odd side that fits.

    Raises:
        DataError: There is nothing to compare.
    """
    if len(images) == 0:
        raise DataError("there are no images whose reconstructions could be compared: no pairs")
    window = _window(min(WINDOW, *(side - 1 + side % 2 for side in images.shape[2:])))
    total = 0.0
    for begin in range(0, len(images), BLOCK):
        x, y = (
            torch.from_numpy(np.array(some[begin : begin + BLOCK])).double().flatten(0, 1)[:, None]
            for some in (images, rebuilt)
        )
        total += float(_of_maps(x, y, window).mean()) * len(x)
    return float(total / (images.shape[0] * images.shape[1]))


def _of_maps(x: Tensor, y: Tensor, window: Tensor) -> Tensor:
    """Of maps `(n, 1, h, w)`, for every place of the window."""

    def local(values: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(values, window[None, None, None]), window[None, None, :, None])

    a, b = local(x), local(y)
    var_x, var_y, cov = local(x * x) - a * a, local(y * y) - b * b, local(x * y) - a * b
    return ((2 * a * b + C1) * (2 * cov + C2)) / ((a * a + b * b + C1) * (var_x + var_y + C2))


def _window(side: int) -> Tensor:
    """Weights along one axis; their sum is 1."""
    at = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    weights = torch.exp(-0.5 * (at / SIGMA) ** 2)
    return weights / weights.sum()
