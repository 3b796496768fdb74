"""Images made smaller by averaging blocks of pixels."""

from dataclasses import replace

import numpy as np

from demist.data.dataset import Dataset
from demist.errors import UsageError
from demist.machine.memory import check_memory

BLOCK = 1024
"""Images that are averaged at a time."""


def averaged(data: Dataset, factor: int) -> Dataset:
    """The data with each block of `factor` by `factor` pixels as one, their mean.

    It is what the condition `low-resolution` shows of an image, rounded to bytes, so that a model
    of these images makes what a model that is given that condition has learned to read.

    Args:
        data: Images.
        factor: 1 leaves them as they are.

    Raises:
        UsageError: They are no images, or their sides are no multiples of the factor.
    """
    if factor == 1:
        return data
    shape = data.x.shape[1:]
    if data.x.dtype != np.uint8 or len(shape) != 3:
        raise UsageError(f"reduce = {factor}: it averages images, and {data.name} holds none")
    channels, height, width = shape
    if height % factor or width % factor:
        raise UsageError(
            f"reduce = {factor}: the sides of images of {width}x{height} pixels are no multiples "
            f"of it; bring them to such a size, as with --size {factor * (height // factor or 1)}"
        )
    small = (channels, height // factor, width // factor)
    check_memory((len(data) * int(np.prod(small)),), data.name)
    x = np.empty((len(data), *small), np.uint8)
    for begin in range(0, len(data), BLOCK):
        part = np.asarray(data.x[begin : begin + BLOCK])
        blocks = part.reshape(-1, channels, small[1], factor, small[2], factor)
        x[begin : begin + BLOCK] = np.rint(blocks.mean((3, 5)))
    return replace(data, x=x, known_fingerprint="")
