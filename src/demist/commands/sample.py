"""`demist sample`: pictures from a trained model, with all that reproduces them inside the file."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from demist.commands.sampling import ModelOptions, SamplingOptions, require_positive
from demist.commands.shared import free_name, provenance, require_free, write_array
from demist.errors import UsageError

if TYPE_CHECKING:
    import demist.model
    from demist.core import Model

FILMED = {4: 100, 2: 2000}
"""At most so many samples are shown in a film: images (four axes) and points (two)."""


@dataclass(frozen=True)
class Options:
    """Draw samples from a run or a saved model.

    Thousands, or by several processes or machines: `demist bulk`, which makes the same samples.
    """

    model: Annotated[Positional[str], arg(metavar="[RUN|FOLDER]")] = "latest"
    """A run (number, name, path or `latest`), or a saved model's folder."""
    label: Annotated[str | None, arg(name="class", metavar="NAMES")] = None
    """Classes by name or number: `3` or `3,7`; `none` for no class. Without it: each in turn."""
    prompt: Annotated[str | None, arg(metavar="TEXT")] = None
    """What to show, for a model of captions; (word:1.5) gives a word more weight."""
    negative: Annotated[str | None, arg(metavar="TEXT")] = None
    """What guidance leads away from: a prompt, or a class of a model without prompts."""
    classifier: Path | None = None
    """Guide by this classifier, made by `demist classifier DATA --noise-of RUN`. The model itself
    is told no class then, unless --class says one."""
    classifier_class: Annotated[str | None, arg(metavar="NAME")] = None
    """The class that it guides to."""
    classifier_scale: float = 1.0
    """How strongly; 1 is the posterior, if the classifier is right."""
    grid: Annotated[tuple[str, ...], arg(metavar="AXIS [AXIS]")] = ()
    """One sample per cell of a labelled picture, rows then columns: guidance=1,2,4,8 seed=0:6. Also
    prompt=A|B, class, steps, solver, guidance-rule, guidance-interval, negative, time-grid."""
    n: int | None = None
    """How many samples. Default: 8 pictures of each of up to ten classes, 16 of a prompt, else 64;
    1000 points."""
    out: Path | None = None
    """PNG to write. Default: samples.png, samples-2.png, ..."""
    animate: Path | None = None
    """Film (.gif or .webp) of the first samples, at most 100 images, being denoised."""
    arrays: Path | None = None
    """The samples as numbers (.npy)."""
    columns: int | None = None
    """Samples per row of the picture."""
    force: bool = False
    """Overwrite files that exist."""
    sampling: Annotated[SamplingOptions, arg(name="")] = field(default_factory=SamplingOptions)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        for name in ("n", "columns"):
            require_positive(name, getattr(self, name))


def main(args: list[str]) -> None:
    """Sample, write, and print the names of the files."""
    from demist.drawing import animation, draw, film, save_png
    from demist.model import values

    options = tyro.cli(Options, prog="demist sample", args=args, config=(OmitArgPrefixes,))
    out = options.out or free_name(Path("samples.png"))
    for path in filter(None, (out, options.animate, options.arrays)):
        require_free(path, options.force)

    pipeline = options.source.open(options.model)
    guiding: dict[str, Any] = {"guide": classifier_guide(options, pipeline)}
    if options.negative is not None:
        guiding["negative"] = values.negative_of(pipeline, options.negative)
    if options.grid:
        draw_grid(options, pipeline, guiding, out, args)
        return
    known = pipeline.conditioner.conditions
    # Led by a classifier, a model is given a class only if the user says so.
    asked = options.label or ("none" if options.classifier else None)
    labels = values.choose_labels(asked, values.classes_of(pipeline), list(known))
    n = options.n or default_count(options, labels, points=len(pipeline.shape) == 1)
    each = values.spread(labels, n)
    cond: dict[str, Any] = {"label": each} if each else {}
    if options.prompt is not None:
        cond["text"] = values.value_of(pipeline, "prompt", options.prompt)
    plan = pipeline.plan(n, options.sampling.sampling(), **guiding, **cond)
    x = plan.sample(progress=sys.stderr.isatty())

    facts = provenance("sample", args, pipeline)
    facts["sampling"] = {"n": n, **plan.sampling.recipe(), **negative_in(guiding), **cond}
    rows = len(labels or ())
    columns = options.columns or (n // rows if rows > 1 and n % rows == 0 else None)
    save_png(draw(x, each, columns), out, facts)
    print(out)
    if options.arrays:
        write_array(x, options.arrays)
        print(options.arrays)
    if options.animate:
        m = min(n, FILMED[x.ndim])
        states = [frame.x for frame in plan.frames(range(m))]
        animation(film(states, each[:m], columns), options.animate)
        print(options.animate)


def negative_in(guiding: dict[str, Any]) -> dict[str, Any]:
    """What a file says of the guidance besides the recipe."""
    return {name: value for name, value in guiding.items() if name == "negative"}


def default_count(options: Options, labels: list[str], points: bool) -> int:
    """How many samples, if nobody says."""
    if points:
        return 1000
    if labels and len(labels) <= 10:
        return 8 * len(labels)
    return 64 if options.prompt is None else 16


def classifier_guide(
    options: Options, pipeline: "demist.model.Pipeline"
) -> "Callable[[Model], Model] | None":
    """The guidance of `--classifier`, if any.

    Raises:
        UsageError: It is not said to which class, there is no such class, or the classifier was
            made for another model.
    """
    if (options.classifier is None) != (options.classifier_class is None):
        raise UsageError("--classifier and --classifier-class go together; give both or neither")
    if options.classifier is None or options.classifier_class is None:
        return None
    from demist.guidance import Classifier
    from demist.model.noisy_classifier import NoisyClassifier

    made = NoisyClassifier.load(options.classifier)
    made.require_fits(pipeline)
    made.to(next(pipeline.denoiser.parameters()).device)
    log_prob = made.towards(options.classifier_class)
    return lambda model: Classifier(model, log_prob, options.classifier_scale)


def draw_grid(
    options: Options,
    pipeline: "demist.model.Pipeline",
    guiding: dict[str, Any],
    out: Path,
    args: list[str],
) -> None:
    """The labelled grid of `--grid`."""
    from demist.drawing import image_grid, save_png
    from demist.model import parse_axes, sweep, values

    for flag in ("n", "columns", "animate"):
        if getattr(options, flag) is not None:
            raise UsageError(f"--{flag} and --grid both say how many samples; leave one out")
    if len(pipeline.shape) != 3:
        raise UsageError("--grid shows images, and this model makes points; leave it out")
    known, sampling = list(pipeline.conditioner.conditions), options.sampling.sampling()
    rows, columns = parse_axes(options.grid, known)
    cond: dict[str, Any] = {}
    if options.label is not None and "class" not in (rows.name, columns.name):
        chosen = values.choose_labels(options.label, values.classes_of(pipeline), known)
        if len(chosen) > 1:
            raise UsageError(f"--class {options.label} in a grid: give one, or an axis class=...")
        cond["label"] = chosen[0] if chosen else None
    if options.prompt is not None:
        cond["text"] = values.value_of(pipeline, "prompt", options.prompt)
    x = sweep(pipeline, rows, columns, sampling, **guiding, **cond)
    facts = provenance("sample", args, pipeline)
    recipe = pipeline.plan(1, sampling).sampling.recipe()
    facts["sampling"] = {**recipe, **negative_in(guiding), **cond, "grid_of": list(options.grid)}
    width = len(columns.words)
    page = image_grid(x, columns=width, rows_say=rows.labels, columns_say=columns.labels)
    save_png(page, out, facts)
    print(out)
    if options.arrays:
        write_array(x, options.arrays)
        print(options.arrays)
