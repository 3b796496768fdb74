"""From options to objects."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from demist.codecs import Codec, Pixels
from demist.conditions import Conditioner
from demist.config import (
    OptimizationConfig,
    TrainConfig,
    flat,
    update,
)
from demist.core import CLOCKS, PARAMETERIZATIONS, Denoiser, make_schedule
from demist.data import Dataset
from demist.errors import DataError, UsageError
from demist.machine.device import pick_device
from demist.machine.precision import resolve_precision
from demist.modalities import Modality, of, record
from demist.modalities.named import to_learn
from demist.model.components import hash_of
from demist.model.learned_codec import LearnedCodec, open_codec
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling
from demist.model.values import CLASS, UNSEEN
from demist.networks import NETWORKS, Network
from demist.objectives import TIMES, WEIGHTS
from demist.samplers import make_solver
from demist.training.autoencode import (
    Autoencoding,
    codec_of,
    make_autoencoder,
    require_consistent,
)
from demist.training.batches import Batch, Batches, Stopwatch
from demist.training.conditions import conditions, empty, shortened, unused
from demist.training.distil import open_teacher, student_of, teacher_conditions
from demist.training.exact_sums import ExactSums, rows_of
from demist.training.fit import Denoising, Hybrid
from demist.training.gradient import (
    DataParallel,
    Gradient,
    MicroBatched,
    Objective,
    full_batch,
    network_of,
)
from demist.training.latents import latents
from demist.training.parallel import ALONE, World
from demist.training.sharding import is_sharded, shard
from demist.training.streams import Streams, permutation

MOST = 2**26
"""Numbers of data that are encoded at a time to measure their scale."""


@dataclass(frozen=True)
class Experiment:
    """All objects of a training run; in `config` the precision is decided.

    `pipeline` is what comes of it: a model, or a codec. `denoiser` is what is trained: that of the
    model, or a school of it and its critics; for a codec its network. `unused` are columns of the
    data that condition nothing, and are left out of it. `held_out` says what is kept from
    training, if that needs saying.
    """

    config: TrainConfig
    data: Dataset
    pipeline: Pipeline | LearnedCodec
    batches: Callable[[int], Batch]
    streams: Streams
    objective: Objective
    waiting: Stopwatch
    denoiser: nn.Module
    unused: tuple[str, ...] = ()
    held_out: str = ""

    @property
    def network(self) -> nn.Module:
        """The network that is kept in the end, without critics."""
        return next(iter(self.pipeline.components().values()))

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def parameters(self) -> int:
        """Number of trained numbers of the model; critics are not counted."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)


def build(config: TrainConfig, data: Dataset | None = None, world: World = ALONE) -> Experiment:
    """Load the data (unless given) and make everything that `config` names.

    Raises:
        DemistError: The data or an option makes no sense; see `demist.errors`.
    """
    held_out = ""
    if data is None:
        learned = to_learn(config.data)
        data, held_out = learned.data, learned.sentence
        config = update(config, {"hold_out": learned.hold_out})
    else:  # all of what is given is learned
        config = update(config, {"hold_out": None})
    if not len(data):
        raise DataError(f"{data.name or config.data.path} holds no data; training needs at least 1")
    modality = of(data)
    if config.data.flip and not modality.spatial:
        raise UsageError(
            f"flip = True mirrors images, and this data is {modality.name}; leave it out"
        )
    require_consistent(config, modality.spatial)
    device = pick_device(config.optimization.device)
    options = config.optimization
    teacher = open_teacher(config, device)
    if teacher is None:
        codec = choose_codec(config, data).to(device)
        conditioner, values = conditions(config, data)
    else:
        codec, conditioner, values = (
            teacher.codec,
            teacher.conditioner,
            teacher_conditions(teacher, data),
        )
    left = tuple(unused(conditioner, data))
    data = data.only(conditioner.conditions)
    try:
        streams = Streams(options.seed, len(data), options.batch_size, world.rank, world.size)
    except ValueError as error:
        raise UsageError(f"batch_size = {options.batch_size}: {error}") from None
    if config.network.network == "autoencoder":
        return replace(build_autoencoder(config, data, streams, device), held_out=held_out)
    batches = Batches(
        data.x, streams, codec, conditioner, values, flip=config.data.flip, device=device
    )
    made = latents(codec, data, flip=batches.flip, measure=teacher is None, world=world)
    if made is not None:
        codec = made.codec
        batches = replace(batches, x=made.x, mirrored=made.mirrored, codec=made.encode)
    spread = data_std(batches)
    levels = "times" if teacher is None else "matching_times"
    times = TIMES.make(flat(config)[levels])
    weight = WEIGHTS.make(config.diffusion.weight, sigma_data=spread)
    facts: dict[str, Any] = {"data": data.name, "items": len(data), "fingerprint": data.fingerprint}
    facts |= record(data)
    if (cut := shortened(values, data)) is not None:
        facts["captions_cut"] = cut
    if unseen := empty(data, conditioner.called(CLASS) or ""):
        facts[UNSEEN] = unseen
    if codec.components:
        facts["codec"] = hash_of(codec.components)
    objective: Objective
    if teacher is None:
        denoiser = make_denoiser(
            config, modality, data.x.shape[1:], conditioner, codec, streams, spread, world, device
        )
        defaults = choose_defaults(config, modality, conditioner)
        pipeline = Pipeline(denoiser, codec, conditioner, data.x.shape[1:], defaults, facts)
        objective = Denoising(times, weight)
        if config.diffusion.variance_steps is not None:
            decoder = modality.decoder(codec)
            objective = Hybrid(times, weight, config.diffusion.variance_steps, decoder)
    else:
        pipeline, denoiser, objective = student_of(
            teacher, config.distillation, times, weight, facts
        )
    if options.threads:
        torch.set_num_threads(options.threads)
    config = update(config, {"precision": resolve_precision(options.precision, denoiser.net)})
    return Experiment(
        config, data, pipeline, batches, streams, objective, batches.waiting, denoiser, left,
        held_out,
    )  # fmt: skip


def build_autoencoder(
    config: TrainConfig, data: Dataset, streams: Streams, device: torch.device
) -> Experiment:
    """What `build` makes for `network = "autoencoder"`."""
    with torch.random.fork_rng(devices=[]):  # as in `make_denoiser`
        torch.manual_seed(replace(streams, rank=0, world=1).torch_seed(-1))
        net = make_autoencoder(config, data.x.shape[1:]).to(device)
    batches = Batches(data.x, streams, Pixels(), flip=config.data.flip, device=device)
    codec, d = codec_of(net), config.latents
    objective = Autoencoding(codec.state_shape(data.x.shape[1:]), d.kl_weight, d.reconstruction)
    facts = {"data": data.name, "items": len(data), "fingerprint": data.fingerprint}
    facts |= record(data)
    made = LearnedCodec(codec, data.x.shape[1:], facts)
    if config.optimization.threads:
        torch.set_num_threads(config.optimization.threads)
    precision = resolve_precision(config.optimization.precision, net)
    config = update(config, {"precision": precision})
    return Experiment(config, data, made, batches, streams, objective, batches.waiting, net)


def choose_codec(config: TrainConfig, data: Dataset) -> Codec:
    """The codec for `data`: that of an autoencoder, if one is named."""
    if config.latents.codec is not None:
        return open_codec(config.latents.codec, config.output.runs).codec
    return of(data).codec(data.x)


def make_denoiser(
    config: TrainConfig,
    modality: Modality,
    shape: tuple[int, ...],
    conditioner: Conditioner,
    codec: Codec,
    streams: Streams,
    spread: float,
    world: World,
    device: torch.device,
) -> Denoiser:
    """A new denoiser for data of `shape`, on its device; of several processes all have the same."""
    # A network's first weights come from torch's generator; leave the caller's as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(replace(streams, rank=0, world=1).torch_seed(-1))
        net = make_network(config, modality, codec.state_shape(shape), conditioner)
    input_std = spread if net.unit_variance else None
    if config.optimization.parallel == "fsdp" and world.size > 1:
        shard(net, world, device)
    d = config.diffusion
    return Denoiser(
        net.to(device),
        make_schedule(d.schedule),
        PARAMETERIZATIONS.make(d.parameterization, sigma_data=spread),
        clock=CLOCKS.make(d.clock),
        input_std=input_std,
        learn_variance=d.variance_steps is not None,
        bounds=codec.bounds if d.bounded else None,
    )


def choose_defaults(config: TrainConfig, modality: Modality, conditioner: Conditioner) -> Sampling:
    """How the model is sampled where nothing is said."""
    out = config.output
    make_solver(out.sample_solver)  # a mistake is refused now, not when the first image is due
    guidance = modality.guidance if out.sample_guidance is None else out.sample_guidance
    guidable = bool(conditioner.conditions) and config.data.label_drop > 0
    return Sampling(out.sample_steps, out.sample_solver, guidance=guidance if guidable else 1.0)


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


def make_network(
    config: TrainConfig, modality: Modality, shape: tuple[int, ...], conditioner: Conditioner
) -> Network:
    """The network for states of `shape`, of data of a modality, with these conditions."""
    spec = config.network.network
    part = NETWORKS.read(modality.networks[0] if spec == "auto" else spec)
    kind = part.cls.name
    if not (modality.name in part.cls.kinds or kind in modality.networks):
        fit = [n.name for n in NETWORKS.classes if modality.name in n.kinds]
        raise UsageError(
            f"network = {kind!r} does not fit {modality.name}; use "
            f"{', '.join(dict.fromkeys([*modality.networks, *fit]))} or auto"
        )
    outputs = 1 if config.diffusion.variance_steps is None else 2
    options = {**vars(config.network), **part.options}
    net = part.make(**part.cls.arguments(shape, outputs, conditioner.specs(), options))
    net.require_fit(shape)
    return net


def data_std(batches: Batches) -> float:
    """Root mean square of the encoded data, from at most 2048 items: the network's input scale."""
    index = permutation(0, 0, len(batches.x))[:2048]
    some = max(1, MOST // math.prod(batches.x.shape[1:]))  # all at once, unless they are large
    sums, count = 0.0, 0
    for begin in range(0, len(index), some):
        encoded = batches.codec.encode(torch.from_numpy(batches.x[index[begin : begin + some]]))
        sums += float(encoded.double().square().mean()) * len(encoded)
        count += len(encoded)
    scale = round(math.sqrt(sums / count), 4)
    return scale if scale > 1e-3 else 1.0
