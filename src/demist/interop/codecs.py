"""The autoencoder of a model, as a codec."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from demist.codecs import ChannelScale, KLAutoencoder
from demist.errors import DataError
from demist.interop.replaced import autoencoder_in
from demist.interop.source import Source
from demist.networks.published import AutoencoderKL, AutoencoderTiny, VQModel


def read_codec(source: Source, name: str, scale: float | None = None) -> KLAutoencoder:
    """Images <-> latents in units of the model.

    Args:
        source: The model.
        name: Of the component.
        scale: What the latents are multiplied by, where the configuration does not say.

    Raises:
        DataError: It is no autoencoder that is known.
    """
    net, where = source.network(name), source.where(name)
    if not isinstance(net, AutoencoderKL | AutoencoderTiny | VQModel):
        raise DataError(f"{where} is a {net.kind}, and no autoencoder")
    config = source.config(name)
    given = config.get("scaling_factor", scale)
    factor = given if given is not None else net.config["scaling_factor"]
    shift = config.get("shift_factor") or 0.0
    if not isinstance(factor, int | float) or not isinstance(shift, int | float) or factor <= 0:
        raise DataError(f"{where} scales its latents by {factor!r} after {shift!r}")
    said = {key: config.get(key) for key in ("shift_factor", "latents_mean", "latents_std")}
    try:
        scaled = ChannelScale.of_published({**said, "scaling_factor": factor}, net.latent_channels)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} does not say the scale of its latents: {error}") from None
    return KLAutoencoder(net, scale=scaled, at_once=1)


def codec_of_folder(folder: Path) -> KLAutoencoder:
    """The codec of an autoencoder's folder, or of a whole model's that has one.

    Raises:
        MissingError: There is none.
        DataError: It is damaged, or of a class that is not known.
    """
    return read_codec(*autoencoder_in(folder))


@torch.no_grad()
def with_factor(codec: KLAutoencoder, factor: float) -> AutoencoderKL:
    """The autoencoder of a codec, with all that is done to its latents in its own weights.

    What its latents are, times `factor`, is what the codec makes. Its convolutions before and after
    the latents are of 1 by 1 pixels, so they take shifts and scales exactly.

    Args:
        codec: Of an AutoencoderKL.
        factor: The only number that a reader of the result has to know, its `scaling_factor`.
    """
    net, k = codec.net, codec.net.latent_channels
    assert isinstance(net, AutoencoderKL)
    made = AutoencoderKL(
        replace(
            net.config_object, use_quant_conv=True, use_post_quant_conv=True,
            scaling_factor=factor, shift_factor=None, latents_mean=None, latents_std=None,
        )
    )  # fmt: skip
    shift = torch.tensor(codec.scale.shift or (0.0,) * k, dtype=torch.float64)
    scale = torch.tensor(codec.scale.scale, dtype=torch.float64).expand(k) / factor
    before, before_bias = _weights(net.quant_conv, 2 * k)
    after, after_bias = _weights(net.post_quant_conv, k)
    both = torch.cat([scale, torch.ones_like(scale)])[:, None, None, None]  # means, log-variances
    moved = torch.cat([-shift * scale, 2 * scale.log()])
    tensors = {
        **net.state_dict(),
        "quant_conv.weight": before * both,
        "quant_conv.bias": before_bias * both.flatten() + moved,
        "post_quant_conv.weight": after / scale[:, None, None],
        "post_quant_conv.bias": after_bias + after[:, :, 0, 0] @ shift,
    }
    made.load_state_dict({name: value.float() for name, value in tensors.items()})
    return made.eval().requires_grad_(False)


def _weights(conv: nn.Conv2d | None, channels: int) -> tuple[Tensor, Tensor]:
    """Weight and bias, float64 on the CPU; of one that is not there, those that change nothing."""
    if conv is None:
        return torch.eye(channels).double()[:, :, None, None], torch.zeros(channels).double()
    assert conv.bias is not None
    return conv.weight.double().cpu(), conv.bias.double().cpu()
