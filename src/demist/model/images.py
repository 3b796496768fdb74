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
        match self.shape:
            case (n, _, _, _):
                x = _page(x, columns or math.ceil(math.sqrt(n)))
        return Image.fromarray(x)

    def channels_last(self) -> np.ndarray:
        """A plain array as plotting libraries want it: `(n, H, W, C)`, grey ones `(n, H, W)`.

        Raises:
            UsageError: As `to_pil`.
        """
        x, channels = np.asarray(self), _channels(self)
        if not channels:
            raise UsageError(
                f"an array of {x.dtype} and shape {x.shape} holds no images; those are bytes of "
                f"shape (n, 1 or 3 or 4, height, width)"
            )
        x = np.moveaxis(x, -3, -1)
        return np.ascontiguousarray(x[..., 0] if channels == 1 else x)

    def __repr__(self) -> str:
        kinds = {1: "grey", 3: "RGB", 4: "RGBA"}
        kind = kinds.get(_channels(self), "")
        match self.shape:
            case (n, _, height, width) if kind:
                return f"<Images: {n} of {height}x{width}, {kind}; .to_pil() shows them>"
            case (_, height, width) if kind:
                return f"<Images: {height}x{width}, {kind}; .to_pil() shows it>"
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


def _channels(x: np.ndarray) -> int:
    """Channels of an image or of several; 0: these are none."""
    match x.shape:
        case (_, (1 | 3 | 4) as channels, _, _) | ((1 | 3 | 4) as channels, _, _):
            return int(channels) if x.dtype == np.uint8 else 0
    return 0


def shown(x: np.ndarray) -> np.ndarray:
    """Images as `Images`; anything else as it is."""
    return x.view(Images) if _channels(x) else x
