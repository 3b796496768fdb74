"""Tiny autoencoders as their maker publishes them: an encoder and a decoder, layers by number.

`0.weight` is `encoder.layers.0.weight` of diffusers. In the decoder the first layer clamps, and
diffusers does not count it: `1.weight` is `decoder.layers.0.weight`. What the layers are is read
from names and shapes: a convolution with a bias at both ends, one without before each further
level, and blocks (`1.conv.0.weight`).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demist.errors import DataError
from demist.io.files import write_json
from demist.io.folders import atomic_folder
from demist.io.tensors import read_tensors, require_same, write_tensors
from demist.networks.published import AutoencoderTiny

Tensors = Mapping[str, Tensor]


def is_tiny(names: set[str]) -> bool:
    """Whether tensors of these names are an encoder or a decoder of this kind."""
    first = {"0.weight", "0.bias", "1.conv.0.weight"}, {"1.weight", "1.bias", "3.conv.0.weight"}
    return any(need <= names for need in first)


def tiny(
    encoder: Tensors, decoder: Tensors, where: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the tensors as diffusers' AutoencoderTiny has them.

    Args:
        encoder: Its tensors, under the maker's names.
        decoder: Likewise.
        where: For messages.

    Raises:
        DataError: They are no such pair.
    """
    config: dict[str, Any] = {"_class_name": AutoencoderTiny.kind}
    out: dict[str, Tensor] = {}
    parts = {"encoder": (encoder, 0), "decoder": (decoder, 1)}
    for part, (tensors, skipped) in parts.items():
        if not is_tiny(set(tensors)):
            raise DataError(f"{where} has no {part} of a tiny autoencoder: {sorted(tensors)[:5]}")
        for name, tensor in tensors.items():
            number, _, rest = name.partition(".")
            if not number.isdecimal() or len(number) > 4:
                raise DataError(f"{where} has a tensor {name!r}, which is no layer of its {part}")
            out[f"{part}.layers.{int(number) - skipped}.{rest}"] = tensor
        config |= _levels(part, tensors, where)
    config["use_midblock_gn"] = any(".pool." in name for name in out)
    ends = _convolutions(encoder), _convolutions(decoder)
    config |= {
        "in_channels": encoder[f"{min(ends[0])}.weight"].shape[1],
        "out_channels": decoder[f"{max(ends[1])}.weight"].shape[0],
        "latent_channels": encoder[f"{max(ends[0])}.weight"].shape[0],
    }
    with torch.device("meta"):
        net = AutoencoderTiny.from_json(config, where)
    require_same(net.state_dict(), out, where)
    return config, out


def write_tiny(
    encoder: str | os.PathLike[str],
    decoder: str | os.PathLike[str],
    folder: str | os.PathLike[str],
) -> None:
    """Make a folder of diffusers of two files of safetensors.

    Args:
        encoder: As `demist convert taesd_encoder.pth` gives it.
        decoder: Likewise.
        folder: New; opened where an autoencoder is named.

    Raises:
        DataError: They are no such pair.
        CannotCreateError: The folder exists.
    """
    config, tensors = tiny(read_tensors(encoder), read_tensors(decoder), os.fspath(encoder))
    with atomic_folder(Path(folder)) as place:
        write_json(place / "config.json", config)
        write_tensors(place / "diffusion_pytorch_model.safetensors", tensors)


def _convolutions(tensors: Tensors) -> dict[int, bool]:
    """Numbers of the layers that are one convolution -> whether it has a bias."""
    return {
        int(name[: -len(".weight")]): f"{name[: -len('.weight')]}.bias" in tensors
        for name in tensors
        if name.count(".") == 1 and name.endswith(".weight")
    }


def _levels(part: str, tensors: Tensors, where: str) -> dict[str, Any]:
    """Channels and blocks of each level."""
    blocks = sorted({int(name.partition(".")[0]) for name in tensors if ".conv.0.weight" in name})
    borders = sorted(number for number, bias in _convolutions(tensors).items() if not bias)
    counts, widths = [0], [0]
    for number in sorted([*blocks, *borders]):
        if number in borders:
            counts.append(0)
            widths.append(0)
        else:
            counts[-1] += 1
            widths[-1] = tensors[f"{number}.conv.0.weight"].shape[0]
    if 0 in counts:
        raise DataError(f"{where} has an {part} with a level without blocks, which is not known")
    return {f"num_{part}_blocks": counts, f"{part}_block_out_channels": widths}
