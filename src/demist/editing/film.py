"""A film from one image to another."""

from pathlib import Path

import numpy as np

from demist import modalities
from demist.drawing import FILMS, animation, format_of
from demist.editing.editor import Editor
from demist.editing.redrawing import sides_of
from demist.editing.sources import Item
from demist.editing.swap import between


def require_film(out: Path) -> None:
    """Raise UsageError, before any work, if a film cannot be written under this name."""
    format_of(out, FILMS)


def film(editor: Editor, a: Path, b: Path, out: Path, frames: int) -> None:
    """Write the film, as `demist sample --animate` does; see `between`.

    Args:
        editor: The model, how it is sampled, and who is told.
        a: The first image.
        b: The last one.
        out: The film, `.gif` or `.webp`.
        frames: How many, both ends included.

    Raises:
        UsageError: The ending is of no film, the solver is stochastic, or as `between`.
        MissingError: There is no such image.
    """
    ends, sides = [], sides_of(editor.pipeline)
    for path in (a, b):
        sheet = editor.sheet(Item(path, path.name, 0, ()), editor.say)
        ends.append(sheet.shown(sides))
    made = between(
        editor.pipeline, ends[0], ends[1], frames, sampling=editor.sampling, **editor.cond
    )
    apart = (made[[0, -1]].astype(np.float64) - np.stack(ends)) / 255
    lost = float(np.sqrt(np.square(apart).mean()))
    editor.say(
        f"{frames} frames from {a.name} to {b.name} through their noises; the two themselves come "
        f"back to {lost:.2g} (root mean square, black to white is 1), which more --steps lower"
    )
    pages = modalities.of(editor.pipeline).film([x[None] for x in made])
    animation(pages, out)
