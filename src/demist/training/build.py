"""From options to objects."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from demist.config import DataConfig, OptimizationConfig, TrainConfig, flat, update
from demist.config.stages import references
from demist.data import Dataset
from demist.data.division import Learned
from demist.data.images.reduced import averaged
from demist.errors import DataError, UsageError
from demist.modalities import of
from demist.modalities.named import to_learn
from demist.runs import Run, stages
from demist.training.base import kept_base
from demist.training.exact_sums import ExactSums, rows_of
from demist.training.experiment import Experiment
from demist.training.gradient import (
    DataParallel,
    Gradient,
    MicroBatched,
    full_batch,
    network_of,
)
from demist.training.parallel import ALONE, World
from demist.training.shapes import as_read, require_full
from demist.training.sharding import is_sharded
from demist.training.tasks import task_of
from demist.training.tasks.autoencode import require_consistent

Load = Callable[[DataConfig], Learned]
"""Loads what a run learns from."""


def build(
    config: TrainConfig,
    data: Dataset | None = None,
    world: World = ALONE,
    run: Run | None = None,
    load: Load = to_learn,
) -> Experiment:
    """Load the data (unless given) and make everything that `config` names.

    Args:
        config: All options.
        data: What to learn from, all of it.
        world: The processes that train together.
        run: The run, of which an option may name an earlier stage.
        load: Loads the data.

    Raises:
        DemistError: The data or an option makes no sense; see `demist.errors`.
    """
    held_out = ""
    if data is None:
        learned = load(as_read(config, run))
        require_full(learned.data.x, config.optimization.batch_size)
        data, held_out = learned.data, learned.sentence
        config = update(config, {"hold_out": learned.hold_out})
    else:  # all of what is given is learned
        data = averaged(data, config.data.reduce)
        config = update(config, {"hold_out": None})
    if not len(data):
        raise DataError(f"{data.name or config.data.path} holds no data; training needs at least 1")
    modality = of(data)
    if config.data.flip and not modality.spatial:
        raise UsageError(
            f"flip = True mirrors images, and this data is {modality.name}; leave it out"
        )
    require_consistent(config, modality)
    named = {name: flat(config)[name] for name in references(config)}
    found: dict[str, str | None] = {k: stages.resolve(v, run) for k, v in named.items()}
    task = task_of(config.network.network)
    if task.word and config.data.given is not None:
        raise UsageError(
            f"given = {config.data.given:g} shows parts of sounds that are to be made, and network "
            f"= {task.word!r} makes none; leave it out"
        )
    if config.network.start_from is not None:
        if task.word:
            raise UsageError(
                f"start_from is for models that make samples, and network = {task.word!r} makes "
                f"none; leave one of them out"
            )
        named["start_from"] = config.network.start_from
        found["start_from"] = kept_base(update(config, found), run)
    experiment = task.build(update(config, found), data, world)
    # The run keeps the name of the stage, since its folder may be moved.
    return replace(experiment, config=update(experiment.config, named), held_out=held_out)


def choose_gradient(
    options: OptimizationConfig, model: nn.Module, world: World, say: Callable[[str], None]
) -> Gradient:
    """How `options` ask the gradient to be computed.

    Raises:
        UsageError: The batch cannot be divided so.
    """
    way = _choose_parts(options, model, world, say)
    # Shares of weights, and what torch has compiled, are computed as torch does.
    if not options.exact_sums or options.compile or is_sharded(network_of(model)):
        return way
    return ExactSums(way, rows_of(options.batch_size))


def _choose_parts(
    options: OptimizationConfig, model: nn.Module, world: World, say: Callable[[str], None]
) -> Gradient:
    parts, size, cut = options.micro_batches, world.size, is_sharded(network_of(model))
    if cut and options.auto_microbatch:
        raise UsageError(
            "auto_microbatch = True: of processes that hold shares (parallel = 'fsdp'), one that "
            "runs out of memory leaves the others waiting; choose a number with micro_batches"
        )
    if parts is None and not options.auto_microbatch:
        if cut:
            return DataParallel(world, model)
        return full_batch if size == 1 else DataParallel.of(model, world)
    parts = parts or size
    if parts & (parts - 1) or parts % size or options.batch_size % parts:
        raise UsageError(
            f"micro_batches = {parts}: with {size} processes and a batch of {options.batch_size}, "
            f"choose a power of two that is a multiple of {size} and divides {options.batch_size}"
        )
    if cut:
        return DataParallel(world, model, parts // size)
    return MicroBatched(parts, world, options.auto_microbatch, say)
