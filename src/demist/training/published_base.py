"""Starting from a model of another maker: it goes on learning, and can be told an image more.

Such a model comes with all that stands around its network: the autoencoder, text encoders, the
schedule, what the network predicts. All of this stays as it is; the network learns on. Its folder
remains one of diffusers.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from demist import interop, zoo
from demist.codecs import KLAutoencoder
from demist.conditions import (
    Conditioner,
    EmbeddedGuidance,
    FrozenText,
    Masked,
    NoisyImage,
    Picture,
    PromptStates,
)
from demist.config import DataConfig, TrainConfig, flat, update
from demist.config.starting import NO_PLACE
from demist.core import Denoiser, IndexClock
from demist.data import Dataset
from demist.errors import UsageError
from demist.machine.streams import tell
from demist.model import relearned
from demist.model.fits import Fits
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling
from demist.model.told_more import widen
from demist.networks.published import Published, UNet2D, UNet2DCondition
from demist.parts import bare, parse, split
from demist.training.conditions import ALSO, USUAL, default_entries
from demist.training.gradient import rewrap

_BRACKETS = re.compile(r"[\\()\[\]]")

HIGH = 1e-4
"""Learning rates above it make a model of another maker forget more than they teach it."""
ROLES = {"source": ("image", Picture), "mask": ("hole", Masked)}
"""What such a model can be told more -> name of the condition, and what it is in pixels."""
DEFAULTS = {
    "sample_steps": "steps",
    "sample_solver": "solver",
    "sample_guidance": "guidance",
    "sample_rule": "guidance_rule",
}
"""Option of a run -> field of `Sampling`."""


def is_published(base: Pipeline) -> bool:
    """Whether a model is of another maker, perhaps one that went on learning here."""
    return base.origin is not None


def require_trainable(spec: str, base: Pipeline, config: TrainConfig) -> None:
    """Check that a model of another maker can go on learning as the options say.

    Raises:
        UsageError: It cannot.
    """
    kind = str(base.origin and base.origin.index.get("_class_name"))
    conditions, given, usual = base.conditioner.conditions, flat(config), flat(TrainConfig())
    where = f"start_from = {spec!r} is a {kind}"
    if base.controls:
        raise UsageError(
            f"{where}, with networks for the images {', '.join(base.controls)}, and one network is "
            f"trained here; start from the model without them"
        )
    for name, condition in conditions.items():
        if isinstance(condition, EmbeddedGuidance):
            raise UsageError(
                f"{where}, distilled to be told its guidance ({name}), which learning from data "
                f"would undo; start from the model that it was distilled from"
            )
        if isinstance(condition, NoisyImage):
            raise UsageError(
                f"{where}, whose small images have noise of a table of their own, which data does "
                f"not show; train one that makes images larger: --recipe upscale"
            )
    for name in NO_PLACE:
        if given[name] != usual[name]:
            raise UsageError(
                f"{name} = {given[name]!r}: {where}, which comes with its own network and text "
                f"encoders; leave it out"
            )
    if config.optimization.parallel == "fsdp":
        raise UsageError(f"parallel = 'fsdp': {where}, which is trained as a whole; use ddp")
    steps, asked = steps_of_variance(base), config.diffusion.variance_steps
    if asked not in (None, steps):
        raise UsageError(
            f"variance_steps = {asked}: {where}, "
            + (f"which learned variances over {steps} steps" if steps else
               "which learned no variances") + "; leave it out"
        )  # fmt: skip


def steps_of_variance(base: Pipeline) -> int | None:
    """Over how many steps a model learned variances; None: it did not."""
    clock = base.denoiser.clock
    if not base.denoiser.learn_variance:
        return None
    return clock.steps if isinstance(clock, IndexClock) else 1000


def as_base(options: DataConfig, spec: str | None) -> DataConfig:
    """How data is read for a model of another maker: in its size and channels.

    Args:
        options: As asked for; a size and channels that are said stay.
        spec: What a run starts from.

    Raises:
        DataError: Its folder is damaged.
    """
    if spec is None or (options.size is not None and options.channels is not None):
        return options
    place = zoo.locate(spec)
    if (place / relearned.FOLDER / interop.source.INDEX).is_file():  # a run
        place = place / relearned.FOLDER
    if options.buckets is not None or not interop.is_published(place):
        return options
    channels, height, width = interop.shape_of(place)
    return replace(
        options, size=options.size or f"{height}x{width}", channels=options.channels or channels
    )


def told(
    config: TrainConfig, data: Dataset, base: Pipeline
) -> tuple[TrainConfig, Dataset, Pipeline]:
    """Options, data and model in which each asked condition has the name that the model has for it.

    A column `source` is the condition `image`, a column `mask` the condition `hole`; a model that
    has neither is widened. Prompts are left to `conditions.for_prompt`.

    Args:
        config: All options.
        data: What is learned from.
        base: A model of another maker.

    Raises:
        UsageError: It cannot be told that.
    """
    entries, known = list[str](), base.conditioner.conditions
    for entry in _asked(config, data, base):
        head = parse(bare(entry))[0]
        word, _, kind = head.partition("=")
        role = _role(word, kind, data)
        if role is None:
            if word not in known and not _is_text(word, data):
                raise UsageError(
                    f"--conditions {entry}: a {_kind(base)} can be told "
                    f"{', '.join(known) or 'nothing'} and, if it is a Stable Diffusion, an image "
                    f"(source) or a hole (mask) more; leave it out"
                )
            entries.append(entry)
            continue
        name, _ = ROLES[role]
        if name not in known:
            base = widen(base, role)  # type: ignore[arg-type]
            known = base.conditioner.conditions
        data = _renamed(data, role, name)
        entries.append(f"({name}{bare(entry)[len(head) :]})")
    return update(config, {"conditions": ",".join(entries)}), data, base


def literal(data: Dataset, base: Pipeline) -> Dataset:
    """Data whose captions the model reads as they are: brackets are no weights, as in prompts."""
    columns = dict(data.columns)
    for name, condition in base.conditioner.conditions.items():
        column = columns.get(name)
        if (
            isinstance(condition, PromptStates)
            and column is not None
            and column.kind == condition.reads
        ):
            texts = tuple(_BRACKETS.sub(r"\\\g<0>", text) for text in column.values)
            if texts != tuple(column.values):
                tell("brackets in captions are read as they are, and weigh nothing")
                columns[name] = replace(column, values=texts)
    return replace(data, columns=columns, seen=data.report)


def _asked(config: TrainConfig, data: Dataset, base: Pipeline) -> list[str]:
    """The entries of `--conditions`, or what the data says of the conditions of the model."""
    chosen, known = config.data.conditions, base.conditioner.conditions
    usual = [entry for entry in default_entries(config, data) if entry in known]
    if chosen is not None:
        return [one for e in split(chosen) for one in (usual if bare(e) == USUAL else [e])]
    prompts = [name for name, c in known.items() if c.reads == FrozenText.reads]
    if prompts and not usual and _column("instruction", data, FrozenText.reads):
        usual.append("instruction")
    for role, (name, _) in ROLES.items():
        if name in known and _column(role, data, known[name].in_pixels.reads):
            usual.append(role)
    return usual


def _role(word: str, kind: str, data: Dataset) -> str | None:
    """`source` or `mask`, if an entry means one of them."""
    if word in data.columns and data.columns[word].kind not in (Picture.reads, Masked.reads):
        return None
    for role, (name, cls) in ROLES.items():
        if word in {role, name, cls.name, *ALSO.get(role, ())} and kind in ("", cls.name):
            return role
    return None


def _column(role: str, data: Dataset, reads: str) -> str | None:
    """The column of data that has this role, by its name or one that is as good."""
    for name in (role, *ALSO.get(role, ())):
        if name in data.columns and data.columns[name].kind == reads:
            return name
    return None


def _is_text(word: str, data: Dataset) -> bool:
    return any(
        name in data.columns and data.columns[name].kind == FrozenText.reads
        for name in (word, *ALSO.get(word, ()))
    )


def _renamed(data: Dataset, role: str, name: str) -> Dataset:
    """Data whose column of a role has the name of the condition; one for a hole may be missing.

    Raises:
        UsageError: There is no such column.
    """
    if name in data.columns:
        return data
    column = _column(role, data, ROLES[role][1].reads)
    if column is None:
        if role == "mask":
            return data  # holes are drawn
        raise UsageError(
            f"{data.name or 'the data'} has no column {role!r} of images; it has "
            f"{', '.join(data.columns) or 'none'}"
        )
    tell(f"the column {column} is told to the model as its condition {name}")
    columns = {(name if key == column else key): c for key, c in data.columns.items()}
    return replace(data, columns=columns, seen=data.report)


def _kind(base: Pipeline) -> str:
    return str(base.origin and base.origin.index.get("_class_name"))


def require_size(base: Pipeline, shape: tuple[int, ...]) -> None:
    """Raise UsageError if a network that has a table of positions is to learn another size."""
    net = base.denoiser.net
    if tuple(shape) != base.shape and not isinstance(net, UNet2D | UNet2DCondition):
        _, height, width = base.shape
        raise UsageError(
            f"the data is {' x '.join(map(str, shape))}, and a {type(net).__name__} learns on in "
            f"the size that it has; use --size {height}x{width}"
        )


def learner(base: Pipeline, device: torch.device) -> Denoiser:
    """A denoiser as that of a model, with a network of its own that can be trained."""
    net = copy.deepcopy(base.denoiser.net).requires_grad_(True).train()
    return rewrap(base.denoiser, net.to(device))


def learning(
    config: TrainConfig,
    base: Pipeline,
    denoiser: Denoiser,
    conditioner: Conditioner,
    chosen: Sampling,
    facts: Mapping[str, Any],
) -> Pipeline:
    """What comes of the run: the model with another network, and its own way of sampling.

    Args:
        config: Of what it says of sampling, that which is not as usual goes before the model's.
        base: The model, in the size of the data.
        denoiser: See `learner`.
        conditioner: Its conditions, perhaps hidden at other rates.
        chosen: How a new model of these options is sampled.
        facts: Where it comes from.
    """
    given, usual = flat(config), flat(TrainConfig())
    asked = [f for name, f in DEFAULTS.items() if given[name] != usual[name]]
    own = Sampling(**{name: getattr(chosen, name) for name in asked})
    made = replace(
        base, denoiser=denoiser, conditioner=conditioner, facts=facts,
        defaults=own.over(base.defaults), fits=Fits(),
    )  # fmt: skip
    return replace(made, origin=relearned.origin_of(made))


def said(
    spec: str,
    kept: Pipeline,
    base: Pipeline,
    conditioner: Conditioner,
    values: Mapping[str, Any],
    lr: float,
) -> tuple[str, ...]:
    """What was taken from a model of another maker, what is new and what is of no use.

    Args:
        spec: What is said of where it is.
        kept: As it was.
        base: As it is told more, in the size of the data.
        conditioner: Its conditions.
        values: Of conditions in the data.
        lr: The learning rate.
    """
    net, d = base.denoiser.net, base.denoiser
    assert isinstance(net, Published)
    count = sum(p.numel() for p in kept.denoiser.net.parameters())
    readers = [e.name for c in conditioner.conditions.values() for e in getattr(c, "readers", ())]
    around = [f"text encoder ({', '.join(readers)})"] if readers else []
    if isinstance(base.codec, KLAutoencoder):
        shape = " x ".join(map(str, base.state_shape))
        around.insert(0, f"autoencoder ({type(base.codec.net).__name__}, latents of {shape})")
    path = ", ".join(type(part).__name__ for part in (d.schedule, d.parameterization, d.clock))
    sentences = [
        f"starts from {spec}, a {_kind(kept)}: its network ({net.kind}, {count:,} numbers) learns "
        f"on; {', '.join([*around, ''])}schedule, parameterization and clock ({path}) stay as they "
        f"are; images are {' x '.join(map(str, base.shape))}"
    ]
    old = kept.conditioner.conditions
    if added := [name for name in conditioner.conditions if name not in old]:
        columns = net.channels[0] - kept.denoiser.net.channels[0]  # type: ignore[index]
        sentences.append(
            f"told anew: {', '.join(added)}, by {columns} input channels of zeros, which change "
            f"nothing before they learn; it is a {_kind(base)} now"
        )
    absent = {name: c for name, c in conditioner.conditions.items() if name not in values}
    hidden = [n for n, c in absent.items() if not c.in_pixels.from_samples and c.null() is not None]
    if hidden:
        sentences.append(
            f"of no use here, since the data has no such column: {', '.join(hidden)}, hidden in "
            f"every step"
        )
    if steps := steps_of_variance(base):
        sentences.append(f"its variances, of {steps} steps, are learned, too")
    notes = ["; ".join(sentences)]
    if lr > HIGH:
        notes.append(
            f"lr = {lr:g} is for networks that know nothing; one that has learned keeps what it "
            f"knows with about 1e-5: --lr 1e-5 --optimizer adamw"
        )
    return tuple(notes)
