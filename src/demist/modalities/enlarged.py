"""The states of several stages brought to one size, for a film."""

from collections.abc import Sequence

import numpy as np


def of_one_size(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Images enlarged to the size of the last ones, `(n, C, H, W)`; what are no such is left out.

    Args:
        frames: States of one stage after another.
    """
    last = frames[-1]
    shown = list[np.ndarray]()
    for x in frames:
        alike = x.ndim == last.ndim and x.shape[:2] == last.shape[:2] and x.dtype == last.dtype
        if (
            alike
            and x.ndim == 4
            and not any(a % b for a, b in zip(last.shape, x.shape, strict=True))
        ):
            _, _, tall, wide = (a // b for a, b in zip(last.shape, x.shape, strict=True))
            x = x.repeat(tall, 2).repeat(wide, 3)
        if x.shape == last.shape:
            shown.append(x)
    return shown
