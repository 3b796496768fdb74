"""`demist sample`: pictures from a trained model, with all that reproduces them inside the file."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional, arg

from demist import __version__, files
from demist.commands.shared import (
    command_line,
    free_name,
    open_model,
    require_free,
    weights_hash,
)
from demist.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from demist.pipeline import Pipeline


@dataclass(frozen=True)
class Options:
    """Draw samples from a run or a saved model."""

    model: Annotated[Positional[str], arg(metavar="[RUN|FOLDER]")] = "latest"
    """A run (number, name, path or `latest`), or a saved model's folder."""
    label: Annotated[str | None, arg(name="class", metavar="NAMES")] = None
    """Classes by name or number: `3` or `3,7`; `none` for no class. Without it: each in turn."""
    n: int | None = None
    """How many samples. Default: 8 of each of up to ten classes, else 64."""
    steps: int | None = None
    """Steps from noise to data. Default: the model's, usually 20."""
    solver: str | None = None
    """ddim, ddim:eta=1 (DDPM), heun, dpmpp-2m, ... Default: the model's."""
    grid: str | None = None
    """Where the steps are: angular, smooth, uniform, karras, log-snr, trailing, leading."""
    guidance: float | None = None
    """How strongly the class is followed; 1 is as learned, 1.5 to 3 is clearer and less varied."""
    seed: int = 0
    """Sample i depends on the seed and i alone."""
    out: Path | None = None
    """PNG to write. Default: samples.png, samples-2.png, ..."""
    animate: Path | None = None
    """Film (.gif or .webp) of the first 64 samples being denoised."""
    arrays: Path | None = None
    """The samples as numbers (.npy)."""
    columns: int | None = None
    """Samples per row of the picture."""
    batch_size: int | None = None
    """Samples at once: changes speed and memory, never the pictures."""
    at_step: int | None = None
    """Checkpoint of the run to use. Default: the newest."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    force: bool = False
    """Overwrite files that exist."""
    runs: Path = Path("runs")
    """Folder in which run folders are."""

    def __post_init__(self) -> None:
        for name in ("n", "steps", "columns", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(
                    f"--{name.replace('_', '-')} {value} makes no sample; give 1 or more"
                )


def main(args: list[str]) -> None:
    """Sample, write, and say what was written."""
    options = tyro.cli(Options, prog="demist sample", args=args)
    out = options.out or free_name(Path("samples.png"))
    for path in filter(None, (out, options.animate, options.arrays)):
        require_free(path, options.force)

    pipeline = open_model(options.model, options.runs, options.at_step, options.device)
    labels = choose_labels(options.label, classes_of(pipeline))
    n = options.n or (8 * len(labels) if labels and len(labels) <= 10 else 64)
    each = spread(labels, n)
    settings = how(options, pipeline)
    cond = {"label": each} if each else {}
    x = pipeline.sample(
        n, **settings, batch_size=options.batch_size, progress=sys.stderr.isatty(), **cond
    )

    facts = {
        "command": command_line("sample", args),
        "demist": __version__,
        "model": {"path": options.model, "sha256": weights_hash(pipeline), **pipeline.facts},
        "sampling": {"n": n, **settings, "labels": each},
    }
    columns = options.columns or (n // len(labels) if labels and n % len(labels) == 0 else None)
    picture = draw(x, each, columns)
    write_picture(picture, out, facts)
    print(out)
    if options.arrays:
        write_array(x, options.arrays)
        print(options.arrays)
    if options.animate:
        from demist.pictures import animation

        m = min(n, 64)
        some = {"label": each[:m]} if each else {}
        frames = [frame.x for frame in pipeline.trajectory(m, **settings, **some)]
        animation(film(frames, each[:m], columns), options.animate)
        print(options.animate)


def how(options: Options, pipeline: "Pipeline") -> dict[str, Any]:
    """The sampling settings, the model's own filled in."""
    from dataclasses import asdict

    settings = {
        key: value for key, value in asdict(pipeline.defaults).items() if key != "batch_size"
    }
    settings["seed"] = options.seed
    for key in ("steps", "solver", "grid", "guidance"):
        if getattr(options, key) is not None:
            settings[key] = getattr(options, key)
    return settings


def classes_of(pipeline: "Pipeline") -> tuple[str, ...]:
    """Names of the classes the model can be asked for."""
    condition = pipeline.conditioner.conditions.get("label")
    return condition.classes if condition else ()  # type: ignore[attr-defined]


def choose_labels(text: str | None, classes: Sequence[str]) -> list[str]:
    """The classes meant by `--class`; empty for none.

    Raises:
        UsageError: The model has no classes.
    """
    if text is None:
        return list(classes)
    if text == "none" and "none" not in classes:
        return []
    if not classes:
        raise UsageError(f"--class {text}: this model was trained without classes; leave it out")
    if text in classes:
        return [text]
    names = [name.strip() for name in text.split(",")]
    return [
        classes[int(m)] if m.isdecimal() and int(m) < len(classes) and m not in classes else m
        for m in names
    ]


def spread(labels: Sequence[str], n: int) -> list[str]:
    """`n` labels in equal runs: a, a, b, b."""
    return [labels[i * len(labels) // n] for i in range(n)] if labels else []


def draw(x: "np.ndarray", labels: Sequence[str], columns: int | None) -> "Image.Image":
    """Images as a labelled grid, points as a scatter or histogram."""
    from demist.pictures import image_grid, scatter

    if x.ndim == 2:
        return scatter(x)
    return image_grid(x, labels=labels or None, columns=columns)


def film(
    states: Sequence["np.ndarray"], labels: Sequence[str], columns: int | None
) -> list["Image.Image"]:
    """One picture per state; points share one scale, the last state's."""
    import numpy as np

    from demist.pictures import image_grid, scatter

    if states[0].ndim == 2:
        limit = 1.5 * float(np.abs(states[-1]).max())
        return [scatter(x, limit=limit) for x in states]
    return [image_grid(x, labels=labels or None, columns=columns) for x in states]


def write_picture(picture: "Image.Image", path: Path, facts: dict[str, Any]) -> None:
    """A PNG with `facts` inside."""
    from demist.pictures import save_png

    save_png(picture, path, facts)


def write_array(x: "np.ndarray", path: Path) -> None:
    """A .npy file, whole or not at all."""
    import numpy as np

    with files.atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, x, allow_pickle=False)
