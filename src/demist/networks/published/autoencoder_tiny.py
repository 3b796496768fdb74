"""Small autoencoders in place of the large ones: diffusers' AutoencoderTiny.

References:
    Bohan 2023, "Tiny AutoEncoder for Stable Diffusion", github.com/madebyollin/taesd.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import DataError
from demist.networks.published.coding import Coding
from demist.networks.published.layers import activation


@dataclass(frozen=True)
class AutoencoderTinyConfig:
    """Keys and defaults of AutoencoderTiny's config.json; see its documentation.

    One is not diffusers': `use_midblock_gn`, as in TAEF2, whose blocks at the smallest size begin
    with a normalised layer.
    """

    in_channels: int = 3
    out_channels: int = 3
    encoder_block_out_channels: tuple[int, ...] = (64, 64, 64, 64)
    decoder_block_out_channels: tuple[int, ...] = (64, 64, 64, 64)
    act_fn: str = "relu"
    upsample_fn: str = "nearest"
    latent_channels: int = 4
    upsampling_scaling_factor: int = 2
    num_encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    num_decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)
    latent_magnitude: float = 3
    latent_shift: float = 0.5
    force_upcast: bool = False
    scaling_factor: float = 1.0
    shift_factor: float = 0.0
    block_out_channels: tuple[int, ...] | None = None
    use_midblock_gn: bool = False


class Block(nn.Module):
    """Three convolutions, added to the input; before them, if asked, a layer that sees the mean."""

    def __init__(self, channels: int, act: str, normed: bool = False):
        super().__init__()
        convs = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3)]
        self.conv = nn.Sequential(convs[0], activation(act), convs[1], activation(act), convs[2])
        self.pool = (
            nn.Sequential(
                nn.Conv2d(channels, 4 * channels, 1, bias=False),
                nn.GroupNorm(4, 4 * channels),
                nn.ReLU(),
                nn.Conv2d(4 * channels, channels, 1, bias=False),
            )
            if normed
            else None
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if self.pool is not None:
            x = x + self.pool(x)
        y: Tensor = torch.relu(self.conv(x) + x)
        return y


class Stack(nn.Module):
    """Layers in a row."""

    def __init__(self, layers: list[nn.Module]):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k hh ww"]:
        y: Tensor = self.layers(x)
        return y


class AutoencoderTiny(Coding):
    """Images in [-1, 1] to latents as a diffusion model has them, and back.

    Args:
        config: What it is.
    """

    kind: ClassVar[str] = "AutoencoderTiny"
    folder: ClassVar[str] = "vae"
    config_class: ClassVar[type[Any]] = AutoencoderTinyConfig

    def __init__(self, config: AutoencoderTinyConfig):
        super().__init__(config)
        down, up = config.encoder_block_out_channels, config.decoder_block_out_channels
        counts = (config.num_encoder_blocks, config.num_decoder_blocks)
        if [len(down), len(up)] != [len(count) for count in counts]:
            raise DataError(f"{self.kind} has {len(down)} levels and {len(counts[0])} numbers")
        act, k = config.act_fn, config.latent_channels
        layers: list[nn.Module] = []
        for i, (wide, count) in enumerate(zip(down, counts[0], strict=True)):
            layers.append(
                nn.Conv2d(wide, wide, 3, stride=2, padding=1, bias=False)
                if i
                else nn.Conv2d(config.in_channels, wide, 3, padding=1)
            )
            normed = config.use_midblock_gn and i == len(down) - 1
            layers += [Block(wide, act, normed) for _ in range(count)]
        self.encoder = Stack([*layers, nn.Conv2d(down[-1], k, 3, padding=1)])
        layers = [nn.Conv2d(k, up[0], 3, padding=1), activation(act)]
        for i, (wide, count) in enumerate(zip(up, counts[1], strict=True)):
            last = i == len(up) - 1
            layers += [Block(wide, act, config.use_midblock_gn and i == 0) for _ in range(count)]
            if not last:
                factor = config.upsampling_scaling_factor
                layers.append(nn.Upsample(scale_factor=factor, mode=config.upsample_fn))
            outputs = config.out_channels if last else wide
            layers.append(nn.Conv2d(wide, outputs, 3, padding=1, bias=last))
        self.decoder = Stack(layers)
        self.in_channels, self.latent_channels = config.in_channels, k
        self.downsample = 2 ** (len(down) - 1)

    def encode(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
        """Latents `(b, k, h / f, w / f)` and a log-variance of -30."""
        mean = self.encoder((x + 1) / 2)
        return mean, torch.full_like(mean, -30.0)

    def decode(self, z: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c hh ww"]:
        """Back to images."""
        x: Tensor = self.decoder(3 * torch.tanh(z / 3))
        return 2 * x - 1
