"""Pictures of the course: one style for all, films that play by themselves, words with numbers.

In a notebook and on the site pictures stand below their cell. A chapter that is run as a program
prints its words and, where `DEMIST_PICTURES` names a folder, writes its pictures there.
"""

import base64
import html
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demist.drawing import image_grid, plotter
from demist.errors import UsageError
from demist.io.files import write_bytes

COLOURS = {
    "data": "#0072B2",
    "noise": "#D55E00",
    "model": "#009E73",
    "truth": "#222222",
    "other": "#CC79A7",
    "light": "#56B4E9",
    "path": "#E69F00",
}
"""What each colour means in every chapter: the palette of Okabe and Ito, which people who do not
see all colours can tell apart."""

STYLE = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "font.size": 10,
    "lines.linewidth": 2,
    "image.cmap": "viridis",
    "figure.constrained_layout.use": True,
}
DPI = 110
PHONE = 640
"""Pixels: a wider picture is scrolled on a phone, so that its words can be read."""
WIDE = 7.2
"""Inches: the width of the text of the site at `DPI`."""


@dataclass(frozen=True)
class Shown:
    """A picture with words for those who cannot see it; a notebook shows it.

    Attributes:
        data: The file.
        kind: `png` or `webp`.
        alt: What it shows, in a sentence.
        size: Width and height in pixels.
        still: One frame of a film, for people who want nothing to move.
    """

    data: bytes = field(repr=False)
    kind: str
    alt: str
    size: tuple[int, int]
    still: bytes | None = field(default=None, repr=False)

    def kept(self, name: str) -> "Shown":
        """The same, after a file of it was written where `DEMIST_PICTURES` asks for files."""
        if place := os.environ.get("DEMIST_PICTURES"):
            folder = Path(place)
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / f"{name}.{self.kind}", self.data)
        return self

    def _repr_html_(self) -> str:
        width, height = self.size
        kind = "course wide" if width > PHONE else "course"
        still, alt = "", html.escape(self.alt, quote=True)
        if self.still:
            media = "(prefers-reduced-motion: reduce)"
            still = f'<source media="{media}" srcset="{_address(self.still, "png")}">'
        return (
            f'<picture class="{kind}">{still}<img src="{_address(self.data, self.kind)}" '
            f'alt="{alt}" width="{width}" height="{height}"></picture>'
        )


def figure(
    columns: int = 1, rows: int = 1, height: float = 2.9, width: float = WIDE, **options: Any
) -> tuple[Any, Any]:
    """A figure and its axes (one, or an array of `columns` and `rows`) in the style of the course.

    Matplotlib's settings stay so for the rest of the program.

    Args:
        columns: Axes beside each other.
        rows: Axes above each other.
        height: Inches, of all.
        width: Inches, of all; `WIDE` is as wide as the text.
        options: For `matplotlib.pyplot.subplots`: `sharex`, `width_ratios`, ...
    """
    pages, _, settings = plotter("figures of the course need")
    settings.update(STYLE)  # what is drawn into it later asks for them, too
    made = pages.Figure(figsize=(width, height), dpi=DPI)
    axes = made.subplots(rows, columns, **options)
    return made, axes


def show(picture: Any, alt: str, name: str = "picture") -> Shown:
    """A figure or an image, to stand as the last line of a cell.

    Args:
        picture: A figure of `figure`, or an image of Pillow.
        alt: What one sees, in a sentence: read to people who cannot.
        name: Of the file, where `DEMIST_PICTURES` asks for files.
    """
    image = _image(picture)
    return Shown(_file(image, "png"), "png", said(alt), image.size).kept(name)


def film(frames: Sequence[Any], alt: str, seconds: float = 4.0, name: str = "film") -> Shown:
    """Figures or images of one size, one after another and again from the beginning.

    The last one stays a little, so that one sees where it ends. Who asks that nothing
    moves sees the last one only.

    Raises:
        UsageError: No frames, or of several sizes.
    """
    made = [_image(frame) for frame in frames]
    if not made or len({frame.size for frame in made}) > 1:
        raise UsageError(f"a film takes frames of one size; these are {[f.size for f in made][:4]}")
    each = round(1000 * seconds / len(made))
    out = io.BytesIO()
    made[0].save(
        out, "webp", save_all=True, append_images=made[1:], loop=0, quality=80, method=4,
        duration=[each] * (len(made) - 1) + [each + 1200],
    )  # fmt: skip
    last = _file(made[-1], "png")
    return Shown(out.getvalue(), "webp", said(alt), made[0].size, last).kept(name)


def images(x: Any, columns: int | None = None, scale: int | None = None) -> Image.Image:
    """Images side by side.

    Args:
        x: Bytes `(n, channels, height, width)`, or numbers in -1..1.
        columns: How many beside each other.
        scale: Pixels for a pixel; by default small images grow to about 64.
    """
    array = np.asarray(x)
    if array.dtype != np.uint8:
        array = ((array.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
    return image_grid(array, columns=columns, scale=scale)


def say(text: str) -> None:
    """Words with numbers that were just computed: Markdown in a notebook, plain in a program."""
    if "ipykernel" in sys.modules:  # within a notebook, or while the site is built
        shown = sys.modules["IPython.display"]
        shown.display(shown.Markdown(text))
    else:
        print(text.removeprefix("> ").replace("**", "").replace("`", ""))


def said(alt: str) -> str:
    """The words for a picture, if they are enough.

    Raises:
        UsageError: They are fewer than four.
    """
    if len(alt.split()) < 4:
        raise UsageError(f"{alt!r} says too little to people who cannot see it: write a sentence")
    return alt


def _image(picture: Any) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    out = io.BytesIO()
    picture.savefig(out, format="png", dpi=DPI)
    return Image.open(out).convert("RGB")


def _file(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, optimize=True)
    return out.getvalue()


def _address(data: bytes | None, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data or b'').decode()}"
