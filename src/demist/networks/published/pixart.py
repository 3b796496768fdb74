"""The transformer of PixArt-alpha and PixArt-sigma: diffusers' PixArtTransformer2DModel.

References:
    Chen et al. 2023, "PixArt-alpha", arXiv:2310.00426, section 2.3.
    Chen et al. 2024, "PixArt-sigma", arXiv:2403.04692.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import DataError, UsageError
from demist.networks.published.layers import Attention, FeedForward, TimestepEmbedding, timesteps
from demist.networks.published.published import Published
from demist.networks.published.tokens import Patches, modulated, plain_norm, unpatched

HIDDEN = -10000.0
"""Log-weight of a token of the prompt that is padding."""


@dataclass(frozen=True)
class PixArtConfig:
    """Keys and defaults of PixArtTransformer2DModel's config.json; see its documentation."""

    num_attention_heads: int = 16
    attention_head_dim: int = 72
    in_channels: int = 4
    out_channels: int | None = 8
    num_layers: int = 28
    dropout: float = 0.0
    norm_num_groups: int = 32
    cross_attention_dim: int = 1152
    attention_bias: bool = True
    sample_size: int = 128
    patch_size: int = 2
    activation_fn: str = "gelu-approximate"
    num_embeds_ada_norm: int | None = 1000
    upcast_attention: bool = False
    norm_type: str = "ada_norm_single"
    norm_elementwise_affine: bool = False
    norm_eps: float = 1e-6
    interpolation_scale: float | None = None
    use_additional_conditions: bool | None = None
    caption_channels: int | None = None


class PixArtBlock(nn.Module):
    """Self-attention, attention to the prompt, and a feed-forward layer.

    The first and the last are scaled, shifted and gated by a table of the block's own, to which
    numbers of the time are added that all blocks have in common (adaLN-single).
    """

    def __init__(self, config: PixArtConfig, width: int):
        super().__init__()
        heads, bias = config.num_attention_heads, config.attention_bias
        affine = config.norm_elementwise_affine
        self.scale_shift_table = nn.Parameter(torch.randn(6, width) / width**0.5)
        self.norm1, self.norm2 = (nn.LayerNorm(width, config.norm_eps, affine) for _ in range(2))
        self.attn1 = Attention(width, heads, bias=bias)
        self.attn2 = Attention(width, heads, config.cross_attention_dim, bias=bias)
        self.ff = FeedForward(width, config.activation_fn)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m k"],
        numbers: Float[Tensor, "b 6 d"],
        mask: Float[Tensor, "b m"] | None,
    ) -> Float[Tensor, "b n d"]:
        shift, scale, gate, shift2, scale2, gate2 = (self.scale_shift_table + numbers).unbind(1)
        x = x + gate[:, None] * self.attn1(modulated(self.norm1(x), shift, scale))
        x = x + self.attn2(x, context, mask)
        y: Tensor = x + gate2[:, None] * self.ff(modulated(self.norm2(x), shift2, scale2))
        return y


class SizeTime(nn.Module):
    """The embedding of the time and, if it is to be known, of the image's size.

    Args:
        width: Of the embedding.
        sizes: Whether height, width and their ratio are embedded, a third of the width each.
    """

    def __init__(self, width: int, sizes: bool):
        super().__init__()
        if sizes and width % 3:
            raise UsageError(f"an embedding of three numbers has width {width}; 3 must divide it")
        self.timestep_embedder = TimestepEmbedding(256, width)
        if sizes:
            self.resolution_embedder = TimestepEmbedding(256, width // 3)
            self.aspect_ratio_embedder = TimestepEmbedding(256, width // 3)

    def forward(
        self, t: Float[Tensor, " b"], sizes: Float[Tensor, "b 2"] | None
    ) -> Float[Tensor, "b d"]:
        y: Tensor = self.timestep_embedder(timesteps(t, 256))
        if sizes is None:
            return y
        sides = self.resolution_embedder(timesteps(sizes.flatten(), 256)).reshape(len(sizes), -1)
        ratio = self.aspect_ratio_embedder(timesteps(sizes[:, 0] / sizes[:, 1], 256))
        return y + torch.cat([sides, ratio], dim=1)


class SingleNorm(nn.Module):
    """The numbers of the time that all blocks have in common."""

    def __init__(self, width: int, sizes: bool):
        super().__init__()
        self.emb = SizeTime(width, sizes)
        self.linear = nn.Linear(width, 6 * width)


class PixArtTransformer(Published):
    """Maps (latents, time, prompt) to a prediction, and to the spread of the variance beside it.

    Args:
        config: What it is.

    Raises:
        DataError: It asks for a norm that is not known.
    """

    kind: ClassVar[str] = "PixArtTransformer2DModel"
    folder: ClassVar[str] = "transformer"
    config_class: ClassVar[type[Any]] = PixArtConfig

    def __init__(self, config: PixArtConfig):
        super().__init__(config)
        if config.norm_type != "ada_norm_single":
            raise DataError(
                f"{self.kind} has norm_type = {config.norm_type!r}; known is ada_norm_single"
            )
        width = config.num_attention_heads * config.attention_head_dim
        size, patch = config.sample_size, config.patch_size
        told = config.use_additional_conditions
        self.knows_sizes = size == 128 if told is None else told
        scale = config.interpolation_scale or max(size // 64, 1)
        self.pos_embed = Patches(config.in_channels, width, patch, (size, size), scale=scale)
        self.transformer_blocks = nn.ModuleList(
            PixArtBlock(config, width) for _ in range(config.num_layers)
        )
        self.norm_out = plain_norm(width)
        self.scale_shift_table = nn.Parameter(torch.randn(2, width) / width**0.5)
        self.proj_out = nn.Linear(width, patch**2 * (config.out_channels or config.in_channels))
        self.adaln_single = SingleNorm(width, self.knows_sizes)
        self.caption_projection = None
        if config.caption_channels is not None:
            self.caption_projection = TimestepEmbedding(config.caption_channels, width, "gelu_tanh")
        self.multiple = patch

    def run(
        self,
        x: Float[Tensor, "b c h w"],
        t: Float[Tensor, " b"],
        *,
        states: Float[Tensor, "b m k"],
        mask: Float[Tensor, "b m"] | None = None,
        sizes: Float[Tensor, "b 2"] | None = None,
    ) -> Float[Tensor, "b q h w"]:
        """The prediction.

        Args:
            x: The noisy latents.
            t: Index of the timestep.
            states: Tokens of the prompt.
            mask: 1 for tokens that are read, 0 for padding; None: all are read.
            sizes: Height and width of the image in pixels, where the network knows them.

        Raises:
            UsageError: Sizes are not given and must be.
        """
        config: PixArtConfig = self.config_object
        if self.knows_sizes and sizes is None:
            raise UsageError(f"this {self.kind} must be given the height and width of the image")
        emb = self.adaln_single.emb(t, sizes if self.knows_sizes else None)
        numbers = self.adaln_single.linear(F.silu(emb)).unflatten(1, (6, -1))
        context = states.to(x.dtype)
        if self.caption_projection is not None:
            context = self.caption_projection(context)
        weights = None if mask is None else (1 - mask.to(x.dtype)) * HIDDEN
        tokens = self.pos_embed(x)
        for block in self.transformer_blocks:
            tokens = block(tokens, context, numbers, weights)
        shift, scale = (self.scale_shift_table + emb[:, None]).unbind(1)
        y = self.proj_out(modulated(self.norm_out(tokens), shift, scale))
        return unpatched(y, config.patch_size, (x.shape[2], x.shape[3]))
