"""Low-dimensional samples: a scatter of points in the plane, a histogram of numbers.

Drawn with Pillow at four times the size and reduced, which smooths the edges.
"""

import math
import os

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from demist.drawing.grid import INK, PAPER
from demist.drawing.output import save_png
from demist.errors import UsageError

DOT, FRAME = (31, 78, 121), (205, 205, 205)
_FINE = 4


def scatter(
    points: Float[np.ndarray, "n d"],
    path: str | os.PathLike[str] | None = None,
    *,
    limit: float | None = None,
    size: int = 480,
) -> Image.Image:
    """Draw points: (N, 2) as dots in the plane, (N, 1) as a histogram.

    Args:
        points: Coordinates; rows with NaN or infinity are left out and counted in the corner.
        path: Where to write a PNG too.
        limit: The plane shown is [-limit, limit] squared; by default it holds all points. A
            histogram shows its data's own range.
        size: Side of the image in pixels.

    Raises:
        UsageError: Neither one nor two columns, or no finite point.
    """
    if points.shape[1] not in (1, 2):
        raise UsageError(
            f"points have {points.shape[1]} coordinates; only 1 or 2 can be drawn on paper"
        )
    finite = points[np.isfinite(points).all(axis=1)]
    if len(finite) == 0:
        raise UsageError(f"none of the {len(points)} points is finite; there is nothing to draw")
    if points.shape[1] == 2:
        image = _dots(finite, limit or round_up(float(np.abs(finite).max())), size)
    else:
        image = _bars(finite[:, 0], size)
    if len(finite) < len(points):
        text = f"{len(points) - len(finite)} not finite"
        ImageDraw.Draw(image).text((size - 14, 12), text, (180, 40, 40), _font(), anchor="ra")
    if path is not None:
        save_png(image, path)
    return image


def _dots(points: Float[np.ndarray, "n 2"], limit: float, size: int) -> Image.Image:
    """Ink adds up where dots overlap, so density shows."""
    side, margin = size * _FINE, 34 * _FINE
    radius = min(3.5, max(1.0, 90 / math.sqrt(len(points)))) * _FINE
    inner = side - 2 * margin
    xy = margin + (points * [1, -1] / limit + 1) / 2 * inner
    ink = np.zeros((side, side), np.float32)
    reach = math.ceil(radius)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = dx**2 + dy**2 <= radius**2
    inside = ((xy >= margin) & (xy <= side - margin)).all(axis=1)
    x, y = np.rint(xy[inside]).astype(int).T
    np.add.at(ink, (y[:, None] + dy[disc], x[:, None] + dx[disc]), 1)
    share = 1 - 0.45 ** ink[..., None]
    pixels = np.array(PAPER) * (1 - share) + np.array(DOT) * share
    page = Image.fromarray(pixels.round().astype(np.uint8))
    ImageDraw.Draw(page).rectangle(
        (margin, margin, side - margin, side - margin), outline=FRAME, width=_FINE
    )
    page = page.resize((size, size), Image.Resampling.BOX)
    draw, edge = ImageDraw.Draw(page), margin // _FINE
    for value, place in ((-limit, edge), (0.0, size // 2), (limit, size - edge)):
        draw.text((place, size - edge + 6), f"{value:.3g}", INK, _font(), anchor="ma")
        draw.text((edge - 6, size - place), f"{value:.3g}", INK, _font(), anchor="rm")
    return page


def _bars(values: Float[np.ndarray, " n"], size: int) -> Image.Image:
    low, high = float(values.min()), float(values.max())
    pad = max((high - low) * 0.05, abs(high) * 0.01, 1e-6)
    bins = max(10, min(80, round(math.sqrt(len(values)))))
    counts, edges = np.histogram(values, bins=bins, range=(low - pad, high + pad))
    page = Image.new("RGB", (size, size), PAPER)
    draw, margin = ImageDraw.Draw(page), 34
    x = margin + (edges - edges[0]) / (edges[-1] - edges[0]) * (size - 2 * margin)
    y = size - margin - counts / counts.max() * (size - 2 * margin)
    for i, count in enumerate(counts):
        if count:
            draw.rectangle((x[i], y[i], max(x[i], x[i + 1] - 1), size - margin), fill=DOT)
    draw.line((margin, size - margin, size - margin, size - margin), fill=FRAME)
    for place, value in (
        (margin, edges[0]),
        (size / 2, (low + high) / 2),
        (size - margin, edges[-1]),
    ):
        draw.text((place, size - margin + 6), f"{value:.4g}", INK, _font(), anchor="ma")
    share = f"{counts.max()} of {len(values)}"
    draw.text((margin, margin - 6), share, INK, _font(), anchor="ls")
    return page


def round_up(value: float) -> float:
    """The next 1, 1.5, 2, 3, 4, 5 or 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-12)))
    return next(m * power for m in (1, 1.5, 2, 3, 4, 5, 8, 10) if m * power >= value * (1 - 1e-9))


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)
