"""Samples as one page: images as a labelled grid, points as a scatter or histogram."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from demist.drawing.grid import image_grid
from demist.drawing.scatter import round_up, scatter


def draw(x: np.ndarray, labels: Sequence[str] = (), columns: int | None = None) -> Image.Image:
    """The page of some samples.

    Args:
        x: Images `(n, C, H, W)` or points `(n, D)`.
        labels: Of the images, one each.
        columns: Images in a row; None: about as many as there are rows.
    """
    if x.ndim == 2:
        return scatter(x)
    return image_grid(x, labels=labels or None, columns=columns)


def film(
    states: Sequence[np.ndarray], labels: Sequence[str] = (), columns: int | None = None
) -> list[Image.Image]:
    """One page per state; points share one scale, the last state's."""
    if states[0].ndim == 2:
        limit = round_up(1.5 * float(np.abs(states[-1]).max()))
        return [scatter(x, limit=limit) for x in states]
    return [draw(x, labels, columns) for x in states]
