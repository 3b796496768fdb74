"""How sizes and ranges are written."""

import math
import re

from demist.errors import UsageError


def parse_sides(size: int | str | tuple[int, int]) -> tuple[int, int]:
    """Height and width of `64` (a square), `"48x64"` or `(48, 64)`.

    Raises:
        UsageError: It is none of these.
    """
    if isinstance(size, str):
        match = re.fullmatch(r"\s*(\d+)(?:\s*[x×]\s*(\d+))?\s*", size)
        if match is None:
            raise UsageError("write a side as an integer (64), or height x width (48x64)")
        height, width = int(match[1]), int(match[2] or match[1])
        return height, width
    return (size, size) if isinstance(size, int) else size


def parse_buckets(text: str) -> int | tuple[tuple[int, int], ...]:
    """How many buckets, `"5"`, or their heights and widths, `"64x64,48x80"`.

    Raises:
        UsageError: It is neither, or names one twice.
    """
    try:
        if text.strip().isdecimal() and int(text):
            return int(text)
        found = tuple(parse_sides(part) for part in text.split(","))
    except UsageError:
        found = ()
    if not found or len(set(found)) < len(found) or min(map(min, found)) < 1:
        raise UsageError("write how many, as 5, or each once, height x width, as 64x64,48x80")
    return found


def size_near(height: int, width: int, multiple: int) -> str:
    """The nearest size whose sides are multiples of a number, as `--size` takes it."""
    h, w = (max(1, round(side / multiple)) * multiple for side in (height, width))
    return str(h) if height == width else f"{h}x{w}"


def parse_range(text: str) -> tuple[float, float]:
    """The numbers in `"0:4095"`: what is black and what is white.

    Raises:
        UsageError: It is something else, or black is not below white.
    """
    parts = text.split(":")
    try:
        low, high = map(float, parts)
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise UsageError("write what is black and what is white, the smaller first, as 0:4095")
    return low, high
