"""Starting from a model: what it has learned is kept, and what it is told can be more.

A run of its own keeps the model that it started from in its folder, so that it goes on bit for bit
when that is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from demist import runs
from demist.conditions import Conditioner
from demist.config import TrainConfig, flat
from demist.config.starting import BASE_DECIDES
from demist.core import Denoiser
from demist.data import Dataset
from demist.errors import MissingError, UsageError
from demist.model import feeders
from demist.model.pipeline import Pipeline
from demist.model.relearned import FOLDER
from demist.networks import NETWORKS, Network
from demist.networks.widening import Widened, widened
from demist.runs import Run
from demist.training import published_base
from demist.training.gradient import rewrap
from demist.training.parallel import World
from demist.training.sharding import shard

SHOWN = 4
"""Tensors that are named, at most."""


def kept_base(config: TrainConfig, run: Run | None) -> str | None:
    """What a run starts from: its own copy of the model, if it has one, else what is named."""
    spec = config.network.start_from
    if spec is None or run is None or not (run.path / FOLDER / "model_index.json").is_file():
        return spec
    return str(run.path / FOLDER)


def keep_base(base: Pipeline | None, run: Run) -> None:
    """Copy what a run starts from into its folder."""
    if base is not None:
        base.save(run.path / FOLDER, replace=True)


def open_base(config: TrainConfig) -> Pipeline | None:
    """The model to start from, by itself; None: the run starts from nothing.

    Raises:
        MissingError: There is none.
        DataError: It is damaged.
        UsageError: An option says again what the model decides, or its network cannot be trained.
    """
    spec = config.network.start_from
    if spec is None:
        return None
    given, usual = flat(config), flat(TrainConfig())
    for name in BASE_DECIDES:
        if given[name] != usual[name]:
            raise UsageError(
                f"{name} = {given[name]!r}: with start_from this is as in the model that is "
                f"started from; leave it out"
            )
    base = feeders.bare(opened(spec, config.output.runs, "start_from"))
    if published_base.is_published(base):
        published_base.require_trainable(short(spec), base, config)
        return base
    if not isinstance(base.denoiser.net, tuple(NETWORKS.classes)):
        raise UsageError(
            f"start_from = {spec!r} has a {type(base.denoiser.net).__name__}, which is not trained "
            f"here; start from a model with one of the networks {', '.join(NETWORKS.names())}"
        )
    learned, steps = base.denoiser.learn_variance, config.diffusion.variance_steps
    if learned != (steps is not None):
        raise UsageError(
            f"variance_steps = {steps}: the model that is started from has "
            + ("learned variances; give their number of steps, as its run did" if learned else
               "not learned variances; leave it out")
        )  # fmt: skip
    return base


def opened(spec: str, root: str, option: str) -> Pipeline:
    """The model that an option names: a saved one, one of the package, or a run.

    Raises:
        MissingError: There is none.
        DataError: It is damaged.
    """
    try:
        return Pipeline.load(spec)
    except MissingError:
        try:
            return Pipeline.from_run(runs.find(spec, root))
        except MissingError as error:
            raise MissingError(f"{option} = {spec!r}: no saved model, and {error}") from None


def fitted(base: Pipeline, data: Dataset) -> Pipeline:
    """The model for the size that the data has.

    Raises:
        UsageError: It makes something else.
    """
    ours, theirs = data.x.shape[1:], base.shape
    if len(ours) != len(theirs) or ours[0] != theirs[0]:
        shapes = [" x ".join(map(str, shape)) for shape in (ours, theirs)]
        remedy = f"; use --channels {theirs[0]}" if len(ours) == len(theirs) == 3 else ""
        raise UsageError(
            f"the data is {shapes[0]} and the model that is started from makes {shapes[1]}{remedy}"
        )
    if published_base.is_published(base):
        published_base.require_size(base, ours)
    return base if ours == theirs else base.sized(ours[1:])


@dataclass(frozen=True)
class Started:
    """What becomes of a base.

    Attributes:
        denoiser: That of the base, its network told more.
        notes: What is said before the first step.
    """

    denoiser: Denoiser
    notes: tuple[str, ...]


def start(
    config: TrainConfig,
    kept: Pipeline,
    base: Pipeline,
    conditioner: Conditioner,
    values: Mapping[str, Any],
    seed: int,
    world: World,
    device: torch.device,
) -> Started:
    """A denoiser that begins as that of the base.

    Args:
        config: All options.
        kept: The base as it was opened.
        base: For the size of the data; one of another maker is widened already.
        conditioner: The conditions of the base, and those that are added after them.
        values: Of conditions in the data, by name; those without are not shown.
        seed: For the weights that are new.
        world: The processes that train together.
        device: Where the network goes.

    Raises:
        UsageError: A condition cannot be added.
    """
    old, n = base.denoiser.net, config.network
    if published_base.is_published(base):
        spec, lr = short(str(n.start_from)), config.optimization.lr
        notes = published_base.said(spec, kept, base, conditioner, values, lr)
        return Started(published_base.learner(base, device), notes)
    assert isinstance(old, Network)
    drops = {"dropout": n.dropout} if n.dropout and "dropout" in old.config else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = widened(old, conditioner.specs(), **drops)
    made.net.require_fit(base.state_shape)
    notes = said(str(n.start_from), base, made, conditioner, values)
    net = made.net.train()
    if config.optimization.parallel == "fsdp" and world.size > 1:
        shard(net, world, device)
    return Started(rewrap(base.denoiser, net.to(device)), notes)


def said(
    spec: str,
    base: Pipeline,
    made: Widened,
    conditioner: Conditioner,
    values: Mapping[str, Any],
) -> tuple[str, ...]:
    """What was taken from the base, what is new, and what is not used, in one paragraph."""
    names = (made.taken, made.wider, made.new)
    taken, wider, new = (made.count(group) for group in names)
    old, d = base.conditioner.conditions, base.denoiser
    added = [name for name in conditioner.conditions if name not in old]
    hidden = [n for n, c in old.items() if n not in values and not c.in_pixels.from_samples]
    latents = ", and its codec" if base.codec.components else ""
    sentences = [
        f"starts from {short(spec)}: its network {made.net.name}, schedule, parameterization and "
        f"clock ({type(d.schedule).__name__}, {type(d.parameterization).__name__}, "
        f"{type(d.clock).__name__}){latents} are kept. All {taken:,} numbers of "
        f"{len(made.taken)} tensors are taken"
    ]
    if wider:
        sentences.append(f"new columns of zeros in {_listed(made.wider)}")
    if new:
        sentences.append(f"{new:,} numbers are new in {len(made.new)} tensors: {_listed(made.new)}")
    if not wider and not new:
        sentences.append("nothing is new")
    if added:
        sentences.append(f"told anew: {', '.join(added)}, which change nothing before they learn")
    if hidden:
        sentences.append(
            f"of no use here, since the data has no such column: {', '.join(hidden)}, hidden in "
            f"every step"
        )
    return ("; ".join(sentences),)


def short(spec: str) -> str:
    """What a run starts from, in a message."""
    place = Path(spec)
    return f"the copy of its base in {place.parent}" if place.name == FOLDER else spec


def _listed(names: Any) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
