"""`demist restore`: draws of what a damaged image may have been; of one, or a folder of them."""

import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Fixed, Positional, Suppress, UseAppendAction, arg

from demist.commands.sampling import ModelOptions, SamplingOptions, parse_size, require_positive
from demist.commands.shared import free_name, read, require_free
from demist.errors import UsageError


@dataclass(frozen=True)
class HowToSample(SamplingOptions):
    """How to sample, without the flag --noise, which here is that of the measurement."""

    noise: Annotated[Literal["seeded", "torch"] | None, Fixed, Suppress] = None


@dataclass(frozen=True)
class Options:
    """Restore damaged images by a model: fill, sharpen, enlarge, colour them, and say how sure.

    Several samples are drawn of what each may have been; the result is their mean, beside it the
    samples and an image of their spread, and the damaged image with --simulate.
    """

    model: Annotated[Positional[str], arg(metavar="RUN|FOLDER")]
    """A run (number, name, path or `latest`), a saved model's folder, or `digits`."""
    image: Annotated[Positional[Path], arg(metavar="IMAGE|FOLDER")]
    """A damaged image, an array (.npy) of what was measured, or a folder of images."""
    operator: Annotated[str, arg(metavar="NAME:OPTIONS")]
    """What happened to it: mask:FILE (white is hidden; or mask:FOLDER, a mask for each image of a
    folder, of the image's name), box:x,y,w,h, half:lower, random:0.7, gaps:100,200, sr:4, blur:1.5,
    motion:9,30, colour, dense:FILE; a@b: first b, then a. `demist list operators` explains them."""
    noise: Annotated[str, arg(metavar="STD|poisson:PEAK")] = "0"
    """Standard deviation of the noise on what was measured, where black is -1 and white is 1: 0.05
    is 6 of 255. poisson:30: at most 30 photons."""
    method: str = "auto"
    """How to draw, with options: pigdm, mmps, dps:scale=0.5, ...; `demist list methods` explains
    them."""
    n: int = 8
    """Samples of each image."""
    simulate: bool = False
    """The images are clean: damage them first, and compare with them what is drawn."""
    prompt: Annotated[str | None, arg(metavar="TEXT")] = None
    """What the image shows, for a model of captions."""
    label: Annotated[str | None, arg(name="class", metavar="NAME")] = None
    """Its class, by name or number. Without it: none."""
    cond: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUE")] = ()
    """Any condition of the model, also several times; as for `demist sample`."""
    size: Annotated[str | None, arg(metavar="SIDE|WIDTHxHEIGHT")] = None
    """Of the restored images, if not the size the model was trained on."""
    out: Path | None = None
    """Image to write, or array (.npy) of all samples, or folder for those of a folder. Default:
    restored.png, restored-2.png, ..."""
    resume: bool = False
    """Go on in a folder that holds some of the results."""
    force: bool = False
    """Overwrite an image that exists."""
    sampling: Annotated[HowToSample, arg(name="")] = field(default_factory=HowToSample)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        require_positive("n", self.n)
        if self.resume and self.out is None:
            raise UsageError("--resume: say the folder to go on in: --out")


def main(args: list[str]) -> None:
    """Restore, write, print the names of the files, and say how well it went."""
    options = read(Options, "restore", args)
    several = options.image.is_dir()
    ending = ".npy" if options.image.suffix == ".npy" else ".png"
    out = options.out or free_name(Path("restored" if several else f"restored{ending}"))
    from demist.editing import restorer

    say = partial(print, file=sys.stderr)
    words = ["damaged"] * options.simulate + ["samples", "spread"] * (options.n > 1)
    names = [out] + [restorer.beside(out, word) for word in words if out.suffix != ".npy"]
    if not several:
        restorer.require_endings(
            out if out.suffix != ".npy" else Path("a.png"), None,
            out if out.suffix == ".npy" else None,
        )  # fmt: skip
        for path in names:
            require_free(path, options.force)
    pipeline = options.source.open(options.model)
    if options.size is not None:
        pipeline = pipeline.sized(parse_size(options.size))
    cond = restorer.typed_conditions(
        pipeline, restorer.read_image, options.cond, options.prompt, options.label
    )
    asked = {
        name: getattr(options, name) for name in ("operator", "noise", "method", "n", "simulate")
    } | {"prompt": options.prompt, "class": options.label, "cond": list(options.cond)}
    ready = restorer.Restorer(
        restorer.Damages.of(pipeline, options.operator, options.noise), options.method,
        options.n, options.sampling.sampling(), cond, options.simulate, asked, say,
    )  # fmt: skip
    if several:
        scores = ready.folder(options.image, out, options.resume)
        names = [out]
    else:
        scores = ready.file(options.image, out)
    say(restorer.sentence(scores))
    for path in filter(Path.exists, names):  # a damaged image may be no image
        print(path)
