"""Masks: how far each pixel is made anew, from 0 (kept) to 1 (anew).

A mask is an array `(H, W)` of float32. Only numbers that are exactly 0 are outside of it. One
between 0 and 1 is a strength of its own for its pixel; a mask without such greys is called hard.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from demist.errors import UsageError

Mask = Float[np.ndarray, "_ _"]
"""0 (kept) to 1 (anew)."""

TOUCHED = 1e-6
"""A share of a pixel above which it counts as touched, for sums that round."""


class Box(NamedTuple):
    """A rectangle of pixels, from its upper left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        """Its columns."""
        return slice(self.x, self.x + self.width)


def parse_box(text: str) -> Box:
    """A box from `x,y,width,height`.

    Raises:
        UsageError: It is not four whole numbers, or has no area.
    """
    if not re.fullmatch(r"\s*-?\d+(\s*,\s*-?\d+){3}\s*", text):
        raise UsageError(f"box {text!r}: write x,y,width,height in pixels, such as 8,8,16,12")
    box = Box(*(int(word) for word in text.split(",")))
    if box.width < 1 or box.height < 1:
        raise UsageError(f"box {text!r}: its width and its height must be 1 or more")
    return box


def of_boxes(boxes: Sequence[Box], sides: tuple[int, int]) -> Mask:
    """1 within the boxes; what of them lies outside of the image does not count.

    Args:
        boxes: Some.
        sides: Height and width of the image.

    Raises:
        UsageError: One lies outside altogether.
    """
    mask = np.zeros(sides, np.float32)
    for box in boxes:
        left, top = max(0, box.x), max(0, box.y)
        part = mask[top : max(0, box.y + box.height), left : max(0, box.x + box.width)]
        if not part.size:
            raise UsageError(
                f"box {','.join(map(str, box))} lies outside of the image, which is {sides[1]} "
                f"pixels wide and {sides[0]} high"
            )
        part[:] = 1
    return mask


def checked_mask(mask: np.ndarray, sides: tuple[int, int]) -> Mask:
    """A mask from an array of numbers in [0, 1], of truths, or of bytes where 255 is anew.

    Args:
        mask: `(H, W)` or `(1, H, W)`.
        sides: Height and width of the image.

    Raises:
        UsageError: Another shape, or other numbers.
    """
    found = np.asarray(mask)
    found = found[0] if found.shape[:-2] == (1,) else found
    if found.shape != sides:
        raise UsageError(
            f"a mask of shape {np.shape(mask)} for an image of height {sides[0]} and width "
            f"{sides[1]}; give one of the same size (masks.resized makes one)"
        )
    # Bytes of 0 and 1 alone are a mask, too, as conditions take it.
    scale = 255.0 if found.dtype == np.uint8 and found.max(initial=0) > 1 else 1.0
    values = found.astype(np.float32) / np.float32(scale)
    if not ((values >= 0) & (values <= 1)).all():
        raise UsageError(
            "a mask holds numbers from 0 (keep) to 1 (make anew), or bytes from 0 to 255"
        )
    return values


def is_hard(mask: np.ndarray) -> bool:
    """Whether all of a mask, or of several, is 0 or 1."""
    return bool(((mask == 0) | (mask == 1)).all())


def shaped(
    mask: Mask,
    *,
    threshold: float | None = None,
    invert: bool = False,
    grow: int = 0,
    blur: float = 0.0,
) -> Mask:
    """The mask as it is wanted; the changes come in the order of the arguments.

    Args:
        mask: Any.
        threshold: From here on 1, below 0; None: greys stay.
        invert: Keep what was to be made anew, and the other way round.
        grow: Pixels by which it grows to all sides, in squares; below 0 it shrinks.
        blur: Standard deviation in pixels of a Gaussian that makes its edge soft; it ends at three
            of them.
    """
    if threshold is not None:
        mask = (mask >= threshold).astype(np.float32)
    if invert:
        mask = 1 - mask
    if grow:
        mask = grown(mask, grow) if grow > 0 else 1 - grown(1 - mask, -grow)
    return blurred(mask, blur) if blur else mask


def grown(mask: Mask, pixels: int) -> Mask:
    """The largest value within so many pixels to all sides, in squares."""
    x = torch.from_numpy(mask)[None, None]
    for axis in ((1, 0), (0, 1)):
        size = tuple(2 * pixels * one + 1 for one in axis)
        padded = F.pad(x, (pixels * axis[1],) * 2 + (pixels * axis[0],) * 2)
        x = F.max_pool2d(padded, size, 1)
    return np.asarray(x[0, 0].numpy())


def blurred(mask: Mask, std: float) -> Mask:
    """A Gaussian mean, as if the mask went on beyond the image as it is at the border."""
    reach = max(1, round(3 * std))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / std) ** 2)
    weights = weights / weights.sum()
    x = torch.from_numpy(mask).double()[None, None]
    x = F.conv2d(_bordered(x, 0, reach), weights[None, None, :, None])
    x = F.conv2d(_bordered(x, reach, 0), weights[None, None, None, :])
    x = torch.where(x < TOUCHED, 0, torch.where(x > 1 - TOUCHED, 1, x))
    return np.asarray(x[0, 0].float().numpy())


def _bordered(x: Tensor, across: int, down: int) -> Tensor:
    return F.pad(x, (across, across, down, down), mode="replicate")


def fading(mask: Mask, width: int) -> Mask:
    """How much of what was made anew is shown: 1, and less within `width` pixels of the edge.

    Outside of the mask it is 0 whatever the width, and there is no edge where the image ends.
    """
    inside = (mask > 0).astype(np.float32)
    if width < 1:
        return inside
    layers = [1 - grown(1 - inside, k) if k else inside for k in range(width + 1)]
    return np.asarray(np.mean(layers, axis=0, dtype=np.float32))


def resized(mask: Mask, sides: tuple[int, int]) -> Mask:
    """The mask for another size: the mean over its pixels; of a hard mask 1 from a half on."""
    if mask.shape == sides:
        return mask
    mean = _means(mask, sides)
    return (mean >= 0.5).astype(np.float32) if is_hard(mask) else mean


def covering(mask: Mask, sides: tuple[int, int]) -> Mask:
    """The mask for another size, in which every pixel that is touched is in the mask."""
    if mask.shape == sides:
        return mask
    mean = _means(mask, sides)
    return (mean > TOUCHED).astype(np.float32) if is_hard(mask) else mean


def _means(mask: Mask, sides: tuple[int, int]) -> Mask:
    image = Image.fromarray(mask).resize(sides[::-1], Image.Resampling.BOX)
    return np.asarray(image, np.float32).clip(0, 1)


def of_states(masks: Float[np.ndarray, "n h w"], shape: tuple[int, ...]) -> Tensor:
    """Masks at the size of states, `(n, 1, h, w)`: the largest value of the pixels of each.

    So every latent of which a pixel is touched is made anew.

    Args:
        masks: Of pixels.
        shape: Of one state, `(k, h, w)`.
    """
    _, height, width = shape
    return F.adaptive_max_pool2d(torch.from_numpy(masks)[:, None], (height, width))


def bounds(mask: Mask) -> Box:
    """The smallest box around all of the mask, which must not be empty."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    x, y = int(columns[0]), int(rows[0])
    return Box(x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)
