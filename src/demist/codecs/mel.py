"""The mel scale, and the triangles over it by which a spectrum becomes a few bands.

Slaney's scale: linear up to 1,000 Hz, 200 / 3 Hz a mel; logarithmic above, 27 mels to a factor of
6.4. Triangles have area 2 / Hz, so that all bands see white noise alike.

References:
    Slaney 1998, "Auditory Toolbox", technical report 1998-010, Interval Research.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

LINEAR, BREAK, STEP = 200 / 3, 1000.0, math.log(6.4) / 27
"""Hz a mel below the break, the break in Hz, and the logarithm of a mel's factor above it."""


def mels(hertz: np.ndarray | float) -> np.ndarray:
    """Frequencies in Hz to mels."""
    f = np.asarray(hertz, np.float64)
    return np.where(
        f < BREAK, f / LINEAR, BREAK / LINEAR + np.log(np.maximum(f, BREAK) / BREAK) / STEP
    )


def hertz(mel: np.ndarray | float) -> np.ndarray:
    """Mels to frequencies in Hz."""
    m, corner = np.asarray(mel, np.float64), BREAK / LINEAR
    return np.where(m < corner, m * LINEAR, BREAK * np.exp(STEP * (np.maximum(m, corner) - corner)))


def edges(rate: int, bands: int) -> np.ndarray:
    """Ends and tops of the triangles in Hz, `(bands + 2,)`: band i rises from i to i + 1."""
    return hertz(np.linspace(0.0, mels(rate / 2), bands + 2))


def filterbank(rate: int, window: int, bands: int) -> Float[np.ndarray, "m f"]:
    """Weights of the frequencies 0, rate / window, ..., rate / 2 in every band.

    Args:
        rate: Samples a second.
        window: Samples in a spectrum.
        bands: How many.
    """
    ends, f = edges(rate, bands), np.arange(window // 2 + 1) * rate / window
    low, top, high = ends[:-2, None], ends[1:-1, None], ends[2:, None]
    rising, falling = (f - low) / (top - low), (high - f) / (high - top)
    weights: np.ndarray = np.maximum(0.0, np.minimum(rising, falling)) * 2 / (high - low)
    return weights


@lru_cache(maxsize=8)
def bank(rate: int, window: int, bands: int) -> Tensor:
    """`filterbank` as float32."""
    return torch.from_numpy(filterbank(rate, window, bands).astype(np.float32))
