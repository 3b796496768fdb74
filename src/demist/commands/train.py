"""`demist train`: options from defaults, a recipe, a file and flags, later ones winning."""

import sys
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from demist import recipes, runs
from demist.commands import shared
from demist.config import DEFAULT_BUDGET, Stages, TrainConfig, divide, giving_way, load_toml, update
from demist.config.stages import changed
from demist.errors import UsageError
from demist.machine.streams import tell
from demist.training.resume import state_of, unfinished

if TYPE_CHECKING:
    import demist.training.plan


@dataclass(frozen=True)
class Options:
    """Train a model on a folder of images, or on the digits that come with the package.

    Options come from the defaults, a recipe, a file and flags, later ones winning.
    """

    where: Annotated[Positional[str | None], arg(metavar="[PATH]")] = None
    """Folder, file or archive of data, or an embedded set; the same as --path."""
    recipe: Annotated[str | None, arg(metavar="NAME")] = None
    """Start from: digits, demo, student, cifar10, images64, scenes, captions, autoencoder, clip, ddpm, latent, scenes64, emoji, pixel, sd, dalle3, sdxl, sd3, imagen, glide, prior, dalle2, instruct, inpaint, upscale, spoken-digits, spoken-digits-latent, spoken-digits-wave, loops, demo-sounds, moons, spiral, 25-gaussians, eight."""  # noqa: E501
    config: Annotated[Path | None, arg(metavar="FILE.toml")] = None
    """Read options from a file as `demist config` prints it; it need not name all."""
    resume: Annotated[str | None, arg(metavar="[RUN]")] = None
    """Go on with a run (number, name or path; without one, the latest), with its own options."""
    override: tuple[str, ...] = ()
    """Names of options that may change when a run is resumed, such as lr; limits always may."""
    fresh: bool = False
    """Start a new run even if one with the same options was killed, stopped or failed. Without it
    the same command goes on with that run."""
    dry_run: bool = False
    """Look at the data, print the plan (time and memory among it), and write nothing."""
    settings: Annotated[TrainConfig, arg(name="")] = field(default_factory=TrainConfig)


def main(args: list[str]) -> None:
    """Train, resume or plan."""
    options = parse(args)
    config, stages = options.settings, divided(options)
    if unnamed(options, args):
        limits = config.limits
        until = f"{limits.steps:,} steps" if limits.steps else limits.budget or DEFAULT_BUDGET
        print(
            f"no data was named: this trains on the handwritten digits that come with the package, "
            f"for {until}; for images of yours: demist train path/to/images",
            file=sys.stderr,
        )
    from demist.training import session

    if options.dry_run:
        print(table(session.plan(stages)))
    else:
        command = ["demist", "train", *args]
        session.carry_out(stages, partial(choose_run, options), options.override, command)


def unnamed(options: Options, args: list[str]) -> bool:
    """Whether nobody said what to train on."""
    source = options.where or options.recipe or options.config or options.resume
    return not source and not any(word.partition("=")[0] == "--path" for word in args)


def choose_run(options: Options) -> runs.Run | None:
    """The run to go on with: the one named, or one that the same command left unfinished."""
    if options.resume:
        return runs.find(options.resume, options.settings.output.runs)
    run = None if options.fresh else unfinished(divided(options))
    if run is not None:
        tell(f"going on with {run.path} ({state_of(run)}); --fresh starts anew")
    return run


def divided(options: Options) -> Stages:
    """The stages of the run that is asked for, of which most have one.

    Raises:
        UsageError: The options cannot be divided.
    """
    if options.resume:
        run = runs.find(options.resume, options.settings.output.runs)
        return changed(runs.stages.read(run), options.settings)
    if options.recipe:
        return recipes.find(options.recipe).divided(options.settings)
    return divide(options.settings)


def parse(args: list[str]) -> Options:
    """The options, with everything that stands behind the flags resolved into `settings`.

    Raises:
        UsageError: Sources that exclude each other, or a value that makes no sense.
        MissingError: There is no such run or file.
    """
    args = with_value(args)
    first = read(args, Options())
    base = sources(first)
    options = read(args, replace(Options(), settings=base))
    if options.where is None:
        return options
    if options.settings.data.path not in (base.data.path, options.where):
        raise UsageError(
            f"the data is given twice, {options.where!r} and --path "
            f"{options.settings.data.path!r}; leave one out"
        )
    return replace(options, settings=update(options.settings, {"path": options.where}))


def read(args: list[str], default: Options) -> Options:
    """One pass over the flags."""
    return shared.read(Options, "train", args, default)


def sources(options: Options) -> TrainConfig:
    """The configuration below the flags: of the run, or of defaults, recipe and file."""
    if options.resume is not None:
        if options.recipe or options.config:
            raise UsageError(
                "a resumed run keeps its own options: leave out --recipe and --config; flags may "
                "change its limits, output and device"
            )
        run = runs.find(options.resume, options.settings.output.runs)
        return update(run.config(), {"runs": str(run.path.parent)})
    config = recipes.find(options.recipe).config() if options.recipe else TrainConfig()
    base = options.settings.network.start_from
    if options.config:
        base = load_toml(options.config, TrainConfig()).network.start_from or base
    config = giving_way(config, base)
    return load_toml(options.config, config) if options.config else config


def with_value(args: list[str]) -> list[str]:
    """`--resume` without a run means the latest."""
    out = []
    for arg_, after in pairwise([*args, "-"]):
        out.append(arg_)
        if arg_ == "--resume" and after.startswith("-"):
            out.append("latest")
    return out


def table(plan: "demist.training.plan.Plan") -> str:
    """What was understood of the data, and the plan in two columns; of all stages."""
    if not plan.earlier:
        return "\n".join([plan.understood, *columns(plan), *plan.notes])
    lines = [plan.understood, *plan.notes]
    for name, part in (*plan.earlier, ("model", plan)):
        lines += ["", f"stage {name}", *columns(part)]
        lines += part.notes if part is not plan else ()
    seconds = plan.seconds + sum(part.seconds for _, part in plan.earlier)
    return "\n".join([*lines, "", f"seconds in all  {seconds:.0f}"])


def columns(plan: "demist.training.plan.Plan") -> list[str]:
    """The rows of a plan, as lines."""
    rows = plan.rows()
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]
