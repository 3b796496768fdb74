"""A denoiser: the task of most runs, from data or from a teacher."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from demist.codecs import Codec
from demist.conditions import Conditioner
from demist.config import CODEC_WORDS, TrainConfig, flat, patch_of, update
from demist.core import CLOCKS, PARAMETERIZATIONS, Denoiser, Seeded, make_schedule
from demist.data import Dataset
from demist.data.images.buckets import one_shape
from demist.errors import NotFiniteError, UsageError
from demist.guidance import Dual, make_rule
from demist.machine.device import pick_device
from demist.machine.precision import resolve_precision
from demist.modalities import Modality, of
from demist.model.components import hash_of
from demist.model.folder import weights_hash
from demist.model.learned_codec import open_codec
from demist.model.pipeline import Pipeline
from demist.model.relearned import LEARNED
from demist.model.sampling import Sampling
from demist.model.values import CLASS, UNSEEN
from demist.networks import NETWORKS, Network
from demist.objectives import TIMES, WEIGHTS
from demist.parts import bare, parse, split, with_option
from demist.runs import Run
from demist.samplers import make_solver, settled
from demist.training import published_base, stable
from demist.training.base import fitted, open_base, start
from demist.training.batches import Batches
from demist.training.beside import in_latents, kept_images
from demist.training.conditions import (
    conditions,
    empty,
    examples,
    for_prompt,
    shortened,
    unused,
)
from demist.training.distil import open_teacher, student_of, teacher_conditions
from demist.training.experiment import Experiment, facts_of
from demist.training.fit import Denoising, Hybrid
from demist.training.gradient import Objective
from demist.training.latents import latents
from demist.training.parallel import World
from demist.training.samples import draw_samples
from demist.training.shapes import require_shapes
from demist.training.sharding import shard
from demist.training.shown import with_given
from demist.training.stable import Pool
from demist.training.streams import Groups, Streams, permutation
from demist.training.texts import kept_states, weights_of
from demist.training.vectors import clips_of, kept_vectors

MOST = 2**26
"""Numbers of data that are encoded at a time to measure their scale."""
EDITS = {
    "instruction": "IMAGE --instruct TEXT",
    "masked": "IMAGE --mask FILE",
    "low-resolution": "IMAGE --upscale",
}
"""How a model with this condition changes an image, in the words of `demist edit`."""


@dataclass(frozen=True)
class DenoisingTask:
    """See `demist.training.experiment.Task`."""

    word: ClassVar[str] = ""

    def build(self, config: TrainConfig, data: Dataset, world: World) -> Experiment:
        modality = of(data)
        device = pick_device(config.optimization.device)
        options = config.optimization
        teacher, base = open_teacher(config, device), open_base(config)
        kept, variance = base, config.diffusion.variance_steps
        foreign = base is not None and published_base.is_published(base)
        if base is not None:
            told_config = config
            if foreign:
                told_config, data, base = published_base.told(config, data, base)
                variance = published_base.steps_of_variance(base)
            base = fitted(base, data)
            codec = base.codec.to(device)
            told_config, data = for_prompt(told_config, data, base.conditioner)
            data = published_base.literal(data, base) if foreign else data
            conditioner, values = conditions(told_config, data, base)
        elif teacher is None:
            codec = choose_codec(config, data).to(device)
            conditioner, values = conditions(config, data)
        else:
            codec, conditioner, values = (
                teacher.codec,
                teacher.conditioner,
                teacher_conditions(teacher, data),
            )
        if teacher is None:
            conditioner = with_given(conditioner, config, data, codec)
        left = tuple(unused(conditioner, data))
        data = data.only(conditioner.conditions)
        streams = Streams.of(options.seed, len(data), options.batch_size, world, Groups.of(data.x))
        flip = config.data.flip
        measure = config.latents.latent_scale if teacher is None and base is None else None
        made = latents(
            codec, data, flip=flip, measure=measure, draw=config.latents.latent_draw, world=world
        )
        if made is not None:
            codec = made.codec
            if not foreign:  # which say themselves how images become latents
                conditioner = in_latents(conditioner, codec)
        told = kept_states(conditioner, values, world)
        told = kept_vectors(*told, data, flip, world)
        told = kept_images(*told, data, flip, world)
        batches = Batches(data.x, streams, codec, *told, flip=flip, device=device)
        if made is not None:
            batches = replace(
                batches, x=made.x, mirrored=made.mirrored, codec=made.encode, draws=made.draws
            )
        batches = replace(batches, pool=stable_pool(config, batches, modality))
        spread = data_std(batches)
        levels = "times" if teacher is None else "matching_times"
        times = TIMES.make(flat(config)[levels])
        weight = WEIGHTS.make(config.diffusion.weight, sigma_data=spread)
        facts = facts_of(data)
        if (cut := shortened(values, data)) is not None:
            facts["captions_cut"] = cut
        if unseen := empty(data, conditioner.called(CLASS) or ""):
            facts[UNSEEN] = unseen
        if encoders := weights_of(conditioner):
            facts["text_encoder"] = encoders
        if clips := clips_of(conditioner):
            facts["image_encoder"] = clips
        if codec.components:
            facts["codec"] = hash_of(codec.components)
        objective: Objective
        notes: tuple[str, ...] = ()
        wanted, pool = config.diffusion.stable_targets, batches.pool
        if pool is not None and wanted is not None and pool.count < wanted:
            notes += (
                f"stable_targets = {wanted}: of each class {pool.count:,} examples find room, and "
                f"so many are taken",
            )
        elif pool is not None and wanted is None:
            notes += (
                f"learns what a noisy point may have been among {pool.count:,} of its class "
                "(--stable-targets 0: the one that it was)",
            )
        if teacher is None:
            if base is None:
                denoiser = make_denoiser(
                    config, modality, data.x.shape[1:], conditioner, codec, streams, spread, world,
                    device,
                )  # fmt: skip
                notes += of_latents(config, denoiser.net)
            else:
                seed = replace(streams, rank=0, world=1).torch_seed(-1)
                assert kept is not None
                started = start(config, kept, base, conditioner, values, seed, world, device)
                denoiser, notes = started.denoiser, started.notes
                facts[LEARNED] = weights_hash(kept)
            require_shapes(denoiser.net, codec, data.x)
            defaults = choose_defaults(config, modality, conditioner)
            if (asked := config.output.sample_rule) != "cfg" == defaults.guidance_rule:
                notes += (
                    f"sample_rule = {asked!r} needs an image and something else to be told, and "
                    f"there is but {', '.join(conditioner.conditions) or 'nothing'}: samples are "
                    f"drawn without guidance",
                )
            if foreign:
                assert base is not None
                pipeline = published_base.learning(
                    config, base, denoiser, conditioner, defaults, facts
                )
            else:
                shape = data.x.shape[1:]
                pipeline = Pipeline(denoiser, codec, conditioner, shape, defaults, facts)
            objective = Denoising(times, weight)
            if variance is not None:
                objective = Hybrid(times, weight, variance, modality.decoder(codec))
        else:
            pipeline, denoiser, objective = student_of(
                teacher, config.distillation, times, weight, facts
            )
        if options.threads:
            torch.set_num_threads(options.threads)
        precision = resolve_precision(options.precision, denoiser.net)
        config = update(config, {"precision": precision})
        return Experiment(
            config, data, pipeline, batches, streams, objective, batches.waiting, denoiser,
            self, left, notes=notes, base=kept,
        )  # fmt: skip

    def draw(
        self, made: Any, run: Run, step: int, data: Dataset, count: int, say: Callable[[str], None]
    ) -> None:
        values = examples(made.conditioner, data, count)
        try:
            draw_samples(made, run, step, count, values)
        except NotFiniteError as error:
            say(f"no image of samples at step {step}: {error}")

    def finish(self, made: Any, data: Dataset) -> tuple[Any, Mapping[str, Any]]:
        return made, {}

    def after(self, config: TrainConfig, spec: object) -> Sequence[str]:
        told = {bare(one).partition(":")[0] for one in split(config.data.conditions or "")}
        edits = [edit for name, edit in EDITS.items() if name in told]
        if not edits or config.cascade.feeds:
            return f"demist sample {spec}", f"demist evaluate {spec}"
        return f"demist edit {spec} {edits[0]}", f"demist evaluate {spec}"


def stable_pool(config: TrainConfig, batches: Batches, modality: Modality) -> Pool | None:
    """What stable targets are made of; None: of nothing, each sample is its own target.

    Raises:
        UsageError: They are asked for, and make no sense with the data or another option.
    """
    asked = config.diffusion.stable_targets
    count = stable.usual(batches.x, modality) if asked is None else asked
    if not count:
        return None
    if (why := against_stable(config, batches)) is not None:
        if asked is None:
            return None
        raise UsageError(f"stable_targets = {asked} {why}")
    pool = Pool.of(
        count, batches.x, batches.values, batches.conditioner, batches.codec,
        config.optimization.seed, flip=batches.flip, mirrored=batches.mirrored,
        device=batches.device,
    )  # fmt: skip
    few = min(len(rows) for rows in pool.sets) < stable.LEAST
    return None if asked is None and few else pool


def against_stable(config: TrainConfig, batches: Batches) -> str | None:
    """Why stable targets make no sense with the data or another option; None: they do."""
    for other in ("teacher", "variance_steps"):
        if (value := flat(config)[other]) is not None:
            return (
                f"is about data that noise was added to, and {other} = {value!r} asks for more "
                f"than that; leave one of them out"
            )
    if batches.draws:
        return (
            "needs one latent of each image, and latent_draw = 'sampled' draws another one in each "
            "step; leave one of them out"
        )
    return stable.objection(batches.x, batches.conditioner)


def choose_codec(config: TrainConfig, data: Dataset) -> Codec:
    """The codec for `data`: that of an autoencoder, or another, if one is named."""
    modality, name = of(data), config.latents.codec
    if name is None:
        return modality.codec(data.x)
    plain = modality.codec_called(name, data.x)
    if plain is not None:
        return plain
    if name in CODEC_WORDS:
        raise UsageError(
            f"codec = {name!r}: there is no such codec of {modality.name}; leave it out"
        )
    codec = open_codec(name, config.output.runs).codec
    modality.require_codec(codec)
    return codec


def of_latents(config: TrainConfig, net: Any) -> tuple[str, ...]:
    """What was understood of patches where nobody said a side."""
    if (
        config.latents.codec is None
        or config.network.patch is not None
        or net.config.get("patch") != 1
    ):
        return ()
    return ("patch = 1, since the network reads latents, which are few; --patch 2 is faster",)


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
        fit = modality.networks_for(codec)
        net = make_network(config, modality, codec.state_shape(shape), conditioner, fit)
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
    make_solver(
        settled(out.sample_solver, out.sample_steps)
    )  # a mistake is refused now, not when the first image is due
    make_rule(out.sample_rule)
    guidance = modality.guidance if out.sample_guidance is None else out.sample_guidance
    told = [c for c in conditioner.conditions.values() if not c.kept]
    guidable = bool(told) and config.data.label_drop > 0
    rule = out.sample_rule
    if parse(rule)[0] == Dual.name and "first" not in parse(rule)[1]:
        spatial = [name for name, c in conditioner.conditions.items() if c.spatial]
        if len(spatial) == 1 and len(conditioner.conditions) > 1:
            rule = with_option(rule, "first", spatial[0])
        else:  # there is nothing to tell apart
            rule, guidable = "cfg", False
    return Sampling(
        out.sample_steps, out.sample_solver, guidance=guidance if guidable else 1.0,
        guidance_rule=rule, condition_noise=out.sample_condition_noise,
    )  # fmt: skip


def make_network(
    config: TrainConfig,
    modality: Modality,
    shape: tuple[int, ...],
    conditioner: Conditioner,
    fit: tuple[str, ...],
) -> Network:
    """The network for states of `shape`, of data of a modality, with these conditions.

    Raises:
        UsageError: It is neither in `fit` nor made for such data.
    """
    spec = config.network.network
    part = NETWORKS.read(fit[0] if spec == "auto" else spec)
    kind = part.cls.name
    if not (modality.name in part.cls.kinds or kind in fit):
        too = [n.name for n in NETWORKS.classes if modality.name in n.kinds]
        codec = config.latents.codec
        raise UsageError(
            f"network = {kind!r} does not fit {modality.name}"
            f"{'' if codec is None else f' with codec = {codec!r}'}; use "
            f"{', '.join(dict.fromkeys([*fit, *too]))} or auto"
        )
    outputs = 1 if config.diffusion.variance_steps is None else 2
    options = {**vars(config.network), "patch": patch_of(config), **part.options}
    net = part.make(**part.cls.arguments(shape, outputs, conditioner.specs(), options))
    net.require_fit(shape)
    return net


def data_std(batches: Batches) -> float:
    """Root mean square of the encoded data, from at most 2048 items: the network's input scale."""
    x = one_shape(batches.x)
    index = permutation(0, 0, len(x))[:2048]
    some = max(1, MOST // math.prod(x.shape[1:]))  # all at once, unless they are large
    sums, count = 0.0, 0
    for begin in range(0, len(index), some):
        rows = index[begin : begin + some]
        chance = Seeded(rows.tolist(), field="latents") if batches.draws else None
        encoded = batches.codec.encode(torch.from_numpy(x[rows]), chance)
        sums += float(encoded.double().square().mean()) * len(encoded)
        count += len(encoded)
    scale = round(math.sqrt(sums / count), 4)
    return scale if scale > 1e-3 else 1.0
