"""The U-Net of DDPM, LDM and their kin: diffusers' UNet2DModel.

References:
    Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, appendix B;
    Song et al. 2021, arXiv:2011.13456 (Fourier features of the noise level).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import DataError
from demist.networks.layers import embedding, side_by_side
from demist.networks.published.blocks import (
    Level,
    Middle,
    down_sampler,
    down_widths,
    levels_of,
    pixel_attention,
    up_sampler,
    up_widths,
)
from demist.networks.published.config import each
from demist.networks.published.layers import Style, TimestepEmbedding, timesteps
from demist.networks.published.published import Published

DOWN = {
    "DownBlock2D": (False, "conv"),
    "ResnetDownsampleBlock2D": (False, "resnet"),
    "AttnDownBlock2D": (True, ""),
}
UP = {
    "UpBlock2D": (False, "conv"),
    "ResnetUpsampleBlock2D": (False, "resnet"),
    "AttnUpBlock2D": (True, ""),
}
"""Block -> whether it has attention, and how it changes the size; "": as the configuration says."""


@dataclass(frozen=True)
class UNet2DConfig:
    """Keys and defaults of UNet2DModel's config.json; see its documentation."""

    in_channels: int = 3
    out_channels: int = 3
    center_input_sample: bool = False
    time_embedding_type: str = "positional"
    time_embedding_dim: int | None = None
    freq_shift: int = 0
    flip_sin_to_cos: bool = True
    down_block_types: tuple[str, ...] = ("DownBlock2D",) + ("AttnDownBlock2D",) * 3
    mid_block_type: str | None = "UNetMidBlock2D"
    up_block_types: tuple[str, ...] = ("AttnUpBlock2D",) * 3 + ("UpBlock2D",)
    block_out_channels: tuple[int, ...] = (224, 448, 672, 896)
    layers_per_block: int = 2
    mid_block_scale_factor: float = 1
    downsample_padding: int = 1
    downsample_type: str = "conv"
    upsample_type: str = "conv"
    dropout: float = 0.0
    act_fn: str = "silu"
    attention_head_dim: int | None = 8
    norm_num_groups: int = 32
    attn_norm_num_groups: int | None = None
    norm_eps: float = 1e-5
    resnet_time_scale_shift: str = "default"
    add_attention: bool = True
    class_embed_type: str | None = None
    num_class_embeds: int | None = None
    num_train_timesteps: int | None = None


class UNet2D(Published):
    """Maps (image, time, class) to an image of the same size.

    Args:
        config: What it is.

    Raises:
        DataError: It asks for blocks that are not known.
    """

    kind: ClassVar[str] = "UNet2DModel"
    config_class: ClassVar[type[Any]] = UNet2DConfig

    def __init__(self, config: UNet2DConfig):
        super().__init__(config)
        channels, levels = config.block_out_channels, len(config.block_out_channels)
        emb = config.time_embedding_dim or 4 * channels[0]
        style = Style(
            emb,
            config.norm_num_groups,
            config.norm_eps,
            config.act_fn,
            config.resnet_time_scale_shift == "scale_shift",
            config.dropout,
            config.downsample_padding,
        )
        downs = [self._known(DOWN, n) for n in each(config.down_block_types, levels, "blocks")]
        ups = [self._known(UP, n) for n in each(config.up_block_types, levels, "blocks")]
        blocks = [config.layers_per_block] * levels
        attend = pixel_attention(style, config.attention_head_dim)

        self.conv_in = nn.Conv2d(config.in_channels, channels[0], 3, padding=1)
        features = channels[0]
        if config.time_embedding_type == "fourier":
            self.time_proj = Fourier(channels[0])
            features = 2 * channels[0]
        elif config.time_embedding_type != "positional":
            raise DataError(
                f"{self.kind} has time_embedding_type = {config.time_embedding_type!r}; known are "
                f"positional and fourier"
            )
        self.time_embedding = TimestepEmbedding(features, emb)
        if config.class_embed_type is None and config.num_class_embeds is not None:
            self.class_embedding: nn.Module | None = embedding(config.num_class_embeds, emb)
        elif config.class_embed_type == "timestep":
            self.class_embedding = TimestepEmbedding(features, emb)
        elif config.class_embed_type == "identity":
            self.class_embedding = nn.Identity()
        elif config.class_embed_type is None:
            self.class_embedding = None
        else:
            raise DataError(f"{self.kind} has class_embed_type = {config.class_embed_type!r}")

        self.down_blocks = nn.ModuleList(
            Level(
                widths,
                style,
                attend if attends else None,
                down=down_sampler(kind or config.downsample_type, channels[i], style)
                if i < levels - 1
                else None,
            )
            for i, (widths, (attends, kind)) in enumerate(
                zip(down_widths(channels, blocks), downs, strict=True)
            )
        )
        mid_groups = config.attn_norm_num_groups or (0 if style.scale_shift else style.groups)
        make = pixel_attention(style, config.attention_head_dim, mid_groups)
        scale = config.mid_block_scale_factor
        attention = make(channels[-1], scale) if config.add_attention else None
        self.mid_block = (
            Middle(channels[-1], style, [attention], scale) if config.mid_block_type else None
        )
        self.up_blocks = nn.ModuleList(
            Level(
                widths,
                style,
                attend if attends else None,
                up=up_sampler(kind or config.upsample_type, widths[-1][1], style)
                if i < levels - 1
                else None,
            )
            for i, (widths, (attends, kind)) in enumerate(
                zip(up_widths(channels, blocks), ups, strict=True)
            )
        )
        self.conv_norm_out = nn.GroupNorm(style.groups, channels[0], style.eps)
        self.conv_out = nn.Conv2d(channels[0], config.out_channels, 3, padding=1)
        self.multiple = 2 ** (levels - 1)

    def run(
        self,
        x: Float[Tensor, "b c h w"],
        t: Float[Tensor, " b"],
        label: Tensor | None = None,
        beside: Sequence[Tensor] = (),
    ) -> Float[Tensor, "b k h w"]:
        """The prediction.

        Args:
            x: The noisy image.
            t: Index of the timestep, or the noise level.
            label: The class of each; its number or its embedding if `class_embed_type` is
                "timestep" or "identity".
            beside: More input channels, `(b, m, h, w)` each, after those of x.
        """
        config: UNet2DConfig = self.config_object
        first = config.block_out_channels[0]
        features = (
            self.time_proj(t)
            if config.time_embedding_type == "fourier"
            else timesteps(t, first, config.flip_sin_to_cos, config.freq_shift)
        )
        emb = self.time_embedding(features)
        if self.class_embedding is not None and label is not None:
            if config.class_embed_type == "timestep":
                label = timesteps(label.float(), first, config.flip_sin_to_cos, config.freq_shift)
            emb = emb + self.class_embedding(label)
        if config.center_input_sample:
            x, beside = 2 * x - 1, [2 * y - 1 for y in beside]
        x = side_by_side(self.conv_in, x, beside)
        skips = [x]
        for level in levels_of(self.down_blocks):
            found = level.steps(x, emb)
            x = found[-1]
            if level.halves:
                x = level.change(x, emb)
                found.append(x)
            skips += found
        if self.mid_block is not None:
            x = self.mid_block(x, emb)
        for level in levels_of(self.up_blocks):
            x = level.change(level.steps(x, emb, skips=skips)[-1], emb)
        x = self.conv_out(nn.functional.silu(self.conv_norm_out(x)))
        if config.time_embedding_type == "fourier":
            x = x / t.to(x.dtype)[:, None, None, None]
        return x


class Fourier(nn.Module):
    """Sines and cosines of the logarithm of the noise level, at fixed random frequencies."""

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size) * 16, requires_grad=False)

    def forward(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b d"]:
        angles = t.float().log()[:, None] * self.weight[None] * 2 * math.pi
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
