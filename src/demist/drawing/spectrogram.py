"""Sounds to be looked at: how loud each frequency is at each time, one picture a sound."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from demist.drawing.grid import image_grid

_RANGE = 80.0
"""Decibels below the loudest of a page that are still seen."""
_SIDE = 128
"""Pixels, about, to which small spectrograms are enlarged."""
_STOPS = np.array(
    [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21],
     [250, 193, 39], [252, 255, 164]], np.float64,
)  # fmt: skip
"""Colours from silent to loud, evenly bright: the map `inferno` of Smith and van der Walt 2015."""


def coloured(share: Float32[np.ndarray, "n h w"]) -> UInt8[np.ndarray, "n 3 h w"]:
    """Numbers in [0, 1] as colours."""
    place = share.clip(0, 1) * (len(_STOPS) - 1)
    low = np.minimum(place.astype(np.int64), len(_STOPS) - 2)
    part = (place - low)[..., None]
    colours = _STOPS[low] * (1 - part) + _STOPS[low + 1] * part
    made: np.ndarray = np.rint(colours).astype(np.uint8).transpose(0, 3, 1, 2)
    return made


def below_full(decibels: Float32[np.ndarray, "n m t"]) -> UInt8[np.ndarray, "n 3 m t"]:
    """Spectrograms, low frequencies below; brightest is a tone of full scale, 0 dB.

    So pictures of different moments can be compared.
    """
    return coloured((decibels / _RANGE + 1).astype(np.float32)[:, ::-1])


def spectrograms(
    decibels: Float32[np.ndarray, "n m t"],
    loudest: float | None = None,
    labels: Sequence[str] = (),
    columns: int | None = None,
) -> Image.Image:
    """A page of sounds, low frequencies below, time to the right.

    Args:
        decibels: How loud each band is at each time.
        loudest: What is brightest; None: the loudest of all.
        labels: What they are, one each; or none.
        columns: In a row; None: about as many as rows.
    """
    top = float(decibels.max()) if loudest is None else loudest
    share = ((decibels - top) / _RANGE + 1).astype(np.float32)
    scale = max(1, round(_SIDE / max(share.shape[1:])))
    return image_grid(coloured(share[:, ::-1]), labels=labels or None, columns=columns, scale=scale)
