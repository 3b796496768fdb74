"""`demist trace`: what a sampling went through, drawn, and on from any of its steps."""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from demist.commands.sampling import ModelOptions, SamplingOptions, require_positive
from demist.commands.shared import read, require_free
from demist.errors import UsageError


@dataclass(frozen=True)
class HowToGoOn(SamplingOptions):
    """How to go on. What is not said stays as it was; --steps is how many are left to take."""

    seed: int | None = None  # type: ignore[assignment]
    """Of the noise from there on."""


@dataclass(frozen=True)
class Options:
    """Draw a trace, or go on from one of its steps, as it was or otherwise.

    `demist sample RUN --trace FILE` writes one.
    """

    trace: Annotated[Positional[Path], arg(metavar="FILE")]
    """The trace (.safetensors)."""
    out: Path | None = None
    """Film (.gif, .webp) of the noisy state beside the data predicted from it, or a strip of ten
    moments (.png, .jpg, .tif)."""
    fps: float = 12.0
    """Frames per second of a film."""
    from_step: int | None = None
    """Go on from here: so many steps are kept. Needs --model."""
    model: Annotated[str | None, arg(metavar="RUN|FOLDER")] = None
    """The model that made the trace: a run (number, name or path), a saved model, or `digits`."""
    label: Annotated[str | None, arg(name="class", metavar="NAME")] = None
    """Another class from there on, by name or number."""
    prompt: Annotated[str | None, arg(metavar="TEXT")] = None
    """Another prompt."""
    cond: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUE")] = ()
    """Any other condition, also several times; as for `demist sample`."""
    negative: Annotated[str | None, arg(metavar="TEXT")] = None
    """What guidance leads away from."""
    save: Path | None = None
    """File (.safetensors) for the trace that has gone on."""
    force: bool = False
    """Overwrite files that exist."""
    sampling: Annotated[HowToGoOn, arg(name="")] = field(default_factory=HowToGoOn)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        require_positive("from-step", None if self.from_step is None else self.from_step + 1)
        if (self.from_step is None) != (self.model is None):
            raise UsageError("--from-step and --model go together; give both or neither")
        if self.save is not None and self.from_step is None:
            raise UsageError("--save is for a trace that has gone on; say from where: --from-step")
        if not 0 < self.fps <= 100:
            raise UsageError(f"--fps {self.fps:g}: give a number from 0 to 100")


def main(args: list[str]) -> None:
    """Read, go on if that is asked for, draw, and print the names of the files."""
    options = read(Options, "trace", args)
    for path in filter(None, (options.out, options.save)):
        require_free(path, options.force)
    from demist.measuring import films
    from demist.model.trace import Trace

    if options.out is not None:
        films.require_ending(options.out)
    trace = Trace.load(options.trace)
    if options.model is not None and options.from_step is not None:
        pipeline = options.source.open(options.model)
        changes = films.typed_conditions(
            pipeline, films.read_image, options.cond, options.prompt, options.label,
            options.negative,
        )  # fmt: skip
        how = replace(options.sampling.sampling(), rewrite=None)
        trace = films.resumed(pipeline, trace, options.from_step, how, **changes).run()
    print(films.line(trace), file=sys.stderr)
    if options.save is not None:
        print(trace.save(options.save))
    if options.out is not None:
        print(films.write(trace, options.out, options.fps), file=sys.stderr)
        print(options.out)
