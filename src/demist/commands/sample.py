"""`demist sample`: pictures from a trained model, with all that reproduces them inside the file."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from demist import files
from demist.commands.sampling import (
    ModelOptions,
    SamplingOptions,
    choose_labels,
    classes_of,
    draw,
    film,
    require_positive,
    spread,
)
from demist.commands.shared import free_name, provenance, require_free

if TYPE_CHECKING:
    import numpy

FILMED = {4: 100, 2: 2000}
"""At most so many samples are shown in a film: images (four axes) and points (two)."""


@dataclass(frozen=True)
class Options:
    """Draw samples from a run or a saved model."""

    model: Annotated[Positional[str], arg(metavar="[RUN|FOLDER]")] = "latest"
    """A run (number, name, path or `latest`), or a saved model's folder."""
    label: Annotated[str | None, arg(name="class", metavar="NAMES")] = None
    """Classes by name or number: `3` or `3,7`; `none` for no class. Without it: each in turn."""
    n: int | None = None
    """How many samples. Default: 8 of each of up to ten classes, else 64."""
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
    from demist.pictures import animation, save_png

    options = tyro.cli(Options, prog="demist sample", args=args, config=(OmitArgPrefixes,))
    out = options.out or free_name(Path("samples.png"))
    for path in filter(None, (out, options.animate, options.arrays)):
        require_free(path, options.force)

    pipeline = options.source.open(options.model)
    labels = choose_labels(options.label, classes_of(pipeline))
    n = options.n or (8 * len(labels) if labels and len(labels) <= 10 else 64)
    each = spread(labels, n)
    settings = options.sampling.over(pipeline)
    cond: dict[str, Any] = {"label": each} if each else {}
    bar, batch_size = sys.stderr.isatty(), options.sampling.batch_size
    x = pipeline.sample(n, **settings, batch_size=batch_size, progress=bar, **cond)

    facts = provenance("sample", args, pipeline) | {"sampling": {"n": n, **settings, **cond}}
    columns = options.columns or (n // len(labels) if labels and n % len(labels) == 0 else None)
    save_png(draw(x, each, columns), out, facts)
    print(out)
    if options.arrays:
        write_array(x, options.arrays)
        print(options.arrays)
    if options.animate:
        m = min(n, FILMED[x.ndim])
        some: dict[str, Any] = {"label": each[:m]} if each else {}
        states = [frame.x for frame in pipeline.trajectory(m, **settings, **some)]
        animation(film(states, each[:m], columns), options.animate)
        print(options.animate)


def write_array(x: "numpy.ndarray", path: Path) -> None:
    """A .npy file, whole or not at all."""
    import numpy as np

    with files.atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, x, allow_pickle=False)
