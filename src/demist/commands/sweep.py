"""`--grid guidance=1,2,4,8 seed=0:6`: samples along one or two axes, in one labelled picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demist.commands.sampling import (
    class_name,
    classes_of,
    negative_of,
    parse_interval,
    require_prompts,
)
from demist.errors import UsageError

if TYPE_CHECKING:
    import numpy

    import demist.model.pipeline

NAMES = (
    "guidance", "guidance-interval", "guidance-rule", "negative", "prompt", "class", "seed",
    "steps", "solver", "time-grid",
)  # fmt: skip
TOGETHER = ("seed", "prompt", "class")
"""May differ from sample to sample of one batch."""
MOST = 400
"""Cells of a grid."""


@dataclass(frozen=True)
class Axis:
    """What varies along one side.

    Attributes:
        name: One of `NAMES`.
        words: Its values, as typed.
    """

    name: str
    words: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """What is written beside the picture."""
        plain = self.name in ("prompt", "class", "solver")
        return [word if plain else f"{self.name} {word}" for word in self.words]


def parse_axes(texts: Sequence[str]) -> tuple[Axis, Axis]:
    """Rows and columns; of one axis, a single row.

    Raises:
        UsageError: There are more than two, or one cannot be understood.
    """
    axes = [_axis(text) for text in texts]
    if len(axes) > 2:
        raise UsageError(f"--grid has {len(axes)} axes; a picture has two, rows and columns")
    if len({axis.name for axis in axes}) < len(axes):
        raise UsageError(f"--grid varies {axes[0].name} twice; give two different axes")
    rows = axes[0] if len(axes) == 2 else Axis("seed", ())
    cells = max(1, len(rows.words)) * len(axes[-1].words)
    if cells > MOST:
        raise UsageError(f"--grid asks for {cells} pictures; {MOST} are the most")
    return rows, axes[-1]


def draw_cells(
    pipeline: "demist.model.pipeline.Pipeline",
    rows: Axis,
    columns: Axis,
    settings: Mapping[str, Any],
    cond: Mapping[str, Any],
) -> "numpy.ndarray":
    """One sample per cell, row by row; what no axis varies is as in `settings` and `cond`.

    Every cell is the first picture of its seed.
    """
    import numpy as np

    if rows.name in TOGETHER and columns.name not in TOGETHER and rows.words:
        # The axis that fits in one batch goes along the batch.
        turned = draw_cells(pipeline, columns, rows, settings, cond)
        cells = turned.reshape(len(columns.words), len(rows.words), *turned.shape[1:])
        return cells.swapaxes(0, 1).reshape(turned.shape)
    done = []
    for word in rows.words or (None,):
        fixed = {} if word is None else _change(pipeline, rows.name, word)
        if columns.name in TOGETHER:
            each = [_change(pipeline, columns.name, w) for w in columns.words]
            (key,) = each[0]
            batch = {**settings, **cond, **fixed, key: [e[key] for e in each]}
            batches = [(len(each), batch)]
        else:
            batches = [
                (1, {**settings, **cond, **fixed, **_change(pipeline, columns.name, w)})
                for w in columns.words
            ]
        for n, arguments in batches:
            if isinstance(arguments["seed"], int):
                arguments = arguments | {"seed": [arguments["seed"]] * n}
            done.append(pipeline.sample(n, **arguments))
    return np.concatenate(done)


def _axis(text: str) -> Axis:
    name, equals, rest = text.partition("=")
    if name not in NAMES or not equals:
        raise UsageError(
            f"--grid {text}: write an axis as name=value,value or seed=0:6, the name being one of "
            f"{', '.join(NAMES)}"
        )
    separator = "|" if name in ("prompt", "negative", "time-grid", "guidance-rule") else ","
    words = [word.strip() for word in rest.split(separator)]
    if name in ("seed", "steps"):
        low, colon, high = rest.partition(":")
        if colon and low.isdecimal() and high.isdecimal():
            words = [str(i) for i in range(int(low), min(int(high), int(low) + MOST + 1))]
        if not words or not all(word.isdecimal() for word in words):
            raise UsageError(f"--grid {text}: {name} takes whole numbers: 0,1,5 or 0:6")
    if not all(words):
        raise UsageError(f"--grid {text}: a value is empty")
    return Axis(name, tuple(words))


def _change(pipeline: "demist.model.pipeline.Pipeline", name: str, word: str) -> dict[str, Any]:
    """Arguments of `Pipeline.sample` for one value of an axis."""
    if name in ("seed", "steps"):
        return {name: int(word)}
    if name == "guidance":
        try:
            return {name: float(word)}
        except ValueError:
            raise UsageError(f"--grid guidance={word}: not a number") from None
    if name == "guidance-interval":
        return {"guidance_interval": parse_interval(word)}
    if name == "class":
        return {"label": class_name(word, classes_of(pipeline))}
    if name == "negative":
        return {"negative": negative_of(pipeline, word)}
    if name == "prompt":
        require_prompts(pipeline)
    key = {"prompt": "text", "time-grid": "grid", "guidance-rule": "guidance_rule"}.get(name, name)
    return {key: word}
