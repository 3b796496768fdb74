"""What the reader did to each image, as columns: its size before, where it was cut, its size now.

A model that is told of it need not take small and cut images for what it should make.
"""

from collections.abc import Mapping

import numpy as np

from demist.data.column import Column
from demist.data.images.buckets import Bucketed
from demist.data.images.rules import Rules

NAMES = ("original_size", "crop", "target_size")
"""Of the columns."""
SIZE, CORNER = ("height", "width"), ("top", "left")


def told_columns(
    before: np.ndarray, rules: Rules, x: object, cut: np.ndarray
) -> Mapping[str, Column]:
    """The columns of N images.

    Args:
        before: Height and width of each file, upright, `(N, 2)`.
        rules: By which they were brought to their size.
        x: The images as they are now.
        cut: Shares of their heights and widths that were cut off above and on the left, `(N, 2)`;
            of those that were cut in the middle, the corner is that of the images as they are.
    """
    before = np.asarray(before, np.float64).reshape(-1, 2)
    now = np.empty_like(before)
    if isinstance(x, Bucketed):
        now[:] = np.array([shape[1:] for shape in x.shapes])[x.which]
    else:
        now[:] = x.shape[2:]  # type: ignore[attr-defined]
    corner = np.zeros_like(before)
    scale = (now / before).max(1, keepdims=True)  # corners are told in pixels as they are now
    if rules.fit == "crop":
        corner = np.floor(np.maximum(before * scale - now, 0) / 2 + 1e-6)
    elif rules.fit == "random":
        corner = np.floor(cut * before * scale + 1e-6)
    values = zip(NAMES, (before, corner, now), (SIZE, CORNER, SIZE), strict=True)
    return {name: Column("sizes", rows, words) for name, rows, words in values}
