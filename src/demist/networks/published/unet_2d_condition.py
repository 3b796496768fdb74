"""The U-Net of Stable Diffusion 1, 2 and XL: diffusers' UNet2DConditionModel.

References:
    Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models",
    arXiv:2112.10752; Podell et al. 2023, "SDXL", arXiv:2307.01952.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import DataError
from demist.networks.layers import embedding, side_by_side
from demist.networks.published.blocks import Level, Middle, down_widths, levels_of, up_widths
from demist.networks.published.config import each
from demist.networks.published.layers import (
    Downsample,
    SpatialTransformer,
    Style,
    TimestepEmbedding,
    Upsample,
    activation,
    timesteps,
)
from demist.networks.published.published import Published

DOWN = {"DownBlock2D": False, "CrossAttnDownBlock2D": True}
UP = {"UpBlock2D": False, "CrossAttnUpBlock2D": True}


@dataclass(frozen=True)
class ConditionConfig:
    """Keys that UNet2DConditionModel and ControlNetModel share.

    `attention_head_dim` is the number of heads, whatever its name: so it was published.
    """

    in_channels: int = 4
    flip_sin_to_cos: bool = True
    freq_shift: int = 0
    down_block_types: tuple[str, ...] = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    mid_block_type: str | None = "UNetMidBlock2DCrossAttn"
    only_cross_attention: bool | tuple[bool, ...] = False
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int | tuple[int, ...] = 2
    downsample_padding: int = 1
    mid_block_scale_factor: float = 1
    dropout: float = 0.0
    act_fn: str = "silu"
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    cross_attention_dim: int | tuple[int, ...] = 1280
    transformer_layers_per_block: int | tuple[int | tuple[int, ...], ...] = 1
    attention_head_dim: int | tuple[int, ...] = 8
    num_attention_heads: int | tuple[int, ...] | None = None
    use_linear_projection: bool = False
    class_embed_type: str | None = None
    addition_embed_type: str | None = None
    addition_time_embed_dim: int | None = None
    num_class_embeds: int | None = None
    upcast_attention: bool = False
    resnet_time_scale_shift: str = "default"
    projection_class_embeddings_input_dim: int | None = None
    addition_embed_type_num_heads: int = 64
    encoder_hid_dim: int | None = None
    encoder_hid_dim_type: str | None = None


@dataclass(frozen=True)
class UNet2DConditionConfig(ConditionConfig):
    """Keys and defaults of UNet2DConditionModel's config.json; see its documentation."""

    out_channels: int = 4
    center_input_sample: bool = False
    up_block_types: tuple[str, ...] = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    reverse_transformer_layers_per_block: tuple[int | tuple[int, ...], ...] | None = None
    time_embedding_type: str = "positional"
    time_embedding_dim: int | None = None
    timestep_post_act: str | None = None
    time_embedding_act_fn: str | None = None
    time_cond_proj_dim: int | None = None
    mid_block_only_cross_attention: bool | None = None  # of a middle that is not known here
    conv_in_kernel: int = 3
    conv_out_kernel: int = 3
    attention_type: str = "default"
    resnet_out_scale_factor: float = 1.0


class Trunk(Published):
    """What a U-Net and a ControlNet have in common: the embedding, the way down and the middle.

    Args:
        config: What it is.
        time_width: Width of the embedding.
        time_cond: Features of the guidance scale that is told to the network; 0 for none.
        kernel: Of the first convolution.
        post: The activation after the embedding of the time; "" for none.

    Raises:
        DataError: It asks for blocks or embeddings that are not known.
    """

    def __init__(
        self,
        config: ConditionConfig,
        time_width: int = 0,
        time_cond: int = 0,
        kernel: int = 3,
        post: str = "",
    ):
        super().__init__(config)
        self.time_cond = time_cond
        channels, levels = config.block_out_channels, len(config.block_out_channels)
        emb = time_width or 4 * channels[0]
        self.style = Style(
            emb,
            config.norm_num_groups,
            config.norm_eps,
            config.act_fn,
            config.resnet_time_scale_shift == "scale_shift",
            config.dropout,
            config.downsample_padding,
        )
        heads = each(config.num_attention_heads or config.attention_head_dim, levels, "heads")
        self.heads = heads
        self.depths = each(config.transformer_layers_per_block, levels, "transformer_layers")
        self.contexts = each(config.cross_attention_dim, levels, "cross_attention_dim")
        self.only = each(config.only_cross_attention, levels, "only_cross_attention")
        self.blocks = each(config.layers_per_block, levels, "layers_per_block")
        attends = [self._known(DOWN, n) for n in each(config.down_block_types, levels, "blocks")]

        self.conv_in = nn.Conv2d(config.in_channels, channels[0], kernel, padding=kernel // 2)
        self.time_embedding = TimestepEmbedding(channels[0], emb, config.act_fn, time_cond, post)
        self.class_embedding = self._class_embedding(config, emb)
        self.encoder_hid_proj = self._projection(config)
        if config.addition_embed_type == "text_time":
            self.add_embedding = TimestepEmbedding(
                config.projection_class_embeddings_input_dim or 0, emb
            )
        elif config.addition_embed_type is not None:
            raise DataError(
                f"{self.kind} has addition_embed_type = {config.addition_embed_type!r}; known is "
                f"text_time"
            )
        self.down_blocks = nn.ModuleList(
            Level(
                widths,
                self.style,
                self._attend(i, len(widths)) if attends[i] else None,
                down=Downsample(channels[i], config.downsample_padding) if i < levels - 1 else None,
            )
            for i, widths in enumerate(down_widths(channels, self.blocks))
        )
        self.mid_block = self._middle(config)
        self.multiple = 1  # the way up enlarges to the size that the way down had

    def _projection(self, config: ConditionConfig) -> nn.Module | None:
        """What brings the prompt's tokens to the width of the attention, if anything does."""
        wide, kind = config.encoder_hid_dim, config.encoder_hid_dim_type
        if wide is None and kind is None:
            return None
        if kind not in (None, "text_proj") or not isinstance(config.cross_attention_dim, int):
            raise DataError(
                f"{self.kind} has encoder_hid_dim_type = {kind!r}; known is text_proj, to one "
                f"cross_attention_dim"
            )
        return nn.Linear(wide or 0, config.cross_attention_dim)

    def _attend(self, level: int, count: int) -> Callable[[int], nn.Module]:
        """Makes the attentions of the `count` blocks of a level, one after the other."""
        config: ConditionConfig = self.config_object
        depths = iter(each(self.depths[level], count, "transformer_layers_per_block"))

        def make(channels: int) -> nn.Module:
            return SpatialTransformer(
                channels,
                self.heads[level],
                next(depths),
                self.contexts[level],
                config.norm_num_groups,
                config.use_linear_projection,
                self.only[level],
            )

        return make

    def _middle(self, config: ConditionConfig) -> Middle | None:
        last = config.block_out_channels[-1]
        if config.mid_block_type is None:
            return None
        if config.mid_block_type == "UNetMidBlock2D":
            return Middle(last, self.style, [], config.mid_block_scale_factor)
        if config.mid_block_type != "UNetMidBlock2DCrossAttn":
            raise DataError(f"{self.kind} has mid_block_type = {config.mid_block_type!r}")
        attention = SpatialTransformer(
            last,
            self.heads[-1],
            each(self.depths[-1], self.blocks[-1], "transformer_layers_per_block")[0],
            self.contexts[-1],
            config.norm_num_groups,
            config.use_linear_projection,
        )
        return Middle(last, self.style, [attention], config.mid_block_scale_factor)

    def _class_embedding(self, config: ConditionConfig, emb: int) -> nn.Module | None:
        kind = config.class_embed_type
        if kind is None:
            count = config.num_class_embeds
            return None if count is None else embedding(count, emb)
        if kind == "timestep":
            return TimestepEmbedding(config.block_out_channels[0], emb, config.act_fn)
        if kind in ("projection", "simple_projection"):
            inputs = config.projection_class_embeddings_input_dim or 0
            return (
                TimestepEmbedding(inputs, emb) if kind == "projection" else nn.Linear(inputs, emb)
            )
        if kind == "identity":
            return nn.Identity()
        raise DataError(f"{self.kind} has class_embed_type = {kind!r}")

    def embedding(
        self,
        t: Tensor,
        label: Tensor | None,
        pooled: Tensor | None,
        sizes: Tensor | None,
        scale: Tensor | None,
    ) -> Float[Tensor, "b e"]:
        """The embedding of the time and of all that is one vector or number for a sample."""
        config: ConditionConfig = self.config_object

        def waves(values: Tensor, width: int) -> Tensor:
            return timesteps(values, width, config.flip_sin_to_cos, config.freq_shift)

        first = config.block_out_channels[0]
        told = None
        if scale is not None and self.time_cond:
            told = timesteps(1000 * (scale.float() - 1), self.time_cond, flip=False, shift=1.0)
        emb: Tensor = self.time_embedding(waves(t, first), told)
        if self.class_embedding is not None and label is not None:
            if config.class_embed_type == "timestep":
                label = waves(label.float(), first)
            elif config.class_embed_type is not None:
                label = label.to(emb.dtype)
            emb = emb + self.class_embedding(label)
        if config.addition_embed_type == "text_time" and pooled is not None and sizes is not None:
            numbers = waves(sizes.flatten(), config.addition_time_embed_dim or 0)
            both = torch.cat([pooled.float(), numbers.reshape(len(pooled), -1)], dim=-1)
            emb = emb + self.add_embedding(both)
        return emb

    def descend(
        self,
        x: Tensor,
        emb: Tensor,
        context: Tensor | None,
        mask: Tensor | None,
        further: Sequence[Tensor] = (),
    ) -> tuple[Tensor, list[Tensor]]:
        """The way down and the maps that the way up takes in; `further` is added level by level."""
        skips = [x]
        for i, level in enumerate(levels_of(self.down_blocks)):
            found = level.steps(x, emb, context, mask)
            if i < len(further) and level.attends:
                found[-1] = found[-1] + further[i]
            x = found[-1]
            if level.halves:
                x = level.change(x)
                found.append(x)
            if i < len(further) and not level.attends:
                found[-1] = x = x + further[i]
            skips += found
        return x, skips


class UNet2DCondition(Trunk):
    """Maps (latents, time, prompt, ...) to a prediction of the latents' size.

    Args:
        config: What it is.

    Raises:
        DataError: It asks for blocks or embeddings that are not known.
    """

    kind: ClassVar[str] = "UNet2DConditionModel"
    config_class: ClassVar[type[Any]] = UNet2DConditionConfig

    def __init__(self, config: UNet2DConditionConfig):
        if config.time_embedding_type != "positional":
            raise DataError(f"{self.kind} has time_embedding_type = {config.time_embedding_type!r}")
        super().__init__(
            config,
            config.time_embedding_dim or 0,
            config.time_cond_proj_dim or 0,
            config.conv_in_kernel,
            config.timestep_post_act or "",
        )
        channels, levels = config.block_out_channels, len(config.block_out_channels)
        ups = [self._known(UP, n) for n in each(config.up_block_types, levels, "up_block_types")]
        if config.reverse_transformer_layers_per_block is not None:
            self.depths = list(reversed(config.reverse_transformer_layers_per_block))
        act = config.time_embedding_act_fn
        self.time_embed_act = activation(act) if act else nn.Identity()
        self.up_blocks = nn.ModuleList(
            Level(
                widths,
                self.style,
                self._attend(levels - 1 - i, len(widths)) if ups[i] else None,
                up=Upsample(widths[-1][1]) if i < levels - 1 else None,
            )
            for i, widths in enumerate(up_widths(channels, self.blocks))
        )
        self.conv_norm_out = nn.GroupNorm(self.style.groups, channels[0], self.style.eps)
        self.conv_act = activation(config.act_fn)
        kernel = config.conv_out_kernel
        self.conv_out = nn.Conv2d(channels[0], config.out_channels, kernel, padding=kernel // 2)

    def run(
        self,
        x: Float[Tensor, "b c h w"],
        t: Float[Tensor, " b"],
        *,
        states: Float[Tensor, "b n d"] | None = None,
        seen: Float[Tensor, "b s d"] | None = None,
        mask: Float[Tensor, "b n"] | None = None,
        pooled: Float[Tensor, "b p"] | None = None,
        sizes: Float[Tensor, "b s"] | None = None,
        label: Tensor | None = None,
        scale: Float[Tensor, " b"] | None = None,
        beside: Tensor | Sequence[Tensor] = (),
        down: Sequence[Tensor] = (),
        mid: Tensor | None = None,
        inside: Sequence[Tensor] = (),
    ) -> Float[Tensor, "b k h w"]:
        """The prediction.

        Args:
            x: The noisy latents.
            t: Index of the timestep.
            states: Tokens of the prompt.
            seen: Tokens of an image, for layers of an IP-Adapter.
            mask: Their log-weights, added to the logits of attention; None: all count.
            pooled: One vector of the prompt (XL).
            sizes: Six numbers: original size, corner of the crop, target size, in pixels (XL).
            label: A class, or a noise level (upscaler).
            scale: The guidance scale whose result is predicted (LCM).
            beside: More input channels, `(b, m, h, w)`, after those of x: masks and masked latents,
                an image; several tensors are added up one after the other.
            down: Added to the maps that the way up takes in, by a ControlNet.
            mid: Added in the middle, by a ControlNet.
            inside: Added level by level on the way down, by a T2I-Adapter; one map more is added
                in the middle.
        """
        config: UNet2DConditionConfig = self.config_object
        emb = self.time_embed_act(self.embedding(t, label, pooled, sizes, scale))
        further = [beside] if isinstance(beside, Tensor) else beside
        if config.center_input_sample:
            x, further = 2 * x - 1, [2 * y - 1 for y in further]
        x = side_by_side(self.conv_in, x, further)
        if states is not None and self.encoder_hid_proj is not None:
            states = self.encoder_hid_proj(states.to(x.dtype))
        told = [tokens.to(x.dtype) for tokens in (states, seen) if tokens is not None]
        states = torch.cat(told, dim=1) if seen is not None else next(iter(told), None)
        x, skips = self.descend(x, emb, states, mask, inside)
        if down:
            skips = [a + b for a, b in zip(skips, down, strict=True)]
        if self.mid_block is not None:
            x = self.mid_block(x, emb, states, mask)
        if len(inside) > len(self.down_blocks):
            x = x + inside[-1]
        x = x if mid is None else x + mid
        for level in levels_of(self.up_blocks):
            x = level.steps(x, emb, states, mask, skips)[-1]
            x = level.change(x, size=(skips[-1].shape[2], skips[-1].shape[3]) if skips else None)
        y: Tensor = self.conv_out(self.conv_act(self.conv_norm_out(x)))
        return y
