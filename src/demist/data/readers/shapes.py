"""What an array of some shape and type holds: images, points or neither."""

import math
from typing import Any

import numpy as np

from demist.errors import DataError

SHORTEST, STRIP = 4, 8
"""What an image's shorter side has at least; and how many times as long the other is at most."""


def are_images(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array of this shape and type can hardly be anything but images."""
    sides = sides_of(shape)
    if dtype.kind not in "uifb" or sides is None or 0 in shape:
        return False
    low, high = min(sides), max(sides)
    return low >= SHORTEST and high <= STRIP * low


def are_points(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array of this shape and type holds points."""
    return len(shape) == 2 and dtype.kind == "f" and 0 not in shape


def sides_of(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Height and width of images in an array of this shape; None: the shape does not say them."""
    if len(shape) == 3:
        return shape[1], shape[2]
    if len(shape) == 4 and shape[3] == 4 and shape[1] not in (1, 3):
        return shape[1], shape[2]
    if len(shape) != 4 or (shape[1] in (1, 3)) == (shape[3] in (1, 3)):
        return None
    return (shape[2], shape[3]) if shape[1] in (1, 3) else (shape[1], shape[2])


def kind_of(shape: tuple[int, ...], dtype: np.dtype[Any], name: str, kind: str | None) -> str:
    """What an array of this shape and type holds, images or points.

    Raises:
        DataError: Neither, or another kind than was said.
    """
    numbers = dtype.kind in "uifb" and 0 not in shape
    if kind is None:
        found = "images" if are_images(shape, dtype) else "points"
        fits = found == "images" or are_points(shape, dtype)
    else:
        found = kind
        able = {"images": sides_of(shape) is not None, "points": len(shape) == 2}
        fits = numbers and able.get(kind, False)
    if fits:
        return found
    raise refusal(shape, dtype, name, kind=kind)


def refusal(
    shape: tuple[int, ...], dtype: np.dtype[Any], name: str, more: str = "", kind: str | None = None
) -> DataError:
    """The error that says why an array of this shape and type is not read, and what to save.

    Args:
        shape: Of the array.
        dtype: Of the array.
        name: Begins the message.
        more: Ends it.
        kind: What the array was said to be.
    """
    numbers = dtype.kind in "uifb" and 0 not in shape
    advice = _advice(shape, kind) if numbers else _RULE
    return DataError(f"{name} has the shape {shape} and type {dtype}{advice}{more}")


_RULE = (
    ": images are numbers (N, H, W), (N, H, W, C) or (N, C, H, W), points are floating-point "
    "numbers (N, D)"
)


def _advice(shape: tuple[int, ...], kind: str | None) -> str:
    """What to do with an array of numbers that is neither images nor points, or not said so."""
    rows = f"({shape[0]}, {math.prod(shape[1:])})"
    if kind == "points" and len(shape) > 2:
        return f", and points are numbers (N, D): save it as {rows}"
    sides = sides_of(shape)
    if len(shape) == 4 and sides is None:
        could = "could be the second or the last axis" if shape[1] in (1, 3) else "cannot be found"
        return (
            f", in which the channels (1 or 3) {could}: save images as (N, H, W, C) or (N, C, H, W)"
        )
    if sides is not None:
        return (
            f". Images of {sides[0]} x {sides[1]} pixels? Then say it: --kind images (in Python "
            f'kind="images"). If they are points in space, one row of numbers each, save it as '
            f"{rows}; if it is a single image, as (1, {', '.join(map(str, shape))})"
        )
    if len(shape) == 2 and kind is None:
        return (
            ". If each row is a point, save floating-point numbers, or say it: --kind points (in "
            'Python kind="points"); if each row is an image, save it as (N, H, W)'
        )
    return _RULE
