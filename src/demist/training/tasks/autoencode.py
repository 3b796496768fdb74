"""Training an autoencoder: its network, its objective, its options."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from demist.codecs import Codec, KLAutoencoder, Pixels
from demist.config import CODEC_KINDS, CODEC_ONLY, TrainConfig, flat, update
from demist.data import Dataset
from demist.errors import UsageError
from demist.evaluation.metrics.psnr import psnr
from demist.io.notation import size_near
from demist.machine.device import pick_device
from demist.machine.precision import resolve_precision
from demist.modalities import of
from demist.model.learned_codec import LearnedCodec
from demist.networks import Autoencoder
from demist.objectives import autoencoding_loss
from demist.objectives.autoencoding import Autoencode
from demist.runs import Run
from demist.training.batches import Batch, Batches
from demist.training.conditions import conditions
from demist.training.distil import open_teacher
from demist.training.experiment import Experiment, facts_of
from demist.training.gradient import Objective
from demist.training.parallel import World
from demist.training.rebuilding import require_losses, with_terms
from demist.training.samples import draw_reconstructions
from demist.training.streams import Streams

SEEN = 2000
"""Items on which a finished autoencoder's scale and PSNR are measured."""


@dataclass(frozen=True)
class Autoencoding:
    """The objective of an autoencoder; see `demist.objectives.autoencoding_loss`.

    Attributes:
        shape: Of one sample's code.
        kl_weight: Of the KL divergence.
        reconstruction: Error of a pixel.
    """

    shape: tuple[int, ...]
    kl_weight: float
    reconstruction: Literal["l1", "l2"]

    def __call__(self, net: Autoencode, batch: Batch) -> Tensor:
        noise = batch.noise(batch.x0.new_empty(len(batch.x0), *self.shape))
        return autoencoding_loss(net, batch.x0, noise, self.kl_weight, self.reconstruction)


@dataclass(frozen=True)
class AutoencodingTask:
    """See `demist.training.experiment.Task`."""

    word: ClassVar[str] = "autoencoder"

    def build(self, config: TrainConfig, data: Dataset, world: World) -> Experiment:
        require_consistent(config, of(data).spatial)
        device = pick_device(config.optimization.device)
        open_teacher(config, device)  # which refuses: a teacher has a network of its own
        data = data.only(conditions(config, data)[0].conditions)
        options = config.optimization
        streams = Streams.of(options.seed, len(data), options.batch_size, world)
        with torch.random.fork_rng(devices=[]):  # as in `make_denoiser`
            torch.manual_seed(replace(streams, rank=0, world=1).torch_seed(-1))
            net = make_autoencoder(config, data.x.shape[1:]).to(device)
        batches = Batches(data.x, streams, Pixels(), flip=config.data.flip, device=device)
        codec, d = codec_of(net), config.latents
        shape, facts = codec.state_shape(data.x.shape[1:]), facts_of(data)
        notes: tuple[str, ...] = ()
        objective: Objective = Autoencoding(shape, d.kl_weight, d.reconstruction)
        joint = with_terms(net, config, data, streams, world)
        if joint is not None:
            objective, notes = joint.objective(shape, options.batch_size), joint.notes
            facts |= joint.facts
        made = LearnedCodec(codec, data.x.shape[1:], facts)
        if config.optimization.threads:
            torch.set_num_threads(config.optimization.threads)
        precision = resolve_precision(config.optimization.precision, net)
        config = update(config, {"precision": precision})
        return Experiment(
            config, data, made, batches, streams, objective, batches.waiting, joint or net, self,
            notes=notes,
        )  # fmt: skip

    def draw(
        self, made: Any, run: Run, step: int, data: Dataset, count: int, say: Callable[[str], None]
    ) -> None:
        draw_reconstructions(made, run, step, data, count)

    def finish(self, made: Any, data: Dataset) -> tuple[Any, Mapping[str, Any]]:
        made, decibels = finished(made, data)
        return made, {"psnr": round(min(decibels, 99.0), 2)}

    def after(self, config: TrainConfig, spec: object) -> Sequence[str]:
        return (f"demist train {config.data.path} --codec {spec}",)


def require_consistent(config: TrainConfig, images: bool) -> None:
    """Check that the options of codecs and autoencoders go with the rest.

    Raises:
        UsageError: They do not.
    """
    makes = config.network.network == "autoencoder"
    given, usual = flat(config), flat(TrainConfig())
    spec = config.latents.codec
    if not makes:
        for name in CODEC_ONLY:
            if given[name] != usual[name]:
                raise UsageError(
                    f"{name} = {given[name]!r} says how an autoencoder is made; add --network "
                    f"autoencoder, or leave it out"
                )
    if (makes or spec) and not images:
        what = "network = 'autoencoder'" if makes else f"codec = {spec!r}"
        raise UsageError(f"{what} needs images, and this data is points; leave it out")
    if makes and spec and spec not in CODEC_KINDS:
        raise UsageError(f"codec = {spec!r}: autoencoders learn in pixels; leave it out")
    require_losses(config)
    if makes and config.optimization.parallel == "fsdp":
        raise UsageError("parallel = 'fsdp': an autoencoder is small; use ddp")


def make_autoencoder(config: TrainConfig, shape: tuple[int, ...]) -> Autoencoder:
    """The network for images of `shape`, `(C, H, W)`.

    Raises:
        UsageError: The images or the patches do not go with `downsample`.
    """
    n, factor = config.network, config.latents.downsample
    halvings = math.log2(factor / n.patch)
    if halvings < 0 or halvings % 1:
        raise UsageError(
            f"downsample = {factor} with patch = {n.patch}: it must be the patch times a power of "
            f"two, such as {n.patch}, {2 * n.patch} or {4 * n.patch}"
        )
    if shape[1] % factor or shape[2] % factor:
        near = size_near(shape[1], shape[2], factor)
        raise UsageError(
            f"images of {shape[1]}x{shape[2]} cannot be made {factor} times smaller; use "
            f"--size {near} (with --fit pad all is kept), or another --downsample"
        )
    levels, widths = int(halvings) + 1, n.channels_per_level
    return Autoencoder(
        in_channels=shape[0],
        latent_channels=config.latents.latent_channels,
        channels=(widths + widths[-1:] * levels)[:levels],
        blocks=n.blocks_per_level,
        patch=n.patch,
        norm_groups=n.norm_groups,
        dropout=n.dropout,
    )


def codec_of(net: Autoencoder) -> Codec:
    """The codec of an autoencoder whose latents have not been measured yet."""
    return KLAutoencoder(net, Pixels())


def finished(made: LearnedCodec, data: Dataset) -> tuple[LearnedCodec, float]:
    """The codec with scale and preview of its latents, and its PSNR in decibels.

    Both on at most `SEEN` items of the data it was trained on.

    Raises:
        DataError: It has lost the data.
    """
    rows = np.unique(np.linspace(0, len(data) - 1, SEEN).astype(np.int64))
    x, codec = torch.from_numpy(np.array(data.x[rows])), made.codec
    assert isinstance(codec, KLAutoencoder)
    z = codec.latents(x)
    codec = codec.measured(z).coloured(z, x)
    rebuilt = codec.decode(codec.encode(x))
    return LearnedCodec(codec, made.shape, made.facts), psnr(x.numpy(), rebuilt.cpu().numpy())
