"""Holes drawn at random, for models that learn to fill them: rectangles and strokes.

Half of the images get rectangles, half strokes, each up to `MOST` of them; one in ten is hidden
whole, so that the model also makes images. All is a function of uniform numbers, so that the same
numbers give the same holes.

References:
    Suvorov et al. 2022, "Resolution-robust Large Mask Inpainting with Fourier Convolutions",
    arXiv:2109.07161, section 2.4 (wide masks: rectangles and strokes, as many of each).
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

MOST = 3
"""Rectangles or strokes in one image."""
NUMBERS = 3 + 5 * MOST
"""Uniform numbers that one image takes."""
WHOLE = 0.1
"""Share of the images that are hidden whole."""


def holes(u: Float[Tensor, "n k"], height: int, width: int) -> UInt8[Tensor, "n 1 h w"]:
    """Masks of 0 (kept) and 1 (made anew); no mask is empty.

    Args:
        u: `NUMBERS` independent numbers in (0, 1) for each image.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
    """
    n = len(u)
    y = ((torch.arange(height) + 0.5) / height).reshape(1, 1, height, 1)
    x = ((torch.arange(width) + 0.5) / width).reshape(1, 1, 1, width)
    whole, round_, count = (u[:, i].reshape(n, 1, 1, 1) for i in range(3))
    parts = u[:, 3:].reshape(n, MOST, 5)
    a, b, c, d, thick = (parts[:, :, i].reshape(n, MOST, 1, 1) for i in range(5))
    high, wide = (0.15 + 0.45 * c).clamp(2 / height), (0.15 + 0.45 * d).clamp(2 / width)
    box = ((y - a).abs() < high / 2) & ((x - b).abs() < wide / 2)
    # A stroke holds all that is near a line from (a, b) to (c, d).
    along = ((y - a) * (c - a) + (x - b) * (d - b)) / ((c - a) ** 2 + (d - b) ** 2 + 1e-9)
    along = along.clamp(0, 1)
    away = (y - a - along * (c - a)) ** 2 + (x - b - along * (d - b)) ** 2
    stroke = away < (0.04 + 0.08 * thick).clamp(1 / min(height, width)) ** 2
    used = torch.arange(MOST).reshape(1, MOST, 1, 1) < 1 + (count * MOST).floor()
    found = (torch.where(round_ < 0.5, box, stroke) & used).any(1, keepdim=True)
    return (found | (whole < WHOLE)).to(torch.uint8)
