"""Peak signal-to-noise ratio: how far reconstructions are off, in decibels."""

import math

import numpy as np
from jaxtyping import UInt8

from demist.errors import DataError

BLOCK = 256


def psnr(images: UInt8[np.ndarray, "n c h w"], rebuilt: UInt8[np.ndarray, "n c h w"]) -> float:
    """10 log10(255² / MSE), with the mean squared error over all numbers of all images.

    0 if every black pixel became white and every white one black; infinite if all are equal.

    Raises:
        DataError: There is nothing to compare.
    """
    if len(images) == 0:
        raise DataError("there are no images whose reconstructions could be compared: no pairs")
    total = 0.0
    for begin in range(0, len(images), BLOCK):
        a = images[begin : begin + BLOCK].astype(np.float64)
        total += float(np.square(a - rebuilt[begin : begin + BLOCK]).sum())
    error = total / images.size
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
