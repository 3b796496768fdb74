"""The transformer of DiT: diffusers' DiTTransformer2DModel.

References:
    Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", arXiv:2212.09748.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from demist.errors import DataError
from demist.networks.published.layers import Attention, FeedForward
from demist.networks.published.published import Published
from demist.networks.published.tokens import (
    AdaNorm,
    LabelTime,
    Patches,
    modulated,
    plain_norm,
    unpatched,
)


@dataclass(frozen=True)
class DiTConfig:
    """Keys and defaults of DiTTransformer2DModel's config.json; see its documentation."""

    num_attention_heads: int = 16
    attention_head_dim: int = 72
    in_channels: int = 4
    out_channels: int | None = None
    num_layers: int = 28
    dropout: float = 0.0
    norm_num_groups: int = 32
    attention_bias: bool = True
    sample_size: int = 32
    patch_size: int = 2
    activation_fn: str = "gelu-approximate"
    num_embeds_ada_norm: int | None = 1000
    upcast_attention: bool = False
    norm_type: str = "ada_norm_zero"
    norm_elementwise_affine: bool = False
    norm_eps: float = 1e-5


class DiTBlock(nn.Module):
    """Attention and a feed-forward layer, scaled, shifted and gated by time and class."""

    def __init__(self, config: DiTConfig, width: int):
        super().__init__()
        self.norm1 = AdaNorm(width, 6, LabelTime(config.num_embeds_ada_norm or 0, width))
        self.attn1 = Attention(width, config.num_attention_heads, bias=config.attention_bias)
        self.norm3 = nn.LayerNorm(width, config.norm_eps, config.norm_elementwise_affine)
        self.ff = FeedForward(width, config.activation_fn)

    def embedding(self, t: Tensor, label: Tensor) -> Float[Tensor, "b d"]:
        """Of time and class; each block has its own."""
        assert self.norm1.emb is not None
        y: Tensor = self.norm1.emb(t, label)
        return y

    def forward(
        self, x: Float[Tensor, "b n d"], t: Float[Tensor, " b"], label: Int[Tensor, " b"]
    ) -> Float[Tensor, "b n d"]:
        shift, scale, gate, shift2, scale2, gate2 = self.norm1.numbers(self.embedding(t, label))
        x = x + gate[:, None] * self.attn1(modulated(self.norm1.norm(x), shift, scale))
        y: Tensor = x + gate2[:, None] * self.ff(modulated(self.norm3(x), shift2, scale2))
        return y


class DiT2D(Published):
    """Maps (latents, time, class) to a prediction, and to the spread of the variance beside it.

    Args:
        config: What it is.

    Raises:
        DataError: It asks for a norm that is not known.
    """

    kind: ClassVar[str] = "DiTTransformer2DModel"
    folder: ClassVar[str] = "transformer"
    config_class: ClassVar[type[Any]] = DiTConfig

    def __init__(self, config: DiTConfig):
        super().__init__(config)
        if config.norm_type != "ada_norm_zero" or config.num_embeds_ada_norm is None:
            raise DataError(
                f"{self.kind} has norm_type = {config.norm_type!r}; known is ada_norm_zero, with "
                f"classes"
            )
        width = config.num_attention_heads * config.attention_head_dim
        size, patch = config.sample_size, config.patch_size
        self.pos_embed = Patches(config.in_channels, width, patch, (size, size))
        self.transformer_blocks = nn.ModuleList(
            DiTBlock(config, width) for _ in range(config.num_layers)
        )
        self.norm_out = plain_norm(width)
        self.proj_out_1 = nn.Linear(width, 2 * width)
        outputs = config.out_channels or config.in_channels
        self.proj_out_2 = nn.Linear(width, patch**2 * outputs)
        self.multiple = patch

    def run(
        self, x: Float[Tensor, "b c h w"], t: Float[Tensor, " b"], *, label: Int[Tensor, " b"]
    ) -> Float[Tensor, "b k h w"]:
        """The prediction.

        Args:
            x: The noisy latents.
            t: Index of the timestep.
            label: The class of each; the number of classes for none.
        """
        config: DiTConfig = self.config_object
        tokens = self.pos_embed(x)
        for block in self.transformer_blocks:
            tokens = block(tokens, t, label)
        first = self.transformer_blocks[0]
        assert isinstance(first, DiTBlock)
        emb = first.embedding(t, label)
        shift, scale = self.proj_out_1(F.silu(emb)).chunk(2, dim=1)
        y = self.proj_out_2(modulated(self.norm_out(tokens), shift, scale))
        return unpatched(y, config.patch_size, (x.shape[2], x.shape[3]))
