"""Building blocks of the networks: time and class embedding, residual block, attention, resampling.

Legend: b batch, c channels, h x w pixels, n = h w tokens, e width of the vector that tells every
block about time and class.

A network takes (x, t, label). The time t is the clock of whoever calls: for a discrete diffusion
model 0..999, for others a number of order one such as t itself or log-SNR / 4.

Every branch that is added to the main path ends in a layer that starts at zero. Module names are
those of diffusers' `UNet2DModel` where the same part exists there, so that weights are exchanged by
renaming at most.

References:
    Ho, Jain, Abbeel: Denoising Diffusion Probabilistic Models, 2020, arXiv:2006.11239, appendix B.
    Dhariwal, Nichol: Diffusion Models Beat GANs on Image Synthesis, 2021, arXiv:2105.05233,
        section 3 (scale and shift from the embedding).
    Dehghani et al.: Scaling Vision Transformers to 22 Billion Parameters, 2023, arXiv:2302.05442,
        section 2 (normalised queries and keys).
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.attention import attend

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def zeroed(layer: Layer) -> Layer:
    """Set weight and bias to zero, in place, and return the layer."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def sinusoid(
    t: Float[Tensor, " b"], features: int, scale: float, max_period: float
) -> Float[Tensor, "b features"]:
    """Cosines, then sines, of t at `features / 2` geometric frequencies.

    Frequency i is scale * max_period^(-2 i / features) radians per unit of t: from `scale` down to
    nearly `scale / max_period`. Computed in float32 (float64 for a float64 t) whatever precision
    the network runs in, because bf16 does not tell time 998 from 999.
    """
    half = features // 2
    t = t.to(torch.promote_types(t.dtype, torch.float32))
    i = torch.arange(half, dtype=t.dtype, device=t.device)
    angle = t[:, None] * (scale * torch.exp(i * (-math.log(max_period) / half)))
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class TimeEmbedding(nn.Module):
    """Sinusoidal features of the clock, then a hidden layer.

    Args:
        features: number of sinusoidal features, even.
        width: width e of the result.
        scale: highest frequency in radians per unit of the clock, > 0.
        max_period: ratio of the highest to (nearly) the lowest frequency, > 1.
    """

    def __init__(self, features: int, width: int, scale: float, max_period: float):
        super().__init__()
        if features < 2 or features % 2:
            raise UsageError(
                f"{features} time features cannot be split into cosines and sines; "
                "choose an even width of at least 2."
            )
        if not (0 < scale < float("inf") and 1 < max_period < float("inf")):
            raise UsageError(
                f"time_scale={scale} and max_period={max_period} give no range of frequencies; "
                "choose time_scale > 0 and max_period > 1, both finite."
            )
        self.features, self.scale, self.max_period = features, scale, max_period
        self.linear_1 = nn.Linear(features, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b e"]:
        features = sinusoid(t, self.features, self.scale, self.max_period)
        y: Tensor = self.linear_2(F.silu(self.linear_1(features.to(self.linear_1.weight.dtype))))
        return y


def class_table(num_classes: int, width: int) -> nn.Embedding | None:
    """A row for every class and a last row, the null, for "no class"; None without classes."""
    if num_classes < 0:
        raise UsageError(
            f"num_classes={num_classes} is negative; use 0 for a model without classes."
        )
    return embedding(num_classes + 1, width) if num_classes else None


def embedding(rows: int, width: int) -> nn.Embedding:
    """`nn.Embedding(rows, width)`, whose numbers are not drawn where there is no memory for them.

    On the meta device torch would load its compiler to do so, which takes more than a second.
    """
    weight = torch.empty(rows, width)
    if not weight.is_meta:
        nn.init.normal_(weight)
    return nn.Embedding(rows, width, _weight=weight)


def add_class(
    emb: Float[Tensor, "b e"], table: nn.Embedding | None, label: Int[Tensor, " b"] | None
) -> Float[Tensor, "b e"]:
    """Add the class's row to the embedding; the null row where no label is given.

    Raises:
        UsageError: a label for a network without classes, or outside 0..num_classes.
    """
    if table is None:
        if label is not None:
            raise UsageError(
                "Labels were given to a network without classes (num_classes=0); leave them out, "
                "or build the network with num_classes."
            )
        return emb
    if label is None:
        return emb + table.weight[-1]
    return emb + look_up(table, label)


def look_up(table: nn.Module, label: Int[Tensor, " b"]) -> Float[Tensor, "b e"]:
    """The rows of a table of classes.

    Raises:
        UsageError: a label outside 0..num_classes.
    """
    assert isinstance(table, nn.Embedding)
    try:
        rows: Tensor = table(label)
        return rows
    except IndexError:
        null = table.num_embeddings - 1
        raise UsageError(
            f"Labels run from {int(label.min())} to {int(label.max())}, but this network knows "
            f"the classes 0 to {null - 1} and {null} for no class."
        ) from None


def side_by_side(
    conv: nn.Conv2d, x: Float[Tensor, "b c h w"], further: Sequence[Tensor]
) -> Float[Tensor, "b k i j"]:
    """`conv` of maps side by side along the channels, each taken by itself and added in order.

    So a map whose weights are zero changes no bit of the others' sum, as a sum over the channels of
    all might.

    Args:
        conv: Its input channels are those of all maps.
        x: The first map.
        further: The others, of the same height and width.
    """
    if not further:
        first: Tensor = conv(x)
        return first
    maps = [x, *(y.to(x.dtype) for y in further)]
    weights = conv.weight.split([y.shape[1] for y in maps], dim=1)
    total: Tensor = conv._conv_forward(x, weights[0], conv.bias)
    for y, weight in zip(maps[1:], weights[1:], strict=True):
        total = total + conv._conv_forward(y, weight, None)
    return total


def dropout_layer(probability: float) -> nn.Dropout:
    """Dropout that refuses to drop everything."""
    if not 0 <= probability < 1:
        raise UsageError(f"dropout={probability} is outside [0, 1); 0 to 0.3 is usual.")
    return nn.Dropout(probability)


def group_norm(channels: int, groups: int | None) -> nn.GroupNorm:
    """Group normalisation; by default in groups of 16 channels, or the largest part that fits.

    On a CPU, with channels last, groups whose size is no multiple of 16 cost up to ten times as
    much.

    Raises:
        UsageError: `groups` does not divide the channels.
    """
    groups = channels // math.gcd(channels, 16) if groups is None else groups
    if groups < 1 or channels % groups:
        raise UsageError(
            f"{channels} channels cannot be normalised in {groups} groups; choose norm_groups that "
            "divides the channels of all levels and the sums of neighbouring ones."
        )
    return nn.GroupNorm(groups, channels)


class Attention(nn.Module):
    """Self-attention over all pixels: normalise, attend, project, add to the input.

    Args:
        channels: c, a multiple of `head_dim` and of `norm_groups`.
        head_dim: channels per head; by default 64, or one head where that does not divide them.
        norm_groups: groups of the normalisation, as in `group_norm`.
        qk_norm: normalise queries and keys to unit root mean square per head, with a learned gain.
    """

    attends = True

    def __init__(
        self,
        channels: int,
        head_dim: int | None = None,
        norm_groups: int | None = None,
        qk_norm: bool = False,
    ):
        super().__init__()
        if head_dim is None:
            head_dim = 64 if channels % 64 == 0 else channels
        if head_dim < 1 or channels % head_dim:
            raise UsageError(
                f"{channels} channels cannot be shared among attention heads of {head_dim}; "
                "choose a head_dim that divides them."
            )
        self.head_dim = head_dim
        self.group_norm = group_norm(channels, norm_groups)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.norm_q = nn.RMSNorm(head_dim, eps=1e-5) if qk_norm else nn.Identity()
        self.norm_k = nn.RMSNorm(head_dim, eps=1e-5) if qk_norm else nn.Identity()
        self.to_out = nn.ModuleList([zeroed(nn.Linear(channels, channels))])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # a view when channels are last
        q, k, v = (
            project(tokens).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        y = attend(self.norm_q(q), self.norm_k(k), v, words=0).transpose(1, 2).flatten(2)
        update: Tensor = self.to_out[0](y).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + update


class ResBlock(nn.Module):
    """Two convolutions, modulated by time and class between them, added to the input.

    Args:
        inputs: channels in.
        outputs: channels out; a 1x1 convolution on the skip path where they differ.
        emb: width e of the embedding.
        norm_groups: groups of both normalisations, as in `group_norm`.
        dropout: probability of zeroing a feature before the last convolution.
        scale_shift: the embedding scales and shifts the normalised features (Dhariwal & Nichol)
            instead of being added before the normalisation (Ho et al.).
        kernel: height and width of the convolutions, odd.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        emb: int,
        norm_groups: int | None = None,
        dropout: float = 0.0,
        scale_shift: bool = False,
        kernel: tuple[int, int] = (3, 3),
    ):
        super().__init__()
        self.scale_shift = scale_shift
        around = kernel[0] // 2, kernel[1] // 2
        self.norm1 = group_norm(inputs, norm_groups)
        self.conv1 = nn.Conv2d(inputs, outputs, kernel, padding=around)
        self.time_emb_proj = nn.Linear(emb, outputs * (1 + scale_shift))
        self.norm2 = group_norm(outputs, norm_groups)
        self.dropout = dropout_layer(dropout)
        self.conv2 = zeroed(nn.Conv2d(outputs, outputs, kernel, padding=around))
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(
        self, x: Float[Tensor, "b c_in h w"], emb: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b c_out h w"]:
        """Transform x; `emb` comes activated already, once for all blocks."""
        y = self.conv1(F.silu(self.norm1(x)))
        modulation = self.time_emb_proj(emb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = modulation.chunk(2, dim=1)
            y = self.norm2(y) * (1 + scale) + shift
        else:
            y = self.norm2(y + modulation)
        out: Tensor = self.conv_shortcut(x) + self.conv2(self.dropout(F.silu(y)))
        return out


class Downsample(nn.Module):
    """Halve the sides by a strided 3x3 convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h/2 w/2"]:
        y: Tensor = self.conv(x)
        return y


class Upsample(nn.Module):
    """Double the sides by repeating pixels, then a 3x3 convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
        y: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return y
