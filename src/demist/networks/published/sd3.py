"""The transformer of two streams of Stable Diffusion 3 and 3.5: diffusers' SD3Transformer2DModel.

References:
    Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis",
    arXiv:2403.03206, figure 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import DataError
from demist.networks.published.joint import JointBlock
from demist.networks.published.published import Published
from demist.networks.published.tokens import FinalNorm, Patches, TextTime, unpatched


@dataclass(frozen=True)
class SD3Config:
    """Keys and defaults of SD3Transformer2DModel's config.json; see its documentation."""

    sample_size: int = 128
    patch_size: int = 2
    in_channels: int = 16
    num_layers: int = 18
    attention_head_dim: int = 64
    num_attention_heads: int = 18
    joint_attention_dim: int = 4096
    caption_projection_dim: int = 1152
    pooled_projection_dim: int = 2048
    out_channels: int | None = 16
    pos_embed_max_size: int = 96
    dual_attention_layers: tuple[int, ...] = ()
    qk_norm: str | None = None


class SD3Transformer(Published):
    """Maps (latents, time, prompt) to a velocity of the latents' size.

    Args:
        config: What it is.

    Raises:
        DataError: It asks for a norm that is not known.
    """

    kind: ClassVar[str] = "SD3Transformer2DModel"
    folder: ClassVar[str] = "transformer"
    config_class: ClassVar[type[Any]] = SD3Config

    def __init__(self, config: SD3Config):
        super().__init__(config)
        if config.qk_norm not in (None, "rms_norm"):
            raise DataError(f"{self.kind} has qk_norm = {config.qk_norm!r}; known is rms_norm")
        heads = config.num_attention_heads
        width = heads * config.attention_head_dim
        if config.caption_projection_dim != width:
            raise DataError(
                f"{self.kind} has caption_projection_dim = {config.caption_projection_dim}, which "
                f"must be the width of its tokens, {width}"
            )
        size, patch = config.sample_size, config.patch_size
        self.pos_embed = Patches(
            config.in_channels, width, patch, (size, size), config.pos_embed_max_size
        )
        self.time_text_embed = TextTime(width, config.pooled_projection_dim)
        self.context_embedder = nn.Linear(config.joint_attention_dim, width)
        self.transformer_blocks = nn.ModuleList(
            JointBlock(
                width,
                heads,
                i == config.num_layers - 1,
                i in config.dual_attention_layers,
                config.qk_norm is not None,
            )
            for i in range(config.num_layers)
        )
        self.norm_out = FinalNorm(width)
        outputs = config.out_channels or config.in_channels
        self.proj_out = nn.Linear(width, patch**2 * outputs)
        self.multiple = patch

    def run(
        self,
        x: Float[Tensor, "b c h w"],
        t: Float[Tensor, " b"],
        *,
        states: Float[Tensor, "b m k"],
        pooled: Float[Tensor, "b p"],
        beside: Sequence[Tensor] = (),
    ) -> Float[Tensor, "b q h w"]:
        """The prediction.

        Args:
            x: The noisy latents.
            t: The time, from 0 to 1000.
            states: Tokens of the prompt.
            pooled: One vector of the prompt.
            beside: More input channels, `(b, m, h, w)` each, after those of x.
        """
        config: SD3Config = self.config_object
        emb = self.time_text_embed(t, pooled)
        context = self.context_embedder(states.to(x.dtype))
        tokens = self.pos_embed(x, beside)
        for block in self.transformer_blocks:
            tokens, context = block(tokens, context, emb)
        y = self.proj_out(self.norm_out(tokens, emb))
        return unpatched(y, config.patch_size, (x.shape[2], x.shape[3]))
