"""`demist fit-solver`: steps of its own for a model, for few evaluations."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from demist.commands.sampling import ModelOptions, require_positive
from demist.commands.shared import free_name, read
from demist.errors import CannotCreateError, UsageError


@dataclass(frozen=True)
class Options:
    """Fit a solver to a model, so that few steps come nearest to what many would give.

    Times and weights of the steps are fitted by following the model's flow; nothing is trained, and
    the network stays as it is. The fit is kept in the run, or in a new folder with a copy of the
    model, and is the default there for the numbers of steps that were fitted, at the same
    guidance. What was fitted to the model before stays.
    """

    model: Annotated[Positional[str], arg(metavar="RUN|FOLDER")]
    """A run (number, name, path or `latest`), a saved model's folder, or `digits`."""
    out: Path | None = None
    """New folder for a copy of the model with its fit. Default: none for a run, which keeps the fit
    until it trains on; for a saved model fitted, fitted-2, ..."""
    steps: Annotated[str, arg(metavar="N,N,...")] = "3,4,5,6,7,8,9,10,12,15,20"
    """Numbers of steps to fit, 2 to 96 each; with others the rule chooses, as ever."""
    starts: int = 64
    """Draws of noise: the first half to fit to, the second to choose by. More for points in few
    dimensions."""
    guidance: Annotated[UseAppendAction[tuple[float, ...]], arg(metavar="SCALE")] = ()
    """Scale of guidance, also several times. Default: the model's own; with others the rule
    chooses, as ever."""
    seed: int = 0
    """Of the noise."""
    prompt: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="TEXT")] = ()
    """What is drawn meanwhile, for a model of captions, also several times: such as people will
    ask for. Default: no prompt."""
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        require_positive("starts", self.starts)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of steps, each once, rising."""
        try:
            return tuple(sorted({int(word) for word in self.steps.split(",")}))
        except ValueError:
            raise UsageError(f"--steps {self.steps}: not numbers such as 5,8,10") from None


def main(args: list[str]) -> None:
    """Fit, print what is gained, and the folder's name."""
    options = read(Options, "fit-solver", args)
    if options.out and options.out.exists():
        raise CannotCreateError(f"{options.out} exists already; choose another name: --out")
    steps = options.numbers
    pipeline = options.source.open(options.model)
    if pipeline.origin is not None:
        raise UsageError(
            f"{options.model} is saved in its maker's form, which has no place for a fitted "
            f"solver; fit it in Python for as long as it is open: Pipeline.fitted"
        )
    cond: dict[str, Any] = {}
    if options.prompt:
        name = next(
            (k for k, c in pipeline.conditioner.conditions.items() if c.short == "prompt"), ""
        )
        if not name:
            raise UsageError("--prompt: this model reads no prompts; leave it out")
        cond[name] = [options.prompt[i % len(options.prompt)] for i in range(options.starts)]
    scales = options.guidance or (pipeline.defaults.guidance or 1.0,)
    drawn = [
        f"{name}: {'the prompts given, in turn' if name in cond else _drawn(c)}"
        for name, c in pipeline.conditioner.conditions.items()
    ]
    print(
        f"the model's flow is followed from {options.starts} draws of noise, guidance "
        + " and ".join(f"{scale:g}" for scale in scales)
        + "".join(f"; {words}" for words in drawn),
        file=sys.stderr,
    )
    began = time.monotonic()
    made = pipeline
    for scale in scales:
        made = made.fitted(
            steps, starts=options.starts, guidance=scale, seed=options.seed, progress=True, **cond
        )
    if (own := pipeline.defaults.solver) != "auto":
        print(
            f"the model's default solver is {own}, and stays so: sample with --solver auto for "
            f"what was fitted",
            file=sys.stderr,
        )
    kept = None if options.out else options.source.keep_fits(options.model, made)
    out = kept or made.save(options.out or free_name(Path("fitted")))
    print(
        f"{time.monotonic() - began:.0f} s; mean distance from the exact flow, of the half of the "
        f"draws that the best way was chosen by, so a little too good:",
        file=sys.stderr,
    )
    print("guidance  steps    before     after  solver", file=sys.stderr)
    for scale in scales:
        for n in steps:
            way = made.fits.ways[scale][n]
            print(
                f"{scale:8g} {n:6} {way.usual:9.4f} {way.error:9.4f}  {way.spec}", file=sys.stderr
            )
    print(out)


def _drawn(condition: Any) -> str:
    """What a condition is while the flow is followed, if nobody says."""
    several = len(condition.choices)
    return f"all {several} in turn" if several else "not told"
