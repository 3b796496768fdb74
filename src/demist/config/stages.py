"""Stages: a run trains one thing after another, such as a codec and then a model in its latents.

`Stages` holds the options of all of them. An option of a later stage names what an earlier one has
made as `stage:NAME`. `divide` makes stages of the options of one run: a run in the latents of an
autoencoder that is still to be trained (`codec` is one of `CODEC_KINDS`) gets the stage `codec`
before it. Nothing else has to be said for that, in Python as on the command line.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from demist.config.command import training_command
from demist.config.notation import DEFAULT_BUDGET, duration_text, parse_duration, parse_share
from demist.config.options import (
    CODEC_KINDS,
    LimitsConfig,
    NetworkConfig,
    OptimizationConfig,
    OutputConfig,
    TrainConfig,
)
from demist.config.toml import differences, flat, update
from demist.errors import UsageError

REFERENCE = "stage:"
"""How the value of an option begins that names what an earlier stage has made."""
CODEC = "codec"
"""Name of the stage that trains an autoencoder."""
SHARE = 0.25
"""Of the budget, for the codec, where nothing is said."""
CODEC_TIME = "5m"
"""For the codec of a run that ends after some steps, where nothing is said."""
CODEC_ONLY = (
    "linear_start", "latent_channels", "downsample", "kl_weight", "reconstruction",
    "codebook", "codebook_decay", "commitment", "perceptual", "perceptual_features",
    "adversarial", "adversarial_start",
)  # fmt: skip
"""Options that only an autoencoder reads."""
AUTOENCODER = TrainConfig(
    network=NetworkConfig(network="autoencoder", channels_per_level=(16, 24, 48)),
    optimization=OptimizationConfig(
        optimizer="adamw", lr=1e-3, batch_size=16, warmup=50, precision="fp32"
    ),
    limits=LimitsConfig(budget=CODEC_TIME),
)
"""How an autoencoder is trained: of the recipe `autoencoder` and of the stage `codec`."""
SHARED = (
    "device", "threads", "patience", "auto_microbatch", "path",
    *(name for name in vars(OutputConfig()) if name != "name"),
)  # fmt: skip
"""Options that change for all stages of a run when it is resumed with others."""


@dataclass(frozen=True)
class Stage:
    """One of the earlier stages of a run.

    Attributes:
        name: Of its folder: small letters, digits and dashes.
        config: Its options.
    """

    name: str
    config: TrainConfig

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise UsageError(
                f"a stage called {self.name!r}: use small letters and digits, with dashes between"
            )


@dataclass(frozen=True)
class Stages:
    """The options of a run in stages; without earlier ones, of any run.

    Attributes:
        earlier: In the order in which they are trained.
        last: The options of the run itself.
        said: Sentences for people: what was derived, and how the time is divided.
        command: What to type for such a run; empty: what `last` says.
    """

    earlier: tuple[Stage, ...]
    last: TrainConfig
    said: tuple[str, ...] = ()
    command: str = ""

    def __post_init__(self) -> None:
        known: list[str] = []
        for stage in (*self.earlier, Stage("last", self.last)):
            if stage.name in known:
                raise UsageError(f"two stages are called {stage.name!r}; give each its own name")
            for option, name in references(stage.config).items():
                if name not in known:
                    there = ", ".join(known) or "none"
                    raise UsageError(
                        f"{option} = '{REFERENCE}{name}' names a stage of the run that comes "
                        f"before, and there is {there}"
                    )
            known.append(stage.name)

    def __iter__(self) -> Iterator[Stage]:
        """All of them in order; the last one without a name of its own is called `model`."""
        yield from self.earlier
        yield Stage("model", self.last)


def references(config: TrainConfig) -> dict[str, str]:
    """The options that name a stage -> the name of that stage."""
    return {
        option: value.removeprefix(REFERENCE)
        for option, value in flat(config).items()
        if isinstance(value, str) and value.startswith(REFERENCE)
    }


def divide(config: TrainConfig, stages: Callable[[TrainConfig], Stages] | None = None) -> Stages:
    """The stages of a run.

    Args:
        config: All options of the run, its whole budget among them.
        stages: How a recipe divides it; it need not care for the codec.

    Raises:
        UsageError: The options cannot be divided.
    """
    found = Stages((), config) if stages is None else stages(config)
    with_codec = codec_first(found.last, found.earlier)
    command = found.command or (training_command(config) if with_codec.earlier else "")
    return replace(with_codec, said=(*with_codec.said, *found.said), command=command)


def codec_first(config: TrainConfig, others: tuple[Stage, ...] = ()) -> Stages:
    """The stage that trains the codec, if `config` wants one, and what is left for the others.

    Args:
        config: All options, the whole budget among them.
        others: Stages that come after the codec.

    Raises:
        UsageError: The time cannot be divided so.
    """
    kind, budget = config.latents.codec, config.latents.codec_budget
    if kind not in CODEC_KINDS or config.network.network == "autoencoder":
        if budget is not None:
            raise UsageError(
                f"codec_budget = {budget!r} is for a codec that is trained first, by codec = "
                f"{', '.join(CODEC_KINDS)}, and here there is none; leave it out"
            )
        return Stages(others, config)
    if config.distillation.teacher is not None:
        raise UsageError(
            f"codec = {kind!r}: a student learns in the latents of its teacher; leave it out"
        )
    if config.network.start_from is not None:
        raise UsageError(
            f"codec = {kind!r}: a run that starts from a model learns in what that learned in; "
            f"leave it out"
        )
    first, rest = _limits(config)
    given, usual = flat(config), flat(TrainConfig())
    same = {name: given[name] for name in (*SHARED, "seed", "micro_batches", "parallel")}
    coder = update(
        replace(AUTOENCODER, data=replace(config.data, conditions=None, given=None), limits=first),
        vars(config.latents) | same | {"codec_budget": None, "name": CODEC},
    )
    model = update(
        replace(config, limits=rest),
        {name: usual[name] for name in (*CODEC_ONLY, "codec_budget")}
        | {"codec": REFERENCE + CODEC},
    )
    latents = config.latents
    said = (
        f"first the stage codec: an autoencoder ({kind}) of {latents.latent_channels} channels "
        f"and sides {latents.downsample} times smaller, for {_time(first)}; then the model in its "
        f"latents, for {_time(rest)}; --codec-budget divides otherwise"
    )
    return Stages((Stage(CODEC, coder), *others), model, (said,))


def part(limits: LimitsConfig, share: float) -> LimitsConfig:
    """The limits of a stage that gets a share of a run: of its time, steps and images.

    Args:
        limits: Of the run; with none it takes `DEFAULT_BUDGET`.
        share: Above 0, at most 1.
    """
    seconds = share * parse_duration(total(limits) or DEFAULT_BUDGET)
    return replace(
        limits,
        budget=duration_text(seconds) if total(limits) else None,
        steps=limits.steps and max(1, round(limits.steps * share)),
        images=limits.images and max(1, round(limits.images * share)),
    )


def total(limits: LimitsConfig) -> str | None:
    """The time of a run; None if it ends after some steps or images only."""
    return limits.budget or (None if limits.steps or limits.images else DEFAULT_BUDGET)


def changed(stages: Stages, last: TrainConfig) -> Stages:
    """The stages of a run that goes on with other options of its last stage.

    What says where and how it is computed changes for all; a budget is that of the whole run.

    Raises:
        UsageError: The budget is shorter than what the earlier stages take.
    """
    if not stages.earlier:
        return replace(stages, last=last)
    new = differences(stages.last, last)
    if "budget" in new and last.limits.budget:
        spent = sum(
            parse_duration(stage.config.limits.budget)
            for stage in stages.earlier
            if stage.config.limits.budget
        )
        left = parse_duration(last.limits.budget) - spent
        if left <= 0:
            names = ", ".join(stage.name for stage in stages.earlier)
            raise UsageError(
                f"budget = {last.limits.budget!r} is that of the whole run, of which the stages "
                f"before the last ({names}) take {duration_text(spent)}; give more"
            )
        last = update(last, {"budget": duration_text(left)})
    same = {name: value for name, (_, value) in new.items() if name in SHARED}
    earlier = tuple(replace(stage, config=update(stage.config, same)) for stage in stages.earlier)
    return replace(stages, earlier=earlier, last=last)


def _limits(config: TrainConfig) -> tuple[LimitsConfig, LimitsConfig]:
    """Of the codec, and of all that comes after it."""
    limits, budget = config.limits, config.latents.codec_budget
    whole, kept = total(limits), replace(limits, steps=None, images=None, budget=None)
    steps = re.fullmatch(r"(\d+) ?steps", budget or "")
    if steps:
        return replace(kept, steps=int(steps[1])), replace(limits, budget=whole)
    if whole is None:
        if budget and parse_share(budget):
            raise UsageError(
                f"codec_budget = {budget!r} is a share of a time, and this run ends after some "
                f"steps; give a duration such as {CODEC_TIME}, or a budget"
            )
        return replace(kept, budget=budget or CODEC_TIME), limits
    seconds = parse_duration(whole)
    share = SHARE if budget is None else parse_share(budget)
    first = share * seconds if share else parse_duration(budget or "")
    if first >= seconds:
        raise UsageError(
            f"budget = {whole!r} is not longer than the part of it that its codec gets, "
            f"{duration_text(first)}; give more, or less with codec_budget"
        )
    left = replace(limits, budget=duration_text(seconds - first))
    return replace(kept, budget=duration_text(first)), left


def _time(limits: LimitsConfig) -> str:
    """How long, as people read it."""
    ends: list[Any] = [
        limits.steps and f"{limits.steps:,} steps", limits.images and f"{limits.images:,} images",
        limits.budget,
    ]  # fmt: skip
    return " or ".join(filter(None, ends)) or DEFAULT_BUDGET
