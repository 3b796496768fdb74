"""An image of any size, the part of it that a model is given, and the way back."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from demist.editing import masks
from demist.editing.masks import Box, Mask

Bytes = UInt8[np.ndarray, "_ _ _"]
"""One image."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """An image to be edited.

    Attributes:
        image: As it was given.
        mask: What of it is made anew, `(H, W)`; None: all.
        window: The part that the model is given, made as large as the model's images.
    """

    image: Bytes
    mask: Mask | None
    window: Box

    @classmethod
    def whole(cls, image: Bytes, mask: Mask | None = None) -> "Sheet":
        """All of an image."""
        return cls(image, mask, Box(0, 0, image.shape[2], image.shape[1]))

    @classmethod
    def around(cls, image: Bytes, mask: Mask, padding: int, sides: tuple[int, int]) -> "Sheet":
        """What lies around a mask, in the proportions of the model's images if there is room.

        Args:
            image: All of it.
            mask: Not empty.
            padding: Pixels around it.
            sides: Height and width of the model's images.
        """
        inner, (height, width) = masks.bounds(mask), image.shape[1:]
        wide, high = inner.width + 2 * padding, inner.height + 2 * padding
        wide, high = (
            max(wide, -(-high * sides[1] // sides[0])),
            max(high, -(-wide * sides[0] // sides[1])),
        )
        wide, high = min(wide, width), min(high, height)
        x = min(max(0, inner.x + (inner.width - wide) // 2), width - wide)
        y = min(max(0, inner.y + (inner.height - high) // 2), height - high)
        return cls(image, mask, Box(x, y, wide, high))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is made anew."""
        return self.mask is not None and not self.mask.any()

    def shown(self, sides: tuple[int, int]) -> Bytes:
        """The window at the model's size."""
        return resize(self.image[:, self.window.rows, self.window.columns], sides)

    def anew(self, sides: tuple[int, int]) -> Mask:
        """The mask of the window at the model's size; every pixel that is touched is in it."""
        if self.mask is None:
            return np.ones(sides, np.float32)
        return masks.covering(self.mask[self.window.rows, self.window.columns], sides)

    def put_back(self, made: Bytes, blend: int = 0) -> Bytes:
        """The image with what was made in the place of its window, within the mask.

        Args:
            made: The model's sample, for what `shown` gave.
            blend: Pixels inside the mask in which the old image passes into the new one.
        """
        window = self.window
        made = resize(made, (window.height, window.width))
        result, old = self.image.copy(), self.image[:, window.rows, window.columns]
        if self.mask is None:
            result[:, window.rows, window.columns] = made
            return result
        weight = masks.fading(self.mask, blend)[window.rows, window.columns]
        mixed = np.rint(old + weight * (made.astype(np.float32) - old)).astype(np.uint8)
        result[:, window.rows, window.columns] = np.where(
            weight == 1, made, np.where(weight == 0, old, mixed)
        )
        return result


def resize(image: Bytes, sides: tuple[int, int]) -> Bytes:
    """An image of another size, by an antialiasing Lanczos filter."""
    if image.shape[1:] == sides:
        return image
    planes = [
        Image.fromarray(plane).resize(sides[::-1], Image.Resampling.LANCZOS)
        for plane in np.ascontiguousarray(image)
    ]
    return np.stack([np.asarray(plane) for plane in planes])
