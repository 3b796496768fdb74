"""A grid of images with the labels where they read best.

Labels are given one per image; the grid finds out what they say. If all images of a row share a
label it is written once, left of the row; if all images of a column do, above the column;
otherwise each image has its own caption.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from demist.errors import UsageError

PAPER, INK = (255, 255, 255), (60, 60, 60)


def image_grid(
    images: UInt8[np.ndarray, "n c h w"],
    *,
    labels: Sequence[object] | np.ndarray | None = None,
    columns: int | None = None,
    scale: int | None = None,
    rows_say: Sequence[str] = (),
    columns_say: Sequence[str] = (),
) -> Image.Image:
    """Lay images out in rows, left to right, top to bottom.

    Args:
        images: Grey (C = 1), RGB (C = 3) or RGBA (C = 4, shown on white).
        labels: One per image, written with `str`.
        columns: Images per row; by default about a square.
        scale: Whole-number enlargement without smoothing; by default small images grow to about
            64 pixels.
        rows_say: Written left of the rows, instead of labels.
        columns_say: Written above the columns, instead of labels.

    Raises:
        UsageError: No images, a number of channels that is no image, or labels that do not
            match the images one to one.
    """
    n, channels, height, width = images.shape
    if n == 0:
        raise UsageError("a grid needs at least one image; none was given")
    if channels not in (1, 3, 4):
        raise UsageError(f"images have {channels} channels; an image has 1, 3 or 4")
    if labels is not None and len(labels) != n:
        raise UsageError(f"{len(labels)} labels for {n} images; give one for each")
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    scale = scale or max(1, round(64 / max(height, width)))
    height, width, gap = height * scale, width * scale, max(2, scale)

    texts = [str(label) for label in (labels if labels is not None else ())]
    rowwise = [texts[i : i + columns] for i in range(0, len(texts), columns)]
    columnwise = [texts[i::columns] for i in range(columns)]
    by_row = list(rows_say) or ([row[0] for row in rowwise] if _alike(rowwise) else [])
    by_column = list(columns_say)
    if _alike(columnwise) and not by_row:
        by_column = by_column or [column[0] for column in columnwise]
    captions = texts if not by_row and not by_column else []

    font_size = max(11, min(20, height // 4))
    font = ImageFont.load_default(font_size)
    line = math.ceil(font_size * 1.4)
    left = max((math.ceil(font.getlength(text)) for text in by_row), default=-2 * gap) + 3 * gap
    top = gap + (line if by_column else 0)
    pitch = height + gap + (line if captions else 0)

    page = Image.new("RGB", (left + columns * (width + gap), top + rows * pitch), PAPER)
    draw = ImageDraw.Draw(page)
    for i, pixels in enumerate(images):
        x, y = left + i % columns * (width + gap), top + i // columns * pitch
        cell = _image(pixels).resize((width, height), Image.Resampling.NEAREST)
        page.paste(cell, (x, y), cell if cell.mode == "RGBA" else None)
        if captions:
            text = _fit(captions[i], font, width)
            draw.text((x + width / 2, y + height + line / 2), text, INK, font, anchor="mm")
    for row, text in enumerate(by_row):
        draw.text((left - 1.5 * gap, top + row * pitch + height / 2), text, INK, font, anchor="rm")
    for column, text in enumerate(by_column):
        centre = left + column * (width + gap) + width / 2
        draw.text((centre, gap + line / 2), _fit(text, font, width), INK, font, anchor="mm")
    return page


def _alike(groups: list[list[str]]) -> bool:
    """Whether each group holds one and the same text throughout."""
    return bool(groups) and all(len(set(group)) == 1 for group in groups)


def _image(pixels: UInt8[np.ndarray, "c h w"]) -> Image.Image:
    pixels = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, cut with an ellipsis where it would run into its neighbour."""
    while font.getlength(text) > width and len(text) > 1:
        text = text.rstrip("…")[:-1] + "…"
    return text
