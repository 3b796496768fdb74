"""Images as `Pipeline.sample` gives them: an array of bytes that shows itself."""

import io
import math

import numpy as np
from PIL import Image

from demist.errors import UsageError

GAP = 2
"""Pixels between the images of a page."""


class Images(np.ndarray):
    """An array of images, bytes `(n, C, H, W)`, and an array in all that is done with it."""

    def to_pil(self, columns: int | None = None) -> Image.Image:
        """One image of Pillow: of `images[3]` that one, of several a page; `plt.imshow` takes it.

        Args:
            columns: In a row of the page; None: about a square.

        Raises:
            UsageError: These are no images any more, after a calculation or a choice of axes.
        """
        x = self.channels_last()
        if x.ndim == 4 or (x.ndim == 3 and self.ndim == 4):
            x = _page(x, columns or math.ceil(math.sqrt(len(x))))
        return Image.fromarray(x)

    def channels_last(self) -> np.ndarray:
        """A plain array as plotting libraries want it: `(n, H, W, C)`, grey ones `(n, H, W)`.

        Raises:
            UsageError: As `to_pil`.
        """
        x = np.asarray(self)
        if x.dtype != np.uint8 or x.ndim not in (3, 4) or x.shape[-3] not in (1, 3, 4):
            raise UsageError(
                f"an array of {x.dtype} and shape {x.shape} holds no images; those are bytes of "
                f"shape (n, 1 or 3 or 4, height, width)"
            )
        x = np.moveaxis(x, -3, -1)
        return np.ascontiguousarray(x[..., 0] if x.shape[-1] == 1 else x)

    def __repr__(self) -> str:
        kinds = {1: "grey", 3: "RGB", 4: "RGBA"}
        if self.dtype == np.uint8 and self.ndim in (3, 4) and self.shape[-3] in kinds:
            channels, height, width = self.shape[-3:]
            count = f"{len(self)} of " if self.ndim == 4 else ""
            return f"<Images: {count}{height}x{width}, {kinds[channels]}; .to_pil() shows them>"
        return repr(np.asarray(self))

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows."""
        try:
            page, file = self.to_pil(), io.BytesIO()
        except UsageError:
            return None
        scale = max(1, round(64 / max(self.shape[-2:])))
        page = page.resize((page.width * scale, page.height * scale), Image.Resampling.NEAREST)
        page.save(file, "PNG")
        return file.getvalue()


def _page(x: np.ndarray, columns: int) -> np.ndarray:
    """Images with channels last, side by side on white."""
    rows, (height, width) = -(-len(x) // columns), x.shape[1:3]
    page = np.full(
        (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, *x.shape[3:]), 255, np.uint8
    )
    for i, image in enumerate(x):
        row, column = divmod(i, columns)
        top, left = GAP + row * (height + GAP), GAP + column * (width + GAP)
        page[top : top + height, left : left + width] = image
    return page


def shown(x: np.ndarray) -> np.ndarray:
    """Images as `Images`; anything else as it is."""
    is_images = x.dtype == np.uint8 and x.ndim == 4 and x.shape[1] in (1, 3, 4)
    return x.view(Images) if is_images else x
