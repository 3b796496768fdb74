"""The transformer of two streams, then one, of FLUX.1: diffusers' FluxTransformer2DModel.

Black Forest Labs published weights and code in 2024, and no paper; its blocks of two streams are
those of Stable Diffusion 3.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import DataError, UsageError
from demist.networks.published.joint import JointAttention, JointBlock, in_range, rotations
from demist.networks.published.published import Published
from demist.networks.published.tokens import AdaNorm, FinalNorm, TextTime, modulated

SIDE = 2
"""A token is a square of so many latent pixels along its side."""


@dataclass(frozen=True)
class FluxConfig:
    """Keys and defaults of FluxTransformer2DModel's config.json; see its documentation."""

    patch_size: int = 1
    in_channels: int = 64
    out_channels: int | None = None
    num_layers: int = 19
    num_single_layers: int = 38
    attention_head_dim: int = 128
    num_attention_heads: int = 24
    joint_attention_dim: int = 4096
    pooled_projection_dim: int = 768
    guidance_embeds: bool = False
    axes_dims_rope: tuple[int, ...] = (16, 56, 56)


class SingleBlock(nn.Module):
    """Attention and a feed-forward layer side by side, over all tokens as one stream."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm = AdaNorm(width, 3)
        self.proj_mlp = nn.Linear(width, 4 * width)
        self.proj_out = nn.Linear(5 * width, width)
        self.attn = JointAttention(width, heads, False, False, True, projects=False)

    def forward(
        self, x: Float[Tensor, "b l d"], emb: Float[Tensor, "b d"], rotation: Tensor, words: int
    ) -> Float[Tensor, "b l d"]:
        shift, scale, gate = self.norm.numbers(emb)
        y = modulated(self.norm.norm(x), shift, scale)
        wide = F.gelu(self.proj_mlp(y), approximate="tanh")
        attended = self.attn(y, rotation=rotation, words=words)[0]
        update = self.proj_out(torch.cat([attended, wide], dim=2))
        return in_range(x + gate[:, None] * update)


class FluxTransformer(Published):
    """Maps (latents, time, prompt, guidance scale) to a velocity of the latents' size.

    Squares of 2 x 2 latent pixels are made one token here, so that the state is an ordinary image
    of `in_channels / 4` channels.

    Args:
        config: What it is.

    Raises:
        DataError: Its numbers do not fit together.
    """

    kind: ClassVar[str] = "FluxTransformer2DModel"
    folder: ClassVar[str] = "transformer"
    side: ClassVar[int] = 128
    config_class: ClassVar[type[Any]] = FluxConfig

    def __init__(self, config: FluxConfig):
        super().__init__(config)
        heads, head = config.num_attention_heads, config.attention_head_dim
        self._require_fit(config)
        width = heads * head
        self.time_text_embed = TextTime(width, config.pooled_projection_dim, config.guidance_embeds)
        self.context_embedder = nn.Linear(config.joint_attention_dim, width)
        self.x_embedder = nn.Linear(config.in_channels, width)
        self.transformer_blocks = nn.ModuleList(
            JointBlock(width, heads, last=False, dual=False, norm=True)
            for _ in range(config.num_layers)
        )
        self.single_transformer_blocks = nn.ModuleList(
            SingleBlock(width, heads) for _ in range(config.num_single_layers)
        )
        self.norm_out = FinalNorm(width)
        self.proj_out = nn.Linear(width, config.out_channels or config.in_channels)
        self.multiple = SIDE

    @property
    def channels(self) -> tuple[int, int]:
        config: FluxConfig = self.config_object
        outputs = config.out_channels or config.in_channels
        return config.in_channels // SIDE**2, outputs // SIDE**2

    def run(
        self,
        x: Float[Tensor, "b c h w"],
        t: Float[Tensor, " b"],
        *,
        states: Float[Tensor, "b m k"],
        pooled: Float[Tensor, "b p"],
        guidance: Float[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b q h w"]:
        """The prediction.

        Args:
            x: The noisy latents; both sides are even.
            t: The time, from 0 to 1000.
            states: Tokens of the prompt.
            pooled: One vector of the prompt.
            guidance: The guidance scale whose result is predicted, where the network was trained
                to know it.

        Raises:
            UsageError: The guidance scale is not given and must be.
        """
        config: FluxConfig = self.config_object
        if config.guidance_embeds and guidance is None:
            raise UsageError(f"this {self.kind} must be given the guidance scale; 3.5 is usual")
        scale = None if guidance is None else 1000 * guidance
        emb = self.time_text_embed(t, pooled.to(x.dtype), scale)
        context = self.context_embedder(states.to(x.dtype))
        sides = (x.shape[2] // SIDE, x.shape[3] // SIDE)
        tokens = self.x_embedder(F.pixel_unshuffle(x, SIDE).flatten(2).transpose(1, 2))
        rotation = self._rotation(sides, context.shape[1]).to(x.device)
        for block in self.transformer_blocks:
            tokens, context = block(tokens, context, emb, rotation)
        count = tokens.shape[1]
        tokens = torch.cat([tokens, context], dim=1)
        for block in self.single_transformer_blocks:
            tokens = block(tokens, emb, rotation, context.shape[1])
        y = self.proj_out(self.norm_out(tokens[:, :count], emb))
        return F.pixel_shuffle(y.transpose(1, 2).unflatten(2, sides), SIDE)

    def _rotation(self, sides: tuple[int, int], prompt: int) -> Tensor:
        """Of the image's tokens by row and column; those of the prompt all stand at the origin."""
        rows, columns = (torch.arange(side, dtype=torch.float64) for side in sides)
        grid = torch.cartesian_prod(torch.zeros(1, dtype=torch.float64), rows, columns)
        return rotations(F.pad(grid, (0, 0, 0, prompt)), self.config_object.axes_dims_rope)

    def _require_fit(self, config: FluxConfig) -> None:
        axes, head = config.axes_dims_rope, config.attention_head_dim
        if len(axes) != 3 or sum(axes) != head or any(width % 2 or width < 0 for width in axes):
            raise DataError(
                f"{self.kind} has axes_dims_rope = {list(axes)}; they must be three even numbers "
                f"with the sum attention_head_dim = {head}"
            )
        outputs = config.out_channels or config.in_channels
        if config.patch_size != 1 or config.in_channels % SIDE**2 or outputs % SIDE**2:
            raise DataError(
                f"{self.kind} has patch_size = {config.patch_size} and {config.in_channels} "
                f"channels; known are patch_size 1 and a multiple of {SIDE**2} channels"
            )
