"""Images of what a model makes: labelled grids, films of the denoising, curves and points.

Grids, films and points need Pillow alone; `loss_curve` needs the `plot` extra. Everything is
written atomically, and an image can carry the facts that reproduce it.
"""

from demist.drawing.curves import loss_curve, plotter, smooth
from demist.drawing.grid import image_grid
from demist.drawing.output import (
    FILMS,
    FORMATS,
    animation,
    format_of,
    read_metadata,
    read_texts,
    save_image,
    save_png,
    write,
)
from demist.drawing.scatter import round_up, scatter
from demist.drawing.spectrogram import below_full, coloured, spectrograms

__all__ = [
    "FILMS",
    "FORMATS",
    "animation",
    "below_full",
    "coloured",
    "format_of",
    "image_grid",
    "loss_curve",
    "plotter",
    "read_metadata",
    "read_texts",
    "round_up",
    "save_image",
    "save_png",
    "scatter",
    "smooth",
    "spectrograms",
    "write",
]
