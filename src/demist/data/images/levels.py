"""Which numbers are black and white where pixels are not bytes: the range of a data set.

| numbers | black .. white |
|---|---|
| whole, up to 255, 4095 or 65535 | 0 to the first of these that holds all |
| with fractions, from 0 to 1 | 0 .. 1 |
| with fractions, from -1 to 1 | -1 .. 1 |

Numbers may lie a thousandth of the range outside, as after resizing; they are clipped. A data set
that fills less than a tenth of its range, or lies outside all of them, needs `--range`: it would
become black, or grey, and nothing would say so.
"""

import numpy as np
from jaxtyping import UInt8

from demist.errors import DataError

Levels = tuple[float, float]
"""What becomes 0 and what becomes 255."""

WHOLE: tuple[Levels, ...] = ((0, 255), (0, 4095), (0, 65535))
FRACTIONS: tuple[Levels, ...] = ((0, 1), (-1, 1))
SLACK = 1e-3
"""Share of a range by which numbers may lie outside."""
FILLED = 0.1
"""Share of a range that the numbers of a data set fill at least."""


def levels_of(low: float, high: float, whole: bool, name: str) -> Levels:
    """The range of numbers that reach from `low` to `high`.

    Args:
        low: Smallest number of the data set.
        high: Largest.
        whole: Whether they are integers.
        name: Begins the message.

    Raises:
        DataError: No range is theirs, or they fill too little of it.
    """
    reach = f"{name} has {'integers' if whole else 'values'} from {low:.4g} to {high:.4g}"
    for black, white in WHOLE if whole else FRACTIONS:
        slack = 0.0 if whole else SLACK * (white - black)
        if black - slack <= low and high <= white + slack:
            if high - low >= FILLED * (white - black):
                return black, white
            raise DataError(
                f"{reach}, less than a tenth of {black} to {white}: say what is black and what is "
                f"white, as {_example(low, high)}"
            )
    advice = (
        "images have 0 to 255, 4095 or 65535"
        if whole
        else "save images as bytes 0 to 255, or as floating-point numbers from 0 to 1 or from -1 "
        "to 1"
    )
    raise DataError(f"{reach}: {advice}, or say the range, as {_example(low, high)}")


def to_bytes(values: np.ndarray, levels: Levels) -> UInt8[np.ndarray, "..."]:
    """Numbers as bytes, rounded; those outside the range are clipped."""
    black, white = levels
    kind = np.float32 if values.dtype.itemsize <= 4 and values.dtype.kind == "f" else np.float64
    scaled: np.ndarray = values.astype(kind)
    np.subtract(scaled, black, out=scaled)
    np.multiply(scaled, 255 / (white - black), out=scaled)
    return np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)


def in_words(levels: Levels, low: float | None = None, high: float | None = None) -> str:
    """What becomes black and white, of numbers that reach from `low` to `high`."""
    black, white = levels
    values = "" if low is None else f" of values {low:,.4g} to {high:,.4g}"
    return f"{values} with {black:,g} as black and {white:,g} as white".strip()


def _example(low: float, high: float) -> str:
    if low >= 0 and 1 < high <= 255 and (low, high) != (int(low), int(high)):
        return "--range 0:255"
    equals = "=" if low < 0 else " "  # else the sign would begin another flag
    return f"--range{equals}{low:.6g}:{high if high > low else low + 1:.6g}"
