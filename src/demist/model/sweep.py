"""Samples along one or two axes: `guidance=1,2,4,8 seed=0:6`, for one labelled page.

An axis varies a field of `Sampling` by the name of its flag, a condition (`class` and `prompt` are
short for `label` and `text`), or `negative`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from demist.conditions import ReadImage
from demist.errors import UsageError
from demist.model.guided import negative_for, weak_for
from demist.model.plan import Guide, Plan
from demist.model.sampling import FIELDS, Sampling, flag, parse
from demist.model.values import CLASS, PROMPT, name_of, negative_of, no_images, value_of

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

FLAGS = {flag(name): name for name in FIELDS if name != "stages"}
"""Name of an axis -> field of `Sampling`."""
WITH_COMMAS = ("prompt", "negative", "time-grid", "guidance-rule")
"""Axes whose values may hold commas; between them stands `|`."""
WHOLE = ("steps", "seed", "batch-size", "best-of")
"""Axes of whole numbers, which can be given as a range."""
PLAIN = ("prompt", "class", "solver")
"""Axes whose values say what they are."""
MOST = 400
"""Cells of a page."""


@dataclass(frozen=True)
class Axis:
    """What varies along one side.

    Attributes:
        name: As written: a flag, `class`, `prompt`, `negative`, or the name of a condition.
        words: Its values, as written.
    """

    name: str
    words: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """What is written beside the page."""
        return [word if self.name in PLAIN else f"{self.name} {word}" for word in self.words]


def parse_axes(texts: Sequence[str], conditions: Sequence[str] = ()) -> tuple[Axis, Axis]:
    """Rows and columns; of one axis, a single row (an axis without values, and that one).

    Args:
        texts: Each `name=value,value` or, for whole numbers, `name=first:end`.
        conditions: Names of the model's conditions.

    Raises:
        UsageError: There are more than two, or one cannot be understood.
    """
    axes = [_axis(text, conditions) for text in texts]
    if len(axes) > 2:
        raise UsageError(f"--grid has {len(axes)} axes; a page has two, rows and columns")
    if len({axis.name for axis in axes}) < len(axes):
        raise UsageError(f"--grid varies {axes[0].name} twice; give two different axes")
    rows = axes[0] if len(axes) == 2 else Axis("seed", ())
    cells = max(1, len(rows.words)) * len(axes[-1].words)
    if cells > MOST:
        raise UsageError(f"--grid asks for {cells} samples; {MOST} are the most")
    return rows, axes[-1]


def sweep(
    pipeline: "Pipeline",
    rows: Axis,
    columns: Axis,
    sampling: Sampling | None = None,
    *,
    negative: Mapping[str, Any] | None = None,
    weak: "Pipeline | None" = None,
    guide: Guide | None = None,
    read_image: ReadImage = no_images,
    **cond: Any,
) -> np.ndarray:
    """One sample per cell, row by row; each is the first of its seed.

    Args:
        pipeline: The model.
        rows: What varies from row to row; without values there is one row.
        columns: What varies from column to column.
        sampling: How, where no axis says.
        negative: What guidance leads away from, where no axis says.
        weak: A weaker model, for the cells whose rule leads away from one.
        guide: Further guidance.
        read_image: Reads the image files that an axis names.
        cond: Conditions that no axis varies, one value for all cells.

    Raises:
        UsageError: A value makes no sense for this model.
    """
    done: dict[int, Any] = {}
    asked = swept(
        pipeline, rows, columns, sampling, negative=negative, weak=weak, guide=guide,
        read_image=read_image, **cond,
    )  # fmt: skip
    for group in asked:
        done |= zip(group.places, group.plan.sample(), strict=True)
    return np.stack([done[i] for i in range(len(done))])


@dataclass(frozen=True)
class GridCells:
    """Cells that are made together.

    Attributes:
        places: Where they are, counted row by row.
        cells: How each is made.
        plan: Makes them all.
    """

    places: list[int]
    cells: list["GridCell"]
    plan: Plan


def swept(
    pipeline: "Pipeline",
    rows: Axis,
    columns: Axis,
    sampling: Sampling | None = None,
    *,
    negative: Mapping[str, Any] | None = None,
    weak: "Pipeline | None" = None,
    guide: Guide | None = None,
    read_image: ReadImage = no_images,
    **cond: Any,
) -> Iterator[GridCells]:
    """The plans behind `sweep`, whose arguments these are: one for all cells that allow it."""
    start = GridCell((sampling or Sampling()).over(pipeline.defaults), negative, cond)
    cells = [
        start.changed(pipeline, rows.name, row, read_image).changed(
            pipeline, columns.name, column, read_image
        )
        for row in rows.words or (None,)
        for column in columns.words
    ]
    varied = {name_of(pipeline, axis.name) for axis in (rows, columns)}
    # Cells that differ in seed and conditions only are made together.
    groups: dict[str, list[int]] = {}
    for i, cell in enumerate(cells):
        groups.setdefault(repr((replace(cell.sampling, seed=0), cell.negative)), []).append(i)
    used = any(weak_for(cell.sampling.guidance_rule, weak) for cell in cells)
    negated = any(negative_for(cell.sampling, cell.negative) for cell in cells)
    for members in groups.values():
        group = [cells[i] for i in members]
        each: dict[str, Any] = {
            name: [cell.cond[name] for cell in group] if name in varied else value
            for name, value in group[0].cond.items()
        }
        how, away = group[0].sampling, group[0].negative
        plan = pipeline.plan(
            len(group),
            replace(how, seed=[cell.seed for cell in group]),
            negative=negative_for(how, away) if negated else away,
            weak=weak_for(how.guidance_rule, weak) if used else weak,
            guide=guide,
            **each,
        )
        yield GridCells(members, group, plan)


@dataclass(frozen=True)
class GridCell:
    """How one sample is made."""

    sampling: Sampling
    negative: Mapping[str, Any] | None
    cond: Mapping[str, Any]

    def changed(
        self, pipeline: "Pipeline", name: str, word: str | None, read_image: ReadImage
    ) -> "GridCell":
        """This with one value of an axis."""
        if word is None:
            return self
        if name in FLAGS:
            read = Sampling(**{FLAGS[name]: parse(FLAGS[name], word)})
            return replace(self, sampling=read.over(self.sampling))
        if name == "negative":
            return replace(self, negative=negative_of(pipeline, word))
        value = value_of(pipeline, name, word, read_image)
        return replace(self, cond={**self.cond, name_of(pipeline, name): value})

    @property
    def seed(self) -> int:
        """Its seed; the first, if the model has several."""
        seed = self.sampling.seed
        return seed if isinstance(seed, int) else seed[0] if seed else 0


def _axis(text: str, conditions: Sequence[str]) -> Axis:
    name, equals, rest = text.partition("=")
    names = [*FLAGS, "negative", CLASS, PROMPT, *conditions]
    if name not in names or not equals:
        raise UsageError(
            f"--grid {text}: write an axis as name=value,value or seed=0:6, the name being one of "
            f"{', '.join(dict.fromkeys(names))}"
        )
    bars = name in WITH_COMMAS or (name in conditions and "|" in rest)
    words = [word.strip() for word in rest.split("|" if bars else ",")]
    if name in WHOLE:
        low, colon, high = rest.partition(":")
        if colon and low.isdecimal() and high.isdecimal():
            words = [str(i) for i in range(int(low), min(int(high), int(low) + MOST + 1))]
        if not words or not all(word.isdecimal() for word in words):
            raise UsageError(f"--grid {text}: {name} takes whole numbers: 0,1,5 or 0:6")
    if not all(words):
        raise UsageError(f"--grid {text}: a value is empty")
    return Axis(name, tuple(words))
