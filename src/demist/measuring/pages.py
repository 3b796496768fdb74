"""Pages of samples, and films of how they came about, with the facts that reproduce them."""

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demist.conditions import Control
from demist.data.images.decode import read_image as read_image
from demist.drawing import FILMS, animation, format_of, image_grid, save_image
from demist.errors import UsageError
from demist.io.arrays import write_array
from demist.measuring.parameters import parameters_of
from demist.modalities import Modality
from demist.modalities import of as of
from demist.modalities.enlarged import of_one_size
from demist.model.feeders import identity
from demist.model.pipeline import Pipeline
from demist.model.plan import Guide, Plan
from demist.model.recording import recorded
from demist.model.rewording import reworded
from demist.model.sampling import Sampling
from demist.model.sweep import parse_axes, sweep
from demist.model.trace import Trace
from demist.model.values import of_class
from demist.version import __version__


@dataclass(frozen=True)
class Page:
    """Samples as one image.

    Attributes:
        x: The samples.
        image: All of them.
        facts: With which version, model and recipe they were made.
        frames: One image of the first samples for every state from noise to data, if wanted.
        texts: What else a PNG is to say, by name.
        modality: What kind of data they are.
        trace: What the first of them went through, if wanted.
    """

    x: np.ndarray
    image: Image.Image
    facts: Mapping[str, Any]
    frames: Sequence[Image.Image] = field(default=(), repr=False)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    modality: Modality | None = None
    trace: Trace | None = field(default=None, repr=False)

    def save(self, path: Path, command: str | None = None, metadata: bool = True) -> None:
        """Write an image that carries the facts.

        Args:
            path: Where to; its ending says the format (`demist.drawing.FORMATS`).
            command: What was typed, for the facts.
            metadata: Whether it carries them.
        """
        facts = {"command": command, **self.facts} if metadata else None
        save_image(self.image, path, facts, self.texts if metadata else None)

    def write(self, folder: Path) -> Path | None:
        """Write the samples into a folder, a file each; None where the page is all there is."""
        return None if self.modality is None else self.modality.write(self.x, folder)

    def write_together(self, path: Path) -> Path | None:
        """Write all samples into one file; None as in `write`."""
        return None if self.modality is None else self.modality.write_together(self.x, path)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        file = io.BytesIO()
        self.image.save(file, "PNG")
        return file.getvalue()

    def save_array(self, path: Path) -> None:
        """Write the samples as numbers, `.npy`."""
        write_array(self.x, path)

    def animate(self, path: Path, fps: float = 12) -> None:
        """Write the film, `.gif` or `.webp`."""
        animation(self.frames, path, fps=fps)


def require_endings(out: Path, film: Path | None, arrays: Path | None) -> None:
    """Check, before any work, that what is to be written can be written so.

    Raises:
        UsageError: The ending of a name is of no format for it.
    """
    format_of(out)
    if film is not None:
        format_of(film, FILMS)
    if arrays is not None and arrays.suffix != ".npy":
        raise UsageError(f"numbers cannot be written as {str(arrays)!r}; end it in .npy")


def sample_page(
    pipeline: Pipeline,
    n: int,
    sampling: Sampling | None = None,
    *,
    labels: Sequence[str] = (),
    columns: int | None = None,
    film: bool = False,
    trace: bool = False,
    negative: Mapping[str, Any] | None = None,
    weak: Pipeline | None = None,
    guide: Guide | None = None,
    **cond: Any,
) -> Page:
    """Samples on a page, with a bar on a terminal.

    Args:
        pipeline: The model.
        n: How many.
        sampling: How.
        labels: Class of each; empty: the model is given none.
        columns: In a row; None: a square, or rows of one class each.
        film: Make a film, too, of as many of the first samples as their kind of data shows; of a
            model with stages before it, all stages one after another, enlarged to its size.
        trace: Write down what the first batch goes through; see `demist.model.Trace`.
        negative: What guidance leads away from.
        weak: A weaker model, for the rule `autoguidance`.
        guide: Further guidance.
        cond: Further conditions, as in `Pipeline.sample`.
    """
    if labels:
        cond = {**of_class(pipeline, labels), **cond}
    full = (sampling or Sampling()).over(pipeline.defaults)
    cond = reworded(pipeline, cond, full.rewrite is not False)
    plan = pipeline.plan(n, sampling, negative=negative, weak=weak, guide=guide, **cond)
    modality = of(pipeline)
    filmed = modality.filmed if film else 0
    states = of_one_size([frame.x for frame in plan.film(range(min(n, filmed)))]) if filmed else []
    traced = _traced(pipeline, plan, sampling, negative, weak, guide, cond) if trace else None
    if traced is not None and traced.n >= n:
        x = traced.samples
    else:
        x = states[-1] if filmed >= n else plan.sample(progress=sys.stderr.isatty())
    rows = len(set(labels))
    columns = columns or (n // rows if rows > 1 and n % rows == 0 else None)
    options = {
        "n": n,
        **plan.sampling.recipe(),
        **_negative(negative),
        **weak_facts(weak),
        **plain(cond),
    }
    page = made_page(
        pipeline, x, options, labels=labels, columns=columns, states=states,
    )  # fmt: skip
    if traced is not None:
        page = replace(page, trace=traced)
    if plan.feeds or plan.then:
        counts = {k: round(each, 2) for k, each in plan.evaluations().items()}
        page = replace(page, facts={**page.facts, "evaluations": counts})
    return page


def made_page(
    pipeline: Pipeline,
    x: np.ndarray,
    options: Mapping[str, Any],
    *,
    labels: Sequence[str] = (),
    columns: int | None = None,
    states: Sequence[np.ndarray] = (),
) -> Page:
    """Samples that are made, on a page.

    Args:
        pipeline: The model.
        x: The samples.
        options: How they were made, for the facts.
        labels: What they show, one each; or none.
        columns: In a row.
        states: Those of a film, of the first samples.
    """
    modality = of(pipeline)
    line = parameters_of(pipeline, options)
    return Page(
        x,
        modality.draw(x, labels, columns),
        facts_of(pipeline, options),
        modality.film(states, labels[: len(states[-1])], columns) if len(states) else (),
        {} if line is None else {"parameters": line},
        modality,
    )


def _traced(
    pipeline: Pipeline,
    plan: Plan,
    sampling: Sampling | None,
    negative: Mapping[str, Any] | None,
    weak: Pipeline | None,
    guide: Guide | None,
    cond: Mapping[str, Any],
) -> Trace:
    """A trace of the first batch of a plan; each sample is the same as without the others."""
    n = len(plan.batches()[0])
    some: dict[str, Any] = {
        k: v[:n] if isinstance(v, list) and len(v) == plan.n else v for k, v in cond.items()
    }
    how = replace(sampling or Sampling(), rewrite=False)
    if how.noise == "torch" and n < plan.n:
        raise UsageError(
            f"with noise = 'torch' a sample depends on how many there are, and a trace holds the "
            f"first {n}; ask for {n} samples, or for a --batch-size of {plan.n}"
        )
    further: dict[str, Any] = {"negative": negative, "weak": weak, "guide": guide}
    given = {name: value for name, value in further.items() if value is not None}
    return recorded(pipeline, n, how, **given, **some).run()


def grid_page(
    pipeline: Pipeline,
    axes: Sequence[str],
    sampling: Sampling | None = None,
    *,
    negative: Mapping[str, Any] | None = None,
    weak: Pipeline | None = None,
    guide: Guide | None = None,
    **cond: Any,
) -> Page:
    """One sample per cell along one or two axes, written beside them.

    Args:
        pipeline: A model of images.
        axes: As in `demist.model.sweep.parse_axes`: `["guidance=1,2,4", "seed=0:6"]`. What an axis
            varies takes the place of what is given below.
        sampling: How, where no axis says.
        negative: What guidance leads away from.
        weak: A weaker model, for the rule `autoguidance`.
        guide: Further guidance.
        cond: Conditions of all cells.

    Raises:
        UsageError: An axis or a value makes no sense, or the model makes no images.
    """
    if not (modality := of(pipeline)).spatial:
        raise UsageError(f"--grid shows images, and this model makes {modality.name}; leave it out")
    rows, columns = parse_axes(axes, list(pipeline.conditioner.conditions))
    x = sweep(
        pipeline, rows, columns, sampling, negative=negative, weak=weak, guide=guide,
        read_image=read_image, **cond,
    )  # fmt: skip
    # As asked: what settles by the steps, such as the solver, may differ from cell to cell.
    recipe = (sampling or Sampling()).over(pipeline.defaults).recipe()
    options = {
        **recipe,
        **_negative(negative),
        **weak_facts(weak),
        **plain(cond),
        "grid_of": list(axes),
    }
    page = image_grid(
        x, columns=len(columns.words), rows_say=rows.labels, columns_say=columns.labels
    )
    return Page(x, page, facts_of(pipeline, options))


def usual_count(what: Pipeline | Modality, labels: Sequence[str], prompted: bool) -> int:
    """How many samples, if nobody says.

    Args:
        what: The model, or its modality.
        labels: The classes that are asked for.
        prompted: Whether a prompt says what to show.
    """
    usual = (what if isinstance(what, Modality) else of(what)).sampled
    if usual is not None:
        return usual
    if labels and len(labels) <= 10:
        return 8 * len(labels)
    return 16 if prompted else 64


def facts_of(pipeline: Pipeline, options: Mapping[str, Any]) -> dict[str, Any]:
    """With which version and model something was made, and how: for files made from it."""
    return {
        "demist": __version__,
        "model": identity(pipeline),
        "sampling": dict(options),
    }


def plain(cond: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions as JSON; of images, that they were given."""

    def images(value: Any) -> bool:
        return isinstance(value, np.ndarray) or (
            isinstance(value, tuple) and any(isinstance(one, np.ndarray) for one in value)
        )

    def one(value: Any) -> Any:
        if isinstance(value, Control):
            return {"image": "image", **value.facts()}
        if isinstance(value, Pipeline):  # the weaker model
            return identity(value)
        return "image" if images(value) else value

    return {name: one(value) for name, value in cond.items()}


def _negative(negative: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if negative is None else {"negative": negative}


def weak_facts(weak: Pipeline | None) -> dict[str, Any]:
    """What a page says of a weaker model that guidance led away from."""
    return {} if weak is None else {"weak": identity(weak)}
