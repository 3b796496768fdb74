"""Training an autoencoder: its network, its objective, its options."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from demist.codecs import Codec, Coder, KLAutoencoder, Pixels, VectorQuantised
from demist.config import CODEC_KINDS, CODEC_ONLY, TrainConfig, flat, patch_of, update
from demist.data import Dataset
from demist.errors import UsageError
from demist.evaluation.metrics.linear_code import linear_code
from demist.evaluation.metrics.psnr import psnr
from demist.io.notation import size_near
from demist.machine.device import pick_device
from demist.machine.precision import resolve_precision
from demist.modalities import Modality, of
from demist.model.learned_codec import LearnedCodec
from demist.networks import Autoencoder
from demist.networks.linear_start import start_linear
from demist.networks.moving_codebook import Usage
from demist.networks.published import (
    AutoencoderKL,
    AutoencoderKLConfig,
    AutoencoderTiny,
    AutoencoderTinyConfig,
    VQModel,
    VQModelConfig,
)
from demist.networks.unet_2d import groups_of
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
FITTED = 500
"""Items to which the start of an autoencoder is fitted."""


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
        require_consistent(config, of(data))
        device = pick_device(config.optimization.device)
        open_teacher(config, device)  # which refuses: a teacher has a network of its own
        data = data.only(conditions(config, data)[0].conditions)
        first = of(data).codec(data.x)
        options = config.optimization
        streams = Streams.of(options.seed, len(data), options.batch_size, world)
        with torch.random.fork_rng(devices=[]):  # as in `make_denoiser`
            torch.manual_seed(replace(streams, rank=0, world=1).torch_seed(-1))
            net = make_autoencoder(config, first.state_shape(data.x.shape[1:])).to(device)
            start_note = _started(net, config, data, first)
        batches = Batches(data.x, streams, first, flip=config.data.flip, device=device)
        codec, d = codec_of(net, first), config.latents
        shape, facts = codec.state_shape(data.x.shape[1:]), facts_of(data)
        notes = start_note
        objective: Objective = Autoencoding(shape, d.kl_weight, d.reconstruction)
        joint = with_terms(net, config, data, streams, world, first)
        if joint is not None:
            objective, notes = joint.objective(shape, options.batch_size), (*notes, *joint.notes)
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
        made, facts = finished(made, data)
        return made, facts

    def after(self, config: TrainConfig, spec: object) -> Sequence[str]:
        return (f"demist train {config.data.path} --codec {spec}",)


def require_consistent(config: TrainConfig, modality: Modality) -> None:
    """Check that the options of codecs and autoencoders go with the rest, and with the data.

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
    if (makes or spec) and not modality.coded:
        what = "network = 'autoencoder'" if makes else f"codec = {spec!r}"
        raise UsageError(
            f"{what} needs images or sounds, and this data is {modality.name}; leave it out"
        )
    if config.latents.perceptual and not modality.spatial:
        raise UsageError(
            f"perceptual = {config.latents.perceptual:g} looks at images with a network that was "
            f"made for such, and this data is {modality.name}; leave it out"
        )
    if makes and spec and spec not in CODEC_KINDS:
        raise UsageError(f"codec = {spec!r}: autoencoders learn in pixels; leave it out")
    require_losses(config)
    if makes and config.optimization.parallel == "fsdp":
        raise UsageError("parallel = 'fsdp': an autoencoder is small; use ddp")


def make_autoencoder(config: TrainConfig, shape: tuple[int, ...]) -> nn.Module:
    """The network for images of `shape`, `(C, H, W)`, in the form that `codec` names.

    Raises:
        UsageError: The images or an option do not go with it.
    """
    return FORMS[config.latents.codec or "own"](config, shape)


def _own(config: TrainConfig, shape: tuple[int, ...]) -> Autoencoder:
    n = config.network
    return Autoencoder(
        in_channels=shape[0],
        latent_channels=config.latents.latent_channels,
        channels=_widths(config, shape, patch_of(config)),
        blocks=n.blocks_per_level,
        patch=patch_of(config),
        norm_groups=n.norm_groups,
        dropout=n.dropout,
    )


def _kl(config: TrainConfig, shape: tuple[int, ...]) -> AutoencoderKL:
    return AutoencoderKL(
        AutoencoderKLConfig(
            **_levels(config, shape), use_quant_conv=False, use_post_quant_conv=False
        )
    )


def _vq(config: TrainConfig, shape: tuple[int, ...]) -> VQModel:
    return VQModel(
        VQModelConfig(**_levels(config, shape), num_vq_embeddings=config.latents.codebook)
    )


def _levels(config: TrainConfig, shape: tuple[int, ...]) -> dict[str, Any]:
    """The keys that configurations of AutoencoderKL and VQModel have in common."""
    n, widths = config.network, _published_widths(config, shape)
    return {
        "in_channels": shape[0],
        "out_channels": shape[0],
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "block_out_channels": widths,
        "layers_per_block": n.blocks_per_level,
        "latent_channels": config.latents.latent_channels,
        "norm_num_groups": groups_of(widths, n.norm_groups),
        "sample_size": max(shape[1:]),
        "mid_block_add_attention": n.mid_attention,
    }


def _tiny(config: TrainConfig, shape: tuple[int, ...]) -> AutoencoderTiny:
    levels = len(widths := _published_widths(config, shape))
    widths = (max(widths),) * levels  # its levels are all alike
    blocks = (config.network.blocks_per_level,) * levels
    return AutoencoderTiny(
        AutoencoderTinyConfig(
            in_channels=shape[0],
            out_channels=shape[0],
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
            num_encoder_blocks=blocks,
            num_decoder_blocks=blocks,
            latent_channels=config.latents.latent_channels,
        )
    )


FORMS: dict[str, Callable[[TrainConfig, tuple[int, ...]], nn.Module]] = {
    "own": _own, "kl": _kl, "tiny": _tiny, "vq": _vq,
}  # fmt: skip
"""How the network of each form is made."""


def _published_widths(config: TrainConfig, shape: tuple[int, ...]) -> tuple[int, ...]:
    if config.network.dropout:
        raise UsageError(
            f"dropout = {config.network.dropout} is for codec = own; the published forms have none"
        )
    return _widths(config, shape, 1)


def _widths(config: TrainConfig, shape: tuple[int, ...], patch: int) -> tuple[int, ...]:
    """Channels of each level."""
    factor = config.latents.downsample
    halvings = math.log2(factor / patch)
    if halvings < 0 or halvings % 1:
        raise UsageError(
            f"downsample = {factor} with patch = {patch}: it must be the patch times a power of "
            f"two, such as {patch}, {2 * patch} or {4 * patch}"
        )
    if shape[1] % factor or shape[2] % factor:
        near = size_near(shape[1], shape[2], factor)
        raise UsageError(
            f"images of {shape[1]}x{shape[2]} cannot be made {factor} times smaller; use "
            f"--size {near} (with --fit pad all is kept), or another --downsample"
        )
    levels, widths = int(halvings) + 1, config.network.channels_per_level
    return (widths + widths[-1:] * levels)[:levels]


def codec_of(net: nn.Module, first: Codec = Pixels()) -> Codec:  # noqa: B008 (frozen)
    """The codec of an autoencoder whose latents have not been measured yet.

    Args:
        net: The autoencoder.
        first: What makes images of the data.
    """
    assert isinstance(net, Coder)
    return (VectorQuantised if isinstance(net, VQModel) else KLAutoencoder)(net, first)


def _started(net: nn.Module, config: TrainConfig, data: Dataset, first: Codec) -> tuple[str, ...]:
    """Give a new network its linear start if it has one; what to say if it is too narrow for it."""
    if not (config.latents.linear_start and isinstance(net, AutoencoderKL | VQModel)):
        return ()
    fitted = copy.deepcopy(net)
    try:
        start_linear(fitted, first.encode(_some(data, FITTED)))
    except UsageError as error:
        return (f"random start, as {error}",)
    net.load_state_dict(fitted.state_dict())
    return ()


def _some(data: Dataset, count: int) -> Tensor:
    """At most so many items, from all of the data."""
    rows = np.unique(np.linspace(0, len(data) - 1, count).astype(np.int64))
    return torch.from_numpy(np.array(data.x[rows]))


def finished(made: LearnedCodec, data: Dataset) -> tuple[LearnedCodec, dict[str, Any]]:
    """The codec with scale and preview of its latents, and what the summary says of it.

    All of that on at most `SEEN` items of the data it was trained on: `psnr`, and beside it that of
    the best linear code of the same size, in decibels; of a codebook how it is used. Of sounds the
    spectrograms are compared, not what is heard.

    Raises:
        DataError: It has lost the data.
    """
    x, codec = _some(data, SEEN), made.codec
    assert isinstance(codec, KLAutoencoder)
    z = codec.latents(x)
    codec = codec.measured(z).coloured(z, x)
    first = codec.pixels
    seen = first.picture(first.encode(x)).numpy()
    rebuilt = first.picture(codec.image(codec.encode(x)))
    linear = linear_code(seen, codec.net.downsample, codec.net.latent_channels)
    facts = {"psnr": psnr(seen, rebuilt.cpu().numpy()), "linear_code_psnr": linear.psnr(seen)}
    rounded: dict[str, Any] = {name: round(min(value, 99.0), 2) for name, value in facts.items()}
    if isinstance(codec, VectorQuantised):
        usage = Usage.of(torch.bincount(codec.codes_of(z).flatten()).float())
        rounded |= {"codes_used": usage.codes, "perplexity": round(usage.perplexity, 1)}
    return LearnedCodec(codec, made.shape, made.facts), rounded
