"""Layers of published networks: what they compute and their parameters' names are diffusers'.

Legend: b batch, c channels, h x w pixels, n tokens, d width of a token, e width of the embedding.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.attention import mixed

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "relu": nn.ReLU,
    "mish": nn.Mish,
}


def activation(name: str) -> nn.Module:
    """The activation called so in a configuration.

    Raises:
        UsageError: There is none.
    """
    if name not in ACTIVATIONS:
        raise UsageError(f"there is no activation {name!r}; there are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def timesteps(
    t: Float[Tensor, " b"], width: int, flip: bool = True, shift: float = 0.0
) -> Float[Tensor, "b d"]:
    """Sines and cosines of `t` at `width / 2` frequencies from 1 down to about 1/10,000, float32.

    Args:
        t: Times.
        width: d; an odd one ends in a zero.
        flip: Cosines first.
        shift: The lowest frequency is `10000^(-(k - 1) / (k - shift))` with `k = width / 2`.
    """
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * torch.exp(-math.log(10000) * steps / (half - shift))
    waves = [angles.cos(), angles.sin()] if flip else [angles.sin(), angles.cos()]
    return F.pad(torch.cat(waves, dim=1), (0, width % 2))


class TimestepEmbedding(nn.Module):
    """Two layers from features of the time to the embedding.

    Args:
        inputs: Features.
        width: Of the embedding.
        act: The activation between them.
        cond: Features of a further input that is added to the first; 0 for none.
        post: The activation after them; "" for none.
    """

    def __init__(self, inputs: int, width: int, act: str = "silu", cond: int = 0, post: str = ""):
        super().__init__()
        self.linear_1 = nn.Linear(inputs, width)
        self.cond_proj = nn.Linear(cond, inputs, bias=False) if cond else None
        self.act = activation(act)
        self.linear_2 = nn.Linear(width, width)
        self.post_act = activation(post) if post else nn.Identity()

    def forward(
        self, x: Float[Tensor, "*b d"], cond: Float[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "*b e"]:
        x = x.to(self.linear_1.weight.dtype)
        if self.cond_proj is not None and cond is not None:
            x = x + self.cond_proj(cond.to(x.dtype))
        y: Tensor = self.post_act(self.linear_2(self.act(self.linear_1(x))))
        return y


@dataclass(frozen=True)
class Style:
    """What all blocks of one network have in common.

    Attributes:
        emb: Width of the embedding; 0 where blocks see none.
        groups: Of the norms.
        eps: Of the norms.
        act: The activation.
        scale_shift: Whether the embedding scales and shifts the second norm.
        dropout: Before the second convolution.
        downsample_padding: Of convolutions that halve; 0 pads right and below alone.
    """

    emb: int = 0
    groups: int = 32
    eps: float = 1e-6
    act: str = "silu"
    scale_shift: bool = False
    dropout: float = 0.0
    downsample_padding: int = 1


class Resnet(nn.Module):
    """Two convolutions, added to the input.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        style: Of the network.
        sampling: "up" or "down": the image is enlarged or halved between norm and convolution.
        scale: The sum is divided by it.
    """

    def __init__(
        self, inputs: int, outputs: int, style: Style, sampling: str = "", scale: float = 1.0
    ):
        super().__init__()
        self.scale_shift, self.sampling, self.scale = style.scale_shift, sampling, scale
        self.norm1 = nn.GroupNorm(style.groups, inputs, style.eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        twice = 2 if style.scale_shift else 1
        self.time_emb_proj = nn.Linear(style.emb, twice * outputs) if style.emb else None
        self.norm2 = nn.GroupNorm(style.groups, outputs, style.eps)
        self.dropout = nn.Dropout(style.dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.act = activation(style.act)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(
        self, x: Float[Tensor, "b c h w"], emb: Float[Tensor, "b e"] | None = None
    ) -> Float[Tensor, "b k hh ww"]:
        y = self._sampled(self.act(self.norm1(x)))
        x = self._sampled(x)
        y = self.conv1(y)
        modulation = None
        if self.time_emb_proj is not None and emb is not None:
            modulation = self.time_emb_proj(self.act(emb))[:, :, None, None]
        if self.scale_shift and modulation is not None:
            scale, shift = modulation.chunk(2, dim=1)
            y = self.norm2(y) * (1 + scale) + shift
        else:
            y = self.norm2(y if modulation is None else y + modulation)
        y = self.conv2(self.dropout(self.act(y)))
        x = x if self.conv_shortcut is None else self.conv_shortcut(x)
        out: Tensor = x + y
        return out if self.scale == 1 else out / self.scale

    def _sampled(self, x: Tensor) -> Tensor:
        if self.sampling == "up":
            return F.interpolate(x, scale_factor=2.0, mode="nearest")
        return F.avg_pool2d(x, 2) if self.sampling == "down" else x


class Downsample(nn.Module):
    """A convolution that halves both sides.

    Args:
        channels: In and out.
        padding: On all sides; 0 pads one pixel on the right and one below.
    """

    def __init__(self, channels: int, padding: int = 1):
        super().__init__()
        self.padding = padding
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(
        self, x: Float[Tensor, "b c h w"], emb: Float[Tensor, "b e"] | None = None
    ) -> Float[Tensor, "b c hh ww"]:
        y: Tensor = self.conv(x if self.padding else F.pad(x, (0, 1, 0, 1)))
        return y


class Upsample(nn.Module):
    """Each pixel four times, or to a given size, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        emb: Float[Tensor, "b e"] | None = None,
        size: tuple[int, int] | None = None,
    ) -> Float[Tensor, "b c hh ww"]:
        size = size or (2 * x.shape[2], 2 * x.shape[3])
        y: Tensor = self.conv(F.interpolate(x, size=size, mode="nearest"))
        return y


class Attention(nn.Module):
    """Multi-head attention of tokens to themselves or to others.

    Args:
        width: Of the tokens.
        heads: How many.
        context: Width of the tokens attended to; 0: the tokens themselves.
        bias: Of queries, keys and values.
        inner: Width of all heads together; 0: `width`.
    """

    def __init__(
        self, width: int, heads: int, context: int = 0, bias: bool = False, inner: int = 0
    ):
        super().__init__()
        inner = inner or width
        if heads < 1 or inner % heads:
            raise UsageError(f"{inner} channels cannot be split into {heads} heads")
        self.heads = heads
        self.to_q = nn.Linear(width, inner, bias=bias)
        self.to_k = nn.Linear(context or width, inner, bias=bias)
        self.to_v = nn.Linear(context or width, inner, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(inner, width)])

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m k"] | None = None,
        mask: Float[Tensor, "b m"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Attend.

        Args:
            x: The tokens.
            context: Those attended to; None: x.
            mask: Log-weights of these, added to the logits.
        """
        words = 0 if context is None else context.shape[1]
        context = x if context is None else context
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        bias = None if mask is None else mask[:, None, None].to(q.dtype)
        y = mixed(q, k, v, bias, words)
        out: Tensor = self.to_out[0](y.transpose(1, 2).flatten(2))
        return out


class PixelAttention(Attention):
    """Attention among the pixels of a feature map, added to it.

    Args:
        channels: Of the map.
        heads: How many.
        groups: Of the norm before; 0: there is none.
        eps: Of the norm.
        scale: The sum is divided by it.
    """

    def __init__(self, channels: int, heads: int, groups: int, eps: float, scale: float = 1.0):
        super().__init__(channels, heads, bias=True)
        self.scale = scale
        self.group_norm = nn.GroupNorm(groups, channels, eps) if groups else nn.Identity()

    def forward(  # type: ignore[override]  # pixels come in, not tokens
        self, x: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h w"]:
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)
        y = super().forward(tokens).transpose(1, 2).reshape(x.shape)
        return (x + y) / self.scale


class Gated(nn.Module):
    """A linear layer times the activation of another (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n k"]:
        value, gate = self.proj(x).chunk(2, dim=-1)
        y: Tensor = value * F.gelu(gate)
        return y


class Activated(nn.Module):
    """A linear layer and GELU, exact or by tanh."""

    def __init__(self, width: int, inner: int, approximate: str = "none"):
        super().__init__()
        self.proj, self.approximate = nn.Linear(width, inner), approximate

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n k"]:
        return F.gelu(self.proj(x), approximate=self.approximate)


class FeedForward(nn.Module):
    """Two layers token by token, four times as wide between them.

    Args:
        width: Of a token.
        kind: "geglu", "gelu" or "gelu-approximate".
    """

    def __init__(self, width: int, kind: str = "geglu"):
        super().__init__()
        if kind == "geglu":
            first: nn.Module = Gated(width, 4 * width)
        elif kind in ("gelu", "gelu-approximate"):
            first = Activated(width, 4 * width, "none" if kind == "gelu" else "tanh")
        else:
            raise UsageError(f"there is no feed-forward layer {kind!r}; there are geglu and gelu")
        self.net = nn.ModuleList([first, nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        y: Tensor = self.net[2](self.net[0](x))
        return y


class TransformerBlock(nn.Module):
    """Self-attention, attention to the prompt, and a feed-forward layer, each added.

    Args:
        width: Of a token.
        heads: How many.
        context: Width of the prompt's tokens.
        only_cross: The first attention goes to the prompt as well.
    """

    def __init__(self, width: int, heads: int, context: int, only_cross: bool = False):
        super().__init__()
        self.only_cross = only_cross
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attn1 = Attention(width, heads, context if only_cross else 0)
        self.attn2 = Attention(width, heads, context)
        self.ff = FeedForward(width)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m k"],
        mask: Float[Tensor, "b m"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        y = self.norm1(x)
        x = x + (self.attn1(y, context, mask) if self.only_cross else self.attn1(y))
        x = x + self.attn2(self.norm2(x), context, mask)
        out: Tensor = x + self.ff(self.norm3(x))
        return out


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels of a feature map, added to it.

    Args:
        channels: Of the map.
        heads: How many.
        depth: Blocks.
        context: Width of the prompt's tokens.
        groups: Of the norm before.
        linear: Whether the projections in and out are linear layers and not convolutions.
        only_cross: See `TransformerBlock`.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        depth: int,
        context: int,
        groups: int,
        linear: bool,
        only_cross: bool = False,
    ):
        super().__init__()
        self.linear = linear

        def project() -> nn.Module:
            return nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)

        self.norm = nn.GroupNorm(groups, channels, 1e-6)
        self.proj_in = project()
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(channels, heads, context, only_cross) for _ in range(depth)
        )
        self.proj_out = project()

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        context: Float[Tensor, "b m k"],
        mask: Float[Tensor, "b m"] | None = None,
    ) -> Float[Tensor, "b c h w"]:
        y = self.norm(x)
        if not self.linear:
            y = self.proj_in(y)
        y = y.flatten(2).transpose(1, 2)
        if self.linear:
            y = self.proj_in(y)
        for block in self.transformer_blocks:
            y = block(y, context, mask)
        if self.linear:
            y = self.proj_out(y)
        y = y.transpose(1, 2).reshape(x.shape)
        out: Tensor = x + (y if self.linear else self.proj_out(y))
        return out
