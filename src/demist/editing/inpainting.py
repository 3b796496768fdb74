"""Holes filled, and images made larger: what a mask says is made anew, the rest stays as it is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demist.editing.known import Fill
from demist.editing.redrawing import as_images, as_masks, redraw, sides_of
from demist.editing.sheet import Sheet
from demist.errors import UsageError
from demist.model.images import shown
from demist.model.sampling import Sampling

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

EDGES = ("left", "right", "top", "bottom")
"""Where an image can be extended."""


def inpaint(
    pipeline: "Pipeline",
    images: np.ndarray,
    mask: np.ndarray,
    sampling: Sampling | None = None,
    *,
    n: int | None = None,
    strength: float = 1.0,
    fill: Fill = "original",
    jumps: int = 0,
    blend: int = 0,
    only_masked: bool = False,
    padding: int = 32,
    progress: bool = False,
    **cond: Any,
) -> np.ndarray:
    """Images in which what a mask says is made anew; all else stays, byte for byte.

    A model whose network is told a mask draws from what it learned of holes, at the cost of
    sampling. With any other, what is kept is put back after each step, with noise. That is exact
    for no number of steps: the hole is made by a network that sees its surroundings noised, and it
    underestimates what these say, most where one thing lies on both sides (half a digit). Each of
    `jumps` costs the evaluations once more, and brings the two together.

    An empty mask gives the images back; a mask of ones at strength 1 is `pipeline.sample`, bit for
    bit. Masks with greys are strengths of their own for each pixel (differential diffusion).

    Args:
        pipeline: The model.
        images: Bytes `(C, H, W)` or `(k, C, H, W)`.
        mask: 1 is made anew: `(H, W)` for all, or one for each; see `masks.checked_mask`.
        sampling: How.
        n: How many results of one image.
        strength: See `redraw`.
        fill: See `redraw`.
        jumps: See `redraw`.
        blend: See `redraw`.
        only_masked: Show the model only what lies around the mask, as large as it can.
        padding: Pixels around it.
        progress: Show a bar.
        cond: As in `vary`.

    Returns:
        Bytes `(n, C, H, W)`.

    References:
        See `demist.editing.known`.

    Raises:
        UsageError: An argument makes no sense for this model.
    """
    found = as_images(pipeline, images, n)
    pairs = zip(found, as_masks(mask, found), strict=True)
    sheets = [sheet_of(pipeline, x, m, only_masked, padding) for x, m in pairs]
    edit = redraw(
        pipeline, sheets, sampling, strength=strength, fill=fill, jumps=jumps, blend=blend, **cond
    )
    return shown(np.stack(edit.sample(progress=progress)))


def sheet_of(
    pipeline: "Pipeline",
    image: np.ndarray,
    mask: np.ndarray,
    only_masked: bool = False,
    padding: int = 32,
) -> Sheet:
    """An image and its mask, all of it or what lies around the mask.

    Raises:
        UsageError: `padding` is negative.
    """
    if padding < 0:
        raise UsageError(f"padding = {padding}: give 0 pixels or more")
    if only_masked and mask.any():
        return Sheet.around(image, mask, padding, sides_of(pipeline))
    return Sheet.whole(image, mask)


def outpaint(
    pipeline: "Pipeline",
    images: np.ndarray,
    extend: Mapping[str, int],
    sampling: Sampling | None = None,
    *,
    n: int | None = None,
    jumps: int = 0,
    blend: int = 0,
    progress: bool = False,
    **cond: Any,
) -> np.ndarray:
    """Images that go on beyond their edges; what there was stays, byte for byte.

    As `inpaint` on the larger image, which the model is shown at its own size.

    Args:
        pipeline: The model.
        images: Bytes `(C, H, W)` or `(k, C, H, W)`.
        extend: Pixels to add, by edge: `{"left": 32, "right": 32}`.
        sampling: How.
        n: How many results of one image.
        jumps: See `redraw`.
        blend: See `redraw`.
        progress: Show a bar.
        cond: As in `vary`.

    Returns:
        Bytes `(n, C, H + top + bottom, W + left + right)`.

    Raises:
        UsageError: An argument makes no sense for this model.
    """
    sheets = [extended(image, extend) for image in as_images(pipeline, images, n)]
    edit = redraw(pipeline, sheets, sampling, jumps=jumps, blend=blend, **cond)
    return shown(np.stack(edit.sample(progress=progress)))


def extended(image: np.ndarray, extend: Mapping[str, int]) -> Sheet:
    """An image with room at its edges, where its last row or column goes on, and the mask of it.

    Raises:
        UsageError: There is no such edge, or nothing to add.
    """
    if unknown := [name for name in extend if name not in EDGES]:
        raise UsageError(f"extend: there is no edge {unknown[0]!r}; there are {', '.join(EDGES)}")
    if any(pixels < 0 for pixels in extend.values()) or not any(extend.values()):
        raise UsageError(f"extend: {dict(extend)} adds nothing; give pixels, such as right=32")
    left, right, top, bottom = (extend.get(name, 0) for name in EDGES)
    room = ((top, bottom), (left, right))
    mask = np.pad(np.zeros(image.shape[1:], np.float32), room, constant_values=1)
    return Sheet.whole(np.pad(image, ((0, 0), *room), mode="edge"), mask)
